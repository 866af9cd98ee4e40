//! The step `ResizeDroplet`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::{ProviderId, changed_since, text},
    converging::Converging,
    decided::{self, LiveDigest},
    droplet::{self, NextAction, of_droplet},
};
use crate::{
    nearest::nearest,
    saga::step::{Failure, StepContext},
};

/// Resizes a droplet. A running droplet is powered off as by `PowerOffDroplet`, and powered on afterwards. Undone by
/// resizing it back in the same way, which is refused if it has been resized since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The slug of the new size, such as `s-4vcpu-8gb`. Its disk must not be smaller than the droplet's.
    #[schemars(length(min = 1, max = 100))]
    size: String,
    /// Whether the disk grows too. By default only processors and memory change, which can be undone; a grown disk
    /// cannot be shrunk.
    #[serde(default)]
    disk: bool,
    /// The grace period to shut down before the power is cut, in seconds. With 0, the power is cut at once.
    #[serde(default = "droplet::default_grace_seconds")]
    #[schemars(range(min = 0, max = 600))]
    grace_seconds: u32,
    /// The digest of the live size that was decided on. The step fails, before it changes anything, if it is neither this
    /// one nor the desired one by then.
    #[serde(default)]
    live: Option<LiveDigest>,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    size: Option<String>,
    disk: u64,
    was_on: bool,
    latest_action: u64,
}

pub(super) struct ResizeDroplet;

impl Converging for ResizeDroplet {
    const NAME: &'static str = "ResizeDroplet";
    // A disk is copied: DigitalOcean documents a minute per used gigabyte.
    const TIMEOUT: Duration = Duration::from_hours(6);

    type Parameters = Parameters;
    type Before = Before;

    fn droplet(parameters: &Parameters) -> &ProviderId {
        &parameters.droplet_provider_id
    }

    fn irreversible(&self, parameters: &Parameters) -> Option<&'static str> {
        parameters.disk.then_some("a grown disk cannot be shrunk")
    }

    fn check(&self, parameters: &Parameters, droplet: &Value) -> Result<(), Failure> {
        let Parameters { droplet_provider_id: id, size, live, .. } = parameters;
        if is_of_size(droplet, size) {
            return Ok(());
        }
        decided::check(live.as_ref(), "size_slug", droplet.get("size_slug").unwrap_or(&Value::Null), &of_droplet(id))
    }

    async fn before(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        droplet: &Value,
    ) -> Result<Before, Failure> {
        self.check(parameters, droplet)?;
        // Checked first, so that the droplet is not powered off for nothing.
        check_size(context, parameters, droplet).await?;
        Ok(Before {
            size: text(droplet, "size_slug").map(str::to_owned),
            disk: gigabytes(droplet),
            was_on: droplet::is_on(droplet),
            latest_action: droplet::latest_action(context, parameters.droplet_provider_id.as_str()).await?,
        })
    }

    async fn next(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        let has_disk = !parameters.disk || gigabytes(droplet) >= droplet.get("size").map_or(0, gigabytes);
        if is_of_size(droplet, &parameters.size) && has_disk {
            let is_as_before = droplet::is_on(droplet) || !before.was_on;
            return Ok(if is_as_before { NextAction::Nothing } else { droplet::power_on() });
        }
        if droplet::is_on(droplet) {
            let (id, grace) = (parameters.droplet_provider_id.as_str(), droplet::grace(parameters.grace_seconds));
            return droplet::power_off(context, id, before.latest_action, grace).await;
        }
        Ok(NextAction::Act(json!({ "type": "resize", "size": parameters.size, "disk": parameters.disk })))
    }

    async fn previous(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        let (id, grace) = (parameters.droplet_provider_id.as_str(), droplet::grace(parameters.grace_seconds));
        let Some(size) = &before.size else { return Ok(NextAction::Nothing) };
        let (is_wanted, is_earlier) = (is_of_size(droplet, &parameters.size), is_of_size(droplet, size));
        let (is_resized, is_theirs) = (is_wanted && !is_earlier, !is_wanted && !is_earlier);
        let has_grown = gigabytes(droplet) > before.disk;
        // Without `disk`, another client grew it, and it only prevents resizing back.
        if has_grown && !is_theirs && (is_resized || parameters.disk) {
            // A droplet that this step powered off is powered on again.
            if before.was_on && !droplet::is_on(droplet) {
                return Ok(droplet::power_on());
            }
            return Err(Failure::Permanent(format!("the disk of droplet {id} has grown and cannot be shrunk")));
        }
        if is_resized && droplet::is_on(droplet) {
            return droplet::power_off(context, id, before.latest_action, grace).await;
        }
        if is_resized {
            return Ok(NextAction::Act(json!({ "type": "resize", "size": size, "disk": false })));
        }
        let next = if !before.was_on {
            NextAction::Nothing
        } else if droplet::is_on(droplet) {
            droplet::stays_on(context, id, before.latest_action, grace).await?
        } else {
            droplet::power_on()
        };
        // The power is restored first.
        let is_changed = is_theirs && (!is_slug(Some(size), &parameters.size) || has_grown);
        if is_changed && matches!(next, NextAction::Nothing) {
            return Err(changed_since("size_slug", &of_droplet(&parameters.droplet_provider_id)));
        }
        Ok(next)
    }
}

/// Refuses sizes that the droplet cannot have.
async fn check_size(context: &StepContext<'_>, parameters: &Parameters, droplet: &Value) -> Result<(), Failure> {
    let (id, wanted) = (&parameters.droplet_provider_id, &parameters.size);
    let sizes = context.cloud.sizes().await?;
    let slugs = || sizes.iter().filter_map(|size| text(size, "slug"));
    let Some(size) = sizes.iter().find(|size| is_slug(text(size, "slug"), wanted)) else {
        let near = nearest(wanted, slugs());
        return Err(Failure::Permanent(format!("there is no size {wanted:?}; similar sizes: {}", near.join(", "))));
    };
    let (has, needs) = (gigabytes(size), gigabytes(droplet));
    if has < needs {
        return Err(Failure::Permanent(format!(
            "droplet {id} cannot be resized to {wanted}: its disk has {needs} GB, and that size only {has}"
        )));
    }
    Ok(())
}

fn is_of_size(droplet: &Value, size: &str) -> bool {
    is_slug(text(droplet, "size_slug"), size)
}

fn is_slug(slug: Option<&str>, wanted: &str) -> bool {
    slug.is_some_and(|slug| slug.eq_ignore_ascii_case(wanted))
}

/// The disk of a droplet or a size, in GB.
fn gigabytes(document: &Value) -> u64 {
    document.get("disk").and_then(Value::as_u64).unwrap_or_default()
}
