//! kill -9 under load, at moments that are drawn: what was acknowledged is there, once.
//!
//! `OUTCRY_KILLS` says how many kills, `OUTCRY_KILLS_SEED` which.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use load::chance::Chance;

use super::carriers::{Load, Totals, has_ring, market, told, written_by};
use crate::support::{Exchange, Folder, PATIENCE};

/// Kills in the gate.
const KILLS: u64 = 20;
/// Acknowledgements between a start and its kill.
const ACKS: (u64, u64) = (20, 150);
/// Calls that the first buyer takes in a day, over all kills.
const CAP: usize = 60;

#[test]
fn random_kills_under_load_lose_nothing_and_double_nothing() {
    let kills = told("OUTCRY_KILLS").unwrap_or(KILLS);
    let seed = told("OUTCRY_KILLS_SEED").unwrap_or(1);
    println!("{kills} kills, seed {seed}");
    let mut chance = Chance::new(seed, &["kills"]);
    let mut folder = Folder::new();
    market(CAP).write(folder.path(), "[calls]\nnext_within_s = 300\n");
    let mut load = Load::new(seed);
    let mut starts: Vec<Duration> = Vec::new();
    let ring = if has_ring() { "uring" } else { "thread" };
    for backend in ["auto", ring, "thread"].into_iter().cycle().take(kills as usize) {
        written_by(&folder, backend);
        let acks = chance.between(ACKS.0, ACKS.1);
        let began = Instant::now();
        let exchange = Exchange::run(folder);
        starts.push(began.elapsed());
        folder = load.during(exchange, |_, hand| {
            let count = |totals: &Totals| totals.acks.load(Ordering::Relaxed);
            let (until, patience) = (count(hand.totals) + acks, Instant::now() + PATIENCE);
            // A kill comes at any moment, not at the next look.
            while count(hand.totals) < until && Instant::now() < patience {
                std::thread::yield_now();
            }
            assert!(count(hand.totals) >= until, "nothing was acknowledged any more");
        });
    }
    let exchange = Exchange::run(folder);
    let judged = load.judge(&exchange);
    let number = |of: fn(&Totals) -> &std::sync::atomic::AtomicU64| judged.totals.number(of);
    let (repeats, cut) = (number(|totals| &totals.repeats), number(|totals| &totals.cut));
    let billed = judged.billed["acme"];
    let units = billed + number(|totals| &totals.forgotten_units) as usize;
    assert!(units <= CAP, "seed {seed}: {units} units of a cap of {CAP} were handed out");
    starts.sort();
    println!(
        "{} acknowledged, {cut} cut off, {} calls, {} billed, {billed} of a cap of {CAP}, {repeats} answers repeated byte \
         by byte, {} forgotten with nothing resting on them; starts: median {:?}, longest {:?}; lost 0, double 0",
        number(|totals| &totals.acks),
        judged.calls,
        judged.billed.values().sum::<usize>(),
        number(|totals| &totals.forgotten),
        starts[starts.len() / 2],
        starts[starts.len() - 1],
    );
    assert!(repeats > 0 && cut > 0 && billed > 0);
    exchange.finish();
}
