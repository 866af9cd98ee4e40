//! Questions before a command has an effect.

use std::io::{self, IsTerminal as _, stdin};

use super::{Error, text};

/// The use of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It can answer questions.
    Free,
    /// The command has read names from it.
    Used,
}

/// Waits for the user's input, on a separate thread: meanwhile Ctrl-C ends the command.
pub(super) async fn typed(read: impl Fn() -> io::Result<String> + Clone + Send + 'static) -> Result<String, Error> {
    loop {
        let outcome = tokio::task::spawn_blocking(read.clone()).await.map_err(io::Error::other).and_then(|read| read);
        match outcome {
            // By a signal: Ctrl-C, or one that has no meaning here.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => tokio::task::yield_now().await,
            outcome => {
                let failed = |source| Error::File { doing: "reading", path: "standard input".to_owned(), source };
                return outcome.map_err(failed);
            }
        }
    }
}

/// Shows a question with its possible answers, and reads the answer. Anything except yes means no.
pub(super) async fn confirm(question: &str, input: Input) -> Result<bool, Error> {
    if input == Input::Used || !stdin().is_terminal() {
        return Err(Error::usage("the command needs a confirmation, and standard input cannot give it: add --yes"));
    }
    console::Term::stderr().write_str(&format!("{question}\nContinue? [y/N] "))?;
    // The end of the input is an empty answer.
    let answer = typed(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    })
    .await?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !is_yes {
        text::note("Nothing was changed.");
    }
    Ok(is_yes)
}
