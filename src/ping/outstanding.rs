//! Pings that were out when their auction ended: what they are worth, and how long they keep their connections.
//!
//! Who was still needed is known to the auction; what becomes of a bid that comes now is up to whoever lingers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::round::Round;
use super::{Answered, Asked, Asking};
use crate::auction::bid::{NoBid, Reply, cleaned};
use crate::domain::{Reason, Timestamp};
use crate::runtime::{Clock, Shutdown};
use crate::telemetry::event;

/// Pings whose auction is over. Dropping them closes their connections; `next` and `finish` give them their linger.
pub struct Outstanding {
    pings: FuturesUnordered<Asking>,
    /// Read to its end, and told to nobody yet.
    unheard: Vec<Answered>,
    /// Those whose deadline is to come.
    open: Vec<Arc<Round>>,
    until: Timestamp,
    clock: Clock,
    let_go: Shutdown,
    lingering: Arc<AtomicUsize>,
    granted: usize,
}

/// What became of a ping that was out when its auction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// Position among the auction's entrants.
    pub entrant: usize,
    /// What it answered, or what it failed with.
    pub reply: Reply,
    /// From ping written to reply read, of complete replies.
    pub latency: Option<Duration>,
    /// A complete reply, read before the deadline of its own auction: a bid in it is as good as any, for whoever still needs one.
    pub in_time: bool,
}

impl Late {
    /// Its outcome and what is known of it. Of a ping that was not needed any more that is the outcome, whatever came.
    /// Otherwise a complete reply is `late`, or `not_needed` where it came before the deadline; where nobody could be
    /// asked at all that failure stands, else it is `timeout`.
    pub fn outcome(self, was_needed: bool) -> NoBid {
        let (amount, failure) = match self.reply {
            Reply::Bid(bid) => (Some(bid.amount), None),
            Reply::NoBid(NoBid { reason, amount, note }) => (amount, Some((reason, note))),
        };
        let is_complete = self.latency.is_some();
        if !was_needed || self.in_time {
            let note = failure.map(|(reason, note)| match note {
                Some(note) => cleaned(format!("{reason}: {note}")),
                None => reason.to_string(),
            });
            return NoBid { reason: Reason::NotNeeded, amount, note };
        }
        match failure {
            _ if is_complete => NoBid { reason: Reason::Late, amount, note: None },
            Some((reason @ (Reason::Connect | Reason::Tls | Reason::Dns | Reason::NoTime), note)) => {
                NoBid { reason, amount: None, note }
            }
            failure => {
                let note = failure.and_then(|(reason, note)| note.or(Some(reason.to_string())));
                NoBid { reason: Reason::Timeout, amount: None, note }
            }
        }
    }
}

impl Outstanding {
    /// All of an auction's outstanding pings linger, or none, since half an explanation helps nobody. They keep their
    /// connections for the linger, and at least to the deadline they were told.
    pub(super) fn of(asked: Asked) -> Outstanding {
        let Asked { pinger, pings, round, unheard, .. } = asked;
        let closes = round.closes;
        let wanted = pings.len();
        let room = |now: usize| Some(now + wanted).filter(|then| *then <= pinger.lingering_max);
        let granted = pinger.lingering.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        let until = pinger.clock.now().after(pinger.linger).max(closes);
        let mut outstanding = Outstanding {
            pings,
            unheard,
            open: vec![round],
            until,
            clock: pinger.clock,
            let_go: pinger.let_go,
            lingering: pinger.lingering,
            granted: wanted,
        };
        if !granted {
            event::linger_overflow(wanted);
            outstanding.granted = 0;
            outstanding.pings.clear();
        }
        outstanding
    }

    /// Whether nothing is out.
    pub fn is_empty(&self) -> bool {
        self.pings.is_empty() && self.unheard.is_empty()
    }

