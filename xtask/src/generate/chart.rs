//! The generated parts of the Helm chart and of `deploy/`: definitions, roles, policies, alerts, versions, and the
//! reference of the chart's values.
//!
//! Templates are rendered from the same tables as the plain manifests. Placeholders are valid names, which are then
//! replaced by template expressions.

use std::path::{Path, PathBuf};

use arcadia_operator::manifests::{self, Installation, operator, policies, users};
use serde_json::Value;

use super::page::{GENERATED, Generated, generation_failed, read, section};
use crate::Error;

/// The chart's folder.
const CHART: &str = "charts/arcadia-operator";

/// Placeholders and their replacements. A template may be in a range, so no expression is relative to the dot.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("placeholder-release", r#"{{ include "arcadia-operator.fullname" $ }}"#),
    ("placeholder-namespace", "{{ $.Release.Namespace }}"),
    ("placeholder-account", r#"{{ include "arcadia-operator.serviceAccountName" $ }}"#),
    (WATCHED, "{{ $namespace | quote }}"),
];

const WATCHED: &str = "placeholder-watched";

/// The renderer of an installation.
type Form = fn(&Installation) -> Result<String, manifests::Error>;

/// All generated files of the chart.
///
/// `definitions` are the names of the custom resource definitions' files, and their documents.
pub(super) fn files(definitions: &[(String, String)]) -> Result<Vec<Generated>, Error> {
    let mut files: Vec<_> = definitions
        .iter()
        .map(|(name, document)| template(&format!("crd-{name}"), "src/api", &definition(document)))
        .collect();
    for (name, content) in access_and_policies().map_err(generation_failed)? {
        files.push(template(name, "src/manifests", &content));
    }
    let chart = |file: &str| Path::new(CHART).join(file);
    // The chart needs copies of all its files in its folder.
    for file in ["alerts.yaml", "dashboard.json"] {
        let content = read(&Path::new("deploy/observability").join(file))?;
        files.push((chart("files").join(file), content));
    }
    files.push(with_versions(chart("Chart.yaml"), &["version: ", "appVersion: "])?);
    files.push(with_versions(PathBuf::from("deploy/base/kustomization.yaml"), &["    newTag: "])?);
    let page = PathBuf::from("docs/reference/values.md");
    let values = section(&page, &read(&page)?, "values", &table(&read(&chart("values.yaml"))?)?)?;
    files.push((page, values));
    Ok(files)
}

fn template(name: &str, source: &str, content: &str) -> Generated {
    let header = format!("{{{{- /* {GENERATED}; edit {source} instead. */}}}}\n");
    (Path::new(CHART).join("templates").join(name), header + content)
}

/// A definition as a template, which Helm upgrades, and keeps when the release is uninstalled.
fn definition(document: &str) -> String {
    let annotated = labelled(&escaped(document)).replacen(
        "metadata:\n",
        "metadata:\n  annotations:\n    # With the definitions, every record, drift and saga would go.\n    helm.sh/resource-policy: keep\n",
        1,
    );
    only_if(".Values.crds.install", &annotated)
}

fn access_and_policies() -> Result<Vec<(&'static str, String)>, manifests::Error> {
    let [name, namespace, service_account] =
        ["placeholder-release", "placeholder-namespace", "placeholder-account"].map(str::to_owned);
    let everywhere = Installation { name, namespace, service_account, watched: Vec::new() };
    let somewhere = Installation { watched: vec![WATCHED.to_owned()], ..everywhere.clone() };
    let render = |form: Form, installation| Ok::<_, manifests::Error>(escaped(&form(installation)?));
    let watched = format!(
        "{{{{- if not .Values.watchNamespaces }}}}\n{}{{{{- else }}}}\n{{{{- range $namespace := .Values.watchNamespaces }}}}\n\
         {}{{{{- end }}}}\n{{{{- end }}}}\n",
        objects(&render(operator::watched_access, &everywhere)?),
        objects(&render(operator::watched_access, &somewhere)?),
    );
    let policies =
        |form| render(form, &everywhere).and_then(|common| Ok(objects(&bounded(&common, &render(form, &somewhere)?))));
    Ok(vec![
        ("rbac.yaml", only_if(".Values.rbac.create", &objects(&render(operator::own_access, &everywhere)?))),
        ("rbac-watched.yaml", only_if(".Values.rbac.create", &watched)),
        (
            "roles.yaml",
            only_if(".Values.userRoles.create", &aggregated(&objects(&render(|_| users::roles(), &everywhere)?))),
        ),
        ("policies.yaml", only_if(".Values.admissionPolicies.create", &policies(policies::validating)?)),
        (
            "policies-mutating.yaml",
            only_if(
                "and .Values.admissionPolicies.create .Values.admissionPolicies.mutating",
                &policies(policies::mutating)?,
            ),
        ),
    ])
}

/// The objects of a manifest as templates. Comments before the first object are removed: Helm would treat a document
/// that contains only comments as an object. The `ServiceAccount` has a separate template with more options.
fn objects(manifest: &str) -> String {
    let (comments, objects) = manifest.split_once("---\n").unwrap_or(("", manifest));
    let objects = objects.split("---\n").filter(|object| !object.contains("\nkind: ServiceAccount\n"));
    let mut templates = String::new();
    for (number, object) in objects.enumerate() {
        let comments = if number == 0 { comments } else { "" };
        templates.extend(["---\n", comments, &labelled(object)]);
    }
    PLACEHOLDERS.iter().fold(templates, |text, (placeholder, expression)| text.replace(placeholder, expression))
}

