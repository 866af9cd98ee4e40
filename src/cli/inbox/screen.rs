//! The interactive inbox: its state, and the effect of each key. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ratatui::crossterm::event::KeyCode;

use super::view::in_order;
use crate::cli::{
    decide::{DecisionKind, DecisionResult, Verdict, is_same},
    drift::{ClassText, DriftView, PLAN, Pending},
    text::count,
};

/// The namespace and name of a drift.
pub(super) type Key = (String, String);

/// The number of drifts of a question whose plans are shown.
const PLANS: usize = 3;

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
    /// The decisions that were withdrawn on this screen, as the drifts showed them.
    withdrawn: BTreeMap<Key, DriftView>,
    /// The number of lines above the shown part of the lower half.
    pub(super) scroll: u16,
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
    Confirm(Question),
}

/// A question about some drifts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) verb: DecisionKind,
    /// The drifts as they were when it was shown.
    pub(super) drifts: Vec<DriftView>,
    /// The plans of a revert, of one drift of each change; none before the operator has answered.
    pub(super) plans: Vec<(Key, Option<Verdict>)>,
}

impl Question {
    fn new(verb: DecisionKind, drifts: Vec<DriftView>) -> Self {
        let mut plans: Vec<(Key, Option<Verdict>)> = Vec::new();
        let mut changes = BTreeSet::new();
        // The request of a plan would replace an acceptance that waits, even if the answer is no.
        let (accepted, undecided): (Vec<_>, Vec<_>) =
            drifts.iter().filter(|_| verb == DecisionKind::Revert).partition(|drift| is_accepted(drift));
        for drift in undecided.into_iter().chain(accepted) {
            if plans.len() < PLANS && changes.insert((&drift.kind, &drift.field_name, drift.change_in_short())) {
                let why = || {
                    Verdict::Refused("it is not shown, because this revert replaces a pending acceptance".to_owned())
                };
                plans.push((key_of(drift), is_accepted(drift).then(why)));
            }
        }
        Self { verb, drifts, plans }
    }

    /// Returns true if a person can answer it: the plan comes first.
    pub(super) fn is_ready(&self) -> bool {
        self.plans.iter().all(|(_, plan)| plan.is_some())
    }

    /// Returns true if yes may lose data, or cannot be undone.
    pub(super) fn loses_data(&self) -> bool {
        self.verb == DecisionKind::Revert
            && self.drifts.iter().any(|drift| drift.class.as_ref().is_some_and(ClassText::loses))
    }

    /// The plans to request.
    fn effect(&self) -> Effect {
        let is_unplanned =
            |drift: &&DriftView| self.plans.iter().any(|(key, plan)| plan.is_none() && *key == key_of(drift));
        let drifts: Vec<_> = self.drifts.iter().filter(is_unplanned).cloned().collect();
        if drifts.is_empty() { Effect::None } else { Effect::Plan(drifts) }
    }
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
    /// Requests the plan of the revert of each of these drifts, in place of earlier requests.
    Plan(Vec<DriftView>),
    /// Read the drifts of this field.
    ReadHistory(Box<DriftView>),
}

/// Returns true if an acceptance of the drift waits.
fn is_accepted(drift: &DriftView) -> bool {
    matches!(drift.pending, Some(Pending::Accept(_)))
}

