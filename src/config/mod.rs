//! Configuration: files in, checked values out, every fault at once.
//!
//! ```text
//! outcry.toml          Settings   listeners, store, limits: a restart
//! catalog/*.toml, csv  Catalog    carriers, campaigns, publishers, numbers, buyers, targets, plans: hot
//! ```
//!
//! `file` reads spanned fields, `entries` indexes every id of every file, and one module per kind of entry resolves it
//! against that index. Nothing stops at the first fault. This module keeps nothing: the caller swaps the catalog in,
//! and what operators change at run time is laid over it elsewhere.

mod auctions;
mod bid_table;
mod callers;
mod catalog;
mod compare;
mod diff;
mod entries;
mod file;
mod filter;
mod groups;
mod numbers;
mod openings;
mod plan;
mod problem;
mod ranges;
mod schedules;
mod settings;
mod stored;
mod target;
mod values;
mod warnings;
mod ways;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::domain::Catalog;

pub use diff::{DIFF_LINES_MAX, diff};
pub use file::FILE_BYTES_MAX;
pub use problem::{PROBLEMS_MAX, Problem};
pub use settings::{
    Admin, AdminKey, CallTraffic, Calls, ENVIRONMENT, Limits, Log, LogFormat, LogLevel, MoneySettings, Pings,
    Role, Settings, Store, Tls,
};
pub use stored::{StoredFault, load_stored};

use file::{File, Source};
use problem::Sink;
use settings::Env;

/// A configuration without errors.
#[derive(Debug)]
pub struct Loaded {
    /// What `outcry.toml` says.
    pub settings: Settings,
    /// What the catalog's files say.
    pub catalog: Catalog,
    /// Every catalog file with its name: what the digest is taken over.
    pub text: String,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
}

/// Reads `outcry.toml` and the catalog it names. `Err` holds every fault, by file and line.
///
/// Each shows itself as a person wants to read it:
///
/// ```text
/// config/catalog/targets.toml:19:1: target.acme-phone.teir: unknown key; allowed: tier, …; did you mean "tier"?
///   teir = 2
///   ^
/// ```
pub fn load(settings_file: &Path) -> Result<Loaded, Vec<Problem>> {
    load_with(settings_file, &|name| std::env::var(name).ok())
}

/// Reads the catalog again: the reload of a running exchange.
pub fn load_catalog(settings: &Settings) -> Result<(Catalog, String, Vec<Problem>), Vec<Problem>> {
    let sink = Sink::default();
    let read = catalog::read(settings, &|name| std::env::var(name).ok(), &sink);
    match read {
        Some(read) if sink.is_empty() => Ok(read),
        Some(_) | None => Err(sink.into_sorted()),
    }
}

/// Reads `outcry.toml` only: for commands that read the store and need no catalog.
pub fn load_settings(settings_file: &Path) -> Result<Settings, Vec<Problem>> {
    let sink = Sink::default();
    let settings = read_settings(settings_file, &|name| std::env::var(name).ok(), &sink)?;
    if sink.is_empty() { Ok(settings) } else { Err(sink.into_sorted()) }
}

fn read_settings(settings_file: &Path, env: Env<'_>, sink: &Sink) -> Result<Settings, Vec<Problem>> {
    let source = Source::open(settings_file).map_err(|problem| vec![*problem])?;
    let mute = Sink::default();
    let (table, syntax) = source.parse();
    // Settings that are no TOML have one fault: what could be made out of them only says where the catalog is.
    let file = File { source: &source, sink: if syntax.is_some() { &mute } else { sink } };
    syntax.into_iter().for_each(|problem| sink.push(problem));
    Ok(file.root(table.get_ref(), |r| settings::read(r, settings_file, env)))
}

fn load_with(settings_file: &Path, env: Env<'_>) -> Result<Loaded, Vec<Problem>> {
    let sink = Sink::default();
    let settings = read_settings(settings_file, env, &sink)?;
    let read = catalog::read(&settings, env, &sink);
    match read {
        Some((catalog, text, more)) if sink.is_empty() => {
            let mut warnings = settings::warnings(&settings);
            warnings.extend(more);
            Ok(Loaded { settings, catalog, text, warnings })
        }
        Some(_) | None => Err(sink.into_sorted()),
    }
}
