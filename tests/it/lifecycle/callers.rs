//! Caller lists: who is on one is blocked or suppressed from the next decision on, until taken off it, whatever the
//! exchange goes through; and nothing that is kept or said shows who.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Answer, Exchange, Folder, Market, eventually, files_of, outcry, request};

/// Two buyers of one target each, tried in order, of which the first does not want its own customers.
fn market() -> Market {
    Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .campaign("deadline_ms = 300\npayout = { fixed = \"5.00\" }\nblocked_callers = [\"dnc\"]")
        .buyer("acme", "suppressed_callers = [\"own\"]")
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"\nsuppressed_callers = [\"premium\"]")
        .and("[caller_list.dnc]\nnote = \"Do not call\"\n[caller_list.own]\n[caller_list.premium]")
}

fn ask(id: &str, from: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": from})
}

fn post(exchange: &Exchange, path: &str, lines: &str) -> Answer {
    request(&exchange.admin, "POST", &format!("/api/v1/caller-lists/{path}"), None, lines.as_bytes())
}

/// A change that must be taken: what was added, removed, and is on it now.
fn change(exchange: &Exchange, path: &str, lines: &str) -> [u64; 4] {
    counts(&post(exchange, path, lines))
}

fn counts(answer: &Answer) -> [u64; 4] {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    ["added", "removed", "numbers", "prefixes"].map(|key| told[key].as_u64().unwrap())
}

/// What becomes of the next call: who takes it or why nobody, and why the first target does not. The call is over then.
fn next(exchange: &Exchange, call: &str, from: &str) -> (String, String) {
    let answer = exchange.decide(&ask(call, from));
    let id = answer["call_id"].as_str().unwrap().to_owned();
    let explained = exchange.explained(&id);
    if answer["action"] == "dial" {
        exchange.give_up(&answer);
        exchange.end(&id);
    }
    let decision = &explained["decision"];
    let told = decision["target"].as_str().or(decision["reason"].as_str()).unwrap().to_owned();
    let (reason, row) = exchange.outcome(&id, "desk");
    let note = row["note"].as_str().map_or(String::new(), |note| format!(" {note}"));
    (told, format!("{reason}{note}"))
}

fn told(who: &str, desk: &str) -> (String, String) {
    (who.to_owned(), desk.to_owned())
}

fn on(exchange: &Exchange, list: &str, number: &str) -> Value {
    let path = format!("/api/v1/caller-lists/{list}/has?number={}", number.replace('+', "%2B"));
    let answer = exchange.get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["by"].clone()
}

