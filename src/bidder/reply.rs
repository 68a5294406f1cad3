//! Reads a buyer's reply by the bid contract: status and body in, a bid or one named reason out.
//!
//! Whatever the bytes are, there is exactly one outcome, no panic, and no price the buyer did not write. What the
//! transport decides (`too_large`, `encoding`, `late`, Retry-After) is decided before; floors and ranking come after.

use std::time::Duration;

use super::document::{Document, Said};
use crate::auction::bid::{Bid, NoBid, Reply, clean_note};
use crate::domain::catalog::{DestinationRule, Endpoint};
use crate::domain::{Address, E164, Money, PingId, Reason, Target, Timestamp};

/// Shortest life of a bid, in seconds from its receipt; shorter ones are lengthened to it.
pub const TTL_S_MIN: u64 = 5;
/// Longest life of a bid, in seconds from its receipt; longer ones are shortened to it.
pub const TTL_S_MAX: u64 = 300;

/// What a reply is held against.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The ping it answers.
    pub ping_id: PingId,
    /// The deployment's currency.
    pub currency: &'a str,
    /// Bids are cut down to a multiple of this.
    pub money_step: Money,
    /// The target that was asked.
    pub target: &'a Target,
    /// Its endpoint.
    pub endpoint: &'a Endpoint,
    /// Whether a number is one of the exchange's own tracking numbers: sending a call there would loop.
    pub is_ours: &'a dyn Fn(E164) -> bool,
}

/// Reads one complete reply, overwriting its body. `received` is when its last byte came: the bid lives from then.
///
/// ```text
/// 200 {"ping_id":"01J…","bid":"25.50","ttl_s":30}   a bid of 25.50 for 30 s
/// 200 {"bid":0,"reason":"closed"}, 204              no_bid
/// 200 {"bid":"$25.50"}, 200 and nothing             malformed
/// ```
///
/// A priced reply that is refused carries its amount. Bids are compared with the maximum as cut at the sixth decimal,
/// before the money step. The terms of a reply that bids 0 are not looked at.
pub fn read(terms: &Terms<'_>, status: u16, body: &mut [u8], received: Timestamp) -> Reply {
    match status {
        200 => match Document::read(body) {
            Ok(said) => judge(terms, &said, received).map_or_else(Reply::NoBid, Reply::Bid),
            Err(flaw) => Reply::noted(Reason::Malformed, &flaw.to_string()),
        },
        204 => Reply::none(Reason::NoBid),
        429 => Reply::none(Reason::Throttled),
        300..=399 => Reply::noted(Reason::Redirect, &format!("status {status}")),
        _ => Reply::noted(Reason::HttpStatus, &format!("status {status}")),
    }
}

fn judge(terms: &Terms<'_>, said: &Document<'_>, received: Timestamp) -> Result<Bid, NoBid> {
    let price = price(&said.bid)?;
    let amount = match price {
        Price::Cut(amount) => Some(amount),
        Price::Nothing | Price::Beyond => None,
    };
    let priced = |refused: NoBid| NoBid { amount, ..refused };
    echo(terms, &said.ping_id).map_err(priced)?;
    if price == Price::Nothing {
        return Err(match said.reason {
            Said::Text(reason) if !reason.is_empty() => refusal(Reason::NoBid, reason),
            _ => NoBid { reason: Reason::NoBid, amount: None, note: None },
        });
    }
    currency(terms, &said.currency).map_err(priced)?;
    let amount = within(terms, amount).map_err(priced)?;
    let life = life(terms, &said.ttl_s).map_err(priced)?;
    let min_duration = min_duration(terms, &said.min_duration_s).map_err(priced)?;
    let destination = destination(terms, &said.destination).map_err(priced)?;
    Ok(Bid { amount, expires: received.after(life), destination, min_duration })
}

/// What a reply names as its price.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Price {
    /// Zero: no bid.
    Nothing,
    /// This much, cut at the sixth decimal. Less than a micro-unit is `Money::ZERO` here, and not `Nothing`.
    Cut(Money),
    /// More than money can hold.
    Beyond,
}

/// Numbers may have exponents; strings are plain decimals and nothing else.
fn price(said: &Said<'_>) -> Result<Price, NoBid> {
    match said {
        Said::Number(number) if number.is_negative => Err(malformed("bid has a minus sign")),
        Said::Number(number) if number.is_zero => Ok(Price::Nothing),
        Said::Number(number) => {
            Ok(number.micros.map_or(Price::Beyond, |m| Price::Cut(Money::from_micros(m))))
        }
        Said::Text(text) => match Money::parse_cut(text) {
            Ok((Money::ZERO, false)) => Ok(Price::Nothing),
            Ok((amount, _)) => Ok(Price::Cut(amount)),
            Err(crate::domain::money::MoneyError::TooLarge) => Ok(Price::Beyond),
            Err(_) => Err(malformed(&format!("bid is no plain decimal: {text}"))),
        },
        Said::Absent => Err(malformed("bid is missing")),
        Said::Other => Err(malformed("bid is neither a number nor a string")),
    }
}

/// A reply need not name its ping, but what it names must be it.
fn echo(terms: &Terms<'_>, said: &Said<'_>) -> Result<(), NoBid> {
    match said {
        Said::Absent => Ok(()),
        Said::Text(text) if PingId::parse(text) == Some(terms.ping_id) => Ok(()),
        Said::Text(text) => Err(refusal(Reason::PingMismatch, text)),
        Said::Number(_) | Said::Other => Err(malformed("ping_id is not a string")),
    }
}

