//! A parsed call of the API: path segments, query pairs, JSON body, and the distortion of its response.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, Uri};
use serde_json::Value;

use super::past::Past;

/// A call in the form that handlers read.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path without query, as sent.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// `Null` if the call has no body.
    pub(crate) body: Value,
    /// Scheme and host that the caller used, so that links in responses have the same origin.
    pub(crate) origin: String,
    pub(crate) distortion: Distortion,
}

/// The changes that faults make to a handler's response. `server` applies their effects on the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distortion {
    /// Rows that an earlier page lost (positive) or gained (negative) since it was listed.
    pub(crate) shift: i8,
    /// Lists leave out resources younger than this.
    pub(crate) lag: Option<Duration>,
    /// Ids that lists leave out.
    pub(crate) hidden: Vec<String>,
    /// Lists are empty.
    pub(crate) empty: bool,
    /// `links.pages.next` points to another host.
    pub(crate) foreign_next: bool,
    /// Places that documents lack.
    pub(crate) omit: Vec<String>,
    /// Scopes that the token lacks.
    pub(crate) scopes: Vec<String>,
    /// Lists show rows as they were this long ago.
    pub(crate) behind: Option<Duration>,
    /// The spelling of all ports that firewalls refuse.
    pub(crate) refused_ports: Option<String>,
    /// Old values that lists show.
    pub(crate) past: Vec<Arc<Past>>,
    /// The result of the action that this call starts.
    pub(crate) ending: Ending,
    /// The additional duration of the action that this call starts.
    pub(crate) delay: Duration,
}

/// The result of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Completed, with its effect.
    #[default]
    Done,
    /// Errored, without effect.
    Failed,
    /// Completed, without effect.
    Ignored,
}

impl Call {
    /// The path's segments below `/v2`, decoded; `None` for other paths.
    pub(crate) fn segments(&self) -> Option<Vec<String>> {
        let below = self.path.strip_prefix("/v2/")?;
        Some(below.trim_end_matches('/').split('/').map(decode).collect())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A field of the body as text.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    /// A field of the body as a number, which some clients send as text.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        let value = self.body.get(field)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }
}

/// The query's pairs, decoded.
pub(crate) fn query_of(uri: &Uri) -> Vec<(String, String)> {
    pairs(uri.query().unwrap_or_default())
}

/// `a=1&b=2` as pairs, decoded.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Percent-decoding; invalid sequences are kept.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (plain, escaped) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(byte) = escaped.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = escaped.get(3..).unwrap_or_default();
        } else {
            bytes.push(b'%');
            rest = escaped.get(1..).unwrap_or_default();
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Percent-encoding of a query value or path segment.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_text_is_decoded_again() {
        for text in ["a b", "50%", "ü/ß?&=", "", "::1", "k8s:worker"] {
            assert_eq!(decode(&encode(text)), text);
        }
    }
}
