//! The check of the ledger: what the carriers' reports imply is booked, once, to the micro-unit.

use std::collections::BTreeMap;

use super::books::decimal;
use super::paid::paid;
use super::{Call, Case, Check, Entry, Said};

/// Calls that may be excluded, in 1 of 1,000: on everyday networks one in a hundred or two has an end nobody can vouch for.
const UNKNOWN_MAX: (u64, u64) = (50, 1_000);

/// What a call comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    Nothing,
    /// By its attempt at this place.
    Bill {
        at: usize,
        target: usize,
        price_micros: i64,
    },
    /// A report got lost on the way, or who sets the price replied around the deadline: nobody outside can say what the
    /// exchange knows.
    Unknown,
}

/// What every call comes to, in the order of the calls.
pub(super) fn owed(case: &Case<'_>) -> Vec<Owed> {
    case.calls.iter().map(|call| owed_for(case, call)).collect()
}

fn owed_for(case: &Case<'_>, call: &Call) -> Owed {
    let mut bill = Owed::Nothing;
    for (at, attempt) in call.attempts.iter().enumerate() {
        let Some(target) = case.by_address.get(&*attempt.address).copied() else { continue };
        let is_last = at + 1 == call.attempts.len();
        let gone = if is_last { call.gone } else { Said::Never };
        let Some(end) = &attempt.end else {
            if call.cut_off {
                return Owed::Unknown;
            }
            continue; // never rung
        };
        let min = case.market.targets[target].min_duration_ms;
        let (least, most) = end.talk_ms(gone);
        if most < min {
            continue;
        }
        if least < min || bill != Owed::Nothing {
            return Owed::Unknown;
        }
        bill = match paid(case, call, at) {
            Some(price) if price.start() == price.end() => {
                Owed::Bill { at, target, price_micros: *price.start() }
            }
            _ => return Owed::Unknown,
        };
    }
    bill
}

pub(super) fn check(case: &Case<'_>, owed: &[Owed], counts: &mut BTreeMap<&'static str, i64>) -> Check {
    let mut check = Check::new(
        "money",
        "the ledger has what the reports imply, once, to the micro-unit (excluded: a report got lost, or a bid that sets the price came around the deadline; at most 5 %)",
    );
    let (mut implied, mut booked) = (0_i64, 0_i64);
    for (call, owed) in case.calls.iter().zip(owed).filter(|(call, _)| call.is_answered()) {
        check.examined += 1;
        let entries = case.book(call).map_or(&[][..], |book| &book.entries);
        let sum: i64 = entries.iter().map(|entry| entry.micros).sum();
        check.holds(sum == 0, || format!("{}: the entries sum to {}", call.carrier_call_id, decimal(sum)));
        let fault = match *owed {
            Owed::Unknown => {
                check.excluded += 1;
                continue;
            }
            Owed::Nothing if entries.is_empty() => None,
            Owed::Nothing => Some(format!("nothing is owed, and booked is {}", shown(entries))),
            Owed::Bill { at, target, price_micros } => {
                *counts.entry("billable").or_default() += 1;
                implied += price_micros;
                wrong_entries(case, entries, call.attempts[at].attempt, target, price_micros)
            }
        };
        booked +=
            entries.iter().filter(|entry| &*entry.kind == "revenue").map(|entry| entry.micros).sum::<i64>();
        check.holds(fault.is_none(), || format!("{}: {}", call.carrier_call_id, fault.unwrap_or_default()));
    }
    check.holds(implied == booked, || {
        format!("{} is owed in all, and {} is booked", decimal(implied), decimal(booked))
    });
    check.few_excluded(UNKNOWN_MAX);
    counts.insert("revenue_micros", booked);
    check
}

fn wrong_entries(
    case: &Case<'_>,
    entries: &[Entry],
    attempt: u32,
    target: usize,
    price_micros: i64,
) -> Option<String> {
    let (target, payout) = (&case.market.targets[target], case.market.payout_micros);
    let buyer = format!("buyer:{}", target.buyer);
    let expected = [
        ("revenue", buyer.as_str(), price_micros),
        ("payout", "publisher:", -payout),
        ("margin", "exchange", payout - price_micros),
    ];
    let is_there = |(kind, account, micros): &(&str, &str, i64)| {
        entries.iter().any(|entry| {
            let is_account = if account.ends_with(':') {
                entry.account.starts_with(account)
            } else {
                &*entry.account == *account
            };
            &*entry.kind == *kind && is_account && entry.micros == *micros
        })
    };
    let group = format!("attempt/{attempt}");
    let is_ours = |entry: &Entry| *entry.group == *group && *entry.target == *target.id;
    if entries.len() == expected.len() && expected.iter().all(is_there) && entries.iter().all(is_ours) {
        return None;
    }
    let price = decimal(price_micros);
    Some(format!("{} owes {price} for attempt {attempt}, and booked is {}", target.id, shown(entries)))
}

fn shown(entries: &[Entry]) -> String {
    let shown: Vec<String> = entries
        .iter()
        .take(6)
        .map(|entry| format!("{} {} {} {}", entry.group, entry.target, entry.account, decimal(entry.micros)))
        .collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}
