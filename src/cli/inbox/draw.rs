//! The screen of the interactive inbox. Pure.

use console::measure_text_width;
use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState, Wrap},
};

use super::screen::{Mode, Question, Screen, key_of};
use crate::{
    cli::{
        decide::{self, Verdict},
        drift::{ClassText, DriftView, Pending},
        error,
        text::{age, count},
    },
    comparison::show,
};

/// The keys of the list.
const KEYS: &str =
    "↑↓ move  JK scroll  space choose  c change  a accept  r revert  u undo  h history  / filter  q quit";

/// Draws the screen. It also limits how far the lower half is scrolled, since only here its size is known.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen, now: Timestamp) {
    let keys = match &screen.mode {
        Mode::List => KEYS.to_owned(),
        Mode::Filter => format!("filter: {}_   enter keeps it, escape clears it", screen.filter),
        Mode::Confirm(question) if !question.is_ready() => {
            "waiting for the plan of the operator, n leaves it".to_owned()
        }
        Mode::Confirm(question) if question.loses_data() => "Y carries it out, n leaves it".to_owned(),
        Mode::Confirm(_) => "y carries it out, n leaves it".to_owned(),
    };
    let keys_height = if measure_text_width(&keys) > usize::from(frame.area().width) { 2 } else { 1 };
    let [head, list, detail, notice, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(4),
        Constraint::Percentage(50),
        Constraint::Length(1),
        Constraint::Length(keys_height),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(title(screen)).style(Style::new().add_modifier(Modifier::BOLD)), head);
    drifts(frame, list, screen, now);
    let block = Block::new().borders(Borders::TOP);
    let text: Vec<Line<'_>> = lines(screen, now).into_iter().map(Line::from).collect();
    screen.scroll = screen.scroll.min(beyond(&text, detail));
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false }).block(block).scroll((screen.scroll, 0));
    frame.render_widget(paragraph, detail);
    frame.render_widget(Paragraph::new(screen.notice.clone()), notice);
    frame.render_widget(Paragraph::new(keys).wrap(Wrap { trim: true }), foot);
}

/// The number of lines that do not fit into an area with a border at the top.
fn beyond(text: &[Line<'_>], area: Rect) -> u16 {
    let width = usize::from(area.width.max(1));
    let lines: usize = text.iter().map(|line| line.width().div_ceil(width).max(1)).sum();
    u16::try_from(lines.saturating_sub(usize::from(area.height.saturating_sub(1)))).unwrap_or(u16::MAX)
}

fn title(screen: &Screen) -> String {
    if !screen.is_complete {
        return "reading the open drifts ...".to_owned();
    }
    let chosen = if screen.chosen.is_empty() { String::new() } else { format!(", {} chosen", screen.chosen.len()) };
    let filter = if screen.filter.is_empty() { String::new() } else { format!(", filter {:?}", screen.filter) };
    format!("{}{chosen}{filter}", count(screen.shown().len(), "open drift"))
}

fn drifts(frame: &mut Frame<'_>, area: Rect, screen: &Screen, now: Timestamp) {
    let row = |drift: &&DriftView| {
        let mark = if screen.chosen.contains(&key_of(drift)) { "*" } else { " " };
        let decision = drift.pending.as_ref().map(Pending::word).unwrap_or_default();
        let class = drift.class.as_ref().map(ClassText::name).unwrap_or_default();
        Row::new(
            [
                mark.to_owned(),
                drift.record.clone(),
                drift.field.clone(),
                drift.change_in_short(),
                class,
                age(drift.created, now),
                decision.to_owned(),
            ]
            .map(Cell::from),
        )
    };
    let (shown, position) = (screen.shown(), screen.position());
    // Only the rows that fit: there may be thousands. The header takes one line.
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let above = (position + 1).saturating_sub(height);
    let widths = [
        Constraint::Length(1),
        Constraint::Percentage(20),
        Constraint::Percentage(15),
        Constraint::Fill(1),
        Constraint::Length(13),
        Constraint::Length(4),
        Constraint::Length(8),
    ];
    let header = Row::new(["", "RECORD", "FIELD", "OLD -> NEW", "REVERT", "AGE", "DECISION"]);
    let table = Table::new(shown.iter().skip(above).take(height).map(row), widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ");
    let mut state = TableState::default().with_selected((!shown.is_empty()).then_some(position - above));
    frame.render_stateful_widget(table, area, &mut state);
}

/// The question, or the drift under the cursor with its history.
fn lines(screen: &Screen, now: Timestamp) -> Vec<String> {
    if let Mode::Confirm(question) = &screen.mode {
        return asked(question);
    }
    let Some(drift) = screen.current() else {
        return vec![if screen.is_complete { "No open drifts.".to_owned() } else { String::new() }];
    };
    let mut lines = vec![
        format!("{} {} {}", drift.kind, drift.id, drift.name),
        format!("desired  {}", show::short_text(&drift.expected, 400)),
        format!("live     {}", show::short_text(&drift.actual, 400)),
    ];
    lines.extend(drift.differing_parts().iter().map(|difference| format!("         {difference}")));
    if let Some(effect) = drift.effect() {
        lines.push(format!("revert   {effect}"));
    }
    for (name, text) in [("cause", drift.note.as_deref()), ("state", Some(drift.message.as_str()))] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            lines.push(format!("{name:<9}{text}"));
        }
    }
    if let Some((_, history)) = screen.history.as_ref().filter(|(key, _)| *key == key_of(drift)) {
        lines.push(String::new());
        lines.extend(history.iter().map(|drift| {
            let by = drift.decided_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            format!("{} ago  {}  {}{by}", age(drift.created, now), drift.change_in_short(), drift.phase)
        }));
    }
    lines
}

