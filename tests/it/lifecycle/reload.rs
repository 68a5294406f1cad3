//! SIGHUP: a good catalog is in force for the next call, a bad one changes nothing, a call in flight keeps its own.

use serde_json::{Value, json};

use crate::support::bids::{bid, bid_after, bidders};
use crate::support::market::{CALLER, NUMBER};
use crate::support::{Exchange, Market, eventually};

fn ask(id: &str) -> Value {
    json!({"carrier_call_id": id, "to": NUMBER, "from": CALLER})
}

fn id(answer: &Value) -> &str {
    answer["call_id"].as_str().unwrap()
}

fn market(price: &str) -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", &format!("price = \"{price}\""))
}

/// Asks for a reload and waits until it has this result once more.
fn reload(exchange: &Exchange, result: &str) {
    let label = format!("result=\"{result}\"");
    let before = exchange.metric("outcry_config_reloads_total", &label);
    exchange.signal("HUP");
    eventually(&format!("a reload is {result}"), || {
        (exchange.metric("outcry_config_reloads_total", &label) > before).then_some(())
    });
}

/// The values of one field of the log's lines.
fn logged(exchange: &Exchange, field: &str) -> Vec<String> {
    let lines = exchange.log();
    let read = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    read.filter_map(|line| line[field].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_new_price_is_in_force_for_the_next_call() {
    let exchange = Exchange::start(&market("20.00"));
    let before = exchange.decide(&ask("CA1"));
    market("22.50").write_catalog(exchange.folder.path());
    // Written is not in force.
    let still = exchange.decide(&ask("CA2"));
    reload(&exchange, "done");
    let after = exchange.decide(&ask("CA3"));
    for (answer, price) in [(&before, "20.00"), (&still, "20.00"), (&after, "22.50")] {
        // What was agreed when the call was handed out is what it costs.
        exchange.talk(answer, 90_000);
        assert_eq!(exchange.ledger(id(answer))[0].1, price);
    }
    eventually("the change is in the log", || {
        let changes = logged(&exchange, "change");
        changes.contains(&"target desk: price 20.00 → 22.50".to_owned()).then_some(())
    });
    let catalog = |answer: &Value| exchange.explained(id(answer))["decision"]["catalog"].clone();
    assert_eq!(catalog(&before), catalog(&still));
    assert_ne!(catalog(&before), catalog(&after));
    assert!(exchange.metric("outcry_config_last_reload_success_timestamp_seconds", "") > 0.0);
    // The same files again are no change, and do no harm.
    reload(&exchange, "done");
    assert_eq!(logged(&exchange, "change").len(), 1);
    exchange.finish();
}

#[test]
fn a_bad_catalog_is_refused_whole() {
    let exchange = Exchange::start(&market("20.00"));
    market("99.00")
        .target("second", "nobody", "price = \"free\"")
        .target("third", "acme", "price = \"1.00\"\nteir = 2")
        .write_catalog(exchange.folder.path());
    reload(&exchange, "refused");
    eventually("every problem is in the log", || {
        let problems = logged(&exchange, "problem").join("\n");
        ["nobody", "free", "teir"].iter().all(|word| problems.contains(word)).then_some(())
    });
    assert!(logged(&exchange, "problem").iter().all(|problem| problem.contains("market.toml:")));
    assert_eq!(logged(&exchange, "problem").len(), 3);
    let answer = exchange.decide(&ask("CA1"));
    exchange.talk(&answer, 90_000);
    assert_eq!(exchange.ledger(id(&answer))[0].1, "20.00", "the old catalog serves on");
    assert_eq!(exchange.get("/readyz").status, 200);

    // No catalog at all is no better.
    std::fs::remove_file(exchange.folder.path().join("catalog/market.toml")).unwrap();
    reload(&exchange, "refused");
    exchange.give_up(&exchange.decide(&ask("CA2")));
    // Mended, it is taken.
    market("21.00").write_catalog(exchange.folder.path());
    reload(&exchange, "done");
    let answer = exchange.decide(&ask("CA3"));
    exchange.talk(&answer, 90_000);
    assert_eq!(exchange.ledger(id(&answer))[0].1, "21.00");
    exchange.finish();
}

#[test]
fn an_auction_in_flight_ends_by_the_catalog_it_began_with() {
    // Scenario 18.
    let bidders = bidders([("slow", bid_after(400, "30.00")), ("next", bid("10.00"))]);
    let with = |lines: &str, address: &str| {
        let endpoint = |name: &str| format!("endpoint = {{ url = \"{}\" }}", bidders.url(name));
        Market::new(r#"{ auction = ["slow", "next"] }"#)
            .patient()
            .buyer("slow", "")
            .target("slow", "slow", &format!("address = \"{address}\"\n{lines}{}", endpoint("slow")))
            .buyer("next", "")
            .target("next", "next", &endpoint("next"))
    };
    let exchange = Exchange::start(&with("", "+15125550901"));
    // On a busy machine the reload may come after the bid: then it proves nothing, and is done again.
    let in_flight = eventually("a reload lands in an auction", || {
        let pings = bidders.stats("slow").pings;
        let (answer, is_open) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| exchange.decide(&ask(&format!("CA{pings}"))));
            eventually("the slow bidder is asked", || (bidders.stats("slow").pings > pings).then_some(()));
            with("filters = [{ not = { state = [\"TX\"] } }]\n", "+15125550902")
                .write_catalog(exchange.folder.path());
            reload(&exchange, "done");
            let is_open = bidders.stats("slow").replies == pings;
            (asking.join().unwrap(), is_open)
        });
        if is_open && answer["reason"] == "won" && answer["targets"][0]["address"] != "+15125550900" {
            return Some(answer);
        }
        exchange.give_up(&answer);
        with("", "+15125550901").write_catalog(exchange.folder.path());
        reload(&exchange, "done");
        None
    });
    assert_eq!(
        (&in_flight["reason"], &in_flight["targets"][0]["address"]),
        (&json!("won"), &json!("+15125550901"))
    );
    let after = exchange.decide(&ask("CA-after"));
    assert_eq!(exchange.outcome(id(&after), "slow").0, "geo");
    assert_eq!(exchange.outcome(id(&after), "next").0, "won");
    let catalog = |answer: &Value| exchange.explained(id(answer))["decision"]["catalog"].clone();
    assert_ne!(catalog(&in_flight), catalog(&after));
    exchange.talk(&in_flight, 90_000);
    assert_eq!(exchange.ledger(id(&in_flight))[0].1, "30.00");
    exchange.give_up(&after);
    exchange.finish();
}

