//! Books that are right, and one doctored for each fault a check must find.

mod prices;

use std::sync::Arc;

use super::*;
use crate::tool::market;
use crate::tool::scenario::Server;
use crate::tool::shipped::Source;

/// The first call's request, in µs.
const BEGAN_US: u64 = 1_790_000_000_000_000;
const CALLS: u64 = 20;
const DEADLINE_MS: u64 = 100;

struct World {
    market: Market,
    calls: Vec<Call>,
    seen: Vec<Seen>,
    books: Books,
}

impl World {
    fn nothing() -> World {
        World { market: Market::default(), calls: Vec::new(), seen: Vec::new(), books: Books::default() }
    }

    fn verdict(&self) -> Verdict {
        judge(&self.market, &self.calls, &self.seen, &self.books)
    }

    fn book(&mut self, call: usize) -> &mut CallBook {
        let call_id = self.calls[call].call_id.clone().unwrap();
        self.books.calls.get_mut(&call_id).unwrap()
    }

    /// Changes the outcome of a target of the first step.
    fn outcome(&mut self, call: usize, target: &str, reason: &str, amount: Option<i64>) {
        let at = self.books.target(target).unwrap();
        let outcomes = &mut self.book(call).steps[0].outcomes;
        let outcome = outcomes.iter_mut().find(|outcome| outcome.target == at).unwrap();
        (outcome.reason, outcome.amount_micros) = (Reason::of(reason), amount);
    }

    fn reply(&mut self, call: usize, bidder: u16) -> &mut Seen {
        let number = self.calls[call].number;
        self.seen.iter_mut().find(|seen| seen.call == number && seen.bidder == bidder).unwrap()
    }

    /// Hands the call to another target, consistently in everything but the rules.
    fn hand_to(&mut self, call: usize, target: usize, price: i64) {
        let before = self.calls[call].attempts[0].address.clone();
        let from = self.market.targets.iter().position(|t| *t.address == *before).unwrap();
        let from_price = match self.market.targets[from].price {
            Price::Fixed { micros } => micros,
            Price::Bids { bidder, .. } => i64::from(self.reply(call, bidder).bid_cents.unwrap()) * 10_000,
        };
        let (to, address) =
            (self.market.targets[target].clone(), self.market.targets[target].address.clone());
        let from = self.market.targets[from].id.clone();
        self.outcome(call, &from, "outbid", Some(from_price));
        self.outcome(call, &to.id, "won", Some(price));
        self.calls[call].attempts[0].address = address.into();
        let payout = self.market.payout_micros;
        let book = self.book(call);
        book.records[0].target = Some(to.id.as_str().into());
        book.records[0].price_micros = Some(price);
        let is_billed = !book.entries.is_empty();
        book.entries = if is_billed { entries(&to, price, payout) } else { Vec::new() };
    }
}

fn entries(target: &Target, price: i64, payout: i64) -> Vec<Entry> {
    let entry = |kind: &str, account: &str, micros| Entry {
        group: "attempt/1".into(),
        kind: kind.into(),
        account: account.into(),
        target: target.id.as_str().into(),
        micros,
    };
    vec![
        entry("revenue", &format!("buyer:{}", target.buyer), price),
        entry("payout", "publisher:pub", -payout),
        entry("margin", "exchange", payout - price),
    ]
}

fn market() -> Market {
    let target = |id: &str, place: usize, price, in_auction| Target {
        id: id.to_owned(),
        buyer: id.to_owned(),
        address: format!("+1512555090{place}"),
        price,
        in_auction,
        barred: None,
        concurrency: (place == 2).then_some(1),
        daily_billable: (place == 2).then_some(20),
        min_duration_ms: 90_000,
    };
    let bids = |bidder| Price::Bids { bidder, max_micros: 40_000_000 };
    Market {
        campaign: "auto".to_owned(),
        deadline_ms: DEADLINE_MS,
        early_close: true,
        floor_micros: 1_000_000,
        payout_micros: 5_000_000,
        min_margin_micros: Some(0),
        targets: vec![
            target("one", 0, bids(0), true),
            target("two", 1, bids(1), true),
            target("three", 2, bids(2), true),
            target("desk", 3, Price::Fixed { micros: 15_000_000 }, true),
            target("last", 4, Price::Fixed { micros: 8_000_000 }, false),
        ],
        run: "-run-".to_owned(),
        is_alone: true,
        ..Market::default()
    }
}

