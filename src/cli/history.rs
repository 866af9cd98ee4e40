//! `history`: the drifts of a record, including resolved ones.

mod view;

use clap::Args;
use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};

use super::{
    Error, Exit,
    cluster::{ClusterArgs, Noun, ObjectName, UserCluster},
    drift::DriftView,
    output::{self, Format},
    text::{self, Paint},
};

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
    let name = ObjectName::read(&args.record, Noun::Record);
    let place = name.namespace.as_deref().map_or_else(|| cluster.clone(), |namespace| cluster.within(namespace));
    let objects = objects(&place, &name.name, args.field.as_deref()).await?;
    if objects.is_empty() {
        // A missing record is an error, a record without drifts is not.
        cluster.get(Noun::Record, &name).await?;
    }
    if let Some(format) = args.output {
        text::print(&format.write(&output::list(&objects))?)?;
        return Ok(Exit::Done);
    }
    let drifts: Vec<_> = objects.iter().map(DriftView::read).collect();
    text::print(&view::history(&name.name, args.field.as_deref(), &drifts, Timestamp::now(), Paint::of_stdout()))?;
    Ok(Exit::Done)
}

/// The drifts of a record, or of one of its fields.
pub(super) async fn of_record(
    cluster: &UserCluster,
    record: &str,
    field: Option<&str>,
) -> Result<Vec<DriftView>, Error> {
    Ok(objects(cluster, record, field).await?.iter().map(DriftView::read).collect())
}

/// The objects behind [`of_record`].
pub(super) async fn objects(
    cluster: &UserCluster,
    record: &str,
    field: Option<&str>,
) -> Result<Vec<DynamicObject>, Error> {
    let field = field.map(|field| format!(",spec.field={field}")).unwrap_or_default();
    let params = ListParams::default().fields(&format!("spec.resourceRef.name={record}{field}"));
    cluster.list(Noun::Drift, params).await
}
