//! The updates of each kind: the fields that they restore, reset and refuse.

use std::{collections::BTreeSet, time::Duration};

use digitalocean_simulator::{Options, Simulator};
use serde_json::{Map, Value, json};

use crate::common::{Answer, Client, demo, settle, start};

const BALANCER: &str = "4de7ac8b-495b-4884-9a69-1050c6793cd6";
const FIREWALL: &str = "fb6045f1-cf1d-4ca3-bfac-18832663025b";
const VPC: &str = "760e09ef-dc84-11e8-981e-3cfdfeaae000";
const CLUSTER: &str = "bd5f5959-5e1e-4205-a714-a914373942af";

/// Waits for actions of 0.3 s, which are slow enough to observe states in between on a loaded machine.
async fn settle_slowly() {
    tokio::time::sleep(Duration::from_millis(320)).await;
}

fn message(answer: &Answer) -> String {
    format!("{} {}", answer.status.as_u16(), answer.json()["message"].as_str().unwrap_or_default())
}

/// A kind whose update sends the whole document.
struct Kind {
    collection: &'static str,
    key: &'static str,
    /// Its initial document.
    document: Value,
    /// The fields that are not sent back.
    left_out: &'static [&'static str],
    /// The fields that an update can restore, each with a colleague's value.
    drifts: Value,
}

fn rule(port: u16) -> Value {
    json!({"entry_protocol": "tcp", "entry_port": port, "target_protocol": "tcp", "target_port": port})
}

fn balancer() -> Kind {
    Kind {
        collection: "load_balancers",
        key: "load_balancer",
        document: json!({
            "id": "6b1c5a3e-0f5b-4f7c-9d38-1d9a1f0d8a11", "name": "shop", "region": "nyc3", "droplet_ids": [3_164_444, 3_164_445],
            "size_unit": 2, "forwarding_rules": [rule(80), rule(443)], "health_check": {"protocol": "http", "port": 8080, "path": "/up", "proxy_protocol": true},
            "sticky_sessions": {"type": "cookies", "cookie_name": "c", "cookie_ttl_seconds": 300}, "redirect_http_to_https": true,
            "enable_proxy_protocol": true, "enable_backend_keepalive": true, "http_idle_timeout_seconds": 90, "tls_cipher_policy": "STRONG",
            "disable_lets_encrypt_dns_records": true, "firewall": {"allow": ["cidr:10.0.0.0/8"], "deny": ["ip:192.0.2.1"]},
            "subnet_uuid": "1c0e5b3e-6f0a-4b51-8f5c-0d6c1c9a7f42",
        }),
        left_out: &["id", "ip", "ipv6", "status", "created_at", "tag", "size"],
        drifts: json!({
            "name": "other", "forwarding_rules": [rule(81)], "health_check": {"port": 81}, "sticky_sessions": {"cookie_name": "d"},
            "redirect_http_to_https": false, "enable_proxy_protocol": false, "enable_backend_keepalive": false,
            "http_idle_timeout_seconds": 60, "tls_cipher_policy": "DEFAULT", "disable_lets_encrypt_dns_records": false,
            "firewall": {"deny": []}, "size_unit": 4, "droplet_ids": [3_164_444],
        }),
    }
}

/// A load balancer that forwards to other load balancers.
fn global() -> Kind {
    let domain = |name: &str| json!([{"name": name, "is_managed": true, "certificate_id": ""}]);
    Kind {
        collection: "load_balancers",
        key: "load_balancer",
        document: json!({
            "id": "0d1e3f5c-7d0d-4d6a-9d0a-5b5f4c0f6e2b", "name": "world", "type": "GLOBAL", "forwarding_rules": [],
            "domains": domain("example.com"), "target_load_balancer_ids": [BALANCER],
            "glb_settings": {"target_protocol": "http", "target_port": 80, "cdn": {"is_enabled": true}},
        }),
        left_out: &["id", "ip", "ipv6", "status", "created_at", "tag"],
        drifts: json!({"domains": domain("example.org"), "target_load_balancer_ids": [], "glb_settings": {"cdn": {"is_enabled": false}}}),
    }
}

