//! What does a forward cost a publish, and how many topics may there be?

mod common;

use common::Bench;
use stasis_bus::{Bus, Forward, MessageType, Topic};

/// Topics that are forwarded to one.
const TOPICS: [usize; 4] = [1, 10, 1_000, 100_000];
/// Forwards from one topic, and forwards one behind the other.
const FORWARDS: [usize; 4] = [0, 1, 3, 10];

fn main() -> Result<(), stasis_bus::Error> {
    let bus = Bus::builder().manual().build()?;
    let kind = bus.message_type::<u64>("tick")?;
    common::run("forward", |bench| {
        for count in FORWARDS {
            time_fan(bench, &bus, &kind, count).expect("names are good");
            time_chain(bench, &bus, &kind, count).expect("names are good");
        }
        for count in TOPICS {
            let count = if bench.only_checks() { 1 } else { count };
            time_aggregate(bench, &bus, &kind, count).expect("names are good");
        }
    });
    Ok(())
}

fn time_fan(
    bench: &mut Bench,
    bus: &Bus,
    kind: &MessageType<u64>,
    count: usize,
) -> Result<(), stasis_bus::Error> {
    let from = bus.topic("fan")?;
    let to: Vec<Topic> =
        (0..count).map(|number| bus.topic(&format!("fan/{number}"))).collect::<Result<_, _>>()?;
    let _forwards: Vec<Forward> = to.iter().map(|to| from.forward_to(to)).collect::<Result<_, _>>()?;
    let message = kind.message(1);
    bench.time(&format!("{count} forwards side by side, nobody listens"), || from.publish(message.clone()));
    Ok(())
}

fn time_chain(
    bench: &mut Bench,
    bus: &Bus,
    kind: &MessageType<u64>,
    count: usize,
) -> Result<(), stasis_bus::Error> {
    let topics: Vec<Topic> =
        (0..=count).map(|number| bus.topic(&format!("chain/{number}"))).collect::<Result<_, _>>()?;
    let _forwards: Vec<Forward> =
        topics.windows(2).map(|pair| pair[0].forward_to(&pair[1])).collect::<Result<_, _>>()?;
    let message = kind.message(1);
    bench.time(&format!("{count} forwards in a row, nobody listens"), || topics[0].publish(message.clone()));
    Ok(())
}

/// One message on each topic in turn, with four inline handlers at their aggregate.
fn time_aggregate(
    bench: &mut Bench,
    bus: &Bus,
    kind: &MessageType<u64>,
    count: usize,
) -> Result<(), stasis_bus::Error> {
    let all = bus.topic("all")?;
    let subscribe = |number: usize| all.subscription(format!("inline {number}")).inline(|_| {});
    let _subscriptions: Vec<_> = (0..4).map(subscribe).collect::<Result<_, _>>()?;
    let topics: Vec<Topic> =
        (0..count).map(|number| bus.topic(&format!("call/{number}"))).collect::<Result<_, _>>()?;
    let _forwards: Vec<Forward> =
        topics.iter().map(|topic| topic.forward_to(&all)).collect::<Result<_, _>>()?;
    let (message, mut next) = (kind.message(1), (0..count).cycle());
    bench.time(&format!("{count} topics to one with 4 inline handlers, in turn"), || {
        next.next().map(|at| topics[at].publish(message.clone()))
    });
    Ok(())
}
