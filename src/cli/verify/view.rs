//! The result of `verify` as a table, as JSON and as XML for CI. Pure.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::checked::{Checked, CheckedField, FieldVerdict};
use crate::{
    cli::{
        Error,
        text::{Paint, Table, count},
    },
    comparison::show,
};

/// The columns of a reason.
const REASON: usize = 120;

/// The records that differ or could not be compared, and a summary.
pub(super) fn table(checked: &[Checked], paint: Paint) -> String {
    let mut table = Table::with_headings(&["RECORD", "KIND", "ID", "FIELD", "VERDICT", "OLD -> NEW", "FILE"]);
    let mut rows = 0;
    for Checked { record, fields } in checked {
        for CheckedField { field, verdict } in fields {
            let (verdict, text) = match verdict {
                FieldVerdict::InSync => continue,
                FieldVerdict::Drift(shown) => (paint.bad("drift"), shown.difference.clone()),
                FieldVerdict::Unknown(why) => (paint.warn("unknown"), show::clip(why, REASON)),
            };
            rows += 1;
            let resource = &record.spec.resource;
            table.row([
                record.name.clone(),
                resource.kind.to_string(),
                resource.id.clone(),
                show::short_text(field, 40),
                verdict,
                text,
                record.file.clone(),
            ]);
        }
    }
    let number = |is_it: fn(&FieldVerdict) -> bool| {
        checked.iter().filter(|checked| checked.fields.iter().any(|field| is_it(&field.verdict))).count()
    };
    let drifted = number(|verdict| matches!(verdict, FieldVerdict::Drift(_)));
    let unknown = number(|verdict| matches!(verdict, FieldVerdict::Unknown(_)));
    let in_sync = checked
        .iter()
        .filter(|checked| checked.fields.iter().all(|field| matches!(field.verdict, FieldVerdict::InSync)))
        .count();
    let rows = if rows == 0 { String::new() } else { format!("{}\n", table.render()) };
    let unknown = if unknown == 0 { String::new() } else { format!(", {unknown} not compared in full") };
    format!("{rows}{}: {in_sync} in sync, {drifted} with drift{unknown}.\n", count(checked.len(), "record"))
}

/// All results, for programs.
pub(super) fn json(checked: &[Checked]) -> Value {
    let records = checked.iter().map(|Checked { record, fields }| {
        let fields = fields.iter().map(|CheckedField { field, verdict }| match verdict {
            FieldVerdict::InSync => json!({ "field": field, "verdict": "InSync" }),
            FieldVerdict::Drift(shown) => json!({
                "field": field, "verdict": "Drift", "expected": shown.expected, "actual": shown.actual,
                "difference": shown.difference, "differences": shown.differences, "note": shown.note,
            }),
            FieldVerdict::Unknown(why) => json!({ "field": field, "verdict": "Unknown", "reason": why }),
        });
        json!({
            "name": record.name, "file": record.file, "kind": record.spec.resource.kind, "id": record.spec.resource.id,
            "fields": fields.collect::<Vec<_>>(),
        })
    });
    json!({ "records": records.collect::<Vec<_>>() })
}

