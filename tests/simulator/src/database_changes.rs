//! Changes of managed databases: some are visible at once, others after a while. Meanwhile the cluster refuses changes.

use std::net::Ipv4Addr;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    account, catalogue,
    cloud::Cloud,
    database_parts,
    database_plans::{self, Size},
    databases::{self, ENGINES},
    droplet_document::DEFAULT_VPC,
    reply::{Refusal, Reply},
    request::{Call, Ending},
    values::set,
    writes::{check_exists, items},
};

/// Replaces the rules. A rule with the same type and value keeps its id.
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
        databases::complete_rule(&mut rule, &id);
        rule
    };
    rules.iter().map(replaced).collect()
}

/// Refuses invalid trusted sources.
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

/// The change that a path below a cluster makes.
struct Change {
    fields: Map<String, Value>,
    /// The status during the change.
    status: Option<&'static str>,
    pace: Pace,
    answer: StatusCode,
}

/// The moment when a change is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Immediate,
    /// Visible at once; the cluster is busy for a while.
    Busy,
    /// Visible at the end of that while.
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

    /// Returns a required text of the body.
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

    /// Without a VPC the cluster moves to the default VPC of the region.
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
        // The API accepts hours and minutes, and returns seconds.
        let hour = match parts.len() {
            2 => format!("{hour}:00"),
            3 => hour.to_owned(),
            _ => return Err(Refusal::unprocessable("invalid maintenance window")),
        };
        let mut window = self.database.get("maintenance_window").cloned().unwrap_or_else(|| json!({}));
        account::merge(&mut window, &json!({"day": day.to_ascii_lowercase(), "hour": hour}));
        Ok(immediate([("maintenance_window", window)]))
    }

    fn firewall(&self, cloud: &Cloud) -> Result<Change, Refusal> {
        let rules = self.call.body.get("rules").and_then(Value::as_array);
        let rules = rules.ok_or_else(|| Refusal::unprocessable("rules is required"))?;
        check_rules(cloud, rules)?;
        Ok(immediate([("rules", replaced_rules(self.database, rules))]))
    }

    /// Replaces every node for its new certificate.
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
        (&Method::PATCH, "config") => return Ok(database_parts::keep(cloud, id, what, call, StatusCode::OK)),
        (&Method::PUT, "autoscale") => return Ok(database_parts::keep(cloud, id, what, call, StatusCode::NO_CONTENT)),
        (&Method::PUT, "eviction_policy" | "sql_mode") => {
            return database_parts::put_text(cloud, id, &database, what, call);
        }
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
            databases::complete(database);
        }
    });
}

/// Keeps a cluster busy for a while, without a visible status.
fn rest(cloud: &mut Cloud, id: &str, call: &Call) {
    cloud.set_busy("databases", id, true);
    let id = id.to_owned();
    cloud.later(call.distortion.delay, move |cloud| cloud.set_busy("databases", &id, false));
}

/// Changes a cluster at the end of a while. The status follows late, so at first nothing shows the change.
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
