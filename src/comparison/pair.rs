//! The traversal of a recorded and a live value, side by side.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use serde_json::{Map, Value};

use super::{
    identity::identity,
    matching,
    rules::Rules,
    scalar::{is_blank, text},
    secret,
};

/// From this number of pairs of items, items at different positions count as different items.
const MOST_PAIRS: usize = 250_000;

/// Up to this number of pairs of items, the search includes items that differ in one part only.
const MOST_ALIKE: usize = 10_000;

static NULL: Value = Value::Null;

/// One of the two values: as written, and in the spelling of the rules.
#[derive(Clone)]
pub(super) struct Side<'v> {
    raw: &'v Value,
    spelled: Cow<'v, Value>,
}

/// The result of the traversal.
#[derive(Default)]
pub(super) struct PairResult {
    pub(super) differences: Vec<Mismatch>,
    pub(super) doubts: Vec<(Vec<String>, String)>,
    pub(super) adopted: Value,
    /// See [`Comparison::restored`](super::Comparison::restored); none if nothing differs.
    pub(super) restored: Option<Value>,
}

/// A place at which the two differ, with the values as written.
pub(super) struct Mismatch {
    pub(super) path: Vec<String>,
    pub(super) expected: Option<Value>,
    pub(super) actual: Option<Value>,
    /// The position of a whole item that was added or removed; the path is that of its list.
    pub(super) item: Option<usize>,
}

impl<'v> Side<'v> {
    pub(super) fn of(value: &'v Value) -> Self {
        Self { raw: value, spelled: Cow::Borrowed(value) }
    }
}

impl PairResult {
    fn differs(path: &[String], expected: &Value, live: &Value) -> Self {
        let place =
            Mismatch { path: path.to_vec(), expected: Some(expected.clone()), actual: Some(live.clone()), item: None };
        let restored = Some(if is_blank(expected) { blank_like(live) } else { in_type_of(live, expected) });
        Self { differences: vec![place], adopted: live.clone(), restored, ..Self::default() }
    }

    fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    fn is_sure(&self) -> bool {
        self.differences.is_empty() && self.doubts.is_empty()
    }

    /// Merges the result of a part; returns the value to adopt there, and the one to restore.
    fn take(&mut self, below: Self) -> (Value, Option<Value>) {
        self.differences.extend(below.differences);
        self.doubts.extend(below.doubts);
        (below.adopted, below.restored)
    }
}

/// A recorded scalar in the type of the live one: a record may contain `"2"` for 2.
fn in_type_of(live: &Value, expected: &Value) -> Value {
    let parsed = match (live, expected) {
        (Value::Number(_) | Value::Bool(_), Value::String(text)) => serde_json::from_str::<Value>(text).ok(),
        (Value::String(_), Value::Number(_) | Value::Bool(_)) => Some(expected.to_string().into()),
        _ => None,
    };
    parsed.filter(|parsed| mem::discriminant(parsed) == mem::discriminant(live)).unwrap_or_else(|| expected.clone())
}

/// The blank value of this value's type.
fn blank_like(value: &Value) -> Value {
    match value {
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Map::new().into(),
        Value::String(_) => "".into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Value::Null,
    }
}

/// Compares the two values at a path.
pub(super) fn compare(
    rules: &impl Rules,
    at: &mut Vec<String>,
    mut expected: Side<'_>,
    mut live: Side<'_>,
) -> PairResult {
    if secret::stands_for(expected.raw, live.raw) {
        return PairResult { adopted: expected.raw.clone(), ..PairResult::default() };
    }
    let doubt = rules.normalize(at, &mut expected.spelled, &mut live.spelled);
    let mut found = match (&*expected.spelled, &*live.spelled) {
        (Value::Object(keys), Value::Object(live_keys)) if !keys.is_empty() => {
            maps(rules, at, expected.raw, keys, live.raw, live_keys)
        }
        (Value::Object(keys), blank) if !keys.is_empty() && is_blank(blank) => {
            let below = maps(rules, at, expected.raw, keys, &NULL, &Map::new());
            if below.is_equal() {
                below
            } else {
                PairResult { restored: below.restored, ..PairResult::differs(at, expected.raw, live.raw) }
            }
        }
        (Value::Array(items), Value::Array(live_items)) => lists(rules, at, expected.raw, items, live.raw, live_items),
        (Value::Array(items), blank) if is_blank(blank) => lists(rules, at, expected.raw, items, live.raw, &[]),
        (blank, Value::Array(live_items)) if is_blank(blank) => {
            lists(rules, at, expected.raw, &[], live.raw, live_items)
        }
        (one, other) if is_blank(one) && is_blank(other) => PairResult::default(),
        (one, other) => match (text(one), text(other)) {
            (Some(one_text), Some(other_text)) if one_text == other_text && !is_blank(one) && !is_blank(other) => {
                PairResult::default()
            }
            _ => PairResult::differs(at, expected.raw, live.raw),
        },
    };
    if found.differences.is_empty() {
        found.adopted = expected.raw.clone();
        found.restored = None;
    }
    found.doubts.extend(doubt.map(|why| (at.clone(), why)));
    found
}

