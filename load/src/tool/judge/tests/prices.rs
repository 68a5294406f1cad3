//! What is paid under second price, and after an auction was held anew.

use super::*;

/// Under second price: whoever takes a call pays what it needed, on record and in the ledger.
fn second_price() -> World {
    let mut world = world();
    world.market.second_price = true;
    for call in 0..CALLS as usize {
        pays(&mut world, call, 20_000_000);
    }
    world
}

/// The winner of this call pays this much.
fn pays(world: &mut World, call: usize, price: i64) {
    let payout = world.market.payout_micros;
    let address = world.calls[call].attempts[0].address.clone();
    let target = world.market.targets.iter().find(|target| *target.address == *address).unwrap().clone();
    let book = world.book(call);
    book.records[0].price_micros = Some(price);
    if !book.entries.is_empty() {
        book.entries = entries(&target, price, payout);
    }
    let revenue = world.books.calls.values().flat_map(|book| &book.entries);
    let revenue = revenue.filter(|entry| &*entry.kind == "revenue").map(|entry| entry.micros).sum::<i64>();
    world.books.counters.revenue_micros = revenue as u64;
}

#[test]
fn under_second_price_the_next_offer_is_paid() {
    // what is done to the others of call 4, whose bidder two wins with 30.00 | what it pays then
    type Others = fn(&mut World);
    let table: [(&str, Others, i64); 6] = [
        ("both others bid 20.00", |_| {}, 20_000_000),
        ("a tie", |w| w.reply(4, 0).bid_cents = Some(3_000), 30_000_000),
        (
            "the fixed price is next",
            |w| (0..3).step_by(2).for_each(|at| w.reply(4, at).bid_cents = None),
            15_000_000,
        ),
        (
            "nobody is next: the margin",
            |w| {
                (0..3).step_by(2).for_each(|at| w.reply(4, at).bid_cents = None);
                w.market.targets[3].in_auction = false;
                w.market.min_margin_micros = Some(500_000);
            },
            5_500_000,
        ),
        (
            "who is next came late",
            |w| w.reply(4, 0).replied_us = Some(BEGAN_US + 4_000_000 + 110_000),
            20_000_000,
        ),
        (
            "the next one is barred, and the other bid above its maximum",
            |w| {
                w.market.targets[0].barred = Some("geo");
                w.reply(4, 2).bid_cents = Some(4_100);
            },
            15_000_000,
        ),
    ];
    for (what, others, due) in table {
        for (price, is_right) in [(due, true), (due + 10_000, false), (due - 10_000, false)] {
            let mut world = second_price();
            others(&mut world);
            pays(&mut world, 4, price);
            let verdict = world.verdict();
            let wrong: Vec<&str> = ["recorded", "money"]
                .into_iter()
                .filter(|name| verdict.check(name).unwrap().examples.iter().any(|e| e.contains("sw-run-4:")))
                .collect();
            let expected: &[&str] = if is_right { &[] } else { &["recorded", "money"] };
            assert_eq!(wrong, expected, "{what}, and {price} is paid\n{verdict}");
        }
    }
    let verdict = second_price().verdict();
    assert!(verdict.is_green(), "{verdict}");
}

#[test]
fn who_may_set_the_price_around_the_deadline_leaves_it_open() {
    let mut world = second_price();
    // The next of call 4 replies 5 ms before the deadline: the price is its bid, the fixed price, or between.
    world.reply(4, 0).replied_us = Some(BEGAN_US + 4_000_000 + 95_000);
    world.reply(4, 2).bid_cents = None;
    world.calls[4].answered_us = Some(BEGAN_US + 4_000_000 + 101_000);
    world.outcome(4, "three", "no_bid", None);
    let verdict = world.verdict();
    assert_eq!(verdict.check("money").unwrap().excluded, 1, "{verdict}");
    for (price, wrong) in [(15_000_000, 0), (20_000_000, 0), (14_990_000, 1), (20_010_000, 1)] {
        pays(&mut world, 4, price);
        assert_eq!(world.verdict().check("recorded").unwrap().wrong, wrong, "{price}");
    }
}

/// After a failed attempt the auction is held anew: who won it pays by the replies of then, and the first auction is
/// judged by its own.
#[test]
fn an_auction_held_anew_is_judged_by_its_own_pings() {
    let anew = |price: i64| {
        let mut world = second_price();
        world.market.re_auction = true;
        let sent_us = BEGAN_US + 4_000_000;
        let asked_us = sent_us + 600_000;
        // Bidder two was busy; one bids 25.00 now and three 22.00.
        for (bidder, cents) in [(0, 2_500), (2, 2_200)] {
            world.seen.push(Seen {
                call: 4,
                bidder,
                received_us: asked_us + 1_000,
                replied_us: Some(asked_us + 6_000),
                given_up_us: None,
                bid_cents: Some(cents),
            });
        }
        let call = &mut world.calls[4];
        let busy = End { cause: "busy".into(), asked_on: Said::Taken, ..End::default() };
        let talk = call.attempts[0].end.replace(busy);
        let address = world.market.targets[0].address.as_str().into();
        let (step, attempt, offered_us) = (2, 2, asked_us + 8_000);
        call.attempts.push(Attempt { step, attempt, address, asked_us, offered_us, end: talk });
        let one = world.market.targets[0].clone();
        let payout = world.market.payout_micros;
        let book = world.book(4);
        book.records[0].attempts = 2;
        book.entries = entries(&one, price, payout);
        book.entries.iter_mut().for_each(|entry| entry.group = "attempt/2".into());
        world.market.is_alone = false;
        world.verdict()
    };
    let verdict = anew(22_000_000);
    assert!(verdict.is_green(), "{verdict}");
    assert_eq!(faults(&anew(20_000_000)), ["money"], "what the first auction's next bid needs");
    assert_eq!(faults(&anew(25_000_000)), ["money"], "its own bid");
}
