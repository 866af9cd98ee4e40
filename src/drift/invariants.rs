//! The promises of the evaluation, as tests: tables of cases, and random histories with crashes between any two writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    evaluate::{evaluate, orphaned},
    finding::{Finding, compare},
    known::{KnownDrift, Marks, Reverting, Standing},
    observed::{NeedsFreshRead, Observed, Owner, Reading, Recorded, Rests, Seen, Selected},
    ownership::Declared,
    plan::{Accepted, Adoption, Compared, Plan, Situation, Write},
    reverts::RevertSaga,
    shown::Shown,
};
use crate::{
    api::{
        AcceptPolicy, DriftPhase, SagaPhase,
        conditions::reason::{self, INVENTORY_STALE},
        labels,
    },
    comparison::{reading::stands_for as shows, show::full as shown_text},
    digitalocean::{Kind, Live, ResourceKey},
};

const HISTORY: usize = 3;

/// A record, its drifts and the cloud, as the API server and the provider hold them.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct World {
    desired: BTreeMap<String, Value>,
    ignore: BTreeSet<Box<str>>,
    suspended: bool,
    older: Option<String>,
    last_accepted: Marks,
    accept: AcceptPolicy,
    declared: Declared,
    /// The sagas that revert its drifts.
    reverts: Vec<RevertSaga>,
    /// Another controller that owns the resource.
    owner: Option<String>,
    now: Timestamp,
    was_seen: bool,
    is_deleting: bool,
    /// Lists alone count as confirmed.
    confirms: bool,
    /// The version of the record's object, and of the newest drift's.
    version: usize,
    drifts: Vec<KnownDrift>,
    /// What the provider has; none when it is gone.
    live: Option<Value>,
    /// What it had before the last change.
    before: Option<Value>,
    /// What the last sweep saw.
    swept: Swept,
    uids: usize,
}

/// What a sweep saw of the resource.
#[derive(Clone, Debug)]
enum Swept {
    /// It failed, or is too old.
    Nothing,
    /// The resource, if it exists.
    Live(Option<Value>),
}

impl World {
    fn new(desired: Value, live: Value) -> Self {
        let desired = serde_json::from_value(desired).unwrap();
        Self {
            desired,
            ignore: BTreeSet::new(),
            suspended: false,
            older: None,
            last_accepted: Marks::default(),
            accept: AcceptPolicy::Auto,
            declared: Declared::Nothing,
            reverts: Vec::new(),
            owner: None,
            now: "2026-11-29T12:00:00Z".parse().unwrap(),
            was_seen: true,
            is_deleting: false,
            confirms: false,
            version: 0,
            drifts: Vec::new(),
            swept: Swept::Live(Some(live.clone())),
            before: Some(live.clone()),
            live: Some(live),
            uids: 0,
        }
    }

    fn sweep(&mut self) {
        self.swept = Swept::Live(self.live.clone());
    }

    /// A list that shows what was there before the last change.
    fn sweep_late(&mut self) {
        self.swept = Swept::Live(self.before.clone());
    }

    /// Without a request of its own.
    fn plan(&self) -> Plan {
        self.plan_of(Reading::Inventory { is_confirmed: self.confirms })
    }

    /// With a request that began when these drifts were known.
    fn plan_fresh(&self, before: &[KnownDrift]) -> Plan {
        self.plan_of(Reading::Fresh { before })
    }

    fn plan_failed(&self) -> Plan {
        self.plan_of(Reading::Failed { is_confirmed: self.confirms })
    }

    fn plan_of(&self, reading: Reading<'_>) -> Plan {
        let key = ResourceKey { kind: Kind::named("Droplet").unwrap(), id: "1".into() };
        let is_fresh = matches!(reading, Reading::Fresh { .. });
        let observed = if is_fresh { Swept::Live(self.live.clone()) } else { self.swept.clone() };
        let live = match &observed {
            Swept::Live(Some(document)) => Some(Live::parse(&key, &document.to_string()).unwrap()),
            Swept::Live(None) | Swept::Nothing => None,
        };
        let seen = match (&observed, &live) {
            (Swept::Nothing, _) => Seen::Unknown(INVENTORY_STALE, "too old"),
            (Swept::Live(_), None) => Seen::Gone,
            (Swept::Live(_), Some(live)) => Seen::Present(live),
        };
        let reading = match reading {
            Reading::Inventory { .. } if matches!(seen, Seen::Gone) => Reading::Inventory { is_confirmed: true },
            reading => reading,
        };
        let rests = match &self.older {
            _ if self.is_deleting => Some(Rests::Deleting),
            _ if self.suspended => Some(Rests::Suspended),
            older => older.as_deref().map(Rests::Duplicate),
        };
        let recorded = Recorded {
            name: "web-1",
            reverts: &self.reverts,
            owner: self.owner.as_deref().map_or(Owner::Nobody, Owner::Controller),
            selected: Selected(&Arc::default),
            desired: &self.desired,
            ignore: &self.ignore,
            rests,
            was_seen: self.was_seen,
            last_accepted: self.last_accepted.clone(),
            accept: self.accept,
            declared: &self.declared,
            now: self.now,
        };
        evaluate(&recorded, Observed { seen, reading }, &self.drifts, HISTORY)
    }

    /// The plan of one pass, with the provider asked where it is needed.
    fn pass(&mut self) -> Plan {
        let plan = self.plan();
        if plan.needs_fresh_read.is_none() {
            return plan;
        }
        self.swept = Swept::Live(self.live.clone());
        self.plan_fresh(&self.drifts.clone())
    }

