//! A queue to the disk without a place: calls are answered all the same, nothing that memory says stays out of the records,
//! and capacity that was not handed out is used nowhere.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use outcry::carrier::generic;
use outcry::domain::catalog::{Limits, Secret};
use outcry::domain::{CallId, Catalog, Timestamp};
use outcry::exchange::beside::Beside;
use outcry::exchange::progress::Claim;
use outcry::exchange::{Asking, Worker};
use outcry::journal::{Hands, Payload};
use outcry::ping::endpoint::Endpoints;
use outcry::ping::wire::Reach;
use outcry::records::entry::Record;
use outcry::records::fold::Fold;
use outcry::records::row::Row;
use outcry::records::seal::Seal;
use outcry::records::{Recorder, Sealed, Slot};
use outcry::runtime::{Clock, Shutdown};
use outcry::state::calls::{Answer, Begin};
use tokio::time::sleep;

use super::check::Times;
use super::market::{CARRIERS, NUMBERS, base};
use super::stage::{CALLER_KEY, in_force, worker};

/// Places of the queue.
const PLACES: usize = 8;
/// Longer than anything waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// An exchange whose disk writes when it is told to.
struct Bench {
    worker: Arc<Worker>,
    clock: Clock,
    hands: Hands<Sealed>,
    /// What a start would read.
    fold: Fold,
}

fn worker_on(clock: &Clock, catalog: Catalog, recorder: Recorder) -> Arc<Worker> {
    let times =
        Times { late_events: Duration::ZERO, linger: Duration::ZERO, keep_ended: Duration::from_secs(90) };
    let in_force = in_force(&Endpoints::new(clock.clone(), true), catalog, &CALLER_KEY);
    let nobody = Reach::Memory(Arc::new(|_| panic!("nobody is asked")));
    worker(1, clock, in_force, times, recorder, nobody, &Shutdown::default())
}

impl Bench {
    fn new(catalog: Catalog) -> Bench {
        let clock = Clock::starting_at(Timestamp::parse("2026-11-20T18:00:00Z").expect("a time"));
        let (recorder, hands) = Recorder::by_hand(PLACES);
        let worker = worker_on(&clock, catalog, recorder);
        Bench { worker, clock, hands, fold: Fold::default() }
    }

    /// Takes all places but so many.
    fn fill_but(&self, free: usize) -> Vec<Slot> {
        let mut taken: Vec<Slot> =
            std::iter::from_fn(|| self.worker.exchange.recorder.reserve().ok()).collect();
        taken.truncate(taken.len() - free);
        taken
    }

    /// A call to the number whose plan has two targets with fixed prices; nobody else is asked.
    async fn decide(&self) -> Arc<Answer> {
        let in_force = self.worker.exchange.in_force.load_full();
        let carrier = in_force.snapshot.catalog.carrier_named(&carrier()).expect("configured");
        let asked = format!("{{\"carrier_call_id\":\"CA1\",\"to\":\"{}\",\"withheld\":true}}", NUMBERS[0]);
        let request = generic::request(asked.as_bytes()).expect("a request");
        let now = self.clock.now();
        let beside = Beside::default();
        let decided = self.worker.decide(&beside, in_force, carrier, request, Asking::Fallback, now);
        let answer = beside.along(decided).await;
        // Its records leave after it.
        sleep(PATIENCE).await;
        answer.expect("an answer").0
    }

    fn claim(answer: &Answer) -> Claim {
        let call = answer.reply.call_id;
        Claim { call, token: None, carrier: Some(carrier()), carrier_call_id: Some("CA1".to_owned()) }
    }

    async fn next(&self, answer: &Answer, cause: &str, by: &str) -> Arc<Answer> {
        let body = format!(
            "{{\"step\":1,\"result\":\"attempts_ended\",\"at\":\"2026-11-20T18:00:00Z\",
               \"attempts\":[{{\"attempt\":1,\"cause\":\"{cause}\",\"ended_by\":\"{by}\"}}]}}"
        );
        let ends = generic::next(body.as_bytes(), self.clock.now()).expect("a request");
        let next = self.worker.next(Bench::claim(answer), ends, Asking::Fallback, self.clock.now()).await;
        sleep(PATIENCE).await;
        next.expect("an answer")
    }

    async fn report(&self, answer: &Answer) {
        let event = br#"{"event_id":"e","type":"ringing","at":"2026-11-20T18:00:00Z","attempt":1}"#;
        let event = generic::event(event).expect("an event");
        let reported = self.worker.exchange.report(Bench::claim(answer), event);
        // The disk does not answer in this time.
        let _ = tokio::time::timeout(PATIENCE, reported).await;
    }

