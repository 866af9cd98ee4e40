//! Host names in the records of a domain: relative and full names, and the issuers of CAA records.

use serde_json::Value;

/// The name of a record relative to its domain; `@` is the domain itself.
pub(crate) fn record_name(name: &str, domain: &str) -> String {
    let name = name.to_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.is_empty() || name == domain {
        return "@".into();
    }
    let relative = name.strip_suffix(domain).and_then(|name| name.strip_suffix('.'));
    relative.filter(|_| !domain.is_empty()).unwrap_or(name).to_owned()
}

/// Normalizes two host names.
pub(super) fn host_names(domain: &str, expected: &mut Value, live: &mut Value) {
    let names = |value: &Value| value.as_str().map(|name| full_names(name, domain));
    if let (Some(one), Some(other)) = (names(expected), names(live))
        && one.iter().any(|name| other.contains(name))
    {
        *expected = live.clone();
    }
}

/// The full host names that a record's data can mean, in lower case and without a final dot.
fn full_names(name: &str, domain: &str) -> Vec<String> {
    let name = name.to_lowercase();
    if name == "@" {
        return vec![domain.to_owned()];
    }
    let relative = (!is_full(&name, domain)).then(|| format!("{name}.{domain}"));
    std::iter::once(name.strip_suffix('.').unwrap_or(&name).to_owned()).chain(relative).collect()
}

/// Returns true if a host name is certainly fully qualified. The API takes full names with a final dot and returns them
/// without: a name in the domain, or below a public suffix such as `com` or `co.uk`, is full too.
fn is_full(name: &str, domain: &str) -> bool {
    let is_public = || name.contains('.') && psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known());
    let is_in_domain = || name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.ends_with('.') || is_in_domain() || is_public()
}

/// The recorded data of a record that points to a host, in the form of a write: a full name with a final dot.
pub(crate) fn full_name(name: &str, domain: &str) -> String {
    match name {
        "@" => name.to_owned(),
        name if name.ends_with('.') => name.to_owned(),
        name if is_full(&name.to_lowercase(), domain) => format!("{name}."),
        name => format!("{name}.{domain}."),
    }
}

/// The record types whose data is a host name.
const TYPES: &[&str] = &["CNAME", "MX", "NS", "SRV"];

/// Returns true if the data of records of this type is a host name.
pub(crate) fn is_host_type(record_type: &str) -> bool {
    TYPES.iter().any(|it| it.eq_ignore_ascii_case(record_type))
}

/// A full name as the API returns it, with a final dot if it could be read as relative to the domain.
#[cfg(feature = "cli")]
pub(super) fn without_doubt(host: String, domain: &str) -> String {
    if host == "@" || is_full(&host.to_lowercase(), domain) { host } else { format!("{host}.") }
}

/// The value of a CAA record that authorizes an issuer: its host name ignores letter case and a final dot, and white
/// space around it. Parameters, such as account URIs, are exact.
pub(super) fn issuer(value: &str) -> String {
    let (name, parameters) = value.split_once(';').map_or((value, None), |(name, rest)| (name, Some(rest.trim())));
    let name = name.trim().to_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    match parameters {
        None => name.to_owned(),
        // A lone `;` forbids all issuers.
        Some("") if !name.is_empty() => name.to_owned(),
        Some(parameters) => format!("{name};{parameters}"),
    }
}
