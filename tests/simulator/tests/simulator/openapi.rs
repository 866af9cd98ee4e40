//! Responses match DigitalOcean's API description; `tests/openapi` contains an extract of it.

use std::collections::{BTreeMap, BTreeSet};

use digitalocean_simulator::Control;
use jsonschema::{Draft, Registry};
use serde_json::{Map, Value, json};

use crate::common::{Answer, Client, demo, settle, start};

const DOCUMENT: &str = "https://openapi.invalid/digitalocean";

/// The extract. A separate test checks its operations one by one.
fn extract() -> Value {
    serde_json::from_str(include_str!("../../../openapi/digitalocean.json")).unwrap()
}

/// Converts OpenAPI 3.0's `nullable` to a type of null in JSON schema.
fn as_json_schema(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(as_json_schema).collect(),
        Value::Object(fields) => {
            let nullable = fields.get("nullable") == Some(&Value::Bool(true));
            let mut fields: Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name, as_json_schema(value))).collect();
            if !nullable {
                return Value::Object(fields);
            }
            fields.remove("nullable");
            json!({"anyOf": [{"type": "null"}, fields]})
        }
        other => other,
    }
}

/// Validates responses against the document, and records the validated operations.
struct Official<'a> {
    document: &'a Value,
    registry: Registry<'a>,
    checked: BTreeSet<String>,
    wrong: BTreeMap<String, Vec<String>>,
}

impl Official<'_> {
    /// The place of the schema for an operation's status, and whether the response has a body.
    fn schema(&self, method: &str, path: &str, status: u16) -> Option<String> {
        let escaped = path.replace('~', "~0").replace('/', "~1");
        let mut place = format!("/paths/{escaped}/{method}/responses/{status}");
        let response = self.document.pointer(&place)?;
        if let Some(reference) = response.get("$ref").and_then(Value::as_str) {
            reference.trim_start_matches('#').clone_into(&mut place);
        }
        Some(place)
    }

    fn check(&mut self, operation: &str, answer: &Answer) {
        let name = format!("{operation} {}", answer.status.as_u16());
        let (method, path) = operation.split_once(' ').unwrap();
        let Some(place) = self.schema(&method.to_lowercase(), path, answer.status.as_u16()) else {
            let body = String::from_utf8_lossy(&answer.bytes).into_owned();
            self.wrong.entry(name).or_default().push(format!("no such response is documented; the body was {body}"));
            return;
        };
        let wrong = self.errors(&place, answer);
        if !wrong.is_empty() {
            self.wrong.insert(name.clone(), wrong);
        }
        self.checked.insert(name);
    }

    fn errors(&self, place: &str, answer: &Answer) -> Vec<String> {
        let response = self.document.pointer(place).unwrap();
        let mut wrong: Vec<String> = response
            .get("headers")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(header, _)| {
                header.starts_with("ratelimit-") && answer.header(header).is_none() && answer.status != 401
            })
            .map(|(header, _)| format!("the header {header} is missing"))
            .collect();
        if response.pointer("/content/application~1json/schema").is_none() {
            if !answer.bytes.is_empty() {
                wrong.push("there should be no body".to_owned());
            }
            return wrong;
        }
        let pointer: String =
            format!("{place}/content/application~1json/schema").replace('{', "%7B").replace('}', "%7D");
        let schema = json!({"$ref": format!("{DOCUMENT}#{pointer}")});
        let validator =
            jsonschema::options().with_draft(Draft::Draft4).with_registry(&self.registry).build(&schema).unwrap();
        wrong.extend(
            validator
                .iter_errors(&answer.json())
                .map(|error| format!("{}: {:.300}", error.instance_path(), error.to_string())),
        );
        wrong
    }
}

