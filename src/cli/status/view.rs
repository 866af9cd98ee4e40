//! The state of the installation as checks, each with the command that corrects it. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{
    found::{DeploymentView, LeaseView, OPERATOR_LABEL, RecordCounts, StatusFindings},
    remedy,
    report::{KindReport, LeaderReport, Unreported},
};
use crate::{
    api::{OPERATOR, SagaPhase, conditions::ConditionReason},
    cli::{
        cluster::Noun,
        text::{Paint, Table, age, count},
    },
    comparison::show,
    drift::{pace::Reason, shown::first},
    manifests::{policies::NAMES, users::UserRole},
};

/// The number of lease durations after which a leader counts as lost.
const LOST_AFTER: i64 = 3;
/// The share of a limit below which the calls left are few.
const LOW: f64 = 0.1;
/// The number of sweeps within the default age limit of an inventory.
const SWEEPS_PER_AGE: f64 = 3.0;
/// The default schedule of sweeps, in seconds.
const SCHEDULE: f64 = 300.0;
/// The columns of a message.
const MESSAGE: usize = 160;
/// The number of objects that a line names.
const NAMED: usize = 3;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    subject: &'static str,
    state: State,
    text: String,
    /// The command that corrects it, or shows more.
    next: Option<String>,
}

/// The state of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// It works, and a person should know.
    Note,
    /// The user may not read it.
    Unknown,
    Problem,
}

impl Check {
    fn new(subject: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { subject, state, text: text.into(), next: None }
    }

    fn next(self, command: impl Into<String>) -> Self {
        self.suggest(Some(command.into()))
    }

    fn suggest(self, next: Option<String>) -> Self {
        Self { next, ..self }
    }

    fn unreadable(subject: &'static str, message: &str) -> Self {
        Self::new(subject, State::Unknown, format!("you may not read it: {}", show::clip(message, MESSAGE)))
    }
}

pub(super) fn has_problem(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.state == State::Problem)
}

pub(super) fn render(checks: &[Check], paint: Paint) -> String {
    let mut table = Table::default();
    for check in checks {
        let state = match check.state {
            State::Ok => paint.good("ok"),
            State::Note => paint.warn("note"),
            State::Unknown => paint.dim("unknown"),
            State::Problem => paint.bad("PROBLEM"),
        };
        table.row([state, check.subject.to_owned(), check.text.clone()]);
        if let Some(next) = &check.next {
            table.row([String::new(), String::new(), format!("-> {next}")]);
        }
    }
    let problems = checks.iter().filter(|check| check.state == State::Problem).count();
    let verdict =
        if problems == 0 { "No problem found.".to_owned() } else { format!("{} found.", count(problems, "problem")) };
    format!("{}\n{verdict}\n", table.render())
}

/// Everything, for programs.
pub(super) fn json(checks: &[Check]) -> Value {
    let checks = checks.iter().map(|check| {
        let state = match check.state {
            State::Ok => "Ok",
            State::Note => "Note",
            State::Unknown => "Unknown",
            State::Problem => "Problem",
        };
        json!({ "subject": check.subject, "state": state, "text": check.text, "next": check.next })
    });
    json!({ "checks": checks.collect::<Vec<_>>() })
}

pub(super) fn checks(found: &StatusFindings) -> Vec<Check> {
    let mut checks = vec![Check::new("API server", State::Ok, &found.server_version), definitions(found)];
    checks.extend(leaders(found));
    checks.extend(deployments(found));
    checks.extend(found.reports.iter().flat_map(|report| reported(report, found)));
    checks.extend(unreported(found));
    checks.push(policies(found));
    if found.definitions.is_some() {
        checks.extend(records(found));
        checks.extend(sagas(found));
    }
    checks.extend(rights(found));
    checks
}

fn definitions(found: &StatusFindings) -> Check {
    const SUBJECT: &str = "Definitions";
    let apply = format!("arcadia-operator crds | kubectl apply --server-side -f -{}", found.admin_flags);
    let Some(served) = &found.definitions else {
        return Check::new(SUBJECT, State::Problem, "the cluster does not serve arcadia.cloud/v1alpha1").next(apply);
    };
    let wanted = [Noun::Record, Noun::Drift, Noun::Saga].map(Noun::plural);
    let missing: Vec<_> = wanted.iter().filter(|plural| !served.contains(*plural)).map(String::as_str).collect();
    if missing.is_empty() {
        return Check::new(SUBJECT, State::Ok, format!("{} are served", wanted.join(", ")));
    }
    Check::new(SUBJECT, State::Problem, format!("the cluster does not serve {}", missing.join(", "))).next(apply)
}

