//! What the exchange remembers between requests: capacity, calls, answers. In sharded memory, never on disk.
//!
//! The only module that knows the maps. No guard leaves it: callers pass closures, which finish under the shard's lock.

pub mod callers;
pub mod calls;
pub mod capacity;
pub mod image;
pub mod live;
pub mod rest;
pub mod turns;

use std::sync::Arc;

use calls::Calls;
use capacity::Gauges;
use turns::Turns;

/// The shared memory of all workers.
#[derive(Clone, Debug)]
pub struct State {
    /// Caps and concurrency.
    pub gauges: Arc<Gauges>,
    /// Calls and answers.
    pub calls: Arc<Calls>,
    /// Whose turn it is in plans.
    pub turns: Arc<Turns>,
}

impl State {
    /// Empty, with room for `live_calls` calls.
    pub fn new(live_calls: usize) -> State {
        State {
            gauges: Arc::new(Gauges::default()),
            calls: Arc::new(Calls::new(live_calls)),
            turns: Arc::default(),
        }
    }
}