    /// Whether the API server takes this write, which is bound to the versions that were `planned` with, or written by
    /// the plan itself.
    fn takes(&self, step: &Write, planned: &Self, written: &BTreeSet<Box<str>>) -> bool {
        let version = |world: &Self, name: &str| {
            world.drifts.iter().find(|drift| *drift.name == *name).map(|drift| drift.resource_version.clone())
        };
        match step {
            Write::Open { field, episode, .. } => {
                !self.drifts.iter().any(|drift| *drift.field == **field && drift.episode == *episode)
            }
            Write::Prune { .. } => true,
            Write::Adopt { .. } => self.version == planned.version,
            Write::Relabel { drift, .. }
            | Write::Refresh { drift, .. }
            | Write::Close { drift, .. }
            | Write::Stand { drift, .. }
            | Write::End { drift, .. }
            | Write::Reschedule { drift, .. }
            | Write::RestoreDecision { drift }
            | Write::Revert { drift, .. }
            | Write::Follow { drift, .. }
            | Write::FailRevert { drift, .. }
            | Write::ShowPlan { drift, .. }
            | Write::Refuse { drift, .. }
            | Write::Wait { drift, .. }
            | Write::Await { drift }
            | Write::Answer { drift, .. }
            | Write::DropDecision { drift } => {
                written.contains(drift) || version(self, drift) == version(planned, drift)
            }
        }
    }

    /// One write, as the API server does it.
    fn write(&mut self, step: &Write) {
        if let Some(drift) = step.drift().filter(|_| !matches!(step, Write::Prune { .. })) {
            self.touch(drift);
        }
        match step.clone() {
            Write::Open { field, episode, shown, .. } => {
                self.uids += 1;
                let kind = Kind::named("Droplet").unwrap();
                let Shown { expected, actual, difference, .. } = *shown;
                self.drifts.push(KnownDrift {
                    kind,
                    deleting: false,
                    change: Some(labels::change(kind.name(), &field, &expected, &actual).into()),
                    difference: difference.into(),
                    decision: None,
                    name: format!("{field}-{episode}").into(),
                    uid: self.uids.to_string().into(),
                    resource_version: "1".into(),
                    created: Timestamp::UNIX_EPOCH,
                    field: field.into(),
                    episode,
                    phase: DriftPhase::Open,
                    expected: expected.into(),
                    actual: actual.into(),
                    accept: None,
                    accept_until: None,
                    because: None,
                    standing: None,
                    revert: None,
                    reverting: None,
                    reverted_at: None,
                    decided_by: None,
                    waits: None,
                    transition: None,
                });
            }
            Write::Relabel { drift, change } => self.drift(&drift).change = Some(change.into()),
            Write::Refresh { drift, shown } => self.drift(&drift).actual = shown.actual.into(),
            Write::Adopt { adoptions, in_doubt } => {
                self.last_accepted = in_doubt;
                self.version += 1;
                for Adoption { drift, field, value, .. } in adoptions {
                    self.desired.insert(field, value);
                    let drift = self.drift(&drift).clone();
                    self.last_accepted.add(&drift);
                }
            }
            Write::Close { drift, phase, .. } => {
                let now = self.now;
                let drift = self.drift(&drift);
                drift.phase = phase;
                drift.reverting = None;
                if phase == DriftPhase::Accepted {
                    drift.decision = Some(drift.accept.clone().unwrap_or_default());
                }
                if phase == DriftPhase::Reverted {
                    drift.decision = drift.revert.clone();
                    drift.reverted_at = Some(now);
                }
            }
            Write::Refuse { drift, .. } | Write::Await { drift } => self.drift(&drift).waits = None,
            Write::Wait { drift, message } => self.drift(&drift).waits = Some(message.into()),
            Write::DropDecision { drift } => {
                let drift = self.drift(&drift);
                (drift.accept, drift.accept_until, drift.revert) = (None, None, None);
            }
            Write::Prune { drift } => self.drifts.retain(|known| known.name != drift),
            other => self.write_of_standing_or_revert(other),
        }
    }

    fn write_of_standing_or_revert(&mut self, step: Write) {
        match step {
            Write::Stand { drift, accepted, until, .. } => {
                let since = self.now;
                let drift = self.drift(&drift);
                let until_requested = drift.accept_until.clone();
                drift.phase = DriftPhase::Accepted;
                drift.decision = drift.accept.clone();
                let (accepted, declared) = (accepted.value.to_string().into(), accepted.declared.to_string().into());
                drift.standing =
                    Some(Box::new(Standing { accepted, declared, since, until, until_requested, has_patch: true }));
            }
            Write::End { drift, reason } => {
                let drift = self.drift(&drift);
                drift.standing = None;
                if reason == reason::WITHDRAWN {
                    drift.decision = Some("".into());
                }
            }
            Write::Reschedule { drift, until } => {
                let drift = self.drift(&drift);
                let standing = drift.standing.as_mut().unwrap();
                (standing.until, standing.until_requested) = (until, drift.accept_until.clone());
            }
            Write::RestoreDecision { drift } => {
                let drift = self.drift(&drift);
                drift.accept = drift.decision.clone();
                drift.accept_until = drift.standing.as_ref().unwrap().until_requested.clone();
                drift.revert = None;
            }
            Write::Revert { drift, saga } => {
                let drift = self.drift(&drift).uid.clone();
                let saga: Box<str> = saga.name.into();
                if !self.reverts.iter().any(|known| known.name == saga) {
                    let (phase, message) = (SagaPhase::Pending, "".into());
                    self.reverts.push(RevertSaga { name: saga, drift, phase, message });
                }
            }
            Write::Follow { drift, saga, stuck } => {
                self.drift(&drift).reverting = Some(Reverting { saga, is_stuck: stuck.is_some() });
            }
            Write::FailRevert { drift, .. } => self.drift(&drift).reverting = None,
            Write::ShowPlan { .. } | Write::Answer { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn drift(&mut self, name: &str) -> &mut KnownDrift {
        self.drifts.iter_mut().find(|drift| *drift.name == *name).unwrap()
    }

    /// Passes until nothing is left to do. Returns all writes.
    fn settle(&mut self) -> Vec<Write> {
        let mut all = Vec::new();
        for _ in 0..20 {
            let plan = self.pass();
            if plan.writes.is_empty() {
                return all;
            }
            plan.writes.iter().for_each(|step| self.write(step));
            all.extend(plan.writes.into_iter().map(bare));
        }
        panic!("does not settle: {all:?}");
    }

    fn open(&self) -> Vec<&KnownDrift> {
        self.drifts.iter().filter(|drift| drift.is_open()).collect()
    }

    /// The names of the drifts whose acceptance stands.
    fn standing(&self) -> Vec<Box<str>> {
        self.drifts.iter().filter(|drift| drift.standing.is_some()).map(|drift| drift.name.clone()).collect()
    }

    fn set_live(&mut self, field: &str, value: Value) {
        self.live.as_mut().unwrap()[field] = value;
    }

    fn annotate(&mut self, name: &str, decision: &str) {
        self.drift(name).accept = Some(decision.into());
        self.touch(name);
    }

    fn touch(&mut self, name: &str) {
        let drift = self.drift(name);
        drift.resource_version = format!("{}+", drift.resource_version).into();
    }
}

fn droplet() -> Value {
    json!({"id": 1, "name": "web-1", "memory": 4096, "region": {"slug": "nyc3"}, "tags": ["web"]})
}

/// A step with the full values alone.
fn bare(step: Write) -> Write {
    let bare = |shown: Shown| Box::new(Shown { expected: shown.expected, actual: shown.actual, ..Shown::default() });
    match step {
        Write::Open { field, episode, shown } => Write::Open { field, episode, shown: bare(*shown) },
        Write::Refresh { drift, shown } => Write::Refresh { drift, shown: bare(*shown) },
        Write::Close { drift, phase, reason, .. } => Write::Close { drift, phase, reason, accepted: None },
        step => step,
    }
}

fn shown(expected: &str, actual: &str) -> Box<Shown> {
    Box::new(Shown { expected: expected.into(), actual: actual.into(), ..Shown::default() })
}

fn opened(field: &str, episode: i64, expected: &str, actual: &str) -> Write {
    Write::Open { field: field.into(), episode, shown: shown(expected, actual) }
}

fn compared(situation: Situation) -> Compared {
    let Situation::Compared(compared) = situation else { panic!("compared: {situation:?}") };
    compared
}

fn closed(drift: &str, phase: DriftPhase, reason: &'static str) -> Write {
    Write::Close { drift: drift.into(), phase, reason, accepted: None }
}

#[test]
fn only_the_field_that_diverges_is_flagged() {
    let mut world = World::new(json!({"name": "web-2", "region": "nyc3", "memory": "4096"}), droplet());
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    assert_eq!(world.settle(), []);
}

#[test]
fn a_field_that_is_right_again_closes_as_stale_and_reopens_as_a_new_episode() {
    let mut world = World::new(json!({"name": "web-1"}), droplet());
    world.set_live("name", json!("other"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 1, "web-1", "other")]);
    world.set_live("name", json!("web-1"));
    world.sweep();
    assert_eq!(world.settle(), [closed("name-1", DriftPhase::Stale, reason::LIVE_RETURNED)]);
    world.set_live("name", json!("third"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 2, "web-1", "third")]);
}

#[test]
fn a_record_that_follows_the_cloud_closes_the_question_it_raised() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.desired.insert("name".into(), json!("web-1"));
    assert_eq!(world.settle(), [closed("name-1", DriftPhase::Stale, reason::DESIRED_CHANGED)]);
}

