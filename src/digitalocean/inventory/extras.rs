//! The extra data that documents need besides the lists: parts from other paths, certificates, and the token's scopes.

use std::{collections::HashMap, sync::Arc};

use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{
    known::CachedState,
    responses::{ResponseSource, Responses, Use, Wants},
    snapshot::{Inventory, SIDE_BY_SIDE},
    stage::StagedResource,
};
use crate::digitalocean::{
    Error, Kind, Priority, ResourceKey,
    document::Pattern,
    kinds::{FieldSet, KindDefinition, PartList, PartSource},
    lists::Rows,
};

/// The part of a resource that is missing in a complete list of parts.
const NO_PART: &str = "null";

/// Parts by the id of their resource.
#[derive(Default)]
struct Parts(HashMap<Box<str>, Arc<str>>);

impl Rows for Parts {
    fn begin(&mut self) {
        self.0.clear();
    }

    fn row(&mut self, id: &str, document: &str) {
        self.0.insert(id.into(), document.into());
    }
}

/// The result of a GET of a resource.
type Got = Result<Option<Arc<str>>, Error>;
/// The result of reading a part.
type PartResult = Result<Arc<str>, Arc<str>>;

/// The results of the extra calls for one resource.
struct Answers {
    get: Option<(Got, Instant)>,
    readings: Vec<(usize, PartResult, Instant)>,
}

impl Inventory {
    /// Completes the resources of a sync, within the allowance: the longest waiting ones first. Returns the number of
    /// calls.
    pub(super) async fn complete(&self, kind: Kind, entries: &mut [StagedResource]) -> usize {
        let row = kind.row();
        let mut shown: Vec<(ResourceKey, FieldSet, &mut Responses)> = Vec::new();
        for StagedResource { id, fields, entry, .. } in entries {
            if let CachedState::Present(one) = &mut entry.known {
                shown.push((ResourceKey::new(kind, Arc::clone(id)), *fields, Arc::make_mut(one)));
            }
        }
        let recorded = shown.iter().fold(FieldSet::default(), |all, (_, fields, _)| all.union(*fields));
        let mut calls = 0;
        let mut listed = vec![false; row.reads.len()];
        for ((position, reading), is_listed) in row.reads.iter().enumerate().zip(&mut listed) {
            let Some(list) = &reading.list else { continue };
            *is_listed = true;
            calls += self.list_parts(kind, position, list, &mut shown).await;
        }
        calls += self.read_singly(row, &listed, &mut shown).await;
        let scopes = self.scopes(row, recorded, Priority::Sweep).await;
        if recorded.has(FieldSet::fields(row, row.certificates.iter().map(String::as_str))) {
            calls += self.0.certificates.refresh(&self.0.client, Priority::Sweep).await;
        }
        for (_, fields, shown) in shown {
            shown.expect(fields, Arc::clone(&scopes));
            shown.tidy(row);
            shown.compose(row, Use::default());
        }
        calls
    }

    /// Completes the resource of a GET.
    pub(super) async fn complete_one(
        &self,
        key: &ResourceKey,
        fields: FieldSet,
        priority: Priority,
        shown: &mut Responses,
    ) {
        let row = key.kind.row();
        let fields = fields.union(shown.fields());
        let wants = Wants { get: false, ..shown.wants(row, fields) };
        let answers = self.answers(key, &wants, priority).await;
        answers.apply(row, shown);
        let scopes = self.scopes(row, fields, priority).await;
        if fields.has(FieldSet::fields(row, row.certificates.iter().map(String::as_str))) {
            self.0.certificates.refresh(&self.0.client, priority).await;
        }
        shown.expect(fields, scopes);
        shown.compose(row, Use::default());
    }

    /// Reads a list of parts, if a recorded field needs one. Returns the number of calls.
    async fn list_parts(
        &self,
        kind: Kind,
        position: usize,
        list: &'static PartList,
        shown: &mut [(ResourceKey, FieldSet, &mut Responses)],
    ) -> usize {
        let row = kind.row();
        let needs_it = |fields: FieldSet, shown: &Responses| shown.wants(row, fields).readings.contains(&position);
        if !shown.iter().any(|(_, fields, shown)| needs_it(*fields, shown)) {
            return 0;
        }
        let at = Instant::now();
        let mut parts = Parts::default();
        let outcome = self.0.client.parts(kind, list, &mut parts).await;
        let error = outcome.as_ref().err().map(|error| Arc::from(error.to_string()));
        for (key, fields, shown) in shown {
            if needs_it(*fields, shown) {
                let part = || parts.0.get(&*key.id).cloned().unwrap_or_else(|| NO_PART.into());
                shown.read(row, position, ResponseSource::List, error.clone().map_or_else(|| Ok(part()), Err), at);
            }
        }
        outcome.unwrap_or(1)
    }

