//! Tables of auctions: who is asked at what terms, what was read when, and after `=>` what came of it.
//!
//! A case runs from its `deadline` row to its `=>` row, times in milliseconds after the opening, bids alive for 30 s
//! unless they say `life`. The result names the winner, its price and the close, then the ranking with the reason each
//! lost to the winner, then whoever has no place. The parser takes no default that a row could mean otherwise.

use std::time::Duration;

use super::bid::{Bid, Reply, clean_note};
use super::{Auction, Entrant, Offer, Progress, Rules};
use crate::domain::{Address, Bps, Money, Reason, TargetIx, Timestamp};

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
    }
}

fn entrant(words: &[&str]) -> Entrant {
    let price = field(words, "price").map(money);
    let min_duration = Duration::from_secs(90);
    Entrant {
        target: TargetIx(0),
        tier: number(words, "tier", 1),
        priority: number(words, "priority", 100),
        weight: number(words, "weight", 1),
        multiplier: Bps(number(words, "multiplier", 100) * 100),
        floor: field(words, "floor").map(money).unwrap_or_default(),
        fixed: price.map(|price| Offer { price, min_duration, destination: None, expires: None }),
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
fn result(names: &[&str], auction: Auction, closed: Timestamp) -> String {
    let ranking = auction.close(closed);
    let mut said = Vec::new();
    match ranking.ranked.first() {
        None => said.push(format!("nobody at {}", closed.millis())),
        Some(best) => {
            let mut win =
                format!("win {} {} at {}", names[best.entrant], short(best.offer.price), closed.millis());
            if best.offer.min_duration != Duration::from_secs(90) {
                win += &format!(" min {}", best.offer.min_duration.as_secs());
            }
            win.extend(best.offer.destination.iter().map(|to| format!(" to {}", to.reveal())));
            said.push(win);
        }
    }
    for lost in ranking.ranked.iter().skip(1) {
        let reason = lost.lost_to(&ranking.ranked[0]);
        said.push(format!("{} {reason} {}", names[lost.entrant], short(lost.offer.price)));
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
    let mut closed = (auction.progress() == Progress::Settled).then(Timestamp::default);
    let mut expected = String::new();
    for words in &rows {
        match words[0] {
            "deadline" | "ask" | "static" => {}
            "=>" => expected = words[1..].join(" "),
            ms => {
                let who = names.iter().position(|name| *name == words[1]).expect("a member");
                if auction.on_reply(who, reply(words, at(ms)), at(ms)) == Progress::Settled {
                    closed = closed.or(Some(at(ms)));
                }
            }
        }
    }
    (expected, result(&names, auction, closed.unwrap_or(deadline)))
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
