//! Projects: the API keeps a purpose that is not in its list as `Other: ...`.

use serde_json::{Map, Value};

const PURPOSES: &[&str] = &[
    "Just trying out DigitalOcean",
    "Class project / Educational purposes",
    "Website or blog",
    "Web Application",
    "Service or API",
    "Mobile Application",
    "Machine learning / AI / Data processing",
    "IoT",
    "Operational / Developer tooling",
];

/// Rewrites the fields of a request into those of the document.
pub(crate) fn adapt(fields: &mut Map<String, Value>) {
    let Some(purpose) = fields.get("purpose").and_then(Value::as_str) else { return };
    if !PURPOSES.contains(&purpose) && !purpose.starts_with("Other: ") {
        let purpose = Value::from(format!("Other: {purpose}"));
        fields.insert("purpose".to_owned(), purpose);
    }
}
