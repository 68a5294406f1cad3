//! Twilio rings several at once, or one whom the plan screens: each leg on its own, whoever picks up is asked for a digit
//! where the document says so, and who is connected first ends the others.
//!
//! Who takes the call is not drawn: it follows from what each leg does and what it hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use load::chance::Chance;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::twilio::{Pairs, attribute, pairs, path};
use super::{Carriers, PATIENCE};
use crate::sim::check::{Promise, Sent, Word};
use crate::sim::world::{CallPlan, Fate, leg};

/// How long a voicemail listens before it is hung up on.
const NOBODY_PRESSES: u64 = 9_000;

/// One who is rung.
#[derive(Clone)]
pub(super) struct Noun {
    pub(super) attempt: u32,
    callback: String,
    /// Where whoever picks up is sent first.
    screen: Option<String>,
}

/// The nouns of a document.
pub(super) fn nouns(document: &str) -> Vec<Noun> {
    let one = |part: &str| {
        let part = part.split('>').next()?;
        let callback = attribute(part, " statusCallback")?;
        let attempt = callback.split('?').next()?.rsplit('/').next()?.parse().ok()?;
        Some(Noun { attempt, callback: path(callback), screen: attribute(part, " url").map(path) })
    };
    document.split("<Number").skip(1).filter_map(one).collect()
}

/// Whether legs are to be walked one by one.
pub(super) fn is_together(nouns: &[Noun]) -> bool {
    nouns.len() > 1 || nouns.iter().any(|noun| noun.screen.is_some())
}

/// What has become of a `Dial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Rings,
    /// This attempt has the caller.
    Taken(u32),
    CallerLeft,
}

/// How a leg ended that was not connected, in Twilio's words; `None` is one that was.
type Over = Option<&'static str>;

struct Dial {
    carriers: Arc<Carriers>,
    plan: Arc<CallPlan>,
    base: Instant,
    state: watch::Sender<State>,
    ended: Mutex<Vec<(u32, &'static str)>>,
}

impl Carriers {
    /// Rings them all; when the `Dial` is over says how, and what its action is asked with. `None` where nobody hears.
    pub(super) async fn ring_together(
        self: &Arc<Self>,
        plan: &Arc<CallPlan>,
        call: &str,
        nouns: &[Noun],
    ) -> Option<(Pairs, Word)> {
        let dial = Arc::new(Dial {
            carriers: Arc::clone(self),
            plan: Arc::clone(plan),
            base: Instant::now(),
            state: watch::channel(State::Rings).0,
            ended: Mutex::default(),
        });
        let legs: Vec<_> = nouns.iter().map(|noun| (noun, leg(plan.seed, plan.n, noun.attempt))).collect();
        let mut tasks = Vec::new();
        for (noun, leg) in &legs {
            self.buyers_hand_back(plan, call, noun.attempt, leg);
            let (dial, noun, fate) = (Arc::clone(&dial), (*noun).clone(), leg.fate);
            tasks.push(tokio::spawn(async move { dial.leg(&noun, fate).await }));
        }
        let leaves = legs.iter().filter_map(|(_, leg)| match leg.fate {
            Fate::Abandon { after } => Some(after),
            _ => None,
        });
        if let Some(after) = leaves.min() {
            let dial = Arc::clone(&dial);
            tokio::spawn(async move {
                dial.until(after).await;
                dial.becomes(State::CallerLeft);
            });
        }
        for task in tasks {
            task.await.expect("a leg");
        }
        let state = *dial.state.borrow();
        let taker = match state {
            State::Taken(attempt) => legs.iter().find(|(noun, _)| noun.attempt == attempt),
            State::Rings | State::CallerLeft => None,
        };
        let sid = |attempt: u32| sid(plan, attempt);
        let form = |status: &str, call: &str, leg: Option<u32>, more: &[(&str, &str)]| {
            let mut form =
                pairs(&[("CallSid", &plan.id()), ("CallStatus", call), ("DialCallStatus", status)]);
            form.extend(leg.map(|attempt| ("DialCallSid".to_owned(), sid(attempt))));
            form.extend(pairs(more));
            form
        };
        let word = |end, leg: Option<u32>| Word { end, leg };
        match (state, taker) {
            (State::CallerLeft, _) => {
                let end = ("cancelled", "caller", None);
                Some((form("canceled", "completed", None, &[]), word(end, None)))
            }
            (_, Some((noun, leg))) => {
                let Fate::Talk { talk, by, .. } = leg.fate else { return None };
                let seconds = (talk / 1_000).to_string();
                let call = if by == "caller" { "completed" } else { "in-progress" };
                let more = [("DialBridged", "true"), ("DialCallDuration", seconds.as_str())];
                let (attempt, end) = (Some(noun.attempt), ("normal", by, Some(talk / 1_000 * 1_000)));
                Some((form("completed", call, attempt, &more), word(end, attempt)))
            }
            _ => {
                let (attempt, status) = *dial.ended.lock().unwrap().last()?;
                let end = match status {
                    "completed" => ("rejected", "target", None),
                    "busy" => ("busy", "target", None),
                    "no-answer" => ("no_answer", "carrier", None),
                    _ => ("failed", "carrier", None),
                };
                let more = [("DialBridged", "false")];
                Some((form(status, "ringing", Some(attempt), &more), word(end, Some(attempt))))
            }
        }
    }
}

fn sid(plan: &CallPlan, attempt: u32) -> String {
    format!("L{}x{attempt}", plan.n)
}

impl Dial {
    async fn until(&self, at_ms: u64) {
        sleep_until(self.base + Duration::from_millis(at_ms)).await;
    }

