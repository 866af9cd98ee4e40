//! Standing acceptances, and every way in which they end.

use super::*;

/// A world whose record is declared by a manifest, with the live name accepted.
pub(super) fn accepted() -> RecordWorld {
    let mut world = declared();
    world.annotate("name-1", "true");
    let writes = world.settle();
    let [PlannedWrite::Stand { accepted, until: None, patch, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(**accepted, Accepted { value: json!("web-1"), declared: json!("web-2") });
    assert_eq!(patch.as_deref(), Some(&json!({"spec": {"desired": {"name": "web-1"}}})));
    world
}

/// A world whose record is declared by a manifest, with a drift on its name.
pub(super) fn declared() -> RecordWorld {
    let mut world = RecordWorld::new(json!({"name": "web-2", "memory": 4096}), droplet());
    world.declared = DeclaredFields::Everything;
    assert_eq!(world.settle(), [opened("name", 1, "web-2", "web-1")]);
    world
}

pub(super) fn ended(drift: &str, why: Ending) -> PlannedWrite {
    PlannedWrite::End { drift: drift.into(), why }
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
    // A field that is no longer declared is not compared.
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
    assert!(matches!(&writes[..], [PlannedWrite::Answer { .. }, PlannedWrite::DropDecision { .. }]), "{writes:?}");
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
    assert!(matches!(&writes[0], PlannedWrite::Stand { accepted, .. } if accepted.declared == "web-2"), "{writes:?}");
    assert_eq!(writes[1..], [ended("name-1", Ending::Superseded)]);
    assert_eq!(world.settle(), []);
    // Back to the value that was accepted first, whose acceptance has ended.
    world.set_live("name", json!("web-1"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 3, "web-9", "web-1")]);
}

#[test]
fn an_end_makes_an_acceptance_stand_where_no_manifest_declares_the_field() {
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.settle();
    world.drift("name-1").accept_until = Some("2026-12-01T00:00:00Z".into());
    world.annotate("name-1", "true");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Stand { until: Some(_), .. }]));
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
        let [PlannedWrite::Refuse { message, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
            panic!("{writes:?}")
        };
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn the_end_of_an_acceptance_can_be_moved_and_its_value_cannot() {
    let mut world = accepted();
    world.drift("name-1").accept_until = Some("1h".into());
    world.touch("name-1");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Reaffirm { until: Some(_), .. }]));
    world.drift("name-1").accept_until = Some("whenever".into());
    assert!(matches!(&world.settle()[..], [PlannedWrite::Answer { .. }, PlannedWrite::RestoreDecision { .. }]));
    world.annotate("name-1", "web-7");
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::Answer { .. }, PlannedWrite::RestoreDecision { .. }]), "{writes:?}");
    assert_eq!(world.drift("name-1").accept.as_deref(), Some("true"));
    // A revert has to wait until the acceptance is withdrawn.
    world.drift("name-1").revert = Some("true".into());
    world.touch("name-1");
    let writes = world.settle();
    assert!(matches!(&writes[..], [PlannedWrite::Answer { .. }, PlannedWrite::RestoreDecision { .. }]), "{writes:?}");
    assert_eq!(world.drift("name-1").revert, None);
    // A duration counts from the time at which it is set.
    world.now += jiff::SignedDuration::from_mins(50);
    world.drift("name-1").accept_until = Some("60m".into());
    let writes = world.settle();
    let [PlannedWrite::Reaffirm { until: Some(until), .. }] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(until.duration_since(world.now).as_mins(), 60);
    let end = Some(*until);
    // The accepted value by its name is the same decision: it is stored, and its end does not change.
    world.now += jiff::SignedDuration::from_mins(1);
    world.annotate("name-1", "web-1");
    world.drift("name-1").because = Some("checked".into());
    assert_eq!(world.settle(), [PlannedWrite::Reaffirm { drift: "name-1".into(), until: end }]);
}

