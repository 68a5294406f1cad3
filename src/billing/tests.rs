//! Tables of settlements: one row of terms, then rows of ends, each with what the attempt is worth behind `=>`.
//!
//! ```text
//! terms price 25.50 min 90 share 7000 step 0.01     or: fixed 12; min_ms for milliseconds; `test` for a test call
//!   normal   caller 90000   => billable revenue 25.50 payout 17.85 margin 7.65
//!   no_answer carrier -     => no_answer
//! ```
//!
//! An end is its cause, who ended it, and the talk in milliseconds; `-` is nobody connected; `other_billed` where another
//! attempt of the call is billed. Amounts stand behind the
//! reason only where somebody owes something. Every row also checks that its ledger entries balance and say the same.

use std::time::Duration;

use super::ledger::{Kind, entries};
use super::{NEVER, Settlement, Terms, min_price, settle};
use crate::domain::{AttemptEnd, Bps, Cause, EndedBy, Margin, Money, Payout, Reason, TalkSource, Timestamp};

fn money(text: &str) -> Money {
    Money::parse(text).expect("an amount")
}

fn terms(words: &[&str]) -> Terms {
    let field = |key| words.iter().position(|word| *word == key).map(|at| words[at + 1]);
    let number = |key| field(key).map(|text| text.parse::<u64>().expect("a number"));
    let min_duration = match (number("min"), number("min_ms")) {
        (Some(seconds), None) => Duration::from_secs(seconds),
        (None, Some(ms)) => Duration::from_millis(ms),
        _ => panic!("either min or min_ms"),
    };
    let payout = match (field("fixed"), number("share")) {
        (Some(amount), None) => Payout::Fixed(money(amount)),
        (None, Some(bps)) => Payout::Share(Bps(bps as u32)),
        _ => panic!("either fixed or share"),
    };
    Terms {
        price: money(field("price").expect("a price")),
        min_duration,
        payout,
        money_step: field("step").map_or(money("0.01"), money),
        test: words.contains(&"test"),
    }
}

fn end(words: &[&str]) -> AttemptEnd {
    let talk_ms = (words[2] != "-").then(|| words[2].parse::<u64>().expect("milliseconds"));
    AttemptEnd {
        cause: Cause::parse(words[0]).expect("a cause"),
        ended_by: EndedBy::parse(words[1]).expect("whose doing"),
        connected: talk_ms.is_some(),
        talk_ms: talk_ms.unwrap_or(0),
        talk_source: if talk_ms.is_some() { TalkSource::Carrier } else { TalkSource::None },
        at: Timestamp::from_micros(1_000_000),
        handed_back: words.contains(&"handed_back"),
    }
}

fn result(settlement: &Settlement) -> String {
    let Settlement { revenue, payout, margin, .. } = settlement;
    match (settlement.billable, settlement.payable) {
        (true, true) => format!("{} revenue {revenue} payout {payout} margin {margin}", settlement.reason),
        (true, false) => format!("{} revenue {revenue} unpaid margin {margin}", settlement.reason),
        (false, payable) => {
            assert!(!payable, "payout requires billable");
            settlement.reason.to_string()
        }
    }
}

/// What holds for every settlement, whatever its terms.
fn balances(settlement: &Settlement) {
    let Settlement { revenue, payout, margin, .. } = *settlement;
    assert_eq!(revenue.checked_add(payout.negated()), Some(margin), "revenue less payout is margin");
    assert_eq!(settlement.billable, settlement.reason == Reason::Billable);
    assert_eq!(settlement.payable, payout.is_positive());
    let booked = entries(settlement);
    if !settlement.billable {
        assert_eq!((revenue, payout, margin), (Money::ZERO, Money::ZERO, Money::ZERO));
        assert_eq!(booked, [], "nobody owes anything: no entries");
        return;
    }
    assert_eq!(booked.iter().map(|entry| entry.amount.micros()).sum::<i64>(), 0, "a group balances");
    for (kind, amount) in
        [(Kind::Revenue, revenue), (Kind::Payout, payout.negated()), (Kind::Margin, margin.negated())]
    {
        let of_kind: Vec<Money> =
            booked.iter().filter(|entry| entry.kind == kind).map(|entry| entry.amount).collect();
        assert_eq!(of_kind, [amount], "one entry of {}", kind.as_str());
    }
}

