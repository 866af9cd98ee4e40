//! A revert changes one field: each write of the kinds' rules, done and undone in the simulated account.

use std::{sync::Mutex, time::Duration};

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{
    each,
    journey::Journey,
    world::{ACTION, DROPLET, StepWorld, difference},
};
use crate::{
    digitalocean::{
        FieldSet, Kind, Live, ResourceKey,
        revert::{AccountFacts, Allow, Revert, RevertProposal, plan, revertible},
    },
    saga::{
        step::{Failure, Progress},
        steps::named,
    },
};
use cases::{Case, OTHER, UUID, balancer, case, cases, firewall, furniture};

/// The fields, and what is live and desired.
#[path = "../../../../tests/support/reverts.rs"]
mod cases;

/// Adds the other resources of the account.
async fn furnish(world: &StepWorld) {
    for (collection, document) in furniture() {
        world.control.put(collection, document).await.unwrap();
    }
}

/// Stores the resource and its record, and plans the revert.
async fn set_up(world: &StepWorld, case: &Case) -> Result<RevertProposal, String> {
    furnish(world).await;
    cases::store(&world.control, case).await;
    world.record("web-1", case.kind, case.id, &json!({ case.field: case.desired }));
    let live = live(world, case).await;
    let revert = Revert { field: case.field, desired: &case.desired, document: &live, facts: &AccountFacts::default() };
    plan(&revert, "web-1", Allow::Disruption).map_err(|error| error.to_string())
}

/// The parameters of the first step.
async fn parameters(world: &StepWorld, case: &Case) -> Value {
    Value::Object(set_up(world, case).await.unwrap().steps[0].with.clone())
}

async fn live(world: &StepWorld, case: &Case) -> Live {
    let kind = Kind::named(case.kind).unwrap();
    let key = ResourceKey::new(kind, case.id);
    world.cloud.live(&key, FieldSet::of_values(kind, [(case.field, &case.desired)])).await.unwrap().unwrap()
}