#[test]
fn the_extract_contains_every_listed_operation_and_its_references() {
    let extract = extract();
    let listed: BTreeSet<&str> = include_str!("../../../openapi/operations.txt").lines().collect();
    let mut held = BTreeSet::new();
    for (path, item) in extract["paths"].as_object().unwrap() {
        held.extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    assert_eq!(listed, held.iter().map(String::as_str).filter(|it| !it.starts_with("PARAMETERS ")).collect());
    let mut open = vec![&extract];
    while let Some(value) = open.pop() {
        if let Some(place) = value.get("$ref").and_then(Value::as_str) {
            assert!(extract.pointer(place.trim_start_matches('#')).is_some(), "{place}");
        }
        open.extend(value.as_object().into_iter().flat_map(Map::values));
        open.extend(value.as_array().into_iter().flatten());
    }
}

#[test]
fn reading_a_kind_takes_the_scope_that_the_description_names() {
    let extract = extract();
    let kinds: BTreeMap<String, Value> = serde_json::from_str(include_str!("../../src/scopes.json")).unwrap();
    let paths = extract["paths"].as_object().unwrap();
    for (collection, scopes) in kinds {
        // A parent's id has its own name in the description.
        let is_it = |path: &str| {
            let named = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
            path.split('/').map(named).collect::<Vec<_>>().join("/") == format!("/v2/{collection}")
        };
        let (_, item) = paths.iter().find(|(path, _)| is_it(path)).unwrap_or_else(|| panic!("{collection}"));
        let described = item["get"]["security"][0]["bearer_auth"].as_array().unwrap();
        assert!(described.contains(&scopes["read"]), "{collection}: {described:?}");
    }
}

#[tokio::test]
async fn a_change_takes_the_scopes_that_the_description_names() {
    use digitalocean_simulator::{Effect, Fault};
    let (simulator, client) = start(demo()).await;
    let extract = extract();
    let mut checked = 0;
    for (path, item) in extract["paths"].as_object().unwrap() {
        // Sinks are not served.
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|_| !path.starts_with("/v2/monitoring/sinks"))
        {
            let Some(alternatives) = operation["security"].as_array().filter(|_| method != "get") else { continue };
            let path = path.replace(['{', '}'], "");
            let mut refused = Vec::new();
            for scope in alternatives.iter().flat_map(|it| it["bearer_auth"].as_array().unwrap()) {
                let without = Effect::WithoutScopes { scopes: vec![scope.as_str().unwrap().to_owned()] };
                simulator.control().clear_faults().await.unwrap();
                simulator.control().inject(Fault::new("*", without)).await.unwrap();
                let answer = client.call(&method.to_uppercase(), &path, Some(&json!({}))).await;
                refused.push(
                    answer.status == 403 && answer.json()["message"].as_str().unwrap().contains("not authorized"),
                );
            }
            assert!(refused.contains(&true), "{method} {path}: {alternatives:?}");
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

/// The required fields of a body.
fn required(document: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        return required(document, document.pointer(place.trim_start_matches('#')).unwrap());
    }
    let own = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let mut fields: BTreeSet<String> = own.map(|field| field.as_str().unwrap().to_owned()).collect();
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        fields.extend(required(document, part));
    }
    fields
}

/// Makes each documented change of an existing resource without a required field of its body.
#[tokio::test]
async fn a_change_without_a_required_field_is_refused() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let mut places: Vec<(String, String)> = Vec::new();
    for (collection, path, id_name) in KINDS {
        let given = match *collection {
            "reserved_ips" => json!({"ip": "203.0.113.7"}),
            "reserved_ipv6" => json!({"ip": "2001:db8::7"}),
            "domains" => json!({"name": "example.com"}),
            "registries" | "tags" => json!({"name": "blue"}),
            "uptime/checks" => json!({"id": "4de7ac8b-cdb3-4d96-9d6b-7f2a04b9d3d1"}),
            _ => json!({}),
        };
        let document = control.put(collection, given).await.unwrap();
        let id = ["id", "ip", "uuid", "access_key", "namespace", "name"].iter().find_map(|field| document.get(*field));
        let id = id.unwrap_or_else(|| panic!("{collection}: {document}"));
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        places.push((format!("/v2/{path}/{{{id_name}}}"), format!("/v2/{collection}/{id}")));
    }
    let check = "uptime/checks/4de7ac8b-cdb3-4d96-9d6b-7f2a04b9d3d1";
    let alert = control.put(&format!("{check}/alerts"), json!({})).await.unwrap()["id"].as_str().unwrap().to_owned();
    let pattern = "/v2/uptime/checks/{check_id}/alerts/{alert_id}".to_owned();
    places.push((pattern, format!("/v2/{check}/alerts/{alert}")));
    let before = control.inventory().await.unwrap();
    let extract = extract();
    let (mut checked, mut taken) = (Vec::new(), Vec::new());
    for (path, item) in extract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "get") {
            let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
            // The API keeps omitted fields of a node pool, contrary to the description.
            let is_kept = path.ends_with("/node_pools/{node_pool_id}");
            let creates = method == "post" && ["alerts", "node_pools", "peerings"].iter().any(|it| path.ends_with(it));
            let is_served = path.contains('{') && !path.starts_with("/v2/monitoring/sinks");
            if required(&extract, body).is_empty() || is_kept || creates || !is_served {
                continue;
            }
            let at = places.iter().rev().fold(path.clone(), |at, (pattern, place)| at.replacen(pattern, place, 1));
            let answer = client.call(&method.to_uppercase(), &at, Some(&json!({}))).await;
            let change = format!("{method} {path}: {}", answer.status);
            if [400, 422].contains(&answer.status.as_u16()) { checked.push(change) } else { taken.push(change) }
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
    assert_eq!(control.inventory().await.unwrap(), before);
    assert!(checked.len() > 30, "{checked:?}");
}

