//! Records with concurrent changes.

use serde_json::{Value, json};

use super::{
    journey::Journey,
    world::{DROPLET, StepWorld},
};
use crate::{
    api::OPERATOR,
    saga::{step::Failure, steps::named},
};

const PERSON: &str = "kubectl-edit";

fn resource() -> Value {
    json!({ "kind": "Droplet", "id": DROPLET })
}

fn record<'w>(world: &'w StepWorld, desired: &Value) -> Journey<'w> {
    let parameters = json!({ "name": "web-1", "kind": "Droplet", "id": DROPLET, "desired": desired });
    Journey::new(world, named("RecordProvisioned").unwrap(), &parameters)
}

fn unrecord(world: &StepWorld) -> Journey<'_> {
    Journey::new(world, named("UnrecordProvisioned").unwrap(), &json!({ "name": "web-1" }))
}

#[tokio::test]
async fn undoing_a_record_leaves_what_others_have_changed_since() {
    let world = StepWorld::start().await;
    let cluster = world.cluster().await;
    let desired =
        json!({ "size_slug": "s-1vcpu-1gb", "image": "ubuntu-22-04-x64", "vpc_uuid": "one", "backups": true });
    cluster.apply("web-1", OPERATOR, json!({ "spec": { "resource": resource(), "desired": desired } })).await;
    let mut journey = record(&world, &json!({ "size_slug": "s-2vcpu-4gb", "region": "nyc3", "vpc_uuid": "two" }));
    journey.go().await.unwrap();
    // The operator adopts a live value; people add a field, change one that the step removed, and suspend the record.
    cluster.edit("web-1", OPERATOR, json!({ "spec": { "desired": { "size_slug": "s-4vcpu-8gb" } } })).await;
    let by_hand = json!({ "desired": { "tags": ["prod"], "image": "debian-13-x64" }, "suspend": true });
    cluster.edit("web-1", PERSON, json!({ "spec": by_hand })).await;

    for _ in 0..2 {
        journey.undo().await.unwrap();
        let spec = &cluster.said("web-1").await["spec"];
        let desired = json!({
            "size_slug": "s-4vcpu-8gb", "tags": ["prod"], "image": "debian-13-x64", "vpc_uuid": "one", "backups": true,
        });
        assert_eq!(spec, &json!({ "resource": resource(), "desired": desired, "suspend": true }));
    }
}

#[tokio::test]
async fn a_record_that_is_created_again_after_an_undo_still_replaces_its_own_fields() {
    let world = StepWorld::start().await;
    let cluster = world.cluster().await;
    let desired = json!({ "size_slug": "s-1vcpu-1gb", "image": "ubuntu-22-04-x64" });
    cluster.apply("web-1", OPERATOR, json!({ "spec": { "resource": resource(), "desired": desired } })).await;
    let labels = json!({ "metadata": { "labels": { "team": "web" } } });
    cluster.edit("web-1", PERSON, labels).await;
    for mut journey in [record(&world, &json!({ "region": "nyc3" })), unrecord(&world)] {
        journey.go().await.unwrap();
        journey.undo().await.unwrap();
        assert_eq!(cluster.said("web-1").await["spec"]["desired"], desired);
    }
    record(&world, &json!({ "region": "nyc3" })).go().await.unwrap();
    let said = cluster.said("web-1").await;
    assert_eq!((&said["spec"]["desired"], &said["labels"]), (&json!({ "region": "nyc3" }), &json!({ "team": "web" })));
}

#[tokio::test]
async fn a_record_created_by_others_meanwhile_is_not_adopted() {
    let world = StepWorld::start().await;
    let cluster = world.cluster().await;
    let theirs = json!({ "spec": { "resource": resource(), "desired": { "region": "ams3" } } });
    let mut journey = record(&world, &json!({ "region": "nyc3" }));
    journey.begin().await.unwrap();
    cluster.apply("web-1", PERSON, theirs.clone()).await;
    let Err(Failure::Permanent(why)) = journey.resume().await else { panic!("it should have failed") };
    assert_eq!(why, "ProvisionedResource web-1 was created or deleted since this step started");
    journey.undo().await.unwrap();
    assert_eq!(cluster.said("web-1").await["spec"], theirs["spec"]);
}

#[tokio::test]
async fn a_record_that_replaced_ours_stays() {
    let world = StepWorld::start().await;
    let cluster = world.cluster().await;
    let theirs = json!({ "spec": { "resource": resource(), "desired": { "region": "ams3" } } });

    let mut recorded = record(&world, &json!({ "region": "nyc3" }));
    recorded.go().await.unwrap();
    let mut unrecorded = unrecord(&world);
    unrecorded.begin().await.unwrap();
    cluster.delete("web-1").await;
    cluster.apply("web-1", PERSON, theirs.clone()).await;

    recorded.undo().await.unwrap();
    assert_eq!(cluster.said("web-1").await["spec"], theirs["spec"]);
    unrecorded.resume().await.unwrap();
    assert_eq!(cluster.said("web-1").await["spec"], theirs["spec"]);
    unrecorded.undo().await.unwrap();
    assert_eq!(cluster.said("web-1").await["spec"], theirs["spec"]);
}

#[tokio::test]
async fn a_record_that_a_finalizer_holds_is_waited_for() {
    let world = StepWorld::start().await;
    let cluster = world.cluster().await;
    let metadata = json!({ "finalizers": ["example.com/audit"] });
    let spec = json!({ "resource": resource(), "desired": {} });
    cluster.apply("web-1", PERSON, json!({ "metadata": metadata, "spec": spec })).await;
    let mut journey = unrecord(&world);
    let let_go = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        cluster.edit("web-1", PERSON, json!({ "metadata": { "finalizers": null } })).await;
    };
    let (result, ()) = tokio::join!(journey.go(), let_go);
    result.unwrap();
    assert_eq!(cluster.said("web-1").await, Value::Null);
}
