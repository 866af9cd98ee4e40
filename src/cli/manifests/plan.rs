//! The files that declare the fields of standing acceptances, and their texts with the accepted values. Pure.

use std::{ops::Range, path::PathBuf};

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

use super::edit::{self, Editor, Notation, YamlPath};
use crate::{
    api::{GROUP, drift::EXISTS},
    cli::{
        drift::{DriftView, text},
        files::yaml_options,
    },
    comparison::is_alike,
};

/// The kind of a record in a manifest.
const RECORD: &str = "ProvisionedResource";

/// A standing acceptance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StandingDrift {
    pub(super) drift: DriftView,
    /// The value to declare: the one that `status.manifestPatch` makes of the declared one. The accepted value itself
    /// may be null, which would remove the field from what the manifest declares.
    pub(super) value: Value,
    /// The value that the manifest declared at the decision.
    declared: Value,
    /// True if the values are complete. Values with credentials are not.
    is_whole: bool,
    pub(super) until: Option<String>,
}

impl StandingDrift {
    /// None if no acceptance stands on the drift.
    pub(super) fn read(object: &DynamicObject) -> Option<Self> {
        let drift = Some(DriftView::read(object)).filter(DriftView::stands)?;
        let part = |pointer: &str| object.data.pointer(pointer).cloned().unwrap_or_default();
        let declared = part("/status/acceptance/declared");
        let value = match part("/status/manifestPatch/spec/desired").get(&drift.field_name) {
            Some(patch) => {
                let mut value = declared.clone();
                json_patch::merge(&mut value, patch);
                value
            }
            None => part("/status/acceptance/value"),
        };
        Some(Self {
            value,
            declared,
            is_whole: !part("/status/manifestPatch").is_null(),
            until: text(&object.data, "/status/acceptance/until").map(str::to_owned),
            drift,
        })
    }

    /// The person, the time and the reason of the decision, for a commit message.
    pub(super) fn decision(&self) -> String {
        let by = self.drift.decided_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let on = self.drift.resolved.map(|at: Timestamp| at.strftime(" on %Y-%m-%d").to_string()).unwrap_or_default();
        let because = self.drift.because.as_ref().map(|because| format!(": {because}")).unwrap_or_default();
        format!("accepted{by}{on}{because}")
    }
}

/// A file on disk.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// The edits to write, and the acceptances that cannot be written.
#[derive(Debug, Default)]
pub(super) struct ManifestEdits {
    pub(super) edits: Vec<Edit>,
    /// Acceptances whose values were written.
    pub(super) written: Vec<StandingDrift>,
    /// The number of acceptances whose values are in the manifests already.
    pub(super) current: usize,
    /// Acceptances that are in no manifest yet, with the reason.
    pub(super) left: Vec<(StandingDrift, SkipReason)>,
    /// Acceptances with an end, which are not meant to be written.
    pub(super) temporary: usize,
    /// Files with records that cannot be changed in place, with the reason.
    pub(super) out_of_reach: Vec<(PathBuf, &'static str)>,
    /// The number of all standing acceptances.
    pub(super) all: usize,
}

/// A file that changes.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) path: PathBuf,
    pub(super) before: String,
    pub(super) after: String,
}

/// The reason why an accepted value is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SkipReason {
    /// No changeable file declares the field.
    Undeclared,
    /// The value contains a credential.
    Credential,
    /// The file declares another value than the last applied manifest.
    Changed(PathBuf),
    /// The file cannot be changed in place.
    Refused(PathBuf, edit::Error),
}

impl SkipReason {
    /// Returns true if a file may declare the field and still have another value than the accepted one.
    fn is_conflict(&self) -> bool {
        match self {
            Self::Undeclared => false,
            Self::Credential | Self::Changed(_) | Self::Refused(..) => true,
        }
    }
}

/// A record in a file, and its place.
struct LocatedRecord<'f> {
    /// The range of its document in the file.
    range: Range<usize>,
    place: YamlPath,
    record: &'f Value,
}

impl LocatedRecord<'_> {
    fn is_of(&self, drift: &DriftView) -> bool {
        let namespace = text(self.record, "/metadata/namespace");
        text(self.record, "/spec/resource/kind") == Some(&*drift.kind)
            && text(self.record, "/spec/resource/id") == Some(&*drift.id)
            && namespace.is_none_or(|namespace| namespace == drift.namespace)
    }

    fn value(&self, field: &str) -> Option<Value> {
        let value = self.record.pointer("/spec/desired").and_then(|desired| desired.get(field)).cloned();
        value.or_else(|| (field == EXISTS).then_some(Value::Bool(true)))
    }
}

