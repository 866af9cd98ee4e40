//! Changes and the reads that go with them, against servers that answer in every way that servers do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::digitalocean::{
    Config,
    budget::Limits,
    client::CHANGE_BODY_BYTES,
    fake::{Fake, FakeResponse, TOKEN},
};

const DROPLETS: Endpoint<'static> = Endpoint { route: "/v2/droplets", parent: None, id: None, scope: "droplet:create" };
const DROPLET: &str = "/v2/droplets/{id}";
const ACTIONS: Endpoint<'static> =
    Endpoint { route: "/v2/droplets/{id}/actions", parent: None, id: Some("7"), scope: "droplet:update" };

fn droplet(id: &str) -> Endpoint<'_> {
    Endpoint { route: DROPLET, parent: None, id: Some(id), scope: "droplet:delete" }
}

/// Settings under which what takes too long is soon over.
fn hasty(server: &Fake) -> Config {
    let mut config = server.config();
    config.change_timeout = Duration::from_millis(200);
    config.patience = Duration::from_millis(100);
    config.max_body_bytes = 10_000;
    config
}

fn hasty_client(server: &Fake) -> Client {
    Client::new(hasty(server)).unwrap()
}

type Answers = fn() -> FakeResponse;

fn made() -> FakeResponse {
    FakeResponse::json(201, &json!({"droplet": {"id": 7}}))
}

fn html(status: u16) -> FakeResponse {
    FakeResponse::text(status, "content-type: text/html", "<html>Sorry</html>")
}

fn refusal(status: u16) -> FakeResponse {
    FakeResponse::json(status, &json!({"id": "no", "message": "because"}))
}

#[tokio::test]
async fn an_answer_to_a_change_is_much_smaller_than_a_page() {
    let server = Fake::start(|_| FakeResponse::text(201, "x: y", &" ".repeat(CHANGE_BODY_BYTES + 1))).await;
    let error = server.client().send(ChangeMethod::Post, DROPLETS, Some(&json!({}))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: CHANGE_BODY_BYTES, .. }), "{error}");
}

