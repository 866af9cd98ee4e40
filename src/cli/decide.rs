//! The common part of `accept`, `revert` and `withdraw`: the question, the patches, and the wait for the operator.

mod report;
mod reverting;
mod verdict;
mod view;

use std::{collections::BTreeMap, time::Duration};

use clap::{Args, ValueEnum};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Error, Exit,
    cluster::{Noun, UserCluster},
    drift::{ClassText, DriftView, PLAN, Pending},
    prompt::{Input, confirm},
    select::SIDE_BY_SIDE,
    text,
};
use crate::{
    api::{DriftPhase, annotations, conditions::ConditionReason},
    digitalocean::revert::Allow,
    kube_ext::call,
    schedule,
};
use report::DecisionReport;
use reverting::saga_in_progress;
use verdict::PatchResponse;

pub(super) use reverting::RevertInProgress;
pub(super) use verdict::{DecisionKind, Verdict};
pub(super) use view::{plan, question};

/// The number of tries to store a decision while other parts of the object change.
pub(super) const TRIES: usize = 5;
/// The value of the annotation that accepts the value that the drift shows.
pub(super) const SHOWN_VALUE: &str = "true";
/// The interval of reading a drift that a decision waits for.
const POLL: Duration = Duration::from_millis(500);
/// The longest wait for the plan of a revert on the screen.
const PLANNING: Duration = Duration::from_secs(15);

/// The flags of every decision.
#[derive(Clone, Debug, Args)]
pub(super) struct DecideArgs {
    /// `server`: let the API server check the decision without storing it
    #[arg(long, value_name = "WHERE", default_value = "none")]
    dry_run: DryRun,

    /// Wait until the operator has carried the decision out
    #[arg(long)]
    wait: bool,

    /// Limit of --wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = schedule::duration)]
    timeout: Duration,

    /// Do not ask for a confirmation
    #[arg(short, long)]
    yes: bool,
}

/// The kind of check without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DryRun {
    None,
    Server,
}

/// Annotations to set, or to remove.
pub(super) type Annotations = BTreeMap<&'static str, Option<String>>;

/// A decision on some drifts.
pub(super) struct DecisionRequest {
    pub(super) verb: DecisionKind,
    /// The annotations to set, or to remove.
    pub(super) annotations: Annotations,
    pub(super) drifts: Vec<DriftView>,
    /// True if standard input can answer a question.
    pub(super) input: Input,
    /// The effect in words, if more is known than the question contains.
    pub(super) effect: Option<String>,
    /// The exit code if all goes well.
    pub(super) exit: Exit,
}

impl DecideArgs {
    /// Returns true if the user must confirm the decision.
    pub(super) fn has_question(&self) -> bool {
        !self.yes && self.dry_run == DryRun::None
    }
}

impl DecisionRequest {
    /// A decision that a person confirmed on the screen.
    fn confirmed(verb: DecisionKind, annotations: Annotations) -> Self {
        Self { verb, annotations, drifts: Vec::new(), input: Input::Used, effect: None, exit: Exit::Done }
    }

