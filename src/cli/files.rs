//! Records in files: the manifests of records. Other objects are ignored.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::{Error, prompt::typed};
use crate::{
    api::{GROUP, ProvisionedResource, ProvisionedResourceSpec},
    digitalocean::ResourceKey,
};

/// The extensions of manifest files.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// The argument for standard input.
const STDIN: &str = "-";

/// A record that a file declares.
#[derive(Clone, Debug)]
pub(super) struct RecordManifest {
    /// The file, or "standard input".
    pub(super) file: String,
    pub(super) name: String,
    pub(super) spec: ProvisionedResourceSpec,
}

impl RecordManifest {
    pub(super) fn key(&self) -> ResourceKey {
        self.spec.resource.key()
    }
}

/// The text of a file or of standard input, and the name of its source.
pub(super) async fn text_of(path: &Path) -> Result<(String, String), Error> {
    if path.as_os_str() == STDIN {
        let text = typed(|| io::read_to_string(io::stdin())).await?;
        return Ok(("standard input".to_owned(), text));
    }
    let text = fs::read_to_string(path).map_err(failed("reading", path))?;
    Ok((path.display().to_string(), text))
}

/// The records in a file, in a folder with its subfolders, or in standard input.
pub(super) async fn read(path: &Path) -> Result<Vec<RecordManifest>, Error> {
    let files = if path.as_os_str() == STDIN { vec![path.to_owned()] } else { within(path)? };
    let mut found = Vec::new();
    for file in files {
        let (source, text) = text_of(&file).await?;
        found.extend(records(&source, &text)?);
    }
    Ok(found)
}

/// A file, or all manifest files in a folder and its subfolders, in order.
pub(super) fn within(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    collect(path, true, &mut files)?;
    files.sort();
    Ok(files)
}

/// An error about a file.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::File { doing, path: path.clone(), source }
}

fn contents(source_name: &str, why: String) -> Error {
    Error::Contents { source_name: source_name.to_owned(), why }
}

/// Collects the manifest files. A named file may have any extension.
fn collect(path: &Path, is_named: bool, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(failed("reading", path))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(failed("reading", path))? {
            let entry = entry.map_err(failed("reading", path))?;
            // For example .git.
            if !entry.file_name().to_string_lossy().starts_with('.') {
                collect(&entry.path(), false, files)?;
            }
        }
    } else if is_named || path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
        files.push(path.to_owned());
    }
    Ok(())
}

/// The records among the documents of a text.
fn records(source: &str, text: &str) -> Result<Vec<RecordManifest>, Error> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| contents(source, format!("it is not YAML: {error}")))?;
    let mut found = Vec::new();
    for document in &documents {
        record(source, document, &mut found)?;
    }
    Ok(found)
}

fn record(source: &str, document: &Value, found: &mut Vec<RecordManifest>) -> Result<(), Error> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_ours = text("apiVersion").split('/').next() == Some(GROUP);
    match text("kind") {
        "List" | "ProvisionedResourceList" => {
            let items = document.get("items").and_then(Value::as_array);
            items.into_iter().flatten().try_for_each(|item| record(source, item, found))
        }
        "ProvisionedResource" if is_ours => {
            let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let wrong = |why: String| contents(source, format!("ProvisionedResource {name:?}: {why}"));
            let record = ProvisionedResource::deserialize(document).map_err(|error| wrong(error.to_string()))?;
            let spec = record.spec;
            let format = spec.resource.kind.id_format();
            if !format.admits(&spec.resource.id) {
                return Err(wrong(format!(
                    "the id of a {} {}, not {:?}",
                    spec.resource.kind,
                    format.says(),
                    spec.resource.id
                )));
            }
            found.push(RecordManifest { file: source.to_owned(), name, spec });
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "
apiVersion: arcadia.cloud/v1alpha1
kind: ProvisionedResource
metadata: {name: web-1}
spec:
  resource: {kind: Droplet, id: '3164444'}
  desired: {size_slug: s-2vcpu-4gb}
";

    #[test]
    fn records_are_found_among_other_objects_and_in_lists() {
        let other = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
        let list = format!("---\napiVersion: v1\nkind: List\nitems:\n- {}", RECORD.trim().replace('\n', "\n  "));
        let found = records("f.yaml", &format!("{RECORD}{other}{list}\n")).unwrap();
        let names: Vec<_> = found.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(names, ["web-1", "web-1"]);
        assert_eq!(records("f.yaml", "").unwrap().len(), 0);
    }

    #[test]
    fn a_mistake_names_the_file_and_the_record() {
        for (from, to, wanted) in [
            ("Droplet", "Dropplet", "did you mean Droplet"),
            ("'3164444'", "web-1", "must be digits"),
            ("desired", "desred", "missing field"),
        ] {
            let error = records("f.yaml", &RECORD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains("f.yaml") && error.contains("web-1") && error.contains(wanted), "{error}");
        }
        assert!(records("f.yaml", "a: [").unwrap_err().to_string().contains("f.yaml"));
    }

    #[tokio::test]
    async fn a_folder_is_read_with_the_folders_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        fs::create_dir_all(path(".git")).unwrap();
        for name in ["one.yaml", "a/b/two.yml", ".git/three.yaml", "four.txt"] {
            fs::write(path(name), RECORD).unwrap();
        }
        assert_eq!(read(folder.path()).await.unwrap().len(), 2);
        assert_eq!(read(&path("four.txt")).await.unwrap().len(), 1);
        assert!(read(&path("missing")).await.unwrap_err().to_string().contains("missing"));
    }
}