#[tokio::test]
async fn a_change_says_what_it_changes_and_gives_the_answer() {
    let server = Fake::start(|path| match path {
        "/v2/droplets" => FakeResponse::json(202, &json!({"droplet": {"id": 7}})),
        "/v2/domains/example.com/records/9" => FakeResponse::json(200, &json!({"domain_record": {"id": 9}})),
        _ => FakeResponse::text(204, "x: y", ""),
    })
    .await;
    let client = server.client();
    let body = json!({"name": "web", "tags": ["a"]});
    assert_eq!(client.send(ChangeMethod::Post, DROPLETS, Some(&body)).await.unwrap(), json!({"droplet": {"id": 7}}));
    assert_eq!(client.send(ChangeMethod::Delete, droplet("7"), None).await.unwrap(), Value::Null);
    let record = "/v2/domains/{parent}/records/{id}";
    let path = Endpoint { route: record, parent: Some("example.com"), id: Some("9"), scope: "domain:update" };
    client.send(ChangeMethod::Patch, path, Some(&json!({"ttl": 60}))).await.unwrap();
    client.send(ChangeMethod::Put, path, Some(&json!({"ttl": 61}))).await.unwrap();
    let heads = server.heads();
    let lines: Vec<_> = heads.iter().filter_map(|head| head.split(" HTTP").next()).collect();
    let to_record = "/v2/domains/example.com/records/9";
    let wanted =
        ["POST /v2/droplets", "DELETE /v2/droplets/7", &format!("PATCH {to_record}"), &format!("PUT {to_record}")];
    assert_eq!(lines, wanted);
    assert!(heads[0].to_lowercase().contains("content-type: application/json"), "{}", heads[0]);
    assert!(heads.iter().all(|head| head.contains(&format!("Bearer {TOKEN}"))));
    assert_eq!(server.bodies(), [&body.to_string(), "", r#"{"ttl":60}"#, r#"{"ttl":61}"#]);
    let calls: Vec<_> = client.usage().calls.into_iter().collect();
    let wanted =
        [("DELETE", DROPLET, 204), ("PATCH", record, 200), ("POST", "/v2/droplets", 202), ("PUT", record, 200)];
    assert_eq!(calls, wanted.map(|call| (call, 1)));
}

#[tokio::test]
async fn a_change_is_sent_once_and_its_error_tells_if_it_may_have_happened() {
    let answers: [(&str, bool, Answers); 27] = [
        ("connection", true, FakeResponse::hang_up),
        ("connection", true, FakeResponse::reset),
        ("connection", true, || made().cut(3)),
        ("connection", true, || made().cut(60)),
        ("timeout", true, FakeResponse::silence),
        ("timeout", true, FakeResponse::drip),
        ("too_large", true, FakeResponse::flood),
        ("too_large", true, || FakeResponse::text(201, "x: y", &"x".repeat(20_000))),
        ("malformed", true, || html(200)),
        ("malformed", true, || FakeResponse::text(201, "x: y", r#"{"droplet": {"id": 7"#)),
        ("malformed", true, || FakeResponse::text(202, "x: y", "\u{0}")),
        ("malformed", true, || html(404)),
        ("malformed", true, || FakeResponse::text(404, "x: y", "")),
        ("server", true, || refusal(500)),
        ("server", true, || html(502)),
        ("server", true, || FakeResponse::text(503, "x: y", "")),
        ("server", true, || refusal(504).cut(5)),
        ("redirected", false, || FakeResponse::text(307, "location: /v2/elsewhere", "")),
        ("refused", false, || refusal(400)),
        ("unauthorized", false, || refusal(401)),
        ("forbidden", false, || refusal(403)),
        ("not_found", false, || refusal(404)),
        ("refused", false, || refusal(409)),
        ("refused", false, || refusal(412)),
        ("refused", false, || refusal(422)),
        ("refused", false, || refusal(422).cut(5)),
        ("rate_limited", false, || refusal(429)),
    ];
    for (category, may_have_happened, answer) in answers {
        let server = Fake::start(move |_| answer()).await;
        let error = hasty_client(&server).send(ChangeMethod::Post, DROPLETS, Some(&json!({}))).await.unwrap_err();
        assert_eq!((error.category(), error.may_have_happened()), (category, may_have_happened), "{error}");
        assert!(error.to_string().starts_with("POST /v2/droplets: "), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(server.asked().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_deletion_that_is_answered_with_something_may_not_have_happened() {
    for body in [r#"{"message": "ok"}"#, "<html>Sorry</html>"] {
        let server = Fake::start(move |_| FakeResponse::text(200, "x: y", body)).await;
        let error = server.client().send(ChangeMethod::Delete, droplet("7"), None).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.may_have_happened(), "{error}");
        assert!(error.to_string().contains("the response to a deletion has a body"), "{error}");
    }
    let server = Fake::start(|_| FakeResponse::text(200, "x: y", " \n")).await;
    assert_eq!(server.client().send(ChangeMethod::Delete, droplet("7"), None).await.unwrap(), Value::Null);
}

#[tokio::test]
async fn a_change_on_a_kept_connection_that_breaks_is_not_sent_again() {
    let calls = AtomicUsize::new(0);
    let server = Fake::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => FakeResponse::json(200, &json!({"droplet": {"id": 7}})).kept(),
        _ => FakeResponse::hang_up(),
    })
    .await;
    let client = server.client();
    assert!(client.fetch(droplet("7"), "droplet", &[]).await.unwrap().is_some());
    let error = client.send(ChangeMethod::Post, ACTIONS, Some(&json!({"type": "power_on"}))).await.unwrap_err();
    assert!(matches!(error, Error::Connection { is_connected: true, .. }) && error.may_have_happened(), "{error}");
    assert_eq!(server.asked(), ["/v2/droplets/7", "/v2/droplets/7/actions"]);
}

#[tokio::test]
async fn a_change_that_found_no_server_did_not_happen() {
    let silent = Fake::start(|_| FakeResponse::silence()).await;
    // Nobody there, no such host, and a server that never gets as far as TLS.
    let tls = silent.address.replace("http:", "https:");
    for address in ["http://127.0.0.1:1", "https://no-such-host.invalid", &tls] {
        let mut config = Config::new(address, crate::digitalocean::Token::new(TOKEN).unwrap()).unwrap();
        config.connect_timeout = Duration::from_millis(500);
        let error = Client::new(config).unwrap().send(ChangeMethod::Delete, droplet("7"), None).await.unwrap_err();
        assert!(matches!(error, Error::Connection { is_connected: false, tries: 1, .. }), "{error}");
        assert!(!error.may_have_happened() && error.retryable(), "{error}");
    }
}

#[tokio::test]
async fn a_change_waits_for_the_budget_only_so_long_and_is_not_sent_then() {
    let server = Fake::start(|_| FakeResponse::text(204, "x: y", "")).await;
    let mut config = hasty(&server);
    config.limits = Limits { per_minute: 1, per_hour: 1, minute_reserve: 0, hour_reserve: 0 };
    let client = Client::new(config).unwrap();
    client.send(ChangeMethod::Delete, droplet("7"), None).await.unwrap();
    let start = Instant::now();
    let sent = client.send(ChangeMethod::Delete, droplet("8"), None).await.unwrap_err();
    let read = client.fetch(droplet("8"), "droplet", &[]).await.unwrap_err();
    let listed = client.rows(DROPLETS, "droplets", &[]).await.unwrap_err();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    for error in [sent, read, listed] {
        assert_eq!((error.category(), error.retryable(), error.may_have_happened()), ("no_budget", true, false));
    }
    assert_eq!(server.asked(), ["/v2/droplets/7"]);
    assert_eq!(client.usage().calls.len(), 1);
}

#[tokio::test]
async fn a_change_that_may_not_be_made_any_more_is_not_sent() {
    let calls = AtomicUsize::new(0);
    let server = Fake::start(move |_| {
        calls.fetch_add(1, Ordering::Relaxed);
        FakeResponse::json(200, &json!({"droplet": {"call": calls.load(Ordering::Relaxed)}}))
    })
    .await;
    let may = Arc::new(AtomicBool::new(true));
    let asked = may.clone();
    let client = server.client().guarded(move || std::future::ready(asked.load(Ordering::Relaxed)).boxed());
    assert_eq!(client.send(ChangeMethod::Post, DROPLETS, None).await.unwrap(), json!({"droplet": {"call": 1}}));
    may.store(false, Ordering::Relaxed);
    let error = client.send(ChangeMethod::Post, DROPLETS, None).await.unwrap_err();
    assert!(matches!(error, Error::TooLate { .. }) && !error.may_have_happened(), "{error}");
    assert_eq!(client.fetch(droplet("7"), "droplet", &[]).await.unwrap(), Some(json!({"call": 2})), "reading is free");
}

#[tokio::test]
async fn the_wait_for_the_budget_is_no_part_of_a_changes_time() {
    let calls = AtomicUsize::new(0);
    let server = Fake::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => FakeResponse::text(429, "retry-after: 0", ""),
        _ => FakeResponse::text(204, "x: y", ""),
    })
    .await;
    let mut config = hasty(&server);
    // The least pause after a 429.
    config.retries.base = Duration::from_millis(400);
    config.patience = Duration::from_secs(10);
    let client = Client::new(config).unwrap();
    let start = Instant::now();
    let error = client.send(ChangeMethod::Delete, droplet("7"), None).await.unwrap_err();
    assert_eq!((error.category(), error.status()), ("rate_limited", Some(429)));
    assert!(client.usage().paused.is_some());
    client.send(ChangeMethod::Delete, droplet("7"), None).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_the_server_says_about_the_budget_of_changes_counts() {
    let headers = "ratelimit-limit: 5000\r\nratelimit-remaining: 700\r\nratelimit-reset: 4102444800";
    let server = Fake::start(move |_| FakeResponse::text(204, headers, "")).await;
    let client = server.client();
    client.send(ChangeMethod::Delete, droplet("7"), None).await.unwrap();
    assert_eq!((client.usage().minute_left, client.usage().hour_left), (224, 199));
}

#[tokio::test]
async fn the_message_of_digitalocean_is_kept() {
    let pending = "Droplet already has a pending event.";
    for (status, said) in [(422, Some(pending)), (403, Some(pending)), (401, None), (500, None)] {
        let body = json!({"id": "unprocessable_entity", "message": pending});
        let server = Fake::start(move |_| FakeResponse::json(status, &body)).await;
        let error = server.client().send(ChangeMethod::Post, ACTIONS, Some(&json!({}))).await.unwrap_err();
        assert_eq!((error.message(), error.status()), (said, Some(status)));
        assert!(status != 403 || error.to_string().contains("scope `droplet:update`"), "{error}");
    }
}

#[tokio::test]
async fn the_token_is_in_no_error_of_a_change() {
    let echo = format!(r#"{{"message": "{TOKEN} is wrong", "request_id": "{TOKEN}"}}"#);
    for status in [200, 302, 400, 401, 403, 404, 409, 422, 429, 500] {
        let echo = if status == 200 { TOKEN.to_owned() } else { echo.clone() };
        let server =
            Fake::start(move |_| FakeResponse::text(status, &format!("location: http://{TOKEN}/"), &echo)).await;
        let error = server.client().send(ChangeMethod::Post, ACTIONS, Some(&json!({}))).await.unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.message()).contains(TOKEN), "{error}");
    }
}

#[tokio::test]
async fn an_id_that_would_form_another_path_is_never_sent() {
    let server = Fake::start(|_| FakeResponse::text(204, "x: y", "")).await;
    let client = server.client();
    for id in ["", ".", "..", "...", "\t..", ".\n.", "7\r\nx: y"] {
        let records =
            Endpoint { route: "/v2/domains/{parent}/records/{id}", parent: Some(id), id: Some("7"), scope: "x" };
        for path in [droplet(id), Endpoint { id: Some(id), ..ACTIONS }, records] {
            let errors = [
                client.send(ChangeMethod::Delete, path, None).await.unwrap_err(),
                client.fetch(path, "droplet", &[]).await.unwrap_err(),
                client.rows(path, "droplets", &[]).await.unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error, Error::BadId { .. }) && !error.may_have_happened(), "{error}");
            }
        }
    }
    for path in [
        Endpoint { id: None, ..ACTIONS },
        Endpoint { parent: Some("7"), ..ACTIONS },
        Endpoint { id: Some("7"), ..DROPLETS },
        Endpoint { route: "/v2/domains/{domain}/records", ..DROPLETS },
    ] {
        let error = client.send(ChangeMethod::Delete, path, None).await.unwrap_err();
        assert!(matches!(error, Error::BadId { .. }), "{error}");
    }
    assert_eq!(server.asked(), [""; 0]);
    for (id, sent) in [("../8", "..%2F8"), ("%2e%2e", "%252e%252e"), ("7?x=1#y", "7%3Fx=1%23y"), ("..\\8", "..%5C8")] {
        client.send(ChangeMethod::Delete, droplet(id), None).await.unwrap();
        assert_eq!(server.asked().pop().unwrap(), format!("/v2/droplets/{sent}"));
    }
}

#[tokio::test]
async fn no_id_leaves_its_segment() {
    let client = Fake::start(|_| FakeResponse::silence()).await.client();
    proptest!(|(id in any::<String>())| {
        if let Ok(call) = client.urgent(Endpoint { id: Some(&id), ..ACTIONS }, &[], None) {
            let doing = call.doing();
            let segment = doing.strip_prefix("GET /v2/droplets/").and_then(|rest| rest.strip_suffix("/actions"));
            prop_assert!(segment.is_some_and(|segment| !segment.contains(['/', '?', '#', '\\'])), "{}", doing);
        }
    });
}

#[tokio::test]
async fn a_document_is_fetched_until_it_is_there_or_surely_not() {
    let calls = AtomicUsize::new(0);
    let server = Fake::start(move |path| match path {
        "/v2/droplets/7?x=a%26b" if calls.fetch_add(1, Ordering::Relaxed) == 0 => {
            FakeResponse::text(502, "x: y", "<html>")
        }
        "/v2/droplets/7?x=a%26b" => FakeResponse::json(200, &json!({"droplet": {"id": 7}})),
        "/v2/droplets/8" => refusal(404),
        "/v2/droplets/9" => FakeResponse::text(404, "x: y", "<html>404</html>"),
        // Something else, and another one.
        "/v2/droplets/11" => FakeResponse::json(200, &json!({"message": "ok"})),
        "/v2/droplets/12" => FakeResponse::json(200, &json!({"droplet": {"id": 13}})),
        _ => FakeResponse::text(200, "x: y", "<html>Welcome</html>"),
    })
    .await;
    let client = server.client();
    let found = client.fetch(droplet("7"), "droplet", &[("x", "a&b")]).await.unwrap();
    assert_eq!(found, Some(json!({"id": 7})));
    assert_eq!(client.fetch(droplet("8"), "droplet", &[]).await.unwrap(), None);
    for id in ["9", "10", "11", "12"] {
        let error = client.fetch(droplet(id), "droplet", &[]).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
    assert_eq!(server.asked().len(), 7);
}

/// A page of droplets with these ids.
fn page(ids: &[u32], total: u32) -> FakeResponse {
    let rows: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
    FakeResponse::json(200, &json!({"droplets": rows, "links": {}, "meta": {"total": total}}))
}

#[tokio::test]
async fn all_rows_of_a_list_are_read() {
    let server = Fake::start(|path| match path {
        "/v2/droplets?tag_name=saga%3A1&page=1&per_page=200" => page(&[1, 2], 3),
        "/v2/droplets?tag_name=saga%3A1&page=2&per_page=200" => page(&[3], 3),
        "/v2/droplets?tag_name=none&page=1&per_page=200" => page(&[], 0),
        // Not every list has pages, nor every row an id.
        "/v2/droplets?tag_name=vpc&page=1&per_page=200" => {
            FakeResponse::json(200, &json!({"droplets": [{"urn": "x"}]}))
        }
        _ => refusal(404),
    })
    .await;
    let client = server.client();
    let rows = |tag: &'static str| {
        let client = client.clone();
        async move { client.rows(DROPLETS, "droplets", &[("tag_name", tag)]).await }
    };
    assert_eq!(rows("saga:1").await.unwrap(), [json!({"id": 1}), json!({"id": 2}), json!({"id": 3})]);
    assert_eq!(rows("none").await.unwrap(), Vec::<Value>::new());
    assert_eq!(rows("vpc").await.unwrap(), [json!({"urn": "x"})]);
    let error = rows("other").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_list_that_lacks_rows_is_not_taken_for_the_whole() {
    let server = Fake::start(|_| page(&[], 1)).await;
    let error = server.client().rows(DROPLETS, "droplets", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Shifting { .. }) && error.retryable(), "{error}");
    // One is deleted between the pages, then all is quiet.
    let calls = AtomicUsize::new(0);
    let server = Fake::start(move |path| match (path.contains("?page=1&"), calls.fetch_add(1, Ordering::Relaxed)) {
        (true, 0) => page(&[1, 2], 4),
        (true, _) => page(&[2, 3], 3),
        (false, _) => page(&[4], 3),
    })
    .await;
    let rows = server.client().rows(DROPLETS, "droplets", &[]).await.unwrap();
    assert_eq!(rows, [json!({"id": 2}), json!({"id": 3}), json!({"id": 4})]);
}

#[tokio::test]
async fn a_list_that_does_not_end_or_is_none_is_an_error() {
    let server = Fake::start(|_| page(&[1], 1_000)).await;
    let error = server.client().rows(DROPLETS, "droplets", &[]).await.unwrap_err();
    assert!(error.to_string().contains("more pages than its total allows"), "{error}");
    assert_eq!(server.asked().len(), 50);
    for body in ["<html>", "{}", r#"{"droplets": {}}"#, r#"{"droplets": [{"id": 1}"#] {
        let server = Fake::start(move |_| FakeResponse::text(200, "x: y", body)).await;
        let error = server.client().rows(DROPLETS, "droplets", &[]).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}
