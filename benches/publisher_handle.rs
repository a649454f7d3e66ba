//! What does a [`Publisher`](stasis_bus::Publisher) save over its topic's `publish`, and `publish_with` over a message?

mod common;

use common::Bench;
use stasis_bus::{Bus, Forward, MessageType, Topic};

/// Forwards between the topic published on and the one that is subscribed to.
const HOPS: [usize; 4] = [0, 1, 3, 10];

fn main() -> Result<(), stasis_bus::Error> {
    let bus = Bus::builder().manual().build()?;
    let ticks = bus.message_type::<u64>("tick")?;
    common::run("publisher_handle", |bench| {
        let nobody = bus.topic("nobody").expect("the name is good");
        rows(bench, "nobody listens", &nobody, &ticks);
        for hops in HOPS {
            let (first, last, _forwards) = chain(&bus, hops).expect("names are good");
            let _subscription = last.subscription("inline").inline(|_| {}).expect("the name is good");
            rows(bench, &format!("1 inline handler over {hops} forwards"), &first, &ticks);
        }
    });
    Ok(())
}

fn rows(bench: &mut Bench, what: &str, topic: &Topic, ticks: &MessageType<u64>) {
    let mut publisher = topic.publisher();
    let message = ticks.message(1);
    bench.time(&format!("{what}, topic"), || topic.publish(message.clone()));
    bench.time(&format!("{what}, Publisher"), || publisher.publish(message.clone()));
    bench.time(&format!("{what}, topic, publish_with"), || topic.publish_with(ticks, || 1));
    bench.time(&format!("{what}, Publisher, publish_with"), || publisher.publish_with(ticks, || 1));
}

/// Its first topic, its last one, and what holds it together.
fn chain(bus: &Bus, hops: usize) -> Result<(Topic, Topic, Vec<Forward>), stasis_bus::Error> {
    let topics: Vec<Topic> =
        (0..=hops).map(|at| bus.topic(&format!("chain of {hops}, {at}"))).collect::<Result<_, _>>()?;
    let forwards = topics.windows(2).map(|pair| pair[0].forward_to(&pair[1])).collect::<Result<_, _>>()?;
    Ok((topics[0].clone(), topics[hops].clone(), forwards))
}
