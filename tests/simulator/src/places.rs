//! Places in a document: dotted paths in which `*` is each item of a list or each value of a map.

use serde_json::Value;

/// Removes the values at a place.
pub(crate) fn remove(document: &mut Value, place: &str) {
    let (parent, key) = place.rsplit_once('.').unwrap_or(("", place));
    visit(document, parent, &mut |parent| match parent {
        Value::Object(fields) if key == "*" => fields.clear(),
        Value::Object(fields) => drop(fields.remove(key)),
        Value::Array(items) if key == "*" => items.clear(),
        _ => {}
    });
}

/// Calls `change` with each value at a place. The empty place is the document itself.
pub(crate) fn visit(document: &mut Value, place: &str, change: &mut dyn FnMut(&mut Value)) {
    if place.is_empty() {
        return change(document);
    }
    let (key, rest) = place.split_once('.').unwrap_or((place, ""));
    match document {
        Value::Object(fields) if key == "*" => fields.values_mut().for_each(|value| visit(value, rest, change)),
        Value::Object(fields) => {
            if let Some(value) = fields.get_mut(key) {
                visit(value, rest, change);
            }
        }
        Value::Array(items) if key == "*" => items.iter_mut().for_each(|item| visit(item, rest, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_removed_from_each_item_and_each_value() {
        let firewall = json!({
            "tags": ["web"],
            "inbound_rules": [{"sources": {"tags": ["a"], "addresses": ["::/0"]}}, {"sources": {"addresses": []}}, "odd"],
            "limits": {"in": {"tags": 1}, "out": {"tags": 2, "rate": 3}},
        });
        let without = |place: &str| {
            let mut document = firewall.clone();
            remove(&mut document, place);
            document
        };
        assert_eq!(without("tags").get("tags"), None);
        let rules = json!([{"sources": {"addresses": ["::/0"]}}, {"sources": {"addresses": []}}, "odd"]);
        assert_eq!(without("inbound_rules.*.sources.tags")["inbound_rules"], rules);
        assert_eq!(without("limits.*.tags")["limits"], json!({"in": {}, "out": {"rate": 3}}));
        for nowhere in ["none", "none.at.all", "tags.0", "tags.web", "inbound_rules.sources"] {
            assert_eq!(without(nowhere), firewall, "{nowhere}");
        }
    }
}
