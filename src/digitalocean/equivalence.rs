//! What the cloud writes in more than one way, and how each way is levelled before values are compared.
//!
//! Levelling changes the recorded and the live value side by side until what means the same is the same. It only does
//! what goes beyond the generic comparison, which already takes lists for sets, numbers for their text, maps by the
//! recorded keys and all blanks for alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::document::{at, is_blank, is_position, str_at};
use super::{Aligned, ResourceKey};

/// How the tags begin by which sagas find what they made.
pub const SAGA_TAG: &str = "arcadia-saga:";

/// One way in which a value can be written differently and mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Equivalence {
    /// Letter case means nothing.
    Case,
    /// White space around the text means nothing.
    Trimmed,
    /// Tags: letter case means nothing, and the cloud and sagas add some by themselves.
    Tags,
    /// An image by slug or by id; a slug can move to a newer image or be lost.
    Image,
    /// IP addresses and CIDRs, in any spelling, with or without `ip:` or `cidr:`.
    Address,
    /// An address that the cloud assigns, maybe later.
    Assigned,
    /// A firewall rule: `0`, `all` and nothing are all ports; ICMP has none.
    FirewallRule,
    /// A version, at the precision asked for.
    Version,
    /// A cluster's version; auto-upgrade moves its patch level.
    ClusterVersion,
    /// `13:00` is `13:00:00`.
    Hour,
    /// A node pool; the autoscaler sets its count.
    NodePool,
    /// A record's name: `@`, the domain, with or without trailing dot.
    RecordName,
    /// A record's data; host names as in names.
    RecordData,
    /// An app's spec: types and scopes of variables have defaults, secrets come back encrypted.
    AppSpec,
    /// A certificate's id, which renewal changes.
    Certificate,
    /// A certificate's names, which are blank for uploaded ones.
    CertificateNames,
}

impl Equivalence {
    /// In words, for the reference of kinds.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Case => "letter case",
            Self::Trimmed => "white space around it",
            Self::Tags => {
                "letter case; tags that the cloud adds (`k8s`, `k8s:*`, `terraform:*`) and sagas (`arcadia-saga:*`) count only if recorded"
            }
            Self::Image => "slug or id; a slug that moved on or was lost",
            Self::Address => "spelling of addresses and ranges",
            Self::Assigned => "spelling; nothing recorded matches any address, since it is assigned later",
            Self::FirewallRule => "ports `0`, `all` and none; ICMP has no ports; spelling of addresses",
            Self::Version => "precision: `16` matches `16.2`, `latest` anything",
            Self::ClusterVersion => "precision: `1.30` matches `1.30.4-do.0`; newer patches under auto-upgrade",
            Self::Hour => "`13:00` and `13:00:00`",
            Self::NodePool => "counts of autoscaled pools are not compared",
            Self::RecordName => "`@`, the domain itself, full names and trailing dots",
            Self::RecordData => "as names where it is a host name; spelling where it is an address",
            Self::AppSpec => "defaults of variables (`type`, `scope`); encrypted secrets are not compared",
            Self::Certificate => "ids of renewed certificates: unknown rather than drift",
            Self::CertificateNames => "blank for uploaded certificates: unknown rather than drift",
        }
    }
}

/// Why nobody can tell, where levelling came to that.
type Unsure = Option<&'static str>;

const SLUG_LOST: &str =
    "the live image has no slug any more, so it cannot be told from the recorded slug; record its id";
const NO_ADDRESS_YET: &str = "it is still being created and gets its address later";
const CERTIFICATE_CHANGED: &str =
    "the certificate id differs, as it does after each renewal; look which certificate it is, and record its id";
const NAMES_NOT_SHOWN: &str = "DigitalOcean does not show the names of uploaded certificates";

/// The live resource that values belong to.
#[derive(Clone, Copy)]
struct Site<'a> {
    key: &'a ResourceKey,
    document: &'a Value,
}

/// Levels `expected` and `live`, the values of `field`, by the equivalences of the kind.
pub(super) fn align(key: &ResourceKey, document: &Value, field: &str, expected: &Value, live: &Value) -> Aligned {
    let site = Site { key, document };
    let (mut expected, mut live) = (expected.clone(), live.clone());
    let mut unsure = None;
    let path: Vec<&str> = field.split('.').collect();
    for (pattern, equivalence) in &key.kind.row().equivalences {
        let pattern = pattern.segments();
        let shared = pattern.len().min(path.len());
        if !pattern.iter().zip(&path).all(|(one, other)| one == other || (*one == "*" && is_position(other))) {
            continue;
        }
        let (inner, outer) = (pattern.get(shared..).unwrap_or_default(), path.get(shared..).unwrap_or_default());
        let doubt = if outer.is_empty() {
            within(*equivalence, site, inner, &mut expected, &mut live)
        } else {
            around(*equivalence, site, &path, outer, &mut expected, &mut live)
        };
        unsure = unsure.or(doubt);
    }
    match (expected == live, unsure) {
        (true, None) => Aligned::Same,
        (true, Some(why)) => Aligned::Unknown { why },
        (false, unsure) => Aligned::Compare { expected, live, unsure },
    }
}

