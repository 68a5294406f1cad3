//! Every metric: name, kind, unit, labels, help, buckets. The one definition that the recorder, the docs and the tests read.

use MetricKind::{Counter, Gauge, Histogram};

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Def {
    /// Full name, unit included.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its labels; values come from closed enums and configured ids only.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// Upper edges, of histograms only.
    pub buckets: &'static [f64],
}

/// Edges for our own share of a decision, in seconds.
const OVERHEAD: &[f64] =
    &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1];
/// Edges for syncs of the journal, in seconds: what is told is a power of two of a microsecond.
const SYNC: &[f64] = &[
    0.000032, 0.000064, 0.000128, 0.000256, 0.000512, 0.001024, 0.002048, 0.004096, 0.008192, 0.016384,
    0.032768, 0.065536, 0.131072, 0.262144, 0.524288, 1.048576,
];
/// Edges for the stages of a decision, in seconds: ours from a microsecond, the buyers' up to the longest deadline.
const STAGE: &[f64] = &[
    0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0,
];
/// Edges for whole decisions and buyers' replies, in seconds; every default deadline is an edge.
const DECISION: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.75,
    1.0, 1.5, 2.0, 5.0,
];
/// Edges for talk time, in seconds; common minimum durations are edges.
const TALK: &[f64] = &[5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 3600.0];

