//! Decisions: accepted, refused, in doubt after a crash, or waiting.

use super::*;

#[test]
fn an_accepted_value_becomes_the_desired_one() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let accepted = Accepted { value: json!("web-1"), declared: json!("web-2") };
    let (drift, field) = ("name-1".into(), "name".into());
    let adoptions = vec![Adoption { drift, field, value: json!("web-1"), accepted, stands: false }];
    let adopt = PlannedWrite::Adopt { adoptions, in_doubt: LastAccepted::default() };
    assert_eq!(world.settle(), [adopt, closed("name-1", Closing::Accepted)]);
    assert_eq!(world.desired["name"], "web-1");
}

#[test]
fn an_accept_whose_live_value_moved_is_refused_and_the_drift_stays_open() {
    for decision in ["true", "web-1", "something"] {
        let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.set_live("name", json!("web-3"));
        world.annotate("name-1", decision);
        let writes = world.settle();
        assert!(
            matches!(
                writes[..],
                [
                    PlannedWrite::Refuse { .. },
                    PlannedWrite::DropDecision { .. },
                    PlannedWrite::Relabel { .. },
                    PlannedWrite::Refresh { .. }
                ]
            ),
            "{writes:?}"
        );
        assert_eq!(world.desired["name"], "web-2");
        assert!(world.open()[0].accept.is_none());
    }
}

#[test]
fn accepting_a_named_value_takes_that_value_only() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.set_live("name", json!("web-3"));
    world.annotate("name-1", "web-3");
    world.settle();
    assert_eq!((world.desired["name"].clone(), world.open().len()), (json!("web-3"), 0));
}

#[test]
fn a_decision_on_another_desired_value_is_refused() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.desired.insert("name".into(), json!("web-9"));
    world.annotate("name-1", "true");
    let writes = world.settle();
    assert!(matches!(writes[0], PlannedWrite::Refuse { .. }), "{writes:?}");
    assert_eq!(writes[2..], [closed("name-1", Closing::DesiredChanged), opened("name", 2, "web-9", "web-1")]);
}

