//! How the demo reads on a terminal: what happens, the commands as a user types them, and what they print.

use std::fs;

use console::style;

use crate::{Error, project};

/// Tells what happens.
pub(super) fn say(text: &str) {
    println!("\n{}", style(text).cyan());
}

/// Shows a command before it runs.
pub(super) fn show_command(words: &[&str]) {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    println!("{} {}", style("$").dim(), style(words.join(" ")).bold());
}

/// Shows a file of the project.
pub(super) fn show_file(path: &str) -> Result<(), Error> {
    show_command(&["cat", path]);
    print!("{}", fs::read_to_string(project::root().join(path)).map_err(Error::system(format!("read {path}")))?);
    Ok(())
}

/// A word as it has to be typed in a shell.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,@".contains(character);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
