//! Outcry.
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod auction;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod domain;
pub mod records;