/// A question, and the plans of a revert.
fn asked(question: &Question) -> Vec<String> {
    let text = decide::question(question.verb, &question.drifts, None);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for ((_, name), plan) in &question.plans {
        let name = if question.plans.len() > 1 { format!("{name}: ") } else { String::new() };
        let text = match plan {
            None => "plan: requested from the operator".to_owned(),
            Some(Verdict::Done(plan)) => plan.clone(),
            Some(Verdict::Refused(why)) => format!("no plan: {why}"),
            Some(Verdict::Late(_)) => format!(
                "no plan: the operator does not answer; check it with: kubectl arcadia status{}",
                error::place()
            ),
        };
        lines.extend(format!("{name}{text}").lines().map(str::to_owned));
    }
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyCode};
    use serde_json::json;

    use super::*;
    use crate::cli::{
        drift::tests::view,
        inbox::screen::{Effect, tests::screen},
    };

    fn check(screen: &mut Screen, expected: &Expect) {
        let now = "2026-05-10T12:00:00Z".parse().unwrap();
        let mut terminal = Terminal::new(TestBackend::new(96, 20)).unwrap();
        terminal.draw(|frame| draw(frame, screen, now)).unwrap();
        let text = terminal.backend().to_string();
        let lines: Vec<_> = text.lines().map(|line| line.trim_matches('"').trim_end()).collect();
        expected.assert_eq(&(lines.join("\n") + "\n"));
    }

    #[test]
    fn the_list_and_the_drift_under_the_cursor_are_shown() {
        check(
            &mut screen(),
            &expect![[r#"
                4 open drifts
                    RECORD              FIELD          OLD -> NEW                    REVERT        AGE  DECISION
                >   db                  size_gigabytes 100 -> 200                    Lossy         3h
                    web-1               tags           ["web"] -> []                 Safe          3h
                    web-1               size_slug      s-2vcpu-4gb -> s-4vcpu-8gb                  3h
                    web-2               size_slug      s-2vcpu-4gb -> s-4vcpu-8gb                  3h

                ────────────────────────────────────────────────────────────────────────────────────────────────
                Droplet 3164444 db-size
                desired  s-2vcpu-4gb
                live     s-4vcpu-8gb
                         s-2vcpu-4gb -> s-4vcpu-8gb
                revert   Lossy: data may be lost





                ↑↓ move  JK scroll  space choose  c change  a accept  r revert  u undo  h history  / filter  q
                quit
            "#]],
        );
    }

    #[test]
    fn a_revert_is_confirmed_after_its_plan() {
        let mut screen = screen();
        let Effect::Plan(drifts) = screen.press(KeyCode::Char('r')) else { panic!("{:?}", screen.mode) };
        screen.press(KeyCode::Char('Y'));
        check(
            &mut screen,
            &expect![[r#"
            4 open drifts
                RECORD              FIELD          OLD -> NEW                    REVERT        AGE  DECISION
            >   db                  size_gigabytes 100 -> 200                    Lossy         3h
                web-1               tags           ["web"] -> []                 Safe          3h
                web-1               size_slug      s-2vcpu-4gb -> s-4vcpu-8gb                  3h
                web-2               size_slug      s-2vcpu-4gb -> s-4vcpu-8gb                  3h


            ────────────────────────────────────────────────────────────────────────────────────────────────
            Revert 1 drift?
              Droplet size_gigabytes   100 -> 200   db   Lossy: data may be lost
            A saga changes the resource in the cloud back to the desired value.
            plan: requested from the operator





            the plan comes first; wait for it
            waiting for the plan of the operator, n leaves it
        "#]],
        );
        let plan = "plan: Lossy: the disk is replaced; it needs --allow data-loss\n  1. resize: ResizeVolume (cannot be undone)";
        screen.planned(&key_of(&drifts[0]), Verdict::Done(plan.to_owned()));
        check(
            &mut screen,
            &expect![[r#"
                4 open drifts
                    RECORD              FIELD          OLD -> NEW                    REVERT        AGE  DECISION
                >   db                  size_gigabytes 100 -> 200                    Lossy         3h
                    web-1               tags           ["web"] -> []                 Safe          3h
                    web-1               size_slug      s-2vcpu-4gb -> s-4vcpu-8gb                  3h
                    web-2               size_slug      s-2vcpu-4gb -> s-4vcpu-8gb                  3h


                ────────────────────────────────────────────────────────────────────────────────────────────────
                Revert 1 drift?
                  Droplet size_gigabytes   100 -> 200   db   Lossy: data may be lost
                A saga changes the resource in the cloud back to the desired value.
                plan: Lossy: the disk is replaced; it needs --allow data-loss
                  1. resize: ResizeVolume (cannot be undone)





                Y carries it out, n leaves it
            "#]],
        );
    }

    #[test]
    fn details_can_be_scrolled() {
        let parts: Vec<_> =
            (1..=12).map(|port| json!({ "path": format!("inbound_rules.{port}"), "actual": "+ tcp" })).collect();
        let mut screen = Screen::default();
        screen.take(&[view("web", &json!({ "spec": { "field": "inbound_rules", "differences": parts } }))]);
        let shown = |screen: &mut Screen| {
            let mut terminal = Terminal::new(TestBackend::new(60, 20)).unwrap();
            terminal.draw(|frame| draw(frame, screen, Timestamp::UNIX_EPOCH)).unwrap();
            terminal.backend().to_string()
        };
        let top = shown(&mut screen);
        assert!(top.contains("inbound_rules.1:") && !top.contains("inbound_rules.12:"), "{top}");
        assert!(top.contains("q quit"), "the keys take two lines: {top}");
        for _ in 0..100 {
            screen.press(KeyCode::Char('J'));
        }
        let end = shown(&mut screen);
        assert!(end.contains("inbound_rules.12:") && !end.contains("inbound_rules.1:"), "{end}");
        screen.press(KeyCode::Char('K'));
        assert_ne!(shown(&mut screen), end, "K scrolls back at once");
        screen.press(KeyCode::Char('j'));
        assert_eq!(shown(&mut screen), top);
    }

    #[test]
    fn an_empty_inbox_says_so() {
        let mut screen = Screen::default();
        screen.take(&[]);
        check(
            &mut screen,
            &expect![[r#"
                0 open drifts
                  RECORD              FIELD           OLD -> NEW                     REVERT        AGE  DECISION





                ────────────────────────────────────────────────────────────────────────────────────────────────
                No open drifts.









                ↑↓ move  JK scroll  space choose  c change  a accept  r revert  u undo  h history  / filter  q
                quit
            "#]],
        );
    }
}
