//! Reverts: refusals, the created sagas, and the effect of their end on the drift.

use super::*;
use crate::drift::plan::{DecisionOrigin, PlannedSaga};

/// A drift on the name, and the decision to revert it.
fn decided(text: &str) -> RecordWorld {
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 4096}), droplet());
    world.confirms = true;
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    world.revert("name-1", text);
    world
}

/// A running saga.
fn reverting() -> RecordWorld {
    let mut world = decided("true");
    let writes = world.settle();
    let [PlannedWrite::Revert { saga, .. }, PlannedWrite::Follow { stuck: None, .. }] = &writes[..] else {
        panic!("{writes:?}")
    };
    let PlannedSaga { name, spec, origin } = &**saga;
    assert_eq!(*origin, DecisionOrigin::Person);
    assert!(name.starts_with("revert-web-1-name-"), "{name}");
    assert_eq!(spec.triggered_by.as_deref(), Some("drift:name-1"));
    assert_eq!(spec.concurrency_key.as_deref(), Some("Droplet/1"));
    assert_eq!(spec.steps.last().unwrap().step, "WaitForField");
    world
}

impl RecordWorld {
    fn revert(&mut self, name: &str, text: &str) {
        self.drift(name).revert = Some(text.into());
        self.touch(name);
    }

    fn saga_is(&mut self, phase: SagaPhase) {
        self.reverts[0].phase = phase;
        self.reverts[0].message = "because".into();
    }
}

fn refusal(writes: &[PlannedWrite]) -> &str {
    let [PlannedWrite::Refuse { message, .. }, PlannedWrite::DropDecision { .. }, ..] = writes else {
        panic!("{writes:?}")
    };
    message
}

#[test]
fn a_revert_is_a_saga_and_reverted_once_the_live_value_is_as_desired() {
    let mut world = reverting();
    assert_eq!(world.settle(), []);
    assert_eq!(world.plan().situation, Situation::Reverting(world.reverts[0].name.to_string()));
    world.set_live("name", json!("web-2"));
    world.saga_is(SagaPhase::Succeeded);
    assert_eq!(world.settle(), [closed("name-1", Closing::Reverted)]);
    assert_eq!(world.settle(), []);
}

#[test]
fn a_live_value_that_changed_before_the_saga_began_is_not_overwritten() {
    let mut world = reverting();
    world.set_live("name", json!("web-3"));
    world.sweep();
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::CancelRevert { .. }, ..]), "{writes:?}");
    assert!(world.drift("name-1").is_open() && world.drift("name-1").revert.is_none());
}

#[test]
fn a_list_that_lags_behind_the_decision_cancels_no_saga() {
    let mut world = reverting();
    world.confirms = false;
    world.swept = Swept::Live(Some(json!({ "id": 1, "name": "web-0", "memory": 4096 })));
    let plan = world.plan();
    assert_eq!((plan.writes, plan.needs_fresh_read), (vec![], Some(NeedsFreshRead::Change)));
    assert_eq!(world.settle(), [], "the response to a direct request shows the decided value");
}

#[test]
fn a_field_with_a_part_that_cannot_be_compared_is_not_reverted_yet() {
    // Nobody recorded the other list, and its default is not live.
    let desired = json!({ "firewall.allow": ["ip:192.0.2.1"] });
    let live = json!({ "allow": ["ip:192.0.2.2"], "deny": ["ip:192.0.2.3"] });
    let (key, live) = (
        ResourceKey::new(Kind::named("LoadBalancer").unwrap(), "506f78a4-e098-11e5-ad9f-000f53306ae1"),
        json!({ "id": "506f78a4-e098-11e5-ad9f-000f53306ae1", "name": "web", "firewall": live }),
    );
    let mut world = RecordWorld::new(desired, live);
    (world.key, world.confirms) = (key, true);
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::Open { .. }]), "{writes:?}");
    let name = world.drifts[0].name.to_string();
    world.revert(&name, "allow-disruption");
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::Wait { message, .. }] if message.contains("deny")), "{writes:?}");
    assert_eq!(world.settle(), []);
}

#[test]
fn nothing_is_concluded_from_what_is_live_meanwhile() {
    let mut world = reverting();
    world.saga_is(SagaPhase::Running);
    world.set_live("memory", json!(1));
    world.set_live("name", json!("half-way"));
    world.sweep();
    assert_eq!(world.settle(), []);
    world.set_live("name", json!("web-2"));
    world.saga_is(SagaPhase::Succeeded);
    world.sweep();
    let writes = world.settle();
    assert_eq!(writes, [closed("name-1", Closing::Reverted), opened("memory", 1, "4096", "1"),]);
}

