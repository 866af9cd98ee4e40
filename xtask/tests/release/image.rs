//! The container image of a release: its content, and the program under the restrictions of its pod.

use std::{
    fs::{self, File},
    io::Read as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use arcadia_operator::api;
use control_plane::{ControlPlane, Options, Process};
use digitalocean_simulator::Simulator;
use flate2::read::GzDecoder;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{Release, VERSION};

const NOBODY: &str = "65532";
const TOKEN: &str = "dop_v1_never_to_be_printed";
/// Mounts `$1` read-only over itself and runs the program in it. The other arguments are its environment and arguments.
const RESTRICTED: &str = r#"
set -eu
PATH="$PATH:/usr/sbin:/sbin"
root=$1 environment=$2; shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
chroot=$(command -v chroot)
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid \
  env -i $environment "$chroot" --userspec=65532:65532 --groups= "$root" /arcadia-operator "$@"
"#;

/// An OCI layout, with checked digests.
struct Image {
    folder: TempDir,
    config: ImageConfiguration,
    layer: Vec<u8>,
    compressed: u64,
}

impl Image {
    fn of(release: &Release) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("oci");
        let archive = release.named(&format!("arcadia-operator-{VERSION}-image-linux-"), ".tar");
        tar::Archive::new(File::open(archive).unwrap()).unpack(&layout).unwrap();

        assert_eq!(OciLayout::from_file(layout.join("oci-layout")).unwrap().image_layout_version(), "1.0.0");
        let index = ImageIndex::from_file(layout.join("index.json")).unwrap();
        assert_eq!(index.manifests().len(), 1);
        let named = &index.manifests()[0];
        assert_eq!(named.media_type(), &MediaType::ImageManifest);
        let manifest = ImageManifest::from_reader(blob(&layout, named).as_slice()).unwrap();
        assert_eq!(manifest.config().media_type(), &MediaType::ImageConfig);
        let config = ImageConfiguration::from_reader(blob(&layout, manifest.config()).as_slice()).unwrap();
        assert_eq!(manifest.layers().len(), 1);
        assert_eq!(manifest.layers()[0].media_type(), &MediaType::ImageLayerGzip);
        let mut layer = Vec::new();
        GzDecoder::new(blob(&layout, &manifest.layers()[0]).as_slice()).read_to_end(&mut layer).unwrap();
        let compressed = named.size() + manifest.config().size() + manifest.layers()[0].size();
        Self { folder, config, layer, compressed }
    }

    /// Unpacks the root file system, and adds the mounts of a kubelet.
    fn unpack(&self) -> PathBuf {
        let root = self.folder.path().join("root");
        let mut archive = tar::Archive::new(self.layer.as_slice());
        archive.set_preserve_permissions(true);
        archive.unpack(&root).unwrap();
        fs::write(root.join("etc/hosts"), "127.0.0.1 localhost kubernetes.default.svc\n").unwrap();
        root
    }
}

/// The content of a descriptor, with its size and digest checked.
fn blob(layout: &Path, descriptor: &Descriptor) -> Vec<u8> {
    let content = fs::read(layout.join("blobs/sha256").join(descriptor.digest().digest())).unwrap();
    assert_eq!(u64::try_from(content.len()).unwrap(), descriptor.size());
    assert_eq!(sha256(&content), descriptor.digest().to_string());
    content
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

fn holds_one_program_and_the_authorities(image: &Image) {
    println!("image: {} bytes compressed", image.compressed);
    // Without optimisation. The program of a release takes about two thirds of it.
    assert!(image.compressed < 18_000_000, "{} bytes", image.compressed);

    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.user().as_deref(), Some("65532:65532"));
    assert_eq!(config.entrypoint().as_deref(), Some(["/arcadia-operator".to_owned()].as_slice()));
    assert_eq!(config.cmd(), &None);
    assert_eq!(image.config.rootfs().diff_ids(), &[sha256(&image.layer)]);

    let mut files = Vec::new();
    for entry in tar::Archive::new(image.layer.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        files.push(format!("{:o} {}", header.mode().unwrap(), entry.path().unwrap().display()));
    }
    let wanted = [
        "555 arcadia-operator",
        "755 etc/",
        "755 etc/ssl/",
        "755 etc/ssl/certs/",
        "444 etc/ssl/certs/ca-certificates.crt",
    ];
    assert_eq!(files, wanted);
}

