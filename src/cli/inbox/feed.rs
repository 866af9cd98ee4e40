//! The open drifts, kept up to date by a watch.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use kube::{ResourceExt as _, api::DynamicObject, runtime::watcher};
use tokio::time::{Instant, sleep_until};

use crate::cli::{
    Error,
    cluster::{Noun, PAGE, UserCluster},
    decide::OPEN,
    error::innermost,
};

/// The pause after a change before the list is returned: changes come in bursts.
const LULL: Duration = Duration::from_millis(300);

/// A watch of the open drifts.
pub(super) struct Feed {
    events: BoxStream<'static, watcher::Result<watcher::Event<DynamicObject>>>,
    drifts: BTreeMap<(Option<String>, String), DynamicObject>,
    is_complete: bool,
    /// The time at which the next list is returned.
    due: Option<Instant>,
}

impl Feed {
    /// The open drifts with these labels in the command's namespaces.
    pub(super) fn open(cluster: &UserCluster, labels: Option<&str>) -> Self {
        let config = watcher::Config::default().fields(OPEN).page_size(PAGE);
        let config = match labels {
            Some(labels) => config.labels(labels),
            None => config,
        };
        let events = watcher(cluster.scope(Noun::Drift), config).boxed();
        Self { events, drifts: BTreeMap::new(), is_complete: false, due: None }
    }

    /// The next list that differs from the last one; none at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<DynamicObject>>, Error> {
        loop {
            let due = self.due;
            let timer = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.try_next() => match event.map_err(|error| failed(&error))? {
                    Some(event) => self.take(event),
                    None => return Ok(None),
                },
                () = timer => {
                    self.due = None;
                    return Ok(Some(self.drifts.values().cloned().collect()));
                }
            }
        }
    }

    fn take(&mut self, event: watcher::Event<DynamicObject>) {
        let key = |object: &DynamicObject| (object.namespace(), object.name_any());
        match event {
            watcher::Event::Init => self.drifts.clear(),
            watcher::Event::InitDone => self.is_complete = true,
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                self.drifts.insert(key(&object), object);
            }
            watcher::Event::Delete(object) => {
                self.drifts.remove(&key(&object));
            }
        }
        if self.is_complete {
            self.due = self.due.or_else(|| Some(Instant::now() + LULL));
        }
    }
}

fn failed(error: &watcher::Error) -> Error {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.is_forbidden() =>
        {
            Error::Forbidden { doing: "watching drifts".to_owned(), message: status.message.clone() }
        }
        error => Error::Unusable { doing: "watching drifts".to_owned(), why: innermost(error) },
    }
}
