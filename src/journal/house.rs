//! What is done beside the writing: the next segment is prepared, a reserve is kept, the mark moves on, old files go.
//!
//! One hand does it, so that neither who writes nor who syncs waits for it. It decides nothing about records.

use std::io;
use std::sync::Arc;

use super::SLACK_BYTES;
use super::cursor::{Listed, segment_name};
use super::disk::{Dir, Space};
use super::format::LogId;
use super::survey::{AGAIN_NEW, RESERVE, RESERVE_NEW, SNAPSHOT_NEW, SPARE, SPARE_NEW, TRIAL, snapshot_seq};
use super::work::{self, Mark};

/// The directories and what is ready in them.
#[derive(Debug)]
pub(super) struct House {
    dirs: Arc<[Arc<dyn Dir>]>,
    segment_bytes: u64,
    free_percent: u8,
    mark: Mark,
    has_reserve: bool,
}

/// What is free, and whether that is too little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub space: Space,
    pub is_low: bool,
}

impl House {
    pub fn new(
        dirs: Arc<[Arc<dyn Dir>]>,
        segment_bytes: u64,
        free_percent: u8,
        id: LogId,
        mark: (u64, u64),
    ) -> House {
        House { dirs, segment_bytes, free_percent, mark: Mark::new(id, mark.0, mark.1), has_reserve: false }
    }

    /// Takes away what an earlier process left half done, and segments that never got a head. Prepared ones that are
    /// not all zeros go too: one whose new name was lost in a power cut holds records that never were.
    pub fn clear(&self, blank: &[(u64, usize)]) -> io::Result<()> {
        for (number, place) in blank {
            self.dirs[*place].remove(&segment_name(*number))?;
        }
        for dir in self.dirs.iter() {
            for name in dir.list()? {
                let is_draft = DRAFTS.contains(&name.as_str());
                let is_zeros = || is_zeros(&**dir, &name);
                if is_draft || [SPARE, RESERVE].contains(&name.as_str()) && !is_zeros()? {
                    dir.remove(&name)?;
                }
            }
            dir.sync()?;
        }
        Ok(())
    }

    /// Whether a segment is prepared in this directory; one is made if not, of the reserve if nothing else is left.
    pub fn ensure_spare(&mut self, place: usize) -> io::Result<()> {
        let dir = &*self.dirs[place];
        if is_whole(dir, SPARE, self.segment_bytes) {
            return Ok(());
        }
        let Err(error) = work::prepare(dir, self.segment_bytes) else { return Ok(()) };
        if place == 0 && is_whole(dir, RESERVE, self.segment_bytes) {
            self.has_reserve = false;
            return work::use_reserve(dir);
        }
        Err(error)
    }

    /// Keeps a segment's room for a full disk, where there is room for that.
    pub fn ensure_reserve(&mut self) -> io::Result<()> {
        let dir = &*self.dirs[0];
        if self.has_reserve {
            return Ok(());
        }
        if !is_whole(dir, RESERVE, self.segment_bytes) {
            if dir.space()?.free < self.segment_bytes + SLACK_BYTES {
                return Ok(());
            }
            work::reserve(dir, self.segment_bytes)?;
        }
        self.has_reserve = true;
        Ok(())
    }

    /// What is free on the journal's own disk.
    pub fn room(&self) -> io::Result<Room> {
        let space = self.dirs[0].space()?;
        let is_low = u128::from(space.free) * 100 < u128::from(space.total) * u128::from(self.free_percent);
        Ok(Room { space, is_low })
    }

    /// Notes that records up to this one are on disk.
    pub fn put_mark(&mut self, seq: u64) -> io::Result<()> {
        if seq <= self.mark.seq() {
            return Ok(());
        }
        self.mark.put(&*self.dirs[0], seq)
    }

    /// Removes segments that are not in the list any more, one after the other also for a power cut, and snapshots older
    /// than this one.
    pub fn remove(&self, gone: &[Listed], snapshot: u64) -> io::Result<()> {
        for listed in gone {
            self.dirs[listed.place].remove(&listed.name())?;
            self.dirs[listed.place].sync()?;
        }
        for name in
            self.dirs[0].list()?.iter().filter(|name| snapshot_seq(name).is_some_and(|seq| seq < snapshot))
        {
            self.dirs[0].remove(name)?;
        }
        Ok(())
    }
}

/// Names of what is being made.
const DRAFTS: [&str; 5] = [SPARE_NEW, RESERVE_NEW, SNAPSHOT_NEW, AGAIN_NEW, TRIAL];

fn is_zeros(dir: &dyn Dir, name: &str) -> io::Result<bool> {
    let file = dir.open(name)?;
    let (mut block, mut at) = (vec![0; 1024 * 1024], 0);
    loop {
        let count = file.read_at(&mut block, at)?;
        if count == 0 || block[..count].iter().any(|byte| *byte != 0) {
            return Ok(count == 0);
        }
        at += count as u64;
    }
}

fn is_whole(dir: &dyn Dir, name: &str, bytes: u64) -> bool {
    dir.open(name).and_then(|file| file.len()).is_ok_and(|len| len == bytes)
}
