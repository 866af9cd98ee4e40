//! arcadia-operator: stores the desired state of cloud resources as Kubernetes objects, compares it field by field with
//! the live state, and opens one `Drift` per field that differs.
//!
//! Data flows one way: observe, decide, act. [`drift::evaluate`] and `saga::decide` decide and are pure.
//! [`drift::controller`] and [`saga::controller`] execute the decisions, and only [`digitalocean`] calls the cloud.
//! Only the steps of sagas change the cloud.

pub mod api;
mod backoff;
#[cfg(feature = "cli")]
pub mod cli;
mod comparison;
pub mod config;
pub mod digitalocean;
pub mod drift;
mod failpoint;
mod health;
pub mod kube_ext;
mod liveness;
pub mod manifests;
mod nearest;
pub mod operator;
pub mod probe;
mod process;
pub mod saga;
mod schedule;
pub mod telemetry;
