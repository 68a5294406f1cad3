//! What was found of a journal, of the store behind it, and of a disk: the documents of the verbs that look after them.

use serde::Serialize;

use super::print::{Cell, Column, Printed};
use crate::journal::bench::Figures;
use crate::records::check::{Checked, Tally};

/// Least throughput of the journal by that of a bare loop.
pub const THROUGHPUT_LEAST: f64 = 0.6;
/// Highest median commit of the journal by that of a bare loop.
pub const COMMIT_MOST: f64 = 1.3;

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalRow {
    /// Segments.
    pub segments: u64,
    /// Records that were read, those of the snapshot not counted.
    pub records: u64,
    /// What they take.
    pub bytes: u64,
    /// The oldest record; none without records.
    pub first: Option<u64>,
    /// The newest.
    pub last: Option<u64>,
    /// The last record the snapshot stands for.
    pub snapshot: Option<u64>,
    /// Records in the snapshot.
    pub snapshot_records: u64,
    /// Bytes behind the end that are no good record.
    pub cut_bytes: u64,
}

impl Printed for JournalRow {
    const COLUMNS: &'static [Column] = &[
        Column::number("segments"),
        Column::number("records"),
        Column::number("bytes"),
        Column::number("first"),
        Column::number("last"),
        Column::number("snapshot"),
        Column::number("snapshot_records").headed("in snapshot"),
        Column::number("cut_bytes").headed("cut"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::of(self.segments),
            Cell::of(self.records),
            Cell::of(self.bytes),
            Cell::from(&self.first),
            Cell::from(&self.last),
            Cell::from(&self.snapshot),
            Cell::of(self.snapshot_records),
            Cell::of(self.cut_bytes),
        ]
    }
}

/// One kind of row, compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TallyRow {
    /// Which.
    pub kind: &'static str,
    /// Rows that should be in the store.
    pub checked: u64,
    /// Of these, not there.
    pub missing: u64,
    /// Of these, there and different.
    pub different: u64,
}

impl TallyRow {
    fn of(tally: &Tally) -> TallyRow {
        let Tally { kind, checked, missing, different } = *tally;
        TallyRow { kind: kind.name(), checked, missing, different }
    }
}

impl Printed for TallyRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("kind"),
        Column::number("checked"),
        Column::number("missing"),
        Column::number("different"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::of(self.kind), Cell::of(self.checked), Cell::of(self.missing), Cell::of(self.different)]
    }
}

/// The store beside the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedStore {
    /// The oldest record that is kept.
    pub first: u64,
    /// The last one the store has taken.
    pub upto: u64,
    /// Records it has not taken yet.
    pub behind: u64,
    /// One of each kind.
    pub kinds: Vec<TallyRow>,
    /// The first differences, in words.
    pub examples: Vec<String>,
    /// Groups of ledger entries that do not sum to zero, in words.
    pub unbalanced: Vec<String>,
    /// Hourly sums that are not those of the rows, in words.
    pub sums_off: Vec<String>,
}

impl CheckedStore {
    /// As it is shown.
    pub fn of(checked: &Checked) -> CheckedStore {
        CheckedStore {
            first: checked.first,
            upto: checked.upto,
            behind: checked.behind,
            kinds: checked.kinds.iter().map(TallyRow::of).collect(),
            examples: checked.examples.iter().map(ToString::to_string).collect(),
            unbalanced: checked
                .imbalances
                .iter()
                .map(|off| format!("call {}, {}: the entries sum to {}", off.call_id, off.group, off.sum))
                .collect(),
            sums_off: checked.sums.iter().map(ToString::to_string).collect(),
        }
    }
}

/// How fast a disk takes records by one backend.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeedRow {
    /// `thread uring`.
    pub backend: &'static str,
    /// Size of a record.
    pub record_bytes: usize,
    /// Records on disk in a second, many waiting at once.
    pub records_s: f64,
    /// The same in millions of bytes.
    pub mb_s: f64,
    /// The bare loop's.
    pub bare_records_s: f64,
    /// The first by the last.
    pub throughput: f64,
    /// Median time until one record is on disk, in microseconds.
    pub commit_us: f64,
    /// One in a hundred takes longer.
    pub commit_p99_us: f64,
    /// The bare loop's median.
    pub bare_commit_us: f64,
    /// The one median by the other.
    pub commit: f64,
    /// `reached`, or what was missed.
    pub verdict: &'static str,
}

impl SpeedRow {
    /// As it is shown.
    pub fn of(figures: &Figures) -> SpeedRow {
        let (throughput, commit) = (figures.throughput_ratio(), figures.commit_ratio());
        SpeedRow {
            backend: figures.disk.name(),
            record_bytes: figures.record_bytes,
            records_s: figures.journal.records_per_s,
            mb_s: figures.journal.records_per_s * figures.record_bytes as f64 / 1e6,
            bare_records_s: figures.bare.records_per_s,
            throughput,
            commit_us: figures.journal.commit_micros,
            commit_p99_us: figures.journal.commit_p99_micros,
            bare_commit_us: figures.bare.commit_micros,
            commit,
            verdict: match (throughput >= THROUGHPUT_LEAST, commit <= COMMIT_MOST) {
                (true, true) => "both reached",
                (true, false) => "commit missed",
                (false, true) => "throughput missed",
                (false, false) => "both missed",
            },
        }
    }
}

impl Printed for SpeedRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("backend"),
        Column::number("record_bytes").headed("bytes"),
        Column::number("records_s").headed("records/s"),
        Column::number("mb_s").headed("MB/s"),
        Column::number("bare_records_s").headed("bare/s"),
        Column::number("throughput").headed("ratio"),
        Column::number("commit_us").headed("commit us"),
        Column::number("commit_p99_us").headed("p99 us"),
        Column::number("bare_commit_us").headed("bare us"),
        Column::number("commit").headed("ratio"),
        Column::text("verdict"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let whole = |value: f64| Cell::of(format!("{value:.0}"));
        let ratio = |value: f64| Cell::of(format!("{value:.2}"));
        vec![
            Cell::of(self.backend),
            Cell::of(self.record_bytes),
            whole(self.records_s),
            Cell::tenths(Some(self.mb_s)),
            whole(self.bare_records_s),
            ratio(self.throughput),
            whole(self.commit_us),
            whole(self.commit_p99_us),
            whole(self.bare_commit_us),
            ratio(self.commit),
            Cell::of(self.verdict),
        ]
    }
}
