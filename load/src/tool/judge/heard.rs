//! What carriers heard and bidders saw, in the form the checks read: flat, with every moment as µs of the Unix epoch.
//!
//! Facts only. Where a carrier cannot know whether the exchange has a report, that is said and not guessed.

use std::borrow::Cow;
use std::sync::Arc;

use crate::seen::Seen;
use crate::sent::{self, Report, Sent};

/// One call, as its carrier knows it.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The tag `load_call`.
    pub number: u64,
    pub carrier: Arc<str>,
    pub carrier_call_id: Box<str>,
    pub sent_us: u64,
    /// The first answer was read whole.
    pub answered_us: Option<u64>,
    /// HTTP status of the first answer; 0 when none came.
    pub status: u16,
    /// The exchange's name for the call.
    pub call_id: Option<Box<str>>,
    /// Of the first answer.
    pub action: Cow<'static, str>,
    pub basis: Cow<'static, str>,
    pub reason: Cow<'static, str>,
    /// Every target of every answer that the carrier was told to ring, in order.
    pub attempts: Vec<Attempt>,
    /// Requests sent twice of purpose, and those of them that were answered with other bytes.
    pub repeats: u32,
    pub repeats_differ: u32,
    /// The report that the caller is gone.
    pub gone: Said,
    /// The carrier stopped in the middle.
    pub cut_off: bool,
}

/// One target to be rung.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub step: u32,
    pub attempt: u32,
    pub address: Arc<str>,
    /// The request that this attempt answers was sent.
    pub asked_us: u64,
    /// The answer was read.
    pub offered_us: u64,
    /// How it ended; none where the carrier stopped first or never rang it.
    pub end: Option<End>,
}

/// How an attempt ended, and what the exchange was told of it.
#[derive(Clone, Debug, Default)]
pub struct End {
    pub cause: Cow<'static, str>,
    /// How long they talked.
    pub talked_ms: u64,
    /// The talk time that was stated with the end.
    pub stated_ms: Option<u64>,
    pub answered: Said,
    pub bridged: Said,
    pub ended: Said,
    /// The end told with the question what now.
    pub asked_on: Said,
    /// From when on the exchange may know of the end.
    pub told_us: Option<u64>,
    /// From when on it certainly does.
    pub taken_us: Option<u64>,
}

/// Whether the exchange has a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// It said so.
    Taken,
    /// Sent, and never acknowledged.
    Perhaps,
    #[default]
    Never,
}

impl Call {
    /// Answered with something to do.
    pub fn is_answered(&self) -> bool {
        self.status == 200 && self.answered_us.is_some()
    }
}

/// Longest from picking up to being bridged that these carriers have, in ms of the call's own time.
const WHISPER_MAX_MS: u64 = 1_500;

impl End {
    /// The talk time the exchange must come to: at least, at most.
    pub(super) fn talk_ms(&self, gone: Said) -> (u64, u64) {
        let exactly = |ms| (ms, ms);
        let somewhere = (0, self.talked_ms.saturating_add(WHISPER_MAX_MS));
        if self.talked_ms == 0 && self.stated_ms.unwrap_or(0) == 0 {
            return exactly(0);
        }
        match (self.ended, self.stated_ms, self.asked_on) {
            (Said::Taken, Some(stated), _) => exactly(stated),
            (Said::Taken, None, _) if !matches!(&*self.cause, "normal" | "failed") => exactly(0),
            (Said::Taken, None, Said::Never) => self.by_difference(),
            // What is said with the question may come in time to count.
            (Said::Taken, None, _) if self.bridged == Said::Taken => exactly(self.talked_ms),
            (Said::Taken, None, _) => somewhere,
            (Said::Never, stated, Said::Taken) => exactly(stated.unwrap_or(self.talked_ms)),
            (Said::Never, _, Said::Never) => match gone {
                Said::Taken => self.by_difference(),
                Said::Perhaps => somewhere,
                Said::Never => exactly(0),
            },
            (Said::Perhaps, _, _) | (Said::Never, _, Said::Perhaps) => somewhere,
        }
    }

