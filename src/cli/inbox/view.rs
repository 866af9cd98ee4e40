//! The inbox as text. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use console::measure_text_width;
use jiff::Timestamp;

use crate::{
    api::conditions::ConditionReason,
    cli::{
        decide,
        drift::{ClassText, DriftView, PLAN, Pending},
        text::{Paint, Table, age, count, lines},
    },
    comparison::show,
    digitalocean::revert,
    drift::shown::first,
};

/// The number of records that a group names.
const NAMED: usize = 3;
/// The columns of a change.
const CHANGE: usize = 72;

pub(super) struct InboxScope<'a> {
    /// True if it covers all namespaces.
    pub(super) all: bool,
    pub(super) namespace: &'a str,
    /// The flag that selects the same drifts in another command, with a leading space.
    pub(super) flag: &'a str,
    /// The flags that select the same cluster in another command, with a leading space.
    pub(super) place_flags: &'a str,
    /// True if flags leave some drifts out.
    pub(super) is_filtered: bool,
}

/// The drifts of one change.
#[derive(Debug, PartialEq, Eq)]
struct Group<'a> {
    drifts: Vec<&'a DriftView>,
}

impl<'a> Group<'a> {
    fn first(&self) -> Option<&'a DriftView> {
        self.drifts.first().copied()
    }

    /// The first drift that a decision may follow.
    fn undecided(&self) -> Option<&'a DriftView> {
        self.drifts.iter().copied().find(|drift| awaits_decision(drift))
    }

    fn class(&self) -> Option<&'a ClassText> {
        self.drifts.iter().filter_map(|drift| drift.class.as_ref()).min_by_key(|class| class.rank())
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.drifts.iter().filter_map(|drift| drift.created).min()
    }

    /// Lost resources first, then the worst class, then the oldest.
    fn rank(&self) -> impl Ord + use<'a> {
        let is_gone = self.first().is_some_and(DriftView::is_about_existence);
        let class = self.class();
        (
            !is_gone,
            class.map_or(u8::MAX, ClassText::rank),
            self.oldest(),
            self.first().map(|drift| drift.change.clone()),
        )
    }
}

fn grouped(drifts: &[DriftView]) -> Vec<Group<'_>> {
    let mut ordered: Vec<&DriftView> = drifts.iter().collect();
    ordered.sort_by_key(|drift| (key(drift), &drift.namespace, &drift.record, &drift.name));
    let mut groups: Vec<Group<'_>> =
        ordered.chunk_by(|one, other| key(one) == key(other)).map(|chunk| Group { drifts: chunk.to_vec() }).collect();
    groups.sort_by_cached_key(Group::rank);
    groups
}

/// Drifts in the order of the inbox.
pub(super) fn in_order(drifts: &[DriftView]) -> Vec<DriftView> {
    grouped(drifts).iter().flat_map(|group| &group.drifts).map(|drift| (*drift).clone()).collect()
}

/// Drifts without the label, from an early operator, form separate groups.
fn key(drift: &DriftView) -> (&str, &str, &str) {
    let alone = if drift.change.is_empty() { drift.name.as_str() } else { "" };
    (&drift.change, &drift.kind, alone)
}

/// The open drifts by change, and the next commands. A table that is wider than `width` omits the number and the age of
/// the drifts of a change.
pub(super) fn groups(
    drifts: &[DriftView],
    scope: &InboxScope<'_>,
    now: Timestamp,
    paint: Paint,
    width: Option<usize>,
) -> String {
    let groups = grouped(drifts);
    if groups.is_empty() {
        return nothing(scope);
    }
    let in_full = table(&groups, scope, now, paint, true).render();
    let is_too_wide = width.is_some_and(|width| in_full.lines().any(|line| measure_text_width(line) > width));
    let table = if is_too_wide { table(&groups, scope, now, paint, false).narrow().render() } else { in_full };
    format!("{table}\n{}", next(drifts, &groups, scope, paint))
}

