//! A server for the tests of this room that answers byte by byte as told, so that it can also answer wrongly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, Config, Token};

/// The token of tests; no message may hold it.
pub(super) const TOKEN: &str = "dop_v1_very_secret";

/// What the server does with one call.
pub(super) struct Answer {
    bytes: Vec<u8>,
    then: Then,
}

enum Then {
    Close,
    Hang,
    Drip,
    Flood,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "content-type: application/json", &body.to_string())
    }

    pub(super) fn text(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let bytes =
            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n\r\n{body}");
        Self { bytes: bytes.into_bytes(), then: Then::Close }
    }

    /// Says nothing and hangs up.
    pub(super) fn hang_up() -> Self {
        Self { bytes: Vec::new(), then: Then::Close }
    }

    /// Says nothing and stays on the line.
    pub(super) fn silence() -> Self {
        Self { bytes: Vec::new(), then: Then::Hang }
    }

    /// Breaks off before the end.
    pub(super) fn cut(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - bytes);
        self
    }

    /// Begins well, then a byte every few milliseconds, forever.
    pub(super) fn drip() -> Self {
        Self { bytes: b"HTTP/1.1 200 X\r\n\r\n{".to_vec(), then: Then::Drip }
    }

    /// Begins well, then never ends.
    pub(super) fn flood() -> Self {
        Self { bytes: b"HTTP/1.1 200 X\r\n\r\n{\"x\": \"".to_vec(), then: Then::Flood }
    }
}

/// A running server; it ends with the test's runtime.
pub(super) struct Fake {
    pub(super) address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Answers each call by what `answer` makes of its path and query.
    pub(super) async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&heads));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move {
                    let _ = serve(stream, &*answer, &seen).await;
                });
            }
        });
        Self { address, heads }
    }

    /// Paths and queries of the calls so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.heads().iter().map(|head| path(head).to_owned()).collect()
    }

    /// Heads of the calls so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Settings that suit tests: quick retries and timeouts.
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
    answer: &(impl Fn(&str) -> Answer + ?Sized),
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let answer = answer(path(&head));
    seen.lock().unwrap().push(head);
    stream.write_all(&answer.bytes).await?;
    match answer.then {
        Then::Close => stream.shutdown().await,
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

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}
