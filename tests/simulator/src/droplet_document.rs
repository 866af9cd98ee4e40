//! The full document of a droplet.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::{catalogue, generated::now, values::text_of};

/// The network of droplets by default.
pub(crate) const DEFAULT_VPC: &str = "760e09ef-dc84-11e8-981e-3cfdfeaae000";

/// Completes the document of a droplet. `size`, `region` and `image` may be slugs, and `backups`, `ipv6` and
/// `monitoring` booleans, as in a create request.
pub(crate) fn complete(document: Value, id: u64) -> Value {
    let Value::Object(mut given) = document else { return document };
    let slug = given.get("size_slug").or(given.get("size")).and_then(Value::as_str).unwrap_or("s-1vcpu-1gb").to_owned();
    let size = given.get("size").filter(|it| it.is_object()).cloned();
    let size = size.or_else(|| catalogue::size(&slug)).unwrap_or_else(|| unknown_size(&slug, &given));
    let region = match given.remove("region") {
        Some(region) if region.is_object() => region,
        region => catalogue::region(&region.as_ref().and_then(Value::as_str).unwrap_or("nyc3").to_ascii_lowercase()),
    };
    let image = match given.remove("image") {
        Some(image) if image.is_object() => image,
        Some(image) => catalogue::image(&text_of(&image)).unwrap_or_else(|| unknown_image(&image)),
        None => catalogue::image("ubuntu-24-04-x64").unwrap_or_default(),
    };
    let features = features(&mut given);
    let has = |feature: &str| features.iter().any(|it| it == feature);
    let networks = networks(id, has("ipv6"));
    let window = if has("backups") { next_backup_window() } else { Value::Null };
    let disk = given.get("disk").or(size.get("disk")).and_then(Value::as_u64).unwrap_or(25);
    let gpus = catalogue::gpu_info(&slug);

    let mut droplet = Map::new();
    let mut field = |name: &str, default: Value| {
        let value = given.remove(name).unwrap_or(default);
        droplet.insert(name.to_owned(), value);
    };
    let of_size = |name: &str| size.get(name).cloned().unwrap_or_default();
    field("id", Value::from(id));
    field("name", Value::from(format!("droplet-{id}")));
    field("memory", of_size("memory"));
    field("vcpus", of_size("vcpus"));
    field("disk", Value::from(disk));
    field("disk_info", catalogue::disk_info(disk));
    field("locked", Value::from(false));
    field("status", Value::from("active"));
    field("kernel", Value::Null);
    field("created_at", Value::from(now()));
    field("features", Value::from(features));
    field("backup_ids", json!([]));
    field("next_backup_window", window);
    field("snapshot_ids", json!([]));
    field("image", image);
    field("volume_ids", json!([]));
    field("size", Value::Null);
    field("size_slug", Value::from(slug));
    field("networks", networks);
    field("region", region);
    field("tags", json!([]));
    field("vpc_uuid", Value::from(DEFAULT_VPC));
    if let Some(gpus) = gpus {
        field("gpu_info", gpus);
    }
    droplet.extend(given);
    droplet.insert("size".to_owned(), size);
    Value::Object(droplet)
}

fn features(given: &mut Map<String, Value>) -> Vec<String> {
    let listed = given.remove("features").and_then(|it| it.as_array().cloned());
    let listed = listed.unwrap_or_else(|| vec![Value::from("droplet_agent"), Value::from("private_networking")]);
    let mut features: Vec<String> = listed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    for name in ["backups", "ipv6", "monitoring"] {
        let asked = given.remove(name).and_then(|it| it.as_bool());
        match asked {
            Some(true) if !features.iter().any(|it| it == name) => features.push(name.to_owned()),
            Some(false) => features.retain(|it| it != name),
            _ => {}
        }
    }
    features
}

fn unknown_size(slug: &str, given: &Map<String, Value>) -> Value {
    let of = |field: &str, default: u64| given.get(field).and_then(Value::as_u64).unwrap_or(default);
    json!({
        "slug": slug, "memory": of("memory", 1024), "vcpus": of("vcpus", 1), "disk": of("disk", 25), "transfer": 1.0,
        "price_monthly": 6.0, "price_hourly": 0.00893, "regions": [], "available": false, "description": "",
    })
}

fn unknown_image(image: &Value) -> Value {
    let slug = image.as_str().filter(|it| it.parse::<u64>().is_err());
    json!({
        "id": text_of(image).parse().unwrap_or(7_555_620), "name": text_of(image), "distribution": "Ubuntu", "slug": slug,
        "public": slug.is_some(), "regions": ["nyc3"], "created_at": "2025-10-02T16:41:07Z",
        "type": if slug.is_some() { "base" } else { "snapshot" }, "min_disk_size": 10, "size_gigabytes": 2.34,
        "description": "", "tags": [], "status": "available", "error_message": "",
    })
}

fn low_bytes(id: u64) -> [u8; 3] {
    let [.., a, b, c] = id.to_be_bytes();
    [a, b, c]
}

/// The address in the VPC, which differs between droplets.
pub(crate) fn private_address(id: u64) -> Ipv4Addr {
    let [a, b, c] = low_bytes(id);
    Ipv4Addr::new(10, a, b, c)
}

/// The address on the internet, from a range reserved for documentation.
pub(crate) fn public_address(id: u64) -> Ipv4Addr {
    let [a, b, c] = low_bytes(id);
    Ipv4Addr::new(198, 18 + a % 2, b, c)
}

fn networks(id: u64, ipv6: bool) -> Value {
    let [_, b, c] = low_bytes(id);
    let v6 = if ipv6 {
        json!([{
            "ip_address": format!("2001:db8:800:10::{b:x}:{c:x}01"), "netmask": 64, "gateway": "2001:db8:800:10::1", "type": "public"
        }])
    } else {
        json!([])
    };
    json!({
        "v4": [
            {"ip_address": private_address(id).to_string(), "netmask": "255.0.0.0", "gateway": "nil", "type": "private"},
            {"ip_address": public_address(id).to_string(), "netmask": "255.254.0.0", "gateway": "198.18.0.1", "type": "public"},
        ],
        "v6": v6,
    })
}

pub(crate) fn next_backup_window() -> Value {
    let hours = |hours: i64| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let text = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:00:00Z").to_string();
    json!({"start": text(hours(24)), "end": text(hours(47))})
}
