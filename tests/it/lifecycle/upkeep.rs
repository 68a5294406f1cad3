//! `outcry journal …` and `outcry records …` as an operator runs them: beside a running exchange, after it, and on what
//! was damaged.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Folder, Market, eventually, outcry};

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"")
}

/// Some calls: two billed, one that nobody took.
fn some_calls(exchange: &Exchange) {
    for (round, talk_ms) in [(1, 95_000), (2, 120_000), (3, 0)] {
        let call = json!({"carrier_call_id": format!("CA{round}"), "to": NUMBER, "from": CALLER});
        let answer = exchange.decide(&call);
        if talk_ms > 0 { exchange.talk(&answer, talk_ms) } else { exchange.give_up(&answer) }
    }
}

fn on(folder: &Folder, args: &[&str]) -> Output {
    let settings = folder.path().join("outcry.toml");
    outcry(&[args, &["--config", settings.to_str().unwrap()]].concat())
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// What it prints, when it must end so.
fn printed(output: &Output, code: i32) -> (String, String) {
    let (out, said) = texts(output);
    assert_eq!(output.status.code(), Some(code), "{out}{said}");
    assert!(!said.contains("panicked"), "{said}");
    (out, said)
}

/// What it prints as JSON, when all is good.
fn document(folder: &Folder, args: &[&str]) -> Value {
    let (out, said) = printed(&on(folder, &[args, &["--format", "json"]].concat()), 0);
    assert_eq!(said, "");
    serde_json::from_str(&out).unwrap()
}

fn segment(folder: &Folder) -> PathBuf {
    let names = fs::read_dir(folder.path().join("store/outcry.journal")).unwrap();
    let names = names.map(|entry| entry.unwrap().path());
    names.filter(|path| path.file_name().unwrap().to_string_lossy().ends_with("1.seg")).min().unwrap()
}

/// Flips one bit in the middle of the records.
fn damage(folder: &Folder) -> PathBuf {
    let file = segment(folder);
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[4096 + (end - 4096) / 2] ^= 4;
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn a_journal_is_read_while_the_exchange_writes_and_after_it() {
    let exchange = Exchange::start(&market());
    some_calls(&exchange);
    // Beside it.
    let row = document(&exchange.folder, &["journal", "verify"])[0].clone();
    assert!(row["records"].as_u64().unwrap() >= 10, "{row}");
    assert_eq!((&row["first"], &row["last"]), (&json!(1), &row["records"]), "{row}");
    eventually("the store has taken what is there", || {
        let checked = document(&exchange.folder, &["records", "check"]);
        (checked["behind"] == 0 && checked["kinds"][4]["checked"] == 3).then_some(())
    });
    assert_eq!(printed(&on(&exchange.folder, &["journal", "dump", "--limit", "3"]), 0).0.lines().count(), 3);
    let folder = exchange.finish();

    // After it.
    let (out, _) = printed(&on(&folder, &["journal", "verify"]), 0);
    assert!(out.starts_with("segments") && out.contains("outcry.journal is whole"), "{out}");
    let row = document(&folder, &["journal", "verify"])[0].clone();
    let (out, said) = printed(&on(&folder, &["journal", "dump"]), 0);
    assert_eq!((out.lines().count() as u64, said.as_str()), (row["records"].as_u64().unwrap(), ""));
    let digits = CALLER.trim_start_matches('+');
    for number in [digits, &digits[3..], NUMBER] {
        assert!(!out.contains(number), "{out}");
    }
    for word in ["row decided", "row ledger", "row ended", "row event", "call ", "answer "] {
        assert!(out.contains(word), "{word}: {out}");
    }
    let (after, _) =
        printed(&on(&folder, &["journal", "dump", "--after", "4", "--limit", "2", "--format", "json"]), 0);
    let lines: Vec<Value> = after.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<u64> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [5, 6]);
    assert!(
        lines.iter().all(|line| line["kind"] == "entry" && line["bytes"].as_u64().unwrap() > 26),
        "{after}"
    );
    let (out, _) = printed(&on(&folder, &["records", "check"]), 0);
    assert!(out.contains("ledger") && out.contains("were compared"), "{out}");
    let checked = document(&folder, &["records", "check"]);
    assert_eq!((&checked["behind"], &checked["upto"]), (&json!(0), &row["last"]));
    assert_eq!(
        (&checked["kinds"][5]["kind"], &checked["kinds"][5]["checked"]),
        (&json!("ledger"), &json!(6))
    );
}

#[test]
fn damage_is_named_and_nothing_is_touched() {
    let exchange = Exchange::start(&market());
    some_calls(&exchange);
    let folder = exchange.finish();
    let good = fs::read(segment(&folder)).unwrap();
    let file = damage(&folder);
    let bad = fs::read(&file).unwrap();
    for args in [&["journal", "verify"][..], &["journal", "dump"], &["records", "check"]] {
        let (_, said) = printed(&on(&folder, args), 65);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(file.to_str().unwrap()) && said.contains("record "), "{said}");
        assert!(said.contains("restore the file from a copy"), "{said}");
    }
    assert_eq!(fs::read(&file).unwrap(), bad);
    fs::write(&file, good).unwrap();
    printed(&on(&folder, &["journal", "verify"]), 0);
    // Without its identity it is no journal.
    let place = folder.path().join("store/outcry.journal");
    fs::remove_file(place.join("ID")).unwrap();
    let (_, said) = printed(&on(&folder, &["journal", "verify"]), 65);
    assert!(said.contains("is no journal"), "{said}");
    fs::remove_dir_all(&place).unwrap();
    for args in [&["journal", "verify"][..], &["journal", "dump"], &["records", "check"]] {
        let (_, said) = printed(&on(&folder, args), 65);
        assert!(said.contains("no journal at") && said.lines().count() == 1, "{said}");
    }
    assert!(!place.exists());
}

