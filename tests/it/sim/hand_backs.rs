//! Buyers that hand calls back: in time and too late, what rings and what is over, their own and each other's, once and
//! again, and then let go of the caller or not.
//!
//! What is asked is told to the model before it is sent, and what is heard after it. Calls are named by their id: looking
//! for one by its caller is done on a thread of its own, so that a seed would no longer be one course of events.

use std::sync::Arc;
use std::time::Duration;

use load::chance::Chance;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::carriers::{Carriers, OF_BUYERS, PATIENCE, TRIES};
use super::check::{Asked, Promise, Told};
use super::market::{base, buyer_key};
use super::world::{CallPlan, Fate, LegPlan};

/// Longest that the model needs for rows that were handed in before an answer was heard.
const SETTLES: Duration = Duration::from_millis(1);
/// A call that never was.
const NO_CALL: &str = "01J00000000000000000000000";

/// A request of a buyer about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandBack {
    /// When it is sent, in milliseconds after the answer was received.
    pub at_ms: u64,
    /// By whom.
    pub by: By,
    /// About a call that never was.
    pub is_unknown: bool,
    /// The connection is dropped after so many milliseconds and the same sent again.
    pub dropped: Option<u64>,
}

/// Who hands back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The buyer of the attempt.
    Its,
    /// Another one.
    Another,
    /// Somebody with a key of their own.
    Nobody,
}

/// What an attempt's buyer does about handing it back, and what becomes of a talk that it lets go of.
pub fn draw(seed: u64, n: u32, attempt: u32, fate: Fate) -> (Vec<HandBack>, Fate) {
    let mut chance = Chance::new(seed, &["hand back", &n.to_string(), &attempt.to_string()]);
    let c = &mut chance;
    if !c.hits(1_800) {
        return (Vec::new(), fate);
    }
    let (mut fate, mut by, mut is_unknown) = (fate, By::Its, false);
    let at_ms = match fate {
        Fate::Talk { answer, bridge, talk, by: who } => {
            // How long the buyer talks on: it is believed up to fifteen seconds.
            let lets_go = match c.between(0, 3) {
                0 => [14_000, 14_999, 15_000, 15_001, 16_000][c.between(0, 4) as usize],
                1 => c.between(15_000, 30_000),
                _ => c.between(0, 12_000),
            };
            let from_bridge = |c: &mut Chance| match c.between(0, 9) {
                0..=5 => c.between(0, 28_000),
                6 | 7 => c.between(20_000, 80_000),
                // On the edge of what is billable, and of what is too late.
                8 => [29_000, 30_000, 59_000, 60_000, 89_999, 90_000][c.between(0, 5) as usize],
                _ => c.between(85_000, 130_000),
            };
            match c.between(0, 9) {
                0 => c.between(1, answer),
                1 => {
                    let at = c.between(1, answer);
                    fate = Fate::Talk { answer, bridge, talk: lets_go, by: who };
                    at
                }
                2..=6 => {
                    let after = from_bridge(c);
                    let by = if c.hits(8_000) { "target" } else { "caller" };
                    fate = Fate::Talk { answer, bridge, talk: after + lets_go, by };
                    bridge + after
                }
                // It talks on as if nothing had been said.
                7 => bridge + from_bridge(c).min(talk),
                8 => bridge + from_bridge(c),
                _ => bridge + talk + c.between(0, 5_000),
            }
        }
        Fate::Fails { after, .. } | Fate::Abandon { after } => c.between(1, after + 500),
        Fate::Silence => c.between(1, 60_000),
        Fate::Lost { answer } => c.between(1, answer + 100_000),
    };
    match c.between(0, 19) {
        0..=2 => by = By::Another,
        3 => by = By::Nobody,
        4 => is_unknown = true,
        _ => {}
    }
    let dropped = c.hits(1_000).then(|| c.between(0, 10));
    let mut all = vec![HandBack { at_ms, by, is_unknown, dropped }];
    // Again, and who is not believed may try it with the right key.
    while c.hits(2_500) && all.len() < 3 {
        let at_ms = at_ms + c.between(0, 20_000);
        all.push(HandBack { at_ms, by: By::Its, is_unknown: false, dropped: None });
    }
    (all, fate)
}

impl Carriers {
    /// Each hand-back of an attempt that was just handed out, at its time.
    pub(super) fn buyers_hand_back(
        self: &Arc<Self>,
        plan: &Arc<CallPlan>,
        call: &str,
        attempt: u32,
        leg: &LegPlan,
    ) {
        let base = Instant::now();
        for told in leg.hand_backs.iter().copied() {
            let (carriers, plan, call) = (Arc::clone(self), Arc::clone(plan), call.to_owned());
            tokio::spawn(async move {
                sleep_until(base + Duration::from_millis(told.at_ms)).await;
                carriers.hand_back(&plan, &call, attempt, told).await;
            });
        }
    }

    async fn hand_back(&self, plan: &CallPlan, call: &str, attempt: u32, told: HandBack) {
        let buyers = &base().buyers;
        let its = self.check.lock().unwrap().buyer_of(plan.n, attempt);
        let its = its.and_then(|its| buyers.iter().position(|buyer| buyer.id.as_str() == its)).unwrap_or(0);
        let buyer = match told.by {
            By::Its => Some(its),
            By::Another => Some((its + 1 + plan.n as usize % (buyers.len() - 1)) % buyers.len()),
            By::Nobody => None,
        };
        let buyer = buyer.map(|at| buyers[at].id.as_str());
        let call = if told.is_unknown { NO_CALL } else { call };
        let body = format!("{{\"call_id\":\"{call}\",\"reason\":\"no agent\"}}");
        let key = buyer_key(buyer.unwrap_or("nobody"));
        let asked = || {
            let mut check = self.check.lock().unwrap();
            check.hands_back((!told.is_unknown).then_some(plan.n), buyer)
        };
        if let Some(after) = told.dropped {
            drop(asked());
            // Heard or not, it is sent again.
            let post = self.post(OF_BUYERS, "/v1/hand-back", &key, body.clone());
            let _ = timeout(Duration::from_millis(after), post).await;
            sleep(Duration::from_millis(300)).await;
        }
        for _ in 0..TRIES {
            let asked: Asked = asked();
            let post = self.post(OF_BUYERS, "/v1/hand-back", &key, body.clone());
            let heard = timeout(PATIENCE, post).await.ok().flatten();
            let at = self.clock.now();
            sleep(SETTLES).await;
            let Some(heard) = heard else {
                let what = format!("about call {} nothing was heard", plan.n);
                return self.check.lock().unwrap().broke(Promise::HandBack, what);
            };
            self.check.lock().unwrap().handed_back(&asked, Told::read(heard.status, &heard.body), at);
            if heard.status != 503 {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let what = format!("call {} was never taken back", plan.n);
        self.check.lock().unwrap().broke(Promise::HandBack, what);
    }
}
