//! The source: reads the manager stream and publishes what happens, on the topic of whom it
//! happens to.
//!
//! It publishes from one thread, so everybody sees the order of the stream. A consumer that cannot
//! keep up makes `publish` wait (see [`consumers`](crate::consumers)); thus the whole program uses
//! no more memory than its mailboxes hold, whatever the length of the stream.

use crate::End;
use crate::ami::{self, Block, Packet, Reader};
use crate::consumers::Gone;
use crate::event::{BridgeChange, ChannelChange, Event};
use crate::messages::{BRIDGE, CHANNEL, EVERYTHING, Kinds, SYSTEM};
use crate::origins::Origins;
use crate::pace::{Due, Pace};
use crate::roll_call::RollCall;
use crate::rounds::{Part, PartBegins, Rewriter, Round, Span};
use crate::state::State;
use crate::state::console::Joined;
use crate::state::moments::{Moment, Moments};
use crate::topics::Topics;
use stasis_bus::{Bus, Error, Report, Timestamp, Topic};
use std::fmt::Display;
use std::ops::ControlFlow;

/// Most faults that are kept for the summary; more are only counted.
const FAULTS_KEPT: usize = 20;
/// Most characters of an id that a fault quotes.
const ID_QUOTED: usize = 40;

pub(crate) struct Source {
    /// One for each recording that is being played.
    readers: Vec<Reader>,
    kinds: Kinds,
    channels: Topics,
    bridges: Topics,
    system: Topic,
    pace: Pace,
    /// Whose events they are.
    origins: Origins,
    pub(crate) state: State,
    moments: Moments,
    part: Part,
    rewriter: Rewriter,
    roll_call: RollCall,
    /// Of the first round.
    span: Span,
    /// Time of the last event that had one: that of those that have none.
    now: Option<Timestamp>,
    counts: Counts,
}

/// What the source has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) stream: ami::Counts,
    /// Events published.
    pub(crate) messages: u64,
    /// Of these, those that tell of a call.
    pub(crate) of_calls: u64,
    /// Recordings begun after the first one; each is a message of its own.
    pub(crate) begun: u64,
    /// CDRs as Asterisk wrote them, which the stream has between the events: left out.
    pub(crate) answer_keys: u64,
    /// Channels and bridges that got a topic.
    pub(crate) channels: u64,
    pub(crate) bridges: u64,
    /// Events of a channel or bridge that has no topic: gone already, or never seen to appear.
    pub(crate) strays: u64,
    /// Channels and bridges that appear although they are there.
    pub(crate) repeated: u64,
    /// Channels and bridges whose id cannot be part of a topic's name.
    pub(crate) unnamed: u64,
    /// How often the stream was cut, and channels and bridges that ended meanwhile.
    pub(crate) cuts: u64,
    pub(crate) unseen: u64,
    /// Publishes that the bus refused. What a mailbox did not take is its subscription's matter: who comes to listen
    /// and cannot keep up is not the source's.
    pub(crate) lost: u64,
    /// The faults of the stream, the first ones in words.
    pub(crate) faults: Vec<String>,
}

impl Source {
    pub(crate) fn new(bus: &Bus, pace: Pace, origins: Origins, moments: Moments) -> Result<Self, Error> {
        let everything = bus.topic(EVERYTHING)?;
        let system = bus.topic_with(SYSTEM, "events of no channel and no bridge")?;
        system.forward_to(&everything)?.detach();
        Ok(Self {
            readers: vec![Reader::new()],
            kinds: Kinds::of(bus)?,
            channels: Topics::new(bus, CHANNEL, &everything)?,
            bridges: Topics::new(bus, BRIDGE, &everything)?,
            system,
            pace,
            state: State::new(bus, &origins)?,
            origins,
            moments,
            part: Part::first(),
            rewriter: Rewriter::new(Round::default()),
            roll_call: RollCall::default(),
            span: Span::default(),
            now: None,
            counts: Counts::default(),
        })
    }

