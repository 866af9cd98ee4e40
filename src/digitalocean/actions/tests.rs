//! Waits against a server with scripted actions.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{sleep, timeout},
};

use super::*;
use crate::{
    digitalocean::fake::{Fake, FakeResponse},
    liveness::Liveness,
};

const INTERVAL: Duration = Duration::from_millis(20);

/// The account's actions and their states.
#[derive(Default)]
struct Account {
    listed: Mutex<BTreeMap<u64, &'static str>>,
    /// Actions that only their own path shows.
    unlisted: Mutex<BTreeMap<u64, &'static str>>,
    is_down: AtomicBool,
    is_forbidden: AtomicBool,
}

impl Account {
    fn of(ids: impl IntoIterator<Item = u64>) -> Arc<Self> {
        let account = Self::default();
        account.listed.lock().extend(ids.into_iter().map(|id| (id, "in-progress")));
        Arc::new(account)
    }

    fn set(&self, id: u64, status: &'static str) {
        self.listed.lock().insert(id, status);
    }

    fn set_unlisted(&self, id: u64, status: &'static str) {
        self.unlisted.lock().insert(id, status);
    }

    fn answer(&self, path: &str) -> FakeResponse {
        if self.is_down.load(Ordering::Relaxed) {
            return FakeResponse::text(500, "x: y", "");
        }
        if self.is_forbidden.load(Ordering::Relaxed) {
            return FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}));
        }
        let listed = self.listed.lock();
        if let Some(id) = path.strip_prefix("/v2/actions/") {
            let id = id.parse().unwrap();
            return match self.unlisted.lock().get(&id).or(listed.get(&id)) {
                Some(status) => FakeResponse::json(200, &json!({"action": {"id": id, "status": status}})),
                None => FakeResponse::json(404, &json!({"id": "not_found", "message": "no"})),
            };
        }
        let (page, rest) = path.strip_prefix("/v2/actions?page=").unwrap().split_once('&').unwrap();
        assert_eq!(rest, "per_page=200");
        let before = (page.parse::<usize>().unwrap() - 1) * 200;
        let rows = listed.iter().rev().skip(before).take(200);
        let rows: Vec<_> = rows.map(|(id, status)| json!({"id": id, "status": status, "type": "resize"})).collect();
        FakeResponse::json(200, &json!({"actions": rows, "links": {}, "meta": {"total": listed.len()}}))
    }
}

fn pulse() -> Pulse {
    Liveness::default().enter("a poller", Duration::from_mins(1))
}

/// A server, waits for its actions, and the woken waiters.
async fn stand(account: &Arc<Account>) -> (Fake, Actions<&'static str>, UnboundedReceiver<&'static str>) {
    stand_at(account, INTERVAL).await
}

async fn stand_at(
    account: &Arc<Account>,
    interval: Duration,
) -> (Fake, Actions<&'static str>, UnboundedReceiver<&'static str>) {
    let account = Arc::clone(account);
    let server = Fake::start(move |path| account.answer(path)).await;
    let (woken, wakes) = unbounded_channel();
    let actions = Actions::start(server.client(), interval, pulse(), move |waiter| woken.send(waiter).unwrap());
    (server, actions, wakes)
}

