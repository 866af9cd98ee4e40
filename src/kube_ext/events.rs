//! Kubernetes Events: published in the background and in order. A lost event never fails a reconcile.

use std::time::Duration;

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

use crate::{api::OPERATOR, kube_ext::call};

/// The maximum number of waiting events; further ones are dropped.
const WAITING: usize = 10_000;
/// The API server accepts notes of at most 1 kB.
const LONGEST_NOTE: usize = 1000;

/// Publishing starts after this pause without new events, so that the writes which they describe go first.
const LULL: Duration = Duration::from_millis(200);
/// The maximum delay of publishing.
const LONGEST_HOLD: Duration = Duration::from_secs(2);

/// An event about an object.
#[derive(Debug)]
pub struct News {
    /// The object.
    pub about: ObjectReference,
    /// The related object. Events about different related objects are counted separately.
    pub related: Option<ObjectReference>,
    /// Whether a person should act.
    pub is_warning: bool,
    /// A stable word in `PascalCase`.
    pub reason: &'static str,
    /// The action, in one word.
    pub action: &'static str,
    /// The message for people.
    pub note: String,
}

/// The publisher of events. Clones share the queue.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<News>,
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
        let recorder = Recorder::new(client.clone(), Reporter::from(OPERATOR));
        let hurry = CancellationToken::new();
        // One at a time: in order, and without delaying the writes that they describe.
        tokio::spawn(publish_all(recorder, receiver, pending.clone(), hurry.clone()));
        Self { sender, pending, hurry }
    }

    /// Queues an event. Drops it if the queue is full.
    pub fn publish(&self, news: News) {
        self.pending.send_modify(|pending| *pending += 1);
        if let Err(error) = self.sender.try_send(news) {
            settle(&self.pending);
            let why = error.to_string();
            let News { about, reason, .. } = error.into_inner();
            warn!(object = named(&about), event = reason, error = why, "dropped an event");
        }
    }

    /// Waits until all queued events are published or lost. No events should be queued afterwards.
    pub async fn flush(&self) {
        self.hurry.cancel();
        // `self` holds the sender, so the channel stays open.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }
}

fn settle(pending: &watch::Sender<usize>) {
    pending.send_modify(|pending| *pending = pending.saturating_sub(1));
}

async fn publish_all(
    recorder: Recorder,
    mut receiver: mpsc::Receiver<News>,
    pending: watch::Sender<usize>,
    hurry: CancellationToken,
) {
    let mut is_first = true;
    while let Some(news) = receiver.recv().await {
        if is_first {
            hurry.run_until_cancelled(lull(&receiver)).await;
        }
        is_first = receiver.is_empty();
        let event = Event {
            type_: if news.is_warning { EventType::Warning } else { EventType::Normal },
            reason: news.reason.to_owned(),
            action: news.action.to_owned(),
            note: Some(cut(news.note)),
            secondary: news.related,
        };
        let doing = format!("publishing event {}", news.reason);
        let published = call::bounded(&doing, recorder.publish(&event, &news.about)).await;
        settle(&pending);
        if let Err(error) = published {
            warn!(object = named(&news.about), event = news.reason, %error, "publishing an event failed");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Waits until no new event is queued for a moment.
async fn lull(receiver: &mpsc::Receiver<News>) {
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

fn cut(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let end = (0..=LONGEST_NOTE - 3).rev().find(|&end| note.is_char_boundary(end)).unwrap_or_default();
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        let note = cut("ü".repeat(2000));
        assert!(note.len() <= LONGEST_NOTE && note.ends_with('…'));
    }
}
