//! The step `CreateDroplet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    backups::BackupPolicy,
    common::{ProviderId, SOON, is_own, named, nothing_left, text, unnamed},
    droplet, tagging,
};
use crate::{
    digitalocean::{ChangeMethod, Endpoint},
    saga::step::{Failure, Lookup, Progress, Step, StepContext, Undo},
};

/// Creates a droplet, and waits until it is active and has its addresses. The saga finds the droplet by a tag:
/// `arcadia-saga:` with the saga's UID and the step's index. The token needs `tag:read` and `tag:create`. Undone by
/// deleting the droplet with its disk, and the tag if the token has `tag:delete`; volumes are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The name, also the initial host name: letters, digits, dots and dashes. Names need not be unique.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$"))]
    name: String,
    /// The slug of the size, such as `s-2vcpu-4gb`.
    #[schemars(length(min = 1, max = 100))]
    size: String,
    /// The image of the disk: the slug of a public image, such as `ubuntu-24-04-x64`, or the id of an image, snapshot
    /// or backup.
    image: ProviderId,
    /// The slug of the region, such as `nyc3`, or its prefix, such as `nyc`; any region by default.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    region: Option<String>,
    /// Tags of the droplet. Missing tags are created.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9_\-:]+$")))]
    tags: Vec<String>,
    /// The UUID of the VPC; the default VPC of the region by default.
    #[serde(default)]
    vpc_uuid: Option<ProviderId>,
    /// The ids or fingerprints of the account's SSH keys for root. Without any, DigitalOcean mails a password.
    #[serde(default)]
    ssh_keys: Vec<ProviderId>,
    /// Whether backups are enabled; false by default.
    #[serde(default)]
    backups: Option<bool>,
    /// The schedule of backups; daily by default.
    #[serde(default)]
    backup_policy: Option<BackupPolicy>,
    /// Whether the droplet has an IPv6 address; false by default.
    #[serde(default)]
    ipv6: Option<bool>,
    /// Whether DigitalOcean's metrics agent is installed; false by default.
    #[serde(default)]
    monitoring: Option<bool>,
    /// The user data for cloud-init at the first boot: a cloud-config file or a script. Every process on the droplet
    /// and everyone who may read sagas can read it, so it must not contain secrets. At most 64 KiB, and 32 KiB as an
    /// input.
    #[serde(default)]
    #[schemars(length(max = 65_536))]
    user_data: Option<String>,
    /// The ids of volumes to attach. They must be in the same region and attached to no droplet.
    #[serde(default)]
    volumes: Vec<ProviderId>,
    /// Whether the agent of the web console is installed. By default it is installed if the image supports it; with
    /// true, creating the droplet fails if the image does not.
    #[serde(default)]
    with_droplet_agent: Option<bool>,
    /// Whether the droplet has a public address; true by default. With false it can never have one.
    #[serde(default)]
    public_networking: Option<bool>,
}

/// The output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// The id of the droplet.
    droplet_id: String,
    /// The public IPv4 address, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_ipv4: Option<String>,
    /// The IPv4 address in the VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_ipv4: Option<String>,
    /// The public IPv6 address, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_ipv6: Option<String>,
}

pub(super) struct CreateDroplet;

/// The droplets that the step created.
enum Made {
    Nothing,
    One(Progress<Output>),
    /// A droplet that cannot become active.
    Broken(String),
    Several(Vec<String>),
}

impl Step for CreateDroplet {
    const NAME: &'static str = "CreateDroplet";

