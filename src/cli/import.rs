//! `import`: writes one record per live resource, to standard output, a folder or the cluster.

mod filter;
mod folder;
mod project;
mod record;
mod stored;
mod target;
mod terraform;
mod writer;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;
use kube::api::{DynamicObject, ListParams};

use super::{
    Error, Exit,
    cloud::CloudArgs,
    cluster::{ClusterArgs, Noun, UserCluster},
    drift::text,
    files,
    survey::{self, Survey, SurveyedResource},
    text::{note, print},
    verify,
};
use crate::digitalocean::{FieldSet, Kind, ResourceKey};
use project::Members;

pub(super) use filter::Filter;
pub(super) use target::TargetArgs;
pub(super) use writer::Writer;

/// The flags of `import`.
#[derive(Clone, Debug, Args)]
pub(super) struct ImportArgs {
    /// Only these resources, each as KIND/ID, such as Droplet/3164444
    #[arg(value_name = "KIND/ID", value_parser = survey::read_address)]
    resources: Vec<ResourceKey>,

    /// Only resources of this kind; may be repeated
    #[arg(long, value_name = "KIND", value_parser = verify::kind, conflicts_with = "resources")]
    kind: Vec<Kind>,

    #[command(flatten)]
    filter: Filter,

    /// Record what a state of Terraform or OpenTofu says: a state file, or `-` for the output of `terraform show -json`
    /// or `tofu show -json`. DigitalOcean is not called
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resources", "tag", "name", "region", "project", "fields"])]
    from_terraform: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArgs,

    /// Skip resources that the cluster records already, also without --apply
    #[arg(long)]
    skip_recorded: bool,

    #[command(flatten)]
    cloud: CloudArgs,
}

pub(super) async fn run(cluster_args: &ClusterArgs, args: &ImportArgs) -> Result<Exit, Error> {
    args.target.check(&args.kinds())?;
    let cluster =
        if args.target.apply || args.skip_recorded { Some(UserCluster::connect(cluster_args).await?) } else { None };
    let mut recorded = match &cluster {
        Some(cluster) => recorded_in(cluster).await?,
        None => BTreeSet::new(),
    };
    if let Some(folder) = args.target.folder.as_ref().filter(|folder| folder.exists()) {
        recorded.extend(files::read(folder).await?.iter().map(files::RecordManifest::key));
    }
    let mut writer = Writer::new(&args.target, cluster.filter(|_| args.target.apply), cluster_args.given_namespace())?;
    let exit = match &args.from_terraform {
        Some(path) => args.of_state(&state(path).await?, &recorded, &mut writer).await?,
        None => args.of_account(&recorded, &mut writer).await?,
    };
    Ok(if writer.end()? { exit } else { Exit::Failed })
}

/// Reads a state of Terraform or OpenTofu.
async fn state(path: &Path) -> Result<terraform::TerraformState, Error> {
    let (source_name, text) = files::text_of(path).await?;
    let contents = |why: String| Error::Contents { source_name: source_name.clone(), why };
    let state = serde_json::from_str(&text).map_err(|error| contents(format!("it is not JSON: {error}")))?;
    terraform::read(&state).map_err(contents)
}

impl ImportArgs {
    /// The kinds to list, or to take from a state.
    fn kinds(&self) -> BTreeSet<Kind> {
        if self.resources.is_empty() {
            survey::kinds(&self.kind)
        } else {
            self.resources.iter().map(|key| key.kind).collect()
        }
    }

    /// Records the resources of a state.
    async fn of_state(
        &self,
        state: &terraform::TerraformState,
        recorded: &BTreeSet<ResourceKey>,
        writer: &mut Writer<'_>,
    ) -> Result<Exit, Error> {
        writer.skipped.unmapped.extend(state.unmapped.iter().cloned());
        let is_selected = |kind: &Kind| self.kind.is_empty() || self.kind.contains(kind);
        let refused = state.refused.iter().filter(|(kind, _)| is_selected(kind));
        writer.skipped.refused.extend(refused.map(|(_, why)| why.clone()));
        for declared in state.resources.iter().filter(|declared| is_selected(&declared.key.kind)) {
            if recorded.contains(&declared.key) {
                writer.skipped.recorded += 1;
                continue;
            }
            for (field, why) in &declared.left_out {
                writer.skipped.leave_out(declared.key.kind, field, why);
            }
            writer.add(&declared.key, declared.name.as_deref(), &declared.desired, print)?;
        }
        writer.flush().await?;
        Ok(Exit::Done)
    }

    /// Records the selected resources of the account, kind by kind.
    async fn of_account(&self, recorded: &BTreeSet<ResourceKey>, writer: &mut Writer<'_>) -> Result<Exit, Error> {
        let client = self.cloud.client()?;
        let members = self.filter.members(&client).await?;
        let fields = |kind| FieldSet::of(kind, self.target.fields_of(kind));
        let mut survey = Survey::start(client, &self.kinds(), fields);
        let mut missing: BTreeSet<&ResourceKey> = self.resources.iter().collect();
        while let Some(keys) = survey.next().await {
            for key in keys {
                let is_named = missing.remove(&key);
                if !is_named && !self.resources.is_empty() {
                    continue;
                }
                if let Some(found) = survey.take(&key) {
                    self.record(&found, is_named, members.as_ref(), recorded, writer, &survey)?;
                }
            }
            writer.flush().await?;
        }
        let is_complete = survey.end()?;
        for missing in &missing {
            note(&format!("error: {missing} is not in the account; list the account with: kubectl arcadia unrecorded"));
        }
        Ok(if is_complete && missing.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// Records a resource, if it is selected and not recorded yet.
    fn record(
        &self,
        found: &SurveyedResource,
        is_named: bool,
        members: Option<&Members>,
        recorded: &BTreeSet<ResourceKey>,
        writer: &mut Writer<'_>,
        survey: &Survey,
    ) -> Result<(), Error> {
        if !is_named && !self.filter.admits(found, members) {
            writer.skipped.unselected += 1;
            return Ok(());
        }
        if recorded.contains(&found.key) {
            writer.skipped.recorded += 1;
            return Ok(());
        }
        if !is_named && self.filter.leaves_to_kubernetes(found) {
            writer.skipped.by_kubernetes += 1;
            return Ok(());
        }
        writer.record(found, survey)
    }
}

/// The resources that the cluster records, in all namespaces that the user can read.
async fn recorded_in(cluster: &UserCluster) -> Result<BTreeSet<ResourceKey>, Error> {
    let key = |record: DynamicObject| {
        let kind = Kind::named(text(&record.data, "/spec/resource/kind")?)?;
        Some(ResourceKey::new(kind, text(&record.data, "/spec/resource/id")?))
    };
    let keys = match cluster.everywhere().list(Noun::Record, ListParams::default(), key).await {
        Err(Error::Forbidden { .. }) => cluster.list(Noun::Record, ListParams::default(), key).await?,
        keys => keys?,
    };
    Ok(keys.into_iter().collect())
}

/// The resources that manifests or the cluster record.
pub(super) async fn recorded(cluster: &ClusterArgs, paths: &[PathBuf]) -> Result<BTreeSet<ResourceKey>, Error> {
    if paths.is_empty() {
        return recorded_in(&UserCluster::connect(cluster).await?).await;
    }
    let mut keys = BTreeSet::new();
    for path in paths {
        keys.extend(files::read(path).await?.iter().map(files::RecordManifest::key));
    }
    Ok(keys)
}
