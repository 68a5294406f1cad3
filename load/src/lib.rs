//! Simulated bidders and carriers for a call exchange.
//!
//! Everything here speaks the wire formats only: the bid contract ([`bidders`]), the generic carrier JSON and Twilio's
//! signed forms ([`carriers`]), over real TCP connections on the loopback interface. It deliberately knows nothing else
//! of the exchange, so that a mistake in the exchange's own types cannot hide itself in the tests. [`raw`] lists what
//! hostile or broken buyers send; [`trace`] is the stopwatch that bidders and carriers share to tell how much time the
//! exchange itself added to a decision; [`sent`] and [`seen`] are what carriers and bidders keep for a judge.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a simulator is all sockets, threads and clocks"
)]

pub mod bidders;
pub mod carriers;
pub mod chance;
pub mod client;
pub mod cpu;
pub mod hgrm;
pub mod log;
pub mod raw;
pub mod seen;
pub mod sent;
#[cfg(feature = "tool")]
pub mod tool;
pub mod trace;
mod wire;