    /// Requests a confirmation, writes and waits. Drifts that cannot be decided are reported, and make the exit code 1.
    /// A failed call about one drift does not end the decisions on the others, and makes the exit code 2.
    pub(super) async fn carry_out(mut self, cluster: &UserCluster, args: &DecideArgs) -> Result<Exit, Error> {
        if self.drifts.is_empty() {
            return Ok(self.exit);
        }
        let is_dry = args.dry_run == DryRun::Server;
        if is_dry && args.wait {
            return Err(Error::usage(
                "--wait and --dry-run=server cannot be combined: a dry run changes nothing to wait for",
            ));
        }
        self.drifts.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        // A user requests a plan to see it.
        let waits = args.wait || (self.verb == DecisionKind::Plan && !is_dry);
        if args.has_question()
            && self.verb != DecisionKind::Plan
            && !confirm(&view::question(self.verb, &self.drifts, self.effect.as_deref()), self.input).await?
        {
            return Ok(Exit::No);
        }
        if self.verb != DecisionKind::Withdraw {
            let user = cluster.user_name().await?;
            self.annotations.insert(annotations::DECIDED_BY, user);
        }
        let this = &self;
        let stored = this.drifts.iter().map(|drift| async move { (drift, this.store(cluster, drift, is_dry).await) });
        let mut stored = stream::iter(stored).buffered(SIDE_BY_SIDE);
        let mut decided = Vec::new();
        let mut report = DecisionReport::new(self.exit);
        while let Some((drift, response)) = stored.next().await {
            match response {
                Ok(PatchResponse::Stored) => {
                    if !waits {
                        report.print(&view::stored(self.verb, drift, is_dry));
                    }
                    decided.push(drift.clone());
                }
                Ok(refusal) => {
                    text::note(&view::not_stored(drift, &refusal, &cluster.flag_for(&drift.namespace)));
                    report.refused();
                }
                Err(error) => report.failed(&view::failed_to_store(drift, &error)),
            }
        }
        drop(stored);
        if !waits {
            return Ok(report.exit());
        }
        let until = Instant::now() + args.timeout;
        let waits =
            decided.iter().map(|drift| async move { (drift, this.wait(cluster, drift, until, text::note).await) });
        let mut waits = stream::iter(waits).buffered(SIDE_BY_SIDE);
        while let Some((drift, verdict)) = waits.next().await {
            match verdict {
                Ok(verdict) => {
                    if !matches!(verdict, Verdict::Done(_)) {
                        report.refused();
                    }
                    report.print(&view::verdict(drift, &verdict, &cluster.flag_for(&drift.namespace)));
                }
                Err(error) => report.failed(&view::failed_to_wait(drift, &error)),
            }
        }
        Ok(report.exit())
    }

    /// Writes the annotations to one drift, unless it became another one meanwhile.
    async fn store(&self, cluster: &UserCluster, drift: &DriftView, is_dry: bool) -> Result<PatchResponse, Error> {
        if let Some(why) = self.hindrance(cluster, drift).await {
            return Ok(PatchResponse::Refused(why));
        }
        let doing = format!("deciding Drift {}/{}", drift.namespace, drift.name);
        let mut version = drift.resource_version.clone();
        for _ in 0..TRIES {
            let patch = patch(&self.annotations, version.as_deref());
            match cluster.patch(Noun::Drift, &drift.namespace, &drift.name, &doing, &patch, is_dry).await {
                Ok(_) => return Ok(PatchResponse::Stored),
                Err(call::Error::NotFound { .. }) => return Ok(PatchResponse::Gone),
                Err(call::Error::Conflict { .. }) => {}
                Err(call::Error::Forbidden { message, .. } | call::Error::Refused { message, .. }) => {
                    return Ok(PatchResponse::Refused(message));
                }
                Err(error) => return Err(error.into()),
            }
            let Some(now) = cluster.find(Noun::Drift, &drift.namespace, &drift.name).await? else {
                return Ok(PatchResponse::Gone);
            };
            let now = DriftView::read(&now);
            if !is_same(drift, &now) || drift.stands() != now.stands() {
                return Ok(PatchResponse::Moved(Box::new(now)));
            }
            // The revert may have started meanwhile.
            if let Some(why) = self.hindrance(cluster, &now).await {
                return Ok(PatchResponse::Refused(why));
            }
            version = now.resource_version;
        }
        Ok(PatchResponse::Refused("the object changes too often; repeat the command".to_owned()))
    }

    /// The reason why the operator would refuse the decision, or why it would replace another one by mistake.
    async fn hindrance(&self, cluster: &UserCluster, drift: &DriftView) -> Option<String> {
        if self.is_repeated(drift) {
            return None;
        }
        let flag = cluster.flag_for(&drift.namespace);
        let revert = RevertInProgress::of(cluster, drift).await;
        revert.and_then(|revert| revert.hinders(self.verb, drift, &flag)).or_else(|| replaced(self.verb, drift, &flag))
    }

