//! What a carrier sent and heard, call by call: the one side of the comparison with an exchange's own records.
//!
//! Records are bounded in number, and what does not fit is counted. Equal answers are kept once. Nothing here compares.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Different texts, and different answers, kept once; more are kept with each call that has them.
const MAX_SHARED: usize = 65_536;
/// Longest line read, in bytes.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// One call, as its carrier knows it. Times are µs of the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The call's number: its tag `load_call`.
    pub number: u64,
    pub carrier: Arc<str>,
    pub carrier_call_id: Box<str>,
    /// The tracking number dialled.
    pub to: Arc<str>,
    /// When it was to be sent, and when it was.
    pub due_us: u64,
    pub sent_us: u64,
    /// When the first answer was read whole.
    pub answered_us: Option<u64>,
    /// HTTP status of the first answer; 0 when none came.
    pub status: u16,
    /// Why the first answer was none: the kinds of [`Snapshot::errors`](crate::carriers::Snapshot::errors).
    pub fault: Option<Cow<'static, str>>,
    /// The exchange's name for the call, where the dialect tells it.
    pub call_id: Option<Box<str>>,
    pub steps: Vec<Step>,
    /// Requests sent twice of purpose and answered with the same status, and those whose answers had other bytes.
    pub repeats: u32,
    pub repeats_differ: u32,
    /// What became of the report that the caller is gone; none where the carrier had nothing of the kind to say.
    pub over: Option<Report>,
    /// The run was stopped in the middle of the call.
    pub cut_off: bool,
}

/// One answer and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// 0 where the dialect does not tell.
    pub step: u32,
    pub told: Arc<Told>,
    /// When it was asked for, and when it was read whole.
    pub asked_us: u64,
    pub answered_us: u64,
    /// Of each attempt that was dialled and came to an end.
    pub ends: Vec<End>,
}

/// What an answer said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub action: String,
    /// Empty where the dialect does not tell.
    pub basis: String,
    pub reason: String,
    pub targets: Vec<Target>,
}

/// Who is to be rung.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// 0 where the dialect does not tell: Twilio's attempts are counted by [`End::attempt`].
    pub attempt: u32,
    pub address: String,
    pub ring_s: Option<u64>,
}

/// How an attempt ended, and what the exchange was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    pub attempt: u32,
    /// In the words of the carrier contract, whatever the dialect.
    pub cause: Cow<'static, str>,
    pub ended_by: Cow<'static, str>,
    /// How long they talked, in the call's own time.
    pub talked_ms: u64,
    /// The talk time that was stated; none when it was left out.
    pub talk_ms: Option<u64>,
    /// The report that somebody picked up; none when nobody did. Likewise that they were bridged.
    pub answered: Option<Report>,
    pub bridged: Option<Report>,
    /// The report of the end. Twilio has none of its own, nor one of the bridging: both are told with the question.
    pub ended: Report,
    /// The question what now, which tells the end too: unsent when it was not asked, refused when no valid answer came.
    pub asked_on: Report,
    /// From when on the exchange may know of the end, and from when on it does. Of Twilio only the latter.
    pub told_us: Option<u64>,
    pub taken_us: Option<u64>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The exchange said that it has it.
    Acknowledged,
    /// Refused, or never acknowledged in all tries.
    Refused,
    /// Never sent, of purpose.
    Lost,
    /// There was nowhere to send it, or the run ended first.
    Unsent,
}

/// The records of a run.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    limit: usize,
    calls: Vec<Sent>,
    overflow: u64,
    told: HashSet<Arc<Told>>,
    texts: HashMap<String, Arc<str>>,
}

impl Keep {
    pub(crate) fn new(limit: usize) -> Keep {
        Keep { limit, ..Keep::default() }
    }

    /// One copy of equal texts.
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let kept: Arc<str> = text.into();
        if self.texts.len() < MAX_SHARED {
            self.texts.insert(text.to_owned(), kept.clone());
        }
        kept
    }

    /// One copy of equal answers.
    pub(crate) fn told(&mut self, told: Told) -> Arc<Told> {
        if let Some(known) = self.told.get(&told) {
            return known.clone();
        }
        let kept = Arc::new(told);
        if self.told.len() < MAX_SHARED {
            self.told.insert(kept.clone());
        }
        kept
    }

    /// Keeps a call, or counts that there was no room.
    pub(crate) fn push(&mut self, mut call: Sent) {
        if self.calls.len() >= self.limit {
            self.overflow += 1;
            return;
        }
        call.steps.shrink_to_fit();
        self.calls.push(call);
    }

    /// The calls so far, which are forgotten, and how many did not fit.
    pub(crate) fn take(&mut self) -> (Vec<Sent>, u64) {
        (std::mem::take(&mut self.calls), std::mem::take(&mut self.overflow))
    }
}

