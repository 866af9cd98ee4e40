//! The operator ends at each place at which it could: before and after each write of the journal and each call, in both
//! directions. The next one goes on, and nothing is made twice or left behind.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::stage::{ABREAST, Stage, census, examples, failing, is_over};

/// The places, as the code names them.
const PLACES: [&str; 4] = ["journal-before", "journal-after", "call-before", "call-after"];

/// What came of ending the operator at one place.
enum Outcome {
    /// It ended there, and the next one brought the saga to its end.
    Survived,
    /// It does not pass the place so often.
    NotReached,
}

fn provision() -> Value {
    examples().into_iter().find(|(name, _)| name == "provision-web-3").unwrap().1
}

/// Ends the operator when it is at this place for the n-th time.
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
            // The last write and what follows from it are places too.
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

/// Ends the operator at each place in turn, from the first pass that counts on. How many there were.
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
async fn a_crash_at_any_place_in_either_direction_leaves_no_duplicate_and_no_leak() {
    let forward = crash_everywhere(&provision(), "Succeeded", &[0; 4]).await;
    // The way forward is the same in a saga that is undone in the end: only the way back is new.
    let both = crash_everywhere(&failing(&provision()), "RolledBack", &forward).await;
    let kill_points: usize = both.iter().sum();
    println!(
        "{kill_points} kill points ({PLACES:?}: {forward:?} forward, {both:?} with the way back): 0 duplicates, 0 leaks"
    );
    assert!(kill_points >= 40, "{both:?}");
}
