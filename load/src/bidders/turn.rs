//! One request to a bidder and its reply: noted, timed, counted and written.
//!
//! The connection it came on is in `port`; replies that no HTTP library would send are in `raw`.

use std::time::{Duration, Instant};

use super::ping::Ping;
use super::port::Port;
use super::record::Remembered;
use super::{BID_PATH, Behaviour, DEADLINE_ASSUMED_MS, NoBidForm, ResetAt};
use crate::chance::Chance;
use crate::log::unix_us;
use crate::raw::{self, Act};
use crate::seen::{LogMark, Seen};
use crate::trace::PingMark;
use crate::wire::{Digits, Request, Waited, Wire, response};

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
    pub(super) is_ping: bool,
    /// Its number, if it is remembered.
    seq: Option<u64>,
    mark: Option<PingMark>,
    log_mark: Option<LogMark>,
    pub ping_id: String,
    /// Only for [`Behaviour::Acts`], which alone can say it.
    pub previous_ping_id: String,
    pub received: Instant,
    pub deadline_ms: u64,
    /// The draws of this bidder for this call.
    chance: Chance,
}

pub(super) const JSON: &str = "Content-Type: application/json";

impl<'a> Turn<'a> {
    /// Notes a request as seen.
    pub(super) fn new(port: &'a Port, behaviour: &Behaviour, request: Request) -> Turn<'a> {
        let is_ping = request.path() == BID_PATH.as_bytes();
        let received = request.received;
        let mut record = port.record();
        let seq = record.push(is_ping, &request);
        // Of a ping that nobody looks at later, only what the answer needs is looked for.
        let glanced = if seq.is_none() { Ping::glance(&request.body) } else { None };
        let ping = glanced.or_else(|| Ping::read(&request.body));
        let call = ping.as_ref().and_then(Ping::call);
        let deadline_ms = ping.as_ref().and_then(|ping| ping.deadline_ms).unwrap_or(DEADLINE_ASSUMED_MS);
        let mut digits = Digits::default();
        let key = ping.as_ref().map_or("", |ping| ping.key(&mut digits));
        let chance = Chance::new(port.seed, &[&port.name, key]);
        let counters = &port.counters;
        if is_ping {
            counters.pings.up();
            if ping.is_none() {
                counters.odd_pings.up();
            }
        } else {
            counters.notices.up();
        }
        let ping_id = ping.map(|ping| ping.ping_id.into_owned()).unwrap_or_default();
        let mut previous_ping_id = String::new();
        if is_ping {
            if matches!(behaviour, Behaviour::Acts(_)) {
                previous_ping_id.clone_from(&record.last_ping_id);
            }
            record.last_ping_id.clone_from(&ping_id);
        }
        drop(record);
        let mark = call.filter(|_| is_ping).map(|call| port.trace.received(call, received, deadline_ms));
        let log_mark = is_ping.then(|| port.logbook.received(call, port.index, received)).flatten();
        Turn { port, is_ping, seq, mark, log_mark, ping_id, previous_ping_id, received, deadline_ms, chance }
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
            self.port.counters.reused_while_owing.up();
        }
    }

    /// Writes the whole or the rest of a reply.
    pub async fn send(&mut self, wire: &mut Wire, bytes: &[u8]) -> Flow {
        self.send_as(wire, bytes, None).await
    }

    /// Everything is counted just before the write, so that whoever has read a reply finds it counted; a failed
    /// write takes the counts back.
    async fn send_as(&mut self, wire: &mut Wire, bytes: &[u8], reply: Option<Reply<'_>>) -> Flow {
        let counters = &self.port.counters;
        let sort = reply.map(|reply| match reply {
            Reply::Bid { .. } => &counters.bids,
            Reply::NoBid(_) => &counters.no_bids,
        });
        counters.replies.up();
        sort.inspect(|counter| counter.up());
        let bid_cents = match reply {
            Some(Reply::Bid { price_cents, .. }) => Some(price_cents),
            Some(Reply::NoBid(_)) | None => None,
        };
        self.stamp(bid_cents);
        if wire.send(bytes).await.is_ok() {
            return Flow::Next;
        }
        counters.replies.down();
        sort.inspect(|counter| counter.down());
        Flow::GivenUp
    }

    /// Notes that the exchange is about to get all it will get.
    pub fn replied(&mut self) {
        self.stamp(None);
    }

