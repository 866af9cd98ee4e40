//! The interactive inbox: its state, and the effect of each key. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ratatui::crossterm::event::KeyCode;

use super::view::in_order;
use crate::cli::{
    decide::{DecisionKind, DecisionResult, is_same},
    drift::{ClassText, DriftView, Pending},
    text::count,
};

/// The namespace and name of a drift.
pub(super) type Key = (String, String);

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// The open drifts, worst change first.
    drifts: Vec<DriftView>,
    /// The filter: only drifts that contain this text are shown.
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// The drift under the cursor.
    cursor: Option<Key>,
    pub(super) chosen: BTreeSet<Key>,
    /// The history of the field under the cursor, once it is read.
    pub(super) history: Option<(Key, Vec<DriftView>)>,
    /// The last message.
    pub(super) notice: String,
    /// True if the list was read once.
    pub(super) is_complete: bool,
}

/// The meaning of the next key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Mode {
    #[default]
    List,
    /// Letters extend the filter.
    Filter,
    /// A question about these drifts, as they were when it was shown.
    Confirm { verb: DecisionKind, drifts: Vec<DriftView> },
}

/// The work that a key starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    None,
    Quit,
    /// Stores a decision on each of these drifts as they were shown.
    Decide {
        verb: DecisionKind,
        drifts: Vec<DriftView>,
    },
    /// Read the drifts of this field.
    ReadHistory(Box<DriftView>),
}

pub(super) fn key_of(drift: &DriftView) -> Key {
    (drift.namespace.clone(), drift.name.clone())
}

impl Screen {
    /// The drifts that match the filter.
    pub(super) fn shown(&self) -> Vec<&DriftView> {
        let filter = self.filter.to_lowercase();
        let contains = |drift: &&DriftView| {
            let texts = [&drift.record, &drift.field, &drift.kind, &drift.namespace, &drift.name];
            let changes = drift.change_in_short();
            filter.is_empty() || texts.into_iter().chain([&changes]).any(|text| text.to_lowercase().contains(&filter))
        };
        self.drifts.iter().filter(contains).collect()
    }

    /// The position of the cursor among the shown drifts.
    pub(super) fn position(&self) -> usize {
        let shown = self.shown();
        let found = shown.iter().position(|drift| self.cursor.as_ref() == Some(&key_of(drift)));
        found.unwrap_or(0)
    }

    /// The drift under the cursor.
    pub(super) fn current(&self) -> Option<&DriftView> {
        self.shown().get(self.position()).copied()
    }

    /// Applies a new list. A question about a changed drift is shown again with its new values.
    pub(super) fn take(&mut self, drifts: &[DriftView]) {
        self.is_complete = true;
        self.drifts = in_order(drifts);
        let known: BTreeMap<Key, &DriftView> = self.drifts.iter().map(|drift| (key_of(drift), drift)).collect();
        self.chosen.retain(|key| known.contains_key(key));
        if let Mode::Confirm { verb, drifts } = &self.mode {
            let still: Vec<DriftView> =
                drifts.iter().filter_map(|seen| known.get(&key_of(seen)).copied().cloned()).collect();
            let moved =
                drifts.iter().filter(|seen| known.get(&key_of(seen)).is_none_or(|now| !is_same(seen, now))).count();
            if moved > 0 {
                self.notice = format!("{} changed after the question was shown: confirm again", count(moved, "drift"));
                self.mode = if still.is_empty() { Mode::List } else { Mode::Confirm { verb: *verb, drifts: still } };
            }
        }
    }

    /// Applies the answers to a decision.
    pub(super) fn answered(&mut self, verb: DecisionKind, answers: &[DecisionResult]) {
        let refused: Vec<&DecisionResult> = answers.iter().filter(|answer| answer.refusal.is_some()).collect();
        let stored = answers.len().saturating_sub(refused.len());
        let done = match verb {
            DecisionKind::Accept => "accept requested",
            DecisionKind::Revert | DecisionKind::Plan => "revert requested",
            DecisionKind::Withdraw => "decision withdrawn",
        };
        self.notice = format!("{}: {done}", count(stored, "drift"));
        if let Some(refusal) = refused.first().and_then(|answer| answer.refusal.as_ref()) {
            self.notice = format!("{} not decided: {refusal}", count(refused.len(), "drift"));
        }
    }

