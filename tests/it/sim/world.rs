//! What happens in a simulated world, and when: a script made of a seed, to be printed, replayed and cut.
//!
//! What a call does follows from the seed and its number alone, and what a buyer answers from the seed, its target and
//! the call: so a script that was cut still means the same by what is left of it.

use std::fmt;

use load::chance::Chance;

use super::hand_backs::{self, By, HandBack};
use super::market::{CARRIERS, Edit, NUMBERS, TWILIO, places};

/// Something that happens at a moment, in milliseconds after the start.
#[derive(Clone, Debug)]
pub struct Action {
    /// When.
    pub at_ms: u64,
    /// What.
    pub deed: Deed,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A call comes in, with all that becomes of it.
    Call(u32),
    /// The catalog is edited and read again.
    Reload(Edit),
    /// A buyer's machine behaves so for a while.
    Mood { place: u8, mood: Mood, for_ms: u64 },
    /// The disk behaves so for a while.
    Disk { pace: Pace, for_ms: u64 },
}

/// How a buyer's machine behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As each reply is drawn.
    Usual,
    /// Answers nothing.
    Hangs,
    /// Takes no connection and closes those it has at their next request.
    Down,
    /// Answers half a second later than it would.
    Slow,
    /// Answers what is no reply.
    Garbage,
}

/// How the disk behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A few milliseconds a transaction.
    Usual,
    /// Most of a second.
    Slow,
    /// Nothing is written before it is over.
    Stuck,
}

/// The script of a seed with so many calls.
pub fn script(seed: u64, calls: u32) -> Vec<Action> {
    let mut chance = Chance::new(seed, &["script"]);
    let mut script = Vec::new();
    let (mut at_ms, mut n) = (0, 0);
    while n < calls {
        at_ms += if chance.hits(1_000) { chance.between(5_000, 20_000) } else { chance.between(1, 1_500) };
        let burst = if chance.hits(1_500) { chance.between(6, 25) } else { chance.between(1, 3) };
        for _ in 0..burst.min(u64::from(calls - n)) {
            script.push(Action { at_ms: at_ms + chance.between(0, 30), deed: Deed::Call(n) });
            n += 1;
        }
        if chance.hits(500) {
            script.push(Action {
                at_ms: at_ms + chance.between(0, 600),
                deed: Deed::Reload(Edit::draw(&mut chance)),
            });
        }
        if chance.hits(700) {
            let place = chance.between(1, u64::from(places())) as u8;
            let moods = [Mood::Hangs, Mood::Down, Mood::Slow, Mood::Garbage];
            let mood = *chance.pick(&moods).expect("moods");
            script.push(Action {
                at_ms,
                deed: Deed::Mood { place, mood, for_ms: chance.between(300, 30_000) },
            });
        }
        if chance.hits(150) {
            let pace = if chance.hits(6_000) { Pace::Slow } else { Pace::Stuck };
            script.push(Action { at_ms, deed: Deed::Disk { pace, for_ms: chance.between(500, 9_000) } });
        }
    }
    script.sort_by_key(|action| action.at_ms);
    script
}

/// How a call comes in and what becomes of it.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// The seed of its world.
    pub seed: u64,
    /// Its number in the world: in its id, its caller and its tag `n`.
    pub n: u32,
    /// Position of its carrier.
    pub carrier: usize,
    /// What was dialled.
    pub to: &'static str,
    /// The caller's number as the carrier sends it; `None` is withheld.
    pub from: Option<String>,
    /// A test call.
    pub test: bool,
    /// The state the carrier names.
    pub state: Option<&'static str>,
    /// How the first request goes.
    pub asking: Asking,
    /// Further requests, in milliseconds after the first, and whether they name another number.
    pub repeats: Vec<(u64, bool)>,
    /// What becomes of its first leg.
    pub leg: LegPlan,
}

/// What becomes of one attempt, and what is told of it.
#[derive(Clone, Debug)]
pub struct LegPlan {
    /// What becomes of it.
    pub fate: Fate,
    /// Reports in the order in which they leave.
    pub reports: Vec<Report>,
    /// When the carrier asks what to do next, in milliseconds after the answer.
    pub asks_on: Option<u64>,
    /// When it asks the same again.
    pub asks_again: Option<u64>,
    /// How its buyer, or somebody else, hands it back.
    pub hand_backs: Vec<HandBack>,
}

