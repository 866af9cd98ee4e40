//! Acceptances that move from their Drift into the record, since its policy wants them there.

use super::{
    standing::{accepted, declared, ended},
    *,
};

#[test]
fn acceptances_move_into_a_record_whose_policy_becomes_in_place() {
    let mut world = accepted();
    world.accept = AcceptPolicy::InPlace;
    let writes = world.pass().writes;
    let [PlannedWrite::Adopt { adoptions, .. }, end] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!((adoptions[0].value.clone(), adoptions[0].stands), (json!("web-1"), true));
    assert_eq!(*end, ended("name-1", Ending::InRecord));
    // A crash between the two writes does not change the reason, even if the manifest or a person acts meanwhile.
    for (desired, is_withdrawn) in [(None, false), (Some("web-3"), false), (None, true)] {
        let mut world = world.clone();
        world.write(&writes[0]);
        if let Some(desired) = desired {
            world.desired.insert("name".into(), json!(desired));
        }
        if is_withdrawn {
            world.drift("name-1").accept = None;
            world.touch("name-1");
        }
        let writes = world.settle();
        assert_eq!(writes[0], ended("name-1", Ending::InRecord));
        assert_eq!(writes.iter().any(|write| matches!(write, PlannedWrite::Answer { .. })), is_withdrawn, "{writes:?}");
        assert_eq!(world.open().len(), usize::from(desired.is_some()));
    }
    for write in &writes {
        world.write(write);
    }
    assert_eq!((world.settle(), world.desired["name"].clone()), (vec![], json!("web-1")));
    // A manifest that puts its own value back is a new question.
    world.desired.insert("name".into(), json!("web-2"));
    assert_eq!(world.settle(), [opened("name", 2, "web-2", "web-1")]);
}

#[test]
fn an_acceptance_with_an_end_or_of_another_live_value_does_not_move() {
    let mut world = declared();
    world.drift("name-1").accept_until = Some("1h".into());
    world.annotate("name-1", "true");
    world.settle();
    world.accept = AcceptPolicy::InPlace;
    assert_eq!(world.settle(), []);
    // Without an end, it does.
    world.drift("name-1").accept_until = None;
    world.touch("name-1");
    let writes = world.settle();
    assert!(
        matches!(
            &writes[..],
            [PlannedWrite::Reaffirm { until: None, .. }, PlannedWrite::Adopt { .. }, PlannedWrite::End { .. }]
        ),
        "{writes:?}"
    );
}

#[test]
fn an_accepted_absence_and_an_accepted_credential_move_likewise() {
    let mut world = declared();
    world.live = None;
    world.sweep();
    world.settle();
    world.annotate("exists-1", "true");
    world.settle();
    world.accept = AcceptPolicy::InPlace;
    assert!(matches!(
        &world.settle()[..],
        [PlannedWrite::Adopt { .. }, PlannedWrite::End { why: Ending::InRecord, .. }]
    ));
    assert_eq!(world.desired["exists"], json!(false));

    let live = json!({"id": 1, "name": "web-1", "config": {"password": "b", "size": 1}});
    let mut world = RecordWorld::new(json!({"config": {"password": "a", "size": 1}}), live);
    world.declared = DeclaredFields::Everything;
    world.settle();
    world.annotate("config-1", "true");
    world.settle();
    world.accept = AcceptPolicy::InPlace;
    assert!(matches!(
        &world.settle()[..],
        [PlannedWrite::Adopt { .. }, PlannedWrite::End { why: Ending::InRecord, .. }]
    ));
    assert_eq!(world.desired["config"], json!({"password": "b", "size": 1}));
}
