//! `cargo xtask record`: the picture of the README, an animated SVG of the real demo, and its text.

mod line;
mod svg;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Error, project};
use line::Line;

/// The picture; its text serves readers who cannot see it.
const PICTURE: &str = "docs/demo.svg";
const TEXT: &str = "docs/demo.txt";
/// The size above which a README loads slowly.
const LARGEST: usize = 500_000;
/// The maximum time of the demo's story.
const LONGEST: Duration = Duration::from_mins(1);

/// Plays the demo, and writes the picture and its text.
pub(crate) fn write() -> Result<(), Error> {
    let lines = play()?;
    let picture = svg::animated(&lines);
    if picture.len() > LARGEST {
        return Err(Error::LargePicture { bytes: picture.len(), largest: LARGEST });
    }
    for (path, content) in [(PICTURE, &picture), (TEXT, &transcript(&lines))] {
        fs::write(project::root().join(path), content).map_err(Error::system(format!("write {path}")))?;
        println!("wrote {path}: {} bytes", content.len());
    }
    Ok(())
}

/// Plays the demo, and fails if its story differs from the picture, or if it takes too long.
pub(crate) fn check() -> Result<(), Error> {
    let recorded = fs::read_to_string(project::root().join(TEXT)).map_err(Error::system(format!("read {TEXT}")))?;
    let played = transcript(&play()?);
    match difference(&recorded, &played) {
        None => {
            println!("{PICTURE} shows what the demo does");
            Ok(())
        }
        Some((recorded, played)) => Err(Error::OtherStory { picture: Path::new(PICTURE), recorded, played }),
    }
}

/// The first line in which two transcripts tell different stories. A missing line is empty.
fn difference(recorded: &str, played: &str) -> Option<(String, String)> {
    let (mut recorded, mut played) = (story(recorded), story(played));
    loop {
        match (recorded.next(), played.next()) {
            (None, None) => return None,
            (one, other) if one == other => {}
            (one, other) => return Some((one.unwrap_or_default(), other.unwrap_or_default())),
        }
    }
}

/// Runs the demo on a terminal of 80 columns, in colour.
fn play() -> Result<Vec<Line>, Error> {
    let program = std::env::current_exe().map_err(Error::system("find the demo"))?;
    let mut demo = Command::new(program);
    demo.args(["demo", "--once"]).current_dir(project::root()).stdin(Stdio::null()).stdout(Stdio::piped());
    demo.env("COLUMNS", "80").env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
    let mut playing = demo.spawn().map_err(Error::system("run the demo"))?;
    let mut begun = None;
    let mut lines = Vec::new();
    for text in playing.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let text = text.map_err(Error::system("read what the demo tells"))?;
        let at = begun.get_or_insert_with(Instant::now).elapsed();
        lines.push(Line { at, text });
    }
    let status = playing.wait().map_err(Error::system("run the demo"))?;
    if !status.success() {
        return Err(Error::Failed { command: "cargo demo --once".to_owned(), status });
    }
    let took = lines.last().map(|line| line.at).unwrap_or_default();
    println!("the demo took {:.0} s", took.as_secs_f64());
    if took > LONGEST {
        return Err(Error::SlowDemo { took, longest: LONGEST });
    }
    Ok(lines)
}

fn transcript(lines: &[Line]) -> String {
    let lines = lines.iter().map(|line| console::strip_ansi_codes(&line.text).trim_end().to_owned() + "\n");
    lines.collect::<String>().trim_start().to_owned()
}

/// The lines of a transcript, without the parts that differ between runs: numbers, hashes, the width of columns.
fn story(transcript: &str) -> impl Iterator<Item = String> {
    let is_hash = |part: &str| part.len() == 10 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = move |word: &str| {
        if word.starts_with('/') {
            return "FILE".to_owned();
        }
        let parts = word.split('-').map(|part| if is_hash(part) { "HASH".to_owned() } else { without_numbers(part) });
        parts.collect::<Vec<_>>().join("-")
    };
    let line = move |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    transcript.lines().map(line).filter(|line| !line.is_empty())
}

/// Replaces each number by one 0.
fn without_numbers(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if kept.ends_with('0') => {}
            '0'..='9' => kept.push('0'),
            _ => kept.push(character),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_the_same_with_any_numbers() {
        let one = "Kubernetes runs at https://127.0.0.1:23456\n\nweb-1-tags-0123456789-1   12s\n/tmp/x.1/a.log\n";
        let other = "Kubernetes runs at https://127.0.0.1:9\nweb-1-tags-abcdef0123-1  3s\n/tmp/y.2/a.log\n";
        assert_eq!(difference(one, other), None);
        let lines = |one: &str, other: &str| Some((one.to_owned(), other.to_owned()));
        assert_eq!(difference("a drift opens", "no drift opens"), lines("a drift opens", "no drift opens"));
        assert_eq!(difference("a drift opens", "a drift opens\nit closes"), lines("", "it closes"));
        assert_eq!(difference("a drift opens\nit closes", "a drift opens"), lines("it closes", ""));
    }
}