#[tokio::test]
async fn responses_validate_against_the_official_document() {
    let document = as_json_schema(extract());
    let registry = Registry::new().draft(Draft::Draft4).add(DOCUMENT, document.clone()).unwrap().prepare().unwrap();
    let mut official = Official { document: &document, registry, checked: BTreeSet::new(), wrong: BTreeMap::new() };
    let (simulator, client) = start(demo()).await;
    every_kind(&mut official, &simulator, &client).await;
    droplets(&mut official, &client).await;
    volumes(&mut official, &client).await;
    addresses(&mut official, &client).await;
    mutations(&mut official, &simulator.control(), &client).await;
    errors(&mut official, &simulator, &client).await;
    a_wrong_answer_is_noticed(&official, &simulator, &client).await;

    for name in &official.checked {
        println!("{} {name}", if official.wrong.contains_key(name) { "WRONG" } else { "ok   " });
    }
    println!("{} responses of the official document checked", official.checked.len());
    assert!(official.wrong.is_empty(), "{}", serde_json::to_string_pretty(&json!(official.wrong)).unwrap());
    assert!(official.checked.len() > 250, "only {} were checked", official.checked.len());
}

/// Proves that the checks above can fail.
async fn a_wrong_answer_is_noticed(
    official: &Official<'_>,
    simulator: &digitalocean_simulator::Simulator,
    client: &Client,
) {
    use digitalocean_simulator::{Effect, Fault};
    let place = official.schema("get", "/v2/droplets", 200).unwrap();
    assert!(official.errors(&place, &client.get("/v2/droplets").await).is_empty());
    simulator.control().change("droplets", "3164444", json!({"status": "asleep"})).await.unwrap();
    assert_eq!(official.errors(&place, &client.get("/v2/droplets").await).len(), 1, "a status that does not exist");
    simulator.control().change("droplets", "3164444", json!({"status": "active"})).await.unwrap();
    let omit = Effect::OmitFields { fields: vec!["networks".to_owned()] };
    simulator.control().inject(Fault::new("/v2/droplets", omit)).await.unwrap();
    assert!(!official.errors(&place, &client.get("/v2/droplets").await).is_empty(), "a required field is missing");
}

/// Collection, the document's path of the list, and the name of the id in the path of one resource.
const KINDS: &[(&str, &str, &str)] = &[
    ("droplets", "droplets", "droplet_id"),
    ("droplets/autoscale", "droplets/autoscale", "autoscale_pool_id"),
    ("volumes", "volumes", "volume_id"),
    ("snapshots", "snapshots", "snapshot_id"),
    ("images", "images", "image_id"),
    ("load_balancers", "load_balancers", "lb_id"),
    ("databases", "databases", "database_cluster_uuid"),
    ("firewalls", "firewalls", "firewall_id"),
    ("vpcs", "vpcs", "vpc_id"),
    ("vpc_peerings", "vpc_peerings", "vpc_peering_id"),
    ("vpc_nat_gateways", "vpc_nat_gateways", "id"),
    ("kubernetes/clusters", "kubernetes/clusters", "cluster_id"),
    ("domains", "domains", "domain_name"),
    ("domains/example.com/records", "domains/{domain_name}/records", "domain_record_id"),
    ("reserved_ips", "reserved_ips", "reserved_ip"),
    ("reserved_ipv6", "reserved_ipv6", "reserved_ipv6"),
    ("byoip_prefixes", "byoip_prefixes", "byoip_prefix_uuid"),
    ("projects", "projects", "project_id"),
    ("tags", "tags", "tag_id"),
    ("spaces/keys", "spaces/keys", "access_key"),
    ("cdn/endpoints", "cdn/endpoints", "cdn_id"),
    ("apps", "apps", "id"),
    ("certificates", "certificates", "certificate_id"),
    ("account/keys", "account/keys", "ssh_key_identifier"),
    ("functions/namespaces", "functions/namespaces", "namespace_id"),
    ("registries", "registries", "registry_name"),
    ("monitoring/alerts", "monitoring/alerts", "alert_uuid"),
    ("monitoring/sinks/destinations", "monitoring/sinks/destinations", "destination_uuid"),
    ("uptime/checks", "uptime/checks", "check_id"),
    ("partner_network_connect/attachments", "partner_network_connect/attachments", "pa_id"),
    ("nfs", "nfs", "nfs_id"),
    ("nfs/snapshots", "nfs/snapshots", "nfs_snapshot_id"),
    ("add-ons/saas", "add-ons/saas", "resource_uuid"),
];