/// How a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// At once, and its answer is awaited.
    Plain,
    /// The second half of the body comes so many milliseconds after the first.
    Drips(u64),
    /// The connection is dropped after the first figure, and the request comes again after the second.
    Dropped(u64, u64),
}

/// What becomes of a leg; times in milliseconds after the answer was received.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Target and caller talk.
    Talk { answer: u64, bridge: u64, talk: u64, by: &'static str },
    /// Nobody talks.
    Fails { after: u64, cause: &'static str, by: &'static str },
    /// The caller hangs up while it rings: the caller's leg ends, and with it the other.
    Abandon { after: u64 },
    /// Nobody hears of it again.
    Silence,
    /// It is answered, and its end is never told.
    Lost { answer: u64 },
}

/// One report of a carrier.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its type.
    pub kind: &'static str,
    /// When it happened, in milliseconds after the answer.
    pub at_ms: u64,
    /// When it is sent, in milliseconds after the answer.
    pub sent_ms: u64,
    /// Cause, originator and talk time as they are sent.
    pub end: Option<(&'static str, &'static str, Option<u64>)>,
    /// Sent under an id of its own although it says what another said.
    pub again: bool,
    /// What goes wrong on the way.
    pub trick: Trick,
}

/// What goes wrong with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// Nothing.
    None,
    /// The connection is dropped after so many milliseconds and the report sent again.
    Dropped(u64),
    /// Before it, one with a wrong token.
    WrongToken,
    /// Before it, one about an attempt that never was.
    WrongAttempt,
    /// Before it, one with another carrier's key.
    WrongKey,
}

const AREAS: [&str; 6] = ["512", "212", "415", "303", "602", "305"];

/// The plan of call `n` in the world of this seed.
pub fn call(seed: u64, n: u32) -> CallPlan {
    let mut chance = Chance::new(seed, &["call", &n.to_string()]);
    let c = &mut chance;
    let number = format!("+1{}2{n:06}", c.pick(&AREAS).expect("areas"));
    let from = match c.between(0, 99) {
        0..=4 => None,
        5..=6 => Some(format!("00{}", &number[1..])),
        _ => Some(number),
    };
    let asking = match c.between(0, 99) {
        0..=4 => Asking::Drips(c.between(1, 400)),
        5..=12 => Asking::Dropped(c.between(0, 500), c.between(0, 1_500)),
        _ => Asking::Plain,
    };
    let mut repeats = Vec::new();
    while c.hits(1_500) && repeats.len() < 4 {
        let after = if c.hits(6_000) { c.between(0, 700) } else { c.between(700, 20_000) };
        repeats.push((after, c.hits(1_000)));
    }
    let leg = leg(seed, n, 1);
    let carrier = c.between(0, CARRIERS.len() as u64 - 1) as usize;
    CallPlan {
        seed,
        n,
        carrier,
        to: if c.hits(400) { NUMBERS[6] } else { NUMBERS[c.between(0, 5) as usize] },
        from,
        // Twilio has no word for it.
        test: c.hits(400) && carrier != TWILIO,
        state: c.hits(2_000).then_some("NY"),
        asking,
        repeats,
        leg,
    }
}

/// What becomes of this attempt of call `n`.
pub fn leg(seed: u64, n: u32, attempt: u32) -> LegPlan {
    let mut chance = Chance::new(seed, &["leg", &n.to_string(), &attempt.to_string()]);
    let c = &mut chance;
    let answer = c.between(800, 15_000);
    let bridge = answer + if c.hits(7_000) { c.between(0, 300) } else { c.between(300, 4_000) };
    let by = if c.hits(6_000) { "caller" } else { "target" };
    let fate = match c.between(0, 99) {
        0..=59 => {
            let talk = match c.between(0, 9) {
                0 => 0,
                1 | 2 => c.between(1, 29_999),
                // On the edge of a minimum duration.
                3 | 4 => [29_999, 30_000, 59_999, 60_000, 89_999, 90_000, 119_999, 120_000]
                    [c.between(0, 7) as usize],
                _ => c.between(30_000, 240_000),
            };
            Fate::Talk { answer, bridge, talk, by }
        }
        60..=77 => {
            let causes =
                [("busy", "target"), ("no_answer", "carrier"), ("rejected", "target"), ("failed", "carrier")];
            let (cause, by) = *c.pick(&causes).expect("causes");
            Fate::Fails { after: c.between(100, 20_000), cause, by }
        }
        78..=89 => Fate::Abandon { after: c.between(300, 18_000) },
        90..=94 => Fate::Silence,
        _ => Fate::Lost { answer },
    };
    let (hand_backs, fate) = hand_backs::draw(seed, n, attempt, fate);
    let reports = reports(&fate, c);
    let ended = match fate {
        Fate::Talk { bridge, talk, .. } => Some(bridge + talk),
        Fate::Fails { after, .. } | Fate::Abandon { after } => Some(after),
        Fate::Silence | Fate::Lost { .. } => None,
    };
    let is_let_go = hand_backs.iter().any(|told| told.by == By::Its);
    let often = if matches!(fate, Fate::Fails { .. }) || is_let_go { 8_500 } else { 3_500 };
    let asks_on = ended.filter(|_| c.hits(often)).map(|ended| ended + c.between(0, 2_500));
    let asks_again = asks_on.filter(|_| c.hits(2_000)).map(|on| on + c.between(0, 1_500));
    LegPlan { fate, reports, asks_on, asks_again, hand_backs }
}

