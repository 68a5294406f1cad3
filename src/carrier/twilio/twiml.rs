//! Answers as TwiML: one document per step, with one target or those that ring at once.
//!
//! Every document ends the call or names the URL that is asked next, never its own: Twilio's default action is the URL
//! the document came from, which would ask for another call. Elements and attributes are those of Twilio's own
//! libraries; the tests rebuild every document with one.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::carrier::{Action, CallerLeg, CarrierReply, DialTarget, SCREEN_DIGIT, SCREEN_SAY, SCREEN_WAIT_S};
use crate::domain::{Address, CallId, HangupCause};

/// The content type of every document.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// Twilio rings about this much longer than it is told to.
const RINGS_LONGER_S: u64 = 5;
/// Shortest and longest `timeout` it takes.
const TIMEOUT_S: (u64, u64) = (5, 600);
/// Longest `timeLimit` every account may have.
const TIME_LIMIT_MAX_S: u64 = 14_400;
/// Silence that ends a message.
const SILENCE_S: &str = "5";
/// Longest message.
const MESSAGE_MAX_S: &str = "180";

/// Where a document lets Twilio come back to.
#[derive(Clone, Copy, Debug)]
pub struct Callbacks<'a> {
    /// The carrier's public URL, without a trailing slash.
    pub base: &'a str,
    /// The call's token: the permission to report on it.
    pub token: u128,
}

impl Callbacks<'_> {
    /// Asked when a `Dial` is over: what now?
    fn dial(&self, call: CallId, step: u32) -> String {
        format!("{}/twilio/dial/{call}/{step}?token={:032x}", self.base, self.token)
    }

    /// Told what becomes of an attempt's leg.
    fn leg(&self, call: CallId, attempt: u32) -> String {
        format!("{}/twilio/leg/{call}/{attempt}?token={:032x}", self.base, self.token)
    }

    /// Asked when the leg of a screened attempt is answered, and again when a digit was pressed there.
    pub fn screen(&self, call: CallId, attempt: u32) -> String {
        format!("{}/twilio/screen/{call}/{attempt}?token={:032x}", self.base, self.token)
    }

    /// Asked when a message was left: nothing is to be done any more.
    fn done(&self, call: CallId) -> String {
        format!("{}/twilio/done/{call}?token={:032x}", self.base, self.token)
    }
}

/// The document of an answer. Only a caller whose call was never answered can be rejected, and one who is gone hears nothing.
///
/// ```xml
/// <Response><Dial action="https://…/twilio/dial/01J…/1?token=…" timeout="15" answerOnBridge="true" timeLimit="3600"
///   callerId="+15125550123"><Number statusCallback="https://…/twilio/leg/01J…/1?token=…"
///   statusCallbackEvent="initiated ringing answered completed">+15125550999</Number></Dial></Response>
/// ```
pub fn reply(reply: &CarrierReply, callbacks: &Callbacks<'_>) -> Vec<u8> {
    match &reply.action {
        Action::Dial(_) | Action::DialAll(_) => dial(reply, callbacks),
        Action::Voicemail(greeting) => voicemail(greeting, &callbacks.done(reply.call_id)),
        Action::Message(text) => say_and_hang_up(text),
        Action::Hangup(cause) => match (cause, reply.caller) {
            (_, CallerLeg::Gone) => empty(),
            (HangupCause::Normal, _) | (_, CallerLeg::Answered) => hangup(),
            (HangupCause::Busy, CallerLeg::Ringing) => reject("busy"),
            (
                HangupCause::Rejected | HangupCause::Unallocated | HangupCause::Congestion,
                CallerLeg::Ringing,
            ) => reject("rejected"),
        },
    }
}

/// Nothing to do: the answer to what only reports, and to a caller who is gone.
pub fn empty() -> Vec<u8> {
    document(|_| Ok(()))
}

/// Hang up.
pub fn hangup() -> Vec<u8> {
    document(|out| verb(out, "Hangup"))
}

/// What a caller hears when we are at fault.
pub fn sorry() -> Vec<u8> {
    say_and_hang_up("We are sorry, your call cannot be taken right now. Please call again later.")
}

