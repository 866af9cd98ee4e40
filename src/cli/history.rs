//! `history`: the drifts of a record, resolved ones included.

mod view;

use clap::Args;
use jiff::Timestamp;
use kube::api::ListParams;

use super::{
    Error, Exit,
    cluster::{Cluster, ClusterArgs, Noun, ObjectName},
    drift::DriftView,
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
}

pub(super) async fn run(cluster: &ClusterArgs, args: &HistoryArgs) -> Result<Exit, Error> {
    let cluster = Cluster::connect(cluster).await?;
    let name = ObjectName::read(&args.record, Noun::Record);
    let drifts = of_record(&cluster, &name.name, args.field.as_deref()).await?;
    if drifts.is_empty() {
        // A record without drifts and a record that does not exist are not the same.
        cluster.get(Noun::Record, &name).await?;
    }
    text::print(&view::history(&name.name, args.field.as_deref(), &drifts, Timestamp::now(), Paint::of_stdout()))?;
    Ok(Exit::Done)
}

/// The drifts of a record, or of one of its fields.
pub(super) async fn of_record(cluster: &Cluster, record: &str, field: Option<&str>) -> Result<Vec<DriftView>, Error> {
    let field = field.map(|field| format!(",spec.field={field}")).unwrap_or_default();
    let params = ListParams::default().fields(&format!("spec.resourceRef.name={record}{field}"));
    let objects = cluster.list(Noun::Drift, params).await?;
    Ok(objects.iter().map(DriftView::read).collect())
}
