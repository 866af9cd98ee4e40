//! The account: its documents, and the actions that are still in progress.
//!
//! Nothing runs in the background: before each call, everything that is due takes effect.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{catalogue, colleague::Colleague, kinds::Kind, store::Store, values::text_of};

/// The simulated account.
pub(crate) struct Cloud {
    pub(crate) store: Store,
    /// The duration of actions.
    pub(crate) action_time: Duration,
    due: BTreeMap<(Instant, u64), Finish>,
    /// Resources with an action in progress, as `droplets/3164444`.
    busy: HashSet<String>,
    /// The ids of a resource's actions, oldest first, by the resource as `droplets/3164444`.
    pub(crate) actions: HashMap<String, Vec<String>>,
    /// Writes of colleagues that wait for a call.
    pub(crate) colleagues: Vec<Colleague>,
    next_id: u64,
}

/// The effect of an action when it ends.
pub(crate) type Finish = Box<dyn FnOnce(&mut Cloud) + Send>;

impl Cloud {
    /// An account with only the base images.
    pub(crate) fn new(action_time: Duration) -> Self {
        let mut cloud = Self {
            store: Store::default(),
            action_time,
            due: BTreeMap::new(),
            busy: HashSet::new(),
            actions: HashMap::new(),
            colleagues: Vec::new(),
            next_id: 540_000_000,
        };
        for image in catalogue::images() {
            let id = image.get("id").map(text_of).unwrap_or_default();
            cloud.store.put("images", &id, &image);
        }
        cloud
    }

    /// Returns a number that no resource of this account has used.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Calls `finish` after the action time and this delay.
    pub(crate) fn later(&mut self, delay: Duration, finish: impl FnOnce(&mut Cloud) + Send + 'static) {
        self.after(self.action_time + delay, finish);
    }

    /// Calls `finish` after this time.
    pub(crate) fn after(&mut self, time: Duration, finish: impl FnOnce(&mut Cloud) + Send + 'static) {
        let order = self.next_id();
        self.due.insert((Instant::now() + time, order), Box::new(finish));
    }

    /// Runs everything that is due.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let finish = entry.remove();
            finish(self);
        }
    }

    /// Runs everything that would be due later, except what this starts.
    pub(crate) fn finish(&mut self) {
        for finish in std::mem::take(&mut self.due).into_values() {
            finish(self);
        }
    }

    pub(crate) fn is_busy(&self, collection: &str, id: &str) -> bool {
        self.busy.contains(&format!("{collection}/{id}"))
    }

    pub(crate) fn set_busy(&mut self, collection: &str, id: &str, busy: bool) {
        let resource = format!("{collection}/{id}");
        if busy {
            self.busy.insert(resource);
        } else {
            self.busy.remove(&resource);
        }
    }

    /// Returns the id of a resource for any name that the API accepts, such as an image's slug or a key's fingerprint.
    pub(crate) fn resolve(&self, kind: &Kind, collection: &str, id: &str) -> Option<String> {
        if self.store.contains(collection, id) {
            return Some(id.to_owned());
        }
        let alias = kind.alias?;
        self.store
            .all(collection)
            .iter()
            .find(|it| it.get(alias).and_then(Value::as_str) == Some(id))
            .and_then(|it| kind.id_of(it))
    }
}
