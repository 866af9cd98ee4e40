//! The step `HttpRequest`.

mod client;
mod secrets;
mod service;

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::{
    client::{Forbidden, LIMIT},
    secrets::{SecretHeaders, SecretKey},
    service::{Headers, Method, ServiceUrl},
};
use crate::{
    api::saga::MAX_OUTPUT_BYTES,
    comparison::secret::hide_response as hide,
    digitalocean::client::chain,
    saga::{
        state::json_size,
        step::{Failure, Progress, Step, StepContext, Undo},
    },
};

pub use self::client::http_client;

/// The maximum size of a response, in bytes.
const MOST_BYTES: usize = 4096;
/// The maximum pause that a service may request.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Calls your own service. The service must treat two calls with the same `Idempotency-Key` as one: a call without a
/// response is repeated. A response of 5xx, 408, 409 or 429, or none within 15 s, is retried (with `Retry-After` up to
/// a minute). Any other unexpected response fails the step, and so does a response above 4 KiB.
///
/// Undone by calling `compensation_url`. The `Idempotency-Key` of this call ends in `/undo`, and that of the first call in
/// `/do`. The call is made even if the first call was refused or its response was lost; 404 and 410 count as undone.
/// Without a `compensation_url`, undoing does nothing.
///
/// Of the response, only the status and the fields listed in `keep` are stored or shown. Values that look like
/// credentials, or have a name such as `token` or `key`, are stored as fingerprints. Put credentials into a Secret
/// in the saga's namespace, see `headersFrom` and `bodyFrom`. The operator may only read the Secrets that the chart's
/// value `sagas.secrets` lists, in every watched namespace: everyone who may create sagas there can send them to any
/// address.
///
/// Redirects are not followed, and link-local addresses are not called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The URL: `https://`, or `http://` to the operator's own machine (`localhost`, `127.0.0.1`, `[::1]`).
    #[schemars(extend("writeOnly" = true))]
    url: ServiceUrl,
    /// The method, `POST` by default.
    #[serde(default)]
    method: Method,
    /// Headers of both calls. They must not contain secrets: everyone who can read the saga can read them.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    headers: Headers,
    /// Headers of both calls from Secrets, by header name: the `secret`, its `key`, and a `prefix` such as `"Bearer "`.
    /// Read for each call.
    #[serde(default, rename = "headersFrom")]
    headers_from: SecretHeaders,
    /// The body, sent as JSON.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    body: Option<Value>,
    /// The body from a Secret, sent as it is, instead of `body`. Its `Content-Type` is `application/json` unless
    /// `headers` sets another. Read for each call.
    #[serde(default, rename = "bodyFrom")]
    body_from: Option<SecretKey>,
    /// The fields of a JSON response that later steps use, such as `invoice.id`. The output `body` has them in the same
    /// places, with fingerprints for values that look like credentials.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    keep: Vec<String>,
    /// Whether later steps use a response that is not JSON, as the output `text`; false by default.
    #[serde(default)]
    keep_text: bool,
    /// The status codes that count as success, 200 to 299 by default.
    #[serde(default)]
    #[schemars(length(max = 16), inner(range(min = 200, max = 599)))]
    expect_status: Vec<u16>,
    /// The URL of the call that undoes the step.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    compensation_url: Option<ServiceUrl>,
    /// The method of that call, `POST` by default.
    #[serde(default)]
    compensation_method: Method,
    /// The body of that call, sent as JSON.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    compensation_body: Option<Value>,
}

/// The output.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// The HTTP status code.
    #[schemars(range(min = 200, max = 599))]
    status: u16,
    /// The fields of a JSON response that `keep` lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    /// The text of another response, with `keep_text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

pub(super) struct HttpRequest;

impl Step for HttpRequest {
    const NAME: &'static str = "HttpRequest";

    type Parameters = Parameters;
    type Output = Output;
    type Before = ();

    fn objection(&self, parameters: &Parameters) -> Option<String> {
        let Parameters { headers, headers_from, body, body_from, .. } = parameters;
        if body.is_some() && body_from.is_some() {
            return Some("`body` and `bodyFrom` exclude each other".to_owned());
        }
        let twice = headers_from.names().find(|name| headers.contains(name))?;
        Some(format!("the header {twice} is in `headers` and in `headersFrom`"))
    }

