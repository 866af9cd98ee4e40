//! One saga among others: a saga that panics blocks no other, many waiting sagas are cheap, and a stuck operator is not
//! live.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use crate::{
    stage::{ARGUMENTS, Stage, examples, turn},
    world::{droplet, eventually},
};

/// A saga that creates a snapshot of this droplet.
fn snapshot(name: &str, droplet: &str) -> Value {
    let mut saga = examples().into_iter().find(|(name, _)| name == "snapshot-web-1").unwrap().1;
    saga["metadata"]["name"] = json!(name);
    saga["spec"]["deploymentId"] = json!(name);
    saga["spec"]["inputs"]["droplet_provider_id"] = json!(droplet);
    saga
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_makes_the_operator_panic_holds_up_no_other() {
    let _turn = turn().await;
    let mut stage = Stage::new("panics").await;
    stage.world.panics = true;
    stage.world.operator = Some(stage.start("after-panic=return(20);turn=1*panic"));
    stage.order(&snapshot("broken", "3164444")).await;
    eventually("the panic", || async {
        let log = stage.world.log();
        if log.contains("panicked; please report this") { Ok(()) } else { Err("none") }
    })
    .await;
    stage.order(&snapshot("sound", "3164445")).await;
    assert_eq!(stage.end("sound").await.phase, "Succeeded");
    let broken = stage.saga("broken").await;
    assert_eq!(broken["status"]["phase"], "Pending", "it is left alone for a while");
    assert_eq!(stage.end("broken").await.phase, "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn livez_fails_while_a_loop_is_stuck_and_only_then() {
    let _turn = turn().await;
    let mut stage = Stage::new("stands-still").await;
    // It blocks the thread of all work; the lease and the probes have another one.
    let environment = [("FAILPOINTS", "longest-round=return(2);turn=1*sleep(8000)")];
    let operator = stage.world.spawn_operator(&ARGUMENTS, &environment);
    let is_alive = async |what: &str, wanted: &str, says: &str| {
        eventually(what, || async {
            let answer = operator.answer("/livez").unwrap_or_default();
            if answer.contains(wanted) && answer.contains(says) { Ok(()) } else { Err(answer) }
        })
        .await;
    };
    is_alive("it is alive", " 200 ", "").await;
    stage.order(&snapshot("stands-still", "3164444")).await;
    is_alive("it reports the stuck worker", " 503 ", "a saga worker has made no progress for").await;
    is_alive("it continues", " 200 ", "").await;
    assert_eq!(stage.end("stands-still").await.phase, "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sagas_that_wait_cost_a_few_calls_a_minute() {
    const SAGAS: u32 = 500;
    const WINDOW: Duration = Duration::from_secs(15);
    let _turn = turn().await;
    let mut stage = Stage::new("many").await;
    let cloud = stage.world.cloud.clone();
    cloud.inject(Fault::new("/v2/droplets/*/actions", Effect::SlowAction { seconds: 3600 })).await.unwrap();
    let mut sagas = Vec::new();
    for number in 0..SAGAS {
        let (id, name) = (format!("41{number:05}"), format!("many-{number}"));
        cloud.put("droplets", droplet(&id, &name)).await.unwrap();
        sagas.push(snapshot(&name, &id));
    }
    // Without a lease: on a loaded machine the many sagas may delay its renewal.
    let arguments = ["--action-poll-interval", "5s", "--sync-schedule", "5m", "--leader-elect=false"];
    stage.world.operator = Some(stage.world.spawn_operator(&arguments, &[]));
    stage.order(&json!({ "apiVersion": "v1", "kind": "List", "items": sagas })).await;
    let count = async |phase: &str, part: &str| {
        let sagas = stage.world.list("sagas").await;
        sagas.iter().filter(|saga| saga["status"]["phase"] == phase && saga.pointer(part).is_some()).count()
    };
    eventually("all of them wait", || async {
        let waiting = count("Running", "/status/steps/0/action").await;
        if waiting == 500 { Ok(()) } else { Err(waiting) }
    })
    .await;

    cloud.reset_requests().await.unwrap();
    tokio::time::sleep(WINDOW).await;
    let calls: u64 = cloud.requests().await.unwrap().counts.values().sum();
    assert_eq!(count("Running", "/metadata/name").await, 500, "they waited all the time");
    println!("{SAGAS} sagas waited for {WINDOW:?} with {calls} calls");
    assert!((1..=7).contains(&calls), "{calls}");

    cloud.finish_actions().await.unwrap();
    eventually("all of them succeed", || async {
        let succeeded = count("Succeeded", "/metadata/name").await;
        if succeeded == 500 { Ok(()) } else { Err(succeeded) }
    })
    .await;
}
