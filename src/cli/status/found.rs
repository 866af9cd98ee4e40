//! The findings of `status`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use super::report::{LeaderReport, Unreported};
use crate::{
    api::conditions::{self, ConditionReason},
    cli::drift::{ConditionView, condition, text},
    manifests::{policies::NAMES, users::UserRole},
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
    /// The self-reports of the leaders, or the reason why one cannot be read.
    pub(in crate::cli) reports: Vec<Result<LeaderReport, Unreported>>,
    pub(in crate::cli) deployments: Result<Vec<DeploymentView>, String>,
    pub(in crate::cli) policies: Result<Policies, String>,
    pub(in crate::cli) records: Result<RecordCounts, String>,
    pub(in crate::cli) sagas: Result<BTreeMap<String, Vec<String>>, String>,
    /// By role: the verbs that the user lacks in the namespace, such as `accept drifts`.
    pub(in crate::cli) rights: Vec<(UserRole, String, bool)>,
    /// The name of the user at the API server.
    pub(in crate::cli) user: String,
    pub(in crate::cli) namespace: String,
    /// True if the command covers all namespaces.
    pub(in crate::cli) is_all: bool,
    /// The flags that select the same namespaces and cluster in another command, with a leading space.
    pub(in crate::cli) flag: String,
    /// The flags that select the same cluster in another command, with a leading space.
    pub(in crate::cli) place_flags: String,
    pub(in crate::cli) admin_flags: String,
}

/// A release of Helm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Helm {
    pub(in crate::cli) release: String,
    pub(in crate::cli) namespace: String,
}

impl Helm {
    /// The release that installed an object; none if Helm did not.
    pub(in crate::cli) fn of(object: &impl ResourceExt) -> Option<Self> {
        let of = |name: &str| object.annotations().get(&format!("meta.helm.sh/{name}")).cloned();
        Some(Self { release: of("release-name")?, namespace: of("release-namespace")? })
    }
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
    pub(in crate::cli) service_account: String,
    pub(in crate::cli) image: String,
    pub(in crate::cli) ready: i32,
    pub(in crate::cli) wanted: i32,
    pub(in crate::cli) helm: Option<Helm>,
    /// The arguments of the operator.
    pub(in crate::cli) arguments: Vec<String>,
}

/// The admission policies.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Policies {
    /// By installation, the names without the prefix.
    pub(in crate::cli) bound: BTreeMap<String, BTreeSet<String>>,
    /// Policies without a binding that denies, each with its installation.
    pub(in crate::cli) unbound: Vec<(String, String)>,
    /// By installation, the release that installed the policies.
    pub(in crate::cli) helm: BTreeMap<String, Helm>,
}

impl Policies {
    /// Sorts policies by installation. `bound` are the names of those with a binding that denies.
    pub(in crate::cli) fn of(policies: Vec<(String, Option<Helm>)>, bound: &BTreeSet<String>) -> Self {
        let mut found = Self::default();
        for (name, helm) in policies {
            // Of two matching names, such as `marks` and `revert-marks`, the longer one applies.
            let parts = NAMES.iter().filter_map(|part| Some((name.strip_suffix(part)?.strip_suffix('-')?, *part)));
            let Some((installation, part)) = parts.max_by_key(|(_, part)| part.len()) else { continue };
            if let Some(helm) = helm {
                found.helm.insert(installation.to_owned(), helm);
            }
            if bound.contains(&name) {
                found.bound.entry(installation.to_owned()).or_default().insert(part.to_owned());
            } else {
                found.unbound.push((name.clone(), installation.to_owned()));
            }
        }
        // A policy of a later version, such as `NAME-more-marks`, is no separate installation.
        let names: Vec<String> = found.bound.keys().cloned().collect();
        let is_within =
            |name: &str, other: &String| name.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('-'));
        found.bound.retain(|name, parts| parts.len() > 1 || !names.iter().any(|other| is_within(name, other)));
        found
    }
}

/// The records by state.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct RecordCounts {
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

#[derive(Clone, Debug)]
pub(in crate::cli) struct RecordState {
    open_drifts: i64,
    has_acceptances: bool,
    comparison: SyncVerdict,
}