    /// The first who changes it does: says whether it was this one.
    fn becomes(&self, new: State) -> bool {
        self.state.send_if_modified(|state| {
            let first = *state == State::Rings;
            *state = if first { new } else { *state };
            first
        })
    }

    /// Waits for this moment; `false` where the `Dial` is decided first.
    async fn rings_until(&self, at_ms: u64) -> bool {
        let mut state = self.state.subscribe();
        tokio::select! {
            biased;
            _ = state.wait_for(|state| *state != State::Rings) => false,
            () = self.until(at_ms) => true,
        }
    }

    /// One leg from its ringing to its end.
    async fn leg(self: &Arc<Self>, noun: &Noun, fate: Fate) {
        let (seed, n, attempt) = (self.plan.seed, self.plan.n, noun.attempt);
        let mut chance = Chance::new(seed, &["twilio together", &n.to_string(), &attempt.to_string()]);
        if !matches!(fate, Fate::Silence) {
            self.told(noun, "ringing", "ringing", None, &mut chance);
        }
        let over = self.walk(noun, fate, &mut chance).await;
        let status = over.unwrap_or("completed");
        let is_lost = matches!((fate, noun.screen.is_some()), (Fate::Lost { .. }, false)) && over.is_none();
        let cause = match status {
            "completed" => "normal",
            "busy" => "busy",
            "no-answer" => "no_answer",
            "canceled" => "cancelled",
            _ => "failed",
        };
        if !is_lost && !matches!(fate, Fate::Silence) {
            self.told(noun, status, "leg_over", Some(cause), &mut chance);
        }
        self.ended.lock().unwrap().push((attempt, status));
    }

