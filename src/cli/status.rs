//! `status`: the state of the installation, and the rights of the user.

mod found;
mod report;
mod view;

use std::collections::{BTreeMap, BTreeSet};

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
    api::{ListParams, PostParams},
};
use strum::VariantArray as _;

use super::{
    Error, Exit,
    cluster::{self, ClusterArgs, Noun, UserCluster},
    drift::text,
    output::Format,
    select::SIDE_BY_SIDE,
    text::{Paint, print},
};
use crate::{
    api::{self, GROUP, OPERATOR},
    kube_ext::call::{self, bounded},
    manifests::users::{GRANTS, UserRole},
};
use found::{DeploymentView, LeaseView, OPERATOR_LABEL, Policies, Records, StatusFindings};
use report::LeaderReport;

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
    let definitions = definitions(&cluster).await?;
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
        namespace: cluster.namespace().to_owned(),
        flag: cluster.flag(),
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

/// The served plurals of the group; none if the group is not served.
async fn definitions(cluster: &UserCluster) -> Result<Option<BTreeSet<String>>, Error> {
    let version = &Noun::Drift.resource().api_version;
    let client = cluster.client();
    match bounded("listing the resources of arcadia.cloud", client.list_api_group_resources(version)).await {
        Ok(list) => Ok(Some(list.resources.into_iter().map(|resource| resource.name).collect())),
        Err(call::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn leases(cluster: &UserCluster) -> Result<Vec<LeaseView>, Error> {
    let params = ListParams::default().fields(&format!("metadata.name={OPERATOR}"));
    let leases: Vec<Lease> = cluster::list(&Api::all(cluster.client()), "listing leases", params).await?;
    let view = |lease: Lease| {
        let namespace = lease.namespace().unwrap_or_default();
        let spec = lease.spec.unwrap_or_default();
        LeaseView {
            namespace,
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            renewed: spec.renew_time.map(|time| time.0),
            seconds: spec.lease_duration_seconds.unwrap_or_default().into(),
        }
    };
    Ok(leases.into_iter().map(view).collect())
}

/// The reports of the leaders that are pods. An unreachable pod is a finding, not a failure.
async fn reports(cluster: &UserCluster, leases: &[LeaseView]) -> Result<Vec<Result<LeaderReport, String>>, Error> {
    let client = cluster.client_without_retries()?;
    let reads = leases.iter().map(|lease| report::read(&client, &lease.namespace, lease.holder.as_deref()));
    let reads: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
    Ok(reads.into_iter().filter_map(|read| read.map_err(|error| error.to_string()).transpose()).collect())
}

async fn deployments(cluster: &UserCluster) -> Result<Vec<DeploymentView>, Error> {
    let params = ListParams::default().labels(OPERATOR_LABEL);
    let deployments: Vec<Deployment> =
        cluster::list(&Api::all(cluster.client()), "listing deployments", params).await?;
    let view = |deployment: Deployment| {
        let spec = deployment.spec.as_ref();
        let containers = spec.and_then(|spec| spec.template.spec.as_ref()).map(|pod| pod.containers.as_slice());
        DeploymentView {
            namespace: deployment.namespace().unwrap_or_default(),
            name: deployment.name_any(),
            image: containers.and_then(|all| all.first()?.image.clone()).unwrap_or_default(),
            ready: deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default(),
            wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        }
    };
    Ok(deployments.into_iter().map(view).collect())
}

async fn policies(cluster: &UserCluster) -> Result<Policies, Error> {
    let policies: Vec<ValidatingAdmissionPolicy> =
        cluster::list(&Api::all(cluster.client()), "listing admission policies", ListParams::default()).await?;
    let bindings: Vec<ValidatingAdmissionPolicyBinding> =
        cluster::list(&Api::all(cluster.client()), "listing bindings of admission policies", ListParams::default())
            .await?;
    // A binding that warns or logs refuses nothing.
    let bound = bindings.into_iter().filter_map(|binding| binding.spec).filter(|spec| {
        spec.validation_actions.as_ref().is_some_and(|actions| actions.iter().any(|action| action == DENY))
    });
    let bound: BTreeSet<String> = bound.filter_map(|spec| spec.policy_name).collect();
    let mut found = Policies::default();
    for policy in policies {
        let name = policy.name_any();
        let constraints = policy.spec.and_then(|spec| spec.match_constraints);
        let mut groups = constraints.into_iter().flat_map(|rules| rules.resource_rules.unwrap_or_default());
        if !groups.any(|rule| rule.api_groups.is_some_and(|groups| groups.iter().any(|group| group == GROUP))) {
            continue;
        }
        let part = view::POLICIES.iter().find_map(|part| Some((name.strip_suffix(part)?.strip_suffix('-')?, *part)));
        // If both suffixes match, as in `decisions` and `saga-decisions`, the longer one applies.
        let Some((installation, part)) = part else { continue };
        if bound.contains(&name) {
            found.bound.entry(installation.to_owned()).or_default().insert(part.to_owned());
        } else {
            found.unbound.push(name);
        }
    }
    Ok(found)
}

async fn records(cluster: &UserCluster, is_served: bool) -> Result<Records, Error> {
    let mut found = Records::default();
    if !is_served {
        return Ok(found);
    }
    for record in cluster.list(Noun::Record, ListParams::default()).await? {
        found.add(&record);
    }
    Ok(found)
}

/// The names of unfinished sagas, by phase.
async fn sagas(cluster: &UserCluster, is_served: bool) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !is_served {
        return Ok(found);
    }
    let unfinished = api::SagaPhase::VARIANTS.iter().copied().filter(|phase| phase.is_finished());
    let fields: Vec<_> = unfinished.map(|phase| format!("status.phase!={}", phase.name())).collect();
    for saga in cluster.list(Noun::Saga, ListParams::default().fields(&fields.join(","))).await? {
        let phase = text(&saga.data, "/status/phase").unwrap_or("Pending").to_owned();
        found.entry(phase).or_default().push(format!("{}/{}", saga.namespace().unwrap_or_default(), saga.name_any()));
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
