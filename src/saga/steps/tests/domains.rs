//! Tests of the steps on domain records that the table cannot express.

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{journey::journey, world::StepWorld};
use crate::saga::{step::Failure, steps::named};

const RECORDS: &str = "domains/example.com/records";

#[tokio::test]
async fn a_record_created_by_others_stays_after_the_step_was_refused() {
    let world = StepWorld::start().await;
    world.control.put("domains", json!({ "name": "example.com" })).await.unwrap();
    let refused = Effect::Status { status: 422, retry_after: None, html: false };
    world.control.inject(Fault::new("/v2/domains/example.com/records", refused).method("POST")).await.unwrap();
    let record = json!({ "type": "CNAME", "name": "www", "data": "a.example.org" });
    let parameters = json!({ "domain": "example.com", "type": "CNAME", "name": "www", "data": "a.example.org" });
    let mut create = journey(&world, "CreateDomainRecord", &parameters);
    create.begin().await.unwrap();
    let theirs = world.control.put(RECORDS, record).await.unwrap()["id"].to_string();
    assert!(matches!(create.call_on().await, Err(Failure::Permanent(_))));
    assert_eq!(create.undo().await, Ok(()));
    assert!(world.control.get(RECORDS, &theirs).await.unwrap().is_some());
}

#[test]
fn the_decided_value_of_a_record_is_that_of_one_field() {
    let check = |more: Value| {
        let mut parameters = json!({ "domain": "example.com", "record_id": 7, "live": "0123abcd" });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        named("UpdateDomainRecord").unwrap().check(&parameters)
    };
    assert_eq!(check(json!({ "ttl": 60 })), Ok(None));
    assert!(check(json!({ "ttl": 60, "data": "192.0.2.1" })).unwrap_err().contains("exactly one field"));
}

#[test]
fn a_record_that_lacks_what_its_type_needs_is_refused_before_anything_is_done() {
    let check = |kind: &str, more: Value| {
        let mut parameters = json!({ "domain": "example.com", "type": kind, "name": "@", "data": "a.example.org" });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        named("CreateDomainRecord").unwrap().check(&parameters)
    };
    for (kind, more, says) in [
        ("MX", json!({}), "`priority`"),
        ("SRV", json!({ "priority": 1 }), "`port` and `weight`"),
        ("CAA", json!({ "flags": 0 }), "`tag`"),
        ("SOA", json!({}), "SOA"),
        ("a", json!({}), "`A`"),
        ("CAA", json!({ "flags": 0, "tag": "issues" }), "`issuewild`"),
    ] {
        let why = check(kind, more).unwrap_err();
        assert!(why.contains(says), "{why}");
    }
    for (kind, more) in [
        ("A", json!({})),
        ("MX", json!({ "priority": 0 })),
        ("SRV", json!({ "priority": 0, "port": 443, "weight": 1 })),
        ("CAA", json!({ "flags": 0, "tag": "issuewild" })),
    ] {
        assert_eq!(check(kind, more), Ok(None), "{kind}");
    }
}
