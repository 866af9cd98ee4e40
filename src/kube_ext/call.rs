//! Calls to the API server, with a timeout and errors for people.

use std::{future::Future, time::Duration};

use kube::core::Status;

/// The timeout of a call: kube itself sets none.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The reason why a call to the API server failed.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// There was no response in time.
    #[error("{doing}: no response within {} s", LIMIT.as_secs())]
    #[strum(serialize = "timeout")]
    TimedOut {
        /// The operation and its object.
        doing: String,
    },
    /// The object has changed since it was read; a watch event will follow.
    #[error("{doing}: the object has changed since it was read")]
    Conflict {
        /// The operation and its object.
        doing: String,
    },
    /// An object of this name exists, but is not in the cache.
    #[error(
        "{doing}: an object with this name exists but is not in the cache; it may have been written by a newer \
             version"
    )]
    AlreadyExists {
        /// The operation and its object.
        doing: String,
    },
    /// The object does not exist.
    #[error("{doing}: it does not exist")]
    NotFound {
        /// The operation and its object.
        doing: String,
    },
    /// Access control refused the call.
    #[error("{doing}: forbidden: {message}; the operator's ServiceAccount needs a role that allows it")]
    Forbidden {
        /// The operation and its object.
        doing: String,
        /// The message of the API server.
        message: String,
    },
    /// The API server refused the call.
    #[error("{doing}: {message}")]
    Refused {
        /// The operation and its object.
        doing: String,
        /// The message of the API server.
        message: String,
    },
    /// The API server is unreachable or failing (500 and up, 429): the effect of the call is unknown.
    #[error("{doing}: {source}")]
    #[strum(serialize = "unreachable")]
    Failed {
        /// The operation and its object.
        doing: String,
        /// The cause.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// A stable word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        self.into()
    }

    /// Returns true if a watch event will resolve the failure, so that it needs no attention.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::NotFound { .. })
    }

    fn of(doing: &str, error: kube::Error) -> Self {
        let doing = doing.to_owned();
        match error {
            // It has the code of a conflict too.
            kube::Error::Api(status) if status.is_already_exists() => Self::AlreadyExists { doing },
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict { doing },
            // An API group that is not served returns 404 without a reason.
            kube::Error::Api(status) if status.is_not_found() || status.code == 404 => Self::NotFound { doing },
            kube::Error::Api(status) if status.is_forbidden() => {
                Self::Forbidden { doing, message: status_message(&status) }
            }
            kube::Error::Api(status) if status.code < 500 && status.code != 429 => {
                Self::Refused { doing, message: status_message(&status) }
            }
            error => Self::Failed { doing, source: Box::new(error) },
        }
    }
}

fn status_message(status: &Status) -> String {
    status.message.clone()
}

/// Makes one call. `doing` names the operation and its object, such as "closing Drift default/web-1".
///
/// # Errors
/// When the API server refuses the call, is unreachable or does not respond in time.
pub async fn bounded<T>(doing: &str, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Error::of(doing, error)),
        Err(_) => Err(Error::TimedOut { doing: doing.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_errors_are_distinguished_from_permanent_ones() {
        let of = |code, reason: &str| {
            let status = Status { code, reason: reason.to_owned(), message: "no".to_owned(), ..Status::default() };
            Error::of("writing Drift default/web-1", kube::Error::Api(Box::new(status))).category()
        };
        for (code, reason, category) in [
            (409, "Conflict", "conflict"),
            (409, "AlreadyExists", "already_exists"),
            (404, "NotFound", "not_found"),
            (403, "Forbidden", "forbidden"),
            (422, "Invalid", "refused"),
            (429, "TooManyRequests", "unreachable"),
            (500, "InternalError", "unreachable"),
            (503, "ServiceUnavailable", "unreachable"),
        ] {
            assert_eq!(of(code, reason), category, "{code}");
        }
    }
}
