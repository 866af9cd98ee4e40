//! The step `UpdateNodePool`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    common::{NoOutput, SOON, nothing_left, text, unnamed},
    decided::changed_meanwhile,
    reverting::{Before, FieldState, RevertParameters, WORKING},
};
use crate::{
    digitalocean::{ChangeMethod, Endpoint, Error, FieldComparison, Live},
    saga::step::{Failure, Progress, Step, StepContext, Undo},
};

/// The fields of a pool that can be changed.
const FIELDS: [&str; 8] = ["name", "count", "tags", "labels", "taints", "auto_scale", "min_nodes", "max_nodes"];
/// Fields that are only sent together.
const SCALING: [&str; 3] = ["auto_scale", "min_nodes", "max_nodes"];
/// Fields that every call must contain.
const REQUIRED: [&str; 2] = ["name", "count"];

/// Restores the recorded values of the node pools of a Kubernetes cluster, one pool after the other, and waits until
/// their nodes run. Pools are neither added nor deleted. The step reads the values from the record. Undone by restoring
/// the earlier values, which is refused if they have been changed since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Parameters(RevertParameters);

pub(super) struct UpdateNodePool;

impl Step for UpdateNodePool {
    const NAME: &'static str = "UpdateNodePool";
    const TIMEOUT: Duration = Duration::from_hours(2);

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn objection(&self, Parameters(given): &Parameters) -> Option<String> {
        let is_pools = given.kind.name() == "KubernetesCluster" && given.field.split('.').next() == Some("node_pools");
        (!is_pools).then(|| "the kind must be KubernetesCluster, and the field `node_pools` or a part of it".to_owned())
    }

    async fn before(&self, context: &StepContext<'_>, Parameters(given): &Parameters) -> Result<Before, Failure> {
        let (_, live, FieldState::Differs(restored)) = given.both(context).await? else { return Ok(Before::default()) };
        let (mut was, mut wrote) = (Vec::new(), Vec::new());
        for (now, wanted) in changed(live.document(), &restored) {
            was.push(part(now, wanted));
            wrote.push(part(wanted, now));
        }
        Ok(Before { differed: true, was: Some(was.into()), wrote: Some(wrote.into()), ..Before::default() })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        Parameters(given): &Parameters,
        before: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let desired = given.decided(context).await?;
        let live = given.live(context, &desired).await?;
        let FieldState::Differs(restored) = given.compare(&live, &desired)? else {
            return Ok(match starting(live.document()) {
                Some(why) => Progress::NotYet { again: WORKING, why },
                None => Progress::Done(NoOutput {}),
            });
        };
        given.check_differed(before)?;
        given.check(&live, &desired)?;
        if let Some(why) = busy(given, live.document()) {
            return Ok(Progress::NotYet { again: WORKING, why });
        }
        check_tags(given, &live)?;
        let changed = changed(live.document(), &restored);
        let (now, wanted) = changed.first().ok_or_else(|| {
            Failure::Permanent(format!("{}: pools cannot be added or deleted by this step", given.key()))
        })?;
        let moved = part(wanted, now);
        check_pool(given, before, &live, (now, &moved))?;
        write(context, given, (now, wanted), &moved).await?;
        Ok(Progress::NotYet { again: SOON, why: format!("waiting until the nodes of {} run", given.key()) })
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        Parameters(given): &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let (Some(was), Some(wrote)) = (&before.was, &before.wrote) else { return Ok(Undo::Done) };
        let live = given.live(context, &Value::Null).await?;
        if let Some(why) = busy(given, live.document()) {
            return Ok(Undo::NotYet { again: WORKING, why });
        }
        for (was, wrote) in items(was).zip(items(wrote)) {
            let place = pools(live.document()).position(|pool| pool.get("id") == was.get("id"));
            let Some((place, now)) = place.and_then(|place| Some((place, pools(live.document()).nth(place)?))) else {
                continue;
            };
            let is = |field: &str, value: &Value| has(&live, place, field, value);
            // The autoscaler sets the count of a pool that scales.
            let will_scale = if was.get("auto_scale").is_some() { scales(was) } else { scales(now) };
            let is_set = |field: &str, value: &Value| is(field, value) || (will_scale && field == "count");
            let moved: Vec<_> = fields(was).filter(|(field, value)| !is_set(field, value)).collect();
            if moved.is_empty() {
                continue;
            }
            let is_ours =
                |field: &str| is(field, wrote.get(field).unwrap_or(&Value::Null)) || (scales(now) && field == "count");
            if !moved.iter().all(|(field, _)| is_ours(field)) {
                return Err(given.changed_since());
            }
            let mut target = now.clone();
            if let Value::Object(target) = &mut target {
                let restored =
                    moved.into_iter().map(|(field, value)| (field.clone(), blank_of(value, wrote.get(field))));
                target.extend(restored.collect::<Vec<_>>());
            }
            write(context, given, (now, &target), was).await?;
            return Ok(Undo::not_yet(SOON));
        }
        Ok(nothing_left(output))
    }
}