/// What is heard by whoever picks up where a call is screened, before the caller is connected; `action` is asked with the
/// digit. Who presses nothing is hung up on.
pub fn screen(action: &str) -> Vec<u8> {
    document(|out| {
        out.create_element("Gather")
            .with_attribute(("numDigits", SCREEN_DIGIT.len().to_string().as_str()))
            .with_attribute(("timeout", SCREEN_WAIT_S.to_string().as_str()))
            .with_attribute(("action", action))
            .write_inner_content(|out| say(out, SCREEN_SAY))?;
        verb(out, "Hangup")
    })
}

type Out = Writer<Vec<u8>>;

fn dial(reply: &CarrierReply, callbacks: &Callbacks<'_>) -> Vec<u8> {
    let targets = reply.action.targets();
    let (shortest, longest) = TIMEOUT_S;
    // There is one for all that ring at once: nobody's time is cut short.
    let ring_s = targets.iter().map(|target| target.ring_s).max().unwrap_or_default();
    let timeout = ring_s.saturating_sub(RINGS_LONGER_S).clamp(shortest, longest);
    let limit = reply.max_talk_s.clamp(1, TIME_LIMIT_MAX_S);
    document(|out| {
        let mut dial = out
            .create_element("Dial")
            .with_attribute(("action", callbacks.dial(reply.call_id, reply.step).as_str()))
            .with_attribute(("timeout", timeout.to_string().as_str()))
            .with_attribute(("answerOnBridge", "true"))
            .with_attribute(("timeLimit", limit.to_string().as_str()));
        if let Some(number) = targets.first().and_then(|target| target.caller_id) {
            dial = dial.with_attribute(("callerId", number.reveal().as_str()));
        }
        dial.write_inner_content(|out| {
            targets.iter().try_for_each(|target| noun(out, reply, target, callbacks))
        })?;
        Ok(())
    })
}

/// One who is rung.
fn noun(
    out: &mut Out,
    reply: &CarrierReply,
    target: &DialTarget,
    callbacks: &Callbacks<'_>,
) -> io::Result<()> {
    let noun = match &target.address {
        Address::Number(_) => "Number",
        Address::Sip(_) => "Sip",
    };
    let mut noun = out.create_element(noun);
    if target.screen {
        noun = noun.with_attribute(("url", callbacks.screen(reply.call_id, target.attempt).as_str()));
    }
    noun.with_attribute(("statusCallback", callbacks.leg(reply.call_id, target.attempt).as_str()))
        .with_attribute(("statusCallbackEvent", "initiated ringing answered completed"))
        .write_text_content(BytesText::new(&sayable(&target.address.reveal())))?;
    Ok(())
}

/// The last verb is for a caller who said nothing: then the action is not asked.
fn voicemail(greeting: &str, done: &str) -> Vec<u8> {
    document(|out| {
        say(out, greeting)?;
        out.create_element("Record")
            .with_attribute(("action", done))
            .with_attribute(("timeout", SILENCE_S))
            .with_attribute(("finishOnKey", "#"))
            .with_attribute(("maxLength", MESSAGE_MAX_S))
            .with_attribute(("playBeep", "true"))
            .with_attribute(("trim", "trim-silence"))
            .write_empty()?;
        verb(out, "Hangup")
    })
}

fn say_and_hang_up(text: &str) -> Vec<u8> {
    document(|out| {
        say(out, text)?;
        verb(out, "Hangup")
    })
}

fn reject(reason: &str) -> Vec<u8> {
    document(|out| {
        out.create_element("Reject").with_attribute(("reason", reason)).write_empty()?;
        Ok(())
    })
}

fn say(out: &mut Out, text: &str) -> io::Result<()> {
    out.create_element("Say").write_text_content(BytesText::new(&sayable(text)))?;
    Ok(())
}

fn verb(out: &mut Out, name: &str) -> io::Result<()> {
    out.create_element(name).write_empty()?;
    Ok(())
}

fn document(verbs: impl FnOnce(&mut Out) -> io::Result<()>) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    let written = out
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
        .and_then(|()| out.create_element("Response").write_inner_content(verbs).map(drop));
    written.expect("writing to memory does not fail");
    out.into_inner()
}

/// Text without what XML cannot hold, escaped or not.
fn sayable(text: &str) -> String {
    let fits = |c: char| !matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if fits(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests;
