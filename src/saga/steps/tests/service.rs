//! A user's service, and the reaction of `HttpRequest` to its responses.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{journey::Journey, world::StepWorld};
use crate::{
    api::saga::Values,
    saga::{step::Failure, steps::named},
};

/// Listens on this machine, returns fixed responses and records the requests.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<VecDeque<Response>>>,
}

/// A recorded request.
#[derive(Clone, Debug)]
struct Heard {
    call: String,
    headers: HeaderMap,
    body: String,
}

impl Service {
    /// Returns these responses, and from then on 200 with an empty body.
    pub(super) async fn start(answers: Vec<Response>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            url: format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port()),
            heard: Arc::default(),
            answers: Arc::new(Mutex::new(answers.into())),
        };
        let router = Router::new().fallback(answer).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        service
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn calls(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.call).collect()
    }
}

async fn answer(State(service): State<Service>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    service.heard.lock().unwrap().push(Heard { call: format!("{method} {uri}"), headers, body });
    service.answers.lock().unwrap().pop_front().unwrap_or_else(|| StatusCode::OK.into_response())
}

fn says(status: u16, text: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), text.to_owned()).into_response()
}

/// A response that postpones the call.
fn later(status: u16) -> Response {
    let mut response = says(status, "later");
    response.headers_mut().insert("retry-after", "3".parse().unwrap());
    response
}

fn journey<'w>(world: &'w StepWorld, parameters: &Value) -> Journey<'w> {
    let step = named("HttpRequest").unwrap();
    step.check(parameters).unwrap();
    Journey::new(world, step, parameters)
}

async fn call(answers: Vec<Response>, more: Value) -> (Result<Values, Failure>, Service) {
    let service = Service::start(answers).await;
    let world = StepWorld::start().await;
    let mut parameters = json!({ "url": format!("{}/invoices", service.url) });
    parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (journey(&world, &parameters).go().await, service)
}

