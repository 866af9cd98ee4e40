//! A namespace for one test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, Kubectl, credentials};

/// A new namespace. On a control plane of the tests it ends with the server; on a given cluster it is deleted when this
/// value is dropped.
#[derive(Debug)]
pub struct Namespace {
    pub(crate) name: String,
    pub(crate) kubectl: Kubectl,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) delete_on_drop: bool,
}

impl Namespace {
    /// Its name: the given prefix and a random suffix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// kubectl in this namespace.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl.clone()
    }

    /// The administrator's kubeconfig with this namespace in its context.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client whose default namespace is this one.
    ///
    /// # Errors
    /// If the client cannot be created.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        credentials::client(&self.kubeconfig).await
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.delete_on_drop {
            let mut delete = Command::new(self.kubectl.program());
            delete.args(["delete", "namespace", &self.name, "--wait=false"]).env("KUBECONFIG", &self.kubeconfig);
            let _ = delete.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}
