//! The step `AssignReservedIP`.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    common::{NoOutput, ProviderId},
    decided::{self, LiveDigest},
    reserved_ip::{self, Before},
};
use crate::saga::step::{Failure, Progress, Step, StepContext, Undo};

/// Assigns a reserved IP to a droplet. Undone by assigning it back, which is refused if it has been assigned elsewhere
/// since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The reserved IP address.
    ip: Ipv4Addr,
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// Move the address from another droplet. Otherwise the step fails if the address is assigned to one.
    #[serde(default)]
    reassign: bool,
    /// The digest of the id of the live droplet that was decided on, or of null for none. The step fails, before it
    /// changes anything, if the address is assigned to neither this one nor the desired one by then.
    #[serde(default)]
    live: Option<LiveDigest>,
}

pub(super) struct AssignReservedIP;

impl Step for AssignReservedIP {
    const NAME: &'static str = "AssignReservedIP";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let before = Before::read(context, parameters.ip).await?;
        parameters.check_live(match before {
            Before::Droplet(droplet) => Some(droplet),
            Before::Nowhere | Before::Unknown => None,
        })?;
        Ok(before)
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { ip, droplet_provider_id, reassign, .. } = parameters;
        let droplet = droplet_provider_id.as_number()?;
        let now = reserved_ip::droplet(context, *ip).await?;
        // A move passes through no droplet, and there is nothing to overwrite.
        if now.is_some() {
            parameters.check_live(now)?;
        }
        match now {
            Some(now) if now == droplet => return Ok(Progress::Done(NoOutput {})),
            Some(now) if !reassign => {
                return Err(Failure::Permanent(format!(
                    "reserved IP {ip} is assigned to droplet {now}; set `reassign: true` to move it"
                )));
            }
            _ => {}
        }
        Ok(reserved_ip::progress(reserved_ip::lead(context, *ip, Some(droplet)).await?, *ip, droplet))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let given = parameters.droplet_provider_id.as_number()?;
        match before {
            Before::Droplet(droplet) if *droplet == given => Ok(Undo::Done),
            _ => before.restore(context, parameters.ip, Some(given), output).await,
        }
    }
}

impl Parameters {
    /// Refuses a droplet other than the decided and the desired one.
    fn check_live(&self, droplet: Option<u64>) -> Result<(), Failure> {
        if droplet == Some(self.droplet_provider_id.as_number()?) {
            return Ok(());
        }
        let of = format_args!("reserved IP {}", self.ip);
        decided::check(self.live.as_ref(), "droplet", &Value::from(droplet), &of)
    }
}
