//! The step `UpdateResource`.

mod needs;

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::sleep;

use self::needs::Needs;
use super::{
    common::{NoOutput, SOON, nothing, nothing_left, unnamed},
    reverting::{Before, FieldState, RevertParameters, WORKING},
};
use crate::{
    comparison::secret::hide_text,
    digitalocean::{
        Error, FieldSet, IdFormat, Live, ResourceOwner,
        kinds::RestState,
        revert::{
            AccountFacts, Revert,
            request::{FieldWrite, Request},
        },
    },
    saga::step::{Failure, Progress, Step, StepContext, Trace, Undo},
};

/// The placeholder of a certificate by Cloudflare, which is sent as it is.
const CLOUDFLARE: &str = "needs-cloudflare-cert";

/// The pause between two reads of a resource that does not show an accepted change yet.
const LOOK: Duration = Duration::from_secs(1);
/// The longest time that such a resource is read.
const LONGEST_LOOK: Duration = Duration::from_secs(15);

/// Restores the recorded value of one field of a resource. The step reads the value from the record, so the saga does
/// not hold it, and lays it over the live one: all other fields are sent as they are live. Undone by restoring the
/// earlier value, which is refused if the field has been changed since; a field that holds credentials, or that
/// DigitalOcean changes in one direction only, cannot be undone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Parameters(RevertParameters);

pub(super) struct UpdateResource;

impl Step for UpdateResource {
    const NAME: &'static str = "UpdateResource";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, parameters: &Parameters) -> Option<&'static str> {
        parameters.0.irreversible()
    }

    async fn before(&self, context: &StepContext<'_>, Parameters(given): &Parameters) -> Result<Before, Failure> {
        let (before, live) = given.before(context).await?;
        if before.differed
            && let ResourceOwner::Controller(owner) = context.cloud.owner(&live).await?
        {
            return Err(Failure::Permanent(format!(
                "{} of {} belongs to the {owner}, which would change it back; change it there",
                given.field,
                given.key()
            )));
        }
        let had_failed = matches!(rest(given, &live), RestState::Failed(_));
        let before = Before { had_failed, ..before };
        let Some(was) = &before.was else { return Ok(before) };
        let along = FieldWrite::from(&live, &given.field, was).map(FieldWrite::with_recorded);
        let values =
            along.into_iter().flatten().filter_map(|(key, field)| Some((key.clone(), live.raw(field)?.clone())));
        Ok(Before { along: values.collect(), ..before })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        Parameters(given): &Parameters,
        before: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let desired = given.decided(context).await?;
        given.check_record(before, &desired)?;
        let mut needs = Needs::default();
        loop {
            if let Some(progress) = put_back(context, given, before, &desired, &mut needs).await? {
                return Ok(progress);
            }
        }
    }

    async fn trace(
        &self,
        context: &StepContext<'_>,
        Parameters(given): &Parameters,
        before: &Before,
    ) -> Result<Trace, Failure> {
        if !before.differed {
            return Ok(Trace::Nothing);
        }
        let (is_changed, live) = given.is_changed(context, before).await?;
        if !is_changed {
            return match rest(given, &live) {
                // The effect of a call may still appear.
                RestState::Busy(why) => Err(Failure::Waiting(waiting(given, &why))),
                RestState::AtRest | RestState::Failed(_) => Ok(Trace::Nothing),
            };
        }
        let why = given.irreversible().unwrap_or("its earlier value is not known");
        Ok(Trace::There(format!("{} of {} was changed and cannot be undone: {why}", given.field, given.key())))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let given = &parameters.0;
        let (Some(was), Some(wrote)) = (&before.was, &before.wrote) else {
            return Ok(match self.trace(context, parameters, before).await? {
                Trace::Nothing => nothing_left(output),
                Trace::UnderWay(action) => Undo::Started(action),
                Trace::There(why) => return Err(Failure::Permanent(why)),
            });
        };
        let mut needs = Needs::default();
        loop {
            if let Some(undone) = put_away(context, given, before, (was, wrote), output, &mut needs).await? {
                return Ok(undone);
            }
        }
    }
}

/// The progress of a change of the field as it is live.
fn rest(given: &RevertParameters, live: &Live) -> RestState {
    let write = FieldWrite::from(live, &given.field, &live.value(&given.field));
    write.map_or(RestState::AtRest, |write| write.rest(live.document()))
}

