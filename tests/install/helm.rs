//! The pinned Helm, without the settings of this machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    in_repository("charts/arcadia-operator")
}

pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Helm, with a separate home folder.
pub(crate) struct Helm {
    home: tempfile::TempDir,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// Helm without a cluster.
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), kubeconfig: None }
    }

    /// Helm with a cluster.
    pub(crate) fn on(kubeconfig: &Path) -> Self {
        Self { kubeconfig: Some(kubeconfig.to_owned()), ..Self::new() }
    }

    /// Runs Helm and returns its output, or its error.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut helm = Command::new(control_plane::helm().unwrap());
        helm.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
        helm.envs(["CACHE", "CONFIG", "DATA"].map(|kind| (format!("HELM_{kind}_HOME"), self.home.path().join(kind))));
        helm.env("HOME", self.home.path()).envs(self.kubeconfig.iter().map(|kubeconfig| ("KUBECONFIG", kubeconfig)));
        let output = helm.output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).unwrap_or_else(|error| panic!("helm {}: {error}", arguments.join(" ")))
    }

    /// The output of the chart for Kubernetes 1.37.
    pub(crate) fn template(&self, arguments: &[&str]) -> Result<String, String> {
        let fixed = ["template", "arcadia-operator", "charts/arcadia-operator", "--namespace", "arcadia-system"];
        let version = ["--kube-version", "v1.37.0"];
        let version: &[&str] = if arguments.contains(&"--kube-version") { &[] } else { &version };
        self.try_run(&[&fixed, version, arguments].concat())
    }
}

/// The objects of a manifest by kind, namespace and name.
pub(crate) fn objects(manifest: &str) -> BTreeMap<String, Value> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
    let objects = objects.into_iter().filter(|object| !object.is_null());
    let mut named = BTreeMap::new();
    for object in objects {
        let metadata = &object["metadata"];
        let place = metadata["namespace"].as_str().unwrap_or("-");
        let name = format!("{} {place}/{}", object["kind"].as_str().unwrap(), metadata["name"].as_str().unwrap());
        let twice = named.insert(name.clone(), object);
        assert!(twice.is_none(), "{name} is there twice");
    }
    named
}

/// The arguments of the program in a pod, or in a pod template.
pub(crate) fn arguments(pod: &Value) -> Vec<String> {
    let arguments = pod["spec"]["containers"][0]["args"].as_array().unwrap();
    arguments.iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
}