    /// Returns true if the drift has this decision already.
    fn is_repeated(&self, drift: &DriftView) -> bool {
        let of = |key: &str| self.annotations.get(key).and_then(Option::as_deref);
        let pending = match &drift.pending {
            Some(Pending::Accept(value)) => [Some(value.as_str()), None],
            Some(Pending::Revert(permission)) => [None, Some(permission.as_str())],
            None => return false,
        };
        pending == [of(annotations::ACCEPT), of(annotations::REVERT)]
            && of(annotations::BECAUSE).map(text::one_line) == drift.because
    }

    /// An acceptance that was to end, and whose value is in the record now, does not end.
    fn unless_endless(&self, now: Option<&DriftView>, verdict: Verdict) -> Verdict {
        let has_end = self.annotations.get(annotations::ACCEPT_UNTIL).is_some_and(Option::is_some);
        if has_end && self.verb == DecisionKind::Accept && now.is_some_and(DriftView::is_moved_to_record) {
            let why = "the policy of the record is InPlace, and the accepted value is in the record, without an end";
            return Verdict::Refused(why.to_owned());
        }
        verdict
    }

    /// Waits for the operator's answer. Reports each progress. A lost connection does not end the wait before `until`.
    async fn wait(
        &self,
        cluster: &UserCluster,
        drift: &DriftView,
        until: Instant,
        tell: impl Fn(&str),
    ) -> Result<Verdict, Error> {
        let mut told: Option<String> = None;
        let mut report = |said: &str| {
            if told.as_deref() != Some(said) {
                tell(&format!("drift.arcadia.cloud/{}: {said}", drift.name));
                told = Some(said.to_owned());
            }
        };
        loop {
            let object = match cluster.find(Noun::Drift, &drift.namespace, &drift.name).await {
                Err(Error::Unusable { why, .. }) if Instant::now() < until => {
                    report(&format!("the connection to the API server was lost: {why}; connecting again"));
                    sleep(POLL).await;
                    continue;
                }
                object => object?,
            };
            let plan = object.as_ref().and_then(|object| object.data.pointer("/status/plan").cloned());
            let now = object.as_ref().map(DriftView::read);
            if let Some(verdict) = verdict(self.verb, drift, now.as_ref(), plan.as_ref()) {
                return Ok(self.unless_endless(now.as_ref(), verdict));
            }
            let progress = match &now {
                Some(now) => view::progress(now, saga_in_progress(cluster, now).await.as_ref()),
                None => None,
            };
            if let Some(said) = &progress {
                report(said);
            }
            if Instant::now() >= until {
                let shown = || now.as_ref().and_then(DriftView::state).unwrap_or_default();
                return Ok(Verdict::Late(progress.unwrap_or_else(shown)));
            }
            sleep(POLL).await;
        }
    }
}

/// The merge patch. With the version, the API server refuses it if the object has changed since it was read.
pub(super) fn patch(annotations: &Annotations, version: Option<&str>) -> Value {
    json!({ "metadata": { "resourceVersion": version, "annotations": annotations } })
}

/// The reason not to replace a decision that waits: a plan is no decision, and a restored one is older.
fn replaced(verb: DecisionKind, drift: &DriftView, flag: &str) -> Option<String> {
    let waiting = drift.pending.as_ref().map(Pending::word).filter(|word| *word != PLAN)?;
    match verb {
        DecisionKind::Plan | DecisionKind::Restore => Some(format!(
            "a decision to {waiting} is still pending; withdraw it first with: kubectl arcadia withdraw {}{flag}",
            drift.name
        )),
        DecisionKind::Accept | DecisionKind::Revert | DecisionKind::Withdraw => None,
    }
}

/// The annotations of an acceptance of this value, without its end and reason.
pub(super) fn accepting(value: &str) -> Annotations {
    [
        (annotations::ACCEPT, Some(value.to_owned())),
        (annotations::ACCEPT_UNTIL, None),
        (annotations::REVERT, None),
        (annotations::BECAUSE, None),
    ]
    .into()
}

