//! `man`: writes the manual pages.

use std::{fs, path::PathBuf};

use clap::{Args, Command};

use super::{Error, Exit, files::failed, text::note};

/// The flags of `man`.
#[derive(Clone, Debug, Args)]
pub(super) struct ManArgs {
    /// Folder for the pages, such as ~/.local/share/man/man1
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(command: Command, args: &ManArgs) -> Result<Exit, Error> {
    let folder = &args.folder;
    fs::create_dir_all(folder).map_err(failed("creating", folder))?;
    clap_mangen::generate_to(command, folder).map_err(failed("writing", folder))?;
    note(&format!("written to {}; read them with: man kubectl-arcadia", folder.display()));
    Ok(Exit::Done)
}
