//! The tables of `docs/reference`, from the names and texts of the code: the documents contain the same texts as
//! `kubectl explain`, `--help` and a scrape.

use std::path::Path;

use arcadia_operator::{
    api::{
        self, AcceptPolicy, DriftPhase, SagaKind, SagaPhase, annotations,
        conditions::{self, REASONS},
        events, labels,
        saga::StepState,
        terms::Term,
    },
    config::Cli,
    digitalocean::{kinds, revert::RevertClass},
};
use clap::CommandFactory as _;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::{
    markdown::{cell, code, table},
    metrics,
    page::{Generated, generation_failed, read, section},
};
use crate::Error;

/// All pages with generated tables. A new table is a new line here and two marks in its page.
pub(super) fn files() -> Result<Vec<Generated>, Error> {
    let page = |name: &str, tables: &[(&str, String)]| -> Result<Generated, Error> {
        let path = Path::new("docs/reference").join(name);
        let content = tables.iter().try_fold(read(&path)?, |text, (name, table)| section(&path, &text, name, table))?;
        Ok((path, content))
    };
    let definitions: Vec<Value> = api::crds().iter().map(|definition| json!(definition)).collect();
    let [record, drift, saga] = definitions.as_slice() else {
        return Err(generation_failed("the code has other custom resources than docs/reference/crds.md"));
    };
    Ok(vec![
        page(
            "annotations.md",
            &[("annotations", terms("annotation", annotations::ALL)), ("labels", terms("label", labels::ALL))],
        )?,
        page("comparison.md", &[("defaults", kinds::reference_of_defaults())])?,
        page(
            "conditions.md",
            &[
                ("conditions of a record", conditions_of("record")),
                ("conditions of a drift", conditions_of("drift")),
                ("conditions of a saga", conditions_of("saga")),
                ("reasons", terms("reason", REASONS)),
            ],
        )?,
        page(
            "crds.md",
            &[
                ("record", fields(record)),
                ("places of accepted values", variants::<AcceptPolicy>("spec.drift.accept")),
                ("drift", fields(drift)),
                ("classes of a revert", variants::<RevertClass>("class of a revert")),
                ("drift phases", variants::<DriftPhase>("drift phase")),
                ("saga", fields(saga)),
                ("saga kinds", variants::<SagaKind>("saga kind")),
                ("saga phases", variants::<SagaPhase>("saga phase")),
                ("step states", variants::<StepState>("step state")),
            ],
        )?,
        page("events.md", &[("events", events())])?,
        page("metrics.md", &[("metrics", metrics::metrics()?)])?,
        page("flags.md", &[("commands", commands()), ("flags", flags())])?,
    ])
}

fn terms(noun: &str, terms: &[Term]) -> String {
    // The only prefix is followed by the name of a step.
    let name = |term: &Term| if term.name.ends_with('-') { format!("{}STEP", term.name) } else { term.name.to_owned() };
    let rows = terms.iter().map(|term| [code(&name(term)), term.on.join(", "), cell(term.text)]);
    table([noun, "on", "means"], rows)
}

fn conditions_of(object: &str) -> String {
    let meanings = conditions::ALL.iter().filter(|meaning| meaning.on == object);
    let rows = meanings.map(|meaning| {
        let [holds, fails, unknown] = meaning.when.map(|(_, text)| text.to_owned());
        [code(meaning.kind), holds, fails, unknown]
    });
    table(["condition", "True", "False", "Unknown"], rows)
}

fn events() -> String {
    let rows = events::ALL.iter().map(|event| {
        let kind = if event.is_warning { "Warning" } else { "Normal" };
        [code(event.name), kind.to_owned(), cell(event.text)]
    });
    table(["event", "type", "when"], rows)
}

fn commands() -> String {
    let command = Cli::command();
    let rows = command.get_subcommands().map(|command| {
        let does = command.get_about().map(ToString::to_string).unwrap_or_default();
        [code(&format!("arcadia-operator {}", command.get_name())), cell(&does)]
    });
    table(["command", "does"], rows)
}

fn flags() -> String {
    let command = Cli::command();
    let flags = command.get_arguments().filter(|argument| argument.get_env().is_some());
    let rows = flags.map(|argument| {
        let name = argument.get_long().unwrap_or_default();
        let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        // A default that is no value is part of the help.
        let (help, said) = help.split_once("[default: ").unwrap_or((&help, ""));
        let default = if said.is_empty() { code(&defaults.join(",")) } else { said.trim_end_matches(']').to_owned() };
        [code(format!("--{name} {}", value.unwrap_or_default()).trim()), code(&variable), default, cell(help)]
    });
    table(["flag", "variable", "default", "does"], rows)
}

/// The variants of an enum, with their documentation.
fn variants<T: JsonSchema>(noun: &str) -> String {
    let schema = json!(schemars::schema_for!(T));
    let variants = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |variant: &Value, key| variant.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = variants.iter().map(|variant| [code(&text(variant, "const")), cell(&text(variant, "description"))]);
    table([noun, "means"], rows)
}

/// Every field of a custom resource, as `kubectl explain` describes it.
fn fields(definition: &Value) -> String {
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for part in ["spec", "status"] {
        if let Some(schema) = schema.get(part) {
            add_fields(part, schema, &mut rows);
        }
    }
    table(["field", "type", "is"], rows)
}

fn add_fields(path: &str, schema: &Value, rows: &mut Vec<[String; 3]>) {
    let below = schema.get("properties").and_then(Value::as_object);
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    for (name, schema) in below.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        // The fields of Kubernetes conditions, and maps with any keys, are not listed one by one.
        let is_known = name == "conditions" || description.is_empty() && schema.get("properties").is_none();
        let is_required = path.starts_with("spec.") && required.iter().any(|required| *required == name);
        let mark = if is_required { ", required" } else { "" };
        if !description.is_empty() {
            rows.push([code(&path), kind(schema) + mark, cell(description)]);
        }
        if !is_known && schema.get("x-kubernetes-preserve-unknown-fields").is_none() {
            match schema.get("items") {
                Some(items) => add_fields(&format!("{path}[]"), items, rows),
                None => add_fields(&path, schema, rows),
            }
        }
    }
}

/// The type of a field, in words.
fn kind(schema: &Value) -> String {
    let text = |key| schema.get(key).and_then(Value::as_str);
    let values = schema.get("enum").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let values: Vec<_> = values.iter().filter_map(Value::as_str).map(code).collect();
    match (text("type"), text("format")) {
        // The kinds have a separate page.
        (Some("string"), _) if values.len() > 12 => "string".to_owned(),
        (Some("string"), _) if !values.is_empty() => values.join(", "),
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some("array"), _) => format!("list of {}", schema.get("items").map(kind).unwrap_or_default()),
        (Some("object"), _) if schema.get("properties").is_none() => "map".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "any value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let rows = [["a|b".to_owned(), String::new(), "c".to_owned()]];
        assert_eq!(
            table(["one", "two", "three"], rows),
            "| one | two | three |\n| --- | --- | --- |\n| a\\|b | | c |\n"
        );
    }

    #[test]
    fn a_cell_begins_small_and_ends_without_a_full_stop() {
        assert_eq!(cell(" The reason\n of it.\n"), "the reason of it");
        assert_eq!(cell(" A person decides. Another one waits."), "a person decides. Another one waits");
        assert_eq!(cell("`retry` or `skip`."), "`retry` or `skip`");
        assert_eq!(cell("URL of the API"), "URL of the API");
        assert_eq!(cell("DigitalOcean decides."), "DigitalOcean decides");
    }
}
