//! The rules of a kind of step, as far as an order is validated against them: no calls.

use std::time::Duration;

use serde_json::Value;

/// The rules of a kind of step.
pub trait StepRules: Send + Sync {
    /// The value of `step` in a saga.
    fn name(&self) -> &'static str;
    /// The default timeout.
    fn timeout(&self) -> Duration;
    /// The step changes nothing and only reads or waits.
    fn is_passive(&self) -> bool;
    /// The schema of the parameters.
    fn parameters(&self) -> Value;
    /// The schema of the output.
    fn output(&self) -> Value;
    /// Checks parameters, and returns why the step could not be undone with them.
    ///
    /// # Errors
    /// When the parameters are invalid; the text says why.
    fn check(&self, parameters: &Value) -> Result<Option<&'static str>, String>;
    /// The reason why the output lacks a field with these parameters.
    fn withholds(&self, parameters: &Value, field: &str) -> Option<&'static str>;
}
