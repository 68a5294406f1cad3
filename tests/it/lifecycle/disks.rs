//! Disks that fill up, fail or go away below a whole exchange while carriers work: calls are routed throughout, nothing is
//! acknowledged that is not on disk, what was acknowledged is there once, and when the disk works again so does everything.
//!
//! The gate has what needs no privilege: errors injected by `strace` into the calls of threads, and a limit on the size of
//! files, which a ring meets too. `OUTCRY_DISKS` asks for so many rounds on file systems of their own besides, filled up,
//! starved and shut down in mid-write, by both backends: that needs root. `OUTCRY_DISKS_SEED` says which moments.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use load::chance::Chance;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::carriers::{Hand, Load, has_ring, market, told, written_by};
use crate::support::mounts::{Mount, Starved};
use crate::support::strace::Strace;
use crate::support::{Exchange, Folder, eventually};

/// Backends, where both are meant.
const BOTH: [&str; 2] = ["thread", "uring"];
/// What every thread that writes or syncs hears, by `strace`.
const NO_ROOM: &[&str] = &["pwrite64:error=ENOSPC"];
const NO_WRITE: &[&str] = &["pwrite64:error=EIO"];
const NO_SYNC: &[&str] = &["fdatasync:error=EIO", "fsync:error=EIO"];
/// Calls routed while a disk is at fault, at the least.
const ROUTED: usize = 20;
/// Longest until somebody notices a fault: a full disk has some segments left.
const NOTICED: Duration = Duration::from_secs(120);
/// Size of the file systems, in MB: what all rounds write fits, so that they are full when they are filled up only.
const ROOM: u64 = 160;

fn rounds() -> u64 {
    told("OUTCRY_DISKS").unwrap_or(0)
}

fn seed() -> u64 {
    told("OUTCRY_DISKS_SEED").unwrap_or(1)
}

/// A folder whose exchange writes its journal so.
fn folder(backend: &str) -> Folder {
    let folder = Folder::new();
    market(100_000).write(folder.path(), "[calls]\nnext_within_s = 300\n");
    written_by(&folder, backend);
    folder
}

/// Adds lines to what the settings say of the journal.
fn with(folder: Folder, lines: &str) -> Folder {
    let settings = folder.path().join("outcry.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("[journal]\n", &format!("[journal]\n{lines}"))).unwrap();
    folder
}

/// Room taken; it is there again when this is dropped.
struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        // Its file system may be gone before it when a test fails; else nothing heals, and that is seen.
        let _ = fs::remove_file(&self.0);
    }
}

/// No byte may be written to any file by this process, until this is dropped: each try hears EFBIG.
struct NoBytes(u32);

impl NoBytes {
    fn of(pid: u32) -> NoBytes {
        limit(pid, Some(0)).unwrap();
        NoBytes(pid)
    }

    /// As it is started to survive that: the signal that comes with it is ignored.
    fn run(folder: Folder) -> Exchange {
        let mut command = Command::new("sh");
        let ignoring = "trap '' XFSZ; exec \"$0\" \"$@\"";
        command.args(["-c", ignoring, env!("CARGO_BIN_EXE_outcry"), "serve"]);
        Exchange::try_run(command, folder).unwrap_or_else(|(_, log)| panic!("{}", log.join("\n")))
    }
}

impl Drop for NoBytes {
    fn drop(&mut self) {
        // Gone is as good.
        let _ = limit(self.0, None);
    }
}

fn limit(pid: u32, bytes: Option<u64>) -> rustix::io::Result<Rlimit> {
    let pid = Pid::from_raw(pid as i32).unwrap();
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None })
}

/// One fault and its end while carriers work, and then a kill: what was routed and heard is in `load`. `begin` gives what
/// keeps the fault up; `is_dead` is a fault with which nothing comes to disk.
fn lives_through<F>(
    load: &mut Load,
    exchange: Exchange,
    is_dead: bool,
    begin: impl FnOnce(&Exchange) -> F,
) -> Folder {
    load.during(exchange, |exchange, hand| {
        hand.acknowledged(50);
        let fault = at_fault(exchange, hand, is_dead, begin);
        hand.totals.is_dead.store(false, Ordering::SeqCst);
        drop(fault);
        // The same process, without a word from anybody.
        hand.events(40);
        hand.route(exchange, ROUTED);
        hand.acknowledged(20);
    })
}

/// Begins a fault and returns when somebody was put off for it; calls are routed before and after that.
fn at_fault<F>(
    exchange: &Exchange,
    hand: &mut Hand<'_>,
    is_dead: bool,
    begin: impl FnOnce(&Exchange) -> F,
) -> F {
    hand.totals.may_put_off.store(true, Ordering::SeqCst);
    let before = hand.totals.number(|totals| &totals.put_off);
    let fault = begin(exchange);
    hand.totals.is_dead.store(is_dead, Ordering::SeqCst);
    let until = Instant::now() + NOTICED;
    hand.route(exchange, ROUTED);
    while hand.totals.number(|totals| &totals.put_off) == before {
        assert!(Instant::now() < until, "nobody was put off: {:#?}", exchange.log());
        hand.route(exchange, 1);
        std::thread::sleep(Duration::from_millis(20));
    }
    hand.route(exchange, ROUTED);
    fault
}

