//! Changes at run time: pausing and capping buyers, targets and campaigns, what is laid over the files, and the reload.
//!
//! Every change goes to the office as one order; what is answered is read from the catalog that is in force afterwards.

use std::fmt;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request, State};
use axum::{Extension, Json};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as JsonValue;
use tokio::sync::{mpsc, oneshot};

use super::api::{Named, PageAsked, QueryOf, from_store, page};
use super::order::{FileFault, NotChanged, Order, Reloaded};
use super::{Caller, Desk};
use crate::domain::change::{Asked, CHANGES_MAX, Entity, Key, Value};
use crate::problem::{Code, Fault, Problem};
use crate::report::{self, Changes, EntityValues, NotedPage, Shown};

/// Longest body of a change.
const BODY_MAX: usize = 16 * 1024;
/// Longest name somebody gives for themselves, in bytes.
const BY_MAX: usize = 80;
/// What `by` may be.
pub(super) const BY_ALLOWED: &str = "text of 1 to 80 bytes on one line";

/// What to change of a buyer or target: at least one key beside `by`. Unknown keys are refused.
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "the shape for the description: bodies are read by hand, to name every fault at once"
)]
pub struct LimitsAsked {
    /// Whether it is paused; null takes the change back, so that the file's value counts again.
    paused: Option<bool>,
    /// Calls at once: 1 to 100,000, or "none" for no limit; null as above.
    concurrency: Option<Shown>,
    /// Billable calls a day: 1 to 10,000,000, or "none" for no limit; null as above.
    daily_billable: Option<Shown>,
    /// Who asks, beside the name of the key: 1 to 80 bytes.
    by: Option<String>,
}

/// What to change of a campaign.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "the shape for the description")]
pub struct PauseAsked {
    /// Whether it is paused; null takes the change back, so that the file's value counts again.
    paused: Option<bool>,
    /// Who asks, beside the name of the key: 1 to 80 bytes.
    by: Option<String>,
}

/// What a reload did.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ReloadDone {
    /// Digest of the catalog in force.
    catalog: String,
    /// What is different now, a line each.
    #[schema(example = json!(["target desk: price 20.00 → 22.50"]))]
    changes: Vec<String>,
}

/// The pairs of a JSON object as they were sent: a key that comes twice comes twice.
pub struct Pairs(Vec<(String, JsonValue)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pairs, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Read)
    }
}

impl<S: Send + Sync> FromRequest<S> for Pairs {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Pairs, Problem> {
        let body = to_bytes(request.into_body(), BODY_MAX)
            .await
            .map_err(|_| Problem::new(Code::TooLarge, format!("A change has at most {BODY_MAX} bytes.")))?;
        serde_json::from_slice(&body).map_err(|_| {
            let allowed = "a JSON object such as {\"paused\": true, \"by\": \"ann\"}";
            Problem::invalid(vec![Fault::new("body", None, allowed)])
        })
    }
}

/// Reads what is asked of an entity, or names every fault.
fn asked(entity: Entity, pairs: Pairs, actor: &str) -> Result<Asked, Problem> {
    let mut faults = Vec::new();
    let mut asked = Asked { entity, values: Vec::new(), actor: actor.to_owned(), by: None };
    let keys = asked.entity.keys();
    let mut seen: Vec<&str> = Vec::new();
    for (name, json) in &pairs.0 {
        let shown = json.to_string();
        if seen.contains(&name.as_str()) {
            faults.push(Fault::new(name, Some(&shown), "each key once"));
            continue;
        }
        seen.push(name);
        match (Key::parse(name).filter(|key| keys.contains(key)), name.as_str()) {
            (Some(key), _) => match value(key, json) {
                Some(value) => asked.values.push((key, value)),
                None => faults.push(Fault::new(name, Some(&shown), &format!("{}, or null", key.allowed()))),
            },
            (None, "by") => match by(json) {
                Some(by) => asked.by = by,
                None => faults.push(Fault::new(name, Some(&shown), BY_ALLOWED)),
            },
            (None, _) => {
                let names: Vec<&str> = keys.iter().map(|key| key.as_str()).chain(["by"]).collect();
                faults.push(Fault::new(name, Some(&shown), &format!("one of the keys {}", names.join(", "))));
            }
        }
    }
    if asked.values.is_empty() && faults.is_empty() {
        let names: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
        faults.push(Fault::new("body", None, &format!("at least one of {}", names.join(", "))));
    }
    if faults.is_empty() { Ok(asked) } else { Err(Problem::invalid(faults)) }
}

