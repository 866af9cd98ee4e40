//! The status of a record in each situation.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{Drift, ProvisionedResource},
    drift::{index::RecordIndex, shown::tests::drift as stored_before, summary::StatusSummary},
    kube_ext::{cache::Cache, key::ObjectKey},
};

const LATER: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn record(status: &Value) -> ProvisionedResource {
    serde_json::from_value(json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
        "metadata": {
            "name": "web-1", "namespace": "default", "uid": "record", "resourceVersion": "1", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": { "resource": { "kind": "Droplet", "id": "1" }, "desired": { "name": "a" } },
        "status": status,
    }))
    .unwrap()
}

fn drift(field: &str, expected: &str, actual: &str, difference: Option<&str>) -> Drift {
    let mut drift = stored_before();
    drift.metadata.uid = Some(field.to_owned());
    drift.spec.field = field.to_owned();
    drift.spec.expected = expected.to_owned();
    drift.spec.actual = actual.to_owned();
    drift.spec.difference = difference.map(str::to_owned);
    drift
}

fn entry(status: &Value, drifts: &[Drift]) -> RecordEntry {
    let mut index = RecordIndex::default();
    let record = record(status);
    index.apply(&record);
    for drift in drifts {
        index.apply(drift);
    }
    index.entry(&ObjectKey { namespace: "default".into(), name: record.name_any().into() }).unwrap()
}

fn said(situation: &Situation, drifts: &[Drift]) -> ProvisionedResourceStatus {
    status(&entry(&Value::Null, drifts), situation, None, LATER)
}

fn condition<'s>(status: &'s ProvisionedResourceStatus, kind: &str) -> (&'s str, &'s str, &'s str) {
    let condition = conditions::find(&status.conditions, kind).unwrap();
    (&condition.status, &condition.reason, &condition.message)
}

fn compared() -> Compared {
    Compared { compared: 2, ..Compared::default() }
}

#[test]
fn a_record_names_the_saga_that_is_stuck() {
    let drifts = ["Reverting", "RevertStuck"].map(|reason| {
        let mut drift = drift(reason, "1", "2", None);
        let status = json!({ "phase": "Open", "reason": reason, "sagaRef": { "name": reason } });
        drift.status = serde_json::from_value(status).unwrap();
        drift
    });
    let message = |saga: &str| {
        let status = said(&Situation::Reverting(saga.to_owned()), &drifts);
        let (_, reason, message) = condition(&status, "InSync");
        assert_eq!(reason, "Reverting");
        message.to_owned()
    };
    assert_eq!(message("Reverting"), "saga Reverting reverts a field of Droplet 1; it is compared after that");
    assert_eq!(
        message("RevertStuck"),
        "saga RevertStuck, which reverts a field of Droplet 1, is Stuck; Droplet 1 is compared after the saga is resolved"
    );
}

#[test]
fn values_are_named_for_the_first_three_differences() {
    let drifts = [
        drift("size_slug", "s-2vcpu-4gb", "s-4vcpu-8gb", Some("s-2vcpu-4gb -> s-4vcpu-8gb")),
        drift("a", "1", "2", None),
        drift("spec", "{}", "{}", Some("services.0.instance_count: 1 -> 2")),
        drift("z1", "1", "2", None),
        drift("z2", "1", "2", None),
    ];
    let status = said(&Situation::Compared(compared()), &drifts);
    assert_eq!(
        condition(&status, "InSync"),
        (
            "False",
            "DriftOpen",
            "a: 1 -> 2, size_slug: s-2vcpu-4gb -> s-4vcpu-8gb, spec: services.0.instance_count: 1 -> 2 and 2 more; decide \
             it with: kubectl arcadia"
        )
    );
    assert_eq!(status.reason.as_deref(), Some("DriftOpen"), "Ready is True");
    assert_eq!(status.drifted_fields_short, "a, size_slug, spec, z1, z2");
    assert_eq!(status.difference_short, "a: 1 -> 2");
    let long = said(&Situation::Compared(compared()), &[drift("spec", "{}", "{}", Some(&"x".repeat(90)))]);
    assert_eq!(long.difference_short.chars().count(), 60);
}

