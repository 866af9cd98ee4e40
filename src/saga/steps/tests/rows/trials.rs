//! Steps for tests of sagas.

use futures::FutureExt;
use serde_json::json;

use super::{Row, row};

pub(super) static ROWS: &[Row] = &[
    row("Sleep", "for a while", |_| async { json!({ "seconds": 3 }) }.boxed(), |_, _| async {}.boxed()),
    Row {
        step: "Fail",
        case: "permanently",
        set_up: |_| async { json!({ "message": "as requested" }) }.boxed(),
        check: |_, _| async {}.boxed(),
        fails: true,
    },
];
