//! Values that DigitalOcean writes in several ways, or changes on its own: each equivalence normalizes a recorded and a
//! live value to one spelling before the comparison. Pure.
//!
//! An equivalence only adds to the generic comparison, which already compares lists of scalars as sets, numbers by
//! their text and maps by the recorded keys, and treats all blank values as equal.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{
    IdFormat, app_values,
    beside::Beside,
    document::{is_empty_value, is_position, str_at},
    host_names::{host_names, issuer, record_name},
    live_document::LiveDocument,
    observed::Certificates,
    texts::{both, each_text, text},
};
use crate::comparison::secret::hide_text;

/// The prefix of the tags by which sagas find the resources that they created.
pub(crate) const SAGA_TAG: &str = "arcadia-saga:";

/// A way in which different texts have the same meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Equivalence {
    /// Letter case is ignored.
    Case,
    /// White space around the text is ignored.
    Trimmed,
    /// Tags: letter case is ignored, and the cloud and sagas add some.
    Tags,
    /// A droplet's features: letter case is ignored, and the cloud adds some.
    Features,
    /// An image by slug or by id; a slug can move to a newer image or disappear.
    Image,
    /// IP addresses and CIDRs, in any spelling, with or without `ip:` or `cidr:`.
    Address,
    /// An address that the cloud assigns, possibly later.
    Assigned,
    /// A firewall rule: `0`, `all`, `1-65535` and no value are all ports; ICMP has none.
    FirewallRule,
    /// A version, with the recorded precision.
    Version,
    /// A cluster's version; auto-upgrade changes its patch level.
    ClusterVersion,
    /// `13:00` equals `13:00:00`, and any second of that minute.
    Hour,
    /// A length of time: `1m` equals `1m0s` and `60s`.
    Duration,
    /// A node pool; the autoscaler sets its count.
    NodePool,
    /// The count of a node pool that is recorded alone; the autoscaler sets it within its bounds.
    NodeCount,
    /// A part that can be switched off: switched off, it equals an absent part, and its other parts have no effect.
    Toggle,
    /// A record's name: `@`, the domain, with or without trailing dot.
    RecordName,
    /// A record's data; host names as in names.
    RecordData,
    /// A variable of an app: its type and scope have defaults, and secrets are returned encrypted.
    AppVariable,
    /// Any value of an app's spec: zero values are omitted, and credentials are returned encrypted.
    AppValue,
    /// A certificate by id or name; renewal changes the id.
    Certificate,
    /// A certificate's names, which are blank for uploaded ones.
    CertificateNames,
    /// A purpose of a project; the API adds `Other: ` to purposes that it does not know.
    Purpose,
    /// A list whose order matters.
    Ordered,
    /// The droplets of a load balancer, which follow its tag if it has one.
    TagMembers,
}

impl Equivalence {
    /// A description for the reference of kinds.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Case => "letter case",
            Self::Trimmed => "white space around it",
            Self::Tags => {
                "letter case; tags that the cloud adds (`k8s`, `k8s:*`, `terraform:*`) and sagas (`arcadia-saga:*`) count only if recorded"
            }
            Self::Features => {
                "letter case; features other than `backups`, `ipv6` and `monitoring` count only if recorded"
            }
            Self::Image => "slug or id; a public image's slug that moved on or was lost",
            Self::Address => "spelling of addresses and ranges",
            Self::Assigned => "spelling; a recorded blank matches any address, since it is assigned later",
            Self::FirewallRule => {
                "ports `0`, `all`, `1-65535` and none; ICMP has no ports; letter case of the protocol"
            }
            Self::Version => "precision: `16` matches `16.2`, `latest` anything",
            Self::ClusterVersion => "precision: `1.30` matches `1.30.4-do.0`; newer patches under auto-upgrade",
            Self::Hour => "`13:00` and `13:00:00`; seconds that were not recorded",
            Self::Duration => "`1m`, `1m0s` and `60s`",
            Self::NodePool => "the count, if both the record and the live pool set `auto_scale`",
            Self::NodeCount => {
                "any count from `min_nodes` to `max_nodes`, if both the record and the live pool set `auto_scale`"
            }
            Self::Toggle => "`enabled: false` and an absent part; unrecorded details of a part that is switched off",
            Self::RecordName => "letter case; `@`, the domain itself, full names and trailing dots",
            Self::RecordData => {
                "CNAME, MX, NS, SOA and SRV: letter case, a final dot, and a name relative to the domain, which is one without a final dot and without a public suffix; A and AAAA: spelling of the address; CAA `issue`, `issuewild` and `issuemail`: letter case and a final dot of the issuer, white space around it; TXT and all others: nothing"
            }
            Self::AppVariable => "defaults (`type` GENERAL, `scope` RUN_AND_BUILD_TIME); encrypted values of secrets",
            Self::AppValue => {
                "zero values (`false`, `0`, empty, `UNSET`, `UNSPECIFIED`, an egress type `AUTOASSIGN`) that are left out; encrypted credentials"
            }
            Self::Certificate => "id or name; a renewed certificate has another id and the same name",
            Self::CertificateNames => "letter case; blank for uploaded certificates: unknown rather than drift",
            Self::Purpose => "`Other: ` before it",
            Self::Ordered => "nothing; the order counts",
            Self::TagMembers => "the members, while the load balancer has a tag: unknown rather than drift",
        }
    }
}

