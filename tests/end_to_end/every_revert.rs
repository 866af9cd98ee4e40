//! Every field that the rules of the kinds can revert: drift, plan, revert, `Reverted`. Every other field of the resource
//! is as before, and so is every other resource. All of them run at the same time under one operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use digitalocean_simulator::{Control, RateLimits};
use serde_json::{Value, json};

use crate::{
    rules::{Rules, all as all_rules},
    world::{DROPLET, World, droplet, eventually::within},
};
use cases::{Case, OTHER_DROPLET, UUID, cases, furniture, store};

#[path = "../support/reverts.rs"]
mod cases;

/// All reverts run at once, and those of one subscription one after the other.
const PATIENCE: Duration = Duration::from_mins(6);

/// A case with a separate resource, and the name of its record.
struct Trial {
    case: Case,
    record: String,
}

/// Text that lives as long as the test.
fn forever(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

impl Trial {
    /// Gives a case its own resource, and stores it.
    async fn new(account: &Control, number: usize, case: Case) -> Self {
        let (uuid, digits) = (format!("00000000-0000-4000-8000-{number:012}"), 7_700_000 + number);
        let mut case = case;
        let is_numbered = case.document["id"].is_u64();
        let key = if case.document["uuid"].is_string() { "uuid" } else { "id" };
        let mut rename = |id: &str, key: &str, value: Value| {
            case.document[key] = value;
            forever(id.to_owned())
        };
        case.id = match case.kind {
            // All registries of an account share what can be reverted.
            "Registry" => case.id,
            "Droplet" => forever(digits.to_string()),
            "DomainRecord" => {
                let domain = format!("case-{number}.example.org");
                case.collection = forever(format!("domains/{domain}/records"));
                account.put("domains", json!({ "name": domain })).await.unwrap();
                forever(format!("{domain}/{}", case.key()))
            }
            "Snapshot" => {
                let image = json!({ "id": digits, "name": "a", "type": "snapshot" });
                account.put("images", image).await.unwrap();
                rename(&digits.to_string(), "id", json!(digits.to_string()))
            }
            "ReservedIP" => {
                let ip = format!("198.51.100.{}", number % 250 + 1);
                rename(&ip, "ip", json!(ip))
            }
            _ if is_numbered => rename(&digits.to_string(), "id", json!(digits)),
            _ => rename(&uuid, key, json!(uuid)),
        };
        if case.kind == "Droplet" && case.desired == json!([UUID]) {
            // A volume is attached to one droplet at a time.
            let volume = json!({ "id": uuid, "region": "nyc3", "size_gigabytes": 10 });
            account.put("volumes", volume).await.unwrap();
            case.desired = json!([uuid]);
        }
        store(account, &case).await;
        Self { case, record: format!("case-{number}") }
    }

    fn manifest(&self) -> Value {
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": { "name": self.record },
            "spec": {
                "resource": { "kind": self.case.kind, "id": self.case.id },
                "desired": { self.case.field: self.case.desired },
            },
        })
    }

    /// Whether a revert of this case may change a field of a resource.
    fn may_change(&self, collection: &str, id: &str, field: &str) -> bool {
        let case = &self.case;
        if (collection, id) == (case.collection, case.key()) {
            let root = case.field.split('.').next().unwrap();
            return field == root
                || case.follows().contains(&field)
                || ["updated_at", "pending_changes"].contains(&field);
        }
        case.others().iter().any(|other| {
            (other.collection, other.id.as_str()) == (collection, id)
                && (other.fields.is_empty() || other.fields.contains(&field))
        })
    }
}

/// All resources of the account, and the parts of the reverted ones that the inventory leaves out.
async fn account(world: &World, trials: &[Trial]) -> Value {
    let mut account = world.cloud.inventory().await.unwrap();
    // The project of a resource is in its document, and an unused tag becomes visible when it is used.
    let is_derived = |name: &str| name == "tags" || (name.starts_with("projects/") && name.ends_with("/resources"));
    account.as_object_mut().unwrap().retain(|name, _| !is_derived(name));
    for Trial { case, .. } in trials {
        account[case.collection][case.key()] = world.cloud.get(case.collection, case.key()).await.unwrap().unwrap();
    }
    account
}

