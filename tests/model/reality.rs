//! The real bus of a case, with every handle that the script may use.

use super::script::{FilterSpec, Kind, Policy, Reaction, Script, TOPICS};
use super::state::{Key, Model, Seen};
use stasis_bus::{
    AmiEvent, Bus, Change, Delivery, EndReason, Formatters, Forward, Grow, Message, MessageType, Overflow,
    Publisher, Received, Stream, Subscription, SubscriptionBuilder, SubscriptionChange, Topic,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Acts and publishes that one case may take.
const BUDGET: usize = 400;
pub(crate) const SUBS_MAX: usize = 24;

/// A value that is missed when it leaks.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) id: u64,
    live: Arc<AtomicUsize>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Handle {
    pub(crate) handle: Option<Arc<Subscription>>,
    pub(crate) stream: Option<Stream>,
}

#[derive(Debug, Default)]
pub(crate) struct Real {
    pub(crate) bus: Option<Bus>,
    topics: [Option<Topic>; TOPICS as usize],
    /// Every second topic is published on by one.
    publishers: [Option<Publisher>; TOPICS as usize],
    publishing: [bool; TOPICS as usize],
    pub(crate) subs: Vec<Handle>,
    pub(crate) forwards: Vec<Option<(u8, u8, Forward)>>,
    next_value: u64,
    budget: usize,
    closing: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    script: Script,
    model: Mutex<Model>,
    real: Mutex<Real>,
    pub(crate) plain: MessageType<Value>,
    pub(crate) formatted: MessageType<Value>,
    pub(crate) declined: MessageType<Value>,
    pub(crate) changes: MessageType<SubscriptionChange>,
    live: Arc<AtomicUsize>,
}

impl World {
    pub(crate) fn new(script: &Script) -> Arc<Self> {
        let bus = Bus::builder().manual().decline("declined").build().expect("the options are valid");
        let formatted = bus.define::<Value>("formatted");
        let formatted =
            formatted.ami(|value, _| Some(AmiEvent::new("Value").header("Id", value.id.to_string())));
        Arc::new(Self {
            script: script.clone(),
            plain: bus.message_type("plain").expect("a new name"),
            formatted: formatted.declare().expect("a new name"),
            declined: bus.message_type("declined").expect("a new name"),
            changes: bus.subscription_changes().clone(),
            model: Mutex::default(),
            real: Mutex::new(Real { bus: Some(bus), budget: BUDGET, ..Real::default() }),
            live: Arc::default(),
        })
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.try_lock().expect("never held across a call of the bus")
    }

    pub(crate) fn real(&self) -> MutexGuard<'_, Real> {
        self.real.try_lock().expect("never held across a call of the bus")
    }

    pub(crate) fn bus(&self) -> Option<Bus> {
        self.real().bus.clone()
    }

    /// One act or publish more: false if the case has had enough.
    pub(crate) fn spend(&self) -> bool {
        let mut real = self.real();
        let enough = real.closing || real.budget == 0;
        real.budget = real.budget.saturating_sub(1);
        !enough
    }

    /// Handlers do nothing any more.
    pub(crate) fn close(&self) {
        self.real().closing = true;
    }

    pub(crate) fn topic(&self, number: u8) -> Option<Topic> {
        let bus = self.bus()?;
        let mut real = self.real();
        let slot = &mut real.topics[usize::from(number % TOPICS)];
        if slot.is_none() {
            *slot = bus.topic(&format!("t{}", number % TOPICS)).ok();
        }
        slot.clone()
    }

    pub(crate) fn drop_topic(&self, number: u8) {
        let at = usize::from(number % TOPICS);
        let mut real = self.real();
        let gone = (real.topics[at].take(), real.publishers[at].take());
        drop(real);
        drop(gone);
    }

    /// The publisher of that topic, if it has one and it is not publishing.
    pub(crate) fn publisher(&self, number: u8, topic: &Topic) -> Option<Publisher> {
        let at = usize::from(number % TOPICS);
        let mut real = self.real();
        if at % 2 == 0 || std::mem::replace(&mut real.publishing[at], true) {
            return None;
        }
        Some(real.publishers[at].take().unwrap_or_else(|| topic.publisher()))
    }

    /// Gives it back, unless its topic was dropped meanwhile.
    pub(crate) fn keep_publisher(&self, number: u8, publisher: Publisher) {
        let at = usize::from(number % TOPICS);
        let mut real = self.real();
        real.publishing[at] = false;
        if real.topics[at].is_some() {
            real.publishers[at] = Some(publisher);
        }
    }

    pub(crate) fn kind(&self, kind: Kind) -> &MessageType<Value> {
        match kind {
            Kind::Plain => &self.plain,
            Kind::Formatted => &self.formatted,
            Kind::Declined => &self.declined,
        }
    }

    pub(crate) fn value(&self) -> Value {
        let mut real = self.real();
        real.next_value += 1;
        self.live.fetch_add(1, Ordering::Relaxed);
        Value { id: real.next_value, live: self.live.clone() }
    }

    pub(crate) fn message(&self, kind: Kind) -> (Message, Key) {
        let value = self.value();
        let key = Key::Value(value.id);
        (self.kind(kind).message(value), key)
    }

    pub(crate) fn live_values(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// What the handler of a subscription does at its `call`th call.
    pub(crate) fn reaction(&self, number: u8, call: u64, is_final: bool) -> Option<&Reaction> {
        let reactions = &self.script.reactions;
        let reaction = reactions.get(usize::from(number).checked_rem(reactions.len())?)?;
        let due = match reaction.every {
            0 => is_final,
            every => call.is_multiple_of(u64::from(every)),
        };
        (due && !self.real().closing).then_some(reaction)
    }

    fn key(&self, message: &Message) -> Option<Key> {
        if let Some(value) = self.plain.read(message).or_else(|| self.formatted.read(message)) {
            return Some(Key::Value(value.id));
        }
        let change = self.changes.read(message)?;
        let number = change.subscription.strip_prefix('s')?.parse().ok()?;
        Some(match change.change {
            Change::Subscribe => Key::Began(number),
            _ => Key::Ended(number),
        })
    }

    fn seen(&self, message: &Message, missed: u64, seq: u64, end: Option<EndReason>) -> Seen {
        // An unreadable message is no key that the model knows.
        Seen { key: self.key(message).unwrap_or(Key::Value(0)), missed, seq, end }
    }

    pub(crate) fn delivered(&self, delivery: &Delivery<'_>) -> Seen {
        self.seen(delivery.message(), delivery.missed(), delivery.seq(), delivery.end())
    }

    pub(crate) fn received(&self, item: &Received) -> Seen {
        self.seen(item.message(), item.missed(), item.seq(), item.end())
    }

    pub(crate) fn configure<'a>(
        &self,
        mut builder: SubscriptionBuilder<'a>,
        filter: FilterSpec,
        capacity: usize,
        policy: Policy,
    ) -> SubscriptionBuilder<'a> {
        if filter.plain {
            builder = builder.accept(&self.plain);
        }
        if filter.formatted {
            builder = builder.accept(&self.formatted);
        }
        if filter.changes {
            builder = builder.accept(&self.changes);
        }
        if filter.ami {
            builder = builder.accept_formatters(Formatters::AMI);
        }
        builder.capacity(capacity).overflow(match policy {
            Policy::Grow(limit) => Overflow::Grow(Grow::limit(limit.into())),
            Policy::DropNewest => Overflow::DropNewest,
            Policy::DropOldest => Overflow::DropOldest,
            Policy::Block => Overflow::Block(Duration::from_secs(1)),
        })
    }
}
