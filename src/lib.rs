//! arcadia-operator: keeps the desired state of cloud resources as Kubernetes objects, compares it field by field with
//! what the cloud really has, and raises one `Drift` per field that diverges.
//!
//! Data flows one way: observe, decide, act. [`drift::evaluate`] decides and is pure; [`drift::controller`] is the
//! only room that writes to Kubernetes, [`digitalocean`] the only one that speaks to the cloud.

pub mod api;
pub mod config;
pub mod digitalocean;
pub mod drift;
pub mod kube_ext;
pub mod manifests;
pub mod nearest;
pub mod operator;
pub mod saga;
pub mod schedule;
pub mod telemetry;
