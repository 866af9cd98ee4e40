//! A suspended saga: no step runs, no clock runs, and the conditions show the suspension in every phase.

use super::*;
use crate::{
    api::conditions,
    saga::{
        state::condition,
        step::{Identity, StepContext},
        steps::named,
    },
};

/// Suspends the saga and lets this much time pass.
fn suspend(story: &mut Story, time: Duration) {
    story.spec.suspend = true;
    assert_eq!(story.next(), Command::Note(Event::Suspend));
    story.write(Event::Suspend);
    story.pass(time);
    assert_eq!(story.next(), Command::Rest(None), "nothing is done while it is suspended");
    assert_eq!(late_in(&story.view()), None, "no timeout wakes it");
}

fn resume(story: &mut Story) {
    story.spec.suspend = false;
    assert_eq!(story.next(), Command::Note(Event::Unsuspend));
    story.write(Event::Unsuspend);
}

fn says(story: &Story) -> String {
    let said =
        |kind| condition(&story.status, kind).map(|it| format!("{} {}", it.status, it.reason)).unwrap_or_default();
    format!("{}; {}", said(conditions::SUCCEEDED), said(conditions::STALLED))
}

fn tag() -> Value {
    json!({"name": "label", "step": "TagResource", "with": {"tag": "a", "droplet_provider_id": "1"}})
}

/// A saga that has set a tag and waits up to 6 s for an approval.
fn asking() -> Story {
    let mut story = Story::started(&json!([tag(), {"name": "ask", "step": "Approval", "timeoutSeconds": 6}]));
    story.complete(0);
    story.begin(1);
    story
}

#[test]
fn an_approval_does_not_time_out_while_the_saga_is_suspended() {
    let mut story = asking();
    story.pass(Duration::from_secs(3));
    suspend(&mut story, Duration::from_hours(1));
    resume(&mut story);
    assert_eq!(story.next(), Command::Poll(1));
    assert_eq!(story.status.steps[1].suspended_seconds, 3600);
    story.pass(Duration::from_secs(2));
    assert_eq!(story.next(), Command::Poll(1), "5 of its 6 s are over");
    story.pass(Duration::from_secs(3));
    assert!(
        matches!(story.next(), Command::Note(Event::Step { index: 1, event: StepEvent::Fail { .. } })),
        "{:?}",
        story.next()
    );
}

#[test]
fn every_pause_counts_and_none_counts_twice() {
    let mut story = asking();
    for _ in 0..5 {
        suspend(&mut story, Duration::from_mins(1));
        resume(&mut story);
        story.pass(Duration::from_secs(1));
    }
    assert_eq!((story.status.suspended_seconds, story.status.steps[1].suspended_seconds), (300, 300));
    assert_eq!(story.next(), Command::Poll(1), "5 of its 6 s are over");
}

#[test]
fn the_deadline_of_the_whole_saga_is_paused() {
    let mut story = asking();
    story.spec.timeout_seconds = Some(5);
    story.pass(Duration::from_secs(3));
    suspend(&mut story, Duration::from_hours(1));
    story.spec.suspend = false;
    story.write(Event::Unsuspend);
    assert_eq!(story.next(), Command::Poll(1));
    story.pass(Duration::from_secs(4));
    assert!(matches!(story.next(), Command::Note(Event::RollBack { .. })), "{:?}", story.next());
}

#[tokio::test]
async fn a_step_that_sleeps_does_not_sleep_less_for_a_pause() {
    let mut story = Story::started(&json!([{"name": "nap", "step": "Sleep", "with": {"seconds": 10}}]));
    story.begin(0);
    story.pass(Duration::from_secs(4));
    suspend(&mut story, Duration::from_mins(1));
    resume(&mut story);
    let kube = kube::Client::new(
        tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no cluster"))
        }),
        "default",
    );
    let _ = rustls::crypto::ring::default_provider().install_default();
    let token = crate::digitalocean::Token::new("a-token").unwrap();
    let config = crate::digitalocean::Config::new("http://127.0.0.1:1", token).unwrap();
    let cloud = crate::digitalocean::Client::new(config).unwrap();
    let context = StepContext {
        cloud: &cloud,
        kube: &kube,
        http: &reqwest::Client::new(),
        namespace: "default",
        saga: "nap",
        identity: Identity::new("uid", 0, false),
        entry: &story.status.steps[0],
        approved_by: None,
        settle: SETTLE,
        now: story.now,
    };
    let answer = named("Sleep").unwrap().run(&context, &json!({"seconds": 10})).await.unwrap();
    let Progress::NotYet { again, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(again.as_secs(), 7, "6 s are left, and the one by which times are cut");
}

