//! The order: the steps of a saga's spec, validated before the first call. Pure.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde_json::{Value, json};

use super::{
    digest::short_digest,
    expression::{Located, Reference, Surroundings, Template},
    state::json_size,
    step_rules::StepRules,
};
use crate::{
    api::saga::{MAX_INPUT_BYTES, MAX_SPEC_BYTES, Retry, SagaSpec, StepSpec, StepStatus, Values},
    comparison::secret::hide_unknown as hide,
    nearest::nearest,
};

/// The maximum number of mistakes in a message.
const MOST_MISTAKES: usize = 10;

/// The mistakes of an invalid spec. Each names the step, the parameter and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return f.write_str(only);
        }
        write!(f, "{} mistakes:", self.0.len())?;
        for (number, mistake) in (1..=MOST_MISTAKES).zip(&self.0) {
            write!(f, "{} ({number}) {mistake}", if number == 1 { "" } else { ";" })?;
        }
        match self.0.len().saturating_sub(MOST_MISTAKES) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A valid order, as far as it can be checked before the saga starts.
pub struct Order {
    /// The steps.
    pub steps: Vec<Ordered>,
    inputs: Values,
    objections: Vec<String>,
}

/// A step of the order.
pub struct Ordered {
    /// The name of the step.
    pub name: String,
    /// The kind of step.
    pub step: &'static dyn StepRules,
    /// The maximum duration of the step.
    pub timeout: Duration,
    /// The retry policy.
    pub retry: Retry,
    /// The reason why the step cannot be undone, if the spec accepts that.
    pub irreversible: Option<&'static str>,
    parameters: Vec<Parameter>,
    is_allowed_irreversible: bool,
}

/// A parameter of a step.
struct Parameter {
    name: String,
    template: Template,
    /// The schema, if the value depends on the outputs of earlier steps.
    still_to_check: Option<Value>,
}

impl Ordered {
    /// The maximum duration of undoing the step.
    #[must_use]
    pub fn undo_timeout(&self) -> Duration {
        self.timeout.saturating_mul(2)
    }
}

impl Order {
    /// Reads a spec with steps of these kinds.
    ///
    /// # Errors
    /// When the spec is invalid.
    pub fn read(spec: &SagaSpec, kinds: &[&'static dyn StepRules]) -> Result<Self, Invalid> {
        let sizes =
            [("inputs", json_size(&spec.inputs), MAX_INPUT_BYTES), ("the spec", json_size(spec), MAX_SPEC_BYTES)];
        let too_large: Vec<_> =
            sizes.into_iter().filter_map(|(what, size, limit)| too_large(what, size, limit)).collect();
        if !too_large.is_empty() {
            return Err(Invalid(too_large));
        }
        let mut findings = OrderFindings::default();
        let mut earlier = Vec::with_capacity(spec.steps.len());
        let mut steps = Vec::with_capacity(spec.steps.len());
        for step in &spec.steps {
            let (known, ordered) = Ordered::read(step, spec, kinds, &earlier, &mut findings);
            earlier.push(known);
            steps.extend(ordered);
        }
        let OrderFindings { mut mistakes, objections } = findings;
        if mistakes.is_empty() {
            return Ok(Self { steps, inputs: spec.inputs.clone(), objections });
        }
        mistakes.extend(objections);
        Err(Invalid(mistakes))
    }

    /// Checks rules that apply to new sagas only; a saga that an earlier version accepted is still executed.
    ///
    /// # Errors
    /// When the spec breaks such a rule.
    pub fn objections(&self) -> Result<(), Invalid> {
        if self.objections.is_empty() { Ok(()) } else { Err(Invalid(self.objections.clone())) }
    }

    /// Evaluates the parameters of a step, after the earlier steps are done.
    ///
    /// # Errors
    /// When an expression fails or a value does not match the schema; the text contains the reason.
    pub fn parameters(&self, step: &Ordered, journal: &[StepStatus]) -> Result<Value, String> {
        let outputs = journal.iter().map(|entry| (entry.name.as_str(), &entry.output));
        let parameters = step.fill(&Surroundings::new(&self.inputs, outputs))?;
        match step.step.check(&parameters)? {
            Some(why) if !step.is_allowed_irreversible => Err(needs_word(why)),
            _ => Ok(parameters),
        }
    }
}

/// The mistakes of a spec.
#[derive(Default)]
struct OrderFindings {
    /// The spec is invalid.
    mistakes: Vec<String>,
    /// The spec is no longer accepted for new sagas.
    objections: Vec<String>,
}

/// An earlier step, as far as later steps refer to it.
struct Earlier<'a> {
    name: &'a str,
    /// None if the kind of step is unknown, which is reported at that step.
    step: Option<&'static dyn StepRules>,
    /// The parameters, if they do not depend on outputs.
    parameters: Option<Value>,
}

