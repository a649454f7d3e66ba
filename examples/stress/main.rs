//! Four publishers, each by another way, sixteen subscriptions of every mode and policy that come and go, handlers that
//! block and handlers that panic, and a close look at what arrives: nothing twice, nothing out of order, nothing after a
//! final message, what is lost counted exactly, and in the end nothing left.
//!
//! `cargo run --release --example stress [DELIVERIES | --seconds N]` (10,000,000 deliveries unless told otherwise); exit
//! code 1 if anything was wrong. `cargo test` runs a small one; `STRESS_DELIVERIES` makes it larger.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use futures_lite::future::block_on;
use stasis_bus::{
    Bus, Delivery, Dispatch, Grow, Message, MessageType, Overflow, Subscription, SubscriptionBuilder,
    SubscriptionStats, Topic,
};
use std::fmt;
use std::io::{self, Write as _};
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

const PUBLISHERS: usize = 4;
/// One publishes batches, one awaits, one keeps a handle, and one does none of that.
const BATCHES: usize = 1;
const AWAITS: usize = 2;
const KEEPS: usize = 3;
const SUBSCRIPTIONS: usize = 16;
const MODES: [Dispatch; 5] =
    [Dispatch::Pool, Dispatch::Serial, Dispatch::Inline, Dispatch::Dedicated, Dispatch::Stream];
const ON_PURPOSE: &str = "on purpose";
/// Longer than anything should take: whoever waits so long has lost a wake-up.
const FOR_EVER: Duration = Duration::from_secs(1_000);

/// What is published: whose, which one, and that it lives.
struct Stamp {
    publisher: usize,
    number: u64,
    alive: Arc<AtomicI64>,
}

impl Drop for Stamp {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// Until so many have been checked.
    Deliveries(u64),
    /// Until then.
    Time(Instant),
}

/// What everybody shares.
struct Yard {
    bus: Bus,
    kind: MessageType<Stamp>,
    all: Topic,
    /// The last number whose publish has begun, and returned, per publisher. Numbers start at 1.
    begun: [AtomicU64; PUBLISHERS],
    returned: [AtomicU64; PUBLISHERS],
    deliveries: AtomicU64,
    panics: AtomicU64,
    lost: AtomicU64,
    until: Until,
    stop: AtomicBool,
    alive: Arc<AtomicI64>,
    wrong: Mutex<Vec<String>>,
}

impl Yard {
    fn complain(&self, what: String) {
        self.stop.store(true, Ordering::Relaxed);
        self.wrong.lock().unwrap().push(what);
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
            || match self.until {
                Until::Deliveries(target) => self.deliveries.load(Ordering::Relaxed) >= target,
                Until::Time(end) => Instant::now() >= end,
            }
    }

    fn message(&self, publisher: usize, number: u64) -> Message {
        self.alive.fetch_add(1, Ordering::Relaxed);
        self.kind.message(Stamp { publisher, number, alive: self.alive.clone() })
    }

    fn numbers(counters: &[AtomicU64; PUBLISHERS]) -> [u64; PUBLISHERS] {
        counters.each_ref().map(|counter| counter.load(Ordering::SeqCst))
    }
}

// ---- publishers -------------------------------------------------------------------------------------------------------

/// Publishes on a topic of its own, from which two ways lead to `all`.
fn publish(yard: &Yard, publisher: usize) {
    let own = yard.bus.topic(&format!("source:{publisher}")).unwrap();
    let detour = yard.bus.topic(&format!("detour:{publisher}")).unwrap();
    let _stands = own.forward_to(&yard.all).unwrap();
    let _edges = [own.forward_to(&detour).unwrap(), detour.forward_to(&yard.all).unwrap()];
    let (mut number, mut handle) = (0, own.publisher());
    while !yard.is_over() {
        let count = if publisher == BATCHES { 1 + number % 24 } else { 1 };
        let mut messages: Vec<_> = (1..=count).map(|more| yard.message(publisher, number + more)).collect();
        number += count;
        yard.begun[publisher].store(number, Ordering::SeqCst);
        match publisher {
            BATCHES => _ = own.publish_batch(messages),
            AWAITS => messages.drain(..).for_each(|one| _ = block_on(own.publish_async(one))),
            KEEPS => messages.drain(..).for_each(|one| _ = handle.publish(one)),
            _ => messages.drain(..).for_each(|one| _ = own.publish(one)),
        }
        yard.returned[publisher].store(number, Ordering::SeqCst);
        if number % 1_000 == 0 {
            // Another way comes and goes.
            drop(own.forward_to(&yard.all).unwrap());
        }
    }
}

