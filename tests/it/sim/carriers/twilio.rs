//! A carrier that speaks Twilio: signed forms, documents, and reports that nobody sends twice when they are refused.
//!
//! Signs by itself, as Twilio's documentation says it is done; nothing here reads the exchange's own signatures.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use hyper::Request;
use load::chance::Chance;
use sha1::Sha1;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::together::{is_together, nouns};
use super::{Carriers, Heard, PATIENCE};
use crate::sim::attested;
use crate::sim::check::{Promise, Sent, Word};
use crate::sim::market::{CARRIERS, PUBLIC, TWILIO};
use crate::sim::world::{CallPlan, Fate, leg};

pub(super) type Pairs = Vec<(String, String)>;
/// Cause, originator and talk in milliseconds.
type End = (&'static str, &'static str, Option<u64>);

/// What goes wrong between Twilio and us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mishap {
    None,
    /// The answer does not arrive: after so many milliseconds the fallback is asked.
    Lost(u64),
    /// The first document cannot be used, it says.
    Unusable,
}

impl Carriers {
    /// A call from its webhook to its last report.
    pub(super) async fn twilio_call(self: Arc<Self>, plan: Arc<CallPlan>) {
        let mut chance = Chance::new(plan.seed, &["twilio", &plan.n.to_string()]);
        let mishap = match chance.between(0, 99) {
            0..=7 => Mishap::Lost(chance.between(0, 1_500)),
            8..=11 => Mishap::Unusable,
            _ => Mishap::None,
        };
        let incoming = || incoming(&plan);
        let lost = [("ErrorCode", "11200"), ("ErrorUrl", "https://calls/twilio/voice")];
        let heard = match mishap {
            Mishap::Lost(after) => {
                self.check.lock().unwrap().asked(&plan);
                let first = self.form("/twilio/voice", incoming());
                let _ = timeout(Duration::from_millis(after), first).await;
                self.voice(&plan, "/twilio/fallback", and(incoming(), &lost)).await
            }
            Mishap::None | Mishap::Unusable => self.voice(&plan, "/twilio/voice", incoming()).await,
        };
        let Some(heard) = heard else { return };
        let document = String::from_utf8_lossy(&heard.body).into_owned();
        if mishap == Mishap::Unusable && document.contains("<Dial") {
            let form = and(incoming(), &[("ErrorCode", "12100"), ("ErrorUrl", "https://calls/twilio/voice")]);
            let word = Word { end: ("failed", "exchange", None), leg: None };
            if let Some(document) = self.twilio_next(&plan, "/twilio/fallback", form, 1, word).await {
                self.twilio_follow(&plan, &document);
            }
            return;
        }
        self.twilio_follow(&plan, &document);
    }

    async fn voice(&self, plan: &CallPlan, path: &str, form: Pairs) -> Option<Heard> {
        let began = self.clock.now();
        self.check.lock().unwrap().asked(plan);
        let heard = timeout(PATIENCE, self.form(path, form)).await;
        self.hear(plan, began, heard.ok().flatten())
    }

    /// Rings who the document says, and asks its action when that is over.
    fn twilio_follow(self: &Arc<Self>, plan: &Arc<CallPlan>, document: &str) {
        let (Some(action), Some(callback)) =
            (attribute(document, "action"), attribute(document, "statusCallback"))
        else {
            return;
        };
        let last = |url: &str| url.split('?').next()?.rsplit('/').next()?.parse::<u32>().ok();
        let (Some(step), Some(attempt)) = (last(action), last(callback)) else { return };
        let (action, callback) = (path(action), path(callback));
        let call = action.rsplit('/').nth(1).unwrap_or("").to_owned();
        let nouns = nouns(document);
        if is_together(&nouns) {
            let (carriers, plan) = (Arc::clone(self), Arc::clone(plan));
            let parts = ["twilio dial", &plan.n.to_string(), &attempt.to_string()];
            let chance = Chance::new(plan.seed, &parts);
            tokio::spawn(async move {
                if let Some((form, word)) = carriers.ring_together(&plan, &call, &nouns).await {
                    carriers.twilio_over(&plan, &action, form, (step, word), chance).await;
                }
            });
            return;
        }
        let leg = leg(plan.seed, plan.n, attempt);
        self.buyers_hand_back(plan, &call, attempt, &leg);
        let fate = leg.fate;
        let mut chance = Chance::new(plan.seed, &["twilio leg", &plan.n.to_string(), &attempt.to_string()]);
        let base = Instant::now();
        for (status, kind, at, cause) in callbacks(&fate) {
            // Lost, twice, or out of order.
            let copies = [0, 1, 1, 1, 1, 1, 1, 1, 1, 2][chance.between(0, 9) as usize];
            for _ in 0..copies {
                let late =
                    if chance.hits(8_000) { chance.between(0, 300) } else { chance.between(300, 15_000) };
                let sid = format!("L{}x{attempt}", plan.n);
                let (carriers, plan, path) = (Arc::clone(self), Arc::clone(plan), callback.clone());
                let told = (kind, Some(attempt), cause.map(|cause| (cause, "unknown", None)));
                let id = format!("{sid}:{status}");
                let form = pairs(&[("CallSid", &sid), ("ParentCallSid", &plan.id()), ("CallStatus", status)]);
                tokio::spawn(async move {
                    sleep_until(base + Duration::from_millis(at + late)).await;
                    carriers.tell(&plan, &path, form, id, told).await;
                });
            }
        }
        let (carriers, plan) = (Arc::clone(self), Arc::clone(plan));
        tokio::spawn(async move {
            let Some((after, form, end)) = dial_action(&fate, &plan) else { return };
            sleep_until(base + Duration::from_millis(after)).await;
            let word = Word { end, leg: None };
            carriers.twilio_over(&plan, &action, form, (step, word), chance).await;
        });
    }

