//! Standing acceptances: each engine applies the old manifests before, while and after drifts are accepted. Then each
//! acceptance ends in a different way. The manifest of one more record declares the live values.

use std::collections::BTreeMap;

use arcadia_operator::api::{Drift, ProvisionedResource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde_json::json;

use crate::{
    engine::{Engine, Loop, tests_for_engines},
    stage::{LIVE_NAME, Record, Stage, counted},
    world::eventually,
};

/// The name that the manifests declare.
const OLD: &str = "in-manifest";

/// A record whose manifest declares the live values.
const STEADY: (&str, &str) = ("steady", "1001");

/// The end of a record's acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The manifest is updated with the patch in the Drift.
    InManifest,
    /// The manifest declares a third name.
    ManifestChanged,
    /// A user withdraws it.
    Withdrawn,
    /// It expires.
    Expired,
}

impl End {
    const ALL: [Self; 4] = [Self::InManifest, Self::ManifestChanged, Self::Withdrawn, Self::Expired];

    const fn name(self) -> &'static str {
        match self {
            Self::InManifest => "catches-up",
            Self::ManifestChanged => "changes",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expires",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::InManifest => "InManifest",
            Self::ManifestChanged => "ManifestChanged",
            Self::Withdrawn => "Withdrawn",
            Self::Expired => "Expired",
        }
    }

    /// The expected value of the drift that opens after this end.
    const fn opens(self) -> Option<&'static str> {
        match self {
            Self::InManifest => None,
            Self::ManifestChanged => Some("third"),
            Self::Withdrawn | Self::Expired => Some(OLD),
        }
    }

    /// The generation of the record after this end.
    const fn generation(self) -> i64 {
        match self {
            Self::InManifest | Self::ManifestChanged => 2,
            Self::Withdrawn | Self::Expired => 1,
        }
    }
}

/// A record whose acceptance ends in one way, and its number among those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    end: End,
    number: usize,
}

impl Case {
    /// The records of an engine's story, whichever way they end.
    fn all(engine: Engine) -> Vec<Self> {
        let numbers = 0..engine.records_alike();
        numbers.flat_map(|number| End::ALL.map(|end| Self { end, number })).collect()
    }

    fn record(self) -> String {
        format!("{}-{}", self.end.name(), self.number)
    }

    fn droplet(self) -> String {
        let of_end = End::ALL.iter().position(|end| *end == self.end).unwrap();
        (2000 + self.number * End::ALL.len() + of_end).to_string()
    }
}

/// An engine that applies the manifests until it is dropped.
struct Story {
    stage: Stage,
    cases: Vec<Case>,
    engine: Engine,
    engine_loop: Loop,
}

impl Story {
    /// Starts with open drifts: the manifests have other names than the cloud.
    async fn begin(engine: Engine) -> Self {
        let mut stage = Stage::new(engine.name()).await;
        stage.add_droplet(STEADY.1).await;
        let cases = Case::all(engine);
        for case in &cases {
            stage.add_droplet(&case.droplet()).await;
        }
        commit(engine, &stage, |_| OLD.to_owned());
        let mut engine_loop = Loop::of(engine, &stage);
        engine_loop.next(1).await;
        stage.start_operator();
        let mut story = Self { stage, cases, engine, engine_loop };
        story.has_drifts(|_| vec![[OLD, "Open"]]).await;
        story.all_are("InSync", |end| if end.is_some() { "False DriftOpen" } else { "True NoDrift" }).await;
        // Helm's first upgrade of a release may still change its annotations.
        story.engine_loop.next(1).await;
        story
    }

    /// Plays rounds, in which neither the engine nor the operator writes anything.
    async fn is_quiet(&mut self, rounds: usize) {
        let (versions, writes) = (self.stage.versions(), self.stage.operator_writes());
        self.engine_loop.finds_no_difference(rounds).await;
        assert_eq!(self.stage.versions(), versions);
        let news = self.stage.operator_writes().split_off(writes.len());
        assert_eq!(news, [], "rounds of the engine are no news to the operator");
        self.stage.operator_wrote_to_no_record();
    }

    /// A third of the rounds of this engine.
    const fn third(&self) -> usize {
        self.engine.rounds().div_ceil(3)
    }