/// Reads the resource and makes the next call. None if something else had to be read after the document.
async fn put_back(
    context: &StepContext<'_>,
    given: &RevertParameters,
    before: &Before,
    desired: &Value,
    needs: &mut Needs,
) -> Result<Option<Progress<NoOutput>>, Failure> {
    let live = given.live(context, desired).await?;
    needs.have_new_document();
    let restored = match given.compare(&live, desired)? {
        FieldState::Differs(restored) => restored,
        FieldState::Equal => {
            return Ok(match settle(context, given, before, &live, needs).await? {
                Settled::Yes => Some(Progress::Done(NoOutput {})),
                Settled::NotYet(why) => Some(not_yet(why)),
                Settled::ReadAgain => None,
            });
        }
    };
    given.check_differed(before)?;
    given.check(&live, desired)?;
    let facts = AccountFacts::default();
    let revert = Revert { field: &given.field, desired, document: &live, facts: &facts };
    let plan = FieldWrite::of(&revert).ok_or_else(|| no_call(given))?;
    let rest = plan.rest(live.document());
    if let RestState::Busy(why) = rest {
        return Ok(Some(not_yet(why)));
    }
    // Calls about members change those alone, one after the other.
    if !plan.has_members() {
        given.check_live(before, &live)?;
    }
    let along = needs.along(context, given, plan).await?;
    if !write(context, given, plan, &live, (&restored, &along), needs).await? {
        return Ok(None);
    }
    if plan.is_done_at_once() {
        return Ok(Some(Progress::Done(NoOutput {})));
    }
    let is_restored = |live: &Live| matches!(given.compare(live, desired), Ok(FieldState::Equal));
    let is_visible = appears(context, given, plan, desired, is_restored).await;
    check_repeated(given, before, rest)?;
    // The cloud may have accepted the same change before, without an effect.
    if !is_visible && !context.is_first_call() {
        return Err(without_effect(given));
    }
    Ok(Some(Progress::NotYet { again: SOON, why: format!("waiting until {} shows the change", given.key()) }))
}

/// Reads the resource and makes the next call that restores the earlier value. None if something else had to be read
/// after the document.
async fn put_away(
    context: &StepContext<'_>,
    given: &RevertParameters,
    before: &Before,
    (was, wrote): (&Value, &Value),
    output: Option<&NoOutput>,
    needs: &mut Needs,
) -> Result<Option<Undo>, Failure> {
    let live = given.live(context, was).await?;
    needs.have_new_document();
    let plan = FieldWrite::from(&live, &given.field, was).ok_or_else(|| no_call(given))?;
    let restored = match plan.undone_members(&live, &given.field, was, wrote) {
        Some(restored) if restored == *live.document() => FieldState::Equal,
        Some(restored) => FieldState::Differs(restored),
        None => given.undone(&live, was, wrote)?,
    };
    Ok(match (restored, plan.rest(live.document())) {
        (_, RestState::Busy(why)) => Some(Undo::NotYet { again: WORKING, why: waiting(given, &why) }),
        (FieldState::Equal, _) => match settle(context, given, before, &live, needs).await? {
            Settled::Yes => Some(nothing_left(output)),
            Settled::NotYet(why) => Some(Undo::NotYet { again: WORKING, why }),
            Settled::ReadAgain => None,
        },
        (FieldState::Differs(restored), rest) => {
            // A map that shows its earlier values may have keys that the step added.
            if !plan.has_members() && !given.is(&live, wrote) && !given.is(&live, was) {
                return Err(given.changed_since());
            }
            if !write(context, given, plan, &live, (&restored, &before.along), needs).await? {
                return Ok(None);
            }
            if plan.is_done_at_once() {
                return Ok(Some(Undo::Done));
            }
            let is_undone = |live: &Live| matches!(given.undone(live, was, wrote), Ok(FieldState::Equal));
            let is_visible = appears(context, given, plan, was, is_undone).await;
            check_repeated(given, before, rest)?;
            if !is_visible {
                return Err(without_effect(given));
            }
            Some(Undo::not_yet(SOON))
        }
    })
}

