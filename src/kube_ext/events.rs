//! Kubernetes Events: published in the background and in order. A lost event never fails a reconcile.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    api::{OPERATOR, events::EventReason},
    comparison::show::{cut, visible},
    kube_ext::call,
};

/// The maximum number of waiting events; further ones are dropped.
const WAITING: usize = 10_000;
/// The API server accepts notes of at most 1 kB.
const LONGEST_NOTE: usize = 1000;

/// Publishing starts after this pause without new events, so that the writes which they describe go first.
const LULL: Duration = Duration::from_millis(200);
/// The maximum delay of publishing.
const LONGEST_HOLD: Duration = Duration::from_secs(2);
/// Within this time, an equal event increments the count of the last one, as in `Recorder`.
const COUNTED_FOR: Duration = Duration::from_mins(6);
/// More queued events of one group than this, in one namespace, become one.
const MOST_ALIKE: usize = 10;
/// The interval at which idle recorders are dropped.
const DROP_EVERY: Duration = Duration::from_mins(1);
/// The maximum number of recorders, which take about 10 KiB each. Beyond it, the ones that were used last stay: an equal
/// event of the others is created again.
const RECORDERS: usize = 250;

/// An event about an object.
#[derive(Debug)]
pub struct EventDraft {
    /// The object.
    pub about: ObjectReference,
    /// The related object. Events about different related objects are counted separately.
    pub related: Option<ObjectReference>,
    /// The reason, with the type of the event.
    pub event: EventReason,
    /// The action, in one word.
    pub action: &'static str,
    /// The message for people.
    pub note: String,
    /// The events that say the same of other objects.
    pub group: Option<Box<EventGroup>>,
}

/// Events that say the same of many objects.
#[derive(Clone, Debug)]
pub struct EventGroup {
    /// Equal in all events of the group.
    pub id: String,
    /// The message of one event in place of many. The number of objects is put before it.
    pub note: String,
}

/// The publisher of events. Clones share the queue.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<EventDraft>,
    /// The number of queued events that are neither published nor lost.
    pending: watch::Sender<usize>,
    /// Cancelled once no more events follow, so that none is delayed.
    hurry: CancellationToken,
}

impl Events {
    /// Starts publishing until the last clone is dropped.
    #[must_use]
    pub fn start(client: &Client) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let pending = watch::Sender::default();
        let recorders = Recorders::new(client);
        let hurry = CancellationToken::new();
        // One at a time: in order, and without delaying the writes that they describe.
        tokio::spawn(publish_all(recorders, receiver, pending.clone(), hurry.clone()));
        Self { sender, pending, hurry }
    }

    /// Queues an event. Drops it if the queue is full.
    pub fn publish(&self, news: EventDraft) {
        self.pending.send_modify(|pending| *pending += 1);
        if let Err(error) = self.sender.try_send(news) {
            settle(&self.pending, 1);
            let why = error.to_string();
            let EventDraft { about, event, .. } = error.into_inner();
            warn!(object = named(&about), event = event.name, error = why, "dropped an event");
        }
    }

    /// Waits until all queued events are published or lost. No events should be queued afterwards.
    pub async fn flush(&self) {
        self.hurry.cancel();
        // `self` holds the sender, so the channel stays open.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }
}

fn settle(pending: &watch::Sender<usize>, count: usize) {
    pending.send_modify(|pending| *pending = pending.saturating_sub(count));
}

/// Recorders, one for each note: a recorder counts events that differ only in the note as one, under the first note.
struct Recorders {
    client: Client,
    reporter: Reporter,
    by_note: HashMap<String, (Recorder, Instant)>,
    dropped: Instant,
}

impl Recorders {
    fn new(client: &Client) -> Self {
        let (client, reporter) = (client.clone(), Reporter::from(OPERATOR));
        Self { client, reporter, by_note: HashMap::new(), dropped: Instant::now() }
    }

