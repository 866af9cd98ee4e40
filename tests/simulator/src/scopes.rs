//! Scopes: the kinds and the keys of documents that a token may read.

use crate::kinds;
use crate::request::Call;
use axum::http::Method;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The scopes of a kind.
#[derive(Debug, Deserialize)]
struct Scopes {
    /// Reads of the kind are refused without this scope.
    read: String,
    /// Places that need a further scope, by that scope.
    #[serde(default)]
    keys: HashMap<String, Vec<String>>,
}

static SCOPES: LazyLock<HashMap<String, Scopes>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("scopes.json")).unwrap_or_else(|error| {
        // Part of the source: a test reads it, so this cannot be reached in a build that passed.
        eprintln!("scopes.json: {error}");
        HashMap::new()
    })
});

/// The access that a token has to a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Refused,
    /// These places are missing from its documents.
    Without(Vec<String>),
}

/// The access of a token that lacks these scopes. Only reads are refused.
pub(crate) fn access(call: &Call, lacking: &[String]) -> Access {
    let whole = Access::Without(Vec::new());
    if lacking.is_empty() {
        return whole;
    }
    let segments = call.segments().unwrap_or_default();
    let kind = kinds::list_at(&segments).map(|(kind, _)| kind);
    let kind = kind.or_else(|| kinds::one_at(&segments).map(|(kind, _, _)| kind));
    // Paths below one resource: its actions, its parts.
    let collection = kind.map_or_else(|| segments.first().map(String::as_str), |kind| Some(kind.collection));
    let Some(scopes) = collection.and_then(|it| SCOPES.get(it)) else { return whole };
    if call.method == Method::GET && lacking.contains(&scopes.read) {
        return Access::Refused;
    }
    let gated = lacking.iter().filter_map(|scope| scopes.keys.get(scope)).flatten();
    Access::Without(if kind.is_some() { gated.cloned().collect() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_scopes() {
        for kind in kinds::all() {
            let scopes = SCOPES.get(kind.collection).unwrap_or_else(|| panic!("{}", kind.collection));
            assert!(scopes.read.contains(':'), "{}", kind.collection);
        }
        assert_eq!(SCOPES.len(), kinds::all().count());
    }
}
