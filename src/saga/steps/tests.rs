//! Every step in the same tests: done, repeated, undone, and with any response lost.

mod changed_since;
mod classes;
mod cluster;
mod domains;
mod droplets;
mod journey;
mod records;
mod reverts;
mod rows;
mod service;
mod tags;
mod waiting;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use digitalocean_simulator::{Effect, Fault};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::{
    journey::{Crash, Journey},
    rows::{StepCase, rows},
    world::{DROPLET, StepWorld, difference},
};
use super::{ALL, named};
use crate::{
    api::saga::Values,
    saga::step::{AnyStep, Failure},
};

/// The maximum number of worlds at once, in all tests together: each uses a dozen file descriptors, and a process may
/// have only a thousand.
static WORLDS: Semaphore = Semaphore::const_new(48);

#[test]
fn each_step_in_the_reference_of_reverts_exists() {
    let reference = crate::digitalocean::revert::reference();
    let rows = reference.lines().filter(|line| line.starts_with("| `"));
    let steps: BTreeSet<&str> = rows
        .flat_map(|row| row.trim_end_matches(" |").rsplit('|').next().unwrap().split('`').skip(1).step_by(2))
        .collect();
    assert!(steps.contains("UpdateResource"), "{steps:?}");
    let unknown: Vec<_> = steps.into_iter().filter(|step| named(step).is_none()).collect();
    assert_eq!(unknown, [""; 0]);
}

/// A row with its setup. A holder of one trial must not wait for another.
struct Trial {
    row: &'static StepCase,
    world: StepWorld,
    parameters: Value,
    before: Value,
    _permit: SemaphorePermit<'static>,
}

impl Trial {
    async fn of(row: &'static StepCase) -> Self {
        let permit = WORLDS.acquire().await.unwrap();
        let world = StepWorld::start().await;
        let parameters = (row.set_up)(&world).await;
        let before = world.inventory().await;
        world.control.reset_requests().await.unwrap();
        Self { row, world, parameters, before, _permit: permit }
    }

    fn step(&self) -> &'static dyn AnyStep {
        named(self.row.step).unwrap_or_else(|| panic!("there is no step {}", self.row.step))
    }

    fn journey(&self) -> Journey<'_> {
        Journey::new(&self.world, self.step(), &self.parameters)
    }

    /// The difference from the initial account.
    async fn difference(&self) -> Value {
        difference(&self.before, &self.world.inventory().await)
    }

    fn expect(&self, result: Result<Values, Failure>) -> Values {
        match (result, self.row.fails) {
            (Ok(output), false) => output,
            (Err(_), true) => Values::new(),
            (result, _) => panic!("{}: {result:?}", self.row),
        }
    }

    /// Undoes the step. The initial state is restored, unless the step reports that it cannot be undone.
    async fn undo(&self, journey: &mut Journey<'_>, what: &str) {
        let undone = journey.undo().await;
        let left = self.difference().await;
        let is_irreversible = self.step().check(&self.parameters).unwrap().is_some();
        if is_irreversible && left != nothing() {
            assert!(matches!(undone, Err(Failure::Permanent(_))), "{}: {what}: {undone:?}", self.row);
        } else {
            assert_eq!((undone, left), (Ok(()), nothing()), "{}: {what}", self.row);
        }
    }
}

/// No difference.
fn nothing() -> Value {
    Value::Object(Values::new())
}

/// Runs all of these concurrently.
async fn each<T, F: Future<Output = ()>>(of: impl IntoIterator<Item = T>, test: impl Fn(T) -> F) {
    join_all(of.into_iter().map(test)).await;
}

/// The calls of a step without a fault.
struct Ideal {
    difference: Value,
    calls: usize,
    /// The number of changes by method.
    changes: BTreeMap<String, u32>,
    /// The number of reads.
    questions: BTreeMap<String, u32>,
}

impl Ideal {
    async fn of(row: &'static StepCase) -> Self {
        let trial = Trial::of(row).await;
        let mut journey = trial.journey();
        trial.expect(journey.go().await);
        let mut changes = calls(&trial.world).await;
        let questions = changes.remove_entry("GET").into_iter().collect();
        Self { difference: trial.difference().await, calls: journey.calls, changes, questions }
    }

