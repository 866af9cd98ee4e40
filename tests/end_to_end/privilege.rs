//! Who may do what: the operator no more than it needs, people what their role says, each tried for real.

use std::{collections::BTreeSet, fmt::Write as _, path::Path, time::Duration};

use arcadia_operator::{
    api::OPERATOR,
    manifests::{
        Installation,
        operator::{self, RULES},
        policies, users,
    },
};
use control_plane::{ControlPlane, Kubectl, Namespace, Options};
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
    world.start_operator(&["--drift-history-limit", "1"]);

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

#[tokio::test]
async fn a_token_would_be_found_in_metrics_and_in_objects() {
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
    let team = Team::on(&control_plane).await;
    // First without the mutating policy, which older clusters do not have.
    team.nobody_signs_with_the_name_of_another().await;
    team.kubectl.apply(&policies::mutating(&team.installation).unwrap()).await.unwrap();
    in_force(&team.kubectl, &team.installation).await;
    team.the_api_server_signs().await;
    team.each_may_do_what_the_table_says().await;
    team.a_refusal_tells_what_is_lacking().await;
    team.nobody_decides_through_the_status().await;

    // The policies of an operator that watches one namespace end there.
    let other = control_plane.namespace("other").await.unwrap();
    other.kubectl().run_with_input(&["create", "-f", "-"], &drift(OPEN).to_string()).await.unwrap();
    // The API server's own check of the types found nothing in the expressions.
    eventually("the check of the policies' expressions", || async {
        let checked =
            "jsonpath={range .items[*]}{.status.observedGeneration}{.status.typeChecking.expressionWarnings}{end}";
        let checked = team.kubectl.run(&["get", "validatingadmissionpolicies", "-o", checked]).await.unwrap();
        if checked == "111" { Ok(()) } else { Err(checked) }
    })
    .await;
    team.a_decision_at_create_is_refused_for_its_own_sake().await;
}

