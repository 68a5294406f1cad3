//! A decided call as it lives on: what repeats, late reports and further steps need of it, until it is forgotten.
//!
//! Once nothing can come of it any more, only what repeats need is left: most calls in memory are such ones. Values only;
//! what is done with a call is said in `exchange`.

use std::sync::Arc;

use super::calls::{CallKey, Step};
use super::rest::Rest;
use crate::billing::{Settlement, Terms};
use crate::call::event::Effect;
use crate::call::{Call, Onward};
use crate::capacity::hold::Hold;
use crate::domain::{
    AttemptEnd, BuyerId, CallId, CampaignId, EndCounts, PublisherId, Reason, Tail, TargetId, Timestamp,
};

/// A decided call until it is forgotten.
#[derive(Debug)]
pub struct Live {
    /// Its id.
    pub id: CallId,
    /// Its key, to forget the answer with it.
    pub key: Arc<CallKey>,
    /// Its campaign, unless the number was unknown.
    pub campaign: Option<CampaignId>,
    /// How foreign text that spells its caller's number is known.
    pub caller: Option<Tail>,
    /// What its URLs carry.
    pub token: u128,
    /// Its carrier signs what it sends: the token alone is nobody's permission.
    pub signed: bool,
    /// What may still come of it.
    pub course: Course,
    /// The answers after the first one.
    pub steps: Vec<Step>,
    /// The last of them was a goodbye: whatever is asked next hears it again.
    pub said_goodbye: bool,
    /// When it was over, by the last thing that settled it.
    pub over_since: Option<Timestamp>,
    /// When the sweep looks at it next.
    pub looked_at: Option<Timestamp>,
}

/// What may still come of a call.
#[derive(Debug)]
pub enum Course {
    /// Attempts, talks, money.
    Open(Box<Open>),
    /// Nothing.
    Settled(Settled),
}

/// A call of which something may still come.
#[derive(Debug)]
pub struct Open {
    /// Its arrival.
    pub at: Timestamp,
    /// Its publisher, unless the number was unknown.
    pub publisher: Option<PublisherId>,
    /// Never billed, in no count.
    pub test: bool,
    /// The state machine.
    pub call: Call,
    /// Its attempts.
    pub offered: Vec<Offered>,
    /// What further steps are taken by; `None` once nothing can follow. Shared with what is written of it.
    pub rest: Option<Arc<Rest>>,
    /// What its end counts for so far, once it was written: what follows is a correction.
    pub counted: Option<EndCounts>,
}

/// What is left of a call of which nothing comes any more.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    attempts: u32,
    /// The step that handed out the last of them.
    step: u32,
    billed: bool,
    outcome: Reason,
}

/// An attempt that was handed out.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Its number.
    pub attempt: u32,
    /// The step that handed it out.
    pub step: u32,
    /// When.
    pub at: Timestamp,
    /// What the answer rested on.
    pub basis: &'static str,
    /// Why.
    pub why: Reason,
    /// Digest of the catalog it was handed out by.
    pub catalog: Arc<str>,
    /// Who takes it; `None` for the plan's own last destination.
    pub taker: Option<Taker>,
    /// How it ended, and what that is worth to its taker.
    pub end: Option<(AttemptEnd, Option<Settlement>)>,
    /// The carrier's name of its leg, of one that rings at once with others: how they are told apart later.
    pub leg: Option<String>,
}

/// A target that was given a call, with what settling it needs.
#[derive(Clone, Debug)]
pub struct Taker {
    /// The target.
    pub target: TargetId,
    /// Its buyer.
    pub buyer: BuyerId,
    /// Terms frozen when it was handed out.
    pub terms: Terms,
    /// Its capacity.
    pub hold: Hold,
}

impl Live {
    /// The call while something may still come of it.
    pub fn open(&self) -> Option<&Open> {
        match &self.course {
            Course::Open(open) => Some(open),
            Course::Settled(_) => None,
        }
    }