#[test]
fn a_difference_hides_no_field_that_cannot_be_compared_nor_the_other_way_round() {
    let compared = Compared {
        unknown: vec!["tags: the token needs tag:read".into()],
        invalid: vec!["size_slg: no such field".into()],
        unconfirmed: vec!["region".into()],
        refused: vec!["memory: creating Drift: too large".into()],
        ..compared()
    };
    for drifts in [&[drift("name", "a", "b", None)][..], &[]] {
        let status = said(&Situation::Compared(compared.clone()), drifts);
        let (truth, _, message) = condition(&status, "InSync");
        assert_eq!(truth, if drifts.is_empty() { "Unknown" } else { "False" });
        for field in ["tags", "size_slg", "region", "memory"].iter().chain(drifts.first().map(|_| &"name: a -> b")) {
            assert!(message.contains(field), "{field} in {message}");
        }
        assert_eq!(condition(&status, "Ready").1, "InvalidField");
        assert_eq!(status.reason.as_deref(), Some("InvalidField"));
    }
    for (compared, reason) in [
        (Compared { unknown: vec!["x".into()], ..Compared::default() }, "FieldsUnknown"),
        (Compared { unconfirmed: vec!["x".into()], ..Compared::default() }, "Unconfirmed"),
        (Compared { refused: vec!["x".into()], ..Compared::default() }, "WriteRefused"),
    ] {
        let status = said(&Situation::Compared(compared), &[]);
        assert_eq!((condition(&status, "InSync").1, status.reason.as_deref()), (reason, Some(reason)));
    }
}

#[test]
fn the_status_of_a_resource_never_seen_suggests_to_check_the_id_and_the_token() {
    let status = said(&Situation::NeverSeen, &[]);
    let message = "Droplet 1 does not exist in this account; check the id and the token";
    assert_eq!(condition(&status, "Ready"), ("False", "ResourceNotFound", message));
    assert_eq!(condition(&status, "InSync").0, "Unknown");
    assert_eq!(condition(&status, "Stalled").0, "True");
    assert!(status.first_seen_at.is_none());
}

#[test]
fn the_first_sight_is_written_once_and_kept() {
    let seen = said(&Situation::Compared(compared()), &[]);
    assert_eq!(seen.first_seen_at, Some(Time(LATER)));
    let gone = Compared { gone: true, ..Compared::default() };
    assert!(said(&Situation::Compared(gone.clone()), &[]).first_seen_at.is_none());
    let known = entry(&serde_json::to_value(&seen).unwrap(), &[]);
    assert!(known.record.status.was_seen());
    let again = status(&known, &Situation::Compared(compared()), None, Timestamp::MAX);
    assert_eq!(again.first_seen_at, seen.first_seen_at);
    assert!(known.record.status.says(&again), "a look without news writes nothing");
    let then_gone = status(&known, &Situation::Compared(gone), None, Timestamp::MAX);
    assert_eq!(then_gone.first_seen_at, seen.first_seen_at);
}

