//! The limits by themselves, and at the head of a queue: a worker in a model, whose tasks take fixed times, one after the
//! other, as a runtime of one thread takes them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;
use crate::domain::draw::mix;
use crate::runtime::pulse::{BEAT, Beats, has_rested};

/// The defaults of `config::settings`.
const DELAYS: Delays = Delays { auction: Duration::from_millis(5), answer: Duration::from_millis(100) };

#[test]
fn the_limits() {
    let table = "0 Auctions|1 Auctions|5 Auctions|6 Answers|40 Answers|100 Answers|101 Nothing|9000 Nothing";
    for row in table.split('|') {
        let (late, expected) = row.split_once(' ').expect("milliseconds and a word");
        let late = Duration::from_millis(late.parse().expect("milliseconds"));
        assert_eq!(format!("{:?}", DELAYS.admitted(late)), expected, "{late:?}");
    }
}

#[test]
fn others_go_first_on_a_busy_worker_while_its_queue_is_short() {
    let table = [(0, false, [1, 2, 1]), (2_500, false, [1, 2, 1]), (2_501, false, [0; 3]), (0, true, [0; 3])];
    for (late_us, rested, expected) in table {
        let late = Duration::from_micros(late_us);
        let first =
            [Pass::Answer, Pass::Prepare, Pass::Ask].map(|pass| DELAYS.others_first(pass, late, rested));
        assert_eq!(first, expected, "{late:?}, rested: {rested}");
    }
}

/// CPU time of a whole auction with ten pings, in microseconds: 4,000 a second are what the worker can.
const AUCTION_US: u64 = 250;
/// Of it, in hundredths: reading the request, asking, one reply, answering.
const READ: u64 = 5;
const ASK: u64 = 40;
const REPLY: u64 = 4;
const FINISH: u64 = 15;
const PINGS: u64 = 10;
/// A refusal, in hundredths of an auction.
const REFUSAL: u64 = 4;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Read { at: u64 },
    Decide { at: u64 },
    Reply { call: usize, came: u64 },
    Finish { call: usize, came: u64 },
    Beat { due: u64 },
}

/// What became of one auction.
struct Held {
    /// Its call's request came.
    at: u64,
    left: u64,
    /// Waited for us and not for buyers.
    added: u64,
    is_over: bool,
}

#[derive(Default)]
struct Model {
    now: u64,
    coming: BinaryHeap<Reverse<(u64, Turn)>>,
    queue: VecDeque<Turn>,
    beats: Beats,
    due: u64,
    last_beat: u64,
    slept: u64,
    auctions: Vec<Held>,
    /// When each came that got an answer without an auction, and how long it waited for it.
    answers: Vec<(u64, u64)>,
    refusals: Vec<(u64, u64)>,
}

impl Model {
    /// Plays loads one after the other, each a number of seconds at a percentage of what the worker can.
    /// An answer without auction costs `answer` hundredths of an auction; buyers reply within `buyers` ms.
    fn play(loads: &[(u64, u64)], answer: u64, buyers: u64) -> Model {
        let mut model = Model::default();
        let mut at = 0;
        let mut until = 0;
        let mut draw = 0;
        for (seconds, percent) in loads {
            until += seconds * 1_000_000;
            while at < until {
                model.coming.push(Reverse((at, Turn::Read { at })));
                // Between nothing and twice the mean.
                draw += 1;
                at += mix(draw) % (2 * AUCTION_US * 100 / percent + 1);
            }
        }
        model.beat_at(BEAT.as_micros() as u64);
        while model.now < until {
            model.turn(answer, buyers);
        }
        model
    }

    fn beat_at(&mut self, due: u64) {
        self.due = due;
        self.coming.push(Reverse((due, Turn::Beat { due })));
    }

    fn works(&mut self, hundredths: u64) {
        self.now += AUCTION_US * hundredths / 100;
    }

    fn admits(&self) -> Admitted {
        let overdue = Duration::from_micros(self.now.saturating_sub(self.due));
        DELAYS.admitted(self.beats.standing(overdue, overdue > Duration::ZERO && self.rested()))
    }

    fn rested(&self) -> bool {
        let span = Duration::from_micros(self.now - self.last_beat);
        has_rested(Duration::from_micros(self.slept), span)
    }

    fn turn(&mut self, answer: u64, buyers: u64) {
        while let Some(Reverse((at, turn))) = self.coming.peek().copied()
            && at <= self.now
        {
            self.coming.pop();
            self.queue.push_back(turn);
        }
        let Some(turn) = self.queue.pop_front() else {
            let woken = self.coming.peek().map_or(self.now + 1, |next| next.0.0);
            self.slept += woken - self.now;
            self.now = woken;
            return;
        };
        match turn {
            Turn::Read { at } if self.admits() == Admitted::Nothing => {
                self.works(REFUSAL);
                self.refusals.push((at, self.now - at));
            }
            Turn::Read { at } => {
                self.works(READ);
                self.queue.push_back(Turn::Decide { at });
            }
            Turn::Decide { at } if self.admits() == Admitted::Auctions => {
                self.works(ASK);
                let call = self.auctions.len();
                for ping in 0..PINGS {
                    let came = self.now + 2_000 + mix(call as u64 * PINGS + ping) % (buyers * 1_000);
                    self.coming.push(Reverse((came, Turn::Reply { call, came })));
                }
                self.auctions.push(Held { at, left: PINGS, added: self.now - at, is_over: false });
            }
            Turn::Decide { at } => {
                self.works(answer - READ);
                self.answers.push((at, self.now - at));
            }
            Turn::Reply { call, came } => {
                self.works(REPLY);
                self.auctions[call].left -= 1;
                if self.auctions[call].left == 0 {
                    self.queue.push_back(Turn::Finish { call, came });
                }
            }
            Turn::Finish { call, came } => {
                self.works(FINISH);
                self.auctions[call].added += self.now - came;
                self.auctions[call].is_over = true;
            }
            Turn::Beat { due } => {
                let rested = self.rested();
                self.beats.note(Duration::from_micros(self.now - due), rested);
                (self.last_beat, self.slept) = (self.now, 0);
                self.beat_at(self.now + BEAT.as_micros() as u64);
            }
        }
    }

