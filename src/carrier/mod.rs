//! Carriers' bytes and the domain: one file per dialect, no I/O. Only these files know what a carrier needs to hear.
//!
//! The generic JSON is the canonical model; every other dialect is a translation of it.

pub mod generic;
pub mod twilio;

use crate::call::event::CallEvent;
use crate::domain::{Address, CallId, E164, HangupCause, Reason, Tags, Tail, Timestamp, Verified};

/// What a carrier asks.
#[derive(Clone, Debug, PartialEq)]
pub struct CarrierRequest {
    /// Its name for the call.
    pub carrier_call_id: String,
    /// What was dialled.
    pub to: Address,
    /// Who dials; `None` when withheld or not a valid number.
    pub from: Option<E164>,
    /// The caller does not want its number known.
    pub withheld: bool,
    /// How text that spells the caller's number is known: of whatever came as one, withheld or not valid included.
    pub tail: Option<Tail>,
    /// The publisher's label for the call, if the carrier passes one on.
    pub sub_id: Option<String>,
    /// Two-letter state as the carrier says.
    pub state: Option<String>,
    /// ZIP as the carrier says.
    pub zip: Option<String>,
    /// Attestation that is claimed for the caller's number: `A`, `B` or `C`.
    pub stir: Option<String>,
    /// What came of verifying it.
    pub stir_verified: Verified,
    /// Whether consent comes with the call.
    pub consent: bool,
    /// Never billed, dials no live target.
    pub test: bool,
    /// Where the caller is.
    pub caller: CallerLeg,
    /// Free attributes.
    pub tags: Tags,
}

/// The caller's side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerLeg {
    /// It was never answered: it can be rejected, and the caller hears ringing.
    Ringing,
    /// It was answered.
    Answered,
    /// The caller hung up; nothing we answer is heard.
    Gone,
}

/// What a carrier says when it asks for the next step of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The step that is over.
    pub step: u32,
    /// Where the caller is.
    pub caller: CallerLeg,
    /// How attempts of it ended, where the carrier says so.
    pub ends: Vec<StepEnd>,
}

/// The end of one attempt, as the carrier tells it when it asks for the next step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEnd {
    /// The attempt; `None` is the one of that step, or whichever of those that rang at once it turns out to be.
    pub attempt: Option<u32>,
    /// The carrier's name of the leg that it speaks of, where it names no attempt.
    pub leg: Option<String>,
    /// The end as the call machine takes it.
    pub event: CallEvent,
    /// Cause, talk time and originator as text.
    pub detail: String,
}

/// What the exchange answers.
#[derive(Clone, Debug, PartialEq)]
pub struct CarrierReply {
    /// The call.
    pub call_id: CallId,
    /// The step.
    pub step: u32,
    /// What to do.
    pub action: Action,
    /// What the answer rests on: `auction static quote redial terminal`.
    pub basis: &'static str,
    /// Why.
    pub reason: Reason,
    /// Until when the answer may be acted on.
    pub valid_until: Timestamp,
    /// Longest talk, in seconds.
    pub max_talk_s: u64,
    /// Where the caller is.
    pub caller: CallerLeg,
    /// What the call's URLs carry; `None` when there is nothing to report and nothing follows.
    pub token: Option<u128>,
    /// From the request read to the answer ready, in microseconds.
    pub decided_us: u64,
}

/// What a carrier is told to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ring this target.
    Dial(DialTarget),
    /// Ring these at once; one of them takes the call.
    DialAll(Vec<DialTarget>),
    /// Let the caller leave a message after this greeting.
    Voicemail(String),
    /// Say this, then hang up.
    Message(String),
    /// Hang up.
    Hangup(HangupCause),
}

impl Action {
    /// The word of the contract.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Action::Dial(_) | Action::DialAll(_) => "dial",
            Action::Voicemail(_) => "voicemail",
            Action::Message(_) => "message",
            Action::Hangup(_) => "hangup",
        }
    }

    /// Who is rung.
    pub fn targets(&self) -> &[DialTarget] {
        match self {
            Action::Dial(target) => std::slice::from_ref(target),
            Action::DialAll(targets) => targets,
            Action::Voicemail(_) | Action::Message(_) | Action::Hangup(_) => &[],
        }
    }
}

/// What whoever picks up has to press where a call is screened.
pub const SCREEN_DIGIT: &str = "1";
/// What it hears.
pub const SCREEN_SAY: &str = "You have a call. Press 1 to take it.";
/// How long the digit is waited for after that, in seconds.
pub const SCREEN_WAIT_S: u64 = 8;

/// One target to ring.
#[derive(Clone, Debug, PartialEq)]
pub struct DialTarget {
    /// Number of the attempt within the call.
    pub attempt: u32,
    /// Where.
    pub address: Address,
    /// `buyer`, or `terminal` for the plan's own fallback destination.
    pub role: &'static str,
    /// How long to ring, in seconds.
    pub ring_s: u64,
    /// Number shown to the target.
    pub caller_id: Option<E164>,
    /// Whoever picks up takes the call only by pressing a digit.
    pub screen: bool,
}
