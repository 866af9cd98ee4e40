//! Lists: filters, pages, `links`, `meta`, and misleading lists.

use std::{fmt::Write as _, time::Instant};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    cloud::Cloud,
    kinds::Kind,
    reply::{Refusal, Reply},
    request::{Call, encode},
    store::{Facts, Row},
    views,
};

const DEFAULT_PER_PAGE: usize = 20;
const MAX_PER_PAGE: usize = 200;

/// The requested page of a collection.
pub(crate) fn list(cloud: &Cloud, kind: &Kind, collection: &str, call: &Call) -> Result<Reply, Refusal> {
    let rows = cloud.store.collection(collection).map(crate::store::Collection::rows).unwrap_or_default();
    let conditions = with_distortions(conditions(cloud, kind, call)?, call);
    // The common case, which must be fast with 100,000 rows: only the rows of the page are read.
    let kept: Option<Vec<&Row>> = (!conditions.is_empty()).then(|| kept(rows, &conditions));
    let total = kept.as_ref().map_or(rows.len(), Vec::len);
    // Actions are listed newest first, everything else in the order of creation.
    let newest_first = collection == "actions";
    let row = |position: usize| {
        let position = if newest_first { total.checked_sub(position + 1)? } else { position };
        kept.as_ref().map_or_else(|| rows.get(position), |kept| kept.get(position).copied())
    };
    Ok(page((kind.key, '[', ']'), kind.paged, call, total, |position, to| {
        if let Some(row) = row(position) {
            views::write_row(cloud, kind, row, call, to);
        }
    }))
}

/// A page of a list that is a map: the `document` of each row, by the row's id.
pub(crate) fn of_map(key: &str, call: &Call, rows: &[Row], document: impl Fn(&Row) -> Value) -> Reply {
    let conditions = with_distortions(Vec::new(), call);
    let kept: Option<Vec<&Row>> = (!conditions.is_empty()).then(|| kept(rows, &conditions));
    let total = kept.as_ref().map_or(rows.len(), Vec::len);
    let row = |position: usize| kept.as_ref().map_or_else(|| rows.get(position), |kept| kept.get(position).copied());
    page((key, '{', '}'), true, call, total, |position, to| {
        if let Some(row) = row(position) {
            // Writing to a String cannot fail.
            let _ = write!(to, "{}:{}", Value::from(row.id.as_str()), document(row));
        }
    })
}

/// A page of these rows, in this order.
pub(crate) fn of_rows<'a>(cloud: &Cloud, key: &str, call: &Call, rows: impl IntoIterator<Item = &'a Row>) -> Reply {
    let rows = kept(rows, &with_distortions(Vec::new(), call));
    page((key, '[', ']'), true, call, rows.len(), |position, to| {
        if let Some(row) = rows.get(position) {
            cloud.store.write(row, to);
        }
    })
}

fn kept<'a>(rows: impl IntoIterator<Item = &'a Row>, conditions: &[Condition<'_>]) -> Vec<&'a Row> {
    rows.into_iter().filter(|row| conditions.iter().all(|condition| condition(row))).collect()
}

/// A page of generated documents.
pub(crate) fn of_documents(key: &str, paged: bool, call: &Call, documents: &[Value]) -> Reply {
    let documents = if call.distortion.empty { &[] } else { documents };
    page((key, '[', ']'), paged, call, documents.len(), |position, to| {
        if let Some(document) = documents.get(position) {
            to.push_str(&document.to_string());
        }
    })
}

/// True if a row belongs to the list.
type Condition<'a> = Box<dyn Fn(&Row) -> bool + 'a>;

fn conditions<'a>(cloud: &Cloud, kind: &Kind, call: &'a Call) -> Result<Vec<Condition<'a>>, Refusal> {
    let mut conditions: Vec<Condition<'a>> = Vec::new();
    let droplets = kind.collection == "droplets";
    if droplets && call.parameter("tag_name").is_some() && (call.parameter("name").or(call.parameter("type")).is_some())
    {
        return Err(Refusal::bad_request("tag_name cannot be combined with name or type"));
    }
    if droplets {
        let wanted = call.parameter("type") == Some("gpus");
        // Only `type` and the plain list distinguish GPU droplets; a search by tag finds all droplets.
        let any = cloud.store.collection("droplets").is_some_and(|it| it.gpus() > 0);
        if (wanted || any) && call.parameter("tag_name").is_none() {
            conditions.push(Box::new(move |row| row.facts.gpu == wanted));
        }
    } else if let Some(wanted) = call.parameter(if kind.collection == "snapshots" { "resource_type" } else { "type" }) {
        let wanted_text = wanted.to_owned();
        conditions.push(Box::new(move |row| match wanted_text.as_str() {
            // The filter of images names their type, which a row shows as its origin.
            "distribution" => row.facts.kind.as_deref() == Some("base"),
            wanted => row.facts.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(wanted)),
        }));
    }
    if let Some(tag) = call.parameter("tag_name") {
        conditions.push(Box::new(move |row| row.facts.tagged(tag)));
    }
    if let Some(name) = call.parameter("name") {
        // The filter of records is the full name; a record stores only the part before the domain.
        let short =
            call.path.strip_prefix("/v2/domains/").and_then(|rest| rest.strip_suffix("/records")).map(|domain| {
                name.strip_suffix(domain)
                    .map_or(name, |it| it.strip_suffix('.').unwrap_or(if it.is_empty() { "@" } else { name }))
            });
        let name = short.unwrap_or(name);
        conditions.push(Box::new(move |row| row.named(name)));
    }
    if let Some(region) = call.parameter("region") {
        conditions.push(Box::new(move |row| row.facts.region.as_deref() == Some(region)));
    }
    if call.parameter("private") == Some("true") {
        conditions.push(Box::new(|row| row.facts.public == Some(false)));
    }
    Ok(conditions)
}

