//! A call written down: plain values from which it is rebuilt exactly. How they become bytes is not said here.

use super::{Call, Recovery};
use crate::domain::Timestamp;

pub use super::attempt::{Attempt, End};

/// Everything a [`Call`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallImage {
    /// Its attempts, in the order they were handed out.
    pub attempts: Vec<Attempt>,
    /// How far it may go.
    pub recovery: Recovery,
    /// The caller hung up.
    pub caller_gone: bool,
    /// The last answer was not one to dial.
    pub closed: bool,
    /// Until when the carrier may ask for the next step.
    pub next_by: Option<Timestamp>,
    /// It asked, and the answer is not out yet.
    pub asked: bool,
    /// Nothing more is to come.
    pub over: bool,
}

impl Call {
    /// The call as it is now.
    pub fn image(&self) -> CallImage {
        let Call { attempts, recovery, caller_gone, closed, next_by, asked, over } = self;
        CallImage {
            attempts: attempts.clone(),
            recovery: *recovery,
            caller_gone: *caller_gone,
            closed: *closed,
            next_by: *next_by,
            asked: *asked,
            over: *over,
        }
    }

    /// The call as it was: whatever comes next leads to what it would have led to then.
    pub fn restored(image: CallImage) -> Call {
        let CallImage { mut attempts, recovery, caller_gone, closed, next_by, asked, over } = image;
        attempts.shrink_to_fit();
        Call { attempts, recovery, caller_gone, closed, next_by, asked, over }
    }
}