fn table(groups: &[Group<'_>], scope: &InboxScope<'_>, now: Timestamp, paint: Paint, is_full: bool) -> Table {
    let has_classes = groups.iter().any(|group| group.class().is_some());
    let classes = has_classes.then_some("REVERT");
    let numbers = ["COUNT", "AGE"].into_iter().filter(|_| is_full);
    let headings = ["CHANGE"].into_iter().chain(classes).chain(["KIND", "FIELD"]).chain(numbers);
    let mut table = Table::with_headings(&headings.chain(["OLD -> NEW", "RECORDS"]).collect::<Vec<_>>());
    for group in groups {
        let Some(drift) = group.first() else { continue };
        let change = if drift.change.is_empty() { "-" } else { &drift.change };
        let class = has_classes.then(|| group.class().map(|class| painted(class, paint)).unwrap_or_default());
        let mut cells = vec![paint.bold(change)];
        cells.extend(class);
        cells.extend([drift.kind.clone(), drift.field.clone()]);
        if is_full {
            cells.extend([group.drifts.len().to_string(), age(group.oldest(), now)]);
        }
        cells.extend([show::clip(&drift.change_in_short(), CHANGE), records(group, scope)]);
        table.row(cells);
    }
    table
}

/// The names of the records. Some of their decisions may be pending.
fn records(group: &Group<'_>, scope: &InboxScope<'_>) -> String {
    let mut names: Vec<String> =
        group.drifts.iter().map(|drift| located(&drift.namespace, &drift.record, scope)).collect();
    names.dedup();
    let mut text = first(&names, NAMED, ", ");
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for state in group.drifts.iter().filter_map(|drift| state(drift)) {
        *states.entry(state).or_default() += 1;
    }
    for (state, number) in states {
        let _ = write!(text, " ({number} {state})");
    }
    text
}

/// The state of the decision on an open drift, if there is one.
pub(super) fn state(drift: &DriftView) -> Option<&'static str> {
    match ConditionReason::read(&drift.reason) {
        Some(ConditionReason::Reverting) => Some("being reverted"),
        Some(ConditionReason::RevertStuck) => Some("with a stuck revert"),
        _ if drift.pending.as_ref().is_some_and(|pending| pending.word() == PLAN) => Some("being planned"),
        _ if drift.pending.is_some() => Some("decided, not carried out yet"),
        Some(ConditionReason::RevertFailed) => Some("with a failed revert"),
        Some(ConditionReason::DecisionRefused) => Some("with a refused decision"),
        _ => None,
    }
}

/// Returns true if no decision is made, or if the last one was refused or failed. A plan is no decision.
fn awaits_decision(drift: &DriftView) -> bool {
    drift.pending.as_ref().is_none_or(|pending| pending.word() == PLAN) && !drift.is_reverting()
}

fn located(namespace: &str, name: &str, scope: &InboxScope<'_>) -> String {
    if scope.all { format!("{namespace}/{name}") } else { name.to_owned() }
}

fn painted(class: &ClassText, paint: Paint) -> String {
    let name = class.name();
    match class {
        ClassText::Known(revert::RevertClass::Lossy | revert::RevertClass::OneWay) => paint.bad(&name),
        ClassText::Known(revert::RevertClass::Disruptive | revert::RevertClass::NotRevertible) => paint.warn(&name),
        ClassText::Known(revert::RevertClass::Safe) => paint.good(&name),
        ClassText::Known(revert::RevertClass::NotOurs) | ClassText::Other(_) => name,
    }
}

