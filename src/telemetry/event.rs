//! Operational facts: say what happened, once; names and labels live here only.
//!
//! Each function is one fact. What an operator must act on is also logged; what merely happens is counted. No number of
//! a caller, token or body goes into either.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::stage::{Laps, Stage};
use super::{hot, names as name};
use crate::domain::change::{Dropped, Happened, Noted, Origin};
use crate::domain::{BuyerId, CallerListId, CampaignId, Money, Reason, TargetId};

pub(super) fn campaign_label(campaign: Option<&CampaignId>) -> String {
    campaign.map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// Whether a decision asked anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nobody.
    Nobody,
    /// Buyers, some of them by connections that had to be opened first: how much of it was ours nobody can say.
    Cold,
    /// Buyers, by connections that waited.
    Warm,
}

/// A decision was taken.
pub fn decision_made(
    campaign: Option<&CampaignId>,
    basis: &'static str,
    reason: Reason,
    laps: &Laps,
    asked: Asked,
) {
    hot::count_decision(campaign, basis, reason);
    let Some(series) = hot::fixed() else { return };
    series.decision.record(laps.whole());
    if asked == Asked::Nobody {
        return;
    }
    for stage in Stage::ALL {
        series.stages[stage as usize].record(laps.spent(stage));
    }
    if asked == Asked::Warm {
        series.overhead.record(laps.own());
    }
}

/// Why auctions are shed: `delay` of the worker's queue, too many `decisions` in progress.
pub const SHED_FOR: [&str; 2] = ["delay", "decisions"];

/// A decision whose plan asks buyers asked nobody, since we had too much to do.
pub fn auctions_shed(cause: &'static str) {
    let at = SHED_FOR.iter().position(|one| *one == cause);
    if let (Some(fixed), Some(at)) = (hot::fixed(), at) {
        fixed.shed[at].increment(1);
    }
}

/// A step after the first was taken: what the carrier was told to do, and why.
pub fn step_taken(campaign: Option<&CampaignId>, action: &'static str, reason: Reason) {
    let campaign = campaign_label(campaign);
    counter!(name::STEPS, "campaign" => campaign, "action" => action, "reason" => reason.as_str())
        .increment(1);
}

/// A request got an earlier decision: `waited`, `known` or `conflict`.
pub fn repeated(kind: &'static str) {
    counter!(name::REPEATS, "kind" => kind).increment(1);
}

/// A target's outcome is final.
pub fn outcome(buyer: &BuyerId, reason: Reason) {
    hot::count_outcome(buyer, reason);
}

/// A reply was read to its end.
pub fn ping_replied(buyer: &BuyerId, took: Duration) {
    hot::time_reply(buyer, took);
}

/// A connection to a bid endpoint was opened: `ahead` of need or in an `auction`.
pub fn connection_opened(buyer: &BuyerId, when: &'static str) {
    counter!(name::CONNECTIONS_OPENED, "buyer" => buyer.to_string(), "when" => when).increment(1);
}

/// A connection to a bid endpoint was wanted while too many were being opened.
pub fn connection_not_opened() {
    counter!(name::CONNECTIONS_NOT_OPENED).increment(1);
}

/// Outstanding pings were closed at once because the linger set was full.
pub fn linger_overflow(pings: usize) {
    counter!(name::LINGER_OVERFLOW).increment(pings as u64);
}

/// Whether a target is only probed; told at each start and reload and at every change.
pub fn target_unresponsive(buyer: &BuyerId, target: &TargetId, is_so: bool) {
    gauge!(name::UNRESPONSIVE, "buyer" => buyer.to_string(), "target" => target.to_string())
        .set(f64::from(u8::from(is_so)));
}

