//! An answer is drafted while the last bid is waited for: who led then mostly wins, and then the draft is what is sent.
//!
//! That its bytes are those of an answer without is held by the tables of `carrier::generic`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outcry::carrier::generic;
use outcry::domain::{CarrierIx, Reason, Timestamp};
use outcry::exchange::Asking;
use outcry::exchange::beside::Beside;
use outcry::ping::endpoint::Endpoints;
use outcry::ping::wire::Reach;
use outcry::records::Recorder;
use outcry::runtime::{Clock, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use super::check::Times;
use super::market::{NUMBERS, base};
use super::order::written;
use super::stage::{CALLER_KEY, in_force, worker};

/// The one that is asked as the `place`th replies behind those before it.
async fn reply(mut far: DuplexStream, place: u64, last_bids: u64) {
    let mut asked = [0; 4_096];
    while far.read(&mut asked).await.is_ok_and(|bytes| bytes > 0) {
        sleep(Duration::from_millis(10 * (place + 1))).await;
        // Of four in all the last is the one that is told its bid.
        let bid = if place == 3 { last_bids } else { 40 - place };
        let body = format!("{{\"bid\":{bid}}}");
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if far.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Whether the answer was drafted, and whether the draft is what is sent, where the last to reply bids so much.
async fn drafted_when(last_bids: u64) -> (bool, bool) {
    let clock = Clock::starting_at(Timestamp::parse("2026-11-20T18:00:00Z").expect("a time"));
    let times =
        Times { late_events: Duration::ZERO, linger: Duration::ZERO, keep_ended: Duration::from_secs(90) };
    let mut market = base().clone();
    // Four bidders for the campaign of the number, each waited for.
    market.targets.iter_mut().for_each(|target| target.paused = !target.id.as_str().ends_with("-auto"));
    let opened = AtomicU64::new(0);
    let reach = Reach::Memory(Arc::new(move |_| {
        let (near, far) = tokio::io::duplex(4_096);
        tokio::spawn(reply(far, opened.fetch_add(1, Ordering::Relaxed), last_bids));
        Box::pin(std::future::ready(Ok(near)))
    }));
    let in_force = in_force(&Endpoints::new(clock.clone(), true), market, &CALLER_KEY);
    let (recorder, hands) = Recorder::by_hand(100);
    tokio::spawn(written(hands));
    let worker = worker(1, &clock, in_force, times, recorder, reach, &Shutdown::default());

    let asked = format!("{{\"carrier_call_id\":\"CA1\",\"to\":\"{}\",\"withheld\":true}}", NUMBERS[0]);
    let request = generic::request(asked.as_bytes()).expect("a request");
    let (beside, in_force) = (Beside::default(), worker.exchange.in_force.load_full());
    let decided = worker.decide(&beside, in_force, CarrierIx(0), request, Asking::Open, clock.now());
    let (answer, draft) = beside.along(decided).await.expect("an answer");
    assert_eq!(answer.reply.reason, Reason::Won, "{:?}", answer.reply);
    (draft.is_some(), draft.is_some_and(|draft| draft.finish(&answer.reply).is_some()))
}

#[tokio::test(start_paused = true)]
async fn who_led_before_the_last_reply_is_who_the_answer_was_drafted_for() {
    assert_eq!(drafted_when(20).await, (true, true), "the last did not come first");
    assert_eq!(drafted_when(70).await, (true, false), "the last came first: another answer than was drafted");
}
