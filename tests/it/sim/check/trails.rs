//! Trails: what became of every target of a plan, and of every ping.

use std::time::Duration;

use outcry::domain::{Catalog, Plan, Reason, TargetIx, Terminal};
use outcry::records::row::TrailRow;

use super::{Check, Promise};

impl Check {
    pub(super) fn trail(&mut self, row: &TrailRow) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self
                .broke(Promise::OneOutcome, format!("a trail of {} before its decision", row.keys.call_id));
        };
        let (linger, known) = (self.linger, self.calls.entry(n).or_default());
        let decided = known.decided.as_ref().expect("decided, since its id is known");
        let catalog = &self.catalogs[&decided.catalog];
        let planned = planned(catalog, &row.plan);
        let closes = known.closes.get(&row.step).copied().unwrap_or(row.keys.at);
        let named: Vec<&str> = row.outcomes.iter().map(|outcome| outcome.target.as_str()).collect();
        let mut faults = Vec::new();
        if known.finals.contains(&row.step) {
            faults.push("it was final before".to_owned());
        }
        let is_part =
            named.iter().enumerate().all(|(at, one)| planned.contains(one) && !named[..at].contains(one));
        if row.step == 1 && named != planned || !is_part {
            faults.push(format!("it names {named:?} and the plan has {planned:?}"));
        }
        let pending = row.outcomes.iter().filter(|outcome| outcome.reason == Reason::Pending).count();
        if row.is_final != (pending == 0) {
            faults.push(format!("{pending} outcomes are pending"));
        }
        let won: Vec<&str> =
            row.outcomes.iter().filter(|o| o.reason == Reason::Won).map(|o| o.target.as_str()).collect();
        // What a later step found is not handed out to a caller who left meanwhile.
        let handed_out = known.attempts.values().find(|attempt| attempt.step == row.step);
        let took = match handed_out {
            Some(attempt) => attempt.target.as_ref(),
            None => decided.target.as_ref(),
        };
        let is_known = row.step == 1 || handed_out.is_some();
        if is_known && won != took.map(|target| target.as_str()).into_iter().collect::<Vec<_>>() {
            faults.push(format!("{won:?} won and {took:?} took it"));
        }
        let mut late = Vec::new();
        if row.is_final {
            for outcome in &row.outcomes {
                let asked = outcome.ping.is_some();
                let said =
                    known.said.iter().find(|said| said.target == outcome.target.as_str()).filter(|_| asked);
                let Some(said) = said else { continue };
                let is_late = matches!(outcome.reason, Reason::Late | Reason::Timeout);
                let in_time = said.landed < closes;
                let ended = row.keys.at.after(Duration::from_micros(row.closed_us)).min(closes);
                // Of a walk with two auctions nobody says when the first one ended.
                let is_told_when = row.step == 1 && row.plan != "home";
                let lingers =
                    if is_told_when { ended.after(linger).before(Duration::from_millis(5)) } else { closes };
                let is_told = matches!(outcome.reason, Reason::Late | Reason::NotNeeded);
                if in_time && is_late || !in_time && said.landed < lingers && !is_told {
                    late.push(format!(
                        "call {n}: the reply of {} landed {} µs after the close and is {}",
                        outcome.target,
                        said.landed.micros() - closes.micros(),
                        outcome.reason
                    ));
                }
            }
            known.finals.insert(row.step);
            known.outcomes.extend(row.outcomes.iter().cloned());
        }
        known.trails += 1;
        if row.is_final {
            self.on_its_way(n, row);
            for outcome in &row.outcomes {
                *self.counts.reasons.entry(outcome.reason.as_str()).or_insert(0) += 1;
            }
        }
        for fault in faults {
            self.broke(Promise::OneOutcome, format!("the trail of call {n}: {fault}"));
        }
        for fault in late {
            self.broke(Promise::LateBid, fault);
        }
    }

    /// A ping that finds a connection is with its buyer at once: one that comes later waited behind something.
    pub(super) fn on_its_way(&mut self, n: u32, row: &TrailRow) {
        let known = self.calls.entry(n).or_default();
        let closes = known.closes.get(&row.step).copied().unwrap_or(row.keys.at);
        let pings = row.outcomes.iter().filter_map(|outcome| outcome.ping.map(|ping| ping.to_string()));
        let mut behind = None;
        for ping in pings {
            let mut seen = known.pings.iter().filter(|seen| seen.ping == ping);
            // Of one that came twice the first was on a connection that its peer was closing.
            if let (Some(seen), None) = (seen.next(), seen.next()) {
                let rendered = closes.before(Duration::from_millis(seen.deadline_ms + 3));
                let waited = seen.at.since(rendered);
                if seen.is_reused && waited > Duration::from_millis(3) {
                    behind = Some((seen.target.clone(), waited));
                }
            }
        }
        if let Some((target, waited)) = behind {
            let waited = waited.as_millis();
            self.broke(
                Promise::Owing,
                format!(
                    "a ping of call {n} reached {target} {waited} ms after it was made, on a used connection"
                ),
            );
        }
    }
}

fn planned<'a>(catalog: &'a Catalog, plan: &str) -> Vec<&'a str> {
    let plan: &Plan = catalog.plans.iter().find(|one| one.id.to_string() == plan).expect("a configured plan");
    let mut targets: Vec<TargetIx> = Vec::new();
    plan.root.targets(&mut targets);
    debug_assert!(
        !targets.is_empty() || matches!(plan.terminal, Terminal::Message(_)),
        "only one plan is empty"
    );
    targets.into_iter().map(|ix| catalog.target(ix).id.as_str()).collect()
}
