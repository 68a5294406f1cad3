//! A disk in memory that keeps what was synced and nothing else for sure.
//!
//! At a power cut each 512-byte sector written since the last sync of its file is as it was, or as any of the writes
//! since left it, each sector by itself; each change of a directory since its last sync happened or did not. After a
//! failed sync what was not yet written is forgotten, though it can still be read, and the next sync succeeds: so do
//! the file systems of Linux. Space is bounded.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::disk::{Dir, File, Space};
use super::Dice;

const SECTOR: usize = 512;

/// What goes wrong, once in so many times; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub write: usize,
    pub short: usize,
    pub sync: usize,
    pub dir: usize,
}

#[derive(Clone, Debug)]
pub struct Sim {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
struct State {
    dice: Dice,
    nodes: Vec<Node>,
    dirs: Vec<Names>,
    faults: Faults,
    room: u64,
    /// Faults that happened.
    happened: u64,
}

#[derive(Clone, Debug, Default)]
struct Node {
    now: Vec<u8>,
    disk: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    now: BTreeMap<String, usize>,
    disk: BTreeMap<String, usize>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Put(String, usize),
    Move(String, String, usize),
    Gone(String),
}

impl Sim {
    pub fn new(seed: u64, dirs: usize, room: u64) -> Sim {
        let (nodes, dirs) = (Vec::new(), vec![Names::default(); dirs]);
        let state =
            State { dice: Dice::new(seed), nodes, dirs, faults: Faults::default(), room, happened: 0 };
        Sim { state: Arc::new(Mutex::new(state)) }
    }

