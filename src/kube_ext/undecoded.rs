//! An object as text, of which only what names its version is read: most versions that a watch shows are known already.
//! Managed fields are a third of an object, and most of them are never used: these are not decoded.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use memchr::memmem;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// An entry of `managedFields` about a status that is not atomic. Without one, the entries are short.
const NAMED_FIELDS: &str = r#""f:status":{""#;

/// An object of the kind `K` as the API server sent it. It can be received even where it cannot be decoded.
#[derive(Clone)]
pub(crate) struct Undecoded<K> {
    /// Its name, namespace, UID, version, and the UIDs of its owners; nothing else.
    metadata: ObjectMeta,
    json: Box<RawValue>,
    kind: PhantomData<fn() -> K>,
}

impl<K: DeserializeOwned> Undecoded<K> {
    /// The object. Entries of `managedFields` about a subresource name no fields, unless these are few.
    ///
    /// # Errors
    /// If it does not have the form of its kind.
    pub(crate) fn decode(&self) -> serde_json::Result<K> {
        serde_json::from_str(&without_unused_fields(self.json.get()))
    }
}

/// The object that a call returns.
///
/// # Errors
/// If the call fails, or its object does not have the form of its kind.
pub(crate) async fn decoded<K: DeserializeOwned>(
    call: impl Future<Output = kube::Result<Undecoded<K>>>,
) -> kube::Result<K> {
    call.await?.decode().map_err(kube::Error::SerdeError)
}

/// The text of an object without the fields of entries of `managedFields` that nobody reads.
fn without_unused_fields(json: &str) -> Cow<'_, str> {
    if memmem::find(json.as_bytes(), NAMED_FIELDS.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    let Ok(Managed { metadata }) = serde_json::from_str(json) else { return Cow::Borrowed(json) };
    let mut shortened = String::new();
    let mut rest = json;
    for fields in metadata.managed_fields.into_iter().flatten().filter_map(|entry| entry.unused_fields()) {
        let begin = fields.as_ptr().addr().saturating_sub(rest.as_ptr().addr());
        let (Some(before), Some(after)) = (rest.get(..begin), rest.get(begin.saturating_add(fields.len())..)) else {
            return Cow::Borrowed(json);
        };
        shortened.reserve(json.len());
        shortened.push_str(before);
        shortened.push_str("{}");
        rest = after;
    }
    if shortened.is_empty() {
        return Cow::Borrowed(json);
    }
    shortened.push_str(rest);
    Cow::Owned(shortened)
}

/// The managed fields of an object, in the order of the text.
#[derive(Deserialize)]
struct Managed<'a> {
    #[serde(borrow)]
    metadata: ManagedFields<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedFields<'a> {
    #[serde(borrow)]
    managed_fields: Option<Vec<ManagedEntry<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedEntry<'a> {
    #[serde(borrow)]
    subresource: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "fieldsV1")]
    fields: Option<&'a RawValue>,
}

impl<'a> ManagedEntry<'a> {
    fn unused_fields(&self) -> Option<&'a str> {
        let is_of_subresource = self.subresource.as_deref().is_some_and(|subresource| !subresource.is_empty());
        self.fields.filter(|_| is_of_subresource).map(RawValue::get)
    }
}

/// The part of an object that is read. The rest is skipped, in any form.
#[derive(Deserialize)]
struct WatchMeta {
    metadata: Names,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    uid: String,
}

impl<'de, K> Deserialize<'de> for Undecoded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let WatchMeta { metadata } = serde_json::from_str(json.get()).map_err(serde::de::Error::custom)?;
        let Names { name, namespace, uid, resource_version, owner_references } = metadata;
        let owned = |Owner { uid }| OwnerReference { uid, ..OwnerReference::default() };
        let owner_references = owner_references.map(|owners| owners.into_iter().map(owned).collect());
        let metadata = ObjectMeta { name, namespace, uid, resource_version, owner_references, ..ObjectMeta::default() };
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
            r#"{{"kind":"ConfigMap","metadata":{{"name":"a","namespace":"b","uid":"c","resourceVersion":"7","ownerReferences":[{{"apiVersion":"v1","kind":"Node","name":"n","uid":"o"}}],"managedFields":{data}}},"data":{data}}}"#
        )
    }

    #[test]
    fn only_managed_fields_that_are_read_are_decoded() {
        let entry = |manager: &str, subresource: &str| {
            format!(
                r#"{{"manager":"{manager}","operation":"Apply","fieldsV1":{{"f:status":{{"f:{manager}":{{}}}}}},"subresource":"{subresource}"}}"#
            )
        };
        let entries = [entry("a", ""), entry("b", "status"), entry("c", ""), entry("d", "status")];
        let text =
            object("null").replace("\"managedFields\":null", &format!("\"managedFields\":[{}]", entries.join(",")));
        let received: Undecoded<ConfigMap> = serde_json::from_str(&text).unwrap();
        let mut wanted: ConfigMap = serde_json::from_str(&text).unwrap();
        for entry in wanted.metadata.managed_fields.iter_mut().flatten() {
            if entry.subresource.as_deref() == Some("status") {
                entry.fields_v1.as_mut().unwrap().0 = serde_json::json!({});
            }
        }
        assert_eq!(received.decode().unwrap(), wanted);
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
                assert_eq!(received.metadata.owner_references.as_ref().unwrap()[0].uid, "o");
                let decoded = received.decode();
                assert_eq!(decoded.is_err(), is_broken);
                assert!(is_broken || decoded.unwrap().metadata.name.as_deref() == Some("a"));
            }
        }
    }
}
