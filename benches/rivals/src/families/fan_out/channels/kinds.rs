//! The channels themselves, each as its crate calls things.

use super::{Channel, Closed, Draining, Parcel, Receiving};
use crate::families::fan_out::load::CAPACITY;
use crate::families::fan_out::race::Sink;
use crossfire::{MTx, Rx, Tx, mpsc as crossfire_mpsc, spsc as crossfire_spsc};
use std::sync::mpsc as std_mpsc;
use tokio::sync::mpsc as tokio_mpsc;

pub struct Crossbeam;

impl Channel for Crossbeam {
    type Sender = crossbeam_channel::Sender<Parcel>;
    type Receiver = crossbeam_channel::Receiver<Parcel>;

    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        (vec![sender; publishers], receiver)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed> {
        match receiver.try_recv() {
            Ok(parcel) => Ok(Some(parcel)),
            Err(crossbeam_channel::TryRecvError::Empty) => Ok(None),
            Err(crossbeam_channel::TryRecvError::Disconnected) => Err(Closed),
        }
    }

    /// It can wait for several.
    fn rest(all: &[(Receiving<Self>, Sink)]) {
        let mut select = crossbeam_channel::Select::new();
        for (receiver, _) in all {
            select.recv(&receiver.0);
        }
        if !all.is_empty() {
            select.ready();
        }
    }
}

pub struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::Sender<Parcel>;
    type Receiver = kanal::Receiver<Parcel>;

    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = kanal::bounded(CAPACITY);
        (vec![sender; publishers], receiver)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed> {
        receiver.try_recv().map_err(|_| Closed)
    }
}

impl Draining for Kanal {
    fn drain(receiver: &mut Self::Receiver, into: &mut Vec<Parcel>) {
        // An error if there is no receiver.
        let _ = receiver.drain_into(into);
    }

    fn has_ended(receiver: &Self::Receiver) -> bool {
        receiver.is_disconnected()
    }
}

pub struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<Parcel>;
    type Receiver = flume::Receiver<Parcel>;

    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = flume::bounded(CAPACITY);
        (vec![sender; publishers], receiver)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed> {
        match receiver.try_recv() {
            Ok(parcel) => Ok(Some(parcel)),
            Err(flume::TryRecvError::Empty) => Ok(None),
            Err(flume::TryRecvError::Disconnected) => Err(Closed),
        }
    }
}

impl Draining for Flume {
    fn drain(receiver: &mut Self::Receiver, into: &mut Vec<Parcel>) {
        into.extend(receiver.drain());
    }

    fn has_ended(receiver: &Self::Receiver) -> bool {
        receiver.is_disconnected()
    }
}

pub struct StdMpsc;

impl Channel for StdMpsc {
    type Sender = std_mpsc::SyncSender<Parcel>;
    type Receiver = std_mpsc::Receiver<Parcel>;

    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = std_mpsc::sync_channel(CAPACITY);
        (vec![sender; publishers], receiver)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed> {
        match receiver.try_recv() {
            Ok(parcel) => Ok(Some(parcel)),
            Err(std_mpsc::TryRecvError::Empty) => Ok(None),
            Err(std_mpsc::TryRecvError::Disconnected) => Err(Closed),
        }
    }
}

pub struct TokioMpsc;

impl Channel for TokioMpsc {
    type Sender = tokio_mpsc::Sender<Parcel>;
    type Receiver = tokio_mpsc::Receiver<Parcel>;

    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = tokio_mpsc::channel(CAPACITY);
        (vec![sender; publishers], receiver)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        match sender.try_send(parcel) {
            Err(tokio_mpsc::error::TrySendError::Full(parcel)) => sender.blocking_send(parcel).is_ok(),
            sent => sent.is_ok(),
        }
    }

    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel> {
        receiver.blocking_recv()
    }

    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed> {
        match receiver.try_recv() {
            Ok(parcel) => Ok(Some(parcel)),
            Err(tokio_mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(tokio_mpsc::error::TryRecvError::Disconnected) => Err(Closed),
        }
    }
}

/// Its fastest one for one publisher.
pub struct CrossfireSpsc;

impl Channel for CrossfireSpsc {
    type Sender = Tx<crossfire_spsc::Array<Parcel>>;
    type Receiver = Rx<crossfire_spsc::Array<Parcel>>;

    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        assert_eq!(publishers, 1);
        crossfire::detect_backoff_cfg();
        let (sender, receiver) = crossfire_spsc::bounded_blocking(CAPACITY);
        (vec![sender], receiver)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed> {
        crossfire_found(receiver.try_recv())
    }
}

pub struct CrossfireMpsc;

impl Channel for CrossfireMpsc {
    type Sender = MTx<crossfire_mpsc::Array<Parcel>>;
    type Receiver = Rx<crossfire_mpsc::Array<Parcel>>;

    fn open(publishers: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        crossfire::detect_backoff_cfg();
        let (sender, receiver) = crossfire_mpsc::bounded_blocking(CAPACITY);
        (vec![sender; publishers], receiver)
    }

    fn send(sender: &Self::Sender, parcel: Parcel) -> bool {
        sender.send(parcel).is_ok()
    }

    fn receive(receiver: &mut Self::Receiver) -> Option<Parcel> {
        receiver.recv().ok()
    }

    fn try_receive(receiver: &mut Self::Receiver) -> Result<Option<Parcel>, Closed> {
        crossfire_found(receiver.try_recv())
    }
}

fn crossfire_found(received: Result<Parcel, crossfire::TryRecvError>) -> Result<Option<Parcel>, Closed> {
    match received {
        Ok(parcel) => Ok(Some(parcel)),
        Err(crossfire::TryRecvError::Empty) => Ok(None),
        Err(crossfire::TryRecvError::Disconnected) => Err(Closed),
    }
}
