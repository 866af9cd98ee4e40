//! Watches of all objects of one kind, in each watched namespace.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt};
use http::{Request, Uri, uri::PathAndQuery};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use super::{key::ObjectKey, undecoded::Undecoded};
use crate::liveness::Pulse;

/// The page size of a list from an API server that does not stream it. Whole objects are only held for a page at a time.
const PAGE: u32 = 250;

/// The scope of one watch: a namespace, or all of them.
pub(crate) type WatchScope = Option<Arc<str>>;

/// Returns true if this namespace is in a scope.
#[must_use]
pub(crate) fn is_in(scope: &WatchScope, namespace: &str) -> bool {
    scope.as_deref().is_none_or(|scope| scope == namespace)
}

/// The first lists of the watches of one kind, one per scope. Until they are complete, the cache misses objects.
pub(crate) struct FirstLists {
    scopes: BTreeSet<WatchScope>,
    selector: Option<&'static str>,
    missing: watch::Sender<BTreeSet<WatchScope>>,
}

impl FirstLists {
    /// The lists of these namespaces; one list of all if there are none.
    #[must_use]
    pub(crate) fn of(namespaces: &[String]) -> Self {
        let scopes = if namespaces.is_empty() {
            BTreeSet::from([None])
        } else {
            namespaces.iter().map(|namespace| Some(namespace.as_str().into())).collect()
        };
        Self { missing: watch::Sender::new(scopes.clone()), scopes, selector: None }
    }

    /// Only of the objects with this label.
    #[must_use]
    pub(crate) fn with_label(self, label: &'static str) -> Self {
        Self { selector: Some(label), ..self }
    }

    /// Returns true if all lists are complete.
    #[must_use]
    pub(crate) fn are_complete(&self) -> bool {
        self.missing.borrow().is_empty()
    }

    /// Waits until all lists are complete.
    pub(crate) async fn completed(&self) {
        // `self` holds the sender, so the channel stays open.
        let _ = self.missing.subscribe().wait_for(BTreeSet::is_empty).await;
    }

    /// Completes the list of a scope. Later lists of the same scope change nothing.
    fn complete(&self, scope: &WatchScope) {
        self.missing.send_if_modified(|missing| missing.remove(scope));
    }
}

/// A change that a watch shows.
enum WatchChange<K> {
    Event(Event<K>),
    /// The object with this metadata was deleted, and cannot be decoded.
    Gone(Box<ObjectMeta>),
}

/// Passes every event of these watches to `take`, one after the other, until the process ends. `lose` receives the
/// metadata of each deleted object that cannot be decoded. Changes to versions that are known are left out: the
/// responses to the operator's own writes showed them. Between two batches of events it waits for the time that `rest`
/// returns.
pub(crate) async fn follow<K>(
    client: &Client,
    lists: &FirstLists,
    pulse: Pulse,
    is_known: impl Fn(&ObjectMeta) -> bool,
    rest: impl Fn() -> Option<Duration>,
    mut take: impl FnMut(&WatchScope, &Event<K>),
    mut lose: impl FnMut(&ObjectMeta),
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let mut events = objects(client, &lists.scopes, lists.selector, &is_known);
    loop {
        let ready = events.next().now_or_never();
        if ready.is_none()
            && let Some(pause) = rest()
        {
            sleep(pause).await;
        }
        let next = if let Some(next) = ready { next } else { events.next().await };
        let Some((scope, change)) = next else { return };
        pulse.begin();
        match change {
            WatchChange::Event(event) => {
                take(&scope, &event);
                if matches!(event, Event::InitDone) {
                    lists.complete(&scope);
                }
            }
            WatchChange::Gone(metadata) => lose(&metadata),
        }
        pulse.rest();
    }
}

