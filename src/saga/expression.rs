//! Values with expressions: the value of the CEL expression `${inputs.region}` replaces it. With text around it, it
//! becomes part of the text; `$${` is a literal `${`.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, IdedExpr, Value as Cel,
    common::ast::{EntryExpr, Expr, LiteralValue, SourceInfo, operators},
    parser::Parser,
};
use serde_json::Value;

use crate::api::saga::Values;

/// The maximum length of an expression, in bytes.
const LONGEST: usize = 1000;

/// A value that may contain expressions.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    /// A value without expressions.
    Fixed(Value),
    /// A single expression: the value keeps its type.
    Expression(Expression),
    Text(Vec<Part>),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Literal text.
    Text(String),
    Expression(Expression),
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    tree: Arc<IdedExpr>,
    references: Arc<[Located]>,
    place: Position,
}

/// A reference with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub reference: Reference,
    pub place: Position,
}

/// A position in a value: the text, and the line and column in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// A JSON pointer to the text; empty if the value is one text.
    path: Arc<str>,
    /// Counted from 1; none if the text has one line.
    line: Option<usize>,
    /// Counted from 1, in characters.
    column: usize,
}

impl Position {
    /// The position of the n-th character of a text.
    fn of(path: &Arc<str>, text: &str, character: usize) -> Self {
        let before: String = text.chars().take(character).collect();
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        let line = text.contains('\n').then(|| before.matches('\n').count() + 1);
        Self { path: path.clone(), line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}, ", self.path)?;
        }
        match self.line {
            Some(line) => write!(f, "line {line}, column {}", self.column),
            None => write!(f, "column {}", self.column),
        }
    }
}

/// The reference of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// `inputs.NAME`.
    Input {
        /// The name of the input.
        name: String,
        /// True if `has()` only tests for the input.
        is_test: bool,
    },
    /// `steps.NAME.output.FIELD`.
    Output {
        /// The name of the step.
        step: String,
        /// The field of the output.
        field: String,
    },
    /// Any other path; it is invalid.
    Other(String),
}

impl Template {
    /// Parses a value.
    ///
    /// # Errors
    /// When expressions are invalid; each text contains the expression and the reason.
    pub(crate) fn read(value: &Value) -> Result<Self, Vec<String>> {
        Self::read_at(value, "")
    }

    fn read_at(value: &Value, path: &str) -> Result<Self, Vec<String>> {
        Ok(match value {
            Value::String(text) if text.contains("${") => Self::read_text(text, &path.into())?,
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Self::List(all(items.map(|(index, item)| Self::read_at(item, &format!("{path}/{index}"))))?)
            }
            Value::Object(entries) => Self::Map(all(entries.iter().map(|(key, value)| {
                let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                Ok((key.clone(), Self::read_at(value, &path)?))
            }))?),
            other => Self::Fixed(other.clone()),
        })
    }

    fn read_text(text: &str, path: &Arc<str>) -> Result<Self, Vec<String>> {
        let mut parts = Vec::new();
        let mut mistakes = Vec::new();
        let mut fixed = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                fixed.push_str(before);
                fixed.push_str("${");
                rest = after;
                continue;
            }
            fixed.push_str(before);
            let begin = text.chars().count().saturating_sub(after.chars().count());
            let Some((expression, after)) = split_at_brace(after) else {
                let place = Position::of(path, text, begin.saturating_sub(2));
                mistakes.push(format!("{place}: a `${{` is not closed"));
                return Err(mistakes);
            };
            if !fixed.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut fixed)));
            }
            match parse(expression, |character| Position::of(path, text, begin + character)) {
                Ok(expression) => parts.push(Part::Expression(expression)),
                Err(mistake) => mistakes.push(mistake),
            }
            rest = after;
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        fixed.push_str(rest);
        if !fixed.is_empty() {
            parts.push(Part::Text(fixed));
        }
        Ok(match parts.as_slice() {
            [Part::Expression(expression)] => Self::Expression(expression.clone()),
            [Part::Text(text)] => Self::Fixed(Value::from(text.as_str())),
            _ => Self::Text(parts),
        })
    }

    /// All references of its expressions.
    #[must_use]
    pub(crate) fn references(&self) -> Vec<Located> {
        let mut references = Vec::new();
        self.each_expression(&mut |expression| references.extend(expression.references.iter().cloned()));
        references
    }

    /// The reference, if the value is a single reference.
    #[must_use]
    pub(crate) fn as_reference(&self) -> Option<Reference> {
        let Self::Expression(Expression { tree, .. }) = self else { return None };
        path(tree).map(|path| reference(&path, false))
    }

    fn each_expression(&self, visit: &mut impl FnMut(&Expression)) {
        match self {
            Self::Fixed(_) => {}
            Self::Expression(expression) => visit(expression),
            Self::Text(parts) => {
                for part in parts {
                    if let Part::Expression(expression) = part {
                        visit(expression);
                    }
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.each_expression(visit)),
            Self::Map(entries) => entries.iter().for_each(|(_, item)| item.each_expression(visit)),
        }
    }

    /// Evaluates the value in this context.
    ///
    /// # Errors
    /// When an expression fails; the text contains the reason.
    pub(crate) fn fill(&self, surroundings: &Surroundings) -> Result<Value, String> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Expression(expression) => surroundings.evaluate(expression)?,
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(part) => text.push_str(part),
                        Part::Expression(expression) => match surroundings.evaluate(expression)? {
                            Value::String(value) => text.push_str(&value),
                            value => text.push_str(&value.to_string()),
                        },
                    }
                }
                Value::from(text)
            }
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.fill(surroundings)).collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, item)| Ok((key.clone(), item.fill(surroundings)?)))
                    .collect::<Result<_, String>>()?,
            ),
        })
    }
}

