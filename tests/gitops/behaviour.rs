//! The engines themselves: the changes that they revert, heal, mark and report.

use gitops_engines::{Action, Argo, Compared, Flux, SyncPolicy, SyncResult, SyncStatus, Tracking};
use serde_json::{Value, json};

use crate::{
    engine::{Engine, INTERVAL, Loop, round_of},
    stage::{RECORD, Stage},
};

/// The state of the cloud.
fn live() -> Value {
    json!({"name": "web-1", "size_slug": "s-2vcpu-4gb"})
}

/// Changes the record by hand, as a colleague with kubectl would.
async fn edit(stage: &Stage) {
    let edit = r#"{"spec":{"desired":{"name":"by-hand"}}}"#;
    stage.world.run(&["patch", "pr", RECORD, "--type=merge", "-p", edit, "--field-manager=kubectl-edit"]).await;
}

async fn desired_name(stage: &Stage) -> String {
    stage.world.value(&format!("pr/{RECORD}"), "{.spec.desired.name}").await
}

#[tokio::test]
async fn flux_reverts_edits_by_kubectl() {
    let stage = Stage::new("flux-undoes").await;
    stage.commit(&live());
    let folder = stage.manifests();
    let flux = Flux::default();
    let actions = [Action::Created, Action::Unchanged];
    for action in actions {
        let round = flux.apply(&folder, stage.kubeconfig()).await.unwrap();
        assert_eq!((round.error, round.objects[0].action), (None, action));
    }
    let labels = stage.world.value(&format!("pr/{RECORD}"), "{.metadata.labels}").await;
    let wanted =
        r#"{"kustomize.toolkit.fluxcd.io/name":"records","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}"#;
    assert_eq!(labels, wanted);

    edit(&stage).await;
    // A field that no manifest declares is removed too, since kubectl owns it.
    let more = r#"{"spec":{"desired":{"region":"nyc3"}}}"#;
    stage.world.run(&["patch", "pr", RECORD, "--type=merge", "-p", more]).await;
    let round = flux.apply(&folder, stage.kubeconfig()).await.unwrap();
    assert_eq!((round.error, round.objects[0].action), (None, Action::Configured));
    let desired = stage.world.value(&format!("pr/{RECORD}"), "{.spec.desired}").await;
    assert_eq!(serde_json::from_str::<Value>(&desired).unwrap(), live());
    let managers = stage.world.run(&[
        "get",
        "pr",
        RECORD,
        "-o",
        "jsonpath={.metadata.managedFields[*].manager}",
        "--show-managed-fields",
    ]);
    assert_eq!(managers.await, "kustomize-controller");
}

/// Plays rounds until the record has this status; the watch may be a round late.
async fn reaches(argo: &mut gitops_engines::Loop<Compared>, status: SyncStatus) -> Compared {
    for _ in 0..100 {
        let mut round = argo.next_rounds(1).await.unwrap().remove(0);
        assert_eq!(round.error, None);
        let record = round.objects.remove(0);
        if record.sync == status {
            return record;
        }
    }
    panic!("the record is never {status:?}: {:?}", argo.rounds().unwrap().pop());
}

#[tokio::test]
async fn argo_cd_heals_only_with_self_heal() {
    for server_side in [false, true] {
        let stage = Stage::new("argo-heals").await;
        stage.commit(&live());
        let (folder, kubeconfig) = (stage.manifests(), stage.kubeconfig());
        let argo = Argo { server_side, ..Argo::default() };
        let mut calm = argo.sync_loop(&folder, kubeconfig, INTERVAL).unwrap();
        reaches(&mut calm, SyncStatus::Synced).await;
        let first = &calm.rounds().unwrap()[0];
        assert_eq!(first.objects[0].result, Some(SyncResult::Synced), "{first:?}");

        edit(&stage).await;
        let record = reaches(&mut calm, SyncStatus::OutOfSync).await;
        assert_eq!(record.result, None);
        assert_eq!(record.difference, Some(json!({"spec": {"desired": {"name": "web-1"}}})));
        calm.next_rounds(5).await.unwrap();
        assert_eq!(desired_name(&stage).await, "by-hand");
        calm.stop().unwrap();

        let compare = Argo { sync: SyncPolicy::Manual, ..argo.clone() };
        let round = compare.sync(&folder, kubeconfig).await.unwrap();
        assert_eq!((round.objects[0].sync, round.objects[0].result), (SyncStatus::OutOfSync, None));

        let heal = Argo { sync: SyncPolicy::SelfHeal, ..argo };
        let round = heal.sync(&folder, kubeconfig).await.unwrap();
        assert_eq!((round.error, round.objects[0].result), (None, Some(SyncResult::Synced)));
        assert_eq!(desired_name(&stage).await, "web-1");
    }
}

#[tokio::test]
async fn argo_cd_marks_its_objects_for_its_tracking_method() {
    let stage = Stage::new("argo-marks").await;
    stage.commit(&live());
    let namespace = stage.world.namespace.name();
    let id = format!("records:arcadia.cloud/ProvisionedResource:{namespace}/{RECORD}");
    for (tracking, annotation, label) in [
        (Tracking::Annotation, id.as_str(), ""),
        (Tracking::AnnotationAndLabel, &id, "records"),
        // Three-way merge: a field of the last manifest that this one lacks is removed.
        (Tracking::Label, "", "records"),
    ] {
        let argo = Argo { tracking, ..Argo::default() };
        let round = argo.sync(&stage.manifests(), stage.kubeconfig()).await.unwrap();
        assert_eq!((round.error, round.objects[0].result), (None, Some(SyncResult::Synced)));
        let record = format!("pr/{RECORD}");
        let marks = [
            stage.world.value(&record, r"{.metadata.annotations.argocd\.argoproj\.io/tracking-id}").await,
            stage.world.value(&record, r"{.metadata.labels.app\.kubernetes\.io/instance}").await,
        ];
        assert_eq!(marks, [annotation, label], "{tracking:?}");
    }
}

#[tokio::test]
async fn every_engine_applies_a_new_manifest() {
    for engine in Engine::ALL {
        let stage = Stage::new(engine.name()).await;
        for name in ["one", "two"] {
            stage.commit(&json!({"name": name}));
            assert_ne!(round_of(engine, &stage).await.succeeded(), Some(false), "{engine:?}");
            assert_eq!(desired_name(&stage).await, name, "{engine:?}");
        }
        stage.has_versions(RECORD, 2).await;
        assert_eq!(stage.generation().await, "2", "{engine:?}");
    }
}

#[tokio::test]
async fn a_broken_manifest_fails_a_round_and_the_loop_continues() {
    for engine in [Engine::Flux, Engine::Argo, Engine::Apply] {
        let stage = Stage::new("broken").await;
        stage.commit_with(&json!({"name": "web-1"}), &json!({"unknown": true, "suspend": "yes"}));
        let mut engine_loop = Loop::of(engine, &stage);
        let round = engine_loop.next(1).await.remove(0);
        assert!(round.error.is_some(), "{engine:?}: {round:?}");
        stage.commit(&live());
        let round = engine_loop.next(1).await.remove(0);
        assert_eq!(round.error, None, "{engine:?}");
    }
}
