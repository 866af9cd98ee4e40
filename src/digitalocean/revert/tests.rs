//! Every field of every kind has a rule, and every rule can be executed.

use std::collections::BTreeMap;

use serde_json::json;
use strum::IntoEnumIterator;

use super::{assess::rule, *};
use crate::digitalocean::{
    Kind, ResourceKey,
    kinds::{BodyShape, How, RevertRule},
};

/// The live resource with this document.
fn live(kind: &str, id: &str, document: &Value) -> Live {
    Live::parse(&ResourceKey::new(Kind::named(kind).unwrap(), id), &document.to_string()).unwrap()
}

fn rules() -> impl Iterator<Item = (Kind, &'static RevertRule)> {
    Kind::all()
        .flat_map(|kind| kind.row().revert.iter().flat_map(move |all| all.fields.iter().map(move |it| (kind, it))))
}

fn assessed(document: &Live, field: &str, desired: &Value) -> Assessment {
    assess(&Revert { field, desired, document, facts: &AccountFacts::default() })
}

fn planned(document: &Live, field: &str, desired: &Value, allow: Allow) -> Result<RevertProposal, RevertRefusal> {
    plan(&Revert { field, desired, document, facts: &AccountFacts::default() }, "web-1", allow)
}

const UUID: &str = "4de7ac8b-495b-4884-9a69-1050c6793cd6";
const OTHER: &str = "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30";

#[test]
fn every_readable_field_has_exactly_one_rule() {
    for kind in Kind::all() {
        let Some(reverts) = &kind.row().revert else { continue };
        for field in kind.fields() {
            let of_field = |rule: &&RevertRule| rule.names.iter().any(|name| name.matches(&[field]));
            assert_eq!(reverts.fields.iter().filter(of_field).count(), 1, "{kind} {field}");
            assert!(rule(reverts, &[field]).is_some());
        }
        for rule in &reverts.fields {
            for name in &rule.names {
                assert!(kind.fields().any(|field| field == name.root()), "{kind} has no field {name}");
            }
        }
    }
}

#[test]
fn the_classes_of_all_fields_are_as_documented() {
    let mut counts: BTreeMap<RevertClass, usize> = BTreeMap::new();
    for (_, rule) in rules() {
        *counts.entry(rule.class).or_default() += rule.names.iter().filter(|name| name.len() == 1).count();
    }
    // 283 fields: 120 can be reverted, at least in one direction.
    let documented = [
        (RevertClass::Safe, 66),
        (RevertClass::Disruptive, 39),
        (RevertClass::Lossy, 4),
        (RevertClass::OneWay, 11),
        (RevertClass::NotRevertible, 52),
        (RevertClass::NotOurs, 111),
    ];
    assert_eq!(counts, documented.into());
}

#[test]
fn every_rule_says_what_a_user_needs_and_names_a_write_that_exists() {
    for (kind, rule) in rules() {
        let reverts = kind.row().revert.as_ref().unwrap();
        let cases =
            rule.cases.iter().map(|case| (case.class, case.says.as_ref(), case.how.as_ref().or(rule.how.as_ref())));
        for (class, says, how) in cases.chain([(rule.class, rule.says.as_ref(), rule.how.as_ref())]) {
            let name = format!("{kind} {} {class}", rule.names[0]);
            assert!(class == RevertClass::Safe || says.is_some(), "{name} says nothing");
            for sentence in says.into_iter().chain(&rule.warning) {
                assert!(sentence.ends_with('.') && sentence.len() < 220, "{name}: {sentence}");
            }
            assert!(how.is_some() || class >= RevertClass::NotRevertible, "{name} has no step");
            // The other steps check the class without the tags by which others select.
            assert!(!rule.selects || matches!(how, Some(How::Tags(_))), "{name}");
            if let Some(How::UpdateResource(write)) = how {
                let write = reverts.writes.get(write).unwrap_or_else(|| panic!("{name} has no write {write}"));
                assert_eq!(write.shape == BodyShape::Members, write.call.is_none(), "{name}");
            }
        }
    }
}

