//! The sizes of droplets and their disks. A disk cannot be shrunk, so a droplet never gets a size with a smaller one.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::{Client, Endpoint, document::str_at, observed::SizeDisks};

/// The maximum age of a list. DigitalOcean adds a size now and then.
const AGE: Duration = Duration::from_hours(24);
/// The pause after a failed list.
const PAUSE: Duration = Duration::from_mins(1);

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

    /// Lists the sizes, unless the last list is recent.
    pub(super) async fn refresh(&self, client: &Client) {
        let _turn = self.turn.lock().await;
        if self.state.lock().until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let sizes = Endpoint { route: "/v2/sizes", parent: None, id: None, scope: "sizes:read" };
        let listed = client.rows(sizes, "sizes", &[]).await;
        let mut state = self.state.lock();
        match listed {
            Ok(rows) => {
                let disk = |row: &Value| Some((str_at(row, "slug").to_owned(), row.get("disk")?.as_u64()?));
                state.known = Some(Arc::new(rows.iter().filter_map(disk).collect()));
                state.until = Some(Instant::now() + AGE);
            }
            Err(error) => {
                tracing::debug!(call = "GET /v2/sizes", %error, "cannot list the sizes of droplets yet");
                state.until = Some(Instant::now() + PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;

    use super::*;
    use crate::digitalocean::fake::{Fake, FakeResponse};

    #[tokio::test(start_paused = true)]
    async fn the_list_is_made_once_a_day_and_a_failed_one_keeps_the_last() {
        let is_forbidden = Arc::new(AtomicBool::new(true));
        let here = Arc::clone(&is_forbidden);
        let server = Fake::start(move |_| {
            if here.load(Ordering::Relaxed) {
                return FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}));
            }
            FakeResponse::json(200, &json!({"sizes": [{"slug": "S-1", "disk": 25}], "meta": {"total": 1}}))
        })
        .await;
        let (client, book) = (server.client(), SizeBook::default());
        for (is_denied, pause, disk, calls) in [
            (true, Duration::ZERO, None, 1),
            (false, PAUSE / 2, None, 1),
            (false, PAUSE, Some(25), 2),
            (false, AGE / 2, Some(25), 2),
            (true, AGE, Some(25), 3),
        ] {
            is_forbidden.store(is_denied, Ordering::Relaxed);
            tokio::time::advance(pause).await;
            book.refresh(&client).await;
            assert_eq!((book.known().and_then(|sizes| sizes.of("s-1")), server.asked().len()), (disk, calls));
        }
    }
}
