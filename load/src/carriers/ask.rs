//! Questions of a call and their answers, in whatever dialect: asked, asked again to compare, counted, kept.
//!
//! How a question is worded and an answer read is for the dialect, which gives a [`Reader`].

use std::borrow::Cow;
use std::time::Instant;

use super::call::Call;
use super::figures::Took;
use crate::client::{Answer, Fault};
use crate::sent::{End, Report, Step, Target, Told};

/// The kind of an answer that is not what the carrier contract says.
pub(super) const BAD_ANSWER: &str = "bad_answer";

/// A request to be sent.
pub(super) struct Question<'a> {
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) content_type: &'static str,
    pub(super) body: &'a [u8],
}

/// What an answer tells a carrier, whatever the dialect.
#[derive(Debug, Default)]
pub(super) struct Verdict<'a> {
    pub(super) step: u32,
    pub(super) call_id: Option<Cow<'a, str>>,
    pub(super) action: Cow<'a, str>,
    pub(super) basis: Cow<'a, str>,
    pub(super) reason: Cow<'a, str>,
    pub(super) targets: Vec<VerdictTarget<'a>>,
}

#[derive(Debug)]
pub(super) struct VerdictTarget<'a> {
    pub(super) attempt: u32,
    pub(super) address: Cow<'a, str>,
    pub(super) ring_s: Option<u64>,
}

/// Reads an answer, or says which kind of error it is.
pub(super) type Reader = fn(&Answer) -> Result<Verdict<'_>, &'static str>;

impl Call {
    /// Asks the first question, twice if the draws say so. None when there was no valid answer to it.
    pub(super) async fn ask_first(
        &mut self,
        due: Instant,
        question: &Question<'_>,
        read: Reader,
    ) -> Option<Answer> {
        let twice = self.chance.hits(self.floor.plan.rates.duplicate_route_bps);
        let at_once = twice && self.chance.hits(5_000);
        self.note_sent(due);
        if at_once {
            // On the heap: few calls need it, and each would carry it along.
            let both = async { tokio::join!(self.ask(question), self.ask(question)) };
            let (answer, twin) = Box::pin(both).await;
            self.note_twin(&answer, &twin, read);
            return self.take_first(due, answer, read);
        }
        let answer = self.ask(question).await;
        if !twice {
            return self.take_first(due, answer, read);
        }
        let told = self.take_first(due, answer.clone(), read);
        let twin = Box::pin(self.ask(question)).await;
        self.note_twin(&answer, &twin, read);
        told
    }

    /// Asks a further question, twice if the draws say so.
    pub(super) async fn ask_on(
        &mut self,
        question: &Question<'_>,
        read: Reader,
        duplicate_bps: u32,
    ) -> Option<Answer> {
        self.floor.count(|counts| counts.next_steps += 1);
        let asked = Instant::now();
        let answer = self.ask(question).await;
        let is_valid = match self.read(&answer, read) {
            Some(verdict) => {
                self.note_asked_on(Report::Acknowledged, asked, &answer);
                self.note_step(&verdict, &answer);
                true
            }
            None => {
                self.note_asked_on(Report::Refused, asked, &answer);
                false
            }
        };
        if self.chance.hits(duplicate_bps) {
            let twin = self.ask(question).await;
            self.note_twin(&answer, &twin, read);
        }
        answer.ok().filter(|_| is_valid)
    }

    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Fault> {
        let Question { url, headers, content_type, body } = question;
        self.floor.client.send(url, headers, content_type, body).await
    }

    fn note_sent(&mut self, due: Instant) {
        self.floor.tally().sent(due.elapsed(), self.floor.second());
        if let Some(record) = &mut self.record {
            record.due_us = self.floor.epoch_us(due);
            record.sent_us = self.floor.epoch_us(Instant::now());
        }
    }

    /// Counts the first answer, and gives it back if it is one.
    fn take_first(&mut self, due: Instant, answer: Result<Answer, Fault>, read: Reader) -> Option<Answer> {
        self.permit = None;
        if let (Some(record), Ok(answer)) = (&mut self.record, &answer) {
            record.status = answer.status;
            record.answered_us = Some(self.floor.epoch_us(answer.at));
        }
        let verdict = match kind_or_verdict(&answer, read) {
            Ok(verdict) => verdict,
            Err(kind) => {
                self.floor.tally().error(kind);
                if let Some(record) = &mut self.record {
                    record.fault = Some(kind.into());
                }
                return None;
            }
        };
        if let Ok(answer) = &answer {
            let took = Took {
                from_due: answer.at.saturating_duration_since(due),
                from_sent: answer.at.saturating_duration_since(answer.sent),
                added: self.floor.trace.added(self.number, answer.at),
            };
            self.floor.tally().answered(&verdict.action, &verdict.basis, took, self.floor.second());
        }
        if let (Some(record), Some(id)) = (&mut self.record, &verdict.call_id) {
            record.call_id = Some(id.as_ref().into());
        }
        self.note_step(&verdict, &answer);
        answer.ok()
    }

