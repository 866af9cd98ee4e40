//! Changes that DigitalOcean makes on its own: a note explains that no person may have made them.

use serde_json::Value;

use super::Kind;
use crate::comparison::scalar::text;

/// The likely cause of a difference, if DigitalOcean is known to change the field.
pub(super) fn note(kind: Kind, field: &str, expected: &Value, live: &Value) -> Option<&'static str> {
    match (kind.name(), field) {
        ("Database", "engine") if is(expected, "redis") && is(live, "valkey") => {
            Some("DigitalOcean replaced Redis with Valkey, without a change by a user")
        }
        ("Database", "version" | "semantic_version") if is_newer(live, expected) => {
            Some("DigitalOcean upgrades databases whose version reaches its end of life")
        }
        ("Database", "storage_size_mib") if is_newer(live, expected) => Some("storage autoscaling grows the storage"),
        ("KubernetesCluster", "version") if is_newer(live, expected) => {
            Some("DigitalOcean upgrades clusters whose version is no longer supported")
        }
        _ => None,
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    text(value).is_some_and(|text| text.eq_ignore_ascii_case(wanted))
}

/// Returns true if the first number that differs is higher, in versions and sizes.
fn is_newer(live: &Value, expected: &Value) -> bool {
    let numbers = |value: &Value| -> Option<Vec<u64>> {
        let text = text(value)?;
        let parts = text.split(['.', '-']).map_while(|part| part.parse().ok()).collect::<Vec<u64>>();
        (!parts.is_empty()).then_some(parts)
    };
    numbers(live).zip(numbers(expected)).is_some_and(|(live, expected)| live > expected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_changes_that_digitalocean_makes_have_a_note() {
        for (kind, field, expected, live, has_note) in [
            ("Database", "engine", json!("redis"), json!("valkey"), true),
            ("Database", "engine", json!("pg"), json!("mysql"), false),
            ("Database", "version", json!("14"), json!("16"), true),
            ("Database", "version", json!(14), json!("16"), true),
            ("Database", "version", json!("9"), json!("10"), true),
            ("Database", "version", json!("16"), json!("14"), false),
            ("Database", "storage_size_mib", json!(30720), json!(61440), true),
            ("Database", "storage_size_mib", json!(61440), json!(30720), false),
            ("KubernetesCluster", "version", json!("1.30.4-do.0"), json!("1.31.1-do.0"), true),
            ("KubernetesCluster", "version", json!("1.31.1-do.0"), json!("1.30.4-do.0"), false),
            ("Droplet", "name", json!("a"), json!("b"), false),
        ] {
            let found = note(Kind::named(kind).unwrap(), field, &expected, &live);
            assert_eq!(found.is_some(), has_note, "{kind} {field} {expected} {live}");
        }
    }
}
