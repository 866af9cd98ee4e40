//! A cache of all objects of one kind: fed by the events of a watch, by new lists, and by the responses to the
//! process's own writes, which may arrive late.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, runtime::watcher::Event};
use tokio::time::Instant;

use super::{call, key::ObjectKey, watch::WatchScope};

/// The time for which a deletion is remembered. Responses to writes arrive within the timeout of a call.
const REMEMBERED: Duration = call::LIMIT.saturating_mul(4);

/// A cache of the objects of one kind. Its methods return the work that a change causes.
pub trait Cache<K: Resource> {
    /// The tombstones of deleted objects, and the state of lists in progress.
    fn tombstones(&mut self) -> &mut Tombstones;
    /// The UIDs of all cached objects in a scope.
    fn uids(&self, scope: &WatchScope) -> HashSet<Box<str>>;
    /// Caches a version of an object. Versions may arrive late, and from several sources.
    fn apply(&mut self, object: &K) -> Vec<ObjectKey>;
    /// Removes a deleted object.
    fn delete(&mut self, object: &K) -> Vec<ObjectKey>;
    /// Removes the objects with these UIDs, which were deleted between two watches.
    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey>;

    /// Applies an event of a watch.
    fn take(&mut self, scope: &WatchScope, event: &Event<K>) -> Vec<ObjectKey> {
        match event {
            // The list is only requested after this.
            Event::Init => {
                let known = self.uids(scope);
                self.tombstones().start(scope, known);
                Vec::new()
            }
            Event::InitApply(object) => {
                self.tombstones().saw(scope, uid(object));
                self.apply(object)
            }
            Event::InitDone => {
                let gone = self.tombstones().finish(scope);
                self.purge(&gone)
            }
            Event::Apply(object) => self.apply(object),
            Event::Delete(object) => {
                self.tombstones().bury(uid(object));
                self.delete(object)
            }
        }
    }

    /// Removes a deleted object that cannot be decoded.
    fn delete_undecoded(&mut self, metadata: &ObjectMeta) -> Vec<ObjectKey> {
        let uid = metadata.uid.as_deref().unwrap_or_default();
        self.tombstones().bury(uid);
        self.purge(&HashSet::from([uid.into()]))
    }

    /// Applies the response to a write of this process. The watch may have reported the object's deletion already, and
    /// would not report it again.
    fn learn(&mut self, written: &K) -> Vec<ObjectKey> {
        if self.tombstones().is_buried(uid(written)) { Vec::new() } else { self.apply(written) }
    }
}

fn uid(object: &impl Resource) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

/// The tombstones of recently deleted objects, and the state of lists in progress.
#[derive(Default)]
pub struct Tombstones {
    /// The UIDs that were cached when the list of a scope started, and that it has not returned so far. Objects created
    /// since are not among them: the list may lack them, and the watch that follows returns them.
    missing: HashMap<WatchScope, HashSet<Box<str>>>,
    deleted: HashSet<Box<str>>,
    /// The same, in the order in which they expire.
    forgotten_at: VecDeque<(Instant, Box<str>)>,
}

impl Tombstones {
    /// Starts a list, with the cached UIDs. A cached object that the list lacks was deleted, even with a newer version: the
    /// list is later.
    fn start(&mut self, scope: &WatchScope, known: HashSet<Box<str>>) {
        self.missing.insert(scope.clone(), known);
    }

    fn saw(&mut self, scope: &WatchScope, uid: &str) {
        if let Some(missing) = self.missing.get_mut(scope) {
            missing.remove(uid);
        }
    }

    /// Completes the list. Returns the UIDs that it lacks.
    fn finish(&mut self, scope: &WatchScope) -> HashSet<Box<str>> {
        let gone = self.missing.remove(scope).unwrap_or_default();
        for uid in &gone {
            self.bury(uid);
        }
        gone
    }

