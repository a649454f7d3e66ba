//! Whole buses that come and go, ended in every way; some of them have a clock that jumps.

use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::{Census, Numbered, Yard};
use stasis_bus::{Bus, Cache, Dispatch, Error};
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::Duration;

const MODES: [Dispatch; 3] = [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated];
const BREATH: Duration = Duration::from_millis(10);

pub(crate) fn start<'s>(scope: &'s Scope<'s, '_>, yard: &Arc<Yard>) {
    let run = |name, live: fn(&Arc<Yard>, &mut Dice) -> Result<(), Error>| {
        let yard = yard.clone();
        scope.spawn(move || {
            let mut dice = Dice::new(yard.options.seed, name, 0);
            while yard.goes_on() {
                if let Err(why) = live(&yard, &mut dice) {
                    yard.verdict.complain(Kind::Other, format!("{name}: {why}"));
                }
                yard.count(Count::Buses);
                thread::sleep(BREATH);
            }
        });
    };
    run("house", real);
    run("clock", with_a_clock);
}

/// A bus with threads. Nothing of it is left, whatever is dropped first.
fn real(yard: &Arc<Yard>, dice: &mut Dice) -> Result<(), Error> {
    let census = Census::default();
    let bus = Bus::builder().workers(1..=2).thread_name("house").build()?;
    let (kind, topic) = (bus.message_type::<(u64, crate::yard::Alive)>("number")?, bus.topic("numbers")?);
    let (weak, ends_inside) = (bus.clone(), dice.one_in(4));
    let mut own = Some(weak);
    let subscription = topic.subscription("number").dispatch(dice.pick(&MODES)).start(move |_| {
        // A handler that has the bus must let it go: at its first message, or never before its end.
        if ends_inside {
            drop(own.take());
        }
    })?;
    for number in 0..dice.below(300) {
        topic.publish(kind.message((number, census.born())));
    }
    match dice.below(4) {
        0 => drop((bus, topic, subscription, kind)),
        1 => drop((subscription, kind, topic, bus)),
        2 => {
            subscription.detach();
            let report = bus.shutdown(Duration::from_secs(30))?;
            yard.verdict.expect(report.is_clean(), Kind::Ending, || report.to_string());
        }
        _ => {
            let ender = bus.clone();
            // The end comes from inside a handler of it.
            let end = topic.subscription("end").dispatch(Dispatch::Serial).start(move |_| {
                let _ = ender.shutdown(Duration::from_secs(30));
            })?;
            drop((bus, kind, topic, end, subscription));
        }
    }
    yard.verdict.expect(census.dies_out(), Kind::Leaked, || format!("{} of a house", census.alive()));
    Ok(())
}

/// A bus by a clock of its own, on which time stands still, creeps, and leaps by years.
fn with_a_clock(yard: &Arc<Yard>, dice: &mut Dice) -> Result<(), Error> {
    let bus = Bus::builder().manual().build()?;
    let kind = bus.message_type::<Numbered>("number")?;
    let topic = bus.topic("numbers")?;
    let ttl = Duration::from_secs(1 + dice.below(100_000));
    let cache = Cache::builder(&bus).id_of(&kind, |_| "one").ttl(ttl).build()?;
    let _caching = topic.caching(&cache)?;
    let mut stream = topic.subscription("number").accept(&kind).stream()?;
    for number in 1..=50 {
        let jump = jump(dice);
        yard.count(Count::Jumps);
        let stood = !cache.is_empty();
        bus.advance(jump);
        bus.run_until_idle();
        // It goes when its time has come, and not before.
        let right = !stood || cache.is_empty() == (jump >= ttl);
        yard.verdict.expect(right, Kind::Stale, || format!("after {jump:?} of {ttl:?}: {cache:?}"));
        topic.publish(kind.message(yard.numbered(number)));
        yard.verdict.equal(cache.len(), 1, Kind::Lost, "a cache by a clock");
        let received = stream.try_recv().ok();
        let is = received.as_ref().and_then(|received| received.read(&kind)).map(|value| value.number);
        yard.verdict.equal(is, Some(number), Kind::Lost, "by a clock");
    }
    drop(stream);
    bus.shutdown(Duration::from_secs(1))?;
    Ok(())
}

/// From nothing to ten years.
fn jump(dice: &mut Dice) -> Duration {
    let most = dice.pick(&[1, 1_000_000, 1_000_000_000, 86_400_000_000_000, 315_576_000_000_000_000]);
    Duration::from_nanos(dice.below(most))
}
