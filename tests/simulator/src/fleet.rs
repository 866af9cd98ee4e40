//! A generated fleet: the text of one droplet with gaps, which are filled when a row is read, so that 100,000 //! need no memory.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::droplet_document;

const FIRST_ID: u64 = 3_164_444;
/// Placeholders for the parts that differ between droplets; each occurs nowhere else in a droplet.
const ID: u64 = 987_654_321_012;
const NAME: &str = "@name@";
const PRIVATE: &str = "@private@";
const PUBLIC: &str = "@public@";

/// The text of a droplet, cut at its gaps.
#[derive(Debug)]
pub(crate) struct Fleet {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Id,
    Name,
    Private,
    Public,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mut droplet = droplet_document::complete(
            json!({
                "id": ID, "name": NAME, "size_slug": "s-2vcpu-4gb", "region": "nyc3", "image": "ubuntu-24-04-x64",
                "tags": Self::tags(), "created_at": "2026-01-01T00:00:00Z",
            }),
            ID,
        );
        for (network, address) in droplet
            .pointer_mut("/networks/v4")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .zip([PRIVATE, PUBLIC])
        {
            if let Some(it) = network.get_mut("ip_address") {
                *it = Value::from(address);
            }
        }
        let mut pieces = vec![Piece::Text(droplet.to_string())];
        pieces = cut(pieces, &ID.to_string(), || Piece::Id);
        pieces = cut(pieces, NAME, || Piece::Name);
        pieces = cut(pieces, PRIVATE, || Piece::Private);
        pieces = cut(pieces, PUBLIC, || Piece::Public);
        Self { pieces }
    }

    pub(crate) fn id(n: u32) -> u64 {
        FIRST_ID + u64::from(n)
    }

    pub(crate) fn name(n: u32) -> String {
        format!("web-{}", u64::from(n) + 1)
    }

    pub(crate) fn tags() -> Vec<String> {
        vec!["web".to_owned(), "prod".to_owned()]
    }

    /// Appends the n-th droplet.
    pub(crate) fn write(&self, n: u32, to: &mut String) {
        for piece in &self.pieces {
            // Writing to a String cannot fail.
            let _ = match piece {
                Piece::Text(text) => to.write_str(text),
                Piece::Id => write!(to, "{}", Self::id(n)),
                Piece::Name => to.write_str(&Self::name(n)),
                Piece::Private => write!(to, "{}", droplet_document::private_address(Self::id(n))),
                Piece::Public => write!(to, "{}", droplet_document::public_address(Self::id(n))),
            };
        }
    }
}

fn cut(pieces: Vec<Piece>, at: &str, gap: impl Fn() -> Piece) -> Vec<Piece> {
    let mut cut = Vec::new();
    for piece in pieces {
        let Piece::Text(text) = piece else {
            cut.push(piece);
            continue;
        };
        for (index, part) in text.split(at).enumerate() {
            if index > 0 {
                cut.push(gap());
            }
            cut.push(Piece::Text(part.to_owned()));
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_droplet_is_complete_and_about_as_large_as_a_real_one() {
        let mut text = String::new();
        Fleet::new().write(99_999, &mut text);
        let droplet: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(droplet["id"], 3_264_443);
        assert_eq!(droplet["name"], "web-100000");
        assert!((2000..3200).contains(&text.len()), "{}", text.len());
        assert!(!text.contains('@'), "{text}");
    }
}