    fn bury(&mut self, uid: &str) {
        let now = Instant::now();
        while self.forgotten_at.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, uid)) = self.forgotten_at.pop_front() {
                self.deleted.remove(&uid);
            }
        }
        if self.deleted.insert(uid.into()) {
            self.forgotten_at.push_back((now + REMEMBERED, uid.into()));
        }
    }

    /// Whether the object with this UID was deleted.
    pub(crate) fn is_buried(&self, uid: &str) -> bool {
        self.deleted.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;
    use proptest::prelude::*;

    use super::*;
    use crate::kube_ext::version::Version;

    /// A minimal cache: UID and version by name.
    #[derive(Default)]
    struct Kept {
        tombstones: Tombstones,
        objects: BTreeMap<ObjectKey, (String, u64)>,
    }

    impl Cache<ConfigMap> for Kept {
        fn tombstones(&mut self) -> &mut Tombstones {
            &mut self.tombstones
        }

        fn uids(&self, _: &WatchScope) -> HashSet<Box<str>> {
            self.objects.values().map(|(uid, _)| uid.as_str().into()).collect()
        }

        fn apply(&mut self, object: &ConfigMap) -> Vec<ObjectKey> {
            let version = object.metadata.resource_version.as_deref().unwrap();
            let key = ObjectKey::of(object);
            let number = version.parse().unwrap();
            if self.objects.get(&key).is_none_or(|(_, known)| Version::from(version).is_newer(&Version::Number(*known)))
            {
                self.objects.insert(key, (uid(object).to_owned(), number));
            }
            Vec::new()
        }

        fn delete(&mut self, object: &ConfigMap) -> Vec<ObjectKey> {
            self.purge(&HashSet::from([uid(object).into()]))
        }

        fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey> {
            self.objects.retain(|_, (uid, _)| !gone.contains(uid.as_str()));
            Vec::new()
        }
    }

    fn object(name: &str, uid: &str, version: u64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.uid = Some(uid.to_owned());
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    fn list(kept: &mut Kept, objects: &[ConfigMap]) {
        kept.take(&None, &Event::Init);
        for object in objects {
            kept.take(&None, &Event::InitApply(object.clone()));
        }
        kept.take(&None, &Event::InitDone);
    }

    fn names(kept: &Kept) -> Vec<&str> {
        kept.objects.keys().map(|key| key.name.as_ref()).collect()
    }

    #[test]
    fn what_a_new_list_lacks_is_gone_however_new_it_was() {
        let mut kept = Kept::default();
        list(&mut kept, &[object("a", "1", 7), object("b", "2", 9)]);
        list(&mut kept, &[object("a", "1", 7)]);
        assert_eq!(names(&kept), ["a"]);
        list(&mut kept, &[]);
        assert_eq!(names(&kept), [""; 0]);
    }

    #[test]
    fn what_was_made_while_a_list_is_read_stays() {
        let mut kept = Kept::default();
        kept.take(&None, &Event::Init);
        kept.learn(&object("a", "1", 5));
        kept.take(&None, &Event::InitDone);
        assert_eq!(names(&kept), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_after_the_deletion_brings_nothing_back() {
        let mut kept = Kept::default();
        list(&mut kept, &[object("a", "1", 5), object("b", "2", 6)]);
        kept.take(&None, &Event::Delete(object("a", "1", 9)));
        list(&mut kept, &[]);
        tokio::time::advance(call::LIMIT).await;
        kept.learn(&object("a", "1", 8));
        kept.learn(&object("b", "2", 7));
        assert_eq!(names(&kept), [""; 0]);
        kept.learn(&object("a", "3", 10));
        assert_eq!(names(&kept), ["a"], "another one of the same name");
        tokio::time::advance(REMEMBERED).await;
        kept.take(&None, &Event::Delete(object("a", "3", 11)));
        assert_eq!(kept.tombstones.deleted.len(), 1, "the others are forgotten");
    }

    #[test]
    fn a_deleted_object_that_cannot_be_decoded_is_gone() {
        let mut kept = Kept::default();
        list(&mut kept, &[object("a", "1", 5), object("b", "2", 6)]);
        kept.delete_undecoded(&object("a", "1", 9).metadata);
        kept.learn(&object("a", "1", 8));
        assert_eq!(names(&kept), ["b"]);
    }

    /// The possible events on the API server and on the way from it.
    #[derive(Clone, Copy, Debug)]
    enum Happening {
        /// Another client creates or changes the object of this name.
        Write(usize),
        /// This process creates or changes it.
        OwnWrite(usize),
        Delete(usize),
        /// The next event of the watch, or the next part of a list, arrives.
        Watch,
        /// The response to a write of this process arrives.
        Answer,
        /// The watch fails, and a list starts.
        Lose,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            2 => (0..3_usize).prop_map(Happening::Write),
            3 => (0..3_usize).prop_map(Happening::OwnWrite),
            3 => (0..3_usize).prop_map(Happening::Delete),
            5 => Just(Happening::Watch),
            2 => Just(Happening::Answer),
            1 => Just(Happening::Lose),
        ]
    }

    /// An API server, one watch of it, and a cache.
    #[derive(Default)]
    struct World {
        version: u64,
        objects: BTreeMap<usize, ConfigMap>,
        /// The pending events of the watch.
        coming: VecDeque<Event<ConfigMap>>,
        /// A list is in progress.
        is_asking: bool,
        answers: VecDeque<ConfigMap>,
        kept: Kept,
    }

    impl World {
        fn write(&mut self, name: usize) -> ConfigMap {
            self.version += 1;
            let made = self.version.to_string();
            let uid = self.objects.get(&name).map_or(made, |known| uid(known).to_owned());
            let object = object(&format!("object-{name}"), &uid, self.version);
            self.objects.insert(name, object.clone());
            self.coming.push_back(Event::Apply(object.clone()));
            object
        }

        fn answer(&mut self) {
            if let Some(answer) = self.answers.pop_front() {
                self.kept.learn(&answer);
            }
        }

        /// The list is of this moment, and so is the watch that follows.
        fn list(&mut self) {
            self.is_asking = false;
            let listed = self.objects.values().cloned().map(Event::InitApply);
            self.coming = listed.chain([Event::InitDone]).collect();
        }

        fn happen(&mut self, happening: Happening) {
            match happening {
                Happening::Write(name) => {
                    self.write(name);
                }
                Happening::OwnWrite(name) => {
                    let existing: Option<Box<str>> = self.objects.get(&name).map(|known| uid(known).into());
                    let can_know = existing.map_or(!self.is_asking, |uid| self.kept.uids(&None).contains(&uid));
                    let written = self.write(name);
                    if can_know {
                        self.answers.push_back(written);
                    }
                }
                Happening::Delete(name) => {
                    if let Some(mut object) = self.objects.remove(&name) {
                        self.version += 1;
                        object.metadata.resource_version = Some(self.version.to_string());
                        self.coming.push_back(Event::Delete(object));
                    }
                }
                Happening::Watch if self.is_asking => self.list(),
                Happening::Watch => {
                    if let Some(event) = self.coming.pop_front() {
                        self.kept.take(&None, &event);
                    }
                }
                Happening::Answer => self.answer(),
                Happening::Lose => {
                    // The responses to creations arrive before a whole list does.
                    while !self.answers.is_empty() {
                        self.answer();
                    }
                    self.kept.take(&None, &Event::Init);
                    self.coming.clear();
                    self.is_asking = true;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn in_the_end_it_is_as_the_api_server_has_it(history in prop::collection::vec(happening(), 1..60)) {
            let mut world = World::default();
            for happening in history {
                world.happen(happening);
            }
            while world.is_asking || !world.coming.is_empty() {
                world.happen(Happening::Watch);
            }
            while !world.answers.is_empty() {
                world.answer();
            }
            let version = |object: &ConfigMap| object.metadata.resource_version.clone().unwrap().parse().unwrap();
            let there = world.objects.values().map(|object| (ObjectKey::of(object), (uid(object).to_owned(), version(object))));
            prop_assert_eq!(world.kept.objects, there.collect::<BTreeMap<_, _>>());
        }
    }
}
