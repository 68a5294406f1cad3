//! The load tool: scenarios, the servers they compare, and what is made of the figures.
//!
//! It knows an exchange by its public endpoints and its configuration files only.

pub mod figures;
pub mod glossary;
pub mod judge;
pub mod market;
pub mod place;
pub mod rules;
pub mod run;
pub mod scenario;
pub mod search;
pub mod shipped;
pub mod stage;
pub mod verbs;
pub mod yardstick;
