//! `cargo xtask generate`: files that are generated from the code and checked in.

mod benchmarks;
mod chart;
mod markdown;
mod metrics;
mod page;
mod plugin;
mod references;

use std::{
    fs,
    path::{Path, PathBuf},
};

use arcadia_operator::manifests;
use serde::Deserialize;

use crate::{Error, project};
use page::{GENERATED, Generated, generation_failed};

/// All generated files. A new kind of generated file is a new line here.
fn generated() -> Result<Vec<Generated>, Error> {
    let mut files = Vec::new();
    let definitions = custom_resource_definitions()?;
    for folder in ["crds", "deploy/crds"].map(Path::new) {
        let file = |(name, document): &(String, String)| (folder.join(name), header("src/api") + document);
        files.extend(definitions.iter().map(file));
    }
    files.extend(roles_and_policies()?);
    files.extend(chart::files(&definitions)?);
    files.extend(references::files()?);
    files.extend(benchmarks::files()?);
    files.push(kinds());
    files.push(reverts());
    files.push(steps());
    files.push(plugin::file());
    Ok(files)
}

/// The header of a generated file, with its source.
fn header(source: &str) -> String {
    format!("# {GENERATED}; edit {source} instead.\n")
}

/// Folders that contain generated files, perhaps beside others.
const FOLDERS: [&str; 6] = [
    "crds",
    "deploy/crds",
    "deploy/base",
    "deploy/overlays/cluster-wide",
    "deploy/overlays/namespaced",
    "charts/arcadia-operator/templates",
];

/// Writes outdated files and removes files that are no longer generated.
pub(crate) fn write() -> Result<(), Error> {
    let files = generated()?;
    for (path, content) in files.iter().filter(|file| !is_current(file)) {
        write_file(path, content)?;
        println!("wrote {}", path.display());
    }
    for path in left_over(&files)? {
        fs::remove_file(project::root().join(&path)).map_err(Error::system(format!("remove {}", path.display())))?;
        println!("removed {}", path.display());
    }
    Ok(())
}

/// Fails with the names of the files that [`write`] would change.
pub(crate) fn check() -> Result<(), Error> {
    let all = generated()?;
    let mut files = left_over(&all)?;
    files.extend(all.into_iter().filter(|file| !is_current(file)).map(|(path, _)| path));
    if files.is_empty() { Ok(()) } else { Err(Error::OutOfDate { files }) }
}

fn is_current((path, content): &Generated) -> bool {
    fs::read_to_string(project::root().join(path)).is_ok_and(|found| found == *content)
}

fn write_file(path: &Path, content: &str) -> Result<(), Error> {
    let path = project::root().join(path);
    let doing = || Error::system(format!("write {}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(doing())?;
    }
    fs::write(&path, content).map_err(doing())
}

/// Generated files that the code no longer produces.
fn left_over(files: &[Generated]) -> Result<Vec<PathBuf>, Error> {
    let mut left_over = Vec::new();
    for folder in FOLDERS.map(Path::new) {
        let reading = || Error::system(format!("read {}", folder.display()));
        if !project::root().join(folder).is_dir() {
            continue;
        }
        for entry in fs::read_dir(project::root().join(folder)).map_err(reading())? {
            let entry = entry.map_err(reading())?;
            let path = folder.join(entry.file_name());
            let is_generated = || {
                let content = fs::read_to_string(entry.path());
                content.is_ok_and(|content| content.lines().next().is_some_and(|line| line.contains(GENERATED)))
            };
            if !files.iter().any(|(generated, _)| *generated == path) && is_generated() {
                left_over.push(path);
            }
        }
    }
    Ok(left_over)
}

/// The definitions that `arcadia-operator crds` prints: a file name, from the plural, and a document for each.
fn custom_resource_definitions() -> Result<Vec<(String, String)>, Error> {
    let printed = arcadia_operator::api::crds_as_yaml().map_err(|source| Error::NoYaml { source })?;
    let documents = printed.split("---\n").filter(|document| !document.trim().is_empty());
    documents
        .map(|document| {
            let definition: Definition = serde_saphyr::from_str(document)?;
            Ok((format!("{}.yaml", definition.spec.names.plural), document.to_owned()))
        })
        .collect()
}

/// The reference of all kinds.
fn kinds() -> Generated {
    let source = "src/digitalocean/kinds/data";
    let table = arcadia_operator::digitalocean::kinds::reference();
    (
        PathBuf::from("docs/reference/kinds.md"),
        format!("# Kinds\n\n<!-- {GENERATED}; edit {source} instead. -->\n\n{table}"),
    )
}

/// The reference of how fields are reverted.
fn reverts() -> Generated {
    let source = "the section `revert` in src/digitalocean/kinds/data";
    let preface = "How each field is reverted, by kind. A class holds unless one of the cases after it applies: \
                   Safe (no outage, nothing lost), Disruptive (an outage or other access), Lossy (data may be lost), OneWay (cannot be \
                   undone), NotRevertible and NotOurs (with the reason). A dotted path has the rule of its field.\n";
    let reference = arcadia_operator::digitalocean::revert::reference();
    (
        PathBuf::from("docs/reference/reverts.md"),
        format!("# Reverts\n\n<!-- {GENERATED}; edit {source} instead. -->\n\n{preface}{reference}"),
    )
}

/// The reference of all steps of sagas.
fn steps() -> Generated {
    let source = "src/saga/steps";
    let reference = arcadia_operator::saga::steps::reference();
    (
        PathBuf::from("docs/reference/steps.md"),
        format!("# Steps\n\n<!-- {GENERATED}; edit {source} instead. -->\n\n{reference}"),
    )
}

/// The rights of the operator and of people. The overlays contain the parts that depend on the watched namespaces.
fn roles_and_policies() -> Result<Vec<Generated>, Error> {
    let place = |name: &str| match name {
        "rbac.yaml" | "roles.yaml" => format!("base/{name}"),
        _ if name.contains("-namespaced") => format!("overlays/namespaced/{}", name.replace("-namespaced", "")),
        _ => format!("overlays/cluster-wide/{}", name.replace("-cluster-wide", "")),
    };
    let files = manifests::files().map_err(generation_failed)?.into_iter();
    Ok(files
        .map(|(name, content)| (Path::new("deploy").join(place(name)), header("src/manifests") + &content))
        .collect())
}

#[derive(Deserialize)]
struct Definition {
    spec: DefinitionSpec,
}

#[derive(Deserialize)]
struct DefinitionSpec {
    names: Names,
}

#[derive(Deserialize)]
struct Names {
    plural: String,
}