    /// Every call of the step, lost before and after it is made.
    fn crashes(&self) -> impl Iterator<Item = Crash> + use<> {
        (0..self.calls).flat_map(|call| [Crash::Before(call), Crash::After(call)])
    }
}

/// Each of these faults on every change.
fn faults(changes: &BTreeMap<String, u32>, effects: &[Effect]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (method, count) in changes {
        for after in 0..*count {
            let fault = |effect: &Effect| Fault::new("*", effect.clone()).method(method).after(after).times(1);
            faults.extend(effects.iter().map(fault));
        }
    }
    faults
}

fn status(status: u16, html: bool) -> Effect {
    Effect::Status { status, retry_after: (status == 429).then_some(1), html }
}

/// All temporary faults of a change.
fn passing() -> Vec<Effect> {
    vec![
        status(500, false),
        status(503, true),
        status(429, false),
        status(401, false),
        status(404, true),
        Effect::Reset,
        Effect::ResetAfter,
        Effect::Latency { milliseconds: 20 },
        Effect::Truncate,
        Effect::WrongContent,
        Effect::Huge { bytes: 50_000_000 },
        Effect::FailAction,
    ]
}

/// Permanent refusals of a change.
fn refusals() -> Vec<Effect> {
    vec![status(403, false), Effect::Redirect { location: "http://192.0.2.1/".to_owned() }]
}

/// Misleading responses to a read, one of each kind, since the client's own tests have them all.
fn misleading() -> Vec<Effect> {
    vec![
        status(403, false),
        status(404, true),
        Effect::Truncate,
        Effect::WrongContent,
        Effect::EmptyList,
        Effect::LagCreates { seconds: 3600 },
    ]
}

/// The number of calls by method.
async fn calls(world: &StepWorld) -> BTreeMap<String, u32> {
    let mut calls = BTreeMap::new();
    for (request, count) in world.control.requests().await.unwrap().counts {
        let (method, _) = request.split_once(' ').unwrap();
        *calls.entry(method.to_owned()).or_default() += u32::try_from(count).unwrap();
    }
    calls
}

async fn changes(world: &StepWorld) -> BTreeMap<String, u32> {
    let mut changes = calls(world).await;
    changes.remove("GET");
    changes
}

/// The number of changes by method that undo a row; none if it cannot be undone.
async fn changes_of_undoing(row: &'static StepCase) -> BTreeMap<String, u32> {
    let trial = Trial::of(row).await;
    let mut journey = trial.journey();
    trial.expect(journey.go().await);
    trial.world.control.reset_requests().await.unwrap();
    if journey.undo().await.is_err() { BTreeMap::new() } else { changes(&trial.world).await }
}

