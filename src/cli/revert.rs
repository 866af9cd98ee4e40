//! `revert`: a saga changes the cloud back to the desired value.

use clap::{Args, ValueEnum};

use super::{
    Error, Exit,
    cluster::{Cluster, ClusterArgs},
    decide::{self, DecideArgs, Decision, PLAN, Verb},
    drift::{Class, DriftView},
    select::SelectArgs,
};
use crate::api::annotations;

/// The flags of `revert`.
#[derive(Clone, Debug, Args)]
pub(super) struct RevertArgs {
    #[command(flatten)]
    select: SelectArgs,

    /// Only show the steps; the cloud is not changed
    #[arg(long, conflicts_with = "allow")]
    plan: bool,

    /// The harm that the revert may do
    #[arg(long, value_name = "HARM")]
    allow: Option<Harm>,

    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,

    #[command(flatten)]
    decide: DecideArgs,
}

/// The harm that a revert may do; each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Harm {
    /// The resource is interrupted, for instance powered off
    Disruption,
    /// Data is lost
    DataLoss,
}

impl Harm {
    const fn flag(self) -> &'static str {
        match self {
            Self::Disruption => "disruption",
            Self::DataLoss => "data-loss",
        }
    }
}

pub(super) async fn run(cluster: &ClusterArgs, args: &RevertArgs) -> Result<Exit, Error> {
    let cluster = Cluster::connect(cluster).await?;
    let drifts = decide::open_ones(args.select.read(&cluster, Some(decide::OPEN)).await?)?;
    if !args.plan {
        let refused: Vec<String> = drifts.iter().filter_map(|drift| refusal(drift, args.allow)).collect();
        if !refused.is_empty() {
            return Err(Error::Usage(refused.join("\nerror: ")));
        }
    }
    let revert = match (args.plan, args.allow) {
        (true, _) => PLAN.to_owned(),
        (false, None) => "true".to_owned(),
        (false, Some(harm)) => format!("allow-{}", harm.flag()),
    };
    let mut annotations = decide::reverting(&revert);
    annotations.insert(annotations::BECAUSE, args.because.clone());
    let verb = if args.plan { Verb::Plan } else { Verb::Revert };
    let input = args.select.input();
    Decision { verb, annotations, drifts, input }.carry_out(&cluster, &args.decide).await
}

/// The reason why the operator would refuse to revert this drift with this permission.
fn refusal(drift: &DriftView, allowed: Option<Harm>) -> Option<String> {
    let class = drift.class.as_ref()?;
    let consequence = class.consequence().unwrap_or_default();
    let needed = match class {
        Class::Disruptive => Harm::Disruption,
        Class::Lossy => Harm::DataLoss,
        Class::NotRevertible | Class::NotOurs => {
            return Some(format!("Drift {} is {}: {consequence}", drift.name, class.name()));
        }
        Class::OneWay | Class::Safe | Class::Other(_) => return None,
    };
    (allowed < Some(needed)).then(|| {
        format!(
            "to revert Drift {} is {}: {consequence}; show the steps with --plan, or permit it with --allow {}",
            drift.name,
            class.name(),
            needed.flag()
        )
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::view;

    #[test]
    fn a_harmful_revert_needs_a_permission() {
        let of = |class: &str, allowed| refusal(&view("web-1", &json!({ "spec": { "revert": class } })), allowed);
        expect!["to revert Drift web-1-size-slug-e7320a9aaf-1 is Disruptive: the resource is interrupted; show the steps with --plan, or permit it with --allow disruption"].assert_eq(&of("Disruptive", None).unwrap());
        expect!["Drift web-1-size-slug-e7320a9aaf-1 is NotRevertible: no saga can put it back: change it in the cloud, or accept it"].assert_eq(&of("NotRevertible", Some(Harm::DataLoss)).unwrap());
        assert!(of("Lossy", Some(Harm::Disruption)).unwrap().contains("--allow data-loss"));
        for (class, allowed) in [
            ("Disruptive", Some(Harm::Disruption)),
            ("Disruptive", Some(Harm::DataLoss)),
            ("Lossy", Some(Harm::DataLoss)),
            ("Safe", None),
            ("OfALaterVersion", None),
        ] {
            assert_eq!(of(class, allowed), None, "{class}");
        }
    }
}
