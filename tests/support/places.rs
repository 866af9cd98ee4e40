//! The places of each kind's resources in the simulated cloud, read from the data files of the kinds.

use std::{collections::HashMap, path::Path};

use arcadia_operator::digitalocean::{IdFormat, Kind};
use digitalocean_simulator::Control;
use serde::Deserialize;
use serde_json::{Value, json};

/// The part of a kind's data file that locates its resources.
#[derive(Deserialize)]
pub(crate) struct Place {
    name: String,
    pub list: Response,
    pub get: Response,
    pub id: Id,
    /// Top-level fields that only the list shows, or parts of fields.
    #[serde(default)]
    #[allow(dead_code, reason = "only the table of cases needs it")]
    pub only_list: Vec<String>,
    /// Parts of the document that other paths show.
    #[serde(default)]
    #[allow(dead_code, reason = "only the table of cases needs it")]
    pub reads: Vec<Reading>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only the table of cases needs it")]
pub(crate) struct Reading {
    pub get: Response,
    pub into: HashMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Response {
    pub path: String,
    pub key: String,
}

#[derive(Deserialize)]
pub(crate) struct Id {
    pub field: String,
}

/// The places of all kinds, by name.
pub(crate) fn places() -> HashMap<String, Place> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/digitalocean/kinds/data");
    let files = std::fs::read_dir(folder).unwrap();
    let read = |file: std::io::Result<std::fs::DirEntry>| -> Place {
        serde_saphyr::from_str(&std::fs::read_to_string(file.unwrap().path()).unwrap()).unwrap()
    };
    files.map(read).map(|place| (place.name.clone(), place)).collect()
}

/// An id of the kind for each number. Resources within others share one parent.
pub(crate) fn id(kind: Kind, number: usize) -> String {
    let uuid = || format!("00000000-0000-4000-8000-{number:012}");
    let within = |id: String| format!("{}/{id}", kind.parent().map(parent_id).unwrap());
    match kind.id_format() {
        IdFormat::Digits | IdFormat::DigitsOrSlug => (900_000 + number).to_string(),
        IdFormat::DigitsOrUuid | IdFormat::Uuid => uuid(),
        IdFormat::Name | IdFormat::Tag => format!("case-{number}"),
        IdFormat::AccessKey => format!("DO{number:018}"),
        IdFormat::Ipv4 => format!("10.0.{}.{}", number / 250, number % 250 + 1),
        IdFormat::Ipv6 => format!("2001:db8:0:0:0:0:0:{number:x}"),
        IdFormat::DomainRecord => within((900_000 + number).to_string()),
        IdFormat::UuidInUuid => within(uuid()),
    }
}

/// The id of the one parent of nested resources.
fn parent_id(kind: Kind) -> String {
    if kind.id_format() == IdFormat::Name { "example.com".to_owned() } else { id(kind, 0) }
}

/// The collection of a resource in the simulator, and a document with only its id.
pub(crate) fn named(place: &Place, id: &str) -> (String, Value) {
    let (list, id) = match id.split_once('/') {
        Some((parent, id)) => (place.list.path.replace("{parent}", parent), id),
        None => (place.list.path.clone(), id),
    };
    let id = id.parse::<u64>().map_or_else(|_| id.into(), Value::from);
    (list.trim_start_matches("/v2/").to_owned(), json!({ (place.id.field.clone()): id }))
}

/// Creates the parents of all nested kinds in the cloud.
pub(crate) async fn put_parents(cloud: &Control, places: &HashMap<String, Place>) {
    for parent in Kind::all().filter_map(Kind::parent) {
        let (collection, document) = named(&places[parent.name()], &parent_id(parent));
        cloud.put(&collection, document).await.unwrap();
    }
}

/// Stores a document in the cloud unchanged, except for its id.
pub(crate) async fn put(cloud: &Control, place: &Place, id: &str, document: &Value) {
    let (collection, named) = named(place, id);
    let mut document = document.clone();
    document[&place.id.field] = named[&place.id.field].clone();
    cloud.put_as_is(&collection, document).await.unwrap();
}