#[test]
fn a_saga_that_did_not_help_leaves_the_drift_open() {
    for phase in [SagaPhase::RolledBack, SagaPhase::Failed, SagaPhase::Succeeded] {
        let mut world = reverting();
        world.saga_is(phase);
        let writes = world.settle();
        let [PlannedWrite::DropDecision { .. }, PlannedWrite::FailRevert { message, .. }] = &writes[..] else {
            panic!("{writes:?}")
        };
        assert!(message.contains("because") || message.contains("the live value is web-1"), "{message}");
        assert!(world.drift("name-1").is_open() && world.drift("name-1").revert.is_none());
        // It can be decided again.
        world.revert("name-1", "true");
        assert!(matches!(&world.settle()[..], [PlannedWrite::Revert { .. }, PlannedWrite::Follow { .. }]));
    }
}

#[test]
fn a_stuck_saga_says_so_and_a_deleted_one_is_a_failure() {
    let mut world = reverting();
    world.saga_is(SagaPhase::Stuck);
    let writes = world.settle();
    assert!(
        matches!(&writes[..], [PlannedWrite::Follow { stuck: Some(message), .. }] if message.contains("Stuck")),
        "{writes:?}"
    );
    assert_eq!(world.settle(), []);
    world.saga_is(SagaPhase::RollingBack);
    assert!(matches!(&world.settle()[..], [PlannedWrite::Follow { stuck: None, .. }]));
    world.reverts.clear();
    let writes = world.settle();
    assert!(
        matches!(&writes[..], [PlannedWrite::LoseRevert { saga, .. }] if saga.starts_with("revert-web-1-")),
        "{writes:?}"
    );
}

#[test]
fn a_record_names_the_stuck_saga_before_those_that_wait_for_it() {
    for phases in [[SagaPhase::Stuck, SagaPhase::Pending], [SagaPhase::Pending, SagaPhase::Stuck]] {
        let mut world = reverting();
        let (mut saga, mut drift) = (world.reverts[0].clone(), world.drifts[0].clone());
        (saga.name, saga.drift) = ("another".into(), "uid-2".into());
        (drift.name, drift.uid, drift.saga) = ("name-2".into(), "uid-2".into(), Some("another".into()));
        drift.reverting = Some(Reverting { saga: "another".into(), is_stuck: false });
        world.reverts.push(saga);
        world.drifts.push(drift);
        for (saga, phase) in world.reverts.iter_mut().zip(phases) {
            saga.phase = phase;
        }
        let stuck = world.reverts.iter().find(|saga| saga.phase == SagaPhase::Stuck).unwrap();
        assert_eq!(world.plan().situation, Situation::Reverting(stuck.name.to_string()));
    }
}

/// A saga that was created, while the drift does not name it: the second write was lost.
fn begun() -> RecordWorld {
    let mut world = decided("true");
    let writes = world.pass().writes;
    world.write(&writes[0]);
    assert_eq!(world.reverts.len(), 1);
    world
}

const FINISHED: [SagaPhase; 3] = [SagaPhase::Succeeded, SagaPhase::RolledBack, SagaPhase::Failed];

#[test]
fn a_saga_that_the_drift_does_not_name_yet_is_found_in_every_phase_and_no_second_one_is_created() {
    for phase in
        [SagaPhase::Pending, SagaPhase::Running, SagaPhase::RollingBack, SagaPhase::Stuck].into_iter().chain(FINISHED)
    {
        // Another client may write to the drift meanwhile, and the decision may be gone.
        for (is_touched, is_removed) in [(false, false), (true, false), (true, true)] {
            if is_removed && !phase.is_finished() {
                continue;
            }
            let mut world = begun();
            if is_touched {
                world.touch("name-1");
            }
            if is_removed {
                world.drift("name-1").revert = None;
            }
            if phase == SagaPhase::Succeeded {
                world.set_live("name", json!("web-2"));
                world.sweep();
            }
            world.saga_is(phase);
            let writes = world.settle();
            let what = format!("{phase:?} {is_touched} {is_removed}: {writes:?}");
            assert!(matches!(&writes[..], [PlannedWrite::Follow { .. }, ..]), "{what}");
            assert_eq!(world.reverts.len(), 1, "{what}");
            let saga = world.reverts[0].name.clone();
            let drift = world.drift("name-1");
            assert_eq!(drift.saga.as_ref(), Some(&saga), "{what}");
            match phase {
                SagaPhase::Succeeded => assert_eq!(drift.phase, DriftPhase::Reverted, "{what}"),
                SagaPhase::RolledBack | SagaPhase::Failed => {
                    assert!(matches!(writes.last(), Some(PlannedWrite::FailRevert { .. })), "{what}");
                    assert!(drift.is_open() && drift.revert.is_none() && drift.reverting.is_none(), "{what}");
                }
                _ => assert!(drift.reverting.is_some(), "{what}"),
            }
        }
    }
}

