//! `import`: writes one record per live resource, to standard output, a folder or the cluster.

mod filter;
mod folder;
mod project;
mod record;
mod terraform;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use futures::{StreamExt as _, stream};
use kube::api::ListParams;
use serde_json::Value;

use super::{
    Error, Exit,
    cloud::{self, CloudArgs},
    cluster::{ClusterArgs, Noun, UserCluster},
    drift::text,
    files, output,
    select::SIDE_BY_SIDE,
    survey::{self, SurveyedResource},
    text::{count, note, print},
    verify,
};
use crate::{
    digitalocean::{FieldSet, Kind, Pinned, ResourceKey},
    drift::shown::first,
};
use project::Members;

pub(super) use filter::Filter;

/// The number of reasons and objects that a note lists.
const LISTED: usize = 5;

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

/// The recorded fields of each resource, and their place.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArgs {
    /// Fields to record [default: per kind, what a person would pin; see the reference of kinds]
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
    pub(super) fields: Vec<String>,

    /// Write one file per record into this folder, and a kustomization; resources that a file there records are skipped
    #[arg(long, value_name = "FOLDER", conflicts_with = "apply")]
    pub(super) folder: Option<PathBuf>,

    /// Create the records in the cluster; resources that the cluster records are skipped
    #[arg(long)]
    pub(super) apply: bool,
}

/// The resources and fields that are left out, for the summary.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    recorded: usize,
    by_kubernetes: usize,
    /// Fields that could not be recorded, by kind, field and reason.
    fields: BTreeMap<String, usize>,
    /// Resources without any field that can be recorded.
    empty: Vec<String>,
    /// Types of a state without a kind.
    unmapped: Vec<String>,
    /// Resources of a state that cannot be recorded, with the reason.
    refused: Vec<String>,
}

pub(super) async fn run(cluster_args: &ClusterArgs, args: &ImportArgs) -> Result<Exit, Error> {
    let cluster =
        if args.target.apply || args.skip_recorded { Some(UserCluster::connect(cluster_args).await?) } else { None };
    let recorded = match (&cluster, &args.target.folder) {
        (Some(cluster), _) => recorded_in(cluster).await?,
        (None, Some(folder)) if folder.exists() => {
            files::read(folder).await?.iter().map(files::RecordManifest::key).collect()
        }
        (None, _) => BTreeSet::new(),
    };
    let namespace = cluster_args.given_namespace();
    let mut skipped = Skipped::default();
    let (records, exit) = match &args.from_terraform {
        Some(path) => (args.of_state(&state(path).await?, &recorded, namespace, &mut skipped), Exit::Done),
        None => args.of_account(&recorded, namespace, &mut skipped).await?,
    };
    args.target.write(cluster.as_ref(), &records, skipped).await?;
    Ok(exit)
}

/// Reads a state of Terraform or OpenTofu.
async fn state(path: &Path) -> Result<terraform::TerraformState, Error> {
    let (source_name, text) = files::text_of(path).await?;
    let contents = |why: String| Error::Contents { source_name: source_name.clone(), why };
    let state = serde_json::from_str(&text).map_err(|error| contents(format!("it is not JSON: {error}")))?;
    terraform::read(&state).map_err(contents)
}

impl TargetArgs {
    /// The fields that are recorded of this kind.
    pub(super) fn fields_of(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let fields = if self.fields.is_empty() { kind.pins() } else { &self.fields };
        fields.iter().map(String::as_str)
    }

    /// The manifest of a resource; none if no field can be recorded.
    pub(super) fn manifest(
        &self,
        found: &SurveyedResource,
        namespace: Option<&str>,
        skipped: &mut Skipped,
    ) -> Option<Value> {
        let kind = found.key.kind;
        let pinned = Pinned::of(kind, &found.live, self.fields_of(kind));
        for (field, why) in &pinned.left_out {
            *skipped.fields.entry(format!("{kind} {field}: {why}")).or_default() += 1;
        }
        if pinned.desired.is_empty() {
            skipped.empty.push(found.address());
            return None;
        }
        Some(record::manifest(&found.key, found.name(), &pinned.desired, namespace))
    }

    /// Writes the records to the cluster, a folder or standard output, and prints the resources that were left out.
    pub(super) async fn write(
        &self,
        cluster: Option<&UserCluster>,
        records: &[Value],
        mut skipped: Skipped,
    ) -> Result<(), Error> {
        let written = match (cluster, &self.folder) {
            (Some(cluster), _) if self.apply => create(cluster, records).await?,
            (_, Some(folder)) => folder::write(folder, records)?,
            _ => {
                for record in records {
                    print(&format!("---\n{}", output::yaml(record)?))?;
                }
                records.len()
            }
        };
        skipped.recorded += records.len().saturating_sub(written);
        note(&skipped.summary(written));
        Ok(())
    }
}

impl ImportArgs {
    /// The records of a state.
    fn of_state(
        &self,
        state: &terraform::TerraformState,
        recorded: &BTreeSet<ResourceKey>,
        namespace: Option<&str>,
        skipped: &mut Skipped,
    ) -> Vec<Value> {
        skipped.unmapped.extend(state.unmapped.iter().cloned());
        skipped.refused.extend(state.refused.iter().cloned());
        let mut records = Vec::new();
        for declared in &state.resources {
            if !self.kind.is_empty() && !self.kind.contains(&declared.key.kind) {
                continue;
            }
            if recorded.contains(&declared.key) {
                skipped.recorded += 1;
                continue;
            }
            records.push(record::manifest(&declared.key, declared.name.as_deref(), &declared.desired, namespace));
        }
        records
    }

