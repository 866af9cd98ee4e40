//! Writes records to the cluster, a folder or standard output, and counts the resources that are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::{folder::Folder, record, target::TargetArgs};
use crate::{
    cli::{
        Error,
        cluster::{Noun, UserCluster},
        output,
        select::SIDE_BY_SIDE,
        survey::{Survey, SurveyedResource},
        text::{count, note},
    },
    digitalocean::{Pinned, ResourceKey},
    drift::shown::first,
};

/// The number of reasons and objects that a note lists.
const LISTED: usize = 5;

/// The place of new records.
enum Place {
    Output,
    Folder(Folder),
    /// The cluster, and records that are not created yet.
    Cluster(Box<UserCluster>, Vec<Value>),
}

/// Writes records one by one.
pub(in crate::cli) struct Writer<'a> {
    target: &'a TargetArgs,
    namespace: Option<&'a str>,
    place: Place,
    written: usize,
    pub(super) skipped: Skipped,
}

/// The resources and fields that are left out, for the summary.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) recorded: usize,
    pub(super) by_kubernetes: usize,
    /// Resources that the flags do not select.
    pub(super) unselected: usize,
    /// Fields that could not be recorded, by kind, field and reason.
    fields: BTreeMap<String, usize>,
    /// Resources without any field that can be recorded.
    empty: Vec<String>,
    /// Types of a state without a kind.
    pub(super) unmapped: BTreeSet<String>,
    /// Resources of a state that cannot be recorded, with the reason.
    pub(super) refused: Vec<String>,
}

impl<'a> Writer<'a> {
    /// A writer to the cluster, if one is given, or to the place of the flags.
    pub(in crate::cli) fn new(
        target: &'a TargetArgs,
        cluster: Option<UserCluster>,
        namespace: Option<&'a str>,
    ) -> Result<Self, Error> {
        let place = match (cluster, &target.folder) {
            (Some(cluster), _) => Place::Cluster(Box::new(cluster), Vec::new()),
            (None, Some(folder)) => Place::Folder(Folder::open(folder)?),
            (None, None) => Place::Output,
        };
        Ok(Self { target, namespace, place, written: 0, skipped: Skipped::default() })
    }

    /// Records a resource of the account.
    pub(in crate::cli) fn record(&mut self, found: &SurveyedResource, survey: &Survey) -> Result<(), Error> {
        let kind = found.key.kind;
        let pinned = Pinned::of(kind, &found.live, self.target.fields_of(kind));
        for (field, why) in &pinned.left_out {
            *self.skipped.fields.entry(format!("{kind} {field}: {why}")).or_default() += 1;
        }
        if pinned.desired.is_empty() {
            self.skipped.empty.push(found.address());
            return Ok(());
        }
        self.add(&found.key, found.name(), &pinned.desired, |text| survey.print(text))
    }

    /// Records a resource with these values. Records for the cluster are created by the next [`Self::flush`].
    pub(super) fn add(
        &mut self,
        key: &ResourceKey,
        name: Option<&str>,
        desired: &BTreeMap<String, Value>,
        print: impl Fn(&str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let record = record::manifest(key, name, desired, self.namespace);
        let is_new = match &mut self.place {
            Place::Output => {
                print(&format!("---\n{}", output::yaml(&record)?))?;
                true
            }
            Place::Folder(folder) => folder.write(&record)?,
            Place::Cluster(_, waiting) => {
                waiting.push(record);
                return Ok(());
            }
        };
        self.count(is_new);
        Ok(())
    }

    /// Creates the records that wait. It does not apply them: the operator treats the fields of an apply as declared by a
    /// manifest.
    pub(in crate::cli) async fn flush(&mut self) -> Result<(), Error> {
        let Place::Cluster(cluster, waiting) = &mut self.place else { return Ok(()) };
        let (cluster, records) = (cluster.clone(), std::mem::take(waiting));
        let creations = records.iter().map(|record| cluster.create(Noun::Record, record));
        let mut creations = stream::iter(creations).buffered(SIDE_BY_SIDE);
        while let Some(is_new) = creations.next().await {
            self.count(is_new?);
        }
        Ok(())
    }

    fn count(&mut self, is_new: bool) {
        self.written += usize::from(is_new);
        self.skipped.recorded += usize::from(!is_new);
    }

    /// Completes the folder, and prints what was written and left out.
    pub(in crate::cli) fn end(self) -> Result<(), Error> {
        if let Place::Folder(folder) = self.place {
            folder.list()?;
        }
        note(&self.skipped.summary(self.written));
        Ok(())
    }
}

impl Skipped {
    fn summary(&self, written: usize) -> String {
        let mut parts = vec![format!("{} written", count(written, "record"))];
        for (number, what) in [
            (self.recorded, "recorded already"),
            (self.by_kubernetes, "made by Kubernetes (--include-kubernetes records them too)"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        if written == 0 && self.recorded == 0 && self.by_kubernetes == 0 && self.unselected > 0 {
            parts.push(format!("the flags match none of {}", count(self.unselected, "resource")));
        }
        let mut text = format!("{}.", parts.join(", "));
        if !self.empty.is_empty() {
            let _ = write!(text, "\nNo field can be recorded of: {}.", first(&self.empty, LISTED, ", "));
        }
        if !self.unmapped.is_empty() {
            let types: Vec<&str> = self.unmapped.iter().map(String::as_str).collect();
            let _ = write!(text, "\nTypes without a kind: {}.", types.join(", "));
        }
        for refused in &self.refused {
            let _ = write!(text, "\nNot recorded: {refused}.");
        }
        if !self.fields.is_empty() {
            let reasons: Vec<String> = self
                .fields
                .iter()
                .map(|(reason, number)| format!("  {reason} ({})", count(*number, "resource")))
                .collect();
            let _ = write!(text, "\nLeft out:\n{}", first(&reasons, LISTED, "\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_summary_says_what_was_left_out() {
        let skipped = Skipped {
            recorded: 3,
            by_kubernetes: 2,
            fields: [("Droplet tags: the token needs tag:read".to_owned(), 5)].into(),
            empty: vec!["Certificate/1".to_owned()],
            ..Skipped::default()
        };
        expect![[r#"
            12 records written, 3 recorded already, 2 made by Kubernetes (--include-kubernetes records them too).
            No field can be recorded of: Certificate/1.
            Left out:
              Droplet tags: the token needs tag:read (5 resources)"#]]
        .assert_eq(&skipped.summary(12));
        expect!["1 record written."].assert_eq(&Skipped::default().summary(1));
        let unselected = Skipped { unselected: 4, ..Skipped::default() };
        expect!["0 records written, the flags match none of 4 resources."].assert_eq(&unselected.summary(0));
        expect!["1 record written."].assert_eq(&unselected.summary(1));
    }
}
