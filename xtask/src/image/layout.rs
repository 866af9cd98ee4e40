//! The OCI layout: one layer, its configuration, a manifest and the index that names it.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::Path,
};

use flate2::{Compression, GzBuilder};
use oci_spec::{
    OciSpecError,
    image::{
        ANNOTATION_REF_NAME, Arch, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder,
        ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder,
        Sha256Digest,
    },
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// An unprivileged user and group, as in the pod's security context.
const USER: &str = "65532:65532";
const PROGRAM: &str = "arcadia-operator";
/// The path of certificate authorities that TLS reads.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The written image.
pub(super) struct Image {
    /// The size of a pull, in bytes.
    pub(super) compressed: u64,
    pub(super) digest: String,
}

/// Writes the layout to `folder`.
pub(super) fn write(folder: &Path, program: &[u8]) -> Result<Image, Error> {
    let layer = layer(program).map_err(Error::system("write the layer"))?;
    let compressed = compress(&layer).map_err(Error::system("compress the layer"))?;
    clear(folder).map_err(Error::system(format!("make room in {}", folder.display())))?;
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(Error::system(format!("create {}", blobs.display())))?;

    let config = ConfigBuilder::default()
        .user(USER)
        .entrypoint([format!("/{PROGRAM}")])
        .working_dir("/")
        .stop_signal("SIGTERM")
        .exposed_ports(["8080/tcp".to_owned()])
        .build()?;
    let root = RootFsBuilder::default().typ("layers").diff_ids([format!("sha256:{}", sha256(&layer))]).build()?;
    let config = ImageConfigurationBuilder::default()
        .architecture(Arch::default())
        .os(Os::Linux)
        .config(config)
        .rootfs(root)
        .build()?;
    let config = blob(&blobs, MediaType::ImageConfig, &json(&config)?)?;
    let layer = blob(&blobs, MediaType::ImageLayerGzip, &compressed)?;
    let mut pulled = config.size() + layer.size();
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers([layer])
        .build()?;
    let manifest = blob(&blobs, MediaType::ImageManifest, &json(&manifest)?)?;
    pulled += manifest.size();
    let digest = manifest.digest().to_string();

    let manifest = DescriptorBuilder::default()
        .media_type(MediaType::ImageManifest)
        .digest(manifest.digest().clone())
        .size(manifest.size())
        .platform(PlatformBuilder::default().architecture(Arch::default()).os(Os::Linux).build()?)
        // A single entry, since the map has no order.
        .annotations(HashMap::from([(ANNOTATION_REF_NAME.to_owned(), env!("CARGO_PKG_VERSION").to_owned())]))
        .build()?;
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests([manifest])
        .build()?;
    save(&folder.join("index.json"), &json(&index)?)?;
    let version = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    save(&folder.join("oci-layout"), &json(&version)?)?;
    Ok(Image { compressed: pulled, digest })
}

/// Removes an earlier layout, and nothing else.
fn clear(folder: &Path) -> io::Result<()> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(true) => Ok(()),
        Ok(false) if folder.join("oci-layout").is_file() => fs::remove_dir_all(folder),
        Ok(false) => Err(io::Error::other("it holds something that is no image")),
        Err(error) => Err(error),
    }
}

/// The root file system. Root owns it, so that the program cannot change itself. It contains no times.
fn layer(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, PROGRAM, 0o555, tar::EntryType::Regular, program)?;
    for folder in ["etc/", "etc/ssl/", "etc/ssl/certs/"] {
        append(&mut layer, folder, 0o755, tar::EntryType::Directory, &[])?;
    }
    append(&mut layer, AUTHORITIES, 0o444, tar::EntryType::Regular, authorities().as_bytes())?;
    layer.into_inner()
}

fn append(
    layer: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    kind: tar::EntryType,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len().try_into().map_err(io::Error::other)?);
    layer.append_data(&mut header, path, content)
}

/// Mozilla's authorities, from a crate: this machine may trust an authority that no image should trust.
fn authorities() -> String {
    let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    certificates.map(|der| pem::encode_config(&pem::Pem::new("CERTIFICATE", der.as_ref()), config)).collect()
}

fn compress(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(OciSpecError::from).map_err(Error::from)
}

fn blob(blobs: &Path, media_type: MediaType, content: &[u8]) -> Result<Descriptor, Error> {
    let digest = sha256(content);
    save(&blobs.join(&digest), content)?;
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    Ok(Descriptor::new(media_type, size, digest.parse::<Sha256Digest>()?))
}

fn save(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content).map_err(Error::system(format!("write {}", path.display())))
}

fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_program_gives_the_same_image() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), b"program").unwrap();
        let again = write(folder.path(), b"program").unwrap();
        let other = write(folder.path(), b"another").unwrap();

        assert_eq!(first.digest, again.digest);
        assert_ne!(first.digest, other.digest);
    }

    #[test]
    fn a_folder_with_other_content_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes"), "mine").unwrap();

        let refused = write(folder.path(), b"program").err().unwrap();

        assert!(refused.to_string().contains("it holds something that is no image"), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join("notes")).unwrap(), "mine");
    }
}
