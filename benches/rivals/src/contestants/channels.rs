//! Bounded channels, one per subscriber; the message is an `Arc` cloned for each.
//!
//! Two arrangements: a thread that drains all of them, which forms batches and never contends with itself, and a
//! thread for every subscriber, which blocks in `recv`.

use crate::race::{Note, Outcome, Race, Sink};
use crate::scenario::CAPACITY;
use crossbeam_utils::Backoff;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type Parcel = Arc<Note>;

/// What the two kinds of channel have in common.
trait Channel: 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: Send + 'static;
    fn pair() -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, parcel: Parcel) -> bool;
    /// `None`: closed and empty.
    fn receive(receiver: &Self::Receiver) -> Option<Parcel>;
    /// `Err`: closed and empty.
    fn try_receive(receiver: &Self::Receiver) -> Result<Option<Parcel>, Closed>;
    /// Sleeps until one of them has something, or a little longer.
    fn wait(receivers: &[Self::Receiver]);
}

struct Closed;

struct Crossbeam;

impl Channel for Crossbeam {
    type Sender = crossbeam_channel::Sender<Parcel>;
    type Receiver = crossbeam_channel::Receiver<Parcel>;

    fn pair() -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(CAPACITY)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &Self::Receiver) -> Result<Option<Parcel>, Closed> {
        match receiver.try_recv() {
            Ok(parcel) => Ok(Some(parcel)),
            Err(crossbeam_channel::TryRecvError::Empty) => Ok(None),
            Err(crossbeam_channel::TryRecvError::Disconnected) => Err(Closed),
        }
    }

    fn wait(receivers: &[Self::Receiver]) {
        let mut select = crossbeam_channel::Select::new();
        receivers.iter().for_each(|receiver| {
            select.recv(receiver);
        });
        select.ready();
    }
}

struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::Sender<Parcel>;
    type Receiver = kanal::Receiver<Parcel>;

    fn pair() -> (Self::Sender, Self::Receiver) {
        kanal::bounded(CAPACITY)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &Self::Receiver) -> Result<Option<Parcel>, Closed> {
        receiver.try_recv().map_err(|_| Closed)
    }

    /// It cannot wait for several.
    fn wait(_: &[Self::Receiver]) {
        thread::yield_now();
    }
}

pub fn crossbeam_one(race: &Arc<Race>) -> Outcome<Duration> {
    run::<Crossbeam>(race, drain_on_one_thread::<Crossbeam>)
}

pub fn crossbeam_each(race: &Arc<Race>) -> Outcome<Duration> {
    run::<Crossbeam>(race, drain_on_a_thread_each::<Crossbeam>)
}

pub fn kanal_one(race: &Arc<Race>) -> Outcome<Duration> {
    run::<Kanal>(race, drain_on_one_thread::<Kanal>)
}

pub fn kanal_each(race: &Arc<Race>) -> Outcome<Duration> {
    run::<Kanal>(race, drain_on_a_thread_each::<Kanal>)
}

type Drain<C> = fn(Vec<<C as Channel>::Receiver>, Vec<Sink>) -> Vec<thread::JoinHandle<()>>;

fn run<C: Channel>(race: &Arc<Race>, drain: Drain<C>) -> Outcome<Duration> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..race.fanout.subscribers).map(|_| C::pair()).unzip();
    let threads = drain(receivers, race.sinks());
    let publishers =
        (0..race.fanout.publishers).map(|_| publisher::<C>(senders.clone(), race.clone())).collect();
    drop(senders);
    let time = race.run(publishers);
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked"))?;
    Ok(time)
}

/// The last channel gets the publisher's own reference.
fn publisher<C: Channel>(senders: Vec<C::Sender>, race: Arc<Race>) -> impl FnMut(Note) + Send {
    move |note| {
        let Some((last, others)) = senders.split_last() else { return };
        let parcel = Arc::new(note);
        let sent = others.iter().all(|sender| C::send(sender, parcel.clone())) && C::send(last, parcel);
        if !sent {
            race.fail("a channel was closed".to_owned());
        }
    }
}

fn drain_on_a_thread_each<C: Channel>(
    receivers: Vec<C::Receiver>,
    sinks: Vec<Sink>,
) -> Vec<thread::JoinHandle<()>> {
    let start = |(receiver, mut sink): (C::Receiver, Sink)| {
        thread::spawn(move || {
            while let Some(parcel) = C::receive(&receiver) {
                sink.take(&parcel);
            }
        })
    };
    receivers.into_iter().zip(sinks).map(start).collect()
}

fn drain_on_one_thread<C: Channel>(
    receivers: Vec<C::Receiver>,
    sinks: Vec<Sink>,
) -> Vec<thread::JoinHandle<()>> {
    vec![thread::spawn(move || drain_in_turn::<C>(&receivers, sinks))]
}

/// Rounds over all channels; after an empty round it spins, then yields, then sleeps.
fn drain_in_turn<C: Channel>(receivers: &[C::Receiver], mut sinks: Vec<Sink>) {
    let backoff = Backoff::new();
    loop {
        let mut found = false;
        for (receiver, sink) in receivers.iter().zip(&mut sinks) {
            match drain_one::<C>(receiver, sink) {
                Ok(some) => found |= some,
                Err(Closed) => return finish::<C>(receivers, sinks),
            }
        }
        match found {
            true => backoff.reset(),
            false if backoff.is_completed() => C::wait(receivers),
            false => backoff.snooze(),
        }
    }
}

/// At most one queue's worth, so that a fast publisher does not starve the other channels.
fn drain_one<C: Channel>(receiver: &C::Receiver, sink: &mut Sink) -> Result<bool, Closed> {
    for taken in 0..CAPACITY {
        match C::try_receive(receiver)? {
            Some(parcel) => sink.take(&parcel),
            None => return Ok(taken > 0),
        }
    }
    Ok(true)
}

/// The publishers are gone: what is left is left in the channels that are not empty yet.
fn finish<C: Channel>(receivers: &[C::Receiver], mut sinks: Vec<Sink>) {
    for (receiver, sink) in receivers.iter().zip(&mut sinks) {
        while let Ok(Some(parcel)) = C::try_receive(receiver) {
            sink.take(&parcel);
        }
    }
}
