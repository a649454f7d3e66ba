//! Until the publisher knows that the message was handled: `publish_sync`, beside a request and its reply.

use super::Contestant;
use crate::bench::{Effort, Outcome, Sample, Tally};
use crate::families::kit::{Dice, Sink};
use crate::families::percentiles;
use crate::pinning::{CONSUMER, PUBLISHER, on_this, pin_handlers, spawn_on};
use stasis_bus::{Bus, BusBuilder, Dispatch, Handled, SubscriptionBuilder, Wait};
use std::hint;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MESSAGES: u64 = 10_000;

pub fn all() -> Vec<Contestant> {
    let row =
        |rival, name: &str, wait, run: fn(Effort) -> Outcome<Sample>| Contestant::new(rival, name, wait, run);
    vec![
        row("stasis", "stasis pool", "Park", |effort| by_bus(effort, one_worker(Wait::Park), |it| it)),
        row("stasis", "stasis pool spinning", "SpinThenPark(1 ms)", |effort| {
            by_bus(effort, one_worker(Wait::SpinThenPark(Duration::from_millis(1))), |it| it)
        }),
        row("stasis", "stasis dedicated", "BusySpin", |effort| {
            by_bus(effort, Bus::builder(), |it| it.dispatch(Dispatch::Dedicated).wait(Wait::BusySpin))
        }),
        row("crossbeam", "crossbeam there and back", "recv", crossbeam),
    ]
}

fn one_worker(wait: Wait) -> BusBuilder {
    Bus::builder().workers(1..=1).wait(wait)
}

/// Times `ask`, about every 20 us.
fn time(effort: Effort, sink: &Sink, mut ask: impl FnMut(u64) -> Outcome<()>) -> Outcome<Sample> {
    let (messages, mut dice) = (effort.of(MESSAGES), Dice::new());
    let took: Vec<u64> = on_this(PUBLISHER, || {
        let one = |number| {
            let pause = Duration::from_nanos(15_000 + dice.below(10_000));
            let start = Instant::now();
            while start.elapsed() < pause {
                hint::spin_loop();
            }
            let start = Instant::now();
            ask(number)?;
            Ok(start.elapsed().as_nanos() as u64)
        };
        (0..messages).map(one).collect::<Outcome<_>>()
    })?;
    let wanted: Tally = (0..messages).collect();
    let steady = took[took.len() / 10..].to_vec();
    Ok(percentiles::add(Sample::new(sink.tally(), wanted), steady))
}

fn by_bus(
    effort: Effort,
    builder: BusBuilder,
    options: impl FnOnce(SubscriptionBuilder<'_>) -> SubscriptionBuilder<'_>,
) -> Outcome<Sample> {
    let bus = pin_handlers(builder).build()?;
    let (topic, kind) = (bus.topic("sync")?, bus.message_type::<u64>("number")?);
    let sink: Arc<Sink> = Arc::default();
    let (handled, read) = (sink.clone(), kind.clone());
    let subscription = options(topic.subscription("reader").accept(&kind)).start(move |delivery| {
        if let Some(number) = delivery.read(&read) {
            handled.take(*number);
        }
    })?;
    let sample =
        time(effort, &sink, |number| match subscription.publish_sync(kind.message(number), None)? {
            Handled::Yes => Ok(()),
            other => Err(format!("{other:?}").into()),
        })?;
    subscription.unsubscribe_and_join()?;
    bus.shutdown(Duration::from_secs(10))?;
    Ok(sample)
}

fn crossbeam(effort: Effort) -> Outcome<Sample> {
    let (ask, asked) = crossbeam_channel::bounded::<Arc<u64>>(1024);
    let (answer, answered) = crossbeam_channel::bounded::<()>(1);
    let sink: Arc<Sink> = Arc::default();
    let handled = sink.clone();
    let consumer = spawn_on(CONSUMER, move || {
        for number in asked {
            handled.take(*number);
            if answer.send(()).is_err() {
                return;
            }
        }
    });
    let sample = time(effort, &sink, |number| {
        ask.send(Arc::new(number))?;
        Ok(answered.recv()?)
    });
    drop(ask);
    consumer.join().map_err(|_| "the consumer panicked")?;
    sample
}
