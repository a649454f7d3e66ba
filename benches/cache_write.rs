//! What does a publish cost that a cache keeps, by who listens to the cache?

mod common;

use common::Bench;
use stasis_bus::{Bus, Cache, CacheBuilder, CachingTopic, MessageType, Topic};

const ENTRIES: usize = 10_000;
const LISTENERS: [usize; 3] = [0, 1, 16];

struct State {
    number: u64,
    name: String,
}

struct Cached {
    kind: MessageType<State>,
    topic: Topic,
    cached: CachingTopic,
    names: Vec<String>,
    place: usize,
    bus: Bus,
}

fn main() -> Result<(), stasis_bus::Error> {
    common::run("cache_write", |bench| {
        for listeners in LISTENERS {
            let cached = Cached::new(|builder, _| builder).expect("names are good");
            time_replacing(bench, cached, listeners, "");
        }
        let aggregated =
            Cached::new(|builder, _| builder.aggregate(|entry| entry.local().cloned().filter(|_| false)));
        time_replacing(bench, aggregated.expect("names are good"), 0, ", aggregate computed");
        let suppressing = Cached::new(|builder, kind| builder.suppress_equal(kind)).expect("names are good");
        time_replacing(bench, suppressing, 0, ", states compared");
        time_coming_and_going(bench, Cached::new(|builder, _| builder).expect("names are good"));
    });
    Ok(())
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && self.name == other.name
    }
}

impl Cached {
    fn new(
        option: impl FnOnce(CacheBuilder, &MessageType<State>) -> CacheBuilder,
    ) -> Result<Self, stasis_bus::Error> {
        let bus = Bus::builder().workers(1..=1).build()?;
        let kind = bus.message_type::<State>("state")?;
        let builder = Cache::builder(&bus).id_of(&kind, |state: &State| &state.name);
        let cache = option(builder, &kind).build()?;
        let topic = bus.topic("states")?;
        let cached = topic.caching(&cache)?;
        let names = (0..ENTRIES).map(|number| format!("PJSIP/phone-{number:08}")).collect();
        let mut all = Self { kind, topic, cached, names, place: 0, bus };
        (0..ENTRIES).for_each(|_| all.put());
        Ok(all)
    }

    /// Another state of another object.
    fn put(&mut self) {
        self.place += 7_919;
        let name = self.names[self.place % ENTRIES].clone();
        self.topic.publish(self.kind.message(State { number: self.place as u64, name }));
    }
}

/// The publisher's side: what listeners do meanwhile is theirs.
fn time_replacing(bench: &mut Bench, mut cached: Cached, listeners: usize, option: &str) {
    let subscribe = |number: usize| {
        let name = format!("listener {number}");
        let full = stasis_bus::Overflow::DropNewest;
        cached.cached.subscription(&name).overflow(full).start(|_| {}).expect("a good name")
    };
    let subscriptions: Vec<_> = (0..listeners).map(subscribe).collect();
    bench.time(&format!("replace, {listeners} listeners{option}"), || cached.put());
    drop(subscriptions);
}

fn time_coming_and_going(bench: &mut Bench, cached: Cached) {
    let state = || cached.kind.message(State { number: 1, name: "somebody new".to_owned() });
    bench.time("a new entry, and its clearing", || {
        let state = state();
        cached.topic.publish(state.clone());
        cached.topic.publish(cached.bus.clear(&state))
    });
}
