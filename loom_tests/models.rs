//! Loom models of the code that ships. How to run them, what they can and cannot show: loom_tests/README.md.

mod batch;
mod cache;
mod catch_up;
mod conflate;
mod dedicated;
mod forwards;
mod gate;
mod kept;
mod latch;
mod lives;
mod mailbox;
mod map;
mod marks;
mod message;
mod one_entry;
mod pool;
mod replay;
mod ring;
mod room;
mod router;
mod run_queue;
mod sites;
mod spill;
mod stands;
mod state;
mod straight;
mod stream;
mod table;
mod timer;
mod topic;
mod waiting;
mod waker;

use crate::dispatch::fence::Fence;
use crate::dispatch::pool::{Pool, PoolConfig};
use crate::dispatch::threads::Threads;
use crate::mailbox::{Arrival, Consumer, Ending, Handler, Host, Limits, Mailbox, Overflow, Profile};
use crate::message::kind::{Draft, Environment};
use crate::message::{EndReason, Message, MessageType};
use crate::queue::Marks;
use crate::stats::SubscriptionStats;
use crate::sync::time::Clock;
use crate::sync::{Arc, UnsafeCell, mutation};
use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Explores `model`: every interleaving with at most so many preemptions, and every store a load may see.
///
/// `BUS_LOOM_DEEPER=n` allows n more, `BUS_LOOM_MOST=n` allows n at most, `BUS_SITES` has the atomic operations printed that
/// the model came to.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let preemptions = (preemptions + number("BUS_LOOM_DEEPER").unwrap_or(0))
        .min(number("BUS_LOOM_MOST").unwrap_or(usize::MAX));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    if std::env::var_os("BUS_SITES").is_some() {
        mutation::start_noting();
    }
    note_panics();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
    assert!(!PANICKED.get(), "something panicked in a handler, and was caught");
    mutation::noted().iter().for_each(|site| println!("site {site}"));
}

/// From here on this execution goes one way: all who race are joined, or have nothing left to do. What is not varied any more
/// is how thread-locals of theirs are dropped (a handle of an epoch, say), and how they go.
fn go_one_way() {
    loom::skip_branch();
}

std::thread_local! {
    /// Something has panicked in a model of this thread. All threads of a model are this one.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// The bus catches what panics in its handlers, also what a model finds wrong there.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.set(true);
            before(panic);
        }));
    });
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Counts how often a model came through a place that it exists for: one that never does shows nothing.
struct Witness(AtomicUsize);

impl Witness {
    const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn see(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn was_seen(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Plain data: loom fails when two accesses are not ordered and one of them writes.
struct Plain<T>(UnsafeCell<T>);

// SAFETY: not at all sound in general; loom checks every access, which is the point of it.
unsafe impl<T: Send> Sync for Plain<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Plain<T> {}

impl<T> Plain<T> {
    fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        // SAFETY: loom checks.
        self.0.with(|value| read(unsafe { &*value }))
    }

    fn write<R>(&self, write: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: loom checks.
        self.0.with_mut(|value| write(unsafe { &mut *value }))
    }
}

/// A message type of no bus.
fn kind<T: Send + Sync + 'static>() -> MessageType<T> {
    let clock = Arc::new(Clock::manual());
    Draft::new("model".to_owned()).finish(Environment {
        bus: 0,
        id: 0,
        declined: false,
        local: None,
        clock,
        tell: Arc::new(|_, _, _| {}),
    })
}

fn profile() -> Profile {
    Profile { id: crate::ids::next(), name: "model".into(), bus: 0, fence: Arc::new(Fence::new(None)) }
}

/// A pool without threads: the model's threads run its queue.
fn pool() -> Arc<Pool> {
    Pool::new(PoolConfig {
        bus: 0,
        threads: Threads::new(0, Arc::new(Fence::new(None)), None),
        workers_min: 1,
        workers_max: 1,
        grow_after: Duration::ZERO,
        idle_timeout: None,
        spin: Duration::ZERO,
        thread_name: String::new(),
        clock: Arc::new(Clock::manual()),
        manual: true,
    })
}

/// No ring gets that far.
const NO_MARKS: Marks = Marks { high: u64::MAX, low: 0 };

/// Where the subscriptions of models stand: nowhere.
struct Nowhere(MessageType<()>);

impl Host for Nowhere {
    fn farewell(&self, _: &Profile, _: EndReason) -> Message {
        self.0.message(())
    }

    fn forget(&self, _: &Profile) {}
}

fn ending() -> Ending {
    Ending { host: Arc::new(Nowhere(kind())), on_end: None }
}

/// A mailbox of no topic, without a handler.
fn bare_mailbox(overflow: Overflow, capacity: usize, consumer: Consumer) -> Arc<Mailbox> {
    let limits = Limits { capacity, overflow, marks: NO_MARKS, on_water_mark: None };
    Arc::new(Mailbox::new(profile(), limits, consumer, Arc::new(Clock::manual())))
}

/// A mailbox of no topic. It holds itself, as those that pools run do.
fn mailbox(
    overflow: Overflow,
    capacity: usize,
    consumer: Consumer,
    handler: impl FnMut(&Arrival<'_>) + Send + 'static,
) -> Arc<Mailbox> {
    let mailbox = bare_mailbox(overflow, capacity, consumer);
    arm(&mailbox, Handler::Each(Box::new(handler)));
    mailbox
}

/// Gives a new mailbox its handler.
fn arm(mailbox: &Arc<Mailbox>, handler: Handler) {
    // SAFETY: nobody else has it yet.
    unsafe { mailbox.arm(handler, ending()) };
    crate::dispatch::job::hold_itself(mailbox);
}

/// What the figures of a mailbox say it has missed.
fn counted(mailbox: &Mailbox) -> u64 {
    let mut stats = SubscriptionStats::default();
    mailbox.fill(&mut stats);
    stats.missed
}

/// Gives a refused reference back.
fn give_back(word: std::num::NonZeroUsize) {
    // SAFETY: refused, so it is ours alone.
    drop(unsafe { Message::from_word(word) });
}
