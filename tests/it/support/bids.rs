//! What scripted bidders say, in one word each.

use load::bidders::{Behaviour, Bidders, Latency, NoBidForm, Script};

/// Bids this after so many milliseconds.
pub fn bid_after(latency_ms: u64, bid: &str) -> Behaviour {
    Behaviour::Fixed { latency_ms, body: format!(r#"{{"ping_id":"$PING_ID","bid":"{bid}"}}"#) }
}

/// Bids this at once.
pub fn bid(bid: &str) -> Behaviour {
    bid_after(2, bid)
}

/// Does not bid.
pub fn no_bid() -> Behaviour {
    Behaviour::NoBid { latency: Latency::Fixed(2), form: NoBidForm::Status204 }
}

/// Bidders by name.
pub fn bidders<const N: usize>(scripts: [(&str, Behaviour); N]) -> Bidders {
    let scripts = scripts.into_iter().map(|(name, behaviour)| Script::new(name, behaviour)).collect();
    Bidders::start(1, scripts).unwrap()
}
