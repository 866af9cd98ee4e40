//! The pace of the sweeps of each kind: as scheduled while the calls of the token suffice, slower otherwise. Pure.

use std::{cmp::Ordering, collections::BTreeMap, time::Duration};

use strum::{EnumString, IntoStaticStr};

use crate::digitalocean::Kind;

const HOUR: Duration = Duration::from_hours(1);

/// The part of the calls that sweeps are planned with, as numerator and denominator. The rest is left for lists that
/// are repeated, and the alert on a budget that is nearly gone stays quiet.
const PLANNED: (usize, usize) = (7, 8);

/// The longest time between two sweeps of a kind that waits in favour of more urgent ones, beyond its maximum age.
const LONGEST: Duration = Duration::from_hours(24);

/// Differences below this share come from rounding.
const ROUNDING: f64 = 1e-9;

/// Of the last eight sweeps, the number that found changes from which a kind counts as changing often.
const OFTEN: u32 = 2;

/// How soon a kind needs its next sweep, the least urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
pub enum Urgency {
    /// No drift is open, and its sweeps seldom find changes.
    Quiet,
    /// At least two of the last eight sweeps found a change.
    Changing,
    /// At least one drift is open.
    Drifted,
}

impl Urgency {
    /// `found_changes` has a bit for each of the last eight sweeps.
    pub(super) fn of(open_drifts: i64, found_changes: u8) -> Self {
        match (open_drifts, found_changes.count_ones()) {
            (1.., _) => Self::Drifted,
            (_, OFTEN..) => Self::Changing,
            _ => Self::Quiet,
        }
    }
}

/// The reason for the sweep interval of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
pub enum Reason {
    /// The schedule says so.
    Schedule,
    /// The list of the kind has a separate rate limit.
    OwnLimit,
    /// The schedule needs more calls than sweeps may make.
    TokenLimit,
    /// The sweeps that the calls of the token allow are too rare: the inventory becomes too old between two of them.
    Shortage,
}

/// The needs of the sweeps of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The calls of the last sweep; 0 before the first.
    pub(super) calls: usize,
    /// The duration of the last sweep.
    pub(super) took: Duration,
    pub(super) urgency: Urgency,
    /// The shortest time between two sweeps that a separate rate limit of the kind allows.
    pub(super) pause: Duration,
    /// The age from which its inventory gives no verdict.
    pub(super) max_age: Duration,
}

/// The pace at which a kind is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time from the start of one sweep to the start of the next.
    pub interval: Duration,
    /// Why it is that long.
    pub reason: Reason,
    /// How soon the kind needs its next sweep.
    pub urgency: Urgency,
}

impl Pace {
    /// Of a kind that was not swept yet.
    pub(super) fn scheduled(period: Duration) -> Self {
        Self { interval: period, reason: Reason::Schedule, urgency: Urgency::Quiet }
    }

    /// The shortest time from the start of one sweep to the next, regardless of the schedule.
    pub(super) fn pause(self) -> Duration {
        if self.reason == Reason::Schedule { Duration::ZERO } else { self.interval }
    }
}

/// The pace of each kind: the scheduled `period`, or longer where that takes more calls than sweeps may make in an hour.
/// The least urgent kinds are stretched first, as far as their maximum age allows.
pub(super) fn pace(needs: &BTreeMap<Kind, Need>, period: Duration, calls_per_hour: usize) -> BTreeMap<Kind, Pace> {
    let budget = number(calls_per_hour.saturating_mul(PLANNED.0) / PLANNED.1).max(1.0);
    let mut kinds: Vec<_> = needs.iter().map(|(kind, need)| Paced::of(*kind, need, period)).collect();
    for limit in [Limit::Age, Limit::Day] {
        for urgency in [Urgency::Quiet, Urgency::Changing, Urgency::Drifted] {
            stretch(&mut kinds, urgency, limit, budget);
        }
    }
    let total: f64 = kinds.iter().map(Paced::calls_per_hour).sum();
    if exceeds(total, budget) {
        for kind in kinds.iter_mut().filter(|kind| kind.calls > 0.0) {
            kind.interval *= total / budget;
        }
    }
    kinds.into_iter().map(|kind| (kind.kind, kind.pace())).collect()
}

/// A kind while its interval is computed. Times are in hours.
#[derive(Clone, Copy, Debug)]
struct Paced {
    kind: Kind,
    calls: f64,
    urgency: Urgency,
    own_limit: bool,
    base: f64,
    /// The longest interval that keeps the inventory young enough, even if one sweep fails.
    within_age: f64,
    /// Beyond this interval, the inventory becomes too old before the next sweep ends.
    too_old: f64,
    interval: f64,
}

/// The limit up to which an interval is stretched.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// As far as the inventory stays young enough.
    Age,
    /// Beyond that, to a day.
    Day,
}

