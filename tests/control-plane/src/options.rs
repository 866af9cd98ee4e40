//! The options of a control plane.

/// Options of a control plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// Start a kube-controller-manager too: owner references, namespace deletion and Jobs need it. On by default.
    pub controller_manager: bool,
    /// Log the requests that this audit policy selects; see
    /// [`ControlPlane::audit_log`](crate::ControlPlane::audit_log).
    pub audit_policy: Option<String>,
    /// Further flags for kube-apiserver.
    pub api_server_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { controller_manager: true, audit_policy: None, api_server_flags: Vec::new() }
    }
}
