//! The chart on a real API server, by the real Helm.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use control_plane::Process;
use digitalocean_simulator::{Options, Simulator};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, NAMESPACE, eventually},
    helm::{Helm, arguments, chart},
};

const TOKEN: &str = "dop_v1_never_to_be_printed";

#[tokio::test]
async fn a_release_is_installed_works_is_upgraded_rolled_back_and_uninstalled() {
    let Some(cluster) = Cluster::empty().await else { return };
    let helm = Helm::on(cluster.control_plane.kubeconfig());
    let folder = tempfile::tempdir().unwrap();
    let older = older_chart(folder.path());
    let older = older.to_str().unwrap();
    cluster.restricted_namespace(NAMESPACE).await;

    let install =
        ["install", "arcadia-operator", older, "-n", NAMESPACE, "--set", "syncSchedule=2s,sagas.actionPollInterval=1s"];
    let notes = helm.run(&install);
    for words in [
        "create secret generic digitalocean-token -n arcadia-system",
        "rollout status",
        "get drifts",
        "get sagas",
        "WARNING: no image is published",
    ] {
        assert!(notes.contains(words), "wanted {words} in: {notes}");
    }
    let token_file = folder.path().join("token");
    fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    let from_file = format!("--from-file=token={}", token_file.display());
    cluster.run(&["create", "secret", "generic", "digitalocean-token", "-n", NAMESPACE, &from_file]).await;
    // Nothing runs the pods here, but they were admitted as `restricted`.
    cluster.has_pods(NAMESPACE, 2).await;
    let plain = ["run", "plain", "--image=x", "-n", NAMESPACE, "--dry-run=server"];
    let refusal = cluster.try_run(&plain).await.unwrap_err();
    assert!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");
    cluster.is_established().await;
    assert_eq!(short_name(&cluster).await, "older");

    // The program that a pod would run.
    let simulator = Simulator::start(Options { token: Some(TOKEN.to_owned()), ..Options::default() }).await.unwrap();
    let droplet = json!({"id": 3_164_444, "name": "web-1", "size_slug": "s-4vcpu-8gb", "region": "nyc3", "image": "ubuntu-24-04-x64"});
    simulator.control().put("droplets", droplet).await.unwrap();
    let operator = Operator::start(&cluster, &simulator.url(), folder.path()).await;
    operator.is_ready().await;
    operator.passes_the_test_of_the_chart().await;
    let lease = ["get", "lease", "arcadia-operator", "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"];
    let holder = cluster.run(&lease).await;
    assert!(holder.starts_with("arcadia-operator-0"), "{holder}");
    decide(&cluster).await;
    change(&cluster).await;
    assert!(!operator.log().contains(TOKEN));

    let current = chart();
    let current = current.to_str().unwrap();
    helm.run(&["upgrade", "arcadia-operator", current, "-n", NAMESPACE, "--reuse-values", "--set", "replicas=3"]);
    assert_eq!(short_name(&cluster).await, "dr", "an upgrade upgrades the definitions");
    cluster.has_pods(NAMESPACE, 3).await;

    helm.run(&["rollback", "arcadia-operator", "1", "-n", NAMESPACE]);
    assert_eq!(short_name(&cluster).await, "older", "a rollback takes them back");
    cluster.has_pods(NAMESPACE, 2).await;
    assert_eq!(kept(&cluster).await, ["provisionedresource.arcadia.cloud/web-1", "Accepted", "Succeeded"]);

    helm.run(&["upgrade", "arcadia-operator", current, "-n", NAMESPACE, "--set", "syncSchedule=2s"]);
    assert_eq!(short_name(&cluster).await, "dr");
    drop(operator);
    helm.run(&["uninstall", "arcadia-operator", "-n", NAMESPACE]);
    let left = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,clusterroles,\
                clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,\
                mutatingadmissionpolicies,mutatingadmissionpolicybindings";
    let ours = "app.kubernetes.io/name=arcadia-operator";
    assert_eq!(cluster.run(&["get", left, "-A", "-l", ours, "-o", "name"]).await, "");
    assert_eq!(kept(&cluster).await, ["provisionedresource.arcadia.cloud/web-1", "Accepted", "Succeeded"]);

    helm.run(&["install", "arcadia-operator", current, "-n", NAMESPACE]);
    cluster.has_pods(NAMESPACE, 2).await;
    assert_eq!(kept(&cluster).await, ["provisionedresource.arcadia.cloud/web-1", "Accepted", "Succeeded"]);
}

