//! Each benchmark runs to its end, with small sizes: its counts are as wanted, and its times mean nothing.
#![cfg(test)]

use std::process::Command;

#[test]
fn each_benchmark_runs_and_counts_what_it_wants() {
    let ran = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["bench-system", "short"]).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{told}\n{errors}");
    for phase in ["(a) first sweep", "(e) no change, 1 % accepted", "(c) sagas at rest", "(b) inbox", "growth"] {
        assert!(told.contains(phase), "no {phase:?} in:\n{told}");
    }
}