fn maps(
    rules: &impl Rules,
    at: &mut Vec<String>,
    expected_raw: &Value,
    expected: &Map<String, Value>,
    live_raw: &Value,
    live: &Map<String, Value>,
) -> PairResult {
    let mut found = PairResult::default();
    let mut adopted = expected_raw.as_object().cloned().unwrap_or_default();
    let mut restored = Vec::new();
    let defaults = rules.defaults(at);
    let closed = defaults.iter().filter(|(key, _)| !expected.contains_key(*key)).filter_map(|(key, default)| {
        let live = live.get(*key).unwrap_or(&NULL);
        // The API omits zero values. Blank defaults are compared anyway: the key may be hidden.
        let is_zero = **default == Value::Bool(false) || default.as_f64() == Some(0.0);
        (!is_zero || !is_blank(live)).then_some((*key, *default, live))
    });
    let closed: Vec<_> = closed.collect();
    let mut below = |key: &str, expected: Side<'_>, live: Side<'_>| {
        at.push(key.to_owned());
        let below = compare(rules, at, expected, live);
        at.pop();
        let differs = !below.is_equal();
        let (value, before) = found.take(below);
        if differs {
            adopted.insert(key.to_owned(), value);
        }
        restored.extend(before.map(|before| (key.to_owned(), before)));
    };
    for (key, spelled) in expected {
        // The rules may have added the key.
        let raw = expected_raw.get(key).unwrap_or(spelled);
        let live_spelled = live.get(key).unwrap_or(&NULL);
        let live_written = live_raw.get(key).unwrap_or(live_spelled);
        let expected = Side { raw, spelled: Cow::Borrowed(spelled) };
        below(key, expected, Side { raw: live_written, spelled: Cow::Borrowed(live_spelled) });
    }
    for (key, default, live_spelled) in closed {
        let live_written = live_raw.get(key).unwrap_or(live_spelled);
        below(key, Side::of(default), Side { raw: live_written, spelled: Cow::Borrowed(live_spelled) });
    }
    found.adopted = adopted.into();
    if !restored.is_empty() {
        let mut map = live_raw.as_object().cloned().unwrap_or_default();
        for (key, before) in restored {
            // The default is no value.
            if before.is_null() { drop(map.remove(&key)) } else { drop(map.insert(key, before)) }
        }
        found.restored = Some(map.into());
    }
    found
}

/// An item of a list, with its position and as written.
struct Item<'v> {
    position: usize,
    raw: &'v Value,
    spelled: &'v Value,
}

fn lists(
    rules: &impl Rules,
    at: &mut Vec<String>,
    expected_raw: &Value,
    expected: &[Value],
    live_raw: &Value,
    live: &[Value],
) -> PairResult {
    let expected = items(expected_raw, expected);
    let live_items = items(live_raw, live);
    let is_scalar = |item: &Item<'_>| text(item.spelled).is_some();
    let mut found = if expected.iter().all(is_scalar) && live_items.iter().all(is_scalar) {
        sets(at, &expected, &live_items, live_raw)
    } else {
        one_to_one(rules, at, &expected, &live_items, live_raw)
    };
    if live_items.is_empty() && !live_raw.is_array() {
        found.adopted = live_raw.clone();
    }
    found
}

