//! G1: a publish reaches every subscription behind the topic exactly once, however many paths lead there.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use futures_lite::future::block_on;
use stasis_bus::{Bus, Dispatch, Filter, Forward, ForwardError, MessageType, Overflow, Subscription, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A bus on which nothing runs but inline handlers: what a publish did is known when it returns.
struct Graph {
    bus: Bus,
    kind: MessageType<u64>,
}

impl Graph {
    fn new() -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let kind = bus.message_type("number").unwrap();
        Self { bus, kind }
    }

    fn topic(&self, name: &str) -> Topic {
        self.bus.topic(name).unwrap()
    }

    fn topics<const N: usize>(&self, names: [&str; N]) -> [Topic; N] {
        names.map(|name| self.topic(name))
    }

    /// Counts what reaches `topic`.
    fn count(&self, topic: &Topic) -> (Subscription, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let counter = count.clone();
        let handler = move |_: &stasis_bus::Delivery<'_>| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        (topic.subscription("count").accept(&self.kind).inline(handler).unwrap(), count)
    }

    fn publish(&self, topic: &Topic) -> u32 {
        topic.publish(self.kind.message(1)).accepted
    }
}

fn forward(from: &Topic, to: &Topic) -> Forward {
    from.forward_to(to).unwrap()
}

#[test]
fn g1_every_mode_gets_each_message_once_here_and_behind_a_forward() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = forward(&here, &there);
    let mut listeners = Vec::new();
    for topic in [&here, &there] {
        for mode in EVERY_MODE {
            listeners.push(note_numbers(topic.subscription(mode.name()).accept(&kind), mode, &kind));
        }
    }
    for number in 0..500 {
        assert_eq!(here.publish(kind.message(number)).accepted, 10);
    }
    let expected: Vec<_> = (0..500).map(Some).chain([None]).collect();
    for (listener, log) in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(log.await_len(501), expected, "{}", listener.dispatch());
    }
    end(&bus);
}

#[test]
fn g1_diamond_delivers_once() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b, c, d] = graph.topics(["a", "b", "c", "d"]);
    let _edges = [forward(&a, &b), forward(&a, &c), forward(&b, &d), forward(&c, &d)];
    let (_sub, count) = graph.count(&d);
    assert_eq!(graph.publish(&a), 1);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn g1_diamond_delivers_once_to_every_mode() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| bus.topic(name).unwrap());
    let _edges = [forward(&a, &b), forward(&a, &c), forward(&b, &d), forward(&c, &d), forward(&a, &d)];
    let listeners = EVERY_MODE.map(|mode| note_numbers(d.subscription("d").accept(&kind), mode, &kind));
    for number in 0..100 {
        a.publish(kind.message(number));
    }
    for (listener, log) in &listeners {
        listener.unsubscribe();
        assert_eq!(log.await_len(101).len(), 101, "{}", listener.dispatch());
        assert_eq!(log.all(), (0..100).map(Some).chain([None]).collect::<Vec<_>>());
    }
    end(&bus);
}

#[test]
fn g1_doubled_forward_delivers_once_and_stands_until_its_last_handle_is_gone() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b] = graph.topics(["a", "b"]);
    let (_sub, count) = graph.count(&b);
    let (first, second) = (forward(&a, &b), forward(&a, &b));
    assert_eq!(graph.publish(&a), 1);
    first.cancel();
    assert_eq!(graph.publish(&a), 1, "one handle is left");
    drop(second);
    assert_eq!(graph.publish(&a), 0, "none is left");
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn g1_cycles_deliver_once_and_come_to_an_end() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b, c] = graph.topics(["a", "b", "c"]);
    let _edges = [forward(&a, &b), forward(&b, &c), forward(&c, &a), forward(&b, &a)];
    let counts = [&a, &b, &c].map(|topic| graph.count(topic));
    for from in [&a, &b, &c] {
        assert_eq!(graph.publish(from), 3, "from {}", from.name());
    }
    for (_, count) in &counts {
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }
}

