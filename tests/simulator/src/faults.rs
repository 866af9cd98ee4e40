//! Faults that tests inject: the matching calls, their number, and the effect.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::past::Past;
use crate::request::pairs;

/// A fault on calls that match.
///
/// A call matches if its path, without query, equals `path`, and `method`, `query` and `action`, if given, match too.
/// Each `*` in `path` matches any run of characters: `/v2/droplets` is only the list, `/v2/droplets/*` is everything
/// below it, `*` is every call. All faults that match a call apply. If several replace the response, the first injected
/// one wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The path of matching calls; `*` matches any run of characters.
    pub path: String,
    /// The method of matching calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Pairs that the query of a matching call contains: `page=2`, `page=2&per_page=200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The action that a matching call starts, the `type` of its body. All actions of a droplet share one path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The number of calls with the fault; `None` is all calls until the faults are cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The number of matching calls before the first one with the fault.
    #[serde(default)]
    pub after: u32,
    /// The effect.
    pub effect: Effect,
}

impl Fault {
    /// Creates a fault on every call of a path, until cleared.
    pub fn new(path: impl Into<String>, effect: Effect) -> Self {
        Self { path: path.into(), method: None, query: None, action: None, times: None, after: 0, effect }
    }

    /// Limits the fault to calls with this method.
    #[must_use]
    pub fn method(self, method: impl Into<String>) -> Self {
        Self { method: Some(method.into()), ..self }
    }

    /// Limits the fault to calls whose query contains these pairs.
    #[must_use]
    pub fn query(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// Limits the fault to calls that start this action: `shutdown`, `attach`, `assign`.
    #[must_use]
    pub fn action(self, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..self }
    }

    /// Limits the number of calls with the fault.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Lets this number of calls pass first.
    #[must_use]
    pub fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    fn matches(&self, call: &Incoming<'_>) -> bool {
        let Incoming { method, path, query, action } = *call;
        let query_matches =
            self.query.as_ref().is_none_or(|wanted| pairs(wanted).iter().all(|pair| query.contains(pair)));
        let method_matches = self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method));
        let action_matches = self.action.as_deref().is_none_or(|wanted| action == Some(wanted));
        query_matches
            && method_matches
            && action_matches
            && glob(&self.path, path)
            && (self.effect != Effect::ShiftRows || later_page(query))
    }
}

/// The parts of a call that faults match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    /// The `type` of its body.
    pub(crate) action: Option<&'a str>,
}

/// The effect of a fault on a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The call is not carried out, and its response has this status.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `retry-after` header, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
        /// True if the response is a gateway's: an HTML page without the API's headers.
        #[serde(default)]
        html: bool,
    },
    /// The call is not carried out. The response has the API's format, this status and this message, such as "Load
    /// Balancer can't be updated while it processes previous actions".
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The message.
        message: String,
    },
    /// The call is carried out at once, and the response is delayed.
    Latency {
        /// The delay.
        milliseconds: u64,
    },
    /// The connection is reset, and the call not carried out.
    Reset,
    /// The call is carried out, and the connection is reset instead of a response: the caller cannot know the result.
    ResetAfter,
    /// The call is carried out, and half of the body is sent with the full content-length. A response without a body
    /// (204) is cut before its end, as by `ResetAfter`.
    Truncate,
    /// Between the previous page and this one, an earlier row was removed, so that a naive walk misses a row, or every
    /// second time added, so that it sees one twice. Later pages and `meta.total` follow until page 1 is requested
    /// again and shows the current rows. Only calls of pages after the first match.
    ShiftRows,
    /// Lists leave out resources younger than this; a GET returns them.
    LagCreates {
        /// The age from which lists contain a resource.
        seconds: u64,
    },
    /// Lists show each resource as it was this long ago; a GET shows its current state. Newer resources are listed.
    LagChanges {
        /// The age.
        seconds: u64,
    },
    /// Firewalls refuse this spelling of all ports, `0` or `all`, and accept the other. Without this fault they refuse
    /// `0`.
    RefusePorts {
        /// The spelling.
        spelling: String,
    },
    /// Documents lack these fields. A nested field is a dotted path in which `*` is each item of a list:
    /// `inbound_rules.*.sources.tags`.
    OmitFields {
        /// The fields.
        fields: Vec<String>,
    },
    /// The token lacks these scopes (`tag:read`): reads that need one are refused with 403, and documents lack the
    /// fields that need one, at any depth.
    WithoutScopes {
        /// The scopes.
        scopes: Vec<String>,
    },
    /// Lists show these top-level fields as they were when the fault was injected; a GET shows the current values. The
    /// path is that of one list, without `*`.
    StaleFields {
        /// The fields.
        fields: Vec<String>,
    },
    /// The response is 200 with a JSON object that contains nothing of the requested resource.
    WrongContent,
    /// The response is 200 with an empty list and a `meta.total` of 0.
    EmptyList,
    /// The call is carried out without this pair of its query, as by a proxy that drops unknown pairs: a list shows
    /// everything.
    DropQuery {
        /// The pair's name.
        name: String,
    },
    /// Lists leave these resources out and do not count them; a GET returns them.
    OmitRows {
        /// Their ids.
        ids: Vec<String>,
    },
    /// The body has this size.
    Huge {
        /// The size.
        bytes: u64,
    },
    /// The response is a redirect, which an API client has no reason to follow.
    Redirect {
        /// The target.
        location: String,
    },
    /// `links.pages.next` points to another host.
    ForeignNext,
    /// The action that the call starts ends as `errored`, and changes nothing. A deployment ends in `ERROR`, a load
    /// balancer as `errored`, a firewall as `failed`, and a database is online again and unchanged.
    FailAction,
    /// The action that the call starts ends as `completed`, and changes nothing, as if an operating system ignored a
    /// `shutdown`.
    IgnoreAction,
    /// The action that the call starts takes this much longer.
    SlowAction {
        /// The additional time.
        seconds: u64,
    },
}

