//! Tables of auctions: who is asked at what terms, what was read when, and after `=>` what came of it.
//!
//! A case runs from its `deadline` row to its `=>` row, times in milliseconds after the opening, bids alive for 30 s
//! unless they say `life`. The result names the winner, its price and the close, then the ranking with the reason each
//! lost to the winner, then whoever has no place. What one pays is told where it is not what it bid: of the winner after
//! `pays`, of the others in brackets, as if all before it had failed. The parser takes no default that a row could mean otherwise: auctions
//! wait for everybody unless their first row says `early yes`. A winner that could not be held is a row `strike` at the
//! time of the close: the auction goes on from there.

mod invariants;

use std::time::Duration;

use super::bid::{Bid, Reply, clean_note};
use super::{Auction, Entrant, Offer, Progress, Rules};
use crate::domain::{Address, Bps, Money, PriceRule, Reason, Timestamp};

fn at(ms: &str) -> Timestamp {
    Timestamp::default().after(millis(ms))
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().expect("milliseconds"))
}

fn money(text: &str) -> Money {
    Money::parse(text).expect("an amount")
}

/// The value behind `key` in a row of keys and values.
fn field<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == key).map(|at| words[at + 1])
}

fn number<T: std::str::FromStr>(words: &[&str], key: &str, or: T) -> T {
    field(words, key).map_or(or, |text| text.parse().ok().expect("a number"))
}

fn rules(words: &[&str]) -> Rules {
    let amount = |key| field(words, key).map(money);
    Rules {
        closes: at(words[1]),
        floor: amount("floor").unwrap_or_default(),
        min_price: amount("min_price").unwrap_or_default(),
        takeover: amount("takeover"),
        guard: field(words, "guard").map_or(Duration::ZERO, millis),
        seed: number(words, "seed", 0),
        early: field(words, "early") == Some("yes"),
        price: match field(words, "price") {
            None | Some("first") => PriceRule::First,
            Some("second") => PriceRule::Second,
            Some(other) => panic!("no price rule {other}"),
        },
        money_step: money(field(words, "step").unwrap_or("0.01")),
    }
}

fn entrant(words: &[&str]) -> Entrant {
    let price = field(words, "price").map(money);
    let min_duration = Duration::from_secs(90);
    Entrant {
        tier: number(words, "tier", 1),
        priority: number(words, "priority", 100),
        weight: number(words, "weight", 1),
        multiplier: Bps(number(words, "multiplier", 100) * 100),
        floor: field(words, "floor").map(money).unwrap_or_default(),
        fixed: price.map(|price| Offer { price, min_duration, destination: None, expires: None }),
        ceiling: price.or(field(words, "ceiling").map(money)).unwrap_or(money("1000")),
        waited: field(words, "waited") != Some("no"),
    }
}

fn reply(words: &[&str], read: Timestamp) -> Reply {
    match words[2] {
        "bid" => Reply::Bid(Bid {
            amount: money(words[3]),
            expires: read.after(field(words, "life").map_or(Duration::from_secs(30), millis)),
            destination: field(words, "to").map(|text| Address::parse(text).expect("an address")),
            min_duration: Duration::from_secs(number(words, "min", 90)),
        }),
        reason => Reply::none(Reason::parse(reason).expect("a reason")),
    }
}

fn short(amount: Money) -> String {
    amount.to_string().replace(".00", "")
}

/// The winner and its terms, the rest of the ranking, then the others.
fn result(names: &[&str], auction: &Auction, closed: Timestamp) -> String {
    let ranking = auction.ranking(closed);
    let mut said = Vec::new();
    match ranking.ranked.first() {
        None => said.push(format!("nobody at {}", closed.millis())),
        Some(best) => {
            let mut win =
                format!("win {} {} at {}", names[best.entrant], short(best.offer.price), closed.millis());
            if best.pays != best.offer.price {
                win += &format!(" pays {}", short(best.pays));
            }
            if best.offer.min_duration != Duration::from_secs(90) {
                win += &format!(" min {}", best.offer.min_duration.as_secs());
            }
            win.extend(best.offer.destination.iter().map(|to| format!(" to {}", to.reveal())));
            said.push(win);
        }
    }
    for lost in ranking.ranked.iter().skip(1) {
        let reason = lost.lost_to(&ranking.ranked[0]);
        let pays =
            if lost.pays == lost.offer.price { String::new() } else { format!("({})", short(lost.pays)) };
        said.push(format!("{} {reason} {}{pays}", names[lost.entrant], short(lost.offer.price)));
    }
    for other in &ranking.unplaced {
        let amount = other.amount.map(|amount| format!(" {}", short(amount)));
        said.push(format!("{} {}{}", names[other.entrant], other.reason, amount.unwrap_or_default()));
    }
    said.join(" ")
}

