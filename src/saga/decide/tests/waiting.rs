//! A waiting saga names its wait; a retrying saga names the error and the time of the next attempt.

use super::*;
use crate::{api::conditions, saga::state::condition};

fn said(story: &Story) -> (String, String) {
    let said = |kind| condition(&story.status, kind).map(|it| it.message.clone()).unwrap_or_default();
    (said(conditions::SUCCEEDED), said(conditions::RECONCILING))
}

/// The same text twice.
fn both(text: &str) -> (String, String) {
    (text.to_owned(), text.to_owned())
}

fn droplet() -> Story {
    let with = json!({"name": "web-1", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64"});
    let mut story = Story::started(&json!([{"name": "web", "step": "CreateDroplet", "with": with}]));
    story.begin(0);
    story
}

#[test]
fn a_droplet_without_addresses_is_waited_for_in_words_and_with_one_write() {
    let mut story = droplet();
    let why = "droplet 1 has not got all of its addresses";
    let look = |story: &Story| {
        let progress = Progress::NotYet { again: Duration::from_secs(2), why: why.to_owned() };
        after_lookup(&story.view(), 0, Ok(Lookup::One(progress)))
    };
    assert_eq!(look(&story), StepOutcome::Rest(Duration::from_secs(2)), "most are over in a moment");
    story.pass(Duration::from_secs(6));
    let StepOutcome::Publish(news, _) = look(&story) else { panic!("{:?}", look(&story)) };
    story.write(news);
    assert_eq!(story.status.steps[0].waiting_for.as_deref(), Some(why));
    assert_eq!(said(&story), both(&format!("step \"web\": {why}")));
    for _ in 0..100 {
        story.pass(Duration::from_secs(2));
        assert_eq!(look(&story), StepOutcome::Rest(Duration::from_secs(2)), "what is said is not written again");
    }
    story.write(StepEvent::Complete { output: Values::new() }.of(0));
    assert_eq!((said(&story), &story.status.steps[0].waiting_for), (both(""), &None));
}

#[test]
fn an_action_of_the_cloud_is_named_with_the_write_that_notes_it() {
    let mut story = droplet();
    story.write(
        StepEvent::Await { action: ActionId::new(36_804_636).unwrap(), ids: vec!["droplets/1".to_owned()] }.of(0),
    );
    assert_eq!(said(&story), both("step \"web\": waiting for cloud action 36804636 (droplets/1)"));
}

#[test]
fn an_attempt_that_failed_is_counted_with_the_time_of_the_next_and_why() {
    let mut story = droplet();
    for _ in 0..3 {
        story.write(StepEvent::Renew { counts: true }.of(0));
    }
    let after = after_call(&story.view(), 0, Err(Failure::Transient("DigitalOcean failed (503)".to_owned())), 0);
    let StepOutcome::Note(event) = after else { panic!("{after:?}") };
    story.write(event);
    assert_eq!(said(&story), both("step \"web\": attempt 4 of 5, next in 8 s: DigitalOcean failed (503)"));
    story.pass(Duration::from_secs(8));
    assert_eq!(story.next(), Command::Intend(StepEvent::Renew { counts: true }.of(0)));
    story.write(StepEvent::Renew { counts: true }.of(0));
    assert_eq!(said(&story), both(""), "the failure is over");
}

#[test]
fn a_call_without_a_response_says_when_it_is_repeated_at_the_latest() {
    let mut story = droplet();
    let StepOutcome::Publish(event, _) = after_call(&story.view(), 0, Err(Failure::Doubt("no answer".to_owned())), 0)
    else {
        panic!()
    };
    story.write(event);
    let wanted = "step \"web\": attempt 1 of 5, next in up to 62 s, after looking up its effect: no answer";
    assert_eq!(said(&story), both(wanted));
}

#[test]
fn undoing_says_the_same_beside_why_it_is_rolled_back() {
    let mut story = droplet();
    story.write(Event::RollBack { why: Why { reason: ConditionReason::Cancelled, message: "cancelled".to_owned() } });
    assert_eq!(said(&story), ("cancelled".to_owned(), String::new()));
    story.write(StepEvent::Undo { counts: true }.of(0));
    let after = after_undo(&story.view(), 0, Err(Failure::Transient("DigitalOcean failed (503)".to_owned())), 0);
    let StepOutcome::Note(event) = after else { panic!("{after:?}") };
    story.write(event);
    let now = "undoing step \"web\": attempt 1 of 10, next in 1 s: DigitalOcean failed (503)";
    assert_eq!(said(&story), (format!("cancelled; {now}"), now.to_owned()));
    story.write(StepEvent::Wait { why: "droplet 1 is locked".to_owned() }.of(0));
    let now = "undoing step \"web\": droplet 1 is locked";
    assert_eq!(said(&story), (format!("cancelled; {now}"), now.to_owned()));
    story.write(StepEvent::CompleteUndo.of(0));
    story.write(Event::Finish { is_rollback_kind: false });
    assert_eq!(said(&story).0, "all steps are undone: cancelled");
}