    /// What becomes of it: how it ended without the caller, or `None` when its talk is over.
    async fn walk(self: &Arc<Self>, noun: &Noun, fate: Fate, chance: &mut Chance) -> Over {
        let is_screened = noun.screen.is_some();
        let (answers, then) = match fate {
            Fate::Talk { answer, bridge, .. } => {
                // Often several pick up at once, and press in the same moment.
                let is_close = Chance::new(self.plan.seed, &["close", &self.plan.n.to_string()]).hits(6_000);
                let up = if is_close { answer / 5_000 * 5_000 + 800 } else { answer };
                let pressed = if is_close { (bridge - answer) / 100 * 100 } else { bridge - answer };
                (up, Some((up + pressed, "1")))
            }
            // A voicemail, or who does not want it.
            Fate::Lost { answer } => (answer, None),
            Fate::Fails { after, cause: "rejected", .. } if is_screened => {
                (after / 2, chance.hits(5_000).then_some((after, "9")))
            }
            Fate::Fails { after, cause, .. } => {
                let status = match cause {
                    "no_answer" => "no-answer",
                    "failed" => "failed",
                    _ => "busy",
                };
                return Some(if self.rings_until(after).await { status } else { "canceled" });
            }
            Fate::Silence | Fate::Abandon { .. } => {
                return Some(if self.rings_until(25_000).await { "no-answer" } else { "canceled" });
            }
        };
        if !self.rings_until(answers).await {
            return Some("canceled");
        }
        self.told(noun, "in-progress", "answered", None, chance);
        if let Some(url) = &noun.screen {
            let mut again = chance.hits(1_000);
            let document = self.screen(noun, url, None).await;
            while std::mem::take(&mut again) {
                self.screen(noun, url, None).await;
            }
            let Some(action) = attribute(&document, " action").filter(|_| document.contains("<Gather"))
            else {
                return Some("completed");
            };
            let (at, digit) = then.unwrap_or((answers + NOBODY_PRESSES, ""));
            let too_late = at + chance.between(0, 1_500);
            if !self.rings_until(at).await {
                // That another one took the call has not reached whoever presses in this moment.
                let now = (Instant::now() - self.base).as_millis() as u64;
                if too_late - at + now < at {
                    return Some("completed");
                }
                self.until(at).await;
            }
            if digit.is_empty() {
                return Some("completed");
            }
            let again = chance.hits(1_000);
            let url = path(action);
            let document = self.screen(noun, &url, Some(digit)).await;
            if again && self.screen(noun, &url, Some(digit)).await != document {
                let what = format!("call {} heard two things after one digit", self.plan.n);
                self.carriers.check.lock().unwrap().broke(Promise::SameBytes, what);
            }
            if document.contains("<Hangup") {
                return Some("completed");
            }
        }
        if !self.becomes(State::Taken(noun.attempt)) {
            // Who was told to take the call while another one did; a caller may leave in that moment.
            if let State::Taken(other) = *self.state.borrow()
                && is_screened
            {
                let what =
                    format!("attempts {other} and {} of call {} both took it", noun.attempt, self.plan.n);
                self.carriers.check.lock().unwrap().broke(Promise::Agrees, what);
            }
            return Some("completed");
        }
        if let Fate::Talk { talk, .. } = fate {
            tokio::time::sleep(Duration::from_millis(talk)).await;
        }
        None
    }

    /// Asks what whoever picked up is to hear, or says what was pressed.
    async fn screen(&self, noun: &Noun, url: &str, digits: Option<&str>) -> String {
        let (plan, attempt) = (&self.plan, noun.attempt);
        let sid = sid(plan, attempt);
        let parent = plan.id();
        let mut form = pairs(&[("CallSid", &sid), ("ParentCallSid", &parent), ("CallStatus", "in-progress")]);
        form.extend(digits.map(|digits| ("Digits".to_owned(), digits.to_owned())));
        let id = format!("{sid}:screen:{}", if digits.is_some() { "digits" } else { "asked" });
        let kind = if digits == Some("1") { "bridged" } else { "noted" };
        let before = {
            let mut check = self.carriers.check.lock().unwrap();
            check.sends(&id, Sent { n: plan.n, kind, attempt: Some(attempt), at: None, end: None });
            check.may_take(plan.n, attempt)
        };
        let heard = timeout(PATIENCE, self.carriers.form(url, form)).await.ok().flatten();
        let Some(heard) = heard.filter(|heard| heard.status == 200) else {
            let what = format!("attempt {attempt} of call {} was told nothing", plan.n);
            self.carriers.check.lock().unwrap().broke(Promise::Answered, what);
            return String::new();
        };
        let document = String::from_utf8_lossy(&heard.body).into_owned();
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.carriers.check.lock().unwrap().screened((plan.n, attempt), digits, &document, before);
        document
    }

    /// News of the leg: lost, twice, or out of order.
    fn told(
        self: &Arc<Self>,
        noun: &Noun,
        status: &'static str,
        kind: &'static str,
        cause: Option<&'static str>,
        chance: &mut Chance,
    ) {
        let copies = [0, 1, 1, 1, 1, 1, 1, 1, 1, 2][chance.between(0, 9) as usize];
        for _ in 0..copies {
            let late = if chance.hits(8_000) { chance.between(0, 300) } else { chance.between(300, 15_000) };
            let (dial, noun) = (Arc::clone(self), noun.clone());
            let at = Instant::now() + Duration::from_millis(late);
            tokio::spawn(async move {
                sleep_until(at).await;
                let sid = sid(&dial.plan, noun.attempt);
                let parent = dial.plan.id();
                let form = pairs(&[("CallSid", &sid), ("ParentCallSid", &parent), ("CallStatus", status)]);
                let told = (kind, Some(noun.attempt), cause.map(|cause| (cause, "unknown", None)));
                let id = format!("{sid}:{status}");
                dial.carriers.tell(&dial.plan, &noun.callback, form, id, told).await;
            });
        }
    }
}