fn kinds() -> Vec<Kind> {
    let ports = |ports: &str| json!([{"protocol": "tcp", "ports": ports, "sources": {"addresses": ["10.0.0.0/8"], "tags": ["web"]}}]);
    let leaving = |ports: &str| json!([{"protocol": "udp", "ports": ports, "destinations": {"addresses": ["::/0"]}}]);
    vec![
        balancer(),
        global(),
        Kind {
            collection: "firewalls",
            key: "firewall",
            document: json!({"name": "fw", "inbound_rules": ports("22"), "outbound_rules": leaving("53"), "droplet_ids": [3_164_444], "tags": ["prod"]}),
            left_out: &["id", "status", "created_at", "pending_changes"],
            drifts: json!({
                "name": "other", "inbound_rules": ports("8000-9000"), "outbound_rules": [], "droplet_ids": [3_164_445], "tags": ["web"],
            }),
        },
        Kind {
            collection: "monitoring/alerts",
            key: "policy",
            document: json!({"alerts": {"email": [], "slack": [{"channel": "ops", "url": "https://hooks.slack.com/services/T/B/x"}]}}),
            left_out: &["uuid"],
            drifts: json!({
                "alerts": {"email": ["sammy@example.com"]}, "compare": "LessThan", "description": "other", "enabled": false, "value": 1.5,
                "window": "1h", "entities": ["3164444"], "tags": ["web"], "type": "v1/insights/droplet/load_1",
            }),
        },
        Kind {
            collection: "uptime/checks",
            key: "check",
            document: json!({}),
            left_out: &["id"],
            drifts: json!({"name": "other", "type": "http", "target": "http://example.org", "regions": ["se_asia"], "enabled": false}),
        },
        Kind {
            collection: "vpc_nat_gateways",
            key: "vpc_nat_gateway",
            document: json!({"vpcs": [{"vpc_uuid": VPC, "default_gateway": true, "subnet_uuid": "1c0e5b3e-6f0a-4b51-8f5c-0d6c1c9a7f42"}], "tcp_timeout_seconds": 40, "udp_timeout_seconds": 41, "icmp_timeout_seconds": 42}),
            left_out: &["id", "state", "region", "egresses", "created_at", "updated_at", "project_id"],
            drifts: json!({"name": "other", "size": 3, "udp_timeout_seconds": 31, "icmp_timeout_seconds": 32, "tcp_timeout_seconds": 33}),
        },
        Kind {
            collection: "cdn/endpoints",
            key: "endpoint",
            document: json!({"ttl": 600, "custom_domain": "static.example.com", "certificate_id": "needs-cloudflare-cert"}),
            left_out: &["id", "origin", "endpoint", "created_at"],
            drifts: json!({"ttl": 60, "custom_domain": "other.example.com", "certificate_id": null}),
        },
    ]
}

fn without(document: &Value, fields: &[&str]) -> Map<String, Value> {
    let mut left = document.as_object().unwrap().clone();
    left.retain(|field, _| !fields.contains(&field.as_str()));
    left
}

/// The body of a careful client: the document without the fields that must not be sent, in the spelling of writes.
async fn body_of(client: &Client, kind: &Kind, at: &str) -> Map<String, Value> {
    let read = client.get(at).await.json()[kind.key].clone();
    let mut body = without(&read, kind.left_out);
    if kind.collection == "load_balancers"
        && let Some(slug) = read.pointer("/region/slug")
    {
        body.insert("region".to_owned(), slug.clone());
    }
    for vpc in body.get_mut("vpcs").and_then(Value::as_array_mut).into_iter().flatten() {
        vpc.as_object_mut().unwrap().remove("gateway_ip");
    }
    body
}

async fn put(simulator: &Simulator, kind: &Kind) -> String {
    let put = simulator.control().put(kind.collection, kind.document.clone()).await.unwrap();
    let id = put.get("id").or(put.get("uuid")).and_then(Value::as_str).unwrap();
    format!("/v2/{}/{id}", kind.collection)
}

#[tokio::test]
async fn every_field_of_a_full_update_can_be_restored_alone() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    for kind in kinds() {
        let at = put(&simulator, &kind).await;
        let before = client.get(&at).await.json();
        let inventory = control.inventory().await.unwrap();
        for (field, drifted) in kind.drifts.as_object().unwrap() {
            let id = at.rsplit('/').next().unwrap();
            let patch = Value::Object(Map::from_iter([(field.clone(), drifted.clone())]));
            control.change(kind.collection, id, patch).await.unwrap();
            assert_ne!(control.inventory().await.unwrap(), inventory, "{at} {field}");
            let mut body = body_of(&client, &kind, &at).await;
            body.insert(field.clone(), before[kind.key][field].clone());
            let answer = client.call("PUT", &at, Some(&Value::Object(body))).await;
            assert_eq!(answer.status, 200, "{at} {field}: {answer:?}");
            settle().await;
            assert_eq!(control.inventory().await.unwrap(), inventory, "{at} {field}");
            let mut after = client.get(&at).await.json();
            if let Some(updated) = before[kind.key].get("updated_at") {
                after[kind.key]["updated_at"] = updated.clone();
            }
            assert_eq!(after.to_string(), before.to_string(), "{at} {field}: byte for byte");
        }
    }
}

