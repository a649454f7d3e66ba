//! tokio's broadcast channel, made lossless by [credits](super::credits), so that no receiver ever lags.

use super::credits::{Credits, Progress};
use crate::race::{Note, Outcome, Race, Sink};
use crate::scenario::CAPACITY;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender, channel};

type Parcel = Arc<Note>;

/// One receiver's side.
struct Subscriber {
    receiver: Receiver<Parcel>,
    sink: Sink,
    progress: Progress,
    race: Arc<Race>,
}

impl Subscriber {
    /// Handles what is there. False: the channel is closed.
    fn drain(&mut self) -> bool {
        loop {
            match self.receiver.try_recv() {
                Ok(parcel) => self.take(&parcel),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Lagged(count)) => self.race.fail(format!("lagged by {count}")),
                Err(TryRecvError::Closed) => return false,
            }
        }
        self.progress.report();
        true
    }

    fn take(&mut self, parcel: &Note) {
        self.sink.take(parcel);
        self.progress.step();
    }

    async fn run(mut self) {
        while self.drain() {
            let received = self.receiver.recv().await;
            if !self.took(received) {
                return;
            }
        }
    }

    fn run_blocking(mut self) {
        while self.drain() {
            let received = self.receiver.blocking_recv();
            if !self.took(received) {
                return;
            }
        }
    }

    fn took(&mut self, received: Result<Parcel, RecvError>) -> bool {
        match received {
            Ok(parcel) => self.take(&parcel),
            Err(RecvError::Lagged(count)) => self.race.fail(format!("lagged by {count}")),
            Err(RecvError::Closed) => return false,
        }
        true
    }
}

/// All receivers as tasks of one thread.
pub fn one_thread(race: &Arc<Race>) -> Outcome<Duration> {
    let runtime = Builder::new_current_thread().build()?;
    let run = |subscribers| Ok(vec![thread::spawn(move || complete(&runtime, subscribers))]);
    run_with(race, run)
}

/// All receivers as tasks of a runtime with its usual number of threads.
pub fn runtime(race: &Arc<Race>) -> Outcome<Duration> {
    let runtime = Builder::new_multi_thread().build()?;
    let run = |subscribers| Ok(vec![thread::spawn(move || complete(&runtime, subscribers))]);
    run_with(race, run)
}

/// A thread for every receiver.
pub fn thread_each(race: &Arc<Race>) -> Outcome<Duration> {
    let start = |subscriber: Subscriber| thread::spawn(move || subscriber.run_blocking());
    run_with(race, |subscribers| Ok(subscribers.into_iter().map(start).collect()))
}

fn complete(runtime: &Runtime, subscribers: Vec<Subscriber>) {
    let tasks: Vec<_> = subscribers.into_iter().map(|subscriber| runtime.spawn(subscriber.run())).collect();
    runtime.block_on(async {
        for task in tasks {
            let _ = task.await;
        }
    });
}

fn run_with(
    race: &Arc<Race>,
    run: impl FnOnce(Vec<Subscriber>) -> Outcome<Vec<thread::JoinHandle<()>>>,
) -> Outcome<Duration> {
    let credits = Credits::new(race.fanout.subscribers);
    let (sender, receiver) = channel(CAPACITY);
    let subscribers = subscribers(race, &sender, &credits);
    drop(receiver);
    let threads = run(subscribers)?;
    let publishers =
        (0..race.fanout.publishers).map(|_| publisher(sender.clone(), &credits, race.clone())).collect();
    drop(sender);
    let time = race.run(publishers);
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked"))?;
    Ok(time)
}

fn subscribers(race: &Arc<Race>, sender: &Sender<Parcel>, credits: &Arc<Credits>) -> Vec<Subscriber> {
    let subscriber = |(which, sink)| Subscriber {
        receiver: sender.subscribe(),
        sink,
        progress: credits.progress(which),
        race: race.clone(),
    };
    race.sinks().into_iter().enumerate().map(subscriber).collect()
}

fn publisher(
    sender: Sender<Parcel>,
    credits: &Arc<Credits>,
    race: Arc<Race>,
) -> impl FnMut(Note) + Send + use<> {
    let mut allowance = credits.allowance();
    move |note| {
        allowance.spend();
        if sender.send(Arc::new(note)).is_err() {
            race.fail("the channel was closed".to_owned());
        }
    }
}
