//! A release: its artifacts belong together, and each can be installed.
#![cfg(test)]

mod image;
mod quick;

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use control_plane::{ControlPlane, Kubectl, Options};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const URL: &str = "https://git.example.com/platform/arcadia-operator";
const IMAGE: &str = "registry.example.com/platform/arcadia-operator";
/// The folder of a dry run of a release to test, in place of one that the test builds.
const GIVEN: &str = "ARCADIA_RELEASE_ARTIFACTS";

struct Release {
    folder: PathBuf,
    /// The address of the repository.
    url: String,
    /// The name of the image.
    image: String,
    /// It has the list of dependencies.
    is_complete: bool,
    /// The folder in which the test unpacks archives, and builds.
    scratch: TempDir,
}

impl Release {
    fn given_or_built() -> Self {
        env::var_os(GIVEN).map_or_else(Self::build, |folder| Self::given(&root().join(folder)))
    }

    fn given(folder: &Path) -> Self {
        let krew: Value =
            serde_saphyr::from_str(&fs::read_to_string(folder.join("arcadia.krew.yaml")).unwrap()).unwrap();
        let url = krew["spec"]["homepage"].as_str().unwrap().to_owned();
        let install = fs::read_to_string(folder.join("install.yaml")).unwrap();
        let image = install.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
        let image = image.strip_suffix(&format!(":{VERSION}")).unwrap().to_owned();
        Self { folder: folder.to_owned(), url, image, is_complete: true, scratch: tempfile::tempdir().unwrap() }
    }

