//! Every figure a run may give, and what it means: what bars may name, and what the documentation tells.
//!
//! How a figure is worked out is in `figures`, `stage`, `run` and `search`; a test holds their names against these.

/// Name and meaning. Unless it says otherwise, of the calls due within the phase.
pub const FIGURES: [(&str, &str); 50] = [
    ("calls", "calls due"),
    ("answered", "answered with 200"),
    ("refused", "refused with 503"),
    ("unanswered", "neither: another status, a broken connection, no answer in time"),
    ("per_s", "answered per second"),
    ("auctioned", "answered calls that at least one bidder was pinged for"),
    ("pings_per_auction", "pings of an auctioned call, mean"),
    ("right", "auctions won by the highest bid that came in time"),
    ("wrong", "auctions won by another"),
    ("open_share", "share of auctions that hang on a reply so close to the deadline that nobody can say"),
    ("goodput_per_s", "auctions with the right winner per second"),
    ("forced", "auctions that the deadline ended, with a reply still owed"),
    (
        "early",
        "answers more than 1 ms before the deadline while a bidder that bids was out and might have bid more",
    ),
    ("p50_ms", "decision, from the sending of the request to the answer read: median"),
    ("p90_ms", "decision, 90th percentile"),
    ("p99_ms", "decision, 99th percentile"),
    ("due_p50_ms", "decision, from the moment the call was due instead of sent: median"),
    ("due_p99_ms", "the same, 99th percentile"),
    ("due_max_ms", "the same, longest"),
    (
        "added_p50_us",
        "added latency: from the last reply in time (forced: from the deadline) to the answer, median",
    ),
    ("added_p90_us", "added latency, 90th percentile"),
    ("added_p99_us", "added latency, 99th percentile"),
    ("net_p50_us", "added_p50_us less straight_p50_us"),
    ("straight_p50_us", "what the harness adds by itself: the same carriers straight at a bidder, median"),
    ("forced_p50_us", "lateness of forced answers after the deadline, median"),
    ("forced_p90_us", "lateness of forced answers, 90th percentile"),
    ("forced_p99_us", "lateness of forced answers, 99th percentile"),
    ("refused_p50_ms", "time to a refusal, median"),
    ("refused_p99_ms", "time to a refusal, 99th percentile"),
    ("refused_max_ms", "time to a refusal, longest"),
    ("static_p50_ms", "decision of calls that nobody was pinged for, median"),
    ("static_p99_ms", "the same, 99th percentile"),
    ("static_max_ms", "the same, longest"),
    ("back_s", "after an overload: until the last call without an auction, in seconds"),
    ("healed_s", "after bidders turned: until all of them are waited for again, in seconds"),
    ("cpu_whole_us", "CPU of the server's process by answered call, with what is owed"),
    (
        "cpu_owed_us",
        "the part of it that the exchange spent after the phase, until its store had every record",
    ),
    ("cpu_workers_us", "CPU of the server's worker threads by answered call"),
    ("cpu_busy", "CPU of the server's process, in cores"),
    ("bidders_us_per_ping", "CPU of the bidders by ping"),
    ("bidders_busy", "CPU of the bidders, in cores"),
    ("carriers_us_per_call", "CPU of the carriers by answered call"),
    ("carriers_busy", "CPU of the carriers, in cores"),
    ("connections_per_auction", "connections opened to bidders by auction"),
    ("resident_mb", "resident memory of the server at the end of the phase, MB of 10^6 bytes"),
    ("peak_mb", "highest resident memory of the server, MB of 10^6 bytes"),
    ("bytes_per_call", "growth of resident memory by call the exchange remembers"),
    ("send_lag_p99_us", "how late the carriers themselves sent, 99th percentile"),
    (
        "closed_per_s",
        "of a search: auctions a second with the right winner in the closed loop, where it began",
    ),
    ("found", "of a search: 1 where a rate was found, else missing"),
];

/// Whether there is a figure of this name.
pub fn knows(name: &str) -> bool {
    FIGURES.iter().any(|(known, _)| *known == name)
}

/// What is told of a name that is none.
pub fn allowed() -> String {
    let names: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
    format!("there is no such figure; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::Seen;
    use crate::sent::Sent;
    use crate::tool::figures::{Frame, figures};

    #[test]
    fn every_figure_of_calls_is_named() {
        let call = |number: u64, status, due_us: u64, took_us: u64| Sent {
            number,
            status,
            due_us,
            sent_us: due_us,
            answered_us: Some(due_us + took_us),
            ..Sent::default()
        };
        // Won by the last reply, forced by the deadline, without an auction, refused; and one after the phase.
        let sent = [
            call(1, 200, 1_000, 30_000),
            call(2, 200, 2_000, 101_000),
            call(3, 200, 3_000, 1_000),
            call(4, 503, 4_000, 1_000),
            call(5, 200, 1_000_000, 1_000),
        ];
        let ping = |call, replied_us| Seen {
            call,
            bidder: 0,
            received_us: 2_000,
            replied_us,
            given_up_us: None,
            bid_cents: None,
        };
        let frame = Frame {
            entities: &[],
            seed: 1,
            deadline_us: 100_000,
            from_us: 0,
            to_us: 500_000,
            is_exchange: false,
            is_limited: false,
            is_changing: false,
        };
        let found = figures(&frame, &sent, &[ping(1, Some(20_000)), ping(2, None)]);
        let missing: Vec<_> = found.keys().filter(|name| !knows(name)).collect();
        assert!(missing.is_empty(), "{missing:?} have no row in FIGURES");
        for name in ["added_p99_us", "forced_p99_us", "refused_max_ms", "static_p50_ms", "back_s"] {
            assert!(found.contains_key(name), "the calls of this test give no {name}");
        }
    }

    #[test]
    fn every_name_is_of_a_figure_and_stands_once() {
        let made = [
            include_str!("figures.rs"),
            include_str!("stage.rs"),
            include_str!("run.rs"),
            include_str!("search.rs"),
        ];
        let made = made.concat();
        for (at, (name, meaning)) in FIGURES.iter().enumerate() {
            assert!(made.contains(&format!("\"{name}\"")), "nobody makes {name}");
            assert!(!meaning.is_empty(), "{name} means nothing");
            assert!(FIGURES.iter().skip(at + 1).all(|(other, _)| other != name), "{name} stands twice");
        }
    }
}