fn leaders(found: &StatusFindings) -> Vec<Check> {
    const SUBJECT: &str = "Leader";
    match &found.leases {
        Err(message) => vec![Check::unreadable(SUBJECT, message)],
        Ok(leases) if leases.is_empty() => vec![
            Check::new(SUBJECT, State::Problem, "there is no Lease: no operator has run with leader election")
                .next(format!("kubectl get deployments -A -l {OPERATOR_LABEL}{}", found.place_flags)),
        ],
        Ok(leases) => leases.iter().map(|lease| leader(lease, found)).collect(),
    }
}

fn leader(lease: &LeaseView, found: &StatusFindings) -> Check {
    const SUBJECT: &str = "Leader";
    let LeaseView { namespace, holder, renewed, seconds } = lease;
    let is_fresh =
        renewed.is_some_and(|at| found.now.duration_since(at).as_secs() <= seconds.saturating_mul(LOST_AFTER));
    let since = age(*renewed, found.now);
    match holder {
        Some(holder) if is_fresh => {
            Check::new(SUBJECT, State::Ok, format!("{holder} in namespace {namespace}, seen {since} ago"))
        }
        holder => {
            let last = holder.as_ref().map(|holder| format!(", the last one was {holder}")).unwrap_or_default();
            Check::new(
                SUBJECT,
                State::Problem,
                format!("no operator leads in namespace {namespace} since {since}{last}"),
            )
            .next(format!(
                "kubectl logs -n {namespace} deployment/{} --tail=50{}",
                deployment_in(namespace, found),
                found.place_flags
            ))
        }
    }
}

/// The name of the operator's Deployment in a namespace.
fn deployment_in<'f>(namespace: &str, found: &'f StatusFindings) -> &'f str {
    let mut deployments = found.deployments.iter().flatten();
    deployments.find(|deployment| deployment.namespace == namespace).map_or(OPERATOR, |deployment| &deployment.name)
}

fn deployments(found: &StatusFindings) -> Vec<Check> {
    const SUBJECT: &str = "Operator";
    let deployments = match &found.deployments {
        Err(message) => return vec![Check::unreadable(SUBJECT, message)],
        Ok(deployments) => deployments,
    };
    if deployments.is_empty() {
        let text = "no Deployment has the label of the operator: it runs outside of the cluster, or is not installed";
        return vec![Check::new(SUBJECT, State::Note, text)];
    }
    let check = |deployment: &DeploymentView| {
        let DeploymentView { namespace, name, image, ready, wanted, .. } = deployment;
        let flags = &found.place_flags;
        let text = format!("{ready} of {wanted} replicas of {namespace}/{name} are ready, image {image}");
        match (*ready, *wanted) {
            (_, 0) => Check::new(SUBJECT, State::Problem, text)
                .next(format!("kubectl scale deployment {name} -n {namespace} --replicas=2{flags}")),
            (0, _) => Check::new(SUBJECT, State::Problem, text)
                .next(format!("kubectl describe deployment {name} -n {namespace}{flags}")),
            (ready, wanted) if ready < wanted => Check::new(SUBJECT, State::Note, text)
                .next(format!("kubectl describe deployment {name} -n {namespace}{flags}")),
            _ => Check::new(SUBJECT, State::Ok, text),
        }
    };
    deployments.iter().map(check).collect()
}

