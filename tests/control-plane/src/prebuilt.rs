//! Prebuilt servers, downloaded by `setup-envtest`, which compares each archive with the checksum in its index.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error,
    binaries::{Binaries, check_release},
};

/// The URL of another index, such as a mirror's, or `none` to build from source.
const INDEX: &str = "ARCADIA_ENVTEST_INDEX";
/// The index of the Kubernetes project.
const DEFAULT_INDEX: &str =
    "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml";
/// The time limit of a download. After that, a build is faster.
const PATIENCE: Duration = Duration::from_mins(5);

/// The source of prebuilt servers, if there is one.
pub(crate) fn index() -> Option<String> {
    let index = env::var(INDEX).ok().filter(|index| !index.is_empty()).unwrap_or_else(|| DEFAULT_INDEX.to_owned());
    (index != "none").then_some(index)
}

/// Downloads the servers of a minor release into `folder` and returns their version. After a failure the folder is
/// empty.
pub(crate) fn download(tool: &Path, index: &str, release: &str, folder: &Path) -> Result<String, Error> {
    let refused = |reason: String| Error::NoDownload { release: release.to_owned(), index: index.to_owned(), reason };
    let store = folder.join(".download");
    let downloaded = fetch(tool, index, release, &store).and_then(|path| take(Path::new(&path), folder));
    // The tool leaves a copy, or half an archive.
    let _ = fs::remove_dir_all(&store);
    downloaded.map_err(|error| refused(error.to_string()))
}

/// Runs the tool and returns the folder that it filled.
fn fetch(tool: &Path, index: &str, release: &str, store: &Path) -> Result<String, Error> {
    let mut command = Command::new(tool);
    // The latest patch release, even if another is on disk.
    command.args(["use", &format!("{release}.x!"), "--print", "path", "--index", index, "--bin-dir"]).arg(store);
    command.env_remove("ENVTEST_INSTALLED_ONLY").env_remove("ENVTEST_USE_ENV");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = || Error::system("run setup-envtest");
    let mut child = command.spawn().map_err(running())?;
    let begun = Instant::now();
    // The output is a line or two, so no pipe fills up meanwhile.
    while child.try_wait().map_err(running())?.is_none() {
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().map_err(running())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let reason = told.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ");
    let reason = if reason.is_empty() { format!("no result after {} s", begun.elapsed().as_secs()) } else { reason };
    Err(running()(std::io::Error::other(reason)))
}

/// Moves complete servers of the right release to their folder, and returns their version.
fn take(filled: &Path, folder: &Path) -> Result<String, Error> {
    let binaries = Binaries::in_folder(filled).map_err(|missing| Error::AssetsIncomplete { missing })?;
    let version = check_release(&binaries)?;
    // The API server last: without it, the folder is incomplete and filled again.
    for program in [&binaries.etcd, &binaries.kubectl, &binaries.kube_apiserver] {
        let place = folder.join(program.file_name().unwrap_or_default());
        fs::rename(program, &place).map_err(Error::system(format!("create {}", place.display())))?;
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Write as _,
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
    };

    use sha2::{Digest as _, Sha512};

    use super::*;
    use crate::{
        binaries::built,
        pins::{CONTROL_PLANE, SETUP_ENVTEST},
    };

    #[test]
    fn prebuilt_servers_are_downloaded_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let release = CONTROL_PLANE.release().unwrap();
        let served =
            Served::start(&[(&format!("{release}.0"), true), (&format!("{release}.1"), true), ("1.2.9", true)]);

        let version = download(&tool(), &served.index(), &release, folder.path()).unwrap();

        assert_eq!(version, format!("v{release}.1"), "the last patch release");
        let binaries = Binaries::in_folder(folder.path()).unwrap();
        assert_eq!(check_release(&binaries).unwrap(), version);
        assert_eq!(names(folder.path()), ["etcd", "kube-apiserver", "kubectl"]);
    }

    #[test]
    fn an_invalid_download_is_refused_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let release = CONTROL_PLANE.release().unwrap();
        let altered = Served::start(&[(&format!("{release}.1"), false)]);
        let other = Served::start(&[("1.2.9", true)]);
        let nobody = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/index.yaml", listener.local_addr().unwrap())
        };
        for (index, why) in [(altered.index(), "checksum"), (other.index(), "version"), (nobody, "refused")] {
            let error = download(&tool(), &index, &release, folder.path()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("downloading Kubernetes {release} from {index}: ")), "{error}");
            assert!(error.contains(why), "{why}: {error}");
            assert_eq!(names(folder.path()), Vec::<String>::new());
        }
    }

    #[test]
    fn servers_of_another_release_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for program in ["etcd", "kubectl", "kube-apiserver"] {
            fs::write(folder.path().join(program), script("1.2.9")).unwrap();
            executable(&folder.path().join(program));
        }
        let error = check_release(&Binaries::in_folder(folder.path()).unwrap()).unwrap_err().to_string();
        let release = CONTROL_PLANE.release().unwrap();
        assert!(error.contains("has Kubernetes \"v1.2.9\"") && error.contains(&format!("use {release}.x")), "{error}");
    }

    fn tool() -> std::path::PathBuf {
        built(&SETUP_ENVTEST, "setup-envtest").unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// A program that prints its version.
    fn script(version: &str) -> String {
        format!("#!/bin/sh\necho Kubernetes v{version}\n")
    }

    fn executable(path: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A file server on loopback that replaces the network. Its thread ends with the test.
    struct Served {
        address: String,
    }

    impl Served {
        /// Serves an archive for each version, with a correct or a wrong checksum in the index.
        fn start(versions: &[(&str, bool)]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            let mut index = "releases:\n".to_owned();
            let mut files = Vec::new();
            for (version, is_right) in versions {
                let archive = archive(version);
                let platform = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
                let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
                let name = format!("envtest-v{version}-{system}-{platform}.tar.gz");
                let sum = if *is_right { Sha512::digest(&archive) } else { Sha512::digest("another archive") };
                let link = format!("{address}/{name}");
                let _ = write!(index, "  v{version}:\n    {name}:\n      hash: {sum:x}\n      selfLink: {link}\n");
                files.push((format!("/{name}"), archive));
            }
            files.push(("/index.yaml".to_owned(), index.into_bytes()));
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let request = lines.next().unwrap().unwrap();
                    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                    let path = request.split(' ').nth(1).unwrap();
                    let content = &files.iter().find(|(name, _)| name == path).unwrap().1;
                    let length = content.len();
                    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").unwrap();
                    let _ = stream.write_all(content);
                }
            });
            Self { address }
        }

        fn index(&self) -> String {
            format!("{}/index.yaml", self.address)
        }
    }

    /// An archive in the format of the Kubernetes project.
    fn archive(version: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("controller-tools/envtest");
        fs::create_dir_all(&programs).unwrap();
        for program in ["etcd", "kube-apiserver", "kubectl"] {
            fs::write(programs.join(program), script(version)).unwrap();
            executable(&programs.join(program));
        }
        let tar =
            Command::new("tar").args(["-czf", "-", "controller-tools"]).current_dir(folder.path()).output().unwrap();
        assert!(tar.status.success());
        tar.stdout
    }
}
