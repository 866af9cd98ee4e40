//! `cargo xtask release`: everything that a release publishes, in `target/release-artifacts`.
//!
//! The version is the one in Cargo.toml: a release builds exactly the tested commit. It also writes the files that a
//! release changes: CHANGELOG.md before its tag and Cargo.toml after it. A dry run writes them to `changes/`.

mod archive;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use jiff::Zoned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::image::Program;
use crate::tools::Tool;
use crate::{Error, image, operator, prepare, project, record};

/// This version, and the names of the artifacts.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const CHART: &str = "charts/arcadia-operator";
/// The template of the manifest that krew uses to install the command line.
const KREW: &str = "deploy/krew/arcadia.yaml";
/// The default address of a dry run.
pub(crate) const PLACEHOLDER: &str = "https://example.com/arcadia-operator";
/// The tool that lists all dependencies.
const BILL: Tool = Tool { name: "cargo-cyclonedx", version: "0.5.9" };

/// The options of a release.
#[derive(Args)]
pub(crate) struct Release {
    /// Change no file of the repository
    #[arg(long)]
    dry_run: bool,
    /// The address of the repository, such as `https://github.com/OWNER/REPOSITORY`
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Fail unless this is the tag of the version in Cargo.toml
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// The version after this one [default: the next minor version]
    #[arg(long, value_name = "VERSION")]
    next: Option<String>,
    /// The folder to write, replacing its content
    #[arg(long, value_name = "DIR", default_value_os_t = project::root().join("target/release-artifacts"))]
    output: PathBuf,
    /// Leave out the list of dependencies, whose tool takes minutes to build
    #[arg(long)]
    without_bill_of_materials: bool,
    /// Do not play the demo to compare it with its picture
    #[arg(long)]
    without_recording: bool,
}

/// Builds everything, and writes the checksums last: a release with checksums is complete.
pub(crate) fn run(release: &Release) -> Result<(), Error> {
    let url = match &release.url {
        Some(url) => url.trim_end_matches('/'),
        None if release.dry_run => PLACEHOLDER,
        None => return Err(Error::NoUrl),
    };
    if let Some(tag) = release.tag.as_ref().filter(|tag| **tag != format!("v{VERSION}")) {
        return Err(Error::OtherTag { tag: tag.clone(), version: VERSION });
    }
    if !release.without_recording {
        record::check()?;
    }
    let output = &release.output;
    clear(output)?;
    let changes = version::changes(&Zoned::now().date().to_string(), release.next.as_deref(), release.dry_run)?;
    write(&output.join("RELEASE-NOTES.md"), changes.notes.as_bytes())?;
    let place = if release.dry_run { output.join("changes") } else { project::root().to_owned() };
    write(&place.join("CHANGELOG.md"), changes.changelog.as_bytes())?;
    if release.dry_run {
        write(&place.join("Cargo.toml"), changes.cargo_toml.as_bytes())?;
        write(&place.join("Cargo.lock"), changes.cargo_lock.as_bytes())?;
    }

    programs(output, url)?;
    chart(output, url)?;
    manifests(output)?;
    if !release.without_bill_of_materials {
        bill_of_materials(output)?;
    }
    sums(output)?;
    println!("\n{} has the release {VERSION}.", output.strip_prefix(project::root()).unwrap_or(output).display());
    if !release.dry_run {
        println!(
            "Next: commit CHANGELOG.md, tag v{VERSION}, publish the folder, and set the version in Cargo.toml to {}.",
            changes.next
        );
    }
    Ok(())
}

/// The image, and archives of both programs with their license, and the manifest for krew.
fn programs(output: &Path, url: &str) -> Result<(), Error> {
    let layout = project::root().join("target/image/oci");
    let [operator_program, plugin_program] = image::with_programs(&layout)?;
    let (system, architecture) = ("linux", go_name(std::env::consts::ARCH));
    let named = |program: &str| output.join(format!("{program}-{VERSION}-{system}-{architecture}.tar.gz"));
    archive::folder(&output.join(format!("arcadia-operator-{VERSION}-image-{system}-{architecture}.tar")), &layout)?;
    let license = project::root().join("LICENSE");
    let packed = |program: &str, built: &Program| {
        let archive = named(program);
        archive::files(&archive, &[(program, built.path.as_path()), ("LICENSE", license.as_path())])?;
        Ok::<_, Error>(archive)
    };
    packed(operator::NAME, &operator_program)?;
    let plugin = packed(operator::PLUGIN, &plugin_program)?;

    let template = fs::read_to_string(project::root().join(KREW)).map_err(Error::system(format!("read {KREW}")))?;
    let file = plugin.file_name().unwrap_or_default().to_string_lossy();
    let values = [
        ("@VERSION@", format!("v{VERSION}")),
        ("@HOMEPAGE@", url.to_owned()),
        ("@OS@", system.to_owned()),
        ("@ARCH@", architecture.to_owned()),
        ("@URI@", format!("{url}/releases/download/v{VERSION}/{file}")),
        ("@SHA256@", sum(&plugin)?),
    ];
    // The comment describes the template.
    let lines = template.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n"));
    let manifest = values.iter().fold(lines.collect::<String>(), |text, (name, value)| text.replace(name, value));
    write(&output.join("arcadia.krew.yaml"), manifest.as_bytes())
}

