//! The account's certificates by id: a renewed certificate gets another id and keeps its name.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Rows;
use super::document::str_at;
use super::{Client, Kind, Priority};

/// How long a list of certificates counts, and how long after a failed one the next is made.
const AGE: Duration = Duration::from_mins(1);
/// The number of vanished ids that are remembered.
const REMEMBERED: usize = 1_000;

/// The certificates of an account: names by id, also of certificates that are gone by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    present: BTreeMap<Arc<str>, Arc<str>>,
    gone: BTreeMap<Arc<str>, Arc<str>>,
    /// The ids of `gone`, the oldest first.
    order: VecDeque<Arc<str>>,
}

impl Certificates {
    /// The name of the certificate with this id, also where it is gone by now.
    #[must_use]
    pub fn name(&self, id: &str) -> Option<&str> {
        self.present.get(id).or_else(|| self.gone.get(id)).map(AsRef::as_ref)
    }

    /// Whether a certificate with this id exists.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.present.contains_key(id)
    }

    /// Whether a certificate with this name exists.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.present.values().any(|present| **present == *name)
    }

    /// The next list: ids that it lacks are remembered with their names.
    fn followed_by(&self, present: BTreeMap<Arc<str>, Arc<str>>) -> Self {
        let mut next = Self { present, gone: self.gone.clone(), order: self.order.clone() };
        for (id, name) in self.present.iter().filter(|(id, _)| !next.present.contains_key(*id)) {
            if next.gone.insert(Arc::clone(id), Arc::clone(name)).is_none() {
                next.order.push_back(Arc::clone(id));
            }
        }
        while next.order.len() > REMEMBERED {
            if let Some(oldest) = next.order.pop_front() {
                next.gone.remove(&oldest);
            }
        }
        next
    }
}

/// The certificates as last listed, and why there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) why_none: Option<Arc<str>>,
}

/// The certificates of the token's account, listed when they are needed.
#[derive(Default)]
pub(super) struct CertificateBook {
    state: Mutex<State>,
    /// One list at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    known: Known,
    /// What was listed last, also where listing failed since.
    last: Arc<Certificates>,
    /// When, and with which version of the token.
    listed: Option<(Instant, u64)>,
}

/// Takes ids and names from the rows of a list.
#[derive(Default)]
struct Names(BTreeMap<Arc<str>, Arc<str>>);

impl Rows for Names {
    fn begin(&mut self) {
        self.0.clear();
    }

    fn row(&mut self, id: &str, document: &str) {
        let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
        self.0.insert(id.into(), str_at(&document, "name").into());
    }
}

impl CertificateBook {
    /// The certificates as last listed.
    pub(super) fn known(&self) -> Known {
        self.state().known.clone()
    }

    /// Lists the certificates, unless the last list is young enough. The number of calls.
    pub(super) async fn refresh(&self, client: &Client, priority: Priority) -> usize {
        let _turn = self.turn.lock().await;
        let version = client.token_version();
        let is_young = |(at, of): (Instant, u64)| of == version && at.elapsed() < AGE;
        if self.state().listed.is_some_and(is_young) {
            return 0;
        }
        let Some(kind) = Kind::named("Certificate") else { return 0 };
        let mut names = Names::default();
        let outcome = client.list(kind, None, &mut names, priority).await;
        let mut state = self.state();
        if state.listed.is_some_and(|(_, of)| of != version) {
            // Maybe another account's: its certificates are no successors of these.
            state.last = Arc::default();
        }
        state.listed = Some((Instant::now(), version));
        match outcome {
            Ok(listed) => {
                let next = Arc::new(state.last.followed_by(names.0));
                state.last = Arc::clone(&next);
                state.known = Known { certificates: Some(next), why_none: None };
                listed.pages
            }
            Err(error) => {
                let why = format!("listing certificates: {error}");
                state.known = Known { certificates: None, why_none: Some(why.into()) };
                1
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;

    use super::*;
    use crate::digitalocean::fake::{Answer, Fake};

    fn listed(names: &[(&str, &str)]) -> BTreeMap<Arc<str>, Arc<str>> {
        names.iter().map(|(id, name)| ((*id).into(), (*name).into())).collect()
    }

    #[test]
    fn a_renewed_certificate_is_known_by_both_ids() {
        let before = Certificates::default().followed_by(listed(&[("1", "web"), ("2", "mail")]));
        let after = before.followed_by(listed(&[("3", "web"), ("2", "mail")]));
        assert_eq!((after.name("1"), after.name("3"), after.name("4")), (Some("web"), Some("web"), None));
        assert!(!after.has_id("1") && after.has_id("3") && after.has_name("web") && !after.has_name("other"));
    }

    #[test]
    fn vanished_ids_are_forgotten_the_oldest_first() {
        let mut certificates = Certificates::default().followed_by(listed(&[("first", "first")]));
        for number in 0..=REMEMBERED {
            let id = number.to_string();
            certificates = certificates.followed_by(listed(&[(&id, "x")]));
        }
        assert_eq!((certificates.gone.len(), certificates.order.len()), (REMEMBERED, REMEMBERED));
        assert_eq!((certificates.name("first"), certificates.name("0")), (None, Some("x")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_is_made_once_per_age_and_a_failure_is_a_reason() {
        let is_forbidden = Arc::new(AtomicBool::new(false));
        let here = Arc::clone(&is_forbidden);
        let server = Fake::start(move |_| {
            if here.load(Ordering::Relaxed) {
                return Answer::json(403, &json!({"id": "forbidden", "message": "no"}));
            }
            Answer::json(200, &json!({"certificates": [{"id": "1", "name": "web"}], "meta": {"total": 1}}))
        })
        .await;
        let (client, book) = (server.client(), CertificateBook::default());
        assert_eq!(
            (book.refresh(&client, Priority::Sweep).await, book.refresh(&client, Priority::Sweep).await),
            (1, 0)
        );
        assert_eq!(book.known().certificates.unwrap().name("1"), Some("web"));
        is_forbidden.store(true, Ordering::Relaxed);
        tokio::time::advance(AGE).await;
        book.refresh(&client, Priority::Sweep).await;
        let known = book.known();
        assert!(known.certificates.is_none() && known.why_none.unwrap().contains("certificate:read"));
        assert_eq!(server.asked().len(), 2);
        // It was there before.
        is_forbidden.store(false, Ordering::Relaxed);
        tokio::time::advance(AGE).await;
        book.refresh(&client, Priority::Sweep).await;
        assert_eq!(book.known().certificates.unwrap().name("1"), Some("web"));
    }
}
