//! Changes one value in a YAML or JSON text, in place: comments, layout and the notation of everything else stay. Pure.
//!
//! The syntax tree locates the value, and this file writes the new text there. Maps and lists are changed item by item;
//! if that does not result in the wanted value, the whole value is replaced. Finally the result is parsed: a change
//! that would affect anything else is refused.

use serde_json::{Map, Value};
use yamlpath::{Component, Document, Route};

use crate::{cli::files::yaml_options, comparison::is_alike};

/// The place of a value: keys and positions.
pub(super) type YamlPath = Vec<Component<'static>>;

/// The notation of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    Yaml,
    Json,
}

/// The reason why a value cannot be changed in place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The text cannot be read.
    #[error("it is not {0}")]
    Syntax(&'static str),
    /// The value is not at the expected place.
    #[error("the value was not found: {0}")]
    Place(String),
    /// A change in place would also change something else.
    #[error("its value cannot be changed without changing something else; check the file for anchors and merge keys")]
    Entangled,
}

impl From<yamlpath::QueryError> for Error {
    fn from(error: yamlpath::QueryError) -> Self {
        Self::Place(error.to_string())
    }
}

/// One document, and the place of the map that contains the value.
pub(super) struct Editor<'t> {
    /// One document, not a stream of several.
    pub(super) text: &'t str,
    pub(super) notation: Notation,
    pub(super) map: &'t YamlPath,
}

