//! A buyer hands back a call it was given, before it is billable: it pays nothing, and once it lets go of the caller the
//! call goes on to the next target as after any other failed attempt.
//!
//! The exchange cannot take a caller away from a buyer: the buyer hangs up, and the carrier asks for the next step. A talk
//! that goes on instead is judged as if nothing had been handed back (`call`).

use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use crate::bidder::hand_back::{HandBack, Which};
use crate::call::event::{CallEvent, EventKind};
use crate::domain::{BuyerId, BuyerIx, CallId, Catalog, E164, Timestamp};
use crate::records::CommitError;
use crate::records::row::{EventRow, Row};
use crate::runtime::same_digest;
use crate::state::live::Live;
use crate::telemetry::event;

/// Why a call was not handed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotHandedBack {
    /// No such call is with this buyer.
    Unknown,
    /// Several calls of this caller are with it.
    Several,
    /// Somebody's call is being looked for by its caller: one at a time.
    Busy,
    /// It was answered too long ago.
    TooLate,
    /// They have talked for the minimum duration.
    Billable,
    /// It is not known to be on disk: the buyer must try again.
    NotDurable(CommitError),
}

impl Exchange {
    /// Takes a call back from a buyer. Detached: it runs to its end even when the buyer's connection drops.
    pub async fn hand_back(self: &Arc<Self>, buyer: BuyerId, asked: HandBack) -> Result<(), NotHandedBack> {
        let exchange = Arc::clone(self);
        let told = tokio::spawn(async move { exchange.take_back(buyer, asked).await });
        told.await.unwrap_or_else(|_| {
            event::panicked("progress", "a call that a buyer handed back");
            Err(NotHandedBack::NotDurable(CommitError::Failed("an internal error".to_owned())))
        })
    }

    async fn take_back(self: &Arc<Self>, id: BuyerId, asked: HandBack) -> Result<(), NotHandedBack> {
        let within = self.hand_back_of(&id).unwrap_or(Duration::ZERO);
        let call = match asked.which {
            Which::Call(call) => call,
            Which::Caller(caller) => self.call_of(&id, caller).await?,
        };
        self.state.calls.noted(call).await;
        let slot = self.recorder.reserve().map_err(NotHandedBack::NotDurable)?;
        let now = self.clock.now();
        let joined = self.state.calls.with(call, |live| {
            let attempt = attempt_of(live, &id).ok_or(NotHandedBack::Unknown)?;
            may_be_handed_back(live, attempt, within, now)?;
            let told = CallEvent { attempt: Some(attempt), at: now, kind: EventKind::HandedBack };
            let effects = live.tell(|call| call.on_event(&told, now));
            let mut aftermath = self.run(call, live, effects, now);
            aftermath.rows.insert(0, row(call, attempt, &asked.note, now));
            aftermath.picture(live);
            self.watch(call, live, now);
            let written = slot.commit(self.with_owed(call, aftermath.entry(None)));
            Ok((aftermath, live.campaign.clone(), written))
        });
        let (aftermath, campaign, written) = joined.unwrap_or(Err(NotHandedBack::Unknown))?;
        event::event_taken("handed_back");
        self.follow(call, campaign.as_ref(), aftermath);
        written.await.map_err(|error| {
            event::commit_failed(&call.to_string(), &error.to_string());
            NotHandedBack::NotDurable(error)
        })
    }

    /// How long the buyer may hand calls back; `None` for one that is no longer there.
    fn hand_back_of(&self, id: &BuyerId) -> Option<Duration> {
        let in_force = self.in_force.load();
        let buyers = &in_force.snapshot.catalog.buyers;
        let at = buyers.binary_search_by(|buyer| buyer.id.cmp(id)).ok()?;
        Some(buyers[at].hand_back)
    }

    /// The one call of this caller that is with the buyer. Every call is looked at, so not on the thread of a worker, and
    /// for one request at a time.
    async fn call_of(self: &Arc<Self>, buyer: &BuyerId, caller: E164) -> Result<CallId, NotHandedBack> {
        // One that was answered a moment ago may not be open yet.
        self.state.calls.noted_of(caller).await;
        let place = Arc::clone(&self.searching).try_acquire_owned().map_err(|_| NotHandedBack::Busy)?;
        let (exchange, buyer) = (Arc::clone(self), buyer.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let is = |live: &Live| {
                let rest = live.open().and_then(|open| open.rest.as_ref());
                rest.is_some_and(|rest| rest.request.from == Some(caller))
                    && attempt_of(live, &buyer).is_some()
            };
            let found = exchange.state.calls.found(2, is);
            drop(place);
            found
        });
        match looked.await.unwrap_or_default()[..] {
            [call] => Ok(call),
            [] => Err(NotHandedBack::Unknown),
            _ => Err(NotHandedBack::Several),
        }
    }
}

/// The buyer of a key, by the key's digest. Every buyer is looked at: the time says nothing about whose key it is.
pub fn buyer_of_key(catalog: &Catalog, digest: &[u8; 32]) -> Option<BuyerIx> {
    let mut found = None;
    for (at, buyer) in catalog.buyers.iter().enumerate() {
        if buyer.key_digest.is_some_and(|own| same_digest(digest, &own)) {
            found = Some(BuyerIx(at as u32));
        }
    }
    found
}

/// The attempt of a call that is with the buyer now.
fn attempt_of(live: &Live, buyer: &BuyerId) -> Option<u32> {
    let open = live.open()?;
    let is_theirs = |number: &u32| {
        let mut offered = open.offered.iter();
        let taker =
            offered.find(|offered| offered.attempt == *number).and_then(|offered| offered.taker.as_ref());
        taker.is_some_and(|taker| taker.buyer == *buyer)
    };
    open.call.open().find(is_theirs)
}

/// Whether it is early enough: while it rings, and for `within` after it was answered, until the talk is billable.
fn may_be_handed_back(
    live: &Live,
    attempt: u32,
    within: Duration,
    now: Timestamp,
) -> Result<(), NotHandedBack> {
    let open = live.open().ok_or(NotHandedBack::Unknown)?;
    let talked = open.call.talked(attempt, now).ok_or(NotHandedBack::Unknown)?;
    let terms = open.offered.iter().find(|offered| offered.attempt == attempt).and_then(|o| o.taker.as_ref());
    match (talked, terms) {
        _ if within.is_zero() => Err(NotHandedBack::TooLate),
        (Some(talked), Some(taker)) if talked >= taker.terms.min_duration => Err(NotHandedBack::Billable),
        (Some(talked), _) if talked > within => Err(NotHandedBack::TooLate),
        _ => Ok(()),
    }
}

fn row(call: CallId, attempt: u32, note: &str, now: Timestamp) -> Row {
    Row::Event(Box::new(EventRow {
        call_id: call,
        event_id: format!("hand-back/{attempt}"),
        attempt: Some(attempt),
        kind: "handed_back",
        at: Some(now),
        received: now,
        detail: note.to_owned(),
    }))
}
