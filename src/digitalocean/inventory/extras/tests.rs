//! Documents that need more than lists, against clouds whose paths show different parts.

use std::{sync::Mutex, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::digitalocean::{
    Document, FieldComparison, InventorySettings, Live, Observation, Wanted,
    fake::{Fake, FakeResponse},
    inventory::{allowance::Allowance, responses::ListedText, text::Examples},
};

const DAY: Duration = Duration::from_hours(24);
const ONE: &str = "5a4981aa-9653-4bd1-bef5-000000000001";
const TWO: &str = "5a4981aa-9653-4bd1-bef5-000000000002";

/// Responses by path, without the query; any other path returns 404.
type Cloud = Arc<Mutex<HashMap<String, Answered>>>;

#[derive(Clone)]
enum Answered {
    With(Value),
    Forbidden,
}

struct World {
    cloud: Cloud,
    server: Fake,
    inventory: Inventory,
    kind: Kind,
}

impl World {
    async fn of(kind: &str) -> Self {
        let cloud = Cloud::default();
        let here = Arc::clone(&cloud);
        let server = Fake::start(move |path| {
            let path = path.split('?').next().unwrap_or(path);
            match here.lock().unwrap().get(path) {
                Some(Answered::With(body)) => FakeResponse::json(200, body),
                Some(Answered::Forbidden) => FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"})),
                None => FakeResponse::json(404, &json!({"id": "not_found", "message": "no"})),
            }
        })
        .await;
        let settings = InventorySettings { absence_delay: Duration::from_millis(1), ..InventorySettings::default() };
        let inventory = Inventory::new(server.client(), settings);
        Self { cloud, server, inventory, kind: Kind::named(kind).unwrap() }
    }

    fn set(&self, path: &str, body: Value) {
        self.cloud.lock().unwrap().insert(path.into(), Answered::With(body));
    }

    fn forbid(&self, path: &str) {
        self.cloud.lock().unwrap().insert(path.into(), Answered::Forbidden);
    }

    async fn fetch(&self, id: &str, max_age: Duration) -> Document {
        match self.inventory.fetch(&ResourceKey::new(self.kind, id), max_age).await {
            Observation::Present(document) => document,
            other => panic!("{other:?}"),
        }
    }

    fn list(&self, rows: &[Value]) {
        let row = self.kind.row();
        self.set(&row.list.path, json!({&row.list.key: rows, "meta": {"total": rows.len()}}));
    }

    fn single(&self, document: &Value) {
        let row = self.kind.row();
        let id = document[&row.id.field].clone();
        let id = id.as_str().map_or_else(|| id.to_string(), ToOwned::to_owned);
        self.set(&row.get.path.replace("{id}", &id), json!({&row.get.key: document}));
    }

    /// Syncs with these recorded fields of these resources. Returns the changed and the newly confirmed ones.
    async fn sync(&self, recorded: &[(&str, &[&str])]) -> super::super::Changes {
        let wanted = recorded
            .iter()
            .map(|(id, fields)| Wanted { id: (*id).into(), fields: FieldSet::of(self.kind, fields.iter().copied()) });
        self.inventory.sync(self.kind, wanted.collect::<Vec<_>>()).await.unwrap()
    }

    fn get(&self, id: &str) -> Document {
        match self.inventory.get(&ResourceKey::new(self.kind, id), DAY) {
            Observation::Present(document) => document,
            other => panic!("{other:?}"),
        }
    }

    fn json(&self, id: &str) -> Value {
        serde_json::from_str(&self.get(id).json).unwrap()
    }

    fn unread(&self, id: &str) -> Vec<(String, String)> {
        self.get(id).unread.iter().map(|unread| (unread.path.to_string(), unread.why.to_string())).collect()
    }

    fn unread_paths(&self, id: &str) -> Vec<String> {
        self.unread(id).into_iter().map(|(path, _)| path).collect()
    }

    /// The number of calls whose path starts with this, without `/v2/account`.
    fn calls(&self, path: &str) -> usize {
        self.server.asked().iter().filter(|asked| asked.starts_with(path) && *asked != "/v2/account").count()
    }
}

fn gateway(extra: &Value) -> Value {
    let mut gateway = json!({"id": ONE, "name": "nat", "vpcs": [{"vpc_uuid": "a", "gateway_ip": "1"}]});
    gateway.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    gateway
}

#[tokio::test]
async fn a_document_is_the_merge_of_what_the_list_and_a_get_say() {
    let world = World::of("NATGateway").await;
    world.list(&[gateway(&json!({"project_id": "p"}))]);
    world.single(&gateway(&json!({"vpcs": [{"vpc_uuid": "a", "gateway_ip": "1", "default_gateway": true}]})));
    let fields: &[&str] = &["vpcs", "project_id", "name"];
    world.sync(&[(ONE, fields)]).await;
    let merged = gateway(&json!({
        "project_id": "p", "vpcs": [{"vpc_uuid": "a", "gateway_ip": "1", "default_gateway": true}],
    }));
    assert_eq!((world.json(ONE), world.unread(ONE)), (merged.clone(), vec![]));
    assert!(!world.get(ONE).is_confirmed, "only one list shows the project");
    let changes = world.sync(&[(ONE, fields)]).await;
    assert_eq!((changes.changed.len(), changes.confirmed), (0, 1));
    assert!(world.get(ONE).is_confirmed);
    // A direct request keeps the parts that only the list has.
    world.inventory.fetch(&ResourceKey::new(world.kind, ONE), DAY).await;
    assert_eq!((world.json(ONE), world.unread(ONE)), (merged, vec![]));
    // The next list is newer than the GET, and both keep the other's keys.
    world.list(&[gateway(&json!({"project_id": "q"}))]);
    assert_eq!(world.sync(&[(ONE, fields)]).await.changed.len(), 1);
    let json = world.json(ONE);
    assert_eq!((&json["project_id"], &json["vpcs"][0]["default_gateway"]), (&json!("q"), &json!(true)));
}

#[tokio::test]
async fn unrecorded_parts_cost_no_call_and_are_unknown_rather_than_empty() {
    let world = World::of("NATGateway").await;
    world.list(&[gateway(&json!({"project_id": "p"}))]);
    assert_eq!(world.sync(&[(ONE, &["name"])]).await.calls, 1);
    assert_eq!(world.calls("/v2/vpc_nat"), 1);
    assert_eq!(world.unread_paths(ONE), ["vpcs.*.default_gateway"]);
}

#[tokio::test]
async fn a_field_that_is_recorded_later_is_unknown_until_it_is_read() {
    let world = World::of("LoadBalancer").await;
    let (key, firewall) = (ResourceKey::new(world.kind, ONE), FieldSet::of(world.kind, ["firewall"]));
    world.list(&[json!({"id": ONE, "name": "web"})]);
    world.single(&json!({"id": ONE, "name": "web", "firewall": {"deny": []}}));
    world.sync(&[(ONE, &["name"])]).await;
    assert!(!world.inventory.expect(&key, FieldSet::of(world.kind, ["name"])));
    assert!(world.inventory.expect(&key, firewall));
    assert_eq!(world.unread_paths(ONE), ["firewall"]);
    assert!(world.inventory.is_incomplete(&key) && !world.inventory.take_from_list(&key, firewall));
    world.inventory.first_read(&key, firewall).await;
    assert_eq!((world.unread(ONE), world.json(ONE)["firewall"].clone()), (vec![], json!({"deny": []})));
    assert!(!world.inventory.is_incomplete(&key) && !world.inventory.expect(&key, firewall));
}

#[tokio::test]
async fn a_get_alone_does_not_know_what_only_lists_show() {
    let world = World::of("Registry").await;
    let key = ResourceKey::new(world.kind, "mine");
    world.single(&json!({"name": "mine", "region": "fra1", "created_at": "x", "storage_usage_bytes": 1,
        "storage_usage_bytes_updated_at": "x"}));
    world.inventory.first_read(&key, FieldSet::of(world.kind, ["subscription_tier_slug"])).await;
    assert_eq!(world.unread_paths("mine"), ["subscription"]);
    world.list(&[json!({"name": "mine", "region": "fra1", "subscription": {"tier": {"slug": "basic"}}})]);
    world.sync(&[("mine", &["subscription_tier_slug"])]).await;
    assert_eq!(
        (world.json("mine")["subscription"]["tier"]["slug"].as_str(), world.unread("mine")),
        (Some("basic"), vec![])
    );
    world.inventory.fetch(&key, DAY).await;
    assert_eq!(
        (world.json("mine")["subscription"]["tier"]["slug"].as_str(), world.unread("mine")),
        (Some("basic"), vec![])
    );
}

#[tokio::test]
async fn the_rules_of_a_database_come_from_their_own_path_and_their_lack_is_unknown() {
    let world = World::of("Database").await;
    world.list(&[json!({"id": ONE, "name": "db"})]);
    let rules: &[(&str, &[&str])] = &[(ONE, &["rules"])];
    world.forbid(&format!("/v2/databases/{ONE}/firewall"));
    world.sync(rules).await;
    let unread = world.unread(ONE);
    let why = &unread.iter().find(|(path, _)| path == "rules").unwrap().1;
    assert!(why.contains("403") && why.contains("database:read"), "{why}");
    assert_eq!(world.json(ONE).get("rules"), None);
    world.set(&format!("/v2/databases/{ONE}/firewall"), json!({"rules": [{"type": "tag", "value": "web"}]}));
    assert_eq!(world.sync(rules).await.changed.len(), 1);
    assert_eq!(world.json(ONE)["rules"], json!([{"type": "tag", "value": "web"}]));
    assert!(!world.unread_paths(ONE).contains(&"rules".to_owned()));
    // The list is unchanged, the part is not.
    world.set(&format!("/v2/databases/{ONE}/firewall"), json!({"rules": []}));
    assert_eq!(world.sync(rules).await.changed.len(), 1);
    assert_eq!(world.json(ONE)["rules"], json!([]));
    assert_eq!(world.sync(rules).await.changed.len(), 0);
    // After a later failure, the last response is used until it is too old.
    world.forbid(&format!("/v2/databases/{ONE}/firewall"));
    assert_eq!(world.sync(rules).await.changed.len(), 0);
    assert_eq!(world.json(ONE)["rules"], json!([]));
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.sync(rules).await;
    let key = ResourceKey::new(world.kind, ONE);
    let Observation::Present(document) = world.inventory.get(&key, Duration::from_millis(250)) else { panic!() };
    assert!(document.unread.iter().any(|unread| unread.path.to_string() == "rules"), "{document:?}");
    assert!(!document.json.contains("rules"), "{document:?}");
    let (expired, _) = world.inventory.expire(world.kind, Duration::from_millis(250));
    assert_eq!(expired, [ONE.into()]);
}

#[tokio::test]
async fn a_field_that_only_single_documents_show_is_read_from_there_when_it_is_recorded() {
    let world = World::of("Database").await;
    world.list(&[json!({"id": ONE, "name": "db"}), json!({"id": TWO, "name": "other"})]);
    world.single(&json!({"id": ONE, "name": "db", "semantic_version": "14.5"}));
    let changes = world.sync(&[(ONE, &["semantic_version"]), (TWO, &["name"])]).await;
    assert_eq!((changes.calls, world.calls("/v2/databases/")), (2, 1));
    assert_eq!(world.json(ONE)["semantic_version"], "14.5");
    assert_eq!(world.json(TWO).get("semantic_version"), None);
    // A part that only a GET shows changes without the list.
    world.single(&json!({"id": ONE, "name": "db", "semantic_version": "14.6"}));
    assert_eq!(world.sync(&[(ONE, &["semantic_version"])]).await.changed.len(), 1);
    assert_eq!(world.json(ONE)["semantic_version"], "14.6");
}

#[tokio::test]
async fn a_recorded_field_that_the_list_leaves_out_is_looked_up_once_until_the_row_changes() {
    let world = World::of("LoadBalancer").await;
    let row = |name: &str| json!({"id": ONE, "name": name});
    world.list(&[row("a")]);
    world.single(&row("a"));
    let recorded: &[(&str, &[&str])] = &[(ONE, &["name", "firewall"])];
    for _ in 0..3 {
        world.sync(recorded).await;
    }
    // Neither shows it: it is empty.
    assert_eq!((world.calls("/v2/load_balancers/"), world.unread(ONE)), (1, vec![]));
    world.list(&[row("b")]);
    world.single(&json!({"id": ONE, "name": "b", "firewall": {"deny": ["ip:1.2.3.4"]}}));
    world.sync(recorded).await;
    assert_eq!(world.json(ONE)["firewall"]["deny"][0], "ip:1.2.3.4");
    // While only the GET shows it, each sweep needs one.
    world.single(&row("b"));
    world.sync(recorded).await;
    assert_eq!(world.json(ONE), row("b"));
    assert_eq!(world.calls("/v2/load_balancers/"), 3);
}

#[tokio::test]
async fn extra_calls_keep_within_their_allowance_and_take_turns() {
    let world = World::of("Database").await;
    *world.inventory.0.allowance.lock() = Allowance::of(8, 200);
    let id = |number: u32| format!("5a4981aa-9653-4bd1-bef5-{number:012}");
    let ids: Vec<_> = (1..=5).map(id).collect();
    world.list(&ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>());
    for id in &ids {
        world.set(&format!("/v2/databases/{id}/firewall"), json!({"rules": []}));
    }
    let recorded: Vec<(&str, &[&str])> = ids.iter().map(|id| (id.as_str(), &["rules"][..])).collect();
    let read = || ids.iter().filter(|id| world.json(id).get("rules").is_some()).count();
    // A quarter of eight.
    assert_eq!(world.sync(&recorded).await.calls, 3);
    assert_eq!(read(), 2);
    for wanted in [4, 5] {
        world.inventory.0.allowance.lock().left = 2.0;
        world.sync(&recorded).await;
        assert_eq!(read(), wanted);
    }
}

fn droplet(id: u32, features: &[&str]) -> Value {
    json!({"id": id, "name": "web", "features": features})
}

#[tokio::test]
async fn backup_policies_are_listed_for_those_who_record_them() {
    let world = World::of("Droplet").await;
    world.set("/v2/droplets", json!({"droplets": [droplet(1, &["ipv6"])], "meta": {"total": 1}}));
    world.single(&droplet(1, &["ipv6"]));
    let policy = json!({"plan": "weekly", "weekday": "SUN", "hour": 20});
    let policies = |enabled: bool| json!({"policies": {"1": {"droplet_id": 1, "backup_enabled": enabled, "backup_policy": policy}}, "meta": {"total": 1}});
    world.set("/v2/droplets/backups/policies", policies(true));
    let calls = || world.calls("/v2/droplets/backups/policies");
    world.sync(&[("1", &["name"])]).await;
    assert_eq!(calls(), 0);
    assert_eq!(world.unread_paths("1"), ["backup_policy"]);
    world.sync(&[("1", &["backup_policy"])]).await;
    assert_eq!((world.json("1")["backup_policy"].clone(), world.unread("1")), (policy.clone(), vec![]));
    assert_eq!(world.json("1")["features"], json!(["ipv6", "backups"]));
    world.sync(&[("1", &["backups"])]).await;
    assert_eq!(calls(), 2);
    // Without a policy there are no backups, which is certain.
    world.set("/v2/droplets/backups/policies", json!({"policies": {}, "meta": {"total": 0}}));
    world.sync(&[("1", &["backups"])]).await;
    assert_eq!((world.json("1")["backup_policy"].clone(), world.unread("1")), (json!(null), vec![]));
    assert_eq!(world.json("1")["features"], json!(["ipv6"]));
    // A direct request reads the single policy.
    world.set(
        "/v2/droplets/1/backups/policy",
        json!({"policy": {"droplet_id": 1, "backup_enabled": true, "backup_policy": policy}}),
    );
    world.inventory.fetch(&ResourceKey::new(world.kind, "1"), DAY).await;
    assert_eq!(world.json("1")["backup_policy"], policy);
    world.forbid("/v2/droplets/backups/policies");
    world.sync(&[("1", &["backups"])]).await;
    assert_eq!(world.json("1")["backup_policy"], policy, "known for a while");
}

#[tokio::test]
async fn certificates_are_listed_once_for_those_who_record_them() {
    let world = World::of("LoadBalancer").await;
    let balancer = json!({"id": ONE, "name": "web", "forwarding_rules": [{"certificate_id": "c1"}]});
    world.list(std::slice::from_ref(&balancer));
    let listed = |id: &str| json!({"certificates": [{"id": id, "name": "web"}], "meta": {"total": 1}});
    world.set("/v2/certificates", listed("c1"));
    world.sync(&[(ONE, &["name"])]).await;
    assert_eq!((world.calls("/v2/certificates"), world.get(ONE).certificates), (0, None));
    for _ in 0..2 {
        world.sync(&[(ONE, &["forwarding_rules"])]).await;
    }
    assert_eq!(world.calls("/v2/certificates"), 1);
    assert_eq!(world.get(ONE).certificates.unwrap().name_of("c1"), Some("web"));
    let refused = World::of("LoadBalancer").await;
    refused.list(&[balancer]);
    refused.forbid("/v2/certificates");
    refused.sync(&[(ONE, &["forwarding_rules"])]).await;
    let document = refused.get(ONE);
    assert_eq!(document.certificates, None);
    assert!(document.no_certificates.unwrap().contains("certificate:read"));
}

#[tokio::test]
async fn an_absent_nested_key_is_unknown_unless_the_token_has_its_scope() {
    let rules = json!([{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["10.0.0.0/8"]}}]);
    let recorded = json!([{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["10.0.0.0/8"], "load_balancer_uids": ["lb"]}}]);
    for has_scope in [true, false] {
        let world = World::of("Firewall").await;
        world.list(&[json!({"id": ONE, "name": "fw", "inbound_rules": rules, "tags": [], "droplet_ids": []})]);
        world.set("/v2/kubernetes/clusters", json!({"kubernetes_clusters": []}));
        if has_scope {
            world.set("/v2/load_balancers", json!({"load_balancers": []}));
        } else {
            world.forbid("/v2/load_balancers");
        }
        for _ in 0..2 {
            world.sync(&[(ONE, &["inbound_rules"])]).await;
        }
        let live = Live::of(&ResourceKey::new(world.kind, ONE), &world.get(ONE)).unwrap();
        let FieldComparison::Done(compared) = live.compare("inbound_rules", &recorded) else { panic!() };
        assert_eq!(
            (compared.differences.is_empty(), compared.doubts.is_empty()),
            (!has_scope, has_scope),
            "{compared:?}"
        );
        // One check each; the firewall's own tags and droplets show the other scopes.
        let checks = ["/v2/load_balancers", "/v2/kubernetes", "/v2/tags", "/v2/droplets"].map(|path| world.calls(path));
        assert_eq!(checks, [1, 1, 0, 0]);
        // A record of only its name needs no scope.
        let other = World::of("Firewall").await;
        other.list(&[json!({"id": ONE, "name": "fw", "inbound_rules": rules})]);
        assert_eq!(other.sync(&[(ONE, &["name"])]).await.calls, 1);
        assert_eq!(other.calls("/v2/"), 1);
    }
}