    /// As `open`, to change it.
    pub fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.course {
            Course::Open(open) => Some(open),
            Course::Settled(_) => None,
        }
    }

    /// How many attempts there were. They are numbered from one, in the order of the steps that handed them out.
    pub fn attempts(&self) -> u32 {
        match &self.course {
            Course::Open(open) => open.call.attempts(),
            Course::Settled(settled) => settled.attempts,
        }
    }

    /// The last step that handed out an attempt; zero without one.
    pub fn last_dialled(&self) -> u32 {
        match &self.course {
            Course::Open(open) => open.offered.last().map_or(0, |offered| offered.step),
            Course::Settled(settled) => settled.step,
        }
    }

    /// Whether the attempt exists.
    pub fn has_attempt(&self, number: u32) -> bool {
        (1..=self.attempts()).contains(&number)
    }

    /// The attempt that a report is about which names none: the last, but for those that lost the call to another.
    pub fn latest(&self) -> Option<u32> {
        let last = Some(self.attempts()).filter(|last| *last > 0);
        let had_it = |offered: &&Offered| offered.outcome() != Some(Reason::OtherAnswered);
        let of_open = |open: &Open| open.offered.iter().rev().find(had_it).map(|offered| offered.attempt);
        self.open().and_then(of_open).or(last)
    }

    /// Whether the attempt may still take the call, or has it.
    pub fn may_take(&self, attempt: u32) -> bool {
        self.open().is_some_and(|open| open.call.may_take(attempt))
    }

    /// Whether an attempt was billed.
    pub fn is_billed(&self) -> bool {
        match &self.course {
            Course::Open(open) => open.billed().is_some(),
            Course::Settled(settled) => settled.billed,
        }
    }

    /// What came of it so far, in a word.
    pub fn outcome(&self) -> Reason {
        match &self.course {
            Course::Open(open) => open.decisive().and_then(Offered::outcome).unwrap_or(Reason::NoTaker),
            Course::Settled(settled) => settled.outcome,
        }
    }

    /// Whether the caller hung up, as far as anybody said, or might as well have.
    pub fn is_caller_gone(&self) -> bool {
        self.open().is_none_or(|open| open.call.is_caller_gone())
    }

    /// What follows now that the attempts so far are over: nothing after one that was billed.
    pub fn onward(&self) -> Onward {
        self.open().filter(|open| open.billed().is_none()).map_or(Onward::Finished, |open| open.call.onward())
    }

    /// Tells the machine, if it still is of interest to it.
    pub fn tell(&mut self, tell: impl FnOnce(&mut Call) -> Vec<Effect>) -> Vec<Effect> {
        self.open_mut().map(|open| tell(&mut open.call)).unwrap_or_default()
    }

    /// Lets go of what nobody needs any more, once nothing can come of the call.
    pub fn settle(&mut self) {
        if self.open().is_some_and(|open| open.call.is_settled()) {
            let (attempts, billed, outcome) = (self.attempts(), self.is_billed(), self.outcome());
            let step = self.last_dialled();
            self.course = Course::Settled(Settled { attempts, step, billed, outcome });
            self.steps.shrink_to_fit();
        }
    }
}

impl Open {
    /// The attempt that was billed, if one was.
    pub fn billed(&self) -> Option<&Offered> {
        self.offered.iter().find(|o| matches!(&o.end, Some((_, Some(settlement))) if settlement.billable))
    }

    /// The attempt whose end is the call's: that which was billed, else the last one that had the caller or nobody did
    /// instead.
    pub fn decisive(&self) -> Option<&Offered> {
        let had_it = |offered: &&Offered| offered.outcome() != Some(Reason::OtherAnswered);
        self.billed().or_else(|| self.offered.iter().rev().find(had_it)).or(self.offered.last())
    }
}