/// The changes of one watch per scope.
fn objects<'f, K, F>(
    client: &Client,
    scopes: &BTreeSet<WatchScope>,
    selector: Option<&'static str>,
    is_known: &'f F,
) -> impl Stream<Item = (WatchScope, WatchChange<K>)> + Unpin + use<'f, K, F>
where
    F: Fn(&ObjectMeta) -> bool,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let watches = scopes.iter().cloned().map(|scope| {
        let api = match &scope {
            None => Api::<Undecoded<K>>::all(client.clone()),
            Some(namespace) => Api::namespaced(client.clone(), namespace),
        };
        let config = watcher::Config::default();
        let config = selector.map_or(config.clone(), |label| config.labels(label));
        let events = streamed_or_in_pages(api, config);
        Box::pin(events.filter_map(move |event| {
            std::future::ready(readable(event, is_known).map(|change| (scope.clone(), change)))
        }))
    });
    futures::stream::select_all(watches)
}

/// The events of one watch. The API server streams the first list, or it is read in pages from a server that cannot.
///
/// Later lists are always read in pages: kube reports the begin of a streamed list only after its request, so objects
/// that this process created in between would count as deleted. Before the first list it creates none.
fn streamed_or_in_pages<K>(
    api: Api<Undecoded<K>>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<Undecoded<K>>>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let in_pages = watcher(api.clone(), config.clone().page_size(PAGE)).default_backoff();
    let streamed = watcher(api, config.streaming_lists()).default_backoff();
    let mut is_first = true;
    let continues = move |event: &watcher::Result<Event<_>>| {
        let continues = match event {
            Ok(Event::Init) => std::mem::replace(&mut is_first, false),
            Ok(_) => true,
            Err(error) => {
                let is_refused = refuses_to_stream(error);
                if is_refused {
                    info!(watch = %K::kind(&()), "the API server does not stream lists; listing in pages");
                }
                !is_refused
            }
        };
        std::future::ready(continues)
    };
    streamed.take_while(continues).chain(in_pages)
}

/// Whether the API server validated the request and has no streaming lists.
fn refuses_to_stream(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.is_invalid())
}

/// The same request, with a streamed list as recent as a list in pages. kube requests one of any age, and an older list
/// would lack objects that this process has just created.
pub(super) fn with_recent_list<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = recent(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// None if the request is for no streamed list.
fn recent(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.contains("sendInitialEvents=true"))?;
    let kept: Vec<_> = query.split('&').filter(|pair| *pair != "resourceVersion=0").collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{}?{}", uri.path(), kept.join("&"))).ok()?);
    Uri::from_parts(parts).ok()
}