    /// Makes the calls that each resource needs. Returns the number of calls.
    async fn read_singly(
        &self,
        row: &KindDefinition,
        listed: &[bool],
        shown: &mut [(ResourceKey, FieldSet, &mut Responses)],
    ) -> usize {
        let mut waiting: Vec<_> = shown
            .iter()
            .enumerate()
            .filter_map(|(position, (key, fields, shown))| {
                let mut wants = shown.wants(row, *fields);
                wants.readings.retain(|reading| listed.get(*reading) != Some(&true));
                (wants != Wants::default()).then(|| (shown.turn(&wants), key.clone(), position, wants))
            })
            .collect();
        waiting.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        let mut calls = 0;
        {
            let mut allowance = self.0.allowance.lock();
            let within = waiting.iter().take_while(|(_, _, _, wants)| {
                let needed = wants.calls();
                let is_there = allowance.take(needed);
                calls += if is_there { needed } else { 0 };
                is_there
            });
            let within = within.count();
            waiting.truncate(within);
        }
        let questions = waiting.into_iter().map(|(_, key, position, wants)| async move {
            (position, self.answers(&key, &wants, Priority::Sweep).await)
        });
        let answers: Vec<_> = stream::iter(questions).buffer_unordered(SIDE_BY_SIDE).collect().await;
        for (position, answers) in answers {
            if let Some((_, _, shown)) = shown.get_mut(position) {
                answers.apply(row, shown);
            }
        }
        calls
    }

    async fn answers(&self, key: &ResourceKey, wants: &Wants, priority: Priority) -> Answers {
        let mut answers = Answers { get: None, readings: Vec::new() };
        if wants.get {
            let at = Instant::now();
            answers.get = Some((self.request(key, priority).await, at));
        }
        for position in &wants.readings {
            let Some(reading) = key.kind.row().reads.get(*position) else { continue };
            let at = Instant::now();
            let part = self.0.client.part(key, reading, priority).await;
            let part = part.map(Arc::from).map_err(|error| Arc::from(error.to_string()));
            answers.readings.push((*position, part, at));
        }
        answers
    }

    /// The scopes of the token among those that parts of these recorded fields need. Only scopes of parts whose absence
    /// shows nothing are checked.
    async fn scopes(
        &self,
        row: &'static KindDefinition,
        recorded: FieldSet,
        priority: Priority,
    ) -> Arc<[&'static str]> {
        let mut scopes: Vec<_> = row.scopes_in_doubt(recorded).collect();
        scopes.sort_unstable();
        scopes.dedup();
        let mut known = Vec::new();
        for scope in scopes {
            if self.0.scopes.has(&self.0.client, scope, priority).await {
                known.push(scope);
            }
        }
        known.into()
    }
}

impl PartSource {
    /// Whether these recorded fields need it.
    pub(super) fn is_for(&self, row: &KindDefinition, recorded: FieldSet) -> bool {
        recorded.has(self.fields(row))
    }
}

impl KindDefinition {
    /// Whether these fields need anything besides the lists and a GET.
    pub(super) fn needs_extras(&self, recorded: FieldSet) -> bool {
        recorded.has(FieldSet::fields(self, self.certificates.iter().map(String::as_str)))
            || self.reads.iter().any(|reading| reading.is_for(self, recorded))
            || self.scopes_in_doubt(recorded).next().is_some()
    }

    /// The scopes that parts of these fields need, if the API omits such a part when it is empty, and no top-level
    /// field of its name shows whether the token has the scope.
    pub(in crate::digitalocean) fn scopes_in_doubt(&self, recorded: FieldSet) -> impl Iterator<Item = &str> {
        let in_doubt = move |pattern: &Pattern| {
            let segments = pattern.segments();
            let is_evident = |name: &&str| self.gated.keys().any(|gate| gate.segments() == [*name]);
            segments.len() > 1
                && !segments.last().is_some_and(is_evident)
                && recorded.has(FieldSet::field(self, pattern.root()))
        };
        self.gated.iter().filter(move |(pattern, _)| in_doubt(pattern)).map(|(_, scope)| scope.as_str())
    }
}

impl Answers {
    fn apply(self, row: &KindDefinition, shown: &mut Responses) {
        match self.get {
            Some((Ok(Some(text)), at)) => shown.take_get(row, &text, at),
            Some((Ok(None), _)) => shown.fail_get("a list contains the resource, and a GET returns 404".into()),
            Some((Err(error), _)) => shown.fail_get(error.to_string().into()),
            None => {}
        }
        for (position, part, at) in self.readings {
            shown.read(row, position, ResponseSource::Own, part, at);
        }
    }
}

impl Wants {
    fn calls(&self) -> usize {
        usize::from(self.get) + self.readings.len()
    }
}

#[cfg(test)]
mod tests;
