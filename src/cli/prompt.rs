//! Questions before a command has an effect.

use std::io::{IsTerminal as _, stdin};

use super::{Error, text};

/// Whether standard input can answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It is what the user types.
    Free,
    /// The command has read names from it.
    Used,
}

/// Shows a question that ends in what to answer, and reads the answer. Anything but yes is no.
pub(super) fn confirm(question: &str, input: Input) -> Result<bool, Error> {
    if input == Input::Used || !stdin().is_terminal() {
        return Err(Error::usage("the command needs a confirmation, and standard input cannot give it: add --yes"));
    }
    let terminal = console::Term::stderr();
    terminal.write_str(&format!("{question}\nContinue? [y/N] "))?;
    let answer = terminal.read_line()?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !is_yes {
        text::note("Nothing was changed.");
    }
    Ok(is_yes)
}
