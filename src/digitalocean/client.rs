//! Asks DigitalOcean: one client per token, with timeouts, retries, and a budget shared by all its clones.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::error::Error as _;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::account::{self, Account};
use super::budget::{Budget, Limits, Permit, Told};
use super::kinds::{self, Lane, PartList, Reading};
use super::pages::{Page, Shape};
use super::{Error, IdFormat, Kind, Path, ResourceKey, Token, Verb, pages};

/// How long all calls wait after a 429 that does not say for how long.
const UNTOLD_WAIT: Duration = Duration::from_secs(10);
/// Rows of one page; DigitalOcean's largest.
pub(super) const PER_PAGE: &str = "200";
/// How often a list is read before it counts as shifting.
pub(super) const WALKS: u32 = 4;
/// How many pages a list can have: a guard against a server that always has one more.
const MOST_PAGES: usize = 10_000;
/// How much of an answer that says no is read for its message.
const ERROR_BODY_BYTES: usize = 64 << 10;

/// Whose calls go first when the budget runs low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Routine: leaves the reserve alone.
    Sweep,
    /// Someone waits for it: may use the reserve.
    Urgent,
}

/// How calls are retried; only reads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often a call is made at most, the first included.
    pub tries: u32,
    /// The longest first pause; it doubles from try to try. Each pause is random between nothing and that.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
}

/// All that the client can be told. Made by [`Config::new`], which checks the address; the rest has defaults.
#[derive(Clone, Debug)]
pub struct Config {
    base_url: Url,
    token: Token,
    /// The budget of the token.
    pub limits: Limits,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the server may say nothing within an answer.
    pub read_timeout: Duration,
    /// How long a whole call may take, so that a server that drips cannot hold it forever.
    pub call_timeout: Duration,
    /// The same for a call that changes something, from sending it to its complete answer.
    pub change_timeout: Duration,
    /// How long a saga's call waits for the budget.
    pub patience: Duration,
    /// The largest answer that is read, in bytes.
    pub max_body_bytes: usize,
    /// How reads are retried.
    pub retries: Retries,
}

impl Config {
    /// The address of the API, such as `https://api.digitalocean.com`, and the token for it.
    ///
    /// # Errors
    /// Where the address is not one, or would send the token in clear text to another machine.
    pub fn new(base_url: &str, token: Token) -> Result<Self, Error> {
        Ok(Self {
            base_url: checked(base_url)?,
            token,
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(15),
            call_timeout: Duration::from_mins(1),
            change_timeout: Duration::from_secs(15),
            patience: Duration::from_secs(20),
            max_body_bytes: 64 << 20,
            retries: Retries { tries: 4, base: Duration::from_secs(1), cap: Duration::from_secs(30) },
        })
    }
}

fn checked(text: &str) -> Result<Url, Error> {
    let wrong =
        |why: &str| Error::Config(format!("DIGITALOCEAN_API_URL {why}; the usual one is https://api.digitalocean.com"));
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("is not an address ({error})")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must not have a query or fragment"));
    }
    match url.scheme() {
        "https" => {}
        "http" if on_loopback(&url) => {}
        "http" => {
            return Err(wrong(
                "would send the token in clear text: http is only for this machine (127.0.0.1, localhost)",
            ));
        }
        _ => return Err(wrong("must begin with https://")),
    }
    // Some tools want the version in the address; here it belongs to the paths.
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v2").unwrap_or(path).to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether it is an address of this machine.
pub(crate) fn on_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        host == "localhost" || address.is_some_and(|address| address.is_loopback())
    })
}

/// The client. Clones share connections, budget and counters.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    guard: Option<Guard>,
}

/// Whether a change may be sent at this moment.
type Guard = Arc<dyn Fn() -> bool + Send + Sync>;

struct Shared {
    http: reqwest::Client,
    config: Config,
    budget: Arc<Budget>,
    calls: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
}

