//! What does it cost that topics and subscriptions come and go, by how many others there are?

mod common;

use stasis_bus::{Bus, Forward, MessageType, Subscription, Topic};

/// Topics that stand meanwhile, each forwarded to the aggregate.
const OTHERS: [usize; 3] = [0, 10, 100_000];
/// Subscriptions of the topic at which one comes and goes.
const NEIGHBOURS: [usize; 3] = [0, 16, 1_000];

struct Busy {
    bus: Bus,
    all: Topic,
    kind: MessageType<u64>,
    _others: Vec<(Topic, Forward)>,
    _listeners: Vec<Subscription>,
}

fn main() -> Result<(), stasis_bus::Error> {
    common::run("subscribe_churn", |bench| {
        for others in OTHERS {
            let others = if bench.only_checks() { others.min(10) } else { others };
            let busy = Busy::new(others, 4).expect("names are good");
            bench.time(&format!("topic made and dropped, {others} others"), || busy.topic());
            bench.time(&format!("topic, forward, 3 messages, dropped, {others} others"), || busy.live());
            bench.time(&format!("pool subscription and its end, {others} topics upstream"), || {
                busy.subscribe()
            });
        }
        for neighbours in NEIGHBOURS {
            let busy = Busy::new(0, neighbours).expect("names are good");
            bench.time(&format!("pool subscription and its end, beside {neighbours}"), || busy.subscribe());
        }
    });
    Ok(())
}

impl Busy {
    /// Handlers run when the row is done: a manual bus has no threads that would be measured with it.
    fn new(others: usize, listeners: usize) -> Result<Self, stasis_bus::Error> {
        let bus = Bus::builder().manual().build()?;
        let (all, kind) = (bus.topic("all")?, bus.message_type::<u64>("tick")?);
        let listen = |number: usize| {
            let full = stasis_bus::Overflow::DropNewest;
            all.subscription(format!("listener {number}")).overflow(full).start(|_| {})
        };
        let listeners = (0..listeners).map(listen).collect::<Result<_, _>>()?;
        let other = |number: usize| -> Result<_, stasis_bus::Error> {
            let topic = bus.topic(&format!("other/{number}"))?;
            let forward = topic.forward_to(&all)?;
            Ok((topic, forward))
        };
        let others = (0..others).map(other).collect::<Result<_, _>>()?;
        Ok(Self { bus, all, kind, _others: others, _listeners: listeners })
    }

    fn topic(&self) -> Topic {
        self.bus.topic("one more").expect("a good name")
    }

    /// A call's life.
    fn live(&self) {
        let topic = self.topic();
        let _up = topic.forward_to(&self.all).expect("of the same bus");
        (0..3).for_each(|number| _ = topic.publish(self.kind.message(number)));
    }

    /// Until its final message was handled.
    fn subscribe(&self) {
        let subscription = self.all.subscribe("one more", |_| {}).expect("a good name");
        subscription.unsubscribe_and_join().expect("it ends");
    }
}
