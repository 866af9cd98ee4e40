//! What can go wrong between this process and DigitalOcean, and what the user can do about it.

use std::time::Duration;

/// A call to DigitalOcean, or the settings for it, failed. No message ever holds the token, nor what differs from call
/// to call (request ids, waits): a status that shows it must not change while nothing else does.
#[derive(Clone, Debug, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// The settings cannot work.
    #[error("{0}")]
    Config(String),
    /// An id that cannot be one of its kind; it is refused here, before it could form another path.
    #[error("{resource} cannot be asked for: its id {says}")]
    BadId {
        /// Kind and id.
        resource: String,
        /// What the id must be.
        says: &'static str,
    },
    /// No connection, or it broke before the answer was complete.
    #[error(
        "{doing}: the connection failed ({why}); it was tried {tries} times. Check the network, proxy and DIGITALOCEAN_API_URL"
    )]
    Connection {
        /// The call, such as `GET /v2/droplets`.
        doing: String,
        /// What the HTTP library said.
        why: String,
        /// How often the call was made.
        tries: u32,
        /// Whether there was a connection, so that the server may have got the call.
        is_connected: bool,
    },
    /// No answer in time.
    #[error(
        "{doing}: no complete answer in time; it was tried {tries} times. DigitalOcean may be slow; see status.digitalocean.com"
    )]
    Timeout {
        /// The call.
        doing: String,
        /// How often the call was made.
        tries: u32,
    },
    /// The token's calls were used up for longer than the call could wait; it was not made.
    #[error(
        "{doing}: the budget of calls had none left within {} s. Sweep less often, or raise the budget if the token allows it",
        waited.as_secs()
    )]
    NoBudget {
        /// The call.
        doing: String,
        /// How long it waited.
        waited: Duration,
    },
    /// The change was not sent: by then others may act on its not being done.
    #[error("{doing}: it was not sent in time after it was decided, and will be decided again")]
    TooLate {
        /// The call.
        doing: String,
    },
    /// 401.
    #[error(
        "{doing}: DigitalOcean does not know the token (401). Check DIGITALOCEAN_TOKEN: it may be revoked or expired"
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
        /// What DigitalOcean said.
        message: String,
        /// The scope that the path needs.
        scope: &'static str,
    },
    /// 404 where something must exist, such as a list.
    #[error("{doing}: there is no such thing (404)")]
    NotFound {
        /// The call.
        doing: String,
    },
    /// 429, again and again.
    #[error(
        "{doing}: the token's rate limit is used up (429). Other users of the token count too: give the operator its own token or lower its budget"
    )]
    RateLimited {
        /// The call.
        doing: String,
        /// How long all calls of the token wait.
        wait: Duration,
    },
    /// 5xx.
    #[error("{doing}: DigitalOcean failed ({status}); it was tried {tries} times. See status.digitalocean.com")]
    Server {
        /// The call.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// How often the call was made.
        tries: u32,
    },
    /// Another status that says no.
    #[error("{doing}: DigitalOcean refused ({status}: {message})")]
    Refused {
        /// The call.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// What DigitalOcean said.
        message: String,
    },
    /// A 3xx; following it could hand the token to another host.
    #[error(
        "{doing}: the server redirects ({status}), which the API never does and is not followed. Check DIGITALOCEAN_API_URL"
    )]
    Redirected {
        /// The call.
        doing: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body is larger than allowed.
    #[error("{doing}: the answer is larger than {limit} bytes and was not read further")]
    TooLarge {
        /// The call.
        doing: String,
        /// The limit.
        limit: usize,
    },
    /// The answer is not what the API documents.
    #[error(
        "{doing}: the answer is not what the API documents ({why}). Check DIGITALOCEAN_API_URL: is a proxy in between?"
    )]
    Malformed {
        /// The call.
        doing: String,
        /// What is wrong with it.
        why: String,
    },
    /// Rows kept moving between the pages.
    #[error("{doing}: the list changed while its pages were read, {walks} times over; it is read again later")]
    Shifting {
        /// The call.
        doing: String,
        /// How often the whole list was read.
        walks: u32,
    },
}

impl Error {
    /// A stable word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        self.into()
    }

    /// Whether the same call may succeed later without anyone changing the settings.
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

    /// Whether a change that ended with this error may have been carried out all the same.
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

    /// The HTTP status, where one says what is wrong.
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

    /// Whether DigitalOcean only postpones a change: the resource is busy with an earlier one.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Forbidden { message, .. } => says(message, &BUSY_FORBIDDEN),
            Self::Refused { message, .. } => says(message, &BUSY),
            _ => false,
        }
    }

    /// What DigitalOcean said, where it refused.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::Forbidden { message, .. } | Self::Refused { message, .. } => Some(message),
            _ => None,
        }
    }
}

/// Messages of a resource that is busy with an earlier change.
const BUSY: [&str; 4] =
    ["pending event", "is currently locked", "undergoing maintenance", "processes previous actions"];
/// Those of them that come with status 403, which otherwise is about the token.
const BUSY_FORBIDDEN: [&str; 1] = ["processes previous actions"];
/// Messages with status 403 that are about the resource, and no scope helps.
const NOT_ABOUT_SCOPES: [&str; 3] = ["processes previous actions", "unset default", "default vpc"];

/// Whether a message of the API has one of these parts.
fn says(message: &str, parts: &[&str]) -> bool {
    let message = message.to_lowercase();
    parts.iter().any(|part| message.contains(part))
}

/// The message of a 403.
fn forbidden(doing: &str, message: &str, scope: &str) -> String {
    if says(message, &NOT_ABOUT_SCOPES) {
        return format!("{doing}: DigitalOcean refused (403: {message})");
    }
    format!("{doing}: the token may not do this (403: {message}). Give it the scope `{scope}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_resource_is_told_from_a_refusal() {
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
}
