//! The errors of the commands, with their remedies.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// The error of a failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),
    #[error(transparent)]
    Simulator(#[from] digitalocean_simulator::Error),
    #[error("cannot {doing}: {source}")]
    System { doing: String, source: io::Error },
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: ExitStatus },
    #[error("tests failed:\n{}", .failed.iter().map(|error| format!("  {error}")).collect::<Vec<_>>().join("\n"))]
    TestsFailed { failed: Vec<Error> },
    #[error("reading the output of `cargo metadata`: {source}")]
    NoMetadata { source: serde_json::Error },
    #[error("writing the custom resource definitions as YAML: {source}")]
    NoYaml { source: serde_saphyr::ser::Error },
    #[error("`arcadia-operator crds` printed something that is no custom resource definition: {0}")]
    NoDefinition(#[from] serde_saphyr::Error),
    #[error("finding the program {name}: cargo did not report its path")]
    NoProgram { name: String },
    #[error("the image can be built without a container engine on Linux only; elsewhere, `docker build .`")]
    NotLinux,
    #[error("the image needs a C compiler for musl: install musl-gcc, such as with `apt-get install musl-tools`")]
    NoMuslCompiler,
    #[error("cannot describe the image: {0}")]
    Image(#[from] oci_spec::OciSpecError),
    #[error("cannot read {} as an OpenAPI description: {reason}", .path.display())]
    NoDescription { path: PathBuf, reason: String },
    #[error("the description has no operation {operation:?}; correct {list}")]
    NoOperation { operation: String, list: &'static str },
    #[error("the description refers to {reference}, which is not among its components; bundle it into one file first")]
    NoComponent { reference: String },
    #[error("no drift was raised within {} s", .after.as_secs())]
    NoDrift { after: Duration },
    #[error("CHANGELOG.md has no entries under `## [Unreleased]`, so there is nothing to release")]
    NothingToRelease,
    #[error("cannot find `{text}` in {file}; correct the file, or this command")]
    NotThere { text: String, file: &'static str },
    #[error(
        "the tag {tag} is not that of version {version}, which Cargo.toml names; set that version, or delete the tag"
    )]
    OtherTag { tag: String, version: &'static str },
    #[error("{version:?} is no version such as 0.2.0")]
    NoVersion { version: String },
    #[error(
        "a release needs --url, the address of the repository, which the chart and the krew manifest name; a dry run does not"
    )]
    NoUrl,
    #[error(
        "a release needs --image, the name of the published image, which the chart and install.yaml name; a dry run does not"
    )]
    NoImage,
    #[error("the picture has {bytes} bytes, and a README loads slowly with more than {largest}; shorten the demo")]
    LargePicture { bytes: usize, largest: usize },
    #[error("the demo took {} s, more than {} s; wait until the machine is idle, or shorten it", .took.as_secs(), .longest.as_secs())]
    SlowDemo { took: Duration, longest: Duration },
    #[error(
        "the demo tells another story than {}: recorded {recorded:?}, played {played:?}; run `cargo xtask record` and \
         commit the result", .picture.display()
    )]
    OtherStory { picture: &'static std::path::Path, recorded: String, played: String },
    #[error("not up to date with the code: {}\nrun `cargo xtask generate` and commit the result", list(.files))]
    OutOfDate { files: Vec<PathBuf> },
}

impl Error {
    /// Adds the operation to the system's error.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}
