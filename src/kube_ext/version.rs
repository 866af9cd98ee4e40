//! The version of an object.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, Serializer};

/// A `metadata.resourceVersion`. The versions of all objects of one resource type are ordered numbers (guaranteed since
/// Kubernetes 1.35, and always true with etcd).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// As the API server writes it.
    Number(u64),
    /// Anything else.
    Text(Box<str>),
}

impl Version {
    /// The version of the object with this metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        metadata.resource_version.as_deref().unwrap_or_default().into()
    }

    /// Returns true if this version is newer than the cached one. One that is no number counts as newer.
    #[must_use]
    pub fn is_newer(&self, known: &Self) -> bool {
        match (self, known) {
            (Self::Text(_), _) | (Self::Number(_), Self::Text(_)) => true,
            (Self::Number(version), Self::Number(known)) => version > known,
        }
    }
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
        number.map_or_else(|| Self::Text(text.into()), Self::Number)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_numbers_and_kept_as_they_were() {
        let version = Version::from;
        assert!(version("10").is_newer(&version("9")) && !version("9").is_newer(&version("9")));
        assert!(version("1").is_newer(&version("")) && version("a").is_newer(&version("9")));
        for text in ["0", "17", "18446744073709551615", "18446744073709551616", "007", "+7", "a", ""] {
            assert_eq!(version(text).to_string(), text);
        }
        assert_eq!(size_of::<Version>(), 16);
    }
}
