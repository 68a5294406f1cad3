//! The carriers of a simulated world: they ask, drop, ask again, and report late, twice, out of order or not at all.
//!
//! Real HTTP/1.1 by hyper's client over pipes, each into a connection of the real server; requests that drip are written
//! by hand. What they hear is told to the model.

mod together;
pub mod twilio;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use outcry::domain::Timestamp;
use outcry::http::{self, Served};
use outcry::runtime::Clock;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, sleep_until, timeout};

use super::attested;
use super::check::{Check, Promise, Sent};
use super::market::{CARRIERS, TWILIO};
use super::stage::IDLE;
use super::world::{Asking, CallPlan, Fate, Report, Together, Trick, leg, together};

/// Bytes a pipe holds.
const PIPE: usize = 8 * 1024;
/// Longest that a carrier waits for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How often a report is sent before its carrier gives up.
pub(super) const TRIES: usize = 30;

/// Where the connections of buyers are among those of carriers.
pub(super) const OF_BUYERS: usize = CARRIERS.len();

/// How long a carrier uses a connection that lay idle: less than the exchange keeps it, as who speaks HTTP should. What is
/// sent in the very moment in which it is closed nobody hears.
const REUSED: Duration = IDLE.saturating_sub(Duration::from_secs(1));

/// A connection on which nothing is awaited, since when.
type Idle = (SendRequest<Full<Bytes>>, Timestamp);

/// All carriers.
pub struct Carriers {
    served: Served,
    pub(super) clock: Clock,
    pub(super) check: Arc<Mutex<Check>>,
    idle: Vec<Mutex<Vec<Idle>>>,
}

/// What was heard.
pub(super) struct Heard {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Carriers {
    pub fn new(served: Served, clock: Clock, check: Arc<Mutex<Check>>) -> Arc<Carriers> {
        let idle = (0..=OF_BUYERS).map(|_| Mutex::default()).collect();
        Arc::new(Carriers { served, clock, check, idle })
    }

    /// A connection to the exchange's own server.
    fn pipe(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE);
        tokio::spawn(http::converse(self.served.clone(), far));
        near
    }

    async fn connection(&self, carrier: usize) -> SendRequest<Full<Bytes>> {
        while let Some((mut idle, since)) = { self.idle[carrier].lock().unwrap().pop() } {
            if self.clock.now().since(since) < REUSED && idle.ready().await.is_ok() {
                return idle;
            }
        }
        let (sender, connection) = http1::handshake(TokioIo::new(self.pipe())).await.expect("a pipe");
        tokio::spawn(connection);
        sender
    }

    /// Sends a request and hears its answer; dropped, the connection goes with it.
    pub(super) async fn post(&self, carrier: usize, path: &str, key: &str, body: String) -> Option<Heard> {
        let mut connection = self.connection(carrier).await;
        let request = Request::post(path)
            .header("host", "exchange")
            .header("authorization", format!("Bearer {key}"))
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answer = connection.send_request(request).await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        self.lies_idle(carrier, connection);
        Some(Heard { status, body })
    }

    pub(super) fn lies_idle(&self, carrier: usize, connection: SendRequest<Full<Bytes>>) {
        self.idle[carrier].lock().unwrap().push((connection, self.clock.now()));
    }

    /// A call from its first request to its last report.
    pub async fn call(self: Arc<Self>, plan: Arc<CallPlan>) {
        if plan.carrier == TWILIO {
            return self.twilio_call(plan).await;
        }
        for (after, conflicts) in plan.repeats.clone() {
            let (carriers, plan) = (Arc::clone(&self), Arc::clone(&plan));
            tokio::spawn(async move {
                sleep(Duration::from_millis(after)).await;
                carriers.ask(&plan, conflicts).await;
            });
        }
        let heard = match plan.asking {
            Asking::Plain => self.ask(&plan, false).await,
            Asking::Drips(gap) => self.drip(&plan, gap).await,
            Asking::Dropped(after, again) => {
                let first = self.post(plan.carrier, "/v1/route", key(&plan), route(&plan, false));
                self.check.lock().unwrap().asked(&plan);
                // Whether it was heard or not, the carrier asks again.
                let _ = timeout(Duration::from_millis(after), first).await;
                sleep(Duration::from_millis(again)).await;
                self.ask(&plan, false).await
            }
        };
        if let Some(heard) = heard {
            self.follow(&plan, &heard.body);
        }
    }

