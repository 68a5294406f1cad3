//! Simulated bidders and carriers.
