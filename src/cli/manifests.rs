//! `manifests`: writes accepted values into the manifests that declare them.

mod edit;
mod plan;
mod view;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use kube::api::ListParams;

use super::{
    Error, Exit,
    cluster::{ClusterArgs, Noun, UserCluster},
    decide::ACCEPTED,
    files, output,
    text::{Paint, note, print},
};
use plan::{ManifestEdits, StandingDrift};

/// The flags of `manifests`.
#[derive(Clone, Debug, Args)]
pub(super) struct ManifestsArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Also write values whose acceptance ends by itself
    #[arg(long)]
    temporary: bool,

    /// Format: `diff` and `message` print only the diff or only the commit message
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: ManifestsFormat,
}

/// The manifests, and a flag that they are changed.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct PlaceArgs {
    /// Write the accepted values into the manifests in this file or folder; may be repeated; exit code 1 if no file
    /// declares any of them, or if a value that a file declares could not be written
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,

    /// Only show what --write would do; exit code 1 if a manifest is not current
    #[arg(long, value_name = "PATH")]
    check: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ManifestsFormat {
    Text,
    Diff,
    Message,
    Json,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &ManifestsArgs) -> Result<Exit, Error> {
    // First, so that a wrong path is reported before the cluster is read.
    let files = read(args.place.paths())?;
    let cluster = UserCluster::connect(cluster).await?;
    let params = ListParams::default().fields(ACCEPTED);
    let standing = cluster.list(Noun::Drift, params, |drift| StandingDrift::read(&drift)).await?;
    let plan = ManifestEdits::of(standing, &files, args.temporary);
    if args.place.writes() {
        for edit in &plan.edits {
            fs::write(&edit.path, &edit.after).map_err(files::failed("writing", &edit.path))?;
        }
    }
    let paint = Paint::of_stdout();
    print(&match args.output {
        ManifestsFormat::Text => view::text(&plan, &cluster.place(), args.place.writes(), paint),
        ManifestsFormat::Diff => view::diffs(&plan, paint),
        ManifestsFormat::Message => view::message(&plan),
        ManifestsFormat::Json => output::json(&view::json(&plan))?,
    })?;
    for line in view::left(&plan, &cluster) {
        note(&line);
    }
    Ok(if plan.is_done(args.place.writes()) { Exit::Done } else { Exit::No })
}

impl PlaceArgs {
    fn writes(&self) -> bool {
        !self.write.is_empty()
    }

    fn paths(&self) -> &[PathBuf] {
        if self.writes() { &self.write } else { &self.check }
    }
}

/// The files that may declare records.
fn read(paths: &[PathBuf]) -> Result<Vec<plan::File>, Error> {
    let mut files = Vec::new();
    for path in paths {
        for path in files::within(path)? {
            if let Some(text) = text(&path)? {
                files.push(plan::File { path, text });
            }
        }
    }
    Ok(files)
}

/// The text of a file; none for a binary file, such as an archive with the extension of a manifest.
fn text(path: &Path) -> Result<Option<String>, Error> {
    let bytes = fs::read(path).map_err(files::failed("reading", path))?;
    Ok(String::from_utf8(bytes).ok())
}
