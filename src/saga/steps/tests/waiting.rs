//! The waits of steps, as they show them.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault};
use serde_json::json;

use super::{
    journey::Journey,
    world::{DROPLET, StepWorld},
};
use crate::saga::{
    step::{Failure, Progress},
    steps::named,
};

#[tokio::test]
async fn an_approval_says_how_to_give_it_and_is_not_polled() {
    let world = StepWorld::start().await;
    for (message, question) in
        [("Shall web-1 be deleted?", "Shall web-1 be deleted? "), ("Delete web-1", "Delete web-1. ")]
    {
        let parameters = json!({ "message": message });
        let journey = Journey::new(&world, named("Approval").unwrap(), &parameters);
        let why = format!(
            "{question}To approve, set your name from kubectl auth whoami: \
             kubectl annotate saga trial -n default arcadia.cloud/approve-it=NAME"
        );
        assert_eq!(journey.ask().await, Ok(Progress::NotYet { again: Duration::from_hours(7 * 24), why }));
    }
}

#[tokio::test]
async fn a_field_is_polled_until_it_has_the_value() {
    let world = StepWorld::start().await;
    let parameters =
        json!({ "kind": "Droplet", "id": DROPLET, "field": "tags", "equals": ["Web", "ready"], "poll_seconds": 5 });
    let mut journey = Journey::new(&world, named("WaitForField").unwrap(), &parameters);
    let not_yet = |is: &str| {
        let why = format!(r#"waiting until tags of Droplet 3164444 is ["Web","ready"]: {is}"#);
        Ok(Progress::NotYet { again: Duration::from_secs(5), why })
    };
    assert_eq!(journey.ask().await, not_yet(r#"it is ["Web","prod"]"#));

    let fault = Fault::new("/v2/droplets/*", Effect::Status { status: 503, retry_after: None, html: false });
    world.control.inject(fault).await.unwrap();
    let Ok(Progress::NotYet { why, .. }) = journey.ask().await else { panic!("it should wait") };
    assert!(why.contains("DigitalOcean failed (503)"), "{why}");
    world.control.clear_faults().await.unwrap();

    let omitted = Effect::OmitFields { fields: vec!["tags".to_owned()] };
    world.control.inject(Fault::new("/v2/droplets/*", omitted)).await.unwrap();
    assert_eq!(journey.ask().await, not_yet("tags: the token needs tag:read"));
    world.control.clear_faults().await.unwrap();

    world.control.change("droplets", DROPLET, json!({ "tags": ["ready", "web"] })).await.unwrap();
    journey.go().await.unwrap();
}

#[tokio::test]
async fn waiting_for_what_cannot_come_fails_and_names_what_is_near() {
    let world = StepWorld::start().await;
    let wait = async |id: &str, field: &str| {
        let parameters = json!({ "kind": "Droplet", "id": id, "field": field, "equals": 1 });
        Journey::new(&world, named("WaitForField").unwrap(), &parameters).ask().await
    };
    let permanent = |why: &str| Err(Failure::Permanent(why.to_owned()));
    assert_eq!(wait("1", "status").await, permanent("there is no Droplet 1"));
    let Err(Failure::Permanent(why)) = wait(DROPLET, "size_slg").await else { panic!("it should fail") };
    assert!(why.starts_with("Droplet 3164444: size_slg: no such field; did you mean size_slug"), "{why}");
}
