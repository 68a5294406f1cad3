//! `outcry replay …`: a recorded call decided again, beside its record; and the text of a catalog that calls were decided by.
//!
//! Its arguments and its text. What is decided, and how, is in `exchange::replay`; the catalog is read by `config`, from the
//! text that the store keeps under its digest.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::config::{Settings, load_stored};
use crate::domain::id::CampaignId;
use crate::domain::{CallId, Catalog};
use crate::exchange::replay::set::Setting;
use crate::exchange::replay::{NotReplayable, Replayed, ReplayedStep, Winner, replay, replay_changed};
use crate::records::sqlite::{Reader, StoreError};
use crate::records::stored::StoredWhole;
use crate::report::{Cell, Column, Format, Printed, Style};

/// What is decided again.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// The settings file: it says where the store is.
    #[arg(long, value_name = "FILE", default_value = "config/outcry.toml")]
    pub config: PathBuf,
    /// The call's id: 26 characters.
    #[arg(value_parser = call_id, required_unless_present = "catalog")]
    call: Option<CallId>,
    /// Decide by a catalog in which this is so, and say what would have been; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Setting::parse)]
    set: Vec<Setting>,
    /// Print the text of this catalog instead: every file with its name, and what was changed at run time.
    #[arg(long, value_name = "DIGEST", conflicts_with_all = ["call", "set"])]
    catalog: Option<String>,
    /// `table` for people, `json` for programs.
    #[arg(long, value_enum, default_value = "table")]
    format: ReplayFormat,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are words")]
