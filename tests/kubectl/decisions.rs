//! The main job from the command line: inbox, decision, history, with a running operator.

use arcadia_operator::manifests::policies;
use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use crate::{
    program::Arcadia,
    world::{DROPLET, World, droplet, eventually},
};

fn arcadia(world: &World) -> Arcadia {
    Arcadia::new().with_cluster(world.namespace.kubeconfig())
}

/// A recorded droplet that was resized, and its drift.
async fn resized(test: &str) -> (World, String) {
    let world = World::new(test).await;
    world.record("web-1", json!({"size_slug": "s-2vcpu-4gb"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    // The disk stays, so that the droplet can shrink again.
    world.cloud.change("droplets", DROPLET, json!({"size_slug": "s-4vcpu-8gb", "disk": 80})).await.unwrap();
    let drift = world.open_drift().await;
    (world, drift)
}

#[tokio::test]
async fn a_change_of_many_resources_is_seen_and_accepted_at_once() {
    let world = World::new("kubectl-accept").await;
    let arcadia = arcadia(&world);
    let empty = arcadia.expect(0, &[]).await;
    assert!(empty.contains("No open drifts in namespace kubectl-accept-"), "{empty}");
    for id in ["1", "2", "3"] {
        world.cloud.put("droplets", droplet(id, "name")).await.unwrap();
        world.record_as(&format!("web-{id}"), "Droplet", id, json!({"size_slug": "s-1vcpu-1gb"}), json!({})).await;
    }
    eventually("three drifts", || async {
        let names = arcadia.expect(0, &["inbox", "-o", "name"]).await;
        if names.lines().count() == 3 { Ok(()) } else { Err(names) }
    })
    .await;
    let inbox = arcadia.expect(0, &[]).await;
    assert!(inbox.contains("s-1vcpu-1gb -> s-2vcpu-4gb") && inbox.contains("web-1, web-2, web-3"), "{inbox}");
    assert!(inbox.contains("3 open drifts, 1 change."), "{inbox}");
    let change = inbox.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();

    // Standard input is no terminal, so nothing is decided without --yes.
    let asked = arcadia.says(2, &["accept", "--change", &change]).await;
    assert!(asked.contains("--yes"), "{asked}");
    let dry = arcadia.expect(0, &["accept", "--change", &change, "--dry-run=server"]).await;
    assert_eq!(dry.matches("(server dry run)").count(), 3, "{dry}");
    assert_eq!(arcadia.expect(0, &["inbox", "-o", "name"]).await.lines().count(), 3);

    let decided = arcadia.expect(0, &["accept", "--change", &change, "--because", "OPS-123", "--yes", "--wait"]).await;
    assert_eq!(decided.matches(" Accepted (Accepted)\n").count(), 3, "{decided}");
    world.shows("pr/web-2", "{.spec.desired.size_slug}", "s-2vcpu-4gb").await;
    let history = arcadia.expect(0, &["history", "web-2"]).await;
    assert!(history.contains("Accepted") && history.contains("1 drift, 0 open."), "{history}");
    let page = arcadia.expect(0, &["show", "pr/web-2"]).await;
    assert!(page.contains("s-2vcpu-4gb") && page.contains("DriftAccepted") && page.contains("History"), "{page}");
    for format in ["json", "yaml"] {
        let all = arcadia.expect(0, &["show", "pr/web-2", "-o", format]).await;
        let all: Value = serde_saphyr::from_str(&all).unwrap();
        assert_eq!(all["record"]["spec"]["desired"]["size_slug"], "s-2vcpu-4gb", "{all:#}");
        assert_eq!(all["drifts"][0]["status"]["because"], "OPS-123", "{all:#}");
        let drift = all["drifts"][0]["metadata"]["name"].as_str().unwrap();
        let one: Value = serde_json::from_str(&arcadia.expect(0, &["show", drift, "-o", "json"]).await).unwrap();
        assert_eq!((&one["drift"], &one["record"]["kind"]), (&all["drifts"][0], &json!("ProvisionedResource")));
        let name = arcadia.expect(0, &["show", drift, "-o", "name"]).await;
        assert_eq!(name, format!("drift.arcadia.cloud/{drift}\n"));
    }
    assert_eq!(arcadia.expect(0, &["show", "web-2", "-o", "name"]).await, "provisionedresource.arcadia.cloud/web-2\n");
}

#[tokio::test]
async fn a_decision_is_signed_and_can_be_withdrawn_before_it_is_carried_out() {
    let mut world = World::new("kubectl-withdraw").await;
    let arcadia = arcadia(&world);
    world.record("web-1", json!({"name": "other", "size_slug": "s-1vcpu-1gb"})).await;
    eventually("both drifts", || async {
        let names = arcadia.expect(0, &["inbox", "-o", "name"]).await;
        if names.lines().count() == 2 { Ok(()) } else { Err(names) }
    })
    .await;
    world.kill_operator();
    world.kubectl().apply(&policies::validating(&world.installation).unwrap()).await.unwrap();
    let names = arcadia.expect(0, &["inbox", "--field", "name", "-o", "name"]).await;
    let drift = names.trim();
    eventually("the policies to be in force", || async {
        let refused = world.kubectl().run(&["annotate", drift, "arcadia.cloud/accept=true", "--dry-run=server"]).await;
        refused.err().map(|_| ()).ok_or("an unsigned decision was allowed")
    })
    .await;
    arcadia.expect(0, &["accept", drift, "--yes"]).await;
    let me = world.run(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).await;
    world.shows(drift, "{.metadata.annotations.arcadia\\.cloud/decided-by}", &me).await;
    let inbox = arcadia.expect(0, &[]).await;
    assert!(inbox.contains("(1 decided, not carried out yet)"), "{inbox}");
    let planned = arcadia.says(1, &["revert", drift, "--plan"]).await;
    assert!(
        planned.contains("a decision to accept is still pending; withdraw it first with: kubectl arcadia withdraw"),
        "{planned}"
    );
    world.shows(drift, "{.metadata.annotations.arcadia\\.cloud/accept}", "true").await;
    let names = arcadia.expect(0, &["inbox", "--field", "size_slug", "-o", "name"]).await;
    let other = names.trim();
    let partly = arcadia.says(1, &["withdraw", drift, other, "--dry-run=server"]).await;
    assert!(partly.contains(&format!("{other} not withdrawn: no decision waits")), "{partly}");
    let page = arcadia.expect(0, &["show", drift]).await;
    assert!(page.contains("accept=true, not carried out yet") && page.contains("kubectl arcadia withdraw"), "{page}");
    arcadia.expect(0, &["withdraw", "--record", "web-1", "--yes"]).await;
    world.shows(drift, "{.metadata.annotations}", "").await;
    let nothing = arcadia.says(1, &["withdraw", drift, "--yes"]).await;
    assert!(nothing.contains("nothing can be withdrawn"), "{nothing}");
    world.restart_operator();
}

#[tokio::test]
async fn a_revert_is_planned_allowed_by_name_and_followed_to_its_end() {
    let (world, drift) = resized("kubectl-revert").await;
    let arcadia = arcadia(&world);
    let page = arcadia.expect(0, &["show", &drift]).await;
    assert!(page.contains("--allow disruption"), "{page}");
    let refused = arcadia.says(2, &["revert", &drift, "--yes", "--wait"]).await;
    assert!(refused.contains("allow the effect with --allow disruption"), "{refused}");
    // The operator's own refusal, of the annotation alone, is no answer to the next request.
    world.run(&["annotate", &format!("drift/{drift}"), "arcadia.cloud/revert=true"]).await;
    world.reaches(&format!("drift/{drift}"), "Resolved", "False DecisionRefused").await;
    let plan = arcadia.expect(0, &["revert", &drift, "--plan"]).await;
    assert!(plan.contains("plan: Disruptive") && plan.contains("--allow disruption"), "{plan}");
    assert!(plan.contains("POST /v2/droplets/"), "{plan}");
    assert_eq!(world.run(&["get", "sagas", "-o", "name"]).await, "", "a plan changes nothing");

    let slow = Effect::Latency { milliseconds: 1500 };
    world.cloud.inject(Fault::new("/v2/actions*", slow).times(2)).await.unwrap();
    let reverted =
        arcadia.run(&["revert", &drift, "--allow", "disruption", "--because", "OPS-7", "--yes", "--wait"]).await;
    assert_eq!(reverted.code, 0, "{reverted:?}");
    assert!(reverted.out.contains("Reverted (Reverted)"), "{reverted:?}");
    assert!(reverted.errors.contains(": saga revert-web-1-size-slug-"), "{reverted:?}");
    let live = world.cloud.get("droplets", DROPLET).await.unwrap().unwrap();
    assert_eq!(live["size_slug"], "s-2vcpu-4gb");
    let history = arcadia.expect(0, &["history", "web-1", "size_slug"]).await;
    assert!(history.contains("Reverted") && history.contains("OPS-7"), "{history}");
}

#[tokio::test]
async fn a_revert_that_runs_is_stopped_only_through_its_saga() {
    let (world, drift) = resized("kubectl-running").await;
    let arcadia = arcadia(&world);
    // The saga waits for the action of its first step.
    world.cloud.inject(Fault::new("/v2/actions*", Effect::Latency { milliseconds: 3000 }).times(20)).await.unwrap();
    arcadia.expect(0, &["revert", &drift, "--allow", "disruption", "--yes"]).await;
    world.reaches(&format!("drift/{drift}"), "Resolved", "False Reverting").await;
    let saga = world.value(&format!("drift/{drift}"), "{.status.sagaRef.name}").await;
    world.shows(&format!("saga/{saga}"), "{.status.phase}", "Running").await;
    let stop = format!("stop the saga with: kubectl arcadia saga cancel {saga}");
    for verb in ["accept", "withdraw"] {
        let refused = arcadia.says(1, &[verb, &drift, "--yes"]).await;
        assert!(refused.contains(&format!("not decided: saga {saga} reverts it; {stop}")), "{refused}");
    }
    let page = arcadia.expect(0, &["show", &drift]).await;
    assert!(page.contains(&format!("kubectl arcadia saga cancel {saga}")), "{page}");
    assert!(!page.contains("kubectl arcadia withdraw"), "{page}");
    let dry = arcadia.says(1, &["accept", &drift, "--dry-run=server"]).await;
    assert!(dry.contains(&stop), "{dry}");
    // The decision that the drift has already can be repeated, for instance to wait for it again.
    arcadia.expect(0, &["revert", &drift, "--allow", "disruption", "--yes"]).await;
    arcadia.expect(0, &["saga", "suspend", &saga]).await;
    let paused = arcadia.says(1, &["accept", &drift, "--yes"]).await;
    assert!(paused.contains(&format!("kubectl arcadia saga resume {saga}")), "{paused}");
    let cancelled = arcadia.says(0, &["saga", "cancel", &saga, "--yes"]).await;
    assert!(cancelled.contains(&format!("kubectl arcadia saga resume {saga}")), "{cancelled}");
    arcadia.expect(0, &["saga", "resume", &saga]).await;
    let again = arcadia.says(1, &["accept", &drift, "--yes"]).await;
    assert!(again.contains(&format!("kubectl arcadia saga watch {saga}")), "{again}");
}

#[tokio::test]
async fn the_end_of_an_acceptance_that_stands_is_changed() {
    let world = World::new("kubectl-until").await;
    let arcadia = arcadia(&world);
    world.record("web-1", json!({"name": "other", "size_slug": "s-1vcpu-1gb"})).await;
    let of = async |field| {
        eventually("the drift", || async {
            let name = arcadia.expect(0, &["inbox", "--field", field, "-o", "name"]).await;
            name.trim().strip_prefix("drift.arcadia.cloud/").map(str::to_owned).ok_or(name)
        })
        .await
    };
    let (drift, open) = (of("name").await, of("size_slug").await);
    let accepted = ["accept", &drift, "--until", "1h", "--because", "OPS-8", "--yes", "--wait"];
    arcadia.expect(0, &accepted).await;
    let until = world.value(&format!("drift/{drift}"), "{.status.acceptance.until}").await;
    let resolved = arcadia.says(1, &["accept", &drift, "--yes"]).await;
    assert!(resolved.contains(&format!("kubectl arcadia accept {drift} --until TIME")), "{resolved}");
    let moved = arcadia.expect(0, &["accept", &drift, "--until", "2h", "--yes", "--wait"]).await;
    let now = world.value(&format!("drift/{drift}"), "{.status.acceptance.until}").await;
    assert!(now > until && moved.contains(&format!("{drift} stands until {now}")), "{until} {now}: {moved}");
    world.shows(&format!("drift/{drift}"), "{.status.because}", "OPS-8").await;
    let other = arcadia.says(1, &["accept", &drift, "--until", "3h", "--value", "another", "--yes"]).await;
    assert!(other.contains("it is resolved already"), "{other}");
    let mixed = arcadia.says(2, &["accept", &drift, &open, "--until", "3h", "--yes"]).await;
    assert!(mixed.contains(&format!("{open} is open")), "{mixed}");
    let of_record = ["accept", "--record", "web-1", "--until", "4h", "--yes", "--wait"];
    let opened = arcadia.expect(0, &of_record).await;
    assert!(opened.contains(&format!("{open} Accepted (")), "{opened}");
    let moved = arcadia.expect(0, &of_record).await;
    assert_eq!(moved.matches(" stands until ").count(), 2, "both acceptances: {moved}");
    for words in [&["withdraw", ""][..], &["accept", "--until", "7d", ""], &["accept", "--until=7d", "drift/"]] {
        let completed = arcadia.expect(0, &[&["__complete"][..], words].concat()).await;
        assert!(completed.contains(&drift) && completed.contains(&open), "{words:?}: {completed}");
    }
    assert_eq!(arcadia.expect(0, &["__complete", "accept", ""]).await, ":4\n", "no drift is open");
    let completed = arcadia.expect(0, &["__complete", "show", "pr/"]).await;
    assert_eq!(completed, "pr/web-1\n:4\n");
    let own = world.namespace.name();
    for (words, wanted) in [
        (["withdraw", &format!("{own}/")], format!("{own}/{drift}\n{own}/{open}\n:4\n")),
        (["withdraw", &format!("drift/{own}/")], format!("drift/{own}/{drift}\ndrift/{own}/{open}\n:4\n")),
        (["withdraw", "saga/"], ":4\n".to_owned()),
        (["withdraw", "../"], ":4\n".to_owned()),
    ] {
        assert_eq!(arcadia.expect(0, &["__complete", words[0], words[1]]).await, wanted, "{words:?}");
    }
    let elsewhere = arcadia.expect(0, &["__complete", "-n", "default", "withdraw", ""]).await;
    assert_eq!(elsewhere, ":4\n", "flags before the verb select the namespace");
    let endless = arcadia.expect(0, &["accept", &drift, "--until", "never", "--yes", "--wait"]).await;
    assert!(endless.contains(&format!("{drift} stands without an end")), "{endless}");
    world.shows(&format!("drift/{drift}"), "{.status.acceptance.until}", "").await;
}

#[tokio::test]
async fn a_resolved_or_unknown_drift_is_refused_with_the_next_command() {
    let world = World::new("kubectl-refused").await;
    let arcadia = arcadia(&world);
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    world.cloud.change("droplets", DROPLET, json!({"name": "other"})).await.unwrap();
    world.reaches(&format!("drift/{drift}"), "Resolved", "True LiveReturned").await;
    let resolved = arcadia.says(1, &["accept", &drift, "--yes"]).await;
    assert!(resolved.contains("it is resolved already, as Stale (LiveReturned)"), "{resolved}");
    let unknown = arcadia.says(2, &["accept", "no-such-drift", "--yes"]).await;
    assert!(
        unknown.contains("Drift no-such-drift does not exist") && unknown.contains("kubectl get drifts"),
        "{unknown}"
    );
    let none = arcadia.says(2, &["accept", "--yes"]).await;
    assert!(none.contains("kubectl arcadia inbox"), "{none}");
    let unknown = arcadia.says(2, &["show", "no-such-record"]).await;
    assert!(
        unknown.contains("Drift or ProvisionedResource no-such-record does not exist")
            && unknown.contains("kubectl get drifts,provisionedresources"),
        "{unknown}"
    );
    for name in ["web-1", "pr/web-1"] {
        let record = arcadia.says(2, &["accept", name, "--yes"]).await;
        assert!(record.contains("web-1 is a record") && record.contains("--record web-1"), "{record}");
    }
    let saga = arcadia.says(2, &["show", "saga/revert-1"]).await;
    assert!(saga.contains("kubectl arcadia saga tree revert-1"), "{saga}");
    let kubeconfig = arcadia.says(2, &["inbox", "--kubeconfig", "/does/not/exist"]).await;
    assert!(kubeconfig.contains("kubectl config view"), "{kubeconfig}");
}

#[tokio::test]
async fn the_status_of_an_installation_names_missing_parts() {
    let world = World::new("kubectl-status").await;
    let arcadia = arcadia(&world);
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    let status = arcadia.run(&["status"]).await.out;
    assert!(status.contains("provisionedresources, drifts, sagas are served"), "{status}");
    assert!(status.contains("1 record: 1 in sync, 0 with drift"), "{status}");
    assert!(status.contains("all rights in namespace kubectl-status-"), "{status}");
    assert!(status.contains(&format!("in namespace {}, seen ", world.namespace.name())), "{status}");
    let nobody = arcadia.run(&["status", "--as", "nobody"]).await.out;
    assert!(nobody.contains("you may not"), "{nobody}");
    let refused = arcadia.says(2, &["inbox", "--as", "nobody"]).await;
    assert!(refused.contains("nobody") && refused.contains("kubectl arcadia status --as nobody"), "{refused}");
    let group = arcadia.says(2, &["inbox", "--as-group", "ops"]).await;
    assert!(group.contains("with --as"), "{group}");
    arcadia.expect(0, &["inbox", "--as", "jane", "--as-group", "system:masters"]).await;
    // The operator's own account cannot decide.
    let operator = Arcadia::new().with_cluster(&world.credential_file());
    let status = operator.run(&["status"]).await.out;
    assert!(status.contains("you may not accept drifts"), "{status}");
}

#[tokio::test]
async fn an_account_is_recorded_in_the_cluster() {
    let world = World::new("kubectl-import").await;
    let arcadia = arcadia(&world).with_cloud(&world.cloud_url(), crate::world::TOKEN);
    world.cloud.put("droplets", droplet("5", "web-5")).await.unwrap();
    world.record("web-1", json!({"name": "web-1"})).await;
    let import = ["import", "--kind", "Droplet", "--apply"];
    let said = arcadia.says(0, &import).await;
    assert!(said.contains("1 record written, 1 recorded already"), "{said}");
    let name = world.run(&["get", "pr", "-o", "jsonpath={.items[?(@.spec.resource.id=='5')].metadata.name}"]).await;
    assert!(name.starts_with("droplet-web-5-"), "{name}");
    world.reaches(&format!("pr/{name}"), "InSync", "True NoDrift").await;
    let again = arcadia.says(0, &import).await;
    assert!(again.contains("0 records written, 2 recorded already"), "{again}");
    world.cloud.put("droplets", droplet("6", "web-6")).await.unwrap();
    let nowhere = arcadia.says(2, &[&import[..], &["-n", "no-such-namespace"]].concat()).await;
    assert!(nowhere.contains("kubectl create namespace no-such-namespace"), "{nowhere}");
    world.cloud.delete("droplets", "6").await.unwrap();
    let unrecorded = arcadia.expect(0, &["unrecorded", "--kind", "Droplet"]).await;
    assert!(unrecorded.contains("Every resource is recorded."), "{unrecorded}");
}