/// What becomes of all that ring at once.
pub struct Together {
    /// Of each, in the order of the answer; when the carrier asks on is not in it.
    pub legs: Vec<LegPlan>,
    /// When the carrier asks what to do next, in milliseconds after the answer.
    pub asks_on: Option<u64>,
    /// When it asks the same again.
    pub asks_again: Option<u64>,
}

/// What becomes of these attempts of call `n`: of each what would become of it alone, until the first that is connected
/// takes the call, or the caller leaves. Now and then a carrier connects two.
pub fn together(seed: u64, n: u32, attempts: &[u32]) -> Together {
    let first = attempts.first().copied().unwrap_or(0);
    let mut chance = Chance::new(seed, &["together", &n.to_string(), &first.to_string()]);
    let c = &mut chance;
    let (alone, hand_backs): (Vec<Fate>, Vec<_>) = attempts
        .iter()
        .map(|attempt| leg(seed, n, *attempt))
        .map(|alone| (alone.fate, alone.hand_backs))
        .unzip();
    let bridge = |fate: &Fate| if let Fate::Talk { bridge, .. } = fate { Some(*bridge) } else { None };
    let leaves = |fate: &Fate| if let Fate::Abandon { after } = fate { Some(*after) } else { None };
    let took = alone.iter().filter_map(bridge).min();
    let left = alone.iter().filter_map(leaves).min().filter(|left| took.is_none_or(|took| *left < took));
    let connects_two = c.hits(500);
    let fates: Vec<Fate> = alone
        .into_iter()
        .map(|fate| match (fate, left, took) {
            (Fate::Silence | Fate::Lost { .. }, ..) => fate,
            (Fate::Fails { after, .. }, Some(left), _) if after < left => fate,
            (_, Some(after), _) => Fate::Abandon { after },
            (Fate::Talk { bridge, .. }, None, Some(took)) if bridge == took || connects_two => fate,
            (Fate::Fails { after, .. }, None, Some(took)) if after < took => fate,
            (_, None, Some(took)) => {
                Fate::Fails { after: took + c.between(5, 80), cause: "cancelled", by: "carrier" }
            }
            (_, None, None) => fate,
        })
        .collect();
    let ends: Vec<Option<u64>> = fates
        .iter()
        .map(|fate| match *fate {
            Fate::Talk { bridge, talk, .. } => Some(bridge + talk),
            Fate::Fails { after, .. } | Fate::Abandon { after } => Some(after),
            // Whoever still rings then is cancelled.
            Fate::Silence | Fate::Lost { .. } => took.or(left),
        })
        .collect();
    let ended = ends.iter().copied().collect::<Option<Vec<u64>>>().and_then(|ends| ends.into_iter().max());
    let often = if took.is_none() && left.is_none() { 8_500 } else { 3_500 };
    let asks_on = ended.filter(|_| c.hits(often)).map(|ended| ended + c.between(0, 2_500));
    let asks_again = asks_on.filter(|_| c.hits(2_000)).map(|on| on + c.between(0, 1_500));
    let legs = fates
        .into_iter()
        .zip(hand_backs)
        .map(|(fate, hand_backs)| LegPlan {
            fate,
            reports: reports(&fate, c),
            asks_on: None,
            asks_again: None,
            hand_backs,
        })
        .collect();
    Together { legs, asks_on, asks_again }
}

