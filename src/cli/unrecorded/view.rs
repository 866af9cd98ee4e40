//! Unrecorded resources as text. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{
        drift::text,
        survey::{SurveyedResource, address},
        text::{Table, age, count, lines},
    },
    comparison::show,
    digitalocean::ResourceKey,
};

/// The columns of a name or of tags.
const CELL: usize = 40;

/// A live resource that no record names.
pub(super) struct Unrecorded {
    key: ResourceKey,
    name: Option<String>,
    region: Option<String>,
    tags: Vec<String>,
    created: Option<Timestamp>,
    /// The price in US dollars, if the document contains it.
    monthly: Option<f64>,
}

impl Unrecorded {
    pub(super) fn of(found: &SurveyedResource) -> Self {
        let price = |pointer: &str| found.document().pointer(pointer)?.as_f64();
        let in_cents = || price("/subscription/tier/monthly_price_in_cents").map(|cents| cents / 100.0);
        Self {
            key: found.key.clone(),
            name: found.name().map(str::to_owned),
            region: found.region().map(str::to_owned),
            tags: found.tags().into_iter().map(str::to_owned).collect(),
            created: text(found.document(), "/created_at").and_then(|time| time.parse().ok()),
            monthly: price("/size/price_monthly").or_else(in_cents),
        }
    }

    pub(super) fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn address(&self) -> String {
        address(&self.key)
    }
}

/// The commands that record the resources.
pub(super) struct NextCommands {
    /// The flags that select the same account and cluster, with a leading space.
    pub(super) flags: String,
    /// The command that records all of them.
    pub(super) all: String,
}

pub(super) fn table(unrecorded: &[Unrecorded], in_baseline: usize, next: &NextCommands, now: Timestamp) -> String {
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
            found.name.as_deref().map(|name| show::short_text(name, CELL)).unwrap_or_default(),
            found.region.clone().unwrap_or_default(),
            show::clip(&found.tags.join(","), CELL),
            found.created.map(|created| age(Some(created), now)).unwrap_or_default(),
            found.monthly.map(|price| format!("${price:.2}")).unwrap_or_default(),
        ]);
    }
    let counts: Vec<String> = counts.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    let NextCommands { flags, all } = next;
    format!(
        "{}\n{} not recorded: {}.{baseline} Next:\n  kubectl arcadia import {}{flags}\n  {all}\n",
        table.render(),
        count(unrecorded.len(), "resource"),
        counts.join(", "),
        first.address(),
    )
}

pub(super) fn json(unrecorded: &[Unrecorded]) -> Value {
    let resources = unrecorded.iter().map(|found| {
        json!({
            "kind": found.key.kind, "id": &*found.key.id, "name": found.name, "region": found.region,
            "tags": found.tags, "createdAt": found.created, "monthlyPrice": found.monthly,
        })
    });
    json!({ "unrecorded": resources.collect::<Vec<_>>() })
}

pub(super) fn names(unrecorded: &[Unrecorded]) -> String {
    lines(unrecorded.iter().map(Unrecorded::address))
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
            [found("Droplet", "3164444", &droplet), found("Domain", "example.com", &json!({ "name": "example.com" }))]
                .map(|found| Unrecorded::of(&found));
        let now = "2026-05-10T12:00:00Z".parse().unwrap();
        let next = NextCommands {
            flags: " --context prod".to_owned(),
            all: "kubectl arcadia unrecorded --context prod --import --apply".to_owned(),
        };
        expect![[r#"
            KIND      ID            NAME          REGION   TAGS       AGE   MONTHLY
            Droplet   3164444       web-1         nyc3     web,prod   9d    $24.00
            Domain    example.com   example.com

            2 resources not recorded: 1 Domain, 1 Droplet. 3 more are in the baseline. Next:
              kubectl arcadia import Droplet/3164444 --context prod
              kubectl arcadia unrecorded --context prod --import --apply
        "#]]
        .assert_eq(&table(&all, 3, &next, now));
        expect![[r#"
            Every resource is recorded. 3 more are in the baseline.
        "#]]
        .assert_eq(&table(&[], 3, &next, now));
        expect![[r#"
            Droplet/3164444
            Domain/example.com
        "#]]
        .assert_eq(&names(&all));
    }
}