/// Runs one case with this seed instead of its own; the expected result is returned beside what came.
fn run(case: &str, seed: Option<u64>) -> (String, String) {
    let rows: Vec<Vec<&str>> = case
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>())
        .filter(|words| !words.is_empty())
        .collect();
    let mut the_rules = rules(rows.iter().find(|words| words[0] == "deadline").expect("a deadline row"));
    the_rules.seed = seed.unwrap_or(the_rules.seed);
    let members: Vec<&Vec<&str>> = rows.iter().filter(|words| matches!(words[0], "ask" | "static")).collect();
    let names: Vec<&str> = members.iter().map(|words| words[1]).collect();
    let deadline = the_rules.closes;
    let mut auction = Auction::open(the_rules, members.iter().map(|words| entrant(words)).collect());
    let settled = |auction: &Auction, at| (auction.progress(at) == Progress::Settled).then_some(at);
    let mut closed = settled(&auction, Timestamp::default());
    let mut expected = String::new();
    let who = |name: &str| names.iter().position(|other| *other == name).expect("a member");
    for words in &rows {
        match (words[0], words.get(1)) {
            ("deadline" | "ask" | "static", _) => {}
            ("=>", _) => expected = words[1..].join(" "),
            (ms, Some(&"strike")) => {
                auction.strike(who(words[2]));
                closed = settled(&auction, at(ms));
            }
            (ms, _) if closed.is_none() => {
                auction.on_reply(who(words[1]), reply(words, at(ms)), at(ms));
                closed = settled(&auction, at(ms).min(deadline)).filter(|at| *at < deadline);
            }
            // What comes after the end finds nobody who gathers.
            _ => {}
        }
    }
    (expected, result(&names, &auction, closed.unwrap_or(deadline)))
}

fn check(table: &str) {
    for case in table.split("\n\n") {
        let (expected, came) = run(case, None);
        assert_eq!(came, expected, "in this case:\n{case}\n");
    }
}

#[test]
fn what_is_read_before_the_close_counts_once() {
    check(
        "deadline 300                                 # field.md scenario 1: late is not the auction's business
         ask  acme  floor 10
         ask  bolt  floor 10
          180 acme  bid 20
          420 bolt  bid 60
         =>   win acme 20 at 300   bolt pending

         deadline 300                                 # everybody answered: no waiting
         ask  acme
         ask  bolt
          180 acme  bid 20
          240 bolt  bid 60
         =>   win bolt 60 at 240   acme outbid 20

         deadline 300                                 # read to its end exactly at the close
         ask  acme
         ask  bolt
          299 acme  bid 20
          300 bolt  bid 60
         =>   win acme 20 at 300   bolt pending

         deadline 300                                 # the first reply stands
         ask  acme
         ask  bolt
          100 acme  bid 20
          110 acme  bid 80
          120 acme  no_bid
          200 bolt  bid 30
         =>   win bolt 30 at 200   acme outbid 20

         deadline 300                                 # a no-bid is an answer, a repeat does not stand for others
         ask  acme
         ask  bolt
           50 acme  no_bid
           60 acme  no_bid
         =>   nobody at 300   acme no_bid   bolt pending

         deadline 300                                 # scenario 21: nobody is left without a reason
         ask  acme
         ask  bolt
         ask  cord
         ask  dune  floor 12
           40 acme  malformed
           50 bolt  no_bid
           60 dune  bid 11
         =>   nobody at 300   acme malformed   bolt no_bid   cord pending   dune below_floor 11

         deadline 300                                 # terms travel with the bid
         ask  acme
           90 acme  bid 20.25 min 120 to sip:a@example.com
         =>   win acme 20.25 at 90 min 120 to sip:a@example.com",
    );
}

#[test]
fn fixed_prices_are_bids_that_need_no_asking() {
    check(
        "deadline 300                                 # nobody to wait for
         static acme price 20
         =>   win acme 20 at 0

         deadline 300                                 # scenario 2: everybody hangs, the fixed price is left
         ask    acme
         static bolt price 12
         =>   win bolt 12 at 300   acme pending

         deadline 300 guard 5000                      # it never expires and takes no reply
         static acme price 20
         ask    bolt
          100 acme  bid 90
          110 bolt  bid 19
         =>   win acme 20 at 110   bolt outbid 19

         deadline 300 guard 5000 floor 15 min_price 18
         static acme price 14
         static bolt price 15
         static cord price 18
         =>   win cord 18 at 0   acme below_floor 14   bolt margin 15",
    );
}

