//! Brings the pinned programs (the control plane, Helm, the GitOps engines) into the user's cache folder, once. The
//! servers are downloaded if possible; everything else is built from source.

use std::{
    collections::VecDeque,
    fs::{self, File, TryLockError},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Error,
    binaries::{self, Binaries, GitOpsEngines},
    find, gitops_engines, helm,
    pins::{ACTIONLINT, CONTROL_PLANE, GITOPS_ENGINES, HELM, Pins, Program, SETUP_ENVTEST},
    prebuilt,
    programs::CONTROLLER_MANAGER,
};

/// The servers that are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All servers.
    All,
    /// The API server, its store and kubectl. Garbage is collected only if the controller manager is already there.
    WithoutControllerManager,
}

/// The progress of [`prepare`], for the caller to display.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Another process builds the same programs, and this one waits for it.
    Waiting,
    /// Prebuilt servers are being downloaded.
    Downloading {
        /// The URL of the list of available downloads.
        index: String,
    },
    /// The prebuilt servers are available.
    Downloaded {
        /// Their version.
        version: String,
    },
    /// No prebuilt servers could be downloaded, so they are built.
    NotDownloaded {
        /// The reason.
        reason: String,
    },
    /// Modules are downloaded and packages counted.
    Resolving {
        /// Go's message, such as `go: downloading k8s.io/api v0.37.2`.
        line: String,
    },
    /// A package is compiled.
    Compiling {
        /// The program that needs it.
        program: &'static str,
        /// The package.
        package: String,
        /// Packages started, over all programs.
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

/// Finds the control plane's programs, and brings missing ones into the user's cache folder: it downloads them if it
/// can, and builds them otherwise. The controller manager is always built, since no download contains it. With a folder
/// in `KUBEBUILDER_ASSETS`, only the controller manager is brought.
///
/// Blocks: about a minute for a download, 8 minutes on 2 cores for a build, and no time once the programs exist.
///
/// # Errors
/// If Go is missing or a build fails; the message names the remedy.
pub fn prepare(wanted: Wanted, mut progress: impl FnMut(Progress)) -> Result<Binaries, Error> {
    let found = find();
    if let Ok(complete) = &found
        && (complete.kube_controller_manager.is_some() || wanted == Wanted::WithoutControllerManager)
    {
        return found;
    }
    let assets_are_used = binaries::assets().is_some();
    if assets_are_used {
        found?;
    } else if found.is_err() {
        download(&mut progress)?;
    }
    let is_wanted = |program: &str| {
        if program == CONTROLLER_MANAGER { wanted == Wanted::All } else { !assets_are_used }
    };
    build_missing(&CONTROL_PLANE, is_wanted, &mut progress)?;
    find()
}

/// Downloads the servers. A failure is reported and is no error: the servers are built instead.
fn download(progress: &mut impl FnMut(Progress)) -> Result<(), Error> {
    let Some(index) = prebuilt::index() else { return Ok(()) };
    let cache = CONTROL_PLANE.cache()?;
    build_missing(&SETUP_ENVTEST, |_| true, progress)?;
    let tool = binaries::built(&SETUP_ENVTEST, "setup-envtest")?;
    fs::create_dir_all(&cache).map_err(Error::system(format!("create {}", cache.display())))?;
    let _lock = lock(&cache, progress)?;
    if Binaries::in_folder(&cache).is_ok() {
        return Ok(());
    }
    progress(Progress::Downloading { index: index.clone() });
    match prebuilt::download(&tool, &index, &CONTROL_PLANE.release()?, &cache) {
        Ok(version) => progress(Progress::Downloaded { version }),
        Err(error) => progress(Progress::NotDownloaded { reason: error.to_string() }),
    }
    Ok(())
}

/// Finds the pinned Helm, and builds it into the user's cache folder if it is missing.
///
/// Blocks: about 3 minutes on 2 cores the first time.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_helm(mut progress: impl FnMut(Progress)) -> Result<PathBuf, Error> {
    helm().or_else(|_| {
        build_missing(&HELM, |_| true, &mut progress)?;
        helm()
    })
}

