//! What one run gave, in figures: from what carriers sent and heard, what bidders saw, and what everybody cost.
//!
//! Pure: records in, named numbers out. Whether a number is good is for the scenario's bars.

use std::collections::{BTreeMap, HashMap};

use super::scenario::{Entity, EntityKind};
use crate::bidders::Behaviour;
use crate::seen::Seen;
use crate::sent::Sent;

/// A reply this close to the deadline may count or not: a call that hangs on one has no right winner.
pub const MARGIN_US: u64 = 10_000;
/// How long after the deadline a reply may leave and still be thought in time, by clocks and timers that differ.
const AFTER_US: u64 = 5_000;
/// An answer this much before the deadline, with pings out, was not forced by it.
const FORCED_US: u64 = 5_000;
/// An answer this much before what it waited for may have waited for it, by clocks and timers that differ.
const EARLY_US: u64 = 1_000;
/// Without an auction for this long a market has not come back.
const BACK_US: u64 = 100_000;

/// Named numbers of one run.
pub type Figures = BTreeMap<&'static str, f64>;

/// What a run is judged by, beside what was sent and seen.
pub struct Frame<'a> {
    /// Every target of the plan; bidders come first, in the order the log counts them.
    pub entities: &'a [Entity],
    pub seed: u64,
    pub deadline_us: u64,
    /// Calls due from here to there count.
    pub from_us: u64,
    pub to_us: u64,
    /// The server is an exchange: whom it does not ask at all, it must not need.
    pub is_exchange: bool,
    /// Targets have limits, so that the highest bid may be without room.
    pub is_limited: bool,
    /// Bidders changed meanwhile: what they would have done is not known.
    pub is_changing: bool,
}

/// What became of one call's auction, as far as it can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auction {
    /// Nobody was pinged.
    None,
    Right,
    Wrong,
    /// Hangs on a reply at the deadline.
    Open,
}

/// The figures of the calls of a run.
pub fn figures(frame: &Frame<'_>, sent: &[Sent], seen: &[Seen]) -> Figures {
    let mut by_call: HashMap<u64, Vec<&Seen>> = HashMap::with_capacity(sent.len());
    seen.iter().for_each(|seen| by_call.entry(seen.call).or_default().push(seen));
    let nothing = Vec::new();
    let mut found = Found::default();
    for call in sent.iter().filter(|call| (frame.from_us..frame.to_us).contains(&call.due_us)) {
        found.add(frame, call, by_call.get(&call.number).unwrap_or(&nothing));
    }
    let after: Vec<&Sent> = sent.iter().filter(|call| call.due_us >= frame.to_us).collect();
    let back = came_back(&after, &by_call, frame.to_us);
    found.figures((frame.to_us - frame.from_us) as f64 / 1e6, back)
}

/// How long after the window the last call without an auction was due, in seconds; `None` without calls after it.
fn came_back(after: &[&Sent], by_call: &HashMap<u64, Vec<&Seen>>, to_us: u64) -> Option<f64> {
    let last = after.iter().map(|call| call.due_us).max()?;
    let without = after.iter().filter(|call| call.status != 200 || !by_call.contains_key(&call.number));
    let until = without.map(|call| call.due_us).max().unwrap_or(to_us);
    let until = if last.saturating_sub(until) < BACK_US { last } else { until };
    Some((until - to_us) as f64 / 1e6)
}

#[derive(Default)]
struct Found {
    calls: u64,
    ok: u64,
    refused: u64,
    auctioned: u64,
    pings: u64,
    right: u64,
    wrong: u64,
    open: u64,
    forced: u64,
    early: u64,
    latency: Vec<u64>,
    since_due: Vec<u64>,
    refused_latency: Vec<u64>,
    static_latency: Vec<u64>,
    added: Vec<u64>,
    forced_late: Vec<u64>,
}

