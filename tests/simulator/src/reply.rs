//! The results of a handler: a document, nothing, or a refusal in the API's documented format.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// A response before headers and faults are applied.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// JSON text; `None` is a response without a body (204).
    pub(crate) body: Option<String>,
}

impl Reply {
    pub(crate) fn json(status: StatusCode, document: &Value) -> Self {
        Self { status, body: Some(document.to_string()) }
    }

    pub(crate) fn text(status: StatusCode, body: String) -> Self {
        Self { status, body: Some(body) }
    }

    pub(crate) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None }
    }
}

/// A refusal: `{id, message, request_id}`.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) id: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self { status, id, message: message.into() }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "The resource you were accessing could not be found.")
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unable to authenticate you.")
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity", message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn precondition_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not allowed here.")
    }

    pub(crate) fn too_many_requests() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "API Rate limit exceeded.")
    }

    /// The refusal for a status, as a fault injects it.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::TOO_MANY_REQUESTS => Self::too_many_requests(),
            StatusCode::FORBIDDEN => Self::forbidden("You are not authorized to perform this operation"),
            StatusCode::CONFLICT => Self::conflict("The request could not be completed due to a conflict."),
            StatusCode::UNPROCESSABLE_ENTITY => Self::unprocessable("request payload validation failed"),
            StatusCode::BAD_REQUEST => Self::bad_request("error parsing request body"),
            StatusCode::PRECONDITION_FAILED => Self::precondition_failed("a precondition of the request failed"),
            StatusCode::SERVICE_UNAVAILABLE => Self::new(
                status,
                "service_unavailable",
                "The server is currently unable to handle the request due to a temporary overload or maintenance.",
            ),
            _ => Self::new(status, "server_error", "Unexpected server-side error"),
        }
    }

    pub(crate) fn into_reply(self, request_id: &str) -> Reply {
        Reply::json(self.status, &json!({"id": self.id, "message": self.message, "request_id": request_id}))
    }
}