macro_rules! metrics_table {
    ($($id:ident $name:literal $kind:ident [$($label:literal),*] $buckets:expr, $help:literal;)*) => {
        $(#[doc = $help] pub const $id: &str = $name;)*
        /// All metrics.
        pub const METRICS: &[Def] = &[$(Def {
            name: $name, kind: $kind, labels: &[$($label),*], help: $help, buckets: $buckets,
        },)*];
    };
}

metrics_table! {
    BUILD_INFO "outcry_build_info" Gauge ["version"] &[], "Always 1; the version is the label.";
    DECISIONS "outcry_decisions_total" Counter ["campaign", "basis", "reason"] &[], "Decisions by what the answer rests on and why.";
    DECISION_SECONDS "outcry_decision_duration_seconds" Histogram [] DECISION, "Request read to answer ready.";
    OVERHEAD_SECONDS "outcry_engine_overhead_seconds" Histogram [] OVERHEAD, "Our own share of a decision with pings: request read to last ping written, plus end of the auction to answer ready to be rendered.";
    STAGE_SECONDS "outcry_stage_duration_seconds" Histogram ["stage"] STAGE, "Decisions with pings by stage, together the whole decision: `read` (last byte read to the decision's first turn), `prepare` (looked up, screened), `ask` (to the last ping written), `wait` (for buyers, to the end of the auction), `hold` (ranked and held), `answer` (to answer ready).";
    AUCTIONS_SHED "outcry_auctions_shed_total" Counter ["cause"] &[], "Decisions that asked nobody because we had too much to do: `delay` of the worker's queue, too many `decisions` in progress.";
    LATENESS "outcry_worker_lateness_seconds" Gauge [] &[], "How late the latest beat of any worker was since the last second: the longest that anything waited for its turn.";
    STEPS "outcry_steps_total" Counter ["campaign", "action", "reason"] &[], "Steps after the first of a call, by what the carrier was told to do and why.";
    REPEATS "outcry_repeats_total" Counter ["kind"] &[], "Requests answered with the decision of an earlier one: waited, known, conflict.";
    OUTCOMES "outcry_outcomes_total" Counter ["buyer", "reason"] &[], "How each target of each decision ended, by buyer.";
    PING_SECONDS "outcry_ping_duration_seconds" Histogram ["buyer"] DECISION, "Ping written to reply read, late ones included.";
    CONNECTIONS_OPENED "outcry_ping_connections_opened_total" Counter ["buyer", "when"] &[], "Connections to bid endpoints opened: ahead of need, or in an auction.";
    CONNECTIONS_NOT_OPENED "outcry_ping_connections_not_opened_total" Counter [] &[], "Connections to bid endpoints that were wanted while a worker was opening as many as it may, in all or to one endpoint, or had opened too many lately.";
    CONNECTIONS "outcry_ping_connections" Gauge [] &[], "Connections to bid endpoints open now.";
    LINGERING "outcry_ping_lingering" Gauge [] &[], "Pings whose late reply is still waited for.";
    LINGER_OVERFLOW "outcry_ping_linger_overflow_total" Counter [] &[], "Outstanding pings closed at once because the linger set was full.";
    UNRESPONSIVE "outcry_target_unresponsive" Gauge ["buyer", "target"] &[], "1 while a target that missed five pings in a row is only probed and not waited for, else 0.";
    UNRESPONSIVE_CHANGES "outcry_target_unresponsive_changes_total" Counter ["buyer", "change"] &[], "Targets that auctions stopped waiting for (`sidelined`) and wait for again (`back`).";
    RESOLVE_FAILURES "outcry_ping_resolve_failures_total" Counter [] &[], "Background look-ups of bid endpoints' names that failed.";
    EVENTS "outcry_events_total" Counter ["type"] &[], "Carrier events taken.";
    FALLBACKS "outcry_fallbacks_total" Counter [] &[], "Requests to the fallback URL: the carrier could not use an answer of ours, or got none.";
    UNKNOWN_REPORTS "outcry_unknown_reports_total" Counter ["type"] &[], "Reports about calls nobody knows: refused, the newest kept for `GET /api/v1/unknown-reports`.";
    CALLS_ENDED "outcry_calls_ended_total" Counter ["campaign", "reason"] &[], "Calls ended, by what came of them; one whose end was unresolved counts again when it is settled.";
    TALK_SECONDS "outcry_talk_duration_seconds" Histogram [] TALK, "Talk time of connected calls.";
    CALLS_ACTIVE "outcry_calls_active" Gauge [] &[], "Calls decided and not over.";
    CALLS_REMEMBERED "outcry_calls_remembered" Gauge [] &[], "Answers kept for repeats.";
    ANSWERS_FORGOTTEN "outcry_answers_forgotten_total" Counter [] &[], "Answers forgotten before their time because there was no room for another: a repeat would be decided anew.";
    UNITS_HELD "outcry_holds_units" Gauge [] &[], "Units of caps and concurrency held by calls in flight.";
    HOLDS_EXPIRED "outcry_holds_expired_total" Counter [] &[], "Holds whose call nobody reported the end of.";
    REVENUE "outcry_revenue_micros_total" Counter ["campaign"] &[], "Revenue booked, in micro-units of the deployment's currency; the ledger is the truth.";
    PAYOUT "outcry_payout_micros_total" Counter ["campaign"] &[], "Payout booked, in micro-units of the deployment's currency; the ledger is the truth.";
    REQUESTS_REFUSED "outcry_requests_refused_total" Counter ["listener", "code"] &[], "Requests answered with a problem document.";
    CONNECTIONS_REFUSED "outcry_connections_refused_total" Counter ["listener"] &[], "Connections closed at once because the listener was full.";
    LISTENER_CONNECTIONS "outcry_listener_connections" Gauge ["listener"] &[], "Connections open now.";
    PANICS "outcry_panics_total" Counter ["where"] &[], "Bugs caught by a fence; each is worth a report.";
    HOLDS_NOT_DURABLE "outcry_holds_not_durable_total" Counter [] &[], "Units of daily caps given back because the journal did not take note of them in time.";
    RECORDS_DROPPED "outcry_records_dropped_total" Counter ["class"] &[], "Entries dropped: `bulk` for want of a place or of disk, `money` for want of a place where nobody could be told.";
    RECORDS_QUEUED "outcry_records_queued" Gauge [] &[], "Entries waiting for the journal.";
    JOURNAL_BACKEND "outcry_journal_backend" Gauge ["backend", "why"] &[], "Always 1; what writes the journal is the label: `uring` or `thread`. And why: it is `set`; or `auto` found io_uring `denied`, about `as_quick` as a bare loop, `slower`, or `untimed`, or a `slow_disk` on which it makes no difference.";
    JOURNAL_RECORDS "outcry_journal_records_total" Counter [] &[], "Records written to the journal.";
    JOURNAL_BYTES "outcry_journal_bytes_total" Counter [] &[], "Bytes of those.";
    JOURNAL_SYNC_SECONDS "outcry_journal_sync_duration_seconds" Histogram [] SYNC, "Syncs of the journal that went well, rounded up to the next power of two of a microsecond.";
    JOURNAL_FAULTS "outcry_journal_faults_total" Counter [] &[], "Writes, syncs and preparations of the journal that failed.";
    JOURNAL_POISONED "outcry_journal_poisoned_total" Counter [] &[], "Segments given up after a failed write or sync; what was not on disk was written again to a new one.";
    JOURNAL_GIVEN_UP "outcry_journal_given_up_records" Gauge [] &[], "Numbers of records that this start went on without, by `--accept-loss`.";
    SNAPSHOTS_HELD_BACK "outcry_journal_snapshots_held_back_total" Counter [] &[], "Times that no snapshot of the journal was made because the disk is nearly full; each lasts until there is room.";
    JOURNAL_SEGMENTS "outcry_journal_segments" Gauge [] &[], "Segments of the journal there are.";
    JOURNAL_FREE "outcry_journal_free_ratio" Gauge [] &[], "Share of the journal's disk that is free; below `journal.free_percent` only money is written.";
    STORE_BEHIND "outcry_store_behind_records" Gauge [] &[], "Records on disk that the store has not taken yet.";
    STORE_FAILURES "outcry_store_failures_total" Counter [] &[], "Transactions of the store that failed; they are tried again.";
    STORE_REFUSED "outcry_store_refused_total" Counter [] &[], "Records whose rows the store cannot take: a bug, worth a report.";
    COMMIT_FAILURES "outcry_commit_failures_total" Counter [] &[], "Commits not acknowledged in time or refused; the carrier was told to try again.";
    RELOADS "outcry_config_reloads_total" Counter ["result"] &[], "Reloads of the catalog: done or refused.";
    RELOADED_AT "outcry_config_last_reload_success_timestamp_seconds" Gauge [] &[], "When the catalog in force was loaded.";
    CALLER_LIST_ENTRIES "outcry_caller_list_entries" Gauge ["list"] &[], "Numbers and prefixes on a caller list.";
    CLOCK_OFFSET "outcry_clock_offset_seconds" Gauge [] &[], "The system's clock less ours.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let mut seen = std::collections::BTreeSet::new();
        for def in METRICS {
            assert!(seen.insert(def.name), "{} twice", def.name);
            assert!(def.name.starts_with("outcry_"), "{}", def.name);
            assert_eq!(def.kind == Counter, def.name.ends_with("_total"), "{}", def.name);
            assert_eq!(def.kind == Histogram, !def.buckets.is_empty(), "{}", def.name);
            assert!(def.kind != Histogram || def.name.ends_with("_seconds"), "{} has no unit", def.name);
            assert!(def.help.ends_with('.') && def.buckets.is_sorted(), "{}", def.name);
            for forbidden in ["call", "caller", "number", "url", "sub_id", "publisher"] {
                assert!(!def.labels.contains(&forbidden), "{} has the label {forbidden}", def.name);
            }
        }
    }
}
