//! Fields of every kind, resolved in DigitalOcean's own example documents.

use serde_json::json;

use super::*;
use crate::digitalocean::{Kind, examples, pages};

fn live(kind: &str, document: &Value) -> Live {
    Live::parse(&ResourceKey::new(Kind::named(kind).unwrap(), "1"), &document.to_string()).unwrap()
}

fn value(kind: &str, document: &Value, field: &str) -> Value {
    match live(kind, document).resolve(field, &Value::Null) {
        Resolved::Value(value) => value,
        other => panic!("{field}: {other:?}"),
    }
}

/// An id of a kind.
fn example_id(kind: Kind) -> &'static str {
    kind.id_format().form().split('"').nth(1).unwrap()
}

/// The rows of the official examples of a kind's list.
fn example_rows(kind: Kind) -> Vec<Value> {
    let row = kind.row();
    let mut rows = Vec::new();
    for page in examples::answers(&row.list.path) {
        let read = pages::read(
            &page.to_string(),
            &row.list.key,
            pages::ListShape::List,
            Some(&row.id.field),
            |id, document| {
                let id = kind.parent().map_or_else(|| id.to_owned(), |parent| format!("{}/{id}", example_id(parent)));
                assert!(row.id.format.admits(&id), "{kind}: {id}");
                rows.push(serde_json::from_str(document).unwrap());
                Ok(())
            },
        );
        assert!(read.is_ok_and(|page| page.rows > 0), "{kind}");
    }
    rows
}

/// The first row of the official examples of a kind's list, as a list shows it.
fn listed(kind: Kind) -> Live {
    let document = Document { is_valid: true, ..Document::whole(example_rows(kind).remove(0).to_string()) };
    Live::of(&ResourceKey::new(kind, example_id(kind)), &document).unwrap()
}

#[test]
fn a_row_that_shows_a_value_is_not_searched_for_a_missing_scope() {
    let mut compared = 0;
    for kind in Kind::all() {
        let listed = listed(kind);
        let gated = kind.row().gated.keys().map(|pattern| pattern.segments().join("."));
        for field in gated.filter(|field| !listed.value(field).is_null()) {
            let _ = listed.compare(&field, &listed.value(&field));
            assert!(!listed.document.is_parsed(), "{kind} {field}");
            compared += 1;
        }
    }
    assert!(compared > 5, "{compared}");
}

#[test]
fn every_known_field_of_every_kind_resolves_in_the_official_examples_and_agrees_with_itself() {
    for kind in Kind::all() {
        for document in example_rows(kind) {
            let live = live(kind.name(), &document);
            let mut fields: Vec<&str> = kind.fields().collect();
            fields.extend(document.as_object().unwrap().keys().map(String::as_str));
            for field in fields {
                match live.resolve(field, &Value::Null) {
                    Resolved::Value(value) => {
                        let compared = live.compare(field, &value);
                        let FieldComparison::Done(found) = &compared else { panic!("{kind} {field}: {compared:?}") };
                        assert!(found.differences.is_empty() && found.adopted == value, "{kind} {field}: {found:?}");
                    }
                    Resolved::Unknown { .. } => {
                        let root = kind.row().derived.get(field).map_or(field, |source| source.root());
                        let is_gated = kind.row().gated.keys().any(|gated| gated.to_string() == root);
                        assert!(is_gated && document.get(root).is_none(), "{kind} {field}");
                    }
                    Resolved::NotReadable => {
                        assert!(kind.row().secret.iter().any(|secret| secret == field), "{kind} {field}");
                    }
                    other @ Resolved::NoSuchField { .. } => panic!("{kind} {field}: {other:?}"),
                }
            }
            for field in &kind.row().unreadable {
                assert_eq!(live.resolve(&field.to_string(), &Value::Null), Resolved::NotReadable, "{kind} {field}");
            }
        }
    }
}

