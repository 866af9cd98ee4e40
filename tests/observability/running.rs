//! Two running operators: everything that alerts, dashboard and runbook refer to is in their metrics and logs.

use std::{net::TcpListener, process::Command};

use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::{Value, json};

use crate::{
    documents::{alerts, expressions, read},
    prometheus,
    scrape::Scrape,
    world::{DROPLET, Operator, World, eventually},
};

/// The beginnings of runbook lines that are commands, and of commands that need an operator in a pod, which a test
/// cluster lacks.
const COMMANDS: [&str; 2] = ["kubectl ", "LEADER="];
const NOT_RUN: &str = "kubectl get --raw";

/// A saga that needs a person, and a slow one.
const STUCK: &str = "half-done";
const SLOW: &str = "takes-long";

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// An operator with an open drift, a resolved one, a stuck saga and a running one, and a second operator that stands
/// by.
struct Running {
    world: World,
    leader: String,
    standby: String,
    _standby: Operator,
}

impl Running {
    async fn start(test: &str) -> Self {
        let limits = RateLimits::HIGH;
        let mut world = World::without_operator(test, limits).await;
        let [leader, standby] = [free_address(), free_address()];
        world.record("web-1", json!({"name": "other", "size_slug": "other"})).await;
        let acting = world.spawn_operator(&["--metrics-address", &leader, "--log-format", "json"], &[]);
        world.operator = Some(acting);
        world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
        let stands_by = world.spawn_operator(&["--metrics-address", &standby, "--log-format", "json"], &[]);
        world.record("web-1", json!({"name": "other", "size_slug": "s-2vcpu-4gb"})).await;
        world.open_drift().await;
        let refused = Effect::Status { status: 403, retry_after: None, html: false };
        world.cloud.inject(Fault::new("/v2/snapshots/*", refused).method("DELETE")).await.unwrap();
        let retry = json!({"attempts": 1, "minSeconds": 0});
        let snapshot = json!({"name": "snapshot", "step": "CreateDropletSnapshot", "retry": retry});
        let fail = json!({"name": "fail", "step": "Fail", "with": {"message": "no"}});
        order(&world, STUCK, json!([snapshot, fail])).await;
        order(&world, SLOW, json!([{"name": "wait", "step": "Sleep", "with": {"seconds": 600}}])).await;
        for (saga, phase) in [(STUCK, "Stuck"), (SLOW, "Running")] {
            let phase = format!("--for=jsonpath={{.status.phase}}={phase}");
            world.run(&["wait", &phase, &format!("saga/{saga}"), "--timeout=60s"]).await;
        }
        Self { world, leader, standby, _standby: stands_by }
    }
}

async fn order(world: &World, name: &str, steps: Value) {
    let saga = json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "Saga",
        "metadata": { "name": name },
        "spec": { "kind": "test", "inputs": { "droplet_provider_id": DROPLET }, "steps": steps },
    });
    world.kubectl().apply(&saga.to_string()).await.unwrap();
}

#[tokio::test]
async fn every_queried_metric_and_label_exists() {
    let running = Running::start("metrics").await;
    let expressions = expressions();
    let asked: Vec<_> = expressions.iter().map(|(_, text)| text.as_str()).collect();
    let told = prometheus::ask(&asked, &alerts()["spec"]);
    let selectors = expressions
        .iter()
        .zip(&told.expressions)
        .flat_map(|((from, _), reading)| reading.selectors.iter().map(move |selector| (from, selector)));
    let selectors: Vec<_> = selectors.collect();
    assert!(selectors.len() >= expressions.len());
    eventually("all metrics", || async {
        let scrape = Scrape::of(&running.leader).await?;
        selectors.iter().try_for_each(|(from, selector)| {
            scrape.has(&selector.metric, &selector.labels).map_err(|error| format!("{from}: {error}"))
        })
    })
    .await;
    let scrape = Scrape::of(&running.leader).await.unwrap();
    assert!(scrape.has("arcadia_no_such_metric", &[]).is_err());
    assert!(scrape.has("arcadia_open_drifts", &["no_such_label".to_owned()]).is_err());
    for name in ["web-1", STUCK, SLOW, running.world.namespace.name(), &running.world.open_drift().await] {
        assert!(!scrape.text.contains(name), "{name} is in\n{}", scrape.text);
    }
}

