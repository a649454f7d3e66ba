//! Figures about a running bus: plain structs with `Display` tables, filled from counts that the hot path pays for
//! anyway.
//!
//! Readers never stop anything. Counts of different places are read one after the other, so they add up exactly only
//! when the bus is quiet.
//!
//! | file | what |
//! | --- | --- |
//! | [`histogram`] | times in buckets |
//! | [`delay`] | how long messages wait, from a sample of them |
//! | [`handling`] | how long handler calls take, from a sample of them |
//! | `timing` | what a histogram says |
//! | `state` | what a subscription is doing |
//! | `tables` | the structs of topics and subscriptions |
//! | `whole` | those of types, threads, and a bus as a whole |
//! | `cache` | that of caches |
//! | `labels`, `sums` | names that figures are counted under, and what the dead of each have counted |
//! | `rows`, `print` | how they print: rows as tables, one in detail |
//! | [`human`] | figures as people read them |

mod cache;
pub(crate) mod delay;
pub(crate) mod handling;
pub(crate) mod histogram;
pub(crate) mod human;
pub(crate) mod labels;
mod print;
mod rows;
mod state;
pub(crate) mod sums;
mod tables;
mod timing;
mod whole;

pub use cache::CacheStats;
pub(crate) use delay::DelaySample;
pub(crate) use handling::HandlerTime;
pub(crate) use histogram::Histogram;
pub use rows::Rows;
pub use state::{Blocked, SubscriptionState};
pub use tables::{Lost, SubscriptionStats, TopicStats};
pub use timing::{Bucket, Timing};
pub use whole::{BusStats, MessageTypeStats, PoolStats, Refused, TopicDetail, Totals, Work, WorkerStats};