#[test]
fn a_crash_between_the_two_writes_of_an_accept_still_ends_as_accepted() {
    for (live, desired) in [("web-1", None), ("web-7", None), ("web-1", Some("web-8"))] {
        let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
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
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
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
fn a_decision_that_cannot_be_carried_out_yet_says_once_why_it_waits() {
    // The inventory is too old.
    let mut world = RecordWorld::new(json!({"tags": ["web", "prod"]}), droplet());
    world.settle();
    world.annotate("tags-1", "true");
    world.swept = Swept::Nothing;
    let writes = world.settle();
    assert!(waiting(&writes).contains(ConditionReason::InventoryStale.name()), "{writes:?}");
    // The field is unknown at the moment.
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
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
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
        let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        let writes = world.plan_failed().writes;
        world.write(&writes[0]);
        world.drift("name-1").accept = None;
        if is_blind {
            world.swept = Swept::Nothing;
        }
        assert_eq!(world.settle(), [PlannedWrite::Await { drift: "name-1".into() }]);
    }
}

#[test]
fn what_the_cloud_adds_by_itself_is_not_adopted() {
    let mut world = RecordWorld::new(json!({"tags": ["web", "k8s:mine"]}), droplet());
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
fn a_decision_on_a_value_recorded_meanwhile_is_accepted_with_any_addition_of_the_cloud() {
    let mut world = RecordWorld::new(json!({"tags": ["prod"]}), droplet());
    world.set_live("tags", json!(["web", "k8s:abc"]));
    world.sweep();
    world.settle();
    world.desired.insert("tags".into(), json!(["web"]));
    world.annotate("tags-1", "true");
    assert_eq!(world.settle(), [closed("tags-1", Closing::Accepted)]);
}

#[test]
fn what_is_left_out_of_one_part_of_a_value_stays_out_of_what_is_adopted() {
    let key = ResourceKey::new(Kind::named("KubernetesCluster").unwrap(), "1");
    let pool = |count: u32, size: &str, tags: Value| json!({"name": "a", "count": count, "auto_scale": true, "size": size, "tags": tags});
    let live = pool(4, "s-2", json!(["k8s", "k8s:x", "blue"]));
    let live = Live::parse(&key, &json!({"id": "1", "node_pools": [live]}).to_string()).unwrap();
    let expected = json!([pool(2, "s-1", json!(["blue"]))]);
    let Finding::Differs { adopted, .. } = compare(&live, "node_pools", &expected) else { panic!("it differs") };
    assert_eq!(adopted, json!([{"name": "a", "count": 2, "auto_scale": true, "size": "s-2", "tags": ["blue"]}]));
    assert!(matches!(compare(&live, "node_pools", &adopted), Finding::Matches));
}

#[test]
fn many_decisions_are_one_request_and_one_write_of_the_record() {
    let desired: serde_json::Map<_, _> = (0..256).map(|field| (format!("f{field}"), json!("old"))).collect();
    let live: serde_json::Map<_, _> = (0..256).map(|field| (format!("f{field}"), json!("new"))).collect();
    let mut world = RecordWorld::new(desired.into(), live.into());
    world.settle();
    let names: Vec<_> = world.open().into_iter().map(|drift| drift.name.clone()).collect();
    for name in &names {
        world.annotate(name, "true");
    }
    assert_eq!(world.plan().needs_fresh_read, Some(NeedsFreshRead::Decision));
    let plan = world.plan_fresh(&world.drifts.clone());
    let is_adoption =
        |step: &&PlannedWrite| matches!(step, PlannedWrite::Adopt { adoptions, .. } if adoptions.len() == 256);
    assert_eq!(plan.writes.iter().filter(is_adoption).count(), 1, "{:?}", plan.writes.first());
    assert_eq!(plan.writes.len(), 257);
    plan.writes.iter().for_each(|step| world.write(step));
    assert_eq!(world.settle(), []);
    assert!(world.desired.values().all(|value| value == "new"));
}

#[test]
fn a_crash_after_the_first_write_of_many_accepts_ends_all_of_them_as_accepted() {
    for closed_before_the_crash in 0..3 {
        let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 1, "tags": ["db"]}), droplet());
        world.settle();
        for name in ["name-1", "memory-1", "tags-1"] {
            world.annotate(name, "true");
        }
        let writes = world.pass().writes;
        assert_eq!(writes.len(), 4, "{writes:?}");
        writes.iter().take(1 + closed_before_the_crash).for_each(|step| world.write(step));
        // Both sides change, so that only the record contains the decision.
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
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let writes = world.pass().writes;
    world.write(&writes[0]);
    world.annotate("memory-1", "true");
    // The API server refuses to close the first drift, and the operator continues and ends.
    let writes = world.pass().writes;
    let adopt = writes.iter().find(|step| matches!(step, PlannedWrite::Adopt { .. })).unwrap();
    world.write(adopt);
    world.set_live("name", json!("web-7"));
    world.sweep();
    world.settle();
    assert_eq!(world.drift("name-1").phase, DriftPhase::Accepted);
    assert_eq!(world.drift("memory-1").phase, DriftPhase::Accepted);
}

#[test]
fn a_mark_that_an_earlier_version_left_still_ends_its_drift_as_accepted() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let writes = world.pass().writes;
    world.write(&writes[0]);
    let uid = world.drift("name-1").uid.clone();
    world.last_accepted = LastAccepted::read(&format!("name-1/{uid}"));
    world.set_live("name", json!("web-7"));
    world.sweep();
    world.settle();
    assert_eq!(world.drift("name-1").phase, DriftPhase::Accepted);
}

