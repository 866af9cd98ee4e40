//! Headers and bodies from Secrets in the saga's namespace: read for each call, and never journaled.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::service::header_name;
use crate::{
    kube_ext::call::{self, bounded},
    saga::step::{Failure, StepContext},
};

/// A key of a Secret in the saga's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct SecretKey {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    secret: String,
    /// The key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    key: String,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretValue {
    secret: String,
    key: String,
    #[serde(default)]
    prefix: String,
}

/// Headers of a call, each from a key of a Secret.
#[derive(Clone, Debug, Default)]
pub(super) struct SecretHeaders(BTreeMap<String, SecretValue>);

impl SecretHeaders {
    /// The names of the headers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Reads the headers. Debug output redacts them.
    pub(super) async fn read(&self, context: &StepContext<'_>) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for (name, SecretValue { secret, key, prefix }) in &self.0 {
            let source = SecretKey { secret: secret.clone(), key: key.clone() };
            let bytes = source.read(context, "headersFrom").await?;
            // Files often end with a line break; header values never do.
            let bytes = bytes.trim_ascii_end();
            let value = HeaderValue::from_bytes(&[prefix.as_bytes(), bytes].concat());
            let mut value = value.map_err(|_| {
                let place = source.place(context);
                Failure::Permanent(format!("{place} cannot be the header {name}: it contains control characters"))
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name).map_err(Failure::permanent)?, value);
        }
        Ok(headers)
    }
}

impl<'de> Deserialize<'de> for SecretHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let headers = BTreeMap::<String, SecretValue>::deserialize(deserializer)?;
        for name in headers.keys() {
            header_name(name).map_err(de::Error::custom)?;
        }
        Ok(Self(headers))
    }
}

impl JsonSchema for SecretHeaders {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretHeaders".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
        json_schema!({
            "type": "object",
            "maxProperties": 32,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": false,
                "required": ["secret", "key"],
                "properties": {
                    "secret": { "type": "string", "minLength": 1, "maxLength": 253, "pattern": name },
                    "key": { "type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[-._a-zA-Z0-9]+$" },
                    "prefix": { "type": "string", "maxLength": 64 },
                },
            },
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl SecretKey {
    /// Reads the value. `parameter` names the reference in errors.
    pub(super) async fn read(&self, context: &StepContext<'_>, parameter: &str) -> Result<Vec<u8>, Failure> {
        let Self { secret, key } = self;
        let doing = format!("reading Secret {}/{secret}", context.namespace);
        let secrets: Api<Secret> = Api::namespaced(context.kube.clone(), context.namespace);
        let found = bounded(&doing, secrets.get(secret)).await.map_err(|error| match error {
            call::Error::NotFound { .. } => {
                Failure::Permanent(format!("{doing}: it does not exist; create it, or correct `{parameter}`"))
            }
            call::Error::Forbidden { .. } => Failure::Permanent(format!(
                "{doing}: the operator has no right to get it; list its name in the chart's value `sagas.secrets`"
            )),
            call::Error::Refused { .. } => Failure::Permanent(error.to_string()),
            // No call was made yet.
            error => Failure::Transient(error.to_string()),
        })?;
        let value = found.data.and_then(|mut data| data.remove(key)).map(|value| value.0);
        value.ok_or_else(|| {
            Failure::Permanent(format!("{} does not exist; add the key, or correct `{parameter}`", self.place(context)))
        })
    }

    fn place(&self, context: &StepContext<'_>) -> String {
        format!("key {:?} of Secret {}/{}", self.key, context.namespace, self.secret)
    }
}
