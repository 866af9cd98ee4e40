//! `withdraw`: removes a pending decision or a standing acceptance.

use clap::Args;

use super::{
    Error, Exit,
    cluster::{ClusterArgs, UserCluster},
    decide::{self, DecideArgs, DecisionKind, DecisionRequest},
    select::SelectArgs,
};

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
    let mut drifts = args.select.read(&cluster, None).await?;
    drifts.retain(|drift| drift.pending.is_some() || drift.stands());
    if drifts.is_empty() {
        return Err(Error::usage(
            "no decision waits and no acceptance stands on these drifts: nothing can be withdrawn. To undo an accepted \
             value, change spec.desired of the record",
        ));
    }
    let annotations = decide::withdrawing();
    let input = args.select.input();
    DecisionRequest { verb: DecisionKind::Withdraw, annotations, drifts, input, effect: None, exit: Exit::Done }
        .carry_out(&cluster, &args.decide)
        .await
}
