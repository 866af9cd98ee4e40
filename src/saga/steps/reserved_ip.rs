//! The calls about a reserved IP that several steps share.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, NoOutput, changed_since, nothing_left};
use crate::{
    api::saga::ActionId,
    digitalocean::{ChangeMethod, Endpoint},
    saga::step::{Failure, Progress, StepContext, Undo},
};

/// The state before the step.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) enum Before {
    /// The state was not read.
    #[default]
    Unknown,
    /// The address was unassigned.
    Nowhere,
    /// The address was assigned to this droplet.
    Droplet(u64),
}

impl Before {
    /// Reads the current state.
    pub(super) async fn read(context: &StepContext<'_>, ip: Ipv4Addr) -> Result<Self, Failure> {
        Ok(droplet(context, ip).await?.map_or(Self::Nowhere, Self::Droplet))
    }

    /// Restores this state if the address is still assigned to `given` or unassigned, which a move passes through. Refuses
    /// to change a later assignment.
    pub(super) async fn restore<O>(
        self,
        context: &StepContext<'_>,
        ip: Ipv4Addr,
        given: Option<u64>,
        output: Option<&O>,
    ) -> Result<Undo, Failure> {
        let was = match self {
            Self::Unknown => return Ok(Undo::Done),
            Self::Nowhere => None,
            Self::Droplet(droplet) => Some(droplet),
        };
        // Read before the address, so that an action which ends in between shows there.
        if let Some(action) = pending(context, ip).await? {
            return Ok(Undo::Started(action));
        }
        let Some(address) = get(context, ip).await? else {
            return was.map_or(Ok(Undo::Done), |_| Err(missing(ip)));
        };
        let now = leads_to(&address)?;
        if now == was {
            return Ok(nothing_left(output));
        }
        match (was, now) {
            (Some(was), Some(other)) if now != given => Err(Failure::Permanent(format!(
                "reserved IP {ip} was assigned to droplet {was} before, and has been assigned to droplet {other} since"
            ))),
            (None, _) if now != given => Err(changed_since("droplet", &format_args!("reserved IP {ip}"))),
            _ => Ok(lead(context, ip, was).await?.map_or(Undo::Done, Undo::Started)),
        }
    }
}

const ACTIONS: &str = "/v2/reserved_ips/{id}/actions";

/// The droplet of an address.
pub(super) async fn droplet(context: &StepContext<'_>, ip: Ipv4Addr) -> Result<Option<u64>, Failure> {
    leads_to(&get(context, ip).await?.ok_or_else(|| missing(ip))?)
}

/// Starts to assign or unassign an address, and returns the action's id; none if it already is in that state.
pub(super) async fn lead(
    context: &StepContext<'_>,
    ip: Ipv4Addr,
    to: Option<u64>,
) -> Result<Option<ActionId>, Failure> {
    let action = match to {
        Some(droplet) => json!({ "type": "assign", "droplet_id": droplet }),
        None => json!({ "type": "unassign" }),
    };
    let refused = match act(context, ip, &action).await {
        Ok(action) => return Ok(Some(action)),
        Err(refused) => refused,
    };
    // An earlier call may have ended right after the address was read.
    match to {
        _ if droplet(context, ip).await? == to => Ok(None),
        Some(droplet) => Err(refused.about(&format!("droplet {droplet}"))),
        None => Err(refused),
    }
}

/// The progress of assigning or unassigning.
pub(super) fn progress(action: Option<ActionId>, ip: Ipv4Addr, droplet: u64) -> Progress<NoOutput> {
    match action {
        Some(action) => {
            Progress::Started { action, ids: vec![format!("reserved_ips/{ip}"), format!("droplets/{droplet}")] }
        }
        None => Progress::Done(NoOutput {}),
    }
}

async fn act(context: &StepContext<'_>, ip: Ipv4Addr, action: &Value) -> Result<ActionId, Failure> {
    let ip = ip.to_string();
    common::action_id(
        &context.cloud.send(ChangeMethod::Post, path(&ip, ACTIONS, "reserved_ip:update"), Some(action)).await?,
    )
}

/// The address's action in progress: there is at most one.
async fn pending(context: &StepContext<'_>, ip: Ipv4Addr) -> Result<Option<ActionId>, Failure> {
    let ip = ip.to_string();
    common::in_progress(context, path(&ip, ACTIONS, "reserved_ip:read"), |_| true).await
}

async fn get(context: &StepContext<'_>, ip: Ipv4Addr) -> Result<Option<Value>, Failure> {
    let ip = ip.to_string();
    Ok(context.cloud.fetch(path(&ip, "/v2/reserved_ips/{id}", "reserved_ip:read"), "reserved_ip", &[]).await?)
}

/// A field that is hidden because of a missing scope does not mean unassigned.
fn leads_to(address: &Value) -> Result<Option<u64>, Failure> {
    let droplet = address.get("droplet").ok_or_else(|| {
        Failure::Permanent(
            "reading the droplet of a reserved IP: the response does not show it; give the token the scope \
             `droplet:read`"
                .to_owned(),
        )
    })?;
    Ok(droplet.get("id").and_then(Value::as_u64))
}

fn missing(ip: Ipv4Addr) -> Failure {
    Failure::Permanent(format!("there is no reserved IP {ip}"))
}

fn path<'p>(ip: &'p str, route: &'static str, scope: &'static str) -> Endpoint<'p> {
    Endpoint { route, parent: None, id: Some(ip), scope }
}