impl ManifestEdits {
    pub(super) fn of(standing: Vec<StandingDrift>, files: &[File], with_temporary: bool) -> Self {
        let mut plan = Self { all: standing.len(), ..Self::default() };
        let mut texts: Vec<String> = files.iter().map(|file| file.text.clone()).collect();
        for acceptance in standing {
            if acceptance.until.is_some() && !with_temporary {
                plan.temporary += 1;
                continue;
            }
            match write(&acceptance, files, &mut texts) {
                Ok(true) => plan.written.push(acceptance),
                Ok(false) => plan.current += 1,
                Err(why) => plan.left.push((acceptance, why)),
            }
        }
        for (file, after) in files.iter().zip(texts).filter(|(file, after)| file.text != *after) {
            plan.edits.push(Edit { path: file.path.clone(), before: file.text.clone(), after });
        }
        if plan.left.iter().any(|(_, why)| *why == SkipReason::Undeclared) {
            let reasons = files.iter().filter_map(|file| Some((file.path.clone(), out_of_reach(file)?)));
            plan.out_of_reach = reasons.collect();
        }
        plan
    }

    /// Returns true if the manifests are current. After a write, acceptances may be left that no file declares: their
    /// manifests may be in another repository. But if no file declares any of them, the path is wrong.
    pub(super) fn is_done(&self, is_written: bool) -> bool {
        if !is_written {
            return self.left.is_empty() && self.edits.is_empty();
        }
        let is_conflict = self.left.iter().any(|(_, why)| why.is_conflict()) || !self.out_of_reach.is_empty();
        let declares_some = self.current > 0 || !self.written.is_empty();
        !is_conflict && (declares_some || self.left.is_empty())
    }
}

/// Writes one accepted value. Returns true if a text changed.
fn write(acceptance: &StandingDrift, files: &[File], texts: &mut [String]) -> Result<bool, SkipReason> {
    if !acceptance.is_whole {
        return Err(SkipReason::Credential);
    }
    let drift = &acceptance.drift;
    let field = &drift.field_name;
    let mut is_declared = false;
    // A refusal in one file leaves the others unchanged.
    let mut edits = Vec::new();
    for (file, text) in files.iter().zip(texts) {
        let mut edited_text = None;
        let documents = documents(file, text);
        let declared: Vec<_> = records(&documents).into_iter().filter(|record| record.is_of(drift)).collect();
        // The last document comes first: an edit moves only the text after it.
        for records in declared.chunk_by(|one, other| one.range == other.range).rev() {
            let Some(range) = records.first().map(|record| record.range.clone()) else { continue };
            let mut document = text.get(range.clone()).unwrap_or_default().to_owned();
            let mut has_changed = false;
            for record in records {
                let Some(value) = record.value(field) else { continue };
                is_declared = true;
                if is_alike(&value, &acceptance.value) {
                    continue;
                }
                if !is_alike(&value, &acceptance.declared) {
                    return Err(SkipReason::Changed(file.path.clone()));
                }
                let is_json = file.path.extension().is_some_and(|ending| ending == "json");
                let notation = if is_json { Notation::Json } else { Notation::Yaml };
                let edited = Editor { text: &document, notation, map: &record.place }.set(field, &acceptance.value);
                document = edited.map_err(|error| SkipReason::Refused(file.path.clone(), error))?;
                has_changed = true;
            }
            if has_changed {
                edited_text.get_or_insert_with(|| text.clone()).replace_range(range, &document);
            }
        }
        edits.extend(edited_text.map(|edited| (text, edited)));
    }
    if !is_declared {
        return Err(SkipReason::Undeclared);
    }
    let has_changed = !edits.is_empty();
    for (text, edited) in edits {
        *text = edited;
    }
    Ok(has_changed)
}

/// The documents of a file that can be changed, each with its range.
fn documents(file: &File, text: &str) -> Vec<(Range<usize>, Value)> {
    if !mentions(&file.text) || is_template(&file.text) {
        return Vec::new();
    }
    let read = |range: Range<usize>| Some((range.clone(), parse(text.get(range)?)?));
    ranges(text).into_iter().filter_map(read).collect()
}