    /// Compares two valid answers. A second one that is not valid is counted by its kind.
    fn note_twin(&mut self, answer: &Result<Answer, Fault>, twin: &Result<Answer, Fault>, read: Reader) {
        let is_valid = self.read(twin, read).is_some();
        let (mut compared, mut differs) = (false, false);
        if let (true, Ok(answer), Ok(twin)) = (is_valid, answer, twin)
            && answer.status == twin.status
        {
            (compared, differs) = (true, answer.body != twin.body);
        }
        self.floor.count(|counts| {
            counts.routes_duplicated += 1;
            counts.routes_differing += u64::from(differs);
        });
        if let Some(record) = &mut self.record {
            record.repeats += u32::from(compared);
            record.repeats_differ += u32::from(differs);
        }
    }

    /// The answer, if it is one; else its kind is counted.
    fn read<'a>(&self, answer: &'a Result<Answer, Fault>, read: Reader) -> Option<Verdict<'a>> {
        kind_or_verdict(answer, read).map_err(|kind| self.floor.tally().error(kind)).ok()
    }

    fn note_step(&mut self, verdict: &Verdict<'_>, answer: &Result<Answer, Fault>) {
        let moment =
            |at: fn(&Answer) -> Instant| answer.as_ref().map_or(0, |answer| self.floor.epoch_us(at(answer)));
        let (asked_us, answered_us) = (moment(|answer| answer.sent), moment(|answer| answer.at));
        let (Some(record), Some(mut keep)) = (&mut self.record, self.floor.keep()) else { return };
        let target = |target: &VerdictTarget<'_>| Target {
            attempt: target.attempt,
            address: target.address.to_string(),
            ring_s: target.ring_s,
        };
        let told = keep.told(Told {
            action: verdict.action.to_string(),
            basis: verdict.basis.to_string(),
            reason: verdict.reason.to_string(),
            targets: verdict.targets.iter().map(target).collect(),
        });
        record.steps.push(Step { step: verdict.step, told, asked_us, answered_us, ends: Vec::new() });
    }

    /// Keeps how an attempt of the step in progress ended.
    pub(super) fn note_end(&mut self, end: End) {
        if let Some(step) = self.record.as_mut().and_then(|record| record.steps.last_mut()) {
            step.ends.push(end);
        }
    }

    /// Changes what was kept last of an attempt.
    pub(super) fn amend_end(&mut self, change: impl FnOnce(&mut End)) {
        let step = self.record.as_mut().and_then(|record| record.steps.last_mut());
        if let Some(end) = step.and_then(|step| step.ends.last_mut()) {
            change(end);
        }
    }

    fn note_asked_on(&mut self, report: Report, asked: Instant, answer: &Result<Answer, Fault>) {
        let told_us = self.floor.epoch_us(asked);
        let taken_us = answer.as_ref().ok().filter(|_| report == Report::Acknowledged);
        let taken_us = taken_us.map(|answer| self.floor.epoch_us(answer.at));
        if let Some(step) = self.record.as_mut().and_then(|record| record.steps.last_mut()) {
            for end in &mut step.ends {
                end.asked_on = report;
                end.taken_us = end.taken_us.or(taken_us);
                if end.ended != Report::Unsent {
                    end.told_us = end.told_us.or(Some(told_us));
                }
            }
        }
    }

    /// Keeps what became of the report that the call is over.
    pub(super) fn note_over(&mut self, report: Report) {
        if let Some(record) = &mut self.record {
            record.over = Some(report);
        }
    }
}

fn kind_or_verdict(answer: &Result<Answer, Fault>, read: Reader) -> Result<Verdict<'_>, &'static str> {
    read(answer.as_ref().map_err(|fault| fault.label())?)
}

/// The kind of an error that has this status.
pub(super) fn status_kind(status: u16) -> &'static str {
    match status {
        429 => "http_429",
        503 => "http_503",
        400..=499 => "http_4xx",
        500..=599 => "http_5xx",
        _ => "http_other",
    }
}
