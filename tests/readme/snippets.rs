//! Executes the blocks of documents that need no open drift: records, backups, the simulator and overlays.

use std::{fs, process::Command};

use control_plane::{ControlPlane, find};
use digitalocean_simulator::{Options, Simulator};
use tokio::runtime::Runtime;

use crate::{
    document::{block, blocks, read, root, script},
    shell::Shell,
    skip::skip,
    stage::Stage,
};

const INSTALL: &str = "docs/install.md";
const OPERATE: &str = "docs/operate.md";
const SIMULATOR: &str = "tests/simulator/README.md";
/// The address in the README of the simulator.
const ADDRESS: &str = "localhost:8089";
/// The shell's doctl, because the real one needs an account.
const DOCTL: &str = r#"doctl() { curl -sS -H "Authorization: Bearer demo" "$SIMULATOR/v2/droplets" | jq .droplets; }"#;
const NAMES: &str = "kubectl get pr -o name --sort-by=.metadata.name";

#[test]
fn records_are_written_with_doctl_backed_up_and_restored() {
    if Command::new("jq").arg("--version").output().is_err() {
        return skip("jq is missing, which the commands of a backup need");
    }
    let runtime = Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start("backup"));
    let mut shell = Shell::start(&stage);
    let folder = tempfile::tempdir().unwrap();
    shell.succeed(&format!("cd {}", folder.path().display()));
    shell.succeed(DOCTL);
    shell.succeed(&script(INSTALL, "doctl compute").replace("NAMESPACE", stage.namespace.name()));
    shell.succeed("kubectl wait --for=condition=InSync pr --all");
    let names = shell.succeed(NAMES);
    assert!(names.contains("provisionedresource.arcadia.cloud/droplet-3164444\n"), "{names}");
    let specs = "kubectl get pr --sort-by=.metadata.name -o jsonpath='{.items[*].spec}'";
    let before = shell.succeed(specs);

    // The control plane has namespaces of other tests.
    shell.succeed(&script(OPERATE, "kubectl get provisionedresources -A").replace(" -A ", " "));
    shell.succeed("kubectl delete pr --all");
    shell.succeed(&script(OPERATE, "kubectl create -f records.json"));
    shell.succeed("kubectl wait --for=condition=InSync pr --all");
    assert_eq!(shell.succeed(NAMES), names);
    assert_eq!(shell.succeed(specs), before);
}

#[test]
fn the_first_records_are_imported() {
    let runtime = Runtime::new().unwrap();
    // An import skips what other tests recorded.
    let control_plane = runtime.block_on(ControlPlane::start(control_plane::Options::default())).unwrap();
    let stage = runtime.block_on(Stage::on(&control_plane, "import"));
    let mut shell = Shell::start(&stage);
    let folder = tempfile::tempdir().unwrap();
    shell.succeed(&format!("cd {}", folder.path().display()));
    shell.succeed("export DIGITALOCEAN_API_URL=$SIMULATOR");
    let commands = block(INSTALL, "export DIGITALOCEAN_ACCESS_TOKEN");
    let (last, commands) = commands.split_last().unwrap();
    for command in commands {
        shell.succeed(&command.replace("NAMESPACE", stage.namespace.name()));
    }
    shell.succeed("kubectl wait --for=condition=InSync pr --all");
    assert_eq!(shell.succeed(NAMES).lines().filter(|line| line.contains("/droplet-")).count(), 3);
    assert!(!shell.succeed("ls records/").is_empty());
    // Other kinds are not recorded.
    let (unrecorded, every_resource_is_recorded) = shell.run(last);
    assert!(!every_resource_is_recorded && unrecorded.contains("db-data"), "{unrecorded}");
}

#[test]
fn the_simulator_answers_the_calls_of_its_readme() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inventory = folder.path().join("inventory.json");
    fs::write(&inventory, block(SIMULATOR, "{\"droplets\"").join("\n")).unwrap();
    let fleet = root().join("tests/simulator/fleets/demo.json");
    let start = |load| runtime.block_on(Simulator::start(Options { load: Some(load), ..Options::default() })).unwrap();
    let call = |simulator: &Simulator, script: &str| {
        let script = script.replace(&format!("http://{ADDRESS}"), ADDRESS);
        let script = script.replace(ADDRESS, &simulator.url().replace("http://", ""));
        let output = Command::new("sh").args(["-c", &script]).env("NO_PROXY", "127.0.0.1").output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{script}\n{printed}\n{}", String::from_utf8_lossy(&output.stderr));
        printed
    };
    let first = script(SIMULATOR, "curl -s 'localhost");
    assert!(call(&start(inventory), &first).contains("web-1"), "the inventory of the README has this droplet");
    let demo = start(fleet);
    assert!(call(&demo, &first).contains("s-2vcpu-4gb"));
    call(&demo, &script(SIMULATOR, "curl -X PATCH"));
    let calls: Vec<_> = (0..3).map(|_| call(&demo, &first)).collect();
    // The fault refuses two calls.
    let answered: Vec<_> = calls.iter().map(|answer| answer.contains("s-4vcpu-8gb")).collect();
    assert_eq!(answered, [false, false, true], "{calls:?}");
}

#[test]
fn overlays_can_be_built_from_the_kustomizations_of_the_documents() {
    let page = read("deploy/README.md");
    let kustomizations: Vec<_> = blocks(&page).into_iter().filter(|block| block.language == "yaml").collect();
    assert_eq!(kustomizations.len(), 2);
    for block in kustomizations {
        let folder = tempfile::tempdir().unwrap();
        // kustomize accepts only paths relative to the folder.
        let up = "../".repeat(folder.path().components().count() - 1);
        let here = format!("{up}{}/", root().display().to_string().trim_start_matches('/'));
        let text = block.text.join("\n").replace("URL-OF-THIS-REPOSITORY//", &here).replace("?ref=v0.1.0", "");
        fs::write(folder.path().join("kustomization.yaml"), &text).unwrap();
        let mut kubectl = Command::new(find().unwrap().kubectl);
        let built = kubectl.arg("kustomize").arg(folder.path()).output().unwrap();
        assert!(built.status.success(), "{text}\n{}", String::from_utf8_lossy(&built.stderr));
        let built = String::from_utf8(built.stdout).unwrap();
        let wanted = if text.contains("observability") {
            "https://runbooks.example.com/arcadia.md#"
        } else {
            "image: REGISTRY/arcadia-operator:"
        };
        assert!(built.contains(wanted), "{text}\nbuilds no {wanted}");
    }
}