    /// Auctions of the calls that came between two seconds, in hundredths of what the worker can, and the p99 of what we
    /// added to each, in ms.
    fn goodput(&self, from_s: u64, to_s: u64) -> (u64, u64) {
        let span = from_s * 1_000_000..to_s * 1_000_000;
        let mut added: Vec<u64> = self
            .auctions
            .iter()
            .filter(|held| held.is_over && span.contains(&held.at))
            .map(|held| held.added)
            .collect();
        let good = added.len() as u64 * AUCTION_US * 100 / (span.end - span.start);
        (good, p99(&mut added))
    }
}

fn p99(micros: &mut [u64]) -> u64 {
    micros.sort_unstable();
    micros.get(micros.len() * 99 / 100).map_or(0, |us| us / 1_000)
}

#[test]
fn what_a_worker_can_is_what_it_does_however_much_is_asked() {
    // Load in hundredths, cost of an answer without auction in hundredths, latest replies in ms; the best that could be
    // (who is not auctioned is answered, and that is paid first), and the longest an auction may wait for us.
    let table = "
        80   15 120  80  10
        150  15 120  91  35
        200  15 120  82  45
        200  15 300  82  45
        200  8  10   91  45
        200  30 120  57  60
        300  15 120  64  55
        300  15 300  64  55
        500  15 120  29  80";
    for row in table.lines().filter(|row| !row.trim().is_empty()) {
        let words: Vec<u64> = row.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let [load, answer, buyers, best, longest] = words[..] else { panic!("five numbers: {row}") };
        let mut model = Model::play(&[(2, 70), (6, load), (4, 70)], answer, buyers);
        let (good, added) = model.goodput(3, 8);
        let what = format!("{row}: goodput {good} %, p99 {added} ms");
        assert!(good * 100 >= best * 95, "{what}");
        assert!(added <= longest, "{what}");
        assert_eq!(model.refusals.len(), 0, "{what}");
        let mut waited: Vec<u64> = model.answers.iter().map(|(_, waited)| *waited).collect();
        let waited = p99(&mut waited);
        assert!(waited <= 80, "{what}, answers after {waited} ms");
        // Full auctions again: long before the 2 s that are allowed.
        let last = model.answers.iter().map(|(at, _)| *at).max().unwrap_or(0);
        assert!(last < 8_200_000, "{what}, the last call without auction at {last} us");
        let owed = model.answers.len() + model.auctions.len() + model.queue.len();
        model.coming.retain(|next| matches!(next.0.1, Turn::Read { .. }));
        assert_eq!(model.auctions.iter().filter(|held| !held.is_over && held.at < 11_000_000).count(), 0);
        assert!(owed > 0 && model.coming.len() < 10, "everybody is answered: {what}");
    }
}

#[test]
fn what_not_even_answers_can_carry_is_refused_at_once() {
    // Ten times the capacity, at 20 % of an auction each: twice what answers alone could be.
    let mut model = Model::play(&[(2, 70), (6, 1_000), (4, 70)], 20, 120);
    let refused = model.refusals.len();
    let answered = model.answers.iter().filter(|(at, _)| (3_000_000..8_000_000).contains(at)).count() as u64;
    // Of each second's 40,000 as many are answered as leave time to refuse the others: three in eight.
    let share = answered * 100 / (5 * 40_000);
    assert!((33..=40).contains(&share) && refused > 100_000, "{share} % answered, {refused} refused");
    let mut waited: Vec<u64> = model.refusals.iter().map(|(_, waited)| *waited).collect();
    let waited = p99(&mut waited);
    assert!(waited <= 320, "refused after {waited} ms");
    let last = model.refusals.iter().map(|(at, _)| *at).max().unwrap_or(0);
    assert!(last < 8_500_000, "refused until {last} us");
    model.answers.retain(|(at, _)| *at >= 9_000_000);
    assert_eq!(model.answers.len(), 0, "a second later everybody is auctioned");
}

#[test]
fn a_hiccup_costs_nobody_an_auction() {
    let mut beats = Beats::default();
    for late in [1, 1, 900, 1, 1] {
        assert_eq!(DELAYS.admitted(beats.standing(Duration::ZERO, false)), Admitted::Auctions);
        beats.note(Duration::from_millis(late), false);
    }
    assert_eq!(DELAYS.admitted(beats.standing(Duration::from_millis(3), false)), Admitted::Auctions);
    // Nor does a system that wakes the worker late again and again, while the worker has time to spare.
    (0..20).for_each(|_| beats.note(Duration::from_millis(30), true));
    assert_eq!(DELAYS.admitted(beats.standing(Duration::ZERO, false)), Admitted::Auctions);
}
