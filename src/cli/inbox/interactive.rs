//! The interactive inbox: keys and drifts in, decisions and pictures out.

use std::{io, time::Duration};

use jiff::Timestamp;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::sync::mpsc;

use super::{
    draw,
    feed::Feed,
    screen::{Effect, Screen, key_of},
};
use crate::cli::{Error, Exit, cluster::Cluster, decide, drift::DriftView, history};

/// The pause of the thread that reads keys, after which it checks whether anybody still needs them.
const POLL: Duration = Duration::from_millis(200);

/// Runs until the user quits. The terminal is as before afterwards, also after a failure.
pub(super) async fn run(cluster: &Cluster, feed: Feed) -> Result<Exit, Error> {
    if !console::Term::stdout().is_term() {
        return Err(Error::usage("--interactive needs a terminal; list the drifts with: kubectl arcadia inbox"));
    }
    let mut terminal = ratatui::try_init()?;
    let ended = show(cluster, feed, &mut terminal).await;
    let restored = ratatui::try_restore();
    let exit = ended?;
    restored?;
    Ok(exit)
}

async fn show(cluster: &Cluster, mut feed: Feed, terminal: &mut DefaultTerminal) -> Result<Exit, Error> {
    let mut keys = keys();
    let mut screen = Screen::default();
    loop {
        terminal.draw(|frame| draw::draw(frame, &screen, Timestamp::now()))?;
        tokio::select! {
            drifts = feed.next() => match drifts? {
                Some(drifts) => screen.take(&drifts.iter().map(DriftView::read).collect::<Vec<_>>()),
                None => return Ok(Exit::Done),
            },
            key = keys.recv() => match key {
                // Ctrl-C is a key here, since the terminal is in raw mode.
                None | Some(None) => return Ok(Exit::Interrupted),
                Some(Some(key)) => match screen.press(key) {
                    Effect::None => {}
                    Effect::Quit => return Ok(Exit::Done),
                    Effect::Decide { verb, drifts } => {
                        let answers = decide::decide(cluster, verb, &drifts).await?;
                        screen.answered(verb, &answers);
                    }
                    Effect::ReadHistory(drift) => {
                        let place = cluster.within(&drift.namespace);
                        let history = history::of_record(&place, &drift.record, Some(&drift.field_name)).await?;
                        screen.history = Some((key_of(&drift), history));
                    }
                },
            },
        }
    }
}

/// The keys that are pressed; none for Ctrl-C. A thread reads them, since terminals have no other way.
fn keys() -> mpsc::UnboundedReceiver<Option<KeyCode>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while !sender.is_closed() {
            let key = match read_key() {
                Ok(None) => continue,
                Ok(Some(key)) => key,
                Err(_) => return,
            };
            let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            let key = (!is_interrupt).then_some(key.code);
            if sender.send(key).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next key; nothing if none comes for a while, or the terminal only changed its size.
fn read_key() -> io::Result<Option<KeyEvent>> {
    if !event::poll(POLL)? {
        return Ok(None);
    }
    match event::read()? {
        Event::Key(key) if key.kind != KeyEventKind::Release => Ok(Some(key)),
        _ => Ok(None),
    }
}
