//! `kubectl arcadia`: the import of an account, and the inbox compared with the API server's response time.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use digitalocean_simulator::{RateLimits, Simulator};
use kube::{Api, Client, api::ListParams};
use tokio::{process::Command, time::sleep};

use super::{
    effort::Effort,
    failure::{failed, say},
    objects::{self, Target},
    parallel,
    report::{Report, Row, Subject, Wanted},
    stage::Cluster,
    statistics::{float, median},
    usage,
};
use crate::Error;

/// Rows of a page of the cloud, and objects of a page of the API server.
const PER_PAGE: u32 = 200;
const OBJECTS: u32 = 500;
/// The most that the inbox may take beyond the API server's answer, in seconds for each thousand drifts.
const BEYOND: f64 = 0.3;
/// The maximum memory of an import, in MiB: a part for the process, and a part for each thousand resources.
const PROCESS_MIB: f64 = 64.0;
const THOUSAND_MIB: f64 = 4.0;
/// The interval at which the memory of a process is read.
const LOOK: Duration = Duration::from_millis(5);

/// Measures the program.
pub(super) async fn measure(
    cluster: &Cluster,
    program: &Path,
    resources: u32,
    drifts: u32,
    effort: Effort,
) -> Result<Report, Error> {
    let mut report = Report::new(Subject::CommandLine { resources, drifts });
    report.add(import(program, resources).await?);
    report.add(inbox(cluster, program, drifts, effort.repeats).await?);
    Ok(report)
}

async fn import(program: &Path, resources: u32) -> Result<Vec<Row>, Error> {
    const PHASE: &str = "(a) import of all droplets into a folder";
    say(PHASE);
    let rate_limits = RateLimits::OFF;
    let droplets = usize::try_from(resources).unwrap_or(usize::MAX);
    let fleet = digitalocean_simulator::Options { droplets, rate_limits, ..Default::default() };
    let simulator = Simulator::start(fleet).await?;
    let folder = tempfile::tempdir().map_err(Error::system("make a folder"))?;
    let mut command = Command::new(program);
    command.args(["import", "--kind", "Droplet", "--folder"]).arg(folder.path());
    command.env("DIGITALOCEAN_API_URL", simulator.url()).env("DIGITALOCEAN_ACCESS_TOKEN", "benchmark");
    let ran = run(&mut command).await?;
    let calls = simulator.control().requests().await?.total();
    let files = std::fs::read_dir(folder.path()).map_err(Error::system("read the folder"))?.count();
    let written = u64::try_from(files).unwrap_or(u64::MAX).saturating_sub(1);
    Ok(vec![
        // The pages of the droplets and of their backup policies, one of those with a GPU, of which there are none, and the
        // account.
        Row::of(PHASE, "cloud calls", "", float(calls))
            .wanting(Wanted::Exactly(2.0 * f64::from(resources.div_ceil(PER_PAGE)) + 2.0)),
        Row::of(PHASE, "records written", "", float(written)).wanting(Wanted::Exactly(f64::from(resources))),
        Row::of(PHASE, "wall", "s", ran.seconds),
        Row::of(PHASE, "peak memory", "MiB", ran.peak / 1024.0 / 1024.0)
            .wanting(Wanted::Below(PROCESS_MIB + THOUSAND_MIB * f64::from(resources) / 1000.0)),
    ])
}

async fn inbox(cluster: &Cluster, program: &Path, drifts: u32, repeats: u32) -> Result<Vec<Row>, Error> {
    const PHASE: &str = "(b) inbox | floor: the API server's answer";
    say(PHASE);
    let namespace = cluster.namespace("inbox").await?;
    let client = cluster.client().await?;
    let api = objects::drifts(&client, namespace.name());
    let create = move |number: u32| {
        let api = api.clone();
        async move {
            let target = Target { name: format!("web-{number}"), uid: format!("{number:032}") };
            objects::create(&api, objects::drift(&target, 1)).await
        }
    };
    parallel::each(parallel::WORKERS, (0..drifts).collect(), create).await?;
    let (mut shown, mut answers, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..repeats {
        answers.push(answer(&client, namespace.name()).await?);
        let mut command = Command::new(program);
        let ran = run(command.arg("inbox").env("KUBECONFIG", namespace.kubeconfig())).await?;
        shown.push(ran.seconds);
        peak = peak.max(ran.peak);
    }
    let (shown, answers) = (median(shown), median(answers));
    Ok(vec![
        Row::of(PHASE, "wall, median", "s", shown).beside(answers),
        Row::of(PHASE, "wall beyond the answer, median", "s", shown - answers)
            .wanting(Wanted::Below(BEYOND * f64::from(drifts.max(1000)) / 1000.0)),
        Row::of(PHASE, "peak memory", "MiB", peak / 1024.0 / 1024.0),
    ])
}

/// The API server's response time for the same pages, with a new connection, in seconds.
async fn answer(client: &Client, namespace: &str) -> Result<f64, Error> {
    let api: Api<_> = objects::drifts(client, namespace);
    let mut params = ListParams::default().fields("status.phase=Open").limit(OBJECTS);
    let began = Instant::now();
    loop {
        let page = api.list(&params).await.map_err(failed("list drifts"))?;
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(began.elapsed().as_secs_f64()),
        }
    }
}

/// The cost of a run.
struct Ran {
    seconds: f64,
    /// The peak of resident memory, in bytes.
    peak: f64,
}

/// Runs the program to its end, which must be successful.
async fn run(command: &mut Command) -> Result<Ran, Error> {
    let began = Instant::now();
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(Error::system("start the program"))?;
    let id = child.id();
    let mut peak = 0.0;
    let status = loop {
        tokio::select! {
            biased;
            ended = child.wait() => break ended.map_err(Error::system("wait for the program"))?,
            () = sleep(LOOK) => {
                // After its end, there is nothing to read.
                peak = id.and_then(|id| usage::memory(id).ok()).map_or(peak, |memory| memory.peak.max(peak));
            }
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    if status.success() { Ok(Ran { seconds, peak }) } else { Err(failed("run the program")(status.to_string())) }
}