    pub(super) fn press(&mut self, key: KeyCode) -> Effect {
        match self.mode.clone() {
            Mode::List => self.press_in_list(key),
            Mode::Filter => {
                match key {
                    KeyCode::Enter => self.mode = Mode::List,
                    KeyCode::Esc => {
                        self.filter.clear();
                        self.mode = Mode::List;
                    }
                    KeyCode::Backspace => {
                        self.filter.pop();
                    }
                    KeyCode::Char(letter) => self.filter.push(letter),
                    _ => {}
                }
                Effect::None
            }
            Mode::Confirm { verb, drifts } => {
                // Upper case, so that an accidental key press loses no data.
                let yes = if loses_data(verb, &drifts) { 'Y' } else { 'y' };
                match key {
                    KeyCode::Char(letter) if letter == yes => {
                        self.mode = Mode::List;
                        self.chosen.clear();
                        Effect::Decide { verb, drifts }
                    }
                    KeyCode::Char('n' | 'q') | KeyCode::Esc => {
                        self.mode = Mode::List;
                        "nothing was changed".clone_into(&mut self.notice);
                        Effect::None
                    }
                    _ => Effect::None,
                }
            }
        }
    }

    fn press_in_list(&mut self, key: KeyCode) -> Effect {
        self.notice.clear();
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Effect::Quit,
            KeyCode::Char('j') | KeyCode::Down => self.go_to(self.position().saturating_add(1)),
            KeyCode::Char('k') | KeyCode::Up => self.go_to(self.position().saturating_sub(1)),
            KeyCode::PageDown => self.go_to(self.position().saturating_add(10)),
            KeyCode::PageUp => self.go_to(self.position().saturating_sub(10)),
            KeyCode::Char('g') | KeyCode::Home => self.go_to(0),
            KeyCode::Char('G') | KeyCode::End => self.go_to(usize::MAX),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char(' ') => self.choose(|drift, current| key_of(drift) == key_of(current)),
            KeyCode::Char('c') => self.choose(|drift, current| drift.change == current.change),
            KeyCode::Char('a') => self.question(DecisionKind::Accept),
            KeyCode::Char('r') => self.question(DecisionKind::Revert),
            KeyCode::Char('u') => self.question(DecisionKind::Withdraw),
            KeyCode::Char('h') | KeyCode::Enter => {
                return self.current().map_or(Effect::None, |drift| Effect::ReadHistory(Box::new(drift.clone())));
            }
            _ => {}
        }
        Effect::None
    }

    fn go_to(&mut self, position: usize) {
        let shown = self.shown();
        let last = shown.len().saturating_sub(1);
        self.cursor = shown.get(position.min(last)).map(|drift| key_of(drift));
    }

    /// Chooses the drifts similar to the current one, or unchooses them if all are chosen.
    fn choose(&mut self, is_alike: fn(&DriftView, &DriftView) -> bool) {
        let Some(current) = self.current() else { return };
        let keys: Vec<Key> = self.shown().into_iter().filter(|drift| is_alike(drift, current)).map(key_of).collect();
        if keys.iter().all(|key| self.chosen.contains(key)) {
            for key in &keys {
                self.chosen.remove(key);
            }
        } else {
            self.chosen.extend(keys);
        }
    }

    /// Shows a question about the chosen drifts, or the current one, if they can be decided like that.
    fn question(&mut self, verb: DecisionKind) {
        let subjects: Vec<&DriftView> = if self.chosen.is_empty() {
            self.current().into_iter().collect()
        } else {
            self.drifts.iter().filter(|drift| self.chosen.contains(&key_of(drift))).collect()
        };
        let is_possible = |drift: &&DriftView| match verb {
            DecisionKind::Accept => !matches!(drift.pending, Some(Pending::Accept(_))),
            DecisionKind::Revert | DecisionKind::Plan => {
                drift.class.as_ref().is_none_or(|class| class.needs().is_some())
            }
            DecisionKind::Withdraw => drift.pending.is_some(),
        };
        let drifts: Vec<DriftView> = subjects.into_iter().filter(is_possible).cloned().collect();
        if drifts.is_empty() {
            let notice = match verb {
                DecisionKind::Accept => "already accepted; u withdraws the decision",
                DecisionKind::Revert | DecisionKind::Plan => {
                    "no saga can revert it: change it in the cloud, or accept it"
                }
                DecisionKind::Withdraw => "no decision waits",
            };
            notice.clone_into(&mut self.notice);
            return;
        }
        self.mode = Mode::Confirm { verb, drifts };
    }
}

