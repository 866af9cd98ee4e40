//! The operator's account: its rights, and the credentials that the API server issues for it.

use std::path::{Path, PathBuf};

use arcadia_operator::manifests::{
    Installation,
    operator::{self, RULES, RuleScope},
};
use control_plane::{ControlPlane, Namespace};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::eventually;

/// The key in the user of each request that distinguishes tokens of one account.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// A kubeconfig with one token of the account and no other right.
#[derive(Clone)]
pub(crate) struct Credential {
    pub kubeconfig: PathBuf,
    pub token: String,
    /// The id of the token in the audit log.
    pub id: String,
}

impl Credential {
    /// Issues a new credential, in this file.
    pub(crate) async fn issue(namespace: &Namespace, installation: &Installation, kubeconfig: &Path) -> Self {
        let client = namespace.client().await.unwrap();
        let token = token(client.clone(), installation).await;
        let mut config: Value =
            serde_json::from_str(&std::fs::read_to_string(namespace.kubeconfig()).unwrap()).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"] = json!({ "token": token });
        }
        for context in config["contexts"].as_array_mut().unwrap() {
            context["context"]["namespace"] = json!(installation.namespace);
        }
        std::fs::write(kubeconfig, config.to_string()).unwrap();
        Self { kubeconfig: kubeconfig.to_owned(), id: id(client, &token).await, token }
    }

    /// Returns true if this entry of the audit log is a request with this credential.
    pub(crate) fn made(&self, request: &Value) -> bool {
        request["user"]["extra"][CREDENTIAL][0] == *self.id
    }
}

async fn token(client: Client, installation: &Installation) -> String {
    let accounts = Api::<ServiceAccount>::namespaced(client, &installation.namespace);
    let request = accounts
        .create_token_request(&installation.service_account, &PostParams::default(), &TokenRequest::default())
        .await
        .unwrap();
    request.status.unwrap().token
}

async fn id(client: Client, token: &str) -> String {
    let spec = TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let reviewed = Api::<TokenReview>::all(client).create(&PostParams::default(), &review).await.unwrap();
    reviewed.status.unwrap().user.unwrap().extra.unwrap()[CREDENTIAL].concat()
}

/// Applies manifests without a kubectl process: each test does this.
async fn apply(client: &Client, manifests: &str) {
    for object in serde_saphyr::from_multiple::<DynamicObject>(manifests).unwrap() {
        let types = object.types.clone().unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
        let api = match object.namespace() {
            Some(namespace) => Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("test").force();
        api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.unwrap();
    }
}

/// Creates the account with its rights, and waits until they are effective.
pub(super) async fn grant_access(control_plane: &ControlPlane, installation: &Installation) {
    let access = operator::own_access(installation).unwrap() + &operator::watched_access(installation).unwrap();
    let client = control_plane.client().await.unwrap();
    apply(&client, &access).await;
    // The authorizer learns of a role a moment after it is written. One rule of each role shows that it has.
    let reviews = Api::<SubjectAccessReview>::all(client);
    let watched = installation.watched.first().unwrap_or(&installation.namespace);
    for (scope, namespace) in [(RuleScope::Own, &installation.namespace), (RuleScope::Watched, watched)] {
        let rule = RULES.iter().find(|rule| rule.scope == scope).unwrap();
        let attributes = ResourceAttributes {
            namespace: Some(namespace.clone()),
            group: Some(rule.api_group.to_owned()),
            resource: Some(rule.resources[0].to_owned()),
            name: rule.names.first().map(|&name| name.to_owned()),
            verb: Some(rule.verbs[0].to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(installation.username()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        eventually("the operator's rights", || async {
            let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
            let status = reviewed.status.unwrap_or_default();
            if status.allowed { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
    }
}
