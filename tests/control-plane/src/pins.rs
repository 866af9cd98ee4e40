//! The programs that are built from pinned Go modules: the control plane, Helm, the GitOps engines, and tools.

use std::{fmt::Write as _, path::PathBuf};

use sha2::{Digest, Sha256};

use super::programs::{CONTROLLER_MANAGER, variable};
use crate::Error;

/// A program's name and its package.
pub(crate) type Program = (&'static str, &'static str);

/// Programs of one Go module, which pins them and their dependencies.
pub(crate) struct Pins {
    /// The name of their folder in the cache.
    name: &'static str,
    /// The programs to build.
    pub(crate) programs: &'static [Program],
    /// The folder with `go.mod` and `go.sum`.
    pub(crate) folder: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    /// Source files of the module, if it has any.
    sources: &'static [&'static str],
    /// The module whose version is the version of the programs.
    module: &'static str,
    /// The values that the linker writes into the programs, which a release takes from git.
    stamps: fn(version: &str) -> Option<String>,
}

/// Kubernetes and its store.
pub(crate) const CONTROL_PLANE: Pins = Pins {
    name: "control-plane",
    programs: &[
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        (CONTROLLER_MANAGER, "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ],
    folder: env!("CARGO_MANIFEST_DIR"),
    go_mod: include_str!("../go.mod"),
    go_sum: include_str!("../go.sum"),
    sources: &[],
    module: "k8s.io/kubernetes",
    stamps: |version| {
        // Without these the server reports v0.0.0-master and clients complain.
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next()?, numbers.next()?);
        let stamp = "-X k8s.io/component-base/version.git";
        Some(format!("{stamp}Version={version} {stamp}Major={major} {stamp}Minor={minor}"))
    },
};

/// Helm.
pub(crate) const HELM: Pins = Pins {
    name: "helm",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../helm"),
    go_mod: include_str!("../../helm/go.mod"),
    go_sum: include_str!("../../helm/go.sum"),
    sources: &[],
    module: "helm.sh/helm/v4",
    stamps: |version| Some(format!("-X helm.sh/helm/v4/internal/version.version={version}")),
};

/// The engines that apply manifests as Flux and Argo CD do.
pub(crate) const GITOPS_ENGINES: Pins = Pins {
    name: "gitops-engines",
    programs: &[("flux-apply", "engines/flux-apply"), ("argo-sync", "engines/argo-sync")],
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../gitops/engines"),
    go_mod: include_str!("../../gitops/engines/go.mod"),
    go_sum: include_str!("../../gitops/engines/go.sum"),
    sources: &[
        include_str!("../../gitops/engines/argo-sync/main.go"),
        include_str!("../../gitops/engines/argo-sync/tracking.go"),
        include_str!("../../gitops/engines/flux-apply/main.go"),
        include_str!("../../gitops/engines/rounds/rounds.go"),
    ],
    module: "github.com/fluxcd/pkg/ssa",
    stamps: |_| Some(String::new()),
};

/// The tool that downloads prebuilt control planes.
pub(crate) const SETUP_ENVTEST: Pins = Pins {
    name: "setup-envtest",
    programs: &[("setup-envtest", "sigs.k8s.io/controller-runtime/tools/setup-envtest")],
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../envtest"),
    go_mod: include_str!("../../envtest/go.mod"),
    go_sum: include_str!("../../envtest/go.sum"),
    sources: &[],
    module: "sigs.k8s.io/controller-runtime/tools/setup-envtest",
    stamps: |_| Some(String::new()),
};

/// The linter of GitHub's workflow files.
pub(crate) const ACTIONLINT: Pins = Pins {
    name: "actionlint",
    programs: &[("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")],
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../actionlint"),
    go_mod: include_str!("../../actionlint/go.mod"),
    go_sum: include_str!("../../actionlint/go.sum"),
    sources: &[],
    module: "github.com/rhysd/actionlint",
    stamps: |_| Some(String::new()),
};

impl Pins {
    /// The cache folder for exactly these pins and sources: another `go.sum` uses another folder.
    pub(crate) fn cache(&self) -> Result<PathBuf, Error> {
        let home = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        let mut pins = String::new();
        let content = [&[self.go_mod, self.go_sum], self.sources].concat().concat();
        for byte in Sha256::digest(content).iter().take(4) {
            let _ = write!(pins, "{byte:02x}");
        }
        let version = format!("{}-{pins}", self.version()?);
        Ok(home.ok_or(Error::NoCacheFolder)?.join("arcadia-operator").join(self.name).join(version))
    }

    /// The flags of Go's linker.
    pub(crate) fn ldflags(&self) -> Result<String, Error> {
        let stamps = (self.stamps)(self.version()?).ok_or(Error::Pins { module: self.module })?;
        Ok(format!("-s -w {stamps}"))
    }

    /// The pinned minor release, such as `1.37`.
    pub(crate) fn release(&self) -> Result<String, Error> {
        Ok(release_of(self.version()?))
    }

    /// The pinned version, such as `v1.37.2`.
    fn version(&self) -> Result<&'static str, Error> {
        let pinned = self.required().find(|(module, _)| *module == self.module);
        pinned.map(|(_, version)| version).ok_or(Error::Pins { module: self.module })
    }

    /// The modules that `go.mod` requires, each with its version.
    fn required(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.go_mod.lines().filter_map(|line| {
            // On its own line, or in a block.
            let line = line.trim_start();
            let mut words = line.strip_prefix("require ").unwrap_or(line).split_whitespace();
            let (module, version) = (words.next()?, words.next()?);
            version.starts_with('v').then_some((module, version))
        })
    }
}

/// The minor release of a version: `1.37` of `v1.37.2`.
pub(crate) fn release_of(version: &str) -> String {
    version.trim_start_matches('v').splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_module_has_a_version() {
        for pins in [CONTROL_PLANE, HELM, GITOPS_ENGINES, SETUP_ENVTEST, ACTIONLINT] {
            assert!(pins.version().unwrap().starts_with('v'), "{}", pins.name);
        }
        assert_eq!(release_of("v1.37.2"), "1.37");
    }

    /// The version of each module that Go builds: a replacement takes precedence over a requirement.
    fn versions(pins: &Pins) -> BTreeMap<&'static str, &'static str> {
        let words = pins.go_mod.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let replaced = words.filter_map(|line| match line.as_slice() {
            ["replace", module, "=>", _, version] | [module, "=>", _, version] => Some((*module, *version)),
            _ => None,
        });
        pins.required().chain(replaced).collect()
    }

    #[test]
    fn go_compiles_the_packages_of_kubernetes_once_for_all_programs() {
        let control_plane = versions(&CONTROL_PLANE);
        let others = |pins: &Pins| -> Vec<&str> {
            let versions = versions(pins);
            assert!(versions.contains_key("k8s.io/client-go"), "{}", pins.name);
            let differs = |(module, version): &(&str, &str)| control_plane.get(module).is_some_and(|it| it != version);
            versions.into_iter().filter(differs).map(|(module, _)| module).collect()
        };
        assert_eq!(others(&HELM), Vec::<&str>::new(), "replace them in tests/helm/go.mod");
        assert_eq!(others(&GITOPS_ENGINES), ["k8s.io/kubectl"], "replace them in tests/gitops/engines/go.mod");
    }
}
