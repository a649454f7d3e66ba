//! Who takes part, each in every arrangement that may be its best one on a small machine.

use super::channels::{self, Crossbeam, CrossfireMpsc, CrossfireSpsc, Flume, Kanal, StdMpsc, TokioMpsc};
use super::load::{Load, Payload};
use super::race::Race;
use super::{stasis, tokio_broadcast};
use crate::bench::Outcome;
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
    row(STASIS, "stasis stream thread-each", "Park", stasis::streams_thread_each, at_most_16),
    row("crossbeam", "crossbeam one-thread", "spins, yields, selects", channels::one_thread::<Crossbeam>, always),
    row("crossbeam", "crossbeam thread-each", "recv", channels::thread_each::<Crossbeam>, at_most_64),
    row("kanal", "kanal one-thread", IN_TURN, channels::one_thread::<Kanal>, always),
    row("kanal", "kanal thread-each", "recv", channels::thread_each::<Kanal>, at_most_64),
    row("flume", "flume one-thread", IN_TURN, channels::one_thread::<Flume>, always),
    row("flume", "flume thread-each", "recv", channels::thread_each::<Flume>, at_most_64),
    row("std-mpsc", "std-mpsc one-thread", IN_TURN, channels::one_thread::<StdMpsc>, always),
    row("std-mpsc", "std-mpsc thread-each", "recv", channels::thread_each::<StdMpsc>, at_most_64),
    row("tokio-mpsc", "tokio-mpsc one-thread", IN_TURN, channels::one_thread::<TokioMpsc>, always),
    row("tokio-mpsc", "tokio-mpsc tasks", "tokio, one thread", channels::tokio_tasks, always),
    row("tokio-mpsc", "tokio-mpsc thread-each", "blocking_recv", channels::thread_each::<TokioMpsc>, at_most_16),
    row("crossfire", "crossfire-spsc one-thread", IN_TURN, channels::one_thread::<CrossfireSpsc>, one_publisher),
    row("crossfire", "crossfire-spsc thread-each", "recv", channels::thread_each::<CrossfireSpsc>, narrow_one_publisher),
    row("crossfire", "crossfire-mpsc one-thread", IN_TURN, channels::one_thread::<CrossfireMpsc>, always),
    row("crossfire", "crossfire-mpsc thread-each", "recv", channels::thread_each::<CrossfireMpsc>, at_most_64),
    row("tokio-broadcast", "tokio-broadcast one-thread", IN_TURN, tokio_broadcast::one_thread, always),
    row("tokio-broadcast", "tokio-broadcast tasks", "tokio, one thread", tokio_broadcast::tasks, always),
    row("tokio-broadcast", "tokio-broadcast pool-tasks", "tokio, its threads", tokio_broadcast::tasks_of_a_pool, always),
    row("tokio-broadcast", "tokio-broadcast thread-each", "blocking_recv", tokio_broadcast::thread_each, at_most_4),
    row("tokio-broadcast-lossy", "tokio-broadcast lossy", "tokio, one thread", tokio_broadcast::lossy, lossy),
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

/// What is missed can be told from fresh messages of one publisher.
fn lossy(load: &Load) -> bool {
    one_publisher(load) && load.payload == Payload::Fresh
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
