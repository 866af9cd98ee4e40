//! The sizes, regions and base images that can be ordered, as the documents that droplets contain.

use serde_json::{Value, json};

/// slug, vcpus, memory in MiB, disk in GiB, transfer in TB, dollars a month, description.
type Size = (&'static str, u32, u32, u32, f64, f64, &'static str);

const SIZES: &[Size] = &[
    ("s-1vcpu-512mb-10gb", 1, 512, 10, 0.5, 4.0, "Basic"),
    ("s-1vcpu-1gb", 1, 1024, 25, 1.0, 6.0, "Basic"),
    ("s-1vcpu-2gb", 1, 2048, 50, 2.0, 12.0, "Basic"),
    ("s-2vcpu-2gb", 2, 2048, 60, 3.0, 18.0, "Basic"),
    ("s-2vcpu-4gb", 2, 4096, 80, 4.0, 24.0, "Basic"),
    ("s-4vcpu-8gb", 4, 8192, 160, 5.0, 48.0, "Basic"),
    ("s-8vcpu-16gb", 8, 16_384, 320, 6.0, 96.0, "Basic"),
    ("s-1vcpu-1gb-amd", 1, 1024, 25, 1.0, 7.0, "Basic AMD"),
    ("s-2vcpu-4gb-amd", 2, 4096, 80, 4.0, 28.0, "Basic AMD"),
    ("s-4vcpu-8gb-amd", 4, 8192, 160, 5.0, 56.0, "Basic AMD"),
    ("s-1vcpu-1gb-intel", 1, 1024, 25, 1.0, 7.0, "Basic Intel"),
    ("s-2vcpu-4gb-intel", 2, 4096, 80, 4.0, 28.0, "Basic Intel"),
    ("s-1vcpu-2gb-amd", 1, 2048, 50, 2.0, 14.0, "Basic AMD"),
    ("s-2vcpu-2gb-amd", 2, 2048, 60, 3.0, 21.0, "Basic AMD"),
    ("s-2vcpu-8gb-amd", 2, 8192, 100, 5.0, 42.0, "Basic AMD"),
    ("s-4vcpu-16gb-amd", 4, 16_384, 200, 8.0, 84.0, "Basic AMD"),
    ("s-8vcpu-16gb-amd", 8, 16_384, 320, 6.0, 112.0, "Basic AMD"),
    ("s-8vcpu-32gb-amd", 8, 32_768, 400, 10.0, 168.0, "Basic AMD"),
    ("s-2vcpu-8gb-160gb-intel", 2, 8192, 160, 5.0, 48.0, "Basic Intel"),
    ("s-4vcpu-16gb-320gb-intel", 4, 16_384, 320, 8.0, 96.0, "Basic Intel"),
    ("s-8vcpu-32gb-640gb-intel", 8, 32_768, 640, 10.0, 192.0, "Basic Intel"),
    ("c-16", 16, 32_768, 200, 7.0, 336.0, "CPU-Optimized"),
    ("c-32", 32, 65_536, 400, 9.0, 672.0, "CPU-Optimized"),
    ("c2-2vcpu-4gb", 2, 4096, 50, 4.0, 47.0, "CPU-Optimized 2x SSD"),
    ("c2-4vcpu-8gb", 4, 8192, 100, 5.0, 94.0, "CPU-Optimized 2x SSD"),
    ("c2-8vcpu-16gb", 8, 16_384, 200, 6.0, 188.0, "CPU-Optimized 2x SSD"),
    ("g-16vcpu-64gb", 16, 65_536, 200, 7.0, 504.0, "General Purpose"),
    ("gd-4vcpu-16gb", 4, 16_384, 100, 5.0, 136.0, "General Purpose — 2x SSD"),
    ("m-8vcpu-64gb", 8, 65_536, 200, 7.0, 336.0, "Memory-Optimized"),
    ("m3-2vcpu-16gb", 2, 16_384, 150, 4.0, 104.0, "Memory-Optimized 3x SSD"),
    ("so1_5-2vcpu-16gb", 2, 16_384, 450, 4.0, 163.0, "Storage-Optimized 1.5x SSD"),
    ("c-2", 2, 4096, 25, 4.0, 42.0, "CPU-Optimized"),
    ("c-4", 4, 8192, 50, 5.0, 84.0, "CPU-Optimized"),
    ("c-8", 8, 16_384, 100, 6.0, 168.0, "CPU-Optimized"),
    ("g-2vcpu-8gb", 2, 8192, 25, 4.0, 63.0, "General Purpose"),
    ("g-4vcpu-16gb", 4, 16_384, 50, 5.0, 126.0, "General Purpose"),
    ("g-8vcpu-32gb", 8, 32_768, 100, 6.0, 252.0, "General Purpose"),
    ("gd-2vcpu-8gb", 2, 8192, 50, 4.0, 68.0, "General Purpose — 2x SSD"),
    ("m-2vcpu-16gb", 2, 16_384, 50, 4.0, 84.0, "Memory-Optimized"),
    ("m-4vcpu-32gb", 4, 32_768, 100, 6.0, 168.0, "Memory-Optimized"),
    ("so-2vcpu-16gb", 2, 16_384, 300, 4.0, 131.0, "Storage-Optimized"),
    ("so-4vcpu-32gb", 4, 32_768, 600, 6.0, 262.0, "Storage-Optimized"),
    ("gpu-l40sx1-48gb", 8, 65_536, 500, 10.0, 1167.0, "L40S GPU - 1X"),
    ("gpu-h100x1-80gb", 20, 245_760, 720, 15.0, 2521.0, "H100 GPU - 1X"),
    ("gpu-h100x8-640gb", 160, 1_966_080, 2046, 60.0, 17_791.0, "H100 GPU - 8X"),
];

