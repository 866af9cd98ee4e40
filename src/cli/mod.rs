//! `kubectl arcadia`: the command line of users. It acts as the user of the kubeconfig and needs no right of the operator.
//!
//! One file per command contains its flags and calls, and a pure `view` beside it renders the result. Objects are read
//! without their types, see [`drift`], so that an operator of another minor version works too.

#![cfg_attr(test, allow(clippy::needless_raw_string_hashes, reason = "the form in which snapshots are updated"))]

mod accept;
mod cloud;
mod cluster;
mod completion;
mod decide;
mod drift;
mod error;
mod files;
mod history;
mod import;
mod inbox;
mod man;
mod manifests;
mod output;
mod placement;
mod prompt;
mod revert;
mod saga;
mod select;
mod show;
mod status;
mod survey;
mod text;
mod unrecorded;
mod verify;
mod withdraw;

use std::{env, future::Future, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use futures::future::LocalBoxFuture;
use tokio::{runtime::Runtime, signal};

use cluster::ClusterArgs;
use error::{Error, Exit};

/// Exit codes, for the help.
const EXIT_CODES: &str = "Exit codes:
  0    the command succeeded; verify, unrecorded, manifests --check and status found nothing
  1    verify, unrecorded, manifests --check or status found something, manifests --write could
       not write a value that a file declares, or a decision was refused or is late
  2    the command failed or could not read everything: invalid arguments, no connection, a missing right
  130  interrupted, for example by Ctrl-C

Colours are used on terminals only; NO_COLOR=1 turns them off.";

/// Decide drifts, record resources and follow sagas of arcadia-operator. Without a command: the inbox
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-arcadia",
    bin_name = "kubectl arcadia",
    version,
    max_term_width = 100,
    after_help = EXIT_CODES
)]
struct Plugin {
    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(subcommand)]
    command: Option<PluginCommand>,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Show the open drifts, grouped by change (the default)
    #[command(after_help = "Examples:
  kubectl arcadia inbox -A
  kubectl arcadia inbox -i
  kubectl arcadia inbox --kind Droplet --field size_slug -o wide
  kubectl arcadia inbox -o name | kubectl arcadia accept - --yes")]
    Inbox(inbox::InboxArgs),

    /// Accept drifts: the live value becomes the desired one
    #[command(after_help = "Examples:
  kubectl arcadia accept web-2-size-slug-e7320a9aaf-1 --because 'approved in OPS-123'
  kubectl arcadia accept --change a4b70a39 --until 7d --wait
  kubectl arcadia accept --record web-2 --dry-run=server
  kubectl arcadia inbox --field tags -o name | kubectl arcadia accept - --yes")]
    Accept(accept::AcceptArgs),

    /// Revert drifts: a saga changes the cloud back to the desired value
    #[command(after_help = "Examples:
  kubectl arcadia revert web-2-size-slug-e7320a9aaf-1 --plan
  kubectl arcadia revert --change a4b70a39 --allow disruption --wait")]
    Revert(revert::RevertArgs),

    /// Withdraw decisions that are not carried out yet, and acceptances that stand
    #[command(after_help = "Examples:
  kubectl arcadia withdraw web-2-size-slug-e7320a9aaf-1
  kubectl arcadia withdraw --record web-2 --yes")]
    Withdraw(withdraw::WithdrawArgs),

    /// Show a drift or a record with its history, events and sagas
    #[command(after_help = "Examples:
  kubectl arcadia show web-2-size-slug-e7320a9aaf-1
  kubectl arcadia show pr/web-2
  kubectl arcadia show pr/web-2 --live
  kubectl arcadia show pr/web-2 -o json | jq .drifts")]
    Show(show::ShowArgs),

    /// List the drifts of a record, resolved ones included
    #[command(after_help = "Examples:
  kubectl arcadia history web-2
  kubectl arcadia history web-2 size_slug")]
    History(history::HistoryArgs),

    /// Check the installation and your rights; each problem comes with the command that corrects it
    #[command(after_help = "Examples:
  kubectl arcadia status
  kubectl arcadia status -A")]
    Status(status::StatusArgs),

    /// Follow, resolve, approve and cancel sagas
    #[command(after_help = "Examples:
  kubectl arcadia saga tree
  kubectl arcadia saga watch provision-web-3
  kubectl arcadia saga retry provision-web-3 --because 'quota raised'")]
    Saga(saga::SagaArgs),

    /// Compare manifests with the live account, without a cluster; exit code 1 on drift
    #[command(after_help = "Examples:
  kubectl arcadia verify -f records/
  kubectl arcadia verify -f records/ -o junit > report.xml")]
    Verify(verify::VerifyArgs),

    /// Write a record for each live resource: to standard output, a folder or the cluster
    #[command(after_help = "Examples:
  kubectl arcadia import --kind Droplet --tag prod
  kubectl arcadia import --folder records/
  kubectl arcadia import Droplet/3164444 --apply -n platform
  terraform show -json | kubectl arcadia import --from-terraform - --folder records/")]
    Import(import::ImportArgs),

    /// List live resources that no record names; exit code 1 if there are any
    #[command(after_help = "Examples:
  kubectl arcadia unrecorded
  kubectl arcadia unrecorded --baseline known.txt --write-baseline
  kubectl arcadia unrecorded --baseline known.txt -f records/
  kubectl arcadia unrecorded --kind Droplet --import --folder records/")]
    Unrecorded(unrecorded::UnrecordedArgs),

    /// Write accepted values into the manifests that declare them, with a diff and a commit message
    #[command(after_help = "Examples:
  kubectl arcadia manifests --write records/
  kubectl arcadia manifests --write records/ -o message > message.txt && git commit -a -F message.txt
  kubectl arcadia manifests --check records/ -A")]
    Manifests(manifests::ManifestsArgs),

    /// Print the script kubectl_complete-arcadia, with which kubectl completes this plugin in every shell
    #[command(after_help = "Examples:
  kubectl arcadia completion > ~/.local/bin/kubectl_complete-arcadia
  chmod +x ~/.local/bin/kubectl_complete-arcadia")]
    Completion,

    /// Write the manual pages into a folder
    #[command(after_help = "Examples:
  kubectl arcadia man ~/.local/share/man/man1")]
    Man(man::ManArgs),

    /// Print candidates for the last word
    #[command(name = completion::COMPLETE, hide = true)]
    Complete(completion::CompleteArgs),
}