    /// The drifts of each record, in order: the expected name and the phase.
    async fn has_drifts(&self, wanted: impl Fn(End) -> Vec<[&'static str; 2]>) {
        let of = |case: &Case| wanted(case.end).into_iter().map(|drift| drift.map(str::to_owned)).collect();
        let wanted: BTreeMap<String, Vec<[String; 2]>> =
            self.cases.iter().map(|case| (case.record(), of(case))).collect();
        eventually("the drifts", || async {
            let mut drifts = self.stage.drifts().await;
            drifts.sort_by_key(|drift| drift.spec.episode);
            let mut found: BTreeMap<String, Vec<[String; 2]>> = BTreeMap::new();
            for drift in drifts {
                let phase = drift.status.unwrap_or_default().phase.name().to_owned();
                found.entry(drift.spec.resource_ref.name).or_default().push([drift.spec.expected, phase]);
            }
            if found == wanted { Ok(()) } else { Err(found) }
        })
        .await;
    }

    /// A condition of each record: status and reason.
    async fn all_are(&self, condition: &str, wanted: impl Fn(Option<End>) -> &'static str) {
        eventually(&format!("{condition} of all records"), || async {
            let records = self.stage.records().await;
            let wrong = records.iter().find_map(|record| {
                let end = self.end_of(&record.name_any());
                let is = condition_of(record, condition);
                (is != wanted(end)).then(|| format!("{}: {is}", record.name_any()))
            });
            wrong.map_or(Ok(()), Err)
        })
        .await;
    }

    /// How the acceptance of a record ends, unless it has none.
    fn end_of(&self, record: &str) -> Option<End> {
        self.cases.iter().find(|case| case.record() == record).map(|case| case.end)
    }

    /// The first drift of each record, which is accepted, with the way in which that ends.
    async fn first_drifts(&self) -> Vec<(End, Drift)> {
        let drifts = self.stage.drifts().await.into_iter().filter(|drift| drift.spec.episode == 1);
        drifts.map(|drift| (self.end_of(&drift.spec.resource_ref.name).unwrap(), drift)).collect()
    }

    /// Annotates the first drifts of all records that end in this way, with one command.
    async fn annotate(&self, end: End, annotations: &[&str]) {
        let drifts = self.first_drifts().await.into_iter().filter(|(of, _)| *of == end);
        let drifts: Vec<_> = drifts.map(|(_, drift)| format!("drift/{}", drift.name_any())).collect();
        let drifts: Vec<_> = drifts.iter().map(String::as_str).collect();
        self.stage.world.run(&[&["annotate", "--overwrite"][..], &drifts, annotations].concat()).await;
    }

    /// Accepts every drift, one of them for an hour.
    async fn accept(&self) {
        for end in End::ALL {
            let decision: &[&str] = match end {
                End::Expired => &["arcadia.cloud/accept=true", "arcadia.cloud/accept-until=1h"],
                _ => &["arcadia.cloud/accept=true"],
            };
            self.annotate(end, decision).await;
        }
    }

    /// Waits until all acceptances stand, and no other drift exists.
    async fn all_stand(&self) {
        self.has_drifts(|_| vec![[OLD, "Accepted"]]).await;
        self.all_are("InSync", |_| "True NoDrift").await;
        let current = |end: Option<End>| match end {
            Some(_) => "False AcceptancesStand",
            None => "True NoAcceptanceStands",
        };
        self.all_are("ManifestCurrent", current).await;
        for (_, drift) in self.first_drifts().await {
            assert_eq!(standing(&drift), "True Accepted");
        }
        let records = self.stage.records().await;
        assert!(records.iter().all(|record| record.metadata.generation == Some(1)), "a version of its own");
    }

    /// `kubectl diff` sees no difference between the manifests and the cluster.
    async fn tools_see_no_difference(&self) {
        let records = self.stage.manifest_file().display().to_string();
        // The command fails if there is a difference.
        match self.engine {
            Engine::Apply | Engine::Kustomize => self.stage.world.run(&["diff", "-f", &records]).await,
            Engine::ApplyServerSide => self.stage.world.run(&["diff", "--server-side", "-f", &records]).await,
            _ => String::new(),
        };
    }

    /// Ends every acceptance in its own way, at the same time.
    async fn end(&mut self) {
        let versions = self.stage.versions();
        let mut patches =
            self.first_drifts().await.into_iter().map(|(_, drift)| drift.status.unwrap().manifest_patch.unwrap());
        let patch = patches.next().unwrap();
        assert_eq!(patch, json!({"spec": {"desired": {"name": LIVE_NAME}}}));
        assert!(patches.all(|other| other == patch));
        let caught_up = patch["spec"]["desired"]["name"].as_str().unwrap().to_owned();
        commit(self.engine, &self.stage, |end| match end {
            End::InManifest => caught_up.clone(),
            End::ManifestChanged => "third".to_owned(),
            End::Withdrawn | End::Expired => OLD.to_owned(),
        });
        self.annotate(End::Withdrawn, &["arcadia.cloud/accept-"]).await;
        self.annotate(End::Expired, &["arcadia.cloud/accept-until=1s"]).await;
        let opens = |end: End| end.opens().map(|name| [name, "Open"]);
        self.has_drifts(|end| [[OLD, "Accepted"]].into_iter().chain(opens(end)).collect()).await;
        let in_sync = |end: Option<End>| match end.and_then(End::opens) {
            Some(_) => "False DriftOpen",
            None => "True NoDrift",
        };
        self.all_are("InSync", in_sync).await;
        self.all_are("ManifestCurrent", |_| "True NoAcceptanceStands").await;
        for (end, drift) in self.first_drifts().await {
            assert_eq!(standing(&drift), format!("False {}", end.reason()));
            assert_eq!(drift.status.unwrap().manifest_patch, None);
        }
        // Only the commit created versions of the records.
        for record in self.stage.records().await {
            let (name, generation) = (record.name_any(), record.metadata.generation.unwrap());
            let end = self.end_of(&name);
            assert_eq!(generation, end.map_or(1, End::generation), "{name}");
            let more = usize::from(generation == 2);
            self.stage.has_versions(&name, versions[&name].len() + more).await;
        }
    }
}

fn commit(engine: Engine, stage: &Stage, name_of: impl Fn(End) -> String) {
    // The managed fields of `kubectl replace` do not differ from those of an edit by hand.
    let more = if engine == Engine::Replace { json!({"drift": {"accept": "Standing"}}) } else { json!({}) };
    let record = |name: String, droplet: String, live: String| Record {
        name,
        droplet,
        desired: json!({"name": live}),
        more: more.clone(),
    };
    let steady = record(STEADY.0.to_owned(), STEADY.1.to_owned(), LIVE_NAME.to_owned());
    let cases = Case::all(engine).into_iter();
    let others = cases.map(|case| record(case.record(), case.droplet(), name_of(case.end)));
    stage.commit_all(&std::iter::once(steady).chain(others).collect::<Vec<_>>());
}

/// A condition: status and reason.
fn said<'c>(conditions: impl IntoIterator<Item = &'c Condition>, kind: &str) -> String {
    let condition = conditions.into_iter().find(|condition| condition.type_ == kind);
    condition.map(|condition| format!("{} {}", condition.status, condition.reason)).unwrap_or_default()
}