impl Paced {
    fn of(kind: Kind, need: &Need, period: Duration) -> Self {
        let base = period.max(need.pause).max(Duration::from_millis(1));
        // The documents of a sweep are as old as its begin. One failed sweep leaves time for another one.
        let [too_old, within_age] =
            [1, 2].map(|sweeps| need.max_age.saturating_sub(need.took.saturating_mul(sweeps)).max(base));
        Self {
            kind,
            calls: number(need.calls),
            urgency: need.urgency,
            own_limit: need.pause > period,
            base: hours(base),
            within_age: hours(within_age),
            too_old: hours(too_old),
            interval: hours(base),
        }
    }

    fn calls_per_hour(&self) -> f64 {
        self.calls / self.interval
    }

    fn longest(&self, limit: Limit) -> f64 {
        match limit {
            Limit::Age => self.within_age,
            Limit::Day => self.within_age.max(hours(LONGEST)),
        }
    }

    fn pace(self) -> Pace {
        let reason = if exceeds(self.interval, self.too_old) {
            Reason::Shortage
        } else if exceeds(self.interval, self.base) {
            Reason::TokenLimit
        } else if self.own_limit {
            Reason::OwnLimit
        } else {
            Reason::Schedule
        };
        let seconds = self.interval * HOUR.as_secs_f64();
        let interval = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Pace { interval, reason, urgency: self.urgency }
    }
}

/// Multiplies the intervals of the kinds of this urgency by the smallest factor with which all kinds fit the budget,
/// but to no more than their limits.
fn stretch(kinds: &mut [Paced], urgency: Urgency, limit: Limit, budget: f64) {
    let (mut open, others): (Vec<_>, Vec<_>) =
        kinds.iter_mut().partition(|kind| kind.urgency == urgency && kind.calls > 0.0);
    let mut left = budget - others.iter().map(|kind| kind.calls_per_hour()).sum::<f64>();
    let slack = |kind: &Paced| kind.longest(limit) / kind.interval;
    // Those that reach their limits first come last, to be popped.
    open.sort_by(|one, other| slack(other).partial_cmp(&slack(one)).unwrap_or(Ordering::Equal));
    loop {
        let wanted: f64 = open.iter().map(|kind| kind.calls_per_hour()).sum();
        if !exceeds(wanted, left) {
            return;
        }
        let factor = if left > 0.0 { wanted / left } else { f64::INFINITY };
        let Some(kind) = open.pop_if(|kind| slack(kind) <= factor) else {
            for kind in open {
                kind.interval *= factor;
            }
            return;
        };
        kind.interval = kind.longest(limit);
        left -= kind.calls_per_hour();
    }
}

