//! The durable trail.
pub mod row;
