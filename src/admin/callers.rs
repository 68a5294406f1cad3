//! Caller lists: how much is on them, and putting callers on and off. What is answered never says who.
//!
//! A body has one number or prefix a line. All lines are read before anything is changed; what is handed to the office are
//! digests, so that no number stays in memory.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::api::{Named, QueryOf};
use super::changes::{BY_ALLOWED, is_by, ordered, refused};
use super::order::{Listing, Order};
use super::{Caller, Desk};
use crate::domain::caller_list::{LineFault, ListVerb, NUMBERS_MAX, read_lines};
use crate::domain::{CallerListId, Catalog, E164};
use crate::problem::{Code, Fault, Problem};
use crate::report::{CallerLists, ListChanged, ListRow, OnList};
use crate::state::callers::{AskedOfList, Content, Counted, Lists, OnBy};

/// Longest body of a change.
pub const BODY_MAX: usize = 1024 * 1024;

/// Who asks.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ByAsked {
    /// Who asks, beside the name of the key: 1 to 80 bytes.
    by: Option<String>,
}

/// Whom to look for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NumberAsked {
    /// A number such as +15125550123, its plus as `%2B`.
    number: Option<String>,
}

/// Every caller list: how much is on it, never who.
#[utoipa::path(get, path = "/api/v1/caller-lists", responses((status = 200, body = CallerLists)))]
pub async fn caller_lists(State(desk): State<Desk>) -> Json<CallerLists> {
    let exchange = &desk.inner.exchange;
    let (in_force, lists) = (exchange.in_force.load(), exchange.callers.load());
    let numbers = lists.numbers();
    Json(CallerLists { lists: rows(&in_force.snapshot.catalog, &lists), numbers, numbers_max: NUMBERS_MAX })
}

/// One caller list: how much is on it.
#[utoipa::path(get, path = "/api/v1/caller-lists/{list}", params(("list" = String, Path)), responses(
    (status = 200, body = ListRow), (status = 404, body = Problem),
))]
pub async fn caller_list(State(desk): State<Desk>, Named(list): Named) -> Result<Json<ListRow>, Problem> {
    let exchange = &desk.inner.exchange;
    let (in_force, lists) = (exchange.in_force.load(), exchange.callers.load());
    let rows = rows(&in_force.snapshot.catalog, &lists);
    rows.into_iter().find(|row| row.list == list).map(Json).ok_or_else(unknown)
}

/// Whether a caller is on a list, and by what.
#[utoipa::path(get, path = "/api/v1/caller-lists/{list}/has", params(("list" = String, Path), NumberAsked), responses(
    (status = 200, body = OnList), (status = 400, body = Problem), (status = 404, body = Problem),
))]
pub async fn has_caller(
    State(desk): State<Desk>,
    Named(list): Named,
    QueryOf(asked): QueryOf<NumberAsked>,
) -> Result<Json<OnList>, Problem> {
    let id = known(&desk, &list)?;
    // A plus that was not escaped is a space by now.
    let plus = |text: &str| format!("+{}", text.trim_start_matches(['+', ' ']));
    let number = asked.number.as_deref().and_then(|text| E164::parse(&plus(text)));
    let allowed = "a number such as +15125550123, its plus as %2B";
    let number = number.ok_or_else(|| Problem::invalid(vec![Fault::new("number", None, allowed)]))?;
    let by = desk.inner.exchange.callers.has(&id, number).map(|by| match by {
        OnBy::Number => "number".to_owned(),
        OnBy::Prefix(prefix) => prefix.to_string(),
    });
    Ok(Json(OnList { list, on: by.is_some(), by }))
}

/// Puts callers on a list: a number or prefix a line, or the first column of a CSV file. Needs the role `operator`. They
/// are on disk when this answers 200, and count from the next decision on. Who is on it already changes nothing.
#[utoipa::path(post, path = "/api/v1/caller-lists/{list}/add", params(("list" = String, Path), ByAsked),
    request_body(content = String, content_type = "text/plain", description = "Lines such as +15125550123 or +1900*, at most 1 MiB"), responses(
    (status = 200, body = ListChanged), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 503, body = Problem),
))]
pub async fn add_callers(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Named(list): Named,
    QueryOf(asked): QueryOf<ByAsked>,
    request: Request,
) -> Result<Json<ListChanged>, Problem> {
    change(desk, caller, &list, asked, ListVerb::Add, request).await
}

/// Takes callers off a list; who is not on it changes nothing. As for adding.
#[utoipa::path(post, path = "/api/v1/caller-lists/{list}/remove", params(("list" = String, Path), ByAsked),
    request_body(content = String, content_type = "text/plain", description = "Lines such as +15125550123 or +1900*, at most 1 MiB"), responses(
    (status = 200, body = ListChanged), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 413, body = Problem), (status = 503, body = Problem),
))]
pub async fn remove_callers(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Named(list): Named,
    QueryOf(asked): QueryOf<ByAsked>,
    request: Request,
) -> Result<Json<ListChanged>, Problem> {
    change(desk, caller, &list, asked, ListVerb::Remove, request).await
}