#[test]
fn a_refused_change_of_a_decision_leaves_the_reason_and_the_signature_of_the_decision() {
    let mut world = declared();
    let signed = |drift: &mut KnownDrift, by: &str, why: &str| {
        (drift.decided_by, drift.because) = (Some(by.into()), Some(why.into()));
    };
    signed(world.drift("name-1"), "jane", "traffic doubled");
    world.annotate("name-1", "true");
    world.settle();
    signed(world.drift("name-1"), "mallory", "because I say so");
    world.annotate("name-1", "web-7");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Answer { .. }, PlannedWrite::RestoreDecision { .. }]));
    let drift = world.drift("name-1");
    assert_eq!((drift.decided_by.as_deref(), drift.because.as_deref()), (Some("jane"), Some("traffic doubled")));
}

#[test]
fn an_end_that_was_moved_in_time_counts_even_if_the_operator_was_away() {
    for (text, moved) in [("2h", true), ("2020-01-01T00:00:00Z", false)] {
        let mut world = declared();
        world.drift("name-1").accept_until = Some("10m".into());
        world.annotate("name-1", "true");
        world.settle();
        world.drift("name-1").accept_until = Some(text.into());
        world.touch("name-1");
        world.now += jiff::SignedDuration::from_mins(11);
        let writes = world.settle();
        assert_eq!(matches!(&writes[..], [PlannedWrite::Reaffirm { until: Some(_), .. }]), moved, "{writes:?}");
        assert_eq!(writes.contains(&ended("name-1", Ending::Expired)), !moved, "{writes:?}");
        // The impossible end is answered too.
        assert_eq!(writes.iter().any(|step| matches!(step, PlannedWrite::Answer { .. })), !moved, "{writes:?}");
    }
}

