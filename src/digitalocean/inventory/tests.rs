//! The inventory against a small cloud whose lists can lag, be wrong and fail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{allowance::Allowance, snapshot::InventoryState, *};
use crate::digitalocean::{
    Client, Kind, ResourceKey,
    account::Accounts,
    budget::Limits,
    certificates::CertificateBook,
    fake::{Fake, FakeResponse},
    kinds::FieldSet,
    scopes::Scopes,
    sizes::SizeBook,
    tag_users::TagUserBook,
};

const DAY: Duration = Duration::from_hours(24);

/// A cloud of one kind: the rows of its list, and the existing resources.
#[derive(Default)]
struct Cloud {
    listed: BTreeMap<String, Value>,
    existing: BTreeMap<String, Value>,
    /// The status codes of the next direct requests, before the real ones.
    direct: Vec<u16>,
    list_fails: bool,
    list_takes: Duration,
    direct_takes: Duration,
    /// The account of the token, or the status of requesting it.
    account: Option<Result<&'static str, u16>>,
}

struct World {
    cloud: Arc<Mutex<Cloud>>,
    server: Fake,
    inventory: Inventory,
}

fn settings() -> InventorySettings {
    InventorySettings { absence_delay: Duration::from_millis(20), ..InventorySettings::default() }
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
        let inventory = Inventory::new(server.client(), settings());
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

    fn get(&self, number: u32) -> Observation {
        self.inventory.get(&key(&id(number)), DAY)
    }

    fn name(&self, number: u32) -> String {
        let Observation::Present(document) = self.get(number) else { return "none".into() };
        let document: Value = serde_json::from_str(&document.json).unwrap();
        document["name"].as_str().unwrap().to_owned()
    }

    fn direct_questions(&self) -> usize {
        self.asked("/v2/vpcs/")
    }

    fn asked(&self, path: &str) -> usize {
        self.server.asked().iter().filter(|asked| asked.starts_with(path)).count()
    }

    /// Replaces the token by one of another account, without these resources.
    fn move_to(&self, account: Result<&'static str, u16>) {
        let mut cloud = self.cloud();
        cloud.listed.clear();
        cloud.existing.clear();
        cloud.account = Some(account);
    }
}

impl Cloud {
    fn answer(&mut self, path: &str) -> FakeResponse {
        if let Some(id) = path.strip_prefix("/v2/vpcs/") {
            std::thread::sleep(self.direct_takes);
            let told = if self.direct.is_empty() { 200 } else { self.direct.remove(0) };
            return match (told, self.existing.get(id)) {
                (200, Some(document)) => FakeResponse::json(200, &json!({"vpc": document})),
                (200, None) => FakeResponse::json(404, &json!({"id": "not_found"})),
                (status, _) => FakeResponse::json(status, &json!({"id": "error", "message": "no"})),
            };
        }
        if path == "/v2/account" {
            return match self.account.unwrap_or(Ok("first")) {
                Ok(team) => FakeResponse::json(200, &json!({"account": {"uuid": "user", "team": {"uuid": team}}})),
                Err(status) => FakeResponse::json(status, &json!({"id": "error", "message": "no"})),
            };
        }
        std::thread::sleep(self.list_takes);
        if self.list_fails {
            return FakeResponse::text(403, "x: y", "");
        }
        let rows: Vec<_> = self.listed.values().collect();
        FakeResponse::json(200, &json!({"vpcs": rows, "links": {}, "meta": {"total": rows.len()}}))
    }
}

#[tokio::test]
async fn first_reads_of_new_records_leave_the_reserve_to_decisions() {
    let mut world = World::with([1, 2]).await;
    let mut config = world.server.config();
    config.limits = Limits { per_minute: 2, per_hour: 100, minute_reserve: 1, hour_reserve: 0 };
    world.inventory = Inventory::new(Client::new(config).unwrap(), settings());
    let [one, two] = [1, 2].map(|number| key(&id(number)));
    world.inventory.first_read(&one, FieldSet::default()).await;
    tokio::select! {
        biased;
        () = world.inventory.first_read(&two, FieldSet::default()) => panic!("it used the reserve"),
        found = world.inventory.fetch(&two, DAY) => assert!(matches!(found, Observation::Present(_)), "{found:?}"),
    }
}

