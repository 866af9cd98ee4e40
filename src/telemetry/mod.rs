//! Telemetry of the operator: logs, metrics, and the endpoints for health. It knows no controller.

pub(crate) mod http;
pub(crate) mod logs;
pub mod metrics;
