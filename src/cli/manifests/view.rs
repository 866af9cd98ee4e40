//! The diff of manifests, and the commit message with the user and the reason. Pure.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Value, json};
use similar::TextDiff;

use super::plan::{ManifestEdits, SkipReason, StandingDrift};
use crate::{
    cli::{
        cluster::UserCluster,
        text::{Paint, count, lines},
    },
    comparison::show,
};

/// The longest subject of a commit.
const SUBJECT: usize = 72;
/// The columns of a value in a message.
const VALUE: usize = 60;

/// The diff and the commit message, or a note that nothing needs to be written.
pub(super) fn text(plan: &ManifestEdits, place: &str, is_written: bool, paint: Paint) -> String {
    if plan.edits.is_empty() {
        return match plan.all {
            0 => format!("No acceptance stands in {place}: the manifests are current.\n"),
            all if all == plan.temporary => {
                format!("No acceptance without an end stands in {place}.{}\n", temporary(plan))
            }
            all if plan.left.is_empty() => {
                format!(
                    "The manifests have the values of {} in {place}.{}\n",
                    count(all - plan.temporary, "acceptance"),
                    temporary(plan)
                )
            }
            _ => String::new(),
        };
    }
    let done = if is_written { "changed" } else { "would change" };
    format!(
        "{}\n{} {done}.{} Commit message:\n\n{}",
        diffs(plan, paint),
        count(plan.edits.len(), "file"),
        temporary(plan),
        lines(message(plan).lines().map(|line| format!("    {line}").trim_end().to_owned())),
    )
}

fn temporary(plan: &ManifestEdits) -> String {
    match plan.temporary {
        0 => String::new(),
        number => format!(" {} with an end left out; --temporary includes them.", count(number, "acceptance")),
    }
}

/// A unified diff.
pub(super) fn diffs(plan: &ManifestEdits, paint: Paint) -> String {
    let mut text = String::new();
    for edit in &plan.edits {
        let path = edit.path.display().to_string();
        let path = path.trim_start_matches("./");
        let diff = TextDiff::from_lines(&edit.before, &edit.after);
        let diff = diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
        for line in diff.lines() {
            let painted = match line.chars().next() {
                Some('+') => paint.good(line),
                Some('-') => paint.bad(line),
                Some('@') => paint.dim(line),
                _ => line.to_owned(),
            };
            text += &painted;
            text.push('\n');
        }
    }
    text
}

/// The message of a commit with these changes.
pub(super) fn message(plan: &ManifestEdits) -> String {
    if plan.written.is_empty() {
        return String::new();
    }
    let mut message = format!("{}\n", subject(&plan.written));
    for acceptance in &plan.written {
        let drift = &acceptance.drift;
        let _ = write!(
            message,
            "\n{} {} ({}), {}: {}\n  {}\n",
            drift.kind,
            drift.id,
            drift.record,
            drift.field,
            show::clip(&drift.change_in_short(), VALUE * 2),
            show::escape(&acceptance.decision()),
        );
    }
    message
}

fn subject(written: &[StandingDrift]) -> String {
    let names: BTreeSet<_> =
        written.iter().map(|acceptance| (&acceptance.drift.namespace, &acceptance.drift.record)).collect();
    let general = format!("Accept {} of {}", count(written.len(), "live value"), count(names.len(), "resource"));
    let [only] = written else { return general };
    let exact = format!("Accept {} of {}: {}", only.drift.field, only.drift.record, show::short(&only.value, VALUE));
    if exact.chars().count() <= SUBJECT { exact } else { general }
}

/// The reason why a value is not written, with the remedy.
pub(super) fn left(plan: &ManifestEdits, cluster: &UserCluster) -> Vec<String> {
    let flag = |acceptance: &StandingDrift| cluster.flag_for(&acceptance.drift.namespace);
    let mut lines: Vec<String> =
        plan.left.iter().map(|(acceptance, why)| not_written(acceptance, why, &flag(acceptance))).collect();
    lines.extend(plan.out_of_reach.iter().map(|(path, why)| format!("{} was not changed: {why}", path.display())));
    lines
}

fn not_written(acceptance: &StandingDrift, why: &SkipReason, flag: &str) -> String {
    let drift = &acceptance.drift;
    let why = match why {
        SkipReason::Undeclared => {
            format!("no manifest declares the field; the patch is shown by: kubectl arcadia show {}{flag}", drift.name)
        }
        SkipReason::Credential => "the value contains a credential: write it by hand".to_owned(),
        SkipReason::Changed(path) => format!(
            "{} declares neither the accepted value nor the one before, so the field is changed in no file: apply it, or compare it with: kubectl arcadia show {}{flag}",
            path.display(),
            drift.name
        ),
        SkipReason::Refused(path, error) => format!(
            "{}: {error}; write it by hand, as shown by: kubectl arcadia show {}{flag}",
            path.display(),
            drift.name
        ),
    };
    format!("{} of record {} not written: {why}", drift.field, drift.record)
}

