//! Faults of the cloud: they open and close no drift, and the operator recovers without help.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::json;

use crate::world::{DROPLET, World, droplet, eventually};

/// On the third page of the list.
const FAR: &str = "3164886";
const LIST: &str = "/v2/droplets";

/// 451 droplets on three pages. One record matches its droplet, and one differs.
async fn world(test: &str) -> World {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator(test, limits).await;
    for number in 1..=450 {
        let id = (3_164_444 + number).to_string();
        world.cloud.put("droplets", droplet(&id, &format!("web-{number}"))).await.unwrap();
    }
    world.start_operator(&[]);
    world
        .record("calm", json!({"size_slug": "s-2vcpu-4gb", "tags": ["web", "prod"], "image": "ubuntu-24-04-x64"}))
        .await;
    world.record_as("drifted", "Droplet", FAR, json!({"tags": ["other"]}), json!({})).await;
    world.reaches("pr/calm", "InSync", "True NoDrift").await;
    world.reaches("pr/drifted", "InSync", "False DriftOpen").await;
    world
}

/// Under each fault, no drift opens or closes; after it, real changes are found.
async fn nothing_is_concluded_under(world: &World, faults: Vec<Fault>) {
    let drift = format!("drift/{}", world.open_drift().await);
    let version = world.value(&drift, "{.metadata.resourceVersion}").await;
    for fault in faults {
        eprintln!("{fault:?}");
        world.cloud.inject(fault.clone()).await.unwrap();
        let calls = || async { world.cloud.requests().await.unwrap().count("GET /v2/droplets") };
        let before = calls().await;
        eventually("calls under the fault", || async { if calls().await >= before + 3 { Ok(()) } else { Err(()) } })
            .await;
        // One more change, which a careless sweep would misread.
        world
            .cloud
            .change("droplets", "3164500", json!({"name": format!("{fault:?}").chars().take(20).collect::<String>()}))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(world.drifts().await, [["tags", r#"["other"]"#, r#"["web","prod"]"#, "Open"]], "under {fault:?}");
        assert_eq!(world.value(&drift, "{.metadata.resourceVersion}").await, version, "under {fault:?}");
        world.cloud.clear_faults().await.unwrap();
    }
    world.cloud.change("droplets", DROPLET, json!({"size_slug": "s-4vcpu-8gb"})).await.unwrap();
    world.cloud.change("droplets", FAR, json!({"tags": ["other"]})).await.unwrap();
    world
        .has_drifts(&[
            ["size_slug", "s-2vcpu-4gb", "s-4vcpu-8gb", "Open"],
            ["tags", r#"["other"]"#, r#"["web","prod"]"#, "Stale"],
        ])
        .await;
    assert_eq!(world.cloud.requests().await.unwrap().mutating(), 0);
}

fn status(status: u16, retry_after: Option<u64>, html: bool) -> Fault {
    Fault::new(LIST, Effect::Status { status, retry_after, html })
}

#[tokio::test]
async fn refusals_change_no_drift() {
    let world = world("refusals").await;
    let faults = vec![
        status(429, None, false).times(3),
        status(429, Some(1), false),
        status(500, None, false),
        status(502, None, true),
        status(401, None, false),
        status(403, None, false),
        status(404, None, false),
        status(200, None, true),
    ];
    nothing_is_concluded_under(&world, faults).await;
}

#[tokio::test]
async fn broken_connections_change_no_drift() {
    let world = world("connections").await;
    let faults = vec![
        Fault::new(LIST, Effect::Latency { milliseconds: 1500 }),
        Fault::new(LIST, Effect::Reset),
        Fault::new(LIST, Effect::Truncate),
        Fault::new(LIST, Effect::Truncate).query("page=3"),
        Fault::new(LIST, Effect::Huge { bytes: 1 << 30 }).times(4),
        Fault::new(LIST, Effect::Redirect { location: "http://127.0.0.1:1/v2/droplets".into() }),
    ];
    nothing_is_concluded_under(&world, faults).await;
}

#[tokio::test]
async fn next_links_to_another_host_block_no_sweep() {
    let world = world("foreign-next").await;
    world.cloud.inject(Fault::new(LIST, Effect::ForeignNext)).await.unwrap();
    world.cloud.change("droplets", FAR, json!({"tags": ["other"]})).await.unwrap();
    world.has_drifts(&[["tags", r#"["other"]"#, r#"["web","prod"]"#, "Stale"]]).await;
}

#[tokio::test]
async fn misleading_responses_change_no_drift() {
    let world = world("lies").await;
    let fields = ["tags", "image", "vpc_uuid", "volume_ids"].map(str::to_owned).to_vec();
    let faults = vec![
        Fault::new(LIST, Effect::ShiftRows),
        Fault::new(LIST, Effect::LagCreates { seconds: 3600 }),
        Fault::new(LIST, Effect::OmitFields { fields: fields.clone() }),
        Fault::new("*", Effect::OmitFields { fields }),
        Fault::new(LIST, Effect::WrongContent),
        Fault::new("*", Effect::WrongContent),
        Fault::new(LIST, Effect::EmptyList),
        Fault::new(LIST, Effect::OmitRows { ids: vec![DROPLET.into(), FAR.into()] }),
        Fault::new(LIST, Effect::OmitRows { ids: vec![FAR.into()] }).query("page=3"),
    ];
    nothing_is_concluded_under(&world, faults).await;
}

#[tokio::test]
async fn an_expired_inventory_is_reported_and_gives_no_verdict() {
    let world = World::with("stale", &["--inventory-max-age", "3s"]).await;
    world.record("web-1", json!({"name": "other"})).await;
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    world.cloud.inject(Fault::new(LIST, Effect::Status { status: 500, retry_after: None, html: false })).await.unwrap();
    world.reaches("pr/web-1", "InSync", "Unknown InventoryStale").await;
    world.reaches("pr/web-1", "Reconciling", "True InventoryStale").await;
    world.has_drifts(&[["name", "other", "web-1", "Open"]]).await;
    eventually("the event", || async {
        let events = world.events("web-1").await;
        if events == ["DriftDetected", "InventoryStale"] { Ok(()) } else { Err(events) }
    })
    .await;
    world.cloud.clear_faults().await.unwrap();
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    world.has_drifts(&[["name", "other", "web-1", "Open"]]).await;
}

#[tokio::test]
async fn a_requested_sync_is_handled_by_a_list_that_succeeds_only() {
    let world = World::with("asks", &["--sync-schedule", "1h", "--inventory-max-age", "3h"]).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.cloud.inject(Fault::new(LIST, Effect::Status { status: 400, retry_after: None, html: false })).await.unwrap();
    world.cloud.change("droplets", DROPLET, json!({"name": "other"})).await.unwrap();
    let lists = async || world.cloud.requests().await.unwrap().count("GET /v2/droplets");
    let mut before = lists().await;
    for request in ["first", "second"] {
        let annotation = format!("arcadia.cloud/sync-requested-at={request}");
        world.run(&["annotate", "pr", "web-1", "--overwrite", &annotation]).await;
        eventually("a list", || async { if lists().await > before { Ok(()) } else { Err(()) } }).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(world.value("pr/web-1", "{.status.lastHandledSyncAt}").await, "", "the list failed");
        before = lists().await;
    }
    world.cloud.clear_faults().await.unwrap();
    world.run(&["annotate", "pr", "web-1", "--overwrite", "arcadia.cloud/sync-requested-at=third"]).await;
    world.shows("pr/web-1", "{.status.lastHandledSyncAt}", "third").await;
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
}

#[tokio::test]
async fn an_inventory_expires_even_during_a_waiting_sweep() {
    let world = World::with("waits", &["--inventory-max-age", "3s"]).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    // From then on every call waits for an hour.
    let fault = Fault::new(LIST, Effect::Status { status: 429, retry_after: Some(3600), html: false });
    world.cloud.inject(fault).await.unwrap();
    world.reaches("pr/web-1", "InSync", "Unknown InventoryStale").await;
}

#[tokio::test]
async fn a_cloud_that_never_responded_is_reported() {
    let mut world = World::without_operator("never", RateLimits::default()).await;
    world.cloud.inject(Fault::new("*", Effect::Status { status: 401, retry_after: None, html: false })).await.unwrap();
    world.start_operator(&[]);
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "Unknown LiveUnknown").await;
    let message = world.message("pr/web-1", "Ready").await;
    assert!(message.contains("token"), "{message}");
    world.cloud.clear_faults().await.unwrap();
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
}

#[tokio::test]
async fn the_rate_limits_are_never_exceeded() {
    let limits = RateLimits { per_minute: 20, per_hour: 60, ..RateLimits::default() };
    let mut world = World::without_operator("limits", limits).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.start_operator(&["--requests-per-minute", "20", "--requests-per-hour", "60"]);
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    // Far more sweeps are requested than twenty calls a minute allow.
    for request in 0..40 {
        let annotation = format!("arcadia.cloud/sync-requested-at={request}");
        world.run(&["annotate", "pr", "web-1", "--overwrite", &annotation]).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.limited, 0, "{requests:?}");
    assert!(requests.total() >= 15, "at full speed until the limit: {requests:?}");
    assert!(requests.highest_per_minute <= 20, "{requests:?}");
}

#[tokio::test]
async fn sweeps_that_do_not_fit_the_budget_become_rarer_and_those_of_kinds_with_drifts_least() {
    let limits = RateLimits { per_minute: 1000, per_hour: 720, ..RateLimits::default() };
    let mut world = World::without_operator("pace", limits).await;
    let volume = "506f78a4-e098-11e5-ad9f-000f53306ae1";
    world.cloud.put("volumes", json!({"id": volume, "name": "data", "size_gigabytes": 10})).await.unwrap();
    world.record("web-1", json!({"name": "web-1"})).await;
    world.record_as("data", "Volume", volume, json!({"size_gigabytes": 20}), json!({})).await;
    // A sweep of droplets takes two calls, one of volumes takes one: 10,800 calls an hour are wanted.
    let flags = ["--requests-per-minute", "1000", "--requests-per-hour", "720", "--inventory-max-age", "60s"];
    world.start_operator(&flags);
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.reaches("pr/data", "InSync", "False DriftOpen").await;
    let interval = |kind: &str, labels: &str| {
        let metrics = world.operator.as_ref().unwrap().metrics().unwrap_or_default();
        let series = format!(r#"arcadia_sync_interval_seconds{{kind="{kind}",{labels}}} "#);
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series)).map(str::parse::<f64>);
        value.and_then(Result::ok).ok_or(format!("no {series} in\n{metrics}"))
    };
    let [droplets, volumes] = eventually("intervals that fit", || async {
        let droplets = interval("Droplet", r#"reason="TokenLimit",urgency="Quiet""#)?;
        let volumes = interval("Volume", r#"reason="TokenLimit",urgency="Drifted""#)?;
        if volumes < droplets / 3.0 { Ok([droplets, volumes]) } else { Err(format!("{droplets} and {volumes}")) }
    })
    .await;
    let planned = 3600.0 * (2.0 / droplets + 1.0 / volumes);
    assert!((400.0..=568.0).contains(&planned), "seven eighths of 648 calls, less urgent ones: {planned}");
    assert!(droplets < 60.0, "within the maximum age");
    let wanted = "instead of 1 s: a sweep takes 2 calls, and all sweeps may make ";
    // A sweep that is in progress is not due.
    eventually("the schedule", || async {
        let ready = world.operator.as_ref().unwrap().answer("/readyz?verbose").unwrap_or_default();
        let is_due = |line: &str| line.starts_with("[+]sweep/Droplet ok: due in ") && line.contains(wanted);
        if ready.lines().any(is_due) { Ok(()) } else { Err(ready) }
    })
    .await;
    let before = world.cloud.requests().await.unwrap();
    tokio::time::sleep(Duration::from_secs_f64(volumes * 2.0 + 1.0)).await;
    let after = world.cloud.requests().await.unwrap();
    let lists = |path: &str| after.count(path) - before.count(path);
    assert!((1..=3).contains(&lists("GET /v2/volumes")), "{after:?}");
    assert!(lists("GET /v2/droplets") <= 2 && after.limited == 0, "{after:?}");
    assert_eq!(world.condition("pr/web-1", "InSync").await, "True NoDrift", "its inventory is young enough");
}

#[tokio::test]
async fn limits_used_up_by_other_users_of_the_token_are_noticed() {
    // The operator is configured for 5,000 an hour; the server allows 30.
    let limits = RateLimits { per_minute: 1000, per_hour: 30, ..RateLimits::default() };
    let mut world = World::without_operator("others", limits).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.start_operator(&["--requests-per-minute", "1000", "--requests-per-hour", "5000"]);
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.limited, 0, "the headers said so: {requests:?}");
}
