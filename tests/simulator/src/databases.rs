//! Managed databases: changes that only the status shows, and parts of a cluster that have their own paths.

use crate::cloud::{Cloud, now, uuid};
use crate::database_plans::{self, Size};
use crate::droplets::DEFAULT_VPC;
use crate::reply::{Refusal, Reply};
use crate::request::{Call, Ending};
use crate::store::set;
use crate::writes::{check_exists, items};
use crate::{catalogue, cloud};
use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;

/// Engine, versions with the default first, and the end of life where there is one.
const ENGINES: &[(&str, &[&str], Option<&str>)] = &[
    ("pg", &["17", "18", "16", "15", "14"], None),
    ("mysql", &["8"], None),
    ("redis", &["7"], Some("2025-06-30T00:00:00Z")),
    ("valkey", &["8"], None),
    ("mongodb", &["8.0", "7.0"], None),
    ("kafka", &["3.9", "3.8"], None),
    ("opensearch", &["2"], None),
];

/// Engines without databases of their own, which evict what they hold.
const CACHES: &[&str] = &["redis", "valkey"];

/// Fills in the fields that follow from the engine and the version, and the ids of rules.
pub(crate) fn complete(database: &mut Value) {
    let text = |field: &str| database.get(field).and_then(Value::as_str).map(str::to_owned);
    let engine = text("engine").unwrap_or_else(|| "pg".to_owned());
    let known = ENGINES.iter().find(|(name, _, _)| *name == engine);
    let default = known.and_then(|(_, versions, _)| versions.first()).copied().unwrap_or("1");
    let version = text("version").unwrap_or_else(|| default.to_owned());
    let end = known.and_then(|(_, _, end)| *end);
    let id = database.get("id").cloned().unwrap_or_default();
    let mut fill = |field: &str, value: Value| {
        if database.get(field).is_none() {
            set(database, field, value);
        }
    };
    fill(
        "semantic_version",
        Value::from(if version.contains('.') { format!("{version}.0") } else { format!("{version}.0.1") }),
    );
    fill("version", Value::from(version));
    fill("engine", Value::from(engine));
    if let Some(end) = end {
        fill("version_end_of_life", Value::from(end));
    }
    if let Some(rules) = database.get_mut("rules").and_then(Value::as_array_mut) {
        for rule in rules {
            complete_rule(rule, &id);
        }
    }
}

/// Adapts a database to a merge patch: a new engine or version brings a new full version.
pub(crate) fn changed(database: &mut Value, patch: &Value) {
    let has = |field: &str| patch.get(field).is_some();
    if has("engine") {
        for field in ["version", "version_end_of_life"].iter().filter(|field| !has(field)) {
            crate::places::remove(database, field);
        }
    }
    if (has("engine") || has("version")) && !has("semantic_version") {
        crate::places::remove(database, "semantic_version");
    }
    if has("engine") || has("version") || has("rules") {
        complete(database);
    }
}

/// Fills in the fields that a rule lacks, or that the official client sends blank.
fn complete_rule(rule: &mut Value, database: &Value) {
    let is_blank = |value: &Value| value.as_str().is_none_or(|text| text.is_empty() || text.starts_with("0001-"));
    for (field, value) in
        [("uuid", Value::from(uuid())), ("cluster_uuid", database.clone()), ("created_at", Value::from(now()))]
    {
        if rule.get(field).is_none_or(is_blank) {
            set(rule, field, value);
        }
    }
}

/// New rules in place of the old ones. A rule with the same type and value keeps its id.
fn replaced_rules(database: &Value, rules: &[Value]) -> Value {
    let says = |rule: &Value| (rule.get("type").cloned(), rule.get("value").cloned());
    let id = database.get("id").cloned().unwrap_or_default();
    let replaced = |rule: &Value| {
        let mut rule = rule.clone();
        let old = items(database, "rules").iter().find(|it| says(it) == says(&rule));
        for field in ["uuid", "cluster_uuid", "created_at"] {
            if let Some(value) = old.and_then(|old| old.get(field)) {
                set(&mut rule, field, value.clone());
            }
        }
        complete_rule(&mut rule, &id);
        rule
    };
    rules.iter().map(replaced).collect()
}

