//! kill -9 in the very system calls that write, and a system that is slow or says no: `strace` injects each.
//!
//! The journal is written by threads here, since calls that go through a ring are no system calls. A kill is injected in the
//! n-th call of one kind, of one thread, for every n there is; each is followed by a start that must know everything that
//! was acknowledged. strace is needed; tests/run.sh installs it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::carriers::{has_ring, written_by};
use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::strace::{self, Strace};
use crate::support::{Exchange, Folder, Market, eventually, http, request, together};

/// The journal by threads. The settings every test has come before.
const THREADS: &str = "backend = \"thread\"\n";
/// Most calls of one kind that a start is killed in; one that needs more is a surprise.
const MOST: u32 = 40;

fn market() -> Market {
    Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .buyer("acme", "daily_billable = 100000")
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"\naddress = \"+15125550901\"")
}

/// A folder with this market; the journal has these settings too.
fn folder(journal: &str) -> Folder {
    let folder = Folder::new();
    market().write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("[journal]\n", &format!("[journal]\n{journal}"))).unwrap();
    folder
}

fn ask(name: &str) -> Value {
    json!({"carrier_call_id": name, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

fn end() -> Value {
    json!({"event_id": "ended", "type": "ended", "attempt": 1, "at": "2026-11-20T09:01:40.000Z",
        "talk_ms": 90_000, "cause": "normal", "ended_by": "caller"})
}

/// What a carrier was told, over all kills.
#[derive(Default)]
struct Told {
    names: u32,
    /// Calls whose end was acknowledged.
    billed: Vec<Value>,
    /// A call that was answered, and whose end was not acknowledged.
    open: Option<Value>,
}

impl Told {
    /// One call from its decision to its acknowledged end; false when the exchange is gone.
    fn call(&mut self, address: &str) -> bool {
        if self.open.is_none() {
            self.names += 1;
            let body = ask(&format!("CA{}", self.names)).to_string();
            let answer = http::try_request(address, "POST", "/v1/route", Some(KEY), body.as_bytes());
            let Some(answer) = answer.filter(|answer| answer.status == 200) else { return false };
            self.open = Some(answer.json());
        }
        self.end_open(address)
    }

    fn end_open(&mut self, address: &str) -> bool {
        let Some(answer) = self.open.take() else { return true };
        let path = Exchange::events_path(&answer);
        let told = http::try_request(address, "POST", &path, None, end().to_string().as_bytes());
        match told.map(|told| told.status) {
            Some(200) => self.billed.push(answer),
            // Answered, and nothing rested on it yet when it was killed.
            Some(404) => {}
            Some(status) => panic!("{status}"),
            None => self.open = Some(answer),
        }
        self.open.is_none()
    }

    /// All that was acknowledged since this was asked last is there, once.
    fn judge(&mut self, exchange: &Exchange, point: &str) -> usize {
        assert!(self.end_open(&exchange.traffic), "{point}");
        let judged = self.billed.len();
        for answer in self.billed.drain(..) {
            // Said again, it changes nothing.
            assert_eq!(exchange.event(&answer, &end()).status, 200, "{point}");
            let page = exchange.get(&format!("/api/v1/calls/{}", id(&answer))).json();
            let many = |rows: &Value| rows.as_array().unwrap().len();
            let found = (many(&page["events"]), many(&page["ledger"]["entries"]));
            assert_eq!(found, (1, 3), "{point}: {page:#}");
            assert_eq!(
                (&page["end"]["reason"], &page["ledger"]["is_balanced"]),
                (&json!("billable"), &json!(true))
            );
        }
        judged
    }
}

#[test]
fn a_kill_in_any_call_of_a_start_loses_nothing() {
    let mut told = Told::default();
    let mut exchange = Exchange::run(folder(THREADS));
    let (mut points, mut judged) = (0, 0);
    for call in ["pwrite64", "fdatasync", "fsync", "rename", "unlink", "ftruncate"] {
        for n in 1..=MOST {
            // Something that no mark proves to be on disk.
            assert!(told.call(&exchange.traffic));
            let left = exchange.crash();
            let point = format!("call {n} of {call} in a start");
            let injected = strace::from_the_start(&format!("{call}:signal=SIGKILL:when={n}"));
            let (folder, survived) = match Exchange::try_run(injected, left) {
                Ok(exchange) => {
                    // It may still meet its end, by a thread that works behind.
                    let lives = (0..3).all(|_| told.call(&exchange.traffic));
                    (exchange.crash(), lives)
                }
                Err((folder, _)) => (folder, false),
            };
            exchange = Exchange::run(folder);
            judged += told.judge(&exchange, &point);
            if survived {
                break;
            }
            assert!(n < MOST, "{point}: it takes no end");
            points += 1;
        }
    }
    println!("killed at {points} points of a start, {judged} acknowledged ends, lost 0, double 0");
    assert!(points >= 10, "{points} points");
    exchange.finish();
}

/// By `auto`, which makes a file for that.
#[test]
fn a_kill_while_a_start_times_commits_leaves_no_file() {
    if !has_ring() {
        return;
    }
    let mut told = Told::default();
    let mut exchange = Exchange::run(folder(""));
    let mut left_behind = 0;
    for (call, n) in
        [("unlink", 1), ("unlink", 2), ("unlink", 3), ("io_uring_enter", 1), ("io_uring_enter", 2)]
    {
        assert!(told.call(&exchange.traffic));
        let left = exchange.crash();
        let point = format!("call {n} of {call} in a start");
        let injected = strace::from_the_start(&format!("{call}:signal=SIGKILL:when={n}"));
        let folder = match Exchange::try_run(injected, left) {
            Ok(exchange) => exchange.crash(),
            Err((folder, _)) => folder,
        };
        let scratch = folder.path().join("store/outcry.journal/trial.new");
        left_behind += u32::from(scratch.exists());
        exchange = Exchange::run(folder);
        told.judge(&exchange, &point);
        assert!(!scratch.exists(), "{point}");
    }
    assert!(left_behind > 0, "no kill came before the file had lost its name");
    exchange.finish();
}

#[test]
fn a_kill_in_any_call_of_a_first_start_takes_over_all_of_a_store() {
    // A store with a change, a cap and what it has had, from before there was a journal.
    let base = folder(THREADS);
    let exchange = Exchange::run(base);
    let body = json!({"daily_billable": 2}).to_string();
    let changed = request(&exchange.admin, "PATCH", "/api/v1/buyers/acme", None, body.as_bytes());
    assert_eq!(changed.status, 200, "{}", changed.text());
    for n in 0..2 {
        let answer = exchange.decide(&ask(&format!("CA-old-{n}")));
        exchange.talk(&answer, 90_000);
    }
    let base = exchange.finish();
    let copy = || {
        let new = folder(THREADS);
        fs::create_dir_all(new.path().join("store")).unwrap();
        for file in fs::read_dir(base.path().join("store")).unwrap().map(|file| file.unwrap()) {
            if file.path().is_file() {
                fs::copy(file.path(), new.path().join("store").join(file.file_name())).unwrap();
            }
        }
        new
    };
    let mut points = 0;
    for call in ["pwrite64", "fdatasync", "fsync", "rename", "mkdir"] {
        for n in 1..=MOST {
            let point = format!("call {n} of {call} in a first start");
            let injected = strace::from_the_start(&format!("{call}:signal=SIGKILL:when={n}"));
            let (folder, survived) = match Exchange::try_run(injected, copy()) {
                Ok(exchange) => {
                    let mut told = Told::default();
                    let lives = told.call(&exchange.traffic);
                    (exchange.crash(), lives)
                }
                Err((folder, _)) => (folder, false),
            };
            let exchange = Exchange::run(folder);
            let changes = exchange.get("/api/v1/changes").json()["changes"].as_array().unwrap().len();
            assert_eq!(changes, 1, "{point}");
            let answer = exchange.decide(&ask("CA-new"));
            let (reason, row) = exchange.outcome(id(&answer), "desk");
            assert_eq!(reason, "cap", "{point}: {row}");
            if survived {
                break;
            }
            assert!(n < MOST, "{point}: it takes no end");
            points += 1;
        }
    }
    println!(
        "killed at {points} points of a first start on an older store: cap and changes taken over at each"
    );
    assert!(points >= 8, "{points} points");
}

#[test]
fn a_kill_in_any_call_that_writes_loses_nothing_acknowledged() {
    let mut told = Told::default();
    let mut exchange = Exchange::run(folder(THREADS));
    let (mut points, mut judged) = (0, 0);
    let places: [(&str, &str, u32); 6] = [
        ("journal-hand", "pwrite64", 8),
        ("journal-hand", "fdatasync", 8),
        ("store", "pwrite64", 10),
        // It takes and leaves its locks with these, also between two transactions.
        ("store", "fcntl", 10),
        ("journal-house", "pwrite64", 2),
        ("journal-house", "fdatasync", 1),
    ];
    for (thread, call, most) in places {
        for n in 1..=most {
            let point = format!("call {n} of {call} in {thread}");
            let tracer =
                Strace::of_threads(exchange.pid(), thread, &format!("{call}:signal=SIGKILL:when={n}"));
            // What a thread does now and then is waited for.
            let until = Instant::now() + Duration::from_millis(1_500);
            while Instant::now() < until && told.call(&exchange.traffic) {}
            let was_met = Instant::now() < until;
            if was_met {
                // Its connections end a little before it does.
                eventually("it is gone", || (!exchange.is_alive()).then_some(()));
            }
            drop(tracer);
            let left = exchange.crash();
            together::check(&left, &point);
            exchange = Exchange::run(left);
            judged += told.judge(&exchange, &point);
            points += u32::from(was_met);
            if !was_met {
                break;
            }
        }
    }
    println!("killed at {points} points of writing, {judged} acknowledged ends, lost 0, double 0");
    assert!(points >= 33, "{points} points");
    exchange.finish();
}

#[test]
fn a_hold_that_cannot_be_written_in_time_is_given_back() {
    let exchange = Exchange::run(folder(&format!("{THREADS}hold_ack_ms = 20\n")));
    let slow = "pwrite64:delay_enter=400000";
    let tracer = Strace::of_threads(exchange.pid(), "journal-hand", slow);
    let answers: Vec<Value> = (0..3)
        .map(|n| {
            let began = Instant::now();
            let answer = exchange.decide(&ask(&format!("CA{n}")));
            assert!(began.elapsed() < Duration::from_millis(350), "{:?}", began.elapsed());
            answer
        })
        .collect();
    drop(tracer);
    for answer in &answers {
        assert_eq!(answer["targets"][0]["address"], "+15125550901", "the next one takes it: {answer:#}");
        let (reason, row) = exchange.outcome(id(answer), "desk");
        assert_eq!(reason, "hold_not_durable", "{row}");
        exchange.give_up(answer);
    }
    assert_eq!(exchange.metric("outcry_holds_not_durable_total", ""), 3.0);
    // Given back: and after a kill too.
    let exchange = exchange.crash_and_restart();
    assert!(!exchange.log().iter().any(|line| line.contains("they stay used")), "{:#?}", exchange.log());
    let answer = exchange.decide(&ask("CA-quick"));
    assert_eq!(exchange.outcome(id(&answer), "desk").0, "won");
    exchange.give_up(&answer);
    exchange.finish();
}

/// Where a unit has to survive a power cut, a slow sync is as bad.
#[test]
fn a_hold_that_is_not_on_disk_in_time_is_given_back_where_that_is_asked() {
    let exchange = Exchange::run(folder(&format!("{THREADS}hold_durability = \"disk\"\nhold_ack_ms = 20\n")));
    let tracer = Strace::of_threads(exchange.pid(), "journal-hand", "fdatasync:delay_exit=200000");
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(answer["targets"][0]["address"], "+15125550901", "the next one takes it: {answer:#}");
    drop(tracer);
    assert_eq!(exchange.outcome(id(&answer), "desk").0, "hold_not_durable");
    exchange.give_up(&answer);
    exchange.finish();
}

#[test]
fn a_lazy_hold_waits_for_nothing() {
    let exchange = Exchange::run(folder(&format!("{THREADS}hold_durability = \"lazy\"\n")));
    let tracer = Strace::of_threads(exchange.pid(), "journal-hand", "pwrite64:delay_enter=400000");
    let began = Instant::now();
    let answer = exchange.decide(&ask("CA1"));
    assert!(began.elapsed() < Duration::from_millis(350), "{:?}", began.elapsed());
    assert_eq!(answer["targets"][0]["address"], "+15125550900");
    drop(tracer);
    exchange.give_up(&answer);
    exchange.finish();
}

/// A disk that takes 200 ms for a sync: answers do not wait for it, acknowledged ends do.
#[test]
fn a_slow_disk_delays_acknowledgements_only() {
    let exchange = Exchange::run(folder(THREADS));
    let slow = Duration::from_millis(200);
    let tracer = Strace::of_threads(exchange.pid(), "journal-hand", "fdatasync:delay_exit=200000");
    let mut routes = Vec::new();
    for n in 0..10 {
        let began = Instant::now();
        let answer = exchange.decide(&ask(&format!("CA{n}")));
        routes.push(began.elapsed());
        assert_eq!(
            answer["targets"][0]["address"], "+15125550900",
            "a strict hold waits for the kernel only"
        );
        let began = Instant::now();
        assert_eq!(exchange.event(&answer, &end()).status, 200);
        assert!(began.elapsed() >= slow, "{:?}: it is acknowledged when it is on disk", began.elapsed());
    }
    routes.sort();
    println!("routes: median {:?}, longest {:?}", routes[5], routes[9]);
    assert!(routes[5] < slow / 2, "{routes:?}");
    drop(tracer);
    exchange.finish();
}

/// Under `auto`, which times commits at a start: on a disk that takes 200 ms for a sync, whoever asks, and under a ring that
/// alone takes so long. A start waits a quarter of a second for that and one sync more, and says what it took.
#[test]
fn a_start_on_a_slow_disk_times_commits_no_longer_than_it_may() {
    if !has_ring() {
        return;
    }
    const SLOW: &str = "delay_exit=200000";
    let started = |folder: Folder, backend: &str, calls: &str| {
        written_by(&folder, backend);
        let began = Instant::now();
        let exchange = Exchange::try_run(strace::from_the_start(&format!("{calls}:{SLOW}")), folder);
        (exchange.unwrap_or_else(|(_, log)| panic!("{log:#?}")), began.elapsed())
    };
    // Strict units would wait for the thread that is kept in the ring: on a disk that is slow it is not.
    let mut left = Exchange::run(folder("hold_durability = \"lazy\"\n")).finish();
    let both = "fdatasync,io_uring_enter";
    let slow_disk = ("uring", "slow_disk", "whatever writes");
    let untimed = ("thread", "untimed", "thread: io_uring could not be timed (it gave no answer in time)");
    // A disk that was busy with something else just then is slow too.
    let rows = [(both, vec![slow_disk]), ("io_uring_enter", vec![untimed, slow_disk])];
    for (calls, found) in rows {
        let (exchange, without) = started(left, "uring", calls);
        let (exchange, with) = started(exchange.finish(), "auto", calls);
        println!("ready after {with:?} with {calls} slow, after {without:?} without a trial");
        // And a second for whatever else has the machine meanwhile: without its limit the trial takes six.
        let most = Duration::from_millis(250 + 200 + 1_000);
        assert!(with < without + most, "{calls}: {with:?}, and {without:?} without a trial");
        let is_so = |(backend, why, _): &&(&str, &str, &str)| {
            let labels = format!("backend=\"{backend}\",why=\"{why}\"");
            exchange.metric("outcry_journal_backend", &labels) == 1.0
        };
        let (.., says) = eventually("the metric says so", || found.iter().find(is_so));
        assert!(exchange.log().iter().any(|line| line.contains(says)), "{says}: {:#?}", exchange.log());
        let answer = exchange.decide(&ask(&format!("CA with {calls} slow")));
        assert_eq!(answer["targets"][0]["address"], "+15125550900", "{answer:#}");
        assert_eq!(exchange.event(&answer, &end()).status, 200);
        left = exchange.finish();
    }
}
