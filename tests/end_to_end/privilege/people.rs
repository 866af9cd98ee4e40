//! People of every role, each with all actions of the table.

use arcadia_operator::{
    api::{
        OPERATOR,
        saga::{FINALIZER, MAX_INPUT_BYTES, MAX_ORDER_BYTES, MAX_SPEC_BYTES},
    },
    manifests::{Installation, operator, policies, users},
};
use control_plane::{ControlPlane, Kubectl, Namespace, Options};
use serde_json::{Value, json};

use super::{
    actions::{ACTIONS, Action, CANNOT_ACCEPT, CANNOT_CANCEL},
    objects::{
        DECIDED, OPEN, OVER, RESOLVED, SIGNATURE, UNDER_WAY, WAITING, bind, create_as_operator, drift, in_force, order,
        record, saga, validation_in_force,
    },
};
use crate::world::{eventually, install};

#[tokio::test]
async fn people_have_the_rights_of_their_role_and_refusals_name_the_missing_verb() {
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    let team = Team::on(&control_plane).await;
    // First without the mutating policy, which older clusters do not have.
    team.nobody_signs_with_the_name_of_another().await;
    team.kubectl.apply(&policies::mutating(&team.installation).unwrap()).await.unwrap();
    in_force(&team.kubectl, &team.installation).await;
    team.the_api_server_signs().await;
    team.each_may_do_what_the_table_says().await;
    team.a_refusal_names_the_missing_verb().await;
    team.nobody_decides_through_the_status().await;
    team.no_order_is_larger_than_it_may_be().await;

    // The policies of an operator that watches one namespace apply only there.
    let other = control_plane.namespace("other").await.unwrap();
    other.kubectl().run_with_input(&["create", "-f", "-"], &drift(OPEN).to_string()).await.unwrap();
    // The API server's own type check found no fault in the expressions.
    eventually("the check of the policies' expressions", || async {
        let checked =
            "jsonpath={range .items[*]}{.status.observedGeneration}{.status.typeChecking.expressionWarnings}{end}";
        let checked = team.kubectl.run(&["get", "validatingadmissionpolicies", "-o", checked]).await.unwrap();
        if checked == "1111111" { Ok(()) } else { Err(checked) }
    })
    .await;
    team.a_decision_at_create_is_refused_for_its_own_sake().await;
}

/// A namespace with a record, two drifts, four sagas, and people of every role. No operator runs.
struct Team {
    kubectl: Kubectl,
    installation: Installation,
    /// The objects that the table's commands create, by the placeholder of their file.
    files: [(&'static str, String); 6],
    _folder: tempfile::TempDir,
    _namespace: Namespace,
}

const ACCEPT: &str = "annotate --dry-run=server drift web-1-name-0000000000-1 arcadia.cloud/accept=true";
const RESOLVE: &str = "annotate --dry-run=server saga under-way arcadia.cloud/resolve=retry";
const APPROVE: &str = "annotate --dry-run=server saga under-way arcadia.cloud/approve-go";
const CANCEL: &str = "patch --dry-run=server saga under-way --type=merge -p {\"spec\":{\"cancelRequested\":true}}";
/// Prints the user who approved the step.
const APPROVAL: &str = "jsonpath={.metadata.annotations.arcadia\\.cloud/approve-go}";

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
        bind(&kubectl, "system:kube-controller-manager", "orderer").await;
        let folder = tempfile::tempdir().unwrap();
        let mut decided = drift("web-1-forged-2");
        decided["metadata"]["annotations"] = json!({"arcadia.cloud/accept": "true"});
        let (mut cancelled, mut large) = (saga("cancelled"), saga("large"));
        cancelled["spec"]["cancelRequested"] = json!(true);
        large["spec"]["inputs"] = json!({ "user_data": "#".repeat(MAX_INPUT_BYTES) });
        let objects = [
            ("RECORD", record("web-2")),
            ("DRIFT", drift("web-1-forged-1")),
            ("DECIDED_DRIFT", decided),
            ("SAGA", saga("another")),
            ("CANCELLED_SAGA", cancelled),
            ("LARGE_SAGA", large),
        ];
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
        let (mut held, mut resolved) = (saga(UNDER_WAY), saga(RESOLVED));
        held["metadata"]["finalizers"] = json!([FINALIZER]);
        resolved["metadata"]["annotations"] = json!({
            "arcadia.cloud/resolve": "retry", "arcadia.cloud/because": "a reason", "arcadia.cloud/decided-by": "admin",
            "arcadia.cloud/approve-go": "admin",
        });
        for (saga, phase) in
            [(held, "Running"), (saga(WAITING), "Pending"), (saga(OVER), "Succeeded"), (resolved, "Stuck")]
        {
            order(&kubectl, &installation, &saga, phase).await;
        }
        validation_in_force(&kubectl, &installation).await;
        let team = Self { kubectl, installation, files, _folder: folder, _namespace: namespace };
        for who in ["platform-admin", "admin"] {
            let signed = |decision| format!("{decision} arcadia.cloud/decided-by={who}");
            for deed in [signed(ACCEPT), signed(RESOLVE), CANCEL.to_owned()] {
                eventually("the rights of those who decide", || team.run(format!("{deed} --as={who}"))).await;
            }
        }
        eventually("the policy on cancellations", || async {
            let said = team.run(format!("{CANCEL} --as=orderer")).await.err().unwrap_or_default();
            if said.contains(CANNOT_CANCEL) { Ok(()) } else { Err(said) }
        })
        .await;
        team
    }

