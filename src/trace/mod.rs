//! What an operator acts on, told to the `tracing` facade: events, and spans of a sample of messages.
//!
//! | file | what |
//! | --- | --- |
//! | `tracer` | how a bus is to be traced; who traces it, and its end |
//! | `looks` | one look at the figures against the one before: what has changed |
//! | `subscriptions`, `findings` | the same for one subscription; for what [`diagnose`](crate::Bus::diagnose) finds |
//! | `limits` | each kind of event once in a while for each subject |
//! | `events` | what is told, and its fields |
//! | `spans` | a message on its way from its publish to its handlers |
//!
//! Nothing here is on the way of a message but one in 64, the one whose publish is timed anyway.

mod events;
mod findings;
mod limits;
mod looks;
mod spans;
mod subscriptions;
mod tracer;

pub use tracer::{Tracer, Tracing};