/// Refuses trusted sources that cannot be.
fn check_rules(cloud: &Cloud, rules: &[Value]) -> Result<(), Refusal> {
    if rules.len() > 100 {
        return Err(Refusal::unprocessable("a database cluster takes at most 100 trusted sources"));
    }
    for rule in rules {
        let text = |field: &str| rule.get(field).and_then(Value::as_str).unwrap_or_default();
        let (kind, value) = (text("type"), text("value"));
        let collection = match kind {
            "droplet" => "droplets",
            "k8s" => "kubernetes/clusters",
            "app" => "apps",
            "tag" => "tags",
            "ip_addr" if is_address(value) => continue,
            "ip_addr" => return Err(Refusal::unprocessable(format!("{value:?} is not an IPv4 address or a range"))),
            _ => return Err(Refusal::unprocessable(format!("{kind:?} is not a valid type of a trusted source"))),
        };
        check_exists(cloud, collection, kind, &[Value::from(value)])?;
    }
    Ok(())
}

fn is_address(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    address.parse::<Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
}

/// A change that a path below a cluster makes.
struct Change {
    fields: Map<String, Value>,
    /// The status during the change.
    status: Option<&'static str>,
    pace: Pace,
    answer: StatusCode,
}

/// When a change is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Immediate,
    /// Seen at once, and the cluster is busy for a while.
    Busy,
    /// Seen at the end of that while.
    Slow,
}

/// The cluster and the call of a change.
struct Asked<'a> {
    database: &'a Value,
    call: &'a Call,
}