#[test]
fn the_official_examples_normalise_as_documented() {
    for (kind, field, wanted) in [
        ("AlertPolicy", "window", json!("5m")),
        ("App", "region", json!("fra")),
        ("App", "name", json!("sample-php")),
        ("App", "spec.services.0.http_port", json!(8080)),
        ("CDNEndpoint", "ttl", json!(3600)),
        ("Certificate", "type", json!("custom")),
        ("Database", "region", json!("nyc3")),
        ("Database", "maintenance_window.day", json!("saturday")),
        ("Domain", "ttl", json!(1800)),
        ("DomainRecord", "data", json!("ns1.digitalocean.com")),
        ("Droplet", "region", json!("nyc3")),
        ("Droplet", "size", json!("s-1vcpu-1gb")),
        ("Droplet", "size_slug", json!("s-1vcpu-1gb")),
        ("Droplet", "size.transfer", json!(1.0)),
        ("Droplet", "image", json!("ubuntu-20-04-x64")),
        ("Droplet", "image.id", json!(63_663_980)),
        ("Droplet", "backups", json!(true)),
        ("Droplet", "ipv6", json!(true)),
        ("Droplet", "monitoring", json!(false)),
        ("Droplet", "private_networking", json!(true)),
        ("Droplet", "public_ipv4", json!("192.241.165.154")),
        ("Droplet", "private_ipv4", json!("10.128.192.124")),
        ("Droplet", "public_ipv6", json!("2604:a880:0:1010::18a:a001")),
        ("Droplet", "tags", json!(["web", "env:prod"])),
        ("Droplet", "networks.v4.0.type", json!("private")),
        ("Droplet", "networks.v4.7.type", Value::Null),
        ("Firewall", "inbound_rules.0.ports", json!("80")),
        ("Image", "slug", Value::Null),
        ("KubernetesCluster", "version", json!("1.18.6-do.0")),
        ("KubernetesCluster", "node_pools.1.labels.service", json!("backend")),
        ("LoadBalancer", "region", json!("nyc3")),
        ("LoadBalancer", "size_unit", json!(1)),
        ("LoadBalancer", "size", json!("lb-small")),
        ("NATGateway", "vpcs.0.gateway_ip", json!("10.118.0.35")),
        ("Project", "environment", json!("Production")),
        ("Registry", "subscription_tier_slug", json!("basic")),
        ("ReservedIP", "region", json!("nyc3")),
        ("ReservedIP", "droplet_id", Value::Null),
        ("SSHKey", "name", json!("Other Public Key")),
        ("Snapshot", "resource_type", json!("droplet")),
        ("UptimeCheck", "regions", json!(["us_east", "eu_west"])),
        ("VPC", "ip_range", json!("10.10.10.0/24")),
        ("VPCPeering", "name", json!("example-vpc-peering")),
        ("Volume", "region", json!("nyc1")),
        ("Volume", "size_gigabytes", json!(10)),
    ] {
        let rows = example_rows(Kind::named(kind).unwrap());
        assert_eq!(value(kind, &rows[0], field), wanted, "{kind} {field}");
    }
}

#[test]
fn a_field_that_the_token_may_not_see_is_unknown_and_an_empty_one_is_not() {
    let document = json!({"id": 1, "tags": [], "image": null});
    for (field, wanted) in [
        ("tags", Resolved::Value(json!([]))),
        ("image", Resolved::Value(Value::Null)),
        ("volume_ids", Resolved::Unknown { scope: "block_storage:read" }),
        ("volumes", Resolved::Unknown { scope: "block_storage:read" }),
        ("vpc_uuid", Resolved::Unknown { scope: "vpc:read" }),
        ("public_ipv4", Resolved::Value(Value::Null)),
        ("kernel", Resolved::Value(Value::Null)),
    ] {
        assert_eq!(live("Droplet", &document).resolve(field, &Value::Null), wanted, "{field}");
    }
    for field in ["tags", "tags.0", "image", "image.id", "volume_ids"] {
        assert!(
            matches!(live("Droplet", &json!({})).resolve(field, &Value::Null), Resolved::Unknown { .. }),
            "{field}"
        );
    }
    let resolved = live("ReservedIP", &json!({})).resolve("droplet_id", &Value::Null);
    assert_eq!(resolved, Resolved::Unknown { scope: "droplet:read" });
}