/// Removes one field at a time from a full update: the update is refused, or the field is reset.
#[tokio::test]
async fn omitted_fields_of_a_full_update_are_required_or_reset() {
    let (simulator, client) = start(demo()).await;
    let mut reset = BTreeSet::new();
    for kind in kinds() {
        let at = put(&simulator, &kind).await;
        let before = client.get(&at).await.json()[kind.key].clone();
        for field in kind.drifts.as_object().unwrap().keys() {
            let whole = body_of(&client, &kind, &at).await;
            let mut part = whole.clone();
            part.remove(field);
            let answer = client.call("PUT", &at, Some(&Value::Object(part))).await;
            settle().await;
            let after = client.get(&at).await.json()[kind.key].clone();
            if answer.status == 200 {
                assert_ne!(after.get(field), before.get(field), "{at} {field} must not stay");
                reset.insert(format!("{} {field}", kind.collection));
                client.call("PUT", &at, Some(&Value::Object(whole))).await;
                settle().await;
            } else {
                assert_eq!(answer.status, 422, "{at} {field}: {answer:?}");
            }
            let after = client.get(&at).await.json()[kind.key].clone();
            assert_eq!(without(&after, &["updated_at"]), without(&before, &["updated_at"]), "{at} {field}");
        }
    }
    for field in [
        "load_balancers health_check",
        "load_balancers droplet_ids",
        "load_balancers firewall",
        "load_balancers glb_settings",
        "firewalls droplet_ids",
        "firewalls tags",
        "firewalls inbound_rules",
        "vpc_nat_gateways tcp_timeout_seconds",
        "cdn/endpoints ttl",
        "cdn/endpoints custom_domain",
    ] {
        assert!(reset.contains(field), "{field} is not reset: {reset:?}");
    }
}

#[tokio::test]
async fn a_partial_object_resets_its_other_keys() {
    let (simulator, client) = start(demo()).await;
    let kind = balancer();
    let at = put(&simulator, &kind).await;
    let mut body = body_of(&client, &kind, &at).await;
    body.insert("health_check".to_owned(), json!({"port": 8080}));
    body.remove("subnet_uuid");
    client.call("PUT", &at, Some(&Value::Object(body))).await;
    let after = client.get(&at).await.json()["load_balancer"].clone();
    assert_eq!((&after["health_check"]["path"], &after["health_check"]["port"]), (&json!("/"), &json!(8080)));
    assert_eq!((after["health_check"].get("proxy_protocol"), after.get("subnet_uuid")), (None, None));
}

/// A body can omit the VPCs of a gateway, but cannot copy them from a list, which does not show the default gateway.
#[tokio::test]
async fn a_gateway_keeps_its_vpcs_and_resets_an_omitted_flag() {
    let (simulator, client) = start(demo()).await;
    let kind = kinds().into_iter().find(|kind| kind.collection == "vpc_nat_gateways").unwrap();
    let at = put(&simulator, &kind).await;
    let flag = async || client.get(&at).await.json()["vpc_nat_gateway"]["vpcs"][0]["default_gateway"].clone();
    let mut body = body_of(&client, &kind, &at).await;
    body.remove("vpcs");
    assert_eq!(client.call("PUT", &at, Some(&json!(body))).await.status, 200);
    assert_eq!(flag().await, true);
    settle().await;
    let listed = client.get("/v2/vpc_nat_gateways").await.json()["vpc_nat_gateways"][0]["vpcs"].clone();
    body.insert("vpcs".to_owned(), json!([without(&listed[0], &["gateway_ip"])]));
    assert_eq!(client.call("PUT", &at, Some(&json!(body))).await.status, 200);
    assert_eq!(flag().await, false);
}

#[tokio::test]
async fn a_droplet_accepts_at_most_fifteen_volumes() {
    let (simulator, client) = start(demo()).await;
    for n in 0..15 {
        let volume = json!({"name": format!("v-{n}"), "droplet_ids": [3_164_444]});
        let volume = simulator.control().put("volumes", volume).await.unwrap();
        let id = volume["id"].as_str().unwrap();
        simulator.control().change("volumes", id, json!({"droplet_ids": [3_164_444]})).await.unwrap();
    }
    let attach = json!({"type": "attach", "droplet_id": 3_164_444});
    let refused = client.post("/v2/volumes/3d80cb72-342b-4aaa-b92e-4e4abb24a933/actions", attach).await;
    assert_eq!(message(&refused), "422 a Droplet takes at most 15 volumes");
}

