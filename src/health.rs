//! The liveness and readiness of this process, for the probes of Kubernetes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::{
    digitalocean::{Kind, SnapshotInfo},
    drift::{context::DriftContext, sweeps::SweepInfo},
    saga::context as saga,
};

/// The maximum age of a check of the API server.
const FRESH: Duration = Duration::from_secs(15);

/// The result of the last check of the API server.
#[derive(Clone, Debug)]
pub(crate) struct ApiServerState {
    /// The time of the check.
    pub at: Instant,
    /// The error, if the API server did not respond or lacks something.
    pub trouble: Option<String>,
}

/// The sources of health.
#[derive(Clone)]
pub(crate) struct Health {
    /// The controller of records and drifts.
    pub context: Arc<DriftContext>,
    /// The controller of sagas.
    pub sagas: Arc<saga::SagaContext>,
    /// The result of the last check of the API server.
    pub api_server: watch::Receiver<ApiServerState>,
}

impl Health {
    /// The reason why the process is not live. The API server and the cloud do not count: a restart fixes neither.
    #[must_use]
    pub(crate) fn not_live(&self) -> Option<String> {
        self.context.process.liveness.failure()
    }

    /// The reason why the process is not ready: it neither leads with complete caches nor could start to lead at once.
    #[must_use]
    pub(crate) fn unready(&self) -> Option<String> {
        unready(self)
    }

    /// Each check of readiness on a line, as in the API server's own list.
    #[must_use]
    pub(crate) fn checks(&self) -> String {
        listed(&checks(self), &inventories(self), &self.context.sweeps())
    }
}

/// A check and its failure.
type HealthCheck = (String, Option<String>);

fn unready(health: &Health) -> Option<String> {
    checks(health).into_iter().find_map(|(_, failure)| failure)
}

/// The checks that readiness depends on, in order of importance.
fn checks(health: &Health) -> Vec<HealthCheck> {
    let context = &health.context;
    let api_server = {
        let answer = health.api_server.borrow();
        let is_old = answer.at.elapsed() > FRESH;
        answer.trouble.clone().or_else(|| is_old.then(|| "the API server was not checked recently".to_owned()))
    };
    let lease = context.process.leadership.trouble().map(|trouble| format!("reading the lease: {trouble}"));
    // A standby makes no calls to the cloud: they are reserved for the leader.
    let missing: Vec<_> = if context.process.leadership.is_leader() {
        let recorded = context.first_kinds();
        not_listed(&recorded, &context.inventory.snapshots()).into_iter().map(Kind::name).collect()
    } else {
        Vec::new()
    };
    [
        ("process", context.process.stop.is_cancelled().then(|| "stopping".to_owned())),
        ("api-server", api_server),
        ("lease", lease),
        ("records", (!context.is_loaded()).then(|| "listing the records and drifts".to_owned())),
        ("sagas", (!health.sagas.is_loaded()).then(|| "listing the sagas".to_owned())),
        (
            "inventory",
            (!missing.is_empty()).then(|| format!("waiting for the first inventory of {}", missing.join(", "))),
        ),
    ]
    .map(|(name, failure)| (name.to_owned(), failure))
    .into()
}

/// The last list of each recorded kind. A failure of one does not make the process unready.
fn inventories(health: &Health) -> Vec<HealthCheck> {
    let recorded = health.context.index().kinds();
    let snapshots = health.context.inventory.snapshots().into_iter();
    let snapshots = snapshots.filter(|snapshot| recorded.contains(&snapshot.kind));
    let failure = |snapshot: SnapshotInfo| snapshot.last_error.map(|failure| failure.message.to_string());
    snapshots.map(|snapshot| (format!("inventory/{}", snapshot.kind), failure(snapshot))).collect()
}

fn listed(checks: &[HealthCheck], inventories: &[HealthCheck], sweeps: &[SweepInfo]) -> String {
    let line = |(name, failure): &HealthCheck| match failure {
        None => format!("[+]{name} ok\n"),
        // One line each, even if the error contains several.
        Some(failure) => format!("[-]{name} failed: {}\n", failure.replace('\n', " ")),
    };
    let lines: String = checks.iter().chain(inventories).map(line).collect();
    let sweeps: String = sweeps.iter().map(due).collect();
    let verdict = if checks.iter().all(|(_, failure)| failure.is_none()) { "passed" } else { "failed" };
    format!("{lines}{sweeps}readyz check {verdict}\n")
}

