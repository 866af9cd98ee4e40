//! The sizes of droplets and their disks. A disk cannot be shrunk, so a droplet never gets a size with a smaller one.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::{Client, Endpoint, Error, document::str_at, observed::SizeDisks};
use crate::failpoint;

/// The maximum age of a list. DigitalOcean adds a size now and then.
const AGE: Duration = Duration::from_hours(1);
/// The pause after a failed list, or after one that was not awaited to its end.
const PAUSE: Duration = Duration::from_mins(1);

impl Client {
    /// The sizes of droplets, as the API shows them.
    ///
    /// # Errors
    /// If the list could not be read.
    pub async fn sizes(&self) -> Result<Vec<Value>, Error> {
        let sizes = Endpoint { route: "/v2/sizes", parent: None, id: None, scope: "sizes:read" };
        self.rows(sizes, "sizes", &[]).await
    }
}

/// The sizes, listed on demand.
#[derive(Default)]
pub(super) struct SizeBook {
    state: Mutex<State>,
    /// One list at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The last list, even if later ones failed: a size keeps its disk.
    known: Option<Arc<SizeDisks>>,
    /// The time before which no other list is made.
    until: Option<Instant>,
}

impl SizeBook {
    /// The last listed sizes.
    pub(super) fn known(&self) -> Option<Arc<SizeDisks>> {
        self.state.lock().known.clone()
    }

    /// Lists the sizes, unless the last list is recent. Only callers that know no sizes wait for the list of another.
    pub(super) async fn refresh(&self, client: &Client) {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) if self.state.lock().known.is_some() => return,
            Err(_) => self.turn.lock().await,
        };
        if !self.begin() {
            return;
        }
        let listed = client.sizes().await;
        let mut state = self.state.lock();
        let why = match listed {
            Ok(rows) => {
                let disk = |row: &Value| Some((str_at(row, "slug").to_owned(), row.get("disk")?.as_u64()?));
                let disks: Vec<_> = rows.iter().filter_map(disk).collect();
                if !disks.is_empty() {
                    state.known = Some(Arc::new(disks.into_iter().collect()));
                    state.until = Some(Instant::now() + AGE);
                    return;
                }
                "the list is empty".to_owned()
            }
            Err(error) => {
                if matches!(error, Error::Forbidden { .. }) {
                    state.until = Some(Instant::now() + AGE);
                }
                error.to_string()
            }
        };
        tracing::debug!(call = "GET /v2/sizes", why, "cannot list the sizes of droplets yet");
    }

    /// Returns true if a list is due. The caller may stop waiting for it, so the pause begins now.
    fn begin(&self) -> bool {
        let mut state = self.state.lock();
        let is_due = state.until.is_none_or(|until| Instant::now() >= until);
        if is_due {
            state.until = Some(Instant::now() + failpoint::limit("sizes-pause", PAUSE));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use serde_json::json;

    use super::*;
    use crate::digitalocean::fake::{Fake, FakeResponse};

    #[tokio::test(start_paused = true)]
    async fn a_list_is_made_at_most_once_an_hour_and_a_failed_or_empty_one_keeps_the_last() {
        let answer = Arc::new(Mutex::new((403, json!({"id": "forbidden", "message": "no"}))));
        let here = Arc::clone(&answer);
        let server = Fake::start(move |_| {
            let (status, body) = here.lock().clone();
            FakeResponse::json(status, &body)
        })
        .await;
        let (client, book) = (server.client(), SizeBook::default());
        let list = |sizes: Value| (200, json!({"sizes": sizes, "meta": {"total": 1}}));
        let forbidden = (403, json!({"id": "forbidden", "message": "no"}));
        let one = list(json!([{"slug": "S-1", "disk": 25}]));
        for (answers, pause, disk, calls) in [
            (forbidden.clone(), Duration::ZERO, None, 1),
            (one.clone(), PAUSE, None, 1),
            (list(json!([{"slug": "S-1"}])), AGE, None, 2),
            (one.clone(), PAUSE / 2, None, 2),
            (one, PAUSE, Some(25), 3),
            (forbidden.clone(), AGE / 2, Some(25), 3),
            (forbidden, AGE, Some(25), 4),
        ] {
            *answer.lock() = answers;
            tokio::time::advance(pause).await;
            book.refresh(&client).await;
            assert_eq!((book.known().and_then(|sizes| sizes.of("s-1")), server.asked().len()), (disk, calls));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_nobody_awaits_to_its_end_is_not_repeated_at_once() {
        let server = Fake::start(|_| FakeResponse::json(200, &json!({"sizes": [{"slug": "s-1", "disk": 25}]}))).await;
        let (client, book) = (server.client(), SizeBook::default());
        assert!(book.refresh(&client).now_or_never().is_none());
        book.refresh(&client).await;
        assert_eq!(book.known(), None);
        tokio::time::advance(PAUSE).await;
        book.refresh(&client).await;
        assert!(book.known().is_some());
    }
}
