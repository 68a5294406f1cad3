//! What an exchange has on record, as read from its API: calls, outcomes, ledger and counters, joined by call.
//!
//! Shapes of the wire, packed small: a quarter of a million calls of ten outcomes must fit. How they are read is in
//! `api`; nothing is judged here.

use std::collections::HashMap;
use std::fmt;

/// The words an outcome may be, as the exchange documents them. Its list is closed: another word is a fault.
pub const REASONS: [&str; 75] = [
    "pending",
    "won",
    "paused",
    "buyer_paused",
    "closed",
    "geo",
    "tag",
    "cap",
    "concurrency",
    "not_reached",
    "no_time",
    "overload",
    "fan_out",
    "unresponsive",
    "fallback",
    "source",
    "attestation",
    "anonymous",
    "branch",
    "suppressed",
    "node_closed",
    "plan_ended",
    "no_row",
    "earlier_attempts",
    "timeout",
    "late",
    "connect",
    "tls",
    "dns",
    "disconnected",
    "http_status",
    "redirect",
    "too_large",
    "encoding",
    "malformed",
    "ping_mismatch",
    "above_max",
    "bad_terms",
    "bad_destination",
    "bad_currency",
    "throttled",
    "protocol",
    "not_needed",
    "interrupted",
    "no_bid",
    "below_floor",
    "margin",
    "outbid",
    "tie_lost",
    "lower_tier",
    "expired",
    "hold_lost",
    "busy",
    "no_answer",
    "rejected",
    "failed",
    "caller_abandon",
    "hold_not_durable",
    "other_answered",
    "unknown_number",
    "campaign_paused",
    "no_taker",
    "static",
    "internal_error",
    "test",
    "caller_blocked",
    "campaign_closed",
    "publisher_closed",
    "billable",
    "too_short",
    "not_answered",
    "unresolved",
    "not_payable",
    "already_billed",
    "handed_back",
];

/// A word of [`REASONS`], or none of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u8);

impl Reason {
    /// A word that is not on the list.
    pub const UNKNOWN: Reason = Reason(u8::MAX);

    pub fn of(word: &str) -> Reason {
        let at = REASONS.iter().position(|reason| *reason == word);
        at.and_then(|at| u8::try_from(at).ok()).map_or(Reason::UNKNOWN, Reason)
    }

    pub fn as_str(self) -> &'static str {
        REASONS.get(usize::from(self.0)).copied().unwrap_or("a word that is not on the list")
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything read.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// By the exchange's name for the call.
    pub calls: HashMap<Box<str>, CallBook>,
    /// Names of targets in the outcomes, numbered as [`Outcome::target`] says.
    pub targets: Vec<Box<str>>,
    /// Counters now, less what they were before the run.
    pub counters: Counters,
    /// The time given was over before the store had caught up.
    pub is_unsettled: bool,
}

/// What is on record of one call.
#[derive(Clone, Debug, Default)]
pub struct CallBook {
    pub records: Vec<Record>,
    pub steps: Vec<StepBook>,
    pub entries: Vec<Entry>,
}

/// A row of the list of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub carrier: Box<str>,
    pub carrier_call_id: Box<str>,
    pub campaign: Box<str>,
    pub basis: Box<str>,
    pub action: Box<str>,
    pub reason: Box<str>,
    pub target: Option<Box<str>>,
    /// Held at the first decision.
    pub price_micros: Option<i64>,
    pub attempts: u32,
}

/// One step with its outcomes.
#[derive(Clone, Debug, PartialEq)]
pub struct StepBook {
    pub step: u32,
    pub is_final: bool,
    /// From the request read to the end of the auction.
    pub closed_in_us: u64,
    pub outcomes: Box<[Outcome]>,
}

/// How one target fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub target: u16,
    pub reason: Reason,
    pub amount_micros: Option<i64>,
}

/// One ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub group: Box<str>,
    pub kind: Box<str>,
    pub account: Box<str>,
    pub target: Box<str>,
    pub micros: i64,
}

/// What the exchange counts of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub decisions: u64,
    pub records_dropped: u64,
    pub panics: u64,
    pub unknown_reports: u64,
    pub revenue_micros: u64,
    pub payout_micros: u64,
}

impl Counters {
    /// What came since `before`.
    pub fn since(self, before: Counters) -> Counters {
        Counters {
            decisions: self.decisions.saturating_sub(before.decisions),
            records_dropped: self.records_dropped.saturating_sub(before.records_dropped),
            panics: self.panics.saturating_sub(before.panics),
            unknown_reports: self.unknown_reports.saturating_sub(before.unknown_reports),
            revenue_micros: self.revenue_micros.saturating_sub(before.revenue_micros),
            payout_micros: self.payout_micros.saturating_sub(before.payout_micros),
        }
    }
}

impl Books {
    /// The number of a target's name.
    pub fn target(&mut self, name: &str) -> Option<u16> {
        let at = self.targets.iter().position(|known| &**known == name).unwrap_or_else(|| {
            self.targets.push(name.into());
            self.targets.len() - 1
        });
        u16::try_from(at).ok()
    }

    /// What is on record of a call, made where there is nothing yet.
    pub fn call(&mut self, call_id: &str) -> &mut CallBook {
        if !self.calls.contains_key(call_id) {
            self.calls.insert(call_id.into(), CallBook::default());
        }
        self.calls.get_mut(call_id).expect("it was made a moment ago")
    }
}

impl CallBook {
    /// The first step.
    pub fn first(&self) -> Option<&StepBook> {
        self.steps.iter().find(|step| step.step == 1)
    }
}

/// Micro-units of a decimal string, exactly; none where it is none or more precise.
pub fn micros(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 6 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(sign * whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)?)
}

/// Micro-units as a decimal.
pub fn decimal(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let all = micros.unsigned_abs();
    let text = format!("{sign}{}.{:06}", all / 1_000_000, all % 1_000_000);
    let least = text.len() - 4;
    let kept = text.trim_end_matches('0').len().max(least);
    text[..kept].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_to_the_micro_unit() {
        for (text, expected) in [
            ("25.50", Some(25_500_000)),
            ("-0.000001", Some(-1)),
            ("7", Some(7_000_000)),
            ("0.0000001", None),
            ("1,000.00", None),
            ("--1", None),
            ("", None),
            (".5", None),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
        for amount in [0, 1, -1, 25_500_000, -3_100_000, 12_345_678] {
            assert_eq!(micros(&decimal(amount)), Some(amount));
        }
        assert_eq!(decimal(-3_100_000), "-3.10");
    }
}