fn exceeds(number: f64, limit: f64) -> bool {
    number > limit * (1.0 + ROUNDING)
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or_else(|_| f64::from(u32::MAX), f64::from)
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / HOUR.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const PERIOD: Duration = Duration::from_mins(5);

    fn need(calls: usize, urgency: Urgency) -> Need {
        Need { calls, took: Duration::from_secs(30), urgency, pause: Duration::ZERO, max_age: PERIOD * 3 }
    }

    fn paces<const N: usize>(needs: [Need; N], calls_per_hour: usize) -> [Pace; N] {
        let kinds: Vec<_> = Kind::all().take(N).collect();
        let needs = kinds.iter().copied().zip(needs).collect();
        let paces = pace(&needs, PERIOD, calls_per_hour);
        std::array::from_fn(|at| paces[&kinds[at]])
    }

    #[test]
    fn sweeps_of_a_hundred_thousand_droplets_fit_the_calls_of_an_hour() {
        let need = Need { took: Duration::from_secs(134), ..need(501, Urgency::Quiet) };
        let [pace] = paces([need], 4500);
        assert_eq!(pace.reason, Reason::TokenLimit);
        assert_eq!(pace.interval.as_secs(), 458, "501 calls, 3,937 an hour");
        let [pace] = paces([need], 7000);
        assert_eq!((pace.interval, pace.reason), (PERIOD, Reason::Schedule));
    }

    #[test]
    fn quiet_kinds_make_room_for_kinds_that_change_and_for_kinds_with_drifts() {
        let [quiet, changing, drifted] = [Urgency::Quiet, Urgency::Changing, Urgency::Drifted].map(|u| need(100, u));
        let stretched = |limit| paces([quiet, changing, drifted], limit).map(|pace| pace.interval > PERIOD);
        // 3,600 calls an hour are wanted, and 2,829 are enough if one kind is swept every 14 minutes.
        assert_eq!(stretched(3600 * 8 / 7 + 2), [false; 3]);
        assert_eq!(stretched(3300 * 8 / 7), [true, false, false]);
        assert_eq!(stretched(2200 * 8 / 7), [true, true, false]);
        assert_eq!(stretched(1400 * 8 / 7), [true; 3]);
    }

    #[test]
    fn no_kind_is_stretched_beyond_its_age_before_all_are_and_the_quiet_ones_are_first() {
        let [quiet, drifted] = [Urgency::Quiet, Urgency::Drifted].map(|u| need(100, u));
        let all = [quiet, drifted];
        // At 14 minutes each, 857 calls an hour.
        assert_eq!(paces(all, 860 * 8 / 7).map(|pace| pace.reason), [Reason::TokenLimit; 2]);
        assert_eq!(paces(all, 800 * 8 / 7).map(|pace| pace.reason), [Reason::Shortage, Reason::TokenLimit]);
        assert_eq!(paces(all, 1).map(|pace| pace.reason), [Reason::Shortage; 2]);
    }

    #[test]
    fn a_slow_sweep_is_no_shortage_while_the_inventory_stays_young_enough() {
        let [second, max_age] = [Duration::from_secs(1), Duration::from_secs(20)];
        let of = |took: u64| {
            let need = Need { took: second * took.try_into().unwrap(), max_age, ..need(4, Urgency::Quiet) };
            let kind = Kind::all().next().unwrap();
            pace(&BTreeMap::from([(kind, need)]), second * 3, 4500)[&kind]
        };
        assert!(of(12).interval > second * 3);
        assert_eq!([1, 12, 17].map(|took| of(took).reason), [Reason::TokenLimit, Reason::TokenLimit, Reason::Shortage]);
    }

    #[test]
    fn a_limit_of_its_own_is_no_stretching() {
        let own = Need { pause: MINUTE * 7, ..need(10, Urgency::Quiet) };
        let [pace] = paces([own], 4500);
        assert_eq!((pace.interval, pace.reason, pace.pause()), (MINUTE * 7, Reason::OwnLimit, MINUTE * 7));
        assert_eq!(Pace::scheduled(PERIOD).pause(), Duration::ZERO, "a cron expression has gaps of any length");
    }

    #[test]
    fn urgency_follows_open_drifts_and_what_the_last_sweeps_found() {
        assert_eq!(Urgency::of(1, 0), Urgency::Drifted);
        assert_eq!(Urgency::of(0, 0b1000_0001), Urgency::Changing);
        assert_eq!(Urgency::of(0, 0b0000_0001), Urgency::Quiet);
    }

    fn any_need() -> impl Strategy<Value = Need> {
        let urgency = prop_oneof![Just(Urgency::Quiet), Just(Urgency::Changing), Just(Urgency::Drifted)];
        let seconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
        let pause = prop_oneof![3 => Just(Duration::ZERO), 1 => seconds(0..2000)];
        (0_usize..2000, seconds(0..600), urgency, pause, seconds(301..5000))
            .prop_map(|(calls, took, urgency, pause, max_age)| Need { calls, took, urgency, pause, max_age })
    }

    proptest! {
        #[test]
        fn the_plan_fits_the_budget_and_wastes_nothing(
            needs in prop::collection::vec(any_need(), 1..12),
            limit in 1_usize..100_000,
        ) {
            let needs: BTreeMap<Kind, Need> = Kind::all().zip(needs).collect();
            let paces = pace(&needs, PERIOD, limit);
            let budget = number(limit * 7 / 8).max(1.0);
            let spent: f64 =
                needs.iter().map(|(kind, need)| number(need.calls) / hours(paces[kind].interval)).sum();
            prop_assert!(spent <= budget * 1.001, "{spent} of {budget}");
            let base = |need: &Need| PERIOD.max(need.pause);
            let within_age = |need: &Need| need.max_age.saturating_sub(need.took * 2).max(base(need));
            let tick = Duration::from_micros(1);
            for (kind, need) in &needs {
                let pace = paces[kind];
                prop_assert!(pace.interval + tick >= base(need));
                prop_assert_eq!(pace.urgency, need.urgency);
                let too_old = need.max_age.saturating_sub(need.took).max(base(need));
                prop_assert_eq!(pace.reason == Reason::Shortage, pace.interval > too_old + tick);
                let is_stretched = matches!(pace.reason, Reason::TokenLimit | Reason::Shortage);
                prop_assert!(!is_stretched || spent >= budget * 0.999, "{pace:?} although {spent} of {budget}");
                // A kind waits only once all that are less urgent wait as long as they may.
                for (other, less) in needs.iter().filter(|(_, less)| less.urgency < need.urgency && less.calls > 0) {
                    let other = paces[other].interval + tick;
                    prop_assert!(!is_stretched || other >= within_age(less));
                    prop_assert!(pace.reason != Reason::Shortage || other >= within_age(less).max(LONGEST));
                }
            }
        }

        #[test]
        fn more_calls_never_make_sweeps_rarer(
            needs in prop::collection::vec(any_need(), 1..12),
            limit in 1_usize..50_000,
            more in 0_usize..50_000,
        ) {
            let needs: BTreeMap<Kind, Need> = Kind::all().zip(needs).collect();
            let (few, many) = (pace(&needs, PERIOD, limit), pace(&needs, PERIOD, limit + more));
            for (kind, pace) in &few {
                prop_assert!(many[kind].interval <= pace.interval + Duration::from_micros(1));
            }
        }
    }
}
