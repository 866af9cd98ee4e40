//! The class of a revert in its direction.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use serde_json::Value;

use super::{AccountFacts, Allow, Assessment, Revert, RevertClass, TagUsers};
use crate::{
    comparison::{
        Difference,
        scalar::text,
        secret::{hide_text, is_hidden},
        show::{escape, short_text},
    },
    digitalocean::{
        FieldComparison, IdFormat, Kind, Live,
        document::{Pattern, at, is_empty_value},
        kinds::{BodyShape, Guard, How, RevertCase, RevertRule, RevertRules},
        live::Resolved,
    },
};

/// The maximum number of columns of a path in a reason.
const PLACE: usize = 100;

/// The reason for a deleted resource.
const GONE: &str = "The resource was deleted, and DigitalOcean does not restore it under its id; create it again and \
                    record the new one.";
/// The reason for a resource that should not exist.
const UNWANTED: &str = "Deleting a resource is not a revert; delete it in DigitalOcean, or with a saga.";
/// The reason for a value that a saga would have to store.
const CREDENTIAL: &str = "The recorded or the live value holds a credential, and a saga does not store credentials; \
                          change the field in DigitalOcean.";
/// The reason for a value of which only a fingerprint is stored.
const HIDDEN: &str =
    "The desired value is the fingerprint of a credential; record the credential itself in the manifest first.";
/// The reason for a field without a rule.
const NO_RULE: &str = "The operator does not know how DigitalOcean changes this field; change it there.";

/// The assessment of a resource that was deleted, or that exists unexpectedly.
#[must_use]
pub fn existence(is_gone: bool) -> Assessment {
    Assessment::new(RevertClass::NotRevertible, Some(if is_gone { GONE } else { UNWANTED }.to_owned()))
}

/// The reason why a revert of this field by `UpdateResource` cannot be undone.
#[must_use]
pub fn irreversible(kind: Kind, field: &str) -> Option<&'static str> {
    let row = kind.row();
    let path: Vec<&str> = field.split('.').collect();
    let rule = rule(row.revert.as_ref()?, &path)?;
    if rule.class == RevertClass::OneWay {
        return Some("DigitalOcean changes this field in one direction only");
    }
    if let Some(How::UpdateResource(write)) = &rule.how
        && let Some(write) = row.revert.as_ref()?.writes.get(write)
        && write.shape == BodyShape::Members
        && write.remove.is_none()
    {
        return Some("members that were added are not removed again");
    }
    let root = path.first().copied().unwrap_or_default();
    let has_credentials = row.credentials.iter().any(|pattern| pattern.root() == root || pattern.root() == "**");
    has_credentials.then_some("the earlier value holds credentials, which a saga does not store")
}

/// Returns true if the class of a field depends on the tags by which others select.
#[must_use]
pub fn is_selected_by(kind: Kind, field: &str) -> bool {
    rule_of(kind, field).is_some_and(|rule| rule.selects)
}

/// Returns true if the class of a field depends on the sizes of droplets.
#[must_use]
pub fn is_size(kind: Kind, field: &str) -> bool {
    rule_of(kind, field).is_some_and(resizes)
}

/// Returns true if a revert of a field of this kind can resize a droplet.
#[must_use]
pub fn can_resize(kind: Kind) -> bool {
    let rules = kind.row().revert.iter().flat_map(|reverts| &reverts.fields);
    rules.into_iter().any(resizes)
}

/// Returns true if a revert of one of these recorded fields would resize the droplet.
#[must_use]
pub fn is_resize(document: &Live, desired: &BTreeMap<String, Value>) -> bool {
    let differs = |field: &str, value: &Value| match (text(&document.value(field)), text(value)) {
        (Some(live), Some(recorded)) => !live.eq_ignore_ascii_case(&recorded),
        (live, recorded) => live != recorded,
    };
    desired.iter().any(|(field, value)| is_size(document.key().kind, field) && differs(field, value))
}

/// The rule of a field that is recorded as a whole.
fn rule_of(kind: Kind, field: &str) -> Option<&'static RevertRule> {
    rule(kind.row().revert.as_ref()?, &[field])
}

fn resizes(rule: &RevertRule) -> bool {
    rule.how == Some(How::ResizeDroplet)
}

