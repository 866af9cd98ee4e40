//! Records from the state of Terraform or OpenTofu: the values that it declares. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    cli::drift::text,
    comparison::secret,
    digitalocean::{Kind, ResourceKey},
};

/// The kind whose count an autoscaler may choose.
const NODE_POOL: &str = "KubernetesNodePool";
/// The start of the resource types of the provider.
const PROVIDER: &str = "digitalocean_";
/// The attribute with the id, by default.
const ID: &str = "id";
/// The keys of a shown state without resources. A plan has more.
const EMPTY: [&str; 4] = ["format_version", "terraform_version", "values", "checks"];
/// The reason why a field is left out.
const SENSITIVE: &str = "Terraform marks it as sensitive";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceType {
    kind: Kind,
    #[serde(default)]
    id: Option<String>,
    fields: BTreeMap<String, FieldTarget>,
}

/// The recorded field for an attribute.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FieldTarget {
    Field(String),
    Each { field: String, each: BTreeMap<String, String> },
    One { field: String, one: BTreeMap<String, String> },
}

static TABLE: LazyLock<BTreeMap<String, ResourceType>> = LazyLock::new(table);

#[expect(clippy::panic, reason = "the file is part of the program, and a test reads it")]
fn table() -> BTreeMap<String, ResourceType> {
    serde_saphyr::from_str(include_str!("terraform.yaml"))
        .unwrap_or_else(|error| panic!("reading terraform.yaml: {error}"))
}

/// The contents of a state.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TerraformState {
    pub(super) resources: Vec<TerraformResource>,
    /// Types of the provider without a kind.
    pub(super) unmapped: BTreeSet<String>,
    /// Resources that cannot be recorded, each with its kind and a message.
    pub(super) refused: Vec<(Kind, String)>,
    /// The resources so far: a state may contain one several times, in several modules.
    seen: BTreeSet<ResourceKey>,
}

