//! The cache of all sagas, fed by a watch and by the operator's own writes, with their dependencies on each other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::{
    cached::{CachedSaga, intervention},
    state::condition,
    view::Intervention,
};
use crate::{
    api::{Saga, SagaKind, SagaPhase, conditions},
    digitalocean::Kind,
    kube_ext::{
        cache::{Cache, Tombstones},
        key::ObjectKey,
        watch::{WatchScope, is_in},
    },
};

/// The sagas of one kind in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InPhase {
    /// The number of sagas.
    pub count: usize,
    /// The start of the oldest saga that is active; none for sagas that have not started or have finished.
    pub since: Option<Timestamp>,
}

/// All sagas by kind and phase.
pub type Census = BTreeMap<(SagaKind, SagaPhase), InPhase>;

/// A concurrency key, and its namespace. A key that names a cloud resource counts in all namespaces.
type Group = (Option<Arc<str>>, Box<str>);

/// The cache of all sagas.
#[derive(Default)]
pub struct SagaIndex {
    sagas: HashMap<ObjectKey, CachedSaga>,
    /// The unfinished sagas with each concurrency key.
    groups: HashMap<Group, BTreeSet<ObjectKey>>,
    /// The sagas of kind rollback, by the saga that each undoes.
    undoing: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Sagas that are about to start; their journals do not show it yet.
    claims: HashSet<ObjectKey>,
    tombstones: Tombstones,
}

