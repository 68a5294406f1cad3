//! What a bidder keeps of the requests it saw: counters always, the requests themselves while it is told to.
//!
//! All of it is written by the bidders' one thread and read by anyone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::ping::Ping;
use crate::wire::Request;

/// Counters of one bidder since its start.
#[derive(Clone, Debug, Default)]
pub struct BidderStats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Connections closed at once because [`MAX_CONNECTIONS`](super::MAX_CONNECTIONS) were open.
    pub refused_connections: u64,
    /// Requests that could not be read; their connections were closed.
    pub bad_requests: u64,
    /// Requests read on `/bid`.
    pub pings: u64,
    /// Requests read on any other path.
    pub notices: u64,
    /// Pings that were no JSON object of the bid contract (answered all the same).
    pub odd_pings: u64,
    /// Replies written to the last byte, of any kind.
    pub replies: u64,
    /// Correct bids among them.
    pub bids: u64,
    /// Correct no-bids among them.
    pub no_bids: u64,
    /// Pings whose connection the exchange closed before the reply was written.
    pub given_up: u64,
    /// Requests that arrived on a connection whose last reply was still owed. Must stay 0.
    pub reused_while_owing: u64,
    /// Headers of the last ping remembered, names in lower case.
    pub last_headers: Vec<(String, String)>,
}

/// One request as it was seen.
#[derive(Clone, Debug)]
pub struct SeenPing {
    /// Number within its bidder, from 0, pings and notices counted together.
    pub seq: u64,
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub ping_id: Option<String>,
    /// The call's number from the tag `load_call`.
    pub call: Option<u64>,
    pub received: Instant,
    /// Just before the reply's last byte was written.
    pub replied: Option<Instant>,
    /// When the exchange closed the connection instead of waiting for the reply.
    pub given_up: Option<Instant>,
    /// The price of a correct bid, once replied.
    pub bid_cents: Option<u32>,
}

impl SeenPing {
    /// The value of a header, by its name in lower case (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A counter that is written by one thread. Whoever has read a reply finds it counted.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The counters behind [`BidderStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub connections: Counter,
    pub open_connections: Counter,
    pub refused_connections: Counter,
    pub bad_requests: Counter,
    pub pings: Counter,
    pub notices: Counter,
    pub odd_pings: Counter,
    pub replies: Counter,
    pub bids: Counter,
    pub no_bids: Counter,
    pub given_up: Counter,
    pub reused_while_owing: Counter,
}

impl Counters {
    pub fn read(&self) -> BidderStats {
        BidderStats {
            connections: self.connections.get(),
            open_connections: self.open_connections.get(),
            refused_connections: self.refused_connections.get(),
            bad_requests: self.bad_requests.get(),
            pings: self.pings.get(),
            notices: self.notices.get(),
            odd_pings: self.odd_pings.get(),
            replies: self.replies.get(),
            bids: self.bids.get(),
            no_bids: self.no_bids.get(),
            given_up: self.given_up.get(),
            reused_while_owing: self.reused_while_owing.get(),
            last_headers: Vec::new(),
        }
    }
}

/// The requests remembered, oldest first.
pub(super) struct Record {
    pub pings: VecDeque<Remembered>,
    pub notices: VecDeque<Remembered>,
    keep: usize,
    next_seq: u64,
    pub last_ping_id: String,
}

/// A request as it came; it is taken apart when someone asks for it.
pub(super) struct Remembered {
    seq: u64,
    pub request: Request,
    pub replied: Option<Instant>,
    pub given_up: Option<Instant>,
    pub bid_cents: Option<u32>,
}

impl Record {
    pub fn new(keep: usize) -> Record {
        Record {
            pings: VecDeque::new(),
            notices: VecDeque::new(),
            keep,
            next_seq: 0,
            last_ping_id: "00000000000000000000000000".to_owned(),
        }
    }

    pub fn keep(&mut self, requests: usize) {
        self.keep = requests;
        for list in [&mut self.pings, &mut self.notices] {
            while list.len() > requests {
                list.pop_front();
            }
        }
    }

    /// Keeps a request and says which it is; nothing when none are kept.
    pub fn push(&mut self, is_ping: bool, request: &Request) -> Option<u64> {
        let seq = self.next_seq;
        self.next_seq += 1;
        if self.keep == 0 {
            return None;
        }
        let keep = self.keep;
        let list = self.list(is_ping);
        if list.len() >= keep {
            list.pop_front();
        }
        let request = request.clone();
        list.push_back(Remembered { seq, request, replied: None, given_up: None, bid_cents: None });
        Some(seq)
    }

    /// Changes a request, unless it is forgotten already.
    pub fn edit(&mut self, is_ping: bool, seq: u64, change: impl FnOnce(&mut Remembered)) {
        let list = self.list(is_ping);
        if let Ok(at) = list.binary_search_by_key(&seq, |seen| seen.seq) {
            change(&mut list[at]);
        }
    }

    fn list(&mut self, is_ping: bool) -> &mut VecDeque<Remembered> {
        if is_ping { &mut self.pings } else { &mut self.notices }
    }
}

impl Remembered {
    pub fn seen(&self) -> SeenPing {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ping = Ping::read(&self.request.body);
        SeenPing {
            seq: self.seq,
            method: text(self.request.method()),
            path: text(self.request.path()),
            headers: self.request.headers(),
            body: text(&self.request.body),
            call: ping.as_ref().and_then(Ping::call),
            ping_id: ping.map(|ping| ping.ping_id.into_owned()),
            received: self.request.received,
            replied: self.replied,
            given_up: self.given_up,
            bid_cents: self.bid_cents,
        }
    }
}
