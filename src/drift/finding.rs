//! The result of comparing one recorded field with the live resource. Pure.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::shown::{Shown, named};
use crate::{
    api::MAX_VALUE_BYTES,
    comparison::{Comparison, Difference, Doubt},
    digitalocean::{
        FieldComparison, Live,
        revert::{self, AccountFacts, Revert},
    },
};

/// The maximum length of a field in a Drift, in characters.
const LONGEST_FIELD: usize = 4096;

/// The result of comparing one recorded field. Credentials are fingerprints, except in `adopted`.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    Matches,
    Differs {
        expected: Value,
        live: Value,
        /// The value that accepting records.
        adopted: Value,
        shown: Box<Shown>,
        /// The reasons why some parts cannot be compared.
        doubts: Vec<String>,
    },
    Unknown(String),
    Invalid(String),
    /// The whole resource differs, so this field is not compared.
    Moot,
}

/// By field.
pub(crate) type Findings<'a> = BTreeMap<&'a str, Finding>;

impl Finding {
    /// A difference of the existence of the resource, recorded and live.
    pub(crate) fn differs(expected: Value, live: Value) -> Self {
        let whole = Difference {
            path: String::new(),
            expected: Some(expected.clone()),
            actual: Some(live.clone()),
            item: None,
        };
        let revert = Some(revert::existence(live == Value::Bool(false)));
        let shown = Box::new(Shown { revert, ..Shown::of(&expected, &live, &[whole]) });
        Self::Differs { expected, adopted: live.clone(), live, shown, doubts: Vec::new() }
    }
}

/// Compares one recorded field of a live resource.
pub(crate) fn compare(live: &Live, field: &str, expected: &Value) -> Finding {
    match live.compare(field, expected) {
        FieldComparison::Unknown(why) => Finding::Unknown(format!("{}: {why}", named(field))),
        FieldComparison::NotReadable => Finding::Invalid(format!(
            "{}: the API does not return it, or it holds a secret, so it is not compared; remove it",
            named(field)
        )),
        FieldComparison::NoSuchField { nearest } if nearest.is_empty() => {
            Finding::Invalid(format!("{}: no such field", named(field)))
        }
        FieldComparison::NoSuchField { nearest } => {
            Finding::Invalid(format!("{}: no such field; did you mean {}?", named(field), nearest.join(" or ")))
        }
        FieldComparison::Done(Comparison { differences, doubts, adopted, .. }) => {
            let doubts = doubts.iter().map(|doubt| in_words(field, doubt));
            if !differences.is_empty() {
                let note = live.note(field, expected, &adopted);
                let (expected, live) = (live.hide(field, expected), live.hide(field, &adopted));
                let shown = Box::new(Shown { note, ..Shown::of(&expected, &live, &differences) });
                let difference = Finding::Differs { expected, live, adopted, shown, doubts: doubts.collect() };
                return if_it_can_be_shown(field, difference);
            }
            first_and_more(doubts.collect()).map_or(Finding::Matches, Finding::Unknown)
        }
    }
}

/// Adds the effect of a revert to a difference.
pub(crate) fn assess(
    mut finding: Finding,
    live: &Live,
    field: &str,
    expected: &Value,
    facts: &dyn Fn() -> Arc<AccountFacts>,
) -> Finding {
    if let Finding::Differs { shown, .. } = &mut finding {
        let revert = Revert { field, desired: expected, document: live, facts: &facts() };
        shown.revert = Some(revert::assess(&revert));
    }
    finding
}

/// The part that cannot be compared, and the reason.
fn in_words(field: &str, doubt: &Doubt) -> String {
    let separator = if doubt.path.is_empty() { "" } else { "." };
    format!("{}: {}", named(&format!("{field}{separator}{}", doubt.path)), doubt.why)
}

fn first_and_more(doubts: Vec<String>) -> Option<String> {
    let mut doubts = doubts.into_iter();
    let first = doubts.next()?;
    Some(match doubts.len() {
        0 => first,
        more => format!("{first} (and {more} more parts)"),
    })
}

fn if_it_can_be_shown(field: &str, finding: Finding) -> Finding {
    if field.chars().count() > LONGEST_FIELD {
        return Finding::Invalid(format!(
            "{}: its name is longer than {LONGEST_FIELD} characters, too long for a Drift; record a map instead of a \
             dotted path",
            named(field)
        ));
    }
    let is_too_long = |text: &str| text.len() > MAX_VALUE_BYTES;
    let whose = match &finding {
        Finding::Differs { shown, .. } if is_too_long(&shown.actual) => "live",
        Finding::Differs { shown, .. } if is_too_long(&shown.expected) => "recorded",
        _ => return finding,
    };
    let limit = MAX_VALUE_BYTES / 1024;
    Finding::Invalid(format!(
        "{}: its {whose} value is longer than {limit} KiB, too long for a Drift to show; record the parts of a map that \
         matter by dotted paths instead, or ignore the field",
        named(field)
    ))
}
