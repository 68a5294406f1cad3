//! Outcry.
pub mod admin;
pub mod app;
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
pub mod config;
pub mod demo;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod domain;
pub mod exchange;
pub mod http;
pub mod listener;
pub mod ping;
pub mod problem;
pub mod records;
pub mod report;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod routing;
pub mod runtime;
pub mod snapshot;
pub mod state;
pub mod telemetry;
