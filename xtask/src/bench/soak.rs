//! Everything at once, for long: records come and go, resources change, drifts are decided, sagas run, the operator is
//! killed, and the API server and the cloud go away for a while. Anything that grows meanwhile is a leak.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use digitalocean_simulator::{Effect, Fault};
use kube::{
    ResourceExt as _,
    api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{
    arrivals::{self, Arrivals},
    effort::Effort,
    failure::{PATIENCE, failed, late, say},
    objects,
    operator::Operator,
    report::{Report, Row, Subject, Wanted},
    stage::{Cluster, Stage},
    statistics::{float, median, percentile},
};
use crate::Error;

/// The first half of the fleet drifts; records of the second half come and go.
const FLEET: u32 = 400;
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// The time between two actions of each sort.
const TICK: Duration = Duration::from_secs(1);
/// An action that meets an outage is given up after this time.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Ticks between two samples, two outages of the cloud, and two of the API server.
const SAMPLE: u32 = 5;
const CLOUD_AWAY: u32 = 60;
const API_SERVER_AWAY: u32 = 90;
/// The number of finished sagas that are kept.
const SAGAS: usize = 100;

/// The normal growth that is allowed between the first and the last third: a share, and an amount.
const MEMORY_GROWS: f64 = 1.1;
const MEMORY_MIB: f64 = 4.0;
const MORE: f64 = 10.0;

const PHASE: &str = "growth: median of the last third | of the first third";
const DONE: &str = "work";
const LATENCY: &str = "from creation to Succeeded, sagas of two steps";

/// The resources that a process holds at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident: f64,
    files: f64,
    threads: f64,
    tasks: f64,
    queued: f64,
}

/// The counts of actions and outages so far.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    changes: u32,
    decisions: u32,
    churned: u32,
    sagas: u32,
    cloud_outages: u32,
    api_server_outages: u32,
    kills: u32,
    /// Starts after the operator lost its lease to an outage.
    lost_leases: u32,
    /// Actions of the benchmark that met an outage.
    failed: u32,
}

/// Runs for this long.
pub(super) async fn measure(
    cluster: &Cluster,
    program: &Path,
    length: Duration,
    effort: Effort,
) -> Result<Report, Error> {
    let mut report = Report::new(Subject::Soak { resources: FLEET, seconds: length.as_secs() });
    let stage = Stage::start(cluster, FLEET, effort).await?;
    objects::record_fleet(&stage.client, stage.records.name(), FLEET).await?;
    let mut soak = Soak::start(program, &stage).await?;
    let sagas = objects::sagas(&stage.client, stage.records.name());
    let succeeded = Arrivals::of(sagas, "sagas that succeeded", arrivals::has_succeeded).await?;
    let ticks = u32::try_from(length.as_secs() / TICK.as_secs()).unwrap_or(u32::MAX).max(6);
    say(format!("{ticks} ticks of {} s", TICK.as_secs()));
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0..ticks {
        clock.tick().await;
        soak.tick(tick, ticks).await?;
    }
    soak.settle().await?;
    report.add(soak.done());
    report.add(growth(soak.longest_run()));
    report.add(latency(&succeeded.waits(0)));
    soak.operator.stop();
    Ok(report)
}

struct Soak<'s> {
    program: &'s Path,
    stage: &'s Stage,
    operator: Operator,
    records: Api<DynamicObject>,
    drifts: Api<DynamicObject>,
    sagas: Api<DynamicObject>,
    /// The samples of each process: they are compared only with each other.
    runs: Vec<Vec<Sample>>,
    count: Count,
}

impl<'s> Soak<'s> {
    async fn start(program: &'s Path, stage: &'s Stage) -> Result<Self, Error> {
        let mut operator = run(program, stage)?;
        operator.ready().await?;
        let namespace = stage.records.name();
        Ok(Self {
            program,
            stage,
            operator,
            records: objects::records(&stage.client, namespace),
            drifts: objects::drifts(&stage.client, namespace),
            sagas: objects::sagas(&stage.client, namespace),
            runs: vec![Vec::new()],
            count: Count::default(),
        })
    }

    async fn tick(&mut self, tick: u32, ticks: u32) -> Result<(), Error> {
        if self.operator.has_lost_lease() {
            self.operator = run(self.program, self.stage)?;
            self.count.lost_leases += 1;
            self.runs.push(Vec::new());
        }
        self.operator.check()?;
        // Kills the operator once, early: a long run follows.
        if tick == ticks / 6 {
            let operator = run(self.program, self.stage)?;
            std::mem::replace(&mut self.operator, operator).kill();
            self.count.kills += 1;
            self.runs.push(Vec::new());
        }
        let (cloud_away, api_server_away) = (CLOUD_AWAY.min(ticks / 2), API_SERVER_AWAY.min(ticks));
        if tick % cloud_away == cloud_away / 2 {
            let away = Effect::Status { status: 503, retry_after: None, html: false };
            self.stage.cloud.inject(Fault::new("*", away)).await?;
            self.count.cloud_outages += 1;
        }
        if tick % cloud_away == (cloud_away / 2 + SAMPLE) % cloud_away {
            self.stage.cloud.clear_faults().await?;
        }
        if tick % api_server_away == api_server_away / 2 {
            self.stage.control_plane.stop_api_server().await?;
            sleep(TICK * 3).await;
            self.stage.control_plane.start_api_server().await?;
            self.count.api_server_outages += 1;
        }
        let acted = timeout(GIVE_UP, self.act(tick)).await;
        self.count.failed += u32::from(!matches!(acted, Ok(Ok(()))));
        let is_due = tick.is_multiple_of(SAMPLE) || ticks <= SAMPLE * 6;
        if is_due
            && let Ok(sample) = self.sample().await
            && let Some(run) = self.runs.last_mut()
        {
            run.push(sample);
        }
        Ok(())
    }

