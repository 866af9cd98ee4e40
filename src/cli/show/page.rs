//! The contents of the pages of `show`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::cli::drift::DriftView;

/// The contents of the page of a drift.
pub(in crate::cli) struct DriftPage {
    pub(in crate::cli) drift: DriftView,
    pub(in crate::cli) record: Option<DynamicObject>,
    pub(in crate::cli) history: Vec<DriftView>,
    /// Other open drifts of the same change in the namespace.
    pub(in crate::cli) alike: usize,
    pub(in crate::cli) plan: Option<Value>,
    /// The merge patch that brings the manifest up to date.
    pub(in crate::cli) manifest_patch: Option<Value>,
    pub(in crate::cli) events: Vec<EventView>,
    pub(in crate::cli) sagas: Vec<SagaLine>,
    /// The field in the cloud now, where it was read.
    pub(in crate::cli) now: Option<NowInCloud>,
    /// The flag that leads other commands to the namespace.
    pub(in crate::cli) flag: String,
}

/// The value of a field in the cloud at the moment.
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
    pub(in crate::cli) drifts: Vec<DriftView>,
    pub(in crate::cli) events: Vec<EventView>,
    pub(in crate::cli) sagas: Vec<SagaLine>,
    /// Each field in the cloud now, where it was read.
    pub(in crate::cli) now: Option<BTreeMap<String, NowInCloud>>,
    pub(in crate::cli) flag: String,
}

/// One event.
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