#[test]
fn a_field_without_a_rule_is_refused() {
    let document = live("Droplet", "7", &json!({"id": 7, "novelty": 1}));
    let assessment = assessed(&document, "novelty", &json!(2));
    assert_eq!(assessment.class, RevertClass::NotRevertible);
    assert!(assessment.why.unwrap().contains("does not know"));
    assert_eq!(existence(true).class, RevertClass::NotRevertible);
}

#[test]
fn the_class_is_that_of_the_direction() {
    let volume = live("Volume", UUID, &json!({"id": UUID, "name": "data", "size_gigabytes": 10, "droplet_ids": []}));
    let droplet = |backups: Value| {
        let features = if backups.is_null() { json!([]) } else { json!(["backups"]) };
        live("Droplet", "7", &json!({"id": 7, "features": features, "backup_ids": backups, "tags": ["a"]}))
    };
    let cluster = |upgrades: bool| {
        live("KubernetesCluster", UUID, &json!({"id": UUID, "version": "1.30.4-do.0", "auto_upgrade": upgrades}))
    };
    let database =
        live("Database", UUID, &json!({"id": UUID, "num_nodes": 2, "db_names": ["a"], "size": "db-s-2vcpu-4gb"}));
    let balancer = live("LoadBalancer", UUID, &json!({"id": UUID, "name": "web", "size_unit": 2}));
    for (document, field, desired, class) in [
        (&volume, "size_gigabytes", json!(20), RevertClass::OneWay),
        (&volume, "size_gigabytes", json!(5), RevertClass::NotRevertible),
        (&volume, "droplet_ids", json!([7]), RevertClass::Safe),
        (&volume, "name", json!("x"), RevertClass::NotRevertible),
        (&volume, "id", json!("x"), RevertClass::NotOurs),
        (&droplet(json!([1])), "backups", json!(false), RevertClass::Lossy),
        (&droplet(json!([])), "backups", json!(false), RevertClass::Safe),
        (&droplet(Value::Null), "backups", json!(true), RevertClass::Safe),
        (&droplet(Value::Null), "features", json!(["backups"]), RevertClass::Safe),
        (&droplet(Value::Null), "features", json!(["ipv6"]), RevertClass::OneWay),
        (&droplet(Value::Null), "features", json!(["monitoring"]), RevertClass::NotRevertible),
        // One part is one-way, and the other one loses data.
        (&droplet(json!([1])), "features", json!(["ipv6"]), RevertClass::Lossy),
        (&cluster(false), "version", json!("1.31.1-do.0"), RevertClass::OneWay),
        (&cluster(false), "version", json!("1.29.1-do.0"), RevertClass::NotRevertible),
        (&cluster(true), "version", json!("1.31.1-do.0"), RevertClass::NotRevertible),
        (&database, "num_nodes", json!(3), RevertClass::Safe),
        (&database, "num_nodes", json!(1), RevertClass::Disruptive),
        (&database, "db_names", json!(["a", "b"]), RevertClass::Safe),
        (&database, "db_names", json!(["b"]), RevertClass::NotRevertible),
        (&database, "size", json!("db-s-1vcpu-2gb"), RevertClass::NotRevertible),
        (&database, "size", json!("db-s-4vcpu-8gb"), RevertClass::OneWay),
        (&balancer, "size_unit", json!(3), RevertClass::Safe),
        (&balancer, "size", json!("lb-small"), RevertClass::Disruptive),
    ] {
        assert_eq!(assessed(document, field, &desired).class, class, "{field} {desired}");
    }
}

#[test]
fn a_plan_fits_into_a_drift_and_a_saga() {
    let droplets = |count: u64| (1..=count).collect::<Vec<_>>();
    let firewall = live("Firewall", UUID, &json!({"id": UUID, "name": "web", "droplet_ids": []}));
    let plan = planned(&firewall, "droplet_ids", &json!(droplets(70)), Allow::Disruption).unwrap();
    assert_eq!((plan.calls[0].changes.len(), plan.calls[0].changes[63].as_str()), (64, "and 7 more"));
    let key = "k".repeat(250);
    let cluster = live(
        "KubernetesCluster",
        UUID,
        &json!({"id": UUID, "tags": [], "node_pools": [{"name": "a", "labels": {&key: "x"}}]}),
    );
    let shown = assessed(&cluster, &format!("node_pools.0.labels.{key}"), &json!("y"));
    assert_eq!(shown.class, RevertClass::NotRevertible);
    assert!(shown.why.as_ref().is_some_and(|why| why.contains("longer than 253 bytes")), "{:?}", shown.why);
}

