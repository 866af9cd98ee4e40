//! Builds the pinned control plane from source, once, into the user's cache folder.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::binaries::{self, Binaries, CONTROLLER_MANAGER};
use crate::{Error, find};

/// A program's name and its package.
type Program = (&'static str, &'static str);

/// What is built.
const PROGRAMS: [Program; 4] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    (CONTROLLER_MANAGER, "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];

/// How far [`prepare`] is, for the caller to show.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Another process builds the same; it is waited for.
    Waiting,
    /// Modules are downloaded and packages counted.
    Resolving {
        /// What Go says about it, such as `go: downloading k8s.io/api v0.37.2`.
        line: String,
    },
    /// A package is compiled.
    Compiling {
        /// The program that needs it.
        program: &'static str,
        /// The package.
        package: String,
        /// Packages begun, over all programs.
        done: usize,
        /// Packages to compile, over all programs.
        total: usize,
    },
    /// A program is complete.
    Built {
        /// Its name.
        program: &'static str,
    },
}

/// Finds the control plane's programs, and builds those that are missing into the user's cache folder. When
/// `KUBEBUILDER_ASSETS` names a folder, only the controller manager is built, which envtest does not bring.
///
/// It blocks: about 8 minutes on 2 cores the first time, no time at all after that.
///
/// # Errors
/// When Go is missing or a build fails; the message says what to do.
pub fn prepare(mut progress: impl FnMut(Progress)) -> Result<Binaries, Error> {
    let found = find();
    if let Ok(complete) = &found
        && complete.kube_controller_manager.is_some()
    {
        return found;
    }
    let assets_are_used = binaries::assets().is_some();
    if assets_are_used {
        found?;
    }
    let wanted = PROGRAMS.into_iter().filter(|(program, _)| !assets_are_used || *program == CONTROLLER_MANAGER);
    let cache = binaries::cache()?;
    fs::create_dir_all(&cache).map_err(Error::system(format!("create {}", cache.display())))?;
    let _lock = lock(&cache, &mut progress)?;
    let missing: Vec<_> = wanted.filter(|(program, _)| !cache.join(program).is_file()).collect();
    build_all(&missing, &cache, &mut progress)?;
    find()
}

/// Held until the file is closed, which also a crash does.
fn lock(cache: &Path, progress: &mut impl FnMut(Progress)) -> Result<File, Error> {
    let path = cache.join(".lock");
    let file = File::create(&path).map_err(Error::system(format!("create {}", path.display())))?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        progress(Progress::Waiting);
    }
    file.lock().map_err(Error::system(format!("lock {}", path.display())))?;
    Ok(file)
}

fn build_all(programs: &[Program], cache: &Path, progress: &mut impl FnMut(Progress)) -> Result<(), Error> {
    let total = count_packages(programs, progress)?;
    let mut done = 0;
    for &(program, package) in programs {
        build(cache, program, package, |package| {
            done += 1;
            progress(Progress::Compiling { program, package, done, total: total.max(done) });
        })?;
        progress(Progress::Built { program });
    }
    Ok(())
}

/// How many packages Go has not compiled before; the first call downloads the modules.
fn count_packages(programs: &[Program], progress: &mut impl FnMut(Progress)) -> Result<usize, Error> {
    let mut list = go("list")?;
    list.args(["-deps", "-f", "{{if .Stale}}{{println .ImportPath}}{{end}}"]);
    list.args(programs.iter().map(|(_, package)| package));
    let stale = run(list, |line| progress(Progress::Resolving { line: line.to_owned() }))?;
    Ok(stale.lines().filter(|line| !line.is_empty()).count())
}

/// Builds beside the place and moves it there, so that a file with the right name is a complete program.
fn build(cache: &Path, program: &str, package: &str, mut compiling: impl FnMut(String)) -> Result<(), Error> {
    let unfinished = cache.join(format!(".{program}.unfinished"));
    let mut build = go("build")?;
    build.arg("-v").arg("-o").arg(&unfinished).arg(package);
    run(build, |line| {
        if !line.starts_with("go: ") {
            compiling(line.to_owned());
        }
    })?;
    let place = cache.join(program);
    fs::rename(&unfinished, &place).map_err(Error::system(format!("create {}", place.display())))
}

/// A Go command on the pinned modules, whatever the user's own Go settings are.
fn go(verb: &str) -> Result<Command, Error> {
    let version = binaries::kubernetes_version()?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().ok_or(Error::Pins)?, numbers.next().ok_or(Error::Pins)?);
    // Without this stamp the server reports v0.0.0-master and clients complain.
    let stamp = "-X k8s.io/component-base/version.git";
    let ldflags = format!("-s -w {stamp}Version={version} {stamp}Major={major} {stamp}Minor={minor}");
    let mut go = Command::new("go");
    go.current_dir(env!("CARGO_MANIFEST_DIR"));
    go.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly -buildvcs=false").env("GOWORK", "off");
    go.env_remove("GOOS").env_remove("GOARCH");
    go.args([verb, "-trimpath", "-ldflags", &ldflags]);
    Ok(go)
}

/// Runs a Go command, hands over each line of its standard error as it comes and returns its standard output.
fn run(mut go: Command, mut line_of: impl FnMut(&str)) -> Result<String, Error> {
    let arguments: Vec<_> = go.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let reading = || Error::system("read what go says");
    let mut child = go
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Error::NoGo { source })?;
    // A thread for each stream: a full pipe would stop Go.
    let stdout = child.stdout.take().map(|stdout| std::thread::spawn(|| std::io::read_to_string(stdout)));
    let mut last = VecDeque::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let line = line.map_err(reading())?;
        line_of(&line);
        last.push_back(line);
        if last.len() > 30 {
            last.pop_front();
        }
    }
    let status = child.wait().map_err(reading())?;
    let stdout = stdout.and_then(|reader| reader.join().ok()).transpose().map_err(reading())?.unwrap_or_default();
    if status.success() {
        return Ok(stdout);
    }
    let output = last.into_iter().collect::<Vec<_>>().join("\n");
    Err(Error::Build { command: format!("go {}", arguments.join(" ")), output })
}
