//! Short digests of texts.

use sha2::{Digest as _, Sha256};

/// The first bytes of a text's digest, in hexadecimal.
#[must_use]
pub(super) fn short_digest(text: &str, bytes: usize) -> String {
    Sha256::digest(text).iter().take(bytes).fold(String::new(), |digest, byte| digest + &format!("{byte:02x}"))
}