    /// A `Dial` is over: its action is asked, and what it says done, or the call is over.
    async fn twilio_over(
        self: &Arc<Self>,
        plan: &Arc<CallPlan>,
        action: &str,
        form: Pairs,
        (step, word): (u32, Word),
        mut chance: Chance,
    ) {
        let is_gone = word.end.1 == "caller";
        // That it was lost nobody hears: only the callbacks tell then, and they prove no talk.
        let next = match chance.hits(500) {
            true => None,
            false => self.twilio_next(plan, action, form, step, word).await,
        };
        let goes_on = next.as_ref().is_some_and(|document| document.contains("<Dial")) && !is_gone;
        if let Some(document) = next.filter(|_| goes_on) {
            return self.twilio_follow(plan, &document);
        }
        if chance.hits(7_000) {
            sleep(Duration::from_millis(chance.between(10, 2_000))).await;
            let form = pairs(&[("CallSid", &plan.id()), ("CallStatus", "completed")]);
            let told = ("call_ended", None, Some(("normal", "caller", None)));
            self.tell(plan, "/twilio/status", form, "status:call_ended".to_owned(), told).await;
        }
    }

    /// Says how the attempts of a step ended, and hears what now.
    async fn twilio_next(
        &self,
        plan: &CallPlan,
        path: &str,
        form: Pairs,
        step: u32,
        word: Word,
    ) -> Option<String> {
        let began = self.clock.now();
        {
            let mut check = self.check.lock().unwrap();
            check.says_of_all(plan.n, step, word);
            check.asks_on(plan, step);
        }
        let heard = timeout(PATIENCE, self.form(path, form)).await.ok().flatten();
        let mut check = self.check.lock().unwrap();
        let Some(heard) = heard else {
            check.broke(Promise::Answered, format!("step {step} of call {} heard nothing", plan.n));
            return None;
        };
        let took = self.clock.now().since(began);
        check.answered_on(plan, step + 1, heard.status, &heard.body, took);
        Some(String::from_utf8_lossy(&heard.body).into_owned())
    }

