//! NAT gateways: each VPC of a gateway gets an address, and the VPCs of a gateway cannot be removed.

use serde_json::{Map, Value, json};

use crate::{
    cloud::Cloud,
    reply::Refusal,
    request::Call,
    values::set,
    writes::{Busy, check_text, items},
};

static BUSY: Busy =
    Busy { collection: "vpc_nat_gateways", place: "/state", during: "PROVISIONING", after: "ACTIVE", failed: "ERROR" };

/// Checks the body of a PUT, and completes it. Only here a body may omit the VPCs.
pub(crate) fn prepare(old: &Value, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    if old.get("state").and_then(Value::as_str) != Some("ACTIVE") {
        return Err(Refusal::conflict("the NAT gateway is not active"));
    }
    check_text(body, "name")?;
    if !body.get("size").is_some_and(|size| size.as_u64().is_some_and(|size| (1..=200).contains(&size))) {
        return Err(Refusal::unprocessable("size must be between 1 and 200"));
    }
    for field in ["udp_timeout_seconds", "icmp_timeout_seconds", "tcp_timeout_seconds"] {
        if body.get(field).is_some_and(|seconds| seconds.as_u64().is_none_or(|it| it == 0)) {
            return Err(Refusal::unprocessable(format!("{field} must be a positive number")));
        }
    }
    let Some(vpcs) = body.get_mut("vpcs") else {
        body.insert("vpcs".to_owned(), old.get("vpcs").cloned().unwrap_or_else(|| json!([])));
        return Ok(());
    };
    if vpcs.as_array().into_iter().flatten().any(|vpc| vpc.get("gateway_ip").is_some()) {
        return Err(Refusal::unprocessable("gateway_ip is read-only"));
    }
    let id = |vpc: &Value| vpc.get("vpc_uuid").cloned().unwrap_or_default();
    let is_same = |vpcs: &[Value], others: &[Value]| vpcs.iter().all(|vpc| others.iter().any(|it| id(it) == id(vpc)));
    let (before, after) = (items(old, "vpcs"), vpcs.as_array().map_or(&[][..], Vec::as_slice));
    if !is_same(before, after) || !is_same(after, before) {
        return Err(Refusal::unprocessable("vpcs cannot be changed"));
    }
    for vpc in vpcs.as_array_mut().into_iter().flatten() {
        let address = before.iter().find(|it| id(it) == id(vpc)).and_then(|it| it.get("gateway_ip")).cloned();
        // The flag of the default gateway is lost if it is not sent.
        let default = vpc.get("default_gateway").cloned().unwrap_or(Value::Bool(false));
        let mut whole = Map::from_iter([
            ("vpc_uuid".to_owned(), id(vpc)),
            ("gateway_ip".to_owned(), address.unwrap_or_default()),
            ("default_gateway".to_owned(), default),
        ]);
        whole.extend(vpc.as_object().cloned().unwrap_or_default());
        *vpc = Value::Object(whole);
    }
    Ok(())
}

/// Makes a gateway busy with a change.
pub(crate) fn work(cloud: &mut Cloud, id: &str, call: &Call) {
    BUSY.begin(cloud, id, call, |_, _| {});
}

/// Fills in the fields that the VPCs of a gateway lack.
pub(crate) fn complete(gateway: &mut Value) {
    let Some(vpcs) = gateway.get_mut("vpcs").and_then(Value::as_array_mut) else { return };
    for (vpc, n) in vpcs.iter_mut().zip(2..) {
        for (field, value) in [("gateway_ip", Value::from(format!("10.10.10.{n}"))), ("default_gateway", false.into())]
        {
            if vpc.get(field).is_none() {
                set(vpc, field, value);
            }
        }
    }
}
