//! `withdraw`: removes a pending decision or a standing acceptance.

use clap::Args;

use super::{
    Error, Exit,
    cluster::{ClusterArgs, UserCluster},
    decide::{self, DecideArgs, DecisionKind, DecisionRequest},
    drift::DriftView,
    select::SelectArgs,
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
    let is_in_record = |drift: &DriftView| {
        drift.phase == DriftPhase::Accepted.name() && (drift.standing.is_none() || drift.is_moved_to_record())
    };
    let has_accepted = selected.iter().any(is_in_record);
    let drifts: Vec<_> = selected.into_iter().filter(|drift| drift.pending.is_some() || drift.stands()).collect();
    if drifts.is_empty() {
        let nothing = "no decision waits and no acceptance stands on these drifts: nothing can be withdrawn";
        let undo = if has_accepted { "; to undo an accepted value, change spec.desired of the record" } else { "" };
        return Err(Error::usage(format!("{nothing}{undo}")));
    }
    let annotations = decide::withdrawing();
    let input = args.select.input();
    DecisionRequest { verb: DecisionKind::Withdraw, annotations, drifts, input, effect: None, exit: Exit::Done }
        .carry_out(&cluster, &args.decide)
        .await
}
