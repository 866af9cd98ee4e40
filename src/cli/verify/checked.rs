//! The result of comparing one record.

use crate::{cli::files::RecordManifest, drift::shown::Shown};

/// The result of comparing one record.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Checked {
    pub(in crate::cli) record: RecordManifest,
    pub(in crate::cli) fields: Vec<CheckedField>,
}

/// The result of comparing one recorded field.
#[derive(Clone, Debug)]
pub(in crate::cli) struct CheckedField {
    pub(in crate::cli) field: String,
    pub(in crate::cli) verdict: FieldVerdict,
}

#[derive(Clone, Debug)]
pub(in crate::cli) enum FieldVerdict {
    InSync,
    Drift(Box<Shown>),
    /// It could not be compared.
    Unknown(String),
}
