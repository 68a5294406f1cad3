//! Straight at a bidder: the harness's own share of the latencies it tells.
//!
//! The same carriers, client, clock points and trace as for calls, without an exchange between them: what is left of
//! the time between a bidder's reply and the answer read is the harness's own, and part of every figure it gives.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ask::{Question, Verdict, status_kind};
use super::call::Call;
use super::plan::{CarrierKey, Plan};
use super::{ANSWER_LIMIT_S, Arrivals, Carriers, Errand, Outcome};
use crate::client::{Answer, JSON};
use crate::trace::{CALL_TAG, Trace};

/// Number of the first ping's call: far from those of real runs on the same trace.
const FIRST_CALL: u64 = 1 << 40;
/// The time left that each ping states, in ms.
const DEADLINE_MS: u64 = 400;

/// Posts pings of the bid contract to a bidder of this process, whose trace is given, for so long. `added` is then the
/// time from the bidder's reply to the answer read: what the harness itself adds.
pub fn straight(
    bid_url: &str,
    calls_per_second: f64,
    span: Duration,
    trace: Arc<Trace>,
) -> io::Result<Outcome> {
    let nobody = CarrierKey { id: "straight".to_owned(), ..CarrierKey::default() };
    let plan = Plan {
        arrivals: Arrivals::Poisson(calls_per_second),
        rates: super::Rates::default(),
        first_call: FIRST_CALL,
        ..Plan::new(bid_url, nobody, vec!["+18005550100".to_owned()])
    };
    let carriers = Carriers::launch(plan, trace, Errand::Pings)?;
    carriers.wait(span);
    Ok(carriers.finish(Duration::from_secs(ANSWER_LIMIT_S)))
}

fn read(answer: &Answer) -> Result<Verdict<'_>, &'static str> {
    match answer.status {
        200 | 204 => Ok(Verdict::default()),
        status => Err(status_kind(status)),
    }
}

/// One ping and its reply, counted as a call and its answer.
pub(super) async fn ask(call: &mut Call, due: Instant) {
    let floor = call.floor.clone();
    let caller = call.caller(&floor);
    let mut body = String::with_capacity(512);
    // As long as an exchange's own; writing into a `String` cannot fail.
    let _ = write!(
        body,
        r#"{{"version":1,"ping_id":"{number:026}","deadline_ms":{DEADLINE_MS},"test":false,"campaign":"straight","vertical":"straight","publisher":"p7k2","geo_source":"area_code","caller":{{"area_code":"{area}","token":"k1:{number:032}"}},"consent":false,"tags":{{"{CALL_TAG}":"{number}"}},"currency":"USD","min_duration_s":90,"at":"{at}"}}"#,
        number = call.number,
        area = &caller.digits[..3],
        at = call.at(),
    );
    let question =
        Question { url: &floor.plan.base_url, headers: &[], content_type: JSON, body: body.as_bytes() };
    call.ask_first(due, &question, read).await;
}
