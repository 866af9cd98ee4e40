//! `withdraw`: removes a pending decision or a standing acceptance.

use clap::Args;

use super::{
    Error, Exit,
    cluster::{ClusterArgs, UserCluster},
    decide::{self, DecideArgs, DecisionKind, DecisionRequest},
    drift::DriftView,
    prompt::Input,
    select::SelectArgs,
    text,
};
use crate::api::DriftPhase;

/// The flags of `withdraw`.
#[derive(Clone, Debug, Args)]
pub(super) struct WithdrawArgs {
    #[command(flatten)]
    select: SelectArgs,

    #[command(flatten)]
    decide: DecideArgs,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &WithdrawArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let selected = args.select.read(&cluster, None).await?;
    let (drifts, others): (Vec<_>, Vec<_>) =
        selected.into_iter().partition(|drift| drift.pending.is_some() || drift.stands());
    let mut exit = Exit::Done;
    // Other selections are about all drifts, and most of those have no decision.
    let is_typed = args.select.has_names() && matches!(args.select.input(), Input::Free);
    for drift in others.iter().filter(|_| is_typed) {
        text::note(&format!("drift.arcadia.cloud/{} not withdrawn: {}", drift.name, nothing("it", [drift])));
        exit = Exit::No;
    }
    if drifts.is_empty() && !is_typed {
        return Err(Error::Usage(nothing("these drifts", &others)));
    }
    let annotations = decide::withdrawing();
    let input = args.select.input();
    DecisionRequest { verb: DecisionKind::Withdraw, annotations, drifts, input, effect: None, exit }
        .carry_out(&cluster, &args.decide)
        .await
}

/// The reason why nothing can be withdrawn from these drifts, and the remedy.
fn nothing<'a>(subject: &str, drifts: impl IntoIterator<Item = &'a DriftView>) -> String {
    let is_in_record = |drift: &DriftView| {
        drift.phase == DriftPhase::Accepted.name() && (drift.standing.is_none() || drift.is_moved_to_record())
    };
    let has_accepted = drifts.into_iter().any(is_in_record);
    let undo = if has_accepted { "; to undo an accepted value, change spec.desired of the record" } else { "" };
    format!("no decision waits and no acceptance stands on {subject}: nothing can be withdrawn{undo}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::view;

    #[test]
    fn a_value_in_the_record_is_undone_in_the_record() {
        let of = |more| nothing("it", [&view("web-1", &more)]);
        let open = of(json!({}));
        assert_eq!(open, "no decision waits and no acceptance stands on it: nothing can be withdrawn");
        let accepted = of(json!({ "status": { "phase": "Accepted", "reason": "Accepted" } }));
        assert!(accepted.ends_with("change spec.desired of the record"), "{accepted}");
    }
}