#[tokio::test]
async fn an_invalid_body_is_refused_and_changes_nothing() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let app = json!({"id": "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf", "spec": {"name": "shop", "region": "nyc"}});
    control.put("apps", app).await.unwrap();
    control.put("kubernetes/clusters", json!({"id": CLUSTER, "ha": true})).await.unwrap();
    let kinds = kinds();
    let refusals: Vec<Value> = serde_json::from_str(include_str!("refusals.json")).unwrap();
    for case in refusals {
        let collection = case["collection"].as_str().unwrap();
        let kind = kinds.iter().find(|kind| kind.collection == collection);
        let (at, whole) = match kind {
            Some(kind) => {
                let at = put(&simulator, kind).await;
                let body = body_of(&client, kind, &at).await;
                (at, body)
            }
            None => (format!("/v2/{collection}/{}", case["id"].as_str().unwrap()), Map::new()),
        };
        let before = control.inventory().await.unwrap();
        for refusal in case["refused"].as_array().unwrap() {
            let mut body = whole.clone();
            for (field, value) in refusal["send"].as_object().unwrap() {
                body.insert(field.clone(), value.clone());
            }
            for field in refusal["without"].as_array().into_iter().flatten() {
                body.remove(field.as_str().unwrap());
            }
            let method = refusal["method"].as_str().unwrap_or("PUT");
            let path = format!("{at}{}", refusal["below"].as_str().unwrap_or_default());
            let answer = client.call(method, &path, Some(&Value::Object(body))).await;
            assert_eq!(message(&answer), refusal["answer"].as_str().unwrap(), "{method} {path} {refusal}");
        }
        assert_eq!(control.inventory().await.unwrap(), before, "{collection}");
    }
}

