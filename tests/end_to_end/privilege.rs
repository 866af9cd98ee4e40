//! Rights: the operator has no more than it needs, and people have those of their role. Each is tried.

mod actions;
mod objects;
mod people;

use std::{collections::BTreeSet, fmt::Write as _, path::Path, time::Duration};

use arcadia_operator::{
    api::OPERATOR,
    manifests::{Installation, operator::RULES, policies, users},
};
use control_plane::{ControlPlane, Options};
use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::{Value, json};

use self::objects::{OPEN, bind, create_as_operator, in_force};
use crate::world::{DROPLET, TOKEN, World, eventually, install};

/// Everything that a `ServiceAccount` does, with requests and responses.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  userGroups: ["system:serviceaccounts"]
- level: None
"#;

#[tokio::test]
async fn the_operator_uses_all_of_its_rights_and_needs_no_others() {
    let options = Options { audit_policy: Some(AUDIT_POLICY.to_owned()), ..Options::default() };
    let control_plane = ControlPlane::start(options).await.unwrap();
    let audit = control_plane.audit_log().unwrap();
    install(&control_plane).await;
    // Its garbage collector discovers new kinds only periodically.
    control_plane.restart_controller_manager().await.unwrap();
    let system = control_plane.namespace("arcadia-system").await.unwrap();
    let installation = Installation::cluster_wide(OPERATOR, system.name());
    control_plane.kubectl().apply(&policies::validating(&installation).unwrap()).await.unwrap();
    control_plane.kubectl().apply(&policies::mutating(&installation).unwrap()).await.unwrap();
    control_plane.kubectl().apply(&users::roles().unwrap()).await.unwrap();

    let namespace = control_plane.namespace("team").await.unwrap();
    let limits = RateLimits::HIGH;
    let mut world = World::installed(&control_plane, namespace, installation.clone(), limits).await;
    bind(&world.kubectl(), "jane", "arcadia-platform-admin").await;
    in_force(&world.kubectl(), &installation).await;
    world.start_operator(&["--drift-history-limit", "1"]);

    // Opened, changed, and decided three times in ways that are refused.
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    world.has_drifts(&[["name", "other", "third", "Open"]]).await;
    for _ in 0..3 {
        world.run(&["annotate", "--as=jane", "drift", &drift, "arcadia.cloud/accept=no-such-value"]).await;
        eventually("the refused decision to be taken off", || async {
            let annotations = world.value(&format!("drift/{drift}"), "{.metadata.annotations}").await;
            if annotations.contains("arcadia.cloud") { Err(annotations) } else { Ok(()) }
        })
        .await;
        world.reaches(&format!("drift/{drift}"), "Resolved", "False DecisionRefused").await;
    }
    // Accepted, with a forged name: the status shows the real user.
    let forged = "arcadia.cloud/decided-by=somebody-else";
    world.run(&["annotate", "--as=jane", "drift", &drift, "arcadia.cloud/accept=true", forged]).await;
    world.has_drifts(&[["name", "other", "third", "Accepted"]]).await;
    world.shows(&format!("drift/{drift}"), "{.status.decidedBy}", "jane").await;
    // Opened and resolved by the cloud: only one resolved drift is kept.
    world.cloud.change("droplets", DROPLET, json!({"name": "fourth"})).await.unwrap();
    world.has_drifts(&[["name", "other", "third", "Accepted"], ["name", "third", "fourth", "Open"]]).await;
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    world.has_drifts(&[["name", "third", "fourth", "Stale"]]).await;
    revert_under_an_acceptance(&world).await;
    // The resource is deleted.
    world.cloud.delete("droplets", DROPLET).await.unwrap();
    eventually("the loss", || async {
        let drifts = world.drifts().await;
        if drifts.iter().any(|[field, .., phase]| field == "exists" && phase == "Open") { Ok(()) } else { Err(drifts) }
    })
    .await;
    world.sync("web-1").await;
    carry_on_sagas(&world).await;

    eventually("the use of every right", || async {
        let unused: BTreeSet<_> = granted().difference(&used(&audit, &installation)).cloned().collect();
        if unused.is_empty() { Ok(()) } else { Err(unused) }
    })
    .await;
    world.run(&["delete", "sagas", "--all", "--timeout=60s"]).await;
    world
        .order(
            "under-way",
            json!({"kind": "test", "steps": [{"name": "wait", "step": "Sleep", "with": {"seconds": 600}}]}),
        )
        .await;
    world.saga_reaches("under-way", "Running").await;
    world.operator.take().unwrap().terminate(Duration::from_secs(10));

    // The policies allow the garbage collector and the deletion of a namespace.
    world.run(&["delete", "pr", "web-1"]).await;
    world.has_drifts(&[]).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    create_as_operator(&world.kubectl(), &installation, OPEN).await;
    control_plane.kubectl().run(&["delete", "namespace", world.namespace.name(), "--timeout=60s"]).await.unwrap();

    let refused: Vec<_> = requests(&audit, &installation)
        .filter(|request| matches!(request["responseStatus"]["code"].as_i64(), Some(401 | 403)))
        .map(|request| format!("{} {}", request["verb"], request["requestURI"]))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    // The audit log contains everything that the operator wrote to the API server.
    assert!(!std::fs::read_to_string(&audit).unwrap().contains(TOKEN), "the token is in an object");
}