#[test]
fn a_target_that_is_removed_still_pays_for_its_call() {
    let exchange = Exchange::start(&market("20.00"));
    let answer = exchange.decide(&ask("CA1"));
    Market::new(r#""other""#)
        .buyer("bolt", "")
        .target("other", "bolt", "price = \"9.00\"")
        .write_catalog(exchange.folder.path());
    reload(&exchange, "done");
    exchange.talk(&answer, 90_000);
    assert_eq!(exchange.ledger(id(&answer))[0], ("buyer:acme".to_owned(), "20.00".to_owned()));
    let next = exchange.decide(&ask("CA2"));
    assert_eq!(exchange.explained(id(&next))["decision"]["target"], "other");
    exchange.give_up(&next);
    exchange.finish();
}

#[test]
fn a_daily_cap_counts_on_through_a_reload() {
    let with = |price: &str| {
        Market::new(r#""desk""#).buyer("acme", "daily_billable = 1\n").target(
            "desk",
            "acme",
            &format!("price = \"{price}\""),
        )
    };
    let exchange = Exchange::start(&with("20.00"));
    let answer = exchange.decide(&ask("CA1"));
    exchange.talk(&answer, 90_000);
    with("21.00").write_catalog(exchange.folder.path());
    reload(&exchange, "done");
    let refused = exchange.decide(&ask("CA2"));
    assert_eq!(exchange.outcome(id(&refused), "desk").0, "cap");
    exchange.finish();
}

/// A limit that a reload sets knows the calls that were handed out before there was one.
#[test]
fn a_new_limit_counts_what_is_in_progress_and_what_the_day_has_had() {
    let with = |limits: &str| {
        Market::new(r#""desk""#).buyer("acme", limits).target("desk", "acme", "price = \"20.00\"")
    };
    let exchange = Exchange::start(&with(""));
    let billed = exchange.decide(&ask("CA1"));
    exchange.talk(&billed, 90_000);
    let talking = exchange.decide(&ask("CA2"));
    exchange.report(&talking, "bridged", 1_000, json!({}));
    with("concurrency = 1\n").write_catalog(exchange.folder.path());
    reload(&exchange, "done");
    assert_eq!(exchange.outcome(id(&exchange.decide(&ask("CA3"))), "desk").0, "concurrency");
    exchange.talk(&talking, 90_000);
    with("daily_billable = 2\n").write_catalog(exchange.folder.path());
    reload(&exchange, "done");
    assert_eq!(exchange.outcome(id(&exchange.decide(&ask("CA4"))), "desk").0, "cap");
    exchange.finish();
}

/// Settings are for the next start: a reload says that they were changed, and whether the next start would fail.
#[test]
fn changed_settings_are_told_at_a_reload() {
    let exchange = Exchange::start(&market("20.00"));
    let file = exchange.settings();
    let text = std::fs::read_to_string(&file).unwrap();
    let said = |what: &str| exchange.log().iter().filter(|line| line.contains(what)).count();
    reload(&exchange, "done");
    assert_eq!(said("the settings were changed"), 0);
    std::fs::write(&file, format!("{text}\n[money]\ncurency = \"EUR\"\n")).unwrap();
    exchange.signal("HUP");
    eventually("the change is told", || (said("the settings were changed") == 1).then_some(()));
    assert_eq!(said("the next start would fail"), 1);
    assert!(exchange.log().join("\n").contains("did you mean"));
    exchange.finish();
}
