//! `verify`: compares manifests with the live account, without a cluster. It uses the operator's comparison.

mod checked;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use futures::{StreamExt as _, stream};

use super::{
    Error, Exit,
    cloud::{CloudArgs, MAX_AGE},
    files::{self, RecordManifest},
    output,
    select::SIDE_BY_SIDE,
    text::{Paint, hint, note, print},
};
use crate::{
    api::drift::EXISTS,
    digitalocean::{FieldSet, Inventory, Kind, Live, Observation, Wanted},
    drift::finding::{self, Finding},
};
use checked::{Checked, CheckedField};

pub(super) use checked::FieldVerdict;

/// The number of resources that are read a second time, because a list may lag behind.
const CONFIRMED: usize = 200;

/// The flags of `verify`.
#[derive(Clone, Debug, Args)]
pub(super) struct VerifyArgs {
    /// File or folder with manifests; `-` reads standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Only records of this kind; may be repeated
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Vec<Kind>,

    /// Format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: VerifyFormat,

    #[command(flatten)]
    cloud: CloudArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VerifyFormat {
    Table,
    Json,
    Junit,
}

/// Reads the name of a kind, in any letter case.
pub(super) fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::all().find(|kind| kind.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("there is no kind {text:?}{}", hint(text, Kind::all().map(Kind::name))))
}

pub(super) async fn run(args: &VerifyArgs) -> Result<Exit, Error> {
    let mut records = Vec::new();
    for path in &args.paths {
        records.extend(files::read(path).await?);
    }
    records.retain(|record| args.kind.is_empty() || args.kind.contains(&record.spec.resource.kind));
    if records.is_empty() {
        return Err(Error::usage(
            "the manifests declare no ProvisionedResource; write some with: kubectl arcadia import --folder FOLDER",
        ));
    }
    let inventory = args.cloud.inventory()?;
    let failures = list(&inventory, &records).await;
    confirm(&inventory, &records).await;
    let checked: Vec<Checked> = records.into_iter().map(|record| check(&inventory, record)).collect();
    for failure in failures {
        note(&format!("error: {failure}"));
    }
    print(&match args.output {
        VerifyFormat::Table => view::table(&checked, Paint::of_stdout()),
        VerifyFormat::Json => output::json(&view::json(&checked))?,
        VerifyFormat::Junit => view::junit(&checked)?,
    })?;
    Ok(exit(&checked))
}

/// Drift takes precedence over fields that could not be compared. Without drift, such a field is a failure.
fn exit(checked: &[Checked]) -> Exit {
    let mut verdicts = checked.iter().flat_map(|checked| &checked.fields).map(|field| &field.verdict);
    if verdicts.clone().any(|verdict| matches!(verdict, FieldVerdict::Drift(_))) {
        return Exit::No;
    }
    if verdicts.any(|verdict| matches!(verdict, FieldVerdict::Unknown(_))) { Exit::Failed } else { Exit::Done }
}

/// Lists the kinds of the records. The resources of a failed list are unknown.
async fn list(inventory: &Inventory, records: &[RecordManifest]) -> Vec<String> {
    let mut wanted: BTreeMap<Kind, Vec<Wanted>> = BTreeMap::new();
    for record in records {
        let key = record.key();
        wanted.entry(key.kind).or_default().push(Wanted { id: Arc::clone(&key.id), fields: fields(record) });
    }
    let lists = wanted.into_iter().map(|(kind, wanted)| async move { inventory.sync(kind, wanted).await });
    let outcomes: Vec<_> = stream::iter(lists).buffer_unordered(SIDE_BY_SIDE).collect().await;
    let unread = outcomes.into_iter().filter_map(|outcome| match outcome {
        Ok(changes) => changes.unread.map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    });
    unread.collect()
}

fn fields(record: &RecordManifest) -> FieldSet {
    let desired = record.spec.desired.iter().map(|(field, value)| (field.as_str(), value));
    FieldSet::of_values(record.spec.resource.kind, desired)
}

/// Reads differing resources once more: the operator does not open a drift on a list alone either.
async fn confirm(inventory: &Inventory, records: &[RecordManifest]) {
    let differing = records.iter().filter(|record| {
        let key = record.key();
        let is_confirmed = match inventory.get(&key, MAX_AGE) {
            Observation::Present(document) => document.is_confirmed,
            Observation::Gone | Observation::Unknown(_) => true,
        };
        let is_drift = |field: &CheckedField| matches!(field.verdict, FieldVerdict::Drift(_));
        !is_confirmed && compared(inventory, record).iter().any(is_drift)
    });
    let reads = differing.take(CONFIRMED).map(|record| async move {
        // If the allowance is used up, the list is the result.
        inventory.confirm_change(&record.key(), MAX_AGE).await;
    });
    stream::iter(reads).buffer_unordered(SIDE_BY_SIDE).collect::<Vec<()>>().await;
}

fn check(inventory: &Inventory, record: RecordManifest) -> Checked {
    let fields = compared(inventory, &record);
    Checked { record, fields }
}

/// Reads one resource directly, and compares each recorded field that is not ignored.
pub(super) async fn now(inventory: &Inventory, record: &RecordManifest) -> Vec<CheckedField> {
    inventory.first_read(&record.key(), fields(record)).await;
    compared(inventory, record)
}

/// Compares each recorded field that is not ignored.
fn compared(inventory: &Inventory, record: &RecordManifest) -> Vec<CheckedField> {
    let key = record.key();
    let spec = &record.spec;
    let ignored: BTreeSet<&str> = spec.drift.ignore.iter().map(String::as_str).collect();
    let one = |field: &str, verdict| CheckedField { field: field.to_owned(), verdict };
    let should_exist = spec.desired.get(EXISTS).and_then(serde_json::Value::as_bool).unwrap_or(true);
    let existence = |exists: bool| {
        if exists == should_exist || ignored.contains(EXISTS) {
            return Vec::new();
        }
        match Finding::differs(should_exist.into(), exists.into()) {
            Finding::Differs { shown, .. } => vec![one(EXISTS, FieldVerdict::Drift(shown))],
            _ => Vec::new(),
        }
    };
    let document = match inventory.get(&key, MAX_AGE) {
        Observation::Gone => return existence(false),
        Observation::Unknown(why) => return vec![one(EXISTS, FieldVerdict::Unknown(why.to_string()))],
        Observation::Present(document) => document,
    };
    let live = match Live::of(&key, &document) {
        Ok(live) => live,
        Err(error) => return vec![one(EXISTS, FieldVerdict::Unknown(error.to_string()))],
    };
    let live = live.for_record(&spec.desired);
    let mut fields = existence(true);
    if !fields.is_empty() {
        return fields;
    }
    for (field, expected) in
        spec.desired.iter().filter(|(field, _)| *field != EXISTS && !ignored.contains(field.as_str()))
    {
        match finding::compare(&live, field, expected) {
            Finding::Matches | Finding::Moot => fields.push(one(field, FieldVerdict::InSync)),
            Finding::Differs { shown, doubts, .. } => {
                fields.push(one(field, FieldVerdict::Drift(shown)));
                fields.extend(doubts.into_iter().map(|doubt| one(field, FieldVerdict::Unknown(doubt))));
            }
            Finding::Unknown(why) | Finding::Invalid(why) => fields.push(one(field, FieldVerdict::Unknown(why))),
        }
    }
    fields
}
