//! Standing acceptances, in place of declared values. Pure: decides which of them still stand, why the others end, and
//! which desired values are in effect.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::{Span, Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use super::{
    known::{KnownDrift, Standing},
    observed::{Recorded, Seen},
    plan::Ending,
};
use crate::{
    api::{DriftPhase, drift::EXISTS},
    comparison::{NoRules, is_alike, is_same},
    digitalocean::{FieldComparison, Live},
};

/// The maximum length of the text of an end, in bytes.
const LONGEST_END: usize = 64;

/// The acceptances of one record, after a comparison with its declared and live values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Standings {
    /// The ended acceptances, by the names of their drifts, with the reason.
    pub(super) ended: Vec<(Box<str>, Ending)>,
    /// The acceptances that the live value ends once a second read confirms it.
    pub(super) unconfirmed: Vec<Box<str>>,
    /// The accepted values that stay in effect, by field.
    pub(super) in_effect: BTreeMap<String, Value>,
    /// The time at which the next of them ends.
    pub(super) next_end: Option<Timestamp>,
}

/// Decides which acceptances still stand.
pub(super) fn settle(recorded: &Recorded<'_>, seen: Seen<'_>, is_confirmed: bool, drifts: &[KnownDrift]) -> Standings {
    let mut settled = Standings::default();
    let mut by_field: BTreeMap<&str, Vec<(&KnownDrift, &Standing)>> = BTreeMap::new();
    for (drift, standing) in drifts.iter().filter_map(|drift| Some((drift, drift.standing.as_ref()?))) {
        by_field.entry(drift.field.as_ref()).or_default().push((drift, standing));
    }
    for (field, mut of_field) in by_field {
        of_field.sort_by_key(|(drift, _)| drift.episode);
        let Some((drift, standing)) = of_field.pop() else { continue };
        let superseded = of_field.into_iter().map(|(earlier, _)| (earlier.name.clone(), Ending::Superseded));
        settled.ended.extend(superseded);
        if drifts.iter().any(|later| was_accepted_after(recorded, later, drift)) {
            settled.ended.push((drift.name.clone(), Ending::Superseded));
            continue;
        }
        match end_of(recorded, seen, drift, standing) {
            Some(End { why, needs_confirmation }) if is_confirmed || !needs_confirmation => {
                settled.ended.push((drift.name.clone(), why));
            }
            end => {
                settled.unconfirmed.extend(end.map(|_| drift.name.clone()));
                settled.in_effect.insert(field.to_owned(), standing.accepted());
                let ends = [settled.next_end, standing.until];
                settled.next_end = ends.into_iter().flatten().min();
            }
        }
    }
    settled
}

/// Returns true if a later drift of the same field was accepted. A standing one also ends the earlier one.
fn was_accepted_after(recorded: &Recorded<'_>, later: &KnownDrift, drift: &KnownDrift) -> bool {
    let is_accepted = later.phase == DriftPhase::Accepted || (later.is_open() && recorded.last_accepted.hold(later));
    later.field == drift.field && later.episode > drift.episode && is_accepted
}

/// The desired values in effect: the recorded ones, replaced by standing acceptances.
pub(super) fn effective<'r>(
    recorded: &'r BTreeMap<String, Value>,
    in_effect: &BTreeMap<String, Value>,
) -> Cow<'r, BTreeMap<String, Value>> {
    if in_effect.is_empty() {
        return Cow::Borrowed(recorded);
    }
    let mut effective = recorded.clone();
    effective.extend(in_effect.iter().map(|(field, value)| (field.clone(), value.clone())));
    Cow::Owned(effective)
}

/// The reason why an acceptance ends.
struct End {
    why: Ending,
    /// True if one list alone, which may lag behind, is not enough.
    needs_confirmation: bool,
}

impl End {
    const fn at_once(why: Ending) -> Self {
        Self { why, needs_confirmation: false }
    }
}