/// All results, for programs.
pub(super) fn json(plan: &ManifestEdits) -> Value {
    let of = |acceptance: &StandingDrift| {
        let drift = &acceptance.drift;
        json!({
            "drift": drift.name, "namespace": drift.namespace, "record": drift.record, "kind": drift.kind, "id": drift.id,
            "field": drift.field_name, "value": acceptance.value, "decidedBy": drift.decided_by, "because": drift.because,
            "until": acceptance.until,
        })
    };
    let left = plan.left.iter().map(|(acceptance, why)| {
        let mut left = of(acceptance);
        if let Some(left) = left.as_object_mut() {
            left.insert("reason".to_owned(), not_written(acceptance, why, "").into());
        }
        left
    });
    json!({
        "files": plan.edits.iter().map(|edit| edit.path.display().to_string()).collect::<Vec<_>>(),
        "written": plan.written.iter().map(of).collect::<Vec<_>>(),
        "notWritten": left.collect::<Vec<_>>(),
        "temporary": plan.temporary,
        "outOfReach": plan.out_of_reach.iter().map(|(path, why)| json!({ "file": path.display().to_string(), "reason": why })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::manifests::plan::{
        File,
        tests::{MANIFEST, standing},
    };

    fn plan(text: &str) -> ManifestEdits {
        let tags = json!({ "metadata": { "name": "web-1-tags" }, "spec": { "field": "tags", "expectedShort": r#"["web"]"#, "actualShort": "[]" },
            "status": { "because": null, "acceptance": { "value": [], "declared": ["web"] } } });
        let standing = vec![standing("web-1", &json!({})), standing("web-1", &tags)];
        ManifestEdits::of(standing, &[File { path: "records/web.yaml".into(), text: text.to_owned() }], false)
    }

    #[test]
    fn a_diff_comes_with_its_commit_message() {
        expect![[r#"
            --- a/records/web.yaml
            +++ b/records/web.yaml
            @@ -10,5 +10,5 @@
             spec:
               resource: {kind: Droplet, id: '3164444'}
               desired:
            -    size_slug: s-2vcpu-4gb # as ordered
            -    tags: [web]
            +    size_slug: s-4vcpu-8gb # as ordered
            +    tags: []

            1 file changed. Commit message:

                Accept 2 live values of 1 resource

                Droplet 3164444 (web-1), size_slug: s-2vcpu-4gb -> s-4vcpu-8gb
                  accepted by jane on 2026-05-10: OPS-123

                Droplet 3164444 (web-1), tags: ["web"] -> []
                  accepted by jane on 2026-05-10
        "#]]
        .assert_eq(&text(&plan(MANIFEST), "namespace default", true, Paint::NONE));
    }

    #[test]
    fn what_is_left_says_what_to_do() {
        let plan = plan(&MANIFEST.replace("kind: Droplet", "kind: Volume"));
        let left: Vec<_> = plan.left.iter().map(|(acceptance, why)| not_written(acceptance, why, " -n team")).collect();
        expect![[r#"
            size_slug of record web-1 not written: no manifest declares the field; the patch is shown by: kubectl arcadia show web-1-size-slug-e7320a9aaf-1 -n team
            tags of record web-1 not written: no manifest declares the field; the patch is shown by: kubectl arcadia show web-1-tags -n team"#]].assert_eq(&left.join("\n"));
        assert_eq!(text(&plan, "namespace default", false, Paint::NONE), "");
        let nothing = ManifestEdits::default();
        expect![[r#"
            No acceptance stands in all namespaces: the manifests are current.
        "#]]
        .assert_eq(&text(&nothing, "all namespaces", false, Paint::NONE));
        let temporary = ManifestEdits { all: 2, temporary: 1, ..ManifestEdits::default() };
        expect![[r#"
            The manifests have the values of 1 acceptance in namespace default. 1 acceptance with an end left out; --temporary includes them.
        "#]].assert_eq(&text(&temporary, "namespace default", false, Paint::NONE));
        let temporary = ManifestEdits { all: 2, temporary: 2, ..ManifestEdits::default() };
        expect![[r#"
            No acceptance without an end stands in namespace default. 2 acceptances with an end left out; --temporary includes them.
        "#]].assert_eq(&text(&temporary, "namespace default", false, Paint::NONE));
    }

    #[test]
    fn one_value_is_named_in_the_subject() {
        let one = vec![standing("web-1", &json!({}))];
        assert_eq!(subject(&one), "Accept size_slug of web-1: s-4vcpu-8gb");
        let long = vec![standing(&"web-".repeat(20), &json!({}))];
        assert_eq!(subject(&long), "Accept 1 live value of 1 resource");
    }
}
