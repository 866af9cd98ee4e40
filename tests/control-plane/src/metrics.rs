//! The writes and the memory of the API server, from its own metrics.

use std::collections::BTreeMap;

const WRITES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

/// The writes by `VERB resource` or `VERB resource/subresource`, for the operator's group, events and leases.
pub(crate) fn write_counts(metrics: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (what, count) in metrics.lines().filter_map(write) {
        *counts.entry(what).or_default() += count;
    }
    counts
}

/// The bytes that the Go runtime has allocated and not collected yet.
pub(crate) fn heap_bytes(metrics: &str) -> Option<u64> {
    whole(metrics.lines().find_map(|line| line.strip_prefix("go_memstats_heap_alloc_bytes "))?)
}

/// Parses one line of the metrics, if it counts relevant writes.
fn write(line: &str) -> Option<(String, u64)> {
    let (labels, count) = line.strip_prefix("apiserver_request_total{")?.rsplit_once("} ")?;
    let (verb, group) = (label(labels, "verb")?, label(labels, "group")?);
    let (resource, subresource) = (label(labels, "resource")?, label(labels, "subresource")?);
    let ours = group == "arcadia.cloud" || resource == "events" || resource == "leases";
    if !ours || !WRITES.contains(&verb) {
        return None;
    }
    let what =
        if subresource.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}/{subresource}") };
    Some((what, whole(count)?))
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!(",{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Parses a number. Numbers are floats in this format: large ones are written as `1.2e+06`.
fn whole(count: &str) -> Option<u64> {
    match count.trim().parse() {
        Ok(count) => Some(count),
        Err(_) => format!("{:.0}", count.trim().parse::<f64>().ok()?).parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_summed_over_status_codes_and_reads_are_ignored() {
        let metrics = r#"
apiserver_request_total{code="201",component="apiserver",dry_run="",group="arcadia.cloud",resource="drifts",scope="resource",subresource="",verb="POST",version="v1alpha1"} 3
apiserver_request_total{code="409",component="apiserver",dry_run="",group="arcadia.cloud",resource="drifts",scope="resource",subresource="",verb="POST",version="v1alpha1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="arcadia.cloud",resource="drifts",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 1.2e+06
apiserver_request_total{code="200",component="apiserver",dry_run="",group="arcadia.cloud",resource="drifts",scope="cluster",subresource="",verb="LIST",version="v1alpha1"} 9
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 5
"#;
        let counts = write_counts(metrics);
        assert_eq!(counts.get("POST drifts"), Some(&4));
        assert_eq!(counts.get("PATCH drifts/status"), Some(&1_200_000));
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn the_heap_is_read_from_its_own_line() {
        let metrics = "# TYPE go_memstats_heap_alloc_bytes gauge\ngo_memstats_heap_alloc_bytes 1.2e+08\n";
        assert_eq!(heap_bytes(metrics), Some(120_000_000));
        assert_eq!(heap_bytes("go_memstats_heap_alloc_bytes_total 5"), None);
    }
}
