//! The place of an accepted value: the record, or the drift if a manifest declares the field. Pure.

use kube::api::DynamicObject;

use crate::{
    api::{AcceptanceMode, ProvisionedResourceSpec},
    cli::text::count,
    drift::ownership::{self, DeclaredFields},
};

/// The place of an accepted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// It is written into the record.
    Record,
    /// It is stored on the drift, and the record is unchanged.
    Drift,
    /// The record's policy refuses an acceptance with an end.
    Refused,
}

impl Placement {
    /// The place of an accepted value of this field; none if the record has contents of a later version.
    pub(super) fn of(record: &DynamicObject, field: &str, has_end: bool) -> Option<Self> {
        // The status is irrelevant, and may have contents of another version.
        let spec = record.data.get("spec").cloned().unwrap_or_default();
        let spec: ProvisionedResourceSpec = serde_json::from_value(spec).ok()?;
        let declared = DeclaredFields::of(&record.metadata, &spec.desired);
        Some(match ownership::mode(spec.drift.accept, &declared, field, has_end) {
            Some(AcceptanceMode::InPlace) => Self::Record,
            Some(AcceptanceMode::Standing) => Self::Drift,
            None => Self::Refused,
        })
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Record => "the live value is written into the record",
            Self::Drift => "the acceptance stands on the drift, and the record stays as its manifest declares it",
            Self::Refused => "spec.drift.accept of the record is InPlace: an acceptance cannot have an end",
        }
    }
}

/// The places of several accepted values, in one sentence each.
pub(super) fn summary(placements: &[Placement]) -> String {
    let all = [Placement::Record, Placement::Drift, Placement::Refused];
    let lines = all.into_iter().filter_map(|placement| {
        let number = placements.iter().filter(|one| **one == placement).count();
        (number > 0).then(|| format!("{}: {}.", count(number, "drift"), placement.text()))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn placement(metadata: &Value, policy: &str, has_end: bool) -> Option<Placement> {
        let record = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "metadata": metadata,
            "spec": { "resource": { "kind": "Droplet", "id": "1" }, "desired": { "name": "web-1" }, "drift": { "accept": policy } },
        });
        Placement::of(&serde_json::from_value(record).unwrap(), "name", has_end)
    }

    #[test]
    fn an_accepted_value_goes_where_no_manifest_puts_it_back() {
        let applied = json!({ "name": "web-1", "annotations": { "kubectl.kubernetes.io/last-applied-configuration":
            r#"{"spec":{"desired":{"name":"web-1"}}}"# } });
        let own = json!({ "name": "web-1" });
        assert_eq!(placement(&applied, "Auto", false), Some(Placement::Drift));
        assert_eq!(placement(&own, "Auto", false), Some(Placement::Record));
        assert_eq!(placement(&own, "Auto", true), Some(Placement::Drift));
        assert_eq!(placement(&applied, "InPlace", true), Some(Placement::Refused));
        assert_eq!(placement(&own, "OfALaterVersion", false), None);
    }

    #[test]
    fn a_summary_counts_the_places() {
        let summary = summary(&[Placement::Record, Placement::Drift, Placement::Record]);
        let lines: Vec<_> = summary.lines().collect();
        assert_eq!(lines[0], "2 drifts: the live value is written into the record.");
        assert!(lines[1].starts_with("1 drift: the acceptance stands on the drift"));
    }
}
