//! The real kubectl, as a user runs it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::Error;

/// kubectl with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self { program: program.to_owned(), kubeconfig: kubeconfig.to_owned() }
    }

    /// The kubeconfig it uses; the current context contains the namespace.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The program itself.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Returns a command, to add arguments, plugins on the `PATH` or pipes. The process ends when its handle is
    /// dropped.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // No cache: a test sees the current API, and nothing is written beside it.
        command.env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", "/dev/null").kill_on_drop(true);
        // The process ends before its garbage matters. Tests start thousands of them.
        command.env("GOGC", "off");
        command
    }

    /// Runs kubectl and returns its output.
    ///
    /// # Errors
    /// [`Error::Kubectl`] contains its standard error.
    pub async fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<String, Error> {
        let output = self.command().args(args).stdin(Stdio::null()).output().await;
        printed(args, &output.map_err(Error::system("run kubectl"))?)
    }

    /// Runs `kubectl apply -f -` with a manifest of one or more documents.
    ///
    /// # Errors
    /// [`Error::Kubectl`] contains its standard error.
    pub async fn apply(&self, manifest: &str) -> Result<String, Error> {
        self.run_with_input(&["apply", "-f", "-"], manifest).await
    }

    /// Runs kubectl with `input` on its standard input and returns its output.
    ///
    /// # Errors
    /// [`Error::Kubectl`] contains its standard error.
    pub async fn run_with_input<A: AsRef<OsStr>>(&self, args: &[A], input: &str) -> Result<String, Error> {
        let mut command = self.command();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Error::system("run kubectl"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // If kubectl ends before it has read everything, its error contains the reason.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        printed(args, &child.wait_with_output().await.map_err(Error::system("run kubectl"))?)
    }
}

fn printed<A: AsRef<OsStr>>(args: &[A], output: &Output) -> Result<String, Error> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
    Err(Error::Kubectl { arguments, stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}
