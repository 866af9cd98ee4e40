//! A record, its drifts and the cloud, with the writes of plans.

use super::*;

pub(super) const HISTORY: usize = 3;

/// A record, its drifts and the cloud, as stored by the API server and the provider.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct RecordWorld {
    /// The resource.
    pub(super) key: ResourceKey,
    pub(super) desired: BTreeMap<String, Value>,
    pub(super) ignore: BTreeSet<Box<str>>,
    pub(super) suspended: bool,
    pub(super) older: Option<String>,
    pub(super) last_accepted: LastAccepted,
    pub(super) accept: AcceptPolicy,
    pub(super) declared: DeclaredFields,
    /// The sagas that revert its drifts.
    pub(super) reverts: Vec<RevertSaga>,
    /// The parts of the account that the classes of reverts depend on.
    pub(super) facts: AccountFacts,
    /// The parts of the account that are read for decisions only.
    pub(super) decided: DecisionFacts,
    pub(super) now: Timestamp,
    pub(super) was_seen: bool,
    pub(super) is_deleting: bool,
    /// True if lists alone count as confirmed.
    pub(super) confirms: bool,
    /// The version of the record's object, and of the newest drift's.
    pub(super) version: usize,
    pub(super) drifts: Vec<KnownDrift>,
    /// The provider's resource; none if it is deleted.
    pub(super) live: Option<Value>,
    /// The live resource before the last change.
    pub(super) before: Option<Value>,
    /// The result of the last sweep.
    pub(super) swept: Swept,
    /// The start of the last list.
    pub(super) listed_at: Option<Timestamp>,
    pub(super) uids: usize,
    /// The number of resolved drifts to keep per field.
    pub(super) history: usize,
}

/// The resource as a sweep saw it.
#[derive(Clone, Debug)]
pub(super) enum Swept {
    /// It failed, or is too old.
    Nothing,
    /// The resource, if it exists.
    Live(Option<Value>),
}

impl RecordWorld {
    pub(super) fn new(desired: Value, live: Value) -> Self {
        let desired = serde_json::from_value(desired).unwrap();
        Self {
            key: ResourceKey::new(Kind::named("Droplet").unwrap(), "1"),
            desired,
            ignore: BTreeSet::new(),
            suspended: false,
            older: None,
            last_accepted: LastAccepted::default(),
            accept: AcceptPolicy::Auto,
            declared: DeclaredFields::Nothing,
            reverts: Vec::new(),
            facts: AccountFacts::default(),
            decided: DecisionFacts::default(),
            now: "2026-11-29T12:00:00Z".parse().unwrap(),
            was_seen: true,
            is_deleting: false,
            confirms: false,
            version: 0,
            drifts: Vec::new(),
            swept: Swept::Live(Some(live.clone())),
            before: Some(live.clone()),
            live: Some(live),
            listed_at: None,
            uids: 0,
            history: HISTORY,
        }
    }

    pub(super) fn sweep(&mut self) {
        self.swept = Swept::Live(self.live.clone());
    }

    /// A list that shows the state before the last change.
    pub(super) fn sweep_late(&mut self) {
        self.swept = Swept::Live(self.before.clone());
    }

    /// The plan without a direct request.
    pub(super) fn plan(&self) -> DriftPlan {
        self.plan_of(ReadSource::Inventory { is_confirmed: self.confirms })
    }

    /// The plan with a direct request that started when these drifts were known.
    pub(super) fn plan_fresh(&self, before: &[KnownDrift]) -> DriftPlan {
        self.plan_of(ReadSource::Fresh { before, listed_at: self.listed_at })
    }

    pub(super) fn plan_failed(&self) -> DriftPlan {
        self.plan_of(ReadSource::Failed { is_confirmed: self.confirms })
    }