/// What has been used so far, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls by method, path template (such as `/v2/droplets/{id}`) and status; 0 where no complete answer came.
    pub calls: BTreeMap<(&'static str, &'static str, u16), u64>,
    /// Calls left to sweeps in this minute, the reserve not counted.
    pub minute_left: usize,
    /// Calls left to sweeps in this hour, the reserve not counted.
    pub hour_left: usize,
    /// Calls that sweeps may make in any minute.
    pub minute_limit: usize,
    /// Calls that sweeps may make in any hour.
    pub hour_limit: usize,
    /// How long all calls wait because DigitalOcean said so (429).
    pub paused: Option<Duration>,
}

/// Takes the rows of a list.
pub(super) trait Rows {
    /// The list begins, maybe not for the first time: what came before does not count.
    fn begin(&mut self);
    /// A resource's id within its parent, and its document.
    fn row(&mut self, id: &str, document: &str);
}

/// One call: what it does, where, and how it is called in messages and metrics.
pub(super) struct Call<'a> {
    /// What it changes things by; nothing for a read.
    change: Option<(Verb, Option<&'a Value>)>,
    url: Url,
    /// The path with its placeholders.
    route: &'static str,
    /// The token's scope that it needs.
    scope: &'static str,
    priority: Priority,
    /// Until when it waits for the budget; as long as it takes where nothing is said.
    give_up: Option<Instant>,
}

