//! The operators' API: every route is documented where it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Desk;
use crate::domain::{CallId, Reason, Timestamp};
use crate::exchange::unknown::UnknownReport;
use crate::problem::{Code, Fault, Problem};
use crate::records::sqlite::{Reader, StoreError};
use crate::records::stored::CallQuery;
use crate::report::{self, As, CallPage, EntryPage, StepPage, Told};
use crate::runtime::chain;

/// Rows of a page unless asked otherwise.
const LIMIT: usize = 100;
/// Most rows of a page.
const LIMIT_MAX: usize = 1_000;

/// Which calls to list. Everything is optional and read as text, so that one answer can name every fault.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallsAsked {
    /// Slug of the campaign.
    campaign: Option<String>,
    /// Slug of the publisher.
    publisher: Option<String>,
    /// Slug of the buyer.
    buyer: Option<String>,
    /// A word of the list of reasons, of the decision or the end.
    reason: Option<String>,
    /// Arrived at this moment or later, RFC 3339.
    since: Option<String>,
    /// Arrived before this moment, RFC 3339.
    until: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of a page: 1 to 1,000, 100 by default.
    limit: Option<String>,
}

/// Where to go on, and how far.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageAsked {
    /// `next` of the page before; 0 begins.
    cursor: Option<String>,
    /// Rows of a page: 1 to 1,000, 100 by default.
    limit: Option<String>,
}

/// A query string; what cannot be read as one is told in a problem document, as everything else.
pub struct QueryOf<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<QueryOf<T>, Problem> {
        let read = Query::from_request_parts(parts, state).await;
        let faults = || vec![Fault::new("query", None, "key=value pairs in UTF-8, each key once")];
        read.map(|Query(asked)| QueryOf(asked)).map_err(|_| Problem::invalid(faults()))
    }
}

/// The last segment of a path; what is no UTF-8 names nothing.
pub struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Problem> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(name)| Named(name)).map_err(|_| Problem::new(Code::NotFound, "Names are UTF-8."))
    }
}

fn unknown_call() -> Problem {
    Problem::new(Code::NotFound, "The store knows no such call.")
}

/// Reads optional values out of a query and notes every fault.
#[derive(Default)]
struct Asked(Vec<Fault>);

impl Asked {
    fn value<T>(
        &mut self,
        at: &str,
        text: Option<&str>,
        allowed: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = text?;
        let value = read(text);
        if value.is_none() {
            self.0.push(Fault::new(at, Some(text), allowed));
        }
        value
    }

    fn limit(&mut self, text: Option<&str>) -> usize {
        let read = |text: &str| text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        self.value("limit", text, "a whole number from 1 to 1,000", read).unwrap_or(LIMIT)
    }

    fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid(self.0)) }
    }
}

/// Calls, newest first.
#[utoipa::path(get, path = "/api/v1/calls", params(CallsAsked), responses(
    (status = 200, body = CallPage), (status = 400, body = Problem), (status = 503, body = Problem),
))]
pub async fn calls(
    State(desk): State<Desk>,
    QueryOf(asked): QueryOf<CallsAsked>,
) -> Result<Json<CallPage>, Problem> {
    let mut read = Asked::default();
    let time = "a moment in RFC 3339, such as 2026-11-20T09:00:00Z";
    let query = CallQuery {
        reason: read.value("reason", asked.reason.as_deref(), "a word of the list of reasons", |text| {
            Reason::parse(text).map(Reason::code)
        }),
        since: read.value("since", asked.since.as_deref(), time, Timestamp::parse),
        until: read.value("until", asked.until.as_deref(), time, Timestamp::parse),
        after: read.value("cursor", asked.cursor.as_deref(), "`next` of a page", report::read_call_cursor),
        campaign: asked.campaign,
        publisher: asked.publisher,
        buyer: asked.buyer,
    };
    let limit = read.limit(asked.limit.as_deref());
    read.done()?;
    from_store(desk, move |reader| report::calls(reader, &query, limit)).await.map(Json)
}

/// For whom a call is told.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallAsked {
    /// `buyer:acme-auto` or `publisher:p7`: only what that one may see. Left out, all of it.
    #[serde(rename = "as")]
    whom: Option<String>,
}

