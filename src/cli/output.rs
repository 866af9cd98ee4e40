//! Objects as JSON and YAML, as kubectl prints them.

use clap::ValueEnum;
use kube::api::DynamicObject;
use serde::Serialize;
use serde_json::{Value, json};

use super::Error;

/// The formats for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Json,
    Yaml,
}

impl Format {
    /// A value in this format.
    pub(super) fn write(self, value: &impl Serialize) -> Result<String, Error> {
        match self {
            Self::Json => json(value),
            Self::Yaml => yaml(value),
        }
    }
}

/// A list of objects, without fields that only servers read.
pub(super) fn list(objects: &[DynamicObject]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": objects.iter().map(object).collect::<Vec<_>>() })
}

/// An object, without what only servers read.
pub(super) fn object(object: &DynamicObject) -> Value {
    let mut object = object.clone();
    object.metadata.managed_fields = None;
    json!(object)
}

/// Indented JSON, with a line break at the end.
pub(super) fn json(value: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.to_string()))?;
    Ok(text + "\n")
}

/// A YAML document, without its separator.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Error> {
    serde_saphyr::to_string(value).map_err(|error| Error::Output(error.to_string()))
}
