//! What carriers are to do: where to call, how often, and how calls go. Only said here, and checked.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

#[cfg(feature = "twilio")]
use super::account::Twilio;
use super::arrivals::Arrivals;

/// Longest talk a plan may cap at, in seconds.
const TALK_CAP_MAX_S: u64 = 86_400;
/// Longest ringing played, whatever an answer states, in seconds.
pub(super) const RING_MAX_S: u64 = 3_600;

/// What to place, where, and how calls go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The exchange's call listener, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// Each call comes from one of these.
    pub carriers: Vec<CarrierKey>,
    /// How calls arrive. [`Carriers::set_rate`](super::Carriers::set_rate) changes it.
    pub arrivals: Arrivals,
    /// Whether calls are lived. Without, a call is over when its first answer is there, and no event is sent.
    pub lives: bool,
    /// Tracking numbers to dial.
    pub numbers: Vec<String>,
    /// Where callers live.
    pub callers: Vec<CallerArea>,
    /// One value of each tag goes into every call, beside `load_call`.
    pub tags: Vec<(String, Vec<String>)>,
    /// Sub-ids to choose from; none sends no sub-id.
    pub sub_ids: Vec<String>,
    /// What the carrier verified of callers' numbers, to choose from: `A`, `B` or `C`; none says nothing of it.
    pub attests: Vec<String>,
    /// Waits are this many times shorter than life; 1 is real time.
    pub time_scale: f64,
    pub talk: Talk,
    /// Ring time of an answered call, in seconds, both bounds included; never beyond the target's ring timeout.
    pub ring_s: (u64, u64),
    pub rates: Rates,
    pub seed: u64,
    /// Part of every `carrier_call_id`: two runs against one exchange must differ in it.
    pub run: String,
    /// Number of the first call; runs that share a trace must not overlap.
    pub first_call: u64,
    /// Arrivals in all; without it they go on until stopped.
    pub max_calls: Option<u64>,
    /// Calls in progress at which an arrival is skipped, and counted as such.
    pub max_in_progress: usize,
    /// Marks every call as a test call.
    pub test: bool,
    /// Keeps what was sent and heard of so many calls, for [`Carriers::take_sent`](super::Carriers::take_sent).
    pub keep_sent: Option<usize>,
}

/// A carrier, how it speaks, and the bearer key it presents where its dialect has one, on events too.
#[derive(Clone, Debug, Default)]
pub struct CarrierKey {
    pub id: String,
    pub key: String,
    pub dialect: Dialect,
}

/// How a carrier speaks.
#[derive(Clone, Debug, Default)]
pub enum Dialect {
    /// The generic carrier JSON, with the bearer key.
    #[default]
    Generic,
    /// Signed forms and TwiML. The bearer key is not used.
    #[cfg(feature = "twilio")]
    Twilio(Twilio),
}

/// Where callers live. Their numbers are `+1`, the prefix and random digits.
#[derive(Clone, Debug)]
pub struct CallerArea {
    /// An area code, to which the fictional exchange 555 is added (10,000 callers), or an area code and an
    /// exchange.
    pub prefix: String,
    /// State and ZIP to state in the request.
    pub geo: Option<(String, String)>,
}

impl From<&str> for CallerArea {
    fn from(prefix: &str) -> CallerArea {
        CallerArea { prefix: prefix.to_owned(), geo: None }
    }
}

/// How long people talk: lognormal seconds, never above the cap.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Talk {
    pub median_s: f64,
    pub sigma: f64,
    pub cap_s: u64,
}

/// How often things happen, each in 1 of 10,000.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// An attempt rings until its time is up.
    pub no_answer_bps: u32,
    pub busy_bps: u32,
    /// The caller leaves while it rings.
    pub abandon_bps: u32,
    /// An answered call is ended by the target, not the caller.
    pub target_ends_bps: u32,
    /// The caller's number is withheld.
    pub withheld_bps: u32,
    /// The route request is sent twice: half the time at once, half after the first answer.
    pub duplicate_route_bps: u32,
    /// An event is sent twice: half the time at once, half when the call is over.
    pub duplicate_event_bps: u32,
    /// `answered` is sent after `ended`.
    pub reorder_bps: u32,
    /// An event is never sent.
    pub lose_event_bps: u32,
    /// `ended` states no talk time, so that the events' times count.
    pub omit_talk_bps: u32,
}

impl Rates {
    /// A fair day on the network.
    pub fn everyday() -> Rates {
        Rates {
            no_answer_bps: 800,
            busy_bps: 300,
            abandon_bps: 400,
            target_ends_bps: 3_000,
            withheld_bps: 200,
            duplicate_route_bps: 100,
            duplicate_event_bps: 200,
            reorder_bps: 200,
            lose_event_bps: 0,
            omit_talk_bps: 1_000,
        }
    }
}

impl Plan {
    /// A plan with everyday rates, 10 calls per second, sped up 60 times, for ever.
    pub fn new(base_url: impl Into<String>, carrier: CarrierKey, numbers: Vec<String>) -> Plan {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Plan {
            base_url: base_url.into(),
            carriers: vec![carrier],
            arrivals: Arrivals::Poisson(10.0),
            lives: true,
            numbers,
            callers: vec!["512".into(), "303".into(), "718".into()],
            tags: Vec::new(),
            sub_ids: Vec::new(),
            attests: Vec::new(),
            time_scale: 60.0,
            talk: Talk { median_s: 110.0, sigma: 0.9, cap_s: 3_600 },
            ring_s: (2, 12),
            rates: Rates::everyday(),
            seed: 1,
            run: format!("{:x}", since_epoch.as_millis()),
            first_call: 1,
            max_calls: None,
            max_in_progress: 10_000,
            test: false,
            keep_sent: None,
        }
    }

    pub(super) fn check(&self) -> io::Result<()> {
        let wrong = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, message.to_owned()));
        if self.carriers.is_empty() || self.numbers.is_empty() || self.callers.is_empty() {
            return wrong("a plan needs at least one carrier, one tracking number and one caller area");
        }
        if self.callers.iter().any(|area| !is_prefix(&area.prefix)) {
            return wrong("a caller area's prefix is 3 to 9 digits");
        }
        if !(self.time_scale.is_finite() && self.time_scale >= 0.001) {
            return wrong("time_scale must be at least 0.001");
        }
        let Talk { median_s, sigma, cap_s } = self.talk;
        if !(median_s.is_finite() && sigma.is_finite() && (1..=TALK_CAP_MAX_S).contains(&cap_s)) {
            return wrong("talk has a finite median and sigma and a cap of 1 to 86400 seconds");
        }
        if self.ring_s.0 > self.ring_s.1 || self.ring_s.1 > RING_MAX_S {
            return wrong("ring_s is a lower and an upper bound of at most 3600 seconds");
        }
        #[cfg(feature = "twilio")]
        if self.test && self.carriers.iter().any(|carrier| matches!(carrier.dialect, Dialect::Twilio(_))) {
            return wrong("there are no test calls by Twilio: leave test out, or the Twilio carriers");
        }
        self.arrivals.check().or_else(|error| wrong(&error))
    }
}

fn is_prefix(prefix: &str) -> bool {
    (3..=9).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit())
}
