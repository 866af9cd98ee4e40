//! Who may do what: the operator no more than it needs, people what their role says, each tried for real.

use std::{collections::BTreeSet, fmt::Write as _, net::TcpListener, path::Path, time::Duration};

use arcadia_operator::{
    api::OPERATOR,
    manifests::{Installation, operator::RULES, policies, users},
};
use control_plane::{ControlPlane, Kubectl, Options};
use digitalocean_simulator::RateLimits;
use serde_json::{Value, json};

use crate::world::{DROPLET, TOKEN, World, eventually, install};

/// Everything that any `ServiceAccount` does, with what it sent and got.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  userGroups: ["system:serviceaccounts"]
- level: None
"#;

/// An open drift, and one that somebody has decided.
const OPEN: &str = "web-1-name-0000000000-1";
const DECIDED: &str = "web-1-name-0000000000-2";

#[tokio::test]
async fn the_operator_uses_every_right_that_it_has_and_is_refused_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, audit) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
    std::fs::write(&policy, AUDIT_POLICY).unwrap();
    let api_server_flags =
        vec![format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", audit.display())];
    let control_plane = ControlPlane::start(Options { api_server_flags, ..Options::default() }).await.unwrap();
    install(&control_plane).await;
    // Its garbage collector looks for new kinds only now and then.
    control_plane.restart_controller_manager().await.unwrap();
    let system = control_plane.namespace("arcadia-system").await.unwrap();
    let installation = Installation::cluster_wide(OPERATOR, system.name());
    control_plane.kubectl().apply(&policies::validating(&installation).unwrap()).await.unwrap();
    control_plane.kubectl().apply(&policies::mutating(&installation).unwrap()).await.unwrap();
    control_plane.kubectl().apply(&users::roles().unwrap()).await.unwrap();

    let namespace = control_plane.namespace("team").await.unwrap();
    let limits = RateLimits { per_minute: 100_000, per_hour: 1_000_000, ..RateLimits::default() };
    let mut world = World::installed(&control_plane, namespace, installation.clone(), limits).await;
    bind(&world.kubectl(), "jane", "arcadia-platform-admin").await;
    in_force(&world.kubectl(), &installation).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    world.start_operator(&["--drift-history-limit", "1", "--metrics-address", &address]);

    // Opened, moved, three times decided in a way that is refused.
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
    // Accepted, with somebody else's name under it: the status shows who really did.
    let forged = "arcadia.cloud/decided-by=somebody-else";
    world.run(&["annotate", "--as=jane", "drift", &drift, "arcadia.cloud/accept=true", forged]).await;
    world.has_drifts(&[["name", "other", "third", "Accepted"]]).await;
    assert_eq!(world.value(&format!("drift/{drift}"), "{.status.decidedBy}").await, "jane");
    // Opened and gone by itself: only one resolved drift is kept.
    world.cloud.change("droplets", DROPLET, json!({"name": "fourth"})).await.unwrap();
    world.has_drifts(&[["name", "other", "third", "Accepted"], ["name", "third", "fourth", "Open"]]).await;
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    world.has_drifts(&[["name", "third", "fourth", "Stale"]]).await;
    // The resource is gone altogether.
    world.cloud.delete("droplets", DROPLET).await.unwrap();
    world.has_drifts(&[["exists", "true", "false", "Open"], ["name", "third", "fourth", "Stale"]]).await;
    world.sync("web-1").await;

    eventually("the use of every right", || async {
        let unused: BTreeSet<_> = granted().difference(&used(&audit, &installation)).cloned().collect();
        if unused.is_empty() { Ok(()) } else { Err(unused) }
    })
    .await;
    let metrics = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("http://{address}/metrics"));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("arcadia_") && !metrics.contains(TOKEN), "{metrics}");
    world.operator.take().unwrap().terminate(Duration::from_secs(10));

    // The policies hinder neither the garbage collector nor the end of a namespace.
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
    // Whatever the operator wrote to the API server, it is in here.
    assert!(!std::fs::read_to_string(&audit).unwrap().contains(TOKEN), "the token is in an object");
}

/// `verb resource.group` for all that the table of rules grants.
fn granted() -> BTreeSet<String> {
    let pairs = RULES.iter().flat_map(|rule| {
        let resources = rule.resources.iter();
        resources.flat_map(move |resource| rule.verbs.iter().map(move |verb| (verb, resource, rule.api_group)))
    });
    pairs.map(|(verb, resource, group)| format!("{verb} {group} {resource}")).collect()
}

