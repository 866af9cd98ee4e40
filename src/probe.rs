//! `arcadia-operator probe`: one request to a running operator, for `helm test` and for images without a shell.

use std::time::Duration;

use http::StatusCode;
use reqwest::Url;

/// The time limit of the request: longer than the operator's own checks take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reason why a probe fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The argument is no URL that an operator serves.
    #[error(
        "reading URL {url:?}: it must begin with http://, as in http://arcadia-operator.arcadia-system.svc:8080/readyz"
    )]
    Url {
        /// The argument.
        url: String,
    },
    /// No complete response arrived.
    #[error("requesting {url}: {reason}; check that the operator runs and that a NetworkPolicy admits this client")]
    NoResponse {
        /// The URL.
        url: Url,
        /// The error of the client with its causes.
        reason: String,
    },
    /// The operator reports a failed check.
    #[error("requesting {url}: {status}: {text}")]
    Unhealthy {
        /// The URL.
        url: Url,
        /// The status of the response.
        status: StatusCode,
        /// The text of the response.
        text: String,
    },
}

/// Requests a URL once.
///
/// # Errors
/// If the response does not have status 200.
pub async fn run(url: &str) -> Result<(), Error> {
    let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "http");
    let url = parsed.ok_or_else(|| Error::Url { url: url.to_owned() })?;
    let failed = |error: reqwest::Error| Error::NoResponse { url: url.clone(), reason: causes(&error.without_url()) };
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A proxy is for the cloud, not for the operator.
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().map_err(failed)?;
    let response = client.get(url.clone()).send().await.map_err(failed)?;
    let status = response.status();
    let text = response.text().await.map_err(failed)?;
    println!("{}", text.trim_end());
    if status == StatusCode::OK {
        Ok(())
    } else {
        Err(Error::Unhealthy { url, status, text: text.trim_end().to_owned() })
    }
}

fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.extend([": ".to_owned(), error.to_string()]);
        cause = error.source();
    }
    text
}