#[test]
fn a_store_that_lacks_money_is_found_out() {
    let exchange = Exchange::start(&market());
    some_calls(&exchange);
    let folder = exchange.finish();
    let store = rusqlite::Connection::open(folder.path().join("store/outcry.db")).unwrap();
    assert_eq!(store.execute("DELETE FROM ledger_entry WHERE kind = 'payout'", ()).unwrap(), 2);
    drop(store);
    let (out, said) = printed(&on(&folder, &["records", "check"]), 1);
    assert_eq!(
        out.lines().filter(|line| line.contains("payout of attempt/1 is not in the store")).count(),
        2
    );
    assert_eq!(out.lines().filter(|line| line.contains("the entries sum to 5")).count(), 2, "{out}");
    assert!(said.contains("2 rows are not in the store as the journal has them, 2 groups"), "{said}");
    assert!(!out.contains(&CALLER[1..]), "{out}");
}

#[test]
fn a_disk_is_measured_beside_the_journal_and_left_as_it_was() {
    let exchange = Exchange::start(&market());
    let before = fs::read_dir(exchange.folder.path().join("store")).unwrap().count();
    let args = ["journal", "bench", "--seconds", "1", "--bytes", "300"];
    for (backends, rows) in
        [(&[][..], 1), (&["--backend", "thread"], 1), (&["--backend=auto", "--backend=thread"], 2)]
    {
        let (out, _) = printed(&exchange.cli(&[&args[..], backends].concat()), 0);
        assert!(out.starts_with("backend"), "{out}");
        let said = |line: &&str| line.starts_with("thread ") || line.starts_with("uring ");
        let measured: Vec<_> = out.lines().filter(said).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(measured.len(), rows, "{out}");
        assert!(out.contains("throughput at least 0.6, median commit at most 1.3"), "{out}");
        let taken =
            out.lines().find_map(|line| line.strip_prefix("auto takes ")).unwrap_or_else(|| panic!("{out}"));
        let first =
            if backends == ["--backend", "thread"] { "thread" } else { taken.split(':').next().unwrap() };
        assert_eq!(measured[0], first, "{out}");
    }
    assert_eq!(fs::read_dir(exchange.folder.path().join("store")).unwrap().count(), before);
    // What lies where it would measure is somebody else's.
    let place = exchange.folder.path().join("store/outcry.bench");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("diary.txt"), "mine").unwrap();
    let (_, said) = printed(&exchange.cli(&args), 65);
    assert!(said.contains("outcry.bench"), "{said}");
    assert_eq!(fs::read(place.join("diary.txt")).unwrap(), b"mine");
    exchange.finish();
}

#[test]
fn each_verb_says_how_twice_and_names_wrong_settings() {
    for args in [
        &["journal"][..],
        &["journal", "verify"],
        &["journal", "dump"],
        &["journal", "bench"],
        &["records"],
        &["records", "check"],
    ] {
        let (told, _) = printed(&outcry(&[args, &["--help"]].concat()), 0);
        let (_, examples) = told.split_once("Examples:").unwrap_or_else(|| panic!("no examples: {told}"));
        assert_eq!(examples.matches(&format!("outcry {}", args.join(" "))).count(), 2, "{told}");
    }
    let folder = Folder::new();
    fs::write(folder.path().join("outcry.toml"), "[nonsense]\n").unwrap();
    for args in [&["journal", "verify"][..], &["records", "check"]] {
        assert!(printed(&on(&folder, args), 64).1.contains("nonsense"));
    }
    for args in [&["journal", "bench", "--seconds", "0"][..], &["journal", "dump", "--limit", "few"]] {
        printed(&on(&folder, args), 2);
    }
}
