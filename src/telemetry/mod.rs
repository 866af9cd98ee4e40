//! Telemetry of the operator: logs, metrics, health.

pub mod http;
pub mod liveness;
pub mod logs;
pub mod metrics;