fn reports(fate: &Fate, c: &mut Chance) -> Vec<Report> {
    let mut told: Vec<(&'static str, u64, Option<_>)> = Vec::new();
    let rings = c.between(100, 700);
    match *fate {
        Fate::Talk { answer, bridge, talk, by } => {
            told.extend([("ringing", rings, None), ("answered", answer, None), ("bridged", bridge, None)]);
            let said = c.hits(6_000).then_some(talk);
            told.push(("ended", bridge + talk, Some(("normal", by, said))));
            if c.hits(3_000) {
                told.push(("call_ended", bridge + talk + c.between(0, 2_000), Some(("normal", by, None))));
            }
        }
        Fate::Fails { after, cause, by } => {
            told.extend([("ringing", rings.min(after), None), ("ended", after, Some((cause, by, None)))]);
        }
        Fate::Abandon { after } => {
            let cause = if c.hits(5_000) { "cancelled" } else { "no_answer" };
            told.push(("ringing", rings.min(after), None));
            match c.between(0, 2) {
                0 => told.push(("call_ended", after, Some((cause, "caller", None)))),
                1 => told.push(("ended", after, Some((cause, "caller", None)))),
                _ => told.extend([
                    ("call_ended", after, Some((cause, "caller", None))),
                    ("ended", after + 20, Some((cause, "caller", None))),
                ]),
            }
        }
        Fate::Silence => {}
        Fate::Lost { answer } => told.push(("answered", answer, None)),
    }
    let mut reports = Vec::new();
    for (kind, at_ms, end) in told {
        let late = match c.between(0, 99) {
            0..=79 => c.between(0, 60),
            80..=93 => c.between(60, 9_000),
            94..=96 => c.between(9_000, 90_000),
            _ => continue,
        };
        let trick = match c.between(0, 199) {
            0..=9 => Trick::Dropped(c.between(0, 40)),
            10..=15 => Trick::WrongToken,
            16..=21 => Trick::WrongAttempt,
            22..=25 => Trick::WrongKey,
            _ => Trick::None,
        };
        let report = Report { kind, at_ms, sent_ms: at_ms + late, end, again: false, trick };
        while c.hits(800) {
            let sent_ms = report.sent_ms + c.between(0, 6_000);
            reports.push(Report { sent_ms, again: c.hits(3_000), trick: Trick::None, ..report.clone() });
        }
        reports.push(report);
    }
    reports.sort_by_key(|report| report.sent_ms);
    reports
}

impl CallPlan {
    /// What the carrier calls it.
    pub fn id(&self) -> String {
        format!("sim-{}", self.n)
    }

    /// Whether this campaign's plan rings several at once for it: `home` does for the label that it brings, or for its number
    /// in the world.
    pub fn is_rung_together(&self, campaign: &str) -> bool {
        campaign != "home" || self.carrier != TWILIO || self.n.to_string().starts_with('1')
    }

    /// The caller's ten digits, whatever was sent.
    pub fn digits(&self) -> Option<&str> {
        self.from.as_ref().map(|from| &from[from.len() - 10..])
    }
}

/// The script as it is printed, one action a line, behind the position that `SIM_KEEP` takes.
pub fn print(seed: u64, script: &[(usize, Action)]) -> String {
    let line = |(at, action): &(usize, Action)| {
        let deed = match &action.deed {
            Deed::Call(n) => call(seed, *n).to_string(),
            Deed::Reload(edit) => format!("reload: {edit}"),
            Deed::Mood { place, mood, for_ms } => format!("buyer at 10.0.0.{place} {mood:?} for {for_ms} ms"),
            Deed::Disk { pace, for_ms } => format!("disk {pace:?} for {for_ms} ms"),
        };
        format!("  {at:>5}  {:>8} ms  {deed}\n", action.at_ms)
    };
    script.iter().map(line).collect()
}

impl fmt::Display for CallPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} of {} to {}", self.n, CARRIERS[self.carrier].0, self.to)?;
        if self.from.is_none() {
            f.write_str(" withheld")?;
        }
        if self.test {
            f.write_str(" test")?;
        }
        if self.asking != Asking::Plain {
            write!(f, " {:?}", self.asking)?;
        }
        if !self.repeats.is_empty() {
            write!(f, " repeats {:?}", self.repeats)?;
        }
        write!(f, " {:?};", self.leg.fate)?;
        for report in &self.leg.reports {
            write!(f, " {}@{}", report.kind, report.sent_ms)?;
            if report.trick != Trick::None {
                write!(f, "({:?})", report.trick)?;
            }
        }
        for told in &self.leg.hand_backs {
            write!(f, " {told:?}")?;
        }
        Ok(())
    }
}