    /// The samples of the process that ran longest.
    fn longest_run(&self) -> &[Sample] {
        self.runs.iter().max_by_key(|run| run.len()).map_or(&[], Vec::as_slice)
    }

    /// One action of each sort.
    async fn act(&mut self, tick: u32) -> Result<(), Error> {
        let half = FLEET / 2;
        let droplet = objects::droplet(tick % half);
        let live = self.stage.cloud.get("droplets", &droplet).await?;
        let is_other = live.as_ref().and_then(|live| live.get("size_slug")?.as_str()) == Some(objects::OTHER_SIZE);
        self.stage.resize_one(tick % half, if is_other { objects::SIZE } else { objects::OTHER_SIZE }).await?;
        self.count.changes += 1;
        self.decide(tick).await?;
        self.churn(half + tick % half).await?;
        let steps = json!([{ "name": "one", "step": "Sleep", "with": { "seconds": 0 } },
            { "name": "two", "step": "Sleep", "with": { "seconds": 0 } }]);
        let spec = json!({ "kind": "provision", "triggeredBy": "system:bench", "steps": steps });
        objects::create(&self.sagas, objects::saga(&format!("soak-{tick}"), &spec)).await?;
        self.count.sagas += 1;
        if tick.is_multiple_of(SAMPLE) { self.prune().await } else { Ok(()) }
    }

    /// Accepts one open drift or reverts it.
    async fn decide(&mut self, tick: u32) -> Result<(), Error> {
        let open = ListParams::default().fields("status.phase=Open").limit(5);
        let open = self.drifts.list_metadata(&open).await.map_err(failed("list the open drifts"))?;
        let is_new = |drift: &&kube::core::PartialObjectMeta<DynamicObject>| drift.annotations().is_empty();
        let Some(drift) = open.items.iter().find(is_new) else { return Ok(()) };
        let decision = if tick.is_multiple_of(2) {
            json!({ "arcadia.cloud/accept": "true" })
        } else {
            json!({ "arcadia.cloud/revert": "allow-disruption" })
        };
        let patch = Patch::Merge(json!({ "metadata": { "annotations": decision } }));
        let decided = self.drifts.patch(&drift.name_any(), &PatchParams::default(), &patch).await;
        decided.map_err(failed("decide a drift"))?;
        self.count.decisions += 1;
        Ok(())
    }

    /// Deletes a record and records its droplet again.
    async fn churn(&mut self, number: u32) -> Result<(), Error> {
        let record = objects::record(number);
        let name = record.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let deleted = self.records.delete(name, &DeleteParams::default()).await;
        if !matches!(&deleted, Err(kube::Error::Api(status)) if status.is_not_found()) {
            deleted.map_err(failed("delete a record"))?;
        }
        objects::create(&self.records, record).await?;
        self.count.churned += 1;
        Ok(())
    }

    /// Deletes finished sagas, the oldest first.
    async fn prune(&self) -> Result<(), Error> {
        let all = self.sagas.list(&ListParams::default()).await.map_err(failed("list sagas"))?;
        let is_finished = |saga: &&DynamicObject| saga.data.pointer("/status/finishedAt").is_some();
        let mut finished: Vec<_> = all.items.iter().filter(is_finished).collect();
        finished.sort_by_key(|saga| saga.creation_timestamp().map(|time| time.0));
        let too_many = finished.len().saturating_sub(SAGAS);
        for saga in finished.into_iter().take(too_many) {
            self.sagas.delete(&saga.name_any(), &DeleteParams::default()).await.map_err(failed("delete a saga"))?;
        }
        Ok(())
    }

    async fn sample(&self) -> Result<Sample, Error> {
        let (files, threads) = self.operator.handles()?;
        let queued = self.operator.metric("arcadia_queued_records", "").await?
            + self.operator.metric("arcadia_queued_sagas", "").await?;
        let tasks = self.operator.metric("arcadia_tasks", "").await?;
        Ok(Sample { resident: self.operator.memory()?.resident, files, threads, tasks, queued })
    }