#[tokio::test]
async fn releases_for_some_namespaces_have_no_right_outside_of_them_and_live_side_by_side() {
    let Some(cluster) = Cluster::empty().await else { return };
    let helm = Helm::on(cluster.control_plane.kubeconfig());
    for namespace in [NAMESPACE, "other-system", "team-a", "team-b"] {
        cluster.restricted_namespace(namespace).await;
    }

    let current = chart();
    let install = |name, namespace, more: &[&str]| {
        helm.run(&[&["install", name, current.to_str().unwrap(), "-n", namespace], more].concat())
    };
    install("arcadia-operator", NAMESPACE, &["--set", "watchNamespaces={team-a}"]);
    let second = "watchNamespaces={team-b},crds.install=false,userRoles.create=false,admissionPolicies.mutating=false";
    let notes = install("other", "other-system", &["--set", second]);
    assert!(notes.contains("other-arcadia-operator 0.") && notes.contains("team-b"), "{notes}");
    assert!(notes.contains("arcadia.cloud/accept=true arcadia.cloud/decided-by=YOUR-NAME"), "{notes}");

    cluster.has_pods(NAMESPACE, 2).await;
    cluster.has_pods("other-system", 2).await;
    cluster.is_established().await;
    cluster
        .operator_can_only(
            &[
                "watch provisionedresources.arcadia.cloud -n team-a",
                "delete provisionedresources.arcadia.cloud -n team-a",
                "create drifts.arcadia.cloud -n team-a",
                "patch drifts.arcadia.cloud --subresource=status -n team-a",
                "create sagas.arcadia.cloud -n team-a",
                "delete sagas.arcadia.cloud -n team-a",
                "update sagas.arcadia.cloud --subresource=status -n team-a",
                "create events.events.k8s.io -n team-a",
                "create leases.coordination.k8s.io -n arcadia-system",
                "update leases.coordination.k8s.io/arcadia-operator -n arcadia-system",
            ],
            &[
                "list drifts.arcadia.cloud -A",
                "list drifts.arcadia.cloud -n team-b",
                "list drifts.arcadia.cloud -n arcadia-system",
                "get sagas.arcadia.cloud -n team-b",
                "create sagas.arcadia.cloud -n team-b",
                "get leases.coordination.k8s.io/arcadia-operator -n team-a",
                "get leases.coordination.k8s.io/somebody-elses -n arcadia-system",
                "get secrets -n arcadia-system",
                "list pods -n team-a",
                "delete provisionedresources.arcadia.cloud -n team-b",
            ],
        )
        .await;

    // In each namespace only its own operator can write the spec of a drift.
    let other = "system:serviceaccount:other-system:other-arcadia-operator";
    for (namespace, operator) in [("team-a", crate::cluster::OPERATOR), ("team-b", other)] {
        let create = ["create", "--dry-run=server", "-f", "-", "-n", namespace];
        let drift = drift().to_string();
        let as_user = |user: &'static str| [create.as_slice(), &["--as", user]].concat();
        cluster
            .run(&["create", "rolebinding", "rogue", "-n", namespace, "--clusterrole=cluster-admin", "--user=rogue"])
            .await;
        eventually("the policies are in force", || async {
            let output = cluster.control_plane.kubectl().run_with_input(&as_user("rogue"), &drift).await;
            let refusal = output.err().map(|error| error.to_string()).unwrap_or_default();
            if refusal.contains("only the operator") && refusal.contains(operator) { Ok(()) } else { Err(refusal) }
        })
        .await;
        cluster.control_plane.kubectl().run_with_input(&as_user(operator), &drift).await.unwrap();
    }
}

