//! Commands that need no cluster: export of the account as manifests, and comparison of manifests with the account.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use arcadia_operator::digitalocean::Kind;
use digitalocean_simulator::{Control, Effect, Fault, Options, RateLimits, Simulator};
use serde_json::{Value, json};

use crate::{
    places::{id, named, places, put_parents},
    program::Arcadia,
    world::{World, eventually},
};

/// The token that no output may contain.
const TOKEN: &str = "dop_v1_never_to_be_printed";

/// An account with a resource of every kind.
struct Account {
    cloud: Control,
    arcadia: Arcadia,
    folder: tempfile::TempDir,
    _simulator: Simulator,
}

impl Account {
    async fn new() -> Self {
        let fleet = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/simulator/fleets/demo.json");
        let options = Options { token: Some(TOKEN.to_owned()), load: Some(fleet), ..Options::default() };
        let simulator = Simulator::start(options).await.unwrap();
        let cloud = simulator.control();
        fill(&cloud).await;
        let arcadia = Arcadia::new().with_cloud(&simulator.url(), TOKEN);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("empty")).unwrap();
        Self { cloud, arcadia, folder, _simulator: simulator }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Records the whole account in a folder.
    async fn imported(&self) -> String {
        let records = self.path("records");
        self.arcadia.expect(0, &["import", "--folder", &records]).await;
        records
    }
}

/// Puts a resource of every kind into a cloud.
async fn fill(cloud: &Control) {
    for (collection, document) in further() {
        cloud.put(collection, document).await.unwrap();
    }
    let places = places();
    put_parents(cloud, &places).await;
    let there = cloud.inventory().await.unwrap();
    for kind in Kind::all() {
        let (collection, document) = named(&places[kind.name()], &id(kind, 1));
        if there.get(&collection).is_none() {
            cloud.put(&collection, document).await.unwrap();
        }
    }
}

