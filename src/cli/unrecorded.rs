//! `unrecorded`: live resources that no record names.

mod baseline;
mod view;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{
    Error, Exit,
    cloud::CloudArgs,
    cluster::{ClusterArgs, UserCluster, quoted},
    files::{failed, text_at},
    import::{self, Filter, TargetArgs, Writer},
    output,
    survey::{self, Survey},
    text::{note, print},
    verify,
};
use crate::digitalocean::{FieldSet, Kind, ResourceKey};
use baseline::Baseline;
use view::{NextCommands, Unrecorded};

/// The flags of `unrecorded`.
#[derive(Clone, Debug, Args)]
pub(super) struct UnrecordedArgs {
    /// Only resources of this kind; may be repeated
    #[arg(long, value_name = "KIND", value_parser = verify::kind)]
    kind: Vec<Kind>,

    #[command(flatten)]
    filter: Filter,

    /// Compare with the records in this file or folder instead of those in the cluster; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// File with resources that are known and not shown, one KIND/ID per line
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write what is unrecorded now into the baseline
    #[arg(long, requires = "baseline")]
    write_baseline: bool,

    /// Record them, as `import` does: --folder, --apply and --fields say where and what
    #[arg(long, conflicts_with_all = ["write_baseline", "output"])]
    import: bool,

    #[command(flatten)]
    target: TargetArgs,

    /// Format: `name` prints KIND/ID for `import`
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: UnrecordedFormat,

    #[command(flatten)]
    cloud: CloudArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UnrecordedFormat {
    Table,
    Json,
    Yaml,
    Name,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &UnrecordedArgs) -> Result<Exit, Error> {
    args.check()?;
    let client = args.cloud.client()?;
    let recorded = import::recorded(cluster, &args.paths).await?;
    let members = args.filter.members(&client).await?;
    let before = args.baseline()?;
    let target = if args.target.apply { Some(UserCluster::connect(cluster).await?) } else { None };
    let mut writer =
        if args.import { Some(Writer::new(&args.target, target, cluster.given_namespace())?) } else { None };
    let fields = |kind| if args.import { FieldSet::of(kind, args.target.fields_of(kind)) } else { FieldSet::default() };
    let kinds = survey::kinds(&args.kind);
    let mut survey = Survey::start(client, &kinds, fields);
    let (mut unrecorded, mut in_baseline) = (Vec::new(), 0);
    let mut unselected: BTreeSet<ResourceKey> = BTreeSet::new();
    while let Some(keys) = survey.next().await {
        for key in keys.into_iter().filter(|key| !recorded.contains(key)) {
            let Some(found) = survey.take(&key) else { continue };
            if args.filter.leaves_to_kubernetes(&found) || !args.filter.admits(&found, members.as_ref()) {
                unselected.insert(key);
                continue;
            }
            if !args.write_baseline && before.contains(&key) {
                in_baseline += 1;
                continue;
            }
            match &mut writer {
                Some(writer) => writer.record(&found, &survey)?,
                None => unrecorded.push(Unrecorded::of(&found)),
            }
        }
        if let Some(writer) = &mut writer {
            writer.flush().await?;
        }
    }
    let is_complete = survey.end()?;
    if let Some(writer) = writer {
        let has_all = writer.end()?;
        return Ok(if is_complete && has_all { Exit::Done } else { Exit::Failed });
    }
    if let (Some(path), true) = (&args.baseline, args.write_baseline) {
        if !is_complete {
            return Err(Error::usage("the baseline was not written: some lists could not be read"));
        }
        let keys: BTreeSet<&ResourceKey> = unrecorded.iter().map(Unrecorded::key).collect();
        let is_elsewhere = |key: &ResourceKey| !kinds.contains(&key.kind) || unselected.contains(key);
        fs::write(path, before.with(&keys, is_elsewhere)).map_err(failed("writing", path))?;
        note(&format!("{} written to {}", super::text::count(unrecorded.len(), "resource"), path.display()));
        return Ok(Exit::Done);
    }
    print(&match args.output {
        UnrecordedFormat::Table => {
            view::table(&unrecorded, in_baseline, &args.next_commands(cluster), Timestamp::now())
        }
        UnrecordedFormat::Json => output::json(&view::json(&unrecorded))?,
        UnrecordedFormat::Yaml => output::yaml(&view::json(&unrecorded))?,
        UnrecordedFormat::Name => view::names(&unrecorded),
    })?;
    Ok(match (is_complete, unrecorded.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::No,
        (true, true) => Exit::Done,
    })
}

impl UnrecordedArgs {
    /// Refuses flags that have no meaning without the import.
    fn check(&self) -> Result<(), Error> {
        let is_given = self.target.apply || self.target.folder.is_some() || !self.target.fields.is_empty();
        if is_given && !self.import {
            return Err(Error::usage(
                "--folder, --apply and --fields belong to --import: add it to record the resources",
            ));
        }
        self.target.check(&survey::kinds(&self.kind))
    }

