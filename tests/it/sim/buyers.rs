//! The buyers of a simulated world: machines at addresses, each with its mood, that read pings and write what they please.
//!
//! HTTP by hand, byte by byte, since a library would refuse to write what broken buyers write. What they saw and said is
//! told to the model; a byte that comes while a reply is owed breaks a promise.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use load::chance::Chance;
use outcry::domain::Timestamp;
use outcry::ping::wire::Dialled;
use outcry::runtime::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use super::check::{Bid, Check, Promise, Said, Seen, find};
use super::market::base;
use super::world::{Mood, call};

/// Bytes a pipe holds.
const PIPE: usize = 8 * 1024;
/// Longest request read.
const REQUEST_MAX: usize = 16 * 1024;
/// Longest that a buyer which answers nothing keeps its connection.
const HANGS: Duration = Duration::from_secs(30);

/// All machines.
pub struct Buyers {
    seed: u64,
    clock: Clock,
    check: Arc<Mutex<Check>>,
    moods: Mutex<Vec<(u8, Mood, Timestamp)>>,
    dials: Mutex<u64>,
}

/// A ping as it was read.
struct Ping {
    target: String,
    n: u32,
    id: String,
    deadline_ms: u64,
}

/// What a buyer does about a ping.
struct Turn {
    after: Duration,
    what: What,
    bid: Option<Bid>,
    bytes: Vec<u8>,
    /// The connection is closed after the reply, without a word.
    closes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Writes its bytes at once.
    Replies,
    /// Writes them in three parts.
    Drips,
    /// Writes the first half and closes.
    Breaks,
    /// Closes without a byte.
    Leaves,
    /// Writes nothing, ever.
    Hangs,
    /// Writes what is no reply; nothing of it counts.
    Garbage,
}

impl Buyers {
    pub fn new(seed: u64, clock: Clock, check: Arc<Mutex<Check>>) -> Arc<Buyers> {
        Arc::new(Buyers { seed, clock, check, moods: Mutex::default(), dials: Mutex::default() })
    }

    /// From now on the machine is in this mood, for so long.
    pub fn turn(&self, place: u8, mood: Mood, for_ms: u64) {
        let until = self.clock.now().after(Duration::from_millis(for_ms));
        self.moods.lock().unwrap().push((place, mood, until));
    }

    fn mood(&self, place: u8) -> Mood {
        let now = self.clock.now();
        let mut moods = self.moods.lock().unwrap();
        moods.retain(|(.., until)| *until > now);
        moods.iter().rev().find(|(at, ..)| *at == place).map_or(Mood::Usual, |(_, mood, _)| *mood)
    }