/// Kinds that the demo's fleet lacks. Kinds that are missing here get a resource from the simulator's template.
fn further() -> Vec<(&'static str, Value)> {
    vec![
        ("account/keys", json!({ "name": "jane", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ jane" })),
        ("certificates", json!({ "name": "web", "type": "lets_encrypt", "dns_names": ["example.com"] })),
        ("cdn/endpoints", json!({ "origin": "static.nyc3.digitaloceanspaces.com", "ttl": 3600 })),
        (
            "snapshots",
            json!({ "name": "before", "resource_type": "droplet", "resource_id": "3164444", "regions": ["nyc3"] }),
        ),
        ("images", json!({ "name": "golden", "type": "custom", "distribution": "Debian", "regions": ["nyc3"] })),
        (
            "projects",
            json!({ "name": "shop", "description": "The shop", "purpose": "Web Application", "environment": "Production" }),
        ),
        (
            "kubernetes/clusters",
            json!({ "name": "prod", "region": "nyc1", "version": "1.34.1-do.0",
            "node_pools": [{ "name": "workers", "size": "s-2vcpu-4gb", "count": 2 }] }),
        ),
        (
            "apps",
            json!({ "spec": { "name": "shop", "services": [{ "name": "web", "instance_count": 1,
            "envs": [{ "key": "TOKEN", "value": "CANARY", "type": "SECRET" }] }] } }),
        ),
        ("registries", json!({ "name": "images", "region": "nyc3" })),
        (
            "uptime/checks",
            json!({ "name": "web", "type": "https", "target": "https://example.com", "regions": ["us_east"] }),
        ),
        (
            "monitoring/alerts",
            json!({ "description": "CPU", "type": "v1/insights/droplet/cpu", "compare": "GreaterThan",
            "value": 80, "window": "5m", "entities": [], "tags": ["web"], "enabled": true,
            "alerts": { "email": ["ops@example.com"], "slack": [] } }),
        ),
        ("vpc_peerings", json!({ "name": "peer", "vpc_ids": ["760e09ef-dc84-11e8-981e-3cfdfeaae000"] })),
        (
            "vpc_nat_gateways",
            json!({ "name": "nat", "type": "PUBLIC", "region": "nyc3", "size": 1,
            "vpcs": [{ "vpc_uuid": "760e09ef-dc84-11e8-981e-3cfdfeaae000" }] }),
        ),
    ]
}

#[tokio::test]
async fn imported_records_are_in_sync_for_every_kind() {
    let account = Account::new().await;
    let records = account.imported().await;
    let mut kinds: Vec<String> = Vec::new();
    let mut text = String::new();
    for entry in fs::read_dir(&records).unwrap() {
        let manifest = fs::read_to_string(entry.unwrap().path()).unwrap();
        kinds.extend(manifest.lines().filter_map(|line| line.trim().strip_prefix("kind: ")).map(str::to_owned));
        text += &manifest;
    }
    kinds.sort();
    kinds.dedup();
    let all = Kind::all().filter(|kind| !kind.is_shown_in_parent()).map(Kind::name);
    let missing: Vec<_> = all.filter(|kind| !kinds.iter().any(|found| found == kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!text.contains("CANARY"), "a secret was recorded");

    let verified = account.arcadia.expect(0, &["verify", "-f", &records]).await;
    assert!(verified.contains("0 with drift."), "{verified}");
    // Lists, with one page of each kind: no call per resource.
    account.cloud.reset_requests().await.unwrap();
    account.arcadia.expect(0, &["import", "--kind", "Droplet"]).await;
    let requests = account.cloud.requests().await.unwrap();
    assert_eq!(requests.count("GET /v2/droplets/3164444"), 0, "{requests:?}");
    assert_eq!(requests.mutating(), 0);
}

#[tokio::test]
async fn what_is_imported_into_a_cluster_is_in_sync_for_every_kind() {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator("kubectl-kinds", limits).await;
    fill(&world.cloud).await;
    let arcadia =
        Arcadia::new().with_cluster(world.namespace.kubeconfig()).with_cloud(&world.cloud_url(), crate::world::TOKEN);
    arcadia.says(0, &["import", "--apply"]).await;
    // The node pools were recorded with their cluster, and can be recorded by themselves too.
    arcadia.says(0, &["import", "--apply", "--kind", "KubernetesNodePool"]).await;
    world.start_operator(&["--sync-schedule", "2s"]);
    let path = "jsonpath={range .items[*]}{.spec.resource.kind} {.status.conditions[?(@.type==\"InSync\")].status} \
                {.status.conditions[?(@.type==\"InSync\")].message}{\"\\n\"}{end}";
    eventually("all records in sync", || async {
        let all = world.run(&["get", "pr", "-o", path]).await;
        let others: Vec<_> =
            all.lines().filter(|line| line.split(' ').nth(1) != Some("True")).map(str::to_owned).collect();
        if others.is_empty() { Ok(()) } else { Err(others) }
    })
    .await;
    let recorded = world.run(&["get", "pr", "-o", path]).await;
    let is_recorded = |kind: &&str| recorded.lines().any(|line| line.split(' ').next() == Some(kind));
    let missing: Vec<_> = Kind::all().map(Kind::name).filter(|kind| !is_recorded(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(world.run(&["get", "drifts"]).await, "");
    let unrecorded = arcadia.expect(0, &["unrecorded"]).await;
    assert!(unrecorded.contains("Every resource is recorded."), "{unrecorded}");
}

#[tokio::test]
async fn an_import_can_be_repeated_and_narrowed() {
    let account = Account::new().await;
    let records = account.path("records");
    let import = ["import", "--folder", &records, "--kind", "Droplet", "--name", "web-*", "--tag", "prod"];
    let said = account.arcadia.says(0, &import).await;
    assert!(said.contains("2 records written."), "{said}");
    let again = account.arcadia.says(0, &import).await;
    assert!(again.contains("0 records written, 2 recorded already."), "{again}");
    account.cloud.put("droplets", json!({ "id": 5, "name": "pool-1", "tags": ["k8s", "k8s:worker"] })).await.unwrap();
    let rest = account.arcadia.says(0, &["import", "--folder", &records, "--kind", "Droplet"]).await;
    assert!(rest.contains("2 records written, 2 recorded already, 1 made by Kubernetes"), "{rest}");
    let one = account.arcadia.expect(0, &["import", "Droplet/3164444", "--fields", "size_slug,tags"]).await;
    let wanted = "---\napiVersion: arcadia.cloud/v1alpha1\nkind: ProvisionedResource\n";
    assert!(one.starts_with(wanted) && one.contains("size_slug: s-2vcpu-4gb") && !one.contains("region"), "{one}");
    let none = account.arcadia.says(0, &["import", "--kind", "Droplet", "--region", "nyc33"]).await;
    assert!(none.contains("0 records written, the flags match none of 5 resources."), "{none}");
    let missing = account.arcadia.says(2, &["import", "Droplet/99"]).await;
    assert!(missing.contains("Droplet 99 is not in the account"), "{missing}");
}

#[tokio::test]
async fn an_interrupted_import_is_resumed_within_the_rate_limits() {
    let account = Account::new().await;
    let records = account.path("records");
    let slow = Effect::Latency { milliseconds: 60_000 };
    account.cloud.inject(Fault::new("/v2/vpcs", slow)).await.unwrap();
    let import = ["import", "--folder", &records];
    let mut command = account.arcadia.command(&import);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Each kind is written when its lists are complete.
    let written = |start: &str| {
        let entries = fs::read_dir(&records).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with(start)).count()
    };
    eventually("the droplets", || async { if written("droplet-") == 4 { Ok(()) } else { Err("none yet") } }).await;
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert_eq!((written("vpc-"), written("kustomization")), (0, 0));

    account.cloud.clear_faults().await.unwrap();
    let pause = Effect::Status { status: 429, retry_after: Some(1), html: false };
    account.cloud.inject(Fault::new("/v2/volumes", pause).times(1)).await.unwrap();
    let said = account.arcadia.says(0, &import).await;
    assert!(said.contains("recorded already"), "{said}");
    assert_eq!((written("vpc-"), written("kustomization")), (1, 1));
    account.arcadia.expect(0, &["verify", "-f", &records]).await;
    let again = account.arcadia.says(0, &import).await;
    assert!(again.contains("0 records written"), "{again}");
}

#[tokio::test]
async fn a_token_without_scopes_is_named_with_the_missing_ones() {
    let account = Account::new().await;
    let refusal = || Effect::Status { status: 403, retry_after: None, html: false };
    account.cloud.inject(Fault::new("/v2/volumes", refusal())).await.unwrap();
    let part = account.arcadia.run(&["import", "--folder", &account.path("part")]).await;
    assert_eq!(part.code, 2, "{part:?}");
    assert!(part.errors.contains("block_storage:read") && part.errors.contains("records written"), "{part:?}");
    account.cloud.inject(Fault::new("/v2/*", refusal())).await.unwrap();
    for arguments in [&["import"][..], &["unrecorded", "-f", &account.path("empty")]] {
        let said = account.arcadia.says(2, arguments).await;
        assert!(said.contains("more lists failed") && said.lines().count() == 1, "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn verify_finds_changes_and_distinguishes_drift_from_failure() {
    let account = Account::new().await;
    let records = account.imported().await;
    account.cloud.change("droplets", "3164444", json!({ "size_slug": "s-4vcpu-8gb" })).await.unwrap();
    account.cloud.delete("volumes", "3d80cb72-342b-4aaa-b92e-4e4abb24a933").await.unwrap();
    let table = account.arcadia.expect(1, &["verify", "-f", &records]).await;
    assert!(table.contains("s-2vcpu-4gb -> s-4vcpu-8gb") && table.contains("true -> false"), "{table}");
    assert!(table.contains("2 with drift."), "{table}");
    let json = account.arcadia.expect(1, &["verify", "-f", &records, "-o", "json", "--kind", "Droplet"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    let fields = json["records"].as_array().unwrap().iter().flat_map(|record| record["fields"].as_array().unwrap());
    let drift: Vec<_> = fields.filter(|field| field["verdict"] == "Drift").collect();
    assert_eq!(drift.len(), 1, "{json}");
    assert_eq!((&drift[0]["field"], &drift[0]["actual"]), (&json!("size_slug"), &json!("s-4vcpu-8gb")));
    let junit = account.arcadia.expect(1, &["verify", "-f", &records, "-o", "junit"]).await;
    assert!(junit.contains(r#"<failure message="s-2vcpu-4gb -&gt; s-4vcpu-8gb" type="drift">"#), "{junit}");

    // A list that cannot be read is neither a drift nor in sync.
    account.cloud.change("droplets", "3164444", json!({ "size_slug": "s-2vcpu-4gb" })).await.unwrap();
    let volumes = fs::read_dir(&records).unwrap().map(|entry| entry.unwrap().path());
    for volume in volumes.filter(|path| path.display().to_string().contains("volume-scratch")) {
        fs::remove_file(volume).unwrap();
    }
    let refusal = Effect::Status { status: 403, retry_after: None, html: false };
    account.cloud.inject(Fault::new("/v2/droplets", refusal)).await.unwrap();
    let ran = account.arcadia.run(&["verify", "-f", &records]).await;
    assert_eq!(ran.code, 2, "{}\n{}", ran.out, ran.errors);
    assert!(ran.errors.contains("droplet:read") && ran.out.contains("unknown"), "{}\n{}", ran.out, ran.errors);
}

#[tokio::test]
async fn new_unrecorded_resources_are_listed() {
    let account = Account::new().await;
    let records = account.path("records");
    account.arcadia.expect(0, &["import", "--folder", &records, "--kind", "Droplet"]).await;
    let baseline = account.path("known.txt");
    let unrecorded = ["unrecorded", "-f", &records, "--baseline", &baseline];
    account.arcadia.expect(0, &[&unrecorded[..], &["--write-baseline"]].concat()).await;
    let none = account.arcadia.expect(0, &unrecorded).await;
    assert!(none.contains("Every resource is recorded."), "{none}");
    account.cloud.put("droplets", json!({ "id": 7, "name": "new-1", "tags": ["web"] })).await.unwrap();
    let new = account.arcadia.expect(1, &unrecorded).await;
    assert!(new.contains("new-1") && new.contains("1 resource not recorded: 1 Droplet."), "{new}");
    let names = account.arcadia.expect(1, &[&unrecorded[..], &["-o", "name"]].concat()).await;
    assert_eq!(names, "Droplet/7\n");
    let suggested = format!("--baseline {baseline} --import --folder {records}");
    assert!(new.contains(&suggested), "{new}");

    // Kinds that are not listed stay in the baseline.
    let droplets = [&unrecorded[..], &["--kind", "Droplet", "--write-baseline"]].concat();
    account.arcadia.expect(0, &droplets).await;
    let none = account.arcadia.expect(0, &unrecorded).await;
    assert!(none.contains("Every resource is recorded."), "{none}");
    fs::write(&baseline, "# of May\nDroplet/7\njunk\n").unwrap();
    let refused = account.arcadia.says(2, &unrecorded).await;
    assert!(refused.contains("known.txt") && refused.contains("line 3"), "{refused}");
}

#[tokio::test]
async fn a_file_of_another_resource_is_not_taken_for_a_record() {
    let account = Account::new().await;
    let records = account.path("records");
    let import = ["import", "--folder", &records, "--kind", "Domain"];
    account.arcadia.expect(0, &import).await;
    let path = format!("{records}/domain-example.com.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("id: example.com", "id: example.org")).unwrap();
    let said = account.arcadia.says(2, &import).await;
    assert!(said.contains("1 not recorded because another resource has the name"), "{said}");
    assert!(said.contains("domain-example.com.yaml does not record it; rename or delete this file"), "{said}");
}

#[tokio::test]
async fn a_sensitive_value_of_a_state_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let state = path("terraform.tfstate");
    let attributes =
        json!({ "id": "3d80cb72-342b-4aaa-b92e-4e4abb24a933", "name": "scratch", "description": "CANARY" });
    let sensitive = json!([[{ "type": "get_attr", "value": "description" }]]);
    let volume = json!({ "mode": "managed", "type": "digitalocean_volume",
        "instances": [{ "attributes": attributes, "sensitive_attributes": sensitive }] });
    let junk =
        json!({ "mode": "managed", "type": "digitalocean_droplet", "instances": [{ "attributes": { "id": "web" } }] });
    let write = |resources: &[&Value]| {
        let text = json!({ "version": 4, "resources": resources }).to_string();
        fs::write(&state, format!("\u{feff}{text}")).unwrap();
    };
    write(&[&volume]);
    let ran = Arcadia::new().run(&["import", "--from-terraform", &state]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.out.contains("CANARY") && ran.out.contains("name: scratch"), "{ran:?}");
    assert!(ran.errors.contains("Volume description: Terraform marks it as sensitive (1 resource)"), "{ran:?}");
    write(&[&volume, &junk]);
    let refused = Arcadia::new().says(2, &["import", "--from-terraform", &state]).await;
    assert!(refused.contains("Not recorded: digitalocean_droplet"), "{refused}");
    fs::write(&state, r#"{"format_version":"1.0"}"#).unwrap();
    let empty = Arcadia::new().says(0, &["import", "--from-terraform", &state]).await;
    assert!(empty.contains("0 records written."), "{empty}");
}

#[tokio::test]
async fn a_state_of_terraform_becomes_records_that_show_its_drift() {
    let account = Account::new().await;
    let (state, records) = (account.path("terraform.tfstate"), account.path("records"));
    let droplet =
        json!({ "id": "3164444", "name": "web-1", "size": "s-2vcpu-4gb", "region": "nyc3", "tags": ["web", "prod"] });
    let bucket = json!({ "mode": "managed", "type": "digitalocean_spaces_bucket", "instances": [{ "attributes": { "id": "b" } }] });
    let web = json!({ "mode": "managed", "type": "digitalocean_droplet", "instances": [{ "attributes": droplet }] });
    fs::write(&state, json!({ "version": 4, "resources": [web, bucket] }).to_string()).unwrap();
    // Without the account: no token is needed.
    let said = Arcadia::new().says(0, &["import", "--from-terraform", &state, "--folder", &records]).await;
    assert!(said.contains("1 record written.") && said.contains("digitalocean_spaces_bucket"), "{said}");
    account.arcadia.expect(0, &["verify", "-f", &records]).await;
    account.cloud.change("droplets", "3164444", json!({ "size_slug": "s-4vcpu-8gb" })).await.unwrap();
    let table = account.arcadia.expect(1, &["verify", "-f", &records]).await;
    assert!(table.contains("s-2vcpu-4gb -> s-4vcpu-8gb"), "{table}");
}

#[tokio::test]
async fn the_token_comes_from_doctl_if_the_environment_has_none() {
    let account = Account::new().await;
    let config = account.path("config.yaml");
    fs::write(&config, format!("access-token: wrong\ncontext: work\nauth-contexts:\n  work: {TOKEN}\n")).unwrap();
    let url = account
        .arcadia
        .command(&[])
        .get_envs()
        .find(|(name, _)| *name == "DIGITALOCEAN_API_URL")
        .unwrap()
        .1
        .unwrap()
        .to_owned();
    let doctl = Arcadia::new().with("DIGITALOCEAN_API_URL", url.to_str().unwrap()).with("HOME", account.path(""));
    let import = ["import", "--kind", "VPC", "--doctl-config", &config];
    let said = doctl.says(0, &import).await;
    assert!(said.contains("1 record written"), "{said}");
    let wrong = doctl.says(2, &[&import[..], &["--doctl-context", "default"]].concat()).await;
    assert!(wrong.contains("DigitalOcean does not know the token"), "{wrong}");
    let none = doctl.says(2, &import[..3]).await;
    assert!(none.contains("doctl auth init") && !none.contains(TOKEN), "{none}");
    // A flag wins over the environment.
    let said = doctl.with("DIGITALOCEAN_ACCESS_TOKEN", "dop_v1_of_another_account").says(0, &import).await;
    assert!(said.contains("1 record written"), "{said}");
}

#[tokio::test]
async fn mistakes_are_refused_with_the_next_command() {
    let account = Account::new().await;
    for (arguments, wanted) in [
        (&["verify", "-f", "/does/not/exist"][..], "/does/not/exist"),
        (&["import", "--kind", "Dropplet"], "did you mean Droplet"),
        (&["import", "Droplet/web-1"], "must be digits"),
        (&["import", "--name", "no-such-*", "-x"], "unexpected argument"),
    ] {
        let said = account.arcadia.says(2, arguments).await;
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    fs::write(account.path("empty.yaml"), "apiVersion: v1\nkind: ConfigMap\n").unwrap();
    let said = account.arcadia.says(2, &["verify", "-f", &account.path("empty.yaml")]).await;
    assert!(said.contains("kubectl arcadia import --folder"), "{said}");
}

#[tokio::test]
async fn unrecorded_resources_are_recorded_at_once() {
    let account = Account::new().await;
    let records = account.path("records");
    account.arcadia.expect(0, &["import", "--folder", &records, "--kind", "Domain"]).await;
    let goes_on = ["unrecorded", "-f", &records, "--kind", "Droplet", "--tag", "prod", "--import"];
    let printed = account.arcadia.expect(0, &goes_on).await;
    assert!(
        printed.starts_with("---\napiVersion: arcadia.cloud/v1alpha1\n") && printed.contains("size_slug:"),
        "{printed}"
    );
    let said = account.arcadia.says(0, &[&goes_on[..], &["--folder", &records]].concat()).await;
    assert!(said.contains("records written."), "{said}");
    let none = account.arcadia.expect(0, &goes_on[..7]).await;
    assert!(none.contains("Every resource is recorded."), "{none}");
    account.arcadia.expect(0, &["verify", "-f", &records]).await;
    let refused = account.arcadia.says(2, &["unrecorded", "-f", &records, "--folder", &records]).await;
    assert!(refused.contains("--import"), "{refused}");
}

#[tokio::test]
async fn the_members_of_a_project_are_selected() {
    let account = Account::new().await;
    let project = "4e1bfbc3-dc3e-41f2-a18f-1b4d7ba71679";
    account
        .cloud
        .put("projects", json!({ "id": project, "name": "blog", "purpose": "Web Application" }))
        .await
        .unwrap();
    let member = json!({ "urn": "do:droplet:3164444" });
    account.cloud.put(&format!("projects/{project}/resources"), member).await.unwrap();
    for project in ["blog", project] {
        let said = account.arcadia.says(0, &["import", "--project", project, "--folder", &account.path(project)]).await;
        assert!(said.contains("1 record written."), "{said}");
    }
    let listed = account.arcadia.expect(1, &["unrecorded", "--project", "blog", "-f", &account.path("empty")]).await;
    assert!(listed.contains("1 resource not recorded: 1 Droplet."), "{listed}");
    let wrong = account.arcadia.says(2, &["import", "--project", "blgo"]).await;
    assert!(wrong.contains(r#"there is no project "blgo", did you mean blog?"#), "{wrong}");
}