/// A value as it is written; `Some(None)` takes a change back.
fn value(key: Key, json: &JsonValue) -> Option<Option<Value>> {
    match json {
        JsonValue::Null => Some(None),
        JsonValue::Bool(flag) => Value::parse(key, &flag.to_string()).map(Some),
        JsonValue::Number(number) => number.as_u64().and_then(|most| key.limit(most)).map(Some),
        JsonValue::String(word) if word == "none" => Value::parse(key, word).map(Some),
        JsonValue::String(_) | JsonValue::Array(_) | JsonValue::Object(_) => None,
    }
}

fn by(json: &JsonValue) -> Option<Option<String>> {
    match json {
        JsonValue::Null => Some(None),
        JsonValue::String(text) => is_by(text).then(|| Some(text.clone())),
        JsonValue::Bool(_) | JsonValue::Number(_) | JsonValue::Array(_) | JsonValue::Object(_) => None,
    }
}

/// Whether it may be a name that somebody gives for themselves.
pub(super) fn is_by(text: &str) -> bool {
    (1..=BY_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn found(desk: &Desk, kind: &str, id: &str) -> Result<(Entity, EntityValues), Problem> {
    let unknown =
        || Problem::new(Code::NotFound, format!("The catalog in force has no {kind} with this id."));
    let entity = Entity::parse(kind, id).ok_or_else(unknown)?;
    let in_force = desk.inner.exchange.in_force.load();
    let values =
        report::values(&in_force.snapshot.catalog, &in_force.changes, &entity).ok_or_else(unknown)?;
    Ok((entity, values))
}

async fn change(
    desk: &Desk,
    caller: &Caller,
    kind: &str,
    id: &str,
    pairs: Pairs,
) -> Result<Json<EntityValues>, Problem> {
    let (entity, _) = found(desk, kind, id)?;
    let asked = asked(entity, pairs, &caller.actor)?;
    let (told, done) = oneshot::channel();
    ordered(desk, Order::Change(asked, told), done).await?.map_err(refused)?;
    found(desk, kind, id).map(|(_, values)| Json(values))
}

pub(super) fn refused(why: NotChanged) -> Problem {
    match why {
        NotChanged::Unknown => {
            Problem::new(Code::NotFound, "It is not in the files any more. Nothing was changed.")
        }
        NotChanged::Full => Problem::new(
            Code::Conflict,
            format!(
                "There are {CHANGES_MAX} changes already: write some into the files. Nothing was changed."
            ),
        ),
        NotChanged::NoRoom(why) => Problem::new(Code::Conflict, format!("Nothing was changed: {why}.")),
        NotChanged::NotStored(why) => Problem::new(
            Code::Unavailable,
            format!("The store cannot take the change: {why}. Nothing was changed."),
        ),
        NotChanged::NotKnownToBeStored => Problem::new(
            Code::Unavailable,
            "The change is in force, but not known to be on disk yet. Send it again to hear when it is.",
        ),
    }
}

/// Hands an order to the office and waits for what came of it. What was handed in is done even if nobody waits any more.
pub(super) async fn ordered<T>(desk: &Desk, order: Order, done: oneshot::Receiver<T>) -> Result<T, Problem> {
    desk.inner.orders.try_send(order).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            Problem::new(Code::Unavailable, "Too many changes wait already. Nothing was changed; try again.")
        }
        mpsc::error::TrySendError::Closed(_) => stopping(),
    })?;
    done.await.map_err(|_| stopping())
}

fn stopping() -> Problem {
    Problem::new(Code::Unavailable, "The exchange is stopping.")
}

/// What can be changed of a buyer: what is in force, and whose change it is.
#[utoipa::path(get, path = "/api/v1/buyers/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = EntityValues), (status = 404, body = Problem),
))]
pub async fn buyer(State(desk): State<Desk>, Named(id): Named) -> Result<Json<EntityValues>, Problem> {
    found(&desk, "buyer", &id).map(|(_, values)| Json(values))
}

