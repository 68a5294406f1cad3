//! About the least that a server on tokio can do: raw sockets, preformatted pings, `httparse`, one connection per ping.
//!
//! It trusts everybody: heads in one piece or several, bodies by `Content-Length` only. A ping that is still out at the
//! deadline loses its connection, as with every server that has no drain.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Result};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::{Asked, Bidder};

/// Longest message read.
const MESSAGE_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 32;

struct Market {
    bidders: Vec<Buyer>,
    deadline: Duration,
}

struct Buyer {
    bidder: Bidder,
    idle: RefCell<Vec<Kept>>,
}

/// A connection and its buffer.
struct Kept {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub(super) async fn serve(listener: TcpListener, bidders: Vec<Bidder>, deadline: Duration) -> Result<()> {
    let buyer = |bidder| Buyer { bidder, idle: RefCell::default() };
    let market = Rc::new(Market { bidders: bidders.into_iter().map(buyer).collect(), deadline });
    let local = LocalSet::new();
    local
        .run_until(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                let market = Rc::clone(&market);
                tokio::task::spawn_local(async move {
                    // A carrier that breaks off is gone; there is nobody to tell.
                    let _ = converse(stream, &market).await;
                });
            }
        })
        .await
}

async fn converse(stream: TcpStream, market: &Market) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut carrier = Kept { stream, buffer: Vec::with_capacity(4096) };
    loop {
        let Some((head, whole)) = carrier.message(true).await? else { return Ok(()) };
        let arrived = Instant::now();
        let asked: Asked<'_> = serde_json::from_slice(&carrier.buffer[head..whole])?;
        let answer = market.decide(&asked, arrived).await;
        carrier.stream.write_all(answer.as_bytes()).await?;
        carrier.buffer.drain(..whole);
    }
}

impl Market {
    async fn decide(&self, asked: &Asked<'_>, arrived: Instant) -> String {
        let mut best: Option<(u64, usize)> = None;
        let mut pings: FuturesUnordered<_> =
            (0..self.bidders.len()).map(|at| async move { (at, self.ping(at, asked).await) }).collect();
        let close = tokio::time::sleep_until(arrived + self.deadline);
        tokio::pin!(close);
        loop {
            tokio::select! {
                biased; // the deadline wins over whatever is ready
                () = &mut close => break,
                next = pings.next() => match next {
                    Some((at, Ok(bid))) if bid > best.map_or(0, |(bid, _)| bid) => best = Some((bid, at)),
                    Some(_) => {}
                    None => break,
                },
            }
        }
        let id = asked.carrier_call_id;
        let body = match best {
            Some((_, at)) => format!(
                r#"{{"call_id":"{id}","step":1,"action":"dial","basis":"auction","reason":"won","targets":[{{"attempt":1,"address":"{}"}}]}}"#,
                self.bidders[at].bidder.address
            ),
            None => format!(
                r#"{{"call_id":"{id}","step":1,"action":"hangup","basis":"terminal","reason":"no_bids"}}"#
            ),
        };
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
    }

    /// The bid in cents; 0 is no bid.
    async fn ping(&self, at: usize, asked: &Asked<'_>) -> Result<u64> {
        let buyer = &self.bidders[at];
        let kept = buyer.idle.borrow_mut().pop();
        let mut peer = match kept {
            Some(kept) => kept,
            None => {
                let stream = TcpStream::connect(buyer.bidder.addr).await?;
                stream.set_nodelay(true)?;
                Kept { stream, buffer: Vec::with_capacity(1024) }
            }
        };
        let body = format!(
            r#"{{"version":1,"ping_id":"{}-{at}","deadline_ms":{},"test":false,"campaign":"auto-us","vertical":"auto","caller":{{"area_code":"512","state":"TX"}},"currency":"USD","min_duration_s":90,"tags":{{"load_call":"{}"}}}}"#,
            asked.carrier_call_id,
            self.deadline.as_millis() as u64 - 3,
            asked.tags.load_call,
        );
        let request = format!(
            "POST /bid HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            buyer.bidder.addr,
            body.len()
        );
        peer.stream.write_all(request.as_bytes()).await?;
        let Some((head, whole)) = peer.message(false).await? else {
            return Err(ErrorKind::UnexpectedEof.into());
        };
        let bid = cents(&peer.buffer[head..whole]);
        peer.buffer.drain(..whole);
        buyer.idle.borrow_mut().push(peer);
        Ok(bid)
    }
}

impl Kept {
    /// Reads until a whole message is in the buffer: where its head and where it ends. `None` when the peer is gone.
    async fn message(&mut self, is_request: bool) -> Result<Option<(usize, usize)>> {
        loop {
            if let Some((head, length)) = parse(&self.buffer, is_request)?
                && self.buffer.len() >= head + length
            {
                return Ok(Some((head, head + length)));
            }
            if self.buffer.len() > MESSAGE_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Length of the head and of the body, once the head is whole.
fn parse(bytes: &[u8], is_request: bool) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let (status, headers) = if is_request {
        let mut request = httparse::Request::new(&mut headers);
        (request.parse(bytes).map_err(Error::other)?, request.headers)
    } else {
        let mut response = httparse::Response::new(&mut headers);
        (response.parse(bytes).map_err(Error::other)?, response.headers)
    };
    let httparse::Status::Complete(head) = status else { return Ok(None) };
    let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length =
        length.and_then(|header| str::from_utf8(header.value).ok()?.trim().parse().ok()).unwrap_or(0);
    Ok(Some((head, length)))
}

/// The digits of `"bid":"12.34"`.
fn cents(body: &[u8]) -> u64 {
    let key = br#""bid":""#;
    let Some(at) = body.windows(key.len()).position(|window| window == key) else { return 0 };
    let digits = body[at + key.len()..].iter().take_while(|byte| **byte != b'"');
    digits.filter(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}
