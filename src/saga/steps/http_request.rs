//! `HttpRequest`.

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

pub use self::client::http_client;
use self::{
    client::Forbidden,
    secrets::{SecretHeaders, SecretKey},
    service::{Headers, Method, ServiceUrl},
};
use crate::{
    api::saga::MAX_OUTPUT_BYTES,
    comparison::secret::hide_unknown as hide,
    digitalocean::client::chain,
    saga::{
        order::json_size,
        step::{Failure, Progress, Step, StepContext, Undo},
    },
};

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(15);
/// The largest answer.
const MOST_BYTES: usize = 4096;
/// How long a service may ask to be left alone at a time.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Calls a service of your own. It must take a call that comes twice for one: both have the same `Idempotency-Key`, and
/// whatever is not answered is called again. An answer of 5xx, 408, 409 or 429, or none within 15 s, is tried again
/// (`Retry-After` is heeded up to a minute); any other that is not expected fails the step, as does one above 4 KiB.
///
/// Undone by calling `compensation_url`, with a key of its own that differs from the first in its end only: `/undo`
/// instead of `/do`. That comes also where the first call was refused, or may not have arrived; 404 and 410 count as
/// undone. Without a `compensation_url`, undoing it does nothing.
///
/// Nothing of the response is shown or stored but its status and the fields that `keep` names. Credentials belong into a
/// Secret of the saga's namespace, see `headersFrom` and `bodyFrom`. The operator may read those Secrets only that the
/// chart's value `sagas.secrets` lists, in every namespace that it watches: whoever may create sagas there can send them to
/// any address.
///
/// Redirects are not followed, and link-local addresses not called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where to: `https://`, or `http://` to the operator's own machine (`localhost`, `127.0.0.1`, `[::1]`).
    #[schemars(extend("writeOnly" = true))]
    url: ServiceUrl,
    /// How to call it, `POST` by default.
    #[serde(default)]
    method: Method,
    /// Headers of both calls. No secrets: whoever can read the saga can read them.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    headers: Headers,
    /// Headers of both calls from Secrets, by name: the `secret`, the `key` in it, and a `prefix` such as `"Bearer "`. Read
    /// at each call.
    #[serde(default, rename = "headersFrom")]
    headers_from: SecretHeaders,
    /// What is sent, as JSON.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    body: Option<Value>,
    /// What is sent, from a Secret and as it is, in place of `body`. Its `Content-Type` is `application/json` unless
    /// `headers` says otherwise. Read at each call.
    #[serde(default, rename = "bodyFrom")]
    body_from: Option<SecretKey>,
    /// The fields of a JSON response that later steps use, such as `invoice.id`: the output `body` has them in the same
    /// places, and fingerprints where they look like credentials.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    keep: Vec<String>,
    /// Whether later steps use a response that is not JSON, as the output `text`; false by default.
    #[serde(default)]
    keep_text: bool,
    /// The statuses that are a success, 200 to 299 by default.
    #[serde(default)]
    #[schemars(length(max = 16), inner(range(min = 200, max = 599)))]
    expect_status: Vec<u16>,
    /// Where to call to undo it.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    compensation_url: Option<ServiceUrl>,
    /// How to call it, `POST` by default.
    #[serde(default)]
    compensation_method: Method,
    /// What is sent there, as JSON.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    compensation_body: Option<Value>,
}

/// What came of it.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The HTTP status.
    #[schemars(range(min = 200, max = 599))]
    status: u16,
    /// What `keep` names of a response that is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    /// A response that is not JSON, with `keep_text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The step.
pub struct HttpRequest;

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

    /// Finds out whether the Secrets are there before anything is called.
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
        let call = Call { url, method: *method, headers, headers_from };
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
        let call = Call { url, method: *compensation_method, headers, headers_from };
        let body = compensation_body.as_ref().map(Body::Json);
        let is_undone =
            |status: StatusCode| status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        Ok(match call.make(context, body, is_undone).await? {
            ServiceResponse::Expected(_) => Undo::Done,
            ServiceResponse::Later { again, why } => Undo::NotYet { again, why },
        })
    }
}

/// One call.
struct Call<'a> {
    url: &'a ServiceUrl,
    method: Method,
    headers: &'a Headers,
    headers_from: &'a SecretHeaders,
}

/// What is sent.
enum Body<'a> {
    Json(&'a Value),
    Raw(Vec<u8>),
}

/// What a service answers when nothing is wrong.
enum ServiceResponse {
    /// As it should.
    Expected(Response),
    /// It wants to be asked later.
    Later { again: Duration, why: String },
}

impl Call<'_> {
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
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        if is_expected(status) {
            return Ok(ServiceResponse::Expected(response));
        }
        let again = retry_after(response.headers(), context);
        // What it says beside may hold credentials.
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

    /// Why there is no whole answer, and whether the service may have got the call.
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

/// How long the service asks to be left alone.
fn retry_after(headers: &HeaderMap, context: &StepContext<'_>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = text.parse().map(Duration::from_secs).ok().or_else(|| {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(until.duration_since(context.now)).unwrap_or_default())
    })?;
    Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
}

/// What these paths lead to, in the same places.
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
