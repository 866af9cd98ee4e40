//! The folder of the project, and cargo with its settings for commands.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::Error;

/// The version of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The cargo that runs this command, in the workspace's folder.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(arguments);
    // `cargo run` sets variables of this package; build scripts (ring's) would treat them as a change and rebuild
    // everything.
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    cargo
}

fn is_about_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// Runs a command to its end, with inherited output.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let status = command.status().map_err(Error::system(format!("run {}", line(command))))?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: line(command), status }) }
}

/// Runs a command to its end and returns its output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.stderr(Stdio::inherit()).output().map_err(Error::system(format!("run {}", line(command))))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed { command: line(command), status: output.status })
}

/// The path of a program, from the messages of its build.
pub(crate) fn program(messages: &str, name: &str) -> Result<PathBuf, Error> {
    let is_it = |message: &&Value| {
        message.pointer("/target/name").is_some_and(|built| built == name)
            && message.pointer("/profile/test").is_some_and(|is_test| is_test == false)
    };
    let built: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let path = built.iter().filter(is_it).find_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    path.ok_or_else(|| Error::NoProgram { name: name.to_owned() })
}

/// The packages of the workspace, as `cargo metadata` describes them.
pub(crate) fn packages() -> Result<Vec<Value>, Error> {
    let metadata = output(&mut cargo(["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|source| Error::NoMetadata { source })?;
    Ok(metadata.get("packages").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// The command as a user would type it.
fn line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
