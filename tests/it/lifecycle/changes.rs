//! Changes at run time: they count from the next hold on, survive what an exchange can go through, and give way to a
//! later edit of the same key.

use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::bids::{bid, bid_after, bidders};
use crate::support::http::raw;
use crate::support::market::{CALLER, NUMBER};
use crate::support::strace::{Strace, by_threads};
use crate::support::{Answer, Exchange, Market, eventually, request};

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

/// Two buyers of one target each, tried in order; `lines` are those of the first.
fn market(lines: &str) -> Market {
    Market::new(r#"{ sequential = ["desk", "other"] }"#)
        .buyer("acme", lines)
        .target("desk", "acme", "price = \"20.00\"")
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"")
}

fn patch(exchange: &Exchange, path: &str, body: &Value) -> Answer {
    request(&exchange.admin, "PATCH", &format!("/api/v1/{path}"), None, body.to_string().as_bytes())
}

/// A change that must be taken; the values in force then, by key.
fn change(exchange: &Exchange, path: &str, body: &Value) -> Value {
    let answer = patch(exchange, path, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    values(&answer.json())
}

fn values(document: &Value) -> Value {
    let rows = document["values"].as_array().unwrap();
    Value::Object(
        rows.iter().map(|row| (row["key"].as_str().unwrap().to_owned(), row["value"].clone())).collect(),
    )
}

fn laid(exchange: &Exchange) -> Vec<String> {
    let page = exchange.get("/api/v1/changes").json();
    let words = |row: &Value| {
        let idle = if row["is_idle"] == true { " idle" } else { "" };
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        format!("{} {} {}={}{idle}", text("entity"), text("id"), text("key"), row["value"])
    };
    page["changes"].as_array().unwrap().iter().map(words).collect()
}

fn history(exchange: &Exchange) -> Vec<String> {
    let page = exchange.get("/api/v1/changes/history").json();
    let words = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let value = if row["value"].is_null() { String::new() } else { format!(" {}", row["value"]) };
        format!("{} {} {}{value} by {}", text("id"), text("key"), text("happened"), text("actor"))
    };
    page["changes"].as_array().unwrap().iter().map(words).collect()
}

/// Who takes the next call, and why the first target does not; the call is over then.
fn next(exchange: &Exchange, call: &str) -> (String, String) {
    let answer = exchange.decide(&ask(call));
    let explained = exchange.explained(id(&answer));
    if answer["action"] == "dial" {
        exchange.give_up(&answer);
        exchange.end(id(&answer));
    }
    let target = explained["decision"]["target"].as_str().unwrap_or("nobody").to_owned();
    (target, exchange.outcome(id(&answer), "desk").0)
}

fn taken(target: &str, reason: &str) -> (String, String) {
    (target.to_owned(), reason.to_owned())
}

/// Asks for a reload by signal and waits until it has this result once more.
fn signal_reload(exchange: &Exchange, result: &str) {
    let label = format!("result=\"{result}\"");
    let before = exchange.metric("outcry_config_reloads_total", &label);
    exchange.signal("HUP");
    eventually("the reload is done", || {
        (exchange.metric("outcry_config_reloads_total", &label) > before).then_some(())
    });
}

fn digest(key: &str) -> String {
    let hex: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn is_problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    answer.json()
}

#[test]
fn a_pause_counts_for_the_next_call_until_it_is_taken_back() {
    let exchange = Exchange::start(&market(""));
    assert_eq!(next(&exchange, "CA1"), taken("desk", "won"));
    for (n, (path, reason)) in
        [("buyers/acme", "buyer_paused"), ("targets/desk", "paused")].into_iter().enumerate()
    {
        let now = change(&exchange, path, &json!({"paused": true, "by": "ann"}));
        assert_eq!(now, json!({"paused": true, "concurrency": "none", "daily_billable": "none"}));
        assert_eq!(next(&exchange, &format!("CA-paused-{n}")), taken("other", reason));
        assert_eq!(exchange.get(&format!("/api/v1/{path}")).json()["values"][0]["by"], "ann");
        assert_eq!(change(&exchange, path, &json!({"paused": null}))["paused"], false);
        assert_eq!(next(&exchange, &format!("CA-resumed-{n}")), taken("desk", "won"));
    }
    change(&exchange, "campaigns/auto", &json!({"paused": true}));
    assert_eq!(next(&exchange, "CA-campaign"), taken("nobody", "campaign_paused"));
    assert_eq!(change(&exchange, "campaigns/auto", &json!({"paused": false})), json!({"paused": false}));
    assert_eq!(next(&exchange, "CA-again"), taken("desk", "won"));
    assert_eq!(laid(&exchange), [""; 0], "what the file says anyway is no change");
    assert_eq!(history(&exchange).len(), 6);
    exchange.finish();
}

