//! Types the README's commands into a shell, in order, and compares what they print.

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    document::{Block, blocks, read},
    stage::Stage,
};

/// Blocks that no test runs, by their first line, and why.
const NOT_RUN: [(&str, &str); 6] = [
    ("git clone", "it needs the network, and tests/demo.rs of xtask plays the demo"),
    ("docker build", "it needs a registry, and tests/image.rs of xtask reads the image"),
    ("kubectl create namespace arcadia-system", "tests/install installs by Helm, with the real program"),
    ("cargo install", "it needs a real cluster and a real account"),
    ("cargo xtask test", "it would run this test"),
    ("cargo bench-system", "it takes minutes"),
];
/// How long a command may go on printing something else. Events are published a moment after what they tell of.
const EVENTUALLY: Duration = Duration::from_secs(10);

#[test]
fn the_tour_prints_what_the_readme_says() {
    let blocks = blocks(&read("README.md"));
    let runtime = Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start("tour"));
    let mut shell = Shell::start(&stage);
    for block in blocks.iter().filter(|block| block.language == "console") {
        for step in steps(block) {
            let begun = Instant::now();
            loop {
                let (printed, succeeded) = shell.run(&step.command);
                let printed = normal(&printed, stage.namespace.name());
                let wanted = normal(&step.printed, "default");
                if succeeded && printed == wanted {
                    break;
                }
                let is_worth_another_look = step.command.starts_with("kubectl events") && begun.elapsed() < EVENTUALLY;
                assert!(
                    is_worth_another_look,
                    "README.md:{}\n$ {}\nshould have printed\n{}\nbut printed\n{}\nThe operator's log ends\n{}",
                    step.line,
                    step.command,
                    wanted.join("\n"),
                    printed.join("\n"),
                    stage.log()
                );
                sleep(Duration::from_millis(200));
            }
        }
    }
}

#[test]
fn every_command_is_run_or_said_not_to_be() {
    let blocks = blocks(&read("README.md"));
    assert!(blocks.iter().any(|block| block.language == "console"), "there is no tour");
    for block in &blocks {
        match block.language.as_str() {
            "console" | "mermaid" => {}
            "sh" => {
                let is_known = NOT_RUN.iter().any(|(first, _)| block.text[0].starts_with(first));
                assert!(is_known, "README.md:{}: nobody runs this; make it part of the tour", block.line);
            }
            other => panic!("README.md:{}: a block of {other:?}, which nothing tests", block.line),
        }
    }
    for (first, why) in NOT_RUN {
        let is_there = blocks.iter().any(|block| block.language == "sh" && block.text[0].starts_with(first));
        assert!(is_there, "no block begins with {first:?} any more, which is not run since {why}");
    }
}

/// A command and what it should print.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    printed: String,
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (offset, line) in block.text.iter().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: block.line + offset, command: command.to_owned(), printed: String::new() });
        } else {
            let step = steps.last_mut().unwrap_or_else(|| panic!("README.md:{}: output before a command", block.line));
            step.printed += line;
            step.printed.push('\n');
        }
    }
    steps
}

/// The words of each line, where what differs from run to run is told by its kind:
/// the width of columns, ages (`12s`, `3m5s`), the hash in a drift's name, and the namespace.
fn normal(text: &str, namespace: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.replace(namespace, "NAMESPACE"));
    let words = lines.map(|line| line.split_whitespace().map(normal_word).collect::<Vec<_>>().join(" "));
    words.filter(|line| !line.is_empty()).collect()
}

fn normal_word(word: &str) -> String {
    if is_age(word) {
        return "AGE".to_owned();
    }
    let is_hash = |part: &str| part.len() == 10 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    word.split('-').map(|part| if is_hash(part) { "HASH" } else { part }).collect::<Vec<_>>().join("-")
}

/// As kubectl writes ages: numbers, each with a unit.
fn is_age(word: &str) -> bool {
    let parts: Vec<_> = word.split_inclusive(['d', 'h', 'm', 's']).collect();
    !parts.is_empty()
        && parts.iter().all(|part| {
            let number = part.strip_suffix(['d', 'h', 'm', 's']).unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[test]
fn only_what_differs_from_run_to_run_is_levelled() {
    assert_eq!(normal("a-0123456789-1   x  12s\n\n", "default"), ["a-HASH-1 x AGE"]);
    assert_eq!(normal("tour-1/web-2 is 3m5s old", "tour-1"), ["NAMESPACE/web-2 is AGE old"]);
    for word in ["s", "12", "s-2vcpu-4gb", "1x", "5m!", "1s2"] {
        assert!(!is_age(word), "{word}");
    }
}

/// A shell in the project's folder, with what the demo tells a user to export.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    fn start(stage: &Stage) -> Self {
        let kubectl = stage.namespace.kubectl();
        let mut path = env::var_os("PATH").unwrap_or_default();
        if let Some(folder) = kubectl.program().parent().filter(|folder| *folder != Path::new("")) {
            let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&path));
            path = env::join_paths(folders.collect::<Vec<_>>()).unwrap();
        }
        let mut process = Command::new("sh")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", path)
            .env("KUBECONFIG", stage.namespace.kubeconfig())
            .env("KUBECACHEDIR", "/dev/null")
            .env("SIMULATOR", stage.simulator.url())
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        writeln!(input, "exec 2>&1").unwrap();
        Self { process, input, output }
    }

    /// What a command prints on both outputs, and whether it succeeded.
    fn run(&mut self, command: &str) -> (String, bool) {
        const END: &str = "@@ the command ended with ";
        writeln!(self.input, "{{ {command}\n}} </dev/null\nprintf '\\n{END}%s\\n' $?").unwrap();
        let mut printed = String::new();
        loop {
            let line = self.output.next().expect("the shell has ended").unwrap();
            if let Some(status) = line.strip_prefix(END) {
                return (printed, status == "0");
            }
            printed += &line;
            printed.push('\n');
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
