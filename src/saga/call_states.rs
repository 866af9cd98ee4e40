//! The call states of sagas: known to this process beyond the journals.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{state::Direction, view::CallState};
use crate::kube_ext::key::ObjectKey;

/// The call states of sagas: known to this process beyond the journals.
#[derive(Default)]
pub(super) struct CallStates(Mutex<HashMap<ObjectKey, KeptCallState>>);

/// The call state of the current step at one position of the journal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeptCallState {
    pub(super) at: At,
    pub(super) call_state: CallState,
    pub(super) waits: u32,
}

/// A position in a journal. It changes with every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) uid: String,
    pub(super) index: Option<usize>,
    pub(super) direction: Direction,
    pub(super) attempts: (i32, i32),
}

impl CallStates {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<KeptCallState> {
        self.0.lock().get(key).cloned()
    }

    pub(super) fn keep(&self, key: &ObjectKey, held: KeptCallState) {
        self.0.lock().insert(key.clone(), held);
    }

    pub(super) fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }
}