#[test]
fn nothing_is_undone_while_it_is_suspended_and_undoing_has_its_whole_time_after() {
    let mut story = asking();
    story.spec.cancel_requested = true;
    suspend(&mut story, Duration::from_hours(1));
    resume(&mut story);
    let Command::Note(back @ Event::RollBack { .. }) = story.next() else { panic!("{:?}", story.next()) };
    story.write(back);
    suspend(&mut story, Duration::from_hours(1));
    resume(&mut story);
    story.write(StepEvent::CompleteUndo.of(1));
    story.write(StepEvent::Undo { counts: true }.of(0));
    story.write(StepEvent::AwaitUndo { action: ActionId::new(7).unwrap() }.of(0));
    story.pass(Duration::from_secs(100));
    let before = late_in(&story.view()).unwrap();
    suspend(&mut story, Duration::from_hours(24));
    resume(&mut story);
    assert_eq!(late_in(&story.view()).unwrap(), before);
    assert_eq!(says(&story), "Unknown Cancelled; ");
    let said = &condition(&story.status, conditions::SUCCEEDED).unwrap().message;
    assert_eq!(said, "cancelled; undoing step \"label\": waiting for cloud action 7");
}

#[test]
fn the_conditions_say_suspended_in_every_phase() {
    let pending = Story::ordered(json!({"kind": "test", "steps": [tag()]}));
    let between = Story::started(&json!([tag()]));
    let running = asking();
    let mut back = asking();
    back.write(Event::RollBack { why: Why { reason: ConditionReason::Cancelled, message: "cancelled".to_owned() } });
    for mut story in [pending, between, running, back] {
        let before = says(&story);
        suspend(&mut story, Duration::from_secs(1));
        assert_eq!(says(&story), "Unknown Suspended; ", "{before}");
        resume(&mut story);
        assert!(!says(&story).contains("Suspended"), "{}", says(&story));
    }
    let mut stuck = Story::started(&deletes(&["a", "b"]));
    stuck.complete(0);
    stuck.spec.cancel_requested = true;
    stuck.stick();
    let before = stuck.status.conditions.clone();
    suspend(&mut stuck, Duration::from_secs(1));
    assert_eq!(says(&stuck), "Unknown Suspended; True Irreversible", "why a person has to intervention stays");
    resume(&mut stuck);
    assert_eq!(stuck.status.conditions, before);
    suspend(&mut stuck, Duration::from_secs(1));
    stuck.resolve("retry", Choice::Retry);
    assert_eq!(says(&stuck), "Unknown Suspended; ", "it is resolved, and still suspended");
    assert_eq!(stuck.next(), Command::Rest(None));
}

#[test]
fn a_call_that_the_journal_announces_is_made_before_the_saga_pauses() {
    let mut story = Story::started(&json!([tag()]));
    story.begin(0);
    story.spec.suspend = true;
    story.call_state = CallState::Intent;
    assert_eq!(story.next(), Command::Call(0));
    story.call_state = CallState::Unknown;
    assert_eq!(story.next(), Command::Note(Event::Suspend));
}

#[test]
fn deleting_a_suspended_saga_undoes_it() {
    let mut story = asking();
    suspend(&mut story, Duration::from_secs(1));
    story.is_deleting = true;
    assert_eq!(story.next(), Command::Note(Event::Unsuspend), "or the deletion would wait for a person");
    story.write(Event::Unsuspend);
    assert!(matches!(story.next(), Command::Note(Event::RollBack { .. })), "{:?}", story.next());
}
