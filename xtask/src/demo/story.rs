//! The output of the demo on a terminal: explanations, the commands as a user types them, and their output.

use std::{
    fmt::Display,
    fs,
    io::{self, Write as _, stdin},
    thread,
};

use console::style;
use tokio::sync::mpsc;

use crate::{Error, project};

/// The columns of a standard terminal.
pub(super) const COLUMNS: usize = 80;

/// The pauses between the parts of the story.
pub(super) struct Pace {
    /// A message for each line of standard input; none if the demo does not wait.
    enters: Option<mpsc::UnboundedReceiver<()>>,
}

impl Pace {
    /// Waits for Enter before each part if `by_step` is true.
    pub(super) fn new(by_step: bool) -> Self {
        Self { enters: by_step.then(enters) }
    }

    /// Waits for Enter, and prints the next explanation.
    pub(super) async fn part(&mut self, text: &str) {
        if let Some(enters) = &mut self.enters {
            print(format_args!("\n{}", style("Press Enter to continue.").dim()));
            // The end of standard input ends the waiting, not the demo.
            if enters.recv().await.is_none() {
                self.enters = None;
            }
        }
        say(text);
    }
}

/// Reads on a separate thread: a read of standard input cannot be cancelled, and would delay the end of the demo.
fn enters() -> mpsc::UnboundedReceiver<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in stdin().lines() {
            if line.is_err() || sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Prints a line. A closed output is ignored: the demo ends with its story.
pub(super) fn print(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints an explanation.
pub(super) fn say(text: &str) {
    print("");
    for line in folded(text.split_whitespace().map(str::to_owned), "", "") {
        print(format_args!("{}", style(line).cyan()));
    }
}

/// Shows a command before it runs, on as many lines as it needs.
pub(super) fn show_command(words: &[&str]) {
    let prompt = style("$").dim();
    for (number, line) in folded(words.iter().map(|word| quoted(word)), "    ", " \\").into_iter().enumerate() {
        let prompt = if number == 0 { format!("{prompt} ") } else { String::new() };
        print(format_args!("{prompt}{}", style(line).bold()));
    }
}

/// Shows a file of the project.
pub(super) fn show_file(path: &str) -> Result<(), Error> {
    show_command(&["cat", path]);
    print!("{}", fs::read_to_string(project::root().join(path)).map_err(Error::system(format!("read {path}")))?);
    Ok(())
}

/// Folds words into lines: each except the last ends with `end`, each except the first begins with `begin`.
fn folded(words: impl Iterator<Item = String>, begin: &str, end: &str) -> Vec<String> {
    // The prompt comes before the first line.
    let room = COLUMNS - 2 - end.len();
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            Some(line) => {
                line.push_str(end);
                lines.push(format!("{begin}{word}"));
            }
            None => lines.push(word),
        }
    }
    lines
}

/// A word quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,@".contains(character);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_can_be_pasted() {
        let words = [
            "kubectl",
            "arcadia",
            "accept",
            "--change",
            "a4b70a39",
            "--because",
            "traffic doubled",
            "--yes",
            "--wait",
            "-A",
        ];
        let lines = folded(words.iter().map(|word| quoted(word)), "    ", " \\");
        assert_eq!(
            lines,
            ["kubectl arcadia accept --change a4b70a39 --because 'traffic doubled' --yes \\", "    --wait -A"]
        );
        assert!(lines.iter().all(|line| line.len() + 2 <= COLUMNS), "{lines:?}");
    }
}