    async fn ask(&self, plan: &CallPlan, conflicts: bool) -> Option<Heard> {
        let began = self.clock.now();
        self.check.lock().unwrap().asked(plan);
        let post = self.post(plan.carrier, "/v1/route", key(plan), route(plan, conflicts));
        let heard = timeout(PATIENCE, post).await;
        self.hear(plan, began, heard.ok().flatten())
    }

    /// The same request in two parts, and its answer read by hand.
    async fn drip(&self, plan: &CallPlan, gap: u64) -> Option<Heard> {
        let body = route(plan, false);
        let head = format!(
            "POST /v1/route HTTP/1.1\r\nhost: exchange\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            key(plan),
            body.len()
        );
        let (first, second) = body.split_at(body.len() / 2);
        let mut stream = self.pipe();
        stream.write_all((head + first).as_bytes()).await.ok()?;
        sleep(Duration::from_millis(gap)).await;
        let began = self.clock.now();
        self.check.lock().unwrap().asked(plan);
        stream.write_all(second.as_bytes()).await.ok()?;
        let heard = timeout(PATIENCE, read(&mut stream)).await;
        self.hear(plan, began, heard.ok().flatten())
    }

    fn hear(&self, plan: &CallPlan, began: Timestamp, heard: Option<Heard>) -> Option<Heard> {
        let took = self.clock.now().since(began);
        let mut check = self.check.lock().unwrap();
        match &heard {
            Some(heard) => check.answered(plan, heard.status, &heard.body, took),
            None => check.broke(Promise::Answered, format!("call {} heard nothing", plan.n)),
        }
        heard
    }

    /// Does what an answer says: reports what becomes of the leg, each report on its own, and asks what comes next.
    fn follow(self: &Arc<Self>, plan: &Arc<CallPlan>, answer: &[u8]) {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        if answer["action"] != "dial" {
            return;
        }
        let url = |key: &str| {
            answer[key].as_str().and_then(|url| url.strip_prefix("http://exchange")).map(Arc::from)
        };
        let number = |value: &Value| value.as_u64().unwrap_or(0) as u32;
        let step = number(&answer["step"]);
        let targets = answer["targets"].as_array().into_iter().flatten();
        let attempts: Vec<u32> = targets.map(|target| number(&target["attempt"])).collect();
        let rung = match attempts[..] {
            [alone] => {
                let leg = leg(plan.seed, plan.n, alone);
                Together { asks_on: leg.asks_on, asks_again: leg.asks_again, legs: vec![leg] }
            }
            _ => together(plan.seed, plan.n, &attempts),
        };
        let (base, start) = (tokio::time::Instant::now(), self.clock.now());
        let path: Option<Arc<str>> = url("events");
        for (attempt, leg) in attempts.iter().copied().zip(&rung.legs) {
            self.buyers_hand_back(plan, answer["call_id"].as_str().unwrap_or(""), attempt, leg);
            for (place, report) in leg.reports.iter().enumerate() {
                let Some(path) = path.clone() else { break };
                let (carriers, plan, report) = (Arc::clone(self), Arc::clone(plan), report.clone());
                tokio::spawn(async move {
                    sleep_until(base + Duration::from_millis(report.sent_ms)).await;
                    carriers.report(&plan, &path, start, (attempt, place), &report).await;
                });
            }
        }
        let fates: Vec<(u32, Fate)> =
            attempts.into_iter().zip(rung.legs.iter().map(|leg| leg.fate)).collect();
        let next: Option<Arc<str>> = url("next");
        for at in rung.asks_on.into_iter().chain(rung.asks_again) {
            let Some(path) = next.clone() else { break };
            let (carriers, plan, fates) = (Arc::clone(self), Arc::clone(plan), fates.clone());
            // What the answer to a repeat says is done already.
            let acts = Some(at) == rung.asks_on;
            tokio::spawn(async move {
                sleep_until(base + Duration::from_millis(at)).await;
                if let Some(heard) = carriers.ask_on(&plan, &path, step, &fates).await.filter(|_| acts) {
                    carriers.follow(&plan, &heard.body);
                }
            });
        }
    }

