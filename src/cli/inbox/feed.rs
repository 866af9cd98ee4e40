//! The open drifts, kept up to date by a watch that survives a lost connection.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use kube::{
    ResourceExt as _,
    api::DynamicObject,
    core::Status,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::time::{Instant, sleep_until};

use crate::cli::{
    Error,
    cluster::{Noun, PAGE, UserCluster},
    decide::OPEN,
    error::innermost,
};

/// The pause after a change before the list is returned: changes come in bursts.
const LULL: Duration = Duration::from_millis(300);
/// The code of an API server that no longer has the version from which a watch continues.
const GONE: u16 = 410;

/// A watch of the open drifts.
pub(super) struct Feed {
    events: BoxStream<'static, watcher::Result<watcher::Event<DynamicObject>>>,
    drifts: BTreeMap<(Option<String>, String), DynamicObject>,
    is_complete: bool,
    is_lost: bool,
    /// The time at which the next list is returned.
    due: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum News {
    /// The open drifts now.
    Drifts(Vec<DynamicObject>),
    /// The connection was lost, for this reason; the watch is started again.
    Lost(String),
}

impl Feed {
    /// The open drifts with these labels in the command's namespaces.
    pub(super) fn open(cluster: &UserCluster, labels: Option<&str>) -> Self {
        let config = watcher::Config::default().fields(OPEN).page_size(PAGE);
        let config = match labels {
            Some(labels) => config.labels(labels),
            None => config,
        };
        Self::of(watcher(cluster.scope(Noun::Drift), config).default_backoff().boxed())
    }

    fn of(events: BoxStream<'static, watcher::Result<watcher::Event<DynamicObject>>>) -> Self {
        Self { events, drifts: BTreeMap::new(), is_complete: false, is_lost: false, due: None }
    }

    /// The next list that differs from the last one, or the loss of the connection; none at the end. Cancel safe.
    ///
    /// # Errors
    /// If the first list fails, or the API server refuses the watch.
    pub(super) async fn next(&mut self) -> Result<Option<News>, Error> {
        loop {
            let due = self.due;
            let timer = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.next() => match event {
                    Some(Ok(event)) => self.take(event),
                    Some(Err(error)) => if let Some(why) = self.lost(&error)? {
                        return Ok(Some(News::Lost(why)));
                    },
                    None => return Ok(None),
                },
                () = timer => {
                    self.due = None;
                    return Ok(Some(News::Drifts(self.drifts.values().cloned().collect())));
                }
            }
        }
    }

    fn take(&mut self, event: watcher::Event<DynamicObject>) {
        let key = |object: &DynamicObject| (object.namespace(), object.name_any());
        match event {
            watcher::Event::Init => {
                self.drifts.clear();
                self.is_complete = false;
                self.due = None;
            }
            watcher::Event::InitDone => {
                self.is_complete = true;
                self.is_lost = false;
            }
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

    /// The reason why the connection was lost, once; none if the watch only starts again.
    fn lost(&mut self, error: &watcher::Error) -> Result<Option<String>, Error> {
        let doing = || "watching drifts".to_owned();
        let why = innermost(error);
        let has_list = self.is_complete || self.is_lost;
        match status(error) {
            Some(status) if status.is_forbidden() => {
                return Err(Error::Forbidden { doing: doing(), message: status.message.clone() });
            }
            Some(status) if status.code == GONE => return Ok(None),
            Some(status) if status.code == 404 => return Err(Error::NotInstalled { doing: doing() }),
            Some(status) if status.code < 500 && status.code != 429 => {
                return Err(Error::Unusable { doing: doing(), why: status.message.clone() });
            }
            _ if !has_list => return Err(Error::Unusable { doing: doing(), why }),
            _ => {}
        }
        let is_new = !std::mem::replace(&mut self.is_lost, true);
        Ok(is_new.then_some(why))
    }
}

/// The answer of the API server, if it is the error.
fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::object;

    fn failed(code: u16) -> watcher::Result<watcher::Event<DynamicObject>> {
        let status = Status { code, reason: String::new(), message: "no".to_owned(), ..Status::default() };
        Err(watcher::Error::WatchError(Box::new(status)))
    }

    fn listed(record: &str) -> Vec<watcher::Result<watcher::Event<DynamicObject>>> {
        let object = object(record, &json!({}));
        vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitApply(object)), Ok(watcher::Event::InitDone)]
    }

    /// All news of these events. The stream ends after a pause, so that the last list is returned.
    async fn news(events: Vec<watcher::Result<watcher::Event<DynamicObject>>>) -> Result<Vec<String>, Error> {
        let pause = stream::once(async {
            tokio::time::sleep(LULL * 2).await;
            failed(GONE)
        });
        let paused = |event| {
            stream::once(async { event }).chain(stream::once(async {
                tokio::time::sleep(LULL * 2).await;
                failed(GONE)
            }))
        };
        let mut feed = Feed::of(stream::iter(events).flat_map(paused).chain(pause).boxed());
        let mut all = Vec::new();
        while let Some(news) = feed.next().await? {
            all.push(match news {
                News::Drifts(drifts) => drifts.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>().join(","),
                News::Lost(why) => format!("lost: {why}"),
            });
        }
        Ok(all)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_told_once_and_the_list_is_read_again() {
        let mut events = listed("web-1");
        events.extend([failed(503), failed(503), failed(GONE)]);
        events.extend(listed("web-2"));
        let news = news(events).await.unwrap();
        assert_eq!(news.len(), 3, "{news:?}");
        assert!(
            news[0].starts_with("web-1-") && news[1].starts_with("lost: ") && news[2].starts_with("web-2-"),
            "{news:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_and_a_failure_before_the_first_list_end_the_feed() {
        for code in [401, 403, 404, 503] {
            assert!(news(vec![failed(code)]).await.is_err(), "{code}");
        }
        for code in [401, 403, 404] {
            let mut events = listed("web-1");
            events.push(failed(code));
            assert!(news(events).await.is_err(), "{code}");
        }
    }
}
