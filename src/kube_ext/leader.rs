//! Leader election: of all replicas, only the holder of the Lease acts.
//!
//! The protocol is client-go's. The holder renews a `coordination.k8s.io/v1` Lease. A candidate takes it over after
//! seeing it unchanged for the lease duration, by the candidate's own clock, so that clocks need not agree. Every write
//! is a `replace` bound to the version that was read, so one of two candidates is refused. The holder stops well before
//! others may take over, counted from before the renewal was sent. The library `k8s-controller` does not expose the
//! remaining validity of the lease, which [`super::fence`] needs before it sends anything.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tracing::{error, info, warn};

use crate::{api::OPERATOR, telemetry::metrics::whole};

/// The exit code after losing the lease.
pub const LOST_LEASE: u8 = 3;

/// The lease duration: other candidates wait this long after the last renewal.
const LEASE: Duration = Duration::from_secs(10);
/// The validity of the lease for its holder, from the last renewal that got a response. The rest is for running calls.
const GOOD_FOR: Duration = Duration::from_secs(7);
/// The interval of renewals.
const RENEW: Duration = Duration::from_secs(2);
/// The interval of reads by candidates, and of retries by the holder. One small read: a released lease is taken
/// quickly.
const LOOK: Duration = Duration::from_millis(500);
/// The timeout of one try; the lease outlasts two of them.
const TRY: Duration = Duration::from_secs(3);

/// The leadership of this process, shared by all of its parts.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Sender<State>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the lease, with the error of the last read.
    Standby { trouble: Option<String> },
    /// Holds the lease until then; without an end if there is no election.
    Leading { until: Option<Instant> },
    /// Has released the lease.
    Released,
}

/// The requests that may be sent to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedRequests {
    /// All requests.
    Write,
    /// Reads only.
    Read,
    /// None: the lease was released.
    Nothing,
    /// None, and the process must end: another process may lead now.
    Lost,
}

impl Leadership {
    /// The leadership of a process that takes part in the election.
    #[must_use]
    pub fn standby() -> Self {
        Self(watch::Sender::new(State::Standby { trouble: None }))
    }

    /// The leadership of a single replica without election.
    #[must_use]
    pub fn unelected() -> Self {
        Self(watch::Sender::new(State::Leading { until: None }))
    }

    /// Returns true if this process leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(*self.0.borrow(), State::Leading { .. })
    }

    /// Registers the gauge with its current value.
    pub fn register_gauge(&self, registry: &mut Registry) {
        let help = "1 in the replica that holds the lease, 0 in a standby";
        registry.register("leader", help, whole(self.is_leader().into()));
    }

    /// The error of the last read of the lease, if any.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.borrow() {
            State::Standby { trouble } => trouble.clone(),
            State::Leading { .. } | State::Released => None,
        }
    }

    /// Waits until this process leads.
    pub async fn acquired(&self) {
        // `self` holds the sender, so the channel stays open.
        let _ = self.0.subscribe().wait_for(|state| matches!(state, State::Leading { .. })).await;
    }

    /// The requests that may be sent now.
    #[must_use]
    pub fn permit(&self) -> AllowedRequests {
        match *self.0.borrow() {
            State::Leading { until: None } => AllowedRequests::Write,
            State::Leading { until: Some(until) } if Instant::now() < until => AllowedRequests::Write,
            State::Standby { .. } => AllowedRequests::Read,
            State::Leading { .. } => AllowedRequests::Lost,
            State::Released => AllowedRequests::Nothing,
        }
    }

    fn set(&self, state: State) {
        self.0.send_replace(state);
    }
}

/// The reason why the lease is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It was not renewed in time: another process may hold it now.
    Expired,
    /// Another process holds it.
    Taken(String),
    /// The Lease was deleted.
    Deleted,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => write!(formatter, "not renewed for {} s", GOOD_FOR.as_secs()),
            Self::Taken(holder) => write!(formatter, "{holder} holds it"),
            Self::Deleted => formatter.write_str("the Lease was deleted"),
        }
    }
}

/// Ends the process at once, with all running work.
pub fn end(lost: &Lost) -> ! {
    error!(lease = OPERATOR, why = %lost, "lost the lease; this process exits, since another replica may be active");
    std::process::exit(i32::from(LOST_LEASE))
}

