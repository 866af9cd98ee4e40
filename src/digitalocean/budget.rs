//! One budget of calls for the whole token: as fast as allowed, never faster.

/// How many calls the token may make, and how many of them sweeps leave to urgent calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in any 60 seconds. DigitalOcean's own: 250.
    pub per_minute: usize,
    /// Calls in any hour. DigitalOcean's own: 5,000.
    pub per_hour: usize,
    /// Of `per_minute`, calls that only urgent calls may use.
    pub minute_reserve: usize,
    /// Of `per_hour`, calls that only urgent calls may use.
    pub hour_reserve: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_minute: 250, per_hour: 5_000, minute_reserve: 25, hour_reserve: 500 }
    }
}
