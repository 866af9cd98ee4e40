//! The screen of the interactive inbox. Pure.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState, Wrap},
};

use super::screen::{Mode, Screen, key_of, loses_data};
use crate::{
    cli::{
        decide,
        drift::{ClassText, DriftView, Pending},
        text::{age, count},
    },
    comparison::show,
};

/// The keys of the list.
const KEYS: &str = "↑↓ move  space choose  c change  a accept  r revert  u undo  h history  / filter  q quit";

pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, now: Timestamp) {
    let [head, list, detail, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(4),
        Constraint::Percentage(50),
        Constraint::Length(2),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(title(screen)).style(Style::new().add_modifier(Modifier::BOLD)), head);
    drifts(frame, list, screen, now);
    let block = Block::new().borders(Borders::TOP);
    let text: Vec<Line<'_>> = lines(screen, now).into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(block), detail);
    let keys = match &screen.mode {
        Mode::List => KEYS.to_owned(),
        Mode::Filter => format!("filter: {}_   enter keeps it, escape clears it", screen.filter),
        Mode::Confirm { verb, drifts } if loses_data(*verb, drifts) => "Y carries it out, n leaves it".to_owned(),
        Mode::Confirm { .. } => "y carries it out, n leaves it".to_owned(),
    };
    frame.render_widget(Paragraph::new(vec![Line::from(screen.notice.clone()), Line::from(keys)]), foot);
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
        let decision = match &drift.pending {
            None => "",
            Some(Pending::Accept(_)) => "accept",
            Some(Pending::Revert(_)) => "revert",
        };
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
    let shown = screen.shown();
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
    let table = Table::new(shown.iter().map(row), widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ");
    let mut state = TableState::default().with_selected((!shown.is_empty()).then(|| screen.position()));
    frame.render_stateful_widget(table, area, &mut state);
}

/// The question, or the drift under the cursor with its history.
fn lines(screen: &Screen, now: Timestamp) -> Vec<String> {
    if let Mode::Confirm { verb, drifts } = &screen.mode {
        return decide::question(*verb, drifts, None).lines().map(str::to_owned).collect();
    }
    let Some(drift) = screen.current() else {
        return vec![if screen.is_complete { "No open drifts.".to_owned() } else { String::new() }];
    };
    let mut lines = vec![
        format!("{} {} {}", drift.kind, drift.id, drift.name),
        format!("desired  {}", show::short_text(&drift.expected, 400)),
        format!("live     {}", show::short_text(&drift.actual, 400)),
    ];
    if drift.differences.len() > 1 {
        lines.extend(drift.differences.iter().map(|difference| format!("         {difference}")));
    }
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyCode};

    use super::*;
    use crate::cli::inbox::screen::tests::screen;

    fn check(screen: &Screen, expected: &Expect) {
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
            &screen(),
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
                revert   Lossy: data may be lost






                ↑↓ move  space choose  c change  a accept  r revert  u undo  h history  / filter  q quit
            "#]],
        );
    }

    #[test]
    fn a_question_says_what_it_takes() {
        let mut screen = screen();
        screen.press(KeyCode::Char('r'));
        check(
            &screen,
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







                Y carries it out, n leaves it
            "#]],
        );
    }

    #[test]
    fn an_empty_inbox_says_so() {
        let mut screen = Screen::default();
        screen.take(&[]);
        check(
            &screen,
            &expect![[r#"
                0 open drifts
                  RECORD              FIELD           OLD -> NEW                     REVERT        AGE  DECISION






                ────────────────────────────────────────────────────────────────────────────────────────────────
                No open drifts.









                ↑↓ move  space choose  c change  a accept  r revert  u undo  h history  / filter  q quit
            "#]],
        );
    }
}
