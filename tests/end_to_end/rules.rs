//! The rules to revert fields, read from the data files of the kinds.

use std::path::Path;

use serde_json::Value;

/// The rules of one kind.
pub(crate) struct Rules {
    pub kind: String,
    /// The fields that can be reverted, at least in one direction.
    pub revertible: Vec<String>,
    /// The rules for fields that cannot be reverted, in some direction or state at least.
    pub refusals: Vec<Refusal>,
    /// The fields of the kind's documents and the derived ones, without those that cannot be read.
    pub fields: Vec<String>,
    /// Other controllers that own some resources of the kind, or a field of them.
    pub owners: Vec<String>,
    /// Fields that hold credentials: they are never compared.
    pub secret: Vec<String>,
    /// False if the operator reverts no field of the kind yet.
    pub is_supported: bool,
}

/// A class without a revert, with its sentence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Refusal {
    /// Fields, or paths with `*`.
    pub names: Vec<String>,
    pub class: String,
    pub says: String,
    /// True for every value, and not only in one direction or state.
    pub is_always: bool,
}

/// The rules of all kinds.
pub(crate) fn all() -> Vec<Rules> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/digitalocean/kinds/data");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| rules(&serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())).collect()
}

fn rules(row: &Value) -> Rules {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| list(value).iter().map(text).collect::<Vec<_>>();
    let is_never = |class: &Value| ["NotRevertible", "NotOurs"].iter().any(|never| class == never);
    let (mut revertible, mut refusals) = (Vec::new(), Vec::new());
    for rule in list(&row["revert"]["fields"]) {
        let names = texts(&rule["names"]);
        if rule.get("how").is_some() {
            revertible.extend(names.iter().filter(|name| !name.contains('.')).cloned());
        }
        let cases = list(&rule["cases"]);
        for (part, is_case) in cases.iter().map(|case| (case, true)).chain([(&rule, false)]) {
            if is_never(&part["class"]) {
                let is_always = !is_case && cases.is_empty();
                let (class, says) = (text(&part["class"]), text(&part["says"]));
                refusals.push(Refusal { names: names.clone(), class, says, is_always });
            }
        }
    }
    let mut fields = texts(&row["fields"]);
    fields.extend(row["derived"].as_object().into_iter().flatten().map(|(field, _)| field.clone()));
    fields.sort();
    fields.dedup();
    let mut owners: Vec<_> = list(&row["revert"]["owned"]).iter().map(|owned| text(&owned["by"])).collect();
    let writes = row["revert"]["writes"].as_object().into_iter().flatten();
    owners.extend(writes.filter_map(|(_, write)| write["guard"]["by"].as_str().map(str::to_owned)));
    let is_supported = row.get("revert").is_some();
    let secret = texts(&row["secret"]);
    Rules { kind: text(&row["name"]), revertible, refusals, owners, fields, secret, is_supported }
}
