//! Updates of one resource: the fields that a PUT or PATCH accepts, and the handling of omitted fields.

use serde_json::{Map, Value, json};

use crate::{
    cloud::Cloud,
    kinds::Kind,
    reply::Refusal,
    request::{Call, Ending},
    values,
};

/// The handling of the fields that a body omits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// They are reset to their defaults.
    Whole,
    /// They are kept.
    Keep,
}

/// One way to update resources of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) collection: &'static str,
    pub(crate) method: &'static str,
    pub(crate) shape: Shape,
    /// Required fields.
    pub(crate) required: &'static [&'static str],
    /// Refused fields: the cloud sets them.
    pub(crate) read_only: &'static [&'static str],
    /// Immutable fields: an update with a different value is refused.
    pub(crate) fixed: &'static [&'static str],
}

/// The resource of an update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) collection: &'a str,
    pub(crate) id: &'a str,
    /// Its document before the update.
    pub(crate) old: &'a Value,
}

/// Refuses a field that is empty or not text.
pub(crate) fn check_text(body: &Map<String, Value>, field: &str) -> Result<(), Refusal> {
    let is_text = body.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if is_text { Ok(()) } else { Err(Refusal::unprocessable(format!("{field} can't be blank"))) }
}

/// The busy state of a resource: the place of its status, and the values during, after and after a failed change.
pub(crate) struct Busy {
    pub(crate) collection: &'static str,
    pub(crate) place: &'static str,
    pub(crate) during: &'static str,
    pub(crate) after: &'static str,
    pub(crate) failed: &'static str,
}

impl Busy {
    /// Makes a resource busy for the duration of an action, then calls `finish`.
    pub(crate) fn begin(
        &'static self,
        cloud: &mut Cloud,
        id: &str,
        call: &Call,
        finish: impl FnOnce(&mut Cloud, &str) + Send + 'static,
    ) {
        self.show(cloud, id, self.during);
        cloud.set_busy(self.collection, id, true);
        let (id, failed) = (id.to_owned(), call.distortion.ending == Ending::Failed);
        cloud.later(call.distortion.delay, move |cloud| {
            cloud.set_busy(self.collection, &id, false);
            self.show(cloud, &id, if failed { self.failed } else { self.after });
            finish(cloud, &id);
        });
    }

    fn show(&self, cloud: &mut Cloud, id: &str, status: &str) {
        cloud.store.edit(self.collection, id, |document| {
            if let Some(it) = document.pointer_mut(self.place) {
                *it = Value::from(status);
            }
        });
    }
}

/// Refuses an id that the account does not have.
pub(crate) fn check_exists(cloud: &Cloud, collection: &str, noun: &str, ids: &[Value]) -> Result<(), Refusal> {
    let missing = ids.iter().map(values::text_of).find(|id| !cloud.store.contains(collection, id));
    missing.map_or(Ok(()), |id| Err(Refusal::unprocessable(format!("{noun} {id} could not be found"))))
}

/// The items of a list in a document; empty if the list is missing.
pub(crate) fn items<'a>(document: &'a Value, field: &str) -> &'a [Value] {
    document.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The value of a field that is one of a few texts, or a refusal that names them.
pub(crate) fn check_one_of(body: &Map<String, Value>, field: &str, allowed: &[&str]) -> Result<(), Refusal> {
    let is_one = |value: &Value| value.as_str().is_some_and(|text| allowed.contains(&text));
    if body.get(field).is_none_or(is_one) {
        return Ok(());
    }
    Err(Refusal::unprocessable(format!("{field} must be one of {}", json!(allowed))))
}