/// The reason why a difference may not matter, if there is one.
pub(super) type Uncertainty = Option<String>;

const SLUG_LOST: &str = "the live image no longer has a slug, so it cannot be compared with a slug; record its id";
const NO_ADDRESS_YET: &str = "the resource is still being created and gets its address later";
const NAMES_NOT_SHOWN: &str = "DigitalOcean does not show the names of uploaded certificates";

/// The live resource that contains the values.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// The domain of a record; empty for others.
    pub(super) domain: &'a str,
    pub(super) document: &'a LiveDocument,
    /// The length of the compared path.
    pub(super) root: usize,
    /// The record of the field.
    pub(super) beside: &'a Beside,
    pub(super) certificates: Option<&'a Certificates>,
    /// The reason why the certificates are unknown.
    pub(super) no_certificates: Option<&'a str>,
}

impl Equivalence {
    /// Returns true if it also holds for each part of a value: a text of a list, or a key of a map.
    pub(super) fn is_elementwise(self) -> bool {
        match self {
            Self::Case
            | Self::Trimmed
            | Self::Tags
            | Self::Features
            | Self::Address
            | Self::Toggle
            | Self::RecordName
            | Self::CertificateNames
            | Self::Purpose => true,
            Self::Image
            | Self::Assigned
            | Self::FirewallRule
            | Self::Version
            | Self::ClusterVersion
            | Self::Hour
            | Self::Duration
            | Self::NodePool
            | Self::NodeCount
            | Self::RecordData
            | Self::AppVariable
            | Self::AppValue
            | Self::Certificate
            | Self::Ordered
            | Self::TagMembers => false,
        }
    }

    /// Normalizes two values at a path to one spelling.
    pub(super) fn normalize(
        self,
        site: Site<'_>,
        path: &[String],
        expected: &mut Value,
        live: &mut Value,
    ) -> Uncertainty {
        match self {
            Self::Case => both(expected, live, &|text| text.to_lowercase()),
            Self::Trimmed => both(expected, live, &|text| text.trim().to_owned()),
            Self::Address => both(expected, live, &address),
            Self::Hour => hours(expected, live),
            Self::Duration => durations(expected, live),
            Self::RecordName => both(expected, live, &|name| record_name(name, site.domain)),
            Self::RecordData => record_data(site, expected, live),
            Self::Tags => tags(expected, live),
            Self::Features => features(site, expected, live),
            Self::Image => return image(site, expected, live),
            Self::Assigned => return assigned(site, expected, live),
            Self::FirewallRule => {
                firewall_rule(expected);
                firewall_rule(live);
            }
            Self::Version => version(site, expected, live),
            Self::ClusterVersion => cluster_version(site, expected, live),
            Self::NodePool => node_pool(expected, live),
            Self::NodeCount => node_count(site, path, expected, live),
            Self::AppVariable => return app_values::variable(expected, live),
            Self::AppValue => return app_values::value(path, expected, live),
            Self::Toggle => toggle(path, expected, live),
            Self::Certificate => return certificate(site, expected, live),
            Self::CertificateNames => return certificate_names(site, expected, live),
            Self::Purpose => both(expected, live, &|text| text.strip_prefix("Other: ").unwrap_or(text).to_owned()),
            Self::Ordered => {
                ordered(expected);
                ordered(live);
            }
            Self::TagMembers => return tag_members(site, expected, live),
        }
        None
    }
}

fn tags(expected: &mut Value, live: &mut Value) {
    both(expected, live, &|tag| tag.to_lowercase());
    retain_unless_recorded(expected, live, &is_automatic);
}

