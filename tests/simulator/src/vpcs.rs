//! VPCs and their peerings: names are unique, and each region has one default VPC. Only another default VPC can replace
//! it.

use serde_json::{Map, Value};

use crate::{
    cloud::Cloud,
    reply::Refusal,
    values::set,
    writes::{Shape, Target, Write},
};

/// Checks the body of a PUT or PATCH. A PUT without `default` unsets it, which is refused for a default VPC.
pub(crate) fn prepare(
    cloud: &Cloud,
    target: &Target<'_>,
    write: &Write,
    body: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    let is_default = |value: Option<&Value>| value.and_then(Value::as_bool);
    let asked = is_default(body.get("default")).or((write.shape == Shape::Whole).then_some(false));
    if is_default(target.old.get("default")) == Some(true) && asked == Some(false) {
        return Err(Refusal::forbidden("Can not unset default VPCs"));
    }
    let Some(name) = body.get("name") else { return Ok(()) };
    let name = name.as_str().unwrap_or_default();
    check_name(name)?;
    let is_taken = cloud
        .store
        .all("vpcs")
        .iter()
        .any(|vpc| vpc.get("name").and_then(Value::as_str) == Some(name) && vpc.get("id") != target.old.get("id"));
    if is_taken {
        return Err(Refusal::unprocessable("a VPC with this name already exists"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let is_valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    if is_valid { Ok(()) } else { Err(Refusal::unprocessable("name may have letters, digits, dashes and dots only")) }
}

/// Removes the default flag from the other VPCs of a region if this one has it now.
pub(crate) fn share_default(cloud: &mut Cloud, id: &str, vpc: &Value) {
    if vpc.get("default").and_then(Value::as_bool) != Some(true) {
        return;
    }
    for other in cloud.store.all("vpcs") {
        let other_id = other.get("id").and_then(Value::as_str).unwrap_or_default();
        if other_id != id
            && other.get("region") == vpc.get("region")
            && other.get("default") == Some(&Value::Bool(true))
        {
            cloud.store.edit("vpcs", other_id, |it| set(it, "default", Value::from(false)));
        }
    }
}

/// Checks the body of a PATCH of a peering.
pub(crate) fn check_peering(old: &Value, body: &Map<String, Value>) -> Result<(), Refusal> {
    if old.get("status").and_then(Value::as_str) != Some("ACTIVE") {
        return Err(Refusal::conflict("the VPC peering is not active"));
    }
    check_name(body.get("name").and_then(Value::as_str).unwrap_or_default())
}