/// A document; none if it is not YAML.
fn parse(document: &str) -> Option<Value> {
    serde_saphyr::from_str_with_options(document, yaml_options(document)).ok()
}

/// The documents of a stream. A line that starts with three dashes starts a new one.
fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let is_marker = |marker| {
            line.strip_prefix(marker)
                .is_some_and(|rest: &str| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        };
        if is_marker("---") {
            starts.push(at);
        }
        at += line.len();
        if is_marker("...") {
            starts.push(at);
        }
    }
    starts.push(text.len());
    starts.windows(2).filter_map(|pair| Some(*pair.first()?..*pair.last()?)).filter(|range| !range.is_empty()).collect()
}

fn records(documents: &[(Range<usize>, Value)]) -> Vec<LocatedRecord<'_>> {
    let mut found = Vec::new();
    for (range, document) in documents {
        let key = |key: &str| key.to_owned().into();
        let desired = [key("spec"), key("desired")];
        let items = document.get("items").and_then(Value::as_array).into_iter().flatten().enumerate();
        let items =
            items.map(|(position, item)| ([key("items"), position.into()].into_iter().chain(desired.clone()), item));
        let all = items.map(|(place, item)| (place.collect::<YamlPath>(), item)).chain([(desired.to_vec(), document)]);
        found.extend(
            all.filter(|(_, record)| is_record(record) && record.pointer("/spec/resource").is_some())
                .map(|(place, record)| LocatedRecord { range: range.clone(), place, record }),
        );
    }
    found
}

fn is_record(document: &Value) -> bool {
    text(document, "/kind") == Some(RECORD)
        && text(document, "/apiVersion").is_some_and(|version| version.split('/').next() == Some(GROUP))
}

/// The reason why the records in a file cannot be changed in place; none if they can, or if there are none.
fn out_of_reach(file: &File) -> Option<&'static str> {
    if !mentions(&file.text) {
        return None;
    }
    if is_template(&file.text) {
        return Some("it is a Helm template, and the values of Helm charts are out of reach");
    }
    let mut documents: Vec<Value> = Vec::new();
    for range in ranges(&file.text) {
        match parse(file.text.get(range)?) {
            Some(document) => documents.push(document),
            None => return Some("it is not YAML"),
        }
    }
    let is_patch = |document: &Value| is_record(document) && document.pointer("/spec/resource").is_none();
    if documents.iter().any(is_patch) {
        return Some("it is a patch of Kustomize, and those are out of reach");
    }
    let is_kustomization =
        |document: &Value| text(document, "/kind") == Some("Kustomization") || document.get("patches").is_some();
    documents.iter().any(is_kustomization).then_some("it has patches of Kustomize, and those are out of reach")
}

fn mentions(text: &str) -> bool {
    text.contains(RECORD)
}