/// The commands and flags, for the reference.
#[must_use]
pub fn command() -> clap::Command {
    Plugin::command()
}

/// Runs the command line of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Plugin::try_parse_from(completion::arguments(env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            let is_requested = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // The error that the pipe is closed has no reader.
            let _ = error.print();
            return ExitCode::from(if is_requested { Exit::Done } else { Exit::Failed }.code());
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Error::usage(format!("starting: {error}")))),
    };
    let ended = runtime.block_on(interruptible(run(&cli)));
    // Does not wait for threads that read from a terminal.
    runtime.shutdown_background();
    end(ended)
}

/// Boxes the command, since some are large.
fn run(cli: &Plugin) -> LocalBoxFuture<'_, Result<Exit, Error>> {
    let cluster = &cli.cluster;
    let Some(command) = &cli.command else {
        return Box::pin(async { inbox::run(cluster, &inbox::InboxArgs::default()).await });
    };
    match command {
        PluginCommand::Inbox(args) => Box::pin(inbox::run(cluster, args)),
        PluginCommand::Accept(args) => Box::pin(accept::run(cluster, args)),
        PluginCommand::Revert(args) => Box::pin(revert::run(cluster, args)),
        PluginCommand::Withdraw(args) => Box::pin(withdraw::run(cluster, args)),
        PluginCommand::Show(args) => Box::pin(show::run(cluster, args)),
        PluginCommand::History(args) => Box::pin(history::run(cluster, args)),
        PluginCommand::Status(args) => Box::pin(status::run(cluster, args)),
        PluginCommand::Saga(args) => Box::pin(saga::run(cluster, args)),
        PluginCommand::Verify(args) => Box::pin(verify::run(args)),
        PluginCommand::Import(args) => Box::pin(import::run(cluster, args)),
        PluginCommand::Unrecorded(args) => Box::pin(unrecorded::run(cluster, args)),
        PluginCommand::Manifests(args) => Box::pin(manifests::run(cluster, args)),
        PluginCommand::Completion => Box::pin(async { completion::script() }),
        PluginCommand::Man(args) => Box::pin(async { man::run(Plugin::command(), args) }),
        PluginCommand::Complete(args) => Box::pin(async {
            let mut command = Plugin::command();
            command.build();
            completion::complete(&command, args).await
        }),
    }
}