/// Returns true if a decision may lose data, or cannot be undone.
pub(super) fn loses_data(verb: DecisionKind, drifts: &[DriftView]) -> bool {
    verb == DecisionKind::Revert && drifts.iter().any(|drift| drift.class.as_ref().is_some_and(ClassText::loses))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::drift::tests::view;

    pub(in crate::cli::inbox) fn screen() -> Screen {
        let tags = json!({ "metadata": { "name": "web-1-tags", "labels": { "arcadia.cloud/change": "0badcafe" } },
            "spec": { "field": "tags", "expectedShort": r#"["web"]"#, "actualShort": "[]", "revert": "Safe" } });
        let lossy = json!({ "metadata": { "name": "db-size", "labels": { "arcadia.cloud/change": "00000002" } },
            "spec": { "field": "size_gigabytes", "expectedShort": "100", "actualShort": "200", "revert": "Lossy" } });
        let mut screen = Screen::default();
        screen.take(&[view("web-1", &json!({})), view("web-2", &json!({})), view("web-1", &tags), view("db", &lossy)]);
        screen
    }

    fn press(screen: &mut Screen, keys: &str) -> Effect {
        keys.chars().map(KeyCode::Char).map(|key| screen.press(key)).last().unwrap()
    }

    fn names(drifts: &[DriftView]) -> Vec<&str> {
        drifts.iter().map(|drift| drift.name.as_str()).collect()
    }

    #[test]
    fn the_worst_change_is_first_and_the_cursor_stays_on_its_drift() {
        let mut screen = screen();
        assert_eq!(screen.current().unwrap().name, "db-size");
        press(&mut screen, "jj");
        let before = screen.current().unwrap().name.clone();
        let mut drifts: Vec<_> = screen.shown().into_iter().cloned().collect();
        drifts.remove(0);
        screen.take(&drifts);
        assert_eq!(screen.current().unwrap().name, before);
        press(&mut screen, "Gj");
        assert_eq!(screen.position(), screen.shown().len() - 1);
    }

    #[test]
    fn a_decision_is_about_the_chosen_drifts_and_needs_a_confirmation() {
        let mut screen = screen();
        press(&mut screen, "/");
        press(&mut screen, "web-2");
        screen.press(KeyCode::Enter);
        assert_eq!(screen.shown().len(), 1);
        press(&mut screen, "/");
        screen.press(KeyCode::Esc);
        press(&mut screen, "/web-2");
        screen.press(KeyCode::Enter);
        // The drifts of one change are chosen, if they are shown.
        press(&mut screen, "ca");
        let Mode::Confirm { verb: DecisionKind::Accept, drifts } = &screen.mode else { panic!("{:?}", screen.mode) };
        assert_eq!(names(drifts), ["web-2-size-slug-e7320a9aaf-1"]);
        let Effect::Decide { drifts, .. } = press(&mut screen, "y") else { panic!() };
        assert_eq!((drifts.len(), screen.mode), (1, Mode::List));
    }

    #[test]
    fn a_revert_that_loses_data_needs_a_capital_letter() {
        let mut screen = screen();
        assert_eq!(press(&mut screen, "ry"), Effect::None);
        assert!(matches!(screen.mode, Mode::Confirm { .. }));
        assert!(matches!(press(&mut screen, "Y"), Effect::Decide { verb: DecisionKind::Revert, .. }));
    }

    #[test]
    fn a_drift_that_changes_while_the_question_is_shown_is_confirmed_again() {
        let mut screen = screen();
        press(&mut screen, "a");
        let moved: Vec<Value> = vec![
            json!({ "metadata": { "name": "db-size", "labels": { "arcadia.cloud/change": "00000003" } },
            "spec": { "field": "size_gigabytes", "revert": "Lossy" }, "status": { "actual": "300", "actualShort": "300" } }),
        ];
        screen.take(&moved.iter().map(|more| view("db", more)).collect::<Vec<_>>());
        assert_eq!(screen.notice, "1 drift changed after the question was shown: confirm again");
        let Mode::Confirm { drifts, .. } = &screen.mode else { panic!("{:?}", screen.mode) };
        assert_eq!(drifts[0].actual, "300");
        screen.take(&[]);
        assert_eq!(screen.mode, Mode::List);
    }

    #[test]
    fn a_decision_that_waits_can_be_undone() {
        let mut screen = screen();
        press(&mut screen, "u");
        assert_eq!(screen.notice, "no decision waits");
        let decided = json!({ "metadata": { "annotations": { "arcadia.cloud/accept": "true" } } });
        screen.take(&[view("web-1", &decided)]);
        press(&mut screen, "a");
        assert_eq!(screen.notice, "already accepted; u withdraws the decision");
        assert!(matches!(press(&mut screen, "uy"), Effect::Decide { verb: DecisionKind::Withdraw, .. }));
    }
}
