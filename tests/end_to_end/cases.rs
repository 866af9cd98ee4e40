//! The table of cases of the comparison, end to end: each case is a resource of the cloud and a record of it.

use std::collections::{BTreeMap, HashMap};

use arcadia_operator::digitalocean::Kind;
use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::{Value, json};

use crate::{
    places::{Place, id, places, put, put_parents},
    world::{World, eventually},
};
use table::{Case, Verdict};

#[path = "../support/cases.rs"]
mod table;

/// The part of droplets that one list shows for all of them, so that its failure concerns every droplet.
const POLICIES: &str = "backup_policy";
/// The scopes that the two tokens of the last test lack. A verdict must not depend on another scope that a token lacks.
const LACKED: [&[&str]; 2] =
    [&["kubernetes:read", "database:read"], &["load_balancer:read", "ssh_key:read", "tag:read"]];

/// The expected status and reason of `InSync` for a verdict.
fn wanted(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "True NoDrift",
        Verdict::Differs => "False DriftOpen",
        Verdict::Unknown | Verdict::Unverified => "Unknown FieldsUnknown",
        Verdict::Invalid | Verdict::NoSuchField => "Unknown InvalidField",
    }
}

/// The cases of one account, by the name of their record.
struct Table<'c> {
    world: World,
    places: HashMap<String, Place>,
    cases: BTreeMap<String, &'c Case>,
    records: Vec<Value>,
}

impl<'c> Table<'c> {
    async fn of(test: &str) -> Self {
        let limits = RateLimits::HIGH;
        let world = World::without_operator(test, limits).await;
        let places = places();
        put_parents(&world.cloud, &places).await;
        Self { world, places, cases: BTreeMap::new(), records: Vec::new() }
    }

    /// Puts the resource of a case into the cloud, and its record into the next batch.
    async fn add(&mut self, number: usize, case: &'c Case) {
        let place = &self.places[case.kind.name()];
        let id = id(case.kind, number);
        let own = case.own(number, place, &id);
        put(&self.world.cloud, place, &id, &own.live).await;
        for (id, name) in own.certificates.iter().flatten() {
            self.world.cloud.put("certificates", json!({"id": id, "name": name})).await.unwrap();
        }
        for fault in own.faults(place, &id) {
            self.world.cloud.inject(fault).await.unwrap();
        }
        let mut desired = own.beside.clone();
        desired.insert(own.field.clone(), own.recorded);
        let name = format!("case-{number}");
        self.records.push(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": { "name": name },
            "spec": { "resource": { "kind": case.kind.name(), "id": id }, "desired": desired },
        }));
        self.cases.insert(name, case);
    }

    /// Creates the records of the batch.
    async fn record(&mut self) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": std::mem::take(&mut self.records) });
        self.world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    }

    /// The cases whose record has another verdict, except these.
    async fn faults(&self, without: &[String]) -> Vec<String> {
        let mut faults = Vec::new();
        for record in self.world.list("pr").await {
            let name = record["metadata"]["name"].as_str().unwrap();
            let case = self.cases[name];
            if without.iter().any(|checked| checked == name) {
                continue;
            }
            let conditions = record["status"]["conditions"].as_array().into_iter().flatten();
            let condition = conditions.into_iter().find(|it| it["type"] == "InSync").cloned().unwrap_or_default();
            let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
            let is = format!("{} {}", text("status"), text("reason"));
            let names_scope = case.scope.as_ref().is_none_or(|scope| text("message").contains(scope.as_str()));
            if is != wanted(case.verdict) || !names_scope {
                let Case { kind, field, verdict, .. } = case;
                let message = text("message");
                faults.push(format!("{name} {kind} {field}: {}: {is} ({message}), not {verdict:?}", case.name));
            }
        }
        faults
    }

    /// Waits until every record has its verdict, except these.
    async fn settle(&self, without: &[String]) {
        eventually("every case has its verdict", || async {
            let faults = self.faults(without).await;
            let all = self.cases.len();
            if faults.is_empty() { Ok(()) } else { Err(format!("{} of {all}:\n{}", faults.len(), faults.join("\n"))) }
        })
        .await;
    }

    /// The records contain user input; nothing that the operator writes may show it.
    async fn hides_credentials(&self) {
        let world = &self.world;
        let mut printed = world.log();
        printed += &world.run(&["get", "drifts,sagas,events", "-o", "json"]).await;
        printed.extend(world.list("pr").await.iter().map(|record| record["status"].to_string()));
        printed += &world.operator.as_ref().unwrap().metrics().unwrap_or_default();
        for (name, case) in &self.cases {
            for secret in &case.hidden {
                assert!(!printed.contains(secret.as_str()), "{name} {}: {secret} is printed", case.name);
            }
        }
    }
}

