//! An animated SVG of lines that appear one after another, as on a terminal.
//!
//! A recording of this demo only appends lines. So each line is drawn once, with two animations: the text scrolls, and
//! a cover hides later lines. General converters draw the whole screen for each moment, which is ten times as large,
//! and show nothing if animations are disabled.

use std::{fmt::Write as _, time::Duration};

use console::AnsiCodeIterator;

use super::line::Line;

/// The size of the terminal.
const ROWS: usize = 24;
const COLUMNS: usize = 80;
/// The height of a line in pixels.
const LINE: usize = 18;
/// The width of the text in pixels. A character of 14 pixels is up to 8.43 pixels wide in the fonts of the style.
const WIDTH: usize = COLUMNS * 17 / 2;
/// Space around the text.
const MARGIN: usize = 14;
/// The time that a reader needs for a line, and the longest pause of the demo.
const READING: Duration = Duration::from_millis(450);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// The time for which the last line stays before the recording starts again.
const END: Duration = Duration::from_secs(6);

const STYLE: &str = "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d6deeb;\
                     white-space:pre}.b{font-weight:bold;fill:#fff}.d{fill:#7f8c98}.c{fill:#7fdbca}.g{fill:#8fd48f}\
                     .y{fill:#f2c063}.r{fill:#f47c7c}@media(prefers-reduced-motion:reduce){.t,.h{animation:none!important}}";

const DESCRIPTION: &str = "A recording of the demo. A droplet is resized in the cloud console; the change appears in \
                           the inbox and is accepted, while a pipeline applies the old manifest every second. Then a \
                           script removes a tag, and a saga reverts it. demo.txt contains the whole text.";

/// The picture. Without animations, it shows the moment after the first accepted change.
pub(super) fn animated(lines: &[Line]) -> String {
    let (width, height) = (WIDTH + 2 * MARGIN, ROWS * LINE + 2 * MARGIN);
    let moments = moments(lines);
    let length = moments.last().map(|moment| moment.at + END).unwrap_or_default();
    let still = lines.iter().position(|line| line.text.contains(" Accepted (")).map_or(lines.len(), |line| line + 1);

    let mut scroll = String::new();
    let mut cover = String::new();
    for moment in &moments {
        let percent = 100.0 * moment.at.as_secs_f64() / length.as_secs_f64();
        let (scrolled, covered) = positions(moment.lines);
        let _ = write!(scroll, "{percent:.2}%{{transform:translateY(-{scrolled}px)}}");
        let _ = write!(cover, "{percent:.2}%{{transform:translateY({covered}px)}}");
    }
    let (scrolled, covered) = positions(still);
    let seconds = length.as_secs_f64();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" xml:space=\"preserve\"><title>cargo demo</title><desc>{DESCRIPTION}</desc>\n<style>{STYLE}\
         .t{{animation:t {seconds:.1}s steps(1,end) infinite}}\
         .h{{animation:h {seconds:.1}s steps(1,end) infinite}}\n\
         @keyframes t{{{scroll}}}\n@keyframes h{{{cover}}}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#10171f\"/>\n\
         <svg x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{}\" height=\"{}\"><g class=\"t\" transform=\"translate(0 -{scrolled})\">\n",
        WIDTH,
        ROWS * LINE,
    );
    for (number, line) in lines.iter().enumerate() {
        let text = spans(&line.text);
        if !text.is_empty() {
            // The baseline of the text.
            let y = number * LINE + 14;
            let _ = writeln!(svg, "<text y=\"{y}\">{text}</text>");
        }
    }
    let _ = writeln!(
        svg,
        "</g><rect class=\"h\" transform=\"translate(0 {covered})\" width=\"100%\" height=\"100%\" fill=\"#10171f\"/></svg></svg>"
    );
    svg
}

/// The scroll offset and the start of the cover, after this many lines.
fn positions(lines: usize) -> (usize, usize) {
    (lines.saturating_sub(ROWS) * LINE, lines.min(ROWS) * LINE)
}

/// A time of the picture and the number of visible lines.
struct Moment {
    at: Duration,
    lines: usize,
}

/// The times of the demo, with time to read and without long pauses.
fn moments(lines: &[Line]) -> Vec<Moment> {
    let mut moments = vec![Moment { at: Duration::ZERO, lines: 0 }];
    let mut at = Duration::ZERO;
    let mut unread = 0_u32;
    let mut last = Duration::ZERO;
    for (number, line) in lines.iter().enumerate() {
        // An empty line starts a part of the story.
        let is_part = line.text.is_empty();
        let pause = (line.at.saturating_sub(last)).min(LONGEST_PAUSE);
        let reading = if is_part { READING * unread } else { Duration::ZERO };
        at += pause.max(reading);
        unread = if is_part { 0 } else { unread + 1 };
        last = line.at;
        match moments.last_mut().filter(|moment| moment.at == at || pause < Duration::from_millis(30) && !is_part) {
            Some(moment) => moment.lines = number + 1,
            None => moments.push(Moment { at, lines: number + 1 }),
        }
    }
    moments
}

/// A line as SVG text: a span for each run of one style.
fn spans(line: &str) -> String {
    let mut svg = String::new();
    let mut class = String::new();
    for (text, is_code) in AnsiCodeIterator::new(line) {
        if is_code {
            class = after(&class, text);
        } else if class.is_empty() {
            svg += &escaped(text);
        } else {
            let _ = write!(svg, "<tspan class=\"{class}\">{}</tspan>", escaped(text));
        }
    }
    svg
}

/// The classes after a code for colours, such as `ESC[1m`.
fn after(class: &str, code: &str) -> String {
    let numbers = code.trim_start_matches("\u{1b}[").trim_end_matches('m');
    let mut classes: Vec<&str> = class.split(' ').filter(|class| !class.is_empty()).collect();
    for number in numbers.split(';') {
        match number {
            "1" => classes.push("b"),
            "2" => classes.push("d"),
            "31" => classes.push("r"),
            "32" => classes.push("g"),
            "33" => classes.push("y"),
            "36" => classes.push("c"),
            _ => classes.clear(),
        }
    }
    classes.join(" ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, text: &str) -> Line {
        Line { at: Duration::from_millis(at), text: text.to_owned() }
    }

    #[test]
    fn colours_become_classes() {
        assert_eq!(
            spans("\u{1b}[2m$\u{1b}[0m \u{1b}[1mkubectl get <x>\u{1b}[0m &"),
            r#"<tspan class="d">$</tspan> <tspan class="b">kubectl get &lt;x&gt;</tspan> &amp;"#
        );
    }

    #[test]
    fn a_reader_has_time_and_never_waits_long() {
        let lines = [line(0, ""), line(0, "one"), line(1, "two"), line(5, ""), line(5, "three"), line(60_000, "four")];
        let moments = moments(&lines);
        let shown: Vec<_> = moments.iter().map(|moment| (moment.at.as_millis(), moment.lines)).collect();
        assert_eq!(shown, [(0, 3), (901, 5), (3901, 6)]);
    }

    #[test]
    fn a_picture_scrolls_and_has_a_still_moment() {
        let lines: Vec<_> = (0..30).map(|number| line(number * 100, &format!("line {number} Accepted ("))).collect();
        let svg = animated(&lines);
        assert!(
            svg.contains("translateY(-108px)}") && svg.contains("class=\"h\" transform=\"translate(0 18)\""),
            "{svg}"
        );
        assert_eq!(svg.matches("<text").count(), 30);
        // Not every viewer knows white-space:pre, which keeps the columns of tables.
        assert!(
            svg.contains("xml:space=\"preserve\"")
                && svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"708\"")
        );
    }
}