    /// Another disk with the same content.
    pub fn copy(&self) -> Sim {
        Sim { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn dirs(&self) -> Arc<[Arc<dyn Dir>]> {
        let count = self.lock().dirs.len();
        let dir = |at| -> Arc<dyn Dir> {
            Arc::new(SimDir { disk: self.clone(), at, path: PathBuf::from(format!("/sim{at}")) })
        };
        (0..count).map(dir).collect()
    }

    pub fn set(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    pub fn set_room(&self, room: u64) {
        self.lock().room = room;
    }

    pub fn happened(&self) -> u64 {
        self.lock().happened
    }

    pub fn power_cut(&self) {
        let mut state = self.lock();
        let State { dice, nodes, dirs, .. } = &mut *state;
        for node in nodes.iter_mut() {
            node.settle(dice, false);
            node.now = node.disk.clone();
        }
        for names in dirs.iter_mut() {
            let pending = std::mem::take(&mut names.pending);
            // A journalling file system keeps a first part of them; others keep any.
            let first = dice.once_in(2).then(|| dice.below(pending.len() + 1));
            for (turn, change) in pending.into_iter().enumerate() {
                let is_kept = first.map_or_else(|| dice.once_in(2), |first| turn < first);
                if is_kept {
                    change.apply(&mut names.disk);
                }
            }
            names.now = names.disk.clone();
        }
    }

    /// Files of a directory with their content.
    pub fn files(&self, dir: usize) -> Vec<(String, Vec<u8>)> {
        let state = self.lock();
        let names = &state.dirs[dir].now;
        names.iter().map(|(name, node)| (name.clone(), state.nodes[*node].now.clone())).collect()
    }

    /// Puts a file there, content and name on disk.
    pub fn put(&self, dir: usize, name: &str, bytes: Vec<u8>) {
        let mut state = self.lock();
        state.nodes.push(Node { now: bytes.clone(), disk: bytes, pending: Vec::new() });
        let node = state.nodes.len() - 1;
        state.dirs[dir].now.insert(name.to_owned(), node);
        state.dirs[dir].disk.insert(name.to_owned(), node);
    }

    pub fn remove(&self, dir: usize, name: &str) {
        let mut state = self.lock();
        state.dirs[dir].now.remove(name);
        state.dirs[dir].disk.remove(name);
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Put(name, node) => drop(names.insert(name, node)),
            Change::Move(from, to, node) => {
                names.remove(&from);
                names.insert(to, node);
            }
            Change::Gone(name) => drop(names.remove(&name)),
        }
    }
}

impl Node {
    /// Each sector that was written becomes what one of the writes left of it; the last, if all is well.
    fn settle(&mut self, dice: &mut Dice, is_whole: bool) {
        let pending = std::mem::take(&mut self.pending);
        if is_whole {
            // What an earlier, failed sync forgot is not among them.
            self.disk.resize(self.now.len(), 0);
            for (at, bytes) in pending {
                self.disk[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            return;
        }
        if !pending.is_empty() && dice.once_in(2) {
            self.disk.resize(self.now.len(), 0);
        }
        let mut kept: BTreeMap<usize, usize> = BTreeMap::new();
        for (at, bytes) in &pending {
            for sector in at / SECTOR..(at + bytes.len()).div_ceil(SECTOR) {
                *kept.entry(sector).or_default() += 1;
            }
        }
        for turns in kept.values_mut() {
            *turns = dice.below(*turns + 1);
        }
        for (at, bytes) in &pending {
            for sector in at / SECTOR..(at + bytes.len()).div_ceil(SECTOR) {
                let Some(left) = kept.get_mut(&sector).filter(|left| **left > 0) else { continue };
                *left -= 1;
                let from = (sector * SECTOR).max(*at);
                let to = ((sector + 1) * SECTOR).min(at + bytes.len()).min(self.disk.len());
                if from < to {
                    self.disk[from..to].copy_from_slice(&bytes[from - at..to - at]);
                }
            }
        }
    }
}

impl State {
    fn strikes(&mut self, many: usize) -> bool {
        let strikes = many > 0 && self.dice.once_in(many);
        self.happened += u64::from(strikes);
        strikes
    }

    fn used(&self) -> u64 {
        let named = self.dirs.iter().flat_map(|names| names.now.values());
        named.map(|node| self.nodes[*node].now.len() as u64).sum()
    }
}

#[derive(Debug)]
struct SimDir {
    disk: Sim,
    at: usize,
    path: PathBuf,
}

#[derive(Debug)]
struct SimFile {
    disk: Sim,
    node: usize,
}

fn eio() -> io::Error {
    io::Error::other("the simulated disk fails")
}

impl Dir for SimDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.lock().dirs[self.at].now.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let node = self.disk.lock().dirs[self.at].now.get(name).copied();
        let node = node.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(SimFile { disk: self.disk.clone(), node }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.disk.lock();
        state.nodes.push(Node::default());
        let node = state.nodes.len() - 1;
        state.dirs[self.at].now.insert(name.to_owned(), node);
        state.dirs[self.at].pending.push(Change::Put(name.to_owned(), node));
        Ok(Arc::new(SimFile { disk: self.disk.clone(), node }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.disk.lock();
        let names = &mut state.dirs[self.at];
        let node = names.now.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        names.now.insert(to.to_owned(), node);
        names.pending.push(Change::Move(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.disk.lock();
        let names = &mut state.dirs[self.at];
        names.now.remove(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        names.pending.push(Change::Gone(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let many = state.faults.dir;
        if state.strikes(many) {
            return Err(eio());
        }
        let names = &mut state.dirs[self.at];
        names.pending.clear();
        names.disk = names.now.clone();
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.disk.lock();
        Ok(Space { free: state.room.saturating_sub(state.used()), total: state.room })
    }

    fn plain(&self) -> Option<&fs::File> {
        None
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().nodes[self.node].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let now = &state.nodes[self.node].now;
        let rest = now.get(at as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let (many, short) = (state.faults.write, state.faults.short);
        if state.strikes(many) {
            return Err(eio());
        }
        let mut count = bytes.len();
        let is_short = state.strikes(short);
        if is_short {
            count = state.dice.below(count);
        }
        let at = at as usize;
        let grows = (at + count).saturating_sub(state.nodes[self.node].now.len()) as u64;
        if grows > 0 && state.used() + grows > state.room {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let node = &mut state.nodes[self.node];
        if node.now.len() < at + count {
            node.now.resize(at + count, 0);
        }
        node.now[at..at + count].copy_from_slice(&bytes[..count]);
        node.pending.push((at, bytes[..count].to_vec()));
        if is_short { Err(eio()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let many = state.faults.sync;
        let strikes = state.strikes(many);
        let State { dice, nodes, .. } = &mut *state;
        nodes[self.node].settle(dice, !strikes);
        if strikes { Err(eio()) } else { Ok(()) }
    }

    fn plain(&self) -> Option<&fs::File> {
        None
    }
}
