//! Every field that the rules of the kinds do not revert, in some direction or state at least: the decision is refused, and
//! the condition and the event say the sentence of the kind's data file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arcadia_operator::digitalocean::Kind;
use digitalocean_simulator::RateLimits;
use serde_json::{Map, Value, json};

use crate::{
    examples::full_document,
    places::{Place, id, named, places, put, put_parents},
    rules::{Rules, all as all_rules},
    world::{DROPLET, World, eventually},
};

/// Sentences that no drift can show.
const UNSEEN: [(&str, &str); 2] = [
    // Live members of a tag are not compared with recorded ones.
    ("LoadBalancer", "The droplets of this load balancer follow its tag; revert the tags of the droplets instead."),
    // Credentials are not compared.
    ("Database", "A deleted user gets another password; create the user in DigitalOcean."),
];

/// A drift that is not reverted because of its direction, or of the state of the resource.
struct Case {
    kind: &'static str,
    document: Value,
    field: &'static str,
    desired: Value,
    /// The owner, unless a sentence of the field's rule is the reason.
    owner: Option<&'static str>,
}

/// The drifts of fields that can be reverted in other directions, or for other resources.
fn cases() -> Vec<Case> {
    let case = |kind, document: Value, field, desired: Value| Case { kind, document, field, desired, owner: None };
    let rule = json!({ "type": "ip_addr", "value": "192.0.2.1" });
    let database = json!({
        "status": "online", "engine": "pg", "version": "16", "size": "db-s-4vcpu-8gb", "num_nodes": 1, "rules": [rule],
        "storage_size_mib": 81_920, "db_names": ["a", "b"],
    });
    let pool = json!({ "id": "a", "name": "web", "size": "s-1vcpu-2gb", "count": 1, "nodes": [{ "id": "n" }] });
    let cluster = json!({ "name": "web", "version": "1.34.1-do.0", "ha": true, "node_pools": [pool.clone()] });
    let image = json!({ "name": "a", "type": "snapshot", "description": "a", "distribution": "Debian" });
    let balancer = json!({ "name": "web", "tag": "", "droplet_ids": [DROPLET.parse::<u64>().unwrap()] });
    let address = json!({ "region": { "slug": "nyc3" }, "droplet": { "id": 1 }, "project_id": "a" });
    let volume = json!({ "name": "data", "size_gigabytes": 20, "droplet_ids": [] });
    let mut cases = vec![
        case("Database", database.clone(), "rules", json!([])),
        case("Database", database.clone(), "size", json!("db-s-2vcpu-4gb")),
        case("Database", database.clone(), "storage_size_mib", json!(61_440)),
        case("Database", database.clone(), "version", json!("15")),
        case("Database", database.clone(), "db_names", json!(["a"])),
        case("Droplet", json!({ "disk": 80 }), "disk", json!(40)),
        case("Droplet", json!({ "features": ["ipv6"] }), "ipv6", json!(false)),
        case("Image", image.clone(), "description", json!("b")),
        case("Image", image, "distribution", json!("Ubuntu")),
        case("KubernetesCluster", cluster.clone(), "node_pools.0.size", json!("s-2vcpu-4gb")),
        case("KubernetesCluster", cluster.clone(), "node_pools.0.id", json!("b")),
        case("KubernetesCluster", cluster.clone(), "node_pools.0.nodes", json!([])),
        case("KubernetesCluster", cluster.clone(), "ha", json!(false)),
        case("KubernetesCluster", cluster, "version", json!("1.33")),
        case("LoadBalancer", balancer.clone(), "droplet_ids", json!([])),
        case("Project", json!({ "name": "a", "is_default": true }), "is_default", json!(false)),
        case("ReservedIP", address, "project_id", json!("b")),
        case("Snapshot", json!({ "name": "a", "resource_type": "volume" }), "name", json!("b")),
        case("Volume", volume.clone(), "size_gigabytes", json!(10)),
        case("VPC", json!({ "name": "a", "default": true }), "default", json!(false)),
    ];
    let mut owned = |kind, document: &Value, more: Value, field, desired: Value, owner| {
        let mut document = document.clone();
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cases.push(Case { kind, document, field, desired, owner: Some(owner) });
    };
    let node = json!({ "tags": ["k8s", "k8s:worker"] });
    let node_owner = "the Kubernetes cluster that the droplet is a node of";
    owned("Droplet", &json!({ "name": "a" }), node, "name", json!("b"), node_owner);
    let firewall_owner = "the Kubernetes cluster that created the firewall";
    owned("Firewall", &json!({}), json!({ "name": "k8s-1-worker" }), "name", json!("b"), firewall_owner);
    let upgrades = json!({ "version": "1.33.1-do.0", "auto_upgrade": true });
    let upgrade_owner = "the automatic upgrades of the cluster (`auto_upgrade`)";
    owned("KubernetesCluster", &json!({}), upgrades, "version", json!("1.34"), upgrade_owner);
    let mut scaling = pool;
    scaling
        .as_object_mut()
        .unwrap()
        .extend(json!({ "count": 4, "auto_scale": true, "min_nodes": 1, "max_nodes": 5 }).as_object().unwrap().clone());
    let autoscaler = "the autoscaler of the pool web";
    owned(
        "KubernetesCluster",
        &json!({}),
        json!({ "node_pools": [scaling] }),
        "node_pools.0.count",
        json!(2),
        autoscaler,
    );
    let service = "the Service of the Kubernetes cluster that created the load balancer";
    for more in
        [json!({ "tags": ["k8s:1"] }), json!({ "tag": "k8s:1" }), json!({ "name": format!("a{}", "0".repeat(31)) })]
    {
        owned("LoadBalancer", &balancer, more, "redirect_http_to_https", json!(true), service);
    }
    let claim = json!({ "name": "pvc-00000000-0000-4000-8000-000000000000" });
    let volume_owner = "the Kubernetes cluster that created the volume";
    owned("Volume", &volume, claim, "droplet_ids", json!([DROPLET]), volume_owner);
    cases
}

