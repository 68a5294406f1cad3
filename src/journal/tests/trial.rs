//! Commits that are timed at a start: on a disk that is well, and on one that fails or has no time for them.

use std::fs;
use std::time::Duration;

use super::super::choice::Why;
use super::super::disk::RealDir;
use super::super::survey::TRIAL;
use super::super::{Backend, Class, Disk, Found, Payload, discard, trial, uring};
use super::real::Folder;
use super::sim::{Faults, Sim};

#[derive(Debug)]
struct Nothing;

impl Payload for Nothing {
    fn class(&self) -> Class {
        Class::Money
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[7, 1]);
    }
}

/// Of a journal that was started with this.
fn started(folder: &Folder, backend: Backend) -> (Disk, Why) {
    let found = Found::open(&folder.settings(backend), false).unwrap();
    let (_, keeper) = found.start::<Nothing>(|what| panic!("{what}")).unwrap();
    let choice = keeper.counters().choice;
    assert!(keeper.close().is_complete);
    (choice.disk, choice.why)
}

#[test]
fn a_start_takes_what_is_set_or_what_is_quick_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let dir = folder.0.join("journal");
    let is_allowed = uring::probe().is_ok();
    assert_eq!(started(&folder, Backend::Thread), (Disk::Thread, Why::Set));
    if is_allowed {
        assert_eq!(started(&folder, Backend::Uring), (Disk::Uring, Why::Set));
    }
    // Left by a process that was killed before it had taken the name away.
    fs::write(dir.join(TRIAL), "0").unwrap();
    let (disk, why) = started(&folder, Backend::Auto);
    let is_uring = matches!(why, Why::AsQuick(_) | Why::SlowDisk(_));
    let is_thread = matches!(why, Why::Slower(_) | Why::Untimed(_) | Why::Denied(_));
    assert!(if disk == Disk::Uring { is_uring } else { is_thread }, "{disk:?} {why:?}");
    assert_eq!(matches!(why, Why::Denied(_)), !is_allowed);
    assert!(!dir.join(TRIAL).exists());
    fs::write(dir.join(TRIAL), "0").unwrap();
    discard(&dir).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn a_disk_that_fails_or_has_no_time_gives_no_times() {
    if uring::probe().is_err() {
        return;
    }
    let disk = Sim::new(11, 1, 1024 * 1024);
    let trial = || trial::run(&*disk.dirs()[0], trial::LIMIT);
    // A simulated disk is not one of the ring: the bare loop gets a commit, and io_uring an error.
    let alien = trial();
    assert_eq!((alien.bare.len(), alien.uring.len()), (1, 0));
    assert_eq!(alien.fault.as_deref(), Some("the disk fails"));
    disk.set(Faults { sync: 1, ..Faults::default() });
    let failing = trial();
    assert_eq!((failing.bare.len(), failing.fault.as_deref()), (0, Some("the simulated disk fails")));
    disk.set(Faults::default());
    disk.set_room(1);
    assert!(trial().fault.is_some(), "no room");
    assert!(disk.files(0).is_empty());
    let folder = Folder::new();
    let late = trial::run(&RealDir::unlocked(&folder.0).unwrap(), Duration::ZERO);
    assert_eq!((late.bare.len(), late.uring.len(), late.fault), (0, 0, None));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}
