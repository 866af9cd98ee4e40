//! Calls of other services.

use axum::{Json, response::IntoResponse};
use futures::FutureExt;
use serde_json::json;

use super::{StepCase, row};
use crate::saga::steps::tests::service::Service;

pub(super) static ROWS: &[StepCase] = &[row(
    "HttpRequest",
    "with a way back",
    |_| {
        async {
            let answers = (0..2).map(|_| Json(json!({ "id": 7 })).into_response()).collect();
            let service = Service::start(answers).await;
            json!({ "url": service.url, "body": { "amount": 12 }, "keep": ["id"], "compensation_url": service.url })
        }
        .boxed()
    },
    |_, output| {
        async move {
            assert_eq!((&output["status"], &output["body"]), (&json!(200), &json!({ "id": 7 })));
        }
        .boxed()
    },
)];
