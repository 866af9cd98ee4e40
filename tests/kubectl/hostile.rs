//! Users with few rights, without a cluster, or with unexpected input.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    program::{Arcadia, Ran},
    world::{World, droplet, eventually},
};

/// A kubeconfig of another user in the same cluster.
fn somebody(world: &World, folder: &Path, user: &str) -> PathBuf {
    let text = fs::read_to_string(world.namespace.kubeconfig()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    config["users"][0]["user"]["as"] = user.into();
    let path = folder.join(user);
    fs::write(&path, config.to_string()).unwrap();
    path
}

fn with_input(arcadia: &Arcadia, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = arcadia.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    Ran::of(&child.wait_with_output().unwrap())
}

#[tokio::test]
async fn missing_rights_are_named() {
    let world = World::new("kubectl-rights").await;
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    let folder = tempfile::tempdir().unwrap();
    let nobody = Arcadia::new().with_cluster(&somebody(&world, folder.path(), "nobody"));
    for arguments in [
        &["inbox"][..],
        &["inbox", "--watch"],
        &["show", "web-1"],
        &["history", "web-1"],
        &["accept", &drift, "--yes"],
        &["accept", "--record", "web-1", "--yes"],
        &["saga", "tree"],
        &["manifests", "--check", "/dev/null"],
    ] {
        let said = nobody.says(2, arguments).await;
        assert!(said.contains("forbidden") && said.contains("kubectl arcadia status"), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
    let status = nobody.expect(1, &["status"]).await;
    assert!(status.contains("you may not list drifts") || status.contains("you may not get"), "{status}");
    assert!(status.contains("unknown   Leader"), "{status}");
    let checks: Value = serde_json::from_str(&nobody.expect(1, &["status", "-o", "json"]).await).unwrap();
    assert!(checks["checks"].as_array().unwrap().iter().any(|check| check["state"] == "Unknown"), "{checks}");

    // A user who can read, but not decide.
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "looks" },
        "rules": [{ "apiGroups": ["arcadia.cloud"], "resources": ["*"], "verbs": ["get", "list", "watch"] }] });
    world.kubectl().apply(&role.to_string()).await.unwrap();
    world.run(&["create", "rolebinding", "looks", "--role=looks", "--user=viewer"]).await;
    let viewer = Arcadia::new().with_cluster(&somebody(&world, folder.path(), "viewer"));
    eventually("the role", || async {
        let ran = viewer.run(&["inbox", "-o", "name"]).await;
        if ran.code == 0 { Ok(()) } else { Err(ran.errors) }
    })
    .await;
    let page = viewer.expect(0, &["show", &drift]).await;
    assert!(page.contains("other") && page.contains("web-1"), "{page}");
    let refused = viewer.says(1, &["accept", &drift, "--yes"]).await;
    assert!(refused.contains("not decided") && refused.contains("cannot patch"), "{refused}");
    world.shows(&format!("drift/{drift}"), "{.metadata.annotations}", "").await;
}

