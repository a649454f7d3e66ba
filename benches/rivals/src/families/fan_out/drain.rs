//! How subscribers are served by those who leave that to their users: a thread for each of them, or one that looks at
//! all of them in turn, which forms batches and never contends with itself.

use super::load::CAPACITY;
use super::race::Sink;
use crate::bench::Outcome;
use crossbeam_utils::Backoff;
use std::thread::{self, JoinHandle};
use tokio::runtime::Builder;

/// What one subscriber's messages come out of.
pub trait Source: Send + Sized + 'static {
    /// Hands the next message to the sink, if there is one, or several.
    fn look(&mut self, sink: &Sink) -> Found;

    /// Its turn among others: at most one queue's worth, so that a fast publisher does not starve the others.
    fn serve(&mut self, sink: &Sink) -> Found {
        for taken in 0..CAPACITY {
            match self.look(sink) {
                Found::Some => {}
                Found::Nothing if taken > 0 => return Found::Some,
                other => return other,
            }
        }
        Found::Some
    }

    /// Waits for the next message, as its crate waits, and hands it to the sink. False: there will be none.
    fn wait(&mut self, sink: &Sink) -> bool;

    /// When all have been found empty for a while: waits until one has something, or a little longer.
    fn rest(_: &[(Self, Sink)]) {
        thread::yield_now();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Some,
    Nothing,
    /// And there will be nothing.
    Closed,
}

/// Starts the threads that serve all subscribers.
pub type Drain<S> = fn(Vec<(S, Sink)>) -> Vec<JoinHandle<()>>;

pub fn thread_each<S: Source>(subscribers: Vec<(S, Sink)>) -> Vec<JoinHandle<()>> {
    let start = |(mut source, sink): (S, Sink)| thread::spawn(move || while source.wait(&sink) {});
    subscribers.into_iter().map(start).collect()
}

/// One that spins when there is nothing, then yields, then rests.
pub fn one_thread<S: Source>(subscribers: Vec<(S, Sink)>) -> Vec<JoinHandle<()>> {
    in_turn::<S, Backoff>(subscribers)
}

/// One that never does anything but look.
pub fn one_busy_thread<S: Source>(subscribers: Vec<(S, Sink)>) -> Vec<JoinHandle<()>> {
    in_turn::<S, Busy>(subscribers)
}

/// One that tells the processor that it spins.
pub fn one_hinting_thread<S: Source>(subscribers: Vec<(S, Sink)>) -> Vec<JoinHandle<()>> {
    in_turn::<S, Hint>(subscribers)
}

fn in_turn<S: Source, I: Idle>(subscribers: Vec<(S, Sink)>) -> Vec<JoinHandle<()>> {
    vec![thread::spawn(move || serve_in_turn::<S, I>(subscribers))]
}

pub fn join(threads: Vec<JoinHandle<()>>) -> Outcome<()> {
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".into()))
}

/// Rounds over all of them, as long as one is open.
fn serve_in_turn<S: Source, I: Idle>(mut subscribers: Vec<(S, Sink)>) {
    let mut idle = I::default();
    while !subscribers.is_empty() {
        let mut found = false;
        subscribers.retain_mut(|(source, sink)| {
            let last = source.serve(sink);
            found |= last == Found::Some;
            last != Found::Closed
        });
        match found {
            true => idle.over(),
            false => idle.round(&subscribers),
        }
    }
}

/// What a thread does after a round in which nobody had anything.
trait Idle: Default {
    fn round<S: Source>(&mut self, subscribers: &[(S, Sink)]);
    /// Somebody had something.
    fn over(&mut self) {}
}

impl Idle for Backoff {
    fn round<S: Source>(&mut self, subscribers: &[(S, Sink)]) {
        match self.is_completed() {
            true => S::rest(subscribers),
            false => self.snooze(),
        }
    }

    fn over(&mut self) {
        self.reset();
    }
}

#[derive(Default)]
struct Busy;

impl Idle for Busy {
    fn round<S: Source>(&mut self, _: &[(S, Sink)]) {}
}

#[derive(Default)]
struct Hint;

impl Idle for Hint {
    fn round<S: Source>(&mut self, _: &[(S, Sink)]) {
        std::hint::spin_loop();
    }
}

/// All subscribers as tasks of one thread.
pub fn tasks<F: Future<Output = ()> + Send + 'static>(subscribers: Vec<F>) -> Vec<JoinHandle<()>> {
    tasks_of(Builder::new_current_thread(), subscribers)
}

/// All subscribers as tasks of a runtime with its usual number of threads.
pub fn tasks_of_a_pool<F: Future<Output = ()> + Send + 'static>(subscribers: Vec<F>) -> Vec<JoinHandle<()>> {
    tasks_of(Builder::new_multi_thread(), subscribers)
}

fn tasks_of<F: Future<Output = ()> + Send + 'static>(
    mut builder: Builder,
    subscribers: Vec<F>,
) -> Vec<JoinHandle<()>> {
    vec![thread::spawn(move || {
        let runtime = builder.build().expect("a runtime");
        let tasks: Vec<_> = subscribers.into_iter().map(|one| runtime.spawn(one)).collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.expect("a task that does not panic");
            }
        });
    })]
}
