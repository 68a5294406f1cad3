//! Generated markets and calls, judged twice: by the exchange, which reads the text of both, and by a slow second
//! implementation, which reads what docs/operators.md says and knows none of the exchange's types.
//!
//! Both must say the same of every rule of every target, of the walk, of every auction and of who takes the call.
//! `RULES_SEED` draws other markets (1), `RULES_MARKETS` and `RULES_CALLS` say how many and how many calls to each (500 and
//! 100), `RULES_PAIR=17.42` replays one call to one market. A pair that differs is cut to what is needed for it, and printed as
//! the text of the catalog and the carrier's request.

mod judge;
mod make;
mod model;
mod open;
mod pairs;
mod places;
mod rank;
mod real;
mod shrink;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use judge::{Known, Offers};
use model::{Call, Filter, Market, Price, Test, money};
use outcry::exchange::preview::Preview;
use outcry::routing::ring_tree::Step;
use real::Real;

/// Markets of the gate, and calls to each: 50,000 pairs.
const MARKETS: u64 = 500;
const CALLS: u64 = 100;

/// Of so many calls one has its filters counted.
const COUNTED: u64 = 8;

/// How often each thing came.
type Counts = BTreeMap<String, u64>;

/// What must have come, each at least once in a thousand pairs: what never comes is not tested.
const MET: &str = "verdict candidate|verdict paused|verdict buyer_paused|verdict closed|verdict geo|verdict source|\
    verdict attestation|verdict anonymous|verdict tag|verdict branch|fate won|fate outbid|fate tie_lost|fate lower_tier|\
    fate below_floor|fate margin|fate expired|fate no_bid|fate malformed|fate above_max|fate pending|fate hold_lost|\
    state yes|state no|country yes|country no|area_code yes|area_code no|zip yes|zip no|zip strange|near yes|near no|\
    near strange|publisher yes|publisher no|campaign yes|campaign no|sub_id yes|sub_id no|number yes|number no|hours yes|\
    hours no|stir yes|stir no|stir_verified yes|stir_verified no|anonymous yes|anonymous no|tag = yes|tag = no|tag != yes|tag != no|tag in yes|tag in no|\
    tag not_in yes|tag not_in no|tag < yes|tag < no|tag < strange|tag > yes|tag > no|tag > strange|tag between yes|\
    tag between no|tag between strange|tag exists yes|tag exists no|tag matches yes|tag matches no|tag prefix yes|\
    tag prefix no|all yes|all no|all strange|any yes|any no|any strange|not yes|not no|not strange|8 deep|dial|auction|\
    two steps|no taker|weighted|branch taken|verdict suppressed|verdict caller_blocked|barred caller_blocked|too late|verdict node_closed|verdict plan_ended|\
    turn|ring|group|ends at a node|scheduled plan|barred unknown_number|barred campaign_paused|\
    barred campaign_closed|barred publisher_closed|verdict campaign_closed|verdict no_bid|verdict no_row|by a row|by the base|by a range|in a range|\
    verdict below_floor|verdict margin|\
    floor of campaign|floor of campaign row|floor of publisher|pays less|pays the floor|pays the margin|closed early|by draw|together|ring at once|rings alone|left out|all who may|screened|first to answer|taken over|also waited";

