//! Questions before a command has an effect.

use std::io::{self, IsTerminal as _, stdin};

use super::{Error, text};

/// Whether standard input can answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It is what the user types.
    Free,
    /// The command has read names from it.
    Used,
}

/// Waits for what the user types, on a thread of its own: Ctrl-C ends the command meanwhile.
pub(super) async fn typed(read: impl Fn() -> io::Result<String> + Clone + Send + 'static) -> Result<String, Error> {
    loop {
        let outcome = tokio::task::spawn_blocking(read.clone()).await.map_err(io::Error::other).and_then(|read| read);
        match outcome {
            // By a signal: of Ctrl-C, or of one that means nothing here.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => tokio::task::yield_now().await,
            outcome => {
                let failed = |source| Error::File { doing: "reading", path: "standard input".to_owned(), source };
                return outcome.map_err(failed);
            }
        }
    }
}

/// Shows a question that ends in what to answer, and reads the answer. Anything but yes is no.
pub(super) async fn confirm(question: &str, input: Input) -> Result<bool, Error> {
    if input == Input::Used || !stdin().is_terminal() {
        return Err(Error::usage("the command needs a confirmation, and standard input cannot give it: add --yes"));
    }
    let terminal = console::Term::stderr();
    terminal.write_str(&format!("{question}\nContinue? [y/N] "))?;
    let answer = typed(move || terminal.read_line()).await?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !is_yes {
        text::note("Nothing was changed.");
    }
    Ok(is_yes)
}