/// Escapes the syntax of templates.
fn escaped(text: &str) -> String {
    text.replace("{{", r#"{{ "{{" }}"#)
}

/// Adds the labels of all the chart's objects before the object's own labels.
fn labelled(object: &str) -> String {
    let labels = "metadata:\n  labels:\n    {{- include \"arcadia-operator.labels\" $ | nindent 4 }}\n";
    let with_some = object.replacen("\nmetadata:\n  labels:\n", &format!("\n{labels}"), 1);
    if with_some == object { object.replacen("\nmetadata:\n", &format!("\n{labels}"), 1) } else { with_some }
}

/// Aggregates the roles into the cluster's own roles only if a value enables it.
fn aggregated(templates: &str) -> String {
    let line = |line: &str| {
        if line.contains("/aggregate-to-") {
            format!("    {{{{- if .Values.userRoles.aggregate }}}}\n{line}\n    {{{{- end }}}}\n")
        } else {
            format!("{line}\n")
        }
    };
    templates.lines().map(line).collect()
}

/// Renders the bindings to single namespaces only if namespaces are configured.
fn bounded(everywhere: &str, somewhere: &str) -> String {
    let mut merged = String::new();
    let mut common = everywhere.lines().peekable();
    let mut is_bound = false;
    for line in somewhere.lines() {
        let is_common = common.next_if_eq(&line).is_some();
        match (is_bound, is_common) {
            (false, false) => merged += "  {{- if .Values.watchNamespaces }}\n",
            (true, true) => merged += "  {{- end }}\n",
            _ => {}
        }
        is_bound = !is_common;
        if line.trim_start() == format!("- {WATCHED}") {
            let one = line.replace(WATCHED, "{{ . | quote }}");
            merged.extend(["  {{- range .Values.watchNamespaces }}\n", &one, "\n  {{- end }}\n"]);
        } else {
            merged.extend([line, "\n"]);
        }
    }
    if is_bound {
        merged += "  {{- end }}\n";
    }
    merged
}

fn only_if(condition: &str, templates: &str) -> String {
    format!("{{{{- if {condition} }}}}\n{templates}{{{{- end }}}}\n")
}

/// A file whose lines with these beginnings end with Cargo's version.
fn with_versions(path: PathBuf, beginnings: &[&str]) -> Result<Generated, Error> {
    let line = |line: &str| match beginnings.iter().find(|beginning| line.starts_with(**beginning)) {
        Some(beginning) => format!("{beginning}{}\n", env!("CARGO_PKG_VERSION")),
        None => format!("{line}\n"),
    };
    let content = read(&path)?.lines().map(line).collect();
    Ok((path, content))
}

/// A row for each value that has a comment above it; a value without a comment must have commented values below it.
fn table(values: &str) -> Result<String, Error> {
    let defaults: Value = serde_saphyr::from_str(values).map_err(generation_failed)?;
    let mut table = "| value | default | description |\n| --- | --- | --- |\n".to_owned();
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    // The values below a row are part of its default.
    let mut row_at: Option<usize> = None;
    for line in values.lines() {
        let text = line.trim_start();
        let indentation = line.len() - text.len();
        if text.is_empty() {
            comment.clear();
        } else if let Some(words) = text.strip_prefix("# ") {
            comment.push(words);
        } else if row_at.is_none_or(|row| indentation <= row)
            && let Some((key, default)) = text.split_once(':')
        {
            row_at = None;
            path.retain(|(at, _)| *at < indentation);
            path.push((indentation, key));
            let keys: Vec<_> = path.iter().map(|(_, key)| *key).collect();
            if comment.is_empty() && !default.is_empty() {
                return Err(generation_failed(format!("values.yaml says nothing about {}", keys.join("."))));
            }
            if !comment.is_empty() {
                row_at = Some(indentation);
                let default = keys.iter().try_fold(&defaults, |value, key| value.get(key)).unwrap_or(&Value::Null);
                let words = comment.join(" ").replace('|', "\\|");
                table.extend(["| `", &keys.join("."), "` | `", &default.to_string(), "` | ", &words, " |\n"]);
            }
            comment.clear();
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_would_take_for_its_own_is_text() {
        assert_eq!(definition("metadata:\n").matches("{{").count(), 2);
        let template = escaped("a: '{{ b }}'");
        assert_eq!(template, r#"a: '{{ "{{" }} b }}'"#);
    }

    #[test]
    fn lines_for_some_namespaces_depend_on_the_value() {
        let everywhere = "spec:\n  policyName: x\n";
        let somewhere = format!("spec:\n  values:\n  - {WATCHED}\n  policyName: x\n");
        assert_eq!(
            bounded(everywhere, &somewhere),
            "spec:\n  {{- if .Values.watchNamespaces }}\n  values:\n  {{- range .Values.watchNamespaces }}\n  - {{ . | quote \
             }}\n  {{- end }}\n  {{- end }}\n  policyName: x\n"
        );
        assert_eq!(bounded(everywhere, everywhere), everywhere);
    }

    #[test]
    fn a_row_takes_in_all_that_is_below_it_and_no_value_goes_unexplained() {
        let values =
            "# Pods.\nreplicas: 2\nimage:\n  # Its\n  # tag.\n  tag: a\n# Spread.\nspread:\n  - key: b\n    skew: 1\n";
        let rows: Vec<_> = table(values).unwrap().lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            rows,
            [
                "| `replicas` | `2` | Pods. |",
                "| `image.tag` | `\"a\"` | Its tag. |",
                r#"| `spread` | `[{"key":"b","skew":1}]` | Spread. |"#,
            ]
        );
        let error = table("image:\n  tag: a\n").unwrap_err().to_string();
        assert!(error.contains("says nothing about image.tag"), "{error}");
    }
}