    /// Asks for the next step, saying how the attempts of the last one ended.
    async fn ask_on(&self, plan: &CallPlan, path: &str, step: u32, fates: &[(u32, Fate)]) -> Option<Heard> {
        let now = Timestamp::from_micros(self.clock.now().millis() * 1_000);
        let caller_left = fates.len() == 1 || fates.iter().any(|(_, f)| matches!(f, Fate::Abandon { .. }));
        let mut ends = Vec::new();
        for (attempt, fate) in fates {
            let (cause, by, talk) = match *fate {
                Fate::Talk { talk, by, .. } => ("normal", by, Some(talk)),
                Fate::Fails { cause, by, .. } => (cause, by, None),
                Fate::Silence | Fate::Lost { .. } if !caller_left => ("cancelled", "carrier", None),
                Fate::Abandon { .. } | Fate::Silence | Fate::Lost { .. } => ("cancelled", "caller", None),
            };
            ends.push((*attempt, cause, by, talk));
        }
        let told: Vec<String> = ends
            .iter()
            .map(|(attempt, cause, by, talk)| {
                let talk = talk.map_or(String::new(), |talk| format!(",\"talk_ms\":{talk}"));
                format!("{{\"attempt\":{attempt},\"cause\":\"{cause}\",\"ended_by\":\"{by}\"{talk}}}")
            })
            .collect();
        let body = format!(
            "{{\"step\":{step},\"result\":\"attempts_ended\",\"at\":\"{now}\",\"attempts\":[{}]}}",
            told.join(",")
        );
        let sent = |(attempt, cause, by, talk)| {
            let (attempt, end) = (Some(attempt), Some((cause, by, talk)));
            Sent { n: plan.n, kind: "ended", attempt, at: Some(now), end }
        };
        for _ in 0..TRIES {
            let began = self.clock.now();
            {
                let mut check = self.check.lock().unwrap();
                for end in &ends {
                    check.sends(&format!("next/{step}/{}", end.0), sent(*end));
                }
                check.asks_on(plan, step);
            }
            let post = self.post(plan.carrier, path, key(plan), body.clone());
            let heard = timeout(PATIENCE, post).await.ok().flatten();
            let Some(heard) = heard else {
                let what = format!("step {step} of call {} heard nothing", plan.n);
                self.check.lock().unwrap().broke(Promise::Answered, what);
                return None;
            };
            let took = self.clock.now().since(began);
            self.check.lock().unwrap().answered_on(plan, step + 1, heard.status, &heard.body, took);
            match heard.status {
                200 => return Some(heard),
                503 => sleep(Duration::from_secs(1)).await,
                _ => return None,
            }
        }
        None
    }

