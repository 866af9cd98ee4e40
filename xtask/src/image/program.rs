//! The programs of an image and of a release: static, so that they need no files of the system.

use std::{
    env::consts::{ARCH, OS},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{Error, operator, project};

/// A program that needs no shared library.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// The target that it was compiled for.
    pub(crate) target: String,
}

/// Builds the operator, without the additional dependencies of the command line of users.
pub(super) fn operator() -> Result<Program, Error> {
    build(operator::NAME, &operator::IMAGE_FEATURES)
}

/// Builds the command line of users.
pub(super) fn plugin() -> Result<Program, Error> {
    build(operator::PLUGIN, &[])
}

/// Builds a program with musl if the toolchain has it or can install it, else with glibc linked statically.
fn build(program: &str, features: &[&str]) -> Result<Program, Error> {
    if OS != "linux" {
        return Err(Error::NotLinux);
    }
    let musl = format!("{ARCH}-unknown-linux-musl");
    let is_musl = has(&musl) || add(&musl);
    let target = if is_musl { musl } else { format!("{ARCH}-unknown-linux-gnu") };
    // A separate folder: other flags would recompile the dependencies of other builds.
    let folder = project::root().join("target/image");
    let mut cargo = project::cargo(["build", "--release", "--locked", "--package", "arcadia-operator"]);
    cargo.args(["--bin", program, "--message-format=json-render-diagnostics", "--target", &target]);
    cargo.args(features).arg("--target-dir").arg(folder);
    if is_musl {
        let variable = format!("CC_{}", target.replace('-', "_"));
        if std::env::var_os(&variable).is_none() {
            cargo.env(variable, musl_compiler().ok_or(Error::NoMuslCompiler)?);
        }
    } else {
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    let path = project::program(&project::output(&mut cargo)?, program)?;
    Ok(Program { path, target })
}

/// The compiler of C code for musl, if there is one: jemalloc needs the headers of the C library that it is linked with.
fn musl_compiler() -> Option<String> {
    let names = ["musl-gcc".to_owned(), format!("{ARCH}-linux-musl-gcc"), "cc".to_owned()];
    names.into_iter().find(|compiler| {
        let machine = Command::new(compiler).arg("-dumpmachine").stderr(Stdio::null()).output();
        let machine =
            machine.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        !machine.is_empty() && (compiler != "cc" || machine.ends_with("musl"))
    })
}

/// Returns true if the toolchain has the standard library of a target.
fn has(target: &str) -> bool {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(project::root()).args(["--print", "target-libdir", "--target", target]);
    let folder = rustc.stderr(Stdio::null()).output().map(|output| output.stdout).unwrap_or_default();
    let folder = PathBuf::from(String::from_utf8_lossy(&folder).trim());
    folder.is_dir()
}

/// Adds the target with rustup. Returns false without rustup or a network.
fn add(target: &str) -> bool {
    let mut rustup = Command::new("rustup");
    rustup.current_dir(project::root()).args(["--quiet", "target", "add", target]);
    rustup.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) && has(target)
}
