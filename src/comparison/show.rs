//! Values as text for people: in full and in short form.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::scalar;

/// A value in full: text unchanged, anything else as JSON, as kubectl prints it.
#[must_use]
pub(crate) fn full(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string(),
        Value::Null => "null".to_owned(),
        value => scalar::text(value).map(Cow::into_owned).unwrap_or_default(),
    }
}

/// A value in at most `columns` columns, with unreadable characters escaped.
#[must_use]
pub(crate) fn short(value: &Value, columns: usize) -> String {
    short_text(&full(value), columns)
}

/// A text in at most `columns` columns, with unreadable characters escaped.
#[must_use]
pub(crate) fn short_text(text: &str, columns: usize) -> String {
    // Escaping reads the whole text, but most of a long text is cut off.
    let bound = text.char_indices().nth(columns.saturating_mul(2).max(64)).map_or(text.len(), |(at, _)| at);
    let (head, is_cut) = (text.get(..bound).unwrap_or(text), bound < text.len());
    let escaped = escape(head);
    if is_cut { clip(&format!("{escaped}{}", "…".repeat(columns)), columns) } else { clip(&escaped, columns) }
}

/// A text as JSON writes it, if it is not readable unchanged: an empty text, blanks at an edge, or invisible
/// characters.
#[must_use]
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = !text.is_empty() && text.trim() == text && !text.chars().any(is_formless);
    if is_plain {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            sign => push_readable(&mut quoted, sign),
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// A message in one line: its invisible characters are escaped as in JSON, and the rest is unchanged.
#[must_use]
pub(crate) fn visible(message: &str) -> Cow<'_, str> {
    if !message.chars().any(is_formless) {
        return Cow::Borrowed(message);
    }
    let mut readable = String::new();
    message.chars().for_each(|sign| push_readable(&mut readable, sign));
    Cow::Owned(readable)
}

/// Adds a character, escaped if it is invisible.
fn push_readable(text: &mut String, sign: char) {
    match sign {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        sign if is_formless(sign) => {
            for unit in sign.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        sign => text.push(sign),
    }
}

/// Control characters, and characters that change the display of others: zero-width ones, and marks of direction.
fn is_formless(sign: char) -> bool {
    sign.is_control()
        || (sign != ' ' && sign.is_whitespace())
        || matches!(sign,
            '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The number of columns that a text takes on a terminal.
#[must_use]
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// At most `bytes` bytes of a text, cut between two characters.
#[must_use]
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// At most `columns` columns of a text; `…` replaces the rest.
#[must_use]
pub(crate) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut clipped = String::new();
    let mut room = columns.saturating_sub(1);
    for sign in text.chars() {
        let Some(left) = room.checked_sub(sign.width().unwrap_or(0)) else { break };
        room = left;
        clipped.push(sign);
    }
    clipped + "…"
}

/// The last `columns` columns of a text; `…` replaces the part before them.
#[must_use]
pub(crate) fn clip_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let backwards: String = text.chars().rev().collect();
    clip(&backwards, columns).chars().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_kubectl_prints_them() {
        assert_eq!(full(&json!("s-2vcpu-4gb")), "s-2vcpu-4gb");
        assert_eq!(full(&json!(2.0)), "2");
        assert_eq!(full(&json!(0.5)), "0.5");
        assert_eq!(full(&json!(["web", "prod"])), r#"["web","prod"]"#);
        assert_eq!(full(&json!(null)), "null");
    }

    #[test]
    fn short_forms_escape_all_that_has_no_form_and_fit() {
        for (value, wanted) in [
            (json!("plain text"), "plain text"),
            (json!(""), r#""""#),
            (json!(" a"), r#"" a""#),
            (json!("a\nb\tc"), r#""a\nb\tc""#),
            (json!("a\u{202e}b"), r#""a\u202eb""#),
            (json!("\u{200b}"), r#""\u200b""#),
            (json!("a\u{1b}[31m"), r#""a\u001b[31m""#),
            (json!("日本語"), "日本語"),
            (json!(null), "null"),
            (json!("0123456789012345678901234567890123456789"), "0123456789012345678901234567890123456789"),
            (json!("01234567890123456789012345678901234567890"), "012345678901234567890123456789012345678…"),
        ] {
            assert_eq!(short(&value, 40), wanted, "{value}");
        }
        // Two characters for each column.
        let accents = |count| "e\u{301}".repeat(count);
        assert_eq!(short(&json!(accents(60)), 40), format!("{}…", accents(39)));
    }

    #[test]
    fn messages_stay_in_one_line_and_are_escaped_once() {
        for (message, wanted) in [
            ("step \"a\": 503 Service Unavailable", "step \"a\": 503 Service Unavailable"),
            ("line one\nline two", "line one\\nline two"),
            ("a\u{200b}b \u{202e}c", "a\\u200bb \\u202ec"),
            ("", ""),
        ] {
            assert_eq!(visible(message), wanted);
            assert_eq!(visible(&visible(message)), wanted);
        }
    }

    proptest! {
        #[test]
        fn short_forms_never_break_a_line_or_overflow(text in "\\PC{0,80}|(?s).{0,80}", columns in 8_usize..60) {
            let short = short(&json!(text), columns);
            prop_assert!(width(&short) <= columns, "{:?} is {} wide", short, width(&short));
            prop_assert!(!short.chars().any(is_formless) && !short.is_empty());
        }
    }
}
