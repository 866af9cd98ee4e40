//! `completion`: the script that enables kubectl to complete this plugin, and the command that the script runs.
//!
//! kubectl completes `kubectl arcadia ...` by running `kubectl_complete-arcadia` with the words so far. It expects one
//! candidate per line, and a last line with a directive.

use std::{collections::BTreeSet, ffi::OsString};

use clap::{Args, Command, FromArgMatches as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
};

use super::{
    Error, Exit,
    accept::NEVER,
    cluster::{self, ClusterArgs, Noun, ObjectName, UserCluster},
    decide::{ACCEPTED, OPEN},
    drift::{DriftView, text},
    saga,
    text::{lines, print},
};
use crate::{api::labels, digitalocean::Kind};

/// The script. It is short, so that it needs no updates.
const SCRIPT: &str = "#!/usr/bin/env sh
# Completion of kubectl arcadia. Save it as kubectl_complete-arcadia in a folder of the PATH and make it executable.
exec kubectl-arcadia __complete \"$@\"
";
/// The last line: complete no file names.
const NO_FILES: &str = ":4";
/// The last line: complete file names.
const FILES: &str = ":0";

/// The command that the script runs.
pub(super) const COMPLETE: &str = "__complete";

/// The arguments of a process. After [`COMPLETE`], all are words to complete: the parser would take a flag such as
/// `-n team` before the verb for its own.
pub(super) fn arguments(of_process: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = of_process.into_iter().collect();
    if arguments.get(1).is_some_and(|verb| verb == COMPLETE) {
        arguments.insert(2, "--".into());
    }
    arguments
}

/// The words so far; the last one is to be completed.
#[derive(Clone, Debug, Args)]
pub(super) struct CompleteArgs {
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    words: Vec<String>,
}

/// The possible values of the last word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Completion {
    /// One of these.
    Words(Vec<String>),
    /// The name of one of these objects, perhaps after its noun or its namespace.
    Names(&'static [Candidates]),
    /// A recorded field of an open drift.
    Fields,
    /// A change of open drifts.
    Changes,
    /// The name of a namespace.
    Namespaces,
    /// The name of a context of the kubeconfig.
    Contexts,
    /// A path, or any text.
    Free,
}

/// The objects whose names fit an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidates {
    Records,
    OpenDrifts,
    /// Drifts with a pending decision.
    DecidedDrifts,
    StandingDrifts,
    Sagas,
    UnfinishedSagas,
}

impl Candidates {
    const fn noun(self) -> Noun {
        match self {
            Self::Records => Noun::Record,
            Self::OpenDrifts | Self::DecidedDrifts | Self::StandingDrifts => Noun::Drift,
            Self::Sagas | Self::UnfinishedSagas => Noun::Saga,
        }
    }

    /// The field selector of the list.
    fn selector(self) -> String {
        match self {
            Self::Records | Self::Sagas => String::new(),
            Self::OpenDrifts | Self::DecidedDrifts => OPEN.to_owned(),
            Self::StandingDrifts => ACCEPTED.to_owned(),
            Self::UnfinishedSagas => saga::unfinished(),
        }
    }

    /// Whether an object of the list is one of these.
    fn includes(self, object: &DynamicObject) -> bool {
        match self {
            Self::Records | Self::OpenDrifts | Self::Sagas | Self::UnfinishedSagas => true,
            Self::DecidedDrifts => DriftView::read(object).pending.is_some(),
            Self::StandingDrifts => DriftView::read(object).stands(),
        }
    }
}

pub(super) fn script() -> Result<Exit, Error> {
    print(SCRIPT)?;
    Ok(Exit::Done)
}

pub(super) async fn complete(command: &Command, args: &CompleteArgs) -> Result<Exit, Error> {
    let (last, before) = args.words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (candidates, directive) = match place(command, before, last) {
        Completion::Words(words) => (words, NO_FILES),
        Completion::Names(all) => (names(&cluster_of(command, before), all, last).await.unwrap_or_default(), NO_FILES),
        Completion::Fields => (values(&cluster_of(command, before), field).await.unwrap_or_default(), NO_FILES),
        Completion::Changes => (values(&cluster_of(command, before), change).await.unwrap_or_default(), NO_FILES),
        Completion::Namespaces => (namespaces(&cluster_of(command, before)).await.unwrap_or_default(), NO_FILES),
        Completion::Contexts => (cluster_of(command, before).contexts(), NO_FILES),
        Completion::Free => (Vec::new(), FILES),
    };
    let fitting = candidates.into_iter().filter(|candidate| candidate.starts_with(last));
    print(&lines(fitting.chain([directive.to_owned()])))?;
    Ok(Exit::Done)
}