/// Replaces all of a list by these lines, at once; an empty body empties it. As for adding.
#[utoipa::path(put, path = "/api/v1/caller-lists/{list}", params(("list" = String, Path), ByAsked),
    request_body(content = String, content_type = "text/plain", description = "Lines such as +15125550123 or +1900*, at most 1 MiB"), responses(
    (status = 200, body = ListChanged), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 503, body = Problem),
))]
pub async fn replace_callers(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Named(list): Named,
    QueryOf(asked): QueryOf<ByAsked>,
    request: Request,
) -> Result<Json<ListChanged>, Problem> {
    change(desk, caller, &list, asked, ListVerb::Replace, request).await
}

async fn change(
    desk: Desk,
    caller: Caller,
    list: &str,
    asked: ByAsked,
    verb: ListVerb,
    request: Request,
) -> Result<Json<ListChanged>, Problem> {
    let list = known(&desk, list)?;
    if asked.by.as_deref().is_some_and(|by| !is_by(by)) {
        return Err(Problem::invalid(vec![Fault::new("by", None, BY_ALLOWED)]));
    }
    // A body and what is made of it take memory: a few at a time, the others wait.
    let _turn = Arc::clone(&desk.inner.imports).acquire_owned().await;
    let named = named(&desk, request).await?;
    let asked_of = AskedOfList { list, verb, named };
    let (told, done) = oneshot::channel();
    let listing = Listing { asked: asked_of, actor: caller.actor, by: asked.by };
    let done = ordered(&desk, Order::Callers(Box::new(listing), told), done).await?.map_err(refused)?;
    Ok(Json(ListChanged {
        list: done.list.to_string(),
        added: done.added as usize,
        removed: done.removed as usize,
        numbers: done.numbers as usize,
        prefixes: done.prefixes as usize,
    }))
}

/// Whom a body names, or every fault in it.
async fn named(desk: &Desk, request: Request) -> Result<Content, Problem> {
    let body = to_bytes(request.into_body(), BODY_MAX).await.map_err(|_| {
        let detail =
            format!("A change has at most {BODY_MAX} bytes: send the lines in parts. Nothing was changed.");
        Problem::new(Code::TooLarge, detail)
    })?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::invalid(vec![Fault::new("body", None, "lines of text in UTF-8")]))?;
    let lines = read_lines(text).map_err(|(faults, count)| {
        let fault = |fault: &LineFault| {
            Fault::new(&format!("line {}", fault.line), Some(&fault.shown), LineFault::ALLOWED)
        };
        let detail = format!("Nothing was changed: {count} lines name no caller; the first are below.");
        Problem { errors: faults.iter().map(fault).collect(), ..Problem::new(Code::Invalid, detail) }
    })?;
    let callers = &desk.inner.exchange.callers;
    let numbers = lines.numbers.iter().map(|number| callers.digest(*number)).collect();
    Ok(Content { numbers, prefixes: lines.prefixes })
}

fn unknown() -> Problem {
    Problem::new(
        Code::NotFound,
        "There is no such caller list: write [caller_list.<id>] into a file of the catalog and reload.",
    )
}

/// A list of the catalog, or one that somebody is on.
fn known(desk: &Desk, list: &str) -> Result<CallerListId, Problem> {
    let id = CallerListId::parse(list).map_err(|_| unknown())?;
    let exchange = &desk.inner.exchange;
    let in_force = exchange.in_force.load();
    let is_known = in_force.snapshot.catalog.caller_list_named(&id).is_some();
    if is_known || !exchange.callers.load().count(&id).is_empty() { Ok(id) } else { Err(unknown()) }
}

/// The lists of the catalog, then those that only have somebody on them.
fn rows(catalog: &Catalog, lists: &Lists) -> Vec<ListRow> {
    let row = |Counted { list, numbers, prefixes }: Counted| {
        let known = catalog.caller_list_named(&list);
        ListRow {
            note: known.map_or(String::new(), |at| catalog.caller_list(at).note.clone()),
            is_idle: known.is_none(),
            list: list.to_string(),
            numbers,
            prefixes,
        }
    };
    let mut rows: Vec<ListRow> = catalog.caller_lists.iter().map(|list| row(lists.count(&list.id))).collect();
    let mut idle: Vec<ListRow> = lists.counts().cloned().map(row).filter(|row| row.is_idle).collect();
    idle.sort_by(|one, other| one.list.cmp(&other.list));
    rows.extend(idle);
    rows
}