#[test]
fn every_field_that_can_be_reverted_has_a_case() {
    let cases = cases();
    let has = |kind: &str, field: &str| {
        cases.iter().any(|case| case.kind == kind && case.field.split('.').next() == Some(field))
    };
    let missing: Vec<_> = Kind::all()
        .flat_map(|kind| revertible(kind).into_iter().map(move |field| (kind.name(), field)))
        .filter(|(kind, field)| !has(kind, field))
        .collect();
    assert_eq!(missing, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_changes_its_field_and_no_other() {
    let failures = Mutex::new(Vec::new());
    each(cases(), async |case| {
        if let Err(why) = revert_and_undo(&case).await {
            failures.lock().unwrap().push(format!("{}: {why}", case.name()));
        }
    })
    .await;
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A list without the ids of its items: a restored rule has a new id.
fn unnamed(value: &Value) -> Value {
    let mut value = value.clone();
    for item in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        item.retain(|key, _| !["uuid", "created_at", "nodes"].contains(&key.as_str()));
    }
    value
}

/// The writes that do not come right after a read of the document, each with the call before it.
async fn late_writes(world: &StepWorld) -> Vec<String> {
    let calls: Vec<_> = world.control.requests().await.unwrap().latest.into();
    let is_late = |calls: &&[String]| {
        let written = calls[1].strip_prefix("PUT ").or_else(|| calls[1].strip_prefix("PATCH "));
        let read = calls[0].strip_prefix("GET ");
        // A snapshot of a droplet is written as an image.
        let id = |path: &str| path.rsplit('/').next().map(str::to_owned);
        written.is_some_and(|written| read.is_none_or(|read| !written.starts_with(read) && id(written) != id(read)))
    };
    calls.windows(2).filter(is_late).map(|calls| calls.join(", ")).collect()
}

/// Runs the steps of a plan, verifies the changes, and undoes them.
async fn revert_and_undo(case: &Case) -> Result<(), String> {
    let _permit = super::WORLDS.acquire().await.unwrap();
    let world = StepWorld::start().await;
    let plan = set_up(&world, case).await?;
    if plan.calls.is_empty() || plan.calls.iter().any(|call| call.changes.is_empty()) {
        return Err(format!("the plan lacks a part: {:?}", plan.calls));
    }
    let before = world.inventory().await;
    let mut journeys = Vec::new();
    for step in &plan.steps {
        let (kind, with) = (named(step.step).unwrap(), Value::Object(step.with.clone()));
        let schema = jsonschema::validator_for(&kind.parameters()).unwrap();
        if let Some(error) = schema.iter_errors(&with).next() {
            return Err(format!("{}: {error}", step.step));
        }
        let is_one_way = kind.check(&with).map_err(|error| format!("{}: {error}", step.step))?.is_some();
        if is_one_way != step.irreversible {
            return Err(format!("{}: irreversible is {}", step.step, step.irreversible));
        }
        let mut journey = Journey::new(&world, kind, &with);
        journey.go().await.map_err(|error| format!("{}: {error}", step.step))?;
        journeys.push((step, journey));
    }
    if let Some(late) = late_writes(&world).await.first() {
        return Err(format!("another call stands between the document and the write: {late}"));
    }
    if live(&world, case).await.restored(case.field, &case.desired) != Ok(None) {
        return Err("it has not got the recorded value".to_owned());
    }
    let after = world.inventory().await;
    let root = case.field.split('.').next().unwrap();
    let ignored = ["updated_at", "pending_changes"];
    for (field, was) in before[case.collection][case.key()].as_object().unwrap() {
        let is = &after[case.collection][case.key()][field];
        if field != root && !case.follows().contains(&field.as_str()) && !ignored.contains(&field.as_str()) && is != was
        {
            return Err(format!("{field} was {was} and is {is}"));
        }
    }
    let changes = difference(&before, &after);
    let others = case.others();
    for (collection, changes) in changes.as_object().unwrap() {
        let is_own = *collection == case.collection || ["tags", "actions"].contains(&collection.as_str());
        let is_whole = others.iter().any(|other| other.collection == *collection && other.fields.is_empty());
        if is_own || is_whole || collection.ends_with("/resources") {
            continue;
        }
        let is_known = |(id, fields): (&String, &Value)| {
            let of_it = others.iter().find(|other| other.collection == *collection && other.id == *id);
            let mut names = fields.as_object().unwrap().keys();
            of_it.is_some_and(|other| names.all(|field| other.fields.contains(&field.as_str())))
        };
        let is_changed = changes["gone"] == json!([]) && changes["added"] == json!([]);
        if !is_changed || !changes["changed"].as_object().unwrap().iter().all(is_known) {
            return Err(format!("it changed {collection}: {changes}"));
        }
    }
    let is_one_way = plan.steps.iter().any(|step| step.irreversible);
    world.control.reset_requests().await.unwrap();
    for (step, mut journey) in journeys.into_iter().rev() {
        match (journey.undo().await, step.irreversible) {
            (Ok(()), false) | (Err(Failure::Permanent(_)), true) => {}
            (undone, _) => return Err(format!("undoing {}: {undone:?}", step.step)),
        }
    }
    if let Some(late) = late_writes(&world).await.first() {
        return Err(format!("undone with another call between the document and the write: {late}"));
    }
    if !is_one_way {
        let after = world.inventory().await;
        for (field, was) in before[case.collection][case.key()].as_object().unwrap() {
            let is = &after[case.collection][case.key()][field];
            if !ignored.contains(&field.as_str()) && unnamed(is) != unnamed(was) {
                return Err(format!("undone, {field} was {was} and is {is}"));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_field_that_others_changed_since_is_not_undone() {
    let world = StepWorld::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.go().await.unwrap();
    world.control.change("firewalls", UUID, json!({ "name": "theirs" })).await.unwrap();
    let Err(Failure::Permanent(why)) = journey.undo().await else { panic!("it should be refused") };
    assert!(why.contains("neither the earlier value nor the one that this step wrote"), "{why}");
    assert_eq!(world.control.get("firewalls", UUID).await.unwrap().unwrap()["name"], "theirs");
}

#[tokio::test]
async fn undoing_removes_the_keys_that_a_step_added_to_a_map() {
    let config = "cluster_autoscaler_configuration";
    let mut cluster = cases::cluster();
    cluster[config] = json!({ "scale_down_unneeded_time": "10m" });
    let mut balancer = balancer();
    balancer["health_check"] = json!({
        "protocol": "tcp", "port": 80, "check_interval_seconds": 10, "response_timeout_seconds": 5,
        "healthy_threshold": 3, "unhealthy_threshold": 5,
    });
    for case in [
        case("KubernetesCluster", "kubernetes/clusters", UUID, cluster, config, json!({ "expanders": ["priority"] })),
        case("LoadBalancer", "load_balancers", UUID, balancer, "health_check", json!({ "path": "/ready" })),
    ] {
        let was = case.document[case.field].clone();
        let world = StepWorld::start().await;
        let parameters = parameters(&world, &case).await;
        let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
        journey.go().await.unwrap();
        assert_ne!(live(&world, &case).await.value(case.field), was);
        journey.undo().await.unwrap();
        assert_eq!(live(&world, &case).await.value(case.field), was);
    }
}

#[tokio::test]
async fn another_field_that_changes_meanwhile_stays() {
    let world = StepWorld::start().await;
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    world.control.change("load_balancers", UUID, json!({ "http_idle_timeout_seconds": 90 })).await.unwrap();
    journey.call_on().await.unwrap();
    world.control.change("load_balancers", UUID, json!({ "enable_proxy_protocol": true })).await.unwrap();
    journey.undo().await.unwrap();
    let balancer = world.control.get("load_balancers", UUID).await.unwrap().unwrap();
    assert_eq!((&balancer["name"], &balancer["http_idle_timeout_seconds"]), (&json!("web"), &json!(90)));
    assert_eq!(balancer["enable_proxy_protocol"], true);
}

#[tokio::test]
async fn a_change_between_the_read_and_the_write_of_a_whole_document_is_overwritten() {
    // DigitalOcean has no conditional writes: docs/revert.md says so.
    let world = StepWorld::start().await;
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    let theirs = json!({ "http_idle_timeout_seconds": 90 });
    world.control.change_before_next_put("load_balancers", UUID, theirs).await.unwrap();
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.go().await.unwrap();
    let balancer = world.control.get("load_balancers", UUID).await.unwrap().unwrap();
    assert_eq!((&balancer["name"], &balancer["http_idle_timeout_seconds"]), (&json!("shop"), &json!(60)));
}

#[tokio::test]
async fn a_value_that_changes_right_after_the_write_is_not_verified() {
    // As a tool does that had read the document before.
    let world = StepWorld::start().await;
    let check = json!({ "id": UUID, "name": "a", "type": "https", "target": "https://a.example.com", "enabled": true });
    let case = case("UptimeCheck", "uptime/checks", UUID, check, "name", json!("b"));
    let plan = set_up(&world, &case).await.unwrap();
    world.control.change_after_next_put("uptime/checks", UUID, json!({ "name": "a" })).await.unwrap();
    let [update, verify] = [0, 1].map(|step| &plan.steps[step]);
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &Value::Object(update.with.clone()));
    journey.go().await.unwrap();
    let journey = Journey::new(&world, named(verify.step).unwrap(), &Value::Object(verify.with.clone()));
    let Ok(Progress::NotYet { why, .. }) = journey.ask().await else { panic!("it should wait") };
    assert!(why.contains("waiting until name of UptimeCheck"), "{why}");
}

#[tokio::test]
async fn a_change_that_shows_late_is_made_once() {
    let world = StepWorld::start().await;
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.control.change_after_next_put("load_balancers", UUID, json!({ "name": "web" })).await.unwrap();
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    let shows = async {
        while world.changes().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.control.change("load_balancers", UUID, json!({ "name": "shop" })).await.unwrap();
    };
    let (done, ()) = tokio::join!(journey.go(), shows);
    assert_eq!((done.map(drop), world.changes().await), (Ok(()), 1));
}

#[tokio::test]
async fn a_change_that_the_cloud_could_not_complete_is_repeated_as_another_attempt() {
    let fails = || Fault::new("/v2/load_balancers/*", Effect::FailAction).method("PUT").times(1);
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let world = StepWorld::start().await;
    let parameters = self::parameters(&world, &case).await;
    world.control.inject(fails()).await.unwrap();
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    assert!(matches!(journey.call_once().await, Ok(Progress::NotYet { .. })));
    tokio::time::sleep(ACTION * 2).await;
    let Err(Failure::Doubt(why)) = journey.call_once().await else { panic!("it should count") };
    assert!(why.contains("status is errored; the change was repeated"), "{why}");
    assert_eq!((journey.call_on().await.map(drop), world.changes().await), (Ok(()), 2));
    // A failure from before the step is none of the step's.
    let world = StepWorld::start().await;
    let parameters = self::parameters(&world, &case).await;
    world.control.change("load_balancers", UUID, json!({ "status": "errored" })).await.unwrap();
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    assert!(matches!(journey.call_once().await, Ok(Progress::NotYet { .. })));
    assert_eq!((journey.call_on().await.map(drop), world.changes().await), (Ok(()), 1));
}

#[tokio::test]
async fn a_change_without_effect_is_repeated_as_another_attempt() {
    let world = StepWorld::start().await;
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let parameters = self::parameters(&world, &case).await;
    let unchanged = json!({ "name": "web", "status": "active" });
    let ignores = || world.control.change_after_next_put("load_balancers", UUID, unchanged.clone());
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    ignores().await.unwrap();
    assert!(matches!(journey.call_once().await, Ok(Progress::NotYet { .. })));
    tokio::time::sleep(ACTION * 2).await;
    journey.started_before(Duration::from_secs(30));
    ignores().await.unwrap();
    let Err(Failure::Doubt(why)) = journey.call_once().await else { panic!("it should count") };
    assert!(why.contains("sent again, because the resource did not show it"), "{why}");
    assert_eq!(world.changes().await, 2);
}

#[tokio::test]
async fn an_outage_of_the_api_costs_a_started_step_no_attempt() {
    let outage = || Fault::new("/v2/*", Effect::Status { status: 503, retry_after: None, html: false });
    for (case, step) in [
        (case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop")), "UpdateResource"),
        (cluster(json!([{ "name": "web", "count": 5 }])), "UpdateNodePool"),
    ] {
        let world = StepWorld::start().await;
        let parameters = parameters(&world, &case).await;
        let mut journey = Journey::new(&world, named(step).unwrap(), &parameters);
        journey.begin().await.unwrap();
        world.control.inject(outage()).await.unwrap();
        for _ in 0..2 {
            assert!(matches!(journey.call_once().await, Err(Failure::Waiting(_))), "{step}");
        }
        // No timeout limits a step that has not started.
        let unstarted = Journey::new(&world, named(step).unwrap(), &parameters).begin().await;
        assert!(matches!(unstarted, Err(Failure::Doubt(_))), "{step}: {unstarted:?}");
        world.control.clear_faults().await.unwrap();
        journey.call_on().await.unwrap();
    }
}

#[tokio::test]
async fn a_verification_ends_where_the_api_cannot_be_read() {
    let world = StepWorld::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let verify = set_up(&world, &case).await.unwrap().steps.pop().unwrap();
    let mut journey = Journey::new(&world, named(verify.step).unwrap(), &Value::Object(verify.with));
    journey.begin().await.unwrap();
    let outage = Effect::Status { status: 503, retry_after: None, html: false };
    world.control.inject(Fault::new("/v2/firewalls/*", outage)).await.unwrap();
    assert!(matches!(journey.call_once().await, Ok(Progress::NotYet { .. })));
    journey.started_before(Duration::from_mins(5));
    assert!(matches!(journey.call_once().await, Ok(Progress::Done(_))), "the operator compares the field afterwards");
    world.control.clear_faults().await.unwrap();
    assert!(matches!(journey.call_once().await, Ok(Progress::NotYet { .. })), "the value is readable, and another one");
}

#[tokio::test]
async fn the_name_of_a_record_is_written_relative_to_its_domain() {
    let world = StepWorld::start().await;
    let record = json!({ "id": 7, "type": "A", "name": "www", "data": "192.0.2.1", "ttl": 1800 });
    let records = "domains/example.com/records";
    for (recorded, written) in [("shop.example.com", "shop"), ("Example.com.", "@"), ("blog", "blog")] {
        let case = case("DomainRecord", records, "example.com/7", record.clone(), "name", json!(recorded));
        let parameters = parameters(&world, &case).await;
        let mut journey = Journey::new(&world, named("UpdateDomainRecord").unwrap(), &parameters);
        journey.go().await.unwrap();
        assert_eq!(world.control.get(records, "7").await.unwrap().unwrap()["name"], written, "{recorded}");
        journey.undo().await.unwrap();
        assert_eq!(world.control.get(records, "7").await.unwrap().unwrap()["name"], "www", "{recorded}");
    }
}

#[tokio::test]
async fn a_record_that_changed_since_is_not_written() {
    let world = StepWorld::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    world.record("web-1", "Firewall", UUID, &json!({ "name": "another" }));
    let Err(Failure::Permanent(why)) = journey.call_on().await else { panic!("it should be refused") };
    assert!(why.contains("was changed since the revert was decided"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_desired_value_that_changed_before_the_step_began_is_not_written() {
    let world = StepWorld::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.record("web-1", "Firewall", UUID, &json!({ "name": "another" }));
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("was changed since the revert was decided"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn an_irreversible_change_is_reported_although_its_value_is_not_wanted_any_more() {
    let target = |host: &str| json!(format!("https://probe:CANARY@{host}.example.com"));
    let check =
        |host: &str| json!({ "id": UUID, "name": "a", "type": "https", "target": target(host), "enabled": true });
    for is_gone in [false, true] {
        let world = StepWorld::start().await;
        let case = case("UptimeCheck", "uptime/checks", UUID, check("a"), "target", target("b"));
        let parameters = parameters(&world, &case).await;
        let forget = || {
            if is_gone {
                world.forget("web-1");
            } else {
                world.record("web-1", "UptimeCheck", UUID, &json!({ "target": target("c") }));
            }
        };
        // Nothing is changed yet: there is nothing to undo.
        let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
        journey.begin().await.unwrap();
        assert!(!journey.before().to_string().contains("CANARY"), "{}", journey.before());
        forget();
        assert!(matches!(journey.call_on().await, Err(Failure::Permanent(_))));
        journey.undo().await.unwrap();
        // The change is made.
        world.record("web-1", "UptimeCheck", UUID, &json!({ "target": target("b") }));
        let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
        journey.go().await.unwrap();
        forget();
        let Err(Failure::Permanent(why)) = journey.undo().await else { panic!("it cannot be undone") };
        assert!(why.contains("was changed and cannot be undone") && !why.contains("CANARY"), "{why}");
    }
}

#[tokio::test]
async fn the_last_step_ends_once_nothing_waits_for_the_value_any_more() {
    let world = StepWorld::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let plan = set_up(&world, &case).await.unwrap();
    let verify = plan.steps.last().unwrap();
    let mut journey = Journey::new(&world, named(verify.step).unwrap(), &Value::Object(verify.with.clone()));
    let Ok(Progress::NotYet { why, .. }) = journey.ask().await else { panic!("it should wait") };
    assert!(why.contains("waiting until name of Firewall"), "{why}");
    for desired in [json!({ "name": "another" }), json!({ "tags": ["web"] })] {
        world.record("web-1", "Firewall", UUID, &desired);
        assert!(matches!(journey.ask().await, Ok(Progress::Done(_))), "{desired}");
    }
    // The value is ignored, and a record of another resource is still an error.
    world.record("web-1", "Firewall", OTHER, &json!({ "name": "shop" }));
    assert!(matches!(journey.go().await, Err(Failure::Permanent(_))));
}

#[tokio::test]
async fn a_value_that_looks_like_a_credential_stays_out_of_the_saga() {
    let world = StepWorld::start().await;
    let target = |host: &str| format!("https://probe:CANARY@{host}.example.com");
    let check = json!({ "id": UUID, "name": "a", "type": "https", "target": target("a"), "enabled": true });
    let check = case("UptimeCheck", "uptime/checks", UUID, check, "target", json!(target("b")));
    let plan = set_up(&world, &check).await.unwrap();
    assert!(plan.steps[0].irreversible && !format!("{plan:?}").contains("CANARY"), "{plan:?}");
    let with = Value::Object(plan.steps[0].with.clone());
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &with);
    journey.go().await.unwrap();
    assert!(!journey.before().to_string().contains("CANARY"), "{}", journey.before());
    let is = world.control.get("uptime/checks", UUID).await.unwrap().unwrap();
    assert_eq!(is["target"], target("b"));
    // Without the permission, nothing is done.
    let mut unsaid = with;
    unsaid.as_object_mut().unwrap().remove("holds_credential");
    world.record("web-1", "UptimeCheck", UUID, &json!({ "target": target("c") }));
    unsaid.as_object_mut().unwrap().retain(|key, _| !["digest", "live"].contains(&key.as_str()));
    let why = refusal(&world, &unsaid).await;
    assert!(why.contains("holds_credential") && !why.contains("CANARY"), "{why}");
    // Steps that take the value from the saga are not planned.
    let droplet = case("Droplet", "droplets", DROPLET, json!({}), "name", json!(target("web")));
    let why = set_up(&world, &droplet).await.unwrap_err();
    assert!(why.contains("a saga does not store credentials") && !why.contains("CANARY"), "{why}");
}

#[tokio::test]
async fn ports_are_put_back_in_every_spelling_whichever_the_api_refuses() {
    let rule = |ports: &Value| json!({ "protocol": "tcp", "ports": ports, "sources": { "addresses": ["0.0.0.0/0"] } });
    for refused in ["0", "all"] {
        let world = StepWorld::start().await;
        let spelling = Effect::RefusePorts { spelling: refused.to_owned() };
        world.control.inject(Fault::new("/v2/firewalls/*", spelling).method("PUT")).await.unwrap();
        for (recorded, shown) in [
            (json!("all"), "0"),
            (json!("0"), "0"),
            (json!(0), "0"),
            (json!("1-65535"), "0"),
            (json!("0-65535"), "0"),
            (Value::Null, "0"),
            (json!("443"), "443"),
            (json!(443), "443"),
            (json!("443-443"), "443"),
            (json!("8000 - 9000"), "8000-9000"),
        ] {
            // Another rule already covers all ports, in the spelling of responses.
            let mut document = firewall();
            document["inbound_rules"] = json!([rule(&json!("22"))]);
            let desired = json!([rule(&recorded)]);
            let case = case("Firewall", "firewalls", UUID, document, "inbound_rules", desired);
            let parameters = parameters(&world, &case).await;
            let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
            journey.go().await.unwrap_or_else(|error| panic!("{recorded}, {refused} refused: {error}"));
            let is = world.control.get("firewalls", UUID).await.unwrap().unwrap();
            assert_eq!(is["inbound_rules"][0]["ports"], shown, "{recorded}, {refused} refused");
            assert_eq!(is["outbound_rules"][0]["ports"], "0");
            assert_eq!(live(&world, &case).await.restored("inbound_rules", &case.desired), Ok(None), "{recorded}");
            journey.undo().await.unwrap_or_else(|error| panic!("undoing {recorded}, {refused} refused: {error}"));
            let is = world.control.get("firewalls", UUID).await.unwrap().unwrap();
            assert_eq!(is["inbound_rules"][0]["ports"], "22", "{recorded}, {refused} refused");
        }
    }
}

/// The permanent failure of `UpdateResource` with these parameters.
async fn refusal(world: &StepWorld, parameters: &Value) -> String {
    match Journey::new(world, named("UpdateResource").unwrap(), parameters).go().await {
        Err(Failure::Permanent(why)) => why,
        _ => panic!("it should be refused"),
    }
}

#[tokio::test]
async fn a_certificate_that_is_gone_is_named() {
    let world = StepWorld::start().await;
    let mut document = balancer();
    document["forwarding_rules"][0]["certificate_id"] = json!(OTHER);
    document["forwarding_rules"][0]["entry_protocol"] = json!("https");
    let case = case("LoadBalancer", "load_balancers", UUID, document, "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.control.delete("certificates", OTHER).await.unwrap();
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("certificates that do not exist any more") && why.contains(OTHER), "{why}");
}

#[tokio::test]
async fn a_load_balancer_of_a_cluster_belongs_to_it() {
    let world = StepWorld::start().await;
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.control.put("kubernetes/clusters", json!({ "id": OTHER, "name": "prod" })).await.unwrap();
    let tags = json!(["web", format!("k8s:{OTHER}")]);
    world.control.change("droplets", DROPLET, json!({ "tags": tags })).await.unwrap();
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("belongs to the Kubernetes cluster prod"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_record_of_another_resource_is_refused() {
    let world = StepWorld::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.record("web-1", "Firewall", OTHER, &json!({ "name": "shop" }));
    let why = refusal(&world, &parameters).await;
    assert!(why.contains(&format!("describes Firewall {OTHER}")), "{why}");
}

#[tokio::test]
async fn an_effect_that_is_not_allowed_is_refused_before_anything_is_done() {
    let world = StepWorld::start().await;
    let rules = json!([{ "protocol": "udp", "ports": "53", "sources": { "addresses": ["192.0.2.1"] } }]);
    let case = case("Firewall", "firewalls", UUID, firewall(), "inbound_rules", rules);
    let mut parameters = parameters(&world, &case).await;
    parameters["allow"] = json!("safe");
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("is Disruptive") && why.contains("arcadia.cloud/revert=allow-disruption"), "{why}");
    parameters["field"] = json!("tags");
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("no longer records tags"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_pool_that_somebody_changed_after_the_decision_stays() {
    let world = StepWorld::start().await;
    let case = cluster(json!([{ "name": "web", "count": 5, "tags": [] }]));
    let parameters = parameters(&world, &case).await;
    let journey = || Journey::new(&world, named("UpdateNodePool").unwrap(), &parameters);
    // Before the step starts, and right after.
    let (mut early, mut late, mut tagged) = (journey(), journey(), journey());
    late.begin().await.unwrap();
    tagged.begin().await.unwrap();
    let mut theirs = world.control.get("kubernetes/clusters", UUID).await.unwrap().unwrap()["node_pools"].clone();
    theirs[0]["count"] = json!(3);
    world.control.change("kubernetes/clusters", UUID, json!({ "node_pools": theirs })).await.unwrap();
    let mut failures = vec![early.go().await, late.call_on().await];
    // Another field of the pool, which was as desired.
    (theirs[0]["count"], theirs[0]["tags"]) = (json!(2), json!(["theirs"]));
    world.control.change("kubernetes/clusters", UUID, json!({ "node_pools": theirs })).await.unwrap();
    failures.push(tagged.call_on().await);
    theirs[0]["count"] = json!(3);
    world.control.change("kubernetes/clusters", UUID, json!({ "node_pools": theirs })).await.unwrap();
    for failed in failures {
        let Err(Failure::Permanent(why)) = failed else { panic!("it should be refused") };
        assert!(why.contains("was changed since the revert was decided"), "{why}");
    }
    let Err(Failure::Permanent(why)) = late.undo().await else { panic!("a third value stays") };
    assert!(why.contains("neither the earlier value nor the one that this step wrote"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_field_that_was_as_desired_when_the_step_began_is_not_changed_later() {
    for (case, theirs) in [
        (
            case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop")),
            [json!({ "name": "shop" }), json!({ "name": "theirs" })],
        ),
        (
            case("Firewall", "firewalls", UUID, firewall(), "tags", json!(["web", "shop"])),
            [json!({ "tags": ["web", "shop"] }), json!({ "tags": ["theirs"] })],
        ),
    ] {
        let world = StepWorld::start().await;
        let parameters = parameters(&world, &case).await;
        let [desired, other] = theirs;
        world.control.change(case.collection, UUID, desired).await.unwrap();
        let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
        journey.begin().await.unwrap();
        world.control.change(case.collection, UUID, other).await.unwrap();
        let Err(Failure::Permanent(why)) = journey.call_on().await else { panic!("it should be refused") };
        assert!(why.contains("was changed since the revert was decided"), "{why}");
        assert_eq!((journey.undo().await, world.changes().await), (Ok(()), 0));
    }
}

/// A running cluster with one pool of two nodes, and its recorded pools.
fn cluster(desired: Value) -> Case {
    let pool = json!({ "name": "web", "size": "s-1vcpu-2gb", "count": 2 });
    let cluster = json!({ "id": UUID, "node_pools": [pool], "status": { "state": "running" }, "tags": [] });
    case("KubernetesCluster", "kubernetes/clusters", UUID, cluster, "node_pools", desired)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_somebody_set_after_the_decision_is_not_overwritten() {
    let balancer = || json!({ "id": UUID, "name": "web", "project_id": UUID });
    let record = || json!({ "id": 7, "type": "A", "name": "www", "data": "192.0.2.1", "ttl": 1800 });
    let volume = || json!({ "id": UUID, "size_gigabytes": 10, "droplet_ids": [] });
    let address = || json!({ "ip": "192.0.2.7", "region": "nyc3", "droplet": null });
    let (records, ip) = ("domains/example.com/records", "192.0.2.7");
    each(
        [
            (case("Droplet", "droplets", DROPLET, json!({}), "name", json!("web-9")), json!({ "name": "theirs" })),
            (
                case("Droplet", "droplets", DROPLET, json!({}), "size", json!("s-4vcpu-8gb")),
                json!({ "size_slug": "s-8vcpu-16gb", "size": { "slug": "s-8vcpu-16gb" } }),
            ),
            (
                case("LoadBalancer", "load_balancers", UUID, balancer(), "project_id", json!(OTHER)),
                json!({ "project_id": "506f78a4-e098-11e5-ad9f-000f53306ae1" }),
            ),
            (case("DomainRecord", records, "example.com/7", record(), "ttl", json!(60)), json!({ "ttl": 300 })),
            (case("Volume", "volumes", UUID, volume(), "size_gigabytes", json!(20)), json!({ "size_gigabytes": 15 })),
            (
                case("ReservedIP", "reserved_ips", ip, address(), "droplet_id", json!(DROPLET)),
                json!({ "droplet": { "id": 3_164_445 } }),
            ),
        ],
        async |(case, theirs)| {
            let _permit = super::WORLDS.acquire().await.unwrap();
            let world = StepWorld::start().await;
            let plan = set_up(&world, &case).await.unwrap();
            let (step, with) = (plan.steps[0].step, Value::Object(plan.steps[0].with.clone()));
            let journey = || Journey::new(&world, named(step).unwrap(), &with);
            // Before the step starts, and right after.
            let (mut late, mut early) = (journey(), journey());
            late.begin().await.unwrap();
            world.control.change(case.collection, case.key(), theirs).await.unwrap();
            for failed in [early.go().await, late.call_on().await] {
                match failed {
                    Err(Failure::Permanent(why)) => {
                        assert!(why.contains("was changed since the revert was decided"), "{step}: {why}");
                    }
                    result => panic!("{step}: {result:?}"),
                }
            }
            assert_eq!((early.undo().await, world.changes().await), (Ok(()), 0), "{step}");
        },
    )
    .await;
}

/// A cluster with one autoscaled pool of four nodes, and the parameters to revert it to this record.
async fn autoscaled(world: &StepWorld, recorded: Value) -> Value {
    let pool = json!({
        "name": "web", "size": "s-1vcpu-2gb", "count": 4, "auto_scale": true, "min_nodes": 1, "max_nodes": 5,
    });
    let cluster = json!({ "id": UUID, "node_pools": [pool], "status": { "state": "running" }, "tags": [] });
    world.control.put("kubernetes/clusters", cluster).await.unwrap();
    world.control.reset_requests().await.unwrap();
    world.record("web-1", "KubernetesCluster", UUID, &json!({ "node_pools": [recorded] }));
    let (record, allow) = ("web-1", "disruption");
    json!({ "kind": "KubernetesCluster", "id": UUID, "record": record, "field": "node_pools", "allow": allow })
}

#[tokio::test]
async fn the_count_of_an_autoscaled_pool_is_refused() {
    let world = StepWorld::start().await;
    let parameters = autoscaled(&world, json!({ "name": "web", "count": 2 })).await;
    let mut journey = Journey::new(&world, named("UpdateNodePool").unwrap(), &parameters);
    let Err(Failure::Permanent(why)) = journey.go().await else { panic!("it should be refused") };
    assert!(why.contains("belongs to the autoscaler of the pool web, which would change it back"), "{why}");
    assert_eq!((journey.undo().await, world.changes().await), (Ok(()), 0));
}

#[tokio::test]
async fn a_pool_that_scales_again_keeps_the_count_of_its_autoscaler() {
    let world = StepWorld::start().await;
    let parameters = autoscaled(&world, json!({ "name": "web", "count": 2, "auto_scale": false })).await;
    let pool = async || {
        let cluster = world.control.get("kubernetes/clusters", UUID).await.unwrap().unwrap();
        (cluster["node_pools"][0]["auto_scale"].clone(), cluster["node_pools"][0]["count"].clone())
    };
    let mut journey = Journey::new(&world, named("UpdateNodePool").unwrap(), &parameters);
    journey.go().await.unwrap();
    assert_eq!((pool().await, world.changes().await), ((json!(false), json!(2)), 1));
    journey.undo().await.unwrap();
    assert_eq!((pool().await, world.changes().await), ((json!(true), json!(2)), 2));
}

#[tokio::test]
async fn a_pool_that_no_call_changes_is_written_once() {
    let world = StepWorld::start().await;
    // DigitalOcean ignores a bound without a value.
    let parameters = autoscaled(&world, json!({ "name": "web", "max_nodes": null })).await;
    let Err(Failure::Permanent(why)) = Journey::new(&world, named("UpdateNodePool").unwrap(), &parameters).go().await
    else {
        panic!("it should fail")
    };
    assert!(why.ends_with("DigitalOcean accepted the call, and max_nodes did not change; change it there"), "{why}");
    assert_eq!(world.changes().await, 1);
}

#[tokio::test]
async fn a_pool_gets_and_loses_its_nodes_again() {
    let world = StepWorld::start().await;
    let pool = json!({ "name": "web", "size": "s-1vcpu-2gb", "count": 2 });
    let cluster = json!({ "id": UUID, "node_pools": [pool], "status": { "state": "running" }, "tags": [] });
    world.control.put("kubernetes/clusters", cluster).await.unwrap();
    world.record("web-1", "KubernetesCluster", UUID, &json!({ "node_pools": [{ "name": "web", "count": 3 }] }));
    let parameters =
        json!({ "kind": "KubernetesCluster", "id": UUID, "record": "web-1", "field": "node_pools", "allow": "safe" });
    let count = async || {
        let cluster = world.control.get("kubernetes/clusters", UUID).await.unwrap().unwrap();
        (cluster["node_pools"][0]["count"].clone(), cluster["node_pools"][0]["nodes"].as_array().unwrap().len())
    };
    let mut journey = Journey::new(&world, named("UpdateNodePool").unwrap(), &parameters);
    journey.go().await.unwrap();
    assert_eq!(count().await, (json!(3), 3));
    journey.undo().await.unwrap();
    assert_eq!(count().await.0, 2);
}