/// A drift that an operator could have opened.
fn drift() -> Value {
    json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "Drift",
        "metadata": {"name": "web-1-name-0000000000-1"},
        "spec": {
            "resourceRef": {"name": "web-1", "uid": "00000000-0000-0000-0000-000000000000"},
            "resource": {"kind": "Droplet", "id": "3164444"},
            "field": "name", "expected": "a", "actual": "b", "specVersion": 1, "episode": 1,
        },
    })
}

/// An earlier version of the chart: with another definition.
fn older_chart(folder: &Path) -> PathBuf {
    let older = folder.join("arcadia-operator");
    copy(&chart(), &older);
    edit(&older.join("Chart.yaml"), "\nversion: ", "\nversion: 0.0.1-older.");
    edit(&older.join("templates/crd-drifts.yaml"), "    - dr\n", "    - older\n");
    older
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn short_name(cluster: &Cluster) -> String {
    cluster.run(&["get", "crd", "drifts.arcadia.cloud", "-o", "jsonpath={.spec.names.shortNames[*]}"]).await
}

/// The record, and the results of its drift and of the saga.
async fn kept(cluster: &Cluster) -> [String; 3] {
    [
        cluster.run(&["get", "provisionedresources", "-o", "name"]).await,
        cluster.run(&["get", "drifts", "-o", "jsonpath={.items[*].status.phase}"]).await,
        cluster.run(&["get", "sagas", "-o", "jsonpath={.items[*].status.phase}"]).await,
    ]
}

/// Orders a snapshot as an administrator of the namespace.
async fn change(cluster: &Cluster) {
    let saga = json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "Saga",
        "metadata": {"name": "snapshot-web-1"},
        "spec": {
            "kind": "provision",
            "inputs": {"droplet_provider_id": "3164444"},
            "steps": [{"name": "snapshot", "step": "CreateDropletSnapshot"}],
        },
    });
    let order = ["create", "--as", "ops", "-f", "-"];
    cluster.control_plane.kubectl().run_with_input(&order, &saga.to_string()).await.unwrap();
    cluster.run(&["wait", "--for=condition=Succeeded", "saga/snapshot-web-1", "--timeout=60s"]).await;
}

/// Opens a drift. A user without the verb is refused, and an administrator of the namespace accepts it.
async fn decide(cluster: &Cluster) {
    let record = json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "ProvisionedResource",
        "metadata": {"name": "web-1"},
        "spec": {"resource": {"kind": "Droplet", "id": "3164444"}, "desired": {"size_slug": "s-2vcpu-4gb"}},
    });
    cluster.apply(&record).await;
    let drift = eventually("a drift", || async {
        let drifts = cluster.run(&["get", "drifts", "-o", "name"]).await;
        (drifts.lines().count() == 1).then_some(drifts.clone()).ok_or(drifts)
    })
    .await;
    let resource = "--resource=drifts.arcadia.cloud";
    cluster.run(&["create", "role", "annotates", "--verb=get,patch", resource]).await;
    cluster.run(&["create", "rolebinding", "mallory", "--role=annotates", "--user=mallory"]).await;
    cluster.run(&["create", "rolebinding", "ops", "--clusterrole=admin", "--user=ops"]).await;
    eventually("a user without the verb is refused", || async {
        let accept = ["annotate", &drift, "arcadia.cloud/accept=true", "--dry-run=server", "--as", "mallory"];
        let refusal = cluster.try_run(&accept).await.err().unwrap_or_default();
        if refusal.contains("only users with the verb accept on drifts") { Ok(()) } else { Err(refusal) }
    })
    .await;
    eventually("an administrator of the namespace accepts it", || async {
        cluster.try_run(&["annotate", "--overwrite", &drift, "arcadia.cloud/accept=true", "--as", "ops"]).await
    })
    .await;
    cluster.run(&["wait", "--for=jsonpath={.status.phase}=Accepted", &drift, "--timeout=60s"]).await;
    assert_eq!(cluster.run(&["get", &drift, "-o", "jsonpath={.status.decidedBy}"]).await, "ops");
    // The manifest declares the size, so the acceptance stands.
    let accepted = "--for=jsonpath={.status.acceptances[0].accepted}=s-4vcpu-8gb";
    cluster.run(&["wait", accepted, "pr/web-1", "--timeout=60s"]).await;
}

