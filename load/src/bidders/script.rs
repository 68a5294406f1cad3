//! Bidders as a scenario file names them, and the scripts that makes of them.
//!
//! The tables are whatever serde reads them from; in TOML:
//!
//! ```toml
//! [[bidder]]
//! name = "fast"          # with a count: fast-1, fast-2, …
//! count = 10
//! behaviour = { kind = "bid", latency = { lognormal = { median_ms = 20, sigma = 0.4, cap_ms = 90 } }, price_cents = [1000, 9000], no_bid_bps = 500 }
//!
//! [[bidder]]
//! name = "late"
//! behaviour = { kind = "late", past_deadline_ms = 50, price_cents = 900 }
//! ```
//!
//! Raw bytes and acts are for tests in Rust and have no name here.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Behaviour, Latency, MAX_BIDDERS, NoBidForm, ResetAt, Script};

/// Largest latency, lateness or interval, in ms.
pub const MAX_MS: u64 = 600_000;
/// Largest sigma of a lognormal latency; a bidder's is below 1.
pub const MAX_SIGMA: f64 = 5.0;

/// A list of bidders.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptFile {
    pub bidder: Vec<ScriptEntry>,
}

/// One bidder, or several that behave alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptEntry {
    pub name: String,
    /// How many; they are named `{name}-1` and so on. Without it there is one, of this very name.
    pub count: Option<usize>,
    pub behaviour: BehaviourSpec,
}

/// A behaviour by its name. What each does is told at [`Behaviour`].
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BehaviourSpec {
    Bid {
        #[serde(default)]
        latency: LatencySpec,
        /// The lowest and the highest.
        price_cents: (u32, u32),
        #[serde(default)]
        no_bid_bps: u32,
        ttl_s: Option<u32>,
    },
    NoBid {
        #[serde(default)]
        latency: LatencySpec,
        /// With a reason the reply is a bid of 0, without it is a 204.
        reason: Option<String>,
    },
    Hang {},
    Flaky {
        #[serde(default)]
        latency: LatencySpec,
        price_cents: (u32, u32),
        never_bps: u32,
    },
    Late {
        past_deadline_ms: u64,
        price_cents: u32,
    },
    Drop {
        at: ResetAt,
    },
    Garbage {},
    Status {
        status: u16,
    },
    WrongTypes {
        #[serde(default)]
        latency: LatencySpec,
    },
    SlowDrip {
        interval_ms: u64,
        price_cents: u32,
    },
    DeadPort {},
    Fixed {
        #[serde(default)]
        latency_ms: u64,
        body: String,
    },
}

/// A latency by its name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LatencySpec {
    FixedMs(u64),
    Lognormal {
        median_ms: f64,
        sigma: f64,
        cap_ms: u64,
    },
    /// A file for [`Latency::load`], named from where the scenario file is.
    Empirical(PathBuf),
}

impl Default for LatencySpec {
    fn default() -> LatencySpec {
        LatencySpec::FixedMs(0)
    }
}

/// What is wrong with a list of bidders, and with whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    pub bidder: String,
    pub problem: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bidder {:?}: {}", self.bidder, self.problem)
    }
}

impl std::error::Error for ScriptError {}

impl ScriptFile {
    /// The scripts in their order. Files that the list names are looked for in `dir`.
    pub fn scripts(&self, dir: &Path) -> Result<Vec<Script>, ScriptError> {
        let mut scripts = Vec::new();
        let mut names = HashSet::new();
        for entry in &self.bidder {
            let wrong = |problem: String| ScriptError { bidder: entry.name.clone(), problem };
            if entry.name.trim().is_empty() {
                return Err(wrong("a name must not be empty".to_owned()));
            }
            let count = entry.count.unwrap_or(1);
            if count == 0 || count > MAX_BIDDERS - scripts.len() {
                let left = MAX_BIDDERS - scripts.len();
                return Err(wrong(format!(
                    "count is {count}; 1 to {left} are allowed here ({MAX_BIDDERS} in all)"
                )));
            }
            let behaviour = entry.behaviour.behaviour(dir).map_err(wrong)?;
            for number in 1..=count {
                let name = match entry.count {
                    Some(_) => format!("{}-{number}", entry.name),
                    None => entry.name.clone(),
                };
                if !names.insert(name.clone()) {
                    let problem = format!("{name:?} is there already; names must differ");
                    return Err(ScriptError { bidder: entry.name.clone(), problem });
                }
                scripts.push(Script::new(name, behaviour.clone()));
            }
        }
        Ok(scripts)
    }
}

