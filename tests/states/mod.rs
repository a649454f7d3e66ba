//! What the tests of caches share: states with numbers, a cache of them, and chains of updates.

#![allow(dead_code)]

use stasis_bus::{Bus, Cache, CacheBuilder, CacheUpdate, Message, MessageType, Origin};
use std::collections::BTreeMap;

/// The state of one object. Numbers are unique, so that they stand for the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) id: String,
    pub(crate) number: u64,
    /// Of an aggregate: the numbers it was computed from.
    pub(crate) parts: Vec<u64>,
}

pub(crate) fn state(id: &str, number: u64) -> State {
    State { id: id.to_owned(), number, parts: Vec::new() }
}

/// A bus and a type of states.
pub(crate) fn states() -> (Bus, MessageType<State>) {
    of(Bus::new().unwrap())
}

/// The same in manual mode.
pub(crate) fn manual_states() -> (Bus, MessageType<State>) {
    of(Bus::builder().manual().build().unwrap())
}

fn of(bus: Bus) -> (Bus, MessageType<State>) {
    let kind = bus.message_type("state").unwrap();
    (bus, kind)
}

pub(crate) fn builder(bus: &Bus, kind: &MessageType<State>) -> CacheBuilder {
    Cache::builder(bus).id_of(kind, |state: &State| &state.id)
}

pub(crate) fn cache(bus: &Bus, kind: &MessageType<State>) -> Cache {
    builder(bus, kind).build().unwrap()
}

/// A cache whose aggregates list the numbers of the states they come from, and have the sum as their own.
pub(crate) fn summing(bus: &Bus, kind: &MessageType<State>) -> CacheBuilder {
    let kind = kind.clone();
    builder(bus, &kind.clone()).aggregate(move |entry| {
        let all = entry.local().into_iter().chain(entry.remotes());
        let parts: Vec<u64> =
            all.filter_map(|message| kind.read(message)).map(|state| state.number).collect();
        if parts.is_empty() {
            return None;
        }
        let sum = State { id: entry.id().to_owned(), number: parts.iter().sum(), parts };
        Some(kind.build(sum).aggregate().finish())
    })
}

pub(crate) fn number(kind: &MessageType<State>, message: &Message) -> u64 {
    kind.read(message).expect("a state").number
}

pub(crate) fn number_of(kind: &MessageType<State>, message: Option<Message>) -> Option<u64> {
    message.map(|message| number(kind, &message))
}

pub(crate) fn sorted(kind: &MessageType<State>, messages: Vec<Message>) -> Vec<u64> {
    let mut numbers: Vec<u64> = messages.iter().map(|message| number(kind, message)).collect();
    numbers.sort_unstable();
    numbers
}

/// One update, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) old: Option<u64>,
    pub(crate) new: Option<u64>,
}

pub(crate) fn step(kind: &MessageType<State>, update: &CacheUpdate) -> Step {
    let read = |message: &Option<Message>| message.as_ref().map(|message| number(kind, message));
    Step { old: read(&update.old), new: read(&update.new) }
}

/// The updates of one slot, by the message itself.
pub(crate) type Chain = Vec<(Option<Message>, Option<Message>)>;

/// The updates among `messages`, slot by slot.
pub(crate) fn chains(
    updates: &MessageType<CacheUpdate>,
    messages: &[Message],
) -> BTreeMap<(String, Option<Origin>), Chain> {
    let mut chains: BTreeMap<_, Chain> = BTreeMap::new();
    for update in messages.iter().filter_map(|message| updates.read(message)) {
        let slot = (update.id().to_owned(), update.origin());
        chains.entry(slot).or_default().push((update.old.clone(), update.new.clone()));
    }
    chains
}

fn same(a: &Option<Message>, b: &Option<Message>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.is_same(b),
        (None, None) => true,
        _ => false,
    }
}

/// Each `old` is the `new` before it, from nothing on. Returns the numbers in their order; `None`: cleared.
#[track_caller]
pub(crate) fn assert_chain(kind: &MessageType<State>, chain: &Chain) -> Vec<Option<u64>> {
    let mut stands = None;
    let mut numbers = Vec::new();
    for (at, (old, new)) in chain.iter().enumerate() {
        assert!(same(old, &stands), "update {at}: {old:?} follows {stands:?}");
        assert!(!same(old, new), "update {at} changes nothing");
        stands.clone_from(new);
        numbers.push(new.as_ref().map(|message| number(kind, message)));
    }
    numbers
}

/// The updates make one chain in some order: for listeners that are called for several publishes at a time.
#[track_caller]
pub(crate) fn assert_chain_in_some_order(kind: &MessageType<State>, chain: &Chain) -> Vec<Option<u64>> {
    // By the message itself: two aggregates may have the same number.
    let (mut left, mut ordered, mut stands) = (chain.clone(), Chain::new(), None);
    while let Some(at) = left.iter().position(|(old, _)| same(old, &stands)) {
        let update = left.swap_remove(at);
        stands.clone_from(&update.1);
        ordered.push(update);
    }
    assert!(left.is_empty(), "the chain is broken after {stands:?}: {left:?}");
    assert_chain(kind, &ordered)
}