    /// Another recording begins; the first one has begun. In a new round nothing is left of the last.
    pub(crate) fn begin(&mut self, part: Part) -> ControlFlow<End> {
        if part == Part::first() {
            return ControlFlow::Continue(());
        }
        self.over()?;
        let round = Round::new(part.round, &self.span);
        if part.round != self.part.round {
            self.channels.close_all();
            self.bridges.close_all();
            self.rewriter = Rewriter::new(round.clone());
            self.state.begin_round(part.round, self.now);
        }
        self.part = part;
        self.pace.begin();
        self.pace.turn(part.recording);
        self.state.follow(part.recording);
        self.counts.begun += 1;
        let begins = PartBegins { recording: part.recording, round };
        let report = self.system.publish(self.kinds.part.message(begins));
        self.count(report);
        ControlFlow::Continue(())
    }

    /// The next pieces are of that recording, of several that are played at once.
    pub(crate) fn turn(&mut self, recording: usize) -> ControlFlow<End> {
        self.part.recording = recording;
        self.pace.turn(recording);
        ControlFlow::Continue(())
    }

    /// Takes the next piece of the stream, of any size, and publishes what is complete, when it is due.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> ControlFlow<End> {
        self.reader().feed(piece);
        self.publish_ready()
    }

    /// The stream is over: what is unfinished is a fault.
    pub(crate) fn finish(&mut self) -> ControlFlow<End> {
        self.reader().finish();
        self.publish_ready()
    }

    /// What was played is over; another one is read from its first line.
    pub(crate) fn over(&mut self) -> ControlFlow<End> {
        self.finish()?;
        let counts = std::mem::take(self.reader()).counts();
        self.counts.stream += counts;
        self.recording_over();
        ControlFlow::Continue(())
    }

    fn reader(&mut self) -> &mut Reader {
        let last = self.readers.len().max(self.part.recording + 1);
        self.readers.resize_with(last, Reader::new);
        &mut self.readers[self.part.recording]
    }

    /// The recording is played to its end.
    fn recording_over(&mut self) {
        if self.moments.goes_with(self.part.recording) {
            self.state.drop_origin(self.part.recording, self.now);
        }
    }

    /// The stream is cut here: what is unfinished is a fault. Nothing of it is joined to what comes next.
    pub(crate) fn cut(&mut self) -> ControlFlow<End> {
        self.finish()?;
        self.counts.cuts += 1;
        self.roll_call.begin(self.channels.ids(), self.bridges.ids());
        ControlFlow::Continue(())
    }

    /// Lets go of everything; says what the consoles know.
    pub(crate) fn finish_state(self) -> Result<Option<Joined>, Gone> {
        self.state.finish()
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut stream = self.counts.stream;
        self.readers.iter().for_each(|reader| stream += reader.counts());
        Counts { stream, channels: self.channels.opened, bridges: self.bridges.opened, ..self.counts.clone() }
    }

    fn publish_ready(&mut self) -> ControlFlow<End> {
        while let Some(packet) = self.reader().next() {
            match packet {
                Ok(Packet::Event(block)) => self.take(block)?,
                Ok(Packet::Greeting(_) | Packet::Response(_) | Packet::Action(_)) => {}
                Err(fault) => self.note_fault(&fault),
            }
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, block: Block) -> ControlFlow<End> {
        match self.roll_call.take(block) {
            Ok(gone) => gone.into_iter().for_each(|end| self.publish_unseen(end)),
            Err(mut block) => {
                self.rewriter.rewrite(&mut block);
                let event = Event::from(block);
                self.wait_for(&event)?;
                self.publish(event);
            }
        }
        ControlFlow::Continue(())
    }

    /// It may have ended since, and that was seen.
    fn publish_unseen(&mut self, end: Block) {
        let event = Event::from(end);
        if About::of(&event).is_some_and(|about| self.topics(about.scope).is_open(&about.id)) {
            self.counts.unseen += 1;
            self.publish(event);
        }
    }

    /// Waits until it is due.
    fn wait_for(&mut self, event: &Event) -> ControlFlow<End> {
        let Some(at) = event.at() else {
            return ControlFlow::Continue(());
        };
        if self.part.round == 1 {
            self.span.see(at);
        }
        let due = self.pace.wait_for(at);
        self.moments();
        match due {
            Due::Now => ControlFlow::Continue(()),
            Due::Stopped => ControlFlow::Break(End::Interrupted),
            Due::Enough => ControlFlow::Break(End::Enough),
        }
    }

    /// What is to happen before the next event.
    fn moments(&mut self) {
        for moment in self.moments.before(self.pace.reached()) {
            match moment {
                Moment::Join => self.state.join(),
                Moment::Drop(recording) => self.state.drop_origin(recording, self.now),
            }
        }
    }

    fn publish(&mut self, event: Event) {
        let is_of_call = !matches!(event, Event::Other(_));
        let about = About::of(&event);
        let topic = match &about {
            Some(about) => self.topic_of(about, event.block().line),
            None => self.system.clone(),
        };
        self.now = event.at().map(timestamp).or(self.now);
        // How things stand after it is known before anybody hears of it.
        self.state.take(self.part.recording, &event, self.now);
        let origin = self.origins.of(self.part.recording);
        match self.kinds.message(event, self.now, Some(origin)) {
            Some(message) => {
                self.counts.messages += 1;
                self.counts.of_calls += u64::from(is_of_call);
                self.count(topic.publish(message));
            }
            None => self.counts.answer_keys += 1,
        }
        if let Some(About { scope, id, life: Life::Ends }) = about {
            self.topics(scope).close(&id);
        }
    }

    /// `publish` never fails; its report says what became of the message.
    fn count(&mut self, report: Report) {
        self.counts.lost += u64::from(report.refusal.is_some());
    }

    fn topic_of(&mut self, about: &About, line: u64) -> Topic {
        if about.life == Life::Begins {
            self.open(about, line);
        }
        let topics = self.topics(about.scope);
        let (topic, is_stray) = (topics.of(&about.id).clone(), !topics.is_open(&about.id));
        self.counts.strays += u64::from(is_stray);
        topic
    }

    fn open(&mut self, about: &About, line: u64) {
        let topics = self.topics(about.scope);
        let (was_open, opened) = (topics.is_open(&about.id), topics.open(&about.id));
        self.counts.repeated += u64::from(was_open);
        if let Err(why) = opened {
            self.counts.unnamed += 1;
            let quoted: String = about.id.chars().take(ID_QUOTED).collect();
            let scope = about.scope.name();
            self.note(&format!("line {line}: no topic for {scope} {quoted:?}: {why}; published for all"));
        }
    }

    fn topics(&mut self, scope: Scope) -> &mut Topics {
        match scope {
            Scope::Channel => &mut self.channels,
            Scope::Bridge => &mut self.bridges,
        }
    }

    /// Lines are numbered in each recording.
    fn note_fault(&mut self, fault: &dyn Display) {
        match self.part {
            Part { round: 1, recording: 0 } => self.note(fault),
            Part { round, recording } => {
                let recording = recording + 1;
                self.note(&format!("round {round}, recording {recording}: {fault}"));
            }
        }
    }

    fn note(&mut self, fault: &dyn Display) {
        if self.counts.faults.len() < FAULTS_KEPT {
            self.counts.faults.push(fault.to_string());
        }
    }
}