#[test]
fn a_live_value_that_moves_on_is_refreshed_in_place() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.set_live("name", json!("web-3"));
    world.sweep();
    let writes = world.settle();
    // The label first: until the live value follows, it selects a drift whose decision is refused.
    assert!(
        matches!(&writes[0], Write::Relabel { change, .. } if *change == labels::change("Droplet", "name", "web-2", "web-3"))
    );
    assert_eq!(writes[1..], [Write::Refresh { drift: "name-1".into(), shown: shown("web-2", "web-3") }]);
}

#[test]
fn an_accepted_value_becomes_the_desired_one() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let accepted = Accepted { value: json!("web-1"), declared: json!("web-2") };
    let adoptions = vec![Adoption { drift: "name-1".into(), field: "name".into(), value: json!("web-1"), accepted }];
    let adopt = Write::Adopt { adoptions, in_doubt: Marks::default() };
    assert_eq!(world.settle(), [adopt, closed("name-1", DriftPhase::Accepted, reason::ACCEPTED)]);
    assert_eq!(world.desired["name"], "web-1");
}

#[test]
fn an_accept_whose_live_value_moved_is_refused_and_the_drift_stays_open() {
    for decision in ["true", "web-1", "something"] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.set_live("name", json!("web-3"));
        world.annotate("name-1", decision);
        let writes = world.settle();
        assert!(
            matches!(
                writes[..],
                [Write::Refuse { .. }, Write::DropDecision { .. }, Write::Relabel { .. }, Write::Refresh { .. }]
            ),
            "{writes:?}"
        );
        assert_eq!(world.desired["name"], "web-2");
        assert!(world.open()[0].accept.is_none());
    }
}

#[test]
fn accepting_a_named_value_takes_that_value_only() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.set_live("name", json!("web-3"));
    world.annotate("name-1", "web-3");
    world.settle();
    assert_eq!((world.desired["name"].clone(), world.open().len()), (json!("web-3"), 0));
}

#[test]
fn a_decision_on_another_desired_value_is_refused() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.desired.insert("name".into(), json!("web-9"));
    world.annotate("name-1", "true");
    let writes = world.settle();
    assert!(matches!(writes[0], Write::Refuse { .. }), "{writes:?}");
    assert_eq!(
        writes[2..],
        [closed("name-1", DriftPhase::Stale, reason::DESIRED_CHANGED), opened("name", 2, "web-9", "web-1")]
    );
}

#[test]
fn a_crash_between_the_two_writes_of_an_accept_still_ends_as_accepted() {
    for (live, desired) in [("web-1", None), ("web-7", None), ("web-1", Some("web-8"))] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        let writes = world.pass().writes;
        world.write(&writes[0]);
        world.set_live("name", json!(live));
        if let Some(desired) = desired {
            world.desired.insert("name".into(), json!(desired));
        }
        world.sweep();
        world.settle();
        assert_eq!(world.drift("name-1").phase, DriftPhase::Accepted);
    }
}

#[test]
fn a_drift_of_the_same_name_as_one_accepted_long_ago_is_not_taken_for_it() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    world.settle();
    world.drifts.clear();
    world.set_live("name", json!("web-5"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 1, "web-1", "web-5")]);
    assert_eq!(world.open().len(), 1);
}