#[test]
fn floors_margin_and_life() {
    check(
        "deadline 300 floor 20                        # the highest floor counts, and it is inclusive
         ask  acme
         ask  bolt  floor 25
         ask  cord  floor 15
         ask  dune
           10 acme  bid 20
           20 bolt  bid 24.999999
           30 cord  bid 19.99
           40 dune  bid 19.999999
         =>   win acme 20 at 40   bolt below_floor 24.999999   cord below_floor 19.99   dune below_floor 19.999999

         deadline 300 floor 10 min_price 15           # payout and minimum margin, inclusive; the floor is named first
         ask  acme
         ask  bolt
         ask  cord
           10 acme  bid 15
           20 bolt  bid 14.99
           30 cord  bid 9.99
         =>   win acme 15 at 30   bolt margin 14.99   cord below_floor 9.99

         deadline 300 guard 5000                      # 5 s must be left when the auction closes
         ask  acme
         ask  bolt
         ask  cord
           10 acme  bid 20 life 5290
           20 bolt  bid 30 life 5279
         =>   win acme 20 at 300   bolt expired 30   cord pending

         deadline 300 guard 5000                      # the close is what counts, not the deadline
         ask  acme
         ask  bolt
           10 acme  bid 20 life 5011
           21 bolt  bid 19 life 5000
         =>   win acme 20 at 21   bolt outbid 19

         deadline 300 guard 5000 floor 10             # too low and too short-lived: too low
         ask  acme
           10 acme  bid 9 life 1
         =>   nobody at 10   acme below_floor 9",
    );
}

#[test]
fn second_price_is_what_it_takes_to_come_before_the_runner_up() {
    check(
        "deadline 300 price second floor 10           # each pays what who comes after it bid; the last the floor
         ask  acme
         ask  bolt
         ask  cord
           10 acme  bid 40
           20 bolt  bid 31
           30 cord  bid 25
         =>   win acme 40 at 30 pays 31   bolt outbid 31(25)   cord outbid 25(10)

         deadline 300 floor 10                        # first price: its own bid, whoever comes after
         ask  acme
         ask  bolt
           10 acme  bid 40
           20 bolt  bid 31
         =>   win acme 40 at 20   bolt outbid 31

         deadline 300 price second floor 10           # nobody comes after: the highest of the floors, its own included
         ask  acme  floor 22
         ask  bolt
           10 acme  bid 40
           20 bolt  no_bid
         =>   win acme 40 at 20 pays 22   bolt no_bid

         deadline 300 price second floor 10 min_price 13.50   # nor below what leaves the margin
         ask  acme
         ask  bolt
           10 acme  bid 40
           20 bolt  bid 13
         =>   win acme 40 at 20 pays 13.50   bolt margin 13

         deadline 300 price second                    # no floor at all: one step of money
         ask  acme
           10 acme  bid 40
         =>   win acme 40 at 10 pays 0.01

         deadline 300 price second floor 40           # never above its own bid
         ask  acme
           10 acme  bid 40
         =>   win acme 40 at 10

         deadline 300 price second floor 10           # a level score is its own price; the draw decides who pays it
         ask  acme  priority 1
         ask  bolt  priority 2
           10 acme  bid 30
           20 bolt  bid 30
         =>   win acme 30 at 20   bolt tie_lost 30(10)

         deadline 300 price second floor 10           # who could not be held sets no price
         ask  acme
         ask  bolt
         ask  cord
           10 acme  bid 40
           20 bolt  bid 31
           30 cord  bid 25
           30 strike bolt
         =>   win acme 40 at 30 pays 25   cord outbid 25(10)

         deadline 300 price second floor 10 guard 5000  # nor who dies too soon
         ask  acme
         ask  bolt
           10 acme  bid 40
           20 bolt  bid 31 life 1000
         =>   win acme 40 at 20 pays 10   bolt expired 31",
    );
}

#[test]
fn second_price_goes_by_scores_and_is_cut_to_the_step() {
    check(
        "deadline 300 price second floor 10           # a score of 45 by its own multiplier of 150 %
         ask  acme  multiplier 150
         ask  bolt
           10 acme  bid 40
           20 bolt  bid 45
         =>   win acme 40 at 20 pays 30   bolt outbid 45(10)

         deadline 300 price second floor 10           # the runner-up's multiplier counts too
         ask  acme
         ask  bolt  multiplier 80
           10 acme  bid 40
           20 bolt  bid 45
         =>   win acme 40 at 20 pays 36   bolt outbid 45(10)

         deadline 300 price second floor 10           # 20 / 1.5 = 13.333…: down to the step
         ask  acme  multiplier 150
         ask  bolt
           10 acme  bid 40
           20 bolt  bid 20
         =>   win acme 40 at 20 pays 13.33   bolt outbid 20(10)

         deadline 300 price second floor 13.335 step 0.25   # the floor is no multiple of the step, and is not cut
         ask  acme  multiplier 150
         ask  bolt
           10 acme  bid 40
           20 bolt  bid 20
         =>   win acme 40 at 20 pays 13.335   bolt outbid 20(13.335)

         deadline 300 price second floor 10           # a fixed price is a runner-up like others
         ask    acme
         static bolt price 21
           10 acme  bid 40
         =>   win acme 40 at 10 pays 21   bolt outbid 21

         deadline 300 price second floor 10           # and is paid as it is
         ask    acme
         static bolt price 41
           10 acme  bid 40
         =>   win bolt 41 at 10   acme outbid 40(10)",
    );
}

