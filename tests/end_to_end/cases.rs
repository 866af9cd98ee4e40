//! The table of cases of the comparison, end to end: each case is a resource of the cloud and a record of it.

use std::collections::BTreeMap;

use arcadia_operator::digitalocean::Kind;
use digitalocean_simulator::RateLimits;
use serde_json::json;

use crate::{
    places::{id, places, put, put_parents},
    world::{World, eventually},
};
use table::{Case, Verdict};

#[path = "../support/cases.rs"]
mod table;

/// The expected status and reason of `InSync` for a verdict.
fn wanted(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "True NoDrift",
        Verdict::Differs => "False DriftOpen",
        Verdict::Unknown | Verdict::Unverified => "Unknown FieldsUnknown",
        Verdict::Invalid | Verdict::NoSuchField => "Unknown InvalidField",
    }
}

#[tokio::test]
async fn every_case_of_the_table_gets_its_verdict_and_no_credential_is_printed() {
    let cases = table::all();
    let places = places();
    let limits = RateLimits { per_minute: 1_000_000, per_hour: 10_000_000, ..RateLimits::default() };
    let mut world = World::without_operator("cases", limits).await;
    put_parents(&world.cloud, &places).await;
    let mut records = Vec::new();
    let mut cases_of: BTreeMap<String, &Case> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let place = &places[case.kind.name()];
        // The simulator cannot vary the other responses of the account per resource, and the test chooses the id.
        let is_own =
            case.certificates.is_some() || !case.unread.is_empty() || case.id.is_some() || case.scope.is_some();
        if is_own || case.live.get(&place.id.field).is_some() || case.field == place.id.field {
            continue;
        }
        let id = id(case.kind, number);
        let mut document = case.live.clone();
        // The policy comes from its own path, which returns none.
        if document["backup_policy"].is_null() {
            document.as_object_mut().unwrap().remove("backup_policy");
        }
        put(&world.cloud, place, &id, &document).await;
        let name = format!("case-{number}");
        records.push(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": { "name": name },
            "spec": {
                "resource": { "kind": case.kind.name(), "id": id }, "desired": { case.field.clone(): case.recorded },
            },
        }));
        cases_of.insert(name, case);
    }
    assert!(cases_of.len() >= 600, "{} cases", cases_of.len());
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    world.start_operator(&["--sync-schedule", "2s"]);

    let faults = || async {
        let mut faults = Vec::new();
        for record in world.list("pr").await {
            let case = cases_of[record["metadata"]["name"].as_str().unwrap()];
            let condition = record["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|condition| condition["type"] == "InSync")
                .cloned()
                .unwrap_or_default();
            let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
            let is = format!("{} {}", text("status"), text("reason"));
            if is != wanted(case.verdict) {
                faults.push(format!(
                    "{} {} {}: {}: {is} ({}), not {:?}",
                    record["metadata"]["name"],
                    case.kind,
                    case.field,
                    case.name,
                    text("message"),
                    case.verdict
                ));
            }
        }
        faults
    };
    eventually("every case has its verdict", || async {
        let faults = faults().await;
        if faults.is_empty() {
            Ok(())
        } else {
            Err(format!("{} of {}:\n{}", faults.len(), cases_of.len(), faults.join("\n")))
        }
    })
    .await;

    // The records contain user input; nothing that the operator writes may show it.
    let mut printed = world.log();
    printed += &world.run(&["get", "drifts,sagas,events", "-o", "json"]).await;
    printed.extend(world.list("pr").await.iter().map(|record| record["status"].to_string()));
    printed += &world.operator.as_ref().unwrap().metrics().unwrap_or_default();
    for (name, case) in &cases_of {
        for secret in &case.hidden {
            assert!(!printed.contains(secret.as_str()), "{name} {}: {secret} is printed", case.name);
        }
    }
}
