//! What stands in contracts: the carriers' JSON, the operators' API, the command line.

mod admin;
mod answers;
mod cli;
mod connections;
mod refusals;
mod repeats;
mod tls;