    /// Without the list of dependencies, which takes minutes to prepare, and without the recording, which takes minutes
    /// to play.
    fn build() -> Self {
        let files = || ["CHANGELOG.md", "Cargo.toml", "Cargo.lock"].map(|file| fs::read(root().join(file)).unwrap());
        let before = files();
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("release");
        let mut release = quick::xtask();
        release.args(["release", "--dry-run", "--url", URL, "--image", IMAGE]);
        release.args(["--without-bill-of-materials", "--without-recording"]);
        let status = release.arg("--output").arg(&folder).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{status}");
        assert!(before == files(), "a dry run changes nothing");
        Self { folder, url: URL.to_owned(), image: IMAGE.to_owned(), is_complete: false, scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The only artifact with this beginning and this end.
    fn named(&self, begin: &str, end: &str) -> PathBuf {
        let names = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut found: Vec<_> = names.filter(|name| name.starts_with(begin) && name.ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{begin}*{end}: {found:?}");
        self.path(&found.remove(0))
    }

    /// The files of an archive of programs, unpacked.
    fn unpacked(&self, program: &str) -> PathBuf {
        let archive = self.named(&format!("{program}-{VERSION}-linux-"), ".tar.gz");
        let place = self.scratch.path().join(program);
        tar::Archive::new(GzDecoder::new(File::open(archive).unwrap())).unpack(&place).unwrap();
        assert!(place.join("LICENSE").is_file());
        place
    }
}

fn sha256(path: &Path) -> String {
    format!("{:x}", Sha256::digest(fs::read(path).unwrap()))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[tokio::test]
#[ignore = "compiles both programs of a release for minutes: cargo test --package xtask --test release -- --ignored"]
async fn a_release_is_complete_and_each_part_installs() {
    let release = Release::given_or_built();

    has_right_sums(&release);
    has_the_changes_of_the_version(&release);
    has_a_krew_manifest(&release);
    if release.is_complete {
        for program in ["arcadia-operator", "kubectl-arcadia"] {
            has_a_list_of_dependencies(&release, program);
        }
    }
    image::runs_as_nobody_on_a_read_only_root(&release).await;
    let operator =
        Command::new(release.unpacked("arcadia-operator").join("arcadia-operator")).arg("--version").output();
    assert_eq!(String::from_utf8(operator.unwrap().stdout).unwrap(), format!("arcadia-operator {VERSION}\n"));

    // Nothing here needs controllers, and a release prepares none.
    let options = Options { controller_manager: false, ..Options::default() };
    let control_plane = ControlPlane::start(options).await.unwrap();
    let kubectl = control_plane.kubectl();
    installs_as_a_chart(&release, &control_plane).await;
    installs_as_a_plugin(&release, &kubectl).await;
    for manifest in ["crds.yaml", "install.yaml"] {
        let file = release.path(manifest);
        let namespace = kubectl.run(&["create", "namespace", "arcadia-system"]).await;
        assert!(manifest == "crds.yaml" || namespace.is_err(), "the base has its own namespace");
        let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", file.to_str().unwrap()];
        kubectl.run(&apply).await.unwrap();
    }
}

fn has_right_sums(release: &Release) {
    let sums = release.read("SHA256SUMS");
    assert!(sums.lines().count() >= 8, "{sums}");
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        assert_eq!(sum, sha256(&release.path(name)), "{name}");
    }
}

fn has_the_changes_of_the_version(release: &Release) {
    let notes = release.read("RELEASE-NOTES.md");
    for link in notes.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(link.contains("://"), "a page of releases cannot lead to {link}");
    }
    // Only a dry run writes them there.
    if !release.path("changes").exists() {
        return;
    }
    let changelog = release.read("changes/CHANGELOG.md");
    if notes == "Nothing yet.\n" {
        assert_eq!(changelog, fs::read_to_string(root().join("CHANGELOG.md")).unwrap());
    } else {
        let (_, entries) = changelog.split_once(&format!("\n## [{VERSION}] - 20")).unwrap();
        let first = notes.lines().find(|line| line.starts_with("- ")).unwrap();
        let first = first.split("](").next().unwrap();
        assert!(entries.contains(first), "{first}");
    }
    let cargo = release.read("changes/Cargo.toml");
    let next = cargo.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"').to_owned();
    assert_ne!(next, VERSION);
    assert!(release.read("changes/Cargo.lock").contains(&format!("name = \"xtask\"\nversion = \"{next}\"")));
}

fn has_a_krew_manifest(release: &Release) {
    let manifest = release.read("arcadia.krew.yaml");
    assert!(!manifest.contains('@'), "{manifest}");
    let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
    assert_eq!(manifest["spec"]["version"], format!("v{VERSION}"));
    let platform = &manifest["spec"]["platforms"][0];
    let (_, file) = platform["uri"]
        .as_str()
        .unwrap()
        .split_once(&format!("{}/releases/download/v{VERSION}/", release.url))
        .unwrap();
    assert_eq!(platform["sha256"], sha256(&release.path(file)));
    let unpacked = release.unpacked("kubectl-arcadia");
    assert!(unpacked.join(platform["bin"].as_str().unwrap()).is_file());
}

fn has_a_list_of_dependencies(release: &Release, program: &str) {
    let text = fs::read_to_string(release.named(&format!("{program}-{VERSION}"), ".cdx.json")).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["bomFormat"], "CycloneDX");
    assert_eq!(list["metadata"]["component"]["name"], "arcadia-operator");
    let listed: Vec<_> =
        list["components"].as_array().unwrap().iter().map(|it| (&it["name"], &it["version"])).collect();
    assert!(listed.iter().any(|(name, _)| **name == "kube") && listed.iter().all(|(_, version)| version.is_string()));
    // Only the command line draws a screen.
    assert_eq!(listed.iter().any(|(name, _)| **name == "ratatui"), program == "kubectl-arcadia");
    assert!(!listed.iter().any(|(name, _)| name.as_str().unwrap().starts_with("windows")), "it is for another system");
    let root = root().canonicalize().unwrap();
    assert!(!text.contains(root.to_str().unwrap()), "it names a folder of the machine that built it");
}

async fn installs_as_a_chart(release: &Release, control_plane: &ControlPlane) {
    let chart = release.named(&format!("arcadia-operator-{VERSION}"), ".tgz");
    let helm = |arguments: &[&str]| {
        let mut helm = Command::new(control_plane::helm().unwrap());
        helm.args(arguments).env("KUBECONFIG", control_plane.kubeconfig()).env("HOME", release.scratch.path());
        let output = helm.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let chart = chart.to_str().unwrap();
    let described: Value = serde_saphyr::from_str(&helm(&["show", "chart", chart])).unwrap();
    assert_eq!(described["home"], release.url);
    let icon = described["icon"].as_str().unwrap();
    let (_, icon) = icon.split_once(&format!("{}/raw/v{VERSION}/", release.url)).unwrap();
    assert!(root().join(icon).is_file(), "{icon}");
    let images = described["annotations"]["artifacthub.io/images"].as_str().unwrap();
    assert!(images.contains(&format!("image: {}:{VERSION}\n", release.image)), "{images}");
    let links = described["annotations"]["artifacthub.io/links"].as_str().unwrap();
    assert!(links.contains(&format!("url: {}\n", release.url)), "{links}");
    helm(&["lint", "--strict", chart]);

    let readme = helm(&["show", "readme", chart]);
    assert!(!readme.contains("](../") && !readme.contains("REGISTRY"), "{readme}");
    assert!(readme.contains(&format!("`{}:{VERSION}`", release.image)), "{readme}");
    let notes = helm(&["install", "arcadia-operator", chart, "-n", "release", "--create-namespace"]);
    assert!(!notes.contains("no image is published"), "{notes}");
    let kubectl = control_plane.kubectl();
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = kubectl.run(&["get", "deployment", "arcadia-operator", "-n", "release", "-o", image]).await.unwrap();
    assert_eq!(image, format!("{}:{VERSION}", release.image));
    kubectl.run(&["wait", "--for=condition=Established", "crd/drifts.arcadia.cloud", "--timeout=60s"]).await.unwrap();
}

/// Installs it as krew does: as a program on the `PATH`.
async fn installs_as_a_plugin(release: &Release, kubectl: &Kubectl) {
    let mut path = release.unpacked("kubectl-arcadia").into_os_string();
    path.push(OsString::from(":"));
    path.push(env::var_os("PATH").unwrap());
    let run = kubectl.command().args(["arcadia"]).env("PATH", path).output().await.unwrap();
    assert!(run.status.success(), "{run:?}");
    assert!(String::from_utf8_lossy(&run.stdout).starts_with("No open drifts in namespace default."), "{run:?}");
}