impl Client {
    /// A client with its own connections and budget. Install a rustls provider first.
    ///
    /// # Errors
    /// Where the settings cannot work, or no rustls provider is installed.
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
        let http = builder.build().map_err(|error| Error::Config(format!("no HTTP client: {}", chain(&error))))?;
        config.token.header()?;
        let budget = Budget::new(config.limits);
        Ok(Self { shared: Arc::new(Shared { http, config, budget, calls: Mutex::default() }), guard: None })
    }

    /// The same client, which sends a change only while it may: that is asked right before each.
    #[must_use]
    pub fn guarded(&self, may_change: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { guard: Some(Arc::new(may_change)), ..self.clone() }
    }

    /// The document of one resource as text; nothing where it does not exist (404).
    ///
    /// # Errors
    /// Where no trustworthy answer came.
    pub async fn get(&self, key: &ResourceKey, priority: Priority) -> Result<Option<String>, Error> {
        let format = key.kind.id_format();
        if !format.admits(&key.id) {
            return Err(Error::BadId { resource: key.to_string(), says: format.says() });
        }
        let row = key.kind.row();
        let (parent, id) = key.parts();
        let url = self.url(&row.get.path, parent, Some(id), &[])?;
        let call = Call::reading(url, &row.get.path, &row.scope, priority);
        let Some(body) = self.read(&call).await? else { return Ok(None) };
        let text = utf8(&body).map_err(|why| self.malformed(&call, &why))?;
        let document = pages::unwrap(text, &row.get.key).map_err(|why| self.malformed(&call, &why))?;
        if !is_about(document, row, id) {
            let why = format!("its {} is not the requested one", row.id.field);
            return Err(self.malformed(&call, &why));
        }
        Ok(Some(document.to_owned()))
    }

    /// A part of a document that another path shows, as text.
    ///
    /// # Errors
    /// Where no trustworthy answer came.
    pub(super) async fn part(
        &self,
        key: &ResourceKey,
        reading: &'static Reading,
        priority: Priority,
    ) -> Result<String, Error> {
        let format = key.kind.id_format();
        if !format.admits(&key.id) {
            return Err(Error::BadId { resource: key.to_string(), says: format.says() });
        }
        let (parent, id) = key.parts();
        let url = self.url(&reading.get.path, parent, Some(id), &[])?;
        let call = Call::reading(url, &reading.get.path, &key.kind.row().scope, priority);
        let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
        let text = utf8(&body).map_err(|why| self.malformed(&call, &why))?;
        let part = pages::under(text, &reading.get.key).map_err(|why| self.malformed(&call, &why))?;
        Ok(part.to_owned())
    }

    /// Reads all pages of a list of parts and hands each on by the id of its resource. The number of pages.
    ///
    /// # Errors
    /// Where the list could not be read in full; the parts handed on until then must not be used.
    pub(super) async fn parts(
        &self,
        kind: Kind,
        list: &'static PartList,
        rows: &mut (impl Rows + Send),
    ) -> Result<usize, Error> {
        let walk = Walk {
            path: &list.path,
            key: &list.key,
            id_field: &list.id,
            shape: Shape::Map,
            is_paged: true,
            scope: &kind.row().scope,
            parent: None,
            query: "",
            priority: Priority::Sweep,
        };
        for _ in 0..WALKS {
            rows.begin();
            if let Some(walked) = self.walk(&walk, rows).await?.filter(|walked| walked.is_whole(walked.rows)) {
                return Ok(walked.pages);
            }
        }
        Err(Error::Shifting { doing: format!("GET {}", list.path), walks: WALKS })
    }

    /// Whether the token has a scope, such as `tag:read`; nothing where no path shows it.
    ///
    /// # Errors
    /// Where no trustworthy answer came.
    pub(super) async fn has_scope(&self, scope: &'static str, priority: Priority) -> Result<Option<bool>, Error> {
        let of_kind = Kind::all().map(Kind::row).find(|row| row.scope == scope && !row.list.path.contains('{'));
        let path = match (of_kind, scope) {
            (Some(row), _) => row.list.path.as_str(),
            (None, "tag:read") => "/v2/tags",
            (None, _) => return Ok(None),
        };
        let url = self.url(path, None, None, &[("page", "1"), ("per_page", "1")])?;
        match self.read(&Call::reading(url, path, scope, priority)).await {
            Ok(_) => Ok(Some(true)),
            Err(Error::Forbidden { .. }) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// The account that the token belongs to.
    ///
    /// # Errors
    /// Where no trustworthy answer came; [`Error::Forbidden`] where the token may not know.
    pub(super) async fn account(&self, priority: Priority) -> Result<Account, Error> {
        let route = "/v2/account";
        let url = self.url(route, None, None, &[])?;
        let call = Call::reading(url, route, "account:read", priority);
        let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
        self.json::<account::Said>(&call, &body).map(Account::from)
    }

    /// Changes whenever the token does.
    pub(super) fn token_version(&self) -> u64 {
        self.shared.config.token.version()
    }

    /// How many calls sweeps may make in any hour.
    pub(super) fn hour_limit(&self) -> usize {
        self.shared.config.limits.of_hour(Priority::Sweep)
    }

    /// Reads all pages of a kind's lists and hands each row on. How many resources there are, on how many pages.
    ///
    /// # Errors
    /// Where the list could not be read in full; the rows handed on until then must not be used.
    pub(super) async fn list(
        &self,
        kind: Kind,
        parent: Option<&str>,
        rows: &mut (impl Rows + Send),
        priority: Priority,
    ) -> Result<Listed, Error> {
        let row = kind.row();
        for _ in 0..WALKS {
            rows.begin();
            let mut walked = Vec::new();
            for query in &row.walks {
                let walk = Walk {
                    path: &row.list.path,
                    key: &row.list.key,
                    id_field: &row.id.field,
                    shape: Shape::List,
                    is_paged: row.paged,
                    scope: &row.scope,
                    parent,
                    query,
                    priority,
                };
                let Some(one) = self.walk(&walk, rows).await? else { break };
                walked.push(one);
            }
            let rows = walked.iter().map(|walked| walked.rows).sum();
            if walked.len() == row.walks.len() && walked.iter().all(|walked| walked.is_whole(rows)) {
                return Ok(Listed { rows, pages: walked.iter().map(|walked| walked.pages).sum() });
            }
        }
        Err(Error::Shifting { doing: format!("GET {}", kind.row().list.path), walks: WALKS })
    }

    /// What has been used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let left = self.shared.budget.left();
        let calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
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

    /// Reads the pages of one list once. Nothing where rows shifted between pages.
    async fn walk(&self, walk: &Walk<'_>, rows: &mut (impl Rows + Send)) -> Result<Option<Walked>, Error> {
        // Hashes rather than ids: 8 bytes each, and a collision costs one more walk at worst.
        let hasher = RandomState::new();
        let mut seen: HashSet<u64> = HashSet::new();
        let mut first_total = None;
        let mut number = 1;
        for pages in 1..=MOST_PAGES {
            let number_text = number.to_string();
            let mut parameters: Vec<(&str, &str)> = walk.query.split_once('=').into_iter().collect();
            if walk.is_paged {
                parameters.extend([("page", number_text.as_str()), ("per_page", PER_PAGE)]);
            }
            let url = self.url(walk.path, walk.parent, None, &parameters)?;
            let call = Call::reading(url, walk.path, walk.scope, walk.priority);
            let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
            let mut doubled = false;
            let text = utf8(&body).map_err(|why| self.malformed(&call, &why))?;
            let page = pages::read(text, walk.key, walk.shape, Some(walk.id_field), |id, document| {
                doubled |= !seen.insert(hasher.hash_one(id));
                rows.row(id, document);
                Ok(())
            });
            let page = page.map_err(|why| self.malformed(&call, &why))?;
            let total = *first_total.get_or_insert(page.total);
            let count = u64::try_from(seen.len()).unwrap_or(u64::MAX);
            if doubled || page.total != total || total.is_some_and(|total| count > total) {
                return Ok(None);
            }
            if !walk.is_paged || !page.has_more(seen.len()) {
                return Ok(Some(Walked { rows: seen.len(), total, pages }));
            }
            number = page.number_after(number).map_err(|why| self.malformed(&call, &why))?;
        }
        Err(Error::Malformed { doing: format!("GET {}", walk.path), why: "its pages do not end".into() })
    }

    /// A call that a saga waits for.
    ///
    /// # Errors
    /// Where the path's ids would form another path.
    pub(super) fn urgent<'a>(
        &self,
        path: Path<'_>,
        query: &[(&str, &str)],
        change: Option<(Verb, Option<&'a Value>)>,
    ) -> Result<Call<'a>, Error> {
        path.check()?;
        let url = self.url(path.route, path.parent, path.id, query)?;
        let give_up = Some(Instant::now() + self.shared.config.patience);
        Ok(Call { change, url, route: path.route, scope: path.scope, priority: Priority::Urgent, give_up })
    }

    /// Reads a page of a list, as [`pages::read`] does. The next page is always this list's own with the next number.
    pub(super) fn page(
        &self,
        call: &Call<'_>,
        body: &[u8],
        key: &str,
        id_field: Option<&str>,
        row: impl FnMut(&str, &str) -> Result<(), String>,
    ) -> Result<Page, Error> {
        let text = utf8(body).map_err(|why| self.malformed(call, &why))?;
        pages::read(text, key, Shape::List, id_field, row).map_err(|why| self.malformed(call, &why))
    }

    fn url(
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

    /// Makes a call until it is answered or retrying is pointless. Nothing for a 404.
    pub(super) async fn read(&self, call: &Call<'_>) -> Result<Option<Vec<u8>>, Error> {
        let Retries { tries, base, cap } = self.shared.config.retries;
        let pauses = ExponentialBuilder::default()
            .with_min_delay(base)
            .with_max_delay(cap)
            .with_max_times(usize::try_from(tries.saturating_sub(1)).unwrap_or(0));
        let tried = AtomicU32::new(0);
        (|| self.once(call, tried.fetch_add(1, Ordering::Relaxed) + 1))
            .retry(pauses)
            // What waited for the budget in vain has waited long enough.
            .when(|error| error.retryable() && !matches!(error, Error::NoBudget { .. }))
            .adjust(|error, pause| match error {
                // The budget waits, for all calls of the token.
                Error::RateLimited { .. } => pause.map(|_| Duration::ZERO),
                _ => pause.map(|pause| pause.mul_f64(rand::random())),
            })
            .await
    }

    /// Makes a call once; it is the `tries`th time. Nothing for a 404.
    pub(super) async fn once(&self, call: &Call<'_>, tries: u32) -> Result<Option<Vec<u8>>, Error> {
        let shared = &*self.shared;
        let lane = kinds::own_limit(call.route);
        let permit = self.permit(call, lane).await?;
        if call.change.is_some() && self.guard.as_ref().is_some_and(|may_change| !may_change()) {
            return Err(Error::TooLate { doing: call.doing() });
        }
        let mut status = 0;
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
            if let (None, Some(told)) = (lane, told(response.headers())) {
                shared.budget.told(told);
            }
            if (200..300).contains(&status) {
                let body = self.body(call, response, shared.config.max_body_bytes, tries).await;
                if body.is_err() {
                    status = 0;
                }
                return body.map(Some);
            }
            if status == 404 {
                return self.not_there(call, response, tries).await.map(|()| None);
            }
            Err(self.refused(call, response, tries).await)
        }
        .await;
        drop(permit);
        let counted = (call.method().as_str(), call.route, status);
        *shared.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(counted).or_default() += 1;
        outcome
    }

    /// Waits for the budget, as long as the call has patience.
    async fn permit(&self, call: &Call<'_>, lane: Option<Lane>) -> Result<Permit, Error> {
        let permit = self.shared.budget.acquire(call.priority, lane);
        let Some(give_up) = call.give_up else { return Ok(permit.await) };
        let none_came = |_| Error::NoBudget { doing: call.doing(), waited: self.shared.config.patience };
        timeout_at(give_up, permit).await.map_err(none_came)
    }

    async fn body(&self, call: &Call<'_>, mut response: Response, limit: usize, tries: u32) -> Result<Vec<u8>, Error> {
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

    /// Whether a 404 is the API's own. One from a proxy or a wrong address would make everything look deleted.
    async fn not_there(&self, call: &Call<'_>, response: Response, tries: u32) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Said {
            id: String,
        }
        let body = self.body(call, response, ERROR_BODY_BYTES, tries).await?;
        match serde_json::from_slice(&body) {
            Ok(Said { id }) if !id.is_empty() => Ok(()),
            _ => Err(self.malformed(call, "it is a 404 without the id that the API's errors have")),
        }
    }

    /// The error for an answer that says no; a 429 makes all calls of the token wait.
    async fn refused(&self, call: &Call<'_>, response: Response, tries: u32) -> Error {
        #[derive(Default, Deserialize)]
        struct Said {
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
                self.shared.budget.pause(wait);
                return Error::RateLimited { doing, wait };
            }
            _ => {}
        }
        let mut request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
        let body = self.body(call, response, ERROR_BODY_BYTES, tries).await.unwrap_or_default();
        let said: Said = serde_json::from_slice(&body).unwrap_or_default();
        request_id = request_id.or(said.request_id);
        let message = said.message.map_or_else(|| "it does not say why".to_owned(), |message| self.clean(&message));
        if let Some(request_id) = request_id.map(|id| self.clean(&id)) {
            // DigitalOcean's support asks for it.
            tracing::info!(call = doing, status, request_id, why = message, "DigitalOcean refused a call");
        }
        match status {
            401 => Error::Unauthorized { doing },
            403 => Error::Forbidden { doing, message, scope: call.scope },
            500.. => Error::Server { doing, status, tries },
            _ => Error::Refused { doing, status, message },
        }
    }

    /// The error for a call that got no complete answer.
    fn broken(&self, call: &Call<'_>, error: &reqwest::Error, tries: u32) -> Error {
        let is_connected = !error.is_connect();
        if is_connected && error.is_timeout() {
            return Error::Timeout { doing: call.doing(), tries };
        }
        Error::Connection { doing: call.doing(), why: self.clean(&chain(error)), tries, is_connected }
    }

    /// The JSON of an answer.
    pub(super) fn json<T: DeserializeOwned>(&self, call: &Call<'_>, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| self.malformed(call, &error.to_string()))
    }

    /// The error for an answer that is not what the API documents. Why can hold parts of it.
    pub(super) fn malformed(&self, call: &Call<'_>, why: &str) -> Error {
        Error::Malformed { doing: call.doing(), why: self.clean(why) }
    }

    /// Text from outside, fit for a message: without the token, on one line, not too long.
    fn clean(&self, text: &str) -> String {
        let text = self.shared.config.token.redact(text);
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(300).collect()
    }
}