/// The items that are not blank.
fn items<'v>(raw: &'v Value, spelled: &'v [Value]) -> Vec<Item<'v>> {
    let raw = raw.as_array().map(Vec::as_slice).unwrap_or_default();
    let same_length = raw.len() == spelled.len();
    let of = |(position, item): (usize, &'v Value)| {
        let raw = if same_length {
            raw.get(position).unwrap_or(item)
        } else {
            // The rules removed items; the remaining ones may be spelled differently.
            let alike = |other: &&Value| text(other).zip(text(item)).is_some_and(|(a, b)| a.eq_ignore_ascii_case(&b));
            raw.iter().find(alike).unwrap_or(item)
        };
        Item { position, raw, spelled: item }
    };
    spelled.iter().enumerate().filter(|(_, item)| !is_blank(item)).map(of).collect()
}

/// Compares sets of scalars: neither order nor repetition counts.
fn sets(at: &[String], expected: &[Item<'_>], live: &[Item<'_>], live_raw: &Value) -> PairResult {
    let recorded: HashMap<_, _> = expected.iter().filter_map(|item| Some((text(item.spelled)?, item.raw))).collect();
    let present: BTreeSet<_> = live.iter().filter_map(|item| text(item.spelled)).collect();
    let mut found = PairResult::default();
    let mut adopted = Vec::new();
    let mut seen = BTreeSet::new();
    let mut restored = Restored::of(live_raw);
    for item in live {
        let Some(text) = text(item.spelled) else { continue };
        if !recorded.contains_key(&text) {
            restored.change(item, None);
        }
        if !seen.insert(text.clone()) {
            continue;
        }
        if let Some(recorded) = recorded.get(&text) {
            adopted.push((*recorded).clone());
        } else {
            adopted.push(item.raw.clone());
            found.differences.push(Mismatch::item(at, item.position, None, Some(item.raw)));
        }
    }
    let mut missing = BTreeSet::new();
    for item in expected {
        let Some(text) = text(item.spelled) else { continue };
        if !present.contains(&text) && missing.insert(text) {
            found.differences.push(Mismatch::item(at, item.position, Some(item.raw), None));
            restored.add(item);
        }
    }
    found.adopted = adopted.into();
    found.restored = restored.list();
    found
}

/// The live list during its restoration to the recorded one. Items that the rules ignore are kept.
struct Restored<'l> {
    live: &'l [Value],
    /// By position: none for removed items.
    changed: BTreeMap<usize, Option<Value>>,
    added: Vec<Value>,
}

impl<'l> Restored<'l> {
    fn of(live: &'l Value) -> Self {
        let live = live.as_array().map(Vec::as_slice).unwrap_or_default();
        Self { live, changed: BTreeMap::new(), added: Vec::new() }
    }

    fn change(&mut self, item: &Item<'_>, to: Option<Value>) {
        let is_it = |position: &usize| {
            !self.changed.contains_key(position) && self.live.get(*position).is_some_and(|live| live == item.raw)
        };
        // The rules may have changed its position.
        let position = Some(item.position).filter(is_it).or_else(|| (0..self.live.len()).find(is_it));
        if let Some(position) = position {
            self.changed.insert(position, to);
        }
    }

    fn add(&mut self, item: &Item<'_>) {
        let added = self.live.first().map_or_else(|| item.raw.clone(), |live| in_type_of(live, item.raw));
        self.added.push(added);
    }

    /// The list; none if nothing differs.
    fn list(mut self) -> Option<Value> {
        if self.changed.is_empty() && self.added.is_empty() {
            return None;
        }
        let live = self.live.iter().enumerate();
        let kept = live.filter_map(|(position, item)| match self.changed.remove(&position) {
            Some(changed) => changed,
            None => Some(item.clone()),
        });
        let kept: Vec<_> = kept.collect();
        Some(kept.into_iter().chain(self.added).collect())
    }
}

impl Mismatch {
    fn item(list: &[String], position: usize, expected: Option<&Value>, actual: Option<&Value>) -> Self {
        let (expected, actual) = (expected.cloned(), actual.cloned());
        Self { path: list.to_vec(), expected, actual, item: Some(position) }
    }
}