    async fn report(
        &self,
        plan: &CallPlan,
        path: &str,
        start: Timestamp,
        (number, place): (u32, usize),
        report: &Report,
    ) {
        let n = plan.n;
        // Copies of a report say the same under the same id, unless their carrier forgot that it had sent one.
        let id = if report.again {
            format!("e-{n}-{number}-{}-{place}", report.kind)
        } else {
            format!("e-{n}-{number}-{}", report.kind)
        };
        let attempt = (report.kind != "call_ended").then_some(number);
        // Carriers tell the time to the millisecond.
        let at = start.after(Duration::from_millis(report.at_ms));
        let at = Timestamp::from_micros(at.millis() * 1_000);
        let body = |attempt: Option<u32>| event(&id, report, attempt, at);
        match report.trick {
            Trick::WrongToken => {
                let forged = format!("{}{:032x}", &path[..path.len() - 32], 7);
                self.refused(plan, &forged, key(plan), body(attempt), "a wrong token", 404).await;
            }
            Trick::WrongAttempt if attempt.is_some() => {
                self.refused(plan, path, key(plan), body(Some(99)), "a wrong attempt", 400).await;
            }
            Trick::WrongKey => {
                let other = CARRIERS[(plan.carrier + 1) % TWILIO].1;
                self.refused(plan, path, other, body(attempt), "another carrier", 403).await;
            }
            Trick::None | Trick::WrongAttempt | Trick::Dropped(_) => {}
        }
        let sent = Sent { n, kind: report.kind, attempt, at: Some(at), end: report.end };
        self.check.lock().unwrap().sends(&id, sent);
        if let Trick::Dropped(after) = report.trick {
            let post = self.post(plan.carrier, path, key(plan), body(attempt));
            // Heard or not, it is sent again.
            let _ = timeout(Duration::from_millis(after), post).await;
            sleep(Duration::from_millis(300)).await;
        }
        for _ in 0..TRIES {
            let post = self.post(plan.carrier, path, key(plan), body(attempt));
            let heard = timeout(PATIENCE, post).await.ok().flatten();
            let Some(heard) = heard else {
                let what = format!("event {id} heard nothing");
                return self.check.lock().unwrap().broke(Promise::Durable, what);
            };
            self.check.lock().unwrap().acknowledged(n, &id, heard.status);
            if heard.status != 503 {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.check.lock().unwrap().broke(Promise::Durable, format!("event {id} was never taken"));
    }

    async fn refused(&self, plan: &CallPlan, path: &str, key: &str, body: String, what: &str, expected: u16) {
        if let Some(heard) = self.post(plan.carrier, path, key, body).await {
            self.check.lock().unwrap().refused(plan.n, what, heard.status, expected);
        }
    }
}

fn key(plan: &CallPlan) -> &'static str {
    CARRIERS[plan.carrier].1
}

fn route(plan: &CallPlan, conflicts: bool) -> String {
    let to = if conflicts { "+18005550177" } else { plan.to };
    let from =
        plan.from.as_ref().map_or("\"withheld\":true".to_owned(), |from| format!("\"from\":\"{from}\""));
    let state = plan
        .state
        .map_or(String::new(), |state| format!("\"geo\":{{\"state\":\"{state}\",\"zip\":\"10001\"}},"));
    let stir = attested::in_json(plan);
    format!(
        "{{\"carrier_call_id\":\"{}\",\"to\":\"{to}\",{from},\"test\":{},{state}{stir}\"sub_id\":\"s\",\
         \"tags\":{{\"n\":\"{}\",\"case\":\"truck\"}}}}",
        plan.id(),
        plan.test,
        plan.n
    )
}

fn event(id: &str, report: &Report, attempt: Option<u32>, at: Timestamp) -> String {
    let attempt = attempt.map_or(String::new(), |attempt| format!(",\"attempt\":{attempt}"));
    let end = report.end.map_or(String::new(), |(cause, by, talk)| {
        let talk = talk
            .filter(|_| report.kind == "ended")
            .map_or(String::new(), |talk| format!(",\"talk_ms\":{talk}"));
        format!(",\"cause\":\"{cause}\",\"ended_by\":\"{by}\"{talk}")
    });
    format!("{{\"event_id\":\"{id}\",\"type\":\"{}\",\"at\":\"{}\"{attempt}{end}}}", report.kind, at)
}

async fn read(stream: &mut DuplexStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            if body.len() >= length.parse().ok()? {
                let status = head.split(' ').nth(1)?.parse().ok()?;
                return Some(Heard { status, body: Bytes::from(body.to_owned()) });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
