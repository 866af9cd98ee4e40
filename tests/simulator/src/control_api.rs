//! The control API, below `/_simulator/`: no token, no limits, no faults, not counted.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    routing::{self, get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    certificates,
    colleague::{Colleague, Moment},
    control_paths::{ACTIONS, COLLEAGUES, FAULTS, INVENTORY, RENEWAL, REQUESTS, RESOURCE},
    faults::{Effect, Fault},
    inventory, kinds,
    past::Past,
    requests::Requests,
    shared::Shared,
};

/// The resource of a call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) collection: String,
    #[serde(default)]
    pub(crate) id: String,
    /// True if a put document is complete.
    #[serde(default)]
    pub(crate) as_is: bool,
    /// The moment of a colleague's write.
    #[serde(default)]
    pub(crate) moment: Option<Moment>,
}

type Refused = (StatusCode, String);

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(RESOURCE, get(read).put(put).patch(change).delete(delete))
        .route(INVENTORY, get(inventory))
        .route(RENEWAL, post(renew))
        .route(COLLEAGUES, post(order))
        .route(ACTIONS, routing::delete(finish))
        .route(FAULTS, post(inject).delete(clear))
        .route(REQUESTS, get(requests).delete(reset))
}

/// Parses the body as JSON with any content type, so that a plain `curl -d` works.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

fn missing(name: &Name) -> Refused {
    (StatusCode::NOT_FOUND, format!("there is no {} in {}", name.id, name.collection))
}

async fn read(State(shared): State<Arc<Shared>>, Query(name): Query<Name>) -> Result<Json<Value>, Refused> {
    let cloud = shared.cloud();
    let (kind, collection) = kinds::list(&name.collection).ok_or_else(|| missing(&name))?;
    let id = cloud.resolve(kind, &collection, &name.id).ok_or_else(|| missing(&name))?;
    cloud.store.get(&collection, &id).map(Json).ok_or_else(|| missing(&name))
}

async fn put(State(shared): State<Arc<Shared>>, Query(name): Query<Name>, body: Bytes) -> Result<Json<Value>, Refused> {
    let document = parse(&body)?;
    let mut cloud = shared.cloud();
    let put =
        if name.as_is { cloud.put_as_is(&name.collection, document) } else { cloud.put(&name.collection, document) };
    put.map(Json).map_err(|reason| (StatusCode::UNPROCESSABLE_ENTITY, reason))
}

async fn change(
    State(shared): State<Arc<Shared>>,
    Query(name): Query<Name>,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    shared.cloud().change(&name.collection, &name.id, &parse(&body)?).map(Json).ok_or_else(|| missing(&name))
}

async fn delete(State(shared): State<Arc<Shared>>, Query(name): Query<Name>) -> Result<StatusCode, Refused> {
    let mut cloud = shared.cloud();
    let (kind, collection) = kinds::list(&name.collection).ok_or_else(|| missing(&name))?;
    let id = cloud.resolve(kind, &collection, &name.id).ok_or_else(|| missing(&name))?;
    cloud.remove(&collection, &id);
    Ok(StatusCode::NO_CONTENT)
}

/// Renews the certificate `id`.
async fn renew(State(shared): State<Arc<Shared>>, Query(name): Query<Name>) -> Result<Json<Value>, Refused> {
    certificates::renew(&mut shared.cloud(), &name.id).map(Json).ok_or_else(|| missing(&name))
}

/// Schedules a colleague's write around the next write of a caller.
async fn order(
    State(shared): State<Arc<Shared>>,
    Query(name): Query<Name>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let patch = parse(&body)?;
    let mut cloud = shared.cloud();
    let (kind, collection) = kinds::list(&name.collection).ok_or_else(|| missing(&name))?;
    let id = cloud.resolve(kind, &collection, &name.id).ok_or_else(|| missing(&name))?;
    let moment = name.moment.unwrap_or(Moment::Before);
    cloud.colleagues.push(Colleague { moment, collection, id, patch });
    Ok(StatusCode::NO_CONTENT)
}

async fn inventory(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(inventory::of(&shared.cloud().store))
}

async fn finish(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.cloud().finish();
    StatusCode::NO_CONTENT
}

async fn inject(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<StatusCode, Refused> {
    let fault: Fault = parse(&body)?;
    let past = match &fault.effect {
        Effect::StaleFields { fields } => {
            let list = fault.path.strip_prefix("/v2/").filter(|path| !path.contains('*')).and_then(kinds::list);
            let (_, collection) = list.ok_or_else(|| {
                (StatusCode::UNPROCESSABLE_ENTITY, format!("{} is not the path of one list", fault.path))
            })?;
            Past::of(&shared.cloud().store, &collection, fields)
        }
        _ => Past::default(),
    };
    shared.faults().add(fault, past);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.faults().clear();
    StatusCode::NO_CONTENT
}

async fn requests(State(shared): State<Arc<Shared>>) -> Json<Requests> {
    Json(shared.counter().requests.clone())
}

async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    *shared.counter() = crate::requests::Counter::default();
    StatusCode::NO_CONTENT
}
