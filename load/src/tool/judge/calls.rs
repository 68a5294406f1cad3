//! Checks of requests and records: each call answered, on record once and as it was told, and nothing left over.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::books::decimal;
use super::paid::paid;
use super::{Call, Case, Check, Record};

pub(super) fn answered(case: &Case<'_>, counts: &mut BTreeMap<&'static str, i64>) -> Check {
    let mut check =
        Check::new("answered", "every request was answered with 200, or 503 where the scenario says so");
    for call in case.calls {
        check.examined += 1;
        let is_refused = call.status == 503 && case.market.refusals;
        *counts.entry("calls").or_default() += 1;
        *counts.entry("answered").or_default() += i64::from(call.is_answered());
        *counts.entry("refused").or_default() += i64::from(is_refused);
        if is_refused {
            check.excluded += 1;
            continue;
        }
        check.holds(call.is_answered(), || match call.status {
            0 => format!("{}: no answer", call.carrier_call_id),
            status => format!("{}: status {status}", call.carrier_call_id),
        });
    }
    check
}

pub(super) fn recorded(case: &Case<'_>) -> Check {
    let mut check =
        Check::new("recorded", "one record per answered call, as it was answered, and none that nobody sent");
    let mut by_name: HashMap<&str, u32> = HashMap::new();
    for record in case.books.calls.values().flat_map(|book| &book.records) {
        *by_name.entry(&record.carrier_call_id).or_default() += 1;
    }
    let mut sent = HashSet::new();
    for call in case.calls {
        sent.insert(&*call.carrier_call_id);
        if !call.is_answered() {
            continue;
        }
        check.examined += 1;
        let records = case.book(call).map_or(&[][..], |book| &book.records);
        match records {
            [record] => {
                let differs = difference(case, call, record);
                check.holds(differs.is_none(), || {
                    format!("{}: {}", call.carrier_call_id, differs.unwrap_or_default())
                });
                let count = by_name.get(&*call.carrier_call_id).copied().unwrap_or(0);
                check.holds(count <= 1, || format!("{}: {count} calls are on record", call.carrier_call_id));
            }
            _ => check.wrong(|| format!("{}: {} records", call.carrier_call_id, records.len())),
        }
    }
    let ours = |name: &str| name.contains(&*case.market.run);
    for (name, _) in by_name.iter().filter(|(name, _)| ours(name) && !sent.contains(*name)) {
        check.wrong(|| format!("{name}: on record, and nobody sent it"));
    }
    check
}

/// What a record says otherwise than the answer did.
fn difference(case: &Case<'_>, call: &Call, record: &Record) -> Option<String> {
    let pairs = [
        ("carrier_call_id", &*record.carrier_call_id, &*call.carrier_call_id),
        ("carrier", &*record.carrier, &*call.carrier),
        ("campaign", &*record.campaign, &*case.market.campaign),
        ("action", &*record.action, &*call.action),
        ("basis", &*record.basis, &*call.basis),
        ("reason", &*record.reason, &*call.reason),
    ];
    // What a dialect does not tell cannot be compared.
    let told_apart = pairs.iter().find(|(_, here, there)| here != there && !there.is_empty());
    if let Some((what, here, there)) = told_apart {
        return Some(format!("{what} is {here} on record and was {there}"));
    }
    let told: Vec<usize> =
        call.attempts.iter().filter_map(|attempt| case.by_address.get(&*attempt.address).copied()).collect();
    let is_known = |address: &str| {
        case.by_address.contains_key(address) || case.market.terminal.as_deref() == Some(address)
    };
    if let Some(strange) = call.attempts.iter().find(|attempt| !is_known(&attempt.address)) {
        return Some(format!("attempt {} went to an address no target has", strange.attempt));
    }
    // The record names who took the call in the end; which of those tried that is, is a matter of money.
    let on_record = record.target.as_deref();
    let is_told = match on_record {
        Some(name) => told.iter().any(|target| case.name(*target) == name),
        None => told.len() < call.attempts.len() || told.is_empty(),
    };
    if !is_told {
        return Some(format!("target {} is on record and was not told", on_record.unwrap_or("none")));
    }
    // Who asks on and stops is not told of an attempt that was handed out meanwhile.
    let tried = call.attempts.len() as u32;
    if record.attempts != tried && !call.cut_off {
        return Some(format!("{} attempts are on record and {tried} were told", record.attempts));
    }
    let first = call.attempts.iter().position(|attempt| attempt.step == 1);
    let price = first.and_then(|at| paid(case, call, at));
    let is_right = match (&price, record.price_micros) {
        (Some(price), Some(on_record)) => price.contains(&on_record),
        (price, on_record) => price.is_none() && on_record.is_none(),
    };
    let shown = |price: Option<i64>| price.map_or("none".to_owned(), decimal);
    (!is_right).then(|| {
        let was = price.map(|price| *price.start());
        format!("the price is {} on record and was {}", shown(record.price_micros), shown(was))
    })
}

