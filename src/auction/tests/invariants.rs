//! What holds of every auction, over drawn ones: it never ends worse than without bids (I2), nothing that may not win does
//! (I3), the same inputs and seed are the same result in whatever order they come (I4), and a second price is the lowest
//! that would still have won. What may win is judged here by a few lines of their own.

use super::*;
use crate::domain::draw::Draw;

const CASES: u64 = 20_000;
const STEP: i64 = 10_000;
/// When the auctions close, and when they are ranked.
const CLOSES: &str = "300";

/// An entrant with what it says and when.
#[derive(Clone, Debug)]
struct Said {
    entrant: Entrant,
    /// A bid with its life after the opening, or a reason; nothing of who hangs.
    reply: Option<Result<(i64, u64), Reason>>,
    read_ms: u64,
}

#[derive(Clone, Debug)]
struct Case {
    rules: Rules,
    said: Vec<Said>,
}

fn dollars(n: u64) -> Money {
    Money::from_micros(n as i64 * 1_000_000)
}

impl Case {
    fn drawn(draw: &mut Draw, tiers: &[u64], takeovers: &[u64]) -> Case {
        let mut one_of = |options: &[u64]| options[draw.below(options.len() as u64) as usize];
        let rules = Rules {
            closes: at(CLOSES),
            floor: dollars(one_of(&[0, 3, 10])),
            min_price: dollars(one_of(&[0, 0, 5, 12])),
            takeover: Some(one_of(takeovers)).filter(|bar| *bar > 0).map(dollars),
            guard: Duration::from_secs(5),
            seed: one_of(&[1, 2, 3, 4, 5, 6, 7]),
            early: false,
            price: [PriceRule::First, PriceRule::Second][one_of(&[0, 1]) as usize],
            money_step: Money::from_micros(STEP),
        };
        let reasons = [Reason::NoBid, Reason::Malformed, Reason::AboveMax, Reason::BadTerms];
        let mut said = Vec::new();
        for _ in 0..one_of(&[1, 2, 3, 5, 8]) {
            let price = dollars(one_of(&[2, 9, 15, 15, 20]));
            let terms = Offer { price, min_duration: Duration::ZERO, destination: None, expires: None };
            let entrant = Entrant {
                tier: one_of(tiers) as u8,
                priority: one_of(&[1, 1, 2]) as u16,
                weight: one_of(&[0, 1, 2]) as u32,
                multiplier: Bps(one_of(&[6_667, 10_000, 10_000, 15_000]) as u32),
                floor: dollars(one_of(&[0, 0, 11])),
                fixed: (one_of(&[0, 0, 1]) == 1).then_some(terms),
                ceiling: dollars(1_000),
                waited: true,
            };
            let cents = one_of(&[199, 1_500, 1_500, 1_501, 1_999, 2_000, 3_333]) as i64;
            let reply = match one_of(&[0, 1, 2, 3, 4, 5]) {
                0 => None,
                1 => Some(Err(reasons[one_of(&[0, 1, 2, 3]) as usize])),
                _ => Some(Ok((cents * STEP, one_of(&[1, 5_299, 5_300, 30_000, 30_000])))),
            };
            said.push(Said { entrant, reply, read_ms: one_of(&[1, 1, 150, 299, 300, 301]) });
        }
        Case { rules, said }
    }

    /// Runs it; replies come in the order of `order`.
    fn ranking(&self, order: &[usize]) -> super::super::Ranking {
        let entrants = self.said.iter().map(|one| one.entrant.clone()).collect();
        let mut auction = Auction::open(self.rules.clone(), entrants);
        for who in order {
            let Said { reply: Some(reply), read_ms, .. } = &self.said[*who] else { continue };
            let read = Timestamp::default().after(Duration::from_millis(*read_ms));
            let reply = match reply {
                Err(reason) => Reply::none(*reason),
                Ok((micros, life)) => Reply::Bid(Bid {
                    amount: Money::from_micros(*micros),
                    expires: Timestamp::default().after(Duration::from_millis(*life)),
                    destination: None,
                    min_duration: Duration::ZERO,
                }),
            };
            auction.on_reply(*who, reply, read);
        }
        let ranking = auction.ranking(at(CLOSES));
        assert_eq!(
            auction.first(at(CLOSES)).as_ref(),
            ranking.ranked.first(),
            "who comes first is all the same"
        );
        let has_bid = ranking.ranked.iter().any(|ranked| ranked.offer.expires.is_some());
        assert_eq!(auction.has_bid(at(CLOSES)), has_bid, "{ranking:?}");
        ranking
    }

    fn in_order(&self) -> super::super::Ranking {
        self.ranking(&(0..self.said.len()).collect::<Vec<_>>())
    }

    /// What this entrant offers, if it may win: in time, alive for the guard, no less than floor and margin.
    fn may_win(&self, who: usize) -> Option<Money> {
        let Said { entrant, reply, read_ms } = &self.said[who];
        let price = match (&entrant.fixed, reply) {
            (Some(offer), _) => offer.price,
            (None, Some(Ok((micros, life)))) if *read_ms < 300 && *life >= 5_300 => {
                Money::from_micros(*micros)
            }
            _ => return None,
        };
        let least = self.rules.floor.max(self.rules.min_price).max(entrant.floor);
        (price >= least).then_some(price)
    }