    fn stamp(&mut self, bid_cents: Option<u32>) {
        let now = Instant::now();
        if let Some(mark) = self.mark {
            self.port.trace.replied(mark, now);
        }
        self.log(|seen| {
            seen.replied_us = Some(unix_us(now));
            seen.bid_cents = bid_cents;
        });
        self.edit(|seen| {
            seen.replied = Some(now);
            seen.bid_cents = bid_cents;
        });
    }

    pub(super) fn given_up(&self) {
        let now = Instant::now();
        self.log(|seen| seen.given_up_us = Some(unix_us(now)));
        self.edit(|seen| seen.given_up = Some(now));
        self.port.counters.given_up.up();
    }

    fn log(&self, change: impl FnOnce(&mut Seen)) {
        if let Some(mark) = self.log_mark {
            self.port.logbook.edit(mark, change);
        }
    }

    /// Changes the remembered request, if it is one.
    fn edit(&self, change: impl FnOnce(&mut Remembered)) {
        if let Some(seq) = self.seq {
            self.port.record().edit(self.is_ping, seq, change);
        }
    }

    async fn reply(&mut self, wire: &mut Wire, reply: Reply<'_>) -> Flow {
        let bytes = self.render(reply);
        self.send_as(wire, &bytes, Some(reply)).await
    }

    fn render(&self, reply: Reply<'_>) -> Vec<u8> {
        let mut body = Body::about(&self.ping_id);
        match reply {
            Reply::Bid { price_cents, ttl_s } => {
                let mut digits = Digits::default();
                body.plain(",\"bid\":\"").plain(digits.of(u64::from(price_cents / 100))).plain(".");
                let cents = price_cents % 100;
                body.plain(if cents < 10 { "0" } else { "" }).plain(digits.of(u64::from(cents))).plain("\"");
                if let Some(ttl_s) = ttl_s {
                    body.plain(",\"ttl_s\":").plain(digits.of(u64::from(ttl_s)));
                }
            }
            Reply::NoBid(NoBidForm::Status204) => return response(204, &[], b""),
            Reply::NoBid(NoBidForm::Zero { reason }) => {
                body.plain(",\"bid\":0,\"reason\":").quoted(reason);
            }
        }
        body.plain("}");
        response(200, &[JSON], &body.0)
    }
}

/// A JSON object in the making: the fields come one after the other as they shall look.
struct Body(Vec<u8>);

impl Body {
    fn about(ping_id: &str) -> Body {
        let mut body = Body(Vec::with_capacity(128));
        body.plain("{\"ping_id\":").quoted(ping_id);
        body
    }

    fn plain(&mut self, text: &str) -> &mut Body {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn quoted(&mut self, text: &str) -> &mut Body {
        // Neither a string nor a vector can fail to be written.
        let _ = serde_json::to_writer(&mut self.0, text);
        self
    }
}

/// A correct reply.
#[derive(Clone, Copy)]
enum Reply<'a> {
    Bid { price_cents: u32, ttl_s: Option<u32> },
    NoBid(&'a NoBidForm),
}

/// Answers one ping the way the bidder behaves.
pub(super) async fn answer(turn: &mut Turn<'_>, wire: &mut Wire, behaviour: &Behaviour) -> Flow {
    let offer = behaviour.draw(&mut turn.chance, turn.deadline_ms);
    if !offer.delay.is_zero() && !turn.wait(wire, offer.delay).await {
        return Flow::GivenUp;
    }
    match behaviour {
        Behaviour::Bid { ttl_s, .. } => match offer.price_cents {
            Some(price_cents) => turn.reply(wire, Reply::Bid { price_cents, ttl_s: *ttl_s }).await,
            None => turn.reply(wire, Reply::NoBid(&NoBidForm::Status204)).await,
        },
        Behaviour::Flaky { .. } => match offer.price_cents {
            Some(price_cents) => turn.reply(wire, Reply::Bid { price_cents, ttl_s: None }).await,
            None => raw::play(&[Act::Hold], turn, wire).await,
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
        Behaviour::WrongTypes { .. } => {
            // The stream goes on where the offer left it.
            let body = turn.chance.pick(&raw::WRONG_TYPES).copied().unwrap_or_default();
            let body = body.replace("$PING_ID", &turn.ping_id);
            turn.send(wire, &response(200, &[JSON], body.as_bytes())).await
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
    turn.send_as(wire, &[*last], Some(reply)).await
}
