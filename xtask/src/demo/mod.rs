//! `cargo demo`: the whole main job on this machine, told as it happens.

mod pipeline;
mod stage;
mod story;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use self::pipeline::Pipeline;
use self::stage::Stage;
use crate::{Error, operator, prepare};

/// The droplet of `examples/web-1.yaml`.
const DROPLET: &str = "3164444";
const EXAMPLE: &str = "examples/web-1.yaml";
/// A saga about the same droplet.
const SAGA: &str = "examples/saga-snapshot.yaml";
/// What a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Plays the demo; `once` ends it after the tour. Without a program, it builds the operator.
pub(crate) fn run(once: bool, operator: Option<PathBuf>) -> Result<(), Error> {
    prepare::run()?;
    let operator = operator.map_or_else(operator::build, Ok)?;
    let runtime = Runtime::new().map_err(Error::system("start the demo"))?;
    runtime.block_on(async {
        // Whatever the tour holds is dropped with it, and with that every process it started.
        tokio::select! {
            ended = play(&operator, once) => ended,
            interrupted = interruption() => interrupted,
        }
    })
}

async fn play(operator: &Path, once: bool) -> Result<(), Error> {
    story::say("Starting a Kubernetes control plane, a simulated DigitalOcean and the operator ...");
    let mut stage = Stage::start(operator).await?;
    if let Err(error) = tour(&mut stage).await {
        eprintln!("\nThe end of the operator's log:\n{}\n", stage.operator_log());
        return Err(error);
    }
    if once {
        return Ok(());
    }
    story::say("It all stays up until you press Ctrl-C. To play on, in another terminal:");
    println!("export KUBECONFIG={}", stage.kubeconfig().display());
    println!("export PATH={}:$PATH", stage.kubectl_folder().display());
    println!("export SIMULATOR={}", stage.cloud());
    println!("{}", stage.console_command(DROPLET, &json!({"size_slug": "s-8vcpu-16gb"})));
    println!("kubectl get drifts --watch\n");
    stage.operator_ended().await
}

/// From the first look at the cloud to the accepted change, and a change by a saga.
async fn tour(stage: &mut Stage) -> Result<(), Error> {
    story::say(&format!(
        "Kubernetes runs at {} and the cloud at {}, both on this machine only.\nThe operator compares them every 5 \
         seconds. Its log: {}",
        stage.server().await?,
        stage.cloud(),
        stage.operator_log_file().display()
    ));

    story::say(
        "The platform team keeps its records in Git. A pipeline applies the folder every second, like a GitOps engine:",
    );
    story::show_file(EXAMPLE)?;
    let pipeline = Pipeline::start(stage.kubectl_of_pipeline(), EXAMPLE)?;
    pipeline.applies(1).await;

    story::say("The operator finds it in the cloud and compares each recorded field:");
    stage.kubectl(&["wait", "provisionedresource/web-1", "--for=condition=InSync", "--timeout=60s"]).await?;
    stage.kubectl(&["get", "provisionedresources"]).await?;

    story::say("Now somebody resizes the droplet in the cloud console, from s-2vcpu-4gb to s-4vcpu-8gb ...");
    stage.change_droplet(DROPLET, json!({"size_slug": "s-4vcpu-8gb"})).await?;

    story::say("... and a Drift is in the inbox:");
    let drift = stage.open_drift(PATIENCE).await?;
    stage.kubectl(&["get", "drifts", "--field-selector", "status.phase=Open"]).await?;
    stage.kubectl(&["get", "provisionedresource", "web-1"]).await?;

    story::say("The team looks at it and accepts: the live value becomes the desired one.");
    stage.kubectl(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await?;
    let drift = format!("drift/{drift}");
    stage.kubectl(&["wait", &drift, "--for=condition=Standing", "--timeout=60s"]).await?;

    pipeline.applies(3).await;
    story::say(&format!(
        "The manifest still has the old size, and the pipeline has applied it {} times. Nothing flaps: the acceptance \
         stands on the Drift.",
        pipeline.rounds()
    ));
    stage.kubectl(&["wait", "provisionedresource/web-1", "--for=condition=InSync", "--timeout=60s"]).await?;
    stage.kubectl(&["get", "drifts"]).await?;
    stage.kubectl(&["get", "provisionedresource", "web-1", "-o", "wide"]).await?;

    story::say("The Drift holds the patch for the manifest. Somebody commits it, and the acceptance ends by itself:");
    stage.kubectl(&["get", &drift, "-o", "jsonpath={.status.manifestPatch}{\"\\n\"}"]).await?;
    pipeline.commit(EXAMPLE, "s-2vcpu-4gb", "s-4vcpu-8gb")?;
    stage.kubectl(&["wait", "provisionedresource/web-1", "--for=condition=ManifestCurrent", "--timeout=60s"]).await?;
    stage.kubectl(&["get", &drift, "-o", "wide"]).await?;

    story::say("Somebody else removes a tag. This change is wrong, so the team reverts it. The plan comes first:");
    stage.change_droplet(DROPLET, json!({"tags": ["web"]})).await?;
    let drift = format!("drift/{}", stage.open_drift(PATIENCE).await?);
    stage.kubectl(&["annotate", &drift, "arcadia.cloud/revert=plan"]).await?;
    stage.kubectl(&["wait", &drift, "--for=jsonpath={.status.plan.class}", "--timeout=60s"]).await?;
    let plan = "jsonpath={.status.plan.class}: {range .status.plan.calls[*]}{.method} {.path} {.changes}{end}{\"\\n\"}";
    stage.kubectl(&["get", &drift, "-o", plan]).await?;
    stage.kubectl(&["annotate", &drift, "arcadia.cloud/revert=true"]).await?;
    stage.kubectl(&["wait", &drift, "--for=jsonpath={.status.phase}=Reverted", "--timeout=60s"]).await?;
    stage.kubectl(&["get", "sagas"]).await?;
    stage.kubectl(&["get", "drifts"]).await?;

    story::say("What happened is told by events:");
    stage.kubectl(&["events", "--for", "provisionedresource/web-1"]).await?;

    story::say(
        "Before the next upgrade the team wants a snapshot: a saga of one step, which survives any crash of the operator.",
    );
    story::show_file(SAGA)?;
    stage.kubectl(&["apply", "-f", SAGA]).await?;
    stage.kubectl(&["wait", "saga/snapshot-web-1", "--for=condition=Succeeded", "--timeout=60s"]).await?;
    stage.kubectl(&["get", "sagas"]).await?;
    let output = "jsonpath={.status.steps[0].output}{\"\\n\"}";
    stage.kubectl(&["get", "saga", "snapshot-web-1", "-o", output]).await
}

/// Ends with the first signal that asks to end.
async fn interruption() -> Result<(), Error> {
    let listen = |kind| signal(kind).map_err(Error::system("listen for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
