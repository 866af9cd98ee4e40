//! What can go wrong around the simulated API (never inside it: that answers with a status).

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a simulator did not start, or why its control API refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The inventory cannot be read.
    #[error("cannot read the inventory {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The inventory is not `{"collection": [document, ..]}`.
    #[error("the inventory {} is not what --load takes: {reason}", path.display())]
    Inventory {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The simulator cannot be reached.
    #[error("cannot reach the simulator at {url}: {reason}")]
    Unreachable {
        /// The simulator's address.
        url: String,
        /// What the connection said.
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