/// The context of expressions: the inputs, and the outputs of the steps that are done.
pub(crate) struct Surroundings(Context<'static, 'static>);

impl Surroundings {
    /// Creates the context from inputs, and outputs by step name.
    pub(crate) fn new<'a>(inputs: &Values, outputs: impl Iterator<Item = (&'a str, &'a Values)>) -> Self {
        static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
        let mut context = Context::with_env(STANDARD.clone());
        context.add_variable_from_value("inputs", map(inputs.iter().map(|(name, value)| (name.clone(), cel(value)))));
        let steps = outputs.map(|(name, output)| {
            let output = map(output.iter().map(|(field, value)| (field.clone(), cel(value))));
            (name.to_owned(), map([("output".to_owned(), output)].into_iter()))
        });
        context.add_variable_from_value("steps", map(steps));
        Self(context)
    }

    fn evaluate(&self, Expression { tree, place, .. }: &Expression) -> Result<Value, String> {
        let value = self.0.resolve(tree).map_err(|error| format!("{place}: {error}"))?;
        value.json().map_err(|error| format!("{place}: {error}"))
    }
}

fn map(entries: impl Iterator<Item = (String, Cel)>) -> Cel {
    entries.collect::<HashMap<String, Cel>>().into()
}

/// Converts JSON to CEL values. Integers become `int`, so that they add up with the literals of expressions.
fn cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Cel::Float(number.as_f64().unwrap_or_default()), Cel::Int)
        }
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(cel).collect::<Vec<_>>().into(),
        Value::Object(entries) => map(entries.iter().map(|(key, value)| (key.clone(), cel(value)))),
    }
}

