//! A channel for each subscriber, and tokio's broadcast channel; each with a thread for every subscriber, and with one
//! that looks at all of them in turn.

use super::pace::{Note, Pace, Watch};
use super::{CAPACITY, SUBSCRIBERS};
use crate::bench::Outcome;
use crate::families::fan_out::credits::{Credits, Progress};
use crate::pinning::{CONSUMER, spawn_on};
use crossbeam_utils::Backoff;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

type Parcel = Arc<Note>;

/// What one subscriber's messages come out of.
trait Source: Send + 'static {
    /// The next message, if it is there. `Err`: there will be none.
    fn look(&mut self) -> Result<Option<Parcel>, Closed>;
    /// The next message, when it is there.
    fn wait(&mut self) -> Option<Parcel>;
}

struct Closed;

impl Source for crossbeam_channel::Receiver<Parcel> {
    fn look(&mut self) -> Result<Option<Parcel>, Closed> {
        match self.try_recv() {
            Ok(parcel) => Ok(Some(parcel)),
            Err(crossbeam_channel::TryRecvError::Empty) => Ok(None),
            Err(crossbeam_channel::TryRecvError::Disconnected) => Err(Closed),
        }
    }

    fn wait(&mut self) -> Option<Parcel> {
        self.recv().ok()
    }
}

/// A receiver that never lags, because its publisher waits for it.
struct Listener {
    receiver: broadcast::Receiver<Parcel>,
    progress: Progress,
}

impl Source for Listener {
    fn look(&mut self) -> Result<Option<Parcel>, Closed> {
        match self.receiver.try_recv() {
            Ok(parcel) => {
                self.progress.step();
                Ok(Some(parcel))
            }
            Err(TryRecvError::Empty) => {
                self.progress.report();
                Ok(None)
            }
            // What was lost is missing in the sum.
            Err(TryRecvError::Lagged(_)) => Ok(None),
            Err(TryRecvError::Closed) => Err(Closed),
        }
    }

    fn wait(&mut self) -> Option<Parcel> {
        match self.look() {
            Ok(Some(parcel)) => return Some(parcel),
            Ok(None) => {}
            Err(Closed) => return None,
        }
        let parcel = self.receiver.blocking_recv().ok();
        self.progress.step();
        parcel
    }
}

type Serve<S> = fn(Vec<(S, Watch)>) -> Vec<JoinHandle<()>>;

fn thread_each<S: Source>(subscribers: Vec<(S, Watch)>) -> Vec<JoinHandle<()>> {
    let start = |(mut source, mut watch): (S, Watch)| {
        spawn_on(CONSUMER, move || {
            while let Some(parcel) = source.wait() {
                watch.take(&parcel);
            }
        })
    };
    subscribers.into_iter().map(start).collect()
}

fn one_thread<S: Source>(subscribers: Vec<(S, Watch)>) -> Vec<JoinHandle<()>> {
    vec![spawn_on(CONSUMER, move || serve_in_turn(subscribers))]
}

fn serve_in_turn<S: Source>(mut subscribers: Vec<(S, Watch)>) {
    let backoff = Backoff::new();
    while !subscribers.is_empty() {
        let mut found = false;
        subscribers.retain_mut(|(source, watch)| serve(source, watch, &mut found));
        match found {
            true => backoff.reset(),
            false => backoff.snooze(),
        }
    }
}

/// What is there, at most one queue's worth. False: there will be no more.
fn serve<S: Source>(source: &mut S, watch: &mut Watch, found: &mut bool) -> bool {
    for _ in 0..CAPACITY {
        match source.look() {
            Ok(Some(parcel)) => watch.take(&parcel),
            Ok(None) => break,
            Err(Closed) => return false,
        }
        *found = true;
    }
    true
}

pub fn crossbeam_one_thread(pace: &Pace, watches: Vec<Watch>) -> Outcome<()> {
    crossbeam(pace, watches, one_thread)
}

pub fn crossbeam_thread_each(pace: &Pace, watches: Vec<Watch>) -> Outcome<()> {
    crossbeam(pace, watches, thread_each)
}

fn crossbeam(
    pace: &Pace,
    watches: Vec<Watch>,
    serve: Serve<crossbeam_channel::Receiver<Parcel>>,
) -> Outcome<()> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        watches.iter().map(|_| crossbeam_channel::bounded::<Parcel>(CAPACITY)).unzip();
    let threads = serve(receivers.into_iter().zip(watches).collect());
    let (last, others) = senders.split_last().ok_or("nobody listens")?;
    pace.publish(|number| {
        let parcel = Arc::new(Note::new(number));
        others.iter().for_each(|sender| sender.send(parcel.clone()).expect("the channel is open"));
        last.send(parcel).expect("the channel is open");
    });
    drop(senders);
    join(threads)
}

pub fn tokio_one_thread(pace: &Pace, watches: Vec<Watch>) -> Outcome<()> {
    tokio_broadcast(pace, watches, one_thread)
}

pub fn tokio_thread_each(pace: &Pace, watches: Vec<Watch>) -> Outcome<()> {
    tokio_broadcast(pace, watches, thread_each)
}

fn tokio_broadcast(pace: &Pace, watches: Vec<Watch>, serve: Serve<Listener>) -> Outcome<()> {
    let (sender, _) = broadcast::channel(CAPACITY);
    let credits = Credits::new(SUBSCRIBERS);
    let listener = |(which, watch)| {
        (Listener { receiver: sender.subscribe(), progress: credits.progress(which) }, watch)
    };
    let threads = serve(watches.into_iter().enumerate().map(listener).collect());
    let mut allowance = credits.allowance();
    pace.publish(|number| {
        allowance.spend();
        sender.send(Arc::new(Note::new(number))).expect("somebody listens");
    });
    drop(sender);
    join(threads)
}

fn join(threads: Vec<JoinHandle<()>>) -> Outcome<()> {
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".into()))
}
