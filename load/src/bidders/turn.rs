//! One request to a bidder and its reply: noted, timed, counted and written.
//!
//! The connection it came on is in `port`; replies that no HTTP library would send are in `raw`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::port::Port;
use super::{BID_PATH, Behaviour, DEADLINE_ASSUMED_MS, NoBidForm, ResetAt, SeenPing};
use crate::raw::{self, Act};
use crate::trace::PingMark;
use crate::wire::{Request, Waited, Wire, response};

/// What becomes of a connection after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next request may come.
    Next,
    /// The exchange closed it while a reply was owed.
    GivenUp,
    /// End it with FIN.
    Close,
    /// End it with RST.
    Reset,
}

/// One ping and its reply.
pub(crate) struct Turn<'a> {
    port: &'a Port,
    seq: u64,
    is_ping: bool,
    mark: Option<PingMark>,
    pub ping_id: String,
    pub previous_ping_id: String,
    pub received: Instant,
    pub deadline_ms: u64,
    key: String,
}

/// What a bidder reads of a ping.
#[derive(Deserialize)]
struct Ping {
    ping_id: String,
    #[serde(default)]
    deadline_ms: Option<u64>,
    #[serde(default)]
    tags: serde_json::Map<String, serde_json::Value>,
}

impl Ping {
    fn call(&self) -> Option<u64> {
        let tag = self.tags.get(crate::trace::CALL_TAG)?;
        tag.as_u64().or_else(|| tag.as_str()?.parse().ok())
    }
}

pub(super) const JSON: &str = "Content-Type: application/json";