/// A candidate for the lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    leases: Api<Lease>,
    identity: String,
    leadership: Leadership,
    note: LeaseNote,
}

/// A text in an annotation of the Lease, for the next leader. A new leader reads it, and each renewal writes it. A person
/// who removes the annotation clears the text.
#[derive(Clone, Debug)]
pub struct LeaseNote {
    annotation: &'static str,
    text: Arc<Mutex<Option<String>>>,
    /// The text in the Lease, as far as this process read or wrote it.
    stored: Arc<Mutex<Option<String>>>,
}

impl LeaseNote {
    /// The text is shared with its user.
    #[must_use]
    pub fn new(annotation: &'static str, text: Arc<Mutex<Option<String>>>) -> Self {
        Self { annotation, text, stored: Arc::default() }
    }

    fn of(&self, lease: &ObjectMeta) -> Option<String> {
        lease.annotations.as_ref()?.get(self.annotation).cloned()
    }

    /// Takes the text of an earlier leader.
    fn read(&self, lease: &ObjectMeta) {
        let stored = self.of(lease);
        self.text.lock().clone_from(&stored);
        *self.stored.lock() = stored;
    }

    /// Adds the text to a Lease that is about to be written, and returns it.
    fn add(&self, lease: &mut ObjectMeta) -> Option<String> {
        let mut text = self.text.lock();
        if self.of(lease).is_none() && self.stored.lock().is_some() {
            *text = None;
        }
        if let Some(text) = text.as_ref() {
            lease.annotations.get_or_insert_default().insert(self.annotation.to_owned(), text.clone());
        }
        text.clone()
    }
}

/// A lease of another holder, and the time since which it is unchanged.
type ObservedLease = Option<(LeaseSpec, Instant)>;

impl Candidate {
    /// `client` must not retry. The identity is the name of the pod or machine with a random suffix, so that no process
    /// mistakes another's lease for its own.
    #[must_use]
    pub fn new(client: Client, namespace: &str, leadership: Leadership, note: LeaseNote) -> Self {
        let pod = std::env::var("POD_NAME").ok().filter(|name| !name.is_empty());
        let machine =
            || hostname::get().map_or_else(|_| OPERATOR.to_owned(), |name| name.to_string_lossy().into_owned());
        let identity = format!("{}_{:016x}", pod.unwrap_or_else(machine), rand::random::<u64>());
        Self { leases: Api::namespaced(client, namespace), identity, leadership, note }
    }

    /// Waits for the lease, and then renews it until it is lost.
    pub async fn stand(&self) -> Lost {
        let sent = self.acquire().await;
        self.hold(sent).await
    }

    /// The time at which the successful request was sent.
    async fn acquire(&self) -> Instant {
        info!(lease = OPERATOR, identity = self.identity, "standing by for the lease");
        let mut seen = None;
        let mut complaint = None;
        loop {
            let sent = Instant::now();
            let trouble = match timeout(TRY, self.try_acquire(&mut seen)).await {
                Ok(Ok(true)) => {
                    info!(lease = OPERATOR, identity = self.identity, "acquired the lease");
                    self.leadership.set(State::Leading { until: Some(sent + GOOD_FOR) });
                    return sent;
                }
                Ok(Ok(false)) => None,
                Ok(Err(error)) => Some(error_message(&error)),
                Err(_) => Some(format!("no response within {} s", TRY.as_secs())),
            };
            // Logged once per error, not for every read.
            if let Some(trouble) = trouble.as_ref().filter(|_| complaint != trouble) {
                warn!(lease = OPERATOR, error = trouble, "reading the lease failed; retrying");
            }
            complaint.clone_from(&trouble);
            self.leadership.set(State::Standby { trouble });
            sleep(LOOK.mul_f64(rand::random_range(0.8..1.2))).await;
        }
    }