#[test]
fn a_gone_resource_is_one_drift_on_exists() {
    let mut world = World::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    assert_eq!(world.open().len(), 2);
    world.live = None;
    world.sweep();
    world.settle();
    let open: Vec<_> =
        world.open().into_iter().map(|drift| (&*drift.field, &*drift.expected, &*drift.actual)).collect();
    assert_eq!(open, [("exists", "true", "false")]);
    world.annotate("exists-1", "true");
    world.settle();
    assert_eq!(world.desired["exists"], false);
    assert!(compared(world.plan().situation).gone);
    world.live = Some(droplet());
    world.sweep();
    assert_eq!(world.settle(), [opened("exists", 2, "false", "true")]);
}

#[test]
fn nothing_is_concluded_from_nothing() {
    let mut world = World::new(json!({"name": "web-2", "memory": 4096}), droplet());
    world.settle();
    world.swept = Swept::Nothing;
    assert_eq!(world.plan().writes, []);
    // A field that the token may not read is unknown, not empty.
    let mut world = World::new(json!({"tags": ["web", "prod"]}), droplet());
    world.settle();
    assert_eq!(world.open().len(), 1);
    world.live.as_mut().unwrap().as_object_mut().unwrap().remove("tags");
    world.sweep();
    assert_eq!(world.settle(), []);
    assert_eq!(compared(world.plan().situation).unknown.len(), 1);
}

/// The message of a single step that says why a decision waits.
fn waiting(writes: &[Write]) -> &str {
    let [Write::Wait { message, .. }] = writes else { panic!("one step: {writes:?}") };
    message
}

#[test]
fn a_decision_that_cannot_be_carried_out_yet_says_once_why_it_waits() {
    // The inventory is too old.
    let mut world = World::new(json!({"tags": ["web", "prod"]}), droplet());
    world.settle();
    world.annotate("tags-1", "true");
    world.swept = Swept::Nothing;
    let writes = world.settle();
    assert!(waiting(&writes).contains(INVENTORY_STALE), "{writes:?}");
    // The field cannot be told at the moment.
    world.live.as_mut().unwrap().as_object_mut().unwrap().remove("tags");
    world.sweep();
    let writes = world.settle();
    assert!(waiting(&writes).contains("tag:read"), "{writes:?}");
    // It cannot be compared.
    world.set_live("tags", json!(["x".repeat(40_000)]));
    world.sweep();
    let writes = world.settle();
    assert!(waiting(&writes).contains("32 KiB"), "{writes:?}");
    // Nor is it lost meanwhile.
    world.set_live("tags", json!(["web"]));
    world.sweep();
    world.settle();
    assert_eq!((world.desired["tags"].clone(), world.open().len()), (json!(["web"]), 0));
}

#[test]
fn a_decision_whose_question_to_the_provider_fails_says_so_once() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let writes = world.plan_failed().writes;
    assert!(waiting(&writes).contains("could not be read"), "{writes:?}");
    world.write(&writes[0]);
    assert_eq!(world.plan_failed().writes, []);
    assert_eq!(compared(world.plan_failed().situation).compared, 1, "the inventory still counts");
}

#[test]
fn a_decision_that_is_taken_back_while_it_waits_is_not_waited_for() {
    for is_blind in [true, false] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        let writes = world.plan_failed().writes;
        world.write(&writes[0]);
        world.drift("name-1").accept = None;
        if is_blind {
            world.swept = Swept::Nothing;
        }
        assert_eq!(world.settle(), [Write::Await { drift: "name-1".into() }]);
    }
}

