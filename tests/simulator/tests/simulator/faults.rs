//! Each fault has its documented effect, and only on the matching calls.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use digitalocean_simulator::{Control, Effect, Fault, Options, Simulator};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::common::{Answer, Client, demo, start};

async fn fleet(droplets: usize) -> (Simulator, Client, Control) {
    let (simulator, client) = start(Options { droplets, load: None, ..demo() }).await;
    let control = simulator.control();
    (simulator, client, control)
}

fn ids(answer: &Answer) -> Vec<u64> {
    answer.json()["droplets"].as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap()).collect()
}

/// All ids that a naive walk sees, with their counts, and the totals of its pages.
async fn naive_walk(client: &Client) -> (HashMap<u64, usize>, Vec<Value>) {
    let (mut seen, mut totals) = (HashMap::new(), Vec::new());
    for page in 1.. {
        let answer = client.get(&format!("/v2/droplets?per_page=10&page={page}")).await;
        for id in ids(&answer) {
            *seen.entry(id).or_default() += 1;
        }
        totals.push(answer.json()["meta"]["total"].clone());
        if answer.json().pointer("/links/pages/next").is_none() {
            break;
        }
    }
    (seen, totals)
}

#[tokio::test]
async fn an_injected_status_has_its_count_headers_and_format() {
    let (_simulator, client, control) = fleet(1).await;
    let status = |status, retry_after, html| Effect::Status { status, retry_after, html };
    control.inject(Fault::new("/v2/droplets", status(429, Some(7), false)).times(2)).await.unwrap();
    for _ in 0..2 {
        let answer = client.get("/v2/droplets").await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("7")));
        assert_eq!(answer.json()["id"], "too_many_requests");
    }
    assert_eq!(client.get("/v2/droplets").await.status, 200);

    control.inject(Fault::new("/v2/droplets/*", status(502, None, true)).method("GET").times(1)).await.unwrap();
    assert_eq!(client.get("/v2/droplets").await.status, 200, "the list is not below itself");
    assert_eq!(client.delete("/v2/droplets/1").await.status, 404, "another method");
    let answer = client.get("/v2/droplets/3164444").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (502, Some("text/html")));
    assert!(answer.bytes.starts_with(b"<html>"));
}

#[tokio::test]
async fn a_fault_can_wait_for_its_page_and_let_some_calls_pass_first() {
    let (_simulator, client, control) = fleet(50).await;
    let fault = Fault::new("/v2/droplets", Effect::Status { status: 500, retry_after: None, html: false });
    control.inject(fault.query("page=2").after(1)).await.unwrap();
    for (page, status) in [(1, 200), (2, 200), (3, 200), (2, 500), (2, 500), (1, 200)] {
        assert_eq!(client.get(&format!("/v2/droplets?per_page=10&page={page}")).await.status, status, "{page}");
    }
    control.clear_faults().await.unwrap();
    assert_eq!(client.get("/v2/droplets?page=2").await.status, 200);
}

#[tokio::test]
async fn latency_delays_the_answer_and_not_the_call() {
    let (_simulator, client, control) = fleet(1).await;
    control.inject(Fault::new("*", Effect::Latency { milliseconds: 120 }).times(1)).await.unwrap();
    let begin = Instant::now();
    assert_eq!(client.get("/v2/droplets").await.status, 200);
    assert!(begin.elapsed() >= Duration::from_millis(120));

    control.inject(Fault::new("*", Effect::Latency { milliseconds: 5000 }).times(1)).await.unwrap();
    let impatient = tokio::time::timeout(Duration::from_millis(100), client.delete("/v2/droplets/3164444")).await;
    assert!(impatient.is_err());
    assert_eq!(client.get("/v2/droplets/3164444").await.status, 404, "carried out although the caller had gone");
}

#[tokio::test]
async fn a_reset_ends_the_connection_before_or_after_the_call_is_carried_out() {
    let (_simulator, client, control) = fleet(2).await;
    control.inject(Fault::new("*", Effect::Reset).times(1)).await.unwrap();
    let error = client.try_call("DELETE", "/v2/droplets/3164444", None).await.unwrap_err();
    assert!(error.contains("ConnectionReset"), "{error}");
    assert_eq!(client.get("/v2/droplets/3164444").await.status, 200, "not carried out");

    control.inject(Fault::new("*", Effect::ResetAfter).times(1)).await.unwrap();
    let error = client.try_call("DELETE", "/v2/droplets/3164444", None).await.unwrap_err();
    assert!(error.contains("ConnectionReset"), "{error}");
    assert_eq!(client.get("/v2/droplets/3164444").await.status, 404, "carried out");
}