impl Asked<'_> {
    fn text(&self, field: &str) -> &str {
        self.database.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text of the body that must be there.
    fn required(&self, field: &str) -> Result<&str, Refusal> {
        let text = self.call.text(field).filter(|it| !it.is_empty());
        text.ok_or_else(|| Refusal::unprocessable(format!("{field} is required")))
    }

    fn resize(&self) -> Result<Change, Refusal> {
        let number = |field: &str| self.database.get(field).and_then(Value::as_u64);
        let nodes = self.call.number("num_nodes").ok_or_else(|| Refusal::unprocessable("num_nodes is required"))?;
        let plan = self.required("size")?;
        let now = Size {
            plan: self.text("size"),
            nodes: number("num_nodes").unwrap_or_default(),
            storage: number("storage_size_mib"),
        };
        let then = Size { plan, nodes, storage: self.call.number("storage_size_mib") };
        let storage = database_plans::resized(self.text("engine"), now, then).map_err(Refusal::unprocessable)?;
        Ok(Change {
            fields: fields([("size", plan.into()), ("num_nodes", nodes.into()), ("storage_size_mib", storage.into())]),
            status: Some("resizing"),
            pace: Pace::Slow,
            answer: StatusCode::ACCEPTED,
        })
    }

    /// Without a VPC the cluster lands in the default one of the region.
    fn migrate(&self, cloud: &Cloud) -> Result<Change, Refusal> {
        let region = self.required("region")?;
        if !catalogue::is_region(region) {
            return Err(Refusal::unprocessable("invalid region"));
        }
        let vpcs = cloud.store.all("vpcs");
        let has = |vpc: &&Value, field: &str, value: &Value| vpc.get(field) == Some(value);
        let is_here = |vpc: &&Value| has(vpc, "region", &Value::from(region));
        let default = vpcs.iter().find(|vpc| is_here(vpc) && has(vpc, "default", &Value::Bool(true)));
        let default = default.and_then(|vpc| vpc.get("id")).and_then(Value::as_str).unwrap_or(DEFAULT_VPC);
        let vpc = self.call.text("private_network_uuid").filter(|it| !it.is_empty()).unwrap_or(default);
        if vpc != default && !vpcs.iter().any(|it| is_here(&it) && has(&it, "id", &Value::from(vpc))) {
            return Err(Refusal::unprocessable("private_network_uuid is not a VPC of this region"));
        }
        Ok(Change {
            fields: fields([("region", region.into()), ("private_network_uuid", vpc.into())]),
            status: Some("migrating"),
            pace: Pace::Slow,
            answer: StatusCode::ACCEPTED,
        })
    }

    fn upgrade(&self) -> Result<Change, Refusal> {
        let version = self.required("version")?;
        let versions = ENGINES.iter().find(|(name, ..)| *name == self.text("engine")).map_or(&[][..], |it| it.1);
        let number = |text: &str| -> Vec<u64> { text.split('.').filter_map(|it| it.parse().ok()).collect() };
        if !versions.contains(&version) || number(version) <= number(self.text("version")) {
            return Err(Refusal::unprocessable("version is not a valid upgrade of the database cluster"));
        }
        let fields = fields([("version", version.into())]);
        Ok(Change { fields, status: None, pace: Pace::Slow, answer: StatusCode::NO_CONTENT })
    }

    fn maintenance(&self) -> Result<Change, Refusal> {
        const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        let (day, hour) = (self.required("day")?, self.required("hour")?);
        let is_number = |part: &str| part.len() == 2 && part.bytes().all(|it| it.is_ascii_digit());
        let parts: Vec<&str> = hour.split(':').collect();
        if !DAYS.contains(&day.to_ascii_lowercase().as_str()) || !parts.iter().copied().all(is_number) {
            return Err(Refusal::unprocessable("invalid maintenance window"));
        }
        // It takes hours and minutes, and answers with seconds.
        let hour = match parts.len() {
            2 => format!("{hour}:00"),
            3 => hour.to_owned(),
            _ => return Err(Refusal::unprocessable("invalid maintenance window")),
        };
        let mut window = self.database.get("maintenance_window").cloned().unwrap_or_else(|| json!({}));
        cloud::merge(&mut window, &json!({"day": day.to_ascii_lowercase(), "hour": hour}));
        Ok(immediate([("maintenance_window", window)]))
    }

    fn firewall(&self, cloud: &Cloud) -> Result<Change, Refusal> {
        let rules = self.call.body.get("rules").and_then(Value::as_array);
        let rules = rules.ok_or_else(|| Refusal::unprocessable("rules is required"))?;
        check_rules(cloud, rules)?;
        Ok(immediate([("rules", replaced_rules(self.database, rules))]))
    }

    /// Every node is replaced for its new certificate.
    fn do_settings(&self) -> Result<Change, Refusal> {
        let settings = self.call.body.get("do_settings").filter(|it| it.is_object());
        let settings = settings.ok_or_else(|| Refusal::unprocessable("do_settings is required"))?;
        let names = settings.get("service_cnames").filter(|it| it.is_array()).cloned().unwrap_or_else(|| json!([]));
        let fields = fields([("do_settings", json!({"service_cnames": names}))]);
        Ok(Change { fields, status: None, pace: Pace::Busy, answer: StatusCode::NO_CONTENT })
    }
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}

fn immediate<const N: usize>(changes: [(&str, Value); N]) -> Change {
    Change { fields: fields(changes), status: None, pace: Pace::Immediate, answer: StatusCode::NO_CONTENT }
}

fn check_free(cloud: &Cloud, id: &str, database: &Value) -> Result<(), Refusal> {
    if cloud.is_busy("databases", id) || database.get("status").and_then(Value::as_str) != Some("online") {
        return Err(Refusal::precondition_failed(
            "update cluster cannot be performed. Reason: cluster is undergoing maintenance",
        ));
    }
    Ok(())
}

