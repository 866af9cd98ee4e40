//! The installation: the output and the refusals of the chart, the agreement of chart and kustomize, and the acceptance
//! of all objects by a real API server, with the real Helm and kubectl.
//!
//! `UPDATE_GOLDEN=1 cargo test --test install` writes the output of the chart to `golden/`, to be read in the diff.
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
