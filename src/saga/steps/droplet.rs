//! Parts that the droplet steps share: each reads the droplet and starts the next action towards the target state.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::common::{self, NoOutput, ProviderId, SOON, text};
use crate::{
    api::saga::ActionId,
    digitalocean::{ChangeMethod, Endpoint, Error},
    saga::step::{Failure, Lookup, Progress, StepContext, Undo, has_passed},
};

/// The interval of polling a droplet that shuts down or is busy.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The number of shutdown actions to start if they fail.
const MAX_SHUTDOWNS: usize = 2;
/// The number of latest actions that are read.
const LATEST: &str = "50";

/// The next operation towards the target state of a droplet.
#[derive(Debug)]
pub enum NextAction {
    /// None: the droplet is in the target state.
    Nothing,
    /// None: the droplet does not exist.
    Gone,
    /// Wait for this action. A droplet runs one action at a time.
    Busy(ActionId),
    /// Start this action.
    Act(Value),
    /// Poll again.
    Wait {
        /// The time until then.
        again: Duration,
        /// The wait, for people.
        why: String,
    },
}

/// An action on a droplet, with the fields that matter here.
#[derive(Debug)]
pub(super) struct DropletAction {
    pub(super) id: ActionId,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) started_at: Timestamp,
}

/// Fetches a droplet.
pub(super) async fn droplet(context: &StepContext<'_>, id: &str) -> Result<Option<Value>, Failure> {
    let path = Endpoint { route: "/v2/droplets/{id}", parent: None, id: Some(id), scope: "droplet:read" };
    Ok(context.cloud.fetch(path, "droplet", &[]).await?)
}

/// Fetches a droplet if no action is in progress, and otherwise returns the next operation.
pub(super) async fn at_rest(context: &StepContext<'_>, id: &str) -> Result<Result<Value, NextAction>, Failure> {
    // Read before the droplet, so that the effect of an action which ends in between shows there.
    let under_way = actions(context, id).await?.into_iter().find(|action| action.status == "in-progress");
    let Some(droplet) = droplet(context, id).await? else { return Ok(Err(NextAction::Gone)) };
    if let Some(action) = under_way {
        return Ok(Err(NextAction::Busy(action.id)));
    }
    // The lock is independent of actions: DigitalOcean refuses every action on such a droplet until it is unlocked.
    if droplet.get("locked") == Some(&json!(true)) {
        return Ok(Err(NextAction::Wait { again: LONGEST_PAUSE, why: locked(id) }));
    }
    Ok(Ok(droplet))
}

/// The droplet before a step. Waits while another action is in progress.
pub(super) async fn before(context: &StepContext<'_>, id: &str) -> Result<Value, Failure> {
    match at_rest(context, id).await? {
        Ok(droplet) => Ok(droplet),
        Err(NextAction::Gone) => Err(gone(id)),
        Err(NextAction::Wait { why, .. }) => Err(Failure::Waiting(why)),
        Err(_) => Err(Failure::Waiting(others(id))),
    }
}

/// The next operation while another user's action is in progress.
pub(super) fn wait_for_others(id: &str) -> NextAction {
    NextAction::Wait { again: LONGEST_PAUSE, why: others(id) }
}

fn others(id: &str) -> String {
    format!("waiting for another action on droplet {id}")
}

fn locked(id: &str) -> String {
    format!("droplet {id} is locked; contact DigitalOcean's support to unlock it")
}

/// The latest actions on a droplet, newest first.
pub(super) async fn actions(context: &StepContext<'_>, id: &str) -> Result<Vec<DropletAction>, Failure> {
    let route = "/v2/droplets/{id}/actions";
    let path = Endpoint { route, parent: None, id: Some(id), scope: "droplet:read" };
    let listed = context.cloud.fetch(path, "actions", &[("per_page", LATEST)]).await?.unwrap_or_default();
    let listed = listed.as_array().into_iter().flatten();
    let mut actions: Vec<_> = listed.filter_map(action).collect();
    actions.sort_by_key(|action| std::cmp::Reverse(action.id));
    Ok(actions)
}

fn action(document: &Value) -> Option<DropletAction> {
    Some(DropletAction {
        id: common::named(document.get("id"))?,
        kind: text(document, "type")?.to_owned(),
        status: text(document, "status")?.to_owned(),
        started_at: text(document, "started_at")?.parse().ok()?,
    })
}