/// Writes a kubeconfig into the root, with a host name for the API server.
fn write_kubeconfig(control_plane: &ControlPlane, root: &Path, host: &str) -> PathBuf {
    let folder = root.join("var/run/secrets/cluster");
    fs::create_dir_all(&folder).unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(control_plane.kubeconfig()).unwrap()).unwrap();
    let cluster = &mut config["clusters"][0]["cluster"];
    fs::copy(cluster["certificate-authority"].as_str().unwrap(), folder.join("ca.crt")).unwrap();
    cluster["certificate-authority"] = json!("ca.crt");
    cluster["server"] = json!(cluster["server"].as_str().unwrap().replace("127.0.0.1", host));
    fs::write(folder.join("kubeconfig"), config.to_string()).unwrap();
    folder.join("kubeconfig")
}

/// Returns true if this user may mount and change root, as a container engine does.
fn may_restrict() -> bool {
    let tried = Command::new("unshare").args(["--mount", "setpriv", "--bounding-set=-all", "true"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

pub(super) async fn runs_as_nobody_on_a_read_only_root(release: &Release) {
    let image = Image::of(release);
    holds_one_program_and_the_authorities(&image);
    let root = image.unpack();

    let control_plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    let kubectl = control_plane.kubectl();
    kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &api::crds_as_yaml().unwrap()).await.unwrap();
    let crds = ["provisionedresources", "drifts", "sagas"].map(|plural| format!("crd/{plural}.arcadia.cloud"));
    kubectl.run(&["wait", "--for=condition=Established", &crds[0], &crds[1], &crds[2]]).await.unwrap();
    let options = digitalocean_simulator::Options { token: Some(TOKEN.to_owned()), ..Default::default() };
    let simulator = Simulator::start(options).await.unwrap();

    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let arguments = ["run", "--lease-namespace", "default", "--metrics-address", &address];
    let is_restricted = may_restrict();
    let host = if is_restricted { "kubernetes.default.svc" } else { "127.0.0.1" };
    let kubeconfig = write_kubeconfig(&control_plane, &root, host);
    let cloud = simulator.url().replace("127.0.0.1", "localhost");
    assert!(cloud.contains("localhost"), "{cloud}");
    let seen = if is_restricted { Path::new("/").join(kubeconfig.strip_prefix(&root).unwrap()) } else { kubeconfig };
    let environment = [
        format!("KUBECONFIG={}", seen.display()),
        format!("DIGITALOCEAN_API_URL={cloud}"),
        format!("DIGITALOCEAN_TOKEN={TOKEN}"),
    ];
    let mut command;
    if is_restricted {
        command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", RESTRICTED, "sh"]).arg(&root).arg(environment.join(" "));
    } else {
        println!("not root: the program runs with an empty environment, but as this user and on this file system");
        command = Command::new("env");
        command.arg("-i").args(&environment).arg(root.join("arcadia-operator"));
    }
    let log = image.folder.path().join("operator.log");
    let started = Instant::now();
    let mut operator = Process::spawn(command.args(arguments), &log).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        let answer = client.get(format!("http://{address}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            break;
        }
        assert!(operator.ended().is_none(), "it ended:\n{}", operator.log_tail(20));
        assert!(started.elapsed() < Duration::from_secs(10), "not ready:\n{}", operator.log_tail(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("image: ready after {} ms", started.elapsed().as_millis());

    if is_restricted {
        is_restricted_as_its_pod(operator.id());
    }
    let ended = operator.terminate(Duration::from_secs(5)).unwrap();
    assert!(ended.success(), "{ended:?}:\n{}", operator.log_tail(20));
    assert!(!operator.log_tail(1000).contains(TOKEN));
}

/// Reads the restrictions of the kernel.
fn is_restricted_as_its_pod(id: u32) {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let four = [NOBODY; 4].join(" ");
    assert_eq!((line("Uid:"), line("Gid:")), (four.clone(), four));
    assert_eq!(line("Groups:"), "");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
    assert_eq!(line("NoNewPrivs:"), "1");
    // The process has a separate root: no shell, and not even root could write to it.
    let root = PathBuf::from(format!("/proc/{id}/root"));
    assert!(!root.join("bin").exists());
    let refused = fs::write(root.join("file"), "").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}