impl Offered {
    /// What came of it, in a word; `None` while it goes on.
    pub fn outcome(&self) -> Option<Reason> {
        let (_, settlement) = self.end.as_ref()?;
        Some(match (settlement, &self.taker) {
            (Some(settlement), _) => settlement.reason,
            (None, Some(_)) => Reason::Unresolved,
            (None, None) => Reason::NoTaker,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::billing::settle;
    use crate::call::event::{CallEvent, EventKind};
    use crate::call::{Kind, Patience, Recovery, Rung};
    use crate::domain::{CarrierId, Cause, EndedBy, HoldId, Money, Payout};

    const S: fn(u64) -> Duration = Duration::from_secs;

    /// A call with one attempt that was handed out.
    fn call() -> Live {
        let recovery = Recovery { early_hangup: S(0), attempts: 5, ring_budget: S(60), next_within: S(0) };
        let patience = Patience { late_events: S(30), unanswered: S(40), answered: S(3_600) };
        let mut call = Call::new(recovery);
        let rung = Rung { number: 1, step: 1, kind: Kind::Target, screened: false, patience };
        call.offer(rung, Timestamp::default());
        let terms = Terms {
            price: Money::from_micros(25_000_000),
            min_duration: S(90),
            payout: Payout::Fixed(Money::ZERO),
            money_step: Money::from_micros(10_000),
            test: false,
        };
        let taker = Taker {
            target: TargetId::parse("acme-auto").expect("a slug"),
            buyer: BuyerId::parse("acme").expect("a slug"),
            terms,
            hold: Hold::new(HoldId::from_bits(1), Vec::new()),
        };
        let offered = Offered {
            attempt: 1,
            step: 1,
            at: Timestamp::default(),
            basis: "auction",
            why: Reason::Won,
            catalog: "digest".into(),
            taker: Some(taker),
            end: None,
            leg: None,
        };
        let open = Open {
            at: Timestamp::default(),
            publisher: None,
            test: false,
            call,
            offered: vec![offered],
            rest: None,
            counted: None,
        };
        let key = CallKey { carrier: CarrierId::parse("sw").expect("a slug"), carrier_call_id: "CA1".into() };
        Live {
            id: CallId::from_bits(1),
            key: Arc::new(key),
            campaign: None,
            caller: None,
            token: 0,
            signed: false,
            course: Course::Open(Box::new(open)),
            steps: Vec::new(),
            said_goodbye: false,
            over_since: None,
            looked_at: None,
        }
    }

    /// Does what the effects say of ends.
    fn take(live: &mut Live, effects: Vec<Effect>) {
        for effect in effects {
            let (end, open) = match (effect, live.open_mut()) {
                (Effect::Settle { end, .. }, Some(open)) => (end, open),
                _ => continue,
            };
            let taker = open.offered[0].taker.as_ref().expect("a taker");
            let settlement = settle(&taker.terms, &end, false);
            open.offered[0].end = Some((end, Some(settlement)));
        }
    }

    fn ended(talk_ms: u64) -> CallEvent {
        let (cause, ended_by) = (Cause::Normal, EndedBy::Caller);
        let kind = EventKind::Ended { cause, ended_by, talk_ms: Some(talk_ms) };
        CallEvent { attempt: Some(1), at: Timestamp::default(), kind }
    }

    #[test]
    fn a_settled_call_says_what_it_said_before() {
        let says = |live: &Live| {
            let attempts = (live.attempts(), live.has_attempt(0), live.has_attempt(1), live.has_attempt(2));
            (attempts, live.is_billed(), live.outcome(), live.onward())
        };
        for (talk_ms, billed, outcome) in [(95_000, true, Reason::Billable), (5_000, false, Reason::TooShort)]
        {
            let mut live = call();
            live.settle();
            assert!(live.open().is_some(), "its attempt goes on");
            let effects = live.tell(|call| call.on_event(&ended(talk_ms), Timestamp::default()));
            take(&mut live, effects);
            let before = says(&live);
            live.settle();
            assert!(live.open().is_none(), "its only attempt has an end");
            assert_eq!(says(&live), before);
            assert_eq!(before, ((1, false, true, false), billed, outcome, Onward::Finished));
            assert_eq!(live.tell(|call| call.on_event(&ended(1), Timestamp::default())), Vec::new());
        }
    }

    #[test]
    fn a_call_with_a_lost_end_stays_whole() {
        let mut live = call();
        let effects = live.tell(|call| call.on_time(Timestamp::default().after(S(41))));
        assert!(effects.contains(&Effect::Over), "{effects:?}");
        live.settle();
        assert!(live.open().is_some(), "news of it may come");
    }
}
