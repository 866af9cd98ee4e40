//! Free values in a saga, and their schemas.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

/// A map from names to any JSON values.
pub type Values = Map<String, Value>;

/// The schema of a map from names to any values.
pub(super) fn free_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
