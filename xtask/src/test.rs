//! `cargo xtask test`: every test passes on a machine that has just Rust and Go.

use std::env;
use std::num::NonZero;
use std::thread::available_parallelism;

use crate::{Error, prepare, project};

/// How many tests of a binary run at a time.
const THREADS: &str = "RUST_TEST_THREADS";

/// Prepares all that tests need, and hands over to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Error> {
    prepare::for_tests()?;
    let mut test = project::cargo(["test"]);
    // `-p` narrows what `--workspace` would widen again.
    if !arguments.iter().take_while(|argument| *argument != "--").any(|argument| selects_a_package(argument)) {
        // The tests that end the operator wherever it could crash need places at which to end it.
        test.args(["--workspace", "--features", "arcadia-operator/failpoints"]);
    }
    // Most tests wait for processes most of the time.
    if env::var_os(THREADS).is_none() {
        let processors = available_parallelism().map_or(1, NonZero::get);
        test.env(THREADS, (processors * 2).to_string());
    }
    project::run(test.args(arguments))
}

fn selects_a_package(argument: &str) -> bool {
    argument.starts_with("-p") || argument.starts_with("--package")
}
