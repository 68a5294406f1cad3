//! kill -9 under load, at moments that are drawn: what was acknowledged is there, once.
//!
//! Four carriers send calls, say some things twice, and after a kill say again what nobody acknowledged. Only an answer 200
//! that arrived whole counts. `OUTCRY_KILLS` says how many kills, `OUTCRY_KILLS_SEED` which.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use load::chance::Chance;
use serde_json::{Value, json};

use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Answer, Exchange, Folder, Market, PATIENCE, http, path_of};

/// Kills in the gate.
const KILLS: u64 = 20;
/// Carriers that send at once.
const CARRIERS: usize = 4;
/// Acknowledgements between a start and its kill.
const ACKS: (u64, u64) = (20, 150);
/// Calls that the first buyer takes in a day, over all kills.
const CAP: usize = 60;
/// Slots it has; fewer would leave carriers nothing to do.
const SLOTS: usize = 3;
const DESK: &str = "+15125550900";
/// What the first buyer pays, and the second.
const PRICES: (usize, usize) = (20, 10);

/// A call as its carrier knows it.
#[derive(Default)]
struct Call {
    name: String,
    /// Its first target is busy.
    goes_on: bool,
    /// Acknowledged answers, by step.
    answers: Vec<Vec<u8>>,
    /// Acknowledged events, and how often they were.
    events: BTreeMap<String, u32>,
    is_over: bool,
}

/// What became of all of it.
#[derive(Default)]
struct Totals {
    acks: AtomicU64,
    /// Requests that a kill cut off.
    cut: AtomicU64,
    /// Answers that were given again, byte by byte.
    repeats: AtomicU64,
    /// Answers that left just before a kill and nothing rested on: who asks again is answered anew.
    forgotten: AtomicU64,
    /// Those that handed out a unit of the cap.
    forgotten_units: AtomicU64,
}

/// The exchange is gone.
struct Gone;

/// A carrier and the exchange it speaks to.
struct Carrier<'a> {
    address: &'a str,
    totals: &'a Totals,
    chance: &'a mut Chance,
}