/// Levels what stands at `path` within two values.
fn within(how: Equivalence, site: Site<'_>, path: &[&str], expected: &mut Value, live: &mut Value) -> Unsure {
    let Some((first, rest)) = path.split_first() else { return how.level(site, expected, live) };
    let mut nothing = Value::Null;
    if *first != "*" {
        let expected = expected.get_mut(first);
        let live = live.get_mut(first).unwrap_or(&mut nothing);
        return within(how, site, rest, expected?, live);
    }
    let mut unsure = None;
    let empty = &mut Vec::new();
    let live = live.as_array_mut().unwrap_or(empty);
    let mut alone = vec![true; live.len()];
    for item in expected.as_array_mut()? {
        let pair = live.iter_mut().zip(&mut alone).find(|(other, alone)| **alone && same_item(item, other));
        let other = pair.map_or(&mut nothing, |(other, alone)| {
            *alone = false;
            other
        });
        unsure = unsure.or(within(how, site, rest, item, other));
    }
    for (item, _) in live.iter_mut().zip(alone).filter(|(_, alone)| *alone) {
        within_live(how, site, rest, item);
    }
    unsure
}

/// Levels what stands at `path` in a live item that nothing recorded is paired with.
fn within_live(how: Equivalence, site: Site<'_>, path: &[&str], live: &mut Value) {
    match path.split_first() {
        None => {
            how.level(site, &mut Value::Null, live);
        }
        Some((&"*", rest)) => {
            for item in live.as_array_mut().into_iter().flatten() {
                within_live(how, site, rest, item);
            }
        }
        Some((first, rest)) => live.get_mut(first).into_iter().for_each(|value| within_live(how, site, rest, value)),
    }
}

/// Levels a value that is only a part of what the equivalence is about: puts it back where it came from (`rest` is where
/// in that), together with its live neighbours, levels that, and takes it out again.
fn around(
    how: Equivalence,
    site: Site<'_>,
    path: &[&str],
    rest: &[&str],
    expected: &mut Value,
    live: &mut Value,
) -> Unsure {
    let neighbours = path.split_last().and_then(|(_, parent)| at(site.document, &parent.join(".")));
    let (mut outer_expected, mut outer_live) = (expected.clone(), live.clone());
    for (depth, segment) in rest.iter().rev().enumerate() {
        if is_position(segment) {
            outer_expected = Value::Array(vec![outer_expected]);
            outer_live = Value::Array(vec![outer_live]);
        } else {
            let beside = neighbours.and_then(Value::as_object).filter(|_| depth == 0);
            outer_expected = Value::Object(Map::from_iter([((*segment).to_owned(), outer_expected)]));
            let mut entries = beside.cloned().unwrap_or_default();
            entries.insert((*segment).to_owned(), outer_live);
            outer_live = Value::Object(entries);
        }
    }
    let unsure = how.level(site, &mut outer_expected, &mut outer_live);
    let inside: Vec<&str> = rest.iter().map(|segment| if is_position(segment) { "0" } else { segment }).collect();
    let inside = inside.join(".");
    match (at(&outer_expected, &inside), at(&outer_live, &inside)) {
        (Some(levelled), other) => {
            *expected = levelled.clone();
            *live = other.cloned().unwrap_or_default();
        }
        // Levelling took it away: it is not to be compared.
        (None, _) => *expected = live.clone(),
    }
    unsure
}

/// Whether two items of lists are about the same thing.
fn same_item(one: &Value, other: &Value) -> bool {
    let key =
        ["name", "key", "entry_port", "id"].into_iter().find(|key| one.get(key).is_some_and(|value| !is_blank(value)));
    let same = |key: &str| match (one.get(key), other.get(key)) {
        (Some(one), Some(other)) => text(one).eq_ignore_ascii_case(&text(other)),
        (None, _) => true,
        (_, None) => false,
    };
    key.is_some_and(|key| same(key) && (key != "entry_port" || same("entry_protocol")))
}

impl Equivalence {
    /// Levels two values in place.
    fn level(self, site: Site<'_>, expected: &mut Value, live: &mut Value) -> Unsure {
        match self {
            Self::Case => both(expected, live, &|text| text.to_lowercase()),
            Self::Trimmed => both(expected, live, &|text| text.trim().to_owned()),
            Self::Address => both(expected, live, &address),
            Self::Hour => both(expected, live, &hour),
            Self::RecordName => both(expected, live, &|name| record_name(name, domain(site))),
            Self::RecordData => record_data(site, expected, live),
            Self::Tags => tags(expected, live),
            Self::Image => return image(site, expected, live),
            Self::Assigned => return assigned(site, expected, live),
            Self::FirewallRule => {
                firewall_rule(expected);
                firewall_rule(live);
            }
            Self::Version => version(site, expected, live),
            Self::ClusterVersion => cluster_version(site, expected, live),
            Self::NodePool => node_pool(expected, live),
            Self::AppSpec => app_spec(expected, live),
            Self::Certificate => return certificate(expected, live),
            Self::CertificateNames => return certificate_names(site, expected, live),
        }
        None
    }
}

