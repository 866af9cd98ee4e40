//! The steps around a handler: count the call, check the token and the limits, apply faults, and respond.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::{Extension, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures::StreamExt as _;
use serde_json::Value;

use crate::{
    api,
    faults::{Effect, Incoming, Met},
    generated::uuid,
    limits::{Standing, Verdict},
    places,
    reply::{Refusal, Reply},
    request::{Call, Distortion, Ending, query_of},
    scopes::{self, Access},
    shared::{Bell, Shared},
};

/// A generous limit: bodies that are sent to the simulator are small.
const MAX_BODY: usize = 16 << 20;

/// The effects of faults on a call, besides the distortion of the response.
#[derive(Default)]
struct Plan {
    latency: Duration,
    distortion: Distortion,
    instead: Option<Effect>,
    reset_after: bool,
    truncate: bool,
    /// Names of pairs that are removed from the query.
    lost: Vec<String>,
}

impl Plan {
    fn of(met: Met) -> Self {
        let mut plan = Self::default();
        plan.distortion.shift = met.shift;
        plan.distortion.past = met.past;
        for effect in met.effects {
            match effect {
                Effect::Latency { milliseconds } => plan.latency += Duration::from_millis(milliseconds),
                Effect::ResetAfter => plan.reset_after = true,
                Effect::Truncate => plan.truncate = true,
                // The shift and the past are already applied.
                Effect::ShiftRows | Effect::StaleFields { .. } => {}
                Effect::LagCreates { seconds } => plan.distortion.lag = Some(Duration::from_secs(seconds)),
                Effect::LagChanges { seconds } => plan.distortion.behind = Some(Duration::from_secs(seconds)),
                Effect::RefusePorts { spelling } => plan.distortion.refused_ports = Some(spelling),
                Effect::OmitFields { fields } => plan.distortion.omit.extend(fields),
                Effect::WithoutScopes { scopes } => plan.distortion.scopes.extend(scopes),
                Effect::OmitRows { ids } => plan.distortion.hidden.extend(ids),
                Effect::DropQuery { name } => plan.lost.push(name),
                Effect::EmptyList => plan.distortion.empty = true,
                Effect::ForeignNext => plan.distortion.foreign_next = true,
                Effect::FailAction => plan.distortion.ending = Ending::Failed,
                Effect::IgnoreAction => plan.distortion.ending = Ending::Ignored,
                Effect::SlowAction { seconds } => plan.distortion.delay = Duration::from_secs(seconds),
                Effect::Status { .. }
                | Effect::Refuse { .. }
                | Effect::Reset
                | Effect::WrongContent
                | Effect::Huge { .. }
                | Effect::Redirect { .. } => {
                    plan.instead.get_or_insert(effect);
                }
            }
        }
        plan
    }
}

/// Answers one call of the API.
pub(crate) async fn serve(
    State(shared): State<Arc<Shared>>,
    Extension(bell): Extension<Bell>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let mut query = query_of(&parts.uri);
    let request_id = uuid();
    let token = bearer(&parts.headers);
    let now = Instant::now();
    shared.counter().count(parts.method.as_str(), &path, now);
    if !shared.lets_in(token) {
        return respond(Refusal::unauthorized().into_reply(&request_id), &request_id, None);
    }
    let standing = shared.limiter().admit(token.unwrap_or_default(), &parts.method, &path, now);
    if standing.verdict != Verdict::Admitted {
        shared.counter().requests.limited += 1;
        return respond(Refusal::too_many_requests().into_reply(&request_id), &request_id, Some(&standing));
    }
    let body = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(bytes) => parse(&bytes),
        Err(_) => Err(Refusal::bad_request("error reading request body")),
    };
    let action = body.as_ref().ok().and_then(|body| body.get("type")).and_then(Value::as_str);
    let incoming = Incoming { method: parts.method.as_str(), path: &path, query: &query, action };
    let plan = Plan::of(shared.faults().meet(&incoming));
    if let Some(effect) = plan.instead {
        pause(plan.latency).await;
        return instead(effect, &bell, &request_id, &standing).await;
    }
    query.retain(|(name, _)| !plan.lost.contains(name));
    let origin = origin(&parts.headers);
    let reply = body.and_then(|body| {
        let call = Call { method: parts.method, path, query, body, origin, distortion: plan.distortion };
        let Access::Without(gated) = scopes::access(&call, &call.distortion.scopes) else {
            return Err(Refusal::forbidden("You are not authorized to perform this operation"));
        };
        let reply = api::answer(&mut shared.cloud(), &call)?;
        Ok(without(reply, &[&call.distortion.omit[..], &gated].concat()))
    });
    let reply = reply.unwrap_or_else(|refusal| refusal.into_reply(&request_id));
    // Delayed, but carried out: a caller that timed out does not know the result.
    pause(plan.latency).await;
    if plan.reset_after || (plan.truncate && reply.body.is_none()) {
        return reset(&bell).await;
    }
    let response = respond(reply, &request_id, Some(&standing));
    if plan.truncate { truncated(response).await } else { response }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn origin(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("api.digitalocean.com");
    format!("http://{host}")
}

