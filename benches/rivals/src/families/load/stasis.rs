//! The bus: pool subscriptions with Block, one worker.

use super::CAPACITY;
use super::pace::{Note, Pace, Watch};
use crate::bench::Outcome;
use crate::families::kit::{BLOCK, SPIN};
use crate::pinning::pin_handlers;
use stasis_bus::{Bus, Subscription};
use std::time::Duration;

pub fn pool(pace: &Pace, watches: Vec<Watch>) -> Outcome<()> {
    let bus = pin_handlers(Bus::builder().workers(1..=1).wait(SPIN)).build()?;
    let (topic, kind) = (bus.topic("load")?, bus.message_type::<Note>("note")?);
    let subscribe = |mut watch: Watch| -> Outcome<Subscription> {
        let read = kind.clone();
        let builder = topic.subscription("reader").accept(&kind).capacity(CAPACITY).overflow(BLOCK);
        Ok(builder.start(move |delivery| {
            if let Some(note) = delivery.read(&read) {
                watch.take(note);
            }
        })?)
    };
    let subscriptions: Vec<_> = watches.into_iter().map(subscribe).collect::<Outcome<_>>()?;
    start_worker(&bus)?;
    let mut publisher = topic.publisher();
    pace.publish(|number| {
        publisher.publish(kind.message(Note::new(number)));
    });
    subscriptions.into_iter().try_for_each(Subscription::unsubscribe_and_join)?;
    bus.shutdown(Duration::from_secs(10))?;
    Ok(())
}

/// A pool starts its threads with the first message. Here it is one of another topic, so that the worker is where it shall be
/// when the clock starts, as the rivals' threads are: a new one begins on its maker's processor, and waits for it there.
fn start_worker(bus: &Bus) -> Outcome<()> {
    let (topic, kind) = (bus.topic("warm-up")?, bus.message_type::<()>("warm-up")?);
    let warm_up = topic.subscribe("warm-up", |_| {})?;
    warm_up.publish_sync(kind.message(()), None)?;
    Ok(warm_up.unsubscribe_and_join()?)
}