/// Twenty calls, a second apart. Who wins goes round: the call's number names who bids 30.00; the others bid 20.00.
/// Every other call is billable.
fn world() -> World {
    let market = market();
    let mut world = World { calls: Vec::new(), seen: Vec::new(), books: Books::default(), market };
    for number in 0..CALLS {
        let sent_us = BEGAN_US + number * 1_000_000;
        let best = (number % 3) as u16;
        let cents = |bidder: u16| if bidder == best { 3_000 } else { 2_000 };
        for bidder in 0..3 {
            world.seen.push(Seen {
                call: number,
                bidder,
                received_us: sent_us + 1_000,
                replied_us: Some(sent_us + 6_000),
                given_up_us: None,
                bid_cents: Some(cents(bidder)),
            });
        }
        let winner = world.market.targets[usize::from(best)].clone();
        let talked_ms = if number % 2 == 0 { 90_000 } else { 89_999 };
        let told_us = sent_us + 500_000;
        let end = End {
            cause: "normal".into(),
            talked_ms,
            stated_ms: Some(talked_ms),
            answered: Said::Taken,
            bridged: Said::Taken,
            ended: Said::Taken,
            told_us: Some(told_us),
            taken_us: Some(told_us + 50_000),
            ..End::default()
        };
        let (call_id, name) = (format!("{number:026}"), format!("sw-run-{number}"));
        world.calls.push(Call {
            number,
            carrier: "sw".into(),
            carrier_call_id: name.as_str().into(),
            sent_us,
            answered_us: Some(sent_us + 8_000),
            status: 200,
            call_id: Some(call_id.as_str().into()),
            action: "dial".into(),
            basis: "auction".into(),
            reason: "won".into(),
            attempts: vec![Attempt {
                step: 1,
                attempt: 1,
                address: Arc::from(&*winner.address),
                asked_us: sent_us,
                offered_us: sent_us + 8_000,
                end: Some(end),
            }],
            repeats: 1,
            ..Call::default()
        });
        let record = Record {
            carrier: "sw".into(),
            carrier_call_id: name.into(),
            campaign: "auto".into(),
            basis: "auction".into(),
            action: "dial".into(),
            reason: "won".into(),
            target: Some(winner.id.as_str().into()),
            price_micros: Some(30_000_000),
            attempts: 1,
        };
        let mut outcomes = Vec::new();
        for target in world.market.targets.clone() {
            let (reason, amount_micros) = match target.price {
                Price::Bids { bidder, .. } if bidder == best => ("won", Some(30_000_000)),
                Price::Bids { .. } => ("outbid", Some(20_000_000)),
                Price::Fixed { micros } if target.in_auction => ("outbid", Some(micros)),
                Price::Fixed { .. } => ("not_reached", None),
            };
            let at = world.books.target(&target.id).unwrap();
            outcomes.push(Outcome { target: at, reason: Reason::of(reason), amount_micros });
        }
        let step = StepBook { step: 1, is_final: true, closed_in_us: 7_000, outcomes: outcomes.into() };
        let booked = if number % 2 == 0 { entries(&winner, 30_000_000, 5_000_000) } else { Vec::new() };
        *world.books.call(&call_id) = CallBook { records: vec![record], steps: vec![step], entries: booked };
    }
    let billed = CALLS / 2;
    world.books.counters = Counters {
        decisions: CALLS,
        revenue_micros: billed * 30_000_000,
        payout_micros: billed * 5_000_000,
        ..Counters::default()
    };
    world
}

fn faults(verdict: &Verdict) -> Vec<&'static str> {
    verdict.checks.iter().filter(|check| check.wrong > 0).map(|check| check.name).collect()
}

