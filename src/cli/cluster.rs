//! The connection to the cluster, as the user of the kubeconfig, and the calls that commands share.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client, Config, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use super::{Error, error};
use crate::{
    api::{Drift, ProvisionedResource, Saga},
    comparison::show,
    kube_ext::{
        call::{self, bounded},
        depth,
        names::is_name,
    },
};

/// The number of objects per page of a list.
pub(super) const PAGE: u32 = 500;
/// The field manager of this program's writes.
const MANAGER: &str = "kubectl-arcadia";

/// The cluster and the namespace of a command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cluster options")]
pub(super) struct ClusterArgs {
    /// Path of the kubeconfig [default: `KUBECONFIG`, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,

    /// User to act as, instead of the user of the context
    #[arg(long = "as", global = true, value_name = "USER")]
    as_user: Option<String>,

    /// Group to act as, together with --as; can be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    as_groups: Vec<String>,

    /// Namespace [default: the namespace of the context]
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,

    /// All namespaces
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl ClusterArgs {
    /// The namespace that was given by a flag.
    pub(super) fn given_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The contexts of the kubeconfig; none if it cannot be read.
    pub(super) fn contexts(&self) -> Vec<String> {
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        read.map(|config| config.contexts.into_iter().map(|context| context.name).collect()).unwrap_or_default()
    }

    /// The connection as the given user.
    fn acting(&self, mut config: Config) -> Result<Config, Error> {
        if self.as_user.is_none() && !self.as_groups.is_empty() {
            return Err(Error::usage("--as-group acts as a member of the group; name the user, too, with --as"));
        }
        if self.as_user.is_some() {
            config.auth_info.impersonate.clone_from(&self.as_user);
            config.auth_info.impersonate_groups = (!self.as_groups.is_empty()).then(|| self.as_groups.clone());
        }
        Ok(config)
    }

    /// The flags that select the cluster and the user, with a leading space.
    /// The flags that were given to select the namespaces, the cluster and the user, with a leading space. No kubeconfig is
    /// read.
    pub(super) fn given_flags(&self) -> String {
        let namespace = self.namespace.clone().map(|namespace| ("--namespace", namespace));
        let all = if self.all_namespaces { " --all-namespaces" } else { "" };
        as_flags(namespace.into_iter()) + all + &self.place_flags()
    }

    fn place_flags(&self) -> String {
        let user = self.as_user.clone().map(|user| ("--as", user));
        let groups = self.as_groups.iter().map(|group| ("--as-group", group.clone()));
        self.cluster_flags() + &as_flags(user.into_iter().chain(groups))
    }

    /// The flags that select the cluster, with a leading space.
    fn cluster_flags(&self) -> String {
        let kubeconfig = self.kubeconfig.as_ref().map(|path| ("--kubeconfig", path.display().to_string()));
        let context = self.context.clone().map(|context| ("--context", context));
        as_flags(kubeconfig.into_iter().chain(context))
    }
}

/// Flags with their values, each with a leading space.
pub(super) fn as_flags(flags: impl Iterator<Item = (&'static str, String)>) -> String {
    flags.map(|(flag, value)| [" ", flag, " ", &quoted(&value)].concat()).collect()
}

/// A word for a shell, in quotes if it needs them.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./:@%+=,~".contains(sign);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The custom resources of this project, read without their types: an operator of another version may have more fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noun {
    Record,
    Drift,
    Saga,
}

impl Noun {
    pub(super) fn resource(self) -> ApiResource {
        match self {
            Self::Record => ApiResource::erase::<ProvisionedResource>(&()),
            Self::Drift => ApiResource::erase::<Drift>(&()),
            Self::Saga => ApiResource::erase::<Saga>(&()),
        }
    }

    /// The plural of the resource.
    pub(super) fn plural(self) -> String {
        self.resource().plural
    }

    /// The noun in a sentence.
    const fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Drift => "drift",
            Self::Saga => "saga",
        }
    }

    /// The noun that precedes a slash and a name, as `kubectl` accepts and prints it.
    pub(super) fn of(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        match word.strip_suffix(".arcadia.cloud").unwrap_or(&word) {
            "pr" | "provisionedresource" | "provisionedresources" | "record" | "records" => Some(Self::Record),
            "drift" | "drifts" | "dr" => Some(Self::Drift),
            "saga" | "sagas" => Some(Self::Saga),
            _ => None,
        }
    }
}

