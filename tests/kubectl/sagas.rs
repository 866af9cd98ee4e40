//! Sagas from the command line.

use serde_json::json;

use crate::{
    program::Arcadia,
    world::{World, eventually},
};

#[tokio::test]
async fn a_saga_is_followed_approved_and_cancelled() {
    let world = World::new("kubectl-saga").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    let none = arcadia.expect(0, &["saga", "tree"]).await;
    assert!(none.contains("No saga is in progress."), "{none}");
    for name in ["first", "second"] {
        let saga = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": name },
            "spec": { "kind": "test", "steps": [{ "name": "ask", "step": "Approval" }, { "name": "pause", "step": "Sleep", "with": { "seconds": 0 } }] },
        });
        world.kubectl().apply(&saga.to_string()).await.unwrap();
    }
    let tree = eventually("the approval to wait", || async {
        let tree = arcadia.expect(0, &["saga", "tree", "first"]).await;
        if tree.contains("kubectl arcadia saga approve first ask") { Ok(tree) } else { Err(tree) }
    })
    .await;
    assert!(tree.contains("├─ ask") && tree.contains("└─ pause"), "{tree}");
    let wrong = arcadia.says(2, &["saga", "approve", "first", "pause"]).await;
    assert!(wrong.contains(r#"no Approval step "pause""#), "{wrong}");
    let stuck = arcadia.says(2, &["saga", "retry", "first"]).await;
    assert!(stuck.contains("is Running, not Stuck"), "{stuck}");
    arcadia.expect(0, &["saga", "suspend", "first"]).await;
    arcadia.expect(0, &["saga", "resume", "first"]).await;
    arcadia.expect(0, &["saga", "approve", "first"]).await;
    let watched = arcadia.expect(0, &["saga", "watch", "first"]).await;
    assert!(watched.contains("Succeeded"), "{watched}");

    arcadia.expect(0, &["saga", "cancel", "second", "--yes"]).await;
    let watched = arcadia.expect(1, &["saga", "watch", "second"]).await;
    assert!(watched.contains("RolledBack"), "{watched}");
    let over = arcadia.says(2, &["saga", "cancel", "second", "--yes"]).await;
    assert!(over.contains("has ended already"), "{over}");
}
