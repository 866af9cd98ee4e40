//! The sweeps of all recorded kinds: the inbox of each task, its pace, and why nothing is known of its kind.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    time::Instant,
};

use super::pace::{Need, Pace, Reason, Urgency, pace};
use crate::{
    digitalocean::{Kind, SyncCategory},
    kube_ext::key::ObjectKey,
};

/// The message of a record of an unknown resource while the first sweep takes too long.
pub(super) const STILL_WAITING: &str = "the first list is not complete: waiting for calls within --requests-per-minute and --requests-per-hour, or for \
     a response of DigitalOcean";

/// The reason why a kind is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SweepFailure {
    /// The first list takes too long.
    Waiting,
    /// The last sweep failed.
    Failed {
        /// The sort of the error.
        category: SyncCategory,
        /// The error, for people.
        text: String,
    },
}

impl SweepFailure {
    pub(super) fn category(&self) -> Option<SyncCategory> {
        match self {
            Self::Waiting => None,
            Self::Failed { category, .. } => Some(*category),
        }
    }
}

impl fmt::Display for SweepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str(STILL_WAITING),
            Self::Failed { text, .. } => f.write_str(text),
        }
    }
}

/// The tasks, one for each recorded kind.
pub struct Sweeps {
    /// The scheduled time between two sweeps.
    period: Duration,
    state: Mutex<State>,
    /// Changes whenever the pace of a kind does.
    paced: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    kinds: HashMap<Kind, Task>,
    /// The calls of an hour that the paces were computed for.
    calls_per_hour: usize,
}

struct Task {
    requests: UnboundedSender<ObjectKey>,
    /// Notified when changes are left to the next list.
    burst: Arc<Notify>,
    /// A list was requested, however few changes are left to it.
    is_list_requested: bool,
    failure: Option<SweepFailure>,
    last: LastSweep,
    pace: Pace,
    /// When the next sweep is due; nothing during one.
    due: Option<Instant>,
}

/// The cost and the findings of the last sweeps of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct LastSweep {
    calls: usize,
    took: Duration,
    /// A bit for each of the last eight, the last one lowest.
    found_changes: u8,
}

/// The circumstances that decide the pace of a kind, besides its last sweeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// Its open drifts.
    pub(super) open_drifts: i64,
    /// The shortest time between two sweeps that a separate rate limit of the kind allows.
    pub(super) pause: Duration,
    /// The age from which its inventory gives no verdict.
    pub(super) max_age: Duration,
}

/// The sweeps of a kind, for metrics and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepInfo {
    /// The kind.
    pub kind: Kind,
    /// The calls of its last sweep; 0 before the first.
    pub calls: usize,
    /// The pace at which it is swept.
    pub pace: Pace,
    /// The time until its next sweep is due; nothing during one.
    pub due: Option<Duration>,
    /// The scheduled time between two sweeps.
    pub scheduled: Duration,
    /// The calls that all sweeps together may make in an hour.
    pub calls_per_hour: usize,
}

impl SweepInfo {
    /// Whether the inventory becomes too old between two sweeps.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.pace.reason == Reason::Shortage
    }
}

impl fmt::Display for SweepInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.due {
            Some(due) => write!(f, "due in {} s", due.as_secs())?,
            None => f.write_str("in progress")?,
        }
        let Self { scheduled, calls_per_hour, .. } = self;
        let (interval, scheduled) = (seconds(self.pace.interval), seconds(*scheduled));
        let calls = if self.calls == 1 { "1 call".to_owned() } else { format!("{} calls", self.calls) };
        write!(f, ", every {interval} s")?;
        match self.pace.reason {
            Reason::Schedule => write!(f, "; a sweep takes {calls}"),
            Reason::OwnLimit => write!(f, " instead of {scheduled} s: the list has a separate rate limit"),
            Reason::TokenLimit => write!(
                f,
                " instead of {scheduled} s: a sweep takes {calls}, and all sweeps may make {calls_per_hour} in an \
                 hour"
            ),
            Reason::Shortage => write!(
                f,
                " instead of {scheduled} s, so that the inventory becomes too old between two sweeps: a sweep takes \
                 {calls}, and all sweeps may make {calls_per_hour} in an hour; set a longer --inventory-max-age, or \
                 raise --requests-per-hour if the token allows more"
            ),
        }
    }
}

