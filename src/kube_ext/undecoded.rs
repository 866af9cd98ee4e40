//! An object as text, of which only what names its version is read: most versions that a watch shows are known already.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// An object of the kind `K` as the API server sent it. It can be received even where it cannot be decoded.
#[derive(Clone)]
pub(super) struct Undecoded<K> {
    /// Its name, namespace, UID and version; nothing else.
    metadata: ObjectMeta,
    json: Box<RawValue>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Undecoded<K> {
    /// The version of the object.
    pub(super) fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

impl<K: DeserializeOwned> Undecoded<K> {
    /// The object.
    ///
    /// # Errors
    /// If it does not have the form of its kind.
    pub(super) fn decode(&self) -> serde_json::Result<K> {
        serde_json::from_str(self.json.get())
    }
}

/// The part of an object that is read. The rest is skipped, in any form.
#[derive(Deserialize)]
struct Named {
    metadata: Names,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl<'de, K> Deserialize<'de> for Undecoded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let Named { metadata } = serde_json::from_str(json.get()).map_err(serde::de::Error::custom)?;
        let Names { name, namespace, uid, resource_version } = metadata;
        let metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, json, kind: PhantomData })
    }
}

impl<K> fmt::Debug for Undecoded<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Undecoded").field(&self.metadata.name).finish()
    }
}

impl<K: Resource> Resource for Undecoded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;
    use crate::kube_ext::key::ObjectKey;

    fn object(data: &str) -> String {
        format!(
            r#"{{"kind":"ConfigMap","metadata":{{"name":"a","namespace":"b","uid":"c","resourceVersion":"7","managedFields":{data}}},"data":{data}}}"#
        )
    }

    /// Nested far more deeply than a parser follows.
    fn deep() -> String {
        format!("{}{}", "[".repeat(5000), "]".repeat(5000))
    }

    #[test]
    fn objects_of_lists_and_watches_are_named_even_where_they_cannot_be_decoded() {
        let of_list = |object: &str| {
            let list = format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{}},"items":[{object}]}}"#);
            serde_json::from_str::<ObjectList<Undecoded<ConfigMap>>>(&list).unwrap().items.remove(0)
        };
        let of_watch = |object: &str| {
            let event = format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
            match serde_json::from_str::<WatchEvent<Undecoded<ConfigMap>>>(&event).unwrap() {
                WatchEvent::Modified(object) => object,
                other => panic!("{other:?}"),
            }
        };
        for (data, is_broken) in [("null".to_owned(), false), ("\"text\"".to_owned(), true), (deep(), true)] {
            for received in [of_list(&object(&data)), of_watch(&object(&data))] {
                assert_eq!(ObjectKey::of(&received).to_string(), "b/a");
                assert_eq!(received.metadata.resource_version.as_deref(), Some("7"));
                assert_eq!(received.metadata.uid.as_deref(), Some("c"));
                let decoded = received.decode();
                assert_eq!(decoded.is_err(), is_broken);
                assert!(is_broken || decoded.unwrap().metadata.name.as_deref() == Some("a"));
            }
        }
    }
}
