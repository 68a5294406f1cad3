//! Closed lists in version 1: the words of rows, and a code for each variant of what images have; and small values that
//! several structures share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DecodeError;
use crate::call::Kind;
use crate::capacity::Basis;
use crate::capacity::hold::HoldState;
use crate::carrier::CallerLeg;
use crate::domain::{
    Address, Bps, BuyerId, CampaignId, CarrierId, Cause, E164, EndedBy, HangupCause, Money, Payout,
    PublisherId, Reason, SetBy, TalkSource, TargetId, Timestamp,
};

/// A field whose words are a closed list.
pub(super) struct Words {
    field: &'static str,
    known: &'static [&'static str],
}

pub(super) const BASIS: Words =
    Words { field: "the basis", known: &["auction", "static", "quote", "redial", "terminal"] };
pub(super) const ACTION: Words =
    Words { field: "the action", known: &["dial", "gather", "voicemail", "message", "hangup"] };
pub(super) const CLOSE: Words =
    Words { field: "the close", known: &["no_auction", "all_replied", "early", "deadline"] };
pub(super) const GEO_SOURCE: Words =
    Words { field: "the source of the place", known: &["carrier", "area_code", "none", "ivr", "publisher"] };
pub(super) const EVENT: Words = Words {
    field: "the kind of an event",
    known: &[
        "ringing",
        "answered",
        "bridged",
        "ended",
        "recording",
        "digits",
        "cost",
        "call_ended",
        "leg_over",
        "noted",
        "handed_back",
    ],
};
pub(super) const TALK_SOURCE: Words =
    Words { field: "the talk source", known: &["carrier", "event_times", "derived", "none"] };
pub(super) const ENDED_BY: Words =
    Words { field: "ended by", known: &["caller", "target", "carrier", "exchange", "unknown"] };
pub(super) const LEDGER: Words =
    Words { field: "the kind of a ledger entry", known: &["revenue", "payout", "margin"] };
pub(super) const ROLE: Words = Words { field: "the role", known: &["buyer", "terminal"] };

impl Words {
    /// The word as it is written. One that could not be read back is a bug.
    pub(super) fn of(&self, word: &'static str) -> &'static str {
        debug_assert!(self.known.contains(&word), "{}: {word:?} is to be listed here", self.field);
        word
    }

    /// The word as our own code has it.
    pub(super) fn read(&self, word: &str) -> Result<&'static str, DecodeError> {
        let known = self.known.iter().find(|known| **known == word);
        known.copied().ok_or_else(|| DecodeError::unknown_word(self.field, word))
    }
}

/// Something with a code for each of its variants.
pub(super) trait Coded: Sized {
    const FIELD: &'static str;

    fn code(self) -> u8;

    fn from_code(code: u8) -> Option<Self>;

    fn read(code: u8) -> Result<Self, DecodeError> {
        Self::from_code(code).ok_or(DecodeError::UnknownCode { field: Self::FIELD, code: code.into() })
    }
}

