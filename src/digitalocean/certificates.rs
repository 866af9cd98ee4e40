//! The account's certificates by id: a renewed certificate gets a new id and keeps its name.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{Client, Kind, Priority, budget::PriorityTurns, document::str_at, lists::Rows, observed::Certificates};

/// The maximum age of a list of certificates, and the pause after a failed list.
const AGE: Duration = Duration::from_mins(1);
/// The number of removed ids that are remembered.
const REMEMBERED: usize = 1_000;

/// Names by id.
type Names = BTreeMap<Arc<str>, Arc<str>>;

/// The certificates of the last list, and those that were removed since.
#[derive(Clone, Debug, Default)]
struct ListedCertificates {
    present: Names,
    gone: Names,
    /// The ids of `gone`, oldest first.
    order: VecDeque<Arc<str>>,
}

impl ListedCertificates {
    /// Applies the next list: removed ids are remembered with their names.
    fn take(&mut self, present: Names) {
        for (id, name) in std::mem::replace(&mut self.present, present) {
            if !self.present.contains_key(&id) && self.gone.insert(Arc::clone(&id), name).is_none() {
                self.order.push_back(id);
            }
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.gone.remove(&oldest);
            }
        }
    }

    fn certificates(&self) -> Certificates {
        let all = self.gone.iter().chain(&self.present);
        all.map(|(id, name)| (Arc::clone(id), Arc::clone(name))).collect()
    }
}

/// The last listed certificates, and the reason if they are unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KnownCertificates {
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) why_none: Option<Arc<str>>,
}

/// The certificates of the token's account, listed on demand.
#[derive(Default)]
pub(super) struct CertificateBook {
    state: Mutex<State>,
    turns: PriorityTurns,
}

#[derive(Default)]
struct State {
    known: KnownCertificates,
    /// The last list, even if later ones failed.
    last: ListedCertificates,
    /// The time of the last list, and the version of its token.
    listed: Option<(Instant, u64)>,
}

/// Collects ids and names from the rows of a list.
#[derive(Default)]
struct NamesOf(Names);

impl Rows for NamesOf {
    fn begin(&mut self) {
        self.0.clear();
    }

    fn row(&mut self, id: &str, document: &str) {
        let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
        self.0.insert(id.into(), str_at(&document, "name").into());
    }
}

impl CertificateBook {
    /// The last listed certificates.
    pub(super) fn known(&self) -> KnownCertificates {
        self.state().known.clone()
    }

    /// Lists the certificates, unless the last list is recent. Returns the number of calls.
    pub(super) async fn refresh(&self, client: &Client, priority: Priority) -> usize {
        let _turn = self.turns.take(priority).await;
        let version = client.token_version();
        let is_young = |(at, of): (Instant, u64)| of == version && at.elapsed() < AGE;
        if self.state().listed.is_some_and(is_young) {
            return 0;
        }
        let Some(kind) = Kind::named("Certificate") else { return 0 };
        let mut names = NamesOf::default();
        let outcome = client.list(kind, None, &mut names, priority).await;
        let mut state = self.state();
        if outcome.is_err() && state.listed.is_some_and(is_young) {
            // A list of the other priority succeeded meanwhile.
            return 1;
        }
        if state.listed.is_some_and(|(_, of)| of != version) {
            // It may be another account, whose certificates do not replace these.
            state.last = ListedCertificates::default();
        }
        state.listed = Some((Instant::now(), version));
        match outcome {
            Ok(listed) => {
                state.last.take(names.0);
                let certificates = Some(Arc::new(state.last.certificates()));
                state.known = KnownCertificates { certificates, why_none: None };
                listed.pages
            }
            Err(error) => {
                let why = format!("listing certificates: {error}");
                state.known = KnownCertificates { certificates: None, why_none: Some(why.into()) };
                1
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;

    use super::*;
    use crate::digitalocean::fake::{Fake, FakeResponse};

    fn names(names: &[(&str, &str)]) -> Names {
        names.iter().map(|(id, name)| ((*id).into(), (*name).into())).collect()
    }

    #[test]
    fn a_renewed_certificate_is_known_by_both_ids() {
        let mut listed = ListedCertificates::default();
        listed.take(names(&[("1", "web"), ("2", "mail")]));
        listed.take(names(&[("3", "web"), ("2", "mail")]));
        let certificates = listed.certificates();
        let name_of = |id| certificates.name_of(id);
        assert_eq!((name_of("1"), name_of("3"), name_of("4")), (Some("web"), Some("web"), None));
    }

    #[test]
    fn vanished_ids_are_forgotten_the_oldest_first() {
        let mut listed = ListedCertificates::default();
        listed.take(names(&[("first", "first")]));
        for number in 0..=REMEMBERED {
            listed.take(names(&[(&number.to_string(), "x")]));
        }
        assert_eq!((listed.gone.len(), listed.order.len()), (REMEMBERED, REMEMBERED));
        let certificates = listed.certificates();
        assert_eq!((certificates.name_of("first"), certificates.name_of("0")), (None, Some("x")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_is_made_once_per_age_and_a_failure_is_a_reason() {
        let is_forbidden = Arc::new(AtomicBool::new(false));
        let here = Arc::clone(&is_forbidden);
        let server = Fake::start(move |_| {
            if here.load(Ordering::Relaxed) {
                return FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}));
            }
            FakeResponse::json(200, &json!({"certificates": [{"id": "1", "name": "web"}], "meta": {"total": 1}}))
        })
        .await;
        let (client, book) = (server.client(), CertificateBook::default());
        assert_eq!(
            (book.refresh(&client, Priority::Sweep).await, book.refresh(&client, Priority::Sweep).await),
            (1, 0)
        );
        assert_eq!(book.known().certificates.unwrap().name_of("1"), Some("web"));
        is_forbidden.store(true, Ordering::Relaxed);
        tokio::time::advance(AGE).await;
        book.refresh(&client, Priority::Sweep).await;
        let known = book.known();
        assert!(known.certificates.is_none() && known.why_none.unwrap().contains("certificate:read"));
        assert_eq!(server.asked().len(), 2);
        // The scope was missing before.
        is_forbidden.store(false, Ordering::Relaxed);
        tokio::time::advance(AGE).await;
        book.refresh(&client, Priority::Sweep).await;
        assert_eq!(book.known().certificates.unwrap().name_of("1"), Some("web"));
    }
}