/// The operator's own report: its version, budget and sweeps.
fn reported(report: &Result<LeaderReport, Unreported>, found: &StatusFindings) -> Vec<Check> {
    const SUBJECT: &str = "Sweeps";
    let report = match report {
        Ok(report) => report,
        Err(Unreported { namespace, message, is_forbidden }) => {
            let text = format!("the operator's own report cannot be read: {}", show::clip(message, MESSAGE));
            let next = if *is_forbidden {
                remedy::read_reports(found, namespace)
            } else {
                format!("kubectl get pods -n {namespace}{}", found.place_flags)
            };
            return vec![Check::new(SUBJECT, State::Unknown, text).next(next)];
        }
    };
    let logs = || format!("kubectl logs -n {} {} --tail=50{}", report.namespace, report.pod, found.place_flags);
    let mut checks: Vec<_> = std::iter::once(version(report)).chain(budget(report, found)).collect();
    let failures = report.failures.iter().map(|(name, failure)| {
        Check::new("Readiness", State::Problem, format!("{name}: {}", show::clip(failure, MESSAGE))).next(logs())
    });
    checks.extend(failures);
    for (kind, sweep) in &report.kinds {
        let pace = pace(sweep, &report.namespace, found);
        let ago = sweep.age.map(|age| age_of(age, found.now));
        let mut text = match &ago {
            Some(ago) => format!("{kind}: listed {ago} ago"),
            None => format!("{kind}: never listed"),
        };
        if let Some(recorded) = sweep.recorded {
            let _ = write!(text, ", {recorded} recorded");
        }
        if let Some(unrecorded) = sweep.unrecorded.filter(|number| *number > 0.0) {
            let _ = write!(text, ", {unrecorded} not recorded");
        }
        let is_old = sweep.age.zip(report.max_age).is_some_and(|(age, most)| age >= most);
        if is_old {
            text += "; too old to compare";
        }
        if let Some(failure) = &sweep.failure {
            let _ = write!(text, "; {}", show::clip(failure, MESSAGE));
        }
        if let Some(pace) = &pace {
            let _ = write!(text, "; {}", pace.text);
        }
        let is_bad = is_old || sweep.failure.is_some();
        let state = if is_bad { State::Problem } else { pace.as_ref().map_or(State::Ok, |pace| pace.state) };
        let next = if is_bad { Some(logs()) } else { pace.and_then(|pace| pace.next) };
        checks.push(Check { next, ..Check::new(SUBJECT, state, text) });
    }
    checks
}

/// The sweep frequency of a kind, if it differs from the schedule.
fn pace(sweep: &KindReport, namespace: &str, found: &StatusFindings) -> Option<PaceText> {
    let now = found.now;
    let (seconds, reason) = sweep.interval.as_ref()?;
    let scheduled = sweep.scheduled?;
    let mut shown = [*seconds, scheduled].map(|seconds| age_of(seconds, now));
    if shown[0] == shown[1] {
        shown = [*seconds, scheduled].map(|seconds| format!("{} s", seconds.ceil()));
    }
    let [interval, scheduled] = shown;
    let calls = sweep.calls.unwrap_or_default();
    let calls = format!("{calls} {}", if calls > 1.0 { "calls" } else { "call" });
    let mut pace =
        PaceText { text: format!("swept every {interval} instead of {scheduled}"), state: State::Note, next: None };
    match reason.parse::<Reason>().ok()? {
        Reason::Schedule => return None,
        Reason::OwnLimit => {
            pace.text += ": the list has a separate rate limit";
            pace.state = State::Ok;
        }
        Reason::TokenLimit => {
            let _ = write!(pace.text, ": a sweep takes {calls}");
            pace.next = Some(remedy::set(found, namespace, &remedy::SYNC_SCHEDULE, &minutes(*seconds)));
        }
        Reason::Shortage => {
            let _ = write!(pace.text, ": a sweep takes {calls}, too many for --inventory-max-age");
            pace.state = State::Problem;
            pace.next = Some(remedy::set(found, namespace, &remedy::MAX_AGE, &minutes(*seconds * SWEEPS_PER_AGE)));
        }
    }
    if let Some(due) = sweep.due.filter(|due| *due > 0.0) {
        let _ = write!(pace.text, "; the next one is due in {}", age_of(due, now));
    }
    Some(pace)
}

/// The sweep frequency of a kind, as a finding.
struct PaceText {
    text: String,
    state: State,
    next: Option<String>,
}

/// A leader that is no pod serves its report at an address that only its user knows.
fn unreported(found: &StatusFindings) -> Option<Check> {
    let leases = found.leases.as_ref().ok().filter(|_| found.reports.is_empty())?;
    let holder = leases.iter().find_map(|lease| lease.holder.as_ref())?;
    let machine = holder.rsplit_once('_').map_or(holder.as_str(), |(machine, _)| machine);
    let text = format!(
        "the leader is no pod of the cluster, so that its lists, budget and failures cannot be read here; if it has \
         a --metrics-address, read /readyz?verbose there, on {machine}"
    );
    Some(Check::new("Sweeps", State::Note, text))
}