#[test]
fn g1_self_forward_delivers_once() {
    let _watched = watched();
    let graph = Graph::new();
    let a = graph.topic("a");
    let _edges = [forward(&a, &a), forward(&a, &a)];
    let (_sub, count) = graph.count(&a);
    assert_eq!(graph.publish(&a), 1);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn g1_messages_do_not_flow_against_a_forward() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b] = graph.topics(["a", "b"]);
    let _edge = forward(&a, &b);
    let (_sub, count) = graph.count(&a);
    assert_eq!(graph.publish(&b), 0);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn g1_a_graph_of_many_topics_reaches_each_once() {
    let _watched = watched();
    let graph = Graph::new();
    let hub = graph.topic("hub");
    let rim: Vec<Topic> = (0..200).map(|n| graph.topic(&format!("rim:{n}"))).collect();
    let mut edges = Vec::new();
    for (n, topic) in rim.iter().enumerate() {
        edges.push(forward(&hub, topic));
        edges.push(forward(topic, &rim[(n + 1) % rim.len()]));
        edges.push(forward(topic, &rim[(n * 7) % rim.len()]));
        edges.push(forward(topic, &hub));
    }
    let counts: Vec<_> = rim.iter().chain([&hub]).map(|topic| graph.count(topic)).collect();
    for from in [&hub, &rim[17]] {
        assert_eq!(graph.publish(from), 201);
    }
    assert!(counts.iter().all(|(_, count)| count.load(Ordering::Relaxed) == 2));
}

#[test]
fn g1_a_chain_of_a_thousand_topics_reaches_its_end() {
    let _watched = watched();
    let graph = Graph::new();
    let chain: Vec<Topic> = (0..1000).map(|n| graph.topic(&format!("chain:{n}"))).collect();
    let _edges: Vec<_> = chain.windows(2).map(|pair| forward(&pair[0], &pair[1])).collect();
    let (_sub, count) = graph.count(&chain[999]);
    assert_eq!(graph.publish(&chain[0]), 1);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn g1_a_subscription_made_after_the_forward_is_reached() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b, c] = graph.topics(["a", "b", "c"]);
    let _edges = [forward(&a, &b), forward(&b, &c)];
    assert_eq!(graph.publish(&a), 0);
    let (sub, count) = graph.count(&c);
    assert_eq!(graph.publish(&a), 1);
    sub.unsubscribe();
    assert_eq!(graph.publish(&a), 0);
    assert_eq!(count.load(Ordering::Relaxed), 2, "one message, and the final one");
}

#[test]
fn g1_cancelling_stops_new_messages_and_keeps_queued_ones() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b] = graph.topics(["a", "b"]);
    let edge = forward(&a, &b);
    let mut stream = b.subscription("late reader").accept(&graph.kind).stream().unwrap();
    a.publish(graph.kind.message(1));
    edge.cancel();
    assert_eq!(graph.publish(&a), 0);
    assert_eq!(stream.try_recv().unwrap().read(&graph.kind), Some(&1));
    assert!(stream.try_recv().is_err());
}

#[test]
fn g1_a_detached_forward_stands() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b] = graph.topics(["a", "b"]);
    forward(&a, &b).detach();
    let (_sub, count) = graph.count(&b);
    assert_eq!(graph.publish(&a), 1);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

/// One edge stands all the time while other paths to the same place come and go under running publishers.
#[test]
fn g1_an_edge_that_stands_is_followed_while_others_change() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b, d] = graph.topics(["a", "b", "d"]);
    let _stands = forward(&a, &d);
    let (_sub, count) = graph.count(&d);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _doubled = forward(&a, &d);
                let (_in, _out) = (forward(&a, &b), forward(&b, &d));
                let _cycle = forward(&d, &a);
            }
        });
        let publishers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..20_000).for_each(|_| assert_eq!(graph.publish(&a), 1))))
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(count.load(Ordering::Relaxed), 40_000);
    assert_eq!(a.stats().forwards, 1);
}

