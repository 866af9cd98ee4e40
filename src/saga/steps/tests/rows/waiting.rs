//! Steps that wait.

use futures::FutureExt;
use serde_json::json;

use super::{StepCase, fails, row};
use crate::saga::steps::tests::world::DROPLET;

pub(super) static ROWS: &[StepCase] = &[
    row(
        "WaitForField",
        "that has the value, written in another way",
        |_| async { json!({ "kind": "Droplet", "id": 3_164_444, "field": "region", "equals": "NYC3" }) }.boxed(),
        |_, _| async {}.boxed(),
    ),
    fails("WaitForField", "that is no field", |_| {
        async { json!({ "kind": "Droplet", "id": DROPLET, "field": "regoin", "equals": "nyc3" }) }.boxed()
    }),
    fails("WaitForField", "of a resource that is gone", |_| {
        async { json!({ "kind": "Droplet", "id": "1", "field": "region", "equals": "nyc3" }) }.boxed()
    }),
    row(
        "Approval",
        "that somebody gave",
        |_| async { json!({ "message": "Continue?" }) }.boxed(),
        |_, output| async move { assert_eq!(output["approved_by"], "jane") }.boxed(),
    ),
];