#[tokio::test]
async fn a_sync_says_what_is_new_and_then_only_what_changed() {
    let world = World::with(1..=3).await;
    assert_eq!(world.get(1), Observation::Unknown(UnknownReason::NotYet));
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([1, 2]));
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([]));
    world.set(2, "second");
    world.set(3, "second");
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([2]));
    assert_eq!((world.name(1), world.name(2)), ("first".into(), "second".into()));
    // The third one is not recorded: its document is not stored.
    assert_eq!(world.get(3), Observation::Unknown(UnknownReason::NotYet));
    assert_eq!(world.inventory.snapshots()[0].resources, 2);
    assert_eq!((world.server.asked().len(), world.asked("/v2/account")), (4, 1));
}

#[tokio::test]
async fn without_records_no_request_is_sent() {
    let world = World::with(1..=3).await;
    world.sync([]).await.unwrap();
    assert_eq!(world.server.asked().len(), 0);
}

#[tokio::test]
async fn a_deletion_needs_two_404_responses() {
    let world = World::with(1..=2).await;
    world.sync([1, 2]).await.unwrap();
    world.delete(2);
    let start = Instant::now();
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([2]));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(world.get(2), Observation::Gone);
    assert_eq!(world.direct_questions(), 2);
    // Known to be gone and still not listed: not requested again.
    assert_eq!(world.sync([1, 2]).await.unwrap(), ids([]));
    assert_eq!((world.get(2), world.direct_questions()), (Observation::Gone, 2));
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
    // A single 404 does not make it gone either.
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
    assert!(matches!(world.get(2), Observation::Unknown(UnknownReason::Failed { .. })), "{:?}", world.get(2));
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
    assert_eq!((info.resources, info.last_error.as_ref().unwrap().category), (30, SyncCategory::IncompleteList));
}

#[tokio::test]
async fn many_that_are_really_gone_are_gone() {
    let world = World::with(1..=30).await;
    world.sync(1..=30).await.unwrap();
    world.cloud().listed.clear();
    world.cloud().existing.clear();
    assert_eq!(world.sync(1..=30).await.unwrap().len(), 30);
    assert_eq!((world.get(1), world.get(30)), (Observation::Gone, Observation::Gone));
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
    assert!(matches!(world.get(2), Observation::Unknown(UnknownReason::Failed { .. })));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let stale = world.inventory.get(&key(&id(1)), Duration::from_millis(5));
    assert!(
        matches!(&stale, Observation::Unknown(UnknownReason::Stale { error: Some(error), .. }) if error.contains("403")),
        "{stale:?}"
    );
    world.cloud().list_fails = false;
    world.sync([1]).await.unwrap();
    assert_eq!(world.inventory.snapshots()[0].last_error, None);
}