fn condition_of(record: &ProvisionedResource, kind: &str) -> String {
    said(record.status.iter().flat_map(|status| &status.conditions), kind)
}

fn standing(drift: &Drift) -> String {
    said(drift.status.iter().flat_map(|status| &status.conditions), "Standing")
}

async fn acceptances_stand_under(engine: Engine) {
    let mut story = Story::begin(engine).await;
    let third = story.third();
    story.is_quiet(third).await;

    let (versions, writes) = (story.stage.versions(), story.stage.operator_writes().len());
    story.accept().await;
    story.engine_loop.finds_no_difference(third).await;
    story.all_stand().await;
    assert_eq!(story.stage.versions(), versions, "an acceptance that stands is no version of the record");
    let cost = story.stage.operator_writes().split_off(writes);
    let each = story.cases.len();
    let expected = BTreeMap::from([("patch drifts/status", each), ("patch provisionedresources/status", each)]);
    assert!(story.stage.is_on_a_given_cluster() || counted(&cost) == expected, "{cost:?}");

    story.is_quiet(third).await;
    // No state exists only in the memory of the operator.
    story.stage.world.kill_operator();
    story.stage.start_operator();
    story.is_quiet(third).await;
    story.all_stand().await;
    story.tools_see_no_difference().await;

    story.end().await;
    story.is_quiet(third).await;
}

tests_for_engines! {
    acceptances_stand_under:
    acceptances_stand_under_flux: Flux,
    acceptances_stand_under_argo_cd: Argo,
    acceptances_stand_under_argo_cd_with_server_side_apply: ArgoServerSide,
    acceptances_stand_under_argo_cd_with_server_side_diff: ArgoServerSideDiff,
    acceptances_stand_under_kubectl_apply: Apply,
    acceptances_stand_under_kubectl_apply_server_side: ApplyServerSide,
    acceptances_stand_under_kubectl_replace: Replace,
    acceptances_stand_under_kustomize: Kustomize,
    acceptances_stand_under_helm: Helm,
    acceptances_stand_under_helm_with_client_side_apply: HelmClientSide,
}