/// The annotations of a revert with this permission.
pub(super) fn reverting(permission: &str) -> Annotations {
    [
        (annotations::REVERT, Some(permission.to_owned())),
        (annotations::ACCEPT, None),
        (annotations::ACCEPT_UNTIL, None),
        (annotations::BECAUSE, None),
    ]
    .into()
}

/// The annotations without any decision.
pub(super) fn withdrawing() -> Annotations {
    [annotations::ACCEPT, annotations::ACCEPT_UNTIL, annotations::REVERT, annotations::BECAUSE, annotations::DECIDED_BY]
        .map(|key| (key, None))
        .into()
}

/// The permission that a revert of this drift needs.
fn needed(drift: &DriftView) -> Allow {
    drift.class.as_ref().and_then(ClassText::needs).unwrap_or_default()
}

/// The commands that revert these drifts of one class, each with its effect; none if no revert is possible.
pub(super) fn revert_commands(drifts: &str, class: Option<&ClassText>) -> Vec<(String, &'static str)> {
    let (plan, revert) = ("show the plan of a revert", "change the cloud back");
    match class.map(ClassText::needs) {
        Some(None) => Vec::new(),
        Some(Some(needed)) if needed > Allow::Safe => vec![
            (format!("kubectl arcadia revert {drifts} --plan"), plan),
            (format!("kubectl arcadia revert {drifts} --allow {}", flag(needed)), revert),
        ],
        Some(Some(_)) | None => vec![(format!("kubectl arcadia revert {drifts}"), revert)],
    }
}

/// The value of the flag `--allow` for a permission.
pub(super) fn flag(allow: Allow) -> &'static str {
    let annotation = allow.annotation();
    annotation.strip_prefix("allow-").unwrap_or(annotation)
}

/// The annotations of the decision that this drift shows.
fn restoring(drift: &DriftView) -> Annotations {
    let mut annotations = match &drift.pending {
        Some(Pending::Accept(value)) => accepting(value),
        Some(Pending::Revert(permission)) => reverting(permission),
        None => return withdrawing(),
    };
    if matches!(drift.pending, Some(Pending::Accept(_))) {
        annotations.insert(annotations::ACCEPT_UNTIL, drift.until.clone());
    }
    annotations.insert(annotations::BECAUSE, drift.because.clone());
    annotations
}

/// The answer to a decision on one drift that a person confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DecisionResult {
    Stored,
    /// The drift is open, and is another one than the person saw.
    Moved(Box<DriftView>),
    /// It was not stored, for this reason.
    Refused(String),
    /// Whether it was stored is unknown, for this reason.
    Unknown(String),
}

/// Stores a decision that a person has confirmed for each of these drifts, with the permission that its class needs.
///
/// # Errors
/// If the name of the user cannot be read: nothing is stored then.
pub(super) async fn decide(
    cluster: &UserCluster,
    verb: DecisionKind,
    drifts: &[DriftView],
) -> Result<Vec<DecisionResult>, Error> {
    let user = if verb == DecisionKind::Withdraw { None } else { cluster.user_name().await? };
    let stored = drifts.iter().map(|drift| {
        let mut annotations = match verb {
            DecisionKind::Accept => accepting(SHOWN_VALUE),
            DecisionKind::Revert => reverting(needed(drift).annotation()),
            DecisionKind::Plan => reverting(PLAN),
            DecisionKind::Withdraw => withdrawing(),
            DecisionKind::Restore => restoring(drift),
        };
        annotations.insert(annotations::DECIDED_BY, user.clone());
        let decision = DecisionRequest::confirmed(verb, annotations);
        async move { decision.store(cluster, drift, false).await }
    });
    let answer = |response: Result<PatchResponse, Error>| match response {
        Ok(PatchResponse::Stored) => DecisionResult::Stored,
        Ok(PatchResponse::Moved(now)) if now.is_open() => DecisionResult::Moved(now),
        Ok(PatchResponse::Moved(now)) => {
            DecisionResult::Refused(format!("it was resolved meanwhile, as {}", now.phase))
        }
        Ok(PatchResponse::Gone) => DecisionResult::Refused("it was deleted meanwhile".to_owned()),
        Ok(PatchResponse::Refused(message)) => DecisionResult::Refused(message),
        // The decisions on the other drifts may be stored.
        Err(error @ Error::Unusable { .. }) => DecisionResult::Unknown(error.to_string()),
        Err(error) => DecisionResult::Refused(error.to_string()),
    };
    Ok(stream::iter(stored).buffered(SIDE_BY_SIDE).map(answer).collect().await)
}

