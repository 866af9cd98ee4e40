//! Writes records to the cluster, a folder or standard output, and counts the resources that are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::{folder::Folder, record, stored::Stored, target::TargetArgs};
use crate::{
    cli::{
        Error,
        cluster::{Noun, UserCluster, quoted},
        drift::text,
        output,
        select::SIDE_BY_SIDE,
        survey::{Survey, SurveyedResource},
        text::{count, note},
    },
    digitalocean::{Kind, Pinned, ResourceKey},
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
    /// Resources whose record has the name of another resource's record, with the next command.
    taken: Vec<String>,
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
            self.skipped.leave_out(kind, field, why);
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
        let stored = match &mut self.place {
            Place::Output => {
                print(&format!("---\n{}", output::yaml(&record)?))?;
                Stored::New
            }
            Place::Folder(folder) => folder.write(&record, key)?,
            Place::Cluster(_, waiting) => {
                waiting.push(record);
                return Ok(());
            }
        };
        self.count(stored);
        Ok(())
    }

    /// Creates the records that wait. It does not apply them: the operator treats the fields of an apply as declared by a
    /// manifest.
    pub(in crate::cli) async fn flush(&mut self) -> Result<(), Error> {
        let Place::Cluster(cluster, waiting) = &mut self.place else { return Ok(()) };
        let (cluster, records) = (cluster.clone(), std::mem::take(waiting));
        let creations = records.iter().map(|record| create(&cluster, record));
        let mut creations = stream::iter(creations).buffered(SIDE_BY_SIDE);
        while let Some(stored) = creations.next().await {
            self.count(stored?);
        }
        Ok(())
    }

    fn count(&mut self, stored: Stored) {
        match stored {
            Stored::New => self.written += 1,
            Stored::Known => self.skipped.recorded += 1,
            Stored::NameTaken(why) => self.skipped.taken.push(why),
        }
    }

    /// Completes the folder, and prints what was written and left out. Returns false if a resource could not be recorded.
    pub(in crate::cli) fn end(self) -> Result<bool, Error> {
        if let Place::Folder(folder) = &self.place {
            folder.list()?;
        }
        note(&self.skipped.summary(self.written));
        Ok(self.skipped.refused.is_empty() && self.skipped.taken.is_empty())
    }
}

/// Creates a record. One of its name may exist: of the same resource or of another one.
async fn create(cluster: &UserCluster, record: &Value) -> Result<Stored, Error> {
    if cluster.create(Noun::Record, record).await? {
        return Ok(Stored::New);
    }
    let name = text(record, "/metadata/name").unwrap_or_default();
    let namespace = cluster.namespace();
    let Some(found) = cluster.find(Noun::Record, namespace, name).await? else { return Ok(Stored::Known) };
    let resource = |record: &Value| {
        let part = |pointer: &str| text(record, pointer).unwrap_or_default().to_owned();
        format!("{} {}", part("/spec/resource/kind"), part("/spec/resource/id"))
    };
    let (wanted, other) = (resource(record), resource(&found.data));
    if wanted == other {
        return Ok(Stored::Known);
    }
    let flags = cluster.flag_for(namespace);
    Ok(Stored::NameTaken(format!(
        "{wanted}: the record of {other} has the name {name}; record {other} under another name, and delete that record \
         with: kubectl delete provisionedresource {}{flags}",
        quoted(name)
    )))
}

impl Skipped {
    /// Counts a field that could not be recorded.
    pub(super) fn leave_out(&mut self, kind: Kind, field: &str, why: &str) {
        *self.fields.entry(format!("{kind} {field}: {why}")).or_default() += 1;
    }

    fn summary(&self, written: usize) -> String {
        let mut parts = vec![format!("{} written", count(written, "record"))];
        for (number, what) in [
            (self.recorded, "recorded already"),
            (self.by_kubernetes, "made by Kubernetes (--include-kubernetes records them too)"),
            (self.taken.len(), "not recorded because another resource has the name"),
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
        for refused in self.taken.iter().chain(&self.refused) {
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
        let taken = Skipped {
            taken: vec!["Droplet 1: a.yaml does not record it; rename or delete this file".to_owned()],
            ..Skipped::default()
        };
        expect![[r#"
            1 record written, 1 not recorded because another resource has the name.
            Not recorded: Droplet 1: a.yaml does not record it; rename or delete this file."#]]
        .assert_eq(&taken.summary(1));
    }
}
