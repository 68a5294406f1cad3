//! What the admin API asks of the office: one order after the other, each with its answer.
//!
//! The office alone puts a catalog in force, so that a reload and a change never cross.

use tokio::sync::oneshot;

use crate::domain::change::Asked;
use crate::records::row::ListedRow;
use crate::state::callers::{AskedOfList, NoRoom};

/// Orders that wait while one is carried out; more are refused.
pub const ORDERS_MAX: usize = 64;

/// One order.
#[derive(Debug)]
pub enum Order {
    /// Change something at run time.
    Change(Asked, oneshot::Sender<Result<(), NotChanged>>),
    /// Change who is on a caller list.
    Callers(Box<Listing>, oneshot::Sender<Result<ListedRow, NotChanged>>),
    /// Read the files again.
    Reload(oneshot::Sender<Result<Reloaded, Vec<FileFault>>>),
}

/// A change of a caller list.
#[derive(Debug)]
pub struct Listing {
    /// What is asked.
    pub asked: AskedOfList,
    /// Name of the admin key.
    pub actor: String,
    /// Who it was by their own account.
    pub by: Option<String>,
}

/// Why a change cannot be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChanged {
    /// Nobody has this id.
    Unknown,
    /// There are as many changes as there may be.
    Full,
    /// A caller list has no room for it.
    NoRoom(NoRoom),
    /// The store cannot take it; nothing was changed.
    NotStored(String),
    /// It is in force, and the store has not said yet that it has it.
    NotKnownToBeStored,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Digest of the catalog in force.
    pub digest: String,
    /// What is different now, in words.
    pub changes: Vec<String>,
}

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// File, line, column and key.
    pub at: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}