#[test]
fn right_books_are_green() {
    let verdict = world().verdict();
    assert!(verdict.is_green(), "{verdict}");
    assert_eq!(verdict.check("answered").unwrap().examined, CALLS);
    assert_eq!(verdict.check("outcomes").unwrap().examined, CALLS * 5);
    assert_eq!(verdict.counts["billable"], CALLS as i64 / 2);
    assert_eq!(verdict.counts["revenue_micros"], 300_000_000);
    assert!(verdict.checks.iter().all(|check| check.excluded == 0), "{verdict}");
}

/// In these calls bidder two says at once that it does not bid, or ends the connection: its log shows both alike. What
/// the exchange makes of it is this.
fn answers_without_a_bid(world: &mut World, calls: std::ops::Range<usize>, reason: &str) {
    for call in calls {
        if call % 3 == 1 {
            world.hand_to(call, 0, 20_000_000);
        }
        world.reply(call, 1).bid_cents = None;
        world.outcome(call, "two", reason, None);
    }
}

/// This call's ping was not sent to bidder two.
fn is_sidelined(world: &mut World, call: usize) {
    if call % 3 == 1 {
        world.hand_to(call, 0, 20_000_000);
    }
    world.seen.retain(|seen| (seen.call, seen.bidder) != (call as u64, 1));
    world.outcome(call, "two", "unresponsive", None);
}