#[tokio::test]
async fn without_a_cluster_commands_fail_quickly_with_the_remedy() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str, server: &str| {
        let path = folder.path().join(name);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": server}}],
            "users": [{"name": "x", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        });
        fs::write(&path, config.to_string()).unwrap();
        path
    };
    let nowhere = Arcadia::new().with_cluster(&config("nowhere", &format!("http://127.0.0.1:{port}")));
    let began = Instant::now();
    for arguments in [&["inbox"][..], &["status"], &["show", "x"], &["saga", "watch", "x"], &["accept", "x", "--yes"]] {
        let said = nowhere.says(2, arguments).await;
        assert!(said.contains("refused") && said.contains("kubectl cluster-info"), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    // Completion is silent.
    assert_eq!(nowhere.expect(0, &["__complete", "accept", ""]).await, ":4\n");
    fs::write(folder.path().join("broken"), "clusters: [").unwrap();
    let broken = Arcadia::new().with_cluster(&folder.path().join("broken"));
    let said = broken.says(2, &["inbox"]).await;
    assert!(said.contains("kubectl config view"), "{said}");
    let context = nowhere.says(2, &["inbox", "--context", "no-such"]).await;
    assert!(context.contains("no-such") && context.contains("kubectl config view"), "{context}");
}

#[tokio::test]
async fn names_from_standard_input_may_contain_anything() {
    let world = World::new("kubectl-input").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    for id in ["1", "2"] {
        world.cloud.put("droplets", droplet(id, "name")).await.unwrap();
        world.record_as(&format!("web-{id}"), "Droplet", id, json!({"name": "other"}), json!({})).await;
    }
    let names = eventually("two drifts", || async {
        let names = arcadia.expect(0, &["inbox", "-o", "name"]).await;
        if names.lines().count() == 2 { Ok(names) } else { Err(names) }
    })
    .await;
    for input in ["\u{0}", "日本", "../../etc/passwd", "drift/", "-", "a b", "%2e%2e"] {
        let ran = with_input(&arcadia, &["accept", "-", "--yes"], input.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{input:?}: {}", ran.errors);
        assert!(!ran.errors.contains("panicked") && ran.errors.lines().count() == 1, "{input:?}: {}", ran.errors);
    }
    for input in [&b""[..], b" \n\t\n", b"\xff\xfe"] {
        let ran = with_input(&arcadia, &["accept", "-", "--yes"], input);
        assert!(ran.code == 2 && ran.errors.contains("standard input"), "{input:?}: {}", ran.errors);
    }
    // Without --yes there is no terminal for the question.
    let asked = with_input(&arcadia, &["accept", "-"], names.as_bytes());
    assert!(asked.code == 2 && asked.errors.contains("--yes"), "{}", asked.errors);
    let blanks = format!("\n\n  {}\t\r\n{names}\n\n", names.replace('\n', "  \r\n"));
    let ran = with_input(&arcadia, &["accept", "-", "--yes", "--dry-run=server"], blanks.as_bytes());
    assert_eq!((ran.code, ran.out.matches("(server dry run)").count()), (0, 2), "{}", ran.errors);
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_refused_in_one_line() {
    let world = World::new("kubectl-arguments").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    for (arguments, wanted) in [
        (&["accept", "x", "--change", "y"][..], "cannot be used with"),
        (&["accept", &drift, "--until", "yesterday"], "7d"),
        (&["accept", &drift, "--until", "2020-01-01"], "past"),
        (&["accept", &drift, "--timeout", "soon"], "--timeout"),
        (&["accept", &drift, "--wait", "--dry-run=server"], "cannot be combined"),
        (&["revert", &drift, "--allow", "everything"], "possible values"),
        (&["inbox", "-l", "===", "-o", "name"], "found '=='"),
        (&["inbox", "-n", "../kube-system"], "kube-system"),
        (&["inbox", "-n", "a", "-A"], "cannot be used with"),
        (&["show", "a/b/c"], "a"),
        (&["show", "web-1", "-A"], "name it as NAMESPACE/web-1, or replace -A by -n NAMESPACE"),
        (&["accept", &drift, "--yes", "-A"], "-A covers all namespaces"),
        (&["saga", "approve", "no-such"], "does not exist"),
        (&["history", "no-such"], "does not exist"),
        (&["history", "web-1", "nme"], "did you mean name?"),
        (&["history", "web-1,status.phase=Open"], "does not exist"),
        (&["history", "web-1", "name,status.phase=Open"], "has no field"),
        (&["accept", "--record", "web-11", "--yes"], "ProvisionedResource web-11 does not exist"),
        (&["inbox", "--kind", "Dropplet"], r#"there is no kind "Dropplet"; did you mean Droplet?"#),
        (&["inbox", "--kind", "dropplet", "--watch"], "did you mean Droplet?"),
        (&["inbox", "--kind", "Droplet", "--field", "size_slugg"], "did you mean size_slug"),
        (&["inbox", "--field", "a,b"], r#"there is no field "a,b""#),
        (
            &["import", "--kind", "Droplet", "--fields", "sizeslug"],
            r#"Droplet has no field "sizeslug"; did you mean size_slug"#,
        ),
        (&["unrecorded", "--kind", "Volum"], "did you mean Volume?"),
        (&["verify", "-f", "x", "--kind", "Volum"], "did you mean Volume?"),
        (&["import", "--name", "(", "--from-terraform", "x"], "cannot be used with"),
    ] {
        let ran = arcadia.run(arguments).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}\n{}", ran.out, ran.errors);
        assert!(ran.errors.contains(wanted), "{arguments:?}: {}", ran.errors);
        assert!(ran.errors.len() < 1000, "{arguments:?}: {}", ran.errors);
    }
    let empty = arcadia.expect(0, &["inbox", "-n", "no-such-namespace"]).await;
    assert!(empty.contains("No open drifts in namespace no-such-namespace"), "{empty}");
    let kinds = arcadia.expect(0, &["inbox", "--kind", "droplet", "--field", "name", "-o", "name"]).await;
    assert!(kinds.contains(&drift), "{kinds}");
    // Every list has a machine-readable format.
    for arguments in
        [&["history", "web-1", "-o", "json"][..], &["saga", "tree", "-o", "json"], &["inbox", "-o", "json"]]
    {
        let list: Value = serde_json::from_str(&arcadia.expect(0, arguments).await).unwrap();
        assert_eq!(list["kind"], "List", "{arguments:?}");
    }
    let yaml = arcadia.expect(0, &["history", "web-1", "-o", "yaml"]).await;
    assert!(yaml.starts_with("apiVersion: v1\n") && yaml.contains("field: name"), "{yaml}");
}

#[tokio::test]
async fn kinds_and_fields_of_a_later_operator_are_selected() {
    let mut world = World::new("kubectl-later").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    world.kill_operator();
    let labels = ["arcadia.cloud/kind=Spaceship", "arcadia.cloud/field=warp"];
    world.run(&[&["label", &format!("drift/{drift}"), "--overwrite"][..], &labels].concat()).await;
    let later = ["inbox", "-o", "name", "--kind", "Spaceship", "--field", "warp"];
    assert!(arcadia.expect(0, &later).await.contains(&drift));
    let fields = arcadia.expect(0, &["__complete", "inbox", "--field", ""]).await;
    assert_eq!(fields, "name\n:4\n");
    world.restart_operator();
}