impl Editor<'_> {
    /// The text with this value under the key.
    pub(super) fn set(&self, key: &str, value: &Value) -> Result<String, Error> {
        let before = parse(self.text)?;
        let map = at(&before, self.map).and_then(Value::as_object).ok_or_else(|| not_found("a map"))?;
        let place = joined(self.map, key.to_owned().into());
        let Some(old) = map.get(key) else {
            let added = self.add_key(self.text, self.map, key, value)?;
            return self.checked(added, &before, &place, value);
        };
        let item_by_item =
            self.change(self.text, &place, old, value).and_then(|text| self.checked(text, &before, &place, value));
        item_by_item.or_else(|_| {
            let whole = self.replace(self.text, &place, old, value)?;
            self.checked(whole, &before, &place, value)
        })
    }

    /// Returns the changed text, if only the value differs.
    fn checked(&self, text: String, before: &Value, place: &YamlPath, value: &Value) -> Result<String, Error> {
        let mut after = parse(&text).map_err(|_| Error::Entangled)?;
        let mut expected = before.clone();
        let is_set = at(&after, place).is_some_and(|found| is_alike(found, value));
        for document in [&mut after, &mut expected] {
            put(document, place, Value::Null);
        }
        if !is_set || after != expected || (self.notation == Notation::Json && !is_json(&text)) {
            return Err(Error::Entangled);
        }
        Ok(text)
    }

    /// Makes the smallest change of the value at this place.
    fn change(&self, text: &str, place: &YamlPath, old: &Value, new: &Value) -> Result<String, Error> {
        match (old, new) {
            // Another notation of the same value is kept.
            _ if is_alike(old, new) => Ok(text.to_owned()),
            (Value::Object(old), Value::Object(new)) if !old.is_empty() && !new.is_empty() => {
                self.change_map(text, place, old, new)
            }
            (Value::Array(old), Value::Array(new)) if !old.is_empty() && !new.is_empty() => {
                self.change_list(text, place, old, new)
            }
            _ => self.replace(text, place, old, new),
        }
    }

    fn change_map(
        &self,
        text: &str,
        place: &YamlPath,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Result<String, Error> {
        let mut text = text.to_owned();
        for (key, value) in new {
            text = match old.get(key) {
                Some(old) => self.change(&text, &joined(place, key.clone().into()), old, value)?,
                None => self.add_key(&text, place, key, value)?,
            };
        }
        for key in old.keys().filter(|key| !new.contains_key(*key)) {
            text = remove(&text, &joined(place, key.clone().into()))?;
        }
        Ok(text)
    }

    /// Lists count as sets: remaining items keep their positions.
    fn change_list(&self, text: &str, place: &YamlPath, old: &[Value], new: &[Value]) -> Result<String, Error> {
        let mut to_come: Vec<&Value> = new.iter().collect();
        let mut to_go: Vec<(usize, &Value)> = Vec::new();
        for (position, item) in old.iter().enumerate() {
            match to_come.iter().position(|other| is_alike(item, other)) {
                Some(found) => {
                    to_come.remove(found);
                }
                None => to_go.push((position, item)),
            }
        }
        let mut text = text.to_owned();
        for ((position, item), value) in to_go.iter().zip(&to_come) {
            text = self.change(&text, &joined(place, (*position).into()), item, value)?;
        }
        for (position, _) in to_go.iter().skip(to_come.len()).rev() {
            text = remove(&text, &joined(place, (*position).into()))?;
        }
        for (more, value) in to_come.iter().skip(to_go.len()).enumerate() {
            text = self.add_item(&text, place, old.len() + more, value)?;
        }
        Ok(text)
    }

    /// Replaces the value as a whole.
    fn replace(&self, text: &str, place: &YamlPath, old: &Value, new: &Value) -> Result<String, Error> {
        let document = Document::new(text)?;
        let route = Route::from(place.clone());
        let Some((start, end)) = extent(&document, place, old)? else {
            let colon = colon(&document, &route)?;
            return Ok(spliced(text, colon, colon, &format!(" {}", self.inline(new, Quotes::None))));
        };
        let written = text.get(start..end).unwrap_or_default();
        let quotes = Quotes::of(written);
        if quotes == Quotes::Block
            && let Some(block) = new.as_str().and_then(|new| block_scalar(written, new))
        {
            return Ok(spliced(text, start, end, &block));
        }
        let inline = self.inline(new, quotes);
        let line = start - column(text, start);
        let has_own_line = text.get(line..start).is_some_and(|before| before.trim().is_empty());
        if !(is_composite(old) && has_own_line && matches!(place.last(), Some(Component::Key(_)))) {
            return Ok(spliced(text, start, end, &inline));
        }
        // A block starts on a line after its key; its replacement follows the colon.
        let colon = colon(&document, &route)?;
        if text.get(colon..start).is_some_and(|gap| gap.trim().is_empty()) {
            return Ok(spliced(text, colon, end, &format!(" {inline}")));
        }
        // Comments between them are kept.
        let rest = text.get(end..).unwrap_or_default();
        let line_end = rest.find('\n').map_or(rest.len(), |line_end| line_end + 1);
        let is_alone = rest.get(..line_end).is_some_and(|rest| rest.trim().is_empty());
        let text = if is_alone { spliced(text, line, end + line_end, "") } else { spliced(text, start, end, "") };
        Ok(spliced(&text, colon, colon, &format!(" {inline}")))
    }

    fn add_item(&self, text: &str, place: &YamlPath, count: usize, new: &Value) -> Result<String, Error> {
        let document = Document::new(text)?;
        let list = span(&document, &Route::from(place.clone()))?.ok_or_else(|| not_found("a list"))?;
        let before = parse(text)?;
        let at_end = joined(place, count.saturating_sub(1).into());
        let value = at(&before, &at_end).ok_or_else(|| not_found("its last item"))?;
        let end = extent(&document, &at_end, value)?.ok_or_else(|| not_found("its last item"))?;
        let quotes = Quotes::of(text.get(end.0..end.1).unwrap_or_default());
        if text.get(list.0..).is_some_and(|list| list.starts_with('[')) {
            return Ok(spliced(text, end.1, end.1, &format!(", {}", self.inline(new, quotes))));
        }
        let indent = column(text, list.0);
        let item = self.block(new, quotes, indent + 2)?;
        Ok(on_next_line(text, end.1, &format!("{}- {}", " ".repeat(indent), item.trim_start())))
    }

    fn add_key(&self, text: &str, place: &YamlPath, key: &str, new: &Value) -> Result<String, Error> {
        let before = parse(text)?;
        let keys = at(&before, place).and_then(Value::as_object).ok_or_else(|| not_found("a map"))?;
        let document = Document::new(text)?;
        let map = span(&document, &Route::from(place.clone()))?.ok_or_else(|| not_found("a map"))?;
        let mut end = None;
        for (key, value) in keys {
            let place = joined(place, key.clone().into());
            let of_key = match extent(&document, &place, value)? {
                Some((_, end)) => end,
                None => colon(&document, &Route::from(place))?,
            };
            end = end.max(Some(of_key));
        }
        let name = self.inline(&key.into(), Quotes::None);
        let is_flow = text.get(map.0..).is_some_and(|map| map.starts_with('{'));
        match end {
            None => {
                let pair = format!("{{{name}: {}}}", self.inline(new, Quotes::None));
                Ok(spliced(text, map.0, map.1, &pair))
            }
            Some(end) if is_flow => {
                Ok(spliced(text, end, end, &format!(", {name}: {}", self.inline(new, Quotes::None))))
            }
            Some(end) => {
                let indent = column(text, map.0);
                let value = self.block(new, Quotes::None, indent + 2)?;
                let gap = if value.contains('\n') || value.starts_with(' ') { "\n" } else { " " };
                Ok(on_next_line(text, end, &format!("{}{name}:{gap}{value}", " ".repeat(indent))))
            }
        }
    }

    /// A value on separate lines with this indentation, or on one line if it is a scalar.
    fn block(&self, value: &Value, quotes: Quotes, indent: usize) -> Result<String, Error> {
        if !is_composite(value) || self.notation == Notation::Json {
            return Ok(self.inline(value, quotes));
        }
        let text = serde_saphyr::to_string(value).map_err(|_| Error::Syntax("YAML"))?;
        let lines = text.lines().map(|line| format!("{}{line}", " ".repeat(indent)));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    /// A value on one line, valid in any context.
    fn inline(&self, value: &Value, quotes: Quotes) -> String {
        match (value, self.notation) {
            (Value::Array(items), _) => {
                let items: Vec<String> = items.iter().map(|item| self.inline(item, Quotes::None)).collect();
                format!("[{}]", items.join(", "))
            }
            (Value::Object(map), _) => {
                let pair = |(key, value): (&String, &Value)| {
                    let key = self.inline(&key.as_str().into(), Quotes::None);
                    format!("{key}: {}", self.inline(value, Quotes::None))
                };
                format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            (Value::String(text), Notation::Yaml) => match quotes {
                Quotes::None if is_plain(text) => text.clone(),
                Quotes::Single if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', "''")),
                Quotes::None | Quotes::Single | Quotes::Double | Quotes::Block => quoted(text),
            },
            (value, _) => value.to_string(),
        }
    }
}

/// The quotes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
    /// A text on separate lines, after `|` or `>`.
    Block,
}

impl Quotes {
    fn of(text: &str) -> Self {
        match text.chars().next() {
            Some('\'') => Self::Single,
            Some('"') => Self::Double,
            Some('|' | '>') => Self::Block,
            _ => Self::None,
        }
    }
}

/// A text in double quotes, valid in both YAML and JSON. YAML has no other form for unprintable characters.
fn quoted(text: &str) -> String {
    let escaped = Value::from(text).to_string();
    let sign = |sign: char| if sign.is_control() { format!("\\u{:04x}", u32::from(sign)) } else { sign.to_string() };
    escaped.chars().map(sign).collect()
}

/// Returns true if a text needs no quotes in any version of YAML, nor in a flow collection.
fn is_plain(text: &str) -> bool {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "_-./@+".contains(sign);
    let has_edges = text.chars().next().is_some_and(|sign| sign.is_ascii_alphanumeric() || sign == '/');
    let is_number_like = text.chars().next().is_some_and(|sign| sign.is_ascii_digit())
        && text.chars().all(|sign| sign.is_ascii_hexdigit() || "_-.+xo".contains(sign))
        && text.matches('.').count() < 2;
    let is_word = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&&*text.to_ascii_lowercase());
    let is_read_as_text = || matches!(parse(text), Ok(Value::String(read)) if read == text);
    has_edges && text.chars().all(is_sign) && !is_number_like && !is_word && is_read_as_text()
}