fn check(table: &str) {
    let mut in_force = None;
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        if let Some(row) = row.strip_prefix("terms") {
            in_force = Some(terms(&row.split_whitespace().collect::<Vec<_>>()));
            continue;
        }
        let (ended, expected) = row.split_once("=>").expect("an end => its worth");
        let words: Vec<&str> = ended.split_whitespace().collect();
        assert!(matches!(words[3..], [] | ["other_billed"]), "cause, who, talk, other_billed: {row}");
        let terms = in_force.expect("terms above the first end");
        let settlement = settle(&terms, &end(&words), words.len() > 3);
        balances(&settlement);
        assert_eq!(result(&settlement), expected.trim(), "in `{row}` under {terms:?}");
    }
}

/// However much two attempts of a call were talked, one is billed.
#[test]
fn at_most_one_attempt_of_a_call_is_billed() {
    check(
        "terms price 25.50 min 90 fixed 12
           normal target  90000  => billable revenue 25.50 payout 12.00 margin 13.50
           normal target  90000 other_billed => already_billed
           normal target  89999 other_billed => too_short
           busy   target      - other_billed => busy",
    );
}

/// Scenario 9: the minimum is inclusive and counted in milliseconds.
#[test]
fn the_minimum_duration_is_inclusive() {
    check(
        "terms price 25.50 min 90 fixed 12
           normal target      0  => too_short
           normal target      1  => too_short
           normal target  89000  => too_short
           normal target  89999  => too_short
           normal target  90000  => billable revenue 25.50 payout 12.00 margin 13.50
           normal target  90001  => billable revenue 25.50 payout 12.00 margin 13.50
           normal target 18446744073709551615  => billable revenue 25.50 payout 12.00 margin 13.50
         # A minimum of nothing takes any talk, but somebody must have been connected.
         terms price 25.50 min 0 fixed 12
           normal target      0  => billable revenue 25.50 payout 12.00 margin 13.50
           normal target      -  => not_answered
         terms price 25.50 min_ms 1 fixed 12
           normal caller      0  => too_short
           normal caller      1  => billable revenue 25.50 payout 12.00 margin 13.50
         terms price 25.50 min_ms 14999 fixed 12
           normal caller  14998  => too_short
           normal caller  14999  => billable revenue 25.50 payout 12.00 margin 13.50",
    );
}

/// A connection of the minimum length is billable however it ended and whoever ended it; below it, nobody is.
#[test]
fn of_a_connected_call_only_the_length_counts() {
    for cause in Cause::ALL {
        for by in EndedBy::ALL {
            let (cause, by) = (cause.as_str(), by.as_str());
            check(&format!(
                "terms price 25 min 90 fixed 12
                   {cause} {by} 90000 => billable revenue 25.00 payout 12.00 margin 13.00
                   {cause} {by} 89999 => too_short"
            ));
        }
    }
}

/// Scenario 7 is in the rows of the caller: gone while it rang is nobody else's fault.
#[test]
fn nobody_connected_has_a_reason_by_cause_and_by_whose_doing() {
    check(
        "terms price 25 min 90 fixed 12
           normal     caller    -  => caller_abandon
           normal     target    -  => not_answered
           normal     carrier   -  => not_answered
           normal     exchange  -  => not_answered
           normal     unknown   -  => not_answered
           cancelled  caller    -  => caller_abandon
           cancelled  target    -  => not_answered
           cancelled  carrier   -  => not_answered
           cancelled  exchange  -  => not_answered
           cancelled  unknown   -  => not_answered
         # A caller who hangs up before the ring time is over is gone, whatever the carrier calls it.
           no_answer  caller    -  => caller_abandon
           no_answer  target    -  => no_answer
           no_answer  carrier   -  => no_answer
           no_answer  exchange  -  => no_answer
           no_answer  unknown   -  => no_answer
         # These only the destination or the way to it can cause.
           busy       caller    -  => busy
           busy       target    -  => busy
           busy       carrier   -  => busy
           busy       exchange  -  => busy
           busy       unknown   -  => busy
           rejected   caller    -  => rejected
           rejected   target    -  => rejected
           rejected   carrier   -  => rejected
           rejected   exchange  -  => rejected
           rejected   unknown   -  => rejected
           failed     caller    -  => failed
           failed     target    -  => failed
           failed     carrier   -  => failed
           failed     exchange  -  => failed
           failed     unknown   -  => failed",
    );
}