#[test]
fn a_value_that_no_step_can_write_is_not_revertible_from_the_start() {
    let srv =
        json!({"id": 7, "type": "SRV", "name": "_sip", "data": "a", "priority": 1, "port": 2, "weight": 3, "ttl": 60});
    let srv = live("DomainRecord", "example.com/7", &srv);
    let caa = live("DomainRecord", "example.com/8", &json!({"id": 8, "type": "CAA", "flags": 0, "tag": "issue"}));
    let policy = live("AlertPolicy", UUID, &json!({"uuid": UUID, "value": 80, "enabled": true, "description": "busy"}));
    let volume = live("Volume", UUID, &json!({"id": UUID, "size_gigabytes": 10, "droplet_ids": []}));
    let droplet = live("Droplet", "7", &json!({"id": 7, "name": "web", "status": "active", "size_slug": "s-1"}));
    for (document, field, desired, why) in [
        (&srv, "priority", json!(null), "is not one text or number"),
        (&srv, "weight", json!(""), "is not one text or number"),
        (&srv, "port", json!(70_000), "larger than 65535, the maximum"),
        (&srv, "ttl", json!("soon"), "is not a whole number"),
        (&caa, "flags", json!(null), "is not one text or number"),
        (&caa, "flags", json!(256), "larger than 255, the maximum"),
        (&caa, "tag", json!("all"), "`issue`, `issuewild` or `iodef`"),
        (&policy, "value", json!(null), "value is recorded as blank"),
        (&policy, "enabled", json!(""), "enabled is recorded as blank"),
        (&volume, "size_gigabytes", json!(20_000), "larger than 16384, the maximum"),
        (&volume, "droplet_ids", json!(["web"]), "must be digits"),
        (&volume, "droplet_ids", json!([7, 8]), "attached to one droplet at most"),
        (&droplet, "status", json!("paused"), "and not by `paused`"),
        (&droplet, "name", json!("web 1"), "not a host name"),
        (&droplet, "size", json!([]), "is not one text or number"),
    ] {
        let shown = assessed(document, field, &desired);
        assert_eq!(shown.class, RevertClass::NotRevertible, "{field} {desired}");
        assert!(shown.why.as_ref().is_some_and(|is| is.contains(why)), "{field} {desired}: {:?}", shown.why);
        // The refusal does not name a permission first.
        let refused = planned(document, field, &desired, Allow::Safe).unwrap_err();
        assert_eq!(refused.class(), RevertClass::NotRevertible, "{refused}");
    }
    assert_eq!(assessed(&policy, "description", &json!("")).class, RevertClass::Safe);
}

#[test]
fn a_part_has_the_class_of_its_own_rule() {
    let pool = |count: u64, tags: Value| json!({"id": "p", "name": "web", "size": "s-1vcpu-2gb", "count": count, "tags": tags});
    let cluster = live("KubernetesCluster", UUID, &json!({"id": UUID, "node_pools": [pool(2, json!([]))]}));
    for (desired, class) in [
        (json!([{"name": "web", "tags": ["a"]}]), RevertClass::Safe),
        (json!([{"name": "web", "count": 3}]), RevertClass::Safe),
        (json!([{"name": "web", "count": 1}]), RevertClass::Disruptive),
        (json!([{"name": "web", "size": "s-4vcpu-8gb"}]), RevertClass::NotRevertible),
        (json!([{"name": "web"}, {"name": "more"}]), RevertClass::NotRevertible),
        (json!([]), RevertClass::NotRevertible),
    ] {
        assert_eq!(assessed(&cluster, "node_pools", &desired).class, class, "{desired}");
    }
    assert_eq!(assessed(&cluster, "node_pools.0.count", &json!(3)).class, RevertClass::Safe);
    let droplet = live("Droplet", "7", &json!({"id": 7, "tags": ["a"]}));
    let part = assessed(&droplet, "tags.0", &json!("b"));
    assert_eq!(part.class, RevertClass::NotRevertible);
    assert!(part.why.unwrap().contains("Only the whole field `tags`"));
}

