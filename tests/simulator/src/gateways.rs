//! NAT gateways: each VPC of a gateway gets an address.

use crate::store::set;
use serde_json::Value;

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