/// Compares other items: each recorded one is matched with one live one.
fn one_to_one(
    rules: &impl Rules,
    at: &mut Vec<String>,
    expected: &[Item<'_>],
    live: &[Item<'_>],
    live_raw: &Value,
) -> PairResult {
    let cells = Cells { rules, at: at.clone(), expected, live, found: RefCell::default() };
    let partners = if expected.len().saturating_mul(live.len()) > MOST_PAIRS {
        let same_place = |place| cells.with(place, place, PairResult::is_sure).then_some(place);
        (0..expected.len()).map(|place| Some(place).filter(|place| *place < live.len()).and_then(same_place)).collect()
    } else {
        matching::maximum(
            expected.len(),
            live.len(),
            |one, other| cells.may_be_equal(one, other) && cells.with(one, other, PairResult::is_sure),
            |one, other| cells.may_be_equal(one, other) && cells.with(one, other, PairResult::is_equal),
        )
    };
    let partners = cells.pair_the_rest(partners);
    let mut found = PairResult::default();
    let mut adopted: Vec<Option<Value>> = vec![None; live.len()];
    let mut restored = Restored::of(live_raw);
    for (one, partner) in partners.iter().enumerate() {
        let Some(item) = expected.get(one) else { continue };
        let Some(other) = partner else {
            found.differences.push(Mismatch::item(at, item.position, Some(item.raw), None));
            restored.add(item);
            continue;
        };
        let (value, before) = found.take(cells.take(one, *other));
        if let Some(adopted) = adopted.get_mut(*other) {
            *adopted = Some(value);
        }
        if let (Some(before), Some(item)) = (before, live.get(*other)) {
            restored.change(item, Some(before));
        }
    }
    let recorded: BTreeSet<&String> =
        expected.iter().filter_map(|item| item.raw.as_object()).flat_map(Map::keys).collect();
    let values = live.iter().zip(adopted).map(|(item, adopted)| {
        adopted.unwrap_or_else(|| {
            at.push(item.position.to_string());
            let kept = project(rules, at, &recorded, item.raw);
            // An unrecorded key may change the meaning of the others.
            let is_whole = compare(rules, at, Side::of(&kept), Side::of(item.raw)).is_equal();
            let kept = if is_whole { kept } else { item.raw.clone() };
            at.pop();
            found.differences.push(Mismatch::item(at, item.position, None, Some(&kept)));
            restored.change(item, None);
            kept
        })
    });
    let adopted: Vec<Value> = values.collect();
    found.adopted = adopted.into();
    found.restored = restored.list();
    found
}

/// The keys of an unrecorded live item that the recorded items use, and those with a default.
fn project(rules: &impl Rules, at: &[String], recorded: &BTreeSet<&String>, item: &Value) -> Value {
    let Value::Object(entries) = item else { return item.clone() };
    let defaults = rules.defaults(at);
    let is_kept = |key: &String, value: &Value| {
        recorded.contains(key)
            || (!is_blank(value) && defaults.iter().any(|(closed, default)| closed == key && *default != value))
    };
    let kept: Map<_, _> = entries
        .iter()
        .filter(|(key, value)| is_kept(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if kept.values().all(is_blank) { item.clone() } else { kept.into() }
}

/// The comparisons of each recorded item with each live one, computed on demand.
struct Cells<'c, 'v, R> {
    rules: &'c R,
    at: Vec<String>,
    expected: &'c [Item<'v>],
    live: &'c [Item<'v>],
    found: RefCell<HashMap<(usize, usize), PairResult>>,
}

impl<R: Rules> Cells<'_, '_, R> {
    fn compute(&self, one: usize, other: usize) -> PairResult {
        let (Some(expected), Some(live)) = (self.expected.get(one), self.live.get(other)) else {
            return PairResult::default();
        };
        let mut at = self.at.clone();
        at.push(expected.position.to_string());
        compare(
            self.rules,
            &mut at,
            Side { raw: expected.raw, spelled: Cow::Borrowed(expected.spelled) },
            Side { raw: live.raw, spelled: Cow::Borrowed(live.spelled) },
        )
    }

    fn with<T>(&self, one: usize, other: usize, read: impl Fn(&PairResult) -> T) -> T {
        if let Some(found) = self.found.borrow().get(&(one, other)) {
            return read(found);
        }
        let found = self.compute(one, other);
        let value = read(&found);
        self.found.borrow_mut().insert((one, other), found);
        value
    }

    /// Returns true if their identities allow equality: much cheaper than comparing them.
    fn may_be_equal(&self, one: usize, other: usize) -> bool {
        let items = self.expected.get(one).zip(self.live.get(other));
        items.is_some_and(|(expected, live)| identity(expected.raw, live.raw) != Some(false))
    }

    /// Returns true if a part of the item is a credential: items with different identities must not share it.
    fn holds_credential(&self, item: &Item<'_>) -> bool {
        let mut at = self.at.clone();
        at.push(item.position.to_string());
        item.raw.as_object().into_iter().flat_map(Map::keys).any(|key| {
            at.push(key.clone());
            let is_credential = self.rules.is_credential(&at);
            at.pop();
            is_credential
        })
    }

    fn take(&self, one: usize, other: usize) -> PairResult {
        let known = self.found.borrow_mut().remove(&(one, other));
        known.unwrap_or_else(|| self.compute(one, other))
    }

    /// Pairs items that are not equal but have the same identity, so that only their parts differ.
    fn pair_the_rest(&self, mut partners: Vec<Option<usize>>) -> Vec<Option<usize>> {
        let free = |partners: &[Option<usize>]| -> Vec<usize> {
            (0..self.live.len()).filter(|other| !partners.contains(&Some(*other))).collect()
        };
        let mut left: Vec<usize> = free(&partners);
        if left.is_empty() {
            return partners;
        }
        let alone = partners.iter().filter(|partner| partner.is_none()).count() == 1 && left.len() == 1;
        for is_alike in [Alike::Identity, Alike::OneDifference, Alike::Rest] {
            for (one, partner) in partners.iter_mut().enumerate().filter(|(_, partner)| partner.is_none()) {
                let found = left.iter().position(|other| self.are_alike(is_alike, one, *other, alone));
                *partner = found.map(|found| left.swap_remove(found));
            }
        }
        partners
    }

    fn are_alike(&self, how: Alike, one: usize, other: usize, alone: bool) -> bool {
        let (Some(expected), Some(live)) = (self.expected.get(one), self.live.get(other)) else { return false };
        if !expected.raw.is_object() || !live.raw.is_object() {
            return false;
        }
        let identity = identity(expected.raw, live.raw);
        match how {
            Alike::Identity => identity == Some(true),
            Alike::OneDifference => {
                expected.raw.as_object().is_some_and(|keys| keys.len() > 1)
                    && !self.holds_credential(expected)
                    && self.expected.len().saturating_mul(self.live.len()) <= MOST_ALIKE
                    && self.with(one, other, |found| found.differences.len() == 1)
            }
            Alike::Rest => identity.is_none() && alone,
        }
    }
}

#[derive(Clone, Copy)]
enum Alike {
    /// They have the same name, key or id.
    Identity,
    /// All parts except one are equal.
    OneDifference,
    /// No other items are left.
    Rest,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_that_the_rules_moved_is_found_by_its_value() {
        let live = json!(["a", "b", "b", "c"]);
        let items = ["b", "c", "d"].map(|text| json!(text));
        let at = |position, raw| Item { position, raw, spelled: raw };
        let restored = |changes: &[(usize, usize, Option<&str>)]| {
            let mut restored = Restored::of(&live);
            for (position, item, to) in changes {
                restored.change(&at(*position, &items[*item]), to.map(Into::into));
            }
            restored.list()
        };
        // At its position, although the first one is alike.
        assert_eq!(restored(&[(2, 0, Some("x"))]), Some(json!(["a", "b", "x", "c"])));
        // Elsewhere: each live item is changed once.
        assert_eq!(restored(&[(0, 0, Some("x")), (0, 0, None)]), Some(json!(["a", "x", "c"])));
        assert_eq!(restored(&[(1, 0, Some("x")), (1, 0, Some("y"))]), Some(json!(["a", "x", "y", "c"])));
        assert_eq!(restored(&[(9, 1, None)]), Some(json!(["a", "b", "b"])));
        // Not in the live list, or no longer.
        assert_eq!(restored(&[(0, 2, None)]), None);
        assert_eq!(restored(&[(3, 1, None), (3, 1, Some("y"))]), Some(json!(["a", "b", "b"])));
    }
}