    pub(super) fn plan_of(&self, reading: ReadSource<'_>) -> DriftPlan {
        let is_fresh = matches!(reading, ReadSource::Fresh { .. });
        let observed = if is_fresh { Swept::Live(self.live.clone()) } else { self.swept.clone() };
        let live = match &observed {
            Swept::Live(Some(document)) => Some(Live::parse(&self.key, &document.to_string()).unwrap()),
            Swept::Live(None) | Swept::Nothing => None,
        };
        let seen = match (&observed, &live) {
            (Swept::Nothing, _) => Seen::Unknown((ConditionReason::InventoryStale, "too old")),
            (Swept::Live(_), None) => Seen::Gone,
            (Swept::Live(_), Some(live)) => Seen::Present(live),
        };
        let reading = match reading {
            ReadSource::Inventory { .. } if matches!(seen, Seen::Gone) => ReadSource::Inventory { is_confirmed: true },
            reading => reading,
        };
        let rests = match &self.older {
            _ if self.is_deleting => Some(Inactive::Deleting),
            _ if self.suspended => Some(Inactive::Suspended),
            older => older.as_deref().map(Inactive::Duplicate),
        };
        let recorded = Recorded {
            namespace: "default",
            name: "web-1",
            reverts: &self.reverts,
            decided: Ok(&self.decided),
            facts: ReadFacts(&|| Arc::new(self.facts.clone())),
            desired: &self.desired,
            ignore: &self.ignore,
            rests,
            was_seen: self.was_seen,
            last_accepted: self.last_accepted.clone(),
            accept: self.accept,
            declared: &self.declared,
            now: self.now,
        };
        evaluate(&recorded, Observed { seen, reading }, &self.drifts, self.history)
    }

    /// The plan of one pass, with a direct request if it is needed.
    pub(super) fn pass(&mut self) -> DriftPlan {
        let plan = self.plan();
        if plan.needs_fresh_read.is_none() {
            return plan;
        }
        self.swept = Swept::Live(self.live.clone());
        self.plan_fresh(&self.drifts.clone())
    }

    /// Returns true if the API server accepts this write, which is bound to the versions that were `planned` with, or
    /// written by the plan itself.
    pub(super) fn takes(&self, step: &PlannedWrite, planned: &Self, written: &BTreeSet<Box<str>>) -> bool {
        let version = |world: &Self, name: &str| {
            world.drifts.iter().find(|drift| *drift.name == *name).map(|drift| drift.resource_version.clone())
        };
        match step {
            PlannedWrite::Open { field, episode, .. } => {
                !self.drifts.iter().any(|drift| *drift.field == **field && drift.episode == *episode)
            }
            PlannedWrite::Prune { .. } => true,
            // Each drift is confirmed before, and one may have been deleted.
            PlannedWrite::Adopt { adoptions, .. } => {
                self.version == planned.version
                    && adoptions.iter().all(|adoption| version(self, &adoption.drift).is_some())
            }
            write => write
                .drift()
                .is_some_and(|drift| written.contains(drift) || version(self, drift) == version(planned, drift)),
        }
    }

    /// Makes one write, as the API server does.
    pub(super) fn write(&mut self, step: &PlannedWrite) {
        if let Some(drift) = step.drift().filter(|_| !matches!(step, PlannedWrite::Prune { .. })) {
            self.touch(drift);
        }
        match step.clone() {
            PlannedWrite::Open { field, episode, shown, .. } => {
                self.uids += 1;
                let kind = Kind::named("Droplet").unwrap();
                let Shown { expected, actual, difference, revert, .. } = *shown;
                self.drifts.push(KnownDrift {
                    kind,
                    deleting: false,
                    change: Some(labels::change(kind.name(), &field, &expected, &actual).into()),
                    difference: difference.into(),
                    class: revert.as_ref().map(|revert| revert.class),
                    effect: revert.and_then(|revert| revert.why).map(Into::into),
                    decided: Decided::default(),
                    is_in_place: false,
                    is_answered: false,
                    name: format!("{field}-{episode}").into(),
                    uid: self.uids.to_string().into(),
                    resource_version: "1".into(),
                    created: Timestamp::UNIX_EPOCH,
                    field: field.into(),
                    episode,
                    phase: DriftPhase::Open,
                    expected: expected.into(),
                    actual: actual.into(),
                    accept: None,
                    accept_until: None,
                    because: None,
                    standing: None,
                    revert: None,
                    reverting: None,
                    saga: None,
                    reverted_at: None,
                    decided_by: None,
                    waits: None,
                    is_refused: false,
                    transition: None,
                });
            }
            PlannedWrite::Relabel { drift, change } => self.drift(&drift).change = Some(change.into()),
            PlannedWrite::Refresh { drift, shown } => self.drift(&drift).actual = shown.actual.into(),
            PlannedWrite::Reassess { drift, revert } => {
                let drift = self.drift(&drift);
                (drift.class, drift.effect) = (Some(revert.class), revert.why.map(Into::into));
            }
            PlannedWrite::Adopt { adoptions, in_doubt } => {
                self.last_accepted = in_doubt;
                self.version += 1;
                for Adoption { drift, field, value, .. } in adoptions {
                    self.desired.insert(field, value);
                    let drift = self.drift(&drift).clone();
                    self.last_accepted.add(&drift);
                }
            }
            PlannedWrite::Close { drift, why, .. } => {
                let (now, phase) = (self.now, why.phase());
                let drift = self.drift(&drift);
                drift.phase = phase;
                drift.reverting = None;
                drift.is_answered = false;
                if phase == DriftPhase::Accepted {
                    drift.decided.decision = Some(drift.accept.clone().unwrap_or_default());
                    drift.decided.because = drift.because.clone();
                    drift.is_in_place = true;
                }
                if phase == DriftPhase::Reverted {
                    drift.decided = drift.revert_decided(None);
                    drift.reverted_at = Some(now);
                }
            }
            PlannedWrite::Refuse { drift, .. } | PlannedWrite::Await { drift } => {
                let drift = self.drift(&drift);
                (drift.waits, drift.reverting) = (None, None);
            }
            PlannedWrite::Wait { drift, message } => self.drift(&drift).waits = Some(message.into()),
            PlannedWrite::DropDecision { drift } => {
                let drift = self.drift(&drift);
                (drift.accept, drift.accept_until, drift.because, drift.revert) = (None, None, None, None);
            }
            PlannedWrite::Prune { drift } => self.drifts.retain(|known| known.name != drift),
            other => self.write_of_standing_or_revert(other),
        }
    }