/// Scenario 20: tier 1 A 30, tier 2 B 45, takeover 50.
#[test]
fn tiers_and_takeover_under_either_price() {
    check(
        "deadline 300 takeover 50
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 30
           20 bolt  bid 45
         =>   win acme 30 at 20   bolt lower_tier 45

         deadline 300 takeover 50
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 30
           20 bolt  bid 55
         =>   win bolt 55 at 20   acme outbid 30

         deadline 300 takeover 50 price second floor 10   # the runner-up of a lower tier offers more: its own bid
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 30
           20 bolt  bid 45
         =>   win acme 30 at 20   bolt lower_tier 45(10)

         deadline 300 takeover 50 price second floor 10   # who took over pays what it beat
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 30
           20 bolt  bid 55
         =>   win bolt 55 at 20 pays 30   acme outbid 30(10)

         deadline 300 takeover 50 price second floor 10   # who comes next sets it, not who bid most
         ask  acme  tier 1
         ask  bolt  tier 2
         ask  cord  tier 1
           10 acme  bid 30
           20 bolt  bid 45
           30 cord  bid 20
         =>   win acme 30 at 30 pays 20   cord outbid 20   bolt lower_tier 45(10)",
    );
}

#[test]
fn second_price_waits_for_who_could_set_it() {
    check(
        "deadline 300 early yes                       # first price: bolt cannot win any more
         ask  acme
         ask  bolt  ceiling 35
           10 acme  bid 40
         =>   win acme 40 at 10   bolt pending

         deadline 300 early yes price second floor 10     # second price: but it may be the runner-up
         ask  acme
         ask  bolt  ceiling 35
           10 acme  bid 40
           90 bolt  bid 32
         =>   win acme 40 at 90 pays 32   bolt outbid 32(10)

         deadline 300 early yes price second floor 10     # not behind one that offers more than it may
         ask  acme
         ask  bolt  ceiling 35
         ask  cord
           10 acme  bid 40
           20 cord  bid 36
         =>   win acme 40 at 20 pays 36   cord outbid 36(10)   bolt pending

         deadline 300 early yes price second floor 10 takeover 30    # a lower tier that would take over comes before
         ask  acme
         ask  bolt  tier 3 ceiling 35
         ask  cord  tier 2
           10 acme  bid 40
           20 cord  bid 29
           90 bolt  bid 33
         =>   win acme 40 at 90 pays 33   bolt outbid 33(29)   cord lower_tier 29(10)",
    );
}

#[test]
fn the_order_is_score_value_priority_draw() {
    check(
        "deadline 300                                 # the multiplier moves the order, never the price
         ask  acme  multiplier 150
         ask  bolt
           10 acme  bid 20
           20 bolt  bid 29.99
         =>   win acme 20 at 20   bolt outbid 29.99

         deadline 300 floor 20                        # nor does it lift a bid over a floor
         ask  acme  multiplier 150
           10 acme  bid 19
         =>   nobody at 10   acme below_floor 19

         deadline 300                                 # equal scores: the higher price
         ask  acme  multiplier 150 priority 1
         ask  bolt  priority 2
           10 acme  bid 20
           20 bolt  bid 30
         =>   win bolt 30 at 20   acme tie_lost 20

         deadline 300                                 # then the lower priority, whatever the weight
         ask  acme  priority 2 weight 1000
         ask  bolt  priority 1
         ask  cord  priority 3
           10 acme  bid 20
           20 bolt  bid 20
           30 cord  bid 20
         =>   win bolt 20 at 30   acme tie_lost 20   cord tie_lost 20

         deadline 300 seed 1                          # then the draw: the same seed is the same order
         ask  acme
         ask  bolt
         ask  cord
           10 acme  bid 20
           20 bolt  bid 20
           30 cord  bid 20
         =>   win bolt 20 at 30   cord tie_lost 20   acme tie_lost 20

         deadline 300 seed 3                          # whoever answers first has no better ticket
         ask  acme
         ask  bolt
         ask  cord
           30 cord  bid 20
           40 bolt  bid 20
           50 acme  bid 20
         =>   win acme 20 at 50   cord tie_lost 20   bolt tie_lost 20

         deadline 300 seed 1                          # weight 0 comes last, in the order of the ids
         ask  acme  weight 0
         ask  bolt  weight 0
         ask  cord
           10 acme  bid 20
           20 bolt  bid 20
           30 cord  bid 20
         =>   win cord 20 at 30   acme tie_lost 20   bolt tie_lost 20",
    );
}