#[tokio::test]
async fn a_standby_exports_the_same_drifts_and_sagas_without_an_inventory() {
    let running = Running::start("standby-metrics").await;
    let open = r#"arcadia_open_drifts{kind="Droplet",field="name"}"#;
    let oldest = r#"arcadia_oldest_open_drift_age_seconds{kind="Droplet"}"#;
    let (leader, standby) = eventually("both know the drift", || async {
        let (leader, standby) = (Scrape::of(&running.leader).await?, Scrape::of(&running.standby).await?);
        let both = [&leader, &standby].map(|scrape| scrape.value(open));
        if both == [Some(1.0), Some(1.0)] { Ok((leader, standby)) } else { Err(format!("{both:?}")) }
    })
    .await;
    assert_eq!([&leader, &standby].map(|scrape| scrape.value("arcadia_leader")), [Some(1.0), Some(0.0)]);
    let [older, younger] = [&leader, &standby].map(|scrape| scrape.value(oldest).unwrap());
    // The second read was a moment after the first.
    assert!((0.0..120.0).contains(&older) && (older - younger).abs() < 10.0, "{older} {younger}");
    let sagas = ["Stuck", "Running"].map(|phase| format!(r#"{{kind="test",phase="{phase}"}}"#));
    for saga in sagas {
        let (count, age) = (format!("arcadia_sagas{saga}"), format!("arcadia_oldest_active_saga_age_seconds{saga}"));
        assert_eq!([&leader, &standby].map(|scrape| scrape.value(&count)), [Some(1.0), Some(1.0)]);
        assert!([&leader, &standby].iter().all(|scrape| (0.0..120.0).contains(&scrape.value(&age).unwrap())));
    }
    let ended = r#"arcadia_sagas_ended_total{kind="test",phase="Stuck"}"#;
    assert_eq!([&leader, &standby].map(|scrape| scrape.value(ended)), [Some(1.0), None]);
    let age = r#"arcadia_inventory_age_seconds{kind="Droplet"}"#;
    assert!(leader.value(age).unwrap() < 60.0);
    assert_eq!(leader.value("arcadia_inventory_max_age_seconds"), Some(600.0));
    assert_eq!(standby.value(age), None, "an alert would take it for a stale one");
    assert_eq!(standby.value(r#"arcadia_drifts_opened_total{kind="Droplet"}"#), None);
    let calls =
        |scrape: &Scrape| scrape.value(r#"arcadia_cloud_calls_total{method="GET",route="/v2/droplets",status="200"}"#);
    assert!(calls(&leader).unwrap() >= 1.0);
    assert_eq!(calls(&standby), None);
}

#[tokio::test]
async fn every_line_of_the_log_is_json_and_names_its_object() {
    let running = Running::start("logs").await;
    let record = format!("{}/web-1", running.world.namespace.name());
    let log = running.world.log();
    let mut told = Vec::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "no {field}: {line}");
        }
        if line["drift"].is_string() || line.to_string().contains("web-1") {
            let names_it = line["record"] == record || line["object"] == format!("ProvisionedResource {record}");
            assert!(names_it, "{line}");
            told.push(line);
        } else if line["saga"].is_string() || line.to_string().contains(STUCK) {
            let saga = format!("{}/{STUCK}", running.world.namespace.name());
            let names_it = line["saga"] == saga || line["object"] == format!("Saga {saga}");
            assert!(names_it || line["saga"] == saga.replace(STUCK, SLOW), "{line}");
            told.push(line);
        }
    }
    let is_stuck = |line: &&Value| line["message"] == "the phase changed" && line["phase"] == "Stuck";
    assert!(told.iter().any(|line| is_stuck(&line)), "{log}");
    for message in ["drift detected", "drift resolved"] {
        let line =
            told.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message} in\n{log}"));
        assert!(line["drift"].as_str().unwrap().starts_with("web-1-"), "{line}");
    }
}

#[tokio::test]
async fn the_commands_of_the_runbook_run() {
    let running = Running::start("runbook").await;
    let (namespace, drift) = (running.world.namespace.name(), running.world.open_drift().await);
    let kubectl = running.world.kubectl();
    let folder = kubectl.program().parent().unwrap().to_owned();
    let runbook = read("docs/troubleshooting.md");
    let is_command = |line: &&str| COMMANDS.iter().any(|beginning| line.starts_with(beginning));
    let commands: Vec<_> = runbook.lines().filter(is_command).collect();
    assert!(commands.len() > 10);
    for command in commands.into_iter().filter(|command| !command.starts_with(NOT_RUN)) {
        // The command after a pipe may find nothing.
        let command = command.split(" | ").next().unwrap();
        let command =
            ["arcadia-system", "NAMESPACE"].iter().fold(command.to_owned(), |text, name| text.replace(name, namespace));
        let command = command.replace("DRIFT", &drift).replace("SAGA", STUCK);
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("PATH", path).env("KUBECONFIG", kubectl.kubeconfig());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        if command.starts_with("kubectl get drifts") {
            assert!(String::from_utf8_lossy(&output.stdout).contains(&drift), "{command}");
        }
        if command.starts_with("kubectl get saga") {
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(told.contains(STUCK) || told.contains("snapshot"), "{command}: {told}");
        }
    }
    // One command accepted the drift, others resolved the saga and cancelled it.
    running.world.shows("pr/web-1", "{.spec.desired.name}", "web-1").await;
    eventually("the help", || async {
        let help = "{.status.resolutions[0].what}: {.status.resolutions[0].why} {.spec.cancelRequested}";
        let help = running.world.value(&format!("saga/{STUCK}"), help).await;
        if help == "retry: fixed by hand true" { Ok(()) } else { Err(help) }
    })
    .await;
}
