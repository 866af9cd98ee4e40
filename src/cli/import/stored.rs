//! The result of storing a record, in the cluster or as a file.

/// The result of storing a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stored {
    New,
    /// The resource is recorded already.
    Known,
    /// Another resource's record has the name; a message with the next command.
    NameTaken(String),
}
