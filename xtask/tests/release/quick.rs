//! The profile of release builds in tests: optimisations change neither the contents of an artifact nor what it needs.
//! All tests share it, and thus one build.

use std::process::Command;

/// xtask, whose release builds are quick.
pub(crate) fn xtask() -> Command {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    // `.ci/run` lints with these. An artifact is compiled without them.
    xtask.env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CLIPPY_ARGS");
    for (key, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "0")] {
        xtask.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    xtask
}
