//! Attempts that Twilio rings at once: its one word on all of them, told apart, and who may take the call.

use std::collections::BTreeMap;

use super::legs::Leg;
use super::{Check, Promise, Sent};

/// What a carrier says of all that rang at once.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Cause, originator and talk.
    pub end: (&'static str, &'static str, Option<u64>),
    /// The attempt whose leg it names.
    pub leg: Option<u32>,
}

/// What came of it that somebody picked up, or pressed a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Screened {
    /// Asked for a digit.
    Asked,
    /// Has the caller.
    Took,
    /// Another one has the caller already.
    TooLate,
    /// Pressed another digit.
    Declined,
}

impl Check {
    /// A carrier is about to say how all that rang for a step ended.
    pub fn says_of_all(&mut self, n: u32, step: u32, word: Word) {
        self.known(n).words.entry(step).or_insert(word);
    }

    /// What that says of one of them, by what is known of them in this moment.
    pub(super) fn said_of(&self, n: u32, event_id: &str) -> Option<Sent> {
        let (step, number) = event_id.strip_prefix("next/")?.split_once('/')?;
        let (step, number) = (step.parse::<u32>().ok()?, number.parse::<u32>().ok()?);
        let known = self.calls.get(&n)?;
        let word = known.words.get(&step)?;
        let legs: BTreeMap<u32, &Leg> = known
            .legs
            .iter()
            .filter(|(_, leg)| leg.step == step)
            .map(|(number, leg)| (*number, leg))
            .collect();
        let end = if legs.len() < 2 { word.end } else { of_one(&legs, number, word)? };
        Some(Sent { n, kind: "ended", attempt: Some(number), at: None, end: Some(end) })
    }

    /// Whether an attempt may still take its call.
    pub fn may_take(&self, n: u32, attempt: u32) -> bool {
        let leg = self.calls.get(&n).and_then(|known| known.legs.get(&attempt));
        leg.is_some_and(|leg| !leg.settled)
    }

    /// Whoever picked up heard this; before that the attempt might take its call or not.
    pub fn screened(&mut self, (n, attempt): (u32, u32), digits: Option<&str>, document: &str, before: bool) {
        self.note(|| format!("screen {n} {attempt} {digits:?} {document}"));
        let may = [before, self.may_take(n, attempt)];
        let is_over = document.contains("<Hangup") && !document.contains("<Gather");
        let (what, holds) = match digits {
            None if document.contains("<Gather") => (Screened::Asked, may.contains(&true)),
            Some("1") if !is_over => (Screened::Took, may.contains(&true)),
            None | Some("1") => (Screened::TooLate, may.contains(&false) && is_over),
            Some(_) => (Screened::Declined, is_over),
        };
        *self.counts.screened.entry(what).or_insert(0) += 1;
        self.must(holds, Promise::Agrees, || {
            format!("attempt {attempt} of call {n} pressed {digits:?}, might take it {may:?}, and heard {document}")
        });
    }
}

type End = (&'static str, &'static str, Option<u64>);

/// The end of one of several by a word on all of them.
fn of_one(legs: &BTreeMap<u32, &Leg>, number: u32, word: &Word) -> Option<End> {
    let leg = legs.get(&number)?;
    let (cause, by, talk) = word.end;
    if cause != "normal" {
        let own = leg.end.map(|end| end.cause);
        return Some(match own {
            _ if matches!(by, "caller" | "exchange") => (cause, by, None),
            _ if leg.answered.is_some() => ("rejected", "target", None),
            Some("busy") => ("busy", "target", None),
            Some(own) => (own, "carrier", None),
            None if cause == "rejected" => ("no_answer", "carrier", None),
            None => (cause, by, None),
        });
    }
    let only = |which: &dyn Fn(&Leg) -> bool| {
        let mut found = legs.iter().filter(|(_, leg)| which(leg)).map(|(number, _)| *number);
        found.next().filter(|_| found.next().is_none())
    };
    let named = word.leg.filter(|number| legs.get(number).is_some_and(|leg| leg.is_named));
    let took = legs.iter().find(|(_, leg)| leg.has_the_caller()).map(|(number, _)| *number);
    let who = named
        .or(took)
        .or_else(|| only(&|leg| !leg.settled && leg.answered.is_some()))
        .or_else(|| only(&|leg| !leg.settled));
    Some(match who {
        None => ("normal", "unknown", None),
        Some(who) if who == number => ("normal", by, talk),
        Some(_) => ("cancelled", "carrier", None),
    })
}