    /// Runs kubectl with these arguments.
    async fn run(&self, line: impl AsRef<str>) -> Result<String, String> {
        let arguments: Vec<&str> = line.as_ref().split(' ').collect();
        self.kubectl.run(&arguments).await.map_err(|error| error.to_string())
    }

    async fn nobody_signs_with_the_name_of_another(&self) {
        let adopt = RESOLVE.replace("resolve=retry", "adopt=123");
        for decision in [ACCEPT, RESOLVE, adopt.as_str()] {
            let decision = format!("{decision} --as=platform-admin");
            self.run(format!("{decision} arcadia.cloud/decided-by=platform-admin")).await.unwrap();
            // A client chooses its own manager name.
            for signature in ["", " --field-manager=root", " arcadia.cloud/decided-by=root"] {
                let said = self.run(format!("{decision}{signature}")).await.unwrap_err();
                assert!(said.contains("must be signed with your own name"), "{said}");
                assert!(said.contains("set arcadia.cloud/decided-by=platform-admin together with it"), "{said}");
            }
        }
        // The existing name belongs to the user who decided before.
        let help = format!("annotate --dry-run=server --overwrite saga {RESOLVED} --as=platform-admin");
        let said = self.run(format!("{help} arcadia.cloud/resolve=abandon")).await.unwrap_err();
        assert!(said.contains("must be signed with your own name"), "{said}");
        self.run(format!("{help} arcadia.cloud/resolve-")).await.unwrap();
        self.run(format!("{APPROVE}=platform-admin --as=platform-admin")).await.unwrap();
        for value in ["yes", "root"] {
            let said = self.run(format!("{APPROVE}={value} --as=platform-admin")).await.unwrap_err();
            assert!(said.contains("must be your own name (platform-admin)"), "{said}");
        }
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

        let forged = format!("{RESOLVE} arcadia.cloud/because=x arcadia.cloud/decided-by=root");
        assert_eq!(signed(forged).await, "platform-admin");
        assert_eq!(signed(RESOLVE.replace("resolve=retry", "adopt=123")).await, "platform-admin");
        let approved = async |line: &str| {
            let line = format!("annotate --dry-run=server --overwrite saga {line} --as=platform-admin -o");
            let by = self.run(format!("{line} {APPROVAL}")).await.unwrap();
            [by, self.run(format!("{line} {SIGNATURE}")).await.unwrap()]
        };
        assert_eq!(approved("under-way arcadia.cloud/approve-go=yes").await, ["platform-admin", ""]);
        assert_eq!(approved("under-way arcadia.cloud/approve-go=root").await, ["platform-admin", ""]);
        assert_eq!(approved("resolved arcadia.cloud/approve-go=yes").await, ["platform-admin", "admin"]);
        assert_eq!(approved("resolved arcadia.cloud/approve-go-").await, ["", "admin"]);
        assert_eq!(
            approved("resolved arcadia.cloud/approve-b=yes").await,
            ["admin", "admin"],
            "the others stay as they are"
        );
        let both = "under-way arcadia.cloud/approve-go=yes arcadia.cloud/resolve=retry";
        assert_eq!(approved(both).await, ["platform-admin", "platform-admin"]);
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

    /// The action, the verb, the role that has it, and the command that checks it.
    async fn a_refusal_names_the_missing_verb(&self) {
        let approve = format!("{APPROVE}=yes");
        for (deed, what, who, verb, resource) in [
            (ACCEPT, "set, change or remove the annotation arcadia.cloud/accept", "labeller", "accept", "drifts"),
            (RESOLVE, "set, change or remove the annotation arcadia.cloud/resolve", "orderer", "resolve", "sagas"),
            (
                &approve,
                "set, change or remove the annotation arcadia.cloud/approve-STEP",
                "orderer",
                "approve",
                "sagas",
            ),
            (CANCEL, "set spec.cancelRequested", "orderer", "cancel", "sagas"),
        ] {
            let said = self.run(format!("{deed} --as={who}")).await.unwrap_err();
            for words in [
                &format!("user {who} cannot {verb} resource {resource} in API group arcadia.cloud"),
                &format!(
                    "only users with the verb {verb} on {resource} may {what}. The role arcadia-platform-admin grants it"
                ),
                &format!("kubectl auth can-i {verb} {resource}.arcadia.cloud"),
            ] {
                assert!(said.contains(words), "wanted {words:?} in: {said}");
            }
            for (who, may) in
                [("viewer", false), ("editor", false), (who, false), ("platform-admin", true), ("admin", true)]
            {
                let asked = self.run(format!("auth can-i {verb} {resource} --as={who}")).await;
                assert_eq!(asked.is_ok(), may, "{who}: {asked:?}");
            }
        }
    }

    /// The API server accepts no other field there.
    async fn nobody_decides_through_the_status(&self) {
        let annotation = r#"{"metadata":{"annotations":{"arcadia.cloud/accept":"true"}}}"#;
        let patch = format!("patch drift {OPEN} --subresource=status --type=merge --dry-run=server -p {annotation}");
        assert_eq!(self.run(format!("{patch} -o jsonpath={{.metadata.annotations}}")).await.unwrap(), "");
    }

    /// Saga orders within the limits are accepted. Others are refused with the name of the field and its limit,
    /// including values that CEL writes shorter than JSON.
    async fn no_order_is_larger_than_it_may_be(&self) {
        let json_size = |value: &Value| value.to_string().len();
        let of_size = |bytes: usize| {
            let rest = json_size(&json!({ "user_data": "" }));
            json!({ "user_data": "ü\n".repeat((bytes - rest) / 4) })
        };
        let with = |inputs: &Value, more: usize, label: usize| {
            let mut saga = saga("sized");
            saga["spec"]["inputs"] = inputs.clone();
            saga["spec"]["deploymentId"] = json!("d");
            saga["spec"]["steps"][0]["with"]["message"] = json!("m".repeat(more));
            saga["metadata"]["annotations"] = json!({ "note": "n".repeat(label) });
            saga
        };
        let largest = of_size(MAX_INPUT_BYTES);
        assert!(json_size(&largest) > MAX_INPUT_BYTES - 4 && json_size(&largest) <= MAX_INPUT_BYTES);
        let mut inputs = [largest.clone(), of_size(MAX_INPUT_BYTES + 4)].to_vec();
        inputs.push(json!({ "controls": "\u{1}\u{7}\u{b}".repeat(MAX_INPUT_BYTES / 18 + 1) }));
        inputs.push(json!({ "fractions": vec![json!(1.234_567_890_123_456); MAX_INPUT_BYTES / 18 + 1] }));
        let too_large = "spec.inputs must have at most 32768 bytes";
        let cases = [
            (with(&inputs[0], 0, 0), ""),
            (with(&inputs[0], 3000, 0), ""),
            (with(&inputs[0], 3000, 600), ""),
            (with(&inputs[1], 0, 0), too_large),
            (with(&inputs[2], 0, 0), too_large),
            (with(&inputs[3], 0, 0), too_large),
            (with(&inputs[0], MAX_SPEC_BYTES - MAX_INPUT_BYTES, 0), "the spec of a Saga must have at most 36864 bytes"),
            (
                with(&inputs[0], 3000, MAX_ORDER_BYTES - MAX_INPUT_BYTES - 3000),
                "labels together must have at most 37888",
            ),
        ];
        for (saga, words) in cases {
            let create = ["create", "--dry-run=server", "--as=platform-admin", "-f", "-"];
            let said = self.kubectl.run_with_input(&create, &saga.to_string()).await;
            match said {
                Ok(_) => assert_eq!("", words),
                Err(error) => assert!(!words.is_empty() && error.to_string().contains(words), "{error}"),
            }
        }
        // A comment on an oversized object is validated too.
        self.kubectl.run_with_input(&["create", "-f", "-"], &with(&inputs[0], 3000, 0).to_string()).await.unwrap();
        let said = self.run(format!("annotate saga sized --overwrite note={}", "n".repeat(2000))).await.unwrap_err();
        assert!(said.contains("labels together must have at most 37888"), "{said}");
        self.run("delete saga sized").await.unwrap();
    }

    /// Not only because people create no drifts.
    async fn a_decision_at_create_is_refused_for_its_own_sake(&self) {
        self.run(format!("delete validatingadmissionpolicybinding {OPERATOR}-contents")).await.unwrap();
        let make = |word: &str| {
            let (_, path) = self.files.iter().find(|(name, _)| *name == word).unwrap();
            self.run(format!("create --dry-run=server --as=maker -f {path}"))
        };
        eventually("the policy on contents to be gone", || make("DRIFT")).await;
        let said = make("DECIDED_DRIFT").await.unwrap_err();
        assert!(said.contains(CANNOT_ACCEPT), "{said}");
    }
}

/// Roles that a cluster may define: rights without the verbs, or with a verb for one object only.
fn roles_of_the_clusters_own() -> [(&'static str, Value); 6] {
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
        ("orderer", json!([{"resources": ["sagas"], "verbs": ["get", "list", "create", "update", "patch", "delete"]}])),
        (
            "canceller-of-one",
            json!([
                {"resources": ["sagas"], "verbs": ["get", "patch", "delete"]},
                {"resources": ["sagas"], "verbs": ["cancel"], "resourceNames": [UNDER_WAY]},
            ]),
        ),
        ("writer", json!([{"resources": ["sagas", "sagas/status"], "verbs": ["get", "patch"]}])),
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
