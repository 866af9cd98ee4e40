//! The result of a decision on several drifts: a failure about one of them does not end the others.

use crate::cli::{Error, Exit, text};

/// The exit code so far: the worst of all drifts.
pub(super) struct DecisionReport {
    exit: Exit,
}

impl DecisionReport {
    /// The report before the first drift, with the exit code if all goes well.
    pub(super) fn new(exit: Exit) -> Self {
        Self { exit }
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints a result. After the reader has closed the pipe, the other drifts are decided anyway.
    pub(super) fn print(&mut self, result: &str) {
        match text::print(result) {
            Ok(()) | Err(Error::Closed) => {}
            Err(error) => self.failed(&error.to_string()),
        }
    }

    /// A drift was not decided.
    pub(super) fn refused(&mut self) {
        if self.exit == Exit::Done {
            self.exit = Exit::No;
        }
    }

    /// The decision on a drift failed, as the note says.
    pub(super) fn failed(&mut self, note: &str) {
        text::note(note);
        self.exit = Exit::Failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_drift() {
        let mut report = DecisionReport::new(Exit::Done);
        report.refused();
        assert_eq!(report.exit(), Exit::No);
        report.failed("drift.arcadia.cloud/web-1 failed: no response within 30 s");
        report.refused();
        assert_eq!(report.exit(), Exit::Failed);
    }
}
