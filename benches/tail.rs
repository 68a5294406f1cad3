//! How long a start takes that reads a long tail of the journal, from the process to the line that says it takes calls.
//!
//! Two seconds for a gigabyte are what it may take. The journal is made of the entries that the tests pin, each call with
//! ids of its own: a decision, an answer, the end, and that it is forgotten when so many others came after it. Then the
//! program itself is started on it, as often as [`STARTS`] says. Only for who asks for it by name: `cargo bench -- tail`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outcry::config;
use outcry::domain::CallId;
use outcry::domain::catalog::Secret;
use outcry::journal::{Class, Found, NotNow, Payload, Waits};
use outcry::records::entry::{ENTRY, Entry, Put, VERSION};
use outcry::records::seal::Seal;

use crate::journal::body;

/// Bytes of the tail.
const TAIL: u64 = 1024 * 1024 * 1024;
/// Of a quick run.
const QUICK_TAIL: u64 = 4 * 1024 * 1024;
/// Starts that are timed.
const STARTS: usize = 3;
/// Calls that are remembered at any moment: ten minutes of a hundred a second.
const REMEMBERED: u128 = 60_000;
/// What a start may take for a gigabyte.
const LIMIT: Duration = Duration::from_secs(2);

const SETTINGS: &str = "[call_traffic]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
    [store]\npath = \"store/outcry.db\"\n[journal]\nfree_percent = 0\n[log]\nformat = \"json\"\n";
const CATALOG: &str = "default_plan = \"nobody\"\n[carrier.sw]\nkey_digest = \"sha256:00000000000000000000000000000000000000000000000000000000000000aa\"\n\
    [campaign.auto]\nvertical = \"auto\"\nplan = \"nobody\"\npayout = { fixed = \"5.00\" }\n[publisher.pub]\nname = \"Pub\"\nzone = \"UTC\"\n\
    [[number]]\nnumber = \"+18005550100\"\ncampaign = \"auto\"\npublisher = \"pub\"\n\
    [buyer.acme]\nname = \"Acme\"\nzone = \"UTC\"\n[target.desk]\nbuyer = \"acme\"\naddress = \"+15125550900\"\nprice = \"20.00\"\n\
    [plan.nobody]\nroot = \"desk\"\nterminal = { message = \"Nobody is here.\" }\n";

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A record as its bytes.
struct Raw(Vec<u8>);

impl Payload for Raw {
    fn class(&self) -> Class {
        Class::Money
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[ENTRY, VERSION]);
        out.extend_from_slice(&self.0);
    }
}

/// A pinned entry, and where the ids of its call and hold stand in it.
pub struct Pattern {
    body: Vec<u8>,
    places: Vec<(usize, u8)>,
}

impl Pattern {
    pub fn of(name: &str) -> Pattern {
        let body = body(name);
        let id = |last: u16| ((0x0190_0000_0000_7000_8000_u128 << 48) | u128::from(last)).to_be_bytes();
        // Its call's, and its hold's.
        let ids = [(id(0x0001), 0), (id(0x00aa), 1)];
        let mut places = Vec::new();
        for (id, which) in ids {
            let found = body.windows(16).enumerate().filter(|(_, text)| *text == id);
            places.extend(found.map(|(at, _)| (at, which)));
        }
        assert!(places.iter().any(|(_, which)| *which == 0), "{name} is of a call");
        Pattern { body, places }
    }

    pub fn with(&self, call: u128) -> Vec<u8> {
        let mut body = self.body.clone();
        for (at, which) in &self.places {
            let id = call << 1 | u128::from(*which);
            body[*at..at + 16].copy_from_slice(&id.to_be_bytes());
        }
        body
    }
}