/// The seconds of a duration, rounded up: a longer one than the schedule shows as longer.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl Sweeps {
    /// No tasks yet. The scheduled time between two sweeps is `period`.
    pub(super) fn new(period: Duration) -> Self {
        Self { period, state: Mutex::default(), paced: watch::Sender::default() }
    }

    /// Registers the task of a kind. Returns its inbox, unless it was registered before.
    pub(super) fn register(&self, kind: Kind) -> Option<UnboundedReceiver<ObjectKey>> {
        let mut inbox = None;
        self.state().kinds.entry(kind).or_insert_with(|| {
            let (requests, received) = unbounded_channel();
            inbox = Some(received);
            let pace = Pace::scheduled(self.period);
            Task {
                requests,
                burst: Arc::default(),
                is_list_requested: false,
                failure: None,
                last: LastSweep::default(),
                pace,
                due: None,
            }
        });
        inbox
    }

    /// Sends a record to the task of its kind.
    pub(super) fn send(&self, kind: Kind, key: ObjectKey) {
        if let Some(task) = self.state().kinds.get(&kind) {
            // The task lives as long as the process.
            let _ = task.requests.send(key);
        }
    }

    /// Changes of a kind are left to its next list.
    pub(super) fn leave_to_list(&self, kind: Kind) {
        self.burst(kind).notify_one();
    }

    /// Requests a list of a kind soon: a response does not show all.
    pub(super) fn request_list(&self, kind: Kind) {
        if let Some(task) = self.state().kinds.get_mut(&kind) {
            task.is_list_requested = true;
        }
        self.leave_to_list(kind);
    }

    /// Whether a list of a kind was requested since the last time.
    pub(super) fn take_list_request(&self, kind: Kind) -> bool {
        self.state().kinds.get_mut(&kind).is_some_and(|task| std::mem::take(&mut task.is_list_requested))
    }

    /// Notified when changes of a kind are left to its next list.
    pub(super) fn burst(&self, kind: Kind) -> Arc<Notify> {
        self.state().kinds.get(&kind).map(|task| Arc::clone(&task.burst)).unwrap_or_default()
    }

    /// The reason why a kind is unknown, once a sweep was tried.
    #[must_use]
    pub fn failure(&self, kind: Kind) -> Option<String> {
        self.state().kinds.get(&kind)?.failure.as_ref().map(ToString::to_string)
    }

    /// Sets the failure of a kind, or clears it. Returns the previous one.
    pub(super) fn set_failure(&self, kind: Kind, failure: Option<SweepFailure>) -> Option<SweepFailure> {
        let mut state = self.state();
        state.kinds.get_mut(&kind).and_then(|task| std::mem::replace(&mut task.failure, failure))
    }

    /// Records what a sweep of the kind cost, and whether it found changes.
    pub(super) fn swept(&self, kind: Kind, calls: usize, took: Duration, found_changes: bool) {
        if let Some(task) = self.state().kinds.get_mut(&kind) {
            let before = task.last.found_changes << 1;
            task.last = LastSweep { calls, took, found_changes: before | u8::from(found_changes) };
        }
    }

    /// Records what a failed sweep of the kind cost. It may have ended early: the next one costs at least as much as
    /// the last complete one. Returns its part of the cost of a complete one.
    pub(super) fn failed(&self, kind: Kind, calls: usize) -> f64 {
        let mut state = self.state();
        let Some(task) = state.kinds.get_mut(&kind) else { return 1.0 };
        task.last.calls = task.last.calls.max(calls);
        let [calls, all] = [calls, task.last.calls].map(|calls| u32::try_from(calls).map_or(f64::INFINITY, f64::from));
        if calls < all { calls / all } else { 1.0 }
    }

    /// Nothing is recorded of the kind, so its sweeps cost nothing.
    pub(super) fn forget(&self, kind: Kind) {
        if let Some(task) = self.state().kinds.get_mut(&kind) {
            task.last = LastSweep::default();
        }
    }

    /// Computes the pace of each kind again, for this number of calls in an hour. Returns the kinds whose pace has
    /// another reason than before.
    pub(super) fn adapt(&self, calls_per_hour: usize, of: impl Fn(Kind) -> Circumstances) -> Vec<SweepInfo> {
        let mut state = self.state();
        let need = |(kind, task): (&Kind, &Task)| {
            let Circumstances { open_drifts, pause, max_age } = of(*kind);
            let LastSweep { calls, took, found_changes } = task.last;
            (*kind, Need { calls, took, urgency: Urgency::of(open_drifts, found_changes), pause, max_age })
        };
        let needs: BTreeMap<_, _> = state.kinds.iter().map(need).collect();
        let paces = pace(&needs, self.period, calls_per_hour);
        state.calls_per_hour = calls_per_hour;
        let mut news = Vec::new();
        let mut is_other = false;
        for (kind, pace) in paces {
            let Some(task) = state.kinds.get_mut(&kind) else { continue };
            let before = std::mem::replace(&mut task.pace, pace);
            is_other |= before.pause() != pace.pause();
            if before.reason != pace.reason {
                news.push(kind);
            }
        }
        let news = news.into_iter().filter_map(|kind| self.info(&state, kind)).collect();
        drop(state);
        if is_other {
            self.paced.send_replace(());
        }
        news
    }

    /// The pace at which a kind is swept.
    pub(super) fn pace(&self, kind: Kind) -> Pace {
        self.state().kinds.get(&kind).map_or(Pace::scheduled(self.period), |task| task.pace)
    }

    /// Changes whenever the pace of a kind does.
    pub(super) fn paced(&self) -> watch::Receiver<()> {
        self.paced.subscribe()
    }

    /// Records when the next sweep of a kind is due; none during one.
    pub(super) fn set_due(&self, kind: Kind, due: Option<Instant>) {
        if let Some(task) = self.state().kinds.get_mut(&kind) {
            task.due = due;
        }
    }

    /// The sweeps of all kinds.
    #[must_use]
    pub fn infos(&self) -> Vec<SweepInfo> {
        let state = self.state();
        let mut kinds: Vec<_> = state.kinds.keys().copied().collect();
        kinds.sort();
        kinds.into_iter().filter_map(|kind| self.info(&state, kind)).collect()
    }

    fn info(&self, state: &State, kind: Kind) -> Option<SweepInfo> {
        let task = state.kinds.get(&kind)?;
        Some(SweepInfo {
            kind,
            calls: task.last.calls,
            pace: task.pace,
            due: task.due.map(|due| due.saturating_duration_since(Instant::now())),
            scheduled: self.period,
            calls_per_hour: state.calls_per_hour,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_mins(5);

    fn sweeps() -> (Sweeps, [Kind; 2]) {
        let sweeps = Sweeps::new(PERIOD);
        let kinds = ["Droplet", "Volume"].map(|kind| Kind::named(kind).unwrap());
        for kind in kinds {
            sweeps.register(kind).unwrap();
        }
        (sweeps, kinds)
    }

    fn calm(_: Kind) -> Circumstances {
        Circumstances { open_drifts: 0, pause: Duration::ZERO, max_age: PERIOD * 3 }
    }

    #[tokio::test(start_paused = true)]
    async fn paces_follow_what_sweeps_cost_and_say_why() {
        let (sweeps, [droplet, volume]) = sweeps();
        let mut paced = sweeps.paced();
        sweeps.swept(droplet, 501, Duration::from_secs(134), false);
        sweeps.swept(volume, 1, Duration::from_secs(1), false);
        assert!(sweeps.adapt(10_000, calm).is_empty() && !paced.has_changed().unwrap(), "nothing is stretched");
        let news = sweeps.adapt(4500, calm);
        assert_eq!(news.iter().map(|info| info.kind).collect::<Vec<_>>(), [droplet, volume]);
        assert!(paced.has_changed().unwrap());
        paced.mark_unchanged();
        sweeps.set_due(droplet, Some(Instant::now() + PERIOD));
        let droplets = &sweeps.infos()[0];
        let wanted = "due in 300 s, every 460 s instead of 300 s: a sweep takes 501 calls, and all sweeps may make 4500 in \
                      an hour";
        assert_eq!((droplets.to_string().as_str(), droplets.is_short()), (wanted, false));
        assert!(sweeps.adapt(4500, calm).is_empty() && !paced.has_changed().unwrap(), "nothing is new");
        let news = sweeps.adapt(1000, calm);
        assert!(news.iter().all(SweepInfo::is_short), "{news:?}");
        let told = news[0].to_string();
        for wanted in ["takes 501 calls", "--inventory-max-age", "--requests-per-hour"] {
            assert!(told.contains(wanted), "{told}");
        }
        sweeps.forget(droplet);
        let news = sweeps.adapt(1000, calm);
        assert_eq!(news.iter().map(|info| info.pace.reason).collect::<Vec<_>>(), [Reason::Schedule; 2]);
    }

    #[test]
    fn a_failed_sweep_counts_in_the_plan_and_makes_no_kind_cheaper() {
        let (sweeps, [droplet, volume]) = sweeps();
        let calls = || sweeps.infos().iter().map(|info| info.calls).collect::<Vec<_>>();
        assert!((sweeps.failed(droplet, 400) - 1.0).abs() < f64::EPSILON);
        sweeps.swept(volume, 200, Duration::from_secs(50), false);
        assert!((sweeps.failed(volume, 3) - 0.015).abs() < f64::EPSILON, "an early failure");
        assert_eq!(calls(), [400, 200]);
        let news = sweeps.adapt(1000, calm);
        assert_eq!(news.iter().map(|info| info.kind).collect::<Vec<_>>(), [droplet, volume]);
        sweeps.swept(droplet, 2, Duration::from_secs(1), false);
        assert_eq!(calls(), [2, 200], "a complete sweep shows the cost");
    }

    #[test]
    fn a_kind_with_open_drifts_and_one_that_changes_are_stretched_last() {
        let (sweeps, [droplet, volume]) = sweeps();
        let intervals = |sweeps: &Sweeps| [droplet, volume].map(|kind| sweeps.pace(kind).interval);
        for kind in [droplet, volume] {
            sweeps.swept(kind, 200, Duration::from_secs(30), false);
        }
        sweeps.adapt(4500, calm);
        let [one, other] = intervals(&sweeps);
        assert!(one > PERIOD && one == other, "alike");
        let open_drifts = |kind| i64::from(kind == volume);
        sweeps.adapt(4500, |kind| Circumstances { open_drifts: open_drifts(kind), ..calm(kind) });
        let [one, other] = intervals(&sweeps);
        assert!(one > PERIOD && other == PERIOD, "{one:?} {other:?}");
        for _ in 0..2 {
            sweeps.swept(droplet, 200, Duration::from_secs(30), true);
        }
        sweeps.adapt(4500, calm);
        let [one, other] = intervals(&sweeps);
        assert!(one == PERIOD && other > PERIOD, "{one:?} {other:?}");
    }
}