    /// The recorder of a note.
    fn of(&mut self, note: &str) -> &Recorder {
        let now = Instant::now();
        if now.duration_since(self.dropped) > DROP_EVERY {
            self.by_note.retain(|_, (_, used)| now.duration_since(*used) < COUNTED_FOR);
            self.dropped = now;
        }
        if self.by_note.len() >= RECORDERS && !self.by_note.contains_key(note) {
            let mut used: Vec<_> = self.by_note.values().map(|(_, used)| *used).collect();
            let (_, median, _) = used.select_nth_unstable(RECORDERS / 2);
            let median = *median;
            self.by_note.retain(|_, (_, used)| *used > median);
        }
        let recorder = || Recorder::new(self.client.clone(), self.reporter.clone());
        let (recorder, used) = self.by_note.entry(note.to_owned()).or_insert_with(|| (recorder(), now));
        *used = now;
        recorder
    }

    /// Publishes an event. If it was deleted meanwhile, it is created again.
    async fn publish(&mut self, event: &Event, about: &ObjectReference) -> Result<(), call::Error> {
        let doing = format!("publishing event {}", event.reason);
        let note = event.note.clone().unwrap_or_default();
        let published = call::bounded(&doing, self.of(&note).publish(event, about)).await;
        if !matches!(published, Err(call::Error::NotFound { .. })) {
            return published;
        }
        self.by_note.remove(&note);
        call::bounded(&doing, self.of(&note).publish(event, about)).await
    }
}

async fn publish_all(
    mut recorders: Recorders,
    mut receiver: mpsc::Receiver<EventDraft>,
    pending: watch::Sender<usize>,
    hurry: CancellationToken,
) {
    let mut is_first = true;
    while let Some(first) = receiver.recv().await {
        if is_first {
            hurry.run_until_cancelled(lull(&receiver)).await;
        }
        let mut queued = vec![first];
        queued.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
        for (news, count) in merged(queued) {
            let event = Event {
                type_: if news.event.is_warning { EventType::Warning } else { EventType::Normal },
                reason: news.event.name.to_owned(),
                action: news.action.to_owned(),
                // Columns show notes, and they may quote other programs.
                note: Some(short(&visible(&news.note))),
                secondary: news.related,
            };
            let published = recorders.publish(&event, &news.about).await;
            settle(&pending, count);
            if let Err(error) = published {
                warn!(object = named(&news.about), event = news.event.name, %error, "publishing an event failed");
                sleep(Duration::from_millis(200)).await;
            }
        }
        is_first = receiver.is_empty();
    }
}

/// The events to publish, each with the number of queued events that it merges. A large group becomes one event on
/// its first object.
fn merged(queued: Vec<EventDraft>) -> Vec<(EventDraft, usize)> {
    let group_of = |draft: &EventDraft| {
        let group = draft.group.as_ref()?;
        Some((draft.event.name, draft.about.namespace.clone(), group.id.clone()))
    };
    let mut left: HashMap<_, usize> = HashMap::new();
    for group in queued.iter().filter_map(group_of) {
        *left.entry(group).or_default() += 1;
    }
    left.retain(|_, count| *count > MOST_ALIKE);
    let merge = |mut draft: EventDraft| {
        let Some(count) = group_of(&draft).and_then(|group| left.get_mut(&group)) else { return Some((draft, 1)) };
        let count = std::mem::take(count);
        let group = draft.group.take().filter(|_| count > 0)?;
        draft.note = format!("{count} {}", group.note);
        draft.related = None;
        Some((draft, count))
    };
    queued.into_iter().filter_map(merge).collect()
}

/// Waits until no new event is queued for a moment.
async fn lull(receiver: &mpsc::Receiver<EventDraft>) {
    let begun = Instant::now();
    let mut waiting = None;
    while waiting != Some(receiver.len()) && begun.elapsed() < LONGEST_HOLD {
        waiting = Some(receiver.len());
        sleep(LULL).await;
    }
}

/// The name of the object in the log.
fn named(object: &ObjectReference) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} {}/{}", part(&object.kind), part(&object.namespace), part(&object.name))
}

