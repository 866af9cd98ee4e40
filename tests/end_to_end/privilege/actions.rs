//! The rights of each role, as a table.

use super::objects::{
    CANNOT_MARK, CANNOT_MARK_SAGA, CANNOT_WRITE, DECIDED, MUST_NOT_CHANGE, OPEN, OVER, RESOLVED, UNDER_WAY, WAITING,
};

/// An action as a dry run: the API server decides as usual, and nothing changes.
pub(super) struct Action {
    pub what: &'static str,
    pub command: &'static [&'static str],
    /// Words of a refusal: by RBAC, and by a policy.
    pub words: [&'static str; 2],
    /// The result for each role: allowed (`yes`), refused by RBAC (`no`), or refused by a policy (`policy`).
    pub may: &'static [(&'static str, &'static str)],
}

const CANNOT_PATCH_DRIFTS: &str = r#"cannot patch resource "drifts" in API group "arcadia.cloud""#;
pub(super) const CANNOT_ACCEPT: &str = "cannot accept resource drifts in API group arcadia.cloud";
const CANNOT_PATCH_SAGAS: &str = r#"cannot patch resource "sagas" in API group "arcadia.cloud""#;
const CANNOT_DELETE_SAGAS: &str = r#"cannot delete resource "sagas" in API group "arcadia.cloud""#;
pub(super) const CANNOT_CANCEL: &str = "cannot cancel resource sagas in API group arcadia.cloud";
const CANNOT_RESOLVE: &str = "cannot resolve resource sagas in API group arcadia.cloud";
const CANNOT_APPROVE: &str = "cannot approve resource sagas in API group arcadia.cloud";
const CANNOT_WRITE_JOURNAL: &str = "cannot write the journal of a Saga";
const NAMESPACE_CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";
const GARBAGE_COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

