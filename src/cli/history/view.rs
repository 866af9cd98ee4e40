//! The history of a record as text. Pure.

use jiff::Timestamp;

use crate::cli::{
    drift::DriftView,
    text::{Paint, Table, age, count, time},
};

/// The columns, after the namespace.
const HEADINGS: [&str; 9] = ["FIELD", "NUMBER", "OPENED", "OLD -> NEW", "PHASE", "REASON", "BY", "AFTER", "BECAUSE"];

/// The record or field of a history.
pub(super) struct HistorySubject<'a> {
    pub(super) record: &'a str,
    pub(super) field: Option<&'a str>,
    /// True if records of several namespaces may have the name.
    pub(super) has_namespaces: bool,
}

pub(super) fn history(subject: &HistorySubject<'_>, drifts: &[DriftView], now: Timestamp, paint: Paint) -> String {
    let HistorySubject { record, field, has_namespaces } = subject;
    if drifts.is_empty() {
        let field = field.map(|field| format!("field {field} of ")).unwrap_or_default();
        return format!("No drift of {field}record {record} is kept.\n");
    }
    let open = drifts.iter().filter(|drift| drift.is_open()).count();
    format!("{}\n{}, {open} open.\n", table(drifts, *has_namespaces, now, paint), count(drifts.len(), "drift"))
}

/// Drifts of one record by field, oldest first.
pub(in crate::cli) fn drifts(drifts: &[DriftView], now: Timestamp, paint: Paint) -> String {
    table(drifts, false, now, paint)
}

/// Drifts by namespace and field, oldest first.
fn table(drifts: &[DriftView], has_namespaces: bool, now: Timestamp, paint: Paint) -> String {
    let mut ordered: Vec<&DriftView> = drifts.iter().collect();
    ordered.sort_by(|one, other| {
        (&one.namespace, &one.field, one.episode).cmp(&(&other.namespace, &other.field, other.episode))
    });
    let namespace = |text: &str| has_namespaces.then(|| text.to_owned());
    let mut table = Table::default();
    table.row(namespace("NAMESPACE").into_iter().chain(HEADINGS.map(str::to_owned)));
    for drift in ordered {
        let phase = if drift.is_open() { paint.warn(&drift.phase) } else { drift.phase.clone() };
        let after = drift.resolved.map(|resolved| age(drift.created, resolved));
        let after = after.unwrap_or_else(|| format!("{} so far", age(drift.created, now)));
        let cells = [
            drift.field.clone(),
            drift.episode.to_string(),
            drift.created.map(time).unwrap_or_default(),
            drift.change_in_short(),
            phase,
            drift.reason.clone(),
            drift.decided_by.clone().unwrap_or_default(),
            after,
            drift.because.clone().unwrap_or_default(),
        ];
        table.row(namespace(&drift.namespace).into_iter().chain(cells));
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::view;

    #[test]
    fn a_history_says_who_decided_and_why() {
        let accepted = json!({
            "metadata": { "creationTimestamp": "2026-05-01T00:00:00Z" },
            "spec": { "expectedShort": "s-1vcpu-1gb", "actualShort": "s-2vcpu-4gb" },
            "status": { "phase": "Accepted", "reason": "Accepted", "decidedBy": "jane", "because": "OPS-123",
                "resolvedAt": "2026-05-01T00:30:00Z" },
        });
        let tags = json!({
            "spec": { "field": "tags", "expectedShort": "[]", "actualShort": r#"["x"]"# },
            "status": { "phase": "Stale", "reason": "LiveReturned", "resolvedAt": "2026-05-10T09:05:00Z" },
        });
        let drifts =
            [view("web-1", &tags), view("web-1", &json!({ "spec": { "episode": 2 } })), view("web-1", &accepted)];
        let now = "2026-05-10T12:00:00Z".parse().unwrap();
        let subject = HistorySubject { record: "web-1", field: None, has_namespaces: false };
        expect![[r#"
            FIELD       NUMBER   OPENED                    OLD -> NEW                   PHASE      REASON             BY     AFTER       BECAUSE
            size_slug   1        2026-05-01 00:00:00 UTC   s-1vcpu-1gb -> s-2vcpu-4gb   Accepted   Accepted           jane   30m         OPS-123
            size_slug   2        2026-05-10 09:00:00 UTC   s-2vcpu-4gb -> s-4vcpu-8gb   Open       AwaitingDecision          3h so far
            tags        1        2026-05-10 09:00:00 UTC   [] -> ["x"]                  Stale      LiveReturned              5m

            3 drifts, 1 open.
        "#]].assert_eq(&history(&subject, &drifts, now, Paint::NONE));
        expect![[r#"
            No drift of field region of record web-1 is kept.
        "#]]
        .assert_eq(&history(&HistorySubject { field: Some("region"), ..subject }, &[], now, Paint::NONE));
    }

    #[test]
    fn records_of_one_name_are_told_apart_by_their_namespaces() {
        let of = |namespace: &str| view("web-1", &json!({ "metadata": { "namespace": namespace } }));
        let now = "2026-05-10T12:00:00Z".parse().unwrap();
        let subject = HistorySubject { record: "web-1", field: None, has_namespaces: true };
        let shown = history(&subject, &[of("team-b"), of("team-a")], now, Paint::NONE);
        let namespaces: Vec<_> = shown.lines().filter_map(|line| Some(line.split_once(' ')?.0)).collect();
        assert_eq!(namespaces, ["NAMESPACE", "team-a", "team-b", "2"], "{shown}");
    }
}