impl Found {
    fn add(&mut self, frame: &Frame<'_>, call: &Sent, seen: &[&Seen]) {
        self.calls += 1;
        let Some(answered) = call.answered_us else { return };
        let took = answered.saturating_sub(call.sent_us);
        match call.status {
            200 => self.ok += 1,
            503 => {
                self.refused += 1;
                self.refused_latency.push(took);
                return;
            }
            _ => return,
        }
        self.latency.push(took);
        self.since_due.push(answered.saturating_sub(call.due_us));
        if seen.is_empty() {
            self.static_latency.push(took);
            return;
        }
        self.auctioned += 1;
        self.pings += seen.len() as u64;
        match auction(frame, call, seen) {
            Auction::Right => self.right += 1,
            Auction::Wrong => self.wrong += 1,
            Auction::Open => self.open += 1,
            Auction::None => {}
        }
        self.early += u64::from(is_early(frame, call, seen, answered));
        let closes = call.sent_us + frame.deadline_us;
        let last = seen.iter().filter_map(|ping| ping.replied_us).filter(|at| *at <= answered).max();
        let is_out = seen.iter().any(|ping| ping.replied_us.is_none_or(|at| at > answered));
        if is_out && answered + FORCED_US >= closes {
            self.forced += 1;
            self.forced_late.push(answered.saturating_sub(closes));
            self.added.push(answered.saturating_sub(closes));
        } else if let Some(last) = last {
            self.added.push(answered - last.min(closes));
        }
    }

    fn figures(mut self, seconds: f64, back: Option<f64>) -> Figures {
        let mut figures = Figures::new();
        let mut put = |name, value: f64| figures.insert(name, value);
        put("calls", self.calls as f64);
        put("answered", self.ok as f64);
        put("refused", self.refused as f64);
        put("unanswered", (self.calls - self.ok - self.refused) as f64);
        put("per_s", self.ok as f64 / seconds);
        put("auctioned", self.auctioned as f64);
        put("pings_per_auction", self.pings as f64 / self.auctioned.max(1) as f64);
        put("right", self.right as f64);
        put("wrong", self.wrong as f64);
        put("open_share", self.open as f64 / self.auctioned.max(1) as f64);
        put("goodput_per_s", self.right as f64 / seconds);
        put("forced", self.forced as f64);
        put("early", self.early as f64);
        let mut many = |values: &mut Vec<u64>, names: [(&'static str, f64); 3], unit: f64| {
            values.sort_unstable();
            for (name, share) in names {
                if let Some(value) = percentile(values, share) {
                    put(name, value as f64 / unit);
                }
            }
        };
        many(&mut self.latency, [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99)], 1e3);
        many(&mut self.since_due, [("due_p50_ms", 0.5), ("due_p99_ms", 0.99), ("due_max_ms", 1.0)], 1e3);
        many(&mut self.added, [("added_p50_us", 0.5), ("added_p90_us", 0.9), ("added_p99_us", 0.99)], 1.0);
        many(
            &mut self.forced_late,
            [("forced_p50_us", 0.5), ("forced_p90_us", 0.9), ("forced_p99_us", 0.99)],
            1.0,
        );
        many(
            &mut self.refused_latency,
            [("refused_p50_ms", 0.5), ("refused_p99_ms", 0.99), ("refused_max_ms", 1.0)],
            1e3,
        );
        many(
            &mut self.static_latency,
            [("static_p50_ms", 0.5), ("static_p99_ms", 0.99), ("static_max_ms", 1.0)],
            1e3,
        );
        if let Some(back) = back {
            put("back_s", back);
        }
        figures
    }
}

/// The value below which this share of the sorted ones lies.
pub fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last)).copied()
}

/// Whether the highest bid that came in time got the call.
pub fn auction(frame: &Frame<'_>, call: &Sent, seen: &[&Seen]) -> Auction {
    if seen.is_empty() {
        return Auction::None;
    }
    let closes = call.sent_us + frame.deadline_us;
    // One that was silent and is not any more is asked before it is waited for again: whether an answer may come before
    // its bid nobody outside can say.
    let was_needed = |ping: &Seen, at: u64| {
        let is_changed = frame.is_changing && changes(frame, ping);
        !is_changed || call.answered_us.is_some_and(|answered| at + EARLY_US <= answered)
    };
    let bids = |late: bool| {
        let counts = move |ping: &Seen, at: u64| match late {
            true => at <= closes + AFTER_US,
            false => at + MARGIN_US <= closes && was_needed(ping, at),
        };
        seen.iter()
            .filter(move |ping| ping.replied_us.is_some_and(|at| counts(ping, at)))
            .filter_map(|ping| ping.bid_cents)
            .max()
    };
    let (sure, perhaps) = (bids(false), bids(true));
    let paid = paid(frame, call, seen);
    if frame.is_limited && paid.is_some() {
        return Auction::Right;
    }
    if perhaps > sure {
        return Auction::Open;
    }
    if frame.is_exchange && !frame.is_changing && missed_live(frame, call, seen) > sure {
        return Auction::Wrong;
    }
    if paid == sure { Auction::Right } else { Auction::Wrong }
}

