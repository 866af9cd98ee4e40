//! The operator crashes at every possible point: before and after each write of the journal and each call, in both
//! directions. The next process resumes, and nothing is created twice or left behind.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::stage::{ABREAST, Stage, census, examples, failing, is_over, turn};

/// The failpoints, as the code names them.
const PLACES: [&str; 4] = ["journal-before", "journal-after", "call-before", "call-after"];

/// The result of a crash at one point.
enum Outcome {
    /// The operator crashed, and the next process finished the saga.
    Survived,
    /// The saga passes the point less often.
    NotReached,
}

fn provision() -> Value {
    examples().into_iter().find(|(name, _)| name == "provision-web-3").unwrap().1
}

/// Crashes the operator at the n-th pass of this point.
async fn crash(place: &str, passes: usize, saga: &Value, phase: &str, wanted: &[(String, usize)]) -> Outcome {
    let what = format!("{place} {passes} {phase}");
    let name = saga["metadata"]["name"].as_str().unwrap();
    let mut stage = Stage::new(&format!("crash-{place}-{passes}-{}", phase.to_lowercase())).await;
    let mut operator = stage.start(&format!("{place}={passes}*off->1*return"));
    stage.order(saga).await;
    let mut crashed = false;
    for _ in 0..600 {
        if operator.ended().is_some() {
            crashed = true;
            break;
        }
        if is_over(&stage.saga(name).await) {
            // The last write and its consequences are points too.
            tokio::time::sleep(Duration::from_millis(300)).await;
            crashed = operator.ended().is_some();
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(operator);
    if crashed {
        stage.world.restart_operator();
    }
    let end = stage.end(name).await;
    assert_eq!(end.phase, phase, "{what}: {}", end.saga["status"]);
    assert_eq!(census(&end.inventory), wanted, "{what}: {}", end.saga["status"]);
    if phase == "RolledBack" {
        assert_eq!(end.inventory, stage.before, "{what}");
        assert_eq!(stage.records().await, "", "{what}");
    } else {
        assert_eq!(stage.records().await, "provisionedresource.arcadia.cloud/web-3", "{what}");
    }
    if crashed { Outcome::Survived } else { Outcome::NotReached }
}

/// Crashes the operator at each point in turn, starting at the given pass. Returns the number of crashes.
async fn crash_everywhere(saga: &Value, phase: &str, first: &[usize; 4]) -> [usize; 4] {
    let mut calm = Stage::new(&format!("calm-{}", phase.to_lowercase())).await;
    calm.world.operator = Some(calm.start(""));
    calm.order(saga).await;
    let end = calm.end(saga["metadata"]["name"].as_str().unwrap()).await;
    assert_eq!(end.phase, phase, "{}", end.saga["status"]);
    let wanted = census(&end.inventory);
    let mut reached = [0; 4];
    for ((place, first), reached) in PLACES.iter().zip(first).zip(&mut reached) {
        let mut passes = *first;
        'place: loop {
            let wanted = &wanted;
            let outcomes: Vec<_> = stream::iter(passes..passes + ABREAST)
                .map(|passes| crash(place, passes, saga, phase, wanted))
                .buffered(ABREAST)
                .collect()
                .await;
            for outcome in outcomes {
                match outcome {
                    Outcome::Survived => passes += 1,
                    Outcome::NotReached => break 'place,
                }
            }
        }
        *reached = passes;
    }
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_in_either_direction_leaves_no_duplicate_and_no_leak() {
    let _turn = turn().await;
    let forward = crash_everywhere(&provision(), "Succeeded", &[0; 4]).await;
    // The forward direction of a saga that rolls back is the same, so only the backward direction is new.
    let both = crash_everywhere(&failing(&provision()), "RolledBack", &forward).await;
    let kill_points: usize = both.iter().sum();
    println!(
        "{kill_points} kill points ({PLACES:?}: {forward:?} forward, {both:?} with the way back): 0 duplicates, 0 leaks"
    );
    assert!(kill_points >= 40, "{both:?}");
}