#[test]
fn a_part_that_the_token_may_not_see_is_in_doubt_and_the_rest_is_compared() {
    let pool = |rest: Value| {
        let mut pool = json!({"name": "web", "size": "s-1vcpu-2gb"});
        pool.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!([pool])
    };
    let recorded = pool(json!({"count": 3, "tags": ["web"]}));
    let compare = |document: Value| {
        let compared = live("KubernetesCluster", &document).compare("node_pools", &recorded);
        let FieldComparison::Done(found) = compared else { panic!("{document}: {compared:?}") };
        let differences: Vec<_> = found.differences.iter().map(|one| one.short(80)).collect();
        let doubts: Vec<_> = found.doubts.into_iter().map(|doubt| format!("{}: {}", doubt.path, doubt.why)).collect();
        (differences, doubts)
    };
    // Without tag:read, no map of the document has tags.
    let needs_a_scope = vec!["0.tags: the token needs tag:read".to_owned()];
    let same = json!({"node_pools": pool(json!({"count": 3}))});
    assert_eq!(compare(same), (vec![], needs_a_scope.clone()));
    let scaled = json!({"node_pools": pool(json!({"count": 5}))});
    assert_eq!(compare(scaled), (vec!["0.count: 3 -> 5".to_owned()], needs_a_scope));
    // With it, a cluster has tags, and an empty list of a pool means that the pool has no tags.
    let untagged = json!({"tags": [], "node_pools": pool(json!({"count": 3, "tags": []}))});
    assert_eq!(compare(untagged), (vec!["0.tags: -1 web".to_owned()], vec![]));
}

#[test]
fn accepting_never_replaces_a_recorded_secret_by_its_ciphertext() {
    let adopted = |recorded: Value, services: Value| {
        let compared = live("App", &json!({"spec": {"services": services}})).compare("spec.services", &recorded);
        let FieldComparison::Done(found) = compared else { panic!("{recorded}: {compared:?}") };
        assert!(!found.differences.is_empty(), "{recorded}");
        found.adopted
    };
    let service =
        |name: &str, count: u32, variable: Value| json!([{"name": name, "instance_count": count, "envs": [variable]}]);
    let plain = json!({"key": "A", "value": "hunter2", "type": "SECRET"});
    let encrypted = json!({"key": "A", "value": "EV[1:x]", "type": "SECRET"});
    // A renamed and scaled service.
    assert_eq!(
        adopted(service("web", 1, plain.clone()), service("api", 2, encrypted.clone())),
        service("api", 2, plain.clone())
    );
    // A variable that became a secret.
    assert_eq!(
        adopted(service("web", 1, json!({"key": "A", "value": "hunter2"})), service("web", 1, encrypted.clone())),
        service("web", 1, plain.clone())
    );
    // An unrecorded one, and one that is recorded as the API returns it.
    let more = json!([{"name": "web", "envs": [encrypted, {"key": "B", "value": "EV[1:y]", "type": "SECRET"}]}]);
    let recorded = json!([{"name": "web", "envs": [plain]}]);
    assert_eq!(
        adopted(recorded, more),
        json!([{"name": "web", "envs": [plain, {"key": "B", "value": "EV[1:y]", "type": "SECRET"}]}])
    );
    // A text that only looks like a ciphertext is compared as text.
    let general = |value: &str| service("web", 1, json!({"key": "A", "value": value}));
    assert_eq!(adopted(general("x"), general("EV[x")), general("EV[x"));
}

#[test]
fn a_field_that_does_not_exist_names_the_nearest() {
    let document = json!({"id": 1, "brand_new": {"deep": 1}});
    let droplet = live("Droplet", &document);
    for (field, nearest) in [("size_slugg", "size_slug"), ("Region", "region"), ("publicipv4", "public_ipv4")] {
        let Resolved::NoSuchField { nearest: names } = droplet.resolve(field, &Value::Null) else { panic!("{field}") };
        assert!(names.len() <= 3 && names[0] == nearest, "{field}: {names:?}");
    }
    assert_eq!(droplet.resolve("qqq", &Value::Null), Resolved::NoSuchField { nearest: vec![] });
    // A field that the API added after this table was written can be recorded too.
    assert_eq!(droplet.resolve("brand_new.deep", &Value::Null), Resolved::Value(json!(1)));
    assert_eq!(droplet.resolve("brand_new.gone", &Value::Null), Resolved::Value(Value::Null));
    for field in ["user_data", "ssh_keys", "ssh_keys.0", "droplet_agent", "resize_disk"] {
        assert_eq!(droplet.resolve(field, &Value::Null), Resolved::NotReadable, "{field}");
    }
}

