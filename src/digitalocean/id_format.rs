//! The formats of ids: one regular expression each.

use std::{collections::HashMap, sync::LazyLock};

use regex::Regex;
use serde::Deserialize;
use strum::IntoEnumIterator as _;

/// The format of the ids of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, strum::EnumIter)]
pub enum IdFormat {
    /// `3164444`
    Digits,
    /// `3164444` or `ubuntu-24-04-x64`
    DigitsOrSlug,
    /// `6372321` or `fbe805e8-866b-11e6-96bf-000f53315a41`
    DigitsOrUuid,
    /// `506f78a4-e098-11e5-ad9f-000f53306ae1`
    Uuid,
    /// `example.com`
    Name,
    /// `45.55.96.47`
    Ipv4,
    /// `2604:a880:800:14::42c3:d000`
    Ipv6,
    /// `env:prod`, in the spelling of the tag's creation
    Tag,
    /// `DO00EXAMPLE4KEY7ID21`
    AccessKey,
    /// `example.com/28448429`: the domain and the record's id in it
    DomainRecord,
    /// `506f78a4-e098-11e5-ad9f-000f53306ae1/fbe805e8-866b-11e6-96bf-000f53315a41`: the parent and the id in it
    UuidInUuid,
}

impl IdFormat {
    /// An anchored RE2 expression that ids match, for CEL's `matches()` and JSON schemas.
    #[must_use]
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Digits => "^[1-9][0-9]{0,19}$",
            Self::DigitsOrSlug => "^[a-z0-9][a-z0-9._-]{0,252}$",
            Self::DigitsOrUuid => "^([1-9][0-9]{0,19}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$",
            Self::Uuid => "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            Self::Name => "^[a-z0-9_][a-z0-9._-]{0,252}$",
            Self::Ipv4 => "^(0|[1-9][0-9]{0,2})([.](0|[1-9][0-9]{0,2})){3}$",
            Self::Ipv6 => {
                "^(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}:){1,6}(:[0-9a-f]{1,4}){1,6}|([0-9a-f]{1,4}:){1,7}:)$"
            }
            Self::Tag => "^[A-Za-z0-9_:-]{1,253}$",
            Self::AccessKey => "^[A-Z0-9]{8,128}$",
            Self::DomainRecord => "^[a-z0-9_][a-z0-9._-]{0,252}/[1-9][0-9]{0,19}$",
            Self::UuidInUuid => "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        }
    }

    /// A description of valid ids, after "the id must be".
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Digits => "digits, such as \"3164444\"",
            Self::DigitsOrSlug => "digits or a slug, such as \"7555620\" or \"ubuntu-24-04-x64\"",
            Self::DigitsOrUuid => "digits or a UUID, such as \"6372321\" or \"fbe805e8-866b-11e6-96bf-000f53315a41\"",
            Self::Uuid => "a UUID in lower case, such as \"506f78a4-e098-11e5-ad9f-000f53306ae1\"",
            Self::Name => "a name in lower case, such as \"example.com\"",
            Self::Ipv4 => "an IPv4 address, such as \"45.55.96.47\"",
            Self::Ipv6 => "an IPv6 address in lower case, such as \"2604:a880:800:14::42c3:d000\"",
            Self::Tag => "a tag of letters, digits, colons, dashes and underscores, such as \"env:prod\"",
            Self::AccessKey => "the id of an access key, such as \"DO00EXAMPLE4KEY7ID21\"",
            Self::DomainRecord => "a domain and a record's id, such as \"example.com/28448429\"",
            Self::UuidInUuid => {
                "the UUIDs of the parent and of the resource, such as \
                 \"506f78a4-e098-11e5-ad9f-000f53306ae1/fbe805e8-866b-11e6-96bf-000f53315a41\""
            }
        }
    }

    /// Checks an id.
    ///
    /// # Errors
    /// The rule that the id breaks, after "the id".
    pub fn check(self, id: &str) -> Result<(), String> {
        if self.admits(id) { Ok(()) } else { Err(format!("must be {}", self.form())) }
    }

    /// Returns true if `id` matches [`Self::pattern`].
    #[must_use]
    pub fn admits(self, id: &str) -> bool {
        FORMATS.get(&self).is_some_and(|format| format.is_match(id))
    }
}

static FORMATS: LazyLock<HashMap<IdFormat, Regex>> = LazyLock::new(|| {
    // An invalid pattern matches nothing; the test of all formats detects it.
    IdFormat::iter().filter_map(|format| Some((format, Regex::new(format.pattern()).ok()?))).collect()
});