impl Case {
    /// The case with a separate id and separate certificates: other cases give the same ids other names.
    fn own(&self, number: usize, place: &Place, id: &str) -> Self {
        let mut own = self.clone();
        if own.live["backup_policy"].is_null() {
            // The policy comes from its own path, which returns none.
            own.live.as_object_mut().unwrap().remove("backup_policy");
        }
        if self.field == place.id.field {
            let of_cloud = own.live[&place.id.field].to_string();
            let recorded = own.recorded.to_string();
            let id = id.rsplit('/').next().unwrap();
            own.recorded = match () {
                () if recorded == of_cloud => id.into(),
                () if recorded.eq_ignore_ascii_case(&of_cloud) => id.to_uppercase().into(),
                () => own.recorded,
            };
        }
        let names = self.certificates.iter().flat_map(BTreeMap::values).map(|name| format!("\"{name}\""));
        let ids = "abcd".chars().map(|sign| format!("-{}\"", sign.to_string().repeat(12)));
        for text in names.chain(ids) {
            let new = if text.starts_with('-') {
                format!("-{number:012}\"")
            } else {
                format!("{}-{number}\"", text.trim_end_matches('"'))
            };
            let renamed = |value: &Value| serde_json::from_str(&value.to_string().replace(&text, &new)).unwrap();
            own.recorded = renamed(&own.recorded);
            own.live = renamed(&own.live);
            own.certificates = own.certificates.map(|all| serde_json::from_value(renamed(&json!(all))).unwrap());
        }
        own
    }

    /// The faults by which no response shows the unread parts.
    fn faults(&self, place: &Place, id: &str) -> Vec<Fault> {
        let parts = self.unread.keys().filter(|part| *part != POLICIES);
        let get = place.get.path.replace("{id}", id);
        let fault = |part: &String| {
            let root = part.split('.').next().unwrap().to_owned();
            if place.only_list.contains(&root) {
                return Fault::new(&place.list.path, Effect::OmitRows { ids: vec![id.to_owned()] });
            }
            let own = place.reads.iter().find(|reading| reading.into.contains_key(&root));
            let path = own.map_or(get.clone(), |reading| reading.get.path.replace("{id}", id));
            Fault::new(path, Effect::Status { status: 503, retry_after: None, html: false })
        };
        parts.map(fault).collect()
    }

    fn needs_policies(&self) -> bool {
        self.unread.contains_key(POLICIES)
    }
}

#[tokio::test]
async fn every_case_of_the_table_gets_its_verdict_and_no_credential_is_printed() {
    let cases = table::all();
    let mut table = Table::of("cases").await;
    let here = || cases.iter().enumerate().filter(|(_, case)| case.scope.is_none());
    for (number, case) in here().filter(|(_, case)| !case.needs_policies()) {
        table.add(number, case).await;
    }
    assert!(table.cases.len() >= 880, "{} cases", table.cases.len());
    table.record().await;
    table.world.start_operator(&["--sync-schedule", "2s"]);
    table.settle(&[]).await;
    table.hides_credentials().await;

    let checked: Vec<String> = table.cases.keys().cloned().collect();
    let policies =
        Fault::new("/v2/droplets/backups/policies", Effect::Status { status: 503, retry_after: None, html: false });
    table.world.cloud.inject(policies).await.unwrap();
    for (number, case) in here().filter(|(_, case)| case.needs_policies()) {
        table.add(number, case).await;
    }
    assert!(table.cases.len() > checked.len());
    table.record().await;
    table.settle(&checked).await;
}