/// Makes the folder, and in it a journal with a tail of so many bytes; how many records.
fn make(folder: &Path, bytes: u64) -> u64 {
    fs::create_dir_all(folder.join("catalog")).expect("a folder");
    fs::create_dir_all(folder.join("store")).expect("a folder");
    fs::write(folder.join("catalog/market.toml"), CATALOG).expect("a file");
    fs::write(folder.join("outcry.toml"), SETTINGS).expect("a file");
    let loaded = config::load(&folder.join("outcry.toml")).unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    });
    let key = vec![b'k'; 64];
    fs::write(&loaded.settings.pings.caller_key_file, &key).expect("a file");
    let seal = Seal::of(&Secret(key));
    let found = Found::open(&loaded.settings.journal.kept, false).expect("no journal yet");
    let (appender, keeper) = found.start::<Raw>(|what| panic!("{what}")).expect("a journal");
    let (mut written, mut records) = (0, 0);
    let mut put = |mut body: Vec<u8>| {
        seal.close(&mut body, 0);
        written += body.len() as u64;
        records += 1;
        loop {
            match appender.reserve() {
                Ok(slot) => return (slot.send(Raw(body), Waits::Nothing), written).1,
                Err(NotNow::Full) => std::thread::sleep(Duration::from_millis(1)),
                Err(NotNow::Closed) => panic!("the journal is open"),
            }
        }
    };
    let entry = |state: Put| {
        let mut body = Vec::new();
        Entry::put(state).encode(&mut body);
        body
    };
    put(entry(Put::Changes(Vec::new())));
    let patterns = ["opened", "answered", "ended"].map(Pattern::of);
    for call in 0x0190_0000_0000_7000_8000_0000_0001_0000_u128 >> 1.. {
        let mut so_far = 0;
        for pattern in &patterns {
            so_far = put(pattern.with(call));
        }
        if so_far >= bytes {
            break;
        }
        let old = (call - REMEMBERED) << 1;
        so_far = put(entry(Put::Forgotten(CallId::from_bits(old))));
        if so_far >= bytes {
            break;
        }
    }
    assert!(keeper.close().is_complete, "the disk takes it");
    records
}

/// Processor time that a process has had so far, in all its threads: what a busy machine does not change.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // The fields 14 and 15 of proc(5), in hundredths of a second.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Starts the program and ends it when it takes calls: how long that took, its processor time, what it said of the journal.
fn start(folder: &Path) -> (Duration, Duration, String) {
    // A store of its own each time: what it takes behind the start is not what is measured.
    for file in ["outcry.db", "outcry.db-wal", "outcry.db-shm"] {
        let _ = fs::remove_file(folder.join("store").join(file));
    }
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_outcry"))
        .args(["serve", "--config"])
        .arg(folder.join("outcry.toml"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    let (mut said, mut all) = (String::new(), String::new());
    let mut took = None;
    for line in lines.map_while(Result::ok) {
        if line.contains("the journal was read") {
            said.clone_from(&line);
        }
        if line.contains("the exchange takes calls") {
            took = Some((began.elapsed(), cpu(child.id())));
            break;
        }
        all.push_str(&line);
    }
    // By its own handle; it may have ended.
    let _ = child.kill();
    let _ = child.wait();
    let (took, cpu) = took.unwrap_or_else(|| panic!("it did not start: {all}"));
    (took, cpu, said)
}

pub fn run(is_quick: bool) {
    let folder = Folder(std::env::temp_dir().join(format!("outcry-tail-{}", std::process::id())));
    let bytes = if is_quick { QUICK_TAIL } else { TAIL };
    let records = make(&folder.0, bytes);
    println!("a tail of {} MB, {records} records", bytes / (1024 * 1024));
    for turn in 1..=if is_quick { 1 } else { STARTS } {
        let (took, cpu, said) = start(&folder.0);
        let ratio = took.as_secs_f64() / LIMIT.as_secs_f64() * TAIL as f64 / bytes as f64;
        println!(
            "start {turn}: {took:.2?} until it takes calls, {ratio:.2} of what it may take; {cpu:.2?} of processor"
        );
        println!("  {said}");
    }
}