/// Waits until a change that the cloud has accepted shows in the resource, for a short time, and returns true if it does.
/// The first responses may show neither the new value nor a change in progress, and the change would be made a second
/// time.
async fn appears(
    context: &StepContext<'_>,
    given: &RevertParameters,
    plan: FieldWrite,
    value: &Value,
    is_as_sent: impl Fn(&Live) -> bool,
) -> bool {
    // Members are added and removed one after the other, and each call shows its own.
    if plan.has_members() {
        return true;
    }
    let sent = Instant::now();
    loop {
        // A failed read shows nothing yet.
        let live = given.live(context, value).await;
        let is_visible =
            live.is_ok_and(|live| matches!(plan.rest(live.document()), RestState::Busy(_)) || is_as_sent(&live));
        let left = context.settle.min(LONGEST_LOOK).saturating_sub(sent.elapsed());
        if is_visible || left.is_zero() {
            return is_visible;
        }
        sleep(LOOK.min(left)).await;
    }
}

/// Counts a change as another attempt, if an earlier one failed: this one repeats it.
fn check_repeated(given: &RevertParameters, before: &Before, rest: RestState) -> Result<(), Failure> {
    match rest {
        RestState::Failed(why) if !before.had_failed => Err(repeated(given, &why)),
        RestState::Failed(_) | RestState::AtRest | RestState::Busy(_) => Ok(()),
    }
}

fn repeated(given: &RevertParameters, why: &str) -> Failure {
    Failure::Doubt(format!("changing {}: {why}; the change was repeated", given.key()))
}

/// The attempts of a change that has no effect are limited.
fn without_effect(given: &RevertParameters) -> Failure {
    Failure::Doubt(format!("changing {}: the change was sent again, because the resource did not show it", given.key()))
}

fn no_call(given: &RevertParameters) -> Failure {
    Failure::Permanent(format!("{} of {}: this step cannot change it", given.field, given.key()))
}

fn waiting(given: &RevertParameters, why: &str) -> String {
    format!("waiting until {} is at rest: {why}", given.key())
}

fn not_yet(why: String) -> Progress<NoOutput> {
    Progress::NotYet { again: WORKING, why }
}

/// The state of a resource that has the value already.
enum Settled {
    Yes,
    /// It is still being changed.
    NotYet(String),
    /// Something else had to be read after the document.
    ReadAgain,
}

/// Waits for a resource that has the value already, but is still being changed. A change that failed is repeated, and each
/// repetition counts as an attempt. A failure that existed before the step is ignored, and DigitalOcean no longer offers a
/// version once the cluster runs it.
async fn settle(
    context: &StepContext<'_>,
    given: &RevertParameters,
    before: &Before,
    live: &Live,
    needs: &mut Needs,
) -> Result<Settled, Failure> {
    let value = live.value(&given.field);
    let Some(plan) = FieldWrite::from(live, &given.field, &value) else { return Ok(Settled::Yes) };
    match plan.rest(live.document()) {
        RestState::Busy(why) => Ok(Settled::NotYet(waiting(given, &why))),
        RestState::Failed(why) if before.differed && !before.had_failed && !plan.needs_version() => {
            let again = plan.retry(given.kind);
            if !write(context, given, again, live, (live.document(), &Map::new()), needs).await? {
                return Ok(Settled::ReadAgain);
            }
            Err(repeated(given, &why))
        }
        RestState::AtRest | RestState::Failed(_) => Ok(Settled::Yes),
    }
}

/// Makes the next call right after the document was read. Returns false, and makes none, where something else had to be
/// read since.
async fn write(
    context: &StepContext<'_>,
    given: &RevertParameters,
    plan: FieldWrite,
    live: &Live,
    (restored, along): (&Value, &Map<String, Value>),
    needs: &mut Needs,
) -> Result<bool, Failure> {
    let key = given.key();
    if let Some(scope) = plan.hidden(live) {
        return Err(hidden(given, scope));
    }
    for scope in plan.scopes_in_doubt(given.kind) {
        if !live.may(scope) && !needs.may(context, scope).await? {
            return Err(hidden(given, scope));
        }
    }
    if let Some((guard, path, name)) = plan.guard(live)
        && guard.condition.holds(needs.guard(context, path, name).await?)
    {
        let (field, by) = (&given.field, &guard.by);
        return Err(Failure::Permanent(format!("{field} of {key} belongs to {by}, which would change it back")));
    }
    let request = plan.request(live, &given.field, restored, along);
    let mut request = request.map_err(|why| Failure::Permanent(format!("changing {key}: {why}")))?;
    if plan.needs_version() {
        offer_version(given, &mut request, needs.offered(context, &given.id).await?)?;
    }
    name_certificates(context, &mut request, needs).await?;
    if needs.is_document_old() {
        return Ok(false);
    }
    let sent = match context.cloud.send(request.verb, request.path(&key), Some(&request.body)).await {
        Err(error) if request.alternative.is_some() && error.refuses_ports() => {
            context.cloud.send(request.verb, request.path(&key), request.alternative.as_ref()).await
        }
        sent => sent,
    };
    match sent {
        Ok(answer) => match request.answer {
            None => nothing(&answer).map(|()| true),
            Some(key) => answer.get(key).map(|_| true).ok_or_else(|| unnamed(key)),
        },
        Err(Error::NotFound { .. }) => Err(missing(context, given, &request).await?),
        Err(error) => Err(error.into()),
    }
}

