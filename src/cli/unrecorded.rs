//! `unrecorded`: live resources that no record names.

mod view;

use std::{collections::BTreeSet, fs, path::PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{
    Error, Exit,
    cloud::CloudArgs,
    cluster::{ClusterArgs, UserCluster},
    files::failed,
    import::{self, Filter, TargetArgs, Writer},
    output,
    survey::{self, Survey},
    text::{note, print},
    verify,
};
use crate::digitalocean::{FieldSet, Kind};
use view::Unrecorded;

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
    let known = match &args.baseline {
        Some(path) if !args.write_baseline => known(&fs::read_to_string(path).map_err(failed("reading", path))?),
        _ => BTreeSet::new(),
    };
    let target = if args.target.apply { Some(UserCluster::connect(cluster).await?) } else { None };
    let mut writer =
        if args.import { Some(Writer::new(&args.target, target, cluster.given_namespace())?) } else { None };
    let fields = |kind| if args.import { FieldSet::of(kind, args.target.fields_of(kind)) } else { FieldSet::default() };
    let mut survey = Survey::start(client, &survey::kinds(&args.kind), fields);
    let (mut unrecorded, mut in_baseline) = (Vec::new(), 0);
    while let Some(keys) = survey.next().await {
        for key in keys.into_iter().filter(|key| !recorded.contains(key)) {
            let Some(found) = survey.take(&key) else { continue };
            if args.filter.leaves_to_kubernetes(&found) || !args.filter.admits(&found, members.as_ref()) {
                continue;
            }
            if known.contains(&found.address()) {
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
        writer.end()?;
        return Ok(if is_complete { Exit::Done } else { Exit::Failed });
    }
    if let (Some(path), true) = (&args.baseline, args.write_baseline) {
        if !is_complete {
            return Err(Error::usage("the baseline was not written: some lists could not be read"));
        }
        fs::write(path, view::names(&unrecorded)).map_err(failed("writing", path))?;
        note(&format!("{} written to {}", super::text::count(unrecorded.len(), "resource"), path.display()));
        return Ok(Exit::Done);
    }
    print(&match args.output {
        UnrecordedFormat::Table => view::table(&unrecorded, in_baseline, Timestamp::now()),
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
}

/// The resources of a baseline. Lines that begin with `#` are comments.
fn known(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_may_have_comments() {
        let known = known("# of May\nDroplet/1\n\n  Volume/2 \n");
        assert_eq!(known.into_iter().collect::<Vec<_>>(), ["Droplet/1", "Volume/2"]);
    }
}
