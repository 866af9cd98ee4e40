//! The guarantees of the evaluation, as tests: tables of cases, and random histories with crashes between any two
//! writes.

mod deciding;
mod histories;
mod moving;
mod reverting;
mod standing;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    evaluate::{evaluate, orphaned},
    finding::{Finding, compare},
    known::{Decided, KnownDrift, LastAccepted, Reverting, Standing},
    observed::{DecisionFacts, Inactive, NeedsFreshRead, Observed, ReadFacts, ReadSource, Recorded, Seen},
    ownership::DeclaredFields,
    plan::{Accepted, Adoption, Closing, Compared, DriftPlan, Ending, PlannedWrite, Situation},
    revert_saga::RevertSaga,
    shown::Shown,
    standing::declared as desired_of,
};
use crate::{
    api::{AcceptPolicy, DriftPhase, SagaPhase, conditions::ConditionReason, labels},
    comparison::{reading::stands_for as shows, show::full as shown_text},
    digitalocean::{
        Kind, Live, ResourceKey, ResourceOwner,
        revert::{AccountFacts, RevertClass, TagUsers},
    },
};
use world::*;

#[test]
fn only_the_field_that_diverges_is_flagged() {
    let mut world = RecordWorld::new(json!({"name": "web-2", "region": "nyc3", "memory": "4096"}), droplet());
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    assert_eq!(world.settle(), []);
}

#[test]
fn a_field_that_is_right_again_closes_as_stale_and_reopens_as_a_new_episode() {
    let mut world = RecordWorld::new(json!({"name": "web-1"}), droplet());
    world.set_live("name", json!("other"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 1, "web-1", "other")]);
    world.set_live("name", json!("web-1"));
    world.sweep();
    assert_eq!(world.settle(), [closed("name-1", Closing::LiveReturned)]);
    world.set_live("name", json!("third"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 2, "web-1", "third")]);
}

#[test]
fn a_record_that_follows_the_cloud_closes_the_question_it_raised() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.desired.insert("name".into(), json!("web-1"));
    assert_eq!(world.settle(), [closed("name-1", Closing::DesiredChanged)]);
}

#[test]
fn a_live_value_that_moves_on_is_refreshed_in_place() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.set_live("name", json!("web-3"));
    world.sweep();
    let writes = world.settle();
    // The label first: until the live value follows, it selects a drift whose decision is refused.
    assert!(
        matches!(&writes[0], PlannedWrite::Relabel { change, .. } if *change == labels::change("Droplet", "name", "web-2", "web-3"))
    );
    assert_eq!(writes[1..], [PlannedWrite::Refresh { drift: "name-1".into(), shown: shown("web-2", "web-3") }]);
}

#[test]
fn a_gone_resource_is_one_drift_on_exists() {
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 1}), droplet());
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
fn an_existence_that_is_neither_true_nor_false_is_invalid_and_hides_no_other_field() {
    let mut world = RecordWorld::new(json!({"name": "web-2", "exists": "maybe"}), droplet());
    world.settle();
    let open: Vec<_> = world.open().into_iter().map(|drift| drift.field.to_string()).collect();
    assert_eq!(open, ["name"]);
    assert!(compared(world.plan().situation).invalid[0].starts_with("exists: it must be true or false"));
    world.live = None;
    world.sweep();
    world.settle();
    let open: Vec<_> = world.open().into_iter().map(|drift| drift.field.to_string()).collect();
    assert!(!open.contains(&"exists".to_owned()), "{open:?}");
}

#[test]
fn nothing_is_concluded_from_nothing() {
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 4096}), droplet());
    world.settle();
    world.swept = Swept::Nothing;
    assert_eq!(world.plan().writes, []);
    // A field that the token cannot read is unknown, not empty.
    let mut world = RecordWorld::new(json!({"tags": ["web", "prod"]}), droplet());
    world.settle();
    assert_eq!(world.open().len(), 1);
    world.live.as_mut().unwrap().as_object_mut().unwrap().remove("tags");
    world.sweep();
    assert_eq!(world.settle(), []);
    assert_eq!(compared(world.plan().situation).unknown.len(), 1);
}

#[test]
fn fields_that_are_not_compared_any_more_close_their_drift() {
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.desired.remove("memory");
    world.ignore.insert("name".into());
    let writes = world.settle();
    assert!(writes.contains(&closed("memory-1", Closing::NoLongerRecorded)));
    assert!(writes.contains(&closed("name-1", Closing::Ignored)));
}

#[test]
fn a_field_that_does_not_exist_is_reported_with_similar_names_and_opens_no_drift() {
    let mut world = RecordWorld::new(json!({"size_slg": "s-1vcpu-1gb", "user_data": "x"}), droplet());
    assert_eq!(world.settle(), []);
    let invalid = compared(world.plan().situation).invalid;
    assert!(invalid[0].contains("size_slug"), "{invalid:?}");
    assert!(invalid[1].contains("user_data"), "{invalid:?}");
}

#[test]
fn a_suspended_or_younger_record_is_left_alone() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.suspended = true;
    assert_eq!(world.pass().writes, []);
    world.suspended = false;
    world.older = Some("default/first".into());
    assert_eq!(world.pass().writes, []);
    assert_eq!(world.pass().situation, Situation::Duplicate("default/first".into()));
}