pub enum ReplayFormat {
    Table,
    Json,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFault {
    /// There is no such call, or no such catalog.
    #[error("{0}")]
    Nothing(String),
    /// What was set does not fit.
    #[error("{0}")]
    Setting(String),
    /// The record is not enough.
    #[error(transparent)]
    NotReplayable(#[from] NotReplayable),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be printed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

fn call_id(text: &str) -> Result<CallId, String> {
    CallId::parse(text)
        .ok_or_else(|| "26 characters of Crockford's base 32, as `outcry calls` prints them".to_owned())
}

impl ReplayArgs {
    /// Prints what it is asked for; whether the call comes out as it was recorded.
    pub fn run(
        &self,
        settings: &Settings,
        reader: &Reader,
        out: &mut impl io::Write,
        style: Style,
    ) -> Result<bool, ReplayFault> {
        if let Some(digest) = &self.catalog {
            let found = reader.catalog(digest)?;
            let nothing = || ReplayFault::Nothing(format!("the store has no catalog {digest}"));
            write!(out, "{}", found.ok_or_else(nothing)?.text)?;
            return Ok(true);
        }
        let Some(call) = self.call else {
            return Err(ReplayFault::Nothing("no call was named".to_owned()));
        };
        let whole = reader.whole(call)?;
        if whole.call.is_none() && whole.trails.is_empty() {
            let what = format!("the store knows no call {call}; see `outcry calls`");
            return Err(ReplayFault::Nothing(what));
        }
        let replayed = decide(settings, reader, &whole, &self.set)?;
        match self.format {
            ReplayFormat::Table => write!(out, "{}", told(&replayed, !self.set.is_empty(), style)?)?,
            ReplayFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, &replayed).map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
        Ok(replayed.is_equal)
    }
}

/// A call decided again by the catalogs of the store, with what is set laid over them.
pub fn decide(
    settings: &Settings,
    reader: &Reader,
    whole: &StoredWhole,
    set: &[Setting],
) -> Result<Replayed, ReplayFault> {
    let campaign = whole.trails.iter().find_map(|trail| trail.campaign.as_deref());
    let campaign = campaign.and_then(|id| CampaignId::parse(id).ok());
    let money_step = settings.money.money_step;
    let (mut read, mut files) = (BTreeMap::<String, Arc<Catalog>>::new(), Stored::new(settings));
    if set.is_empty() {
        return Ok(replay(whole, money_step, &mut |digest| files.catalog(reader, digest))?);
    }
    let mut stored = Stored::new(settings);
    let mut misset = None;
    let mut catalog_of = |digest: &str| {
        if let Some(known) = read.get(digest) {
            return Ok(Arc::clone(known));
        }
        let mut catalog = files.catalog(reader, digest)?;
        for one in set {
            if let Err(what) = one.lay(Arc::make_mut(&mut catalog), campaign.as_ref()) {
                misset = Some(what.clone());
                return Err(what);
            }
        }
        read.insert(digest.to_owned(), Arc::clone(&catalog));
        Ok(catalog)
    };
    let mut as_it_was = |digest: &str| stored.catalog(reader, digest);
    let replayed = replay_changed(whole, money_step, &mut as_it_was, &mut catalog_of);
    match misset {
        Some(what) => Err(ReplayFault::Setting(what)),
        None => Ok(replayed?),
    }
}

/// Catalogs that are kept once they were read: those of one call, or of the calls that people look at now.
const READ_MAX: usize = 4;

/// Catalogs of the store, read anew from their texts.
pub struct Stored {
    settings: Settings,
    /// The last ones, the newest at the end.
    read: Vec<Arc<Catalog>>,
}

impl Stored {
    /// None is read yet.
    pub fn new(settings: &Settings) -> Stored {
        Stored { settings: settings.clone(), read: Vec::new() }
    }

    /// The catalog of a digest.
    pub fn catalog(&mut self, reader: &Reader, digest: &str) -> Result<Arc<Catalog>, String> {
        if let Some(known) = self.read.iter().find(|catalog| *catalog.digest == *digest) {
            return Ok(Arc::clone(known));
        }
        let found = reader.catalog(digest).map_err(|error| error.to_string())?;
        let text = found.ok_or_else(|| format!("the store has no catalog {digest}"))?.text;
        let catalog = load_stored(&self.settings, digest, &text).map_err(|error| error.to_string())?;
        if self.read.len() == READ_MAX {
            self.read.remove(0);
        }
        self.read.push(Arc::clone(&catalog));
        Ok(catalog)
    }
}

#[derive(serde::Serialize)]
struct TargetLine([String; 6]);

impl Printed for TargetLine {
    const COLUMNS: &'static [Column] = &[
        Column::text("target"),
        Column::text("reason"),
        Column::number("amount"),
        Column::text("recorded"),
        Column::number("recorded_amount").headed("then"),
        Column::text("by"),
    ];

    fn cells(&self) -> Vec<Cell> {
        self.0.iter().map(Cell::of).collect()
    }
}

/// The call for a person; with `only_differences` what came out as it was is left out.
fn told(replayed: &Replayed, only_differences: bool, style: Style) -> Result<String, io::Error> {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = head(&mut text, replayed);
    for step in &replayed.steps {
        let _ = step_head(&mut text, step);
        let lines: Vec<TargetLine> = step
            .targets
            .iter()
            .filter(|target| !only_differences || !target.is_equal)
            .map(|target| {
                let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                TargetLine([
                    target.target.clone(),
                    target.reason.clone(),
                    or(&target.amount),
                    or(&target.recorded),
                    or(&target.recorded_amount),
                    target.by.to_owned(),
                ])
            })
            .collect();
        if !lines.is_empty() {
            let mut table = Vec::new();
            crate::report::print(&mut table, Format::Table, style, &lines, None)?;
            text.push_str(&String::from_utf8_lossy(&table));
        }
    }
    Ok(text)
}

fn head(text: &mut String, replayed: &Replayed) -> fmt::Result {
    let outcome = if replayed.is_equal { "as it was recorded" } else { "not as it was recorded" };
    writeln!(text, "call {}: {outcome}", replayed.call_id)
}

fn step_head(text: &mut String, step: &ReplayedStep) -> fmt::Result {
    let name = |winner: &Option<Winner>| match winner {
        None => "nobody".to_owned(),
        Some(winner) => match &winner.price {
            Some(price) => format!("{} at {price}", winner.target),
            None => winner.target.clone(),
        },
    };
    let not_needed = |who: &[String]| {
        let were = if who.len() == 1 { "was" } else { "were" };
        format!("{} {were} not needed then, and could", who.join(", "))
    };
    write!(text, "\nstep {}, plan {}: ", step.step, step.plan)?;
    if !step.could_win.is_empty() {
        let (who, leads) = (not_needed(&step.could_win), name(&step.leads));
        return writeln!(
            text,
            "not certain: {who} win now; else {leads}, and it was {}",
            name(&step.recorded)
        );
    }
    write!(text, "{} ({})", name(&step.winner), step.reason)?;
    if step.winner != step.recorded {
        write!(text, ", and it was {}", name(&step.recorded))?;
    }
    if !step.could_price.is_empty() {
        write!(text, "; its price is not certain: {} set it now", not_needed(&step.could_price))?;
    }
    writeln!(text)
}