#[derive(Debug, PartialEq)]
pub(super) struct TerraformResource {
    pub(super) key: ResourceKey,
    pub(super) name: Option<String>,
    pub(super) desired: BTreeMap<String, Value>,
    /// Fields that are not recorded, with the reason.
    pub(super) left_out: Vec<(String, &'static str)>,
}

/// A sensitive place, as keys and positions. All below it is sensitive too.
type SensitivePath = Vec<String>;

/// Reads a state file of version 4, or the output of `terraform show -json` or `tofu show -json`.
pub(super) fn read(state: &Value) -> Result<TerraformState, String> {
    let mut found = TerraformState::default();
    if let Some(version) = state.get("version").and_then(Value::as_u64) {
        if version != 4 {
            return Err(format!(
                "it is a state of version {version}; only version 4 is known: upgrade Terraform and refresh"
            ));
        }
        for resource in list(state, "/resources") {
            let is_managed = text(resource, "/mode") == Some("managed");
            let kind = text(resource, "/type").unwrap_or_default();
            for instance in list(resource, "/instances").iter().filter(|_| is_managed) {
                // An object that Terraform will delete, because another one replaced it.
                if text(instance, "/deposed").is_some() {
                    continue;
                }
                let sensitive: Vec<SensitivePath> = list(instance, "/sensitive_attributes").iter().map(steps).collect();
                found.add(kind, instance.get("attributes").unwrap_or(&Value::Null), &sensitive);
            }
        }
        return Ok(found);
    }
    if is_empty(state) {
        return Ok(found);
    }
    let root = state.pointer("/values/root_module").ok_or(
        "it is neither a state file of version 4 nor the output of: terraform show -json, or: tofu show -json",
    )?;
    found.add_module(root);
    Ok(found)
}

/// Returns true for the output of `terraform show -json` without resources.
fn is_empty(state: &Value) -> bool {
    let has_format = text(state, "/format_version").is_some();
    let has_no_more = state.as_object().is_some_and(|map| map.keys().all(|key| EMPTY.contains(&key.as_str())));
    has_format && has_no_more && state.pointer("/values/root_module").is_none_or(Value::is_null)
}

/// A sensitive path of a state file: `[{"type": "get_attr", "value": "tags"}, {"type": "index", "value": {"value": 0}}]`.
/// It ends at a step that is neither a key nor a position, such as an element of a set.
fn steps(path: &Value) -> SensitivePath {
    let step = |step: &Value| {
        let value = step.get("value")?;
        segment(value.get("value").unwrap_or(value))
    };
    path.as_array().into_iter().flatten().map_while(step).collect()
}

fn segment(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Adds the sensitive paths of a shown state, which has `true` at each of them.
fn add_marked(marks: &Value, place: &[String], found: &mut Vec<SensitivePath>) {
    let below = |step: String| place.iter().cloned().chain([step]).collect::<SensitivePath>();
    match marks {
        Value::Bool(true) => found.push(place.to_vec()),
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                add_marked(item, &below(position.to_string()), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                add_marked(value, &below(key.clone()), found);
            }
        }
        Value::Null | Value::Bool(false) | Value::Number(_) | Value::String(_) => {}
    }
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl TerraformState {
    fn add_module(&mut self, module: &Value) {
        for resource in list(module, "/resources") {
            if text(resource, "/mode") == Some("managed") && text(resource, "/deposed_key").is_none() {
                let mut sensitive = Vec::new();
                if let Some(marks) = resource.get("sensitive_values") {
                    add_marked(marks, &[], &mut sensitive);
                }
                let kind = text(resource, "/type").unwrap_or_default();
                self.add(kind, resource.get("values").unwrap_or(&Value::Null), &sensitive);
            }
        }
        for child in list(module, "/child_modules") {
            self.add_module(child);
        }
    }

    fn add(&mut self, kind: &str, attributes: &Value, sensitive: &[SensitivePath]) {
        let Some(row) = TABLE.get(kind) else {
            if kind.starts_with(PROVIDER) {
                self.unmapped.insert(kind.to_owned());
            }
            return;
        };
        let is_marked = |attribute: &str| sensitive.iter().any(|path| rest(path, attribute).is_some());
        if row.id_attributes().into_iter().any(is_marked) {
            self.refused.push((row.kind, format!("a {kind}: Terraform marks its id as sensitive")));
            return;
        }
        let id = row.id(attributes);
        if let Err(rule) = row.kind.id_format().check(&id) {
            let why = format!("{kind} with id {id:?}: the id of a {} {rule}", row.kind);
            self.refused.push((row.kind, why));
            return;
        }
        let key = ResourceKey::new(row.kind, id.as_str());
        if !self.seen.insert(key.clone()) {
            return;
        }
        let mut desired = BTreeMap::new();
        let mut left_out = Vec::new();
        for (attribute, target) in &row.fields {
            let Some((field, value)) = at(attributes, attribute).and_then(|value| target.value(value)) else {
                continue;
            };
            if sensitive.iter().any(|path| rest(path, attribute).is_some_and(|rest| target.reads(rest))) {
                left_out.push((field, SENSITIVE));
            } else {
                desired.insert(field, value);
            }
        }
        // The autoscaler chooses the count.
        if row.kind.name() == NODE_POOL && attributes.get("auto_scale") == Some(&Value::Bool(true)) {
            desired.remove("count");
        }
        if desired.is_empty() {
            let why =
                if left_out.is_empty() { "the state has none of its fields" } else { "all its fields are sensitive" };
            self.refused.push((row.kind, format!("{kind} with id {id:?}: {why}")));
            return;
        }
        let name = text(attributes, "/name").filter(|_| !is_marked("name")).map(str::to_owned);
        self.resources.push(TerraformResource { key, name, desired, left_out });
    }
}

/// The part of a sensitive path below an attribute (or a dotted path to one); empty if the whole attribute is sensitive.
/// None if the path leads elsewhere.
fn rest<'p>(path: &'p [String], attribute: &str) -> Option<&'p [String]> {
    let mut rest = path;
    for part in attribute.split('.') {
        let Some((first, others)) = rest.split_first() else { break };
        if first != part {
            return None;
        }
        rest = others;
    }
    Some(rest)
}

impl ResourceType {
    /// The attributes in the id.
    fn id_attributes(&self) -> Vec<&str> {
        let template = self.id.as_deref().unwrap_or(ID);
        if !template.contains('{') {
            return vec![template];
        }
        template.split('{').filter_map(|part| Some(part.split_once('}')?.0)).collect()
    }