/// From here on nobody may be put off again; the disk is well.
fn well(load: &Load) {
    load.totals.is_dead.store(false, Ordering::SeqCst);
    load.totals.may_put_off.store(false, Ordering::SeqCst);
}

/// Starts it once more, on a disk that works, and judges everything.
fn judged(what: &str, faults: u64, load: Load, left: Folder) -> Folder {
    well(&load);
    let exchange = Exchange::run(left);
    let judged = load.judge(&exchange);
    let totals = &judged.totals;
    println!(
        "{what}: {faults} faults, seed {}: {} calls routed, the longest in {} us; {} events acknowledged, {} put off; {} calls \
         billed; acknowledged at fault 0, lost 0, double 0",
        seed(),
        totals.number(|totals| &totals.routed),
        totals.number(|totals| &totals.longest),
        totals.number(|totals| &totals.events),
        totals.number(|totals| &totals.put_off),
        judged.billed.values().sum::<usize>(),
    );
    exchange.finish()
}

fn injected(what: &str, faults: &[&str]) {
    let mut load = Load::new(seed());
    let exchange = Exchange::run(folder("thread"));
    let left = lives_through(&mut load, exchange, true, |exchange| Strace::of_all(exchange.pid(), faults));
    judged(what, 1, load, left);
}

/// On file systems of their own, by both backends, where that is asked for.
fn on_file_systems(campaign: impl Fn(&str)) {
    if rounds() > 0 {
        BOTH.into_iter().for_each(campaign);
    }
}

#[test]
fn a_disk_without_room_delays_acknowledgements_and_heals() {
    injected("no room, injected (thread)", NO_ROOM);
    on_file_systems(full_file_systems);
}

#[test]
fn a_disk_that_cannot_be_written_delays_acknowledgements_and_heals() {
    injected("no write, injected (thread)", NO_WRITE);
}

#[test]
fn a_disk_that_cannot_be_synced_delays_acknowledgements_and_heals() {
    injected("no sync, injected (thread)", NO_SYNC);
    on_file_systems(starved);
}

#[test]
fn a_limit_of_the_system_on_what_is_written_is_lived_through_by_both_backends() {
    for backend in backends() {
        let mut load = Load::new(seed());
        let exchange = NoBytes::run(folder(backend));
        let left = lives_through(&mut load, exchange, true, |exchange| NoBytes::of(exchange.pid()));
        judged(&format!("no byte may be written ({backend})"), 1, load, left);
    }
}

/// Those the system has.
fn backends() -> Vec<&'static str> {
    BOTH.into_iter().filter(|backend| *backend != "uring" || has_ring()).collect()
}

/// One failed call is the end of a segment, not of anything else: nobody is put off.
#[test]
fn one_error_is_no_loss_and_nobody_is_put_off() {
    let faults = [
        ("journal-hand", "pwrite64:error=EIO:when=3"),
        ("journal-hand", "pwrite64:error=ENOSPC:when=2"),
        ("journal-hand", "fdatasync:error=EIO:when=2"),
        ("journal-hand", "fdatasync:error=ENOSPC:when=3"),
    ];
    let mut load = Load::new(seed());
    let mut left = folder("thread");
    for (thread, fault) in faults {
        left = load.during(Exchange::run(left), |exchange, hand| {
            hand.acknowledged(20);
            let tracer = Strace::of_threads(exchange.pid(), thread, fault);
            eventually("the fault is said", || {
                exchange.log().iter().any(|line| line.contains("a new one takes over")).then_some(())
            });
            hand.events(40);
            drop(tracer);
            hand.acknowledged(20);
        });
    }
    judged("one error each (thread)", faults.len() as u64, load, left);
}

/// A segment is given up for each failed sync, and where new ones can be made that must not fill the disk.
#[test]
fn a_disk_that_takes_new_files_and_no_syncs_is_not_filled_with_segments() {
    let mut load = Load::new(seed());
    let left = load.during(Exchange::run(folder("thread")), |exchange, hand| {
        hand.acknowledged(50);
        let began = Instant::now();
        let fault = at_fault(exchange, hand, true, |exchange| {
            Strace::of_threads(exchange.pid(), "journal-hand", "fdatasync:error=EIO")
        });
        let segments = exchange.metric("outcry_journal_segments", "");
        let most = 10.0 + began.elapsed().as_secs_f64() * 4.0;
        assert!(segments <= most, "{segments} segments after {:?}", began.elapsed());
        hand.totals.is_dead.store(false, Ordering::SeqCst);
        drop(fault);
        hand.events(40);
        eventually("what was given up is removed", || {
            // The load goes on, and fills segments that count.
            let filled = exchange.metric("outcry_journal_bytes_total", "") / f64::from(1 << 20);
            (exchange.metric("outcry_journal_segments", "") <= 5.0 + filled).then_some(())
        });
    });
    judged("no sync of a segment, injected (thread)", 1, load, left);
}

