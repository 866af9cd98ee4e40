//! What the operator says about itself: logs, metrics, health.

pub mod http;
pub mod liveness;
pub mod logs;
pub mod metrics;