fn with_distortions<'a>(mut conditions: Vec<Condition<'a>>, call: &'a Call) -> Vec<Condition<'a>> {
    let distortion = &call.distortion;
    if distortion.empty {
        conditions.push(Box::new(|_| false));
    }
    if let Some(lag) = distortion.lag {
        let now = Instant::now();
        let young = move |facts: &Facts| facts.created.is_some_and(|created| now.duration_since(created) < lag);
        conditions.push(Box::new(move |row| !young(&row.facts)));
    }
    if !distortion.hidden.is_empty() {
        conditions.push(Box::new(|row| !distortion.hidden.contains(&row.id)));
    }
    conditions
}

/// One page under its key, between these brackets.
fn page(
    (key, open, close): (&str, char, char),
    paged: bool,
    call: &Call,
    rows: usize,
    write: impl Fn(usize, &mut String),
) -> Reply {
    let number = |name: &str| call.parameter(name).and_then(|value| value.parse::<usize>().ok()).filter(|it| *it > 0);
    let (page, per_page) = if paged {
        (number("page").unwrap_or(1), number("per_page").unwrap_or(DEFAULT_PER_PAGE).min(MAX_PER_PAGE))
    } else {
        (1, rows.max(1))
    };
    let start = (page - 1).saturating_mul(per_page);
    // An earlier page lost a row, so that all later rows moved up, or gained one, so that they moved down.
    let (start, total) = match call.distortion.shift {
        shift if shift > 0 && rows > 0 => (start.saturating_add(1), rows - 1),
        shift if shift < 0 => (start.saturating_sub(1), rows + 1),
        _ => (start, rows),
    };
    let end = start.saturating_add(per_page).min(rows);
    let mut body = format!("{{\"{key}\":{open}");
    for position in start..end {
        if position > start {
            body.push(',');
        }
        write(position, &mut body);
    }
    body.push(close);
    if paged {
        let links = links(call, page, total.div_ceil(per_page));
        // Writing to a String cannot fail.
        let _ = write!(body, ",\"links\":{links},\"meta\":{{\"total\":{total}}}");
    }
    body.push('}');
    Reply::text(StatusCode::OK, body)
}

/// `first` and `prev` except on the first page, `next` and `last` except on the last.
fn links(call: &Call, page: usize, pages: usize) -> Value {
    let mut others = String::new();
    for (name, value) in call.query.iter().filter(|(name, _)| name != "page") {
        let _ = write!(others, "&{}={}", encode(name), encode(value));
    }
    let url = |origin: &str, page: usize| Value::from(format!("{origin}{}?page={page}{others}", call.path));
    let mut links = Map::new();
    if page > 1 {
        links.insert("first".to_owned(), url(&call.origin, 1));
        links.insert("prev".to_owned(), url(&call.origin, page - 1));
    }
    if page < pages {
        let next = if call.distortion.foreign_next { "http://elsewhere.invalid" } else { &call.origin };
        links.insert("next".to_owned(), url(next, page + 1));
        links.insert("last".to_owned(), url(&call.origin, pages));
    }
    if links.is_empty() { json!({}) } else { json!({"pages": links}) }
}