async fn every_kind(official: &mut Official<'_>, simulator: &digitalocean_simulator::Simulator, client: &Client) {
    let control = simulator.control();
    for (collection, path, id_name) in KINDS {
        let id_field = match *collection {
            "reserved_ips" | "reserved_ipv6" => "ip",
            "domains" | "registries" | "tags" => "name",
            "byoip_prefixes" | "monitoring/alerts" | "add-ons/saas" => "uuid",
            "spaces/keys" => "access_key",
            "functions/namespaces" => "namespace",
            _ => "id",
        };
        // A resource that its user names needs a name; the rest is filled in.
        let given = match *collection {
            "reserved_ips" => json!({"ip": "203.0.113.7"}),
            "reserved_ipv6" => json!({"ip": "2001:db8::7"}),
            "domains" => json!({"name": "example.org"}),
            "registries" => json!({"name": "images"}),
            "tags" => json!({"name": "blue"}),
            _ => json!({}),
        };
        let document = control.put(collection, given).await.unwrap();
        let id = document[id_field].as_str().map_or_else(|| document[id_field].to_string(), str::to_owned);
        let list = client.get(&format!("/v2/{collection}?per_page=2")).await;
        official.check(&format!("GET /v2/{path}"), &list);
        let one = client.get(&format!("/v2/{collection}/{id}")).await;
        official.check(&format!("GET /v2/{path}/{{{id_name}}}"), &one);
    }
    let pool = control.put("droplets/autoscale", json!({})).await.unwrap()["id"].as_str().unwrap().to_owned();
    let members = format!("droplets/autoscale/{pool}/members");
    control.put(&members, json!({"droplet_id": 3_164_444})).await.unwrap();
    let members = client.get(&format!("/v2/{members}")).await;
    official.check("GET /v2/droplets/autoscale/{autoscale_pool_id}/members", &members);
    assert_eq!(members.json()["droplets"][0]["droplet_id"], 3_164_444);
    for path in ["/v2/account", "/v2/sizes", "/v2/regions"] {
        official.check(&format!("GET {path}"), &client.get(path).await);
    }
    let check = control.put("uptime/checks", json!({})).await.unwrap()["id"].as_str().unwrap().to_owned();
    let alert = client.post(&format!("/v2/uptime/checks/{check}/alerts"), json!({"name": "slow"})).await;
    official.check("POST /v2/uptime/checks/{check_id}/alerts", &alert);
    let id = alert.json()["alert"]["id"].as_str().unwrap().to_owned();
    let whole = json!({"name": "down", "type": "down", "notifications": {"email": [], "slack": []}, "period": "2m"});
    let changed = client.call("PUT", &format!("/v2/uptime/checks/{check}/alerts/{id}"), Some(&whole)).await;
    official.check("PUT /v2/uptime/checks/{check_id}/alerts/{alert_id}", &changed);
    official.check(
        "GET /v2/uptime/checks/{check_id}/alerts",
        &client.get(&format!("/v2/uptime/checks/{check}/alerts")).await,
    );
}