#[test]
fn tiers_and_takeover() {
    check(
        "deadline 300 takeover 50                     # field.md scenario 20
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 30
           20 bolt  bid 45
         =>   win acme 30 at 20   bolt lower_tier 45

         deadline 300 takeover 50
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 30
           20 bolt  bid 55
         =>   win bolt 55 at 20   acme outbid 30

         deadline 300 takeover 50                     # reaching it is enough
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 49.99
           20 bolt  bid 50
         =>   win bolt 50 at 20   acme outbid 49.99

         deadline 300 takeover 50                     # both above: by score
         ask  acme  tier 1
         ask  bolt  tier 2
           10 acme  bid 60
           20 bolt  bid 55
         =>   win acme 60 at 20   bolt outbid 55

         deadline 300 takeover 50                     # it joins the highest tier on offer, not a higher one
         ask  acme  tier 2 multiplier 200
         ask  bolt  tier 3
           10 acme  bid 30
           20 bolt  bid 55
         =>   win acme 30 at 20   bolt outbid 55

         deadline 300 takeover 50                     # the price must reach it, not the score
         ask  acme  tier 1
         ask  bolt  tier 2 multiplier 200
           10 acme  bid 30
           20 bolt  bid 49
         =>   win acme 30 at 20   bolt lower_tier 49

         deadline 300                                 # without one a tier is a tier; a loss to it is named so
         ask  acme  tier 1
         ask  bolt  tier 2
         ask  cord  tier 2
           10 acme  bid 30
           20 bolt  bid 900
           30 cord  bid 30
         =>   win acme 30 at 30   bolt lower_tier 900   cord lower_tier 30

         deadline 300 floor 20 takeover 50            # a high tier without a taker is none
         ask  acme  tier 1
         ask  bolt  tier 2
         ask  cord  tier 3
           10 acme  bid 19
           20 bolt  bid 21
           30 cord  bid 22
         =>   win bolt 21 at 30   cord lower_tier 22   acme below_floor 19",
    );
}

#[test]
fn the_draw_follows_the_weights_and_the_seed_alone() {
    let case = "deadline 300
         ask  acme  weight 1
         ask  bolt  weight 3
         ask  cord  weight 9
           10 acme  bid 20
           20 bolt  bid 20
           30 cord  bid 19
         =>   win bolt 20 at 30   acme tie_lost 20   cord outbid 19";
    let reordered = "deadline 300
         ask  acme  weight 1
         ask  bolt  weight 3
         ask  cord  weight 9
           20 bolt  bid 20
           25 cord  bid 19
           30 acme  bid 20
         =>";
    let mut first = 0;
    for seed in 0..4_000 {
        let (expected, came) = run(case, Some(seed));
        first += usize::from(came == expected);
        assert_eq!(came, run(reordered, Some(seed)).1, "replies in another order, seed {seed}");
    }
    assert!((2_900..=3_100).contains(&first), "bolt has three of four tickets and won {first} of 4,000");
}

#[test]
fn notes_are_fit_to_keep() {
    for (said, kept) in [
        ("closed until 09:00", "closed until 09:00"),
        ("no agents\r\nin TX\u{7}", "no agents  in TX "),
        ("caller 15125550123 blocked", "caller 1512••••••• blocked"),
        ("+1 (512) 555-0123 is a duplicate", "+1 (512) •••-•••• is a duplicate"),
        ("512.555.0123", "512.5••.••••"),
        ("http 503, code 1200", "http 503, code 1200"),
        ("５１２５５５０１２３", "５１２５••••••"),
        ("pay\u{202e}lip", "pay lip"),
    ] {
        assert_eq!(clean_note(said), kept);
    }
    assert_eq!(clean_note(&"é".repeat(70)).len(), 120, "cut between characters");
}

/// Scenario 19: whatever a reply was named, it is one reason, never a win, and nobody waits for its sender any more.
#[test]
fn every_useless_reply_is_an_answer_with_its_own_reason() {
    let reasons =
        Reason::ALL.iter().filter(|reason| matches!(reason.code(), 200..300) || **reason == Reason::NoBid);
    for reason in reasons {
        check(&format!(
            "deadline 300
             ask  acme
             ask  bolt
               10 acme  {reason}
               20 bolt  bid 1
             =>   win bolt 1 at 20   acme {reason}"
        ));
    }
}