fn is_template(text: &str) -> bool {
    text.contains("{{")
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::object;

    pub(in crate::cli::manifests) fn standing(record: &str, more: &Value) -> StandingDrift {
        let mut stands = json!({ "status": {
            "phase": "Accepted", "reason": "Standing", "decidedBy": "jane", "because": "OPS-123", "resolvedAt": "2026-05-10T11:00:00Z",
            "acceptance": { "mode": "Standing", "value": "s-4vcpu-8gb", "declared": "s-2vcpu-4gb", "since": "2026-05-10T11:00:00Z" },
            "manifestPatch": { "spec": { "desired": { "size_slug": "s-4vcpu-8gb" } } },
            "conditions": [{ "type": "Standing", "status": "True", "reason": "Accepted", "message": "" }],
        } });
        crate::cli::drift::tests::merge(&mut stands, more);
        StandingDrift::read(&object(record, &stands)).unwrap()
    }

    pub(in crate::cli::manifests) const MANIFEST: &str = "# Written by hand.
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: arcadia.cloud/v1alpha1
kind: ProvisionedResource
metadata:
  name: web-1
spec:
  resource: {kind: Droplet, id: '3164444'}
  desired:
    size_slug: s-2vcpu-4gb # as ordered
    tags: [web]
";

    fn plan(standing: &[StandingDrift], files: &[(&str, &str)]) -> ManifestEdits {
        let files: Vec<_> =
            files.iter().map(|(path, text)| File { path: path.into(), text: (*text).to_owned() }).collect();
        ManifestEdits::of(standing.to_vec(), &files, false)
    }

    #[test]
    fn the_file_that_declares_the_field_gets_the_value() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: arcadia.cloud/v1alpha1\n  kind: ProvisionedResource\n  metadata: {name: prefixed-web-1, namespace: default}\n  spec: {resource: {kind: Droplet, id: \"3164444\"}, desired: {size_slug: s-2vcpu-4gb}}\n";
        let json = r#"{"apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "metadata": {"name": "web-1"},
 "spec": {"resource": {"kind": "Droplet", "id": "3164444"}, "desired": {"size_slug": "s-2vcpu-4gb"}}}"#;
        for (path, text) in [("a.yaml", MANIFEST), ("a.yaml", list), ("a.json", json)] {
            let plan =
                plan(&[standing("web-1", &json!({}))], &[("b.yaml", "kind: [ProvisionedResource"), (path, text)]);
            assert_eq!((plan.edits.len(), plan.written.len(), plan.left.len()), (1, 1, 0), "{:?}", plan.left);
            assert_eq!(plan.edits[0].after, text.replace("s-2vcpu-4gb", "s-4vcpu-8gb"));
        }
        // Of another namespace, or of another resource.
        let elsewhere = MANIFEST.replace("name: web-1", "name: web-1\n  namespace: other");
        let another = MANIFEST.replace("3164444", "5");
        for text in [elsewhere, another] {
            assert_eq!(plan(&[standing("web-1", &json!({}))], &[("a.yaml", &text)]).left[0].1, SkipReason::Undeclared);
        }
    }

    #[test]
    fn two_acceptances_change_one_file_and_a_second_run_changes_nothing() {
        let tags = json!({ "metadata": { "name": "web-1-tags" }, "spec": { "field": "tags" },
            "status": { "acceptance": { "value": ["web", "prod"], "declared": ["web"] } } });
        let both = [standing("web-1", &json!({})), standing("web-1", &tags)];
        let first = plan(&both, &[("a.yaml", MANIFEST)]);
        let wanted = MANIFEST.replace("s-2vcpu-4gb #", "s-4vcpu-8gb #").replace("[web]", "[web, prod]");
        assert_eq!((first.edits.len(), first.edits[0].after.as_str()), (1, wanted.as_str()));
        let second = plan(&both, &[("a.yaml", &wanted)]);
        assert_eq!((second.edits.len(), second.written.len(), second.left.len()), (0, 0, 0));
    }

    #[test]
    fn an_absent_value_is_written_as_the_patch_writes_it() {
        let unassigned = json!({ "metadata": { "name": "ip-droplet" }, "spec": { "field": "size_slug" },
            "status": { "acceptance": { "value": null },
                "manifestPatch": { "spec": { "desired": { "size_slug": "" } } } } });
        let written = plan(&[standing("web-1", &unassigned)], &[("a.yaml", MANIFEST)]);
        assert_eq!(written.edits[0].after, MANIFEST.replace("s-2vcpu-4gb #", "\"\" #"));
        // A patch of a map names only the keys that differ.
        let spec = json!({ "spec": { "field": "spec" }, "status": {
            "acceptance": { "value": { "a": null, "b": 2 }, "declared": { "a": "x", "b": 1 } },
            "manifestPatch": { "spec": { "desired": { "spec": { "a": "", "b": 2 } } } } } });
        assert_eq!(standing("web-1", &spec).value, json!({ "a": "", "b": 2 }));
    }

    #[test]
    fn two_records_in_one_document_are_both_changed() {
        let item = |name: &str| {
            format!(
                "- apiVersion: arcadia.cloud/v1alpha1\n  kind: ProvisionedResource\n  metadata: {{name: {name}}}\n  \
                 spec: {{resource: {{kind: Droplet, id: '3164444'}}, desired: {{size_slug: s-2vcpu-4gb}}}}\n"
            )
        };
        let list = format!("apiVersion: v1\nkind: List\nitems:\n{}{}---\nlast: 1\n", item("web-1"), item("web-2"));
        let short = json!({ "status": { "acceptance": { "value": "s-1" },
            "manifestPatch": { "spec": { "desired": { "size_slug": "s-1" } } } } });
        let plan = plan(&[standing("web-1", &short)], &[("a.yaml", &list)]);
        assert_eq!((plan.edits.len(), plan.left.len()), (1, 0), "{:?}", plan.left);
        assert_eq!(plan.edits[0].after, list.replace("s-2vcpu-4gb", "s-1"));
    }

    #[test]
    fn an_acceptance_that_other_files_declare_does_not_fail_a_write() {
        let elsewhere = standing("db-1", &json!({ "spec": { "resource": { "id": "5" } } }));
        let both = [standing("web-1", &json!({})), elsewhere.clone()];
        let first = plan(&both, &[("a.yaml", MANIFEST)]);
        assert!(first.is_done(true) && !first.is_done(false));
        // Nothing was written, or a file has a third value.
        assert!(!plan(&[elsewhere], &[("a.yaml", MANIFEST)]).is_done(true));
        let third = MANIFEST.replace("s-2vcpu-4gb", "s-8vcpu-16gb").replace("3164444", "5");
        assert!(!plan(&both, &[("a.yaml", MANIFEST), ("b.yaml", &third)]).is_done(true));
        assert!(plan(&[], &[("a.yaml", MANIFEST)]).is_done(true));
        // The same command again.
        let again = plan(&both, &[("a.yaml", &first.edits[0].after)]);
        assert!(again.edits.is_empty() && again.is_done(true) && !again.is_done(false));
        let template = MANIFEST.replace("3164444", "{{ .Values.id }}");
        assert!(!plan(&both, &[("a.yaml", MANIFEST), ("b.yaml", &template)]).is_done(true), "it may declare the field");
    }

    #[test]
    fn what_cannot_be_written_says_why() {
        let one = |more: &Value, text: &str| {
            let plan = plan(&[standing("web-1", more)], &[("a.yaml", text)]);
            (plan.left.first().map(|(_, why)| why.clone()), plan.temporary, plan.out_of_reach)
        };
        let path = || PathBuf::from("a.yaml");
        let third = MANIFEST.replace("s-2vcpu-4gb", "s-8vcpu-16gb");
        assert_eq!(one(&json!({}), &third).0, Some(SkipReason::Changed(path())));
        assert_eq!(one(&json!({ "status": { "manifestPatch": null } }), MANIFEST).0, Some(SkipReason::Credential));
        assert_eq!(one(&json!({ "status": { "acceptance": { "until": "2026-06-01T00:00:00Z" } } }), MANIFEST).1, 1);
        let entangled = MANIFEST.replace("s-2vcpu-4gb #", "&size s-2vcpu-4gb #") + "    size: *size\n";
        assert_eq!(one(&json!({}), &entangled).0, Some(SkipReason::Refused(path(), edit::Error::Entangled)));
        for (text, wanted) in [
            (MANIFEST.replace("name: web-1", "name: {{ .Release.Name }}"), "Helm template"),
            (MANIFEST.replace("  resource: {kind: Droplet, id: '3164444'}\n", ""), "patch of Kustomize"),
            (
                "kind: Kustomization\npatches: [{target: {kind: ProvisionedResource}, path: size.yaml}]\n".to_owned(),
                "patches of Kustomize",
            ),
            ("kind: ProvisionedResource\na: [".to_owned(), "not YAML"),
        ] {
            let (why, _, out_of_reach) = one(&json!({}), &text);
            assert_eq!(why, Some(SkipReason::Undeclared));
            assert!(out_of_reach[0].1.contains(wanted), "{out_of_reach:?}");
        }
    }

    #[test]
    fn a_record_of_a_resource_that_is_gone_says_so_afterwards() {
        let gone = json!({ "metadata": { "name": "web-1-exists" }, "spec": { "field": "exists" },
            "status": { "acceptance": { "value": false, "declared": true } } });
        let plan = plan(&[standing("web-1", &gone)], &[("a.yaml", MANIFEST)]);
        assert_eq!(plan.edits[0].after, format!("{MANIFEST}    exists: false\n"));
    }

    #[test]
    fn documents_begin_at_their_markers() {
        let text = "a: 1\n--- # x\nb: |\n  --- no\n...\n---\nc: 3\n";
        let parts: Vec<_> = ranges(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(parts, ["a: 1\n", "--- # x\nb: |\n  --- no\n...\n", "---\nc: 3\n"]);
    }
}