fn end_of(recorded: &Recorded<'_>, seen: Seen<'_>, drift: &KnownDrift, standing: &Standing) -> Option<End> {
    // The first write of its move into the record was made, and perhaps the second was lost.
    if recorded.last_accepted.hold(drift) {
        return Some(End::at_once(Ending::InRecord));
    }
    if drift.accept.is_none() {
        return Some(End::at_once(Ending::Withdrawn));
    }
    // An end that was moved in time counts, even if this process learns of it only now.
    if standing.until.is_some_and(|until| until <= recorded.now) && !is_moved(drift, recorded.now) {
        return Some(End::at_once(Ending::Expired));
    }
    let field = drift.field.as_ref();
    if recorded.ignore.contains(field) {
        return Some(End::at_once(Ending::Ignored));
    }
    let accepted = standing.accepted();
    let Some(declared) = declared(recorded.desired, field) else {
        let is_declared = declares_in_other_notation(recorded.desired, seen, field, &accepted);
        return Some(End::at_once(if is_declared { Ending::InManifest } else { Ending::ManifestChanged }));
    };
    match seen {
        Seen::Unknown(..) => None,
        _ if field == EXISTS => {
            let does_exist = Value::Bool(matches!(seen, Seen::Present(_)));
            let agrees = |value: &Value| is_alike(value, &does_exist);
            end_by(is_alike(&declared, &standing.declared()), is_alike(&declared, &accepted), agrees(&declared))
        }
        // The resource itself differs, so this field is not compared.
        Seen::Gone => None,
        Seen::Present(live) => {
            let is_as_before = is_alike(&live.hide(field, &declared), &standing.declared());
            let declares_accepted = declares(live, field, &declared, &accepted);
            end_by(is_as_before, declares_accepted, is_live(live, field, &declared))
        }
    }
}

/// Returns true if the annotation requests another valid end.
fn is_moved(drift: &KnownDrift, now: Timestamp) -> bool {
    let is_possible = drift.accept_until.as_deref().is_none_or(|text| end_from(text, now).is_ok());
    drift.accept_until != drift.decided.until && is_possible
}

/// Returns true if a declared value equals the accepted one, for this resource.
fn declares(live: &Live, field: &str, declared: &Value, accepted: &Value) -> bool {
    is_alike(&live.hide(field, declared), accepted)
        || (is_live(live, field, declared) && is_live(live, field, accepted))
}

/// Returns true if the record contains the accepted value of a field in another notation: `a.b` as `a: {b: ...}`, or
/// `a` as `a.b` and others.
fn declares_in_other_notation(
    desired: &BTreeMap<String, Value>,
    seen: Seen<'_>,
    field: &str,
    accepted: &Value,
) -> bool {
    let declares = |value: &Value| match seen {
        Seen::Present(live) => declares(live, field, value, accepted),
        Seen::Gone | Seen::Unknown(..) => is_alike(value, accepted),
    };
    let within_map = field.match_indices('.').rev().find_map(|(at, _)| {
        let (root, rest) = field.split_at(at);
        desired.get(root)?.pointer(&rest.replace('~', "~0").replace('/', "~1").replace('.', "/"))
    });
    if let Some(value) = within_map {
        return declares(value);
    }
    let parts: Vec<_> = desired
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(field)?.strip_prefix('.')?, value)))
        .collect();
    // Every recorded part must equal the accepted value.
    let map = parts.iter().fold(Value::Object(Map::new()), |mut map, (path, value)| {
        insert(&mut map, path, value);
        map
    });
    !parts.is_empty() && (declares(&map) || is_same(&NoRules, &[], &map, accepted))
}

/// Sets a value at a dotted path of a map.
fn insert(map: &mut Value, path: &str, value: &Value) {
    let mut place = map;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(entries) = place else { return };
        place = entries.entry(name).or_insert(Value::Null);
    }
    *place = value.clone();
}

/// Decides from three facts: the manifest is unchanged, it declares the accepted value, and the declared value is live.
const fn end_by(is_as_before: bool, declares_accepted: bool, is_live_declared: bool) -> Option<End> {
    match (is_as_before, declares_accepted, is_live_declared) {
        (false, true, _) => Some(End::at_once(Ending::InManifest)),
        (false, false, _) => Some(End::at_once(Ending::ManifestChanged)),
        (true, _, true) => Some(End { why: Ending::LiveReturned, needs_confirmation: true }),
        (true, _, false) => None,
    }
}