    /// Takes the lease if it is free.
    async fn try_acquire(&self, seen: &mut ObservedLease) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(OPERATOR).await? else {
            let metadata = ObjectMeta { name: Some(OPERATOR.to_owned()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.renewed(&LeaseSpec::default())) };
            return won(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.take().unwrap_or_default();
        if !self.is_free(&spec, seen) {
            return Ok(false);
        }
        lease.spec = Some(self.renewed(&spec));
        self.note.read(&lease.metadata);
        won(self.leases.replace(OPERATOR, &PostParams::default(), &lease).await)
    }

    /// Returns true if the lease is free: released, acquired by a lost response, or unchanged for too long.
    fn is_free(&self, spec: &LeaseSpec, seen: &mut ObservedLease) -> bool {
        // client-go releases with an empty name.
        let Some(holder) = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty()) else { return true };
        if holder == self.identity {
            return true;
        }
        match seen {
            // The holder's own duration counts, since it may be another version of the operator.
            Some((last, since)) if last == spec => since.elapsed() >= duration(spec),
            _ => {
                *seen = Some((spec.clone(), Instant::now()));
                false
            }
        }
    }

    /// Renews the lease until it is lost. `renewed` is the time at which the last successful request was sent: other
    /// candidates may see the renewal before its response arrives here.
    async fn hold(&self, mut renewed: Instant) -> Lost {
        let mut next = renewed + RENEW;
        loop {
            let until = renewed + GOOD_FOR;
            sleep_until(next.min(until)).await;
            let sent = Instant::now();
            if sent >= until {
                return Lost::Expired;
            }
            match timeout_at(until.min(sent + TRY), self.renew()).await {
                Ok(Ok(None)) => {
                    renewed = sent;
                    self.leadership.set(State::Leading { until: Some(renewed + GOOD_FOR) });
                    next = sent + RENEW;
                    continue;
                }
                Ok(Ok(Some(lost))) => return lost,
                Ok(Err(error)) => warn!(lease = OPERATOR, error = error_message(&error), "renewing the lease failed"),
                Err(_) => warn!(lease = OPERATOR, "renewing the lease failed: no response in time"),
            }
            next = Instant::now() + LOOK;
        }
    }

