//! The table of cases in `tests/cases/comparison.yaml`, checked against the comparison.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{FieldComparison, Live};
use crate::{
    comparison::Difference,
    digitalocean::{Certificates, Document, FieldSet, Kind, ResourceKey, observed::UnreadPart},
};
use table::{Case, Verdict};

#[path = "../../../tests/support/cases.rs"]
mod table;

/// Wide enough for every value of the table.
const COLUMNS: usize = 400;

impl Case {
    /// The live document, parsed at once; or when a value is needed, as the row of a list.
    fn live(&self, is_row: bool) -> Live {
        let id = self.id.as_deref().unwrap_or(if self.kind.parent().is_some() { "example.com/1" } else { "1" });
        let unread = self.unread.iter().map(|(path, why)| UnreadPart::new(path, why.as_str()));
        let certificates = self.certificates.as_ref().map(|all| {
            let names: Certificates = all.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
            names.into()
        });
        let row = self.kind.row();
        let all = FieldSet::fields(row, row.fields.iter().map(String::as_str));
        let scopes = row.scopes_in_doubt(all).filter(|scope| self.scope.as_deref() != Some(*scope)).collect();
        let whole = Document { is_valid: is_row, ..Document::whole(self.live.to_string()) };
        let document = Document { unread: unread.collect(), certificates, scopes, ..whole };
        let mut desired = self.beside.clone();
        desired.insert(self.field.clone(), self.recorded.clone());
        Live::of(&ResourceKey::new(self.kind, id), &document).unwrap().for_record(&desired)
    }

    /// The fault of the verdict, if there is one.
    fn fault(&self) -> Option<String> {
        let live = self.live(true);
        let compared = live.compare(&self.field, &self.recorded);
        let parsed_at_once = self.live(false).compare(&self.field, &self.recorded);
        if parsed_at_once != compared {
            return Some(format!("is {parsed_at_once:?} if parsed at once, and {compared:?} if not"));
        }
        let (verdict, shown) = match &compared {
            FieldComparison::Done(found) if !found.differences.is_empty() => {
                let again = live.compare(&self.field, &found.adopted);
                let is_settled = matches!(&again, FieldComparison::Done(again) if again.differences.is_empty());
                if !is_settled {
                    return Some(format!("accepting {} leaves {again:?}", found.adopted));
                }
                if let Some(left) = self.left_by_reverting(&live) {
                    return Some(left);
                }
                (Verdict::Differs, found.differences.iter().map(|found| found.short(COLUMNS)).collect())
            }
            FieldComparison::Done(found) if found.doubts.is_empty() => (Verdict::Same, Vec::new()),
            FieldComparison::Done(found) if found.doubts.iter().all(|doubt| doubt.why.contains("encrypted")) => {
                (Verdict::Unverified, Vec::new())
            }
            FieldComparison::Done(_) | FieldComparison::Unknown(_) => (Verdict::Unknown, Vec::new()),
            FieldComparison::NotReadable => (Verdict::Invalid, Vec::new()),
            FieldComparison::NoSuchField { .. } => (Verdict::NoSuchField, Vec::new()),
        };
        if verdict != self.verdict {
            return Some(format!("is {verdict:?} {shown:?}, not {:?}: {compared:?}", self.verdict));
        }
        let is_listed = |wanted: &str, found: &str| {
            found == wanted || found.starts_with(&format!("{wanted}: ")) || found.starts_with(&format!("{wanted} "))
        };
        let all_listed = self.differences.iter().all(|wanted| shown.iter().any(|found| is_listed(wanted, found)))
            && shown.iter().all(|found| self.differences.iter().any(|wanted| is_listed(wanted, found)));
        if !self.differences.is_empty() && !all_listed {
            return Some(format!("shows {shown:?}, not {:?}", self.differences));
        }
        self.leak(&live, &compared)
    }

    /// The remaining differences after the restored document is written.
    fn left_by_reverting(&self, live: &Live) -> Option<String> {
        let is_derived = live.source(&self.field).is_none() && self.kind.row().derived.contains_key(&self.field);
        // Droplets are changed by actions, not by documents.
        if is_derived || self.kind.name() == "Droplet" {
            return None;
        }
        let restored = match live.restored(&self.field, &self.recorded) {
            Ok(Some(restored)) => restored,
            Err(why) if why.contains("no such item") => return None,
            other => return Some(format!("reverting gives {other:?}")),
        };
        let again = Self { live: restored.clone(), ..self.clone() }.live(false).compare(&self.field, &self.recorded);
        let is_settled = matches!(&again, FieldComparison::Done(again) if again.differences.is_empty());
        (!is_settled).then(|| format!("reverting to {restored} leaves {again:?}"))
    }

    /// A credential that is shown somewhere.
    fn leak(&self, live: &Live, compared: &FieldComparison) -> Option<String> {
        let differences = match compared {
            FieldComparison::Done(found) => found.differences.as_slice(),
            _ => &[],
        };
        let mut shown = format!("{differences:?}");
        for found in differences {
            let _ = write!(shown, "{} {} {}", found.short(60), found.short_expected(40), found.short_actual(40));
        }
        let whole = live.hide(&self.field, &self.recorded);
        let _ = write!(shown, "{whole}{}", live.hide("", &self.live));
        if let FieldComparison::Done(found) = compared {
            let _ = write!(shown, "{} {:?}", live.hide(&self.field, &found.adopted), found.doubts);
        }
        let leaked = self.hidden.iter().find(|secret| shown.contains(secret.as_str()))?;
        Some(format!("shows {leaked} in {shown}"))
    }
}

#[test]
fn every_case_has_the_verdict_of_the_table() {
    let cases = table::all();
    assert!(cases.len() >= 700, "{} cases", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "each case has a unique name");
    let faults: Vec<_> = cases
        .iter()
        .filter_map(|case| Some(format!("{} {}: {}: {}", case.kind, case.field, case.name, case.fault()?)))
        .collect();
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn every_kind_has_cases_of_both_verdicts() {
    let cases = table::all();
    for kind in Kind::all() {
        for verdict in [Verdict::Same, Verdict::Differs] {
            assert!(cases.iter().any(|case| case.kind == kind && case.verdict == verdict), "{kind} {verdict:?}");
        }
    }
}

#[test]
fn short_forms_fit_their_columns_in_every_case() {
    let cases = table::all();
    for case in &cases {
        let FieldComparison::Done(found) = case.live(true).compare(&case.field, &case.recorded) else { continue };
        for short in found
            .differences
            .iter()
            .flat_map(|found: &Difference| [found.short(60), found.short_expected(40), found.short_actual(40)])
        {
            assert!(crate::comparison::show::width(&short) <= 60 && !short.contains('\n'), "{}: {short}", case.name);
        }
    }
}
