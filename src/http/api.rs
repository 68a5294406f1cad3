//! What carriers may do: ask where to send a call, and report what happened to it. Thin: reads, asks the exchange, answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::Served;
use super::reply::{Answer, body, json, told};
use crate::auction::bid::cleaned;
use crate::carrier::StepEnd;
use crate::carrier::generic::{self, CarrierEvent, CarrierFault};
use crate::domain::catalog::CarrierDialect;
use crate::domain::{CallId, CarrierId, CarrierIx, Catalog};
use crate::exchange::Asking;
use crate::exchange::decide::Undecided;
use crate::exchange::progress::{Claim, NotTaken};
use crate::listener::bearer;
use crate::problem::{Code, Fault, Problem};
use crate::runtime::same_digest;
use crate::state::calls::CallKey;

/// `POST /v1/route`. The decision is the exchange's, and a task of it as soon as nobody waits for it: dropping this request does not end it.
pub(super) async fn route(served: &Served, request: Request<Incoming>) -> Result<Answer, Problem> {
    let exchange = &served.worker.exchange;
    let in_force = exchange.in_force.load_full();
    let catalog = &in_force.snapshot.catalog;
    let carrier = carrier(catalog, &request)?.ok_or_else(no_key)?;
    if catalog.carrier(carrier).dialect != CarrierDialect::Generic {
        return Err(Problem::new(Code::Forbidden, "The carrier of this key speaks another dialect."));
    }
    let body = body(request.into_body(), served.limits).await?;
    let arrived = exchange.clock.now();
    let asked = generic::request(&body).map_err(invalid)?;
    // The connection reads on into its memory while the call is decided.
    drop(body);
    // Made before it is waited for: then there is time.
    let mut response = json(Bytes::new());
    let (answer, draft) = served
        .worker
        .decide(&served.beside, in_force, carrier, asked, Asking::Open, arrived)
        .await
        .map_err(undecided)?;
    let drafted = draft.and_then(|draft| draft.finish(&answer.reply));
    let bytes = drafted.unwrap_or_else(|| generic::reply(&answer.reply, &answer.base));
    *response.body_mut() = Full::new(bytes.into());
    Ok(response)
}

/// What the carrier of a new call hears that is not decided.
pub(super) fn undecided(why: Undecided) -> Problem {
    match why {
        Undecided::Full => {
            Problem::new(Code::Unavailable, "No room for another call; use the number's fallback.")
        }
        Undecided::Overloaded => {
            Problem::new(Code::Overloaded, "More calls than can be answered; use the number's fallback.")
        }
    }
}

/// `POST` to the events URL of an answer. The token in it is the permission; a key, if there is one, must be the
/// carrier's. Detached: it runs to its end although the connection drops.
pub(super) async fn event(
    served: &Served,
    request: Request<Incoming>,
    call: &str,
    token: &str,
) -> Result<Answer, Problem> {
    let (claim, body) = of_a_call(served, request, call, token).await?;
    let reported = generic::event(&body).map_err(invalid)?;
    let (carrier, call) = (claim.carrier.clone(), claim.call.to_string());
    let taken = served.worker.exchange.report(claim, reported.clone()).await;
    heard(served, carrier.as_ref(), &call, &reported, taken)
}

/// `POST /v1/events`: a report of a carrier that knows the call by its own name only, a call record say.
pub(super) async fn record(served: &Served, request: Request<Incoming>) -> Result<Answer, Problem> {
    let exchange = &served.worker.exchange;
    let in_force = exchange.in_force.load_full();
    let catalog = &in_force.snapshot.catalog;
    let carrier = catalog.carrier(carrier(catalog, &request)?.ok_or_else(no_key)?).id.clone();
    let body = body(request.into_body(), served.limits).await?;
    let (carrier_call_id, reported) = generic::record(&body).map_err(invalid)?;
    let key = CallKey { carrier: carrier.clone(), carrier_call_id };
    let taken = match exchange.state.calls.find(&key).await {
        Some(call) => {
            let claim = Claim { call, token: None, carrier: Some(carrier), carrier_call_id: None };
            exchange.report(claim, reported.clone()).await
        }
        None => Err(NotTaken::Unknown),
    };
    heard(served, Some(&key.carrier), &key.carrier_call_id, &reported, taken)
}

