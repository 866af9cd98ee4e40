//! Text for terminals: tables, colours, ages.

use std::io::{self, Write as _};
#[cfg(unix)]
use std::os::fd::AsFd as _;

use console::{Alignment, Style, measure_text_width, pad_str, truncate_str};
use jiff::Timestamp;
#[cfg(unix)]
use tokio::{
    io::{Interest, Ready},
    net::unix::pipe,
};

use super::Error;
use crate::{comparison::show, nearest::nearest};

/// The space between two columns, as kubectl prints it.
const GAP: &str = "   ";
/// The space between two columns of a table that would otherwise be too wide.
const NARROW_GAP: &str = "  ";

/// The width of the terminal, or of `COLUMNS` without a terminal. None if text may have any width.
pub(super) fn width() -> Option<usize> {
    let of_terminal = || console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    of_terminal().or_else(|| std::env::var("COLUMNS").ok()?.parse().ok()).filter(|columns| *columns > 0)
}

/// Colours, or none. A colour never carries meaning alone: each coloured text is a word with the same meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    /// Colours if standard output is a terminal that supports them and `NO_COLOR` is not set.
    pub(super) fn of_stdout() -> Self {
        let is_forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_on: !is_forbidden && console::colors_enabled() }
    }

    /// No colours.
    #[cfg(test)]
    pub(super) const NONE: Self = Self { is_on: false };

    pub(super) fn bold(self, text: &str) -> String {
        self.with(&Style::new().bold(), text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with(&Style::new().dim(), text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with(&Style::new().green(), text)
    }

    pub(super) fn warn(self, text: &str) -> String {
        self.with(&Style::new().yellow(), text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with(&Style::new().red(), text)
    }

    fn with(self, style: &Style, text: &str) -> String {
        if self.is_on { style.clone().force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }
}

/// Rows of aligned columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    rows: Vec<TableRow>,
    indent: usize,
    is_narrow: bool,
}

#[derive(Clone, Debug)]
enum TableRow {
    Cells(Vec<String>),
    /// A line without columns.
    Line(String),
}

impl TableRow {
    fn cells(&self) -> &[String] {
        match self {
            Self::Cells(cells) => cells,
            Self::Line(_) => &[],
        }
    }
}

impl Table {
    /// A table with a line of headings.
    pub(super) fn with_headings(headings: &[&str]) -> Self {
        let mut table = Self::default();
        table.row(headings.iter().copied());
        table
    }

    /// Puts this number of spaces before each row.
    pub(super) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Makes the space between columns smaller.
    pub(super) fn narrow(mut self) -> Self {
        self.is_narrow = true;
        self
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(TableRow::Cells(cells.into_iter().map(Into::into).collect()));
    }

    /// Adds a line that does not widen a column.
    pub(super) fn line(&mut self, line: impl Into<String>) {
        self.rows.push(TableRow::Line(line.into()));
    }

    /// The rows as lines.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(|row| row.cells().len()).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells().get(column));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &TableRow| {
            let text = match row {
                TableRow::Line(line) => line.clone(),
                TableRow::Cells(cells) => {
                    let padded = cells.iter().zip(&widths);
                    padded
                        .map(|(cell, width)| pad_str(cell, *width, Alignment::Left, None))
                        .collect::<Vec<_>>()
                        .join(if self.is_narrow { NARROW_GAP } else { GAP })
                }
            };
            format!("{}\n", format!("{}{text}", " ".repeat(self.indent)).trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}

/// The time since an event, as kubectl prints ages: `45s`, `12m`, `3h`, `9d`.
pub(super) fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "<unknown>".to_owned() };
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{minutes}m"),
        7200..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// `1 drift`, `2 drifts`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A time as people read it, in UTC.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A text from another user or from the cloud on one line, without control characters.
pub(super) fn one_line(text: &str) -> String {
    if text.chars().any(char::is_control) { show::escape(text).into_owned() } else { text.to_owned() }
}

/// A text within the rows and columns of a terminal, so that it can be redrawn in place. A longer text keeps its end.
pub(super) fn fitted(text: &str, (rows, columns): (u16, u16)) -> String {
    let all: Vec<&str> = text.lines().collect();
    let above = all.len().saturating_sub(usize::from(rows.saturating_sub(1)).max(1));
    let cut = |line: &&str| truncate_str(line, usize::from(columns.max(1)), "…").into_owned();
    lines(all.iter().skip(above).map(cut))
}

/// A suggestion of the name that is most similar to an unknown one; empty without any.
pub(super) fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = nearest(name, known).into_iter().next();
    nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}

/// Each text on a separate line.
pub(super) fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
}

/// Writes to standard output. A reader that has closed the pipe ends the command.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Waits until the reader of standard output has closed the pipe, for commands that print rarely.
pub(super) async fn closed() {
    // Other outputs have no reader that could close them. Only readiness is used: writes stay blocking.
    #[cfg(unix)]
    if let Ok(out) = io::stdout().as_fd().try_clone_to_owned()
        && let Ok(pipe) = pipe::Sender::from_owned_fd_unchecked(out)
        && pipe.ready(Interest::ERROR).await.is_ok_and(Ready::is_error)
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Writes a note to standard error, so that standard output contains only results.
pub(super) fn note(text: &str) {
    // If standard error is closed, a note has no reader.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let mut table = Table::with_headings(&["NAME", "VALUE", "AGE"]);
        table.row(["web-1", "日本語", "3h"]);
        table.row(["longer-name", Paint { is_on: true }.bad("red").as_str(), "9d"]);
        let plain = console::strip_ansi_codes(&table.render()).into_owned();
        expect![[r"
            NAME          VALUE    AGE
            web-1         日本語   3h
            longer-name   red      9d
        "]]
        .assert_eq(&plain);
    }

    #[test]
    fn a_text_that_is_redrawn_fits_the_terminal() {
        assert_eq!(fitted("one\ntwo\n", (24, 80)), "one\ntwo\n");
        assert_eq!(fitted("one\ntwo\nthree\n", (3, 4)), "two\nthr…\n");
        assert_eq!(fitted("日本語", (0, 3)), "日…\n");
    }

    #[test]
    fn foreign_texts_do_not_command_the_terminal() {
        assert_eq!(one_line("approved in OPS-123, ümläut"), "approved in OPS-123, ümläut");
        assert_eq!(one_line("a\nb\u{1b}[2J"), r#""a\nb\u001b[2J""#);
    }

    #[test]
    fn ages_have_one_unit() {
        let now: Timestamp = "2026-05-10T12:00:00Z".parse().unwrap();
        let of = |seconds: i64| age(Timestamp::from_second(now.as_second() - seconds).ok(), now);
        let shown = [0, 119, 120, 7199, 7200, 172_799, 172_800, -5].map(of);
        assert_eq!(shown, ["0s", "119s", "2m", "119m", "2h", "47h", "2d", "0s"]);
        assert_eq!(age(None, now), "<unknown>");
    }
}