#[test]
fn what_the_cloud_adds_by_itself_is_not_adopted() {
    let mut world = World::new(json!({"tags": ["web", "k8s:mine"]}), droplet());
    world.set_live("tags", json!(["Web", "k8s:mine", "k8s:abc", "db", "arcadia-saga:1"]));
    world.sweep();
    assert_eq!(world.settle(), [opened("tags", 1, r#"["web","k8s:mine"]"#, r#"["web","k8s:mine","db"]"#)]);
    world.annotate("tags-1", "true");
    world.settle();
    assert_eq!(world.desired["tags"], json!(["web", "k8s:mine", "db"]));
    world.set_live("tags", json!(["web", "k8s:mine", "db", "k8s:another"]));
    world.sweep();
    assert_eq!(world.settle(), []);
}

#[test]
fn a_decision_on_what_somebody_recorded_meanwhile_is_accepted_whatever_the_cloud_adds() {
    let mut world = World::new(json!({"tags": ["prod"]}), droplet());
    world.set_live("tags", json!(["web", "k8s:abc"]));
    world.sweep();
    world.settle();
    world.desired.insert("tags".into(), json!(["web"]));
    world.annotate("tags-1", "true");
    assert_eq!(world.settle(), [closed("tags-1", DriftPhase::Accepted, reason::ACCEPTED)]);
}

#[test]
fn what_is_left_out_of_one_part_of_a_value_stays_out_of_what_is_adopted() {
    let key = ResourceKey { kind: Kind::named("KubernetesCluster").unwrap(), id: "1".into() };
    let pool = |count: u32, size: &str, tags: Value| json!({"name": "a", "count": count, "auto_scale": true, "size": size, "tags": tags});
    let live = pool(4, "s-2", json!(["k8s", "k8s:x", "blue"]));
    let live = Live::parse(&key, &json!({"id": "1", "node_pools": [live]}).to_string()).unwrap();
    let expected = json!([pool(2, "s-1", json!(["blue"]))]);
    let Finding::Differs { adopted, .. } = compare(&live, "node_pools", &expected) else { panic!("it differs") };
    assert_eq!(adopted, json!([{"name": "a", "count": 2, "auto_scale": true, "size": "s-2", "tags": ["blue"]}]));
    assert!(matches!(compare(&live, "node_pools", &adopted), Finding::Matches { .. }));
}

#[test]
fn fields_that_are_not_compared_any_more_close_their_drift() {
    let mut world = World::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.desired.remove("memory");
    world.ignore.insert("name".into());
    let writes = world.settle();
    assert!(writes.contains(&closed("memory-1", DriftPhase::Stale, reason::NO_LONGER_RECORDED)));
    assert!(writes.contains(&closed("name-1", DriftPhase::Stale, reason::IGNORED)));
}

#[test]
fn a_field_that_does_not_exist_is_told_with_the_nearest_names_and_raises_nothing() {
    let mut world = World::new(json!({"size_slg": "s-1vcpu-1gb", "user_data": "x"}), droplet());
    assert_eq!(world.settle(), []);
    let invalid = compared(world.plan().situation).invalid;
    assert!(invalid[0].contains("size_slug"), "{invalid:?}");
    assert!(invalid[1].contains("user_data"), "{invalid:?}");
}

#[test]
fn a_suspended_or_younger_record_is_left_alone() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.suspended = true;
    assert_eq!(world.pass().writes, []);
    world.suspended = false;
    world.older = Some("default/first".into());
    assert_eq!(world.pass().writes, []);
    assert_eq!(world.pass().situation, Situation::Duplicate("default/first".into()));
}

#[test]
fn values_too_long_to_show_are_told() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.set_live("name", json!("x".repeat(40_000)));
    world.sweep();
    assert_eq!(world.settle(), []);
    assert!(compared(world.plan().situation).invalid[0].contains("32 KiB"));
}

#[test]
fn many_decisions_are_one_request_and_one_write_of_the_record() {
    let desired: serde_json::Map<_, _> = (0..256).map(|field| (format!("f{field}"), json!("old"))).collect();
    let live: serde_json::Map<_, _> = (0..256).map(|field| (format!("f{field}"), json!("new"))).collect();
    let mut world = World::new(desired.into(), live.into());
    world.settle();
    let names: Vec<_> = world.open().into_iter().map(|drift| drift.name.clone()).collect();
    for name in &names {
        world.annotate(name, "true");
    }
    assert_eq!(world.plan().needs_fresh_read, Some(NeedsFreshRead::Decision));
    let plan = world.plan_fresh(&world.drifts.clone());
    let is_adoption = |step: &&Write| matches!(step, Write::Adopt { adoptions, .. } if adoptions.len() == 256);
    assert_eq!(plan.writes.iter().filter(is_adoption).count(), 1, "{:?}", plan.writes.first());
    assert_eq!(plan.writes.len(), 257);
    plan.writes.iter().for_each(|step| world.write(step));
    assert_eq!(world.settle(), []);
    assert!(world.desired.values().all(|value| value == "new"));
}

#[test]
fn a_crash_after_the_first_write_of_many_accepts_ends_all_of_them_as_accepted() {
    for closed_before_the_crash in 0..3 {
        let mut world = World::new(json!({"name": "web-2", "memory": 1, "tags": ["db"]}), droplet());
        world.settle();
        for name in ["name-1", "memory-1", "tags-1"] {
            world.annotate(name, "true");
        }
        let writes = world.pass().writes;
        assert_eq!(writes.len(), 4, "{writes:?}");
        writes.iter().take(1 + closed_before_the_crash).for_each(|step| world.write(step));
        // Both sides move on, so that the record alone remembers.
        world.set_live("name", json!("web-7"));
        world.desired.insert("memory".into(), json!(3));
        world.sweep();
        world.settle();
        for name in ["name-1", "memory-1", "tags-1"] {
            assert_eq!(world.drift(name).phase, DriftPhase::Accepted, "{name}, {closed_before_the_crash}");
        }
    }
}

#[test]
fn an_accept_that_is_in_doubt_is_remembered_while_the_next_is_written() {
    let mut world = World::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let writes = world.pass().writes;
    world.write(&writes[0]);
    world.annotate("memory-1", "true");
    // The API server refuses to close the first drift, and the operator goes on and ends.
    let writes = world.pass().writes;
    let adopt = writes.iter().find(|step| matches!(step, Write::Adopt { .. })).unwrap();
    world.write(adopt);
    world.set_live("name", json!("web-7"));
    world.sweep();
    world.settle();
    assert_eq!(world.drift("name-1").phase, DriftPhase::Accepted);
    assert_eq!(world.drift("memory-1").phase, DriftPhase::Accepted);
}

#[test]
fn a_mark_that_an_earlier_version_left_still_ends_its_drift_as_accepted() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let writes = world.pass().writes;
    world.write(&writes[0]);
    let uid = world.drift("name-1").uid.clone();
    world.last_accepted = Marks::read(&format!("name-1/{uid}"));
    world.set_live("name", json!("web-7"));
    world.sweep();
    world.settle();
    assert_eq!(world.drift("name-1").phase, DriftPhase::Accepted);
}