    /// Reports once: Twilio does not ask whether it was heard.
    pub(super) async fn tell(
        &self,
        plan: &CallPlan,
        path: &str,
        form: Pairs,
        id: String,
        (kind, attempt, end): (&'static str, Option<u32>, Option<End>),
    ) {
        self.check.lock().unwrap().sends(&id, Sent { n: plan.n, kind, attempt, at: None, end });
        let heard = timeout(PATIENCE, self.form(path, form)).await.ok().flatten();
        let mut check = self.check.lock().unwrap();
        match heard {
            // Nothing to say is the right answer.
            Some(Heard { status: 204, .. }) => check.acknowledged(plan.n, &id, 200),
            Some(Heard { status: 200, .. }) => check.acknowledged(plan.n, &id, 204),
            Some(Heard { status, .. }) => check.acknowledged(plan.n, &id, status),
            None => check.broke(Promise::Durable, format!("{id} of call {} heard nothing", plan.n)),
        }
    }

    /// Posts a signed form.
    pub(super) async fn form(&self, path: &str, mut form: Pairs) -> Option<Heard> {
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        form.sort();
        let joined: String = form.iter().map(|(name, value)| format!("{name}{value}")).collect();
        let mut mac = Hmac::<Sha1>::new_from_slice(CARRIERS[TWILIO].1.as_bytes()).expect("a key");
        mac.update(format!("{PUBLIC}{path}{joined}").as_bytes());
        let request = Request::post(path)
            .header("host", "exchange")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-signature", STANDARD.encode(mac.finalize().into_bytes()))
            .body(body.join("&").into_bytes().into())
            .expect("a request");
        let mut connection = self.connection(TWILIO).await;
        let answer = connection.send_request(request).await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        self.lies_idle(TWILIO, connection);
        Some(Heard { status, body })
    }
}

/// What is told of the leg: status, what it means, when, and the cause of its end.
fn callbacks(fate: &Fate) -> Vec<(&'static str, &'static str, u64, Option<&'static str>)> {
    let over = |status, at, cause| (status, "leg_over", at, Some(cause));
    match *fate {
        Fate::Talk { answer, bridge, talk, .. } => vec![
            ("initiated", "noted", 10, None),
            ("ringing", "ringing", 500.min(answer), None),
            ("in-progress", "answered", answer, None),
            over("completed", bridge + talk, "normal"),
        ],
        Fate::Fails { after, cause: "busy", .. } => vec![over("busy", after, "busy")],
        Fate::Fails { after, cause: "no_answer", .. } => {
            vec![("ringing", "ringing", 90.min(after), None), over("no-answer", after, "no_answer")]
        }
        Fate::Fails { after, cause: "rejected", .. } => {
            vec![("in-progress", "answered", after / 2, None), over("completed", after, "normal")]
        }
        Fate::Fails { after, .. } => vec![over("failed", after, "failed")],
        Fate::Abandon { after } => {
            vec![("ringing", "ringing", 200.min(after), None), over("canceled", after, "cancelled")]
        }
        Fate::Silence => Vec::new(),
        Fate::Lost { answer } => vec![("in-progress", "answered", answer, None)],
    }
}

type Action = (u64, Pairs, End);

/// When the action is asked, with what, and what that means.
fn dial_action(fate: &Fate, plan: &CallPlan) -> Option<Action> {
    let id = plan.id();
    let form = |status: &str, call: &str, more: &[(&str, &str)]| {
        and(pairs(&[("CallSid", &id), ("CallStatus", call), ("DialCallStatus", status)]), more)
    };
    Some(match *fate {
        Fate::Talk { bridge, talk, by, .. } => {
            let seconds = (talk / 1_000).to_string();
            let call = if by == "caller" { "completed" } else { "in-progress" };
            let more = [("DialBridged", "true"), ("DialCallDuration", seconds.as_str())];
            (bridge + talk, form("completed", call, &more), ("normal", by, Some(talk / 1_000 * 1_000)))
        }
        // Answered, a whisper heard, and not taken: no talk, whatever it lasted.
        Fate::Fails { after, cause: "rejected", .. } => {
            let more = [("DialBridged", "false"), ("DialCallDuration", "95")];
            (after, form("completed", "ringing", &more), ("rejected", "target", None))
        }
        Fate::Fails { after, cause, by } => {
            let status = cause.replace('_', "-");
            (after, form(&status, "ringing", &[("DialBridged", "false")]), (cause, by, None))
        }
        Fate::Abandon { after } => (after, form("canceled", "completed", &[]), ("cancelled", "caller", None)),
        Fate::Silence | Fate::Lost { .. } => return None,
    })
}

fn incoming(plan: &CallPlan) -> Pairs {
    let from = plan.digits().map_or("anonymous".to_owned(), |digits| format!("+1{digits}"));
    let form = pairs(&[
        ("CallSid", &plan.id()),
        ("CallStatus", "ringing"),
        ("From", &from),
        ("To", plan.to),
        ("SipHeader_X-N", &plan.n.to_string()),
    ]);
    let verstat = attested::in_form(plan);
    let form = and(form, &verstat.iter().map(|said| ("StirVerstat", said.as_str())).collect::<Vec<_>>());
    match plan.state {
        Some(state) => and(form, &[("FromState", state), ("FromCountry", "US"), ("FromZip", "10001")]),
        None => form,
    }
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn and(form: Pairs, more: &[(&str, &str)]) -> Pairs {
    [form, pairs(more)].concat()
}

pub(super) fn path(url: &str) -> String {
    url.strip_prefix(PUBLIC).unwrap_or(url).to_owned()
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

/// An attribute of a document.
pub fn attribute<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
