//! tokio's broadcast channel: made lossless by [credits](super::credits), so that no receiver ever lags, and as it is.

use super::credits::{Allowance, Credits, Progress};
use super::drain::{self, Drain, Found, Source};
use super::load::CAPACITY;
use super::race::{Note, Race, Sink};
use crate::bench::Outcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender, channel};

type Parcel = Arc<Note>;

/// One receiver's side.
pub struct Subscriber {
    receiver: Receiver<Parcel>,
    /// `None`: it may lag, and then takes note of it.
    progress: Option<Progress>,
    race: Arc<Race>,
}

impl Source for Subscriber {
    fn look(&mut self, sink: &Sink) -> Found {
        match self.receiver.try_recv() {
            Ok(parcel) => self.take(&parcel, sink),
            Err(TryRecvError::Lagged(count)) => self.lagged(count, sink),
            Err(TryRecvError::Closed) => return Found::Closed,
            Err(TryRecvError::Empty) => {
                self.progress.as_ref().inspect(|progress| progress.report());
                return Found::Nothing;
            }
        }
        Found::Some
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        match self.drained(sink) {
            true => {
                let received = self.receiver.blocking_recv();
                self.took(received, sink)
            }
            false => false,
        }
    }
}

impl Subscriber {
    async fn run(mut self, sink: Sink) {
        while self.drained(&sink) {
            let received = self.receiver.recv().await;
            if !self.took(received, &sink) {
                return;
            }
        }
    }

    /// Handles what is there, and says how far it is. False: the channel is closed.
    fn drained(&mut self, sink: &Sink) -> bool {
        loop {
            match self.look(sink) {
                Found::Some => {}
                found => return found == Found::Nothing,
            }
        }
    }

    fn took(&mut self, received: Result<Parcel, RecvError>, sink: &Sink) -> bool {
        match received {
            Ok(parcel) => self.take(&parcel, sink),
            Err(RecvError::Lagged(count)) => self.lagged(count, sink),
            Err(RecvError::Closed) => return false,
        }
        true
    }

    fn take(&mut self, parcel: &Note, sink: &Sink) {
        sink.take(parcel);
        self.progress.as_mut().map(Progress::step);
    }

    fn lagged(&self, count: u64, sink: &Sink) {
        match self.progress {
            Some(_) => self.race.fail(format!("lagged by {count}")),
            None => sink.missed(count),
        }
    }
}

pub fn one_thread(race: &Arc<Race>) -> Outcome<Duration> {
    lossless(race, drain::one_thread)
}

pub fn thread_each(race: &Arc<Race>) -> Outcome<Duration> {
    lossless(race, drain::thread_each)
}

pub fn tasks(race: &Arc<Race>) -> Outcome<Duration> {
    lossless(race, |all| drain::tasks(all.into_iter().map(|(one, sink)| one.run(sink)).collect()))
}

pub fn tasks_of_a_pool(race: &Arc<Race>) -> Outcome<Duration> {
    lossless(race, |all| drain::tasks_of_a_pool(all.into_iter().map(|(one, sink)| one.run(sink)).collect()))
}

/// As it is: whoever lags misses messages, and publishers never wait.
pub fn lossy(race: &Arc<Race>) -> Outcome<Duration> {
    run_with(race, None, |all| drain::tasks(all.into_iter().map(|(one, sink)| one.run(sink)).collect()))
}

fn lossless(race: &Arc<Race>, drain: Drain<Subscriber>) -> Outcome<Duration> {
    run_with(race, Some(&Credits::new(race.load.subscribers)), drain)
}

fn run_with(race: &Arc<Race>, credits: Option<&Arc<Credits>>, drain: Drain<Subscriber>) -> Outcome<Duration> {
    let (sender, receiver) = channel(CAPACITY);
    let threads = drain(subscribers(race, &sender, credits));
    drop(receiver);
    let publisher = |_| publisher(sender.clone(), credits.map(Credits::allowance), race);
    let publishers = (0..race.load.publishers).map(publisher).collect();
    drop(sender);
    let time = race.run(publishers);
    drain::join(threads)?;
    Ok(time)
}

fn subscribers(
    race: &Arc<Race>,
    sender: &Sender<Parcel>,
    credits: Option<&Arc<Credits>>,
) -> Vec<(Subscriber, Sink)> {
    let subscriber = |(which, sink)| {
        let progress = credits.map(|credits| credits.progress(which));
        (Subscriber { receiver: sender.subscribe(), progress, race: race.clone() }, sink)
    };
    race.sinks().into_iter().enumerate().map(subscriber).collect()
}

fn publisher(
    sender: Sender<Parcel>,
    mut allowance: Option<Allowance>,
    race: &Arc<Race>,
) -> impl FnMut(u64) + Send + use<> {
    let (race, parcels) = (race.clone(), race.parcels());
    move |number| {
        allowance.as_mut().map(Allowance::spend);
        if sender.send(parcels.next(number)).is_err() {
            race.fail("the channel was closed".to_owned());
        }
    }
}
