//! Lost connections, several clusters, and clusters without the definitions.

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use control_plane::{ControlPlane, Options};
use serde_json::{Value, json};

use crate::{
    gate::Gate,
    program::Arcadia,
    world::{DROPLET, World, eventually},
};

/// A command that runs, and its output so far.
struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
}

impl Running {
    fn start(arcadia: &Arcadia, arguments: &[&str]) -> Self {
        let mut command = arcadia.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, errors) = (collected(child.stdout.take().unwrap()), collected(child.stderr.take().unwrap()));
        Self { child, out, errors }
    }

    async fn prints(&self, wanted: &str) {
        contains(&self.out, wanted).await;
    }

    async fn says(&self, wanted: &str) {
        contains(&self.errors, wanted).await;
    }

    /// Waits for its end, and returns its exit code.
    async fn ends(&mut self) -> i32 {
        eventually("its end", || {
            let status = self.child.try_wait().unwrap();
            async move { status.ok_or("it runs") }
        })
        .await
        .code()
        .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text that a pipe has delivered so far.
fn collected(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let reading = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            reading.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
    text
}

async fn contains(text: &Mutex<String>, wanted: &str) {
    eventually(wanted, || {
        let text = text.lock().unwrap().clone();
        async move { if text.contains(wanted) { Ok(()) } else { Err(text) } }
    })
    .await;
}

#[tokio::test]
async fn a_watch_goes_on_after_a_lost_connection() {
    let world = World::new("kubectl-lost").await;
    world.record("web-1", json!({"name": "other"})).await;
    world.open_drift().await;
    let gate = Gate::to(world.namespace.kubeconfig());
    let arcadia = Arcadia::new().with_cluster(gate.kubeconfig());
    let saga = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": "ask" },
        "spec": { "kind": "test", "steps": [{ "name": "ask", "step": "Approval" }] },
    });
    world.kubectl().apply(&saga.to_string()).await.unwrap();
    let mut inbox = Running::start(&arcadia, &["inbox", "--watch"]);
    let mut journal = Running::start(&arcadia, &["saga", "watch", "ask"]);
    inbox.prints("other -> web-1").await;
    journal.prints("kubectl arcadia saga approve ask ask").await;

    gate.close();
    for command in [&inbox, &journal] {
        command.says("the connection to the API server was lost: ").await;
    }
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    gate.open();
    inbox.prints("other -> third").await;
    arcadia.expect(0, &["saga", "approve", "ask"]).await;
    assert_eq!(journal.ends().await, 0);
    assert_eq!(journal.errors.lock().unwrap().lines().count(), 1, "the loss is reported once");
    // Without the API server, a new command fails instead of waiting.
    gate.close();
    arcadia.says(2, &["inbox", "--watch"]).await;
    assert!(Command::new("kill").args(["-INT", &inbox.child.id().to_string()]).status().unwrap().success());
    assert_eq!(inbox.ends().await, 130);
}

#[tokio::test]
async fn a_decision_is_awaited_over_a_lost_connection() {
    let mut world = World::new("kubectl-await").await;
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    world.kill_operator();
    let gate = Gate::to(world.namespace.kubeconfig());
    let arcadia = Arcadia::new().with_cluster(gate.kubeconfig());
    let mut accept = Running::start(&arcadia, &["accept", &drift, "--yes", "--wait", "--timeout", "5m"]);
    world.shows(&format!("drift/{drift}"), "{.metadata.annotations.arcadia\\.cloud/accept}", "true").await;
    // The object shows the decision before its response has passed the gate.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    gate.close();
    accept.says("the connection to the API server was lost: ").await;
    world.restart_operator();
    gate.open();
    accept.prints(&format!("{drift} Accepted (Accepted)")).await;
    assert_eq!(accept.ends().await, 0);
}

#[tokio::test]
async fn commands_to_type_stay_in_their_cluster() {
    let world = World::new("kubectl-contexts").await;
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    let text = fs::read_to_string(world.namespace.kubeconfig()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let mut other = config["contexts"][0].clone();
    config["contexts"][0]["name"] = "far away".into();
    other["name"] = "here".into();
    other["context"]["namespace"] = "default".into();
    config["contexts"].as_array_mut().unwrap().push(other);
    config["current-context"] = "here".into();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contexts");
    fs::write(&path, config.to_string()).unwrap();
    let arcadia = Arcadia::new().with_cluster(&path);
    let here = arcadia.expect(0, &["inbox"]).await;
    assert!(here.contains("No open drifts in namespace default."), "{here}");

    let away = ["--context", "far away"];
    let inbox = arcadia.expect(0, &[&["inbox"][..], &away].concat()).await;
    let typed = format!("kubectl arcadia show {drift} --context 'far away'");
    assert!(inbox.contains(&typed), "{inbox}");
    let page = arcadia.expect(0, &[&["show", &drift][..], &away].concat()).await;
    assert!(page.contains(&format!("kubectl arcadia accept {drift} --context 'far away'")), "{page}");
    let status = arcadia.run(&[&["status"][..], &away].concat()).await.out;
    assert!(status.contains("-> kubectl arcadia inbox --context 'far away'"), "{status}");
    arcadia.says(2, &["show", &drift]).await;
    let contexts = arcadia.expect(0, &["__complete", "inbox", "--context", ""]).await;
    assert_eq!(contexts, "far away\nhere\n:4\n");

    // A record that names its namespace is looked up there.
    let there = format!("{}/web-1", world.namespace.name());
    let accept = ["accept", "--record", &there, "--yes", "--dry-run=server"];
    let accepted = arcadia.expect(0, &accept).await;
    assert!(accepted.contains(&drift), "{accepted}");
}

#[tokio::test]
async fn a_cluster_without_the_definitions_names_the_remedy() {
    let options = Options { controller_manager: false, ..Options::default() };
    let control_plane = ControlPlane::start(options).await.unwrap();
    let arcadia = Arcadia::new().with_cluster(control_plane.kubeconfig());
    for arguments in [
        &["inbox"][..],
        &["inbox", "--kind", "Droplet"],
        &["inbox", "--watch"],
        &["accept", "--change", "a4b70a39", "--yes"],
        &["history", "web-1"],
        &["show", "web-1"],
        &["show", "pr/web-1"],
        &["saga", "tree"],
        &["manifests", "--check", "/dev/null"],
    ] {
        let said = arcadia.says(2, arguments).await;
        assert!(said.contains("does not serve the resources of arcadia.cloud"), "{arguments:?}: {said}");
        assert!(said.contains("kubectl arcadia status") && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    let status = arcadia.expect(1, &["status"]).await;
    assert!(status.contains("PROBLEM   Definitions"), "{status}");
    assert!(status.contains("kubectl apply --server-side -f -"), "{status}");
}