#[tokio::test]
async fn a_changed_row_is_confirmed_by_a_get_or_by_the_next_list() {
    let world = World::of("Registry").await;
    let row = |region: &str, usage: u32| json!({"name": "mine", "region": region, "storage_usage_bytes": usage, "subscription": {}});
    let recorded: &[(&str, &[&str])] = &[("mine", &["region"])];
    world.list(&[row("fra1", 1)]);
    world.sync(recorded).await;
    assert!(!world.get("mine").is_confirmed, "one list");
    let changes = world.sync(recorded).await;
    assert_eq!((changes.changed.len(), changes.confirmed), (0, 1));
    assert!(world.get("mine").is_confirmed, "two lists");
    // A change by the cloud does not withdraw the confirmation.
    world.list(&[row("fra1", 2)]);
    world.sync(recorded).await;
    assert!(world.get("mine").is_confirmed);
    world.list(&[row("nyc3", 2)]);
    world.sync(recorded).await;
    assert!(!world.get("mine").is_confirmed);
    world.single(&json!({"name": "mine", "region": "nyc3", "storage_usage_bytes": 3}));
    world.inventory.fetch(&ResourceKey::new(world.kind, "mine"), DAY).await;
    assert!(world.get("mine").is_confirmed, "a direct question");
    // The next list agrees, except for parts that only it shows.
    assert_eq!(world.sync(recorded).await.confirmed, 0);
    assert!(world.get("mine").is_confirmed);
    // A list that is unchanged since before the GET is no news: the GET counts.
    world.single(&json!({"name": "mine", "region": "ams3"}));
    world.fetch("mine", DAY).await;
    for _ in 0..2 {
        assert_eq!(world.sync(recorded).await.changed.len(), 0);
        assert_eq!((world.json("mine")["region"].as_str(), world.get("mine").is_confirmed), (Some("ams3"), true));
    }
    // Once the GET is too old, it is unknown which of them is right.
    let key = ResourceKey::new(world.kind, "mine");
    tokio::time::sleep(Duration::from_millis(60)).await;
    world.sync(recorded).await;
    let Observation::Present(document) = world.inventory.get(&key, Duration::from_millis(50)) else { panic!() };
    assert!(document.json.contains("nyc3") && !document.is_confirmed, "{document:?}");
    let (expired, _) = world.inventory.expire(world.kind, Duration::from_millis(50));
    assert_eq!(expired, ["mine".into()]);
    // A list with a third value is news.
    world.list(&[row("lon1", 2)]);
    world.sync(recorded).await;
    assert_eq!((world.json("mine")["region"].as_str(), world.get("mine").is_confirmed), (Some("lon1"), false));
}

