//! The first contents of a record of a live resource: the values that a person would pin. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    FieldComparison, Kind, Live,
    document::{Pattern, is_empty_value},
    live::Resolved,
};

/// The recorded fields of a resource, and those that were left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pinned {
    /// The value of each field, without credentials and without parts that the cloud changes.
    pub desired: BTreeMap<String, Value>,
    /// Existing fields that cannot be recorded now, with the reason.
    pub left_out: Vec<(String, String)>,
}

impl Pinned {
    /// Reads these fields of a live resource. Each recorded value equals the live one under the kind's rules, so that a
    /// new record opens no drift.
    #[must_use]
    pub(crate) fn of<'f>(kind: Kind, live: &Live, fields: impl IntoIterator<Item = &'f str>) -> Self {
        let mut pinned = Self::default();
        for field in fields {
            match value(kind, live, field) {
                Ok(Some(value)) => {
                    pinned.desired.insert(field.to_owned(), value);
                }
                Ok(None) => {}
                Err(why) => pinned.left_out.push((field.to_owned(), why)),
            }
        }
        pinned
    }
}

/// The value to record; none if the resource has none.
fn value(kind: Kind, live: &Live, field: &str) -> Result<Option<Value>, String> {
    let found = match live.resolve(field, &Value::Null) {
        Resolved::Value(found) => found,
        Resolved::Unknown { scope } => return Err(format!("the token needs {scope}")),
        Resolved::NotReadable => return Err("the API does not return it, or it holds a secret".to_owned()),
        Resolved::NoSuchField { nearest } if nearest.is_empty() => return Err("no such field".to_owned()),
        Resolved::NoSuchField { nearest } => {
            return Err(format!("no such field; did you mean {}?", nearest.join(" or ")));
        }
    };
    if found.is_null() || found.as_str() == Some("") {
        return Ok(None);
    }
    let mut path: Vec<String> = field.split('.').map(str::to_owned).collect();
    let kept = without(&kind.row().unpinned, &mut path, &found);
    let hidden = live.hide(field, &kept);
    let Some(kept) = without_credentials(&kept, &hidden) else {
        return Err("it holds a credential".to_owned());
    };
    if is_empty_value(&kept) && !is_empty_value(&found) {
        return Err("it holds nothing but credentials".to_owned());
    }
    let kept = live.with_full_host_names(field, live.with_certificate_names(field, &kept));
    match live.compare(field, &kept) {
        FieldComparison::Done(compared) if compared.differences.is_empty() && compared.doubts.is_empty() => {
            Ok(Some(kept))
        }
        FieldComparison::Done(compared) => {
            let doubt = compared.doubts.into_iter().next().map(|doubt| doubt.why);
            Err(doubt.unwrap_or_else(|| "parts of it cannot be recorded".to_owned()))
        }
        FieldComparison::Unknown(why) => Err(why),
        FieldComparison::NotReadable => Err("the API does not return it, or it holds a secret".to_owned()),
        FieldComparison::NoSuchField { .. } => Err("no such field".to_owned()),
    }
}

/// A value without the parts that match these patterns.
fn without(patterns: &[Pattern], path: &mut Vec<String>, value: &Value) -> Value {
    let mut keep = |key: String, value: &Value| {
        path.push(key);
        let kept = (!patterns.iter().any(|pattern| pattern.matches(path))).then(|| without(patterns, path, value));
        path.pop();
        kept
    };
    match value {
        Value::Object(entries) => entries
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), keep(key.clone(), value)?)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => {
            items.iter().enumerate().filter_map(|(at, item)| keep(at.to_string(), item)).collect::<Vec<_>>().into()
        }
        scalar => scalar.clone(),
    }
}

