//! Inventories: `{"collection": [document, ..]}`. Documents may be partial.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{cloud::Cloud, error::Error};

/// Loads the file into the account.
pub(crate) fn load(cloud: &mut Cloud, path: &Path) -> Result<(), Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let refuse = |reason: String| Error::Inventory { path: path.to_owned(), reason };
    let inventory: Map<String, Value> = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    for (collection, documents) in inventory {
        let Value::Array(documents) = documents else {
            return Err(refuse(format!("{collection} is not a list of documents")));
        };
        for document in documents {
            cloud.put(&collection, document).map_err(refuse)?;
        }
    }
    Ok(())
}
