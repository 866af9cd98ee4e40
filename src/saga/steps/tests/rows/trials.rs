//! Steps for tests of sagas.

use futures::FutureExt;
use serde_json::json;

use super::{StepCase, row};

pub(super) static ROWS: &[StepCase] = &[
    row("Sleep", "for a while", |_| async { json!({ "seconds": 3 }) }.boxed(), |_, _| async {}.boxed()),
    StepCase {
        step: "Fail",
        case: "permanently",
        set_up: |_| async { json!({ "message": "as requested" }) }.boxed(),
        check: |_, _| async {}.boxed(),
        fails: true,
    },
];
