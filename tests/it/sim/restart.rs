//! A kill and a start that are only tried: what is read of the records so far is compared with what is known.

use std::sync::Arc;
use std::time::Duration;

use outcry::bidder::hand_back::{HandBack, Which};
use outcry::domain::{BuyerId, CallId, Timestamp};
use outcry::exchange::{Exchange, Worker};
use outcry::journal::Hands;
use outcry::ping::endpoint::Endpoints;
use outcry::ping::wire::Reach;
use outcry::records::{Recorder, Sealed};
use outcry::runtime::Shutdown;
use outcry::state::calls::{Answer, Begin, Step};
use outcry::state::image::LiveImage;
use outcry::state::live::Live;

use super::check::{Promise, Told};
use super::stage::{CALLER_KEY, QUEUE, Stage, in_force, worker};

/// Longer after a decision nobody lingers.
const LINGERS: Duration = Duration::from_secs(2);
/// Most calls that are handed back after a restart.
const HAND_BACKS: usize = 30;

impl Stage {
    /// What a process that was killed in this moment would know when it is started again: the same units, the same calls,
    /// the same answers.
    pub(super) async fn try_a_restart(&self) {
        let (recorder, hands) = Recorder::by_hand(QUEUE);
        let catalog = self.catalog.lock().unwrap().clone();
        let in_force = in_force(&Endpoints::new(self.clock.clone(), true), catalog, &CALLER_KEY);
        let nobody = Reach::Memory(Arc::new(|_| panic!("nobody is asked")));
        let other =
            worker(self.seed, &self.clock, in_force, self.times, recorder, nobody, &Shutdown::default());
        self.compare(&other);
        self.hand_back(&other, hands).await;
    }

    /// Buyers hand back to it what they have now: who may hears so, and nobody else.
    async fn hand_back(&self, other: &Worker, mut hands: Hands<Sealed>) {
        let due = self.check.lock().unwrap().due_after_a_restart(HAND_BACKS);
        let disk = tokio::spawn(async move {
            while let Some(handed) = hands.next().await {
                handed.synced();
            }
        });
        for (call, buyer, due) in due {
            let asked = HandBack { which: Which::Call(call), note: String::new() };
            let own = BuyerId::parse(&buyer).expect("a slug");
            let heard = Told::of(&other.exchange.hand_back(own, asked).await);
            if heard != due {
                let what =
                    format!("{buyer} hands {call} back after a restart and hears {heard:?}, not {due:?}");
                self.check.lock().unwrap().broke(Promise::Restart, what);
            }
        }
        disk.abort();
    }

    fn compare(&self, other: &Worker) {
        let mut check = self.check.lock().unwrap();
        let fold = self.disk.fold.lock().unwrap();
        if let Err(error) = other.exchange.restore(&fold, self.clock.now()) {
            return check.broke(Promise::Restart, format!("the records cannot be read: {error}"));
        }
        check.compare(&other.exchange.state.gauges, Promise::Restart, " after a restart");
        let both = [&self.exchange, &other.exchange];
        // What is on lists was handed in before the first call.
        let listed = both.map(|one| one.callers.load().counts().cloned().collect::<Vec<_>>());
        if self.exchange.recorder.queued() == 0 && listed[0] != listed[1] {
            check.broke(Promise::Restart, format!("on lists are {listed:?} before and after"));
        }
        for remembered in fold.calls() {
            let LiveImage { id, key, .. } = remembered.expect("it was read before").image;
            let answers = both.map(|exchange| match exchange.state.calls.begin(&key) {
                Begin::Known(answer) => Some(answer),
                _ => None,
            });
            if answers[0] != answers[1] {
                check.broke(Promise::Restart, format!("{key:?} is answered {answers:?} before and after"));
            }
            let later = both.map(|exchange| later_answers(exchange, id));
            if later[0] != later[1] {
                check.broke(Promise::Restart, format!("the steps of {key:?} are {later:?} before and after"));
            }
        }
        // What was handed in a moment ago the disk has not seen yet.
        if self.exchange.recorder.queued() > 0 {
            return;
        }
        for remembered in fold.calls() {
            let written = Live::restored(remembered.expect("it was read before").image);
            let (id, now) = (written.id, self.clock.now());
            let known = self.exchange.state.calls.with(id, |live| in_words(live, now)).flatten();
            let (Some(known), Some(written)) = (known, in_words(&written, now)) else { continue };
            if written != known {
                let lines = written.lines().zip(known.lines());
                let differs: Vec<_> = lines.filter(|(written, known)| written != known).take(3).collect();
                check.broke(Promise::Restart, format!("of {id} a start knows, and was known: {differs:?}"));
            }
        }
    }
}

/// The answers of a call that were given after the first.
fn later_answers(exchange: &Exchange, call: CallId) -> Vec<Arc<Answer>> {
    let given = |step: &Step| match step {
        Step::Decided(answer) => Some(Arc::clone(answer)),
        Step::Deciding(_) => None,
    };
    let answers = exchange.state.calls.with(call, |live| live.steps.iter().filter_map(given).collect());
    answers.unwrap_or_default()
}

/// A call of which something may come, as far as a start must know it.
fn in_words(live: &Live, now: Timestamp) -> Option<String> {
    let open = live.open()?;
    let (mut call, mut rest) = (open.call.image(), open.rest.clone());
    for attempt in &mut call.attempts {
        // That waiting for an end was over, and nothing came of it, is written down by nobody.
        attempt.judge_at = attempt.judge_at.filter(|at| *at > now);
    }
    if open.offered.last().is_some_and(|last| last.at.after(LINGERS) > now) {
        // A bid that came after an early end is written down when nobody is waited for any more.
        rest.iter_mut().for_each(|rest| Arc::make_mut(rest).standing.clear());
    }
    let of_it = (&live.key, &live.campaign, live.caller, live.token, live.signed, live.said_goodbye);
    let so_far = (open.at, &open.publisher, open.test, call, &open.offered, rest, open.counted);
    Some(format!("{of_it:#?} {so_far:#?} {:?}", live.over_since))
}