/// The plan of the revert of a drift, from the operator.
pub(super) async fn plan_of(cluster: &UserCluster, drift: &DriftView) -> Result<Verdict, Error> {
    let mut annotations = reverting(PLAN);
    annotations.insert(annotations::DECIDED_BY, cluster.user_name().await?);
    let decision = DecisionRequest::confirmed(DecisionKind::Plan, annotations);
    match decision.store(cluster, drift, false).await? {
        PatchResponse::Stored => decision.wait(cluster, drift, Instant::now() + PLANNING, |_| ()).await,
        PatchResponse::Moved(_) => Ok(Verdict::Refused("it changed after it was read".to_owned())),
        PatchResponse::Gone => Ok(Verdict::Refused("it was deleted meanwhile".to_owned())),
        PatchResponse::Refused(message) => Ok(Verdict::Refused(message)),
    }
}

/// Returns true if a drift shows the same as before. Other parts of the object may have changed.
pub(super) fn is_same(seen: &DriftView, now: &DriftView) -> bool {
    (&seen.phase, &seen.expected, &seen.actual) == (&now.phase, &now.expected, &now.actual)
}

/// The result of a decision on a drift, as it was before and is now; nothing while it waits.
fn verdict(verb: DecisionKind, before: &DriftView, now: Option<&DriftView>, plan: Option<&Value>) -> Option<Verdict> {
    let Some(now) = now else { return Some(Verdict::Refused("the drift was deleted".to_owned())) };
    let is_handled = now.pending.is_none();
    let failures = [ConditionReason::DecisionRefused, ConditionReason::RevertFailed, ConditionReason::RevertStuck];
    // A plan leaves the reason of an earlier refusal as it is.
    let is_planned = now.planned_at != before.planned_at;
    let answer = now.answer.as_ref().filter(|answer| before.answer.as_ref() != Some(answer));
    match verb {
        _ if let Some((message, _)) = answer => Some(Verdict::Refused(message.clone())),
        DecisionKind::Withdraw => {
            // A saga that has not started yet is cancelled first.
            (is_handled && !now.stands() && !(now.is_open() && now.is_reverting()))
                .then(|| Verdict::Done("withdrawn".to_owned()))
        }
        DecisionKind::Accept if before.stands() => moved_end(now),
        _ if !now.is_open() => {
            let is_as_decided = match verb {
                DecisionKind::Accept => now.phase == DriftPhase::Accepted.name(),
                DecisionKind::Revert => now.phase != DriftPhase::Accepted.name(),
                DecisionKind::Plan | DecisionKind::Withdraw | DecisionKind::Restore => false,
            };
            let text = format!("{} ({})", now.phase, now.reason);
            Some(if is_as_decided { Verdict::Done(text) } else { Verdict::Refused(format!("closed as {text}")) })
        }
        DecisionKind::Plan if is_handled && is_planned => plan.map(|plan| Verdict::Done(view::plan(plan))),
        _ if is_handled && failures.iter().any(|failure| now.reason == *failure) => {
            Some(Verdict::Refused(now.message.clone()))
        }
        DecisionKind::Plan => plan.filter(|_| is_handled).map(|plan| Verdict::Done(view::plan(plan))),
        DecisionKind::Accept | DecisionKind::Revert | DecisionKind::Restore => None,
    }
}

