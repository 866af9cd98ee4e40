//! The manifest of a new record. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    api::{GROUP, labels},
    digitalocean::ResourceKey,
};

/// The maximum length of the resource's part of a record's name.
const LONGEST: usize = 180;

/// The manifest. Its name depends only on the resource, so that a second import returns the same one.
pub(in crate::cli) fn manifest(
    key: &ResourceKey,
    name: Option<&str>,
    desired: &BTreeMap<String, Value>,
    namespace: Option<&str>,
) -> Value {
    let mut metadata = json!({ "name": self::name(key, name) });
    if let (Some(namespace), Some(metadata)) = (namespace, metadata.as_object_mut()) {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "ProvisionedResource",
        "metadata": metadata,
        "spec": { "resource": { "kind": key.kind, "id": &*key.id }, "desired": desired },
    })
}

/// A valid name of an object: the kind, the name of the resource and a hash of its id, unless the id is the name.
fn name(key: &ResourceKey, name: Option<&str>) -> String {
    let kind = key.kind.name().to_ascii_lowercase();
    let id = slug(&key.id);
    if id == *key.id && name.is_none_or(|name| name == &*key.id) {
        return format!("{kind}-{id}");
    }
    let hash = labels::short_hash(&format!("{}/{}", key.kind, key.id));
    let readable = slug(name.unwrap_or(&key.id));
    if readable.is_empty() { format!("{kind}-{hash}") } else { format!("{kind}-{readable}-{hash}") }
}

/// Lower case letters, digits and single dashes; dots stay if both sides allow it.
fn slug(text: &str) -> String {
    let part = |part: &str| {
        let dashed: String = part
            .chars()
            .map(|sign| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' })
            .collect();
        dashed.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    };
    let parts = text.split('.').map(part).filter(|part| !part.is_empty());
    let joined: String = parts.collect::<Vec<_>>().join(".").chars().take(LONGEST).collect();
    joined.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digitalocean::Kind;

    fn key(kind: &str, id: &str) -> ResourceKey {
        ResourceKey::new(Kind::named(kind).unwrap(), id)
    }

    #[test]
    fn names_are_stable_and_say_what_they_are() {
        for (kind, id, given, wanted) in [
            ("Droplet", "3164444", Some("web-1"), "droplet-web-1-f3134806"),
            ("Domain", "example.com", Some("example.com"), "domain-example.com"),
            ("ReservedIP", "45.55.96.47", None, "reservedip-45.55.96.47"),
            ("Droplet", "3164444", Some("***"), "droplet-f3134806"),
        ] {
            assert_eq!(name(&key(kind, id), given), wanted);
        }
        assert_ne!(name(&key("Droplet", "1"), Some("web")), name(&key("Droplet", "2"), Some("web")));
        assert!(name(&key("DomainRecord", "example.com/1"), Some("www")).starts_with("domainrecord-www-"));
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_the_api_server_takes(given in "\\PC{0,300}") {
            let name = name(&key("Droplet", "1"), Some(&given));
            prop_assert!(name.len() <= 253, "{}", name);
            for part in name.split('.') {
                let edges = [part.chars().next(), part.chars().next_back()];
                prop_assert!(edges.into_iter().all(|edge| edge.is_some_and(|edge| edge.is_ascii_alphanumeric())), "{}", name);
                prop_assert!(part.chars().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-'), "{}", name);
            }
        }
    }
}