    /// The baseline; empty if none is given, or if it is to be written and does not exist yet.
    fn baseline(&self) -> Result<Baseline, Error> {
        let Some(path) = &self.baseline else { return Ok(Baseline::default()) };
        if self.write_baseline && !path.try_exists().map_err(failed("reading", path))? {
            return Ok(Baseline::default());
        }
        let contents = |why: String| Error::Contents { source_name: path.display().to_string(), why };
        Baseline::parse(&text_at(path)?).map_err(contents)
    }

    /// The commands that record what was listed.
    fn next_commands(&self, cluster: &ClusterArgs) -> NextCommands {
        let words = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        NextCommands { flags: self.cloud.account_flags() + &cluster.given_flags(), all: self.again(words) }
    }

    /// The same command with --import. Another one would also record what the flags and the baseline leave out.
    fn again(&self, words: impl Iterator<Item = String>) -> String {
        let words: Vec<String> = without_format(words).iter().map(|word| quoted(word)).collect();
        let place = match self.paths.first() {
            Some(path) if path.is_dir() => format!("--folder {}", quoted(&path.display().to_string())),
            Some(file) => {
                let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
                format!("--folder {}", quoted(&folder.unwrap_or(Path::new(".")).display().to_string()))
            }
            None => "--apply".to_owned(),
        };
        format!("kubectl arcadia {} --import {place}", words.join(" "))
    }
}

/// The words of a command without the format, which contradicts --import.
fn without_format(mut words: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if ["-o", "--output"].contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with("-o") && !word.starts_with("--output=") {
            kept.push(word);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Plugin, PluginCommand};

    #[test]
    fn the_same_command_records_what_it_listed() {
        for (line, wanted) in [
            ("unrecorded", "unrecorded --import --apply"),
            ("--as jane unrecorded -n team --tag web", "--as jane unrecorded -n team --tag web --import --apply"),
            ("unrecorded -o table --kind Droplet", "unrecorded --kind Droplet --import --apply"),
            ("unrecorded -otable --baseline a.txt", "unrecorded --baseline a.txt --import --apply"),
            ("unrecorded -f /dev/null", "unrecorded -f /dev/null --import --folder /dev"),
        ] {
            let words = || line.split(' ').map(str::to_owned);
            let parsed = Plugin::try_parse_from(std::iter::once("kubectl-arcadia".to_owned()).chain(words())).unwrap();
            let Some(PluginCommand::Unrecorded(args)) = parsed.command else { panic!("{line}") };
            assert_eq!(args.again(words()), format!("kubectl arcadia {wanted}"));
        }
        let formats = ["--output", "name", "--output=name", "-o=name", "-A"].map(str::to_owned);
        assert_eq!(without_format(formats.into_iter()), ["-A"]);
    }
}
