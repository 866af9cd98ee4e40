//! The table of kinds, read from `data/*.yaml`: one file per kind contains all differences between kinds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::{response::ResponseShape, reverts::RevertRules};
use crate::digitalocean::{IdFormat, document::Pattern, equivalence::Equivalence};

static DATA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/digitalocean/kinds/data");

/// All rows, by name.
pub(super) static TABLE: LazyLock<Vec<KindDefinition>> = LazyLock::new(|| {
    let mut rows: Vec<KindDefinition> =
        DATA.files().map(|file| read(&file.path().to_string_lossy(), file.contents())).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
});

/// Lists of the API whose resources are not a kind, each with the reason.
pub(super) static LEFT_OUT: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| read("left_out.yaml", include_bytes!("left_out.yaml")));

#[expect(clippy::panic, reason = "the files are part of the program, and every test that names a kind reads them")]
fn read<T: DeserializeOwned>(name: &str, contents: &[u8]) -> T {
    serde_saphyr::from_slice(contents).unwrap_or_else(|error| panic!("reading {name}: {error}"))
}

/// One kind. `{parent}` and `{id}` in paths are the two parts of an id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KindDefinition {
    /// The kind's name in the API `arcadia.cloud`.
    pub(crate) name: String,
    /// The bit of each of its fields in a set of fields.
    #[serde(skip)]
    pub(super) field_bits: OnceLock<HashMap<Box<str>, u64>>,
    /// The fields of a new record: those that a person would pin, as lists show them.
    pub(crate) pins: Vec<String>,
    /// Parts of those fields that the cloud chooses or changes.
    #[serde(default)]
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only the command line makes records"))]
    pub(crate) unpinned: Vec<Pattern>,
    /// The list: its path, and the key of its rows in the response.
    pub(crate) list: ResponseShape,
    /// The lists that together show the kind, each as extra query parameters.
    #[serde(default = "one_walk")]
    pub(crate) walks: Vec<String>,
    /// True if the list has pages.
    #[serde(default = "yes")]
    pub(crate) paged: bool,
    /// True if resources that exist can be missing from the lists.
    #[serde(default)]
    pub(crate) lists_a_part: bool,
    /// One resource: its path, and its key in the response.
    pub(crate) get: ResponseShape,
    /// The format of ids, and the field that contains them.
    pub(crate) id: IdSource,
    /// The token's scope that both paths need.
    pub(crate) scope: String,
    /// The scope that the list needs, if it differs.
    #[serde(default)]
    list_scope: Option<String>,
    /// The kind whose resources list these resources.
    #[serde(default)]
    pub(crate) within: Option<Within>,
    /// Paths in the document that only a GET of the resource shows.
    #[serde(default)]
    pub(crate) only_get: Vec<Pattern>,
    /// Paths in the document that only lists show.
    #[serde(default)]
    pub(crate) only_list: Vec<Pattern>,
    /// The types under which projects list its resources, such as `droplet` in `do:droplet:3164444`.
    #[serde(default)]
    pub(crate) urn_types: Vec<String>,
    /// The marks of resources that the controllers of a Kubernetes cluster create.
    #[serde(default = "kubernetes_tag")]
    pub(crate) by_kubernetes: Vec<KubernetesMark>,
    /// The controllers of the account that can own a resource.
    #[serde(default)]
    pub(crate) controllers: Option<ControllerLists>,
    /// Parts of the document that other paths show.
    #[serde(default)]
    pub(crate) reads: Vec<PartSource>,
    /// Top-level fields that contain ids of certificates.
    #[serde(default)]
    pub(crate) certificates: Vec<String>,
    /// A rate limit of these paths besides the token's.
    #[serde(default)]
    pub(crate) own_limit: Option<OwnLimit>,
    /// The document's top-level fields.
    pub(crate) fields: Vec<String>,
    /// Fields that the operator derives from the document; they take precedence over the document's own.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, Source>,
    /// Fields that the cloud changes on its own.
    #[serde(default)]
    pub(crate) volatile: Vec<String>,
    /// Parts of other fields that the cloud changes on its own.
    #[serde(default)]
    pub(crate) volatile_parts: Vec<Pattern>,
    /// Fields, or parts of them, that can be set but are never returned.
    #[serde(default)]
    pub(crate) unreadable: Vec<Pattern>,
    /// Top-level fields that contain passwords: they are neither compared nor shown.
    #[serde(default)]
    pub(crate) secret: Vec<String>,
    /// Paths whose values are compared, but shown as fingerprints only.
    #[serde(default)]
    pub(crate) credentials: Vec<Pattern>,
    /// Fields that are omitted for tokens without a scope.
    #[serde(default)]
    pub(crate) gated: BTreeMap<Pattern, String>,
    /// Values that can be written in several ways, or that the cloud changes.
    #[serde(default)]
    pub(crate) equivalences: BTreeMap<Pattern, Equivalence>,
    /// Fields with the details of a recorded field: they are needed if the recorded value contains a dot.
    #[serde(default)]
    pub(crate) details: BTreeMap<String, String>,
    /// Maps in which an unrecorded key has a default: any other live value is a difference.
    #[serde(default)]
    pub(crate) closed: BTreeMap<Pattern, BTreeMap<String, Value>>,
    /// Keys of maps that decide together about access: one that is recorded by its path is in doubt while another one
    /// with a default, which is not recorded, has another value.
    #[serde(default)]
    pub(crate) together: BTreeMap<Pattern, Vec<String>>,
    /// Nouns for the items of lists, for people.
    #[serde(default)]
    pub(crate) nouns: BTreeMap<Pattern, String>,
    /// The rules to revert drifted fields; none if that is not supported yet.
    #[serde(default)]
    pub(crate) revert: Option<RevertRules>,
}