#[tokio::test]
async fn an_update_of_an_immutable_kind_is_refused() {
    let (simulator, client) = start(demo()).await;
    let certificate = simulator.control().put("certificates", json!({"name": "www"})).await.unwrap();
    let certificate = format!("certificates/{}", certificate["id"].as_str().unwrap());
    for path in [
        "droplets/3164444",
        "volumes/3d80cb72-342b-4aaa-b92e-4e4abb24a933",
        "reserved_ips/45.55.96.47",
        "domains/example.com",
        &certificate,
    ] {
        for method in ["PUT", "PATCH"] {
            let answer = client.call(method, &format!("/v2/{path}"), Some(&json!({"name": "other"}))).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    assert_eq!(client.call("PATCH", &format!("/v2/firewalls/{FIREWALL}"), Some(&json!({}))).await.status, 405);
}

#[tokio::test]
async fn a_busy_load_balancer_refuses_a_second_change() {
    let (simulator, client) = start(Options { action_seconds: 0.3, ..demo() }).await;
    let kind = balancer();
    let at = put(&simulator, &kind).await;
    let body = Value::Object(body_of(&client, &kind, &at).await);
    let answer = client.call("PUT", &at, Some(&body)).await.json();
    assert_eq!(answer["load_balancer"]["status"], "new");
    let busy = "403 Load Balancer can't be updated while it processes previous actions";
    assert_eq!(message(&client.call("PUT", &at, Some(&body)).await), busy);
    for (part, request) in [
        ("droplets", json!({"droplet_ids": [3_164_446]})),
        ("forwarding_rules", json!({"forwarding_rules": [rule(1)]})),
    ] {
        assert_eq!(message(&client.post(&format!("{at}/{part}"), request).await), busy);
    }
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(client.get(&at).await.json()["load_balancer"]["status"], "active");
    assert_eq!(client.call("PUT", &at, Some(&body)).await.status, 200);
}

#[tokio::test]
async fn a_deleted_certificate_returns_404_for_an_existing_load_balancer() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let old = control.put("certificates", json!({"name": "www"})).await.unwrap()["id"].clone();
    let kind = balancer();
    let at = put(&simulator, &kind).await;
    let tls = json!({"entry_protocol": "https", "entry_port": 443, "target_protocol": "http", "target_port": 80, "certificate_id": old});
    let id = at.rsplit('/').next().unwrap();
    control.change("load_balancers", id, json!({"forwarding_rules": [tls]})).await.unwrap();
    let mut body = body_of(&client, &kind, &at).await;
    let new = control.renew_certificate(old.as_str().unwrap()).await.unwrap()["id"].clone();
    assert_eq!(client.call("PUT", &at, Some(&json!(body))).await.status, 404);
    assert_eq!(client.get(&at).await.status, 200);
    body["forwarding_rules"][0]["certificate_id"] = new;
    assert_eq!(client.call("PUT", &at, Some(&json!(body))).await.status, 200);
}

#[tokio::test]
async fn members_are_added_and_removed_one_by_one() {
    let (_simulator, client) = start(Options { action_seconds: 0.3, ..demo() }).await;
    let at = format!("/v2/load_balancers/{BALANCER}");
    let droplets = format!("{at}/droplets");
    let ids = async || client.get(&at).await.json()["load_balancer"]["droplet_ids"].clone();
    let call = async |method: &str, path: &str, body: Value| {
        let answer = client.call(method, path, Some(&body)).await;
        settle_slowly().await;
        message(&answer)
    };
    assert_eq!(call("POST", &droplets, json!({"droplet_ids": [3_164_446]})).await, "204 ");
    assert_eq!(ids().await, json!([3_164_444, 3_164_445, 3_164_446]));
    assert_eq!(call("DELETE", &droplets, json!({"droplet_ids": [3_164_444]})).await, "204 ");
    assert_eq!(ids().await, json!([3_164_445, 3_164_446]));
    let none = "422 need to provide either a tag or a list of droplets";
    assert_eq!(call("DELETE", &droplets, json!({"droplet_ids": [3_164_445, 3_164_446]})).await, none);
    let far = "422 Droplet 3164447 is not in the region and VPC of the load balancer";
    assert_eq!(call("POST", &droplets, json!({"droplet_ids": [3_164_447]})).await, far);
    assert_eq!(ids().await, json!([3_164_445, 3_164_446]));
    let tagged = json!({"name": "web", "region": "nyc3", "forwarding_rules": [rule(80)], "tag": "db"});
    assert_eq!(call("PUT", &at, tagged).await, "200 ");
    assert_eq!(ids().await, json!([3_164_446]), "those with the tag");
    let with_tag = "422 the Droplets of this load balancer are those with its tag";
    assert_eq!(call("POST", &droplets, json!({"droplet_ids": [3_164_444]})).await, with_tag);

    let at = format!("/v2/firewalls/{FIREWALL}");
    let firewall = async || client.get(&at).await.json()["firewall"].clone();
    let before = firewall().await;
    for (part, body) in [("droplets", json!({"droplet_ids": [3_164_446]})), ("tags", json!({"tags": ["db"]}))] {
        assert_eq!(client.post(&format!("{at}/{part}"), body.clone()).await.status, 204);
        let waiting = firewall().await;
        assert_eq!(
            (&waiting["status"], waiting["pending_changes"].as_array().unwrap().is_empty()),
            (&json!("waiting"), false)
        );
        settle_slowly().await;
        let after = firewall().await;
        assert_eq!((&after["status"], &after["pending_changes"]), (&json!("succeeded"), &json!([])));
        assert_ne!(after, before);
        assert_eq!(call("DELETE", &format!("{at}/{part}"), body).await, "204 ");
        assert_eq!(firewall().await, before);
    }
    assert_eq!(call("POST", &format!("{at}/tags"), json!({"tags": ["new"]})).await, "422 tag new could not be found");
}

#[tokio::test]
async fn a_rule_is_removed_only_in_its_returned_spelling() {
    let (_simulator, client) = start(demo()).await;
    let at = format!("/v2/firewalls/{FIREWALL}");
    let rules = async || client.get(&at).await.json()["firewall"]["outbound_rules"].clone();
    let before = rules().await;
    let printed = before[0].clone();
    let mut other = printed.clone();
    other["destinations"]["addresses"] = json!(["::/0", "0.0.0.0/0"]);
    let delete = async |rule: &Value| {
        client.call("DELETE", &format!("{at}/rules"), Some(&json!({"outbound_rules": [rule]}))).await.status.as_u16()
    };
    assert_eq!((delete(&other).await, rules().await), (204, before.clone()), "an empty request changes nothing");
    assert_eq!((delete(&printed).await, rules().await), (204, json!([])));
    let all = json!({"protocol": "tcp", "ports": "all", "destinations": printed["destinations"]});
    assert_eq!(client.post(&format!("{at}/rules"), json!({"outbound_rules": [all]})).await.status, 204);
    assert_eq!(rules().await, before, "all ports are printed as 0");
}

#[tokio::test]
async fn a_vpc_is_renamed_by_patch_and_its_default_moves_only_one_way() {
    let (simulator, client) = start(demo()).await;
    let other = simulator.control().put("vpcs", json!({"name": "other", "region": "nyc3"})).await.unwrap();
    let other = format!("/v2/vpcs/{}", other["id"].as_str().unwrap());
    let default = format!("/v2/vpcs/{VPC}");
    let call = async |method: &str, at: &str, body: Value| message(&client.call(method, at, Some(&body)).await);
    let kept = "403 Can not unset default VPCs";
    assert_eq!(call("PATCH", &default, json!({"default": false})).await, kept);
    assert_eq!(call("PUT", &default, json!({"name": "renamed"})).await, kept);
    assert_eq!(call("PATCH", &default, json!({"name": "renamed"})).await, "200 ");
    assert_eq!(call("PATCH", &default, json!({"name": "other"})).await, "422 a VPC with this name already exists");
    assert_eq!(call("PATCH", &other, json!({"description": "ours"})).await, "200 ");
    assert_eq!(call("PUT", &other, json!({"name": "other"})).await, "200 ");
    assert_eq!(client.get(&other).await.json()["vpc"]["description"], "", "a PUT resets it");
    assert_eq!(call("PATCH", &other, json!({"default": true})).await, "200 ");
    assert_eq!(client.get(&default).await.json()["vpc"]["default"], false);
    assert_eq!(call("PATCH", &default, json!({"default": true})).await, "200 ");
    assert_eq!(client.get(&other).await.json()["vpc"]["default"], false);
}

#[tokio::test]
async fn projects_have_one_default_and_their_own_spelling() {
    let (_simulator, client) = start(demo()).await;
    let made = async |name: &str| {
        let made = client.post("/v2/projects", json!({"name": name, "purpose": "IoT"})).await.json();
        format!("/v2/projects/{}", made["project"]["id"].as_str().unwrap())
    };
    let (one, two) = (made("one").await, made("two").await);
    let patch = async |at: &str, body: Value| message(&client.call("PATCH", at, Some(&body)).await);
    let project = async |at: &str| client.get(at).await.json()["project"].clone();
    assert_eq!(client.get("/v2/projects/default").await.status, 404);
    assert_eq!(patch(&one, json!({"is_default": true})).await, "200 ");
    assert_eq!(patch(&one, json!({"is_default": false})).await, "400 you must always have a default project");
    assert_eq!(patch(&two, json!({"is_default": true})).await, "200 ");
    assert_eq!(project(&one).await["is_default"], false);
    assert_eq!(project("/v2/projects/default").await["name"], "two");
    assert_eq!(patch(&one, json!({"name": "two"})).await, "409 name is already in use");
    assert_eq!(patch(&one, json!({"purpose": "Other: my shop"})).await, "200 ");
    assert_eq!(project(&one).await["purpose"], "Other: Other: my shop", "it is sent without");
    let missing = json!({"name": "one", "purpose": "IoT", "environment": "Staging", "is_default": false});
    assert_eq!(message(&client.call("PUT", &one, Some(&missing)).await), "422 description is required");
    assert_eq!(project(&one).await["environment"], "Production");
}

#[tokio::test]
async fn resources_move_between_projects_with_a_status_per_entry() {
    let (simulator, client) = start(demo()).await;
    let made = async |name: &str| {
        client.post("/v2/projects", json!({"name": name, "purpose": "IoT"})).await.json()["project"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (one, two) = (made("one").await, made("two").await);
    let app = simulator.control().put("apps", json!({"spec": {"name": "shop"}})).await.unwrap()["id"].clone();
    let urns = [
        "do:droplet:3164444".to_owned(),
        format!("do:loadbalancer:{BALANCER}"),
        "do:dbaas:9cc10173-e9ea-4176-9dbc-a4cee4c4ff30".to_owned(),
        format!("do:app:{}", app.as_str().unwrap()),
        "do:floatingip:45.55.96.47".to_owned(),
        "do:droplet:1".to_owned(),
        "do:sock:1".to_owned(),
    ];
    let inventory = async || simulator.control().inventory().await.unwrap();
    let assign = async |project: &str| {
        let answer = client.post(&format!("/v2/projects/{project}/resources"), json!({"resources": urns})).await;
        let entries = answer.json()["resources"].as_array().unwrap().clone();
        entries.iter().map(|it| it["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let gone = "not_found not_found";
    assert_eq!(assign(&one).await, format!("assigned assigned assigned assigned assigned {gone}"));
    assert_eq!(
        assign(&one).await,
        format!("already_assigned already_assigned already_assigned already_assigned already_assigned {gone}")
    );
    assert_eq!(assign(&two).await, format!("assigned assigned assigned assigned assigned {gone}"));
    for (path, key) in [
        (format!("load_balancers/{BALANCER}"), "load_balancer"),
        ("databases/9cc10173-e9ea-4176-9dbc-a4cee4c4ff30".to_owned(), "database"),
        (format!("apps/{}", app.as_str().unwrap()), "app"),
        ("reserved_ips/45.55.96.47".to_owned(), "reserved_ip"),
    ] {
        assert_eq!(client.get(&format!("/v2/{path}")).await.json()[key]["project_id"], two, "{path}");
    }
    let listed = async |project: &str| {
        client.get(&format!("/v2/projects/{project}/resources")).await.json()["meta"]["total"].clone()
    };
    assert_eq!((listed(&one).await, listed(&two).await), (json!(0), json!(5)));
    let before = inventory().await;
    simulator.control().change("load_balancers", BALANCER, json!({"project_id": one})).await.unwrap();
    assert_eq!((listed(&one).await, listed(&two).await), (json!(1), json!(4)), "documents contain their project");
    let balancer = json!({"resources": [format!("do:loadbalancer:{BALANCER}")]});
    client.post(&format!("/v2/projects/{two}/resources"), balancer).await;
    assert_eq!(inventory().await, before);

    let started =
        client.post("/v2/reserved_ips/45.55.96.47/actions", json!({"type": "assign", "droplet_id": 3_164_444})).await;
    client.finish(&started).await;
    let address = json!({"resources": ["do:reservedip:45.55.96.47"]});
    let refused = client.post(&format!("/v2/projects/{one}/resources"), address).await;
    assert_eq!(message(&refused), "412 Cannot move a Reserved IP with an associated Droplet");
    client.post(&format!("/v2/projects/{one}/resources"), json!({"resources": ["do:droplet:3164444"]})).await;
    let ip = client.get("/v2/reserved_ips/45.55.96.47").await.json()["reserved_ip"].clone();
    assert_eq!(ip["project_id"], one, "it follows its droplet");
}

#[tokio::test]
async fn records_of_one_name_and_type_share_their_ttl() {
    let (_simulator, client) = start(demo()).await;
    let records = "/v2/domains/example.com/records";
    let second = client.post(records, json!({"type": "A", "name": "@", "data": "203.0.113.11"})).await.json();
    let second = format!("{records}/{}", second["domain_record"]["id"]);
    let call = async |at: &str, body: Value| message(&client.call("PATCH", at, Some(&body)).await);
    let first = format!("{records}/28448430");
    assert_eq!(call(&first, json!({"type": "A", "ttl": 60})).await, "200 ");
    let ttl = async |at: &str| client.get(at).await.json()["domain_record"]["ttl"].clone();
    assert_eq!(ttl(&second).await, 60);
    assert_eq!(ttl(&format!("{records}/28448431")).await, 43200);
    assert_eq!(call(&first, json!({"type": "A", "ttl": 29})).await, "422 Ttl must be greater than or equal to 30");
    assert_eq!(call(&first, json!({"type": "AAAA", "data": "::1"})).await, "422 type of a record cannot be changed");
    let listed = client.get(&format!("{records}?type=SOA")).await.json();
    if let Some(id) = listed["domain_records"][0].get("id") {
        let soa = format!("{records}/{id}");
        assert_eq!(
            call(&soa, json!({"type": "SOA", "data": "x"})).await,
            "422 only the TTL of the SOA record can be changed"
        );
        assert_eq!(call(&soa, json!({"type": "SOA", "ttl": 3600})).await, "200 ");
    }
}

#[tokio::test]
async fn a_snapshot_is_an_image_under_the_same_name_tags_and_regions() {
    let (simulator, client) = start(demo()).await;
    let started = client.post("/v2/droplets/3164444/actions", json!({"type": "snapshot", "name": "before"})).await;
    client.finish(&started).await;
    let snapshot = client.get("/v2/snapshots").await.json()["snapshots"][0].clone();
    let id = snapshot["id"].as_str().unwrap();
    let at = format!("/v2/images/{id}");
    assert_eq!(client.call("PUT", &at, Some(&json!({"name": "after"}))).await.json()["image"]["name"], "after");
    client.post("/v2/tags", json!({"name": "blue"})).await;
    let resources = json!({"resources": [{"resource_id": id, "resource_type": "image"}]});
    assert_eq!(client.post("/v2/tags/blue/resources", resources).await.status, 204);
    let volume = json!({"resources": [{"resource_id": id, "resource_type": "volume_snapshot"}]});
    assert_eq!(client.post("/v2/tags/blue/resources", volume).await.status, 404, "it is none of a volume");
    let transfer = json!({"type": "transfer", "region": "ams3"});
    let started = client.post(&format!("{at}/actions"), transfer.clone()).await;
    assert_eq!(client.finish(&started).await, "completed");
    assert_eq!(client.post(&format!("{at}/actions"), transfer).await.status, 422, "it is there already");
    let after = client.get(&format!("/v2/snapshots/{id}")).await.json()["snapshot"].clone();
    assert_eq!(
        (&after["name"], &after["tags"], &after["regions"]),
        (&json!("after"), &json!(["blue"]), &json!(["nyc3", "ams3"]))
    );
    simulator.control().change("snapshots", id, json!({"name": "drifted"})).await.unwrap();
    assert_eq!(client.get(&at).await.json()["image"]["name"], "drifted");

    let custom = simulator.control().put("images", json!({"name": "golden", "description": "ours"})).await.unwrap();
    let custom = format!("/v2/images/{}", custom["id"]);
    client.call("PUT", &custom, Some(&json!({"name": "silver"}))).await;
    let image = client.get(&custom).await.json()["image"].clone();
    assert_eq!(
        (&image["description"], &image["distribution"]),
        (&json!(""), &json!("Unknown")),
        "omitted fields are reset"
    );
}

#[tokio::test]
async fn a_droplet_needs_to_be_off_for_a_network_and_a_size_that_its_region_has() {
    let (simulator, client) = start(demo()).await;
    let actions = "/v2/droplets/3164444/actions";
    let act = async |body: Value| client.post(actions, body).await;
    assert_eq!(act(json!({"type": "enable_ipv6"})).await.status, 422);
    client.finish(&act(json!({"type": "power_off"})).await).await;
    let far = act(json!({"type": "resize", "size": "gpu-h100x1-80gb"})).await;
    assert_eq!(message(&far), "422 Size is not available in this region.");
    assert_eq!(
        act(json!({"type": "resize", "size": "s-2vcpu-4gb", "disk": true})).await.status,
        422,
        "it is that size"
    );
    simulator.control().change("droplets", "3164444", json!({"disk": 60})).await.unwrap();
    let grown = act(json!({"type": "resize", "size": "s-2vcpu-4gb", "disk": true})).await;
    assert_eq!(client.finish(&grown).await, "completed", "the disk alone grows");
    assert_eq!(client.get("/v2/droplets/3164444").await.json()["droplet"]["disk"], 80);
    assert_eq!(client.finish(&act(json!({"type": "enable_ipv6"})).await).await, "completed");
    let features = client.get("/v2/droplets/3164444").await.json()["droplet"]["features"].clone();
    assert!(features.as_array().unwrap().contains(&json!("ipv6")), "{features}");
}

#[tokio::test]
async fn an_attachment_changed_outside_the_api_shows_on_both_sides() {
    let (simulator, client) = start(demo()).await;
    let scratch = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";
    let volume =
        async |id: &str| client.get(&format!("/v2/volumes/{id}")).await.json()["volume"]["droplet_ids"].clone();
    let control = simulator.control();
    control.change("droplets", "3164446", json!({"volume_ids": [scratch]})).await.unwrap();
    assert_eq!(volume(scratch).await, json!([3_164_446]));
    assert_eq!(volume("506f78a4-e098-11e5-ad9f-000f53306ae1").await, json!([]));
    control.change("volumes", scratch, json!({"droplet_ids": [3_164_444]})).await.unwrap();
    let ids = async |id: u64| client.get(&format!("/v2/droplets/{id}")).await.json()["droplet"]["volume_ids"].clone();
    assert_eq!((ids(3_164_444).await, ids(3_164_446).await), (json!([scratch]), json!([])));
}

#[tokio::test]
async fn a_deleted_droplet_is_removed_from_load_balancers_and_firewalls() {
    let (_simulator, client) = start(demo()).await;
    assert_eq!(client.delete("/v2/droplets/3164444").await.status, 204);
    for (path, key) in
        [(format!("load_balancers/{BALANCER}"), "load_balancer"), (format!("firewalls/{FIREWALL}"), "firewall")]
    {
        assert_eq!(client.get(&format!("/v2/{path}")).await.json()[key]["droplet_ids"], json!([3_164_445]), "{path}");
    }
}

#[tokio::test]
async fn an_account_has_one_plan_for_all_registries() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    control.put("registries", json!({"name": "one"})).await.unwrap();
    assert_eq!(client.get("/v2/registry").await.json()["registry"]["name"], "one");
    let subscribe = async |slug: &str| client.post("/v2/registries/subscription", json!({"tier_slug": slug})).await;
    let first = subscribe("basic").await.json()["subscription"].clone();
    control.put("registries", json!({"name": "two"})).await.unwrap();
    assert_eq!(message(&subscribe("basic").await), "412 registry is not eligible for tier basic: OverRepositoryLimit");
    assert_eq!(
        message(&client.get("/v2/registry").await),
        "412 this endpoint is not supported if you have created multiple registries"
    );
    assert_eq!(client.get("/v2/registry/subscription").await.status, 412);
    let options = client.get("/v2/registries/options").await.json()["options"]["subscription_tiers"].clone();
    assert_eq!(
        (&options[1]["slug"], &options[1]["eligible"], &options[2]["eligible"]),
        (&json!("basic"), &json!(false), &json!(true))
    );
    let second = subscribe("professional").await.json()["subscription"].clone();
    assert_eq!(second["created_at"], first["created_at"]);
    let listed = client.get("/v2/registries").await.json()["registries"].clone();
    assert!(listed.as_array().unwrap().iter().all(|it| it["subscription"] == second), "{listed}");
    assert_eq!(subscribe("gold").await.status, 422);
}
