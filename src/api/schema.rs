//! Parts of schemas that several resources share.

use std::borrow::Cow;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, ValidationRule,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::digitalocean::{Kind, ResourceKey};

/// The maximum length of a value in a Drift (expected or actual), as text.
pub const MAX_VALUE_BYTES: usize = 32 * 1024;

/// A live resource in the cloud: its kind and its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudResource {
    /// One of the kinds that the operator knows.
    pub kind: Kind,
    /// The id of the resource at the provider, always as a string.
    pub id: String,
}

impl CloudResource {
    /// The key of the resource in the inventory.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        ResourceKey::new(self.kind, self.id.as_str())
    }
}

impl From<&ResourceKey> for CloudResource {
    fn from(key: &ResourceKey) -> Self {
        Self { kind: key.kind, id: key.id.to_string() }
    }
}

impl JsonSchema for CloudResource {
    fn schema_name() -> Cow<'static, str> {
        "CloudResource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A live thing in the cloud.",
            "required": ["kind", "id"],
            "properties": {
                "kind": {
                    "type": "string",
                    "description": "One of the kinds that the operator knows.",
                    "enum": Kind::all().map(Kind::name).collect::<Vec<_>>(),
                },
                "id": {
                    "type": "string",
                    "description": "The provider's id, always as a string.",
                    "minLength": 1,
                    "maxLength": 253,
                },
            },
            "x-kubernetes-validations": id_rules(),
        })
    }
}

/// One rule per format of ids, for all kinds with that format.
fn id_rules() -> Vec<Value> {
    let mut formats = Vec::new();
    for kind in Kind::all() {
        if !formats.contains(&kind.id_format()) {
            formats.push(kind.id_format());
        }
    }
    formats
        .into_iter()
        .map(|format| {
            let kinds: Vec<_> = Kind::all().filter(|kind| kind.id_format() == format).map(Kind::name).collect();
            let list = kinds.iter().map(|kind| format!("'{kind}'")).collect::<Vec<_>>().join(", ");
            let pattern = format.pattern().replace('\\', "\\\\");
            json!({
                "rule": format!("!(self.kind in [{list}]) || self.id.matches('{pattern}')"),
                "messageExpression": format!("'the id of a ' + self.kind + ' must be {}'", format.form().replace('\'', "\\'")),
                "fieldPath": ".id",
            })
        })
        .collect()
}

/// A map from field name to any value. Schemas cannot forbid a key, so a rule refuses the empty one.
pub(super) fn desired_fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "": {
                "x-kubernetes-int-or-string": true,
                "x-kubernetes-validations": [{"rule": "false", "message": "a field's name must not be empty"}],
            },
        },
    })
}

/// Any JSON value.
pub(super) fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Any JSON object.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Conditions: a list that is merged by type. One manager owns all fields of a condition.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "x-kubernetes-map-type": "atomic",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                "message": {"type": "string", "maxLength": 32768},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            },
        },
    })
}

/// Changes one property of a definition's schema, located by the names of its parents.
pub(super) fn amend(crd: &mut CustomResourceDefinition, path: &[&str], change: impl Fn(&mut JSONSchemaProps)) {
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let found = path.iter().try_fold(root, |schema, name| Some(schema?.properties.as_mut()?.get_mut(*name)));
        if let Some(schema) = found.flatten() {
            change(schema);
        }
    }
}

/// One manager owns all fields of this object: `managedFields` then names the object alone, and an apply replaces it as
/// a whole.
pub(super) fn atomic(schema: &mut JSONSchemaProps) {
    schema.x_kubernetes_map_type = Some("atomic".to_owned());
}

/// Joins the lines of every description: kubectl wraps the text itself.
pub(super) fn join_lines(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        join_lines(property);
    }
}

/// A rule that makes a map immutable, except these keys.
pub(super) fn immutable_except(schema: &JSONSchemaProps, keys: &[&str], message: &str) -> ValidationRule {
    let required = schema.required.as_deref().unwrap_or_default();
    let others = schema.properties.iter().flat_map(|properties| properties.keys());
    let is_same = others.filter(|key| !keys.contains(&key.as_str())).map(|key| {
        if required.contains(key) {
            format!("self.{key} == oldSelf.{key}")
        } else {
            format!("has(self.{key}) == has(oldSelf.{key}) && (!has(self.{key}) || self.{key} == oldSelf.{key})")
        }
    });
    ValidationRule { rule: is_same.collect::<Vec<_>>().join(" && "), ..immutable(message) }
}

/// A rule that makes a value immutable.
pub(super) fn immutable(message: &str) -> ValidationRule {
    ValidationRule {
        rule: "self == oldSelf".to_owned(),
        message: Some(message.to_owned()),
        reason: Some("FieldValueForbidden".to_owned()),
        ..ValidationRule::default()
    }
}