    /// The id, from the attributes that the table names.
    fn id(&self, attributes: &Value) -> String {
        let of = |attribute: &str| match attributes.get(attribute) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let template = self.id.as_deref().unwrap_or(ID);
        if !template.contains('{') {
            return of(template);
        }
        let parts = template.split('{').map(|part| match part.split_once('}') {
            Some((attribute, rest)) => format!("{}{rest}", of(attribute)),
            None => part.to_owned(),
        });
        parts.collect()
    }
}

impl FieldTarget {
    /// Returns true if the recorded value contains this place below the attribute.
    fn reads(&self, rest: &[String]) -> bool {
        let keys = match self {
            Self::Field(_) => return true,
            Self::Each { each, .. } => each,
            Self::One { one, .. } => one,
        };
        let is_key = |step: &&String| step.parse::<usize>().is_err();
        rest.iter().find(is_key).is_none_or(|key| keys.contains_key(key))
    }

    /// The recorded field and its value; none if the cloud sets it or it contains a credential.
    fn value(&self, value: &Value) -> Option<(String, Value)> {
        let (field, value) = match self {
            Self::Field(field) => (field, value.clone()),
            Self::Each { field, each } => {
                (field, value.as_array()?.iter().map(|block| renamed(block, each)).collect::<Vec<_>>().into())
            }
            Self::One { field, one } => {
                let block = value.as_array().map_or(Some(value), |blocks| blocks.first())?;
                (field, renamed(block, one))
            }
        };
        let is_set = !is_unset(&value) && value.as_object().is_none_or(|map| !map.is_empty());
        let is_safe = secret::hide_unknown(&value) == value;
        (is_set && is_safe).then(|| (field.clone(), value))
    }
}

/// Returns true if the cloud sets the value. Zero is a number that was not set.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A block with the keys of the API. Empty lists are omitted, as in the API.
fn renamed(block: &Value, keys: &BTreeMap<String, String>) -> Value {
    let mut map = Map::new();
    for (attribute, path) in keys {
        let value = block
            .get(attribute)
            .filter(|value| !is_unset(value) && value.as_array().is_none_or(|list| !list.is_empty()));
        let Some(value) = value else { continue };
        match path.split_once('.') {
            None => {
                map.insert(path.clone(), value.clone());
            }
            Some((outer, inner)) => {
                let nested = map.entry(outer).or_insert_with(|| Map::new().into());
                if let Some(nested) = nested.as_object_mut() {
                    nested.insert(inner.to_owned(), value.clone());
                }
            }
        }
    }
    map.into()
}

