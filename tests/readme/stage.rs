//! The setup of the tour: the same as `cargo demo`, but with an operator that sweeps every second.

use std::process::Command;

use arcadia_operator::api;
use control_plane::{ControlPlane, Namespace, Process};
use digitalocean_simulator::{Options, RateLimits, Simulator};

/// A namespace, the simulated fleet of the demo, and an operator.
pub(crate) struct Stage {
    pub namespace: Namespace,
    pub simulator: Simulator,
    operator: Process,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn start(name: &str) -> Self {
        Self::on(ControlPlane::shared().await.unwrap(), name).await
    }

    /// On this control plane.
    pub(crate) async fn on(control_plane: &ControlPlane, name: &str) -> Self {
        let kubectl = control_plane.kubectl();
        kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &api::crds_as_yaml().unwrap()).await.unwrap();
        let crds = ["provisionedresources", "drifts", "sagas"].map(|plural| format!("crd/{plural}.arcadia.cloud"));
        kubectl.run(&["wait", "--for=condition=Established", &crds[0], &crds[1], &crds[2]]).await.unwrap();

        let namespace = control_plane.namespace(name).await.unwrap();
        let fleet = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulator/fleets/demo.json");
        let rate_limits = RateLimits::OFF;
        let options = Options { load: Some(fleet.into()), rate_limits, ..Options::default() };
        let simulator = Simulator::start(options).await.unwrap();

        let mut command = Command::new(env!("CARGO_BIN_EXE_arcadia-operator"));
        command
            .args(["run", "--sync-schedule", "1s", "--inventory-max-age", "10m", "--namespace", namespace.name()])
            .args(["--requests-per-minute", "100000", "--requests-per-hour", "1000000"])
            .env("KUBECONFIG", namespace.kubeconfig())
            .env("DIGITALOCEAN_API_URL", simulator.url())
            .env("DIGITALOCEAN_TOKEN", "demo");
        let folder = tempfile::tempdir().unwrap();
        let operator = Process::spawn(&command, &folder.path().join("operator.log")).unwrap();
        Self { namespace, simulator, operator, _folder: folder }
    }

    /// The end of the operator's log.
    pub(crate) fn log(&self) -> String {
        self.operator.log_tail(30)
    }
}
