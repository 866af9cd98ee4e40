//! The rules of a kind for the comparison: the table's patterns, applied to one live resource. Pure.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::{
    document::{Pattern, str_at},
    equivalence::{Equivalence, Site},
    kinds::KindDefinition,
    observed::UnreadPart,
};
use crate::comparison;

/// The reason for a part of a field that can be set but is not returned.
const NEVER_SHOWN: &str = "the API does not return it; remove it from the record";

/// The rules for one live resource.
pub(super) struct KindRules<'a> {
    pub(super) row: &'static KindDefinition,
    pub(super) site: Site<'a>,
    pub(super) unread: &'a [UnreadPart],
    /// Scopes that the token is known to have.
    pub(super) scopes: &'a [&'static str],
}

impl KindRules<'_> {
    /// Returns true if the parts of the value at a path can only be compared together.
    pub(super) fn is_whole(&self, path: &[String]) -> bool {
        let is_whole = |how: &Equivalence| matches!(how, Equivalence::FirewallRule | Equivalence::AppVariable);
        self.row.equivalences.iter().any(|(pattern, how)| is_whole(how) && pattern.matches(path))
    }

    /// The scope that a token needs to see the value at a path, if the document shows that the token lacks it.
    pub(super) fn hidden(&self, path: &[String]) -> Option<&'static str> {
        let (pattern, scope) = self.row.gated.iter().find(|(pattern, _)| pattern.matches(path))?;
        if self.scopes.contains(&scope.as_str()) {
            return None;
        }
        let segments = pattern.segments();
        let name = segments.last()?;
        // Without the scope, the whole document lacks the key. The API also omits empty keys of nested maps, but a key
        // that the token may not be able to see is not empty.
        (!has_key(self.site.document.whole(), name)).then_some(scope.as_str())
    }

    /// The reason why the live value at a path is unknown, or not known in the recorded detail.
    fn doubt(&self, path: &[String], expected: &Value, live: &Value) -> Option<String> {
        let part = |field: &str| self.unread.iter().find(|unread| unread.path.root() == field);
        let whole = self.unread.iter().find(|unread| unread.path.matches(path));
        let unread = whole.or_else(|| match path {
            [field] if field == "features" && lacks_backups(expected, live) => part("backup_policy"),
            [field] if is_more_precise(expected, live) => part(self.row.details.get(field)?),
            _ => None,
        });
        let needs_scope = || {
            let scope = live.is_null().then(|| self.hidden(path)).flatten()?;
            Some(format!("the token needs {scope}"))
        };
        let is_never_shown = live.is_null() && self.row.unreadable.iter().any(|pattern| pattern.matches(path));
        let never_shown = is_never_shown.then(|| NEVER_SHOWN.to_owned());
        unread.map(|unread| unread.why.to_string()).or(never_shown).or_else(needs_scope)
    }
}

/// Returns true if only backups are missing from the features of a droplet: the policies may show them.
fn lacks_backups(expected: &Value, live: &Value) -> bool {
    let has = |value: &Value| {
        let mut features = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        features.any(|feature| feature.eq_ignore_ascii_case("backups"))
    };
    has(expected) && !has(live)
}

/// Returns true if a recorded version is more precise than the live one: only the full version can be compared.
fn is_more_precise(expected: &Value, live: &Value) -> bool {
    let (Some(expected), Some(live)) = (comparison::scalar::text(expected), comparison::scalar::text(live)) else {
        return false;
    };
    !live.is_empty() && expected.strip_prefix(&*live).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns true if any map in the value has the key.
fn has_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(entries) => entries.contains_key(key) || entries.values().any(|value| has_key(value, key)),
        Value::Array(items) => items.iter().any(|item| has_key(item, key)),
        _ => false,
    }
}

/// The credentials of a kind without its other rules: for parts of items that do not exist.
pub(super) struct CredentialsOnly<'a>(pub(super) KindRules<'a>);

impl comparison::Rules for CredentialsOnly<'_> {
    fn is_credential(&self, path: &[String]) -> bool {
        self.0.is_credential(path)
    }

    fn is_encrypted(&self, live: &Value) -> bool {
        comparison::secret::is_ciphertext(live)
    }
}

impl comparison::Rules for KindRules<'_> {
    fn normalize(&self, path: &[String], expected: &mut Cow<'_, Value>, live: &mut Cow<'_, Value>) -> Option<String> {
        if let Some(why) = self.doubt(path, expected, live) {
            *expected = Cow::Owned((**live).clone());
            return Some(why);
        }
        let mut unsure = None;
        // A part that is recorded by its path follows the rules of the whole.
        let is_part = path.len() == self.site.root;
        let applies = |(pattern, how): &(&Pattern, &Equivalence)| {
            pattern.matches(path) || (is_part && how.is_elementwise() && pattern.covers(path))
        };
        for (_, how) in self.row.equivalences.iter().filter(applies) {
            unsure = unsure.or(how.normalize(self.site, path, expected.to_mut(), live.to_mut()));
        }
        unsure
    }

    fn defaults(&self, path: &[String]) -> Vec<(&str, &Value)> {
        matching(&self.row.closed, path).flatten().map(|(key, default)| (key.as_str(), default)).collect()
    }

    fn describe(&self, path: &[String], item: &Value) -> Option<String> {
        let noun = matching(&self.row.nouns, path).next()?;
        Some(match noun.as_str() {
            "rule" if item.get("protocol").is_some() => firewall_rule(item),
            noun => {
                let name = ["name", "key", "value", "domain", "id"].iter().map(|key| str_at(item, key));
                name.filter(|name| !name.is_empty()).map(|name| format!("{noun} {name}")).next()?
            }
        })
    }

    fn is_credential(&self, path: &[String]) -> bool {
        self.row.credentials.iter().any(|pattern| pattern.matches(path))
    }

    fn is_encrypted(&self, live: &Value) -> bool {
        comparison::secret::is_ciphertext(live)
    }
}

fn matching<'a, T>(table: &'a BTreeMap<Pattern, T>, path: &[String]) -> impl Iterator<Item = &'a T> {
    let entries: Vec<&T> = table.iter().filter(|(pattern, _)| pattern.matches(path)).map(|(_, entry)| entry).collect();
    entries.into_iter()
}

/// `rule tcp/22 from 0.0.0.0/0`
fn firewall_rule(rule: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let ports = rule.get("ports").map(text).filter(|ports| !matches!(ports.as_str(), "" | "0" | "all" | "null"));
    let mut described = format!("rule {}", str_at(rule, "protocol"));
    if let Some(ports) = ports {
        described.push('/');
        described.push_str(&ports);
    }
    for (side, word) in [("sources", "from"), ("destinations", "to")] {
        let peers: Vec<String> = rule
            .get(side)
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|side| side.values())
            .filter_map(Value::as_array)
            .flatten()
            .map(text)
            .collect();
        if !peers.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(described, " {word} {}", peers.join(", "));
        }
    }
    described
}