#[test]
fn a_record_that_an_earlier_version_compared_was_seen() {
    let of = |reason: &str, more: Value| {
        let mut status = json!({
            "openDrifts": 0,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": reason, "message": "compared with Droplet 1",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry(&status, &[]).record.status.was_seen()
    };
    assert!(of("Compared", json!({})));
    assert!(!of("LiveUnknown", json!({})));
    assert!(!of("Compared", json!({"reason": "NoDrift"})), "this version writes firstSeenAt");
}

#[test]
fn an_ignored_field_that_is_not_recorded_is_named_and_is_no_error() {
    let compared = Compared { ignored_unrecorded: vec!["nmae".into()], ..compared() };
    let status = said(&Situation::Compared(compared), &[]);
    let (truth, reason, message) = condition(&status, "Ready");
    assert_eq!((truth, reason), ("True", "Compared"));
    assert!(message.ends_with("spec.drift.ignore lists fields that are not recorded: nmae"), "{message}");
}

#[test]
fn nothing_is_stored_that_says_nothing_unless_others_wrote_it() {
    let status_of = |situation: Situation| said(&situation, &[]);
    let kinds = |status: &ProvisionedResourceStatus| {
        let stored = stored(status.clone());
        stored.conditions.iter().map(|condition| condition.type_.clone()).collect::<Vec<_>>()
    };
    let in_sync = status_of(Situation::Compared(compared()));
    let always = ["Ready", "InSync", "ManifestCurrent"];
    assert_eq!(kinds(&in_sync), always);
    let stalled = status_of(Situation::NeverSeen);
    assert_eq!(kinds(&stalled), [&always[..], &["Stalled"]].concat());
    let mut stood = serde_json::to_value(&in_sync).unwrap();
    stood["conditions"][2]["status"] = json!("False");
    let known = entry(&stood, &[]);
    assert!(!known.record.status.says(&in_sync), "the end of an acceptance is news");

    // Conditions that an earlier version stored, or no conditions at all, say the same as all conditions do.
    let mut earlier = serde_json::to_value(&in_sync).unwrap();
    for condition in earlier["conditions"].as_array_mut().unwrap().iter_mut().skip(2) {
        condition["message"] = json!("");
    }
    let known = entry(&earlier, &[]);
    assert!(known.record.status.says(&in_sync), "an upgrade writes nothing");
    assert_eq!(kinds(&in_sync), always, "and the next write removes it");
    assert!(StatusSummary::of(Some(&stored(in_sync.clone()))).says(&in_sync));

    let written = explicit(&status_of(Situation::Suspended));
    assert_eq!((&written["driftedFields"], &written["driftedFieldsShort"]), (&json!([]), &json!("")));
    for key in ["openDrifts", "observedGeneration", "acceptances", "reason", "conditions"] {
        assert!(written.get(key).is_some(), "{key}");
    }
    // Foreign writes count as a change, so that they are overwritten.
    let mut theirs = written.clone();
    theirs["driftedFields"] = json!(["theirs"]);
    let known = entry(&theirs, &[]);
    assert!(!known.record.status.says(&status(&known, &Situation::Suspended, None, LATER)));
}

#[test]
fn no_status_is_too_long_with_any_fields() {
    let long = |count: usize| (0..count).map(|_| "x".repeat(30_000)).collect::<Vec<_>>();
    let compared = Compared {
        unknown: long(256),
        invalid: long(256),
        refused: long(256),
        ignored_unrecorded: long(256),
        ..compared()
    };
    let drifts: Vec<_> = (0..256).map(|n| drift(&format!("{n}{}", "f".repeat(4000)), "a", "b", None)).collect();
    let status = said(&Situation::Compared(compared), &drifts);
    for condition in &status.conditions {
        assert!(condition.message.len() < 32_768, "{} is {} long", condition.type_, condition.message.len());
    }
    assert!(status.drifted_fields_short.chars().count() <= 60, "{}", status.drifted_fields_short);
    let reduced = reduced(status);
    assert!(serde_json::to_string(&reduced).unwrap().len() < 10_000);
}

#[test]
fn a_column_holds_as_many_fields_as_fit() {
    let fields = |names: &[&str]| column(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(fields(&[]), "");
    assert_eq!(fields(&["name", "size_slug"]), "name, size_slug");
    assert_eq!(
        fields(&["backup_policy", "monitoring", "size_slug", "vpc_uuid"]),
        "backup_policy, monitoring and 2 more"
    );
}

#[test]
fn times_of_1970_that_earlier_versions_left_are_replaced() {
    let conditions = ["Ready", "InSync"].map(|kind| {
        json!({
            "type": kind, "status": "Unknown", "reason": "Pending", "message": "waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        })
    });
    let known = entry(&json!({ "conditions": conditions }), &[]);
    let status = status(&known, &Situation::Suspended, None, LATER);
    assert!(status.conditions.iter().all(|condition| condition.last_transition_time.0 == LATER));
}

#[test]
fn the_names_of_certificates_stay_while_nothing_is_compared() {
    let names = |status: ProvisionedResourceStatus| status.certificates.into_iter().collect::<Vec<_>>();
    let stored = json!({ "certificates": { "id-1": "web" } });
    let known = vec![("id-1".to_owned(), "web".to_owned())];
    let unknown = Situation::Unknown(ConditionReason::InventoryStale, "too old".to_owned());
    assert_eq!(names(status(&entry(&stored, &[]), &unknown, None, LATER)), known);
    let certificates = known.iter().cloned().collect();
    let compared = |certificates| Situation::Compared(Compared { certificates, ..compared() });
    assert_eq!(names(said(&compared(certificates), &[])), known);
    assert_eq!(names(status(&entry(&stored, &[]), &compared(BTreeMap::new()), None, LATER)), Vec::new());
    let is_news = |stored: &Value, new: &ProvisionedResourceStatus| !entry(stored, &[]).record.status.says(new);
    let new = said(&compared(known.into_iter().collect()), &[]);
    assert!(!is_news(&serde_json::to_value(&new).unwrap(), &new));
    assert!(is_news(&serde_json::to_value(said(&compared(BTreeMap::new()), &[])).unwrap(), &new));
}