/// The name of an object, perhaps with its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectName {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl ObjectName {
    /// Reads `NAME`, `NAMESPACE/NAME`, `drift/NAME` (as `kubectl get -o name` prints it) or `drift/NAMESPACE/NAME` (as
    /// `inbox -A -o name` prints it, since a namespace may have the name of a noun). Refuses the name of another noun.
    pub(super) fn read(text: &str, noun: Noun) -> Result<Self, Error> {
        let (given, rest) = match text.split_once('/') {
            Some((word, rest)) => Noun::of(word).map_or((None, text), |given| (Some(given), rest)),
            None => (None, text),
        };
        if let Some(given) = given.filter(|given| *given != noun) {
            return Err(other_noun(text, rest, given, noun));
        }
        match rest.split_once('/') {
            None => Ok(Self { namespace: None, name: rest.to_owned() }),
            Some((namespace, name)) if is_name(namespace) => {
                Ok(Self { namespace: Some(namespace.to_owned()), name: name.to_owned() })
            }
            Some(_) => {
                let noun = noun.word();
                Err(Error::usage(format!(
                    "{text:?} is not a valid name; write NAME, NAMESPACE/NAME, {noun}/NAME or {noun}/NAMESPACE/NAME"
                )))
            }
        }
    }
}

/// The error that `text` names another noun than the command expects. `name` is the name without the noun.
pub(super) fn other_noun(text: &str, name: &str, given: Noun, expected: Noun) -> Error {
    let (text, name) = (quoted(text), quoted(name));
    let next = match (given, expected) {
        (Noun::Record, Noun::Drift) => format!("select the drifts of the record with: --record {name}"),
        (Noun::Record | Noun::Drift, _) => {
            format!("show it with: kubectl arcadia show {}/{name}{}", given.word(), error::place())
        }
        (Noun::Saga, _) => format!("show it with: kubectl arcadia saga tree {name}{}", error::place()),
    };
    let (given, expected) = (given.word(), expected.word());
    Error::usage(format!("{text} is a {given}, and a {expected} is expected here; {next}"))
}

/// A cluster, and the namespace of the command.
#[derive(Clone)]
pub(super) struct UserCluster {
    client: Client,
    config: Config,
    namespace: String,
    is_default: bool,
    all: bool,
    /// The flags that select the same cluster and user in another command, with a leading space.
    place_flags: String,
    /// The flags that select the same cluster in the command of an administrator, with a leading space.
    admin_flags: String,
}

