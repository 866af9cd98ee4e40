//! Every known fault of the cloud, at each change that a saga makes; and cancellations at any time.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::stage::{ABREAST, Stage, census, examples, is_over, turn};

/// The faults of the cloud, by name.
fn effects() -> Vec<(&'static str, Effect)> {
    let status = |status, html| Effect::Status { status, retry_after: (status == 429).then_some(1), html };
    vec![
        ("500", status(500, false)),
        ("503", status(503, true)),
        ("429", status(429, false)),
        ("403", status(403, false)),
        ("404-of-a-proxy", status(404, true)),
        ("reset", Effect::Reset),
        ("reset-after", Effect::ResetAfter),
        ("late", Effect::Latency { milliseconds: 1000 }),
        ("truncated", Effect::Truncate),
        ("action-fails", Effect::FailAction),
        ("wrong", Effect::WrongContent),
    ]
}

fn provision() -> Value {
    let mut saga = examples().into_iter().find(|(name, _)| name == "provision-web-3").unwrap().1;
    for step in saga["spec"]["steps"].as_array_mut().unwrap() {
        step["retry"] = json!({"attempts": 5, "minSeconds": 0, "maxSeconds": 1});
    }
    saga
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_at_any_change_causes_a_duplicate_or_a_leak() {
    let _turn = turn().await;
    let mut calm = Stage::new("no-faults").await;
    calm.world.operator = Some(calm.start(""));
    calm.order(&provision()).await;
    let whole = census(&calm.end("provision-web-3").await.inventory);
    let whole = &whole;
    let cases = effects().into_iter().flat_map(|(name, effect)| (0..4).map(move |call| (name, effect.clone(), call)));
    let all = stream::iter(cases).map(|(name, effect, call)| async move {
        let what = format!("{name} at change {call}");
        let mut stage = Stage::new(&format!("fault-{name}-{call}")).await;
        stage.world.cloud.inject(Fault::new("*", effect).method("POST").after(call).times(1)).await.unwrap();
        stage.world.operator = Some(stage.start(""));
        stage.order(&provision()).await;
        let end = stage.end("provision-web-3").await;
        match end.phase.as_str() {
            "Succeeded" => assert_eq!(&census(&end.inventory), whole, "{what}: {}", end.saga["status"]),
            "RolledBack" => assert_eq!(end.inventory, stage.before, "{what}: {}", end.saga["status"]),
            _ => panic!("{what}: {}", end.saga["status"]),
        }
        // Only a permanent failure ends the saga.
        assert_eq!(end.phase == "RolledBack", name == "403", "{what}: {}", end.saga["status"]);
    });
    all.buffer_unordered(ABREAST).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_is_cancelled_or_deleted_at_any_step_leaves_nothing() {
    let _turn = turn().await;
    // The last step makes no call to the cloud, so the saga cannot be interrupted within it.
    let between = (0..6).flat_map(|step| [(step, true, false), (step, true, true)]);
    let cases = between.chain((0..4).map(|step| (step, false, true)));
    let all = stream::iter(cases).map(|(step, is_between, is_deleted)| async move {
        let what = format!("step {step}, between: {is_between}, deleted: {is_deleted}");
        let between = if is_between { "between" } else { "within" };
        let how = if is_deleted { "deleted" } else { "cancelled" };
        let mut stage = Stage::new(&format!("{how}-{between}-{step}")).await;
        stage.world.operator = Some(stage.start(""));
        let mut saga = provision();
        if is_between {
            let steps = saga["spec"]["steps"].as_array_mut().unwrap();
            steps.insert(step, json!({"name": "wait", "step": "Sleep", "with": {"seconds": 600}}));
        } else {
            // Long enough to interrupt.
            let slow = Effect::Latency { milliseconds: 600 };
            stage.world.cloud.inject(Fault::new("*", slow)).await.unwrap();
        }
        stage.order(&saga).await;
        let name = if is_between { "wait" } else { saga["spec"]["steps"][step]["name"].as_str().unwrap() };
        for _ in 0..1200 {
            let now = stage.saga("provision-web-3").await;
            let is_there = now["status"]["step"] == name && now["status"]["steps"].is_array();
            if is_there || is_over(&now) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if is_deleted {
            stage.world.run(&["delete", "saga", "provision-web-3", "--timeout=60s"]).await;
        } else {
            let cancel = r#"{"spec": {"cancelRequested": true}}"#;
            stage.world.run(&["patch", "saga", "provision-web-3", "--type=merge", "-p", cancel]).await;
            let end = stage.end("provision-web-3").await;
            assert_eq!(end.phase, "RolledBack", "{what}: {}", end.saga["status"]);
        }
        let inventory = stage.world.cloud.inventory().await.unwrap();
        assert_eq!(census(&inventory), census(&stage.before), "{what}");
        assert_eq!(inventory, stage.before, "{what}");
        assert_eq!(stage.records().await, "", "{what}");
    });
    all.buffer_unordered(ABREAST).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_without_a_lease_create_nothing_twice() {
    const SAGAS: usize = 12;
    let _turn = turn().await;
    let mut stage = Stage::new("two-operators").await;
    for number in 0..SAGAS {
        let address = json!({"ip": format!("45.55.97.{number}"), "region": "nyc3", "droplet": null});
        stage.world.cloud.put("reserved_ips", address).await.unwrap();
    }
    let before = census(&stage.world.cloud.inventory().await.unwrap());
    // Some responses are delayed and some are lost.
    stage.world.cloud.inject(Fault::new("*", Effect::ResetAfter).method("POST").after(9).times(4)).await.unwrap();
    let slow = Effect::Latency { milliseconds: 300 };
    stage.world.cloud.inject(Fault::new("*", slow).method("POST").after(20).times(20)).await.unwrap();
    let unelected = ["--leader-elect=false", "--settle-time", "4s", "--sync-schedule", "5m"];
    let _one = stage.world.spawn_operator(&unelected, &[]);
    let _other = stage.world.spawn_operator(&unelected, &[]);
    for number in 0..SAGAS {
        let mut saga = provision();
        let name = format!("provision-{number}");
        saga["metadata"]["name"] = json!(name);
        saga["spec"]["deploymentId"] = json!(name);
        saga["spec"]["inputs"]["name"] = json!(format!("web-{number}0"));
        saga["spec"]["inputs"]["ip"] = json!(format!("45.55.97.{number}"));
        for step in saga["spec"]["steps"].as_array_mut().unwrap() {
            step["retry"] = json!({"attempts": 20, "minSeconds": 0, "maxSeconds": 1});
        }
        stage.order(&saga).await;
    }
    for number in 0..SAGAS {
        let end = stage.end(&format!("provision-{number}")).await;
        assert_eq!(end.phase, "Succeeded", "{}", end.saga["status"]);
    }
    let after = census(&stage.world.cloud.inventory().await.unwrap());
    let count = |census: &[(String, usize)], name: &str| {
        census.iter().find(|(collection, _)| collection == name).map_or(0, |(_, count)| *count)
    };
    for collection in ["droplets", "volumes", "domains/example.com/records"] {
        assert_eq!(count(&after, collection), count(&before, collection) + SAGAS, "{collection}");
    }
    let text = stage.records().await;
    assert_eq!(text.lines().count(), SAGAS, "{text}");
}
