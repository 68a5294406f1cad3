//! Carriers that send calls while something goes wrong, say some things twice, and say again what nobody acknowledged: and
//! the judgement of what is left of it all.
//!
//! Only an answer 200 that arrived whole counts as an acknowledgement. What goes wrong is the test's own doing.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use load::chance::Chance;
use serde_json::{Value, json};

use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Answer, Exchange, Folder, Market, eventually, http, path_of};

/// Carriers that send at once.
const CARRIERS: usize = 4;
/// Times a call may be forgotten in one go.
const TRIES: u32 = 5;
/// Pages that may wait for a store that has much to take.
const LATE: u32 = 5;
/// Slots the first buyer has; fewer would leave carriers nothing to do.
const SLOTS: usize = 3;
const DESK: &str = "+15125550900";
/// What the first buyer pays, and the second.
const PRICES: (usize, usize) = (20, 10);

/// Two buyers, of whom the first takes so many calls in a day.
pub fn market(cap: usize) -> Market {
    Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .buyer("acme", &format!("daily_billable = {cap}\nconcurrency = {SLOTS}"))
        .target("desk", "acme", &format!("price = \"{}.00\"\naddress = \"{DESK}\"", PRICES.0))
        .buyer("bolt", "")
        .target("other", "bolt", &format!("price = \"{}.00\"\naddress = \"+15125550901\"", PRICES.1))
}

/// A call as its carrier knows it.
#[derive(Default)]
pub struct Call {
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
pub struct Totals {
    pub acks: AtomicU64,
    /// Of those, events.
    pub events: AtomicU64,
    /// Events that heard 503: not on disk, come again.
    pub put_off: AtomicU64,
    /// Requests that a kill cut off.
    pub cut: AtomicU64,
    /// Answers that were given again, byte by byte.
    pub repeats: AtomicU64,
    /// Answers that left just before a kill and nothing rested on: who asks again is answered anew.
    pub forgotten: AtomicU64,
    /// Those that handed out a unit of the cap.
    pub forgotten_units: AtomicU64,
    /// Calls that were routed, and the longest that took, in microseconds.
    pub routed: AtomicU64,
    pub longest: AtomicU64,
    /// Whether the disk may be at fault: nobody is put off before that.
    pub may_put_off: AtomicBool,
    /// Whether nothing can come to disk: no event that is sent now may be acknowledged.
    pub is_dead: AtomicBool,
}

impl Totals {
    pub fn number(&self, of: impl Fn(&Totals) -> &AtomicU64) -> u64 {
        of(self).load(Ordering::Relaxed)
    }
}

/// Why a carrier does not go on with a call.
enum Stop {
    /// The exchange is gone.
    Gone,
    /// It cannot take an event now.
    PutOff,
}

/// A carrier and the exchange it speaks to.
pub struct Carrier<'a> {
    address: &'a str,
    pub totals: &'a Totals,
    chance: &'a mut Chance,
}