/// Blanks the items of a live list that the cloud adds, unless they are recorded: all others keep their positions.
fn retain_unless_recorded(expected: &Value, live: &mut Value, is_automatic: &dyn Fn(&str) -> bool) {
    if let Value::Array(live) = live {
        let recorded = |item: &Value| expected.as_array().is_some_and(|all| all.contains(item)) || expected == item;
        let is_added = |item: &Value| item.as_str().is_some_and(is_automatic) && !recorded(item);
        live.iter_mut().filter(|item| is_added(item)).for_each(|item| *item = Value::Null);
    }
}

/// Tags that clusters, the cloud's own tools and sagas put on resources.
fn is_automatic(tag: &str) -> bool {
    let beginnings = ["k8s:", "terraform:", SAGA_TAG];
    tag == "k8s" || tag == "k8s-worker" || beginnings.iter().any(|beginning| tag.starts_with(beginning))
}

fn features(site: Site<'_>, expected: &mut Value, live: &mut Value) {
    both(expected, live, &|feature| feature.to_lowercase());
    if let Value::Array(live) = live
        && has_backup_policy(site.document)
        && !live.iter().any(|feature| feature == "backups")
    {
        live.push("backups".into());
    }
    let is_asked_for = |feature: &str| ["backups", "ipv6", "monitoring"].contains(&feature);
    retain_unless_recorded(expected, live, &|feature| !is_asked_for(feature));
}

/// Returns true if the account's backup policies name the droplet.
pub(super) fn has_backup_policy(document: &LiveDocument) -> bool {
    document.get("backup_policy").is_some_and(|policy| !is_empty_value(policy))
}

fn image(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Uncertainty {
    let image = site.document.get("image")?;
    if expected.is_object() {
        return None;
    }
    let (id, slug) = (image.get("id")?, str_at(image, "slug").to_lowercase());
    let recorded = text(expected).to_lowercase();
    if recorded == text(id) || (!slug.is_empty() && recorded == slug) {
        *expected = live.clone();
        return None;
    }
    let is_slug = expected.as_str().is_some_and(|text| !text.is_empty() && !is_position(text));
    // A custom image never had a slug, so the droplet was rebuilt from another image.
    let is_custom = match str_at(image, "type") {
        "custom" | "snapshot" | "backup" => true,
        "" => image.get("public") == Some(&Value::Bool(false)),
        _ => false,
    };
    if is_slug && slug.is_empty() && !is_custom {
        *expected = live.clone();
        return Some(SLUG_LOST.to_owned());
    }
    None
}

fn address(text: &str) -> String {
    let bare = text.trim();
    let bare = bare.strip_prefix("ip:").or_else(|| bare.strip_prefix("cidr:")).unwrap_or(bare);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_string();
    }
    match bare.parse::<IpNet>() {
        Ok(range) if range.prefix_len() == range.max_prefix_len() => range.addr().to_string(),
        Ok(range) => range.trunc().to_string(),
        Err(_) => text.to_owned(),
    }
}

fn assigned(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Uncertainty {
    both(expected, live, &address);
    if is_empty_value(expected) {
        *expected = live.clone();
    } else if is_empty_value(live) && matches!(site.document.str_at("status"), "new" | "provisioning") {
        *live = expected.clone();
        return Some(NO_ADDRESS_YET.to_owned());
    }
    None
}

fn firewall_rule(rule: &mut Value) {
    let Value::Object(rule) = rule else { return };
    if let Some(protocol) = rule.get_mut("protocol") {
        each_text(protocol, &|text| text.to_lowercase());
    }
    let ports = rule.get("ports").map_or_else(|| ALL_PORTS.to_owned(), |ports| port_range(&text(ports)));
    rule.insert("ports".into(), ports.into());
}

/// All ports of a firewall rule, in the spelling of the API.
pub(super) const ALL_PORTS: &str = "0";

/// Ports in the spelling of the API: `0` for all, a number, or a range.
pub(super) fn port_range(text: &str) -> String {
    let text = text.replace(' ', "").to_lowercase();
    if matches!(text.as_str(), "" | ALL_PORTS | "all" | "null") {
        return ALL_PORTS.into();
    }
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(0 | 1), Ok(u16::MAX)) => ALL_PORTS.into(),
        (Ok(first), Ok(last)) if first == last => first.to_string(),
        (Ok(first), Ok(last)) => format!("{first}-{last}"),
        _ => text,
    }
}