#[test]
fn load_balancer_sizes_are_units_by_another_name() {
    for (document, size, units) in [
        (json!({"size": "lb-medium"}), json!("lb-medium"), json!(3)),
        (json!({"size_unit": 6}), json!("lb-large"), json!(6)),
        (json!({"size_unit": 1, "size": "lb-small"}), json!("lb-small"), json!(1)),
        (json!({"size_unit": 3, "size": "lb-small"}), json!("lb-medium"), json!(3)),
        (json!({"size_unit": 2, "size": "lb-small"}), json!(2), json!(2)),
        (json!({}), Value::Null, Value::Null),
    ] {
        assert_eq!(value("LoadBalancer", &document, "size"), size, "{document}");
        assert_eq!(value("LoadBalancer", &document, "size_unit"), units, "{document}");
    }
}

#[test]
fn an_image_without_a_slug_goes_by_its_id() {
    for (image, wanted) in [
        (json!({"id": 5, "slug": "debian-12"}), json!("debian-12")),
        (json!({"id": 5, "slug": null}), json!(5)),
        (json!({"id": 5, "slug": ""}), json!(5)),
        (json!({}), Value::Null),
    ] {
        assert_eq!(value("Droplet", &json!({"image": image}), "image"), wanted, "{image}");
    }
}

#[test]
fn keys_with_dots_and_regions_that_are_text_are_found() {
    let document = json!({"node_pools": [{"labels": {"a.b/c": "x"}}]});
    assert_eq!(value("KubernetesCluster", &document, "node_pools.0.labels.a.b/c"), json!("x"));
    assert_eq!(value("Volume", &json!({"region": "nyc1"}), "region"), json!("nyc1"));
}

#[test]
fn what_is_not_an_object_is_no_document() {
    let key = ResourceKey::new(Kind::named("VPC").unwrap(), "1");
    for text in ["", "[]", "1", "{"] {
        assert!(Live::parse(&key, text).is_err(), "{text}");
    }
}

#[test]
fn a_renewed_certificate_is_known_by_the_name_that_the_record_remembers() {
    use crate::digitalocean::{Beside, Document};
    let [old, new] = ["892071a0-bb95-49bc-8021-3afd67a210bf", "ba9b9c18-6c59-46c2-99df-70da170a42ba"];
    let document = json!({"certificate_id": new}).to_string();
    let compare = |name: &str, remembered: &[(&str, &str)]| {
        let document = Document {
            certificates: Some(Arc::new([(new, name)].into_iter().collect())),
            ..Document::whole(document.clone())
        };
        let key = ResourceKey::new(Kind::named("CDNEndpoint").unwrap(), "1");
        let certificates = remembered.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect();
        let desired = [("certificate_id".to_owned(), json!(old))].into();
        let live = Live::of(&key, &document).unwrap().beside(Beside { desired, certificates });
        let compared = live.compare("certificate_id", &json!(old));
        let FieldComparison::Done(found) = compared else { panic!("{compared:?}") };
        (found.differences.len(), found.doubts.len(), live.named_certificates().into_iter().collect::<Vec<_>>())
    };
    let remembered = vec![(old.to_owned(), "web".to_owned())];
    assert_eq!(compare("web", &[(old, "web")]), (0, 0, remembered.clone()), "renewed");
    assert_eq!(compare("other", &[(old, "web")]), (1, 0, remembered), "exchanged");
    assert_eq!(compare("web", &[]), (0, 1, Vec::new()), "an id that was never listed");
}
