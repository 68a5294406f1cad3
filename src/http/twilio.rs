//! Twilio's requests: admitted by their signature, translated by `carrier::twilio`, decided by the exchange as any other.
//!
//! Whatever is admitted gets a document to act on. A caller hears our apology rather than the carrier's, and what only
//! reports is told when it is on disk.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};

use super::Served;
use super::api::{invalid, not_taken, parse_token, undecided};
use super::reply::{Answer, body, document, nothing, xml};
use crate::call::event::{CallEvent, EventKind};
use crate::carrier::generic::{CarrierEvent, CarrierFault};
use crate::carrier::twilio::form::Form;
use crate::carrier::twilio::signature::{SETTINGS_HEADER, SIGNATURE_HEADER, Signed, verify};
use crate::carrier::twilio::twiml::Callbacks;
use crate::carrier::twilio::{self, LegKind, twiml};
use crate::carrier::{CallerLeg, SCREEN_DIGIT, StepEnd, StepReport};
use crate::domain::catalog::CarrierDialect;
use crate::domain::{CallId, CarrierIx, Cause, EndedBy, Timestamp};
use crate::exchange::progress::{Claim, NotTaken};
use crate::exchange::{Asking, InForce};
use crate::problem::{Code, Problem};
use crate::state::calls::CallKey;

/// Longest that somebody on the line waits for a disk.
const A_MOMENT: Duration = Duration::from_secs(1);

/// What every path under `/twilio` takes.
pub(super) const METHODS: &str = "GET, POST";

/// A request that one of our Twilio carriers signed.
struct Admitted {
    in_force: Arc<InForce>,
    carrier: CarrierIx,
    form: Form,
    token: Option<u128>,
    /// Its last byte was read.
    arrived: Timestamp,
}

impl Admitted {
    fn key(&self, call_sid: &str) -> CallKey {
        let carrier = self.in_force.snapshot.catalog.carrier(self.carrier).id.clone();
        CallKey { carrier, carrier_call_id: call_sid.to_owned() }
    }

    /// What the carrier's URLs begin with.
    fn base(&self) -> &str {
        self.in_force.snapshot.catalog.carrier(self.carrier).public_url.as_deref().unwrap_or("")
    }

    /// The claim to a call whose URL we made: it carries the call's token.
    fn claim(&self, call: &str, call_sid: &str) -> Result<Claim, Problem> {
        let call = CallId::parse(call).ok_or_else(|| not_taken(&NotTaken::Unknown))?;
        let token = self.token.ok_or_else(foreign)?;
        let CallKey { carrier, carrier_call_id } = self.key(call_sid);
        Ok(Claim { call, token: Some(token), carrier: Some(carrier), carrier_call_id: Some(carrier_call_id) })
    }
}

/// The routes under `/twilio`.
pub(super) async fn answer(
    served: &Served,
    request: Request<Incoming>,
    route: &[&str],
) -> Result<Answer, Problem> {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return Err(Problem::new(Code::MethodNotAllowed, "Use POST or GET."));
    }
    match route {
        ["voice"] => voice(served, admit(served, request).await?).await,
        ["dial", call, step] => dial(served, admit(served, request).await?, call, step).await,
        ["leg", call, attempt] => leg(served, admit(served, request).await?, call, attempt).await,
        ["screen", call, attempt] => screen(served, admit(served, request).await?, call, attempt).await,
        ["status"] => status(served, admit(served, request).await?).await,
        ["fallback"] => fallback(served, admit(served, request).await?).await,
        ["done", call] => done(served, admit(served, request).await?, call).await,
        _ => Err(Problem::new(
            Code::NotFound,
            "Twilio is answered at /twilio/voice, /twilio/fallback and /twilio/status, and the URLs of documents.",
        )),
    }
}

