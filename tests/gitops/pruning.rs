//! Records that an engine prunes and brings back: an acceptance does not survive its record.

use kube::ResourceExt;
use serde_json::json;

use crate::{
    engine::{Engine, round_of},
    stage::{RECORD, Stage},
    world::eventually,
};

#[tokio::test]
async fn a_record_that_is_pruned_and_brought_back_asks_again() {
    for engine in [Engine::Helm, Engine::HelmClientSide] {
        let mut stage = Stage::new(&format!("pruned-{}", engine.name())).await;
        let manifest = json!({"name": "in-manifest"});
        stage.commit(&manifest);
        round_of(engine, &stage).await.succeeded();
        stage.world.environment = vec![("FAILPOINTS", "orphans-rest=return(1)")];
        stage.start_operator();
        let drift = format!("drift/{}", stage.world.open_drift().await);
        stage.world.run(&["annotate", &drift, "arcadia.cloud/accept=true"]).await;
        stage.world.reaches(&drift, "Standing", "True Accepted").await;
        let old = stage.world.value(&format!("pr/{RECORD}"), "{.metadata.uid}").await;

        stage.commit_all(&[]);
        round_of(engine, &stage).await.succeeded();
        assert_eq!(stage.world.run(&["get", "pr", "-o", "name"]).await, "");
        stage.commit(&manifest);
        round_of(engine, &stage).await.succeeded();
        stage.world.reaches(&format!("pr/{RECORD}"), "InSync", "False DriftOpen").await;
        let current = stage.world.condition(&format!("pr/{RECORD}"), "ManifestCurrent").await;
        assert_eq!(current, "", "none ever stood for the new record");
        let new = stage.world.value(&format!("pr/{RECORD}"), "{.metadata.uid}").await;
        assert_ne!(new, old);
        // The garbage collector deletes the old drift. Until then, it says that its record is gone.
        eventually("the old drift", || async {
            let drifts = stage.drifts().await;
            let of = |uid: &str| drifts.iter().filter(|drift| drift.spec.resource_ref.uid == uid).collect::<Vec<_>>();
            let left = of(&old).into_iter().filter(|drift| {
                drift.status.as_ref().is_some_and(|status| status.reason.as_deref() != Some("RecordGone"))
            });
            let left: Vec<_> = left.map(ResourceExt::name_any).collect();
            if left.is_empty() && of(&new).len() == 1 { Ok(()) } else { Err(left) }
        })
        .await;
        stage.operator_wrote_to_no_record();
    }
}
