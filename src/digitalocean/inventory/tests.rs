//! The inventory against a small cloud whose lists can lag, lie and fail.

use super::*;
use crate::digitalocean::fake::{Answer, Fake};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);

/// A cloud of one kind: what its list shows, and what exists.
#[derive(Default)]
struct Cloud {
    listed: BTreeMap<String, Value>,
    existing: BTreeMap<String, Value>,
    /// Answers to the next direct questions, before the truth.
    direct: Vec<u16>,
    list_fails: bool,
    list_takes: Duration,
}

struct World {
    cloud: Arc<Mutex<Cloud>>,
    server: Fake,
    inventory: Inventory,
}

fn kind(name: &str) -> Kind {
    Kind::named(name).unwrap()
}

fn key(id: &str) -> ResourceKey {
    ResourceKey::new(kind("VPC"), id)
}

/// VPCs with ids that end in these digits.
fn id(number: u32) -> String {
    format!("5a4981aa-9653-4bd1-bef5-{number:012}")
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<Arc<str>> {
    numbers.into_iter().map(|number| id(number).into()).collect()
}

impl World {
    /// A cloud with these VPCs.
    async fn with(numbers: impl IntoIterator<Item = u32>) -> Self {
        let cloud: Arc<Mutex<Cloud>> = Arc::default();
        let here = Arc::clone(&cloud);
        let server = Fake::start(move |path| here.lock().unwrap().answer(path)).await;
        let settings = Settings { absence_delay: Duration::from_millis(20), ..Settings::default() };
        let inventory = Inventory::new(server.client(), settings);
        let world = Self { cloud, server, inventory };
        for number in numbers {
            world.set(number, "first");
        }
        world
    }

    fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap()
    }

    fn set(&self, number: u32, name: &str) {
        let document = json!({"id": id(number), "name": name});
        self.cloud().listed.insert(id(number), document.clone());
        self.cloud().existing.insert(id(number), document);
    }

    fn delete(&self, number: u32) {
        self.cloud().listed.remove(&id(number));
        self.cloud().existing.remove(&id(number));
    }

    async fn sync(&self, numbers: impl IntoIterator<Item = u32>) -> Result<Vec<Arc<str>>, SyncError> {
        let mut changed = self.inventory.sync(kind("VPC"), ids(numbers)).await?.changed;
        changed.sort();
        Ok(changed)
    }

    fn look(&self, number: u32) -> Observation {
        self.inventory.look(&key(&id(number)), DAY)
    }

    fn name(&self, number: u32) -> String {
        let Observation::Present(document) = self.look(number) else { return "none".into() };
        let document: Value = serde_json::from_str(&document).unwrap();
        document["name"].as_str().unwrap().to_owned()
    }

    fn direct_questions(&self) -> usize {
        self.server.asked().iter().filter(|path| path.starts_with("/v2/vpcs/")).count()
    }
}

impl Cloud {
    fn answer(&mut self, path: &str) -> Answer {
        if let Some(id) = path.strip_prefix("/v2/vpcs/") {
            let told = if self.direct.is_empty() { 200 } else { self.direct.remove(0) };
            return match (told, self.existing.get(id)) {
                (200, Some(document)) => Answer::json(200, &json!({"vpc": document})),
                (200, None) => Answer::json(404, &json!({"id": "not_found"})),
                (status, _) => Answer::json(status, &json!({"id": "error", "message": "no"})),
            };
        }
        std::thread::sleep(self.list_takes);
        if self.list_fails {
            return Answer::text(403, "x: y", "");
        }
        let rows: Vec<_> = self.listed.values().collect();
        Answer::json(200, &json!({"vpcs": rows, "links": {}, "meta": {"total": rows.len()}}))
    }
}

#[tokio::test]
async fn a_sync_says_what_is_new_and_then_only_what_changed() {
    let world = World::with(1..=3).await;
    assert_eq!(world.look(1), Observation::Unknown(UnknownReason::NotYet));
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([1, 2]));
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([]));
    world.set(2, "second");
    world.set(3, "second");
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([2]));
    assert_eq!((world.name(1), world.name(2)), ("first".into(), "second".into()));
    // Nobody recorded the third: its document is not kept.
    assert_eq!(world.look(3), Observation::Unknown(UnknownReason::NotYet));
    assert_eq!(world.inventory.snapshots()[0].resources, 2);
    assert_eq!(world.server.asked().len(), 3);
}

