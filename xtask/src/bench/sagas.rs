//! The benchmark of sagas, from the empty cluster to the numbers.

use std::path::Path;

use super::{
    effort::Effort,
    failure::say,
    orders::{STEPS, Steps},
    report::{Report, Subject},
    resting, rush,
    stage::{Cluster, Stage},
    steady,
};
use crate::Error;

/// Measures this number of sagas in each phase.
pub(super) async fn measure(cluster: &Cluster, program: &Path, sagas: u32, effort: Effort) -> Result<Report, Error> {
    let mut report = Report::new(Subject::Sagas { sagas, steps: STEPS });
    for steps in [Steps::Nothing, Steps::Tag] {
        say(steps.phase());
        // One droplet for each saga.
        let mut stage = Stage::start(cluster, sagas, effort).await?;
        let (mut operator, per_second, rows) = rush::measure(program, &mut stage, steps, sagas).await?;
        report.add(rows);
        let steady = steady::measure(&mut stage, steps, sagas, per_second / 2.0).await;
        report.add(operator.blamed(steady)?);
        operator.stop();
    }
    report.add(resting::measure(cluster, program, sagas, effort).await?);
    say("done");
    Ok(report)
}
