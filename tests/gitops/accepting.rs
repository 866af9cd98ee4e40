//! Acceptances that stand: each engine applies the old manifest before, while and after a drift is accepted.

use serde_json::{Value, json};

use crate::{
    engine::{Engine, Loop},
    stage::{RECORD, Stage},
};

/// An engine that applies a manifest, and a drift that was accepted against it.
struct Accepted {
    stage: Stage,
    engine: Engine,
    engine_loop: Loop,
    drift: String,
}

impl Accepted {
    /// The manifest says another name than the cloud, and the drift is accepted while the engine continues.
    async fn by(engine: Engine, test: &str) -> Self {
        let mut stage = Stage::new(&format!("{test}-{}", engine.name())).await;
        commit(engine, &stage, "in-manifest");
        let mut engine_loop = Loop::of(engine, &stage);
        engine_loop.next(1).await;
        stage.start_operator();
        let drift = format!("drift/{}", stage.world.open_drift().await);
        engine_loop.finds_no_difference(engine.rounds() / 3).await;
        let versions = stage.versions();

        stage.world.run(&["annotate", &drift, "arcadia.cloud/accept=true"]).await;
        engine_loop.finds_no_difference(engine.rounds() / 3).await;
        let mut accepted = Self { stage, engine, engine_loop, drift };
        accepted.stands().await;
        let writes = accepted.stage.operator_writes();
        accepted.engine_loop.finds_no_difference(engine.rounds() / 3).await;
        accepted.stands().await;
        assert_eq!(accepted.stage.operator_writes(), writes, "an acceptance that stands is no news");
        assert_eq!(accepted.stage.versions(), versions);
        assert_eq!(accepted.stage.generation().await, "1");
        accepted.tools_see_no_difference().await;
        accepted
    }

    /// The acceptance stands, and it is the only drift.
    async fn stands(&self) {
        let world = &self.stage.world;
        world.has_drifts(&[["name", "in-manifest", "web-1", "Accepted"]]).await;
        self.reaches(&self.drift, "Standing", "True").await;
        self.reaches(&format!("pr/{RECORD}"), "InSync", "True").await;
        self.reaches(&format!("pr/{RECORD}"), "ManifestCurrent", "False").await;
        self.stage.operator_wrote_to_no_record();
    }

    /// `kubectl diff` sees none between the manifest and the cluster.
    async fn tools_see_no_difference(&self) {
        let record = self.stage.manifests().join("record.yaml").display().to_string();
        // It fails when there is a difference.
        match self.engine {
            Engine::Apply | Engine::Kustomize => self.stage.world.run(&["diff", "-f", &record]).await,
            Engine::ApplyServerSide => self.stage.world.run(&["diff", "--server-side", "-f", &record]).await,
            _ => String::new(),
        };
    }

    /// The acceptance ends for this reason because the manifest has this name now.
    async fn ends(&mut self, name: &str, reason: &str) {
        let versions = self.stage.versions().len();
        commit(self.engine, &self.stage, name);
        self.engine_loop.next(1).await;
        self.stage.has_versions(versions + 1).await;
        self.stage.world.reaches(&self.drift, "Standing", &format!("False {reason}")).await;
        self.reaches(&format!("pr/{RECORD}"), "ManifestCurrent", "True").await;
    }

    /// The engine continues, and no version of the record follows this one.
    async fn stays(&mut self) {
        let versions = self.stage.versions();
        self.engine_loop.finds_no_difference(self.engine.rounds() / 3).await;
        assert_eq!(self.stage.versions(), versions);
        assert_eq!(self.stage.generation().await, "2");
        self.stage.operator_wrote_to_no_record();
    }

    async fn reaches(&self, object: &str, condition: &str, status: &str) {
        crate::world::eventually(&format!("{object} {condition} {status}"), || async {
            let is = self.stage.world.condition(object, condition).await;
            if is.split(' ').next() == Some(status) { Ok(()) } else { Err(is) }
        })
        .await;
    }
}

fn commit(engine: Engine, stage: &Stage, name: &str) {
    // Nothing that `kubectl replace` leaves tells it from an edit by hand.
    let more = if engine == Engine::Replace { json!({"drift": {"accept": "Standing"}}) } else { json!({}) };
    stage.commit_with(&json!({"name": name}), &more);
}

/// The manifest catches up, by the patch that the Drift shows.
async fn ends_when_the_manifest_catches_up(engine: Engine) {
    let mut accepted = Accepted::by(engine, "catches-up").await;
    let patch = accepted.stage.world.value(&accepted.drift, "{.status.manifestPatch}").await;
    let patch: Value = serde_json::from_str(&patch).unwrap();
    assert_eq!(patch, json!({"spec": {"desired": {"name": "web-1"}}}));
    accepted.ends(patch["spec"]["desired"]["name"].as_str().unwrap(), "InManifest").await;
    accepted.stays().await;
    accepted.stage.is_in_sync().await;
    accepted.stage.world.has_drifts(&[["name", "in-manifest", "web-1", "Accepted"]]).await;
}

/// The manifest says a third name, which is compared.
async fn ends_when_the_manifest_changes(engine: Engine) {
    let mut accepted = Accepted::by(engine, "changes").await;
    accepted.ends("third", "ManifestChanged").await;
    accepted.stage.world.open_drift().await;
    accepted.stays().await;
    let drifts = [["name", "in-manifest", "web-1", "Accepted"], ["name", "third", "web-1", "Open"]];
    accepted.stage.world.has_drifts(&drifts).await;
}

/// Both ends, for one engine each.
macro_rules! an_acceptance_stands_under {
    ($($name:ident: $engine:ident,)*) => {$(
        mod $name {
            use super::Engine;

            #[tokio::test]
            async fn until_the_manifest_catches_up() {
                super::ends_when_the_manifest_catches_up(Engine::$engine).await;
            }

            #[tokio::test]
            async fn until_the_manifest_says_a_third_value() {
                super::ends_when_the_manifest_changes(Engine::$engine).await;
            }
        }
    )*};
}

an_acceptance_stands_under! {
    flux: Flux,
    argo_cd: Argo,
    argo_cd_with_server_side_apply: ArgoServerSide,
    argo_cd_with_server_side_diff: ArgoServerSideDiff,
    kubectl_apply: Apply,
    kubectl_apply_server_side: ApplyServerSide,
    kubectl_replace: Replace,
    kustomize: Kustomize,
    helm: Helm,
    helm_with_client_side_apply: HelmClientSide,
}