#[test]
fn a_decision_that_comes_while_the_live_resource_is_read_waits_for_the_next_read() {
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 1}), droplet());
    world.settle();
    world.annotate("name-1", "true");
    let before = world.drifts.clone();
    world.annotate("memory-1", "true");
    let plan = world.plan_fresh(&before);
    let fields: Vec<_> = plan
        .writes
        .iter()
        .filter_map(|step| match step {
            PlannedWrite::Adopt { adoptions, .. } => Some(adoptions.iter().map(|adoption| adoption.field.as_str())),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!((fields, plan.needs_fresh_read), (vec!["name"], Some(NeedsFreshRead::Decision)));
    world.settle();
    assert_eq!(world.open().len(), 0);
}

#[test]
fn a_decision_on_a_resolved_drift_is_answered_once() {
    for (decision, phase) in [(None, DriftPhase::Stale), (Some("true"), DriftPhase::Accepted)] {
        let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
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
        let [PlannedWrite::Answer { message, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
            panic!("{writes:?}")
        };
        assert!(message.contains(phase.name()), "{message}");
        assert_eq!(world.settle(), []);
    }
}

#[test]
fn a_decision_on_a_drift_or_a_record_that_is_being_deleted_is_refused() {
    for is_the_record in [true, false] {
        let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.annotate("name-1", "true");
        world.is_deleting = is_the_record;
        world.drift("name-1").deleting = !is_the_record;
        let writes = world.settle();
        let [PlannedWrite::Refuse { message, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
            panic!("{writes:?}")
        };
        assert!(message.contains("is being deleted"), "{message}");
        assert_eq!(world.desired["name"], "web-2");
    }
}

#[test]
fn a_decision_on_a_suspended_or_younger_record_says_why_it_waits() {
    for is_suspended in [true, false] {
        let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
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
fn a_refusal_names_the_value_of_the_decision_and_the_present_one() {
    let refused = |desired: &str, live: &str, decision: &str| {
        let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
        world.settle();
        world.desired.insert("name".into(), json!(desired));
        world.set_live("name", json!(live));
        world.annotate("name-1", decision);
        let writes = world.settle();
        let [PlannedWrite::Refuse { message, .. }, ..] = &writes[..] else { panic!("{writes:?}") };
        message.split(';').next().unwrap().to_owned()
    };
    assert_eq!(refused("web-9", "web-1", "true"), "the desired value is now web-9, no longer web-2");
    assert_eq!(refused("web-2", "web-3", "true"), "the live value is web-3, not web-1");
    assert_eq!(refused("web-2", "web-2", "web-7"), "the live value is web-2 as desired, not web-7");
}

#[test]
fn an_accepted_credential_stays_out_of_a_record_that_holds_none() {
    let (one, other) = ("postgres://app:CANARY@db/app", "postgres://app:SECOND@db/app");
    for (desired, live, policy, is_in_place) in [
        ("web-2", one, AcceptPolicy::Auto, false),
        ("web-2", one, AcceptPolicy::InPlace, true),
        (other, one, AcceptPolicy::Auto, true),
        (other, "web-2", AcceptPolicy::Auto, true),
    ] {
        let mut world = RecordWorld::new(json!({"name": desired}), droplet());
        world.accept = policy;
        world.set_live("name", json!(live));
        world.sweep();
        world.settle();
        world.annotate("name-1", "true");
        let writes = world.settle();
        let adopts = writes.iter().any(|write| matches!(write, PlannedWrite::Adopt { .. }));
        let stands = writes.iter().any(|write| matches!(write, PlannedWrite::Stand { .. }));
        assert_eq!((adopts, stands), (is_in_place, !is_in_place), "{desired} {live}: {writes:?}");
    }
}

#[test]
fn a_decision_for_the_desired_value_is_carried_out_if_the_live_value_returned() {
    for (decision, is_accepted) in [("NYC3", true), ("ams3", false)] {
        let mut world = RecordWorld::new(json!({"region": "NYC3"}), droplet());
        world.set_live("region", json!({"slug": "ams3"}));
        world.sweep();
        assert_eq!(world.settle(), [opened("region", 1, "NYC3", "ams3")]);
        world.set_live("region", json!({"slug": "nyc3"}));
        world.annotate("region-1", decision);
        let writes = world.plan_fresh(&world.drifts).writes;
        let closes = matches!(&writes[..], [PlannedWrite::Close { why: Closing::Accepted, .. }]);
        let refuses = matches!(&writes[..], [PlannedWrite::Refuse { .. }, ..]);
        assert_eq!((closes, refuses), (is_accepted, !is_accepted), "{decision}: {writes:?}");
    }
}
