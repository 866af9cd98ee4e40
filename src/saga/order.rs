//! The order: what a saga's spec asks for, checked before anything is done. Pure.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{
    expression::{Reference, Surroundings, Template},
    step::{AnyStep, short_digest},
    steps,
};
use crate::{
    api::saga::{MAX_INPUT_BYTES, MAX_SPEC_BYTES, Retry, SagaSpec, StepSpec, StepStatus, Values},
    nearest::nearest,
};

/// Why an order cannot be carried out, in words that name the step, the parameter and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

/// An order that can be carried out, as far as can be told before.
pub struct Order {
    /// Its steps.
    pub steps: Vec<Ordered>,
    inputs: Values,
}

/// One step of an order.
pub struct Ordered {
    /// Its name.
    pub name: String,
    /// What is done.
    pub step: &'static dyn AnyStep,
    /// How long it may take.
    pub timeout: Duration,
    /// How often it is tried.
    pub retry: Retry,
    /// Why it cannot be undone, where that is so and the order says that it knows.
    pub irreversible: Option<&'static str>,
    parameters: Vec<Parameter>,
    is_allowed_irreversible: bool,
}

/// A parameter of a step.
struct Parameter {
    name: String,
    template: Template,
    /// The schema, where the value is known only when earlier steps are done.
    still_to_check: Option<Value>,
}

impl Ordered {
    /// How long undoing it may take.
    #[must_use]
    pub fn undo_timeout(&self) -> Duration {
        self.timeout.saturating_mul(2)
    }
}

impl Order {
    /// Reads a spec.
    ///
    /// # Errors
    /// When it cannot be carried out as it is.
    pub fn read(spec: &SagaSpec) -> Result<Self, Invalid> {
        within("inputs", json_size(&spec.inputs), MAX_INPUT_BYTES)?;
        within("the spec", json_size(spec), MAX_SPEC_BYTES)?;
        let mut read: Vec<Ordered> = Vec::with_capacity(spec.steps.len());
        for step in &spec.steps {
            let in_step = |why: String| Invalid(format!("step {:?}: {why}", step.name));
            let ordered = Ordered::read(step, spec, &read).map_err(in_step)?;
            read.push(ordered);
        }
        Ok(Self { steps: read, inputs: spec.inputs.clone() })
    }

    /// The parameters of a step, now that those before it are done.
    ///
    /// # Errors
    /// When they cannot be told, or are not what the step takes; the text says why.
    pub fn parameters(&self, step: &Ordered, journal: &[StepStatus]) -> Result<Value, String> {
        let outputs = journal.iter().map(|entry| (entry.name.as_str(), &entry.output));
        let parameters = step.fill(&Surroundings::new(&self.inputs, outputs))?;
        match step.step.check(&parameters)? {
            Some(why) if !step.is_allowed_irreversible => Err(needs_word(why)),
            _ => Ok(parameters),
        }
    }
}

