//! What a case speaks of, and its cache with the functions that it is given.

use super::cached::{TTL, aggregate_of, are_equal};
use super::reality::object_name;
use super::script::CacheSpec;
use stasis_bus::{Bus, Cache, CacheBuilder, MessageType};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was announced: topic and value.
pub(crate) type Announced = Arc<Mutex<Vec<(u8, u64)>>>;

/// A value that is missed when it leaks.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) id: u64,
    pub(crate) object: u8,
    name: String,
    live: Arc<AtomicUsize>,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        are_equal(self.id, other.id)
    }
}

impl Value {
    pub(crate) fn new(id: u64, object: u8, live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self { id, object, name: object_name(object), live: live.clone() }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A cache of both types: with aggregates, or with a limit.
pub(crate) fn cache(
    bus: &Bus,
    kinds: [&MessageType<Value>; 2],
    spec: CacheSpec,
    live: &Arc<AtomicUsize>,
    announced: &Announced,
) -> Cache {
    let name = |builder: CacheBuilder, kind| builder.id_of(kind, |value: &Value| &value.name);
    let mut builder = kinds.into_iter().fold(Cache::builder(bus), name);
    if let Some(limit) = spec.limit {
        builder = builder.max_entries(usize::from(limit) + 1);
    } else {
        builder = with_aggregates(builder, kinds, live);
    }
    if spec.ttl {
        builder = builder.ttl(Duration::from_nanos(TTL));
    }
    if spec.suppresses {
        builder = builder.suppress_equal(kinds[0]).suppress_equal_aggregates(kinds[0]);
    }
    if spec.announces {
        let (kinds, announced) = (kinds.map(Clone::clone), announced.clone());
        builder = builder.announce(move |topic, aggregate| {
            let value = kinds.iter().find_map(|kind| kind.read(aggregate)).expect("it was made of one");
            let topic = topic.name().trim_start_matches('t').parse().expect("a topic that is kept");
            announced.lock().expect("nobody panics with it").push((topic, value.id));
        });
    }
    builder.build().expect("the options are valid")
}

fn with_aggregates(
    builder: CacheBuilder,
    kinds: [&MessageType<Value>; 2],
    live: &Arc<AtomicUsize>,
) -> CacheBuilder {
    let (kinds, live) = (kinds.map(Clone::clone), live.clone());
    builder.aggregate(move |entry| {
        let states: Vec<_> = entry.local().into_iter().chain(entry.remotes()).collect();
        let kind =
            kinds.iter().find(|kind| states.first().is_some_and(|first| kind.read(first).is_some()))?;
        let values = || states.iter().filter_map(|state| kind.read(state));
        let object = values().next()?.object;
        let sum = Value::new(aggregate_of(values().map(|value| value.id))?, object, &live);
        Some(kind.build(sum).aggregate().finish())
    })
}
