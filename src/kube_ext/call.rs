//! One call to the API server: bounded in time, and its errors said for people.

use std::{future::Future, time::Duration};

use kube::core::Status;

/// No call may hang longer: kube itself sets no limit.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Why a call to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("{doing}: no response within {} s", LIMIT.as_secs())]
    TimedOut {
        /// What was being done, to which object.
        doing: String,
    },
    /// The object is another one than this process knew; the watch will tell.
    #[error("{doing}: the object has changed since it was read")]
    Conflict {
        /// What was being done, to which object.
        doing: String,
    },
    /// There is an object of this name, which this process does not know.
    #[error(
        "{doing}: an object with this name exists but is not in the cache; it may have been written by a newer \
             version"
    )]
    AlreadyExists {
        /// What was being done, to which object.
        doing: String,
    },
    /// The object is not there.
    #[error("{doing}: it does not exist")]
    NotFound {
        /// What was being done, to which object.
        doing: String,
    },
    /// Access control refused it.
    #[error("{doing}: forbidden: {message}; the operator's ServiceAccount needs a role that allows it")]
    Forbidden {
        /// What was being done, to which object.
        doing: String,
        /// What the API server said.
        message: String,
    },
    /// The API server refused it.
    #[error("{doing}: {message}")]
    Refused {
        /// What was being done, to which object.
        doing: String,
        /// What the API server said.
        message: String,
    },
    /// It could not be asked, or is not well (500 and up, 429): whether it did what it was asked for is not known.
    #[error("{doing}: {source}")]
    Failed {
        /// What was being done, to which object.
        doing: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// A stable word for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "timeout",
            Self::Conflict { .. } => "conflict",
            Self::AlreadyExists { .. } => "already_exists",
            Self::NotFound { .. } => "not_found",
            Self::Forbidden { .. } => "forbidden",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "unreachable",
        }
    }

    /// Whether the watch will bring what is needed to go on, so that nobody needs to hear of it.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::NotFound { .. })
    }

    fn of(doing: &str, error: kube::Error) -> Self {
        let doing = doing.to_owned();
        match error {
            // Its code is that of a conflict too.
            kube::Error::Api(status) if status.is_already_exists() => Self::AlreadyExists { doing },
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict { doing },
            // A group that is not served at all is a 404 without a reason.
            kube::Error::Api(status) if status.is_not_found() || status.code == 404 => Self::NotFound { doing },
            kube::Error::Api(status) if status.is_forbidden() => Self::Forbidden { doing, message: said(&status) },
            kube::Error::Api(status) if status.code < 500 && status.code != 429 => {
                Self::Refused { doing, message: said(&status) }
            }
            error => Self::Failed { doing, source: Box::new(error) },
        }
    }
}

fn said(status: &Status) -> String {
    status.message.clone()
}

/// Makes one call. `doing` says what and to which object, such as "closing Drift default/web-1".
///
/// # Errors
/// As the API server, the network or the time limit has it.
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
    fn what_passes_is_told_from_what_does_not() {
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
