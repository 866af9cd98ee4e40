//! Records as files: one per record, and a kustomization that lists them.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde_json::{Value, json};

use crate::cli::{Error, drift::text, files::failed, output, text::note};

/// The name of a kustomization.
const KUSTOMIZATION: &str = "kustomization.yaml";
/// The first line of a kustomization that this command may overwrite.
const OURS: &str = "# Written by kubectl arcadia import. Remove this line to keep your own changes.\n";

/// Writes the records, and returns how many files are new. An existing file is never changed.
pub(super) fn write(folder: &Path, records: &[Value]) -> Result<usize, Error> {
    fs::create_dir_all(folder).map_err(failed("creating", folder))?;
    let mut written = 0;
    for record in records {
        let name = text(record, "/metadata/name").unwrap_or_default();
        let path = folder.join(format!("{name}.yaml"));
        match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                let yaml = output::yaml(record)?;
                io::Write::write_all(&mut file, yaml.as_bytes()).map_err(failed("writing", &path))?;
                written += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("writing", &path)(error)),
        }
    }
    kustomization(folder)?;
    Ok(written)
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

    #[test]
    fn files_that_exist_and_lists_that_people_keep_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let record = |name: &str| json!({ "kind": "ProvisionedResource", "metadata": { "name": name } });
        assert_eq!(write(folder.path(), &[record("b")]).unwrap(), 1);
        fs::write(folder.path().join("b.yaml"), "edited").unwrap();
        assert_eq!(write(folder.path(), &[record("a"), record("b")]).unwrap(), 1);
        assert_eq!(read("b.yaml"), "edited");
        assert!(read(KUSTOMIZATION).contains("- a.yaml\n") && read(KUSTOMIZATION).contains("- b.yaml\n"));
        fs::write(folder.path().join(KUSTOMIZATION), "resources: []\n").unwrap();
        write(folder.path(), &[record("c")]).unwrap();
        assert_eq!(read(KUSTOMIZATION), "resources: []\n");
    }
}