/// Scenario 3, and what must not be taken for it.
#[test]
fn an_auction_ends_when_nobody_outstanding_could_come_first() {
    check(
        "deadline 300 early yes                       # bolt could not bid more
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
           40 acme  bid 50.01
         =>   win acme 50.01 at 40   bolt pending

         deadline 300 early no                        # the campaign waits for everybody
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
           40 acme  bid 50.01
         =>   win acme 50.01 at 300   bolt pending

         deadline 300 early yes                       # it could
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
           40 acme  bid 49.99
           90 bolt  bid 20
         =>   win acme 49.99 at 90   bolt outbid 20

         deadline 300 early yes                       # a tie would be drawn
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
           40 acme  bid 50
         =>   win acme 50 at 300   bolt pending

         deadline 300 early yes                       # but not against a better priority
         ask  acme  ceiling 100 priority 1
         ask  bolt  ceiling 50  priority 2
           40 acme  bid 50
         =>   win acme 50 at 40   bolt pending

         deadline 300 early yes                       # the score decides, not the price
         ask  acme  ceiling 100
         ask  bolt  ceiling 50  multiplier 200
           40 acme  bid 99
         =>   win acme 99 at 300   bolt pending

         deadline 300 early yes                       # scores level: the higher price
         ask  acme  ceiling 100
         ask  bolt  ceiling 50  multiplier 200
           40 acme  bid 100
         =>   win acme 100 at 40   bolt pending

         deadline 300 early yes floor 60              # a bid bolt may make would not be accepted
         ask  acme  ceiling 100 floor 10
         ask  bolt  ceiling 50
         ask  cord  ceiling 60  floor 61
           40 acme  bid 60
         =>   win acme 60 at 40   bolt pending   cord pending

         deadline 300 early yes min_price 51
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
           40 acme  bid 51
         =>   win acme 51 at 40   bolt pending

         deadline 300 early yes floor 60              # what is not acceptable is not in hand
         ask  acme  ceiling 100
         ask  bolt  ceiling 60
           40 acme  bid 59
         =>   nobody at 300   acme below_floor 59   bolt pending

         deadline 300 early yes guard 5000
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
           40 acme  bid 80 life 4999
         =>   nobody at 300   acme expired 80   bolt pending

         deadline 300 early yes floor 60              # nobody can bid what would be accepted
         ask  acme  ceiling 50
         ask  bolt  ceiling 59.99
         =>   nobody at 0   acme pending   bolt pending

         deadline 300 early yes                       # a fixed price is in hand from the start
         ask    acme  ceiling 19
         static bolt  price 20
         =>   win bolt 20 at 0   acme pending

         deadline 300 early yes                       # a no-bid can be what was waited for
         ask  acme  ceiling 30
         ask  bolt  ceiling 50
         ask  cord  ceiling 20
           40 acme  bid 30
           70 bolt  no_bid
         =>   win acme 30 at 70   bolt no_bid   cord pending",
    );
}

#[test]
fn an_early_end_knows_tiers_and_takeover() {
    check(
        "deadline 300 early yes                       # a lower tier never comes first
         ask  acme  tier 1
         ask  bolt  tier 2
           40 acme  bid 1
         =>   win acme 1 at 40   bolt pending

         deadline 300 early yes                       # a higher one always does
         ask  acme  tier 1 ceiling 2
         ask  bolt  tier 2
           40 bolt  bid 900
         =>   win bolt 900 at 300   acme pending

         deadline 300 early yes floor 3               # unless it cannot bid acceptably
         ask  acme  tier 1 ceiling 2
         ask  bolt  tier 2
           40 bolt  bid 900
         =>   win bolt 900 at 40   acme pending

         deadline 300 early yes takeover 50           # a lower tier that can reach the takeover is waited for
         ask  acme  tier 1
         ask  bolt  tier 2 ceiling 50
           40 acme  bid 30
         =>   win acme 30 at 300   bolt pending

         deadline 300 early yes takeover 50
         ask  acme  tier 1
         ask  bolt  tier 2 ceiling 49.99
           40 acme  bid 30
         =>   win acme 30 at 40   bolt pending

         deadline 300 early yes takeover 50           # a takeover bid rises with the highest tier
         ask  acme  tier 1 ceiling 54
         ask  bolt  tier 2
           40 bolt  bid 55
         =>   win bolt 55 at 40   acme pending

         deadline 300 early yes takeover 50
         ask  acme  tier 1 ceiling 55
         ask  bolt  tier 2
           40 bolt  bid 55
         =>   win bolt 55 at 300   acme pending

         deadline 300 early yes takeover 50           # between the two tiers nobody gets by own strength
         ask    acme  tier 2 ceiling 49 multiplier 300
         static bolt  tier 1 price 10
         ask    cord  tier 3
           40   cord  bid 55
         =>   win cord 55 at 40   bolt outbid 10   acme pending",
    );
}