#[test]
fn a_finished_saga_of_an_earlier_decision_is_not_taken_for_the_next_one() {
    let mut world = decided("true");
    let mut names = Vec::new();
    for _ in 0..3 {
        world.settle();
        let saga = world.reverts.last_mut().unwrap();
        (saga.phase, saga.message) = (SagaPhase::RolledBack, "because".into());
        names.push(saga.name.clone());
        assert!(matches!(world.settle().last(), Some(PlannedWrite::FailRevert { .. })));
        world.revert("name-1", "true");
    }
    names.dedup();
    assert_eq!(names.len(), 3);
    // The fourth saga succeeds before the drift names it.
    let writes = world.pass().writes;
    world.write(&writes[0]);
    assert_eq!(world.reverts.len(), 4);
    world.set_live("name", json!("web-2"));
    world.reverts.last_mut().unwrap().phase = SagaPhase::Succeeded;
    world.reverts.sort_by(|one, other| one.name.cmp(&other.name));
    world.touch("name-1");
    world.sweep();
    let writes = world.settle();
    assert!(
        matches!(&writes[..], [PlannedWrite::Follow { .. }, PlannedWrite::Close { why: Closing::Reverted, .. }]),
        "{writes:?}"
    );
    // A change by another client is not the effect of an earlier saga.
    for phase in FINISHED {
        let mut world = reverting();
        world.saga_is(SagaPhase::RolledBack);
        world.settle();
        world.saga_is(phase);
        world.set_live("name", json!("web-2"));
        world.sweep();
        assert_eq!(world.settle(), [closed("name-1", Closing::LiveReturned)], "{phase:?}");
    }
}

#[test]
fn a_revert_whose_effect_does_not_show_is_judged_after_the_next_list() {
    let at = |minutes: i64| Some(reverting().now + jiff::SignedDuration::from_mins(minutes));
    let mut world = reverting();
    world.saga_is(SagaPhase::Succeeded);
    (world.reverts[0].finished_at, world.listed_at) = (at(0), at(-1));
    // The response lacks the field, so that an earlier list shows it, or it lags behind.
    let plan = world.pass();
    assert_eq!((plan.writes, plan.awaits_list), (vec![], true));
    let mut late = world.clone();
    late.set_live("name", json!("web-2"));
    assert_eq!(late.settle(), [closed("name-1", Closing::Reverted)]);
    // Another value is not what was live before the revert.
    let mut other = world.clone();
    other.set_live("name", json!("web-3"));
    assert!(matches!(&other.settle()[..], [_, PlannedWrite::FailRevert { .. }, ..]));
    // Lists that fail leave a revert in doubt only for a while.
    let mut unlisted = world.clone();
    unlisted.now = at(16).unwrap();
    assert!(matches!(&unlisted.settle()[..], [_, PlannedWrite::FailRevert { .. }]));
    world.listed_at = at(1);
    assert!(matches!(&world.settle()[..], [_, PlannedWrite::FailRevert { .. }]));
}

#[test]
fn a_crash_after_the_first_write_about_a_failed_revert_starts_no_second_one() {
    let mut world = reverting();
    world.saga_is(SagaPhase::RolledBack);
    let writes = world.pass().writes;
    world.write(&writes[0]);
    let writes = world.settle();
    assert!(matches!(&writes[..], [.., PlannedWrite::FailRevert { .. }]), "{writes:?}");
    assert_eq!(world.reverts.len(), 1);
}

