//! What must hold when several threads do what they like to one bus at a time: each message once, in the order of its
//! publisher and with nothing left out in between, the final one last, what was received and what was missed come to what
//! was published, updates are a chain, and in the end nothing is left.
//!
//! | file | what |
//! | --- | --- |
//! | [`plan`] | what happens on which thread |
//! | [`steps`], [`publishing`] | the steps; every way to publish |
//! | [`visits`] | subscriptions, forwards, filters and routers that come and go |
//! | [`cached`], [`states`] | the cache of the first topic; a state manager |
//! | [`heard`] | what one subscription heard, and whether it may have |

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod cached;
mod heard;
mod plan;
mod publishing;
mod states;
mod steps;
mod visits;

use cached::Cached;
use heard::Ears;
pub(crate) use plan::Plan;
use plan::{Policy, Reaction, STATES, Step, Sub, TOPICS};
use publishing::{Count, Hand};
use stasis_bus::{
    Bus, Cache, CachingTopic, Dispatch, EndReason, Forward, Grow, Message, MessageType, Overflow, Router,
    Stream, SubscribeError, Subscription, SubscriptionBuilder, Topic,
};
use states::States;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing of a case takes so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Numbers of those who reply, after those of the threads.
const REPLIERS: u32 = 16;

/// Where the router stands that all share.
const ROUTED: u8 = TOPICS - 1;

/// One message.
#[derive(Debug)]
pub(crate) struct Note {
    by: u32,
    /// Of all that its publisher publishes.
    n: u32,
    /// The topic or state, and its number of all that its publisher publishes there.
    place: u8,
    turn: u32,
    object: String,
    alive: Arc<AtomicUsize>,
}