const REGIONS: &[(&str, &str)] = &[
    ("ams3", "Amsterdam 3"),
    ("blr1", "Bangalore 1"),
    ("fra1", "Frankfurt 1"),
    ("lon1", "London 1"),
    ("nyc1", "New York 1"),
    ("nyc2", "New York 2"),
    ("nyc3", "New York 3"),
    ("sfo2", "San Francisco 2"),
    ("sfo3", "San Francisco 3"),
    ("sgp1", "Singapore 1"),
    ("syd1", "Sydney 1"),
    ("tor1", "Toronto 1"),
];

/// id, slug, name, distribution, size in GB, minimum disk in GiB.
type Image = (u64, &'static str, &'static str, &'static str, f64, u32);

const IMAGES: &[Image] = &[
    (192_157_198, "ubuntu-26-04-x64", "26.04 (LTS) x64", "Ubuntu", 2.71, 10),
    (155_133_621, "ubuntu-24-04-x64", "24.04 (LTS) x64", "Ubuntu", 2.54, 10),
    (129_211_873, "ubuntu-22-04-x64", "22.04 (LTS) x64", "Ubuntu", 2.36, 10),
    (189_876_440, "debian-13-x64", "13 x64", "Debian", 2.1, 10),
    (133_864_222, "debian-12-x64", "12 x64", "Debian", 2.03, 10),
    (187_600_112, "fedora-42-x64", "42 x64", "Fedora", 2.2, 15),
    (159_651_797, "rockylinux-9-x64", "9 x64", "Rocky Linux", 1.9, 10),
    (158_000_412, "almalinux-9-x64", "9 x64", "AlmaLinux", 1.92, 10),
    (175_900_005, "gpu-h100x1-base", "NVIDIA AI/ML Ready", "Ubuntu", 11.4, 25),
];

fn region_slugs() -> Vec<&'static str> {
    REGIONS.iter().map(|(slug, _)| *slug).collect()
}

/// Regions that have GPUs.
const GPU_REGIONS: &[&str] = &["nyc2", "tor1"];

