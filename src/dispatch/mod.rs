//! Execution: who runs a mailbox, on which thread, and what waits for what. Knows jobs, not messages (a worker
//! that goes to sleep has `message` drop the dead ones).
//!
//! | file | what |
//! | --- | --- |
//! | [`job`] | something with the turn that can be run for a while |
//! | [`run_queue`] | ready jobs, and the sleepers to wake for them |
//! | [`shift`] | what each worker is doing and has done |
//! | [`pool`] | worker threads: start, growth, idling, handing a seat over, stop |
//! | [`timer`] | work that is due at a time; the standby watches the clock for it |
//! | [`fence`] | catching panics of user code, and the hook that hears of them |
//! | [`frames`] | what the calling thread is in the middle of |
//! | [`waits`] | who waits for whom, so that a cycle is an error and not a hang |
//! | [`threads`] | every thread is started here, with the user's hook |
//! | [`wait`] | how a thread waits that has nothing to do: asleep, awake |
//! | [`latch`] | one result, many waiters |

pub(crate) mod fence;
pub(crate) mod frames;
pub(crate) mod job;
pub(crate) mod latch;
pub(crate) mod pool;
pub(crate) mod run_queue;
pub(crate) mod shift;
pub(crate) mod threads;
pub(crate) mod timer;
pub(crate) mod wait;
pub(crate) mod waits;