impl Ordered {
    fn read(spec: &StepSpec, saga: &SagaSpec, earlier: &[Self]) -> Result<Self, String> {
        let step = steps::named(&spec.step).ok_or_else(|| {
            let names = steps::ALL.iter().map(|step| step.name());
            format!("there is no step {:?}{}", spec.step, suggestion(&nearest(&spec.step, names)))
        })?;
        let schema = step.parameters();
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
        for name in spec.with.keys() {
            if !known.contains(&name.as_str()) {
                let hint = suggestion(&nearest(name, known.iter().copied()));
                return Err(format!("{} has no parameter {name:?}{hint}", spec.step));
            }
        }
        let required: BTreeSet<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut parameters = Vec::new();
        let nothing_done = Surroundings::new(&saga.inputs, std::iter::empty());
        let mut open = false;
        for name in known {
            let in_parameter = |why: String| format!("parameter {name:?}: {why}");
            let Some(value) = spec.with.get(name).or_else(|| saga.inputs.get(name)) else {
                if required.contains(name) {
                    let near = nearest(name, spec.with.keys().chain(saga.inputs.keys()).map(String::as_str));
                    let near = if near.is_empty() { String::new() } else { format!("; there is {}", near.join(", ")) };
                    return Err(format!("parameter {name:?} is missing: give it in `with`, or in `inputs`{near}"));
                }
                continue;
            };
            // An input is taken as it is; only the order's own words are expressions.
            let is_own = spec.with.contains_key(name);
            let template =
                if is_own { Template::read(value).map_err(in_parameter)? } else { Template::Fixed(value.clone()) };
            let references = template.references();
            for reference in &references {
                check_reference(reference, saga, earlier).map_err(in_parameter)?;
            }
            let wanted = schema.pointer("/properties").and_then(|all| all.get(name)).cloned().unwrap_or(json!(true));
            let is_open = references.iter().any(|reference| matches!(reference, Reference::Output { .. }));
            if is_open {
                open = true;
                check_type(&template, &wanted, earlier).map_err(in_parameter)?;
            } else {
                let value = template.fill(&nothing_done).map_err(in_parameter)?;
                check_value(&value, &wanted).map_err(in_parameter)?;
            }
            let still_to_check = is_open.then_some(wanted);
            parameters.push(Parameter { name: name.to_owned(), template, still_to_check });
        }
        let timeout = spec.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let mut ordered = Self {
            name: spec.name.clone(),
            step,
            timeout: timeout.unwrap_or_else(|| step.timeout()),
            retry: spec.retry,
            irreversible: None,
            parameters,
            is_allowed_irreversible: spec.irreversible,
        };
        if open {
            // What depends on outputs is checked when they are there. Until then nothing is taken for reversible that
            // the order itself calls irreversible.
            ordered.irreversible = spec.irreversible.then_some("the order says so");
        } else {
            let irreversible = step.check(&ordered.fill(&nothing_done)?)?;
            if let Some(why) = irreversible.filter(|_| !spec.irreversible) {
                return Err(needs_word(why));
            }
            ordered.irreversible = irreversible;
        }
        Ok(ordered)
    }

    fn fill(&self, surroundings: &Surroundings) -> Result<Value, String> {
        let filled = self.parameters.iter().map(|Parameter { name, template, still_to_check }| {
            let in_parameter = |why: String| format!("parameter {name:?}: {why}");
            let value = template.fill(surroundings).map_err(in_parameter)?;
            still_to_check.as_ref().map_or(Ok(()), |wanted| check_value(&value, wanted)).map_err(in_parameter)?;
            Ok((name.clone(), value))
        });
        Ok(Value::Object(filled.collect::<Result<_, String>>()?))
    }
}

/// A digest of what must not change under way.
#[must_use]
pub fn digest(spec: &SagaSpec) -> String {
    let order = json!([spec.kind, spec.steps, spec.inputs, spec.rollback_of]);
    short_digest(&order.to_string(), 16)
}

fn check_reference(reference: &Reference, saga: &SagaSpec, earlier: &[Ordered]) -> Result<(), String> {
    match reference {
        Reference::Input { is_test: true, .. } => Ok(()),
        Reference::Input { name, .. } if saga.inputs.contains_key(name) => Ok(()),
        Reference::Input { name, .. } => {
            let hint = suggestion(&nearest(name, saga.inputs.keys().map(String::as_str)));
            Err(format!("there is no input {name:?}{hint}"))
        }
        Reference::Output { step, field } => {
            let Some(done) = earlier.iter().find(|ordered| ordered.name == *step) else {
                if saga.steps.iter().any(|other| other.name == *step) {
                    return Err(format!("step {step:?} is not done by then: only earlier steps have an output"));
                }
                let hint = suggestion(&nearest(step, earlier.iter().map(|ordered| ordered.name.as_str())));
                return Err(format!("there is no step {step:?} before this one{hint}"));
            };
            let output = done.step.output();
            let fields = output.get("properties").and_then(Value::as_object);
            let names = || fields.into_iter().flat_map(|fields| fields.keys().map(String::as_str));
            if names().any(|name| name == field) {
                return Ok(());
            }
            let hint = suggestion(&nearest(field, names()));
            Err(format!("the output of {step:?} ({}) has no {field:?}{hint}", done.step.name()))
        }
        Reference::Other(path) => Err(format!(
            "`{path}` is nothing that expressions can see: those are inputs.NAME and steps.NAME.output.FIELD \
             (steps[\"NAME\"] where the name has a dash)"
        )),
    }
}

