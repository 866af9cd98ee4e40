//! The pages of `show` as text. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::Value;

use super::page::{DriftPage, EventView, NowInCloud, RecordPage, SagaLine};
use crate::{
    api::{conditions, drift::EXISTS},
    cli::{
        decide,
        drift::{ClassText, DriftView, Pending, condition, text},
        history, output,
        placement::Placement,
        text::{Paint, Table, age, count, lines, one_line},
    },
    comparison::show,
    digitalocean::revert::Allow,
};

/// The columns of a value on a page.
const VALUE: usize = 100;
/// The length above which a map or a list is also shown on several lines.
const COMPOSITE: usize = 60;
/// The columns of a value in a table.
const CELL: usize = 40;
/// The number of events on a page.
const EVENTS: usize = 10;

pub(super) fn drift(page: &DriftPage, now: Timestamp, paint: Paint) -> String {
    let drift = &page.drift;
    let state = if drift.is_open() { paint.warn(&drift.phase) } else { drift.phase.clone() };
    let mut facts = Table::default();
    let version = page.record.as_ref().and_then(|record| record.metadata.generation);
    let version = version.map(|version| format!(" (version {version})")).unwrap_or_default();
    facts.row(["Resource".to_owned(), format!("{} {}, recorded as {}{version}", drift.kind, drift.id, drift.record)]);
    facts.row(["Field", &drift.field]);
    let desired = page.record.as_ref().and_then(|record| record.data.pointer("/spec/desired")?.get(&drift.field_name));
    if let Some(declared) = desired.map(show::full).filter(|declared| *declared != drift.expected) {
        facts.row(["Declared".to_owned(), show::short_text(&declared, VALUE)]);
    }
    facts.row(["Desired".to_owned(), show::short_text(&drift.expected, VALUE)]);
    facts.row(["Live".to_owned(), show::short_text(&drift.actual, VALUE)]);
    if let Some(now) = &page.now {
        facts.row(["In the cloud".to_owned(), in_full(now, drift)]);
    }
    for (number, difference) in drift.differing_parts().iter().enumerate() {
        facts.row([if number == 0 { "Differences" } else { "" }, difference]);
    }
    if !drift.change.is_empty() {
        let alike = match page.alike {
            0 => String::new(),
            alike => format!(", shared by {}", count(alike, "other open drift")),
        };
        facts.row(["Change".to_owned(), format!("{}{alike}", drift.change)]);
    }
    let placement = page.record.as_ref().and_then(|record| Placement::of(record, &drift.field_name, false));
    if let Some(placement) = placement.filter(|_| drift.is_open()) {
        facts.row(["Accept", placement.text()]);
    }
    if let Some(effect) = drift.effect() {
        facts.row(["Revert".to_owned(), effect]);
    }
    if let Some(saga) = &drift.saga {
        facts.row(["Saga".to_owned(), saga.clone()]);
    }
    for (name, value) in [
        ("Cause", drift.note.clone()),
        ("Decision", drift.pending.as_ref().map(pending)),
        ("Decided by", drift.decided_by.clone()),
        ("Because", drift.because.clone()),
        ("Standing", drift.standing.as_ref().map(|(status, reason)| format!("{status} {reason}"))),
        ("Until", drift.until.clone()),
        ("State", drift.state()),
    ] {
        if let Some(value) = value {
            facts.row([name.to_owned(), value]);
        }
    }
    let mut text = format!(
        "Drift {}: {state}, opened {} ago\n\n{}",
        paint.bold(&drift.name),
        age(drift.created, now),
        facts.render()
    );
    text += &in_lines("Desired in full", &drift.expected);
    text += &in_lines("Live in full", &drift.actual);
    if let Some(plan) = &page.plan {
        let _ = write!(text, "\n{}\n", capitalized(&decide::plan(plan)));
    }
    if let Some(patch) = &page.manifest_patch {
        let _ = write!(text, "\nThe manifest is brought up to date by this merge patch:\n  {patch}\n");
    }
    if page.history.len() > 1 {
        let drifts: Vec<_> = page.history.iter().map(DriftView::read).collect();
        let _ = write!(text, "\nHistory of the field\n{}", indented(&history::render(&drifts, now, paint)));
    }
    text += &sagas(&page.sagas, now);
    text += &events(&page.events, now);
    text + &next_of_drift(page, paint)
}

