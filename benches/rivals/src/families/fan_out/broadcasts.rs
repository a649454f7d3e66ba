//! Other queues that all subscribers read: `bus`, `async-broadcast` and `multiqueue2`. The message is an `Arc`.

use super::drain::{self, Drain, Found, Source};
use super::load::CAPACITY;
use super::race::{Note, Race, Sink};
use crate::bench::Outcome;
use crossbeam_utils::Backoff;
use multiqueue2::wait::YieldingWait;
use multiqueue2::{BroadcastSender, BroadcastUniReceiver, broadcast_queue_with};
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Parcel = Arc<Note>;
type Publish = Box<dyn FnMut(u64) + Send>;

/// What every one of them does once its subscribers are served.
fn finish(
    race: &Race,
    threads: Vec<std::thread::JoinHandle<()>>,
    publishers: Vec<Publish>,
) -> Outcome<Duration> {
    let time = race.run(publishers);
    drain::join(threads)?;
    Ok(time)
}

// ---- bus ---------------------------------------------------------------------------------------------------------

impl Source for bus::BusReader<Parcel> {
    fn look(&mut self, sink: &Sink) -> Found {
        found(self.try_recv().map(|parcel| sink.take(&parcel)))
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        self.recv().map(|parcel| sink.take(&parcel)).is_ok()
    }
}

pub fn bus(race: &Arc<Race>, drain: Drain<bus::BusReader<Parcel>>) -> Outcome<Duration> {
    let mut bus = bus::Bus::new(CAPACITY);
    let readers = race.sinks().into_iter().map(|sink| (bus.add_rx(), sink));
    let threads = drain(readers.collect());
    let publishers = match race.load.publishers {
        1 => vec![bus_publisher(bus, race)],
        several => shared_bus_publishers(bus, several, race),
    };
    finish(race, threads, publishers)
}

fn bus_publisher(mut bus: bus::Bus<Parcel>, race: &Race) -> Publish {
    let parcels = race.parcels();
    Box::new(move |number| bus.broadcast(parcels.next(number)))
}

/// It has one publisher: several share it under a lock, as its documentation says.
fn shared_bus_publishers(bus: bus::Bus<Parcel>, several: usize, race: &Race) -> Vec<Publish> {
    let bus = Arc::new(Mutex::new(bus));
    let publisher = |_| {
        let (bus, parcels) = (bus.clone(), race.parcels());
        Box::new(move |number| {
            let parcel = parcels.next(number);
            bus.lock().unwrap_or_else(PoisonError::into_inner).broadcast(parcel);
        }) as Publish
    };
    (0..several).map(publisher).collect()
}

// ---- async-broadcast ---------------------------------------------------------------------------------------------

impl Source for async_broadcast::Receiver<Parcel> {
    fn look(&mut self, sink: &Sink) -> Found {
        use async_broadcast::TryRecvError::{Closed, Empty, Overflowed};
        match self.try_recv() {
            Ok(parcel) => sink.take(&parcel),
            Err(Empty) => return Found::Nothing,
            Err(Closed | Overflowed(_)) => return Found::Closed,
        }
        Found::Some
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        self.recv_blocking().map(|parcel| sink.take(&parcel)).is_ok()
    }
}

pub fn async_broadcast(
    race: &Arc<Race>,
    drain: Drain<async_broadcast::Receiver<Parcel>>,
) -> Outcome<Duration> {
    let (sender, receiver) = async_broadcast::broadcast(CAPACITY);
    let threads = drain(race.sinks().into_iter().map(|sink| (receiver.clone(), sink)).collect());
    drop(receiver);
    let publisher = |_| {
        let (sender, parcels, race) = (sender.clone(), race.parcels(), race.clone());
        Box::new(move |number| {
            if sender.broadcast_blocking(parcels.next(number)).is_err() {
                race.fail("the channel was closed".to_owned());
            }
        }) as Publish
    };
    let publishers = (0..race.load.publishers).map(publisher).collect();
    drop(sender);
    finish(race, threads, publishers)
}

/// Receivers as tasks of one thread.
pub fn async_broadcast_tasks(race: &Arc<Race>) -> Outcome<Duration> {
    async_broadcast(race, |all| {
        drain::tasks(all.into_iter().map(|(one, sink)| receive_all(one, sink)).collect())
    })
}

async fn receive_all(mut receiver: async_broadcast::Receiver<Parcel>, sink: Sink) {
    while let Ok(parcel) = receiver.recv_direct().await {
        sink.take(&parcel);
    }
}

// ---- multiqueue2 -------------------------------------------------------------------------------------------------

/// Reads in place: a stream with one reader.
pub struct Stream(BroadcastUniReceiver<Parcel>);

impl Source for Stream {
    fn look(&mut self, sink: &Sink) -> Found {
        found(self.0.try_recv_view(|parcel| sink.take(parcel)).map_err(|(_, error)| error))
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        self.0.recv_view(|parcel| sink.take(parcel)).is_ok()
    }
}

pub fn multiqueue2(race: &Arc<Race>, drain: Drain<Stream>) -> Outcome<Duration> {
    let (sender, first) = broadcast_queue_with::<Parcel, _>(CAPACITY as u64, YieldingWait::new());
    let mut streams: Vec<_> = (1..race.load.subscribers).map(|_| first.add_stream()).collect();
    streams.push(first);
    let alone =
        streams.into_iter().map(|stream| stream.into_single().map_err(|_| "a stream has other readers"));
    let streams = alone.collect::<Result<Vec<_>, _>>()?;
    let threads = drain(streams.into_iter().map(Stream).zip(race.sinks()).collect());
    let publishers = vec![sender; race.load.publishers];
    finish(race, threads, publishers.into_iter().map(|sender| multiqueue2_publisher(sender, race)).collect())
}

/// It cannot wait for room: spins, then yields.
fn multiqueue2_publisher(sender: BroadcastSender<Parcel>, race: &Race) -> Publish {
    let parcels = race.parcels();
    Box::new(move |number| {
        let (mut parcel, backoff) = (parcels.next(number), Backoff::new());
        while let Err(error) = sender.try_send(parcel) {
            parcel = match error {
                std::sync::mpsc::TrySendError::Full(parcel) => parcel,
                std::sync::mpsc::TrySendError::Disconnected(_) => return,
            };
            backoff.snooze();
        }
    })
}

fn found(taken: Result<(), TryRecvError>) -> Found {
    match taken {
        Ok(()) => Found::Some,
        Err(TryRecvError::Empty) => Found::Nothing,
        Err(TryRecvError::Disconnected) => Found::Closed,
    }
}