/// The conditions, on other paths, under which another controller sets a field.
pub(in crate::digitalocean) fn guards(kind: Kind, field: &str) -> Vec<&'static Guard> {
    let Some(reverts) = &kind.row().revert else { return Vec::new() };
    let path: Vec<&str> = field.split('.').collect();
    let rule = rule(reverts, &path);
    let hows =
        rule.into_iter().flat_map(|rule| rule.cases.iter().filter_map(|case| case.how.as_ref()).chain(&rule.how));
    let writes = hows.filter_map(|how| match how {
        How::UpdateResource(write) => reverts.writes.get(write),
        _ => None,
    });
    writes.filter_map(|write| write.guard.as_ref()).collect()
}

/// An assessment, and the steps that it covers.
pub(super) struct Judged {
    pub(super) assessment: Assessment,
    pub(super) how: Option<&'static How>,
}

impl Assessment {
    fn new(class: RevertClass, why: Option<String>) -> Self {
        // The reason may quote a recorded value.
        Self { class, why: why.map(|why| hide_text(&why)), warnings: Vec::new(), may_rise: false }
    }

    /// The worse of two: the one that needs the higher permission.
    fn or(mut self, other: Self) -> Self {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings
            .extend(other.warnings.iter().filter(|warning| !warnings.contains(warning)).cloned().collect::<Vec<_>>());
        // The class alone is not enough: a revert with a one-way part and a part that loses data must not count as
        // one-way.
        let rank = |class: RevertClass| (Allow::needed(class).is_none(), Allow::needed(class), class);
        let may_rise = self.may_rise || other.may_rise;
        let worse = if rank(other.class) > rank(self.class) { other } else { self };
        Self { warnings, may_rise, ..worse }
    }
}

impl Judged {
    fn never(why: impl Into<String>) -> Self {
        Self { assessment: Assessment::new(RevertClass::NotRevertible, Some(why.into())), how: None }
    }

    fn owned(owner: &str) -> Self {
        Self::never(format!("It belongs to {owner}, which would change it back; change it there."))
    }
}

pub(super) fn judge(revert: &Revert<'_>) -> Judged {
    let Revert { field, desired, document, facts } = *revert;
    let kind = document.key().kind;
    let Some(reverts) = &kind.row().revert else {
        return Judged::never(format!("Reverting {kind} is not supported yet; change it in DigitalOcean."));
    };
    let path = document.path(field);
    let live = match document.resolve(field, desired) {
        Resolved::Value(live) => live,
        Resolved::Unknown { scope } => {
            return Judged::never(format!("The token cannot read the field; give it {scope}."));
        }
        Resolved::NotReadable | Resolved::NoSuchField { .. } => return Judged::never(NO_RULE),
    };
    if rule(reverts, &path).is_some_and(|rule| rule.class != RevertClass::NotOurs)
        && let Some(owner) = owner(reverts, &[&path], [document.document()])
    {
        return Judged::owned(&owner);
    }
    let mut judged = judge_at(reverts, &path, desired, &live, document.document());
    if judged.how.is_some()
        && let Some(why) = misshapen(judged.how, desired, &live)
    {
        return Judged::never(why);
    }
    let Some(rule) = rule(reverts, &path).filter(|_| judged.how.is_some()) else { return judged };
    if is_hidden(desired) {
        return Judged::never(HIDDEN);
    }
    let is_part = !rule.names.iter().any(|name| name.len() >= path.len() && name.covers(&path));
    if is_part && !takes_parts(reverts, judged.how) {
        let whole = rule.names.iter().find(|name| name.covers(&path)).map(ToString::to_string).unwrap_or_default();
        return Judged::never(format!("Only the whole field `{whole}` can be reverted; record that instead."));
    }
    let mut restored = None;
    if takes_parts(reverts, judged.how) {
        restored = match document.restored(field, desired) {
            Ok(restored) => restored,
            Err(why) => return Judged::never(format!("The field cannot be reverted: {why}.")),
        };
    }
    if let FieldComparison::Done(comparison) = document.compare(field, desired) {
        if matches!(judged.how, Some(How::UpdateResource(_)))
            && let Some(difference) = comparison.differences.iter().find(|difference| is_never_blank(difference))
        {
            let place = short_text(&place(field, difference), PLACE);
            let why =
                format!("{place} is recorded as blank, and DigitalOcean always has a value there; correct the record.");
            return Judged::never(why);
        }
        if let Some(parts) = parts(reverts, &path, &comparison.differences, document.document()) {
            judged.assessment = parts;
        }
        if rule.selects {
            for difference in &comparison.differences {
                judged.assessment = judged.assessment.or(selecting(difference, facts));
            }
            judged.assessment.may_rise |= !facts.has_all_tags;
        }
    }
    if let Some(restored) = restored
        && Allow::needed(judged.assessment.class).is_some()
        // A revert that takes the part away from its owner is possible.
        && let Some(owner) = owner(reverts, &changes(document.document(), &restored), [document.document(), &restored])
    {
        return Judged::owned(&owner);
    }
    if judged.how == Some(&How::ResizeDroplet) {
        if let Some(why) = size_refusal(revert) {
            return Judged::never(why);
        }
        judged.assessment.may_rise |= facts.sizes.is_none();
    }
    if judged.how == Some(&How::Features) {
        judged.assessment = features(revert, &live);
    }
    // Only this step reads the value from the record, and works without the earlier one.
    if !matches!(judged.how, Some(How::UpdateResource(_))) && holds_credential(revert) {
        return Judged::never(CREDENTIAL);
    }
    judged
}