impl Drop for Note {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a handler that is to panic throws. No hook is called.
struct Planned;

struct World {
    subs: Vec<Sub>,
    topics: Vec<Topic>,
    bus: Bus,
    kind: MessageType<Note>,
    /// Of messages that nobody publishes.
    spare: MessageType<()>,
    /// On each topic.
    published: [Count; TOPICS as usize],
    /// The next number of each publisher, and for each place.
    numbers: Vec<AtomicU32>,
    turns: Vec<[AtomicU32; (TOPICS + STATES) as usize]>,
    ears: Vec<Arc<Ears>>,
    /// Somebody has asked for its end.
    cut: Vec<AtomicBool>,
    handles: Mutex<Vec<Arc<Subscription>>>,
    cache: Option<Cache>,
    keeping: Option<CachingTopic>,
    /// So many states were taken out by a call or a message.
    cleared: AtomicU64,
    states: Option<States>,
    router: Option<Router>,
    routed: Arc<Ears>,
    /// Somebody may have asked for the end of the bus.
    over: AtomicBool,
    alive: Arc<AtomicUsize>,
}

/// Runs one case.
///
/// # Panics
///
/// If something does not hold.
pub(crate) fn check(plan: &Plan) {
    let bus = Bus::builder().workers(1..=plan.workers).build().expect("the options are valid");
    let alive = Arc::new(AtomicUsize::new(0));
    let world = Arc::new(World::new(&bus, plan, &alive));
    let forwards: Vec<Forward> = plan.forwards.iter().map(|edge| world.forward(*edge)).collect();
    let readers: Vec<_> = (0..plan.subs.len()).filter_map(|at| world.subscribe(at)).collect();
    let cached = plan.cached.and_then(|mode| Cached::new(&bus, &world, mode));
    thread::scope(|scope| {
        let run = |number: usize| {
            let (mut hand, world) = (Hand::new(number as u32), &world);
            move || plan.threads[number].iter().for_each(|step| world.step(&mut hand, *step, plan))
        };
        let threads: Vec<_> = (0..plan.threads.len()).map(|number| scope.spawn(run(number))).collect();
        // The scope's own end would not wait for what threads keep for themselves to be dropped.
        threads.into_iter().for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
    let report = bus.shutdown(PATIENCE).expect("outside every handler");
    assert!(report.is_clean(), "{report}");
    readers.into_iter().for_each(|reader| reader.join().expect("a reader that has read to the end"));
    world.judge(plan);
    if let Some(cached) = cached {
        cached.judge(&world, plan);
    }
    drop(forwards);
    world.handles.lock().expect("nobody panics with it").clear();
    let world = Arc::into_inner(world).expect("handlers are gone after their final call");
    drop((world, bus));
    let since = Instant::now();
    while alive.load(Ordering::Acquire) > 0 {
        assert!(since.elapsed() < PATIENCE, "{} values are alive", alive.load(Ordering::Acquire));
        thread::yield_now();
    }
}

impl World {
    fn new(bus: &Bus, plan: &Plan, alive: &Arc<AtomicUsize>) -> Self {
        let topic = |number| bus.topic(&format!("t{number}")).expect("a valid name");
        let publishers = REPLIERS as usize * (plan.subs.len() + 1);
        let kind = bus.message_type("note").expect("a new name");
        let cache = || Cache::builder(bus).id_of(&kind, |note: &Note| &note.object).build();
        let cache = plan.cached.map(|_| cache().expect("the options are valid"));
        let topics: Vec<_> = (0..TOPICS).map(topic).collect();
        let keeping = |cache| topics[0].caching(cache).expect("both are of one bus");
        let mut world = Self {
            bus: bus.clone(),
            keeping: cache.as_ref().map(keeping),
            cache,
            states: States::new(bus, &kind, plan),
            kind,
            spare: bus.message_type("spare").expect("a new name"),
            subs: plan.subs.clone(),
            topics,
            published: Default::default(),
            numbers: (0..publishers).map(|_| AtomicU32::new(0)).collect(),
            turns: (0..publishers).map(|_| Default::default()).collect(),
            ears: plan.subs.iter().map(|sub| Arc::new(Ears::new(sub.mode, sub.is_lossless()))).collect(),
            cut: plan.subs.iter().map(|_| AtomicBool::new(false)).collect(),
            handles: Mutex::default(),
            cleared: AtomicU64::new(0),
            router: None,
            routed: Arc::new(Ears::new(Dispatch::Pool, true)),
            over: AtomicBool::new(false),
            alive: alive.clone(),
        };
        if plan.has(|step| matches!(step, Step::Reroute { .. })) {
            world.router = Some(visits::shared_router(world.topic(ROUTED).subscription("routed"), &world));
        }
        world
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn shut_down(&self) {
        self.over.store(true, Ordering::SeqCst);
        let report = self.bus.shutdown(PATIENCE).expect("outside every handler");
        assert!(report.is_clean(), "{report}");
    }

    fn topic(&self, number: u8) -> &Topic {
        &self.topics[usize::from(number)]
    }

    fn forward(&self, (from, to): (u8, u8)) -> Forward {
        self.topic(from).forward_to(self.topic(to)).expect("both are of one bus")
    }

    fn next_number(&self, by: u32) -> u32 {
        self.numbers[by as usize].load(Ordering::Relaxed)
    }

    fn value(&self, by: u32, place: u8, object: &str) -> Note {
        self.alive.fetch_add(1, Ordering::Relaxed);
        let n = self.numbers[by as usize].fetch_add(1, Ordering::Relaxed);
        let turn = self.turns[by as usize][usize::from(place)].fetch_add(1, Ordering::Relaxed);
        Note { by, n, place, turn, object: object.to_owned(), alive: self.alive.clone() }
    }

    fn note(&self, by: u32, place: u8, object: &str) -> Message {
        self.kind.message(self.value(by, place, object))
    }

    // ---- subscriptions ---------------------------------------------------------------------------------------

    /// A stream is read by a thread.
    fn subscribe(self: &Arc<Self>, at: usize) -> Option<thread::JoinHandle<()>> {
        let sub = self.subs[at];
        let builder = self.topic(sub.topic).subscription(format!("s{at}"));
        let builder = if sub.open { builder } else { builder.accept(&self.kind) };
        let builder = builder.capacity(sub.capacity).overflow(self.overflow(sub.policy));
        let world = self.clone();
        let called = move |message: &Message, missed: u64, end: Option<EndReason>| {
            let note = world.kind.read(message);
            let calls = world.ears[at].enter(note, missed, end);
            let due = calls.is_multiple_of(sub.every);
            let panics = note.is_some_and(|note| due && world.react(at, sub.reaction, note));
            world.ears[at].leave();
            panics
        };
        let (handle, reader) = listen(builder, sub.mode, called).expect("the options are valid");
        self.handles.lock().expect("nobody panics with it").push(Arc::new(handle));
        reader
    }

    fn overflow(&self, policy: Policy) -> Overflow {
        match policy {
            Policy::Grow => Overflow::Grow(Grow::unbounded()),
            Policy::GrowLittle => Overflow::Grow(Grow::limit(3)),
            Policy::Block => Overflow::Block(Duration::from_millis(20)),
            Policy::DropNewest => Overflow::DropNewest,
            Policy::DropOldest => Overflow::DropOldest,
            Policy::Disconnect => Overflow::Disconnect,
            // Order holds per key.
            Policy::Conflate => {
                let kind = self.kind.clone();
                Overflow::conflate(move |message| Note::read(&kind, message).map(|note| note.by.into()))
            }
        }
    }

    /// True: the handler panics.
    fn react(&self, at: usize, reaction: Reaction, note: &Note) -> bool {
        match reaction {
            Reaction::Nothing => {}
            Reaction::Panic => return true,
            Reaction::Yield => thread::yield_now(),
            Reaction::Unsubscribe { sub } => self.unsubscribe(sub),
            // One reply to each, which nobody replies to.
            Reaction::Reply { topic } if note.by < REPLIERS => {
                let by = REPLIERS * (at as u32 + 1);
                // Calls of an inline handler overlap, but not those for one publisher.
                let by = if self.subs[at].mode == Dispatch::Inline { by + note.by } else { by };
                let report = self.topic(topic).publish(self.note(by, topic, "o0"));
                self.count(topic, report.refusal.is_none().into());
            }
            Reaction::Reply { .. } => {}
        }
        false
    }

    fn with_handle<R>(&self, number: u8, call: impl FnOnce(usize, &Subscription) -> R) -> Option<R> {
        let handles = self.handles.lock().expect("nobody panics with it");
        let at = usize::from(number) % handles.len().max(1);
        // Not under the lock: what is called may come here again.
        let handle = handles.get(at)?.clone();
        drop(handles);
        Some(call(at, &handle))
    }

    fn unsubscribe(&self, number: u8) {
        self.with_handle(number, |at, handle| {
            self.cut[at].store(true, Ordering::Relaxed);
            handle.unsubscribe();
        });
    }

    // ---- the end ---------------------------------------------------------------------------------------------

    /// How many notes have reached that topic: those that were early, and all.
    fn reaching(&self, topic: u8, plan: &Plan) -> RangeInclusive<u64> {
        let published = (0..TOPICS).filter(|from| plan.reaches(*from).contains(&topic));
        let each = published.map(|from| self.published[usize::from(from)].range());
        let sum = each.fold((0, 0), |(early, all), one| (early + one.start(), all + one.end()));
        if self.is_over() { sum.0..=sum.1 } else { sum.1..=sum.1 }
    }

    fn judge(&self, plan: &Plan) {
        for (at, sub) in plan.subs.iter().enumerate() {
            let cut = self.cut[at].load(Ordering::Relaxed);
            self.account(&self.ears[at], cut, sub, plan);
        }
        if self.router.is_some() {
            let mode = Dispatch::Pool;
            let sub = Sub {
                topic: ROUTED,
                mode,
                capacity: 0,
                policy: Policy::Grow,
                open: true,
                reaction: Reaction::Nothing,
                every: 1,
            };
            self.account(&self.routed, false, &sub, plan);
        }
        self.states.iter().for_each(|states| states.judge(self));
    }

    /// What was received and what was missed come to what was published.
    fn account(&self, ears: &Ears, cut: bool, sub: &Sub, plan: &Plan) {
        let verdict = ears.verdict();
        assert!(verdict.is_none(), "{verdict:?} of {sub:?}");
        let (total, heard) = (self.reaching(sub.topic, plan), ears.look());
        let counted = heard.received + heard.missed;
        let whole = heard.end == Some(EndReason::ShutDown) && !cut;
        let right = total.contains(&counted) || (!whole && counted < *total.end());
        assert!(right, "{sub:?}: {counted} of {total:?}, {heard:?}");
        if sub.is_lossless() {
            let from_the_first = heard.runs.values().all(|run| run.first == 0);
            assert!(heard.missed == 0 && from_the_first, "{sub:?}: {heard:?}");
        }
    }
}

/// Starts the subscription; a stream is read by a thread. `called` says whether the handler is to panic.
fn listen(
    builder: SubscriptionBuilder<'_>,
    mode: Dispatch,
    called: impl Fn(&Message, u64, Option<EndReason>) -> bool + Send + Sync + 'static,
) -> Result<(Subscription, Option<thread::JoinHandle<()>>), SubscribeError> {
    let handler = move |message: &Message, missed: u64, end: Option<EndReason>| {
        if called(message, missed, end) {
            resume_unwind(Box::new(Planned));
        }
    };
    Ok(match mode {
        Dispatch::Stream => {
            let stream = builder.stream()?;
            (stream.handle(), Some(read(stream, handler)))
        }
        Dispatch::Inline => {
            (builder.inline(move |told| handler(told.message(), told.missed(), told.end()))?, None)
        }
        _ => {
            let builder = builder.dispatch(mode);
            (builder.start(move |told| handler(told.message(), told.missed(), told.end()))?, None)
        }
    })
}

/// Reads to the end, on a thread of its own.
fn read(
    mut stream: Stream,
    handler: impl Fn(&Message, u64, Option<EndReason>) + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while let Some(item) = stream.recv() {
            let (message, missed, end) = (item.message().clone(), item.missed(), item.end());
            // The panic of a reader is its own affair.
            let call = std::panic::AssertUnwindSafe(|| handler(&message, missed, end));
            let _ = std::panic::catch_unwind(call);
        }
    })
}
