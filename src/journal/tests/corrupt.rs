//! Files that were damaged, lost, swapped or restored from another day: each is refused, or cut and said, or harmless.
//!
//! Only one loss may go unsaid: files that look like an earlier, good state, where no mark has been set since. That is
//! a second's worth at most, and counted here.

use super::super::open::{Found, OpenError};
use super::power::{World, everything, settings};
use super::sim::Sim;
use super::{Dice, seeds};

/// Corruptions of the gate.
const CORRUPTIONS: u64 = 2_000;
/// Corruptions tried on one journal.
const OF_A_JOURNAL: u64 = 50;

/// A whole journal of some starts, all on disk, with an earlier state of its files.
struct Built {
    world: World,
    earlier: Vec<(String, Vec<u8>)>,
}

fn built(seed: u64) -> Built {
    let mut dice = Dice::new(seed);
    let mut world = World::new(seed, 1, false);
    let mut earlier = Vec::new();
    let starts = 1 + dice.below(3);
    for turn in 0..starts {
        for _ in 0..60 + dice.below(160) {
            world.step();
        }
        world.settle();
        if turn == 0 {
            earlier = world.disk.files(0);
        }
        if turn + 1 < starts {
            world.end_and_start(false);
        }
    }
    Built { world, earlier }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    FlipInTail,
    FlipInMiddle,
    FlipAnywhere,
    TornWrite,
    ShortFile,
    Missing,
    Swapped,
    Older,
    Foreign,
    FlipInSmallFile,
}

const DAMAGES: [Damage; 10] = [
    Damage::FlipInTail,
    Damage::FlipInMiddle,
    Damage::FlipAnywhere,
    Damage::TornWrite,
    Damage::ShortFile,
    Damage::Missing,
    Damage::Swapped,
    Damage::Older,
    Damage::Foreign,
    Damage::FlipInSmallFile,
];

impl Damage {
    /// Whether it can leave what an earlier, good state would look like.
    fn may_look_like_earlier(self) -> bool {
        matches!(self, Damage::TornWrite | Damage::ShortFile | Damage::Missing | Damage::Older)
    }
}

fn flip(dice: &mut Dice, bytes: &mut [u8], from: usize, to: usize) {
    for _ in 0..1 + dice.below(3) {
        let at = from + dice.below(to - from);
        bytes[at] ^= 1 << dice.below(8);
    }
}

/// Damages a copy; none if this journal has nothing to damage that way.
fn damage(kind: Damage, built: &Built, other: &Built, dice: &mut Dice) -> Option<Sim> {
    let disk = built.world.disk.copy();
    let files = disk.files(0);
    let segments: Vec<_> =
        files.iter().filter(|(name, _)| name.ends_with(".seg") && name != "spare.seg").collect();
    let (name, bytes) = segments.get(dice.below(segments.len()))?;
    let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let mut bytes = bytes.clone();
    match kind {
        Damage::FlipInTail => {
            let (name, last) = segments.last()?;
            let used = last.iter().rposition(|byte| *byte != 0)? + 1;
            let mut bytes = last.clone();
            flip(dice, &mut bytes, used.saturating_sub(200), used);
            disk.put(0, name, bytes);
        }
        Damage::FlipInMiddle => {
            flip(dice, &mut bytes, 0, used);
            disk.put(0, name, bytes);
        }
        Damage::FlipAnywhere => {
            let len = bytes.len();
            flip(dice, &mut bytes, 0, len);
            disk.put(0, name, bytes);
        }
        Damage::TornWrite => {
            // Sectors that never came to disk, or came from elsewhere.
            let sector = dice.below(bytes.len() / 512);
            let fill = if dice.once_in(2) { 0 } else { dice.bits() as u8 };
            let count = 1 + dice.below(3);
            for byte in bytes.iter_mut().skip(sector * 512).take(count * 512) {
                *byte = fill;
            }
            disk.put(0, name, bytes);
        }
        Damage::ShortFile => {
            bytes.truncate(dice.below(used));
            disk.put(0, name, bytes);
        }
        Damage::Missing => disk.remove(0, name),
        Damage::Swapped => {
            let (with, content) =
                segments.get(dice.below(segments.len())).filter(|(with, _)| with != name)?;
            disk.put(0, with, bytes);
            disk.put(0, name, content.clone());
        }
        Damage::Older => {
            let (_, older) = built.earlier.iter().find(|(known, older)| known == name && *older != bytes)?;
            disk.put(0, name, older.clone());
        }
        Damage::Foreign => {
            let (_, foreign) = other.world.disk.files(0).into_iter().find(|(known, _)| known == name)?;
            disk.put(0, name, foreign);
        }
        Damage::FlipInSmallFile => {
            let small: Vec<_> = files.iter().filter(|(name, _)| !name.ends_with(".seg")).collect();
            let (name, bytes) = small.get(dice.below(small.len()))?;
            let mut bytes = bytes.clone();
            let len = bytes.len();
            flip(dice, &mut bytes, 0, len);
            disk.put(0, name, bytes);
        }
    }
    Some(disk)
}

#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    cut: u64,
    harmless: u64,
    earlier: u64,
}

fn judge(kind: Damage, disk: &Sim, built: &Built, at: &str, tally: &mut Tally) {
    let world = &built.world;
    let found = match Found::on(&settings(), disk.dirs(), false) {
        Ok(found) => found,
        Err(OpenError::Io { .. }) => panic!("{at}: Judged broken: the disk has no fault"),
        Err(_) => {
            tally.refused += 1;
            return;
        }
    };
    let last = found.last_seq();
    let read = everything(&found);
    assert_eq!(read.len() as u64, last, "{at}: Once broken");
    let is_same = read.iter().zip(&world.model).all(|(read, known)| read.body == *known);
    assert!(is_same && last <= world.model.len() as u64, "{at}: Content broken");
    // A mark that was flipped is read from its other slot, which is a little older.
    let is_marked = kind != Damage::FlipInSmallFile;
    assert!(
        !is_marked || last >= world.mark,
        "{at}: Mark broken: {last} is the last, {} was marked",
        world.mark
    );
    if last == world.on_disk {
        tally.harmless += 1;
    } else if found.cut().is_some() {
        tally.cut += 1;
    } else {
        assert!(
            kind.may_look_like_earlier(),
            "{at}: Said broken: {last} of {} without a word",
            world.on_disk
        );
        tally.earlier += 1;
    }
}

#[test]
fn what_is_corrupt_is_refused_or_cut_and_said() {
    let journals = seeds(CORRUPTIONS / OF_A_JOURNAL);
    let mut tally = Tally::default();
    let mut done = 0;
    for seed in journals.clone() {
        let (built, other) = (built(seed), built(seed + 1_000_000));
        let mut dice = Dice::new(seed ^ 0x77);
        let mut tries = 0;
        while tries < OF_A_JOURNAL {
            let kind = DAMAGES[dice.below(DAMAGES.len())];
            let Some(disk) = damage(kind, &built, &other, &mut dice) else { continue };
            judge(kind, &disk, &built, &format!("seed {seed}: {kind:?} {tries}"), &mut tally);
            tries += 1;
        }
        done += tries;
    }
    println!(
        "corruptions {done}, seeds {journals:?}: refused {}, cut and said {}, harmless {}, looked like an earlier state without a later mark {}, undetected 0",
        tally.refused, tally.cut, tally.harmless, tally.earlier
    );
    assert!(tally.refused > done / 4 && tally.cut > 0, "{tally:?}");
}