#[test]
fn a_decision_that_comes_while_the_live_resource_is_read_waits_for_the_next_read() {
    let mut world = World::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let before = world.drifts.clone();
    world.annotate("memory-1", "true");
    let plan = world.plan_fresh(&before);
    let fields: Vec<_> = plan
        .writes
        .iter()
        .filter_map(|step| match step {
            Write::Adopt { adoptions, .. } => Some(adoptions.iter().map(|adoption| adoption.field.as_str())),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!((fields, plan.needs_fresh_read), (vec!["name"], Some(NeedsFreshRead::Decision)));
    world.settle();
    assert_eq!(world.open().len(), 0);
}

#[test]
fn one_list_alone_opens_refreshes_and_closes_nothing_that_depends_on_the_live_value() {
    let needs = |world: &World| {
        let plan = world.plan();
        assert_eq!(plan.writes, []);
        assert_eq!(plan.needs_fresh_read, Some(NeedsFreshRead::Change));
        compared(plan.situation).unconfirmed
    };
    let mut world = World::new(json!({"name": "web-1"}), droplet());
    // A list that lags: the resource itself is as desired.
    world.swept = Swept::Live(Some(json!({"id": 1, "name": "stale"})));
    assert_eq!(needs(&world), ["name"]);
    assert_eq!(world.settle(), []);
    // It really differs.
    world.set_live("name", json!("other"));
    world.sweep();
    assert_eq!(needs(&world), ["name"]);
    assert_eq!(world.settle(), [opened("name", 1, "web-1", "other")]);
    // What is open stays as it is until a second read shows the same.
    for live in ["third", "web-1"] {
        world.set_live("name", json!(live));
        world.sweep();
        assert!(needs(&world).is_empty());
    }
    world.confirms = true;
    assert_eq!(world.settle(), [closed("name-1", DriftPhase::Stale, reason::LIVE_RETURNED)]);
    world.set_live("name", json!("fourth"));
    world.sweep();
    assert_eq!(world.plan().needs_fresh_read, None);
    assert_eq!(world.settle(), [opened("name", 2, "web-1", "fourth")]);
}

#[test]
fn an_id_that_was_never_seen_is_not_gone() {
    let mut world = World::new(json!({"name": "web-1"}), droplet());
    world.was_seen = false;
    world.live = None;
    world.sweep();
    assert_eq!(world.settle(), []);
    assert_eq!(world.plan().situation, Situation::NeverSeen);
    // A record that says that it exists asks.
    world.desired.insert("exists".into(), json!(true));
    assert_eq!(world.settle(), [opened("exists", 1, "true", "false")]);
    // And one that says that it does not is right.
    let mut world = World::new(json!({"exists": false}), droplet());
    world.was_seen = false;
    world.live = None;
    world.sweep();
    assert_eq!(world.settle(), []);
    assert!(compared(world.plan().situation).gone);
}

#[test]
fn a_decision_on_a_resolved_drift_is_answered_once() {
    for (decision, phase) in [(None, DriftPhase::Stale), (Some("true"), DriftPhase::Accepted)] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        if let Some(decision) = decision {
            world.annotate("name-1", decision);
        } else {
            world.desired.insert("name".into(), json!("web-1"));
        }
        world.settle();
        assert_eq!(world.drift("name-1").phase, phase);
        assert_eq!(world.settle(), [], "what was carried out is no late decision");
        world.annotate("name-1", "web-9");
        let writes = world.settle();
        let [Write::Answer { message, .. }, Write::DropDecision { .. }] = &writes[..] else { panic!("{writes:?}") };
        assert!(message.contains(phase.name()), "{message}");
        assert_eq!(world.settle(), []);
    }
}

#[test]
fn a_decision_on_a_drift_or_a_record_that_is_being_deleted_is_refused() {
    for is_the_record in [true, false] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        world.is_deleting = is_the_record;
        world.drift("name-1").deleting = !is_the_record;
        let writes = world.settle();
        let [Write::Refuse { message, .. }, Write::DropDecision { .. }] = &writes[..] else { panic!("{writes:?}") };
        assert!(message.contains("is being deleted"), "{message}");
        assert_eq!(world.desired["name"], "web-2");
    }
}

#[test]
fn a_decision_on_a_suspended_or_younger_record_says_why_it_waits() {
    for is_suspended in [true, false] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        world.suspended = is_suspended;
        world.older = (!is_suspended).then(|| "default/first".into());
        let writes = world.settle();
        let why = if is_suspended { "suspended" } else { "older" };
        assert!(waiting(&writes).contains(why), "{writes:?}");
        assert_eq!(world.desired["name"], "web-2");
    }
}

#[test]
fn the_drifts_of_a_record_that_is_gone_are_closed_and_decisions_on_them_answered() {
    let mut world = World::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.annotate("memory-1", "true");
    let writes = orphaned(&world.drifts);
    let close = |drift| closed(drift, DriftPhase::Stale, reason::RECORD_GONE);
    assert!(writes.contains(&close("name-1")) && writes.contains(&close("memory-1")), "{writes:?}");
    for step in &writes {
        world.write(step);
    }
    assert!(writes.iter().any(|step| matches!(step, Write::Answer { drift, .. } if **drift == *"memory-1")));
    assert_eq!(orphaned(&world.drifts), []);
}

#[test]
fn a_field_whose_name_no_drift_can_hold_is_named_and_the_others_go_on() {
    let long = "x".repeat(5000);
    let mut live = droplet();
    live[&long] = json!("b");
    let mut world = World::new(json!({&long: "a", "name": "web-2"}), live);
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    let invalid = compared(world.plan().situation).invalid;
    assert!(invalid[0].contains("4096") && invalid[0].len() < 500, "{invalid:?}");
}

#[test]
fn an_ignored_field_that_is_not_recorded_is_named() {
    let mut world = World::new(json!({"name": "web-1"}), droplet());
    world.ignore.extend(["name".into(), "nmae".into(), "exists".into()]);
    assert_eq!(world.settle(), []);
    assert_eq!(compared(world.plan().situation).ignored_unrecorded, ["nmae"]);
}

#[test]
fn a_difference_and_a_field_that_cannot_be_compared_are_both_told() {
    let mut live = droplet();
    live.as_object_mut().unwrap().remove("tags");
    let mut world = World::new(json!({"name": "web-2", "tags": ["web"], "user_data": "x"}), live);
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    let compared = compared(world.plan().situation);
    assert!(compared.unknown[0].contains("tags") && compared.invalid[0].contains("user_data"), "{compared:?}");
}

#[test]
fn drifts_of_earlier_versions_get_their_labels_and_are_decided_as_before() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.drift("name-1").change = None;
    let change = labels::change("Droplet", "name", "web-2", "web-1");
    assert_eq!(world.settle(), [Write::Relabel { drift: "name-1".into(), change }]);
    world.drift("name-1").change = None;
    world.annotate("name-1", "true");
    world.settle();
    assert_eq!((world.desired["name"].clone(), world.drift("name-1").phase), (json!("web-1"), DriftPhase::Accepted));
    // Its decision was not written down.
    world.drift("name-1").decision = None;
    assert_eq!(world.settle(), []);
}

mod reverting;
mod standing;

