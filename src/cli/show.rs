//! `show`: everything about one drift or record on one page.

mod page;
mod view;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::{
    Error, Exit,
    cloud::CloudArgs,
    cluster::{self, ClusterArgs, Noun, ObjectName, UserCluster, selected},
    decide::{OPEN, RevertInProgress},
    drift::{DriftView, text},
    files::RecordManifest,
    history, output,
    text::{Paint, one_line, print},
    verify::{self, FieldVerdict},
};
use crate::api::{ProvisionedResourceSpec, drift::EXISTS, labels};
use page::{DriftPage, EventView, NowInCloud, RecordPage, SagaLine};

/// The flags of `show`.
#[derive(Clone, Debug, Args)]
pub(super) struct ShowArgs {
    /// Name of a drift or record; `drift/NAME` and `pr/NAME` say which
    #[arg(value_name = "NAME")]
    name: String,

    /// Also read the resource from DigitalOcean now
    #[arg(long)]
    live: bool,

    /// Format: `json` and `yaml` print all that the page shows, `name` only the name [default: a page]
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<ShowFormat>,

    #[command(flatten)]
    cloud: CloudArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShowFormat {
    Json,
    Yaml,
    Name,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &ShowArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let noun = args.name.split_once('/').and_then(|(word, _)| Noun::of(word));
    let name = ObjectName::read(&args.name, noun.filter(|noun| *noun == Noun::Record).unwrap_or(Noun::Drift))?;
    let now = Timestamp::now();
    let paint = Paint::of_stdout();
    let drift = match noun {
        Some(Noun::Record) => None,
        Some(noun) => Some(cluster.get(noun, &name).await?),
        None => cluster.find_named(Noun::Drift, &name).await?,
    };
    let mut exit = Exit::Done;
    let page = if let Some(drift) = drift {
        if args.output == Some(ShowFormat::Name) {
            return named(Noun::Drift, &drift);
        }
        let mut page = Box::pin(drift_page(&cluster, drift)).await?;
        if args.live {
            let found = args.in_cloud(page.record.as_ref(), &page.history).await?;
            exit = exit_of(&found);
            page.now = of_field(&found, &page.drift.field_name).cloned();
        }
        args.output.map_or_else(|| Ok(view::drift(&page, now, paint)), |format| format.write(&page.contents()))?
    } else {
        let record = match cluster.get(Noun::Record, &name).await {
            Err(Error::NotFound { .. }) if noun.is_none() => {
                return Err(cluster.not_found(&[Noun::Drift, Noun::Record], &name).await);
            }
            record => record?,
        };
        if args.output == Some(ShowFormat::Name) {
            return named(Noun::Record, &record);
        }
        let mut page = Box::pin(record_page(&cluster, record)).await?;
        if args.live {
            let found = args.in_cloud(Some(&page.record), &page.drifts).await?;
            exit = exit_of(&found);
            page.now = Some(found);
        }
        args.output.map_or_else(|| Ok(view::record(&page, now, paint)), |format| format.write(&page.contents()))?
    };
    print(&page)?;
    Ok(exit)
}

/// A failed read of the cloud is a failure, although the page is printed.
fn exit_of(found: &BTreeMap<String, NowInCloud>) -> Exit {
    if matches!(found.get(EXISTS), Some(NowInCloud::Unknown(_))) { Exit::Failed } else { Exit::Done }
}

/// The answer about a field, or about the whole resource if that is the reason why the field was not compared.
fn of_field<'f>(found: &'f BTreeMap<String, NowInCloud>, field: &str) -> Option<&'f NowInCloud> {
    found.get(field).or_else(|| found.get(EXISTS).filter(|existence| **existence != NowInCloud::InSync))
}

/// Prints the name as `kubectl get -o name` does.
fn named(noun: Noun, object: &DynamicObject) -> Result<Exit, Error> {
    let resource = noun.resource();
    print(&format!("{}.{}/{}\n", resource.kind.to_ascii_lowercase(), resource.group, object.name_any()))?;
    Ok(Exit::Done)
}

impl ShowFormat {
    fn write(self, contents: &Value) -> Result<String, Error> {
        match self {
            Self::Json | Self::Name => output::json(contents),
            Self::Yaml => output::yaml(contents),
        }
    }
}

