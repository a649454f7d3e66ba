//! Who takes part, each in every arrangement that may be its best one on a small machine.

use super::broadcasts::{async_broadcast, async_broadcast_tasks, bus, multiqueue2};
use super::channels::{self, Crossbeam, CrossfireMpsc, CrossfireSpsc, Flume, Kanal, StdMpsc, TokioMpsc};
use super::disruptor::{Inline, Shared, multi, single};
use super::drain::{one_busy_thread, one_hinting_thread, one_thread, thread_each};
use super::load::{Load, Payload};
use super::race::Race;
use super::{floor, stasis, tokio_broadcast};
use crate::bench::Outcome;
use disruptor::{BusySpin, BusySpinWithSpinLoopHint};
use std::sync::Arc;
use std::time::Duration;

/// One way to do it.
pub struct Arrangement {
    /// Whose it is.
    pub rival: &'static str,
    pub name: &'static str,
    /// How its subscribers wait.
    pub wait: &'static str,
    /// Sets everything up, runs the race, takes everything down.
    pub run: fn(&Arc<Race>) -> Outcome<Duration>,
    /// Whether it makes sense there.
    pub fits: fn(&Load) -> bool,
}

const STASIS: &str = "stasis";
/// A thread that serves all subscribers of channels.
const IN_TURN: &str = "spins, yields";

/// In the order of the report; the first one is the one that the targets judge.
#[rustfmt::skip]
pub static ALL: &[Arrangement] = &[
    row(STASIS, "stasis pool", "SpinThenPark(50 us)", stasis::pool, always),
    row(STASIS, "stasis pool parking", "Park", stasis::pool_parking, always),
    row(STASIS, "stasis pool credits", "SpinThenPark(50 us)", stasis::pool_with_credits, one_by_one),
    row(STASIS, "stasis pool publisher", "SpinThenPark(50 us)", stasis::pool_by_publishers, always),
    row(STASIS, "stasis pool batch-handler", "SpinThenPark(50 us)", stasis::pool_batch_handlers, always),
    row(STASIS, "stasis dedicated", "SpinThenPark(50 us)", stasis::dedicated, at_most_16),
    row(STASIS, "stasis inline", "no queue", stasis::inline, one_publisher),
    row(STASIS, "stasis stream one-thread", IN_TURN, stasis::streams_one_thread, always),
    row(STASIS, "stasis stream thread-each", "Park", stasis::streams_thread_each, at_most_4),
    row("crossbeam", "crossbeam one-thread", "spins, yields, selects", channels::one_thread::<Crossbeam>, always),
    row("crossbeam", "crossbeam thread-each", "recv", channels::thread_each::<Crossbeam>, at_most_64),
    row("kanal", "kanal one-thread", IN_TURN, channels::one_thread::<Kanal>, always),
    row("kanal", "kanal one-thread drain", IN_TURN, channels::drained::<Kanal>, always),
    row("kanal", "kanal thread-each", "recv", channels::thread_each::<Kanal>, at_most_64),
    row("flume", "flume one-thread", IN_TURN, channels::one_thread::<Flume>, always),
    row("flume", "flume one-thread drain", IN_TURN, channels::drained::<Flume>, always),
    row("flume", "flume thread-each", "recv", channels::thread_each::<Flume>, at_most_4),
    row("std-mpsc", "std-mpsc one-thread", IN_TURN, channels::one_thread::<StdMpsc>, always),
    row("std-mpsc", "std-mpsc thread-each", "recv", channels::thread_each::<StdMpsc>, at_most_4),
    row("tokio-mpsc", "tokio-mpsc one-thread", IN_TURN, channels::one_thread::<TokioMpsc>, always),
    row("tokio-mpsc", "tokio-mpsc tasks", "tokio, one thread", channels::tokio_tasks, always),
    row("tokio-mpsc", "tokio-mpsc thread-each", "blocking_recv", channels::thread_each::<TokioMpsc>, at_most_4),
    row("crossfire", "crossfire-spsc one-thread", IN_TURN, channels::one_thread::<CrossfireSpsc>, one_publisher),
    row("crossfire", "crossfire-spsc thread-each", "recv", channels::thread_each::<CrossfireSpsc>, narrow_one_publisher),
    row("crossfire", "crossfire-mpsc one-thread", IN_TURN, channels::one_thread::<CrossfireMpsc>, always),
    row("crossfire", "crossfire-mpsc thread-each", "recv", channels::thread_each::<CrossfireMpsc>, at_most_64),
    row("tokio-broadcast", "tokio-broadcast one-thread", IN_TURN, tokio_broadcast::one_thread, always),
    row("tokio-broadcast", "tokio-broadcast tasks", "tokio, one thread", tokio_broadcast::tasks, always),
    row("tokio-broadcast", "tokio-broadcast pool-tasks", "tokio, its threads", tokio_broadcast::tasks_of_a_pool, always),
    row("tokio-broadcast", "tokio-broadcast thread-each", "blocking_recv", tokio_broadcast::thread_each, at_most_4),
    row("tokio-broadcast-lossy", "tokio-broadcast lossy", "tokio, one thread", tokio_broadcast::lossy, fresh_by_one),
    row("async-broadcast", "async-broadcast one-thread", IN_TURN, |race| async_broadcast(race, one_thread), always),
    row("async-broadcast", "async-broadcast tasks", "tokio, one thread", async_broadcast_tasks, always),
    row("async-broadcast", "async-broadcast thread-each", "recv_blocking", |race| async_broadcast(race, thread_each), at_most_4),
    row("bus", "bus one-thread", IN_TURN, |race| bus(race, one_thread), always),
    row("bus", "bus thread-each", "recv", |race| bus(race, thread_each), at_most_64),
    row("multiqueue2", "multiqueue2 one-thread", IN_TURN, |race| multiqueue2(race, one_thread), always),
    row("multiqueue2", "multiqueue2 thread-each", "YieldingWait", |race| multiqueue2(race, thread_each), at_most_64),
    row("disruptor-multi", "disruptor-multi polled", IN_TURN, |race| multi::polled::<Shared>(race, one_thread), always),
    row("disruptor-multi", "disruptor-multi polled busy", "BusySpin", |race| multi::polled::<Shared>(race, one_busy_thread), always),
    row("disruptor-multi", "disruptor-multi polled hint", "spin hint", |race| multi::polled::<Shared>(race, one_hinting_thread), always),
    row("disruptor-multi", "disruptor-multi threads busy", "BusySpin", |race| multi::threads::<Shared, _>(race, BusySpin), has_processors),
    row("disruptor-multi", "disruptor-multi threads hint", "spin hint", |race| multi::threads::<Shared, _>(race, BusySpinWithSpinLoopHint), has_processors),
    row("disruptor-single", "disruptor-single polled", IN_TURN, |race| single::polled::<Shared>(race, one_thread), one_publisher),
    row("disruptor-single", "disruptor-single polled busy", "BusySpin", |race| single::polled::<Shared>(race, one_busy_thread), one_publisher),
    row("disruptor-single", "disruptor-single polled hint", "spin hint", |race| single::polled::<Shared>(race, one_hinting_thread), one_publisher),
    row("disruptor-single", "disruptor-single threads busy", "BusySpin", |race| single::threads::<Shared, _>(race, BusySpin), has_processors_for_one),
    row("disruptor-single", "disruptor-single threads hint", "spin hint", |race| single::threads::<Shared, _>(race, BusySpinWithSpinLoopHint), has_processors_for_one),
    // Floors: nothing that a subscriber could keep; one store for each delivery.
    row("disruptor-inline", "disruptor-single inline payload", "spin hint", |race| single::polled::<Inline>(race, one_hinting_thread), fresh_by_one),
    row("disruptor-inline", "disruptor-multi inline payload", "spin hint", |race| multi::polled::<Inline>(race, one_hinting_thread), fresh),
    row("floor", "store per delivery", IN_TURN, floor::store_per_delivery, republished),
];