/// What may happen.
#[derive(Clone, Debug)]
enum Happening {
    /// Somebody changes the cloud.
    Live(&'static str, u8),
    Destroy,
    Recreate,
    /// The token loses or regains a scope.
    HideTags,
    /// Somebody changes the record.
    Desire(&'static str, u8),
    Forget(&'static str),
    Ignore(&'static str),
    /// Somebody decides one of the open drifts.
    Accept(usize, Option<u8>),
    /// Somebody decides all of them.
    AcceptAll,
    /// Somebody decides a resolved one.
    AcceptResolved(usize, Option<u8>),
    /// Somebody decides one of the open drifts, for this many minutes.
    AcceptFor(usize, u8),
    /// Somebody removes or changes the decision behind an acceptance that stands.
    Withdraw(usize),
    ChangeDecision(usize, u8),
    /// This many minutes pass.
    Pass(u8),
    /// A manifest declares some fields from now on, or none.
    Declare(u8),
    /// Somebody deletes resolved drifts.
    DeleteHistory,
    /// The cloud is listed, or cannot be.
    Sweep(bool),
    /// The cloud is listed, and the list lags behind.
    SweepLate,
    /// The operator works, and ends after that many writes.
    Work(usize),
    /// Somebody acts after the operator has made its plan and before that many writes of it.
    Race(Box<Happening>, usize),
    /// Somebody acts while the live resource is read, before that many writes.
    DuringRead(Box<Happening>, usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let race = (people(), 1..7_usize).prop_map(|(happening, writes)| Happening::Race(Box::new(happening), writes));
    let during =
        (people(), 1..7_usize).prop_map(|(happening, writes)| Happening::DuringRead(Box::new(happening), writes));
    prop_oneof![8 => people(), 2 => race, 1 => during]
}

fn people() -> impl Strategy<Value = Happening> {
    let field = || prop::sample::select(vec!["name", "memory", "tags"]);
    prop_oneof![
        4 => (field(), 0..3_u8).prop_map(|(field, value)| Happening::Live(field, value)),
        1 => Just(Happening::Destroy),
        1 => Just(Happening::Recreate),
        1 => Just(Happening::HideTags),
        3 => (field(), 0..3_u8).prop_map(|(field, value)| Happening::Desire(field, value)),
        1 => field().prop_map(Happening::Forget),
        1 => field().prop_map(Happening::Ignore),
        5 => (0..3_usize, prop::option::weighted(0.4, 0..3_u8)).prop_map(|(which, value)| Happening::Accept(which, value)),
        2 => Just(Happening::AcceptAll),
        2 => (0..3_usize, prop::option::weighted(0.4, 0..3_u8))
            .prop_map(|(which, value)| Happening::AcceptResolved(which, value)),
        2 => (0..3_usize, 0..4_u8).prop_map(|(which, minutes)| Happening::AcceptFor(which, minutes)),
        1 => (0..2_usize).prop_map(Happening::Withdraw),
        1 => (0..2_usize, 0..3_u8).prop_map(|(which, value)| Happening::ChangeDecision(which, value)),
        2 => (0..4_u8).prop_map(Happening::Pass),
        2 => (0..4_u8).prop_map(Happening::Declare),
        1 => Just(Happening::DeleteHistory),
        1 => Just(Happening::SweepLate),
        4 => prop::bool::weighted(0.8).prop_map(Happening::Sweep),
        8 => (0..7_usize).prop_map(Happening::Work),
    ]
}

fn value_of(field: &str, value: u8) -> Value {
    match field {
        "memory" => json!(u64::from(value) * 1024),
        "tags" => json!((0..value).map(|tag| format!("tag-{tag}")).collect::<Vec<_>>()),
        _ => json!(format!("web-{value}")),
    }
}

/// A world that remembers what it promised.
struct Watched {
    world: World,
    /// Drifts whose live value was adopted, by UID.
    adopted: BTreeSet<Box<str>>,
    /// Decisions that were refused in words.
    refused: BTreeSet<Box<str>>,
}

impl Watched {
    fn happen(&mut self, happening: &Happening) {
        let world = &mut self.world;
        if matches!(happening, Happening::Live(..) | Happening::Destroy | Happening::Recreate | Happening::HideTags) {
            world.before = world.live.clone();
        }
        match happening {
            Happening::Live(field, value) if world.live.is_some() => world.set_live(field, value_of(field, *value)),
            Happening::HideTags => {
                if let Some(tags) = world.live.as_mut().and_then(Value::as_object_mut) {
                    tags.remove("tags");
                }
            }
            Happening::Destroy => world.live = None,
            Happening::Recreate => world.live = Some(droplet()),
            Happening::Desire(field, value) => {
                world.version += 1;
                world.desired.insert((*field).into(), value_of(field, *value));
            }
            Happening::Forget(field) => {
                world.desired.remove(*field);
            }
            Happening::Ignore(field) => {
                if !world.ignore.remove(*field) {
                    world.ignore.insert((*field).into());
                }
            }
            Happening::Accept(which, value) => {
                let open: Vec<_> = world.open().iter().map(|drift| (drift.name.clone(), drift.field.clone())).collect();
                if let Some((name, field)) = open.get(*which) {
                    let decision = value.map_or("true".into(), |value| shown_text(&value_of(field, value)));
                    world.annotate(name, &decision);
                }
            }
            Happening::AcceptAll => {
                let open: Vec<_> = world.open().iter().map(|drift| drift.name.clone()).collect();
                for name in &open {
                    world.annotate(name, "true");
                }
            }
            Happening::AcceptResolved(which, value) => {
                let mut resolved = world.drifts.iter().filter(|drift| !drift.is_open());
                if let Some(drift) = resolved.nth(*which).cloned() {
                    let decision = value.map_or("true".into(), |value| shown_text(&value_of(&drift.field, value)));
                    world.annotate(&drift.name, &decision);
                }
            }
            Happening::AcceptFor(which, minutes) => {
                let open: Vec<_> = world.open().iter().map(|drift| drift.name.clone()).collect();
                if let Some(name) = open.get(*which) {
                    world.drift(name).accept_until = Some(format!("{minutes}m").into());
                    world.annotate(name, "true");
                }
            }
            Happening::Withdraw(which) => {
                if let Some(name) = world.standing().get(*which) {
                    world.drift(name).accept = None;
                    world.touch(name);
                }
            }
            Happening::ChangeDecision(which, value) => {
                if let Some(name) = world.standing().get(*which) {
                    let field = world.drift(name).field.clone();
                    world.annotate(name, &shown_text(&value_of(&field, *value)));
                }
            }
            Happening::Pass(minutes) => world.now += jiff::SignedDuration::from_mins((*minutes).into()),
            Happening::Declare(fields) => {
                world.version += 1;
                world.declared = match fields {
                    0 => Declared::Nothing,
                    1 => Declared::Fields(["name".into()].into()),
                    2 => Declared::Fields(["memory".into(), "tags".into()].into()),
                    _ => Declared::Everything,
                };
            }
            Happening::SweepLate => world.sweep_late(),
            Happening::DeleteHistory => world.drifts.retain(KnownDrift::is_open),
            Happening::Sweep(true) => world.sweep(),
            Happening::Sweep(false) => world.swept = Swept::Nothing,
            Happening::Work(writes) => self.work(*writes, None, None),
            Happening::Race(other, writes) => self.work(*writes, Some(other), None),
            Happening::DuringRead(other, writes) => self.work(*writes, None, Some(other)),
            Happening::Live(..) => {}
        }
        self.check();
    }

    /// One pass that ends after some writes, or at the first that the API server refuses.
    fn work(&mut self, writes: usize, meanwhile: Option<&Happening>, during_read: Option<&Happening>) {
        let is_blind = matches!(self.world.swept, Swept::Nothing);
        let mut plan = self.world.plan();
        if plan.needs_fresh_read.is_some() {
            let before = self.world.drifts.clone();
            if let Some(during) = during_read {
                self.happen(during);
            }
            self.world.sweep();
            plan = self.world.plan_fresh(&before);
        }
        let planned = self.world.clone();
        let mut written = BTreeSet::new();
        if let Some(meanwhile) = meanwhile {
            self.happen(meanwhile);
        }
        for step in plan.writes.iter().take(writes) {
            if !self.world.takes(step, &planned, &written) {
                return;
            }
            if let Some(drift) = step.drift() {
                written.insert(drift.into());
            }
            match step {
                Write::Adopt { adoptions, .. } => {
                    for Adoption { drift, field, value, .. } in adoptions {
                        assert!(!planned.declared.holds(field), "wrote {field}, which a manifest declares");
                        // A decision that is given anew only now comes after this one.
                        let known = planned.drifts.iter().find(|known| known.name == *drift).unwrap().clone();
                        let demanded = known.accept.as_deref().filter(|text| *text != "true").unwrap_or(&known.actual);
                        assert!(shows(demanded, value), "adopted {value}, but {demanded} was decided");
                        self.adopted.insert(known.uid);
                    }
                }
                Write::Refuse { drift, .. } | Write::Answer { drift, .. } => {
                    let uid = self.world.drift(drift).uid.clone();
                    self.refused.insert(uid);
                }
                Write::DropDecision { drift } => {
                    let uid = self.world.drift(drift).uid.clone();
                    assert!(self.refused.contains(&uid), "a decision was dropped without a word");
                }
                Write::Close { drift, phase, .. } => {
                    let known = self.world.drift(drift).clone();
                    let is_adopted = self.adopted.contains(&known.uid);
                    assert!(!is_adopted || *phase == DriftPhase::Accepted, "an accepted drift was closed as {phase:?}");
                    assert!(known.accept.is_none() || *phase == DriftPhase::Accepted, "a decision was lost");
                    assert!(!is_blind || is_adopted, "closed on no evidence");
                }
                Write::Open { field, shown, .. } => {
                    assert!(!is_blind, "opened on no evidence");
                    let live = planned.live.as_ref().and_then(|live| live.get(field));
                    let is_true = field == "exists" || live.is_some_and(|live| shows(&shown.actual, live));
                    assert!(is_true, "opened {field} on what no request of its own showed: {shown:?}");
                }
                Write::Stand { drift, accepted, .. } => {
                    let known = planned.drifts.iter().find(|known| known.name == *drift).unwrap();
                    let demanded = known.accept.as_deref().filter(|text| *text != "true").unwrap_or(&known.actual);
                    assert!(shows(demanded, &accepted.value), "accepted {accepted:?}, but {demanded} was decided");
                }
                Write::End { drift, .. } => {
                    assert!(self.world.drift(drift).standing.is_some(), "nothing stands");
                }
                Write::Wait { drift, .. } => assert!(self.world.drift(drift).accept.is_some(), "nothing waits"),
                Write::Await { drift } => assert!(self.world.drift(drift).accept.is_none(), "a decision waits"),
                Write::Relabel { .. }
                | Write::Revert { .. }
                | Write::Follow { .. }
                | Write::FailRevert { .. }
                | Write::ShowPlan { .. }
                | Write::Refresh { .. }
                | Write::Reschedule { .. }
                | Write::RestoreDecision { .. }
                | Write::Prune { .. } => {}
            }
            self.world.write(step);
            self.check();
        }
    }

    fn check(&self) {
        let mut fields = BTreeSet::new();
        for drift in self.world.open() {
            assert!(fields.insert(drift.field.clone()), "two open drifts on {}", drift.field);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_crashes_breaks_a_promise(history in prop::collection::vec(happening(), 1..40)) {
        let world = World::new(json!({"name": "web-1", "memory": 1024, "tags": ["tag-0"]}), droplet());
        let mut watched = Watched { world, adopted: BTreeSet::new(), refused: BTreeSet::new() };
        for happening in &history {
            watched.happen(happening);
        }
        // In the end the cloud can be read, and the operator is left to work.
        watched.happen(&Happening::Sweep(true));
        for _ in 0..8 {
            watched.work(usize::MAX, None, None);
        }
        let world = &mut watched.world;
        prop_assert_eq!(world.settle(), vec![]);
        for drift in &world.drifts {
            prop_assert!(!watched.adopted.contains(&drift.uid) || drift.phase == DriftPhase::Accepted);
            let is_untold = matches!(&*drift.field, "tags") && drift.is_open();
            prop_assert!(drift.accept.is_none() || !drift.is_open() || is_untold, "a decision still waits");
            prop_assert!(drift.standing.is_none() || drift.accept.is_some(), "a withdrawn acceptance stands");
            prop_assert!(!drift.has_late_decision(), "a decision on a resolved drift was not answered");
            // The label is written first, and what a decision waits for may keep the rest from being written.
            let is_labelled = drift.change.as_deref() == Some(&drift.change_to(&drift.actual));
            let is_waiting = drift.accept.is_some();
            prop_assert!(!drift.is_open() || is_labelled || is_waiting, "its label is another change's");
        }
        prop_assert_eq!(world.open_by_effective_value(), Ok(()));
        let mut by_field: BTreeMap<&str, usize> = BTreeMap::new();
        for drift in world.drifts.iter().filter(|drift| !drift.is_open() && drift.standing.is_none()) {
            *by_field.entry(&drift.field).or_default() += 1;
        }
        prop_assert!(by_field.values().all(|kept| *kept <= HISTORY));
    }
}
