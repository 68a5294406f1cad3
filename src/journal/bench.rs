//! How fast this disk takes records, beside a bare loop that does the same writes and syncs.