impl<'a> Turn<'a> {
    /// Notes a request as seen.
    pub(super) fn new(port: &'a Port, request: &Request) -> Turn<'a> {
        let is_ping = request.path == BID_PATH;
        let ping: Option<Ping> = serde_json::from_slice(&request.body).ok();
        let call = ping.as_ref().and_then(Ping::call);
        let deadline_ms = ping.as_ref().and_then(|ping| ping.deadline_ms).unwrap_or(DEADLINE_ASSUMED_MS);
        let ping_id = ping.map(|ping| ping.ping_id);
        let mut record = port.record();
        let seq = record.next_seq;
        record.next_seq += 1;
        let seen = SeenPing {
            seq,
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            ping_id: ping_id.clone(),
            call,
            received: request.received,
            replied: None,
            given_up: None,
            bid_cents: None,
        };
        let keep = record.keep;
        let ping_id = ping_id.unwrap_or_default();
        let mut previous_ping_id = String::new();
        if is_ping {
            record.stats.pings += 1;
            record.stats.odd_pings += u64::from(seen.ping_id.is_none());
            record.stats.last_headers.clone_from(&seen.headers);
            previous_ping_id = std::mem::replace(&mut record.last_ping_id, ping_id.clone());
            push_bounded(&mut record.pings, seen, keep);
        } else {
            record.stats.notices += 1;
            push_bounded(&mut record.notices, seen, keep);
        }
        drop(record);
        port.record_changed.notify_all();
        let mark =
            call.filter(|_| is_ping).map(|call| port.trace.received(call, request.received, deadline_ms));
        let key = call.map_or_else(|| ping_id.clone(), |call| call.to_string());
        Turn {
            port,
            seq,
            is_ping,
            mark,
            ping_id,
            previous_ping_id,
            received: request.received,
            deadline_ms,
            key,
        }
    }

    /// Waits until this long after the ping came in; false when the exchange gave up first.
    pub async fn wait(&self, wire: &mut Wire, delay: Duration) -> bool {
        let owed = wire.wait(Some(self.received + delay)).await == Waited::Elapsed;
        self.note_reuse(wire);
        owed
    }

    /// Counts a request that came in while this one's reply is owed.
    pub fn note_reuse(&self, wire: &Wire) {
        if wire.has_more() {
            self.port.note(|record| record.stats.reused_while_owing += 1);
        }
    }

    /// Writes the whole or the rest of a reply.
    pub async fn send(&mut self, wire: &mut Wire, bytes: &[u8]) -> Flow {
        self.send_as(wire, bytes, None).await
    }

    /// Everything is counted just before the write, so that whoever has read a reply finds it counted; a failed
    /// write takes the counts back.
    async fn send_as(&mut self, wire: &mut Wire, bytes: &[u8], reply: Option<Reply<'_>>) -> Flow {
        self.count(reply, |counter| *counter += 1);
        self.replied();
        if wire.send(bytes).await.is_ok() {
            return Flow::Next;
        }
        self.count(reply, |counter| *counter -= 1);
        Flow::GivenUp
    }

    /// Notes that the exchange is about to get all it will get.
    pub fn replied(&mut self) {
        let now = Instant::now();
        if let Some(mark) = self.mark {
            self.port.trace.replied(mark, now);
        }
        self.edit(|seen| seen.replied = Some(now));
    }

    pub(super) fn given_up(&self) {
        let now = Instant::now();
        self.edit(|seen| seen.given_up = Some(now));
        self.port.note(|record| record.stats.given_up += 1);
    }

    /// Changes the remembered request, unless it is forgotten already.
    fn edit(&self, change: impl FnOnce(&mut SeenPing)) {
        self.port.note(|record| {
            let list = if self.is_ping { &mut record.pings } else { &mut record.notices };
            if let Ok(at) = list.binary_search_by_key(&self.seq, |seen| seen.seq) {
                change(&mut list[at]);
            }
        });
    }

    async fn reply(&mut self, wire: &mut Wire, reply: Reply<'_>) -> Flow {
        let bytes = self.render(reply);
        if let Reply::Bid { price_cents, .. } = reply {
            self.edit(|seen| seen.bid_cents = Some(price_cents));
        }
        self.send_as(wire, &bytes, Some(reply)).await
    }

    fn count(&self, reply: Option<Reply<'_>>, step: impl Fn(&mut u64)) {
        self.port.note(|record| {
            step(&mut record.stats.replies);
            match reply {
                Some(Reply::Bid { .. }) => step(&mut record.stats.bids),
                Some(Reply::NoBid(_)) => step(&mut record.stats.no_bids),
                None => {}
            }
        });
    }

    fn render(&self, reply: Reply<'_>) -> Vec<u8> {
        let id = serde_json::Value::from(self.ping_id.as_str());
        match reply {
            Reply::Bid { price_cents, ttl_s } => {
                let ttl = ttl_s.map(|ttl_s| format!(r#","ttl_s":{ttl_s}"#)).unwrap_or_default();
                let (whole, cents) = (price_cents / 100, price_cents % 100);
                let body = format!(r#"{{"ping_id":{id},"bid":"{whole}.{cents:02}"{ttl}}}"#);
                response(200, &[JSON], body.as_bytes())
            }
            Reply::NoBid(NoBidForm::Status204) => response(204, &[], b""),
            Reply::NoBid(NoBidForm::Zero { reason }) => {
                let reason = serde_json::Value::from(reason.as_str());
                let body = format!(r#"{{"ping_id":{id},"bid":0,"reason":{reason}}}"#);
                response(200, &[JSON], body.as_bytes())
            }
        }
    }
}

/// A correct reply.
#[derive(Clone, Copy)]
enum Reply<'a> {
    Bid { price_cents: u32, ttl_s: Option<u32> },
    NoBid(&'a NoBidForm),
}

fn push_bounded(list: &mut VecDeque<SeenPing>, seen: SeenPing, keep: usize) {
    list.push_back(seen);
    while list.len() > keep {
        list.pop_front();
    }
}

/// Answers one ping the way the bidder behaves.
pub(super) async fn answer(turn: &mut Turn<'_>, wire: &mut Wire, behaviour: &Behaviour) -> Flow {
    let offer = behaviour.offer(turn.port.seed, &turn.port.name, &turn.key, turn.deadline_ms);
    if !offer.delay.is_zero() && !turn.wait(wire, offer.delay).await {
        return Flow::GivenUp;
    }
    match behaviour {
        Behaviour::Bid { ttl_s, .. } => match offer.price_cents {
            Some(price_cents) => turn.reply(wire, Reply::Bid { price_cents, ttl_s: *ttl_s }).await,
            None => turn.reply(wire, Reply::NoBid(&NoBidForm::Status204)).await,
        },
        Behaviour::NoBid { form, .. } => turn.reply(wire, Reply::NoBid(form)).await,
        Behaviour::Late { price_cents, .. } => {
            turn.reply(wire, Reply::Bid { price_cents: *price_cents, ttl_s: None }).await
        }
        Behaviour::Hang => raw::play(&[Act::Hold], turn, wire).await,
        Behaviour::Reset(ResetAt::Accept | ResetAt::Request) => {
            turn.replied();
            Flow::Reset
        }
        Behaviour::Garbage => turn.send(wire, &response(200, &["Content-Type: text/html"], raw::PAGE)).await,
        Behaviour::Status(status) => {
            let body = format!(r#"{{"error":{status}}}"#);
            turn.send(wire, &response(*status, &[JSON], body.as_bytes())).await
        }
        Behaviour::SlowDrip { interval_ms, price_cents } => {
            drip(turn, wire, Duration::from_millis(*interval_ms), *price_cents).await
        }
        Behaviour::Raw(bytes) => turn.send(wire, bytes).await,
        Behaviour::RawThenClose(bytes) => match turn.send(wire, bytes).await {
            Flow::Next => Flow::Close,
            flow @ (Flow::GivenUp | Flow::Close | Flow::Reset) => flow,
        },
        Behaviour::Acts(acts) => raw::play(acts, turn, wire).await,
        Behaviour::DeadPort => Flow::Reset,
        Behaviour::Fixed { body, .. } => {
            let body = body.replace("$PING_ID", &turn.ping_id);
            turn.send(wire, &response(200, &[JSON], body.as_bytes())).await
        }
    }
}

async fn drip(turn: &mut Turn<'_>, wire: &mut Wire, interval: Duration, price_cents: u32) -> Flow {
    let reply = Reply::Bid { price_cents, ttl_s: None };
    let bytes = turn.render(reply);
    let Some((last, rest)) = bytes.split_last() else { return Flow::Next };
    for byte in rest {
        if wire.send(&[*byte]).await.is_err()
            || wire.wait(Some(Instant::now() + interval)).await == Waited::Closed
        {
            return Flow::GivenUp;
        }
    }
    turn.note_reuse(wire);
    turn.edit(|seen| seen.bid_cents = Some(price_cents));
    turn.send_as(wire, &[*last], Some(reply)).await
}