/// A namespace with a record, two drifts, and people of every role. No operator runs.
struct Team {
    kubectl: Kubectl,
    installation: Installation,
    /// What the table's commands create, by the word that stands for its file there.
    files: [(&'static str, String); 3],
    _folder: tempfile::TempDir,
    _namespace: Namespace,
}

const ACCEPT: &str = "annotate --dry-run=server drift web-1-name-0000000000-1 arcadia.cloud/accept=true";
const SIGNATURE: &str = "jsonpath={.metadata.annotations.arcadia\\.cloud/decided-by}";

impl Team {
    async fn on(control_plane: &ControlPlane) -> Self {
        install(control_plane).await;
        let namespace = control_plane.namespace("team").await.unwrap();
        let kubectl = namespace.kubectl();
        let installation = Installation::namespaced(OPERATOR, namespace.name());
        for manifest in [
            operator::own_access(&installation),
            operator::watched_access(&installation),
            policies::validating(&installation),
            users::roles(),
            Ok(record("web-1").to_string()),
        ] {
            kubectl.apply(&manifest.unwrap()).await.unwrap();
        }
        for role in ["viewer", "editor", "platform-admin"] {
            bind(&kubectl, role, &format!("arcadia-{role}")).await;
        }
        for role in ["view", "edit", "admin"] {
            bind(&kubectl, role, role).await;
        }
        for (name, role) in roles_of_the_clusters_own() {
            kubectl.apply(&role.to_string()).await.unwrap();
            bind(&kubectl, name, name).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut decided = drift("web-1-forged-2");
        decided["metadata"]["annotations"] = json!({"arcadia.cloud/accept": "true"});
        let objects = [("RECORD", record("web-2")), ("DRIFT", drift("web-1-forged-1")), ("DECIDED_DRIFT", decided)];
        let files = objects.map(|(name, object)| {
            let path = folder.path().join(name);
            std::fs::write(&path, object.to_string()).unwrap();
            (name, path.to_str().unwrap().to_owned())
        });
        eventually("the operator's right to make drifts", || async {
            let may = kubectl.run(&["auth", "can-i", "create", "drifts", "--as", &installation.username()]).await;
            may.map_err(|error| error.to_string())
        })
        .await;
        create_as_operator(&kubectl, &installation, OPEN).await;
        create_as_operator(&kubectl, &installation, DECIDED).await;
        validation_in_force(&kubectl, &installation).await;
        let team = Self { kubectl, installation, files, _folder: folder, _namespace: namespace };
        for who in ["platform-admin", "admin"] {
            eventually("the rights of those who decide", || team.run(format!("{ACCEPT} --as={who}"))).await;
        }
        team
    }

    /// Runs kubectl with these words.
    async fn run(&self, line: impl AsRef<str>) -> Result<String, String> {
        let arguments: Vec<&str> = line.as_ref().split(' ').collect();
        self.kubectl.run(&arguments).await.map_err(|error| error.to_string())
    }

    async fn nobody_signs_with_the_name_of_another(&self) {
        let signing = format!("{ACCEPT} --as=platform-admin arcadia.cloud/decided-by");
        self.run(format!("{signing}=platform-admin")).await.unwrap();
        let said = self.run(format!("{signing}=root")).await.unwrap_err();
        assert!(said.contains("must not be set to another name than your own (platform-admin)"), "{said}");
    }

    async fn the_api_server_signs(&self) {
        self.run(format!("annotate drift {DECIDED} arcadia.cloud/accept=true")).await.unwrap();
        assert_eq!(self.run(format!("get drift {DECIDED} -o {SIGNATURE}")).await.unwrap(), "admin");
        let signed = async |line: String| self.run(format!("{line} --as=platform-admin -o {SIGNATURE}")).await.unwrap();
        assert_eq!(signed(ACCEPT.to_owned()).await, "platform-admin");
        let forged = format!("{ACCEPT} arcadia.cloud/decided-by=root");
        assert_eq!(signed(forged).await, "platform-admin", "stamped over what was supplied");
        let decided = format!("annotate --dry-run=server --overwrite drift {DECIDED}");
        assert_eq!(signed(format!("{decided} arcadia.cloud/accept=new")).await, "platform-admin");
        let withdrawn = signed(format!("{decided} arcadia.cloud/accept-")).await;
        assert_eq!(withdrawn, "", "who withdrew it did not decide it");
    }

    async fn each_may_do_what_the_table_says(&self) {
        let mut wrong = Vec::new();
        for Action { what, command, words, may } in ACTIONS {
            let file = |word: &str| self.files.iter().find(|(name, _)| *name == word).map(|(_, path)| path.clone());
            let mut command: Vec<_> =
                command.iter().map(|&word| file(word).unwrap_or_else(|| word.to_owned())).collect();
            if command[0] != "get" {
                command.push("--dry-run=server".to_owned());
            }
            for (who, expected) in *may {
                let outcome = self.kubectl.run(&[command.clone(), impersonating(who)].concat()).await;
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
    }

    /// The verb, the role that has it, and how to look.
    async fn a_refusal_tells_what_is_lacking(&self) {
        let said = self.run(format!("{ACCEPT} --as=labeller")).await.unwrap_err();
        for words in
            ["user labeller", "takes the verb accept on drifts", "arcadia-platform-admin", "kubectl auth can-i accept"]
        {
            assert!(said.contains(words), "wanted {words:?} in: {said}");
        }
        for (who, may) in
            [("viewer", false), ("editor", false), ("labeller", false), ("platform-admin", true), ("admin", true)]
        {
            let asked = self.run(format!("auth can-i accept drifts --as={who}")).await;
            assert_eq!(asked.is_ok(), may, "{who}: {asked:?}");
        }
    }

    /// The API server takes nothing else from there.
    async fn nobody_decides_through_the_status(&self) {
        let annotation = r#"{"metadata":{"annotations":{"arcadia.cloud/accept":"true"}}}"#;
        let patch = format!("patch drift {OPEN} --subresource=status --type=merge --dry-run=server -p {annotation}");
        assert_eq!(self.run(format!("{patch} -o jsonpath={{.metadata.annotations}}")).await.unwrap(), "");
    }

    /// Not only because people make no drifts.
    async fn a_decision_at_create_is_refused_for_its_own_sake(&self) {
        self.run(format!("delete validatingadmissionpolicybinding {OPERATOR}-contents")).await.unwrap();
        let make = |file: usize| self.run(format!("create --dry-run=server --as=maker -f {}", self.files[file].1));
        eventually("the policy on contents to be gone", || make(1)).await;
        let said = make(2).await.unwrap_err();
        assert!(said.contains(CANNOT_ACCEPT), "{said}");
    }
}

/// Three that a cluster's own roles may make: rights on drifts without the verb, or with it for one drift only.
fn roles_of_the_clusters_own() -> [(&'static str, Value); 3] {
    [
        ("labeller", json!([{"resources": ["drifts"], "verbs": ["get", "patch"]}])),
        ("maker", json!([{"resources": ["drifts", "drifts/status"], "verbs": ["get", "create", "patch"]}])),
        (
            "decider-of-one",
            json!([
                {"resources": ["drifts"], "verbs": ["get", "patch"]},
                {"resources": ["drifts"], "verbs": ["accept"], "resourceNames": [OPEN]},
            ]),
        ),
    ]
    .map(|(name, mut rules)| {
        for rule in rules.as_array_mut().unwrap() {
            rule["apiGroups"] = json!(["arcadia.cloud"]);
        }
        let metadata = json!({"name": name});
        let (version, kind) = ("rbac.authorization.k8s.io/v1", "ClusterRole");
        (name, json!({"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules}))
    })
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
    let accept = ["annotate", "drift", "probe", "arcadia.cloud/accept=true", "--dry-run=server", "-o", SIGNATURE];
    eventually("the policy that signs", || async {
        // It needs the schema, which it learns some time after the definition.
        let signed = kubectl.run(&accept).await.map_err(|error| error.to_string())?;
        if signed == "admin" { Ok(()) } else { Err(signed) }
    })
    .await;
    kubectl.run(&["delete", "drift", "probe"]).await.unwrap();
}
