//! `cargo xtask image`: the container image, as an OCI layout, without a container engine.
//!
//! The image is one static program and the public certificate authorities; the same program gives the same digest.

mod layout;
mod program;

use std::{fs, path::Path};

use crate::{Error, project};

pub(crate) use self::program::Program;

/// Builds the program and writes the layout to `output`, replacing existing content.
pub(crate) fn run(output: &Path) -> Result<(), Error> {
    write(output, &program::operator()?)
}

/// Builds the programs of a release and writes the layout to `output`. Returns the operator and the command line of
/// users, which run on any Linux of this architecture.
pub(crate) fn with_programs(output: &Path) -> Result<[Program; 2], Error> {
    let built = [program::operator()?, program::plugin()?];
    write(output, &built[0])?;
    Ok(built)
}

fn write(output: &Path, built: &Program) -> Result<(), Error> {
    let content = fs::read(&built.path).map_err(Error::system(format!("read {}", built.path.display())))?;
    let image = layout::write(output, &content)?;
    println!("{} ({})", output.strip_prefix(project::root()).unwrap_or(output).display(), built.target);
    println!("program  {} bytes", content.len());
    println!("image    {} bytes compressed", image.compressed);
    println!("digest   {}", image.digest);
    Ok(())
}