/// The active faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    /// The shift of each list's rows since its first page was requested.
    shifts: HashMap<String, i8>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// The old values that `StaleFields` shows.
    past: Arc<Past>,
    seen: u32,
    fired: u32,
}

impl Faults {
    /// Adds a fault; `past` contains the old values that `StaleFields` shows.
    pub(crate) fn add(&mut self, fault: Fault, past: Past) {
        self.armed.push(Armed { fault, past: Arc::new(past), seen: 0, fired: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
        self.shifts.clear();
    }

    /// Returns the effects on this call.
    pub(crate) fn meet(&mut self, call: &Incoming<'_>) -> Met {
        let Incoming { path, query, .. } = *call;
        if !later_page(query) {
            self.shifts.remove(path);
        }
        let mut met = Met::default();
        for armed in &mut self.armed {
            if !armed.fault.matches(call) {
                continue;
            }
            armed.seen += 1;
            if armed.seen <= armed.fault.after || armed.fault.times.is_some_and(|times| armed.fired >= times) {
                continue;
            }
            if armed.fault.effect == Effect::ShiftRows {
                self.shifts.insert(path.to_owned(), if armed.fired % 2 == 0 { 1 } else { -1 });
            }
            if matches!(armed.fault.effect, Effect::StaleFields { .. }) {
                met.past.push(Arc::clone(&armed.past));
            }
            met.effects.push(armed.fault.effect.clone());
            armed.fired += 1;
        }
        met.shift = self.shifts.get(path).copied().unwrap_or_default();
        met
    }
}

/// The effects on one call.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) effects: Vec<Effect>,
    /// The shift of the call's rows.
    pub(crate) shift: i8,
    /// Old values that the list still shows.
    pub(crate) past: Vec<Arc<Past>>,
}

/// Returns true if a page after the first is requested.
fn later_page(query: &[(String, String)]) -> bool {
    query.iter().any(|(name, page)| name == "page" && page.parse::<u32>().is_ok_and(|it| it > 1))
}

/// Returns true if the text matches a pattern in which `*` is any run of characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| rest.get(at..).is_some_and(|rest| glob(tail, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_run_of_characters() {
        assert!(glob("*", "/v2/droplets"));
        assert!(glob("/v2/droplets", "/v2/droplets"));
        assert!(!glob("/v2/droplets", "/v2/droplets/1"));
        assert!(glob("/v2/droplets/*", "/v2/droplets/1/actions"));
        assert!(!glob("/v2/droplets/*", "/v2/droplets"));
        assert!(glob("/v2/*/actions", "/v2/droplets/1/actions"));
        assert!(!glob("/v2/*/actions", "/v2/droplets/1/actions/2"));
    }

    #[test]
    fn a_fault_skips_the_first_calls_and_applies_to_a_limited_number() {
        let mut faults = Faults::default();
        faults.add(Fault::new("/v2/droplets", Effect::Reset).after(1).times(2), Past::default());
        let call = Incoming { method: "GET", path: "/v2/droplets", query: &[], action: None };
        let met: Vec<usize> = (0..5).map(|_| faults.meet(&call).effects.len()).collect();
        assert_eq!(met, [0, 1, 1, 0, 0]);
    }
}