/// Writes one call a line.
pub fn write(out: &mut impl Write, calls: &[Sent]) -> io::Result<()> {
    for call in calls {
        serde_json::to_writer(&mut *out, call)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads what [`write()`] wrote. An error says which line is wrong.
pub fn read(mut from: impl BufRead) -> io::Result<Vec<Sent>> {
    let mut calls = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = (MAX_LINE_BYTES + 1) as u64;
        let bytes = io::Read::take(&mut from, limit).read_until(b'\n', &mut line)?;
        if bytes == 0 {
            return Ok(calls);
        }
        let wrong = |what: String| {
            let at = calls.len() + 1;
            io::Error::new(io::ErrorKind::InvalidData, format!("line {at} is no record of a call: {what}"))
        };
        if bytes > MAX_LINE_BYTES {
            return Err(wrong(format!("longer than {MAX_LINE_BYTES} bytes")));
        }
        let call = serde_json::from_slice(&line).map_err(|error| wrong(error.to_string()))?;
        calls.push(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u64, keep: &mut Keep) -> Sent {
        let target = Target { attempt: 1, address: "+15125550900".to_owned(), ring_s: Some(20) };
        let told = Told {
            action: "dial".to_owned(),
            basis: "auction".to_owned(),
            reason: "won".to_owned(),
            targets: vec![target],
        };
        Sent {
            number,
            carrier: keep.text("sw"),
            carrier_call_id: format!("sw-run-{number}").into(),
            to: keep.text("+18005550100"),
            call_id: Some("01M7Z03MQHEBFSQEGHGJ3H6E58".into()),
            steps: vec![Step {
                step: 1,
                told: keep.told(told),
                asked_us: 1,
                answered_us: 7,
                ends: Vec::new(),
            }],
            answered_us: Some(7),
            status: 200,
            ..Sent::default()
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_a_wrong_line_is_named() {
        let mut keep = Keep::new(9);
        let mut first = call(1, &mut keep);
        first.steps[0].ends.push(End {
            attempt: 1,
            cause: "normal".into(),
            ended_by: "caller".into(),
            talked_ms: 95_000,
            talk_ms: None,
            answered: Some(Report::Acknowledged),
            bridged: Some(Report::Lost),
            ended: Report::Refused,
            asked_on: Report::Unsent,
            told_us: Some(9),
            taken_us: None,
        });
        let second = Sent { fault: Some("http_503".into()), cut_off: true, ..Sent::default() };
        let calls = vec![first, second];
        let mut text = Vec::new();
        write(&mut text, &calls).unwrap();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(read(&text[..]).unwrap(), calls);
        text.extend_from_slice(b"{\"number\":true}\n");
        let error = read(&text[..]).unwrap_err().to_string();
        assert!(error.starts_with("line 3 is no record of a call: "), "{error}");
        let endless = vec![b' '; MAX_LINE_BYTES + 2];
        assert!(read(&endless[..]).unwrap_err().to_string().contains("longer than"));
    }

    #[test]
    fn equal_answers_are_kept_once_and_what_does_not_fit_is_counted() {
        let mut keep = Keep::new(2);
        for number in 1..=3 {
            let call = call(number, &mut keep);
            keep.push(call);
        }
        let (calls, overflow) = keep.take();
        assert_eq!((calls.len(), overflow), (2, 1));
        assert!(Arc::ptr_eq(&calls[0].steps[0].told, &calls[1].steps[0].told));
        assert!(Arc::ptr_eq(&calls[0].to, &calls[1].to));
        assert_eq!(keep.take(), (Vec::new(), 0));
    }

    #[test]
    fn a_call_that_was_only_routed_is_small() {
        let call = call(1_000_000, &mut Keep::new(1));
        // What the allocator hands out: 8 bytes more, in steps of 16.
        let block = |bytes: usize| (bytes + 8).next_multiple_of(16);
        let ids = block(call.carrier_call_id.len()) + block(26);
        let whole = size_of::<Sent>() + ids + block(call.steps.capacity() * size_of::<Step>());
        assert!(whole <= 320, "{whole} bytes, {} of them its own", size_of::<Sent>());
    }
}