/// The same for all that the operator did.
fn used(audit: &Path, installation: &Installation) -> BTreeSet<String> {
    let of = |request: Value| {
        let text = |key: &str| request["objectRef"][key].as_str().unwrap_or_default().to_owned();
        let mut used = format!("{} {} {}", request["verb"].as_str().unwrap(), text("apiGroup"), text("resource"));
        if !text("subresource").is_empty() {
            write!(used, "/{}", text("subresource")).unwrap();
        }
        used
    };
    requests(audit, installation).map(of).collect()
}

/// What the operator asked of the API server.
fn requests(audit: &Path, installation: &Installation) -> impl Iterator<Item = Value> + use<> {
    let log = std::fs::read_to_string(audit).unwrap_or_default();
    // The last line may be half written.
    let requests: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let username = installation.username();
    requests
        .into_iter()
        .filter(move |request| request["user"]["username"] == *username && request["impersonatedUser"].is_null())
}

/// What somebody tries, dry: the API server decides as if it were meant, and nothing changes.
struct Action {
    what: &'static str,
    command: &'static [&'static str],
    /// What a refusal says: of RBAC, and of a policy.
    words: [&'static str; 2],
    /// Who may (`yes`), whom RBAC refuses (`no`), and whom a policy does (`policy`).
    may: &'static [(&'static str, &'static str)],
}

const CANNOT_PATCH_DRIFTS: &str = r#"cannot patch resource "drifts" in API group "arcadia.cloud""#;
const CANNOT_ACCEPT: &str = "cannot accept resource drifts in API group arcadia.cloud";
const CANNOT_WRITE: &str = "cannot write what a Drift says";
const CANNOT_MARK: &str = "cannot set the annotation arcadia.cloud/last-accepted";

