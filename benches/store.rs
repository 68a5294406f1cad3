//! How fast SQLite takes rows, beside a bare loop of prepared statements that writes what is in the end in the same tables,
//! with the same roll-up and in as many transactions. At least 0.6 of it is asked for.
//!
//! The rows are those of the entries that the tests pin, each call with ids of its own. What the store does besides: it
//! finds the numbers of words, looks whether a row is there already, and writes a call's row twice, at its decision and at its
//! end. Only for who asks for it by name: `cargo bench -- store`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outcry::records::entry::{self, ENTRY, VERSION};
use outcry::records::row::Row;
use outcry::records::sqlite::{Applied, Place, Store};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::tail::Pattern;

/// Calls of one turn.
const CALLS: u128 = 20_000;
/// Of a quick run.
const QUICK_CALLS: u128 = 200;
/// Calls whose rows go into one transaction.
const BATCH: usize = 100;
/// Turns of both sides; the median counts.
const TURNS: usize = 5;
/// What it has to reach.
const LEAST: f64 = 0.6;
/// Tables with a row for what happened.
const TABLES: [&str; 5] = ["call", "trail", "event", "attempt", "ledger_entry"];
/// The roll-ups, and how many of their columns are the key.
const SUMS: [(&str, usize); 2] = [("pnl_hour", 5), ("outcome_hour", 5)];

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn batches(calls: u128) -> Vec<Vec<Row>> {
    let patterns = ["opened", "answered", "ended"].map(Pattern::of);
    let first = 0x0190_0000_0000_7000_8000_0000_0001_0000_u128 >> 1;
    let rows = |call: u128| {
        let bodies = patterns.iter().map(move |pattern| pattern.with(call));
        bodies
            .flat_map(|body| entry::rows(ENTRY, VERSION, &body).expect("a pinned entry"))
            .collect::<Vec<_>>()
    };
    let calls: Vec<Vec<Row>> = (first..first + calls).map(rows).collect();
    calls.chunks(BATCH).map(<[Vec<Row>]>::concat).collect()
}

/// The store as the exchange writes it.
fn ours(path: &Path, batches: &[Vec<Row>]) -> Duration {
    let mut store = Store::open(path).expect("a store");
    let began = Instant::now();
    for (at, rows) in (1_u64..).zip(batches) {
        let applied = store.apply(at, rows, Place { journal: 1, seq: at }).expect("it is written");
        assert_eq!(applied, Applied::Now { repeated: 0, conflicts: 0 }, "every row is new");
    }
    let took = began.elapsed();
    store.close();
    took
}

/// All rows of a table, and its columns.
fn everything(conn: &Connection, table: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).expect("a table");
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let count = columns.len();
    let read =
        |row: &rusqlite::Row<'_>| (0..count).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>();
    let rows = statement.query_map((), read).expect("rows").collect::<rusqlite::Result<_>>().expect("rows");
    (columns, rows)
}

/// The same tables and what is in the end in them, by nothing but prepared statements.
fn bare(path: &Path, like: &Path, turns: usize) -> Duration {
    Store::open(path).expect("tables").close();
    let source = Connection::open(like).expect("the store");
    let conn = Connection::open(path).expect("a file");
    conn.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096;")
        .expect("settings");
    let tables = TABLES.map(|table| (table, everything(&source, table)));
    let sums = SUMS.map(|(table, keys)| (table, keys, everything(&source, table)));
    let words = everything(&source, "word").1;
    let marks = |count: usize| (1..=count).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ");
    let began = Instant::now();
    let mut word = conn.prepare("INSERT OR IGNORE INTO word VALUES (?1, ?2)").expect("a statement");
    for row in &words {
        word.execute(params_from_iter(row)).expect("a word");
    }
    for turn in 0..turns {
        conn.execute_batch("BEGIN IMMEDIATE").expect("a transaction");
        for (table, (columns, rows)) in &tables {
            let sql = format!("INSERT INTO {table} VALUES ({})", marks(columns.len()));
            let mut insert = conn.prepare_cached(&sql).expect("a statement");
            let (from, to) = (rows.len() * turn / turns, rows.len() * (turn + 1) / turns);
            for row in &rows[from..to] {
                insert.execute(params_from_iter(row)).expect("a row");
            }
        }
        for (table, keys, (columns, rows)) in &sums {
            let sets = columns[*keys..].iter().map(|name| format!("{name} = {name} + excluded.{name}"));
            let sql = format!(
                "INSERT INTO {table} VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
                marks(columns.len()),
                columns[..*keys].join(", "),
                sets.collect::<Vec<_>>().join(", ")
            );
            let mut add = conn.prepare_cached(&sql).expect("a statement");
            for row in rows {
                add.execute(params_from_iter(row)).expect("a sum");
            }
        }
        conn.execute_batch("COMMIT").expect("a transaction");
    }
    began.elapsed()
}

pub fn run(is_quick: bool) {
    let folder = Folder(std::env::temp_dir().join(format!("outcry-store-{}", std::process::id())));
    fs::create_dir_all(&folder.0).expect("a folder");
    let batches = batches(if is_quick { QUICK_CALLS } else { CALLS });
    let rows: usize = batches.iter().map(Vec::len).sum();
    println!("{rows} rows in {} transactions, {BATCH} calls each", batches.len());
    let mut ratios = Vec::new();
    for turn in 1..=if is_quick { 1 } else { TURNS } {
        let (mine, other) =
            (folder.0.join(format!("ours-{turn}.db")), folder.0.join(format!("bare-{turn}.db")));
        let took = ours(&mine, &batches);
        let bare = bare(&other, &mine, batches.len());
        let ratio = bare.as_secs_f64() / took.as_secs_f64();
        println!(
            "turn {turn}: store {:.0} rows/s, bare loop {:.0} rows/s, ratio {ratio:.2}",
            rows as f64 / took.as_secs_f64(),
            rows as f64 / bare.as_secs_f64()
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("median {median:.2}: {}", if median >= LEAST { "reached" } else { "missed" });
}
