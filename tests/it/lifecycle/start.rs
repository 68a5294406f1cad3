//! What the first minute needs: files, ports, keys, and messages that say what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::bids::{bid, bidders};
use crate::support::market::{CALLER, NUMBER};
use crate::support::strace::threads;
use crate::support::{Exchange, Folder, Market, eventually, outcry};

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"")
}

/// `outcry serve` that must refuse to start; what it says, log included.
fn refused(folder: &Folder, code: i32) -> String {
    let settings = folder.path().join("outcry.toml");
    let output = outcry(&["serve", "--config", settings.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn one_journal_has_one_writer() {
    let exchange = Exchange::start(&market());
    // Another process with the same settings; its ports are free, since the system chooses them.
    let said = refused(&exchange.folder, 64);
    assert!(said.contains("outcry.journal is in use by another process"), "{said}");
    assert!(said.contains("name another directory"), "{said}");
    // The first one is none the worse for it.
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    exchange.talk(&answer, 90_000);
    let folder = exchange.finish();
    // And a store that nobody writes to any more can be taken over.
    let next = Exchange::run(folder);
    assert_eq!(next.get("/api/v1/ledger").json()["entries"].as_array().unwrap().len(), 3);
    next.finish();
}

#[test]
fn what_calls_do_not_wait_for_comes_behind_them() {
    let exchange = Exchange::start(&market());
    let niceness = |name: &str| {
        let thread = threads(exchange.pid(), name).remove(0);
        let stat = fs::read_to_string(format!("/proc/{}/task/{thread}/stat", exchange.pid())).unwrap();
        // The 19th field; the second is the name, in brackets.
        let after_name = stat.rsplit(") ").next().unwrap();
        after_name.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
    };
    for behind in ["store", "journal-fold", "journal-house", "admin"] {
        eventually("its priority is lowered", || {
            // Whoever runs the tests behind others gets no further than 19.
            (niceness(behind) == (10 + niceness("worker-0")).min(19)).then_some(())
        });
    }
    exchange.finish();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for listener in ["call_traffic", "admin"] {
        let folder = Folder::new();
        market().write(folder.path(), "");
        let settings = folder.path().join("outcry.toml");
        let text = fs::read_to_string(&settings).unwrap();
        let (from, to) = (
            format!("[{listener}]\nlisten = \"127.0.0.1:0\""),
            format!("[{listener}]\nlisten = \"{address}\""),
        );
        assert!(text.contains(&from));
        fs::write(&settings, text.replace(&from, &to)).unwrap();
        let said = refused(&folder, 1);
        assert!(said.contains(&address), "{said}");
        assert!(!folder.path().join("store/outcry.db").exists(), "nothing is left of a start that failed");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let folder = Folder::new();
    let said = refused(&folder, 64);
    assert!(said.contains("outcry.toml") && said.contains("1 error in the configuration"), "{said}");
    // Settings without a catalog.
    market().write(folder.path(), "");
    fs::remove_file(folder.path().join("catalog/market.toml")).unwrap();
    let said = refused(&folder, 64);
    assert!(said.contains("catalog") && said.contains("holds 0 files *.toml"), "{said}");
    fs::remove_dir(folder.path().join("catalog")).unwrap();
    let said = refused(&folder, 64);
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn a_caller_key_is_made_once_and_for_one_reader() {
    let bidders = bidders([("acme", bid("20.00"))]);
    let market = Market::new(r#"{ auction = ["acme"] }"#).patient().bidder("acme", &bidders.url("acme"));
    let token = |exchange: &Exchange, id: &str| {
        let answer = exchange.decide(&json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER}));
        exchange.give_up(&answer);
        let ping: Value = serde_json::from_str(&bidders.pings("acme").last().unwrap().body).unwrap();
        ping["caller"]["token"].as_str().unwrap().to_owned()
    };
    let exchange = Exchange::start(&market);
    let path = exchange.folder.path().join("store/caller.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (key, first) = (fs::read(&path).unwrap(), token(&exchange, "CA1"));
    assert!(key.len() >= 32);
    let folder = exchange.finish();
    let exchange = Exchange::run(folder);
    assert_eq!(fs::read(&path).unwrap(), key);
    assert_eq!(token(&exchange, "CA2"), first, "buyers know a caller again after a restart");
    let folder = exchange.finish();
    // A key that is too short to be one is refused and not replaced.
    fs::write(&path, "short").unwrap();
    let said = refused(&folder, 1);
    assert!(said.contains("caller.key") && said.contains("fewer than 32 bytes"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), b"short");
    // Nor is one that is gone made anew while there is a journal that is sealed with it.
    fs::remove_file(&path).unwrap();
    let said = refused(&folder, 65);
    assert!(said.contains("caller.key is gone") && said.contains("put it back from a copy"), "{said}");
    assert!(!path.exists());
    fs::write(&path, key).unwrap();
    Exchange::run(folder).finish();
}

#[test]
fn the_first_lines_say_where_it_is() {
    let exchange = Exchange::start(&market());
    let log = exchange.log();
    assert!(log.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log:#?}");
    assert!(exchange.traffic.starts_with("127.0.0.1:") && !exchange.traffic.ends_with(":0"));
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    // With port 0 the system chose one, and carriers are told which.
    assert!(answer["events"].as_str().unwrap().starts_with(&format!("http://{}/", exchange.traffic)));
    exchange.give_up(&answer);
    exchange.finish();
}

#[test]
fn carriers_are_given_the_public_url() {
    let exchange = Exchange::start_edited(&market(), |text| {
        let url = "public_base_url = \"https://calls.outcry.example/sw\"";
        text.replace("[call_traffic]\n", &format!("[call_traffic]\n{url}\n"))
    });
    let answer = exchange.decide(&json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}));
    let events = answer["events"].as_str().unwrap();
    let path = events.strip_prefix("https://calls.outcry.example/sw").unwrap();
    let local = json!({"events": format!("http://{}{path}", exchange.traffic)});
    exchange.give_up(&local);
    exchange.finish();
}
