//! The findings of `status`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{ResourceExt as _, api::DynamicObject};

use super::report::LeaderReport;
use crate::{
    api::conditions,
    cli::drift::{ConditionView, condition, text},
    manifests::users::UserRole,
};

/// The label of the operator's Deployment, as the chart and the kustomize base set it.
pub(in crate::cli) const OPERATOR_LABEL: &str = "app.kubernetes.io/name=arcadia-operator";

/// The findings. A part that the user cannot read is an error with the message of the API server.
pub(in crate::cli) struct StatusFindings {
    pub(in crate::cli) now: Timestamp,
    pub(in crate::cli) server_version: String,
    /// The served plurals; none if the group is not served.
    pub(in crate::cli) definitions: Option<BTreeSet<String>>,
    pub(in crate::cli) leases: Result<Vec<LeaseView>, String>,
    /// The self-reports of the leaders, or the reason why the user cannot read them.
    pub(in crate::cli) reports: Vec<Result<LeaderReport, String>>,
    pub(in crate::cli) deployments: Result<Vec<DeploymentView>, String>,
    pub(in crate::cli) policies: Result<Policies, String>,
    pub(in crate::cli) records: Result<Records, String>,
    pub(in crate::cli) sagas: Result<BTreeMap<String, Vec<String>>, String>,
    /// By role: the verbs that the user lacks in the namespace, such as `accept drifts`.
    pub(in crate::cli) rights: Vec<(UserRole, String, bool)>,
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) flag: String,
}

/// A Lease of an operator.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct LeaseView {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) holder: Option<String>,
    pub(in crate::cli) renewed: Option<Timestamp>,
    pub(in crate::cli) seconds: i64,
}

/// A Deployment of an operator.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct DeploymentView {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) name: String,
    pub(in crate::cli) image: String,
    pub(in crate::cli) ready: i32,
    pub(in crate::cli) wanted: i32,
}

/// The admission policies by installation: the names without the prefix, and those with a binding.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Policies {
    pub(in crate::cli) bound: BTreeMap<String, BTreeSet<String>>,
    pub(in crate::cli) unbound: Vec<String>,
}

/// The records by state.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Records {
    pub(in crate::cli) all: usize,
    pub(in crate::cli) in_sync: usize,
    pub(in crate::cli) drifted: usize,
    pub(in crate::cli) open_drifts: i64,
    pub(in crate::cli) suspended: usize,
    /// Records that cannot be compared, by the reason of their condition, with an example and its message.
    pub(in crate::cli) troubled: BTreeMap<String, Trouble>,
    /// Records with standing acceptances.
    pub(in crate::cli) standing: usize,
}

#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Trouble {
    pub(in crate::cli) count: usize,
    pub(in crate::cli) example: String,
    pub(in crate::cli) message: String,
}

impl Records {
    pub(in crate::cli) fn add(&mut self, record: &DynamicObject) {
        let data = &record.data;
        self.all += 1;
        let number = |pointer: &str| data.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap_or_default();
        self.open_drifts += number("/status/openDrifts");
        let has_acceptances = data.pointer("/status/acceptances").and_then(|list| list.as_array());
        self.standing += usize::from(has_acceptances.is_some_and(|list| !list.is_empty()));
        if data.pointer("/spec/suspend").and_then(serde_json::Value::as_bool) == Some(true) {
            self.suspended += 1;
            return;
        }
        let in_sync = condition(data, conditions::IN_SYNC);
        let ready = condition(data, conditions::READY);
        let status = |condition: &Option<ConditionView>| condition.as_ref().map(|found| found.status.clone());
        match (status(&ready).as_deref(), status(&in_sync).as_deref()) {
            (Some("True"), Some("True")) => self.in_sync += 1,
            (Some("False"), Some("False")) => {
                // Some fields differ, and others cannot be compared.
                self.drifted += 1;
                self.trouble(record, ready);
            }
            (_, Some("False")) => self.drifted += 1,
            (Some("True"), _) => self.trouble(record, in_sync),
            (_, _) => self.trouble(record, ready),
        }
    }

    fn trouble(&mut self, record: &DynamicObject, condition: Option<ConditionView>) {
        let reason = text(&record.data, "/status/reason").unwrap_or(conditions::reason::PENDING).to_owned();
        let (reason, message) = condition.map_or((reason, String::new()), |found| (found.reason, found.message));
        let trouble = self.troubled.entry(reason).or_default();
        trouble.count += 1;
        if trouble.example.is_empty() {
            trouble.example = format!("{}/{}", record.namespace().unwrap_or_default(), record.name_any());
            trouble.message = message;
        }
    }
}
