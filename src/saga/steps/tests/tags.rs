//! Tests of the steps for tags that the table cannot express.

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{
    journey::{go, refusal},
    world::{DROPLET, StepWorld},
};
use crate::saga::steps::named;

#[tokio::test]
async fn the_resource_of_a_tag_is_given_in_one_of_two_ways() {
    for step in ["TagResource", "UntagResource"] {
        let check = |parameters: Value| named(step).unwrap().check(&parameters);
        let nothing = check(json!({ "tag": "blue" })).unwrap_err();
        assert!(nothing.contains("`droplet_provider_id`, or"), "{nothing}");
        for half in [json!({ "tag": "blue", "resource_id": 7 }), json!({ "tag": "blue", "resource_type": "volume" })] {
            assert!(check(half).unwrap_err().contains("together"));
        }
        let kind = check(json!({ "tag": "blue", "resource_type": "vpc", "resource_id": 7 })).unwrap_err();
        assert!(kind.contains("volume_snapshot"), "{kind}");
    }
}

#[tokio::test]
async fn tags_that_the_token_may_not_see_are_not_taken_for_none() {
    let world = StepWorld::start().await;
    let without = Effect::OmitFields { fields: vec!["tags".to_owned()] };
    world.control.inject(Fault::new("*", without)).await.unwrap();
    for step in ["TagResource", "UntagResource"] {
        let why = refusal(&world, step, json!({ "tag": "web", "droplet_provider_id": DROPLET })).await;
        assert!(why.contains("`tag:read`"), "{why}");
    }
}

#[tokio::test]
async fn a_tag_is_used_as_it_was_spelled_first() {
    let world = StepWorld::start().await;
    world.control.put("volumes", json!({ "id": "9b1b1c62", "tags": ["PROD-eu"] })).await.unwrap();
    go(&world, "TagResource", json!({ "tag": "prod-EU", "droplet_provider_id": DROPLET })).await.unwrap();
    assert_eq!(world.droplet(DROPLET).await["tags"], json!(["web", "prod", "PROD-eu"]));
    let requests = world.control.requests().await.unwrap();
    assert_eq!(requests.count("GET /v2/tags"), 0, "an account has many");
}

#[tokio::test]
async fn a_tag_is_searched_in_the_list_if_the_cloud_does_not_return_its_spelling() {
    let world = StepWorld::start().await;
    world.control.put("volumes", json!({ "id": "9b1b1c62", "tags": ["PROD-eu"] })).await.unwrap();
    let refused = Effect::Status { status: 422, retry_after: None, html: false };
    world.control.inject(Fault::new("/v2/tags", refused).method("POST")).await.unwrap();
    go(&world, "TagResource", json!({ "tag": "prod-EU", "droplet_provider_id": DROPLET })).await.unwrap();
    assert_eq!(world.droplet(DROPLET).await["tags"], json!(["web", "prod", "PROD-eu"]));
    let failure = go(&world, "TagResource", json!({ "tag": "new", "droplet_provider_id": DROPLET })).await.unwrap_err();
    assert!(failure.to_string().contains("refused the call (422"), "{failure}");
}

#[test]
fn the_steps_are_described_and_not_the_form_of_their_parameters() {
    for (step, says) in [("TagResource", "Tags a resource"), ("UntagResource", "Removes a tag")] {
        let schema = named(step).unwrap().parameters();
        assert!(schema["description"].as_str().unwrap().starts_with(says), "{schema}");
    }
}