macro_rules! codes {
    ($($field:literal $name:ident { $($code:literal $variant:ident,)* })*) => {$(
        impl Coded for $name {
            const FIELD: &'static str = $field;

            fn code(self) -> u8 {
                match self { $($name::$variant => $code,)* }
            }

            fn from_code(code: u8) -> Option<$name> {
                match code {
                    $($code => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}

codes! {
    "the kind of an attempt" Kind { 0 Target, 1 ProvenTarget, 2 Terminal, }
    "the cause of an end" Cause { 0 Normal, 1 Busy, 2 NoAnswer, 3 Rejected, 4 Failed, 5 Cancelled, }
    "whose doing an end was" EndedBy { 0 Caller, 1 Target, 2 Carrier, 3 Exchange, 4 Unknown, }
    "the source of a talk time" TalkSource { 0 Carrier, 1 EventTimes, 2 Derived, 3 None, }
    "the state of a hold" HoldState { 0 Held, 1 Posted, 2 Voided, 3 Expired, }
    "the basis of a cap" Basis { 0 Concurrency, 1 BillableDay, }
    "the cause of a hang-up" HangupCause { 0 Busy, 1 Rejected, 2 Unallocated, 3 Congestion, 4 Normal, }
    "the caller's leg" CallerLeg { 0 Ringing, 1 Answered, 2 Gone, }
    "who set a tag" SetBy { 0 Carrier, 1 Number, }
}

pub(super) fn reason(code: u16) -> Result<Reason, DecodeError> {
    Reason::from_code(code).ok_or(DecodeError::UnknownCode { field: "the reason", code })
}

macro_rules! slugs {
    ($($name:ident $of:ident $what:literal,)*) => {$(
        pub(super) fn $name(text: &str) -> Result<$of, DecodeError> {
            $of::parse(text).map_err(|_| DecodeError::Invalid { what: $what })
        }
    )*};
}

slugs! {
    carrier CarrierId "the id of a carrier",
    campaign CampaignId "the id of a campaign",
    publisher PublisherId "the id of a publisher",
    buyer BuyerId "the id of a buyer",
    target TargetId "the id of a target",
}

pub(super) fn number(digits: u64) -> Result<E164, DecodeError> {
    E164::from_digits(digits).ok_or(DecodeError::Invalid { what: "a number" })
}

pub(super) const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(super) const fn money(micros: i64) -> Money {
    Money::from_micros(micros)
}

/// A span as whole seconds and the nanoseconds beyond: exactly.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct SpanV1(u64, u32);

impl SpanV1 {
    pub(super) const fn of(span: Duration) -> SpanV1 {
        SpanV1(span.as_secs(), span.subsec_nanos())
    }

    pub(super) fn read(self) -> Result<Duration, DecodeError> {
        if self.1 >= 1_000_000_000 {
            return Err(DecodeError::Invalid { what: "a span of time" });
        }
        Ok(Duration::new(self.0, self.1))
    }
}

/// The digest of a catalog: half as long where it is what it always is, 64 lower-case hex digits.
#[derive(Serialize, Deserialize)]
pub(super) enum DigestV1<'a> {
    Bytes([u8; 32]),
    Text(&'a str),
}

impl<'a> DigestV1<'a> {
    pub(super) fn of(digest: &'a str) -> DigestV1<'a> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        let (pairs, odd) = digest.as_bytes().as_chunks::<2>();
        let is_hex = pairs.len() == bytes.len()
            && odd.is_empty()
            && bytes.iter_mut().zip(pairs).all(|(byte, [high, low])| {
                let both = nibble(*high).zip(nibble(*low));
                both.map(|(high, low)| *byte = high << 4 | low).is_some()
            });
        if is_hex { DigestV1::Bytes(bytes) } else { DigestV1::Text(digest) }
    }

    pub(super) fn read(self) -> String {
        match self {
            DigestV1::Bytes(bytes) => {
                let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
                bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
            }
            DigestV1::Text(text) => text.to_owned(),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum AddressV1<'a> {
    Number(u64),
    Sip(&'a str),
}

impl<'a> AddressV1<'a> {
    pub(super) fn of(address: &'a Address) -> AddressV1<'a> {
        match address {
            Address::Number(number) => AddressV1::Number(number.digits()),
            Address::Sip(address) => AddressV1::Sip(address),
        }
    }

    pub(super) fn read(self) -> Result<Address, DecodeError> {
        match self {
            AddressV1::Number(digits) => number(digits).map(Address::Number),
            AddressV1::Sip(text) => Address::parse(text)
                .filter(|address| matches!(address, Address::Sip(_)))
                .ok_or(DecodeError::Invalid { what: "a SIP address" }),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum PayoutV1 {
    Fixed(i64),
    Share(u32),
}

impl PayoutV1 {
    pub(super) fn of(payout: &Payout) -> PayoutV1 {
        match payout {
            Payout::Fixed(amount) => PayoutV1::Fixed(amount.micros()),
            Payout::Share(part) => PayoutV1::Share(part.0),
        }
    }

    pub(super) fn read(self) -> Payout {
        match self {
            PayoutV1::Fixed(amount) => Payout::Fixed(money(amount)),
            PayoutV1::Share(part) => Payout::Share(Bps(part)),
        }
    }
}