    /// None if it was renewed.
    async fn renew(&self) -> Result<Option<Lost>, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(OPERATOR).await? else { return Ok(Some(Lost::Deleted)) };
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder != self.identity {
            return Ok(Some(Lost::Taken(if holder.is_empty() { "nobody" } else { holder }.to_owned())));
        }
        lease.spec = Some(self.renewed(&spec));
        let noted = self.note.add(&mut lease.metadata);
        self.leases.replace(OPERATOR, &PostParams::default(), &lease).await?;
        *self.note.stored.lock() = noted;
        Ok(None)
    }

    /// Releases the lease, so that the next leader need not wait for its end. Call it after all work is done, when
    /// [`Self::stand`] is no longer polled.
    pub async fn release(&self) {
        self.leadership.set(State::Released);
        // Even if this process never led: the response to acquiring the lease may have been lost.
        match timeout(TRY, self.try_release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(lease = OPERATOR, error = error_message(&error), "releasing the lease failed"),
            Err(_) => warn!(lease = OPERATOR, "releasing the lease failed: no response in time"),
        }
    }

    async fn try_release(&self) -> Result<(), kube::Error> {
        loop {
            let Some(mut lease) = self.leases.get_opt(OPERATOR).await? else { return Ok(()) };
            let ours = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity));
            let Some(spec) = ours else { return Ok(()) };
            *spec = LeaseSpec { lease_transitions: spec.lease_transitions, ..LeaseSpec::default() };
            // A renewal in flight may have changed the version.
            let written = self.leases.replace(OPERATOR, &PostParams::default(), &lease).await;
            if won(written)? {
                info!(lease = OPERATOR, identity = self.identity, "released the lease");
                return Ok(());
            }
        }
    }

    /// The lease with this candidate as its holder, renewed now.
    fn renewed(&self, last: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let is_ours = last.holder_identity.as_ref() == Some(&self.identity);
        let is_new = last.renew_time.is_none() && last.lease_transitions.is_none();
        let transitions = last.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: last.acquire_time.clone().filter(|_| is_ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if is_ours || is_new { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }
}

fn duration(spec: &LeaseSpec) -> Duration {
    spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(LEASE, Duration::from_secs)
}

/// Returns true if a write succeeded; false after a conflict.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

fn error_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::{Method, Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// An API server with one lease or none that may stop responding.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Stored>>);

    #[derive(Default)]
    struct Stored {
        lease: Option<Lease>,
        version: u64,
        writes: usize,
        silent: bool,
    }

    impl Server {
        fn candidate(&self) -> Candidate {
            let server = self.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect_bytes().await?;
                    let is_silent = server.0.lock().unwrap().silent;
                    if is_silent {
                        std::future::pending::<()>().await;
                    }
                    let (status, answer) = server.answer(&parts.method, &body);
                    let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                    Ok::<_, kube::Error>(Response::builder().status(status).body(answer).unwrap())
                }
            });
            let note = LeaseNote::new("arcadia.cloud/account", Arc::default());
            Candidate::new(Client::new(service, "default"), "default", Leadership::standby(), note)
        }

        fn answer(&self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
            let mut stored = self.0.lock().unwrap();
            let refused = |status: StatusCode, reason: &str| {
                let answer = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                                     "message": "refused", "reason": reason, "code": status.as_u16() });
                (status, answer)
            };
            if *method == Method::GET {
                return match &stored.lease {
                    Some(lease) => (StatusCode::OK, json!(lease)),
                    None => refused(StatusCode::NOT_FOUND, "NotFound"),
                };
            }
            let mut lease: Lease = serde_json::from_slice(body).unwrap();
            let known = stored.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
            if lease.metadata.resource_version != known {
                return refused(StatusCode::CONFLICT, "Conflict");
            }
            stored.version += 1;
            stored.writes += 1;
            lease.metadata.resource_version = Some(stored.version.to_string());
            stored.lease = Some(lease.clone());
            (StatusCode::OK, json!(lease))
        }

        fn spec(&self) -> LeaseSpec {
            self.0.lock().unwrap().lease.clone().unwrap().spec.unwrap()
        }

        fn writes(&self) -> usize {
            self.0.lock().unwrap().writes
        }

        fn silence(&self, silent: bool) {
            self.0.lock().unwrap().silent = silent;
        }
    }

    fn stand(candidate: &Candidate) -> tokio::task::JoinHandle<Lost> {
        let candidate = candidate.clone();
        tokio::spawn(async move { candidate.stand().await })
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_holds_it_for_as_long_as_it_lives_and_the_second_takes_over_when_it_does_not() {
        let server = Server::default();
        let [first, second] = [server.candidate(), server.candidate()];
        let running = stand(&first);
        first.leadership.acquired().await;
        let waiting = stand(&second);
        sleep(LEASE * 10).await;
        assert_eq!(first.leadership.permit(), AllowedRequests::Write);
        assert_eq!(second.leadership.permit(), AllowedRequests::Read);
        assert!(!running.is_finished() && !waiting.is_finished());

        let spec = server.spec();
        assert_eq!(spec.holder_identity.as_ref(), Some(&first.identity));
        assert_eq!(spec.lease_transitions, Some(0));
        running.abort();
        let died = Instant::now();
        second.leadership.acquired().await;
        let took = died.elapsed();
        assert!(took + RENEW >= LEASE && took <= LEASE + LOOK * 2, "{took:?}");
        assert_eq!(server.spec().lease_transitions, Some(1));
        assert_eq!(first.leadership.permit(), AllowedRequests::Lost, "and that by its own clock");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_leader_knows_the_note_of_the_last_one_and_a_person_can_remove_it() {
        let server = Server::default();
        let note = || server.0.lock().unwrap().lease.clone().unwrap().metadata.annotations.unwrap_or_default();
        let [first, second] = [server.candidate(), server.candidate()];
        let running = stand(&first);
        first.leadership.acquired().await;
        assert!(note().is_empty());
        *first.note.text.lock() = Some("team".to_owned());
        sleep(RENEW * 2).await;
        assert_eq!(note()["arcadia.cloud/account"], "team");
        running.abort();
        let _running = stand(&second);
        second.leadership.acquired().await;
        assert_eq!(second.note.text.lock().as_deref(), Some("team"));
        sleep(RENEW * 2).await;
        assert_eq!(note()["arcadia.cloud/account"], "team");
        {
            let mut stored = server.0.lock().unwrap();
            stored.lease.as_mut().unwrap().metadata.annotations = None;
        }
        sleep(RENEW * 2).await;
        assert_eq!((second.note.text.lock().clone(), note().len()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_given_back_is_taken_at_once() {
        let server = Server::default();
        let [first, second] = [server.candidate(), server.candidate()];
        let running = stand(&first);
        first.leadership.acquired().await;
        let _waiting = stand(&second);
        sleep(LEASE).await;
        running.abort();
        let _ = running.await;
        first.release().await;
        assert_eq!(first.leadership.permit(), AllowedRequests::Nothing);
        let released = Instant::now();
        second.leadership.acquired().await;
        assert!(released.elapsed() < Duration::from_secs(1), "{:?}", released.elapsed());
        assert_eq!(server.spec().lease_transitions, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_holder_releases_the_lease() {
        let server = Server::default();
        let [first, second] = [server.candidate(), server.candidate()];
        let _running = stand(&first);
        first.leadership.acquired().await;
        second.release().await;
        assert_eq!(server.spec().holder_identity, Some(first.identity));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_want_it_one_gets_it() {
        let server = Server::default();
        let candidates: Vec<_> = (0..20).map(|_| server.candidate()).collect();
        let _standing: Vec<_> = candidates.iter().map(stand).collect();
        sleep(LEASE).await;
        assert_eq!(candidates.iter().filter(|candidate| candidate.leadership.is_leader()).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_costs_the_lease_before_others_may_have_it() {
        let server = Server::default();
        let first = server.candidate();
        let running = stand(&first);
        first.leadership.acquired().await;
        let acquired = Instant::now();
        server.silence(true);
        let lost = running.await.unwrap();
        assert_eq!((lost, acquired.elapsed()), (Lost::Expired, GOOD_FOR));
        assert_eq!(first.leadership.permit(), AllowedRequests::Lost);
        assert_eq!(server.writes(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_silence_costs_nothing() {
        let server = Server::default();
        let first = server.candidate();
        let running = stand(&first);
        first.leadership.acquired().await;
        for _ in 0..5 {
            server.silence(true);
            sleep(TRY).await;
            server.silence(false);
            sleep(TRY).await;
            assert_eq!(first.leadership.permit(), AllowedRequests::Write);
        }
        assert!(!running.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_taken_or_deleted_is_lost() {
        let server = Server::default();
        let first = server.candidate();
        let running = stand(&first);
        first.leadership.acquired().await;
        server.0.lock().unwrap().lease.as_mut().unwrap().spec.as_mut().unwrap().holder_identity = Some("other".into());
        assert_eq!(running.await.unwrap(), Lost::Taken("other".into()));

        let server = Server::default();
        let first = server.candidate();
        let running = stand(&first);
        first.leadership.acquired().await;
        server.0.lock().unwrap().lease = None;
        assert_eq!(running.await.unwrap(), Lost::Deleted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_paused_for_longer_than_its_lease_writes_nothing_more() {
        let server = Server::default();
        let first = server.candidate();
        let running = stand(&first);
        first.leadership.acquired().await;
        let writes = server.writes();
        tokio::time::advance(LEASE).await;
        assert_eq!(first.leadership.permit(), AllowedRequests::Lost, "before anything else has run");
        assert_eq!(running.await.unwrap(), Lost::Expired);
        assert_eq!(server.writes(), writes, "nor did it renew a lease that others may count as run out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_of_another_version_is_left_its_own_time() {
        let server = Server::default();
        let second = server.candidate();
        let spec = LeaseSpec {
            holder_identity: Some("other".to_owned()),
            lease_duration_seconds: Some(60),
            ..LeaseSpec::default()
        };
        server.0.lock().unwrap().lease = Some(Lease { spec: Some(spec), ..Lease::default() });
        let _waiting = stand(&second);
        sleep(Duration::from_secs(59)).await;
        assert!(!second.leadership.is_leader());
        sleep(Duration::from_secs(2)).await;
        assert!(second.leadership.is_leader());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_of_the_lease_is_reported_until_it_is_over() {
        let server = Server::default();
        server.silence(true);
        let first = server.candidate();
        let _running = stand(&first);
        sleep(TRY * 2).await;
        assert_eq!(first.leadership.trouble().unwrap(), "no response within 3 s");
        server.silence(false);
        first.leadership.acquired().await;
        assert_eq!(first.leadership.trouble(), None);
    }
}