/// The bid of the bidder that got the call; none where nobody or a fixed price did.
fn paid(frame: &Frame<'_>, call: &Sent, seen: &[&Seen]) -> Option<u32> {
    let target = call.steps.first()?.told.targets.first()?;
    let is_it = |entity: &Entity| {
        matches!(entity.kind, EntityKind::Bidder { .. }) && entity.address == target.address
    };
    let at = frame.entities.iter().position(is_it)?;
    seen.iter().find(|ping| usize::from(ping.bidder) == at).and_then(|ping| ping.bid_cents)
}

/// Whether the answer came before the deadline, with a live bidder still out that might have bid more than was paid.
fn is_early(frame: &Frame<'_>, call: &Sent, seen: &[&Seen], answered: u64) -> bool {
    if frame.is_changing || answered + EARLY_US >= call.sent_us + frame.deadline_us {
        return false;
    }
    let paid = paid(frame, call, seen).unwrap_or(0);
    let might_win = |ping: &&Seen| match frame.entities.get(usize::from(ping.bidder)).map(|of| &of.kind) {
        Some(EntityKind::Bidder { does, max_bid_cents, .. }) => is_live(does) && *max_bid_cents > paid,
        Some(EntityKind::Fixed { .. }) | None => false,
    };
    let is_out = |ping: &&&Seen| ping.replied_us.is_none_or(|at| at > answered);
    seen.iter().filter(is_out).any(might_win)
}

/// Whether its bidder does something else from the turn of the phase on.
fn changes(frame: &Frame<'_>, ping: &Seen) -> bool {
    let entity = frame.entities.get(usize::from(ping.bidder));
    matches!(entity.map(|entity| &entity.kind), Some(EntityKind::Bidder { then: Some(_), .. }))
}

/// It answers well, if perhaps not always: whoever asks it has to wait for it.
fn is_live(does: &Behaviour) -> bool {
    matches!(does, Behaviour::Bid { .. } | Behaviour::Flaky { .. })
}

