//! Bounded channels, one per subscriber; the message is an `Arc` cloned for each.

mod kinds;

use super::drain::{self, Drain, Found, Source};
use super::load::CAPACITY;
use super::race::{Note, Race, Sink};
use crate::bench::Outcome;
pub use kinds::{Crossbeam, CrossfireMpsc, CrossfireSpsc, Flume, Kanal, StdMpsc, TokioMpsc};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

type Parcel = Arc<Note>;

/// What the kinds of channel have in common.
pub trait Channel: 'static {
    type Sender: Send + 'static;
    type Receiver: Send + 'static;
    /// A channel, and a sender for each publisher.
    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver);
    /// Waits for room. False: nobody listens.
    fn send(sender: &Self::Sender, parcel: Parcel) -> bool;
    /// `None`: closed and empty.
    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel>;
    /// `Err`: closed and empty.
    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed>;
    /// As [`Source::rest`].
    fn rest(_: &[(Receiving<Self>, Sink)])
    where
        Self: Sized,
    {
        std::thread::yield_now();
    }
}

pub struct Closed;

/// A subscriber's end of a channel.
pub struct Receiving<C: Channel>(C::Receiver);

impl<C: Channel> Source for Receiving<C> {
    fn look(&mut self, sink: &Sink) -> Found {
        match C::try_receive(&mut self.0) {
            Ok(Some(parcel)) => {
                sink.take(&parcel);
                Found::Some
            }
            Ok(None) => Found::Nothing,
            Err(Closed) => Found::Closed,
        }
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        C::receive(&mut self.0).map(|parcel| sink.take(&parcel)).is_some()
    }

    fn rest(all: &[(Self, Sink)]) {
        C::rest(all);
    }
}

/// One that can be emptied into a list, under one lock.
pub trait Draining: Channel {
    fn drain(receiver: &mut Self::Receiver, into: &mut Vec<Parcel>);
    /// All senders are gone.
    fn has_ended(receiver: &Self::Receiver) -> bool;
}

/// A subscriber's end of such a one, and its list.
pub struct Drained<C: Channel>(C::Receiver, Vec<Parcel>);

impl<C: Draining> Source for Drained<C> {
    fn look(&mut self, sink: &Sink) -> Found {
        if self.drain(sink) {
            return Found::Some;
        }
        match C::has_ended(&self.0) {
            // What came before the last sender went may have come after the look.
            true if !self.drain(sink) => Found::Closed,
            true => Found::Some,
            false => Found::Nothing,
        }
    }

    fn serve(&mut self, sink: &Sink) -> Found {
        self.look(sink)
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        C::receive(&mut self.0).map(|parcel| sink.take(&parcel)).is_some()
    }
}

impl<C: Draining> Drained<C> {
    /// Whether anything was there.
    fn drain(&mut self, sink: &Sink) -> bool {
        C::drain(&mut self.0, &mut self.1);
        let found = !self.1.is_empty();
        self.1.drain(..).for_each(|parcel| sink.take(&parcel));
        found
    }
}

pub fn drained<C: Draining>(race: &Arc<Race>) -> Outcome<Duration> {
    run::<C, _>(race, |receiver| Drained::<C>(receiver, Vec::with_capacity(CAPACITY)), drain::one_thread)
}

pub fn one_thread<C: Channel>(race: &Arc<Race>) -> Outcome<Duration> {
    run::<C, _>(race, Receiving::<C>, drain::one_thread)
}

pub fn thread_each<C: Channel>(race: &Arc<Race>) -> Outcome<Duration> {
    run::<C, _>(race, Receiving::<C>, drain::thread_each)
}

/// tokio's receivers as tasks of one thread.
pub fn tokio_tasks(race: &Arc<Race>) -> Outcome<Duration> {
    run::<TokioMpsc, _>(race, Receiving::<TokioMpsc>, |receivers| {
        drain::tasks(receivers.into_iter().map(|(receiver, sink)| receive_all(receiver.0, sink)).collect())
    })
}

async fn receive_all(mut receiver: mpsc::Receiver<Parcel>, sink: Sink) {
    let mut parcels = Vec::with_capacity(CAPACITY);
    while receiver.recv_many(&mut parcels, CAPACITY).await > 0 {
        parcels.drain(..).for_each(|parcel| sink.take(&parcel));
    }
}

fn run<C: Channel, S: Source>(
    race: &Arc<Race>,
    source: impl Fn(C::Receiver) -> S,
    drain: Drain<S>,
) -> Outcome<Duration> {
    let (subscribers, publishers) = (race.load.subscribers, race.load.publishers);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..subscribers).map(|_| C::open(publishers)).unzip();
    let threads = drain(receivers.into_iter().map(source).zip(race.sinks()).collect());
    let publishers = transposed(senders, publishers).into_iter().map(|senders| publisher::<C>(senders, race));
    let time = race.run(publishers.collect());
    drain::join(threads)?;
    Ok(time)
}

/// From the senders of each channel to those of each publisher.
fn transposed<S>(channels: Vec<Vec<S>>, publishers: usize) -> Vec<Vec<S>> {
    let mut all: Vec<Vec<S>> = (0..publishers).map(|_| Vec::new()).collect();
    for senders in channels {
        all.iter_mut().zip(senders).for_each(|(of_one, sender)| of_one.push(sender));
    }
    all
}

/// The last channel gets the publisher's own reference.
fn publisher<C: Channel>(senders: Vec<C::Sender>, race: &Arc<Race>) -> impl FnMut(u64) + Send + use<C> {
    let (race, parcels) = (race.clone(), race.parcels());
    move |number| {
        let Some((last, others)) = senders.split_last() else { return };
        let parcel = parcels.next(number);
        let sent = others.iter().all(|sender| C::send(sender, parcel.clone())) && C::send(last, parcel);
        if !sent {
            race.fail("a channel was closed".to_owned());
        }
    }
}
