//! `cargo xtask test`: every test passes on a machine that has just Rust and Go.

use crate::{Error, prepare, project};

/// Prepares all that tests need, and hands over to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Error> {
    prepare::for_tests()?;
    let mut test = project::cargo(["test"]);
    // `-p` narrows what `--workspace` would widen again.
    if !arguments.iter().take_while(|argument| *argument != "--").any(|argument| selects_a_package(argument)) {
        // The tests that end the operator wherever it could crash need places at which to end it.
        test.args(["--workspace", "--features", "arcadia-operator/failpoints"]);
    }
    project::run(test.args(arguments))
}

fn selects_a_package(argument: &str) -> bool {
    argument.starts_with("-p") || argument.starts_with("--package")
}
