//! What a target answered, in the auction's own terms: a bid, or no bid for one reason.
//!
//! How bytes become a reply is in `bidder`; whether a bid wins is in `rank`.

use std::time::Duration;

use crate::domain::{Address, Money, Reason, Timestamp};

/// A price with its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bid {
    /// The price, already cut to the money step and within the target's maximum.
    pub amount: Money,
    /// When it can no longer be handed out.
    pub expires: Timestamp,
    /// Where the call goes instead of the target's own address.
    pub destination: Option<Address>,
    /// Shortest talk that is billable at this price.
    pub min_duration: Duration,
}

/// The answer of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It wants the call.
    Bid(Bid),
    /// It does not, or its answer is of no use.
    NoBid(NoBid),
}

/// Why there is no bid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoBid {
    /// The one reason.
    pub reason: Reason,
    /// The amount, where one was named.
    pub amount: Option<Money>,
    /// The buyer's own word or the offending part, at most `NOTE_MAX` bytes, printable.
    pub note: Option<String>,
}

/// Longest note kept, in bytes.
pub const NOTE_MAX: usize = 120;

impl Reply {
    /// No bid, for this reason.
    pub fn none(reason: Reason) -> Reply {
        Reply::NoBid(NoBid { reason, amount: None, note: None })
    }

    /// No bid, with a note: cut to `NOTE_MAX` bytes, control characters replaced, digits of long numbers masked.
    pub fn noted(reason: Reason, note: &str) -> Reply {
        Reply::NoBid(NoBid { reason, amount: None, note: Some(clean_note(note)) })
    }
}

/// Makes foreign text fit to keep: bounded, printable, and without anything that could be a phone number.
pub fn clean_note(text: &str) -> String {
    let mut kept = String::new();
    let mut digits = 0;
    for c in text.chars() {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        let shown = if c.is_control() {
            ' '
        } else if digits > 4 {
            '•'
        } else {
            c
        };
        if kept.len() + shown.len_utf8() > NOTE_MAX {
            break;
        }
        kept.push(shown);
    }
    kept
}
