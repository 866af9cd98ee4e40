//! The API token, in a type that cannot be printed.

use std::fmt;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::Error;

/// A DigitalOcean API token. It prints as `Token(hidden)` and is overwritten in memory when dropped.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// Takes the token's text; surrounding white space, as secrets read from files have, is dropped.
    ///
    /// # Errors
    /// Where nothing is left, or what is left cannot stand in a header. The message does not repeat the text.
    pub fn new(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::Config("the DigitalOcean token is empty: set DIGITALOCEAN_TOKEN".into()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Config(
                "the DigitalOcean token has characters that no token has (white space or non-ASCII): check where it comes from"
                    .into(),
            ));
        }
        Ok(Self(SecretString::from(text)))
    }

    /// The `Authorization` header, marked so that HTTP libraries neither log nor index it.
    pub(super) fn header(&self) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0.expose_secret()))
            .map_err(|_| Error::Config("the DigitalOcean token cannot stand in a header".into()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// `text` without the token, should a server have echoed it.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), "(token)")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let token = Token::new(" dop_v1_secret\n").unwrap();
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        let header = token.header().unwrap();
        assert_eq!(header.as_bytes(), b"Bearer dop_v1_secret");
        assert!(!format!("{header:?}").contains("secret"));
        assert_eq!(token.redact("no dop_v1_secret here"), "no (token) here");
    }

    #[test]
    fn a_token_that_cannot_be_one_is_refused_without_repeating_it() {
        for text in ["", "  ", "two words", "ünusual"] {
            let error = Token::new(text).unwrap_err().to_string();
            assert!(text.trim().is_empty() || !error.contains(text), "{error}");
        }
    }
}