/// One call, whole: decision, every target's outcome with every rule, events, end, ledger; or as one may see it.
#[utoipa::path(get, path = "/api/v1/calls/{call_id}", params(("call_id" = String, Path), CallAsked), responses(
    (status = 200, body = Told), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 503, body = Problem),
))]
pub async fn call(
    State(desk): State<Desk>,
    Named(call_id): Named,
    QueryOf(asked): QueryOf<CallAsked>,
) -> Result<Json<Told>, Problem> {
    let id = CallId::parse(&call_id).ok_or_else(unknown_call)?;
    let mut read = Asked::default();
    let whom = read.value("as", asked.whom.as_deref(), "buyer:<id> or publisher:<id>", As::parse);
    read.done()?;
    let inner = Arc::clone(&desk.inner);
    let told = from_store(desk, move |reader| {
        let mut catalog_of = |digest: &str| {
            let in_force = inner.exchange.in_force.load_full();
            match *in_force.snapshot.catalog.digest == *digest {
                true => Ok(Arc::clone(&in_force.snapshot.catalog)),
                false => (inner.stored)(reader, digest),
            }
        };
        let Some(explained) = report::explain_by(reader, id, &mut catalog_of)? else { return Ok(None) };
        Ok(match whom {
            None => Some(Told::Whole(Box::new(explained))),
            Some(whom) => {
                let digest = explained.decision.as_ref().map(|decision| decision.catalog.clone());
                let catalog = digest.and_then(|digest| catalog_of(&digest).ok());
                explained.cut(&whom, catalog.as_deref())
            }
        })
    });
    told.await?.map(Json).ok_or_else(unknown_call)
}

/// Steps with the outcome of every target, in the order they became final.
#[utoipa::path(get, path = "/api/v1/outcomes", params(PageAsked), responses(
    (status = 200, body = StepPage), (status = 400, body = Problem), (status = 503, body = Problem),
))]
pub async fn outcomes(
    State(desk): State<Desk>,
    QueryOf(asked): QueryOf<PageAsked>,
) -> Result<Json<StepPage>, Problem> {
    let (cursor, limit) = page(&asked)?;
    from_store(desk, move |reader| report::outcomes(reader, cursor, limit)).await.map(Json)
}

/// Ledger entries, in the order they were booked.
#[utoipa::path(get, path = "/api/v1/ledger", params(PageAsked), responses(
    (status = 200, body = EntryPage), (status = 400, body = Problem), (status = 503, body = Problem),
))]
pub async fn ledger(
    State(desk): State<Desk>,
    QueryOf(asked): QueryOf<PageAsked>,
) -> Result<Json<EntryPage>, Problem> {
    let (cursor, limit) = page(&asked)?;
    from_store(desk, move |reader| report::ledger(reader, cursor, limit)).await.map(Json)
}

/// Carriers' reports about calls this node does not know.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UnknownPage {
    /// The newest 1,000 since the start, newest first.
    reports: Vec<UnknownRow>,
}

/// A report that was refused because nobody knows its call.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UnknownRow {
    /// When it came.
    #[schema(example = "2026-11-20T09:00:00.000Z")]
    received: String,
    /// The carrier, where it showed who it is.
    carrier: Option<String>,
    /// The call as the report names it, without what could be a phone number.
    call: String,
    /// What it said happened.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Cause, originator and talk time.
    detail: String,
}

/// Reports about unknown calls: a carrier whose calls do not arrive, or whose reports come long after.
#[utoipa::path(get, path = "/api/v1/unknown-reports", responses((status = 200, body = UnknownPage)))]
pub async fn unknown_reports(State(desk): State<Desk>) -> Json<UnknownPage> {
    let row = |report: UnknownReport| UnknownRow {
        received: report.received.to_string(),
        carrier: report.carrier,
        call: report.call,
        kind: report.kind,
        detail: report.detail,
    };
    Json(UnknownPage { reports: desk.inner.exchange.unknown.list().into_iter().map(row).collect() })
}

pub(super) fn page(asked: &PageAsked) -> Result<(i64, usize), Problem> {
    let mut read = Asked::default();
    let not_negative = |text: &str| text.parse().ok().filter(|cursor| *cursor >= 0);
    let cursor = read.value("cursor", asked.cursor.as_deref(), "`next` of a page, or 0", not_negative);
    let limit = read.limit(asked.limit.as_deref());
    read.done()?;
    Ok((cursor.unwrap_or(0), limit))
}

/// Longest a read waits for the store to have what was on disk when it was asked for.
const STORE_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs a read off the runtime's thread, a few at a time.
pub(super) async fn from_store<T: Send + 'static>(
    desk: Desk,
    read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store_failed = |what: String| {
        tracing::error!(error = what.as_str(), "the store could not be read");
        Problem::new(Code::Unavailable, "The store cannot be read at this moment; see the log.")
    };
    // Who was acknowledged is to find it. A store that cannot keep up is read as it is.
    desk.inner.exchange.recorder.settled(STORE_WAIT).await;
    let turn = Arc::clone(&desk.inner.reads).acquire_owned().await;
    let path = desk.inner.store.clone();
    let done = tokio::task::spawn_blocking(move || {
        // The turn ends with the read, not with the interest in it.
        let _turn = turn;
        read(&Reader::open(&path)?)
    })
    .await;
    match done {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(store_failed(chain(&error))),
        Err(error) => Err(store_failed(error.to_string())),
    }
}
