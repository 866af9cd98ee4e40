//! The errors of the GitOps engines.

use std::{fmt, io};

/// The reason why an engine could not run, or why its report could not be read.
#[derive(thiserror::Error)]
pub enum Error {
    /// The engine was not built or could not be started; the message names the remedy.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),
    /// A file or a process could not be used.
    #[error("cannot {doing}: {source}")]
    System {
        /// The operation.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The engine ended without a report of its round.
    #[error("{engine} ended without a report: {stderr}")]
    NoReport {
        /// The program's name.
        engine: &'static str,
        /// Its standard error.
        stderr: String,
    },
    /// A loop ended unexpectedly.
    #[error("{engine} ended; the end of its log:\n{log}")]
    Ended {
        /// The program's name.
        engine: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// A loop reported no round for a long time.
    #[error("{engine} reported no round within 60 s; the end of its log:\n{log}")]
    Stalled {
        /// The program's name.
        engine: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// A line of the report has an unknown form.
    #[error("cannot read the report of {engine}: {source}; the line: {line}")]
    Report {
        /// The program's name.
        engine: &'static str,
        /// The line.
        line: String,
        /// The reason.
        source: serde_json::Error,
    },
}

/// Same as its Display, since a test's `unwrap` shows this.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Error {
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
