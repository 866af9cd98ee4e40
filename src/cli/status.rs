//! `status`: the state of the installation, and the rights of the user.

mod found;
mod remedy;
mod report;
mod view;

use std::collections::BTreeMap;

use clap::Args;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apps::v1::Deployment,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    coordination::v1::Lease,
};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, PostParams},
};

use super::{
    Error, Exit,
    cluster::{self, ClusterArgs, Noun, UserCluster},
    drift::text,
    output::Format,
    saga,
    select::SIDE_BY_SIDE,
    text::{Paint, print},
};
use crate::{
    api::{self, GROUP, OPERATOR},
    kube_ext::call::bounded,
    manifests::users::{GRANTS, UserRole},
};
use found::{DeploymentView, Helm, LeaseView, OPERATOR_LABEL, Policies, RecordCounts, RecordState, StatusFindings};
use report::{LeaderReport, Unreported};

/// The action of a binding that refuses requests.
const DENY: &str = "Deny";

/// The flags of `status`.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct StatusArgs {
    /// Format [default: a table]
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &StatusArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let version = bounded("reading the version of the API server", cluster.client().apiserver_version()).await?;
    let definitions = cluster.served().await?;
    let is_served = definitions.is_some();
    let (leases, deployments, policies, records, sagas, rights) = tokio::join!(
        leases(&cluster),
        deployments(&cluster),
        policies(&cluster),
        records(&cluster, is_served),
        sagas(&cluster, is_served),
        rights(&cluster),
    );
    let leases = readable(leases)?;
    let reports = reports(&cluster, leases.as_deref().unwrap_or_default()).await?;
    let user = cluster.user_name().await?;
    let found = StatusFindings {
        now: Timestamp::now(),
        server_version: version.git_version,
        definitions,
        leases,
        reports,
        deployments: readable(deployments)?,
        policies: readable(policies)?,
        records: readable(records)?,
        sagas: readable(sagas)?,
        rights: rights?,
        user: user.unwrap_or_else(|| "USER".to_owned()),
        namespace: cluster.namespace().to_owned(),
        is_all: cluster.is_all(),
        flag: cluster.flag(),
        place_flags: cluster.place_flags().to_owned(),
        admin_flags: cluster.admin_flags().to_owned(),
    };
    let checks = view::checks(&found);
    print(&match args.output {
        None => view::render(&checks, Paint::of_stdout()),
        Some(format) => format.write(&view::json(&checks))?,
    })?;
    Ok(if view::has_problem(&checks) { Exit::No } else { Exit::Done })
}

/// Missing rights are a finding here, not a failure.
fn readable<T>(read: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(Error::Forbidden { message, .. }) => Ok(Err(message)),
        Err(error) => Err(error),
    }
}

async fn leases(cluster: &UserCluster) -> Result<Vec<LeaseView>, Error> {
    let params = ListParams::default().fields(&format!("metadata.name={OPERATOR}"));
    let view = |lease: Lease| {
        let namespace = lease.namespace().unwrap_or_default();
        let spec = lease.spec.unwrap_or_default();
        Some(LeaseView {
            namespace,
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            renewed: spec.renew_time.map(|time| time.0),
            seconds: spec.lease_duration_seconds.unwrap_or_default().into(),
        })
    };
    cluster::list(&Api::all(cluster.client()), "listing leases", params, view).await
}

/// The reports of the leaders that are pods. An unreachable pod is a finding, not a failure.
async fn reports(cluster: &UserCluster, leases: &[LeaseView]) -> Result<Vec<Result<LeaderReport, Unreported>>, Error> {
    let client = cluster.client_without_retries()?;
    let reads = leases.iter().map(|lease| {
        let client = &client;
        async move {
            let read = report::read(client, &lease.namespace, lease.holder.as_deref()).await;
            read.map_err(|error| Unreported::of(&lease.namespace, &error)).transpose()
        }
    });
    let reads: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
    Ok(reads.into_iter().flatten().collect())
}