/// Reads the request and looks for the carrier whose secret signed it.
async fn admit(served: &Served, request: Request<Incoming>) -> Result<Admitted, Problem> {
    let exchange = &served.worker.exchange;
    let (parts, incoming) = request.into_parts();
    let body = body(incoming, served.limits).await?;
    let arrived = exchange.clock.now();
    let in_force = exchange.in_force.load_full();
    let path_and_query = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let header = |name: &str| parts.headers.get(name).map(|value| value.as_bytes());
    let signed = |public_url| Signed {
        is_get: parts.method == Method::GET,
        public_url,
        path_and_query,
        content_type: parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()),
        body: &body,
        signature: header(SIGNATURE_HEADER),
        settings: header(SETTINGS_HEADER),
    };
    let carriers = in_force.snapshot.catalog.carriers.iter().enumerate();
    let mut twilio = carriers.filter(|(_, carrier)| carrier.dialect == CarrierDialect::Twilio);
    let signer = twilio.find_map(|(at, carrier)| {
        let signed = signed(carrier.public_url.as_deref()?);
        verify(&signed, &carrier.secrets).then_some((CarrierIx(at as u32), signed))
    });
    let Some((carrier, signed)) = signer else {
        return Err(Problem::new(
            Code::Forbidden,
            "The request is not signed by a configured Twilio carrier: see `public_url` and `secrets`.",
        ));
    };
    let form = signed.form().map_err(|error| {
        let allowed = "at most 200 parameters in UTF-8";
        invalid(vec![CarrierFault { at: format!("body: {error}"), value: None, allowed }])
    })?;
    let query = Form::parse(parts.uri.query().unwrap_or("").as_bytes()).unwrap_or_default();
    let token = query.get("token").and_then(parse_token);
    Ok(Admitted { carrier, form, token, arrived, in_force: Arc::clone(&in_force) })
}

/// A call rings: where to?
async fn voice(served: &Served, admitted: Admitted) -> Result<Answer, Problem> {
    let asked = twilio::request(&admitted.form).map_err(invalid)?;
    let Admitted { in_force, carrier, arrived, .. } = admitted;
    match served.worker.decide(&served.beside, in_force, carrier, asked, Asking::Open, arrived).await {
        Ok((answer, _)) => Ok(document(&answer)),
        // Twilio then asks the fallback URL, which is always answered.
        Err(why) => Err(undecided(why)),
    }
}

/// A `Dial` is over: what now?
async fn dial(served: &Served, admitted: Admitted, call: &str, step: &str) -> Result<Answer, Problem> {
    let step = number(step)?;
    let report = twilio::dial(&admitted.form).map_err(invalid)?;
    let claim = admitted.claim(call, &report.call_sid)?;
    next(served, &admitted, claim, &report, step).await
}

async fn next(
    served: &Served,
    admitted: &Admitted,
    claim: Claim,
    report: &twilio::DialReport,
    step: u32,
) -> Result<Answer, Problem> {
    let (call, end) = (claim.call.to_string(), end_of(report, admitted.arrived));
    let caller = report.caller;
    let report = StepReport { step, caller, ends: vec![end.clone()] };
    match served.worker.next(claim, report, Asking::Open, admitted.arrived).await {
        Ok(answer) => Ok(document(&answer)),
        Err(refused @ (NotTaken::WrongToken | NotTaken::OtherCarrier)) => Err(forbidden(&refused)),
        Err(refused @ (NotTaken::NoStep | NotTaken::NoAttempt | NotTaken::NoEnd(_))) => {
            Err(not_taken(&refused))
        }
        // Nobody would hear of a refusal, and nobody asks again: the caller gets an end at least.
        Err(NotTaken::Unknown) => Ok(unknown(served, admitted, &call, end, caller)),
        Err(NotTaken::NotDurable(_)) if caller == CallerLeg::Gone => Ok(xml(twiml::empty().into())),
        Err(NotTaken::NotDurable(_)) => Ok(xml(twiml::sorry().into())),
    }
}

/// How the attempt of a `Dial` ended.
fn end_of(report: &twilio::DialReport, arrived: Timestamp) -> StepEnd {
    let twilio::LegReport { cause, ended_by, talk_ms } = report.end;
    let event = CallEvent { attempt: None, at: arrived, kind: EventKind::Ended { cause, ended_by, talk_ms } };
    let talk = talk_ms.map(|ms| format!(", talk {ms} ms")).unwrap_or_default();
    let detail = format!("{}, by {}{talk}", cause.as_str(), ended_by.as_str());
    StepEnd { attempt: None, leg: report.leg_sid.clone(), event, detail }
}