/// Splits at the brace that closes the expression: braces of maps and in quotes do not count.
fn split_at_brace(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => {
                letters.next();
            }
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Parses an expression. `place` returns the position of its n-th character.
fn parse(text: &str, place: impl Fn(usize) -> Position) -> Result<Expression, String> {
    if text.len() > LONGEST {
        return Err(format!("{}: an expression must not be longer than {LONGEST} characters", place(0)));
    }
    let (expression, source) = Parser::default().parse_with_source_info(text).map_err(|errors| {
        let first = errors.errors.first();
        let at = first.map_or(0, |error| character(text, error.pos));
        // The parser's list of alternatives is too long for a message.
        let said = first.and_then(|error| error.msg.split(" expecting ").next()).unwrap_or_default();
        let why = said.trim_start_matches("Syntax error: ").replace("'<EOF>'", "its end");
        format!("{}: `${{{text}}}` is not an expression: {why}", place(at))
    })?;
    if loops(&expression) {
        let why = "macros that loop, such as map and all, are not supported";
        return Err(format!("{}: `${{{text}}}`: {why}", place(0)));
    }
    let mut references = Vec::new();
    collect(&expression, false, &mut |reference, at| {
        references.push(Located { reference, place: place(begin(at, text, &source)) });
    });
    Ok(Expression { tree: Arc::new(expression), references: references.into(), place: place(0) })
}

/// The index of the character at this line and column, both counted from 1.
fn character(text: &str, (line, column): (isize, isize)) -> usize {
    let number = |number: isize| usize::try_from(number).unwrap_or_default();
    let before = text.split_inclusive('\n').take(number(line).saturating_sub(1));
    before.map(|line| line.chars().count()).sum::<usize>().saturating_add(number(column).saturating_sub(1))
}

/// The index of the first character of a path in its text.
fn begin(path: &IdedExpr, text: &str, source: &SourceInfo) -> usize {
    let mut root = path;
    loop {
        root = match &root.expr {
            Expr::Select(select) => &select.operand,
            Expr::Call(call) => match call.args.first() {
                Some(operand) => operand,
                None => break,
            },
            _ => break,
        };
    }
    let start = source.offset_for(root.id).and_then(|(start, _)| usize::try_from(start).ok());
    start.unwrap_or_default().min(text.chars().count())
}

/// Returns true if the expression loops: its cost is unbounded.
fn loops(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Comprehension(_)) || parts(expression).into_iter().any(loops)
}

/// The subexpressions.
fn parts(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Select(select) => vec![&*select.operand],
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// Collects all references with their subexpressions.
fn collect(expression: &IdedExpr, is_test: bool, found: &mut impl FnMut(Reference, &IdedExpr)) {
    if let Some(path) = path(expression) {
        let is_test = is_test || matches!(&expression.expr, Expr::Select(select) if select.test);
        found(reference(&path, is_test), expression);
        return;
    }
    // Continues with the parts of calls, and of `a[b]` if it is not a path.
    for part in parts(expression) {
        collect(part, is_test, found);
    }
}

/// All values, or all errors.
fn all<T>(results: impl Iterator<Item = Result<T, Vec<String>>>) -> Result<Vec<T>, Vec<String>> {
    let (mut good, mut mistakes) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => good.push(one),
            Err(more) => mistakes.extend(more),
        }
    }
    if mistakes.is_empty() { Ok(good) } else { Err(mistakes) }
}

fn reference(path: &[&str], is_test: bool) -> Reference {
    match path {
        ["inputs", name, ..] => Reference::Input { name: (*name).to_owned(), is_test },
        ["steps", step, "output", field, ..] => {
            Reference::Output { step: (*step).to_owned(), field: (*field).to_owned() }
        }
        other => Reference::Other(other.join(".")),
    }
}

