//! `history`: the drifts of a record, including resolved ones.

mod view;

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;
use kube::{
    ResourceExt as _,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::{
    Error, Exit,
    cluster::{ClusterArgs, Noun, ObjectName, UserCluster, selected},
    drift::DriftView,
    output::{self, Format},
    text::{self, Paint, hint},
};
use crate::api::drift::EXISTS;

pub(super) use view::drifts as render;

/// The flags of `history`.
#[derive(Clone, Debug, Args)]
pub(super) struct HistoryArgs {
    /// Name of the record
    #[arg(value_name = "RECORD")]
    record: String,

    /// Only drifts of this recorded field
    #[arg(value_name = "FIELD")]
    field: Option<String>,

    /// Format [default: a table]
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &HistoryArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let name = ObjectName::read(&args.record, Noun::Record)?;
    let place = cluster.of_name(&name);
    let objects = objects(&place, &name.name, args.field.as_deref()).await?;
    if objects.is_empty() {
        // A missing record or field is an error, one without drifts is not.
        let record = cluster.get(Noun::Record, &name).await?;
        if let Some(field) = &args.field {
            known(&place, &record, field).await?;
        }
    }
    if let Some(format) = args.output {
        text::print(&format.write(&output::list(&objects))?)?;
        return Ok(Exit::Done);
    }
    let drifts: Vec<_> = objects.iter().map(DriftView::read).collect();
    let subject =
        view::HistorySubject { record: &name.name, field: args.field.as_deref(), has_namespaces: place.is_all() };
    text::print(&view::history(&subject, &drifts, Timestamp::now(), Paint::of_stdout()))?;
    Ok(Exit::Done)
}

/// Refuses a field that the record does not have and never drifted from.
async fn known(cluster: &UserCluster, record: &DynamicObject, field: &str) -> Result<(), Error> {
    let desired = record.data.pointer("/spec/desired").and_then(Value::as_object);
    let mut fields: BTreeSet<String> = desired.into_iter().flatten().map(|(field, _)| field.clone()).collect();
    fields.insert(EXISTS.to_owned());
    if fields.contains(field) {
        return Ok(());
    }
    fields.extend(of_record(cluster, &record.name_any(), None).await?.into_iter().map(|drift| drift.field_name));
    let hint = hint(field, fields.iter().map(String::as_str));
    Err(Error::usage(format!(
        "record {} has no field {field:?}{hint}; list its drifts with: kubectl arcadia history {}{}",
        record.name_any(),
        record.name_any(),
        cluster.flag_for(&record.namespace().unwrap_or_default())
    )))
}

/// The drifts of a record, or of one of its fields.
pub(super) async fn of_record(
    cluster: &UserCluster,
    record: &str,
    field: Option<&str>,
) -> Result<Vec<DriftView>, Error> {
    let params = of(record, field);
    cluster.list(Noun::Drift, params, |object| Some(DriftView::read(&object))).await
}

/// The objects behind [`of_record`].
pub(super) async fn objects(
    cluster: &UserCluster,
    record: &str,
    field: Option<&str>,
) -> Result<Vec<DynamicObject>, Error> {
    cluster.list(Noun::Drift, of(record, field), Some).await
}

/// Selects the drifts of a record, or of one of its fields.
fn of(record: &str, field: Option<&str>) -> ListParams {
    let field = field.map(|field| format!(",spec.field={}", selected(field))).unwrap_or_default();
    ListParams::default().fields(&format!("spec.resourceRef.name={}{field}", selected(record)))
}
