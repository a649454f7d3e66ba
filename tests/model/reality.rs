//! The real bus of a case, with every handle that the script may use.

use super::cached::Cached;
use super::frames::Said;
use super::rules::{Announced, cache};
use super::script::{
    FilterSpec, Kind, MANAGER, MEMBER, OBJECTS, OUTPUT, PLACES, Policy, Reaction, STATE, Say, Script, TOPICS,
    UPDATES,
};
use super::state::Model;
use super::sub::Seen;
use super::watching::Watching;
use super::words::{Key, Slot, Told};
use stasis_bus::{
    AmiEvent, Bus, Cache, CacheUpdate, CachingTopic, Change, Delivery, EndReason, Filter, FilterError,
    Formatters, Forward, Grow, Handled, Lease, Message, MessageType, Origin, Overflow, Publisher, Received,
    Router, SnapshotEnd, StateManager, StatePublisher, StateSubscriber, StateSubscription, Stream,
    Subscription, SubscriptionBuilder, SubscriptionChange, Topic, WaitError,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Acts and publishes that one case may take.
const BUDGET: usize = 400;
pub(crate) const SUBS_MAX: usize = 24;
pub(crate) const STATE_IDS: [&str; 2] = ["x", "y/z"];
const MEMBER_NAMES: [&str; 2] = ["a", "b"];
const NODE_NAMES: [&str; 3] = ["here", "there", "yonder"];

pub(crate) fn object_name(object: u8) -> String {
    format!("object-{object}")
}

pub(crate) use super::rules::Value;

/// A subscription by whatever handle it came.
#[derive(Debug)]
pub(crate) enum Own {
    Plain(Subscription),
    State(StateSubscription),
    Router(Router),
}

impl Own {
    pub(crate) fn unsubscribe(&self) -> bool {
        match self {
            Self::Plain(own) => own.unsubscribe(),
            Self::State(own) => own.handle().unsubscribe(),
            Self::Router(own) => own.unsubscribe(),
        }
    }

    pub(crate) fn join_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        match self {
            Self::Plain(own) => own.join_timeout(timeout),
            Self::State(own) => own.handle().join_timeout(timeout),
            Self::Router(own) => own.join_timeout(timeout),
        }
    }

    pub(crate) fn publish_sync(&self, message: Message) -> Result<Handled, WaitError> {
        let timeout = Some(Duration::ZERO);
        match self {
            Self::Plain(own) => own.publish_sync(message, timeout),
            Self::State(own) => own.handle().publish_sync(message, timeout),
            Self::Router(own) => own.publish_sync(message, timeout),
        }
    }

    /// None: its filter follows its routes.
    pub(crate) fn set_filter(&self, filter: &Filter) -> Option<Result<(), FilterError>> {
        match self {
            Self::Plain(own) => Some(own.set_filter(filter)),
            Self::State(own) => Some(own.handle().set_filter(filter)),
            Self::Router(_) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Handle {
    pub(crate) own: Option<Arc<Own>>,
    pub(crate) stream: Option<Stream>,
    /// Of a stream of a state.
    pub(crate) _holds: Option<StateSubscriber>,
}

#[derive(Debug, Default)]
pub(crate) struct Real {
    pub(crate) bus: Option<Bus>,
    topics: [Option<Topic>; PLACES as usize],
    /// Every second topic is published on by one.
    publishers: [Option<Publisher>; TOPICS as usize],
    publishing: [bool; TOPICS as usize],
    pub(crate) subs: Vec<Handle>,
    pub(crate) forwards: Vec<Option<(u8, u8, Forward)>>,
    pub(crate) cache: Option<Cache>,
    pub(crate) keeping: Vec<Option<CachingTopic>>,
    pub(crate) leases: Vec<Option<(Slot, u8, Lease<Value>)>>,
    pub(crate) watches: Vec<Watching>,
    pub(crate) manager: Option<StateManager>,
    pub(crate) publishers_of_states: Vec<Option<(u8, StatePublisher)>>,
    pub(crate) clears: Vec<(Message, Key)>,
    next_value: u64,
    budget: usize,
    closing: bool,
}

pub(crate) struct World {
    script: Script,
    model: Mutex<Model>,
    real: Mutex<Real>,
    pub(crate) plain: MessageType<Value>,
    pub(crate) formatted: MessageType<Value>,
    pub(crate) declined: MessageType<Value>,
    changes: MessageType<SubscriptionChange>,
    pub(crate) updates: MessageType<CacheUpdate>,
    ends: MessageType<SnapshotEnd>,
    nodes: [Origin; 3],
    /// By topic, and its value: the aggregates that the cache has announced.
    pub(crate) announced: Announced,
    live: Arc<AtomicUsize>,
}

impl World {
    pub(crate) fn new(script: &Script) -> Arc<Self> {
        let bus = Bus::builder().manual().decline("declined").node(NODE_NAMES[0]).build();
        let bus = bus.expect("the options are valid");
        let formatted = bus.define::<Value>("formatted");
        let formatted =
            formatted.ami(|value, _| Some(AmiEvent::new("Value").header("Id", value.id.to_string())));
        let (plain, formatted) = (bus.message_type("plain"), formatted.declare());
        let (plain, formatted) = (plain.expect("a new name"), formatted.expect("a new name"));
        let (live, announced) = (Arc::default(), Announced::default());
        let cache = cache(&bus, [&plain, &formatted], script.cache, &live, &announced);
        let mut model = Model::default();
        model.cached = Cached::new(script.cache);
        let real = Real {
            cache: Some(cache),
            manager: Some(bus.state_manager("states").expect("a valid name")),
            bus: Some(bus.clone()),
            budget: BUDGET,
            ..Real::default()
        };
        Arc::new(Self {
            script: script.clone(),
            plain,
            formatted,
            declined: bus.message_type("declined").expect("a new name"),
            changes: bus.subscription_changes().clone(),
            updates: bus.cache_updates().clone(),
            ends: bus.snapshot_ends().clone(),
            nodes: NODE_NAMES.map(|node| bus.origin(node).expect("a valid name")),
            model: Mutex::new(model),
            real: Mutex::new(real),
            announced,
            live,
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

    pub(crate) fn cache(&self) -> Option<Cache> {
        self.real().cache.clone()
    }

    pub(crate) fn manager(&self) -> Option<StateManager> {
        self.real().manager.clone()
    }

    pub(crate) fn fail(&self, what: impl FnOnce() -> String) {
        self.model().wrong.get_or_insert_with(what);
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

    // ---- topics ----------------------------------------------------------------------------------------------

    /// Where one may publish: the topics, and the members of the pool.
    pub(crate) fn target(number: u8) -> u8 {
        let number = number % (TOPICS + MEMBER_NAMES.len() as u8);
        if number < TOPICS { number } else { MEMBER + number - TOPICS }
    }

    /// The topic there; none where a state is, or nothing yet.
    pub(crate) fn topic(&self, place: u8) -> Option<Topic> {
        let bus = self.bus()?;
        if let Some(topic) = &self.real().topics[usize::from(place)] {
            return Some(topic.clone());
        }
        let topic = match place {
            0..TOPICS => bus.topic(&format!("t{place}")).ok(),
            UPDATES => self.cache().map(|cache| cache.updates().clone()),
            MANAGER => self.manager().map(|manager| manager.all_topic().clone()),
            MEMBER.. => {
                let at = usize::from(place - MEMBER);
                self.model().pooled[at] = true;
                bus.topic_pool("t0").ok().and_then(|pool| pool.member(MEMBER_NAMES[at]).ok())
            }
            _ => None,
        };
        self.real().topics[usize::from(place)].clone_from(&topic);
        topic
    }

    /// The place of the topic of that name; none: it had a cache's number, and that is gone.
    pub(crate) fn place_of(&self, name: &str) -> Option<u8> {
        if let Some(state) = name.strip_prefix("states/") {
            return STATE_IDS.iter().position(|id| *id == state).map(|at| STATE + at as u8);
        }
        if let Some(member) = name.strip_prefix("t0/") {
            return MEMBER_NAMES.iter().position(|name| *name == member).map(|at| MEMBER + at as u8);
        }
        if name == "states" {
            return Some(MANAGER);
        }
        if let Some(Ok(topic)) = name.strip_prefix('t').map(str::parse) {
            return Some(topic);
        }
        let real = self.real();
        let is_it = |topic: &Option<Topic>| topic.as_ref().is_some_and(|topic| topic.name() == name);
        let updates = real.cache.as_ref().map(|cache| cache.updates().name());
        let at = real.topics.iter().position(is_it).map(|at| at as u8);
        at.or((updates == Some(name)).then_some(UPDATES))
    }

    pub(crate) fn drop_topic(&self, number: u8) {
        let place = Self::target(number);
        let mut real = self.real();
        let publisher = real.publishers.get_mut(usize::from(place)).and_then(Option::take);
        let gone = (real.topics[usize::from(place)].take(), publisher);
        drop(real);
        drop(gone);
    }

    pub(crate) fn delete_member(&self, number: u8) {
        let Some(bus) = self.bus() else { return };
        let at = usize::from(number) % MEMBER_NAMES.len();
        let was = self.model().pooled[at];
        let held = self.real().topics[usize::from(MEMBER) + at].is_some();
        let said = bus.topic_pool("t0").is_ok_and(|pool| pool.delete(MEMBER_NAMES[at]));
        self.model().pooled[at] = false;
        if held && said != was {
            self.fail(|| format!("deleting member {at} said {said}; it was one: {was}"));
        }
    }

    /// The publisher of that topic, if it has one and it is not publishing.
    pub(crate) fn publisher(&self, place: u8, topic: &Topic) -> Option<Publisher> {
        let at = usize::from(place);
        let mut real = self.real();
        if at % 2 == 0 || place >= TOPICS || std::mem::replace(&mut real.publishing[at], true) {
            return None;
        }
        Some(real.publishers[at].take().unwrap_or_else(|| topic.publisher()))
    }

    /// Gives it back, unless its topic was dropped meanwhile.
    pub(crate) fn keep_publisher(&self, place: u8, publisher: Publisher) {
        let at = usize::from(place);
        let mut real = self.real();
        real.publishing[at] = false;
        if real.topics[at].is_some() {
            real.publishers[at] = Some(publisher);
        }
    }

    /// The topic is kept from now on, if there may be one more.
    pub(crate) fn add_output(&self, keeping: CachingTopic) {
        let mut real = self.real();
        let at = usize::from(OUTPUT) + real.keeping.len();
        real.topics[at] = Some(keeping.topic().clone());
        real.keeping.push(Some(keeping));
    }

    // ---- messages --------------------------------------------------------------------------------------------

    pub(crate) fn kind(&self, kind: Kind) -> &MessageType<Value> {
        match kind {
            Kind::Plain => &self.plain,
            Kind::Formatted => &self.formatted,
            Kind::Declined => &self.declined,
        }
    }

    pub(crate) fn node(&self, origin: u8) -> Option<Origin> {
        usize::from(origin).checked_sub(1).map(|at| self.nodes[at])
    }

    pub(crate) fn value(&self, object: u8) -> Value {
        let mut real = self.real();
        real.next_value += 1;
        Value::new(real.next_value, object, &self.live)
    }

    pub(crate) fn message(&self, say: Say) -> (Message, Said) {
        let value = self.value(say.object);
        let key = Key::Value(value.id);
        let message = self.kind(say.kind).build(value);
        let message = match self.node(say.origin) {
            Some(origin) => message.origin(origin).finish(),
            None => message.aggregate().finish(),
        };
        (message, Said { key, say, clears: false })
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

    pub(crate) fn read(&self, message: &Message) -> Option<(Kind, &'static str, u64)> {
        let plain = self.plain.read(message).map(|value| (Kind::Plain, "plain", value.id));
        plain.or_else(|| self.formatted.read(message).map(|value| (Kind::Formatted, "formatted", value.id)))
    }

    /// Where a cache has it.
    pub(crate) fn slot_of(&self, message: &Message) -> Option<Slot> {
        let (kind, value) = [Kind::Plain, Kind::Formatted]
            .into_iter()
            .find_map(|kind| Some((kind, self.kind(kind).read(message)?)))?;
        let node = message.origin()?;
        let origin = self.nodes.iter().position(|other| *other == node)? as u8 + 1;
        Some(Slot { kind, object: value.object, origin })
    }

    fn told(&self, update: &CacheUpdate) -> Option<Told> {
        let kind = if update.is_of(&self.plain) { Kind::Plain } else { Kind::Formatted };
        let object = (0..OBJECTS).find(|object| object_name(*object) == update.id())?;
        let origin = update.origin();
        let origin = origin.map_or(Some(0), |origin| {
            self.nodes.iter().position(|node| *node == origin).map(|at| at as u8 + 1)
        })?;
        let id = |message: &Option<Message>| {
            message.as_ref().and_then(|message| self.read(message)).map_or(0, |(_, _, id)| id)
        };
        let (old, new) = (id(&update.old), id(&update.new));
        Some(Told { slot: Slot { kind, object, origin }, old, new, snapshot: update.is_snapshot() })
    }

    fn key(&self, message: &Message) -> Option<Key> {
        if let Some((_, _, id)) = self.read(message) {
            return Some(Key::Value(id));
        }
        if let Some(update) = self.updates.read(message) {
            return self.told(update).map(Key::Update);
        }
        if let Some(end) = self.ends.read(message) {
            return Some(Key::SnapshotEnd(end.entries));
        }
        let Some(change) = self.changes.read(message) else {
            let real = self.real();
            let clear = real.clears.iter().find(|(clear, _)| clear.is_same(message));
            return clear.map(|(_, key)| *key);
        };
        let number = change.subscription.strip_prefix('s')?.parse().ok()?;
        Some(match change.change {
            Change::Subscribe => Key::Began(number),
            _ => Key::Ended(number),
        })
    }

    fn seen(&self, message: &Message, missed: u64, seq: u64, end: Option<EndReason>) -> Seen {
        let key = self.key(message).unwrap_or(Key::Unknown);
        let kind = self.read(message).map_or(key.kind(), |(kind, _, _)| super::words::Type::Of(kind));
        Seen { key, kind, missed, seq, end, route: 0 }
    }

    pub(crate) fn delivered(&self, delivery: &Delivery<'_>) -> Seen {
        self.seen(delivery.message(), delivery.missed(), delivery.seq(), delivery.end())
    }

    pub(crate) fn received(&self, item: &Received) -> Seen {
        self.seen(item.message(), item.missed(), item.seq(), item.end())
    }

    // ---- subscriptions ---------------------------------------------------------------------------------------

    pub(crate) fn filter(&self, spec: FilterSpec) -> Filter {
        let mut filter = Filter::all();
        if spec.plain {
            filter = filter.accept(&self.plain);
        }
        if spec.formatted {
            filter = filter.accept(&self.formatted);
        }
        if spec.changes {
            filter = filter.accept(&self.changes);
        }
        if spec.updates {
            filter = filter.accept(&self.updates);
        }
        if spec.ami {
            filter = filter.accept_formatters(Formatters::AMI);
        }
        filter
    }

    pub(crate) fn overflow(&self, policy: Policy) -> Overflow {
        match policy {
            Policy::Grow(limit) => Overflow::Grow(Grow::limit(limit.into())),
            Policy::DropNewest => Overflow::DropNewest,
            Policy::DropOldest => Overflow::DropOldest,
            Policy::Block => Overflow::Block(Duration::from_secs(1)),
            Policy::Disconnect => Overflow::Disconnect,
            Policy::Conflate => {
                let (plain, formatted) = (self.plain.clone(), self.formatted.clone());
                Overflow::conflate(move |message| {
                    let plain = plain.read(message).map(|value| u64::from(value.object));
                    let key = plain.or_else(|| Some(100 + u64::from(formatted.read(message)?.object)));
                    key.map(Into::into)
                })
            }
        }
    }

    pub(crate) fn configure<'a>(
        &self,
        builder: SubscriptionBuilder<'a>,
        capacity: usize,
        policy: Policy,
    ) -> SubscriptionBuilder<'a> {
        builder.capacity(capacity).overflow(self.overflow(policy))
    }
}