/// One suite per kind, and one case per recorded field: drift is a failure, and an uncompared field an error.
pub(super) fn junit(checked: &[Checked]) -> Result<String, Error> {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for Checked { record, fields } in checked {
        let kind = record.spec.resource.kind.name();
        let suite = suites.entry(kind).or_insert_with(|| TestSuite::new(kind));
        for CheckedField { field, verdict } in fields {
            let status = match verdict {
                FieldVerdict::InSync => TestCaseStatus::success(),
                FieldVerdict::Drift(shown) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_type("drift").set_message(shown.difference.clone());
                    status.set_description(format!("expected {}\nlive     {}", shown.expected, shown.actual));
                    status
                }
                FieldVerdict::Unknown(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                    status.set_type("unknown").set_message(why.clone());
                    status
                }
            };
            let mut case = TestCase::new(field.clone(), status);
            case.set_classname(record.name.clone());
            suite.add_test_case(case);
        }
    }
    let mut report = Report::new("kubectl arcadia verify");
    report.add_test_suites(suites.into_values());
    let text = report.to_string().map_err(|error| Error::Output(error.to_string()))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::{
        cli::{Exit, files::RecordManifest, verify::exit},
        digitalocean::{Live, ResourceKey},
        drift::finding::{Finding, compare},
    };

    fn checked() -> Vec<Checked> {
        let record = |name: &str, desired: Value| RecordManifest {
            file: "records/web.yaml".into(),
            name: name.into(),
            spec: serde_json::from_value(
                json!({ "resource": { "kind": "Droplet", "id": "3164444" }, "desired": desired }),
            )
            .unwrap(),
        };
        let desired = json!({ "size_slug": "s-2vcpu-4gb", "tags": ["web"], "name": "web-1", "sise": 1 });
        let drifted = record("web-1", desired);
        let document = json!({ "id": 3_164_444, "name": "web-1", "size_slug": "s-4vcpu-8gb" }).to_string();
        let live = Live::parse(&ResourceKey::new(drifted.spec.resource.kind, "3164444"), &document).unwrap();
        let fields = drifted.spec.desired.iter().map(|(field, expected)| {
            let verdict = match compare(&live, field, expected) {
                Finding::Differs { shown, .. } => FieldVerdict::Drift(shown),
                Finding::Unknown(why) | Finding::Invalid(why) => FieldVerdict::Unknown(why),
                Finding::Matches | Finding::Moot => FieldVerdict::InSync,
            };
            CheckedField { field: field.clone(), verdict }
        });
        let fields = fields.collect();
        let in_sync = vec![CheckedField { field: "name".into(), verdict: FieldVerdict::InSync }];
        vec![
            Checked { fields, record: drifted },
            Checked { fields: in_sync, record: record("web-2", json!({ "name": "web-2" })) },
        ]
    }

    #[test]
    fn a_table_shows_what_differs() {
        expect![[r#"
            RECORD   KIND      ID        FIELD       VERDICT   OLD -> NEW                                             FILE
            web-1    Droplet   3164444   sise        unknown   sise: no such field; did you mean size or size_slug?   records/web.yaml
            web-1    Droplet   3164444   size_slug   drift     s-2vcpu-4gb -> s-4vcpu-8gb                             records/web.yaml
            web-1    Droplet   3164444   tags        unknown   tags: the token needs tag:read                         records/web.yaml

            2 records: 1 in sync, 1 with drift, 1 not compared in full.
        "#]].assert_eq(&table(&checked(), Paint::NONE));
        expect![[r#"
            1 record: 1 in sync, 0 with drift.
        "#]]
        .assert_eq(&table(&checked()[1..], Paint::NONE));
    }

    #[test]
    fn the_exit_code_distinguishes_drift_from_failure() {
        let mut checked = checked();
        assert_eq!(exit(&checked), Exit::No);
        assert_eq!(exit(&checked[1..]), Exit::Done);
        checked[0].fields.retain(|field| !matches!(field.verdict, FieldVerdict::Drift(_)));
        assert_eq!(exit(&checked), Exit::Failed);
    }

    #[test]
    fn programs_read_json_and_junit() {
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites name="kubectl arcadia verify" tests="5" skipped="0" failures="1" errors="2">
                <testsuite name="Droplet" tests="5" skipped="0" errors="2" failures="1">
                    <testcase name="name" classname="web-1"/>
                    <testcase name="sise" classname="web-1">
                        <error message="sise: no such field; did you mean size or size_slug?" type="unknown"/>
                    </testcase>
                    <testcase name="size_slug" classname="web-1">
                        <failure message="s-2vcpu-4gb -&gt; s-4vcpu-8gb" type="drift">expected s-2vcpu-4gb
            live     s-4vcpu-8gb</failure>
                    </testcase>
                    <testcase name="tags" classname="web-1">
                        <error message="tags: the token needs tag:read" type="unknown"/>
                    </testcase>
                    <testcase name="name" classname="web-2"/>
                </testsuite>
            </testsuites>
        "#]]
        .assert_eq(&junit(&checked()).unwrap());
        expect![[r#"
            {
              "records": [
                {
                  "fields": [
                    {
                      "field": "name",
                      "verdict": "InSync"
                    }
                  ],
                  "file": "records/web.yaml",
                  "id": "3164444",
                  "kind": "Droplet",
                  "name": "web-2"
                }
              ]
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&json(&checked()[1..])).unwrap());
    }
}