#[tokio::test]
async fn a_truncated_body_keeps_its_full_content_length() {
    let (_simulator, client, control) = fleet(100).await;
    control.inject(Fault::new("/v2/droplets", Effect::Truncate).times(1)).await.unwrap();
    let error = client.try_call("GET", "/v2/droplets?per_page=100", None).await.unwrap_err();
    assert!(
        error.contains("IncompleteMessage") || error.contains("UnexpectedEof") || error.contains("Body"),
        "{error}"
    );
    assert_eq!(client.get("/v2/droplets").await.status, 200);
}

#[tokio::test]
async fn shifted_rows_make_a_naive_walk_miss_one_or_see_one_twice() {
    let (_simulator, client, control) = fleet(35).await;
    control.inject(Fault::new("/v2/droplets", Effect::ShiftRows).times(1)).await.unwrap();
    let (seen, totals) = naive_walk(&client).await;
    assert_eq!((seen.len(), &totals[..2]), (34, &[json!(35), json!(34)][..]));

    control.clear_faults().await.unwrap();
    control.inject(Fault::new("/v2/droplets", Effect::ShiftRows).times(2)).await.unwrap();
    client.get("/v2/droplets?page=2").await;
    let (seen, totals) = naive_walk(&client).await;
    assert_eq!((seen.len(), seen.values().filter(|count| **count == 2).count()), (35, 1), "{totals:?}");
}