#[tokio::test]
async fn a_fetch_sends_a_request_at_once_and_its_result_is_cached() {
    let world = World::with(1..=1).await;
    let found = world.inventory.fetch(&key(&id(1)), DAY).await;
    assert_eq!((matches!(found, Observation::Present(_)), world.name(1)), (true, "first".into()));
    assert_eq!(world.server.asked().len(), 1);
    // The list is unchanged, byte by byte.
    assert_eq!(world.sync([1]).await.unwrap(), ids([]));
    world.cloud().direct = vec![403];
    let failed = world.inventory.fetch(&key(&id(1)), DAY).await;
    assert!(matches!(failed, Observation::Unknown(UnknownReason::Failed { .. })));
    assert_eq!(world.name(1), "first");
    world.cloud().direct = vec![404];
    assert!(matches!(world.inventory.fetch(&key(&id(1)), DAY).await, Observation::Present(_)));
    world.delete(1);
    assert_eq!((world.inventory.fetch(&key(&id(1)), DAY).await, world.get(1)), (Observation::Gone, Observation::Gone));
    world.inventory.forget(&key(&id(1)));
    assert_eq!(world.get(1), Observation::Unknown(UnknownReason::NotYet));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_during_a_sync_is_newer_than_the_list() {
    let world = World::with(1..=1).await;
    world.sync([1]).await.unwrap();
    world.cloud().list_takes = Duration::from_millis(150);
    let inventory = world.inventory.clone();
    let sync = tokio::spawn(async move { inventory.sync(kind("VPC"), ids([1])).await });
    // The list returns the old name; the fetch waits for it and gets the new one.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let cloud = Arc::clone(&world.cloud);
    let fetch = tokio::spawn({
        let inventory = world.inventory.clone();
        async move {
            cloud.lock().unwrap().existing.insert(id(1), json!({"id": id(1), "name": "newer"}));
            inventory.fetch(&key(&id(1)), DAY).await
        }
    });
    fetch.await.unwrap();
    assert_eq!(sync.await.unwrap().unwrap().listed, 1);
    assert_eq!(world.name(1), "newer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_arrives_during_a_sync_is_not_replaced_by_the_same_old_row() {
    let world = World::with(1..=1).await;
    world.sync([1]).await.unwrap();
    world.cloud().existing.insert(id(1), json!({"id": id(1), "name": "newer"}));
    world.cloud().direct_takes = Duration::from_millis(150);
    world.cloud().list_takes = Duration::from_millis(100);
    let inventory = world.inventory.clone();
    let fetch = tokio::spawn(async move { inventory.fetch(&key(&id(1)), DAY).await });
    // The list begins after the request, shows the old row, and takes longer.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let inventory = world.inventory.clone();
    let sync = tokio::spawn(async move { inventory.sync(kind("VPC"), ids([1])).await });
    fetch.await.unwrap();
    sync.await.unwrap().unwrap();
    assert_eq!(world.name(1), "newer");
    // The next list counts.
    world.cloud().direct_takes = Duration::ZERO;
    world.set(1, "third");
    world.sync([1]).await.unwrap();
    assert_eq!(world.name(1), "third");
}

#[tokio::test]
async fn an_image_that_no_list_shows_is_found_again_after_it_seemed_gone() {
    let [is_gone, fails] = [true, false].map(|is| Arc::new(AtomicBool::new(is)));
    let server = Fake::start({
        let (is_gone, fails) = (Arc::clone(&is_gone), Arc::clone(&fails));
        move |path| match path.rsplit('/').next() {
            Some(slug) if slug.starts_with("debian") && fails.load(Ordering::Relaxed) => {
                FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}))
            }
            Some(slug) if slug.starts_with("debian") && is_gone.load(Ordering::Relaxed) => {
                FakeResponse::json(404, &json!({"id": "not_found"}))
            }
            Some(slug) if slug.starts_with("debian") => FakeResponse::json(200, &json!({"image": {"slug": slug}})),
            Some("account") => FakeResponse::json(200, &json!({"account": {"uuid": "user", "team": {"uuid": "team"}}})),
            _ => FakeResponse::json(200, &json!({"images": [], "meta": {"total": 0}})),
        }
    })
    .await;
    let settings = InventorySettings { absence_delay: Duration::from_millis(1), ..InventorySettings::default() };
    let inventory = Inventory::new(server.client(), settings);
    let get = || inventory.get(&ResourceKey::new(kind("Image"), "debian-12"), DAY);
    for _ in 0..2 {
        inventory.sync(kind("Image"), vec![Arc::from("debian-12")]).await.unwrap();
        assert_eq!(get(), Observation::Gone);
    }
    // A failed request is no news.
    fails.store(true, Ordering::Relaxed);
    inventory.sync(kind("Image"), vec![Arc::from("debian-12")]).await.unwrap();
    assert_eq!(get(), Observation::Gone);
    fails.store(false, Ordering::Relaxed);
    is_gone.store(false, Ordering::Relaxed);
    inventory.sync(kind("Image"), vec![Arc::from("debian-12")]).await.unwrap();
    assert!(matches!(get(), Observation::Present(_)));
}