    /// Waits until everything is back and done: no record is Unknown, and no saga runs.
    async fn settle(&mut self) -> Result<(), Error> {
        self.stage.cloud.clear_faults().await?;
        let began = Instant::now();
        loop {
            self.operator.check()?;
            let left = self.left().await;
            if matches!(left, Ok(0)) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let what = left.map_or_else(|error| error.to_string(), |left| format!("{left} objects are left"));
                return Err(late(format!("see everything compared and done ({what})"), PATIENCE));
            }
            sleep(TICK).await;
        }
    }

    /// The number of records that are Unknown, plus the number of sagas that run.
    async fn left(&self) -> Result<usize, Error> {
        let records = self.records.list(&ListParams::default()).await.map_err(failed("list the records"))?;
        let sagas = self.sagas.list(&ListParams::default()).await.map_err(failed("list the sagas"))?;
        let unknown = records.items.iter().filter(|record| !arrivals::is_compared(&record.data)).count();
        let running = sagas.items.iter().filter(|saga| saga.data.pointer("/status/finishedAt").is_none()).count();
        Ok(unknown + running)
    }

    fn done(&self) -> Vec<Row> {
        let Count { changes, decisions, churned, sagas, cloud_outages, api_server_outages, kills, lost_leases, failed } =
            self.count;
        let counts = [
            ("live changes", changes),
            ("decisions", decisions),
            ("records deleted and recorded again", churned),
            ("sagas", sagas),
            ("outages of the cloud", cloud_outages),
            ("outages of the API server", api_server_outages),
            ("kills of the operator", kills),
            ("restarts after an outage in which the lease ran out", lost_leases),
            ("seconds in which the benchmark's own requests met an outage", failed),
        ];
        counts.into_iter().map(|(what, count)| Row::of(DONE, what, "", f64::from(count))).collect()
    }
}

/// The last third of the samples beside the first.
fn growth(samples: &[Sample]) -> Vec<Row> {
    let third = samples.len().div_ceil(3);
    let (first, last) = (samples.iter().take(third), samples.iter().rev().take(third));
    let row = |what: &str, unit: &str, of: fn(&Sample) -> f64, most: fn(f64) -> f64| {
        let [first, last] = [first.clone().map(of).collect(), last.clone().map(of).collect()].map(median);
        Row::of(PHASE, what, unit, last).beside(first).wanting(Wanted::Below(most(first)))
    };
    let mebibytes = |sample: &Sample| sample.resident / 1024.0 / 1024.0;
    vec![
        Row::of(PHASE, "samples", "", float(u64::try_from(samples.len()).unwrap_or(u64::MAX))),
        row("resident memory", "MiB", mebibytes, |first| first * MEMORY_GROWS + MEMORY_MIB),
        row("open files", "", |sample| sample.files, |first| first + MORE),
        row("threads", "", |sample| sample.threads, |first| first + MORE),
        row("tasks", "", |sample| sample.tasks, |first| first + MORE),
        row("queued records and sagas", "", |sample| sample.queued, |first| first + MORE),
    ]
}

fn run(program: &Path, stage: &Stage) -> Result<Operator, Error> {
    // So that the history is full soon, and does not count as a leak.
    Operator::start_with(program, stage, SYNC_INTERVAL, &["--drift-history-limit", "1"])
}

/// The second half beside the first.
fn latency(waits: &[f64]) -> Vec<Row> {
    let (first, last) = waits.split_at(waits.len() / 2);
    let row = |percent: usize| {
        let [first, last] = [first, last].map(|half| percentile(percent, half.to_vec()) * 1000.0);
        Row::of(LATENCY, format!("p{percent} of the second half | of the first half"), "ms", last).beside(first)
    };
    vec![row(50), row(99)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the numbers that a soak with these samples fails on.
    fn grown(grow: impl Fn(&mut Sample, f64)) -> Vec<String> {
        let steady = Sample { resident: 60e6, files: 40.0, threads: 4.0, tasks: 200.0, queued: 3.0 };
        let samples: Vec<_> = (0..60)
            .map(|number| {
                let mut sample = steady;
                grow(&mut sample, f64::from(number));
                sample
            })
            .collect();
        let mut report = Report::new(Subject::Soak { resources: FLEET, seconds: 300 });
        report.add(growth(&samples));
        report.unmet(false)
    }

    /// The part that grows, and its growth in a sample.
    type Leak = (&'static str, fn(&mut Sample, f64));

    #[test]
    fn whatever_grows_fails_the_soak_and_noise_does_not() {
        let noise = |number: f64| (number * 7.0) % 5.0;
        let steady = grown(|sample, number| {
            sample.resident += noise(number) * 1e6;
            sample.queued += noise(number);
            sample.tasks += noise(number);
        });
        assert_eq!(steady, [""; 0]);
        let leaks: [Leak; 5] = [
            ("resident memory", |sample, number| sample.resident += number * 0.5e6),
            ("open files", |sample, number| sample.files += number),
            ("threads", |sample, number| sample.threads += number),
            ("tasks", |sample, number| sample.tasks += number),
            ("queued", |sample, number| sample.queued += number),
        ];
        for (what, leak) in leaks {
            let unmet = grown(leak);
            assert!(unmet.len() == 1 && unmet[0].contains(what), "{what}: {unmet:?}");
        }
    }
}
