//! `cargo xtask release`: everything that a release publishes, in `target/release-artifacts`.
//!
//! The version is the one in Cargo.toml: a release builds exactly the tested commit. It also writes the files that a
//! release changes: CHANGELOG.md before its tag and Cargo.toml after it. A dry run writes them to `changes/`.

mod archive;
mod version;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use jiff::Zoned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    Error,
    image::{self, Program},
    links, operator, prepare,
    project::{self, VERSION},
    record,
    tools::Tool,
};

/// The chart of the operator.
const CHART: &str = "charts/arcadia-operator";
/// The template of the manifest that krew uses to install the command line.
const KREW: &str = "deploy/krew/arcadia.yaml";
/// The default address of a dry run.
pub(crate) const PLACEHOLDER: &str = "https://example.com/arcadia-operator";
/// The default image of a dry run.
const PLACEHOLDER_IMAGE: &str = "registry.example.com/arcadia-operator";
/// The name of the image in the chart and in the manifests, which every installation replaces.
const UNPUBLISHED_IMAGE: &str = "arcadia-operator";
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
    /// The name of the published image without a tag, such as `ghcr.io/OWNER/REPOSITORY`, for the chart and install.yaml
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
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
    let image = match &release.image {
        Some(image) => image.as_str(),
        None if release.dry_run => PLACEHOLDER_IMAGE,
        None => return Err(Error::NoImage),
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
    let notes = links::absolute(&changes.notes, Path::new(""), &files(url), None);
    write(&output.join("RELEASE-NOTES.md"), notes.as_bytes())?;
    let place = if release.dry_run { output.join("changes") } else { project::root().to_owned() };
    write(&place.join("CHANGELOG.md"), changes.changelog.as_bytes())?;
    if release.dry_run {
        write(&place.join("Cargo.toml"), changes.cargo_toml.as_bytes())?;
        write(&place.join("Cargo.lock"), changes.cargo_lock.as_bytes())?;
    }

    let target = programs(output, url)?;
    chart(output, url, image)?;
    manifests(output, image)?;
    if !release.without_bill_of_materials {
        bills_of_materials(output, &target)?;
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

/// The address of the files of this version.
fn files(url: &str) -> String {
    format!("{url}/blob/v{VERSION}")
}

/// The image, and archives of both programs with their license, and the manifest for krew. Returns the target that the
/// programs are compiled for.
fn programs(output: &Path, url: &str) -> Result<String, Error> {
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
    write(&output.join("arcadia.krew.yaml"), manifest.as_bytes())?;
    Ok(operator_program.target)
}

/// An architecture as Go and Kubernetes name it.
fn go_name(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The chart as a package, with the addresses of a release and its image.
fn chart(output: &Path, url: &str, image: &str) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::system("make a folder for the chart"))?;
    let copy = folder.path().join("arcadia-operator");
    archive::copy(&project::root().join(CHART), &copy)?;
    edit(&copy.join("Chart.yaml"), |chart| published(&chart, url, image))?;
    edit(&copy.join("README.md"), |readme| {
        let default = "- **Image.** None is published: build one, as `docs/install.md` describes, and push it to your registry.\n";
        let published = format!("- **Image.** `{image}:{VERSION}` is the default.\n");
        let readme = replaced(&readme, default, &published, "README.md")?;
        let readme = replaced(&readme, " --set image.repository=REGISTRY/arcadia-operator", "", "README.md")?;
        Ok(links::absolute(&readme, Path::new(CHART), &files(url), None))
    })?;
    edit(&copy.join("values.yaml"), |values| {
        let default = "  # Your image, with its registry: no image is published under this name.\n  repository: arcadia-operator\n";
        let published = format!("  # The image, with its registry.\n  repository: {image}\n");
        replaced(&values, default, &published, "values.yaml")
    })?;
    prepare::helm()?;
    let mut helm = Command::new(control_plane::helm()?);
    project::run(helm.args(["package", "--destination"]).arg(output).arg(copy))
}

/// Chart.yaml with the addresses of a release and its image, which Artifact Hub shows.
fn published(chart: &str, url: &str, image: &str) -> Result<String, Error> {
    let annotations = format!(
        "annotations:\n  artifacthub.io/images: |\n    - name: arcadia-operator\n      image: {image}:{VERSION}\n  \
         artifacthub.io/links: |\n    - name: source\n      url: {url}\n    - name: support\n      url: {url}/issues\n    \
         - name: documentation\n      url: {url}/blob/v{VERSION}/docs/index.md\n"
    );
    let chart = replaced(chart, "annotations:\n", &annotations, "Chart.yaml")?;
    let icon = format!("{url}/raw/v{VERSION}/{CHART}/icon.svg");
    Ok(format!("{chart}home: {url}\nsources: [{url}]\nicon: {icon}\n"))
}

fn edit(file: &Path, change: impl FnOnce(String) -> Result<String, Error>) -> Result<(), Error> {
    let text = fs::read_to_string(file).map_err(Error::system(format!("read {}", file.display())))?;
    write(file, change(text)?.as_bytes())
}

/// Replaces a text that a file has exactly once.
fn replaced(text: &str, old: &str, new: &str, file: &'static str) -> Result<String, Error> {
    if text.matches(old).count() == 1 {
        Ok(text.replace(old, new))
    } else {
        Err(Error::NotThere { text: old.trim().to_owned(), file })
    }
}

/// The definitions, and all objects of the kustomize base with the image of the release.
fn manifests(output: &Path, image: &str) -> Result<(), Error> {
    prepare::run(control_plane::Wanted::WithoutControllerManager)?;
    for (folder, file) in [("deploy/crds", "crds.yaml"), ("deploy/overlays/cluster-wide", "install.yaml")] {
        let mut kubectl = Command::new(control_plane::find()?.kubectl);
        let manifest = project::output(kubectl.arg("kustomize").arg(project::root().join(folder)))?;
        let manifest = if file == "install.yaml" {
            let default = format!("image: {UNPUBLISHED_IMAGE}:{VERSION}\n");
            replaced(&manifest, &default, &format!("image: {image}:{VERSION}\n"), file)?
        } else {
            manifest
        };
        write(&output.join(file), manifest.as_bytes())?;
    }
    Ok(())
}

/// The dependencies of the image and of the command line, as `CycloneDX`, for the target that they are compiled for.
fn bills_of_materials(output: &Path, target: &str) -> Result<(), Error> {
    BILL.install()?;
    for (name, features) in [(operator::NAME, &operator::IMAGE_FEATURES[..]), (operator::PLUGIN, &[])] {
        let name = format!("{name}-{VERSION}.cdx");
        let mut cyclonedx = BILL.command();
        cyclonedx.args(["cyclonedx", "--format", "json", "--no-build-deps", "--target", target]);
        let listed = project::run(cyclonedx.args(features).args(["--override-filename", &name]));
        // It writes one beside each Cargo.toml of the workspace, and also if it fails. Only that of the root is about
        // what is published.
        let written = take(&format!("{name}.json"))?;
        listed?;
        let bill = written.ok_or_else(|| Error::NotThere { text: format!("{name}.json"), file: "the repository" })?;
        // The ids of packages of the workspace are folders of this machine.
        let bill = bill.replace(&project::root().display().to_string(), ".");
        let bill = only(&bill, &dependencies(features, target)?)?;
        write(&output.join(format!("{name}.json")), bill.as_bytes())?;
    }
    Ok(())
}

/// The dependencies of the root package with these features, as names and versions. The tool lists those of all features
/// that the workspace uses.
fn dependencies(features: &[&str], target: &str) -> Result<BTreeSet<(String, String)>, Error> {
    let mut tree = project::cargo(["tree", "--locked", "--package", operator::NAME, "--edges", "normal"]);
    tree.args(["--prefix", "none", "--format", "{p}", "--target", target]).args(features);
    let text = project::output(&mut tree)?;
    let package = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    Ok(text.lines().filter_map(package).collect())
}

/// A list of components without those that are not among these names and versions.
fn only(bill: &str, kept: &BTreeSet<(String, String)>) -> Result<String, Error> {
    let reading = |error: serde_json::Error| Error::system("read the list of dependencies")(error.into());
    let mut bill: Value = serde_json::from_str(bill).map_err(reading)?;
    let text = |component: &Value, key: &str| component.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut refs = BTreeSet::new();
    if let Some(Value::Array(components)) = bill.get_mut("components") {
        components.retain(|component| kept.contains(&(text(component, "name"), text(component, "version"))));
        refs.extend(components.iter().map(|component| text(component, "bom-ref")));
    }
    refs.extend(bill.pointer("/metadata/component").map(|root| text(root, "bom-ref")));
    if let Some(Value::Array(all)) = bill.get_mut("dependencies") {
        all.retain(|one| refs.contains(&text(one, "ref")));
        for one in all {
            if let Some(Value::Array(on)) = one.get_mut("dependsOn") {
                on.retain(|on| on.as_str().is_some_and(|on| refs.contains(on)));
            }
        }
    }
    serde_json::to_string_pretty(&bill).map_err(reading)
}

/// Removes the files of this name beside each Cargo.toml, and returns the content of that of the root.
fn take(name: &str) -> Result<Option<String>, Error> {
    let content = fs::read_to_string(project::root().join(name)).ok();
    for package in project::packages()? {
        let manifest = package.get("manifest_path").and_then(Value::as_str).map(Path::new);
        let Some(file) = manifest.map(|manifest| manifest.with_file_name(name)).filter(|file| file.exists()) else {
            continue;
        };
        fs::remove_file(&file).map_err(Error::system(format!("remove {}", file.display())))?;
    }
    Ok(content)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_released_chart_names_its_image_and_its_addresses_for_artifact_hub() {
        let chart = fs::read_to_string(project::root().join(CHART).join("Chart.yaml")).unwrap();
        let chart = published(&chart, "https://example.com/o/r", "ghcr.io/o/r").unwrap();
        let chart: Value = serde_saphyr::from_str(&chart).unwrap();
        let listed = |name: &str| -> Value {
            let text = chart["annotations"][format!("artifacthub.io/{name}")].as_str().unwrap();
            serde_saphyr::from_str(text).unwrap()
        };
        let image = format!("ghcr.io/o/r:{VERSION}");
        assert_eq!(listed("images"), json!([{"name": "arcadia-operator", "image": image}]));
        assert_eq!(listed("links")[0], json!({"name": "source", "url": "https://example.com/o/r"}));
        assert_eq!(listed("links")[1], json!({"name": "support", "url": "https://example.com/o/r/issues"}));
        assert_eq!(listed("crds").as_array().unwrap().len(), 3);
        assert_eq!(chart["home"], "https://example.com/o/r");
    }

    #[test]
    fn the_operators_list_has_no_dependency_of_the_command_line() {
        let names = |features: &[&str]| -> BTreeSet<String> {
            let all = dependencies(features, "x86_64-unknown-linux-musl").unwrap();
            all.into_iter().map(|(name, _)| name).collect()
        };
        let (operator, plugin) = (names(&operator::IMAGE_FEATURES), names(&[]));
        assert!(["kube", "tikv-jemallocator"].iter().all(|name| operator.contains(*name)));
        assert!(!operator.contains("ratatui") && plugin.contains("ratatui"));
    }

    #[test]
    fn other_components_are_left_out_with_all_that_refers_to_them() {
        let bill = json!({
            "metadata": { "component": { "bom-ref": "root" } },
            "components": [
                { "name": "a", "version": "1.0.0", "bom-ref": "a@1" },
                { "name": "a", "version": "2.0.0", "bom-ref": "a@2" },
            ],
            "dependencies": [{ "ref": "root", "dependsOn": ["a@1", "a@2"] }, { "ref": "a@2" }],
        });
        let kept = BTreeSet::from([("a".to_owned(), "1.0.0".to_owned())]);
        let left: Value = serde_json::from_str(&only(&bill.to_string(), &kept).unwrap()).unwrap();
        assert_eq!(left["components"], json!([{ "name": "a", "version": "1.0.0", "bom-ref": "a@1" }]));
        assert_eq!(left["dependencies"], json!([{ "ref": "root", "dependsOn": ["a@1"] }]));
    }
}
