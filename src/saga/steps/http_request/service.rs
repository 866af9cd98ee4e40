//! The URL, method and headers of a service, validated before any call.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::digitalocean::config::on_loopback;

/// The header by which a service recognizes a repeated call.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Host names under which clouds serve credentials to their machines.
const METADATA: [&str; 5] =
    ["instance-data", "instance-data.ec2.internal", "metadata", "metadata.goog", "metadata.google.internal"];

/// Addresses at which clouds serve credentials, besides the link-local ones.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Headers that the step sets itself.
const RESERVED: [&str; 5] = ["connection", "content-length", "host", IDEMPOTENCY_KEY, "transfer-encoding"];

/// The method of a call.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(super) enum Method {
    #[default]
    Post,
    Put,
    Patch,
    Delete,
    Get,
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
            Method::Get => Self::GET,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        reqwest::Method::from(*self).fmt(f)
    }
}

/// The URL of a service that may be called.
#[derive(Clone)]
pub(super) struct ServiceUrl(Url);

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ServiceUrl {
    fn read(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user or password: everyone who can read the saga can read it".to_owned());
        }
        match url.scheme() {
            "https" => {}
            "http" if on_loopback(&url) => {}
            "http" => {
                return Err("must start with https://; http is allowed for the operator's own machine only".to_owned());
            }
            _ => return Err("must start with https://".to_owned()),
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        if METADATA.contains(&host) || address.is_some_and(is_forbidden) {
            return Err(format!("must not be {host}: such addresses serve credentials and are never called"));
        }
        Ok(Self(url))
    }

    pub(super) fn address(&self) -> Url {
        self.0.clone()
    }
}

/// The URL without path and query: those of a webhook are credentials.
impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl<'de> Deserialize<'de> for ServiceUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(|why| de::Error::custom(format!("the address of a service {why}")))
    }
}

impl JsonSchema for ServiceUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServiceUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 2048 })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Headers of a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers(HeaderMap);

impl Headers {
    pub(super) fn map(&self) -> HeaderMap {
        self.0.clone()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in BTreeMap::<String, String>::deserialize(deserializer)? {
            let header = header_name(&name).map_err(de::Error::custom)?;
            let value = HeaderValue::try_from(value);
            let mut value = value.map_err(|error| de::Error::custom(format!("the header {name:?}: {error}")))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        Ok(Self(headers))
    }
}

/// Reads the name of a header that a saga may set.
pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("the header {name} is set by the step itself"));
    }
    HeaderName::try_from(name).map_err(|error| format!("the header {name:?}: {error}"))
}

impl JsonSchema for Headers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": 32,
            "additionalProperties": { "type": "string", "maxLength": 1024 },
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Returns true if an address is never called: link-local addresses, which serve credentials, and addresses of no host.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let is_of_this_network = matches!(address.octets(), [0, ..]);
            address.is_link_local()
                || is_of_this_network
                || address.is_multicast()
                || address.is_broadcast()
                || address == METADATA_V4
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address == METADATA_V6
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_may_go_anywhere_and_http_to_this_machine() {
        let allowed = [
            "https://billing.example.com/invoices?dry=1",
            "https://10.1.2.3:8443/",
            "https://localhost/",
            "http://localhost:8080/hook",
            "http://127.0.0.1/hook",
            "http://[::1]:8080/hook",
        ];
        for url in allowed {
            assert!(ServiceUrl::read(url).is_ok(), "{url}: {:?}", ServiceUrl::read(url));
        }
    }

    #[test]
    fn what_is_no_service_is_refused() {
        let refused = [
            (
                "http://billing.example.com/",
                "must start with https://; http is allowed for the operator's own machine only",
            ),
            ("http://10.1.2.3/", "must start with https://; http"),
            ("ftp://billing.example.com/", "must start with https://"),
            ("billing.example.com", "is not an address"),
            ("https://jane:secret@billing.example.com/", "must not contain a user or password"),
            ("https://169.254.169.254/metadata/v1/", "must not be 169.254.169.254"),
            ("https://2852039166/", "must not be 169.254.169.254"),
            ("https://[::ffff:169.254.169.254]/", "must not be [::ffff:a9fe:a9fe]"),
            ("https://[fe80::1]/", "must not be [fe80::1]"),
            ("https://[fd00:ec2::254]/", "must not be [fd00:ec2::254]"),
            ("https://0.0.0.0/", "must not be 0.0.0.0"),
            ("https://[::]/", "must not be [::]"),
            ("https://metadata.google.internal/", "must not be metadata.google.internal"),
            ("https://METADATA.google.internal./", "must not be metadata.google.internal"),
            ("http://0.0.0.0/", "must start with https://; http"),
        ];
        for (url, why) in refused {
            let said = ServiceUrl::read(url).unwrap_err();
            assert!(said.starts_with(why), "{url}: {said}");
        }
    }

    #[test]
    fn a_message_holds_neither_path_nor_query() {
        let url = ServiceUrl::read("https://hooks.example.com/services/T0/B0/canary?key=canary#top").unwrap();
        assert_eq!(url.to_string(), "https://hooks.example.com");
        assert_eq!(format!("{url:?}"), "https://hooks.example.com");
    }

    #[test]
    fn headers_that_the_step_sets_are_refused() {
        let read = |headers: serde_json::Value| serde_json::from_value::<Headers>(headers).map_err(|it| it.to_string());
        assert!(read(serde_json::json!({ "X-Team": "web" })).is_ok());
        let cases = [
            (serde_json::json!({ "Idempotency-Key": "1" }), "the header Idempotency-Key is set by the step itself"),
            (serde_json::json!({ "two words": "1" }), "the header \"two words\": invalid HTTP header name"),
            (serde_json::json!({ "x": "a\nb" }), "the header \"x\": failed to parse header value"),
        ];
        for (headers, why) in cases {
            assert_eq!(read(headers).unwrap_err(), why);
        }
    }
}