/// Rewrites each text in both values.
fn both(expected: &mut Value, live: &mut Value, rewrite: &dyn Fn(&str) -> String) {
    each_text(expected, rewrite);
    each_text(live, rewrite);
}

fn each_text(value: &mut Value, rewrite: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = rewrite(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, rewrite)),
        Value::Object(entries) => entries.values_mut().for_each(|item| each_text(item, rewrite)),
        _ => {}
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn tags(expected: &mut Value, live: &mut Value) {
    both(expected, live, &|tag| tag.to_lowercase());
    if let Value::Array(live) = live {
        let recorded = |tag: &Value| expected.as_array().is_some_and(|all| all.contains(tag)) || expected == tag;
        live.retain(|tag| !tag.as_str().is_some_and(is_automatic) || recorded(tag));
    }
}

/// Tags that clusters, the cloud's own tools and sagas put on resources.
fn is_automatic(tag: &str) -> bool {
    let beginnings = ["k8s:", "terraform:", SAGA_TAG];
    tag == "k8s" || tag == "k8s-worker" || beginnings.iter().any(|beginning| tag.starts_with(beginning))
}

fn image(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Unsure {
    let image = site.document.get("image")?;
    if expected.is_object() {
        *live = image.clone();
        return None;
    }
    let (id, slug) = (image.get("id")?, str_at(image, "slug").to_lowercase());
    let wanted = text(expected).to_lowercase();
    if wanted == text(id) || (!slug.is_empty() && wanted == slug) {
        *expected = live.clone();
        return None;
    }
    let wants_slug = expected.as_str().is_some_and(|text| !text.is_empty() && !is_position(text));
    if wants_slug && slug.is_empty() {
        *expected = live.clone();
        return Some(SLUG_LOST);
    }
    None
}

fn address(text: &str) -> String {
    let bare = text.trim();
    let bare = bare.strip_prefix("ip:").or_else(|| bare.strip_prefix("cidr:")).unwrap_or(bare);
    let (address, bits) = bare.split_once('/').map_or((bare, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return text.to_owned() };
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    let Some(bits) = bits else { return address.to_string() };
    match bits.parse::<u32>() {
        Ok(bits) if bits == width => address.to_string(),
        Ok(bits) if bits < width => format!("{}/{bits}", masked(address, bits)),
        _ => text.to_owned(),
    }
}

/// The first address of a range.
fn masked(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !u32::MAX.checked_shr(bits).unwrap_or(0)).into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::MAX.checked_shr(bits).unwrap_or(0)).into()
        }
    }
}