#[test]
fn payouts_are_fixed_or_a_share_cut_to_the_step() {
    check(
        "# Fixed: as agreed, the rest is margin, and a loss is a negative one.
         terms price 25.50 min 90 fixed 12.345678
           normal caller 90000  => billable revenue 25.50 payout 12.345678 margin 13.154322
         terms price 12 min 90 fixed 12
           normal caller 90000  => billable revenue 12.00 payout 12.00 margin 0.00
         terms price 10 min 90 fixed 12
           normal caller 90000  => billable revenue 10.00 payout 12.00 margin -2.00
         terms price 10 min 90 fixed 0
           normal caller 90000  => billable revenue 10.00 unpaid margin 10.00
           normal caller 89999  => too_short

         # A share is floored to the step; what is cut off is margin.
         terms price 25.50 min 90 share 7000
           normal caller 90000  => billable revenue 25.50 payout 17.85 margin 7.65
         terms price 25.55 min 90 share 7000
           normal caller 90000  => billable revenue 25.55 payout 17.88 margin 7.67
         terms price 10 min 90 share 3333
           normal caller 90000  => billable revenue 10.00 payout 3.33 margin 6.67
         terms price 10 min 90 share 6667
           normal caller 90000  => billable revenue 10.00 payout 6.66 margin 3.34
         terms price 19.99 min 90 share 9999
           normal caller 90000  => billable revenue 19.99 payout 19.98 margin 0.01
         terms price 25.50 min 90 share 10000
           normal caller 90000  => billable revenue 25.50 payout 25.50 margin 0.00
         terms price 25.50 min 90 share 0
           normal caller 90000  => billable revenue 25.50 unpaid margin 25.50
         terms price 0.01 min 90 share 9999
           normal caller 90000  => billable revenue 0.01 unpaid margin 0.01

         # The step is a setting: quarters, whole units, micro-units.
         terms price 25.50 min 90 share 7000 step 0.25
           normal caller 90000  => billable revenue 25.50 payout 17.75 margin 7.75
         terms price 25.50 min 90 share 7000 step 1
           normal caller 90000  => billable revenue 25.50 payout 17.00 margin 8.50
         terms price 10 min 90 share 3333 step 0.000001
           normal caller 90000  => billable revenue 10.00 payout 3.333 margin 6.667
         # A fixed payout is what was agreed, step or no step.
         terms price 25.50 min 90 fixed 12.34 step 0.25
           normal caller 90000  => billable revenue 25.50 payout 12.34 margin 13.16

         # Scenario 22: a bid of 40, a quote of 28.
         terms price 40 min 90 fixed 28
           normal caller 90000  => billable revenue 40.00 payout 28.00 margin 12.00
         terms price 30 min 90 fixed 28
           normal caller 90000  => billable revenue 30.00 payout 28.00 margin 2.00",
    );
}

#[test]
fn test_calls_never_bill_and_say_so_only_when_they_would_have() {
    check(
        "terms price 25 min 90 fixed 12 test
           normal    target 90000  => test
           normal    target 89999  => too_short
           busy      target     -  => busy
           cancelled caller     -  => caller_abandon",
    );
}

/// Scenario 4: each attempt is judged by itself, and at most the one that was connected bills.
/// Scenario 8: a target that hangs up at six seconds is not billed, nor is its caller.
/// Scenario 21: where nobody took the call, nobody owes anything.
#[test]
fn attempts_of_one_call_are_judged_one_by_one() {
    check(
        "# Bids 50, 40 and 30; the first two are not delivered, the third talks long enough.
         terms price 50 min 90 fixed 12
           busy      target      -  => busy
         terms price 40 min 90 fixed 12
           no_answer carrier     -  => no_answer
         terms price 30 min 90 fixed 12
           normal    caller 180000  => billable revenue 30.00 payout 12.00 margin 18.00

         # Ended below the recovery threshold by either side, then taken by the next at its own bid.
         terms price 50 min 90 fixed 12
           normal    target   6000  => too_short
           normal    caller   6000  => too_short
         terms price 40 min 90 fixed 12
           normal    target  90000  => billable revenue 40.00 payout 12.00 margin 28.00

         # All attempts used up.
         terms price 50 min 90 share 7000
           busy      target      -  => busy
           rejected  target      -  => rejected
           failed    carrier     -  => failed
           no_answer target      -  => no_answer
           cancelled caller      -  => caller_abandon",
    );
}

