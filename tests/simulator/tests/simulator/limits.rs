//! Rate limits, their headers, and the counts that tests compare.

use std::time::{SystemTime, UNIX_EPOCH};

use digitalocean_simulator::{Options, RateLimits};

use crate::common::{demo, start};

#[tokio::test]
async fn a_burst_is_refused_with_retry_after_and_the_hour_without() {
    let limits = RateLimits { per_minute: 3, ..RateLimits::default() };
    let (simulator, client) = start(Options { rate_limits: limits, ..demo() }).await;
    for used in 1..=3 {
        let answer = client.get("/v2/account").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            (answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")),
            (Some("5000"), Some(format!("{}", 5000 - used).as_str()))
        );
    }
    let refused = client.get("/v2/account").await;
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(refused.status == 429 && (50..=60).contains(&wait), "{refused:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let reset: u64 = refused.header("ratelimit-reset").unwrap().parse().unwrap();
    assert!((now + 3500..=now + 3600).contains(&reset), "{reset}");
    let requests = simulator.control().requests().await.unwrap();
    assert_eq!((requests.limited, requests.highest_per_minute, requests.total()), (1, 4, 4));

    let limits = RateLimits { per_minute: 0, per_hour: 2, ..RateLimits::default() };
    let (_simulator, client) = start(Options { rate_limits: limits, ..demo() }).await;
    client.get("/v2/account").await;
    assert_eq!(client.get("/v2/account").await.header("ratelimit-remaining"), Some("0"));
    let refused = client.get("/v2/account").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, None));
    assert_eq!(refused.json()["id"], "too_many_requests");
}

#[tokio::test]
async fn ssh_keys_and_cdn_endpoints_have_separate_limits() {
    let (_simulator, client) = start(Options { rate_limits: RateLimits::default(), ..demo() }).await;
    for (path, allowed) in [("/v2/account/keys", 10), ("/v2/cdn/endpoints", 5)] {
        for _ in 0..allowed {
            assert_eq!(client.get(path).await.status, 200, "{path}");
        }
        assert_eq!(client.get(path).await.status, 429, "{path}");
    }
    assert_eq!(client.get("/v2/account").await.status, 200);
}

#[tokio::test]
async fn requests_are_counted_by_method_and_path_without_the_control_api() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    client.get("/v2/droplets?page=1").await;
    client.get("/v2/droplets?page=2").await;
    client.delete("/v2/droplets/3164444").await;
    for id in [3_164_445, 3_164_446] {
        client.post(&format!("/v2/droplets/{id}/actions"), serde_json::json!({"type": "reboot"})).await;
    }
    let requests = control.requests().await.unwrap();
    assert_eq!((requests.total(), requests.mutating(), requests.limited), (5, 3, 0));
    for (request, count) in [
        ("GET /v2/droplets", 2),
        ("POST /v2/droplets/3164445/actions", 1),
        ("POST /v2/droplets/*/actions", 2),
        ("* /v2/droplets/*", 3),
        ("POST /v2/droplets", 0),
    ] {
        assert_eq!(requests.count(request), count, "{request}");
    }
    control.reset_requests().await.unwrap();
    assert_eq!(control.requests().await.unwrap().total(), 0);
}