/// Whether an output can be what a parameter wants, by their types.
fn check_type(template: &Template, wanted: &Value, earlier: &[Ordered]) -> Result<(), String> {
    let Some(Reference::Output { step, field }) = template.as_reference() else { return Ok(()) };
    let done = earlier.iter().find(|ordered| ordered.name == step);
    let output = done.map(|done| done.step.output()).unwrap_or_default();
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

/// Whether a value is what the schema of a parameter wants.
fn check_value(value: &Value, wanted: &Value) -> Result<(), String> {
    let validator = jsonschema::validator_for(wanted).map_err(|error| error.to_string())?;
    let Some(error) = validator.iter_errors(value).next() else { return Ok(()) };
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { String::new() } else { format!(" (at {place})") };
    Err(format!("{error}{place}"))
}

fn needs_word(why: &str) -> String {
    format!("it cannot be undone ({why}): say `irreversible: true` in the step to have it done all the same")
}

fn suggestion(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

fn within(what: &str, size: usize, limit: usize) -> Result<(), Invalid> {
    if size <= limit {
        return Ok(());
    }
    Err(Invalid(format!("{what} must not be larger than {limit} bytes as JSON; it has {size}")))
}

/// How many bytes something takes as JSON.
pub fn json_size(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saga(steps: &Value, inputs: &Value) -> SagaSpec {
        serde_json::from_value(json!({"kind": "test", "steps": steps, "inputs": inputs})).unwrap()
    }

    fn refused(steps: &Value, inputs: &Value) -> String {
        match Order::read(&saga(steps, inputs)) {
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
        let order = Order::read(&spec).unwrap();
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
        let order = Order::read(&spec).unwrap();
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
        let order = Order::read(&saga(&steps, &json!({"droplet_provider_id": 1}))).unwrap();
        let journal = |id: &str| {
            let output = json!({"snapshot_id": id}).as_object().unwrap().clone();
            [StepStatus { name: "snapshot".to_owned(), output, ..StepStatus::default() }]
        };
        order.parameters(&order.steps[1], &journal("7")).unwrap();
        let refused = order.parameters(&order.steps[1], &journal("no spaces")).unwrap_err();
        assert!(refused.starts_with("parameter \"tag\": "), "{refused}");
    }

    #[test]
    fn what_is_wrong_names_the_step_the_parameter_and_what_is_near() {
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
                r#"step "a": parameter "message": there is no input "regoin"; did you mean region?"#,
            ),
            (
                json!([
                    {"name": "a", "step": "Fail", "with": {"message": "${steps.b.output.x}"}},
                    {"name": "b", "step": "Sleep", "with": {"seconds": 0}},
                ]),
                r#"step "a": parameter "message": step "b" is not done by then: only earlier steps have an output"#,
            ),
            (
                json!([
                    {"name": "a", "step": "CreateDropletSnapshot", "with": {"droplet_provider_id": "1"}},
                    {"name": "b", "step": "Fail", "with": {"message": "${steps.a.output.snapshotid}"}},
                ]),
                r#"step "b": parameter "message": the output of "a" (CreateDropletSnapshot) has no "snapshotid"; did you mean snapshot_id?"#,
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
                r#"step "a": parameter "message": `my` is nothing that expressions can see"#,
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
}