// ---- subscriptions ----------------------------------------------------------------------------------------------------

/// How one subscription is to be.
#[derive(Clone, Copy, Debug)]
struct Terms {
    mode: Dispatch,
    policy: Policy,
    capacity: usize,
    temper: Temper,
}

/// What a handler does beside noting what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temper {
    Calm,
    /// Now and then it does not return for a while: others must get on.
    Blocks,
    /// Now and then it panics.
    Panics,
}

impl Temper {
    fn act(self, number: u64) {
        match self {
            Self::Blocks if number.is_multiple_of(4_999) => thread::sleep(Duration::from_millis(3)),
            Self::Panics if number.is_multiple_of(997) => panic!("{ON_PURPOSE}"),
            _ => {}
        }
    }
}

/// What happens when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Grow,
    Block,
    DropOldest,
    DropNewest,
    Disconnect,
    Conflate,
}

impl Terms {
    fn of(slot: usize, round: usize) -> Self {
        use Policy::{Block, Conflate, Disconnect, DropNewest, DropOldest, Grow};
        let policies = [Grow, Block, DropOldest, Conflate, Block, DropNewest, Disconnect];
        let policy = policies[(slot / 5 + round) % policies.len()];
        let temper = [Temper::Calm, Temper::Panics, Temper::Blocks][(slot + round) % 3];
        Self {
            mode: MODES[slot % MODES.len()],
            policy,
            capacity: [256, 16, 64, 1][(slot + round) % 4],
            temper,
        }
    }

    fn loses(self) -> bool {
        self.mode != Dispatch::Inline && !matches!(self.policy, Policy::Grow | Policy::Block)
    }

    fn overflow(self, yard: &Yard) -> Overflow {
        match self.policy {
            Policy::Grow => Overflow::Grow(Grow::unbounded()),
            Policy::Block => Overflow::Block(FOR_EVER),
            Policy::DropOldest => Overflow::DropOldest,
            Policy::DropNewest => Overflow::DropNewest,
            Policy::Disconnect => Overflow::Disconnect,
            Policy::Conflate => {
                let kind = yard.kind.clone();
                Overflow::conflate(move |message| {
                    kind.read(message).map(|stamp| (stamp.publisher as u64).into())
                })
            }
        }
    }

    fn builder(self, yard: &Yard) -> SubscriptionBuilder<'_> {
        let builder = yard.all.subscription("tenant").accept(&yard.kind);
        builder.dispatch(self.mode).overflow(self.overflow(yard)).capacity(self.capacity)
    }
}

/// What one subscription has seen. A publisher's messages come one after the other in every mode, so each has a
/// cell of its own.
#[derive(Default)]
struct Seen {
    first: [AtomicU64; PUBLISHERS],
    last: [AtomicU64; PUBLISHERS],
    heard: AtomicU64,
    missed: AtomicU64,
    finals: AtomicU64,
}

impl Seen {
    fn message(&self, yard: &Yard, terms: Terms, stamp: &Stamp, missed: u64) {
        let (publisher, number) = (stamp.publisher, stamp.number);
        let last = self.last[publisher].swap(number, Ordering::Relaxed);
        match last {
            0 => self.first[publisher].store(number, Ordering::Relaxed),
            _ if number == last + 1 || (terms.loses() && number > last) => {}
            _ => yard.complain(format!("{terms:?}: {number} of {publisher} came after {last}")),
        }
        if self.finals.load(Ordering::Relaxed) > 0 {
            yard.complain(format!("{terms:?}: {number} of {publisher} came after the final message"));
        }
        self.missed.fetch_add(missed, Ordering::Relaxed);
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self, yard: &Yard, terms: Terms, missed: u64) {
        self.missed.fetch_add(missed, Ordering::Relaxed);
        if self.finals.fetch_add(1, Ordering::SeqCst) > 0 {
            yard.complain(format!("{terms:?}: a second final message"));
        }
    }

