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
    /// Hands the next message to the sink, if there is one.
    fn look(&mut self, sink: &Sink) -> Found;

    /// Waits for the next message, as its crate waits, and hands it to the sink. False: there will be none.
    fn wait(&mut self, sink: &Sink) -> bool;

    /// When all have been found empty for a while: waits until one has something, or a little longer.
    fn rest(_: &[(Self, Sink)]) {
        thread::yield_now();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    One,
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

pub fn one_thread<S: Source>(subscribers: Vec<(S, Sink)>) -> Vec<JoinHandle<()>> {
    vec![thread::spawn(move || serve_in_turn(subscribers))]
}

pub fn join(threads: Vec<JoinHandle<()>>) -> Outcome<()> {
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".into()))
}

/// Rounds over all of them; after an empty round it spins, then yields, then rests.
fn serve_in_turn<S: Source>(mut subscribers: Vec<(S, Sink)>) {
    let backoff = Backoff::new();
    while !subscribers.is_empty() {
        let mut found = false;
        subscribers.retain_mut(|(source, sink)| {
            let last = serve(source, sink);
            found |= last == Found::One;
            last != Found::Closed
        });
        match found {
            true => backoff.reset(),
            false if backoff.is_completed() => S::rest(&subscribers),
            false => backoff.snooze(),
        }
    }
}

/// At most one queue's worth, so that a fast publisher does not starve the other subscribers.
fn serve<S: Source>(source: &mut S, sink: &Sink) -> Found {
    for taken in 0..CAPACITY {
        match source.look(sink) {
            Found::One => {}
            Found::Nothing if taken > 0 => return Found::One,
            other => return other,
        }
    }
    Found::One
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
