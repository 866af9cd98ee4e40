//! Records as files: one per record, and a kustomization that lists them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::stored::Stored;
use crate::{
    cli::{
        Error,
        drift::text,
        files::{self, RecordManifest, failed},
        output,
        text::{count, note},
    },
    digitalocean::ResourceKey,
    drift::shown::first,
};

/// The names that a kustomization may have, that of a new one first.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// The number of files that a note lists.
const LISTED: usize = 5;
/// The first line of a kustomization that this command may overwrite.
const OURS: &str = "# Written by kubectl arcadia import. Remove this line to keep your own changes.\n";

/// The start of the name of a file that is not complete.
const PARTIAL: &str = ".partial-";

/// A folder for records.
pub(super) struct Folder {
    path: PathBuf,
    /// The names of the files that were written.
    written: BTreeSet<String>,
}

impl Folder {
    /// Creates the folder, if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(failed("creating", path))?;
        Ok(Self { path: path.to_owned(), written: BTreeSet::new() })
    }

    /// Writes the record of a resource. An existing file is never changed. A file is complete or does not exist, so that
    /// an interrupted import can be repeated.
    pub(super) fn write(&mut self, record: &Value, key: &ResourceKey) -> Result<Stored, Error> {
        let name = text(record, "/metadata/name").unwrap_or_default();
        let file = format!("{name}.yaml");
        let path = self.path.join(&file);
        if path.try_exists().map_err(failed("reading", &path))? {
            let is_known = records_of(&path).iter().any(|record| record.key() == *key);
            let path = path.display();
            let taken = || Stored::NameTaken(format!("{key}: {path} does not record it; rename or delete this file"));
            return Ok(if is_known { Stored::Known } else { taken() });
        }
        let partial = self.path.join(format!("{PARTIAL}{name}"));
        fs::write(&partial, output::yaml(record)?).map_err(failed("writing", &partial))?;
        fs::rename(&partial, &path).map_err(failed("writing", &path))?;
        self.written.insert(file);
        Ok(Stored::New)
    }

    /// Lists the files with records in the kustomization, unless a user maintains it.
    pub(super) fn list(&self) -> Result<(), Error> {
        let (path, before) = self.kustomization();
        let files = self.files()?;
        if let Some(text) = before.filter(|text| !text.starts_with(OURS)) {
            let missing: Vec<&String> = files.iter().filter(|file| !names(&text, file)).collect();
            if !missing.is_empty() {
                note(&format!(
                    "{} is not generated: add {} to its resources: {}",
                    path.display(),
                    count(missing.len(), "file"),
                    first(&missing, LISTED, ", ")
                ));
            }
            return Ok(());
        }
        let kustomization =
            json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": files });
        fs::write(&path, format!("{OURS}{}", output::yaml(&kustomization)?)).map_err(failed("writing", &path))
    }

    /// The path of the kustomization, and its text if it exists.
    fn kustomization(&self) -> (PathBuf, Option<String>) {
        let [usual, ..] = KUSTOMIZATIONS;
        let mut paths = KUSTOMIZATIONS.into_iter().map(|name| self.path.join(name));
        let found = paths.find_map(|path| fs::read_to_string(&path).ok().map(|text| (path, Some(text))));
        found.unwrap_or_else(|| (self.path.join(usual), None))
    }

    /// The names of the files that contain records. Hidden files are ignored.
    fn files(&self) -> Result<BTreeSet<String>, Error> {
        let mut files = self.written.clone();
        for entry in fs::read_dir(&self.path).map_err(failed("reading", &self.path))? {
            let entry = entry.map_err(failed("reading", &self.path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_candidate = !name.starts_with('.') && !KUSTOMIZATIONS.contains(&name.as_str());
            let is_new = files::is_manifest(Path::new(&name)) && !files.contains(&name);
            if is_candidate && is_new && !records_of(&entry.path()).is_empty() {
                files.insert(name);
            }
        }
        Ok(files)
    }
}

/// Returns true if a kustomization names a file.
fn names(kustomization: &str, file: &str) -> bool {
    let mut words = kustomization.split(|sign: char| sign.is_whitespace() || "\"'[],".contains(sign));
    words.any(|word| word.trim_start_matches("./") == file)
}

/// The records in a file; none if it cannot be read as records.
fn records_of(path: &Path) -> Vec<RecordManifest> {
    files::records_at(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digitalocean::Kind;

    /// Writes a record of the droplet 1.
    fn put(folder: &mut Folder, name: &str) -> Stored {
        let key = ResourceKey::new(Kind::named("Droplet").unwrap(), "1");
        let record = json!({ "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "metadata": { "name": name },
            "spec": { "resource": { "kind": "Droplet", "id": "1" }, "desired": { "name": "web-1" } } });
        folder.write(&record, &key).unwrap()
    }

    fn write(folder: &Path, names: &[&str]) -> usize {
        let mut folder = Folder::open(folder).unwrap();
        let written = names.iter().filter(|name| put(&mut folder, name) == Stored::New).count();
        folder.list().unwrap();
        written
    }

    #[test]
    fn a_file_of_another_resource_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &["a", "b"]);
        let path = folder.path().join("b.yaml");
        let other = fs::read_to_string(&path).unwrap().replace("id: '1'", "id: '2'").replace("id: \"1\"", "id: \"2\"");
        fs::write(&path, other).unwrap();
        let mut again = Folder::open(folder.path()).unwrap();
        assert_eq!(put(&mut again, "a"), Stored::Known);
        let path = path.display();
        let taken = format!("Droplet 1: {path} does not record it; rename or delete this file");
        assert_eq!(put(&mut again, "b"), Stored::NameTaken(taken));
    }

    #[test]
    fn a_kustomization_names_whole_files() {
        let text = "resources:\n- ./web-a.yaml\n- 'b.yaml'\n";
        assert!(names(text, "web-a.yaml") && names(text, "b.yaml") && !names(text, "a.yaml"));
    }

    #[test]
    fn a_folder_has_one_kustomization_which_lists_records() {
        for name in KUSTOMIZATIONS {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::write(path(name), OURS).unwrap();
            fs::write(path(".hidden.yaml"), "a: b\n").unwrap();
            fs::write(path("values.yaml"), "a: b\n").unwrap();
            write(folder.path(), &["a"]);
            fs::rename(path("a.yaml"), path("mine.yml")).unwrap();
            write(folder.path(), &["b"]);
            let text = fs::read_to_string(path(name)).unwrap();
            assert!(text.ends_with("resources:\n- b.yaml\n- mine.yml\n"), "{text}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "{name}");
        }
    }

    #[test]
    fn files_that_exist_and_lists_that_people_keep_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let [kustomization, ..] = KUSTOMIZATIONS;
        assert_eq!(write(folder.path(), &["b"]), 1);
        let edited = format!("# edited\n{}", read("b.yaml"));
        fs::write(folder.path().join("b.yaml"), &edited).unwrap();
        // The rest of an interrupted import.
        fs::write(folder.path().join(".partial-a"), "kind: Prov").unwrap();
        assert_eq!(write(folder.path(), &["a", "b"]), 1);
        assert_eq!(read("b.yaml"), edited);
        assert!(read("a.yaml").contains("kind: ProvisionedResource"));
        assert!(!folder.path().join(".partial-a").exists());
        assert!(read(kustomization).contains("- a.yaml\n") && read(kustomization).contains("- b.yaml\n"));
        fs::write(folder.path().join(kustomization), "resources: []\n").unwrap();
        write(folder.path(), &["c"]);
        assert_eq!(read(kustomization), "resources: []\n");
    }
}
