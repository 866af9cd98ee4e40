//! Random histories, with crashes between any two writes.

use proptest::prelude::*;

use super::*;

/// An event of a history.
#[derive(Clone, Debug)]
enum Happening {
    /// The cloud changes.
    Live(&'static str, u8),
    Destroy,
    Recreate,
    /// The token loses or regains a scope.
    HideTags,
    /// The record changes.
    Desire(&'static str, u8),
    Forget(&'static str),
    Ignore(&'static str),
    /// A user accepts one of the open drifts.
    Accept(usize, Option<u8>),
    /// A user accepts all of them.
    AcceptAll,
    /// A user accepts a resolved one.
    AcceptResolved(usize, Option<u8>),
    /// A user accepts one of the open drifts, for this many minutes.
    AcceptFor(usize, u8),
    /// A user sets or removes the end of an acceptance, on a drift in any phase.
    Limit(usize, Option<u8>),
    /// A user gives a reason, on a drift in any phase.
    Explain(usize, u8),
    /// A user changes `spec.drift.accept` of the record.
    Policy(u8),
    /// A user removes the decision from a drift in any phase.
    Withdraw(usize),
    /// A user changes the decision behind an acceptance that stands.
    ChangeDecision(usize, u8),
    /// This many minutes pass.
    Pass(u8),
    /// A manifest declares some fields from now on, or none.
    Declare(u8),
    /// A user deletes resolved drifts.
    DeleteHistory,
    /// The cloud is listed, or the list fails.
    Sweep(bool),
    /// The cloud is listed, and the list lags behind.
    SweepLate,
    /// The operator works, and ends after this many writes.
    Work(usize),
    /// Another event after the operator has made its plan and before this many of its writes.
    Race(Box<Happening>, usize),
    /// Another event while the live resource is read, before this many writes.
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
        2 => (0..6_usize, prop::option::of(0..4_u8)).prop_map(|(which, minutes)| Happening::Limit(which, minutes)),
        1 => (0..6_usize, 0..2_u8).prop_map(|(which, why)| Happening::Explain(which, why)),
        1 => (0..3_u8).prop_map(Happening::Policy),
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

/// A world that records its guarantees.
struct Watched {
    world: RecordWorld,
    /// Drifts whose live value was adopted, by UID.
    adopted: BTreeSet<Box<str>>,
    /// Decisions that were refused with a message.
    refused: BTreeSet<Box<str>>,
}

fn policy_of(number: u8) -> AcceptPolicy {
    match number {
        0 => AcceptPolicy::InPlace,
        1 => AcceptPolicy::Standing,
        _ => AcceptPolicy::Auto,
    }
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
            Happening::Limit(which, minutes) => {
                if let Some(name) = world.drifts.get(*which).map(|drift| drift.name.clone()) {
                    world.drift(&name).accept_until = minutes.map(|minutes| format!("{minutes}m").into());
                    world.touch(&name);
                }
            }
            Happening::Explain(which, why) => {
                if let Some(name) = world.drifts.get(*which).map(|drift| drift.name.clone()) {
                    world.drift(&name).because = Some(format!("reason {why}").into());
                    world.touch(&name);
                }
            }
            Happening::Policy(policy) => {
                world.version += 1;
                world.accept = policy_of(*policy);
            }
            Happening::Withdraw(which) => {
                if let Some(name) = world.drifts.get(*which).map(|drift| drift.name.clone()) {
                    world.drift(&name).accept = None;
                    world.touch(&name);
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
                    0 => DeclaredFields::Nothing,
                    1 => DeclaredFields::Fields(["name".into()].into()),
                    2 => DeclaredFields::Fields(["memory".into(), "tags".into()].into()),
                    _ => DeclaredFields::Everything,
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

    /// One pass that ends after some writes, or at the first refused write.
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
                PlannedWrite::Adopt { adoptions, .. } => {
                    for Adoption { drift, field, value, .. } in adoptions {
                        let is_forced = planned.accept == AcceptPolicy::InPlace;
                        assert!(
                            is_forced || !planned.declared.holds(field),
                            "wrote {field}, which a manifest declares"
                        );
                        // A decision that is made again only now comes after this one.
                        let known = planned.drifts.iter().find(|known| known.name == *drift).unwrap().clone();
                        let accepted = known.standing.as_ref().map(|standing| shown_text(&standing.accepted()));
                        let demanded = known.accept.as_deref().filter(|text| *text != "true").unwrap_or(&known.actual);
                        let demanded = accepted.as_deref().unwrap_or(demanded);
                        assert!(shows(demanded, value), "adopted {value}, but {demanded} was decided");
                        self.adopted.insert(known.uid);
                    }
                }
                PlannedWrite::Refuse { drift, .. } | PlannedWrite::Answer { drift, .. } => {
                    let uid = self.world.drift(drift).uid.clone();
                    self.refused.insert(uid);
                }
                PlannedWrite::DropDecision { drift } => {
                    let uid = self.world.drift(drift).uid.clone();
                    assert!(self.refused.contains(&uid), "a decision was dropped without a word");
                }
                PlannedWrite::Close { drift, why, .. } => {
                    let known = self.world.drift(drift).clone();
                    let is_adopted = self.adopted.contains(&known.uid);
                    assert!(!is_adopted || *why == Closing::Accepted, "an accepted drift was closed as {why:?}");
                    assert!(known.accept.is_none() || *why == Closing::Accepted, "a decision was lost");
                    assert!(!is_blind || is_adopted, "closed on no evidence");
                }
                PlannedWrite::Open { field, shown, .. } => {
                    assert!(!is_blind, "opened on no evidence");
                    let live = planned.live.as_ref().and_then(|live| live.get(field));
                    let is_true = field == "exists" || live.is_some_and(|live| shows(&shown.actual, live));
                    assert!(is_true, "opened {field} on what no request of its own showed: {shown:?}");
                }
                PlannedWrite::Stand { drift, accepted, .. } => {
                    let known = planned.drifts.iter().find(|known| known.name == *drift).unwrap();
                    let demanded = known.accept.as_deref().filter(|text| *text != "true").unwrap_or(&known.actual);
                    assert!(shows(demanded, &accepted.value), "accepted {accepted:?}, but {demanded} was decided");
                }
                PlannedWrite::End { drift, why } => self.ends(&planned, drift, *why),
                PlannedWrite::Wait { drift, .. } => {
                    let drift = self.world.drift(drift);
                    let half = [&drift.accept, &drift.accept_until, &drift.because];
                    assert!(half.into_iter().any(Option::is_some), "nothing waits");
                }
                PlannedWrite::Await { drift } => assert!(self.world.drift(drift).accept.is_none(), "a decision waits"),
                PlannedWrite::Relabel { .. }
                | PlannedWrite::Reassess { .. }
                | PlannedWrite::Revert { .. }
                | PlannedWrite::Follow { .. }
                | PlannedWrite::CancelRevert { .. }
                | PlannedWrite::FailRevert { .. }
                | PlannedWrite::LoseRevert { .. }
                | PlannedWrite::ShowPlan { .. }
                | PlannedWrite::Refresh { .. }
                | PlannedWrite::Reaffirm { .. }
                | PlannedWrite::RestoreDecision { .. }
                | PlannedWrite::Prune { .. } => {}
            }
            self.world.write(step);
            self.check();
        }
    }

    /// Checks that an acceptance ends for a true reason.
    fn ends(&self, planned: &RecordWorld, drift: &str, why: Ending) {
        let known = planned.drifts.iter().find(|known| *known.name == *drift).unwrap();
        let standing = known.standing.as_ref().expect("an acceptance that stands");
        let of_field = || planned.drifts.iter().filter(|other| other.field == known.field);
        let desired = desired_of(&planned.desired, &known.field);
        let is_true = match why {
            Ending::Withdrawn => known.accept.is_none(),
            Ending::Expired => standing.until.unwrap() <= planned.now,
            Ending::InRecord => planned.last_accepted.hold(known) || self.adopted.contains(&known.uid),
            Ending::InManifest => desired.is_some_and(|desired| shows(&shown_text(&standing.accepted()), &desired)),
            Ending::ManifestChanged => desired.is_none_or(|desired| desired != standing.declared()),
            Ending::LiveReturned => match &planned.live {
                Some(live) if *known.field != *"exists" => live.get(&*known.field) == desired.as_ref(),
                _ => desired == Some(json!(matches!(planned.swept, Swept::Live(Some(_))))),
            },
            Ending::Superseded => of_field().any(|later| {
                later.episode > known.episode
                    && (later.phase == DriftPhase::Accepted || self.adopted.contains(&later.uid))
            }),
            Ending::Ignored => planned.ignore.contains(&*known.field),
            // The record is kept.
            Ending::RecordGone => false,
        };
        assert!(is_true, "{drift} ended as {why:?}, and that is not so: {known:?}");
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
        let world = RecordWorld::new(json!({"name": "web-1", "memory": 1024, "tags": ["tag-0"]}), droplet());
        let mut watched = Watched { world, adopted: BTreeSet::new(), refused: BTreeSet::new() };
        for happening in &history {
            watched.happen(happening);
        }
        // In the end the cloud can be read, and the operator works undisturbed.
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
            prop_assert!(drift.late().is_none(), "a decision on a resolved drift was not answered");
            let has_half = drift.accept_until.is_some() || drift.because.is_some();
            let is_half = drift.is_open() && drift.accept.is_none() && has_half;
            prop_assert!(!is_half || drift.waits.is_some(), "half of a decision was not answered");
            if drift.standing.is_some() {
                let decided = (&drift.accept, &drift.accept_until, &drift.because);
                prop_assert_eq!(decided, (&drift.decided.decision, &drift.decided.until, &drift.decided.because));
            }
            // The label is written first, and a waiting decision may prevent the remaining writes.
            let is_labelled = drift.change.as_deref() == Some(&drift.change_to(&drift.actual));
            let is_waiting = drift.is_decided();
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