/// The program with the arguments, the environment and the account of the Deployment. Only the addresses of the cloud
/// and of the metrics belong to this machine, and the token's file is where a pod would mount it.
struct Operator {
    process: Process,
    address: String,
}

impl Operator {
    async fn start(cluster: &Cluster, cloud: &str, folder: &Path) -> Self {
        let deployment = cluster.run(&["get", "deployment", "arcadia-operator", "-n", NAMESPACE, "-o", "json"]).await;
        let deployment: Value = serde_json::from_str(&deployment).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let here = [
            ("--digitalocean-api-url", cloud.to_owned()),
            ("--digitalocean-token-file", folder.join("token").display().to_string()),
            ("--metrics-address", address.clone()),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_arcadia-operator"));
        for argument in arguments(&deployment["spec"]["template"]) {
            match here.iter().find(|(flag, _)| argument.starts_with(&format!("{flag}="))) {
                Some((flag, value)) => command.arg(format!("{flag}={value}")),
                None => command.arg(argument),
            };
        }
        command.env_clear().env("KUBECONFIG", kubeconfig(cluster, folder).await);
        for variable in deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap() {
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("metadata.namespace") => NAMESPACE,
                Some("metadata.name") => "arcadia-operator-0",
                _ => variable["value"].as_str().unwrap(),
            };
            command.env(variable["name"].as_str().unwrap(), value);
        }
        Self { process: cluster.control_plane.spawn(&command, "operator").unwrap(), address }
    }

    /// Waits for the condition of the readiness probe.
    async fn is_ready(&self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for path in ["readyz", "livez"] {
            eventually(path, || async {
                let url = format!("http://{}/{path}", self.address);
                let answer = client.get(url).send().await.map_err(|error| format!("{error}: {}", self.log()))?;
                if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap()) }
            })
            .await;
        }
    }

    /// Runs the command of the pod of `helm test`, with another address: nothing runs pods here.
    async fn passes_the_test_of_the_chart(&self) {
        let probe = |url: String| {
            let mut probe = tokio::process::Command::new(env!("CARGO_BIN_EXE_arcadia-operator"));
            probe.args(["probe", &url]).env_clear();
            async move { probe.output().await.unwrap() }
        };
        assert!(probe(format!("http://{}/readyz", self.address)).await.status.success());
        let missing = probe(format!("http://{}/nothing", self.address)).await;
        assert_eq!(missing.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&missing.stderr).contains("404"), "{missing:?}");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = probe(format!("http://{nobody}/readyz")).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("check that the operator runs"), "{refused:?}");
        assert_eq!(probe("localhost:8080".to_owned()).await.status.code(), Some(2));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.process.log()).unwrap()
    }
}

/// A kubeconfig with a token of the account, and no other right.
async fn kubeconfig(cluster: &Cluster, folder: &Path) -> PathBuf {
    let token = cluster.run(&["create", "token", "arcadia-operator", "-n", NAMESPACE]).await;
    let config = cluster.run(&["config", "view", "--raw", "--minify", "-o", "json"]).await;
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["users"][0]["user"] = json!({"token": token});
    let path = folder.join("kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    path
}
