//! Every example: executed normally; with every response lost once; with a failure at each call in turn; and the same
//! with each undo failing once.

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::stage::{ABREAST, End, Stage, census, examples, failing_after, is_over, turn};

/// Returns true if the saga can be undone.
fn is_reversible(saga: &Value) -> bool {
    !saga["spec"]["steps"].as_array().unwrap().iter().any(|step| step["irreversible"] == true)
}

/// Executes an example with these failpoints.
async fn carry_out(test: &str, name: &str, saga: &Value, failpoints: &str) -> (Stage, End) {
    let mut stage = Stage::new(test).await;
    stage.world.operator = Some(stage.start(failpoints));
    stage.order(saga).await;
    let end = stage.end(name).await;
    (stage, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_succeeds_and_can_be_undone_unless_it_says_otherwise() {
    let _turn = turn().await;
    let all = stream::iter(examples()).map(|(name, saga)| async move {
        let (stage, end) = carry_out(&format!("happy-{name}"), &name, &saga, "").await;
        assert_eq!(end.phase, "Succeeded", "{name}: {}", end.saga["status"]);
        assert_ne!(end.inventory, stage.before, "{name} did nothing");
        if is_reversible(&saga) {
            let undone = stage.roll_back(&name).await;
            assert_eq!(undone.phase, "Succeeded", "undoing {name}: {}", undone.saga["status"]);
            assert_eq!(undone.inventory, stage.before, "undoing {name}");
            assert_eq!(stage.records().await, "", "undoing {name}");
        }
    });
    all.buffer_unordered(ABREAST).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_loses_every_first_response_does_nothing_twice() {
    let _turn = turn().await;
    // Of every two responses, the first is lost: each change is made, looked up or repeated, and undone in the same
    // way.
    let lost = format!("answer-lost={}", ["1*return", "1*off"].repeat(60).join("->"));
    let all = stream::iter(examples()).map(|(name, saga)| {
        let lost = lost.clone();
        async move {
            let (_, happy) = carry_out(&format!("heard-{name}"), &name, &saga, "").await;
            let mut patient = saga.clone();
            for step in patient["spec"]["steps"].as_array_mut().unwrap() {
                step["retry"] = serde_json::json!({"attempts": 20, "minSeconds": 0, "maxSeconds": 1});
            }
            let (stage, end) = carry_out(&format!("lost-{name}"), &name, &patient, &lost).await;
            assert_eq!(end.phase, "Succeeded", "{name}: {}", end.saga["status"]);
            assert_eq!(census(&end.inventory), census(&happy.inventory), "{name}");
            if is_reversible(&saga) {
                let undone = stage.roll_back(&name).await;
                assert_eq!(undone.phase, "Succeeded", "undoing {name}: {}", undone.saga["status"]);
                assert_eq!(undone.inventory, stage.before, "undoing {name}");
            }
        }
    });
    all.buffer_unordered(ABREAST).collect::<Vec<()>>().await;
}

/// Fails each call of each example in turn, until one runs without a failure. Returns the number of failures.
async fn fail_each_call(test: &str, undo_fails: &str) -> usize {
    let all = stream::iter(examples()).map(|(name, saga)| async move {
        let mut failures = 0;
        loop {
            let failpoints = format!("call-fails={failures}*off->1*return;{undo_fails}");
            // Even without a failed call, the saga itself fails.
            let steps = saga["spec"]["steps"].as_array().unwrap();
            let reversible = steps.iter().take_while(|step| step["irreversible"] != true).count();
            let saga = failing_after(&saga, reversible);
            let (stage, end) = carry_out(&format!("{test}-{failures}-{name}"), &name, &saga, &failpoints).await;
            assert!(is_over(&end.saga));
            assert_eq!(end.phase, "RolledBack", "{name}, call {failures}: {}", end.saga["status"]);
            assert_eq!(end.inventory, stage.before, "{name}, call {failures}");
            assert_eq!(stage.records().await, "", "{name}, call {failures}");
            let message = end.saga["status"]["conditions"][0]["message"].as_str().unwrap();
            if message.contains("step \"fail\" failed") {
                return failures;
            }
            failures += 1;
        }
    });
    all.buffer_unordered(ABREAST).collect::<Vec<usize>>().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_call_is_undone_without_a_trace() {
    let _turn = turn().await;
    let failures = fail_each_call("fails", "").await;
    println!("{failures} calls failed, one at a time, and nothing was left of any");
    assert!(failures >= 10, "{failures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_call_is_undone_even_if_each_undo_fails_once() {
    let _turn = turn().await;
    let once = format!("undo-fails={}", ["1*return", "1*off"].repeat(60).join("->"));
    let failures = fail_each_call("undo-fails", &once).await;
    assert!(failures >= 10, "{failures}");
}
