//! Asks DigitalOcean: one client per token, with timeouts, retries, and a budget shared by all its clones.

use std::collections::BTreeMap;
use std::time::Duration;

use super::budget::Limits;
use super::{Error, ResourceKey, Token};

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
    pub(super) base_url: reqwest::Url,
    pub(super) token: Token,
    /// The budget of the token.
    pub limits: Limits,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the server may say nothing within an answer.
    pub read_timeout: Duration,
    /// How long a whole call may take, so that a server that drips cannot hold it forever.
    pub call_timeout: Duration,
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
        let base_url = reqwest::Url::parse(base_url).map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self {
            base_url,
            token,
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(15),
            call_timeout: Duration::from_mins(1),
            max_body_bytes: 64 << 20,
            retries: Retries { tries: 4, base: Duration::from_secs(1), cap: Duration::from_secs(30) },
        })
    }
}

/// The client. Clones share connections, budget and counters.
#[derive(Clone, Debug)]
pub struct Client;

/// What has been used so far, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls by path template (such as `/v2/droplets/{id}`) and status; 0 where no complete answer came.
    pub calls: BTreeMap<(&'static str, u16), u64>,
    /// Calls left to sweeps in this minute, the reserve not counted.
    pub minute_left: usize,
    /// Calls left to sweeps in this hour, the reserve not counted.
    pub hour_left: usize,
    /// How long all calls wait because DigitalOcean said so (429).
    pub paused: Option<Duration>,
}

impl Client {
    /// A client with its own connections and budget. Install a rustls provider first.
    ///
    /// # Errors
    /// Where the settings cannot work, or no rustls provider is installed.
    pub fn new(_config: Config) -> Result<Self, Error> {
        Ok(Self)
    }

    /// The document of one resource as text; nothing where it does not exist (404).
    ///
    /// # Errors
    /// Where no trustworthy answer came.
    pub async fn get(&self, _key: &ResourceKey, _priority: Priority) -> Result<Option<String>, Error> {
        Err(Error::Config("not there yet".into()))
    }

    /// What has been used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::default()
    }
}
