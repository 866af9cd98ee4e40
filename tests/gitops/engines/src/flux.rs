//! Flux: applies as kustomize-controller does, server side and by force.

use std::{path::Path, time::Duration};

use serde::Deserialize;

use crate::{
    Error,
    rounds::{Engine, Loop, Round},
};

/// A Kustomization. Its objects get its name and namespace as labels.
#[derive(Debug, Clone)]
pub struct Flux {
    /// The name of the Kustomization.
    pub name: String,
    /// The namespace of the Kustomization, not of the objects.
    pub namespace: String,
    /// A loop deletes the objects of its earlier rounds that are no longer in the folder.
    pub prune: bool,
}

impl Default for Flux {
    fn default() -> Self {
        Self { name: "records".to_owned(), namespace: "flux-system".to_owned(), prune: false }
    }
}

/// An object after a round of [`Flux`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Applied {
    /// The kind.
    pub kind: String,
    /// Empty for an object of the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The change that the round made.
    pub action: Action,
}

/// The change that Flux made to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It did not exist.
    Created,
    /// It differed from the manifest, and was applied.
    Configured,
    /// The dry run showed no difference, and nothing was written.
    Unchanged,
    /// A label or annotation excludes it.
    Skipped,
    /// It is no longer in the folder.
    Deleted,
}

impl Flux {
    /// Applies the manifests of a folder once.
    ///
    /// # Errors
    /// If the engine is not built or cannot run. A failed apply is reported in the round.
    pub async fn apply(&self, folder: &Path, kubeconfig: &Path) -> Result<Round<Applied>, Error> {
        self.engine(folder, kubeconfig)?.once().await
    }

    /// Applies the manifests of a folder repeatedly, with their content at the start of each round.
    ///
    /// # Errors
    /// If the engine is not built or cannot start.
    pub fn apply_loop(&self, folder: &Path, kubeconfig: &Path, interval: Duration) -> Result<Loop<Applied>, Error> {
        self.engine(folder, kubeconfig)?.repeat(interval)
    }

    fn engine(&self, folder: &Path, kubeconfig: &Path) -> Result<Engine, Error> {
        let program = control_plane::gitops_engines()?.flux_apply;
        let mut engine = Engine::new("flux-apply", &program, folder, kubeconfig);
        engine.arg(&format!("--name={}", self.name));
        engine.arg(&format!("--namespace={}", self.namespace));
        engine.arg(&format!("--prune={}", self.prune));
        Ok(engine)
    }
}
