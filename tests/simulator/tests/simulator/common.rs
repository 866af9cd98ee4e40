//! A small HTTP client that shows everything a test asserts on: status, headers, body, and the error of a failed call.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use digitalocean_simulator::{Options, RateLimits, Simulator};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// A full response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A caller of one simulator.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub url: String,
    pub token: Option<String>,
}

impl Client {
    pub(crate) fn of(simulator: &Simulator) -> Self {
        Self { url: simulator.url(), token: None }
    }

    /// Returns the response, or the reason why the connection ended.
    pub(crate) async fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        self.try_send(method, path, &body.map(Value::to_string).unwrap_or_default()).await
    }

    /// Same as [`Self::try_call`], with any text as the body.
    pub(crate) async fn try_send(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        let authority = self.url.strip_prefix("http://").unwrap();
        let stream = tokio::net::TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{error:?}"))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", authority)
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, bytes })
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_call(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    /// Waits for the action in a response of 201 or 202, and returns its last status.
    pub(crate) async fn finish(&self, answer: &Answer) -> String {
        let body = answer.json();
        let id = body
            .pointer("/action/id")
            .or(body.pointer("/links/actions/0/id"))
            .unwrap_or_else(|| panic!("no action in {body}"))
            .clone();
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let action = self.get(&format!("/v2/actions/{id}")).await.json();
            let status = action["action"]["status"].as_str().unwrap().to_owned();
            if status != "in-progress" || Instant::now() > until {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The demo's inventory with fast actions and without limits.
pub(crate) fn demo() -> Options {
    Options {
        load: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fleets/demo.json")),
        action_seconds: 0.05,
        rate_limits: RateLimits { per_minute: 0, per_hour: 0, ssh_keys_per_minute: 0, cdn_per_ten_seconds: 0 },
        ..Options::default()
    }
}

/// Waits for all actions in progress of the demo.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(70)).await;
}

pub(crate) async fn start(options: Options) -> (Simulator, Client) {
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    (simulator, client)
}