/// A value on several lines, if one line is not enough: maps and lists as YAML, texts unchanged.
fn in_lines(heading: &str, value: &str) -> String {
    let is_composite = value.starts_with(['[', '{']);
    if show::short_text(value, VALUE) == value && !(is_composite && value.len() > COMPOSITE) {
        return String::new();
    }
    let parsed = is_composite.then(|| serde_json::from_str::<Value>(value).ok()).flatten();
    let yaml = parsed.filter(|value| value.is_object() || value.is_array()).and_then(|value| output::yaml(&value).ok());
    // Control characters would affect the terminal.
    let text = yaml.unwrap_or_else(|| value.to_owned());
    let readable = text.lines().map(|line| if line.trim().is_empty() { String::new() } else { readable(line) });
    format!("\n{heading}\n{}", lines(readable.map(|line| format!("  {line}").trim_end().to_owned())))
}

/// A line without control characters, with its indentation.
fn readable(line: &str) -> String {
    let text = line.trim_start_matches(' ');
    let is_plain = !text.chars().any(char::is_control);
    format!("{}{}", " ".repeat(line.len() - text.len()), if is_plain { text.into() } else { show::escape(text) })
}

/// The current value of a field in the cloud.
fn in_full(now: &NowInCloud, drift: &DriftView) -> String {
    match now {
        NowInCloud::InSync if drift.stands() => "the accepted value".to_owned(),
        NowInCloud::InSync => "the desired value".to_owned(),
        NowInCloud::Differs(value) => show::short_text(value, VALUE),
        NowInCloud::Unknown(why) => format!("unknown: {why}"),
    }
}

fn pending(pending: &Pending) -> String {
    match pending {
        Pending::Accept(value) => format!("accept={}, not carried out yet", show::short_text(value, VALUE)),
        Pending::Revert(value) => format!("revert={}, not carried out yet", show::short_text(value, VALUE)),
    }
}

fn next_of_drift(page: &DriftPage, paint: Paint) -> String {
    let DriftPage { drift, flag, .. } = page;
    let name = &drift.name;
    let mut commands = Vec::new();
    if let Some(revert) = &page.reverting {
        commands.push(revert.next(drift, flag));
    } else if drift.pending.is_some() || drift.stands() {
        commands.push((format!("kubectl arcadia withdraw {name}{flag}"), "take the decision back"));
        if drift.stands() {
            commands.push((format!("kubectl arcadia accept {name} --until TIME{flag}"), "change its end"));
        }
    } else if drift.is_open() {
        commands.push((format!("kubectl arcadia accept {name}{flag}"), "accept the live value"));
        commands.extend(decide::revert_commands(&format!("{name}{flag}"), drift.class.as_ref()));
    }
    if let Some(saga) = drift.saga.as_ref().filter(|_| page.has_saga) {
        let tree = format!("kubectl arcadia saga tree {saga}{flag}");
        if commands.iter().all(|(command, _)| *command != tree) {
            commands.push((tree, "show the journal of the revert"));
        }
    }
    commands.push((format!("kubectl arcadia show pr/{}{flag}", drift.record), "show the record"));
    next(&commands, paint)
}

