//! Telemetry of the operator: logs, metrics, and the endpoints for health. It knows no controller.

pub mod http;
pub mod logs;
pub mod metrics;