#[tokio::test]
async fn a_fresh_read_leaves_unknown_what_could_not_be_read_just_now() {
    let world = World::of("Database").await;
    let path = format!("/v2/databases/{ONE}/firewall");
    world.list(&[json!({"id": ONE, "name": "db"})]);
    world.single(&json!({"id": ONE, "name": "db"}));
    world.set(&path, json!({"rules": [{"type": "tag", "value": "web"}]}));
    world.sync(&[(ONE, &["rules", "name"])]).await;
    let is_unread = |document: &Document| document.unread.iter().any(|unread| unread.path.to_string() == "rules");
    let fresh = world.fetch(ONE, DAY).await;
    assert!(!is_unread(&fresh) && !fresh.is_partial);
    world.forbid(&path);
    let fresh = world.fetch(ONE, DAY).await;
    assert!(is_unread(&fresh) && fresh.is_partial && !fresh.json.contains("rules"), "{fresh:?}");
    let why = &fresh.unread.iter().find(|unread| unread.path.to_string() == "rules").unwrap().why;
    assert!(why.contains("403"), "{why}");
    // The inventory keeps it for a while.
    assert!(!is_unread(&world.get(ONE)));
}

#[tokio::test]
async fn what_only_lists_show_counts_in_a_fresh_read_where_two_lists_say_it_and_they_are_young() {
    let world = World::of("Registry").await;
    let listed =
        |tier: &str| world.list(&[json!({"name": "mine", "region": "fra1", "subscription": {"tier": {"slug": tier}}})]);
    world.single(&json!({"name": "mine", "region": "fra1"}));
    let recorded: &[(&str, &[&str])] = &[("mine", &["subscription_tier_slug", "region"])];
    let is_unread =
        |document: &Document| document.unread.iter().any(|unread| unread.path.to_string() == "subscription");
    listed("basic");
    world.sync(recorded).await;
    assert!(is_unread(&world.fetch("mine", DAY).await), "one list alone");
    assert!(!is_unread(&world.get("mine")), "which is enough where nothing differs");
    world.sync(recorded).await;
    assert!(!is_unread(&world.fetch("mine", DAY).await), "two lists");
    listed("professional");
    world.sync(recorded).await;
    assert!(!world.get("mine").is_confirmed);
    assert!(is_unread(&world.fetch("mine", DAY).await), "it changed in one list");
    world.sync(recorded).await;
    assert!(world.get("mine").is_confirmed);
    assert!(!is_unread(&world.fetch("mine", DAY).await));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(is_unread(&world.fetch("mine", Duration::from_millis(50)).await), "too old");
}

