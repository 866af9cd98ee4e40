//! The options of a simulator.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// The options of a simulator. The default is an empty account on a free loopback port.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; port 0 uses a free port.
    pub listen: SocketAddr,
    /// The only accepted token; `None` accepts every caller.
    pub token: Option<String>,
    /// The initial inventory: `{"droplets": [..], "domains/example.com/records": [..]}`.
    pub load: Option<PathBuf>,
    /// The number of generated droplets: `web-1` with id 3164444, `web-2` with the next id, and so on.
    pub droplets: usize,
    /// The limits beyond which requests are answered with 429.
    pub rate_limits: RateLimits,
    /// The duration of an action, in seconds.
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

/// Limits per token in sliding windows. 0 is no limit.
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// The burst limit; its refusal has `retry-after`.
    pub per_minute: u32,
    /// The limit of the `ratelimit-*` headers; its refusal has no `retry-after`.
    pub per_hour: u32,
    /// `GET /v2/account/keys` in 60 s.
    pub ssh_keys_per_minute: u32,
    /// `/v2/cdn/endpoints` in 10 s.
    pub cdn_per_ten_seconds: u32,
}

impl RateLimits {
    /// Limits that no client reaches, except for those of single lists.
    pub const HIGH: Self = Self { per_minute: 10_000_000, per_hour: 100_000_000, ..Self::OF_THE_API };
    /// No limits, except for those of single lists.
    pub const OFF: Self = Self { per_minute: 0, per_hour: 0, ..Self::OF_THE_API };
    const OF_THE_API: Self = Self { per_minute: 250, per_hour: 5000, ssh_keys_per_minute: 10, cdn_per_ten_seconds: 5 };
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::OF_THE_API
    }
}