/// Drops versions that are known, and objects that cannot be decoded; a broken object must not block the others. A
/// deletion needs no decoding.
fn readable<K>(
    event: watcher::Result<Event<Undecoded<K>>>,
    is_known: impl Fn(&ObjectMeta) -> bool,
) -> Option<WatchChange<K>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let kind = K::kind(&());
    let (event, object): (fn(K) -> Event<K>, _) = match event {
        Err(error) => {
            warn!(watch = %kind, %error, "the watch failed; retrying");
            return None;
        }
        Ok(Event::Init) => return Some(WatchChange::Event(Event::Init)),
        Ok(Event::InitDone) => return Some(WatchChange::Event(Event::InitDone)),
        Ok(Event::InitApply(object)) => (Event::InitApply, object),
        Ok(Event::Apply(object)) if is_known(object.meta()) => return None,
        Ok(Event::Apply(object)) => (Event::Apply, object),
        Ok(Event::Delete(object)) => {
            return Some(match object.decode() {
                Ok(object) => WatchChange::Event(Event::Delete(object)),
                Err(_) => WatchChange::Gone(Box::new(object.meta().clone())),
            });
        }
    };
    match object.decode() {
        Ok(object) => Some(WatchChange::Event(event(object))),
        Err(error) => {
            let object = format!("{kind} {}", ObjectKey::of(&object));
            warn!(object, %error, "decoding the object failed; apply the definitions of this version");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_namespace_that_is_listed_twice_does_not_stand_for_another() {
        let lists = FirstLists::of(&["a", "b", "b"].map(str::to_owned));
        lists.complete(&Some("a".into()));
        lists.complete(&Some("a".into()));
        assert!(!lists.are_complete(), "b was not listed");
        lists.complete(&Some("b".into()));
        assert!(lists.are_complete());
        lists.completed().await;
    }

    /// An API server that streams lists or does not, with one object, and the requests that it had.
    async fn first_events(streams: bool, count: usize) -> (Vec<String>, Vec<&'static str>) {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let answer = move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            seen.lock().push(query.clone());
            async move {
                let object = json!({ "metadata": { "name": "a", "resourceVersion": "7" } });
                let (code, body) = if query.contains("sendInitialEvents") && streams {
                    let end = json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": {
                        "resourceVersion": "7", "annotations": { "k8s.io/initial-events-end": "true" } } });
                    let gone = json!({ "kind": "Status", "code": 410, "message": "too old", "reason": "Expired" });
                    let events = [("ADDED", &object), ("BOOKMARK", &end), ("ERROR", &gone)];
                    // In the order of the API server.
                    let line = |(kind, object)| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
                    (200, events.map(line).concat())
                } else if query.contains("sendInitialEvents") {
                    let message =
                        "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
                    let status = json!({ "kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422,
                        "message": message });
                    (422, status.to_string())
                } else if query.contains("watch=") {
                    return std::future::pending().await;
                } else {
                    (200, json!({ "metadata": { "resourceVersion": "7" }, "items": [object] }).to_string())
                };
                let body = Body::from(body.into_bytes());
                Ok::<_, kube::Error>(Response::builder().status(code).body(body).unwrap())
            }
        };
        let client = Client::new(tower::service_fn(answer), "default");
        let events = objects::<ConfigMap, _>(&client, &BTreeSet::from([None]), None, &|_| false);
        let names = events.take(count).map(|(_, change)| match change {
            WatchChange::Event(Event::Init) => "init",
            WatchChange::Event(Event::InitApply(_)) => "object",
            WatchChange::Event(Event::InitDone) => "done",
            _ => "other",
        });
        let names = names.collect().await;
        let requests = requests.lock().clone();
        (requests, names)
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_streamed_or_read_in_pages_where_the_api_server_cannot() {
        let (requests, events) = first_events(true, 3).await;
        assert_eq!((requests.len(), events), (1, vec!["init", "object", "done"]), "{requests:?}");
        let (requests, events) = first_events(false, 3).await;
        assert_eq!(events, ["init", "object", "done"]);
        assert!(requests.len() == 2 && requests[1].contains("limit=250"), "{requests:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_after_the_first_is_read_in_pages() {
        let (requests, events) = first_events(true, 6).await;
        assert_eq!(events, ["init", "object", "done"].repeat(2));
        assert!(requests.last().unwrap().contains("limit=250"), "its begin is known before its request: {requests:?}");
    }

    #[test]
    fn the_deletion_of_an_object_that_cannot_be_decoded_is_passed_on() {
        let text = r#"{"metadata": {"name": "a", "uid": "1", "resourceVersion": "7"}, "data": 7}"#;
        let broken: Undecoded<ConfigMap> = serde_json::from_str(text).unwrap();
        let change = |event| readable(Ok(event), |_| false);
        assert!(change(Event::Apply(broken.clone())).is_none());
        let Some(WatchChange::Gone(gone)) = change(Event::Delete(broken)) else { panic!("it is passed on") };
        assert_eq!((gone.name.as_deref(), gone.uid.as_deref()), (Some("a"), Some("1")));
    }

    #[test]
    fn a_streamed_list_is_as_recent_as_one_in_pages() {
        let query = |uri: &str| with_recent_list(Request::get(uri).body(()).unwrap()).uri().to_string();
        let streamed = "https://api/apis/x?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(query(&format!("{streamed}&resourceVersion=0")), streamed);
        let other = "/apis/x?watch=true&resourceVersion=0";
        assert_eq!(query(other), other);
    }

    #[test]
    fn without_namespaces_one_list_has_all() {
        let lists = FirstLists::of(&[]);
        assert!(!lists.are_complete());
        lists.complete(&None);
        assert!(lists.are_complete());
    }
}
