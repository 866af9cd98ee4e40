//! Faults that tests put in the way of calls: which calls they meet, how often, and what they do.

use crate::request::pairs;
use crate::views::Past;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Something that goes wrong on calls that match.
///
/// A call matches when its path, without query, equals `path`, in which each `*` stands for any run of characters
/// (`/v2/droplets` is the list alone, `/v2/droplets/*` everything below it, `*` every call), and `method`, `query` and
/// `action`, where given, agree as well. Of several faults that match one call all apply; of those that replace the answer the
/// first injected wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The path that calls must have, `*` standing for any run of characters.
    pub path: String,
    /// The method that calls must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Pairs that the call's query must have among its own: `page=2`, `page=2&per_page=200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The action that calls must start, the `type` of their body: all actions of a droplet share one path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// How many calls it meets; `None` is all until the faults are cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How many matching calls pass before the first that it meets.
    #[serde(default)]
    pub after: u32,
    /// What it does.
    pub effect: Effect,
}

impl Fault {
    /// A fault on every call of a path, until cleared.
    pub fn new(path: impl Into<String>, effect: Effect) -> Self {
        Self { path: path.into(), method: None, query: None, action: None, times: None, after: 0, effect }
    }

    /// Only on calls with this method.
    #[must_use]
    pub fn method(self, method: impl Into<String>) -> Self {
        Self { method: Some(method.into()), ..self }
    }

    /// Only on calls whose query has these pairs.
    #[must_use]
    pub fn query(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// Only on calls that start this action: `shutdown`, `attach`, `assign`.
    #[must_use]
    pub fn action(self, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..self }
    }

    /// Only so many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only once so many calls have passed.
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

/// What is known of a call before it is carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    /// The `type` of its body.
    pub(crate) action: Option<&'a str>,
}

/// What a fault does to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The call is not carried out, and answered with this status.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `retry-after` header, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
        /// Whether a gateway answers in the API's place: an HTML page, and none of the API's headers.
        #[serde(default)]
        html: bool,
    },
    /// The call is not carried out, and refused with this status and message: "Load Balancer can't be updated while it
    /// processes previous actions", say, in the API's own shape.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The message.
        message: String,
    },
    /// The call is carried out at once, and the answer comes later.
    Latency {
        /// How much later.
        milliseconds: u64,
    },
    /// The connection is reset, and the call not carried out.
    Reset,
    /// The call is carried out, and the connection reset instead of an answer: the caller cannot know.
    ResetAfter,
    /// The call is carried out, and the body cut short under the full content-length; an answer that has none (204) is cut
    /// before its end, as by `ResetAfter`.
    Truncate,
    /// Between this page and the one before it, an earlier row went away (a naive walk misses one) or, every second time,
    /// came (a naive walk sees one twice). The pages after it and `meta.total` follow, until page 1 is asked for again and
    /// shows what there is. Meets only calls for pages after the first.
    ShiftRows,
    /// Lists leave out resources younger than this; a GET shows them.
    LagCreates {
        /// The age from which resources are listed.
        seconds: u64,
    },
    /// Lists show each resource as it was this long ago; a GET shows it as it is. One that was created since is listed.
    LagChanges {
        /// How long ago.
        seconds: u64,
    },
    /// Firewalls refuse this spelling of all ports, `0` or `all`, and take the other. Without this fault they refuse `0`.
    RefusePorts {
        /// The spelling.
        spelling: String,
    },
    /// Documents lack these fields. A field below others is a dotted path in which `*` is each item of a list:
    /// `inbound_rules.*.sources.tags`.
    OmitFields {
        /// The fields.
        fields: Vec<String>,
    },
    /// The token lacks these scopes (`tag:read`): reads that need one are refused with 403, and documents lack the fields
    /// that need one, at any depth.
    WithoutScopes {
        /// The scopes.
        scopes: Vec<String>,
    },
    /// Lists show these top-level fields as they were when the fault was injected; a GET shows what there is. The path is
    /// that of one list, without `*`.
    StaleFields {
        /// The fields.
        fields: Vec<String>,
    },
    /// 200, and a JSON object that has nothing of what was asked for.
    WrongContent,
    /// 200, an empty list and a `meta.total` of 0, whatever there is.
    EmptyList,
    /// The call is carried out as if it had not this pair in its query, as a proxy hands it on that drops what it does not
    /// know: a list shows everything.
    DropQuery {
        /// The pair's name.
        name: String,
    },
    /// Lists leave these out and count without them; a GET shows them.
    OmitRows {
        /// Their ids.
        ids: Vec<String>,
    },
    /// A body that goes on and on.
    Huge {
        /// How long.
        bytes: u64,
    },
    /// A redirect, which an API client has no reason to follow.
    Redirect {
        /// Where to.
        location: String,
    },
    /// `links.pages.next` points to another host.
    ForeignNext,
    /// The action that the call starts ends as `errored`, and changes nothing. A deployment ends in `ERROR`, a load balancer
    /// as `errored`, a firewall as `failed`, and a database is online again and unchanged.
    FailAction,
    /// The action that the call starts ends as `completed`, and changes nothing: an operating system that does not heed a
    /// `shutdown`, which only asks.
    IgnoreAction,
    /// The action that the call starts takes this much longer.
    SlowAction {
        /// How much.
        seconds: u64,
    },
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    /// By how much the rows of a list have shifted since its first page was asked for.
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
    /// Arms a fault; `past` holds the old values that `StaleFields` shows.
    pub(crate) fn add(&mut self, fault: Fault, past: Past) {
        self.armed.push(Armed { fault, past: Arc::new(past), seen: 0, fired: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
        self.shifts.clear();
    }

    /// The effects on this call.
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
    /// By how much the call's rows have shifted.
    pub(crate) shift: i8,
    /// Old values that its list still shows.
    pub(crate) past: Vec<Arc<Past>>,
}

/// Whether a page after the first is asked for.
fn later_page(query: &[(String, String)]) -> bool {
    query.iter().any(|(name, page)| name == "page" && page.parse::<u32>().is_ok_and(|it| it > 1))
}

/// Whether the text matches a pattern in which `*` is any run of characters.
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
    fn a_star_is_any_run_of_characters() {
        assert!(glob("*", "/v2/droplets"));
        assert!(glob("/v2/droplets", "/v2/droplets"));
        assert!(!glob("/v2/droplets", "/v2/droplets/1"));
        assert!(glob("/v2/droplets/*", "/v2/droplets/1/actions"));
        assert!(!glob("/v2/droplets/*", "/v2/droplets"));
        assert!(glob("/v2/*/actions", "/v2/droplets/1/actions"));
        assert!(!glob("/v2/*/actions", "/v2/droplets/1/actions/2"));
    }

    #[test]
    fn a_fault_lets_the_first_pass_and_then_meets_so_many() {
        let mut faults = Faults::default();
        faults.add(Fault::new("/v2/droplets", Effect::Reset).after(1).times(2), Past::default());
        let call = Incoming { method: "GET", path: "/v2/droplets", query: &[], action: None };
        let met: Vec<usize> = (0..5).map(|_| faults.meet(&call).effects.len()).collect();
        assert_eq!(met, [0, 1, 1, 0, 0]);
    }
}