pub(super) fn record(page: &RecordPage, now: Timestamp, paint: Paint) -> String {
    let record = &page.record;
    let data = &record.data;
    let part = |pointer| text(data, pointer).unwrap_or_default();
    let name = record.name_any();
    let mut facts = Table::default();
    facts.row(["Resource".to_owned(), format!("{} {}", part("/spec/resource/kind"), part("/spec/resource/id"))]);
    facts.row(["Version".to_owned(), record.metadata.generation.unwrap_or_default().to_string()]);
    for (name, pointer) in [("Provisioned by", "/spec/provisionedBy"), ("Saga", "/spec/sagaRef/name")] {
        if let Some(value) = text(data, pointer) {
            facts.row([name.to_owned(), one_line(value)]);
        }
    }
    for kind in [conditions::READY, conditions::IN_SYNC, conditions::MANIFEST_CURRENT] {
        if let Some(found) = condition(data, kind) {
            let status = match found.status.as_str() {
                "True" => paint.good(&found.status),
                "False" => paint.bad(&found.status),
                _ => paint.warn(&found.status),
            };
            let message =
                if found.message.is_empty() { String::new() } else { format!(": {}", one_line(&found.message)) };
            facts.row([kind.to_owned(), format!("{status} {}{message}", found.reason)]);
        }
    }
    if data.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        facts.row(["Suspended", "the operator leaves this record alone"]);
    }
    if let Some(answer) = in_cloud(page) {
        facts.row(["In the cloud".to_owned(), paint.warn(&answer)]);
    }
    let drifts: Vec<_> = page.drifts.iter().map(DriftView::read).collect();
    let mut text = format!(
        "Record {}: {}, recorded {} ago\n\n{}\n{}",
        paint.bold(&name),
        part("/spec/resource/kind"),
        age(record.creation_timestamp().map(|time| time.0), now),
        facts.render(),
        fields(page, &drifts, paint),
    );
    let desired = data.pointer("/spec/desired").and_then(Value::as_object).into_iter().flatten();
    for (field, value) in desired.filter(|(_, value)| show::short(value, CELL) != show::full(value)) {
        text += &in_lines(&format!("{} in full", show::short_text(field, VALUE)), &show::full(value));
    }
    let resolved: Vec<DriftView> = drifts.iter().filter(|drift| !drift.is_open()).cloned().collect();
    if !resolved.is_empty() {
        let _ = write!(text, "\nHistory\n{}", indented(&history::render(&resolved, now, paint)));
    }
    text += &sagas(&page.sagas, now);
    text += &events(&page.events, now);
    let open: Vec<_> = drifts.iter().filter(|drift| drift.is_open()).collect();
    let flag = &page.flag;
    let mut commands = Vec::new();
    if let Some(drift) = open.first() {
        commands.push((format!("kubectl arcadia show {}{flag}", drift.name), "show one drift in full"));
        commands
            .push((format!("kubectl arcadia accept --record {name}{flag}"), "accept all open drifts of the record"));
        // One harm has to be allowed for all of them, and none may be impossible to revert.
        let needs = |class: &&ClassText| class.needs().map_or((true, Allow::Safe), |needed| (false, needed));
        let worst = open.iter().filter_map(|drift| drift.class.as_ref()).max_by_key(needs);
        commands.extend(decide::revert_commands(&format!("--record {name}{flag}"), worst));
    }
    match standing_drifts(data).as_slice() {
        [] => {}
        [drift] => commands.push((format!("kubectl arcadia withdraw {drift}{flag}"), "take the acceptance back")),
        _ => commands.push((format!("kubectl arcadia withdraw --record {name}{flag}"), "take the acceptances back")),
    }
    commands.push((format!("kubectl arcadia history {name}{flag}"), "list all drifts of the record"));
    text + &next(&commands, paint)
}

/// The standing acceptances, by field.
fn acceptances(data: &Value) -> BTreeMap<&str, &Value> {
    let acceptances = data.pointer("/status/acceptances").and_then(Value::as_array).into_iter().flatten();
    acceptances.filter_map(|acceptance| Some((text(acceptance, "/field")?, acceptance))).collect()
}

/// The drifts with standing acceptances.
fn standing_drifts(data: &Value) -> Vec<&str> {
    acceptances(data).into_values().filter_map(|acceptance| text(acceptance, "/drift")).collect()
}

/// The value of a field in the cloud. None if it was not read, or if the resource does not exist.
fn now_of<'p>(page: &'p RecordPage, field: &str) -> Option<&'p NowInCloud> {
    let now = page.now.as_ref()?;
    let unread = || now.get(EXISTS).filter(|existence| matches!(existence, NowInCloud::Unknown(_)));
    now.get(field).or_else(unread)
}

/// The answer about the whole resource, if it is missing or could not be read.
fn in_cloud(page: &RecordPage) -> Option<String> {
    match page.now.as_ref()?.get(EXISTS)? {
        NowInCloud::InSync => None,
        NowInCloud::Differs(exists) if exists == "true" => Some("the resource exists, and should not".to_owned()),
        NowInCloud::Differs(_) => Some("the resource does not exist".to_owned()),
        NowInCloud::Unknown(why) => Some(format!("unknown: {why}")),
    }
}

/// Whether the cloud has the resource now; none if it was not read. An accepted absence is in sync.
fn exists_now(page: &RecordPage) -> Option<bool> {
    let data = &page.record.data;
    match page.now.as_ref()?.get(EXISTS)? {
        NowInCloud::InSync => {
            let accepted = acceptances(data).remove(EXISTS).and_then(|acceptance| text(acceptance, "/accepted"));
            let declared = || data.pointer("/spec/desired")?.get(EXISTS)?.as_bool();
            Some(accepted.map_or_else(|| declared().unwrap_or(true), |accepted| accepted != "false"))
        }
        NowInCloud::Differs(exists) => Some(exists == "true"),
        NowInCloud::Unknown(_) => None,
    }
}