#[test]
fn a_probe_is_not_waited_for_and_its_bid_counts() {
    check(
        "deadline 300 early no
         ask  acme
         ask  bolt  waited no
           40 acme  bid 20
         =>   win acme 20 at 40   bolt pending

         deadline 300 early no
         ask  acme
         ask  bolt  waited no
           30 bolt  bid 60
           40 acme  bid 20
         =>   win bolt 60 at 40   acme outbid 20

         deadline 300 early yes                       # it may be what settles the auction
         ask  acme  ceiling 50
         ask  bolt  waited no
           30 bolt  bid 60
         =>   win bolt 60 at 30   acme pending

         deadline 300 early no                        # nobody is waited for
         ask    acme  waited no
         static bolt  price 12
         =>   win bolt 12 at 0   acme pending",
    );
}

#[test]
fn a_winner_that_cannot_be_held_is_struck_and_the_auction_goes_on() {
    check(
        "deadline 300 early yes
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
         ask  cord  ceiling 50
           40 acme  bid 80
           40 strike acme
           90 bolt  bid 30
          120 cord  bid 35
         =>   win cord 35 at 120   bolt outbid 30

         deadline 300 early yes                       # settled again as soon as it can be
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
         ask  cord  ceiling 20
           40 acme  bid 80
           40 strike acme
           90 bolt  bid 30
         =>   win bolt 30 at 90   cord pending

         deadline 300 early yes                       # who came next is there already
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
         ask  cord  ceiling 20
           30 bolt  bid 30
           40 acme  bid 80
           40 strike acme
         =>   win bolt 30 at 40   cord pending

         deadline 300 early yes                       # nobody else
         ask  acme  ceiling 100
         ask  bolt  ceiling 50
           40 acme  bid 80
           40 strike acme
         =>   nobody at 300   bolt pending

         deadline 300 early yes takeover 50           # a tier whose taker is gone is none
         ask  acme  tier 1
         ask  bolt  tier 2 multiplier 200
         ask  cord  tier 3
           10 bolt  bid 49
           20 cord  bid 55
           30 acme  bid 60
           30 strike acme
         =>   win bolt 49 at 30   cord outbid 55",
    );
}

/// The next of equals must be drawn with a ticket of its own, not with the one that chose the struck.
#[test]
fn after_a_strike_the_draw_goes_on_where_it_was() {
    let case = |struck: &str| {
        format!(
            "deadline 300
             ask  acme
             ask  bolt
             ask  cord
               10 acme  bid 20
               20 bolt  bid 20
               30 cord  bid 20
               {struck}
             =>"
        )
    };
    let mut next = [0; 2];
    for seed in 0..3_000 {
        let whole = run(&case(""), Some(seed)).1;
        let names: Vec<&str> =
            whole.split_whitespace().filter(|word| ["acme", "bolt", "cord"].contains(word)).collect();
        let after = run(&case(&format!("30 strike {}", names[0])), Some(seed)).1;
        assert!(after.starts_with(&format!("win {} 20", names[1])), "seed {seed}: {whole}, then {after}");
        next[usize::from(names[1] > names[2])] += 1;
    }
    assert!(next.iter().all(|n| (1_400..=1_600).contains(n)), "{next:?} of 3,000");
}

mod early_close_in_all_its_cases {
    //! Small auctions at random: whenever one says that it is settled, every way the outstanding bids could still come
    //! is tried, and none has another winner or another price; whenever it waits, there is one that would.

    use super::*;
    use crate::domain::draw::Draw;

    const CASES: u64 = 6_000;
    /// Seeds tried to find a draw that a late bid would win.
    const SEEDS: u64 = 40;

    fn dollars(n: u64) -> Money {
        Money::from_micros(n as i64 * 1_000_000)
    }

    struct Case {
        rules: Rules,
        entrants: Vec<Entrant>,
        replies: Vec<Option<Money>>,
        struck: Option<usize>,
    }