#[test]
fn every_decision_in_every_phase_is_answered() {
    // An incomplete decision waits for its other part, in any order.
    let mut world = declared();
    world.drift("name-1").accept_until = Some("1h".into());
    world.touch("name-1");
    let writes = world.settle();
    let [PlannedWrite::Wait { message, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert!(message.contains("arcadia.cloud/accept too"), "{message}");
    assert_eq!(world.settle(), []);
    (world.drift("name-1").accept_until, world.drift("name-1").because) = (None, Some("OPS-1".into()));
    world.touch("name-1");
    let writes = world.settle();
    let [PlannedWrite::Wait { message, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert!(message.contains("arcadia.cloud/because decides nothing by itself"), "{message}");
    world.drift("name-1").because = None;
    world.touch("name-1");
    assert_eq!(world.settle(), [PlannedWrite::Await { drift: "name-1".into() }]);
    world.drift("name-1").accept_until = Some("1h".into());
    world.annotate("name-1", "true");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Stand { until: Some(_), .. }]));

    // A revert has no end.
    let mut world = declared();
    world.drift("name-1").accept_until = Some("1h".into());
    world.drift("name-1").revert = Some("true".into());
    world.touch("name-1");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Refuse { .. }, PlannedWrite::DropDecision { .. }]));

    // On a resolved drift with any outcome.
    let over = |why: Option<Ending>| {
        let mut world = if why.is_none() { declared() } else { accepted() };
        match why {
            // Accepted in the record.
            None => {
                world.accept = AcceptPolicy::InPlace;
                world.annotate("name-1", "true");
            }
            Some(Ending::Expired) => {
                world.drift("name-1").accept_until = Some("10m".into());
                world.touch("name-1");
                world.settle();
                world.now += jiff::SignedDuration::from_mins(11);
            }
            Some(Ending::Withdrawn) => {
                world.drift("name-1").accept = None;
                world.touch("name-1");
            }
            Some(Ending::LiveReturned) => {
                world.set_live("name", json!("web-2"));
                world.sweep();
            }
            _ => drop(world.desired.insert("name".into(), json!("web-1"))),
        }
        world.settle();
        assert!(world.standing().is_empty() && !world.drift("name-1").is_open());
        world
    };
    let endings = [Ending::Expired, Ending::Withdrawn, Ending::LiveReturned, Ending::InManifest];
    for why in [None].into_iter().chain(endings.map(Some)) {
        for decision in ["accept-until", "accept", "revert"] {
            let mut world = over(why);
            let drift = world.drift("name-1");
            match decision {
                "accept-until" => drift.accept_until = Some("24h".into()),
                "accept" => drift.accept = Some("web-9".into()),
                _ => drift.revert = Some("true".into()),
            }
            world.touch("name-1");
            let writes = world.settle();
            let [PlannedWrite::Answer { message, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
                panic!("{why:?} {decision}: {writes:?}")
            };
            let next = world.open().first().map(|open| format!("decide Drift {} instead", open.name));
            assert!(message.ends_with(next.as_deref().unwrap_or("nothing is left to decide")), "{message}");
        }
        // A decision that was carried out is not processed again.
        assert_eq!(over(why).settle(), []);
        // Nor is the rest of one that was withdrawn. Any other change comes too late, and is reported once.
        for (change, answer) in [("because", "status.because keeps"), ("removed", "nothing is left to withdraw")] {
            let mut world = over(why);
            let drift = world.drift("name-1");
            if change == "because" {
                drift.because = Some("on second thoughts".into());
            } else {
                (drift.accept, drift.accept_until, drift.because) = (None, None, None);
            }
            world.touch("name-1");
            let writes = world.settle();
            if why == Some(Ending::Withdrawn) {
                assert_eq!(writes.is_empty(), change == "removed", "{writes:?}");
                continue;
            }
            let [PlannedWrite::Answer { message, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
                panic!("{why:?} {change}: {writes:?}")
            };
            assert!(message.contains(answer), "{message}");
            assert_eq!(message.contains("spec.desired"), why.is_none() && change == "removed", "{message}");
            // The same decision made again is a new one.
            world.annotate("name-1", "true");
            assert!(matches!(&world.settle()[..], [PlannedWrite::Answer { .. }, PlannedWrite::DropDecision { .. }]));
            assert_eq!(world.settle(), []);
        }
    }
}

#[test]
fn a_later_acceptance_in_the_record_replaces_one_that_stands() {
    let mut world = accepted();
    world.set_live("name", json!("web-9"));
    world.sweep();
    assert_eq!(world.settle(), [opened("name", 2, "web-1", "web-9")]);
    // The live value moved on, so that the first acceptance stays where it is.
    world.accept = AcceptPolicy::InPlace;
    assert_eq!(world.settle(), []);
    assert_eq!(world.standing(), ["name-1".into()]);
    world.annotate("name-2", "true");
    let writes = world.pass().writes;
    let [PlannedWrite::Adopt { .. }, PlannedWrite::Close { .. }] = &writes[..] else { panic!("{writes:?}") };
    // A crash after any of the writes does not change the reason.
    for written in 0..=writes.len() {
        let mut world = world.clone();
        writes.iter().take(written).for_each(|step| world.write(step));
        let writes = world.settle();
        let ends: Vec<_> = writes.iter().filter(|step| matches!(step, PlannedWrite::End { .. })).cloned().collect();
        assert_eq!(ends, [ended("name-1", Ending::Superseded)], "{written}: {writes:?}");
        assert_eq!((world.desired["name"].clone(), world.open().len()), (json!("web-9"), 0));
    }
}

#[test]
fn a_value_that_is_accepted_already_is_not_accepted_again_by_a_later_drift() {
    let mut world = accepted();
    world.set_live("name", json!("web-9"));
    world.sweep();
    world.settle();
    // The live value returns to the accepted one, and a decision requires that value.
    world.set_live("name", json!("web-1"));
    world.annotate("name-2", "web-1");
    let writes = world.settle();
    assert!(
        matches!(&writes[0], PlannedWrite::Refuse { message, .. } if message.contains("as accepted before")),
        "{writes:?}"
    );
    assert_eq!(world.standing(), ["name-1".into()]);
    assert_eq!(world.open().len(), 0);
}

#[test]
fn a_record_that_rests_answers_decisions_about_an_acceptance_that_stands() {
    for is_suspended in [true, false] {
        let mut world = accepted();
        world.suspended = is_suspended;
        world.older = (!is_suspended).then(|| "default/first".into());
        world.drift("name-1").accept_until = Some("1h".into());
        world.touch("name-1");
        assert!(matches!(&world.settle()[..], [PlannedWrite::Reaffirm { .. }]));
        world.annotate("name-1", "web-7");
        assert!(matches!(&world.settle()[..], [PlannedWrite::Answer { .. }, PlannedWrite::RestoreDecision { .. }]));
        world.drift("name-1").accept = None;
        world.touch("name-1");
        assert_eq!(world.settle(), [ended("name-1", Ending::Withdrawn)]);
        // The drift reopens once the record is compared.
        (world.suspended, world.older) = (false, None);
        assert_eq!(world.settle(), [opened("name", 2, "web-2", "web-1")]);
    }
}

#[test]
fn an_acceptance_belongs_to_the_notation_of_its_field() {
    let live = json!({"id": 1, "name": "web-1", "config": {"level": 2, "disk": 80}});
    let by_path = |level: u8| json!({"config.level": level, "config.disk": 80});
    let as_map = |level: u8| json!({"config": {"level": level, "disk": 80}});
    // From the dotted field to the map, and back.
    let to_map = (by_path(1), "config.level-1", as_map(1), as_map(2), "config-1");
    let to_path = (as_map(1), "config-1", by_path(1), by_path(2), "config.level-1");
    for (before, accepted, old_value, accepted_value, next) in [to_map, to_path] {
        for (manifest, reason) in [(old_value, Ending::ManifestChanged), (accepted_value, Ending::InManifest)] {
            let mut world = RecordWorld::new(before.clone(), live.clone());
            world.declared = DeclaredFields::Everything;
            world.settle();
            world.annotate(accepted, "true");
            assert!(matches!(&world.settle()[..], [PlannedWrite::Stand { .. }]));
            world.desired = serde_json::from_value(manifest).unwrap();
            let writes = world.settle();
            assert_eq!(writes[0], ended(accepted, reason), "{writes:?}");
            // The old value in the other notation opens a new drift.
            let open: Vec<_> = world.open().iter().map(|drift| drift.name.to_string()).collect();
            assert_eq!(open, if reason == Ending::InManifest { vec![] } else { vec![next.to_owned()] });
        }
    }
}

#[test]
fn a_patch_says_an_accepted_nothing_so_that_the_manifest_can_say_it() {
    for (recorded, live, said) in [(json!("web-2"), json!(null), json!("")), (json!(["a"]), json!([]), json!([]))] {
        let field = if recorded.is_array() { "tags" } else { "name" };
        let mut world = RecordWorld::new(json!({field: recorded, "memory": 4096}), droplet());
        world.set_live(field, live);
        world.sweep();
        world.declared = DeclaredFields::Everything;
        world.settle();
        let name = format!("{field}-1");
        world.annotate(&name, "true");
        let writes = world.settle();
        let [PlannedWrite::Stand { patch, .. }] = &writes[..] else { panic!("{writes:?}") };
        assert_eq!(patch.as_deref(), Some(&json!({"spec": {"desired": {field: said}}})));
        world.desired.insert(field.into(), said);
        assert_eq!(world.settle(), [ended(&name, Ending::InManifest)]);
        assert_eq!(world.open().len(), 0);
    }
}

#[test]
fn a_fingerprint_of_an_accepted_credential_never_becomes_a_value() {
    let live = |size: u8| json!({"id": 1, "name": "web-1", "config": {"password": "b", "size": size}});
    for policy in [AcceptPolicy::InPlace, AcceptPolicy::Auto] {
        let mut world = RecordWorld::new(json!({"config": {"password": "a", "size": 1}}), live(1));
        world.declared = DeclaredFields::Everything;
        world.settle();
        world.annotate("config-1", "true");
        world.settle();
        world.live = Some(live(2));
        world.sweep();
        assert!(matches!(&world.settle()[..], [PlannedWrite::Open { .. }]));
        world.accept = policy;
        world.annotate("config-2", "true");
        let writes = world.settle();
        match &writes[0] {
            PlannedWrite::Adopt { adoptions, .. } => {
                assert_eq!(adoptions[0].value, json!({"password": "b", "size": 2}));
            }
            PlannedWrite::Stand { patch, .. } => assert_eq!(*patch, None, "it would show the credential"),
            step => panic!("{step:?}"),
        }
        assert_eq!(world.open().len(), 0);
    }
}

#[test]
fn the_policy_of_the_record_forces_one_mode() {
    let mut world = declared();
    world.accept = AcceptPolicy::InPlace;
    world.annotate("name-1", "true");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Adopt { .. }, PlannedWrite::Close { .. }]));
    let mut world = RecordWorld::new(json!({"name": "web-2"}), droplet());
    world.accept = AcceptPolicy::Standing;
    world.settle();
    world.annotate("name-1", "true");
    assert!(matches!(&world.settle()[..], [PlannedWrite::Stand { .. }]));
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
    assert!(matches!(&writes[..], [PlannedWrite::Stand { patch: Some(_), .. }]), "{writes:?}");
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
    assert!(world.drift("name-1").is_unsettled());
}

