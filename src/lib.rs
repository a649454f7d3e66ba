#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// One door to atomics, cells, locks, threads and clocks: `sync`. What is behind it is in clippy.toml.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("stasis-bus packs an index and flags into 64-bit words and needs a 64-bit target");

mod sync;

mod error;
mod ids;

mod map;
mod message;
mod queue;
mod stats;

mod dispatch;

mod mailbox;

mod topic;

mod subscription;

mod cache;
mod router;
mod state;
mod topic_pool;

mod bus;

#[cfg(feature = "console")]
mod console;
#[cfg(any(feature = "console", feature = "prometheus"))]
pub mod http;
#[cfg(feature = "metrics")]
pub mod observe;
#[cfg(feature = "tracing")]
pub mod trace;

#[cfg(feature = "config")]
pub use bus::BusConfig;
pub use bus::{
    Bus, BusBuilder, Diagnosis, Finding, Severity, ShutdownReport, Straggler, Subject, Trend, Trouble,
    TypeBuilder, WeakBus,
};
pub use cache::{
    AnyType, Cache, CacheBuilder, CacheEntry, CachePattern, CachePin, CacheSingle, CachingTopic, Changed,
    Lease, Select, Watch,
};
pub use dispatch::fence::{PanicPlace, PanicReport};
pub use dispatch::threads::{ThreadInfo, ThreadKind};
pub use dispatch::wait::Wait;
#[cfg(feature = "json")]
pub use error::EventError;
#[cfg(feature = "metrics")]
pub use error::ObserveError;
#[cfg(any(feature = "console", feature = "prometheus"))]
pub use error::ServeError;
#[cfg(feature = "tracing")]
pub use error::TraceError;
pub use error::{
    CacheError, CachingError, ConfigError, EntryError, Error, FilterError, ForwardError, NameError,
    PoolError, RouteError, ShutdownError, StateError, SubscribeError, TypeError, WaitError, WatchEnded,
};
#[cfg(feature = "config")]
pub use error::{ConfigProblem, ConfigTextError};
pub use mailbox::{ConflateKey, Crossing, Dispatch, Filter, Grow, Key, OnPanic, Overflow, WaterMark};
#[cfg(feature = "json")]
pub use message::JsonSanitizer;
pub use message::{
    AmiEvent, CacheClear, CacheUpdate, Change, EndReason, Formatters, Message, MessageBuilder, MessageType,
    Origin, SnapshotEnd, SubscriptionChange, Timestamp, TypeInfo,
};
pub use router::{Router, RouterBuilder, RouterStats, Routes};
pub use state::{
    StateManager, StateObservation, StateObserver, StatePublisher, StateSubscriber, StateSubscription,
    StateSubscriptionBuilder, StateView,
};
pub use stats::{
    Blocked, Bucket, BusStats, CacheStats, Lost, MessageTypeStats, PoolStats, Refused, Rows,
    SubscriptionState, SubscriptionStats, Timing, TopicDetail, TopicStats, Totals, Work, WorkerStats,
};
pub use subscription::{
    Batch, Delivery, Handled, Received, RecvTimeoutError, Stream, Subscription, SubscriptionBuilder,
    TryRecvError,
};
pub use topic::{BatchReport, Forward, PublishAsync, Publisher, Refusal, Report, Topic, TopicOf};
pub use topic_pool::TopicPool;

// Handles may cross `catch_unwind`: wherever user code panics, nothing of the bus is left half done. Messages, and what
// carries them, are as safe as the values in them.
macro_rules! unwind_safe {
    ($($handle:ident $(<$parameter:ident>)?),+) => {$(
        impl $(<$parameter>)? std::panic::UnwindSafe for $handle $(<$parameter>)? {}
        impl $(<$parameter>)? std::panic::RefUnwindSafe for $handle $(<$parameter>)? {}
    )+};
}

unwind_safe!(
    Bus,
    WeakBus,
    Topic,
    Subscription,
    Stream,
    Forward,
    Publisher,
    MessageType<T>,
    TopicOf<T>,
    TopicPool,
    CachePattern,
    CacheSingle,
    Cache,
    CachingTopic,
    Lease<T>,
    Watch
);
unwind_safe!(Router, Routes);

// The blocks of Rust in the pages of docs/ are compiled and run.
#[cfg(all(doctest, feature = "json"))]
#[doc = include_str!("../docs/MIGRATING.md")]
mod migrating {}
#[cfg(doctest)]
#[doc = include_str!("../docs/PLATFORMS.md")]
mod platforms {}

// The fuzzer's way to what is private; without `--cfg fuzzing`, which cargo-fuzz sets, there is none.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn check_map(input: &[u8]) {
    map::checks::check(input);
}

/// The same for the ring under every mailbox.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn check_ring(input: &[u8]) {
    queue::checks::check(input);
}

/// The same for the console's query strings.
#[cfg(all(fuzzing, feature = "console"))]
#[doc(hidden)]
pub fn check_query(input: &[u8]) {
    console::check_query(input);
}

// What the fuzzer found, for the tests of what is private.
#[cfg(all(test, not(bus_loom)))]
#[path = "../tests/replay/mod.rs"]
mod replay;
#[cfg(all(test, not(bus_loom)))]
#[path = "../tests/replay/ring.rs"]
mod ring_cases;

// Inside the crate, because what is modelled is private: see loom_tests/README.md.
#[cfg(all(test, bus_loom))]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
#[path = "../loom_tests/models.rs"]
mod loom_tests;

// The same for the random schedules: see shuttle_tests/README.md.
#[cfg(all(test, bus_shuttle))]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
#[path = "../shuttle_tests/scenarios.rs"]
mod shuttle_tests;