impl Call<'static> {
    /// A read that waits for the budget as long as it takes.
    fn reading(url: Url, route: &'static str, scope: &'static str, priority: Priority) -> Self {
        Self { change: None, url, route, scope, priority, give_up: None }
    }
}

impl Call<'_> {
    pub(super) fn doing(&self) -> String {
        format!("{} {}", self.method(), self.url.path())
    }

    pub(super) fn not_found(&self) -> Error {
        Error::NotFound { doing: self.doing() }
    }

    fn method(&self) -> &'static Method {
        self.change.map_or(&Method::GET, |(verb, _)| verb.method())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.shared.config.base_url)
    }
}

fn utf8(body: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))
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

/// Whether a document is of the resource that was asked for. What a proxy or a cache mixed up must not pass for it.
fn is_about(document: &str, row: &kinds::Row, id: &str) -> bool {
    let has = |field: &str| pages::id_of(document, field).is_some_and(|found| found.eq_ignore_ascii_case(id));
    has(&row.id.field) || (row.id.format == IdFormat::DigitsOrSlug && has("slug"))
}

/// What a kind's lists hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Resources.
    pub(super) rows: usize,
    /// Pages, each of which took a call.
    pub(super) pages: usize,
}

/// One list to read.
struct Walk<'a> {
    path: &'static str,
    key: &'static str,
    id_field: &'static str,
    shape: Shape,
    is_paged: bool,
    scope: &'static str,
    parent: Option<&'a str>,
    /// One more query parameter; none where empty.
    query: &'a str,
    priority: Priority,
}

