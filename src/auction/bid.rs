//! What a target answered, in the auction's own terms: a bid, or no bid for one reason.
//!
//! How bytes become a reply is in `bidder`; whether a bid wins is in `rank`.

use std::borrow::Cow;
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
        Reply::NoBid(NoBid { reason, amount: None, note: Some(clean_note(note).into_owned()) })
    }
}

/// Digits of one number shown in a note: a country and an area code.
const DIGITS_SHOWN: usize = 4;
/// Digits that make a phone number, however they are grouped.
const DIGITS_OF_A_NUMBER: usize = 7;

/// Makes foreign text fit to keep: bounded, printable, and without anything that could be a phone number.
///
/// A run of digits shows its first four. So does a group of seven and more with the usual signs between them:
/// `+1 (512) 555-0123` becomes `+1 (512) •••-••••`. Amounts and times keep their digits.
pub fn clean_note(text: &str) -> Cow<'_, str> {
    // Most notes and tags are a word or two.
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_plain = text.len() <= NOTE_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    // Nothing to cut, replace or hide, as with most words that are kept.
    if is_plain && digits <= DIGITS_SHOWN {
        return Cow::Borrowed(text);
    }
    let head: Vec<char> = text.chars().take(NOTE_MAX).collect();
    let mut kept = String::new();
    let (mut in_run, mut in_group, mut is_number) = (0, 0, false);
    for (at, c) in head.iter().copied().enumerate() {
        if c.is_numeric() {
            if in_group == 0 {
                is_number = group_digits(&head[at..]) >= DIGITS_OF_A_NUMBER;
            }
            in_run += 1;
            in_group += 1;
        } else {
            in_run = 0;
            in_group = if is_between_digits(c) { in_group } else { 0 };
        }
        let is_hidden = c.is_numeric() && (in_run > DIGITS_SHOWN || is_number && in_group > DIGITS_SHOWN);
        let shown = if is_hidden { '•' } else { c };
        let shown = if is_unprintable(shown) { ' ' } else { shown };
        if kept.len() + shown.len_utf8() > NOTE_MAX {
            break;
        }
        kept.push(shown);
    }
    Cow::Owned(kept)
}

/// The same of a text of one's own, which stays where it is when it is fit as it is.
pub fn cleaned(text: String) -> String {
    let kept = match clean_note(&text) {
        Cow::Borrowed(_) => None,
        Cow::Owned(kept) => Some(kept),
    };
    kept.unwrap_or(text)
}

/// How many digits stand in the group the text begins with.
fn group_digits(text: &[char]) -> usize {
    text.iter().take_while(|c| c.is_numeric() || is_between_digits(**c)).filter(|c| c.is_numeric()).count()
}

/// What people write between the digits of one phone number.
fn is_between_digits(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "-.()/+_%\u{2010}\u{2011}\u{2012}\u{2013}".contains(c)
}

/// Control characters, and those that turn the direction of what a terminal shows.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_keep_words_and_amounts_and_no_phone_number() {
        let table = [
            ("closed today", "closed today"),
            ("bid is no plain decimal: $1,250.00", "bid is no plain decimal: $1,250.00"),
            ("call +15125550123 now", "call +1512••••••• now"),
            ("+1 (512) 555-0123", "+1 (512) •••-••••"),
            ("512-555-0123", "512-5••-••••"),
            ("512.555.0123 or 303 555 0123", "512.5••.•••• or 303 5•• ••••"),
            ("5 1 2 5 5 5 0 1 2 3", "5 1 2 5 • • • • • •"),
            ("\u{ff15}\u{ff11}\u{ff12}\u{ff15}\u{ff15}", "\u{ff15}\u{ff11}\u{ff12}\u{ff15}•"),
            ("512\n555\r0123", "512 5•• ••••"),
            ("at 09:00, cap 250", "at 09:00, cap 250"),
            ("zip 78701", "zip 7870•"),
            ("a\u{1b}[31mb\u{202e}c", "a [31mb c"),
        ];
        for (text, kept) in table {
            assert_eq!(clean_note(text), kept, "{text:?}");
        }
        assert_eq!(clean_note(&"x".repeat(8_000)).len(), NOTE_MAX);
        assert_eq!(clean_note(&"•".repeat(8_000)).len(), NOTE_MAX);
        assert!(clean_note(&"1".repeat(8_000)).len() <= NOTE_MAX);
    }
}
