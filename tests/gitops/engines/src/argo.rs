//! Argo CD: compares and syncs as the application controller does for an application with automated sync.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error,
    rounds::{Engine, Loop, Round},
};

/// An application and its sync options. The default is Argo CD's: client-side apply and comparison, no self-heal, and no
/// pruning.
#[derive(Debug, Clone)]
pub struct Argo {
    /// The name of the application.
    pub application: String,
    /// The mark on its objects.
    pub tracking: Tracking,
    /// The sync option `ServerSideApply=true`.
    pub server_side: bool,
    /// Compare by a server-side dry run, as `ServerSideDiff=true` does.
    pub server_side_diff: bool,
    /// When to sync.
    pub sync: SyncPolicy,
    /// Delete what is no longer in the folder.
    pub prune: bool,
}

impl Default for Argo {
    fn default() -> Self {
        Self {
            application: "records".to_owned(),
            tracking: Tracking::default(),
            server_side: false,
            server_side_diff: false,
            sync: SyncPolicy::default(),
            prune: false,
        }
    }
}

/// The mark that Argo CD sets on an application's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tracking {
    /// The annotation `argocd.argoproj.io/tracking-id`; the default since Argo CD 3.
    #[default]
    Annotation,
    /// The label `app.kubernetes.io/instance`; the default before.
    Label,
    /// Both.
    AnnotationAndLabel,
}

/// When Argo CD syncs an application that is [`SyncStatus::OutOfSync`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// Never: the status is only reported.
    Manual,
    /// When the manifests have changed since the last sync.
    #[default]
    Automated,
    /// Also when the cluster has changed.
    SelfHeal,
}

/// An object after a round of [`Argo`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Compared {
    /// The kind.
    pub kind: String,
    /// Empty for an object of the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The result of the comparison, before the round's sync.
    pub sync: SyncStatus,
    /// The merge patch from the live object to the synced one. None for an object that is synced, that does not exist,
    /// or that is a Secret.
    #[serde(default)]
    pub difference: Option<Value>,
    /// The result of the round's sync, if it included the object.
    #[serde(default)]
    pub result: Option<SyncResult>,
    /// The message of the sync.
    #[serde(default)]
    pub message: String,
}

/// The result of comparing an object with its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SyncStatus {
    /// The object matches its manifest.
    Synced,
    /// The object differs, or it is no longer in the folder.
    OutOfSync,
}

/// The result of a sync for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SyncResult {
    /// It was applied.
    Synced,
    /// It could not be applied.
    SyncFailed,
    /// It is no longer in the folder, and was deleted.
    Pruned,
    /// It is no longer in the folder, and stays, since the application does not prune.
    PruneSkipped,
}

impl Argo {
    /// Compares the manifests of a folder once, and syncs them if they differ.
    ///
    /// # Errors
    /// If the engine is not built or cannot run. A failed sync is reported in the round.
    pub async fn sync(&self, folder: &Path, kubeconfig: &Path) -> Result<Round<Compared>, Error> {
        self.engine(folder, kubeconfig)?.once().await
    }

    /// Compares and syncs the manifests of a folder repeatedly, with their content at the start of each round.
    ///
    /// # Errors
    /// If the engine is not built or cannot start.
    pub fn sync_loop(&self, folder: &Path, kubeconfig: &Path, interval: Duration) -> Result<Loop<Compared>, Error> {
        self.engine(folder, kubeconfig)?.repeat(interval)
    }

    fn engine(&self, folder: &Path, kubeconfig: &Path) -> Result<Engine, Error> {
        let program = control_plane::gitops_engines()?.argo_sync;
        let mut engine = Engine::new("argo-sync", &program, folder, kubeconfig);
        engine.arg(&format!("--application={}", self.application));
        engine.arg(match self.tracking {
            Tracking::Annotation => "--tracking=annotation",
            Tracking::Label => "--tracking=label",
            Tracking::AnnotationAndLabel => "--tracking=annotation+label",
        });
        engine.arg(&format!("--server-side={}", self.server_side));
        engine.arg(&format!("--server-side-diff={}", self.server_side_diff));
        engine.arg(&format!("--prune={}", self.prune));
        match self.sync {
            SyncPolicy::Manual => engine.arg("--compare-only"),
            SyncPolicy::Automated => {}
            SyncPolicy::SelfHeal => engine.arg("--self-heal"),
        }
        Ok(engine)
    }
}
