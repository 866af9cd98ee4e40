//! The program `kubectl arcadia`: kubectl runs it as a plugin. Everything is in the library's room `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    arcadia_operator::cli::main()
}
