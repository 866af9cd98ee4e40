//! The table of cases in `comparison.yaml`, which documents its keys. The parent module defines the type of a kind.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Kind;

/// One recorded field and one live document.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub name: String,
    pub kind: Kind,
    #[serde(default)]
    #[allow(dead_code, reason = "a running operator needs resources with different ids")]
    pub id: Option<String>,
    pub field: String,
    pub recorded: Value,
    #[serde(default)]
    pub beside: BTreeMap<String, Value>,
    pub live: Value,
    #[serde(default)]
    pub certificates: Option<BTreeMap<String, String>>,
    /// Reasons by path.
    #[serde(default)]
    pub unread: BTreeMap<String, String>,
    #[serde(default)]
    pub scope: Option<String>,
    pub verdict: Verdict,
    #[serde(default)]
    #[allow(dead_code, reason = "a running operator clips them")]
    pub differences: Vec<String>,
    #[serde(default)]
    pub hidden: Vec<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "a remark for readers of the table")]
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Same,
    Differs,
    Unknown,
    Unverified,
    Invalid,
    NoSuchField,
}

/// All cases, in the order of the table.
pub(super) fn all() -> Vec<Case> {
    serde_saphyr::from_str(include_str!("../cases/comparison.yaml")).unwrap()
}
