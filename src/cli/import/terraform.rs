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

/// The start of the resource types of the provider.
const PROVIDER: &str = "digitalocean_";
/// The attribute with the id, by default.
const ID: &str = "id";

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
    /// Resources that cannot be recorded, each with a message.
    pub(super) refused: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub(super) struct TerraformResource {
    pub(super) key: ResourceKey,
    pub(super) name: Option<String>,
    pub(super) desired: BTreeMap<String, Value>,
}

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
                found.add(kind, instance.get("attributes").unwrap_or(&Value::Null));
            }
        }
        return Ok(found);
    }
    let root = state.pointer("/values/root_module").ok_or(
        "it is neither a state file of version 4 nor the output of: terraform show -json, or: tofu show -json",
    )?;
    found.add_module(root);
    Ok(found)
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl TerraformState {
    fn add_module(&mut self, module: &Value) {
        for resource in list(module, "/resources") {
            if text(resource, "/mode") == Some("managed") {
                self.add(text(resource, "/type").unwrap_or_default(), resource.get("values").unwrap_or(&Value::Null));
            }
        }
        for child in list(module, "/child_modules") {
            self.add_module(child);
        }
    }

    fn add(&mut self, kind: &str, attributes: &Value) {
        let Some(row) = TABLE.get(kind) else {
            if kind.starts_with(PROVIDER) {
                self.unmapped.insert(kind.to_owned());
            }
            return;
        };
        let id = row.id(attributes);
        let format = row.kind.id_format();
        if !format.admits(&id) {
            self.refused.push(format!("{kind} with id {id:?}: the id of a {} {}", row.kind, format.says()));
            return;
        }
        let desired: BTreeMap<String, Value> =
            row.fields.iter().filter_map(|(attribute, target)| target.value(at(attributes, attribute)?)).collect();
        if desired.is_empty() {
            self.refused.push(format!("{kind} with id {id:?}: the state has none of its fields"));
            return;
        }
        let name = text(attributes, "/name").map(str::to_owned);
        self.resources.push(TerraformResource { key: ResourceKey::new(row.kind, id), name, desired });
    }
}

impl ResourceType {
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
    fn what_cannot_be_recorded_is_listed() {
        let state = read(&state_file("digitalocean_spaces_bucket", &json!({ "id": "b" }))).unwrap();
        assert_eq!(state.unmapped.into_iter().collect::<Vec<_>>(), ["digitalocean_spaces_bucket"]);
        let state = read(&state_file("digitalocean_droplet", &json!({ "id": "web" }))).unwrap();
        assert!(state.refused[0].contains("must be digits"), "{:?}", state.refused);
        assert_eq!(read(&state_file("aws_instance", &json!({ "id": "i" }))).unwrap(), TerraformState::default());
        for state in [json!({ "version": 3 }), json!({}), json!([])] {
            assert!(read(&state).is_err(), "{state}");
        }
    }
}
