//! `cargo xtask test`: runs every test on a machine with only Rust and Go.

use std::{
    collections::VecDeque,
    env,
    io::{self, Write as _},
    num::NonZero,
    path::Path,
    process::Command,
    thread::{self, available_parallelism},
};

use control_plane::ControlPlane;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{Error, operator, prepare, project};

/// The variable for the number of concurrent tests in a test program.
const THREADS: &str = "RUST_TEST_THREADS";

/// The number of test programs that run at a time: tests wait for a third of their time, and the last tests of a program
/// leave processors idle.
const PROGRAMS: usize = 3;

/// The slowest test programs. They start first, so that the run does not end with one of them alone.
const LONGEST: [&str; 3] = ["end_to_end", "sagas", "gitops"];

/// The test programs whose commands read all namespaces. The objects of other programs would change what they print, so
/// each of them starts its own control plane.
const READ_ALL_NAMESPACES: [&str; 2] = ["kubectl", "readme"];

/// The arguments that select the tests that take many minutes.
const THOROUGH: [&str; 6] = ["--test", "end_to_end", "--test", "sagas", "--", "--ignored"];

/// Prepares the programs of tests. Then runs all tests, or those that `arguments` of `cargo test` select.
pub(crate) fn run(thorough: bool, arguments: &[String]) -> Result<(), Error> {
    prepare::for_tests()?;
    let mut test = cargo_test();
    if thorough {
        limit_threads(&mut test, processors());
        return project::run(test.args(WHOLE_WORKSPACE).arg("--no-fail-fast").args(THOROUGH).args(arguments));
    }
    if arguments.is_empty() {
        return run_all();
    }
    // `-p` narrows the selection that `--workspace` would widen again.
    if !arguments.iter().take_while(|argument| *argument != "--").any(|argument| selects_a_package(argument)) {
        test.args(WHOLE_WORKSPACE);
    }
    limit_threads(&mut test, processors() * 2);
    project::run(test.args(arguments))
}

/// The tests that crash the operator need its failpoints.
const WHOLE_WORKSPACE: [&str; 3] = ["--workspace", "--features", "arcadia-operator/failpoints"];

fn cargo_test() -> Command {
    project::cargo(["test"])
}

fn selects_a_package(argument: &str) -> bool {
    argument.starts_with("-p") || argument.starts_with("--package")
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

fn limit_threads(test: &mut Command, threads: usize) {
    if env::var_os(THREADS).is_none() {
        test.env(THREADS, threads.to_string());
    }
}

/// Builds everything once. Then runs the test programs in parallel, and prints the output of each when it ends.
fn run_all() -> Result<(), Error> {
    let mut build = cargo_test();
    build.args(WHOLE_WORKSPACE).args(["--no-run", "--message-format=json-render-diagnostics"]);
    let operator = project::program(&project::output(&mut build)?, operator::NAME)?;
    let runtime = Runtime::new().map_err(Error::system("start a runtime"))?;
    let shared = runtime.block_on(ControlPlane::start(control_plane::Options::default()))?;
    let programs = Programs { operator: &operator, control_plane: shared.kubeconfig() };
    let waiting = Mutex::new(selections()?);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..PROGRAMS {
            scope.spawn(|| {
                while let Some(selection) = next(&waiting) {
                    if let Err(error) = programs.run(&selection) {
                        failed.lock().push(error);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    if failed.is_empty() { Ok(()) } else { Err(Error::TestsFailed { failed }) }
}

fn next(waiting: &Mutex<VecDeque<Vec<String>>>) -> Option<Vec<String>> {
    waiting.lock().pop_front()
}

/// The arguments that select each test program, in the order in which they start.
fn selections() -> Result<VecDeque<Vec<String>>, Error> {
    let packages = project::packages()?;
    let mut names: Vec<&str> = packages
        .iter()
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").any(|kind| kind == "test"))
        .filter_map(|target| target.get("name")?.as_str())
        .collect();
    names.sort_by_key(|name| LONGEST.iter().position(|longest| longest == name).unwrap_or(LONGEST.len()));
    let mut selections: VecDeque<_> =
        names.into_iter().map(|name| vec!["--test".to_owned(), name.to_owned()]).collect();
    selections.insert(LONGEST.len().min(selections.len()), vec!["--lib".to_owned(), "--bins".to_owned()]);
    selections.push_back(vec!["--doc".to_owned()]);
    Ok(selections)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The things that all test programs share.
struct Programs<'run> {
    operator: &'run Path,
    /// The kubeconfig of the control plane for the tests that do not need their own.
    control_plane: &'run Path,
}

impl Programs<'_> {
    fn run(&self, selection: &[String]) -> Result<(), Error> {
        let mut test = cargo_test();
        // The demo would build it again, without the failpoints.
        test.env(operator::PROGRAM, self.operator);
        if !selection.iter().any(|name| READ_ALL_NAMESPACES.contains(&name.as_str())) {
            test.env(control_plane::SHARED, self.control_plane);
        }
        limit_threads(&mut test, processors());
        let output = test.args(WHOLE_WORKSPACE).args(selection).output();
        let output = output.map_err(Error::system(format!("run the tests of {}", selection.join(" "))))?;
        print(&output.stderr, &output.stdout);
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Failed { command: format!("cargo test {}", selection.join(" ")), status: output.status })
    }
}

/// Prints the output of one program in one piece.
fn print(diagnostics: &[u8], output: &[u8]) {
    let mut stdout = io::stdout().lock();
    // A closed output is ignored: only the status of the run matters.
    let _ = stdout.write_all(diagnostics).and_then(|()| stdout.write_all(output)).and_then(|()| stdout.flush());
}
