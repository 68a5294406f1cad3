//! Calls that their buyers hand back: what each request must hear, and what of it holds when the attempt is over.
//!
//! An attempt is with its buyer until its end is told, lost or another's. It may go back while it rings, and until it has
//! talked for its minimum duration or longer than its buyer may take; whoever keeps the caller longer than fifteen seconds
//! after that has handed nothing back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outcry::domain::{CallId, Timestamp};
use outcry::exchange::hand_back::NotHandedBack;
use outcry::records::row::{EventRow, Row};

use super::legs::Leg;
use super::rest::SWEPT;
use super::{Check, Promise};

/// How long a buyer may take to let go of the caller.
const LETTING_GO_MS: u64 = 15_000;

/// What a buyer hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// It was taken back, and is on disk.
    Taken,
    /// Nobody has this key.
    Nobody,
    /// No such call is with the buyer.
    Unknown,
    /// It was answered too long ago.
    TooLate,
    /// It is billable.
    Billable,
    /// It is not known to be on disk.
    NotDurable,
    /// Anything else.
    Other,
}

impl Told {
    /// What a response says.
    pub fn read(status: u16, body: &[u8]) -> Told {
        let says = |what: &str| String::from_utf8_lossy(body).contains(what);
        match status {
            200 => Told::Taken,
            401 => Told::Nobody,
            404 => Told::Unknown,
            409 if says("too long ago") => Told::TooLate,
            409 if says("is billable") => Told::Billable,
            503 => Told::NotDurable,
            _ => Told::Other,
        }
    }

    /// What the exchange says itself.
    pub fn of(answer: &Result<(), NotHandedBack>) -> Told {
        match answer {
            Ok(()) => Told::Taken,
            Err(NotHandedBack::Unknown) => Told::Unknown,
            Err(NotHandedBack::TooLate) => Told::TooLate,
            Err(NotHandedBack::Billable) => Told::Billable,
            Err(NotHandedBack::NotDurable(_)) => Told::NotDurable,
            Err(NotHandedBack::Several | NotHandedBack::Busy) => Told::Other,
        }
    }
}

/// A request to take a call back, as it was sent.
pub struct Asked {
    /// Which call; `None` is one that never was.
    n: Option<u32>,
    /// Whose key it carries; `None` is nobody's.
    buyer: Option<String>,
    /// What it should have heard, had it been there at once, and of which attempt.
    then: (Told, Option<u32>),
}

/// What came of hand-backs of one call.
#[derive(Default)]
pub(super) struct HandBacks {
    /// Requests of each buyer that may still be taken.
    sent: BTreeMap<String, u32>,
    /// How many the disk has written.
    pub(super) on_disk: u32,
    /// How many were acknowledged.
    acknowledged: u32,
}

impl Check {
    /// The buyer of an attempt that was handed out.
    pub fn buyer_of(&self, n: u32, attempt: u32) -> Option<String> {
        let attempt = self.calls.get(&n)?.attempts.get(&attempt)?;
        attempt.buyer.as_ref().map(ToString::to_string)
    }

    /// A buyer is about to ask for a call to be taken back.
    pub fn hands_back(&mut self, n: Option<u32>, buyer: Option<&str>) -> Asked {
        self.counts.requests += 1;
        if let (Some(n), Some(buyer)) = (n, buyer) {
            *self.known(n).hand_backs.sent.entry(buyer.to_owned()).or_insert(0) += 1;
        }
        let then = self.due(n, buyer, self.clock.now());
        Asked { n, buyer: buyer.map(str::to_owned), then }
    }

    /// It heard this, at such a time.
    pub fn handed_back(&mut self, asked: &Asked, told: Told, at: Timestamp) {
        let Asked { n, buyer, then } = asked;
        self.note(|| format!("hand-back {n:?} {buyer:?} {told:?}"));
        *self.counts.hand_backs.entry(told).or_insert(0) += 1;
        let (now, attempt) = self.due(*n, buyer.as_deref(), at);
        let is_stuck = at <= self.stuck_until.after(SWEPT);
        let Some(n) = *n else {
            return self.must(told == now, Promise::HandBack, || {
                format!("of a call that never was {buyer:?} heard {told:?} instead of {now:?}")
            });
        };
        let hand_backs = &mut self.known(n).hand_backs;
        let holds = match told {
            Told::Taken => {
                hand_backs.acknowledged += 1;
                hand_backs.acknowledged <= hand_backs.on_disk
            }
            // Whether it was taken is not known: it may have been.
            Told::NotDurable => is_stuck,
            _ => {
                let sent = buyer.as_ref().and_then(|buyer| hand_backs.sent.get_mut(buyer));
                sent.into_iter().for_each(|sent| *sent = sent.saturating_sub(1));
                // Between an attempt that is over and its next one a call is with nobody.
                let was_between = told == Told::Unknown && attempt != then.1;
                told == then.0 || told == now || was_between
            }
        };
        let disk = (hand_backs.acknowledged, hand_backs.on_disk);
        self.must(holds, Promise::HandBack, || {
            format!(
                "{buyer:?} handed call {n} back and heard {told:?}, not {:?} or {now:?}; {disk:?} are on disk",
                then.0
            )
        });
    }