#[test]
fn a_plan_changes_nothing_and_the_annotation_goes() {
    let mut world = decided("plan");
    let writes = world.settle();
    let [PlannedWrite::ShowPlan { plan, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
        panic!("{writes:?}")
    };
    assert!(!plan.calls.is_empty());
    assert!(world.reverts.is_empty() && world.drift("name-1").is_open());
}

#[test]
fn what_cannot_be_reverted_is_refused_with_the_reason_and_the_next_step() {
    let cases = [
        (json!({"size_slug": "s-2"}), "size_slug", "true", "allow-d"),
        (json!({"region": "ams3"}), "region", "allow-data-loss", "NotRevertible"),
        (json!({"name": "web-2"}), "name", "yes", "allow-disruption"),
    ];
    for (desired, field, text, word) in cases {
        let mut live = droplet();
        live["size_slug"] = json!("s-4");
        let mut world = RecordWorld::new(desired, live);
        world.settle();
        world.revert(&format!("{field}-1"), text);
        let writes = world.settle();
        assert!(refusal(&writes).contains(word), "{writes:?}");
    }
    // Both at once.
    let mut world = decided("true");
    world.annotate("name-1", "true");
    assert!(refusal(&world.settle()).contains("both set"));
    // Another controller would undo it.
    let mut world = decided("true");
    world.decided.owners.resource = ResourceOwner::Controller("autoscale pool web".into());
    assert!(refusal(&world.settle()).contains("Droplet 1 belongs to autoscale pool web"));
    // A plan says that it could not be read.
    let mut world = decided("plan");
    world.decided.owners.resource = ResourceOwner::Unknown { noun: "Kubernetes cluster", scope: "kubernetes:read" };
    let writes = world.settle();
    let [PlannedWrite::ShowPlan { plan, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
        panic!("{writes:?}")
    };
    let warning = plan.assessment.warnings.last().unwrap();
    assert!(warning.ends_with("is unknown; the token needs kubernetes:read."), "{warning}");
    let mut world = decided("true");
    world.decided.owners.fields.insert("name".into(), "the autoscaling".into());
    assert!(refusal(&world.settle()).contains("name of Droplet 1 belongs to the autoscaling"));
    let mut world = decided("true");
    world.decided.owners.fields.insert("memory".into(), "the autoscaling".into());
    assert!(matches!(&world.settle()[..], [PlannedWrite::Revert { .. }, ..]), "another field");
    // The whole resource.
    let mut world = RecordWorld::new(json!({"name": "web-1"}), droplet());
    world.live = None;
    world.sweep();
    world.settle();
    world.revert("exists-1", "allow-data-loss");
    assert!(refusal(&world.settle()).contains("exists"));
}

#[test]
fn a_revert_binds_to_what_the_person_saw() {
    let mut world = decided("true");
    world.set_live("name", json!("web-9"));
    assert!(refusal(&world.settle()).contains("the live value is now web-9"));
    let mut world = decided("true");
    world.desired.insert("name".into(), json!("web-8"));
    assert!(refusal(&world.settle()).contains("the desired value is now web-8"));
    let mut world = decided("true");
    world.set_live("name", json!("web-2"));
    assert!(refusal(&world.settle()).contains("nothing is left to revert"));
}

#[test]
fn a_revert_on_a_resolved_drift_is_answered_and_one_taken_back_is_withdrawn() {
    let mut world = decided("true");
    world.drift("name-1").revert = None;
    assert_eq!(world.settle(), []);
    world.annotate("name-1", "true");
    world.settle();
    world.revert("name-1", "true");
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::Answer { .. }, PlannedWrite::DropDecision { .. }]), "{writes:?}");
}

#[test]
fn the_third_revert_within_an_hour_is_refused_however_short_the_history_is() {
    for history in [HISTORY, 1] {
        third_revert(history);
    }
}

fn third_revert(history: usize) {
    let mut world = RecordWorld { history, ..RecordWorld::new(json!({"name": "web-2"}), droplet()) };
    world.confirms = true;
    for round in 1..=3 {
        world.set_live("name", json!("web-1"));
        world.sweep();
        world.settle();
        let name = format!("name-{round}");
        world.revert(&name, "true");
        let writes = world.settle();
        if round == 3 {
            assert!(refusal(&writes).contains("find the client that changes it"), "{writes:?}");
            continue;
        }
        world.set_live("name", json!("web-2"));
        world.reverts.last_mut().unwrap().phase = SagaPhase::Succeeded;
        world.sweep();
        world.settle();
        assert_eq!(world.drift(&name).phase, DriftPhase::Reverted);
        world.now += jiff::SignedDuration::from_mins(5);
    }
    world.now += jiff::SignedDuration::from_hours(1);
    world.revert("name-3", "true");
    let writes = world.settle();
    assert!(writes.iter().any(|write| matches!(write, PlannedWrite::Revert { .. })), "{writes:?}");
    let kept = world.drifts.iter().filter(|drift| !drift.is_open()).count();
    assert_eq!(kept, history.min(2), "the reverts are no longer recent");
}