#[test]
fn a_list_counts_from_the_next_call_on_and_survives_a_kill() {
    let exchange = Exchange::start(&market());
    assert_eq!(next(&exchange, "CA1", CALLER), told("desk", "won"));

    assert_eq!(change(&exchange, "own/add?by=ann", &format!("{CALLER}\n")), [1, 0, 1, 0]);
    assert_eq!(next(&exchange, "CA2", CALLER), told("other", "suppressed on own"));
    assert_eq!(next(&exchange, "CA3", "+15125550999"), told("desk", "won"));

    assert_eq!(
        change(&exchange, "dnc/add", &format!("number,why\n{CALLER},asked us\n+1303*,x\n")),
        [2, 0, 1, 1]
    );
    assert_eq!(change(&exchange, "dnc/add", CALLER), [0, 0, 1, 1], "the same again is no change");
    assert_eq!(next(&exchange, "CA4", CALLER), told("caller_blocked", "caller_blocked on dnc"));
    assert_eq!(next(&exchange, "CA5", "+13035550111"), told("caller_blocked", "caller_blocked on dnc"));
    // Who shows no number is on no list.
    let withheld = exchange.decide(&json!({"carrier_call_id": "CA6", "to": NUMBER, "withheld": true}));
    assert_eq!(withheld["action"], "dial");
    exchange.give_up(&withheld);

    assert_eq!(on(&exchange, "dnc", CALLER), "number");
    assert_eq!(on(&exchange, "dnc", "+13035550111"), "+1303*");
    assert_eq!(on(&exchange, "own", "+13035550111"), Value::Null);
    let lists = exchange.get("/api/v1/caller-lists").json();
    assert_eq!((&lists["numbers"], &lists["numbers_max"]), (&json!(2), &json!(4_000_000)));
    assert_eq!(
        lists["lists"],
        json!([
            {"list": "dnc", "note": "Do not call", "numbers": 1, "prefixes": 1, "is_idle": false},
            {"list": "own", "note": "", "numbers": 1, "prefixes": 0, "is_idle": false},
            {"list": "premium", "note": "", "numbers": 0, "prefixes": 0, "is_idle": false},
        ])
    );
    assert_eq!(exchange.metric("outcry_caller_list_entries", "list=\"dnc\""), 2.0);

    let exchange = exchange.crash_and_restart();
    assert_eq!(exchange.get("/api/v1/caller-lists").json(), lists);
    assert_eq!(exchange.metric("outcry_caller_list_entries", "list=\"dnc\""), 2.0);
    assert_eq!(next(&exchange, "CB1", CALLER), told("caller_blocked", "caller_blocked on dnc"));
    assert_eq!(change(&exchange, "dnc/remove", &format!("{CALLER}\n+15125550998")), [0, 1, 0, 1]);
    assert_eq!(next(&exchange, "CB2", CALLER), told("other", "suppressed on own"));
    let emptied = request(&exchange.admin, "PUT", "/api/v1/caller-lists/own", None, b"");
    assert_eq!(counts(&emptied), [0, 1, 0, 0]);
    assert_eq!(next(&exchange, "CB3", CALLER), told("desk", "won"));
    // Nobody is left for a caller whom the target itself does not want either.
    assert_eq!(change(&exchange, "premium/add", "+1512*\n"), [1, 0, 0, 1]);
    change(&exchange, "own/add", CALLER);
    assert_eq!(next(&exchange, "CB4", CALLER), told("no_taker", "suppressed on own"));

    let page = exchange.get("/api/v1/changes/history").json();
    let words = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {}: {} by {}/{}",
            text("entity"),
            text("id"),
            text("happened"),
            text("value"),
            text("actor"),
            text("by")
        )
    };
    let history: Vec<String> = page["changes"].as_array().unwrap().iter().map(words).collect();
    assert_eq!(
        history,
        [
            "caller_list own added: 1 added, 0 removed, now 1 numbers and 0 prefixes by local/ann",
            "caller_list dnc added: 2 added, 0 removed, now 1 numbers and 1 prefixes by local/-",
            "caller_list dnc removed: 0 added, 1 removed, now 0 numbers and 1 prefixes by local/-",
            "caller_list own replaced: 0 added, 1 removed, now 0 numbers and 0 prefixes by local/-",
            "caller_list premium added: 1 added, 0 removed, now 0 numbers and 1 prefixes by local/-",
            "caller_list own added: 1 added, 0 removed, now 1 numbers and 0 prefixes by local/-",
        ]
    );
    exchange.crash();
}

/// Who is blocked while a call is in progress gets no further attempt.
#[test]
fn the_next_step_looks_at_the_lists_again() {
    let exchange = Exchange::start_with(&market(), "[calls]\nnext_within_s = 20\n");
    let rejected = || json!({"cause": "rejected", "ended_by": "carrier", "talk_ms": 0});
    let first = exchange.decide(&ask("CA1", CALLER));
    change(&exchange, "dnc/add", CALLER);
    let second = exchange.go_on(&first, rejected());
    assert_eq!((&second["action"], &second["reason"]), (&json!("hangup"), &json!("caller_blocked")));
    change(&exchange, "dnc/remove", CALLER);
    let first = exchange.decide(&ask("CA2", CALLER));
    change(&exchange, "premium/add", "+1512*");
    let second = exchange.go_on(&first, rejected());
    assert_eq!((&second["action"], &second["reason"]), (&json!("hangup"), &json!("no_taker")));
    exchange.finish();
}

/// A list of the whole call is the one rule that decided; which list it was is the operator's business.
#[test]
fn a_blocked_call_is_explained_by_its_list_and_not_to_buyers() {
    let exchange = Exchange::start(&market());
    change(&exchange, "dnc/add", CALLER);
    let call = exchange.decide(&ask("CA1", CALLER))["call_id"].as_str().unwrap().to_owned();
    let explained = exchange.explained(&call);
    let row = |saw: &str| json!([{"rule": "blocked callers", "says": "no", "saw": saw}]);
    for target in 0..2 {
        assert_eq!(explained["steps"][0]["outcomes"][target]["rules"], row("on dnc"));
    }
    let cut = exchange.get(&format!("/api/v1/calls/{call}?as=buyer:acme"));
    assert_eq!(cut.json()["outcomes"][0]["rules"], row(""));
    assert!(!cut.text().contains("dnc"), "{}", cut.text());
    exchange.crash();
}