impl Carrier<'_> {
    fn send(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Answer, Stop> {
        let answer = http::try_request(self.address, "POST", path, key, body.to_string().as_bytes());
        let counted = match &answer {
            Some(answer) if answer.status == 200 => &self.totals.acks,
            Some(_) => return answer.ok_or(Stop::Gone),
            None => &self.totals.cut,
        };
        counted.fetch_add(1, Ordering::Relaxed);
        answer.ok_or(Stop::Gone)
    }

    /// Goes on with the call to its end.
    fn go_on(&mut self, call: &mut Call) -> Result<(), Stop> {
        let mut tries = 0;
        while !call.is_over {
            tries += 1;
            assert!(tries <= TRIES, "{}: forgotten again and again: {:?}", call.name, call.events);
            self.ask(call)?;
            if call.goes_on && !self.step(call)? {
                continue;
            }
            call.is_over = self.talk(call)?;
        }
        Ok(())
    }

    fn ask(&mut self, call: &mut Call) -> Result<(), Stop> {
        if call.answers.is_empty() || self.chance.hits(1_250) {
            let body = json!({"carrier_call_id": call.name, "to": NUMBER, "from": CALLER});
            let began = Instant::now();
            let answer = self.send("/v1/route", Some(KEY), &body)?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.totals.routed.fetch_add(1, Ordering::Relaxed);
            self.totals.longest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            self.heard(call, 0, answer);
        }
        Ok(())
    }

    /// Asks for the second step, again if need be; false when the call is not known any more.
    fn step(&mut self, call: &mut Call) -> Result<bool, Stop> {
        let body = json!({"step": 1, "result": "attempts_ended", "at": "2026-11-20T09:00:30.000Z",
            "attempts": [{"attempt": 1, "cause": "busy", "ended_by": "target"}]});
        let path = path_of(call.told(0)["next"].as_str().unwrap());
        let answer = self.send(&path, None, &body)?;
        match answer.status {
            200 => self.heard(call, 1, answer),
            404 => self.forget(call, 0),
            503 => return self.put_off(),
            status => panic!("{status}: {}", answer.text()),
        }
        Ok(call.answers.len() == 2)
    }

    /// The events up to the end; false when the call, or its attempt, is not known any more. Of a call that nobody takes
    /// its end alone.
    fn talk(&mut self, call: &mut Call) -> Result<bool, Stop> {
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
                let was_dead = self.totals.is_dead.load(Ordering::SeqCst);
                let answer = self.send(&Exchange::events_path(&call.told(0)), None, &body)?;
                match answer.status {
                    200 => {
                        let is_dead = was_dead && self.totals.is_dead.load(Ordering::SeqCst);
                        assert!(
                            !is_dead,
                            "{} {event_id}: acknowledged, and nothing comes to disk",
                            call.name
                        );
                        *call.events.entry(event_id.clone()).or_default() += 1;
                        self.totals.events.fetch_add(1, Ordering::Relaxed);
                    }
                    503 => return self.put_off(),
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

    fn put_off(&self) -> Result<bool, Stop> {
        assert!(self.totals.may_put_off.load(Ordering::SeqCst), "503, and the disk is well");
        self.totals.put_off.fetch_add(1, Ordering::Relaxed);
        Err(Stop::PutOff)
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

/// Ends what was begun and makes new calls until the exchange is gone. Where an event is put off new calls come first.
fn work(carrier: &mut Carrier<'_>, calls: &mut Vec<Call>, prefix: &str) {
    let mut is_taken = true;
    loop {
        let begun = calls.iter().position(|call| !call.is_over).filter(|_| is_taken);
        let at = begun.unwrap_or_else(|| {
            let goes_on = carrier.chance.hits(2_500);
            calls.push(Call { name: format!("{prefix}-{}", calls.len()), goes_on, ..Call::default() });
            calls.len() - 1
        });
        match carrier.go_on(&mut calls[at]) {
            Ok(()) => is_taken = true,
            Err(Stop::PutOff) => is_taken = false,
            Err(Stop::Gone) => return,
        }
    }
}

/// Carriers, and what they know over all processes of one exchange.
pub struct Load {
    pub totals: Totals,
    carriers: Vec<(Vec<Call>, Chance)>,
    /// Calls that are only routed, until the end.
    callers: (Vec<Call>, Chance),
}

/// What a test has in hand while the carriers work.
pub struct Hand<'a> {
    pub totals: &'a Totals,
    callers: &'a mut (Vec<Call>, Chance),
}

impl Hand<'_> {
    /// Until so many more answers were acknowledged.
    pub fn acknowledged(&self, more: u64) {
        let until = self.totals.number(|totals| &totals.acks) + more;
        eventually("answers", || (self.totals.number(|totals| &totals.acks) >= until).then_some(()));
    }

    /// Until so many more events were.
    pub fn events(&self, more: u64) {
        let until = self.totals.number(|totals| &totals.events) + more;
        eventually("events", || (self.totals.number(|totals| &totals.events) >= until).then_some(()));
    }

    /// Routes so many calls, one after the other, each at once and to somebody.
    pub fn route(&mut self, exchange: &Exchange, count: usize) {
        for _ in 0..count {
            let (calls, chance) = &mut *self.callers;
            let mut call = Call { name: format!("CA-routed-{}", calls.len()), ..Call::default() };
            let mut carrier = Carrier { address: &exchange.traffic, totals: self.totals, chance };
            let began = Instant::now();
            assert!(carrier.ask(&mut call).is_ok(), "the exchange is there");
            assert!(began.elapsed() < Duration::from_secs(2), "routed after {:?}", began.elapsed());
            assert!(call.target().is_some(), "somebody takes it");
            calls.push(call);
        }
    }
}

impl Load {
    pub fn new(seed: u64) -> Load {
        let chance = |name: &str| Chance::new(seed, &["carrier", name]);
        Load {
            totals: Totals::default(),
            carriers: (0..CARRIERS).map(|n| (Vec::new(), chance(&n.to_string()))).collect(),
            callers: (Vec::new(), chance("callers")),
        }
    }

    /// Lets carriers work while this is done, and then ends the exchange at once.
    pub fn during(&mut self, exchange: Exchange, deed: impl FnOnce(&mut Exchange, &mut Hand<'_>)) -> Folder {
        let Load { totals, carriers, callers } = self;
        let totals = &*totals;
        let address = exchange.traffic.clone();
        std::thread::scope(|scope| {
            for (n, (calls, chance)) in carriers.iter_mut().enumerate() {
                let address = &address;
                scope.spawn(move || {
                    work(&mut Carrier { address, totals, chance }, calls, &format!("CA-{n}"));
                });
            }
            // In here, so that it ends with a deed that fails: else the carriers would go on for ever.
            let mut exchange = exchange;
            deed(&mut exchange, &mut Hand { totals, callers });
            exchange.crash()
        })
    }

    /// Ends every call, and finds every acknowledged event there once and every end booked once.
    pub fn judge(self, exchange: &Exchange) -> Judged {
        let mut calls = Vec::new();
        for (mine, mut chance) in self.carriers.into_iter().chain([self.callers]) {
            let mut carrier =
                Carrier { address: &exchange.traffic, totals: &self.totals, chance: &mut chance };
            for mut call in mine {
                assert!(carrier.go_on(&mut call).is_ok(), "nothing keeps it from its end now");
                calls.push(call);
            }
        }
        let billed = judge(exchange, &calls);
        Judged { totals: self.totals, calls: calls.len(), billed }
    }
}

/// What was found; nothing is lost or double, or there would be none.
pub struct Judged {
    pub totals: Totals,
    pub calls: usize,
    /// Calls that each buyer pays.
    pub billed: BTreeMap<&'static str, usize>,
}

/// Every acknowledged event is there once, every end is booked once; how many calls each buyer pays.
fn judge(exchange: &Exchange, calls: &[Call]) -> BTreeMap<&'static str, usize> {
    let mut billed = BTreeMap::from([("acme", 0), ("bolt", 0)]);
    let mut late = 0;
    for call in calls {
        let id = call.told(0)["call_id"].as_str().unwrap().to_owned();
        let began = Instant::now();
        let page = exchange.get(&format!("/api/v1/calls/{id}")).json();
        // A page waits for the store to have what was on disk, and not for ever.
        late += u32::from(began.elapsed() > Duration::from_millis(1_500));
        assert!(late < LATE, "the store does not follow the journal: {:#?}", exchange.log());
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

/// A number from the environment, for a campaign that is asked for more.
pub fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Whether the system lets us have an io_uring.
pub fn has_ring() -> bool {
    io_uring::IoUring::new(2).is_ok()
}

/// What the next start writes its journal with: each has to go on where the other ended.
pub fn written_by(folder: &Folder, backend: &str) {
    let settings = folder.path().join("outcry.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let others = text.lines().filter(|line| !line.starts_with("backend"));
    let lines = others.map(|line| match line {
        "[journal]" => format!("[journal]\nbackend = \"{backend}\"\n"),
        line => format!("{line}\n"),
    });
    fs::write(&settings, lines.collect::<String>()).unwrap();
}