/// The cluster that the words so far select.
fn cluster_of(root: &Command, before: &[String]) -> ClusterArgs {
    // Flags before the verb are lost if the command is incomplete.
    let (mut flags, mut others) = (Vec::new(), vec!["kubectl-arcadia"]);
    let mut words = before.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let name = word.split('=').next().and_then(|name| name.strip_prefix('-'));
        match name.and_then(|name| flag_named(root, root, name)) {
            Some(flag) if flag.is_global_set() => {
                flags.push(word);
                if flag.get_action().takes_values() && !word.contains('=') {
                    flags.extend(words.next());
                }
            }
            _ => others.push(word),
        }
    }
    let matches = root.clone().ignore_errors(true).try_get_matches_from(others.into_iter().chain(flags));
    matches.ok().and_then(|matches| ClusterArgs::from_arg_matches(&matches).ok()).unwrap_or_default()
}

/// The possible values after these words.
fn place(root: &Command, before: &[String], last: &str) -> Completion {
    let mut command = root;
    let mut words = before.iter();
    let mut awaited = None;
    let mut positionals = 0;
    while let Some(word) = words.next() {
        awaited = None;
        if let Some(flag) = word.strip_prefix('-') {
            let argument = flag_named(root, command, flag).filter(|_| !word.contains('='));
            if let Some(argument) = argument.filter(|argument| argument.get_action().takes_values()) {
                if words.len() == 0 {
                    awaited = Some(argument);
                } else {
                    words.next();
                }
            }
        } else if let Some(found) = command.find_subcommand(word) {
            command = found;
        } else {
            positionals += 1;
        }
    }
    if let Some(argument) = awaited {
        return value_of(argument, command, before);
    }
    if last.starts_with('-') {
        let flags = command.get_arguments().chain(root.get_arguments().filter(|argument| argument.is_global_set()));
        let mut flags: Vec<String> = flags.filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect();
        flags.sort();
        flags.dedup();
        return Completion::Words(flags);
    }
    if command.has_subcommands() {
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
        return Completion::Words(visible.map(|command| command.get_name().to_owned()).collect());
    }
    // The last argument may repeat.
    let arguments: Vec<_> = command.get_positionals().collect();
    arguments
        .get(positionals)
        .or(arguments.last())
        .map_or(Completion::Free, |argument| value_of(argument, command, before))
}

fn flag_named<'c>(root: &'c Command, command: &'c Command, flag: &str) -> Option<&'c clap::Arg> {
    let mut all = command.get_arguments().chain(root.get_arguments());
    match flag.strip_prefix('-') {
        Some(long) => all.find(|argument| argument.get_long() == Some(long)),
        None => {
            all.find(|argument| argument.get_short().is_some_and(|short| flag.starts_with(short) && flag.len() == 1))
        }
    }
}

/// The possible values of an argument of a command, by the name of its value in the help.
fn value_of(argument: &clap::Arg, command: &Command, before: &[String]) -> Completion {
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !possible.is_empty() {
        return Completion::Words(possible);
    }
    let names = argument.get_value_names().unwrap_or_default();
    match (names.first().map(clap::builder::Str::as_str), argument.get_id().as_str()) {
        (Some("DRIFT"), _) => Completion::Names(match command.get_name() {
            "withdraw" => &[Candidates::DecidedDrifts, Candidates::StandingDrifts],
            "accept" if before.iter().any(|word| word.split('=').next() == Some("--until")) => {
                &[Candidates::OpenDrifts, Candidates::StandingDrifts]
            }
            _ => &[Candidates::OpenDrifts],
        }),
        (Some("RECORD"), _) | (_, "record") => Completion::Names(&[Candidates::Records]),
        // A journal can be shown after the end, too.
        (Some("SAGA"), _) if command.get_name() == "tree" => Completion::Names(&[Candidates::Sagas]),
        (Some("SAGA"), _) => Completion::Names(&[Candidates::UnfinishedSagas]),
        (_, "namespace") => Completion::Namespaces,
        (_, "context") => Completion::Contexts,
        (Some("HASH"), _) => Completion::Changes,
        (Some("FIELD"), _) => Completion::Fields,
        (_, "until") => Completion::Words(vec![NEVER.to_owned()]),
        (Some("FIELD,..."), _) => Completion::Words(fields()),
        (Some("NAME"), "name") => Completion::Names(&[Candidates::OpenDrifts, Candidates::Records]),
        (Some("KIND"), _) => Completion::Words(Kind::all().map(|kind| kind.name().to_owned()).collect()),
        _ => Completion::Free,
    }
}

/// The top-level fields of all kinds.
fn fields() -> Vec<String> {
    let fields: BTreeSet<&str> = Kind::all().flat_map(Kind::fields).collect();
    fields.into_iter().map(str::to_owned).collect()
}

fn field(drift: &DynamicObject) -> Option<String> {
    text(&drift.data, "/spec/field").map(str::to_owned)
}

fn change(drift: &DynamicObject) -> Option<String> {
    drift.labels().get(labels::CHANGE).cloned()
}

/// The values of the open drifts in the namespace, each once.
async fn values(cluster: &ClusterArgs, value: fn(&DynamicObject) -> Option<String>) -> Result<Vec<String>, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let values = cluster.list(Noun::Drift, ListParams::default().fields(OPEN), |drift| value(&drift)).await?;
    Ok(values.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}