fn version(report: &LeaderReport) -> Check {
    const SUBJECT: &str = "Version";
    let ours = env!("CARGO_PKG_VERSION");
    match report.version.as_deref() {
        None => Check::new(
            SUBJECT,
            State::Note,
            format!("this command is {ours}, and the operator does not say its version"),
        ),
        Some(operator) if operator == ours => Check::new(SUBJECT, State::Ok, format!("{operator}, as this command")),
        Some(operator) => Check::new(
            SUBJECT,
            State::Note,
            format!("the operator is {operator}, and this command is {ours}; both work together"),
        ),
    }
}

/// Nothing before the first call.
fn budget(report: &LeaderReport, found: &StatusFindings) -> Option<Check> {
    const SUBJECT: &str = "Budget";
    let longest = report.kinds.values().filter_map(|sweep| sweep.scheduled).fold(0.0, f64::max);
    let rarer = || {
        let schedule = minutes(if longest > 0.0 { longest * 2.0 } else { SCHEDULE * 2.0 });
        remedy::set(found, &report.namespace, &remedy::SYNC_SCHEDULE, &schedule)
    };
    let window =
        |(window, (left, limit)): (&String, &(f64, f64))| format!("{left} of {limit} calls left this {window}");
    let text = report.budget.iter().map(window).collect::<Vec<_>>().join(", ");
    let is_low = report.budget.values().any(|(left, limit)| *left < limit * LOW);
    if report.pause > 0.0 {
        let text = format!("DigitalOcean requested a pause of all calls; {:.0} s remain; {text}", report.pause);
        return Some(Check::new(SUBJECT, State::Note, text).next(rarer()));
    }
    if report.budget.is_empty() {
        return None;
    }
    let check = Check::new(SUBJECT, if is_low { State::Note } else { State::Ok }, text);
    Some(if is_low { check.next(rarer()) } else { check })
}

/// A number of seconds as a duration of whole minutes, for a setting.
fn minutes(seconds: f64) -> String {
    format!("{:.0}m", (seconds / 60.0).ceil())
}

/// A number of seconds, as an age.
fn age_of(seconds: f64, now: jiff::Timestamp) -> String {
    let since = jiff::SignedDuration::try_from_secs_f64(seconds).ok().and_then(|ago| now.checked_sub(ago).ok());
    age(since, now)
}

fn policies(found: &StatusFindings) -> Check {
    const SUBJECT: &str = "Policies";
    let policies = match &found.policies {
        Err(message) => return Check::unreadable(SUBJECT, message),
        Ok(policies) => policies,
    };
    if let Some((_, installation)) = policies.unbound.first() {
        let names: Vec<&str> = policies.unbound.iter().map(|(name, _)| name.as_str()).collect();
        let names = first(&names, NAMED, ", ");
        return Check::new(
            SUBJECT,
            State::Problem,
            format!("admission policies without a binding that denies enforce nothing: {names}"),
        )
        .suggest(remedy::policies(found, Some(installation)));
    }
    let incomplete = policies.bound.iter().find_map(|(installation, parts)| {
        let missing: Vec<_> = NAMES.into_iter().filter(|part| !parts.contains(*part)).collect();
        let text = || format!("installation {installation} lacks the admission policies {}", missing.join(", "));
        (!missing.is_empty()).then(|| (text(), installation))
    });
    match incomplete {
        Some((text, installation)) => {
            Check::new(SUBJECT, State::Problem, text).suggest(remedy::policies(found, Some(installation)))
        }
        None if policies.bound.is_empty() => {
            let text = "no admission policies: everyone who may patch a drift may decide it, under any name";
            Check::new(SUBJECT, State::Note, text).suggest(remedy::policies(found, None))
        }
        None => {
            let names: Vec<_> = policies.bound.keys().map(String::as_str).collect();
            Check::new(SUBJECT, State::Ok, format!("decisions are checked, by {}", names.join(", ")))
        }
    }
}

