//! One call of a simulated carrier: what every dialect shares.
//!
//! The draws that decide what becomes of it, its own time, and reports with their noise. What is said, and in which
//! words, is for the dialect; what is asked and kept of the answers is in `ask`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::ask::Question;
use super::plan::{CallerArea, Dialect, Talk};
use super::text::rfc3339;
use super::{Errand, Floor, generic, straight};
use crate::chance::Chance;
use crate::sent::{Report, Sent};

/// Times an event is sent before it counts as lost, where the dialect sends again at all.
pub const EVENT_TRIES: u32 = 5;
/// Steps (answers) a carrier follows within one call.
pub const MAX_STEPS: u32 = 8;
/// Pause before an event is sent again the first time, in ms; it doubles each time.
const EVENT_RETRY_MS: u64 = 100;

/// How an attempt goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Busy,
    NoAnswer,
    /// The caller leaves while it rings.
    Abandoned,
    Answered,
}

/// A report to be delivered.
pub(super) struct Letter {
    pub(super) url: String,
    pub(super) header: (&'static str, String),
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// Times it is sent before it counts as lost.
    pub(super) tries: u32,
    /// Which statuses acknowledge it.
    pub(super) is_taken: fn(u16) -> bool,
}

/// Who calls whom, as drawn.
pub(super) struct Caller<'a> {
    pub(super) to: &'a str,
    /// Ten digits.
    pub(super) digits: String,
    pub(super) is_withheld: bool,
    pub(super) area: &'a CallerArea,
    pub(super) tags: Vec<(&'a str, &'a str)>,
    pub(super) sub_id: Option<&'a str>,
    /// What was verified of the number.
    pub(super) attest: Option<&'a str>,
}

/// One call in progress. It counts as such while it lives, also when it is cut off.
pub(super) struct Call {
    pub(super) floor: Arc<Floor>,
    pub(super) chance: Chance,
    pub(super) number: u64,
    /// Its carrier's place in the plan.
    pub(super) carrier: usize,
    pub(super) id: String,
    pub(super) began: SystemTime,
    /// Uncompressed ms since it began.
    offset_ms: u64,
    bridged: bool,
    /// Letters to be sent again when the call is over.
    afterwards: Vec<Letter>,
    pub(super) record: Option<Box<Sent>>,
    /// Given back with the first answer: the next call may start.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    over: bool,
}

/// Lives one call from arrival to end.
pub(super) async fn live(floor: Arc<Floor>, number: u64, due: Instant, permit: Option<OwnedSemaphorePermit>) {
    let errand = floor.errand;
    let mut call = Call::new(floor.clone(), number, permit);
    match (errand, &floor.plan.carriers[call.carrier].dialect) {
        (Errand::Pings, _) => Box::pin(straight::ask(&mut call, due)).await,
        (Errand::Calls, Dialect::Generic) => generic::live(&mut call, due).await,
        #[cfg(feature = "twilio")]
        (Errand::Calls, Dialect::Twilio(twilio)) => {
            Box::pin(super::twilio::live(&mut call, twilio, due)).await;
        }
    }
    if !call.afterwards.is_empty() {
        Box::pin(call.send_afterwards()).await;
    }
    call.over = true;
}

impl Drop for Call {
    fn drop(&mut self) {
        let over = self.over;
        self.floor.count(|counts| {
            counts.in_progress -= 1;
            if over { counts.ended += 1 } else { counts.cut_off += 1 }
        });
        if let (Some(mut record), Some(mut keep)) = (self.record.take(), self.floor.keep()) {
            record.cut_off = !over;
            record.carrier_call_id = self.id.as_str().into();
            keep.push(*record);
        }
    }
}

impl Call {
    fn new(floor: Arc<Floor>, number: u64, permit: Option<OwnedSemaphorePermit>) -> Call {
        floor.count(|counts| counts.in_progress += 1);
        let mut chance = Chance::new(floor.plan.seed, &["call", &number.to_string()]);
        let last = floor.plan.carriers.len().saturating_sub(1) as u64;
        let carrier = chance.between(0, last) as usize;
        let name = &floor.plan.carriers[carrier].id;
        let id = format!("{name}-{}-{number}", floor.plan.run);
        let record = floor
            .keep()
            .map(|mut keep| Box::new(Sent { number, carrier: keep.text(name), ..Sent::default() }));
        Call {
            floor,
            chance,
            number,
            carrier,
            id,
            began: SystemTime::now(),
            offset_ms: 0,
            bridged: false,
            afterwards: Vec::new(),
            record,
            permit,
            over: false,
        }
    }

