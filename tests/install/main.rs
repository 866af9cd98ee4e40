//! The installation: what the chart renders and refuses, that chart and kustomize install the same, and that a real API
//! server takes it all, by the real Helm and kubectl.
//!
//! `UPDATE_GOLDEN=1 cargo test --test install` writes what the chart renders to `golden/`, to be read in the diff.
#![cfg(test)]

mod actions;
mod agreement;
mod argocd;
mod cluster;
mod golden;
mod helm;
mod kustomize;
mod monitoring;
mod release;
mod values;