fn records(found: &StatusFindings) -> Vec<Check> {
    const SUBJECT: &str = "Records";
    let records = match &found.records {
        Err(message) => return vec![Check::unreadable(SUBJECT, message)],
        Ok(records) => records,
    };
    let mut checks = vec![Check::new(SUBJECT, State::Ok, summary(records))];
    if records.open_drifts > 0 {
        let text = format!("{} open", count(usize::try_from(records.open_drifts).unwrap_or_default(), "drift"));
        checks.push(Check::new("Drifts", State::Note, text).next(format!("kubectl arcadia inbox{}", found.flag)));
    }
    for (reason, trouble) in &records.troubled {
        // These pass by themselves.
        let passes = [
            ConditionReason::Pending,
            ConditionReason::Unconfirmed,
            ConditionReason::Reverting,
            ConditionReason::Deleted,
        ]
        .iter()
        .any(|passing| *reason == *passing);
        let state = if passes { State::Note } else { State::Problem };
        let message = if trouble.message.is_empty() {
            String::new()
        } else {
            format!(": {}", show::clip(&trouble.message, MESSAGE))
        };
        let text = format!(
            "{} cannot be compared: {reason}, such as {}{message}",
            count(trouble.count, "record"),
            trouble.example
        );
        let (namespace, name) = trouble.example.split_once('/').unwrap_or_default();
        let next = format!("kubectl arcadia show pr/{name} -n {namespace}{}", found.place_flags);
        checks.push(Check::new(SUBJECT, state, text).next(next));
    }
    checks
}

fn summary(records: &RecordCounts) -> String {
    let RecordCounts { all, in_sync, drifted, suspended, standing, .. } = records;
    let mut text = format!("{}: {in_sync} in sync, {drifted} with drift", count(*all, "record"));
    for (number, what) in [(*suspended, "suspended"), (*standing, "with acceptances that stand")] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text
}

fn sagas(found: &StatusFindings) -> Vec<Check> {
    const SUBJECT: &str = "Sagas";
    let sagas = match &found.sagas {
        Err(message) => return vec![Check::unreadable(SUBJECT, message)],
        Ok(sagas) => sagas,
    };
    if sagas.is_empty() {
        return vec![Check::new(SUBJECT, State::Ok, "all sagas are finished")];
    }
    let check = |(phase, names): (&String, &Vec<String>)| {
        let text = format!("{} {phase}: {}", count(names.len(), "saga"), first(names, NAMED, ", "));
        let (namespace, name) = names.first().and_then(|name| name.split_once('/')).unwrap_or_default();
        let state = if phase == SagaPhase::Stuck.name() { State::Problem } else { State::Ok };
        let next = format!("kubectl arcadia saga tree {name} -n {namespace}{}", found.place_flags);
        Check::new(SUBJECT, state, text).next(next)
    };
    sagas.iter().map(check).collect()
}

/// Missing rights of the lowest role are a problem; those of higher roles may be meant.
fn rights(found: &StatusFindings) -> Vec<Check> {
    const SUBJECT: &str = "Your rights";
    let mut missing: BTreeMap<UserRole, Vec<&str>> = BTreeMap::new();
    for (role, right, is_granted) in &found.rights {
        if !is_granted {
            missing.entry(*role).or_default().push(right);
        }
    }
    if missing.is_empty() {
        return vec![Check::new(SUBJECT, State::Ok, format!("all rights in {}", place(found)))];
    }
    let check = |(role, rights): (&UserRole, &Vec<&str>)| {
        let state = if *role == UserRole::Viewer { State::Problem } else { State::Note };
        let text = format!("you may not {} in {}", rights.join(", "), place(found));
        Check::new(SUBJECT, state, text).next(remedy::bind(found, *role))
    };
    missing.iter().map(check).collect()
}

