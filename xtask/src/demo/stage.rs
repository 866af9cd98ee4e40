//! The setup of the demo: a control plane, a simulated cloud and the operator. All end when it is dropped.

use std::{
    env,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use control_plane::{ControlPlane, Kubectl, Options, Process};
use digitalocean_simulator::Simulator;
use serde_json::Value;
use tokio::time::sleep;

use super::story;
use crate::{Error, operator::Programs, project};

const FLEET: &str = "tests/simulator/fleets/demo.json";

/// In the order in which they end: the operator before its servers.
pub(super) struct Stage {
    operator: Process,
    control_plane: ControlPlane,
    simulator: Simulator,
    /// The folders of kubectl and of its plugin, as in `PATH`.
    path: String,
}

/// An open drift of the story.
pub(super) struct OpenDrift {
    name: String,
    /// The value of its label `arcadia.cloud/change`.
    pub(super) change: String,
}

impl OpenDrift {
    /// Its name in kubectl commands.
    pub(super) fn object(&self) -> String {
        format!("drift/{}", self.name)
    }
}

impl Stage {
    pub(super) async fn start(programs: &Programs) -> Result<Self, Error> {
        let fleet = digitalocean_simulator::Options { load: Some(project::root().join(FLEET)), ..Default::default() };
        // Downloaded control planes have no controller manager.
        let controller_manager = control_plane::find().is_ok_and(|found| found.kube_controller_manager.is_some());
        let options = Options { controller_manager, ..Options::default() };
        let (simulator, control_plane) = tokio::join!(Simulator::start(fleet), ControlPlane::start(options));
        let (simulator, control_plane) = (simulator?, control_plane?);
        install_definitions(&control_plane).await?;
        let operator = start_operator(&programs.operator, &control_plane, &simulator)?;
        let folders = [control_plane.kubectl().program(), &programs.plugin]
            .map(|program| program.parent().unwrap_or(Path::new("")).display().to_string());
        let folders = folders.iter().filter(|folder| !folder.is_empty());
        let path = folders.cloned().collect::<Vec<_>>().join(":");
        Ok(Self { operator, control_plane, simulator, path })
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        self.control_plane.kubeconfig()
    }

    /// The folders of kubectl and of its plugin, for users without them.
    pub(super) fn path(&self) -> &str {
        &self.path
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

    /// Shows a kubectl command, runs it and shows its output.
    pub(super) async fn show(&mut self, arguments: &[&str]) -> Result<(), Error> {
        self.check_operator()?;
        story::show_command(&[&["kubectl"], arguments].concat());
        let mut kubectl = self.control_plane.kubectl().command();
        let path = format!("{}:{}", self.path, env::var("PATH").unwrap_or_default());
        kubectl.args(arguments).current_dir(project::root()).env("PATH", path);
        let status = kubectl.status().await.map_err(Error::system("run kubectl"))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed { command: format!("kubectl {}", arguments.join(" ")), status })
    }

    /// Waits for the state in the syntax of `kubectl wait --for`.
    pub(super) async fn reaches(&mut self, object: &str, state: &str) -> Result<(), Error> {
        self.check_operator()?;
        let state = format!("--for={state}");
        // The pipeline may be about to create it.
        self.control_plane.kubectl().run(&["wait", "--for=create", object, "--timeout=60s"]).await?;
        self.control_plane.kubectl().run(&["wait", object, &state, "--timeout=60s"]).await?;
        Ok(())
    }

    /// Changes a droplet as a person in the cloud console would.
    pub(super) async fn change_droplet(&self, id: &str, change: Value) -> Result<(), Error> {
        self.simulator.control().change("droplets", id, change).await?;
        Ok(())
    }

    /// The same change as a command to type, with the variables that the demo prints.
    pub(super) fn console_command(id: &str, change: &Value) -> [String; 2] {
        let resource = format!("\"$SIMULATOR/_simulator/resource?collection=droplets&id={id}\"");
        [format!("curl -sS -o /dev/null -X PATCH -d '{change}' \\"), resource]
    }

    /// Waits for an open drift.
    pub(super) async fn open_drift(&mut self, patience: Duration) -> Result<OpenDrift, Error> {
        let begun = Instant::now();
        let first =
            "jsonpath={range .items[*]}{.metadata.name} {.metadata.labels.arcadia\\.cloud/change}{\"\\n\"}{end}";
        let open = ["get", "drifts", "--field-selector", "status.phase=Open", "-o", first];
        loop {
            self.check_operator()?;
            let found = self.control_plane.kubectl().run(&open).await?;
            if let Some((name, change)) = found.lines().find_map(|line| line.split_once(' ')) {
                return Ok(OpenDrift { name: name.to_owned(), change: change.to_owned() });
            }
            if begun.elapsed() > patience {
                return Err(Error::NoDrift { after: patience });
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns when the operator has ended unexpectedly.
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
        // Sweeps of several kinds become rarer than that, and the machine may be busy.
        .args(["run", "--sync-schedule", "2s", "--inventory-max-age", "30s"])
        .env("KUBECONFIG", control_plane.kubeconfig())
        .env("DIGITALOCEAN_API_URL", simulator.url())
        .env("DIGITALOCEAN_TOKEN", "demo");
    Ok(control_plane.spawn(&operator, "arcadia-operator")?)
}
