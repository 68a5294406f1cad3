//! Pings stay out of our own network, whatever a buyer's host name says.

use load::bidders::{Bidders, Script};

use super::{bids, call, hang_up, outcome};
use crate::support::market::SETTINGS;
use crate::support::{Exchange, Folder, Market, outcry};

/// Hosts that no rule takes for an address, and that every resolver takes for 127.0.0.1.
const DISGUISED: [&str; 3] = ["127.1", "2130706433", "0x7f000001"];

fn market(bidders: &Bidders) -> Market {
    let mut market = Market::new(r#"{ sequential = [{ auction = ["n0", "n1", "n2"] }, "fixed"] }"#)
        .campaign("deadline_ms = 900\npayout = { fixed = \"5.00\" }")
        .buyer("fixed", "")
        .target("fixed", "fixed", "price = \"12.00\"");
    for (at, host) in DISGUISED.iter().enumerate() {
        let name = format!("n{at}");
        market = market.bidder(&name, &bidders.url(&name).replace("127.0.0.1", host));
    }
    market
}

#[test]
fn a_name_that_points_into_our_network_is_not_asked() {
    let scripts = (0..3).map(|at| Script::new(format!("n{at}"), bids(5, 2_000 + at))).collect();
    let bidders = Bidders::start(1, scripts).unwrap();
    let closed = SETTINGS.replace("allow_private_addresses = true", "allow_private_addresses = false");
    let exchange = Exchange::start_as(&market(&bidders), &closed);
    let answer = call(&exchange);
    assert_eq!(answer["basis"], "static", "{answer:#}");
    for name in ["n0", "n1", "n2"] {
        let (reason, row) = exchange.outcome(answer["call_id"].as_str().unwrap(), name);
        assert_eq!(reason, "dns", "{row}");
        assert_eq!(row["note"], "the address is closed to pings");
        assert_eq!(bidders.stats(name).connections, 0, "{name} was connected to");
    }
    hang_up(&exchange, &answer);
    exchange.finish();

    // The same names, where the operator opened the own network.
    let exchange = Exchange::start(&market(&bidders));
    let answer = call(&exchange);
    let outcomes = ["n0", "n1", "n2"].map(|name| outcome(&exchange, &answer, name));
    assert_eq!(outcomes, ["outbid 20.00", "outbid 20.01", "won 20.02"]);
    hang_up(&exchange, &answer);
    exchange.finish();
}

#[test]
fn a_private_address_in_the_catalog_is_an_error() {
    let closed = SETTINGS.replace("allow_private_addresses = true", "");
    for host in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "localhost"] {
        let market = Market::new(r#"{ auction = ["n"] }"#).bidder("n", &format!("http://{host}:9/bid"));
        let folder = Folder::new();
        market.write_as(folder.path(), &closed);
        let file = folder.path().join("outcry.toml");
        let checked = outcry(&["check", "--config", file.to_str().unwrap()]);
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(checked.status.code(), Some(64), "{host}: {said}");
        assert!(said.contains(&format!("{host} is on a private network")), "{host}: {said}");
    }
}