#[test]
fn a_tag_that_a_firewall_selects_by_disrupts() {
    let firewall =
        live("Firewall", UUID, &json!({"id": UUID, "tags": ["Web"], "inbound_rules": [{"sources": {"tags": ["db"]}}]}));
    let mut selected = SelectedTags::new();
    selected_by(&firewall, &mut selected);
    assert_eq!(selected.keys().collect::<Vec<_>>(), ["db", "web"]);
    let droplet = live("Droplet", "7", &json!({"id": 7, "tags": ["web", "x"]}));
    let facts = AccountFacts { tags: selected, ..AccountFacts::default() };
    let class =
        |desired: Value| assess(&Revert { field: "tags", desired: &desired, document: &droplet, facts: &facts }).class;
    assert_eq!(class(json!(["web"])), RevertClass::Safe);
    assert_eq!(class(json!(["x"])), RevertClass::Disruptive);
    // A decision lists those that nobody recorded.
    let listed = |tag: &str, missing: &[&'static str]| {
        let tags = [(tag.to_owned(), "LoadBalancer 1".to_owned())].into();
        let users = TagUsers { tags, missing: missing.to_vec() };
        let facts = AccountFacts { tag_users: Some(Arc::new(users)), ..AccountFacts::default() };
        assess(&Revert { field: "tags", desired: &json!(["x"]), document: &droplet, facts: &facts })
    };
    let assessed = listed("web", &["firewall:read"]);
    assert_eq!(assessed.class, RevertClass::Disruptive);
    assert!(assessed.why.unwrap().starts_with("LoadBalancer 1 selects resources by the tag web"));
    for (missing, warning) in [
        (&[][..], "Unrecorded databases and alert policies may select by these tags."),
        (&["firewall:read"], "to list them, the token needs firewall:read."),
    ] {
        let assessed = listed("other", missing);
        assert_eq!(assessed.class, RevertClass::Safe);
        assert!(assessed.warnings[0].ends_with(warning), "{:?}", assessed.warnings);
    }
}

#[test]
fn a_droplet_is_not_resized_to_a_size_with_a_smaller_disk_or_to_none() {
    let document = json!({"id": 7, "status": "active", "size_slug": "s-2vcpu-4gb", "disk": 80});
    let droplet = live("Droplet", "7", &document);
    let assessed = |sizes: Option<SizeDisks>, size: &str| {
        let facts = AccountFacts { sizes: sizes.map(Arc::new), ..AccountFacts::default() };
        assess(&Revert { field: "size", desired: &json!(size), document: &droplet, facts: &facts })
    };
    let sizes = || Some([("s-1vcpu-1gb", 25), ("s-4vcpu-8gb", 160), ("c-2", 80)].into_iter().collect::<SizeDisks>());
    for (size, class, why) in [
        (
            "s-1vcpu-1gb",
            RevertClass::NotRevertible,
            "has 80 GB and cannot be shrunk, and the size `s-1vcpu-1gb` has only 25",
        ),
        ("S-1VCPU-1GB", RevertClass::NotRevertible, "has only 25"),
        ("s-9", RevertClass::NotRevertible, "has no size `s-9`"),
        ("s-4vcpu-8gb", RevertClass::Disruptive, "shut down and resized"),
        ("c-2", RevertClass::Disruptive, "shut down and resized"),
    ] {
        let known = assessed(sizes(), size);
        assert_eq!((known.class, known.may_rise), (class, false), "{size}");
        assert!(known.why.as_ref().is_some_and(|is| is.contains(why)), "{size}: {:?}", known.why);
        // As long as the sizes are not listed, the step finds it.
        let unknown = assessed(None, size);
        assert_eq!((unknown.class, unknown.may_rise), (RevertClass::Disruptive, true), "{size}");
    }
    let desired = |size: &str| [("size".to_owned(), json!(size))].into();
    assert!(is_resize(&droplet, &desired("s-1vcpu-1gb")) && !is_resize(&droplet, &desired("S-2vcpu-4gb")));
}

