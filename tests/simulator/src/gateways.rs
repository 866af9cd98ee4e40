//! NAT gateways: each of their VPCs gets an address of the gateway.

use crate::store::set;
use serde_json::Value;

/// Fills in what a gateway's VPCs leave out.
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