impl ShowArgs {
    /// Reads the resource of a record from the cloud, and compares each field and its existence. As in the operator, an
    /// accepted value that stands on one of the drifts replaces the recorded one.
    async fn in_cloud(
        &self,
        record: Option<&DynamicObject>,
        drifts: &[DynamicObject],
    ) -> Result<BTreeMap<String, NowInCloud>, Error> {
        let Some(record) = record else { return Ok(BTreeMap::new()) };
        let contents = |why: String| Error::Contents { source_name: format!("record {}", record.name_any()), why };
        let spec = record.data.get("spec").cloned().unwrap_or_default();
        let mut spec: ProvisionedResourceSpec =
            serde_json::from_value(spec).map_err(|error| contents(error.to_string()))?;
        spec.desired.extend(accepted_values(drifts));
        let is_existence_compared = spec.drift.ignore.iter().all(|field| field != EXISTS);
        let desired = RecordManifest { file: String::new(), name: record.name_any(), spec };
        let fields = verify::now(&self.cloud.inventory()?, &desired).await;
        let now = |verdict| match verdict {
            FieldVerdict::InSync => NowInCloud::InSync,
            FieldVerdict::Drift(shown) => NowInCloud::Differs(shown.actual),
            FieldVerdict::Unknown(why) => NowInCloud::Unknown(why),
        };
        let mut found: BTreeMap<_, _> = fields.into_iter().map(|field| (field.field, now(field.verdict))).collect();
        if is_existence_compared {
            // Only an existence that differs has a verdict.
            found.entry(EXISTS.to_owned()).or_insert(NowInCloud::InSync);
        }
        Ok(found)
    }
}

/// The values of the acceptances that stand, by field. Of several, the latest one is in effect.
fn accepted_values(drifts: &[DynamicObject]) -> BTreeMap<String, Value> {
    let mut standing: Vec<_> = drifts.iter().map(|object| (DriftView::read(object), object)).collect();
    standing.retain(|(drift, _)| drift.stands());
    standing.sort_by_key(|(drift, _)| drift.episode);
    let value = |object: &DynamicObject| object.data.pointer("/status/acceptance/value").cloned().unwrap_or_default();
    standing.into_iter().map(|(drift, object)| (drift.field_name, value(object))).collect()
}

/// The record of a drift; none if it is gone, or if the user may not read it.
async fn record_of(cluster: &UserCluster, drift: &DriftView) -> Result<Option<DynamicObject>, Error> {
    unless_forbidden(cluster.find(Noun::Record, &drift.namespace, &drift.record).await)
}

/// The saga of the latest revert of a drift; none if there is none, or if the user may not read it.
async fn latest_saga(cluster: &UserCluster, drift: &DriftView) -> Result<Option<DynamicObject>, Error> {
    let Some(saga) = &drift.saga else { return Ok(None) };
    unless_forbidden(cluster.find(Noun::Saga, &drift.namespace, saga).await)
}

/// A part of a page that the user may not read is empty.
fn unless_forbidden<T: Default>(read: Result<T, Error>) -> Result<T, Error> {
    match read {
        Err(Error::Forbidden { .. }) => Ok(T::default()),
        read => read,
    }
}

async fn drift_page(cluster: &UserCluster, object: DynamicObject) -> Result<DriftPage, Error> {
    let drift = DriftView::read(&object);
    let namespace = drift.namespace.clone();
    let place = cluster.within(&namespace);
    let (record, saga, history, alike, events, sagas) = tokio::try_join!(
        record_of(&place, &drift),
        latest_saga(&place, &drift),
        history::objects(&place, &drift.record, Some(&drift.field_name)),
        alike(&place, &drift),
        events(&place, Noun::Drift, &drift.name),
        sagas(&place, &drift.kind, &drift.id),
    )?;
    Ok(DriftPage {
        plan: object.data.pointer("/status/plan").cloned(),
        manifest_patch: object.data.pointer("/status/manifestPatch").cloned(),
        flag: cluster.flag_for(&namespace),
        object,
        record,
        history,
        alike,
        events,
        sagas,
        reverting: RevertInProgress::read(&drift, saga.as_ref()),
        has_saga: saga.is_some(),
        drift,
        now: None,
    })
}

async fn record_page(cluster: &UserCluster, record: DynamicObject) -> Result<RecordPage, Error> {
    let namespace = record.namespace().unwrap_or_default();
    let name = record.name_any();
    let place = cluster.within(&namespace);
    let part = |pointer| text(&record.data, pointer).unwrap_or_default();
    let (drifts, events, sagas) = tokio::try_join!(
        history::objects(&place, &name, None),
        events(&place, Noun::Record, &name),
        sagas(&place, part("/spec/resource/kind"), part("/spec/resource/id")),
    )?;
    Ok(RecordPage { record, drifts, events, sagas, now: None, flag: cluster.flag_for(&namespace) })
}

