//! Bid tables and ranges of the simulated market, and what they come to, worked out a second time: by clocks that are so
//! many hours from UTC, and by what the script says of a call.

use std::fmt::Write;

use outcry::domain::Timestamp;
use outcry::domain::catalog::Limits;

use super::market::{NUMBERS, TWILIO};
use super::world::CallPlan;

/// Targets that bid by a table: target, buyer, its further lines.
pub const TABLES: [(&str, &str, &str); 2] =
    [("ant-table", "ant", "priority = 60\n"), ("eel-table", "eel", "min_duration_s = 45\n")];

/// Hours with terms of their own.
struct Range {
    /// Buyer or target.
    id: &'static str,
    /// Hours that its clock is behind UTC, in the winter of the script.
    behind: i64,
    hours: (i64, i64),
    price: Option<&'static str>,
    concurrency: Option<u32>,
    daily_billable: Option<u32>,
}

const fn range(id: &'static str, behind: i64, hours: (i64, i64)) -> Range {
    Range { id, behind, hours, price: None, concurrency: None, daily_billable: None }
}

const RANGES: [Range; 9] = [
    Range { concurrency: Some(5), ..range("ant", 6, (23, 24)) },
    Range { daily_billable: Some(150), ..range("ant", 6, (0, 1)) },
    Range { concurrency: Some(6), ..range("bee", 5, (0, 1)) },
    Range { price: Some("23.00"), ..range("cat-phone", 7, (22, 24)) },
    Range { price: Some("22.50"), concurrency: Some(2), ..range("cat-phone", 7, (0, 2)) },
    Range {
        price: Some("27.00"),
        concurrency: Some(2),
        daily_billable: Some(40),
        ..range("fox-phone", 6, (23, 24))
    },
    Range { concurrency: Some(4), ..range("fox-phone", 6, (0, 3)) },
    Range { price: Some("24.00"), concurrency: Some(3), ..range("ant-table", 6, (23, 24)) },
    Range { concurrency: Some(2), daily_billable: Some(25), ..range("eel-table", 0, (5, 7)) },
];

/// The line of the ranges of a buyer or target; empty without any.
pub fn range_lines(id: &str) -> String {
    let mut items = Vec::new();
    for range in RANGES.iter().filter(|range| range.id == id) {
        let (from, to) = range.hours;
        let mut item = format!("hours = [\"daily {from:02}:00-{to:02}:00\"]");
        range.price.iter().for_each(|price| write!(item, ", price = \"{price}\"").unwrap());
        range.concurrency.iter().for_each(|most| write!(item, ", concurrency = {most}").unwrap());
        range.daily_billable.iter().for_each(|most| write!(item, ", daily_billable = {most}").unwrap());
        items.push(format!("{{ {item} }}"));
    }
    if items.is_empty() { String::new() } else { format!("ranges = [{}]\n", items.join(", ")) }
}

/// The table of a target.
pub fn bids(id: &str) -> String {
    let ending_in = |digit: u32| -> String {
        let values: Vec<String> = (0..200).map(|ten| format!("\"{}\"", ten * 10 + digit)).collect();
        format!("{{ tag = \"n\", op = \"in\", value = [{}] }}", values.join(", "))
    };
    match id {
        "ant-table" => format!(
            "{{ base = \"20.00\", rows = [\
             {{ when = [{{ number = [\"{}\"] }}, {{ tag = \"n\", op = \"prefix\", value = \"1\" }}], bid = \"61.25\" }}, \
             {{ when = [{{ publisher = [\"pub-b\"] }}, {}], bid = \"0\" }}, \
             {{ when = [{}], bid = \"33.333333\" }}, \
             {{ when = [{{ hours = [\"daily 00:00-12:00\"] }}], bid = \"26.00\" }}] }}",
            NUMBERS[3],
            ending_in(7),
            ending_in(3),
        ),
        _ => "{ rows = [\
             { when = [{ state = [\"NY\"] }], bid = \"0\" }, \
             { when = [{ sub_id = [\"s\"] }, { hours = [\"daily 05:00-07:00\"] }], bid = \"15.50\" }, \
             { when = [{ state = [\"TX\", \"CA\"] }], bid = \"17.00\" }, \
             { when = [{ area_code = [303] }, { not = { tag = \"n\", op = \"prefix\", value = \"2\" } }], bid = \"21.000001\" }] }"
            .to_owned(),
    }
}

fn hour(behind: i64, at: Timestamp) -> i64 {
    (at.micros().div_euclid(3_600_000_000) - behind).rem_euclid(24)
}

fn range_at(id: &str, at: Timestamp) -> Option<&'static Range> {
    RANGES
        .iter()
        .find(|range| range.id == id && (range.hours.0..range.hours.1).contains(&hour(range.behind, at)))
}

fn micros(price: &str) -> i64 {
    let (whole, part) = price.split_once('.').expect("a point");
    whole.parse::<i64>().unwrap() * 1_000_000 + format!("{part:0<6}").parse::<i64>().unwrap()
}

/// The limits of a buyer or target at an instant, where `always` are those it has otherwise.
pub fn limits(id: &str, always: Limits, at: Timestamp) -> Limits {
    let own = range_at(id, at);
    Limits {
        concurrency: own.and_then(|range| range.concurrency).or(always.concurrency),
        daily_billable: own.and_then(|range| range.daily_billable).or(always.daily_billable),
    }
}

/// What a target with a fixed price asks at an instant.
pub fn price(id: &str, always: i64, at: Timestamp) -> i64 {
    range_at(id, at).and_then(|range| range.price).map_or(always, micros)
}

/// What a table bids for a call at an instant.
pub fn bid(id: &str, plan: &CallPlan, at: Timestamp) -> Option<i64> {
    let is_twilio = plan.carrier == TWILIO;
    let (n, number) = (plan.n.to_string(), plan.from.as_deref().unwrap_or(""));
    let ends_in = |digit: u32| plan.n % 10 == digit && plan.n < 2_000;
    let area = match plan.digits() {
        Some(digits) if is_twilio || number.starts_with("+1") => digits[..3].to_owned(),
        Some(_) | None => String::new(),
    };
    if id == "ant-table" {
        return match () {
            () if plan.to == NUMBERS[3] && n.starts_with('1') => Some(61_250_000),
            () if NUMBERS[3..6].contains(&plan.to) && ends_in(7) => None,
            () if ends_in(3) => Some(33_333_333),
            () if hour(6, at) < 12 => Some(26_000_000),
            () => Some(price(id, 20_000_000, at)),
        };
    }
    let in_new_york = plan.state.is_some() || area == "212";
    match area.as_str() {
        _ if in_new_york => None,
        _ if !is_twilio && (5..7).contains(&hour(0, at)) => Some(15_500_000),
        "512" | "415" => Some(17_000_000),
        "303" if !n.starts_with('2') => Some(21_000_001),
        _ => None,
    }
}