    /// What began after the subscription stood, and returned before it was ended, must have come.
    fn check(&self, yard: &Yard, terms: Terms, bounds: Bounds, stats: &SubscriptionStats) {
        if self.finals.load(Ordering::SeqCst) != 1 {
            yard.complain(format!("{terms:?}: no final message"));
        }
        let (heard, missed) = (self.heard.load(Ordering::Relaxed), self.missed.load(Ordering::Relaxed));
        if missed != stats.missed || (!terms.loses() && missed > 0) {
            yard.complain(format!("{terms:?}: told of {missed} missed, counted {}", stats.missed));
        }
        let lost = stats.lost;
        let offered = stats.accepted + lost.refused + lost.timed_out + lost.disconnected;
        if terms.mode != Dispatch::Inline && heard + missed != offered {
            yard.complain(format!(
                "{terms:?}: {heard} came and {missed} were told of, of {offered} ({lost})"
            ));
        }
        for publisher in 0..PUBLISHERS {
            let (from, to) = (bounds.begun[publisher] + 1, bounds.returned[publisher]);
            let first = self.first[publisher].load(Ordering::Relaxed);
            let last = self.last[publisher].load(Ordering::Relaxed);
            if !terms.loses() && from <= to && (first == 0 || first > from || last < to) {
                let what = format!("{first}..={last} of {publisher} came, of {from}..={to}");
                yard.complain(format!("{terms:?}: {what}"));
            }
        }
        yard.deliveries.fetch_add(heard, Ordering::Relaxed);
        yard.lost.fetch_add(missed, Ordering::Relaxed);
        yard.panics.fetch_add(stats.panics, Ordering::Relaxed);
        if stats.panics > 0 && terms.temper != Temper::Panics {
            yard.complain(format!("{terms:?}: {} panics", stats.panics));
        }
    }
}

/// What had begun when the subscription stood, and what had returned before it was ended.
struct Bounds {
    begun: [u64; PUBLISHERS],
    returned: [u64; PUBLISHERS],
}

/// One place, let to one subscription after the other. Returns how many there were.
fn let_place(yard: &Arc<Yard>, slot: usize) -> u64 {
    let mut round = 0;
    while !yard.is_over() {
        let terms = Terms::of(slot, round);
        // Between 200 and 30,000 messages.
        let stay = 200 + (slot * 7_919 + round * 104_729) as u64 % 29_800;
        match terms.mode {
            Dispatch::Stream => read_stream(yard, terms, stay),
            _ => run_handler(yard, terms, stay),
        }
        round += 1;
    }
    round as u64
}

fn run_handler(yard: &Arc<Yard>, terms: Terms, stay: u64) {
    let seen = Arc::new(Seen::default());
    let (yard2, seen2) = (yard.clone(), seen.clone());
    let handler = move |delivery: &Delivery<'_>| match delivery.read(&yard2.kind) {
        Some(stamp) => {
            seen2.message(&yard2, terms, stamp, delivery.missed());
            terms.temper.act(stamp.number);
        }
        None => seen2.end(&yard2, terms, delivery.missed()),
    };
    let builder = terms.builder(yard);
    let made = if terms.mode == Dispatch::Inline { builder.inline(handler) } else { builder.start(handler) };
    let sub: Subscription = made.unwrap();
    let begun = Yard::numbers(&yard.begun);
    // A full mailbox may have ended it.
    while seen.heard.load(Ordering::Relaxed) < stay && !yard.is_over() && sub.is_subscribed() {
        thread::sleep(Duration::from_micros(500));
    }
    let returned = Yard::numbers(&yard.returned);
    sub.unsubscribe();
    sub.join().unwrap();
    seen.check(yard, terms, Bounds { begun, returned }, &sub.stats());
}

fn read_stream(yard: &Arc<Yard>, terms: Terms, stay: u64) {
    let seen = Seen::default();
    let mut stream = terms.builder(yard).stream().unwrap();
    let begun = Yard::numbers(&yard.begun);
    let mut returned = None;
    loop {
        // Another look now and then, since publishers may have stopped.
        let received = match stream.recv_timeout(Duration::from_millis(20)) {
            Ok(received) => Some(received),
            Err(stasis_bus::RecvTimeoutError::TimedOut) => None,
            Err(stasis_bus::RecvTimeoutError::Over) => break,
        };
        match received.as_ref().map(|received| (received.read(&yard.kind), received.missed())) {
            Some((Some(stamp), missed)) => seen.message(yard, terms, stamp, missed),
            Some((None, missed)) => seen.end(yard, terms, missed),
            None => {}
        }
        if returned.is_none() && (seen.heard.load(Ordering::Relaxed) >= stay || yard.is_over()) {
            returned = Some(Yard::numbers(&yard.returned));
            stream.unsubscribe();
        }
    }
    seen.check(yard, terms, Bounds { begun, returned: returned.unwrap_or_default() }, &stream.stats());
}

