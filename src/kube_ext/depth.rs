//! Responses of the API server, without the values that are nested too deeply to be parsed.
//!
//! The API server stores values of any depth, and parsers have a limit. Without this filter, one object of one user
//! would make each list and each watch that contains it unreadable. Deeper values are replaced by a text, which equals
//! no live value.

use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use kube::{Client, Config, client::ClientBuilder};
use memchr::memchr2;
use tower::util::MapResponseLayer;

/// The number of levels that are kept. `serde_json` parses 127, and lists and watches add some.
const MOST: usize = 100;

/// The text that replaces deeper values.
const DEEPER: &[u8] = b"\"(nested more than 100 levels deep)\"";

/// A client like `Client::try_from(config)` that can read all objects.
///
/// # Errors
/// When the configuration is invalid.
pub(crate) fn client(config: Config) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&MapResponseLayer::new(limited)).build())
}

/// Filters values that are nested too deeply from a response.
pub(super) fn limited<B: Body<Data = Bytes>>(
    response: Response<B>,
) -> Response<impl Body<Data = Bytes, Error = B::Error>> {
    let content = response.headers().get(CONTENT_TYPE).and_then(|content| content.to_str().ok());
    let is_json = content.is_some_and(|content| content.starts_with("application/json"));
    let mut scan = is_json.then(Scan::default);
    response.map(|body| {
        body.map_frame(move |frame| {
            frame.map_data(|chunk| match &mut scan {
                Some(scan) => scan.cut(chunk),
                None => chunk,
            })
        })
    })
}

/// The position in a JSON text that arrives in chunks.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    is_in_text: bool,
    is_escaped: bool,
}

impl Scan {
    /// Filters the next chunk.
    fn cut(&mut self, chunk: Bytes) -> Bytes {
        let mut kept = Vec::new();
        let mut has_cut = self.depth > MOST;
        // The start of the next part to keep.
        let mut from = 0;
        let mut next = 0;
        while let Some(byte) = chunk.get(next) {
            let at = next;
            next += 1;
            if self.is_in_text {
                if std::mem::take(&mut self.is_escaped) {
                    continue;
                }
                let Some(special) = chunk.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) else { break };
                next += special;
                self.is_escaped = chunk.get(at + special) == Some(&b'\\');
                self.is_in_text = self.is_escaped;
                continue;
            }
            match byte {
                b'"' => self.is_in_text = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth == MOST + 1 {
                        kept.extend_from_slice(chunk.get(from..at).unwrap_or_default());
                        kept.extend_from_slice(DEEPER);
                        has_cut = true;
                    }
                }
                b'}' | b']' => {
                    if self.depth == MOST + 1 {
                        from = at + 1;
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                _ => {}
            }
        }
        if !has_cut {
            return chunk;
        }
        if self.depth <= MOST {
            kept.extend_from_slice(chunk.get(from..).unwrap_or_default());
        }
        kept.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A value nested in this many maps and lists, in turn.
    fn nested(levels: usize) -> String {
        let mut text = r#""\\\"[{x""#.to_owned();
        for level in 0..levels {
            text = if level % 2 == 0 { format!(r#"{{"a\"]":{text},"b":1}}"#) } else { format!("[{text}]") };
        }
        text
    }

    fn cut(text: &str, size: usize) -> String {
        let mut scan = Scan::default();
        let chunks = text.as_bytes().chunks(size).map(|chunk| scan.cut(Bytes::copy_from_slice(chunk)));
        let cut: Vec<u8> = chunks.flatten().collect();
        assert_eq!((scan.depth, scan.is_in_text), (0, false));
        String::from_utf8(cut).unwrap()
    }

    #[test]
    fn documents_within_the_depth_limit_are_unchanged_and_deeper_ones_are_reported() {
        for levels in [0, 1, 99, 100] {
            let text = nested(levels);
            assert_eq!(cut(&text, 7), text);
        }
        for levels in [101, 102, 127, 128, 500, 5000] {
            let text = format!(r#"{{"before":[1,2],"deep":{},"after":{{"x":[]}}}}"#, nested(levels));
            for size in [1, 2, 3, 1000, text.len()] {
                let read: Value = serde_json::from_str(&cut(&text, size)).unwrap();
                assert_eq!((&read["before"], &read["after"]), (&json!([1, 2]), &json!({"x": []})), "{levels}");
                assert!(read["deep"].to_string().contains("(nested more than 100 levels deep)"), "{levels}");
            }
        }
    }

    #[test]
    fn documents_that_follow_each_other_are_read_one_by_one() {
        let text = format!("{}\n{}\n{}", nested(3), nested(300), nested(3));
        let read = serde_json::Deserializer::from_str(&cut(&text, 11)).into_iter::<Value>().count();
        assert_eq!(read, 3);
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_give_the_same(levels in 95_usize..110, size in 1_usize..50) {
            let text = nested(levels);
            prop_assert_eq!(cut(&text, size), cut(&text, text.len()));
        }
    }
}