/// Pauses or caps a buyer, from the next hold on. Needs the role `operator`. The change is on disk when this answers
/// 200, and counts until it is taken back or its key is edited in the files.
#[utoipa::path(patch, path = "/api/v1/buyers/{id}", params(("id" = String, Path)), request_body = LimitsAsked, responses(
    (status = 200, body = EntityValues), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 503, body = Problem),
))]
pub async fn change_buyer(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    pairs: Pairs,
) -> Result<Json<EntityValues>, Problem> {
    change(&desk, &caller, "buyer", &id, pairs).await
}

/// What can be changed of a target.
#[utoipa::path(get, path = "/api/v1/targets/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = EntityValues), (status = 404, body = Problem),
))]
pub async fn target(State(desk): State<Desk>, Named(id): Named) -> Result<Json<EntityValues>, Problem> {
    found(&desk, "target", &id).map(|(_, values)| Json(values))
}

/// Pauses or caps a target; as for a buyer.
#[utoipa::path(patch, path = "/api/v1/targets/{id}", params(("id" = String, Path)), request_body = LimitsAsked, responses(
    (status = 200, body = EntityValues), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 503, body = Problem),
))]
pub async fn change_target(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    pairs: Pairs,
) -> Result<Json<EntityValues>, Problem> {
    change(&desk, &caller, "target", &id, pairs).await
}

/// What can be changed of a campaign.
#[utoipa::path(get, path = "/api/v1/campaigns/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = EntityValues), (status = 404, body = Problem),
))]
pub async fn campaign(State(desk): State<Desk>, Named(id): Named) -> Result<Json<EntityValues>, Problem> {
    found(&desk, "campaign", &id).map(|(_, values)| Json(values))
}

/// Pauses a campaign: its calls get the terminal action of its plan. As for a buyer.
#[utoipa::path(patch, path = "/api/v1/campaigns/{id}", params(("id" = String, Path)), request_body = PauseAsked, responses(
    (status = 200, body = EntityValues), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 503, body = Problem),
))]
pub async fn change_campaign(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    pairs: Pairs,
) -> Result<Json<EntityValues>, Problem> {
    change(&desk, &caller, "campaign", &id, pairs).await
}

/// Everything that was changed at run time and counts now, beside what the files say.
#[utoipa::path(get, path = "/api/v1/changes", responses((status = 200, body = Changes)))]
pub async fn changes(State(desk): State<Desk>) -> Json<Changes> {
    let in_force = desk.inner.exchange.in_force.load();
    Json(report::changes(&in_force.snapshot.catalog, &in_force.files, &in_force.changes))
}

/// Every change that was ever made, taken back or overtaken by an edit of its file, in order.
#[utoipa::path(get, path = "/api/v1/changes/history", params(PageAsked), responses(
    (status = 200, body = NotedPage), (status = 400, body = Problem), (status = 503, body = Problem),
))]
pub async fn history(
    State(desk): State<Desk>,
    QueryOf(asked): QueryOf<PageAsked>,
) -> Result<Json<NotedPage>, Problem> {
    let (cursor, limit) = page(&asked)?;
    from_store(desk, move |reader| report::history(reader, cursor, limit)).await.map(Json)
}

/// Reads the catalog's files again. With any fault in them nothing is changed, and every fault is named. Needs the role
/// `operator`.
#[utoipa::path(post, path = "/api/v1/reload", responses(
    (status = 200, body = ReloadDone), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 503, body = Problem),
))]
pub async fn reload(State(desk): State<Desk>) -> Result<Json<ReloadDone>, Problem> {
    let (told, done) = oneshot::channel();
    match ordered(&desk, Order::Reload(told), done).await? {
        Ok(Reloaded { digest, changes }) => Ok(Json(ReloadDone { catalog: digest, changes })),
        Err(faults) => {
            let fault = |fault: &FileFault| Fault::new(&fault.at, None, &fault.what);
            let errors: Vec<Fault> = faults.iter().map(fault).collect();
            let detail = format!("{} errors in the files: the running catalog stays in force.", errors.len());
            Err(Problem { errors, ..Problem::new(Code::Invalid, detail) })
        }
    }
}