/// The end of a `Dial` of a call that nobody knows any more, after a restart say: kept for the operator, since it may have
/// been a talk.
fn unknown(served: &Served, admitted: &Admitted, call: &str, end: StepEnd, caller: CallerLeg) -> Answer {
    let StepEnd { event, detail, .. } = end;
    let event = CarrierEvent { event_id: String::new(), kind: "ended", event, detail, leg: None };
    let carrier = &admitted.in_force.snapshot.catalog.carrier(admitted.carrier).id;
    served.worker.exchange.keep_unknown(Some(carrier), call, &event);
    xml(if caller == CallerLeg::Gone { twiml::empty() } else { twiml::hangup() }.into())
}

/// News of a leg.
async fn leg(served: &Served, admitted: Admitted, call: &str, attempt: &str) -> Result<Answer, Problem> {
    let attempt = number(attempt)?;
    let told = twilio::leg(&admitted.form).map_err(invalid)?;
    let claim = admitted.claim(call, &told.parent_sid)?;
    let (kind, what, cause) = match told.kind {
        LegKind::Ringing => ("ringing", EventKind::Ringing, None),
        LegKind::Answered => ("answered", EventKind::Answered, None),
        LegKind::Over(cause) => ("leg_over", EventKind::LegOver { cause }, Some(cause)),
        LegKind::Noted => ("noted", EventKind::Noted, None),
    };
    let mut detail: Vec<String> = cause.map(|cause| cause.as_str().to_owned()).into_iter().collect();
    detail.extend(told.duration_s.map(|s| format!("leg of {s} s")));
    let at = told.at.unwrap_or(admitted.arrived);
    let event = CallEvent { attempt: Some(attempt), at, kind: what };
    let (event_id, detail, leg) = (told.event_id, detail.join(", "), Some(told.leg_sid));
    report(served, claim, CarrierEvent { event_id, kind, event, detail, leg }).await
}

/// Somebody picked up who has to press a digit first, and then pressed one. The first who does takes the call; whoever
/// comes later, or presses something else, is hung up on. The caller is connected when the document is over.
async fn screen(served: &Served, admitted: Admitted, call: &str, attempt: &str) -> Result<Answer, Problem> {
    let attempt = number(attempt)?;
    let told = twilio::screen(&admitted.form).map_err(invalid)?;
    let claim = admitted.claim(call, &told.parent_sid)?;
    let exchange = &served.worker.exchange;
    let id = claim.call;
    let may_take = || exchange.state.calls.with(id, |live| live.may_take(attempt)).unwrap_or(false);
    let is_its = told.digits.as_deref() == Some(SCREEN_DIGIT);
    let what = if is_its { EventKind::Bridged } else { EventKind::Noted };
    let event = CallEvent { attempt: Some(attempt), at: admitted.arrived, kind: what };
    let detail = match &told.digits {
        None => "picked up: asked for a digit".to_owned(),
        Some(_) if is_its => "pressed the digit: takes the call".to_owned(),
        Some(_) => "pressed another digit".to_owned(),
    };
    let event_id =
        format!("{}:screen:{}", told.leg_sid, if told.digits.is_some() { "digits" } else { "asked" });
    let event = CarrierEvent { event_id, kind: "digits", event, detail, leg: Some(told.leg_sid) };
    match tokio::time::timeout(A_MOMENT, report(served, claim, event)).await {
        Ok(Err(problem)) if problem.status == 403 => return Err(problem),
        // Somebody waits on the line: the disk can come later.
        Ok(_) | Err(_) => {}
    }
    let document = match &told.digits {
        _ if !may_take() => twiml::hangup(),
        None => {
            let base = admitted.base();
            let token = admitted.token.unwrap_or_default();
            twiml::screen(&Callbacks { base, token }.screen(id, attempt))
        }
        Some(_) if is_its => twiml::empty(),
        Some(_) => twiml::hangup(),
    };
    Ok(xml(document.into()))
}

