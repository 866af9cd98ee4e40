//! An operator as a separate process. Before it ends, its metrics are searched for tokens.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    ops::Deref,
    process::ExitStatus,
    thread,
    time::Duration,
};

use control_plane::Process;

use super::leaks::Tokens;

/// The timeout of reading its metrics; a blocked operator serves none.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running operator.
pub(crate) struct Operator {
    process: Process,
    tokens: Tokens,
}

impl Operator {
    /// Wraps a process whose output may contain none of these tokens.
    pub(crate) fn new(process: Process, tokens: Tokens) -> Self {
        Self { process, tokens }
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Sends SIGTERM, and kills it after `patience`.
    pub(crate) fn terminate(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.look_through();
        self.process.terminate(patience)
    }

    pub(crate) fn kill(&mut self) {
        self.look_through();
        self.process.kill();
    }

    /// Its metrics, if it serves them now.
    pub(crate) fn metrics(&self) -> Option<String> {
        self.answer("/metrics")
    }

    /// Its response at this path, if it serves one now.
    pub(crate) fn answer(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address()?, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The address of its metrics, from the log in either format.
    fn address(&self) -> Option<SocketAddr> {
        let log = std::fs::read_to_string(self.process.log()).ok()?;
        let line = log.lines().find(|line| line.contains("serving /livez, /readyz and /metrics"))?;
        let (_, address) = line.split_once("address=").or_else(|| line.split_once(r#""address":""#))?;
        address.split('"').next()?.trim().parse().ok()
    }

    fn look_through(&self) {
        if let Some(metrics) = self.metrics() {
            self.tokens.are_not_in("the metrics", &metrics);
        }
    }
}

impl Deref for Operator {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.look_through();
        }
    }
}