impl KindDefinition {
    /// The scope that the list needs.
    pub(crate) fn list_scope(&self) -> &str {
        self.list_scope.as_ref().unwrap_or(&self.scope)
    }
}

/// The kind whose resources contain lists of another kind: ids start with the parent's id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Within {
    /// The name of the parent kind.
    pub(crate) kind: String,
    /// The field of the parent's document that shows the same resources.
    #[serde(default)]
    pub(crate) shown_in: Option<String>,
}

/// A mark of resources that the controllers of a Kubernetes cluster create.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum KubernetesMark {
    /// A tag of the resource: `k8s`, or one that starts with `k8s:`.
    Tag,
    /// The name is such a tag.
    Name,
    /// The name starts with this text.
    NamePrefix(String),
}

/// The controllers of one sort, and the lists of their resources.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControllerLists {
    /// The sort, for people.
    pub(crate) noun: String,
    /// The list of the controllers.
    pub(crate) list: ResponseShape,
    /// The list of the resources of one controller.
    pub(crate) of_one: ResponseShape,
    /// True if that list has pages.
    pub(crate) paged: bool,
    /// The field of its rows that contains the resource's id.
    pub(crate) id: String,
    /// The scope that both lists need.
    pub(crate) scope: String,
    /// The path of the controller's region, which is the region of its resources too.
    pub(crate) region: String,
}

/// A part of the document that another path shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartSource {
    /// The part of one resource.
    pub(crate) get: ResponseShape,
    /// The parts of all resources.
    #[serde(default)]
    pub(crate) list: Option<PartList>,
    /// The document's fields that the part shows, by their key in the part; an empty key is the whole part.
    pub(crate) into: BTreeMap<String, String>,
    /// An item of `features` that the part can imply.
    #[serde(default)]
    pub(crate) implies: Option<Implied>,
}

/// A list of parts: a map by id, whose values contain the id again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartList {
    pub(crate) path: String,
    pub(crate) key: String,
    /// The field that contains the resource's id.
    pub(crate) id: String,
}

/// An item of the document's `features`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Implied {
    /// The item, which is implied...
    pub(crate) feature: String,
    /// ... if the part is true under this key.
    pub(crate) key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdSource {
    pub(crate) format: IdFormat,
    pub(crate) field: String,
}

/// A limit that DigitalOcean puts on one path besides those of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnLimit {
    /// The number of calls...
    pub(crate) calls: usize,
    /// ... in any window of this length.
    #[serde(rename = "seconds", deserialize_with = "seconds")]
    pub(crate) window: Duration,
}

/// The source of a derived field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Source {
    /// A dotted path in the document; the part before the first dot is the field that it depends on.
    Path(String),
    /// The image's slug, or its id without a slug.
    Image,
    /// True if `features` contains this item.
    Feature(String),
    /// The address of this version (`v4`, `v6`) and type (`public`, `private`) in `networks`.
    Address(String, String),
    /// A load balancer's `size_unit`, or the number of its `size`.
    LoadBalancerUnits,
    /// A load balancer's `size`, or the name of its `size_unit`.
    LoadBalancerSize,
}

impl Source {
    /// The top-level field of the document that the value depends on.
    pub(crate) fn root(&self) -> &str {
        match self {
            Self::Path(path) => path.split('.').next().unwrap_or(path),
            Self::Image => "image",
            Self::Feature(_) => "features",
            Self::Address(..) => "networks",
            Self::LoadBalancerUnits | Self::LoadBalancerSize => "size_unit",
        }
    }
}

fn one_walk() -> Vec<String> {
    vec![String::new()]
}

fn kubernetes_tag() -> Vec<KubernetesMark> {
    vec![KubernetesMark::Tag]
}

fn yes() -> bool {
    true
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}
