//! What a simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// How a simulator is started. The default is an empty account on a free loopback port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The only token that is let in; `None` lets every caller in.
    pub token: Option<String>,
    /// An inventory to begin with: `{"droplets": [..], "domains/example.com/records": [..]}`.
    pub load: Option<PathBuf>,
    /// How many droplets to generate: `web-1` with id 3164444, `web-2` with the next, and so on.
    pub droplets: usize,
    /// How many requests are answered before 429.
    pub rate_limits: RateLimits,
    /// How long an action stays in progress, in seconds.
    pub action_seconds: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            load: None,
            droplets: 0,
            rate_limits: RateLimits::default(),
            action_seconds: 1.0,
        }
    }
}

/// Requests a token may make in sliding windows. 0 is no limit.
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// The burst limit: answered with `retry-after`.
    pub per_minute: u32,
    /// The limit that the `ratelimit-*` headers tell: answered without `retry-after`.
    pub per_hour: u32,
    /// `GET /v2/account/keys` in 60 s.
    pub ssh_keys_per_minute: u32,
    /// `/v2/cdn/endpoints` in 10 s.
    pub cdn_per_ten_seconds: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { per_minute: 250, per_hour: 5000, ssh_keys_per_minute: 10, cdn_per_ten_seconds: 5 }
    }
}
