//! DigitalOcean's own example documents, for the tests of this room. They are not part of this tree: tests skip without.

use std::path::PathBuf;

use serde_json::Value;

/// The file `name` of the folder of examples; `DIGITALOCEAN_OPENAPI` names another place, as for other tests.
pub(super) fn read(name: &str) -> Option<Value> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/digitalocean/digitalocean-openapi.json.gz");
    let openapi = std::env::var_os("DIGITALOCEAN_OPENAPI").map_or(beside, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(openapi.with_file_name(name)) else {
        eprintln!("skipped: DigitalOcean's examples are not there (set DIGITALOCEAN_OPENAPI)");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}
