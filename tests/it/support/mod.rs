//! The harness: an exchange as its own process, a small market, and a plain HTTP client.
//!
//! Nothing sleeps to wait: `eventually` looks until a deadline. An exchange that is dropped is ended by its own id, and
//! `finish` checks that nothing is left behind.

pub mod bids;
pub mod http;
pub mod market;
pub mod mounts;
pub mod python;
pub mod strace;
pub mod together;
pub mod twilio;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use http::{Answer, request};
pub use market::Market;

/// Longest any test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until it is so.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder that goes with its value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("outcry-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("catalog")).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `outcry` with these arguments, run to its end.
pub fn outcry(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_outcry")).args(args).output().unwrap()
}

/// Path and query of an absolute URL.
pub fn path_of(url: &str) -> String {
    let path = url.split_once("://").unwrap().1;
    path[path.find('/').unwrap()..].to_owned()
}

/// A running exchange.
pub struct Exchange {
    pub folder: Folder,
    /// `host:port` of the call traffic listener.
    pub traffic: String,
    /// `host:port` of the admin listener.
    pub admin: String,
    /// Calls it remembers from before it was started.
    pub remembered: f64,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Exchange {
    /// Starts one with this market and the settings every test has.
    pub fn start(market: &Market) -> Exchange {
        Exchange::start_with(market, "")
    }

    /// Starts one with further settings.
    pub fn start_with(market: &Market, settings: &str) -> Exchange {
        let folder = Folder::new();
        market.write(folder.path(), settings);
        Exchange::run(folder)
    }

    /// Starts one with these settings as they are.
    pub fn start_as(market: &Market, settings: &str) -> Exchange {
        let folder = Folder::new();
        market.write_as(folder.path(), settings);
        Exchange::run(folder)
    }

    /// Starts one whose settings are edited first.
    pub fn start_edited(market: &Market, edit: impl Fn(String) -> String) -> Exchange {
        let folder = Folder::new();
        market.write(folder.path(), "");
        let settings = folder.path().join("outcry.toml");
        fs::write(&settings, edit(fs::read_to_string(&settings).unwrap())).unwrap();
        Exchange::run(folder)
    }

    /// Starts one on a folder that has its configuration, and perhaps the store of an earlier one.
    pub fn run(folder: Folder) -> Exchange {
        Exchange::run_as(Command::new(env!("CARGO_BIN_EXE_outcry")), folder)
    }

    /// As `run`, without what is damaged or missing in its journal.
    pub fn run_without_what_is_lost(folder: Folder) -> Exchange {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
        command.args(["serve", "--accept-loss"]);
        Exchange::try_run(command, folder).unwrap_or_else(|(_, log)| panic!("{}", log.join("\n")))
    }

    /// As `run`, by a command that ends in the program.
    pub fn run_as(mut command: Command, folder: Folder) -> Exchange {
        command.arg("serve");
        match Exchange::try_run(command, folder) {
            Ok(exchange) => exchange,
            Err((_, log)) => panic!("the exchange did not start: {}", log.join("\n")),
        }
    }

    /// By a command that ends in `serve` and perhaps its options; the folder and what was said if it ends instead.
    pub fn try_run(mut command: Command, folder: Folder) -> Result<Exchange, (Folder, Vec<String>)> {
        let mut child = command
            .arg("--config")
            .arg(folder.path().join("outcry.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let (traffic, admin) = (String::new(), String::new());
        let mut exchange = Exchange { folder, traffic, admin, remembered: 0.0, child, log };
        let found = eventually("the exchange names its addresses", || {
            let ended = exchange.child.try_wait().unwrap().is_some();
            let lines: Vec<Value> =
                exchange.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let addresses = lines.iter().find_map(|line| {
                Some((line["call_traffic"].as_str()?.to_owned(), line["admin"].as_str()?.to_owned()))
            });
            let remembered =
                lines.iter().find_map(|line| Some(line["in_progress"].as_f64()? + line["over"].as_f64()?));
            match addresses {
                None if ended => Some(None),
                addresses => Some(Some((addresses?, remembered.unwrap_or(0.0)))),
            }
        });
        let Some((addresses, remembered)) = found else {
            // The log is read by a thread of its own, and the end of it is what matters.
            reading.join().unwrap();
            let log = exchange.log();
            return Err((exchange.leave(), log));
        };
        (exchange.traffic, exchange.admin) = addresses;
        exchange.remembered = remembered;
        Ok(exchange)
    }

    fn leave(&mut self) -> Folder {
        std::mem::replace(&mut self.folder, Folder(PathBuf::new()))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Everything logged so far, one JSON object a line.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The settings file.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("outcry.toml")
    }

    /// `POST /v1/route` with the key of carrier `sw`.
    pub fn route(&self, body: &Value) -> Answer {
        self.route_as(market::KEY, body)
    }

    /// `POST /v1/route` with this key.
    pub fn route_as(&self, key: &str, body: &Value) -> Answer {
        request(&self.traffic, "POST", "/v1/route", Some(key), body.to_string().as_bytes())
    }

    /// Reports an event to the URL of an answer.
    pub fn event(&self, answer: &Value, event: &Value) -> Answer {
        let path = Exchange::events_path(answer);
        request(&self.traffic, "POST", &path, None, event.to_string().as_bytes())
    }

    /// The path of an answer's events URL.
    pub fn events_path(answer: &Value) -> String {
        path_of(answer["events"].as_str().expect("an events URL"))
    }

    /// Asks for the step after this answer, whose attempt ended so.
    pub fn next(&self, answer: &Value, end: Value) -> Answer {
        let mut told = json!({"attempt": answer["targets"][0]["attempt"]});
        told.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
        let body = json!({"step": answer["step"], "result": "attempts_ended", "attempts": [told],
            "at": "2026-11-20T09:00:30.000Z"});
        self.next_as(answer, &body)
    }

    /// `POST` to an answer's `next` URL.
    pub fn next_as(&self, answer: &Value, body: &Value) -> Answer {
        let path = path_of(answer["next"].as_str().expect("a next URL"));
        request(&self.traffic, "POST", &path, None, body.to_string().as_bytes())
    }

    /// The step after this answer, which must be given.
    pub fn go_on(&self, answer: &Value, end: Value) -> Value {
        let next = self.next(answer, end);
        assert_eq!(next.status, 200, "{}", next.text());
        next.json()
    }

    /// Routes a call that must be answered; its document.
    pub fn decide(&self, body: &Value) -> Value {
        let answer = self.route(body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Reports an event that must be taken: its id is its type, its time 09:00 and so many milliseconds. `more` is
    /// added to it and may say both otherwise.
    pub fn report(&self, answer: &Value, kind: &str, at_ms: i64, more: Value) {
        let (minute, second, milli) = (at_ms / 60_000, at_ms / 1_000 % 60, at_ms % 1_000);
        let at = format!("2026-11-20T09:{minute:02}:{second:02}.{milli:03}Z");
        let mut event = json!({"event_id": kind, "type": kind, "at": at});
        if !kind.starts_with("call_") {
            event["attempt"] = json!(1);
        }
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let taken = self.event(answer, &event);
        assert_eq!(taken.status, 200, "{event}: {}", taken.text());
    }

    /// The whole life of a connected call of attempt 1 that was talked for so long.
    pub fn talk(&self, answer: &Value, talk_ms: i64) {
        self.report(answer, "ringing", 0, json!({}));
        self.report(answer, "answered", 4_000, json!({}));
        self.report(answer, "bridged", 5_000, json!({}));
        let end = json!({"cause": "normal", "ended_by": "caller", "talk_ms": talk_ms});
        self.report(answer, "ended", 5_000 + talk_ms, end);
    }

    /// The end of a call whose target could not be reached.
    pub fn give_up(&self, answer: &Value) {
        self.report(answer, "ended", 1_000, json!({"cause": "rejected", "ended_by": "carrier"}));
    }

    /// The ledger's accounts and amounts, of one call.
    pub fn ledger(&self, call: &str) -> Vec<(String, String)> {
        let page = self.get("/api/v1/ledger?limit=1000").json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rows = page["entries"].as_array().unwrap().iter().filter(|entry| entry["call_id"] == call);
        rows.map(|entry| (text(&entry["account"]), text(&entry["amount"]))).collect()
    }

    /// How a call ended, as soon as the store has it.
    pub fn end(&self, call: &str) -> Value {
        eventually("the end of the call is in the store", || {
            let answer = self.get(&format!("/api/v1/calls/{call}"));
            let end = (answer.status == 200).then(|| answer.json()["end"].clone())?;
            (!end.is_null()).then_some(end)
        })
    }

    /// `outcry` with these arguments and this exchange's settings, run to its end. Reports read the store, which follows the
    /// journal: it has what was acknowledged by then, as long as the exchange runs.
    pub fn cli(&self, args: &[&str]) -> std::process::Output {
        let _ = http::try_request(&self.admin, "GET", "/api/v1/calls?limit=1", None, b"");
        let settings = self.settings();
        outcry(&[args, &["--config", settings.to_str().unwrap()]].concat())
    }

    /// `GET` of the admin listener.
    pub fn get(&self, path: &str) -> Answer {
        request(&self.admin, "GET", path, None, b"")
    }

    /// The explained call, once the store has it and no outcome is pending.
    pub fn explained(&self, call: &str) -> Value {
        eventually("the call is in the store, final", || {
            let answer = self.get(&format!("/api/v1/calls/{call}"));
            let text = answer.text();
            (answer.status == 200 && !text.contains("\"pending\"")).then(|| answer.json())
        })
    }

    /// The outcome of one target of a call's first step: reason and the whole row.
    pub fn outcome(&self, call: &str, target: &str) -> (String, Value) {
        let explained = self.explained(call);
        let row = explained["steps"][0]["outcomes"]
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["target"] == target))
            .unwrap_or_else(|| panic!("no outcome of {target} in {explained:#}"))
            .clone();
        (row["reason"].as_str().unwrap().to_owned(), row)
    }

    /// A metric's value, summed over the series whose text contains `with`.
    pub fn metric(&self, name: &str, with: &str) -> f64 {
        let page = self.get("/metrics").text();
        let series = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(with))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Whether the page has this metric.
    pub fn has_metric(&self, name: &str) -> bool {
        self.get("/metrics").text().lines().any(|line| line.starts_with(name))
    }

    /// Sends a signal by name: `HUP`, `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        // The shell's own `kill`: not every system has it as a program.
        let kill = format!("kill -{name} {pid}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Its exit code once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Stops it in order and checks that nothing was left: no unit held, no panic, exit code 0.
    pub fn finish(mut self) -> Folder {
        eventually("nothing is held", || {
            let levels = ["outcry_holds_units", "outcry_calls_active"].map(|name| self.metric(name, ""));
            // Levels are told once a second: these are of a time after the last decision.
            let decisions = self.metric("outcry_decisions_total", "");
            let is_fresh = self.has_metric("outcry_holds_units")
                && self.metric("outcry_calls_remembered", "") == self.remembered + decisions;
            (levels == [0.0, 0.0] && is_fresh).then_some(())
        });
        assert_eq!(self.metric("outcry_panics_total", ""), 0.0, "{}", self.log().join("\n"));
        assert_eq!(self.metric("outcry_records_dropped_total", ""), 0.0);
        self.stop();
        self.leave()
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.wait();
    }

    /// Waits for its orderly end.
    pub fn wait(&mut self) {
        let status = eventually("the exchange stops", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.log().join("\n"));
    }

    /// Ends it at once.
    pub fn crash(mut self) -> Folder {
        // It may have been ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.leave()
    }

    /// Ends it at once and starts it again on the same folder.
    pub fn crash_and_restart(self) -> Exchange {
        Exchange::run(self.crash())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every file of the store and the journal.
pub fn files_of(folder: &Folder) -> Vec<PathBuf> {
    let store = folder.path().join("store");
    [store.clone(), store.join("outcry.journal")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect()
}