    /// Draws who calls.
    pub(super) fn caller<'a>(&mut self, floor: &'a Floor) -> Caller<'a> {
        let (plan, chance) = (&floor.plan, &mut self.chance);
        let to = chance.pick(&plan.numbers).expect("the plan was checked to have a number");
        let area = chance.pick(&plan.callers).expect("the plan was checked to have a caller area");
        let mut digits = String::with_capacity(10);
        digits.push_str(&area.prefix);
        if digits.len() == 3 {
            digits.push_str("555");
        }
        while digits.len() < 10 {
            digits.push(char::from(b'0' + chance.between(0, 9) as u8));
        }
        let mut tags = Vec::with_capacity(plan.tags.len());
        for (key, values) in &plan.tags {
            tags.extend(chance.pick(values).map(|value| (key.as_str(), value.as_str())));
        }
        let is_withheld = chance.hits(plan.rates.withheld_bps);
        let sub_id = chance.pick(&plan.sub_ids).map(String::as_str);
        let attest = chance.pick(&plan.attests).map(String::as_str);
        if let (Some(record), Some(mut keep)) = (&mut self.record, floor.keep()) {
            record.to = keep.text(to);
        }
        Caller { to, digits, is_withheld, area, tags, sub_id, attest }
    }

    pub(super) fn fate(&mut self) -> Fate {
        self.floor.count(|counts| counts.attempts += 1);
        let rates = self.floor.plan.rates;
        if self.chance.hits(rates.busy_bps) {
            Fate::Busy
        } else if self.chance.hits(rates.no_answer_bps) {
            Fate::NoAnswer
        } else if self.chance.hits(rates.abandon_bps) {
            Fate::Abandoned
        } else {
            Fate::Answered
        }
    }

    /// Counts a failed attempt; cause and originator in the words of the carrier contract, and the SIP status.
    pub(super) fn count_failed(&self, is_busy: bool) -> (&'static str, &'static str, u16) {
        self.floor.count(|counts| if is_busy { counts.busy += 1 } else { counts.no_answer += 1 });
        if is_busy { ("busy", "target", 486) } else { ("no_answer", "carrier", 487) }
    }

    pub(super) fn setup_ms(&mut self) -> u64 {
        self.chance.between(200, 900)
    }

    /// When the caller loses patience.
    pub(super) fn patience_ms(&mut self, rings_ms: u64) -> u64 {
        self.chance.between(500, rings_ms.saturating_sub(500))
    }

    /// When an answering target answers: at least a millisecond before its ring time is up.
    pub(super) fn ring_ms(&mut self, rings_ms: u64) -> u64 {
        let (low, high) = self.floor.plan.ring_s;
        self.chance.between(low * 1_000, high * 1_000).min(rings_ms.saturating_sub(1))
    }

    pub(super) fn count_bridged(&mut self) {
        if !self.bridged {
            self.bridged = true;
            self.floor.count(|counts| counts.bridged += 1);
        }
    }

    /// How long they talk, and who ends it.
    pub(super) fn talk(&mut self, max_talk_s: u64) -> (u64, &'static str) {
        let Talk { median_s, sigma, cap_s } = self.floor.plan.talk;
        let wished_ms = (self.chance.lognormal(median_s, sigma).clamp(0.001, cap_s as f64) * 1_000.0) as u64;
        let talk_ms = wished_ms.min(max_talk_s.saturating_mul(1_000));
        let ended_by = if talk_ms < wished_ms {
            "carrier"
        } else if self.chance.hits(self.floor.plan.rates.target_ends_bps) {
            "target"
        } else {
            "caller"
        };
        (talk_ms, ended_by)
    }

    /// Draws whether the report of the answer is held back until after that of the end.
    pub(super) fn reorders(&mut self) -> bool {
        let reorders = self.chance.hits(self.floor.plan.rates.reorder_bps);
        if reorders {
            self.floor.count(|counts| counts.events_reordered += 1);
        }
        reorders
    }

    /// Draws whether a report is never sent.
    pub(super) fn loses(&mut self) -> bool {
        let loses = self.chance.hits(self.floor.plan.rates.lose_event_bps);
        if loses {
            self.floor.count(|counts| counts.events_dropped += 1);
        }
        loses
    }

    /// Delivers a report, or not, and perhaps twice.
    pub(super) async fn deliver(&mut self, letter: Letter) -> Report {
        if self.loses() {
            return Report::Lost;
        }
        let taken = self.send(&letter).await;
        if taken {
            self.floor.count(|counts| counts.events += 1);
        }
        if self.chance.hits(self.floor.plan.rates.duplicate_event_bps) {
            if self.chance.hits(5_000) {
                self.send_duplicate(&letter).await;
            } else {
                self.afterwards.push(letter);
            }
        }
        if taken { Report::Acknowledged } else { Report::Refused }
    }

    async fn send_afterwards(&mut self) {
        for letter in std::mem::take(&mut self.afterwards) {
            self.send_duplicate(&letter).await;
        }
    }

    async fn send_duplicate(&self, letter: &Letter) {
        self.floor.count(|counts| counts.events_duplicated += 1);
        self.send(letter).await;
    }

    /// Sends until acknowledged, a bounded number of times.
    async fn send(&self, letter: &Letter) -> bool {
        let (name, value) = &letter.header;
        let headers = [(*name, value.as_str())];
        let question = Question {
            url: &letter.url,
            headers: &headers,
            content_type: letter.content_type,
            body: &letter.body,
        };
        for tries in 0..letter.tries {
            if tries > 0 {
                self.floor.count(|counts| counts.event_retries += 1);
                tokio::time::sleep(Duration::from_millis(EVENT_RETRY_MS << (tries - 1))).await;
            }
            match self.ask(&question).await {
                Ok(answer) if (letter.is_taken)(answer.status) => return true,
                Ok(answer) if (400..500).contains(&answer.status) && answer.status != 429 => break,
                Ok(_) | Err(_) => {}
            }
        }
        self.floor.count(|counts| counts.events_refused += 1);
        false
    }

    /// Lets this much of the call's life pass.
    pub(super) async fn pass(&mut self, ms: u64) {
        self.offset_ms += ms;
        let wait = Duration::from_millis(ms).div_f64(self.floor.plan.time_scale);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// This moment in µs of the Unix epoch, as records have it.
    pub(super) fn now_us(&self) -> u64 {
        self.floor.epoch_us(Instant::now())
    }

    /// The call's own time, uncompressed.
    pub(super) fn now(&self) -> SystemTime {
        self.began + Duration::from_millis(self.offset_ms)
    }

    /// Likewise, as the carrier contract has it.
    pub(super) fn at(&self) -> String {
        rfc3339(self.now())
    }
}
