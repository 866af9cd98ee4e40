//! The environment of the floor, as its arguments say it.

use std::path::PathBuf;

use clap::Args;

/// The environment of the floor.
#[derive(Args)]
pub(crate) struct Floor {
    /// The URL of the cloud
    #[arg(long)]
    pub(super) url: String,
    /// The kubeconfig of the cluster
    #[arg(long)]
    pub(super) kubeconfig: PathBuf,
    /// The namespace to write to
    #[arg(long)]
    pub(super) namespace: String,
}