/// A value without the keys whose values are hidden. None if an item of a list or the whole value is hidden: a list
/// without an item would be a different list.
fn without_credentials(value: &Value, hidden: &Value) -> Option<Value> {
    match (value, hidden) {
        (Value::Object(entries), Value::Object(hidden)) => {
            let kept = entries.iter().filter_map(|(key, value)| {
                let hidden = hidden.get(key)?;
                Some((key.clone(), without_credentials(value, hidden)?))
            });
            Some(kept.collect::<serde_json::Map<_, _>>().into())
        }
        (Value::Array(items), Value::Array(hidden)) => {
            let kept = items.iter().zip(hidden).map(|(item, hidden)| without_credentials(item, hidden));
            kept.collect::<Option<Vec<_>>>().map(Value::from)
        }
        (value, hidden) => (value == hidden).then(|| value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::digitalocean::{Document, ResourceKey, examples};

    fn pinned(kind: &str, document: &Value) -> Pinned {
        let kind = Kind::named(kind).unwrap();
        let live = Live::parse(&ResourceKey::new(kind, "1"), &document.to_string()).unwrap();
        Pinned::of(kind, &live, kind.pins().iter().map(String::as_str))
    }

    #[test]
    fn a_record_has_what_a_person_would_pin() {
        let droplet = json!({ "id": 1, "name": "web-1", "size_slug": "s-2vcpu-4gb", "region": { "slug": "nyc3" },
            "image": { "id": 5, "slug": "ubuntu-24-04-x64" }, "tags": ["web"], "vpc_uuid": "v", "volume_ids": [],
            "features": ["monitoring"], "status": "active", "created_at": "2026-01-01T00:00:00Z", "locked": false });
        let wanted = json!({ "name": "web-1", "size_slug": "s-2vcpu-4gb", "region": "nyc3", "image": "ubuntu-24-04-x64",
            "tags": ["web"], "vpc_uuid": "v", "volumes": [], "backups": false, "ipv6": false, "monitoring": true });
        let pinned = pinned("Droplet", &droplet);
        assert_eq!(json!(pinned.desired), wanted);
        assert_eq!(pinned.left_out, []);
    }

    #[test]
    fn a_host_that_could_be_relative_to_the_domain_gets_a_final_dot() {
        for (kind, data, recorded) in [
            ("CNAME", "db.internal", "db.internal."),
            ("CNAME", "www.example.org", "www.example.org"),
            ("CNAME", "www.example.com", "www.example.com"),
            ("MX", "@", "@"),
            ("TXT", "db.internal", "db.internal"),
        ] {
            let document = json!({ "id": 5, "type": kind, "name": "db", "data": data, "ttl": 1800 });
            let of = Kind::named("DomainRecord").unwrap();
            let live = Live::parse(&ResourceKey::new(of, "example.com/5"), &document.to_string()).unwrap();
            assert_eq!(Pinned::of(of, &live, ["data"]).desired["data"], recorded, "{kind} {data}");
        }
    }

    #[test]
    fn parts_that_the_cloud_chooses_are_not_recorded() {
        let cluster = json!({ "id": "c", "name": "prod", "node_pools": [{ "id": "p", "name": "workers", "size": "s-2vcpu-4gb",
            "count": 3, "nodes": [{ "id": "n", "status": { "state": "running" } }] }] });
        let recorded = pinned("KubernetesCluster", &cluster).desired;
        assert_eq!(recorded["node_pools"], json!([{ "name": "workers", "size": "s-2vcpu-4gb", "count": 3 }]));
    }

    #[test]
    fn a_credential_is_never_recorded() {
        let app = json!({ "id": "a", "spec": { "name": "shop", "services": [{ "name": "web", "instance_count": 1, "envs": [
            { "key": "TOKEN", "value": "CANARY", "type": "SECRET" }, { "key": "URL", "value": "https://u:CANARY@h", "type": "GENERAL" },
        ] }] } });
        let pinned = pinned("App", &app);
        let text = format!("{pinned:?}");
        assert!(!text.contains("CANARY") && !text.contains("sha256"), "{text}");
    }

    #[test]
    fn what_is_pinned_raises_no_drift_for_any_kind() {
        for kind in Kind::all() {
            let row = kind.row();
            let pages = examples::answers(&row.list.path);
            for document in pages.iter().flat_map(|page| page[&row.list.key].as_array().unwrap()) {
                let live = Live::parse(&ResourceKey::new(kind, "1"), &document.to_string()).unwrap();
                let pinned = Pinned::of(kind, &live, kind.pins().iter().map(String::as_str));
                assert!(!pinned.desired.is_empty(), "{kind}: {pinned:?}");
                for (field, value) in &pinned.desired {
                    let FieldComparison::Done(compared) = live.compare(field, value) else { panic!("{kind}: {field}") };
                    assert!(compared.differences.is_empty(), "{kind}: {field}: {compared:?}");
                }
            }
        }
    }

    #[test]
    fn certificates_are_recorded_by_their_names() {
        let kind = Kind::named("LoadBalancer").unwrap();
        let id = "892071a0-bb95-49bc-8021-3afd67a210bf";
        let rule = |certificate: &str| json!([{ "entry_protocol": "https", "entry_port": 443, "certificate_id": certificate }]);
        let document = Document {
            certificates: Some(Arc::new([(id, "web")].into_iter().collect())),
            ..Document::whole(json!({ "forwarding_rules": rule(id) }).to_string())
        };
        let live = Live::of(&ResourceKey::new(kind, "1"), &document).unwrap();
        assert_eq!(Pinned::of(kind, &live, ["forwarding_rules"]).desired["forwarding_rules"], rule("web"));
    }
}