fn version(site: Site<'_>, expected: &mut Value, live: &mut Value) {
    let semantic = site.document.get("semantic_version").map(text).unwrap_or_default();
    let recorded = text(expected);
    if is_empty_value(expected) || is_empty_value(live) {
        return;
    }
    if recorded == "latest"
        || is_within(&text(live), &recorded)
        || (is_within(&semantic, &recorded) && is_within(&recorded, &text(live)))
    {
        *expected = live.clone();
    }
}

/// Returns true if `version` is `recorded` or a more precise one: `1.30.4-do.0` is within `1.30`.
fn is_within(version: &str, recorded: &str) -> bool {
    version.strip_prefix(recorded).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
}

fn cluster_version(site: Site<'_>, expected: &mut Value, live: &mut Value) {
    version(site, expected, live);
    let upgrades = site.document.get("auto_upgrade").is_some_and(|on| on == true);
    if let (true, Some(recorded), Some(running)) = (upgrades, numbers(expected), numbers(live))
        && recorded.get(..2) == running.get(..2)
        && running >= recorded
    {
        *expected = live.clone();
    }
}

/// The numbers of `1.30.4-do.0`: major, minor, patch and DigitalOcean's own number.
pub(super) fn numbers(version: &Value) -> Option<Vec<u32>> {
    version_numbers(version.as_str()?).filter(|numbers| numbers.len() >= 3)
}

/// The numbers of a version such as `16` or `1.30.4-do.0`.
pub(super) fn version_numbers(version: &str) -> Option<Vec<u32>> {
    version.replace("-do", "").split('.').map(|part| part.parse().ok()).collect()
}

/// Normalizes two times of day; seconds count only if both contain them.
fn hours(expected: &mut Value, live: &mut Value) {
    let (Some(recorded), Some(running)) = (hour(expected), hour(live)) else { return };
    let seconds = recorded.2 == running.2 || recorded.2.is_none() || running.2.is_none();
    if (recorded.0, recorded.1) == (running.0, running.1) && seconds {
        *expected = live.clone();
    }
}

/// Hour, minute, and the second if there is one.
fn hour(value: &Value) -> Option<(u8, u8, Option<u8>)> {
    let parts: Vec<&str> = value.as_str()?.split(':').collect();
    let (hour, minute, second) = match *parts.as_slice() {
        [hour, minute] => (hour, minute, None),
        [hour, minute, second] => (hour, minute, Some(second)),
        _ => return None,
    };
    Some((hour.parse().ok()?, minute.parse().ok()?, second.map(str::parse).transpose().ok()?))
}

fn durations(expected: &mut Value, live: &mut Value) {
    let seconds = |value: &Value| value.as_str().and_then(seconds);
    if seconds(expected).is_some_and(|one| seconds(live) == Some(one)) {
        *expected = live.clone();
    }
}

/// The seconds of a duration in hours, minutes and seconds, such as `1m0s`.
fn seconds(text: &str) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let mut letters = after.chars();
        let unit = match letters.next()? {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        sum = number.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(sum)?;
        rest = letters.as_str();
    }
    (!text.is_empty()).then_some(sum)
}

fn node_pool(expected: &mut Value, live: &mut Value) {
    let scales = |pool: &Value| pool.get("auto_scale").is_some_and(|on| text(on) == "true");
    if !scales(expected) || !scales(live) {
        return;
    }
    for pool in [expected, live] {
        if let Value::Object(pool) = pool {
            pool.remove("count");
        }
    }
}

fn node_count(site: Site<'_>, path: &[String], expected: &mut Value, live: &Value) {
    // Within a list of pools, the items pair first.
    let Some((_, pool)) = path.split_last().filter(|_| path.len() == site.root) else { return };
    let beside = |key: &str| [pool, &[key.to_owned()]].concat();
    let live_at = |key: &str| site.document.at(&beside(key).join("."));
    let bound = |key: &str| live_at(key).and_then(Value::as_u64).unwrap_or_default();
    let scales = |value: Option<&Value>| value.is_some_and(|on| text(on) == "true");
    // If the record does not set `auto_scale`, a pool that scales is a change.
    if !scales(live_at("auto_scale")) || !scales(site.beside.recorded(&beside("auto_scale"))) {
        return;
    }
    if (bound("min_nodes")..=bound("max_nodes")).contains(&live.as_u64().unwrap_or_default()) {
        *expected = live.clone();
    }
}