/// A number from the environment.
fn told(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// What the two say differently, with its kind first; `None` where they agree.
fn differs(market: &Market, real: &Real, call: &Call, counts: &mut Counts) -> Option<String> {
    let known = Known::of(market, call);
    let asked = real.tried(call);
    let preview = &asked.preview;
    let facts =
        (preview.plan.as_str(), preview.state.as_deref(), preview.country.as_deref(), preview.area_code);
    let expected = (known.plan().id.as_str(), known.state.as_deref(), known.country, known.area_code);
    if facts != expected {
        return Some(format!("facts: the exchange says {facts:?}, expected {expected:?}"));
    }
    let said = (preview.barred.as_deref(), whole(preview), preview.plan_hours.is_some(), preview.pricing);
    let expected = (known.barred(), known.whole(), known.is_scheduled(), known.pricing());
    if said != expected {
        return Some(format!("whole: the exchange says {said:?}, expected {expected:?}"));
    }
    if let Some(said) = &preview.floor {
        let top = known.floor();
        let mut highest = known.floors().into_iter().filter(|floor| floor.1 == top);
        let (name, is_only) = (highest.next().expect("one is").0, highest.next().is_none());
        let amount = money(top).replace('"', "");
        let is_it = if is_only { *said == format!("{name} {amount}") } else { said.ends_with(&amount) };
        if !is_it {
            return Some(format!("floor: the exchange says {said:?}, expected {name} {amount}"));
        }
    }
    // Where a call comes to each target, with the floor there.
    let mut taken: BTreeMap<&str, i64> = BTreeMap::new();
    let drawn = rank::walk_of(&known, 0, &|_| 0);
    for step in &drawn.steps {
        match step {
            rank::Step::Dial(id) => drop(taken.insert(id, 0)),
            rank::Step::Together(ids, _) => taken.extend(ids.iter().map(|id| (id.as_str(), 0))),
            rank::Step::Auction(auction) => {
                taken.extend(auction.members.iter().map(|id| (id.as_str(), auction.floor)));
            }
        }
    }
    let ways = rank::ways(&known);
    let ids = rank::targets(known.plan(), market);
    let listed: Vec<&str> = preview.targets.iter().map(|tried| tried.target.as_str()).collect();
    if ids != listed {
        return Some(format!("targets: the exchange says {listed:?}, expected {ids:?}"));
    }
    for tried in &preview.targets {
        let target = market.targets.iter().find(|target| target.id == tried.target).expect("a target");
        let node = taken.get(tried.target.as_str()).copied();
        let of = |left: &&(&str, &'static str)| left.0 == tried.target;
        let left = drawn.left.iter().find(of).filter(|_| node.is_none()).map(|left| left.1);
        let (verdict, rules) = known.tried(target, left, node.unwrap_or(0));
        count(counts, &format!("verdict {verdict}"));
        let way = ways.get(tried.target.as_str()).into_iter().flatten().copied();
        let expected: Vec<&str> = way.chain(rules).map(judge::Says::word).collect();
        let said: Vec<&str> = tried.rules.iter().map(|rule| rule.says).collect();
        if (tried.verdict.as_str(), &said) != (verdict, &expected) {
            let rules: Vec<&str> = tried.rules.iter().map(|rule| rule.rule.as_str()).collect();
            return Some(format!(
                "verdict: of {} the exchange says {} {said:?}, expected {verdict} {expected:?}; its rules are {rules:?}",
                tried.target, tried.verdict
            ));
        }
        let offers = match known.offers(target) {
            Offers::Price(price) => Some(money(price).replace('"', "")),
            Offers::Asked => None,
            Offers::Nothing(_) => Some("none".to_owned()),
        };
        let (note, is_said) = (known.note(target), ["candidate", "no_bid"].contains(&verdict));
        if tried.price != offers || is_said && note.is_some() && tried.note != note {
            return Some(format!(
                "offer: of {} the exchange says {:?} by {:?}, expected {offers:?} by {note:?}",
                tried.target, tried.price, tried.note
            ));
        }
        if let (true, Price::Table(_)) = (is_said, &target.price) {
            let by = match note.as_deref() {
                Some("base bid of the table") => "by the base",
                Some(_) => "by a row",
                None => "by a range",
            };
            count(counts, by);
        }
        if verdict == "candidate" && known.verdict(target, call.earlier) == "earlier_attempts" {
            count(counts, "too late");
        }
        if is_said && known.is_in_range(target) {
            count(counts, "in a range");
        }
        // Counting takes longer than judging.
        if call.seed.is_multiple_of(COUNTED) {
            target.filters.iter().for_each(|filter| note_filter(&known, filter, 1, counts));
        }
    }
    let walk = asked.walk(call);
    let mut said: Vec<String> = walk
        .steps
        .iter()
        .map(|step| match step {
            Step::Dial(target) => format!("dial {}", asked.id(*target)),
            Step::Auction(node) => {
                let members: Vec<&str> = node.members.iter().map(|target| asked.id(*target)).collect();
                format!("auction {}", members.join(" "))
            }
            Step::Together(node) => {
                let members: Vec<&str> = node.members.iter().map(|target| asked.id(*target)).collect();
                format!("together {} screened {}", members.join(" "), node.screen)
            }
        })
        .collect();
    said.extend(asked.of_the_way(&walk));
    let way = rank::walk(&known);
    let mut walked: Vec<String> = way
        .steps
        .iter()
        .map(|step| match step {
            rank::Step::Dial(id) => format!("dial {id}"),
            rank::Step::Auction(auction) => format!("auction {}", auction.members.join(" ")),
            rank::Step::Together(ids, screened) => {
                format!("together {} screened {screened}", ids.join(" "))
            }
        })
        .collect();
    walked.extend(way.turns.iter().map(|(node, first)| format!("turn {node} of {first}")));
    walked.extend(way.rings.iter().map(|(id, ring)| format!("ring {id} {ring}")));
    walked.push(format!("end {} {}", way.end.0, way.end.1));
    if said != walked {
        return Some(format!("walk: the exchange goes {said:?}, expected {walked:?}"));
    }
    let said = asked.story(call, &walk.steps);
    let expected = rank::story(&known);
    if said != expected {
        return Some(format!("story: the exchange says {said:?}, expected {expected:?}"));
    }
    // A bid that lives just long enough is good at the moment it comes, and not later.
    let lives = |reply: &model::Reply| reply.bid.as_ref().and_then(|bid| bid.1).is_none_or(|life| life > 5);
    let usual = |target: &model::Target| !matches!(target.price, model::Price::Bids(_, 5));
    if call.replies.values().all(lives) && market.targets.iter().all(usual) {
        count(counts, "also waited");
        let (early, patient) = (rank::taker(&expected), rank::taker_of_the_patient(&known));
        if early != patient {
            return Some(format!("early: {early:?} takes the call, and if all are waited for {patient:?}"));
        }
    }
    note_story(&known, &walked, &expected, counts);
    None
}

/// What every rule about the whole call says.
fn whole(preview: &Preview) -> Vec<&'static str> {
    preview.rules.iter().map(|rule| rule.says).collect()
}

fn count(counts: &mut Counts, what: &str) {
    match counts.get_mut(what) {
        Some(times) => *times += 1,
        None => drop(counts.insert(what.to_owned(), 1)),
    }
}

fn note_filter(known: &Known<'_>, filter: &Filter, depth: usize, counts: &mut Counts) {
    let kind = match filter {
        Filter::All(_) => "all",
        Filter::Any(_) => "any",
        Filter::Not(_) => "not",
        Filter::State(_) => "state",
        Filter::Country(_) => "country",
        Filter::AreaCode(_) => "area_code",
        Filter::Zip(_) => "zip",
        Filter::Near(..) => "near",
        Filter::Publisher(_) => "publisher",
        Filter::Campaign(_) => "campaign",
        Filter::SubId(_) => "sub_id",
        Filter::Number(_) => "number",
        Filter::Hours(..) => "hours",
        Filter::Stir(_) => "stir",
        Filter::Verified(_) => "stir_verified",
        Filter::Anonymous(_) => "anonymous",
        Filter::Tag(_, test) => match test {
            Test::Is(_) => "tag =",
            Test::IsNot(_) => "tag !=",
            Test::In(_) => "tag in",
            Test::NotIn(_) => "tag not_in",
            Test::Below(_) => "tag <",
            Test::Above(_) => "tag >",
            Test::Between(..) => "tag between",
            Test::Exists(_) => "tag exists",
            Test::Matches(_) => "tag matches",
            Test::Prefix(_) => "tag prefix",
        },
    };
    count(counts, &format!("{kind} {}", known.says(filter, "UTC").word()));
    if depth == 8 {
        count(counts, "8 deep");
    }
    match filter {
        Filter::All(parts) | Filter::Any(parts) => {
            parts.iter().for_each(|part| note_filter(known, part, depth + 1, counts));
        }
        Filter::Not(part) => note_filter(known, part, depth + 1, counts),
        _ => {}
    }
}

fn note_story(known: &Known<'_>, walked: &[String], story: &[Vec<rank::Fate>], counts: &mut Counts) {
    count(counts, "pairs");
    walked.iter().for_each(|step| count(counts, step.split(' ').next().unwrap_or_default()));
    if walked.last().is_some_and(|end| end != "end hangup busy") {
        count(counts, "ends at a node");
    }
    let plan = known.plan().root.as_ref().map(ToString::to_string).unwrap_or_default();
    for (part, what) in [("weighted", "weighted"), ("first_match", "branch taken"), ("group =", "group")] {
        if plan.contains(part) {
            count(counts, what);
        }
    }
    if known.is_scheduled() {
        count(counts, "scheduled plan");
    }
    if let Some(reason) = known.barred() {
        return count(counts, &format!("barred {reason}"));
    }
    let top = known.floor();
    if let Some((name, _)) = known.floors().iter().rfind(|floor| floor.1 == top) {
        count(
            counts,
            &format!("floor of {}", name.trim_end_matches(|c: char| c == ' ' || c.is_ascii_digit())),
        );
    }
    for fate in story.iter().flatten() {
        count(counts, &format!("fate {}", fate.reason));
    }
    let has = |fates: &[rank::Fate], reason: &str| fates.iter().any(|fate| fate.reason == reason);
    for (fates, step) in story.iter().zip(walked).filter(|(_, step)| step.starts_with("together")) {
        let ring = fates.iter().filter(|fate| fate.reason == "won").count();
        if ring > 0 {
            count(counts, if ring > 1 { "ring at once" } else { "rings alone" });
            let left_out = fates.iter().filter(|fate| fate.reason == "hold_lost").count();
            count(counts, if left_out > 0 { "left out" } else { "all who may" });
        }
        count(counts, if step.ends_with("true") { "screened" } else { "first to answer" });
    }
    match story.last() {
        Some(last) if has(last, "won") => {
            if story.len() > 1 {
                count(counts, "two steps");
            }
            let won = last.iter().find(|fate| fate.reason == "won").expect("one has");
            if won.pays < won.price {
                let is = |least: i64| won.pays == Some(least);
                let what = match () {
                    () if is(known.floor()) => "pays the floor",
                    () if is(known.least_leaving()) => "pays the margin",
                    () => "pays less",
                };
                count(counts, what);
            }
            let level = |fate: &&rank::Fate| fate.reason == "tie_lost" && fate.price == won.price;
            if last.iter().filter(level).count() > 0 {
                count(counts, "by draw");
            }
            if has(last, "pending") && known.campaign().is_some_and(|campaign| campaign.early_close) {
                count(counts, "closed early");
            }
            let tier = |id: &str| known.market.targets.iter().find(|one| one.id == id).map(|one| one.tier);
            let lost = |fate: &&rank::Fate| ["outbid", "tie_lost"].contains(&fate.reason.as_str());
            if last.iter().filter(lost).any(|fate| tier(&fate.target) != tier(&won.target)) {
                count(counts, "taken over");
            }
        }
        Some(_) | None => count(counts, "no taker"),
    }
}

/// Judges so many calls to one market, or the one that is wanted.
fn hold_in(seed: u64, number: u64, calls: &[u64], counts: &mut Counts) -> Result<(), String> {
    let market = make::market(seed, number);
    let real =
        Real::read(&market).map_err(|faults| format!("market {number} is refused: {faults}\n{market}"))?;
    for one in calls {
        let call = make::call(seed, number, *one, &market);
        let Some(what) = differs(&market, &real, &call, counts) else { continue };
        let again = |market: &Market, call: &Call| {
            let real = Real::read(market).ok()?;
            differs(market, &real, call, &mut Counts::new())
        };
        let (market, call, what) = shrink::shrink(&market, &call, &what, again);
        let named = match what.split(':').next() {
            Some("story" | "early") => "Order broken",
            Some("walk") => "Walk broken",
            _ => "Verdict broken",
        };
        return Err(format!(
            "seed {seed}: {named}: {what}\ncatalog:\n{market}call: {call}replay: RULES_SEED={seed} \
             RULES_PAIR={number}.{one} cargo test --test it rules::two\n"
        ));
    }
    Ok(())
}

#[test]
fn two_implementations_say_the_same() {
    let seed = told("RULES_SEED").unwrap_or(1);
    if let Ok(pair) = std::env::var("RULES_PAIR") {
        let (number, call) = pair.split_once('.').expect("RULES_PAIR is market.call, such as 17.42");
        let (number, call) = (number.parse().expect("a market"), call.parse().expect("a call"));
        println!(
            "{}{}",
            make::market(seed, number),
            make::call(seed, number, call, &make::market(seed, number))
        );
        hold_in(seed, number, &[call], &mut Counts::new()).unwrap_or_else(|what| panic!("\n{what}"));
        return;
    }
    let markets = told("RULES_MARKETS").unwrap_or(MARKETS);
    let calls: Vec<u64> = (0..told("RULES_CALLS").unwrap_or(CALLS)).collect();
    let (next, total, failed) = (AtomicU64::new(0), Mutex::new(Counts::new()), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut counts = Counts::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    // One pair that differs is enough to look at.
                    if number >= markets || !failed.lock().unwrap().is_empty() {
                        break;
                    }
                    if let Err(what) = hold_in(seed, number, &calls, &mut counts) {
                        failed.lock().unwrap().push(what);
                    }
                }
                let mut total = total.lock().unwrap();
                counts.into_iter().for_each(|(what, times)| *total.entry(what).or_default() += times);
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    let total = total.into_inner().unwrap();
    let pairs = total.get("pairs").copied().unwrap_or(0);
    println!("{pairs} pairs of a catalog and a call:");
    total.iter().for_each(|(what, times)| println!("  {what:<24} {times:>10}"));
    if pairs >= MARKETS * CALLS {
        let least = pairs / 1_000;
        println!("each of those that must come: at least {least} times");
        let rare: Vec<&str> = MET
            .split('|')
            .map(str::trim)
            .filter(|what| total.get(*what).copied().unwrap_or(0) < least)
            .collect();
        assert!(rare.is_empty(), "less than {least} times: {rare:?}");
    }
}