async fn droplets(official: &mut Official<'_>, client: &Client) {
    let request = json!({"name": "new-1", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": ["blue"], "ipv6": true});
    let created = client.post("/v2/droplets", request).await;
    official.check("POST /v2/droplets", &created);
    official.check("GET /v2/droplets", &client.get("/v2/droplets").await);
    let several = json!({"names": ["n-1", "n-2"], "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": ["many"]});
    let several = client.post("/v2/droplets", several).await;
    official.check("POST /v2/droplets", &several);
    assert_eq!(client.finish(&created).await, "completed");
    assert_eq!(client.finish(&several).await, "completed");
    let id = created.json()["droplet"]["id"].clone();
    let at = format!("/v2/droplets/{id}");
    for action in [
        json!({"type": "reboot"}),
        json!({"type": "enable_backups"}),
        json!({"type": "change_backup_policy", "backup_policy": {"plan": "daily", "hour": 4}}),
        json!({"type": "shutdown"}),
        json!({"type": "resize", "size": "s-2vcpu-4gb", "disk": true}),
        json!({"type": "power_on"}),
        json!({"type": "snapshot", "name": "before"}),
        json!({"type": "rename", "name": "new-2"}),
        json!({"type": "rebuild", "image": "debian-13-x64"}),
        json!({"type": "password_reset"}),
        json!({"type": "change_kernel", "kernel": 7515}),
        json!({"type": "power_cycle"}),
        json!({"type": "disable_backups"}),
    ] {
        let started = client.post(&format!("{at}/actions"), action.clone()).await;
        assert_eq!(started.status, 201, "{action}: {started:?}");
        official.check("POST /v2/droplets/{droplet_id}/actions", &started);
        assert_eq!(client.finish(&started).await, "completed");
        official.check("GET /v2/droplets/{droplet_id}", &client.get(&at).await);
        let policy = client.get(&format!("{at}/backups/policy")).await;
        official.check("GET /v2/droplets/{droplet_id}/backups/policy", &policy);
        let policies = client.get("/v2/droplets/backups/policies?per_page=3").await;
        official.check("GET /v2/droplets/backups/policies", &policies);
        let action = started.json()["action"]["id"].clone();
        official.check("GET /v2/actions/{action_id}", &client.get(&format!("/v2/actions/{action}")).await);
        official.check(
            "GET /v2/droplets/{droplet_id}/actions/{action_id}",
            &client.get(&format!("{at}/actions/{action}")).await,
        );
    }
    let tagged = client.post("/v2/droplets/actions?tag_name=many", json!({"type": "reboot"})).await;
    official.check("POST /v2/droplets/actions", &tagged);
    for part in ["actions", "snapshots", "backups", "kernels", "neighbors", "firewalls"] {
        official.check(&format!("GET /v2/droplets/{{droplet_id}}/{part}"), &client.get(&format!("{at}/{part}")).await);
    }
    official.check("GET /v2/droplets/{droplet_id}/firewalls", &client.get("/v2/droplets/3164444/firewalls").await);
    official.check("GET /v2/droplets", &client.get("/v2/droplets?type=gpus").await);
    official.check("GET /v2/actions", &client.get("/v2/actions?per_page=3&page=2").await);
    official.check("GET /v2/images", &client.get("/v2/images?private=true").await);
    let snapshots = client.get("/v2/snapshots?resource_type=droplet").await;
    official.check("GET /v2/snapshots", &snapshots);
    let snapshot = snapshots.json()["snapshots"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    official.check(
        "PUT /v2/images/{image_id}",
        &client.call("PUT", &format!("/v2/images/{snapshot}"), Some(&json!({"name": "kept"}))).await,
    );
    let transfer = json!({"type": "transfer", "region": "ams3"});
    let started = client.post(&format!("/v2/images/{snapshot}/actions"), transfer).await;
    official.check("POST /v2/images/{image_id}/actions", &started);
    assert_eq!(client.finish(&started).await, "completed");
    let action = started.json()["action"]["id"].clone();
    let list = client.get(&format!("/v2/images/{snapshot}/actions")).await;
    official.check("GET /v2/images/{image_id}/actions", &list);
    let one = client.get(&format!("/v2/images/{snapshot}/actions/{action}")).await;
    official.check("GET /v2/images/{image_id}/actions/{action_id}", &one);
    official.check("DELETE /v2/snapshots/{snapshot_id}", &client.delete(&format!("/v2/snapshots/{snapshot}")).await);
    official.check("POST /v2/tags", &client.post("/v2/tags", json!({"name": "late"})).await);
    let resources = json!({"resources": [{"resource_id": id.to_string(), "resource_type": "droplet"}]});
    official
        .check("POST /v2/tags/{tag_id}/resources", &client.post("/v2/tags/late/resources", resources.clone()).await);
    official.check("GET /v2/tags/{tag_id}", &client.get("/v2/tags/late").await);
    official.check(
        "DELETE /v2/tags/{tag_id}/resources",
        &client.call("DELETE", "/v2/tags/late/resources", Some(&resources)).await,
    );
    official.check("DELETE /v2/tags/{tag_id}", &client.delete("/v2/tags/late").await);
    official.check("DELETE /v2/droplets/{droplet_id}", &client.delete(&at).await);
    official.check("DELETE /v2/droplets", &client.delete("/v2/droplets?tag_name=many").await);
}

async fn volumes(official: &mut Official<'_>, client: &Client) {
    let created = client
        .post("/v2/volumes", json!({"name": "v", "region": "nyc3", "size_gigabytes": 10, "filesystem_type": "ext4"}))
        .await;
    official.check("POST /v2/volumes", &created);
    let at = format!("/v2/volumes/{}", created.json()["volume"]["id"].as_str().unwrap());
    for action in [
        json!({"type": "attach", "droplet_id": 3_164_444}),
        json!({"type": "resize", "size_gigabytes": 20}),
        json!({"type": "detach", "droplet_id": 3_164_444}),
    ] {
        let started = client.post(&format!("{at}/actions"), action).await;
        official.check("POST /v2/volumes/{volume_id}/actions", &started);
        assert_eq!(client.finish(&started).await, "completed");
        let action = started.json()["action"]["id"].clone();
        official.check(
            "GET /v2/volumes/{volume_id}/actions/{action_id}",
            &client.get(&format!("{at}/actions/{action}")).await,
        );
    }
    let named = json!({"type": "resize", "volume_name": "v", "size_gigabytes": 30, "region": "nyc3"});
    let named = client.post("/v2/volumes/actions", named).await;
    official.check("POST /v2/volumes/actions", &named);
    client.finish(&named).await;
    official.check("GET /v2/volumes/{volume_id}/actions", &client.get(&format!("{at}/actions")).await);
    let snapshot = client.post(&format!("{at}/snapshots"), json!({"name": "s"})).await;
    official.check("POST /v2/volumes/{volume_id}/snapshots", &snapshot);
    official.check("GET /v2/volumes/{volume_id}/snapshots", &client.get(&format!("{at}/snapshots")).await);
    let snapshot = format!("/v2/volumes/snapshots/{}", snapshot.json()["snapshot"]["id"].as_str().unwrap());
    official.check("GET /v2/volumes/snapshots/{snapshot_id}", &client.get(&snapshot).await);
    official.check("DELETE /v2/volumes/snapshots/{snapshot_id}", &client.delete(&snapshot).await);
    official.check("DELETE /v2/volumes/{volume_id}", &client.delete(&at).await);
}

async fn addresses(official: &mut Official<'_>, client: &Client) {
    let reserved = client.post("/v2/reserved_ips", json!({"region": "nyc3"})).await;
    official.check("POST /v2/reserved_ips", &reserved);
    let at = format!("/v2/reserved_ips/{}", reserved.json()["reserved_ip"]["ip"].as_str().unwrap());
    for action in [json!({"type": "assign", "droplet_id": 3_164_444}), json!({"type": "unassign"})] {
        let started = client.post(&format!("{at}/actions"), action).await;
        official.check("POST /v2/reserved_ips/{reserved_ip}/actions", &started);
        assert_eq!(client.finish(&started).await, "completed");
        official.check("GET /v2/reserved_ips/{reserved_ip}", &client.get(&at).await);
    }
    official.check("GET /v2/reserved_ips/{reserved_ip}/actions", &client.get(&format!("{at}/actions")).await);
    let assigned = client.post("/v2/reserved_ips", json!({"droplet_id": 3_164_445})).await;
    official.check("POST /v2/reserved_ips", &assigned);
    client.finish(&assigned).await;
    official.check("GET /v2/reserved_ips", &client.get("/v2/reserved_ips").await);
    official.check("DELETE /v2/reserved_ips/{reserved_ip}", &client.delete(&at).await);
    let reserved = client.post("/v2/reserved_ipv6", json!({"region_slug": "nyc3"})).await;
    official.check("POST /v2/reserved_ipv6", &reserved);
    let at = format!("/v2/reserved_ipv6/{}", reserved.json()["reserved_ipv6"]["ip"].as_str().unwrap());
    let started = client.post(&format!("{at}/actions"), json!({"type": "assign", "droplet_id": 3_164_446})).await;
    official.check("POST /v2/reserved_ipv6/{reserved_ipv6}/actions", &started);
    client.finish(&started).await;
    official.check("GET /v2/reserved_ipv6/{reserved_ipv6}", &client.get(&at).await);
    official.check("DELETE /v2/reserved_ipv6/{reserved_ipv6}", &client.delete(&at).await);
}

/// Creates, changes and deletes one resource of each kind without special rules.
async fn mutations(official: &mut Official<'_>, control: &Control, client: &Client) {
    let cases: Vec<Value> = serde_json::from_str(include_str!("mutations.json")).unwrap();
    for case in cases {
        let collection = case["collection"].as_str().unwrap();
        let path = format!("/v2/{}", collection.replace("example.com", "{domain_name}"));
        let one = format!("{path}/{{{}}}", case["id"].as_str().unwrap());
        let created = client.post(&format!("/v2/{collection}"), case["create"].clone()).await;
        official.check(&format!("POST {path}"), &created);
        let body = created.json();
        let document = body.as_object().and_then(|it| it.values().next()).cloned().unwrap_or_default();
        let id = ["id", "uuid", "access_key", "namespace", "name"]
            .iter()
            .find_map(|field| document.get(*field))
            .cloned()
            .unwrap_or_default();
        let at = format!("/v2/{collection}/{}", id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        // Some are not ready at first, and can only be changed after that.
        settle().await;
        match collection {
            "databases" => database(official, client, &at).await,
            "kubernetes/clusters" => node_pools(official, client, &at).await,
            "registries" => subscription(official, client).await,
            "apps" => deployments(official, control, client, &at).await,
            _ => {}
        }
        for (method, change) in case["change"].as_object().into_iter().flatten() {
            settle().await;
            let changed = client.call(method, &at, Some(change)).await;
            assert!(changed.status.is_success(), "{method} {at}: {changed:?}");
            official.check(&format!("{method} {one}"), &changed);
        }
        official.check(&format!("GET {one}"), &client.get(&at).await);
        official.check(&format!("DELETE {one}"), &client.delete(&at).await);
        assert_eq!(client.get(&at).await.status, 404, "{at}");
    }
    memberships(official, client).await;
}

async fn database(official: &mut Official<'_>, client: &Client, at: &str) {
    let path = "/v2/databases/{database_cluster_uuid}";
    for (what, request) in [
        ("maintenance", json!({"day": "monday", "hour": "13:00"})),
        ("firewall", json!({"rules": [{"type": "ip_addr", "value": "192.0.2.1"}]})),
        ("upgrade", json!({"version": "18"})),
        ("do_settings", json!({"do_settings": {"service_cnames": ["db.example.com"]}})),
        ("autoscale", json!({"storage": {"enabled": true, "threshold_percent": 80, "increment_gib": 10}})),
        ("resize", json!({"size": "db-s-2vcpu-4gb", "num_nodes": 2})),
        ("migrate", json!({"region": "sfo3"})),
    ] {
        let answer = client.call("PUT", &format!("{at}/{what}"), Some(&request)).await;
        official.check(&format!("PUT {path}/{what}"), &answer);
        assert!(answer.status.is_success(), "{what}: {answer:?}");
        official.check(&format!("GET {path}"), &client.get(at).await);
        settle().await;
        official.check(&format!("GET {path}"), &client.get(at).await);
    }
    for part in ["firewall", "autoscale", "do_settings", "events", "config", "dbs"] {
        let answer = client.get(&format!("{at}/{part}")).await;
        official.check(&format!("GET {path}/{part}"), &answer);
    }
    official.check(&format!("POST {path}/dbs"), &client.post(&format!("{at}/dbs"), json!({"name": "shop"})).await);
    official.check(&format!("GET {path}/dbs/{{database_name}}"), &client.get(&format!("{at}/dbs/shop")).await);
    official.check(&format!("DELETE {path}/dbs/{{database_name}}"), &client.delete(&format!("{at}/dbs/shop")).await);
    for (engine, part, value) in [("valkey", "eviction_policy", "allkeys_lru"), ("mysql", "sql_mode", "ANSI")] {
        let request =
            json!({"name": "e", "engine": engine, "region": "nyc3", "size": "db-s-1vcpu-1gb", "num_nodes": 1});
        let created = client.post("/v2/databases", request).await.json();
        let at = format!("/v2/databases/{}/{part}", created["database"]["id"].as_str().unwrap());
        let request = Value::Object(Map::from_iter([(part.to_owned(), json!(value))]));
        official.check(&format!("PUT {path}/{part}"), &client.call("PUT", &at, Some(&request)).await);
        official.check(&format!("GET {path}/{part}"), &client.get(&at).await);
        assert_eq!(client.get(&at).await.json(), request);
    }
    official.check("GET /v2/databases", &client.get("/v2/databases").await);
    official.check("GET /v2/databases/options", &client.get("/v2/databases/options").await);
    official.check(
        "PATCH /v2/databases/{database_cluster_uuid}/config",
        &client.call("PATCH", &format!("{at}/config"), Some(&json!({}))).await,
    );
}

async fn subscription(official: &mut Official<'_>, client: &Client) {
    official.check(
        "POST /v2/registries/subscription",
        &client.post("/v2/registries/subscription", json!({"tier_slug": "professional"})).await,
    );
    let subscription = client.get("/v2/registries/subscription").await;
    official.check("GET /v2/registries/subscription", &subscription);
    assert_eq!(subscription.json()["subscription"]["tier"]["slug"], "professional");
    official.check("GET /v2/registries", &client.get("/v2/registries").await);
    official.check("GET /v2/registries/options", &client.get("/v2/registries/options").await);
}

async fn deployments(official: &mut Official<'_>, control: &Control, client: &Client, at: &str) {
    let proposal = client.post("/v2/apps/propose", json!({"spec": {"name": "web", "region": "ams"}})).await;
    official.check("POST /v2/apps/propose", &proposal);
    let id = at.rsplit('/').next().unwrap();
    for how in ["commit", "revert"] {
        control.change("apps", id, json!({"pinned_deployment": {"id": id}})).await.unwrap();
        let unpinned = client.post(&format!("{at}/rollback/{how}"), json!({})).await;
        official.check(&format!("POST /v2/apps/{{app_id}}/rollback/{how}"), &unpinned);
    }
    let started = client.post(&format!("{at}/deployments"), json!({"force_build": true})).await;
    official.check("POST /v2/apps/{app_id}/deployments", &started);
    official.check("GET /v2/apps/{id}", &client.get(at).await);
    official.check("GET /v2/apps", &client.get("/v2/apps").await);
    let deployments = client.get(&format!("{at}/deployments")).await;
    official.check("GET /v2/apps/{app_id}/deployments", &deployments);
    let id = started.json()["deployment"]["id"].as_str().unwrap().to_owned();
    let one = client.get(&format!("{at}/deployments/{id}")).await;
    official.check("GET /v2/apps/{app_id}/deployments/{deployment_id}", &one);
}

async fn node_pools(official: &mut Official<'_>, client: &Client, at: &str) {
    let path = "/v2/kubernetes/clusters/{cluster_id}/node_pools";
    let pools = client.get(&format!("{at}/node_pools")).await;
    official.check(&format!("GET {path}"), &pools);
    assert_eq!(pools.json()["node_pools"][0]["count"], 2);
    let created =
        client.post(&format!("{at}/node_pools"), json!({"name": "q", "size": "s-2vcpu-4gb", "count": 1})).await;
    official.check(&format!("POST {path}"), &created);
    let pool = format!("{at}/node_pools/{}", created.json()["node_pool"]["id"].as_str().unwrap_or("none"));
    official.check(&format!("GET {path}/{{node_pool_id}}"), &client.get(&pool).await);
    let change = json!({"name": "q", "count": 3});
    official.check(&format!("PUT {path}/{{node_pool_id}}"), &client.call("PUT", &pool, Some(&change)).await);
    settle().await;
    official.check(&format!("GET {path}/{{node_pool_id}}"), &client.get(&pool).await);
    official.check(&format!("DELETE {path}/{{node_pool_id}}"), &client.delete(&pool).await);
    registries(official, client, at).await;
    let upgrades = client.get(&format!("{at}/upgrades")).await;
    official.check("GET /v2/kubernetes/clusters/{cluster_id}/upgrades", &upgrades);
    let path = "destroy_with_associated_resources";
    let associated = client.get(&format!("{at}/{path}")).await;
    official.check(&format!("GET /v2/kubernetes/clusters/{{cluster_id}}/{path}"), &associated);
    let version = json!({"version": upgrades.json()["available_upgrade_versions"][0]["slug"]});
    let started = client.post(&format!("{at}/upgrade"), version.clone()).await;
    official.check("POST /v2/kubernetes/clusters/{cluster_id}/upgrade", &started);
    official.check("GET /v2/kubernetes/clusters/{cluster_id}", &client.get(at).await);
    settle().await;
    assert_eq!(client.get(at).await.json()["kubernetes_cluster"]["version"], version["version"]);
}

/// With two registries, the path for accounts with one is refused.
async fn registries(official: &mut Official<'_>, client: &Client, at: &str) {
    for path in ["registry", "registry/subscription", "registry/options"] {
        official.check(&format!("GET /v2/{path}"), &client.get(&format!("/v2/{path}")).await);
    }
    let id = at.rsplit('/').next().unwrap();
    let request = json!({"cluster_uuids": [id], "registries": ["images"]});
    for method in ["POST", "DELETE"] {
        let answer = client.call(method, "/v2/kubernetes/registry", Some(&request)).await;
        official.check(&format!("{method} /v2/kubernetes/registry"), &answer);
        let answer = client.call(method, "/v2/kubernetes/registries", Some(&request)).await;
        official.check(&format!("{method} /v2/kubernetes/registries"), &answer);
        official.check("GET /v2/kubernetes/clusters/{cluster_id}", &client.get(at).await);
    }
}

async fn memberships(official: &mut Official<'_>, client: &Client) {
    let firewall = "/v2/firewalls/fb6045f1-cf1d-4ca3-bfac-18832663025b";
    let balancer = "/v2/load_balancers/4de7ac8b-495b-4884-9a69-1050c6793cd6";
    let inbound =
        json!({"inbound_rules": [{"protocol": "tcp", "ports": "443", "sources": {"addresses": ["0.0.0.0/0"]}}]});
    let forwarding = json!({"forwarding_rules": [{"entry_protocol": "tcp", "entry_port": 3306, "target_protocol": "tcp", "target_port": 3306}]});
    for (at, part, request) in [
        (firewall, "droplets", json!({"droplet_ids": [3_164_446]})),
        (firewall, "tags", json!({"tags": ["blue"]})),
        (firewall, "rules", inbound),
        (balancer, "droplets", json!({"droplet_ids": [3_164_446]})),
        (balancer, "forwarding_rules", forwarding),
    ] {
        let path = if at == firewall { "/v2/firewalls/{firewall_id}" } else { "/v2/load_balancers/{lb_id}" };
        let before = client.get(at).await.json();
        official
            .check(&format!("POST {path}/{part}"), &client.call("POST", &format!("{at}/{part}"), Some(&request)).await);
        assert_ne!(client.get(at).await.json(), before, "{path}/{part}");
        settle().await;
        official.check(
            &format!("DELETE {path}/{part}"),
            &client.call("DELETE", &format!("{at}/{part}"), Some(&request)).await,
        );
        settle().await;
        assert_eq!(client.get(at).await.json(), before, "{path}/{part}");
    }
    let project = client.post("/v2/projects", json!({"name": "p", "purpose": "x"})).await.json()["project"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let assigned =
        client.post(&format!("/v2/projects/{project}/resources"), json!({"resources": ["do:droplet:3164444"]})).await;
    official.check("POST /v2/projects/{project_id}/resources", &assigned);
    official.check(
        "GET /v2/projects/{project_id}/resources",
        &client.get(&format!("/v2/projects/{project}/resources")).await,
    );
    let whole = json!({"name": "p", "description": "", "purpose": "IoT", "environment": "Staging", "is_default": true});
    let at = format!("/v2/projects/{project}");
    official.check("PUT /v2/projects/{project_id}", &client.call("PUT", &at, Some(&whole)).await);
    official.check("GET /v2/projects/default", &client.get("/v2/projects/default").await);
    let renamed = client.call("PATCH", "/v2/projects/default", Some(&json!({"name": "q"}))).await;
    official.check("PATCH /v2/projects/default", &renamed);
    official.check("PUT /v2/projects/default", &client.call("PUT", "/v2/projects/default", Some(&whole)).await);
    let other = client.post("/v2/projects", json!({"name": "other", "purpose": "IoT"})).await.json();
    let other = format!("/v2/projects/{}", other["project"]["id"].as_str().unwrap());
    client.post(&format!("{other}/resources"), json!({"resources": ["do:droplet:3164444"]})).await;
    client.call("PATCH", &other, Some(&json!({"is_default": true}))).await;
    official.check("DELETE /v2/projects/{project_id}", &client.delete(&at).await);
}

async fn errors(official: &mut Official<'_>, simulator: &digitalocean_simulator::Simulator, client: &Client) {
    use digitalocean_simulator::{Effect, Fault};
    official.check("GET /v2/droplets/{droplet_id}", &client.get("/v2/droplets/1").await);
    official.check("GET /v2/volumes/{volume_id}", &client.get("/v2/volumes/none").await);
    official.check("DELETE /v2/droplets/{droplet_id}", &client.delete("/v2/droplets/1").await);
    for status in [401, 429, 500] {
        let fault = Fault::new("*", Effect::Status { status, retry_after: None, html: false }).times(3);
        simulator.control().inject(fault).await.unwrap();
        official.check("GET /v2/droplets", &client.get("/v2/droplets").await);
        official.check("POST /v2/droplets", &client.post("/v2/droplets", json!({})).await);
        official.check("GET /v2/actions/{action_id}", &client.get("/v2/actions/1").await);
    }
}
