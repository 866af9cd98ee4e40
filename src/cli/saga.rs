//! `saga`: the journal of a saga as a tree, and the actions of people.

mod view;

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use kube::{ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use strum::VariantArray as _;
use tokio::time::sleep;

use super::{
    Error, Exit,
    cluster::{ClusterArgs, Noun, ObjectName, UserCluster},
    decide::{self, Annotations},
    output::{self, Format},
    prompt::{Input, confirm},
    text::{Paint, closed, fitted, note, print},
};
use crate::{
    api::{SagaPhase, annotations},
    kube_ext::call,
};
use view::SagaRow;

/// The interval of reading a saga that is watched.
const POLL: Duration = Duration::from_millis(500);

/// The flags of `saga`.
#[derive(Clone, Debug, Args)]
pub(super) struct SagaArgs {
    #[command(subcommand)]
    command: SagaCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum SagaCommand {
    /// Show the journal of a saga as a tree; without a name, of all that are not finished
    #[command(after_help = "Examples:
  kubectl arcadia saga tree
  kubectl arcadia saga tree provision-web-3
  kubectl arcadia saga tree -A -o json")]
    Tree {
        /// Name of the saga
        #[arg(value_name = "SAGA")]
        name: Option<String>,
        /// Format [default: a tree]
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Format>,
    },
    /// Show the journal until the saga has ended; exit code 1 unless it succeeded
    #[command(after_help = "Examples:
  kubectl arcadia saga watch provision-web-3
  kubectl arcadia saga watch provision-web-3 && kubectl apply -f next.yaml")]
    Watch {
        /// Name of the saga
        #[arg(value_name = "SAGA")]
        name: String,
    },
    /// Retry the step, or the undo of the step, of a saga that is Stuck
    #[command(after_help = "Examples:
  kubectl arcadia saga retry provision-web-3 --because 'quota raised'")]
    Retry(Resolve),
    /// Continue a saga that is Stuck without the step, or leave the step as it is
    #[command(after_help = "Examples:
  kubectl arcadia saga skip provision-web-3 --because 'done by hand' --yes")]
    Skip(Resolve),
    /// Give a saga up that is Stuck; steps that are done stay done
    #[command(after_help = "Examples:
  kubectl arcadia saga abandon provision-web-3 --because 'no longer needed'")]
    Abandon(Resolve),
    /// Name the right resource, where several may be the result of the step
    #[command(after_help = "Examples:
  kubectl arcadia saga adopt 3164444 provision-web-3")]
    Adopt {
        /// Id of the resource
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        resolve: Resolve,
    },
    /// Approve a step that waits for a person
    #[command(after_help = "Examples:
  kubectl arcadia saga approve provision-web-3
  kubectl arcadia saga approve provision-web-3 before-the-move")]
    Approve {
        /// Name of the saga
        #[arg(value_name = "SAGA")]
        name: String,
        /// Name of the step [default: the one that waits]
        #[arg(value_name = "STEP")]
        step: Option<String>,
    },
    /// Stop a saga at the next safe point and roll it back
    #[command(after_help = "Examples:
  kubectl arcadia saga cancel provision-web-3
  kubectl arcadia saga cancel provision-web-3 --yes && kubectl arcadia saga watch provision-web-3")]
    Cancel {
        /// Name of the saga
        #[arg(value_name = "SAGA")]
        name: String,
        /// Do not ask for a confirmation
        #[arg(short, long)]
        yes: bool,
    },
    /// Pause a saga in every phase
    #[command(after_help = "Examples:
  kubectl arcadia saga suspend provision-web-3")]
    Suspend {
        /// Name of the saga
        #[arg(value_name = "SAGA")]
        name: String,
    },
    /// Continue a saga that is suspended
    #[command(after_help = "Examples:
  kubectl arcadia saga resume provision-web-3")]
    Resume {
        /// Name of the saga
        #[arg(value_name = "SAGA")]
        name: String,
    },
}

#[derive(Clone, Debug, Args)]
struct Resolve {
    /// Name of the saga
    #[arg(value_name = "SAGA")]
    name: String,

    /// The reason, for the journal
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,

    /// Do not ask for a confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &SagaArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    match &args.command {
        SagaCommand::Tree { name: Some(name), output: Some(format) } => {
            let mut saga = cluster.get(Noun::Saga, &ObjectName::read(name, Noun::Saga)?).await?;
            saga.metadata.managed_fields = None;
            print(&format.write(&saga)?)?;
            Ok(Exit::Done)
        }
        SagaCommand::Tree { name: Some(name), output: None } => {
            let saga = find(&cluster, name).await?;
            print(&view::tree(&saga, &cluster.flag_for(&saga.namespace), Timestamp::now(), Paint::of_stdout()))?;
            Ok(Exit::Done)
        }
        SagaCommand::Tree { name: None, output } => trees(&cluster, *output).await,
        SagaCommand::Watch { name } => watch(&cluster, name).await,
        SagaCommand::Retry(resolve) => act(&cluster, resolve, annotations::RESOLVE, "retry", None).await,
        SagaCommand::Skip(resolve) => {
            let question = "The saga continues without the step; nothing checks whether the step was done.";
            act(&cluster, resolve, annotations::RESOLVE, "skip", Some(question)).await
        }
        SagaCommand::Abandon(resolve) => {
            let question = "The saga ends as Failed. Its steps are not undone.";
            act(&cluster, resolve, annotations::RESOLVE, "abandon", Some(question)).await
        }
        SagaCommand::Adopt { id, resolve } => act(&cluster, resolve, annotations::ADOPT, id, None).await,
        SagaCommand::Approve { name, step } => approve(&cluster, name, step.as_deref()).await,
        SagaCommand::Cancel { name, yes } => {
            let saga = find(&cluster, name).await?;
            unless_finished(&saga)?;
            let question = "The saga stops at the next safe point and undoes its steps. This cannot be taken back.";
            if !yes && !confirm(&format!("Cancel saga {}?\n{question}", saga.name), Input::Free).await? {
                return Ok(Exit::No);
            }
            let done = spec(&cluster, &saga, &json!({ "cancelRequested": true }), "cancel requested").await?;
            note_pause(&cluster, &saga);
            Ok(done)
        }
        SagaCommand::Suspend { name } => {
            let saga = find(&cluster, name).await?;
            if saga.is_deleted {
                return Err(Error::usage(format!(
                    "Saga {} is being deleted, which resumes it; follow it with: kubectl arcadia saga watch {}{}",
                    saga.name,
                    saga.name,
                    cluster.flag_for(&saga.namespace)
                )));
            }
            spec(&cluster, &saga, &json!({ "suspend": true }), "suspended").await
        }
        SagaCommand::Resume { name } => {
            let saga = find(&cluster, name).await?;
            spec(&cluster, &saga, &json!({ "suspend": false }), "resumed").await
        }
    }
}

async fn find(cluster: &UserCluster, name: &str) -> Result<SagaRow, Error> {
    let saga = cluster.get(Noun::Saga, &ObjectName::read(name, Noun::Saga)?).await?;
    Ok(SagaRow::read(&saga))
}

/// The field selector for sagas that are not finished.
pub(super) fn unfinished() -> String {
    let finished = SagaPhase::VARIANTS.iter().filter(|phase| phase.is_finished());
    finished.map(|phase| format!("status.phase!={}", phase.name())).collect::<Vec<_>>().join(",")
}

/// The trees of all unfinished sagas.
async fn trees(cluster: &UserCluster, format: Option<Format>) -> Result<Exit, Error> {
    let mut sagas = cluster.list(Noun::Saga, ListParams::default().fields(&unfinished()), Some).await?;
    sagas.sort_by_key(|saga| (saga.namespace(), saga.creation_timestamp(), saga.name_any()));
    if let Some(format) = format {
        print(&format.write(&output::list(&sagas))?)?;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let trees = sagas
        .iter()
        .map(SagaRow::read)
        .map(|saga| view::tree(&saga, &cluster.flag_for(&saga.namespace), now, Paint::of_stdout()));
    let text = trees.collect::<Vec<_>>().join("\n");
    let none = format!("No saga is in progress. List all sagas with: kubectl get sagas{}\n", cluster.flag());
    print(if text.is_empty() { &none } else { &text })?;
    Ok(Exit::Done)
}

/// Shows the tree until the saga has ended: in place on a terminal, else after each change. After the first tree, a lost
/// connection does not end it.
async fn watch(cluster: &UserCluster, name: &str) -> Result<Exit, Error> {
    let terminal = console::Term::stdout();
    let mut shown = 0;
    let mut last: Option<SagaRow> = None;
    let mut is_lost = false;
    loop {
        let mut saga = match find(cluster, name).await {
            Err(Error::Unusable { why, .. }) if last.is_some() => {
                if !std::mem::replace(&mut is_lost, true) {
                    note(&format!("the connection to the API server was lost: {why}; connecting again"));
                    shown = 0;
                }
                sleep(POLL).await;
                continue;
            }
            // A saga that is deleted rolls back first, and is gone then.
            Err(Error::NotFound { .. }) if last.is_some() => {
                note(&format!("saga {name} was deleted"));
                return Ok(Exit::No);
            }
            saga => saga?,
        };
        is_lost = false;
        // The tree does not show it.
        saga.resource_version = None;
        let text = view::tree(&saga, &cluster.flag_for(&saga.namespace), Timestamp::now(), Paint::of_stdout());
        if terminal.is_term() {
            let text = fitted(&text, terminal.size());
            terminal.clear_last_lines(shown)?;
            print(&text)?;
            shown = text.lines().count();
        } else if last.as_ref() != Some(&saga) {
            print(&text)?;
        }
        if saga.is_finished() {
            return Ok(if saga.phase == SagaPhase::Succeeded.name() { Exit::Done } else { Exit::No });
        }
        if saga.phase == SagaPhase::Stuck.name() {
            return Ok(Exit::No);
        }
        last = Some(saga);
        tokio::select! {
            () = sleep(POLL) => {}
            () = closed() => return Ok(Exit::Done),
        }
    }
}

/// Writes a signed resolution to a stuck saga.
async fn act(
    cluster: &UserCluster,
    resolve: &Resolve,
    annotation: &'static str,
    value: &str,
    question: Option<&str>,
) -> Result<Exit, Error> {
    let saga = find(cluster, &resolve.name).await?;
    if saga.phase != SagaPhase::Stuck.name() {
        return Err(Error::usage(format!(
            "Saga {} is {}, not Stuck: there is nothing to resolve; see its journal with: kubectl arcadia saga tree {}{}",
            saga.name,
            saga.phase,
            saga.name,
            cluster.flag_for(&saga.namespace),
        )));
    }
    let verb = if annotation == annotations::ADOPT { "adopt" } else { value };
    if let Some(question) = question.filter(|_| !resolve.yes) {
        let step = saga.step.clone().unwrap_or_default();
        let question = format!("{verb} step {step} of saga {}?\n{}\n{question}", saga.name, saga.message);
        if !confirm(&question, Input::Free).await? {
            return Ok(Exit::No);
        }
    }
    let user = cluster.user_name().await?;
    let annotations = Annotations::from([
        (annotation, Some(value.to_owned())),
        (annotations::DECIDED_BY, user),
        (annotations::BECAUSE, resolve.because.clone()),
    ]);
    let done = write_resolution(cluster, &saga, &annotations, &format!("{verb} requested")).await?;
    if done == Exit::Done {
        note_pause(cluster, &saga);
    }
    Ok(done)
}

/// Writes a resolution, unless the saga is in another state than the user saw: the operator applies a resolution to the
/// current step, whichever that is.
async fn write_resolution(
    cluster: &UserCluster,
    seen: &SagaRow,
    annotations: &Annotations,
    done: &str,
) -> Result<Exit, Error> {
    let flag = cluster.flag_for(&seen.namespace);
    let name = ObjectName { namespace: Some(seen.namespace.clone()), name: seen.name.clone() };
    let mut version = seen.resource_version.clone();
    for _ in 0..decide::TRIES {
        match write(cluster, seen, &decide::patch(annotations, version.as_deref()), done).await {
            Err(Error::Call(call::Error::Conflict { .. })) => {}
            outcome => return outcome,
        }
        let now = SagaRow::read(&cluster.get(Noun::Saga, &name).await?);
        if now.state() != seen.state() {
            note(&view::moved(seen, &now, &flag));
            return Ok(Exit::No);
        }
        version = now.resource_version;
    }
    note(&format!("saga.arcadia.cloud/{} not resolved: the object changes too often; repeat the command", seen.name));
    Ok(Exit::No)
}

/// Notes that a suspended saga does not continue by itself.
fn note_pause(cluster: &UserCluster, saga: &SagaRow) {
    if saga.is_suspended && saga.phase != SagaPhase::Pending.name() {
        note(&format!(
            "the saga is suspended; it continues after: kubectl arcadia saga resume {}{}",
            saga.name,
            cluster.flag_for(&saga.namespace)
        ));
    }
}

async fn approve(cluster: &UserCluster, name: &str, step: Option<&str>) -> Result<Exit, Error> {
    let saga = find(cluster, name).await?;
    let step = saga.step_to_approve(step, &cluster.flag_for(&saga.namespace)).map_err(Error::Usage)?;
    // Before Kubernetes 1.36 the value must be the user's own name; later versions replace it.
    let user = cluster.user_name().await?.unwrap_or_else(|| "yes".to_owned());
    let annotation = format!("{}{step}", annotations::APPROVE_PREFIX);
    let patch = json!({ "metadata": { "annotations": { annotation: user } } });
    write(cluster, &saga, &patch, &format!("step {step} approved")).await
}

async fn spec(cluster: &UserCluster, saga: &SagaRow, spec: &Value, done: &str) -> Result<Exit, Error> {
    write(cluster, saga, &json!({ "spec": spec }), done).await
}

async fn write(cluster: &UserCluster, saga: &SagaRow, patch: &Value, done: &str) -> Result<Exit, Error> {
    let doing = format!("changing Saga {}/{}", saga.namespace, saga.name);
    cluster.patch(Noun::Saga, &saga.namespace, &saga.name, &doing, patch, false).await?;
    print(&format!("saga.arcadia.cloud/{} {done}\n", saga.name))?;
    Ok(Exit::Done)
}

fn unless_finished(saga: &SagaRow) -> Result<(), Error> {
    if saga.is_finished() {
        return Err(Error::usage(format!("Saga {} has ended already, as {}", saga.name, saga.phase)));
    }
    Ok(())
}