#[tokio::test]
async fn a_list_of_parts_that_changed_is_confirmed_by_the_part_itself_or_by_the_next_list() {
    let world = World::of("Droplet").await;
    world.set("/v2/droplets", json!({"droplets": [droplet(1, &["ipv6"])], "meta": {"total": 1}}));
    world.single(&droplet(1, &["ipv6"]));
    let part =
        |hour: u32| json!({"droplet_id": 1, "backup_enabled": true, "backup_policy": {"plan": "weekly", "hour": hour}});
    let policies = |hour: u32| {
        world.set("/v2/droplets/backups/policies", json!({"policies": {"1": part(hour)}, "meta": {"total": 1}}));
    };
    let recorded: &[(&str, &[&str])] = &[("1", &["backup_policy"])];
    policies(20);
    world.sync(recorded).await;
    world.sync(recorded).await;
    assert!(world.get("1").is_confirmed);
    policies(4);
    world.sync(recorded).await;
    assert!(!world.get("1").is_confirmed, "the row of the droplet is the same, its policy is not");
    assert_eq!(world.sync(recorded).await.confirmed, 1);
    assert!(world.get("1").is_confirmed, "two lists of policies");
    policies(8);
    world.sync(recorded).await;
    world.set("/v2/droplets/1/backups/policy", json!({"policy": part(8)}));
    world.fetch("1", DAY).await;
    assert!(world.get("1").is_confirmed, "the policy itself");
    // An unrecorded part needs no confirmation.
    policies(12);
    world.sync(&[("1", &["name"])]).await;
    assert!(world.get("1").is_confirmed);
}

