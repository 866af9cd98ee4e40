//! The flags for the recorded fields and the place of records.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;

use crate::{
    cli::{Error, text::hint},
    digitalocean::Kind,
};

/// The recorded fields of each resource, and their place.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct TargetArgs {
    /// Fields to record [default: per kind, what a person would pin; see the reference of kinds]
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
    pub(in crate::cli) fields: Vec<String>,

    /// Write one file per record into this folder, and a kustomization; resources that a file there records are skipped
    #[arg(long, value_name = "FOLDER", conflicts_with = "apply")]
    pub(in crate::cli) folder: Option<PathBuf>,

    /// Create the records in the cluster; resources that the cluster records are skipped
    #[arg(long)]
    pub(in crate::cli) apply: bool,
}

impl TargetArgs {
    /// The fields that are recorded of this kind.
    pub(in crate::cli) fn fields_of(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let fields = if self.fields.is_empty() { kind.pins() } else { &self.fields };
        fields.iter().map(String::as_str)
    }

    /// Refuses a field that none of these kinds has.
    pub(in crate::cli) fn check(&self, kinds: &BTreeSet<Kind>) -> Result<(), Error> {
        for field in &self.fields {
            let root = field.split('.').next().unwrap_or_default();
            let known = || kinds.iter().flat_map(|kind| kind.fields());
            if !known().any(|known| known == root) {
                let of = match Vec::from_iter(kinds).as_slice() {
                    [kind] => format!("{kind} has no field"),
                    _ => "no kind has a field".to_owned(),
                };
                return Err(Error::usage(format!("{of} {field:?}{}", hint(root, known()))));
            }
        }
        Ok(())
    }
}
