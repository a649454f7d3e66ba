//! What does a publish to inline handlers cost, and what does each further handler?

mod common;

use common::Bench;
use stasis_bus::{Bus, Dispatch, Message, MessageType, Subscription, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const HANDLERS: [usize; 5] = [0, 1, 4, 16, 64];

fn main() -> Result<(), stasis_bus::Error> {
    let bus = Bus::builder().manual().build()?;
    let ticks = bus.message_type::<u64>("tick")?;
    let others = bus.message_type::<String>("other")?;
    common::run("publish_inline", |bench| {
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
    Ok(())
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