    /// The next ping that ended, within the linger; `None` when all have or it is over, and at the end of the worker.
    /// Complete replies keep their connections.
    pub async fn next(&mut self) -> Option<Late> {
        let answered = match self.unheard.pop() {
            Some(answered) => answered,
            None => loop {
                tokio::select! {
                    biased;
                    answered = self.pings.next() => break answered?,
                    () = close_next(&mut self.open, &self.clock), if !self.open.is_empty() => {}
                    () = self.clock.sleep_until(self.until) => return None,
                    () = self.let_go.wait() => return None,
                }
            },
        };
        let Answered { entrant, latency, reply, in_time, .. } = answered;
        Some(Late { entrant, reply, latency, in_time: latency.is_some() && in_time })
    }

    /// Goes on reading while something else is waited for, so that a reply is timed when it comes and not when somebody
    /// looks, and its connection serves again.
    pub async fn during<T>(&mut self, mut other: Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            tokio::select! {
                // What is waited for first: it owns the deadline.
                biased;
                done = &mut other => return done,
                Some(answered) = self.pings.next() => self.unheard.push(answered),
                () = close_next(&mut self.open, &self.clock), if !self.open.is_empty() => {}
            }
        }
    }

    /// Waits out the linger: complete replies are returned and their connections kept, the others are closed. Who is
    /// not among the returned ended in `timeout`.
    pub async fn finish(mut self) -> Vec<Late> {
        let mut late = Vec::new();
        while let Some(one) = self.next().await {
            late.push(one);
        }
        late
    }

    /// Adds the pings of a later auction of the same step; its entrants are counted on from `first`.
    pub fn join(&mut self, mut more: Outstanding, first: usize) {
        let moved = move |answered: Answered| Answered { entrant: answered.entrant + first, ..answered };
        self.unheard.extend(std::mem::take(&mut more.unheard).into_iter().map(moved));
        self.pings.extend(std::mem::take(&mut more.pings).into_iter().map(|ping| ping.map(moved).boxed()));
        self.open.append(&mut more.open);
        self.until = self.until.max(more.until);
        self.granted += std::mem::take(&mut more.granted);
    }
}

/// Waits for the deadline that comes next, and tells its round.
async fn close_next(open: &mut Vec<Arc<Round>>, clock: &Clock) {
    let Some(closes) = open.iter().map(|round| round.closes).min() else { return };
    clock.sleep_until(closes).await;
    open.extract_if(.., |round| round.closes <= closes).for_each(|round| round.close());
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.lingering.fetch_sub(self.granted, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Outstanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outstanding({})", self.pings.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auction::bid::Bid;
    use crate::domain::Money;

    fn late(said: &str, came: &str) -> Late {
        let bid = Bid {
            amount: Money::parse("20.00").expect("an amount"),
            expires: Timestamp::default(),
            destination: None,
            min_duration: Duration::ZERO,
        };
        let reply = match said {
            "bid" => Reply::Bid(bid),
            "closed" => Reply::noted(Reason::NoBid, "closed"),
            reason => Reply::none(Reason::parse(reason).expect("a reason")),
        };
        let latency = (came != "never").then_some(Duration::from_millis(400));
        Late { entrant: 0, reply, latency, in_time: came == "in_time" }
    }

    #[test]
    fn what_became_of_a_ping_that_was_out() {
        // What it said, whether that was complete and in time, and whether it was needed: its outcome.
        let table = "
            bid          late     needed      late 20.00
            closed       late     needed      late
            disconnected never    needed      timeout (disconnected)
            connect      never    needed      connect
            tls          never    needed      tls
            no_time      never    needed      no_time
            bid          in_time  needed      not_needed 20.00
            malformed    in_time  needed      not_needed (malformed)
            bid          in_time  not_needed  not_needed 20.00
            bid          late     not_needed  not_needed 20.00
            closed       late     not_needed  not_needed (no_bid: closed)
            connect      never    not_needed  not_needed (connect)";
        for row in table.lines().filter(|row| !row.trim().is_empty()) {
            let words: Vec<&str> = row.split_whitespace().collect();
            let (was_needed, expected) = (words[2] == "needed", words[3..].join(" "));
            let NoBid { reason, amount, note } = late(words[0], words[1]).outcome(was_needed);
            let amount = amount.map_or(String::new(), |amount| format!(" {amount}"));
            let note = note.map_or(String::new(), |note| format!(" ({note})"));
            assert_eq!(format!("{reason}{amount}{note}"), expected, "{row}");
        }
    }
}
