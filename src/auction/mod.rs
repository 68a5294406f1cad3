//! One auction.
pub mod bid;