fn place(found: &StatusFindings) -> String {
    if found.is_all { "all namespaces".to_owned() } else { format!("namespace {}", found.namespace) }
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::expect;
    use jiff::Timestamp;
    use kube::api::DynamicObject;

    use super::*;
    use crate::cli::status::{
        found::{Policies, RecordState},
        report::tests::report as report_of_a_pod,
    };

    fn record(number: usize, in_sync: (&str, &str)) -> DynamicObject {
        let (status, reason) = in_sync;
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": { "name": format!("web-{number}"), "namespace": "default" },
            "status": { "openDrifts": i32::from(status == "False"), "conditions": [
                { "type": "Ready", "status": "True", "reason": "Compared", "message": "" },
                { "type": "InSync", "status": status, "reason": reason, "message": "the token needs tag:read" } ] },
        }))
        .unwrap()
    }

    fn records(records: &[DynamicObject]) -> RecordCounts {
        records.iter().map(RecordState::read).collect()
    }

    pub(in crate::cli::status) fn healthy() -> StatusFindings {
        let records = records(&[1, 2, 3].map(|number| record(number, ("True", "NoDrift"))));
        StatusFindings {
            now: "2026-05-10T12:00:00Z".parse().unwrap(),
            server_version: "v1.34.1".into(),
            definitions: Some(["provisionedresources", "drifts", "sagas"].map(str::to_owned).into()),
            reports: vec![Ok(LeaderReport {
                namespace: "arcadia-system".into(),
                version: Some(env!("CARGO_PKG_VERSION").into()),
                ..LeaderReport::default()
            })],
            leases: Ok(vec![LeaseView {
                namespace: "arcadia-system".into(),
                holder: Some("arcadia-operator-7d9f-x1".into()),
                renewed: "2026-05-10T11:59:58Z".parse().ok(),
                seconds: 10,
            }]),
            deployments: Ok(vec![DeploymentView {
                namespace: "arcadia-system".into(),
                name: "arcadia-operator".into(),
                service_account: "arcadia-operator".into(),
                image: "registry/arcadia-operator:0.1.0".into(),
                ready: 2,
                wanted: 2,
                ..DeploymentView::default()
            }]),
            policies: Ok(Policies {
                bound: [("arcadia-operator".to_owned(), NAMES.map(str::to_owned).into())].into(),
                ..Policies::default()
            }),
            records: Ok(records),
            sagas: Ok(BTreeMap::new()),
            rights: vec![(UserRole::Viewer, "list drifts".into(), true)],
            user: "jane".into(),
            namespace: "default".into(),
            is_all: false,
            flag: String::new(),
            place_flags: String::new(),
            admin_flags: String::new(),
        }
    }

    #[test]
    fn a_healthy_installation_has_no_problem() {
        let checks = checks(&healthy());
        expect![[r#"
            ok   API server    v1.34.1
            ok   Definitions   provisionedresources, drifts, sagas are served
            ok   Leader        arcadia-operator-7d9f-x1 in namespace arcadia-system, seen 2s ago
            ok   Operator      2 of 2 replicas of arcadia-system/arcadia-operator are ready, image registry/arcadia-operator:0.1.0
            ok   Version       0.1.0, as this command
            ok   Policies      decisions are checked, by arcadia-operator
            ok   Records       3 records: 3 in sync, 0 with drift
            ok   Sagas         all sagas are finished
            ok   Your rights   all rights in namespace default

            No problem found.
        "#]].assert_eq(&render(&checks, Paint::NONE));
        assert!(!has_problem(&checks));
        let first = json!({ "subject": "API server", "state": "Ok", "text": "v1.34.1", "next": null });
        assert_eq!(json(&checks)["checks"][0], first);
    }

    #[test]
    fn each_problem_comes_with_the_command_that_corrects_it() {
        let mut found = healthy();
        found.records = Ok(records(&[record(1, ("False", "DriftOpen")), record(2, ("Unknown", "FieldsUnknown"))]));
        found.leases = Ok(vec![LeaseView {
            namespace: "arcadia-system".into(),
            renewed: "2026-05-10T11:00:00Z".parse::<Timestamp>().ok(),
            seconds: 10,
            holder: None,
        }]);
        found.deployments = Ok(vec![]);
        found.reports = vec![];
        found.policies = Ok(Policies {
            bound: [("arcadia-operator".to_owned(), ["decisions".to_owned()].into())].into(),
            ..Policies::default()
        });
        found.sagas = Ok([("Stuck".to_owned(), vec!["default/resize-web-1".to_owned()])].into());
        found.rights = vec![
            (UserRole::Viewer, "list drifts".into(), false),
            (UserRole::PlatformAdmin, "accept drifts".into(), false),
            (UserRole::PlatformAdmin, "create sagas".into(), false),
        ];
        let checks = checks(&found);
        expect![[r#"
            ok        API server    v1.34.1
            ok        Definitions   provisionedresources, drifts, sagas are served
            PROBLEM   Leader        no operator leads in namespace arcadia-system since 60m
                                    -> kubectl logs -n arcadia-system deployment/arcadia-operator --tail=50
            note      Operator      no Deployment has the label of the operator: it runs outside of the cluster, or is not installed
            PROBLEM   Policies      installation arcadia-operator lacks the admission policies saga-decisions, cancellations, orders, contents, marks, revert-marks
                                    -> kubectl apply --server-side -f deploy/overlays/cluster-wide/policies.yaml
            ok        Records       2 records: 0 in sync, 1 with drift
            note      Drifts        1 drift open
                                    -> kubectl arcadia inbox
            PROBLEM   Records       1 record cannot be compared: FieldsUnknown, such as default/web-2: the token needs tag:read
                                    -> kubectl arcadia show pr/web-2 -n default
            PROBLEM   Sagas         1 saga Stuck: default/resize-web-1
                                    -> kubectl arcadia saga tree resize-web-1 -n default
            PROBLEM   Your rights   you may not list drifts in namespace default
                                    -> an administrator grants them with: kubectl create rolebinding arcadia-viewer-jane --clusterrole=arcadia-viewer --user=jane -n default
            note      Your rights   you may not accept drifts, create sagas in namespace default
                                    -> an administrator grants them with: kubectl create rolebinding arcadia-platform-admin-jane --clusterrole=arcadia-platform-admin --user=jane -n default

            5 problems found.
        "#]].assert_eq(&render(&checks, Paint::NONE));
        assert!(has_problem(&checks));
    }

    #[test]
    fn the_report_of_the_operator_says_how_old_each_list_is_and_what_is_left_of_the_budget() {
        let mut found = healthy();
        let mut short = report_of_a_pod();
        short.pause = 0.0;
        short.failures.clear();
        short.version = Some("0.0.9".into());
        found.reports = vec![
            Ok(report_of_a_pod()),
            Ok(short),
            Err(Unreported {
                namespace: "arcadia-system".into(),
                message: "pods \"x\" is forbidden: User \"jane\" cannot get pods/proxy".into(),
                is_forbidden: true,
            }),
        ];
        let reported: Vec<_> = found.reports.iter().flat_map(|report| reported(report, &found)).collect();
        expect![[r#"
            ok        Version     0.1.0, as this command
            note      Budget      DigitalOcean requested a pause of all calls; 30 s remain; 4000 of 4500 calls left this hour, 12 of 225 calls left this minute
                                  -> kubectl edit deployment arcadia-operator -n arcadia-system   # --sync-schedule=10m
            PROBLEM   Readiness   sagas: listing the sagas
                                  -> kubectl logs -n arcadia-system arcadia-operator-7d9f --tail=50
            PROBLEM   Sweeps      Domain: listed 20m ago; too old to compare; swept every 30m instead of 5m: a sweep takes 900 calls, too many for --inventory-max-age
                                  -> kubectl logs -n arcadia-system arcadia-operator-7d9f --tail=50
            note      Sweeps      Droplet: listed 12s ago, 34 recorded, 5 not recorded; swept every 7m instead of 5m: a sweep takes 501 calls; the next one is due in 7m
                                  -> kubectl edit deployment arcadia-operator -n arcadia-system   # --sync-schedule=8m
            PROBLEM   Sweeps      Volume: never listed; listing Volume: the token needs block_storage:read
                                  -> kubectl logs -n arcadia-system arcadia-operator-7d9f --tail=50
            note      Version     the operator is 0.0.9, and this command is 0.1.0; both work together
            note      Budget      4000 of 4500 calls left this hour, 12 of 225 calls left this minute
                                  -> kubectl edit deployment arcadia-operator -n arcadia-system   # --sync-schedule=10m
            PROBLEM   Sweeps      Domain: listed 20m ago; too old to compare; swept every 30m instead of 5m: a sweep takes 900 calls, too many for --inventory-max-age
                                  -> kubectl logs -n arcadia-system arcadia-operator-7d9f --tail=50
            note      Sweeps      Droplet: listed 12s ago, 34 recorded, 5 not recorded; swept every 7m instead of 5m: a sweep takes 501 calls; the next one is due in 7m
                                  -> kubectl edit deployment arcadia-operator -n arcadia-system   # --sync-schedule=8m
            PROBLEM   Sweeps      Volume: never listed; listing Volume: the token needs block_storage:read
                                  -> kubectl logs -n arcadia-system arcadia-operator-7d9f --tail=50
            unknown   Sweeps      the operator's own report cannot be read: pods "x" is forbidden: User "jane" cannot get pods/proxy
                                  -> an administrator grants it with: kubectl create role arcadia-report --verb=get --resource=pods,pods/proxy -n arcadia-system && kubectl create rolebinding arcadia-report-jane --role=arcadia-report --user=jane -n arcadia-system

            5 problems found.
        "#]].assert_eq(&render(&reported, Paint::NONE));
    }

    #[test]
    fn a_cluster_without_the_operator_says_how_to_begin() {
        let mut found = healthy();
        found.definitions = None;
        found.reports = vec![];
        found.leases = Ok(vec![]);
        found.deployments = Err("deployments.apps is forbidden: User \"jane\" cannot list".into());
        found.policies = Ok(Policies::default());
        expect![[r#"
            ok        API server    v1.34.1
            PROBLEM   Definitions   the cluster does not serve arcadia.cloud/v1alpha1
                                    -> arcadia-operator crds | kubectl apply --server-side -f -
            PROBLEM   Leader        there is no Lease: no operator has run with leader election
                                    -> kubectl get deployments -A -l app.kubernetes.io/name=arcadia-operator
            unknown   Operator      you may not read it: deployments.apps is forbidden: User "jane" cannot list
            note      Policies      no admission policies: everyone who may patch a drift may decide it, under any name
            ok        Your rights   all rights in namespace default

            2 problems found.
        "#]]
        .assert_eq(&render(&checks(&found), Paint::NONE));
    }

    #[test]
    fn what_passes_by_itself_is_no_problem_and_what_drift_hides_is_one() {
        let mut partly = record(2, ("False", "DriftOpen"));
        partly.data["status"]["conditions"][0] =
            json!({ "type": "Ready", "status": "False", "reason": "InvalidField", "message": "there is no field nme" });
        let mut found = healthy();
        found.records = Ok(records(&[record(1, ("Unknown", "Reverting")), partly]));
        found.leases = Ok(vec![LeaseView { holder: Some("laptop_1".into()), ..LeaseView::default() }]);
        found.reports = vec![];
        found.policies = Ok(Policies::default());
        found.is_all = true;
        found.rights = vec![(UserRole::Viewer, "list drifts".into(), false)];
        let checks = checks(&found);
        let of = |subject: &str| checks.iter().filter(|check| check.subject == subject).collect::<Vec<_>>();
        let states: Vec<_> = of("Records").iter().map(|check| (check.state, check.text.clone())).collect();
        let invalid = "1 record cannot be compared: InvalidField, such as default/web-2: there is no field nme";
        let reverting = "1 record cannot be compared: Reverting, such as default/web-1: the token needs tag:read";
        assert_eq!(
            states,
            [
                (State::Ok, "2 records: 0 in sync, 1 with drift".to_owned()),
                (State::Problem, invalid.to_owned()),
                (State::Note, reverting.to_owned()),
            ]
        );
        assert!(of("Sweeps")[0].text.ends_with("read /readyz?verbose there, on laptop"));
        let next = |subject: &str| of(subject)[0].next.clone().unwrap();
        assert!(next("Your rights").contains("kubectl create clusterrolebinding arcadia-viewer"), "{checks:?}");
        assert_eq!(next("Policies"), "kubectl apply --server-side -f deploy/overlays/cluster-wide/policies.yaml");
        // Every check that needs a person comes with a command that is ready to type.
        let has_placeholder = |text: &str| {
            let is_word = |word: &str| word.len() > 3 && word.chars().all(|sign| sign.is_ascii_uppercase());
            text.split([' ', '=', '/', ',']).any(is_word)
        };
        assert!(
            checks.iter().filter_map(|check| check.next.as_deref()).all(|next| !has_placeholder(next)),
            "{checks:?}"
        );
        assert!(checks.iter().all(|check| check.state != State::Problem || check.next.is_some()), "{checks:?}");
    }
}