/// The reason why a drift cannot be decided like that.
fn obstacle(verb: DecisionKind, drift: &DriftView) -> Option<&'static str> {
    let is_reverted = matches!(&drift.pending, Some(Pending::Revert(permission)) if permission != PLAN);
    match verb {
        DecisionKind::Accept => is_accepted(drift).then_some("already accepted; u withdraws the decision"),
        DecisionKind::Revert | DecisionKind::Plan if is_reverted => {
            Some("a revert is already pending; press u to withdraw it")
        }
        DecisionKind::Revert | DecisionKind::Plan => {
            let is_impossible = drift.class.as_ref().is_some_and(|class| class.needs().is_none());
            is_impossible.then_some("no saga can revert it: change it in the cloud, or accept it")
        }
        DecisionKind::Withdraw | DecisionKind::Restore => {
            drift.pending.is_none().then_some("no decision waits, and none was withdrawn here")
        }
    }
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
    pub(super) fn take(&mut self, drifts: &[DriftView]) -> Effect {
        self.is_complete = true;
        self.drifts = in_order(drifts);
        let known: BTreeMap<Key, &DriftView> = self.drifts.iter().map(|drift| (key_of(drift), drift)).collect();
        self.chosen.retain(|key| known.contains_key(key));
        self.withdrawn.retain(|key, seen| known.get(key).is_some_and(|now| is_same(seen, now)));
        let Mode::Confirm(question) = &self.mode else { return Effect::None };
        let has_moved = |seen: &&DriftView| known.get(&key_of(seen)).is_none_or(|now| !is_same(seen, now));
        let moved = question.drifts.iter().filter(has_moved).count();
        if moved == 0 {
            return Effect::None;
        }
        let now = |seen: &DriftView| {
            let mut now = known.get(&key_of(seen)).copied().cloned()?;
            if question.verb == DecisionKind::Restore {
                now.clone_decision(seen);
            }
            Some(now)
        };
        let still: Vec<DriftView> = question.drifts.iter().filter_map(now).collect();
        let verb = question.verb;
        self.ask_again(verb, still, moved)
    }

    /// Shows a question about drifts that changed.
    fn ask_again(&mut self, verb: DecisionKind, drifts: Vec<DriftView>, moved: usize) -> Effect {
        self.notice = format!("{} changed after the question was shown: confirm again", count(moved, "drift"));
        self.mode = Mode::List;
        if drifts.is_empty() { Effect::None } else { self.ask(verb, drifts) }
    }

    fn ask(&mut self, verb: DecisionKind, drifts: Vec<DriftView>) -> Effect {
        let question = Question::new(verb, drifts);
        let effect = question.effect();
        self.scroll = 0;
        self.mode = Mode::Confirm(question);
        effect
    }

    /// Applies the plan of a revert.
    pub(super) fn planned(&mut self, key: &Key, plan: Verdict) {
        if let Mode::Confirm(question) = &mut self.mode
            && let Some((_, known)) = question.plans.iter_mut().find(|(planned, _)| planned == key)
        {
            *known = Some(plan);
            self.notice.clear();
        }
    }

    /// Applies the answers to a decision on these drifts.
    pub(super) fn answered(
        &mut self,
        verb: DecisionKind,
        drifts: Vec<DriftView>,
        answers: Vec<DecisionResult>,
    ) -> Effect {
        let (mut stored, mut moved, mut refusals, mut unknown) = (0, Vec::new(), Vec::new(), Vec::new());
        for (drift, answer) in drifts.into_iter().zip(answers) {
            match answer {
                DecisionResult::Stored => {
                    stored += 1;
                    if verb == DecisionKind::Withdraw {
                        self.withdrawn.insert(key_of(&drift), drift);
                    } else {
                        self.withdrawn.remove(&key_of(&drift));
                    }
                }
                DecisionResult::Moved(mut now) => {
                    now.clone_decision(&drift);
                    moved.push(*now);
                }
                DecisionResult::Refused(why) => refusals.push(why),
                DecisionResult::Unknown(why) => unknown.push(why),
            }
        }
        let done = match verb {
            DecisionKind::Accept => "accept requested",
            DecisionKind::Revert | DecisionKind::Plan => "revert requested",
            DecisionKind::Withdraw => "withdrawal requested; u restores it",
            DecisionKind::Restore => "decision restored",
        };
        let mut notices = Vec::new();
        if stored > 0 || (refusals.is_empty() && unknown.is_empty()) {
            notices.push(format!("{}: {done}", count(stored, "drift")));
        }
        if let Some(refusal) = refusals.first() {
            notices.push(format!("{} not decided: {refusal}", count(refusals.len(), "drift")));
        }
        if let Some(why) = unknown.first() {
            notices.push(format!("{} perhaps decided: {why}", count(unknown.len(), "drift")));
        }
        let number = moved.len();
        let effect = if number == 0 { Effect::None } else { self.ask_again(verb, moved, number) };
        if number > 0 {
            notices.push(std::mem::take(&mut self.notice));
        }
        self.notice = notices.join("; ");
        effect
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
            Mode::Confirm(question) => {
                // Upper case, so that an accidental key press loses no data.
                let yes = if question.loses_data() { 'Y' } else { 'y' };
                match key {
                    KeyCode::Char(letter) if letter == yes && question.is_ready() => {
                        self.mode = Mode::List;
                        self.scroll = 0;
                        self.chosen.clear();
                        return Effect::Decide { verb: question.verb, drifts: question.drifts };
                    }
                    KeyCode::Char(letter) if letter == yes => {
                        "the plan comes first; wait for it".clone_into(&mut self.notice);
                    }
                    KeyCode::Char('n' | 'q') | KeyCode::Esc => {
                        self.mode = Mode::List;
                        self.scroll = 0;
                        "nothing was changed".clone_into(&mut self.notice);
                        // Plans that are not there yet are not waited for.
                        return Effect::Plan(Vec::new());
                    }
                    key => self.scroll_by(key),
                }
                Effect::None
            }
        }
    }

    fn scroll_by(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('J') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Char('K') => self.scroll = self.scroll.saturating_sub(1),
            _ => {}
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
            KeyCode::Char('a') => return self.question(DecisionKind::Accept),
            KeyCode::Char('r') => return self.question(DecisionKind::Revert),
            KeyCode::Char('u') => return self.undo(),
            KeyCode::Char('h') | KeyCode::Enter => {
                return self.current().map_or(Effect::None, |drift| Effect::ReadHistory(Box::new(drift.clone())));
            }
            key => self.scroll_by(key),
        }
        Effect::None
    }

    fn go_to(&mut self, position: usize) {
        self.scroll = 0;
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

    /// The chosen drifts, or the current one.
    fn subjects(&self) -> Vec<&DriftView> {
        if self.chosen.is_empty() {
            self.current().into_iter().collect()
        } else {
            self.drifts.iter().filter(|drift| self.chosen.contains(&key_of(drift))).collect()
        }
    }

    /// Shows a question about the chosen drifts, or the current one, if they can be decided like that.
    fn question(&mut self, verb: DecisionKind) -> Effect {
        let (mut drifts, mut notice) = (Vec::new(), None);
        for drift in self.subjects() {
            if let Some(why) = obstacle(verb, drift) {
                notice = notice.or(Some(why));
            } else {
                drifts.push(drift.clone());
            }
        }
        if !drifts.is_empty() {
            return self.ask(verb, drifts);
        }
        notice.unwrap_or("no drift is shown").clone_into(&mut self.notice);
        Effect::None
    }

    /// Shows the question whether to withdraw the decisions that wait; without any, to restore those that were withdrawn.
    fn undo(&mut self) -> Effect {
        let subjects = self.subjects();
        if subjects.iter().any(|drift| drift.pending.is_some()) {
            return self.question(DecisionKind::Withdraw);
        }
        let restored = |drift: &&DriftView| {
            let mut restored = (*drift).clone();
            restored.clone_decision(self.withdrawn.get(&key_of(drift))?);
            Some(restored)
        };
        let drifts: Vec<DriftView> = subjects.iter().filter_map(restored).collect();
        if drifts.is_empty() { self.question(DecisionKind::Withdraw) } else { self.ask(DecisionKind::Restore, drifts) }
    }
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
        let Mode::Confirm(Question { verb: DecisionKind::Accept, drifts, .. }) = &screen.mode else {
            panic!("{:?}", screen.mode)
        };
        assert_eq!(names(drifts), ["web-2-size-slug-e7320a9aaf-1"]);
        let Effect::Decide { drifts, .. } = press(&mut screen, "y") else { panic!() };
        assert_eq!((drifts.len(), screen.mode), (1, Mode::List));
    }

    #[test]
    fn a_revert_that_loses_data_needs_a_capital_letter() {
        let mut screen = screen();
        let Effect::Plan(planned) = press(&mut screen, "r") else { panic!("{:?}", screen.mode) };
        assert_eq!(names(&planned), ["db-size"]);
        assert_eq!(press(&mut screen, "Y"), Effect::None, "the plan comes first");
        screen.planned(&key_of(&planned[0]), Verdict::Done("plan: Lossy".to_owned()));
        assert_eq!(press(&mut screen, "y"), Effect::None);
        assert!(matches!(screen.mode, Mode::Confirm(_)));
        assert!(matches!(press(&mut screen, "Y"), Effect::Decide { verb: DecisionKind::Revert, .. }));
    }

    #[test]
    fn the_plan_of_one_drift_of_each_change_is_shown() {
        let mut screen = screen();
        press(&mut screen, "jc");
        for _ in 0..3 {
            press(&mut screen, "j ");
        }
        let Effect::Plan(planned) = press(&mut screen, "r") else { panic!("{:?}", screen.mode) };
        assert_eq!(names(&planned), ["web-1-tags", "web-1-size-slug-e7320a9aaf-1"]);
        // A plan that is not needed any more is not waited for.
        assert_eq!(press(&mut screen, "n"), Effect::Plan(Vec::new()));
    }

    #[test]
    fn a_plan_does_not_replace_a_decision_that_waits() {
        let decided = |name: &str, key: &str| view(name, &json!({ "metadata": { "annotations": { key: "true" } } }));
        let mut screen = Screen::default();
        screen.take(&[decided("web-1", "arcadia.cloud/revert")]);
        assert_eq!(press(&mut screen, "r"), Effect::None);
        assert_eq!(
            (screen.notice.as_str(), &screen.mode),
            ("a revert is already pending; press u to withdraw it", &Mode::List)
        );
        screen.take(&[decided("web-1", "arcadia.cloud/accept")]);
        assert_eq!(press(&mut screen, "r"), Effect::None, "nothing is requested");
        let Mode::Confirm(question) = &screen.mode else { panic!("{:?}", screen.mode) };
        assert!(question.is_ready(), "{question:?}");
        assert!(matches!(press(&mut screen, "y"), Effect::Decide { verb: DecisionKind::Revert, .. }));
        // The plan of another drift of the change is shown.
        screen.take(&[decided("web-1", "arcadia.cloud/accept"), view("web-2", &json!({}))]);
        let Effect::Plan(planned) = press(&mut screen, "cr") else { panic!("{:?}", screen.mode) };
        assert_eq!(names(&planned), ["web-2-size-slug-e7320a9aaf-1"]);
    }

    #[test]
    fn stored_and_failed_decisions_are_both_reported() {
        let mut screen = screen();
        let drifts = vec![view("web-1", &json!({})), view("web-2", &json!({}))];
        let answers = vec![DecisionResult::Stored, DecisionResult::Refused("no response within 30 s".to_owned())];
        screen.answered(DecisionKind::Accept, drifts, answers);
        assert_eq!(screen.notice, "1 drift: accept requested; 1 drift not decided: no response within 30 s");
    }

    #[test]
    fn a_drift_that_changes_while_the_question_is_shown_is_confirmed_again() {
        let mut screen = screen();
        press(&mut screen, "a");
        let moved: Vec<Value> = vec![
            json!({ "metadata": { "name": "db-size", "labels": { "arcadia.cloud/change": "00000003" } },
            "spec": { "field": "size_gigabytes", "revert": "Lossy" }, "status": { "actual": "300", "actualShort": "300" } }),
        ];
        let moved: Vec<_> = moved.iter().map(|more| view("db", more)).collect();
        screen.take(&moved);
        assert_eq!(screen.notice, "1 drift changed after the question was shown: confirm again");
        let Mode::Confirm(Question { drifts, .. }) = &screen.mode else { panic!("{:?}", screen.mode) };
        assert_eq!(drifts[0].actual, "300");
        screen.take(&[]);
        assert_eq!(screen.mode, Mode::List);
        // The API server found the change first.
        screen.take(&moved);
        let Effect::Decide { verb, drifts } = press(&mut screen, "ay") else { panic!("{:?}", screen.mode) };
        let mut later = drifts[0].clone();
        later.actual = "400".to_owned();
        screen.answered(verb, drifts, vec![DecisionResult::Moved(Box::new(later))]);
        let Mode::Confirm(Question { drifts, .. }) = &screen.mode else { panic!("{:?}", screen.mode) };
        assert_eq!(drifts[0].actual, "400");
        // A plan of the earlier value says nothing about the later one.
        press(&mut screen, "n");
        press(&mut screen, "r");
        screen.planned(&key_of(&moved[0]), Verdict::Done("plan".to_owned()));
        let mut third = moved.clone();
        third[0].actual = "500".to_owned();
        assert!(matches!(screen.take(&third), Effect::Plan(drifts) if drifts[0].actual == "500"));
        assert_eq!(press(&mut screen, "Y"), Effect::None);
    }

    #[test]
    fn a_decision_that_waits_can_be_undone() {
        let mut screen = screen();
        press(&mut screen, "u");
        assert_eq!(screen.notice, "no decision waits, and none was withdrawn here");
        let decided = json!({ "metadata": { "annotations": { "arcadia.cloud/accept": "true" } } });
        screen.take(&[view("web-1", &decided)]);
        press(&mut screen, "a");
        assert_eq!(screen.notice, "already accepted; u withdraws the decision");
        let Effect::Decide { verb: DecisionKind::Withdraw, drifts } = press(&mut screen, "uy") else { panic!() };
        // And so can the withdrawal.
        screen.answered(DecisionKind::Withdraw, drifts, vec![DecisionResult::Stored]);
        screen.take(&[view("web-1", &json!({}))]);
        assert_eq!(screen.notice, "1 drift: withdrawal requested; u restores it");
        let Effect::Decide { verb: DecisionKind::Restore, drifts } = press(&mut screen, "uy") else { panic!() };
        assert_eq!(drifts[0].pending, Some(Pending::Accept("true".to_owned())));
        screen.answered(DecisionKind::Restore, drifts, vec![DecisionResult::Stored]);
        press(&mut screen, "u");
        assert_eq!(screen.notice, "no decision waits, and none was withdrawn here");
    }
}