#[test]
fn under_an_acceptance_that_stands_the_target_is_the_accepted_value() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.declared = DeclaredFields::Everything;
    world.settle();
    world.annotate("name-1", "true");
    world.settle();
    world.set_live("name", json!("web-9"));
    world.sweep();
    world.settle();
    world.revert("name-2", "true");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Revert { .. }, PlannedWrite::Follow { .. }]));
    world.set_live("name", json!("web-1"));
    world.saga_is(SagaPhase::Succeeded);
    assert_eq!(world.settle(), [closed("name-2", Closing::Reverted)]);
    assert_eq!(world.standing(), ["name-1".into()]);
}

#[test]
fn a_saga_whose_drift_was_deleted_completes_and_the_record_is_compared_after_it() {
    for phase in [SagaPhase::Pending, SagaPhase::Running, SagaPhase::Stuck, SagaPhase::RollingBack] {
        let mut world = reverting();
        world.drifts.clear();
        world.saga_is(phase);
        world.set_live("memory", json!(1));
        world.sweep();
        let plan = world.plan();
        assert_eq!(plan.situation, Situation::Reverting(world.reverts[0].name.to_string()), "{phase:?}");
        assert_eq!(world.settle(), [], "{phase:?}");
        world.set_live("name", json!("web-2"));
        world.set_live("memory", json!(4096));
        world.saga_is(SagaPhase::Succeeded);
        world.sweep();
        assert_eq!(world.settle(), []);
        assert_eq!(compared(world.plan().situation).compared, 2);
    }
    // The revert failed: the drift is open again.
    let mut world = reverting();
    world.drifts.clear();
    world.saga_is(SagaPhase::RolledBack);
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
}

#[test]
fn a_desired_value_that_changes_before_the_saga_begins_cancels_it() {
    let mut world = reverting();
    world.desired.insert("name".into(), json!("web-3"));
    let writes = world.settle();
    let [
        PlannedWrite::CancelRevert { .. },
        PlannedWrite::DropDecision { .. },
        PlannedWrite::FailRevert { message, .. },
        rest @ ..,
    ] = &writes[..]
    else {
        panic!("{writes:?}")
    };
    assert!(message.contains("cancelled"), "{message}");
    assert_eq!(rest, [closed("name-1", Closing::DesiredChanged), opened("name", 2, "web-3", "web-1")]);
}

#[test]
fn a_decision_that_is_removed_before_the_saga_begins_is_withdrawn() {
    let mut world = reverting();
    world.drift("name-1").revert = None;
    world.touch("name-1");
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::CancelRevert { .. }, PlannedWrite::Await { .. }]), "{writes:?}");
    assert!(world.drift("name-1").is_open());
    // It can be decided again.
    world.revert("name-1", "true");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Revert { .. }, PlannedWrite::Follow { .. }]));
    // Even if the drift does not name the saga yet.
    let mut world = begun();
    world.drift("name-1").revert = None;
    world.touch("name-1");
    let writes = world.settle();
    assert!(
        matches!(
            &writes[..],
            [PlannedWrite::Follow { .. }, PlannedWrite::CancelRevert { .. }, PlannedWrite::Await { .. }]
        ),
        "{writes:?}"
    );
    // A saga that runs is not stopped by that: the annotation is restored.
    let mut world = reverting();
    world.saga_is(SagaPhase::Running);
    world.drift("name-1").revert = None;
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::Answer { .. }, PlannedWrite::RestoreDecision { .. }]), "{writes:?}");
    world.set_live("name", json!("web-2"));
    world.saga_is(SagaPhase::Succeeded);
    assert_eq!(world.settle(), [closed("name-1", Closing::Reverted)]);
}

