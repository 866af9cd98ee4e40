//! Records that an engine prunes and brings back, and clusters that are restored from Git: an acceptance does not survive
//! its record.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    engine::{Engine, Loop, tests_for_engines},
    stage::{LIVE_NAME, RECORD, Record, Stage},
    world::{DROPLET, eventually},
};

/// A record that stays: no engine removes all that it has without a question.
const OTHER: (&str, &str) = ("stays", "3001");

fn record((name, droplet): (&str, &str), says: &str) -> Record {
    Record { name: name.to_owned(), droplet: droplet.to_owned(), desired: json!({"name": says}), more: json!({}) }
}

/// The open drifts, by record.
async fn open(stage: &Stage) -> BTreeMap<String, String> {
    let drifts = stage
        .drifts()
        .await
        .into_iter()
        .filter(|drift| drift.status.as_ref().is_some_and(|status| status.phase.name() == "Open"));
    drifts.map(|drift| (drift.spec.resource_ref.name.clone(), drift.name_any())).collect()
}

async fn asks_again_once_pruned_by(engine: Engine) {
    let mut stage = Stage::new(&format!("pruned-{}", engine.name())).await;
    stage.add_droplet(OTHER.1).await;
    let (other, pruned) = (record(OTHER, LIVE_NAME), record((RECORD, DROPLET), "in-manifest"));
    stage.commit_all(&[other.clone(), pruned.clone()]);
    let mut engine_loop = Loop::of(engine, &stage);
    engine_loop.next(1).await.remove(0).succeeded();
    stage.world.environment = vec![("FAILPOINTS", "orphans-rest=return(1)")];
    stage.start_operator();
    let drift = format!("drift/{}", stage.world.open_drift().await);
    stage.world.run(&["annotate", &drift, "arcadia.cloud/accept=true"]).await;
    stage.world.reaches(&drift, "Standing", "True Accepted").await;
    let old = stage.world.value(&format!("pr/{RECORD}"), "{.metadata.uid}").await;

    stage.commit_all(std::slice::from_ref(&other));
    eventually("the pruning", || async {
        let left = stage.world.run(&["get", "pr", "-o", "jsonpath={.items[*].metadata.name}"]).await;
        if left == OTHER.0 { Ok(()) } else { Err(left) }
    })
    .await;
    stage.commit_all(&[other, pruned]);
    eventually("the record", || async {
        let records = stage.records().await;
        if records.iter().any(|record| record.name_any() == RECORD) { Ok(()) } else { Err(records.len()) }
    })
    .await;
    stage.world.reaches(&format!("pr/{RECORD}"), "InSync", "False DriftOpen").await;
    stage.world.reaches(&format!("pr/{RECORD}"), "ManifestCurrent", "True NoAcceptanceStands").await;
    let new = stage.world.value(&format!("pr/{RECORD}"), "{.metadata.uid}").await;
    assert_ne!(new, old);
    // The garbage collector deletes the old drift. Until then, it says that its record is gone.
    eventually("the old drift", || async {
        let drifts = stage.drifts().await;
        let of = |uid: &str| drifts.iter().filter(|drift| drift.spec.resource_ref.uid == uid).collect::<Vec<_>>();
        let left = of(&old)
            .into_iter()
            .filter(|drift| drift.status.as_ref().is_some_and(|status| status.reason.as_deref() != Some("RecordGone")));
        let left: Vec<_> = left.map(ResourceExt::name_any).collect();
        if left.is_empty() && of(&new).len() == 1 { Ok(()) } else { Err(left) }
    })
    .await;
    stage.operator_wrote_to_no_record();
}

tests_for_engines! {
    asks_again_once_pruned_by:
    a_record_that_flux_prunes_and_brings_back_asks_again: Flux,
    a_record_that_argo_cd_prunes_and_brings_back_asks_again: Argo,
    a_record_that_argo_cd_prunes_and_brings_back_server_side_asks_again: ArgoServerSide,
    a_record_that_helm_prunes_and_brings_back_asks_again: Helm,
    a_record_that_helm_prunes_and_brings_back_client_side_asks_again: HelmClientSide,
}

/// Committed values are in sync. Values that were only accepted, on the drifts or in the record, need a new decision.
#[tokio::test]
async fn a_cluster_restored_from_git_opens_drifts_for_uncommitted_acceptances_again() {
    let mut stage = Stage::new("restored").await;
    let droplets = [("committed", "3101"), ("only-accepted", "3102")];
    for (_, droplet) in droplets {
        stage.add_droplet(droplet).await;
    }
    stage.commit_all(&droplets.map(|of| record(of, "in-manifest")));
    let engine_loop = Loop::of(Engine::Flux, &stage);
    stage.start_operator();
    eventually("both drifts", || async {
        let open = open(&stage).await;
        if open.len() == droplets.len() { Ok(()) } else { Err(open) }
    })
    .await;
    // A record that no manifest declares: its accepted value is in the record alone.
    stage.add_droplet("3103").await;
    stage.world.record_as("by-hand", "Droplet", "3103", json!({"name": "by-hand"}), json!({})).await;
    eventually("the third drift", || async {
        let open = open(&stage).await;
        if open.len() == 3 { Ok(()) } else { Err(open) }
    })
    .await;
    stage.world.run(&["annotate", "drifts", "--all", "arcadia.cloud/accept=true"]).await;
    eventually("the acceptances", || async {
        let open = open(&stage).await;
        if open.is_empty() { Ok(()) } else { Err(open) }
    })
    .await;
    stage.commit_all(&[record(droplets[0], LIVE_NAME), record(droplets[1], "in-manifest")]);
    stage.world.reaches("pr/committed", "ManifestCurrent", "True NoAcceptanceStands").await;
    stage.world.reaches("pr/only-accepted", "ManifestCurrent", "False AcceptancesStand").await;
    let backup = stage.world.run(&["get", "pr", "by-hand", "-o", "json"]).await;

    // The cluster is lost, with the operator and the engine.
    drop(engine_loop);
    stage.world.kill_operator();
    stage.world.run(&["delete", "pr,drifts", "--all"]).await;
    let _engine_loop = Loop::of(Engine::Flux, &stage);
    stage.start_operator();
    stage.world.reaches("pr/committed", "InSync", "True NoDrift").await;
    stage.world.reaches("pr/only-accepted", "InSync", "False DriftOpen").await;
    let open_now: Vec<_> = open(&stage).await.into_keys().collect();
    assert_eq!(open_now, ["only-accepted"]);
    let left = stage.world.run(&["get", "pr", "-o", "jsonpath={.items[*].metadata.name}"]).await;
    assert_eq!(left, "committed only-accepted", "no manifest has the third record");

    // A backup of the records, as the documentation makes it, has the value that was accepted in place.
    let mut record: Value = serde_json::from_str(&backup).unwrap();
    record.as_object_mut().unwrap().remove("status");
    for key in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences"] {
        record["metadata"].as_object_mut().unwrap().remove(key);
    }
    stage.world.kubectl().run_with_input(&["create", "-f", "-"], &record.to_string()).await.unwrap();
    stage.world.reaches("pr/by-hand", "InSync", "True NoDrift").await;
    assert_eq!(stage.world.value("pr/by-hand", "{.spec.desired.name}").await, LIVE_NAME);
}