/// Finds the GitOps engines, and builds them into the user's cache folder if they are missing.
///
/// Blocks: about 3 minutes on 2 cores the first time, and less than one after [`prepare`], since it compiles most of
/// the same packages.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_gitops_engines(mut progress: impl FnMut(Progress)) -> Result<GitOpsEngines, Error> {
    gitops_engines().or_else(|_| {
        build_missing(&GITOPS_ENGINES, |_| true, &mut progress)?;
        gitops_engines()
    })
}

/// Builds the small tools of tests, actionlint and setup-envtest, if they are missing in the user's cache folder.
///
/// Blocks: about a minute on 2 cores the first time.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_tools(mut progress: impl FnMut(Progress)) -> Result<(), Error> {
    build_missing(&ACTIONLINT, |_| true, &mut progress)?;
    build_missing(&SETUP_ENVTEST, |_| true, &mut progress)
}

/// Builds the wanted programs that are missing.
fn build_missing(
    pins: &Pins,
    is_wanted: impl Fn(&str) -> bool,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    let cache = pins.cache()?;
    fs::create_dir_all(&cache).map_err(Error::system(format!("create {}", cache.display())))?;
    let _lock = lock(&cache, progress)?;
    let is_missing = |(program, _): &&Program| is_wanted(program) && !cache.join(program).is_file();
    let missing: Vec<_> = pins.programs.iter().filter(is_missing).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let total = count_packages(pins, &missing, progress)?;
    let mut done = 0;
    for (program, package) in missing {
        build(pins, &cache, program, package, |package| {
            done += 1;
            progress(Progress::Compiling { program, package, done, total: total.max(done) });
        })?;
        progress(Progress::Built { program });
    }
    Ok(())
}

/// The lock is held until the file is closed, also by a crash.
fn lock(cache: &Path, progress: &mut impl FnMut(Progress)) -> Result<File, Error> {
    let path = cache.join(".lock");
    let file = File::create(&path).map_err(Error::system(format!("create {}", path.display())))?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        progress(Progress::Waiting);
    }
    file.lock().map_err(Error::system(format!("lock {}", path.display())))?;
    Ok(file)
}

/// The number of packages that Go has not compiled yet; the first call downloads the modules.
fn count_packages(pins: &Pins, programs: &[Program], progress: &mut impl FnMut(Progress)) -> Result<usize, Error> {
    let mut list = go(pins, "list")?;
    list.args(["-deps", "-f", "{{if .Stale}}{{println .ImportPath}}{{end}}"]);
    list.args(programs.iter().map(|(_, package)| package));
    let stale = run(list, |line| progress(Progress::Resolving { line: line.to_owned() }))?;
    Ok(stale.lines().filter(|line| !line.is_empty()).count())
}

/// Builds beside the target and moves the file there, so that a file with the right name is a complete program.
fn build(
    pins: &Pins,
    cache: &Path,
    program: &str,
    package: &str,
    mut compiling: impl FnMut(String),
) -> Result<(), Error> {
    let unfinished = cache.join(format!(".{program}.unfinished"));
    let mut build = go(pins, "build")?;
    build.arg("-v").arg("-o").arg(&unfinished).arg(package);
    run(build, |line| {
        if !line.starts_with("go: ") {
            compiling(line.to_owned());
        }
    })?;
    let place = cache.join(program);
    fs::rename(&unfinished, &place).map_err(Error::system(format!("create {}", place.display())))
}

/// A Go command on the pinned modules, independent of the user's Go settings.
fn go(pins: &Pins, verb: &str) -> Result<Command, Error> {
    let mut go = Command::new("go");
    go.current_dir(pins.folder);
    go.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly -buildvcs=false").env("GOWORK", "off");
    go.env_remove("GOOS").env_remove("GOARCH");
    go.args([verb, "-trimpath", "-ldflags", &pins.ldflags()?]);
    Ok(go)
}

/// Runs a Go command, passes each line of its standard error to `line_of`, and returns its standard output.
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