fn pools(document: &Value) -> impl Iterator<Item = &Value> {
    document.get("node_pools").into_iter().flat_map(items)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The fields of a part of a pool, except its id.
fn fields(part: &Value) -> impl Iterator<Item = (&String, &Value)> {
    part.as_object().into_iter().flatten().filter(|(field, _)| *field != "id")
}

/// Returns true if a field of the pool at this place has a value, under the rules of comparison.
fn has(live: &Live, place: usize, field: &str, value: &Value) -> bool {
    let path = format!("node_pools.{place}.{field}");
    let is_equal =
        |compared: FieldComparison| matches!(compared, FieldComparison::Done(found) if found.differences.is_empty());
    // A map is compared by the keys of the value: the live map must not have more.
    let keys = |value: Option<&Value>| value.and_then(Value::as_object).map_or(0, Map::len);
    is_equal(live.compare(&path, value)) && keys(live.raw(&path)) <= keys(Some(value))
}

/// A value, or the blank value of the other value's type in place of null.
fn blank_of(value: &Value, other: Option<&Value>) -> Value {
    match (value, other) {
        (Value::Null, Some(Value::Object(_))) => Map::new().into(),
        (Value::Null, Some(Value::Array(_))) => Vec::<Value>::new().into(),
        (value, _) => value.clone(),
    }
}

/// The pools that differ, in their live and in their wanted state.
fn changed<'d>(live: &'d Value, restored: &'d Value) -> Vec<(&'d Value, &'d Value)> {
    let pairs = pools(restored).filter_map(|wanted| {
        let now = pools(live).find(|pool| pool.get("id").is_some() && pool.get("id") == wanted.get("id"))?;
        (now != wanted).then_some((now, wanted))
    });
    pairs.collect()
}

/// The id of a pool and those of its fields that differ from another state of it.
fn part(pool: &Value, other: &Value) -> Value {
    let differs = |field: &str| pool.get(field) != other.get(field);
    let scales = SCALING.iter().any(|field| differs(field));
    let is_kept = |field: &&str| differs(field) || (scales && SCALING.contains(field));
    let kept = FIELDS.iter().copied().filter(is_kept).chain(["id"]);
    let kept: Map<_, _> = kept.map(|field| (field.to_owned(), pool.get(field).cloned().unwrap_or_default())).collect();
    kept.into()
}

/// Refuses a pool with a value that is neither the earlier nor the desired one: another client changed it since.
fn check_pool(
    given: &RevertParameters,
    before: &Before,
    live: &Live,
    (pool, moved): (&Value, &Value),
) -> Result<(), Failure> {
    let of = |parts: &Option<Value>| {
        parts.iter().flat_map(items).find(|part| part.get("id") == pool.get("id")).cloned().unwrap_or_default()
    };
    let (was, wrote) = (of(&before.was), of(&before.wrote));
    let place = pools(live.document()).position(|other| other.get("id") == pool.get("id")).unwrap_or_default();
    let is_known = |(field, value): (&String, &Value)| {
        // The autoscaler sets the count of a pool that scales.
        let is_one_of =
            has(live, place, field, value) || wrote.get(field).is_some_and(|it| has(live, place, field, it));
        is_one_of || (field == "count" && scales(pool))
    };
    let was_changed = |field: &String| was.get(field).is_some() || (field == "count" && scales(pool));
    if was.is_object() && fields(&was).all(is_known) && fields(moved).all(|(field, _)| was_changed(field)) {
        return Ok(());
    }
    Err(changed_meanwhile(&given.field, &given.key()))
}

