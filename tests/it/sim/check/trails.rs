//! Trails: what became of every target of a plan, and of every ping.

use std::time::Duration;

use outcry::domain::{Catalog, Plan, Reason, TargetIx, Terminal};
use outcry::records::row::{OutcomeRow, TrailRow};

use super::{Check, Known, Promise, SLACK};
use crate::sim::{attested, callers, world};

impl Check {
    pub(super) fn trail(&mut self, row: &TrailRow) {
        let Some(n) = self.by_id.get(&row.keys.call_id).copied() else {
            return self
                .broke(Promise::OneOutcome, format!("a trail of {} before its decision", row.keys.call_id));
        };
        self.schedule(n, row);
        let (linger, known) = (self.linger, self.calls.entry(n).or_default());
        let decided = known.decided.as_ref().expect("decided, since its id is known");
        let catalog = &self.catalogs[&decided.catalog];
        let planned = planned(catalog, &row.plan);
        let named: Vec<&str> = row.outcomes.iter().map(|outcome| outcome.target.as_str()).collect();
        known.trails.insert(row.step, row.clone());
        let mut faults = Vec::new();
        if known.finals.contains(&row.step) {
            faults.push("it was final before".to_owned());
        }
        let is_part =
            named.iter().enumerate().all(|(at, one)| planned.contains(one) && !named[..at].contains(one));
        if row.step == 1 && named != planned || !is_part {
            faults.push(format!("it names {named:?} and the plan has {planned:?}"));
        }
        faults.extend(callers::faults(self.seed, n, row));
        faults.extend(attested::faults(&world::call(self.seed, n), row));
        let pending = row.outcomes.iter().filter(|outcome| outcome.reason == Reason::Pending).count();
        if row.is_final != (pending == 0) {
            faults.push(format!("{pending} outcomes are pending"));
        }
        let won: Vec<&str> =
            row.outcomes.iter().filter(|o| o.reason == Reason::Won).map(|o| o.target.as_str()).collect();
        // What a later step found is not handed out to a caller who left meanwhile.
        let handed_out: Vec<_> = known.attempts.values().filter(|attempt| attempt.step == row.step).collect();
        let took: Vec<&str> = match handed_out[..] {
            [] => decided.target.iter().map(|target| target.as_str()).collect(),
            // Those that ring at once, in the order in which they were held.
            _ => handed_out.iter().filter_map(|attempt| Some(attempt.target.as_ref()?.as_str())).collect(),
        };
        let is_known = row.step == 1 || !handed_out.is_empty();
        if is_known && won != took {
            faults.push(format!("{won:?} won and {took:?} took it"));
        }
        let mut late = None;
        if row.is_final {
            for outcome in &row.outcomes {
                match untrue(known, row, outcome, linger) {
                    Some((Promise::LateBid, what)) => late = Some(what),
                    Some((_, what)) => faults.push(what),
                    None => {}
                }
            }
            known.finals.insert(row.step);
            known.outcomes.extend(row.outcomes.iter().cloned());
            let is_barred = matches!(
                decided.reason,
                Reason::UnknownNumber
                    | Reason::CampaignPaused
                    | Reason::CallerBlocked
                    | Reason::CampaignClosed
                    | Reason::PublisherClosed
            );
            for turn in row.turns.iter().filter(|_| !row.test && !is_barred) {
                let children = self.turns.entry((row.plan.clone(), turn.node)).or_default();
                *children.entry(turn.first).or_insert(0) += 1;
            }
            if row.step > 1 && !row.turns.is_empty() {
                faults.push("a later step took a turn".to_owned());
            }
        }
        if row.is_final {
            self.on_its_way(n, row);
            self.pays(n, row);
            for outcome in &row.outcomes {
                *self.counts.reasons.entry(outcome.reason.as_str()).or_insert(0) += 1;
            }
        }
        if let Some(fault) = late {
            self.broke(Promise::LateBid, format!("call {n}: {fault}"));
        }
        for fault in faults {
            self.broke(Promise::OneOutcome, format!("the trail of call {n}: {fault}"));
        }
    }