fn short(note: &str) -> String {
    if note.len() <= LONGEST_NOTE { note.to_owned() } else { format!("{}…", cut(note, LONGEST_NOTE - 3)) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::events;

    /// Publishes the notes about one object, to an API server that returns the n-th status for the n-th request, and
    /// then 200. Returns the requests: their methods, notes and counts.
    async fn published(notes: &[&str], statuses: &[u16]) -> Vec<(String, String, Value)> {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (asks, statuses) = (asked.clone(), statuses.to_vec());
        let api_server = tower::service_fn(move |request: Request<Body>| {
            let (asks, statuses) = (asks.clone(), statuses.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                let note = body["note"].as_str().unwrap().to_owned();
                let count = {
                    let mut asks = asks.lock().unwrap();
                    asks.push((parts.method.to_string(), note, body["series"]["count"].clone()));
                    asks.len()
                };
                let code = statuses.get(count - 1).copied().unwrap_or(200);
                let failure = json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": code });
                let answer = if code == 200 { body } else { failure };
                let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, kube::Error>(response.unwrap())
            }
        });
        let events = Events::start(&Client::new(api_server, "default"));
        let about = ObjectReference { name: Some("web-1".into()), uid: Some("1".into()), ..ObjectReference::default() };
        for note in notes {
            events.publish(EventDraft {
                about: about.clone(),
                related: None,
                event: events::DECISION_REFUSED,
                action: "Decide",
                note: (*note).to_owned(),
                group: None,
            });
        }
        events.flush().await;
        let asked = asked.lock().unwrap();
        asked.clone()
    }

    fn request(method: &str, note: &str, count: Value) -> (String, String, Value) {
        (method.to_owned(), note.to_owned(), count)
    }

    #[tokio::test]
    async fn equal_events_are_counted_and_others_are_not_merged_with_them() {
        let requests = published(&["one", "other", "one"], &[]).await;
        let wanted = [
            request("POST", "one", Value::Null),
            request("POST", "other", Value::Null),
            request("PATCH", "one", json!(2)),
        ];
        assert_eq!(requests, wanted);
    }

    #[tokio::test]
    async fn an_event_that_was_deleted_is_created_anew() {
        let requests = published(&["one", "one"], &[200, 404]).await;
        let wanted = [
            request("POST", "one", Value::Null),
            request("PATCH", "one", json!(2)),
            request("POST", "one", Value::Null),
        ];
        assert_eq!(requests, wanted);
    }

    /// An event on a record of a namespace.
    fn alike(number: usize, namespace: &str, group: &str) -> EventDraft {
        EventDraft {
            about: ObjectReference {
                name: Some(format!("web-{number}")),
                namespace: Some(namespace.to_owned()),
                ..ObjectReference::default()
            },
            related: Some(ObjectReference::default()),
            event: events::DRIFT_DETECTED,
            action: "Detect",
            note: format!("Droplet {number}: size_slug is b, expected a"),
            group: Some(Box::new(EventGroup {
                id: group.to_owned(),
                note: "records differ alike: size_slug is b, expected a".to_owned(),
            })),
        }
    }

    #[test]
    fn many_events_that_say_the_same_become_one_on_the_first_object() {
        let few = (0..MOST_ALIKE).map(|number| alike(number, "a", "few"));
        let many = (0..=MOST_ALIKE).map(|number| alike(number, "a", "many"));
        let elsewhere = alike(0, "b", "many");
        let alone = EventDraft { group: None, ..alike(0, "a", "alone") };
        let merged = merged(few.chain(many).chain([elsewhere, alone]).collect());
        assert_eq!(merged.iter().map(|(_, count)| count).sum::<usize>(), 2 * MOST_ALIKE + 3);
        assert_eq!(merged.len(), MOST_ALIKE + 3);
        let (one, count) = &merged[MOST_ALIKE];
        assert_eq!((one.about.name.as_deref(), *count), (Some("web-0"), MOST_ALIKE + 1));
        assert_eq!(one.note, "11 records differ alike: size_slug is b, expected a");
        assert!(one.related.is_none() && merged[0].0.related.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn recorders_are_bounded_and_the_ones_used_last_stay() {
        let api_server =
            tower::service_fn(|_: Request<Body>| async { Ok::<_, kube::Error>(Response::new(Body::empty())) });
        let mut recorders = Recorders::new(&Client::new(api_server, "default"));
        for number in 0..3 * RECORDERS {
            recorders.of(&number.to_string());
            recorders.of("often");
            assert!(recorders.by_note.len() <= RECORDERS);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(recorders.by_note.contains_key("often"));
        assert!(recorders.by_note.len() >= RECORDERS / 2 - 1);
    }

    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(short("short"), "short");
        let note = short(&"ü".repeat(2000));
        assert!(note.len() <= LONGEST_NOTE && note.ends_with('…'));
    }
}