    pub(super) fn write_of_standing_or_revert(&mut self, step: PlannedWrite) {
        match step {
            PlannedWrite::Stand { drift, accepted, until, .. } => {
                let since = self.now;
                let drift = self.drift(&drift);
                drift.phase = DriftPhase::Accepted;
                drift.decided.decision = drift.accept.clone();
                drift.decided.until = drift.accept_until.clone();
                drift.waits = None;
                let (accepted, declared) = (accepted.value.to_string().into(), accepted.declared.to_string().into());
                (drift.decided.by, drift.decided.because) = (drift.decided_by.clone(), drift.because.clone());
                drift.standing = Some(Box::new(Standing { accepted, declared, since, until, has_patch: true }));
            }
            PlannedWrite::End { drift, why } => {
                let drift = self.drift(&drift);
                drift.standing = None;
                // The conditions are written again.
                (drift.is_answered, drift.is_in_place) = (false, why == Ending::InRecord);
                if why == Ending::Withdrawn {
                    drift.decided.decision = Some("".into());
                }
            }
            PlannedWrite::Reaffirm { drift, until } => {
                let drift = self.drift(&drift);
                let standing = drift.standing.as_mut().unwrap();
                standing.until = until;
                (drift.decided.by, drift.decided.because) = (drift.decided_by.clone(), drift.because.clone());
                drift.decided.decision = drift.accept.clone();
                drift.decided.until = drift.accept_until.clone();
            }
            PlannedWrite::RestoreDecision { drift } => {
                let drift = self.drift(&drift);
                (drift.accept, drift.accept_until) = (None, None);
                let Decided { decision, until, because, by } = drift.decided.clone();
                if drift.standing.is_some() {
                    (drift.accept, drift.accept_until, drift.revert) = (decision, until, None);
                } else if decision.is_some() {
                    drift.revert = decision;
                } else {
                    return;
                }
                (drift.because, drift.decided_by) = (because, by);
            }
            PlannedWrite::Revert { drift, saga } => {
                let known = self.drift(&drift).clone();
                let (drift, decided) = (known.uid.clone(), known.revert_decided(None));
                let saga: Box<str> = saga.name.into();
                if !self.reverts.iter().any(|known| known.name == saga) {
                    let (phase, message) = (SagaPhase::Pending, "".into());
                    self.reverts.push(RevertSaga {
                        name: saga,
                        drift,
                        phase,
                        message,
                        resource: Some("Droplet/1".into()),
                        finished_at: None,
                        is_cancelled: false,
                        decided,
                    });
                }
            }
            PlannedWrite::Follow { drift, saga, stuck } => {
                let known = self.reverts.iter().find(|known| known.name == saga).map(|saga| saga.decided.clone());
                let drift = self.drift(&drift);
                drift.decided = drift.revert_decided(known.as_ref());
                drift.saga = Some(saga.clone());
                drift.reverting = Some(Reverting { saga, is_stuck: stuck.is_some() });
            }
            PlannedWrite::CancelRevert { saga, .. } => {
                let saga = self.reverts.iter_mut().find(|known| known.name == saga).unwrap();
                (saga.is_cancelled, saga.phase, saga.message) = (true, SagaPhase::Failed, "cancelled".into());
            }
            PlannedWrite::FailRevert { drift, .. } => {
                let drift = self.drift(&drift);
                (drift.reverting, drift.decided) = (None, Decided::default());
            }
            // The worlds have no other sagas than the cached ones.
            PlannedWrite::LoseRevert { drift, .. } => {
                self.write(&PlannedWrite::DropDecision { drift: drift.clone() });
                self.write(&PlannedWrite::FailRevert { drift, message: "deleted".to_owned() });
            }
            PlannedWrite::Answer { drift, .. } => self.drift(&drift).is_answered = true,
            PlannedWrite::ShowPlan { drift, .. } => self.drift(&drift).waits = None,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn drift(&mut self, name: &str) -> &mut KnownDrift {
        self.drifts.iter_mut().find(|drift| *drift.name == *name).unwrap()
    }

    /// Repeats passes until nothing is left to do. Returns all writes.
    pub(super) fn settle(&mut self) -> Vec<PlannedWrite> {
        let mut all = Vec::new();
        for _ in 0..20 {
            let plan = self.pass();
            if plan.writes.is_empty() {
                return all;
            }
            plan.writes.iter().for_each(|step| self.write(step));
            all.extend(plan.writes.into_iter().map(bare));
        }
        panic!("does not settle: {all:?}");
    }

    pub(super) fn open(&self) -> Vec<&KnownDrift> {
        self.drifts.iter().filter(|drift| drift.is_open()).collect()
    }

    /// The names of the drifts whose acceptance stands.
    pub(super) fn standing(&self) -> Vec<Box<str>> {
        self.drifts.iter().filter(|drift| drift.standing.is_some()).map(|drift| drift.name.clone()).collect()
    }

    pub(super) fn set_live(&mut self, field: &str, value: Value) {
        self.live.as_mut().unwrap()[field] = value;
    }

    pub(super) fn annotate(&mut self, name: &str, decision: &str) {
        self.drift(name).accept = Some(decision.into());
        self.touch(name);
    }

    pub(super) fn touch(&mut self, name: &str) {
        let drift = self.drift(name);
        drift.resource_version = format!("{}+", drift.resource_version).as_str().into();
    }
}

pub(super) fn droplet() -> Value {
    json!({"id": 1, "name": "web-1", "memory": 4096, "region": {"slug": "nyc3"}, "tags": ["web"]})
}

/// A step with the full values alone.
pub(super) fn bare(step: PlannedWrite) -> PlannedWrite {
    let bare = |shown: Shown| Box::new(Shown { expected: shown.expected, actual: shown.actual, ..Shown::default() });
    match step {
        PlannedWrite::Open { field, episode, shown } => PlannedWrite::Open { field, episode, shown: bare(*shown) },
        PlannedWrite::Refresh { drift, shown } => PlannedWrite::Refresh { drift, shown: bare(*shown) },
        PlannedWrite::Close { drift, why, .. } => PlannedWrite::Close { drift, why, accepted: None },
        step => step,
    }
}

pub(super) fn shown(expected: &str, actual: &str) -> Box<Shown> {
    Box::new(Shown { expected: expected.into(), actual: actual.into(), ..Shown::default() })
}

pub(super) fn opened(field: &str, episode: i64, expected: &str, actual: &str) -> PlannedWrite {
    PlannedWrite::Open { field: field.into(), episode, shown: shown(expected, actual) }
}

pub(super) fn compared(situation: Situation) -> Compared {
    let Situation::Compared(compared) = situation else { panic!("compared: {situation:?}") };
    compared
}

pub(super) fn closed(drift: &str, why: Closing) -> PlannedWrite {
    PlannedWrite::Close { drift: drift.into(), why, accepted: None }
}

/// The message of a single step that shows the reason of a waiting decision.
pub(super) fn waiting(writes: &[PlannedWrite]) -> &str {
    let [PlannedWrite::Wait { message, .. }] = writes else { panic!("one step: {writes:?}") };
    message
}
