//! The cost of acceptances in writes to the API server, by its audit log.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    stage::{Record, Stage, Write, counted},
    world::{DROPLET, eventually},
};

const DROPLETS: [&str; 5] = [DROPLET, "2001", "2002", "2003", "2004"];
const NAMES: [&str; 5] = ["web-1", "web-2", "web-3", "web-4", "web-5"];

/// Creates records with one drift each, accepts all with one command, and returns the writes of the operator that
/// follow.
async fn accepted(stage: &mut Stage, more: &Value) -> Vec<Write> {
    for droplet in DROPLETS {
        stage.add_droplet(droplet).await;
    }
    let record = |(name, droplet): (&str, &str)| Record {
        name: name.to_owned(),
        droplet: droplet.to_owned(),
        desired: json!({"name": "old"}),
        more: more.clone(),
    };
    stage.commit_all(&NAMES.into_iter().zip(DROPLETS).map(record).collect::<Vec<_>>());
    let file = stage.manifest_file().display().to_string();
    stage.world.run(&["apply", "-f", &file]).await;
    stage.start_operator();
    is(stage, "False DriftOpen").await;
    let before = stage.operator_writes().len();
    stage.world.run(&["annotate", "drifts", "--all", "arcadia.cloud/accept=true"]).await;
    is(stage, "True NoDrift").await;
    stage.operator_writes().split_off(before)
}

/// Waits until all records are in sync, or all are not.
async fn is(stage: &Stage, wanted: &str) {
    let path = "jsonpath={range .items[*]}{.status.conditions[?(@.type==\"InSync\")].status} {.status.reason},{end}";
    eventually("the records", || async {
        let is = stage.world.run(&["get", "pr", "-o", path]).await;
        if is == format!("{wanted},").repeat(NAMES.len()) { Ok(()) } else { Err(is) }
    })
    .await;
}

/// Waits for this many sweeps.
async fn sweeps(stage: &Stage, count: usize) {
    let calls = || async { stage.world.cloud.requests().await.unwrap().total() };
    let before = calls().await;
    // A sweep of droplets is two lists: those without and those with a GPU.
    eventually("sweeps", || async {
        let more = calls().await - before;
        if more >= 2 * u64::try_from(count).unwrap() { Ok(()) } else { Err(more) }
    })
    .await;
}

#[tokio::test]
async fn a_standing_acceptance_takes_two_writes_and_later_sweeps_take_none() {
    let mut stage = Stage::new("cost-standing").await;
    let writes = accepted(&mut stage, &json!({})).await;
    if stage.is_on_a_given_cluster() {
        return;
    }
    let each = NAMES.len();
    let wanted = [("patch drifts/status", each), ("patch provisionedresources/status", each)];
    assert_eq!(counted(&writes), BTreeMap::from(wanted), "{writes:?}");

    let before = stage.operator_writes();
    sweeps(&stage, 5).await;
    assert_eq!(stage.operator_writes(), before);
}

#[tokio::test]
async fn an_acceptance_in_the_record_takes_two_writes_beside_the_status_of_the_record() {
    let mut stage = Stage::new("cost-in-place").await;
    let writes = accepted(&mut stage, &json!({"drift": {"accept": "InPlace"}})).await;
    if stage.is_on_a_given_cluster() {
        return;
    }
    let each = NAMES.len();
    let wanted = [
        // Checks whether the decision was withdrawn meanwhile, and changes nothing.
        ("patch drifts", each),
        ("patch provisionedresources", each),
        ("patch drifts/status", each),
        ("patch provisionedresources/status", each),
    ];
    assert_eq!(counted(&writes), BTreeMap::from(wanted), "{writes:?}");

    let before = stage.operator_writes();
    sweeps(&stage, 5).await;
    assert_eq!(stage.operator_writes(), before);
}
