//! The program's contract with scripts: its output, its exit codes, and its endpoints.

use std::{net::TcpListener, process::Output, time::Duration};

use arcadia_operator::api;
use control_plane::{ControlPlane, Options};
use digitalocean_simulator::RateLimits;
use serde_json::json;
use tokio::process::Command;

use crate::world::{World, control_plane, droplet, eventually};

/// Runs the program with only the given environment.
async fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arcadia-operator"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(40), command.output()).await.expect("it should have ended").unwrap()
}

/// It exits with 2 and prints one line with these words.
async fn refuses(arguments: &[&str], environment: &[(&str, &str)], words: &[&str]) {
    let output = program(arguments, environment).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: wanted {word:?} in: {said}");
    }
}

#[tokio::test]
async fn the_definitions_are_printed_as_yaml() {
    let output = program(&["crds"], &[]).await;
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), api::crds_as_yaml().unwrap());
}

#[tokio::test]
async fn invalid_settings_exit_with_one_line() {
    let token = [("DIGITALOCEAN_TOKEN", "x")];
    refuses(&["--sync-schedule", "soon"], &token, &["--sync-schedule", "soon", "5m", "15 * * * *"]).await;
    refuses(&["run", "--sync-schedule", "61 * * * *"], &token, &["--sync-schedule"]).await;
    refuses(&["--detect-schedule", "0s"], &token, &["--detect-schedule", "at least 1s"]).await;
    refuses(&["--drift-history-limit", "0"], &token, &["--drift-history-limit", "1..=1000"]).await;
    refuses(&["--inventory-max-age", "5m"], &token, &["--inventory-max-age", "longer"]).await;
    refuses(&["--settle-time", "1s"], &token, &["--settle-time", "4s or longer"]).await;
    refuses(&["--metrics-address", "nowhere"], &token, &["--metrics-address", "nowhere"]).await;
    refuses(&["--log-format", "xml"], &token, &["--log-format", "text", "json"]).await;
    refuses(&["--no-such-flag"], &token, &["--no-such-flag"]).await;
    refuses(&[], &[("DIGITALOCEAN_TOKEN", "x"), ("ARCADIA_SYNC_SCHEDULE", "soon")], &["--sync-schedule"]).await;
    refuses(&[], &[("DIGITALOCEAN_TOKEN", "x"), ("DIGITALOCEAN_API_URL", "http://example.com")], &["https"]).await;
    refuses(&[], &[], &["DIGITALOCEAN_TOKEN", "--digitalocean-token-file"]).await;
    refuses(&[], &[("DIGITALOCEAN_ACCESS_TOKEN", " ")], &["DIGITALOCEAN_TOKEN"]).await;
    refuses(&["--digitalocean-token-file", "/does/not/exist"], &[], &["/does/not/exist"]).await;
}

#[tokio::test]
async fn an_unusable_cluster_exits_with_one_line() {
    let token = ("DIGITALOCEAN_TOKEN", "x");
    refuses(&[], &[token, ("HOME", "/nonexistent")], &["no Kubernetes cluster", "KUBECONFIG"]).await;

    // Nothing listens on this port.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let cluster = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    std::fs::write(&kubeconfig, cluster.to_string()).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    refuses(&[], &[token, ("KUBECONFIG", kubeconfig)], &["connecting to the Kubernetes API server", &port.to_string()])
        .await;
}

#[tokio::test]
async fn missing_definitions_exit_with_the_command_to_apply_them() {
    let control_plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    let kubeconfig = control_plane.kubeconfig().to_str().unwrap();
    let environment = [("DIGITALOCEAN_TOKEN", "x"), ("KUBECONFIG", kubeconfig)];
    refuses(&[], &environment, &["ProvisionedResource", "arcadia-operator crds | kubectl apply"]).await;
}

#[tokio::test]
async fn a_missing_role_in_one_namespace_exits_with_its_name() {
    let mut world = World::without_operator("one-role", RateLimits::default()).await;
    let kubeconfig = world.credential().await.kubeconfig;
    let environment = [("DIGITALOCEAN_TOKEN", "x"), ("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let own = world.namespace.name().to_owned();
    let arguments = ["run", "--namespace", &own, "--namespace", "kube-public", "--lease-namespace", &own];
    let words = ["listing ProvisionedResources in namespace kube-public", "forbidden", "cannot list", "role"];
    refuses(&arguments, &environment, &words).await;
    std::fs::write(&kubeconfig, std::fs::read_to_string(&kubeconfig).unwrap().replace("token\":\"", "token\":\"x"))
        .unwrap();
    refuses(&arguments[..3], &environment, &["authenticating", "Unauthorized", "credentials"]).await;
}

#[tokio::test]
async fn health_and_metrics_match_the_state() {
    let _ = control_plane().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator("health", limits).await;
    let unavailable = digitalocean_simulator::Effect::Status { status: 500, retry_after: None, html: false };
    world.cloud.inject(digitalocean_simulator::Fault::new("*", unavailable)).await.unwrap();
    // An unrecorded droplet, and a node.
    world.cloud.put("droplets", droplet("5", "web-5")).await.unwrap();
    world.cloud.put("droplets", json!({"id": 6, "name": "pool-1", "tags": ["k8s", "k8s:worker"]})).await.unwrap();
    world.record("web-1", json!({"name": "other"})).await;
    world.start_operator(&["--metrics-address", &address, "--log-format", "json"]);

    let get = |path: &'static str| {
        let url = format!("http://{address}{path}");
        async move {
            let answer = reqwest::Client::builder()
                .no_proxy()
                .build()
                .unwrap()
                .get(url)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((answer.status().as_u16(), answer.text().await.unwrap()))
        }
    };
    eventually("not ready for lack of an inventory", || async {
        let (status, body) = get("/readyz").await?;
        if (status, body.as_str()) == (503, "waiting for the first inventory of Droplet\n") {
            Ok(())
        } else {
            Err(body)
        }
    })
    .await;
    assert_eq!(get("/livez").await.unwrap().0, 200);
    eventually("the first list has failed", || async {
        let (status, checks) = get("/readyz?verbose").await?;
        let is_said = checks.contains("[+]lease ok\n")
            && checks.contains("\n[-]inventory/Droplet failed: listing Droplet")
            && checks.ends_with("readyz check failed\n");
        if is_said && status == 503 { Ok(()) } else { Err(checks) }
    })
    .await;
    world.cloud.clear_faults().await.unwrap();
    eventually("ready", || async {
        let (status, body) = get("/readyz").await?;
        if status == 200 { Ok(()) } else { Err(body) }
    })
    .await;
    world.open_drift().await;
    let (_, metrics) = get("/metrics").await.unwrap();
    for line in [
        "arcadia_drifts_opened_total{kind=\"Droplet\"} 1",
        "arcadia_open_drifts{kind=\"Droplet\",field=\"name\"} 1",
        "arcadia_records 1",
        "arcadia_inventory_resources{kind=\"Droplet\"} 1",
        "arcadia_unrecorded_resources{kind=\"Droplet\"} 1",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "wanted {line} in:\n{metrics}");
    }
    let log = world.log();
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not JSON: {line}");
    }
    // SIGTERM ends it with success.
    let ended = world.operator.take().unwrap().terminate(Duration::from_secs(5)).unwrap();
    assert!(ended.success(), "{ended:?}");
}
