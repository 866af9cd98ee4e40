//! The ways to apply manifests to a cluster, behind one interface: a round, or a loop of rounds.

use std::{path::PathBuf, process::Stdio, time::Duration};

use control_plane::Kubectl;
use gitops_engines::{Action, Applied, Argo, Compared, Flux, SyncPolicy, SyncStatus};
use tokio::{process::Command, sync::watch, task::JoinHandle};

use crate::stage::Stage;

/// The interval between two rounds of a loop.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// A way to apply the manifests of a repository to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Flux's kustomize-controller.
    Flux,
    /// Argo CD with self-heal: client-side apply and comparison.
    Argo,
    /// Argo CD with self-heal and `ServerSideApply=true`.
    ArgoServerSide,
    /// Argo CD with self-heal, `ServerSideApply=true` and `ServerSideDiff=true`.
    ArgoServerSideDiff,
    /// `kubectl apply`.
    Apply,
    /// `kubectl apply --server-side`.
    ApplyServerSide,
    /// `kubectl replace`.
    Replace,
    /// `kubectl kustomize | kubectl apply`.
    Kustomize,
    /// `helm upgrade --install`, server side.
    Helm,
    /// `helm upgrade --install --server-side=false`, as Helm 3 does.
    HelmClientSide,
}

impl Engine {
    pub(crate) const ALL: [Self; 10] = [
        Self::Flux,
        Self::Argo,
        Self::ArgoServerSide,
        Self::ArgoServerSideDiff,
        Self::Apply,
        Self::ApplyServerSide,
        Self::Replace,
        Self::Kustomize,
        Self::Helm,
        Self::HelmClientSide,
    ];

    /// For the names of namespaces.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flux => "flux",
            Self::Argo => "argo",
            Self::ArgoServerSide => "argo-server-side",
            Self::ArgoServerSideDiff => "argo-server-side-diff",
            Self::Apply => "apply",
            Self::ApplyServerSide => "apply-server-side",
            Self::Replace => "replace",
            Self::Kustomize => "kustomize",
            Self::Helm => "helm",
            Self::HelmClientSide => "helm-client-side",
        }
    }

    /// A third of these rounds is played in each of five phases: before, while and after a decision. A round of Helm uses
    /// about a second of CPU, so Helm plays a hundred in all, without a pause.
    pub(crate) const fn rounds(self) -> usize {
        match self {
            Self::Helm | Self::HelmClientSide => 60,
            _ => 100,
        }
    }

    /// The number of records that go the same way: more for an engine that plays fewer rounds.
    pub(crate) const fn records_alike(self) -> usize {
        100_usize.div_ceil(self.rounds())
    }

    /// Argo CD with self-heal and pruning, as this engine configures it.
    fn argo(self) -> Option<Argo> {
        let argo = Argo { sync: SyncPolicy::SelfHeal, prune: true, ..Argo::default() };
        match self {
            Self::Argo => Some(argo),
            Self::ArgoServerSide => Some(Argo { server_side: true, ..argo }),
            Self::ArgoServerSideDiff => Some(Argo { server_side: true, server_side_diff: true, ..argo }),
            _ => None,
        }
    }
}

/// Flux, with `spec.prune` of the Kustomization.
fn flux() -> Flux {
    Flux { prune: true, ..Flux::default() }
}

/// Tests of a function, one for each engine, so that they run in parallel.
macro_rules! tests_for_engines {
    ($function:ident: $($name:ident: $engine:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            $function(crate::engine::Engine::$engine).await;
        }
    )*};
}
pub(crate) use tests_for_engines;

/// A round of any engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// True if the engine found a difference. None if the program does not report it.
    pub differs: Option<bool>,
    /// The reason why the round failed.
    pub error: Option<String>,
}

impl Round {
    fn of(result: Result<Option<bool>, String>) -> Self {
        match result {
            Ok(differs) => Self { differs, error: None },
            Err(error) => Self { differs: None, error: Some(error) },
        }
    }

    /// Fails unless the round succeeded. Returns whether it found a difference.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Option<bool> {
        assert_eq!(self.error, None);
        self.differs
    }
}

impl From<gitops_engines::Round<Applied>> for Round {
    fn from(round: gitops_engines::Round<Applied>) -> Self {
        let differs = round.objects.iter().any(|object| object.action != Action::Unchanged);
        Self { differs: Some(differs), error: round.error }
    }
}

impl From<gitops_engines::Round<Compared>> for Round {
    fn from(round: gitops_engines::Round<Compared>) -> Self {
        let differs = round.objects.iter().any(|object| object.sync != SyncStatus::Synced);
        Self { differs: Some(differs), error: round.error }
    }
}

/// Plays one round.
pub(crate) async fn round_of(engine: Engine, stage: &Stage) -> Round {
    if engine == Engine::Flux {
        return flux().apply(&stage.manifests(), stage.kubeconfig()).await.unwrap().into();
    }
    if let Some(argo) = engine.argo() {
        return argo.sync(&stage.manifests(), stage.kubeconfig()).await.unwrap().into();
    }
    Round::of(Tool::new(engine, stage).run().await)
}

