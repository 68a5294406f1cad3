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

/// Makes foreign text fit to keep: bounded, printable, and without anything that could be a phone number. Of digits
/// with no letter between them only the first four stay, so that `(512) 555-0123` is no way around it.
pub fn clean_note(text: &str) -> String {
    let mut kept = String::new();
    let mut digits = 0;
    for c in text.chars() {
        if c.is_alphabetic() {
            digits = 0;
        }
        digits += usize::from(c.is_numeric());
        let shown = if c.is_control() || is_invisible(c) {
            ' '
        } else if c.is_numeric() && digits > 4 {
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

/// Marks that change how the text around them is shown: zero widths and directions.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
