//! One client: a thread that writes to it and one that reads what it says.

use super::action::{self, Reply};
use super::{Limits, Shared};
use crate::ami::{Packet, Reader};
use crate::messages::Kinds;
use crate::wire::{is_pause, write_within};
use stasis_bus::{
    Bus, EndReason, Error, Filter, Forward, MessageType, Overflow, Received, Stream, Subscription, Topic,
};
use std::fmt::{Display, Write as _};
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// As the recordings have it; the events are of that version.
const GREETING: &str = "Asterisk Call Manager/13.0.0\r\n";
/// About so much is written at once.
const PIECE: usize = 64 * 1024;
/// Most bytes that a client may say before an action is complete. A login has less than one hundred.
const LONGEST_ACTION: usize = 16 * 1024;
/// How long a client that has everything is waited for, so that it can close first. A connection that is closed with
/// something unread loses what is still on its way.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Client {
    pub(super) number: u64,
    pub(super) socket: TcpStream,
    bus: Bus,
    topic: Topic,
    answers: MessageType<String>,
    /// What it gets if it wants events, and if it wants none.
    filters: [Filter; 2],
    pub(super) subscription: Subscription,
    /// Who knows first why it goes says so.
    parting: OnceLock<Parting>,
}

/// Why a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// It wanted to.
    Left,
    Slow,
    Senseless,
    /// Everybody goes.
    Over,
}

/// The queue of a client, and what fills it.
struct Events {
    messages: Stream,
    _forward: Forward,
}

/// Subscribes first, so that a client has every event after the greeting.
pub(super) fn start(
    shared: &Arc<Shared>,
    number: u64,
    socket: TcpStream,
) -> Result<(), Box<dyn std::error::Error>> {
    socket.set_nodelay(true)?;
    let bus = shared.bus.clone();
    let answers = bus.message_type("answer")?;
    let topic = bus.topic(&format!("ami:{number}"))?;
    let events = subscribe(shared, &topic, &answers)?;
    let subscription = events.messages.handle();
    let filters = [subscription.filter().unwrap_or_default(), Filter::all().accept(&answers)];
    let parting = OnceLock::new();
    let client = Arc::new(Client { number, socket, bus, topic, answers, filters, subscription, parting });
    if shared.add(&client) {
        let running = client.clone().run(shared.clone(), events);
        running.inspect_err(|_| shared.remove(&client, Parting::Left))?;
    }
    Ok(())
}

fn subscribe(shared: &Shared, topic: &Topic, answers: &MessageType<String>) -> Result<Events, Error> {
    let _forward = shared.everything.forward_to(topic)?;
    let events = topic.subscription(topic.name().replace(':', " "));
    let messages = Kinds::of(&shared.bus)?
        .accept_all(events)
        .accept(answers)
        .capacity(shared.limits.waiting)
        .overflow(Overflow::Disconnect)
        .stream()?;
    Ok(Events { messages, _forward })
}

impl Client {
    fn run(self: Arc<Self>, shared: Arc<Shared>, events: Events) -> io::Result<()> {
        let named = |what: &str| thread::Builder::new().name(format!("ami {} {what}", self.number));
        let (heard, reader_gone) = channel();
        let client = self.clone();
        named("writer").spawn(move || {
            let parting = client.serve(events, shared.limits);
            client.close(parting, &reader_gone);
            shared.remove(&client, parting);
        })?;
        // Without it the client is served all the same; it is not heard.
        let _ = named("reader").spawn(move || self.listen(heard));
        Ok(())
    }

    // ---- the writer ------------------------------------------------------------------------------------------------

    fn serve(&self, mut events: Events, limits: Limits) -> Parting {
        match self.write(&mut events.messages, limits.write) {
            Ok(Parting::Slow) => Parting::Slow,
            Err(error) if is_pause(&error) => Parting::Slow,
            Ok(_) | Err(_) => self.known_parting(Parting::Left),
        }
    }

    fn write(&self, messages: &mut Stream, time: Duration) -> io::Result<Parting> {
        let mut text = GREETING.to_owned();
        loop {
            let parting = self.gather(messages, &mut text);
            if parting == Some(Parting::Slow) {
                text.push_str(&action::error(None, "too slow: some events have found no room"));
            }
            write_within(&self.socket, text.as_bytes(), time)?;
            if let Some(parting) = parting {
                return Ok(parting);
            }
            text.clear();
        }
    }

    /// Waits for news if there is nothing to write, and takes what else is there. Some: that was all.
    fn gather(&self, messages: &mut Stream, text: &mut String) -> Option<Parting> {
        let mut next = if text.is_empty() { messages.recv() } else { messages.try_recv().ok() };
        while let Some(received) = next {
            if received.is_final() {
                let is_slow = received.end() == Some(EndReason::Disconnected);
                return Some(if is_slow { Parting::Slow } else { Parting::Left });
            }
            self.put(&received, text);
            next = if text.len() < PIECE { messages.try_recv().ok() } else { None };
        }
        None
    }

    fn put(&self, received: &Received, text: &mut String) {
        if let Some(answer) = received.read(&self.answers) {
            text.push_str(answer);
        } else if let Some(event) = received.message().to_ami() {
            let _ = write!(text, "{event}");
        }
    }

    fn close(&self, parting: Parting, reader_gone: &Receiver<()>) {
        if parting != Parting::Slow {
            let _ = self.socket.shutdown(Shutdown::Write);
            let _ = reader_gone.recv_timeout(LINGER);
        }
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// What was said first, else this.
    fn known_parting(&self, parting: Parting) -> Parting {
        *self.parting.get_or_init(|| parting)
    }

    // ---- the reader ------------------------------------------------------------------------------------------------

    /// `_heard` goes when the client has said all.
    fn listen(&self, _heard: Sender<()>) {
        self.converse();
        self.subscription.unsubscribe();
        // Whatever else it says, nobody answers.
        let _ = io::copy(&mut &self.socket, &mut io::sink());
    }

    /// Answers what the client says, until it has said all.
    fn converse(&self) {
        let (mut reader, mut unfinished, mut piece) = (Reader::of_client(), 0, [0; 4096]);
        loop {
            match (&self.socket).read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    reader.feed(&piece[..count]);
                    unfinished += count;
                }
            }
            for packet in reader.by_ref() {
                unfinished = 0;
                match packet {
                    Ok(Packet::Action(action)) if self.answer(&action::reply(&self.bus, &action)) => {}
                    Err(fault) => return self.cut_off(&fault.trouble),
                    Ok(_) => return,
                }
            }
            if unfinished > LONGEST_ACTION {
                return self.cut_off(&format_args!("action longer than {LONGEST_ACTION} bytes"));
            }
        }
    }

    /// Whether the conversation goes on.
    fn answer(&self, reply: &Reply) -> bool {
        if let Some(wants_events) = reply.wants_events {
            // It has ended, if this fails.
            let _ = self.subscription.set_filter(&self.filters[usize::from(!wants_events)]);
        }
        self.topic.publish(self.answers.message(reply.text.clone()));
        if reply.is_last {
            self.known_parting(Parting::Left);
        }
        !reply.is_last
    }

    fn cut_off(&self, why: &dyn Display) {
        self.known_parting(Parting::Senseless);
        self.topic.publish(self.answers.message(action::error(None, &why.to_string())));
    }

    // ---- the server ------------------------------------------------------------------------------------------------

    /// Nothing comes after it.
    pub(super) fn say_goodbye(&self) {
        self.known_parting(Parting::Over);
        self.answer(&action::goodbye(None, "the stream is over"));
        self.subscription.unsubscribe();
    }
}
