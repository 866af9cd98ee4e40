//! The client against servers with all kinds of responses.

use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;
use crate::digitalocean::{
    Kind, ResourceKey, Token,
    config::checked,
    fake::{Fake, FakeResponse, TOKEN},
    lists::Rows,
};

fn kind(name: &str) -> Kind {
    Kind::named(name).unwrap()
}

fn key(name: &str, id: &str) -> ResourceKey {
    ResourceKey::new(kind(name), id)
}

/// Keeps the rows of a list.
#[derive(Default)]
struct Kept(Vec<String>);

impl Rows for Kept {
    fn begin(&mut self) {
        self.0.clear();
    }

    fn row(&mut self, id: &str, _document: &str) {
        self.0.push(id.to_owned());
    }
}

/// Answers the first calls by `first`, in turn, and all later ones by `then`.
fn at_first(
    first: Vec<fn() -> FakeResponse>,
    then: fn() -> FakeResponse,
) -> impl Fn(&str) -> FakeResponse + Send + Sync {
    let calls = AtomicUsize::new(0);
    move |_| first.get(calls.fetch_add(1, Ordering::Relaxed)).unwrap_or(&then)()
}

fn droplet() -> FakeResponse {
    FakeResponse::text(200, "x: y", r#"{"droplet": {"id":1 , "name": "web"}}"#)
}

/// A page of droplets with these ids.
fn page(ids: &[u32], total: u32, next: Option<&str>) -> FakeResponse {
    let rows: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
    let pages = next.map_or(json!({}), |next| json!({"next": next}));
    FakeResponse::json(200, &json!({"droplets": rows, "links": {"pages": pages}, "meta": {"total": total}}))
}

fn no_gpus() -> FakeResponse {
    page(&[], 0, None)
}

#[tokio::test]
async fn a_resource_is_requested_by_its_path_and_returned_as_written() {
    let server = Fake::start(|path| match path {
        "/v2/droplets/1" => droplet(),
        "/v2/domains/example.com/records/7" => FakeResponse::json(200, &json!({"domain_record": {"id": 7}})),
        _ => FakeResponse::json(404, &json!({"id": "not_found", "message": "no"})),
    })
    .await;
    let client = server.client();
    let document = client.get(&key("Droplet", "1"), Priority::Sweep).await.unwrap();
    assert_eq!(document.as_deref(), Some(r#"{"id":1 , "name": "web"}"#));
    let record = client.get(&key("DomainRecord", "example.com/7"), Priority::Urgent).await.unwrap();
    assert_eq!(record.as_deref(), Some(r#"{"id":7}"#));
    assert_eq!(client.get(&key("Droplet", "2"), Priority::Sweep).await.unwrap(), None);
    let head = server.heads()[0].to_lowercase();
    assert!(head.contains(&format!("authorization: bearer {TOKEN}")) && head.contains("user-agent: arcadia-operator/"));
    let calls: Vec<_> = client.usage().calls.into_iter().collect();
    let droplets = "/v2/droplets/{id}";
    let records = "/v2/domains/{parent}/records/{id}";
    assert_eq!(calls, [(("GET", records, 200), 1), (("GET", droplets, 200), 1), (("GET", droplets, 404), 1)]);
}

#[tokio::test]
async fn a_response_about_another_resource_is_rejected() {
    for (name, id, document) in [
        ("Droplet", "1", json!({})),
        ("Droplet", "1", json!({"id": 2, "name": "web"})),
        ("Droplet", "1", json!({"id": null, "name": "1"})),
        ("Droplet", "1", json!({"nested": {"id": 1}})),
        ("ReservedIP", "45.55.96.47", json!({"ip": "45.55.96.48"})),
        ("DomainRecord", "example.com/7", json!({"id": 8})),
        ("Image", "debian-12", json!({"id": 5, "slug": "debian-13"})),
        ("Image", "5", json!({"id": 6, "slug": null})),
    ] {
        let body = json!({&kind(name).row().get.key: document});
        let server = Fake::start(move |_| FakeResponse::json(200, &body)).await;
        let error = server.client().get(&key(name, id), Priority::Sweep).await.unwrap_err();
        assert!(error.category() == "malformed" && error.to_string().contains("requested"), "{name} {id}: {error}");
    }
}

#[tokio::test]
async fn a_resource_is_known_by_the_id_of_its_kind() {
    for (name, id, document) in [
        ("Droplet", "1", json!({"name": "web", "id": 1})),
        ("Domain", "example.com", json!({"name": "Example.com"})),
        ("ReservedIP", "45.55.96.47", json!({"ip": "45.55.96.47"})),
        ("Registry", "mine", json!({"name": "mine"})),
        ("Snapshot", "6372321", json!({"id": "6372321"})),
        ("Image", "debian-12", json!({"id": 5, "slug": "debian-12"})),
        ("Image", "5", json!({"id": 5, "slug": "debian-12"})),
        (
            "AlertPolicy",
            "78b3da62-27e5-49ba-ac70-5db0b5935c64",
            json!({"uuid": "78b3da62-27e5-49ba-ac70-5db0b5935c64"}),
        ),
    ] {
        let body = json!({&kind(name).row().get.key: document});
        let server = Fake::start(move |_| FakeResponse::json(200, &body)).await;
        let found = server.client().get(&key(name, id), Priority::Sweep).await;
        assert!(matches!(found, Ok(Some(_))), "{name} {id}: {found:?}");
    }
}

#[tokio::test]
async fn an_id_that_would_form_another_path_is_never_requested() {
    let server = Fake::start(|_| droplet()).await;
    for (name, id) in
        [("Droplet", "../account"), ("Domain", ".."), ("Volume", "1"), ("DomainRecord", "a/b"), ("Registry", "a/b?c")]
    {
        let error = server.client().get(&key(name, id), Priority::Sweep).await.unwrap_err();
        assert!(matches!(error, Error::BadId { .. }), "{error}");
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn an_address_behind_a_path_is_kept() {
    let server = Fake::start(|_| droplet()).await;
    let mut config = server.config();
    config.base_url = checked(&format!("{}/proxy/v2/", server.address)).unwrap();
    Client::new(config).unwrap().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap();
    assert_eq!(server.asked(), ["/proxy/v2/droplets/1"]);
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_is_not_retried() {
    for (status, wanted, category) in [
        (401, "check DIGITALOCEAN_TOKEN", "unauthorized"),
        (403, "scope `droplet:read`", "forbidden"),
        (422, "422: because)", "refused"),
    ] {
        let body = json!({"id": "x", "message": "because", "request_id": "r-1"});
        let server = Fake::start(move |_| FakeResponse::json(status, &body)).await;
        let error = server.client().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
        assert!(error.to_string().contains(wanted) && error.to_string().contains("/v2/droplets/1"), "{error}");
        assert_eq!((error.category(), error.retryable()), (category, false));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_fails_by_chance_is_retried() {
    let html = || FakeResponse::text(502, "content-type: text/html", "<html>Bad Gateway</html>");
    let cut = || droplet().cut(3);
    let server = Fake::start(at_first(vec![html, cut, FakeResponse::hang_up], droplet)).await;
    let client = server.client();
    assert!(client.get(&key("Droplet", "1"), Priority::Sweep).await.unwrap().is_some());
    let calls = client.usage().calls;
    let of = |status| calls[&("GET", "/v2/droplets/{id}", status)];
    assert_eq!((of(502), of(0), of(200)), (1, 2, 1));
}

#[tokio::test]
async fn retries_end() {
    let server = Fake::start(|_| FakeResponse::text(500, "x-request-id: r-9", "oops")).await;
    let error = server.client().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
    assert_eq!(server.asked().len(), 4);
    assert!(matches!(&error, Error::Server { status: 500, tries: 4, .. }), "{error}");
    let nobody = "http://127.0.0.1:1";
    let mut config = server.config();
    config.base_url = checked(nobody).unwrap();
    let error = Client::new(config).unwrap().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
    assert!(matches!(&error, Error::Connection { tries: 4, .. }), "{error}");
}

#[tokio::test]
async fn a_silent_or_slow_server_blocks_no_call() {
    let server = Fake::start(at_first(vec![FakeResponse::silence], FakeResponse::drip)).await;
    let mut config = server.config();
    config.read_timeout = Duration::from_millis(50);
    config.call_timeout = Duration::from_millis(200);
    config.retries.tries = 2;
    let error = Client::new(config).unwrap().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { tries: 2, .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error_and_not_read() {
    let answers: [fn() -> FakeResponse; 2] =
        [FakeResponse::flood, || FakeResponse::text(200, "x: y", &"x".repeat(2_000))];
    for answer in answers {
        let server = Fake::start(move |_| answer()).await;
        let mut config = server.config();
        config.max_body_bytes = 1_000;
        let error = Client::new(config).unwrap().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1_000, .. }), "{error}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_that_never_ends_is_still_a_refusal() {
    let server = Fake::start(|_| FakeResponse::text(403, "x: y", &"x".repeat(100_000))).await;
    let error = server.client().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Fake::start(|_| droplet()).await;
    let location = format!("location: {}/v2/droplets/1", other.address);
    let server = Fake::start(move |_| FakeResponse::text(302, &location, "")).await;
    let error = server.client().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
    assert!(matches!(error, Error::Redirected { status: 302, .. }), "{error}");
    assert_eq!(other.asked().len(), 0);
}

#[tokio::test]
async fn a_next_page_on_another_host_is_read_from_the_own_one() {
    let other = Fake::start(|_| no_gpus()).await;
    for host in ["https://elsewhere.invalid", "http://127.0.0.1:1", "", &other.address] {
        let next = format!("{host}/v2/droplets?page=2&per_page=200");
        let server = Fake::start(move |path| match path {
            "/v2/droplets?page=1&per_page=200" => page(&[1], 2, Some(&next)),
            "/v2/droplets?page=2&per_page=200" => page(&[2], 2, None),
            _ => no_gpus(),
        })
        .await;
        let mut kept = Kept::default();
        let listed = server.client().list(kind("Droplet"), None, &mut kept, Priority::Sweep).await.unwrap();
        assert_eq!((kept.0, listed.pages), (vec!["1".to_owned(), "2".to_owned()], 3), "{host}");
        assert!(other.asked().is_empty());
    }
}

#[tokio::test]
async fn a_next_page_that_does_not_follow_is_an_error() {
    for next in ["https://api.invalid/v2/droplets?page=3", "https://api.invalid/v2/droplets?page=1"] {
        let server = Fake::start(move |_| page(&[1], 2, Some(next))).await;
        let error =
            server.client().list(kind("Droplet"), None, &mut Kept::default(), Priority::Sweep).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_the_api_is_an_error() {
    for body in ["<html>Welcome</html>", r#"{"message": "hello"}"#, r#"{"droplets": [{"name": "x"}]}"#, "\u{0}"] {
        let server = Fake::start(move |_| FakeResponse::text(200, "x: y", body)).await;
        let error =
            server.client().list(kind("Droplet"), None, &mut Kept::default(), Priority::Sweep).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        let error = server.client().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_404_that_is_not_the_apis_own_says_nothing_about_the_resource() {
    for body in ["<html>404</html>", "", r#"{"message": "no Route matched"}"#, r#"{"id": ""}"#, "404 page not found"] {
        let server = Fake::start(move |_| FakeResponse::text(404, "x: y", body)).await;
        let error = server.client().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[tokio::test]
async fn all_pages_of_all_lists_of_a_kind_are_read() {
    let server = Fake::start(|path| match path {
        "/v2/droplets?page=1&per_page=200" => page(&[1, 2], 3, None),
        "/v2/droplets?page=2&per_page=200" => page(&[3], 3, None),
        "/v2/droplets?type=gpus&page=1&per_page=200" => page(&[9], 1, None),
        _ => FakeResponse::text(500, "x: y", ""),
    })
    .await;
    let mut kept = Kept::default();
    assert_eq!(server.client().list(kind("Droplet"), None, &mut kept, Priority::Sweep).await.unwrap().rows, 4);
    assert_eq!(kept.0, ["1", "2", "3", "9"]);
}

#[tokio::test]
async fn a_list_without_pages_is_one_call() {
    let server = Fake::start(|_| FakeResponse::json(200, &json!({"databases": [{"id": "a"}, {"id": "b"}]}))).await;
    let mut kept = Kept::default();
    assert_eq!(server.client().list(kind("Database"), None, &mut kept, Priority::Sweep).await.unwrap().rows, 2);
    assert_eq!(server.asked(), ["/v2/databases"]);
}

#[tokio::test]
async fn rows_that_shift_between_pages_are_read_again() {
    // First a row is created between two pages, then one is deleted, then one moves to the next page; then nothing
    // changes.
    let walks: [fn(&str) -> FakeResponse; 4] = [
        |page_two| if page_two.is_empty() { page(&[1, 2], 3, None) } else { page(&[3], 4, None) },
        |page_two| if page_two.is_empty() { page(&[1, 2], 4, None) } else { page(&[4], 3, None) },
        |page_two| if page_two.is_empty() { page(&[1, 2], 3, None) } else { page(&[2], 3, None) },
        |page_two| if page_two.is_empty() { page(&[1, 2], 3, None) } else { page(&[3], 3, None) },
    ];
    let walk = AtomicUsize::new(0);
    let server = Fake::start(move |path| {
        if path.contains("gpus") {
            return no_gpus();
        }
        let is_second = path.contains("?page=2");
        let now = walk.fetch_add(usize::from(is_second), Ordering::Relaxed);
        walks[now.min(3)](if is_second { "2" } else { "" })
    })
    .await;
    let mut kept = Kept::default();
    assert_eq!(server.client().list(kind("Droplet"), None, &mut kept, Priority::Sweep).await.unwrap().rows, 3);
    assert_eq!(kept.0, ["1", "2", "3"]);
    assert_eq!(server.asked().len(), 9);
}

#[tokio::test]
async fn a_long_list_that_shifts_continues_from_the_page_before() {
    // Pages of two rows. Before the seventh page is read, rows of earlier pages are deleted, or one is created in front.
    for (deleted, created, asked) in
        [(vec![1], None, 15), (vec![1, 2, 3], None, 15), (vec![], Some(0), 16), (vec![5], Some(0), 13)]
    {
        let rows = std::sync::Mutex::new((1..=24).collect::<Vec<u32>>());
        let change = (deleted.clone(), created);
        let server = Fake::start(move |path| {
            let mut rows = rows.lock().unwrap();
            if path.contains("gpus") {
                return no_gpus();
            }
            let number: usize = path.split(['=', '&']).nth(1).unwrap().parse().unwrap();
            if number == 7 && rows.len() == 24 && rows.first() == Some(&1) {
                rows.retain(|row| !change.0.contains(row));
                if let Some(new) = change.1 {
                    rows.insert(0, new);
                }
            }
            let shown: Vec<u32> = rows.iter().copied().skip((number - 1) * 2).take(2).collect();
            page(&shown, u32::try_from(rows.len()).unwrap(), None)
        })
        .await;
        let mut kept = Kept::default();
        let listed = server.client().list(kind("Droplet"), None, &mut kept, Priority::Sweep).await;
        let rows = 24 - deleted.len() + usize::from(created.is_some());
        assert_eq!(listed.map(|listed| listed.rows).ok(), Some(rows), "{deleted:?} {created:?}");
        let mut ids: Vec<u32> = kept.0.iter().map(|id| id.parse().unwrap()).collect();
        ids.sort_unstable();
        // The deleted rows were there when their pages were read; the new one is found by the next list.
        assert_eq!(ids, (1..=24).collect::<Vec<_>>(), "{deleted:?} {created:?}");
        assert_eq!(server.asked().len(), asked, "{deleted:?} {created:?}");
    }
}

#[tokio::test]
async fn a_total_may_count_what_only_the_other_list_shows() {
    let server = Fake::start(|path| match (path.contains("gpus"), path.contains("?page=2")) {
        (true, _) => page(&[9], 1, None),
        (false, false) => page(&[1, 2], 3, None),
        (false, true) => page(&[], 3, None),
    })
    .await;
    let mut kept = Kept::default();
    assert_eq!(server.client().list(kind("Droplet"), None, &mut kept, Priority::Sweep).await.unwrap().rows, 3);
    assert_eq!(kept.0, ["1", "2", "9"]);
}

#[tokio::test]
async fn a_list_that_never_settles_is_an_error() {
    let server = Fake::start(|_| page(&[1, 1], 2, None)).await;
    let error = server.client().list(kind("Droplet"), None, &mut Kept::default(), Priority::Sweep).await.unwrap_err();
    assert!(matches!(error, Error::Shifting { walks: 4, .. }) && error.retryable(), "{error}");
    let server = Fake::start(|_| page(&[], 2, None)).await;
    let error = server.client().list(kind("Droplet"), None, &mut Kept::default(), Priority::Sweep).await.unwrap_err();
    assert!(matches!(error, Error::Shifting { walks: 4, .. }), "{error}");
}

#[tokio::test]
async fn a_list_is_all_or_nothing() {
    let server = Fake::start(|path| {
        if path.contains("?page=2") { FakeResponse::text(503, "x: y", "") } else { page(&[1, 2], 3, None) }
    })
    .await;
    let error = server.client().list(kind("Droplet"), None, &mut Kept::default(), Priority::Sweep).await.unwrap_err();
    assert!(matches!(error, Error::Server { status: 503, .. }), "{error}");
}

#[tokio::test]
async fn after_a_429_all_calls_wait_as_requested() {
    let limited = || FakeResponse::text(429, "retry-after: 1", r#"{"id": "too_many_requests"}"#);
    let server = Fake::start(at_first(vec![limited], droplet)).await;
    let client = server.client();
    let start = std::time::Instant::now();
    assert!(client.get(&key("Droplet", "1"), Priority::Sweep).await.unwrap().is_some());
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_429_says_how_long_in_three_ways_or_not_at_all() {
    let dated = "date: Mon, 23 Nov 2026 12:00:00 GMT\r\n";
    for (headers, seconds) in [
        ("retry-after: 7".to_owned(), 7),
        (format!("{dated}retry-after: Mon, 23 Nov 2026 12:00:09 GMT"), 9),
        (format!("{dated}ratelimit-reset: 1795435230"), 30),
        (format!("{dated}ratelimit-reset: 1795435100"), 0),
        ("ratelimit-reset: soon".to_owned(), 10),
        ("x: y".to_owned(), 10),
    ] {
        let name = headers.clone();
        let server = Fake::start(move |_| FakeResponse::text(429, &headers, "")).await;
        let mut config = server.config();
        config.retries.tries = 1;
        let client = Client::new(config).unwrap();
        let error = client.get(&key("Droplet", "1"), Priority::Urgent).await.unwrap_err();
        assert!(matches!(error, Error::RateLimited { wait, .. } if wait.as_secs() == seconds), "{name}: {error}");
        assert!(seconds == 0 || client.usage().paused.is_some(), "{name}");
    }
}

#[tokio::test]
async fn the_servers_view_of_the_budget_counts() {
    let headers = "ratelimit-limit: 5000\r\nratelimit-remaining: 700\r\nratelimit-reset: 4102444800";
    let server = Fake::start(move |_| FakeResponse::text(200, headers, r#"{"droplet": {"id": 1}}"#)).await;
    let client = server.client();
    assert_eq!((client.usage().minute_left, client.usage().hour_left), (225, 4_500));
    client.get(&key("Droplet", "1"), Priority::Sweep).await.unwrap();
    // One own call; 700 - 1 that was in flight at the time of the header, less the reserve of 500.
    assert_eq!((client.usage().minute_left, client.usage().hour_left), (224, 199));
}

#[tokio::test]
async fn the_token_is_in_no_text() {
    let echo = format!(r#"{{"message": "{TOKEN} is wrong", "request_id": "{TOKEN}"}}"#);
    for status in [302, 400, 401, 403, 422, 500] {
        let echo = echo.clone();
        let server =
            Fake::start(move |_| FakeResponse::text(status, &format!("location: http://{TOKEN}/"), &echo)).await;
        let client = server.client();
        let error = client.get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err();
        for text in [format!("{error}"), format!("{error:?}"), format!("{client:?}"), format!("{:?}", server.config())]
        {
            assert!(!text.contains(TOKEN), "{text}");
        }
    }
    for body in [
        json!({"droplet": TOKEN}),
        json!({"droplets": TOKEN}),
        json!({"droplets": [TOKEN]}),
        json!({"droplets": [{"id": 1}], "meta": {"total": TOKEN}}),
        json!({"droplets": [{"id": 1}], "links": {"pages": {"next": format!("http://{TOKEN}/")}}}),
    ] {
        let server = Fake::start(move |_| FakeResponse::json(200, &body)).await;
        for error in [
            server.client().get(&key("Droplet", "1"), Priority::Sweep).await.unwrap_err(),
            server.client().list(kind("Droplet"), None, &mut Kept::default(), Priority::Sweep).await.unwrap_err(),
        ] {
            assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
        }
    }
}

#[test]
fn addresses_that_would_give_the_token_away_are_refused() {
    for (address, says) in [
        ("http://api.digitalocean.com", "clear text"),
        ("http://10.0.0.1:8080", "clear text"),
        ("http://localhost.evil.example", "clear text"),
        ("ftp://api.digitalocean.com", "https://"),
        ("https://user:pass@api.digitalocean.com", "password"),
        ("https://api.digitalocean.com?x=1", "query"),
        ("api.digitalocean.com", "not an address"),
    ] {
        let error = Config::new(address, Token::new("t").unwrap()).unwrap_err().to_string();
        assert!(error.contains(says), "{address}: {error}");
    }
    for address in [
        "https://api.digitalocean.com",
        "https://api.digitalocean.com/v2/",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost:9",
    ] {
        assert!(Config::new(address, Token::new("t").unwrap()).is_ok(), "{address}");
    }
}