impl BehaviourSpec {
    /// The behaviour, or what is wrong with it.
    pub fn behaviour(&self, dir: &Path) -> Result<Behaviour, String> {
        Ok(match self {
            BehaviourSpec::Bid { latency, price_cents, no_bid_bps, ttl_s } => {
                within("no_bid_bps", u64::from(*no_bid_bps), 0, 10_000)?;
                let (price_cents, no_bid_bps, ttl_s) = (prices(*price_cents)?, *no_bid_bps, *ttl_s);
                Behaviour::Bid { latency: latency.latency(dir)?, price_cents, no_bid_bps, ttl_s }
            }
            BehaviourSpec::NoBid { latency, reason } => {
                let form = match reason.clone() {
                    Some(reason) => NoBidForm::Zero { reason },
                    None => NoBidForm::Status204,
                };
                Behaviour::NoBid { latency: latency.latency(dir)?, form }
            }
            BehaviourSpec::Hang {} => Behaviour::Hang,
            BehaviourSpec::Flaky { latency, price_cents, never_bps } => {
                within("never_bps", u64::from(*never_bps), 0, 10_000)?;
                let (latency, price_cents) = (latency.latency(dir)?, prices(*price_cents)?);
                Behaviour::Flaky { latency, price_cents, never_bps: *never_bps }
            }
            BehaviourSpec::Late { past_deadline_ms, price_cents } => {
                let past_deadline_ms = within("past_deadline_ms", *past_deadline_ms, 0, MAX_MS)?;
                Behaviour::Late { past_deadline_ms, price_cents: *price_cents }
            }
            BehaviourSpec::Drop { at } => Behaviour::Reset(*at),
            BehaviourSpec::Garbage {} => Behaviour::Garbage,
            BehaviourSpec::Status { status } => {
                within("status", u64::from(*status), 200, 599)?;
                Behaviour::Status(*status)
            }
            BehaviourSpec::WrongTypes { latency } => Behaviour::WrongTypes { latency: latency.latency(dir)? },
            BehaviourSpec::SlowDrip { interval_ms, price_cents } => {
                let interval_ms = within("interval_ms", *interval_ms, 0, MAX_MS)?;
                Behaviour::SlowDrip { interval_ms, price_cents: *price_cents }
            }
            BehaviourSpec::DeadPort {} => Behaviour::DeadPort,
            BehaviourSpec::Fixed { latency_ms, body } => {
                let latency_ms = within("latency_ms", *latency_ms, 0, MAX_MS)?;
                Behaviour::Fixed { latency_ms, body: body.clone() }
            }
        })
    }
}

fn prices((low, high): (u32, u32)) -> Result<(u32, u32), String> {
    if low > high || low == 0 {
        return Err(format!(
            "price_cents is [{low}, {high}]; the lowest, at least 1, then the highest is allowed"
        ));
    }
    Ok((low, high))
}

impl LatencySpec {
    /// The latency, or what is wrong with it.
    pub fn latency(&self, dir: &Path) -> Result<Latency, String> {
        match self {
            LatencySpec::FixedMs(ms) => Ok(Latency::Fixed(within("fixed_ms", *ms, 0, MAX_MS)?)),
            LatencySpec::Lognormal { median_ms, sigma, cap_ms } => {
                let (median_ms, sigma) = (*median_ms, *sigma);
                let cap_ms = within("cap_ms", *cap_ms, 1, MAX_MS)?;
                if !(median_ms > 0.0 && median_ms <= cap_ms as f64) {
                    return Err(format!(
                        "median_ms is {median_ms}; above 0 up to cap_ms ({cap_ms}) is allowed"
                    ));
                }
                if !(0.0..=MAX_SIGMA).contains(&sigma) {
                    return Err(format!("sigma is {sigma}; 0 to {MAX_SIGMA} is allowed"));
                }
                Ok(Latency::Lognormal { median_ms, sigma, cap_ms })
            }
            LatencySpec::Empirical(path) => Latency::load(&dir.join(path)).map_err(|error| error.to_string()),
        }
    }
}