fn assigned(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Unsure {
    both(expected, live, &address);
    if is_blank(expected) {
        *expected = live.clone();
    } else if is_blank(live) && matches!(str_at(site.document, "status"), "new" | "provisioning") {
        *live = expected.clone();
        return Some(NO_ADDRESS_YET);
    }
    None
}

fn firewall_rule(rule: &mut Value) {
    let Value::Object(rule) = rule else { return };
    if let Some(protocol) = rule.get_mut("protocol") {
        each_text(protocol, &|text| text.to_lowercase());
    }
    let is_icmp = rule.get("protocol").is_some_and(|protocol| protocol == "icmp");
    if is_icmp {
        rule.insert("ports".into(), "0".into());
    } else if let Some(ports) = rule.get_mut("ports") {
        if is_blank(ports) || ports == "all" || ports == &Value::from(0) {
            *ports = "0".into();
        }
        each_text(ports, &|text| text.replace(' ', ""));
    }
    for side in ["sources", "destinations"] {
        let Some(side) = rule.get_mut(side) else { continue };
        if let Some(addresses) = side.get_mut("addresses") {
            each_text(addresses, &address);
        }
        if let Some(tags) = side.get_mut("tags") {
            each_text(tags, &|tag| tag.to_lowercase());
        }
    }
}

fn version(site: Site<'_>, expected: &mut Value, live: &mut Value) {
    let semantic = site.document.get("semantic_version").map(text).unwrap_or_default();
    let wanted = text(expected);
    if is_blank(expected) || is_blank(live) {
        return;
    }
    if wanted == "latest"
        || is_within(&text(live), &wanted)
        || (is_within(&semantic, &wanted) && is_within(&wanted, &text(live)))
    {
        *expected = live.clone();
    }
}

/// Whether `version` is `wanted` or a more precise one: `1.30.4-do.0` is within `1.30`.
fn is_within(version: &str, wanted: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
}

fn cluster_version(site: Site<'_>, expected: &mut Value, live: &mut Value) {
    version(site, expected, live);
    let upgrades = site.document.get("auto_upgrade").is_some_and(|on| on == true);
    if let (true, Some(wanted), Some(running)) = (upgrades, numbers(expected), numbers(live))
        && wanted.get(..2) == running.get(..2)
        && running >= wanted
    {
        *expected = live.clone();
    }
}

/// The numbers of `1.30.4-do.0`: major, minor, patch and DigitalOcean's own.
fn numbers(version: &Value) -> Option<Vec<u32>> {
    let numbers: Option<Vec<u32>> =
        version.as_str()?.replace("-do", "").split('.').map(|part| part.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() >= 3)
}

fn hour(text: &str) -> String {
    let parts: Vec<&str> = text.split(':').collect();
    let (hour, minute, second) = match *parts.as_slice() {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return text.to_owned(),
    };
    match (hour.parse::<u8>(), minute.parse::<u8>(), second.parse::<u8>()) {
        (Ok(hour), Ok(minute), Ok(second)) => format!("{hour:02}:{minute:02}:{second:02}"),
        _ => text.to_owned(),
    }
}

fn node_pool(expected: &mut Value, live: &mut Value) {
    if !live.get("auto_scale").is_some_and(|on| on == true) {
        return;
    }
    for pool in [expected, live] {
        if let Value::Object(pool) = pool {
            pool.remove("count");
        }
    }
}

fn domain(site: Site<'_>) -> &str {
    site.key.parts().0.unwrap_or_default()
}

fn record_name(name: &str, domain: &str) -> String {
    let name = name.to_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.is_empty() || name == domain {
        return "@".into();
    }
    let relative = name.strip_suffix(domain).and_then(|name| name.strip_suffix('.'));
    relative.filter(|_| !domain.is_empty()).unwrap_or(name).to_owned()
}

fn record_data(site: Site<'_>, expected: &mut Value, live: &mut Value) {
    match str_at(site.document, "type").to_uppercase().as_str() {
        "A" | "AAAA" => both(expected, live, &address),
        "CNAME" | "MX" | "NS" | "SRV" | "CAA" => both(expected, live, &|host| {
            let host = host.to_lowercase();
            let host = host.strip_suffix('.').unwrap_or(&host);
            if host == "@" { domain(site).to_owned() } else { host.to_owned() }
        }),
        _ => {}
    }
}

/// Walks both specs side by side to the variables (`envs`) of the app and its components.
fn app_spec(expected: &mut Value, live: &mut Value) {
    match (expected, live) {
        (Value::Object(expected), Value::Object(live)) => {
            for (key, value) in expected {
                let Some(other) = live.get_mut(key) else { continue };
                if key == "envs" {
                    paired(value, other, app_variable);
                } else {
                    app_spec(value, other);
                }
            }
        }
        (expected @ Value::Array(_), live @ Value::Array(_)) => paired(expected, live, app_spec),
        _ => {}
    }
}

fn paired(expected: &mut Value, live: &mut Value, level: fn(&mut Value, &mut Value)) {
    let (Value::Array(expected), Value::Array(live)) = (expected, live) else { return };
    if let ([expected], [live]) = (expected.as_mut_slice(), live.as_mut_slice()) {
        return level(expected, live);
    }
    for item in expected {
        if let Some(other) = live.iter_mut().find(|other| same_item(item, other)) {
            level(item, other);
        }
    }
}

fn app_variable(expected: &mut Value, live: &mut Value) {
    let (Value::Object(expected), Value::Object(live)) = (expected, live) else { return };
    for (key, default) in [("type", "GENERAL"), ("scope", "RUN_AND_BUILD_TIME")] {
        if !expected.contains_key(key) {
            continue;
        }
        for variable in [&mut *expected, &mut *live] {
            if variable.get(key).is_none_or(|value| is_blank(value) || value == "UNSET") {
                variable.insert(key.into(), default.into());
            }
        }
    }
    let is_encrypted =
        |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| text.starts_with("EV["));
    if is_encrypted(live.get("value")) && !is_encrypted(expected.get("value")) && expected.contains_key("value") {
        expected.insert("value".into(), live.get("value").cloned().unwrap_or_default());
    }
}

fn certificate(expected: &mut Value, live: &mut Value) -> Unsure {
    if expected == live || is_blank(expected) || is_blank(live) {
        return None;
    }
    *expected = live.clone();
    Some(CERTIFICATE_CHANGED)
}

