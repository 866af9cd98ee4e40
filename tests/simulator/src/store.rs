//! The store of documents: collections by their path below `/v2`. Each row is the JSON text that pages are built from.
//!
//! Pages copy text, without parsing or serializing documents. Only filters read all rows, through the few facts beside
//! each text.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    droplet_document,
    fleet::Fleet,
    values::{tags_of, text_of},
};

/// All collections of the account.
#[derive(Debug, Default)]
pub(crate) struct Store {
    collections: BTreeMap<String, Collection>,
    fleet: Option<Fleet>,
}

/// The rows of one list, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    rows: Vec<Row>,
    /// Row number by id. Numbers only grow, so rows are found by binary search even after earlier rows are removed.
    numbers: HashMap<String, u64>,
    next: u64,
    gpus: usize,
}

/// One resource.
#[derive(Debug)]
pub(crate) struct Row {
    number: u64,
    pub(crate) id: String,
    pub(crate) facts: Arc<Facts>,
    document: Document,
    /// The replaced texts, oldest first, each with the time of its replacement.
    past: Vec<(Instant, String)>,
}

#[derive(Debug)]
enum Document {
    Text(String),
    /// The n-th droplet of the generated fleet, which is written when it is read.
    Generated(u32),
}

/// The facts that filters read.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) name: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) gpu: bool,
    pub(crate) public: Option<bool>,
    /// `type` or, for snapshots and actions, `resource_type`.
    pub(crate) kind: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) vpc: Option<String>,
    /// The droplets that it is attached to.
    pub(crate) droplets: Vec<String>,
    /// The time of creation; `None` is long ago.
    pub(crate) created: Option<Instant>,
}

impl Facts {
    fn of(document: &Value, created: Option<Instant>) -> Self {
        let text = |field: &str| document.get(field).and_then(Value::as_str).map(str::to_owned);
        let region = document.get("region");
        Self {
            name: text("name"),
            tags: tags_of(document),
            gpu: document.get("size_slug").and_then(Value::as_str).is_some_and(|slug| slug.starts_with("gpu-")),
            public: document.get("public").and_then(Value::as_bool),
            kind: text("resource_type").or_else(|| text("type")),
            resource: document.get("resource_id").map(text_of),
            region: region.and_then(|it| it.get("slug").unwrap_or(it).as_str()).map(str::to_owned),
            vpc: text("vpc_uuid"),
            droplets: document
                .get("droplet_ids")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .chain(document.pointer("/droplet/id"))
                .map(text_of)
                .collect(),
            created,
        }
    }

    pub(crate) fn tagged(&self, tag: &str) -> bool {
        self.tags.iter().any(|it| it.eq_ignore_ascii_case(tag))
    }
}

/// The number of replaced texts that are kept per row.
const PAST: usize = 16;

impl Row {
    fn remember(&mut self, text: String) {
        if self.past.len() >= PAST {
            self.past.remove(0);
        }
        self.past.push((Instant::now(), text));
    }

    /// The text at this age, if it was different then; the oldest kept text for a younger row.
    pub(crate) fn text_before(&self, age: Duration) -> Option<&str> {
        let (_, text) = self.past.iter().find(|(replaced, _)| replaced.elapsed() < age)?;
        Some(text)
    }

    /// The resource's name.
    pub(crate) fn named(&self, name: &str) -> bool {
        match &self.document {
            Document::Text(_) => self.facts.name.as_deref() == Some(name),
            Document::Generated(n) => Fleet::name(*n) == name,
        }
    }
}

impl Collection {
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The number of GPU droplets: without any, the list of droplets needs no filter.
    pub(crate) fn gpus(&self) -> usize {
        self.gpus
    }

    fn place(&self, id: &str) -> Option<usize> {
        let number = self.numbers.get(id)?;
        self.rows.binary_search_by_key(number, |row| row.number).ok()
    }

    fn row(&self, id: &str) -> Option<&Row> {
        self.rows.get(self.place(id)?)
    }

    fn put(&mut self, id: &str, facts: Facts, document: Document) {
        self.put_shared(id, Arc::new(facts), document);
    }

