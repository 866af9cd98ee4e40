//! Objects of the test's namespace, read without a kubectl process for each read: tests poll.

use std::fmt::Write as _;

use jsonpath_rust::JsonPath as _;
use kube::Client;
use serde_json::{Value, json};

/// The resources of the project, by the names that tests use for them.
const RESOURCES: [(&str, &str); 6] = [
    ("pr", "provisionedresources"),
    ("provisionedresources", "provisionedresources"),
    ("drift", "drifts"),
    ("drifts", "drifts"),
    ("saga", "sagas"),
    ("sagas", "sagas"),
];

/// Reads the objects of one namespace.
pub(super) struct Objects {
    client: Client,
    namespace: String,
}

impl Objects {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// An object such as `pr/web-1`, or the list of all objects of a resource such as `drifts`.
    pub(super) async fn get(&self, object: &str) -> Result<Value, kube::Error> {
        self.read(&self.path(object)).await
    }

    /// Creates an object as `kubectl create` does, or replaces it as `kubectl replace` does.
    pub(super) async fn create_or_replace(&self, resource: &str, name: &str, manifest: &str) {
        let is_conflict = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 409);
        let create = format!("{}?fieldManager=kubectl-create&fieldValidation=Strict", self.path(resource));
        // The response is not parsed: a test may nest it deeper than serde_json does.
        match self.client.request_text(http::Request::post(create).body(manifest.into()).unwrap()).await {
            Ok(_) => return,
            Err(error) => assert!(is_conflict(&error), "creating {resource}/{name}: {error}"),
        }
        let path = self.path(&format!("{resource}/{name}"));
        let replace = format!("{path}?fieldManager=kubectl-replace&fieldValidation=Strict");
        // The operator may write to it after the read.
        loop {
            let existing = self.read(&path).await.unwrap();
            let mut object: Value = serde_json::from_str(manifest).unwrap();
            object["metadata"]["resourceVersion"] = json!(existing["metadata"]["resourceVersion"]);
            let replace = http::Request::put(&replace).body(object.to_string().into_bytes()).unwrap();
            match self.client.request_text(replace).await {
                Ok(_) => return,
                Err(error) => assert!(is_conflict(&error), "replacing {resource}/{name}: {error}"),
            }
        }
    }

    /// The path of an object or a list.
    fn path(&self, object: &str) -> String {
        let (resource, name) = object.split_once('/').unwrap_or((object, ""));
        let resource = resource.strip_suffix(".arcadia.cloud").unwrap_or(resource);
        let Some((_, plural)) = RESOURCES.iter().find(|(alias, _)| *alias == resource) else {
            panic!("{object} is no record, drift or saga");
        };
        let list = format!("/apis/arcadia.cloud/v1alpha1/namespaces/{}/{plural}", self.namespace);
        if name.is_empty() { list } else { format!("{list}/{name}") }
    }

    /// The events that a field selector selects.
    pub(super) async fn events(&self, selector: &str) -> Result<Vec<Value>, kube::Error> {
        let path = format!("/api/v1/namespaces/{}/events?fieldSelector={selector}", self.namespace);
        Ok(items(self.read(&path).await?))
    }

    async fn read(&self, path: &str) -> Result<Value, kube::Error> {
        self.client.request(http::Request::get(path).body(Vec::new()).unwrap()).await
    }
}

/// The items of a list.
pub(super) fn items(mut list: Value) -> Vec<Value> {
    match list["items"].take() {
        Value::Array(items) => items,
        other => panic!("no list: {other}"),
    }
}

/// Fills in a template of kubectl's `JSONPath`, such as `{.status.phase} {.status.reason}`, as kubectl prints it.
pub(super) fn print(object: &Value, template: &str) -> String {
    let mut printed = String::new();
    let mut rest = template;
    while let Some((text, more)) = rest.split_once('{') {
        let (path, more) = more.split_once('}').unwrap_or_else(|| panic!("{template}: no end of {more}"));
        printed.push_str(text);
        let found = object.query(&query(path)).unwrap_or_else(|error| panic!("{template}: {error}"));
        for (index, value) in found.into_iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            match value {
                Value::String(text) => write!(printed, "{separator}{text}"),
                Value::Null => write!(printed, "{separator}"),
                other => write!(printed, "{separator}{other}"),
            }
            .unwrap();
        }
        rest = more;
    }
    printed + rest
}

/// A path of kubectl as RFC 9535 spells it: `.labels.app\.kubernetes\.io/name` is `.labels['app.kubernetes.io/name']`.
fn query(path: &str) -> String {
    let mut query = String::from("$");
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '.' || !characters.peek().is_some_and(|next| next.is_alphabetic()) {
            query.push(character);
            continue;
        }
        let mut name = String::new();
        while let Some(character) = characters.next_if(|next| !".[]()=<>! ,".contains(*next)) {
            name.push(if character == '\\' { characters.next().unwrap() } else { character });
        }
        write!(query, "['{name}']").unwrap();
    }
    query
}
