//! The program as a user runs it.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// A way to run `kubectl arcadia`.
pub(crate) struct Arcadia {
    environment: Vec<(&'static str, String)>,
}

/// The output and the exit code of one run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub code: i32,
    pub out: String,
    pub errors: String,
}

impl Arcadia {
    /// Starts with an empty environment instead of that of the tests.
    pub(crate) fn new() -> Self {
        Self { environment: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(crate) fn with_cluster(self, kubeconfig: &Path) -> Self {
        self.with("KUBECONFIG", kubeconfig.display().to_string())
    }

    pub(crate) fn with_cloud(self, url: &str, token: &str) -> Self {
        self.with("DIGITALOCEAN_API_URL", url).with("DIGITALOCEAN_ACCESS_TOKEN", token)
    }

    /// Its whole environment.
    pub(crate) fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-arcadia"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it and waits for its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let ran = Ran::of(&command.output().await.unwrap());
        assert!(!ran.errors.contains("panicked"), "{arguments:?}: {}", ran.errors);
        ran
    }

    /// Runs it and waits for its end, with this exit code. Returns its standard output.
    pub(crate) async fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}\n{}\n{}", ran.out, ran.errors);
        ran.out
    }

    /// Runs it and waits for its end, with this exit code. Returns its standard error.
    pub(crate) async fn says(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}\n{}\n{}", ran.out, ran.errors);
        ran.errors
    }
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), errors: text(&output.stderr) }
    }
}
