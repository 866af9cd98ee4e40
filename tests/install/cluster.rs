//! A separate cluster for a test, since an installation affects all of it.

#[path = "../support/eventually.rs"]
mod eventually;

use control_plane::{ControlPlane, Options};

pub(crate) use eventually::eventually;

/// The operator's namespace.
pub(crate) const NAMESPACE: &str = "arcadia-system";
/// The operator's user name in the API server.
pub(crate) const OPERATOR: &str = "system:serviceaccount:arcadia-system:arcadia-operator";

/// A cluster.
pub(crate) struct Cluster {
    pub control_plane: ControlPlane,
}

impl Cluster {
    /// An empty cluster. None if `ARCADIA_TEST_KUBECONFIG` names a cluster, which may contain anything.
    pub(crate) async fn empty() -> Option<Self> {
        if control_plane::given_cluster().is_some() {
            eprintln!(
                "skipped: this test needs an empty cluster, and ARCADIA_TEST_KUBECONFIG names one to be used as it is"
            );
            return None;
        }
        Some(Self { control_plane: ControlPlane::start(Options::default()).await.unwrap() })
    }

    /// Runs kubectl, and returns its output without the last line break.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn try_run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.control_plane.kubectl().run(arguments).await;
        output.map(|output| output.trim_end().to_owned()).map_err(|error| error.to_string())
    }

    pub(crate) async fn apply(&self, manifest: &serde_json::Value) {
        self.control_plane.kubectl().apply(&manifest.to_string()).await.unwrap();
    }

    /// Creates a namespace that admits only pods without any privilege.
    pub(crate) async fn restricted_namespace(&self, name: &str) {
        self.run(&["create", "namespace", name]).await;
        self.run(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"]).await;
    }

    /// Waits until the definitions are served.
    pub(crate) async fn is_established(&self) {
        let crds = ["provisionedresources", "drifts", "sagas"].map(|plural| format!("crd/{plural}.arcadia.cloud"));
        self.run(&["wait", "--for=condition=Established", "--timeout=60s", &crds[0], &crds[1], &crds[2]]).await;
    }

    /// Returns true if the operator has a right: `list drifts.arcadia.cloud -n default`.
    pub(crate) async fn operator_can(&self, what: &str) -> bool {
        let words: Vec<_> = what.split(' ').collect();
        self.try_run(&[&["auth", "can-i", "--as", OPERATOR], words.as_slice()].concat()).await.is_ok()
    }

    /// Checks that the operator has all of the first rights, and none of the second.
    pub(crate) async fn operator_can_only(&self, allowed: &[&str], refused: &[&str]) {
        for what in allowed {
            // The API server learns of RBAC objects from a watch.
            eventually(what, || async { self.operator_can(what).await.then_some(()).ok_or("no") }).await;
        }
        for what in refused {
            assert!(!self.operator_can(what).await, "the operator can {what}");
        }
    }

    /// Waits until this many pods were admitted.
    pub(crate) async fn has_pods(&self, namespace: &str, count: usize) {
        eventually(&format!("{count} pods"), || async {
            let pods = self.run(&["get", "pods", "-n", namespace, "-o", "name"]).await;
            if pods.lines().count() == count {
                return Ok(());
            }
            Err((pods, self.run(&["get", "events", "-n", namespace, "-o", "jsonpath={.items[*].message}"]).await))
        })
        .await;
    }
}