    impl Case {
        fn drawn(draw: &mut Draw) -> Case {
            let mut one_of = |options: &[u64]| options[draw.below(options.len() as u64) as usize];
            let rules = Rules {
                closes: at("300"),
                floor: dollars(one_of(&[0, 0, 2])),
                min_price: dollars(one_of(&[0, 0, 3])),
                takeover: Some(one_of(&[0, 3, 4])).filter(|bar| *bar > 0).map(dollars),
                guard: Duration::ZERO,
                seed: 0,
                early: true,
                price: [PriceRule::First, PriceRule::Second][one_of(&[0, 1]) as usize],
                money_step: Money::from_micros(10_000),
            };
            let mut entrants = Vec::new();
            let mut replies = Vec::new();
            for _ in 0..one_of(&[2, 3, 3, 4]) {
                let ceiling = one_of(&[1, 2, 3, 4, 5]);
                let is_fixed = one_of(&[0, 0, 0, 1]) == 1;
                let price = dollars(ceiling);
                let terms = Offer { price, min_duration: Duration::ZERO, destination: None, expires: None };
                entrants.push(Entrant {
                    tier: one_of(&[1, 1, 2, 3]) as u8,
                    priority: one_of(&[1, 1, 2]) as u16,
                    weight: one_of(&[1, 2]) as u32,
                    multiplier: Bps(one_of(&[5_000, 10_000, 10_000, 20_000]) as u32),
                    floor: dollars(one_of(&[0, 0, 2])),
                    fixed: is_fixed.then_some(terms),
                    ceiling: price,
                    waited: true,
                });
                let bid = one_of(&[0, 1, 2, 3, 4, 5]).min(ceiling);
                replies.push(Some(dollars(bid)).filter(|_| !is_fixed && one_of(&[0, 1]) == 1));
            }
            let struck = Some(one_of(&[0, 1, 9, 9, 9, 9]) as usize).filter(|at| *at < entrants.len());
            Case { rules, entrants, replies, struck }
        }

        fn auction(&self, replies: &[Option<Money>], seed: u64) -> Auction {
            let rules = Rules { seed, ..self.rules.clone() };
            let mut auction = Auction::open(rules, self.entrants.clone());
            for (entrant, amount) in replies.iter().enumerate() {
                let Some(amount) = *amount else { continue };
                let bid =
                    Bid { amount, expires: at("9000"), destination: None, min_duration: Duration::ZERO };
                auction.on_reply(entrant, Reply::Bid(bid), at("1"));
            }
            self.struck.into_iter().for_each(|entrant| auction.strike(entrant));
            auction
        }

        /// Every way the outstanding could still bid, no bid (`None`) included.
        fn completions(&self) -> Vec<Vec<Option<Money>>> {
            let mut all = vec![self.replies.clone()];
            for (at, entrant) in self.entrants.iter().enumerate() {
                if entrant.fixed.is_none() && self.replies[at].is_none() {
                    let most = entrant.ceiling.micros() / 1_000_000;
                    let bids = (0..=most as u64).map(|n| Some(dollars(n))).chain([None]);
                    let with = |bid: Option<Money>| {
                        all.iter().cloned().map(move |mut one: Vec<_>| {
                            one[at] = bid;
                            one
                        })
                    };
                    all = bids.flat_map(with).collect();
                }
            }
            all
        }
    }

    /// Who comes first, and what it pays.
    fn winner(auction: &Auction) -> Option<(usize, Money)> {
        auction.ranking(at("2")).ranked.first().map(|first| (first.entrant, first.pays))
    }

    #[test]
    fn settled_means_that_no_bid_changes_the_winner_and_waiting_that_one_would() {
        let mut draw = Draw::new(20_261_121);
        let (mut early, mut waits) = (0, 0);
        for n in 0..CASES {
            let case = Case::drawn(&mut draw);
            let told = |what: &str| {
                let Case { rules, entrants, replies, struck } = &case;
                format!("case {n} {what}:\n{rules:?}\n{entrants:#?}\n{replies:?} struck {struck:?}")
            };
            let now = case.auction(&case.replies, n);
            // The struck one's own outstanding bid is not what anybody waits for here.
            if case.struck.is_some_and(|at| case.replies[at].is_none() && case.entrants[at].fixed.is_none()) {
                continue;
            }
            if now.awaited().next().is_none() {
                assert_eq!(now.progress(at("2")), Progress::Settled, "{}", told("has nobody out"));
                continue;
            }
            let completions = case.completions();
            match now.progress(at("2")) {
                Progress::Settled => {
                    early += 1;
                    for bids in &completions {
                        let then = winner(&case.auction(bids, n));
                        assert_eq!(then, winner(&now), "{}", told(&format!("changes with {bids:?}")));
                    }
                }
                // Under second price one that could come second is waited for, though floor or bid may be the price anyway.
                Progress::Waiting if winner(&now).is_some() && case.rules.price == PriceRule::First => {
                    waits += 1;
                    let could_change = (0..SEEDS).any(|seed| {
                        let first = winner(&case.auction(&case.replies, seed));
                        completions.iter().any(|bids| winner(&case.auction(bids, seed)) != first)
                    });
                    assert!(could_change, "{}", told("waits for nothing"));
                }
                // Nobody in hand: whoever bids first may win, and perhaps nobody can.
                Progress::Waiting => {}
            }
        }
        assert!(early > 500 && waits > 500, "{early} settled early, {waits} waited");
    }
}