#[test]
fn values_too_long_to_show_are_reported() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.set_live("name", json!("x".repeat(40_000)));
    world.sweep();
    assert_eq!(world.settle(), []);
    assert!(compared(world.plan().situation).invalid[0].contains("32 KiB"));
}

#[test]
fn one_list_alone_opens_refreshes_and_closes_nothing_that_depends_on_the_live_value() {
    let needs = |world: &RecordWorld| {
        let plan = world.plan();
        assert_eq!(plan.writes, []);
        assert_eq!(plan.needs_fresh_read, Some(NeedsFreshRead::Change));
        compared(plan.situation).unconfirmed
    };
    let mut world = RecordWorld::new(json!({"name": "web-1"}), droplet());
    // A list that lags: the resource itself has the desired value.
    world.swept = Swept::Live(Some(json!({"id": 1, "name": "stale"})));
    assert_eq!(needs(&world), ["name"]);
    assert_eq!(world.settle(), []);
    // It really differs.
    world.set_live("name", json!("other"));
    world.sweep();
    assert_eq!(needs(&world), ["name"]);
    assert_eq!(world.settle(), [opened("name", 1, "web-1", "other")]);
    // An open drift is unchanged until a second read confirms the change.
    for live in ["third", "web-1"] {
        world.set_live("name", json!(live));
        world.sweep();
        assert!(needs(&world).is_empty());
    }
    world.confirms = true;
    assert_eq!(world.settle(), [closed("name-1", Closing::LiveReturned)]);
    world.set_live("name", json!("fourth"));
    world.sweep();
    assert_eq!(world.plan().needs_fresh_read, None);
    assert_eq!(world.settle(), [opened("name", 2, "web-1", "fourth")]);
}

#[test]
fn an_id_that_was_never_seen_is_not_gone() {
    let mut world = RecordWorld::new(json!({"name": "web-1"}), droplet());
    world.was_seen = false;
    world.live = None;
    world.sweep();
    assert_eq!(world.settle(), []);
    assert_eq!(world.plan().situation, Situation::NeverSeen);
    // A record that declares the existence of its resource opens a drift.
    world.desired.insert("exists".into(), json!(true));
    assert_eq!(world.settle(), [opened("exists", 1, "true", "false")]);
    // A record that declares its absence is in sync.
    let mut world = RecordWorld::new(json!({"exists": false}), droplet());
    world.was_seen = false;
    world.live = None;
    world.sweep();
    assert_eq!(world.settle(), []);
    assert!(compared(world.plan().situation).gone);
}

#[test]
fn the_drifts_of_a_record_that_is_gone_are_closed_and_decisions_on_them_answered() {
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.annotate("memory-1", "true");
    let writes = orphaned(&world.drifts);
    let close = |drift| closed(drift, Closing::RecordGone);
    assert!(writes.contains(&close("name-1")) && writes.contains(&close("memory-1")), "{writes:?}");
    for step in &writes {
        world.write(step);
    }
    assert!(writes.iter().any(|step| matches!(step, PlannedWrite::Answer { drift, .. } if **drift == *"memory-1")));
    assert_eq!(orphaned(&world.drifts), []);
}

#[test]
fn a_field_whose_name_is_too_long_for_a_drift_is_reported_and_the_others_continue() {
    let long = "x".repeat(5000);
    let mut live = droplet();
    live[&long] = json!("b");
    let mut world = RecordWorld::new(json!({&long: "a", "name": "web-2"}), live);
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    let invalid = compared(world.plan().situation).invalid;
    assert!(invalid[0].contains("4096") && invalid[0].len() < 500, "{invalid:?}");
}

#[test]
fn an_ignored_field_that_is_not_recorded_is_named() {
    let mut world = RecordWorld::new(json!({"name": "web-1"}), droplet());
    world.ignore.extend(["name".into(), "nmae".into(), "exists".into()]);
    assert_eq!(world.settle(), []);
    assert_eq!(compared(world.plan().situation).ignored_unrecorded, ["nmae"]);
}

#[test]
fn a_difference_and_an_incomparable_field_are_both_reported() {
    let mut live = droplet();
    live.as_object_mut().unwrap().remove("tags");
    let mut world = RecordWorld::new(json!({"name": "web-2", "tags": ["web"], "user_data": "x"}), live);
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    let compared = compared(world.plan().situation);
    assert!(compared.unknown[0].contains("tags") && compared.invalid[0].contains("user_data"), "{compared:?}");
}

#[test]
fn drifts_of_earlier_versions_get_their_labels_and_are_decided_as_before() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.drift("name-1").change = None;
    let change = labels::change("Droplet", "name", "web-2", "web-1");
    assert_eq!(world.settle(), [PlannedWrite::Relabel { drift: "name-1".into(), change }]);
    world.drift("name-1").change = None;
    world.annotate("name-1", "true");
    world.settle();
    assert_eq!((world.desired["name"].clone(), world.drift("name-1").phase), (json!("web-1"), DriftPhase::Accepted));
    // Its decision was not stored.
    world.drift("name-1").decided.decision = None;
    assert_eq!(world.settle(), []);
}