#[test]
fn a_resource_of_another_controller_is_refused_by_name() {
    let firewall = live("Firewall", UUID, &json!({"id": UUID, "name": "k8s-1f-worker"}));
    let why = assessed(&firewall, "name", &json!("web")).why.unwrap();
    assert!(why.contains("the Kubernetes cluster that created the firewall"), "{why}");
    let node = live("Droplet", "7", &json!({"id": 7, "name": "node", "tags": ["k8s", "k8s:worker"]}));
    assert_eq!(assessed(&node, "name", &json!("web")).class, RevertClass::NotRevertible);
    // It is never a revert, and the reason is that of the field.
    assert_eq!(assessed(&node, "id", &json!(8)).class, RevertClass::NotOurs);
}

#[test]
fn the_count_of_an_autoscaled_pool_belongs_to_its_autoscaler() {
    let pool = |name: &str, count: u64, scales: bool| json!({"id": name, "name": name, "count": count, "tags": [], "auto_scale": scales, "min_nodes": 1, "max_nodes": 5});
    let pools = json!([pool("p1", 5, false), pool("p2", 4, true)]);
    let cluster = live("KubernetesCluster", UUID, &json!({"id": UUID, "node_pools": pools}));
    let owner = "It belongs to the autoscaler of the pool p2, which would change it back; change it there.";
    for (field, desired) in [
        ("node_pools", json!([{"name": "p1", "count": 3}, {"name": "p2", "count": 2}])),
        // The order of the record is another one.
        ("node_pools", json!([{"name": "p2", "count": 2}, {"name": "p1", "count": 5}])),
        ("node_pools", json!([{"name": "p1", "count": 5}, {"name": "p2", "count": 2, "tags": ["a"]}])),
        ("node_pools.1", json!({"name": "p2", "count": 2})),
        ("node_pools.1.count", json!(2)),
        ("node_pools.1.count", json!("5")),
    ] {
        let shown = assessed(&cluster, field, &desired);
        assert_eq!((shown.class, shown.why.as_deref()), (RevertClass::NotRevertible, Some(owner)), "{field} {desired}");
        let refused = planned(&cluster, field, &desired, Allow::DataLoss).unwrap_err();
        assert!(refused.to_string().ends_with(owner), "{refused}");
    }
    for (field, desired, class) in [
        ("node_pools", json!([{"name": "p2", "count": 4}, {"name": "p1", "count": 3}]), RevertClass::Disruptive),
        ("node_pools", json!([{"name": "p1", "count": 6}, {"name": "p2", "tags": ["a"]}]), RevertClass::Safe),
        ("node_pools.0.count", json!(6), RevertClass::Safe),
        ("node_pools.1.tags", json!(["a"]), RevertClass::Safe),
        ("node_pools.1.max_nodes", json!(9), RevertClass::Disruptive),
        // The autoscaler is switched off, and the count is set.
        ("node_pools.1", json!({"name": "p2", "count": 2, "auto_scale": false}), RevertClass::Disruptive),
        // The autoscaler is switched on, and sets the count from then on.
        ("node_pools.0", json!({"name": "p1", "count": 2, "auto_scale": true}), RevertClass::Disruptive),
    ] {
        assert_eq!(assessed(&cluster, field, &desired).class, class, "{field} {desired}");
    }
    // A pool that is deleted has its own reason.
    let why = assessed(&cluster, "node_pools", &json!([{"name": "p1", "count": 5}])).why.unwrap();
    assert!(why.starts_with("Deleting a node pool"), "{why}");
}

#[test]
fn the_reference_names_each_owner_of_a_kind_once() {
    for section in reference().split("\n## ") {
        let mut refusals: Vec<_> = section.lines().filter(|line| line.starts_with("Refused for")).collect();
        let count = refusals.len();
        refusals.sort_unstable();
        refusals.dedup();
        assert_eq!(refusals.len(), count, "{section}");
    }
}

