//! What stands in contracts: the carriers' JSON, the operators' API, the command line.

mod admin;
mod answers;
mod cli;
mod refusals;
mod repeats;
