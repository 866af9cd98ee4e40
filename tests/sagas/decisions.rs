//! The operator crashes before and after each write of a decision about a drift. The next process completes it: no
//! decision is lost, no second drift opens, and the record says what the drifts say. The saga of a revert crashes before
//! and after each write of its journal and each call too, in both directions, and changes nothing twice.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    stage::{ABREAST, turn},
    world::{DROPLET, World, eventually},
};

const RECORD: &str = "pr/web-1";
const OLD: &str = "old-name";
const LIVE: &str = "web-1";

/// The tags of the record, and those of the droplet, whose second change is refused.
const TAGS: [&str; 2] = ["prod", "web"];
const REFUSED: &str = "odd";

/// The points about objects, and those of a saga.
const WRITES: [&str; 2] = ["write-before", "write-after"];
const SAGA: [&str; 4] = ["journal-before", "journal-after", "call-before", "call-after"];

/// A decision about a drift on the name of the droplet, or on its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    AcceptInPlace,
    AcceptStanding,
    Withdraw,
    Expire,
    InManifest,
    /// The policy of the record becomes `InPlace`.
    Move,
    Revert,
    /// The first step of the revert is done and the second one is refused, so the first is undone.
    FailToRevert,
}

/// The final state.
struct Outcome {
    /// Expected value and phase of each drift.
    drifts: &'static [[&'static str; 2]],
    /// The condition `Standing` of the first drift.
    standing: &'static str,
    /// The reason of the first drift; none if any will do.
    reason: Option<&'static str>,
    /// The recorded name.
    desired: &'static str,
    /// The live name.
    live: &'static str,
    in_sync: &'static str,
    manifest_current: &'static str,
}

impl Case {
    const ACCEPTING: [Self; 6] =
        [Self::AcceptInPlace, Self::AcceptStanding, Self::Withdraw, Self::Expire, Self::InManifest, Self::Move];