/// When a kind is swept next. Sweeps that are too rare do not make the process unready.
fn due(sweeps: &SweepInfo) -> String {
    let kind = sweeps.kind;
    if sweeps.is_short() {
        format!("[-]sweep/{kind} failed: {sweeps}\n")
    } else {
        format!("[+]sweep/{kind} ok: {sweeps}\n")
    }
}

/// The recorded kinds without a first inventory. A kind whose list failed does not count once other kinds were listed,
/// or if the token lacks its scope: users who record a resource must not make this process unready.
fn not_listed(recorded: &BTreeSet<Kind>, snapshots: &[SnapshotInfo]) -> Vec<Kind> {
    let known = |kind: &Kind| snapshots.iter().find(|snapshot| snapshot.kind == *kind);
    let is_listed = |kind: &Kind| known(kind).is_some_and(|snapshot| snapshot.age.is_some());
    let is_any_listed = recorded.iter().any(is_listed);
    let was_in_vain = |kind: &Kind| {
        let failure = known(kind).and_then(|snapshot| snapshot.last_error.as_ref());
        failure.is_some_and(|failure| is_any_listed || failure.category.lacks_scope())
    };
    recorded.iter().filter(|kind| !is_listed(kind) && !was_in_vain(kind)).copied().collect()
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;
    use crate::{
        digitalocean::{ErrorCategory, SyncCategory, inventory::SyncFailure},
        drift,
        drift::{
            context::idle,
            pace::{Pace, Reason, Urgency},
        },
        kube_ext::leader::Leadership,
        process::Process,
        saga::controller,
    };

    /// Controllers that have not started, an API server that does not respond, and its last check.
    fn health(leadership: Leadership) -> (Health, watch::Sender<ApiServerState>) {
        let nobody =
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, kube::Error>>());
        health_with(kube::Client::new(nobody, "default"), leadership)
    }

    fn health_with(client: kube::Client, leadership: Leadership) -> (Health, watch::Sender<ApiServerState>) {
        let process = Process::new(client, leadership);
        let (context, cloud) = idle(process.clone());
        let settings =
            saga::SagaSettings { namespaces: Vec::new(), settle: Duration::from_mins(1), poll: Duration::from_secs(5) };
        let sagas = saga::SagaContext::new(process, cloud, reqwest::Client::new(), settings);
        let (answers, api_server) = watch::channel(ApiServerState { at: Instant::now(), trouble: None });
        (Health { context, sagas, api_server }, answers)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_ready_before_it_knows_what_there_is_nor_without_an_api_server() {
        let (health, answers) = health(Leadership::standby());
        let unready = || unready(&health).unwrap();
        assert_eq!(unready(), "listing the records and drifts");
        answers.send_replace(ApiServerState { at: Instant::now(), trouble: Some("it is away".to_owned()) });
        assert_eq!(unready(), "it is away");
        answers.send_replace(ApiServerState { at: Instant::now(), trouble: None });
        tokio::time::sleep(FRESH * 2).await;
        assert_eq!(unready(), "the API server was not checked recently");
        health.context.process.stop.cancel();
        assert_eq!(unready(), "stopping");
        assert_eq!(health.context.process.liveness.failure(), None, "and it lives");
    }

    /// Empty lists of all kinds, but of sagas only on demand; no events afterwards.
    fn api_server(sagas: watch::Receiver<bool>) -> kube::Client {
        let answer = move |request: Request<Body>| {
            let mut sagas = sagas.clone();
            async move {
                let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
                // Sagas that revert drifts are listed separately.
                if path.ends_with("/sagas") && !query.contains("labelSelector") {
                    sagas.wait_for(|come| *come).await.unwrap();
                }
                if query.contains("sendInitialEvents") {
                    let refused = serde_json::json!({ "kind": "Status", "code": 422, "reason": "Invalid" });
                    let body = Body::from(refused.to_string().into_bytes());
                    return Ok(Response::builder().status(422).body(body).unwrap());
                }
                if query.contains("watch=") {
                    return std::future::pending().await;
                }
                let list = serde_json::json!({ "metadata": { "resourceVersion": "1" }, "items": [] });
                Ok::<_, kube::Error>(Response::new(Body::from(list.to_string().into_bytes())))
            }
        };
        kube::Client::new(tower::service_fn(answer), "default")
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_ready_before_every_saga_is_known() {
        let (come, sagas) = watch::channel(false);
        let (health, _answers) = health_with(api_server(sagas), Leadership::standby());
        tokio::spawn(drift::controller::run(health.context.clone()));
        tokio::spawn(controller::run(health.sagas.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(unready(&health).unwrap(), "listing the sagas");
        come.send_replace(true);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(unready(&health), None);
    }

    #[test]
    fn each_check_is_listed_on_demand() {
        let check = |name: &str, failure: Option<&str>| (name.to_owned(), failure.map(str::to_owned));
        let why = "listing Volume: the token lacks\nblock_storage:read";
        let inventories = [check("inventory/Droplet", None), check("inventory/Volume", Some(why))];
        let passed = "[+]lease ok\n[+]inventory/Droplet ok\n[-]inventory/Volume failed: listing Volume: the token lacks \
                      block_storage:read\nreadyz check passed\n";
        assert_eq!(listed(&[check("lease", None)], &inventories, &[]), passed);
        let failed = "[-]sagas failed: listing the sagas\nreadyz check failed\n";
        assert_eq!(listed(&[check("sagas", Some("listing the sagas"))], &[], &[]), failed);
        let sweeps = |reason| {
            let pace = Pace { interval: Duration::from_secs(459), reason, urgency: Urgency::Quiet };
            let kind = Kind::named("Droplet").unwrap();
            let scheduled = Duration::from_mins(5);
            SweepInfo { kind, calls: 501, pace, due: Some(Duration::from_secs(9)), scheduled, calls_per_hour: 4500 }
        };
        let stretched = "[+]sweep/Droplet ok: due in 9 s, every 459 s instead of 300 s: a sweep takes 501 calls, and all \
                         sweeps may make 4500 in an hour\nreadyz check passed\n";
        assert_eq!(listed(&[], &[], &[sweeps(Reason::TokenLimit)]), stretched);
        let short = listed(&[], &[], &[sweeps(Reason::Shortage)]);
        assert!(
            short.starts_with("[-]sweep/Droplet failed: due in 9 s") && short.ends_with("check passed\n"),
            "{short}"
        );
    }

    #[test]
    fn a_kind_that_cannot_be_listed_does_not_make_unready_what_does_its_part() {
        let [droplet, volume] = ["Droplet", "Volume"].map(|kind| Kind::named(kind).unwrap());
        let listed =
            |kind| SnapshotInfo { kind, age: Some(Duration::ZERO), resources: 1, unrecorded: None, last_error: None };
        let failed = |kind, category| {
            let last_error = Some(SyncFailure { category: SyncCategory::Call(category), message: "listing it".into() });
            SnapshotInfo { kind, age: None, resources: 0, unrecorded: None, last_error }
        };
        let both = [droplet, volume];
        for (recorded, snapshots, missing) in [
            (&both[..], vec![], &both[..]),
            (&both[..1], vec![failed(droplet, ErrorCategory::Server)], &both[..1]),
            (
                &both[..],
                vec![failed(droplet, ErrorCategory::Unauthorized), failed(volume, ErrorCategory::Unauthorized)],
                &both[..],
            ),
            (&both[..], vec![listed(droplet)], &both[1..]),
            (&both[..], vec![listed(droplet), failed(volume, ErrorCategory::Server)], &[]),
            (&both[..1], vec![failed(droplet, ErrorCategory::Forbidden)], &[]),
            (
                &both[..],
                vec![failed(droplet, ErrorCategory::Server), failed(volume, ErrorCategory::Forbidden)],
                &both[..1],
            ),
            (&[], vec![], &[]),
        ] {
            let recorded = recorded.iter().copied().collect();
            assert_eq!(not_listed(&recorded, &snapshots), missing, "{recorded:?} {snapshots:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_live_until_a_loop_is_stuck() {
        let (health, answers) = health(Leadership::unelected());
        answers.send_replace(ApiServerState { at: Instant::now(), trouble: Some("it is away".to_owned()) });
        assert_eq!(health.not_live(), None);
        let pulse = health.context.process.liveness.enter("a worker", Duration::from_mins(1));
        pulse.begin();
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(health.not_live().unwrap(), "a worker has made no progress for 120 s");
    }
}
