//! A call's life from its first report to its ledger entries: the machine, the settlement, the hold, the gauges.
//!
//! Stands for what a carrier's reports cost after the decision, under the call's lock: four of them for a talk that is
//! billed, one for a target that was busy. The rows that go to the disk, and the disk, are not in it. Nobody waits for
//! it on the decision path, but every call pays it once, so a regression takes away from what a worker can decide. It is
//! less than a microsecond, most of it the gauges' maps; several mean that the machine has begun to copy what it knows of
//! the call at each report.

use std::sync::Arc;
use std::time::Duration;

use outcry::billing::ledger::{Entry, entries};
use outcry::billing::{Terms, settle};
use outcry::call::event::{CallEvent, Effect, EventKind};
use outcry::call::{Call, Kind, Patience, Recovery, Rung};
use outcry::capacity::hold::Hold;
use outcry::domain::{Bps, Cause, EndedBy, HoldId, Money, Payout};
use outcry::state::capacity::Gauges;

use crate::{Stopwatch, market};

const PATIENCE: Patience = Patience {
    late_events: Duration::from_secs(5),
    unanswered: Duration::from_secs(40),
    answered: Duration::from_secs(14_460),
};
const RECOVERY: Recovery = Recovery {
    early_hangup: Duration::from_secs(15),
    attempts: 5,
    ring_budget: Duration::from_secs(60),
    next_within: Duration::ZERO,
};

/// A report so many seconds after the call was handed out.
fn report(after_s: u64, kind: EventKind) -> CallEvent {
    CallEvent { attempt: Some(1), at: market::now().after(Duration::from_secs(after_s)), kind }
}

/// What the shell does with the reports of a call, and what is booked.
fn live(
    gauges: &Gauges,
    terms: &Terms,
    (mut call, mut hold): (Call, Hold),
    reports: &[CallEvent],
) -> Vec<Entry> {
    let mut booked = Vec::new();
    for report in reports {
        for effect in call.on_event(report, report.at) {
            match effect {
                Effect::FreeSlots { .. } => gauges.apply(hold.free_slots()),
                Effect::Settle { end, .. } => {
                    let settlement = settle(terms, &end, false);
                    gauges.apply(if settlement.billable { hold.post() } else { hold.void() });
                    booked = entries(&settlement);
                }
                Effect::Over => assert!(call.is_over()),
                Effect::Expire { .. } | Effect::Void { .. } => unreachable!("its end was reported"),
            }
        }
    }
    assert!(call.is_over(), "the last report ends it");
    booked
}

pub fn run(watch: &mut Stopwatch) {
    let gauges = Arc::new(Gauges::default());
    let claims = market::claims();
    let terms = Terms {
        price: market::money("25.50"),
        min_duration: Duration::from_secs(90),
        payout: Payout::Share(Bps(7_000)),
        money_step: Money::from_micros(10_000),
        test: false,
    };
    let handed_out = || {
        let mut call = Call::new(RECOVERY);
        let rung = Rung { number: 1, step: 1, kind: Kind::Target, screened: false, patience: PATIENCE };
        call.offer(rung, market::now());
        let guard = gauges.hold(HoldId::from_bits(1), claims.clone()).expect("nothing here has a limit");
        (call, guard.keep())
    };
    let ended = |cause, talk_ms| EventKind::Ended { cause, ended_by: EndedBy::Target, talk_ms };

    let talk = [
        report(2, EventKind::Ringing),
        report(6, EventKind::Answered),
        report(7, EventKind::Bridged),
        report(107, ended(Cause::Normal, Some(100_000))),
    ];
    watch.measure_on("settle: four reports, billed", handed_out, |call| {
        let booked = live(&gauges, &terms, call, &talk);
        assert_eq!(booked[1].amount, market::money("17.85").negated());
        booked
    });
    let busy = [report(3, ended(Cause::Busy, None))];
    watch.measure_on("settle: one report, busy", handed_out, |call| {
        let booked = live(&gauges, &terms, call, &busy);
        assert!(booked.is_empty());
        booked
    });
    assert_eq!(gauges.held(), 0, "what was held was posted or given back");
}
