//! The document of one live resource, merged from every response that shows a part of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::document::Pattern;

/// The knowledge about one live resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// One JSON object.
    pub json: Arc<str>,
    /// True if the text is known to be valid JSON.
    pub(crate) is_valid: bool,
    /// Parts that no response has shown yet.
    pub unread: Arc<[UnreadPart]>,
    /// The account's certificates, if a recorded field needs them and they could be listed.
    pub certificates: Option<Arc<Certificates>>,
    /// The reason why they could not be listed.
    pub no_certificates: Option<Arc<str>>,
    /// Scopes that the token is known to have: absent parts that need them are empty.
    pub scopes: Arc<[&'static str]>,
    /// True if a direct GET, or a second list, showed the same. Only then a drift opens.
    pub is_confirmed: bool,
    /// True if a part from another path could not be read when the resource was read again.
    pub is_partial: bool,
}

/// A part of a document that no response has shown yet: unknown, which is not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct UnreadPart {
    pub(crate) path: Pattern,
    pub(crate) why: Arc<str>,
}

/// The account's certificates: names by id. Ids that a renewal replaced are kept for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    names: HashMap<Arc<str>, Arc<str>>,
}

impl Document {
    /// A document that one GET has shown in full.
    #[must_use]
    pub fn whole(json: impl Into<Arc<str>>) -> Self {
        Self {
            json: json.into(),
            is_valid: false,
            unread: Arc::default(),
            certificates: None,
            no_certificates: None,
            scopes: Arc::default(),
            is_confirmed: true,
            is_partial: false,
        }
    }
}

impl UnreadPart {
    /// A part, as a dotted pattern, and the reason.
    #[must_use]
    pub fn new(path: &str, why: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), why: why.into() }
    }
}

impl Certificates {
    /// The name of a certificate, by its id.
    #[must_use]
    pub fn name_of(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(AsRef::as_ref)
    }

    /// The id of the certificate with this name.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<&str> {
        self.names.iter().find(|(_, of)| &***of == name).map(|(id, _)| id.as_ref())
    }
}

impl<I: Into<Arc<str>>, N: Into<Arc<str>>> FromIterator<(I, N)> for Certificates {
    fn from_iter<T: IntoIterator<Item = (I, N)>>(names: T) -> Self {
        Self { names: names.into_iter().map(|(id, name)| (id.into(), name.into())).collect() }
    }
}

/// The disks of all sizes in GB, by slug in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeDisks(BTreeMap<Box<str>, u64>);

impl SizeDisks {
    /// The disk of a size in GB; none if there is no such size.
    #[must_use]
    pub fn of(&self, slug: &str) -> Option<u64> {
        self.0.get(slug.to_lowercase().as_str()).copied()
    }
}

impl<S: AsRef<str>> FromIterator<(S, u64)> for SizeDisks {
    fn from_iter<T: IntoIterator<Item = (S, u64)>>(sizes: T) -> Self {
        Self(sizes.into_iter().map(|(slug, disk)| (slug.as_ref().to_lowercase().into(), disk)).collect())
    }
}
