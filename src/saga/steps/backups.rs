//! The schedule of a droplet's backups, and the calls that change it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::droplet::NextAction;
use crate::{
    digitalocean::Endpoint,
    saga::step::{Failure, StepContext},
};

/// The schedule of backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupPolicy {
    /// The interval of backups.
    plan: BackupInterval,
    /// The day of weekly backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weekday: Option<Weekday>,
    /// The start, in UTC, of the four-hour window for backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hour: Option<Hour>,
}

/// The interval of backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum BackupInterval {
    Daily,
    Weekly,
}

/// A weekday in the API's spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Weekday {
    Sun,
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
}

/// An hour at which the API allows a backup window to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8")]
#[schemars(with = "u8", extend("enum" = [0, 4, 8, 12, 16, 20]))]
struct Hour(u8);

impl TryFrom<u8> for Hour {
    type Error = &'static str;

    fn try_from(hour: u8) -> Result<Self, Self::Error> {
        if hour < 24 && hour.is_multiple_of(4) { Ok(Self(hour)) } else { Err("the hour must be 0, 4, 8, 12, 16 or 20") }
    }
}

impl BackupPolicy {
    /// Returns true if the current policy `now` matches this one. Absent fields match any value, and so does the
    /// weekday of daily backups.
    pub(super) fn is_met_by(&self, now: &Self) -> bool {
        let has_day = self.plan == BackupInterval::Daily || self.weekday.is_none_or(|day| now.weekday == Some(day));
        self.plan == now.plan && has_day && self.hour.is_none_or(|hour| now.hour == Some(hour))
    }
}

/// The current policy of a droplet's backups, with the writable fields only.
pub(super) async fn policy(context: &StepContext<'_>, id: &str) -> Result<Option<BackupPolicy>, Failure> {
    let route = "/v2/droplets/{id}/backups/policy";
    let path = Endpoint { route, parent: None, id: Some(id), scope: "droplet:read" };
    let answer = context.cloud.fetch(path, "policy", &[]).await?.unwrap_or_default();
    Ok(answer.get("backup_policy").and_then(settable))
}

/// Drops the read-only fields.
fn settable(policy: &Value) -> Option<BackupPolicy> {
    let mut policy = policy.clone();
    policy
        .as_object_mut()?
        .retain(|field, value| ["plan", "weekday", "hour"].contains(&field.as_str()) && !value.is_null());
    serde_json::from_value(policy).ok()
}

/// The action that enables backups, by default with the API's schedule.
pub(super) fn enable(policy: Option<&BackupPolicy>) -> NextAction {
    NextAction::Act(match policy {
        Some(policy) => json!({ "type": "enable_backups", "backup_policy": policy }),
        None => json!({ "type": "enable_backups" }),
    })
}

/// The action that changes the schedule of enabled backups.
pub(super) fn change(policy: &BackupPolicy) -> NextAction {
    NextAction::Act(json!({ "type": "change_backup_policy", "backup_policy": policy }))
}

/// The action that disables backups.
pub(super) fn disable() -> NextAction {
    NextAction::Act(json!({ "type": "disable_backups" }))
}