/// What reading one list came to.
struct Walked {
    rows: usize,
    total: Option<u64>,
    pages: usize,
}

impl Walked {
    /// Every row was there. Whether the total of droplets counts those that only another list shows is nowhere
    /// documented, so it may be reached by all lists together: `listed`.
    fn is_whole(&self, listed: usize) -> bool {
        let [rows, listed] = [self.rows, listed].map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
        self.total.is_none_or(|total| rows == total || (rows < total && total <= listed))
    }
}

fn told(headers: &HeaderMap) -> Option<Told> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
    Some(Told { limit: number("ratelimit-limit")?, remaining: number("ratelimit-remaining")?, reset: reset(headers)? })
}

/// How long to wait after a 429.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    // The reset is the hourly limit's; where that has calls left, another limit refused and does not say for how long.
    let is_hourly = || told(headers).is_none_or(|told| told.remaining == 0);
    let hourly = || is_hourly().then(|| reset(headers)).flatten();
    seconds.or_else(|| until(headers, date(headers, &RETRY_AFTER)?)).or_else(hourly)
}

/// In how long the oldest call leaves the server's window.
fn reset(headers: &HeaderMap) -> Option<Duration> {
    let epoch: i64 = headers.get("ratelimit-reset")?.to_str().ok()?.parse().ok()?;
    until(headers, Timestamp::from_second(epoch).ok()?)
}

/// From the answer's own date on, so that a local clock that is off does no harm.
fn until(headers: &HeaderMap, time: Timestamp) -> Option<Duration> {
    let now = date(headers, &DATE).or_else(|| Timestamp::try_from(SystemTime::now()).ok())?;
    Some(Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests;