/// The id of the latest action on a droplet; the step's actions have higher ids. 0 if there was none.
pub(super) async fn latest_action(context: &StepContext<'_>, id: &str) -> Result<u64, Failure> {
    Ok(actions(context, id).await?.first().map_or(0, |action| action.id.get()))
}

/// Advances a droplet by one action.
pub(super) async fn go(context: &StepContext<'_>, id: &str, next: NextAction) -> Result<Progress<NoOutput>, Failure> {
    Ok(match next {
        NextAction::Nothing => Progress::Done(NoOutput {}),
        NextAction::Gone => return Err(gone(id)),
        NextAction::Busy(action) => started(id, action),
        NextAction::Wait { again, why } => Progress::NotYet { again, why },
        NextAction::Act(action) => match begin(context, id, &action).await? {
            Some(action) => started(id, action),
            None => Progress::NotYet {
                again: SOON,
                why: format!("waiting until droplet {id} shows the result of the action"),
            },
        },
    })
}

/// The result of looking up a step with this next operation.
pub(super) fn found(id: &str, next: NextAction) -> Lookup<NoOutput> {
    match next {
        NextAction::Nothing => Lookup::One(Progress::Done(NoOutput {})),
        NextAction::Busy(action) => Lookup::One(started(id, action)),
        NextAction::Wait { again, why } => Lookup::One(Progress::NotYet { again, why }),
        NextAction::Act(_) | NextAction::Gone => Lookup::Converges,
    }
}

/// Reverts a droplet by one action. `is_done` is true if the whole effect is known.
pub(super) async fn go_back(
    context: &StepContext<'_>,
    id: &str,
    next: NextAction,
    is_done: bool,
) -> Result<Undo, Failure> {
    Ok(match next {
        NextAction::Nothing if is_done => Undo::Done,
        NextAction::Nothing | NextAction::Gone => Undo::NothingThere,
        NextAction::Busy(action) => Undo::Started(action),
        NextAction::Wait { again, why } => Undo::NotYet { again, why },
        NextAction::Act(action) => begin(context, id, &action).await?.map_or(Undo::not_yet(SOON), Undo::Started),
    })
}

/// Starts an action. None if the droplet already is in that state and did not show it yet.
async fn begin(context: &StepContext<'_>, id: &str, action: &Value) -> Result<Option<ActionId>, Failure> {
    match send(context, id, action).await {
        Ok(answer) => common::action_id(&answer).map(Some),
        Err(error) if error.is_already_done() => Ok(None),
        Err(Error::NotFound { .. }) => Err(gone(id)),
        Err(error) => Err(error.into()),
    }
}

/// Starts an action that creates a resource, and returns its id.
pub(super) async fn act(context: &StepContext<'_>, id: &str, action: &Value) -> Result<ActionId, Failure> {
    match send(context, id, action).await {
        Err(Error::NotFound { .. }) => Err(gone(id)),
        answer => common::action_id(&answer?),
    }
}

async fn send(context: &StepContext<'_>, id: &str, action: &Value) -> Result<Value, Error> {
    let route = "/v2/droplets/{id}/actions";
    let path = Endpoint { route, parent: None, id: Some(id), scope: scope(action) };
    context.cloud.send(ChangeMethod::Post, path, Some(action)).await
}

/// The scopes that an action needs.
fn scope(action: &Value) -> &'static str {
    match text(action, "type") {
        Some("snapshot") => "droplet:update, image:create",
        Some("resize") => "droplet:update, droplet:create",
        Some("restore") => "droplet:update, droplet:admin",
        _ => "droplet:update",
    }
}

fn started(id: &str, action: ActionId) -> Progress<NoOutput> {
    Progress::Started { action, ids: vec![format!("droplets/{id}")] }
}

/// A droplet, for people.
pub(super) fn of_droplet(id: &ProviderId) -> String {
    format!("droplet {id}")
}

/// The failure of a step whose droplet does not exist.
pub(super) fn gone(id: &str) -> Failure {
    Failure::Permanent(format!("there is no droplet {id}"))
}

/// Returns true if a droplet is powered on.
pub(super) fn is_on(droplet: &Value) -> bool {
    text(droplet, "status") == Some("active")
}