fn toggle(path: &[String], expected: &mut Value, live: &mut Value) {
    let is_blank = crate::comparison::scalar::is_blank;
    let is_false = |value: &Value| *value == Value::Bool(false) || value == "false";
    let is_off = |value: &Value| is_blank(value) || is_false(value) || value.get("enabled").is_some_and(is_false);
    let is_absent = |value: &Value| is_blank(value) || is_false(value);
    match (&mut *expected, &mut *live) {
        (recorded, live) if !recorded.is_object() && !live.is_object() => {
            // Of a part of it, only the switch is known to be off by default.
            let is_switch = path.last().is_some_and(|key| key == "enabled");
            if is_switch && is_absent(recorded) && is_absent(live) {
                *recorded = Value::Null;
                *live = Value::Null;
            }
        }
        (Value::Object(recorded), live) if !recorded.values().all(is_blank) => {
            // A record that only switches details off does not say that the part is on.
            if !recorded.contains_key("enabled") && recorded.values().all(is_false) {
                let is_on = live.get("enabled").cloned().unwrap_or(Value::Bool(false));
                recorded.insert("enabled".into(), is_on);
            }
            if recorded.get("enabled").is_some_and(is_false) && is_off(live) {
                let mut kept = live.as_object().cloned().unwrap_or_default();
                kept.retain(|key, _| recorded.contains_key(key));
                for (key, value) in recorded.iter().filter(|(_, value)| is_false(value)) {
                    kept.entry(key.as_str()).or_insert_with(|| value.clone());
                }
                *live = kept.into();
            }
        }
        (recorded, live) if is_absent(recorded) && is_off(live) => {
            *recorded = Value::Null;
            *live = Value::Null;
        }
        _ => {}
    }
}

fn record_data(site: Site<'_>, expected: &mut Value, live: &mut Value) {
    match site.document.str_at("type").to_uppercase().as_str() {
        "A" | "AAAA" => both(expected, live, &address),
        "CNAME" | "MX" | "NS" | "SOA" | "SRV" => host_names(site.domain, expected, live),
        "CAA" if site.document.str_at("tag").to_lowercase().starts_with("issue") => {
            both(expected, live, &issuer);
        }
        _ => {}
    }
}

fn certificate(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Uncertainty {
    if expected == live || is_empty_value(expected) || is_empty_value(live) {
        return None;
    }
    let (recorded, running) = (text(expected), text(live));
    // Cloudflare's certificate has a fixed name instead of an id, and is not in the account.
    if !IdFormat::Uuid.admits(&running) {
        return None;
    }
    let doubt = match site.certificates {
        None => Some(site.no_certificates.map_or_else(
            || "the account's certificates were not read, so the id cannot be resolved to a name".to_owned(),
            ToOwned::to_owned,
        )),
        Some(certificates) => match (
            // The record remembers a certificate that a renewal replaced.
            certificates.name_of(&recorded).or_else(|| site.beside.certificates.get(&recorded).map(String::as_str)),
            certificates.name_of(&running),
        ) {
            (Some(one), Some(other)) if one == other => None,
            (Some(_), Some(_)) => return None,
            (None, Some(other)) if recorded == other => None,
            (None, Some(other)) if !IdFormat::Uuid.admits(&recorded) => {
                // The name of a certificate, but not of the live one.
                *live = other.into();
                return None;
            }
            (None, Some(other)) => Some(format!(
                "the recorded certificate {} is no longer in the account; record the certificate by its name, which is now {}",
                hide_text(&recorded),
                hide_text(other)
            )),
            (_, None) => {
                let running = hide_text(&running);
                Some(format!("the live certificate {running} is not among the account's certificates"))
            }
        },
    };
    *expected = live.clone();
    doubt
}

fn certificate_names(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Uncertainty {
    for names in [&mut *expected, &mut *live] {
        each_text(names, &|name| name.to_lowercase());
        if let Value::Array(names) = names {
            names.retain(|name| !is_empty_value(name));
        }
    }
    if is_empty_value(live) && !is_empty_value(expected) && site.document.str_at("type") == "custom" {
        *live = expected.clone();
        return Some(NAMES_NOT_SHOWN.to_owned());
    }
    None
}

/// Converts a list of texts to one text, so that it is not compared as a set.
fn ordered(value: &mut Value) {
    if let Value::Array(items) = value
        && !items.is_empty()
    {
        *value = items.iter().map(text).collect::<Vec<_>>().join(", ").into();
    }
}

fn tag_members(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Uncertainty {
    let tag = site.document.str_at("tag");
    if tag.is_empty() || crate::comparison::is_same(&crate::comparison::NoRules, &[], expected, live) {
        return None;
    }
    *expected = live.clone();
    let tag = hide_text(tag);
    Some(format!("the load balancer's droplets follow its tag {tag}, so they are not compared"))
}