    const fn name(self) -> &'static str {
        match self {
            Self::AcceptInPlace => "in-place",
            Self::AcceptStanding => "standing",
            Self::Withdraw => "withdraw",
            Self::Expire => "expire",
            Self::InManifest => "in-manifest",
            Self::Move => "move",
            Self::Revert => "revert",
            Self::FailToRevert => "fail-to-revert",
        }
    }

    /// The minimum number of writes.
    const fn writes(self) -> usize {
        match self {
            // The check for a withdrawal, the record, the drift and the status of the record.
            Self::AcceptInPlace | Self::Move => 4,
            Self::AcceptStanding | Self::InManifest => 2,
            // Plus the new drift.
            Self::Withdraw | Self::Expire => 3,
            // The check for a withdrawal of the decision, the saga, the drift twice and the record twice.
            Self::Revert => 6,
            // The annotation of the drift is removed, and the record stays as it is.
            Self::FailToRevert => 5,
        }
    }

    /// The least number of points of this kind.
    fn points(self, place: &str) -> usize {
        match (self, place) {
            (_, "write-before" | "write-after") => self.writes(),
            // The start of both steps and the end.
            (Self::Revert, "journal-before" | "journal-after") => 3,
            // The start of both steps, the failure, the undoing and the end.
            (Self::FailToRevert, "journal-before" | "journal-after") => 4,
            (Self::Revert, _) => 1,
            _ => 3,
        }
    }

    const fn outcome(self) -> Outcome {
        let asked_again = Outcome {
            drifts: &[[OLD, "Accepted"], [OLD, "Open"]],
            standing: "False Withdrawn",
            reason: None,
            desired: OLD,
            live: LIVE,
            in_sync: "False DriftOpen",
            manifest_current: "True NoAcceptanceStands",
        };
        let accepted = Outcome {
            drifts: &[[OLD, "Accepted"]],
            standing: "",
            reason: None,
            desired: LIVE,
            live: LIVE,
            in_sync: "True NoDrift",
            manifest_current: "True NoAcceptanceStands",
        };
        match self {
            Self::AcceptInPlace => accepted,
            Self::AcceptStanding => Outcome {
                standing: "True Accepted",
                desired: OLD,
                manifest_current: "False AcceptancesStand",
                ..accepted
            },
            Self::InManifest => Outcome { standing: "False InManifest", ..accepted },
            Self::Move => Outcome { standing: "False InRecord", ..accepted },
            Self::Withdraw => asked_again,
            Self::Expire => Outcome { standing: "False Expired", ..asked_again },
            Self::Revert => Outcome { drifts: &[[OLD, "Reverted"]], desired: OLD, live: OLD, ..accepted },
            Self::FailToRevert => Outcome {
                drifts: &[["[\"prod\",\"web\"]", "Open"]],
                reason: Some("RevertFailed"),
                in_sync: "False DriftOpen",
                ..accepted
            },
        }
    }

    /// Creates a record with a drift. In cases about the end of an acceptance, the acceptance already stands.
    async fn prepare(self, world: &World) -> String {
        let old = json!({"name": OLD});
        match self {
            Self::AcceptInPlace | Self::Revert => world.record("web-1", old).await,
            Self::FailToRevert => {
                world.cloud.change("droplets", DROPLET, json!({"tags": ["web", REFUSED]})).await.unwrap();
                world.record("web-1", json!({"name": LIVE, "tags": TAGS})).await;
                let refused = Effect::Refuse { status: 422, message: "a test wants it to fail".to_owned() };
                world.cloud.inject(Fault::new(format!("/v2/tags/{REFUSED}/*"), refused)).await.unwrap();
            }
            _ => world.declare("web-1", old).await,
        }
        let drift = format!("drift/{}", world.open_drift().await);
        let decision: &[&str] = match self {
            Self::AcceptInPlace | Self::AcceptStanding | Self::Revert | Self::FailToRevert => &[],
            Self::Move => &["arcadia.cloud/accept=true"],
            Self::Withdraw | Self::Expire | Self::InManifest => {
                &["arcadia.cloud/accept=true", "arcadia.cloud/accept-until=1h"]
            }
        };
        if decision.is_empty() {
            world.reaches(RECORD, "InSync", "False DriftOpen").await;
        } else {
            world.run(&[&["annotate", &drift], decision].concat()).await;
            world.reaches(&drift, "Standing", "True Accepted").await;
            world.reaches(RECORD, "ManifestCurrent", "False AcceptancesStand").await;
        }
        drift
    }

    /// Decides while no operator runs.
    async fn decide(self, world: &World, drift: &str) {
        match self {
            Self::AcceptInPlace | Self::AcceptStanding => {
                world.run(&["annotate", drift, "arcadia.cloud/accept=true"]).await;
            }
            Self::Withdraw => {
                world.run(&["annotate", drift, "arcadia.cloud/accept-"]).await;
            }
            Self::Revert | Self::FailToRevert => {
                world.cloud.reset_requests().await.unwrap();
                world.run(&["annotate", drift, "arcadia.cloud/revert=true"]).await;
            }
            Self::InManifest => world.declare("web-1", json!({"name": LIVE})).await,
            Self::Move => {
                let policy = r#"{"spec":{"drift":{"accept":"InPlace"}}}"#;
                world.run(&["patch", RECORD, "--type=merge", "-p", policy]).await;
            }
            Self::Expire => {
                // As if an hour had passed.
                let patch = r#"{"status":{"acceptance":{"until":"2026-01-01T00:00:00Z"}}}"#;
                world.run(&["patch", drift, "--subresource=status", "--type=merge", "-p", patch]).await;
            }
        }
    }

    /// Succeeds if the end is as expected.
    async fn is_over(self, world: &World) -> Result<(), Value> {
        let Outcome { drifts, standing, reason, desired, live, in_sync, manifest_current } = self.outcome();
        let record = &world.get("pr/web-1").await;
        let mut found = world.list("drifts").await;
        found.sort_by_key(|drift| drift["spec"]["episode"].as_i64());
        let shown: Vec<_> =
            found.iter().map(|drift| json!([drift["spec"]["expected"], drift["status"]["phase"]])).collect();
        let conditions =
            [condition(record, "InSync"), condition(record, "ManifestCurrent"), condition(&found[0], "Standing")];
        let acceptances = record["status"]["acceptances"].as_array().map_or(0, Vec::len);
        let open = found.iter().filter(|drift| drift["status"]["phase"] == "Open").count();
        let droplet = world.cloud.get("droplets", DROPLET).await.unwrap().unwrap();
        let is_over = json!(shown) == json!(drifts)
            && conditions == [in_sync, manifest_current, standing]
            && reason.is_none_or(|reason| found[0]["status"]["reason"] == reason)
            && record["spec"]["desired"]["name"] == *desired
            && droplet["name"] == live
            && acceptances == usize::from(standing.starts_with("True"))
            && record["status"]["openDrifts"] == json!(open);
        let is =
            json!({ "drifts": shown, "conditions": conditions, "record": record["spec"], "status": record["status"] });
        if is_over { Ok(()) } else { Err(is) }
    }
}

