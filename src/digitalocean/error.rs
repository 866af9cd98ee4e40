//! The errors between this process and DigitalOcean, with their remedies.

use std::time::Duration;

/// A failed call to DigitalOcean, or invalid settings. Messages never contain the token, nor values that differ between
/// calls (request ids, waits): a status that shows a message must not change while the error stays the same.
#[derive(Clone, Debug, thiserror::Error, strum::EnumDiscriminants, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
#[strum_discriminants(
    name(ErrorCategory),
    doc = "The sort of a failed call. Its name is a stable word for metrics.",
    derive(strum::IntoStaticStr),
    strum(serialize_all = "snake_case")
)]
pub enum Error {
    /// The settings are invalid.
    #[error("{0}")]
    Config(String),
    /// An invalid id of its kind. It is refused here, before it could form another path.
    #[error("{resource} cannot be requested: its id {rule}")]
    BadId {
        /// Kind and id.
        resource: String,
        /// The rule that the id breaks, after "its id".
        rule: String,
    },
    /// The connection failed, or broke before the response was complete.
    #[error(
        "{doing}: the connection failed ({why}); attempts: {tries}; check the network, the proxy and DIGITALOCEAN_API_URL"
    )]
    Connection {
        /// The call, such as `GET /v2/droplets`.
        doing: String,
        /// The error of the HTTP library.
        why: String,
        /// The number of attempts.
        tries: u32,
        /// True if there was a connection, so that the server may have received the call.
        is_connected: bool,
    },
    /// The response did not arrive in time.
    #[error("{doing}: no complete response in time; attempts: {tries}; see status.digitalocean.com")]
    Timeout {
        /// The call.
        doing: String,
        /// The number of attempts.
        tries: u32,
    },
    /// The budget had no call left for longer than the call could wait; it was not made.
    #[error(
        "{doing}: the budget had no call left for {} s; sweep less often, or raise the budget if the token allows it",
        waited.as_secs()
    )]
    NoBudget {
        /// The call.
        doing: String,
        /// The length of the wait.
        waited: Duration,
    },
    /// The change was not sent: another process may already rely on its absence.
    #[error("{doing}: it was not sent within the time limit; the next decision repeats it")]
    TooLate {
        /// The call.
        doing: String,
    },
    /// 401.
    #[error(
        "{doing}: DigitalOcean does not know the token (401); check DIGITALOCEAN_TOKEN, which may be revoked or expired"
    )]
    Unauthorized {
        /// The call.
        doing: String,
    },
    /// 403.
    #[error("{}", forbidden(doing, message, scope))]
    Forbidden {
        /// The call.
        doing: String,
        /// The message of DigitalOcean.
        message: String,
        /// The scope that the path needs.
        scope: &'static str,
    },
    /// 404 for a resource that must exist, such as a list.
    #[error("{doing}: not found (404)")]
    NotFound {
        /// The call.
        doing: String,
    },
    /// 429 in every attempt.
    #[error(
        "{doing}: the rate limit of the token is used up (429); other users of the token count too, so give the operator a separate token or lower its budget"
    )]
    RateLimited {
        /// The call.
        doing: String,
        /// The pause of all calls of the token, or of those with the same separate limit.
        wait: Duration,
    },
    /// 5xx.
    #[error("{doing}: DigitalOcean failed ({status}); attempts: {tries}; see status.digitalocean.com")]
    Server {
        /// The call.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// The number of attempts.
        tries: u32,
    },
    /// Another status of refusal.
    #[error("{doing}: DigitalOcean refused the call ({status}: {message})")]
    Refused {
        /// The call.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// The message of DigitalOcean.
        message: String,
    },
    /// A 3xx; following it could send the token to another host.
    #[error("{doing}: the server redirects ({status}), which the API never does; check DIGITALOCEAN_API_URL")]
    Redirected {
        /// The call.
        doing: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body is larger than allowed.
    #[error("{doing}: the response is larger than {limit} bytes")]
    TooLarge {
        /// The call.
        doing: String,
        /// The limit.
        limit: usize,
    },
    /// The response does not match the API's documentation.
    #[error(
        "{doing}: the response does not match the API's documentation ({why}); check DIGITALOCEAN_API_URL and proxies"
    )]
    Malformed {
        /// The call.
        doing: String,
        /// The fault.
        why: String,
    },
    /// Rows moved between the pages in every attempt.
    #[error("{doing}: the list changed while its pages were read, in {walks} attempts; it is read again later")]
    Shifting {
        /// The call.
        doing: String,
        /// The number of times that the whole list was read.
        walks: u32,
    },
}

