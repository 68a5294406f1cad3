//! The pings of one auction while they are out: what they share, each from connection to judged reply, and what its
//! target's health is told of it.
//!
//! One round is one allocation and one deadline, however many it asks. Who waits for it, and tells it that the deadline
//! has come, is `Asked` and then `Outstanding`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::client::{Pool, Received, Taken};
use super::health::{Health, may_be_ours};
use super::wire::Failure;
use super::{Answered, Ask, told_ms};
use crate::auction::bid::Reply;
use crate::bidder::reply::{Terms, read};
use crate::bidder::request::Request;
use crate::domain::{PingId, Reason, TargetIx, Timestamp};
use crate::runtime::Clock;
use crate::runtime::pulse::Pulse;
use crate::snapshot::Snapshot;
use crate::telemetry::event;

/// What the pings of one auction share.
pub(super) struct Round {
    pool: Arc<Pool>,
    snapshot: Arc<Snapshot>,
    clock: Clock,
    pulse: Arc<Pulse>,
    asked: Timestamp,
    /// The auction's deadline.
    pub(super) closes: Timestamp,
    watched: Vec<Watched>,
    /// When the last ping was written, in microseconds; 0 before the first.
    last_written: AtomicI64,
    /// A ping had to open its connection.
    is_cold: AtomicBool,
}

/// Whether one ping has yet to say something of its target's health: it began, and nothing is booked of it.
struct Watched {
    health: Arc<Health>,
    is_open: AtomicBool,
}

impl Round {
    /// Begins now.
    pub(super) fn new(
        pool: Arc<Pool>,
        snapshot: Arc<Snapshot>,
        clock: Clock,
        pulse: Arc<Pulse>,
        asked: impl Iterator<Item = Arc<Health>>,
        closes: Timestamp,
    ) -> Round {
        let watched = asked.map(|health| Watched { health, is_open: AtomicBool::new(false) }).collect();
        let (last_written, is_cold) = (AtomicI64::new(0), AtomicBool::new(false));
        Round { pool, snapshot, asked: clock.now(), clock, pulse, closes, watched, last_written, is_cold }
    }

    /// One ping, the one at this place. Owns all it needs: it may outlive its auction.
    pub(super) async fn ask(self: Arc<Self>, at: usize, mut ask: Ask, taken: Taken) -> Answered {
        let watch = Watch::begin(&self, at);
        let judge = |received: Received<'_>| {
            let (written, read) = (received.written, received.read);
            (written, read, self.judge(ask.target, ask.ping, received))
        };
        let leaves = |request: &mut Request, now: Timestamp, warm: bool| {
            self.wrote(now, warm);
            if !warm {
                self.retime(ask.target, request, now);
            }
        };
        let (pool, closes) = (&self.pool, self.closes);
        let exchanged = pool.exchange(&ask.endpoint, taken, &mut ask.request, closes, leaves, judge).await;
        match exchanged {
            Ok((written, read, reply)) => {
                let latency = read.since(written);
                event::ping_replied(&ask.endpoint.buyer, latency);
                watch.answered(read);
                let in_time = read < self.closes;
                Answered { entrant: ask.entrant, latency: Some(latency), reply, read, in_time }
            }
            Err(Failure { reply, is_ours }) => {
                if is_ours {
                    watch.says_nothing();
                } else {
                    watch.missed();
                }
                let read = self.clock.now();
                Answered { entrant: ask.entrant, latency: None, reply, read, in_time: read < self.closes }
            }
        }
    }

    fn judge(&self, target: TargetIx, ping: PingId, received: Received<'_>) -> Reply {
        let target = self.snapshot.catalog.target(target);
        let Some(endpoint) = target.endpoint() else { return Reply::none(Reason::Malformed) };
        let terms = Terms {
            ping_id: ping,
            currency: &self.snapshot.currency,
            money_step: self.snapshot.money_step,
            target,
            endpoint,
            is_ours: &|number| self.snapshot.is_ours(number),
        };
        read(&terms, received.status, received.body, received.read)
    }

    /// Opening its connection took of the time that the buyer would have been told it has.
    fn retime(&self, target: TargetIx, request: &mut Request, now: Timestamp) {
        let endpoint = self.snapshot.catalog.target(target).endpoint();
        let secret = endpoint.and_then(|endpoint| endpoint.secret.as_ref()).map(|secret| secret.0.as_slice());
        request.retime(told_ms(self.closes.since(now)), secret);
    }

    fn wrote(&self, at: Timestamp, warm: bool) {
        self.last_written.fetch_max(at.micros(), Ordering::Relaxed);
        self.is_cold.fetch_or(!warm, Ordering::Relaxed);
    }

    /// When the last ping was written; `None` when none was.
    pub(super) fn last_written(&self) -> Option<Timestamp> {
        Some(self.last_written.load(Ordering::Relaxed)).filter(|at| *at != 0).map(Timestamp::from_micros)
    }

    /// Every ping that was written found a connection waiting.
    pub(super) fn all_warm(&self) -> bool {
        !self.is_cold.load(Ordering::Relaxed)
    }

    /// The deadline has come: who has not answered has missed it, and a reply that is still read is late.
    pub(super) fn close(&self) {
        for at in 0..self.watched.len() {
            self.missed(at);
        }
    }

    fn missed(&self, at: usize) {
        // Not booked: what is seen of it later, when its linger is over say, may still be.
        if may_be_ours(self.pulse.worst(), self.clock.now(), self.closes) {
            return;
        }
        let watched = &self.watched[at];
        if watched.is_open.swap(false, Ordering::Relaxed) {
            watched.health.miss(self.asked);
        }
    }
}

/// Books once, by the deadline, whether a complete reply came. Whatever the auction did: a ping that failed is a miss at
/// once, one without a reply when the deadline passes, and one that was dropped before it, could not be sent for want of
/// something of ours, or was not read in time by a late worker, says nothing.
struct Watch<'a> {
    round: &'a Round,
    at: usize,
}

impl<'a> Watch<'a> {
    fn begin(round: &'a Round, at: usize) -> Watch<'a> {
        round.watched[at].is_open.store(true, Ordering::Relaxed);
        Watch { round, at }
    }

    fn answered(&self, read: Timestamp) {
        let watched = &self.round.watched[self.at];
        if read >= self.round.closes {
            self.missed();
        } else if watched.is_open.swap(false, Ordering::Relaxed) {
            watched.health.hit(read);
        }
    }

    fn says_nothing(&self) {
        self.round.watched[self.at].is_open.store(false, Ordering::Relaxed);
    }

    fn missed(&self) {
        self.round.missed(self.at);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.round.watched[self.at].is_open.load(Ordering::Relaxed) {
            return;
        }
        if self.round.clock.now() >= self.round.closes {
            self.missed();
        } else {
            self.says_nothing();
        }
    }
}
