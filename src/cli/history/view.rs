//! The history of a record as text. Pure.

use jiff::Timestamp;

use crate::cli::{
    drift::DriftView,
    text::{Paint, Table, age, count, time},
};

pub(super) fn history(record: &str, field: Option<&str>, drifts: &[DriftView], now: Timestamp, paint: Paint) -> String {
    let subject = field.map(|field| format!("field {field} of ")).unwrap_or_default();
    if drifts.is_empty() {
        return format!("No drift of {subject}record {record} is kept.\n");
    }
    let open = drifts.iter().filter(|drift| drift.is_open()).count();
    format!("{}\n{}, {open} open.\n", self::drifts(drifts, now, paint), count(drifts.len(), "drift"))
}

/// Drifts by field, oldest first.
pub(in crate::cli) fn drifts(drifts: &[DriftView], now: Timestamp, paint: Paint) -> String {
    let mut ordered: Vec<&DriftView> = drifts.iter().collect();
    ordered.sort_by(|one, other| (&one.field, one.episode).cmp(&(&other.field, other.episode)));
    let mut table =
        Table::with_headings(&["FIELD", "NUMBER", "OPENED", "OLD -> NEW", "PHASE", "REASON", "BY", "AFTER", "BECAUSE"]);
    for drift in ordered {
        let phase = if drift.is_open() { paint.warn(&drift.phase) } else { drift.phase.clone() };
        let after = drift.resolved.map(|resolved| age(drift.created, resolved));
        let after = after.unwrap_or_else(|| format!("{} so far", age(drift.created, now)));
        table.row([
            drift.field.clone(),
            drift.episode.to_string(),
            drift.created.map(time).unwrap_or_default(),
            drift.change_in_short(),
            phase,
            drift.reason.clone(),
            drift.decided_by.clone().unwrap_or_default(),
            after,
            drift.because.clone().unwrap_or_default(),
        ]);
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
        expect![[r#"
            FIELD       NUMBER   OPENED                    OLD -> NEW                   PHASE      REASON             BY     AFTER       BECAUSE
            size_slug   1        2026-05-01 00:00:00 UTC   s-1vcpu-1gb -> s-2vcpu-4gb   Accepted   Accepted           jane   30m         OPS-123
            size_slug   2        2026-05-10 09:00:00 UTC   s-2vcpu-4gb -> s-4vcpu-8gb   Open       AwaitingDecision          3h so far
            tags        1        2026-05-10 09:00:00 UTC   [] -> ["x"]                  Stale      LiveReturned              5m

            3 drifts, 1 open.
        "#]].assert_eq(&history("web-1", None, &drifts, now, Paint::NONE));
        expect![[r#"
            No drift of field region of record web-1 is kept.
        "#]]
        .assert_eq(&history("web-1", Some("region"), &[], now, Paint::NONE));
    }
}