impl SagaIndex {
    /// The saga with this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<CachedSaga> {
        self.sagas.get(key).cloned()
    }

    /// Whether this version of a saga is known, or a later one.
    #[must_use]
    pub fn has(&self, object: &ObjectMeta) -> bool {
        self.sagas.get(&ObjectKey::named(object)).is_some_and(|known| !known.is_older_than(object))
    }

    /// The keys of all sagas.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.sagas.keys()
    }

    /// The saga that has to end, or to start, before this one may start. If there is none, this saga claims its
    /// concurrency key until [`SagaIndex::release`].
    pub fn claim(&mut self, key: &ObjectKey) -> Option<String> {
        let other = self.waits_for(key);
        if other.is_none() && self.whole(key).is_some_and(|saga| is_candidate(saga)) {
            self.claims.insert(key.clone());
        }
        other
    }

    /// Releases a claim: the saga has started, or does not start now. Returns the sagas to requeue.
    pub fn release(&mut self, key: &ObjectKey) -> Vec<ObjectKey> {
        if !self.claims.remove(key) {
            return Vec::new();
        }
        let waits = self.whole(key).filter(|saga| !saga.phase().is_active());
        waits.map(|saga| self.waiting(key, saga)).unwrap_or_default()
    }

    /// The saga, unless it is finished.
    fn whole(&self, key: &ObjectKey) -> Option<&Arc<Saga>> {
        self.sagas.get(key)?.whole()
    }

    fn waits_for(&self, key: &ObjectKey) -> Option<String> {
        let own = self.whole(key)?;
        let others = self.groups.get(&group(key, own)?)?;
        let others = others.iter().filter(|other| *other != key);
        let others = others.filter_map(|other| Some((self.whole(other)?, self.claims.contains(other))));
        let others = others.map(|(other, is_claimed)| (other.phase().is_active() || is_claimed, other));
        // A saga that holds the claim does not wait for older sagas.
        let gives_way = !self.claims.contains(key);
        let first = others
            .filter(|(is_active, other)| *is_active || (gives_way && is_candidate(other) && turn(other) < turn(own)))
            .min_by_key(|(is_active, other)| (!is_active, turn(other)))?;
        let (name, namespace) = (first.1.name_any(), first.1.namespace().unwrap_or_default());
        Some(if *namespace == *key.namespace { name } else { format!("{namespace}/{name}") })
    }

    /// The unfinished saga that undoes this one, or is about to.
    #[must_use]
    pub fn undoing(&self, key: &ObjectKey) -> Option<String> {
        self.undoing_sagas(key).find(|(_, saga)| !saga.phase().is_finished()).map(|(key, _)| key.name.to_string())
    }

    /// The sagas of kind rollback that name this one.
    fn undoing_sagas(&self, key: &ObjectKey) -> impl Iterator<Item = (&ObjectKey, &CachedSaga)> {
        let keys = self.undoing.get(key).into_iter().flatten();
        keys.filter_map(|key| self.sagas.get_key_value(key))
    }

    /// Another saga that has undone the same saga, or is undoing it. `uid` is the UID of the saga to undo.
    #[must_use]
    pub fn undone_by(&self, key: &ObjectKey, uid: &str) -> Option<String> {
        let author = author(key, self.sagas.get(key)?)?;
        let mut others = self.undoing_sagas(&author).filter(|(other, _)| *other != key);
        let counts = |saga: &CachedSaga| saga.phase() == SagaPhase::Succeeded || saga.phase().is_active();
        let (other, _) = others.find(|(_, saga)| counts(saga) && saga.undone_uid() == Some(uid))?;
        Some(other.name.to_string())
    }

    /// The census of all sagas.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::new();
        for saga in self.sagas.values() {
            let of_its_kind = census.entry((saga.kind(), saga.phase())).or_default();
            of_its_kind.count += 1;
            let since = saga.whole().and_then(|saga| since(saga));
            of_its_kind.since = of_its_kind.since.into_iter().chain(since).min();
        }
        census
    }

    /// Caches an object that this process has just written. Returns the sagas to requeue.
    pub fn learn_written(&mut self, saga: &Arc<Saga>, intervention: Option<Intervention>) -> Vec<ObjectKey> {
        if self.tombstones.is_buried(uid(saga)) {
            return Vec::new();
        }
        self.put(saga, intervention, || Arc::clone(saga))
    }

    /// Caches an object unless a newer version is cached. Returns the sagas to requeue.
    fn put(
        &mut self,
        saga: &Saga,
        intervention: Option<Intervention>,
        whole: impl FnOnce() -> Arc<Saga>,
    ) -> Vec<ObjectKey> {
        let key = ObjectKey::of(saga);
        if self.has(&saga.metadata) {
            return Vec::new();
        }
        // A new saga of the same name may have another concurrency key.
        let is_replaced = self.sagas.get(&key).is_some_and(|known| known.uid() != uid(saga));
        let was_in_the_way = self.whole(&key).is_some_and(|known| is_in_the_way(known));
        let replaced = is_replaced.then(|| self.remove(&key));
        let cached = CachedSaga::of(saga, intervention, whole);
        let is_finished = saga.phase().is_finished();
        if let Some(group) = group(&key, saga) {
            if is_finished {
                leave(&mut self.groups, &group, &key);
            } else {
                self.groups.entry(group).or_default().insert(key.clone());
            }
        }
        let author = author(&key, &cached);
        if let Some(author) = &author {
            self.undoing.entry(author.clone()).or_default().insert(key.clone());
        }
        let others = if was_in_the_way && !is_in_the_way(saga) { self.waiting(&key, saga) } else { Vec::new() };
        self.sagas.insert(key.clone(), cached);
        let undone = author.filter(|_| is_finished);
        others.into_iter().chain(replaced.into_iter().flatten()).chain(undone).chain([key]).collect()
    }

    fn remove(&mut self, key: &ObjectKey) -> Vec<ObjectKey> {
        let Some(known) = self.sagas.remove(key) else { return Vec::new() };
        let mut affected = Vec::new();
        if let Some(saga) = known.whole() {
            if let Some(group) = group(key, saga) {
                leave(&mut self.groups, &group, key);
            }
            affected = self.waiting(key, saga);
        }
        let author = author(key, &known);
        if let Some(author) = &author {
            leave(&mut self.undoing, author, key);
        }
        // It gets one more turn, which removes its remaining state.
        affected.into_iter().chain(author).chain([key.clone()]).collect()
    }

    /// The pending sagas with the same concurrency key.
    fn waiting(&self, key: &ObjectKey, saga: &Saga) -> Vec<ObjectKey> {
        let members = group(key, saga).and_then(|group| self.groups.get(&group));
        let others = members.into_iter().flatten().filter(|other| *other != key);
        let waits = |other: &&ObjectKey| self.whole(other).is_some_and(|known| known.phase() == SagaPhase::Pending);
        others.filter(waits).cloned().collect()
    }
}

impl Cache<Saga> for SagaIndex {
    fn tombstones(&mut self) -> &mut Tombstones {
        &mut self.tombstones
    }

