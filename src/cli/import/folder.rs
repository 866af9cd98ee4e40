//! Records as files: one per record, and a kustomization that lists them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::cli::{Error, drift::text, files::failed, output, text::note};

/// The name of a kustomization.
const KUSTOMIZATION: &str = "kustomization.yaml";
/// The first line of a kustomization that this command may overwrite.
const OURS: &str = "# Written by kubectl arcadia import. Remove this line to keep your own changes.\n";

/// The start of the name of a file that is not complete.
const PARTIAL: &str = ".partial-";

/// A folder for records.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates the folder, if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(failed("creating", path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes a record. Returns false if its file exists: an existing file is never changed. A file is complete or does
    /// not exist, so that an interrupted import can be repeated.
    pub(super) fn write(&self, record: &Value) -> Result<bool, Error> {
        let name = text(record, "/metadata/name").unwrap_or_default();
        let path = self.path.join(format!("{name}.yaml"));
        if path.try_exists().map_err(failed("reading", &path))? {
            return Ok(false);
        }
        let partial = self.path.join(format!("{PARTIAL}{name}"));
        fs::write(&partial, output::yaml(record)?).map_err(failed("writing", &partial))?;
        fs::rename(&partial, &path).map_err(failed("writing", &path))?;
        Ok(true)
    }

    /// Lists the files in a kustomization.
    pub(super) fn list(&self) -> Result<(), Error> {
        kustomization(&self.path)
    }
}

/// Lists all files of the folder, unless a user maintains the list.
fn kustomization(folder: &Path) -> Result<(), Error> {
    let path = folder.join(KUSTOMIZATION);
    let is_kept_by_hand = fs::read_to_string(&path).is_ok_and(|text| !text.starts_with(OURS));
    if is_kept_by_hand {
        note(&format!("{} is not generated: add the new files to it", path.display()));
        return Ok(());
    }
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(failed("reading", folder))? {
        let name = entry.map_err(failed("reading", folder))?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|ending| ending == "yaml") && name != KUSTOMIZATION {
            files.insert(name);
        }
    }
    let kustomization =
        json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": files });
    fs::write(&path, format!("{OURS}{}", output::yaml(&kustomization)?)).map_err(failed("writing", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, names: &[&str]) -> usize {
        let folder = Folder::open(folder).unwrap();
        let record = |name: &&str| json!({ "kind": "ProvisionedResource", "metadata": { "name": name } });
        let written = names.iter().filter(|name| folder.write(&record(name)).unwrap()).count();
        folder.list().unwrap();
        written
    }

    #[test]
    fn files_that_exist_and_lists_that_people_keep_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(write(folder.path(), &["b"]), 1);
        fs::write(folder.path().join("b.yaml"), "edited").unwrap();
        // The rest of an interrupted import.
        fs::write(folder.path().join(".partial-a"), "kind: Prov").unwrap();
        assert_eq!(write(folder.path(), &["a", "b"]), 1);
        assert_eq!(read("b.yaml"), "edited");
        assert!(read("a.yaml").contains("kind: ProvisionedResource"));
        assert!(!folder.path().join(".partial-a").exists());
        assert!(read(KUSTOMIZATION).contains("- a.yaml\n") && read(KUSTOMIZATION).contains("- b.yaml\n"));
        fs::write(folder.path().join(KUSTOMIZATION), "resources: []\n").unwrap();
        write(folder.path(), &["c"]);
        assert_eq!(read(KUSTOMIZATION), "resources: []\n");
    }
}