#[test]
fn caps_count_at_once_and_can_be_lifted() {
    let exchange = Exchange::start(&market("daily_billable = 1\n"));
    let talking = exchange.decide(&ask("CA1"));
    assert_eq!(next(&exchange, "CA2"), taken("other", "cap"));
    let now = change(&exchange, "buyers/acme", &json!({"daily_billable": "none"}));
    assert_eq!(now["daily_billable"], "none");
    assert_eq!(next(&exchange, "CA3"), taken("desk", "won"));
    // One is talking already: that is known to a limit that comes later.
    change(&exchange, "targets/desk", &json!({"concurrency": 1}));
    assert_eq!(next(&exchange, "CA4"), taken("other", "concurrency"));
    change(&exchange, "targets/desk", &json!({"concurrency": 2, "daily_billable": 7}));
    assert_eq!(next(&exchange, "CA5"), taken("desk", "won"));
    assert_eq!(
        laid(&exchange),
        ["buyer acme daily_billable=\"none\"", "target desk concurrency=2", "target desk daily_billable=7"]
    );
    exchange.give_up(&talking);
    exchange.finish();
}

#[test]
fn changes_survive_kills_and_reloads_and_calls_name_what_was_in_force() {
    let mut exchange = Exchange::start(&market(""));
    let files = exchange.get("/api/v1/changes").json();
    assert_eq!(files["catalog"], files["files"]);
    change(&exchange, "buyers/acme", &json!({"paused": true, "concurrency": 5}));
    let before = exchange.get("/api/v1/changes").json();
    let catalog = before["catalog"].clone();
    assert_ne!(catalog, before["files"]);
    for round in 0..2 {
        exchange = exchange.crash_and_restart();
        assert_eq!(exchange.get("/api/v1/changes").json(), before, "round {round}");
        signal_reload(&exchange, "done");
        assert_eq!(exchange.get("/api/v1/changes").json(), before, "round {round}");
        assert_eq!(next(&exchange, &format!("CA{round}")), taken("other", "buyer_paused"));
    }
    let call = exchange.get("/api/v1/calls").json()["calls"][0]["call_id"].as_str().unwrap().to_owned();
    assert_eq!(exchange.explained(&call)["decision"]["catalog"], catalog);
    // What was taken back stays taken back, and the same terms have the same digest.
    change(&exchange, "buyers/acme", &json!({"paused": null, "concurrency": null}));
    assert_eq!(exchange.get("/api/v1/changes").json()["catalog"], files["catalog"]);
    exchange = exchange.crash_and_restart();
    assert_eq!(laid(&exchange), [""; 0]);
    assert_eq!(next(&exchange, "CA-last"), taken("desk", "won"));
    let folder = exchange.finish();
    // The text that calls name says what was changed.
    let store = rusqlite::Connection::open(folder.path().join("store/outcry.db")).unwrap();
    let text: String = store
        .query_row("SELECT text FROM catalog WHERE digest = ?1", [catalog.as_str().unwrap()], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(
        text.ends_with(
            "# changes made at run time\n# buyer acme: concurrency = 5 (file: none)\n# buyer acme: paused = true (file: false)\n"
        ),
        "{text}"
    );
}

#[test]
fn a_later_edit_of_the_file_wins_and_is_told() {
    let told = |exchange: &Exchange| {
        exchange.log().iter().filter(|line| line.contains("its file was edited since and wins")).count()
    };
    let exchange = Exchange::start(&market("concurrency = 5\n"));
    change(&exchange, "buyers/acme", &json!({"paused": true, "concurrency": 9}));
    // An edit of another key leaves both; one of this key ends this change.
    market("concurrency = 5\ndaily_billable = 50\n").write_catalog(exchange.folder.path());
    signal_reload(&exchange, "done");
    assert_eq!(laid(&exchange), ["buyer acme concurrency=9", "buyer acme paused=true"]);
    market("concurrency = 6\ndaily_billable = 50\n").write_catalog(exchange.folder.path());
    signal_reload(&exchange, "done");
    assert_eq!(laid(&exchange), ["buyer acme paused=true"]);
    assert_eq!(values(&exchange.get("/api/v1/buyers/acme").json())["concurrency"], 6);
    assert_eq!(told(&exchange), 1);
    // Edited while it was down, it wins at the start.
    market("concurrency = 6\npaused = true\n").write_catalog(exchange.folder.path());
    let exchange = exchange.crash_and_restart();
    assert_eq!((laid(&exchange).len(), told(&exchange)), (0, 1));
    market("").write_catalog(exchange.folder.path());
    signal_reload(&exchange, "done");
    assert_eq!(next(&exchange, "CA1"), taken("desk", "won"));
    assert_eq!(
        history(&exchange),
        [
            "acme concurrency set 9 by local",
            "acme paused set true by local",
            "acme concurrency file_won by files",
            "acme paused file_won by files"
        ]
    );
    exchange.finish();
}

#[test]
fn who_is_gone_from_the_files_is_still_paused_when_they_come_back() {
    let exchange = Exchange::start(&market(""));
    change(&exchange, "buyers/acme", &json!({"paused": true}));
    Market::new(r#""other""#)
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"10.00\"")
        .write_catalog(exchange.folder.path());
    signal_reload(&exchange, "done");
    assert_eq!(laid(&exchange), ["buyer acme paused=true idle"]);
    assert!(good(&cli(&exchange, &["check", "--running"])).contains("buyer acme is not in the files"));
    is_problem(&exchange.get("/api/v1/buyers/acme"), 404);
    market("").write_catalog(exchange.folder.path());
    signal_reload(&exchange, "done");
    assert_eq!(next(&exchange, "CA1"), taken("other", "buyer_paused"));
    exchange.finish();
}

#[test]
fn a_bad_request_is_told_every_fault_and_changes_nothing() {
    let exchange = Exchange::start(&market(""));
    for (path, body, faults) in [
        (
            "buyers/acme",
            r#"{"paused": "yes", "concurrency": 0, "daily_billable": -1, "by": ""}"#,
            "paused concurrency daily_billable by",
        ),
        ("buyers/acme", r#"{"paused": true, "concurrency": 100001}"#, "concurrency"),
        ("buyers/acme", r#"{"paused": true, "concurrency": 1.5}"#, "concurrency"),
        ("buyers/acme", r#"{"paused": true, "concurrency": "5"}"#, "concurrency"),
        ("buyers/acme", r#"{"paused": true, "by": "a\nb"}"#, "by"),
        ("buyers/acme", r#"{"paused": true, "hours": []}"#, "hours"),
        ("buyers/acme", r#"{"paused": true, "paused": false}"#, "paused"),
        ("campaigns/auto", r#"{"paused": true, "concurrency": 5}"#, "concurrency"),
        ("buyers/acme", r#"{"by": "ann"}"#, "body"),
        ("buyers/acme", "{}", "body"),
        ("buyers/acme", "[true]", "body"),
        ("buyers/acme", "", "body"),
    ] {
        let answer = request(&exchange.admin, "PATCH", &format!("/api/v1/{path}"), None, body.as_bytes());
        let problem = is_problem(&answer, 400);
        let places: Vec<&str> =
            problem["errors"].as_array().unwrap().iter().map(|fault| fault["at"].as_str().unwrap()).collect();
        assert_eq!(places.join(" "), faults, "{body}");
    }
    let large = json!({"paused": true, "by": "x".repeat(20_000)});
    is_problem(&patch(&exchange, "buyers/acme", &large), 413);
    for path in
        ["buyers/nobody", "buyers/desk", "targets/acme", "campaigns/acme", "buyers/A%20b", "buyers/%ff"]
    {
        is_problem(&patch(&exchange, path, &json!({"paused": true})), 404);
        is_problem(&exchange.get(&format!("/api/v1/{path}")), 404);
    }
    is_problem(&request(&exchange.admin, "POST", "/api/v1/buyers/acme", None, b"{}"), 405);
    is_problem(&exchange.get("/api/v1/reload"), 405);
    assert_eq!((laid(&exchange).len(), history(&exchange).len()), (0, 0));
    assert_eq!(next(&exchange, "CA1"), taken("desk", "won"));
    exchange.finish();
}

#[test]
fn keys_name_who_changed_what_and_viewers_change_nothing() {
    let key = |key: &str, rest: &str| format!("{{ digest = \"{}\", {rest} }}", digest(key));
    let keys = [
        key("ann-key", "role = \"operator\", name = \"ann\""),
        key("ops-key", "role = \"operator\""),
        key("eye-key", "role = \"viewer\""),
    ]
    .join(", ");
    let edit = |text: String| text.replace("[admin]\n", &format!("[admin]\nkeys = [{keys}]\n"));
    let mut exchange = Exchange::start_edited(&market(""), edit);
    let send = |method: &str, path: &str, key: Option<&str>, body: &str| {
        request(&exchange.admin, method, &format!("/api/v1/{path}"), key, body.as_bytes())
    };
    for (method, path) in
        [("PATCH", "buyers/acme"), ("PATCH", "targets/desk"), ("PATCH", "campaigns/auto"), ("POST", "reload")]
    {
        is_problem(&send(method, path, None, r#"{"paused": true}"#), 401);
        is_problem(&send(method, path, Some("nobody"), r#"{"paused": true}"#), 401);
        let said = is_problem(&send(method, path, Some("eye-key"), r#"{"paused": true}"#), 403);
        assert!(said["detail"].as_str().unwrap().contains("operator"), "{said}");
    }
    for path in ["changes", "changes/history", "buyers/acme", "targets/desk", "campaigns/auto"] {
        assert_eq!(send("GET", path, Some("eye-key"), "").status, 200, "{path}");
    }
    let page = |path: &str| send("GET", path, Some("eye-key"), "").json()["changes"].clone();
    assert_eq!(page("changes/history"), json!([]));
    assert_eq!(send("PATCH", "buyers/acme", Some("ann-key"), r#"{"paused": true}"#).status, 200);
    // Said again by somebody else it is what it was already.
    assert_eq!(send("PATCH", "buyers/acme", Some("ops-key"), r#"{"paused": true}"#).status, 200);
    let other = r#"{"concurrency": 3, "by": "night shift"}"#;
    assert_eq!(send("PATCH", "targets/desk", Some("ops-key"), other).status, 200);
    let who: Vec<(Value, Value)> = page("changes")
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["actor"].clone(), row["by"].clone()))
        .collect();
    assert_eq!(who, [(json!("ann"), json!(null)), (json!("operator-2"), json!("night shift"))]);
    let first = send("GET", "changes/history?limit=1", Some("eye-key"), "").json();
    let second =
        send("GET", &format!("changes/history?cursor={}", first["next"]), Some("eye-key"), "").json();
    assert_eq!(page("changes/history"), json!([first["changes"][0], second["changes"][0]]));
    exchange.stop();
}

/// Without keys a browser could be made to ask: from a page of another name, or of another port of this machine.
#[test]
fn without_keys_no_page_changes_anything() {
    let exchange = Exchange::start(&market(""));
    let admin = exchange.admin.clone();
    let send = |method: &str, path: &str, head: &str| {
        let body = r#"{"paused": true}"#;
        let text = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\n{head}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        raw(&admin, text.as_bytes())
    };
    for (method, path) in [("PATCH", "buyers/acme"), ("POST", "reload")] {
        is_problem(&send(method, path, "host: evil.example\r\n"), 403);
        for origin in ["http://evil.example", "http://127.0.0.1:1", "http://localhost", "null"] {
            is_problem(&send(method, path, &format!("host: {admin}\r\norigin: {origin}\r\n")), 403);
        }
    }
    assert_eq!((laid(&exchange).len(), exchange.metric("outcry_config_reloads_total", "done")), (0, 0.0));
    // Its own page may.
    assert_eq!(
        send("PATCH", "buyers/acme", &format!("host: {admin}\r\norigin: http://{admin}\r\n")).status,
        200
    );
    assert_eq!(laid(&exchange).len(), 1);
    exchange.finish();
}

#[test]
fn a_reload_by_the_api_says_what_came_of_it() {
    let exchange = Exchange::start(&market(""));
    let reload = || request(&exchange.admin, "POST", "/api/v1/reload", None, b"");
    change(&exchange, "buyers/bolt", &json!({"paused": true}));
    market("concurrency = 4\n").write_catalog(exchange.folder.path());
    let done = reload();
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["changes"], json!(["buyer acme: concurrency none → 4"]));
    assert_eq!(done.json()["catalog"], exchange.get("/api/v1/changes").json()["catalog"]);
    market("concurency = 4\n").and("[target.lost]\nbuyer = \"nobody\"").write_catalog(exchange.folder.path());
    let problem = is_problem(&reload(), 400);
    let said = problem["errors"].to_string();
    assert!(
        said.contains("market.toml:") && said.contains("did you mean") && said.contains("nobody"),
        "{said}"
    );
    assert_eq!(
        exchange.get("/api/v1/changes").json()["catalog"],
        done.json()["catalog"],
        "the running one stays"
    );
    // A pause does not ask the files.
    change(&exchange, "buyers/acme", &json!({"paused": true}));
    assert_eq!(next(&exchange, "CA1"), taken("nobody", "buyer_paused"));
    exchange.finish();
}

/// A disk that does not answer keeps no pause from counting, and nobody is told that it is safe before it is.
#[test]
fn a_disk_that_does_not_answer_keeps_no_pause_from_counting() {
    let exchange = Exchange::start_edited(&market(""), |text| by_threads(&text));
    let stuck = Strace::no_sync(&exchange);
    let pause = || patch(&exchange, "buyers/acme", &json!({"paused": true}));
    let said = is_problem(&pause(), 503);
    assert!(said["detail"].as_str().unwrap().contains("in force, but not known to be on disk"), "{said}");
    let answer = exchange.decide(&ask("CA1"));
    assert_eq!(laid(&exchange), ["buyer acme paused=true"]);
    // Said again it is no news, and still not safe.
    is_problem(&pause(), 503);
    drop(stuck);
    assert_eq!(pause().status, 200);
    assert_eq!(exchange.outcome(id(&answer), "desk").0, "buyer_paused");
    exchange.give_up(&answer);
    let exchange = exchange.crash_and_restart();
    assert_eq!(laid(&exchange), ["buyer acme paused=true"]);
    assert_eq!(history(&exchange).len(), 1);
    exchange.finish();
}

/// The kill switch: a buyer that is paused while bids are out is not handed the call it wins.
#[test]
fn a_winner_paused_during_the_auction_is_not_dialled() {
    let bidders = bidders([("slow", bid_after(400, "30.00")), ("next", bid("10.00"))]);
    let market = Market::new(r#"{ auction = ["slow", "next"] }"#)
        .patient()
        .bidder("slow", &bidders.url("slow"))
        .bidder("next", &bidders.url("next"));
    let exchange = Exchange::start(&market);
    for (n, (path, lines, undone, reason)) in [
        ("buyers/slow", json!({"paused": true}), json!({"paused": null}), "buyer_paused"),
        ("targets/slow", json!({"paused": true}), json!({"paused": null}), "paused"),
        ("campaigns/auto", json!({"paused": true}), json!({"paused": null}), "campaign_paused"),
        ("targets/slow", json!({"concurrency": 1}), json!({"concurrency": null}), "hold_lost"),
    ]
    .into_iter()
    .enumerate()
    {
        let give_up = |answer: &Value| {
            if answer["action"] == "dial" {
                exchange.give_up(answer);
            }
        };
        let holding = (reason == "hold_lost").then(|| exchange.decide(&ask(&format!("CA-holding-{n}"))));
        // On a busy machine the change may come after the bid: then it proves nothing, and is done again.
        let answer = eventually("a change lands in an auction", || {
            let pings = bidders.stats("slow").pings;
            let (answer, is_open) = std::thread::scope(|scope| {
                let asking = scope.spawn(|| exchange.decide(&ask(&format!("CA-{n}-{pings}"))));
                eventually("the slow bidder is asked", || {
                    (bidders.stats("slow").pings > pings).then_some(())
                });
                change(&exchange, path, &lines);
                let is_open = bidders.stats("slow").replies == pings;
                (asking.join().unwrap(), is_open)
            });
            if is_open {
                return Some(answer);
            }
            give_up(&answer);
            change(&exchange, path, &undone);
            None
        });
        let (found, row) = exchange.outcome(id(&answer), "slow");
        // It was asked, and did bid.
        assert_eq!((found.as_str(), &row["amount"]), (reason, &json!("30.00")), "{row}");
        let is_campaign = reason == "campaign_paused";
        let (action, other) = if is_campaign { ("hangup", reason) } else { ("dial", "won") };
        assert_eq!(
            (&answer["action"], exchange.outcome(id(&answer), "next").0.as_str()),
            (&json!(action), other)
        );
        holding.iter().chain([&answer]).for_each(give_up);
        change(&exchange, path, &undone);
    }
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
        .output()
        .unwrap()
}

fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn bad(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.trim().is_empty() && !said.contains("panicked"), "{said}");
    said
}

#[test]
fn the_command_line_pauses_caps_and_shows() {
    let mut exchange = Exchange::start(&market("concurrency = 5\n"));
    assert!(good(&cli(&exchange, &["check", "--running"])).contains("nothing was changed at run time"));
    let rows = |args: &[&str]| -> Value {
        serde_json::from_str(&good(&cli(&exchange, &[args, &["--format", "json"]].concat()))).unwrap()
    };
    let paused = rows(&["buyer", "pause", "acme"]);
    assert_eq!(
        (&paused[0]["key"], &paused[0]["value"], &paused[0]["file"], &paused[0]["actor"], &paused[0]["by"]),
        (&json!("paused"), &json!(true), &json!(false), &json!("local"), &json!("ann"))
    );
    assert_eq!(rows(&["buyer", "show", "acme"]), paused);
    assert_eq!(rows(&["buyer", "resume", "acme"])[0]["value"], false);
    rows(&["buyer", "pause", "acme", "--target", "desk"]);
    let capped = rows(&["buyer", "caps", "acme", "--concurrency", "none", "--daily-billable", "30"]);
    assert_eq!((&capped[1]["value"], &capped[2]["value"]), (&json!("none"), &json!(30)));
    assert_eq!(rows(&["buyer", "caps", "acme", "--concurrency", "file"])[1]["value"], 5);
    assert_eq!(rows(&["campaign", "pause", "auto"])[0]["value"], true);
    assert_eq!(rows(&["campaign", "show", "auto"])[0]["by"], "ann");
    let told = good(&cli(&exchange, &["check", "--running"]));
    for word in ["is good", "3 changes were made at run time", "desk", "daily_billable", "auto", "ann"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    assert!(!told.contains("has read other files"), "{told}");
    rows(&["campaign", "resume", "auto"]);
    rows(&["buyer", "resume", "acme", "--target", "desk"]);
    rows(&["buyer", "caps", "acme", "--daily-billable", "file"]);
    assert_eq!(laid(&exchange), [""; 0]);
    market("concurrency = 6\n").write_catalog(exchange.folder.path());
    assert!(good(&cli(&exchange, &["check", "--running"])).contains("has read other files"));

    let told = good(&cli(&exchange, &["buyer", "show", "acme"]));
    assert!(told.starts_with("entity  id    key"), "{told}");
    // 1: the answer is no.
    for (args, word) in [
        (&["buyer", "pause", "nobody"][..], "no buyer"),
        (&["buyer", "pause", "bolt", "--target", "desk"], "belongs to buyer acme"),
        (&["buyer", "pause", "acme", "--target", "nobody"], "no target"),
        (&["campaign", "pause", "nobody"], "no campaign"),
    ] {
        let said = bad(&cli(&exchange, args), 1);
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(laid(&exchange), [""; 0]);
    // 2: usage.
    for args in [
        &["buyer"][..],
        &["buyer", "pause"],
        &["buyer", "pause", "Not A Slug"],
        &["buyer", "caps", "acme"],
        &["buyer", "caps", "acme", "--concurrency", "0"],
        &["buyer", "caps", "acme", "--concurrency", "many"],
        &["buyer", "caps", "acme", "--daily-billable", "10000001"],
        &["campaign", "caps", "auto"],
        &["check", "--key-file", "x"],
    ] {
        bad(&cli(&exchange, args), 2);
    }
    // Each says how, twice.
    for args in [
        &["buyer"][..],
        &["buyer", "pause"],
        &["buyer", "resume"],
        &["buyer", "caps"],
        &["buyer", "show"],
        &["campaign"],
        &["campaign", "pause"],
        &["campaign", "resume"],
        &["campaign", "show"],
        &["check"],
    ] {
        let told = good(&crate::support::outcry(&[args, &["--help"]].concat()));
        let (_, examples) = told.split_once("Examples:").unwrap_or_else(|| panic!("no examples: {told}"));
        assert_eq!(examples.matches(&format!("outcry {}", args[0])).count(), 2, "{told}");
    }
    // 1: nobody is there; 64: the settings.
    exchange.stop();
    assert!(bad(&cli(&exchange, &["buyer", "show", "acme"]), 1).contains("outcry serve"));
    std::fs::write(exchange.settings(), "[nonsense]\n").unwrap();
    bad(&cli(&exchange, &["buyer", "show", "acme"]), 64);
}

#[test]
fn the_command_line_shows_its_key_and_trusts_the_listeners_certificate() {
    let made = rcgen::generate_simple_self_signed(["admin.example".to_owned()]).unwrap();
    let keys = format!(
        "keys = [{{ digest = \"{}\", role = \"operator\", name = \"ops\" }}, {{ digest = \"{}\", role = \"viewer\" }}]\n",
        digest("ops-key"),
        digest("eye-key")
    );
    let folder = crate::support::Folder::new();
    market("").write(folder.path(), "");
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(file("ops.key"), "ops-key\n").unwrap();
    let settings = file("outcry.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let tls = "tls = { cert_file = \"cert.pem\", key_file = \"key.pem\" }\n";
    std::fs::write(&settings, text.replace("[admin]\n", &format!("[admin]\n{tls}{keys}"))).unwrap();
    let key_file = file("ops.key");
    let mut exchange = Exchange::run(folder);

    assert!(bad(&cli(&exchange, &["buyer", "show", "acme"]), 1).contains("admin key"));
    let told = good(&cli(
        &exchange,
        &["buyer", "pause", "acme", "--key-file", key_file.to_str().unwrap(), "--format", "csv"],
    ));
    assert!(told.contains("buyer,acme,paused,true,false,ops,ann,"), "{told}");
    let by_env = |key: &str, args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_outcry"))
            .args(args)
            .arg("--config")
            .arg(exchange.settings())
            .env("OUTCRY_ADMIN_LISTEN", &exchange.admin)
            .env("OUTCRY_KEY", key)
            .output()
            .unwrap()
    };
    assert!(good(&by_env("eye-key", &["check", "--running"])).contains("1 change was made at run time"));
    assert!(bad(&by_env("eye-key", &["buyer", "resume", "acme"]), 1).contains("operator"));
    // Another certificate is not trusted, whoever signed it.
    let other = rcgen::generate_simple_self_signed(["admin.example".to_owned()]).unwrap();
    std::fs::write(exchange.folder.path().join("cert.pem"), other.cert.pem()).unwrap();
    assert!(bad(&by_env("eye-key", &["buyer", "show", "acme"]), 1).contains("another certificate"));
    exchange.stop();
}
