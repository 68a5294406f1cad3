//! Looking at a journal without touching it, beside a process that may be writing to it; and taking one away.
//!
//! What a writer does between two looks can pass for damage: a record that comes while the end is looked for, a segment that
//! is removed before it is opened. So what seems damaged is looked at again, and counts when it is still the same.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Settings;
use super::cursor::ReadError;
use super::disk::{Dir, RealDir};
use super::open::{Found, OpenError, lock};
use super::survey::{
    self, AGAIN_NEW, ID, ID_NEW, MARK, MARK_NEW, RESERVE, RESERVE_NEW, SNAPSHOT_NEW, SPARE, SPARE_NEW, TRIAL,
};

#[cfg(test)]
mod tests;

/// Most looks at something that is different each time.
const LOOKS: u32 = 40;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(25);

/// Why a journal cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// There is none.
    #[error("no journal at {}: has `outcry serve` run with this configuration?", dir.display())]
    Missing {
        /// Where it should be.
        dir: PathBuf,
    },
    /// A start would be refused.
    #[error(transparent)]
    Open(OpenError),
    /// Not needed by a start, and damaged all the same.
    #[error("{0}; restore the file from a copy")]
    Read(ReadError),
}

/// Opens the journal read-only and lets `with` read it. Damage is believed when two looks find the same.
pub fn look<T, E>(settings: &Settings, mut with: impl FnMut(&Found) -> Result<T, E>) -> Result<T, E>
where
    E: From<LookError> + Display,
{
    let mut settings = settings.clone();
    settings.spare_dir = settings.spare_dir.filter(|dir| dir.exists());
    let mut before = None;
    for turn in 1.. {
        if !settings.dir.exists() {
            return Err(LookError::Missing { dir: settings.dir }.into());
        }
        let found = Found::read_only(&settings);
        let cut = found.as_ref().ok().and_then(|found| found.cut().map(ToString::to_string));
        let is_sure = cut.is_none() || before == cut;
        let looked = match found {
            Ok(found) if found.is_empty() => Err(LookError::Missing { dir: settings.dir.clone() }.into()),
            Ok(found) if is_sure || turn >= LOOKS => with(&found),
            Ok(_) => {
                before = cut;
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(error) => Err(LookError::Open(error).into()),
        };
        let Err(error) = looked else { return looked };
        let said = Some(error.to_string());
        if before == said || turn >= LOOKS {
            return Err(error);
        }
        before = said;
        std::thread::sleep(PAUSE);
    }
    unreachable!("the last look decides")
}

/// Removes the journal in `dir`, if there is one that nobody uses; the directory stays. One that holds anything else is
/// refused, and nothing is removed.
pub fn discard(dir: &Path) -> Result<(), OpenError> {
    if !dir.exists() {
        return Ok(());
    }
    let held = lock(dir)?;
    let fault = |error| survey::io(&dir.display().to_string(), error);
    let names = held.list().map_err(fault)?;
    survey::identity(&held, &names)?;
    if let Some(file) = names.iter().find(|name| !is_ours(name)) {
        return Err(OpenError::NotOurs { dir: dir.to_owned(), file: file.clone() });
    }
    // The identity goes last: a directory left half-way is still known as a journal.
    let (last, first): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| *name == ID);
    for name in first.into_iter().chain(last).filter(|name| *name != LOST_FOUND) {
        held.remove(name).map_err(fault)?;
    }
    RealDir::sync(&held).map_err(fault)
}

/// File systems put it at their root.
const LOST_FOUND: &str = "lost+found";

fn is_ours(name: &str) -> bool {
    let fixed = [
        ID,
        ID_NEW,
        MARK,
        MARK_NEW,
        SPARE,
        SPARE_NEW,
        RESERVE,
        RESERVE_NEW,
        SNAPSHOT_NEW,
        AGAIN_NEW,
        TRIAL,
        LOST_FOUND,
    ];
    fixed.contains(&name) || survey::segment_number(name).is_some() || survey::snapshot_seq(name).is_some()
}