fn within(name: &str, value: u64, low: u64, high: u64) -> Result<u64, String> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(format!("{name} is {value}; {low} to {high} is allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name() {
        let latency = r#""latency":{"lognormal":{"median_ms":20,"sigma":0.4,"cap_ms":90}}"#;
        // the table after `"kind":` -> the behaviour
        let table = [
            (
                format!(r#""bid",{latency},"price_cents":[1000,9000],"no_bid_bps":500"#),
                "Bid { latency: Lognormal { median_ms: 20.0, sigma: 0.4, cap_ms: 90 }, price_cents: (1000, 9000), no_bid_bps: 500, ttl_s: None }",
            ),
            (
                r#""bid","price_cents":[5,5],"ttl_s":30"#.to_owned(),
                "Bid { latency: Fixed(0), price_cents: (5, 5), no_bid_bps: 0, ttl_s: Some(30) }",
            ),
            (
                r#""no_bid","latency":{"fixed_ms":7}"#.to_owned(),
                "NoBid { latency: Fixed(7), form: Status204 }",
            ),
            (
                r#""no_bid","reason":"closed""#.to_owned(),
                r#"NoBid { latency: Fixed(0), form: Zero { reason: "closed" } }"#,
            ),
            (r#""hang""#.to_owned(), "Hang"),
            (
                r#""flaky","price_cents":[1,9],"never_bps":1500"#.to_owned(),
                "Flaky { latency: Fixed(0), price_cents: (1, 9), never_bps: 1500 }",
            ),
            (
                r#""late","past_deadline_ms":50,"price_cents":900"#.to_owned(),
                "Late { past_deadline_ms: 50, price_cents: 900 }",
            ),
            (r#""drop","at":"accept""#.to_owned(), "Reset(Accept)"),
            (r#""drop","at":"request""#.to_owned(), "Reset(Request)"),
            (r#""garbage""#.to_owned(), "Garbage"),
            (r#""status","status":503"#.to_owned(), "Status(503)"),
            (r#""wrong_types""#.to_owned(), "WrongTypes { latency: Fixed(0) }"),
            (
                r#""slow_drip","interval_ms":3,"price_cents":900"#.to_owned(),
                "SlowDrip { interval_ms: 3, price_cents: 900 }",
            ),
            (r#""dead_port""#.to_owned(), "DeadPort"),
            (r#""fixed","body":"{}""#.to_owned(), r#"Fixed { latency_ms: 0, body: "{}" }"#),
        ];
        for (text, expected) in table {
            let behaviour = behaviour(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(format!("{behaviour:?}"), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_allowed() {
        // the table after `"kind":` -> what the error says
        let table = [
            (r#""bids""#, "expected one of `bid`, `no_bid`, `hang`, `flaky`, `late`, `drop`"),
            (r#""hang","price":1"#, "unknown field `price`"),
            (r#""late","price_cents":900"#, "missing field `past_deadline_ms`"),
            (r#""late","past_deadline_ms":600001,"price_cents":900"#, "0 to 600000 is allowed"),
            (r#""drop","at":"reply""#, "expected `accept` or `request`"),
            (r#""bid","price_cents":[9,1]"#, "price_cents is [9, 1]; the lowest"),
            (r#""bid","price_cents":[1,9],"no_bid_bps":10001"#, "no_bid_bps is 10001; 0 to 10000 is allowed"),
            (r#""status","status":99"#, "200 to 599 is allowed"),
            (r#""no_bid","latency":{"gaussian":1}"#, "expected one of `fixed_ms`, `lognormal`, `empirical`"),
            (
                r#""no_bid","latency":{"lognormal":{"median_ms":0,"sigma":1,"cap_ms":9}}"#,
                "median_ms is 0; above 0 up to cap_ms (9)",
            ),
            (
                r#""no_bid","latency":{"lognormal":{"median_ms":1,"sigma":9,"cap_ms":9}}"#,
                "sigma is 9; 0 to 5",
            ),
            (r#""no_bid","latency":{"empirical":"no_such_file"}"#, "no_such_file: "),
        ];
        for (text, expected) in table {
            let error = behaviour(text).err().unwrap_or_else(|| panic!("{text} was taken"));
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn counts_make_names_that_must_differ() {
        // the entries' name and count -> the names, or what the error says
        type Row<'a> = (&'a [(&'a str, &'a str)], Result<&'a [&'a str], &'a str>);
        let table: [Row; 5] = [
            (&[("a", "null"), ("b", "2")], Ok(&["a", "b-1", "b-2"])),
            (&[("a-1", "null"), ("a", "1")], Err(r#"bidder "a": "a-1" is there already"#)),
            (&[("a", "0")], Err("count is 0; 1 to 4096 are allowed")),
            (&[("a", "4000"), ("b", "97")], Err("count is 97; 1 to 96 are allowed")),
            (&[(" ", "null")], Err("a name must not be empty")),
        ];
        for (entries, expected) in table {
            let entry = |(name, count): &(&str, &str)| {
                format!(r#"{{"name":"{name}","count":{count},"behaviour":{{"kind":"hang"}}}}"#)
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            let text = format!(r#"{{"bidder":[{}]}}"#, entries.join(","));
            let file: ScriptFile = serde_json::from_str(&text).expect("a list of bidders");
            match (file.scripts(Path::new(".")), expected) {
                (Ok(scripts), Ok(names)) => {
                    assert_eq!(scripts.iter().map(|script| script.name.as_str()).collect::<Vec<_>>(), names);
                }
                (Err(error), Err(said)) => assert!(error.to_string().contains(said), "{error}"),
                (scripts, expected) => panic!("{text}: {scripts:?}, not {expected:?}"),
            }
        }
    }

    fn behaviour(text: &str) -> Result<Behaviour, String> {
        let text = format!(r#"{{"kind":{text}}}"#);
        let spec: BehaviourSpec = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        spec.behaviour(Path::new("."))
    }
}