/// `POST` to the `next` URL of an answer: the attempts of that answer are over, what now? Admitted as an event is. The step
/// is the exchange's, as a decision is: dropping this request does not end it.
pub(super) async fn next(
    served: &Served,
    request: Request<Incoming>,
    call: &str,
    token: &str,
) -> Result<Answer, Problem> {
    let (claim, body) = of_a_call(served, request, call, token).await?;
    let arrived = served.worker.exchange.clock.now();
    let report = generic::next(&body, arrived).map_err(invalid)?;
    let (carrier, call, ends) = (claim.carrier.clone(), claim.call.to_string(), report.ends.clone());
    let answered = served.worker.next(claim, report, Asking::Open, arrived).await;
    if answered == Err(NotTaken::Unknown) {
        for StepEnd { event, detail, .. } in ends {
            let ended = CarrierEvent { event_id: String::new(), kind: "ended", event, detail, leg: None };
            served.worker.exchange.keep_unknown(carrier.as_ref(), &call, &ended);
        }
    }
    answered.map(|answer| told(&answer)).map_err(|why| not_taken(&why))
}

/// What was posted to one of a call's URLs, and who speaks.
async fn of_a_call(
    served: &Served,
    request: Request<Incoming>,
    call: &str,
    token: &str,
) -> Result<(Claim, Bytes), Problem> {
    let in_force = served.worker.exchange.in_force.load_full();
    let catalog = &in_force.snapshot.catalog;
    let carrier = carrier(catalog, &request)?.map(|ix| catalog.carrier(ix).id.clone());
    let unknown = || not_taken(&NotTaken::Unknown);
    let call = CallId::parse(call).ok_or_else(unknown)?;
    let token = Some(parse_token(token).ok_or_else(unknown)?);
    let body = body(request.into_body(), served.limits).await?;
    Ok((Claim { call, token, carrier, carrier_call_id: None }, body))
}

/// What a carrier hears of its report; one about a call that nobody knows is kept for the operator.
fn heard(
    served: &Served,
    carrier: Option<&CarrierId>,
    call: &str,
    reported: &CarrierEvent,
    taken: Result<(), NotTaken>,
) -> Result<Answer, Problem> {
    if taken == Err(NotTaken::Unknown) {
        served.worker.exchange.keep_unknown(carrier, call, reported);
    }
    taken.map(|()| json(Bytes::from_static(b"{}"))).map_err(|why| not_taken(&why))
}

pub(super) fn not_taken(why: &NotTaken) -> Problem {
    match why {
        // Who does not know one is not told the other.
        NotTaken::Unknown | NotTaken::WrongToken => {
            Problem::new(Code::NotFound, "No such call is in progress or ended less than 10 minutes ago.")
        }
        NotTaken::OtherCarrier => Problem::new(Code::Forbidden, "The call is another carrier's."),
        NotTaken::NoAttempt => {
            Problem::invalid(vec![Fault::new("attempt", None, "an attempt that an answer handed out")])
        }
        NotTaken::NoStep => {
            Problem::invalid(vec![Fault::new("step", None, "the step of an answer that was given")])
        }
        NotTaken::NoEnd(attempt) => {
            let what = format!("nothing of attempt {attempt}");
            let allowed = "{attempt, cause, ended_by, talk_ms} of each attempt whose end was not reported";
            Problem::invalid(vec![Fault::new("attempts", Some(&what), allowed)])
        }
        NotTaken::NotDurable(_) => Problem::new(
            Code::Unavailable,
            "What you reported is not known to be on disk yet: send the same again.",
        ),
    }
}

/// The carrier whose key came; `None` without a key. An unknown key is refused.
fn carrier(catalog: &Catalog, request: &Request<Incoming>) -> Result<Option<CarrierIx>, Problem> {
    if !request.headers().contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let key = bearer(request.headers()).ok_or_else(no_key)?;
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    // Every carrier is looked at: the time says nothing about whose key it is, or how close a guess was.
    let mut found = None;
    for (at, carrier) in catalog.carriers.iter().enumerate() {
        if carrier.key_digest.is_some_and(|own| same_digest(&digest, &own)) {
            found = Some(CarrierIx(at as u32));
        }
    }
    found
        .map(Some)
        .ok_or_else(|| Problem::new(Code::Unauthorized, "The key is not that of a configured carrier."))
}

fn no_key() -> Problem {
    Problem::new(Code::Unauthorized, "Send the carrier's key as `Authorization: Bearer <key>`.")
}

pub(super) fn parse_token(text: &str) -> Option<u128> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| plain)
}

/// Values are shown without what could be a phone number: a caller's may have come in any field.
pub(super) fn invalid(faults: Vec<CarrierFault>) -> Problem {
    let fault = |fault: CarrierFault| {
        let value = fault.value.map(cleaned);
        Fault::new(&fault.at, value.as_deref(), fault.allowed)
    };
    Problem::invalid(faults.into_iter().map(fault).collect())
}