    /// Connects to the machine at this address.
    pub fn dial(self: &Arc<Self>, address: SocketAddr) -> Dialled {
        let SocketAddr::V4(address) = address else { panic!("{address} is nobody's") };
        let place = address.ip().octets()[3];
        let dials = {
            let mut dials = self.dials.lock().unwrap();
            *dials += 1;
            *dials
        };
        let mut chance = Chance::new(self.seed, &["dial", &dials.to_string()]);
        let buyers = Arc::clone(self);
        Box::pin(async move {
            let took = match chance.between(0, 99) {
                0..=84 => chance.between(0, 3),
                85..=97 => chance.between(3, 200),
                _ => 5_000,
            };
            if took > 0 {
                sleep(Duration::from_millis(took)).await;
            }
            if buyers.mood(place) == Mood::Down {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = tokio::io::duplex(PIPE);
            tokio::spawn(async move { buyers.serve(place, far).await });
            Ok(near)
        })
    }

    async fn serve(&self, place: u8, mut stream: DuplexStream) {
        let mut served = 0;
        while let Some((head, body)) = read(&mut stream).await {
            let Some(ping) = self.take(&head, &body, served > 0) else { return };
            if !self.answer(place, &mut stream, &ping).await {
                return;
            }
            served += 1;
        }
    }

    /// Reads a ping and tells the model of it.
    fn take(&self, head: &str, body: &str, is_reused: bool) -> Option<Ping> {
        let ping = Ping {
            target: head.split(' ').nth(1)?.trim_start_matches('/').to_owned(),
            n: between(body, "\"n\":\"", "\"")?.parse().ok()?,
            id: between(body, "\"ping_id\":\"", "\"")?.to_owned(),
            deadline_ms: between(body, "\"deadline_ms\":", ",")?.parse().ok()?,
        };
        let caller = call(self.seed, ping.n);
        let shows = |digits: &str| body.contains(digits) || head.contains(digits);
        let disclosed = caller.digits().is_some_and(shows) && !Check::may_see(base(), &ping.target);
        let seen = Seen {
            n: ping.n,
            target: ping.target.clone(),
            ping: ping.id.clone(),
            at: self.clock.now(),
            deadline_ms: ping.deadline_ms,
            is_reused,
            is_void: false,
        };
        let mut check = self.check.lock().unwrap();
        check.counts.bytes += (head.len() + body.len()) as u64;
        check.pinged(seen, disclosed);
        Some(ping)
    }

    /// Does what is drawn for this ping; says whether the connection goes on.
    async fn answer(&self, place: u8, stream: &mut DuplexStream, ping: &Ping) -> bool {
        let mut turn = turn(self.seed, ping);
        match self.mood(place) {
            Mood::Usual => {}
            Mood::Hangs => turn.what = What::Hangs,
            Mood::Down => turn.what = What::Leaves,
            Mood::Slow => turn.after += Duration::from_millis(500),
            Mood::Garbage => turn.what = What::Garbage,
        }
        if turn.what == What::Hangs {
            turn.after = HANGS;
        }
        if !self.wait(stream, turn.after, ping).await {
            return false;
        }
        let half = turn.bytes.len() / 2;
        match turn.what {
            What::Replies => {
                if stream.write_all(&turn.bytes).await.is_err() {
                    return false;
                }
            }
            What::Drips => {
                let third = turn.bytes.len() / 3;
                for part in [&turn.bytes[..third], &turn.bytes[third..2 * third]] {
                    if stream.write_all(part).await.is_err() {
                        return false;
                    }
                    if !self.wait(stream, Duration::from_millis(40), ping).await {
                        return false;
                    }
                }
                if stream.write_all(&turn.bytes[2 * third..]).await.is_err() {
                    return false;
                }
            }
            What::Breaks => {
                // Whoever is gone does not hear it.
                let _ = stream.write_all(&turn.bytes[..half]).await;
                return false;
            }
            What::Leaves => {
                self.check.lock().unwrap().void(ping.n, &ping.id);
                return false;
            }
            What::Garbage => {
                let _ = stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n{\"bid\": 79.99}").await;
                return false;
            }
            What::Hangs => return false,
        }
        let landed = self.clock.now();
        let said =
            Said { n: ping.n, target: ping.target.clone(), ping: ping.id.clone(), landed, bid: turn.bid };
        let mut check = self.check.lock().unwrap();
        check.counts.bytes += turn.bytes.len() as u64;
        check.said(said);
        !turn.closes
    }

    /// Waits while a reply is owed; `false` when the peer left. What it says meanwhile breaks a promise.
    async fn wait(&self, stream: &mut DuplexStream, span: Duration, ping: &Ping) -> bool {
        if span.is_zero() {
            return true;
        }
        let mut byte = [0];
        tokio::select! {
            biased;
            () = sleep(span) => true,
            read = stream.read(&mut byte) => {
                if matches!(read, Ok(1..)) {
                    let what = format!("{} heard more while it owed a reply for call {}", ping.target, ping.n);
                    self.check.lock().unwrap().broke(Promise::Owing, what);
                }
                false
            }
        }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// Reads one request: head and body.
async fn read(stream: &mut DuplexStream) -> Option<(String, String)> {
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length: usize = between(&head, "content-length: ", "\r\n")
                .or_else(|| head.split_once("content-length: ").map(|(_, rest)| rest))?
                .parse()
                .ok()?;
            while bytes.len() < end + 4 + length {
                if stream.read_buf(&mut bytes).await.ok()? == 0 {
                    return None;
                }
            }
            let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
            return Some((head, body));
        }
        if bytes.len() > REQUEST_MAX || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// What the buyer of a target does about a call, in its usual mood.
fn turn(seed: u64, ping: &Ping) -> Turn {
    let mut chance = Chance::new(seed, &["turn", &ping.target, &ping.n.to_string()]);
    let c = &mut chance;
    // The close as a buyer that trusts its clock would reckon it.
    let close = ping.deadline_ms + 3;
    let after = match c.between(0, 99) {
        0..=69 => c.between(2, 120),
        70..=83 => c.between(120, 450),
        84..=91 => (close + c.between(0, 6)).saturating_sub(3),
        92..=96 => close + c.between(1, 950),
        _ => close + c.between(950, 2_500),
    };
    let cents = c.between(900, 6_000);
    // Round figures meet each other.
    let cents = if c.hits(4_000) { cents / 100 * 100 } else { cents };
    let mut what = match c.between(0, 99) {
        0..=88 => What::Replies,
        89..=92 => What::Drips,
        93 | 94 => What::Breaks,
        95 | 96 => What::Leaves,
        97 => What::Garbage,
        _ => What::Hangs,
    };
    let closes = c.hits(600);
    let text = match c.between(0, 2) {
        0 => format!("{}.{:02}", cents / 100, cents % 100),
        1 => format!("\"{}.{:02}\"", cents / 100, cents % 100),
        // Beyond the cent nothing is paid, nothing rounded up.
        _ => format!("{}.{:02}{:05}", cents / 100, cents % 100, c.between(0, 99_999)),
    };
    let target = find(base(), &ping.target);
    let mut bid = Bid { micros: cents as i64 * 10_000, min_duration_s: None, destination: None };
    let mut body = format!("{{\"ping_id\":\"{}\",\"bid\":{text}", ping.id);
    if c.hits(1_500) {
        let min = c.between(10, 120);
        body.push_str(&format!(",\"min_duration_s\":{min}"));
        bid.min_duration_s = Some(min);
    }
    if c.hits(1_000) {
        let address = format!("+151255509{:02}", c.between(0, 99));
        body.push_str(&format!(",\"destination\":\"{address}\""));
        bid.destination = Some(address).filter(|address| *address != target.address.reveal());
    }
    if c.hits(2_000) {
        body.push_str(&format!(",\"ttl_s\":{}", c.between(1, 400)));
    }
    body.push('}');
    let json = |body: &str, more: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    };
    let plain = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    let (reply, is_bid) = match c.between(0, 99) {
        0..=63 => (json(&body, ""), true),
        64..=67 => (json(&body, "connection: close\r\n"), true),
        68..=71 => {
            let (a, b) = body.split_at(body.len() / 2);
            let chunks = format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len());
            (format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"), true)
        }
        72..=79 => ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), false),
        80..=84 => (json("{\"bid\":0,\"reason\":\"closed\"}", ""), false),
        85 | 86 => (plain("500 Internal Server Error"), false),
        87 => (plain("429 Too Many Requests"), false),
        88 => (plain("302 Found"), false),
        89 | 90 => (json("{\"bid\":", ""), false),
        91 => (json("{\"bid\":\"$25.50\"}", ""), false),
        92 => (json("{\"ping_id\":\"01J00000000000000000000000\",\"bid\":70.00}", ""), false),
        93 => (json("{\"bid\":1000000}", ""), false),
        94 => (json("{\"bid\":60.00,\"currency\":\"EUR\"}", ""), false),
        95 => (json("{\"bid\":60.00,\"destination\":\"+19005550100\"}", ""), false),
        96 => (json("{\"bid\":60.00,\"min_duration_s\":600}", ""), false),
        97 => (json("{\"bid\":60.00,\"bid\":70.00}", ""), false),
        _ => {
            // A body without an end that anybody announced lasts until the connection does.
            what = if matches!(what, What::Drips | What::Breaks) { What::Replies } else { what };
            (format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}"), true)
        }
    };
    let closes = closes || reply.contains("connection: close");
    let bid = Some(bid).filter(|_| is_bid);
    Turn { after: Duration::from_millis(after), what, bid, bytes: reply.into_bytes(), closes }
}