#[tokio::test]
async fn every_case_of_a_missing_scope_gets_its_verdict() {
    let cases = table::all();
    let mut count = 0;
    for (account, scopes) in LACKED.iter().enumerate() {
        let mut table = Table::of(&format!("scopes-{account}")).await;
        let is_lacked = |case: &Case| case.scope.as_deref().is_some_and(|scope| scopes.contains(&scope));
        for (number, case) in cases.iter().enumerate().filter(|(_, case)| is_lacked(case)) {
            table.add(number, case).await;
        }
        count += table.cases.len();
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        table.world.cloud.inject(Fault::new("*", Effect::WithoutScopes { scopes })).await.unwrap();
        table.record().await;
        table.world.start_operator(&["--sync-schedule", "2s"]);
        table.settle(&[]).await;
    }
    assert_eq!(count, cases.iter().filter(|case| case.scope.is_some()).count(), "a scope is in none of the accounts");
}

#[tokio::test]
async fn a_renewed_certificate_is_the_same_and_another_one_is_drift_also_after_a_restart() {
    let kind = |name: &str| Kind::named(name).unwrap();
    let (balancer, endpoint) = (id(kind("LoadBalancer"), 1), id(kind("CDNEndpoint"), 2));
    let certificate = |name: &str, number: usize| json!({"id": id(kind("Certificate"), number), "name": name});
    let rules = |certificate: &str| {
        json!([{"entry_protocol": "https", "entry_port": 443, "target_protocol": "http", "target_port": 80,
            "certificate_id": certificate}])
    };
    let mut world = World::new("renewal").await;
    let cloud = world.cloud.clone();
    let web = cloud.put("certificates", certificate("web", 1)).await.unwrap();
    let other = cloud.put("certificates", certificate("other", 2)).await.unwrap();
    let (web, other) = (web["id"].as_str().unwrap(), other["id"].as_str().unwrap());
    cloud.put("load_balancers", json!({"id": balancer, "forwarding_rules": rules(web)})).await.unwrap();
    cloud
        .put("cdn/endpoints", json!({"id": endpoint, "origin": "a.nyc3.digitaloceanspaces.com", "certificate_id": web}))
        .await
        .unwrap();
    for (name, certificate) in [("by-id", web), ("by-name", "web")] {
        let desired = if name == "by-id" { rules(certificate) } else { json!(certificate) };
        let (kind, id, field) = match name {
            "by-id" => ("LoadBalancer", &balancer, "forwarding_rules"),
            _ => ("CDNEndpoint", &endpoint, "certificate_id"),
        };
        world.record_as(name, kind, id, json!({ (field): desired }), json!({})).await;
        world.reaches(&format!("pr/{name}"), "InSync", "True NoDrift").await;
    }
    assert_eq!(world.get("pr/by-id").await["status"]["certificates"], json!({ (web): "web" }));

    // The operator is down while the certificate is renewed.
    world.kill_operator();
    let renewed = cloud.renew_certificate(web).await.unwrap();
    assert_ne!(renewed["id"].as_str(), Some(web));
    world.restart_operator();
    for name in ["by-id", "by-name"] {
        world.sync(name).await;
        world.reaches(&format!("pr/{name}"), "InSync", "True NoDrift").await;
    }
    assert_eq!(world.list("drifts").await, Vec::<Value>::new());

    cloud.change("load_balancers", &balancer, json!({"forwarding_rules": rules(other)})).await.unwrap();
    cloud.change("cdn/endpoints", &endpoint, json!({"certificate_id": other})).await.unwrap();
    for name in ["by-id", "by-name"] {
        world.reaches(&format!("pr/{name}"), "InSync", "False DriftOpen").await;
    }
    assert_eq!(world.list("drifts").await.len(), 2);
}
