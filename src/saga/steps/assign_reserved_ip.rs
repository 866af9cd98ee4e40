//! The step `AssignReservedIP`.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    common::{NoOutput, ProviderId},
    reserved_ip::{self, Before},
};
use crate::saga::step::{Failure, Progress, Step, StepContext, Undo};

/// Assigns a reserved IP to a droplet. Undone by assigning it back, which is refused if it has been assigned elsewhere
/// since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The reserved IP address.
    ip: Ipv4Addr,
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// Move the address from another droplet. Otherwise the step fails if the address is assigned to one.
    #[serde(default)]
    reassign: bool,
}

pub struct AssignReservedIP;

impl Step for AssignReservedIP {
    const NAME: &'static str = "AssignReservedIP";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        Before::read(context, parameters.ip).await
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { ip, droplet_provider_id, reassign } = parameters;
        let droplet = droplet_provider_id.as_number()?;
        match reserved_ip::droplet(context, *ip).await? {
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