/// The number of other open drifts of the same change.
async fn alike(cluster: &UserCluster, drift: &DriftView) -> Result<usize, Error> {
    if drift.change.is_empty() || !drift.is_open() {
        return Ok(0);
    }
    let params = ListParams::default().fields(OPEN).labels(&format!("{}={}", labels::CHANGE, drift.change));
    Ok(cluster.list(Noun::Drift, params, |_| Some(())).await?.len().saturating_sub(1))
}

/// The events of an object, oldest first. A user who may not read events sees none.
async fn events(cluster: &UserCluster, noun: Noun, name: &str) -> Result<Vec<EventView>, Error> {
    let api = Api::<Event>::namespaced(cluster.client(), cluster.namespace());
    let kind = noun.resource().kind;
    let object = format!("involvedObject.kind={kind},involvedObject.name={}", selected(name));
    let params = ListParams::default().fields(&object);
    let view = |event: Event| {
        let series = event.series.and_then(|series| series.last_observed_time).map(|time| time.0);
        Some(EventView {
            at: series
                .or_else(|| event.last_timestamp.map(|time| time.0))
                .or_else(|| event.event_time.map(|time| time.0)),
            reason: event.reason.unwrap_or_default(),
            message: one_line(&event.message.unwrap_or_default()),
        })
    };
    let mut events = unless_forbidden(cluster::list(&api, &format!("listing events of {name}"), params, view).await)?;
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// The sagas that name the resource, oldest first. A user who may not read sagas sees none.
async fn sagas(cluster: &UserCluster, kind: &str, id: &str) -> Result<Vec<SagaLine>, Error> {
    let view = |saga: &DynamicObject| SagaLine {
        name: saga.name_any(),
        kind: text(&saga.data, "/spec/kind").unwrap_or_default().to_owned(),
        phase: text(&saga.data, "/status/phase").unwrap_or_default().to_owned(),
        created: saga.creation_timestamp().map(|time| time.0),
    };
    let of_resource = |saga: DynamicObject| names(&saga, kind, id).then(|| view(&saga));
    let mut sagas = unless_forbidden(cluster.list(Noun::Saga, ListParams::default(), of_resource).await)?;
    sagas.sort_by_key(|saga| saga.created);
    Ok(sagas)
}

/// Returns true if a saga's order or journal names the resource: an id among the inputs and parameters, or
/// `droplets/ID` among the external ids.
fn names(saga: &DynamicObject, kind: &str, id: &str) -> bool {
    let steps = |pointer| saga.data.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let ids = steps("/status/steps").filter_map(|step| step.get("externalIds")?.as_array()).flatten();
    // Collections are named after the kind in the plural, so a droplet never matches a volume with the same id.
    let stem = kind.to_ascii_lowercase();
    let is_it = |text: &str| {
        text.rsplit_once('/').is_some_and(|(collection, of)| {
            of == id && collection.replace('_', "").trim_end_matches('s').starts_with(&stem)
        })
    };
    let given = steps("/spec/steps").filter_map(|step| step.get("with")).chain(saga.data.pointer("/spec/inputs"));
    ids.filter_map(Value::as_str).any(is_it)
        || given.filter_map(Value::as_object).any(|map| map.values().any(|value| value == id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::object;

    #[test]
    fn the_latest_acceptance_that_stands_is_in_effect() {
        let accepted = |episode: i64, value: &str, stands: &str| {
            let status = json!({ "phase": "Accepted", "acceptance": { "mode": "Standing", "value": value },
                "conditions": [{ "type": "Standing", "status": stands, "reason": "Accepted", "message": "" }] });
            object("web-1", &json!({ "spec": { "episode": episode }, "status": status }))
        };
        let drifts = [
            accepted(3, "s-3", "False"),
            accepted(2, "s-2", "True"),
            accepted(1, "s-1", "True"),
            object("web-1", &json!({ "spec": { "field": "tags" } })),
        ];
        assert_eq!(accepted_values(&drifts), BTreeMap::from([("size_slug".to_owned(), json!("s-2"))]));
    }

    #[test]
    fn an_existence_in_sync_says_nothing_about_another_field() {
        let found = |exists: NowInCloud| BTreeMap::from([(EXISTS.to_owned(), exists)]);
        let (present, gone) = (found(NowInCloud::InSync), found(NowInCloud::Differs("false".to_owned())));
        assert_eq!(of_field(&present, EXISTS), Some(&NowInCloud::InSync));
        assert_eq!(of_field(&present, "tags"), None);
        assert_eq!(of_field(&gone, "tags"), gone.get(EXISTS));
    }
}
