//! The interactive inbox: keys and drifts in, decisions and pictures out.

use std::{
    future::Future,
    io::{self, IsTerminal as _},
    time::Duration,
};

use jiff::Timestamp;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::{sync::mpsc, time::sleep};

use super::{
    draw,
    feed::Feed,
    screen::{Effect, Screen, key_of},
};
use crate::cli::{Error, Exit, cluster::Cluster, decide, drift::DriftView, history};

/// The time after which ages are drawn again.
const TICK: Duration = Duration::from_secs(10);
/// The pause of the thread that reads keys, after which it checks whether anybody still needs them.
const POLL: Duration = Duration::from_millis(200);

/// Runs until the user quits. The terminal is as before afterwards, also after a failure or a signal.
pub(super) async fn run(cluster: &Cluster, feed: Feed) -> Result<Exit, Error> {
    if !console::Term::stdout().is_term() || !io::stdin().is_terminal() {
        return Err(Error::usage("--interactive needs a terminal; list the drifts with: kubectl arcadia inbox"));
    }
    let mut raw = Raw(ratatui::try_init()?);
    show(cluster, feed, &mut raw.0).await
}

/// A terminal whose input is read key by key, until it is dropped.
struct Raw(DefaultTerminal);

impl Drop for Raw {
    fn drop(&mut self) {
        // The shell that takes over has no use for a failure.
        let _ = ratatui::try_restore();
    }
}

async fn show(cluster: &Cluster, mut feed: Feed, terminal: &mut DefaultTerminal) -> Result<Exit, Error> {
    let mut inputs = inputs();
    let mut screen = Screen::default();
    loop {
        terminal.draw(|frame| draw::draw(frame, &screen, Timestamp::now()))?;
        tokio::select! {
            drifts = feed.next() => match drifts? {
                Some(drifts) => screen.take(&drifts.iter().map(DriftView::read).collect::<Vec<_>>()),
                None => return Ok(Exit::Done),
            },
            () = sleep(TICK) => {}
            input = inputs.recv() => match input {
                // Ctrl-C is a key here, since the terminal is in raw mode.
                None | Some(Input::Interrupt) => return Ok(Exit::Interrupted),
                Some(Input::Resized) => {}
                Some(Input::Key(key)) => match screen.press(key) {
                    Effect::None => {}
                    Effect::Quit => return Ok(Exit::Done),
                    Effect::Decide { verb, drifts } => {
                        let Some(answers) = patient(&mut inputs, decide::decide(cluster, verb, &drifts)).await else {
                            return Ok(Exit::Interrupted);
                        };
                        screen.answered(verb, &answers?);
                    }
                    Effect::ReadHistory(drift) => {
                        let place = cluster.within(&drift.namespace);
                        let read = history::of_record(&place, &drift.record, Some(&drift.field_name));
                        let Some(history) = patient(&mut inputs, read).await else { return Ok(Exit::Interrupted) };
                        screen.history = Some((key_of(&drift), history?));
                    }
                },
            },
        }
    }
}

/// The result of calls to the API server; nothing if Ctrl-C comes first. Other keys do not count meanwhile: they were
/// meant for what the screen showed then.
async fn patient<T>(inputs: &mut mpsc::UnboundedReceiver<Input>, work: impl Future<Output = T>) -> Option<T> {
    let interrupt = async { while !matches!(inputs.recv().await, None | Some(Input::Interrupt)) {} };
    tokio::select! {
        biased;
        () = interrupt => None,
        done = work => Some(done),
    }
}

/// The input from the terminal.
enum Input {
    Key(KeyCode),
    Interrupt,
    /// It has another size now.
    Resized,
}

/// The inputs of the terminal. A thread reads them, since terminals have no other way.
fn inputs() -> mpsc::UnboundedReceiver<Input> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match read() {
                Ok(None) => {}
                Ok(Some(input)) => {
                    if sender.send(input).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    receiver
}

/// The next input; nothing if none comes for a while.
fn read() -> io::Result<Option<Input>> {
    if !event::poll(POLL)? {
        return Ok(None);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) => {
            Some(Input::Interrupt)
        }
        Event::Key(key) => Some(Input::Key(key.code)),
        Event::Resize(..) => Some(Input::Resized),
        _ => None,
    })
}
