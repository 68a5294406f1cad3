//! Tests of the whole exchange: spawned processes, real sockets, real SQLite. The module list doubles as a map.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests start processes, read files and wait"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

mod api;
mod calls;
mod first_call;
mod judged;
mod lifecycle;
mod pings;
mod ruled;
mod rules;
mod sim;
mod tidy;
mod twilio;
mod zones;
