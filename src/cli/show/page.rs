//! The contents of the pages of `show`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use crate::cli::{decide::RevertInProgress, drift::DriftView, output};

/// The contents of the page of a drift.
pub(in crate::cli) struct DriftPage {
    pub(in crate::cli) object: DynamicObject,
    pub(in crate::cli) drift: DriftView,
    pub(in crate::cli) record: Option<DynamicObject>,
    /// All drifts of the field.
    pub(in crate::cli) history: Vec<DynamicObject>,
    /// Other open drifts of the same change in the namespace.
    pub(in crate::cli) alike: usize,
    pub(in crate::cli) plan: Option<Value>,
    /// The merge patch that brings the manifest up to date.
    pub(in crate::cli) manifest_patch: Option<Value>,
    pub(in crate::cli) events: Vec<EventView>,
    pub(in crate::cli) sagas: Vec<SagaLine>,
    pub(in crate::cli) reverting: Option<RevertInProgress>,
    /// True if the saga that the drift names still exists.
    pub(in crate::cli) has_saga: bool,
    /// The field in the cloud now, if it was read.
    pub(in crate::cli) now: Option<NowInCloud>,
    /// The flag that selects the namespace in other commands.
    pub(in crate::cli) flag: String,
}

/// The current value of a field in the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum NowInCloud {
    InSync,
    /// The live value, in full.
    Differs(String),
    Unknown(String),
}

/// The contents of the page of a record.
pub(in crate::cli) struct RecordPage {
    pub(in crate::cli) record: DynamicObject,
    pub(in crate::cli) drifts: Vec<DynamicObject>,
    pub(in crate::cli) events: Vec<EventView>,
    pub(in crate::cli) sagas: Vec<SagaLine>,
    /// Each field in the cloud now, if it was read.
    pub(in crate::cli) now: Option<BTreeMap<String, NowInCloud>>,
    pub(in crate::cli) flag: String,
}

pub(in crate::cli) struct EventView {
    pub(in crate::cli) at: Option<Timestamp>,
    pub(in crate::cli) reason: String,
    pub(in crate::cli) message: String,
}

/// A saga that is about the resource.
pub(in crate::cli) struct SagaLine {
    pub(in crate::cli) name: String,
    pub(in crate::cli) kind: String,
    pub(in crate::cli) phase: String,
    pub(in crate::cli) created: Option<Timestamp>,
}

impl DriftPage {
    /// The contents for programs. The objects are as the API server has them.
    pub(in crate::cli) fn contents(&self) -> Value {
        let mut contents = json!({
            "drift": output::object(&self.object),
            "record": self.record.as_ref().map(output::object),
            "history": objects(&self.history),
            "alike": self.alike,
            "events": events(&self.events),
            "sagas": sagas(&self.sagas),
        });
        if let (Some(contents), Some(now)) = (contents.as_object_mut(), &self.now) {
            contents.insert("live".to_owned(), now.contents());
        }
        contents
    }
}

impl RecordPage {
    /// The contents for programs. The objects are as the API server has them.
    pub(in crate::cli) fn contents(&self) -> Value {
        let mut contents = json!({
            "record": output::object(&self.record),
            "drifts": objects(&self.drifts),
            "events": events(&self.events),
            "sagas": sagas(&self.sagas),
        });
        if let (Some(contents), Some(now)) = (contents.as_object_mut(), &self.now) {
            let fields: Map<_, _> = now.iter().map(|(field, now)| (field.clone(), now.contents())).collect();
            contents.insert("live".to_owned(), fields.into());
        }
        contents
    }
}

impl NowInCloud {
    /// With the words of `verify -o json`.
    fn contents(&self) -> Value {
        match self {
            Self::InSync => json!({ "verdict": "InSync" }),
            Self::Differs(actual) => json!({ "verdict": "Drift", "actual": actual }),
            Self::Unknown(why) => json!({ "verdict": "Unknown", "reason": why }),
        }
    }
}

fn objects(objects: &[DynamicObject]) -> Vec<Value> {
    objects.iter().map(output::object).collect()
}

fn events(events: &[EventView]) -> Vec<Value> {
    let contents =
        |EventView { at, reason, message }: &EventView| json!({ "at": at, "reason": reason, "message": message });
    events.iter().map(contents).collect()
}

fn sagas(sagas: &[SagaLine]) -> Vec<Value> {
    let contents = |SagaLine { name, kind, phase, created }: &SagaLine| json!({ "name": name, "kind": kind, "phase": phase, "created": created });
    sagas.iter().map(contents).collect()
}