/// A text on separate lines, with the indentation, the line ends and the comment of the old one; none if that cannot
/// express it.
fn block_scalar(old: &str, new: &str) -> Option<String> {
    let (old_header, lines) = old.split_once('\n')?;
    let first = lines.lines().find(|line| !line.trim().is_empty())?;
    let indent = first.len() - first.trim_start_matches(' ').len();
    let body = new.strip_suffix('\n').unwrap_or(new);
    let is_readable = !body.is_empty()
        && !body.starts_with([' ', '\n', '\t'])
        && !body.ends_with('\n')
        && !body.chars().any(|sign| sign.is_control() && sign != '\n' && sign != '\t');
    let line_end = if old_header.ends_with('\r') { "\r\n" } else { "\n" };
    let comment = old_header.find('#').and_then(|start| old_header.get(start..)).map(str::trim_end);
    let comment = comment.map(|comment| format!(" {comment}")).unwrap_or_default();
    let header = if new.ends_with('\n') { "|" } else { "|-" };
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(indent)) };
    let lines: Vec<String> = body.split('\n').map(line).collect();
    (is_readable && indent > 0).then(|| format!("{header}{comment}{line_end}{}", lines.join(line_end)))
}

/// Removes an item or a key, with its line or its comma.
fn remove(text: &str, place: &YamlPath) -> Result<String, Error> {
    let span = Document::new(text)?.removal_span(&Route::from(place.clone()))?;
    Ok(spliced(text, span.start, span.end, ""))
}

