//! The setup of these tests: the demo's fleet, the saga of an example, and an operator with failpoints.

use std::path::Path;

use digitalocean_simulator::RateLimits;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::world::{Operator, World, eventually};

/// The number of concurrent tests: two cores are busy with them.
pub(crate) const ABREAST: usize = 4;
/// The number of tests that run at a time, each with that many stages.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Waits until few other tests run.
pub(crate) async fn turn() -> SemaphorePermit<'static> {
    TURNS.acquire().await.unwrap()
}

/// A short settle time for lost calls.
pub(crate) const ARGUMENTS: [&str; 6] =
    ["--settle-time", "4s", "--action-poll-interval", "200ms", "--sync-schedule", "5m"];

/// A cloud with the demo's fleet, and a saga to execute.
pub(crate) struct Stage {
    pub world: World,
    /// The inventory of the cloud before the saga.
    pub before: Value,
}

/// The end of a saga.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    pub phase: String,
    pub saga: Value,
    /// The inventory of the cloud now.
    pub inventory: Value,
}

impl Stage {
    pub(crate) async fn new(test: &str) -> Self {
        let limits = RateLimits::HIGH;
        let world = World::without_operator(test, limits).await;
        let fleet = include_str!("../simulator/fleets/demo.json");
        let fleet: Value = serde_json::from_str(fleet).unwrap();
        world.cloud.delete("droplets", crate::world::DROPLET).await.unwrap();
        for (collection, documents) in fleet.as_object().unwrap() {
            for document in documents.as_array().unwrap() {
                let mut document = document.clone();
                // A deleted droplet is removed from them, and no step restores that.
                if ["load_balancers", "firewalls"].contains(&collection.as_str()) {
                    document["droplet_ids"] = json!([]);
                }
                world.cloud.put(collection, document).await.unwrap();
            }
        }
        let before = world.cloud.inventory().await.unwrap();
        Self { world, before }
    }

    /// Starts the operator with these failpoints.
    pub(crate) fn start(&mut self, failpoints: &str) -> Operator {
        self.world.spawn_operator(&ARGUMENTS, &[("FAILPOINTS", failpoints)])
    }

    /// Creates a saga from its manifest.
    pub(crate) async fn order(&self, saga: &Value) {
        self.world.kubectl().apply(&saga.to_string()).await.unwrap();
    }

    /// Waits until the saga has ended or is stuck, and approves its steps.
    pub(crate) async fn end(&self, name: &str) -> End {
        let saga = eventually("the saga's end", || async {
            let saga = self.saga(name).await;
            if is_over(&saga) {
                return Ok(saga);
            }
            self.approve(&saga).await;
            Err(saga["status"].to_string())
        })
        .await;
        self.ended(saga).await
    }

    /// The end of a saga that has ended.
    pub(crate) async fn ended(&self, saga: Value) -> End {
        let phase = saga["status"]["phase"].as_str().unwrap().to_owned();
        End { phase, saga, inventory: self.world.cloud.inventory().await.unwrap() }
    }

    pub(crate) async fn saga(&self, name: &str) -> Value {
        self.world.get(&format!("saga/{name}")).await
    }

    /// Approves the steps that wait for it.
    pub(crate) async fn approve(&self, saga: &Value) {
        let steps = saga["spec"]["steps"].as_array().cloned().unwrap_or_default();
        for step in steps.iter().filter(|step| step["step"] == "Approval") {
            let annotation = format!("arcadia.cloud/approve-{}=jane", step["name"].as_str().unwrap());
            self.world
                .run(&["annotate", "saga", saga["metadata"]["name"].as_str().unwrap(), "--overwrite", &annotation])
                .await;
        }
    }

    /// Undoes a saga that has succeeded, and waits for the end.
    pub(crate) async fn roll_back(&self, name: &str) -> End {
        let undo = format!("undo-{name}");
        let saga = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": undo },
            "spec": { "kind": "rollback", "rollbackOf": { "name": name } },
        });
        self.order(&saga).await;
        self.end(&undo).await
    }

    /// The records of provisioned resources.
    pub(crate) async fn records(&self) -> String {
        self.world.run(&["get", "pr", "-o", "name"]).await
    }
}

/// Returns true if the saga waits for a person or has ended.
pub(crate) fn is_over(saga: &Value) -> bool {
    ["Succeeded", "RolledBack", "Failed", "Stuck"].iter().any(|phase| saga["status"]["phase"] == *phase)
}

/// The independent sagas of `examples/`, by name.
pub(crate) fn examples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("saga-"))
        .map(|path| {
            let saga: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (saga["metadata"]["name"].as_str().unwrap().to_owned(), saga)
        })
        .collect();
    examples.retain(|(_, saga)| saga["spec"]["kind"] != "rollback");
    examples.sort_by(|one, other| one.0.cmp(&other.0));
    examples
}

/// The same saga with a failing last step, so that all steps are undone.
pub(crate) fn failing(saga: &Value) -> Value {
    failing_after(saga, saga["spec"]["steps"].as_array().unwrap().len())
}

/// The same saga with a failing step after this many others.
pub(crate) fn failing_after(saga: &Value, steps: usize) -> Value {
    let mut saga = saga.clone();
    let all = saga["spec"]["steps"].as_array_mut().unwrap();
    all.truncate(steps);
    all.push(json!({"name": "fail", "step": "Fail", "with": {"message": "a test wants it to fail"}}));
    for step in all {
        // Many quick attempts: the tests examine the reaction to a failure, not the pauses.
        step["retry"] = json!({"attempts": 8, "minSeconds": 0, "maxSeconds": 1});
    }
    saga
}

/// The number of resources of each kind in the cloud.
pub(crate) fn census(inventory: &Value) -> Vec<(String, usize)> {
    let collections = inventory.as_object().unwrap().iter();
    collections.map(|(name, all)| (name.clone(), all.as_object().map_or(0, serde_json::Map::len))).collect()
}
