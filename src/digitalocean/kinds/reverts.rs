//! The rules to revert the fields of a kind: the section `revert` of its data file.

use std::{collections::BTreeMap, fmt, time::Duration};

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use strum::{Display, EnumIter};

use super::response::ResponseShape;
use crate::{
    comparison::{scalar, secret::hide_text, show::short_text},
    digitalocean::{
        ChangeMethod,
        document::{Pattern, at, is_empty_value},
    },
};

/// The maximum number of columns of the name of a controller.
const LONGEST_NAME: usize = 100;

/// The effect of reverting a field, from harmless to impossible.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Display, EnumIter,
)]
pub enum RevertClass {
    /// No outage, and nothing is lost.
    Safe,
    /// A reboot, closed connections, opened or closed access, or another address.
    Disruptive,
    /// Data may be lost.
    Lossy,
    /// Possible in one direction only, so it cannot be undone.
    OneWay,
    /// DigitalOcean or the operator cannot revert it.
    NotRevertible,
    /// The field identifies the resource, is its state, or follows other fields.
    NotOurs,
}

/// The rules to revert the fields of a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevertRules {
    /// The calls of `UpdateResource`, by name.
    #[serde(default)]
    pub(crate) writes: BTreeMap<String, WriteRule>,
    /// Fields that another controller sets in some resources.
    #[serde(default)]
    pub(crate) owned: Vec<Owned>,
    /// Paths with the tags by which the resource selects others.
    #[serde(default)]
    pub(crate) selects_by: Vec<Pattern>,
    /// The rules for all fields of the kind.
    pub(crate) fields: Vec<RevertRule>,
}

/// The rule for some fields, and for the paths below them without a rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevertRule {
    pub(crate) names: Vec<Pattern>,
    /// The class, unless a case matches.
    pub(crate) class: RevertClass,
    /// The effect in one sentence; for the last two classes the reason and the way out.
    #[serde(default)]
    pub(crate) says: Option<String>,
    #[serde(default)]
    pub(crate) warning: Option<String>,
    #[serde(default)]
    pub(crate) how: Option<How>,
    /// The first matching case applies.
    #[serde(default)]
    pub(crate) cases: Vec<RevertCase>,
    /// The value that means none, if DigitalOcean does not accept null.
    #[serde(default)]
    pub(crate) unset: Option<Value>,
    /// Firewalls, load balancers and others select resources by these tags.
    #[serde(default)]
    pub(crate) selects: bool,
}

/// A direction or a state of the resource with another class.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevertCase {
    #[serde(default)]
    pub(crate) change: Option<ValueChange>,
    #[serde(default, rename = "where")]
    pub(crate) condition: Option<Condition>,
    pub(crate) class: RevertClass,
    #[serde(default)]
    pub(crate) says: Option<String>,
    #[serde(default)]
    pub(crate) warning: Option<String>,
    #[serde(default)]
    pub(crate) how: Option<How>,
}

/// The direction of a revert, from the live value to the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum ValueChange {
    /// To a larger number or size, or a newer version.
    Growing,
    /// To a smaller number or size, or an older version.
    Shrinking,
    /// To true.
    Enabling,
    /// To false or nothing.
    Disabling,
    /// Items are added to a list, and none is removed.
    Adding,
    /// To nothing.
    Emptying,
}

/// A condition on the live document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    path: String,
    /// One of these values.
    #[serde(default)]
    is: Option<Vec<Value>>,
    /// Excluded values.
    #[serde(default)]
    not: Option<Vec<Value>>,
    /// True if the path exists and is blank, or not blank.
    #[serde(default)]
    blank: Option<bool>,
    /// An item of a list; a final `*` matches any ending.
    #[serde(default)]
    has: Option<String>,
    /// A text that matches this regular expression.
    #[serde(default, deserialize_with = "regex")]
    matches: Option<Regex>,
}

/// Another controller that sets fields of some resources, and would undo a revert.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owned {
    pub(crate) names: Vec<Pattern>,
    /// A `*` of its path matches the same item as in the name.
    #[serde(rename = "where")]
    condition: Condition,
    /// Its description, after "belongs to".
    pub(crate) by: String,
    /// The path of the name that follows the description, with the same meaning of `*`.
    #[serde(default)]
    called: Option<String>,
}

/// Another controller that sets a field if another path of the resource shows it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guard {
    pub(crate) get: ResponseShape,
    /// The condition on that path's document.
    #[serde(rename = "where")]
    pub(crate) condition: Condition,
    /// Its description, after "belongs to".
    pub(crate) by: String,
}