    fn withholds(&self, parameters: &Parameters, field: &str) -> Option<&'static str> {
        match field {
            "body" if parameters.keep.is_empty() => Some("list the fields of the response to use in `keep`"),
            "text" if !parameters.keep_text => Some("set `keep_text`"),
            _ => None,
        }
    }

    /// Reads the Secrets before any call, so that a missing one fails the step first.
    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<(), Failure> {
        parameters.headers_from.read(context).await?;
        if let Some(body) = &parameters.body_from {
            body.read(context, "bodyFrom").await?;
        }
        Ok(())
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Progress<Output>, Failure> {
        let Parameters { url, method, headers, headers_from, body, body_from, expect_status, .. } = parameters;
        let body = match body_from {
            Some(secret) => Some(Body::Raw(secret.read(context, "bodyFrom").await?)),
            None => body.as_ref().map(Body::Json),
        };
        let call = ServiceCall { url, method: *method, headers, headers_from };
        let is_expected = |status: StatusCode| {
            if expect_status.is_empty() { status.is_success() } else { expect_status.contains(&status.as_u16()) }
        };
        Ok(match call.make(context, body, is_expected).await? {
            ServiceResponse::Expected(response) => Progress::Done(call.read(response, parameters).await?),
            ServiceResponse::Later { again, why } => Progress::NotYet { again, why },
        })
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
        _: Option<&Output>,
    ) -> Result<Undo, Failure> {
        let Parameters { headers, headers_from, compensation_url, compensation_method, compensation_body, .. } =
            parameters;
        let Some(url) = compensation_url else { return Ok(Undo::Done) };
        let call = ServiceCall { url, method: *compensation_method, headers, headers_from };
        let body = compensation_body.as_ref().map(Body::Json);
        let is_undone =
            |status: StatusCode| status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        Ok(match call.make(context, body, is_undone).await? {
            ServiceResponse::Expected(_) => Undo::Done,
            ServiceResponse::Later { again, why } => Undo::NotYet { again, why },
        })
    }
}

struct ServiceCall<'a> {
    url: &'a ServiceUrl,
    method: Method,
    headers: &'a Headers,
    headers_from: &'a SecretHeaders,
}

enum Body<'a> {
    Json(&'a Value),
    Raw(Vec<u8>),
}

/// A response without an error.
enum ServiceResponse {
    /// An expected response.
    Expected(Response),
    /// The service postpones the call.
    Later { again: Duration, why: String },
}

impl ServiceCall<'_> {
    async fn make(
        &self,
        context: &StepContext<'_>,
        body: Option<Body<'_>>,
        is_expected: impl Fn(StatusCode) -> bool,
    ) -> Result<ServiceResponse, Failure> {
        let mut headers = self.headers.map();
        headers.extend(self.headers_from.read(context).await?);
        if body.is_some() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        let mut request = context
            .http
            .request(self.method.into(), self.url.address())
            .timeout(LIMIT)
            .headers(headers)
            .header(service::IDEMPOTENCY_KEY, context.identity.idempotency_key());
        request = match body {
            Some(Body::Json(body)) => request.body(body.to_string()),
            Some(Body::Raw(body)) => request.body(body),
            None => request,
        };
        context.check_intent(&self.doing()).await?;
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        if is_expected(status) {
            return Ok(ServiceResponse::Expected(response));
        }
        let again = retry_after(response.headers(), context);
        // The rest of the response may contain credentials.
        let why = format!("{}: the service responded with {}", self.doing(), status.as_u16());
        Err(match (status.as_u16(), again) {
            (429 | 503, Some(again)) => return Ok(ServiceResponse::Later { again, why }),
            (429, None) => Failure::Waiting(why),
            (409, _) => Failure::Transient(why),
            (408 | 500.., _) => Failure::Doubt(why),
            (300..400, _) => Failure::Permanent(format!("{why}; redirects are not followed")),
            _ => Failure::Permanent(why),
        })
    }

    async fn read(&self, mut response: Response, parameters: &Parameters) -> Result<Output, Failure> {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(self.too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let Parameters { keep, keep_text, .. } = parameters;
        let mut output = Output { status, body: None, text: None };
        if let Ok(json) = serde_json::from_slice::<Value>(&body) {
            output.body = (!keep.is_empty()).then(|| hide(&kept(&json, keep)));
        } else if *keep_text && !body.is_empty() {
            output.text = hide(&Value::from(String::from_utf8_lossy(&body))).as_str().map(str::to_owned);
        }
        // Text that needs much escaping grows.
        if json_size(&output) > MAX_OUTPUT_BYTES { Err(self.too_large()) } else { Ok(output) }
    }

    fn too_large(&self) -> Failure {
        Failure::Permanent(format!("{}: the response is larger than {} KiB", self.doing(), MOST_BYTES / 1024))
    }

    /// The failure of a call without a complete response, by whether the service may have received the call.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let why = format!("{}: {}", self.doing(), chain(error));
        if Forbidden::is_cause_of(error) || error.is_builder() {
            Failure::Permanent(why)
        } else if error.is_connect() {
            Failure::Transient(why)
        } else {
            Failure::Doubt(why)
        }
    }

    fn doing(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// The pause that the service requests.
fn retry_after(headers: &HeaderMap, context: &StepContext<'_>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = text.parse().map(Duration::from_secs).ok().or_else(|| {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(until.duration_since(context.now)).unwrap_or_default())
    })?;
    Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
}

/// The fields at these paths, in the same places.
fn kept(document: &Value, paths: &[String]) -> Value {
    let mut kept = Map::new();
    for path in paths {
        keep(document, path, &mut kept);
    }
    Value::Object(kept)
}

fn keep(document: &Value, path: &str, kept: &mut Map<String, Value>) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(value) = document.get(name) else { return };
    let Some(rest) = rest else {
        kept.insert(name.to_owned(), value.clone());
        return;
    };
    let inner = kept.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        keep(value, rest, inner);
    }
}
