//! The name of the controller manager, and the variables that name programs.

use std::{env, path::PathBuf};

pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
