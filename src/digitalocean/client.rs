//! The client of DigitalOcean: one per token, with timeouts, retries, and a budget shared by all its clones.

use std::{
    collections::BTreeMap,
    error::Error as _,
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::{Response, Url, header::AUTHORIZATION};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    ChangeMethod, Endpoint, Error, Kind,
    budget::{Budget, CallPermit, Priority},
    call::ApiCall,
    config::{Config, Retries, on_loopback},
    headers::{server_limits, wait},
    kinds::{self, Lane},
};
use crate::comparison::secret::hide_echoes;

/// The pause of all calls after a 429 without a time.
const UNTOLD_WAIT: Duration = Duration::from_secs(10);
/// The interval at which a call that waits for the budget checks whether the token was replaced.
const TOKEN_CHECK: Duration = Duration::from_secs(10);
/// The maximum size of the response to a change, which contains one resource at most.
pub(super) const CHANGE_BODY_BYTES: usize = 8 << 20;
/// The number of bytes of a refusal that are read for its message.
const ERROR_BODY_BYTES: usize = 64 << 10;

/// The client. Clones share connections, budget and counters.
#[derive(Clone)]
pub struct Client {
    shared: Arc<ClientState>,
    guard: Option<MayChange>,
    /// The step that makes the calls.
    step: Option<Arc<str>>,
}

/// Checks whether a change may be sent now. The check may wait.
type MayChange = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

struct ClientState {
    http: reqwest::Client,
    config: Config,
    budget: Arc<Budget>,
    calls: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
}

/// The usage so far, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls by method, path template (such as `/v2/droplets/{id}`) and status; 0 if no complete response arrived.
    pub calls: BTreeMap<(&'static str, &'static str, u16), u64>,
    /// Calls left to sweeps in this minute, the reserve not counted.
    pub minute_left: usize,
    /// Calls left to sweeps in this hour, the reserve not counted.
    pub hour_left: usize,
    /// Calls that sweeps may make in any minute.
    pub minute_limit: usize,
    /// Calls that sweeps may make in any hour.
    pub hour_limit: usize,
    /// The remaining pause of all calls that DigitalOcean requested (429).
    pub paused: Option<Duration>,
}

impl Client {
    /// A client with its own connections and budget. Install a rustls provider first.
    ///
    /// # Errors
    /// If the settings are invalid, or no rustls provider is installed.
    pub fn new(config: Config) -> Result<Self, Error> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(Error::Config("no rustls provider is installed: install one before the first client".into()));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("arcadia-operator/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.read_timeout)
            .timeout(config.call_timeout);
        if on_loopback(&config.base_url) {
            // A proxy would see the token of a plain-text call, and could not reach this machine anyway.
            builder = builder.no_proxy();
        }
        if config.base_url.scheme() == "http" {
            // Loading certificate authorities takes a moment, and plain text needs none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| Error::Config(format!("no HTTP client: {}", chain(&error))))?;
        config.token.header()?;
        let budget = Budget::new(config.limits);
        Ok(Self {
            shared: Arc::new(ClientState { http, config, budget, calls: Mutex::default() }),
            guard: None,
            step: None,
        })
    }

    /// The same client, which sends a change only if `may_change` allows it right before.
    #[must_use]
    pub fn guarded(&self, may_change: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Self {
        Self { guard: Some(Arc::new(may_change)), ..self.clone() }
    }

    /// The same client, for calls of one step. They wait for the budget at the place of the step's first call, until
    /// [`Self::leave_line`].
    #[must_use]
    pub(crate) fn of_step(self, step: Arc<str>) -> Self {
        Self { step: Some(step), ..self }
    }

    /// Gives up the place of a step, which needs no more calls for now.
    pub(crate) fn leave_line(&self, step: &str) {
        self.shared.budget.leave(step);
    }

    /// Returns true if a change may be sent now.
    pub(crate) async fn may_change(&self) -> bool {
        match &self.guard {
            Some(may_change) => may_change().await,
            None => true,
        }
    }

    /// Changes whenever the token changes.
    pub(super) fn token_version(&self) -> u64 {
        self.shared.config.token.version()
    }

    /// The number of calls that sweeps may make in any hour.
    pub(super) fn hour_limit(&self) -> usize {
        self.shared.config.limits.of_hour(Priority::Sweep)
    }

    /// The largest burst of calls besides lists, sagas and decisions: four fifths of the calls of a minute.
    pub(super) fn extra_calls_at_once(&self) -> usize {
        self.shared.config.limits.of_minute(Priority::Urgent) / 5 * 4
    }

    /// The number of calls that sweeps may make in an hour beside all others, by the calls of the last hour.
    pub(super) fn calls_for_sweeps(&self) -> usize {
        self.shared.budget.for_sweeps()
    }

    /// The number of calls so far that read a kind: its lists, its resources, and their parts.
    pub(super) fn reads_of(&self, kind: Kind) -> u64 {
        let row = kind.row();
        let is_of_kind = |route: &str| {
            let mut parts = row.reads.iter().map(|part| &part.get.path);
            route == row.list.path || route == row.get.path || parts.any(|path| route == path)
        };
        let calls = self.shared.calls.lock();
        let reads = calls.iter().filter(|((method, route, _), _)| *method == "GET" && is_of_kind(route));
        reads.map(|(_, count)| count).sum()
    }

    /// The usage so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let left = self.shared.budget.left();
        let calls = self.shared.calls.lock().clone();
        let limits = &self.shared.config.limits;
        Usage {
            calls,
            minute_left: left.minute,
            hour_left: left.hour,
            minute_limit: limits.of_minute(Priority::Sweep),
            hour_limit: limits.of_hour(Priority::Sweep),
            paused: left.paused,
        }
    }

    /// A call that a saga waits for.
    ///
    /// # Errors
    /// If the path's ids would form another path.
    pub(super) fn urgent<'a>(
        &self,
        path: Endpoint<'_>,
        query: &[(&str, &str)],
        change: Option<(ChangeMethod, Option<&'a Value>)>,
    ) -> Result<ApiCall<'a>, Error> {
        path.check()?;
        let url = self.url(path.route, path.parent, path.id, query)?;
        let give_up = Some(Instant::now() + self.shared.config.patience);
        Ok(ApiCall { change, url, route: path.route, scope: path.scope, priority: Priority::Urgent, give_up })
    }

