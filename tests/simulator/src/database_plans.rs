//! The plans of managed databases: the initial storage and the maximum number of nodes of each.

/// slug, storage in MiB, maximum number of nodes.
type Plan = (&'static str, u64, u64);

/// Smallest first: clusters only grow.
const PLANS: &[Plan] = &[
    ("db-s-1vcpu-1gb", 10_240, 1),
    ("db-s-1vcpu-2gb", 30_720, 3),
    ("db-s-2vcpu-4gb", 61_440, 3),
    ("db-s-4vcpu-8gb", 143_360, 3),
    ("db-s-6vcpu-16gb", 296_960, 3),
    ("db-s-8vcpu-32gb", 604_160, 3),
    ("db-s-16vcpu-64gb", 1_167_360, 3),
];

/// The maximum storage of a cluster, in MiB.
const MOST_STORAGE: u64 = 16 << 20;

/// The plans that allow this number of nodes.
pub(crate) fn slugs(nodes: u64) -> Vec<&'static str> {
    PLANS.iter().filter(|plan| plan.2 >= nodes).map(|plan| plan.0).collect()
}

/// A size of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size<'a> {
    pub(crate) plan: &'a str,
    pub(crate) nodes: u64,
    /// In MiB; `None` uses the storage of the plan.
    pub(crate) storage: Option<u64>,
}

/// The storage after a resize in MiB, or the reason of the refusal.
pub(crate) fn resized(engine: &str, now: Size<'_>, then: Size<'_>) -> Result<u64, &'static str> {
    let rank = |slug: &str| PLANS.iter().position(|plan| plan.0 == slug);
    let place = rank(then.plan).ok_or("invalid size")?;
    let (_, base, most) = PLANS.get(place).copied().unwrap_or(("", 0, 0));
    if rank(now.plan).is_some_and(|rank| place < rank) {
        return Err("cluster cannot be resized to a smaller size");
    }
    let is_number = if engine == "kafka" { then.nodes == 3 } else { (1..=most).contains(&then.nodes) };
    if !is_number {
        return Err("invalid num_nodes for this size");
    }
    let storage = now.storage.unwrap_or_default();
    match then.storage {
        None => Ok(storage.max(base)),
        Some(asked) if asked < storage => Err("storage cannot be reduced"),
        Some(asked) if asked < base || asked > MOST_STORAGE => Err("invalid storage_size_mib for this size"),
        Some(asked) => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_only_grows() {
        let now = Size { plan: "db-s-1vcpu-2gb", nodes: 2, storage: Some(40_960) };
        assert_eq!(resized("pg", now, Size { storage: None, ..now }), Ok(40_960), "earlier storage stays");
        assert_eq!(resized("pg", now, Size { plan: "db-s-2vcpu-4gb", nodes: 2, storage: None }), Ok(61_440));
        assert!(resized("pg", now, Size { plan: "db-s-2vcpu-4gb", nodes: 2, storage: Some(40_960) }).is_err());
        assert!(resized("pg", now, Size { plan: "db-s-1vcpu-1gb", nodes: 1, storage: None }).is_err());
        assert!(resized("pg", now, Size { storage: Some(30_720), ..now }).is_err());
        assert!(resized("pg", now, Size { nodes: 4, ..now }).is_err());
        assert!(resized("kafka", now, Size { nodes: 2, ..now }).is_err());
        let smallest = Size { plan: "db-s-1vcpu-1gb", nodes: 1, storage: Some(10_240) };
        assert!(resized("pg", smallest, Size { nodes: 2, ..smallest }).is_err(), "it takes no standby");
        assert!(resized("pg", now, Size { plan: "db-unknown", ..now }).is_err());
    }
}