/// All actions.
pub(super) const ACTIONS: &[Action] = &[
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
        what: "revert",
        command: &["annotate", "drift", OPEN, "arcadia.cloud/revert=true"],
        words: [CANNOT_PATCH_DRIFTS, "cannot revert resource drifts in API group arcadia.cloud"],
        may: &[("viewer", "no"), ("editor", "no"), ("labeller", "policy"), ("platform-admin", "yes")],
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
        // The policy on contents refuses it too, and either message may be returned.
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
    Action {
        what: "see sagas",
        command: &["get", "sagas"],
        words: [r#"cannot list resource "sagas""#, ""],
        may: &[("nobody", "no"), ("viewer", "yes"), ("editor", "yes"), ("platform-admin", "yes"), ("view", "yes")],
    },
    Action {
        what: "order a saga",
        command: &["create", "-f", "SAGA"],
        words: [r#"cannot create resource "sagas""#, ""],
        may: &[
            ("viewer", "no"),
            ("editor", "no"),
            ("orderer", "yes"),
            ("platform-admin", "yes"),
            ("edit", "no"),
            ("admin", "yes"),
        ],
    },
    Action {
        what: "order a saga that is larger than it may be",
        command: &["create", "-f", "LARGE_SAGA"],
        words: ["", "spec.inputs must have at most 32768 bytes"],
        may: &[("orderer", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "order a saga that is cancelled",
        command: &["create", "-f", "CANCELLED_SAGA"],
        words: [r#"cannot create resource "sagas""#, CANNOT_CANCEL],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "change what a saga takes",
        command: &["patch", "saga", WAITING, "--type=merge", "-p", r#"{"spec":{"inputs":{"seconds":1}}}"#],
        words: [CANNOT_PATCH_SAGAS, MUST_NOT_CHANGE],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "change what a step of a saga takes",
        command: &[
            "patch",
            "saga",
            WAITING,
            "--type=merge",
            "-p",
            r#"{"spec":{"steps":[{"name":"go","step":"Approval","with":{"message":"later?"}},{"name":"wait","step":"Sleep"}]}}"#,
        ],
        words: [CANNOT_PATCH_SAGAS, MUST_NOT_CHANGE],
        may: &[("editor", "no"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "say that a saga is the revert of a drift",
        command: &["label", "saga", WAITING, "arcadia.cloud/revert-of=uid"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_MARK_SAGA],
        may: &[("viewer", "no"), ("orderer", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "suspend a saga",
        command: &["patch", "saga", UNDER_WAY, "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#],
        words: [CANNOT_PATCH_SAGAS, ""],
        may: &[("viewer", "no"), ("editor", "no"), ("orderer", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "cancel a saga",
        command: &["patch", "saga", UNDER_WAY, "--type=merge", "-p", r#"{"spec":{"cancelRequested":true}}"#],
        words: [CANNOT_PATCH_SAGAS, CANNOT_CANCEL],
        may: &[
            ("viewer", "no"),
            ("editor", "no"),
            ("orderer", "policy"),
            ("canceller-of-one", "yes"),
            ("platform-admin", "yes"),
            ("edit", "no"),
            ("admin", "yes"),
            ("root", "yes"),
        ],
    },
    Action {
        what: "cancel another saga",
        command: &["patch", "saga", WAITING, "--type=merge", "-p", r#"{"spec":{"cancelRequested":true}}"#],
        words: [CANNOT_PATCH_SAGAS, CANNOT_CANCEL],
        may: &[("editor", "no"), ("orderer", "policy"), ("canceller-of-one", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "delete a saga under way",
        command: &["delete", "saga", UNDER_WAY],
        words: [CANNOT_DELETE_SAGAS, CANNOT_CANCEL],
        may: &[
            ("viewer", "no"),
            ("editor", "no"),
            ("orderer", "policy"),
            ("canceller-of-one", "yes"),
            ("platform-admin", "yes"),
            (NAMESPACE_CONTROLLER, "yes"),
            (GARBAGE_COLLECTOR, "yes"),
            ("system:kube-controller-manager", "yes"),
            ("root", "yes"),
        ],
    },
    Action {
        what: "delete a saga that is stuck",
        command: &["delete", "saga", RESOLVED],
        words: [CANNOT_DELETE_SAGAS, CANNOT_CANCEL],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "delete all sagas",
        command: &["delete", "sagas", "--all"],
        words: [CANNOT_DELETE_SAGAS, CANNOT_CANCEL],
        may: &[("orderer", "policy"), ("platform-admin", "yes"), (NAMESPACE_CONTROLLER, "yes")],
    },
    Action {
        what: "delete a saga that has not begun",
        command: &["delete", "saga", WAITING],
        words: [CANNOT_DELETE_SAGAS, ""],
        may: &[("editor", "no"), ("orderer", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "delete a saga that is over",
        command: &["delete", "saga", OVER],
        words: [CANNOT_DELETE_SAGAS, ""],
        may: &[("editor", "no"), ("orderer", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "have a saga deleted with something else",
        command: &[
            "patch",
            "saga",
            UNDER_WAY,
            "--type=merge",
            "-p",
            r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"gone"}]}}"#,
        ],
        words: [CANNOT_PATCH_SAGAS, CANNOT_CANCEL],
        may: &[("editor", "no"), ("orderer", "policy"), ("canceller-of-one", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "have a saga go without being rolled back",
        command: &["patch", "saga", UNDER_WAY, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#],
        words: [CANNOT_PATCH_SAGAS, CANNOT_CANCEL],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "help a saga that is stuck",
        command: &["annotate", "saga", UNDER_WAY, "arcadia.cloud/resolve=retry", "arcadia.cloud/because=we know"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_RESOLVE],
        may: &[
            ("viewer", "no"),
            ("editor", "no"),
            ("orderer", "policy"),
            ("canceller-of-one", "policy"),
            ("platform-admin", "yes"),
            ("edit", "no"),
            ("admin", "yes"),
            ("root", "yes"),
        ],
    },
    Action {
        what: "say what a step of a saga made",
        command: &["annotate", "saga", UNDER_WAY, "arcadia.cloud/adopt=123"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_RESOLVE],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "help a saga in another way",
        command: &["annotate", "--overwrite", "saga", RESOLVED, "arcadia.cloud/resolve=abandon"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_RESOLVE],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "take back the help for a saga",
        command: &["annotate", "saga", RESOLVED, "arcadia.cloud/resolve-"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_RESOLVE],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "say why somebody else helped",
        command: &["annotate", "--overwrite", "saga", RESOLVED, "arcadia.cloud/because=another reason"],
        words: [CANNOT_PATCH_SAGAS, "arcadia.cloud/because must be set, changed and removed together with"],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "sign the help of another",
        command: &["annotate", "--overwrite", "saga", RESOLVED, "arcadia.cloud/decided-by=me"],
        words: [CANNOT_PATCH_SAGAS, "arcadia.cloud/decided-by must not be set"],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "policy"), ("root", "policy")],
    },
    Action {
        what: "approve a step of a saga",
        command: &["annotate", "saga", UNDER_WAY, "arcadia.cloud/approve-go=yes"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_APPROVE],
        may: &[
            ("viewer", "no"),
            ("editor", "no"),
            ("orderer", "policy"),
            ("platform-admin", "yes"),
            ("edit", "no"),
            ("admin", "yes"),
        ],
    },
    Action {
        what: "turn down a step of a saga by approving it",
        command: &["annotate", "saga", UNDER_WAY, "arcadia.cloud/approve-go=no"],
        words: [CANNOT_PATCH_SAGAS, "arcadia.cloud/approve-STEP must be your own name"],
        may: &[("editor", "no"), ("platform-admin", "policy")],
    },
    Action {
        what: "approve a step of a saga once more",
        command: &["annotate", "--overwrite", "saga", RESOLVED, "arcadia.cloud/approve-go=yes"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_APPROVE],
        may: &[("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "take back an approval",
        command: &["annotate", "saga", RESOLVED, "arcadia.cloud/approve-go-"],
        words: [CANNOT_PATCH_SAGAS, CANNOT_APPROVE],
        may: &[("editor", "no"), ("orderer", "policy"), ("platform-admin", "yes")],
    },
    Action {
        what: "label a saga",
        command: &["label", "saga", RESOLVED, "team=web"],
        words: [CANNOT_PATCH_SAGAS, ""],
        may: &[("viewer", "no"), ("orderer", "yes"), ("platform-admin", "yes")],
    },
    Action {
        what: "write the journal of a saga",
        command: &[
            "patch",
            "saga",
            UNDER_WAY,
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"phase":"Succeeded"}}"#,
        ],
        words: [r#"resource "sagas/status" in API group "arcadia.cloud""#, CANNOT_WRITE_JOURNAL],
        may: &[("platform-admin", "no"), ("admin", "no"), ("orderer", "no"), ("writer", "policy"), ("root", "policy")],
    },
];