#[test]
fn what_the_user_did_not_allow_is_refused_with_the_effect_and_the_way() {
    let droplet = live("Droplet", "7", &json!({"id": 7, "size_slug": "s-1vcpu-1gb", "status": "active"}));
    let refused = planned(&droplet, "size", &json!("s-2vcpu-4gb"), Allow::Safe).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "reverting size of Droplet 7 is Disruptive: The droplet is shut down and resized; it is powered on again if it was \
         on. To allow that, set arcadia.cloud/revert=allow-disruption"
    );
    let plan = planned(&droplet, "size", &json!("s-2vcpu-4gb"), Allow::Disruption).unwrap();
    let steps: Vec<_> = plan.steps.iter().map(|step| step.step).collect();
    assert_eq!(steps, ["ResizeDroplet", "WaitForField"]);
    let calls: Vec<_> = plan.calls.iter().map(|call| call.changes[0].as_str()).collect();
    assert_eq!(calls, ["type: shutdown, and power_off after two minutes", "type: resize", "type: power_on"]);
    let plan = planned(&droplet, "size", &json!("s-2vcpu-4gb"), Allow::DataLoss).unwrap();
    assert_eq!(plan.steps[0].step, "CreateDropletSnapshot");
    let desired = json!("s-2vcpu-4gb");
    let revert = Revert { field: "size", desired: &desired, document: &droplet, facts: &AccountFacts::default() };
    let (plan, needs) = proposal(&revert, "web-1").unwrap();
    assert_eq!(needs, Allow::Disruption);
    assert_eq!(plan, planned(&droplet, "size", &desired, needs).unwrap(), "the plan shows the saga that would run");
    for allow in Allow::iter() {
        assert_eq!(allow.annotation().parse(), Ok(allow));
    }
}

#[test]
fn sets_become_a_step_for_each_member() {
    let droplet =
        live("Droplet", "7", &json!({"id": 7, "tags": ["a", "k8s:x"], "volume_ids": [UUID], "status": "off"}));
    let plan = planned(&droplet, "tags", &json!(["b", "c"]), Allow::Safe).unwrap();
    let last = plan.steps.last().unwrap();
    assert_eq!(
        (last.name.as_str(), &last.with["field"], &last.with["record"]),
        ("verify", &json!("tags"), &json!("web-1"))
    );
    let names: Vec<_> = plan.steps.iter().map(|step| step.step).collect();
    assert_eq!(names, ["TagResource", "TagResource", "UntagResource", "WaitForField"]);
    let mut unique: Vec<_> = plan.steps.iter().map(|step| &step.name).collect();
    unique.dedup();
    assert_eq!(unique.len(), 4);
    let plan = planned(&droplet, "volume_ids", &json!([OTHER]), Allow::DataLoss).unwrap();
    let names: Vec<_> = plan.steps.iter().map(|step| step.step).collect();
    assert_eq!(names, ["DetachVolume", "AttachVolume", "WaitForField"]);
}

#[test]
fn no_value_of_a_record_stands_in_the_parameters_of_a_write() {
    let policy = json!({"uuid": UUID, "alerts": {"email": [], "slack": [{"channel": "a", "url": "https://hooks.slack.com/services/old"}]}});
    let policy = live("AlertPolicy", UUID, &policy);
    let desired = json!({"email": [], "slack": [{"channel": "a", "url": "https://hooks.slack.com/services/new"}]});
    let plan = planned(&policy, "alerts", &desired, Allow::Safe).unwrap();
    let text = format!("{plan:?}");
    assert!(!text.contains("hooks.slack.com"), "{text}");
    let mut with = plan.steps[0].with.clone();
    let digest = with.remove("digest").unwrap();
    assert_eq!(digest.as_str().unwrap().len(), 8, "{digest}");
    assert_eq!(with.remove("live").unwrap().as_str().unwrap().len(), 8);
    let wanted = json!({"kind": "AlertPolicy", "id": UUID, "record": "web-1", "field": "alerts", "allow": "safe"});
    assert_eq!(Value::Object(with), wanted);
    assert!(plan.steps[0].irreversible);
    assert_eq!(plan.calls[0].method, "PUT");
    assert_eq!(plan.calls[0].path, format!("/v2/monitoring/alerts/{UUID}"));
}