/// The names of a path: both `steps.a.output.b` and `steps["a"].output.b`.
fn path(expression: &IdedExpr) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = expression;
    loop {
        match &rest.expr {
            Expr::Ident(name) => {
                names.push(name.as_str());
                names.reverse();
                return Some(names);
            }
            Expr::Select(select) => {
                names.push(select.field.as_str());
                rest = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(key)), .. }] => {
                    names.push(key.inner());
                    rest = operand;
                }
                // A list index: the reference is to the list.
                [operand, IdedExpr { expr: Expr::Literal(_), .. }] => rest = operand,
                _ => return None,
            },
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(value: &Value) -> Result<Value, String> {
        let inputs = json!({"region": "nyc3", "count": 2, "tags": ["a", "b"], "map": {"x": {"y": 1.5}}});
        let output = json!({"id": "77"});
        let outputs = [("my-step", output.as_object().unwrap())];
        let surroundings = Surroundings::new(inputs.as_object().unwrap(), outputs.into_iter());
        Template::read(value).map_err(|mistakes| mistakes.join("; "))?.fill(&surroundings)
    }

    #[test]
    fn an_expression_alone_keeps_its_type_and_one_in_a_text_becomes_text() {
        let cases = [
            (json!("plain"), json!("plain")),
            (json!("${inputs.region}"), json!("nyc3")),
            (json!("${inputs.count}"), json!(2)),
            (json!("${inputs.count + 1}"), json!(3)),
            (json!("${inputs.tags}"), json!(["a", "b"])),
            (json!("${inputs.tags[1]}"), json!("b")),
            (json!("${inputs.map.x.y}"), json!(1.5)),
            (json!("${steps[\"my-step\"].output.id}"), json!("77")),
            (json!("web-${inputs.region}-${inputs.count}"), json!("web-nyc3-2")),
            (json!("$${inputs.region} costs $5"), json!("${inputs.region} costs $5")),
            (json!("${has(inputs.size) ? inputs.size : 's-1vcpu-1gb'}"), json!("s-1vcpu-1gb")),
            (json!("${{'a': '}'}['a']}"), json!("}")),
            (json!({"a": ["${inputs.region}", 1, null]}), json!({"a": ["nyc3", 1, null]})),
        ];
        for (value, wanted) in cases {
            assert_eq!(filled(&value), Ok(wanted), "{value}");
        }
    }

    #[test]
    fn an_invalid_expression_is_reported() {
        let cases = [
            ("${inputs.region", "is not closed"),
            ("${inputs..region}", "is not an expression"),
            ("${inputs.tags.map(tag, tag)}", "macros that loop"),
            ("${inputs.nothing}", "nothing"),
            ("${inputs.region + 1}", "operator"),
        ];
        for (text, wanted) in cases {
            let error = filled(&json!(text)).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert!(filled(&json!(format!("${{'{}'}}", "x".repeat(1000)))).unwrap_err().contains("longer than"));
    }

    #[test]
    fn references_are_found_wherever_they_stand() {
        let text = "a ${has(inputs.a) ? steps.one.output.x : steps['two'].output.y + inputs.b.c[0]} ${outputs.z}";
        let references = Template::read(&json!([text])).unwrap().references().into_iter();
        let references: Vec<_> = references.map(|located| located.reference).collect();
        let output = |step: &str, field: &str| Reference::Output { step: step.into(), field: field.into() };
        assert_eq!(
            references,
            [
                Reference::Input { name: "a".into(), is_test: true },
                output("one", "x"),
                output("two", "y"),
                Reference::Input { name: "b".into(), is_test: false },
                Reference::Other("outputs.z".into()),
            ]
        );
    }

    #[test]
    fn mistakes_are_reported_with_their_position() {
        let mistakes = |value: Value| Template::read(&value).unwrap_err();
        let cases = [
            (
                json!("web-${inputs.region +}"),
                vec!["column 22: `${inputs.region +}` is not an expression: mismatched input its end"],
            ),
            (json!("ä ${inputs..region}"), vec!["column 12: `${inputs..region}` is not an expression"]),
            (json!("a\nb ${inputs.a"), vec!["line 2, column 3: a `${` is not closed"]),
            (
                json!({"a": ["x", "${1 +}"], "b/c": "${[1].map(a, a)} ${)}"}),
                vec![
                    "/a/1, column 6: `${1 +}` is not an expression",
                    "/b~1c, column 3: `${[1].map(a, a)}`: macros that loop",
                    "/b~1c, column 20: `${)}` is not an expression",
                ],
            ),
        ];
        for (value, wanted) in cases {
            let said = mistakes(value.clone());
            assert_eq!(said.len(), wanted.len(), "{said:?}");
            for (said, wanted) in said.iter().zip(wanted) {
                assert!(said.starts_with(wanted), "{said}\nwanted {wanted}");
            }
        }
    }

    #[test]
    fn a_reference_is_found_with_its_place() {
        let text = "size ${has(inputs.a) ? inputs.a : steps[\"b\"].output.c}";
        let places = Template::read(&json!(text)).unwrap().references().into_iter().map(|at| at.place.to_string());
        assert_eq!(places.collect::<Vec<_>>(), ["column 12", "column 24", "column 35"]);
    }
}