/// The result of another end of an acceptance that stood; nothing while it waits.
fn moved_end(now: &DriftView) -> Option<Verdict> {
    if now.stands() {
        let end = now.until.as_ref().map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"));
        return now.is_applied.then(|| Verdict::Done(format!("stands {end}")));
    }
    // Without an end, the policy InPlace moves the accepted value to the record.
    if now.is_moved_to_record() {
        return Some(Verdict::Done("the accepted value is in the record now".to_owned()));
    }
    let why = now.standing.as_ref().map_or(now.reason.as_str(), |(_, reason)| reason);
    Some(Verdict::Refused(format!("the acceptance has ended ({why}); a new drift opens if the value still differs")))
}

/// The drifts of a selection that wait for a decision. Others are reported, and set the exit code to 1. Fails if nothing
/// is selected.
pub(super) fn open_ones(cluster: &UserCluster, drifts: Vec<DriftView>) -> Result<(Vec<DriftView>, Exit), Error> {
    let (open, closed): (Vec<_>, Vec<_>) = drifts.into_iter().partition(DriftView::is_open);
    report_resolved(cluster, &closed);
    if open.is_empty() && closed.is_empty() {
        return Err(Error::usage(format!(
            "no open drift matches; list open drifts with: kubectl arcadia inbox{}",
            cluster.flag()
        )));
    }
    Ok((open, if closed.is_empty() { Exit::Done } else { Exit::No }))
}

/// Reports the drifts with a reason not to be decided, leaves them out, and sets the exit code to 1.
pub(super) fn refuse(drifts: &mut Vec<DriftView>, exit: &mut Exit, why: impl Fn(&DriftView) -> Option<String>) {
    drifts.retain(|drift| {
        let Some(why) = why(drift) else { return true };
        text::note(&view::not_stored(drift, &PatchResponse::Refused(why), ""));
        *exit = Exit::No;
        false
    });
}

/// Reports drifts that are not decided because they are resolved.
pub(super) fn report_resolved(cluster: &UserCluster, drifts: &[DriftView]) {
    for drift in drifts {
        text::note(&view::resolved_already(drift, &cluster.flag_for(&drift.namespace)));
    }
}

/// The field selector for drifts that wait for a decision.
pub(super) const OPEN: &str = "status.phase=Open";