// ---- the whole ----------------------------------------------------------------------------------------------------------

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Messages published.
    pub(crate) published: u64,
    /// Messages that arrived at a subscription.
    pub(crate) deliveries: u64,
    /// Messages that did not, each counted and told.
    pub(crate) lost: u64,
    /// Panics of handlers.
    pub(crate) panics: u64,
    /// Subscriptions there were.
    pub(crate) subscriptions: u64,
    /// Values that still lived in the end.
    pub(crate) left: i64,
    /// What was wrong, in words.
    pub(crate) wrong: Vec<String>,
    elapsed: Duration,
}

impl Outcome {
    /// Whether everything was as promised.
    pub(crate) fn is_good(&self) -> bool {
        self.wrong.is_empty() && self.left == 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, deliveries, lost, panics, subscriptions, left, wrong, elapsed } = self;
        writeln!(f, "{published} messages published, {deliveries} deliveries checked, {elapsed:.1?}")?;
        writeln!(f, "{lost} lost by policy, each counted and told; {panics} panics of handlers")?;
        writeln!(f, "{subscriptions} subscriptions came and went; {left} values left")?;
        wrong.iter().take(20).try_for_each(|what| writeln!(f, "WRONG {what}"))?;
        match self.is_good() {
            true => write!(
                f,
                "delivered + lost = offered at every subscription; no duplicate, no reorder, nothing after a final message, no leak"
            ),
            false => write!(f, "{} things were wrong", wrong.len().max(1)),
        }
    }
}

/// Publishes, subscribes and checks.
pub(crate) fn run(until: Until) -> Outcome {
    let started = Instant::now();
    keep_quiet_about_what_is_on_purpose();
    let bus = Bus::builder().workers(1..=4).build().unwrap();
    let (kind, all) = (bus.message_type("stamp").unwrap(), bus.topic("all").unwrap());
    let yard = Arc::new(Yard {
        bus,
        kind,
        all,
        begun: Default::default(),
        returned: Default::default(),
        deliveries: AtomicU64::new(0),
        panics: AtomicU64::new(0),
        lost: AtomicU64::new(0),
        until,
        stop: AtomicBool::new(false),
        alive: Arc::default(),
        wrong: Mutex::default(),
    });
    let subscriptions = thread::scope(|scope| {
        let yard = &yard;
        let let_slot = |slot| scope.spawn(move || let_place(yard, slot));
        let places: Vec<_> = (0..SUBSCRIPTIONS).map(let_slot).collect();
        for publisher in 0..PUBLISHERS {
            scope.spawn(move || publish(yard, publisher));
        }
        places.into_iter().map(|place| place.join().unwrap()).sum()
    });
    let report = yard.bus.shutdown(Duration::from_secs(30)).unwrap();
    if !report.is_clean() {
        yard.complain(report.to_string());
    }
    Outcome {
        published: Yard::numbers(&yard.returned).iter().sum(),
        deliveries: yard.deliveries.load(Ordering::Relaxed),
        lost: yard.lost.load(Ordering::Relaxed),
        panics: yard.panics.load(Ordering::Relaxed),
        subscriptions,
        left: yard.alive.load(Ordering::SeqCst),
        wrong: std::mem::take(&mut *yard.wrong.lock().unwrap()),
        elapsed: started.elapsed(),
    }
}

fn keep_quiet_about_what_is_on_purpose() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| match info.payload_as_str() {
            Some(ON_PURPOSE) => {}
            _ => usual(info),
        }));
    });
}

fn until(args: &[String]) -> Option<Until> {
    match args {
        [] => Some(Until::Deliveries(10_000_000)),
        [number] => number.parse().ok().filter(|number| *number > 0).map(Until::Deliveries),
        [option, seconds] if option == "--seconds" => {
            let seconds = seconds.parse().ok().filter(|seconds| (1..=86_400).contains(seconds))?;
            Some(Until::Time(Instant::now() + Duration::from_secs(seconds)))
        }
        _ => None,
    }
}

#[allow(dead_code, reason = "the test that includes this file has its own")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(until) = until(&args) else {
        eprintln!("stress: {:?} is not allowed", args.join(" "));
        eprintln!("usage: stress [DELIVERIES | --seconds N], DELIVERIES at least 1, N from 1 to 86400");
        return ExitCode::from(2);
    };
    let outcome = run(until);
    if let Err(error) = writeln!(io::stdout(), "{outcome}") {
        eprintln!("stress: cannot print: {error}");
        return ExitCode::FAILURE;
    }
    if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