#[tokio::test]
async fn a_lagging_list_leaves_out_what_a_get_shows() {
    let (_simulator, client, control) = fleet(3).await;
    control.inject(Fault::new("/v2/droplets", Effect::LagCreates { seconds: 1 })).await.unwrap();
    let body = json!({"name": "late", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64"});
    let created = client.post("/v2/droplets", body).await;
    let id = created.json()["droplet"]["id"].as_u64().unwrap();
    assert_eq!(ids(&client.get("/v2/droplets").await).len(), 3);
    assert_eq!(client.get(&format!("/v2/droplets/{id}")).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert!(ids(&client.get("/v2/droplets").await).contains(&id));
}

#[tokio::test]
async fn a_loaded_resource_is_not_new() {
    let (simulator, client) = start(demo()).await;
    simulator.control().inject(Fault::new("/v2/droplets", Effect::LagCreates { seconds: 3600 })).await.unwrap();
    assert_eq!(ids(&client.get("/v2/droplets").await).len(), 3);
}

#[tokio::test]
async fn omitted_fields_are_missing_from_lists_and_single_documents() {
    let (_simulator, client, control) = fleet(2).await;
    control
        .inject(Fault::new(
            "/v2/droplets*",
            Effect::OmitFields { fields: vec!["tags".to_owned(), "vpc_uuid".to_owned()] },
        ))
        .await
        .unwrap();
    let list = client.get("/v2/droplets").await.json();
    let one = client.get("/v2/droplets/3164444").await.json();
    for droplet in [&list["droplets"][0], &list["droplets"][1], &one["droplet"]] {
        assert!(
            droplet.get("tags").is_none() && droplet.get("vpc_uuid").is_none() && droplet.get("name").is_some(),
            "{droplet}"
        );
    }
    assert_eq!(list["meta"]["total"], 2);
}

#[tokio::test]
async fn a_list_can_be_empty_or_omit_rows() {
    let (_simulator, client, control) = fleet(30).await;
    control.inject(Fault::new("/v2/droplets", Effect::EmptyList).times(1)).await.unwrap();
    let empty = client.get("/v2/droplets").await;
    assert_eq!((ids(&empty).len(), &empty.json()["meta"]["total"]), (0, &json!(0)));

    control.inject(Fault::new("/v2/droplets", Effect::OmitRows { ids: vec!["3164450".to_owned()] })).await.unwrap();
    let (seen, totals) = naive_walk(&client).await;
    assert!(!seen.contains_key(&3_164_450));
    assert_eq!((seen.len(), &totals[0]), (29, &json!(29)));
    assert_eq!(client.get("/v2/droplets/3164450").await.status, 200);
}

#[tokio::test]
async fn wrong_content_is_200_and_has_no_list() {
    let (_simulator, client, control) = fleet(1).await;
    control.inject(Fault::new("*", Effect::WrongContent).times(1)).await.unwrap();
    let answer = client.get("/v2/droplets").await;
    assert_eq!((answer.status.as_u16(), answer.json().get("droplets")), (200, None));
}

#[tokio::test]
async fn a_huge_body_and_a_redirect_are_returned() {
    let (_simulator, client, control) = fleet(1).await;
    control.inject(Fault::new("*", Effect::Huge { bytes: 20_000_000 }).times(1)).await.unwrap();
    let answer = client.get("/v2/droplets").await;
    assert!(answer.bytes.len() >= 20_000_000);
    assert_eq!(answer.header("content-length"), None);

    control
        .inject(Fault::new("*", Effect::Redirect { location: "http://elsewhere.invalid/".to_owned() }).times(1))
        .await
        .unwrap();
    let answer = client.get("/v2/droplets").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, Some("http://elsewhere.invalid/")));
}

#[tokio::test]
async fn a_foreign_next_link_points_to_another_host() {
    let (simulator, client, control) = fleet(30).await;
    control.inject(Fault::new("/v2/droplets", Effect::ForeignNext)).await.unwrap();
    let links = client.get("/v2/droplets").await.json()["links"]["pages"].clone();
    assert_eq!(links["next"], "http://elsewhere.invalid/v2/droplets?page=2");
    assert_eq!(links["last"], format!("{}/v2/droplets?page=2", simulator.url()));
}

#[tokio::test]
async fn a_failed_action_is_errored_and_changes_nothing() {
    let (_simulator, client, control) = fleet(1).await;
    control.inject(Fault::new("/v2/droplets/*/actions", Effect::FailAction).times(1)).await.unwrap();
    let started = client.post("/v2/droplets/3164444/actions", json!({"type": "power_off"})).await;
    assert_eq!(client.finish(&started).await, "errored");
    let droplet = client.get("/v2/droplets/3164444").await.json();
    assert_eq!((&droplet["droplet"]["status"], &droplet["droplet"]["locked"]), (&json!("active"), &json!(false)));
}

#[tokio::test]
async fn an_ignored_shutdown_completes_and_the_droplet_stays_on_until_it_is_powered_off() {
    let (_simulator, client, control) = fleet(2).await;
    let status = async |id: &str| {
        client.get(&format!("/v2/droplets/{id}")).await.json()["droplet"]["status"].as_str().unwrap().to_owned()
    };
    let fault = Fault::new("/v2/droplets/3164444/actions", Effect::IgnoreAction).action("shutdown");
    control.inject(fault).await.unwrap();
    for (id, action, then) in [
        ("3164444", "shutdown", "active"),
        ("3164444", "shutdown", "active"),
        ("3164445", "shutdown", "off"),
        ("3164444", "power_off", "off"),
    ] {
        let started = client.post(&format!("/v2/droplets/{id}/actions"), json!({"type": action})).await;
        assert_eq!(client.finish(&started).await, "completed");
        assert_eq!(status(id).await, then, "{action} of {id}");
    }
}

#[tokio::test]
async fn a_slow_action_is_in_progress_for_longer() {
    let (_simulator, client, control) = fleet(1).await;
    control.inject(Fault::new("/v2/droplets/*/actions", Effect::SlowAction { seconds: 1 }).times(1)).await.unwrap();
    let began = Instant::now();
    let started = client.post("/v2/droplets/3164444/actions", json!({"type": "power_off"})).await;
    assert_eq!(client.finish(&started).await, "completed");
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn actions_in_progress_can_be_ended() {
    let (_simulator, client, control) = fleet(1).await;
    control.inject(Fault::new("/v2/droplets/*/actions", Effect::SlowAction { seconds: 3600 })).await.unwrap();
    let started = client.post("/v2/droplets/3164444/actions", json!({"type": "power_off"})).await;
    control.finish_actions().await.unwrap();
    assert_eq!(client.finish(&started).await, "completed");
    assert_eq!(client.get("/v2/droplets/3164444").await.json()["droplet"]["status"], "off");
}

#[tokio::test]
async fn a_fault_can_match_one_action() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let scratch = "/v2/volumes/3d80cb72-342b-4aaa-b92e-4e4abb24a933";
    let before = control.inventory().await.unwrap();
    for action in ["shutdown", "snapshot", "attach"] {
        control.inject(Fault::new("/v2/*/actions", Effect::FailAction).action(action)).await.unwrap();
    }
    for (at, action) in [
        ("/v2/droplets/3164444", json!({"type": "shutdown"})),
        ("/v2/droplets/3164444", json!({"type": "snapshot", "name": "s"})),
        (scratch, json!({"type": "attach", "droplet_id": 3_164_444})),
    ] {
        let started = client.post(&format!("{at}/actions"), action.clone()).await;
        assert_eq!(client.finish(&started).await, "errored", "{action}");
    }
    assert_eq!(control.inventory().await.unwrap(), before, "nothing is changed, locked or left over");
    let started = client.post("/v2/droplets/3164444/actions", json!({"type": "power_off"})).await;
    assert_eq!(client.finish(&started).await, "completed");
}

#[tokio::test]
async fn a_droplet_whose_creation_fails_stays_new() {
    let (_simulator, client, control) = fleet(0).await;
    control.inject(Fault::new("/v2/droplets", Effect::FailAction).method("POST").times(1)).await.unwrap();
    let body = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64"});
    let created = client.post("/v2/droplets", body).await;
    assert_eq!(client.finish(&created).await, "errored");
    let at = format!("/v2/droplets/{}", created.json()["droplet"]["id"]);
    assert_eq!(client.get(&at).await.json()["droplet"]["status"], "new");
    assert_eq!(client.delete(&at).await.status, 204);
}

/// One changing call of each shape.
fn mutations() -> Vec<(&'static str, &'static str, Value)> {
    let droplet = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64"});
    let tagged = json!({"resources": [{"resource_id": "3164446", "resource_type": "droplet"}]});
    vec![
        ("POST", "/v2/droplets", droplet),
        ("DELETE", "/v2/droplets/3164445", Value::Null),
        ("POST", "/v2/droplets/3164444/actions", json!({"type": "power_off"})),
        ("POST", "/v2/droplets/3164444/actions", json!({"type": "snapshot", "name": "s"})),
        ("POST", "/v2/volumes", json!({"name": "v", "region": "nyc3", "size_gigabytes": 1})),
        (
            "POST",
            "/v2/volumes/3d80cb72-342b-4aaa-b92e-4e4abb24a933/actions",
            json!({"type": "resize", "size_gigabytes": 60}),
        ),
        ("DELETE", "/v2/volumes/3d80cb72-342b-4aaa-b92e-4e4abb24a933", Value::Null),
        ("POST", "/v2/reserved_ips", json!({"region": "nyc3"})),
        ("POST", "/v2/domains/example.com/records", json!({"type": "A", "name": "a", "data": "192.0.2.7"})),
        ("PUT", "/v2/domains/example.com/records/28448430", json!({"type": "A", "data": "192.0.2.7"})),
        ("PATCH", "/v2/domains/example.com/records/28448430", json!({"type": "A", "data": "192.0.2.7"})),
        ("DELETE", "/v2/domains/example.com/records/28448430", Value::Null),
        ("POST", "/v2/tags/web/resources", tagged.clone()),
        ("DELETE", "/v2/tags/prod/resources", tagged),
    ]
}

/// Makes each mutation once in a new account, with the effect, and returns whether it was carried out and the caller's
/// result.
async fn meet_mutations(effect: &Effect) -> Vec<(String, bool, Result<Answer, String>)> {
    let mut seen = Vec::new();
    for (method, path, body) in mutations() {
        let (simulator, client) = start(Options { action_seconds: 0.0, ..demo() }).await;
        let control = simulator.control();
        let before = control.inventory().await.unwrap();
        control.inject(Fault::new(path, effect.clone()).method(method).times(1)).await.unwrap();
        let answer = client.try_call(method, path, Some(&body).filter(|it| !it.is_null())).await;
        let done = control.inventory().await.unwrap() != before;
        seen.push((format!("{effect:?} on {method} {path} {body}"), done, answer));
    }
    seen
}

#[tokio::test]
async fn a_mutation_with_an_injected_status_is_not_carried_out() {
    for (status, retry_after, html) in [
        (429, Some(7), false),
        (500, None, false),
        (503, None, true),
        (401, None, false),
        (403, None, false),
        (404, None, true),
    ] {
        for (call, done, answer) in meet_mutations(&Effect::Status { status, retry_after, html }).await {
            let answer = answer.unwrap();
            assert_eq!((answer.status.as_u16(), done), (status, false), "{call}");
            assert_eq!(answer.header("retry-after"), retry_after.map(|it| it.to_string()).as_deref(), "{call}");
            // A gateway does not send the API's headers.
            for header in ["x-request-id", "ratelimit-remaining"] {
                assert_eq!(answer.header(header).is_none(), html, "{call}: {header}");
            }
            assert_eq!(answer.json()["id"].is_null(), html, "{call}");
        }
    }
}

#[tokio::test]
async fn a_reset_mutation_is_carried_out_if_the_fault_is_reset_after() {
    for (effect, carried_out) in [(Effect::Reset, false), (Effect::ResetAfter, true)] {
        for (call, done, answer) in meet_mutations(&effect).await {
            assert_eq!(done, carried_out, "{call}");
            assert!(answer.as_ref().is_err_and(|error| error.contains("ConnectionReset")), "{call}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_mutation_with_a_late_or_truncated_response_is_carried_out() {
    for (call, done, answer) in meet_mutations(&Effect::Latency { milliseconds: 20 }).await {
        assert!(done && answer.is_ok_and(|it| it.status.is_success()), "{call}");
    }
    for (call, done, answer) in meet_mutations(&Effect::Truncate).await {
        assert!(done && answer.is_err(), "{call}");
    }
}

#[tokio::test]
async fn a_new_resource_is_missing_in_a_lagging_list() {
    let (simulator, client) = start(Options { action_seconds: 0.0, ..demo() }).await;
    let droplet = json!({"name": "late", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": ["saga-1"]});
    let record = json!({"type": "A", "name": "late", "data": "192.0.2.7"});
    let lists = [
        ("/v2/droplets?tag_name=saga-1", 1),
        ("/v2/droplets?name=late", 1),
        ("/v2/droplets/3164444/snapshots", 1),
        ("/v2/snapshots?resource_type=droplet", 1),
        ("/v2/volumes?name=late&region=nyc3", 1),
        ("/v2/domains/example.com/records?name=late.example.com&type=A", 1),
        ("/v2/reserved_ips", 1),
        ("/v2/actions", 2),
        ("/v2/droplets/3164444/actions", 1),
    ];
    let totals = async || {
        let lists = lists.iter().map(|(list, _)| client.get(list));
        join_all(lists).await.iter().map(|answer| answer.json()["meta"]["total"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let before = totals().await;
    simulator.control().inject(Fault::new("*", Effect::LagCreates { seconds: 1 }).method("GET")).await.unwrap();
    client.post("/v2/droplets", droplet).await;
    client.post("/v2/volumes", json!({"name": "late", "region": "nyc3", "size_gigabytes": 1})).await;
    client.post("/v2/domains/example.com/records", record).await;
    client.post("/v2/reserved_ips", json!({"region": "nyc3"})).await;
    let action = client.post("/v2/droplets/3164444/actions", json!({"type": "snapshot", "name": "late"})).await;
    let one = format!("/v2/actions/{}", action.json()["action"]["id"]);
    assert_eq!(client.get(&one).await.json()["action"]["status"], "completed", "a GET of one does not lag");
    assert_eq!(totals().await, before, "{lists:?}");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let after: Vec<u64> = before.iter().zip(lists).map(|(before, (_, created))| before + created).collect();
    assert_eq!(totals().await, after, "{lists:?}");
}

#[tokio::test]
async fn faults_meet_mutations_too_and_are_plain_json() {
    let (_simulator, client, control) = fleet(1).await;
    let fault = Fault::new("/v2/droplets", Effect::Status { status: 503, retry_after: None, html: false })
        .method("POST")
        .times(1);
    assert_eq!(
        json!(fault),
        json!({
            "path": "/v2/droplets", "method": "POST", "times": 1, "after": 0,
            "effect": {"status": {"status": 503, "retry_after": null, "html": false}},
        })
    );
    control.inject(fault).await.unwrap();
    assert_eq!(client.post("/v2/droplets", json!({})).await.status, 503);
    assert_eq!(client.post("/v2/droplets", json!({})).await.status, 422);
    assert_eq!(json!(Effect::Reset), json!("reset"));
}
