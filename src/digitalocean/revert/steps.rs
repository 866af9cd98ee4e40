//! The steps that revert a field, and their calls.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    Allow, Revert, RevertClass,
    assess::{feature_changes, holds_credential, judge, place, text_at},
    direction::is_true,
    limits,
    planned::{ProposedCall, ProposedStep},
    request::live_digest,
};
use crate::{
    comparison::{Difference, scalar::text, secret::digest, show},
    digitalocean::{
        ChangeMethod, FieldComparison,
        document::{at, is_empty_value},
        kinds::{BodyShape, CallTemplate, How, MemberCall},
    },
};

/// The maximum number of columns of a value in a plan.
const COLUMNS: usize = 60;

/// The maximum time until the resource shows the value that the steps have written.
const VERIFICATION: Duration = Duration::from_mins(5);

/// The steps and the calls of a plan.
pub(super) type Steps = (Vec<ProposedStep>, Vec<ProposedCall>);

pub(super) struct Permitted<'a> {
    pub(super) revert: &'a Revert<'a>,
    pub(super) record: &'a str,
    pub(super) allow: Allow,
    pub(super) class: RevertClass,
}

impl Permitted<'_> {
    /// The steps that revert the field, and a last step that verifies it.
    pub(super) fn steps(&self, how: &How) -> Result<Steps, String> {
        let (mut steps, calls) = self.changes(how)?;
        if steps.is_empty() {
            return Err("The live value is already the recorded one.".to_owned());
        }
        steps.push(ProposedStep {
            name: "verify".to_owned(),
            step: "WaitForField",
            with: map(json!({
                "kind": self.revert.document.key().kind,
                "id": self.id(),
                "field": self.revert.field,
                "record": self.record,
                "digest": digest(self.revert.desired),
            })),
            irreversible: false,
            // The steps before it wait for the end of their calls. Meanwhile no other field of the resource is compared.
            timeout: Some(VERIFICATION),
        });
        Ok((steps, calls))
    }

    fn changes(&self, how: &How) -> Result<Steps, String> {
        match how {
            How::UpdateResource(write) => self.update(write),
            How::UpdateNodePool => Ok(self.node_pools()),
            How::UpdateDomainRecord => self.domain_record(),
            How::AssignToProject(urn) => self.project(urn),
            How::Tags(resource) => Ok(self.tags(resource)),
            How::RenameDroplet => {
                let name = limits::droplet_name(self.wanted()?)?;
                Ok(self.droplet("RenameDroplet", json!({ "name": name, "live": self.live("name") }), "rename"))
            }
            How::ResizeDroplet => self.resize(),
            How::GrowDisk => self.grow_disk(),
            How::Power => self.power(),
            How::Backups => Ok(self.backups(is_true(self.revert.desired))),
            How::Volumes => self.volumes(),
            How::AttachedTo => self.attached_to(),
            How::ResizeVolume => self.resize_volume(),
            How::ReservedIP => self.reserved_ip(),
            How::EnableIPv6 => Ok(self.ipv6()),
            How::Features => Ok(self.features()),
        }
    }

    fn update(&self, write: &str) -> Result<Steps, String> {
        let key = self.revert.document.key();
        let reverts = key.kind.row().revert.as_ref();
        let write = reverts.and_then(|reverts| reverts.writes.get(write));
        let write = write.ok_or_else(|| format!("The rules of {} have no write {write:?}.", key.kind))?;
        let mut with = map(self.record_parameters());
        let mut irreversible = super::irreversible(key.kind, self.revert.field).is_some();
        if !irreversible && holds_credential(self.revert) {
            irreversible = true;
            with.insert("holds_credential".to_owned(), true.into());
        }
        let step = ProposedStep {
            with,
            timeout: write.timeout(),
            irreversible,
            ..step("update", "UpdateResource", json!({}))
        };
        let changes = self.differences();
        if let (Some(call), BodyShape::Body | BodyShape::Whole) = (&write.call, write.shape) {
            return Ok((vec![step], vec![self.call(call, changes)]));
        }
        // A switch is a single member.
        let is_added = |difference: &Difference| match self.revert.desired {
            Value::Bool(is_on) => *is_on,
            _ => difference.actual.is_none(),
        };
        let compared = self.compared();
        let call = |(member, adds): (Option<&MemberCall>, bool)| {
            let changes: Vec<_> = compared.iter().filter(|it| is_added(it) == adds).map(|it| self.line(it)).collect();
            member.filter(|_| !changes.is_empty()).map(|member| self.call(&member.call, changes))
        };
        let calls = [(write.add.as_ref(), true), (write.remove.as_ref(), false)].into_iter().filter_map(call).collect();
        Ok((vec![step], calls))
    }

    fn node_pools(&self) -> Steps {
        let step = step("update", "UpdateNodePool", self.record_parameters());
        let path = "/v2/kubernetes/clusters/{id}/node_pools/{pool}".replace("{id}", self.id());
        (vec![step], vec![ProposedCall { method: "PUT", path, changes: self.differences() }])
    }

    fn record_parameters(&self) -> Value {
        let Revert { field, document, .. } = self.revert;
        json!({
            "kind": document.key().kind, "id": self.id(), "record": self.record, "field": field, "allow": self.allow,
            "digest": digest(self.revert.desired),
            "live": live_digest(document, field, self.revert.desired),
        })
    }

    fn domain_record(&self) -> Result<Steps, String> {
        let field = self.revert.field;
        let (domain, id) = self.revert.document.key().parts();
        let value = match field {
            "name" => json!(limits::record_name(self.wanted()?)?),
            "data" => json!(limits::record_data(self.wanted()?)?),
            "tag" => json!(limits::caa_tag(&self.wanted()?)?),
            "flags" => json!(limits::at_most(field, self.number()?, u8::MAX)?),
            "priority" | "port" | "weight" => json!(limits::at_most(field, self.number()?, u16::MAX)?),
            _ => json!(limits::at_most(field, self.number()?, u32::MAX)?),
        };
        let with = json!({ "domain": domain, "record_id": id, field: value, "live": self.live(field) });
        let path = format!("/v2/domains/{}/records/{id}", domain.unwrap_or_default());
        let call = ProposedCall { method: "PATCH", path, changes: self.differences() };
        Ok((vec![step("update", "UpdateDomainRecord", with)], vec![call]))
    }

    fn project(&self, urn: &str) -> Result<Steps, String> {
        let project = limits::id("Project", self.wanted()?)?;
        let kind = self.revert.document.key().kind;
        let with = json!({ "kind": kind, "id": self.id(), "project_id": project, "live": self.live("project_id") });
        let call = ProposedCall {
            method: "POST",
            path: format!("/v2/projects/{project}/resources"),
            changes: vec![format!("add do:{urn}:{}", self.id())],
        };
        Ok((vec![step("assign", "AssignToProject", with)], vec![call]))
    }

    fn tags(&self, resource: &str) -> Steps {
        let document = self.revert.document.document();
        let resource = match resource {
            // Snapshots of droplets are images.
            "snapshot" if at(document, "resource_type").is_some_and(|kind| kind == "droplet") => "image",
            "snapshot" => "volume_snapshot",
            other => other,
        };
        let mut steps = Vec::new();
        let mut calls = Vec::new();
        for (is_added, tag) in self.members() {
            let (verb, name, method) =
                if is_added { ("add", "TagResource", "POST") } else { ("remove", "UntagResource", "DELETE") };
            let with = json!({ "tag": tag, "resource_type": resource, "resource_id": self.id() });
            steps.push(step(&format!("tag-{}", steps.len() + 1), name, with));
            let path = format!("/v2/tags/{tag}/resources");
            calls.push(ProposedCall { method, path, changes: vec![format!("{verb} {resource} {}", self.id())] });
        }
        // No resource is without its firewall in between.
        steps.sort_by_key(|step| step.step != "TagResource");
        calls.sort_by_key(|call| call.method != "POST");
        (steps, calls)
    }

    fn droplet(&self, name: &'static str, with: Value, action: &str) -> Steps {
        let mut with = map(with);
        with.insert("droplet_provider_id".to_owned(), json!(self.id()));
        let calls = vec![self.action("droplets", self.id(), format!("type: {action}"))];
        (vec![ProposedStep { with, ..step("droplet", name, json!({})) }], calls)
    }

    fn action(&self, collection: &str, id: &str, change: String) -> ProposedCall {
        let mut changes = vec![change];
        changes.extend(self.differences());
        ProposedCall { method: "POST", path: format!("/v2/{collection}/{id}/actions"), changes }
    }

    fn resize(&self) -> Result<Steps, String> {
        let size = limits::slug(&self.wanted()?)?;
        let (mut steps, mut calls) = self.resized(&size, false);
        self.with_power(&mut calls);
        if self.allow == Allow::DataLoss {
            let snapshot = json!({ "droplet_provider_id": self.id() });
            steps.insert(0, step("snapshot", "CreateDropletSnapshot", snapshot));
            let path = format!("/v2/droplets/{}/actions", self.id());
            calls.insert(0, ProposedCall { method: "POST", path, changes: vec!["type: snapshot".to_owned()] });
        }
        Ok((steps, calls))
    }

    fn resized(&self, size: &str, disk: bool) -> Steps {
        let with = json!({ "size": size, "disk": disk, "live": self.live("size_slug") });
        self.droplet("ResizeDroplet", with, "resize")
    }

    fn grow_disk(&self) -> Result<Steps, String> {
        let document = self.revert.document.document();
        let size = text_at(document, "size_slug").ok_or("The document of the droplet shows no size.")?;
        let (has, wanted) = (at(document, "size.disk").and_then(Value::as_u64), self.number()?);
        if has != Some(wanted) {
            let has = has.map_or_else(|| "another disk".to_owned(), |has| format!("a disk of {has} GB"));
            return Err(format!("The size {size} has {has}, and a disk grows to that only; revert the size first."));
        }
        let (mut steps, mut calls) = self.resized(&size, true);
        for step in &mut steps {
            step.irreversible = true;
        }
        self.with_power(&mut calls);
        Ok((steps, calls))
    }

    /// Adds the calls around an action for which the droplet has to be off.
    fn with_power(&self, calls: &mut Vec<ProposedCall>) {
        if at(self.revert.document.document(), "status").is_none_or(|status| status != "active") {
            return;
        }
        let call = |kind: &str| ProposedCall {
            method: "POST",
            path: format!("/v2/droplets/{}/actions", self.id()),
            changes: vec![format!("type: {kind}")],
        };
        calls.insert(0, call("shutdown, and power_off after two minutes"));
        calls.push(call("power_on"));
    }

    fn power(&self) -> Result<Steps, String> {
        match self.wanted()?.as_str() {
            "active" => Ok(self.droplet("PowerOnDroplet", json!({}), "power_on")),
            "off" => Ok(self.droplet("PowerOffDroplet", json!({}), "shutdown, and power_off after two minutes")),
            other => {
                let other = show::short_text(other, COLUMNS);
                Err(format!("A droplet is powered on or off by `active` or `off`, and not by `{other}`."))
            }
        }
    }

    fn backups(&self, is_enabled: bool) -> Steps {
        if is_enabled {
            return self.droplet("EnableBackups", json!({}), "enable_backups");
        }
        let discards = self.class == RevertClass::Lossy;
        let with = json!({ "discard_backups": discards });
        let (mut steps, calls) = self.droplet("DisableBackups", with, "disable_backups");
        for step in &mut steps {
            step.irreversible = discards;
        }
        (steps, calls)
    }

    fn volumes(&self) -> Result<Steps, String> {
        let volume = |(is_added, volume)| Ok((is_added, limits::id("Volume", volume)?, self.id().to_owned()));
        Ok(Self::attachments(self.members().into_iter().map(volume).collect::<Result<_, String>>()?))
    }

    fn attached_to(&self) -> Result<Steps, String> {
        let droplet = |(is_added, droplet)| Ok((is_added, self.id().to_owned(), limits::id("Droplet", droplet)?));
        let droplets = self.members().into_iter().map(droplet).collect::<Result<Vec<_>, String>>()?;
        if droplets.iter().filter(|(is_added, ..)| *is_added).count() > 1 {
            return Err("A volume is attached to one droplet at most; record one.".to_owned());
        }
        Ok(Self::attachments(droplets))
    }

    /// The steps to attach and detach volumes. A volume is attached to one droplet at a time.
    fn attachments(mut attachments: Vec<(bool, String, String)>) -> Steps {
        attachments.sort_by_key(|(is_added, ..)| *is_added);
        let each = attachments.into_iter().enumerate().map(|(index, (is_added, volume, droplet))| {
            let (name, action) = if is_added { ("AttachVolume", "attach") } else { ("DetachVolume", "detach") };
            let with = json!({ "volume_id": volume, "droplet_provider_id": droplet });
            let call = ProposedCall {
                method: "POST",
                path: format!("/v2/volumes/{volume}/actions"),
                changes: vec![format!("type: {action}"), format!("droplet_id: {droplet}")],
            };
            (step(&format!("volume-{}", index + 1), name, with), call)
        });
        each.unzip()
    }

    fn resize_volume(&self) -> Result<Steps, String> {
        let size = limits::at_most(self.revert.field, self.number()?, limits::LARGEST_VOLUME)?;
        let with = json!({ "volume_id": self.id(), "size_gigabytes": size, "live": self.live("size_gigabytes") });
        let step = ProposedStep { irreversible: true, ..step("resize", "ResizeVolume", with) };
        Ok((vec![step], vec![self.action("volumes", self.id(), "type: resize".to_owned())]))
    }

    fn reserved_ip(&self) -> Result<Steps, String> {
        let live = text_at(self.revert.document.document(), "droplet.id");
        if is_empty_value(self.revert.desired) {
            let live = live.ok_or("The address is not assigned.")?;
            let with = json!({ "ip": self.id(), "droplet_provider_id": live });
            let call = self.action("reserved_ips", self.id(), "type: unassign".to_owned());
            return Ok((vec![step("unassign", "UnassignReservedIP", with)], vec![call]));
        }
        let droplet = limits::id("Droplet", self.wanted()?)?;
        let with = json!({
            "ip": self.id(), "droplet_provider_id": droplet, "reassign": live.is_some(), "live": self.live("droplet.id"),
        });
        let call = self.action("reserved_ips", self.id(), "type: assign".to_owned());
        Ok((vec![step("assign", "AssignReservedIP", with)], vec![call]))
    }

    fn ipv6(&self) -> Steps {
        let (mut steps, mut calls) = self.droplet("EnableIPv6", json!({}), "enable_ipv6");
        for step in &mut steps {
            step.irreversible = true;
        }
        self.with_power(&mut calls);
        (steps, calls)
    }

    fn features(&self) -> Steps {
        let live = at(self.revert.document.document(), "features").unwrap_or(&Value::Null);
        let (mut steps, mut calls) = Steps::default();
        for (feature, is_on) in feature_changes(self.revert.desired, live) {
            let desired = Value::Bool(is_on);
            let part = Revert { field: &feature, desired: &desired, ..*self.revert };
            let part = Permitted { revert: &part, class: judge(&part).assessment.class, ..*self };
            let (more, of_feature) = if feature == "ipv6" { part.ipv6() } else { part.backups(is_on) };
            steps.extend(more.into_iter().map(|step| ProposedStep { name: feature.clone(), ..step }));
            calls.extend(of_feature);
        }
        (steps, calls)
    }

    fn id(&self) -> &str {
        &self.revert.document.key().id
    }

    /// The digest of a live value, which the step must find unless it finds the desired one.
    fn live(&self, path: &str) -> String {
        digest(at(self.revert.document.document(), path).unwrap_or(&Value::Null))
    }

    /// The recorded value as text.
    fn wanted(&self) -> Result<String, String> {
        let text = text(self.revert.desired).filter(|text| !text.is_empty());
        text.map(std::borrow::Cow::into_owned).ok_or_else(|| {
            format!("The recorded value of {} is not one text or number; correct the record.", self.revert.field)
        })
    }

    /// The recorded value as a number.
    fn number(&self) -> Result<u64, String> {
        let wanted = self.wanted()?;
        wanted.parse().map_err(|_| {
            format!("The recorded value of {} is not a whole number; correct the record.", self.revert.field)
        })
    }

    /// The members to add (true) and to remove, of a list of texts or numbers.
    fn members(&self) -> Vec<(bool, String)> {
        let members = self.compared().into_iter().filter_map(|difference| {
            let member = difference.expected.as_ref().or(difference.actual.as_ref());
            Some((difference.expected.is_some(), text(member?)?.into_owned()))
        });
        members.collect()
    }

    fn compared(&self) -> Vec<Difference> {
        match self.revert.document.compare(self.revert.field, self.revert.desired) {
            FieldComparison::Done(comparison) => comparison.differences,
            _ => Vec::new(),
        }
    }

    /// The changes, each in one line.
    fn differences(&self) -> Vec<String> {
        self.compared().iter().map(|difference| self.line(difference)).collect()
    }

    fn line(&self, difference: &Difference) -> String {
        let path = place(self.revert.field, difference);
        let value = |value: &Option<Value>| {
            value.as_ref().map_or_else(|| "none".to_owned(), |value| show::short(value, COLUMNS))
        };
        match &difference.item {
            Some(item) if difference.actual.is_none() => format!("{path}: add {item}"),
            Some(item) => format!("{path}: remove {item}"),
            None => format!("{path}: {} -> {}", value(&difference.actual), value(&difference.expected)),
        }
    }

    fn call(&self, call: &CallTemplate, changes: Vec<String>) -> ProposedCall {
        let (parent, id) = self.revert.document.key().parts();
        let path = call.path.replace("{parent}", parent.unwrap_or_default()).replace("{id}", id);
        ProposedCall { method: method(call.verb), path, changes }
    }
}

fn method(verb: ChangeMethod) -> &'static str {
    match verb {
        ChangeMethod::Post => "POST",
        ChangeMethod::Put => "PUT",
        ChangeMethod::Patch => "PATCH",
        ChangeMethod::Delete => "DELETE",
    }
}

fn step(name: &str, step: &'static str, with: Value) -> ProposedStep {
    ProposedStep { name: name.to_owned(), step, with: map(with), irreversible: false, timeout: None }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
