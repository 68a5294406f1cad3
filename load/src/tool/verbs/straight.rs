//! `load straight`: what the harness itself adds, by sending its calls straight at a bidder of its own.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::{Fault, folder, percentiles, write_hgrm};
use crate::tool::place::Cores;
use crate::tool::scenario::Scenario;
use crate::tool::stage;

/// What `--help` tells.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long, in seconds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Pings per second.
    #[arg(long, value_name = "R", default_value_t = 200.0, value_parser = super::calls::rate)]
    pub rate: f64,
    /// Folder for added.hgrm and since_sent.hgrm, in ms.
    #[arg(long, value_name = "DIR")]
    pub hgrm: Option<PathBuf>,
}

/// Measures, and tells.
pub fn measure(scenario: &Scenario, options: &Options) -> Result<String, Fault> {
    if let Some(dir) = &options.hgrm {
        folder(dir)?;
    }
    let span = Duration::from_secs(options.seconds);
    let Some((bidder, outcome)) = stage::harness(scenario, &Cores::choose()?, options.rate, span)? else {
        return Err(Fault::Usage("the scenario has no bidder to be asked; name one that has".to_owned()));
    };
    let figures = &outcome.figures;
    let mut text = format!(
        "straight at bidder {bidder}, {} pings per second for {} s: {} answered, {} without a good answer\n{}\n",
        options.rate,
        options.seconds,
        figures.answered,
        figures.errors.values().sum::<u64>(),
        percentiles(&[("added", &figures.added.total), ("since sent", &figures.since_sent.total)]),
    );
    if let Some(dir) = &options.hgrm {
        let all = [("added", &outcome.histograms.added), ("since_sent", &outcome.histograms.since_sent)];
        for path in write_hgrm(dir, &all)? {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "wrote {}", path.display());
        }
    }
    Ok(text)
}
