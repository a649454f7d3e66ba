//! The bus called from wherever it calls out: handlers, keys, ids, aggregates, marks, hooks.

use crate::common::*;
use stasis_bus::{Bus, Cache, Dispatch, Message, MessageType, Overflow, Refusal, Topic};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Everything there is, once, from inside of something. Nested in itself it does nothing.
#[derive(Clone)]
struct Everything {
    topic: Topic,
    kind: MessageType<u64>,
    bus: stasis_bus::WeakBus,
    busy: Arc<AtomicBool>,
    runs: Arc<AtomicU64>,
}

impl Everything {
    fn new(bus: &Bus, kind: &MessageType<u64>) -> Self {
        let topic = bus.topic("t").unwrap();
        Self { topic, kind: kind.clone(), bus: bus.downgrade(), busy: Arc::default(), runs: Arc::default() }
    }

    fn run(&self) {
        if self.busy.swap(true, Ordering::SeqCst) {
            return;
        }
        let bus = self.bus.upgrade().expect("it stands");
        self.topic.publish(self.kind.message(1));
        self.topic.publish_batch(vec![self.kind.message(2), self.kind.message(3)]);
        self.topic.publisher().publish(self.kind.message(4));
        self.topic.publish_with(&self.kind, || 5);
        let other = bus.topic("other").unwrap();
        drop((self.topic.forward_to(&other).unwrap(), other.forward_to(&self.topic).unwrap()));
        for mode in HANDLER_MODES {
            drop(listen(other.subscription("brief"), mode, |_| {}));
        }
        drop(other.subscription("brief").stream().unwrap());
        drop(other.router("brief").route(&self.kind, |_, _| {}).start().unwrap());
        let cache = Cache::builder(&bus).id_of(&self.kind, |_| "id").build().unwrap();
        let caching = other.caching(&cache).unwrap();
        other.publish(self.kind.message(6));
        assert!(cache.get(&self.kind, "id").is_some());
        drop(caching.lease(&self.kind, "id").unwrap());
        let states = bus.state_manager("states").unwrap();
        states.publisher("id").unwrap().publish(self.kind.message(7));
        drop(bus.topic_pool("pool").unwrap().member("one").unwrap());
        let _ = (bus.stats().to_string(), bus.diagnose().to_string(), bus.topics().len());
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.busy.store(false, Ordering::SeqCst);
    }

    fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }
}

#[test]
fn handlers_of_every_mode_may_do_everything() {
    let _watched = watched();
    for mode in EVERY_MODE {
        let (bus, kind) = numbers();
        let everything = Everything::new(&bus, &kind);
        let topic = bus.topic("asks").unwrap();
        let inside = everything.clone();
        let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            if heard.end.is_none() {
                inside.run();
            }
        });
        (0..10).for_each(|number| _ = topic.publish(kind.message(number)));
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(everything.runs(), 10, "{mode}");
        drop((listener, everything));
        end(&bus);
    }
}

#[test]
fn final_calls_and_drops_of_handlers_may_do_everything() {
    let _watched = watched();
    for mode in HANDLER_MODES {
        let (bus, kind) = numbers();
        let everything = Everything::new(&bus, &kind);
        let (inside, at_drop) = (everything.clone(), everything.clone());
        let dropped = on_drop(move || at_drop.run());
        let topic = bus.topic("asks").unwrap();
        let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            let _dropped = &dropped;
            if heard.end.is_some() {
                inside.run();
            }
        });
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(everything.runs(), 2, "{mode}");
        drop((listener, everything));
        end(&bus);
    }
}

#[test]
fn key_functions_and_water_marks_may_do_everything() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let everything = Everything::new(&bus, &kind);
    let topic = bus.topic("asks").unwrap();
    let inside = everything.clone();
    let by = Overflow::conflate(move |_| {
        inside.run();
        Some(1_u64.into())
    });
    let inside = everything.clone();
    let builder = topic.subscription("s").accept(&kind).overflow(by).water_marks(1, 0);
    let mut stream = builder.on_water_mark(move |_| inside.run()).stream().unwrap();
    (0..5).for_each(|number| _ = topic.publish(kind.message(number)));
    assert!(stream.try_recv().is_ok());
    assert!(everything.runs() >= 6, "{}", everything.runs());
    drop((stream, everything));
    end(&bus);
}

#[test]
fn functions_of_caches_may_do_everything() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let everything = Everything::new(&bus, &kind);
    let [id, sum, tell] = [(); 3].map(|()| everything.clone());
    let made = kind.clone();
    let cache = Cache::builder(&bus)
        .id(move |_| {
            id.run();
            Some("one".into())
        })
        .aggregate(move |entry| -> Option<Message> {
            sum.run();
            entry.local().map(|_| made.build(0).aggregate().finish())
        })
        .announce(move |_, _| tell.run())
        .build()
        .unwrap();
    let topic = bus.topic("asks").unwrap();
    let caching = topic.caching(&cache).unwrap();
    for number in 0..5 {
        topic.publish(kind.message(number));
        assert_eq!(cache.get(&kind, "one").and_then(|last| kind.read(&last).copied()), Some(number));
    }
    assert!(everything.runs() >= 10, "{}", everything.runs());
    drop((caching, cache, everything));
    end(&bus);
}

#[test]
fn the_panic_hook_may_do_everything() {
    let _watched = watched();
    let within: Arc<OnceLock<Everything>> = Arc::default();
    let inside = within.clone();
    let bus = Bus::builder().on_panic(move |_| inside.get().expect("set").run()).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let everything = within.get_or_init(|| Everything::new(&bus, &kind)).clone();
    let topic = bus.topic("asks").unwrap();
    for mode in HANDLER_MODES {
        let listener = listen(topic.subscription("s").accept(&kind), mode, |heard| {
            assert!(heard.end.is_some(), "{ON_PURPOSE}");
        });
        topic.publish(kind.message(1));
        listener.unsubscribe();
        listener.join().unwrap();
    }
    assert_eq!(everything.runs(), 4);
    end(&bus);
}

/// A handler that publishes what it hears: nested calls end at a limit, with a report; queued ones never nest.
#[test]
fn endless_recursion_is_refused_at_a_limit_and_counted() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let refused = Log::new();
    let (topic2, kind2, noted) = (topic.clone(), kind.clone(), refused.clone());
    let listener = listen(topic.subscription("echo").accept(&kind), Dispatch::Inline, move |heard| {
        let Some(number) = heard.number(&kind2) else { return };
        noted.push(topic2.publish(kind2.message(number + 1)).refusal);
    });
    topic.publish(kind.message(0));
    let refusals = refused.all();
    assert_eq!(refusals.iter().flatten().collect::<Vec<_>>(), [&Refusal::NestedTooDeep], "{refusals:?}");
    assert_eq!((refusals.len(), bus.stats().nested_too_deep), (64, 1));
    drop(listener);
    end(&bus);
}