#[tokio::test]
async fn with_nothing_recorded_nothing_is_asked() {
    let world = World::with(1..=3).await;
    world.sync([]).await.unwrap();
    assert_eq!(world.server.asked().len(), 0);
}

#[tokio::test]
async fn a_resource_is_gone_only_when_two_questions_said_so() {
    let world = World::with(1..=2).await;
    world.sync([1, 2]).await.unwrap();
    world.delete(2);
    let start = Instant::now();
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([2]));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(world.look(2), Observation::Gone);
    assert_eq!(world.direct_questions(), 2);
    // Known to be gone and still not listed: not asked again.
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([]));
    assert_eq!((world.look(2), world.direct_questions()), (Observation::Gone, 2));
    world.set(2, "back");
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([2]));
    assert_eq!(world.name(2), "back");
}

#[tokio::test]
async fn absence_from_the_list_is_not_deletion() {
    let world = World::with(1..=2).await;
    world.sync([1, 2]).await.unwrap();
    world.cloud().listed.remove(&id(2));
    world.cloud().existing.insert(id(2), json!({"id": id(2), "name": "asked"}));
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([2]));
    assert_eq!((world.name(2), world.direct_questions()), ("asked".into(), 1));
    // A 404 by chance does not make it gone either.
    world.cloud().direct = vec![404];
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([]));
    assert_eq!(world.name(2), "asked");
}

#[tokio::test]
async fn a_question_that_fails_leaves_that_resource_unknown_and_the_others_known() {
    let world = World::with(1..=2).await;
    world.sync([1, 2]).await.unwrap();
    world.delete(2);
    world.cloud().direct = vec![404, 403];
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([2]));
    assert!(matches!(world.look(2), Observation::Unknown(UnknownReason::Failed { .. })), "{:?}", world.look(2));
    assert_eq!(world.name(1), "first");
}

#[tokio::test]
async fn a_list_that_leaves_out_many_is_doubted() {
    let world = World::with(1..=30).await;
    world.sync(1..=30).await.unwrap();
    world.cloud().listed.clear();
    let error = world.sync(1..=30).await.unwrap_err();
    assert!(matches!(error, SyncError::Incomplete { missing: 30, .. }) && error.retryable(), "{error}");
    assert_eq!((world.direct_questions(), world.name(30)), (1, "first".into()));
    let info = &world.inventory.snapshots()[0];
    assert_eq!((info.resources, info.last_error.as_ref().unwrap().0), (30, "incomplete_list"));
}

#[tokio::test]
async fn many_that_are_really_gone_are_gone() {
    let world = World::with(1..=30).await;
    world.sync(1..=30).await.unwrap();
    world.cloud().listed.clear();
    world.cloud().existing.clear();
    assert_eq!(world.sync(1..=30).await.unwrap().len(), 30);
    assert_eq!((world.look(1), world.look(30)), (Observation::Gone, Observation::Gone));
    assert_eq!(world.direct_questions(), 63);
}

#[tokio::test]
async fn a_failed_sync_keeps_what_was_known_until_it_is_too_old() {
    let world = World::with(1..=1).await;
    world.sync([1]).await.unwrap();
    world.cloud().list_fails = true;
    let error = world.sync([1, 2]).await.unwrap_err();
    assert!(error.to_string().contains("vpc:read"), "{error}");
    assert_eq!(world.name(1), "first");
    assert!(matches!(world.look(2), Observation::Unknown(UnknownReason::Failed { .. })));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let stale = world.inventory.look(&key(&id(1)), Duration::from_millis(5));
    assert!(
        matches!(&stale, Observation::Unknown(UnknownReason::Stale { error: Some(error), .. }) if error.contains("403")),
        "{stale:?}"
    );
    world.cloud().list_fails = false;
    world.sync([1]).await.unwrap();
    assert_eq!(world.inventory.snapshots()[0].last_error, None);
}