/// Whatever the terms: the three amounts add up and the entries sum to zero (checked in `balances`), no share exceeds
/// its part, and the cut is less than one step.
#[test]
fn amounts_add_up_for_any_terms() {
    let mut draw = crate::domain::draw::Draw::new(22);
    for _ in 0..20_000 {
        let price = Money::from_micros(1 + draw.below(1_000_000_000) as i64);
        let step = [1, 1_000, 10_000, 250_000, 1_000_000][draw.below(5) as usize];
        let part = draw.below(10_001) as u32;
        let payout = match draw.below(3) {
            0 => Payout::Fixed(Money::from_micros(draw.below(2_000_000_000) as i64)),
            _ => Payout::Share(Bps(part)),
        };
        let min_duration = Duration::from_secs(draw.below(181));
        let test = draw.below(10) == 0;
        let terms = Terms { price, min_duration, payout, money_step: Money::from_micros(step), test };
        let mut ended = end(&["normal", "caller", "-"]);
        (ended.connected, ended.talk_ms) = (draw.below(4) > 0, draw.below(181_000));
        let settlement = settle(&terms, &ended, false);
        balances(&settlement);
        let long_enough = u128::from(ended.talk_ms) >= min_duration.as_millis();
        assert_eq!(settlement.billable, ended.connected && long_enough && !test, "{terms:?} {ended:?}");
        if settlement.billable {
            assert_eq!(settlement.revenue, price);
            match payout {
                Payout::Fixed(amount) => assert_eq!(settlement.payout, amount),
                Payout::Share(part) => {
                    let cut = i128::from(price.micros()) * i128::from(part.0)
                        - i128::from(settlement.payout.micros()) * 10_000;
                    assert!((0..i128::from(step) * 10_000).contains(&cut), "{terms:?} {settlement:?}");
                    assert_eq!(settlement.payout.micros() % step, 0, "{terms:?} {settlement:?}");
                }
            }
        }
    }
}

/// What is left of the lowest price is what is asked for, and of a micro-unit less it is not.
#[test]
fn the_lowest_price_leaves_the_stricter_margin() {
    let table = "
        # payout       amount  percent   lowest price
        fixed 12       0       0         12.00
        fixed 12       1.50    0         13.50
        fixed 12       0       25%       16.00
        fixed 12       4       25%       16.00
        fixed 12       4.01    25%       16.01
        fixed 12       0       99.99%    120000.00
        # Scenario 22: of a bid of 40 a payout of 28 is left 12, and 25 % besides.
        fixed 28       12      25%       40.00
        fixed 28.01    12      25%       40.01
        fixed 30       12      25%       42.00
        fixed 45       12      25%       60.00
        fixed 45.01    12      25%       60.013334
        fixed 0        0       25%       0.00
        share 60%      0       0         0.00
        share 60%      0       40%       0.00
        share 60%      0       40.01%    never
        share 70%      12      25%       40.00
        share 75%      12      25%       48.00
        share 75.01%   12      25%       never
        share 100%     0       0         0.00
        share 100%     0.01    0         never
    ";
    let points =
        |text: &str| (text.trim_end_matches('%').parse::<f64>().expect("a figure") * 100.0).round() as u32;
    let rows = table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for row in rows {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let payout = match cells[0] {
            "fixed" => Payout::Fixed(Money::parse(cells[1]).expect(row)),
            _ => Payout::Share(Bps(points(cells[1]))),
        };
        let amount = Money::parse(cells[2]).expect(row);
        let margin = Margin { amount, percent: Bps(points(cells[3])) };
        let least = min_price(&payout, Some(margin));
        let said = if least == NEVER { "never".to_owned() } else { least.to_string() };
        assert_eq!(said, cells[4], "{row}");
        assert_eq!(min_price(&payout, None), Money::ZERO, "a loss is allowed");
        let leaves = |price: i64| {
            let ten_thousandths = match payout {
                Payout::Fixed(fixed) => i128::from(price - fixed.micros()) * 10_000,
                Payout::Share(part) => i128::from(price) * i128::from(10_000 - part.0),
            };
            ten_thousandths >= i128::from(amount.micros()) * 10_000
                && ten_thousandths >= i128::from(price) * i128::from(margin.percent.0)
        };
        if least != NEVER {
            assert!(leaves(least.micros()), "{row}");
            assert!(least == Money::ZERO || !leaves(least.micros() - 1), "{row}");
        }
    }
}
