//! `outcry journal …` and `outcry records …`: what looks after the journal and the store behind it, and changes neither.
//!
//! Their arguments, and what each prints. What is wrong comes back as a `Fault`; exit codes are the command line's.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::journal::bench::{self, Figures};
use crate::journal::{Backend, Choice, Found, LookError, OpenError, OpenFault, Read, Settings, look};
use crate::records::check::{CheckError, check};
use crate::records::entry::{self, DecodeError};
use crate::records::seal::Seal;
use crate::report::{self, CheckedStore, Format, JournalRow, SpeedRow, Style};

/// Where journal and store are, and how what is found is printed.
#[derive(Args, Clone, Debug)]
pub struct Shown {
    /// The settings file: it says where the journal and the store are.
    #[arg(long, value_name = "FILE", default_value = "config/outcry.toml")]
    pub config: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// What is done with a journal.
#[derive(Subcommand, Clone, Debug)]
pub enum JournalVerb {
    /// Read everything the journal keeps, and say whether it is whole. Works beside a running exchange.
    #[command(
        after_help = "Examples:\n  outcry journal verify\n  outcry journal verify --config /etc/outcry/outcry.toml --format json"
    )]
    Verify(Shown),
    /// Print the records, one a line: number, kind, size, and what they say, without callers' numbers.
    #[command(
        after_help = "Examples:\n  outcry journal dump --limit 20\n  outcry journal dump --after 5000 --format json"
    )]
    Dump {
        /// The settings file: it says where the journal is.
        #[arg(long, value_name = "FILE", default_value = "config/outcry.toml")]
        config: PathBuf,
        /// Begin after this record; left out, with the oldest that is kept.
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: u64,
        /// At most this many; left out, all.
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// `text` for people, `json` for programs: one object a line.
        #[arg(long, value_enum, default_value = "text")]
        format: DumpFormat,
    },
    /// Measure how fast this disk takes records, beside a bare loop. Writes next to the journal, and removes it again.
    #[command(
        after_help = "Examples:\n  outcry journal bench\n  outcry journal bench --seconds 30 --bytes 2000 --backend thread --backend uring"
    )]
    Bench {
        /// Where, and how it is printed.
        #[command(flatten)]
        shown: Shown,
        /// How long each backend is measured.
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
        /// Size of a record's body.
        #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=16_384))]
        bytes: u64,
        /// This backend; can be given more than once. Left out, the one that `auto` takes here.
        #[arg(long, value_enum, default_value = "auto")]
        backend: Vec<BackendWord>,
    },
}

/// What is done with the records.
#[derive(Subcommand, Clone, Debug)]
pub enum RecordsVerb {
    /// Compare the store with the journal, row by row. Works beside a running exchange.
    #[command(
        after_help = "Examples:\n  outcry records check\n  outcry records check --config /etc/outcry/outcry.toml --format json"
    )]
    Check(Shown),
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are words")]
pub enum DumpFormat {
    Text,
    Json,
}

/// The words of `journal.backend`; `auto` is the one it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are words")]
pub enum BackendWord {
    Auto,
    Uring,
    Thread,
}

impl From<BackendWord> for Backend {
    fn from(word: BackendWord) -> Backend {
        match word {
            BackendWord::Auto => Backend::Auto,
            BackendWord::Uring => Backend::Uring,
            BackendWord::Thread => Backend::Thread,
        }
    }
}

/// Why a verb ends badly.
#[derive(Debug)]
pub enum Fault {
    /// The answer is no; what was found is printed.
    No(String),
    /// Settings, or what they name.
    Setting(String),
    /// What lies on disk.
    Data(String),
    /// The output.
    Output(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Output(error)
    }
}

impl From<LookError> for Fault {
    fn from(error: LookError) -> Fault {
        Fault::Data(error.to_string())
    }
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Fault {
        match error.fault() {
            OpenFault::Setting => Fault::Setting(error.to_string()),
            OpenFault::Data => Fault::Data(error.to_string()),
        }
    }
}

impl From<CheckError> for Fault {
    fn from(error: CheckError) -> Fault {
        Fault::Data(crate::runtime::chain(&error))
    }
}