impl Error {
    /// A stable word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        ErrorCategory::from(self).into()
    }

    /// Returns true if the same call may succeed later without anyone changing the settings.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Connection { .. }
                | Self::Timeout { .. }
                | Self::NoBudget { .. }
                | Self::RateLimited { .. }
                | Self::Server { .. }
                | Self::Shifting { .. }
        )
    }

    /// Returns true if a change that ended with this error may have been carried out.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Connection { is_connected, .. } => *is_connected,
            Self::Timeout { .. } | Self::Server { .. } | Self::TooLarge { .. } | Self::Malformed { .. } => true,
            // Never sent, refused, or only for reads.
            Self::Config(_)
            | Self::BadId { .. }
            | Self::NoBudget { .. }
            | Self::TooLate { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::RateLimited { .. }
            | Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::Shifting { .. } => false,
        }
    }

    /// The HTTP status, if the error comes from one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unauthorized { .. } => Some(401),
            Self::Forbidden { .. } => Some(403),
            Self::NotFound { .. } => Some(404),
            Self::RateLimited { .. } => Some(429),
            Self::Server { status, .. } | Self::Refused { status, .. } | Self::Redirected { status, .. } => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// Returns true if DigitalOcean only postpones a change: the resource is busy with an earlier one.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Forbidden { message, .. } => says(message, &BUSY_FORBIDDEN),
            Self::Refused { message, .. } => says(message, &BUSY),
            _ => false,
        }
    }

    /// Returns true if DigitalOcean refused a change because the resource is already in the target state.
    #[must_use]
    pub fn is_already_done(&self) -> bool {
        matches!(self, Self::Refused { status: 422, message, .. } if says(message, &DONE) && !says(message, &BUSY))
    }

    /// Returns true if DigitalOcean refused the spelling of ports.
    #[must_use]
    pub fn refuses_ports(&self) -> bool {
        matches!(self, Self::Refused { status: 422, message, .. } if says(message, &PORTS))
    }

    /// DigitalOcean's message, if it refused the call.
    #[cfg(test)]
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Forbidden { message, .. } | Self::Refused { message, .. } => Some(message),
            _ => None,
        }
    }
}

/// Messages of a resource that is in the target state.
const DONE: [&str; 1] = ["already"];
/// Messages about the ports of a rule.
const PORTS: [&str; 1] = ["port"];

/// Messages of a resource that is busy with an earlier change.
const BUSY: [&str; 4] =
    ["pending event", "is currently locked", "undergoing maintenance", "processes previous actions"];
/// Those messages that have status 403, which otherwise is about the token.
const BUSY_FORBIDDEN: [&str; 1] = ["processes previous actions"];
/// Messages with status 403 about the resource, for which no scope helps.
const NOT_ABOUT_SCOPES: [&str; 3] = ["processes previous actions", "unset default", "default vpc"];

/// Returns true if a message of the API contains one of these parts.
fn says(message: &str, parts: &[&str]) -> bool {
    let message = message.to_lowercase();
    parts.iter().any(|part| message.contains(part))
}

/// The message of a 403.
fn forbidden(doing: &str, message: &str, scope: &str) -> String {
    if says(message, &NOT_ABOUT_SCOPES) {
        return format!("{doing}: DigitalOcean refused (403: {message})");
    }
    format!("{doing}: the token is not allowed to do this (403: {message}); give it the scope `{scope}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_resource_is_distinguished_from_a_refusal() {
        let forbidden = |message: &str| Error::Forbidden {
            doing: "PUT /v2/load_balancers/{id}".to_owned(),
            message: message.to_owned(),
            scope: "load_balancer:update",
        };
        let refused = |status, message: &str| Error::Refused {
            doing: "PUT /v2/databases/{id}/resize".to_owned(),
            status,
            message: message.to_owned(),
        };
        let maintenance = "update cluster cannot be performed. Reason: cluster is undergoing maintenance";
        for (error, is_busy, advises) in [
            (forbidden("Load Balancer can't be updated while it processes previous actions"), true, false),
            (forbidden("Can not unset default VPCs"), false, false),
            (forbidden("You are not authorized to perform this operation"), false, true),
            (refused(412, maintenance), true, false),
            (refused(412, "Cannot move a Reserved IP with an associated Droplet"), false, false),
            (refused(422, "Droplet already has a pending event."), true, false),
            (refused(422, "Name is invalid"), false, false),
        ] {
            assert_eq!(error.is_busy(), is_busy, "{error}");
            assert_eq!(error.to_string().contains("the scope"), advises, "{error}");
        }
    }

    #[test]
    fn a_target_state_that_is_reached_and_a_spelling_of_ports_are_recognised() {
        let refused = |status, message: &str| Error::Refused {
            doing: "POST /v2/droplets/{id}/actions".to_owned(),
            status,
            message: message.to_owned(),
        };
        for (error, is_done, refuses_ports) in [
            (refused(422, "Droplet is already powered on."), true, false),
            (refused(422, "Droplet ALREADY has IPv6 enabled"), true, false),
            (refused(422, "Droplet already has a pending event."), false, false),
            (refused(409, "already exists"), false, false),
            (refused(422, "Invalid port range"), false, true),
            (refused(400, "Invalid port range"), false, false),
            (refused(422, "Name is invalid"), false, false),
        ] {
            assert_eq!((error.is_already_done(), error.refuses_ports()), (is_done, refuses_ports), "{error}");
        }
    }
}