/// The changes that no revert explains.
fn unexplained(before: &Value, after: &Value, trials: &[Trial]) -> Vec<String> {
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let both = |one: &Value, other: &Value| -> BTreeSet<String> {
        let (one, other): (BTreeSet<String>, BTreeSet<String>) = (keys(one), keys(other));
        &one | &other
    };
    let mut found = Vec::new();
    for collection in both(before, after) {
        let (was, is) = (&before[&collection], &after[&collection]);
        for id in both(was, is) {
            for field in both(&was[&id], &is[&id]) {
                let (was, is) = (&was[&id][&field], &is[&id][&field]);
                let may_change = || trials.iter().any(|trial| trial.may_change(&collection, &id, &field));
                if was != is && !may_change() {
                    found.push(format!("{collection} {id}: {field} was {was} and is {is}"));
                }
            }
        }
    }
    found
}

/// The drift of each record.
async fn drifts(world: &World) -> BTreeMap<String, Value> {
    let drifts = world.list("drifts").await.into_iter();
    drifts.map(|drift| (drift["spec"]["resourceRef"]["name"].as_str().unwrap().to_owned(), drift)).collect()
}

/// Waits until the drift of each trial satisfies a condition, which says what is missing.
async fn each_is(world: &World, trials: &[Trial], what: &str, missing: impl Fn(&Trial, &Value) -> Option<String>) {
    within(PATIENCE, what, || async {
        let drifts = drifts(world).await;
        let faults = trials.iter().filter_map(|trial| {
            let missing = match drifts.get(&trial.record) {
                Some(drift) => missing(trial, drift)?,
                None => "no drift".to_owned(),
            };
            Some(format!("{} {}: {missing}", trial.record, trial.case.name()))
        });
        let faults: Vec<_> = faults.collect();
        if faults.is_empty() { Ok(()) } else { Err(format!("{} of {}: {faults:#?}", faults.len(), trials.len())) }
    })
    .await;
}

fn state(drift: &Value) -> String {
    let message = drift["status"]["conditions"][0]["message"].as_str().unwrap_or_default();
    format!("{} {}: {message}", drift["status"]["phase"], drift["status"]["reason"])
}