/// The value at a dotted path of keys and positions.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    value.pointer(&format!("/{}", path.replace('.', "/")))
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_mapped_field_is_one_of_its_kind() {
        assert!(TABLE.len() > 20);
        for (name, row) in TABLE.iter() {
            let known: Vec<&str> = row.kind.fields().collect();
            for target in row.fields.values() {
                let (FieldTarget::Field(field) | FieldTarget::Each { field, .. } | FieldTarget::One { field, .. }) =
                    target;
                let root = field.split('.').next().unwrap();
                assert!(known.contains(&root), "{name}: {} has no {field}", row.kind);
            }
        }
    }

    fn droplet() -> Value {
        json!({ "id": "3164444", "name": "web-1", "size": "s-2vcpu-4gb", "region": "nyc3", "image": "ubuntu-24-04-x64",
            "tags": ["web"], "backups": false, "vpc_uuid": null, "price_monthly": 24, "ipv4_address": "203.0.113.1" })
    }

    fn state_file(kind: &str, attributes: &Value) -> Value {
        json!({ "version": 4, "resources": [
            { "mode": "managed", "type": kind, "name": "x", "instances": [{ "attributes": attributes }] },
            { "mode": "data", "type": "digitalocean_image", "name": "y", "instances": [{ "attributes": { "id": "1" } }] },
        ] })
    }

    fn fixture() -> Value {
        serde_json::from_str(include_str!("../../../tests/terraform/terraform.tfstate")).unwrap()
    }

    /// A state in the format of `tofu show -json`.
    fn shown(state: &Value) -> Value {
        let resources = list(state, "/resources").iter().flat_map(|resource| {
            list(resource, "/instances").iter().map(|instance| {
                json!({ "mode": resource["mode"], "type": resource["type"], "name": resource["name"], "values": instance["attributes"] })
            })
        });
        json!({ "format_version": "1.0", "values": { "root_module": { "resources": resources.collect::<Vec<_>>() } } })
    }

    #[test]
    fn every_mapped_attribute_of_every_type_is_recorded() {
        let state = fixture();
        for (name, row) in TABLE.iter() {
            let of_type: Vec<_> =
                list(&state, "/resources").iter().filter(|resource| text(resource, "/type") == Some(name)).collect();
            assert!(!of_type.is_empty(), "{name}");
            for attribute in row.fields.keys() {
                let is_there = of_type.iter().any(|resource| {
                    let attributes = &resource["instances"][0]["attributes"];
                    at(attributes, attribute).is_some_and(|value| !is_unset(value))
                });
                assert!(is_there, "{name}: the fixture has no {attribute}");
            }
        }
        let found = read(&state).unwrap();
        assert_eq!(read(&shown(&state)).unwrap(), found);
        assert_eq!((found.unmapped.len(), &found.refused), (1, &Vec::new()));
        assert_eq!(found.resources.len(), list(&state, "/resources").len() - 2);
        let records = found.resources.iter().map(|declared| {
            let name = declared.name.as_deref();
            let record = crate::cli::import::record::manifest(&declared.key, name, &declared.desired, None);
            format!("---\n{}", crate::cli::output::yaml(&record).unwrap())
        });
        let records: String = records.collect();
        assert!(!records.contains("SECRET"), "a credential was recorded");
        expect_file!["../../../tests/terraform/records.yaml"].assert_eq(&records);
    }

    #[test]
    fn a_state_file_and_shown_json_say_the_same() {
        let wanted = json!({ "name": "web-1", "size_slug": "s-2vcpu-4gb", "region": "nyc3", "image": "ubuntu-24-04-x64",
            "tags": ["web"], "backups": false });
        let shown = json!({ "format_version": "1.0", "values": { "root_module": { "child_modules": [{ "resources": [
            { "mode": "managed", "type": "digitalocean_droplet", "name": "web", "values": droplet() }] }] } } });
        for state in [state_file("digitalocean_droplet", &droplet()), shown] {
            let state = read(&state).unwrap();
            assert_eq!(state.resources.len(), 1);
            assert_eq!(state.resources[0].key, ResourceKey::new(Kind::named("Droplet").unwrap(), "3164444"));
            assert_eq!(json!(state.resources[0].desired), wanted);
        }
    }

    #[test]
    fn blocks_become_the_maps_of_the_api() {
        let firewall = json!({ "id": "fb6045f1-cf1d-4ca3-bfac-18832663025b", "name": "web", "inbound_rule": [
            { "protocol": "tcp", "port_range": "22", "source_addresses": ["198.51.100.0/24"], "source_tags": [], "source_droplet_ids": null },
        ] });
        let state = read(&state_file("digitalocean_firewall", &firewall)).unwrap();
        let rules = json!([{ "protocol": "tcp", "ports": "22", "sources": { "addresses": ["198.51.100.0/24"] } }]);
        assert_eq!(state.resources[0].desired["inbound_rules"], rules);
        let balancer = json!({ "id": "4de7ac8b-495b-4884-9a69-1050c6793cd6", "healthcheck": [{ "port": 80, "protocol": "http", "path": "/" }],
            "sticky_sessions": [] });
        let state = read(&state_file("digitalocean_loadbalancer", &balancer)).unwrap();
        assert_eq!(
            json!(state.resources[0].desired),
            json!({ "health_check": { "port": 80, "protocol": "http", "path": "/" } })
        );
    }

    #[test]
    fn the_id_of_a_domain_record_has_its_domain() {
        let record = json!({ "id": "28448430", "domain": "example.com", "type": "A", "name": "www", "value": "203.0.113.10", "priority": 0 });
        let state = read(&state_file("digitalocean_record", &record)).unwrap();
        assert_eq!(&*state.resources[0].key.id, "example.com/28448430");
        assert_eq!(json!(state.resources[0].desired), json!({ "type": "A", "name": "www", "data": "203.0.113.10" }));
    }

    #[test]
    fn sensitive_values_are_left_out() {
        let volume = json!({ "id": "506f78a4-e098-11e5-ad9f-000f53306ae1", "name": "hunter2", "size": 10, "description": "hunter2",
            "tags": ["web", "hunter2"] });
        let of_file = json!({ "version": 4, "resources": [{ "mode": "managed", "type": "digitalocean_volume", "instances": [
            { "attributes": volume, "sensitive_attributes": [
                [{ "type": "get_attr", "value": "name" }],
                [{ "type": "get_attr", "value": "description" }],
                [{ "type": "get_attr", "value": "tags" }, { "type": "index", "value": { "value": 1, "type": "number" } }],
            ] }] }] });
        let of_show = json!({ "format_version": "1.0", "values": { "root_module": { "resources": [
            { "mode": "managed", "type": "digitalocean_volume", "values": volume,
              "sensitive_values": { "name": true, "description": true, "tags": [false, true] } }] } } });
        for state in [of_file, of_show] {
            let state = read(&state).unwrap();
            let found = &state.resources[0];
            assert_eq!((json!(found.desired), &found.name), (json!({ "size_gigabytes": 10 }), &None));
            let fields: Vec<&str> = found.left_out.iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!(fields, ["description", "name", "tags"]);
        }
    }

    #[test]
    fn a_sensitive_part_of_a_block_counts_if_it_is_recorded() {
        let firewall = json!({ "id": "fb6045f1-cf1d-4ca3-bfac-18832663025b", "name": "web",
            "inbound_rule": [{ "protocol": "tcp", "port_range": "22", "other": "hunter2" }] });
        for (key, wanted) in [("other", 0), ("port_range", 1)] {
            let state = json!({ "format_version": "1.0", "values": { "root_module": { "resources": [
                { "mode": "managed", "type": "digitalocean_firewall", "values": firewall,
                  "sensitive_values": { "inbound_rule": [{ key: true }] } }] } } });
            assert_eq!(read(&state).unwrap().resources[0].left_out.len(), wanted, "{key}");
        }
        let domain = json!({ "format_version": "1.0", "values": { "root_module": { "resources": [
            { "mode": "managed", "type": "digitalocean_domain", "values": { "name": "hunter2.com", "ttl": 60 },
              "sensitive_values": { "name": true } }] } } });
        let refused = read(&domain).unwrap().refused;
        assert!(refused[0].1.contains("sensitive") && !refused[0].1.contains("hunter2"), "{refused:?}");
    }

    #[test]
    fn one_resource_is_recorded_once_and_a_deposed_one_never() {
        let mut other = droplet();
        other["id"] = "5".into();
        let state = json!({ "version": 4, "resources": [
            { "mode": "managed", "type": "digitalocean_droplet", "instances": [
                { "attributes": droplet() }, { "attributes": other, "deposed": "8f2c1a3b" }] },
            { "mode": "managed", "type": "digitalocean_droplet", "module": "module.web", "instances": [{ "attributes": droplet() }] },
        ] });
        let ids: Vec<_> = read(&state).unwrap().resources.into_iter().map(|found| found.key.id).collect();
        assert_eq!(ids.iter().map(|id| &**id).collect::<Vec<_>>(), ["3164444"]);
    }

    #[test]
    fn a_shown_state_without_values_is_empty() {
        for state in [
            json!({ "format_version": "1.0" }),
            json!({ "format_version": "1.0", "terraform_version": "1.9.0", "values": { "outputs": {} } }),
        ] {
            assert_eq!(read(&state), Ok(TerraformState::default()), "{state}");
        }
        assert!(read(&json!({ "format_version": "1.2", "planned_values": {} })).is_err());
    }

    #[test]
    fn what_cannot_be_recorded_is_listed() {
        let state = read(&state_file("digitalocean_spaces_bucket", &json!({ "id": "b" }))).unwrap();
        assert_eq!(state.unmapped.into_iter().collect::<Vec<_>>(), ["digitalocean_spaces_bucket"]);
        let state = read(&state_file("digitalocean_droplet", &json!({ "id": "web" }))).unwrap();
        assert!(state.refused[0].1.contains("must be digits"), "{:?}", state.refused);
        assert_eq!(read(&state_file("aws_instance", &json!({ "id": "i" }))).unwrap(), TerraformState::default());
        for state in [json!({ "version": 3 }), json!({}), json!([])] {
            assert!(read(&state).is_err(), "{state}");
        }
    }
}