/// News of the caller's own call: of use where it is over and nobody said so.
async fn status(served: &Served, admitted: Admitted) -> Result<Answer, Problem> {
    let told = twilio::status(&admitted.form).map_err(invalid)?;
    let key = admitted.key(&told.call_sid);
    let ended = EventKind::CallEnded { cause: Cause::Normal, ended_by: EndedBy::Caller };
    let (kind, what) = if told.is_over { ("call_ended", ended) } else { ("noted", EventKind::Noted) };
    let event = CallEvent { attempt: None, at: told.at.unwrap_or(admitted.arrived), kind: what };
    let event_id = format!("status:{kind}");
    let event = CarrierEvent { event_id, kind, event, detail: String::new(), leg: None };
    let exchange = &served.worker.exchange;
    let CallKey { carrier, carrier_call_id } = key.clone();
    match exchange.state.calls.find(&key).await {
        Some(call) => {
            let id = Some(carrier_call_id);
            let claim = Claim { call, token: None, carrier: Some(carrier), carrier_call_id: id };
            report(served, claim, event).await
        }
        None => {
            exchange.keep_unknown(Some(&carrier), &carrier_call_id, &event);
            Err(not_taken(&NotTaken::Unknown))
        }
    }
}

/// The voice webhook or a document failed, says Twilio. A call that has a decision keeps it, unless that is what failed.
async fn fallback(served: &Served, admitted: Admitted) -> Result<Answer, Problem> {
    let asked = twilio::fallback(&admitted.form).map_err(invalid)?;
    let failed = Failed::of(asked.error_url.as_deref());
    let key = admitted.key(&asked.request.carrier_call_id);
    crate::telemetry::event::fallback_asked(asked.error_code);
    let exchange = &served.worker.exchange;
    if failed == Failed::Done {
        return Ok(xml(twiml::hangup().into()));
    }
    let told = admitted.form.get("DialCallStatus").is_some();
    let Some(call) = exchange.state.calls.find(&key).await else {
        // It had a decision, before a restart say: who may have talked already is not sent to somebody else.
        let dial = twilio::dial(&admitted.form).map_err(invalid)?;
        let goes_on = failed == Failed::First || told && dial.end.cause != Cause::Normal;
        if !goes_on || dial.caller == CallerLeg::Gone {
            let end = end_of(&dial, admitted.arrived);
            return Ok(unknown(served, &admitted, &key.carrier_call_id, end, dial.caller));
        }
        let (in_force, carrier) = (Arc::clone(&admitted.in_force), admitted.carrier);
        let decided = served.worker.decide(
            &served.beside,
            in_force,
            carrier,
            asked.request,
            Asking::Fallback,
            admitted.arrived,
        );
        return match decided.await {
            Ok((answer, _)) => Ok(document(&answer)),
            Err(_) => Ok(xml(twiml::sorry().into())),
        };
    };
    let claim = Claim {
        call,
        token: None,
        carrier: Some(key.carrier.clone()),
        carrier_call_id: Some(key.carrier_call_id.clone()),
    };
    if let Failed::After(step) = failed
        && !asked.unusable
        && !exchange.state.calls.has_answer(call, failed.step())
    {
        // What the `Dial` came to was never told us. Where this request tells it, it is as good as that one.
        let report = twilio::dial(&admitted.form).map_err(invalid)?;
        return match told {
            true => next(served, &admitted, claim, &report, step).await,
            false => Ok(xml(twiml::sorry().into())),
        };
    }
    let step = failed.step();
    if asked.unusable {
        return instead(served, &admitted, claim, asked.request.caller, step).await;
    }
    match exchange.state.calls.answer(&key, call, step).await {
        Some(answer) => Ok(document(&answer)),
        None => Ok(xml(twiml::sorry().into())),
    }
}

/// The document of this step was of no use: its attempt is given up, and the static answer takes its place.
async fn instead(
    served: &Served,
    admitted: &Admitted,
    claim: Claim,
    caller: CallerLeg,
    step: u32,
) -> Result<Answer, Problem> {
    let kind = EventKind::Ended { cause: Cause::Failed, ended_by: EndedBy::Exchange, talk_ms: None };
    let event = CallEvent { attempt: None, at: admitted.arrived, kind };
    let detail = "the document was of no use to the carrier".to_owned();
    let report = StepReport { step, caller, ends: vec![StepEnd { attempt: None, leg: None, event, detail }] };
    match served.worker.next(claim, report, Asking::Fallback, admitted.arrived).await {
        Ok(answer) => Ok(document(&answer)),
        Err(_) => Ok(xml(twiml::sorry().into())),
    }
}