const fn row(
    rival: &'static str,
    name: &'static str,
    wait: &'static str,
    run: fn(&Arc<Race>) -> Outcome<Duration>,
    fits: fn(&Load) -> bool,
) -> Arrangement {
    Arrangement { rival, name, wait, run, fits }
}

fn always(_: &Load) -> bool {
    true
}

fn one_publisher(load: &Load) -> bool {
    load.publishers == 1
}

fn one_by_one(load: &Load) -> bool {
    !load.batches
}

fn fresh(load: &Load) -> bool {
    load.payload == Payload::Fresh
}

/// What is missed can be told from fresh messages of one publisher.
fn fresh_by_one(load: &Load) -> bool {
    fresh(load) && one_publisher(load)
}

fn republished(load: &Load) -> bool {
    load.payload == Payload::Same && one_publisher(load)
}

/// More threads than these only wait for a processor.
fn at_most_64(load: &Load) -> bool {
    load.subscribers <= 64
}

fn narrow_one_publisher(load: &Load) -> bool {
    at_most_64(load) && one_publisher(load)
}

/// Slower than its sisters by far where there are more.
fn at_most_16(load: &Load) -> bool {
    load.subscribers <= 16
}

fn at_most_4(load: &Load) -> bool {
    load.subscribers <= 4
}

/// Threads that spin need a processor each.
fn has_processors(load: &Load) -> bool {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    load.subscribers + load.publishers <= processors
}

fn has_processors_for_one(load: &Load) -> bool {
    has_processors(load) && one_publisher(load)
}