impl JournalVerb {
    /// The settings file.
    pub fn config(&self) -> &Path {
        match self {
            JournalVerb::Verify(shown) | JournalVerb::Bench { shown, .. } => &shown.config,
            JournalVerb::Dump { config, .. } => config,
        }
    }

    /// Does it, on this journal, whose state is read with this key.
    pub fn run(&self, kept: &Settings, seal: &Seal, out: &mut dyn Write, style: Style) -> Result<(), Fault> {
        match self {
            JournalVerb::Verify(shown) => verify(kept, seal, shown.format, out, style),
            JournalVerb::Dump { after, limit, format, .. } => dump(kept, seal, *after, *limit, *format, out),
            JournalVerb::Bench { shown, seconds, bytes, backend } => {
                let asked: Vec<Backend> = backend.iter().map(|word| Backend::from(*word)).collect();
                let lasts = Duration::from_secs(*seconds);
                let (figures, auto) = bench::run(kept, &asked, *bytes as usize, lasts)?;
                speeds(&figures, &auto, shown.format, out, style)
            }
        }
    }
}

impl RecordsVerb {
    /// The settings file.
    pub fn config(&self) -> &Path {
        let RecordsVerb::Check(shown) = self;
        &shown.config
    }

    /// Does it, on this journal and this store.
    pub fn run(&self, kept: &Settings, store: &Path, out: &mut dyn Write, style: Style) -> Result<(), Fault> {
        let RecordsVerb::Check(shown) = self;
        compare(kept, store, shown.format, out, style)
    }
}

/// Records that cannot be read: the first, and how many.
#[derive(Debug, Default)]
struct Unreadable {
    first: Option<String>,
    count: u64,
}

impl Unreadable {
    fn note(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
        self.count += 1;
    }

    fn ended(self) -> Result<(), Fault> {
        match (self.first, self.count) {
            (None, _) => Ok(()),
            (Some(first), 1) => Err(Fault::Data(first)),
            (Some(first), count) => Err(Fault::Data(format!("{first} ({} more cannot be read)", count - 1))),
        }
    }
}

fn verify(
    kept: &Settings,
    seal: &Seal,
    format: Format,
    out: &mut dyn Write,
    style: Style,
) -> Result<(), Fault> {
    let (row, unreadable, cut) = look::<_, LookError>(kept, |found| {
        let (row, unreadable) = read_all(found, seal)?;
        Ok((row, unreadable, found.cut().cloned()))
    })?;
    report::print(out, format, style, std::slice::from_ref(&row), None)?;
    if format == Format::Table {
        if let Some(cut) = cut {
            writeln!(
                out,
                "{} ends at byte {}: {} bytes behind are no good record {}; nobody was told of one",
                cut.file, cut.at, cut.bytes, cut.seq
            )?;
        }
        if unreadable.count == 0 {
            writeln!(out, "the journal in {} is whole", kept.dir.display())?;
        }
    }
    unreadable.ended()
}

/// Reads snapshot and records, all of them.
fn read_all(found: &Found, seal: &Seal) -> Result<(JournalRow, Unreadable), LookError> {
    let mut row = JournalRow { segments: found.counts().0, ..JournalRow::default() };
    row.cut_bytes = found.cut().map_or(0, |cut| cut.bytes);
    let mut unreadable = Unreadable::default();
    if let Some((seq, records)) = found.snapshot().map_err(LookError::Read)? {
        row.snapshot = Some(seq);
        for record in records {
            let mut record = record.map_err(LookError::Read)?;
            row.snapshot_records += 1;
            if let Err(why) = decoded(&mut record, seal) {
                unreadable.note(|| format!("the snapshot up to record {seq} has {why}"));
            }
        }
    }
    for record in found.records_after(found.first_seq().saturating_sub(1)) {
        let mut record = record.map_err(LookError::Read)?;
        row.records += 1;
        row.bytes += record.bytes();
        row.first.get_or_insert(record.seq);
        row.last = Some(record.seq);
        if let Err(why) = decoded(&mut record, seal) {
            unreadable.note(|| format!("record {}: {why}", record.seq));
        }
    }
    Ok((row, unreadable))
}