/// A record with drifts, and the sentence of each field.
struct Trial {
    kind: String,
    id: String,
    desired: Map<String, Value>,
    /// Class and sentence, by field.
    wanted: BTreeMap<String, (String, String)>,
}

impl Trial {
    /// The fields of a kind that are never reverted.
    fn of_kind(rules: &Rules, id: String) -> Self {
        let mut wanted = BTreeMap::new();
        if !rules.is_supported {
            let says = format!("Reverting {} is not supported yet; change it in DigitalOcean.", rules.kind);
            let all = rules.fields.iter().map(|field| (field.clone(), ("NotRevertible".to_owned(), says.clone())));
            wanted.extend(all);
        }
        for refusal in rules.refusals.iter().filter(|refusal| refusal.is_always) {
            for name in refusal.names.iter().filter(|name| !name.contains('*')) {
                wanted.insert(name.clone(), (refusal.class.clone(), refusal.says.clone()));
            }
        }
        let desired = wanted.keys().map(|field| (field.clone(), json!("never"))).collect();
        wanted.retain(|field, _| !rules.secret.contains(field));
        Self { kind: rules.kind.clone(), id, desired, wanted }
    }

    /// The sentences of the rules for a field in one direction. The first that says so is the one that is shown.
    fn of_case(case: &Case, rules: &Rules, id: String) -> Self {
        let is_of = |name: &String| {
            let parts: Vec<_> = case.field.split('.').collect();
            let pattern: Vec<_> = name.split('.').collect();
            pattern.len() == parts.len() && pattern.iter().zip(&parts).all(|(one, part)| *one == "*" || one == part)
        };
        let own = rules.refusals.iter().filter(|refusal| refusal.names.iter().any(is_of));
        let reason = if let Some(by) = case.owner {
            ("NotRevertible".to_owned(), format!("It belongs to {by}, which would change it back; change it there."))
        } else {
            let own: Vec<_> = own.collect();
            let nth = usize::from(case.kind == "LoadBalancer" && case.field == "droplet_ids");
            (own[nth].class.clone(), own[nth].says.clone())
        };
        let desired = [(case.field.to_owned(), case.desired.clone())].into_iter().collect();
        Self { kind: case.kind.to_owned(), id, desired, wanted: [(case.field.to_owned(), reason)].into() }
    }

