//! The commands that correct a finding, ready to type. Pure.

use super::found::{DeploymentView, Helm, StatusFindings};
use crate::{
    api::OPERATOR,
    cli::cluster::quoted,
    manifests::{
        places::{NAMESPACE, RECORDS},
        users::UserRole,
    },
};

/// The chart, as the documentation names it.
const CHART: &str = "charts/arcadia-operator";
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

/// Installs the admission policies of an installation, or of the only one. None without an operator in the cluster and
/// without policies: nobody knows which user the policies must exempt.
pub(super) fn policies(found: &StatusFindings, installation: Option<&str>) -> Option<String> {
    let of_policies = found.policies.as_ref().ok().and_then(|policies| policies.helm.get(installation?));
    let deployments = found.deployments.as_deref().unwrap_or_default();
    let is_of = |deployment: &&DeploymentView| installation.is_none_or(|installation| deployment.name == installation);
    let deployment = deployments.iter().find(is_of).or(deployments.first());
    if let Some(helm) = of_policies.or_else(|| deployment?.helm.as_ref()) {
        let set = if signs(&found.server_version) { "" } else { ",admissionPolicies.mutating=false" };
        return Some(upgrade(found, helm, &format!("--set admissionPolicies.create=true{set}")));
    }
    let lease = found.leases.as_ref().ok().and_then(|leases| leases.first());
    let name = deployment.map_or(installation, |deployment| Some(deployment.name.as_str()))?;
    let namespace = deployment.map(|deployment| &deployment.namespace).or(lease.map(|lease| &lease.namespace));
    let account = deployment.map_or(name, |deployment| match deployment.service_account.as_str() {
        "" => "default",
        account => account,
    });
    let watched: Vec<_> = deployment.into_iter().flat_map(watched).collect();
    Some(apply(found, name, account, namespace.map_or(NAMESPACE, String::as_str), &watched))
}

/// Applies only the policies: the overlays would also set the image. The policies exempt the account of the operator.
fn apply(found: &StatusFindings, name: &str, account: &str, namespace: &str, watched: &[&str]) -> String {
    let mut files = vec!["policies.yaml"];
    files.extend(signs(&found.server_version).then_some("policies-mutating.yaml"));
    let all = |flag: &str, folder: &str| -> String {
        files.iter().flat_map(|file| [" ", flag, " ", folder, "/", *file]).collect()
    };
    let overlay = match watched {
        [] => Some("cluster-wide"),
        [RECORDS] => Some("namespaced"),
        _ => None,
    };
    if let Some(overlay) = overlay.filter(|_| (name, account, namespace) == (OPERATOR, OPERATOR, NAMESPACE)) {
        let files = all("-f", &format!("deploy/overlays/{overlay}"));
        return format!("kubectl apply --server-side{files}{}", found.admin_flags);
    }
    let mut values = vec![format!("fullnameOverride={name}")];
    values.extend((account != name).then(|| format!("serviceAccount.name={account}")));
    values.extend((!watched.is_empty()).then(|| format!("'watchNamespaces={{{}}}'", watched.join(","))));
    values.extend((!signs(&found.server_version)).then(|| "admissionPolicies.mutating=false".to_owned()));
    let set: String = values.iter().flat_map(|value| [" --set ", value]).collect();
    let files = all("-s", "templates");
    let version = found.server_version.split('+').next().unwrap_or_default();
    format!(
        "helm template {name} {CHART} -n {namespace} --kube-version {version}{set}{files} | kubectl apply --server-side -f -{}",
        found.admin_flags
    )
}

/// The namespaces to which an operator is limited.
fn watched(deployment: &DeploymentView) -> impl Iterator<Item = &str> {
    let next = deployment.arguments.iter().skip(1).map(Some).chain([None]);
    deployment.arguments.iter().zip(next).filter_map(|(argument, next)| match argument.strip_prefix(WATCHED)? {
        "" => next.map(String::as_str),
        value => value.strip_prefix('='),
    })
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
        let command = |found: &StatusFindings, installation| policies(found, installation).unwrap_or_default();
        assert_eq!(
            command(&found, Some("arcadia-operator")),
            "kubectl apply --server-side -f deploy/overlays/cluster-wide/policies.yaml"
        );
        let limit = |found: &mut StatusFindings, namespaces: &[&str]| {
            if let Ok([deployment]) = found.deployments.as_deref_mut() {
                let flags = namespaces.iter().map(|namespace| format!("--namespace={namespace}"));
                deployment.arguments = ["run".to_owned()].into_iter().chain(flags).collect();
            }
        };
        limit(&mut found, &["arcadia-records"]);
        let namespaced = "kubectl apply --server-side -f deploy/overlays/namespaced/policies.yaml";
        assert_eq!(command(&found, None), namespaced);
        if let Ok([deployment]) = found.deployments.as_deref_mut() {
            deployment.arguments = ["run", "--namespace", "arcadia-records"].map(str::to_owned).to_vec();
        }
        assert_eq!(command(&found, None), namespaced);
        // Neither overlay has these namespaces.
        limit(&mut found, &["team-a", "team-b"]);
        assert_eq!(
            command(&found, None),
            "helm template arcadia-operator charts/arcadia-operator -n arcadia-system --kube-version v1.34.1 \
             --set fullnameOverride=arcadia-operator --set 'watchNamespaces={team-a,team-b}' \
             --set admissionPolicies.mutating=false -s templates/policies.yaml | kubectl apply --server-side -f -"
        );
        if let Ok([deployment]) = found.deployments.as_deref_mut() {
            deployment.helm = Some(helm.clone());
        }
        found.server_version = "v1.36.2".into();
        found.admin_flags = " --context prod".into();
        let wanted = "helm upgrade drifts charts/arcadia-operator -n ops --reuse-values --set admissionPolicies.create=true \
                      --kube-context prod";
        assert_eq!(command(&found, None), wanted);
        found.deployments = Ok(Vec::new());
        found.server_version = "v1.35.0+k3s1".into();
        // The operator runs outside of the cluster, as an unknown user.
        assert_eq!(policies(&found, None), None);
        if let Ok(policies) = &mut found.policies {
            policies.helm.insert("drifts-arcadia-operator".to_owned(), helm);
        }
        let wanted = "helm upgrade drifts charts/arcadia-operator -n ops --reuse-values --set \
                      admissionPolicies.create=true,admissionPolicies.mutating=false --kube-context prod";
        assert_eq!(command(&found, Some("drifts-arcadia-operator")), wanted);
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
