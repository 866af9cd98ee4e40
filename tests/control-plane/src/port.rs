//! A port for a server that must keep it over a restart.

use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt as _;

use crate::Error;

/// Returns a free port on loopback.
///
/// The port is below the range from which Linux and macOS assign the ports of outgoing connections (32768 and up), so
/// no connection of a test can take it while the server is stopped. Two processes may still find the same port at the
/// same moment. A server that cannot bind is therefore started again on another port.
pub(crate) fn free() -> Result<u16, Error> {
    let mut random = rand::rng();
    (0..100)
        .map(|_| random.random_range(20_000..30_000))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or(Error::NoPort)
}
