//! Start, reload, stop, crash: what an operator does to a running exchange, and what happens to it.

mod callers;
mod carriers;
mod changes;
mod crash;
mod demo;
mod denied;
mod disks;
mod faults;
mod kills;
mod reload;
mod restart;
mod start;
mod stop;
mod upkeep;