#[tokio::test]
async fn reads_that_confirm_changes_take_from_the_allowance() {
    let world = World::of("VPC").await;
    world.list(&[json!({"id": ONE, "name": "a"})]);
    world.single(&json!({"id": ONE, "name": "b"}));
    world.sync(&[(ONE, &["name"])]).await;
    *world.inventory.0.allowance.lock() = Allowance::of(8, 200);
    let key = ResourceKey::new(world.kind, ONE);
    let calls = || world.calls(&format!("/v2/vpcs/{ONE}"));
    for _ in 0..5 {
        world.inventory.confirm_change(&key, DAY).await;
    }
    // A quarter of eight.
    assert_eq!(calls(), 2);
    assert!(world.inventory.confirm_change(&key, DAY).await.is_none(), "the next list confirms it");
    // Resources with decisions are read anyway.
    world.fetch(ONE, DAY).await;
    assert_eq!(calls(), 3);
}

#[tokio::test]
async fn a_list_that_confirms_changes_takes_from_the_allowance() {
    let world = World::of("VPC").await;
    world.list(&[json!({"id": ONE, "name": "a"})]);
    world.sync(&[(ONE, &["name"])]).await;
    *world.inventory.0.allowance.lock() = Allowance::of(8, 200);
    assert!(!world.inventory.may_confirm_by_list(world.kind, 0), "reading none takes no call");
    let lists = (0..5).filter(|_| world.inventory.may_confirm_by_list(world.kind, 7)).count();
    // A quarter of eight.
    assert_eq!(lists, 2);
}

