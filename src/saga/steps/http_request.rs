//! `HttpRequest`.

mod client;
mod service;

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::client::http_client;
use self::{
    client::Forbidden,
    service::{Headers, Method, ServiceUrl},
};
use crate::{
    api::saga::MAX_OUTPUT_BYTES,
    digitalocean::client::chain,
    saga::{
        order::json_size,
        step::{Failure, Progress, Scene, Step, Undo},
    },
};

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(15);
/// The largest answer.
const MOST_BYTES: usize = 4096;
/// How much of an answer that says no is told.
const MOST_SAID: usize = 200;
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
/// Redirects are not followed, and link-local addresses not called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where to: `https://`, or `http://` to the operator's own machine (`localhost`, `127.0.0.1`, `[::1]`).
    url: ServiceUrl,
    /// How to call it, `POST` by default.
    #[serde(default)]
    method: Method,
    /// Headers of both calls. No secrets: whoever can read the saga can read them.
    #[serde(default)]
    headers: Headers,
    /// What is sent, as JSON.
    #[serde(default)]
    body: Option<Value>,
    /// The statuses that are a success, 200 to 299 by default.
    #[serde(default)]
    #[schemars(length(max = 16), inner(range(min = 200, max = 599)))]
    expect_status: Vec<u16>,
    /// Where to call to undo it.
    #[serde(default)]
    compensation_url: Option<ServiceUrl>,
    /// How to call it, `POST` by default.
    #[serde(default)]
    compensation_method: Method,
    /// What is sent there, as JSON.
    #[serde(default)]
    compensation_body: Option<Value>,
}

/// What came of it.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The HTTP status.
    #[schemars(range(min = 200, max = 599))]
    status: u16,
    /// The answer, where it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    /// The answer, where it is not.
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

    async fn run(&self, scene: &Scene<'_>, parameters: &Parameters, (): &()) -> Result<Progress<Output>, Failure> {
        let Parameters { url, method, headers, body, expect_status, .. } = parameters;
        let call = Call { url, method: *method, headers, body: body.as_ref() };
        let is_expected = |status: StatusCode| {
            if expect_status.is_empty() { status.is_success() } else { expect_status.contains(&status.as_u16()) }
        };
        Ok(match call.make(scene, is_expected).await? {
            Answer::Expected(response) => Progress::Done(call.read(response).await?),
            Answer::Later { again, why } => Progress::NotYet { again, why },
        })
    }

    async fn undo(
        &self,
        scene: &Scene<'_>,
        parameters: &Parameters,
        (): &(),
        _: Option<&Output>,
    ) -> Result<Undo, Failure> {
        let Parameters { headers, compensation_url, compensation_method, compensation_body, .. } = parameters;
        let Some(url) = compensation_url else { return Ok(Undo::Done) };
        let call = Call { url, method: *compensation_method, headers, body: compensation_body.as_ref() };
        let is_undone =
            |status: StatusCode| status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        Ok(match call.make(scene, is_undone).await? {
            Answer::Expected(_) => Undo::Done,
            Answer::Later { again, why } => Undo::NotYet { again, why },
        })
    }
}

/// One call.
struct Call<'a> {
    url: &'a ServiceUrl,
    method: Method,
    headers: &'a Headers,
    body: Option<&'a Value>,
}

/// What a service answers when nothing is wrong.
enum Answer {
    /// As it should.
    Expected(Response),
    /// It wants to be asked later.
    Later { again: Duration, why: String },
}

impl Call<'_> {
    async fn make(&self, scene: &Scene<'_>, is_expected: impl Fn(StatusCode) -> bool) -> Result<Answer, Failure> {
        let mut request = scene
            .http
            .request(self.method.into(), self.url.address())
            .timeout(LIMIT)
            .headers(self.headers.map())
            .header(service::IDEMPOTENCY_KEY, scene.identity.idempotency_key());
        if let Some(body) = self.body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        if is_expected(status) {
            return Ok(Answer::Expected(response));
        }
        let again = retry_after(response.headers(), scene);
        // Whatever it says is only for people, so it need not be whole.
        let body = response.chunk().await.ok().flatten().unwrap_or_default();
        let said = one_line(&String::from_utf8_lossy(&body));
        let why = format!("{}: the service answered {}{said}", self.doing(), status.as_u16());
        Err(match (status.as_u16(), again) {
            (429 | 503, Some(again)) => return Ok(Answer::Later { again, why }),
            (429, None) => Failure::Waiting(why),
            (409, _) => Failure::Transient(why),
            (408 | 500.., _) => Failure::Doubt(why),
            (300..400, _) => Failure::Permanent(format!("{why}; redirects are not followed")),
            _ => Failure::Permanent(why),
        })
    }

    async fn read(&self, mut response: Response) -> Result<Output, Failure> {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(self.too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let json = serde_json::from_slice(&body).ok();
        let is_text = json.is_none() && !body.is_empty();
        let output = Output { status, body: json, text: is_text.then(|| String::from_utf8_lossy(&body).into_owned()) };
        // Text that needs much escaping grows.
        if json_size(&output) > MAX_OUTPUT_BYTES { Err(self.too_large()) } else { Ok(output) }
    }

    fn too_large(&self) -> Failure {
        Failure::Permanent(format!("{}: the answer is larger than {} KiB", self.doing(), MOST_BYTES / 1024))
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
fn retry_after(headers: &HeaderMap, scene: &Scene<'_>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = text.parse().map(Duration::from_secs).ok().or_else(|| {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(until.duration_since(scene.now)).unwrap_or_default())
    })?;
    Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
}

/// What a service says, fit for the end of a message.
fn one_line(text: &str) -> String {
    let text: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MOST_SAID).collect();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}