impl Case {
    /// Whether each change of a revert was made once, although the operator crashed.
    async fn changed_nothing_twice(self, world: &World, what: &str) {
        let requests = world.cloud.requests().await.unwrap();
        match self {
            Self::Revert => {
                assert_eq!(requests.count("POST /v2/droplets/*/actions"), 1, "{what}");
                assert_eq!(requests.mutating(), 1, "{what}");
            }
            Self::FailToRevert => {
                let own = |verb: &str| requests.count(&format!("{verb} /v2/tags/{}/resources", TAGS[0]));
                assert_eq!((own("POST"), own("DELETE")), (1, 1), "{what}");
                let droplet = world.cloud.get("droplets", DROPLET).await.unwrap().unwrap();
                assert_eq!(droplet["tags"], json!(["web", REFUSED]), "{what}");
            }
            _ => {}
        }
        let sagas = world.run(&["get", "sagas", "-o", "name"]).await;
        let is_revert = matches!(self, Self::Revert | Self::FailToRevert);
        assert_eq!(sagas.lines().count(), usize::from(is_revert), "{what}: {sagas}");
    }
}

fn condition(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let condition = conditions.into_iter().find(|condition| condition["type"] == kind);
    let text = |condition: &Value, key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    condition.map(|it| format!("{} {}", text(it, "status"), text(it, "reason"))).unwrap_or_default()
}

/// Crashes the operator at the n-th pass of this point. Returns false if the point was not reached.
async fn crash(case: Case, place: &str, passes: usize) -> bool {
    let mut world = World::new(&format!("{}-{place}-{passes}", case.name())).await;
    let drift = case.prepare(&world).await;
    world.kill_operator();
    case.decide(&world, &drift).await;
    world.release_lease();
    let mut operator = world.spawn_operator(&[], &[("FAILPOINTS", &format!("{place}={passes}*off->1*return"))]);
    let mut crashed = false;
    for _ in 0..150 {
        let is_over = case.is_over(&world).await.is_ok();
        if is_over {
            // The last write is a point too.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        crashed = operator.ended().is_some();
        if crashed || is_over {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(operator);
    if crashed {
        world.restart_operator();
    }
    let what = format!("{case:?} after a crash at {place} {passes}");
    eventually(&what, || case.is_over(&world)).await;
    if crashed {
        // A further sweep changes nothing.
        world.sync("web-1").await;
        case.is_over(&world).await.unwrap_or_else(|is| panic!("{what}: {is}"));
    }
    case.changed_nothing_twice(&world, &what).await;
    crashed
}

/// Crashes the operator at each point in turn. Returns the number of points.
async fn crash_everywhere(case: Case, place: &str) -> usize {
    let mut passes = 0;
    loop {
        let at_once = case.points(place).saturating_sub(passes).clamp(1, 2);
        let passing = stream::iter(passes..passes + at_once).map(|passes| crash(case, place, passes));
        let outcomes: Vec<_> = passing.buffered(2).collect().await;
        passes += outcomes.iter().take_while(|crashed| **crashed).count();
        if outcomes.contains(&false) {
            return passes;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_write_of_a_decision_loses_nothing_and_reopens_no_drift() {
    let _turn = turn().await;
    let all = Case::ACCEPTING.into_iter().flat_map(|case| WRITES.map(|place| (case, place)));
    crash_at_all(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_write_and_call_of_a_revert_loses_nothing_and_changes_nothing_twice() {
    let _turn = turn().await;
    let places = |case| WRITES.into_iter().chain(SAGA).map(move |place| (case, place));
    crash_at_all([Case::Revert, Case::FailToRevert].into_iter().flat_map(places)).await;
}

async fn crash_at_all(all: impl Iterator<Item = (Case, &'static str)>) {
    let reached: Vec<_> = stream::iter(all)
        .map(|(case, place)| async move { (case, place, crash_everywhere(case, place).await) })
        .buffer_unordered(ABREAST / 2)
        .collect()
        .await;
    for (case, place, passes) in &reached {
        println!("{case:?}: {passes} kill points {place}");
        assert!(*passes >= case.points(place), "{case:?} {place}: {passes}");
    }
}
