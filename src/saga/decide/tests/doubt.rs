//! A call whose response was lost: its effect is looked up soon and often, and the call is not repeated too early.

use super::*;

fn started() -> Story {
    let snapshot = json!({"name": "snapshot", "step": "CreateDropletSnapshot", "with": {"droplet_provider_id": "1"}});
    let mut story = Story::started(&json!([snapshot]));
    story.begin(0);
    story
}

/// The times of the lookups while nothing is found, in seconds after the call.
fn looks(story: &mut Story) -> Vec<i64> {
    let called = story.now;
    let mut looks = Vec::new();
    loop {
        assert_eq!(story.next(), Command::LookUp(0));
        looks.push(story.now.duration_since(called).as_secs());
        match after_lookup(&story.view(), 0, Ok(Lookup::Nothing)) {
            StepOutcome::Rest(wait) => {
                story.call_state = CallState::InDoubt(story.now + wait);
                assert!(matches!(story.next(), Command::Rest(Some(_))), "{:?}", story.next());
                story.pass(wait);
            }
            StepOutcome::Publish(event, wait) => {
                story.write(event);
                story.call_state = CallState::InDoubt(story.now + wait);
                story.pass(wait);
            }
            StepOutcome::Intend(Event::Step { event: StepEvent::Renew { .. }, .. }) => return looks,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_effect_of_a_lost_call_is_looked_up_at_growing_intervals_until_it_is_repeated() {
    let mut story = started();
    let lost = after_call(&story.view(), 0, Err(Failure::Doubt("no answer".to_owned())), 0);
    let StepOutcome::Publish(retry, first) = lost else { panic!("{lost:?}") };
    assert_eq!(first, Duration::from_secs(1));
    story.write(retry);
    story.call_state = CallState::InDoubt(story.now + first);
    assert_eq!(story.next(), Command::Rest(Some(first)));
    let called = story.now;
    story.pass(first);
    let looks = looks(&mut story);
    let since_call: Vec<_> = looks.iter().map(|look| look + 1).collect();
    assert_eq!(since_call, [1, 2, 4, 8, 16, 26, 36, 46, 56, 61], "in seconds after the call");
    assert!(story.now.duration_since(called) > SignedDuration::try_from(SETTLE).unwrap());
}

#[test]
fn a_new_process_looks_the_step_up_at_once_and_shows_the_wait() {
    let mut story = started();
    assert_eq!(story.next(), Command::LookUp(0));
    let looks = looks(&mut story);
    assert_eq!(looks[..5], [0, 1, 2, 4, 8]);
    let said = story.status.steps[0].waiting_for.as_deref();
    assert_eq!(said, Some("the response to its call is lost; the call is repeated if its effect does not appear"));
}

#[test]
fn a_call_of_a_leader_whose_clock_was_ahead_is_not_looked_up_every_second() {
    let mut story = started();
    story.now -= Duration::from_mins(1);
    let looks = looks(&mut story);
    assert!(looks.len() <= 20, "{looks:?}");
}

#[test]
fn what_is_found_is_taken_at_once() {
    let mut story = started();
    let StepOutcome::Publish(retry, first) =
        after_call(&story.view(), 0, Err(Failure::Doubt("no answer".to_owned())), 0)
    else {
        panic!()
    };
    story.write(retry);
    story.pass(first);
    let found = after_lookup(&story.view(), 0, Ok(Lookup::One(Progress::Done(Values::new()))));
    assert_eq!(found, StepOutcome::Note(StepEvent::Complete { output: Values::new() }.of(0)));
}

#[test]
fn a_step_that_converges_is_repeated_after_its_own_pause() {
    let retry = json!({"minSeconds": 20});
    let mut story = Story::started(&json!([{"name": "call", "step": "HttpRequest", "retry": retry,
                                          "with": {"url": "https://example.com"}}]));
    story.begin(0);
    let StepOutcome::Publish(event, first) = after_call(&story.view(), 0, Err(Failure::Doubt("500".to_owned())), 0)
    else {
        panic!()
    };
    story.write(event);
    story.pass(first);
    let look = |story: &Story| after_lookup(&story.view(), 0, Ok(Lookup::Converges));
    assert_eq!(look(&story), StepOutcome::Rest(Duration::from_secs(19)));
    story.pass(Duration::from_secs(19));
    assert_eq!(look(&story), StepOutcome::Intend(StepEvent::Renew { counts: true }.of(0)));
}

#[test]
fn undoing_looks_up_the_effect_of_a_lost_call_at_growing_intervals() {
    let mut story = started();
    story.write(Event::RollBack { why: Why { reason: ConditionReason::Cancelled, message: "cancelled".to_owned() } });
    let called = story.now;
    let mut looks = Vec::new();
    loop {
        story.write(StepEvent::Undo { counts: looks.is_empty() }.of(0));
        looks.push(story.now.duration_since(called).as_secs());
        match after_undo(&story.view(), 0, Ok(Undo::NothingThere), 0) {
            StepOutcome::Idle { until, why } => {
                assert_eq!(why, "the response to its call is lost; its effect is undone if it appears");
                story.now = until;
            }
            StepOutcome::Note(Event::Step { event: StepEvent::CompleteUndo, .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(looks, [0, 1, 2, 4, 8, 16, 32, 61]);
}