    fn manifest(&self, name: &str) -> Value {
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "metadata": { "name": name },
            "spec": { "resource": { "kind": self.kind, "id": self.id }, "desired": self.desired },
        })
    }

    /// The message of the refusal.
    fn message(&self, field: &str) -> Option<String> {
        let (class, says) = self.wanted.get(field)?;
        Some(format!("reverting {field} of {} {} is {class}: {says}", self.kind, self.id))
    }
}

/// The records of all kinds and cases, whose resources are in the cloud.
async fn put_trials(world: &World, places: &HashMap<String, Place>, rules: &[Rules]) -> BTreeMap<String, Trial> {
    let mut trials: BTreeMap<String, Trial> = BTreeMap::new();
    for (number, kind) in Kind::all().enumerate() {
        let rules = rules.iter().find(|rules| rules.kind == kind.name()).unwrap();
        let place = &places[kind.name()];
        let id = id(kind, 1000 + number);
        let mut document = full_document(&place.get.path, &place.get.key);
        if kind.name() == "KubernetesNodePool" {
            // The count of an autoscaled pool is not compared.
            document["auto_scale"] = json!(false);
        }
        put(&world.cloud, place, &id, &document).await;
        trials.insert(format!("kind-{}", kind.name().to_lowercase()), Trial::of_kind(rules, id));
    }
    for (number, case) in cases().iter().enumerate() {
        let kind = Kind::named(case.kind).unwrap();
        let id = id(kind, 2000 + number);
        let (collection, mut document) = named(&places[case.kind], &id);
        document.as_object_mut().unwrap().extend(case.document.as_object().unwrap().clone());
        let stored = world.cloud.put(&collection, document).await.unwrap();
        if case.kind == "Droplet" {
            let key = stored["id"].to_string();
            world.cloud.change(&collection, &key, case.document.clone()).await.unwrap();
        }
        let rules = rules.iter().find(|rules| rules.kind == case.kind).unwrap();
        trials.insert(format!("case-{number}"), Trial::of_case(case, rules, id));
    }
    trials
}

/// Fails unless each sentence of the rules is shown by a drift of these records.
fn show_each_sentence(trials: &BTreeMap<String, Trial>, rules: &[Rules]) {
    let said: BTreeSet<_> = trials
        .values()
        .flat_map(|trial| trial.wanted.values().map(|(_, says)| (trial.kind.clone(), says.clone())))
        .chain(UNSEEN.map(|(kind, says)| (kind.to_owned(), says.to_owned())))
        .collect();
    for Rules { kind, refusals, owners, .. } in rules {
        for says in refusals.iter().map(|refusal| refusal.says.clone()) {
            assert!(said.contains(&(kind.clone(), says.clone())), "no drift shows the sentence of {kind}: {says}");
        }
        // A step refuses what only another path of the resource shows.
        for by in owners.iter().filter(|by| !by.contains("the storage autoscaling")) {
            // The name of the owner may follow.
            let belongs = format!("It belongs to {by}");
            let is_said = said.iter().any(|(of, says)| of == kind && says.starts_with(&belongs));
            assert!(is_said, "no drift of {kind} shows: {belongs}");
        }
    }
}

