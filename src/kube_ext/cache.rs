//! Objects of one kind, kept in memory as the API server has them: what a watch brings, what a new list of it lacks, and
//! what answers to the process's own writes say, which may come late.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use kube::{Resource, runtime::watcher::Event};
use tokio::time::Instant;

use super::{call, key::ObjectKey, watch::Scope};

/// How long a deletion is remembered. The answer to a write comes within the limit of a call, or it is an error.
const REMEMBERED: Duration = call::LIMIT.saturating_mul(4);

/// What is kept in memory of the objects of one kind. What may need work because of a change is returned by it.
pub trait Cache<K: Resource> {
    /// Which objects are listed just now, and which were deleted.
    fn tombstones(&mut self) -> &mut Tombstones;
    /// The UIDs of all objects of a scope that are kept.
    fn uids(&self, scope: &Scope) -> HashSet<Box<str>>;
    /// An object as the API server has it, or had it: news may come late, and by more than one way.
    fn apply(&mut self, object: &K) -> Vec<ObjectKey>;
    /// An object was deleted.
    fn delete(&mut self, object: &K) -> Vec<ObjectKey>;
    /// Objects with these UIDs were deleted while nobody looked.
    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey>;

    /// Takes in what a watch brought.
    fn take(&mut self, scope: &Scope, event: &Event<K>) -> Vec<ObjectKey> {
        match event {
            // The list itself is asked for only after this.
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

    /// Takes in the answer to a write of this process. By the time it comes, the watch may have told of the object's
    /// deletion, and would not tell again.
    fn learn(&mut self, written: &K) -> Vec<ObjectKey> {
        if self.tombstones().is_buried(uid(written)) { Vec::new() } else { self.apply(written) }
    }
}

fn uid(object: &impl Resource) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

/// Which objects of one kind are listed just now, and which were deleted of late.
#[derive(Default)]
pub struct Tombstones {
    /// The UIDs that were known when the list of a scope began, and that it has not brought so far. What was made since
    /// is not among them: the list may lack it, and the watch that follows brings it.
    missing: HashMap<Scope, HashSet<Box<str>>>,
    deleted: HashSet<Box<str>>,
    /// The same, in the order in which they are forgotten.
    forgotten_at: VecDeque<(Instant, Box<str>)>,
}

impl Tombstones {
    /// A list begins, when these are known. What was there before it and is not in it was deleted, however new its version:
    /// the list is of a later moment.
    fn start(&mut self, scope: &Scope, known: HashSet<Box<str>>) {
        self.missing.insert(scope.clone(), known);
    }

    fn saw(&mut self, scope: &Scope, uid: &str) {
        if let Some(missing) = self.missing.get_mut(scope) {
            missing.remove(uid);
        }
    }

    /// The list is complete. Returns what is gone.
    fn finish(&mut self, scope: &Scope) -> HashSet<Box<str>> {
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

    fn is_buried(&self, uid: &str) -> bool {
        self.deleted.contains(uid)
    }
}

/// Whether this version comes after the known one. Versions of objects of one resource type are ordered numbers, also
/// those of different objects (Kubernetes 1.35 promises it, etcd always gave it).
#[must_use]
pub fn is_newer(version: &str, known: &str) -> bool {
    let order = |version: &str| version.parse::<u128>().ok();
    order(version).is_none_or(|version| version > order(known).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;
    use proptest::prelude::*;

    use super::*;

    /// The simplest cache: UID and version by name.
    #[derive(Default)]
    struct Kept {
        tombstones: Tombstones,
        objects: BTreeMap<ObjectKey, (String, u64)>,
    }

    impl Cache<ConfigMap> for Kept {
        fn tombstones(&mut self) -> &mut Tombstones {
            &mut self.tombstones
        }

        fn uids(&self, _: &Scope) -> HashSet<Box<str>> {
            self.objects.values().map(|(uid, _)| uid.as_str().into()).collect()
        }

        fn apply(&mut self, object: &ConfigMap) -> Vec<ObjectKey> {
            let version = object.metadata.resource_version.as_deref().unwrap();
            let key = ObjectKey::of(object);
            if self.objects.get(&key).is_none_or(|(_, known)| is_newer(version, &known.to_string())) {
                self.objects.insert(key, (uid(object).to_owned(), version.parse().unwrap()));
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

    /// What may happen on the API server and on the way from it.
    #[derive(Clone, Copy, Debug)]
    enum Happening {
        /// Somebody makes or changes the object of this name.
        Write(usize),
        /// So does this process.
        OwnWrite(usize),
        Delete(usize),
        /// The next event of the watch comes, or the next part of a list.
        Watch,
        /// The answer to an own write comes.
        Answer,
        /// The watch is lost, and a list begins.
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

    /// An API server, one watch of it, and what is kept.
    #[derive(Default)]
    struct World {
        version: u64,
        objects: BTreeMap<usize, ConfigMap>,
        /// What the watch has still to bring.
        coming: VecDeque<Event<ConfigMap>>,
        /// A list was begun, and not yet answered.
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
                    // The answers to what was made come before a whole list does.
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
