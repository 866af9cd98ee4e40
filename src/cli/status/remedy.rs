//! The commands that correct a finding, ready to type. Pure.

use super::found::{DeploymentView, Helm, StatusFindings};
use crate::{api::OPERATOR, cli::cluster::quoted, manifests::users::UserRole};

/// The chart, as the documentation names it.
const CHART: &str = "charts/arcadia-operator";
/// The namespace of the documentation.
const NAMESPACE: &str = "arcadia-system";
/// The first minor version of Kubernetes 1 that signs decisions itself.
const SIGNS: u32 = 36;
/// The flag of the operator that limits it to some namespaces.
const WATCHED: &str = "--namespace";

/// A setting of the operator.
pub(super) struct Setting {
    /// The value of the chart.
    pub(super) value: &'static str,
    /// The flag of the operator.
    pub(super) flag: &'static str,
}

pub(super) const SYNC_SCHEDULE: Setting = Setting { value: "syncSchedule", flag: "--sync-schedule" };
pub(super) const MAX_AGE: Setting = Setting { value: "inventoryMaxAge", flag: "--inventory-max-age" };

/// Installs the admission policies of an installation, or of the only one.
pub(super) fn policies(found: &StatusFindings, installation: Option<&str>) -> String {
    let of_policies = found.policies.as_ref().ok().and_then(|policies| policies.helm.get(installation?));
    let deployments = found.deployments.as_deref().unwrap_or_default();
    let is_of = |deployment: &&DeploymentView| installation.is_none_or(|installation| deployment.name == installation);
    let deployment = deployments.iter().find(is_of).or(deployments.first());
    let set = if signs(&found.server_version) {
        "--set admissionPolicies.create=true"
    } else {
        "--set admissionPolicies.create=true,admissionPolicies.mutating=false"
    };
    match (of_policies.or_else(|| deployment?.helm.as_ref()), deployment) {
        (Some(helm), _) => upgrade(found, helm, set),
        (None, None) if installation.is_none() => {
            let lease = found.leases.as_ref().ok().and_then(|leases| leases.first());
            let namespace = lease.map_or(NAMESPACE, |lease| &lease.namespace);
            format!(
                "helm upgrade {OPERATOR} {CHART} --install --create-namespace -n {namespace} {set}{}",
                helm_flags(found)
            )
        }
        (None, deployment) => {
            let is_limited = deployment.is_some_and(|deployment| {
                let is_it = |argument: &String| argument.split('=').next() == Some(WATCHED);
                deployment.arguments.iter().any(is_it)
            });
            let overlay = if is_limited { "namespaced" } else { "cluster-wide" };
            format!("kubectl apply -k deploy/overlays/{overlay}{}", found.admin_flags)
        }
    }
}

/// Changes a setting of the operator in this namespace.
pub(super) fn set(found: &StatusFindings, namespace: &str, setting: &Setting, value: &str) -> String {
    let deployments = found.deployments.as_deref().unwrap_or_default();
    let deployment = deployments.iter().find(|deployment| deployment.namespace == namespace);
    if let Some(helm) = deployment.and_then(|deployment| deployment.helm.as_ref()) {
        return upgrade(found, helm, &format!("--set {}={value}", setting.value));
    }
    let name = deployment.map_or(OPERATOR, |deployment| &deployment.name);
    format!("kubectl edit deployment {name} -n {namespace}{}   # {}={value}", found.admin_flags, setting.flag)
}

fn upgrade(found: &StatusFindings, Helm { release, namespace }: &Helm, set: &str) -> String {
    format!("helm upgrade {release} {CHART} -n {namespace} --reuse-values {set}{}", helm_flags(found))
}

/// Helm has another name for the context.
fn helm_flags(found: &StatusFindings) -> String {
    found.admin_flags.replace(" --context ", " --kube-context ")
}

/// Gives the user a role.
pub(super) fn bind(found: &StatusFindings, role: UserRole) -> String {
    let (kind, namespace) = if found.is_all {
        ("clusterrolebinding", String::new())
    } else {
        ("rolebinding", format!(" -n {}", found.namespace))
    };
    let (name, user, flags) = (role.name(), quoted(&found.user), &found.admin_flags);
    let binding = format!("{name}-{}", slug(&found.user));
    format!(
        "an administrator grants them with: kubectl create {kind} {binding} --clusterrole={name} --user={user}{namespace}{flags}"
    )
}

/// Gives the user the right to read the reports of operators in a namespace.
pub(super) fn read_reports(found: &StatusFindings, namespace: &str) -> String {
    let (user, binding, flags) = (quoted(&found.user), slug(&found.user), &found.admin_flags);
    let role = "arcadia-report";
    format!(
        "an administrator grants it with: kubectl create role {role} --verb=get --resource=pods,pods/proxy -n {namespace}{flags} \
         && kubectl create rolebinding {role}-{binding} --role={role} --user={user} -n {namespace}{flags}"
    )
}

/// A user name as a part of the name of an object.
fn slug(user: &str) -> String {
    let dashed: String =
        user.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' }).collect();
    dashed.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// Returns true if the API server signs decisions.
fn signs(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|number| number.parse().unwrap_or(0));
    let (major, minor): (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (major, minor) >= (1, SIGNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::view::tests::healthy;

    #[test]
    fn policies_are_installed_again_with_the_tool_that_installed_the_operator() {
        let mut found = healthy();
        let helm = Helm { release: "drifts".into(), namespace: "ops".into() };
        let command = policies(&found, Some("arcadia-operator"));
        assert_eq!(command, "kubectl apply -k deploy/overlays/cluster-wide");
        if let Ok([deployment]) = found.deployments.as_deref_mut() {
            deployment.arguments = vec!["run".into(), "--namespace=team-a".into()];
        }
        assert_eq!(policies(&found, None), "kubectl apply -k deploy/overlays/namespaced");
        if let Ok([deployment]) = found.deployments.as_deref_mut() {
            deployment.helm = Some(helm.clone());
        }
        found.server_version = "v1.36.2".into();
        found.admin_flags = " --context prod".into();
        let wanted = "helm upgrade drifts charts/arcadia-operator -n ops --reuse-values --set admissionPolicies.create=true \
                      --kube-context prod";
        assert_eq!(policies(&found, None), wanted);
        found.deployments = Ok(Vec::new());
        found.server_version = "v1.35.0+k3s1".into();
        assert!(policies(&found, None).contains("--install --create-namespace -n arcadia-system"));
        if let Ok(policies) = &mut found.policies {
            policies.helm.insert("drifts-arcadia-operator".to_owned(), helm);
        }
        let wanted = "helm upgrade drifts charts/arcadia-operator -n ops --reuse-values --set \
                      admissionPolicies.create=true,admissionPolicies.mutating=false --kube-context prod";
        assert_eq!(policies(&found, Some("drifts-arcadia-operator")), wanted);
    }

    #[test]
    fn a_right_is_granted_to_the_user_that_lacks_it() {
        let mut found = healthy();
        found.user = "https://login.example.com#jane doe".into();
        let wanted = "kubectl create rolebinding arcadia-viewer-https-login-example-com-jane-doe \
                      --clusterrole=arcadia-viewer --user='https://login.example.com#jane doe' -n default";
        assert!(bind(&found, UserRole::Viewer).ends_with(wanted), "{}", bind(&found, UserRole::Viewer));
        found.is_all = true;
        found.admin_flags = " --context prod".into();
        assert!(bind(&found, UserRole::Viewer).contains("create clusterrolebinding arcadia-viewer-"));
        assert!(bind(&found, UserRole::Viewer).ends_with(" --context prod"));
    }
}