/// Whom an event is about, and what it means for him.
struct About {
    scope: Scope,
    id: String,
    life: Life,
}

#[derive(Clone, Copy)]
enum Scope {
    Channel,
    Bridge,
}

#[derive(PartialEq, Eq)]
enum Life {
    Begins,
    GoesOn,
    Ends,
}

impl About {
    /// None: it is about no channel and no bridge.
    fn of(event: &Event) -> Option<Self> {
        let (scope, id) = match (event.bridge(), event.channel()) {
            (Some(bridge), _) => (Scope::Bridge, &bridge.id),
            (None, Some(channel)) => (Scope::Channel, &channel.uniqueid),
            (None, None) => return None,
        };
        Some(Self { scope, id: id.clone(), life: Life::of(event) })
    }
}

impl Scope {
    const fn name(self) -> &'static str {
        match self {
            Self::Channel => CHANNEL,
            Self::Bridge => BRIDGE,
        }
    }
}

impl Life {
    fn of(event: &Event) -> Self {
        match event {
            Event::Channel(event) => match event.change {
                ChannelChange::Created => Self::Begins,
                ChannelChange::Hangup { .. } => Self::Ends,
                _ => Self::GoesOn,
            },
            Event::Bridge(event) => match event.change {
                BridgeChange::Created => Self::Begins,
                BridgeChange::Destroyed => Self::Ends,
                _ => Self::GoesOn,
            },
            _ => Self::GoesOn,
        }
    }
}

/// Times are never before 1970: see [`Stamp::parse`](crate::event::Stamp::parse).
fn timestamp(stamp: crate::event::Stamp) -> Timestamp {
    Timestamp::from_nanos(stamp.0.unsigned_abs().saturating_mul(1000))
}