#[tokio::test]
async fn records_are_listed_by_the_domains_that_recorded_ids_name() {
    let server = Fake::start(|path| match path {
        "/v2/domains/a.com/records?page=1&per_page=200" => {
            FakeResponse::json(200, &json!({"domain_records": [{"id": 1}, {"id": 2}], "meta": {"total": 2}}))
        }
        _ => FakeResponse::json(404, &json!({"id": "not_found"})),
    })
    .await;
    let settings = InventorySettings { absence_delay: Duration::from_millis(1), ..InventorySettings::default() };
    let inventory = Inventory::new(server.client(), settings);
    let records = kind("DomainRecord");
    let wanted: Vec<Arc<str>> = ["a.com/1", "a.com/9", "b.com/1"].map(Arc::from).to_vec();
    let changes = inventory.sync(records, wanted).await.unwrap();
    assert_eq!((changes.changed.len(), changes.listed), (3, 2));
    let get = |id: &str| inventory.get(&ResourceKey::new(records, id), DAY);
    let Observation::Present(document) = get("a.com/1") else { panic!() };
    assert_eq!(&*document.json, r#"{"id":1}"#);
    assert_eq!((get("a.com/9"), get("b.com/1")), (Observation::Gone, Observation::Gone));
    assert_eq!(get("a.com/2"), Observation::Unknown(UnknownReason::NotYet));
}

#[tokio::test]
async fn images_that_no_list_shows_are_requested_without_distrusting_the_list() {
    let server = Fake::start(|path| match path {
        "/v2/images?private=true&page=1&per_page=200" => {
            FakeResponse::json(200, &json!({"images": [], "meta": {"total": 0}}))
        }
        path => FakeResponse::json(200, &json!({"image": {"slug": path.rsplit('/').next()}})),
    })
    .await;
    let inventory = Inventory::new(server.client(), InventorySettings::default());
    let wanted: Vec<Arc<str>> = (0..30).map(|number| format!("ubuntu-{number}").into()).collect();
    let changes = inventory.sync(kind("Image"), wanted).await.unwrap();
    assert_eq!(changes.changed.len(), 30);
}

#[tokio::test]
async fn a_sync_that_is_given_up_changes_nothing() {
    let world = World::with(1..=2).await;
    world.sync([1, 2]).await.unwrap();
    world.delete(2);
    let long = Inventory(Arc::new(InventoryState {
        client: world.server.client(),
        settings: InventorySettings { absence_delay: DAY, ..InventorySettings::default() },
        accounts: Accounts::default(),
        certificates: CertificateBook::default(),
        sizes: SizeBook::default(),
        tag_users: TagUserBook::default(),
        scopes: Scopes::default(),
        allowance: parking_lot::Mutex::new(Allowance::of(1_000, 200)),
        kinds: parking_lot::Mutex::new(std::mem::take(&mut *world.inventory.kinds())),
        turns: parking_lot::Mutex::default(),
    }));
    let sync = long.sync(kind("VPC"), ids([1, 2]));
    assert!(tokio::time::timeout(Duration::from_millis(100), sync).await.is_err());
    assert!(matches!(long.get(&key(&id(2)), DAY), Observation::Present(_)));
}

#[tokio::test]
async fn expiry_is_reported_once_and_again_after_a_renewal() {
    let world = World::with(1..=2).await;
    let expire = |max_age: Duration| {
        let (mut expired, next) = world.inventory.expire(kind("VPC"), max_age);
        expired.sort();
        (expired, next)
    };
    assert_eq!(expire(DAY), (vec![], None));
    world.sync([1, 2]).await.unwrap();
    let listed = world.inventory.kinds()[&kind("VPC")].listed_at.unwrap();
    assert_eq!(expire(DAY), (vec![], Some(listed + DAY)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Requested singly, so newer than the list: it expires later.
    world.inventory.fetch(&key(&id(2)), DAY).await;
    let age = Duration::from_millis(20);
    let (expired, next) = expire(age);
    assert_eq!(expired, ids([1]));
    let next = next.unwrap();
    assert!(next > listed + age);
    tokio::time::sleep_until(next).await;
    assert_eq!(expire(age), (ids([2]), None));
    assert!(matches!(world.inventory.get(&key(&id(2)), age), Observation::Unknown(UnknownReason::Stale { .. })));
    assert_eq!(expire(age), (vec![], None), "told already");
    // The only change is that it is known again, which has to be reported.
    let changes = world.inventory.sync(kind("VPC"), ids([1, 2])).await.unwrap();
    assert_eq!((changes.changed.len(), changes.renewed.len()), (2, 2));
    let changes = world.inventory.sync(kind("VPC"), ids([1, 2])).await.unwrap();
    assert_eq!((changes.changed.len(), changes.renewed.len()), (0, 0));
}

#[tokio::test]
async fn existence_checks_are_limited_per_sweep_and_all_run_in_the_end() {
    let mut world = World::with(1..=10).await;
    let settings =
        InventorySettings { absence_delay: Duration::ZERO, confirm_at_most: 4, ..InventorySettings::default() };
    world.inventory = Inventory::new(world.server.client(), settings);
    world.sync(1..=10).await.unwrap();
    for number in 1..=9 {
        world.delete(number);
    }
    let gone = || (1..=9).filter(|number| world.get(*number) == Observation::Gone).count();
    for (sweep, wanted) in [4, 8, 9, 9].into_iter().enumerate() {
        world.sync(1..=10).await.unwrap();
        assert_eq!(gone(), wanted, "after sweep {sweep}");
        for number in 1..=9 {
            match world.get(number) {
                Observation::Gone => {}
                Observation::Unknown(UnknownReason::Failed { error }) => {
                    assert!(error.contains("runs later"), "{error}");
                }
                other => panic!("{number}: {other:?}"),
            }
        }
        assert_eq!(world.direct_questions(), 2 * wanted, "twice for each, and never again");
    }
    assert_eq!(world.name(10), "first");
}

#[tokio::test]
async fn images_that_no_list_shows_take_turns_and_stay_known_meanwhile() {
    let server = Fake::start(|path| match path.rsplit('/').next() {
        Some(slug) if !slug.starts_with("images") => FakeResponse::json(200, &json!({"image": {"slug": slug}})),
        _ => FakeResponse::json(200, &json!({"images": [], "meta": {"total": 0}})),
    })
    .await;
    let inventory =
        Inventory::new(server.client(), InventorySettings { confirm_at_most: 2, ..InventorySettings::default() });
    let wanted: Vec<Arc<str>> = (1..=4).map(|number| format!("debian-{number}").into()).collect();
    for _ in 0..4 {
        inventory.sync(kind("Image"), wanted.clone()).await.unwrap();
    }
    for id in wanted {
        let asked = server.asked().iter().filter(|path| path.ends_with(&*id)).count();
        let seen = inventory.get(&ResourceKey::new(kind("Image"), id), DAY);
        assert!(asked == 2 && matches!(seen, Observation::Present(_)), "{asked} {seen:?}");
    }
}

#[tokio::test]
async fn under_a_token_of_another_account_nothing_is_known() {
    let world = World::with(1..=4).await;
    world.delete(4);
    world.sync(1..=4).await.unwrap();
    world.move_to(Ok("second"));
    for _ in 0..2 {
        let error = world.sync(1..=4).await.unwrap_err();
        assert!(error.is_about_all() && error.to_string().contains("another account"), "{error}");
        for number in 1..=4 {
            let seen = world.get(number);
            assert!(
                matches!(&seen, Observation::Unknown(UnknownReason::Failed { error }) if error.contains("another account")),
                "{number}: {seen:?}"
            );
        }
    }
    let seen = world.inventory.fetch(&key(&id(1)), DAY).await;
    assert!(matches!(seen, Observation::Unknown(UnknownReason::Failed { .. })), "{seen:?}");
    // The right token returns.
    for number in 1..=3 {
        world.set(number, "first");
    }
    world.cloud().account = None;
    let changes = world.inventory.sync(kind("VPC"), ids(1..=4)).await.unwrap();
    assert_eq!((changes.renewed.len(), world.name(1), world.get(4)), (4, "first".into(), Observation::Gone));
}

#[tokio::test]
async fn under_a_token_of_another_account_not_even_the_only_one_is_gone() {
    let world = World::with(1..=1).await;
    world.sync(1..=1).await.unwrap();
    world.move_to(Ok("second"));
    let error = world.sync(1..=1).await.unwrap_err();
    assert!(error.to_string().contains("another account"), "{error}");
    let seen = world.get(1);
    assert!(matches!(seen, Observation::Unknown(UnknownReason::Failed { .. })), "{seen:?}");
}

#[tokio::test]
async fn a_new_process_with_a_token_of_another_account_knows_nothing() {
    let world = World::with(1..=4).await;
    world.sync(1..=4).await.unwrap();
    let seen = world.inventory.seen_account().lock().clone();
    assert_eq!(seen.as_deref(), Some("first"));
    world.move_to(Ok("second"));
    // As a tag of the same name in the other account.
    world.set(9, "second");
    world.sync(9..=9).await.unwrap();
    assert_eq!(*world.inventory.seen_account().lock(), seen);
    for wanted in [1..=1, 1..=4] {
        let inventory = Inventory::new(world.server.client(), settings());
        inventory.seen_account().lock().clone_from(&seen);
        for _ in 0..2 {
            let error = inventory.sync(kind("VPC"), ids(wanted.clone())).await.unwrap_err();
            assert!(error.is_about_all() && error.to_string().contains("another account"), "{error}");
            let known = inventory.get(&key(&id(1)), DAY);
            assert!(matches!(known, Observation::Unknown(_)), "{known:?}");
        }
        let known = inventory.fetch(&key(&id(1)), DAY).await;
        assert!(matches!(known, Observation::Unknown(_)), "{known:?}");
        // A person confirms the other account, and restarts the operator.
        let inventory = Inventory::new(world.server.client(), settings());
        inventory.sync(kind("VPC"), ids(wanted)).await.unwrap();
        assert_eq!(inventory.get(&key(&id(1)), DAY), Observation::Gone);
    }
}

#[tokio::test]
async fn in_the_same_account_all_can_be_gone() {
    // A token that cannot read its account leads to the same results as without the check.
    for account in [Ok("first"), Err(403)] {
        let world = World::with(1..=3).await;
        world.cloud().account = Some(account);
        world.sync(1..=3).await.unwrap();
        world.move_to(account);
        world.sync(1..=3).await.unwrap();
        assert_eq!((world.get(1), world.get(3)), (Observation::Gone, Observation::Gone), "{account:?}");
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_read_now_concludes_nothing() {
    let world = World::with(1..=3).await;
    world.sync(1..=3).await.unwrap();
    world.move_to(Err(422));
    let error = world.sync(1..=3).await.unwrap_err();
    let category: &str = error.category().into();
    assert_eq!((category, world.name(1)), ("refused", "first".into()));
}

#[tokio::test]
async fn a_list_of_records_that_cannot_be_read_leaves_the_others_alone() {
    let refused: Arc<Mutex<Vec<&str>>> = Arc::default();
    let here = Arc::clone(&refused);
    let server = Fake::start(move |path| {
        let domain = path.split('/').nth(3).unwrap_or_default();
        match path {
            _ if here.lock().unwrap().contains(&domain) => {
                FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}))
            }
            _ => FakeResponse::json(200, &json!({"domain_records": [{"id": 1, "name": domain}], "meta": {"total": 1}})),
        }
    })
    .await;
    let inventory = Inventory::new(server.client(), InventorySettings::default());
    let records = kind("DomainRecord");
    let wanted = || ["a.com/1", "b.com/1", "c.com/1"].map(Arc::from).to_vec();
    let get = |id: &str, max_age| inventory.get(&ResourceKey::new(records, id), max_age);
    refused.lock().unwrap().push("c.com");
    let changes = inventory.sync(records, wanted()).await.unwrap();
    assert_eq!((changes.changed.len(), changes.renewed.len()), (3, 2));
    let unread = changes.unread.unwrap();
    assert!(unread.to_string().contains("1 of 3 lists") && unread.category().lacks_scope(), "{unread}");
    assert!(matches!(get("a.com/1", DAY), Observation::Present(_)));
    let seen = get("c.com/1", DAY);
    assert!(
        matches!(&seen, Observation::Unknown(UnknownReason::Failed { error }) if error.contains("403")),
        "{seen:?}"
    );
    // The earlier state is kept, and ages.
    refused.lock().unwrap().push("b.com");
    tokio::time::sleep(Duration::from_millis(200)).await;
    inventory.sync(records, wanted()).await.unwrap();
    assert!(matches!(get("b.com/1", DAY), Observation::Present(_)));
    let young = Duration::from_millis(200);
    assert!(matches!(get("a.com/1", young), Observation::Present(_)));
    let seen = get("b.com/1", young);
    assert!(
        matches!(&seen, Observation::Unknown(UnknownReason::Stale { error: Some(error), .. }) if error.contains("b.com")),
        "{seen:?}"
    );
    // The kind fails only if no list can be read.
    refused.lock().unwrap().push("a.com");
    let error = inventory.sync(records, wanted()).await.unwrap_err();
    assert!(matches!(error, SyncError::List { .. }), "{error}");
}

#[tokio::test]
async fn a_new_record_is_answered_from_a_fresh_list_without_a_call() {
    let world = World::with(1..=3).await;
    let fields = |names: &[&str]| FieldSet::of(kind("VPC"), names.iter().copied());
    assert!(!world.inventory.take_from_list(&key(&id(2)), fields(&["name"])));
    world.sync([1]).await.unwrap();
    let calls = world.server.asked().len();
    assert!(world.inventory.take_from_list(&key(&id(2)), fields(&["name"])));
    assert_eq!((world.name(2), world.server.asked().len()), ("first".into(), calls));
    // One list alone confirms nothing; the next one does.
    let Observation::Present(document) = world.get(2) else { panic!() };
    assert!(!document.is_confirmed);
    let wanted = [1, 2].map(|number| Wanted { id: id(number).into(), fields: fields(&["name"]) });
    assert_eq!(world.inventory.sync(kind("VPC"), wanted).await.unwrap().confirmed, 1);
    // The row does not show the recorded field, or there is no row.
    assert!(!world.inventory.take_from_list(&key(&id(3)), fields(&["ip_range"])));
    assert!(!world.inventory.take_from_list(&key(&id(9)), fields(&["name"])));
}

#[tokio::test(start_paused = true)]
async fn unrecorded_rows_are_dropped_after_a_while() {
    let world = World::with(1..=3).await;
    world.sync([1]).await.unwrap();
    let spare = || world.inventory.kinds()[&kind("VPC")].spare.is_empty();
    assert!(!spare());
    tokio::time::sleep(spare::FRESH + Duration::from_secs(1)).await;
    assert!(spare());
    assert!(!world.inventory.take_from_list(&key(&id(2)), FieldSet::default()));
}

#[tokio::test]
async fn the_age_limit_of_a_kind_follows_from_its_own_limit_of_calls() {
    let server = Fake::start(|_| FakeResponse::hang_up()).await;
    let inventory = Inventory::new(server.client(), InventorySettings::default());
    let short = Duration::from_secs(15);
    let limits = |name| (inventory.max_age(kind(name), short), inventory.pause(kind(name)));
    // Ten calls a minute.
    assert_eq!(limits("SSHKey"), (Duration::from_mins(3), Duration::from_secs(12)));
    assert_eq!(limits("Droplet"), (short, Duration::ZERO));
    assert_eq!(inventory.max_age(kind("SSHKey"), DAY), DAY);
    inventory.0.kinds.lock().entry(kind("SSHKey")).or_default().pages = 12;
    assert_eq!(limits("SSHKey"), (Duration::from_mins(4), Duration::from_secs(144)));
}

#[tokio::test]
async fn unrecorded_resources_are_counted_unless_a_list_is_incomplete() {
    let world = World::with(1..=5).await;
    let unrecorded = || world.inventory.snapshots().first().and_then(|snapshot| snapshot.unrecorded);
    world.sync([1, 2]).await.unwrap();
    assert_eq!(unrecorded(), Some(3));
    world.sync(1..=5).await.unwrap();
    assert_eq!(unrecorded(), Some(0));
    // A recorded resource that is gone is not unrecorded.
    world.delete(5);
    world.set(6, "first");
    world.sync(1..=5).await.unwrap();
    assert_eq!(unrecorded(), Some(1));
    world.cloud().list_fails = true;
    world.sync(1..=5).await.unwrap_err();
    assert_eq!(unrecorded(), None);
}