/// Drift, plan and revert of each of these, and what has changed.
async fn revert(world: &World, trials: &[Trial]) {
    let before = account(world, trials).await;
    let records: Vec<_> = trials.iter().map(Trial::manifest).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    each_is(world, trials, "a drift of each field", |trial, drift| {
        let is = (&drift["spec"]["field"], &drift["status"]["phase"]);
        (is != (&json!(trial.case.field), &json!("Open"))).then(|| state(drift))
    })
    .await;

    let own = |drifts: &BTreeMap<String, Value>| -> Vec<String> {
        trials
            .iter()
            .map(|trial| format!("drift/{}", drifts[&trial.record]["metadata"]["name"].as_str().unwrap()))
            .collect()
    };
    let names = own(&drifts(world).await);
    let annotate = async |names: &[&str], decision: &str| {
        let decision = format!("arcadia.cloud/revert={decision}");
        world.run(&[&["annotate"], names, &[&decision]].concat()).await;
    };
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    annotate(&names, "plan").await;
    each_is(world, trials, "a plan of each revert", |_, drift| {
        let plan = &drift["status"]["plan"];
        let is_whole = plan["calls"].as_array().is_some_and(|calls| {
            !calls.is_empty() && calls.iter().all(|call| call["changes"].as_array().is_some_and(|it| !it.is_empty()))
        });
        let is_removed = drift["metadata"]["annotations"].get("arcadia.cloud/revert").is_none();
        let is_planned = is_whole && is_removed && plan["class"] == drift["spec"]["revert"];
        (!is_planned).then(|| format!("{} {plan}", state(drift)))
    })
    .await;
    let planned = account(world, trials).await;
    assert_eq!(unexplained(&before, &planned, &[]), Vec::<String>::new(), "a plan changed something");
    assert_eq!(world.list("sagas").await.iter().filter(|saga| saga["status"]["phase"] == "Running").count(), 0);

    let planned = drifts(world).await;
    let mut by_need: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for drift in trials.iter().map(|trial| &planned[&trial.record]) {
        let needs = drift["status"]["plan"]["needs"].as_str().unwrap().to_owned();
        by_need.entry(needs).or_default().push(format!("drift/{}", drift["metadata"]["name"].as_str().unwrap()));
    }
    for (needs, names) in &by_need {
        annotate(&names.iter().map(String::as_str).collect::<Vec<_>>(), needs).await;
    }
    each_is(world, trials, "each field reverted", |_, drift| {
        let is_reverted = drift["status"]["phase"] == "Reverted" && drift["status"]["decidedBy"] == "kubectl-annotate";
        (!is_reverted).then(|| state(drift))
    })
    .await;
    let after = account(world, trials).await;
    let changes = unexplained(&before, &after, trials);
    assert!(changes.is_empty(), "{changes:#?}");

    let sagas: BTreeMap<_, _> =
        world.list("sagas").await.into_iter().map(|saga| (saga["metadata"]["name"].to_string(), saga)).collect();
    let drifts = drifts(world).await;
    for trial in trials {
        let drift = &drifts[&trial.record];
        let saga = &sagas[&drift["status"]["sagaRef"]["name"].to_string()];
        let name = drift["metadata"]["name"].as_str().unwrap();
        assert_eq!(saga["status"]["phase"], "Succeeded", "{}", trial.case.name());
        assert_eq!(saga["spec"]["triggeredBy"], format!("drift:{name}"));
        world.reaches(&format!("pr/{}", trial.record), "InSync", "True NoDrift").await;
        world.has_event(&trial.record, "DriftReverted").await;
    }
}

#[tokio::test]
#[ignore = "takes minutes: cargo xtask test --thorough"]
async fn every_field_that_can_be_reverted_is_and_nothing_else_changes() {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator("every-revert", limits).await;
    world.cloud.put("droplets", droplet(OTHER_DROPLET, "web-2")).await.unwrap();
    assert_eq!(cases::DROPLET, DROPLET);
    for (collection, document) in furniture() {
        world.cloud.put(collection, document).await.unwrap();
    }
    let cases = cases();
    let has_case = |kind: &str, field: &str| {
        cases.iter().any(|case| (case.kind, case.field.split('.').next().unwrap()) == (kind, field))
    };
    let missing: Vec<_> = all_rules()
        .iter()
        .flat_map(|Rules { kind, revertible, .. }| revertible.iter().map(move |field| (kind.clone(), field.clone())))
        .filter(|(kind, field)| !has_case(kind, field))
        .collect();
    assert!(missing.is_empty(), "no case of {missing:?}");

    // The plan of the account's registries is one value with two names: one after the other.
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for (number, case) in cases.into_iter().enumerate() {
        let is_second = case.kind == "Registry" && first.iter().any(|trial: &Trial| trial.case.kind == "Registry");
        let trial = Trial::new(&world.cloud, number, case).await;
        if is_second { &mut rest } else { &mut first }.push(trial);
    }
    assert!(first.len() >= 120 && rest.len() == 1, "{} and {}", first.len(), rest.len());
    world.start_operator(&[]);
    revert(&world, &first).await;
    let registry = first.iter().find(|trial| trial.case.kind == "Registry").unwrap();
    world.run(&["delete", "pr", &registry.record]).await;
    let other = world.cloud.get("registries", "shop").await.unwrap().unwrap();
    assert_eq!(other["subscription"]["tier"]["slug"], "professional");
    world.cloud.delete("registries", "shop").await.unwrap();
    store(&world.cloud, &rest[0].case).await;
    revert(&world, &rest).await;
}