/// The last that is heard of a disk is an error; then the process is gone too.
#[test]
fn a_disk_that_goes_away_takes_nothing_acknowledged_with_it() {
    let all = [NO_WRITE, NO_SYNC].concat();
    let mut load = Load::new(seed());
    let mut left = folder("thread");
    for round in 0..3 {
        well(&load);
        left = load.during(Exchange::run(left), |exchange, hand| {
            hand.acknowledged(30);
            hand.totals.may_put_off.store(true, Ordering::SeqCst);
            let _tracer = Strace::of_all(exchange.pid(), &all);
            hand.totals.is_dead.store(true, Ordering::SeqCst);
            hand.route(exchange, round * ROUTED);
        });
    }
    judged("gone with the process, injected (thread)", 3, load, left);
    on_file_systems(|backend| {
        shut_down(backend, false);
        shut_down(backend, true);
    });
}

/// A disk is filled up, emptied, filled up again; in every second round the process is killed while it is full, and tries to
/// start there.
fn filled(what: &str, mount: &Mount, mut left: Folder) -> Folder {
    let mut load = Load::new(seed());
    let mut refused = 0;
    for round in 0..rounds() {
        well(&load);
        let exchange = Exchange::run(left);
        if round % 2 == 0 {
            left = lives_through(&mut load, exchange, false, |_| Ballast(mount.fill()));
            continue;
        }
        let mut ballast = None;
        left = load.during(exchange, |exchange, hand| {
            hand.acknowledged(50);
            ballast = Some(at_fault(exchange, hand, false, |_| Ballast(mount.fill())));
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
        left = match Exchange::try_run(
            {
                command.arg("serve");
                command
            },
            left,
        ) {
            Ok(exchange) => load.during(exchange, |exchange, hand| hand.route(exchange, ROUTED)),
            Err((left, log)) => {
                let said = log.last().cloned().unwrap_or_default();
                assert!(said.contains("make room") && log.len() == 1, "{log:#?}");
                refused += 1;
                left
            }
        };
        drop(ballast);
    }
    println!("{what}: {refused} starts on a full disk were refused in a line");
    judged(what, rounds(), load, left)
}

fn full_file_systems(backend: &str) {
    let left = folder(backend);
    let mount = Mount::memory(&left.path().join("store"), ROOM);
    let left = filled(&format!("memory, full ({backend})"), &mount, left);
    drop((mount, left));
    let (left, place) = (folder(backend), Folder::new());
    let image = place.path().join("disk");
    let mount = Mount::ext4(&image, ROOM, "has_journal", "", &left.path().join("store"));
    let left = filled(&format!("ext4, full ({backend})"), &mount, left);
    drop((mount, left));
}

/// New blocks do not come to disk, and whoever syncs hears so once.
fn starved(backend: &str) {
    let mut load = Load::new(seed());
    let mut left = with(folder(backend), "path = \"journal/outcry.journal\"\n");
    let disk = Starved::new(&left.path().join("journal"), ROOM);
    for _ in 0..rounds() {
        well(&load);
        let exchange = Exchange::run(left);
        left = lives_through(&mut load, exchange, false, |_| Ballast(disk.starve()));
        // What did not come to disk is not to be found in memory either.
        disk.upper.again();
    }
    let left = judged(&format!("ext4 on a starved disk ({backend})"), rounds(), load, left);
    drop((disk, left));
}

/// A file system is shut down in mid-write, and what is left of it is what comes back; `is_spared` has another disk for the
/// journal, to which it goes on at once.
fn shut_down(backend: &str, is_spared: bool) {
    let (mut load, mut chance) = (Load::new(seed()), Chance::new(seed(), &["shut down", backend]));
    let (mut left, place) = (folder(backend), Folder::new());
    if is_spared {
        left = with(left, "spare_path = \"spare/outcry.journal\"\n");
    }
    let image = place.path().join("disk");
    let mount = Mount::ext4(&image, ROOM, "has_journal", "", &left.path().join("store"));
    for round in 0..rounds() {
        well(&load);
        let acks = chance.between(20, 300);
        left = load.during(Exchange::run(left), |exchange, hand| {
            hand.acknowledged(acks);
            hand.totals.may_put_off.store(true, Ordering::SeqCst);
            mount.shut_down((2 + round % 3) as u32 % 3);
            hand.totals.is_dead.store(!is_spared, Ordering::SeqCst);
            let began = Instant::now();
            match (is_spared, round % 4) {
                (true, _) => {
                    hand.events(40);
                    println!("40 events acknowledged on the other disk after {:?}", began.elapsed());
                    hand.route(exchange, ROUTED);
                }
                (false, 0) => at_fault(exchange, hand, true, |_| ()),
                (false, 1) => hand.route(exchange, ROUTED),
                // At once.
                (false, _) => {}
            }
        });
        mount.again();
    }
    let what =
        format!("ext4, shut down in mid-write ({backend}{})", if is_spared { ", spare disk" } else { "" });
    let left = judged(&what, rounds(), load, left);
    drop((mount, left));
}