/// Auctions stopped waiting for a target.
pub fn unresponsive(buyer: &BuyerId, target: &TargetId, misses: u32) {
    target_unresponsive(buyer, target, true);
    counter!(name::UNRESPONSIVE_CHANGES, "buyer" => buyer.to_string(), "change" => "sidelined").increment(1);
    tracing::warn!(
        buyer.id = %buyer,
        target.id = %target,
        misses,
        "a target answers no ping in time: it is only probed now, and not waited for"
    );
}

/// Auctions wait for a target again.
pub fn responsive_again(buyer: &BuyerId, target: &TargetId, misses: u32) {
    target_unresponsive(buyer, target, false);
    counter!(name::UNRESPONSIVE_CHANGES, "buyer" => buyer.to_string(), "change" => "back").increment(1);
    tracing::info!(buyer.id = %buyer, target.id = %target, misses, "a target answers in time again: it is waited for");
}

/// A name could not be resolved; the last good addresses stay in use for an hour.
pub fn resolve_failed(host: &str, error: &str, is_first: bool) {
    counter!(name::RESOLVE_FAILURES).increment(1);
    if is_first {
        tracing::warn!(endpoint.host = host, error, "a bid endpoint's name cannot be resolved");
    }
}

/// A name that could not be resolved can be again.
pub fn resolved_again(host: &str) {
    tracing::info!(endpoint.host = host, "a bid endpoint's name can be resolved again");
}

/// Twilio asked a number's fallback URL: something of ours failed it.
pub fn fallback_asked(error: Option<u32>) {
    counter!(name::FALLBACKS).increment(1);
    tracing::warn!(twilio.error = error, "Twilio asked the fallback URL");
}

/// A report about a call nobody knows was refused and kept for the operator.
pub fn report_unknown(kind: &'static str) {
    counter!(name::UNKNOWN_REPORTS, "type" => kind).increment(1);
}

/// A carrier's event was taken.
pub fn event_taken(kind: &'static str) {
    counter!(name::EVENTS, "type" => kind).increment(1);
}

/// A call ended, or an end was corrected.
pub fn call_ended(
    campaign: Option<&CampaignId>,
    reason: Reason,
    talk: Option<Duration>,
    revenue: Money,
    payout: Money,
) {
    let campaign = campaign_label(campaign);
    counter!(name::CALLS_ENDED, "campaign" => campaign.clone(), "reason" => reason.as_str()).increment(1);
    if let Some(talk) = talk {
        histogram!(name::TALK_SECONDS).record(talk);
    }
    counter!(name::REVENUE, "campaign" => campaign.clone())
        .increment(u64::try_from(revenue.micros()).unwrap_or(0));
    counter!(name::PAYOUT, "campaign" => campaign).increment(u64::try_from(payout.micros()).unwrap_or(0));
}

/// Nobody reported the end of a call in time.
pub fn hold_expired(call: &str) {
    counter!(name::HOLDS_EXPIRED).increment(1);
    tracing::warn!(call.id = call, "no end was reported: slots freed, capped units kept as unresolved");
}

/// A request was answered with a problem document.
pub fn request_refused(listener: &'static str, code: &'static str) {
    counter!(name::REQUESTS_REFUSED, "listener" => listener, "code" => code).increment(1);
}

/// A connection was closed at once because the listener was full.
pub fn connection_refused(listener: &'static str) {
    counter!(name::CONNECTIONS_REFUSED, "listener" => listener).increment(1);
}

/// Connections open on a listener.
pub fn listener_connections(listener: &'static str, open: usize) {
    gauge!(name::LISTENER_CONNECTIONS, "listener" => listener).set(open as f64);
}

/// Where fences stand: every place `panicked` is told of.
pub const FENCES: [&str; 7] =
    ["prepare", "decide", "finish", "answered_not_recorded", "step", "progress", "sweep"];

/// A fence caught a bug.
pub fn panicked(place: &'static str, what: &str) {
    counter!(name::PANICS, "where" => place).increment(1);
    tracing::error!(place, what, "a bug was caught by its fence");
}

