//! A shell as a user has it while the demo runs.

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::stage::Stage;

/// A shell in the folder of the project, with the variables that the demo prints.
pub(crate) struct Shell {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    pub(crate) fn start(stage: &Stage) -> Self {
        let kubectl = stage.namespace.kubectl();
        let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-arcadia"));
        let folders = [kubectl.program(), plugin].map(|program| program.parent().unwrap().to_owned());
        let folders = folders.into_iter().filter(|folder| !folder.as_os_str().is_empty());
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(folders.chain(env::split_paths(&path))).unwrap();
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

    /// The output of a command that must succeed.
    pub(crate) fn succeed(&mut self, command: &str) -> String {
        let (printed, succeeded) = self.run(command);
        assert!(succeeded, "$ {command}\n{printed}");
        printed
    }

    /// The output of a command, and whether it succeeded.
    pub(crate) fn run(&mut self, command: &str) -> (String, bool) {
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
