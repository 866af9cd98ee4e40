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
/// The mark at the start of texts that some editors of Windows write.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// The start of an expression of a template.
const TEMPLATE: &str = "{{";

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

/// The text of a file or of standard input without a byte order mark, and the name of its source.
pub(super) async fn text_of(path: &Path) -> Result<(String, String), Error> {
    if path.as_os_str() == STDIN {
        let text = typed(|| io::read_to_string(io::stdin())).await?;
        return Ok(("standard input".to_owned(), without_mark(text)));
    }
    Ok((path.display().to_string(), text_at(path)?))
}

/// The text of a file without a byte order mark.
pub(super) fn text_at(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map(without_mark).map_err(failed("reading", path))
}

fn without_mark(text: String) -> String {
    match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// The records in one file.
pub(super) fn records_at(path: &Path) -> Result<Vec<RecordManifest>, Error> {
    records(&path.display().to_string(), &text_at(path)?)
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

/// Returns true if the name of a file has the extension of a manifest.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// Collects the manifest files. A named file may have any extension. Links to folders are followed only if they are named:
/// others may lead back.
fn collect(path: &Path, is_named: bool, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let is_link = !is_named && fs::symlink_metadata(path).map_err(failed("reading", path))?.is_symlink();
    let metadata = match fs::metadata(path) {
        Err(_) if is_link && !is_manifest(path) => return Ok(()),
        read => read.map_err(failed("reading", path))?,
    };
    if metadata.is_dir() && is_link {
        return Ok(());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(failed("reading", path))? {
            let entry = entry.map_err(failed("reading", path))?;
            // For example .git.
            if !entry.file_name().to_string_lossy().starts_with('.') {
                collect(&entry.path(), false, files)?;
            }
        }
    } else if is_named || is_manifest(path) {
        files.push(path.to_owned());
    }
    Ok(())
}

/// The settings of the YAML parser for a text. Its limits are meant for configuration files, and the records of an
/// account exceed them, so here they grow with the text. The depth and the expansion of aliases stay limited.
pub(super) fn yaml_options(text: &str) -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    if let Some(limits) = &mut options.budget {
        let bytes = text.len();
        let counts = [
            &mut limits.max_aliases,
            &mut limits.max_anchors,
            &mut limits.max_documents,
            &mut limits.max_merge_keys,
            &mut limits.max_total_scalar_bytes,
        ];
        for limit in counts {
            *limit = bytes.max(*limit);
        }
        // Empty nodes share a byte, such as the colon between them, and a collection has a start and an end.
        limits.max_nodes = bytes.saturating_mul(2).max(limits.max_nodes);
        limits.max_events = bytes.saturating_mul(4).max(limits.max_events);
        // Many records may use one anchor. `alias_limits` restricts the expansion.
        limits.enforce_alias_anchor_ratio = false;
    }
    options
}

/// The records among the documents of a text.
fn records(source: &str, text: &str) -> Result<Vec<RecordManifest>, Error> {
    let read = serde_saphyr::from_multiple_with_options(text, yaml_options(text));
    let documents: Vec<Value> = read.map_err(|error| {
        let remedy = if text.contains(TEMPLATE) {
            "; if it is a template, render it first, or exclude it: move it out of the folder, or name the other files"
        } else {
            ""
        };
        contents(source, format!("it is not YAML: {error}{remedy}"))
    })?;
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
            let (kind, id) = (spec.resource.kind, &spec.resource.id);
            let checked = kind.id_format().check(id);
            checked.map_err(|rule| wrong(format!("the id of a {kind} {rule}, not {id:?}")))?;
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
    fn a_stream_and_a_list_may_have_the_records_of_a_large_account() {
        let stream = format!("---{RECORD}").repeat(2000);
        assert_eq!(records("f.yaml", &stream).unwrap().len(), 2000);
        // More nodes than the parser admits in a configuration file.
        let tags = "[a, b, c, d, e, f, g, h]";
        let item = format!("- {}\n", RECORD.trim().replace('\n', "\n  ").replace("s-2vcpu-4gb", tags));
        let list = format!("apiVersion: v1\nkind: List\nitems:\n{}", item.repeat(10_000));
        assert_eq!(records("f.yaml", &list).unwrap().len(), 10_000);
        let repeating = format!("---\na: &a {{b: c}}\nd: [{}]\n", "*a, ".repeat(20)).repeat(10);
        assert_eq!(records("f.yaml", &repeating).unwrap().len(), 0);
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
        let error = records("f.yaml", "a: [ {{ .Values.a }}").unwrap_err().to_string();
        assert!(error.contains("f.yaml") && error.contains("exclude it"), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_are_followed_to_files_and_not_to_folders() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one.txt"), RECORD).unwrap();
        symlink(path("one.txt"), path("link.yaml")).unwrap();
        symlink(folder.path(), path("back")).unwrap();
        symlink(path("loop"), path("loop")).unwrap();
        assert_eq!(read(folder.path()).await.unwrap().len(), 1);
        assert_eq!(read(&path("back")).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.yaml");
        fs::write(&path, format!("\u{feff}{}", RECORD.trim_start())).unwrap();
        assert_eq!(read(&path).await.unwrap().len(), 1);
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