/// The state of a recorded field.
#[derive(Clone, Copy)]
enum RowState<'p> {
    /// A drift is open.
    Open(&'p DriftView),
    /// An acceptance stands.
    Accepted(&'p Value),
    Ignored,
    InSync,
    /// The record is not in sync, and no drift of the field is open.
    NotOpen,
    /// The cloud has another value now than the desired one.
    Differs,
    /// The cloud has another value now than the accepted one.
    NotAccepted,
    /// The resource does not exist.
    Missing,
    /// The cloud could not be read.
    Unknown,
}

impl RowState<'_> {
    /// The state with the value in the cloud.
    fn with(self, now: Option<&NowInCloud>, exists: Option<bool>) -> Self {
        match (now, self) {
            (None, _) if exists == Some(false) => Self::Missing,
            (None, state)
            | (Some(NowInCloud::InSync), state @ (Self::Open(_) | Self::Accepted(_)))
            | (Some(NowInCloud::Differs(_)), state @ Self::Open(_)) => state,
            (Some(NowInCloud::InSync), _) => Self::InSync,
            (Some(NowInCloud::Differs(_)), Self::Accepted(_)) => Self::NotAccepted,
            (Some(NowInCloud::Differs(_)), _) => Self::Differs,
            (Some(NowInCloud::Unknown(_)), _) => Self::Unknown,
        }
    }

    fn text(self, paint: Paint) -> String {
        match self {
            Self::Open(drift) => paint.warn(&format!("drift {}", drift.name)),
            Self::Accepted(acceptance) => {
                let until = text(acceptance, "/until").map(|until| format!(" until {until}")).unwrap_or_default();
                let drift = text(acceptance, "/drift").map(|drift| format!(", drift {drift}")).unwrap_or_default();
                format!("accepted{until}{drift}")
            }
            Self::Ignored => "ignored".to_owned(),
            Self::InSync => paint.good("in sync"),
            Self::NotOpen => "no drift open".to_owned(),
            Self::Differs => paint.warn("differs, no drift yet"),
            Self::NotAccepted => paint.warn("differs from the accepted value"),
            Self::Missing => "does not exist".to_owned(),
            Self::Unknown => "unknown".to_owned(),
        }
    }
}

/// Each recorded field with its recorded, accepted and live value.
fn fields(page: &RecordPage, drifts: &[DriftView], paint: Paint) -> String {
    let data = &page.record.data;
    let open: BTreeMap<&str, &DriftView> =
        drifts.iter().filter(|drift| drift.is_open()).map(|drift| (drift.field_name.as_str(), drift)).collect();
    let acceptances = acceptances(data);
    let ignored: Vec<&str> = data
        .pointer("/spec/drift/ignore")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let is_in_sync = condition(data, conditions::IN_SYNC).is_some_and(|condition| condition.status == "True");
    let exists = exists_now(page);
    let mut table = Table::with_headings(&["FIELD", "DECLARED", "DESIRED", "LIVE", "STATE"]);
    let desired = data.pointer("/spec/desired").and_then(Value::as_object);
    let mut declared: BTreeMap<&str, Option<&Value>> =
        desired.into_iter().flatten().map(|(field, value)| (field.as_str(), Some(value))).collect();
    for field in open.keys() {
        declared.entry(field).or_default();
    }
    for (field, value) in declared {
        let said = value.map(|value| show::short(value, CELL)).unwrap_or_default();
        let acceptance = acceptances.get(field);
        let accepted = acceptance.and_then(|acceptance| text(acceptance, "/accepted"));
        // For example `exists`, which a record need not declare.
        let undeclared = open.get(field).filter(|_| value.is_none()).map(|drift| drift.expected_short.as_str());
        let effective = accepted.or(undeclared).unwrap_or(&said).to_owned();
        let recorded = match (open.get(field), acceptance) {
            (Some(drift), _) => RowState::Open(drift),
            (None, Some(acceptance)) => RowState::Accepted(acceptance),
            (None, None) if ignored.contains(&field) => RowState::Ignored,
            (None, None) if is_in_sync => RowState::InSync,
            (None, None) => RowState::NotOpen,
        };
        let now = now_of(page, field);
        let state = recorded.with(now, exists);
        let live = match (now, state) {
            (Some(NowInCloud::Differs(value)), _) => show::short_text(value, CELL),
            (Some(NowInCloud::Unknown(_)), _) => "unknown".to_owned(),
            (Some(NowInCloud::InSync), _) | (None, RowState::Accepted(_) | RowState::InSync) => effective.clone(),
            (None, RowState::Open(drift)) => drift.actual_short.clone(),
            (None, _) => String::new(),
        };
        table.row([show::short_text(field, CELL), said, effective, live, state.text(paint)]);
    }
    table.render()
}

