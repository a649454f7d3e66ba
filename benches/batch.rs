//! What does one message of a batch cost, published and handled in batches, beside one at a time?
//!
//! On a manual bus: both sides on one thread, one after the other.

mod common;

use common::Bench;
use stasis_bus::{Batch, Bus, Message, MessageType, Subscription, Topic};

const SUBSCRIBERS: [usize; 3] = [1, 4, 16];
const SIZES: [u64; 4] = [1, 8, 32, 128];
/// Messages between two runs of the handlers.
const ROUND: u64 = 256;

fn main() -> Result<(), stasis_bus::Error> {
    let bus = Bus::builder().manual().build()?;
    let kind = bus.message_type::<u64>("note")?;
    common::run("batch", |bench| {
        for count in SUBSCRIBERS {
            time_publishes(bench, &bus, &kind, count).expect("names are good");
        }
        time_handlers(bench, &bus, &kind).expect("names are good");
    });
    Ok(())
}

fn time_publishes(
    bench: &mut Bench,
    bus: &Bus,
    kind: &MessageType<u64>,
    count: usize,
) -> Result<(), stasis_bus::Error> {
    let topic = bus.topic(&format!("published to {count}"))?;
    let _subscriptions: Vec<Subscription> = (0..count)
        .map(|_| topic.subscription("reader").accept(kind).start(|_| {}))
        .collect::<Result<_, _>>()?;
    bench.time_each(&format!("{count} subscribers, no batches"), ROUND, || {
        for number in 0..ROUND {
            topic.publish(kind.message(number));
        }
        bus.run_until_idle()
    });
    for size in SIZES {
        let mut publisher = topic.publisher();
        bench.time_each(&format!("{count} subscribers, publish_batch of {size}"), ROUND, || {
            for _ in 0..ROUND / size {
                publisher.publish_batch(messages(kind, size));
            }
            bus.run_until_idle()
        });
    }
    Ok(())
}

fn messages(kind: &MessageType<u64>, count: u64) -> Vec<Message> {
    (0..count).map(|number| kind.message(number)).collect()
}

/// The consumer's side of it: a call for each message, or one for what waits.
fn time_handlers(bench: &mut Bench, bus: &Bus, kind: &MessageType<u64>) -> Result<(), stasis_bus::Error> {
    let topic = bus.topic("handled one by one")?;
    let _single = topic.subscribe("reader", |_| {})?;
    time_handler(bench, bus, kind, "a handler of single messages", &topic);
    let topic = bus.topic("handled in batches")?;
    let _several = topic.subscription("reader").batch_max(128).start_batch(|batch: &mut Batch<'_>| {
        for delivery in batch {
            std::hint::black_box(delivery.missed());
        }
    })?;
    time_handler(bench, bus, kind, "a handler of batches", &topic);
    Ok(())
}

fn time_handler(bench: &mut Bench, bus: &Bus, kind: &MessageType<u64>, row: &str, topic: &Topic) {
    bench.time_each(row, ROUND, || {
        topic.publish_batch(messages(kind, ROUND));
        bus.run_until_idle()
    });
}
