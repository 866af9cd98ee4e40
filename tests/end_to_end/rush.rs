//! Many sagas and many changes at once share the calls of the token.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault, RateLimits};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{self, World, eventually};

const SAGAS: usize = 500;
/// Fewer than the sagas need, so that the last ones wait for the next minute.
const PER_MINUTE: u32 = 1200;
/// Far longer than two minutes of calls.
const PATIENCE: Duration = Duration::from_mins(8);
/// A saga that started this much later than another does not finish much earlier.
const MARGIN: i64 = 15;

#[tokio::test]
async fn five_hundred_droplets_at_once_stay_within_the_limits_and_finish_in_the_order_of_their_starts() {
    let limits = RateLimits { per_minute: PER_MINUTE, per_hour: 1_000_000, ..RateLimits::default() };
    let mut world = World::without_operator("saga-rush", limits).await;
    let before = names(&world).await.len();
    let per_minute = PER_MINUTE.to_string();
    world.start_operator(&["--requests-per-minute", &per_minute, "--requests-per-hour", "1000000"]);
    let sagas = (0..SAGAS).map(|number| {
        let with = json!({
            "name": format!("rush-{number}"), "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "region": "nyc3",
        });
        let steps = json!([{ "name": "create", "step": "CreateDroplet", "with": with }]);
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": format!("rush-{number}") },
            "spec": { "kind": "test", "steps": steps },
        })
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": sagas.collect::<Vec<_>>() });
    world.kubectl().apply(&list.to_string()).await.unwrap();

    let began = std::time::Instant::now();
    let sagas = loop {
        let sagas = world.list("sagas").await;
        let of = |phase: &str| sagas.iter().filter(|saga| saga["status"]["phase"] == phase).count();
        if of("Succeeded") == SAGAS {
            break sagas;
        }
        assert!(began.elapsed() < PATIENCE, "{} succeeded, {} run", of("Succeeded"), of("Running"));
        tokio::time::sleep(Duration::from_secs(2)).await;
    };

    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.limited, 0, "the token's limit was exceeded");
    assert!(requests.highest_per_minute <= u64::from(PER_MINUTE), "{}", requests.highest_per_minute);
    assert!(requests.total() > u64::from(PER_MINUTE), "there was no need to wait: {} calls", requests.total());
    let mut names = names(&world).await;
    assert_eq!(names.len() - before, SAGAS, "each is created once");
    names.sort();
    names.dedup();
    assert_eq!(names.len() - before, SAGAS, "each is created");
    let mut spans: Vec<_> = sagas
        .iter()
        .map(|saga| [seconds(&saga["status"]["startedAt"]), seconds(&saga["status"]["finishedAt"])])
        .collect();
    spans.sort_unstable();
    let mut latest_start = spans[0][0];
    let mut latest_finish = spans[0][1];
    for [started, finished] in spans {
        let is_overtaking = started > latest_start + MARGIN && finished + MARGIN < latest_finish;
        assert!(
            !is_overtaking,
            "started at {started} and finished at {finished}, before one that finished {latest_finish}"
        );
        latest_start = latest_start.max(started);
        latest_finish = latest_finish.max(finished);
    }
}

/// More changes than the operator confirms one by one with 250 calls in a minute.
const CHANGES: usize = 250;

#[tokio::test]
async fn many_changes_at_once_are_confirmed_by_another_list_long_before_the_next_sweep() {
    let per_minute = ["--requests-per-minute", "250"];
    let schedule = ["--sync-schedule", "1h", "--inventory-max-age", "3h"];
    let world = World::with("many-changes", &[&per_minute[..], &schedule].concat()).await;
    let ids: Vec<String> = (0..CHANGES).map(|number| (9_000_000 + number).to_string()).collect();
    let mut records = Vec::new();
    for id in &ids {
        world.cloud.put("droplets", world::droplet(id, &format!("web-{id}"))).await.unwrap();
        let desired = json!({ "name": format!("web-{id}") });
        let manifest = world::manifest(&format!("web-{id}"), "Droplet", id, &desired, &json!({}));
        records.push(serde_json::from_str::<Value>(&manifest).unwrap());
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().apply(&list.to_string()).await.unwrap();
    eventually("all records in sync", || async {
        let records = world.list("pr").await;
        let in_sync = |record: &&Value| world::condition(record, "InSync") == "True NoDrift";
        let count = records.iter().filter(in_sync).count();
        if count == CHANGES { Ok(()) } else { Err(count) }
    })
    .await;

    for id in &ids {
        world.cloud.change("droplets", id, json!({ "name": "changed" })).await.unwrap();
    }
    world.cloud.reset_requests().await.unwrap();
    // Without it, a busy operator reads many droplets before it sees that there are too many.
    world.cloud.inject(Fault::new("*", Effect::Latency { milliseconds: 1000 })).await.unwrap();
    world.sync(&format!("web-{}", ids[0])).await;
    eventually("a drift of each", || async {
        let count = world.list("drifts").await.len();
        if count == CHANGES { Ok(()) } else { Err(count) }
    })
    .await;
    let calls = world.cloud.requests().await.unwrap().total();
    assert!(usize::try_from(calls).unwrap() < CHANGES, "{calls} calls");
}

/// The names of all droplets.
async fn names(world: &World) -> Vec<String> {
    let inventory = world.cloud.inventory().await.unwrap();
    inventory["droplets"].as_object().unwrap().values().map(|droplet| droplet["name"].to_string()).collect()
}

fn seconds(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<Timestamp>().unwrap().as_second()
}
