//! The texts of responses, packed. The documents of a fleet are alike, so each is kept as the difference from an example.

use std::{fmt, sync::Arc};

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict, uncompressed_size};
use parking_lot::Mutex;

/// The number of bytes of the examples of one kind. Packing a text takes time in proportion to them.
const MOST_BYTES: usize = 16 << 10;
/// A text that packs into less than this share of itself is like the examples.
const ALIKE: usize = 3;

/// The examples of one kind: the first text, and those that turned out not to be like the ones before. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Examples(Arc<Mutex<Arc<str>>>);

impl Examples {
    /// Packs a text, and learns from it where it is not like the examples.
    pub(super) fn pack(&self, text: &str) -> PackedText {
        let example = Arc::clone(&self.0.lock());
        let packed = PackedText::pack(text, example);
        let is_alike = packed.bytes.len().saturating_mul(ALIKE) < text.len();
        if !is_alike && packed.example.len().saturating_add(text.len()) <= MOST_BYTES {
            let learnt: Arc<str> = format!("{}{text}", packed.example).into();
            *self.0.lock() = Arc::clone(&learnt);
            return PackedText::pack(text, learnt);
        }
        packed
    }
}

/// A packed text. Clones share it.
#[derive(Clone)]
pub(super) struct PackedText {
    /// The example that it is packed against.
    example: Arc<str>,
    bytes: Arc<[u8]>,
}

impl PackedText {
    fn pack(text: &str, example: Arc<str>) -> Self {
        let bytes = compress_prepend_size_with_dict(text.as_bytes(), example.as_bytes()).into();
        Self { example, bytes }
    }

    /// Packs a text that is like no other.
    pub(super) fn alone(text: &str) -> Self {
        Self::pack(text, Arc::default())
    }

    /// Packs another text against the same examples.
    pub(super) fn like(&self, text: &str) -> Self {
        Self::pack(text, Arc::clone(&self.example))
    }

    /// The text. Empty, which no parser takes for a document, if it cannot be unpacked.
    pub(super) fn unpack(&self) -> String {
        self.unpacked().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Whether it is this text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.length() == Some(text.len()) && self.unpacked().is_some_and(|bytes| bytes == text.as_bytes())
    }

    fn length(&self) -> Option<usize> {
        uncompressed_size(&self.bytes).ok().map(|(length, _)| length)
    }

    fn unpacked(&self) -> Option<Vec<u8>> {
        decompress_size_prepended_with_dict(&self.bytes, self.example.as_bytes()).ok()
    }
}

impl PartialEq for PackedText {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes) || self.length() == other.length() && other.is(&self.unpack())
    }
}

impl fmt::Debug for PackedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.unpack(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn droplet(id: u32, size: &str) -> String {
        let details = "a part that all droplets of this size have in common, such as prices and regions; ".repeat(10);
        format!(r#"{{"id":{id},"name":"web-{id}","size":{{"slug":"{size}","about":"{size}: {details}"}}}}"#)
    }

    #[test]
    fn a_document_that_is_like_an_earlier_one_takes_few_bytes() {
        let examples = Examples::default();
        for size in ["s-1vcpu-1gb", "c-48"] {
            examples.pack(&droplet(1, size));
            for id in 2..100 {
                let text = droplet(id, size);
                let packed = examples.pack(&text);
                assert!(packed.bytes.len() * 4 < text.len(), "{} bytes of {}", packed.bytes.len(), text.len());
                assert!(packed.is(&text) && packed.unpack() == text);
            }
        }
        assert!(examples.0.lock().len() <= 2 * droplet(1, "s-1vcpu-1gb").len(), "nothing more was learnt");
    }

    proptest! {
        #[test]
        fn every_text_is_unpacked_as_it_was(texts in prop::collection::vec("[a-c\u{fc}\u{1f600}]{0,3000}", 1..20)) {
            let examples = Examples::default();
            let packed: Vec<_> = texts.iter().map(|text| examples.pack(text)).collect();
            for (number, (text, packed)) in texts.iter().zip(&packed).enumerate() {
                prop_assert_eq!(&packed.unpack(), text);
                prop_assert!(packed.is(text));
                let other = &texts[(number + 1) % texts.len()];
                prop_assert_eq!(packed.is(other), text == other);
                prop_assert_eq!(&packed.like(other).unpack(), other);
                prop_assert_eq!(*packed == examples.pack(other), text == other);
            }
            prop_assert!(examples.0.lock().len() <= MOST_BYTES);
        }
    }
}
