//! The API token, in a type that cannot be printed.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::{Mutex, MutexGuard};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::Error;

/// A DigitalOcean API token. It prints as `Token(hidden)` and is overwritten in memory when dropped. A token from a
/// file is read again when the file changes. Clones share it.
#[derive(Clone)]
pub struct Token {
    text: Arc<Mutex<TokenText>>,
    file: Option<PathBuf>,
}

struct TokenText {
    secret: SecretString,
    /// The modification time of the file when it was read.
    modified: Option<SystemTime>,
    /// The modification time of the file whose contents were refused last.
    refused: Option<SystemTime>,
    /// The number of times that it was read.
    version: u64,
}

impl TokenText {
    fn new(secret: SecretString, modified: Option<SystemTime>) -> Self {
        Self { secret, modified, refused: None, version: 0 }
    }
}

impl Token {
    /// Takes the token's text, without surrounding white space, which secrets from files often have.
    ///
    /// # Errors
    /// If the text is empty, or cannot be part of a header. The message does not repeat the text.
    pub fn new(text: &str) -> Result<Self, Error> {
        let secret = checked(text)?;
        Ok(Self { text: Arc::new(Mutex::new(TokenText::new(secret, None))), file: None })
    }

    /// Reads the token from a file, now and whenever the file changes, as a mounted Secret does when it is renewed.
    ///
    /// # Errors
    /// If the file cannot be read, or contains no token.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let unusable = |why: &dyn fmt::Display| Error::Config(format!("the token file {}: {why}", path.display()));
        let modified = modified(path).map_err(|error| unusable(&error))?;
        let text = fs::read_to_string(path).map_err(|error| unusable(&error))?;
        if text.trim().is_empty() {
            return Err(unusable(&"it is empty; write the token into it"));
        }
        let secret = checked(&text).map_err(|error| unusable(&error))?;
        let text = Arc::new(Mutex::new(TokenText::new(secret, Some(modified))));
        Ok(Self { text, file: Some(path.to_owned()) })
    }

    /// The `Authorization` header, marked so that HTTP libraries neither log nor index it.
    pub(super) fn header(&self) -> Result<HeaderValue, Error> {
        self.refresh();
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", self.text().secret.expose_secret())).map_err(|_| {
                Error::Config("the DigitalOcean token contains characters that an HTTP header does not allow".into())
            })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Changes whenever the token may have changed.
    pub(super) fn version(&self) -> u64 {
        self.refresh();
        self.text().version
    }

    /// Returns `text` without the token, in case a server has echoed it.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(self.text().secret.expose_secret(), "(token)")
    }

    /// Reads the file again, if it changed. A missing or incomplete file leaves the token unchanged.
    fn refresh(&self) {
        let Some(path) = &self.file else { return };
        let Ok(modified) = modified(path) else { return };
        if self.text().modified == Some(modified) {
            return;
        }
        let read = fs::read_to_string(path).map_err(|error| error.to_string());
        match read.and_then(|text| checked(&text).map_err(|error| error.to_string())) {
            Ok(secret) => {
                let mut text = self.text();
                if text.secret.expose_secret() == secret.expose_secret() {
                    // The file was written again.
                    text.modified = Some(modified);
                    return;
                }
                let version = text.version.wrapping_add(1);
                *text = TokenText { version, ..TokenText::new(secret, Some(modified)) };
                drop(text);
                tracing::info!(file = %path.display(), "read the DigitalOcean token again");
            }
            Err(error) => {
                // Read again for each call, since a file may be written in parts, but logged once.
                if self.text().refused.replace(modified) != Some(modified) {
                    tracing::warn!(file = %path.display(), error, "kept the DigitalOcean token as it was");
                }
            }
        }
    }

    fn text(&self) -> MutexGuard<'_, TokenText> {
        self.text.lock()
    }
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

fn checked(text: &str) -> Result<SecretString, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::Config("the DigitalOcean token is empty: set DIGITALOCEAN_TOKEN".into()));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Config(
            "the DigitalOcean token contains invalid characters (white space or non-ASCII): check its source".into(),
        ));
    }
    Ok(SecretString::from(text))
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
    fn a_token_in_a_file_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let write = |text: &str, second: u64| {
            fs::write(&path, text).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        write("first\n", 1);
        let token = Token::from_file(&path).unwrap();
        let says = || String::from_utf8(token.clone().header().unwrap().as_bytes().to_vec()).unwrap();
        assert_eq!((says(), token.version()), ("Bearer first".into(), 0));
        write("second\n", 2);
        assert_eq!((token.version(), says(), token.version()), (1, "Bearer second".into(), 1));
        // Renewed in two steps, or missing for a moment.
        write("", 3);
        assert_eq!((says(), token.version()), ("Bearer second".into(), 1));
        assert_eq!(token.text().refused, Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(3)));
        fs::remove_file(&path).unwrap();
        assert_eq!(says(), "Bearer second");
        write("", 4);
        assert_eq!(says(), "Bearer second");
        write("third", 4);
        assert_eq!(says(), "Bearer third");
        let missing = Token::from_file(Path::new("/does/not/exist")).unwrap_err().to_string();
        assert!(missing.contains("/does/not/exist"), "{missing}");
    }

    #[test]
    fn a_token_that_cannot_be_one_is_refused_without_repeating_it() {
        for text in ["", "  ", "two words", "ünusual"] {
            let error = Token::new(text).unwrap_err().to_string();
            assert!(text.trim().is_empty() || !error.contains(text), "{error}");
        }
    }
}
