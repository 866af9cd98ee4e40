//! Searches for tokens in everything that the operator writes: its log, its metrics, and the objects in the API server.

use std::{collections::BTreeSet, process::Command};

use arcadia_operator::api;
use control_plane::Namespace;

/// The tokens that no output may contain.
#[derive(Clone)]
pub(crate) struct Tokens(pub Vec<String>);

impl Tokens {
    /// Fails if a text contains one of them; `what` names the text.
    pub(crate) fn are_not_in(&self, what: &str, text: &str) {
        assert!(!self.0.iter().any(|token| text.contains(token)), "a token is in {what}");
    }
}

/// All objects that the operator may have written in these namespaces, in full.
pub(super) fn objects(seen_by: &Namespace, namespaces: &BTreeSet<&str>) -> String {
    let ours = api::crds().into_iter().map(|crd| crd.metadata.name.unwrap());
    let kinds: Vec<_> = ours.chain(["events.events.k8s.io", "leases.coordination.k8s.io"].map(str::to_owned)).collect();
    let mut found = String::new();
    for namespace in namespaces {
        let mut get = Command::new(seen_by.kubectl().program());
        get.args(["get", &kinds.join(","), "-n", namespace, "-o", "json", "--show-managed-fields"])
            .env("KUBECONFIG", seen_by.kubeconfig())
            .env("KUBECACHEDIR", "/dev/null");
        let output = get.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        found += &String::from_utf8(output.stdout).unwrap();
    }
    found
}