/// The reason why a recorded value can never equal the live one: it has another form.
fn misshapen(how: Option<&How>, desired: &Value, live: &Value) -> Option<String> {
    if matches!(how, Some(How::Backups | How::EnableIPv6)) {
        let is_switch = text(desired).is_some_and(|text| text == "true" || text == "false");
        return (!is_switch).then(|| "The recorded value is neither true nor false; correct the record.".to_owned());
    }
    let form = |value: &Value| match value {
        blank if is_empty_value(blank) => None,
        Value::Array(_) => Some("a list"),
        Value::Object(_) => Some("a map"),
        _ => Some("a text or number"),
    };
    let is_set = matches!(how, Some(How::Tags(_) | How::Volumes | How::AttachedTo | How::Features));
    let are_scalars =
        |value: &Value| value.as_array().is_none_or(|items| items.iter().all(|item| text(item).is_some()));
    let (is, wanted) = (form(desired)?, form(live).or(is_set.then_some("a list"))?);
    if let (Some(How::Tags(_)), Value::Array(tags)) = (how, desired)
        && tags.iter().any(|tag| text(tag).is_some_and(|tag| !IdFormat::Tag.admits(&tag)))
    {
        return Some("The recorded value has a tag that DigitalOcean does not accept; correct the record.".to_owned());
    }
    let is_right = is == wanted && (!is_set || are_scalars(desired));
    let wanted = if is_set { "a list of texts or numbers" } else { wanted };
    (!is_right).then(|| format!("The recorded value is not {wanted}, as DigitalOcean has it; correct the record."))
}

/// Returns true if the recorded value is blank and the live one is a number or a switch: it would be reset instead.
fn is_never_blank(difference: &Difference) -> bool {
    let is_scalar = matches!(difference.actual, Some(Value::Number(_) | Value::Bool(_)));
    is_scalar && difference.item.is_none() && difference.expected.as_ref().is_some_and(is_empty_value)
}

/// The dotted path of a difference of a field.
pub(super) fn place(field: &str, difference: &Difference) -> String {
    let separator = if difference.path.is_empty() { "" } else { "." };
    escape(&format!("{field}{separator}{}", difference.path)).into_owned()
}

/// Returns true if the recorded or the live value holds a credential, which no saga stores.
pub(super) fn holds_credential(revert: &Revert<'_>) -> bool {
    let Revert { field, desired, document, .. } = *revert;
    let holds = |value: &Value| document.hide(field, value) != *value;
    holds(desired) || holds(&document.value(field))
}

/// The rule for a path: the longest pattern that covers it.
pub(super) fn rule<'r>(reverts: &'r RevertRules, path: &[impl AsRef<str>]) -> Option<&'r RevertRule> {
    let length = |rule: &RevertRule| rule.names.iter().filter(|name| name.covers(path)).map(Pattern::len).max();
    let rules = reverts.fields.iter().filter_map(|rule| Some((length(rule)?, rule)));
    rules.max_by_key(|(length, _)| *length).map(|(_, rule)| rule)
}

