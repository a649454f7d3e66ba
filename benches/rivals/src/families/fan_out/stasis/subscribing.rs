//! The subscribers' side: handlers on the pool, on threads of their own or inline, and streams.

use super::{BLOCK, Run, SPIN};
use crate::bench::Outcome;
use crate::families::fan_out::credits::Progress;
use crate::families::fan_out::drain::{self, Drain, Found, Source};
use crate::families::fan_out::load::CAPACITY;
use crate::families::fan_out::race::{Note, Race, Sink};
use stasis_bus::{
    Batch, Delivery, Dispatch, MessageType, Overflow, Received, Stream, SubscribeError, Subscription,
    SubscriptionBuilder, TryRecvError,
};
use std::sync::Arc;
use std::thread::JoinHandle;

pub enum Kind {
    Handler(Dispatch),
    BatchHandler,
    Inline,
    Stream(Drain<Reader>),
}

/// What keeps them subscribed.
pub struct Subscribers {
    handles: Vec<Subscription>,
    readers: Vec<JoinHandle<()>>,
}

impl Subscribers {
    /// Each handles what it has, and then its end.
    pub fn end(self) -> Outcome<()> {
        for handle in &self.handles {
            handle.unsubscribe();
        }
        self.handles.iter().try_for_each(Subscription::join)?;
        drain::join(self.readers)
    }
}

pub fn start(run: &Run<'_>, kind: Kind) -> Outcome<Subscribers> {
    let start: &dyn Fn(usize, Sink) -> Started = match kind {
        Kind::Handler(dispatch) => &move |which, sink| handler(run, dispatch, which, sink),
        Kind::BatchHandler => &|_, sink| batch_handler(run, sink),
        Kind::Inline => &|_, sink| inline(run, sink),
        Kind::Stream(drain) => return streams(run, drain),
    };
    let sinks = run.race.sinks().into_iter().enumerate();
    let handles = sinks.map(|(which, sink)| start(which, sink)).collect::<Result<_, _>>()?;
    Ok(Subscribers { handles, readers: Vec::new() })
}

type Started = Result<Subscription, SubscribeError>;

fn builder<'a>(run: &'a Run<'_>) -> SubscriptionBuilder<'a> {
    let policy = if run.credits.is_some() { Overflow::default() } else { BLOCK };
    run.topic.subscription("fan-out").capacity(CAPACITY).overflow(policy)
}

fn handler(run: &Run<'_>, dispatch: Dispatch, which: usize, sink: Sink) -> Started {
    let mut progress = run.credits.as_ref().map(|credits| credits.progress(which));
    let (race, note) = (run.race.clone(), run.note.clone());
    let builder = builder(run).dispatch(dispatch);
    let builder = if dispatch == Dispatch::Dedicated { builder.wait(SPIN) } else { builder };
    builder.start(move |delivery| {
        take(&race, &note, &sink, delivery);
        progress.as_mut().map(Progress::step);
    })
}

#[inline]
fn take(race: &Race, note: &MessageType<Note>, sink: &Sink, delivery: &Delivery<'_>) {
    if let Some(note) = delivery.read(note) {
        sink.take(note);
    }
    if delivery.missed() > 0 {
        race.fail(format!("missed {}", delivery.missed()));
    }
}

fn batch_handler(run: &Run<'_>, sink: Sink) -> Started {
    let (race, note) = (run.race.clone(), run.note.clone());
    builder(run).start_batch(move |batch: &mut Batch<'_>| {
        batch.iter().for_each(|delivery| take(&race, &note, &sink, &delivery));
    })
}

fn inline(run: &Run<'_>, sink: Sink) -> Started {
    let (race, note) = (run.race.clone(), run.note.clone());
    run.topic.subscription("fan-out").inline(move |delivery| take(&race, &note, &sink, delivery))
}

fn streams(run: &Run<'_>, drain: Drain<Reader>) -> Outcome<Subscribers> {
    let reader = |sink| {
        let stream = builder(run).stream()?;
        let handle = stream.handle();
        Ok((handle, (Reader { stream, note: run.note.clone(), race: run.race.clone() }, sink)))
    };
    let started: Result<Vec<_>, SubscribeError> = run.race.sinks().into_iter().map(reader).collect();
    let (handles, readers) = started?.into_iter().unzip();
    Ok(Subscribers { handles, readers: drain(readers) })
}

/// A subscriber that reads a stream.
pub struct Reader {
    stream: Stream,
    note: MessageType<Note>,
    race: Arc<Race>,
}

impl Reader {
    fn take(&self, received: &Received, sink: &Sink) -> bool {
        if let Some(note) = received.read(&self.note) {
            sink.take(note);
        }
        if received.missed() > 0 {
            self.race.fail(format!("missed {}", received.missed()));
        }
        !received.is_final()
    }
}

impl Source for Reader {
    fn look(&mut self, sink: &Sink) -> Found {
        match self.stream.try_recv() {
            Ok(received) if self.take(&received, sink) => Found::Some,
            Err(TryRecvError::Empty) => Found::Nothing,
            Ok(_) | Err(_) => Found::Closed,
        }
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        self.stream.recv().is_some_and(|received| self.take(&received, sink))
    }
}
