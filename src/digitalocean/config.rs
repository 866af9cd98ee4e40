//! The settings of the client.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;

use super::{Error, Token, budget::Limits};

/// The retry policy of reads. Other calls are not retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The maximum number of attempts.
    pub tries: u32,
    /// The maximum of the first pause; it doubles with each attempt. Each pause is random between zero and the maximum.
    pub base: Duration,
    /// The maximum pause.
    pub cap: Duration,
}

/// All settings of the client. [`Config::new`] checks the address; all other fields have defaults.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) base_url: Url,
    pub(super) token: Token,
    /// The budget of the token.
    pub limits: Limits,
    /// The timeout of connecting.
    pub connect_timeout: Duration,
    /// The maximum silence of the server within a response.
    pub read_timeout: Duration,
    /// The timeout of a whole call, so that a server that sends slowly cannot hold it forever.
    pub call_timeout: Duration,
    /// The timeout of a change, from sending it to its complete response.
    pub change_timeout: Duration,
    /// The maximum wait of a saga's call for the budget.
    pub patience: Duration,
    /// The maximum size of a response, in bytes.
    pub max_body_bytes: usize,
    /// The retry policy of reads.
    pub retries: Retries,
}

impl Config {
    /// The address of the API, such as `https://api.digitalocean.com`, and the token for it.
    ///
    /// # Errors
    /// If the address is invalid, or would send the token in clear text to another machine.
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

pub(super) fn checked(text: &str) -> Result<Url, Error> {
    let wrong = |why: &str| {
        Error::Config(format!(
            "--digitalocean-api-url (DIGITALOCEAN_API_URL) {why}; the usual one is https://api.digitalocean.com"
        ))
    };
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
    // Some tools include the version in the address; here it belongs to the paths.
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v2").unwrap_or(path).to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Returns true if it is an address of this machine.
pub(crate) fn on_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        host == "localhost" || address.is_some_and(|address| address.is_loopback())
    })
}
