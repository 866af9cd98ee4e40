//! The step `UnassignReservedIP`.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    common::{NoOutput, ProviderId},
    reserved_ip::{self, Before},
};
use crate::saga::step::{Failure, Progress, Step, StepContext, Undo};

/// Unassigns a reserved IP from a droplet; it stays reserved. An address that is assigned elsewhere is left alone.
/// Undone by assigning it to the droplet again, if it was assigned before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The reserved IP address.
    ip: Ipv4Addr,
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
}

pub(super) struct UnassignReservedIP;

impl Step for UnassignReservedIP {
    const NAME: &'static str = "UnassignReservedIP";

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
        let Parameters { ip, droplet_provider_id } = parameters;
        let droplet = droplet_provider_id.as_number()?;
        if reserved_ip::droplet(context, *ip).await? != Some(droplet) {
            return Ok(Progress::Done(NoOutput {}));
        }
        Ok(reserved_ip::progress(reserved_ip::lead(context, *ip, None).await?, *ip, droplet))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        match before {
            Before::Droplet(droplet) if *droplet == parameters.droplet_provider_id.as_number()? => {
                before.restore(context, parameters.ip, None, output).await
            }
            _ => Ok(Undo::Done),
        }
    }
}
