//! A pipeline that applies a folder of manifests repeatedly, as GitOps engines do.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use control_plane::Kubectl;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};

use crate::{Error, project};

/// The time between two rounds.
const REST: Duration = Duration::from_secs(1);

/// The folder, and the loop over it. The loop ends when this is dropped.
pub(super) struct Pipeline {
    folder: TempDir,
    rounds: Arc<AtomicUsize>,
    applying: JoinHandle<()>,
}

impl Pipeline {
    /// Starts with a copy of one file of the project.
    pub(super) fn start(kubectl: Kubectl, manifest: &str) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::system("make a folder of manifests"))?;
        fs::copy(project::root().join(manifest), copy_in(folder.path(), manifest))
            .map_err(Error::system(format!("copy {manifest}")))?;
        let rounds = Arc::new(AtomicUsize::new(0));
        let (made, path) = (rounds.clone(), folder.path().to_owned());
        let applying = tokio::spawn(async move {
            loop {
                if kubectl.run(&["apply".as_ref(), "-f".as_ref(), path.as_os_str()]).await.is_ok() {
                    made.fetch_add(1, Ordering::Relaxed);
                }
                sleep(REST).await;
            }
        });
        Ok(Self { folder, rounds, applying })
    }

    /// The number of times that the folder was applied.
    pub(super) fn rounds(&self) -> usize {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits until the folder was applied this many more times.
    pub(super) async fn applies(&self, more: usize) {
        let until = self.rounds() + more;
        while self.rounds() < until {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Replaces a text in the manifest, as a commit would.
    pub(super) fn commit(&self, manifest: &str, from: &str, to: &str) -> Result<(), Error> {
        let file = copy_in(self.folder.path(), manifest);
        let text = fs::read_to_string(&file).map_err(Error::system("read the manifest"))?;
        fs::write(&file, text.replace(from, to)).map_err(Error::system("write the manifest"))
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.applying.abort();
    }
}

fn copy_in(folder: &Path, manifest: &str) -> PathBuf {
    folder.join(Path::new(manifest).file_name().unwrap_or_default())
}
