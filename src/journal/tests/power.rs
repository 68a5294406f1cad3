//! Power cuts and kills at every moment, with disks that fail besides: what was acknowledged as on disk is there once,
//! in its order, and nothing is there that was not handed in.

use std::sync::Arc;

use super::super::Settings;
use super::super::cursor::{Block, Lent, Read, segment_name};
use super::super::house::House;
use super::super::log::{Batch, Log, Next, SyncJob, WriteJob};
use super::super::open::Found;
use super::super::snapshot::SnapshotWriter;
use super::super::work;
use super::sim::{Faults, Sim};
use super::{Dice, seeds};

/// Power cuts of the gate; a world has some.
const CUTS: u64 = 2_000;
const CUTS_OF_A_WORLD: u64 = 4;
const SEGMENT: u64 = 12 * 1024;
const ROOM: u64 = 40 * SEGMENT;

/// A journal on a simulated disk, and what is known of it from outside.
pub struct World {
    seed: u64,
    pub disk: Sim,
    dice: Dice,
    log: Log<bool>,
    house: House,
    write: Option<WriteJob>,
    sync: Option<(SyncJob, Option<std::io::Result<()>>)>,
    place: usize,
    /// Every record that was handed in, by its number.
    pub model: Vec<Vec<u8>>,
    pub on_disk: u64,
    in_kernel: u64,
    released: u64,
    pub snapshot: u64,
    pub mark: u64,
    faults_before: u64,
    pub poisoned: u64,
    is_faulty: bool,
}

pub fn settings() -> Settings {
    Settings { segment_bytes: SEGMENT, keep_bytes: 4 * SEGMENT, ..Settings::in_dir("/sim0") }
}

fn kind_of(body: &[u8]) -> u8 {
    1 + (body.len() % 7) as u8
}

