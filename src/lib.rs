//! Outcry.