    fn put_shared(&mut self, id: &str, facts: Arc<Facts>, document: Document) {
        self.gpus += usize::from(facts.gpu);
        if let Some(row) = self.place(id).and_then(|place| self.rows.get_mut(place)) {
            self.gpus -= usize::from(row.facts.gpu);
            row.facts = facts;
            if let Document::Text(text) = std::mem::replace(&mut row.document, document) {
                row.remember(text);
            }
        } else {
            let number = self.next;
            self.next += 1;
            self.numbers.insert(id.to_owned(), number);
            self.rows.push(Row { number, id: id.to_owned(), facts, document, past: Vec::new() });
        }
    }

    fn remove(&mut self, id: &str) -> Option<Row> {
        let place = self.place(id)?;
        self.numbers.remove(id);
        let row = self.rows.remove(place);
        self.gpus -= usize::from(row.facts.gpu);
        Some(row)
    }
}

impl Store {
    pub(crate) fn collection(&self, collection: &str) -> Option<&Collection> {
        self.collections.get(collection)
    }

    /// All rows of all collections, each with the name of its collection.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.collections
            .iter()
            .flat_map(|(name, collection)| collection.rows.iter().map(move |row| (name.as_str(), row)))
    }

    pub(crate) fn contains(&self, collection: &str, id: &str) -> bool {
        self.collection(collection).is_some_and(|it| it.place(id).is_some())
    }

    pub(crate) fn row(&self, collection: &str, id: &str) -> Option<&Row> {
        self.collection(collection)?.row(id)
    }

    /// Appends a row's JSON text.
    pub(crate) fn write(&self, row: &Row, to: &mut String) {
        match (&row.document, &self.fleet) {
            (Document::Text(text), _) => to.push_str(text),
            (Document::Generated(n), Some(fleet)) => fleet.write(*n, to),
            (Document::Generated(_), None) => to.push_str("{}"),
        }
    }

    pub(crate) fn text(&self, collection: &str, id: &str) -> Option<String> {
        let mut text = String::new();
        self.write(self.row(collection, id)?, &mut text);
        Some(text)
    }

    pub(crate) fn get(&self, collection: &str, id: &str) -> Option<Value> {
        serde_json::from_str(&self.text(collection, id)?).ok()
    }

    /// All documents of a small collection, oldest first.
    pub(crate) fn all(&self, collection: &str) -> Vec<Value> {
        let rows = self.collection(collection).map(Collection::rows).unwrap_or_default();
        rows.iter().filter_map(|row| self.get(collection, &row.id)).collect()
    }

    /// Adds or replaces a document; a replaced document keeps its position and its age.
    pub(crate) fn put(&mut self, collection: &str, id: &str, document: &Value) {
        let created = self.row(collection, id).map_or_else(|| Some(Instant::now()), |row| row.facts.created);
        let facts = Facts::of(document, created);
        let collection = self.collections.entry(collection.to_owned()).or_default();
        collection.put(id, facts, Document::Text(document.to_string()));
    }

    /// Changes a document in place; `None` if it does not exist.
    pub(crate) fn edit(&mut self, collection: &str, id: &str, change: impl FnOnce(&mut Value)) -> Option<Value> {
        let mut document = self.get(collection, id)?;
        change(&mut document);
        self.put(collection, id, &document);
        Some(document)
    }

    pub(crate) fn remove(&mut self, collection: &str, id: &str) -> bool {
        self.collections.get_mut(collection).and_then(|it| it.remove(id)).is_some()
    }

    /// Removes a collection and those below it: a domain includes its records.
    pub(crate) fn remove_below(&mut self, path: &str) {
        let below = format!("{path}/");
        self.collections.retain(|name, _| !name.starts_with(&below));
    }

    /// Removes all ages: loaded resources were not created just now.
    pub(crate) fn forget_ages(&mut self) {
        for row in self.collections.values_mut().flat_map(|it| it.rows.iter_mut()) {
            if let Some(facts) = Arc::get_mut(&mut row.facts) {
                facts.created = None;
            }
        }
    }

    /// Adds a generated fleet of droplets.
    pub(crate) fn add_fleet(&mut self, fleet: Fleet, count: u32) {
        let facts = Arc::new(Facts {
            tags: Fleet::tags(),
            region: Some("nyc3".to_owned()),
            vpc: Some(droplet_document::DEFAULT_VPC.to_owned()),
            ..Facts::default()
        });
        let droplets = self.collections.entry("droplets".to_owned()).or_default();
        for n in 0..count {
            droplets.put_shared(&Fleet::id(n).to_string(), Arc::clone(&facts), Document::Generated(n));
        }
        self.fleet = Some(fleet);
    }
}