/// The assessment of one path, by its rule alone.
fn judge_at(
    reverts: &'static RevertRules,
    path: &[impl AsRef<str>],
    recorded: &Value,
    live: &Value,
    document: &Value,
) -> Judged {
    let Some(rule) = rule(reverts, path) else { return Judged::never(NO_RULE) };
    let applies = |case: &&RevertCase| {
        case.change.is_none_or(|change| change.is_of(recorded, live))
            && case.condition.as_ref().is_none_or(|condition| condition.holds(document))
    };
    let case = rule.cases.iter().find(applies);
    let class = case.map_or(rule.class, |case| case.class);
    let says = match case {
        Some(case) => case.says.clone(),
        None => rule.says.clone(),
    };
    let warnings = [case.and_then(|case| case.warning.clone()), rule.warning.clone()];
    let how = case.and_then(|case| case.how.as_ref()).or(rule.how.as_ref());
    let how = how.filter(|_| !matches!(class, RevertClass::NotRevertible | RevertClass::NotOurs));
    let warnings = warnings.into_iter().flatten().collect();
    Judged { assessment: Assessment { warnings, ..Assessment::new(class, says) }, how }
}

/// The other controller that sets one of these paths, as each of the documents shows.
fn owner<const N: usize>(
    reverts: &RevertRules,
    paths: &[impl AsRef<[String]>],
    documents: [&Value; N],
) -> Option<String> {
    reverts.owned.iter().find_map(|owned| {
        let is_owned = |path: &&[String]| documents.iter().all(|document| owned.covers(path, document));
        let path = paths.iter().map(AsRef::as_ref).find(is_owned)?;
        Some(owned.owner(path, documents.first()?))
    })
}