impl UserCluster {
    /// Reads the kubeconfig. Makes no call.
    pub(super) async fn connect(args: &ClusterArgs) -> Result<Self, Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |why: &dyn std::fmt::Display| Error::Kubeconfig(why.to_string());
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let config = match &args.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error))?
            }
            None if args.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| unusable(&error))?
            }
            None => Config::infer().await.map_err(|error| unusable(&error))?,
        };
        let config = args.acting(config)?;
        let default = config.default_namespace.clone();
        let client = depth::client(config.clone()).map_err(|error| unusable(&error))?;
        let namespace = args.namespace.clone().unwrap_or_else(|| default.clone());
        if !is_name(&namespace) {
            return Err(Error::usage(format!(
                "{namespace:?} is not the name of a namespace; list them with: kubectl get namespaces"
            )));
        }
        let is_default = namespace == default;
        let this = Self {
            client,
            config,
            is_default,
            namespace,
            all: args.all_namespaces,
            place_flags: args.place_flags(),
            admin_flags: args.cluster_flags(),
        };
        error::remember_place(this.flag(), this.admin_flags.clone());
        Ok(this)
    }

    /// The same cluster, for calls about one namespace.
    pub(super) fn within(&self, namespace: &str) -> Self {
        let is_default = self.is_default && namespace == self.namespace;
        Self { namespace: namespace.to_owned(), is_default, all: false, ..self.clone() }
    }

    /// The same cluster, for calls about the namespace of a name, if it has one.
    pub(super) fn of_name(&self, name: &ObjectName) -> Self {
        name.namespace.as_deref().map_or_else(|| self.clone(), |namespace| self.within(namespace))
    }

    /// The same cluster, for calls about all namespaces.
    pub(super) fn everywhere(&self) -> Self {
        Self { all: true, ..self.clone() }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client that does not retry unavailable calls.
    pub(super) fn client_without_retries(&self) -> Result<Client, Error> {
        let mut config = self.config.clone();
        config.default_retry = false;
        depth::client(config).map_err(|error| Error::Kubeconfig(error.to_string()))
    }

    /// The namespace of the command, or of the context if the command covers all namespaces.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace in which the command looks an object up.
    pub(super) fn namespace_of<'a>(&'a self, name: &'a ObjectName) -> &'a str {
        name.namespace.as_deref().unwrap_or(&self.namespace)
    }

    /// Returns true if the command covers all namespaces.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// The flags that select this object's namespace in another command, with a leading space.
    pub(super) fn flag_for(&self, namespace: &str) -> String {
        let is_selected = self.is_default && namespace == self.namespace;
        let namespace = if is_selected { String::new() } else { format!(" -n {namespace}") };
        namespace + &self.place_flags
    }

    /// The flags that select the same namespaces in another command, with a leading space.
    pub(super) fn flag(&self) -> String {
        if self.all { format!(" -A{}", self.place_flags) } else { self.flag_for(&self.namespace) }
    }

    /// The flags that select the same cluster and user in another command, with a leading space.
    pub(super) fn place_flags(&self) -> &str {
        &self.place_flags
    }

    /// The flags that select the same cluster in the command of an administrator, with a leading space.
    pub(super) fn admin_flags(&self) -> &str {
        &self.admin_flags
    }

    /// The command's namespaces, in words.
    pub(super) fn place(&self) -> String {
        if self.all { "all namespaces".to_owned() } else { format!("namespace {}", self.namespace) }
    }

    /// The objects of one namespace.
    pub(super) fn api(&self, noun: Noun, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), namespace, &noun.resource())
    }

    /// The objects of the command's namespaces.
    pub(super) fn scope(&self, noun: Noun) -> Api<DynamicObject> {
        if self.all { Api::all_with(self.client(), &noun.resource()) } else { self.api(noun, &self.namespace) }
    }

    /// Lists all objects of the command's namespaces, page by page, and keeps what `read` returns of each.
    pub(super) async fn list<T>(
        &self,
        noun: Noun,
        params: ListParams,
        read: impl Fn(DynamicObject) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        list(&self.scope(noun), &format!("listing {} in {}", noun.plural(), self.place()), params, read).await
    }

    /// Returns true if the command's namespaces have such an object. Reads no page.
    pub(super) async fn has_any(&self, noun: Noun, params: ListParams) -> Result<bool, Error> {
        let doing = format!("listing {} in {}", noun.plural(), self.place());
        let page = bounded(&doing, self.scope(noun).list(&params.limit(1))).await;
        match page {
            Err(call::Error::NotFound { doing }) => Err(Error::NotInstalled { doing }),
            page => Ok(!page?.items.is_empty()),
        }
    }

    /// One object; none if it does not exist.
    pub(super) async fn find(&self, noun: Noun, namespace: &str, name: &str) -> Result<Option<DynamicObject>, Error> {
        // In a path, other characters would address another resource.
        if !is_name(name) || !is_name(namespace) {
            return Ok(None);
        }
        let doing = format!("reading {} {namespace}/{name}", noun.resource().kind);
        match bounded(&doing, self.api(noun, namespace).get_opt(name)).await {
            // The cluster does not serve the resource.
            Err(call::Error::NotFound { .. }) => Ok(None),
            found => Ok(found?),
        }
    }

    /// The object of a name; none if it does not exist. A name alone names no object of all namespaces.
    pub(super) async fn find_named(&self, noun: Noun, name: &ObjectName) -> Result<Option<DynamicObject>, Error> {
        if self.all && name.namespace.is_none() {
            let name = show::escape(&name.name);
            return Err(Error::usage(format!(
                "-A covers all namespaces, and {name} may be in several of them; name it as NAMESPACE/{name}, or replace \
                 -A by -n NAMESPACE"
            )));
        }
        self.find(noun, self.namespace_of(name), &name.name).await
    }

    pub(super) async fn get(&self, noun: Noun, name: &ObjectName) -> Result<DynamicObject, Error> {
        match self.find_named(noun, name).await? {
            Some(found) => Ok(found),
            None => Err(self.not_found(&[noun], name).await),
        }
    }

    /// The error that no object of these nouns has the name, or that the cluster does not serve them: the API server
    /// answers both in the same way.
    pub(super) async fn not_found(&self, nouns: &[Noun], name: &ObjectName) -> Error {
        let namespace = self.namespace_of(name);
        let all = |text: fn(&Noun) -> String, sign| nouns.iter().map(text).collect::<Vec<_>>().join(sign);
        let object = format!("{} {}", all(|noun| noun.resource().kind, " or "), show::escape(&name.name));
        // A user who may not read what is served learns that the object does not exist.
        if let Ok(served) = Box::pin(self.served()).await {
            let is_served = |noun: &Noun| served.as_ref().is_some_and(|plurals| plurals.contains(&noun.plural()));
            if !nouns.iter().any(is_served) {
                return Error::NotInstalled { doing: format!("reading {object}") };
            }
        }
        Error::NotFound {
            object,
            namespace: show::escape(namespace).into_owned(),
            next: format!("kubectl get {}{}", all(|noun| noun.plural(), ","), self.flag_for(namespace)),
        }
    }

    /// Applies a merge patch to one object.
    pub(super) async fn patch(
        &self,
        noun: Noun,
        namespace: &str,
        name: &str,
        doing: &str,
        patch: &Value,
        dry_run: bool,
    ) -> Result<DynamicObject, call::Error> {
        let params = PatchParams { dry_run, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api(noun, namespace);
        bounded(doing, api.patch(name, &params, &Patch::Merge(patch))).await
    }

    /// Creates an object in the command's namespace. Returns false if it already exists.
    pub(super) async fn create(&self, noun: Noun, object: &Value) -> Result<bool, Error> {
        let object: DynamicObject =
            serde_json::from_value(object.clone()).map_err(|error| Error::Output(error.to_string()))?;
        let doing = format!("creating {} {}/{}", noun.resource().kind, self.namespace, object.name_any());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match bounded(&doing, self.api(noun, &self.namespace).create(&params, &object)).await {
            Ok(_) => Ok(true),
            Err(call::Error::AlreadyExists { .. }) => Ok(false),
            // Either the namespace or the definition is missing.
            Err(call::Error::NotFound { doing }) => match self.served().await? {
                Some(plurals) if plurals.contains(&noun.plural()) => Err(Error::NoNamespace {
                    doing,
                    next: format!("kubectl create namespace {}{}", self.namespace, self.place_flags),
                }),
                _ => Err(Error::NotInstalled { doing }),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The plurals of the group that the cluster serves; none if it does not serve the group.
    pub(super) async fn served(&self) -> Result<Option<BTreeSet<String>>, Error> {
        let version = &Noun::Drift.resource().api_version;
        match bounded("listing the resources of arcadia.cloud", self.client.list_api_group_resources(version)).await {
            Ok(list) => Ok(Some(list.resources.into_iter().map(|resource| resource.name).collect())),
            Err(call::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The name of the user at the API server; none if the API server does not return it.
    pub(super) async fn user_name(&self) -> Result<Option<String>, Error> {
        let review = Api::<SelfSubjectReview>::all(self.client());
        let reviewed = bounded(
            "reading your user name from the API server",
            review.create(&PostParams::default(), &SelfSubjectReview::default()),
        )
        .await;
        match reviewed {
            Ok(review) => Ok(review.status.and_then(|status| status.user_info?.username)),
            Err(call::Error::Forbidden { .. } | call::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Lists all objects, page by page, and keeps what `read` returns of each. A list whose continuation has expired is read
/// once more from the start.
pub(super) async fn list<K, T>(
    api: &Api<K>,
    doing: &str,
    params: ListParams,
    read: impl Fn(K) -> Option<T>,
) -> Result<Vec<T>, Error>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    match pages(api, doing, &params, &read).await {
        Err(call::Error::Refused { .. }) => {}
        Err(call::Error::NotFound { doing }) => return Err(Error::NotInstalled { doing }),
        outcome => return Ok(outcome?),
    }
    Ok(pages(api, doing, &params, &read).await?)
}

async fn pages<K, T>(
    api: &Api<K>,
    doing: &str,
    params: &ListParams,
    read: impl Fn(K) -> Option<T>,
) -> Result<Vec<T>, call::Error>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.clone().limit(PAGE);
    let mut kept = Vec::new();
    loop {
        let page = bounded(doing, api.list(&params)).await?;
        kept.extend(page.items.into_iter().filter_map(&read));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(kept),
        }
    }
}

/// A value in a field selector.
pub(super) fn selected(value: &str) -> String {
    value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_kubectl_and_the_inbox_print_them() {
        let read = |text: &str| ObjectName::read(text, Noun::Drift).unwrap();
        let name = |namespace: Option<&str>| ObjectName { namespace: namespace.map(str::to_owned), name: "d".into() };
        for text in ["d", "drift/d", "Drift/d", "drift.arcadia.cloud/d", "drifts.arcadia.cloud/d", "dr/d"] {
            assert_eq!(read(text), name(None), "{text}");
        }
        assert_eq!(read("team-a/d"), name(Some("team-a")));
        // A namespace may have the name of a noun.
        for namespace in ["team-a", "pr", "dr", "drifts", "saga"] {
            assert_eq!(read(&format!("drift.arcadia.cloud/{namespace}/d")), name(Some(namespace)));
        }
    }

    #[test]
    fn the_name_of_another_noun_is_refused_with_the_command_to_type() {
        let refusal = |text, noun| ObjectName::read(text, noun).unwrap_err().to_string();
        expect_test::expect![[r#"
            pr/web-1 is a record, and a drift is expected here; select the drifts of the record with: --record web-1
            saga/x is a saga, and a drift is expected here; show it with: kubectl arcadia saga tree x
            drift/x is a drift, and a record is expected here; show it with: kubectl arcadia show drift/x
            pr/x is a record, and a saga is expected here; show it with: kubectl arcadia show record/x
            pr/team/x is a record, and a drift is expected here; select the drifts of the record with: --record team/x
            "/x" is not a valid name; write NAME, NAMESPACE/NAME, drift/NAME or drift/NAMESPACE/NAME
            "drift/../x" is not a valid name; write NAME, NAMESPACE/NAME, drift/NAME or drift/NAMESPACE/NAME"#]]
        .assert_eq(
            &[
                refusal("pr/web-1", Noun::Drift),
                refusal("saga/x", Noun::Drift),
                refusal("drift/x", Noun::Record),
                refusal("pr/x", Noun::Saga),
                refusal("pr/team/x", Noun::Drift),
                refusal("/x", Noun::Drift),
                refusal("drift/../x", Noun::Drift),
            ]
            .join("\n"),
        );
    }

    #[test]
    fn commands_to_type_select_the_same_cluster() {
        let args = ClusterArgs {
            kubeconfig: Some("/home/jane/my config".into()),
            context: Some("prod".to_owned()),
            as_user: Some("jane".to_owned()),
            as_groups: vec!["ops".to_owned(), "on call".to_owned()],
            ..ClusterArgs::default()
        };
        let flags = " --kubeconfig '/home/jane/my config' --context prod --as jane --as-group ops --as-group 'on call'";
        assert_eq!(args.place_flags(), flags);
        assert_eq!(args.cluster_flags(), " --kubeconfig '/home/jane/my config' --context prod");
        assert_eq!(ClusterArgs::default().place_flags(), "");
        assert_eq!([quoted("a.b/c:d"), quoted(""), quoted("it's")], ["a.b/c:d", "''", r"'it'\''s'"]);
    }

    #[test]
    fn a_value_of_a_field_selector_adds_no_other_selector() {
        assert_eq!(selected(r"a,status.phase=Open\"), r"a\,status.phase\=Open\\");
    }
}
