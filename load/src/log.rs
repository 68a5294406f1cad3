//! Logs that a judge reads after a run: JSON lines, and the one clock their times are told by.
//!
//! A record is any type that serde knows, one to a line. What bidders log is in [`seen`](crate::seen). Nothing here
//! is written while a run goes on: records are kept in memory and written when it is over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Records in one log, in memory or in a file.
pub const MAX_LOGGED: usize = 8_000_000;
/// Longest line read from a log, in bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// One moment by both clocks.
struct Anchor {
    at: Instant,
    unix_ns: u64,
}

/// The moment all of this process's times count from: an adjusted wall clock cannot bend a log.
fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Anchor { at: Instant::now(), unix_ns: nanos(since_epoch) }
    })
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// An instant as µs since the Unix epoch. Two processes on one machine agree as far as its wall clock was not
/// adjusted between their first calls of this.
pub fn unix_us(at: Instant) -> u64 {
    let anchor = anchor();
    let unix_ns = match at.checked_duration_since(anchor.at) {
        Some(after) => anchor.unix_ns.saturating_add(nanos(after)),
        None => anchor.unix_ns.saturating_sub(nanos(anchor.at.duration_since(at))),
    };
    unix_ns / 1_000
}

/// Writes one line per record, replacing the file.
pub fn write_log<T: Serialize>(path: &Path, records: &[T]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path).map_err(|error| told(path, &error))?);
    let mut write = |record: &T| -> io::Result<()> {
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")
    };
    records.iter().try_for_each(&mut write).and_then(|()| file.flush()).map_err(|error| told(path, &error))
}

/// Reads a log; an error names the file and the line. Empty lines are passed over.
pub fn read_log<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let mut file = BufReader::new(File::open(path).map_err(|error| told(path, &error))?);
    let mut records = Vec::new();
    let mut line = Vec::new();
    for number in 1_usize.. {
        line.clear();
        let read = (&mut file).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| told(path, &error))? == 0 {
            break;
        }
        let wrong = |what: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}:{number}: {what}", path.display()))
        };
        if line.len() > MAX_LINE {
            return Err(wrong(format!("a line of more than {MAX_LINE} bytes is no log record")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if records.len() == MAX_LOGGED {
            return Err(wrong(format!("more than {MAX_LOGGED} records; split the run")));
        }
        records.push(serde_json::from_slice(&line).map_err(|error| wrong(error.to_string()))?);
    }
    Ok(records)
}

fn told(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_distances_on_both_sides_of_the_anchor() {
        let now = Instant::now();
        let us = unix_us(now);
        assert!(us > 1_700_000_000_000_000, "{us} is before 2023");
        assert_eq!(unix_us(now + Duration::from_millis(5)) - us, 5_000);
        if let Some(before) = now.checked_sub(Duration::from_secs(2)) {
            assert_eq!(us - unix_us(before), 2_000_000);
        }
    }
}