#[test]
fn a_desired_value_that_changes_while_the_saga_runs_is_compared_once_it_ended() {
    let mut world = reverting();
    world.saga_is(SagaPhase::Running);
    world.desired.insert("name".into(), json!("web-3"));
    assert_eq!(world.settle(), [], "its steps notice by themselves");
    world.set_live("name", json!("web-2"));
    world.saga_is(SagaPhase::Succeeded);
    world.sweep();
    let writes = world.settle();
    let [PlannedWrite::DropDecision { .. }, PlannedWrite::FailRevert { message, .. }, rest @ ..] = &writes[..] else {
        panic!("{writes:?}")
    };
    assert!(message.contains("changed from web-2 to web-3"), "{message}");
    assert_eq!(rest, [closed("name-1", Closing::DesiredChanged), opened("name", 2, "web-3", "web-2")]);
}

#[test]
fn a_decision_that_a_saga_carries_out_stays_as_it_was_until_the_saga_ends() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    let drift = world.drift("name-1");
    (drift.because, drift.decided_by) = (Some("OPS-1".into()), Some("jane".into()));
    world.revert("name-1", "true");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Revert { .. }, PlannedWrite::Follow { .. }]));
    world.saga_is(SagaPhase::Running);
    for (revert, because, word) in [
        (None, None, "spec.cancelRequested"),
        (None, Some("OPS-1"), "spec.cancelRequested"),
        (Some("allow-data-loss"), Some("OPS-1"), "spec.cancelRequested"),
        (Some("true"), Some("OPS-2"), "the reason"),
    ] {
        let drift = world.drift("name-1");
        (drift.revert, drift.because) = (revert.map(Into::into), because.map(Into::into));
        drift.decided_by = Some("mallory".into());
        world.touch("name-1");
        let writes = world.settle();
        let [PlannedWrite::Answer { message, .. }, PlannedWrite::RestoreDecision { .. }] = &writes[..] else {
            panic!("{writes:?}")
        };
        assert!(message.contains(word), "{message}");
        let drift = world.drift("name-1");
        let restored = (drift.revert.as_deref(), drift.because.as_deref(), drift.decided_by.as_deref());
        assert_eq!(restored, (Some("true"), Some("OPS-1"), Some("jane")));
        assert_eq!(world.settle(), []);
    }
}

#[test]
fn the_decision_that_created_the_saga_is_the_one_that_the_drift_names() {
    let mut world = decided("true");
    let drift = world.drift("name-1");
    (drift.because, drift.decided_by) = (Some("OPS-1".into()), Some("jane".into()));
    world.touch("name-1");
    let plan = world.pass();
    // The process ended after the saga was created, and another user decided again.
    world.write(&plan.writes[0]);
    let drift = world.drift("name-1");
    (drift.revert, drift.because, drift.decided_by) =
        (Some("allow-data-loss".into()), Some("OPS-2".into()), Some("mallory".into()));
    world.touch("name-1");
    let writes = world.settle();
    let [PlannedWrite::Follow { .. }, PlannedWrite::Answer { .. }, PlannedWrite::RestoreDecision { .. }] = &writes[..]
    else {
        panic!("{writes:?}")
    };
    let drift = world.drift("name-1");
    let Decided { decision, because, by, .. } = &drift.decided;
    assert_eq!([decision, because, by].map(Option::as_deref), [Some("true"), Some("OPS-1"), Some("jane")]);
    assert_eq!((drift.revert.as_deref(), drift.because.as_deref()), (Some("true"), Some("OPS-1")));
}

