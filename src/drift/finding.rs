//! What comparing one recorded field with the live resource came to, as the drift room needs it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    compare::{compared, matches, project},
    shown::{Shown, named, standin::Difference},
};
use crate::{
    api::MAX_VALUE_BYTES,
    digitalocean::{Aligned, Live, Resolved},
};

/// The longest field, in characters, that a Drift can name.
const LONGEST_FIELD: usize = 4096;

/// What comparing one recorded field came to. Values are as a Drift may show them, but for `adopted`.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    Matches {
        expected: Value,
        live: Value,
    },
    Differs {
        expected: Value,
        live: Value,
        /// What accepting records.
        adopted: Value,
        shown: Box<Shown>,
        /// Why some parts cannot be compared.
        doubts: Vec<String>,
    },
    Unknown(String),
    Invalid(String),
    /// The whole resource is the question, not this field.
    Moot,
}

/// By field.
pub(crate) type Findings<'a> = BTreeMap<&'a str, Finding>;

impl Finding {
    pub(crate) fn matches(expected: Value, live: Value) -> Self {
        Self::Matches { expected, live }
    }

    /// Two values without anything to hide, of which the whole differs.
    pub(crate) fn differs(expected: Value, live: Value) -> Self {
        let whole = Difference { path: String::new(), expected: Some(expected.clone()), actual: Some(live.clone()) };
        let shown = Box::new(Shown::of(&expected, &live, &[whole]));
        Self::Differs { expected, adopted: live.clone(), live, shown, doubts: Vec::new() }
    }
}

/// Compares one recorded field of a live resource.
pub(crate) fn compare(live: &Live, field: &str, expected: &Value) -> Finding {
    match live.resolve(field, expected) {
        Resolved::Unknown { scope } => Finding::Unknown(format!("{} needs a token with {scope}", named(field))),
        Resolved::NotReadable => Finding::Invalid(format!(
            "{}: the API does not return it, or it holds a secret, so it is not compared; remove it",
            named(field)
        )),
        Resolved::NoSuchField { nearest } if nearest.is_empty() => {
            Finding::Invalid(format!("{}: no such field", named(field)))
        }
        Resolved::NoSuchField { nearest } => {
            Finding::Invalid(format!("{}: no such field; did you mean {}?", named(field), nearest.join(" or ")))
        }
        Resolved::Value(value) => match live.align(field, expected, &value) {
            Aligned::Same => Finding::matches(expected.clone(), value),
            Aligned::Unknown { why } => Finding::Unknown(format!("{}: {why}", named(field))),
            Aligned::Compare { expected: canonical, live: aligned, unsure } => {
                match (matches(&canonical, &aligned), unsure) {
                    (false, _) => differs(field, expected, compared(project(expected, &value), &aligned)),
                    (true, Some(why)) => Finding::Unknown(format!("{}: {why}", named(field))),
                    (true, None) => Finding::matches(expected.clone(), value),
                }
            }
        },
    }
}

fn differs(field: &str, expected: &Value, live: Value) -> Finding {
    if field.chars().count() > LONGEST_FIELD {
        return Finding::Invalid(format!(
            "{}: its name is longer than {LONGEST_FIELD} characters, too long for a Drift; record a map instead of a \
             dotted path",
            named(field)
        ));
    }
    let finding = Finding::differs(expected.clone(), live);
    let longest = match &finding {
        Finding::Differs { shown, .. } => shown.actual.len().max(shown.expected.len()),
        _ => 0,
    };
    if longest > MAX_VALUE_BYTES {
        let limit = MAX_VALUE_BYTES / 1024;
        return Finding::Invalid(format!(
            "{}: its value is longer than {limit} KiB, too long for a Drift to show; record the parts that matter by \
             dotted paths instead",
            named(field)
        ));
    }
    finding
}