/// The value that the record declares for a field. By default a record declares that its resource exists.
pub(super) fn declared(desired: &BTreeMap<String, Value>, field: &str) -> Option<Value> {
    let default = || (field == EXISTS).then_some(Value::Bool(true));
    desired.get(field).cloned().or_else(default)
}

fn is_live(live: &Live, field: &str, value: &Value) -> bool {
    let compared = live.compare(field, value);
    matches!(compared, FieldComparison::Done(comparison) if comparison.differences.is_empty() && comparison.doubts.is_empty())
}

/// The end of an acceptance that is limited now: `text` is an RFC 3339 time, or a duration from now such as `7d`.
///
/// # Errors
/// If the text is invalid; the error contains the remedy.
pub(super) fn end_from(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    match parse_end(text, now) {
        Ok(until) if until <= now => Err("is in the past; set a later time, or remove arcadia.cloud/accept".to_owned()),
        parsed => parsed,
    }
}

fn parse_end(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let malformed = || "must be an RFC 3339 time such as 2026-12-24T18:00:00Z, or a duration such as 7d".to_owned();
    if text.len() > LONGEST_END {
        return Err(malformed());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(whole_seconds(time));
    }
    // Days of 24 hours: the operator does not know the time zone of the user.
    let now = now.to_zoned(TimeZone::UTC);
    let duration: Option<Span> = text.parse().ok().filter(|duration: &Span| duration.is_positive());
    let end = duration.and_then(|duration| now.checked_add(duration).ok());
    end.map(|end| whole_seconds(end.timestamp())).ok_or_else(malformed)
}

/// A time in the precision of the API server.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_duration() {
        let since: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        for (text, end) in [
            ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z"),
            ("2026-12-24T18:00:00+01:00", "2026-12-24T17:00:00Z"),
            ("72h", "2026-12-02T12:00:00Z"),
            ("1h30m", "2026-11-29T13:30:00Z"),
            ("7d", "2026-12-06T12:00:00Z"),
            ("1w 12h", "2026-12-07T00:00:00Z"),
        ] {
            assert_eq!(end_from(text, since), Ok(end.parse().unwrap()), "{text}");
        }
        assert!(end_from("2020-01-01T00:00:00Z", since).unwrap_err().contains("past"));
        let (padded, endless) = (format!("1h{}1m", " ".repeat(5000)), "9".repeat(40));
        let hostile = ["\u{202e}h27", "１h", "99999999999999h", "\0", "NaN", "PT", &padded, &endless];
        for text in ["", "soon", "-5m", "0s", "tomorrow", "2026-12-24"].into_iter().chain(hostile) {
            assert!(end_from(text, since).is_err(), "{text}");
        }
        assert!(end_from("9999-12-01T00:00:00Z", since).is_ok());
    }

    #[test]
    fn another_notation_says_the_same_if_all_that_it_records_is_as_accepted() {
        let declares = |desired: Value, field: &str, accepted: Value| {
            let desired = serde_json::from_value(desired).unwrap();
            declares_in_other_notation(&desired, Seen::Gone, field, &accepted)
        };
        for (desired, field, accepted, expected) in [
            (json!({"a": {"b": 2}}), "a.b", json!(2), true),
            (json!({"a": {"b": 1}}), "a.b", json!(2), false),
            (json!({"a": {"c": 2}}), "a.b", json!(2), false),
            (json!({"a": {"b": {"c": 2}}}), "a.b.c", json!(2), true),
            (json!({"a": [{"c": 2}]}), "a.0.c", json!("2"), true),
            (json!({"a.b": {"c": 2}}), "a.b.c", json!(2), true),
            (json!({"a.b": 2, "a.c": 3}), "a", json!({"b": 2, "c": 3}), true),
            (json!({"a.b": 2}), "a", json!({"b": 2, "c": 3}), true),
            (json!({"a.b": 2, "a.c": 4}), "a", json!({"b": 2, "c": 3}), false),
            (json!({"a.b.c": 2}), "a", json!({"b": {"c": 2}}), true),
            (json!({"ab": 2}), "a", json!(2), false),
            (json!({}), "a", json!({}), false),
        ] {
            assert_eq!(declares(desired.clone(), field, accepted), expected, "{field} in {desired}");
        }
    }
}