    /// The records of the account.
    async fn of_account(
        &self,
        recorded: &BTreeSet<ResourceKey>,
        namespace: Option<&str>,
        skipped: &mut Skipped,
    ) -> Result<(Vec<Value>, Exit), Error> {
        let client = self.cloud.client()?;
        let members = self.filter.members(&client).await?;
        let inventory = cloud::inventory(client);
        let kinds = if self.resources.is_empty() {
            survey::kinds(&self.kind)
        } else {
            self.resources.iter().map(|key| key.kind).collect()
        };
        let survey = survey::survey(&inventory, &kinds, |kind| FieldSet::of(kind, self.target.fields_of(kind))).await;
        survey::tell_failures(&survey);
        survey::unless_all_failed(&survey)?;
        let mut exit = if survey.failures.is_empty() { Exit::Done } else { Exit::Failed };
        for missing in self.resources.iter().filter(|key| !survey.resources.iter().any(|found| found.key == **key)) {
            note(&format!("error: {missing} is not in the account; list the account with: kubectl arcadia unrecorded"));
            exit = Exit::Failed;
        }
        Ok((self.records(survey.resources, members.as_ref(), recorded, namespace, skipped), exit))
    }

    /// The manifests of the selected resources that are not recorded.
    fn records(
        &self,
        resources: Vec<SurveyedResource>,
        members: Option<&Members>,
        recorded: &BTreeSet<ResourceKey>,
        namespace: Option<&str>,
        skipped: &mut Skipped,
    ) -> Vec<Value> {
        let mut records = Vec::new();
        for found in resources {
            let is_named = self.resources.contains(&found.key);
            if !is_named && (!self.resources.is_empty() || !self.filter.admits(&found, members)) {
                continue;
            }
            if recorded.contains(&found.key) {
                skipped.recorded += 1;
                continue;
            }
            if !is_named && !self.filter.includes_kubernetes() && found.is_made_by_kubernetes() {
                skipped.by_kubernetes += 1;
                continue;
            }
            records.extend(self.target.manifest(&found, namespace, skipped));
        }
        records
    }
}

impl Skipped {
    fn summary(&self, written: usize) -> String {
        let mut parts = vec![format!("{} written", count(written, "record"))];
        for (number, what) in [
            (self.recorded, "recorded already"),
            (self.by_kubernetes, "made by Kubernetes (--include-kubernetes records them too)"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        let mut text = format!("{}.", parts.join(", "));
        if !self.empty.is_empty() {
            let _ = write!(text, "\nNo field can be recorded of: {}.", first(&self.empty, LISTED, ", "));
        }
        if !self.unmapped.is_empty() {
            let _ = write!(text, "\nTypes without a kind: {}.", self.unmapped.join(", "));
        }
        for refused in &self.refused {
            let _ = write!(text, "\nNot recorded: {refused}.");
        }
        if !self.fields.is_empty() {
            let reasons: Vec<String> = self
                .fields
                .iter()
                .map(|(reason, number)| format!("  {reason} ({})", count(*number, "resource")))
                .collect();
            let _ = write!(text, "\nLeft out:\n{}", first(&reasons, LISTED, "\n"));
        }
        text
    }
}

/// The resources that the cluster records, in all namespaces that the user can read.
async fn recorded_in(cluster: &UserCluster) -> Result<BTreeSet<ResourceKey>, Error> {
    let records = match cluster.everywhere().list(Noun::Record, ListParams::default()).await {
        Err(Error::Forbidden { .. }) => cluster.list(Noun::Record, ListParams::default()).await?,
        records => records?,
    };
    let key = |data: &Value| {
        let kind = Kind::named(text(data, "/spec/resource/kind")?)?;
        Some(ResourceKey::new(kind, text(data, "/spec/resource/id")?))
    };
    Ok(records.iter().filter_map(|record| key(&record.data)).collect())
}

/// Creates the records, and returns the number of new ones. It does not apply them: the operator treats the fields of
/// an apply as declared by a manifest.
async fn create(cluster: &UserCluster, records: &[Value]) -> Result<usize, Error> {
    let creations = records.iter().map(|record| cluster.create(Noun::Record, record));
    let mut creations = stream::iter(creations).buffered(SIDE_BY_SIDE);
    let mut created = 0;
    while let Some(is_new) = creations.next().await {
        created += usize::from(is_new?);
    }
    Ok(created)
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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_summary_says_what_was_left_out() {
        let skipped = Skipped {
            recorded: 3,
            by_kubernetes: 2,
            fields: [("Droplet tags: the token needs tag:read".to_owned(), 5)].into(),
            empty: vec!["Certificate/1".to_owned()],
            ..Skipped::default()
        };
        expect![[r#"
            12 records written, 3 recorded already, 2 made by Kubernetes (--include-kubernetes records them too).
            No field can be recorded of: Certificate/1.
            Left out:
              Droplet tags: the token needs tag:read (5 resources)"#]]
        .assert_eq(&skipped.summary(12));
        expect!["1 record written."].assert_eq(&Skipped::default().summary(1));
    }
}