    pub(super) fn url(
        &self,
        path: &'static str,
        parent: Option<&str>,
        id: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<Url, Error> {
        let mut url = self.shared.config.base_url.clone();
        let segments = path.split('/').skip(1).map(|segment| match segment {
            "{parent}" => parent.unwrap_or(segment),
            "{id}" => id.unwrap_or(segment),
            _ => segment,
        });
        url.path_segments_mut()
            .map_err(|()| Error::Config("DIGITALOCEAN_API_URL cannot have paths".into()))?
            .pop_if_empty()
            .extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Makes a call until it gets a response or retrying is pointless. None for a 404.
    pub(super) async fn read(&self, call: &ApiCall<'_>) -> Result<Option<Vec<u8>>, Error> {
        let Retries { tries, base, cap } = self.shared.config.retries;
        let pauses = ExponentialBuilder::default()
            .with_min_delay(base)
            .with_max_delay(cap)
            .with_max_times(usize::try_from(tries.saturating_sub(1)).unwrap_or(0));
        let tried = AtomicU32::new(0);
        (|| self.once(call, tried.fetch_add(1, Ordering::Relaxed) + 1))
            .retry(pauses)
            // A call that already waited for the budget is not retried.
            .when(|error| error.retryable() && !matches!(error, Error::NoBudget { .. }))
            .adjust(|error, pause| match error {
                // The budget pauses the calls.
                Error::RateLimited { .. } => pause.map(|_| Duration::ZERO),
                _ => pause.map(|pause| pause.mul_f64(rand::random())),
            })
            .await
    }

    /// Makes a call once, as the `tries`th attempt. None for a 404.
    pub(super) async fn once(&self, call: &ApiCall<'_>, tries: u32) -> Result<Option<Vec<u8>>, Error> {
        let shared = &*self.shared;
        let lane = kinds::own_limit(call.route);
        let permit = self.permit(call, lane).await?;
        if call.change.is_some() && !self.may_change().await {
            return Err(Error::TooLate { doing: call.doing() });
        }
        let mut status = 0;
        let version = self.token_version();
        let outcome = async {
            let authorization = shared.config.token.header()?;
            let mut request =
                shared.http.request(call.method().clone(), call.url.clone()).header(AUTHORIZATION, authorization);
            if let Some((_, body)) = call.change {
                request = request.timeout(shared.config.change_timeout);
                if let Some(body) = body {
                    request = request.json(body);
                }
            }
            let response = request.send().await.map_err(|error| self.broken(call, &error, tries))?;
            status = response.status().as_u16();
            // The limits of an earlier token do not apply to the current one.
            let is_current = self.token_version() == version;
            if let (None, true, Some(limits)) = (lane, is_current, server_limits(response.headers())) {
                shared.budget.apply_server_limits(limits);
            }
            if (200..300).contains(&status) {
                let most = if call.change.is_some() { CHANGE_BODY_BYTES } else { usize::MAX };
                let body = self.body(call, response, shared.config.max_body_bytes.min(most), tries).await;
                if body.is_err() {
                    status = 0;
                }
                return body.map(Some);
            }
            if status == 404 {
                return self.not_there(call, response, tries).await.map(|()| None);
            }
            let error = self.refused(call, response, tries).await;
            if let Error::RateLimited { wait, .. } = &error
                && is_current
            {
                shared.budget.pause(*wait, lane);
            }
            Err(error)
        }
        .await;
        drop(permit);
        let counted = (call.method().as_str(), call.route, status);
        *shared.calls.lock().entry(counted).or_default() += 1;
        outcome
    }

    /// Waits for the budget, up to the call's limit.
    async fn permit(&self, call: &ApiCall<'_>, lane: Option<Lane>) -> Result<CallPermit, Error> {
        let permit = self.acquire(call.priority, lane);
        // A saga has more to do than to wait for one read.
        let of_saga = || self.guard.as_ref().map(|_| Instant::now() + self.shared.config.patience);
        let Some(give_up) = call.give_up.or_else(of_saga) else { return Ok(permit.await) };
        let none_came = |_| Error::NoBudget { doing: call.doing(), waited: self.shared.config.patience };
        timeout_at(give_up, permit).await.map_err(none_came)
    }

    /// Waits for the budget of the current token, which may be replaced meanwhile.
    async fn acquire(&self, priority: Priority, lane: Option<Lane>) -> CallPermit {
        let budget = &self.shared.budget;
        let mut permit = pin!(budget.acquire(priority, lane, self.step.as_ref()));
        loop {
            budget.use_token(self.token_version());
            if let Ok(acquired) = timeout(TOKEN_CHECK, permit.as_mut()).await {
                return acquired;
            }
        }
    }

    async fn body(
        &self,
        call: &ApiCall<'_>,
        mut response: Response,
        limit: usize,
        tries: u32,
    ) -> Result<Vec<u8>, Error> {
        let too_large = || Error::TooLarge { doing: call.doing(), limit };
        let length = response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| too_large())?;
        if length > limit {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(length);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(call, &error, tries))? {
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Fails unless a 404 is the API's own. One from a proxy or a wrong address would make everything look deleted.
    async fn not_there(&self, call: &ApiCall<'_>, response: Response, tries: u32) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct NotFoundBody {
            id: String,
        }
        let body = self.body(call, response, ERROR_BODY_BYTES, tries).await?;
        match serde_json::from_slice(&body) {
            Ok(NotFoundBody { id }) if !id.is_empty() => Ok(()),
            _ => Err(self.malformed(call, "it is a 404 without the id that the API's errors have")),
        }
    }

    /// The error for a refusal.
    async fn refused(&self, call: &ApiCall<'_>, response: Response, tries: u32) -> Error {
        #[derive(Default, Deserialize)]
        struct ErrorBody {
            message: Option<String>,
            request_id: Option<String>,
        }
        let doing = call.doing();
        let status = response.status().as_u16();
        let headers = response.headers();
        match status {
            300..400 => return Error::Redirected { doing, status },
            429 => {
                let wait = wait(headers).unwrap_or(UNTOLD_WAIT).max(self.shared.config.retries.base);
                return Error::RateLimited { doing, wait };
            }
            _ => {}
        }
        let mut request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
        let body = self.body(call, response, ERROR_BODY_BYTES, tries).await.unwrap_or_default();
        let error: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
        request_id = request_id.or(error.request_id);
        let sent = call.change.and_then(|(_, body)| body);
        // Refusals quote what they were sent.
        let cleaned = |message: String| match sent {
            Some(sent) => self.clean(&hide_echoes(&message, sent)),
            None => self.clean(&message),
        };
        let message = error.message.map_or_else(|| "no reason given".to_owned(), cleaned);
        if let Some(request_id) = request_id.map(|id| self.clean(&id)) {
            // DigitalOcean's support needs the request id.
            tracing::info!(call = doing, status, request_id, why = message, "DigitalOcean refused a call");
        }
        match status {
            401 => Error::Unauthorized { doing },
            403 => Error::Forbidden { doing, message, scope: call.scope },
            500.. => Error::Server { doing, status, tries },
            _ => Error::Refused { doing, status, message },
        }
    }

    /// The error for a call without a complete response.
    fn broken(&self, call: &ApiCall<'_>, error: &reqwest::Error, tries: u32) -> Error {
        let is_connected = !error.is_connect();
        if is_connected && error.is_timeout() {
            return Error::Timeout { doing: call.doing(), tries };
        }
        Error::Connection { doing: call.doing(), why: self.clean(&chain(error)), tries, is_connected }
    }

    /// The text of a response.
    pub(super) fn text<'b>(&self, call: &ApiCall<'_>, body: &'b [u8]) -> Result<&'b str, Error> {
        std::str::from_utf8(body).map_err(|error| self.malformed(call, &format!("it is not UTF-8: {error}")))
    }

    /// The JSON of a response.
    pub(super) fn json<T: DeserializeOwned>(&self, call: &ApiCall<'_>, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| self.malformed(call, &error.to_string()))
    }

    /// The error for a response that does not match the API's documentation. The reason may contain parts of it.
    pub(super) fn malformed(&self, call: &ApiCall<'_>, why: &str) -> Error {
        Error::Malformed { doing: call.doing(), why: self.clean(why) }
    }

    /// Text from outside, prepared for a message: without the token, on one line, and shortened.
    fn clean(&self, text: &str) -> String {
        let text = self.shared.config.token.redact(text);
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(300).collect()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.shared.config.base_url)
    }
}

/// The error's causes, outermost first, without the address.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "it broke".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