#[test]
fn bad_lines_change_nothing_and_show_nobody() {
    let exchange = Exchange::start(&market());
    change(&exchange, "dnc/add", "+15125550123");
    let bad = post(&exchange, "dnc/add", "+15125550777\n5125550778\n+15125550779\nnobody\n");
    assert_eq!(bad.status, 400, "{}", bad.text());
    let at: Vec<Value> = bad.json()["errors"].as_array().unwrap().iter().map(|e| e["at"].clone()).collect();
    assert_eq!(at, ["line 2", "line 4"]);
    assert!(!bad.text().contains("5550778") && bad.text().contains("512•••••••"), "{}", bad.text());
    assert_eq!(on(&exchange, "dnc", "+15125550777"), Value::Null);

    let many = "x\n".repeat(10_000);
    let told = post(&exchange, "dnc/remove", &many).json();
    assert!(told["detail"].as_str().unwrap().contains("10000 lines"), "{told}");
    assert_eq!(told["errors"].as_array().unwrap().len(), 50);
    for (path, lines, status) in [
        ("dnc/add", "+15125550123\n".repeat(90_000), 413),
        ("nobody/add", CALLER.to_owned(), 404),
        ("Not-A-Slug/add", CALLER.to_owned(), 404),
        ("dnc/add?by=", CALLER.to_owned(), 400),
        ("dnc/empty", CALLER.to_owned(), 404),
    ] {
        assert_eq!(post(&exchange, path, &lines).status, status, "{path}");
    }
    let binary = request(&exchange.admin, "POST", "/api/v1/caller-lists/dnc/add", None, &[0xff, 0xfe]);
    assert_eq!(binary.status, 400);
    for number in ["", "?number=", "?number=5125550123x", "?number=1900"] {
        assert_eq!(exchange.get(&format!("/api/v1/caller-lists/dnc/has{number}")).status, 400, "{number}");
    }
    // Unescaped, the plus is a space.
    assert_eq!(exchange.get("/api/v1/caller-lists/dnc/has?number=+15125550123").json()["on"], true);
    // As many prefixes as a list takes, and one more.
    let prefixes = |range: std::ops::Range<u32>| range.map(|n| format!("+44{n}*\n")).collect::<String>();
    assert_eq!(change(&exchange, "dnc/add", &prefixes(10_000..20_000)), [10_000, 0, 1, 10_000]);
    let full = post(&exchange, "dnc/add", "+45*");
    assert_eq!(full.status, 409, "{}", full.text());
    assert!(full.text().contains("at most 10000 prefixes"), "{}", full.text());
    exchange.finish();
}