/// The next commands for the first change that is not decided.
fn next(drifts: &[DriftView], groups: &[Group<'_>], scope: &InboxScope<'_>, paint: Paint) -> String {
    let undecided = groups.iter().find_map(|group| Some((group, group.undecided()?)));
    let Some((group, top)) = undecided.or_else(|| groups.first().and_then(|group| Some((group, group.first()?))))
    else {
        return String::new();
    };
    let namespaces: BTreeSet<&str> = drifts.iter().map(|drift| drift.namespace.as_str()).collect();
    let place = if scope.all { format!(" in {}", count(namespaces.len(), "namespace")) } else { String::new() };
    let flag = if scope.all { format!(" -n {}{}", top.namespace, scope.place_flags) } else { scope.flag.to_owned() };
    let one = format!("{}{flag}", top.name);
    // Another decision on a drift of the change stays as it is.
    let is_whole = !top.change.is_empty() && group.drifts.iter().all(|drift| awaits_decision(drift));
    let many = if is_whole { format!("--change {}{}", top.change, scope.flag) } else { one.clone() };
    let mut table = Table::default().indented(2);
    let mut commands = vec![(format!("kubectl arcadia show {one}"), "show one drift in full")];
    if awaits_decision(top) {
        commands.push((format!("kubectl arcadia accept {many}"), "accept the live value"));
        // If a revert does harm, its plan comes first, and names the flag that allows it.
        commands.extend(decide::revert_commands(&many, top.class.as_ref()).into_iter().next());
    } else if !top.is_reverting() {
        commands.push((format!("kubectl arcadia withdraw {one}"), "withdraw the decision"));
    }
    for (command, what) in commands {
        table.row([command, paint.dim(what)]);
    }
    format!(
        "{}, {}{place}. Next:\n{}",
        count(drifts.len(), "open drift"),
        count(groups.len(), "change"),
        table.render()
    )
}

fn nothing(scope: &InboxScope<'_>) -> String {
    let place = if scope.all { "all namespaces".to_owned() } else { format!("namespace {}", scope.namespace) };
    let which = if scope.is_filtered { " that match" } else { "" };
    let flags = scope.place_flags;
    let flag = if scope.all { flags } else { scope.flag };
    let elsewhere =
        if scope.all { String::new() } else { format!(" List all namespaces with: kubectl arcadia inbox -A{flags}.") };
    format!("No open drifts{which} in {place}.{elsewhere} Check the operator with: kubectl arcadia status{flag}\n")
}

/// One line per drift.
pub(super) fn wide(drifts: &[DriftView], scope: &InboxScope<'_>, now: Timestamp, paint: Paint) -> String {
    let groups = grouped(drifts);
    if groups.is_empty() {
        return nothing(scope);
    }
    let mut headings =
        vec!["NAME", "RECORD", "KIND", "ID", "FIELD", "OLD -> NEW", "REVERT", "CHANGE", "AGE", "REASON", "DECISION"];
    if scope.all {
        headings.insert(0, "NAMESPACE");
    }
    let mut table = Table::with_headings(&headings);
    for drift in groups.iter().flat_map(|group| &group.drifts) {
        let decision = drift.pending.as_ref().map(Pending::word).unwrap_or_default().to_owned();
        let mut cells = vec![
            paint.bold(&drift.name),
            drift.record.clone(),
            drift.kind.clone(),
            drift.id.clone(),
            drift.field.clone(),
            drift.change_in_short(),
            drift.class.as_ref().map(|class| painted(class, paint)).unwrap_or_default(),
            drift.change.clone(),
            age(drift.created, now),
            drift.reason.clone(),
            decision,
        ];
        if scope.all {
            cells.insert(0, drift.namespace.clone());
        }
        table.row(cells);
    }
    table.render()
}

/// The names, for `accept -` and `revert -`.
pub(super) fn names(drifts: &[DriftView], scope: &InboxScope<'_>) -> String {
    let line = |drift: &&DriftView| {
        if scope.all {
            format!("drift.arcadia.cloud/{}/{}", drift.namespace, drift.name)
        } else {
            format!("drift.arcadia.cloud/{}", drift.name)
        }
    };
    lines(grouped(drifts).iter().flat_map(|group| &group.drifts).map(line))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::view;

    fn now() -> Timestamp {
        "2026-05-10T12:00:00Z".parse().unwrap()
    }

    fn inbox() -> Vec<DriftView> {
        let gone = json!({
            "metadata": { "namespace": "team-b", "labels": { "arcadia.cloud/change": "00000001" },
                "creationTimestamp": "2026-05-10T11:59:15Z" },
            "spec": { "field": "exists", "expectedShort": "true", "actualShort": "false" },
        });
        let tags = json!({
            "metadata": { "labels": { "arcadia.cloud/change": "0badcafe" }, "creationTimestamp": "2026-05-01T00:00:00Z" },
            "spec": { "field": "tags", "expectedShort": r#"["web"]"#, "actualShort": "[]", "revert": "Safe" },
        });
        let size = json!({ "spec": { "revert": { "class": "Disruptive" } } });
        let decided = json!({ "metadata": { "annotations": { "arcadia.cloud/accept": "true" } } });
        let mut drifts: Vec<_> = (1..=5).map(|number| view(&format!("web-{number}"), &size)).collect();
        drifts.extend([view("web-1", &tags), view("db-1", &gone), view("web-6", &decided)]);
        drifts
    }

    fn check(is_all: bool, render: impl Fn(&InboxScope<'_>) -> String, expected: &Expect) {
        let flag = if is_all { " -A" } else { "" };
        let scope = InboxScope { all: is_all, namespace: "default", flag, place_flags: "", is_filtered: false };
        expected.assert_eq(&render(&scope));
    }

    #[test]
    fn changes_come_worst_first_with_the_next_commands() {
        check(
            false,
            |scope| groups(&inbox(), scope, now(), Paint::NONE, None),
            &expect![[r#"
            CHANGE     REVERT       KIND      FIELD       COUNT   AGE   OLD -> NEW                   RECORDS
            00000001                Droplet   exists      1       45s   true -> false                db-1
            a4b70a39   Disruptive   Droplet   size_slug   6       3h    s-2vcpu-4gb -> s-4vcpu-8gb   web-1, web-2, web-3 and 3 more (1 decided, not carried out yet)
            0badcafe   Safe         Droplet   tags        1       9d    ["web"] -> []                web-1

            8 open drifts, 3 changes. Next:
              kubectl arcadia show db-1-size-slug-e7320a9aaf-1   show one drift in full
              kubectl arcadia accept --change 00000001           accept the live value
              kubectl arcadia revert --change 00000001           change the cloud back
        "#]],
        );
    }

    #[test]
    fn the_next_commands_are_about_a_drift_without_a_decision() {
        let labelled = |change: &str| json!({ "metadata": { "labels": { "arcadia.cloud/change": change } } });
        let decided = |change: &str| {
            let mut more = labelled(change);
            more["metadata"]["annotations"] = json!({ "arcadia.cloud/accept": "true" });
            more["spec"] = json!({ "field": "exists" });
            more
        };
        let gone = view("db-1", &decided("00000001"));
        let tags = view("web-1", &labelled("0badcafe"));
        let mut reverting = labelled("00000002");
        reverting["metadata"]["annotations"] = json!({ "arcadia.cloud/revert": "true" });
        reverting["status"] = json!({ "reason": "Reverting" });
        let reverting = view("web-2", &reverting);
        let last_command = |drifts: &[DriftView]| {
            let scope = InboxScope { all: false, namespace: "default", flag: "", place_flags: "", is_filtered: false };
            let text = groups(drifts, &scope, now(), Paint::NONE, None);
            text.lines().last().and_then(|line| line.trim().split("   ").next()).unwrap_or_default().to_owned()
        };
        let revert = "kubectl arcadia revert --change 0badcafe";
        assert_eq!(last_command(&[gone.clone(), tags]), revert);
        assert_eq!(last_command(std::slice::from_ref(&gone)), format!("kubectl arcadia withdraw {}", gone.name));
        let other = view("web-3", &labelled("00000001"));
        let only_other = format!("kubectl arcadia revert {}", other.name);
        assert_eq!(last_command(&[gone, other]), only_other, "the decided one is left alone");
        assert_eq!(last_command(&[reverting]), "kubectl arcadia show web-2-size-slug-e7320a9aaf-1");
    }

    #[test]
    fn with_all_namespaces_each_record_says_where_it_is() {
        check(
            true,
            |scope| groups(&inbox(), scope, now(), Paint::NONE, None),
            &expect![[r#"
            CHANGE     REVERT       KIND      FIELD       COUNT   AGE   OLD -> NEW                   RECORDS
            00000001                Droplet   exists      1       45s   true -> false                team-b/db-1
            a4b70a39   Disruptive   Droplet   size_slug   6       3h    s-2vcpu-4gb -> s-4vcpu-8gb   default/web-1, default/web-2, default/web-3 and 3 more (1 decided, not carried out yet)
            0badcafe   Safe         Droplet   tags        1       9d    ["web"] -> []                default/web-1

            8 open drifts, 3 changes in 2 namespaces. Next:
              kubectl arcadia show db-1-size-slug-e7320a9aaf-1 -n team-b   show one drift in full
              kubectl arcadia accept --change 00000001 -A                  accept the live value
              kubectl arcadia revert --change 00000001 -A                  change the cloud back
        "#]],
        );
    }

    #[test]
    fn without_classes_there_is_no_such_column() {
        let drifts = [view("web-1", &json!({}))];
        check(
            false,
            |scope| groups(&drifts, scope, now(), Paint::NONE, None),
            &expect![[r#"
            CHANGE     KIND      FIELD       COUNT   AGE   OLD -> NEW                   RECORDS
            a4b70a39   Droplet   size_slug   1       3h    s-2vcpu-4gb -> s-4vcpu-8gb   web-1

            1 open drift, 1 change. Next:
              kubectl arcadia show web-1-size-slug-e7320a9aaf-1   show one drift in full
              kubectl arcadia accept --change a4b70a39            accept the live value
              kubectl arcadia revert --change a4b70a39            change the cloud back
        "#]],
        );
    }

    #[test]
    fn a_narrow_terminal_shows_fewer_columns() {
        let drifts = [view("web-1", &json!({ "spec": { "revert": { "class": "Disruptive" } } }))];
        let narrow = |scope: &InboxScope<'_>| groups(&drifts, scope, now(), Paint::NONE, Some(80));
        check(
            false,
            narrow,
            &expect![[r#"
            CHANGE    REVERT      KIND     FIELD      OLD -> NEW                  RECORDS
            a4b70a39  Disruptive  Droplet  size_slug  s-2vcpu-4gb -> s-4vcpu-8gb  web-1

            1 open drift, 1 change. Next:
              kubectl arcadia show web-1-size-slug-e7320a9aaf-1   show one drift in full
              kubectl arcadia accept --change a4b70a39            accept the live value
              kubectl arcadia revert --change a4b70a39 --plan     show the plan of a revert
        "#]],
        );
        let scope = InboxScope { all: false, namespace: "default", flag: "", place_flags: "", is_filtered: false };
        assert!(narrow(&scope).lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn an_empty_inbox_names_its_namespace() {
        check(
            false,
            |scope| groups(&[], scope, now(), Paint::NONE, None),
            &expect![[r#"
            No open drifts in namespace default. List all namespaces with: kubectl arcadia inbox -A. Check the operator with: kubectl arcadia status
        "#]],
        );
        check(
            true,
            |scope| wide(&[], scope, now(), Paint::NONE),
            &expect![[r#"
            No open drifts in all namespaces. Check the operator with: kubectl arcadia status
        "#]],
        );
    }

    #[test]
    fn the_wide_list_has_one_line_per_drift() {
        check(
            true,
            |scope| wide(&inbox(), scope, now(), Paint::NONE),
            &expect![[r#"
            NAMESPACE   NAME                           RECORD   KIND      ID        FIELD       OLD -> NEW                   REVERT       CHANGE     AGE   REASON             DECISION
            team-b      db-1-size-slug-e7320a9aaf-1    db-1     Droplet   3164444   exists      true -> false                             00000001   45s   AwaitingDecision
            default     web-1-size-slug-e7320a9aaf-1   web-1    Droplet   3164444   size_slug   s-2vcpu-4gb -> s-4vcpu-8gb   Disruptive   a4b70a39   3h    AwaitingDecision
            default     web-2-size-slug-e7320a9aaf-1   web-2    Droplet   3164444   size_slug   s-2vcpu-4gb -> s-4vcpu-8gb   Disruptive   a4b70a39   3h    AwaitingDecision
            default     web-3-size-slug-e7320a9aaf-1   web-3    Droplet   3164444   size_slug   s-2vcpu-4gb -> s-4vcpu-8gb   Disruptive   a4b70a39   3h    AwaitingDecision
            default     web-4-size-slug-e7320a9aaf-1   web-4    Droplet   3164444   size_slug   s-2vcpu-4gb -> s-4vcpu-8gb   Disruptive   a4b70a39   3h    AwaitingDecision
            default     web-5-size-slug-e7320a9aaf-1   web-5    Droplet   3164444   size_slug   s-2vcpu-4gb -> s-4vcpu-8gb   Disruptive   a4b70a39   3h    AwaitingDecision
            default     web-6-size-slug-e7320a9aaf-1   web-6    Droplet   3164444   size_slug   s-2vcpu-4gb -> s-4vcpu-8gb                a4b70a39   3h    AwaitingDecision   accept
            default     web-1-size-slug-e7320a9aaf-1   web-1    Droplet   3164444   tags        ["web"] -> []                Safe         0badcafe   9d    AwaitingDecision
        "#]],
        );
    }

    #[test]
    fn names_can_be_piped_into_other_commands() {
        check(
            false,
            |scope| names(&inbox()[..1], scope),
            &expect![[r#"
            drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1
        "#]],
        );
        check(
            true,
            |scope| names(&inbox()[..1], scope),
            &expect![[r#"
            drift.arcadia.cloud/default/web-1-size-slug-e7320a9aaf-1
        "#]],
        );
    }
}
