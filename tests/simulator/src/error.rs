//! Errors around the simulated API. Errors of the API are responses with a status.

use std::{net::SocketAddr, path::PathBuf};

/// An error of starting a simulator, or of its control API.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is in use or does not belong to this machine.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The inventory cannot be read.
    #[error("cannot read the inventory {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The inventory is not `{"collection": [document, ..]}`.
    #[error("the inventory {} is invalid for --load: {reason}", path.display())]
    Inventory {
        /// The file.
        path: PathBuf,
        /// The fault and its position.
        reason: String,
    },
    /// The simulator cannot be reached.
    #[error("cannot reach the simulator at {url}: {reason}")]
    Unreachable {
        /// The simulator's address.
        url: String,
        /// The error of the connection.
        reason: String,
    },
    /// The control API refused.
    #[error("the simulator refused {request}: {status} {message}")]
    Refused {
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// Its message.
        message: String,
    },
}