    /// From bridged to ended; where nobody told of that, from answered.
    fn by_difference(&self) -> (u64, u64) {
        let with_whisper = self.talked_ms.saturating_add(WHISPER_MAX_MS);
        match (self.bridged, self.answered) {
            (Said::Taken, _) => (self.talked_ms, self.talked_ms),
            (Said::Never, Said::Never) => (0, 0),
            (Said::Never, Said::Taken) => (self.talked_ms, with_whisper),
            (Said::Perhaps, _) | (Said::Never, Said::Perhaps) => (0, with_whisper),
        }
    }
}

impl From<&Sent> for Call {
    fn from(sent: &Sent) -> Call {
        let first = sent.steps.first().map(|step| &*step.told);
        let word = |word: fn(&sent::Told) -> &String| {
            Cow::Owned(first.map_or(String::new(), |told| word(told).clone()))
        };
        let mut attempts = Vec::new();
        for (at, step) in sent.steps.iter().enumerate() {
            for target in &step.told.targets {
                // Twilio does not tell: steps and attempts are counted.
                let place = attempts.len() as u32 + 1;
                let attempt = if target.attempt == 0 { place } else { target.attempt };
                let end = step.ends.iter().find(|end| end.attempt == attempt);
                attempts.push(Attempt {
                    step: if step.step == 0 { at as u32 + 1 } else { step.step },
                    attempt,
                    address: target.address.as_str().into(),
                    asked_us: if at == 0 { sent.sent_us } else { step.asked_us },
                    offered_us: step.answered_us,
                    end: end.map(End::from),
                });
            }
        }
        Call {
            number: sent.number,
            carrier: sent.carrier.clone(),
            carrier_call_id: sent.carrier_call_id.clone(),
            sent_us: sent.sent_us,
            answered_us: sent.answered_us.filter(|_| !sent.steps.is_empty()),
            status: sent.status,
            call_id: sent.call_id.clone(),
            action: word(|told| &told.action),
            basis: word(|told| &told.basis),
            reason: word(|told| &told.reason),
            attempts,
            repeats: sent.repeats,
            repeats_differ: sent.repeats_differ,
            gone: said(sent.over),
            cut_off: sent.cut_off,
        }
    }
}

impl From<&sent::End> for End {
    fn from(end: &sent::End) -> End {
        End {
            cause: end.cause.clone(),
            talked_ms: end.talked_ms,
            stated_ms: end.talk_ms,
            answered: said(end.answered),
            bridged: said(end.bridged),
            ended: said(Some(end.ended)),
            asked_on: said(Some(end.asked_on)),
            told_us: end.told_us,
            taken_us: end.taken_us,
        }
    }
}

fn said(report: Option<Report>) -> Said {
    match report {
        Some(Report::Acknowledged) => Said::Taken,
        Some(Report::Refused) => Said::Perhaps,
        Some(Report::Lost | Report::Unsent) | None => Said::Never,
    }
}

/// The pings of a run by call.
pub(super) struct Pings<'a> {
    seen: &'a [Seen],
    by_call: Vec<u32>,
}

impl<'a> Pings<'a> {
    pub(super) fn new(seen: &'a [Seen]) -> Pings<'a> {
        let mut by_call: Vec<u32> = (0..u32::try_from(seen.len()).unwrap_or(u32::MAX)).collect();
        by_call.sort_by_key(|at| (seen[*at as usize].call, seen[*at as usize].received_us));
        Pings { seen, by_call }
    }

    /// Of one call, in the order they came.
    pub(super) fn of(&self, call: u64) -> impl Iterator<Item = &'a Seen> {
        let number = |at: &u32| self.seen[*at as usize].call;
        let from = self.by_call.partition_point(|at| number(at) < call);
        let rest = &self.by_call[from..];
        let count = rest.partition_point(|at| number(at) == call);
        let seen = self.seen;
        rest[..count].iter().map(move |at| &seen[*at as usize])
    }
}

impl Pings<'_> {
    /// The calls that anybody was pinged for.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.seen.iter().map(|ping| ping.call)
    }
}
