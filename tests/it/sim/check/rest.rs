//! What is looked at now and then, and when nothing is to come any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outcry::domain::{Node, PingId};
use outcry::state::capacity::Gauges;

use super::{Check, Promise};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) held: u32,
    pub(super) posted: u32,
    pub(super) unresolved: u32,
}

/// How long after its time the sweep may look at a call.
pub(super) const SWEPT: Duration = Duration::from_secs(2);

/// How many children take turns at the round robin of this number.
fn in_turn(node: &Node, number: u32) -> Option<u64> {
    match node {
        Node::RoundRobin(own) if own.number == number as usize => Some(own.children.len() as u64),
        other => other.children().into_iter().find_map(|child| in_turn(child, number)),
    }
}

impl Check {
    /// Looks at everything that is open.
    pub fn look(&mut self, gauges: &Gauges) {
        let now = self.clock.now();
        let calls = &self.calls;
        self.open.retain(|n| calls[n].legs.values().any(|leg| !leg.settled && !leg.expired));
        let overdue = self.open.iter().copied().find(|n| {
            self.calls[n].legs.values().any(|leg| {
                let due =
                    if leg.end.is_some() { leg.judge_at } else { Some(leg.expires).filter(|_| !leg.expired) };
                !leg.settled && due.is_some_and(|due| due.after(SWEPT) < now)
            })
        });
        if let Some(n) = overdue {
            self.broke(Promise::OneEnd, format!("call {n} is overdue"));
        }
        self.compare(gauges, Promise::Caps, "");
    }

    /// Every gauge has what the model has.
    pub fn compare(&mut self, gauges: &Gauges, promise: Promise, when: &str) {
        for (key, units) in self.units.clone() {
            let gauge = gauges.read(&key);
            let theirs = Units { held: gauge.held, posted: gauge.posted, unresolved: gauge.unresolved };
            self.must(theirs == units, promise, || {
                format!("{key} has {theirs:?} and should have {units:?}{when}")
            });
        }
    }

    /// Looks at everything once nothing is to come any more.
    pub fn at_rest(&mut self, gauges: &Gauges, calls: &BTreeSet<u32>) {
        let held = gauges.held();
        self.must(held == 0, Promise::AtRest, || format!("{held} units are held"));
        self.compare(gauges, Promise::Caps, " at rest");
        self.replays(calls);
        let (mut owed, mut booked) = (BTreeMap::new(), BTreeMap::new());
        for n in calls {
            let known = self.calls.entry(*n).or_default();
            let Some(decided) = &known.decided else {
                self.broke(Promise::SameBytes, format!("call {n} was never decided"));
                continue;
            };
            let last = known.ends.last().map(|end| end.end.reason);
            let is_ended =
                !known.ends.is_empty() && known.legs.values().all(|leg| leg.settled || leg.expired);
            let asked: BTreeSet<&str> = known.pings.iter().map(|seen| seen.ping.as_str()).collect();
            let told: BTreeSet<String> = known
                .outcomes
                .iter()
                .filter_map(|outcome| outcome.ping)
                .map(|ping: PingId| ping.to_string())
                .collect();
            let unknown = asked.iter().find(|ping| !told.contains(**ping)).map(|ping| (*ping).to_owned());
            let is_final =
                known.finals.contains(&1) && known.attempts.values().all(|a| known.finals.contains(&a.step));
            let is_heard = known.answers.contains_key(&1);
            for (_, account, amount) in &known.owed {
                *owed.entry(account.clone()).or_insert(0) += amount;
            }
            for (_, account, amount) in &known.booked {
                *booked.entry(account.clone()).or_insert(0) += amount;
            }
            let sum: i64 = known.booked.iter().map(|(_, _, amount)| amount).sum();
            let what = format!("call {n} ({}) ended in {last:?}", decided.reason);
            self.must(is_ended, Promise::OneEnd, || what);
            self.must(is_final, Promise::OneOutcome, || format!("a trail of call {n} is not final"));
            self.must(unknown.is_none(), Promise::OneOutcome, || {
                format!("ping {unknown:?} of call {n} has no outcome")
            });
            self.must(is_heard, Promise::Answered, || format!("call {n} never heard an answer"));
            self.must(sum == 0, Promise::Money, || format!("the entries of call {n} sum to {sum}"));
        }
        for ((plan, node), children) in self.turns.clone() {
            let all: u64 = children.values().sum();
            let many = self.current.as_ref().map_or(0, |catalog| {
                let plan =
                    catalog.plans.iter().find(|one| one.id.as_str() == plan).expect("a plan of the market");
                in_turn(&plan.root, node).expect("a round robin")
            });
            let due = |child: u64| (all + many - 1 - child) / many;
            let is_even = (0..many).all(|n| children.get(&(n as u32)).copied().unwrap_or(0) == due(n));
            self.must(is_even, Promise::Turns, || format!("round robin {node} of {plan} went {children:?}"));
        }
        self.must(owed == booked, Promise::Money, || format!("{owed:?} is owed and {booked:?} is booked"));
    }
}