    fn uids(&self, scope: &WatchScope) -> HashSet<Box<str>> {
        let sagas = self.sagas.iter().filter(|(key, _)| is_in(scope, &key.namespace));
        sagas.map(|(_, known)| known.uid().into()).collect()
    }

    fn apply(&mut self, saga: &Saga) -> Vec<ObjectKey> {
        self.put(saga, intervention(saga), || {
            let mut saga = saga.clone();
            saga.metadata.managed_fields = None;
            Arc::new(saga)
        })
    }

    fn delete(&mut self, saga: &Saga) -> Vec<ObjectKey> {
        let key = ObjectKey::of(saga);
        let is_known = self.sagas.get(&key).is_some_and(|known| known.uid() == uid(saga));
        if is_known { self.remove(&key) } else { Vec::new() }
    }

    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey> {
        let gone = self.sagas.iter().filter(|(_, known)| gone.contains(known.uid()));
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().flat_map(|key| self.remove(key)).collect()
    }
}

fn uid(saga: &Saga) -> &str {
    saga.metadata.uid.as_deref().unwrap_or_default()
}

/// The saga that it undoes.
fn author(key: &ObjectKey, saga: &CachedSaga) -> Option<ObjectKey> {
    Some(ObjectKey { namespace: key.namespace.clone(), name: saga.undone()?.into() })
}

/// Removes a member of a group, and the group after its last member.
fn leave<K: Eq + Hash>(groups: &mut HashMap<K, BTreeSet<ObjectKey>>, group: &K, member: &ObjectKey) {
    if let Some(members) = groups.get_mut(group) {
        members.remove(member);
        if members.is_empty() {
            groups.remove(group);
        }
    }
}

fn group(key: &ObjectKey, saga: &Saga) -> Option<Group> {
    let concurrency = saga.concurrency_key()?;
    let namespace = (!names_resource(concurrency)).then(|| key.namespace.clone());
    Some((namespace, concurrency.into()))
}

/// Returns true if a concurrency key is the kind and the id of a cloud resource, such as `Droplet/3164444`.
fn names_resource(concurrency: &str) -> bool {
    let parts = concurrency.split_once('/').and_then(|(kind, id)| Some((Kind::named(kind)?, id)));
    parts.is_some_and(|(kind, id)| kind.id_format().admits(id))
}

/// Returns true if other sagas with its key have to wait.
fn is_in_the_way(saga: &Saga) -> bool {
    saga.phase().is_active() || is_candidate(saga)
}

/// Returns true if it could start next.
fn is_candidate(saga: &Saga) -> bool {
    let would_end = saga.spec.cancel_requested || saga.metadata.deletion_timestamp.is_some();
    saga.phase() == SagaPhase::Pending && !saga.spec.suspend && !would_end
}

/// The time since which it has been active.
fn since(saga: &Saga) -> Option<Timestamp> {
    let status = saga.status.as_ref()?;
    let since = match status.phase {
        SagaPhase::Running | SagaPhase::RollingBack => status.started_at.as_ref()?,
        SagaPhase::Stuck => &condition(status, conditions::STALLED)?.last_transition_time,
        SagaPhase::Pending | SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed => return None,
    };
    Some(since.0)
}