#[tokio::test]
async fn a_fetch_asks_at_once_and_is_kept() {
    let world = World::with(1..=1).await;
    let found = world.inventory.fetch(&key(&id(1))).await;
    assert_eq!((matches!(found, Observation::Present(_)), world.name(1)), (true, "first".into()));
    assert_eq!(world.server.asked().len(), 1);
    // The list says the same in the same words.
    assert_eq!(world.sync([1]).await.unwrap(), ids([]));
    world.cloud().direct = vec![403];
    let failed = world.inventory.fetch(&key(&id(1))).await;
    assert!(matches!(failed, Observation::Unknown(UnknownReason::Failed { .. })));
    assert_eq!(world.name(1), "first");
    world.cloud().direct = vec![404];
    assert!(matches!(world.inventory.fetch(&key(&id(1))).await, Observation::Present(_)));
    world.delete(1);
    assert_eq!((world.inventory.fetch(&key(&id(1))).await, world.look(1)), (Observation::Gone, Observation::Gone));
    world.inventory.forget(&key(&id(1)));
    assert_eq!(world.look(1), Observation::Unknown(UnknownReason::NotYet));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_during_a_sync_is_newer_than_the_list() {
    let world = World::with(1..=1).await;
    world.sync([1]).await.unwrap();
    world.cloud().list_takes = Duration::from_millis(150);
    let inventory = world.inventory.clone();
    let sync = tokio::spawn(async move { inventory.sync(kind("VPC"), ids([1])).await });
    // The list is answered with the old name; the fetch waits for that and gets the new one.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let cloud = Arc::clone(&world.cloud);
    let fetch = tokio::spawn({
        let inventory = world.inventory.clone();
        async move {
            cloud.lock().unwrap().existing.insert(id(1), json!({"id": id(1), "name": "newer"}));
            inventory.fetch(&key(&id(1))).await
        }
    });
    fetch.await.unwrap();
    assert_eq!(sync.await.unwrap().unwrap().listed, 1);
    assert_eq!(world.name(1), "newer");
}

#[tokio::test]
async fn records_are_listed_by_the_domains_that_recorded_ids_name() {
    let server = Fake::start(|path| match path {
        "/v2/domains/a.com/records?page=1&per_page=200" => {
            Answer::json(200, &json!({"domain_records": [{"id": 1}, {"id": 2}], "meta": {"total": 2}}))
        }
        _ => Answer::json(404, &json!({"id": "not_found"})),
    })
    .await;
    let settings = Settings { absence_delay: Duration::from_millis(1), ..Settings::default() };
    let inventory = Inventory::new(server.client(), settings);
    let records = kind("DomainRecord");
    let wanted: Vec<Arc<str>> = ["a.com/1", "a.com/9", "b.com/1"].map(Arc::from).to_vec();
    let changes = inventory.sync(records, wanted).await.unwrap();
    assert_eq!((changes.changed.len(), changes.listed), (3, 2));
    let look = |id: &str| inventory.look(&ResourceKey::new(records, id), DAY);
    assert_eq!(look("a.com/1"), Observation::Present(r#"{"id":1}"#.into()));
    assert_eq!((look("a.com/9"), look("b.com/1")), (Observation::Gone, Observation::Gone));
    assert_eq!(look("a.com/2"), Observation::Unknown(UnknownReason::NotYet));
}

#[tokio::test]
async fn images_that_no_list_shows_are_asked_for_without_doubting_the_list() {
    let server = Fake::start(|path| match path {
        "/v2/images?private=true&page=1&per_page=200" => {
            Answer::json(200, &json!({"images": [], "meta": {"total": 0}}))
        }
        path => Answer::json(200, &json!({"image": {"slug": path.rsplit('/').next()}})),
    })
    .await;
    let inventory = Inventory::new(server.client(), Settings::default());
    let wanted: Vec<Arc<str>> = (0..30).map(|number| format!("ubuntu-{number}").into()).collect();
    let changes = inventory.sync(kind("Image"), wanted).await.unwrap();
    assert_eq!(changes.changed.len(), 30);
}

#[tokio::test]
async fn a_sync_that_is_given_up_changes_nothing() {
    let world = World::with(1..=2).await;
    world.sync([1, 2]).await.unwrap();
    world.delete(2);
    let long = Inventory(Arc::new(Shared {
        client: world.server.client(),
        settings: Settings { absence_delay: DAY, ..Settings::default() },
        kinds: Mutex::new(std::mem::take(&mut *world.inventory.kinds())),
        turns: Mutex::default(),
    }));
    let sync = long.sync(kind("VPC"), ids([1, 2]));
    assert!(tokio::time::timeout(Duration::from_millis(100), sync).await.is_err());
    assert!(matches!(long.look(&key(&id(2)), DAY), Observation::Present(_)));
}
