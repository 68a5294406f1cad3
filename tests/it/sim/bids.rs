//! Four bidders that reply one after the other: for whom the answer is drafted while the last is waited for, and who stands
//! for the call's next attempt.
//!
//! That drafted bytes are those of an answer without a draft is held by the tables of `carrier::generic`.

use std::sync::Arc;
use std::time::Duration;

use outcry::carrier::generic;
use outcry::domain::{CarrierIx, Reason, Timestamp};
use outcry::exchange::beside::Beside;
use outcry::exchange::{Asking, Worker};
use outcry::ping::endpoint::Endpoints;
use outcry::ping::wire::Reach;
use outcry::records::Recorder;
use outcry::runtime::{Clock, Shutdown};
use outcry::state::calls::First;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use super::check::Times;
use super::market::{NUMBERS, base};
use super::order::written;
use super::stage::{CALLER_KEY, in_force, worker};

/// Who bids, by the paths of their endpoints; `cat` is of a lower tier.
const BIDDERS: [&str; 4] = ["/ant-auto", "/bee-auto", "/cat-auto", "/fox-auto"];

/// After how many milliseconds each of them replies, and what.
type Says = [(u64, &'static str); 4];

async fn reply(mut far: DuplexStream, says: Says) {
    let mut asked = [0; 4_096];
    while far.read(&mut asked).await.is_ok_and(|bytes| bytes > 0) {
        let who = BIDDERS.iter().position(|path| asked[5..].starts_with(path.as_bytes()));
        let (after, body) = says[who.expect("one of the four")];
        sleep(Duration::from_millis(after)).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let reply = format!("{head} {}\r\n\r\n{body}", body.len());
        if far.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A call to the number of the campaign that these four bid for.
async fn decided(says: Says) -> (Arc<Worker>, First) {
    let clock = Clock::starting_at(Timestamp::parse("2026-11-20T18:00:00Z").expect("a time"));
    let times = Times {
        late_events: Duration::ZERO,
        linger: Duration::from_secs(1),
        keep_ended: Duration::from_secs(90),
    };
    let mut market = base().clone();
    // The fifth takes nobody without a number.
    market.targets.iter_mut().for_each(|target| target.paused = !target.id.as_str().ends_with("-auto"));
    let reach = Reach::Memory(Arc::new(move |_| {
        let (near, far) = tokio::io::duplex(4_096);
        tokio::spawn(reply(far, says));
        Box::pin(std::future::ready(Ok(near)))
    }));
    let in_force = in_force(&Endpoints::new(clock.clone(), true), market, &CALLER_KEY);
    let (recorder, hands) = Recorder::by_hand(100);
    tokio::spawn(written(hands));
    let worker = worker(1, &clock, in_force, times, recorder, reach, &Shutdown::default());

    let asked = format!("{{\"carrier_call_id\":\"CA1\",\"to\":\"{}\",\"withheld\":true}}", NUMBERS[0]);
    let request = generic::request(asked.as_bytes()).expect("a request");
    let (beside, in_force) = (Beside::default(), worker.exchange.in_force.load_full());
    let asked = worker.decide(&beside, in_force, CarrierIx(0), request, Asking::Open, clock.now());
    let first = beside.along(asked).await.expect("an answer");
    assert_eq!(first.0.reply.reason, Reason::Won, "{:?}", first.0.reply);
    (worker, first)
}

#[tokio::test(start_paused = true)]
async fn who_led_before_the_last_reply_is_who_the_answer_was_drafted_for() {
    for (last, is_sent) in [("{\"bid\":20}", true), ("{\"bid\":70}", false)] {
        let said = [(10, "{\"bid\":40}"), (20, "{\"bid\":39}"), (30, "{\"bid\":38}"), (40, last)];
        let (_, (answer, draft)) = decided(said).await;
        let draft = draft.expect("one was drafted when three had replied");
        assert_eq!(draft.finish(&answer.reply).is_some(), is_sent, "the last bids {last}");
    }
}

/// A bid that came in time after an early end joins those that stand. Of these one may have died since: it is told so at the
/// next attempt, and not gone without a word.
#[tokio::test(start_paused = true)]
async fn who_stands_stays_when_a_late_bid_joins() {
    // Nobody may bid more than the first, so that it ends when that is there; another one has just as much life left as it
    // takes to be handed out, and no more when the one of the lower tier bids.
    let dies = "{\"bid\":30,\"ttl_s\":5}";
    let said = [(40, "{\"bid\":80}"), (20, "{\"bid\":39}"), (300, "{\"bid\":20}"), (40, dies)];
    let (worker, (answer, _)) = decided(said).await;
    let standing = || {
        let standing = worker.exchange.state.calls.with(answer.reply.call_id, |live| {
            let rest = live.open().and_then(|open| open.rest.as_ref()).expect("a call that may go on");
            rest.standing.iter().map(|one| one.target.to_string()).collect::<Vec<String>>()
        });
        standing.expect("a call").join(" ")
    };
    sleep(Duration::from_millis(100)).await;
    assert_eq!(standing(), "bee-auto fox-auto", "the one of the lower tier has not replied");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(standing(), "bee-auto fox-auto cat-auto");
}