impl Carrier<'_> {
    fn send(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Answer, Gone> {
        let answer = http::try_request(self.address, "POST", path, key, body.to_string().as_bytes());
        let counted = match &answer {
            Some(answer) if answer.status == 200 => &self.totals.acks,
            Some(_) => return answer.ok_or(Gone),
            None => &self.totals.cut,
        };
        counted.fetch_add(1, Ordering::Relaxed);
        answer.ok_or(Gone)
    }

    /// Goes on with the call to its end.
    fn go_on(&mut self, call: &mut Call) -> Result<(), Gone> {
        while !call.is_over {
            self.ask(call)?;
            if call.goes_on && !self.step(call)? {
                continue;
            }
            call.is_over = self.talk(call)?;
        }
        Ok(())
    }

    fn ask(&mut self, call: &mut Call) -> Result<(), Gone> {
        if call.answers.is_empty() || self.chance.hits(1_250) {
            let body = json!({"carrier_call_id": call.name, "to": NUMBER, "from": CALLER});
            let answer = self.send("/v1/route", Some(KEY), &body)?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.heard(call, 0, answer);
        }
        Ok(())
    }

    /// Asks for the second step, again if need be; false when the call is not known any more.
    fn step(&mut self, call: &mut Call) -> Result<bool, Gone> {
        let body = json!({"step": 1, "result": "attempts_ended", "at": "2026-11-20T09:00:30.000Z",
            "attempts": [{"attempt": 1, "cause": "busy", "ended_by": "target"}]});
        let path = path_of(call.told(0)["next"].as_str().unwrap());
        let answer = self.send(&path, None, &body)?;
        match answer.status {
            200 => self.heard(call, 1, answer),
            404 => self.forget(call, 0),
            status => panic!("{status}: {}", answer.text()),
        }
        Ok(call.answers.len() == 2)
    }

    /// The events up to the end; false when the call, or its attempt, is not known any more. Of a call that nobody takes
    /// its end alone.
    fn talk(&mut self, call: &mut Call) -> Result<bool, Gone> {
        let talk = [("ringing", "09:00:31"), ("answered", "09:00:35"), ("ended", "09:02:05")];
        let no_talk = [("call_ended", "09:00:31")];
        for &(kind, at) in if call.target().is_some() { &talk[..] } else { &no_talk[..] } {
            let event_id = format!("{kind}-{}", call.answers.len());
            let times = if self.chance.hits(1_250) { 2 } else { 1 };
            while call.events.get(&event_id).copied().unwrap_or(0) < times {
                let mut body =
                    json!({"event_id": event_id, "type": kind, "at": format!("2026-11-20T{at}.000Z")});
                let more = match kind {
                    "call_ended" => json!({"cause": "normal", "ended_by": "caller"}),
                    "ended" => json!({"attempt": call.answers.len(), "talk_ms": 90_000, "cause": "normal",
                        "ended_by": "caller"}),
                    _ => json!({"attempt": call.answers.len()}),
                };
                body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let answer = self.send(&Exchange::events_path(&call.told(0)), None, &body)?;
                match answer.status {
                    200 => *call.events.entry(event_id.clone()).or_default() += 1,
                    404 | 409 | 422 => {
                        self.forget(call, 0);
                        return Ok(false);
                    }
                    status => panic!("{status}: {}", answer.text()),
                }
            }
        }
        Ok(true)
    }

    /// What was answered before is answered so again, unless nothing rested on it when it was forgotten.
    fn heard(&self, call: &mut Call, step: usize, answer: Answer) {
        match call.answers.get(step) {
            Some(before) if *before == answer.body => {
                self.totals.repeats.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {
                self.forget(call, step);
                call.answers.push(answer.body);
            }
            None => call.answers.push(answer.body),
        }
    }

    fn forget(&self, call: &mut Call, step: usize) {
        assert!(call.events.is_empty(), "{}: {:?} were acknowledged", call.name, call.events);
        self.totals.forgotten.fetch_add(1, Ordering::Relaxed);
        // A busy target's unit came back; that of an answer which is gone with its decision did not.
        let units =
            call.answers[step..].iter().filter(|answer| target(answer).as_deref() == Some(DESK)).count();
        self.totals.forgotten_units.fetch_add(units as u64, Ordering::Relaxed);
        call.answers.truncate(step);
    }
}

impl Call {
    fn told(&self, step: usize) -> Value {
        serde_json::from_slice(&self.answers[step]).unwrap()
    }

    /// Who took it in the end.
    fn target(&self) -> Option<String> {
        self.answers.last().and_then(|answer| target(answer))
    }
}

fn target(answer: &[u8]) -> Option<String> {
    let told: Value = serde_json::from_slice(answer).unwrap();
    told["targets"][0]["address"].as_str().map(str::to_owned)
}

/// Ends what was begun, then makes new calls until the exchange is gone.
fn work(carrier: &mut Carrier<'_>, calls: &mut Vec<Call>, prefix: &str) -> Gone {
    let begun = calls.len();
    for at in 0.. {
        if at >= begun {
            let goes_on = carrier.chance.hits(2_500);
            calls.push(Call { name: format!("{prefix}-{at}"), goes_on, ..Call::default() });
        }
        if carrier.go_on(&mut calls[at]).is_err() {
            break;
        }
    }
    Gone
}

fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Starts, lets carriers work, and kills; how long the start took.
fn cycle(
    folder: Folder,
    carriers: &mut [(Vec<Call>, Chance)],
    totals: &Totals,
    acks: u64,
) -> (Folder, Duration) {
    let began = Instant::now();
    let exchange = Exchange::run(folder);
    let took = began.elapsed();
    let address = exchange.traffic.clone();
    let until = totals.acks.load(Ordering::Relaxed) + acks;
    let folder = std::thread::scope(|scope| {
        for (n, (calls, chance)) in carriers.iter_mut().enumerate() {
            let address = &address;
            scope.spawn(move || work(&mut Carrier { address, totals, chance }, calls, &format!("CA-{n}")));
        }
        let patience = Instant::now() + PATIENCE;
        while totals.acks.load(Ordering::Relaxed) < until && Instant::now() < patience {
            std::thread::yield_now();
        }
        exchange.crash()
    });
    assert!(totals.acks.load(Ordering::Relaxed) >= until, "nothing was acknowledged any more");
    (folder, took)
}

/// What the next start writes its journal with: each has to go on where the other ended.
fn written_by(folder: &Folder, backend: &str) {
    let settings = folder.path().join("outcry.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let others = text.lines().filter(|line| !line.starts_with("backend"));
    let lines = others.map(|line| match line {
        "[journal]" => format!("[journal]\nbackend = \"{backend}\"\n"),
        line => format!("{line}\n"),
    });
    fs::write(&settings, lines.collect::<String>()).unwrap();
}

#[test]
fn random_kills_under_load_lose_nothing_and_double_nothing() {
    let kills = told("OUTCRY_KILLS").unwrap_or(KILLS);
    let seed = told("OUTCRY_KILLS_SEED").unwrap_or(1);
    println!("{kills} kills, seed {seed}");
    let mut chance = Chance::new(seed, &["kills"]);
    let market = Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .buyer("acme", &format!("daily_billable = {CAP}\nconcurrency = {SLOTS}"))
        .target("desk", "acme", &format!("price = \"{}.00\"\naddress = \"{DESK}\"", PRICES.0))
        .buyer("bolt", "")
        .target("other", "bolt", &format!("price = \"{}.00\"\naddress = \"+15125550901\"", PRICES.1));
    let mut folder = Folder::new();
    market.write(folder.path(), "[calls]\nnext_within_s = 300\n");
    let totals = Totals::default();
    let mut carriers: Vec<(Vec<Call>, Chance)> =
        (0..CARRIERS).map(|n| (Vec::new(), Chance::new(seed, &["carrier", &n.to_string()]))).collect();
    let mut starts = Vec::new();
    for kill in 0..kills {
        written_by(&folder, if kill % 2 == 0 { "auto" } else { "thread" });
        let acks = chance.between(ACKS.0, ACKS.1);
        let (left, took) = cycle(folder, &mut carriers, &totals, acks);
        folder = left;
        starts.push(took);
    }
    let exchange = Exchange::run(folder);
    let mut calls = Vec::new();
    for (mine, mut chance) in carriers {
        let mut carrier = Carrier { address: &exchange.traffic, totals: &totals, chance: &mut chance };
        for mut call in mine {
            assert!(carrier.go_on(&mut call).is_ok(), "nobody ends it now");
            calls.push(call);
        }
    }
    let billed = judge(&exchange, &calls);
    let number = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let units = billed["acme"] + number(&totals.forgotten_units) as usize;
    assert!(units <= CAP, "seed {seed}: {units} units of a cap of {CAP} were handed out");
    starts.sort();
    println!(
        "{} acknowledged, {} cut off, {} calls, {} billed, {} of a cap of {CAP}, {} answers repeated byte by byte, {} \
         forgotten with nothing resting on them; starts: median {:?}, longest {:?}; lost 0, double 0",
        number(&totals.acks),
        number(&totals.cut),
        calls.len(),
        billed.values().sum::<usize>(),
        billed["acme"],
        number(&totals.repeats),
        number(&totals.forgotten),
        starts[starts.len() / 2],
        starts[starts.len() - 1],
    );
    assert!(number(&totals.repeats) > 0 && number(&totals.cut) > 0 && billed["acme"] > 0);
    exchange.finish();
}

/// Every acknowledged event is there once, every end is booked once; how many calls each buyer pays.
fn judge(exchange: &Exchange, calls: &[Call]) -> BTreeMap<&'static str, usize> {
    let mut billed = BTreeMap::from([("acme", 0), ("bolt", 0)]);
    for call in calls {
        let id = call.told(0)["call_id"].as_str().unwrap().to_owned();
        let page = exchange.get(&format!("/api/v1/calls/{id}")).json();
        let events = page["events"].as_array().unwrap();
        for event_id in call.events.keys() {
            let times = events.iter().filter(|event| event["event_id"] == **event_id).count();
            assert_eq!(times, 1, "{} {event_id}: {page:#}", call.name);
        }
        let entries = page["ledger"]["entries"].as_array().unwrap();
        let Some(target) = call.target() else {
            assert!(entries.is_empty(), "{}: {page:#}", call.name);
            continue;
        };
        let (buyer, price) = if target == DESK { ("acme", PRICES.0) } else { ("bolt", PRICES.1) };
        *billed.get_mut(buyer).unwrap() += 1;
        assert_eq!(page["end"]["reason"], "billable", "{}: {page:#}", call.name);
        assert_eq!((&page["ledger"]["is_balanced"], entries.len()), (&json!(true), 3), "{}", call.name);
        assert_eq!(page["ledger"]["revenue"], format!("{price}.00"), "{}: {page:#}", call.name);
    }
    let pnl = exchange.cli(&["pnl", "--by", "buyer", "--format", "json"]);
    let pnl: Value = serde_json::from_slice(&pnl.stdout).unwrap();
    for (buyer, price) in [("acme", PRICES.0), ("bolt", PRICES.1)] {
        let row = pnl.as_array().unwrap().iter().find(|row| row["key"] == buyer).unwrap();
        let count = billed[buyer];
        assert_eq!(
            (&row["billable"], &row["revenue"]),
            (&json!(count), &json!(format!("{}.00", count * price)))
        );
    }
    billed
}
