//! Finds the programs: in `KUBEBUILDER_ASSETS`, or in the cache that `prepare` fills.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Error,
    pins::{ACTIONLINT, CONTROL_PLANE, GITOPS_ENGINES, HELM, Pins, release_of},
    programs::{CONTROLLER_MANAGER, variable},
};

/// The programs of a control plane.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The folder that contains all of them.
    pub folder: PathBuf,
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection, namespace deletion, Jobs. Folders of envtest do not contain it.
    pub kube_controller_manager: Option<PathBuf>,
    /// The command-line client.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Returns the programs in `folder`, or the path of the first missing one.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, PathBuf> {
        let existing = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { Ok(path) } else { Err(path) }
        };
        Ok(Self {
            folder: folder.to_owned(),
            etcd: existing("etcd")?,
            kube_apiserver: existing("kube-apiserver")?,
            kube_controller_manager: existing(CONTROLLER_MANAGER).ok(),
            kubectl: existing("kubectl")?,
        })
    }

    pub(crate) fn controller_manager(&self) -> Result<&Path, Error> {
        self.kube_controller_manager
            .as_deref()
            .ok_or_else(|| Error::NoControllerManager { missing: self.folder.join(CONTROLLER_MANAGER) })
    }
}

/// Finds the programs without building anything.
///
/// # Errors
/// [`Error::NotPrepared`] names the remedy in one line, if a program is missing.
pub fn find() -> Result<Binaries, Error> {
    let Some(folder) = assets() else {
        return Binaries::in_folder(&CONTROL_PLANE.cache()?).map_err(|missing| Error::NotPrepared { missing });
    };
    let mut binaries = Binaries::in_folder(&folder).map_err(|missing| Error::AssetsIncomplete { missing })?;
    check_release(&binaries)?;
    if binaries.kube_controller_manager.is_none() {
        // setup-envtest does not download it; the built one works as well.
        binaries.kube_controller_manager =
            Some(CONTROL_PLANE.cache()?.join(CONTROLLER_MANAGER)).filter(|path| path.is_file());
    }
    Ok(binaries)
}

/// Fails unless the API server is of the pinned minor release: the features of a release differ, and a controller
/// manager must not be newer than the API server.
///
/// Returns its version.
pub(crate) fn check_release(binaries: &Binaries) -> Result<String, Error> {
    let program = &binaries.kube_apiserver;
    let running = Command::new(program).arg("--version").output();
    let printed = running.map_err(Error::system(format!("run {}", program.display())))?.stdout;
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    let found = printed.strip_prefix("Kubernetes ").unwrap_or(&printed).to_owned();
    let wanted = CONTROL_PLANE.release()?;
    if release_of(&found) == wanted {
        return Ok(found);
    }
    Err(Error::OtherRelease { folder: binaries.folder.clone(), found, wanted })
}

/// Finds the pinned Helm without building it.
///
/// # Errors
/// [`Error::NotBuilt`] names the command that builds it.
pub fn helm() -> Result<PathBuf, Error> {
    built(&HELM, "helm")
}

/// The programs that apply a folder of manifests as GitOps controllers do. The crate `gitops-engines` runs them.
#[derive(Debug, Clone)]
pub struct GitOpsEngines {
    /// Applies as Flux's kustomize-controller does.
    pub flux_apply: PathBuf,
    /// Compares and syncs as Argo CD's application controller does.
    pub argo_sync: PathBuf,
}

/// Finds the GitOps engines without building them.
///
/// # Errors
/// [`Error::NotBuilt`] names the command that builds them.
pub fn gitops_engines() -> Result<GitOpsEngines, Error> {
    let engine = |name| built(&GITOPS_ENGINES, name);
    Ok(GitOpsEngines { flux_apply: engine("flux-apply")?, argo_sync: engine("argo-sync")? })
}

/// Finds the pinned actionlint without building it.
///
/// # Errors
/// [`Error::NotBuilt`] names the command that builds it.
pub fn actionlint() -> Result<PathBuf, Error> {
    built(&ACTIONLINT, "actionlint")
}

pub(crate) fn built(pins: &Pins, program: &'static str) -> Result<PathBuf, Error> {
    let place = pins.cache()?.join(program);
    if place.is_file() { Ok(place) } else { Err(Error::NotBuilt { program, missing: place }) }
}

/// The folder that `KUBEBUILDER_ASSETS` names.
pub(crate) fn assets() -> Option<PathBuf> {
    variable("KUBEBUILDER_ASSETS")
}

/// The kubeconfig of an existing cluster, from `ARCADIA_TEST_KUBECONFIG`. With it, no server is started.
#[must_use]
pub fn given_cluster() -> Option<PathBuf> {
    variable("ARCADIA_TEST_KUBECONFIG")
}

/// The variable with the kubeconfig of a control plane that several test programs share.
pub const SHARED: &str = "ARCADIA_TEST_SHARED_KUBECONFIG";

/// The kubeconfig in [`SHARED`].
pub(crate) fn shared_cluster() -> Option<PathBuf> {
    variable(SHARED)
}
