//! What does a publish to inline handlers cost, and what does each further handler? And what would it cost at least: the
//! calls alone, an arc-swap of the list, what makes panics and endings safe?

mod common;

use arc_swap::ArcSwap;
use common::Bench;
use stasis_bus::{Bus, Dispatch, Message, MessageType, Subscription, Topic};
use std::cell::Cell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    compiler_fence,
};

const HANDLERS: [usize; 5] = [0, 1, 4, 16, 64];

fn main() -> Result<(), stasis_bus::Error> {
    let bus = Bus::builder().manual().build()?;
    let ticks = bus.message_type::<u64>("tick")?;
    let others = bus.message_type::<String>("other")?;
    common::run("publish_inline", |bench| {
        for count in [1, 64] {
            time_floors(bench, &ticks, count);
        }
        for count in HANDLERS {
            time_inline(bench, &bus, &ticks, count).expect("names are good");
        }
        time_filtered(bench, &bus, &ticks, &others).expect("names are good");
        time_serial(bench, &bus, &ticks).expect("names are good");
    });
    Ok(())
}

/// Each handler reads the message, and has a count of its own.
fn subscribe(topic: &Topic, ticks: &MessageType<u64>) -> Result<Subscription, stasis_bus::Error> {
    let (sum, kind) = (Arc::new(AtomicU64::new(0)), ticks.clone());
    Ok(topic.subscription("inline").inline(move |delivery| {
        sum.store(sum.load(Relaxed) + kind.read(delivery.message()).map_or(0, |tick| *tick), Relaxed);
    })?)
}

fn time_inline(
    bench: &mut Bench,
    bus: &Bus,
    ticks: &MessageType<u64>,
    count: usize,
) -> Result<(), stasis_bus::Error> {
    let topic = bus.topic(&format!("inline {count}"))?;
    let _subscriptions: Vec<_> = (0..count).map(|_| subscribe(&topic, ticks)).collect::<Result<_, _>>()?;
    let message = ticks.message(1);
    bench.time(&format!("{count} handlers, one message again"), || topic.publish(message.clone()));
    bench.time(&format!("{count} handlers, a new message"), || topic.publish(ticks.message(1)));
    let mut publisher = topic.publisher();
    bench.time(&format!("{count} handlers, one message again, Publisher"), || {
        publisher.publish(message.clone())
    });
    bench.time(&format!("{count} handlers, republish"), || topic.republish(&message));
    bench.time(&format!("{count} handlers, republish, Publisher"), || publisher.republish(&message));
    bench.time(&format!("{count} handlers, republish, Publisher, one figure of the report"), || {
        publisher.republish(&message).accepted
    });
    Ok(())
}

type Call = Box<dyn Fn(&u64) + Send + Sync>;

/// What the handlers do, without a bus.
fn calls(count: usize) -> Vec<Call> {
    let call = |_| -> Call {
        let sum = Arc::new(AtomicU64::new(0));
        Box::new(move |tick| sum.store(sum.load(Relaxed) + tick, Relaxed))
    };
    black_box((0..count).map(call).collect())
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static TOP: Cell<u64> = const { Cell::new(0) };
}

type AskingCall = Box<dyn Fn(&Message) + Send + Sync>;

/// What the handlers do that are given a message of any type, as the bus's are.
fn asking_calls(ticks: &MessageType<u64>, count: usize) -> Vec<AskingCall> {
    let call = |_| -> AskingCall {
        let (sum, kind) = (Arc::new(AtomicU64::new(0)), ticks.clone());
        Box::new(move |message| {
            sum.store(sum.load(Relaxed) + kind.read(message).map_or(0, |tick| *tick), Relaxed)
        })
    };
    black_box((0..count).map(call).collect())
}

fn caught(each: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(each)).is_ok()
}

fn deep(each: impl FnOnce()) -> bool {
    DEPTH.set(DEPTH.get() + 1);
    let all_right = caught(each);
    DEPTH.set(DEPTH.get() - 1);
    all_right
}

fn in_a_cell(own: &AtomicU64, walkers: &AtomicU64, each: impl FnOnce()) -> (bool, u64) {
    own.store(1, Release);
    compiler_fence(std::sync::atomic::Ordering::SeqCst);
    let open = walkers.load(Acquire) < 1 << 63;
    let all_right = open && deep(each);
    own.store(0, Release);
    compiler_fence(std::sync::atomic::Ordering::SeqCst);
    (all_right, walkers.load(Acquire))
}

