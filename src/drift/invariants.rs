//! The promises of the evaluation, as tests: tables of cases, and random histories with crashes between any two writes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    evaluate::{Asked, Finding, Observed, Plan, Recorded, Seen, Situation, Step, compare, evaluate},
    known::KnownDrift,
};
use crate::{
    api::{
        DriftPhase,
        conditions::reason::{self, INVENTORY_STALE},
    },
    comparison::show::stands_for as shows,
    digitalocean::{Kind, Live, ResourceKey},
};

const HISTORY: usize = 3;

/// A record, its drifts and the cloud, as the API server and the provider hold them.
#[derive(Clone, Debug)]
struct World {
    desired: BTreeMap<String, Value>,
    ignore: BTreeSet<Box<str>>,
    suspended: bool,
    older: Option<String>,
    last_accepted: Option<String>,
    /// The version of the record's object, and of the newest drift's.
    version: usize,
    drifts: Vec<KnownDrift>,
    /// What the provider has; none when it is gone.
    live: Option<Value>,
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
            last_accepted: None,
            version: 0,
            drifts: Vec::new(),
            swept: Swept::Live(Some(live.clone())),
            live: Some(live),
            uids: 0,
        }
    }

    fn sweep(&mut self) {
        self.swept = Swept::Live(self.live.clone());
    }

    fn plan(&self, just_now: bool) -> Plan {
        self.plan_of(if just_now { Asked::JustNow } else { Asked::No })
    }

    fn plan_of(&self, asked: Asked) -> Plan {
        let key = ResourceKey { kind: Kind::named("Droplet").unwrap(), id: "1".into() };
        let observed = if asked == Asked::JustNow { Swept::Live(self.live.clone()) } else { self.swept.clone() };
        let live = match &observed {
            Swept::Live(Some(document)) => Some(Live::parse(&key, &document.to_string()).unwrap()),
            Swept::Live(None) | Swept::Nothing => None,
        };
        let seen = match (&observed, &live) {
            (Swept::Nothing, _) => Seen::Unknown(INVENTORY_STALE, "too old"),
            (Swept::Live(_), None) => Seen::Gone,
            (Swept::Live(_), Some(live)) => Seen::Present(live),
        };
        let recorded = Recorded {
            desired: &self.desired,
            ignore: &self.ignore,
            suspended: self.suspended,
            older: self.older.as_deref(),
            last_accepted: self.last_accepted.as_deref(),
        };
        evaluate(&recorded, Observed { seen, asked }, &self.drifts, HISTORY)
    }

    /// The plan of one pass, with the provider asked where a decision needs it.
    fn pass(&mut self) -> Plan {
        let plan = self.plan(false);
        if !plan.ask_live {
            return plan;
        }
        self.swept = Swept::Live(self.live.clone());
        self.plan(true)
    }

    /// Whether the API server takes this write, which is bound to the versions that were `planned` with, or written by
    /// the plan itself.
    fn takes(&self, step: &Step, planned: &Self, written: &BTreeSet<Box<str>>) -> bool {
        let version = |world: &Self, name: &str| {
            world.drifts.iter().find(|drift| *drift.name == *name).map(|drift| drift.resource_version.clone())
        };
        match step {
            Step::Open { field, episode, .. } => {
                !self.drifts.iter().any(|drift| *drift.field == **field && drift.episode == *episode)
            }
            Step::Prune { .. } => true,
            Step::Adopt { .. } => self.version == planned.version,
            Step::Refresh { drift, .. }
            | Step::Close { drift, .. }
            | Step::Refuse { drift, .. }
            | Step::Wait { drift, .. }
            | Step::Await { drift }
            | Step::DropDecision { drift } => {
                written.contains(drift) || version(self, drift) == version(planned, drift)
            }
        }
    }

    /// One write, as the API server does it.
    fn write(&mut self, step: &Step) {
        if let Step::Refresh { drift, .. }
        | Step::Close { drift, .. }
        | Step::Wait { drift, .. }
        | Step::Await { drift }
        | Step::DropDecision { drift } = step
        {
            self.touch(drift);
        }
        match step.clone() {
            Step::Open { field, episode, expected, actual } => {
                self.uids += 1;
                self.drifts.push(KnownDrift {
                    name: format!("{field}-{episode}").into(),
                    uid: self.uids.to_string().into(),
                    resource_version: "1".into(),
                    created: jiff::Timestamp::UNIX_EPOCH,
                    field: field.into(),
                    episode,
                    phase: DriftPhase::Open,
                    expected: expected.into(),
                    actual: actual.into(),
                    accept: None,
                    decided_by: None,
                    waits: None,
                    transition: None,
                });
            }
            Step::Refresh { drift, actual } => self.drift(&drift).actual = actual.into(),
            Step::Adopt { drift, field, value } => {
                self.desired.insert(field, value);
                self.version += 1;
                self.last_accepted = Some(self.drift(&drift).mark());
            }
            Step::Close { drift, phase, .. } => self.drift(&drift).phase = phase,
            Step::Refuse { drift, .. } | Step::Await { drift } => self.drift(&drift).waits = None,
            Step::Wait { drift, message } => self.drift(&drift).waits = Some(message.into()),
            Step::DropDecision { drift } => self.drift(&drift).accept = None,
            Step::Prune { drift } => self.drifts.retain(|known| known.name != drift),
        }
    }

    fn drift(&mut self, name: &str) -> &mut KnownDrift {
        self.drifts.iter_mut().find(|drift| *drift.name == *name).unwrap()
    }

    /// Passes until nothing is left to do. Returns all steps.
    fn settle(&mut self) -> Vec<Step> {
        let mut all = Vec::new();
        for _ in 0..20 {
            let plan = self.pass();
            if plan.steps.is_empty() {
                return all;
            }
            plan.steps.iter().for_each(|step| self.write(step));
            all.extend(plan.steps);
        }
        panic!("does not settle: {all:?}");
    }

    fn open(&self) -> Vec<&KnownDrift> {
        self.drifts.iter().filter(|drift| drift.is_open()).collect()
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

fn opened(field: &str, episode: i64, expected: &str, actual: &str) -> Step {
    Step::Open { field: field.into(), episode, expected: expected.into(), actual: actual.into() }
}

fn closed(drift: &str, phase: DriftPhase, reason: &'static str) -> Step {
    Step::Close { drift: drift.into(), phase, reason }
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
    assert_eq!(world.settle(), [Step::Refresh { drift: "name-1".into(), actual: "web-3".into() }]);
}

#[test]
fn an_accepted_value_becomes_the_desired_one() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let adopt = Step::Adopt { drift: "name-1".into(), field: "name".into(), value: json!("web-1") };
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
        let steps = world.settle();
        assert!(
            matches!(steps[..], [Step::Refuse { .. }, Step::DropDecision { .. }, Step::Refresh { .. }]),
            "{steps:?}"
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
    let steps = world.settle();
    assert!(matches!(steps[0], Step::Refuse { .. }), "{steps:?}");
    assert_eq!(
        steps[2..],
        [closed("name-1", DriftPhase::Stale, reason::DESIRED_CHANGED), opened("name", 2, "web-9", "web-1")]
    );
}

#[test]
fn a_crash_between_the_two_writes_of_an_accept_still_ends_as_accepted() {
    for (live, desired) in [("web-1", None), ("web-7", None), ("web-1", Some("web-8"))] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        let steps = world.pass().steps;
        world.write(&steps[0]);
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
    assert!(matches!(world.plan(false).situation, Situation::Compared { gone: true, .. }));
    world.live = Some(droplet());
    world.sweep();
    assert_eq!(world.settle(), [opened("exists", 2, "false", "true")]);
}

#[test]
fn nothing_is_concluded_from_nothing() {
    let mut world = World::new(json!({"name": "web-2", "memory": 4096}), droplet());
    world.settle();
    world.swept = Swept::Nothing;
    assert_eq!(world.plan(false).steps, []);
    // A field that the token may not read is unknown, not empty.
    let mut world = World::new(json!({"tags": ["web", "prod"]}), droplet());
    world.settle();
    assert_eq!(world.open().len(), 1);
    world.live.as_mut().unwrap().as_object_mut().unwrap().remove("tags");
    world.sweep();
    assert_eq!(world.settle(), []);
    assert!(matches!(world.plan(false).situation, Situation::Compared { unknown, .. } if unknown.len() == 1));
}

/// The message of a single step that says why a decision waits.
fn waiting(steps: &[Step]) -> &str {
    let [Step::Wait { message, .. }] = steps else { panic!("one step: {steps:?}") };
    message
}

#[test]
fn a_decision_that_cannot_be_carried_out_yet_says_once_why_it_waits() {
    // The inventory is too old.
    let mut world = World::new(json!({"tags": ["web", "prod"]}), droplet());
    world.settle();
    world.annotate("tags-1", "true");
    world.swept = Swept::Nothing;
    let steps = world.settle();
    assert!(waiting(&steps).contains(INVENTORY_STALE), "{steps:?}");
    // The field cannot be told at the moment.
    world.live.as_mut().unwrap().as_object_mut().unwrap().remove("tags");
    world.sweep();
    let steps = world.settle();
    assert!(waiting(&steps).contains("tag:read"), "{steps:?}");
    // It cannot be compared.
    world.set_live("tags", json!(["x".repeat(40_000)]));
    world.sweep();
    let steps = world.settle();
    assert!(waiting(&steps).contains("32 KiB"), "{steps:?}");
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
    let steps = world.plan_of(Asked::InVain).steps;
    assert!(waiting(&steps).contains("could not be read"), "{steps:?}");
    world.write(&steps[0]);
    assert_eq!(world.plan_of(Asked::InVain).steps, []);
    assert!(matches!(world.plan_of(Asked::InVain).situation, Situation::Compared { .. }), "the inventory still counts");
}

#[test]
fn a_decision_that_is_taken_back_while_it_waits_is_not_waited_for() {
    for is_blind in [true, false] {
        let mut world = World::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        let steps = world.plan_of(Asked::InVain).steps;
        world.write(&steps[0]);
        world.drift("name-1").accept = None;
        if is_blind {
            world.swept = Swept::Nothing;
        }
        assert_eq!(world.settle(), [Step::Await { drift: "name-1".into() }]);
    }
}

#[test]
fn what_the_cloud_adds_by_itself_is_not_adopted() {
    let mut world = World::new(json!({"tags": ["web", "k8s:mine"]}), droplet());
    world.set_live("tags", json!(["Web", "k8s:mine", "k8s:abc", "db", "arcadia-saga:1"]));
    world.sweep();
    assert_eq!(world.settle(), [opened("tags", 1, r#"["web","k8s:mine"]"#, r#"["Web","k8s:mine","db"]"#)]);
    world.annotate("tags-1", "true");
    world.settle();
    assert_eq!(world.desired["tags"], json!(["Web", "k8s:mine", "db"]));
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
    let Finding::Differs { live: adopted, .. } = compare(&live, "node_pools", &expected) else { panic!("it differs") };
    assert_eq!(adopted, json!([{"name": "a", "auto_scale": true, "size": "s-2", "tags": ["blue"]}]));
    assert!(matches!(compare(&live, "node_pools", &adopted), Finding::Matches { .. }));
}

#[test]
fn fields_that_are_not_compared_any_more_close_their_drift() {
    let mut world = World::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.desired.remove("memory");
    world.ignore.insert("name".into());
    let steps = world.settle();
    assert!(steps.contains(&closed("memory-1", DriftPhase::Stale, reason::NO_LONGER_RECORDED)));
    assert!(steps.contains(&closed("name-1", DriftPhase::Stale, reason::IGNORED)));
}

#[test]
fn a_field_that_does_not_exist_is_told_with_the_nearest_names_and_raises_nothing() {
    let mut world = World::new(json!({"size_slg": "s-1vcpu-1gb", "user_data": "x"}), droplet());
    assert_eq!(world.settle(), []);
    let Situation::Compared { invalid, .. } = world.plan(false).situation else { panic!("compared") };
    assert!(invalid[0].contains("size_slug"), "{invalid:?}");
    assert!(invalid[1].contains("user_data"), "{invalid:?}");
}

#[test]
fn a_suspended_or_younger_record_is_left_alone() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.suspended = true;
    assert_eq!(world.pass().steps, []);
    world.suspended = false;
    world.older = Some("default/first".into());
    assert_eq!(world.pass().steps, []);
    assert_eq!(world.pass().situation, Situation::Duplicate("default/first".into()));
}

#[test]
fn values_too_long_to_show_are_told() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.set_live("name", json!("x".repeat(40_000)));
    world.sweep();
    assert_eq!(world.settle(), []);
    assert!(
        matches!(world.plan(false).situation, Situation::Compared { invalid, .. } if invalid[0].contains("32 KiB"))
    );
}

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
    /// Somebody deletes resolved drifts.
    DeleteHistory,
    /// The cloud is listed, or cannot be.
    Sweep(bool),
    /// The operator works, and ends after that many writes.
    Work(usize),
    /// Somebody acts after the operator has made its plan and before that many writes of it.
    Race(Box<Happening>, usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let race = (people(), 1..7_usize).prop_map(|(happening, writes)| Happening::Race(Box::new(happening), writes));
    prop_oneof![4 => people(), 1 => race]
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
        1 => Just(Happening::DeleteHistory),
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
                    let decision =
                        value.map_or("true".into(), |value| crate::comparison::show::full(&value_of(field, value)));
                    world.annotate(name, &decision);
                }
            }
            Happening::DeleteHistory => world.drifts.retain(KnownDrift::is_open),
            Happening::Sweep(true) => world.sweep(),
            Happening::Sweep(false) => world.swept = Swept::Nothing,
            Happening::Work(writes) => self.work(*writes, None),
            Happening::Race(other, writes) => self.work(*writes, Some(other)),
            Happening::Live(..) => {}
        }
        self.check();
    }

    /// One pass that ends after some writes, or at the first that the API server refuses.
    fn work(&mut self, writes: usize, meanwhile: Option<&Happening>) {
        let is_blind = matches!(self.world.swept, Swept::Nothing);
        let plan = self.world.pass();
        let planned = self.world.clone();
        let mut written = BTreeSet::new();
        if let Some(meanwhile) = meanwhile {
            self.happen(meanwhile);
        }
        for step in plan.steps.iter().take(writes) {
            if !self.world.takes(step, &planned, &written) {
                return;
            }
            if let Step::Refuse { drift, .. } | Step::Wait { drift, .. } | Step::Await { drift } = step {
                written.insert(drift.clone());
            }
            match step {
                Step::Adopt { drift, value, .. } => {
                    // A decision that is given anew only now comes after this one.
                    let known = planned.drifts.iter().find(|known| known.name == *drift).unwrap().clone();
                    let demanded = known.accept.as_deref().filter(|text| *text != "true").unwrap_or(&known.actual);
                    assert!(shows(demanded, value), "adopted {value}, but {demanded} was decided");
                    self.adopted.insert(known.uid);
                }
                Step::Refuse { drift, .. } => {
                    let uid = self.world.drift(drift).uid.clone();
                    self.refused.insert(uid);
                }
                Step::DropDecision { drift } => {
                    let uid = self.world.drift(drift).uid.clone();
                    assert!(self.refused.contains(&uid), "a decision was dropped without a word");
                }
                Step::Close { drift, phase, .. } => {
                    let known = self.world.drift(drift).clone();
                    let is_adopted = self.adopted.contains(&known.uid);
                    assert!(!is_adopted || *phase == DriftPhase::Accepted, "an accepted drift was closed as {phase:?}");
                    assert!(known.accept.is_none() || *phase == DriftPhase::Accepted, "a decision was lost");
                    assert!(!is_blind || is_adopted, "closed on no evidence");
                }
                Step::Open { .. } => assert!(!is_blind, "opened on no evidence"),
                Step::Wait { drift, .. } => assert!(self.world.drift(drift).accept.is_some(), "nothing waits"),
                Step::Await { drift } => assert!(self.world.drift(drift).accept.is_none(), "a decision waits"),
                Step::Refresh { .. } | Step::Prune { .. } => {}
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
            watched.work(usize::MAX, None);
        }
        let world = &mut watched.world;
        prop_assert_eq!(world.settle(), vec![]);
        for drift in &world.drifts {
            prop_assert!(!watched.adopted.contains(&drift.uid) || drift.phase == DriftPhase::Accepted);
            let is_untold = matches!(&*drift.field, "tags") && drift.is_open();
            prop_assert!(drift.accept.is_none() || !drift.is_open() || is_untold, "a decision still waits");
        }
        let mut by_field: BTreeMap<&str, usize> = BTreeMap::new();
        for drift in world.drifts.iter().filter(|drift| !drift.is_open()) {
            *by_field.entry(&drift.field).or_default() += 1;
        }
        prop_assert!(by_field.values().all(|kept| *kept <= HISTORY));
    }
}
