//! Start, reload, stop, crash: what an operator does to a running exchange, and what happens to it.

mod changes;
mod crash;
mod demo;
mod reload;
mod start;
mod stop;
