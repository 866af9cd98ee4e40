//! The program `kubectl arcadia`: kubectl runs it as a plugin. The implementation is in the library's module `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    arcadia_operator::cli::main()
}
