//! Figures about a running bus: plain structs with `Display` tables, filled from counts that the hot path pays for
//! anyway.
//!
//! Readers never stop anything. Counts of different places are read one after the other, so they add up exactly only
//! when the bus is quiet.

mod delay;
mod tables;

pub use delay::Delay;
pub(crate) use delay::DelaySample;
pub use tables::{BusStats, Lost, SubscriptionStats, TopicStats};
