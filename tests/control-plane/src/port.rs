//! A port for a server that must keep it over a restart.

use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt as _;

use crate::Error;

/// A port on loopback that nobody listens on now.
///
/// It lies below the range from which Linux and macOS take the ports of outgoing connections (32768 and up): while
/// the server is stopped, no connection of a test can take it. Two processes may still find the same port at the
/// same moment, so a server that cannot bind is started again on another.
pub(crate) fn free() -> Result<u16, Error> {
    let mut random = rand::rng();
    (0..100)
        .map(|_| random.random_range(20_000..30_000))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or(Error::NoPort)
}
