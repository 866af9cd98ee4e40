//! Acceptances that stand on their Drift, and every way in which they end.

use super::*;

/// A world whose record is declared by a manifest, with the live name accepted.
fn accepted() -> World {
    let mut world = declared();
    world.annotate("name-1", "true");
    let writes = world.settle();
    let [Write::Stand { accepted, until: None, patch, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(**accepted, Accepted { value: json!("web-1"), declared: json!("web-2") });
    assert_eq!(patch.as_deref(), Some(&json!({"spec": {"desired": {"name": "web-1"}}})));
    world
}

/// A world whose record is declared by a manifest, with a drift on its name.
fn declared() -> World {
    let mut world = World::new(json!({"name": "web-2", "memory": 4096}), droplet());
    world.declared = Declared::Everything;
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    world
}

fn ended(drift: &str, why: Ending) -> Write {
    Write::End { drift: drift.into(), why }
}

#[test]
fn an_acceptance_of_a_declared_field_stands_and_the_record_stays_as_it_is() {
    let mut world = accepted();
    assert_eq!((world.desired["name"].clone(), world.version), (json!("web-2"), 0));
    assert_eq!(world.open().len(), 0);
    for _ in 0..3 {
        // The manifest is applied again, and nothing happens.
        world.version += 1;
        world.sweep();
        assert_eq!(world.settle(), []);
    }
}

#[test]
fn a_manifest_that_catches_up_ends_it_and_nothing_opens() {
    let mut world = accepted();
    world.desired.insert("name".into(), json!("web-1"));
    assert_eq!(world.settle(), [ended("name-1", Ending::InManifest)]);
    assert_eq!(world.open().len(), 0);
}

#[test]
fn a_manifest_with_a_third_value_ends_it_and_is_compared() {
    let mut world = accepted();
    world.desired.insert("name".into(), json!("web-3"));
    let writes = world.settle();
    assert_eq!(writes, [ended("name-1", Ending::ManifestChanged), opened("name", 2, "web-3", "web-1")]);
    // A field that is not declared any more is not compared.
    let mut world = accepted();
    world.desired.remove("name");
    assert_eq!(world.settle(), [ended("name-1", Ending::ManifestChanged)]);
}

#[test]
fn a_live_value_that_returns_ends_it_once_a_second_read_confirms_it() {
    let mut world = accepted();
    world.set_live("name", json!("web-2"));
    world.swept = Swept::Live(world.live.clone());
    let plan = world.plan();
    assert_eq!((plan.writes, plan.needs_fresh_read), (vec![], Some(NeedsFreshRead::Change)));
    assert_eq!(world.settle(), [ended("name-1", Ending::LiveReturned)]);
}

#[test]
fn its_time_is_up() {
    let mut world = declared();
    world.drift("name-1").accept_until = Some("10m".into());
    world.annotate("name-1", "true");
    world.settle();
    let end = world.plan().next_end.unwrap();
    assert_eq!(end.duration_since(world.now).as_mins(), 10);
    world.now = end - jiff::SignedDuration::from_secs(1);
    assert_eq!(world.settle(), []);
    world.now = end;
    assert_eq!(world.settle(), [ended("name-1", Ending::Expired), opened("name", 2, "web-2", "web-1")]);
}

#[test]
fn removing_the_annotation_withdraws_it_and_the_same_decision_is_late_then() {
    let mut world = accepted();
    world.drift("name-1").accept = None;
    world.touch("name-1");
    assert_eq!(world.settle(), [ended("name-1", Ending::Withdrawn), opened("name", 2, "web-2", "web-1")]);
    world.annotate("name-1", "true");
    let writes = world.settle();
    assert!(matches!(&writes[..], [Write::Answer { .. }, Write::DropDecision { .. }]), "{writes:?}");
}

#[test]
fn a_live_value_that_moves_on_is_a_new_drift_from_the_accepted_value_and_replaces_it_when_accepted() {
    let mut world = accepted();
    world.set_live("name", json!("web-9"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 2, "web-1", "web-9")]);
    assert_eq!(world.standing(), ["name-1".into()]);
    world.annotate("name-2", "true");
    let writes = world.settle();
    assert!(matches!(&writes[0], Write::Stand { accepted, .. } if accepted.declared == "web-2"), "{writes:?}");
    assert_eq!(writes[1..], [ended("name-1", Ending::Superseded)]);
    assert_eq!(world.settle(), []);
    // Back to the value that was accepted first: that decision is over.
    world.set_live("name", json!("web-1"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 3, "web-9", "web-1")]);
}

