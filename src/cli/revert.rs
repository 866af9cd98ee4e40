//! `revert`: a saga changes the cloud back to the desired value.

use clap::{Args, ValueEnum};

use super::{
    Error, Exit,
    cluster::{ClusterArgs, UserCluster},
    decide::{self, DecideArgs, DecisionKind, DecisionRequest},
    drift::{DriftView, PLAN},
    select::SelectArgs,
};
use crate::{api::annotations, digitalocean::revert::Allow};

/// The flags of `revert`.
#[derive(Clone, Debug, Args)]
pub(super) struct RevertArgs {
    #[command(flatten)]
    select: SelectArgs,

    /// Request the plan of the revert from the operator, and show it; the cloud is not changed
    #[arg(long, conflicts_with = "allow")]
    plan: bool,

    /// The effect that the revert may have
    #[arg(long, value_name = "HARM")]
    allow: Option<Harm>,

    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,

    #[command(flatten)]
    decide: DecideArgs,
}

/// The effect that a revert may have; each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Harm {
    /// The resource is interrupted, or the change cannot be undone (classes Disruptive and `OneWay`)
    Disruption,
    /// Data may be lost (class Lossy); includes `disruption`
    DataLoss,
}

impl Harm {
    const fn allow(self) -> Allow {
        match self {
            Self::Disruption => Allow::Disruption,
            Self::DataLoss => Allow::DataLoss,
        }
    }
}

pub(super) async fn run(cluster: &ClusterArgs, args: &RevertArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let (drifts, exit) = decide::open_ones(&cluster, args.select.read(&cluster, Some(decide::OPEN)).await?)?;
    let allowed = args.allow.map(Harm::allow).unwrap_or_default();
    if !args.plan {
        let refused: Vec<String> = drifts.iter().filter_map(|drift| refusal(drift, allowed)).collect();
        if !refused.is_empty() {
            return Err(Error::Usage(refused.join("\nerror: ")));
        }
    }
    let mut annotations = decide::reverting(if args.plan { PLAN } else { allowed.annotation() });
    annotations.insert(annotations::BECAUSE, args.because.clone());
    let verb = if args.plan { DecisionKind::Plan } else { DecisionKind::Revert };
    let input = args.select.input();
    DecisionRequest { verb, annotations, drifts, input, effect: None, exit }.carry_out(&cluster, &args.decide).await
}

/// The reason why the operator would refuse to revert this drift with this permission.
fn refusal(drift: &DriftView, allowed: Allow) -> Option<String> {
    let (class, effect) = (drift.class.as_ref()?, drift.effect()?);
    let Some(needed) = class.needs() else { return Some(format!("Drift {} is {effect}", drift.name)) };
    (allowed < needed).then(|| {
        let effect = effect.trim_end_matches('.');
        format!(
            "reverting Drift {}: {effect}; show the plan with --plan, or allow the effect with --allow {}",
            drift.name,
            decide::flag(needed)
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
        expect!["reverting Drift web-1-size-slug-e7320a9aaf-1: Disruptive: the resource is interrupted; show the plan with --plan, or allow the effect with --allow disruption"].assert_eq(&of("Disruptive", Allow::Safe).unwrap());
        expect!["Drift web-1-size-slug-e7320a9aaf-1 is NotRevertible: no saga can revert it: change it in the cloud, or accept it"].assert_eq(&of("NotRevertible", Allow::DataLoss).unwrap());
        assert!(of("Lossy", Allow::Disruption).unwrap().contains("--allow data-loss"));
        for (class, allowed) in [
            ("Disruptive", Allow::Disruption),
            ("OneWay", Allow::Disruption),
            ("Lossy", Allow::DataLoss),
            ("Safe", Allow::Safe),
            ("OfALaterVersion", Allow::Safe),
        ] {
            assert_eq!(of(class, allowed), None, "{class}");
        }
    }
}
