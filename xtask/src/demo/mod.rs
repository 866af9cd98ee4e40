//! `cargo demo`: the whole main job on this machine, narrated step by step.

mod pipeline;
mod stage;
mod story;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use control_plane::Wanted;
use serde_json::json;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use self::{pipeline::Pipeline, stage::Stage, story::Pace};
use crate::{
    Error,
    operator::{self, Programs},
    prepare,
};

/// The options of the demo.
#[derive(Args)]
pub(crate) struct Play {
    /// End after the story
    #[arg(long)]
    once: bool,
    /// Wait for Enter before each part of the story
    #[arg(long)]
    step: bool,
    /// Run this program instead of building the operator; kubectl-arcadia must be beside it
    #[arg(long, value_name = "FILE", env = operator::PROGRAM, value_parser = operator::program)]
    operator: Option<PathBuf>,
}

/// The droplet of `examples/web-1.yaml`.
const DROPLET: &str = "3164444";
const EXAMPLE: &str = "examples/web-1.yaml";
/// The longest time of a part of the story on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Plays the demo. Without a program, it builds the operator.
pub(crate) fn run(play: &Play) -> Result<(), Error> {
    // The story needs no garbage collection.
    prepare::run(Wanted::WithoutControllerManager)?;
    let programs = play.operator.clone().map_or_else(operator::build, |operator| Ok(Programs::beside(operator)))?;
    let runtime = Runtime::new().map_err(Error::system("start the demo"))?;
    runtime.block_on(async {
        // Dropping the story ends every process that it started.
        tokio::select! {
            ended = start(&programs, play) => ended,
            interrupted = interruption() => interrupted,
        }
    })
}

async fn start(programs: &Programs, play: &Play) -> Result<(), Error> {
    story::say("Starting a Kubernetes control plane, a simulated cloud and the operator ...");
    let mut stage = Stage::start(programs).await?;
    let told = tell(&mut stage, &mut Pace::new(play.step)).await;
    let pipeline = match told {
        Ok(pipeline) => pipeline,
        Err(error) => {
            eprintln!("\nThe end of the operator's log:\n{}\n", stage.operator_log());
            return Err(error);
        }
    };
    if play.once {
        return Ok(());
    }
    invite(&stage);
    let ended = stage.operator_ended().await;
    drop(pipeline);
    ended
}

/// From the record to an accepted change, to a reverted one.
async fn tell(stage: &mut Stage, pace: &mut Pace) -> Result<Pipeline, Error> {
    story::say(&format!(
        "Kubernetes runs at {} and the cloud at {}, both on this machine only.",
        stage.server().await?,
        stage.cloud()
    ));
    story::print(format_args!(
        "The operator compares them every 2 seconds. Its log:\n{}",
        stage.operator_log_file().display()
    ));

    pace.part(
        "The platform team keeps its records in Git, and a pipeline applies the folder every second, as a GitOps \
         engine does. A record names a resource and the value that each field should have:",
    )
    .await;
    story::show_file(EXAMPLE)?;
    let pipeline = Pipeline::start(stage.kubectl_of_pipeline(), EXAMPLE)?;
    stage.reaches("provisionedresource/web-1", "condition=InSync").await?;
    stage.show(&["get", "provisionedresources"]).await?;

    pace.part("A colleague resizes the droplet in the cloud console. The change is in the inbox:").await;
    stage.change_droplet(DROPLET, json!({"size_slug": "s-4vcpu-8gb", "disk": 80})).await?;
    let drift = stage.open_drift(PATIENCE).await?;
    stage.show(&["arcadia"]).await?;

    pace.part("The change is right, so the team accepts it:").await;
    let because = ["--because", "traffic doubled", "--yes", "--wait"];
    stage.show(&[&["arcadia", "accept", "--change", &drift.change], &because[..]].concat()).await?;

    let before = pipeline.rounds();
    pipeline.applies(3).await;
    pace.part(&format!(
        "The manifest still has the old size, and the pipeline has applied it {} times since. Nothing flaps: the \
         acceptance stands on the drift, and the record is in sync.",
        pipeline.rounds() - before
    ))
    .await;
    stage.reaches("provisionedresource/web-1", "condition=InSync").await?;
    stage.show(&["get", "provisionedresources"]).await?;

    pace.part("The drift holds the patch for the manifest. Somebody commits it, and the acceptance ends by itself:")
        .await;
    stage.show(&["get", &drift.object(), "-o", "jsonpath={.status.manifestPatch}{\"\\n\"}"]).await?;
    pipeline.commit(EXAMPLE, "s-2vcpu-4gb", "s-4vcpu-8gb")?;
    stage.reaches("provisionedresource/web-1", "condition=ManifestCurrent").await?;
    let ended = "jsonpath={.status.conditions[?(@.type==\"Standing\")].reason}{\"\\n\"}";
    stage.show(&["get", &drift.object(), "-o", ended]).await?;

    pace.part(
        "Then a script removes a tag. This change is wrong. The plan of a revert comes first, and changes nothing:",
    )
    .await;
    stage.change_droplet(DROPLET, json!({"tags": ["web"]})).await?;
    let drift = stage.open_drift(PATIENCE).await?;
    stage.show(&["arcadia", "revert", "--change", &drift.change, "--plan"]).await?;

    pace.part("The team reverts it. A saga puts this one field back and verifies the result:").await;
    stage.show(&["arcadia", "revert", "--change", &drift.change, "--yes", "--wait"]).await?;
    stage.reaches("provisionedresource/web-1", "condition=InSync").await?;
    stage.show(&["get", "provisionedresources"]).await?;
    Ok(pipeline)
}

/// Prints suggestions for the demo while it stays up.
fn invite(stage: &Stage) {
    story::say("It all stays up until you press Ctrl-C. Paste these lines into a second terminal:");
    story::print(format_args!("export KUBECONFIG={}", story::quoted(&stage.kubeconfig().display().to_string())));
    story::print(format_args!("export PATH={}:$PATH", story::quoted(stage.path())));
    story::print(format_args!("export SIMULATOR={}", stage.cloud()));
    story::say("Three things to try there:");
    story::print("1. Take the tour, before the others: docs/tour.md");
    story::print("2. Change the droplet again, and decide with the keyboard:");
    for line in Stage::console_command(DROPLET, &json!({"size_slug": "s-8vcpu-16gb", "disk": 80})) {
        story::print(format_args!("   {line}"));
    }
    story::print("   kubectl arcadia inbox -i");
    story::print("3. Order a snapshot, a saga of one step, and follow it:");
    story::print("   sed s/snapshot-web-1/snapshot-demo/ examples/saga-snapshot.yaml \\");
    story::print("     | kubectl apply -f -");
    story::print("   kubectl arcadia saga watch snapshot-demo\n");
}

/// Waits for the first signal that requests the end.
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