#[derive(Clone, Debug)]
enum SyncVerdict {
    Suspended,
    InSync,
    Drifted,
    /// Some fields differ, and others cannot be compared.
    PartlyDrifted(Symptom),
    Unknown(Symptom),
}

/// The condition of a record that cannot be compared.
#[derive(Clone, Debug)]
struct Symptom {
    reason: String,
    message: String,
    record: String,
}

impl RecordState {
    pub(in crate::cli) fn read(record: &DynamicObject) -> Self {
        let data = &record.data;
        let in_sync = condition(data, conditions::IN_SYNC);
        let ready = condition(data, conditions::READY);
        let status = |condition: &Option<ConditionView>| condition.as_ref().map(|found| found.status.clone());
        let cause = |condition: Option<ConditionView>| {
            let reason = text(data, "/status/reason").unwrap_or(ConditionReason::Pending.name()).to_owned();
            let (reason, message) = condition.map_or((reason, String::new()), |found| (found.reason, found.message));
            Symptom {
                reason,
                message,
                record: format!("{}/{}", record.namespace().unwrap_or_default(), record.name_any()),
            }
        };
        let is_suspended = data.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
        let comparison = match (status(&ready).as_deref(), status(&in_sync).as_deref()) {
            _ if is_suspended => SyncVerdict::Suspended,
            (Some("True"), Some("True")) => SyncVerdict::InSync,
            (Some("False"), Some("False")) => SyncVerdict::PartlyDrifted(cause(ready)),
            (_, Some("False")) => SyncVerdict::Drifted,
            (Some("True"), _) => SyncVerdict::Unknown(cause(in_sync)),
            (_, _) => SyncVerdict::Unknown(cause(ready)),
        };
        let acceptances = data.pointer("/status/acceptances").and_then(Value::as_array);
        Self {
            open_drifts: data.pointer("/status/openDrifts").and_then(Value::as_i64).unwrap_or_default(),
            has_acceptances: acceptances.is_some_and(|list| !list.is_empty()),
            comparison,
        }
    }
}

impl FromIterator<RecordState> for RecordCounts {
    fn from_iter<T: IntoIterator<Item = RecordState>>(states: T) -> Self {
        let mut records = Self::default();
        for state in states {
            records.add(state);
        }
        records
    }
}

impl RecordCounts {
    fn add(&mut self, state: RecordState) {
        self.all += 1;
        self.open_drifts += state.open_drifts;
        self.standing += usize::from(state.has_acceptances);
        match state.comparison {
            SyncVerdict::Suspended => self.suspended += 1,
            SyncVerdict::InSync => self.in_sync += 1,
            SyncVerdict::Drifted => self.drifted += 1,
            SyncVerdict::PartlyDrifted(cause) => {
                self.drifted += 1;
                self.trouble(cause);
            }
            SyncVerdict::Unknown(cause) => self.trouble(cause),
        }
    }

    fn trouble(&mut self, Symptom { reason, message, record }: Symptom) {
        let trouble = self.troubled.entry(reason).or_default();
        trouble.count += 1;
        if trouble.example.is_empty() {
            trouble.example = record;
            trouble.message = message;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_belongs_to_one_installation() {
        let of = |installation: &str| NAMES.map(|part| (format!("{installation}-{part}"), None));
        let mut policies = [of("arcadia-operator"), of("arcadia-operator-b")].concat();
        policies.push(("arcadia-operator-later-marks".to_owned(), None));
        let bound: BTreeSet<String> = policies.iter().map(|(name, _)| name.clone()).collect();
        let found = Policies::of(policies.clone(), &bound);
        assert_eq!(found.bound.keys().collect::<Vec<_>>(), ["arcadia-operator", "arcadia-operator-b"]);
        assert!(found.bound.values().all(|parts| parts.len() == NAMES.len()), "{found:?}");
        let found = Policies::of(policies, &BTreeSet::new());
        assert_eq!(found.unbound[6], ("arcadia-operator-revert-marks".to_owned(), "arcadia-operator".to_owned()));
    }
}