    /// The same without anybody's reply.
    fn without_bids(&self) -> Case {
        let said = self.said.iter().cloned().map(|one| Said { reply: Some(Err(Reason::NoBid)), ..one });
        Case { rules: self.rules.clone(), said: said.collect() }
    }
}

#[test]
fn only_what_may_win_is_ranked_and_all_of_it() {
    let mut draw = Draw::new(3);
    for n in 0..CASES {
        let case = Case::drawn(&mut draw, &[1, 1, 2, 3], &[0, 0, 15]);
        let ranking = case.in_order();
        let mut ranked: Vec<(usize, Money)> =
            ranking.ranked.iter().map(|one| (one.entrant, one.offer.price)).collect();
        ranked.sort_unstable_by_key(|(who, _)| *who);
        let may: Vec<(usize, Money)> =
            (0..case.said.len()).filter_map(|who| Some((who, case.may_win(who)?))).collect();
        assert_eq!(ranked, may, "case {n}: {case:#?}");
        assert_eq!(
            ranking.ranked.len() + ranking.unplaced.len(),
            case.said.len(),
            "case {n}: one reason each"
        );
        for one in &ranking.ranked {
            let who = &case.said[one.entrant].entrant;
            let least = case.rules.floor.max(case.rules.min_price).max(who.floor);
            assert!(least <= one.pays && one.pays <= one.offer.price, "case {n}: {one:?} of {case:#?}");
            let is_reduced = one.pays != one.offer.price;
            let may_be = case.rules.price == PriceRule::Second && who.fixed.is_none();
            assert!(!is_reduced || may_be && one.pays.is_positive(), "case {n}: {one:?} of {case:#?}");
        }
    }
}

#[test]
fn bids_never_make_it_worse_than_without_them() {
    let mut draw = Draw::new(2);
    let mut beaten = 0;
    for n in 0..CASES {
        let case = Case::drawn(&mut draw, &[1, 1, 2, 3], &[0, 0, 15]);
        let (with, without) = (case.in_order(), case.without_bids().in_order());
        let Some(fallback) = without.ranked.first() else { continue };
        let best = with.ranked.first().unwrap_or_else(|| panic!("case {n}: nobody of {case:#?}"));
        let there = with.ranked.iter().find(|one| one.entrant == fallback.entrant);
        let there = there.unwrap_or_else(|| panic!("case {n}: the fixed price is gone from {case:#?}"));
        // By tier, then by score; and where they compete, what is paid is worth no less, but for the cut to the step.
        let (best_by, there_by) = (best.compared_by(), there.compared_by());
        assert!(
            best_by.0 < there_by.0 || best_by.0 == there_by.0 && best_by.1 >= there_by.1,
            "case {n}: {case:#?}"
        );
        if best_by.0 == there_by.0 {
            let multiplier = case.said[best.entrant].entrant.multiplier;
            let worth = Money::from_micros(best.pays.micros() + STEP).score(multiplier);
            assert!(worth > there_by.1, "case {n}: {best:?} over {there:?} of {case:#?}");
        }
        beaten += u64::from(best.entrant != there.entrant);
    }
    assert!(beaten > CASES / 20, "{beaten} fixed prices were beaten");
}

#[test]
fn the_same_inputs_and_seed_are_the_same_ranking_in_whatever_order_they_come() {
    let mut draw = Draw::new(4);
    let mut ties = 0;
    for n in 0..CASES {
        let case = Case::drawn(&mut draw, &[1, 1, 2, 3], &[0, 0, 15]);
        let first = case.in_order();
        let order = draw.weighted_order(&vec![1; case.said.len()]);
        assert_eq!(case.ranking(&order), first, "case {n} in the order {order:?}: {case:#?}");
        let is_tied = first.ranked.windows(2).any(|pair| pair[0].compared_by() == pair[1].compared_by());
        ties += u64::from(is_tied);
    }
    assert!(ties > CASES / 20, "{ties} had a tie");
}

/// One step more still comes first, one step less does not: of one tier, where no bar is in the way.
#[test]
fn a_second_price_is_the_lowest_that_would_have_won() {
    let mut draw = Draw::new(5);
    let mut reduced = 0;
    for n in 0..CASES {
        let mut case = Case::drawn(&mut draw, &[1], &[0]);
        case.rules.price = PriceRule::Second;
        let ranking = case.in_order();
        let [best, second, ..] = &ranking.ranked[..] else { continue };
        let who = best.entrant;
        let least = case.rules.floor.max(case.rules.min_price).max(case.said[who].entrant.floor);
        if case.said[who].entrant.fixed.is_some() || best.pays == best.offer.price || best.pays == least {
            continue;
        }
        reduced += 1;
        let first_with = |micros: i64| {
            let mut other = case.clone();
            other.said[who].reply = Some(Ok((micros, 30_000)));
            other.in_order().ranked[0].entrant
        };
        assert_eq!(first_with(best.pays.micros() + STEP), who, "case {n}: {case:#?}");
        assert_ne!(first_with(best.pays.micros() - STEP), who, "case {n}: before {second:?} in {case:#?}");
    }
    assert!(reduced > CASES / 50, "{reduced} prices were reduced");
}