#[test]
fn an_accepted_credential_is_kept_as_a_fingerprint_and_a_changed_one_is_seen() {
    let live = |password: &str| json!({"id": 1, "name": "web-1", "config": {"password": password, "size": 1}});
    let mut world = RecordWorld::new(json!({"config": {"password": "a", "size": 1}}), live("b"));
    world.declared = DeclaredFields::Everything;
    world.settle();
    world.annotate("config-1", "true");
    let writes = world.settle();
    let [PlannedWrite::Stand { accepted, patch, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert!(accepted.value["password"].as_str().unwrap().starts_with("(secret,"), "{accepted:?}");
    assert_eq!(*patch, None);
    world.sweep();
    assert_eq!(world.settle(), []);
    world.live = Some(live("c"));
    world.sweep();
    assert!(matches!(&world.settle()[..], [PlannedWrite::Open { .. }]));
}

impl RecordWorld {
    /// In a stable state, a drift is open exactly if the value in effect and the live one differ.
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
    // When it is compared again, the drift reopens.
    world.ignore.clear();
    assert_eq!(world.settle(), [opened("name", 2, "web-2", "web-1")]);
}

#[test]
fn a_decision_on_a_resolved_drift_names_the_acceptance_that_stands() {
    let mut world = declared();
    world.desired.insert("name".into(), json!("web-1"));
    world.settle();
    world.desired.insert("name".into(), json!("web-2"));
    world.settle();
    world.annotate("name-2", "true");
    world.settle();
    world.annotate("name-1", "web-9");
    let writes = world.settle();
    let [PlannedWrite::Answer { message, .. }, PlannedWrite::DropDecision { .. }] = &writes[..] else {
        panic!("{writes:?}")
    };
    assert!(message.ends_with("the acceptance of Drift name-2 stands"), "{message}");
}

#[test]
fn the_annotation_of_an_acceptance_may_say_true_its_value_or_what_was_decided() {
    for (decided, annotated, keeps) in [
        // Written in another way than the accepted value is shown.
        ("the name of May", "the name of May", true),
        ("web-1", "true", true),
        ("true", "web-1", true),
        ("true", "web-9", false),
        ("the name of May", "the name of June", false),
    ] {
        let mut world = accepted();
        world.drift("name-1").decided.decision = Some(decided.into());
        world.annotate("name-1", annotated);
        let writes = world.plan().writes;
        let is_answered = writes.iter().any(|write| matches!(write, PlannedWrite::Answer { .. }));
        assert_eq!(is_answered, !keeps, "{annotated} after {decided}: {writes:?}");
    }
}
