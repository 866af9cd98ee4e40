//! The `Saga` resource: an ordered list of cloud operations that runs once, survives any crash and undoes itself. The
//! spec lists the steps; the status is the journal.

mod limits;
mod spec;
mod status;
mod validation;
mod values;

pub use limits::{
    FINALIZER, FIXED, MAX_INPUT_BYTES, MAX_ORDER_BYTES, MAX_OUTPUT_BYTES, MAX_SPEC_BYTES, MAX_STATUS_BYTES, MAX_STEPS,
};
pub use spec::{Retry, Saga, SagaKind, SagaRef, SagaSpec, StepSpec};
pub use status::{
    ActionId, Cause, ErrorKind, Resolution, SagaPhase, SagaStatus, StepError, StepState, StepStatus, StopReason,
    UndoStatus,
};
pub use values::Values;

pub(super) use validation::crd;