    /// A ping that finds a connection is with its buyer at once: one that comes later waited behind something.
    pub(super) fn on_its_way(&mut self, n: u32, row: &TrailRow) {
        let known = self.calls.entry(n).or_default();
        let window = known.windows.get(&row.step).copied();
        let pings = row.outcomes.iter().filter_map(|outcome| outcome.ping.map(|ping| ping.to_string()));
        let mut behind = None;
        for ping in pings {
            let mut seen = known.pings.iter().filter(|seen| seen.ping == ping);
            // Of one that came twice the first was on a connection that its peer was closing.
            if let (Some(seen), None) = (seen.next(), seen.next()) {
                let closes = window.map_or(row.keys.at, |window| window.closes_for(&seen.target));
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

/// What only a complete reply leads to once somebody was asked, with the amount it named; the last of them where who was
/// paused meanwhile is not held, or who won a later step finds that its caller has left.
const PRICED: [Reason; 12] = [
    Reason::Won,
    Reason::CallerAbandon,
    Reason::BelowFloor,
    Reason::Margin,
    Reason::Outbid,
    Reason::TieLost,
    Reason::LowerTier,
    Reason::Expired,
    Reason::HoldLost,
    Reason::Paused,
    Reason::BuyerPaused,
    Reason::CampaignPaused,
];
/// What else only a complete reply leads to.
const REPLIED: [Reason; 10] = [
    Reason::Late,
    Reason::NoBid,
    Reason::HttpStatus,
    Reason::Redirect,
    Reason::Throttled,
    Reason::PingMismatch,
    Reason::AboveMax,
    Reason::BadTerms,
    Reason::BadDestination,
    Reason::BadCurrency,
];

/// What is not true of a ping's outcome, by what its buyer saw and said.
fn untrue(
    known: &Known,
    row: &TrailRow,
    outcome: &OutcomeRow,
    linger: Duration,
) -> Option<(Promise, String)> {
    let (ping, reason) = (outcome.ping?.to_string(), outcome.reason);
    let window = known.windows.get(&row.step)?;
    let Some(said) = known.said.iter().find(|said| said.ping == ping) else {
        let is_untrue = PRICED.contains(&reason) || REPLIED.contains(&reason);
        let what = || (Promise::OneOutcome, format!("{} never replied and is {reason}", outcome.target));
        return is_untrue.then(what);
    };
    let closes = window.closes_for(outcome.target.as_str());
    let all_ended = window.arrived.after(Duration::from_micros(row.closed_us)).min(window.closes);
    let ended = all_ended.min(closes);
    // Of a walk with two auctions only the last one's end is told.
    let is_told_when = row.plan != "home";
    let until = all_ended.after(linger).max(window.closes);
    let in_time = said.landed < closes;
    let was_judged = is_told_when && said.landed < ended;
    let price = said.bid.as_ref().map(|bid| bid.micros);
    let (late, not_needed, timeout) =
        (reason == Reason::Late, reason == Reason::NotNeeded, reason == Reason::Timeout);
    let holds = match () {
        () if in_time && (late || timeout) => false,
        () if was_judged && price.is_some() => PRICED.contains(&reason),
        () if was_judged => !not_needed && !matches!(reason, Reason::Connect | Reason::Disconnected),
        // Of an auction that was not closed early only a probe's reply comes after its end and in time.
        () if not_needed => !is_told_when || row.close == "early" || in_time && row.close == "all_replied",
        () if in_time => true,
        () if late => said.landed <= until.after(SLACK),
        () if timeout => !is_told_when || said.landed.after(SLACK) >= until,
        () => false,
    };
    let names = PRICED.contains(&reason) || late || not_needed;
    let amount = outcome.amount.map(|amount| amount.micros());
    // Who replies at the very end of the linger may have been given up before.
    let is_given_up = not_needed && amount.is_none() && said.landed.after(SLACK) >= until;
    let is_amount_true = !names || price.is_none() || amount == price || is_given_up;
    let what = format!(
        "the reply of {} landed {} µs after the close, {} µs after the end ({}), bid {price:?}, and is {reason} at {amount:?}",
        outcome.target,
        said.landed.micros() - closes.micros(),
        said.landed.micros() - ended.micros(),
        row.close,
    );
    let promise = if is_amount_true { Promise::LateBid } else { Promise::OneOutcome };
    (!holds || !is_amount_true).then_some((promise, what))
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
