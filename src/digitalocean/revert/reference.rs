//! The reference of reverts: the class of each field of each kind, generated into the documents.

use std::{collections::BTreeSet, fmt::Write as _};

use super::RevertClass;
use crate::digitalocean::{
    Kind,
    kinds::{How, Owned, RevertCase, RevertRule, ValueChange},
};

/// A section with a table per kind, for the generated reference.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for kind in Kind::all() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {kind}\n\n");
        let Some(reverts) = &kind.row().revert else {
            text.push_str("Not supported yet: no field can be reverted.\n");
            continue;
        };
        text.push_str("| fields | class | effect or reason | step |\n| --- | --- | --- | --- |\n");
        for rule in &reverts.fields {
            text.push_str(&row(rule));
        }
        // A controller may be known by several signs.
        let refusals: BTreeSet<_> = reverts.owned.iter().map(refusal).collect();
        for refusal in refusals {
            let _ = write!(text, "\nRefused {refusal}.\n");
        }
    }
    text
}

/// The fields, or the resources, that belong to another controller.
fn refusal(owned: &Owned) -> String {
    let names: Vec<_> = owned.names.iter().map(ToString::to_string).collect();
    if names == ["**"] {
        return format!("if the resource belongs to {}", owned.by);
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("for {} if it belongs to {}", names.join(", "), owned.by)
}

fn row(rule: &RevertRule) -> String {
    let names: Vec<_> = rule.names.iter().map(|name| format!("`{name}`")).collect();
    // Some cases differ in their call only.
    let differs = |case: &&RevertCase| case.class != rule.class || case.says.is_some();
    let cases: Vec<_> = rule.cases.iter().filter(differs).map(case).collect();
    let class = match cases.as_slice() {
        [] => rule.class.to_string(),
        cases => format!("{}; {}", rule.class, cases.join("; ")),
    };
    let sentences: Vec<_> = [&rule.says, &rule.warning].into_iter().flatten().cloned().collect();
    let how = rule.how.as_ref().map(steps).unwrap_or_default();
    format!("| {} | {class} | {} | {how} |\n", names.join(", "), sentences.join(" ").replace('|', "\\|"))
}

fn case(case: &RevertCase) -> String {
    let when = match (case.change, &case.condition) {
        (Some(change), _) => change.says().to_owned(),
        (None, Some(condition)) => condition.to_string(),
        (None, None) => "always".to_owned(),
    };
    let reason = case.says.as_ref().filter(|_| case.class >= RevertClass::NotRevertible);
    let reason = reason.map(|reason| format!(" ({})", reason.trim_end_matches('.'))).unwrap_or_default();
    format!("{} {when}{reason}", case.class)
}

impl ValueChange {
    fn says(self) -> &'static str {
        match self {
            Self::Growing => "to a larger value",
            Self::Shrinking => "to a smaller value",
            Self::Enabling => "to true",
            Self::Disabling => "to false",
            Self::Adding => "if items are only added",
            Self::Emptying => "to nothing",
        }
    }
}

fn steps(how: &How) -> String {
    let steps: &[&str] = match how {
        How::UpdateResource(_) => &["UpdateResource"],
        How::UpdateNodePool => &["UpdateNodePool"],
        How::UpdateDomainRecord => &["UpdateDomainRecord"],
        How::AssignToProject(_) => &["AssignToProject"],
        How::Tags(_) => &["TagResource", "UntagResource"],
        How::RenameDroplet => &["RenameDroplet"],
        How::ResizeDroplet | How::GrowDisk => &["ResizeDroplet"],
        How::Power => &["PowerOnDroplet", "PowerOffDroplet"],
        How::Backups => &["EnableBackups", "DisableBackups"],
        How::Volumes | How::AttachedTo => &["AttachVolume", "DetachVolume"],
        How::ResizeVolume => &["ResizeVolume"],
        How::ReservedIP => &["AssignReservedIP", "UnassignReservedIP"],
        How::EnableIPv6 => &["EnableIPv6"],
        How::Features => &["EnableBackups", "DisableBackups", "EnableIPv6"],
    };
    steps.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ")
}