/// Ends a command at Ctrl-C.
async fn interruptible(command: impl Future<Output = Result<Exit, Error>>) -> Result<Exit, Error> {
    tokio::select! {
        ended = command => ended,
        _ = signal::ctrl_c() => {
            let terminal = console::Term::stderr();
            if terminal.is_term() {
                let _ = terminal.show_cursor();
                text::note("");
            }
            Ok(Exit::Interrupted)
        }
    }
}

fn end(ended: Result<Exit, Error>) -> ExitCode {
    let exit = ended.unwrap_or_else(|error| match error {
        Error::Closed => Exit::Done,
        error => {
            text::note(&format!("error: {error}"));
            Exit::Failed
        }
    });
    ExitCode::from(exit.code())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Plugin::command().debug_assert();
    }

    #[test]
    fn the_plugins_for_k9s_are_commands_of_this_program() {
        let plugins: Value = serde_saphyr::from_str(include_str!("../../deploy/k9s/plugins.yaml")).unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for (name, plugin) in plugins["plugins"].as_object().unwrap() {
            let words: Vec<&str> =
                plugin["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            let line = words.join(" ").replace("-c kubectl ", "");
            let line = line.split(['|', ';']).next().unwrap();
            let arguments = line.split_whitespace().skip_while(|word| *word != "arcadia").skip(1);
            let parsed = Plugin::try_parse_from(std::iter::once("kubectl-arcadia").chain(arguments));
            assert!(parsed.is_ok(), "{name}: {line}: {:?}", parsed.err());
            // k9s ignores all plugins where it does not know a key, and one of two on the same key.
            let known = ["shortCut", "override", "description", "scopes", "command", "background", "args", "dangerous"];
            assert!(plugin.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{name}");
            for scope in plugin["scopes"].as_array().unwrap() {
                let is_new = taken.insert((plugin["shortCut"].clone().to_string(), scope.clone().to_string()));
                assert!(is_new, "{name}: {}", plugin["shortCut"]);
            }
        }
        let views: Value = serde_saphyr::from_str(include_str!("../../deploy/k9s/views.yaml")).unwrap();
        for (view, contents) in views["views"].as_object().unwrap() {
            let definitions = crate::api::crds();
            let plural = view.rsplit('/').next().unwrap();
            let definition = definitions.iter().find(|definition| definition.spec.names.plural == plural).unwrap();
            let version = &definition.spec.versions[0];
            assert_eq!(*view, format!("{}/{}/{plural}", definition.spec.group, version.name));
            let printed = version.additional_printer_columns.iter().flatten().map(|column| column.name.to_uppercase());
            let printed: Vec<_> = printed.chain(["NAMESPACE", "NAME"].map(str::to_owned)).collect();
            let sorted = contents["sortColumn"].as_str().unwrap().split(':').next().unwrap();
            let columns = contents["columns"].as_array().unwrap().iter().map(|column| column.as_str().unwrap());
            for column in columns.chain([sorted]) {
                assert!(printed.iter().any(|name| name == column), "{view} has no column {column}: {printed:?}");
            }
        }
    }
}
