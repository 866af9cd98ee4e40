//! Maximum matching of a bipartite graph, by augmenting paths.

/// Pairs each left vertex with at most one right vertex along edges, with the maximum number of pairs. Pairs that
/// `preferred` allows are tried first. Returns the right vertex of each left one.
pub(super) fn maximum(
    left: usize,
    right: usize,
    preferred: impl Fn(usize, usize) -> bool,
    edge: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut graph = Graph { partner_of_right: vec![None; right] };
    // Equal lists usually have the same order.
    for vertex in 0..left.min(right) {
        if preferred(vertex, vertex) {
            graph.pair(vertex, vertex);
        }
    }
    let mut unmatched = graph.unmatched(left);
    graph.augment_all(&mut unmatched, &preferred);
    graph.augment_all(&mut unmatched, &edge);
    let mut partners = vec![None; left];
    for (right, left) in graph.partner_of_right.iter().enumerate() {
        if let Some(partner) = left.and_then(|left| partners.get_mut(left)) {
            *partner = Some(right);
        }
    }
    partners
}

struct Graph {
    partner_of_right: Vec<Option<usize>>,
}

impl Graph {
    fn pair(&mut self, left: usize, right: usize) {
        if let Some(partner) = self.partner_of_right.get_mut(right) {
            *partner = Some(left);
        }
    }

    fn unmatched(&self, left: usize) -> Vec<usize> {
        (0..left).filter(|vertex| !self.partner_of_right.contains(&Some(*vertex))).collect()
    }

    /// Finds partners for these left vertices, and keeps those without one.
    fn augment_all(&mut self, unmatched: &mut Vec<usize>, edge: &impl Fn(usize, usize) -> bool) {
        let mut visited = vec![false; self.partner_of_right.len()];
        unmatched.retain(|vertex| {
            let is_paired = self.augment(*vertex, edge, &mut visited);
            // Items that a failed search visited lead nowhere until the pairs change.
            if is_paired {
                visited.fill(false);
            }
            !is_paired
        });
    }

    /// Finds a partner for one more left vertex; others may have to change theirs.
    fn augment(&mut self, left: usize, edge: &impl Fn(usize, usize) -> bool, visited: &mut Vec<bool>) -> bool {
        for right in 0..self.partner_of_right.len() {
            if visited.get(right) != Some(&false) || !edge(left, right) {
                continue;
            }
            if let Some(visited) = visited.get_mut(right) {
                *visited = true;
            }
            let holder = self.partner_of_right.get(right).copied().flatten();
            if holder.is_none_or(|holder| self.augment(holder, edge, visited)) {
                self.pair(left, right);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The size of a maximum matching, by brute force.
    fn brute_force(left: usize, used: &mut Vec<bool>, edges: &[Vec<bool>]) -> usize {
        if left == edges.len() {
            return 0;
        }
        let mut best = brute_force(left + 1, used, edges);
        for right in 0..used.len() {
            if edges[left][right] && !used[right] {
                used[right] = true;
                best = best.max(1 + brute_force(left + 1, used, edges));
                used[right] = false;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn as_many_are_paired_as_can_be(
            edges in (0_usize..6).prop_flat_map(|right| prop::collection::vec(prop::collection::vec(0_u8..3, right), 0..6)),
        ) {
            let right = edges.first().map_or(0, Vec::len);
            let all: Vec<Vec<bool>> = edges.iter().map(|row| row.iter().map(|edge| *edge > 0).collect()).collect();
            let sure: Vec<Vec<bool>> = edges.iter().map(|row| row.iter().map(|edge| *edge > 1).collect()).collect();
            let partners = maximum(edges.len(), right, |l, r| sure[l][r], |l, r| all[l][r]);
            let paired: Vec<_> = partners.iter().enumerate().filter_map(|(l, r)| r.map(|r| (l, r))).collect();
            prop_assert!(paired.iter().all(|(l, r)| all[*l][*r]));
            let mut rights: Vec<_> = paired.iter().map(|(_, r)| *r).collect();
            rights.sort_unstable();
            rights.dedup();
            prop_assert_eq!(rights.len(), paired.len());
            prop_assert_eq!(paired.len(), brute_force(0, &mut vec![false; right], &all));
        }
    }
}