#[tokio::test]
async fn every_field_that_cannot_be_reverted_is_refused_with_the_sentence_of_its_rule() {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator("every-refusal", limits).await;
    let (places, rules) = (places(), all_rules());
    put_parents(&world.cloud, &places).await;
    let trials = put_trials(&world, &places, &rules).await;
    show_each_sentence(&trials, &rules);

    let records: Vec<_> = trials.iter().map(|(name, trial)| trial.manifest(name)).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    world.start_operator(&["--sync-schedule", "2s"]);
    let before = world.cloud.inventory().await.unwrap();
    let count: usize = trials.values().map(|trial| trial.wanted.len()).sum();
    assert!(count >= 250, "{count} fields");

    // Each drift, by record and field.
    let drifts = || async {
        let drifts = world.list("drifts").await.into_iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        drifts
            .map(|drift| ((text(&drift["spec"]["resourceRef"]["name"]), text(&drift["spec"]["field"])), drift))
            .collect::<BTreeMap<_, _>>()
    };
    let each_is = async |what: &str, is_so: &dyn Fn(&Trial, &str, &Value) -> bool| {
        eventually(what, || async {
            let drifts = drifts().await;
            let all =
                trials.iter().flat_map(|(name, trial)| trial.wanted.keys().map(move |field| (name, trial, field)));
            let is_missing = |(name, trial, field): &(&String, &Trial, &String)| {
                let drift = drifts.get(&((*name).clone(), (*field).clone()));
                !drift.is_some_and(|drift| is_so(trial, field, drift))
            };
            let missing: Vec<_> = all
                .filter(is_missing)
                .map(|(name, trial, field)| {
                    let drift = drifts.get(&(name.clone(), field.clone()));
                    let is = drift.map(|drift| drift["status"]["conditions"][0]["message"].clone());
                    format!("{name} {field}: {is:?}, not {:?}", trial.message(field))
                })
                .collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{} of {count}: {missing:#?}", missing.len())) }
        })
        .await;
    };
    each_is("a drift of each field", &|trial, field, drift| {
        let (class, says) = &trial.wanted[field];
        drift["status"]["phase"] == "Open" && drift["spec"]["revert"] == *class && drift["spec"]["revertNote"] == *says
    })
    .await;
    // A field without a drift is named on its record.
    for rules in rules.iter().filter(|rules| !rules.secret.is_empty()) {
        let record = format!("pr/kind-{}", rules.kind.to_lowercase());
        world.reaches(&record, "Ready", "False InvalidField").await;
        let message = world.message(&record, "Ready").await;
        let unnamed: Vec<_> = rules.secret.iter().filter(|field| !message.contains(field.as_str())).collect();
        assert!(unnamed.is_empty(), "{record}: {unnamed:?} in {message}");
    }
    world.run(&["annotate", "drifts", "--all", "arcadia.cloud/revert=allow-data-loss"]).await;
    each_is("each decision refused", &|trial, field, drift| {
        let resolved = &drift["status"]["conditions"][0];
        let is_removed = drift["metadata"]["annotations"].get("arcadia.cloud/revert").is_none();
        is_removed
            && drift["status"]["reason"] == "DecisionRefused"
            && resolved["message"].as_str() == trial.message(field).as_deref()
    })
    .await;
    eventually("an event of each refusal", || async {
        let events: Value = serde_json::from_str(&world.run(&["get", "events", "-o", "json"]).await).unwrap();
        let notes: BTreeSet<_> = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["reason"] == "DecisionRefused" && event["involvedObject"]["kind"] == "Drift")
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect();
        let wanted = trials
            .values()
            .flat_map(|trial| trial.wanted.keys().map(|field| format!("{field}: {}", trial.message(field).unwrap())));
        let missing: Vec<_> = wanted.filter(|note| !notes.contains(note)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{} of {count}: {missing:#?}", missing.len())) }
    })
    .await;
    assert_eq!(world.list("sagas").await, Vec::<Value>::new());
    assert_eq!(world.cloud.inventory().await.unwrap(), before);
}
