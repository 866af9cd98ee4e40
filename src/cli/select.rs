//! The drifts of a decision: selected by name, from standard input, by change, by record or by label.

use std::{collections::BTreeSet, io};

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::ListParams;

use super::{
    Error,
    cluster::{Noun, ObjectName, UserCluster, other_noun, selected},
    drift::DriftView,
    error,
    prompt::{Input, typed},
};
use crate::api::labels;

/// The number of concurrent calls to the API server.
pub(super) const SIDE_BY_SIDE: usize = 8;
/// The argument for names from standard input.
const STDIN: &str = "-";

/// The drifts to decide.
#[derive(Clone, Debug, Args)]
pub(super) struct SelectArgs {
    /// Names of drifts; `-` reads names from standard input
    #[arg(value_name = "DRIFT")]
    names: Vec<String>,

    /// All drifts of this change, as the inbox shows it
    #[arg(long, value_name = "HASH", conflicts_with = "names")]
    change: Option<String>,

    /// All drifts of this record
    #[arg(long, value_name = "NAME", conflicts_with = "names")]
    record: Option<String>,

    /// All drifts with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "names")]
    selector: Option<String>,
}

impl SelectArgs {
    /// The use of standard input: it cannot answer a question if names are read from it.
    pub(super) fn input(&self) -> Input {
        if self.names.iter().any(|name| name == STDIN) { Input::Used } else { Input::Free }
    }

    /// Returns true if each drift is named.
    pub(super) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// The given names, and those that standard input contains.
    fn names_with(&self, typed: Option<&str>) -> Result<Vec<String>, Error> {
        let given = self.names.iter().filter(|name| *name != STDIN).cloned();
        let typed = typed.map(names_from).transpose()?;
        Ok(given.chain(typed.into_iter().flatten()).collect())
    }

    /// The selected drifts, in no particular order. `only` is a field selector for those that are not named.
    pub(super) async fn read(&self, cluster: &UserCluster, only: Option<&str>) -> Result<Vec<DriftView>, Error> {
        if self.has_names() {
            let typed = match self.input() {
                Input::Used => Some(typed(|| io::read_to_string(io::stdin())).await?),
                Input::Free => None,
            };
            let names = self.names_with(typed.as_deref())?;
            let names: Vec<_> =
                names.iter().map(|name| ObjectName::read(name, Noun::Drift)).collect::<Result<_, _>>()?;
            let drifts = names.iter().map(|name| async move {
                match cluster.get(Noun::Drift, name).await {
                    Ok(object) => Ok(DriftView::read(&object)),
                    Err(Error::NotFound { .. }) if is_record(cluster, name).await => {
                        let text = name.to_string();
                        Err(other_noun(&text, &text, Noun::Record, Noun::Drift))
                    }
                    Err(error) => Err(error),
                }
            });
            let mut drifts: Vec<DriftView> = stream::iter(drifts).buffered(SIDE_BY_SIDE).try_collect().await?;
            // A repeated name is one decision.
            let mut known = BTreeSet::new();
            drifts.retain(|drift| known.insert((drift.namespace.clone(), drift.name.clone())));
            return Ok(drifts);
        }
        if self.selector.as_ref().is_some_and(|selector| selector.trim().is_empty()) {
            return Err(Error::usage(
                "the selector of -l is empty, which would select every drift; to decide all of them, name a label that all \
                 have: -l arcadia.cloud/change",
            ));
        }
        let change = self.change.as_ref().map(|change| format!("{}={change}", labels::CHANGE));
        let selectors: Vec<String> = change.into_iter().chain(self.selector.clone()).collect();
        if selectors.is_empty() && self.record.is_none() {
            return Err(Error::usage(format!(
                "name a drift, or select drifts with --change, --record or -l; list them with: kubectl arcadia inbox{}",
                cluster.flag()
            )));
        }
        let record = self.record.as_ref().map(|record| ObjectName::read(record, Noun::Record)).transpose()?;
        let place = record.as_ref().map_or_else(|| cluster.clone(), |record| cluster.of_name(record));
        let of_record = record.as_ref().map(|record| format!("spec.resourceRef.name={}", selected(&record.name)));
        let fields: Vec<String> = of_record.into_iter().chain(only.map(str::to_owned)).collect();
        let params = ListParams::default().labels(&selectors.join(",")).fields(&fields.join(","));
        let drifts = place.list(Noun::Drift, params, |object| Some(DriftView::read(&object))).await?;
        if let Some(record) = record.filter(|_| drifts.is_empty() && !place.is_all()) {
            // A missing record is a separate error.
            place.get(Noun::Record, &record).await?;
        }
        Ok(drifts)
    }
}

/// Returns true if a record has this name, and the user may read it.
async fn is_record(cluster: &UserCluster, name: &ObjectName) -> bool {
    matches!(cluster.find(Noun::Record, cluster.namespace_of(name), &name.name).await, Ok(Some(_)))
}

/// One name per line or word; empty lines are left out.
fn names_from(text: &str) -> Result<Vec<String>, Error> {
    let unreadable = |why: String| Error::Contents { source_name: "standard input".to_owned(), why };
    let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if names.is_empty() {
        let next = format!("kubectl arcadia inbox -o name{}", error::place());
        return Err(unreadable(format!("it has no names; pipe them from: {next}")));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_one_per_line() {
        let names = names_from("drift.arcadia.cloud/a\n\n team/b \n").unwrap();
        assert_eq!(names, ["drift.arcadia.cloud/a", "team/b"]);
        let error = names_from("\n").unwrap_err().to_string();
        assert!(error.contains("kubectl arcadia inbox -o name"), "{error}");
    }

    #[test]
    fn names_of_standard_input_are_added_to_the_given_ones() {
        let of = |names: &[&str], typed| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            SelectArgs { names, change: None, record: None, selector: None }.names_with(typed)
        };
        assert_eq!(of(&["c", "-"], Some("a\nb\n")).unwrap(), ["c", "a", "b"]);
        assert_eq!(of(&["c", "d"], None).unwrap(), ["c", "d"]);
        assert!(of(&["-"], Some("\n")).is_err());
    }
}
