//! How long from a publish until the handler runs, one message at a time?
//!
//! A message about every 20 us: the bus is idle whenever one comes, so what counts is how it waits. The publisher and the
//! handler's thread are not pinned to processors here; the comparison in `benches/rivals` does that.

mod common;

use common::Bench;
use stasis_bus::{Bus, Dispatch, MessageType, Subscription, Topic, Wait};
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MESSAGES: usize = 20_000;
const PAUSE: Duration = Duration::from_micros(20);
const LONG: Duration = Duration::from_millis(1);

/// When the last message was handled: nanoseconds from `start`, never 0.
#[derive(Clone)]
struct Heard {
    start: Instant,
    at: Arc<AtomicU64>,
}

impl Heard {
    fn new() -> Self {
        Self { start: Instant::now(), at: Arc::default() }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64 + 1
    }

    fn note(&self) {
        self.at.store(self.now(), Ordering::Release);
    }

    /// Waits awake: a publisher that sleeps would share its processor.
    fn wait(&self) -> u64 {
        loop {
            match self.at.swap(0, Ordering::Acquire) {
                0 => hint::spin_loop(),
                at => return at,
            }
        }
    }
}

fn main() -> Result<(), stasis_bus::Error> {
    let buses = [Wait::Park, Wait::SpinThenPark(LONG)].map(|wait| (wait, Bus::builder().wait(wait).build()));
    common::run("latency", |bench| {
        for (wait, bus) in buses {
            let bus = bus.expect("the options are good");
            time_bus(bench, &bus, wait).expect("names are good");
            bus.shutdown(Duration::from_secs(10)).expect("nobody is stuck");
        }
    });
    Ok(())
}

fn time_bus(bench: &mut Bench, bus: &Bus, wait: Wait) -> Result<(), stasis_bus::Error> {
    let ticks = bus.message_type::<u64>("tick")?;
    time_mode(bench, bus, &ticks, &format!("pool, {wait}"), |topic, heard| {
        topic.subscription("reader").accept(&ticks).start(move |_| heard.note())
    })?;
    let waits = if wait == Wait::Park { [Wait::Park, Wait::BusySpin].as_slice() } else { &[] };
    for wait in waits {
        time_mode(bench, bus, &ticks, &format!("dedicated, {wait}"), |topic, heard| {
            let alone = topic.subscription("reader").accept(&ticks).dispatch(Dispatch::Dedicated).wait(*wait);
            alone.start(move |_| heard.note())
        })?;
    }
    time_mode(bench, bus, &ticks, "inline", |topic, heard| {
        topic.subscription("reader").accept(&ticks).inline(move |_| heard.note())
    })?;
    time_sync(bench, bus, &ticks, wait)
}

fn time_mode(
    bench: &mut Bench,
    bus: &Bus,
    ticks: &MessageType<u64>,
    row: &str,
    subscribe: impl FnOnce(&Topic, Heard) -> Result<Subscription, stasis_bus::SubscribeError>,
) -> Result<(), stasis_bus::Error> {
    let (topic, heard) = (bus.topic(row)?, Heard::new());
    let subscription = subscribe(&topic, heard.clone())?;
    bench.percentiles(row, MESSAGES, || {
        pause();
        let sent = heard.now();
        topic.publish(ticks.message(sent));
        heard.wait() - sent
    });
    subscription.unsubscribe_and_join()?;
    Ok(())
}

/// Until `publish_sync` has returned.
fn time_sync(
    bench: &mut Bench,
    bus: &Bus,
    ticks: &MessageType<u64>,
    wait: Wait,
) -> Result<(), stasis_bus::Error> {
    let topic = bus.topic("sync")?;
    let subscription = topic.subscribe("reader", |_| {})?;
    bench.percentiles(&format!("publish_sync, pool, {wait}"), MESSAGES, || {
        pause();
        let sent = Instant::now();
        subscription.publish_sync(ticks.message(1), None).expect("the handler is there");
        sent.elapsed().as_nanos() as u64
    });
    subscription.unsubscribe_and_join()?;
    Ok(())
}

fn pause() {
    let start = Instant::now();
    while start.elapsed() < PAUSE {
        hint::spin_loop();
    }
}