fn certificate_names(site: Site<'_>, expected: &mut Value, live: &mut Value) -> Unsure {
    for names in [&mut *expected, &mut *live] {
        each_text(names, &|name| name.to_lowercase());
        if let Value::Array(names) = names {
            names.retain(|name| !is_blank(name));
        }
    }
    if is_blank(live) && !is_blank(expected) && str_at(site.document, "type") == "custom" {
        *live = expected.clone();
        return Some(NAMES_NOT_SHOWN);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digitalocean::Kind;
    use serde_json::json;

    #[derive(Debug, PartialEq)]
    enum Verdict {
        Same,
        Differs,
        Unknown,
    }
    use Verdict::{Differs, Same, Unknown};

    /// What comes of comparing, with plain equality in place of the generic comparison.
    fn verdict(kind: &str, document: &Value, field: &str, expected: &Value, live: &Value) -> Verdict {
        let key =
            ResourceKey::new(Kind::named(kind).unwrap(), if kind == "DomainRecord" { "example.com/1" } else { "1" });
        match align(&key, document, field, expected, live) {
            Aligned::Same => Same,
            Aligned::Unknown { .. } => Unknown,
            Aligned::Compare { .. } => Differs,
        }
    }

    /// Cases of kind, field, recorded, live and verdict, with nothing else in the document.
    fn check(cases: &[(&str, &str, Value, Value, Verdict)]) {
        for (kind, field, expected, live, wanted) in cases {
            let mut document = json!({});
            document[field] = live.clone();
            assert_eq!(
                verdict(kind, &document, field, expected, live),
                *wanted,
                "{kind} {field}: {expected} and {live}"
            );
        }
    }

    #[test]
    fn letter_case_of_slugs_means_nothing() {
        check(&[
            ("Droplet", "region", json!("NYC3"), json!("nyc3"), Same),
            ("Droplet", "region", json!("nyc1"), json!("nyc3"), Differs),
            ("Droplet", "size_slug", json!("S-1VCPU-1GB"), json!("s-1vcpu-1gb"), Same),
            ("Droplet", "size", json!("s-2vcpu-2gb"), json!("s-1vcpu-1gb"), Differs),
            ("Droplet", "name", json!("Web"), json!("web"), Differs),
            ("Snapshot", "regions", json!(["NYC3"]), json!(["nyc3"]), Same),
            ("Project", "environment", json!("production"), json!("Production"), Same),
            ("Project", "name", json!("production"), json!("Production"), Differs),
        ]);
    }

    #[test]
    fn tags_ignore_case_and_what_the_cloud_adds() {
        check(&[
            ("Droplet", "tags", json!(["Web"]), json!(["web"]), Same),
            (
                "Droplet",
                "tags",
                json!(["web"]),
                json!(["web", "k8s", "k8s:1f", "K8S-worker", "terraform:default-node-pool"]),
                Same,
            ),
            ("Droplet", "tags", json!(["web"]), json!(["web", "arcadia-saga:7d7bc8cd:2"]), Same),
            ("Droplet", "tags", json!([]), json!(["k8s"]), Same),
            ("Droplet", "tags", json!(["k8s"]), json!([]), Differs),
            ("Droplet", "tags", json!(["K8S"]), json!(["k8s"]), Same),
            ("Droplet", "tags", json!(["web"]), json!(["web", "k8sx"]), Differs),
            ("Droplet", "tags", json!(["web"]), json!(["db"]), Differs),
            ("Volume", "tags", json!(["web"]), json!(null), Differs),
        ]);
    }

    #[test]
    fn an_image_is_a_slug_or_an_id_and_a_lost_slug_is_unknown() {
        let with_slug = json!({"image": {"id": 63_663_980, "slug": "ubuntu-20-04-x64"}});
        let lost = json!({"image": {"id": 63_663_980, "slug": null}});
        for (document, expected, live, wanted) in [
            (&with_slug, json!("ubuntu-20-04-x64"), json!("ubuntu-20-04-x64"), Same),
            (&with_slug, json!("Ubuntu-20-04-x64"), json!("ubuntu-20-04-x64"), Same),
            (&with_slug, json!(63_663_980), json!("ubuntu-20-04-x64"), Same),
            (&with_slug, json!("63663980"), json!("ubuntu-20-04-x64"), Same),
            (&with_slug, json!("ubuntu-22-04-x64"), json!("ubuntu-20-04-x64"), Differs),
            (&with_slug, json!(7), json!("ubuntu-20-04-x64"), Differs),
            (&lost, json!("ubuntu-20-04-x64"), json!(63_663_980), Unknown),
            (&lost, json!("63663980"), json!(63_663_980), Same),
            (&lost, json!("7"), json!(63_663_980), Differs),
        ] {
            assert_eq!(verdict("Droplet", document, "image", &expected, &live), wanted, "{expected} and {document}");
        }
    }

    #[test]
    fn addresses_compare_by_value() {
        check(&[
            (
                "Droplet",
                "public_ipv6",
                json!("2604:A880:0:1010:0:0:18A:A001"),
                json!("2604:a880:0:1010::18a:a001"),
                Same,
            ),
            ("Droplet", "public_ipv6", json!("2604:a880::1"), json!("2604:a880::2"), Differs),
            ("VPC", "ip_range", json!("10.10.10.7/24"), json!("10.10.10.0/24"), Same),
            ("VPC", "ip_range", json!("10.10.10.0/24"), json!("10.10.10.0/20"), Differs),
            ("VPC", "ip_range", json!("0.0.0.0/0"), json!("1.2.3.4/0"), Same),
            ("VPC", "ip_range", json!("10.10.10.0/33"), json!("10.10.10.0/24"), Differs),
            ("LoadBalancer", "firewall", json!({"allow": ["1.2.3.4"]}), json!({"allow": ["ip:1.2.3.4"]}), Same),
            (
                "LoadBalancer",
                "firewall",
                json!({"allow": ["cidr:2.3.4.0/24"]}),
                json!({"allow": ["cidr:2.3.4.9/24"]}),
                Same,
            ),
            ("LoadBalancer", "firewall", json!({"allow": ["ip:1.2.3.4"]}), json!({"allow": ["ip:1.2.3.5"]}), Differs),
            ("LoadBalancer", "firewall.deny", json!(["1.2.3.4/32"]), json!(["ip:1.2.3.4"]), Same),
            (
                "KubernetesCluster",
                "control_plane_firewall",
                json!({"allowed_addresses": ["1.2.3.4"]}),
                json!({"allowed_addresses": ["1.2.3.4/32"]}),
                Same,
            ),
            (
                "KubernetesCluster",
                "control_plane_firewall",
                json!({"allowed_addresses": ["1.2.3.4"]}),
                json!({"allowed_addresses": ["1.2.3.4/31"]}),
                Differs,
            ),
        ]);
    }

    #[test]
    fn an_address_that_came_later_is_no_drift_and_one_that_is_still_to_come_is_unknown() {
        let active = json!({"status": "active"});
        let new = json!({"status": "new"});
        for (document, expected, live, wanted) in [
            (&active, json!(null), json!("1.2.3.4"), Same),
            (&active, json!(""), json!("1.2.3.4"), Same),
            (&active, json!("1.2.3.4"), json!(null), Differs),
            (&new, json!("1.2.3.4"), json!(null), Unknown),
            (&new, json!("1.2.3.4"), json!("1.2.3.5"), Differs),
        ] {
            assert_eq!(verdict("Droplet", document, "public_ipv4", &expected, &live), wanted, "{expected} and {live}");
        }
    }

    #[test]
    fn firewall_rules_say_all_ports_in_many_ways() {
        let rule = |protocol: &str, ports: Value| json!([{"protocol": protocol, "ports": ports}]);
        check(&[
            ("Firewall", "inbound_rules", rule("tcp", json!("all")), rule("tcp", json!("0")), Same),
            ("Firewall", "inbound_rules", rule("tcp", json!(0)), rule("tcp", json!("0")), Same),
            ("Firewall", "inbound_rules", rule("tcp", json!("")), rule("tcp", json!("0")), Same),
            ("Firewall", "inbound_rules", rule("TCP", json!("8000-9000")), rule("tcp", json!("8000-9000")), Same),
            ("Firewall", "inbound_rules", rule("tcp", json!("22")), rule("tcp", json!("0")), Differs),
            ("Firewall", "inbound_rules", rule("tcp", json!("22")), rule("udp", json!("22")), Differs),
            ("Firewall", "outbound_rules", rule("icmp", json!(null)), rule("icmp", json!("0")), Same),
            ("Firewall", "outbound_rules", json!([{"protocol": "icmp"}]), rule("icmp", json!("0")), Same),
            ("Firewall", "outbound_rules", rule("icmp", json!("all")), json!([{"protocol": "icmp"}]), Same),
            (
                "Firewall",
                "inbound_rules",
                json!([{"sources": {"addresses": ["::0/0", "1.2.3.4/32"], "tags": ["Web"]}}]),
                json!([{"sources": {"addresses": ["::/0", "1.2.3.4"], "tags": ["web"]}}]),
                Same,
            ),
            (
                "Firewall",
                "inbound_rules",
                json!([{"sources": {"addresses": ["10.0.0.0/8"]}}]),
                json!([{"sources": {"addresses": ["10.0.0.0/9"]}}]),
                Differs,
            ),
        ]);
        let document =
            json!({"inbound_rules": [{"protocol": "icmp", "ports": "0"}, {"protocol": "tcp", "ports": "0"}]});
        assert_eq!(verdict("Firewall", &document, "inbound_rules.1.ports", &json!("all"), &json!("0")), Same);
        assert_eq!(verdict("Firewall", &document, "inbound_rules.1.ports", &json!("80"), &json!("0")), Differs);
        assert_eq!(
            verdict("Firewall", &document, "inbound_rules.1", &json!({"ports": "all"}), &json!({"ports": "0"})),
            Same
        );
    }

    #[test]
    fn versions_compare_at_the_precision_asked_for() {
        check(&[
            ("Database", "version", json!("16"), json!("16.2"), Same),
            ("Database", "version", json!(16), json!("16"), Same),
            ("Database", "version", json!("1"), json!("16"), Differs),
            ("Database", "version", json!("15"), json!("16"), Differs),
            ("Database", "version", json!("latest"), json!("16"), Same),
            ("Database", "version", json!("16.2"), json!("16"), Differs),
            ("KubernetesCluster", "version", json!("1.30"), json!("1.30.4-do.0"), Same),
            ("KubernetesCluster", "version", json!("1.30.4"), json!("1.30.4-do.0"), Same),
            ("KubernetesCluster", "version", json!("1.3"), json!("1.30.4-do.0"), Differs),
            ("KubernetesCluster", "version", json!("1.30.4-do.0"), json!("1.30.6-do.1"), Differs),
            ("KubernetesCluster", "version", json!("latest"), json!("1.30.6-do.1"), Same),
        ]);
        let detailed = json!({"version": "8", "semantic_version": "8.0.28"});
        assert_eq!(verdict("Database", &detailed, "version", &json!("8.0"), &json!("8")), Same);
        assert_eq!(verdict("Database", &detailed, "version", &json!("8.4"), &json!("8")), Differs);
    }

    #[test]
    fn auto_upgraded_clusters_may_run_newer_patches() {
        let on = json!({"auto_upgrade": true});
        for (expected, live, wanted) in [
            ("1.30.4-do.0", "1.30.6-do.1", Same),
            ("1.30.4-do.0", "1.30.4-do.2", Same),
            ("1.30.6-do.1", "1.30.4-do.0", Differs),
            ("1.30.4-do.0", "1.31.0-do.0", Differs),
        ] {
            assert_eq!(
                verdict("KubernetesCluster", &on, "version", &json!(expected), &json!(live)),
                wanted,
                "{expected} {live}"
            );
        }
    }

    #[test]
    fn maintenance_hours_have_seconds_or_not() {
        check(&[
            (
                "Database",
                "maintenance_window",
                json!({"hour": "13:00", "day": "Monday"}),
                json!({"hour": "13:00:00", "day": "monday"}),
                Same,
            ),
            ("Database", "maintenance_window", json!({"hour": "13:00"}), json!({"hour": "14:00:00"}), Differs),
            (
                "KubernetesCluster",
                "maintenance_policy",
                json!({"start_time": "4:00"}),
                json!({"start_time": "04:00"}),
                Same,
            ),
            (
                "KubernetesCluster",
                "maintenance_policy",
                json!({"start_time": "04:00"}),
                json!({"start_time": "04:01"}),
                Differs,
            ),
        ]);
        let document = json!({"maintenance_window": {"hour": "13:00:00"}});
        assert_eq!(
            verdict("Database", &document, "maintenance_window.hour", &json!("13:00"), &json!("13:00:00")),
            Same
        );
    }

    #[test]
    fn counts_of_autoscaled_pools_are_not_compared() {
        let pool = |name: &str, count: u32, auto: bool| json!({"name": name, "count": count, "auto_scale": auto});
        check(&[
            ("KubernetesCluster", "node_pools", json!([pool("a", 2, true)]), json!([pool("a", 4, true)]), Same),
            ("KubernetesCluster", "node_pools", json!([pool("a", 2, false)]), json!([pool("a", 4, false)]), Differs),
            (
                "KubernetesCluster",
                "node_pools",
                json!([pool("b", 2, true), pool("a", 1, false)]),
                json!([pool("b", 3, true), pool("a", 1, false)]),
                Same,
            ),
            (
                "KubernetesCluster",
                "node_pools",
                json!([pool("b", 2, true), pool("a", 1, false)]),
                json!([pool("b", 3, true), pool("a", 2, false)]),
                Differs,
            ),
            (
                "KubernetesCluster",
                "node_pools",
                json!([{"name": "a", "tags": ["Web"], "size": "S-1"}]),
                json!([{"name": "a", "tags": ["k8s", "k8s:x", "k8s-worker", "web"], "size": "s-1"}]),
                Same,
            ),
        ]);
        let document = json!({"node_pools": [pool("a", 4, true), pool("b", 4, false)]});
        assert_eq!(verdict("KubernetesCluster", &document, "node_pools.0.count", &json!(2), &json!(4)), Same);
        assert_eq!(verdict("KubernetesCluster", &document, "node_pools.1.count", &json!(2), &json!(4)), Differs);
        assert_eq!(verdict("KubernetesCluster", &document, "node_pools.0.name", &json!("x"), &json!("a")), Differs);
    }

    #[test]
    fn record_names_are_relative_or_full() {
        check(&[
            ("DomainRecord", "name", json!("@"), json!("@"), Same),
            ("DomainRecord", "name", json!("example.com"), json!("@"), Same),
            ("DomainRecord", "name", json!("Example.com."), json!("@"), Same),
            ("DomainRecord", "name", json!(""), json!("@"), Same),
            ("DomainRecord", "name", json!("www.example.com."), json!("www"), Same),
            ("DomainRecord", "name", json!("www"), json!("@"), Differs),
            ("DomainRecord", "name", json!("wwwexample.com"), json!("www"), Differs),
            ("DomainRecord", "type", json!("cname"), json!("CNAME"), Same),
        ]);
    }

    #[test]
    fn record_data_compares_by_the_records_type() {
        for (kind, expected, live, wanted) in [
            ("CNAME", "@", "example.com", Same),
            ("CNAME", "example.com.", "@", Same),
            ("NS", "NS1.digitalocean.com.", "ns1.digitalocean.com", Same),
            ("MX", "mail.example.org", "mail.example.com", Differs),
            ("AAAA", "2001:DB8:0::1", "2001:db8::1", Same),
            ("A", "1.2.3.4", "1.2.3.5", Differs),
            ("TXT", "Token.", "token", Differs),
            ("TXT", "@", "example.com", Differs),
        ] {
            let document = json!({"type": kind, "data": live});
            assert_eq!(
                verdict("DomainRecord", &document, "data", &json!(expected), &json!(live)),
                wanted,
                "{kind} {expected} {live}"
            );
        }
    }

    #[test]
    fn variables_of_apps_have_defaults_and_secrets_come_back_encrypted() {
        let spec = |env: Value| json!({"services": [{"name": "web", "envs": [env]}]});
        let service = |name: &str, env: Value| json!({"name": name, "envs": [env]});
        check(&[
            ("App", "spec", spec(json!({"key": "A", "type": ""})), spec(json!({"key": "A", "type": "GENERAL"})), Same),
            (
                "App",
                "spec",
                spec(json!({"key": "A", "type": "GENERAL", "scope": "RUN_AND_BUILD_TIME"})),
                spec(json!({"key": "A", "type": "GENERAL", "scope": "UNSET"})),
                Same,
            ),
            (
                "App",
                "spec",
                spec(json!({"key": "A", "type": "SECRET"})),
                spec(json!({"key": "A", "type": "GENERAL"})),
                Differs,
            ),
            (
                "App",
                "spec",
                spec(json!({"key": "A", "value": "1", "type": "", "scope": ""})),
                spec(json!({"key": "A", "value": "2"})),
                Differs,
            ),
            (
                "App",
                "spec",
                spec(json!({"key": "A", "value": "plain", "type": "SECRET", "scope": ""})),
                spec(json!({"key": "A", "value": "EV[1:x:y]", "type": "SECRET"})),
                Same,
            ),
            (
                "App",
                "spec",
                json!({"envs": [{"key": "A", "type": "", "scope": ""}]}),
                json!({"envs": [{"key": "A"}]}),
                Same,
            ),
            (
                "App",
                "spec",
                json!({"services": [service("web", json!({"key": "A", "type": "", "scope": ""})), service("api", json!({"key": "B", "type": "", "scope": ""}))]}),
                json!({"services": [service("web", json!({"key": "A"})), service("api", json!({"key": "B", "type": "GENERAL"}))]}),
                Same,
            ),
        ]);
        let live = spec(json!({"key": "A", "type": "GENERAL", "value": "x"}));
        let document = json!({"spec": live});
        let field = "spec.services.0.envs.0.type";
        assert_eq!(verdict("App", &document, field, &json!(""), &json!("GENERAL")), Same);
        assert_eq!(verdict("App", &document, field, &json!("SECRET"), &json!("GENERAL")), Differs);
        assert_eq!(verdict("App", &document, "spec.services.0.envs.0.value", &json!("y"), &json!("x")), Differs);
    }

    #[test]
    fn a_certificate_id_that_changed_is_unknown_but_other_differences_still_count() {
        let rule = |certificate: &str, port: u16| json!([{"entry_protocol": "https", "entry_port": port, "target_port": 80, "certificate_id": certificate}]);
        check(&[
            ("LoadBalancer", "forwarding_rules", rule("a", 443), rule("a", 443), Same),
            ("LoadBalancer", "forwarding_rules", rule("a", 443), rule("b", 443), Unknown),
            ("LoadBalancer", "forwarding_rules", rule("a", 443), rule("", 443), Differs),
            ("LoadBalancer", "forwarding_rules", rule("a", 443), rule("a", 8443), Differs),
            ("CDNEndpoint", "certificate_id", json!("a"), json!("b"), Unknown),
            ("CDNEndpoint", "certificate_id", json!("a"), json!(null), Differs),
        ]);
        let mut moved = rule("b", 443);
        moved[0]["target_port"] = json!(81);
        check(&[("LoadBalancer", "forwarding_rules", rule("a", 443), moved, Differs)]);
    }

    #[test]
    fn names_of_uploaded_certificates_are_unknown() {
        let custom = json!({"type": "custom"});
        let encrypted = json!({"type": "lets_encrypt"});
        let names = json!(["example.com"]);
        assert_eq!(verdict("Certificate", &custom, "dns_names", &names, &json!([""])), Unknown);
        assert_eq!(verdict("Certificate", &custom, "dns_names", &names, &json!(["other.com"])), Differs);
        assert_eq!(verdict("Certificate", &encrypted, "dns_names", &names, &json!([])), Differs);
        assert_eq!(verdict("Certificate", &encrypted, "dns_names", &json!(["Example.com"]), &names), Same);
    }

    #[test]
    fn white_space_around_keys_means_nothing() {
        check(&[
            ("SSHKey", "public_key", json!("ssh-rsa AAA me\n"), json!("ssh-rsa AAA me"), Same),
            ("SSHKey", "public_key", json!("ssh-rsa AAA"), json!("ssh-rsa AAB"), Differs),
        ]);
    }

    proptest::proptest! {
        /// Levelling never makes a difference out of nothing, nor panics, whatever the values are.
        #[test]
        fn a_value_always_agrees_with_itself(kind in 0_usize..22, field in 0_usize..40, text in ".{0,20}", shape in 0_u8..4) {
            let kind = Kind::all().nth(kind).unwrap();
            let field = kind.fields().nth(field).unwrap_or("name");
            let value = match shape {
                0 => json!(text),
                1 => json!([text, 1]),
                2 => json!([{"name": text, "protocol": "icmp", "envs": [{"key": text}]}]),
                _ => json!({"hour": text, "allow": [text], "envs": [{"key": text, "value": "EV["}]}),
            };
            let key = ResourceKey::new(kind, "example.com/1");
            let outcome = align(&key, &json!({field: value.clone()}), field, &value, &value);
            proptest::prop_assert!(
                !matches!(outcome, Aligned::Unknown { .. }),
                "{:?}", outcome
            );
        }
    }
}
