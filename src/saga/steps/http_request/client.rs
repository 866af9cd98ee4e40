//! The HTTP client for calls to services. It has no token.

use std::{
    env,
    error::Error,
    iter,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use reqwest::{
    Client, NoProxy, Proxy,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};

use super::service::is_forbidden;

/// The timeout of a call.
pub(super) const LIMIT: Duration = Duration::from_secs(15);
/// The timeout of a connection attempt.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A client for calls to the users' own services. It follows no redirects and resolves no name to a forbidden address.
/// Install a rustls provider first.
///
/// # Errors
/// When the environment names an invalid proxy, or no rustls provider is installed.
pub fn http_client() -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(concat!("arcadia-operator/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .timeout(LIMIT)
        .dns_resolver(Careful);
    match proxy()? {
        Some(proxy) => builder.proxy(proxy),
        None => builder.no_proxy(),
    }
    .build()
}

/// The proxy from the environment. Calls to the operator's own machine bypass it, since the proxy would call its own. The
/// proxy resolves the names of all other calls, so it also decides which addresses these reach.
fn proxy() -> Result<Option<Proxy>, reqwest::Error> {
    let named = |names: [&str; 2]| names.into_iter().find_map(|name| env::var(name).ok()).filter(|it| !it.is_empty());
    let Some(proxy) = named(["HTTPS_PROXY", "https_proxy"]).or_else(|| named(["ALL_PROXY", "all_proxy"])) else {
        return Ok(None);
    };
    let direct = named(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    let direct = NoProxy::from_string(&format!("localhost,127.0.0.0/8,::1,{direct}"));
    Ok(Some(Proxy::https(proxy)?.no_proxy(direct)))
}

/// Resolves names and omits forbidden addresses.
struct Careful;

impl Resolve for Careful {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(allowed(&host, found)?)
        })
    }
}

/// Only the names of this machine resolve to it: any other name could be pointed there.
fn allowed(host: &str, found: Vec<SocketAddr>) -> Result<Addrs, Forbidden> {
    let is_allowed =
        |address: IpAddr| !is_forbidden(address) && (host == "localhost" || !address.to_canonical().is_loopback());
    let (allowed, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| is_allowed(address.ip()));
    match (allowed.is_empty(), rest.first()) {
        (true, Some(forbidden)) => Err(Forbidden { host: host.to_owned(), address: forbidden.ip() }),
        _ => Ok(Box::new(allowed.into_iter())),
    }
}

/// A name resolves to forbidden addresses only.
#[derive(Debug, thiserror::Error)]
#[error("{host} resolves to {address}, which must not be called")]
pub(super) struct Forbidden {
    host: String,
    address: IpAddr,
}

impl Forbidden {
    /// Returns true if a call failed for this reason.
    pub(super) fn is_cause_of(error: &reqwest::Error) -> bool {
        iter::successors(error.source(), |&error| error.source()).any(<dyn Error>::is::<Self>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(host: &str, found: &[&str]) -> Result<Vec<String>, String> {
        let found = found.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        let addresses = allowed(host, found).map_err(|error| error.to_string())?;
        Ok(addresses.map(|address| address.ip().to_string()).collect())
    }

    #[test]
    fn a_name_leads_to_no_address_that_is_not_called() {
        assert_eq!(
            kept("example.com", &["192.0.2.1", "169.254.169.254", "2001:db8::1"]).unwrap(),
            ["192.0.2.1", "2001:db8::1"]
        );
        let refused = "evil.example resolves to 169.254.169.254, which must not be called";
        assert_eq!(kept("evil.example", &["169.254.169.254", "fe80::1"]).unwrap_err(), refused);
        assert!(kept("evil.example", &["127.0.0.1", "::1", "::ffff:127.0.0.1"]).is_err());
        assert_eq!(kept("localhost", &["127.0.0.1", "::1"]).unwrap(), ["127.0.0.1", "::1"]);
        assert_eq!(kept("example.com", &[]).unwrap(), [""; 0]);
    }

    struct Forbids;

    impl Resolve for Forbids {
        fn resolve(&self, name: Name) -> Resolving {
            let found = vec!["169.254.169.254:0".parse().unwrap()];
            Box::pin(async move { Ok(allowed(name.as_str(), found)?) })
        }
    }

    #[tokio::test]
    async fn a_call_to_a_forbidden_address_names_the_reason() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().dns_resolver(Forbids).build().unwrap();
        let error = client.get("https://evil.example").send().await.unwrap_err();
        assert!(Forbidden::is_cause_of(&error), "{error:?}");
        let error = http_client().unwrap().get("http://127.0.0.1:1").send().await.unwrap_err();
        assert!(!Forbidden::is_cause_of(&error), "{error:?}");
    }
}
