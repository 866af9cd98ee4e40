//! Numbers from measurements.

/// Counts are far below the limit of exact floats.
pub(super) fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// The smallest number that is not below this percentage of the numbers.
pub(super) fn percentile(percent: usize, mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let rank = (numbers.len() * percent).div_ceil(100).saturating_sub(1);
    numbers.get(rank).copied().unwrap_or(f64::NAN)
}

pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let upper = numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN);
    let lower = numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_median_is_in_the_middle() {
        assert!((super::median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((super::median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let numbers: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (percent, wanted) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert!((super::percentile(percent, numbers.clone()) - wanted).abs() < f64::EPSILON);
        }
        assert!((super::percentile(99, vec![7.0]) - 7.0).abs() < f64::EPSILON);
    }
}