/// The highest bid, in time, of those who were not even asked.
fn missed_live(frame: &Frame<'_>, call: &Sent, seen: &[&Seen]) -> Option<u32> {
    let key = call.number.to_string();
    let of = |(at, entity): (usize, &Entity)| {
        let EntityKind::Bidder { does, .. } = &entity.kind else { return None };
        if !is_live(does) || seen.iter().any(|ping| usize::from(ping.bidder) == at) {
            return None;
        }
        let deadline_ms = frame.deadline_us / 1_000;
        let offer = does.offer(frame.seed, &entity.id, &key, deadline_ms);
        let in_time = offer.delay.as_micros() as u64 + MARGIN_US <= frame.deadline_us;
        offer.price_cents.filter(|_| in_time)
    };
    frame.entities.iter().enumerate().filter_map(of).max()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bidders::Latency;
    use crate::sent::{Step, Target, Told};
    use crate::tool::scenario::Caps;

    const DEADLINE_US: u64 = 100_000;
    const SENT_US: u64 = 1_000_000;

    fn bidder(id: &str, does: Behaviour, max_bid_cents: u32) -> Entity {
        let kind = EntityKind::Bidder { does, then: None, max_bid_cents };
        Entity { id: id.to_owned(), address: id.to_owned(), caps: Caps::default(), kind }
    }

    /// An exchange's run with these bidders.
    fn frame(entities: &[Entity], is_changing: bool) -> Frame<'_> {
        Frame {
            entities,
            seed: 1,
            deadline_us: DEADLINE_US,
            from_us: 0,
            to_us: 2 * SENT_US,
            is_exchange: true,
            is_limited: false,
            is_changing,
        }
    }

    /// A call answered after so long, which `winner` took.
    fn call(took_us: u64, winner: &str) -> Sent {
        let target = Target { attempt: 1, address: winner.to_owned(), ring_s: None };
        let told = Arc::new(Told { targets: vec![target], ..Told::default() });
        let answered_us = SENT_US + took_us;
        Sent {
            number: 1,
            status: 200,
            due_us: SENT_US,
            sent_us: SENT_US,
            answered_us: Some(answered_us),
            steps: vec![Step { step: 1, told, asked_us: SENT_US, answered_us, ends: Vec::new() }],
            ..Sent::default()
        }
    }

    #[test]
    fn a_bid_of_one_that_has_just_come_back_need_not_be_waited_for() {
        let bids = Behaviour::Bid {
            latency: Latency::Fixed(20),
            price_cents: (1_000, 9_000),
            no_bid_bps: 0,
            ttl_s: None,
        };
        let hung = |id| Entity {
            kind: EntityKind::Bidder {
                does: Behaviour::Hang,
                then: Some(bids.clone()),
                max_bid_cents: 9_000,
            },
            ..bidder(id, Behaviour::Hang, 9_000)
        };
        // the other bidder, which bid more | when, in ms; the answer came after 30 | it changed meanwhile | what it was
        let table = [
            (bidder("other", bids.clone(), 9_000), 40, true, Auction::Wrong),
            (hung("other"), 40, true, Auction::Open),
            (hung("other"), 29, true, Auction::Wrong),
            (hung("other"), 40, false, Auction::Wrong),
        ];
        for (other, replied_ms, is_changing, expected) in table {
            let entities = [bidder("won", bids.clone(), 9_000), other];
            let frame = frame(&entities, is_changing);
            let ping = |bidder, replied_ms: u64, cents| Seen {
                call: 1,
                bidder,
                received_us: SENT_US + 500,
                replied_us: Some(SENT_US + 1_000 * replied_ms),
                given_up_us: None,
                bid_cents: Some(cents),
            };
            let seen = [ping(0, 20, 5_000), ping(1, replied_ms, 6_000)];
            let found = auction(&frame, &call(30_000, "won"), &[&seen[0], &seen[1]]);
            assert_eq!(found, expected, "{:?} after {replied_ms} ms", entities[1].kind);
        }
    }

    #[test]
    fn an_answer_is_early_while_a_live_bidder_might_have_bid_more() {
        let (latency, price_cents) = (Latency::Fixed(20), (1_000, 9_000));
        let bids = Behaviour::Bid { latency: latency.clone(), price_cents, no_bid_bps: 0, ttl_s: None };
        let flaky = Behaviour::Flaky { latency, price_cents, never_bps: 700 };
        // the other bidder, its highest bid | the answer after ms, who won | the other replied after ms | is early
        let table = [
            ("long before", &bids, 9_000, 30.0, "won", None, true),
            ("flaky", &flaky, 9_000, 30.0, "won", None, true),
            ("and it came later", &bids, 9_000, 30.0, "won", Some(40), true),
            ("it had replied", &bids, 9_000, 30.0, "won", Some(29), false),
            ("it could not have bid more", &bids, 5_000, 30.0, "won", None, false),
            ("nobody won", &bids, 5_000, 30.0, "nobody", None, true),
            ("never there", &Behaviour::Hang, 9_000, 30.0, "won", None, false),
            ("two ms before", &bids, 9_000, 98.0, "won", None, true),
            ("within a ms", &bids, 9_000, 99.2, "won", None, false),
            ("at the deadline", &bids, 9_000, 100.3, "won", None, false),
        ];
        for (what, does, max_bid_cents, took_ms, winner, replied_ms, is_early) in table {
            let entities = [bidder("won", bids.clone(), 9_000), bidder("other", does.clone(), max_bid_cents)];
            let ping = |bidder, replied_ms: Option<u64>, bid_cents| Seen {
                call: 1,
                bidder,
                received_us: SENT_US + 500,
                replied_us: replied_ms.map(|ms| SENT_US + 1_000 * ms),
                given_up_us: None,
                bid_cents,
            };
            let seen = [ping(0, Some(20), Some(5_000)), ping(1, replied_ms, None)];
            for is_changing in [false, true] {
                let frame = frame(&entities, is_changing);
                let found = figures(&frame, &[call((took_ms * 1e3) as u64, winner)], &seen);
                let expected = f64::from(u8::from(is_early && !is_changing));
                assert_eq!(found["early"], expected, "{what}, bidders that change: {is_changing}");
            }
        }
    }
}