impl Ordered {
    /// Reads a step. None if it has mistakes.
    fn read<'a>(
        spec: &'a StepSpec,
        saga: &SagaSpec,
        kinds: &[&'static dyn StepRules],
        earlier: &[Earlier<'_>],
        findings: &mut OrderFindings,
    ) -> (Earlier<'a>, Option<Self>) {
        let of_step = |why: String| format!("step {:?}: {why}", spec.name);
        let kind = kinds.iter().copied().find(|kind| kind.name() == spec.step);
        let mut known = Earlier { name: &spec.name, step: kind, parameters: None };
        let Retry { min_seconds, max_seconds, .. } = spec.retry;
        if min_seconds > max_seconds {
            let why = format!("retry.minSeconds ({min_seconds}) must not be above retry.maxSeconds ({max_seconds})");
            findings.objections.push(of_step(why));
        }
        let Some(step) = known.step else {
            let names = kinds.iter().map(|kind| kind.name());
            let hint = suggestion(&nearest(&spec.step, names));
            findings.mistakes.push(of_step(format!("there is no step {:?}{hint}", spec.step)));
            return (known, None);
        };
        let mut mistakes = Vec::new();
        let schema = step.parameters();
        let properties = schema.get("properties").and_then(Value::as_object);
        let names: Vec<&str> = properties.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
        for name in spec.with.keys().filter(|name| !names.contains(&name.as_str())) {
            let hint = suggestion(&nearest(name, names.iter().copied()));
            mistakes.push(format!("{} has no parameter {name:?}{hint}", spec.step));
        }
        let mut parameters = Vec::new();
        for name in names {
            let of_parameter = |why: String| format!("parameter {name:?}: {why}");
            match Parameter::read(name, &schema, spec, saga, earlier) {
                Ok((parameter, objections)) => {
                    parameters.extend(parameter);
                    findings.objections.extend(objections.into_iter().map(of_parameter).map(of_step));
                }
                Err(Wrong::Missing(why)) => mistakes.push(why),
                Err(Wrong::Value(whys)) => mistakes.extend(whys.into_iter().map(of_parameter)),
            }
        }
        let timeout = spec.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let is_open = parameters.iter().any(|parameter| parameter.still_to_check.is_some());
        let mut ordered = Self {
            name: spec.name.clone(),
            step,
            timeout: timeout.unwrap_or_else(|| step.timeout()),
            retry: spec.retry,
            irreversible: None,
            parameters,
            is_allowed_irreversible: spec.irreversible,
        };
        if is_open {
            // Parameters that depend on outputs are checked once the outputs exist. Until then, a step that the spec
            // declares irreversible is irreversible.
            ordered.irreversible = spec.irreversible.then_some("the spec says so");
        } else if mistakes.is_empty() {
            let filled = ordered.fill(&Surroundings::new(&saga.inputs, std::iter::empty()));
            match filled.and_then(|filled| Ok((step.check(&filled)?, filled))) {
                Err(why) => mistakes.push(why),
                Ok((Some(why), _)) if !spec.irreversible => mistakes.push(needs_word(why)),
                Ok((irreversible, filled)) => {
                    ordered.irreversible = irreversible;
                    known.parameters = Some(filled);
                }
            }
        }
        let is_sound = mistakes.is_empty();
        findings.mistakes.extend(mistakes.into_iter().map(of_step));
        (known, is_sound.then_some(ordered))
    }

    fn fill(&self, surroundings: &Surroundings) -> Result<Value, String> {
        let filled = self.parameters.iter().map(|Parameter { name, template, still_to_check }| {
            let in_parameter = |why: String| format!("parameter {name:?}: {why}");
            let value = template.fill(surroundings).map_err(in_parameter)?;
            let mistakes = still_to_check.as_ref().map(|wanted| check_value(name, &value, wanted)).unwrap_or_default();
            match mistakes.into_iter().next() {
                Some(mistake) => Err(in_parameter(mistake)),
                None => Ok((name.clone(), value)),
            }
        });
        Ok(Value::Object(filled.collect::<Result<_, String>>()?))
    }
}

/// The digest of the fields that must not change after the start.
#[must_use]
pub fn digest(spec: &SagaSpec) -> String {
    let order = json!([spec.kind, spec.steps, spec.inputs, spec.rollback_of]);
    short_digest(&order.to_string(), 16)
}

/// The reason why a parameter is invalid.
enum Wrong {
    /// The parameter is missing.
    Missing(String),
    /// The value has these mistakes.
    Value(Vec<String>),
}

impl Parameter {
    /// Reads a parameter of a step, if it is given, with its objections for new sagas.
    fn read(
        name: &str,
        schema: &Value,
        spec: &StepSpec,
        saga: &SagaSpec,
        earlier: &[Earlier<'_>],
    ) -> Result<(Option<Self>, Vec<String>), Wrong> {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: BTreeSet<&str> = required.filter_map(Value::as_str).collect();
        let Some(value) = spec.with.get(name).or_else(|| saga.inputs.get(name)) else {
            if !required.contains(name) {
                return Ok((None, Vec::new()));
            }
            let near = nearest(name, spec.with.keys().chain(saga.inputs.keys()).map(String::as_str));
            let near = if near.is_empty() { String::new() } else { format!("; there is {}", near.join(", ")) };
            let why = format!("parameter {name:?} is missing: give it in `with`, or in `inputs`{near}");
            return Err(Wrong::Missing(why));
        };
        // Inputs are literal values; only the spec's `with` contains expressions.
        let is_own = spec.with.contains_key(name);
        let template =
            if is_own { Template::read(value).map_err(Wrong::Value)? } else { Template::Fixed(value.clone()) };
        let references = template.references();
        let mut mistakes = Vec::new();
        let mut objections = Vec::new();
        for Located { reference, place } in &references {
            match check_reference(reference, saga, earlier) {
                Err(why) => mistakes.push(format!("{place}: {why}")),
                Ok(objection) => objections.extend(objection.map(|why| format!("{place}: {why}"))),
            }
        }
        let wanted = schema.pointer("/properties").and_then(|all| all.get(name)).cloned().unwrap_or(json!(true));
        let is_open = references.iter().any(|at| matches!(at.reference, Reference::Output { .. }));
        if mistakes.is_empty() {
            if is_open {
                mistakes.extend(check_type(&template, &wanted, earlier).err());
            } else {
                match template.fill(&Surroundings::new(&saga.inputs, std::iter::empty())) {
                    Ok(value) => mistakes = check_value(name, &value, &wanted),
                    Err(why) => mistakes.push(why),
                }
            }
        }
        if !mistakes.is_empty() {
            return Err(Wrong::Value(mistakes));
        }
        let still_to_check = is_open.then_some(wanted);
        Ok((Some(Self { name: name.to_owned(), template, still_to_check }), objections))
    }
}

/// Checks that a reference exists. Returns the objection for new sagas.
fn check_reference(reference: &Reference, saga: &SagaSpec, earlier: &[Earlier<'_>]) -> Result<Option<String>, String> {
    match reference {
        Reference::Input { is_test: true, .. } => Ok(None),
        Reference::Input { name, .. } if saga.inputs.contains_key(name) => Ok(None),
        Reference::Input { name, .. } => {
            let hint = suggestion(&nearest(name, saga.inputs.keys().map(String::as_str)));
            Err(format!("there is no input {name:?}{hint}"))
        }
        Reference::Output { step, field } => {
            let Some(done) = earlier.iter().find(|known| known.name == *step) else {
                if saga.steps.iter().any(|other| other.name == *step) {
                    return Err(format!("step {step:?} runs later; only earlier steps have an output"));
                }
                let hint = suggestion(&nearest(step, earlier.iter().map(|known| known.name)));
                return Err(format!("there is no step {step:?} before this one{hint}"));
            };
            let Some(kind) = done.step else { return Ok(None) };
            let output = kind.output();
            let fields = output.get("properties").and_then(Value::as_object);
            let names = || fields.into_iter().flat_map(|fields| fields.keys().map(String::as_str));
            if names().any(|name| name == field) {
                let withheld = done.parameters.as_ref().and_then(|parameters| kind.withholds(parameters, field));
                return Ok(withheld.map(|why| format!("the output of {step:?} has no {field:?}: {why}")));
            }
            let hint = suggestion(&nearest(field, names()));
            Err(format!("the output of {step:?} ({}) has no {field:?}{hint}", kind.name()))
        }
        Reference::Other(path) => Err(format!(
            "`{path}` is unknown; expressions can use inputs.NAME and steps.NAME.output.FIELD \
             (steps[\"NAME\"] if the name has a dash)"
        )),
    }
}

/// Checks the type of an output against the type of a parameter.
fn check_type(template: &Template, wanted: &Value, earlier: &[Earlier<'_>]) -> Result<(), String> {
    let Some(Reference::Output { step, field }) = template.as_reference() else { return Ok(()) };
    let done = earlier.iter().find(|known| known.name == step).and_then(|known| known.step);
    let output = done.map(StepRules::output).unwrap_or_default();
    let is = types(output.pointer("/properties").and_then(|all| all.get(&field)).unwrap_or(&Value::Null));
    let wants = types(wanted);
    let fits = |is: &&String| wants.contains(*is) || (*is == "integer" && wants.iter().any(|wants| wants == "number"));
    if is.is_empty() || wants.is_empty() || is.iter().any(|is| fits(&is)) {
        return Ok(());
    }
    Err(format!("the output {field:?} of {step:?} is {}, not {}", is.join(" or "), wants.join(" or ")))
}

fn types(schema: &Value) -> Vec<String> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The mistakes of a value against the schema of its parameter. Possible credentials are masked.
fn check_value(name: &str, value: &Value, wanted: &Value) -> Vec<String> {
    let validator = match jsonschema::validator_for(wanted) {
        Ok(validator) => validator,
        Err(error) => return vec![error.to_string()],
    };
    let named = json!({ name: value });
    let is_secret = wanted.get("writeOnly") == Some(&json!(true)) || hide(&named) != named;
    let errors = validator.iter_errors(value).map(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { String::new() } else { format!(" (at {place})") };
        if is_secret { format!("{}{place}", error.masked()) } else { format!("{error}{place}") }
    });
    errors.collect()
}

fn needs_word(why: &str) -> String {
    format!("it cannot be undone ({why}); set `irreversible: true` in the step to allow it")
}

fn suggestion(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

fn too_large(what: &str, size: usize, limit: usize) -> Option<String> {
    (size > limit).then(|| format!("{what} must not be larger than {limit} bytes as JSON; it has {size}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::steps::RULES;

    fn saga(steps: &Value, inputs: &Value) -> SagaSpec {
        serde_json::from_value(json!({"kind": "test", "steps": steps, "inputs": inputs})).unwrap()
    }

    fn refused(steps: &Value, inputs: &Value) -> String {
        match Order::read(&saga(steps, inputs), &RULES) {
            Ok(_) => panic!("should have been refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn parameters_come_from_with_and_else_from_inputs() {
        let spec = saga(
            &json!([
                {"name": "snapshot", "step": "CreateDropletSnapshot", "with": {"snapshot_label": "${inputs.label}-x"}},
                {"name": "wait", "step": "Sleep", "with": {"seconds": 1}},
            ]),
            &json!({"droplet_provider_id": 3_164_444, "label": "before"}),
        );
        let order = Order::read(&spec, &RULES).unwrap();
        assert_eq!(
            order.parameters(&order.steps[0], &[]).unwrap(),
            json!({"droplet_provider_id": 3_164_444, "snapshot_label": "before-x"})
        );
        assert_eq!(order.parameters(&order.steps[1], &[]).unwrap(), json!({"seconds": 1}));
    }

    #[test]
    fn outputs_of_earlier_steps_are_parameters_of_later_ones() {
        let spec = saga(
            &json!([
                {"name": "snapshot", "step": "CreateDropletSnapshot"},
                {"name": "say", "step": "Fail", "with": {"message": "made ${steps.snapshot.output.snapshot_id}"}},
            ]),
            &json!({"droplet_provider_id": "1"}),
        );
        let order = Order::read(&spec, &RULES).unwrap();
        let done = StepStatus {
            name: "snapshot".into(),
            output: json!({"snapshot_id": "77"}).as_object().unwrap().clone(),
            ..StepStatus::default()
        };
        assert_eq!(order.parameters(&order.steps[1], &[done]).unwrap(), json!({"message": "made 77"}));
    }

    #[test]
    fn an_output_that_is_no_such_parameter_is_refused_when_it_is_there() {
        let steps = json!([
            {"name": "snapshot", "step": "CreateDropletSnapshot"},
            {"name": "label", "step": "TagResource", "with": {"tag": "${steps.snapshot.output.snapshot_id}"}},
        ]);
        let order = Order::read(&saga(&steps, &json!({"droplet_provider_id": 1})), &RULES).unwrap();
        let journal = |id: &str| {
            let output = json!({"snapshot_id": id}).as_object().unwrap().clone();
            [StepStatus { name: "snapshot".to_owned(), output, ..StepStatus::default() }]
        };
        order.parameters(&order.steps[1], &journal("7")).unwrap();
        let refused = order.parameters(&order.steps[1], &journal("no spaces")).unwrap_err();
        assert!(refused.starts_with("parameter \"tag\": "), "{refused}");
    }

    #[test]
    fn a_mistake_names_the_step_the_parameter_and_similar_names() {
        let snapshot = |with: Value| json!([{"name": "a", "step": "CreateDropletSnapshot", "with": with}]);
        let cases = [
            (
                json!([{"name": "a", "step": "CreateDropletSnapshott"}]),
                r#"step "a": there is no step "CreateDropletSnapshott"; did you mean CreateDropletSnapshot"#,
            ),
            (
                snapshot(json!({"droplet_provider_id": "1", "snapshot_lable": "x"})),
                r#"step "a": CreateDropletSnapshot has no parameter "snapshot_lable"; did you mean snapshot_label?"#,
            ),
            (
                snapshot(json!({})),
                r#"step "a": parameter "droplet_provider_id" is missing: give it in `with`, or in `inputs`"#,
            ),
            (
                json!([{"name": "a", "step": "Sleep", "with": {"seconds": "soon"}}]),
                r#"step "a": parameter "seconds": "soon" is not of type "integer""#,
            ),
            (
                json!([{"name": "a", "step": "Sleep", "with": {"seconds": -1}}]),
                r#"step "a": parameter "seconds": -1 is less than the minimum of 0"#,
            ),
            (
                json!([{"name": "a", "step": "Fail", "with": {"message": "${inputs.regoin}"}}]),
                r#"step "a": parameter "message": column 3: there is no input "regoin"; did you mean region?"#,
            ),
            (
                json!([
                    {"name": "a", "step": "Fail", "with": {"message": "${steps.b.output.x}"}},
                    {"name": "b", "step": "Sleep", "with": {"seconds": 0}},
                ]),
                r#"step "a": parameter "message": column 3: step "b" runs later; only earlier steps have an output"#,
            ),
            (
                json!([
                    {"name": "a", "step": "CreateDropletSnapshot", "with": {"droplet_provider_id": "1"}},
                    {"name": "b", "step": "Fail", "with": {"message": "${steps.a.output.snapshotid}"}},
                ]),
                r#"step "b": parameter "message": column 3: the output of "a" (CreateDropletSnapshot) has no "snapshotid"; did you mean snapshot_id?"#,
            ),
            (
                json!([
                    {"name": "a", "step": "CreateDropletSnapshot", "with": {"droplet_provider_id": "1"}},
                    {"name": "b", "step": "Sleep", "with": {"seconds": "${steps.a.output.snapshot_id}"}},
                ]),
                r#"step "b": parameter "seconds": the output "snapshot_id" of "a" is string, not integer"#,
            ),
            (
                json!([{"name": "a", "step": "Fail", "with": {"message": "${my-step.output.x}"}}]),
                r#"2 mistakes: (1) step "a": parameter "message": column 3: `my` is unknown"#,
            ),
        ];
        for (steps, wanted) in cases {
            let error = refused(&steps, &json!({"region": "nyc3"}));
            assert!(error.starts_with(wanted), "{error}\nwanted {wanted}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let large = "x".repeat(MAX_INPUT_BYTES);
        let error = refused(&json!([{"name": "a", "step": "Sleep", "with": {"seconds": 0}}]), &json!({"x": large}));
        assert!(error.starts_with("inputs must not be larger than 32768 bytes as JSON"), "{error}");
    }

    #[test]
    fn the_digest_is_of_the_order_alone() {
        let spec = saga(&json!([{"name": "a", "step": "Sleep", "with": {"seconds": 0}}]), &json!({"x": 1}));
        let cancelled = SagaSpec { cancel_requested: true, suspend: true, ..spec.clone() };
        assert_eq!(digest(&spec), digest(&cancelled));
        let other = saga(&json!([{"name": "a", "step": "Sleep", "with": {"seconds": 1}}]), &json!({"x": 1}));
        assert_ne!(digest(&spec), digest(&other));
    }

    #[test]
    fn all_mistakes_are_listed_at_once_and_none_follows_from_another() {
        let steps = json!([
            {"name": "a", "step": "Slep"},
            {"name": "b", "step": "Sleep", "with": {"seconds": -1, "secnds": 3}, "retry": {"minSeconds": 5, "maxSeconds": 2}},
            {"name": "c", "step": "Fail", "with": {"message": "${inputs.x} ${inputs.region +} ${steps.a.output.id}"}},
            {"name": "d", "step": "Fail", "with": {"message": "${inputs.x} ${steps.a.output.id} ${steps.b.output.y}"}},
        ]);
        let error = refused(&steps, &json!({"region": "nyc3"}));
        let wanted = [
            "7 mistakes:",
            r#" (1) step "a": there is no step "Slep"; did you mean Sleep?"#,
            r#"; (2) step "b": Sleep has no parameter "secnds"; did you mean seconds?"#,
            r#"; (3) step "b": parameter "seconds": -1 is less than the minimum of 0"#,
            r#"; (4) step "c": parameter "message": column 30: `${inputs.region +}` is not an expression: "#,
            r#"; (5) step "d": parameter "message": column 3: there is no input "x""#,
            r#"; (6) step "d": parameter "message": column 36: the output of "b" (Sleep) has no "y""#,
            r#"; (7) step "b": retry.minSeconds (5) must not be above retry.maxSeconds (2)"#,
        ];
        for wanted in &wanted[1..] {
            assert!(error.contains(wanted), "{error}\nwanted {wanted}");
        }
        assert!(error.starts_with("7 mistakes: (1) "), "{error}");
        let many: Value = (0..13).map(|step| json!({"name": format!("s-{step}"), "step": "Slep"})).collect();
        let error = refused(&many, &json!({}));
        assert!(error.starts_with("13 mistakes: (1) ") && error.ends_with("; and 3 more"), "{error}");
        assert!(error.contains("; (10) ") && !error.contains("(11)"), "{error}");
    }

    #[test]
    fn pauses_that_contradict_each_other_are_refused_in_a_new_order_only() {
        let spec = |retry: Value| {
            saga(&json!([{"name": "a", "step": "Sleep", "with": {"seconds": 0}, "retry": retry}]), &json!({}))
        };
        let objection =
            |retry| Order::read(&spec(retry), &RULES).unwrap().objections().map_err(|invalid| invalid.to_string());
        let wanted = "step \"a\": retry.minSeconds (61) must not be above retry.maxSeconds (60)";
        assert_eq!(objection(json!({"minSeconds": 61})).unwrap_err(), wanted);
        assert_eq!(objection(json!({"minSeconds": 60})), Ok(()));
        assert_eq!(objection(json!({"minSeconds": 61, "maxSeconds": 61})), Ok(()));
    }

    #[test]
    fn a_mistake_does_not_repeat_a_credential() {
        let call = |with: Value| refused(&json!([{"name": "a", "step": "HttpRequest", "with": with}]), &json!({}));
        let long = "canary".repeat(400);
        for with in [
            json!({"url": "https://example.com", "headers": {"Authorization": long}}),
            json!({"url": format!("https://example.com/{long}")}),
            json!({"url": ["canary"]}),
            json!({"url": "https://example.com", "headers": "canary"}),
        ] {
            let error = call(with);
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
