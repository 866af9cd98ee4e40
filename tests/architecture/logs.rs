//! The lint of log lines: each names its object in a separate field, so that people can search for it.

use proc_macro2::{TokenStream, TokenTree};

use crate::source::Source;

/// The macros that write a line.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The fields that name the object of a line.
const OBJECTS: [&str; 9] = ["record", "drift", "saga", "kind", "call", "lease", "object", "watch", "file"];

/// Lines about the whole process.
const OF_THE_PROCESS: [&str; 11] = [
    "a worker ended",
    "all records and drifts are known",
    "listed all sagas",
    "arcadia-operator starts",
    "arcadia-operator stops",
    "serving /livez, /readyz and /metrics",
    "serving health and metrics ended",
    "reading the cloud's actions failed; retrying",
    "reading the cloud's actions succeeded again",
    "some work is unfinished; the next leader resumes it",
    "some events were not published",
];

/// One log line in the code.
#[derive(Default)]
pub(crate) struct Line {
    fields: Vec<String>,
    message: String,
}

impl Line {
    fn parse(arguments: &TokenStream) -> Self {
        let mut line = Self::default();
        let mut argument = Vec::new();
        for token in arguments.clone() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ',' => line.add(&std::mem::take(&mut argument)),
                token => argument.push(token),
            }
        }
        line.add(&argument);
        line
    }

    /// Adds one argument: `name = value`, `%name`, `?name`, `name`, or the message.
    fn add(&mut self, argument: &[TokenTree]) {
        let name = argument.iter().find(|token| !matches!(token, TokenTree::Punct(_)));
        match name {
            Some(TokenTree::Ident(name)) => self.fields.push(name.to_string()),
            Some(TokenTree::Literal(message)) => self.message.push_str(&message.to_string()),
            _ => {}
        }
    }

    /// The fault of the line, if it has one.
    fn fault(&self) -> Option<&'static str> {
        let has = |name: &str| self.fields.iter().any(|field| field == name);
        if has("message") {
            return Some("the field `message` has the name of the line's own message");
        }
        let is_of_the_process = OF_THE_PROCESS.iter().any(|text| self.message.contains(text));
        let names_an_object = OBJECTS.iter().any(|name| has(name));
        (!names_an_object && !is_of_the_process).then_some("the line names no object")
    }
}

/// The number of log lines in the code, and the faults of those that have one.
pub(crate) fn check(source: &Source) -> (usize, Vec<String>) {
    let lines: Vec<_> = LEVELS
        .iter()
        .flat_map(|level| source.calls(level))
        .map(|(file, arguments)| (file, Line::parse(arguments)))
        .collect();
    let faults = lines.iter().filter_map(|(file, line)| Some(format!("{file}: {}: {}", line.message, line.fault()?)));
    (lines.len(), faults.collect())
}