/// An architecture as Go and Kubernetes name it.
fn go_name(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The chart as a package, with the addresses of a release.
fn chart(output: &Path, url: &str) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::system("make a folder for the chart"))?;
    let copy = folder.path().join("arcadia-operator");
    archive::copy(&project::root().join(CHART), &copy)?;
    let file = copy.join("Chart.yaml");
    let chart = fs::read_to_string(&file).map_err(Error::system("read Chart.yaml"))?;
    let icon = format!("{url}/raw/v{VERSION}/{CHART}/icon.svg");
    write(&file, format!("{chart}home: {url}\nsources: [{url}]\nicon: {icon}\n").as_bytes())?;
    prepare::helm()?;
    let mut helm = Command::new(control_plane::helm()?);
    project::run(helm.args(["package", "--destination"]).arg(output).arg(copy))
}

/// The definitions, and all objects of the kustomize base.
fn manifests(output: &Path) -> Result<(), Error> {
    prepare::run(control_plane::Wanted::WithoutControllerManager)?;
    for (folder, file) in [("deploy/crds", "crds.yaml"), ("deploy/overlays/cluster-wide", "install.yaml")] {
        let mut kubectl = Command::new(control_plane::find()?.kubectl);
        let manifest = project::output(kubectl.arg("kustomize").arg(project::root().join(folder)))?;
        write(&output.join(file), manifest.as_bytes())?;
    }
    Ok(())
}

/// The dependencies of the programs, as `CycloneDX`.
fn bill_of_materials(output: &Path) -> Result<(), Error> {
    BILL.install()?;
    let name = format!("arcadia-operator-{VERSION}.cdx");
    let mut cyclonedx = BILL.command();
    cyclonedx.args(["cyclonedx", "--format", "json", "--no-build-deps"]);
    project::run(cyclonedx.args(["--override-filename", &name]))?;
    // It writes one beside each Cargo.toml of the workspace. Only that of the root is about what is published.
    let file = format!("{name}.json");
    let bill = fs::read_to_string(project::root().join(&file)).map_err(Error::system(format!("read {file}")))?;
    // The ids of packages of the workspace are folders of this machine.
    write(&output.join(&file), bill.replace(&project::root().display().to_string(), ".").as_bytes())?;
    for package in project::packages()? {
        let manifest = package.get("manifest_path").and_then(Value::as_str).map(Path::new);
        let Some(bill) = manifest.map(|manifest| manifest.with_file_name(&file)).filter(|bill| bill.exists()) else {
            continue;
        };
        fs::remove_file(&bill).map_err(Error::system(format!("remove {}", bill.display())))?;
    }
    Ok(())
}

/// The SHA-256 of each artifact, in the format of `sha256sum --check`.
fn sums(output: &Path) -> Result<(), Error> {
    let reading = || Error::system(format!("read {}", output.display()));
    let mut lines = Vec::new();
    for entry in fs::read_dir(output).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        if path.is_file() {
            lines.push(format!("{}  {}\n", sum(&path)?, path.file_name().unwrap_or_default().to_string_lossy()));
        }
    }
    lines.sort_by_key(|line| line.split_whitespace().next_back().map(str::to_owned));
    write(&output.join("SHA256SUMS"), lines.concat().as_bytes())
}

fn sum(path: &Path) -> Result<String, Error> {
    let content = fs::read(path).map_err(Error::system(format!("read {}", path.display())))?;
    Ok(format!("{:x}", Sha256::digest(content)))
}

/// Removes an earlier release, which has checksums, and nothing else.
fn clear(folder: &Path) -> Result<(), Error> {
    let doing = || Error::system(format!("make room in {}", folder.display()));
    let has_files = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if has_files && folder != project::root().join("target/release-artifacts") && !folder.join("SHA256SUMS").is_file() {
        return Err(doing()(std::io::Error::other("it is not empty, and no earlier release")));
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(doing())?;
    }
    fs::create_dir_all(folder).map_err(doing())
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let doing = || Error::system(format!("write {}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(doing())?;
    }
    fs::write(path, content).map_err(doing())
}
