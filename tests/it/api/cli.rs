//! The command line against the store of a running exchange: what it prints, and its exit codes.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Folder, Market, outcry};

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a command that ends well; nothing is coloured when nobody looks.
fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(!printed.contains('\u{1b}'), "{printed}");
    printed
}

/// Standard error of a command that ends with this code.
fn bad(output: &Output, code: i32) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.trim().is_empty() && !said.contains("panicked"), "{said}");
    said
}

#[test]
fn reports_are_read_from_the_store_of_a_running_exchange() {
    let exchange = Exchange::start(&market());
    let asked = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER, "sub_id": "a,\"b\""});
    let answer = exchange.decide(&asked);
    let call = answer["call_id"].as_str().unwrap();
    exchange.talk(&answer, 95_000);

    let table = good(&exchange.cli(&["pnl", "--by", "buyer"]));
    assert!(table.contains("revenue") && table.contains("acme") && table.contains("20.00"), "{table}");
    let rows: Value = serde_json::from_str(&good(&exchange.cli(&["pnl", "--format", "json"]))).unwrap();
    assert_eq!(
        (&rows[0]["key"], &rows[0]["calls"], &rows[0]["revenue"], &rows[0]["margin_percent"]),
        (&json!("auto"), &json!(1), &json!("20.00"), &json!(75.0))
    );
    let csv = good(&exchange.cli(&["pnl", "--format", "csv"]));
    assert!(
        csv.starts_with(
            "key,calls,ended,connected,billable,talk_minutes,revenue,payout,margin,margin_percent"
        )
    );
    assert!(csv.contains("auto,1,1,1,1,1.6,20.00,5.00,15.00,75.0"), "{csv}");
    let none = good(&exchange.cli(&["pnl", "--since", "2090-01-01T00:00:00Z", "--format", "json"]));
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap(), json!([]));

    let table = good(&exchange.cli(&["calls"]));
    assert!(table.contains(call) && table.contains("billable"), "{table}");
    let rows: Value = serde_json::from_str(&good(&exchange.cli(&["calls", "--format", "json"]))).unwrap();
    let page = exchange.get("/api/v1/calls").json();
    assert_eq!(rows, page["calls"], "both say the same in the same words");
    let csv = good(&exchange.cli(&["calls", "--format", "csv"]));
    assert!(csv.lines().next().unwrap().starts_with("at,call_id,campaign,publisher,carrier,carrier_call_id"));
    assert!(csv.contains(r#""a,""b""""#), "{csv}");
    let args = ["calls", "--reason", "too_short", "--format", "json"];
    assert_eq!(good(&exchange.cli(&args)).trim(), "[]");
    let args = [
        "calls",
        "--buyer",
        "acme",
        "--campaign",
        "auto",
        "--publisher",
        "pub",
        "--reason",
        "billable",
        "--limit",
        "1",
        "--format",
        "json",
    ];
    let rows: Value = serde_json::from_str(&good(&exchange.cli(&args))).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1);

    let told = good(&exchange.cli(&["explain", call]));
    assert_eq!(told, good(&exchange.cli(&["explain"])), "without an id it is the newest call");
    for word in [call, "desk", "billable", "LEDGER", "balanced", "publisher:pub"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    let told = good(&exchange.cli(&["explain", call, "--format", "json"]));
    let explained = exchange.get(&format!("/api/v1/calls/{call}")).json();
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), explained);
    exchange.finish();
}