/// A drift on the tags, and the parts of the account that are known.
fn tagged(facts: AccountFacts) -> RecordWorld {
    let mut world = RecordWorld::new(json!({"tags": []}), droplet());
    (world.facts, world.confirms) = (facts, true);
    assert_eq!(world.settle(), [opened("tags", 1, "[]", r#"["web"]"#)]);
    world
}

/// Firewalls that select by these tags.
fn selecting(tags: &[&str], has_all_tags: bool) -> AccountFacts {
    let tags = tags.iter().map(|tag| ((*tag).to_owned(), "Firewall 1".to_owned())).collect();
    AccountFacts { tags, has_all_tags, ..AccountFacts::default() }
}

/// The classes that the writes show.
fn classes(writes: &[PlannedWrite]) -> Vec<RevertClass> {
    let class = |write: &PlannedWrite| match write {
        PlannedWrite::Reassess { revert, .. } => revert.class,
        other => panic!("{other:?}"),
    };
    writes.iter().map(class).collect()
}

#[test]
fn the_class_rises_and_falls_with_the_firewalls_that_select_by_a_tag() {
    let mut world = tagged(selecting(&[], true));
    assert_eq!(world.drift("tags-1").class, Some(RevertClass::Safe));
    for (facts, shown) in [
        (selecting(&["other"], true), &[][..]),
        (selecting(&["web"], true), &[RevertClass::Disruptive]),
        (selecting(&["web", "other"], true), &[]),
        // Some firewalls could not be read.
        (selecting(&[], false), &[]),
        (selecting(&[], true), &[RevertClass::Safe]),
        (selecting(&["web"], false), &[RevertClass::Disruptive]),
    ] {
        world.facts = facts;
        assert_eq!(classes(&world.settle()), shown, "{:?}", world.facts);
    }
    // A decision is not written over, and it finds the same class.
    world.revert("tags-1", "true");
    let writes = world.settle();
    assert!(refusal(&writes).contains("is Disruptive: Firewall 1 selects resources by the tag web"), "{writes:?}");
    assert_eq!(world.settle(), []);
}

#[test]
fn a_decision_finds_the_class_by_firewalls_that_nobody_recorded() {
    let mut world = tagged(selecting(&[], true));
    let tags = [("web".to_owned(), "Firewall 2".to_owned())].into();
    world.decided.tag_users = Some(Arc::new(TagUsers { tags, missing: Vec::new() }));
    world.revert("tags-1", "true");
    let writes = world.settle();
    assert!(refusal(&writes).contains("is Disruptive: Firewall 2 selects resources by the tag web"), "{writes:?}");
    // The drift shows the class of what is recorded, as before.
    assert_eq!(world.settle(), []);
    world.revert("tags-1", "allow-disruption");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Revert { .. }, ..]));
}

#[test]
fn a_revert_waits_for_what_its_shown_class_rests_on() {
    let mut world = tagged(selecting(&["web"], true));
    assert_eq!(world.drift("tags-1").class, Some(RevertClass::Disruptive));
    // The firewalls could not be read again.
    world.facts = selecting(&[], false);
    world.revert("tags-1", "true");
    let writes = world.settle();
    let [PlannedWrite::Wait { message, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert!(message.contains("the resources that the revert affects could not be read"), "{message}");
    // The worst case is allowed.
    world.revert("tags-1", "allow-disruption");
    let writes = world.settle();
    assert!(writes.iter().any(|write| matches!(write, PlannedWrite::Revert { .. })), "{writes:?}");
}

#[test]
fn the_effect_follows_the_firewall_that_selects_by_a_tag() {
    let mut world = tagged(selecting(&["web"], true));
    let firewall = |number: u8, has_all_tags| AccountFacts {
        tags: [("web".to_owned(), format!("Firewall {number}"))].into(),
        has_all_tags,
        ..AccountFacts::default()
    };
    for (facts, effect, writes) in [
        (firewall(2, true), "Firewall 2 selects", 1),
        (firewall(2, true), "Firewall 2 selects", 0),
        // One that is not known may be the better reason.
        (firewall(3, false), "Firewall 2 selects", 0),
    ] {
        world.facts = facts;
        assert_eq!(world.settle().len(), writes);
        let shown = world.drift("tags-1").effect.clone().unwrap();
        assert!(shown.starts_with(effect), "{shown}");
    }
}

#[test]
fn the_class_follows_the_live_value() {
    let mut document = droplet();
    document["backup_ids"] = json!([]);
    document["features"] = json!(["backups"]);
    let mut world = RecordWorld::new(json!({"backups": false}), document);
    world.confirms = true;
    world.settle();
    assert_eq!(world.drift("backups-1").class, Some(RevertClass::Safe));
    world.set_live("backup_ids", json!([7]));
    world.sweep();
    assert_eq!(classes(&world.settle()), [RevertClass::Lossy]);
    assert_eq!(world.settle(), []);
    // A drift of an earlier version shows none.
    world.drift("backups-1").class = None;
    assert_eq!(world.settle(), []);
}

#[test]
fn a_class_changes_only_with_a_confirmed_value() {
    let mut document = droplet();
    document["backup_ids"] = json!([]);
    document["features"] = json!(["backups"]);
    let mut world = RecordWorld::new(json!({"backups": false}), document);
    world.settle();
    world.swept = Swept::Live(world.live.clone().map(|mut live| {
        live["backup_ids"] = json!([7]);
        live
    }));
    let plan = world.plan();
    assert_eq!((plan.writes, plan.needs_fresh_read), (vec![], Some(NeedsFreshRead::Change)));
}

#[test]
fn an_acceptance_of_a_drift_that_a_saga_reverts_is_taken_back() {
    for (accept, until) in [(Some("true"), None), (None, Some("1h"))] {
        let mut world = reverting();
        world.saga_is(SagaPhase::Running);
        let drift = world.drift("name-1");
        (drift.accept, drift.accept_until) = (accept.map(Into::into), until.map(Into::into));
        world.touch("name-1");
        let writes = world.settle();
        let [PlannedWrite::Answer { message, .. }, PlannedWrite::RestoreDecision { .. }] = &writes[..] else {
            panic!("{writes:?}")
        };
        assert!(message.contains("to accept the live value, first cancel the saga"), "{message}");
    }
}

#[test]
fn an_acceptance_in_place_of_a_revert_that_has_not_started_is_carried_out() {
    let mut world = reverting();
    let drift = world.drift("name-1");
    (drift.accept, drift.revert) = (Some("true".into()), None);
    world.touch("name-1");
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::CancelRevert { .. }, PlannedWrite::Await { .. }, ..]), "{writes:?}");
    assert_eq!(world.drift("name-1").phase, DriftPhase::Accepted);
}