#[test]
fn an_end_makes_it_stand_where_nobody_declares_the_field() {
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.drift("name-1").accept_until = Some("2026-12-01T00:00:00Z".into());
    world.annotate("name-1", "true");
    assert!(matches!(&world.settle()[..], [Write::Stand { until: Some(_), .. }]));
}

#[test]
fn an_end_that_cannot_be_is_refused_with_the_remedy() {
    for (text, policy, word) in [
        ("soon", AcceptPolicy::Auto, "RFC 3339"),
        ("2020-01-01T00:00:00Z", AcceptPolicy::Auto, "past"),
        ("1h", AcceptPolicy::InPlace, "spec.drift.accept"),
    ] {
        let mut world = declared();
        world.accept = policy;
        world.drift("name-1").accept_until = Some(text.into());
        world.annotate("name-1", "true");
        let writes = world.settle();
        let [Write::Refuse { message, .. }, Write::DropDecision { .. }] = &writes[..] else { panic!("{writes:?}") };
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn the_end_of_an_acceptance_can_be_moved_and_its_value_cannot() {
    let mut world = accepted();
    world.drift("name-1").accept_until = Some("1h".into());
    world.touch("name-1");
    assert!(matches!(&world.settle()[..], [Write::Reschedule { until: Some(_), .. }]));
    world.drift("name-1").accept_until = Some("whenever".into());
    assert!(matches!(&world.settle()[..], [Write::Answer { .. }, Write::RestoreDecision { .. }]));
    world.annotate("name-1", "web-7");
    let writes = world.settle();
    assert!(matches!(&writes[..], [Write::Answer { .. }, Write::RestoreDecision { .. }]), "{writes:?}");
    assert_eq!(world.drift("name-1").accept.as_deref(), Some("true"));
    // A revert has to wait until the acceptance is withdrawn.
    world.drift("name-1").revert = Some("true".into());
    world.touch("name-1");
    let writes = world.settle();
    assert!(matches!(&writes[..], [Write::Answer { .. }, Write::RestoreDecision { .. }]), "{writes:?}");
    assert_eq!(world.drift("name-1").revert, None);
    // A duration counts from when it is set.
    world.now += jiff::SignedDuration::from_mins(50);
    world.drift("name-1").accept_until = Some("60m".into());
    let writes = world.settle();
    let [Write::Reschedule { until: Some(until), .. }] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(until.duration_since(world.now).as_mins(), 60);
    // The accepted value by its name is the same decision.
    world.annotate("name-1", "web-1");
    assert_eq!(world.settle(), []);
}

#[test]
fn the_policy_of_the_record_forces_one_mode() {
    let mut world = declared();
    world.accept = AcceptPolicy::InPlace;
    world.annotate("name-1", "true");
    assert!(matches!(&world.settle()[..], [Write::Adopt { .. }, Write::Close { .. }]));
    let mut world = World::new(json!({"name": "web-2"}), droplet());
    world.accept = AcceptPolicy::Standing;
    world.settle();
    world.annotate("name-1", "true");
    assert!(matches!(&world.settle()[..], [Write::Stand { .. }]));
}

#[test]
fn the_history_limit_does_not_touch_it() {
    let mut world = accepted();
    world.set_live("name", json!("web-1"));
    for round in 0..10 {
        world.set_live("name", json!(format!("other-{round}")));
        world.sweep();
        world.settle();
        world.set_live("name", json!("web-1"));
        world.sweep();
        world.settle();
    }
    assert_eq!(world.standing(), ["name-1".into()]);
    assert_eq!(world.drifts.len(), HISTORY + 1);
}

#[test]
fn a_resource_that_is_gone_can_be_accepted_likewise() {
    let mut world = declared();
    world.live = None;
    world.sweep();
    world.settle();
    world.annotate("exists-1", "true");
    let writes = world.settle();
    assert!(matches!(&writes[..], [Write::Stand { patch: Some(_), .. }]), "{writes:?}");
    assert!(!world.desired.contains_key("exists"));
    assert_eq!(world.settle(), []);
    world.live = Some(droplet());
    world.sweep();
    assert_eq!(world.settle(), [ended("exists-1", Ending::LiveReturned), opened("name", 2, "web-2", "web-1")]);
}

#[test]
fn a_record_that_rests_or_cannot_be_compared_leaves_it_as_it_is() {
    let mut world = accepted();
    world.set_live("name", json!("web-2"));
    world.sweep();
    world.suspended = true;
    assert_eq!(world.settle(), []);
    world.suspended = false;
    world.older = Some("default/first".into());
    assert_eq!(world.settle(), []);
    world.older = None;
    world.swept = Swept::Nothing;
    assert_eq!(world.plan().writes, []);
    assert_eq!(world.standing(), ["name-1".into()]);
    assert_eq!(orphaned(&world.drifts), [ended("name-1", Ending::RecordGone)]);
}

#[test]
fn an_accepted_credential_is_kept_as_a_fingerprint_and_a_changed_one_is_seen() {
    let live = |password: &str| json!({"id": 1, "name": "web-1", "config": {"password": password, "size": 1}});
    let mut world = World::new(json!({"config": {"password": "a", "size": 1}}), live("b"));
    world.declared = Declared::Everything;
    world.settle();
    world.annotate("config-1", "true");
    let writes = world.settle();
    let [Write::Stand { accepted, patch, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert!(accepted.value["password"].as_str().unwrap().starts_with("(secret,"), "{accepted:?}");
    assert_eq!(*patch, None);
    world.sweep();
    assert_eq!(world.settle(), []);
    world.live = Some(live("c"));
    world.sweep();
    assert!(matches!(&world.settle()[..], [Write::Open { .. }]));
}

impl World {
    /// Once all is quiet, a drift is open exactly where the value in effect and the live one differ.
    pub(super) fn open_by_effective_value(&self) -> Result<(), String> {
        let Some(live) = &self.live else { return Ok(()) };
        for (field, declared) in &self.desired {
            let Some(actual) = live.get(field) else { continue };
            if self.ignore.contains(field.as_str()) || field == "exists" {
                continue;
            }
            let accepted =
                self.drifts.iter().filter(|drift| **field == *drift.field).find_map(|drift| drift.standing.as_ref());
            let expected = accepted.map_or(declared.clone(), |standing| standing.accepted());
            let is_open = self.open().iter().any(|drift| **field == *drift.field);
            let differs = !shows(&shown_text(&expected), actual);
            let exists = !self.open().iter().any(|drift| &*drift.field == "exists")
                && self.desired.get("exists").is_none_or(|exists| *exists != json!(false));
            if exists && is_open != differs {
                return Err(format!("{field}: {expected} in effect, {actual} live, open: {is_open}"));
            }
        }
        Ok(())
    }
}

#[test]
fn an_ignored_field_ends_it_and_does_not_count_as_accepted() {
    let mut world = accepted();
    let before = compared(world.plan().situation);
    assert_eq!((before.compared, before.accepted), (2, 1));
    world.ignore.insert("name".into());
    assert_eq!(world.settle(), [ended("name-1", Ending::Ignored)]);
    let after = compared(world.plan().situation);
    assert_eq!((after.compared, after.accepted), (1, 0));
    // Compared again, it is asked again.
    world.ignore.clear();
    assert_eq!(world.settle(), [opened("name", 2, "web-2", "web-1")]);
}