#[test]
fn every_step_is_in_the_table() {
    let missing: Vec<_> =
        ALL.iter().map(|step| step.name()).filter(|name| !rows().any(|row| row.step == *name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_step_has_a_name_of_its_own() {
    let mut names: Vec<_> = ALL.iter().map(|step| step.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
}

#[test]
fn all_that_a_step_takes_and_gives_is_described() {
    fn undescribed(at: &str, schema: &Value, found: &mut Vec<String>) {
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            let at = format!("{at}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                found.push(at.clone());
            }
            undescribed(&at, property, found);
        }
        for part in ["anyOf", "oneOf", "allOf"] {
            for schema in schema[part].as_array().into_iter().flatten() {
                undescribed(at, schema, found);
            }
        }
        if schema["items"].is_object() {
            undescribed(&format!("{at}[]"), &schema["items"], found);
        }
    }
    let mut found = Vec::new();
    for step in ALL {
        for (what, schema) in [("parameters", step.parameters()), ("output", step.output())] {
            let at = format!("{} {what}", step.name());
            if schema["description"].as_str().is_none_or(str::is_empty) {
                found.push(at.clone());
            }
            undescribed(&at, &schema, &mut found);
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn what_the_cloud_or_the_cluster_would_refuse_is_refused_before_anything_is_done() {
    let volume = |more: Value| {
        let mut parameters = json!({ "name": "data", "region": "nyc3", "size_gigabytes": 1 });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("CreateVolume", parameters)
    };
    let record = |name: &str| {
        let parameters = json!({ "name": name, "kind": "Droplet", "id": "7", "desired": {} });
        [("RecordProvisioned", parameters), ("UnrecordProvisioned", json!({ "name": name }))]
    };
    let backups = |hour: u8| {
        let policy = json!({ "plan": "daily", "hour": hour });
        ("EnableBackups", json!({ "droplet_provider_id": "7", "backup_policy": policy }))
    };
    let is_taken = |(step, parameters): &(&str, Value)| {
        let step = named(step).unwrap();
        jsonschema::is_valid(&step.parameters(), parameters) && step.check(parameters).is_ok()
    };
    let wrong = [
        volume(json!({ "name": "Data" })),
        volume(json!({ "name": "1-data" })),
        volume(json!({ "tags": ["no spaces"] })),
        volume(json!({ "filesystem_type": "ntfs" })),
        volume(json!({ "filesystem_label": "data" })),
        volume(json!({ "filesystem_type": "xfs", "filesystem_label": "more-than-12-x" })),
        backups(5),
    ];
    let wrong_names = ["Web", "web_1", "-web", "web.", "web..1", ""].map(record);
    for call in wrong.iter().chain(wrong_names.iter().flatten()) {
        assert!(!is_taken(call), "{call:?}");
    }
    let right = [
        volume(
            json!({ "name": "data-1", "tags": ["a:b"], "filesystem_type": "ext4", "filesystem_label": "fourteen-and-2" }),
        ),
        backups(20),
    ];
    let right_names = ["web", "web-1.example.com", "1"].map(record);
    for call in right.iter().chain(right_names.iter().flatten()) {
        assert!(is_taken(call), "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parameters_of_every_row_fit_the_schema() {
    each(rows(), async |row| {
        let trial = Trial::of(row).await;
        let schema = jsonschema::validator_for(&trial.step().parameters()).unwrap();
        let errors: Vec<_> = schema.iter_errors(&trial.parameters).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{row}");
        trial.step().check(&trial.parameters).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_does_what_it_is_for_and_gives_what_it_says() {
    each(rows(), async |row| {
        let trial = Trial::of(row).await;
        let output = trial.expect(trial.journey().go().await);
        if !row.fails {
            let schema = jsonschema::validator_for(&trial.step().output()).unwrap();
            let given = Value::Object(output.clone());
            let errors: Vec<_> = schema.iter_errors(&given).map(|error| error.to_string()).collect();
            assert_eq!(errors, [""; 0], "{row}");
        }
        (row.check)(&trial.world, output).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_changes_nothing_says_so() {
    each(rows(), async |row| {
        let trial = Trial::of(row).await;
        trial.expect(trial.journey().go().await);
        if trial.step().is_passive() {
            assert_eq!(trial.world.changes().await, 0, "{row}");
            assert_eq!(trial.difference().await, nothing(), "{row}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_found_and_not_done_again() {
    each(rows(), async |row| {
        let trial = Trial::of(row).await;
        let mut journey = trial.journey();
        let output = trial.expect(journey.go().await);
        let changes = trial.world.changes().await;
        let did = trial.difference().await;
        assert_eq!(trial.expect(journey.resume().await), output, "{row}");
        assert_eq!(trial.world.changes().await, changes, "{row}");
        assert_eq!(trial.difference().await, did, "{row}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_crashes_at_any_call_does_the_step_once() {
    each(rows(), async |row| {
        let ideal = Ideal::of(row).await;
        each(ideal.crashes(), async |crash| {
            let trial = Trial::of(row).await;
            trial.expect(trial.journey().with(crash).go().await);
            assert_eq!(trial.difference().await, ideal.difference, "{row}: {crash:?}");
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_with_any_temporary_fault_is_done_once() {
    each(rows(), async |row| {
        let ideal = Ideal::of(row).await;
        each(faults(&ideal.changes, &passing()), async |fault| {
            let trial = Trial::of(row).await;
            trial.world.control.inject(fault.clone()).await.unwrap();
            let result = trial.journey().go().await;
            assert_eq!(result.is_err(), row.fails, "{row}: {fault:?}: {result:?}");
            assert_eq!(trial.difference().await, ideal.difference, "{row}: {fault:?}");
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misleading_read_duplicates_nothing_and_leaves_nothing_behind() {
    each(rows(), async |row| {
        let ideal = Ideal::of(row).await;
        each(faults(&ideal.questions, &misleading()), async |fault| {
            let trial = Trial::of(row).await;
            trial.world.control.inject(fault.clone()).await.unwrap();
            let mut journey = trial.journey();
            let result = journey.go().await;
            if result.is_ok() {
                assert_eq!(trial.difference().await, ideal.difference, "{row}: {fault:?}");
            }
            trial.world.control.clear_faults().await.unwrap();
            trial.undo(&mut journey, &format!("{fault:?}: {result:?}")).await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_leaves_earlier_changes_to_be_undone() {
    each(rows(), async |row| {
        let ideal = Ideal::of(row).await;
        each(faults(&ideal.changes, &refusals()), async |fault| {
            let trial = Trial::of(row).await;
            trial.world.control.inject(fault.clone()).await.unwrap();
            let mut journey = trial.journey();
            let result = journey.go().await;
            assert!(matches!(result, Err(Failure::Permanent(_))), "{row}: {fault:?}: {result:?}");
            trial.undo(&mut journey, &format!("{fault:?}")).await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undone_once_and_twice_leaves_no_difference_or_says_that_it_cannot_be() {
    each(rows(), async |row| {
        let trial = Trial::of(row).await;
        let mut journey = trial.journey();
        trial.expect(journey.go().await);
        for time in ["once", "twice"] {
            trial.undo(&mut journey, time).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_what_was_not_done_changes_nothing() {
    each(rows(), async |row| {
        let trial = Trial::of(row).await;
        let mut journey = trial.journey();
        journey.begin().await.unwrap();
        assert_eq!(journey.undo().await, Ok(()), "{row}");
        assert_eq!(trial.world.changes().await, 0, "{row}");
        assert_eq!(trial.difference().await, nothing(), "{row}");
        let mut never_begun = trial.journey();
        assert_eq!(never_begun.undo().await, Ok(()), "{row}");
        assert_eq!(trial.world.changes().await, 0, "{row}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_that_is_gone_is_named_and_there_is_nothing_to_undo() {
    each(rows(), async |row| {
        let trial = Trial::of(row).await;
        if row.fails || trial.parameters["droplet_provider_id"] != DROPLET {
            return;
        }
        let mut journey = trial.journey();
        journey.begin().await.unwrap();
        trial.world.control.delete("droplets", DROPLET).await.unwrap();
        match trial.journey().go().await {
            // It wanted exactly that, or works on another resource.
            Ok(_) => return,
            Err(Failure::Permanent(why)) => assert!(why.contains(DROPLET), "{row}: {why}"),
            Err(failure) => panic!("{row}: {failure:?}"),
        }
        let changes = trial.world.changes().await;
        assert_eq!(journey.undo().await, Ok(()), "{row}");
        assert_eq!(trial.world.changes().await, changes, "{row}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_crashed_at_any_call_is_undone() {
    each(rows(), async |row| {
        each(Ideal::of(row).await.crashes(), async |crash| {
            let trial = Trial::of(row).await;
            let mut journey = trial.journey().with(crash);
            let ended = journey.go_until_crash().await;
            assert!(row.fails || ended == Ok(true), "{row}: {crash:?}: {ended:?}");
            trial.undo(&mut journey, &format!("{crash:?}")).await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_undone_despite_any_temporary_fault() {
    each(rows(), async |row| {
        each(faults(&changes_of_undoing(row).await, &passing()), async |fault| {
            let trial = Trial::of(row).await;
            let mut journey = trial.journey();
            trial.expect(journey.go().await);
            trial.world.control.inject(fault.clone()).await.unwrap();
            trial.undo(&mut journey, &format!("{fault:?}")).await;
        })
        .await;
    })
    .await;
}