    /// The disk writes what is in the queue; the kinds of rows in their order.
    fn write(&mut self) -> String {
        let mut kinds = Vec::new();
        while let Some(Some(handed)) = self.hands.next().now_or_never() {
            let mut bytes = Vec::new();
            handed.payload.write(&mut bytes);
            let (kind, version) = (bytes[0], bytes[1]);
            let opened = Seal::of(&Secret(Vec::new())).open(kind, &mut bytes[2..]).expect("its key");
            self.fold.apply(self.fold.seq() + 1, kind, version, opened).expect("it can be read");
            let Record::Entry(entry) = &handed.payload.record else { continue };
            kinds.extend(entry.rows.iter().map(|row| match row {
                Row::Decided(_) => "decided",
                Row::Trail(_) => "trail",
                Row::Attempt(row) if row.end.is_none() => "offered",
                Row::Attempt(_) => "attempt_ended",
                Row::Event(_) => "event",
                Row::Ended(_) => "ended",
                Row::Ledger(_) | Row::Catalog(_) | Row::Change(_) | Row::Listed(_) => "other",
            }));
            handed.synced();
        }
        kinds.join(" ")
    }

    /// What a start knows of the call is what is known here, and each of its answers.
    fn knows(&self, call: CallId, answers: &[&Arc<Answer>]) {
        let exchange = &self.worker.exchange;
        let mut known = self.fold.calls().map(|known| known.expect("it can be read"));
        let known = known.find(|known| known.image.id == call).expect("a start knows the call");
        let image = exchange.state.calls.with(call, |live| live.image()).flatten();
        if let Some(image) = image {
            assert_eq!(known.image, image);
        }
        let catalog = exchange.in_force.load().snapshot.catalog.as_ref().clone();
        let other = worker_on(&self.clock, catalog, Recorder::by_hand(PLACES).0);
        other.exchange.restore(&self.fold, self.clock.now()).expect("a start");
        match other.exchange.state.calls.begin(&known.image.key) {
            Begin::Known(answer) => assert_eq!(&answer, answers[0]),
            other => panic!("a repeat is not known: {other:?}"),
        }
        for (at, told) in answers.iter().enumerate() {
            let step = at as u32 + 1;
            let again = other.exchange.state.calls.answer(&known.image.key, call, step).now_or_never();
            assert_eq!(again.flatten().as_ref(), Some(*told), "step {step}");
        }
    }
}

fn carrier() -> outcry::domain::CarrierId {
    outcry::domain::CarrierId::parse(CARRIERS[0].0).expect("a slug")
}

/// A market in which no unit has to be written down before a call is handed out.
fn without_caps() -> Catalog {
    let mut catalog = base().clone();
    catalog.buyers.iter_mut().for_each(|buyer| buyer.limits = Limits::default());
    catalog.targets.iter_mut().for_each(|target| target.limits = Limits::default());
    catalog.buyers.iter_mut().for_each(|buyer| buyer.ranges.clear());
    catalog.targets.iter_mut().for_each(|target| target.ranges.clear());
    catalog
}

/// What is told while there is no place is written when there is one: by the sweep, or with what is reported next.
#[tokio::test(start_paused = true)]
async fn what_had_no_place_is_written_later() {
    let table = "
        first     | sweep  | decided offered trail
        first     | report | decided offered trail event
        next      | sweep  | event attempt_ended offered trail
        next      | report | event attempt_ended offered trail event
        goodbye   | sweep  | event attempt_ended ended";
    for row in table.lines().filter(|row| !row.trim().is_empty()) {
        let [told, then, written] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("what is told | what comes then | what is written: {row}");
        };
        let mut bench = Bench::new(without_caps());
        let exchange = Arc::clone(&bench.worker.exchange);
        let mut taken = if told == "first" { bench.fill_but(0) } else { Vec::new() };
        let first = bench.decide().await;
        let mut answers = vec![Arc::clone(&first)];
        if told != "first" {
            assert_eq!(bench.write(), "decided offered trail");
            taken = bench.fill_but(0);
            let (cause, by, action) = match told {
                "next" => ("busy", "target", "dial"),
                _ => ("cancelled", "caller", "hangup"),
            };
            let next = bench.next(&first, cause, by).await;
            assert_eq!((next.reply.step, next.reply.action.as_str()), (2, action), "{row}");
            answers.push(next);
        }
        exchange.sweep_once();
        assert_eq!((bench.write().as_str(), exchange.owed() > 0), ("", true), "{row}");
        drop(taken);
        match then {
            "sweep" => drop(exchange.sweep_once()),
            _ => bench.report(&first).await,
        }
        assert_eq!((bench.write().as_str(), exchange.owed()), (written, 0), "{row}");
        bench.knows(first.reply.call_id, &answers.iter().collect::<Vec<_>>());
        exchange.sweep_once();
        assert_eq!(bench.write(), "", "{row}: nothing is written twice");
    }
}

/// However many places there are, a unit that was not handed out is used neither here nor after a start.
#[tokio::test(start_paused = true)]
async fn what_a_hanging_disk_keeps_from_being_handed_out_is_given_back_in_the_journal_too() {
    // Every target has a cap: nobody takes the call without the disk.
    let mut catalog = base().clone();
    catalog.buyers.iter_mut().for_each(|buyer| buyer.limits.daily_billable = Some(100));
    for free in 0..PLACES {
        let mut bench = Bench::new(catalog.clone());
        let taken = bench.fill_but(free);
        let answer = bench.decide().await;
        assert_eq!(answer.reply.basis, "terminal", "{free} places");
        assert_eq!(bench.worker.exchange.state.gauges.held(), 0, "{free} places");
        bench.write();
        assert_eq!(bench.fold.orphaned().count(), 0, "{free} places");
        drop(taken);
    }
}
