//! What the demo plays on: a control plane, a simulated cloud and the operator. All end when it is dropped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Kubectl, Options, Process};
use digitalocean_simulator::Simulator;
use serde_json::Value;
use tokio::time::sleep;

use super::story;
use crate::{Error, project};

const FLEET: &str = "tests/simulator/fleets/demo.json";

/// In the order in which it ends: the operator before what it talks to.
pub(super) struct Stage {
    operator: Process,
    control_plane: ControlPlane,
    simulator: Simulator,
}

impl Stage {
    pub(super) async fn start(operator: &Path) -> Result<Self, Error> {
        let fleet = digitalocean_simulator::Options { load: Some(project::root().join(FLEET)), ..Default::default() };
        let (simulator, control_plane) = tokio::join!(Simulator::start(fleet), ControlPlane::start(Options::default()));
        let (simulator, control_plane) = (simulator?, control_plane?);
        install_definitions(&control_plane).await?;
        let operator = start_operator(operator, &control_plane, &simulator)?;
        Ok(Self { operator, control_plane, simulator })
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        self.control_plane.kubeconfig()
    }

    /// The folder of the kubectl that the demo uses, for those who have none.
    pub(super) fn kubectl_folder(&self) -> PathBuf {
        self.control_plane.kubectl().program().parent().map(Path::to_owned).unwrap_or_default()
    }

    /// The address of the simulated cloud.
    pub(super) fn cloud(&self) -> String {
        self.simulator.url()
    }

    /// The address of the API server.
    pub(super) async fn server(&self) -> Result<String, Error> {
        let server = "jsonpath={.clusters[0].cluster.server}";
        Ok(self.control_plane.kubectl().run(&["config", "view", "--minify", "-o", server]).await?)
    }

    /// The kubectl of a pipeline that works beside the story.
    pub(super) fn kubectl_of_pipeline(&self) -> Kubectl {
        self.control_plane.kubectl()
    }

    pub(super) fn operator_log_file(&self) -> &Path {
        self.operator.log()
    }

    pub(super) fn operator_log(&self) -> String {
        self.operator.log_tail(40)
    }

    /// Shows a kubectl command, runs it and shows what it prints.
    pub(super) async fn kubectl(&mut self, arguments: &[&str]) -> Result<(), Error> {
        self.check_operator()?;
        story::show_command(&[&["kubectl"], arguments].concat());
        let kubectl = self.control_plane.kubectl();
        let run = kubectl.command().args(arguments).current_dir(project::root()).status();
        let status = run.await.map_err(Error::system("run kubectl"))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed { command: format!("kubectl {}", arguments.join(" ")), status })
    }

    /// Changes a droplet as somebody at the cloud console would.
    pub(super) async fn change_droplet(&self, id: &str, change: Value) -> Result<(), Error> {
        self.simulator.control().change("droplets", id, change).await?;
        Ok(())
    }

    /// The same as a command to type.
    pub(super) fn console_command(&self, id: &str, change: &Value) -> String {
        let url = self.simulator.url();
        format!(
            "curl -sS -o /dev/null -X PATCH -d '{change}' \
             '{url}/_simulator/resource?collection=droplets&id={id}'"
        )
    }

    /// Waits for an open drift and returns its name.
    pub(super) async fn open_drift(&mut self, patience: Duration) -> Result<String, Error> {
        let begun = Instant::now();
        let name = "jsonpath={.items[*].metadata.name}";
        let open = ["get", "drifts", "--field-selector", "status.phase=Open", "-o", name];
        loop {
            self.check_operator()?;
            let names = self.control_plane.kubectl().run(&open).await?;
            if let Some(name) = names.split_whitespace().next() {
                return Ok(name.to_owned());
            }
            if begun.elapsed() > patience {
                return Err(Error::NoDrift { after: patience });
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns when the operator has ended, which it should not.
    pub(super) async fn operator_ended(&mut self) -> Result<(), Error> {
        loop {
            self.check_operator()?;
            sleep(Duration::from_millis(500)).await;
        }
    }

    fn check_operator(&mut self) -> Result<(), Error> {
        match self.operator.ended() {
            Some(status) => Err(Error::Failed { command: "arcadia-operator run".to_owned(), status }),
            None => Ok(()),
        }
    }
}

async fn install_definitions(control_plane: &ControlPlane) -> Result<(), Error> {
    let kubectl = control_plane.kubectl();
    let definitions = project::root().join("crds");
    kubectl.run(&["apply".as_ref(), "-f".as_ref(), definitions.as_os_str()]).await?;
    kubectl.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await?;
    Ok(())
}

fn start_operator(program: &Path, control_plane: &ControlPlane, simulator: &Simulator) -> Result<Process, Error> {
    let mut operator = Command::new(program);
    operator
        .args(["run", "--sync-schedule", "5s"])
        .env("KUBECONFIG", control_plane.kubeconfig())
        .env("DIGITALOCEAN_API_URL", simulator.url())
        .env("DIGITALOCEAN_TOKEN", "demo");
    Ok(control_plane.spawn(&operator, "arcadia-operator")?)
}
