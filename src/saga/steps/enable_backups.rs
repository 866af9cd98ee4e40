//! `EnableBackups`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    common::{NoOutput, ProviderId},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Scene, Step, Undo};

/// Enables backups of a droplet, which DigitalOcean then takes by itself. Undone by disabling them if they were disabled
/// before, and that may delete those that were taken since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The droplet.
    droplet_provider_id: ProviderId,
    /// When backups are taken; daily by default. A droplet that has backups already keeps its times.
    #[serde(default)]
    backup_policy: Option<BackupPolicy>,
}

/// When backups are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupPolicy {
    /// How often.
    plan: Plan,
    /// On which day, for those that are weekly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weekday: Option<Weekday>,
    /// The hour, in UTC, at which the time of four hours begins in which they are taken: 0, 4, 8, 12, 16 or 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 4, 8, 12, 16, 20]))]
    hour: Option<u8>,
}

/// How often backups are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Plan {
    Daily,
    Weekly,
}

/// A day, as the API writes it.
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

/// How it was before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    were_disabled: bool,
}

/// The step.
pub struct EnableBackups;

impl Step for EnableBackups {
    const NAME: &'static str = "EnableBackups";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, scene: &Scene<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let droplet = droplet::before(scene, parameters.droplet_provider_id.as_str()).await?;
        Ok(Before { were_disabled: !droplet::has_backups(&droplet) })
    }

    async fn run(&self, scene: &Scene<'_>, parameters: &Parameters, _: &Before) -> Result<Progress<NoOutput>, Failure> {
        droplet::go(scene, parameters.droplet_provider_id.as_str(), next(scene, parameters).await?).await
    }

    async fn find(&self, scene: &Scene<'_>, parameters: &Parameters, _: &Before) -> Result<Found<NoOutput>, Failure> {
        Ok(droplet::found(parameters.droplet_provider_id.as_str(), next(scene, parameters).await?))
    }

    async fn undo(
        &self,
        scene: &Scene<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let next = match droplet::at_rest(scene, id).await? {
            Ok(droplet) if before.were_disabled && droplet::has_backups(&droplet) => disable(),
            Ok(_) => Next::Nothing,
            Err(next) => next,
        };
        droplet::go_back(scene, id, next, output.is_some()).await
    }
}

async fn next(scene: &Scene<'_>, parameters: &Parameters) -> Result<Next, Failure> {
    Ok(match droplet::at_rest(scene, parameters.droplet_provider_id.as_str()).await? {
        Ok(droplet) if droplet::has_backups(&droplet) => Next::Nothing,
        Ok(_) => enable(parameters.backup_policy.as_ref()),
        Err(next) => next,
    })
}

/// What enables backups, at the API's times unless others are given.
pub(super) fn enable(policy: Option<&BackupPolicy>) -> Next {
    Next::Act(match policy {
        Some(policy) => json!({ "type": "enable_backups", "backup_policy": policy }),
        None => json!({ "type": "enable_backups" }),
    })
}

/// What disables backups.
pub(super) fn disable() -> Next {
    Next::Act(json!({ "type": "disable_backups" }))
}
