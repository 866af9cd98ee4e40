//! Kubernetes Events: published in the background, in order, and never worth failing a reconcile.

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

/// Past this many waiting events the news is no longer news.
const WAITING: usize = 10_000;
/// The API server takes notes of at most 1 kB.
const LONGEST_NOTE: usize = 1000;

/// News begins to go out when none has come in for so long: the writes that it tells of go first.
const LULL: Duration = Duration::from_millis(200);
/// Or after this, however much comes in.
const LONGEST_HOLD: Duration = Duration::from_secs(2);

/// What happened to an object.
#[derive(Debug)]
pub struct News {
    /// The object.
    pub about: ObjectReference,
    /// The other object in it. News of different ones are told apart.
    pub related: Option<ObjectReference>,
    /// Whether somebody should look.
    pub is_warning: bool,
    /// A stable word in `PascalCase`.
    pub reason: &'static str,
    /// What was done, in one word.
    pub action: &'static str,
    /// For people.
    pub note: String,
}

/// Where events are handed in.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<News>,
    /// How many were handed in and neither published nor lost yet.
    pending: watch::Sender<usize>,
    /// Told when nothing more comes, so that nothing is held back.
    hurry: CancellationToken,
}

impl Events {
    /// Starts publishing until the last handle is dropped.
    #[must_use]
    pub fn start(client: &Client) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let pending = watch::Sender::default();
        let recorder = Recorder::new(client.clone(), Reporter::from(OPERATOR));
        let hurry = CancellationToken::new();
        // One at a time: in order, and never crowding out the writes that they tell of.
        tokio::spawn(publish_all(recorder, receiver, pending.clone(), hurry.clone()));
        Self { sender, pending, hurry }
    }

    /// Hands in an event. It is dropped when far too many wait.
    pub fn publish(&self, news: News) {
        self.pending.send_modify(|pending| *pending += 1);
        if let Err(error) = self.sender.try_send(news) {
            settle(&self.pending);
            let why = error.to_string();
            let News { about, reason, .. } = error.into_inner();
            warn!(object = named(&about), event = reason, error = why, "dropped an event");
        }
    }

    /// Waits until all that was handed in is published or lost. Nothing should be handed in any more.
    pub async fn flush(&self) {
        self.hurry.cancel();
        // The sender is this very value: it does not end before.
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

/// Waits until no news comes in for a moment.
async fn lull(receiver: &mpsc::Receiver<News>) {
    let begun = Instant::now();
    let mut waiting = None;
    while waiting != Some(receiver.len()) && begun.elapsed() < LONGEST_HOLD {
        waiting = Some(receiver.len());
        sleep(LULL).await;
    }
}

/// The object in a log.
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