/// What a publish looks at besides, and notes: whether the bus is open, whether the message is one of its, how deep this is,
/// whether the list is the one that stands, its number, whether that is one that is timed, whether somebody follows; what is
/// under way, for who waits; and a report. Each in the least way there is, and in memory that nobody else writes.
#[derive(Default)]
struct Looks {
    phase: AtomicU64,
    version: AtomicU64,
    published: AtomicU64,
    follows: AtomicU64,
}

impl Looks {
    fn publish(&self, message: &Message, type_id: u32, walk: impl FnOnce() -> (bool, u64)) -> [u32; 7] {
        let is_refused = self.phase.load(Acquire) > 0
            || message.is_declined()
            || message.type_id() != type_id
            || DEPTH.get() >= 64;
        if is_refused || self.version.load(Acquire) > 0 {
            return [0; 7];
        }
        let number = self.published.load(Relaxed) + 1;
        self.published.store(number, Relaxed);
        if number.is_multiple_of(1_024) || self.follows.load(Relaxed) > 0 {
            black_box(number);
        }
        let below = TOP.replace(number);
        let (called, _) = walk();
        TOP.set(below);
        [u32::from(called), 0, 0, 0, 0, 0, 0]
    }
}

fn time_floors(bench: &mut Bench, ticks: &MessageType<u64>, count: usize) {
    let (list, tick) = (calls(count), 1);
    let shared = ArcSwap::from_pointee(calls(count));
    let each = |list: &[Call]| list.iter().for_each(|call| call(black_box(&tick)));
    bench.time(&format!("floor, {count} calls"), || each(black_box(&list)));
    bench.time(&format!("floor, {count} calls of an arc-swap"), || each(&shared.load()));
    bench.time(&format!("floor, {count} calls, panics caught"), || caught(|| each(black_box(&list))));
    bench.time(&format!("floor, {count} calls, panics caught, nesting counted"), || {
        deep(|| each(black_box(&list)))
    });
    let (walkers, own) = (AtomicU64::new(0), AtomicU64::new(0));
    bench.time(&format!("floor, {count} calls, the same inside a shared count"), || {
        let open = walkers.fetch_add(1, AcqRel) < 1 << 63;
        (open && deep(|| each(black_box(&list))), walkers.fetch_sub(1, AcqRel))
    });
    bench.time(&format!("floor, {count} calls, the same inside a cell of its own"), || {
        in_a_cell(&own, &walkers, || each(black_box(&list)))
    });
    let (asking, message) = (asking_calls(ticks, count), ticks.message(1));
    let ask_each = || black_box(&asking).iter().for_each(|call| call(black_box(&message)));
    bench.time(&format!("floor, {count} calls that ask a message for its type"), ask_each);
    bench.time(&format!("floor, {count} calls that ask, the same inside a cell of its own"), || {
        in_a_cell(&own, &walkers, ask_each)
    });
    let (looks, type_id) = (Looks::default(), message.type_id());
    bench.time(&format!("floor, {count} calls that ask, and what a publish looks at"), || {
        black_box(&looks).publish(&message, type_id, || in_a_cell(&own, &walkers, ask_each))
    });
}

fn time_filtered(
    bench: &mut Bench,
    bus: &Bus,
    ticks: &MessageType<u64>,
    others: &MessageType<String>,
) -> Result<(), stasis_bus::Error> {
    let topic = bus.topic("filtered")?;
    let subscribe = |_| topic.subscription("filtered").accept(others).inline(|_| {});
    let _subscriptions: Vec<_> = (0..64).map(subscribe).collect::<Result<_, _>>()?;
    let message: Message = ticks.message(1);
    bench.time("64 handlers, none wants it", || topic.publish(message.clone()));
    bench.time("64 handlers, none wants it, publish_with", || topic.publish_with(ticks, || 1));
    Ok(())
}

fn time_serial(bench: &mut Bench, bus: &Bus, ticks: &MessageType<u64>) -> Result<(), stasis_bus::Error> {
    let topic = bus.topic("serial")?;
    let (mut sum, kind) = (0, ticks.clone());
    let _subscription = topic.subscription("serial").dispatch(Dispatch::Serial).start(move |delivery| {
        sum += kind.read(delivery.message()).map_or(0, |tick| *tick);
        std::hint::black_box(sum);
    })?;
    let message = ticks.message(1);
    bench.time("1 serial handler, one message again", || topic.publish(message.clone()));
    Ok(())
}
