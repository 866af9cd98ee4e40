//! The profile of release builds in tests: the optimisations change neither what is in an artifact nor what it needs.
//! All tests share it, and with it one build.

use std::process::Command;

/// xtask, whose release builds are quick.
pub fn xtask() -> Command {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    for (key, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "1")] {
        xtask.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    xtask
}