/// An engine that plays a round every [`INTERVAL`]. It ends with this value.
pub(crate) enum Loop {
    Flux(gitops_engines::Loop<Applied>),
    Argo(gitops_engines::Loop<Compared>),
    Tool { rounds: watch::Receiver<Vec<Round>>, task: JoinHandle<()> },
}

impl Loop {
    /// Starts the loop.
    pub(crate) fn of(engine: Engine, stage: &Stage) -> Self {
        if engine == Engine::Flux {
            let flux = flux().apply_loop(&stage.manifests(), stage.kubeconfig(), INTERVAL);
            return Self::Flux(flux.unwrap());
        }
        if let Some(argo) = engine.argo() {
            return Self::Argo(argo.sync_loop(&stage.manifests(), stage.kubeconfig(), INTERVAL).unwrap());
        }
        let tool = Tool::new(engine, stage);
        let (sender, rounds) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let round = Round::of(tool.run().await);
                sender.send_modify(|rounds: &mut Vec<_>| rounds.push(round));
            }
        });
        Self::Tool { rounds, task }
    }

    /// Waits for this many rounds that start after the call, and returns them.
    pub(crate) async fn next(&mut self, count: usize) -> Vec<Round> {
        match self {
            Self::Flux(flux) => flux.next_rounds(count).await.unwrap().into_iter().map(Round::from).collect(),
            Self::Argo(argo) => argo.next_rounds(count).await.unwrap().into_iter().map(Round::from).collect(),
            Self::Tool { rounds, .. } => {
                // The first round that ends after this may have started earlier.
                let skipped = rounds.borrow().len() + 1;
                let played = rounds.wait_for(|rounds| rounds.len() >= skipped + count).await.unwrap();
                played[skipped..skipped + count].to_vec()
            }
        }
    }

    /// Plays this many rounds; none may fail, and none may find a difference.
    pub(crate) async fn finds_no_difference(&mut self, count: usize) {
        for round in self.next(count).await {
            assert_ne!(round.clone().succeeded(), Some(true), "{round:?}");
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Self::Tool { task, .. } = self {
            task.abort();
        }
    }
}

/// kubectl or Helm, with the inputs of a round.
struct Tool {
    kubectl: Kubectl,
    engine: Engine,
    records: String,
    /// As on a user's machine, kubectl caches the discovery of the API.
    cache: PathBuf,
    overlay: String,
    chart: String,
    namespace: String,
}

impl Tool {
    fn new(engine: Engine, stage: &Stage) -> Self {
        Self {
            kubectl: stage.world.kubectl(),
            engine,
            records: stage.manifest_file().display().to_string(),
            cache: stage.cache(),
            overlay: stage.overlay().display().to_string(),
            chart: stage.chart().display().to_string(),
            namespace: stage.world.namespace.name().to_owned(),
        }
    }

    /// Plays one round. Returns whether it found a difference, if the program reports it.
    async fn run(&self) -> Result<Option<bool>, String> {
        let says = |output: &str| Some(!output.lines().all(|line| line.ends_with("unchanged")));
        match self.engine {
            Engine::Apply => self.kubectl(&["apply", "-f", &self.records]).await.map(|output| says(&output)),
            Engine::ApplyServerSide => {
                self.kubectl(&["apply", "--server-side", "-f", &self.records]).await.map(|_| None)
            }
            Engine::Replace => match self.kubectl(&["replace", "-f", &self.records]).await {
                Err(error) if error.contains("NotFound") => {
                    self.kubectl(&["create", "-f", &self.records]).await.map(|_| None)
                }
                replaced => replaced.map(|_| None),
            },
            Engine::Kustomize => {
                let built = self.kubectl(&["kustomize", &self.overlay]).await?;
                let file = self.cache.join("built.yaml");
                std::fs::create_dir_all(&self.cache).and_then(|()| std::fs::write(&file, built)).unwrap();
                let file = file.display().to_string();
                self.kubectl(&["apply", "-f", &file]).await.map(|output| says(&output))
            }
            Engine::Helm => self.helm("--server-side=true").await.map(|()| None),
            Engine::HelmClientSide => self.helm("--server-side=false").await.map(|()| None),
            Engine::Flux | Engine::Argo | Engine::ArgoServerSide | Engine::ArgoServerSideDiff => {
                unreachable!("{:?} has a separate program", self.engine)
            }
        }
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut kubectl = self.kubectl.command();
        kubectl.args(arguments).env("KUBECACHEDIR", &self.cache).stdin(Stdio::null());
        succeeded(kubectl).await
    }

    async fn helm(&self, method: &str) -> Result<(), String> {
        let mut helm = Command::new(control_plane::helm().unwrap());
        helm.args(["upgrade", "--install", "records", &self.chart, "--namespace", &self.namespace])
            .args(["--history-max", "2", method])
            .env("KUBECONFIG", self.kubectl.kubeconfig())
            .envs(
                ["CACHE", "CONFIG", "DATA"]
                    .map(|kind| (format!("HELM_{kind}_HOME"), format!("{}/.{kind}", self.overlay))),
            )
            .env("KUBECACHEDIR", &self.cache)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        succeeded(helm).await.map(drop)
    }
}

/// The output of a command, or its error.
async fn succeeded(mut command: Command) -> Result<String, String> {
    let output = command.output().await.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