/// A commit was not acknowledged.
pub fn commit_failed(call: &str, error: &str) {
    counter!(name::COMMIT_FAILURES).increment(1);
    tracing::error!(call.id = call, error, "what became of a call is not known to be on disk");
}

/// What journal and store say of their trouble, of what is lost, and of its end.
pub fn records_fault(what: &str) {
    tracing::error!("the records: {what}");
}

/// What writes the journal, and why.
pub fn journal_written_by(backend: &str) {
    tracing::info!("the journal is written by {backend}");
}

/// What a start goes on without, since that was accepted; the next record has this number.
pub fn records_given_up(count: u64, next: u64) {
    gauge!(name::JOURNAL_GIVEN_UP).set(count as f64);
    if count > 0 {
        tracing::warn!(
            records = count,
            "the journal goes on with record {next}: the {count} before it are given up as was asked for"
        );
    }
}

/// A unit of a strict cap was given back, since the journal did not take note of it in time.
pub fn hold_not_durable() {
    counter!(name::HOLDS_NOT_DURABLE).increment(1);
}

/// How the records are doing. `syncs` since the last time, by time taken: at `n`, less than 2^n microseconds.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `names`")]
pub struct RecordLevels {
    pub backend: &'static str,
    pub backend_why: &'static str,
    pub queued: usize,
    pub dropped_bulk: u64,
    pub dropped_money: u64,
    pub records: u64,
    pub bytes: u64,
    pub syncs: [u64; 32],
    pub faults: u64,
    pub poisoned: u64,
    pub snapshots_held_back: u64,
    pub segments: u64,
    pub free: f64,
    pub store_behind: u64,
    pub store_failures: u64,
    pub store_refused: u64,
}

/// Sets what is told of the records.
pub fn record_levels(levels: &RecordLevels) {
    gauge!(name::JOURNAL_BACKEND, "backend" => levels.backend, "why" => levels.backend_why).set(1.0);
    gauge!(name::RECORDS_QUEUED).set(levels.queued as f64);
    counter!(name::RECORDS_DROPPED, "class" => "bulk").absolute(levels.dropped_bulk);
    counter!(name::RECORDS_DROPPED, "class" => "money").absolute(levels.dropped_money);
    counter!(name::JOURNAL_RECORDS).absolute(levels.records);
    counter!(name::JOURNAL_BYTES).absolute(levels.bytes);
    for (bucket, count) in levels.syncs.iter().enumerate() {
        let seconds = (1_u64 << bucket) as f64 / 1e6;
        histogram!(name::JOURNAL_SYNC_SECONDS).record_many(seconds, usize::try_from(*count).unwrap_or(0));
    }
    counter!(name::JOURNAL_FAULTS).absolute(levels.faults);
    counter!(name::JOURNAL_POISONED).absolute(levels.poisoned);
    counter!(name::SNAPSHOTS_HELD_BACK).absolute(levels.snapshots_held_back);
    gauge!(name::JOURNAL_SEGMENTS).set(levels.segments as f64);
    gauge!(name::JOURNAL_FREE).set(levels.free);
    gauge!(name::STORE_BEHIND).set(levels.store_behind as f64);
    counter!(name::STORE_FAILURES).absolute(levels.store_failures);
    counter!(name::STORE_REFUSED).absolute(levels.store_refused);
}

/// The first catalog is in force.
pub fn loaded(digest: &str, at_seconds: i64) {
    gauge!(name::RELOADED_AT).set(at_seconds as f64);
    tracing::info!(catalog.digest = digest, "catalog loaded");
}

/// The catalog was reloaded.
pub fn reloaded(digest: &str, changes: &[String], at_seconds: i64) {
    counter!(name::RELOADS, "result" => "done").increment(1);
    gauge!(name::RELOADED_AT).set(at_seconds as f64);
    for change in changes {
        tracing::info!(change = change.as_str(), "catalog changed");
    }
    tracing::info!(catalog.digest = digest, changes = changes.len(), "catalog reloaded");
}

