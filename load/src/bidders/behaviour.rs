//! What a bidder does with a ping, and what it will answer: a function of the seed, its name and the call alone.
//!
//! How that looks on the wire is in `turn`; how a scenario file says it is in [`script`](super::script).

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::chance::Chance;
use crate::raw::Act;

/// Values in one empirical distribution.
pub const MAX_EMPIRICAL: usize = 1_000_000;
/// Largest latency in an empirical distribution, in ms.
pub const MAX_EMPIRICAL_MS: f64 = 600_000.0;
/// Longest file of an empirical distribution read, in bytes.
const MAX_EMPIRICAL_FILE: u64 = 32 * 1024 * 1024;

/// What a bidder does with a ping. Latencies count from the ping's last byte.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Bids a price between the two bounds (cents, both included), or says no bid in `no_bid_bps` of 10,000 calls.
    Bid { latency: Latency, price_cents: (u32, u32), no_bid_bps: u32, ttl_s: Option<u32> },
    /// Never bids.
    NoBid { latency: Latency, form: NoBidForm },
    /// Reads the ping and never answers.
    Hang,
    /// Bids a price between the two bounds, but for `never_bps` of 10,000 calls, which it never answers.
    Flaky { latency: Latency, price_cents: (u32, u32), never_bps: u32 },
    /// Bids this long after the ping's own `deadline_ms` has passed. The exchange keeps a few ms of margin, so
    /// values below about 10 may still be in time.
    Late { past_deadline_ms: u64, price_cents: u32 },
    /// Resets the connection (RST).
    Reset(ResetAt),
    /// 200 with an HTML page.
    Garbage,
    /// This status and a small JSON body.
    Status(u16),
    /// 200 with a bid of a wrong JSON type or shape: which of [`WRONG_TYPES`](crate::raw::WRONG_TYPES) is drawn for
    /// each call.
    WrongTypes { latency: Latency },
    /// A correct bid, written one byte per interval.
    SlowDrip { interval_ms: u64, price_cents: u32 },
    /// Writes exactly these bytes and keeps the connection open.
    Raw(Vec<u8>),
    /// Writes exactly these bytes, then closes (FIN).
    RawThenClose(Vec<u8>),
    /// Plays these acts for every ping.
    Acts(Vec<Act>),
    /// Nobody listens: connections are refused. Open ones are reset when a bidder is set to this.
    DeadPort,
    /// 200 with this JSON body; `$PING_ID` in it becomes the ping's id.
    Fixed { latency_ms: u64, body: String },
}

/// How long a bidder thinks.
#[derive(Clone, Debug)]
pub enum Latency {
    /// Always this many ms.
    Fixed(u64),
    /// Lognormal around the median, never above the cap.
    Lognormal { median_ms: f64, sigma: f64, cap_ms: u64 },
    /// One of these, in µs, each as likely as the others; none of them is no latency. See [`Latency::load`].
    Empirical(Arc<[u32]>),
}

/// The two ways to say no bid.
#[derive(Clone, Debug)]
pub enum NoBidForm {
    /// 204 without a body.
    Status204,
    /// 200 with `bid` 0 and this reason.
    Zero { reason: String },
}

/// When a resetting bidder resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetAt {
    /// As soon as it has accepted the connection.
    Accept,
    /// After it has read the ping.
    Request,
}

/// What a bidder will answer: the draw behind a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub delay: Duration,
    /// None is no bid.
    pub price_cents: Option<u32>,
}

impl Latency {
    /// An empirical distribution from a text file: one value in ms per line, decimals allowed; empty lines and what
    /// follows a `#` are passed over.
    pub fn load(path: &Path) -> io::Result<Latency> {
        let wrong =
            |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}{what}", path.display()));
        let file = std::fs::File::open(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        if file.metadata()?.len() > MAX_EMPIRICAL_FILE {
            return Err(wrong(format!(" is larger than {MAX_EMPIRICAL_FILE} bytes")));
        }
        let mut values = Vec::new();
        for (at, line) in BufReader::new(file.take(MAX_EMPIRICAL_FILE)).lines().enumerate() {
            let line = line.map_err(|error| wrong(format!(":{}: {error}", at + 1)))?;
            let text = line.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let ms = text.parse::<f64>().ok().filter(|ms| (0.0..=MAX_EMPIRICAL_MS).contains(ms));
            let Some(ms) = ms else {
                let allowed = format!("a latency in ms from 0 to {MAX_EMPIRICAL_MS} is allowed");
                return Err(wrong(format!(":{}: {text:?} is no latency; {allowed}", at + 1)));
            };
            if values.len() == MAX_EMPIRICAL {
                return Err(wrong(format!(":{}: more than {MAX_EMPIRICAL} values; take a sample", at + 1)));
            }
            values.push((ms * 1_000.0).round() as u32);
        }
        if values.is_empty() {
            return Err(wrong(" has no values; write one latency in ms per line".to_owned()));
        }
        Ok(Latency::Empirical(values.into()))
    }

