//! What does a publish to pool subscriptions cost: its publisher, its worker, and both together?
//!
//! The rows of a manual bus run both sides on one thread, one after the other: what the code costs, without what the
//! machine adds by moving cache lines between processors.

mod common;

use common::Bench;
use stasis_bus::{Bus, MessageType, Overflow, Subscription, Topic};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const SUBSCRIBERS: [usize; 5] = [1, 4, 16, 64, 1000];
/// Published before they are handled, on a manual bus: fewer than a mailbox takes.
const ROUND: u64 = 256;

fn main() -> Result<(), stasis_bus::Error> {
    let (manual, bus) = (Bus::builder().manual().build()?, Bus::builder().workers(1..=1).build()?);
    common::run("publish_pool", |bench| {
        for count in SUBSCRIBERS {
            time_sides(bench, &manual, count).expect("names are good");
        }
        for count in SUBSCRIBERS {
            time_whole(bench, &bus, count).expect("names are good");
        }
    });
    bus.shutdown(Duration::from_secs(10))?;
    Ok(())
}

fn time_sides(bench: &mut Bench, bus: &Bus, count: usize) -> Result<(), stasis_bus::Error> {
    let kind = bus.message_type::<String>("note")?;
    let topic = bus.topic(&format!("sides {count}"))?;
    let _subscriptions: Vec<_> = (0..count)
        .map(|_| topic.subscription("reader").accept(&kind).start(|_| {}))
        .collect::<Result<_, _>>()?;
    let one_side = |rounds: u64, of_publisher: bool| {
        let mut spent = Duration::ZERO;
        for _ in 0..rounds.div_ceil(ROUND) {
            let start = Instant::now();
            publish_notes(&topic, &kind, ROUND);
            let published = start.elapsed();
            bus.run_until_idle();
            spent += if of_publisher { published } else { start.elapsed() - published };
        }
        spent.mul_f64(rounds as f64 / (rounds.div_ceil(ROUND) * ROUND) as f64)
    };
    bench.time_with(&format!("{count} subscribers, the publisher's side"), |rounds| one_side(rounds, true));
    bench.time_with(&format!("{count} subscribers, the worker's side"), |rounds| one_side(rounds, false));
    Ok(())
}

/// Until every subscriber has handled the last message, with one worker.
fn time_whole(bench: &mut Bench, bus: &Bus, count: usize) -> Result<(), stasis_bus::Error> {
    let kind = bus.message_type::<String>("note")?;
    let topic = bus.topic(&format!("whole {count}"))?;
    let target = Arc::new(AtomicU64::new(0));
    let (done, all_done) = mpsc::channel();
    let subscribe = |_| subscriber(&topic, &kind, &target, done.clone());
    let _subscriptions: Vec<_> = (0..count).map(subscribe).collect::<Result<_, _>>()?;
    bench.time_with(&format!("{count} subscribers, published and handled"), |messages| {
        target.fetch_add(messages, Ordering::SeqCst);
        let start = Instant::now();
        publish_notes(&topic, &kind, messages);
        (0..count).for_each(|_| all_done.recv().expect("subscribers are there"));
        start.elapsed()
    });
    Ok(())
}

fn publish_notes(topic: &Topic, kind: &MessageType<String>, messages: u64) {
    for _ in 0..messages {
        topic.publish(kind.message(String::from("ringing")));
    }
}

/// Says when it has handled as many as it is to.
fn subscriber(
    topic: &Topic,
    kind: &MessageType<String>,
    target: &Arc<AtomicU64>,
    done: mpsc::Sender<()>,
) -> Result<Subscription, stasis_bus::SubscribeError> {
    let (target, mut handled) = (target.clone(), 0);
    let whole = Overflow::Block(Duration::from_secs(60));
    topic.subscription("reader").accept(kind).overflow(whole).start(move |delivery| {
        handled += u64::from(!delivery.is_final());
        if handled == target.load(Ordering::Relaxed) && !delivery.is_final() {
            let _ = done.send(());
        }
    })
}