/// Returns true if a value can be a block: a map or a list that is not empty.
fn is_composite(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty()) || value.as_object().is_some_and(|map| !map.is_empty())
}

/// The position after the colon of a key.
fn colon(document: &Document, route: &Route<'_>) -> Result<usize, Error> {
    let key = document.query_key_only(route)?.location.byte_span.1;
    let colon = document.source().get(key..).and_then(|rest| rest.find(':')).ok_or_else(|| not_found("a colon"))?;
    Ok(key + colon + 1)
}

/// The position of a value, without the blanks and comments after it; none if a key has no value.
fn extent(document: &Document, place: &YamlPath, value: &Value) -> Result<Option<(usize, usize)>, Error> {
    let Some((start, end)) = span(document, &Route::from(place.clone()))? else { return Ok(None) };
    let is_block = document.source().get(start..).is_some_and(|text| !text.starts_with(['[', '{']));
    let children: Vec<(Component<'static>, &Value)> = match value {
        Value::Array(items) if is_block => {
            let last = items.len().saturating_sub(1);
            items.last().map(|item| (last.into(), item)).into_iter().collect()
        }
        Value::Object(map) if is_block => map.iter().map(|(key, value)| (key.clone().into(), value)).collect(),
        _ => return Ok(Some((start, end))),
    };
    let mut last = None;
    for (component, value) in children {
        let place = joined(place, component);
        let of_child = match extent(document, &place, value)? {
            Some((_, end)) => Some(end),
            None if matches!(place.last(), Some(Component::Key(_))) => Some(colon(document, &Route::from(place))?),
            None => None,
        };
        last = last.max(of_child);
    }
    Ok(Some((start, last.unwrap_or(end))))
}

/// The position of a value, without the blanks after it; none if a key has no value.
fn span(document: &Document, route: &Route<'_>) -> Result<Option<(usize, usize)>, Error> {
    let Some(feature) = document.query_exact(route)? else { return Ok(None) };
    let (start, end) = feature.location.byte_span;
    let text = document.source().get(start..end).unwrap_or_default();
    Ok(Some((start, start + text.trim_end().len())))
}

fn spliced(text: &str, start: usize, end: usize, new: &str) -> String {
    let (before, after) = (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default());
    format!("{before}{new}{after}")
}

/// Adds lines after the line of this position, with the line ends of the text.
fn on_next_line(text: &str, position: usize, lines: &str) -> String {
    let rest = text.get(position..).unwrap_or_default();
    let end = position + rest.find('\n').unwrap_or(rest.len());
    let is_windows = text.contains("\r\n");
    let end = if text.get(..end).is_some_and(|line| line.ends_with('\r')) { end - 1 } else { end };
    let lines = if is_windows { lines.replace('\n', "\r\n") } else { lines.to_owned() };
    let line_end = if is_windows { "\r\n" } else { "\n" };
    spliced(text, end, end, &format!("{line_end}{lines}"))
}

/// The number of bytes before this position on its line.
fn column(text: &str, position: usize) -> usize {
    let before = text.get(..position).unwrap_or_default();
    before.len() - before.rfind('\n').map_or(0, |line_end| line_end + 1)
}

fn joined(place: &YamlPath, component: Component<'static>) -> YamlPath {
    place.iter().cloned().chain([component]).collect()
}

fn not_found(what: &str) -> Error {
    Error::Place(format!("{what} was expected"))
}

fn parse(text: &str) -> Result<Value, Error> {
    serde_saphyr::from_str_with_options(text, yaml_options(text)).map_err(|_| Error::Syntax("YAML"))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// The value at a place.
pub(super) fn at<'v>(value: &'v Value, place: &[Component<'_>]) -> Option<&'v Value> {
    place.iter().try_fold(value, |value, component| match component {
        Component::Key(key) => value.get(&**key),
        Component::Index(index) => value.get(*index),
    })
}

/// Puts a value at a place whose parents exist.
fn put(document: &mut Value, place: &[Component<'_>], new: Value) {
    let Some((last, parents)) = place.split_last() else { return };
    let parent = parents.iter().try_fold(document, |value, component| match component {
        Component::Key(key) => value.get_mut(&**key),
        Component::Index(index) => value.get_mut(*index),
    });
    match (parent, last) {
        (Some(Value::Object(map)), Component::Key(key)) => {
            map.insert(key.to_string(), new);
        }
        (Some(Value::Array(items)), Component::Index(index)) => {
            if let Some(item) = items.get_mut(*index) {
                *item = new;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
