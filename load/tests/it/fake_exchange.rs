//! An exchange that answers carriers as a test tells it to, and remembers what it was asked.
//!
//! It decides nothing. If told to, it pings one bidder before it answers and then takes a while of its own, so that
//! the stopwatch of carriers and bidders has something to measure.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use load::client::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// One route or next request.
pub struct Asked {
    pub request: Value,
    /// How often this call was asked about before.
    pub nth: u64,
    /// Where its events and next requests go.
    pub events: String,
    pub next: String,
}

type Answer = dyn Fn(&Asked) -> (u16, Value) + Send + Sync;

/// What the exchange does.
pub struct Rules {
    pub route: Box<Answer>,
    pub next: Box<Answer>,
    /// Status of an event's first, second, … delivery, counted from 0.
    pub event_status: fn(u64) -> u16,
    /// Bid endpoint asked before a route is answered.
    pub ping: Option<String>,
    /// Time taken after that.
    pub adds: Duration,
}

impl Rules {
    pub fn new(route: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static) -> Rules {
        Rules {
            route: Box::new(route),
            next: Box::new(|_| (200, json!({ "step": 2, "action": "hangup", "basis": "terminal" }))),
            event_status: |_| 200,
            ping: None,
            adds: Duration::ZERO,
        }
    }
}

/// What the exchange saw.
#[derive(Default)]
pub struct Seen {
    pub routes: Vec<Value>,
    pub nexts: Vec<Value>,
    /// Events by `carrier_call_id`, each delivery, in the order they came.
    pub events: BTreeMap<String, Vec<Value>>,
    pub open_connections: usize,
    asked: BTreeMap<String, u64>,
    delivered: BTreeMap<String, u64>,
}

pub struct FakeExchange {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    addr: SocketAddr,
    rules: Rules,
    client: Client,
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl FakeExchange {
    pub fn start(rules: Rules) -> FakeExchange {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let client = Client::new(Duration::from_secs(10));
        let (seen, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { addr, rules, client, seen, changed });
        let (stop, stopped) = oneshot::channel();
        let on_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, on_thread) => {}
                    _ = stopped => {}
                }
            });
        });
        FakeExchange { addr, shared, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen.lock().unwrap()
    }

    /// Waits until `until` holds; false when the limit passed first.
    pub fn wait(&self, limit: Duration, mut until: impl FnMut(&Seen) -> bool) -> bool {
        let waited = self.shared.changed.wait_timeout_while(self.seen(), limit, |seen| !until(seen));
        !waited.unwrap().1.timed_out()
    }
}

impl Drop for FakeExchange {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the fake exchange panicked");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        shared.note(|seen| seen.open_connections += 1);
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| shared.serve(request));
            // A connection that ends in an error has ended all the same.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            shared.note(|seen| seen.open_connections -= 1);
        });
    }
}

impl Shared {
    fn note<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let result = change(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
        result
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let path = request.uri().path().to_owned();
        let is_authentic = request.headers().get("authorization").is_some_and(|key| key == "Bearer secret");
        let body = request.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let (status, answer) = match path.trim_start_matches('/').split_once('/') {
            _ if !is_authentic => (401, json!({})),
            Some(("v1", "route")) => self.route(body).await,
            Some(("next", call)) => {
                let asked = self.asked(call.to_owned(), body);
                self.note(|seen| seen.nexts.push(asked.request.clone()));
                (self.rules.next)(&asked)
            }
            Some(("events", call)) => (self.event(call, body), json!({})),
            _ => (404, json!({})),
        };
        let answer = Response::builder().status(status).body(Full::new(answer.to_string().into()));
        Ok(answer.unwrap())
    }

    async fn route(&self, request: Value) -> (u16, Value) {
        let call = request["carrier_call_id"].as_str().unwrap().to_owned();
        let asked = self.asked(call, request);
        self.note(|seen| seen.routes.push(asked.request.clone()));
        if let Some(bidder) = &self.rules.ping {
            let ping =
                json!({ "ping_id": "0".repeat(26), "deadline_ms": 400, "tags": asked.request["tags"] });
            self.client.post(bidder, None, ping.to_string().into()).await.unwrap();
            tokio::time::sleep(self.rules.adds).await;
        }
        (self.rules.route)(&asked)
    }

    fn asked(&self, call: String, request: Value) -> Asked {
        let base = format!("http://{}", self.addr);
        let (events, next) = (format!("{base}/events/{call}"), format!("{base}/next/{call}"));
        let nth = self.note(|seen| {
            let count = seen.asked.entry(call).or_default();
            *count += 1;
            *count - 1
        });
        Asked { request, nth, events, next }
    }

    fn event(&self, call: &str, event: Value) -> u16 {
        self.note(|seen| {
            let count = seen.delivered.entry(event["event_id"].as_str().unwrap().to_owned()).or_default();
            let status = (self.rules.event_status)(*count);
            *count += 1;
            seen.events.entry(call.to_owned()).or_default().push(event);
            status
        })
    }
}
