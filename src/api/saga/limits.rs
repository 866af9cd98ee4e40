//! The size limits of a saga, and fixed words about it.

/// The maximum number of steps.
pub const MAX_STEPS: usize = 64;

/// The maximum size of `spec.inputs` as JSON, in bytes.
pub const MAX_INPUT_BYTES: usize = 32 * 1024;

/// The maximum size of the spec as JSON, in bytes.
pub const MAX_SPEC_BYTES: usize = 36 * 1024;

/// The maximum size of the spec, annotations and labels together as JSON, in bytes. Together with the largest journal
/// and the metadata of the API server, the object stays below 64 KiB.
pub const MAX_ORDER_BYTES: usize = 37 * 1024;

/// The maximum size of the journal as JSON, in bytes.
pub const MAX_STATUS_BYTES: usize = 25 * 1024;

/// The maximum size of the output of one step as JSON, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 8 * 1024;

/// The finalizer that delays the deletion of a saga until its steps are undone.
pub const FINALIZER: &str = "arcadia.cloud/saga";

/// The message that refuses a change of the spec.
pub const FIXED: &str = "the spec of a Saga must not change except cancelRequested, suspend and \
                         ttlSecondsAfterFinished: create another saga";
