//! The simulators over real sockets. No exchange is tested here: a fake one answers the carriers.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of simulators open sockets and wait"
)]

mod bidders;
mod carriers;
#[cfg(feature = "tool")]
mod cli;
mod fake_exchange;
mod hostile;
mod measures;
mod plain_http;
