//! The interactive inbox: reads keys and drifts, stores decisions and draws the screen.

use std::{
    future::Future,
    io::{self, IsTerminal as _},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

use super::{
    draw,
    feed::{Feed, News},
    screen::{Effect, Key, Screen, key_of},
};
use crate::cli::{
    Error, Exit,
    cluster::UserCluster,
    decide::{self, Verdict},
    drift::DriftView,
    history,
};

/// The interval at which ages are redrawn.
const TICK: Duration = Duration::from_secs(10);
/// The timeout of one read of keys, after which the thread checks that its receiver still exists.
const POLL: Duration = Duration::from_millis(200);

/// Runs until the user quits. The terminal is restored afterwards, even after a failure or a signal.
pub(super) async fn run(cluster: &UserCluster, feed: Feed) -> Result<Exit, Error> {
    if !console::Term::stdout().is_term() || !io::stdin().is_terminal() {
        return Err(Error::usage(format!(
            "--interactive needs a terminal; list the drifts with: kubectl arcadia inbox{}",
            cluster.flag()
        )));
    }
    // Without a handler, these signals would end the process before it restores the terminal.
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut raw = Raw(ratatui::try_init()?);
    tokio::select! {
        ended = show(cluster, feed, &mut raw.0) => ended,
        _ = terminate.recv() => Ok(Exit::Interrupted),
        _ = hangup.recv() => Ok(Exit::Interrupted),
    }
}

/// A terminal in raw mode, until it is dropped.
struct Raw(DefaultTerminal);

impl Drop for Raw {
    fn drop(&mut self) {
        // The shell cannot handle a failure.
        let _ = ratatui::try_restore();
    }
}

async fn show(cluster: &UserCluster, mut feed: Feed, terminal: &mut DefaultTerminal) -> Result<Exit, Error> {
    let mut inputs = inputs();
    let mut screen = Screen::default();
    let mut plans = FuturesUnordered::new();
    loop {
        terminal.draw(|frame| draw::draw(frame, &mut screen, Timestamp::now()))?;
        let effect = tokio::select! {
            news = feed.next() => match news? {
                Some(News::Drifts(drifts)) => screen.take(&drifts.iter().map(DriftView::read).collect::<Vec<_>>()),
                Some(News::Lost(why)) => {
                    screen.notice = format!("the connection to the API server was lost: {why}; connecting again");
                    Effect::None
                }
                None => return Ok(Exit::Done),
            },
            Some((key, plan)) = plans.next() => {
                screen.planned(&key, plan);
                Effect::None
            }
            () = sleep(TICK) => Effect::None,
            input = inputs.recv() => match input {
                // Ctrl-C is a key here, since the terminal is in raw mode.
                None | Some(TerminalInput::Interrupt) => return Ok(Exit::Interrupted),
                Some(TerminalInput::Resized) => Effect::None,
                Some(TerminalInput::Key(key)) => screen.press(key),
            },
        };
        let effect = match effect {
            Effect::Decide { verb, drifts } => {
                let Some(answers) = patient(&mut inputs, decide::decide(cluster, verb, &drifts)).await else {
                    return Ok(Exit::Interrupted);
                };
                match answers {
                    Ok(answers) => screen.answered(verb, drifts, answers),
                    Err(error) => {
                        screen.notice = format!("not decided: {error}");
                        Effect::None
                    }
                }
            }
            Effect::ReadHistory(drift) => {
                let place = cluster.within(&drift.namespace);
                let read = history::of_record(&place, &drift.record, Some(&drift.field_name));
                let Some(history) = patient(&mut inputs, read).await else { return Ok(Exit::Interrupted) };
                match history {
                    Ok(history) => screen.history = Some((key_of(&drift), history)),
                    Err(error) => screen.notice = error.to_string(),
                }
                Effect::None
            }
            effect => effect,
        };
        match effect {
            Effect::Quit => return Ok(Exit::Done),
            Effect::Plan(drifts) => {
                plans = drifts.into_iter().map(|drift| planned(cluster, drift)).collect();
            }
            Effect::None | Effect::Decide { .. } | Effect::ReadHistory(_) => {}
        }
    }
}

/// The plan of a revert, and the drift that it is about.
async fn planned(cluster: &UserCluster, drift: DriftView) -> (Key, Verdict) {
    let plan = decide::plan_of(cluster, &drift).await;
    (key_of(&drift), plan.unwrap_or_else(|error| Verdict::Refused(error.to_string())))
}

/// Returns the result of calls to the API server, or none after Ctrl-C. Other keys are dropped meanwhile: they were
/// meant for the earlier screen.
async fn patient<T>(inputs: &mut mpsc::UnboundedReceiver<TerminalInput>, work: impl Future<Output = T>) -> Option<T> {
    let interrupt = async { while !matches!(inputs.recv().await, None | Some(TerminalInput::Interrupt)) {} };
    tokio::select! {
        biased;
        () = interrupt => None,
        done = work => Some(done),
    }
}

enum TerminalInput {
    Key(KeyCode),
    Interrupt,
    Resized,
}

/// The inputs of the terminal. A thread reads them, since terminals have no asynchronous input.
fn inputs() -> mpsc::UnboundedReceiver<TerminalInput> {
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

/// The next input; none after a timeout.
fn read() -> io::Result<Option<TerminalInput>> {
    if !event::poll(POLL)? {
        return Ok(None);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) => {
            Some(TerminalInput::Interrupt)
        }
        Event::Key(key) => Some(TerminalInput::Key(key.code)),
        Event::Resize(..) => Some(TerminalInput::Resized),
        _ => None,
    })
}
