//! The whole exchange in a simulated world: the real server, client, pool, codecs and sweep over pipes, one seed one
//! course of events.
//!
//! Time is tokio's paused clock, so an hour of calls takes a second and every wait is exact. `SIM_SEED` and `SIM_CALLS`
//! replay one world, `SIM_KEEP=3,17,40` only these actions of its script, `SIM_TRACE=1` line by line. `SIM_SEEDS` and `SIM_FIRST` choose which worlds
//! the test goes through.

mod attested;
mod bids;
mod buyers;
mod callers;
mod carriers;
mod check;
mod full;
mod hand_backs;
mod market;
mod order;
mod restart;
mod shrink;
mod stage;
mod terms;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use check::{Counts, Screened, Told};
use stage::{Outcome, play};
use world::{Action, script};

/// Calls of each world.
const CALLS: u32 = 2_000;
/// Worlds the test goes through.
const SEEDS: u64 = 50;

/// What becomes of targets and calls in these worlds, all of it.
const MET: &str = "won paused buyer_paused geo attestation cap concurrency not_reached no_time overload fan_out timeout late connect \
    disconnected http_status redirect malformed ping_mismatch above_max bad_terms bad_destination bad_currency \
    throttled protocol no_bid below_floor margin outbid tie_lost lower_tier hold_lost busy no_answer rejected \
    failed caller_abandon unknown_number campaign_paused campaign_closed publisher_closed no_taker not_needed unresponsive test billable too_short not_answered \
    unresolved fallback suppressed caller_blocked no_row other_answered handed_back";

/// A number from the environment.
fn told(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// The script with the positions of its actions; what `SIM_KEEP` leaves out is not in it.
fn kept(seed: u64, calls: u32) -> Vec<(usize, Action)> {
    let keep = std::env::var("SIM_KEEP").ok().map(|text| {
        let one = |part: &str| part.trim().parse::<usize>().expect("SIM_KEEP is a list of positions");
        text.split(',').map(one).collect::<Vec<_>>()
    });
    let script = script(seed, calls).into_iter().enumerate();
    script.filter(|(at, _)| keep.as_ref().is_none_or(|keep| keep.contains(at))).collect()
}

/// Plays one world; when a promise is broken, cuts the script down and says what is left.
fn hold_in(seed: u64, calls: u32) -> Result<Counts, String> {
    let script = kept(seed, calls);
    let is_told = std::env::var("SIM_TRACE").is_ok();
    let Outcome { broken, counts, trace } = play(seed, &script, is_told);
    trace.iter().for_each(|line| println!("{line}"));
    let Some(broken) = broken else { return Ok(counts) };
    // A part of a script that ends in a panic shows something else than what was broken.
    let again = |cut: &[_]| std::panic::catch_unwind(|| play(seed, cut, false).broken).unwrap_or(None);
    let (left, last) = shrink::shrink(&script, &broken, again);
    let keep: Vec<String> = left.iter().map(|(at, _)| at.to_string()).collect();
    Err(format!(
        "seed {seed}: {broken}\ncut from {} to {} actions: {last}\n{}replay: SIM_SEED={seed} SIM_CALLS={calls} \
         SIM_KEEP={} cargo test --test it sim::every_promise\n",
        script.len(),
        left.len(),
        world::print(seed, &left),
        keep.join(",")
    ))
}

#[test]
fn every_promise_holds_in_every_world() {
    let calls = told("SIM_CALLS").map_or(CALLS, |calls| calls as u32);
    let first = told("SIM_SEED").or(told("SIM_FIRST")).unwrap_or(1);
    let seeds = if told("SIM_SEED").is_some() { 1 } else { told("SIM_SEEDS").unwrap_or(SEEDS) };
    let next = AtomicU64::new(first);
    let total = Mutex::new(Counts::default());
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // One world that fails is enough to look at.
                    if seed >= first + seeds || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    match hold_in(seed, calls) {
                        Ok(counts) => total.lock().unwrap().add(&counts),
                        Err(what) => failed.lock().unwrap().push(what),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    let total = total.into_inner().unwrap();
    println!("{seeds} worlds: {total:#?}");
    assert!(
        total.replayed * 10 > total.calls * 9,
        "{} of {} calls were decided again",
        total.replayed,
        total.calls
    );
    if total.calls >= u64::from(CALLS) * 10 {
        let never: Vec<_> =
            MET.split_whitespace().filter(|reason| !total.reasons.contains_key(reason)).collect();
        assert!(never.is_empty(), "worlds that never meet {never:?} prove nothing of it");
        assert!(total.proven > 0, "no call that came by Twilio was billed");
        assert!(total.not_durable > 0, "no event ever waited too long for the disk");
        let told = [Told::Taken, Told::Nobody, Told::Unknown, Told::TooLate, Told::Billable];
        let never: Vec<_> = told.iter().filter(|told| !total.hand_backs.contains_key(told)).collect();
        assert!(never.is_empty(), "no buyer that handed a call back was told {never:?}");
        let screened = [Screened::Asked, Screened::Took, Screened::TooLate, Screened::Declined];
        let never: Vec<_> = screened.iter().filter(|what| !total.screened.contains_key(what)).collect();
        assert!(never.is_empty(), "nobody who picked up at Twilio was {never:?}");
        assert!(total.gone_on > 0, "no call that was handed back went on");
    }
}

#[test]
fn a_seed_is_one_course_of_events() {
    let course = |seed| play(seed, &kept(seed, 300), true);
    let (one, same, other) = (course(77), course(77), course(78));
    assert!(one.broken.is_none(), "{:?}", one.broken);
    let differs = one.trace.iter().zip(&same.trace).position(|(one, same)| one != same);
    if let Some(at) = differs {
        panic!("line {at} of the trace differs:\n  {}\n  {}", one.trace[at], same.trace[at]);
    }
    assert_eq!(one.trace.len(), same.trace.len());
    assert!(one.trace.len() > 3_000, "{} lines", one.trace.len());
    assert_ne!(one.trace, other.trace);
}