async fn namespaces(cluster: &ClusterArgs) -> Result<Vec<String>, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let name = |namespace: Namespace| Some(namespace.name_any());
    cluster::list(&Api::all(cluster.client()), "listing namespaces", ListParams::default(), name).await
}

/// The names of these objects, each as it continues the last word.
async fn names(cluster: &ClusterArgs, all: &[Candidates], last: &str) -> Result<Vec<String>, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let mut names = Vec::new();
    for candidates in all {
        // The word may be the name of another noun.
        let Ok(begun) = ObjectName::read(last, candidates.noun()) else { continue };
        let prefix = last.strip_suffix(&begun.name).unwrap_or_default();
        // A name of all namespaces needs its own. A namespace may have the name of a noun.
        let has_namespace = cluster.is_all() && begun.namespace.is_none();
        let name = |object: DynamicObject| {
            let namespace = object.namespace().filter(|_| has_namespace).map(|namespace| namespace + "/");
            let namespace = namespace.as_deref().unwrap_or_default();
            let is_noun = prefix.is_empty() && Noun::of(namespace.trim_end_matches('/')).is_some();
            let noun = if is_noun { candidates.noun().plural() + "/" } else { String::new() };
            candidates.includes(&object).then(|| [prefix, &noun, namespace, &object.name_any()].concat())
        };
        let params = ListParams::default().fields(&candidates.selector());
        names.extend(cluster.of_name(&begun).list(candidates.noun(), params, name).await?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::{Plugin, PluginCommand};

    fn at(words: &str) -> Completion {
        let mut root = Plugin::command();
        root.build();
        let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let last = words.pop().unwrap();
        place(&root, &words, &last)
    }

    #[test]
    fn flags_before_the_verb_are_words_to_complete() {
        for words in ["-n team accept ", "-A -n team", "--help ", "accept -n team ", "-- "] {
            let given: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let line = ["kubectl-arcadia", COMPLETE].map(str::to_owned).into_iter().chain(given.clone());
            let parsed = Plugin::try_parse_from(arguments(line.map(OsString::from))).unwrap();
            match parsed.command {
                Some(PluginCommand::Complete(args)) => assert_eq!(args.words, given, "{words}"),
                other => panic!("{words}: {other:?}"),
            }
        }
        let other = ["kubectl-arcadia", "-n", "team"].map(OsString::from);
        assert_eq!(arguments(other.clone()), other);
    }

    #[test]
    fn the_cluster_is_selected_by_flags_before_and_after_the_verb() {
        let root = Plugin::command();
        for words in
            ["-n team accept", "accept -n team", "--namespace=team saga tree", "--as jane -n team inbox --field"]
        {
            let before: Vec<String> = words.split(' ').map(str::to_owned).collect();
            assert_eq!(cluster_of(&root, &before).given_namespace(), Some("team"), "{words}");
        }
    }

    #[test]
    fn each_place_has_its_candidates() {
        for (words, wanted) in [
            ("accept ", Completion::Names(&[Candidates::OpenDrifts])),
            ("accept a-1 ", Completion::Names(&[Candidates::OpenDrifts])),
            ("-n team accept ", Completion::Names(&[Candidates::OpenDrifts])),
            ("accept --record ", Completion::Names(&[Candidates::Records])),
            ("history ", Completion::Names(&[Candidates::Records])),
            ("show ", Completion::Names(&[Candidates::OpenDrifts, Candidates::Records])),
            ("saga watch ", Completion::Names(&[Candidates::UnfinishedSagas])),
            ("saga tree ", Completion::Names(&[Candidates::Sagas])),
            ("withdraw ", Completion::Names(&[Candidates::DecidedDrifts, Candidates::StandingDrifts])),
            ("accept --until 7d ", Completion::Names(&[Candidates::OpenDrifts, Candidates::StandingDrifts])),
            ("accept --until=7d ", Completion::Names(&[Candidates::OpenDrifts, Candidates::StandingDrifts])),
            ("accept --change ", Completion::Changes),
            ("inbox --field ", Completion::Fields),
            ("history web-1 ", Completion::Fields),
            ("inbox -n ", Completion::Namespaces),
            ("inbox --context ", Completion::Contexts),
            ("accept --because ", Completion::Free),
            ("accept --until ", Completion::Words(vec!["never".into()])),
            ("verify -f ", Completion::Free),
            ("accept --dry-run ", Completion::Words(vec!["none".into(), "server".into()])),
        ] {
            assert_eq!(at(words), wanted, "{words}");
        }
        let words = |words| match at(words) {
            Completion::Words(words) => words,
            other => panic!("{words}: {other:?}"),
        };
        assert!(words("").contains(&"inbox".to_owned()) && !words("").contains(&"__complete".to_owned()));
        assert!(
            words("inbox --").contains(&"--watch".to_owned()) && words("inbox --").contains(&"--namespace".to_owned())
        );
        assert!(words("import --kind ").contains(&"Droplet".to_owned()));
        assert!(words("saga ").contains(&"abandon".to_owned()));
        assert!(words("import --fields ").contains(&"size_slug".to_owned()));
    }
}