/// The field selector for accepted drifts. Some of their acceptances stand.
pub(super) const ACCEPTED: &str = "status.phase=Accepted";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::drift::tests::view;

    #[test]
    fn a_drift_with_the_same_values_is_the_same_drift() {
        let seen = view("web-1", &json!({}));
        let touched = view(
            "web-1",
            &json!({ "metadata": { "resourceVersion": "8" }, "status": { "reason": "DecisionWaiting" } }),
        );
        assert!(is_same(&seen, &touched));
        for more in [
            json!({ "status": { "actual": "s-8vcpu-16gb" } }),
            json!({ "status": { "phase": "Stale" } }),
            json!({ "spec": { "expected": "s-1vcpu-1gb" } }),
        ] {
            assert!(!is_same(&seen, &view("web-1", &more)), "{more}");
        }
    }

    #[test]
    fn a_plan_does_not_replace_a_decision_that_waits() {
        let of = |verb, key: &str, value: &str| {
            let drift = view("web-1", &json!({ "metadata": { "annotations": { key: value } } }));
            replaced(verb, &drift, " -n a")
        };
        let why = of(DecisionKind::Plan, annotations::REVERT, "true").unwrap();
        assert!(why.starts_with("a decision to revert is still pending; "), "{why}");
        assert!(why.ends_with(": kubectl arcadia withdraw web-1-size-slug-e7320a9aaf-1 -n a"), "{why}");
        assert_eq!(of(DecisionKind::Plan, annotations::REVERT, PLAN), None, "another plan");
        assert!(of(DecisionKind::Restore, annotations::ACCEPT, "true").is_some(), "the decision of another person");
        for verb in [DecisionKind::Accept, DecisionKind::Revert, DecisionKind::Withdraw] {
            assert_eq!(of(verb, annotations::ACCEPT, "true"), None, "{verb:?}");
        }
    }

    #[test]
    fn a_decision_waits_until_the_drift_shows_its_result() {
        let before = view("web-1", &json!({}));
        let of = |verb, more: Value| verdict(verb, &before, Some(&view("web-1", &more)), more.pointer("/status/plan"));
        let accept = json!({ "arcadia.cloud/accept": "true" });
        let waiting = json!({ "metadata": { "annotations": accept }, "status": { "reason": "DecisionRefused" } });
        assert_eq!(of(DecisionKind::Accept, waiting), None, "an earlier refusal");
        let accepted = json!({ "status": { "phase": "Accepted", "reason": "Accepted" } });
        assert_eq!(of(DecisionKind::Accept, accepted), Some(Verdict::Done("Accepted (Accepted)".into())));
        let stale = json!({ "status": { "phase": "Stale", "reason": "LiveReturned" } });
        assert_eq!(
            of(DecisionKind::Accept, stale.clone()),
            Some(Verdict::Refused("closed as Stale (LiveReturned)".into()))
        );
        assert_eq!(of(DecisionKind::Revert, stale), Some(Verdict::Done("Stale (LiveReturned)".into())));
        let refused = json!({ "status": { "reason": "DecisionRefused", "conditions": [
            { "type": "Resolved", "status": "False", "reason": "DecisionRefused", "message": "it moved" }] } });
        assert_eq!(of(DecisionKind::Accept, refused), Some(Verdict::Refused("it moved".into())));
        assert_eq!(of(DecisionKind::Plan, json!({})), None);
        let planned =
            json!({ "status": { "reason": "RevertFailed", "plan": { "class": "Safe", "plannedAt": "now" } } });
        let Some(Verdict::Done(plan)) = of(DecisionKind::Plan, planned.clone()) else {
            panic!("a plan after a failed revert")
        };
        assert!(plan.contains("Safe"), "{plan}");
        let planned = view("web-1", &planned);
        let same = verdict(DecisionKind::Plan, &planned, Some(&planned), None);
        assert!(matches!(same, Some(Verdict::Refused(_))), "the plan of an earlier request: {same:?}");
        let standing = |status: &str| json!({ "status": { "phase": "Accepted", "conditions": [{ "type": "Standing", "status": status, "reason": "R" }] } });
        assert_eq!(of(DecisionKind::Withdraw, standing("True")), None);
        assert_eq!(of(DecisionKind::Withdraw, standing("False")), Some(Verdict::Done("withdrawn".into())));
        assert_eq!(of(DecisionKind::Withdraw, json!({ "status": { "reason": "Reverting" } })), None);
        let stands = |requested: &str| {
            view(
                "web-1",
                &json!({
                    "metadata": { "annotations": { "arcadia.cloud/accept": "true", "arcadia.cloud/accept-until": "later" } },
                    "status": {
                        "phase": "Accepted", "reason": "Accepted",
                        "acceptance": { "until": requested, "untilRequested": requested },
                        "conditions": [{ "type": "Standing", "status": "True", "reason": "R" }],
                    },
                }),
            )
        };
        let moved = |now: &DriftView| verdict(DecisionKind::Accept, &stands("soon"), Some(now), None);
        assert_eq!(moved(&stands("soon")), None, "the earlier end");
        assert_eq!(moved(&stands("later")), Some(Verdict::Done("stands until later".into())));
        // A saga runs already: the operator answers, and restores the annotation.
        let restored = json!({ "metadata": { "annotations": { "arcadia.cloud/revert": "true" } }, "status": {
            "reason": "RevertStuck", "conditions": [{ "type": "DecisionApplied", "status": "False",
                "reason": "AlreadyResolved", "message": "a saga reverts it", "lastTransitionTime": "now" }] } });
        for verb in [DecisionKind::Withdraw, DecisionKind::Accept, DecisionKind::Plan] {
            assert_eq!(of(verb, restored.clone()), Some(Verdict::Refused("a saga reverts it".into())));
        }
    }
}