/// `PUT /v2/databases/{id}/{what}` and `PATCH /v2/databases/{id}/config`
pub(crate) fn change(cloud: &mut Cloud, id: &str, what: &str, call: &Call) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    match (&call.method, what) {
        (&Method::PATCH, "config") => return Ok(keep_part(cloud, id, what, call, StatusCode::OK)),
        (&Method::PUT, "autoscale") => return Ok(keep_part(cloud, id, what, call, StatusCode::NO_CONTENT)),
        (&Method::PUT, "eviction_policy" | "sql_mode") => return put_text(cloud, id, &database, what, call),
        (&Method::PUT, _) => {}
        _ => return Err(Refusal::method_not_allowed()),
    }
    let asked = Asked { database: &database, call };
    let change = match what {
        "resize" => asked.resize(),
        "migrate" => asked.migrate(cloud),
        "upgrade" => asked.upgrade(),
        "maintenance" => asked.maintenance(),
        "firewall" => asked.firewall(cloud),
        "do_settings" => asked.do_settings(),
        _ => Err(Refusal::not_found()),
    }?;
    if change.pace != Pace::Immediate {
        check_free(cloud, id, &database)?;
    }
    let Change { fields, status, pace, answer } = change;
    if pace == Pace::Slow {
        change_slowly(cloud, id, status, fields, call);
    } else {
        lay_over(cloud, id, fields);
    }
    if pace == Pace::Busy {
        rest(cloud, id, call);
    }
    Ok(Reply { status: answer, body: None })
}

fn lay_over(cloud: &mut Cloud, id: &str, fields: Map<String, Value>) {
    cloud.store.edit("databases", id, |database| {
        let is_upgrade = fields.contains_key("version");
        for (field, value) in fields {
            set(database, &field, value);
        }
        if is_upgrade {
            crate::places::remove(database, "semantic_version");
            complete(database);
        }
    });
}

/// Keeps a cluster busy for a while in which nothing shows it.
fn rest(cloud: &mut Cloud, id: &str, call: &Call) {
    cloud.set_busy("databases", id, true);
    let id = id.to_owned();
    cloud.later(call.distortion.delay, move |cloud| cloud.set_busy("databases", &id, false));
}

/// Changes a cluster at the end of a while. At first nothing shows it: the status follows late.
fn change_slowly(cloud: &mut Cloud, id: &str, status: Option<&'static str>, fields: Map<String, Value>, call: &Call) {
    let show = |cloud: &mut Cloud, id: &str, status: &str| {
        cloud.store.edit("databases", id, |database| set(database, "status", Value::from(status)));
    };
    cloud.set_busy("databases", id, true);
    let (seen, done, is_done) = (id.to_owned(), id.to_owned(), call.distortion.ending == Ending::Done);
    if let Some(status) = status {
        cloud.after(cloud.action_time / 4, move |cloud| show(cloud, &seen, status));
    }
    cloud.later(call.distortion.delay, move |cloud| {
        cloud.set_busy("databases", &done, false);
        show(cloud, &done, "online");
        if is_done {
            lay_over(cloud, &done, fields);
        }
    });
}

/// Merges the body's `{what}` into the part of that name, which is not in the cluster's document.
fn keep_part(cloud: &mut Cloud, id: &str, what: &str, call: &Call, answer: StatusCode) -> Reply {
    let parts = format!("databases/{id}/parts");
    // Some clients wrap it in its name, as the answer does.
    let changes = call.body.get(what).unwrap_or(&call.body);
    let mut part = cloud.store.get(&parts, what).unwrap_or_else(|| json!({}));
    cloud::merge(&mut part, changes);
    cloud.store.put(&parts, what, &part);
    Reply { status: answer, body: None }
}

/// The engines that have a part which is one text.
fn engines_of(what: &str) -> &'static [&'static str] {
    match what {
        "eviction_policy" => CACHES,
        "sql_mode" => &["mysql"],
        _ => &[],
    }
}

fn check_engine(database: &Value, what: &str) -> Result<(), Refusal> {
    let engine = database.get("engine").and_then(Value::as_str).unwrap_or_default();
    let message = || format!("{what} is not available for {engine}");
    if engines_of(what).contains(&engine) { Ok(()) } else { Err(Refusal::unprocessable(message())) }
}

fn put_text(cloud: &mut Cloud, id: &str, database: &Value, what: &str, call: &Call) -> Result<Reply, Refusal> {
    check_engine(database, what)?;
    let text = call.text(what).ok_or_else(|| Refusal::unprocessable(format!("{what} is required")))?;
    cloud.store.put(&format!("databases/{id}/parts"), what, &Value::from(text));
    Ok(Reply::nothing())
}

