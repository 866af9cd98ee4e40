//! A server for the tests of this module with scripted responses, down to the byte, so that it can also respond
//! wrongly.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Client, Config, Token};

/// The token of tests; no message may contain it.
pub(super) const TOKEN: &str = "dop_v1_very_secret";

/// The server's response to one call.
pub(super) struct FakeResponse {
    bytes: Vec<u8>,
    then: Then,
}

enum Then {
    Close,
    Keep,
    Reset,
    Hang,
    Drip,
    Flood,
}

impl FakeResponse {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "content-type: application/json", &body.to_string())
    }

    pub(super) fn text(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let bytes =
            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n\r\n{body}");
        Self { bytes: bytes.into_bytes(), then: Then::Close }
    }

    /// Closes the connection without a response.
    pub(super) fn hang_up() -> Self {
        Self { bytes: Vec::new(), then: Then::Close }
    }

    /// Resets the connection without a response.
    pub(super) fn reset() -> Self {
        Self { bytes: Vec::new(), then: Then::Reset }
    }

    /// Keeps the connection open without a response.
    pub(super) fn silence() -> Self {
        Self { bytes: Vec::new(), then: Then::Hang }
    }

    /// Cuts the response after this number of bytes.
    pub(super) fn cut(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - bytes);
        self
    }

    /// Keeps the connection for the next call.
    pub(super) fn kept(self) -> Self {
        let text = String::from_utf8(self.bytes).unwrap().replacen("connection: close", "connection: keep-alive", 1);
        Self { bytes: text.into_bytes(), then: Then::Keep }
    }

    /// Starts a valid response, then sends a byte every few milliseconds, without end.
    pub(super) fn drip() -> Self {
        Self { bytes: b"HTTP/1.1 200 X\r\n\r\n{".to_vec(), then: Then::Drip }
    }

    /// Starts a valid response, then sends data without end.
    pub(super) fn flood() -> Self {
        Self { bytes: b"HTTP/1.1 200 X\r\n\r\n{\"x\": \"".to_vec(), then: Then::Flood }
    }
}

/// A running server; it ends with the test's runtime.
pub(super) struct Fake {
    pub(super) address: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// A received call.
struct Heard {
    head: String,
    body: String,
}

impl Fake {
    /// Responds to each call with the result of `answer` for its path and query.
    pub(super) async fn start(answer: impl Fn(&str) -> FakeResponse + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&heard));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move {
                    let _ = serve(stream, &*answer, &seen).await;
                });
            }
        });
        Self { address, heard }
    }

    /// Paths and queries of the calls so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.heads().iter().map(|head| path(head).to_owned()).collect()
    }

    /// Heads of the calls so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|heard| heard.head.clone()).collect()
    }

    /// Bodies of the calls so far.
    pub(super) fn bodies(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|heard| heard.body.clone()).collect()
    }

    /// Settings for tests: quick retries and timeouts.
    pub(super) fn config(&self) -> Config {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Config::new(&self.address, Token::new(TOKEN).unwrap()).unwrap();
        config.retries.base = Duration::from_millis(1);
        config.connect_timeout = Duration::from_secs(5);
        config.read_timeout = Duration::from_secs(5);
        config.call_timeout = Duration::from_secs(10);
        config
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(impl Fn(&str) -> FakeResponse + ?Sized),
    seen: &Mutex<Vec<Heard>>,
) -> std::io::Result<()> {
    loop {
        let heard = hear(&mut stream).await?;
        let answer = answer(path(&heard.head));
        seen.lock().unwrap().push(heard);
        stream.write_all(&answer.bytes).await?;
        match answer.then {
            Then::Close => return stream.shutdown().await,
            Then::Keep => {}
            Then::Reset => return stream.set_zero_linger(),
            Then::Hang => std::future::pending().await,
            Then::Drip => loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            },
            Then::Flood => loop {
                stream.write_all(&vec![b'x'; 65_536]).await?;
            },
        }
    }
}

async fn hear(stream: &mut TcpStream) -> std::io::Result<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok(Heard { head, body: String::from_utf8(body).unwrap() })
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}