fn sagas(sagas: &[SagaLine], now: Timestamp) -> String {
    if sagas.is_empty() {
        return String::new();
    }
    let mut table = Table::default().indented(2);
    for saga in sagas {
        table.row([
            saga.name.clone(),
            one_line(&saga.kind),
            saga.phase.clone(),
            format!("{} ago", age(saga.created, now)),
        ]);
    }
    format!("\nSagas\n{}", table.render())
}

fn events(events: &[EventView], now: Timestamp) -> String {
    if events.is_empty() {
        return String::new();
    }
    let mut table = Table::default().indented(2);
    for event in events.iter().skip(events.len().saturating_sub(EVENTS)) {
        table.row([format!("{} ago", age(event.at, now)), event.reason.clone(), event.message.clone()]);
    }
    format!("\nEvents\n{}", table.render())
}

fn next(commands: &[(String, &str)], paint: Paint) -> String {
    let mut table = Table::default().indented(2);
    for (command, effect) in commands {
        table.row([command.clone(), paint.dim(effect)]);
    }
    format!("\nNext\n{}", table.render())
}

fn indented(text: &str) -> String {
    lines(text.lines().map(|line| format!("  {line}")))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use kube::api::DynamicObject;
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::{object as drift_object, view};

    fn now() -> Timestamp {
        "2026-05-10T12:00:00Z".parse().unwrap()
    }

    fn object(acceptances: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": { "name": "web-1", "namespace": "default", "generation": 3, "creationTimestamp": "2026-05-01T12:00:00Z" },
            "spec": {
                "resource": { "kind": "Droplet", "id": "3164444" }, "provisionedBy": "platform-team",
                "desired": { "size_slug": "s-2vcpu-4gb", "region": "nyc3", "tags": ["web"], "image": "ubuntu" },
                "drift": { "ignore": ["image"] },
            },
            "status": { "acceptances": acceptances, "conditions": [
                { "type": "Ready", "status": "True", "reason": "Compared", "message": "3 fields were compared" },
                { "type": "InSync", "status": "False", "reason": "DriftOpen", "message": "size_slug is s-4vcpu-8gb, expected s-2vcpu-4gb" },
            ] },
        }))
        .unwrap()
    }

    fn an_event() -> Vec<EventView> {
        let at = "2026-05-10T09:00:00Z".parse().ok();
        vec![EventView { at, reason: "DriftDetected".into(), message: "size_slug is s-4vcpu-8gb".into() }]
    }

    fn a_saga() -> Vec<SagaLine> {
        let created = "2026-05-02T00:00:00Z".parse().ok();
        vec![SagaLine { name: "snapshot-web-1".into(), kind: "update".into(), phase: "Succeeded".into(), created }]
    }

    fn page(more: &Value) -> DriftPage {
        DriftPage {
            object: drift_object("web-1", more),
            drift: view("web-1", more),
            record: Some(object(&json!([]))),
            history: vec![],
            alike: 4,
            plan: None,
            manifest_patch: None,
            events: an_event(),
            sagas: a_saga(),
            reverting: None,
            has_saga: true,
            now: None,
            flag: String::new(),
        }
    }

    #[test]
    fn the_page_of_a_drift_whose_revert_is_stuck_names_the_saga_once() {
        let stuck = json!({
            "metadata": { "annotations": { "arcadia.cloud/revert": "true" } },
            "status": { "reason": "RevertStuck", "sagaRef": { "name": "revert-web-1" } },
        });
        let reverting = decide::RevertInProgress::read(&view("web-1", &stuck), None);
        let text = drift(&DriftPage { reverting, ..page(&stuck) }, now(), Paint::NONE);
        assert!(text.contains("see how to resolve the saga") && !text.contains("withdraw"), "{text}");
        assert_eq!(text.matches("kubectl arcadia saga tree revert-web-1").count(), 1, "{text}");
    }

    #[test]
    fn the_page_of_an_open_drift_ends_with_what_can_be_done() {
        let more = json!({ "spec": { "revert": "Disruptive" }, "status": { "conditions": [{
            "type": "Resolved", "status": "False", "reason": "AwaitingDecision", "message": "accept it, or put the cloud back" }] } });
        expect![[r#"
            Drift web-1-size-slug-e7320a9aaf-1: Open, opened 3h ago

            Resource   Droplet 3164444, recorded as web-1 (version 3)
            Field      size_slug
            Desired    s-2vcpu-4gb
            Live       s-4vcpu-8gb
            Change     a4b70a39, shared by 4 other open drifts
            Accept     the live value is written into the record
            Revert     Disruptive: the resource is interrupted
            State      AwaitingDecision: accept it, or put the cloud back

            Sagas
              snapshot-web-1   update   Succeeded   8d ago

            Events
              3h ago   DriftDetected   size_slug is s-4vcpu-8gb

            Next
              kubectl arcadia accept web-1-size-slug-e7320a9aaf-1                      accept the live value
              kubectl arcadia revert web-1-size-slug-e7320a9aaf-1 --plan               show the plan of a revert
              kubectl arcadia revert web-1-size-slug-e7320a9aaf-1 --allow disruption   change the cloud back
              kubectl arcadia show pr/web-1                                            show the record
        "#]]
        .assert_eq(&drift(&page(&more), now(), Paint::NONE));
    }

    #[test]
    fn a_composite_value_shows_each_place_that_differs() {
        let more = json!({ "spec": { "field": "spec", "expectedShort": "services.0.instance_count: 1 and 1 more",
            "actualShort": "services.0.instance_count: 2 and 1 more", "expected": "{\"a\":1}", "actual": "{\"a\":2}",
            "differences": [{ "path": "services.0.instance_count", "expected": "1", "actual": "2" }, { "path": "domains", "actual": "+1 domain x" }],
        } });
        let shown = drift(&page(&more), now(), Paint::NONE);
        let differences: Vec<_> =
            shown.lines().filter(|line| line.contains("instance_count") || line.contains("domain x")).collect();
        assert_eq!(
            differences,
            ["Differences   services.0.instance_count: 1 -> 2", "              domains: +1 domain x"]
        );
    }

    #[test]
    fn a_value_of_many_lines_is_shown_in_full() {
        let rules = json!([{ "protocol": "tcp", "ports": "22", "sources": { "addresses": ["10.0.0.0/8"] } }, { "protocol": "icmp" }]);
        let more = json!({ "spec": { "field": "inbound_rules", "expected": rules.to_string(), "actual": "#!/bin/sh\necho \u{1b}[31m" } });
        let shown = drift(&page(&more), now(), Paint::NONE);
        let from = shown.find("\nDesired in full").unwrap();
        expect![[r#"

            Desired in full
              - ports: "22"
                protocol: tcp
                sources:
                  addresses:
                  - 10.0.0.0/8
              - protocol: icmp

            Live in full
              #!/bin/sh
              "echo \u001b[31m"
        "#]]
        .assert_eq(&shown[from..shown.find("\nSagas").unwrap()]);
        assert_eq!(in_lines("x", "s-2vcpu-4gb"), "");
    }

    #[test]
    fn an_acceptance_that_stands_can_be_withdrawn_and_shows_the_patch() {
        let more = json!({ "status": { "phase": "Accepted", "reason": "Accepted", "decidedBy": "jane", "because": "OPS-123",
            "acceptance": { "until": "2026-06-01T00:00:00Z" },
            "conditions": [{ "type": "Standing", "status": "True", "reason": "Accepted", "message": "" }] } });
        let patch = Some(json!({ "spec": { "desired": { "size_slug": "s-4vcpu-8gb" } } }));
        let earlier = json!({ "metadata": { "creationTimestamp": "2026-05-01T00:00:00Z" }, "status": { "phase": "Stale",
            "reason": "LiveReturned", "resolvedAt": "2026-05-01T00:30:00Z" } });
        let history =
            vec![drift_object("web-1", &earlier), drift_object("web-1", &json!({ "spec": { "episode": 2 } }))];
        let page = DriftPage { manifest_patch: patch, history, events: vec![], sagas: vec![], ..page(&more) };
        expect![[r#"
            Drift web-1-size-slug-e7320a9aaf-1: Accepted, opened 3h ago

            Resource     Droplet 3164444, recorded as web-1 (version 3)
            Field        size_slug
            Desired      s-2vcpu-4gb
            Live         s-4vcpu-8gb
            Change       a4b70a39, shared by 4 other open drifts
            Decided by   jane
            Because      OPS-123
            Standing     True Accepted
            Until        2026-06-01T00:00:00Z
            State        Accepted

            The manifest is brought up to date by this merge patch:
              {"spec":{"desired":{"size_slug":"s-4vcpu-8gb"}}}

            History of the field
              FIELD       NUMBER   OPENED                    OLD -> NEW                   PHASE   REASON             BY   AFTER       BECAUSE
              size_slug   1        2026-05-01 00:00:00 UTC   s-2vcpu-4gb -> s-4vcpu-8gb   Stale   LiveReturned            30m
              size_slug   2        2026-05-10 09:00:00 UTC   s-2vcpu-4gb -> s-4vcpu-8gb   Open    AwaitingDecision        3h so far

            Next
              kubectl arcadia withdraw web-1-size-slug-e7320a9aaf-1              take the decision back
              kubectl arcadia accept web-1-size-slug-e7320a9aaf-1 --until TIME   change its end
              kubectl arcadia show pr/web-1                                      show the record
        "#]].assert_eq(&drift(&page, now(), Paint::NONE));
    }

    #[test]
    fn the_value_in_the_cloud_stands_beside_the_value_of_the_drift() {
        let now = |now| drift(&DriftPage { now: Some(now), ..page(&json!({})) }, self::now(), Paint::NONE);
        assert!(now(NowInCloud::InSync).contains("In the cloud   the desired value\n"));
        assert!(now(NowInCloud::Differs("s-8vcpu-16gb".into())).contains("In the cloud   s-8vcpu-16gb\n"));
        assert!(now(NowInCloud::Unknown("no scope".into())).contains("In the cloud   unknown: no scope\n"));
        let stands = json!({ "status": { "phase": "Accepted",
            "conditions": [{ "type": "Standing", "status": "True", "reason": "Accepted", "message": "" }] } });
        let accepted = DriftPage { now: Some(NowInCloud::InSync), ..page(&stands) };
        let shown = drift(&accepted, self::now(), Paint::NONE);
        assert!(shown.contains("In the cloud   the accepted value\n"), "{shown}");
    }

    /// The row of a field, with its state in the cloud.
    fn row(field: &str, acceptances: &Value, drifts: Vec<DynamicObject>, now: &[(&str, NowInCloud)]) -> String {
        let now = now.iter().map(|(field, now)| ((*field).to_owned(), now.clone())).collect();
        let record = object(acceptances);
        let page = RecordPage { record, drifts, events: vec![], sagas: vec![], now: Some(now), flag: String::new() };
        let drifts: Vec<_> = page.drifts.iter().map(DriftView::read).collect();
        let table = fields(&page, &drifts, Paint::NONE);
        let found = table.lines().find(|line| line.starts_with(field)).unwrap();
        found.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_value_in_the_cloud_is_compared_with_the_accepted_one() {
        let acceptances = json!([{ "field": "size_slug", "drift": "d", "accepted": "s-8", "declared": "s-2vcpu-4gb" }]);
        let row = |now: NowInCloud| row("size_slug", &acceptances, vec![], &[("size_slug", now)]);
        assert_eq!(row(NowInCloud::InSync), "s-2vcpu-4gb s-8 s-8 accepted, drift d");
        let back = NowInCloud::Differs("s-2vcpu-4gb".into());
        assert_eq!(row(back), "s-2vcpu-4gb s-8 s-2vcpu-4gb differs from the accepted value");
        assert_eq!(row(NowInCloud::Unknown("no scope".into())), "s-2vcpu-4gb s-8 unknown unknown");
    }

    #[test]
    fn the_existence_of_the_resource_has_a_row_if_a_drift_is_about_it() {
        let gone = json!({ "metadata": { "name": "web-1-exists" },
            "spec": { "field": "exists", "expectedShort": "true", "actualShort": "false" } });
        let row = |field: &str, drifts: bool, exists: NowInCloud, acceptances: &Value| {
            let drifts = if drifts { vec![drift_object("web-1", &gone)] } else { vec![] };
            row(field, acceptances, drifts, &[("exists", exists)])
        };
        let is_gone = || NowInCloud::Differs("false".into());
        assert_eq!(row("exists", true, is_gone(), &json!([])), "true false drift web-1-exists");
        assert_eq!(row("exists", true, NowInCloud::InSync, &json!([])), "true true drift web-1-exists");
        assert_eq!(row("region", true, is_gone(), &json!([])), "nyc3 nyc3 does not exist");
        assert_eq!(row("region", false, NowInCloud::InSync, &json!([])), "nyc3 nyc3 no drift open");
        // An accepted absence.
        let accepted = json!([{ "field": "exists", "drift": "d", "accepted": "false", "declared": "true" }]);
        assert_eq!(row("region", false, NowInCloud::InSync, &accepted), "nyc3 nyc3 does not exist");
    }

    #[test]
    fn a_record_of_another_user_does_not_command_the_terminal() {
        let mut record_of = object(&json!([]));
        *record_of.data.pointer_mut("/spec/provisionedBy").unwrap() = json!("jane\u{1b}[2J");
        let page = RecordPage {
            record: record_of,
            drifts: vec![],
            events: vec![],
            sagas: vec![],
            now: None,
            flag: String::new(),
        };
        let shown = record(&page, now(), Paint::NONE);
        assert!(shown.contains(r#"Provisioned by   "jane\u001b[2J""#) && !shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn the_page_of_a_record_lists_its_fields() {
        let acceptances = json!([{ "field": "tags", "drift": "d", "accepted": r#"["web","prod"]"#, "declared": r#"["web"]"#,
            "since": "2026-05-09T00:00:00Z", "until": "2026-06-01T00:00:00Z" }]);
        let page = RecordPage {
            record: object(&acceptances),
            drifts: vec![drift_object("web-1", &json!({}))],
            events: an_event(),
            sagas: a_saga(),
            now: None,
            flag: " -n default".into(),
        };
        expect![[r#"
            Record web-1: Droplet, recorded 9d ago

            Resource         Droplet 3164444
            Version          3
            Provisioned by   platform-team
            Ready            True Compared: 3 fields were compared
            InSync           False DriftOpen: size_slug is s-4vcpu-8gb, expected s-2vcpu-4gb

            FIELD       DECLARED      DESIRED          LIVE             STATE
            image       ubuntu        ubuntu                            ignored
            region      nyc3          nyc3                              no drift open
            size_slug   s-2vcpu-4gb   s-2vcpu-4gb      s-4vcpu-8gb      drift web-1-size-slug-e7320a9aaf-1
            tags        ["web"]       ["web","prod"]   ["web","prod"]   accepted until 2026-06-01T00:00:00Z, drift d

            Sagas
              snapshot-web-1   update   Succeeded   8d ago

            Events
              3h ago   DriftDetected   size_slug is s-4vcpu-8gb

            Next
              kubectl arcadia show web-1-size-slug-e7320a9aaf-1 -n default   show one drift in full
              kubectl arcadia accept --record web-1 -n default               accept all open drifts of the record
              kubectl arcadia revert --record web-1 -n default               change the cloud back
              kubectl arcadia withdraw d -n default                          take the acceptance back
              kubectl arcadia history web-1 -n default                       list all drifts of the record
        "#]]
        .assert_eq(&record(&page, now(), Paint::NONE));
    }

    #[test]
    fn the_contents_for_programs_are_all_that_the_pages_show() {
        let history = vec![drift_object("web-1", &json!({}))];
        let page = DriftPage { history, now: Some(NowInCloud::Differs("s-8".into())), ..page(&json!({})) };
        let contents = page.contents();
        for (pointer, wanted) in [
            ("/drift/spec/field", json!("size_slug")),
            ("/record/metadata/name", json!("web-1")),
            ("/history/0/kind", json!("Drift")),
            ("/alike", json!(4)),
            (
                "/events/0",
                json!({ "at": "2026-05-10T09:00:00Z", "reason": "DriftDetected", "message": "size_slug is s-4vcpu-8gb" }),
            ),
            ("/sagas/0/phase", json!("Succeeded")),
            ("/live", json!({ "verdict": "Drift", "actual": "s-8" })),
        ] {
            assert_eq!(contents.pointer(pointer), Some(&wanted), "{pointer}: {contents:#}");
        }
        let now = [("region".to_owned(), NowInCloud::Unknown("no scope".into()))].into();
        let page = RecordPage {
            record: object(&json!([])),
            drifts: vec![drift_object("web-1", &json!({}))],
            events: an_event(),
            sagas: a_saga(),
            now: Some(now),
            flag: String::new(),
        };
        let contents = page.contents();
        assert_eq!(contents.pointer("/drifts/0/metadata/resourceVersion"), Some(&json!("7")));
        assert_eq!(contents["live"], json!({ "region": { "verdict": "Unknown", "reason": "no scope" } }));
        assert_eq!(contents.pointer("/record/spec/desired/region"), Some(&json!("nyc3")));
    }
}
