//! The recorded fields of one resource, as a set of eight bytes.

use serde_json::Value;

use super::{Kind, KindDefinition, PartSource, Source};

/// A set of top-level fields of a kind's documents. The highest bit represents all fields that the kind's table lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u64);

impl FieldSet {
    /// No field.
    pub(in crate::digitalocean) const NONE: Self = Self(0);
    const OTHER: Self = Self(1 << 63);

    /// The document's fields that these recorded fields or paths depend on.
    pub fn of<'a>(kind: Kind, recorded: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_values(kind, recorded.into_iter().map(|path| (path, &Value::Null)))
    }

    /// The document's fields that these recorded values depend on.
    pub fn of_values<'a>(kind: Kind, recorded: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let row = kind.row();
        recorded.into_iter().fold(Self::default(), |fields, (path, value)| {
            let root = path.split('.').next().unwrap_or(path);
            let derived = row.derived.get(root).map(Source::root);
            let is_detailed = |_: &&String| value.as_str().is_some_and(|text| text.contains('.')) || value.is_f64();
            let details = row.details.get(path).filter(is_detailed).map(|name| Self::field(row, name));
            let fields = fields.union(details.unwrap_or_default());
            // A derived field takes precedence over the document's own of the same name, but contains less.
            let own = if row.derived.contains_key(root) { Self::field } else { Self::field_or_other };
            let fields = fields.union(own(row, root)).union(derived.map_or(Self(0), |root| Self::field(row, root)));
            fields.union(Self::showing(row, root))
        })
    }

    /// The parts that show a feature, or all features, of which the document may lack some.
    fn showing(row: &KindDefinition, root: &str) -> Self {
        let is_shown = |feature: &str| {
            root == "features" || matches!(row.derived.get(root), Some(Source::Feature(name)) if name == feature)
        };
        let showing =
            row.reads.iter().filter(|part| part.implies.as_ref().is_some_and(|implied| is_shown(&implied.feature)));
        showing.fold(Self::NONE, |fields, part| fields.union(part.fields(row)))
    }

    /// The set of one field; empty if the kind has no such field.
    pub(in crate::digitalocean) fn field(row: &KindDefinition, name: &str) -> Self {
        let bits = row.field_bits.get_or_init(|| {
            let bit = |position| u32::try_from(position).ok().and_then(|at| 1_u64.checked_shl(at));
            let fields = row.fields.iter().enumerate().rev();
            fields.map(|(position, field)| (field.as_str().into(), bit(position).unwrap_or(0))).collect()
        });
        Self(bits.get(name).copied().unwrap_or(0))
    }

    /// The set of all fields of a kind.
    pub(in crate::digitalocean) fn all(row: &KindDefinition) -> Self {
        Self::fields(row, row.fields.iter().map(String::as_str))
    }

    /// The set of one key of a document, even if the kind has no such field.
    pub(in crate::digitalocean) fn field_or_other(row: &KindDefinition, key: &str) -> Self {
        let field = Self::field(row, key);
        if field.is_empty() { Self::OTHER } else { field }
    }

    /// The set of all these fields.
    pub(in crate::digitalocean) fn fields<'a>(row: &KindDefinition, names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().fold(Self::default(), |fields, name| fields.union(Self::field(row, name)))
    }

    /// The names of the set's fields.
    pub(in crate::digitalocean) fn names(self, row: &KindDefinition) -> impl Iterator<Item = &str> {
        row.fields.iter().map(String::as_str).filter(move |name| self.has(Self::field(row, name)))
    }

    /// The fields in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The fields in both sets.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The fields that are not in the other set.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns true if any of these is in the set.
    #[must_use]
    pub fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// Returns true if the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl PartSource {
    /// The document's fields that the part shows.
    pub(in crate::digitalocean) fn fields(&self, row: &KindDefinition) -> FieldSet {
        FieldSet::fields(row, self.into.keys().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_names_and_paths_stand_for_the_fields_of_the_document() {
        let kind = Kind::named("Droplet").unwrap();
        let names = |recorded: &[&str]| {
            let fields = FieldSet::of(kind, recorded.iter().copied());
            fields.names(kind.row()).collect::<Vec<_>>()
        };
        assert_eq!(names(&["name", "tags.0"]), ["name", "tags"]);
        // The policy shows backups that the features may lack.
        assert_eq!(names(&["backups"]), ["features", "backup_policy"]);
        assert_eq!(names(&["features"]), ["features", "backup_policy"]);
        assert_eq!(names(&["monitoring", "ipv6"]), ["features"]);
        assert_eq!(names(&["volumes", "public_ipv4"]), ["volume_ids", "networks"]);
        assert_eq!(names(&["volumes.0"]), ["volume_ids"]);
        assert_eq!(names(&["backup_policy.plan", "no_such_field"]), ["backup_policy"]);
    }

    #[test]
    fn every_kinds_fields_fit() {
        for kind in Kind::all() {
            let row = kind.row();
            let all = FieldSet::fields(row, row.fields.iter().map(String::as_str));
            assert_eq!(all.names(row).count(), row.fields.len(), "{kind}");
            assert!(!all.has(FieldSet::OTHER), "{kind}");
        }
    }
}
