//! The one table of all metrics. docs/METRICS.md, what is registered with a recorder, what the exporter writes and the
//! check of the dashboards are made from it.
//!
//! Names follow the practices that Prometheus recommends: one prefix, base units, `_total` for what only grows, and a
//! sum over all labels that means something.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows, from 0 when the bus is made.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Events by how long they took.
    Histogram,
}

impl MetricKind {
    /// In lower case, as exposition text has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricUnit {
    /// Things of the kind that the name says.
    Count,
    /// Seconds, with fractions.
    Seconds,
    /// Bytes.
    Bytes,
    /// A part of a whole: 1 is all of it.
    Ratio,
}

impl MetricUnit {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricLabel {
    /// Its name.
    pub name: &'static str,
    /// All values it can have. Empty: those that the service names, up to the cap, and `other`.
    pub values: &'static [&'static str],
    /// What its value says.
    pub help: &'static str,
}

/// A metric: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its whole name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    /// What it is counted in.
    pub unit: MetricUnit,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [MetricLabel],
    /// What it tells, in a sentence.
    pub help: &'static str,
}

const fn open(name: &'static str, help: &'static str) -> MetricLabel {
    MetricLabel { name, values: &[], help }
}

const fn closed(name: &'static str, values: &'static [&'static str], help: &'static str) -> MetricLabel {
    MetricLabel { name, values, help }
}

const TOPIC_CLASS: MetricLabel = open(
    "topic_class",
    "a topic's class: as declared, or its pool's name, or its name up to the first `:` or `/`",
);
const SUBSCRIPTION: MetricLabel =
    open("subscription", "the name given to a subscription; those of one name count together");
const MESSAGE_TYPE: MetricLabel = open("message_type", "a message type's name");
const CACHE: MetricLabel = open("cache", "a cache's name");
const WORKER: MetricLabel = open("worker", "a worker's seat, counted from 0");
const VERSION: MetricLabel = open("version", "the version of this library");
/// In the order of [`Dispatch`](crate::Dispatch).
pub(super) const MODES: [&str; 5] = ["inline", "serial", "pool", "dedicated", "stream"];
const DISPATCH: MetricLabel = closed("dispatch", &MODES, "how a subscription is dispatched");
/// As in [`Lost`](crate::Lost).
pub(super) const LOSSES: [&str; 6] =
    ["refused", "evicted", "conflated", "timed_out", "disconnected", "discarded"];
const LOSS: MetricLabel = closed(
    "reason",
    &LOSSES,
    "`refused` by a full mailbox, `evicted` for a newer one, `conflated` (replaced by a newer one of its key), \
     `timed_out` (nobody made room in time), `disconnected` (refused, by which the subscription ended), `discarded` with \
     the queue by a shutdown or a dropped stream",
);
/// As in [`Refused`](crate::Refused).
pub(super) const REFUSALS: [&str; 4] = ["declined", "closed", "foreign_type", "nested_too_deep"];
const REFUSAL: MetricLabel = closed(
    "reason",
    &REFUSALS,
    "`declined` (its type, by configuration), `closed` (the bus was shut down), `foreign_type` (of another bus), \
     `nested_too_deep` (handlers that answer each other without end)",
);
pub(super) const LEVELS: [&str; 2] = ["high", "clear"];
const LEVEL: MetricLabel =
    closed("level", &LEVELS, "`high`: the high water mark was passed; `clear`: the low one was, after it");
pub(super) const RESULTS: [&str; 2] = ["hit", "miss"];
const RESULT: MetricLabel = closed("result", &RESULTS, "whether something was found");
pub(super) const OPERATIONS: [&str; 3] = ["create", "update", "remove"];
const OPERATION: MetricLabel = closed(
    "op",
    &OPERATIONS,
    "`create`: there was no state of that object; `update`: another one stood there; `remove`: it was cleared, has expired, \
     or was evicted",
);
pub(super) const CAPPED: [&str; 4] = ["topic_class", "subscription", "message_type", "cache"];
const LABEL: MetricLabel = closed("label", &CAPPED, "the label that had too many values");

macro_rules! table {
    ($($metric:ident: $kind:ident $name:literal $unit:ident [$($label:ident),*] $help:literal;)+) => {
        $(pub(super) const $metric: Metric = Metric {
            name: $name,
            kind: MetricKind::$kind,
            unit: MetricUnit::$unit,
            labels: &[$($label),*],
            help: $help,
        };)+
        /// All metrics, by subject.
        pub const METRICS: &[Metric] = &[$($metric),+];
    };
}

table! {
    BUILD: Gauge "stasis_build_info" Count [VERSION]
        "1, with the version as a label.";

    TOPICS: Gauge "stasis_topics" Count [TOPIC_CLASS]
        "Live topics.";
    FORWARDS: Gauge "stasis_forwards" Count [TOPIC_CLASS]
        "Forwards out of topics of that class, those of pool members included.";
    PUBLISHED: Counter "stasis_published_messages_total" Count [TOPIC_CLASS]
        "Messages published by the service on topics of that class.";
    ARRIVED: Counter "stasis_arrived_messages_total" Count [TOPIC_CLASS]
        "Messages that reached topics of that class by a forward.";
    UNROUTED: Counter "stasis_unrouted_messages_total" Count [TOPIC_CLASS]
        "Published messages that no subscription anywhere took.";
    DELIVERED: Counter "stasis_delivered_messages_total" Count [TOPIC_CLASS, DISPATCH]
        "Messages accepted by subscriptions on topics of that class: one message counts once for each subscription.";
    FILTERED: Counter "stasis_filtered_messages_total" Count [TOPIC_CLASS]
        "Messages that filters of subscriptions kept away: no loss. May be ahead by those that were on their way when it was read.";
    REFUSED: Counter "stasis_refused_publishes_total" Count [REFUSAL]
        "Publishes that were refused as a whole.";
    PUBLISH_DURATION: Histogram "stasis_publish_duration_seconds" Seconds []
        "How long publishes took, inline and Serial handlers included. One of 64 is timed and stands for all.";

    SUBSCRIPTIONS: Gauge "stasis_subscriptions" Count [SUBSCRIPTION, DISPATCH]
        "Live subscriptions.";
    HANDLED: Counter "stasis_handled_messages_total" Count [SUBSCRIPTION]
        "Messages whose handler was called, or that were read from a stream.";
    DROPPED: Counter "stasis_dropped_messages_total" Count [SUBSCRIPTION, LOSS]
        "Messages that were meant for subscriptions and not delivered.";
    OVER_CAPACITY: Counter "stasis_over_capacity_messages_total" Count [SUBSCRIPTION]
        "Messages taken although the mailbox was full: Block inside handlers, and control messages.";
    BLOCKED: Counter "stasis_publish_blocked_total" Count [SUBSCRIPTION]
        "How often a publisher went to sleep until a full mailbox had room.";
    BLOCKED_SECONDS: Counter "stasis_publish_blocked_seconds_total" Seconds [SUBSCRIPTION]
        "How long publishers have slept for room, waits that are over.";
    BLOCKED_NOW: Gauge "stasis_blocked_publishers" Count [SUBSCRIPTION]
        "Publishers that wait for room now.";
    QUEUE: Gauge "stasis_subscription_queue_messages" Count [SUBSCRIPTION]
        "Messages waiting.";
    CAPACITY: Gauge "stasis_subscription_queue_capacity_messages" Count [SUBSCRIPTION]
        "Messages that mailboxes hold before their policy decides.";
    FILL: Gauge "stasis_subscription_queue_fill_ratio" Ratio [SUBSCRIPTION]
        "Messages waiting by capacity, of the fullest mailbox of that name. Over 1: it has grown beyond its ring.";
    PEAK: Gauge "stasis_subscription_queue_peak_messages" Count [SUBSCRIPTION]
        "The most that were ever seen waiting in a live mailbox of that name.";
    OLDEST: Gauge "stasis_subscription_queue_oldest_age_seconds" Seconds [SUBSCRIPTION]
        "For how long the oldest waiting message of that name has been waiting; 0 if none waits.";
    CONGESTED: Gauge "stasis_subscriptions_congested" Count [SUBSCRIPTION]
        "Subscriptions that have passed their high water mark, and not the low one since.";
    ALERTS: Counter "stasis_subscription_watermark_alerts_total" Count [SUBSCRIPTION, LEVEL]
        "How often a water mark was passed.";
    SLOW: Counter "stasis_slow_handlers_total" Count [SUBSCRIPTION]
        "Handler calls noticed that took 10 ms or longer.";
    PANICS: Counter "stasis_handler_panics_total" Count [SUBSCRIPTION]
        "Panics of handlers, all of them caught.";
    LATENCY: Histogram "stasis_delivery_latency_seconds" Seconds [SUBSCRIPTION]
        "How long messages waited in mailboxes: one of 16 at most is measured, fewer when many wait, and stands for itself.";
    HANDLER_DURATION: Histogram "stasis_handler_duration_seconds" Seconds [SUBSCRIPTION]
        "How long handler calls took. One of 64 is timed and stands for all; every call of a slow handler is.";

    BUS_PUBLISHED: Counter "stasis_bus_published_messages_total" Count []
        "As stasis_published_messages_total, of all topics there ever were.";
    BUS_UNROUTED: Counter "stasis_bus_unrouted_messages_total" Count []
        "As stasis_unrouted_messages_total, of all topics there ever were.";
    BUS_DELIVERED: Counter "stasis_bus_delivered_messages_total" Count []
        "As stasis_delivered_messages_total, of all subscriptions there ever were.";
    BUS_HANDLED: Counter "stasis_bus_handled_messages_total" Count []
        "As stasis_handled_messages_total, of all subscriptions there ever were.";
    BUS_DROPPED: Counter "stasis_bus_dropped_messages_total" Count [LOSS]
        "As stasis_dropped_messages_total, of all subscriptions there ever were.";
    BUS_BLOCKED: Counter "stasis_bus_publish_blocked_total" Count []
        "As stasis_publish_blocked_total, of all subscriptions there ever were.";
    BUS_BLOCKED_SECONDS: Counter "stasis_bus_publish_blocked_seconds_total" Seconds []
        "As stasis_publish_blocked_seconds_total, of all subscriptions there ever were.";
    BUS_SLOW: Counter "stasis_bus_slow_handlers_total" Count []
        "As stasis_slow_handlers_total, of all subscriptions there ever were.";
    BUS_PANICS: Counter "stasis_bus_panics_total" Count []
        "Panics of all user code, all of them caught: handlers, formatters, functions of caches, callbacks, drops.";
    WAITS: Counter "stasis_waits_total" Count []
        "Waits for a subscription: publish_sync and join.";
    CIRCLES: Counter "stasis_refused_waits_total" Count []
        "Waits, and waits for room, that were not begun, since they would have closed a circle.";

    MADE: Counter "stasis_made_messages_total" Count [MESSAGE_TYPE]
        "Messages made. As a rule each is published once.";
    UNUSED: Counter "stasis_unused_messages_total" Count [MESSAGE_TYPE]
        "Publishes of such messages that no subscription anywhere took.";
    DECLINED: Counter "stasis_declined_messages_total" Count [MESSAGE_TYPE]
        "Messages that were not made or not published because the configuration declines their type.";
    LIVE: Gauge "stasis_live_messages" Count [MESSAGE_TYPE]
        "Messages that somebody still has a reference to: mailboxes, caches, the service.";
    LIVE_BYTES: Gauge "stasis_live_message_bytes" Bytes [MESSAGE_TYPE]
        "Memory of those, without what their values point to.";

    WORKERS: Gauge "stasis_workers" Count []
        "Worker threads.";
    WORKERS_MAX: Gauge "stasis_workers_max" Count []
        "Worker threads that there may be at most.";
    WORKERS_PARKED: Gauge "stasis_workers_parked" Count []
        "Workers that have nothing to do.";
    WORKERS_WAITING: Gauge "stasis_workers_waiting" Count []
        "Handlers that wait in publish_sync or join, and whose seat another thread has taken.";
    READY: Gauge "stasis_ready_mailboxes" Count []
        "Mailboxes that wait for a worker.";
    GROWN: Counter "stasis_workers_added_total" Count []
        "How often a worker was added because the others were stuck.";
    SHRUNK: Counter "stasis_workers_retired_total" Count []
        "How often a worker left after idling.";
    THREADS_REFUSED: Counter "stasis_threads_refused_total" Count []
        "Threads that the system refused to start.";
    WORKER_BUSY: Counter "stasis_worker_busy_seconds_total" Seconds [WORKER]
        "How long workers ran mailboxes, by the coarse clock.";
    WORKER_RUNS: Counter "stasis_worker_runs_total" Count [WORKER]
        "How often a worker took a mailbox up.";
    WORKER_PARKS: Counter "stasis_worker_parks_total" Count [WORKER]
        "How often a worker went to sleep.";
    WORKER_WAKEUPS: Counter "stasis_worker_wakeups_total" Count [WORKER]
        "How often a worker was woken, or found work at once, and did not sleep until its idle timeout.";
    WORKER_RUN_AGE: Gauge "stasis_worker_run_age_seconds" Seconds [WORKER]
        "For how long a worker has been running one mailbox: over ten milliseconds (the clock is coarse), its handler does not return. 0: it has no work.";

    CACHE_ENTRIES: Gauge "stasis_cache_entries" Count [CACHE]
        "Entries of caches.";
    CACHE_LOOKUPS: Counter "stasis_cache_lookups_total" Count [CACHE, RESULT]
        "Reads of one object. Those under a pin count when the pin is dropped.";
    CACHE_UPDATES: Counter "stasis_cache_updates_total" Count [CACHE, OPERATION]
        "Changes of what an origin says.";
    CACHE_SUPPRESSED: Counter "stasis_cache_suppressed_total" Count [CACHE]
        "Messages left out because an equal one stood there.";
    CACHE_EXPIRED: Counter "stasis_cache_expired_total" Count [CACHE]
        "States removed because they were not written for the cache's time to live.";
    CACHE_EVICTED: Counter "stasis_cache_evicted_total" Count [CACHE]
        "Entries removed because there were too many.";
    CACHE_AGGREGATES: Counter "stasis_cache_aggregates_total" Count [CACHE]
        "Changes of aggregates.";
    EPOCH_PENDING: Gauge "stasis_epoch_pending_objects" Count []
        "What was replaced or removed in all caches and is not dropped yet.";
    EPOCH_OLDEST_PIN: Gauge "stasis_epoch_oldest_pin_seconds" Seconds []
        "For how long the oldest of it has been held by somebody's pin; 0 if none is.";

    OVERFLOW: Counter "stasis_metrics_label_overflow_total" Count [LABEL]
        "Things counted under `other`, since their label had its full number of values.";
    SAMPLE_SECONDS: Gauge "stasis_metrics_sample_seconds" Seconds []
        "How long it took to read the statistics for this very sample.";
}