    fn draw(&self, chance: &mut Chance) -> Duration {
        match self {
            Latency::Fixed(ms) => Duration::from_millis(*ms),
            Latency::Lognormal { median_ms, sigma, cap_ms } => {
                let ms = chance.lognormal(*median_ms, *sigma).clamp(0.0, *cap_ms as f64);
                Duration::from_micros((ms * 1_000.0) as u64)
            }
            Latency::Empirical(values) => {
                Duration::from_micros(u64::from(chance.pick(values).copied().unwrap_or_default()))
            }
        }
    }
}

impl Behaviour {
    /// What a bidder of this name and behaviour answers to the call `key`: its `load_call` in plain digits, else the
    /// token of its caller, else the ping's id. The delay of behaviours that never reply is zero.
    pub fn offer(&self, seed: u64, bidder: &str, key: &str, deadline_ms: u64) -> Offer {
        self.draw(&mut Chance::new(seed, &[bidder, key]), deadline_ms)
    }

    /// The offer, drawn from the stream of this bidder and call.
    pub(super) fn draw(&self, chance: &mut Chance, deadline_ms: u64) -> Offer {
        match self {
            Behaviour::Bid { latency, price_cents: (low, high), no_bid_bps, ttl_s: _ } => {
                let delay = latency.draw(chance);
                let declined = chance.hits(*no_bid_bps);
                let price = chance.between(u64::from(*low), u64::from(*high)) as u32;
                Offer { delay, price_cents: (!declined).then_some(price) }
            }
            Behaviour::Flaky { latency, price_cents: (low, high), never_bps } => {
                let delay = latency.draw(chance);
                let never = chance.hits(*never_bps);
                let price = chance.between(u64::from(*low), u64::from(*high)) as u32;
                Offer { delay, price_cents: (!never).then_some(price) }
            }
            Behaviour::NoBid { latency, form: _ } => Offer { delay: latency.draw(chance), price_cents: None },
            Behaviour::WrongTypes { latency } => Offer { delay: latency.draw(chance), price_cents: None },
            Behaviour::Late { past_deadline_ms, price_cents } => Offer {
                delay: Duration::from_millis(deadline_ms.saturating_add(*past_deadline_ms)),
                price_cents: Some(*price_cents),
            },
            Behaviour::SlowDrip { interval_ms: _, price_cents } => {
                Offer { delay: Duration::ZERO, price_cents: Some(*price_cents) }
            }
            Behaviour::Fixed { latency_ms, body: _ } => {
                Offer { delay: Duration::from_millis(*latency_ms), price_cents: None }
            }
            Behaviour::Hang
            | Behaviour::Reset(_)
            | Behaviour::Garbage
            | Behaviour::Status(_)
            | Behaviour::Raw(_)
            | Behaviour::RawThenClose(_)
            | Behaviour::Acts(_)
            | Behaviour::DeadPort => Offer { delay: Duration::ZERO, price_cents: None },
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self, Behaviour::DeadPort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, text: &str) -> io::Result<Latency> {
        let path = std::env::temp_dir().join(format!("load-latency-{}-{name}", std::process::id()));
        std::fs::write(&path, text)?;
        let latency = Latency::load(&path);
        std::fs::remove_file(&path)?;
        latency
    }

    #[test]
    fn empirical_files() {
        let values = |text: &str| match load("good", text) {
            Ok(Latency::Empirical(values)) => values.to_vec(),
            other => panic!("{text:?}: {other:?}"),
        };
        assert_eq!(values("# from 2 March\n12\n\n 3.5 # slow\n0.0004"), [12_000, 3_500, 0]);
        for (text, said) in [
            ("", "has no values"),
            ("1\n2\nx\n", r#":3: "x" is no latency; a latency in ms from 0 to 600000 is allowed"#),
            ("-1", ":1: \"-1\" is no latency"),
            ("NaN", "is no latency"),
            ("600001", "is no latency"),
        ] {
            let error = load("bad", text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        let many = load("many", &"1\n".repeat(MAX_EMPIRICAL + 1)).err().map(|error| error.to_string());
        assert!(many.is_some_and(|said| said.contains(":1000001: more than 1000000 values")));
    }

    #[test]
    fn an_empirical_latency_draws_each_value_alike() {
        let behaviour = Behaviour::NoBid {
            latency: Latency::Empirical([1_000, 5_000, 90_000].into()),
            form: NoBidForm::Status204,
        };
        let mut drawn = [0; 3];
        for call in 0..3_000 {
            let delay = behaviour.offer(7, "a", &call.to_string(), 100).delay;
            match delay.as_millis() {
                1 => drawn[0] += 1,
                5 => drawn[1] += 1,
                90 => drawn[2] += 1,
                other => panic!("{other} ms is none of the values"),
            }
        }
        assert!(drawn.iter().all(|count| (900..1_100).contains(count)), "{drawn:?}");
        let none = Behaviour::WrongTypes { latency: Latency::Empirical([].into()) };
        assert_eq!(none.offer(7, "a", "1", 100).delay, Duration::ZERO);
    }
}