/// A message was left.
async fn done(served: &Served, admitted: Admitted, call: &str) -> Result<Answer, Problem> {
    let call_sid = admitted.form.get("CallSid").unwrap_or("").to_owned();
    let claim = admitted.claim(call, &call_sid)?;
    let event = CallEvent { attempt: None, at: admitted.arrived, kind: EventKind::Noted };
    let seconds = admitted.form.get("RecordingDuration").unwrap_or("0");
    let detail = format!("message of {} s", seconds.parse::<u32>().unwrap_or(0));
    let event = CarrierEvent { event_id: "done".to_owned(), kind: "recording", event, detail, leg: None };
    match report(served, claim, event).await {
        Err(problem) if problem.status == 403 => Err(problem),
        _ => Ok(xml(twiml::hangup().into())),
    }
}

async fn report(served: &Served, claim: Claim, event: CarrierEvent) -> Result<Answer, Problem> {
    let exchange = &served.worker.exchange;
    let (carrier, call) = (claim.carrier.clone(), claim.call);
    match Arc::clone(exchange).report(claim, event.clone()).await {
        Ok(()) => Ok(nothing()),
        Err(NotTaken::Unknown) => {
            exchange.keep_unknown(carrier.as_ref(), &call.to_string(), &event);
            Err(not_taken(&NotTaken::Unknown))
        }
        Err(refused @ (NotTaken::WrongToken | NotTaken::OtherCarrier)) => Err(forbidden(&refused)),
        Err(refused) => Err(not_taken(&refused)),
    }
}

/// Which document failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    /// The first one, or nobody says which.
    First,
    /// The one that a `Dial` of this step asked for.
    After(u32),
    /// The one after a message: nothing is to be done any more.
    Done,
}

impl Failed {
    fn of(error_url: Option<&str>) -> Failed {
        let path = error_url.and_then(|url| url.split(['?', '#']).next()).unwrap_or("");
        let mut segments = path.rsplit('/');
        let (last, before, dial) = (segments.next(), segments.next(), segments.next());
        match (dial, last.and_then(|step| step.parse().ok())) {
            (Some("dial"), Some(step)) if step > 0 => Failed::After(step),
            _ if before == Some("done") => Failed::Done,
            _ => Failed::First,
        }
    }

    fn step(self) -> u32 {
        match self {
            Failed::First | Failed::Done => 1,
            Failed::After(step) => step.saturating_add(1),
        }
    }
}

fn number(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| not_taken(&NotTaken::NoStep))
}

fn foreign() -> Problem {
    forbidden(&NotTaken::WrongToken)
}

/// To a carrier that is known by its signature, a token or a call of somebody else is forbidden, not unknown.
fn forbidden(why: &NotTaken) -> Problem {
    let what = match why {
        NotTaken::WrongToken => "The URL does not carry the call's token.",
        _ => "The call is another carrier's, or goes by another CallSid.",
    };
    Problem::new(Code::Forbidden, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_document_is_told_by_its_url() {
        let call = "00000000000000000000000007";
        let table = [
            (None, Failed::First),
            (Some("https://x.example/twilio/voice"), Failed::First),
            (Some(&*format!("https://x.example/twilio/dial/{call}/2?token=0a#rt=4000")), Failed::After(2)),
            (Some(&*format!("https://x.example/a/twilio/dial/{call}/0?token=0a")), Failed::First),
            (Some("https://x.example/twilio/dial/2"), Failed::First),
            (Some(&*format!("https://x.example/twilio/done/{call}?token=0a")), Failed::Done),
            (Some("https://x.example/done/twilio/voice"), Failed::First),
            (Some("nonsense"), Failed::First),
        ];
        for (url, expected) in table {
            assert_eq!(Failed::of(url), expected, "{url:?}");
        }
        assert_eq!((Failed::First.step(), Failed::After(2).step()), (1, 3));
    }
}