fn parse(body: &Bytes) -> Result<Value, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|_| Refusal::bad_request("error parsing request body"))
}

/// Removes some places from the documents of a response.
fn without(reply: Reply, places: &[String]) -> Reply {
    let Some(mut body) =
        reply.body.as_deref().filter(|_| !places.is_empty()).and_then(|it| serde_json::from_str::<Value>(it).ok())
    else {
        return reply;
    };
    let envelopes = body
        .as_object_mut()
        .into_iter()
        .flat_map(|it| it.iter_mut())
        .filter(|(key, _)| !["links", "meta"].contains(&key.as_str()));
    for (key, envelope) in envelopes {
        let documents: Vec<&mut Value> = match envelope {
            Value::Array(documents) => documents.iter_mut().collect(),
            // The only list that is a map.
            Value::Object(documents) if key == "policies" => documents.values_mut().collect(),
            one => vec![one],
        };
        for document in documents {
            for place in places {
                places::remove(document, place);
            }
        }
    }
    Reply::json(reply.status, &body)
}

async fn instead(effect: Effect, bell: &Bell, request_id: &str, standing: &Standing) -> Response {
    match effect {
        Effect::Status { status, retry_after, html } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = if html {
                page(status)
            } else {
                respond(Refusal::of_status(status).into_reply(request_id), request_id, Some(standing))
            };
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Effect::Refuse { status, message } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let refusal = Refusal { message, ..Refusal::of_status(status) };
            respond(refusal.into_reply(request_id), request_id, Some(standing))
        }
        Effect::WrongContent => {
            respond(Reply::text(StatusCode::OK, r#"{"message":"ok"}"#.to_owned()), request_id, Some(standing))
        }
        Effect::Huge { bytes } => {
            let mut response = respond(Reply::text(StatusCode::OK, String::new()), request_id, Some(standing));
            *response.body_mut() = endless(bytes);
            response
        }
        Effect::Redirect { location } => {
            let mut response = respond(Reply { status: StatusCode::FOUND, body: None }, request_id, Some(standing));
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        // The other effects do not replace the response.
        _ => reset(bell).await,
    }
}

/// A sleep of zero lasts until the timer's next tick, a millisecond that no call should cost.
async fn pause(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

/// The page of a gateway for a status.
fn page(status: StatusCode) -> Response {
    let page =
        format!("<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>\r\n");
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// Requests a reset of the connection, and waits for its end.
async fn reset(bell: &Bell) -> Response {
    bell.ring();
    std::future::pending().await
}

/// A JSON list without an end and without a content-length.
fn endless(bytes: u64) -> Body {
    const CHUNK: usize = 1 << 16;
    let chunk = Bytes::from("{\"id\":0},\n".repeat(CHUNK / 10));
    let length = u64::try_from(chunk.len()).unwrap_or(1);
    let chunks = usize::try_from(bytes.div_ceil(length)).unwrap_or(usize::MAX);
    let begin = futures::stream::once(async { Bytes::from_static(b"{\"droplets\":[") });
    Body::from_stream(begin.chain(futures::stream::repeat(chunk).take(chunks)).map(Ok::<_, std::io::Error>))
}

/// The response's headers with half of its body.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let half = futures::stream::once(async move { Ok(bytes.slice(..bytes.len() / 2)) });
    let end = futures::stream::once(async {
        // Gives the first half time to leave before the connection is closed.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::other("cut short on purpose"))
    });
    Response::from_parts(parts, Body::from_stream(half.chain(end)))
}

fn respond(reply: Reply, request_id: &str, standing: Option<&Standing>) -> Response {
    let has_body = reply.body.is_some();
    let mut response = Response::new(reply.body.map_or_else(Body::empty, Body::from));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    if let Some(standing) = standing {
        let reset = jiff::Timestamp::now().as_second().saturating_add_unsigned(standing.reset.as_secs());
        headers.insert("ratelimit-limit", HeaderValue::from(standing.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(standing.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(reset));
        if let Verdict::Burst(wait) = standing.verdict {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
    }
    response
}