    /// What a request must hear that is taken now, and of which attempt.
    fn due(&self, n: Option<u32>, buyer: Option<&str>, now: Timestamp) -> (Told, Option<u32>) {
        let Some(buyer) = buyer else { return (Told::Nobody, None) };
        let legs = n.and_then(|n| self.calls.get(&n)).map(|known| &known.legs);
        let its = legs.into_iter().flatten().find(|(_, leg)| leg.is_with(buyer));
        its.map_or((Told::Unknown, None), |(number, leg)| (self.may_go_back(leg, buyer, now), Some(*number)))
    }

    fn may_go_back(&self, leg: &Leg, buyer: &str, now: Timestamp) -> Told {
        let catalog = self.current.as_ref().expect("a catalog is in force");
        let buyer = catalog.buyers.iter().find(|one| one.id.as_str() == buyer).expect("configured");
        let talked = leg.talked_at(now);
        let least = u128::from(leg.min_duration_ms);
        match talked {
            _ if buyer.hand_back.is_zero() => Told::TooLate,
            Some(talked) if talked.as_millis() >= least => Told::Billable,
            Some(talked) if talked > buyer.hand_back => Told::TooLate,
            _ => Told::Taken,
        }
    }

    /// A call was taken back.
    pub(super) fn took_back(&mut self, row: &EventRow) {
        let Some(n) = self.by_id.get(&row.call_id).copied() else {
            return self.broke(Promise::HandBack, format!("nobody was given {}", row.call_id));
        };
        let number = row.attempt.unwrap_or(0);
        let known = self.calls.entry(n).or_default();
        let Some(leg) = known.legs.get(&number).cloned() else {
            return self.broke(Promise::HandBack, format!("attempt {number} of call {n} never was"));
        };
        let buyer = known.attempts[&number].buyer.as_ref().map(ToString::to_string).unwrap_or_default();
        let sent = known.hand_backs.sent.get_mut(&buyer).filter(|sent| **sent > 0);
        let is_asked = sent.map(|sent| *sent -= 1).is_some();
        let first = known.legs.iter().find(|(_, leg)| leg.is_with(&buyer)).map(|(number, _)| *number);
        if let Some(leg) = known.legs.get_mut(&number) {
            leg.handed_back_at = leg.handed_back_at.max(Some(row.received));
        }
        let may = first == Some(number) && self.may_go_back(&leg, &buyer, row.received) == Told::Taken;
        let is_told = row.at == Some(row.received) && row.event_id == format!("hand-back/{number}");
        self.must(is_asked, Promise::HandBack, || format!("{buyer} did not hand call {n} back"));
        self.must(may && is_told, Promise::HandBack, || {
            format!("attempt {number} of call {n} may not go back, and did: {row:?}, {leg:?}")
        });
    }

    /// Where its buyer let go of the caller and nobody says that the caller left, a call goes on: what says how its step
    /// ended does not end it.
    pub(super) fn must_go_on(&mut self, rows: &[Row]) {
        let over: BTreeSet<_> = rows
            .iter()
            .filter_map(|row| if let Row::Ended(row) = row { Some(row.keys.call_id) } else { None })
            .collect();
        for row in rows {
            let Row::Event(row) = row else { continue };
            let step = row
                .event_id
                .strip_prefix("next/")
                .and_then(|rest| rest.split('/').next()?.parse::<u32>().ok());
            let (Some(step), Some(n)) = (step, self.by_id.get(&row.call_id).copied()) else { continue };
            let known = self.calls.entry(n).or_default();
            let mut of_step = known.legs.values().filter(|leg| leg.step == step);
            let (Some(leg), None) = (of_step.next(), of_step.next()) else { continue };
            let before = usize::from(over.contains(&row.call_id));
            if !leg.handed_back || known.is_caller_gone || known.ends.len() > before {
                continue;
            }
            self.counts.gone_on += 1;
            let what = format!("call {n} was handed back, and no other took it: {leg:?}");
            self.must(before == 0, Promise::HandBack, || what);
        }
    }
}

impl Leg {
    /// Whether it is with this buyer now.
    fn is_with(&self, buyer: &str) -> bool {
        let has_end = self.settled || self.expired || self.end.is_some_and(|end| !end.inferred);
        self.buyer.as_deref() == Some(buyer) && !has_end
    }

    /// How long they had talked, by when we heard of it first; `None` while nobody said that they do.
    fn talked_at(&self, now: Timestamp) -> Option<Duration> {
        let is_connected = self.answered.is_some() || self.bridged.is_some();
        self.picked_up.filter(|_| is_connected).map(|from| now.since(from))
    }

    /// Whether a talk of this length is over because it was handed back.
    pub(super) fn lets_go(&self, talk_ms: u64) -> bool {
        self.handed_back_at.is_some_and(|at| {
            let talked = self.talked_at(at).unwrap_or_default().as_micros();
            u128::from(talk_ms) * 1_000 <= talked + u128::from(LETTING_GO_MS) * 1_000
        })
    }
}

impl Check {
    /// What a start must say to hand-backs that come to it: call, buyer, and what it hears.
    pub fn due_after_a_restart(&self, most: usize) -> Vec<(CallId, String, Told)> {
        let now = self.clock.now();
        let mut due = Vec::new();
        for n in &self.open {
            let known = &self.calls[n];
            let Some(call) = known.decided.as_ref().map(|decided| decided.keys.call_id) else { continue };
            for buyer in known.attempts.values().filter_map(|attempt| attempt.buyer.as_ref()) {
                due.push((call, buyer.to_string(), self.due(Some(*n), Some(buyer.as_str()), now).0));
            }
        }
        due.truncate(most);
        due
    }
}
