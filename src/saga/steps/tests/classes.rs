//! The class that a drift shows from its start is the one that its decision finds, for every field of every kind.

use std::collections::HashMap;

use serde_json::{Value, json};
use strum::IntoEnumIterator;

use crate::{
    comparison::show::short,
    digitalocean::{
        FieldComparison, Kind, Live,
        revert::{AccountFacts, Allow, ProposedStep, Revert, RevertClass, assess, documented, plan, revertible},
    },
    saga::steps::named,
};

/// Recorded values for a live one: blanks of every type, other types, and both directions.
fn recorded(live: &Value) -> Vec<Value> {
    let mut shapes = blanks();
    shapes.extend([
        json!(true),
        json!("false"),
        json!(7.5),
        json!("x y/z"),
        json!("x".repeat(2000)),
        json!([1, "b c"]),
        json!([["a"]]),
        json!({ "unknown": 1 }),
        json!((0..70).map(|number| format!("item-{number}")).collect::<Vec<_>>()),
    ]);
    match live {
        Value::Array(items) => {
            shapes.push(items.iter().skip(1).cloned().collect());
            shapes.push(items.iter().cloned().chain(["more".into()]).collect());
            shapes.extend(items.iter().take(1).flat_map(parts).map(|part| json!([part])));
        }
        Value::Object(_) => shapes.extend(parts(live)),
        scalar => shapes.extend(moved(scalar)),
    }
    shapes
}

fn blanks() -> Vec<Value> {
    vec![Value::Null, json!(""), json!([]), json!({})]
}

/// A scalar that grew, shrank, or has another notation.
fn moved(live: &Value) -> Vec<Value> {
    match live {
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(1);
            let text = json!((number + 1).to_string());
            [number + 1, number - 1, -number, number * 1_000_000].map(Value::from).into_iter().chain([text]).collect()
        }
        Value::String(text) => vec![json!(format!("{text}-x")), json!(text.to_uppercase()), json!(1)],
        Value::Bool(is_on) => vec![json!(!is_on), json!((!is_on).to_string())],
        Value::Null | Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

/// The map with each of its values blank or moved.
fn parts(live: &Value) -> Vec<Value> {
    let Some(entries) = live.as_object() else { return Vec::new() };
    let parts = entries.iter().take(12).flat_map(|(key, value)| {
        [Value::Null, json!("")].into_iter().chain(moved(value).into_iter().take(2)).map(|shape| {
            let mut changed = entries.clone();
            changed.insert(key.clone(), shape);
            Value::Object(changed)
        })
    });
    parts.collect()
}

/// The resource with a field that is blank, or missing.
fn without(whole: &Live, field: &str) -> Vec<Live> {
    let blank = |value: Option<Value>| {
        let mut document = whole.document().clone();
        let entries = document.as_object_mut().unwrap();
        match value {
            Some(value) => entries.insert(field.to_owned(), value),
            None => entries.remove(field),
        };
        Live::parse(whole.key(), &document.to_string()).unwrap()
    };
    vec![blank(Some(Value::Null)), blank(Some(json!([]))), blank(None)]
}

/// The schemas of steps, each compiled once.
#[derive(Default)]
struct Schemas(HashMap<&'static str, jsonschema::Validator>);

impl Schemas {
    /// The reason why a saga with this step is refused.
    fn refusal(&mut self, step: ProposedStep) -> Option<String> {
        let (kind, with) = (named(step.step).unwrap(), Value::Object(step.with));
        let schema = self.0.entry(step.step).or_insert_with(|| jsonschema::validator_for(&kind.parameters()).unwrap());
        let error = schema.iter_errors(&with).next().map(|error| error.to_string());
        match error.map_or_else(|| kind.check(&with), Err) {
            Ok(why) => (why.is_some() != step.irreversible).then(|| format!("irreversible is {}", step.irreversible)),
            Err(error) => Some(error),
        }
    }
}

/// The reasons why a class and the decisions on it disagree; none if nothing differs.
fn disagreements(live: &Live, field: &str, desired: &Value, schemas: &mut Schemas) -> Option<Vec<String>> {
    let facts = AccountFacts::default();
    let revert = Revert { field, desired, document: live, facts: &facts };
    if !matches!(live.compare(field, desired), FieldComparison::Done(found) if !found.differences.is_empty()) {
        return None;
    }
    let shown = assess(&revert);
    let why = shown.why.as_deref().unwrap_or_default();
    let mut wrong = Vec::new();
    if shown.class != RevertClass::Safe && (!why.ends_with('.') || why.len() > 1024) {
        wrong.push(format!("its sentence is {why:?}"));
    }
    for allow in Allow::iter() {
        match plan(&revert, "web-1", allow) {
            Ok(plan) if !allow.permits(shown.class) || plan.assessment != shown => {
                wrong.push(format!("{} is planned as {}", allow.annotation(), plan.assessment.class));
            }
            Ok(plan) => {
                if plan.calls.iter().any(|call| call.changes.len() > 64) {
                    wrong.push("its plan does not fit into a Drift".to_owned());
                }
                let refused = |step: ProposedStep| {
                    let name = step.step;
                    schemas.refusal(step).map(|why| format!("its saga is refused: {name}: {why}"))
                };
                wrong.extend(plan.steps.into_iter().filter_map(refused));
            }
            Err(refused) if allow.permits(shown.class) || refused.class() != shown.class => {
                wrong.push(format!("{} is refused: {refused}", allow.annotation()));
            }
            Err(refused) if !refused.to_string().contains(why) => wrong.push(format!("the refusal is: {refused}")),
            Err(_) => {}
        }
    }
    wrong.dedup();
    Some(wrong)
}

#[test]
fn the_class_of_every_drift_is_the_one_that_its_decision_finds() {
    let (mut schemas, mut wrong, mut drifts) = (Schemas::default(), Vec::new(), 0);
    for kind in Kind::all() {
        let whole = documented(kind);
        let revertible = revertible(kind);
        for field in kind.fields() {
            // No value can be reverted in the other fields, so a few show it.
            let is_revertible = revertible.iter().any(|name| name == field);
            let values = if is_revertible { recorded(&whole.value(field)) } else { blanks() };
            let mut lives = if is_revertible { without(&whole, field) } else { Vec::new() };
            lives.push(whole.clone());
            for (live, desired) in lives.iter().flat_map(|live| values.iter().map(move |desired| (live, desired))) {
                let Some(found) = disagreements(live, field, desired, &mut schemas) else { continue };
                drifts += 1;
                let (is, recorded) = (short(&live.value(field), 60), short(desired, 60));
                wrong.extend(found.into_iter().map(|why| format!("{kind} {field}: {is} -> {recorded}: {why}")));
            }
        }
    }
    assert!(drifts > 5_000, "{drifts}");
    assert!(wrong.is_empty(), "{} of {drifts}:\n{}", wrong.len(), wrong.join("\n"));
}