/// Something was changed at run time, or taken back.
pub fn changed(noted: &Noted) {
    let value = noted.happened.value().map_or_else(|| noted.file.to_string(), |value| value.to_string());
    tracing::info!(
        entity = noted.entity.to_string(),
        key = noted.key.as_str(),
        value,
        file = noted.file.to_string(),
        actor = noted.origin.actor.as_str(),
        by = noted.origin.by.as_deref().unwrap_or(""),
        "{}",
        match noted.happened {
            Happened::Set(_) => "changed at run time",
            Happened::TakenBack | Happened::FileWon => "a change was taken back: the file's value counts",
        }
    );
}

/// A caller list was changed. Who is on it is in no log.
pub fn listed(list: &CallerListId, (added, removed): (u64, u64), entries: u64, origin: &Origin) {
    caller_list(list, entries);
    tracing::info!(
        list = list.as_str(),
        added,
        removed,
        entries,
        actor = origin.actor.as_str(),
        by = origin.by.as_deref().unwrap_or(""),
        "a caller list was changed"
    );
}

/// How much is on a caller list.
pub fn caller_list(list: &CallerListId, entries: u64) {
    gauge!(name::CALLER_LIST_ENTRIES, "list" => list.to_string()).set(entries as f64);
}

/// A change at run time was overtaken by an edit of its file.
pub fn change_dropped(dropped: &Dropped) {
    let change = &dropped.change;
    tracing::warn!(
        entity = change.entity.to_string(),
        key = change.value.key().as_str(),
        value = change.value.to_string(),
        file = dropped.file.to_string(),
        file_before = change.file.to_string(),
        actor = change.origin.actor.as_str(),
        "a change at run time is over: its file was edited since and wins"
    );
}

/// A reload found other settings than those in force: they are for the next start.
pub fn settings_changed(problems: &[String]) {
    for problem in problems {
        tracing::warn!(problem = problem.as_str(), "the next start would fail");
    }
    tracing::warn!(
        errors = problems.len(),
        "the settings were changed: they need a restart, the catalog does not"
    );
}

/// A reload was refused; the running catalog stays.
pub fn reload_refused(problems: &[String]) {
    counter!(name::RELOADS, "result" => "refused").increment(1);
    for problem in problems {
        tracing::error!(problem = problem.as_str(), "configuration error");
    }
    tracing::error!(errors = problems.len(), "reload refused: the running catalog stays in force");
}

/// Figures read once a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels {
    /// Calls decided and not over.
    pub calls_active: usize,
    /// Answers kept for repeats.
    pub calls_remembered: usize,
    /// Answers forgotten before their time since the start.
    pub answers_forgotten: u64,
    /// Units held.
    pub units_held: u64,
    /// Connections to bid endpoints.
    pub ping_connections: usize,
    /// Pings lingering.
    pub ping_lingering: usize,
    /// The latest beat of any worker since the last time.
    pub worker_lateness: Duration,
    /// The system's clock less ours, in microseconds.
    pub clock_offset_us: i64,
}

/// Sets the gauges.
pub fn levels(levels: Levels) {
    gauge!(name::CALLS_ACTIVE).set(levels.calls_active as f64);
    gauge!(name::CALLS_REMEMBERED).set(levels.calls_remembered as f64);
    gauge!(name::UNITS_HELD).set(levels.units_held as f64);
    gauge!(name::CONNECTIONS).set(levels.ping_connections as f64);
    gauge!(name::LINGERING).set(levels.ping_lingering as f64);
    gauge!(name::LATENESS).set(levels.worker_lateness.as_secs_f64());
    gauge!(name::CLOCK_OFFSET).set(levels.clock_offset_us as f64 / 1e6);
    counter!(name::ANSWERS_FORGOTTEN).absolute(levels.answers_forgotten);
}