/// The steps that revert a field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum How {
    /// The step `UpdateResource`, with this write.
    UpdateResource(String),
    /// The step `UpdateNodePool`.
    UpdateNodePool,
    /// The step `UpdateDomainRecord`.
    UpdateDomainRecord,
    /// The step `AssignToProject`, with this type in URNs.
    AssignToProject(String),
    /// The steps `TagResource` and `UntagResource`, with this type of resource.
    Tags(String),
    /// The step `RenameDroplet`.
    RenameDroplet,
    /// The step `ResizeDroplet`, without growing the disk.
    ResizeDroplet,
    /// The step `ResizeDroplet` at the same size, with growing the disk.
    GrowDisk,
    /// The steps `PowerOnDroplet` and `PowerOffDroplet`.
    Power,
    /// The steps `EnableBackups` and `DisableBackups`.
    Backups,
    /// The steps `AttachVolume` and `DetachVolume`, for the volumes of a droplet.
    Volumes,
    /// The same steps, for the droplet of a volume.
    AttachedTo,
    /// The step `ResizeVolume`.
    ResizeVolume,
    /// The steps `AssignReservedIP` and `UnassignReservedIP`.
    ReservedIP,
    /// The step `EnableIPv6`.
    EnableIPv6,
    /// The steps of the features that differ.
    Features,
}

/// A call of `UpdateResource`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteRule {
    pub(crate) shape: BodyShape,
    #[serde(default)]
    pub(crate) call: Option<CallTemplate>,
    /// The scope that the call needs.
    #[serde(default)]
    pub(crate) scope: String,
    /// The key of the response; none if it has no body.
    #[serde(default)]
    pub(crate) answer: Option<String>,
    /// Paths that are not sent.
    #[serde(default)]
    pub(crate) omit: Vec<Pattern>,
    /// Keys of the body that are always sent, each with its path in the document.
    #[serde(default)]
    pub(crate) along: BTreeMap<String, String>,
    /// Keys of the body for changed paths, where the names differ.
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, String>,
    /// Keys of the body that are sent with the recorded value of another field, if the record has one.
    #[serde(default)]
    pub(crate) with_recorded: BTreeMap<String, String>,
    /// Fields that the document must show, and the scopes that they need: a write would empty a hidden one.
    #[serde(default)]
    pub(crate) must_show: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) spelling: Option<Spelling>,
    /// The state in which the resource is at rest: it is only changed then, and the step ends only then.
    #[serde(default)]
    pub(crate) rest: Option<Rest>,
    /// The write that repeats a failed change, if another one does.
    #[serde(default)]
    pub(crate) retry: Option<String>,
    #[serde(default)]
    pub(crate) add: Option<MemberCall>,
    #[serde(default)]
    pub(crate) remove: Option<MemberCall>,
    /// Another controller that may set the field, shown by another path.
    #[serde(default)]
    pub(crate) guard: Option<Guard>,
    /// The timeout, if the default of the step is too short.
    #[serde(default)]
    minutes: Option<u64>,
}

impl WriteRule {
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.minutes.map(Duration::from_mins)
    }
}

/// The body of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum BodyShape {
    /// The changed field, and the fields to send along.
    Body,
    /// The whole document: the API resets missing keys.
    Whole,
    /// Single members of a list, which are added and removed.
    Members,
}

/// A call that adds or removes members of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberCall {
    pub(crate) call: CallTemplate,
    pub(crate) scope: String,
    /// The key of the response; none if it has no body.
    #[serde(default)]
    pub(crate) answer: Option<String>,
    pub(crate) body: BTreeMap<String, Content>,
}

/// A part of the body of such a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Content {
    /// All members to add or remove.
    Members,
    /// One member; there is one call for each.
    Member,
    /// A list of the resource's id.
    Ids,
}

/// A method and a path, such as `PUT /v2/vpcs/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallTemplate {
    pub(crate) verb: ChangeMethod,
    pub(crate) path: String,
}

/// The API's own spelling of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Spelling {
    /// Alerts contain both lists, even empty ones; entities are texts.
    AlertPolicy,
    /// The cloud's own tags are omitted; a day is in lower case, and an hour has two digits.
    Cluster,
    /// A version is the slug of an offered upgrade.
    ClusterVersion,
    /// A protocol is in lower case; all ports are `all` (`0` in the document), and ICMP has none.
    FirewallRules,
    /// A region is a slug, a size has one notation, and droplets are either listed or selected by a tag; protocols are in
    /// lower case.
    LoadBalancer,
    /// A day is in lower case, and a time has no seconds.
    MaintenanceWindow,
    /// A purpose has no prefix `Other: `, and an environment is capitalized.
    Project,
    /// A region, a size and a tier are in lower case.
    Slugs,
    /// A type and regions are in lower case.
    UptimeCheck,
}

/// The state of a resource that is not being changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rest {
    path: String,
    at: Vec<String>,
    #[serde(default)]
    failed: Vec<String>,
    /// A path that must be blank too.
    #[serde(default)]
    empty: Option<String>,
}