#[test]
fn a_long_list_takes_calls_in_advance() {
    let mut allowance = Allowance::of(8, 200);
    assert!(!allowance.take(5));
    assert!(allowance.take_in_advance(5));
    assert!(!allowance.take_in_advance(5));
    assert!(!allowance.take(1));
    assert!(allowance.left <= -2.9, "{}", allowance.left);
}

#[tokio::test]
async fn a_row_that_moves_by_itself_stays_confirmed() {
    let world = World::of("KubernetesCluster").await;
    let cluster = |updated: u32| json!({"id": ONE, "name": "k", "node_pools": [{"id": "p", "count": 1, "nodes": [{"id": "n", "updated_at": updated}]}]});
    let recorded: &[(&str, &[&str])] = &[(ONE, &["node_pools"])];
    for updated in 0..4 {
        world.list(&[cluster(updated)]);
        world.sync(recorded).await;
        assert_eq!(world.get(ONE).is_confirmed, updated > 0);
    }
}

#[test]
fn a_resource_whose_row_a_get_contradicts_is_read_again_after_growing_pauses() {
    let kind = Kind::named("VPC").unwrap();
    let (row, fields) = (kind.row(), FieldSet::of(kind, ["name"]));
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let listed = |text: &str| ListedText::of(row, text, &Examples::default());
    let list =
        |before: Option<&Responses>, seconds| Responses::listed(row, before, listed(r#"{"name":"old"}"#), at(seconds));
    let get = |before: &Responses, seconds| Responses::got(row, Some(before), r#"{"name":"new"}"#, at(seconds));
    let first = get(&list(None, 0), 1);
    // The time of the last GET, and the first time at which a list needs another one.
    let mut shown = first.clone();
    for (read, again) in [(1, 11), (11, 21), (21, 41), (41, 81), (1_300, 1_900), (1_900, 2_500)] {
        shown = get(&list(Some(&shown), read), read);
        for (seconds, wanted) in [(read + 1, false), (again - 1, false), (again, true)] {
            let wants = list(Some(&shown), seconds).wants(row, fields);
            assert_eq!(wants.get, wanted, "read at {read} s, listed at {seconds} s");
        }
    }
    let follow =
        |before: &Responses, seconds| Responses::listed(row, Some(before), listed(r#"{"name":"new"}"#), at(seconds));
    assert!(!follow(&follow(&first, 300), 1_800).wants(row, fields).get, "the list has followed");
}
