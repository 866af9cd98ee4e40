//! Unrecorded resources as text. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{
        survey::SurveyedResource,
        text::{Table, age, count, lines},
    },
    comparison::show,
};

/// The columns of a name or of tags.
const CELL: usize = 40;

pub(super) fn table(unrecorded: &[SurveyedResource], in_baseline: usize, now: Timestamp) -> String {
    let baseline = if in_baseline == 0 { String::new() } else { format!(" {in_baseline} more are in the baseline.") };
    let Some(first) = unrecorded.first() else {
        return format!("Every resource is recorded.{baseline}\n");
    };
    let mut table = Table::with_headings(&["KIND", "ID", "NAME", "REGION", "TAGS", "AGE", "MONTHLY"]);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for found in unrecorded {
        *counts.entry(found.key.kind.name()).or_default() += 1;
        table.row([
            found.key.kind.to_string(),
            found.key.id.to_string(),
            found.name().map(|name| show::short_text(name, CELL)).unwrap_or_default(),
            found.region().unwrap_or_default().to_owned(),
            show::clip(&found.tags().join(","), CELL),
            created(found).map(|created| age(Some(created), now)).unwrap_or_default(),
            monthly(found).map(|price| format!("${price:.2}")).unwrap_or_default(),
        ]);
    }
    let counts: Vec<String> = counts.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    format!(
        "{}\n{} not recorded: {}.{baseline} Next:\n  kubectl arcadia import {}\n  kubectl arcadia import --kind {} --apply\n",
        table.render(),
        count(unrecorded.len(), "resource"),
        counts.join(", "),
        first.address(),
        first.key.kind,
    )
}

pub(super) fn json(unrecorded: &[SurveyedResource]) -> Value {
    let resources = unrecorded.iter().map(|found| {
        json!({
            "kind": found.key.kind, "id": &*found.key.id, "name": found.name(), "region": found.region(),
            "tags": found.tags(), "createdAt": created(found), "monthlyPrice": monthly(found),
        })
    });
    json!({ "unrecorded": resources.collect::<Vec<_>>() })
}

pub(super) fn names(unrecorded: &[SurveyedResource]) -> String {
    lines(unrecorded.iter().map(SurveyedResource::address))
}

fn created(found: &SurveyedResource) -> Option<Timestamp> {
    found.document.get("created_at")?.as_str()?.parse().ok()
}

/// The price in US dollars, if the document contains it.
fn monthly(found: &SurveyedResource) -> Option<f64> {
    let of = |pointer: &str| found.document.pointer(pointer)?.as_f64();
    of("/size/price_monthly").or_else(|| of("/subscription/tier/monthly_price_in_cents").map(|cents| cents / 100.0))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::survey::tests::found;

    #[test]
    fn a_list_says_how_to_record_them() {
        let droplet = json!({ "name": "web-1", "tags": ["web", "prod"], "region": { "slug": "nyc3" },
            "created_at": "2026-05-01T12:00:00Z", "size": { "price_monthly": 24 } });
        let all =
            [found("Droplet", "3164444", droplet), found("Domain", "example.com", json!({ "name": "example.com" }))];
        let now = "2026-05-10T12:00:00Z".parse().unwrap();
        expect![[r#"
            KIND      ID            NAME          REGION   TAGS       AGE   MONTHLY
            Droplet   3164444       web-1         nyc3     web,prod   9d    $24.00
            Domain    example.com   example.com

            2 resources not recorded: 1 Domain, 1 Droplet. 3 more are in the baseline. Next:
              kubectl arcadia import Droplet/3164444
              kubectl arcadia import --kind Droplet --apply
        "#]]
        .assert_eq(&table(&all, 3, now));
        expect![[r#"
            Every resource is recorded. 3 more are in the baseline.
        "#]]
        .assert_eq(&table(&[], 3, now));
        expect![[r#"
            Droplet/3164444
            Domain/example.com
        "#]]
        .assert_eq(&names(&all));
    }
}