impl World {
    pub fn new(seed: u64, dirs: usize, is_faulty: bool) -> World {
        let disk = Sim::new(seed, dirs, ROOM);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(seed + 1).to_le_bytes());
        work::begin(&*disk.dirs()[0], &id).unwrap();
        let (log, house) = begun(&disk);
        World {
            seed,
            disk,
            dice: Dice::new(seed ^ 0xabcd),
            log,
            house,
            write: None,
            sync: None,
            place: 0,
            model: Vec::new(),
            on_disk: 0,
            in_kernel: 0,
            released: 0,
            snapshot: 0,
            mark: 0,
            faults_before: 0,
            poisoned: 0,
            is_faulty,
        }
    }

    pub fn step(&mut self) {
        match self.dice.below(20) {
            0..6 => self.push(),
            6..9 => self.begin_write(),
            9..12 => self.end_write(),
            12..14 => self.begin_sync(),
            14..17 => self.end_sync(),
            17 => {
                // A fault of it is the house's to repeat.
                drop(self.house.ensure_spare(self.place));
                if self.dice.once_in(3) {
                    drop(self.house.ensure_reserve());
                }
            }
            18 => {
                let durable = self.log.durable();
                if self.house.put_mark(durable).is_ok() {
                    self.mark = self.mark.max(durable);
                }
            }
            _ => self.keep(),
        }
    }

    fn push(&mut self) {
        let mut batch = Batch::new(self.log.buffer());
        for _ in 0..1 + self.dice.below(5) {
            let size = if self.dice.once_in(8) { self.dice.below(1_500) } else { self.dice.below(120) };
            let mut body = format!("{}/{}", self.seed, self.model.len() + 1).into_bytes();
            let fill = (self.dice.bits() % 251) as u8;
            body.resize(body.len() + size, fill);
            let seq = self.model.len() as u64 + 1;
            let limit = self.log.record_limit();
            batch
                .add(seq, limit, |out| {
                    out.extend_from_slice(&[kind_of(&body), 1]);
                    out.extend_from_slice(&body);
                })
                .unwrap();
            let waits_for_disk = self.dice.once_in(2);
            if waits_for_disk {
                batch.wait_for_disk(seq, true)
            } else {
                batch.wait_for_kernel(seq, false)
            }
            self.model.push(body);
            if batch.bytes() >= self.log.batch_limit() {
                break;
            }
        }
        self.log.push(batch);
    }

    fn begin_write(&mut self) {
        match self.log.next_write() {
            Next::Nothing => {}
            Next::Write(job) => self.write = Some(job),
            Next::Segment(mut header) => {
                header.epoch = self.dice.bits() as u32 | 1;
                let dir = Arc::clone(&self.disk.dirs()[self.place]);
                match work::open_segment(&*dir, &header, &segment_name(header.number)) {
                    Ok(file) => self.log.opened(header, file, self.place, dir),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        drop(self.house.ensure_spare(self.place));
                    }
                    Err(_) => {
                        self.log.not_opened(header);
                        self.switch();
                    }
                }
            }
        }
    }

    fn switch(&mut self) {
        self.place = (self.place + 1) % self.disk.dirs().len();
    }

    fn end_write(&mut self) {
        let Some(job) = self.write.take() else { return };
        let result = work::write(&job);
        let acks = self.log.wrote(job.bytes, &result);
        assert!(
            result.is_ok() || acks.is_empty(),
            "seed {}: Honest broken: acknowledged after a failed write",
            self.seed
        );
        if result.is_err() {
            self.switch();
        }
        for (seq, waits_for_disk) in acks {
            assert!(!waits_for_disk, "seed {}: Honest broken: {seq} waits for the disk", self.seed);
            self.in_kernel = self.in_kernel.max(seq);
        }
    }

    fn begin_sync(&mut self) {
        let Some(job) = self.log.next_sync() else { return };
        // What a sync covers was written before it began; it may happen at once, or late.
        let result = self.dice.once_in(2).then(|| work::sync(&job));
        self.sync = Some((job, result));
    }

    fn end_sync(&mut self) {
        let Some((job, result)) = self.sync.take() else { return };
        let result = result.unwrap_or_else(|| work::sync(&job));
        let acks = self.log.synced(&job, &result);
        assert!(
            result.is_ok() || acks.is_empty(),
            "seed {}: Honest broken: acknowledged after a failed sync",
            self.seed
        );
        if result.is_err() {
            self.switch();
        }
        self.on_disk = acks.iter().map(|(seq, _)| *seq).fold(self.on_disk.max(self.log.durable()), u64::max);
    }

    /// A snapshot, or the removal of what is not needed.
    fn keep(&mut self) {
        if self.dice.once_in(3) && self.log.durable() > self.snapshot {
            let covers = self.log.durable();
            let dir = Arc::clone(&self.disk.dirs()[0]);
            let id = self.id();
            let written = SnapshotWriter::new(dir, id, covers, self.dice.bits() as u32 | 1, None).and_then(
                |mut writer| {
                    for body in &self.model[..covers as usize] {
                        writer.put(kind_of(body), 1, body)?;
                    }
                    writer.commit()
                },
            );
            if written.is_ok() {
                self.snapshot = covers;
                self.released = covers;
            }
        } else {
            let gone = self.log.release(self.released.min(self.snapshot), 4 * SEGMENT);
            // What could not be removed stays and does no harm.
            drop(self.house.remove(&gone, self.snapshot));
        }
    }

    fn id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(self.seed + 1).to_le_bytes());
        id
    }

    /// Everything to disk, without faults.
    pub fn settle(&mut self) {
        self.disk.set(Faults::default());
        self.disk.set_room(ROOM * 4);
        for _ in 0..2_000 {
            if self.log.is_settled() && self.write.is_none() && self.sync.is_none() {
                return;
            }
            drop(self.house.ensure_spare(self.place));
            self.end_write();
            self.end_sync();
            self.begin_write();
            self.begin_sync();
        }
        panic!("seed {}: Healing broken: the disk works and records are still not on it", self.seed);
    }

    /// The process ends, with or without the power, in the middle of whatever was under way; then it starts again.
    pub fn end_and_start(&mut self, is_power_cut: bool) {
        self.poisoned += self.log.poisoned();
        if let Some(job) = self.write.take().filter(|_| self.dice.once_in(2)) {
            // Some of it had come as far as the kernel.
            let part = self.dice.below(job.bytes.len() + 1);
            drop(job.file.write_at(&job.bytes[..part], job.at));
        }
        if let Some((job, None)) = self.sync.take().filter(|_| self.dice.once_in(2)) {
            drop(work::sync(&job));
        }
        self.disk.set(Faults::default());
        self.disk.set_room(ROOM * 4);
        let was_poisoned = self.log.poisoned() > 0 || self.disk.happened() > self.faults_before;
        if is_power_cut {
            self.disk.power_cut();
        }
        let last = self.check();
        // Whoever was told that the kernel has it finds it after a mere kill; a disk that failed meanwhile is more.
        assert!(
            is_power_cut || was_poisoned || last >= self.in_kernel,
            "seed {}: Kernel broken: {} was acknowledged, {last} is the last there after a kill",
            self.seed,
            self.in_kernel
        );
        self.model.truncate(last as usize);
        self.in_kernel = self.in_kernel.min(last);
        let (log, house) = begun(&self.disk);
        (self.log, self.house) = (log, house);
        // A start brings to disk what it found.
        self.on_disk = self.log.durable();
        self.place = 0;
        self.faults_before = self.disk.happened();
    }

    /// Reads everything back; gives the last record there is.
    fn check(&mut self) -> u64 {
        let seed = self.seed;
        let found = match Found::on(&settings(), self.disk.dirs(), false) {
            Ok(found) => found,
            Err(error) => panic!("seed {seed}: Start broken: refused after a power cut: {error}"),
        };
        let last = found.last_seq();
        assert!(
            last >= self.on_disk,
            "seed {seed}: Durable broken: {} was on disk, {last} is the last",
            self.on_disk
        );
        assert_eq!(found.next_seq(), last + 1);
        let read = everything(&found);
        assert_eq!(read.len() as u64, last, "seed {seed}: Once broken");
        self.snapshot = self.snapshot.max(found.snapshot().unwrap().map_or(0, |(seq, _)| seq));
        for (turn, record) in read.iter().enumerate() {
            let is_same = self.model.get(turn) == Some(&record.body) && record.kind == kind_of(&record.body);
            assert!(is_same, "seed {seed}: Content broken: record {}", turn + 1);
        }
        last
    }
}