/// The default time to shut down before the droplet is powered off, in seconds.
pub(super) const fn default_grace_seconds() -> u32 {
    120
}

/// The grace period of a step's parameters.
pub(super) fn grace(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// The action that powers on a droplet.
pub(super) fn power_on() -> NextAction {
    NextAction::Act(json!({ "type": "power_on" }))
}

/// The next operation to power off a running droplet: shut it down, and power it off after the grace period. Shutdown
/// actions before the action `since` do not count.
pub(super) async fn power_off(
    context: &StepContext<'_>,
    id: &str,
    since: u64,
    grace: Duration,
) -> Result<NextAction, Failure> {
    let shutdowns = shutdowns(context, id, since).await?;
    let has_started = shutdowns.iter().any(|action| action.status != "errored");
    Ok(match shutdowns.last() {
        Some(first) if has_passed(first.started_at, grace, context.now) => cut_power(),
        Some(_) if has_started => wait_for_shutdown(id),
        Some(_) if shutdowns.len() >= MAX_SHUTDOWNS => cut_power(),
        None if grace.is_zero() => cut_power(),
        _ => NextAction::Act(json!({ "type": "shutdown" })),
    })
}

/// Waits while a running droplet may still shut down after the shutdown actions; none once it stays on.
pub(super) async fn stays_on(
    context: &StepContext<'_>,
    id: &str,
    since: u64,
    grace: Duration,
) -> Result<NextAction, Failure> {
    let shutdowns = shutdowns(context, id, since).await?;
    let may =
        shutdowns.iter().any(|action| action.status != "errored" && !has_passed(action.started_at, grace, context.now));
    Ok(if may { wait_for_shutdown(id) } else { NextAction::Nothing })
}

fn cut_power() -> NextAction {
    NextAction::Act(json!({ "type": "power_off" }))
}

fn wait_for_shutdown(id: &str) -> NextAction {
    NextAction::Wait { again: LONGEST_PAUSE, why: format!("waiting for droplet {id} to shut down") }
}

/// The shutdown actions since the droplet was powered on and after the action `since`, newest first.
async fn shutdowns(context: &StepContext<'_>, id: &str, since: u64) -> Result<Vec<DropletAction>, Failure> {
    let actions = actions(context, id).await?.into_iter();
    let of_now = actions.take_while(|action| {
        action.id.get() > since && !["power_on", "power_cycle", "reboot"].contains(&action.kind.as_str())
    });
    Ok(of_now.filter(|action| action.kind == "shutdown").collect())
}

/// Returns true if backups of a droplet are enabled.
pub(super) fn has_backups(droplet: &Value) -> bool {
    let features = droplet.get("features").and_then(Value::as_array);
    features.into_iter().flatten().any(|feature| feature == "backups")
}

/// The number of a droplet's backups; none if the token cannot list them.
pub(super) fn backups(droplet: &Value) -> Option<usize> {
    droplet.get("backup_ids").and_then(Value::as_array).map(Vec::len)
}

/// Refuses to lose a droplet's backups unless `discard_backups` is set.
pub(super) fn check_backups(id: &str, droplet: &Value, may_be_lost: bool) -> Result<(), Failure> {
    let why = match backups(droplet) {
        Some(0) => return Ok(()),
        _ if may_be_lost => return Ok(()),
        Some(count) => {
            format!("droplet {id} has {count} backups that could be lost; convert those to keep to snapshots")
        }
        None => format!("listing the backups of droplet {id}: the token lacks the scope `image:read`; grant it"),
    };
    Err(Failure::Permanent(format!("{why}, or set `discard_backups`")))
}

/// Deletes a droplet. A droplet that does not exist counts as deleted.
pub(super) async fn delete(context: &StepContext<'_>, id: &str) -> Result<(), Failure> {
    let path = Endpoint { route: "/v2/droplets/{id}", parent: None, id: Some(id), scope: "droplet:delete" };
    match context.cloud.send(ChangeMethod::Delete, path, None).await {
        Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// An id in the body of a call: a number if it is one.
pub(super) fn number_or_text(id: &ProviderId) -> Value {
    id.as_str().parse::<u64>().map_or_else(|_| json!(id), |number| json!(number))
}
