//! Operators: metrics, health, and the API over calls, outcomes and ledger, on a listener and thread of its own.
//!
//! Nothing here decides anything about a call, and nothing of call traffic waits for it. Reads the store read-only; what
//! is changed at run time is asked of the office.

pub mod api;
pub mod callers;
pub mod changes;
pub mod order;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::AdminKey;
use crate::domain::Catalog;
use crate::exchange::Exchange;
use crate::listener::bearer;
use crate::problem::{Code, Problem};
use crate::records::sqlite::Reader;
use crate::runtime::same_digest;
use crate::telemetry::{MetricsPage, event};
use order::Order;

/// Reads of the store at once; more wait.
const READS: usize = 4;

/// Changes of caller lists that are read or carried out at once; more wait.
const IMPORTS: usize = 4;

/// What the handlers share.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Arc<Exchange>,
    orders: mpsc::Sender<Order>,
    metrics: MetricsPage,
    store: PathBuf,
    keys: Vec<AdminKey>,
    reads: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    /// A catalog of the store by its digest.
    stored: Box<StoredCatalog>,
}

/// Reads a catalog of the store by its digest; what is wrong with it, in words.
pub type StoredCatalog = dyn Fn(&Reader, &str) -> Result<Arc<Catalog>, String> + Send + Sync;

impl Desk {
    /// Without `keys` everybody who reaches the listener is an operator: for loopback only, as `config` ensures.
    pub fn new(
        exchange: Arc<Exchange>,
        orders: mpsc::Sender<Order>,
        metrics: MetricsPage,
        store: PathBuf,
        keys: Vec<AdminKey>,
        stored: Box<StoredCatalog>,
    ) -> Desk {
        let reads = Arc::new(Semaphore::new(READS));
        let imports = Arc::new(Semaphore::new(IMPORTS));
        Desk { inner: Arc::new(Inner { exchange, orders, metrics, store, keys, reads, imports, stored }) }
    }
}

/// Who asks, once they were let in.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of their key; `local` without keys.
    actor: String,
    may_change: bool,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Outcry admin API",
    description = "Calls, outcomes and ledger of one node, and what is changed at run time. Lists go on by cursor. Errors are RFC 9457 problem documents."
))]
struct Described;

fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(api::calls))
        .routes(routes!(api::call))
        .routes(routes!(api::outcomes))
        .routes(routes!(api::ledger))
        .routes(routes!(api::unknown_reports))
        .routes(routes!(changes::buyer, changes::change_buyer))
        .routes(routes!(changes::target, changes::change_target))
        .routes(routes!(changes::campaign, changes::change_campaign))
        .routes(routes!(callers::caller_lists))
        .routes(routes!(callers::caller_list, callers::replace_callers))
        .routes(routes!(callers::add_callers))
        .routes(routes!(callers::remove_callers))
        .routes(routes!(callers::has_caller))
        .routes(routes!(changes::changes))
        .routes(routes!(changes::history))
        .routes(routes!(changes::reload))
        .routes(routes!(metrics))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// The API's description, as `outcry openapi` prints it.
pub fn openapi() -> String {
    let (_, api) = routes().split_for_parts();
    api.to_pretty_json().expect("the description is made of strings")
}

/// Everything the admin listener serves.
pub fn router(desk: Desk) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(desk.clone(), enter))
        .with_state(desk)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        event::request_refused("admin", self.code);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Lets in who shows a key; health is open. Who may only look changes nothing.
async fn enter(State(desk): State<Desk>, mut request: Request, next: Next) -> Result<Response, Problem> {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return Ok(next.run(request).await);
    }
    let headers = request.headers();
    let is_change = !request.method().is_safe();
    let caller = if desk.inner.keys.is_empty() {
        local(headers, is_change)?
    } else {
        by_key(&desk.inner.keys, bearer(headers))?
    };
    if is_change && !caller.may_change {
        let detail = "This key may look and change nothing: use one with the role `operator`.";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Without keys only requests that name this machine are taken, so that no page in an operator's browser can ask through
/// a name of its own; and what changes something is not taken from a page that came from elsewhere, this machine's own
/// ports included.
fn local(headers: &HeaderMap, is_change: bool) -> Result<Caller, Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if !names_this_machine(host) {
        return Err(Problem::new(
            Code::Forbidden,
            "Without keys the admin listener answers only under an address or localhost: use that, or set keys.",
        ));
    }
    let is_own = |origin: &HeaderValue| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    };
    if is_change && !headers.get_all(ORIGIN).iter().all(is_own) {
        return Err(Problem::new(
            Code::Forbidden,
            "Without keys nothing is changed on behalf of a page from elsewhere: use a command line, or set keys.",
        ));
    }
    Ok(Caller { actor: "local".to_owned(), may_change: true })
}

fn by_key(keys: &[AdminKey], shown: Option<&str>) -> Result<Caller, Problem> {
    let Some(shown) = shown else {
        return Err(Problem::new(Code::Unauthorized, "Send an admin key as `Authorization: Bearer <key>`."));
    };
    let digest: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
    // Every key is looked at, however early one fits.
    let known = keys
        .iter()
        .fold(None, |known, key| if same_digest(&digest, &key.digest) { Some(key) } else { known });
    match known {
        Some(key) => Ok(Caller { actor: key.name.clone(), may_change: key.may_change() }),
        None => Err(Problem::new(Code::Unauthorized, "The key is not one of `admin.keys`.")),
    }
}

fn names_this_machine(host: &str) -> bool {
    let Ok(uri) = host.parse::<Uri>() else { return false };
    let name = uri.host().unwrap_or(host).trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "See `outcry openapi` for what is here.")
}

async fn wrong_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "This path takes another method: see `outcry openapi`.")
}

/// What Prometheus reads.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain", description = "Every metric")))]
async fn metrics(State(desk): State<Desk>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], desk.inner.metrics.render())
        .into_response()
}

/// Whether the process runs.
#[utoipa::path(get, path = "/healthz", responses((status = 200, content_type = "text/plain", description = "It runs")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it should be sent calls: the signal to stop has not come and records are being written.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, content_type = "text/plain", description = "Send calls"),
    (status = 503, body = Problem, description = "Do not"),
))]
async fn readyz(State(desk): State<Desk>) -> Result<&'static str, Problem> {
    match desk.inner.exchange.not_ready() {
        None => Ok("ready\n"),
        Some(why) => Err(Problem::new(Code::Unavailable, why)),
    }
}
