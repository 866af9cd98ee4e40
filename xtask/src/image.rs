//! `cargo xtask image`: the container image, as an OCI layout, without a container engine.
//!
//! The image is one static program and the public certificate authorities; the same program gives the same digest.

mod layout;
mod program;

use std::fs;
use std::path::Path;

use crate::{Error, project};

/// Builds the program and writes the layout to `output`, whatever was there.
pub(crate) fn run(output: &Path) -> Result<(), Error> {
    let built = program::build()?;
    let content = fs::read(&built.path).map_err(Error::system(format!("read {}", built.path.display())))?;
    let image = layout::write(output, &content)?;
    println!("{} ({})", output.strip_prefix(project::root()).unwrap_or(output).display(), built.target);
    println!("program  {} bytes", content.len());
    println!("image    {} bytes compressed", image.compressed);
    println!("digest   {}", image.digest);
    Ok(())
}