/// The order of turns: oldest first.
fn turn(saga: &Saga) -> (Timestamp, String) {
    (saga.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0), saga.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

    fn saga(name: &str, created: i64, phase: &str, more: &Value) -> Saga {
        let mut object = json!({
            "apiVersion": "arcadia.cloud/v1alpha1",
            "kind": "Saga",
            "metadata": {
                "name": name, "namespace": "default", "uid": name, "resourceVersion": "1",
                "creationTimestamp": Timestamp::from_second(created).unwrap().to_string(),
            },
            "spec": { "kind": "test", "deploymentId": "dep-1" },
            "status": { "phase": phase },
        });
        for (key, value) in more.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn index(sagas: &[Saga]) -> SagaIndex {
        let mut index = SagaIndex::default();
        for saga in sagas {
            index.apply(saga);
        }
        index
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "default".into(), name: name.into() }
    }

    #[test]
    fn of_the_sagas_with_one_key_the_active_one_goes_first_and_then_the_oldest() {
        let none = json!({});
        let sagas = [saga("old", 1, "Pending", &none), saga("young", 2, "Pending", &none)];
        let mut index = index(&sagas);
        assert_eq!(index.waits_for(&key("old")), None);
        assert_eq!(index.waits_for(&key("young")), Some("old".into()));
        index.apply(&saga("active", 3, "Stuck", &none));
        assert_eq!(index.waits_for(&key("old")), Some("active".into()));
        assert_eq!(index.waits_for(&key("young")), Some("active".into()));
        let mut finished = saga("active", 3, "Failed", &none);
        finished.metadata.resource_version = Some("2".into());
        let affected: BTreeSet<_> = index.apply(&finished).into_iter().collect();
        assert_eq!(affected, BTreeSet::from(["active", "old", "young"].map(key)));
        assert_eq!(index.waits_for(&key("old")), None);
    }

    #[test]
    fn one_that_is_about_to_begin_is_waited_for() {
        let none = json!({});
        let mut index = index(&[saga("young", 2, "Pending", &none)]);
        assert_eq!(index.claim(&key("young")), None);
        index.apply(&saga("old", 1, "Pending", &none));
        assert_eq!(index.claim(&key("old")), Some("young".into()));
        assert_eq!(index.claim(&key("young")), None, "it does not give way any more");
        assert_eq!(index.release(&key("young")), [key("old")], "it did not begin after all");
        assert_eq!(index.claim(&key("old")), None);
        assert_eq!(index.claim(&key("young")), Some("old".into()));
        let mut begun = saga("old", 1, "Running", &none);
        begun.metadata.resource_version = Some("2".into());
        index.apply(&begun);
        assert!(index.release(&key("old")).is_empty(), "it is waited for until it ends");
    }

    #[test]
    fn one_that_is_undone_is_requeued_when_that_is_over() {
        let undo = |phase: &str, version: &str| {
            let mut saga = saga("undo", 2, phase, &json!({"kind": "rollback", "rollbackOf": {"name": "done"}}));
            saga.metadata.resource_version = Some(version.to_owned());
            saga
        };
        let mut index = index(&[saga("done", 1, "Succeeded", &json!({})), undo("RollingBack", "1")]);
        assert_eq!(index.undoing(&key("done")), Some("undo".into()));
        let mut begun = saga("begun", 3, "RollingBack", &json!({"kind": "rollback", "rollbackOf": {"name": "done"}}));
        begun.status.as_mut().unwrap().rollback_of_uid = Some("done".to_owned());
        index.apply(&begun);
        assert_eq!(index.undone_by(&key("undo"), "done"), Some("begun".into()));
        assert_eq!(index.undone_by(&key("undo"), "another of that name"), None);
        assert_eq!(index.undone_by(&key("begun"), "done"), None, "it does not wait for itself");
        index.delete(&begun);
        assert_eq!(index.undone_by(&key("undo"), "done"), None);
        assert!(index.apply(&undo("Succeeded", "2")).contains(&key("done")));
        assert_eq!(index.undoing(&key("done")), None);
        let gone: BTreeSet<_> = index.delete(&undo("Succeeded", "2")).into_iter().collect();
        assert_eq!(gone, BTreeSet::from(["done", "undo"].map(key)), "its last turn forgets it");
        assert!(index.undoing.is_empty());
    }

    #[test]
    fn other_keys_other_namespaces_and_suspended_sagas_block_no_saga() {
        let suspended = saga("suspended", 1, "Pending", &json!({"suspend": true}));
        let other = saga("other", 1, "Running", &json!({"concurrencyKey": "x"}));
        let mut elsewhere = saga("elsewhere", 1, "Running", &json!({}));
        elsewhere.metadata.namespace = Some("elsewhere".into());
        let index = index(&[suspended, other, elsewhere, saga("own", 2, "Pending", &json!({}))]);
        assert_eq!(index.waits_for(&key("own")), None);
    }

    #[test]
    fn a_key_that_names_a_resource_counts_in_all_namespaces() {
        let on_droplet = json!({"concurrencyKey": "Droplet/3164444"});
        let elsewhere = |name: &str, phase: &str, more: &Value| {
            let mut saga = saga(name, 1, phase, more);
            saga.metadata.namespace = Some("elsewhere".into());
            saga
        };
        let own = saga("own", 2, "Pending", &on_droplet);
        let mut index = index(&[elsewhere("other", "Running", &on_droplet), own]);
        assert_eq!(index.waits_for(&key("own")), Some("elsewhere/other".into()));
        let mut ended = elsewhere("other", "Succeeded", &on_droplet);
        ended.metadata.resource_version = Some("2".into());
        assert!(index.apply(&ended).contains(&key("own")), "it is requeued");
        assert_eq!(index.waits_for(&key("own")), None);
        // Another resource, and a key that is not a resource.
        for named in ["Droplet/1", "Drop/3164444", "Droplet/web-1", "Droplet"] {
            let mut index = SagaIndex::default();
            index.apply(&elsewhere("other", "Running", &json!({ "concurrencyKey": named })));
            index.apply(&saga("own", 2, "Pending", &json!({"concurrencyKey": "Droplet/web-1"})));
            assert_eq!(index.waits_for(&key("own")), None, "{named}");
        }
    }

    #[test]
    fn they_are_counted_by_kind_and_phase_with_the_time_of_the_first_that_is_not_over() {
        let begun = |name: &str, phase: &str, started: i64| {
            let mut saga = saga(name, 1, phase, &json!({}));
            let status = saga.status.as_mut().unwrap();
            status.started_at = Some(Time(Timestamp::from_second(started).unwrap()));
            let stalled = json!({"type": "Stalled", "status": "True", "reason": "UndoFailed", "message": "",
                                 "lastTransitionTime": Timestamp::from_second(started + 100).unwrap().to_string()});
            status.conditions.push(serde_json::from_value(stalled).unwrap());
            saga
        };
        let sagas = [
            saga("waits", 1, "Pending", &json!({})),
            begun("a", "Running", 50),
            begun("b", "Running", 40),
            begun("c", "Stuck", 60),
            begun("d", "Succeeded", 10),
        ];
        let at = |second: i64| Some(Timestamp::from_second(second).unwrap());
        let of = |phase, count, since| ((SagaKind::Test, phase), InPhase { count, since });
        let wanted = [
            of(SagaPhase::Pending, 1, None),
            of(SagaPhase::Running, 2, at(40)),
            of(SagaPhase::Succeeded, 1, None),
            of(SagaPhase::Stuck, 1, at(160)),
        ];
        assert_eq!(index(&sagas).census(), Census::from(wanted));
    }

    #[test]
    fn news_that_comes_late_changes_nothing() {
        let mut newer = saga("a", 1, "Running", &json!({}));
        newer.metadata.resource_version = Some("5".into());
        let mut index = index(&[newer]);
        assert!(index.apply(&saga("a", 1, "Pending", &json!({}))).is_empty());
        assert_eq!(index.get(&key("a")).unwrap().phase(), SagaPhase::Running);
    }

    #[test]
    fn an_active_saga_that_was_deleted_between_two_watches_blocks_no_saga() {
        let none = json!({});
        let mut active = saga("active", 1, "Running", &none);
        active.metadata.resource_version = Some("9".into());
        let mut index = index(&[active.clone(), saga("waits", 2, "Pending", &none)]);
        assert_eq!(index.waits_for(&key("waits")), Some("active".into()));
        index.take(&None, &Event::<Saga>::Init);
        index.take(&None, &Event::InitApply(saga("waits", 2, "Pending", &none)));
        assert!(index.take(&None, &Event::<Saga>::InitDone).contains(&key("waits")));
        assert_eq!(index.waits_for(&key("waits")), None);
        assert!(index.learn(&active).is_empty(), "an answer that comes late");
        assert_eq!(index.waits_for(&key("waits")), None);
    }

    #[test]
    fn a_saga_that_was_created_again_with_another_key_leaves_its_old_one() {
        let none = json!({});
        let mut index = index(&[saga("a", 1, "Running", &none), saga("waits", 2, "Pending", &none)]);
        let mut anew = saga("a", 3, "Running", &json!({"concurrencyKey": "x"}));
        anew.metadata.uid = Some("another".into());
        anew.metadata.resource_version = Some("2".into());
        let affected: BTreeSet<_> = index.apply(&anew).into_iter().collect();
        assert_eq!(affected, BTreeSet::from(["a", "waits"].map(key)));
        assert_eq!(index.waits_for(&key("waits")), None);
    }
}