/// Once `cancel` has returned, no publish that begins later uses the edge, whatever publishes are under way.
#[test]
fn g1_a_cancelled_edge_is_never_used_again() {
    let _watched = watched();
    let graph = Graph::new();
    let [a, b] = graph.topics(["a", "b"]);
    let (_sub, count) = graph.count(&b);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                graph.publish(&a);
            }
        });
        for _ in 0..2_000 {
            let edge = forward(&a, &b);
            assert_eq!(graph.publish(&a), 1);
            edge.cancel();
            assert_eq!(graph.publish(&a), 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(count.load(Ordering::Relaxed) >= 2_000);
}

#[test]
fn g1_topics_of_two_buses_cannot_be_joined() {
    let _watched = watched();
    let (one, other) = (Graph::new(), Graph::new());
    let error = one.topic("a").forward_to(&other.topic("a")).unwrap_err();
    assert_eq!(error, ForwardError::OtherBus);
}

/// What a brief listener heard before and behind a gap, if there was one, while one thread publishes by every way in turn.
fn gap_heard(brief: impl Fn(&Web, &Topic, Dispatch) -> Log<Option<u64>>) -> Option<(Dispatch, u64, u64)> {
    let web = Web::new();
    let stop = AtomicBool::new(false);
    let gap = thread::scope(|scope| {
        scope.spawn(|| publish_by_every_way(&web.here, &web.kind, &stop));
        let rounds = (0..50).flat_map(|_| EVERY_MODE.map(|mode| [(&web.here, mode), (&web.there, mode)]));
        let gap = rounds.flatten().find_map(|(topic, mode)| {
            let heard: Vec<_> = brief(&web, topic, mode).all().into_iter().flatten().collect();
            let pairs = heard.iter().zip(&heard[1..]);
            pairs.map(|(a, b)| (mode, *a, *b)).find(|(_, a, b)| *b != a + 1)
        });
        stop.store(true, Ordering::Relaxed);
        gap
    });
    end(&web.bus);
    gap
}

/// One topic that is published on, and one behind it.
struct Web {
    bus: Bus,
    kind: MessageType<u64>,
    here: Topic,
    there: Topic,
    _edge: Forward,
}

impl Web {
    fn new() -> Self {
        let (bus, kind) = numbers();
        let [here, there] = ["here", "there"].map(|name| bus.topic(name).unwrap());
        let _edge = forward(&here, &there);
        Self { bus, kind, here, there, _edge }
    }

    fn listen(&self, topic: &Topic, mode: Dispatch, filter: Filter) -> (Listener, Log<Option<u64>>) {
        let builder = topic.subscription("brief").filter(filter).capacity(16);
        note_numbers(builder.overflow(Overflow::block_forever()), mode, &self.kind)
    }

    fn numbers_only(&self) -> Filter {
        Filter::all().accept(&self.kind)
    }
}

fn await_some(log: &Log<Option<u64>>) {
    while log.len() < 20 {
        thread::yield_now();
    }
}

fn unsubscribe(listener: &Listener) {
    listener.unsubscribe();
    listener.join().unwrap();
}

/// A change has one moment for all ways to publish: in between, one thread's messages have no gap.
#[test]
fn g1_subscriptions_that_come_and_go_find_no_gap_by_whatever_way_one_publishes() {
    let _watched = watched();
    let gap = gap_heard(|web, topic, mode| {
        let (listener, log) = web.listen(topic, mode, web.numbers_only());
        await_some(&log);
        unsubscribe(&listener);
        log
    });
    assert_eq!(gap, None);
}

#[test]
fn g1_filters_that_change_leave_no_gap_by_whatever_way_one_publishes() {
    let _watched = watched();
    let gap = gap_heard(|web, topic, mode| {
        let other = Filter::all().accept(&web.bus.message_type::<u8>("other").unwrap());
        let (listener, log) = web.listen(topic, mode, other.clone());
        listener.set_filter(&web.numbers_only()).unwrap();
        await_some(&log);
        listener.set_filter(&other).unwrap();
        unsubscribe(&listener);
        log
    });
    assert_eq!(gap, None);
}

#[test]
fn g1_forwards_that_come_and_go_leave_no_gap_by_whatever_way_one_publishes() {
    let _watched = watched();
    let gap = gap_heard(|web, topic, mode| {
        let behind = web.bus.topic("behind").unwrap();
        let (listener, log) = web.listen(&behind, mode, web.numbers_only());
        let edge = forward(topic, &behind);
        await_some(&log);
        edge.cancel();
        unsubscribe(&listener);
        log
    });
    assert_eq!(gap, None);
}

fn publish_by_every_way(topic: &Topic, kind: &MessageType<u64>, stop: &AtomicBool) {
    let (mut publisher, mut number) = (topic.publisher(), 0);
    let mut next = || {
        number += 1;
        kind.message(number)
    };
    while !stop.load(Ordering::Relaxed) {
        topic.publish(next());
        publisher.publish(next());
        topic.publish_batch(vec![next(), next()]);
        publisher.republish(&next());
        block_on(topic.publish_async(next()));
        publisher.publish_batch(vec![next(), next()]);
        topic.republish(&next());
        publisher.publish(next());
    }
}