/// The paths at which a restored document differs from the live one.
fn changes(live: &Value, restored: &Value) -> Vec<Vec<String>> {
    let below = |segment: &str, live: &Value, restored: &Value| {
        let within = changes(live, restored).into_iter();
        within.map(|rest| iter::once(segment.to_owned()).chain(rest).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    match (live, restored) {
        (Value::Object(live), Value::Object(restored)) => {
            let keys: BTreeSet<_> = live.keys().chain(restored.keys()).collect();
            let both = |key: &String| [live, restored].map(|entries| entries.get(key).unwrap_or(&Value::Null));
            let each = keys.into_iter().flat_map(|key| {
                let [live, restored] = both(key);
                below(key, live, restored)
            });
            each.collect()
        }
        // Of lists of equal length, each item is at its place.
        (Value::Array(live), Value::Array(restored)) if live.len() == restored.len() => {
            let items = live.iter().zip(restored).enumerate();
            items.flat_map(|(place, (live, restored))| below(&place.to_string(), live, restored)).collect()
        }
        (live, restored) if live == restored => Vec::new(),
        _ => vec![Vec::new()],
    }
}

/// Returns true if a part of the rule's field can be reverted alone.
fn takes_parts(reverts: &RevertRules, how: Option<&How>) -> bool {
    match how {
        Some(How::UpdateResource(write)) => {
            reverts.writes.get(write).is_some_and(|write| write.shape != BodyShape::Members)
        }
        Some(How::UpdateNodePool) => true,
        _ => false,
    }
}

/// The worst of the differing parts, if parts have their own rules.
fn parts(
    reverts: &'static RevertRules,
    path: &[String],
    differences: &[Difference],
    document: &Value,
) -> Option<Assessment> {
    let root = path.first()?;
    let longer = |rule: &RevertRule| rule.names.iter().any(|name| name.root() == root && name.len() > path.len());
    if !reverts.fields.iter().any(longer) {
        return None;
    }
    let of_part = |difference: &Difference| {
        let mut part = path.to_vec();
        part.extend(difference.path.split('.').filter(|segment| !segment.is_empty()).map(ToOwned::to_owned));
        if difference.item.is_some() && part.len() == 1 {
            let what = if difference.actual.is_some() {
                "Deleting a node pool deletes its nodes with their local data; delete it in DigitalOcean."
            } else {
                "A node pool that is missing gets another id; add it in DigitalOcean."
            };
            return Assessment::new(RevertClass::NotRevertible, Some(what.to_owned()));
        }
        let null = Value::Null;
        let recorded = difference.expected.as_ref().unwrap_or(&null);
        let live = difference.actual.as_ref().unwrap_or(&null);
        judge_at(reverts, &part, recorded, live, document).assessment
    };
    differences.iter().map(of_part).reduce(Assessment::or)
}

/// The assessment of an added or removed tag, by the resources that select by it.
fn selecting(difference: &Difference, facts: &AccountFacts) -> Assessment {
    let tag = difference.expected.as_ref().or(difference.actual.as_ref()).and_then(Value::as_str).unwrap_or_default();
    let tag_users = facts.tag_users.as_deref();
    let mut selected = [Some(&facts.tags), tag_users.map(|users| &users.tags)].into_iter().flatten();
    match selected.find_map(|tags| tags.get(&tag.to_lowercase())) {
        Some(user) => {
            let why = format!("{user} selects resources by the tag {tag}, so its members change.");
            Assessment::new(RevertClass::Disruptive, Some(why))
        }
        None => Assessment { warnings: vec![unlisted(tag_users)], ..Assessment::new(RevertClass::Safe, None) },
    }
}

/// The warning about resources that were not listed and may select by tags.
fn unlisted(tag_users: Option<&TagUsers>) -> String {
    match tag_users {
        None => "Unrecorded firewalls and load balancers may select by these tags.".to_owned(),
        Some(users) if users.missing.is_empty() => {
            "Unrecorded databases and alert policies may select by these tags.".to_owned()
        }
        Some(users) => format!(
            "Unrecorded firewalls and load balancers may select by these tags; to list them, the token needs {}.",
            users.missing.join(" and ")
        ),
    }
}

/// The reason why a droplet cannot get the recorded size; none as long as the sizes are not known.
fn size_refusal(revert: &Revert<'_>) -> Option<String> {
    let sizes = revert.facts.sizes.as_ref()?;
    let wanted = text(revert.desired).filter(|wanted| !wanted.is_empty())?;
    let shown = short_text(&wanted, PLACE);
    let Some(has) = sizes.of(&wanted) else {
        return Some(format!("DigitalOcean has no size `{shown}`; correct the record."));
    };
    let needs = at(revert.document.document(), "disk").and_then(Value::as_u64).unwrap_or_default();
    (has < needs).then(|| {
        format!(
            "The disk of the droplet has {needs} GB and cannot be shrunk, and the size `{shown}` has only {has}; create a \
             smaller droplet and copy the data."
        )
    })
}

/// The worst of the differing features.
fn features(revert: &Revert<'_>, live: &Value) -> Assessment {
    let changes = feature_changes(revert.desired, live);
    let each = changes.iter().map(|(feature, is_on)| {
        if !["backups", "ipv6"].contains(&feature.as_str()) {
            let why = format!("The feature {feature} is chosen when a droplet is created.");
            return Assessment::new(RevertClass::NotRevertible, Some(why));
        }
        judge(&Revert { field: feature, desired: &Value::Bool(*is_on), ..*revert }).assessment
    });
    each.reduce(Assessment::or).unwrap_or_else(|| Assessment::new(RevertClass::Safe, None))
}

/// The features to enable and to disable. The cloud adds further ones.
pub(super) fn feature_changes(desired: &Value, live: &Value) -> Vec<(String, bool)> {
    let names = |value: &Value| -> Vec<String> {
        let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_lowercase).collect()
    };
    let (desired, live) = (names(desired), names(live));
    let to_enable = desired.iter().filter(|name| !live.contains(name)).map(|name| (name.clone(), true));
    let own = ["backups", "ipv6", "monitoring"];
    let to_disable = live.iter().filter(|name| !desired.contains(name) && own.contains(&name.as_str()));
    to_enable.chain(to_disable.map(|name| (name.clone(), false))).collect()
}

/// The live value of a droplet's or volume's field, as text.
pub(super) fn text_at(document: &Value, path: &str) -> Option<String> {
    at(document, path).and_then(crate::comparison::scalar::text).map(std::borrow::Cow::into_owned)
}