/// The progress of a change of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RestState {
    /// No change is in progress, or the document does not show it.
    AtRest,
    /// A change is in progress, with this state.
    Busy(String),
    /// The last change failed, with this state.
    Failed(String),
}

impl Rest {
    pub(crate) fn state(&self, document: &Value) -> RestState {
        let state = at(document, &self.path).and_then(Value::as_str).unwrap_or_default();
        let is_one_of = |states: &[String]| states.iter().any(|one| one.eq_ignore_ascii_case(state));
        if is_one_of(&self.failed) {
            return RestState::Failed(format!("{} is {state}", self.path));
        }
        if let Some(path) = &self.empty
            && at(document, path).is_some_and(|value| !is_empty_value(value))
        {
            return RestState::Busy(format!("{path} is not empty"));
        }
        if state.is_empty() || is_one_of(&self.at) {
            return RestState::AtRest;
        }
        RestState::Busy(format!("{} is {}", self.path, hide_text(state)))
    }
}

impl Condition {
    pub(crate) fn holds(&self, document: &Value) -> bool {
        self.holds_at(&self.path, document)
    }

    fn holds_at(&self, path: &str, document: &Value) -> bool {
        let found = at(document, path);
        let value = found.unwrap_or(&Value::Null);
        let is_one_of = |values: &Vec<Value>| values.iter().any(|one| scalar::text(one) == scalar::text(value));
        let text = value.as_str().unwrap_or_default();
        let has = |wanted: &String| {
            let fits = |item: &str| match wanted.strip_suffix('*') {
                Some(beginning) => item.to_lowercase().starts_with(beginning),
                None => item.eq_ignore_ascii_case(wanted),
            };
            value.as_array().is_some_and(|items| items.iter().filter_map(Value::as_str).any(fits))
        };
        self.is.as_ref().is_none_or(is_one_of)
            && self.not.as_ref().is_none_or(|values| !is_one_of(values))
            && self.blank.is_none_or(|blank| found.is_some() && is_empty_value(value) == blank)
            && self.has.as_ref().is_none_or(has)
            && self.matches.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl fmt::Display for Condition {
    /// Writes the condition for people, after the class.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = |values: &[Value]| -> String {
            let texts = values.iter().filter_map(scalar::text).map(|text| format!("`{text}`"));
            texts.collect::<Vec<_>>().join(" or ")
        };
        write!(f, "where `{}` ", self.path)?;
        match (&self.is, &self.not, self.blank, &self.has, &self.matches) {
            (Some(is), ..) => write!(f, "is {}", values(is)),
            (_, Some(not), ..) => write!(f, "is not {}", values(not)),
            (_, _, Some(true), ..) => f.write_str("is empty"),
            (_, _, Some(false), ..) => f.write_str("is not empty"),
            (.., Some(has), _) => write!(f, "has `{has}`"),
            (.., Some(matches)) => write!(f, "matches `{matches}`"),
            _ => f.write_str("is there"),
        }
    }
}

impl Owned {
    /// Returns true if the controller sets this field of the resource.
    pub(crate) fn covers(&self, path: &[impl AsRef<str>], document: &Value) -> bool {
        self.names.iter().any(|pattern| pattern.covers(path))
            && self.condition.holds_at(&beside(&self.condition.path, path), document)
    }

    /// The controller of this field, for people.
    pub(crate) fn owner(&self, path: &[impl AsRef<str>], document: &Value) -> String {
        let called = self.called.as_ref().and_then(|called| at(document, &beside(called, path))?.as_str());
        match called {
            Some(called) => format!("{} {}", self.by, short_text(called, LONGEST_NAME)),
            None => self.by.clone(),
        }
    }
}

/// A pattern beside a path: each `*` becomes the segment of the path at its place.
fn beside(pattern: &str, path: &[impl AsRef<str>]) -> String {
    let segments = pattern.split('.').enumerate().map(|(depth, segment)| match path.get(depth) {
        Some(own) if segment == "*" => own.as_ref(),
        _ => segment,
    });
    segments.collect::<Vec<_>>().join(".")
}

impl<'de> Deserialize<'de> for CallTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let verb = |method: &str| match method {
            "POST" => Some(ChangeMethod::Post),
            "PUT" => Some(ChangeMethod::Put),
            "PATCH" => Some(ChangeMethod::Patch),
            "DELETE" => Some(ChangeMethod::Delete),
            _ => None,
        };
        let call =
            text.split_once(' ').and_then(|(method, path)| Some(Self { verb: verb(method)?, path: path.into() }));
        call.ok_or_else(|| D::Error::custom(format!("{text:?} is not a call such as PUT /v2/vpcs/{{id}}")))
    }
}

fn regex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Regex::new(&text).map_err(D::Error::custom).map(Some)
}