/// The regions in which a size is offered.
fn regions_with(size: &str) -> Vec<&'static str> {
    if size.starts_with("gpu-") { GPU_REGIONS.to_vec() } else { region_slugs() }
}

/// All sizes, in the format of `/v2/sizes`.
pub(crate) fn sizes() -> Vec<Value> {
    SIZES.iter().map(size_document).collect()
}

/// A size as part of a droplet.
pub(crate) fn size(slug: &str) -> Option<Value> {
    SIZES.iter().find(|size| size.0.eq_ignore_ascii_case(slug)).map(size_document)
}

fn size_document((slug, vcpus, memory, disk, transfer, price, description): &Size) -> Value {
    let mut size = json!({
        "slug": slug, "memory": memory, "vcpus": vcpus, "disk": disk, "transfer": transfer, "price_monthly": price,
        "price_hourly": (price / 672.0 * 1e5).round() / 1e5, "regions": regions_with(slug), "available": true,
        "description": description, "disk_info": disk_info(u64::from(*disk)),
    });
    if let (Some(gpus), Some(size)) = (gpu_info(slug), size.as_object_mut()) {
        size.insert("gpu_info".to_owned(), gpus);
    }
    size
}

/// The `gpu_info` of GPU sizes and of their droplets.
pub(crate) fn gpu_info(slug: &str) -> Option<Value> {
    let (model, rest) = slug.strip_prefix("gpu-")?.split_once('x')?;
    let (count, memory) = rest.split_once('-')?;
    let count: u32 = count.parse().ok()?;
    let memory: u32 = memory.strip_suffix("gb")?.parse().ok()?;
    let model = if model == "h100" { "nvidia_h100" } else { "nvidia_l40s" };
    Some(json!({"count": count, "model": model, "vram": {"amount": memory / count, "unit": "gib"}}))
}

/// The kind and the size of a droplet's disk.
pub(crate) fn disk_info(gib: u64) -> Value {
    json!([{"type": "local", "size": {"amount": gib, "unit": "gib"}}])
}

/// All regions, in the format of `/v2/regions`.
pub(crate) fn regions() -> Vec<Value> {
    REGIONS.iter().map(|(slug, name)| region_document(slug, name)).collect()
}

/// A region as part of a droplet. The name of an unknown region is its slug.
pub(crate) fn region(slug: &str) -> Value {
    region_document(slug, REGIONS.iter().find(|(it, _)| it == &slug).map_or(slug, |(_, name)| name))
}

pub(crate) fn is_region(slug: &str) -> bool {
    REGIONS.iter().any(|(it, _)| it.eq_ignore_ascii_case(slug))
}

fn region_document(slug: &str, name: &str) -> Value {
    let sizes: Vec<&str> = SIZES.iter().map(|size| size.0).filter(|size| regions_with(size).contains(&slug)).collect();
    json!({
        "name": name, "slug": slug, "available": true, "sizes": sizes,
        "features": ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"],
    })
}

/// The base images, in the format of `/v2/images`.
pub(crate) fn images() -> Vec<Value> {
    IMAGES.iter().map(image_document).collect()
}

/// A base image by slug or id, as part of a droplet.
pub(crate) fn image(slug_or_id: &str) -> Option<Value> {
    let image = IMAGES.iter().find(|it| it.1.eq_ignore_ascii_case(slug_or_id) || it.0.to_string() == slug_or_id)?;
    Some(image_document(image))
}

fn image_document((id, slug, name, distribution, size, min_disk): &Image) -> Value {
    json!({
        "id": id, "name": name, "distribution": distribution, "slug": slug, "public": true, "regions": region_slugs(),
        "created_at": "2025-10-02T16:41:07Z", "type": "base", "min_disk_size": min_disk, "size_gigabytes": size,
        "description": format!("{distribution} {name}"), "tags": [], "status": "available", "error_message": "",
    })
}
