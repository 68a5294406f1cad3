//! The load tool: scenarios, the servers they compare, and what is made of the figures.
//!
//! It knows an exchange by its public endpoints and its configuration files only.

pub mod place;
pub mod yardstick;