#[test]
fn a_decision_that_is_withdrawn_while_the_record_is_not_reconciled_cancels_the_saga() {
    type Rest = fn(&mut RecordWorld);
    let rests: [Rest; 2] = [|world| world.suspended = true, |world| world.older = Some("older".to_owned())];
    for rest in rests {
        let mut world = reverting();
        rest(&mut world);
        assert_eq!(world.settle(), [], "a decision that stands is carried out");
        world.drift("name-1").revert = None;
        world.touch("name-1");
        let writes = world.settle();
        assert!(matches!(&writes[..], [PlannedWrite::CancelRevert { .. }, PlannedWrite::Await { .. }]), "{writes:?}");
        // A saga that runs is not stopped.
        let mut world = reverting();
        world.saga_is(SagaPhase::Running);
        rest(&mut world);
        world.drift("name-1").revert = None;
        world.touch("name-1");
        assert_eq!(world.settle(), []);
    }
}

#[test]
fn the_deletion_of_a_record_cancels_the_sagas_that_have_not_started() {
    for (phase, is_cancelled) in [(SagaPhase::Pending, true), (SagaPhase::Running, false)] {
        let mut world = reverting();
        world.saga_is(phase);
        world.is_deleting = true;
        let writes = world.settle();
        let cancels = writes.iter().any(|write| matches!(write, PlannedWrite::CancelRevert { .. }));
        let refuses = writes.iter().any(|write| matches!(write, PlannedWrite::Refuse { .. }));
        assert_eq!((cancels, refuses), (is_cancelled, is_cancelled), "{writes:?}");
    }
}

#[test]
fn a_revert_whose_saga_ended_otherwise_says_how() {
    for (phase, says) in [(SagaPhase::Failed, "failed"), (SagaPhase::RolledBack, "was rolled back")] {
        let mut world = reverting();
        world.saga_is(phase);
        let writes = world.settle();
        let [PlannedWrite::DropDecision { .. }, PlannedWrite::FailRevert { message, .. }, ..] = &writes[..] else {
            panic!("{writes:?}")
        };
        assert!(message.contains(&format!(" {says}: ")), "{message}");
    }
}

#[test]
fn the_read_that_verifies_a_revert_also_gives_the_verdicts_on_other_fields() {
    let mut world = reverting();
    world.set_live("name", json!("web-2"));
    world.set_live("memory", json!(1));
    world.sweep();
    world.saga_is(SagaPhase::Succeeded);
    // Until that read, the saga counts as running.
    let plan = world.plan();
    assert_eq!((plan.writes, plan.needs_fresh_read), (vec![], Some(NeedsFreshRead::Decision)));
    assert!(matches!(plan.situation, Situation::Reverting(_)), "{:?}", plan.situation);
    let plan = world.plan_fresh(&world.drifts);
    let writes: Vec<_> = plan.writes.into_iter().map(bare).collect();
    assert_eq!(writes, [closed("name-1", Closing::Reverted), opened("memory", 1, "4096", "1")]);
    assert!(matches!(plan.situation, Situation::Compared(_)), "{:?}", plan.situation);
}