/// A manifest declares the name, another one is accepted, and a third one is reverted.
async fn revert_under_an_acceptance(world: &World) {
    world.declare("web-1", json!({"name": "third"})).await;
    let decide = async |name: &str, decision: &str| {
        world.cloud.change("droplets", DROPLET, json!({"name": name})).await.unwrap();
        let drift = format!("drift/{}", world.open_drift().await);
        world.run(&["annotate", "--as=jane", &drift, decision]).await;
        drift
    };
    let accepted = decide("fifth", "arcadia.cloud/accept=true").await;
    world.reaches(&accepted, "Standing", "True Accepted").await;
    let reverted = decide("sixth", "arcadia.cloud/revert=true").await;
    world.reaches(&reverted, "Resolved", "True Reverted").await;
    world.shows(&reverted, "{.status.decidedBy}", "jane").await;
}

/// Sagas that wait, are stuck and given up, rolled back by another saga, and deleted when they expire.
async fn carry_on_sagas(world: &World) {
    let snapshot =
        json!({"name": "snapshot", "step": "CreateDropletSnapshot", "retry": {"attempts": 1, "minSeconds": 0}});
    let order = |kind: &str, more: &[Value]| {
        let steps = [std::slice::from_ref(&snapshot), more].concat();
        json!({"kind": kind, "steps": steps, "inputs": {"droplet_provider_id": DROPLET}})
    };
    world.cloud.put("droplets", crate::world::droplet(DROPLET, "web-1")).await.unwrap();
    let approval = json!({"name": "go", "step": "Approval"});
    let record = json!({"name": "record", "step": "RecordProvisioned", "with": {
        "name": "web-2", "kind": "Droplet", "id": DROPLET, "desired": {"name": "web-1"},
    }});
    world.order("do", order("provision", &[approval, record])).await;
    world.saga_reaches("do", "Running").await;
    // Approved with a forged name: the journal shows the real user.
    world.run(&["annotate", "--as=jane", "saga", "do", "arcadia.cloud/approve-go=somebody"]).await;
    let saga = world.saga_reaches("do", "Succeeded").await;
    assert_eq!(saga["status"]["steps"][1]["output"]["approved_by"], "jane");
    world.order("undo", json!({"kind": "rollback", "rollbackOf": {"name": "do"}})).await;
    world.saga_reaches("undo", "Succeeded").await;

    let mut short = order("test", &[]);
    short["ttlSecondsAfterFinished"] = json!(0);
    world.order("short", short).await;
    eventually("the end of its time", || async {
        let left = world.run(&["get", "saga", "short", "--ignore-not-found", "-o", "name"]).await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;

    let refused = Effect::Status { status: 403, retry_after: None, html: false };
    world.cloud.inject(Fault::new("/v2/snapshots/*", refused).method("DELETE")).await.unwrap();
    world.order("stuck", order("test", &[json!({"name": "fail", "step": "Fail", "with": {"message": "no"}})])).await;
    world.saga_reaches("stuck", "Stuck").await;
    world.cloud.clear_faults().await.unwrap();
    let help = ["arcadia.cloud/resolve=abandon", "arcadia.cloud/because=a test", "arcadia.cloud/decided-by=somebody"];
    world.run(&[&["annotate", "--as=jane", "saga", "stuck"], help.as_slice()].concat()).await;
    let resolution = &world.saga_reaches("stuck", "Failed").await["status"]["resolutions"][0];
    assert_eq!([&resolution["what"], &resolution["by"], &resolution["why"]], ["abandon", "jane", "a test"]);
    eventually("the annotations are taken off", || async {
        let annotations = world.value("saga/stuck", "{.metadata.annotations}").await;
        if annotations.contains("resolve") { Err(annotations) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn the_search_finds_a_token_in_metrics_and_in_objects() {
    let world = World::new("leaks").await;
    world.record("web-1", json!({"name": "other"})).await;
    eventually("all kinds of objects", || async {
        let objects = world.objects();
        let parts = [r#""kind": "Drift""#, r#""kind": "Lease""#, "DriftDetected", "managedFields"];
        let missing: Vec<_> = parts.into_iter().filter(|part| !objects.contains(part)).collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    })
    .await;
    assert!(world.operator.as_ref().unwrap().metrics().unwrap().contains("arcadia_open_drifts"));
    world.run(&["annotate", "pr", "web-1", &format!("left={TOKEN}")]).await;
    assert!(world.objects().contains(TOKEN));
    world.run(&["annotate", "pr", "web-1", "left-"]).await;
}

/// `verb resource.group` for every right in the table of rules.
fn granted() -> BTreeSet<String> {
    let pairs = RULES.iter().flat_map(|rule| {
        let resources = rule.resources.iter();
        resources.flat_map(move |resource| rule.verbs.iter().map(move |verb| (verb, resource, rule.api_group)))
    });
    pairs.map(|(verb, resource, group)| format!("{verb} {group} {resource}")).collect()
}

/// The same for every request of the operator.
fn used(audit: &Path, installation: &Installation) -> BTreeSet<String> {
    let of = |request: Value| {
        let text = |key: &str| request["objectRef"][key].as_str().unwrap_or_default().to_owned();
        let mut what = format!("{} {}", text("apiGroup"), text("resource"));
        if !text("subresource").is_empty() {
            write!(what, "/{}", text("subresource")).unwrap();
        }
        // An apply that creates an object needs the right to create it.
        let has_created = request["verb"] == "patch" && request["responseStatus"]["code"] == 201;
        let verbs = [request["verb"].as_str(), has_created.then_some("create")];
        verbs.into_iter().flatten().map(|verb| format!("{verb} {what}")).collect::<Vec<_>>()
    };
    requests(audit, installation).flat_map(of).collect()
}

/// The operator's requests to the API server.
fn requests(audit: &Path, installation: &Installation) -> impl Iterator<Item = Value> + use<> {
    let log = std::fs::read_to_string(audit).unwrap_or_default();
    // The last line may be incomplete.
    let requests: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let username = installation.username();
    requests
        .into_iter()
        .filter(move |request| request["user"]["username"] == *username && request["impersonatedUser"].is_null())
}