#[tokio::test]
async fn a_service_receives_the_order_and_the_key_of_the_call() {
    let service = Service::start(vec![]).await;
    let world = StepWorld::start().await;
    let parameters = json!({
        "url": format!("{}/invoices?dry=no", service.url),
        "method": "PUT",
        "headers": { "X-Team": "web" },
        "body": { "amount": 12 },
        "compensation_url": format!("{}/invoices/cancel", service.url),
        "compensation_body": { "why": "undone" },
    });
    let mut journey = journey(&world, &parameters);
    journey.go().await.unwrap();
    journey.undo().await.unwrap();
    journey.undo().await.unwrap();
    let heard = service.heard();
    assert_eq!(service.calls(), ["PUT /invoices?dry=no", "POST /invoices/cancel", "POST /invoices/cancel"]);
    let key = |heard: &Heard| heard.headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(key(&heard[0]), "7d7bc8cd-04f5-4c5c-a2ef-7bcbb0c6e6a3/2/do");
    assert_eq!(key(&heard[1]), "7d7bc8cd-04f5-4c5c-a2ef-7bcbb0c6e6a3/2/undo");
    assert_eq!(key(&heard[1]), key(&heard[2]));
    assert_eq!((heard[0].body.as_str(), heard[1].body.as_str()), (r#"{"amount":12}"#, r#"{"why":"undone"}"#));
    for heard in heard {
        assert_eq!(heard.headers["x-team"], "web");
        assert_eq!(heard.headers["content-type"], "application/json");
        assert!(!heard.headers.contains_key("authorization"), "{heard:?}");
    }
}

#[tokio::test]
async fn an_answer_is_kept_as_json_or_else_as_text() {
    let cases = [
        (says(201, r#"{"id": 7}"#), json!({ "status": 201, "body": { "id": 7 } })),
        (says(201, r#"{"name": "x"}"#), json!({ "status": 201, "body": {} })),
        (says(200, "fine"), json!({ "status": 200, "text": "fine" })),
        (says(204, ""), json!({ "status": 204 })),
    ];
    for (answer, output) in cases {
        let keep = json!({ "keep": ["id"], "keep_text": true });
        assert_eq!(Value::Object(call(vec![answer], keep).await.0.unwrap()), output);
    }
}

#[tokio::test]
async fn only_what_is_named_of_a_response_is_kept_and_without_credentials() {
    let response = json!({
        "invoice": { "id": 7, "token": "canary", "paid": { "by": "jane", "iban": "canary" } }, "other": "canary",
    });
    let kept = async |keep: Value| {
        let answer = says(200, &response.to_string());
        Value::Object(call(vec![answer], json!({ "keep": keep })).await.0.unwrap())["body"].clone()
    };
    assert_eq!(kept(json!([])).await, Value::Null);
    let fields = json!(["invoice.id", "invoice.token", "invoice.paid.by", "invoice.none", "invoice.id.none"]);
    let hidden = "(secret, sha256:e100fbce)";
    assert_eq!(kept(fields).await, json!({ "invoice": { "id": 7, "token": hidden, "paid": { "by": "jane" } } }));
    let text = call(vec![says(200, "canary")], json!({})).await.0.unwrap();
    assert_eq!(Value::Object(text), json!({ "status": 200 }));
    let text = call(vec![says(200, "Bearer canary")], json!({ "keep_text": true })).await.0.unwrap();
    assert!(text["text"].as_str().unwrap().starts_with("(secret, sha256:"), "{text:?}");
}

#[test]
fn an_order_that_uses_what_is_not_kept_is_not_taken() {
    let objections = |keep: Value| {
        let with = json!({ "url": "https://example.com", "keep": keep });
        let steps = json!([{ "name": "call", "step": "HttpRequest", "with": with },
                           { "name": "say", "step": "Fail", "with": { "message": "${steps.call.output.body.id}" } }]);
        let spec = serde_json::from_value(json!({ "kind": "test", "steps": steps })).unwrap();
        crate::saga::order::Order::read(&spec, &crate::saga::steps::RULES)
            .unwrap()
            .objections()
            .map_err(|why| why.to_string())
    };
    assert_eq!(objections(json!(["id"])), Ok(()));
    let wanted = "step \"say\": parameter \"message\": column 3: the output of \"call\" has no \"body\": list the \
                  fields of the response to use in `keep`";
    assert_eq!(objections(json!([])).unwrap_err(), wanted);
}

#[tokio::test]
async fn headers_and_a_body_come_from_secrets_that_are_read_at_each_call() {
    let service = Service::start(vec![says(500, "")]).await;
    let world = StepWorld::start().await;
    let set = |token: &str| {
        let billing = json!({ "token": token, "body": "<canary/>" });
        world.secrets.lock().unwrap().insert("billing".to_owned(), billing);
    };
    set("canary-1\n");
    let parameters = json!({
        "url": service.url,
        "headers": { "Content-Type": "application/xml" },
        "headersFrom": { "Authorization": { "secret": "billing", "key": "token", "prefix": "Bearer " } },
        "bodyFrom": { "secret": "billing", "key": "body" },
        "compensation_url": service.url,
    });
    let mut journey = journey(&world, &parameters);
    journey.go().await.unwrap();
    set("canary-2");
    journey.undo().await.unwrap();
    let heard = service.heard();
    let tokens: Vec<_> = heard.iter().map(|heard| heard.headers["authorization"].to_str().unwrap()).collect();
    assert_eq!(tokens, ["Bearer canary-1", "Bearer canary-1", "Bearer canary-2"]);
    assert!(heard.iter().all(|heard| heard.headers["content-type"] == "application/xml" || heard.body.is_empty()));
    assert_eq!(heard[1].body, "<canary/>");
    assert!(!journey.journal().contains("canary"), "{}", journey.journal());
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_named_before_anything_is_called() {
    let service = Service::start(vec![]).await;
    let world = StepWorld::start().await;
    world
        .secrets
        .lock()
        .unwrap()
        .extend([("billing".to_owned(), json!({ "token": "canary\u{1}" })), ("forbidden".to_owned(), Value::Null)]);
    let header = |secret: &str, key: &str| json!({ "headersFrom": { "X-Key": { "secret": secret, "key": key } } });
    let body = |secret: &str| json!({ "bodyFrom": { "secret": secret, "key": "body" } });
    let cases = [
        (
            header("none", "token"),
            "reading Secret default/none: it does not exist; create it, or correct `headersFrom`",
        ),
        (
            header("forbidden", "token"),
            "reading Secret default/forbidden: the operator has no right to get it; list its name in the chart's value \
             `sagas.secrets`",
        ),
        (
            header("billing", "tokn"),
            "key \"tokn\" of Secret default/billing does not exist; add the key, or correct `headersFrom`",
        ),
        (
            header("billing", "token"),
            "key \"token\" of Secret default/billing cannot be the header X-Key: it contains control characters",
        ),
        (body("none"), "reading Secret default/none: it does not exist; create it, or correct `bodyFrom`"),
    ];
    for (more, why) in cases {
        let mut parameters = json!({ "url": service.url });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(journey(&world, &parameters).go().await, Err(Failure::Permanent(why.to_owned())));
    }
    assert_eq!(service.calls(), [""; 0]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let step = named("HttpRequest").unwrap();
    let from = json!({ "secret": "billing", "key": "token" });
    let cases = [
        (json!({ "body": 1, "bodyFrom": from }), "`body` and `bodyFrom` exclude each other"),
        (
            json!({ "headers": { "x-key": "1" }, "headersFrom": { "X-Key": from } }),
            "the header X-Key is in `headers` and in `headersFrom`",
        ),
        (json!({ "headersFrom": { "Host": from } }), "the header Host is set by the step itself"),
    ];
    for (mut parameters, why) in cases {
        parameters["url"] = json!("https://example.com");
        assert_eq!(step.check(&parameters).unwrap_err(), why);
    }
}

#[tokio::test]
async fn no_part_of_a_refusing_response_is_shown() {
    let canary = |status: u16| {
        let mut response = says(status, r#"{"error": "canary"}"#);
        response.headers_mut().insert("x-debug", "canary".parse().unwrap());
        response.headers_mut().insert("location", "https://canary.example.com".parse().unwrap());
        response
    };
    for status in [302, 400, 401, 403, 404, 422] {
        let (result, _) = call(vec![canary(status)], json!({ "headers": { "Authorization": "canary" } })).await;
        let Err(Failure::Permanent(said)) = result else { panic!("{status}: {result:?}") };
        assert!(!said.contains("canary") && !said.contains("/invoices"), "{said}");
        assert!(said.contains(&format!("the service responded with {status}")), "{said}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_key() {
    let answers = vec![says(500, "oh"), later(503), later(429), says(429, ""), says(409, "busy"), says(408, "")];
    let (result, service) = call(answers, json!({})).await;
    assert_eq!(Value::Object(result.unwrap()), json!({ "status": 200 }));
    assert_eq!(service.calls(), ["POST /invoices"; 7]);
    let mut keys: Vec<_> = service.heard().iter().map(|heard| heard.headers["idempotency-key"].clone()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn any_other_response_fails_at_once_with_its_status() {
    let large = "x".repeat(5000);
    let elsewhere = Service::start(vec![]).await;
    let mut redirect = says(302, "");
    redirect.headers_mut().insert("location", elsewhere.url.parse().unwrap());
    let cases = [
        (says(422, "no such\ncustomer"), json!({}), ": the service responded with 422"),
        (redirect, json!({}), ": the service responded with 302; redirects are not followed"),
        (says(200, ""), json!({ "expect_status": [201, 202] }), ": the service responded with 200"),
        (says(200, &large), json!({}), ": the response is larger than 4 KiB"),
        (says(200, &"\u{1}".repeat(4096)), json!({ "keep_text": true }), ": the response is larger than 4 KiB"),
    ];
    for (answer, more, why) in cases {
        let (result, service) = call(vec![answer], more).await;
        let Err(Failure::Permanent(said)) = result else { panic!("{why}: {result:?}") };
        assert!(said.starts_with("POST http://127.0.0.1:") && said.ends_with(why), "{said}");
        assert_eq!(service.calls().len(), 1, "{why}");
    }
    assert_eq!(elsewhere.calls(), [""; 0]);
}

#[tokio::test]
async fn a_status_can_be_expected_that_is_none_of_success() {
    let (result, _) = call(vec![says(404, "")], json!({ "expect_status": [200, 404], "method": "GET" })).await;
    assert_eq!(result.unwrap()["status"], 404);
}

#[tokio::test]
async fn what_is_not_there_any_more_counts_as_undone() {
    for answer in [says(404, ""), says(410, ""), says(204, "")] {
        let service = Service::start(vec![answer]).await;
        let world = StepWorld::start().await;
        let parameters =
            json!({ "url": service.url, "compensation_url": service.url, "compensation_method": "DELETE" });
        let mut journey = journey(&world, &parameters);
        journey.begin().await.unwrap();
        assert_eq!(journey.undo().await, Ok(()));
        assert_eq!(service.calls(), ["DELETE /"]);
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_may_come() {
    let service = Service::start(vec![]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let world = StepWorld::start().await;
    let parameters = json!({ "url": format!("http://{address}/invoices") });
    let mut journey = journey(&world, &parameters);
    let comes = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let router = Router::new().fallback(answer).with_state(service.clone());
        let listener = TcpListener::bind(address).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
    };
    let (result, ()) = tokio::join!(journey.go(), comes);
    assert_eq!(result.unwrap()["status"], 200);
}