/// The reason why the cluster cannot be changed now.
fn busy(given: &RevertParameters, cluster: &Value) -> Option<String> {
    let state = cluster.pointer("/status/state").and_then(Value::as_str).filter(|state| *state != "running")?;
    Some(format!("waiting until {} is running: it is {state}", given.key()))
}

/// The reason why nodes are missing. The autoscaler sets the count of its pools.
fn starting(cluster: &Value) -> Option<String> {
    pools(cluster).find_map(|pool| {
        let nodes: Vec<_> = pool.get("nodes").into_iter().flat_map(items).collect();
        let runs = |node: &&&Value| node.pointer("/status/state").is_some_and(|state| state == "running");
        let running = nodes.iter().filter(runs).count();
        let count = pool.get("count").and_then(Value::as_u64).filter(|_| !scales(pool));
        let is_there = running == nodes.len() && count.is_none_or(|count| usize::try_from(count) == Ok(running));
        let name = text(pool, "name").unwrap_or_default();
        (!is_there).then(|| format!("waiting until the nodes of pool {name} run: {running} of {} do", nodes.len()))
    })
}

/// Refuses a pool whose tags the token cannot read: they would be removed.
fn check_tags(given: &RevertParameters, live: &Live) -> Result<(), Failure> {
    if live.document().get("tags").is_some() {
        return Ok(());
    }
    let key = given.key();
    Err(Failure::Permanent(format!(
        "changing pools of {key}: the response has no tags; give the token the scope `tag:read`"
    )))
}

/// Returns true if the autoscaler sets the count of a pool.
fn scales(pool: &Value) -> bool {
    pool.get("auto_scale") == Some(&Value::Bool(true))
}

/// Changes the fields of a pool from its live to its wanted state. Fails if the call changes none of them: it would be
/// repeated without end.
async fn write(
    context: &StepContext<'_>,
    given: &RevertParameters,
    (now, pool): (&Value, &Value),
    changed: &Value,
) -> Result<(), Failure> {
    let required = REQUIRED.iter().filter_map(|field| Some(((*field).to_owned(), pool.get(*field)?.clone())));
    let mut body: Map<_, _> = required.collect();
    body.extend(fields(changed).map(|(field, _)| (field.clone(), pool.get(field).cloned().unwrap_or_default())));
    if scales(pool) {
        body.remove("count");
    }
    let differs = |field: &&String| body.contains_key(*field) && pool.get(*field) != now.get(*field);
    let sent: Vec<_> = fields(changed).map(|(field, _)| field).filter(differs).collect();
    let what = format!("changing pool {} of {}", text(now, "name").unwrap_or_default(), given.key());
    if sent.is_empty() {
        return Err(Failure::Permanent(format!("{what}: this step cannot change it; change it in DigitalOcean")));
    }
    if let Some(Value::Array(tags)) = body.get_mut("tags") {
        // The cloud keeps its own tags.
        tags.retain(|tag| !tag.as_str().is_some_and(|tag| tag == "k8s" || tag.starts_with("k8s:")));
    }
    let id = text(pool, "id").unwrap_or_default();
    let route = "/v2/kubernetes/clusters/{parent}/node_pools/{id}";
    let path = Endpoint { route, parent: Some(&given.id), id: Some(id), scope: "kubernetes:update" };
    match context.cloud.send(ChangeMethod::Put, path, Some(&body.into())).await {
        Ok(answer) => {
            let answered = answer.get("node_pool").filter(|pool| pool.get("id").is_some());
            let answered = answered.ok_or_else(|| unnamed("node pool"))?;
            let is_kept = |field: &&String| answered.get(*field).is_some_and(|value| now.get(*field) == Some(value));
            if sent.iter().all(is_kept) {
                let sent = sent.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(Failure::Permanent(format!(
                    "{what}: DigitalOcean accepted the call, and {sent} did not change; change it there"
                )));
            }
            Ok(())
        }
        Err(Error::NotFound { .. }) => Err(Failure::Permanent(format!("{} has no node pool {id}", given.key()))),
        Err(error) => Err(error.into()),
    }
}
