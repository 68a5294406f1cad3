//! The tables, and what a connection is set to before it touches them.
//!
//! A version is written down for good: a change is a new version with a step that leads there. Times are microseconds
//! since the epoch, amounts micro-units, ids 16 big-endian bytes, hours whole hours since the epoch; `word` holds the
//! texts that repeat (0 is "none"), so that rows stay narrow.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// The schema this binary writes and reads.
pub(super) const VERSION: i64 = STEPS.len() as i64;
/// Marks the file as ours: `Outc`.
const APPLICATION: i64 = 0x4f75_7463;
/// How long a statement waits for another process's lock.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// What leads from each version to the next, in order; the first begins with an empty file. A new file goes all of the
/// way, so that it cannot differ from one that grew old.
const STEPS: [&[&str]; 3] = [&[TABLES], &[ATTEMPTS, ATTEMPTS_BEFORE, CHANGES], &[PLACE]];

/// Version 1.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('batch_no', 0);

CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO word VALUES (0, '');

CREATE TABLE call (
  call_id BLOB PRIMARY KEY, at INTEGER NOT NULL, campaign INTEGER NOT NULL, publisher INTEGER NOT NULL,
  decided INTEGER NOT NULL,
  carrier INTEGER, carrier_call_id TEXT, test INTEGER, number TEXT, sub_id TEXT, caller TEXT, caller_token INTEGER,
  state TEXT, basis TEXT, action TEXT, reason INTEGER, target INTEGER, buyer INTEGER, price INTEGER,
  decided_us INTEGER, overhead_us INTEGER, catalog INTEGER,
  ended_at INTEGER, end_target INTEGER, end_buyer INTEGER, end_reason INTEGER, connected INTEGER, talk_ms INTEGER,
  talk_source TEXT, ended_by TEXT, billable INTEGER, payable INTEGER, negative_margin INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX call_by_at ON call (at, call_id);

CREATE TABLE trail (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, call_id BLOB NOT NULL, step INTEGER NOT NULL, is_final INTEGER NOT NULL,
  doc BLOB NOT NULL, UNIQUE (call_id, step)
) STRICT;

CREATE TABLE event (
  seq INTEGER PRIMARY KEY, call_id BLOB NOT NULL, event_id TEXT NOT NULL, kind TEXT NOT NULL,
  attempt INTEGER NOT NULL, at INTEGER, received INTEGER NOT NULL, detail TEXT NOT NULL,
  UNIQUE (call_id, event_id, kind, attempt)
) STRICT;

CREATE TABLE ledger_entry (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, call_id BLOB NOT NULL, grp TEXT NOT NULL, kind TEXT NOT NULL,
  at INTEGER NOT NULL, campaign INTEGER NOT NULL, publisher INTEGER NOT NULL, buyer INTEGER NOT NULL,
  target INTEGER NOT NULL, account INTEGER NOT NULL, amount INTEGER NOT NULL, booked_at INTEGER NOT NULL,
  UNIQUE (call_id, grp, kind)
) STRICT;

CREATE TABLE pnl_hour (
  hour INTEGER, campaign INTEGER, publisher INTEGER, buyer INTEGER, target INTEGER,
  calls INTEGER NOT NULL, ended INTEGER NOT NULL, connected INTEGER NOT NULL, billable INTEGER NOT NULL,
  talk_ms INTEGER NOT NULL, revenue INTEGER NOT NULL, payout INTEGER NOT NULL, margin INTEGER NOT NULL,
  PRIMARY KEY (hour, campaign, publisher, buyer, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE outcome_hour (
  hour INTEGER, campaign INTEGER, buyer INTEGER, target INTEGER, reason INTEGER, count INTEGER NOT NULL,
  PRIMARY KEY (hour, campaign, buyer, target, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE catalog (digest TEXT PRIMARY KEY, text TEXT NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Version 2: calls have several attempts. The index is for the use of daily caps.
const ATTEMPTS: &str = "
CREATE TABLE attempt (
  call_id BLOB NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL, campaign INTEGER NOT NULL,
  publisher INTEGER NOT NULL, step INTEGER NOT NULL, test INTEGER NOT NULL, offered_at INTEGER NOT NULL,
  basis TEXT NOT NULL, reason INTEGER NOT NULL, target INTEGER NOT NULL, buyer INTEGER NOT NULL, price INTEGER,
  catalog INTEGER NOT NULL,
  ended_at INTEGER, end_reason INTEGER, connected INTEGER, talk_ms INTEGER, talk_source TEXT, ended_by TEXT,
  billable INTEGER, payable INTEGER, negative_margin INTEGER,
  PRIMARY KEY (call_id, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_by_offered_at ON attempt (offered_at);
";

/// Version 2: a call of version 1 had one attempt at most. Its cap windows were those of its arrival.
const ATTEMPTS_BEFORE: &str = "
INSERT INTO attempt (call_id, attempt, at, campaign, publisher, step, test, offered_at, basis, reason, target, buyer,
  price, catalog, ended_at, end_reason, connected, talk_ms, talk_source, ended_by, billable, payable, negative_margin)
SELECT call_id, 1, at, campaign, publisher, 1, test, at, basis, reason, target, buyer,
  price, catalog, ended_at, end_reason, connected, talk_ms, talk_source, ended_by, billable, payable, negative_margin
FROM call WHERE action = 'dial';
";

/// Version 2: what was changed at run time.
const CHANGES: &str = "
CREATE TABLE change (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL,
  item TEXT NOT NULL, happened TEXT NOT NULL, value TEXT, file_value TEXT NOT NULL, actor TEXT NOT NULL, asked_by TEXT,
  UNIQUE (entity, id, item, at)
) STRICT;
";

/// Version 3: rows come from a journal. The index is for the steps whose outcomes a process could not tell.
const PLACE: &str = "
INSERT INTO meta VALUES ('journal', 0), ('journal_seq', 0);
CREATE INDEX trail_pending ON trail (seq) WHERE is_final = 0;
";

/// Readies the writer's connection: settings, then the tables if the file is new or of an older version.
pub(super) fn prepare_writer(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let settings = |source| StoreError::Settings { path: path.to_owned(), source };
    conn.busy_timeout(BUSY_WAIT).map_err(settings)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let found = check_version(conn, path)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)).map_err(settings)?;
    if mode != "wal" {
        return Err(StoreError::NoWal { path: path.to_owned(), mode });
    }
    conn.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096;")
        .map_err(settings)?;
    // A log that once grew (a long reader, a burst) gives its disk space back at the next checkpoint.
    conn.query_row("PRAGMA journal_size_limit = 67108864", (), |_| Ok(())).map_err(settings)?;
    if found < VERSION {
        let path = path.to_owned();
        upgrade(conn, found).map_err(|source| match found {
            0 => StoreError::Create { path, source },
            _ => StoreError::Upgrade { path, found, source },
        })?;
    }
    Ok(())
}

/// Readies a reader's connection; the store must be there already.
pub(super) fn prepare_reader(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let settings = |source| StoreError::Settings { path: path.to_owned(), source };
    conn.busy_timeout(BUSY_WAIT).map_err(settings)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;").map_err(settings)?;
    match check_version(conn, path)? {
        0 => Err(StoreError::Missing { path: path.to_owned() }),
        found if found < VERSION => Err(StoreError::TooOld { path: path.to_owned(), found }),
        _ => Ok(()),
    }
}

/// Takes every step from version `found` on, or none.
fn upgrade(conn: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (version, statements) in (0..).zip(STEPS) {
        if version >= found {
            for statement in statements {
                tx.execute_batch(statement)?;
            }
        }
    }
    tx.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"))?;
    tx.commit()
}

/// The version of the file, 0 for an empty one. A store of another program or of a newer version is refused.
fn check_version(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let open = |source| StoreError::Open { path: path.to_owned(), source };
    let number = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(open);
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    if application == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(0);
    }
    if application != APPLICATION || version < 1 {
        return Err(StoreError::NotAStore { path: path.to_owned() });
    }
    if version > VERSION {
        return Err(StoreError::TooNew { path: path.to_owned(), found: version });
    }
    Ok(version)
}