/// `outcry` against the running exchange, whose port the system chose.
fn cli(exchange: &Exchange, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outcry"))
        .args(args)
        .arg("--config")
        .arg(exchange.settings())
        .env("OUTCRY_ADMIN_LISTEN", &exchange.admin)
        .env("USER", "ann")
        .env_remove("OUTCRY_KEY")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A file of more lines than one request takes, and more numbers than one record.
#[test]
fn a_large_file_is_imported_in_parts_and_nobody_in_it_is_found_anywhere() {
    const COUNT: usize = 130_000;
    let exchange = Exchange::start(&market());
    let number = |n: usize| format!("+1512{:07}", 2_000_000 + n * 13);
    let lines: String = (0..COUNT).map(|n| format!("{},row {n}\n", number(n))).collect();
    let file = exchange.folder.path().join("dnc.csv");
    std::fs::write(&file, format!("number,note\n{lines}+1900*,premium\n")).unwrap();
    let path = file.to_str().unwrap();
    let row = |args: &[&str]| good(&cli(&exchange, &[args, &["--format", "csv"]].concat()));
    assert!(row(&["callers", "add", "dnc", path]).ends_with(&format!("dnc,{},0,{COUNT},1\n", COUNT + 1)));
    assert!(row(&["callers", "add", "dnc", path]).ends_with(&format!("dnc,0,0,{COUNT},1\n")));
    assert!(row(&["callers", "show", "dnc"]).contains(&format!("dnc,{COUNT},1,")));
    assert!(row(&["callers", "show"]).contains("own,0,0,"));
    assert!(row(&["callers", "has", "dnc", &number(COUNT - 1)]).ends_with("dnc,yes,number\n"));
    assert!(good(&cli(&exchange, &["callers", "has", "dnc", "+19005550123"])).contains("+1900*"));
    assert!(row(&["callers", "has", "dnc", "+15129999999"]).ends_with("dnc,no,\n"));

    let exchange = exchange.crash_and_restart();
    for n in [0, 1, 16_383, 16_384, 60_000, COUNT - 1] {
        assert_eq!(on(&exchange, "dnc", &number(n)), "number", "{n}");
    }
    // Faults are told with the lines of the file before anything is sent.
    let faulty = exchange.folder.path().join("faulty.csv");
    std::fs::write(&faulty, format!("{lines}5125550123\n")).unwrap();
    let refused = cli(&exchange, &["callers", "remove", "dnc", faulty.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("line {}: 512•••••••", COUNT + 1)), "{said}");
    let large = cli(
        &exchange,
        &["callers", "replace", "dnc", exchange.folder.path().join("dnc.csv").to_str().unwrap()],
    );
    assert_eq!(large.status.code(), Some(1));

    let some = exchange.folder.path().join("some.txt");
    std::fs::write(&some, format!("{}\n{}\n+1*\n", number(0), number(1))).unwrap();
    let some = some.to_str().unwrap();
    let told = good(&cli(&exchange, &["callers", "replace", "dnc", some, "--format", "csv"]));
    assert!(told.ends_with(&format!("dnc,1,{},2,1\n", COUNT - 2 + 1)), "{told}");
    let told = good(&cli(&exchange, &["callers", "remove", "dnc", some, "--format", "csv"]));
    assert!(told.ends_with("dnc,0,3,0,0\n"), "{told}");

    eventually("the store has taken what is there", || {
        exchange.cli(&["records", "check"]).status.success().then_some(())
    });
    let log = exchange.log().join("\n");
    let folder = exchange.finish();
    let dumped =
        outcry(&["journal", "dump", "--config", folder.path().join("outcry.toml").to_str().unwrap()]);
    let dumped = String::from_utf8(dumped.stdout).unwrap();
    assert!(dumped.contains("callers on dnc: part 0, 16384 added"), "{dumped}");
    assert!(dumped.contains("row listed dnc added"), "{dumped}");
    let mut kept: Vec<Vec<u8>> = files_of(&folder).iter().map(|file| std::fs::read(file).unwrap()).collect();
    kept.extend([log.into_bytes(), dumped.into_bytes()]);
    for n in [0, 1, 70_000, COUNT - 1] {
        let number = number(n);
        for bytes in &kept {
            let is_there = |digits: &[u8]| bytes.windows(digits.len()).any(|window| window == digits);
            assert!(!is_there(&number.as_bytes()[4..]), "{number}");
        }
    }
}

/// A list that the files do not have any more blocks nobody, and can still be emptied.
#[test]
fn a_list_without_its_file_lies_idle() {
    let exchange = Exchange::start(&market());
    change(&exchange, "dnc/add", CALLER);
    let without = Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .buyer("acme", "")
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"");
    without.write_catalog(exchange.folder.path());
    assert_eq!(request(&exchange.admin, "POST", "/api/v1/reload", None, b"").status, 200);
    assert_eq!(next(&exchange, "CA1", CALLER), told("desk", "won"));
    let row = exchange.get("/api/v1/caller-lists/dnc").json();
    assert_eq!((&row["numbers"], &row["is_idle"]), (&json!(1), &json!(true)));
    assert_eq!(post(&exchange, "dnc/add", "+15125550999").status, 404);
    market().write_catalog(exchange.folder.path());
    assert_eq!(request(&exchange.admin, "POST", "/api/v1/reload", None, b"").status, 200);
    assert_eq!(next(&exchange, "CA2", CALLER), told("caller_blocked", "caller_blocked on dnc"));
    without.write_catalog(exchange.folder.path());
    assert_eq!(request(&exchange.admin, "POST", "/api/v1/reload", None, b"").status, 200);
    assert_eq!(change(&exchange, "dnc/remove", CALLER), [0, 1, 0, 0]);
    assert_eq!(exchange.get("/api/v1/caller-lists/dnc").status, 404);
    exchange.finish();
}

/// Offline, where nobody knows who is on a list: it is said.
#[test]
fn a_tried_call_is_said_to_be_on_a_list() {
    let folder = Folder::new();
    market().write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let tried = |args: &[&str]| {
        let from = ["--from", CALLER, "--config", settings.to_str().unwrap()];
        outcry(&[&["plan", "try", "--to", NUMBER], &from[..], args].concat())
    };
    let told = good(&tried(&["--rules"]));
    assert!(
        told.contains("2 of 2 targets")
            && told.contains("caller is on no list of the buyer: own  (saw on none)"),
        "{told}"
    );
    let told = good(&tried(&["--on-list", "own"]));
    let words: Vec<&str> = told.split_whitespace().collect();
    assert!(words.join(" ").contains("20.00 suppressed on own") && told.contains("1 of 2 targets"), "{told}");
    let told = good(&tried(&["--on-list", "own", "--on-list", "dnc"]));
    assert!(
        told.contains("barred     caller_blocked: only the plan's terminal action is left")
            && told.contains("saw on dnc"),
        "{told}"
    );
    let refused = tried(&["--on-list", "nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("nobody is no caller list; there are: dnc, own, premium"), "{said}");
}