fn currency(terms: &Terms<'_>, said: &Said<'_>) -> Result<(), NoBid> {
    match said {
        Said::Absent => Ok(()),
        Said::Text(text) if *text == terms.currency => Ok(()),
        Said::Text(text) => Err(refusal(Reason::BadCurrency, text)),
        Said::Number(_) | Said::Other => Err(malformed("currency is not a string")),
    }
}

/// Holds the price to the maximum and cuts it to the money step; `None` is more than money can hold.
fn within(terms: &Terms<'_>, amount: Option<Money>) -> Result<Money, NoBid> {
    let most = terms.endpoint.max_bid;
    let Some(amount) = amount.filter(|amount| *amount <= most) else {
        return Err(refusal(Reason::AboveMax, &format!("the maximum is {most}")));
    };
    let amount = amount.truncate_to(terms.money_step);
    if amount.is_positive() { Ok(amount) } else { Err(malformed("bid is below the money step")) }
}

/// How long the bid lives from its receipt.
fn life(terms: &Terms<'_>, said: &Said<'_>) -> Result<Duration, NoBid> {
    let asked = match said {
        Said::Absent => terms.endpoint.bid_ttl,
        Said::Number(number) if !number.is_negative && !number.is_zero => number
            .units()
            .map(Duration::from_secs)
            .ok_or_else(|| malformed("ttl_s is not a whole number of seconds"))?,
        Said::Number(_) => return Err(malformed("ttl_s is not positive")),
        Said::Text(_) | Said::Other => return Err(malformed("ttl_s is not a number")),
    };
    Ok(asked.clamp(Duration::from_secs(TTL_S_MIN), Duration::from_secs(TTL_S_MAX)))
}

fn min_duration(terms: &Terms<'_>, said: &Said<'_>) -> Result<Duration, NoBid> {
    let asked = match said {
        Said::Absent => return Ok(terms.target.min_duration),
        Said::Number(number) if !number.is_negative => number
            .units()
            .map(Duration::from_secs)
            .ok_or_else(|| malformed("min_duration_s is not a whole number of seconds"))?,
        Said::Number(_) => return Err(malformed("min_duration_s has a minus sign")),
        Said::Text(_) | Said::Other => return Err(malformed("min_duration_s is not a number")),
    };
    let most = terms.endpoint.max_min_duration;
    if asked <= most {
        Ok(asked)
    } else {
        Err(refusal(Reason::BadTerms, &format!("the longest minimum is {} s", most.as_secs())))
    }
}

/// Where the call goes, if not to the target's own address.
fn destination(terms: &Terms<'_>, said: &Said<'_>) -> Result<Option<Address>, NoBid> {
    let text = match said {
        Said::Absent => return Ok(None),
        Said::Text(text) => *text,
        Said::Number(_) | Said::Other => return Err(malformed("destination is not a string")),
    };
    let Some(address) = Address::parse(text) else {
        return Err(refusal(Reason::BadDestination, "neither a number in E.164 nor a SIP address"));
    };
    if address == terms.target.address {
        return Ok(None);
    }
    if may_ring(terms, &address) {
        Ok(Some(address))
    } else {
        Err(refusal(Reason::BadDestination, &address.to_string()))
    }
}

/// On the allow-list, and no rule of it opens premium, international or our own numbers, whatever it says.
fn may_ring(terms: &Terms<'_>, address: &Address) -> bool {
    let is_safe = |number: E164| !number.is_premium_or_international() && !(terms.is_ours)(number);
    let allowed = terms.endpoint.destinations.iter().any(|rule| match (rule, address) {
        (DestinationRule::Number(only), Address::Number(number)) => only == number,
        (DestinationRule::Prefix(prefix), Address::Number(number)) => {
            number.reveal().starts_with(prefix.as_str())
        }
        (DestinationRule::SipHost(host), Address::Sip(_)) => {
            address.sip_host().is_some_and(|named| named.eq_ignore_ascii_case(host))
        }
        (DestinationRule::Number(_) | DestinationRule::Prefix(_), Address::Sip(_))
        | (DestinationRule::SipHost(_), Address::Number(_)) => false,
    });
    allowed
        && match address {
            Address::Number(number) => is_safe(*number),
            Address::Sip(text) => match SipUser::of(text) {
                SipUser::Name => true,
                SipUser::Number(number) => is_safe(number),
                SipUser::Unclear => false,
            },
        }
}

/// Who a SIP address names: a gateway may dial a user that is a phone number.
enum SipUser {
    /// Nothing a gateway would dial outside.
    Name,
    /// This number.
    Number(E164),
    /// A number out of the plan, digits enough for one abroad, or escapes that could hide one.
    Unclear,
}

impl SipUser {
    fn of(address: &str) -> SipUser {
        let (_, rest) = address.split_once(':').unwrap_or(("", address));
        let user = rest.split(['@', ':']).next().unwrap_or(rest);
        let plain: String = user.chars().filter(|c| !"-.()".contains(*c)).collect();
        let is_digits = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
        let number = match plain.len() {
            _ if user.contains('%') => return SipUser::Unclear,
            _ if plain.starts_with('+') => E164::parse(&plain),
            _ if !is_digits => return SipUser::Name,
            _ if plain.starts_with("011") || plain.starts_with("00") => return SipUser::Unclear,
            10 => E164::parse(&format!("+1{plain}")),
            11 if plain.starts_with('1') => E164::parse(&format!("+{plain}")),
            11.. => return SipUser::Unclear,
            _ => return SipUser::Name,
        };
        number.map_or(SipUser::Unclear, SipUser::Number)
    }
}

fn refusal(reason: Reason, note: &str) -> NoBid {
    NoBid { reason, amount: None, note: Some(clean_note(note).into_owned()) }
}

fn malformed(note: &str) -> NoBid {
    refusal(Reason::Malformed, note)
}

#[cfg(test)]
mod tests;
