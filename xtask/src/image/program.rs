//! The programs of an image and of a release: static, so that they run where there is nothing else.

use std::env::consts::{ARCH, OS};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Error, operator, project};

/// A program that needs no shared library.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// The target that it was compiled for.
    pub(crate) target: String,
}

/// Builds the operator, without the command line of users, which has dependencies of its own.
pub(super) fn operator() -> Result<Program, Error> {
    build(operator::NAME, &["--no-default-features"])
}

/// Builds the command line of users.
pub(super) fn plugin() -> Result<Program, Error> {
    build(operator::PLUGIN, &[])
}

/// Builds a program with musl where the toolchain has that or can get it, else with glibc linked in.
fn build(program: &str, features: &[&str]) -> Result<Program, Error> {
    if OS != "linux" {
        return Err(Error::NotLinux);
    }
    let musl = format!("{ARCH}-unknown-linux-musl");
    let is_musl = has(&musl) || add(&musl);
    let target = if is_musl { musl } else { format!("{ARCH}-unknown-linux-gnu") };
    // A folder of its own: other flags would compile the others' dependencies again.
    let folder = project::root().join("target/image");
    let mut cargo = project::cargo(["build", "--release", "--locked", "--package", "arcadia-operator"]);
    cargo.args(["--bin", program, "--message-format=json-render-diagnostics", "--target", &target]);
    cargo.args(features).arg("--target-dir").arg(folder);
    if is_musl {
        // ring's C needs no C library: the compiler for glibc does, where there is none for musl.
        let compiler = format!("CC_{}", target.replace('-', "_"));
        if std::env::var_os(&compiler).is_none() {
            cargo.env(compiler, "cc");
        }
    } else {
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    let path = project::program(&project::output(&mut cargo)?, program)?;
    Ok(Program { path, target })
}

/// Whether the toolchain has the standard library of a target.
fn has(target: &str) -> bool {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(project::root()).args(["--print", "target-libdir", "--target", target]);
    let folder = rustc.stderr(Stdio::null()).output().map(|output| output.stdout).unwrap_or_default();
    let folder = PathBuf::from(String::from_utf8_lossy(&folder).trim());
    folder.is_dir()
}

/// Whether rustup could add it; without rustup or a network it could not.
fn add(target: &str) -> bool {
    let mut rustup = Command::new("rustup");
    rustup.current_dir(project::root()).args(["--quiet", "target", "add", target]);
    rustup.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) && has(target)
}
