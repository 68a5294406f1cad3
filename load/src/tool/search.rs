//! The search for the highest rate at which a server keeps up, downwards from the auctions that a closed loop reached.
//!
//! A rate that is too high may be slow, it may not be wrong: the runs it took to get there are given back too, so that
//! their verdicts count. They overload on purpose, which a phase that searches has to say (`overloads`): the judge allows
//! all of them what it allows every overload. How a run is made is in `stage`.

use std::io;

use super::scenario::Phase;
use super::stage::Run;
use crate::carriers::Arrivals;

/// Steps down from what a closed loop reached.
const STEPS: u32 = 9;
/// Added p99 of the highest rate, in µs: below it the server still keeps up.
const KEEPS_UP_US: f64 = 20_000.0;
/// Auctions in flight where a closed loop looks for saturation.
const SATURATED: u32 = 64;

/// Looks for the highest open-loop rate at which a server keeps up with every winner right. `make` makes a run of a
/// phase, its arrivals multiplied. The last of the runs is the one found, or the slowest tried; those before it have
/// names of their own, `phase (closed loop)` and `phase (tried)`.
pub fn search(phase: &Phase, mut make: impl FnMut(&Phase, f64) -> io::Result<Run>) -> io::Result<Vec<Run>> {
    let closed = Phase {
        arrivals: Arrivals::Closed { in_flight: SATURATED },
        prompt: true,
        search: false,
        ..phase.clone()
    };
    let mut first = make(&closed, 1.0)?;
    // Of calls that got no auction many more can be answered, and none of them tells what the server keeps up with.
    let most = first.figures["goodput_per_s"];
    first.phase = format!("{} (closed loop)", phase.name);
    let mut runs = vec![first];
    let open = Phase { arrivals: Arrivals::Poisson(most), search: false, ..phase.clone() };
    for step in 0..STEPS {
        let mut run = make(&open, 1.0 - 0.1 * f64::from(step))?;
        run.figures.insert("closed_per_s", most);
        let keeps_up = run.figures.get("added_p99_us").is_some_and(|p99| *p99 < KEEPS_UP_US);
        let is_whole = run.figures["wrong"] == 0.0 && run.figures["auctioned"] == run.figures["calls"];
        let is_found = keeps_up && is_whole;
        if is_found {
            run.figures.insert("found", 1.0);
        } else if step + 1 < STEPS {
            run.phase = format!("{} (tried)", phase.name);
        }
        runs.push(run);
        if is_found {
            break;
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::figures::Figures;
    use crate::tool::judge::{Check, Verdict};
    use crate::tool::run::is_green;
    use crate::tool::scenario::Server;
    use crate::tool::shipped::Source;

    /// What stands for a share of the rate where there is none.
    const CLOSED: f64 = 2.0;

    /// A server that keeps up with 800 calls a second of 1,000, and is `wrong` so often at each share of the rate.
    fn searched(wrong: impl Fn(f64) -> u64, keeps_up: f64) -> Vec<Run> {
        let overload = Source::find("overload".as_ref()).unwrap().scenario().unwrap();
        let phase = overload.phases.iter().find(|phase| phase.search).unwrap();
        search(phase, |phase, share| {
            assert!(!phase.search);
            assert!(phase.overloads, "the judge has to know for every run that it overloads");
            let share = if matches!(phase.arrivals, Arrivals::Closed { .. }) { CLOSED } else { share };
            let added = if share < keeps_up { 5_000.0 } else { 50_000.0 };
            let figures: Figures = [
                ("per_s", if share == CLOSED { 9_000.0 } else { 1_000.0 * share }),
                ("goodput_per_s", 1_000.0),
                ("added_p99_us", added),
                ("wrong", 0.0),
                ("calls", 9.0),
                ("auctioned", 9.0),
            ]
            .into();
            let check = Check {
                name: "winner",
                says: "",
                examined: 9,
                wrong: wrong(share),
                excluded: 0,
                examples: vec![],
            };
            let verdict = Some(Verdict { checks: vec![check], ..Verdict::default() });
            Ok(Run { phase: phase.name.clone(), server: Server::Exchange, round: 0, figures, verdict })
        })
        .unwrap()
    }

    #[test]
    fn what_was_tried_is_given_back_and_its_verdicts_count() {
        let names = |runs: &[Run]| runs.iter().map(|run| run.phase.clone()).collect::<Vec<_>>();
        let runs = searched(|_| 0, 0.85);
        assert_eq!(
            names(&runs),
            ["capacity (closed loop)", "capacity (tried)", "capacity (tried)", "capacity"]
        );
        let found = runs.last().unwrap();
        assert_eq!((found.figures["per_s"], found.figures["found"]), (800.0, 1.0));
        assert_eq!(found.figures["closed_per_s"], 1_000.0);
        assert!(is_green(&runs), "too fast is not wrong");
        let is_at = |wanted: f64| move |share: f64| u64::from((share - wanted).abs() < 0.01);
        assert!(!is_green(&searched(is_at(0.9), 0.85)), "the step at nine tenths was wrong");
        assert!(!is_green(&searched(is_at(CLOSED), 0.85)), "the closed loop was wrong");
        assert!(is_green(&searched(is_at(0.7), 0.85)), "nobody tried that");

        let runs = searched(|_| 0, 0.0);
        assert_eq!((runs.len(), names(&runs).pop().unwrap().as_str()), (STEPS as usize + 1, "capacity"));
        assert!(runs.iter().all(|run| !run.figures.contains_key("found")));
    }
}