pub(super) fn repeats(case: &Case<'_>) -> Check {
    let mut check = Check::new("repeats", "a request sent twice was answered with the same bytes");
    for call in case.calls {
        check.examined += u64::from(call.repeats);
        check.holds(call.repeats_differ == 0, || {
            format!("{}: {} of {} repeats differ", call.carrier_call_id, call.repeats_differ, call.repeats)
        });
    }
    check
}

pub(super) fn unexplained(case: &Case<'_>, counts: &mut BTreeMap<&'static str, i64>) -> Check {
    let mut check = Check::new(
        "unexplained",
        "no outcome, entry, ping or count without a call; nothing dropped, no panic",
    );
    let ours: HashSet<&str> = case.calls.iter().filter_map(|call| call.call_id.as_deref()).collect();
    // What the store has of other runs, and of calls whose answer got lost, is named by its record.
    let unanswered: HashSet<&str> =
        case.calls.iter().filter(|call| call.call_id.is_none()).map(|call| &*call.carrier_call_id).collect();
    for (call_id, book) in &case.books.calls {
        check.examined += 1;
        if ours.contains(&**call_id) {
            continue;
        }
        let is_known = |record: &Record| {
            let name = &*record.carrier_call_id;
            !name.contains(&*case.market.run) || unanswered.contains(name)
        };
        let (steps, entries) = (book.steps.len(), book.entries.len());
        let is_explained = !book.records.is_empty() && book.records.iter().all(is_known);
        check.holds(is_explained || (steps == 0 && entries == 0), || {
            format!("{call_id}: {steps} steps and {entries} entries of a call nobody sent")
        });
    }
    let numbers: HashSet<u64> = case.calls.iter().map(|call| call.number).collect();
    let strange = case.pings.numbers().filter(|number| !numbers.contains(number)).count() as u64;
    check.holds(strange == 0, || format!("{strange} pings were about calls nobody sent"));
    check.holds(!case.books.is_unsettled, || {
        "the store had not caught up when the time given was over".to_owned()
    });
    counters(case, &mut check, counts);
    check
}

fn counters(case: &Case<'_>, check: &mut Check, counts: &mut BTreeMap<&'static str, i64>) {
    let counted = &case.books.counters;
    check.examined += 4;
    for (name, count, may_be) in [
        ("records_dropped_total", counted.records_dropped, false),
        ("panics_total", counted.panics, false),
        ("unknown_reports_total", counted.unknown_reports, case.market.unknown_reports),
    ] {
        check.holds(count == 0 || may_be, || format!("{name} is {count}"));
    }
    if !case.market.is_alone {
        check.excluded += 1;
        return;
    }
    let answered = case.calls.iter().filter(|call| call.is_answered()).count() as u64;
    // Decided, and the answer got lost; or refused, and the repeat was not.
    let lost = case.calls.len() as u64 - answered;
    let decisions = counted.decisions;
    check.holds((answered..=answered + lost).contains(&decisions), || {
        format!("decisions_total is {decisions}, and {answered} calls were answered")
    });
    let booked = |kind: &str| -> i64 {
        let entries = case.books.calls.values().flat_map(|book| &book.entries);
        entries.filter(|entry| &*entry.kind == kind).map(|entry| entry.micros).sum()
    };
    for (kind, count) in
        [("revenue", counted.revenue_micros as i64), ("payout", -(counted.payout_micros as i64))]
    {
        let booked = booked(kind);
        check.holds(booked == count, || {
            format!("the ledger has {} of {kind}, the counter {}", decimal(booked), decimal(count))
        });
    }
    counts.insert("decisions", decisions as i64);
}
