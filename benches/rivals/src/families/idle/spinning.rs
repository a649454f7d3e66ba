//! Consumers that never sleep, or not within the time between two messages.

use super::track::Track;
use super::{Contestant, row};
use crate::bench::Outcome;
use crate::families::kit::BLOCK;
use crate::pinning::{CONSUMER, pin_handlers, spawn_on};
use disruptor::{BusySpin, ProcessorSettings, Producer, build_multi_producer, build_single_producer};
use stasis_bus::{Bus, BusBuilder, Dispatch, SubscribeError, Subscription, SubscriptionBuilder, Wait};
use std::hint;
use std::sync::Arc;
use std::time::Duration;

const CAPACITY: usize = 1024;
const LONG: Wait = Wait::SpinThenPark(Duration::from_millis(1));

pub fn all() -> Vec<Contestant> {
    vec![
        row("stasis", "stasis dedicated", "BusySpin", dedicated),
        row("stasis", "stasis pool", "SpinThenPark(1 ms)", pool),
        row("disruptor-multi", "disruptor-multi", "BusySpin", disruptor_multi),
        row("disruptor-single", "disruptor-single", "BusySpin", disruptor_single),
        row("disruptor-inline", "disruptor-multi, number in the slot", "BusySpin", disruptor_inline),
        row("crossbeam", "crossbeam", "try_recv in a spin", crossbeam),
        row("crossfire", "crossfire", "try_recv in a spin", crossfire),
        row("tokio-broadcast", "tokio-broadcast", "try_recv in a spin", tokio_broadcast),
    ]
}

fn dedicated(track: &Arc<Track>) -> Outcome<()> {
    by_bus(track, Bus::builder(), |builder| builder.dispatch(Dispatch::Dedicated).wait(Wait::BusySpin))
}

fn pool(track: &Arc<Track>) -> Outcome<()> {
    by_bus(track, Bus::builder().workers(1..=1).wait(LONG), |builder| builder)
}

/// A bus with one subscription, whose thread stays on the consumers' processor.
pub fn by_bus(
    track: &Arc<Track>,
    builder: BusBuilder,
    options: impl FnOnce(SubscriptionBuilder<'_>) -> SubscriptionBuilder<'_>,
) -> Outcome<()> {
    let bus = pin_handlers(builder).build()?;
    let (topic, number) = (bus.topic("latency")?, bus.message_type::<u64>("number")?);
    let subscribe = || -> Result<Subscription, SubscribeError> {
        let (read, track) = (number.clone(), track.clone());
        options(topic.subscription("reader").accept(&number).overflow(BLOCK)).start(move |delivery| {
            if let Some(number) = delivery.read(&read) {
                track.handle(*number);
            }
        })
    };
    let (subscription, mut publisher) = (subscribe()?, topic.publisher());
    track.publish(
        |it| number.message(it),
        |message| {
            publisher.publish(message);
        },
    );
    subscription.unsubscribe_and_join()?;
    bus.shutdown(Duration::from_secs(10))?;
    Ok(())
}

/// In the slot there is a message that several could share, and keep.
type Slot = Option<Arc<u64>>;

fn disruptor_multi(track: &Arc<Track>) -> Outcome<()> {
    let builder = build_multi_producer(CAPACITY, Slot::default, BusySpin).pin_at_core(CONSUMER);
    by_disruptor(track, &mut builder.handle_events_with(handler(track)).build());
    Ok(())
}

fn disruptor_single(track: &Arc<Track>) -> Outcome<()> {
    let builder = build_single_producer(CAPACITY, Slot::default, BusySpin).pin_at_core(CONSUMER);
    by_disruptor(track, &mut builder.handle_events_with(handler(track)).build());
    Ok(())
}

fn handler(track: &Arc<Track>) -> impl FnMut(&Slot, i64, bool) + Send + use<> {
    let track = track.clone();
    move |slot, _, _| {
        if let Some(number) = slot {
            track.handle(**number);
        }
    }
}

fn by_disruptor(track: &Track, producer: &mut impl Producer<Slot>) {
    track.publish(Arc::new, |parcel| producer.publish(|slot| *slot = Some(parcel)));
}

/// Nothing is shared, and nothing allocated: what the line of a slot takes to travel.
fn disruptor_inline(track: &Arc<Track>) -> Outcome<()> {
    let handled = track.clone();
    let builder = build_multi_producer(CAPACITY, || 0, BusySpin).pin_at_core(CONSUMER);
    let mut producer = builder.handle_events_with(move |number: &u64, _, _| handled.handle(*number)).build();
    track.publish(|number| number, |number| producer.publish(|slot| *slot = number));
    Ok(())
}

fn crossbeam(track: &Arc<Track>) -> Outcome<()> {
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
    by_polling(track, move || receiver.try_recv().ok(), |parcel| sender.send(parcel).is_ok())
}

fn crossfire(track: &Arc<Track>) -> Outcome<()> {
    let (sender, receiver) = crossfire::spsc::bounded_blocking(CAPACITY);
    by_polling(track, move || receiver.try_recv().ok(), |parcel| sender.send(parcel).is_ok())
}

fn tokio_broadcast(track: &Arc<Track>) -> Outcome<()> {
    let (sender, mut receiver) = tokio::sync::broadcast::channel(CAPACITY);
    by_polling(track, move || receiver.try_recv().ok(), |parcel| sender.send(parcel).is_ok())
}

/// The message is one that several could share.
fn by_polling(
    track: &Arc<Track>,
    mut look: impl FnMut() -> Option<Arc<u64>> + Send + 'static,
    mut send: impl FnMut(Arc<u64>) -> bool,
) -> Outcome<()> {
    let (handled, mut left) = (track.clone(), track.messages());
    let consumer = spawn_on(CONSUMER, move || {
        while left > 0 {
            match look() {
                Some(number) => {
                    handled.handle(*number);
                    left -= 1;
                }
                None => hint::spin_loop(),
            }
        }
    });
    track.publish(Arc::new, |parcel| assert!(send(parcel), "the channel is open"));
    consumer.join().map_err(|_| "the consumer panicked".into())
}