async fn next(wakes: &mut UnboundedReceiver<&'static str>) -> &'static str {
    timeout(Duration::from_secs(5), wakes.recv()).await.unwrap().unwrap()
}

/// The first calls, once this many were made.
async fn asked(server: &Fake, calls: usize) -> Vec<String> {
    let enough = async {
        while server.asked().len() < calls {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), enough).await.unwrap();
    server.asked().into_iter().take(calls).map(|path| path.replace("&per_page=200", "")).collect()
}

/// No call is made for many intervals.
async fn assert_quiet(server: &Fake) {
    sleep(INTERVAL).await;
    let before = server.asked().len();
    sleep(INTERVAL * 10).await;
    assert_eq!(server.asked().len(), before);
}

#[tokio::test]
async fn without_the_scope_for_actions_the_waiters_look_up_their_effects_themselves() {
    let account = Account::of([1, 2]);
    account.is_forbidden.store(true, Ordering::Relaxed);
    let (_server, actions, mut wakes) = stand(&account).await;
    for (id, waiter) in [(1, "a"), (2, "b")] {
        assert_eq!(actions.state_of(id, &waiter), None);
    }
    let mut woken = [next(&mut wakes).await, next(&mut wakes).await];
    woken.sort_unstable();
    assert_eq!(woken, ["a", "b"]);
    assert_eq!(actions.state_of(1, &"a"), Some(ActionState::Gone));
}

#[tokio::test]
async fn each_waiter_is_woken_once_and_finds_how_its_action_ended() {
    let account = Account::of([1, 2, 3]);
    let (server, actions, mut wakes) = stand(&account).await;
    for (id, waiter) in [(1, "a"), (1, "b"), (1, "b"), (2, "c"), (3, "d")] {
        assert_eq!(actions.state_of(id, &waiter), None);
    }
    account.set(1, "completed");
    account.set(2, "errored");
    let mut woken = [next(&mut wakes).await, next(&mut wakes).await, next(&mut wakes).await];
    woken.sort_unstable();
    assert_eq!(woken, ["a", "b", "c"]);
    for (id, state) in [(1, Some(ActionState::Completed)), (2, Some(ActionState::Errored)), (3, None)] {
        assert_eq!(actions.state_of(id, &"e"), state);
    }
    actions.forget(&"d");
    actions.forget(&"e");
    assert_quiet(&server).await;
    assert!(wakes.try_recv().is_err());
}

#[tokio::test]
async fn no_request_is_sent_without_a_waiter() {
    let account = Account::of([1]);
    let (server, actions, mut wakes) = stand(&account).await;
    assert_quiet(&server).await;
    assert_eq!(server.asked().len(), 0);
    assert_eq!(actions.state_of(1, &"a"), None);
    account.set(1, "completed");
    next(&mut wakes).await;
    assert_quiet(&server).await;
    account.set(2, "in-progress");
    assert_eq!(actions.state_of(2, &"a"), None);
    asked(&server, 3).await;
    actions.forget(&"a");
    assert_quiet(&server).await;
    // A new wait starts again.
    assert_eq!(actions.state_of(2, &"b"), None);
    account.set(2, "completed");
    assert_eq!(next(&mut wakes).await, "b");
}

#[tokio::test]
async fn five_hundred_waits_are_three_calls_in_the_time_of_three() {
    let account = Account::of(1..=500);
    let (server, actions, _wakes) = stand(&account).await;
    let start = Instant::now();
    for id in 1..=500 {
        assert_eq!(actions.state_of(id, &"a"), None);
    }
    let pages = ["/v2/actions?page=1", "/v2/actions?page=2", "/v2/actions?page=3"];
    assert_eq!(asked(&server, 6).await, [pages, pages].concat());
    assert!(start.elapsed() >= INTERVAL * 4, "{:?}", start.elapsed());
}

#[tokio::test]
async fn reading_stops_at_the_oldest_wait_and_a_wait_begins_at_once_after_a_rest() {
    let account = Account::of(1..=1_000);
    let interval = INTERVAL * 10;
    let (server, actions, mut wakes) = stand_at(&account, interval).await;
    assert_eq!(actions.state_of(990, &"a"), None);
    assert_eq!(asked(&server, 3).await, ["/v2/actions?page=1"; 3]);
    account.set(990, "completed");
    next(&mut wakes).await;
    // No longer on the list: five pages of newer actions, then its own path. The rest after this number of calls is
    // long...
    account.set_unlisted(0, "in-progress");
    let before = server.asked().len();
    assert_eq!(actions.state_of(0, &"b"), None);
    let calls = asked(&server, before + 6).await;
    assert_eq!(calls[before + 4..], ["/v2/actions?page=5", "/v2/actions/0"]);
    // ... but a waiter that arrives when there are no others does not wait for it.
    actions.forget(&"b");
    let start = Instant::now();
    assert_eq!(actions.state_of(990, &"c"), Some(ActionState::Completed));
    assert_eq!(actions.state_of(991, &"c"), None);
    asked(&server, before + 7).await;
    assert!(start.elapsed() < interval * 4, "{:?}", start.elapsed());
}

#[tokio::test]
async fn actions_that_the_list_lacks_are_requested_singly() {
    let account = Account::of((1..=600).filter(|id| *id != 500));
    let (server, actions, mut wakes) = stand(&account).await;
    account.set_unlisted(500, "completed");
    assert_eq!(actions.state_of(500, &"a"), None);
    assert_eq!(next(&mut wakes).await, "a");
    assert_eq!(actions.state_of(500, &"a"), Some(ActionState::Completed));
    // The second page has only older actions.
    assert_eq!(server.asked().len(), 3);
    assert_eq!(asked(&server, 3).await[1..], ["/v2/actions?page=2", "/v2/actions/500"]);
}

#[tokio::test]
async fn a_round_requests_a_few_actions_singly_and_each_in_turn() {
    let account = Account::of([]);
    let (server, actions, mut wakes) = stand(&account).await;
    for id in (1..=12).rev() {
        account.set_unlisted(id, "in-progress");
        assert_eq!(actions.state_of(id, &"a"), None);
    }
    let singles = |ids: [u64; 5]| ids.map(|id| format!("/v2/actions/{id}")).to_vec();
    let list = || vec!["/v2/actions?page=1".to_owned()];
    let [first, second] = [singles([12, 11, 10, 9, 8]), singles([7, 6, 5, 4, 3])];
    // The two remaining ones, then again from the first on.
    let third = singles([2, 1, 12, 11, 10]);
    assert_eq!(asked(&server, 18).await, [list(), first, list(), second, list(), third].concat());
    account.set_unlisted(8, "completed");
    assert_eq!(next(&mut wakes).await, "a");
}

#[tokio::test]
async fn an_action_is_gone_after_two_404_responses() {
    let account = Account::of([1]);
    let (server, actions, mut wakes) = stand(&account).await;
    assert_eq!(actions.state_of(2, &"a"), None);
    assert_eq!(next(&mut wakes).await, "a");
    assert_eq!(actions.state_of(2, &"a"), Some(ActionState::Gone));
    let round = ["/v2/actions?page=1", "/v2/actions/2"];
    assert_eq!(asked(&server, 4).await, [round, round].concat());
    assert_quiet(&server).await;
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn errors_lose_no_wait() {
    let account = Account::of([1]);
    account.set_unlisted(0, "completed");
    let (server, actions, mut wakes) = stand(&account).await;
    account.is_down.store(true, Ordering::Relaxed);
    assert_eq!(actions.state_of(1, &"a"), None);
    assert_eq!(actions.state_of(0, &"b"), None);
    // Each round is a single attempt.
    let start = Instant::now();
    assert_eq!(asked(&server, 4).await, ["/v2/actions?page=1"; 4]);
    assert!(start.elapsed() >= INTERVAL * 2, "{:?}", start.elapsed());
    account.set(1, "completed");
    account.is_down.store(false, Ordering::Relaxed);
    let mut woken = [next(&mut wakes).await, next(&mut wakes).await];
    woken.sort_unstable();
    assert_eq!(woken, ["a", "b"]);
}

#[tokio::test]
async fn an_answer_that_is_not_the_apis_ends_no_wait() {
    let answers: [fn(&str) -> FakeResponse; 4] = [
        |_| FakeResponse::text(404, "x: y", "<html>404</html>"),
        |_| FakeResponse::text(200, "x: y", "<html>Welcome</html>"),
        |_| FakeResponse::json(200, &json!({"actions": [{"id": "1", "status": "completed"}]})),
        |path| match path {
            "/v2/actions/1" => FakeResponse::json(200, &json!({"action": {"id": 2, "status": "completed"}})),
            _ => FakeResponse::json(
                200,
                &json!({"actions": [{"id": 1, "status": "who knows"}, {"id": 0, "status": "errored"}]}),
            ),
        },
    ];
    for answer in answers {
        let server = Fake::start(answer).await;
        let actions = Actions::start(server.client(), INTERVAL, pulse(), |waiter: &str| panic!("{waiter} was woken"));
        assert_eq!(actions.state_of(1, &"a"), None);
        asked(&server, 4).await;
        assert_eq!(actions.state_of(1, &"a"), None);
    }
}

#[tokio::test]
async fn polling_ends_with_the_last_clone() {
    let account = Account::of([1]);
    let (server, actions, _wakes) = stand(&account).await;
    let clone = actions.clone();
    assert_eq!(actions.state_of(1, &"a"), None);
    drop(actions);
    asked(&server, 2).await;
    drop(clone);
    assert_quiet(&server).await;
}

#[tokio::test]
async fn ends_are_remembered_for_ten_minutes() {
    let account = Account::of([1]);
    let (_server, actions, mut wakes) = stand(&account).await;
    account.set(1, "completed");
    assert_eq!(actions.state_of(1, &"a"), None);
    next(&mut wakes).await;
    tokio::time::pause();
    tokio::time::advance(REMEMBERED.saturating_sub(Duration::from_secs(5))).await;
    assert_eq!(actions.state_of(1, &"a"), Some(ActionState::Completed));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(actions.state_of(1, &"a"), None);
    // It is found again.
    tokio::time::resume();
    assert_eq!(next(&mut wakes).await, "a");
    assert_eq!(actions.waits.state().ended.len(), 1);
}

#[tokio::test]
async fn an_action_whose_request_fails_delays_no_other() {
    let server = Fake::start(|path| match path {
        "/v2/actions/1" => FakeResponse::text(500, "x: y", ""),
        "/v2/actions/2" => FakeResponse::json(200, &json!({"action": {"id": 2, "status": "errored"}})),
        _ => FakeResponse::json(200, &json!({"actions": []})),
    })
    .await;
    let (woken, mut wakes) = unbounded_channel();
    let actions = Actions::start(server.client(), INTERVAL, pulse(), move |waiter| woken.send(waiter).unwrap());
    assert_eq!(actions.state_of(1, &"a"), None);
    assert_eq!(actions.state_of(2, &"b"), None);
    assert_eq!(next(&mut wakes).await, "b");
    assert_eq!(actions.state_of(1, &"a"), None);
}
