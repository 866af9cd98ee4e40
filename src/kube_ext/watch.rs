//! Watches of all objects of one kind, in each watched namespace.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::warn;

use super::{key::ObjectKey, undecoded::Undecoded};
use crate::liveness::Pulse;

/// The page size of a list. Whole objects are only held for a page at a time.
const PAGE: u32 = 250;

/// The scope of one watch: a namespace, or all of them.
pub type Scope = Option<Arc<str>>;

/// Whether this namespace is in a scope.
#[must_use]
pub fn is_in(scope: &Scope, namespace: &str) -> bool {
    scope.as_deref().is_none_or(|scope| scope == namespace)
}

/// The first lists of the watches of one kind, one per scope. Until they are complete, the cache misses objects.
pub struct FirstLists {
    scopes: BTreeSet<Scope>,
    selector: Option<&'static str>,
    missing: watch::Sender<BTreeSet<Scope>>,
}

impl FirstLists {
    /// The lists of these namespaces; one list of all if there are none.
    #[must_use]
    pub fn of(namespaces: &[String]) -> Self {
        let scopes = if namespaces.is_empty() {
            BTreeSet::from([None])
        } else {
            namespaces.iter().map(|namespace| Some(namespace.as_str().into())).collect()
        };
        Self { missing: watch::Sender::new(scopes.clone()), scopes, selector: None }
    }

    /// Only of the objects with this label.
    #[must_use]
    pub fn with_label(self, label: &'static str) -> Self {
        Self { selector: Some(label), ..self }
    }

    /// Whether all lists are complete.
    #[must_use]
    pub fn are_complete(&self) -> bool {
        self.missing.borrow().is_empty()
    }

    /// Waits until all lists are complete.
    pub async fn completed(&self) {
        // `self` holds the sender, so the channel stays open.
        let _ = self.missing.subscribe().wait_for(BTreeSet::is_empty).await;
    }

    /// Completes the list of a scope. Later lists of the same scope change nothing.
    fn complete(&self, scope: &Scope) {
        self.missing.send_if_modified(|missing| missing.remove(scope));
    }
}

/// Passes every event of these watches to `take`, one after the other, until the process ends. Changes to versions that
/// are known are left out: the responses to the operator's own writes showed them.
pub async fn follow<K>(
    client: &Client,
    lists: &FirstLists,
    pulse: Pulse,
    is_known: impl Fn(&ObjectKey, &str) -> bool,
    mut take: impl FnMut(&Scope, &Event<K>),
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let mut events = objects(client, &lists.scopes, lists.selector, &is_known);
    while let Some((scope, event)) = events.next().await {
        pulse.begin();
        take(&scope, &event);
        if matches!(event, Event::InitDone) {
            lists.complete(&scope);
        }
        pulse.rest();
    }
}

/// The events of one watch per scope.
fn objects<'f, K, F>(
    client: &Client,
    scopes: &BTreeSet<Scope>,
    selector: Option<&'static str>,
    is_known: &'f F,
) -> impl Stream<Item = (Scope, Event<K>)> + Unpin + use<'f, K, F>
where
    F: Fn(&ObjectKey, &str) -> bool,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let watches =
        scopes.iter().cloned().map(|scope| {
            let api = match &scope {
                None => Api::<Undecoded<K>>::all(client.clone()),
                Some(namespace) => Api::namespaced(client.clone(), namespace),
            };
            let config = watcher::Config::default().page_size(PAGE);
            let config = selector.map_or(config.clone(), |label| config.labels(label));
            let events = watcher(api, config).default_backoff();
            Box::pin(events.filter_map(move |event| {
                std::future::ready(readable(event, is_known).map(|event| (scope.clone(), event)))
            }))
        });
    futures::stream::select_all(watches)
}

/// Drops versions that are known, and objects that cannot be decoded; a broken object must not block the others.
fn readable<K>(
    event: watcher::Result<Event<Undecoded<K>>>,
    is_known: impl Fn(&ObjectKey, &str) -> bool,
) -> Option<Event<K>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let kind = K::kind(&());
    let (event, object): (fn(K) -> Event<K>, _) = match event {
        Err(error) => {
            warn!(watch = %kind, %error, "the watch failed; retrying");
            return None;
        }
        Ok(Event::Init) => return Some(Event::Init),
        Ok(Event::InitDone) => return Some(Event::InitDone),
        Ok(Event::InitApply(object)) => (Event::InitApply, object),
        Ok(Event::Apply(object)) if is_known(&ObjectKey::of(&object), object.resource_version()) => return None,
        Ok(Event::Apply(object)) => (Event::Apply, object),
        Ok(Event::Delete(object)) => (Event::Delete, object),
    };
    match object.decode() {
        Ok(object) => Some(event(object)),
        Err(error) => {
            let object = format!("{kind} {}", ObjectKey::of(&object));
            warn!(object, %error, "decoding the object failed; apply the definitions of this version");
            None
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn without_namespaces_one_list_has_all() {
        let lists = FirstLists::of(&[]);
        assert!(!lists.are_complete());
        lists.complete(&None);
        assert!(lists.are_complete());
    }
}