const ACTIONS: &[Action] = &[
    Action {
        what: "see records and drifts",
        command: &["get", "provisionedresources,drifts"],
        words: [r#"cannot list resource "provisionedresources""#, ""],
        may: &[("nobody", "no"), ("viewer", "yes"), ("editor", "yes"), ("platform-admin", "yes"), ("view", "yes")],
    },
    Action {
        what: "record",
        command: &["create", "-f", "RECORD"],
        words: [r#"cannot create resource "provisionedresources""#, ""],
        may: &[
            ("nobody", "no"),
            ("viewer", "no"),
            ("editor", "yes"),
            ("platform-admin", "yes"),
            ("view", "no"),
            ("edit", "yes"),
        ],
    },
    Action {
        what: "ask for a sync",
        command: &["annotate", "pr", "web-1", "arcadia.cloud/sync-requested-at=now"],
        words: [r#"cannot patch resource "provisionedresources""#, ""],
        may: &[("viewer", "no"), ("editor", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "suspend",
        command: &["patch", "pr", "web-1", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#],
        words: [r#"cannot patch resource "provisionedresources""#, ""],
        may: &[("viewer", "no"), ("editor", "yes"), ("platform-admin", "yes"), ("edit", "yes")],
    },
    Action {
        what: "record no longer",
        command: &["delete", "pr", "web-1"],
        words: [r#"cannot delete resource "provisionedresources""#, ""],
        may: &[("viewer", "no"), ("editor", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "say that an accept was carried out",
        command: &["annotate", "pr", "web-1", "arcadia.cloud/last-accepted=web-1-name-0000000000-1/uid"],
        words: [r#"cannot patch resource "provisionedresources""#, CANNOT_MARK],
        may: &[("viewer", "no"), ("editor", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "set a decision",
        command: &["annotate", "drift", OPEN, "arcadia.cloud/accept=true"],
        words: [CANNOT_PATCH_DRIFTS, CANNOT_ACCEPT],
        may: &[
            ("viewer", "no"),
            ("editor", "no"),
            ("labeller", "policy"),
            ("decider-of-one", "yes"),
            ("platform-admin", "yes"),
            ("edit", "no"),
            ("admin", "yes"),
            ("root", "yes"),
        ],
    },
    Action {
        what: "change a decision",
        command: &["annotate", "--overwrite", "drift", DECIDED, "arcadia.cloud/accept=another"],
        words: [CANNOT_PATCH_DRIFTS, CANNOT_ACCEPT],
        may: &[
            ("editor", "no"),
            ("labeller", "policy"),
            ("decider-of-one", "policy"),
            ("platform-admin", "yes"),
            ("admin", "yes"),
        ],
    },
    Action {
        what: "remove a decision",
        command: &["annotate", "drift", DECIDED, "arcadia.cloud/accept-"],
        words: [CANNOT_PATCH_DRIFTS, CANNOT_ACCEPT],
        may: &[
            ("editor", "no"),
            ("labeller", "policy"),
            ("decider-of-one", "policy"),
            ("platform-admin", "yes"),
            ("admin", "yes"),
        ],
    },
    Action {
        what: "sign a decision of another",
        command: &["annotate", "--overwrite", "drift", DECIDED, "arcadia.cloud/decided-by=me"],
        words: [CANNOT_PATCH_DRIFTS, "arcadia.cloud/decided-by must not be set"],
        may: &[("editor", "no"), ("labeller", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "label a drift",
        command: &["label", "drift", DECIDED, "team=web"],
        words: [CANNOT_PATCH_DRIFTS, ""],
        may: &[("viewer", "no"), ("labeller", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "make a drift",
        command: &["create", "-f", "DRIFT"],
        words: [r#"cannot create resource "drifts""#, CANNOT_WRITE],
        may: &[("editor", "no"), ("platform-admin", "no"), ("admin", "no"), ("maker", "policy"), ("root", "policy")],
    },
    Action {
        what: "make a drift that is decided",
        command: &["create", "-f", "DECIDED_DRIFT"],
        // The policy on contents refuses it as well, and which one speaks is not said.
        words: [r#"cannot create resource "drifts""#, "cannot "],
        may: &[("platform-admin", "no"), ("maker", "policy")],
    },
    Action {
        what: "rewrite what a drift says",
        command: &["patch", "drift", OPEN, "--type=merge", "-p", r#"{"spec":{"actual":"forged"}}"#],
        words: [CANNOT_PATCH_DRIFTS, "the spec of a Drift must not change"],
        may: &[("editor", "no"), ("labeller", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "rewrite what became of a drift",
        command: &[
            "patch",
            "drift",
            OPEN,
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"metadata":{"annotations":{"arcadia.cloud/accept":"true"}},"status":{"decidedBy":"forged"}}"#,
        ],
        words: [r#"resource "drifts/status" in API group "arcadia.cloud""#, CANNOT_WRITE],
        may: &[("platform-admin", "no"), ("maker", "policy"), ("root", "policy")],
    },
];

#[tokio::test]
async fn people_may_do_what_their_role_says_and_are_told_what_they_lack() {
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    install(&control_plane).await;
    let namespace = control_plane.namespace("team").await.unwrap();
    let kubectl = namespace.kubectl();
    let installation = Installation::namespaced(OPERATOR, namespace.name());
    kubectl.apply(&arcadia_operator::manifests::operator::own_access(&installation).unwrap()).await.unwrap();
    kubectl.apply(&arcadia_operator::manifests::operator::watched_access(&installation).unwrap()).await.unwrap();
    kubectl.apply(&policies::validating(&installation).unwrap()).await.unwrap();
    kubectl.apply(&users::roles().unwrap()).await.unwrap();
    for role in ["viewer", "editor", "platform-admin"] {
        bind(&kubectl, role, &format!("arcadia-{role}")).await;
    }
    for role in ["view", "edit", "admin"] {
        bind(&kubectl, role, role).await;
    }
    // Three that a cluster's own roles may make: rights on drifts, and not the verb, or for one drift only.
    let own = [
        ("labeller", json!([{"resources": ["drifts"], "verbs": ["get", "patch"]}])),
        ("maker", json!([{"resources": ["drifts", "drifts/status"], "verbs": ["get", "create", "patch"]}])),
        (
            "decider-of-one",
            json!([
                {"resources": ["drifts"], "verbs": ["get", "patch"]},
                {"resources": ["drifts"], "verbs": ["accept"], "resourceNames": [OPEN]},
            ]),
        ),
    ];
    for (name, mut rules) in own {
        for rule in rules.as_array_mut().unwrap() {
            rule["apiGroups"] = json!(["arcadia.cloud"]);
        }
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
        });
        kubectl.apply(&role.to_string()).await.unwrap();
        bind(&kubectl, name, name).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, object: Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, object.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    kubectl.apply(&record("web-1").to_string()).await.unwrap();
    eventually("the operator's right to make drifts", || async {
        let may = kubectl.run(&["auth", "can-i", "create", "drifts", "--as", &installation.username()]).await;
        may.map_err(|error| error.to_string())
    })
    .await;
    create_as_operator(&kubectl, &installation, OPEN).await;
    create_as_operator(&kubectl, &installation, DECIDED).await;

    // Without the mutating policy, which older clusters do not have, nobody signs with another's name either.
    validation_in_force(&kubectl, &installation).await;
    let accept = ["annotate", "--dry-run=server", "--as=platform-admin", "drift", OPEN, "arcadia.cloud/accept=true"];
    let signed = |name: &str| [accept.as_slice(), &[&format!("arcadia.cloud/decided-by={name}")]].concat().join(" ");
    let run = |line: String| {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let kubectl = kubectl.clone();
        async move { kubectl.run(&arguments).await.map_err(|error| error.to_string()) }
    };
    eventually("platform-admin's rights", || run(accept.join(" "))).await;
    run(signed("platform-admin")).await.unwrap();
    let said = run(signed("root")).await.unwrap_err();
    assert!(said.contains("must not be set to another name than your own (platform-admin)"), "{said}");

    kubectl.apply(&policies::mutating(&installation).unwrap()).await.unwrap();
    in_force(&kubectl, &installation).await;
    kubectl.run(&["annotate", "drift", DECIDED, "arcadia.cloud/accept=true"]).await.unwrap();
    let signature = "jsonpath={.metadata.annotations.arcadia\\.cloud/decided-by}";
    assert_eq!(kubectl.run(&["get", "drift", DECIDED, "-o", signature]).await.unwrap(), "admin");
    let signed_as = |line: String| run(format!("{line} -o {signature}"));
    assert_eq!(signed_as(signed("root")).await.unwrap(), "platform-admin", "stamped over what was supplied");
    let change = format!("annotate --dry-run=server --as=admin --overwrite drift {DECIDED} arcadia.cloud/accept=new");
    eventually("admin to have the rights of platform-admin", || run(change.clone())).await;
    assert_eq!(signed_as(change.replace("--as=admin", "--as=platform-admin")).await.unwrap(), "platform-admin");
    let remove = format!("annotate --dry-run=server --as=platform-admin drift {DECIDED} arcadia.cloud/accept-");
    assert_eq!(signed_as(remove).await.unwrap(), "", "who withdrew it did not decide it");

    let files = [
        ("RECORD", file("record", record("web-2"))),
        ("DRIFT", file("drift", drift("web-1-forged-1"))),
        (
            "DECIDED_DRIFT",
            file("decided", {
                let mut drift = drift("web-1-forged-2");
                drift["metadata"]["annotations"] = json!({"arcadia.cloud/accept": "true"});
                drift
            }),
        ),
    ];
    let mut wrong = Vec::new();
    for Action { what, command, words, may } in ACTIONS {
        let command = command.iter().map(|&part| {
            files.iter().find(|(name, _)| *name == part).map_or(part.to_owned(), |(_, path)| path.clone())
        });
        let mut command: Vec<String> = command.collect();
        if command[0] != "get" {
            command.push("--dry-run=server".to_owned());
        }
        for (who, expected) in *may {
            let outcome = kubectl.run(&[command.clone(), impersonating(who)].concat()).await;
            let said = outcome.as_ref().map_or_else(ToString::to_string, Clone::clone);
            let is = match outcome {
                Ok(_) => "yes",
                Err(_) if !words[0].is_empty() && said.contains(words[0]) => "no",
                Err(_) if !words[1].is_empty() && said.contains(words[1]) => "policy",
                Err(_) => "something else",
            };
            if is != *expected {
                wrong.push(format!("{who}: {what}: expected {expected}, is {is}: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What a refusal tells: the verb, the role that has it, and how to look.
    let said = run(accept.join(" ").replace("--as=platform-admin", "--as=labeller")).await.unwrap_err();
    for words in
        ["user labeller", "takes the verb accept on drifts", "arcadia-platform-admin", "kubectl auth can-i accept"]
    {
        assert!(said.contains(words), "wanted {words:?} in: {said}");
    }
    for (who, may) in
        [("viewer", false), ("editor", false), ("labeller", false), ("platform-admin", true), ("admin", true)]
    {
        let asked = kubectl.run(&["auth", "can-i", "accept", "drifts", "--as", who]).await;
        assert_eq!(asked.is_ok(), may, "{who}: {asked:?}");
    }

    // Through the status nobody decides either: the API server takes nothing else from there.
    let through_status = ["patch", "drift", OPEN, "--subresource=status", "--type=merge", "--dry-run=server", "-p"];
    let annotation = r#"{"metadata":{"annotations":{"arcadia.cloud/accept":"true"}}}"#;
    let patched = kubectl.run(&[&through_status[..], &[annotation, "-o", "yaml"]].concat()).await.unwrap();
    assert!(!patched.contains("arcadia.cloud/accept"), "{patched}");

    // A decision at create is refused for its own sake, not only because people make no drifts.
    let contents = format!("{OPERATOR}-contents");
    kubectl.run(&["delete", "validatingadmissionpolicybinding", &contents]).await.unwrap();
    let make = |file: usize| run(format!("create --dry-run=server --as=maker -f {}", files[file].1));
    eventually("the policy on contents to be gone", || make(1)).await;
    let said = make(2).await.unwrap_err();
    assert!(said.contains(CANNOT_ACCEPT), "{said}");

    // The policies of an operator that watches one namespace end there.
    let other = control_plane.namespace("other").await.unwrap();
    let made = other.kubectl().run_with_input(&["create", "-f", "-"], &drift("web-1-name-1").to_string()).await;
    made.unwrap();

    // The API server's own check of the types found nothing in the expressions.
    eventually("the check of the policies' expressions", || async {
        let checked =
            "jsonpath={range .items[*]}{.status.observedGeneration}{.status.typeChecking.expressionWarnings}{end}";
        let checked = kubectl.run(&["get", "validatingadmissionpolicies", "-o", checked]).await.unwrap();
        if checked == "111" { Ok(()) } else { Err(checked) }
    })
    .await;
}

fn impersonating(who: &str) -> Vec<String> {
    if who == "root" {
        return vec!["--as=root".to_owned(), "--as-group=system:masters".to_owned()];
    }
    vec![format!("--as={who}")]
}

async fn bind(kubectl: &Kubectl, user: &str, role: &str) {
    let (role, user_flag) = (format!("--clusterrole={role}"), format!("--user={user}"));
    kubectl.run(&["create", "rolebinding", user, &role, &user_flag]).await.unwrap();
}

fn record(name: &str) -> Value {
    json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "ProvisionedResource",
        "metadata": { "name": name },
        "spec": { "resource": { "kind": "Droplet", "id": DROPLET }, "desired": { "name": "web-1" } },
    })
}

fn drift(name: &str) -> Value {
    json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "Drift",
        "metadata": { "name": name },
        "spec": {
            "resourceRef": { "name": "web-1", "uid": "uid" },
            "resource": { "kind": "Droplet", "id": DROPLET },
            "field": "name", "episode": 1, "expected": "web-1", "actual": "other", "specVersion": 1,
        },
    })
}

async fn create_as_operator(kubectl: &Kubectl, installation: &Installation, name: &str) {
    let arguments = ["create", "-f", "-", "--as", &installation.username()];
    kubectl.run_with_input(&arguments, &drift(name).to_string()).await.unwrap();
}

/// The API server takes a moment to learn of its policies: waits for each that refuses.
async fn validation_in_force(kubectl: &Kubectl, installation: &Installation) {
    let refused = async |what: &str, arguments: &[&str], input: Value, words: &str| {
        eventually(what, || async {
            match kubectl.run_with_input(&[arguments, &["--dry-run=server"]].concat(), &input.to_string()).await {
                Err(error) if error.to_string().contains(words) => Ok(()),
                outcome => Err(outcome),
            }
        })
        .await;
    };
    refused("the policy on contents", &["create", "-f", "-"], drift("another"), CANNOT_WRITE).await;
    create_as_operator(kubectl, installation, "probe").await;
    let sign = ["annotate", "drift", "probe", "arcadia.cloud/decided-by=x"];
    refused("the policy on decisions", &sign, Value::Null, "decided-by must not be set").await;
    kubectl.apply(&record("probe").to_string()).await.unwrap();
    let mark = ["annotate", "pr", "probe", "arcadia.cloud/last-accepted=x"];
    refused("the policy on marks", &mark, Value::Null, CANNOT_MARK).await;
    kubectl.run(&["delete", "pr/probe", "drift/probe"]).await.unwrap();
}

/// The same, and for the one that signs.
async fn in_force(kubectl: &Kubectl, installation: &Installation) {
    validation_in_force(kubectl, installation).await;
    create_as_operator(kubectl, installation, "probe").await;
    let signature = "jsonpath={.metadata.annotations.arcadia\\.cloud/decided-by}";
    let accept = ["annotate", "drift", "probe", "arcadia.cloud/accept=true", "--dry-run=server", "-o", signature];
    eventually("the policy that signs", || async {
        // It needs the schema, which it learns some time after the definition.
        let signed = kubectl.run(&accept).await.map_err(|error| error.to_string())?;
        if signed == "admin" { Ok(()) } else { Err(signed) }
    })
    .await;
    kubectl.run(&["delete", "drift", "probe"]).await.unwrap();
}