/// Offline: no exchange runs, and nothing is written.
#[test]
fn a_call_that_nobody_makes_is_tried() {
    let filters =
        "filters = [{ state = [\"TX\"] }, { not = { tag = \"case\", op = \"=\", value = \"theft\" } }]";
    let market = Market::new(r#"{ sequential = ["texan", "desk"] }"#)
        .buyer("acme", "hours = [\"daily 00:00-24:00\", \"2026-12-25 closed\"]")
        .buyer("bolt", "")
        .target("texan", "acme", &format!("price = \"20.00\"\n{filters}"))
        .target("desk", "bolt", "price = \"10.00\"");
    let folder = Folder::new();
    market.write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let tried = |args: &[&str]| {
        let asked = [&["plan", "try", "--to", NUMBER, "--config", settings.to_str().unwrap()], args].concat();
        good(&outcry(&asked))
    };
    let day = ["--at", "2026-11-20T15:00:00Z"];
    let told = tried(&[&["--from", CALLER, "--tag", "case=theft"][..], &day].concat());
    assert!(told.contains("tag          case theft"), "{told}");
    assert!(told.contains("no       not(tag case = theft)  (saw case theft)"), "{told}");
    assert!(told.contains("1 of 2 targets may take the call"), "{told}");
    let told = tried(&[&["--from", CALLER, "--rules"][..], &day].concat());
    assert!(told.contains("yes      state in TX  (saw state TX)") && told.contains("2 of 2"), "{told}");
    // As a call is read: either case, and no word that is no state.
    let told = tried(&[&["--from", "+12125550123", "--state", "tx", "--rules"][..], &day].concat());
    assert!(told.contains("yes      state in TX  (saw state TX)"), "{told}");
    let texas = ["plan", "try", "--to", NUMBER, "--config", settings.to_str().unwrap(), "--state", "Texas"];
    assert!(bad(&outcry(&texas), 2).contains("two letters of a state"));
    let told = tried(&["--withheld", "--zip", "10001", "--at", "2026-12-25T15:00:00Z", "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["state"], &told["geo_source"]), (&json!("NY"), &json!("carrier")));
    let texan = &told["targets"][0];
    assert_eq!(texan["verdict"], "closed", "the first rule that does not hold is the reason: {texan:#}");
    let says: Vec<&str> =
        texan["rules"].as_array().unwrap().iter().map(|r| r["says"].as_str().unwrap()).collect();
    // Behind the filters stand the bars of its price.
    assert_eq!(says, ["yes", "yes", "no", "no", "yes", "yes", "yes"], "{texan:#}");
    assert_eq!((&told["floor"], &told["pricing"]), (&json!("campaign 0.00"), &json!("first")));

    let config = ["--config", settings.to_str().unwrap()];
    let together = market.clone().plan(
        "root = { sequential = [{ simultaneous = [\"texan\", \"desk\"] }] }\nterminal = { hangup = \"busy\" }",
    );
    together.write_catalog(folder.path());
    let at_once = good(&outcry(&[&["plan", "show", "main"], &config[..]].concat()));
    assert!(at_once.contains("└─ all at once, whoever presses 1\n│     ├─ texan"), "{at_once}");
    assert!(tried(&["--from", CALLER]).contains("of 2 targets"), "both are tried");
    market.write_catalog(folder.path());
    let drawn = good(&outcry(&[&["plan", "show", "main"], &config[..]].concat()));
    assert!(
        drawn.starts_with("main\n├─ sequential\n│  ├─ texan") && drawn.contains("└─ otherwise"),
        "{drawn}"
    );
    let said = bad(&outcry(&[&["plan", "show", "autos"], &config[..]].concat()), 1);
    assert!(said.contains("autos is no plan; there are: main, nobody"), "{said}");
    bad(&outcry(&[&["plan", "try", "--to", "800"], &config[..]].concat()), 2);
    bad(&outcry(&[&["plan", "try", "--to", NUMBER, "--tag", "case"], &config[..]].concat()), 2);
}

#[test]
fn reports_are_the_same_after_the_exchange_has_stopped() {
    let exchange = Exchange::start(&market());
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    exchange.talk(&answer, 95_000);
    let args = ["pnl", "--by", "target", "--format", "csv"];
    let before = good(&exchange.cli(&args));
    let folder = exchange.finish();
    let settings = folder.path().join("outcry.toml");
    let after = good(&outcry(&[&args[..], &["--config", settings.to_str().unwrap()]].concat()));
    assert_eq!(before, after);
}

#[test]
fn a_message_that_nobody_can_be_told_keeps_its_exit_code() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_outcry"));
    let status = command.args(["check", "--config", "nowhere.toml"]).stderr(full).status().unwrap();
    assert_eq!(status.code(), outcry(&["check", "--config", "nowhere.toml"]).status.code());
}

#[test]
fn every_way_to_fail_has_its_exit_code() {
    let exchange = Exchange::start(&market());
    // 1: the answer is no.
    let said = bad(&exchange.cli(&["explain", "01JD3Z5QAX7Y8R2M4N6P8S0TVW"]), 1);
    assert!(said.contains("01JD3Z5QAX7Y8R2M4N6P8S0TVW") && said.contains("outcry calls"), "{said}");
    // 2: usage.
    for args in [
        &["explain", "nonsense"][..],
        &["calls", "--limit", "0"],
        &["calls", "--reason", "bored"],
        &["calls", "--format", "xml"],
        &["calls", "--since", "yesterday"],
        &["pnl", "--by", "weather"],
        &["pnl", "--nonsense"],
    ] {
        bad(&exchange.cli(args), 2);
    }
    bad(&outcry(&[]), 2);
    bad(&outcry(&["frobnicate"]), 2);
    exchange.finish();

    // 65: there is no store (yet).
    let folder = Folder::new();
    market().write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let settings = settings.to_str().unwrap();
    for verb in [&["pnl"][..], &["calls"], &["explain", "01JD3Z5QAX7Y8R2M4N6P8S0TVW"]] {
        let said = bad(&outcry(&[verb, &["--config", settings]].concat()), 65);
        assert!(said.contains("no store at") && said.contains("outcry serve"), "{said}");
    }
    // 65: it is none of ours.
    let store = folder.path().join("store");
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join("outcry.db"), "somebody's diary").unwrap();
    bad(&outcry(&["pnl", "--config", settings]), 65);
    // 64: the configuration.
    market().and("[target.desk]\nbuyer = \"nobody\"").write(folder.path(), "");
    for verb in [&["check"][..], &["serve"]] {
        bad(&outcry(&[verb, &["--config", settings]].concat()), 64);
    }
    // Reports need the store only: a fault of the catalog does not keep anybody from the figures.
    bad(&outcry(&["pnl", "--config", settings]), 65);
    market().write(folder.path(), "[reports]\n");
    for verb in [&["pnl"][..], &["calls"], &["explain", "01JD3Z5QAX7Y8R2M4N6P8S0TVW"]] {
        bad(&outcry(&[verb, &["--config", settings]].concat()), 64);
    }
    let nowhere = folder.path().join("nowhere.toml");
    let said = bad(&outcry(&["serve", "--config", nowhere.to_str().unwrap()]), 64);
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[test]
fn check_says_all_that_is_wrong_or_what_there_is() {
    let folder = Folder::new();
    market().write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let check = || outcry(&["check", "--config", settings.to_str().unwrap()]);
    let said = good(&check());
    for word in
        ["is good", "2 carriers, 1 campaigns, 1 publishers, 1 tracking numbers", "1 targets", "2 plans"]
    {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    market()
        .target("other", "nobody", "price = \"free\"\nteir = 2")
        .and("[plan.third]\nroot = \"missing\"")
        .write(folder.path(), "");
    let said = bad(&check(), 64);
    for word in ["nobody", "free", "teir", "did you mean \"tier\"", "missing", "terminal", "market.toml:"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(said.contains("5 errors in the configuration; nothing was started"), "{said}");
}

#[test]
fn a_key_fits_its_digest() {
    let made = good(&outcry(&["key"]));
    let word = |name: &str| {
        let line = made.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    use sha2::{Digest, Sha256};
    let digest: String =
        Sha256::digest(word("key").as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(word("digest"), format!("sha256:{digest}"));
    assert_ne!(made, good(&outcry(&["key"])));
}
