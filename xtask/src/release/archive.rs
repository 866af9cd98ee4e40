//! Reproducible archives: without times and owners, with files in order.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};
use tar::{Builder, Header};

use crate::Error;

/// Writes a compressed archive of these files, each under its name. Programs are executable.
pub(super) fn files(archive: &Path, files: &[(&str, &Path)]) -> Result<(), Error> {
    let writing = || Error::system(format!("write {}", archive.display()));
    let file = File::create(archive).map_err(writing())?;
    let mut builder = Builder::new(GzBuilder::new().mtime(0).write(file, Compression::best()));
    for (name, path) in files {
        add(&mut builder, name, path).map_err(writing())?;
    }
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(writing())?;
    Ok(())
}

/// Writes an archive of a folder, without compression: an image is already compressed.
pub(super) fn folder(archive: &Path, folder: &Path) -> Result<(), Error> {
    let writing = || Error::system(format!("write {}", archive.display()));
    let mut builder = Builder::new(File::create(archive).map_err(writing())?);
    for path in all(folder)? {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        add(&mut builder, &name, &path).map_err(writing())?;
    }
    builder.into_inner().map_err(writing())?;
    Ok(())
}

/// Copies a folder with its content.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    for path in all(from)? {
        let place = to.join(path.strip_prefix(from).unwrap_or(&path));
        let copying = || Error::system(format!("copy {}", path.display()));
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(copying())?;
        }
        fs::copy(&path, &place).map_err(copying())?;
    }
    Ok(())
}

fn add(builder: &mut Builder<impl Write>, name: &str, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let content = fs::read(path)?;
    let is_program = fs::metadata(path)?.permissions().mode() & 0o111 != 0;
    let mut header = Header::new_gnu();
    header.set_size(u64::try_from(content.len()).map_err(io::Error::other)?);
    header.set_mode(if is_program { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    builder.append_data(&mut header, name, content.as_slice())
}

/// The files of a folder and of those below it, in order.
fn all(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let reading = || Error::system(format!("read {}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        if path.is_dir() {
            files.extend(all(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
