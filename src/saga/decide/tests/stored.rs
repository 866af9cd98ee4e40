//! Sagas of every phase as an earlier commit stored them, in `tests/stored/sagas`: this version continues each of them as
//! that one would.

use std::{collections::BTreeMap, fs, path::Path};

use super::*;
use crate::{
    api::{Saga, conditions},
    saga::{state::condition, upgrade::upgrade},
};

/// The next command of each saga.
const NEXT: [(&str, &str); 29] = [
    ("failed-abandoned", "Rest"),
    ("failed-before-it-began", "Rest"),
    ("pending-new", "Start"),
    ("pending-suspended", "Rest"),
    ("pending-waits-for-another", "Start"),
    ("rollback-rolling-back", "Undo"),
    ("rollback-stuck-cancelled", "Rest"),
    ("rollback-suspended", "Rest"),
    ("rolled-back", "Rest"),
    ("rolling-back", "Undo"),
    ("rolling-back-awaits-an-action", "Rest"),
    ("rolling-back-in-doubt", "Undo"),
    ("rolling-back-retried", "Undo"),
    ("rolling-back-waits", "Undo"),
    ("running-answer-lost", "LookUp"),
    ("running-awaits-an-action", "Rest"),
    ("running-cannot-look", "LookUp"),
    ("running-in-doubt", "LookUp"),
    ("running-not-begun", "Prepare"),
    ("running-overruled", "Prepare"),
    ("running-retried", "Renew"),
    ("running-suspended", "Rest"),
    ("running-waits-for-approval", "Poll"),
    ("stuck-cancelled", "Rest"),
    ("stuck-deleted", "Rest"),
    ("stuck-several-candidates", "Rest"),
    ("stuck-too-late", "Rest"),
    ("stuck-undo-failed", "Rest"),
    ("succeeded", "Rest"),
];

fn stored() -> BTreeMap<String, Saga> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored/sagas");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let sagas = files.map(|text| serde_saphyr::from_str::<Saga>(&text).unwrap());
    sagas.map(|saga| (saga.metadata.name.clone().unwrap(), saga)).collect()
}

/// A saga as a newly started process reads it.
fn story(saga: &Saga) -> Story {
    let order = if saga.spec.kind == SagaKind::Rollback {
        json!([{"name": "label", "step": "TagResource", "with": {"tag": "a", "droplet_provider_id": "1"}}])
    } else {
        serde_json::to_value(&saga.spec.steps).unwrap()
    };
    let mut story = Story::ordered(json!({"kind": "test", "steps": order}));
    story.spec = saga.spec.clone();
    story.status = saga.status.clone().unwrap_or_default();
    story.is_deleting = saga.metadata.name.as_deref() == Some("stuck-deleted");
    upgrade(&mut story.status);
    story
}

#[test]
fn each_continues_where_it_was() {
    let stored = stored();
    assert_eq!(stored.keys().map(String::as_str).collect::<Vec<_>>(), NEXT.map(|(name, _)| name));
    for (name, next) in NEXT {
        assert_eq!(story(&stored[name]).next().name(), next, "{name}");
    }
}

#[test]
fn a_process_that_read_an_old_journal_writes_one_that_says_all_in_fields() {
    for (name, saga) in stored() {
        let mut status = story(&saga).status;
        // The conditions do not matter from now on.
        for condition in &mut status.conditions {
            condition.message.clear();
        }
        let mut again = status.clone();
        upgrade(&mut again);
        assert_eq!(again, status, "{name}");
    }
}

#[test]
fn the_cause_of_a_wait_is_restored_and_not_published_again() {
    let sagas = stored();
    let approval = story(&sagas["running-waits-for-approval"]);
    let why = "Approve it with your name, as kubectl auth whoami shows it: kubectl annotate saga waits \
               arcadia.cloud/approve-ask=NAME";
    assert_eq!(approval.status.steps[1].waiting_for.as_deref(), Some(why));
    let answer = Progress::NotYet { again: Duration::from_hours(1), why: why.to_owned() };
    assert_eq!(after_call(&approval.view(), 1, Ok(answer), 0), StepOutcome::Rest(Duration::from_hours(1)));
    let back = story(&sagas["rolling-back-waits"]);
    let undo = back.status.steps[1].undo.clone().unwrap();
    assert_eq!((undo.waiting_for.as_deref(), undo.error), (Some("droplet 1 is locked"), None));
    let cannot_look = story(&sagas["running-cannot-look"]);
    let said = cannot_look.status.steps[0].waiting_for.clone().unwrap();
    assert!(said.contains("DigitalOcean failed (503)"), "{said}");
}

#[test]
fn the_cause_of_a_rollback_is_reported_at_the_end() {
    let mut back = story(&stored()["rolling-back-waits"]);
    back.write(StepEvent::CompleteUndo.of(1));
    back.write(StepEvent::CompleteUndo.of(0));
    back.write(Event::Finish { is_rollback_kind: false });
    let said = condition(&back.status, conditions::SUCCEEDED).unwrap();
    assert_eq!(said.message, "all steps are undone: step \"snapshot\" failed: there is no droplet 1");
}

#[test]
fn a_person_who_resolves_it_overrules_what_made_it_stuck_and_nothing_else() {
    let stored = stored();
    let cases = [
        ("stuck-cancelled", vec![StopReason::Cancelled]),
        ("stuck-deleted", vec![StopReason::Deleted]),
        ("stuck-too-late", vec![StopReason::TimedOut]),
        ("rollback-stuck-cancelled", vec![StopReason::Cancelled]),
        ("stuck-several-candidates", vec![]),
        ("stuck-undo-failed", vec![]),
    ];
    for (name, overruled) in cases {
        let mut story = story(&stored[name]);
        story.resolve("retry", Choice::Retry);
        assert_eq!(story.status.overruled, overruled, "{name}");
        assert!(story.status.phase.is_active() && story.status.phase != SagaPhase::Stuck, "{name}");
    }
    assert_eq!(story(&stored["running-overruled"]).status.overruled, [StopReason::Cancelled]);
}