    type Parameters = Parameters;
    type Output = Output;
    type Before = ();

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Progress<Output>, Failure> {
        match made(context, parameters).await? {
            Made::Nothing => create(context, parameters).await,
            Made::One(progress) => Ok(progress),
            // Deleted first, so that it does not remain.
            Made::Broken(id) => {
                droplet::delete(context, &id).await?;
                Err(Failure::Transient(format!("creating droplet {id} failed; it is deleted and created again")))
            }
            Made::Several(ids) => Err(Failure::Doubt(format!("several droplets have its tag: {}", ids.join(", ")))),
        }
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Lookup<Output>, Failure> {
        Ok(match made(context, parameters).await? {
            Made::Nothing | Made::Broken(_) => Lookup::Nothing,
            Made::One(progress) => Lookup::One(progress),
            Made::Several(ids) => Lookup::Several(ids),
        })
    }

    async fn adopt(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        id: &str,
    ) -> Result<Progress<Output>, Failure> {
        let droplet = droplet::droplet(context, id).await?;
        let progress = match &droplet {
            Some(droplet) => progress(context, parameters, droplet).await?,
            None => return Err(Failure::Permanent(format!("there is no droplet {id}"))),
        };
        progress.ok_or_else(|| Failure::Permanent(format!("creating droplet {id} failed; it cannot become active")))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
        output: Option<&Output>,
    ) -> Result<Undo, Failure> {
        let droplets = match output {
            Some(output) => droplet::droplet(context, &output.droplet_id).await?.into_iter().collect(),
            None => droplets(context, parameters).await?,
        };
        let ids: Vec<_> = droplets.iter().filter_map(id_of).collect();
        match ids.as_slice() {
            // A droplet that appears only now would lose its tag.
            [] if !context.shows_everything() => Ok(Undo::NothingThere),
            [] => tagging::forget(context, &context.identity.tag()).await.map(|()| nothing_left(output)),
            [id] => droplet::delete(context, id).await.map(|()| Undo::not_yet(SOON)),
            several => Err(Failure::Permanent(format!(
                "several droplets could be the result of this step: {}; delete the right one",
                several.join(", ")
            ))),
        }
    }
}

/// Creates the droplet.
async fn create(context: &StepContext<'_>, parameters: &Parameters) -> Result<Progress<Output>, Failure> {
    let path = Endpoint { route: "/v2/droplets", parent: None, id: None, scope: "droplet:create, tag:create" };
    let answer = context.cloud.send(ChangeMethod::Post, path, Some(&request(context, parameters))).await?;
    let id = answer.get("droplet").and_then(id_of);
    let id = id.ok_or_else(|| unnamed("droplet"))?;
    Ok(match named(answer.pointer("/links/actions/0/id")) {
        Some(action) => Progress::Started { action, ids: vec![format!("droplets/{id}")] },
        None => new(&id),
    })
}

/// The body of the call.
fn request(context: &StepContext<'_>, parameters: &Parameters) -> Value {
    let tags: Vec<_> = parameters.tags.iter().cloned().chain([context.identity.tag()]).collect();
    let ids = |ids: &[ProviderId]| ids.iter().map(droplet::number_or_text).collect::<Vec<_>>();
    let texts = |ids: &[ProviderId]| ids.iter().map(ProviderId::to_string).collect::<Vec<_>>();
    let fields = [
        ("name", json!(parameters.name)),
        ("size", json!(parameters.size)),
        ("image", droplet::number_or_text(&parameters.image)),
        ("region", json!(parameters.region)),
        ("tags", json!(tags)),
        ("vpc_uuid", json!(parameters.vpc_uuid)),
        ("ssh_keys", json!(ids(&parameters.ssh_keys))),
        ("backups", json!(parameters.backups)),
        ("backup_policy", json!(parameters.backup_policy)),
        ("ipv6", json!(parameters.ipv6)),
        ("monitoring", json!(parameters.monitoring)),
        ("user_data", json!(parameters.user_data)),
        ("volumes", json!(texts(&parameters.volumes))),
        ("with_droplet_agent", json!(parameters.with_droplet_agent)),
        ("public_networking", json!(parameters.public_networking)),
    ];
    // Absent fields take the API's defaults.
    let is_given = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    fields
        .into_iter()
        .filter(|(_, value)| is_given(value))
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<Map<_, _>>()
        .into()
}

async fn made(context: &StepContext<'_>, parameters: &Parameters) -> Result<Made, Failure> {
    let droplets = droplets(context, parameters).await?;
    let [droplet] = droplets.as_slice() else {
        let ids: Vec<_> = droplets.iter().filter_map(id_of).collect();
        return Ok(if ids.is_empty() { Made::Nothing } else { Made::Several(ids) });
    };
    let progress = progress(context, parameters, droplet).await?;
    Ok(progress.map_or_else(|| Made::Broken(id_of(droplet).unwrap_or_default()), Made::One))
}

/// The droplets that the step created: at most one, unless a call was duplicated.
async fn droplets(context: &StepContext<'_>, parameters: &Parameters) -> Result<Vec<Value>, Failure> {
    // The lists may lag behind the journal.
    for id in context.noted("droplets") {
        if let Some(droplet) = droplet::droplet(context, id).await? {
            return Ok(vec![droplet]);
        }
    }
    let mut ids = tagged(context, ("tag_name", &context.identity.tag())).await?;
    // Lists omit GPU droplets unless these are requested; the list by tag is not documented.
    if ids.is_empty() && parameters.size.to_ascii_lowercase().starts_with("gpu-") {
        ids = tagged(context, ("type", "gpus")).await?;
    }
    let mut there = Vec::new();
    // The lists may still contain a deleted droplet.
    for id in ids {
        there.extend(droplet::droplet(context, &id).await?);
    }
    Ok(there)
}

/// The ids of the droplets in a list that have the step's tag. The tag is checked again, since a proxy may have dropped
/// the query.
async fn tagged(context: &StepContext<'_>, query: (&str, &str)) -> Result<Vec<String>, Failure> {
    let all = Endpoint { route: "/v2/droplets", parent: None, id: None, scope: "droplet:read" };
    let mut ids = Vec::new();
    for droplet in context.cloud.rows(all, "droplets", &[query]).await? {
        let id = id_of(&droplet).unwrap_or_default();
        if is_own(context, &droplet, &format!("droplet {id}"))? {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The progress of a droplet. None if it cannot become active.
async fn progress(
    context: &StepContext<'_>,
    parameters: &Parameters,
    droplet: &Value,
) -> Result<Option<Progress<Output>>, Failure> {
    let id =
        id_of(droplet).ok_or_else(|| Failure::Doubt("the response lacks the documented id of a droplet".to_owned()))?;
    if text(droplet, "status") != Some("new") {
        let output = output(&id, droplet);
        let is_public = parameters.public_networking != Some(false);
        let is_complete = output.private_ipv4.is_some()
            && (output.public_ipv4.is_some() || !is_public)
            && (output.public_ipv6.is_some() || parameters.ipv6 != Some(true));
        let why = format!("waiting for the addresses of droplet {id}");
        let progress = if is_complete { Progress::Done(output) } else { Progress::NotYet { again: SOON, why } };
        return Ok(Some(progress));
    }
    let actions = droplet::actions(context, &id).await?;
    let creation = actions.iter().find(|action| action.kind == "create");
    Ok(match creation.map(|action| (action.status.as_str(), action.id)) {
        Some(("errored", _)) => None,
        Some(("in-progress", action)) => Some(Progress::Started { action, ids: vec![format!("droplets/{id}")] }),
        _ => Some(new(&id)),
    })
}

fn new(id: &str) -> Progress<Output> {
    Progress::NotYet { again: SOON, why: format!("waiting until droplet {id} is active") }
}

fn output(id: &str, droplet: &Value) -> Output {
    let address = |version: &str, kind: &str| {
        let networks = droplet.get("networks")?.get(version)?.as_array()?;
        let network = networks.iter().find(|network| text(network, "type") == Some(kind))?;
        text(network, "ip_address").map(str::to_owned)
    };
    Output {
        droplet_id: id.to_owned(),
        public_ipv4: address("v4", "public"),
        private_ipv4: address("v4", "private"),
        public_ipv6: address("v6", "public"),
    }
}

fn id_of(droplet: &Value) -> Option<String> {
    droplet.get("id").and_then(Value::as_u64).map(|id| id.to_string())
}
