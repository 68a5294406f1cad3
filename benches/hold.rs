//! Holding one unit and giving it back, by eight threads at once.
//!
//! Stands for a burst of calls for one popular buyer: all workers want the same cap at the same moment, and they meet
//! at one shard's lock. Every winner of every decision pays it once, with no await inside. The second bench gives every
//! thread a cap of its own: what is left then is the price of the maps, and the distance between the two is the price
//! of meeting. The third is one lock around one gauge, the least there can be, for comparison. A regression of the
//! first alone means that more is done under the lock; of the second, that threads meet who have nothing in common.
//! One thread alone does what a decision does, all four caps of a target: the one of them whose instructions are counted.
//!
//! Times are of the whole round by the number of holds in it, so eight threads on eight idle cores that never meet would
//! show an eighth of what one needs.

use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use outcry::capacity::{Basis, CapKey, Claim, Entity, Gauge, Move};
use outcry::domain::{BuyerId, HoldId, Timestamp};
use outcry::state::capacity::Gauges;

use crate::{Stopwatch, market};

const THREADS: usize = 8;
/// A thread holds this often in one operation, so that starting threads is not what is measured.
const HOLDS: usize = 2_000;
/// Holds in one operation.
const PIECES: usize = THREADS * HOLDS;
const LIMIT: u32 = 1_000;

fn claim(buyer: &str) -> Claim {
    let entity = Entity::Buyer(BuyerId::parse(buyer).expect("a slug"));
    Claim { key: CapKey { entity, basis: Basis::BillableDay, window: Timestamp::default() }, limit: LIMIT }
}

/// Time until every thread has run `hold` with its number, so many times `HOLDS`.
fn race(operations: usize, hold: &(dyn Fn(usize) + Sync)) -> Duration {
    let line = Barrier::new(THREADS + 1);
    let start = thread::scope(|scope| {
        for number in 0..THREADS {
            let line = &line;
            scope.spawn(move || {
                line.wait();
                (0..operations * HOLDS).for_each(|_| hold(number));
            });
        }
        // Read before the start is given: on a busy machine the others may be done before this thread is woken.
        let start = Instant::now();
        line.wait();
        start
    });
    start.elapsed()
}

pub fn run(watch: &mut Stopwatch) {
    let gauges = Arc::new(Gauges::default());
    let hold = |claims: &[Claim]| {
        let guard =
            gauges.hold(HoldId::from_bits(1), claims.to_vec()).expect("the limit is above the threads");
        drop(guard);
    };

    let four = market::claims();
    watch.measure("hold: one thread, four caps", || hold(&four));

    let one = [claim("acme")];
    watch.measure_rounds("hold: 8 threads, one cap", PIECES, &mut |operations| {
        race(operations, &|_| hold(&one))
    });

    let own: Vec<_> = (0..THREADS).map(|number| [claim(&format!("buyer-{number}"))]).collect();
    watch.measure_rounds("hold: 8 threads, a cap each", PIECES, &mut |operations| {
        race(operations, &|number| hold(&own[number]))
    });
    assert_eq!(gauges.held(), 0, "what was held was given back");

    let gauge = Mutex::new(Gauge::default());
    let lock = || gauge.lock().unwrap_or_else(PoisonError::into_inner);
    let take = |_| {
        assert!(lock().take(LIMIT), "the limit is above the threads");
        lock().apply(Move::Void);
    };
    watch.measure_rounds("hold: 8 threads, one lock for comparison", PIECES, &mut |operations| {
        race(operations, &take)
    });
    assert_eq!(lock().held, 0, "what was held was given back");
}
