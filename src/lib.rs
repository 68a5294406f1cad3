//! Outcry: a self-hosted real-time bidding exchange for phone calls.
//!
//! A carrier asks over HTTP what to do with a call. The exchange finds the number's campaign, screens its targets, asks
//! buyers for bids, ranks what came before the deadline, holds capacity for the winner and answers with where to dial.
//! The carrier reports what became of the call, and money follows.
//!
//! Reading order:
//!
//! 1. [`domain`]: the words. Its first page is the glossary.
//! 2. [`exchange::decide`]: the one story everything else serves, from question to answer.
//! 3. The engines it calls, plain values that are told the time: [`routing`], [`auction`], [`capacity`]; and for what
//!    comes after the answer [`call`] and [`billing`].
//! 4. The bytes on both sides: [`carrier`] and [`bidder`].
//! 5. The shell: [`ping`] asks buyers, [`state`] remembers, [`records`] writes down, [`config`] reads files.
//! 6. [`app`]: how the parts are put together, started and stopped.
//!
//! Modules stand below in the order of their layers. A module may use what stands in a lower layer; it uses neither
//! its siblings nor anything above. The few exceptions are listed, each with its reason, in `tests/it/tidy/layers.rs`,
//! which fails the build on any other.

// The shell reads clocks, opens files and starts threads: that is what it is for. The core may not, so the bans of
// `clippy.toml` are denied again on each of its modules below.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]
#![warn(missing_docs)]

// Layer 0: nouns, plain data without I/O, serde or a clock; and how JSON is written.
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod domain;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod json;

// Layer 1: engines and codecs. They take `now` as an argument and return what is to be done.
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod auction;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod bidder;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod billing;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod call;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod capacity;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod carrier;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod routing;

// Layer 2: what the whole shell stands on.
pub mod journal;
pub mod problem;
pub mod runtime;
pub mod snapshot;
pub mod telemetry;

// Layer 3: one way to the outside each.
pub mod config;
pub mod listener;
pub mod ping;
pub mod records;
pub mod report;
pub mod state;

// Layer 4: the stories, and the way back in from the command line.
pub mod client;
pub mod exchange;
pub mod upkeep;

// Layer 5: who comes in, and who looks at what would become of a call.
pub mod admin;
pub mod http;
pub mod plan;
pub mod replay;

// Layer 6: the whole.
pub mod app;
pub mod demo;