/// What is done to right books, and the checks that must find it.
type Row = (&'static str, fn(&mut World), &'static [&'static str]);

#[test]
fn every_fault_is_found() {
    let table: &[Row] = &[
        ("no answer", |w| (w.calls[3].status, w.calls[3].answered_us) = (0, None), &["answered"]),
        ("refused, and nobody said it may be", |w| w.calls[4].status = 503, &["answered"]),
        ("no record", |w| w.book(3).records.clear(), &["recorded"]),
        ("two records", |w| w.book(3).records.push(Record::default()), &["recorded"]),
        (
            "a second call of the same name",
            |w| {
                let record = w.book(3).records[0].clone();
                w.books.call("second").records.push(record);
            },
            &["recorded"],
        ),
        ("no call at all", |w| *w = World { market: market(), ..World::nothing() }, &["answered"]),
        (
            "nobody answered, where all may be refused",
            |w| {
                w.market.refusals = true;
                for call in &mut w.calls {
                    *call = Call { number: call.number, status: 503, ..Call::default() };
                }
                w.seen.clear();
                w.books = Books::default();
            },
            &["answered"],
        ),
        (
            "nothing to look at",
            |w| w.books.calls.values_mut().for_each(|book| book.steps.clear()),
            &["outcomes", "winner"],
        ),
        ("nobody configured", |w| w.market.targets.clear(), &["outcomes"]),
        (
            "nobody can say what is owed of one call in ten",
            |w| {
                for call in [2, 4] {
                    w.calls[call].attempts[0].end.as_mut().unwrap().ended = Said::Perhaps;
                    w.books.counters.revenue_micros -= 30_000_000;
                    w.books.counters.payout_micros -= 5_000_000;
                    w.book(call).entries.clear();
                }
            },
            &["money"],
        ),
        (
            "a record nobody sent",
            |w| {
                let record = Record { carrier_call_id: "sw-run-999".into(), ..Record::default() };
                w.books.call("strange").records.push(record);
            },
            &["recorded"],
        ),
        ("another basis", |w| w.book(3).records[0].basis = "static".into(), &["recorded"]),
        ("another target", |w| w.book(3).records[0].target = Some("last".into()), &["recorded"]),
        ("another price held", |w| w.book(3).records[0].price_micros = Some(30_000_001), &["recorded"]),
        ("an attempt nobody was told", |w| w.book(3).records[0].attempts = 2, &["recorded"]),
        ("an address of nobody", |w| w.calls[3].attempts[0].address = "+15125550999".into(), &["recorded"]),
        ("no step", |w| w.book(3).steps.clear(), &["outcomes"]),
        (
            "two first steps",
            |w| {
                let step = w.book(3).steps[0].clone();
                w.book(3).steps.push(step);
            },
            &["outcomes"],
        ),
        (
            "a missing outcome",
            |w| {
                let step = &mut w.book(3).steps[0];
                step.outcomes = step.outcomes[..4].into();
            },
            &["outcomes"],
        ),
        (
            "two outcomes of one",
            |w| {
                let step = &mut w.book(3).steps[0];
                let twice: Vec<Outcome> = step.outcomes.iter().chain(step.outcomes.last()).copied().collect();
                step.outcomes = twice.into();
            },
            &["outcomes"],
        ),
        ("pending for ever", |w| w.outcome(3, "two", "pending", None), &["outcomes"]),
        ("no word of the list", |w| w.outcome(3, "two", "sulking", None), &["outcomes"]),
        (
            "an unknown target",
            |w| {
                w.books.targets[4] = "somebody".into();
            },
            &["outcomes"],
        ),
        ("another amount than the bid", |w| w.outcome(3, "two", "outbid", Some(20_010_000)), &["outcomes"]),
        ("late, and it was not", |w| w.outcome(3, "two", "late", Some(20_000_000)), &["outcomes"]),
        ("timeout, and it replied", |w| w.outcome(3, "two", "timeout", None), &["outcomes"]),
        ("no bid, and it bid", |w| w.outcome(3, "two", "no_bid", None), &["outcomes"]),
        (
            "not needed, and it came before",
            |w| {
                w.reply(3, 1).replied_us = Some(BEGAN_US + 3_000_000 + 6_000);
                w.book(3).steps[0].closed_in_us = 60_000;
                w.calls[3].answered_us = Some(BEGAN_US + 3_000_000 + 61_000);
                w.outcome(3, "two", "not_needed", Some(20_000_000));
            },
            &["outcomes"],
        ),
        ("malformed, and it was a bid", |w| w.outcome(3, "two", "malformed", None), &["outcomes"]),
        (
            "unresponsive, and it was there",
            |w| {
                w.seen.retain(|seen| (seen.call, seen.bidder) != (3, 1));
                w.outcome(3, "two", "unresponsive", None);
            },
            &["outcomes"],
        ),
        (
            "unresponsive, and it broke off four times only",
            |w| {
                w.market.is_alone = false;
                answers_without_a_bid(w, 0..4, "disconnected");
                is_sidelined(w, 4);
            },
            &["outcomes"],
        ),
        (
            "unresponsive, and it said every time that it does not bid",
            |w| {
                w.market.is_alone = false;
                answers_without_a_bid(w, 0..5, "no_bid");
                is_sidelined(w, 5);
            },
            &["outcomes"],
        ),
        (
            "unresponsive, and it answered after it broke off five times",
            |w| {
                w.market.is_alone = false;
                answers_without_a_bid(w, 0..5, "disconnected");
                answers_without_a_bid(w, 5..6, "no_bid");
                is_sidelined(w, 6);
            },
            &["outcomes"],
        ),
        ("not asked, and it was", |w| w.outcome(3, "two", "unresponsive", None), &["outcomes"]),
        ("two winners", |w| w.outcome(3, "two", "won", Some(20_000_000)), &["outcomes"]),
        ("a word this market cannot say", |w| w.outcome(3, "last", "geo", None), &["outcomes"]),
        ("the second best won", |w| w.hand_to(3, 1, 20_000_000), &["winner"]),
        ("a fixed price won over bids", |w| w.hand_to(3, 3, 15_000_000), &["winner"]),
        ("the plan's rest over the auction", |w| w.hand_to(3, 4, 8_000_000), &["winner"]),
        (
            "nobody, though there were bids",
            |w| {
                w.outcome(3, "one", "outbid", Some(30_000_000));
                w.calls[3].attempts.clear();
                w.book(3).records[0].target = None;
                w.book(3).records[0].attempts = 0;
                w.book(3).records[0].price_micros = None;
            },
            &["winner"],
        ),
        (
            "closed early on one that could have won",
            |w| {
                w.reply(3, 1).replied_us = Some(BEGAN_US + 3_000_000 + 50_000);
                w.outcome(3, "two", "not_needed", Some(20_000_000));
            },
            &["winner"],
        ),
        (
            "a bid that came late won",
            |w| {
                w.reply(3, 1).replied_us = Some(BEGAN_US + 3_000_000 + 110_000);
                w.reply(3, 1).bid_cents = Some(3_500);
                w.calls[3].answered_us = Some(BEGAN_US + 3_000_000 + 112_000);
                w.hand_to(3, 1, 35_000_000);
            },
            &["winner"],
        ),
        (
            "a refusal without reason",
            |w| {
                w.seen.retain(|seen| (seen.call, seen.bidder) != (3, 2));
                w.outcome(3, "three", "concurrency", None);
            },
            &["caps"],
        ),
        (
            "hold lost to nobody",
            |w| {
                w.hand_to(2, 0, 20_000_000);
                w.outcome(2, "three", "hold_lost", Some(30_000_000));
            },
            &["winner", "caps"],
        ),
        (
            "one micro-unit off",
            |w| {
                w.book(4).entries[0].micros += 1;
                w.book(4).entries[2].micros -= 1;
            },
            &["money"],
        ),
        ("a group that does not balance", |w| w.book(4).entries[2].micros += 1, &["money"]),
        (
            "booked twice",
            |w| {
                let again = w.book(4).entries.clone();
                w.book(4).entries.extend(again);
            },
            &["money"],
        ),
        (
            "billed though too short",
            |w| {
                let target = w.market.targets[0].clone();
                w.book(3).entries = entries(&target, 30_000_000, 5_000_000);
            },
            &["money"],
        ),
        ("never billed", |w| w.book(4).entries.clear(), &["money"]),
        ("booked on another buyer", |w| w.book(4).entries[0].account = "buyer:last".into(), &["money"]),
        (
            "booked for another attempt",
            |w| w.book(4).entries.iter_mut().for_each(|e| e.group = "attempt/2".into()),
            &["money"],
        ),
        (
            "one call above the concurrency",
            |w| {
                // The third's calls 2 and 5 overlap by a microsecond.
                let next = w.calls[5].attempts[0].offered_us;
                w.calls[2].attempts[0].end.as_mut().unwrap().told_us = Some(next + 1);
            },
            &["caps"],
        ),
        ("one unit above the day", |w| w.market.targets[2].daily_billable = Some(2), &["caps"]),
        ("a repeat that differs", |w| w.calls[3].repeats_differ = 1, &["repeats"]),
        (
            "entries of a call nobody sent",
            |w| {
                let target = w.market.targets[0].clone();
                w.books.call("strange").entries = entries(&target, 30_000_000, 5_000_000);
            },
            &["unexplained"],
        ),
        (
            "outcomes of a call nobody sent",
            |w| {
                let step = w.book(3).steps[0].clone();
                w.books.call("strange").steps.push(step);
            },
            &["unexplained"],
        ),
        ("a ping about nobody's call", |w| w.seen[0].call = 777, &["unexplained"]),
        ("a decision more", |w| w.books.counters.decisions += 1, &["unexplained"]),
        ("a row dropped", |w| w.books.counters.records_dropped = 1, &["unexplained"]),
        ("a panic", |w| w.books.counters.panics = 1, &["unexplained"]),
        ("reports nobody knows", |w| w.books.counters.unknown_reports = 1, &["unexplained"]),
        ("the counter of revenue is off", |w| w.books.counters.revenue_micros += 1, &["unexplained"]),
        ("a store that never caught up", |w| w.books.is_unsettled = true, &["unexplained"]),
    ];
    for (what, doctor, expected) in table {
        let mut world = world();
        doctor(&mut world);
        let verdict = world.verdict();
        let found = faults(&verdict);
        assert!(expected.iter().all(|name| found.contains(name)), "{what}: found {found:?}\n{verdict}");
        // An overload on purpose excuses nobody from these.
        overloaded(&mut world.market);
        let found = faults(&world.verdict());
        let strict = ["recorded", "money", "caps", "repeats", "unexplained"];
        let mut strict = expected.iter().filter(|name| strict.contains(name));
        assert!(strict.all(|name| found.contains(name)), "{what}, overloaded: found {found:?}");
    }
}

#[test]
fn who_is_barred_never_wins_and_ends_with_the_word_for_it() {
    // what is done to books in which a rule bars the desk, which pays most, from every call | the checks that must find it
    let table: &[Row] = &[
        ("nothing", |_| {}, &[]),
        ("it was outbid", |w| w.outcome(3, "desk", "outbid", Some(99_000_000)), &["outcomes"]),
        ("another rule", |w| w.outcome(3, "desk", "tag", None), &["outcomes"]),
        ("it took the call", |w| w.hand_to(3, 3, 99_000_000), &["outcomes", "winner"]),
        ("no rule bars it", |w| w.market.targets[3].barred = None, &["outcomes", "winner"]),
        (
            "a bidder who is barred was asked",
            |w| {
                w.market.targets[2].barred = Some("geo");
                for call in 0..CALLS as usize {
                    if call % 3 == 2 {
                        w.hand_to(call, 0, 20_000_000);
                    }
                    w.outcome(call, "three", "geo", None);
                }
            },
            &["outcomes"],
        ),
    ];
    for (what, doctor, expected) in table {
        let mut world = world();
        (world.market.targets[3].price, world.market.targets[3].barred) =
            (Price::Fixed { micros: 99_000_000 }, Some("geo"));
        (0..CALLS as usize).for_each(|call| world.outcome(call, "desk", "geo", None));
        doctor(&mut world);
        let verdict = world.verdict();
        let found = faults(&verdict);
        let is_as_expected = expected.iter().all(|name| found.contains(name));
        assert!(
            is_as_expected && found.is_empty() == expected.is_empty(),
            "{what}: found {found:?}\n{verdict}"
        );
    }
}

#[test]
fn the_words_are_those_of_the_page() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons.md");
    let page = std::fs::read_to_string(page).unwrap();
    let row =
        |line: &str| line.split('|').nth(2)?.trim().strip_prefix('`')?.strip_suffix('`').map(str::to_owned);
    let words: Vec<String> = page.lines().filter_map(row).collect();
    assert_eq!(words, REASONS);
}

/// What the judge is told of the shipped search, and of the phases after it.
fn overloaded(market: &mut Market) {
    let overload = Source::find("overload".as_ref()).unwrap().scenario().unwrap();
    let told = overload.phases.iter().map(|phase| {
        let server = Server::Exchange;
        let market = market::Market {
            scenario: &overload,
            server,
            capped: phase.capped,
            endpoint: &|id| id.to_owned(),
        };
        let told = market.judged(phase);
        (told.tolerance_ms, told.overload, told.refusals)
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [told[0]; 3], "a search is judged as the phases that overload after it");
    (market.tolerance_ms, market.overload, market.refusals) = told[0];
}

#[test]
fn an_overloaded_worker_may_read_late_what_came_in_the_last_40_ms() {
    // how long before the deadline the best of call 3 replied | what is found, overloaded or not
    let table: [(u64, &[&str], &[&str]); 4] = [
        (9, &[], &["winner"]), // one of twenty is more than may be excluded
        (11, &[], &["outcomes", "winner"]),
        (39, &[], &["outcomes", "winner"]),
        (41, &["outcomes"], &["outcomes", "winner"]), // and one of sixty outcomes more than may be held up
    ];
    for (before_ms, on_purpose, else_) in table {
        let mut world = world();
        world.hand_to(3, 1, 20_000_000);
        world.outcome(3, "one", "late", None);
        let deadline_us = BEGAN_US + 3_000_000 + DEADLINE_MS * 1_000;
        world.reply(3, 0).replied_us = Some(deadline_us - before_ms * 1_000);
        world.calls[3].answered_us = Some(deadline_us);
        assert_eq!(faults(&world.verdict()), else_, "{before_ms} ms");
        overloaded(&mut world.market);
        assert_eq!(faults(&world.verdict()), on_purpose, "{before_ms} ms, overloaded");
    }
}

#[test]
fn an_overloaded_worker_is_held_up_for_one_outcome_in_ten_thousand() {
    for (excluded, examined, wrong) in
        [(0, 0, 0), (1, 9_999, 1), (1, 10_000, 0), (200, 2_000_000, 0), (201, 2_000_000, 1)]
    {
        let mut check = Check { examined, excluded, ..Check::new("outcomes", "") };
        check.few_excluded(HELD_UP_OVERLOADED);
        assert_eq!(check.wrong, wrong, "{excluded} of {examined}");
    }
}

#[test]
fn what_is_rightly_so_is_not_accused() {
    let table: &[Row] = &[
        (
            "a tie goes to either",
            |w| {
                w.reply(3, 1).bid_cents = Some(3_000);
                w.outcome(3, "two", "tie_lost", Some(30_000_000));
            },
            &[],
        ),
        (
            "five misses, then sidelined",
            |w| {
                w.market.is_alone = false;
                for call in 0..5 {
                    let late = BEGAN_US + call * 1_000_000 + 300_000;
                    let call = call as usize;
                    w.reply(call, 1).replied_us = Some(late);
                    w.calls[call].answered_us = Some(BEGAN_US + call as u64 * 1_000_000 + 101_000);
                    if call % 3 == 1 {
                        w.hand_to(call, 0, 20_000_000);
                    }
                    w.outcome(call, "two", "late", Some(if call % 3 == 1 { 30_000_000 } else { 20_000_000 }));
                }
                w.seen.retain(|seen| (seen.call, seen.bidder) != (5, 1));
                w.outcome(5, "two", "unresponsive", None);
            },
            &[],
        ),
        (
            "broke off five times, then sidelined, probed and sidelined",
            |w| {
                w.market.is_alone = false;
                answers_without_a_bid(w, 0..5, "disconnected");
                is_sidelined(w, 5);
                answers_without_a_bid(w, 6..7, "disconnected");
                is_sidelined(w, 7);
            },
            &[],
        ),
        (
            "refused while full",
            |w| {
                w.calls[2].attempts[0].end.as_mut().unwrap().told_us = None;
                w.calls[2].attempts[0].end.as_mut().unwrap().taken_us = Some(BEGAN_US + 3_500_000);
                w.seen.retain(|seen| (seen.call, seen.bidder) != (3, 2));
                w.outcome(3, "three", "concurrency", None);
            },
            &[],
        ),
        (
            "closed early on one that could not win",
            |w| {
                let Price::Bids { bidder, .. } = w.market.targets[1].price else { return };
                w.market.targets[1].price = Price::Bids { bidder, max_micros: 30_000_000 };
                w.reply(3, 1).replied_us = Some(BEGAN_US + 3_000_000 + 50_000);
                w.outcome(3, "two", "not_needed", Some(20_000_000));
            },
            &[],
        ),
        (
            "a 503 that may be",
            |w| {
                w.market.refusals = true;
                w.calls[3] =
                    Call { number: 3, carrier_call_id: "sw-run-3".into(), status: 503, ..Call::default() };
                w.books.calls.remove(&*format!("{:026}", 3));
                w.books.counters.decisions -= 1;
            },
            &[],
        ),
    ];
    for (what, arrange, _) in table {
        let mut world = world();
        arrange(&mut world);
        let verdict = world.verdict();
        assert!(verdict.is_green(), "{what}\n{verdict}");
    }
}

#[test]
fn a_needed_reply_around_the_deadline_is_excluded_and_too_many_are_wrong() {
    let mut world = world();
    let around = |call: u64| BEGAN_US + call * 1_000_000 + (DEADLINE_MS - 5) * 1_000;
    // The best of call 3 replies 5 ms before the deadline, and is counted out.
    world.hand_to(3, 1, 20_000_000);
    world.reply(3, 0).replied_us = Some(around(3));
    world.calls[3].answered_us = Some(around(3) + 6_000);
    world.outcome(3, "one", "late", Some(30_000_000));
    let verdict = world.verdict();
    let winner = verdict.check("winner").unwrap();
    assert_eq!((winner.examined, winner.excluded, winner.wrong), (CALLS, 1, 1), "{verdict}");
    assert!(winner.examples[0].contains("excluded"), "{verdict}");
    assert_eq!(faults(&verdict), ["winner"]);
    // One in two hundred may be.
    for copy in 1..11_u64 {
        let more = self::world();
        let shift = copy * 100;
        for mut call in more.calls {
            let book = more.books.calls[call.call_id.as_deref().unwrap()].clone();
            let call_id = format!("{:026}", call.number + shift);
            let mut record = book.records[0].clone();
            let time = shift * 1_000_000;
            call.number += shift;
            call.carrier_call_id = format!("sw-run-{}", call.number).into();
            record.carrier_call_id = call.carrier_call_id.clone();
            call.call_id = Some(call_id.as_str().into());
            call.sent_us += time;
            call.answered_us = call.answered_us.map(|at| at + time);
            *world.books.call(&call_id) = CallBook { records: vec![record], ..book };
            world.calls.push(call);
        }
        world.seen.extend(more.seen.into_iter().map(|seen| Seen {
            call: seen.call + shift,
            received_us: seen.received_us + shift * 1_000_000,
            replied_us: seen.replied_us.map(|at| at + shift * 1_000_000),
            ..seen
        }));
    }
    let verdict = world.verdict();
    let winner = verdict.check("winner").unwrap();
    assert_eq!((winner.examined, winner.excluded, winner.wrong), (11 * CALLS, 1, 0), "{verdict}");
}

#[test]
fn a_talk_is_told_apart_from_what_nobody_heard() {
    let end = End {
        cause: "normal".into(),
        talked_ms: 95_000,
        answered: Said::Taken,
        bridged: Said::Taken,
        ended: Said::Taken,
        ..End::default()
    };
    let table = [
        ("stated", End { stated_ms: Some(94_000), ..end.clone() }, Said::Never, (94_000, 94_000)),
        ("by difference", end.clone(), Said::Never, (95_000, 95_000)),
        ("bridged lost", End { bridged: Said::Never, ..end.clone() }, Said::Never, (95_000, 96_500)),
        (
            "only ended",
            End { bridged: Said::Never, answered: Said::Never, ..end.clone() },
            Said::Never,
            (0, 0),
        ),
        ("nothing told", End { ended: Said::Never, ..end.clone() }, Said::Never, (0, 0)),
        ("only the call's end", End { ended: Said::Never, ..end.clone() }, Said::Taken, (95_000, 95_000)),
        (
            "asked on",
            End { ended: Said::Never, asked_on: Said::Taken, ..end.clone() },
            Said::Never,
            (95_000, 95_000),
        ),
        ("perhaps", End { ended: Said::Perhaps, ..end.clone() }, Said::Never, (0, 96_500)),
        (
            "no talk",
            End { talked_ms: 0, cause: "busy".into(), ended: Said::Perhaps, ..end },
            Said::Never,
            (0, 0),
        ),
    ];
    for (what, end, gone, expected) in table {
        assert_eq!(end.talk_ms(gone), expected, "{what}");
    }
}

#[test]
fn a_market_that_cannot_be_judged_by_is_refused() {
    assert_eq!(market().check(), Ok(()));
    let mut twins = market();
    twins.targets[1].address = twins.targets[0].address.clone();
    assert!(twins.check().unwrap_err().to_string().contains("share the address"));
    let mut shared = market();
    shared.targets[1].price = shared.targets[0].price;
    assert!(shared.check().unwrap_err().to_string().contains("share bidder 0"));
}

#[test]
fn a_verdict_reads_as_a_table_and_as_json() {
    let mut world = world();
    for call in 0..CALLS as usize {
        world.calls[call].repeats_differ = 1;
    }
    let verdict = world.verdict();
    let text = verdict.to_string();
    assert!(text.contains("repeats      WRONG         20       20        0"), "{text}");
    assert!(text.contains("and 10 more"), "{text}");
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["checks"][6]["name"], "repeats");
    assert_eq!(json["checks"][6]["examples"].as_array().unwrap().len(), EXAMPLES_MAX);
}