/// The refusal to write back a document that may lack a part.
fn hidden(given: &RevertParameters, scope: &str) -> Failure {
    Failure::Permanent(format!(
        "changing {} of {}: the token cannot read all that the call has to send back, which would be removed; give it the \
         scope `{scope}`",
        given.field,
        given.key()
    ))
}

/// Replaces a version by the newest offered one that it matches: `1.31` may be recorded for `1.31.1-do.0`.
fn offer_version(given: &RevertParameters, request: &mut Request, slugs: &[String]) -> Result<(), Failure> {
    let Some(wanted) = request.body.get("version").and_then(Value::as_str).map(str::to_owned) else { return Ok(()) };
    let is_wanted =
        |slug: &&String| slug.strip_prefix(&wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
    let newest = slugs.iter().filter(is_wanted).max_by_key(|slug| numbers(slug));
    let slug = newest.ok_or_else(|| {
        let offered = if slugs.is_empty() { "none".to_owned() } else { slugs.join(", ") };
        let wanted = hide_text(&wanted);
        Failure::Permanent(format!("{}: the version {wanted} is not offered; offered versions: {offered}", given.key()))
    })?;
    if let Value::Object(body) = &mut request.body {
        body.insert("version".to_owned(), Value::from(slug.as_str()));
    }
    Ok(())
}

fn numbers(slug: &str) -> Vec<u64> {
    slug.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Replaces the names of certificates by their ids: a record may name a certificate, since renewal changes the id.
async fn name_certificates(context: &StepContext<'_>, request: &mut Request, needs: &mut Needs) -> Result<(), Failure> {
    let is_name = |id: &str| !id.is_empty() && id != CLOUDFLARE && !IdFormat::Uuid.admits(id);
    let mut names = Vec::new();
    each_certificate(&mut request.body, &mut |id| {
        if is_name(id) {
            names.push(id.clone());
        }
    });
    if names.is_empty() {
        return Ok(());
    }
    let certificates = needs.certificates(context).await?;
    if let Some(unknown) = names.iter().find(|name| certificates.id_of(name).is_none()) {
        return Err(Failure::Permanent(format!(
            "there is no certificate {:?} in the account; correct the record",
            hide_text(unknown)
        )));
    }
    each_certificate(&mut request.body, &mut |id| {
        if let Some(found) = certificates.id_of(id).filter(|_| is_name(id)) {
            *id = found.to_owned();
        }
    });
    Ok(())
}

fn each_certificate(value: &mut Value, with: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Object(entries) => entries.iter_mut().for_each(|(key, value)| match value {
            Value::String(id) if key == "certificate_id" => with(id),
            value => each_certificate(value, with),
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| each_certificate(item, with)),
        _ => {}
    }
}

/// The failure of a change with a 404. The resource may exist, and a resource that it references may not.
async fn missing(context: &StepContext<'_>, given: &RevertParameters, request: &Request) -> Result<Failure, Failure> {
    let key = given.key();
    if context.cloud.live(&key, FieldSet::default()).await?.is_none() {
        return Ok(given.gone());
    }
    let mut ids = Vec::new();
    each_certificate(&mut request.body.clone(), &mut |id| ids.push(id.clone()));
    let certificates = if ids.is_empty() { None } else { Some(context.cloud.certificates().await?) };
    let dead: Vec<_> = ids
        .into_iter()
        .filter(|id| IdFormat::Uuid.admits(id) && certificates.as_ref().is_some_and(|all| all.name_of(id).is_none()))
        .collect();
    Ok(Failure::Permanent(if dead.is_empty() {
        format!("changing {key}: a resource that it names does not exist (404)")
    } else {
        format!(
            "changing {key}: it uses certificates that do not exist any more ({}); replace them in DigitalOcean, and record \
             certificates by their names",
            dead.join(", ")
        )
    }))
}