/// The snapshot's records and those after it.
pub fn everything(found: &Found) -> Vec<Read> {
    let mut read = Vec::new();
    let mut after = 0;
    if let Some((covers, records)) = found.snapshot().unwrap() {
        read.extend(records.map(Result::unwrap));
        after = covers;
    }
    let (mut blocks, mut block) = (found.records_after(after), Block::default());
    let mut lent = Vec::new();
    while blocks.read_into(&mut block).unwrap() {
        let own = |one: Lent<'_>| Read {
            seq: one.seq,
            kind: one.kind,
            version: one.version,
            body: one.body.to_vec(),
        };
        lent.extend(block.records().map(own));
    }
    for record in found.records_after(after) {
        let record = record.unwrap();
        assert_eq!(record.seq, read.len() as u64 + 1, "in their order");
        read.push(record);
    }
    assert!(read.ends_with(&lent), "in blocks and one by one");
    assert_eq!(lent.len() as u64, found.last_seq() - after);
    read
}

fn begun(disk: &Sim) -> (Log<bool>, House) {
    let found = Found::on(&settings(), disk.dirs(), false).unwrap();
    let id = found.survey.id.unwrap();
    for dir in disk.dirs().iter() {
        dir.sync().unwrap();
    }
    let house = House::new(disk.dirs(), SEGMENT, 5, id, found.survey.mark);
    house.clear(&found.survey.blank).unwrap();
    let epoch = 1 + 2 * (found.last_seq() as u32 + 1_000 * found.survey.number as u32);
    (Log::new(found.begin(id, epoch).unwrap()), house)
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    let worlds = seeds(CUTS / CUTS_OF_A_WORLD);
    let (mut cuts, mut kills, mut records, mut faults, mut poisoned) = (0, 0, 0, 0, 0);
    for seed in worlds.clone() {
        let mut dice = Dice::new(seed);
        let is_faulty = dice.once_in(2);
        let mut world = World::new(seed, 1 + dice.below(2), is_faulty);
        for _ in 0..CUTS_OF_A_WORLD {
            if world.is_faulty {
                let rate = 5 + dice.below(60);
                world.disk.set(Faults { write: rate, short: rate, sync: rate, dir: rate });
                world.disk.set_room(if dice.once_in(3) { 7 * SEGMENT } else { ROOM });
            }
            for _ in 0..40 + dice.below(300) {
                world.step();
            }
            if dice.once_in(4) {
                world.end_and_start(false);
                kills += 1;
                for _ in 0..dice.below(40) {
                    world.step();
                }
            }
            if dice.once_in(4) {
                world.settle();
                assert_eq!(world.on_disk, world.model.len() as u64, "seed {seed}: Healing broken");
            }
            world.end_and_start(true);
            cuts += 1;
        }
        records += world.model.len();
        faults += world.disk.happened();
        poisoned += world.poisoned;
    }
    println!(
        "power cuts {cuts}, kills {kills}, seeds {worlds:?}, records left {records}, disk faults {faults}, segments given up {poisoned}, lost 0"
    );
    assert!(poisoned > 0 && faults > 0, "the disk never failed");
}