/// `GET /v2/databases/{id}/{firewall|config|autoscale|do_settings|eviction_policy|sql_mode}`
pub(crate) fn part(cloud: &Cloud, id: &str, what: &str) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    let part = |default: Value| cloud.store.get(&format!("databases/{id}/parts"), what).unwrap_or(default);
    let body = match what {
        "firewall" => json!({"rules": database.get("rules").cloned().unwrap_or_else(|| json!([]))}),
        "config" => json!({"config": part(json!({}))}),
        "autoscale" => json!({"autoscale": part(json!({"storage": {"enabled": false}}))}),
        "do_settings" => json!({"do_settings": database.get("do_settings").cloned().unwrap_or_else(|| json!({}))}),
        "eviction_policy" => {
            check_engine(&database, what)?;
            json!({"eviction_policy": part(json!("noeviction"))})
        }
        "sql_mode" => {
            check_engine(&database, what)?;
            json!({"sql_mode": part(json!("ANSI,TRADITIONAL"))})
        }
        _ => return Err(Refusal::not_found()),
    };
    Ok(Reply::json(StatusCode::OK, &body))
}

fn check_has_dbs(database: &Value) -> Result<(), Refusal> {
    let engine = database.get("engine").and_then(Value::as_str).unwrap_or_default();
    let message = || format!("databases are not supported for {engine}");
    if CACHES.contains(&engine) { Err(Refusal::unprocessable(message())) } else { Ok(()) }
}

/// `GET` and `POST /v2/databases/{id}/dbs`
pub(crate) fn dbs(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    check_has_dbs(&database)?;
    let names = items(&database, "db_names");
    match call.method {
        Method::GET => {
            let rows: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            Ok(Reply::json(StatusCode::OK, &json!({"dbs": rows})))
        }
        Method::POST => {
            let name = call.text("name").filter(|it| !it.is_empty());
            let name = name.ok_or_else(|| Refusal::unprocessable("name is required"))?;
            if names.iter().any(|it| it == name) {
                return Err(Refusal::conflict("a database with this name already exists"));
            }
            let all: Vec<Value> = names.iter().cloned().chain([Value::from(name)]).collect();
            cloud.store.edit("databases", id, |it| set(it, "db_names", Value::from(all)));
            Ok(Reply::json(StatusCode::CREATED, &json!({"db": {"name": name}})))
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// `GET` and `DELETE /v2/databases/{id}/dbs/{name}`
pub(crate) fn db(cloud: &mut Cloud, id: &str, name: &str, call: &Call) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    check_has_dbs(&database)?;
    let names = items(&database, "db_names");
    if !names.iter().any(|it| it == name) {
        return Err(Refusal::not_found());
    }
    if call.method == Method::GET {
        return Ok(Reply::json(StatusCode::OK, &json!({"db": {"name": name}})));
    }
    let left: Vec<Value> = names.iter().filter(|it| *it != name).cloned().collect();
    cloud.store.edit("databases", id, |it| set(it, "db_names", Value::from(left)));
    Ok(Reply::nothing())
}

/// `GET /v2/databases/options`: the engines and versions that there are, and when they end.
pub(crate) fn options() -> Reply {
    let regions: Vec<Value> = catalogue::regions().iter().filter_map(|it| it.get("slug").cloned()).collect();
    let layout = |nodes| json!({"num_nodes": nodes, "sizes": database_plans::slugs(nodes)});
    let layouts: Vec<Value> = (1..=3).map(layout).collect();
    let mut options = Map::new();
    let mut availability = Map::new();
    for (engine, versions, end) in ENGINES {
        let default = versions.first();
        options.insert(
            (*engine).to_owned(),
            json!({"regions": regions, "versions": versions, "layouts": layouts, "default_version": default}),
        );
        let row = |version: &&str| json!({"version": version, "default": Some(version) == default, "end_of_life": end, "end_of_availability": end});
        availability.insert((*engine).to_owned(), versions.iter().map(row).collect());
    }
    Reply::json(StatusCode::OK, &json!({"options": options, "version_availability": availability}))
}