async fn deployments(cluster: &UserCluster) -> Result<Vec<DeploymentView>, Error> {
    let params = ListParams::default().labels(OPERATOR_LABEL);
    let view = |deployment: Deployment| {
        let spec = deployment.spec.as_ref();
        let pod = spec.and_then(|spec| spec.template.spec.as_ref());
        let container = pod.and_then(|pod| pod.containers.first());
        Some(DeploymentView {
            namespace: deployment.namespace().unwrap_or_default(),
            name: deployment.name_any(),
            service_account: pod.and_then(|pod| pod.service_account_name.clone()).unwrap_or_default(),
            image: container.and_then(|container| container.image.clone()).unwrap_or_default(),
            ready: deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default(),
            wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            helm: Helm::of(&deployment),
            arguments: container.and_then(|container| container.args.clone()).unwrap_or_default(),
        })
    };
    cluster::list(&Api::all(cluster.client()), "listing deployments", params, view).await
}

async fn policies(cluster: &UserCluster) -> Result<Policies, Error> {
    let is_ours = |policy: &ValidatingAdmissionPolicy| {
        let constraints = policy.spec.as_ref().and_then(|spec| spec.match_constraints.as_ref());
        let mut rules = constraints.and_then(|rules| rules.resource_rules.as_ref()).into_iter().flatten();
        rules.any(|rule| rule.api_groups.iter().flatten().any(|group| group == GROUP))
    };
    let ours = |policy: ValidatingAdmissionPolicy| is_ours(&policy).then(|| (policy.name_any(), Helm::of(&policy)));
    let policies =
        cluster::list(&Api::all(cluster.client()), "listing admission policies", ListParams::default(), ours).await?;
    // A binding that warns or logs refuses nothing.
    let denied = |binding: ValidatingAdmissionPolicyBinding| {
        let spec = binding.spec?;
        spec.validation_actions.iter().flatten().any(|action| action == DENY).then_some(spec.policy_name).flatten()
    };
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(cluster.client());
    let doing = "listing bindings of admission policies";
    let bound = cluster::list(&bindings, doing, ListParams::default(), denied).await?.into_iter().collect();
    Ok(Policies::of(policies, &bound))
}

async fn records(cluster: &UserCluster, is_served: bool) -> Result<RecordCounts, Error> {
    if !is_served {
        return Ok(RecordCounts::default());
    }
    let states = cluster.list(Noun::Record, ListParams::default(), |record| Some(RecordState::read(&record))).await?;
    Ok(states.into_iter().collect())
}

/// The names of unfinished sagas, by phase.
async fn sagas(cluster: &UserCluster, is_served: bool) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !is_served {
        return Ok(found);
    }
    let read = |saga: DynamicObject| {
        let phase = text(&saga.data, "/status/phase").unwrap_or(api::SagaPhase::Pending.name()).to_owned();
        Some((phase, format!("{}/{}", saga.namespace().unwrap_or_default(), saga.name_any())))
    };
    for (phase, name) in cluster.list(Noun::Saga, ListParams::default().fields(&saga::unfinished()), read).await? {
        found.entry(phase).or_default().push(name);
    }
    Ok(found)
}

/// The rights of the roles, each with whether the user has it.
async fn rights(cluster: &UserCluster) -> Result<Vec<(UserRole, String, bool)>, Error> {
    let api = Api::<SelfSubjectAccessReview>::all(cluster.client());
    let wanted = GRANTS.iter().flat_map(|grant| {
        grant
            .resources
            .iter()
            .flat_map(move |resource| grant.verbs.iter().map(move |verb| (grant.role, *resource, *verb)))
    });
    let reviews = wanted.map(|(role, resource, verb)| {
        let api = &api;
        async move {
            let attributes = ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                namespace: (!cluster.is_all()).then(|| cluster.namespace().to_owned()),
                ..ResourceAttributes::default()
            };
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let reviewed =
                bounded("reading your rights from the API server", api.create(&PostParams::default(), &review)).await?;
            let is_allowed = reviewed.status.is_some_and(|status| status.allowed);
            Ok::<_, Error>((role, format!("{verb} {resource}"), is_allowed))
        }
    });
    let reviews: Vec<_> = stream::iter(reviews).buffered(SIDE_BY_SIDE).collect().await;
    reviews.into_iter().collect()
}
