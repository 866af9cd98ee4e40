//! Tests of the droplet steps that the table cannot express: refusals and intermediate states.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{
    journey::{Crash, go, journey, refusal},
    world::{DROPLET, OTHER_DROPLET, StepWorld, TAG},
};
use crate::saga::{step::Failure, steps::named};

/// A droplet to be created.
fn little() -> Value {
    json!({ "name": "web-9", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64" })
}

#[tokio::test]
async fn a_size_that_a_droplet_cannot_have_is_refused_before_it_is_powered_off() {
    let world = StepWorld::start().await;
    let to = |size: &str| json!({ "droplet_provider_id": DROPLET, "size": size });
    let why = refusal(&world, "ResizeDroplet", to("s-4vcpu-8gbb")).await;
    assert!(why.contains("s-4vcpu-8gbb") && why.contains("s-4vcpu-8gb,"), "{why}");
    let why = refusal(&world, "ResizeDroplet", to("s-1vcpu-1gb")).await;
    assert!(why.contains("80 GB") && why.contains("25"), "{why}");
}

#[tokio::test]
async fn backups_are_not_lost_unless_that_is_wanted() {
    let world = StepWorld::start().await;
    let with = json!({ "backups": true, "backup_ids": [1, 2] });
    world.control.change("droplets", DROPLET, with).await.unwrap();
    for step in ["DeleteDroplet", "DisableBackups"] {
        let why = refusal(&world, step, json!({ "droplet_provider_id": DROPLET })).await;
        assert!(why.contains("2 backups") && why.contains("`discard_backups`"), "{why}");
    }
    let without = Effect::OmitFields { fields: vec!["backup_ids".to_owned()] };
    world.control.inject(Fault::new("*", without)).await.unwrap();
    for step in ["DeleteDroplet", "DisableBackups"] {
        let why = refusal(&world, step, json!({ "droplet_provider_id": DROPLET })).await;
        assert!(why.contains("`image:read`"), "unknown is not none: {why}");
    }
}

#[tokio::test]
async fn steps_that_lose_something_say_what_and_the_others_do_not() {
    let irreversible = |step: &str, parameters: Value| named(step).unwrap().check(&parameters).unwrap();
    let droplet = json!({ "droplet_provider_id": DROPLET });
    let discarding = json!({ "droplet_provider_id": DROPLET, "discard_backups": true });
    let resize = |disk: bool| json!({ "droplet_provider_id": DROPLET, "size": "s-4vcpu-8gb", "disk": disk });
    for (step, parameters) in [
        ("DeleteDroplet", &droplet),
        ("DeleteSnapshot", &json!({ "snapshot_id": 7 })),
        ("DisableBackups", &discarding),
        ("ResizeDroplet", &resize(true)),
        ("RestoreDroplet", &json!({ "droplet_provider_id": DROPLET, "image": 7 })),
    ] {
        assert!(irreversible(step, parameters.clone()).is_some(), "{step}");
    }
    for (step, parameters) in [
        ("DisableBackups", &droplet),
        ("EnableBackups", &droplet),
        ("PowerOffDroplet", &droplet),
        ("PowerOnDroplet", &droplet),
        ("ResizeDroplet", &resize(false)),
    ] {
        assert_eq!(irreversible(step, parameters.clone()), None, "{step}");
    }
}

#[tokio::test]
async fn several_droplets_with_the_tag_of_one_step_are_for_a_person_to_choose_from() {
    let world = StepWorld::start().await;
    for id in ["3164444", "3164445"] {
        world.control.change("droplets", id, json!({ "tags": [TAG] })).await.unwrap();
    }
    let droplet = little();
    let why = refusal(&world, "CreateDroplet", droplet.clone()).await;
    assert!(why.contains("3164444") && why.contains("3164445"), "{why}");
    let mut journey = journey(&world, "CreateDroplet", &droplet);
    assert_eq!(journey.adopt("3164445").await.unwrap()["droplet_id"], "3164445");
    assert_eq!(journey.adopt("1").await, Err(Failure::Permanent("there is no droplet 1".to_owned())));
}

#[tokio::test]
async fn several_droplets_with_the_tag_of_one_step_are_not_all_deleted_when_it_is_undone() {
    let world = StepWorld::start().await;
    for id in [DROPLET, OTHER_DROPLET] {
        world.control.change("droplets", id, json!({ "tags": [TAG] })).await.unwrap();
    }
    let mut create = journey(&world, "CreateDroplet", &little());
    create.begin().await.unwrap();
    let Err(Failure::Permanent(why)) = create.undo().await else { panic!("it should have failed") };
    assert!(why.contains(DROPLET) && why.contains(OTHER_DROPLET), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_droplet_without_the_tag_is_ignored_even_in_the_list_by_tag() {
    let world = StepWorld::start().await;
    let everything = Effect::DropQuery { name: "tag_name".to_owned() };
    world.control.inject(Fault::new("/v2/droplets", everything)).await.unwrap();
    let parameters = little();
    let mut begun = journey(&world, "CreateDroplet", &parameters);
    begun.begin().await.unwrap();
    assert_eq!(begun.undo().await, Ok(()));
    assert_eq!(world.changes().await, 0);
    let mut create = journey(&world, "CreateDroplet", &parameters).with(Crash::After(0));
    let output = create.go().await.unwrap();
    assert!(output["droplet_id"] != DROPLET && output["droplet_id"] != OTHER_DROPLET, "{output:?}");
    assert_eq!(create.undo().await, Ok(()));
    for (id, exists) in [(DROPLET, true), (OTHER_DROPLET, true), (output["droplet_id"].as_str().unwrap(), false)] {
        assert_eq!(world.droplet(id).await != Value::Null, exists, "{id}");
    }
}

#[tokio::test]
async fn no_droplet_is_created_or_deleted_where_the_token_may_not_see_tags() {
    let world = StepWorld::start().await;
    let everything = Effect::DropQuery { name: "tag_name".to_owned() };
    world.control.inject(Fault::new("/v2/droplets", everything)).await.unwrap();
    let without = Effect::OmitFields { fields: vec!["tags".to_owned()] };
    world.control.inject(Fault::new("*", without)).await.unwrap();
    let why = refusal(&world, "CreateDroplet", little()).await;
    assert!(why.contains("`tag:read`"), "{why}");
    let mut create = journey(&world, "CreateDroplet", &little());
    create.begin().await.unwrap();
    assert!(matches!(create.undo().await, Err(Failure::Permanent(why)) if why.contains("`tag:read`")));
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_gpu_droplet_is_found_though_a_search_by_tag_should_not_show_it() {
    let world = StepWorld::start().await;
    let droplet = json!({ "name": "ml", "size": "gpu-h100x1-80gb", "image": "gpu-h100x1-base" });
    let by_tag = format!("tag_name={TAG}");
    world.control.inject(Fault::new("/v2/droplets", Effect::EmptyList).query(by_tag)).await.unwrap();
    let mut crashing = journey(&world, "CreateDroplet", &droplet).with(Crash::After(0));
    crashing.go().await.unwrap();
    let requests = world.control.requests().await.unwrap();
    assert_eq!(requests.count("POST /v2/droplets"), 1);
}

#[tokio::test]
async fn a_droplet_is_shut_down_once_and_has_its_grace_period() {
    let world = StepWorld::start().await;
    world.control.inject(Fault::new("*", Effect::IgnoreAction).action("shutdown")).await.unwrap();
    let parameters = json!({ "droplet_provider_id": DROPLET, "grace_seconds": 60 });
    let mut off = journey(&world, "PowerOffDroplet", &parameters);
    let began = off.now();
    off.go().await.unwrap();
    assert!(off.now().duration_since(began).as_secs() >= 60);
    assert_eq!(world.actions(DROPLET).await, ["shutdown", "power_off"]);
    // Shutdowns before the latest power-on do not count.
    world.act(DROPLET, json!({ "type": "power_on" })).await;
    go(&world, "PowerOffDroplet", parameters).await.unwrap();
    let asked = world.actions(DROPLET).await;
    assert_eq!(asked, ["shutdown", "power_off", "power_on", "shutdown", "power_off"]);
}

#[tokio::test]
async fn a_droplet_that_is_resized_back_is_shut_down_again() {
    let world = StepWorld::start().await;
    let size = json!({ "droplet_provider_id": DROPLET, "size": "s-4vcpu-8gb" });
    let mut resize = journey(&world, "ResizeDroplet", &size);
    resize.go().await.unwrap();
    resize.undo().await.unwrap();
    let actions = ["shutdown", "resize", "power_on"];
    assert_eq!(world.actions(DROPLET).await, [actions, actions].concat());
}

#[tokio::test]
async fn a_droplet_that_shuts_down_after_all_is_powered_on_again_when_that_is_undone() {
    let world = StepWorld::start().await;
    world.control.inject(Fault::new("*", Effect::IgnoreAction).action("shutdown").times(1)).await.unwrap();
    let parameters = json!({ "droplet_provider_id": DROPLET });
    let mut off = journey(&world, "PowerOffDroplet", &parameters).with(Crash::After(0));
    assert_eq!(off.go_until_crash().await, Ok(true));
    let goes_off = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.control.change("droplets", DROPLET, json!({ "status": "off" })).await.unwrap();
    };
    let (undone, ()) = futures::join!(off.undo(), goes_off);
    assert_eq!(undone, Ok(()));
    assert_eq!(world.droplet(DROPLET).await["status"], "active");
}

#[tokio::test]
async fn a_droplet_that_others_resized_since_is_powered_on_and_not_resized_back() {
    let world = StepWorld::start().await;
    let size = json!({ "droplet_provider_id": DROPLET, "size": "s-4vcpu-8gb" });
    let mut resize = journey(&world, "ResizeDroplet", &size);
    resize.go().await.unwrap();
    let theirs = json!({ "size_slug": "s-8vcpu-16gb", "disk": 80, "status": "off" });
    world.control.change("droplets", DROPLET, theirs).await.unwrap();
    let Err(Failure::Permanent(why)) = resize.undo().await else { panic!("it should be refused") };
    assert!(why.contains("neither the earlier value nor the one that this step wrote"), "{why}");
    let droplet = world.droplet(DROPLET).await;
    assert_eq!((&droplet["size_slug"], &droplet["status"]), (&json!("s-8vcpu-16gb"), &json!("active")));
}

#[tokio::test]
async fn a_droplet_whose_disk_others_grew_meanwhile_is_not_blamed_on_the_step() {
    let world = StepWorld::start().await;
    let earlier = world.droplet(DROPLET).await["size_slug"].clone();
    let size = json!({ "droplet_provider_id": DROPLET, "size": "s-4vcpu-8gb" });
    for (theirs, refused) in [
        (json!("s-8vcpu-16gb"), Some("neither the earlier value nor the one that this step wrote")),
        (json!("s-4vcpu-8gb"), Some("has grown and cannot be shrunk")),
        (earlier.clone(), None),
    ] {
        let before = json!({ "size_slug": earlier, "disk": 25, "status": "active" });
        world.control.change("droplets", DROPLET, before).await.unwrap();
        let mut resize = journey(&world, "ResizeDroplet", &size).with(Crash::After(0));
        assert_eq!(resize.go_until_crash().await, Ok(true));
        // The colleague resized while the droplet shut down.
        let after = json!({ "size_slug": theirs, "disk": 160, "status": "active" });
        world.control.change("droplets", DROPLET, after).await.unwrap();
        match (resize.undo().await, refused) {
            (Err(Failure::Permanent(why)), Some(refused)) => assert!(why.contains(refused), "{theirs}: {why}"),
            (undone, refused) => assert!(undone == Ok(()) && refused.is_none(), "{theirs}: {undone:?}"),
        }
        let droplet = world.droplet(DROPLET).await;
        assert_eq!((&droplet["size_slug"], &droplet["status"]), (&theirs, &json!("active")));
    }
    let actions = world.actions(DROPLET).await;
    assert!(!actions.iter().any(|action| action == "resize"), "{actions:?}");
}

#[tokio::test]
async fn backup_times_that_were_changed_since_stay() {
    let world = StepWorld::start().await;
    let policy = |hour: u8| json!({ "plan": "daily", "hour": hour });
    world.act(DROPLET, json!({ "type": "enable_backups", "backup_policy": policy(4) })).await;
    let parameters = json!({ "droplet_provider_id": DROPLET, "backup_policy": policy(8) });
    let mut enable = journey(&world, "EnableBackups", &parameters);
    enable.go().await.unwrap();
    world.act(DROPLET, json!({ "type": "change_backup_policy", "backup_policy": policy(12) })).await;
    let Err(Failure::Permanent(why)) = enable.undo().await else { panic!("it should be refused") };
    assert!(why.contains("backup_policy of droplet 3164444 is neither the earlier value"), "{why}");
    let actions = world.actions(DROPLET).await;
    assert_eq!(actions, ["enable_backups", "change_backup_policy", "change_backup_policy"]);
    world.act(DROPLET, json!({ "type": "change_backup_policy", "backup_policy": policy(4) })).await;
    assert_eq!(enable.undo().await, Ok(()), "it is the earlier one");
}

#[tokio::test]
async fn a_step_waits_for_actions_of_others_on_the_droplet() {
    let world = StepWorld::start().await;
    let parameters = json!({ "droplet_provider_id": DROPLET });
    let mut off = journey(&world, "PowerOffDroplet", &parameters);
    off.begin().await.unwrap();
    let mut on = journey(&world, "PowerOnDroplet", &parameters);
    world.act(DROPLET, json!({ "type": "power_off" })).await;
    world.begin_to_act(DROPLET, json!({ "type": "power_on" })).await;
    let why = on.begin().await.unwrap_err();
    assert!(matches!(&why, Failure::Waiting(why) if why.contains(DROPLET)), "{why:?}");
    off.resume().await.unwrap();
    assert_eq!(world.actions(DROPLET).await, ["power_off", "power_on", "shutdown"]);
}

#[tokio::test]
async fn another_users_action_is_not_taken_for_the_steps_own() {
    let restore = json!({ "droplet_provider_id": DROPLET, "image": "7555620" });
    let snapshot = json!({ "droplet_provider_id": DROPLET, "snapshot_label": "before" });
    for (step, parameters, theirs, ours) in [
        ("RestoreDroplet", restore, json!({ "type": "reboot" }), "restore"),
        ("CreateDropletSnapshot", snapshot, json!({ "type": "snapshot", "name": "theirs" }), "snapshot"),
    ] {
        for crash in [None, Some(Crash::Before(0))] {
            let world = StepWorld::start().await;
            let image = json!({ "id": "7555620", "resource_type": "droplet", "resource_id": DROPLET });
            world.control.put("snapshots", image).await.unwrap();
            let mut journey = journey(&world, step, &parameters);
            journey.begin().await.unwrap();
            world.begin_to_act(DROPLET, theirs.clone()).await;
            let mut journey = match crash {
                Some(crash) => journey.with(crash),
                None => journey,
            };
            journey.call_on().await.unwrap();
            assert_eq!(world.actions(DROPLET).await, [theirs["type"].as_str().unwrap(), ours], "{step} {crash:?}");
        }
    }
}

#[tokio::test]
async fn a_droplet_that_is_locked_is_waited_for() {
    let world = StepWorld::start().await;
    let lock = async |locked: bool| world.control.change("droplets", DROPLET, json!({ "locked": locked })).await;
    lock(true).await.unwrap();
    for (step, parameters) in [
        ("PowerOffDroplet", json!({ "droplet_provider_id": DROPLET })),
        ("RenameDroplet", json!({ "droplet_provider_id": DROPLET, "name": "web-one" })),
    ] {
        let failure = journey(&world, step, &parameters).begin().await.unwrap_err();
        assert!(matches!(&failure, Failure::Waiting(why) if why.contains("locked")), "{failure:?}");
    }
    lock(false).await.unwrap();
    let parameters = json!({ "droplet_provider_id": DROPLET });
    let mut off = journey(&world, "PowerOffDroplet", &parameters);
    off.begin().await.unwrap();
    lock(true).await.unwrap();
    let unlock = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        lock(false).await.unwrap();
    };
    let (done, ()) = futures::join!(off.call_on(), unlock);
    done.unwrap();
    assert_eq!(world.actions(DROPLET).await, ["shutdown"]);
}

#[tokio::test]
async fn a_droplet_that_cannot_be_shut_down_is_powered_off() {
    let world = StepWorld::start().await;
    world.control.inject(Fault::new("*", Effect::FailAction).action("shutdown")).await.unwrap();
    go(&world, "PowerOffDroplet", json!({ "droplet_provider_id": DROPLET })).await.unwrap();
    assert_eq!(world.actions(DROPLET).await, ["shutdown", "shutdown", "power_off"]);
}

#[tokio::test]
async fn an_error_names_each_scope_that_the_token_lacks() {
    let droplet = |more: Value| {
        let mut parameters = json!({ "droplet_provider_id": DROPLET });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameters
    };
    let volume = json!({ "name": "data", "region": "nyc3", "size_gigabytes": 1 });
    for (step, parameters, method, scopes) in [
        ("CreateDroplet", little(), "POST", "droplet:create, tag:create"),
        ("PowerOffDroplet", droplet(json!({})), "POST", "droplet:update"),
        ("ResizeDroplet", droplet(json!({ "size": "s-4vcpu-8gb", "grace_seconds": 0 })), "POST", "droplet:update"),
        ("CreateDropletSnapshot", droplet(json!({})), "POST", "droplet:update, image:create"),
        ("RestoreDroplet", droplet(json!({ "image": "7" })), "POST", "droplet:update, droplet:admin"),
        ("CreateVolume", volume, "POST", "block_storage:create, tag:create"),
        ("TagResource", droplet(json!({ "tag": "blue" })), "POST", "tag:create, droplet:update"),
        ("UntagResource", droplet(json!({ "tag": "web" })), "DELETE", "tag:delete, droplet:update"),
        ("DeleteSnapshot", json!({ "snapshot_id": "7" }), "GET", "snapshot:read, block_storage_snapshot:read"),
        ("DeleteSnapshot", json!({ "snapshot_id": "7" }), "DELETE", "snapshot:delete, image:delete"),
    ] {
        let world = StepWorld::start().await;
        let forbidden = Effect::Status { status: 403, retry_after: None, html: false };
        world.control.inject(Fault::new("*", forbidden).method(method)).await.unwrap();
        let failure = go(&world, step, parameters).await.unwrap_err();
        assert!(matches!(&failure, Failure::Permanent(why) if why.contains(&format!("`{scopes}`"))), "{failure:?}");
    }
    let world = StepWorld::start().await;
    let forbidden = Effect::Status { status: 403, retry_after: None, html: false };
    world.control.inject(Fault::new("*", forbidden).action("resize")).await.unwrap();
    let failure = go(&world, "ResizeDroplet", droplet(json!({ "size": "s-4vcpu-8gb" }))).await.unwrap_err();
    assert!(failure.to_string().contains("`droplet:update, droplet:create`"), "{failure}");
}