fn decoded(record: &mut Read, seal: &Seal) -> Result<entry::Record, DecodeError> {
    entry::decode(record.kind, record.version, seal.open(record.kind, &mut record.body)?)
}

/// A record as a line for programs.
#[derive(Serialize)]
struct DumpedLine<'a> {
    seq: u64,
    kind: &'a str,
    version: u8,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

fn dump(
    kept: &Settings,
    seal: &Seal,
    after: u64,
    limit: Option<u64>,
    format: DumpFormat,
    out: &mut dyn Write,
) -> Result<(), Fault> {
    let records = look::<_, LookError>(kept, |found| {
        Ok(found.records_after(after.max(found.first_seq().saturating_sub(1))))
    })?;
    let mut unreadable = Unreadable::default();
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    // What is printed is many short lines.
    let mut out = io::BufWriter::new(out);
    for record in records.take(limit) {
        let mut record = record.map_err(LookError::Read)?;
        let (seq, version, bytes) = (record.seq, record.version, record.bytes());
        let kind = entry::kind_name(record.kind).map_or_else(|| record.kind.to_string(), str::to_owned);
        let read = decoded(&mut record, seal).map(|read| read.to_string()).map_err(|why| why.to_string());
        if let Err(why) = &read {
            unreadable.note(|| format!("record {seq}: {why}"));
        }
        match format {
            DumpFormat::Text => {
                let says = read.unwrap_or_else(|why| format!("UNREADABLE: {why}"));
                writeln!(out, "{seq:>10}  {kind:<6}  {bytes:>6}  {says}")?;
            }
            DumpFormat::Json => {
                let (says, error) = (read.as_deref().ok(), read.as_deref().err().map(String::as_str));
                let line = DumpedLine { seq, kind: &kind, version, bytes, says, error };
                serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
    }
    out.flush()?;
    unreadable.ended()
}

fn speeds(
    figures: &[Figures],
    auto: &Choice,
    format: Format,
    out: &mut dyn Write,
    style: Style,
) -> Result<(), Fault> {
    let rows: Vec<SpeedRow> = figures.iter().map(SpeedRow::of).collect();
    report::print(out, format, style, &rows, None)?;
    if format == Format::Table {
        let (least, most) = (report::THROUGHPUT_LEAST, report::COMMIT_MOST);
        writeln!(out, "ratios are to a bare loop that writes and syncs the same batches")?;
        writeln!(out, "to be reached: throughput at least {least}, median commit at most {most}")?;
        writeln!(out, "auto takes {auto}")?;
    }
    Ok(())
}

fn compare(
    kept: &Settings,
    store: &Path,
    format: Format,
    out: &mut dyn Write,
    style: Style,
) -> Result<(), Fault> {
    let checked = check(kept, store)?;
    let shown = CheckedStore::of(&checked);
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &shown).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Csv => report::print(out, format, style, &shown.kinds, None)?,
        Format::Table => {
            report::print(out, format, style, &shown.kinds, None)?;
            let CheckedStore { first, upto, behind, .. } = shown;
            match upto {
                0 => writeln!(out, "the store has taken no record yet")?,
                upto if first > upto => {
                    writeln!(out, "the journal keeps records from {first}, and the store is at {upto}")?
                }
                upto => writeln!(out, "records {first} to {upto} were compared")?,
            }
            if behind > 0 {
                writeln!(out, "{behind} records are not in the store yet")?;
            }
            for line in shown.examples.iter().chain(&shown.unbalanced).chain(&shown.sums_off) {
                writeln!(out, "{line}")?;
            }
        }
    }
    if checked.is_good() {
        return Ok(());
    }
    let (off, unbalanced, sums) = (checked.off(), checked.imbalances.len(), checked.sums.len());
    Err(Fault::No(format!(
        "{off} rows are not in the store as the journal has them, {unbalanced} groups of ledger entries do not sum to zero, \
         {sums} hourly sums are not those of the rows"
    )))
}
