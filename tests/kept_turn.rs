//! A worker that spins keeps the turn of a mailbox that alone gets something. What has to be found meanwhile is found at once:
//! here a spin takes a second, and there are too many rounds for a test that waits for the end of each.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, MessageType, Subscription, SubscriptionState, Topic, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const ROUNDS: usize = 100;
/// So many messages, one at a time, and the turn is kept.
const FEW: u64 = 12;
const PATIENT: Duration = Duration::from_secs(30);

/// One worker, which spins for a second.
fn spinning() -> (Bus, MessageType<u64>) {
    let bus = Bus::builder().workers(1..=1).wait(Wait::SpinThenPark(Duration::from_secs(1))).build().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind)
}

/// Awake, as the other side is: giving the processor away costs a slice of each of its other users.
fn await_soon(is_so: impl Fn() -> bool) {
    loop {
        for _ in 0..500 {
            if is_so() {
                return;
            }
            std::hint::spin_loop();
        }
        thread::yield_now();
    }
}

/// A topic with one subscription, and how many messages that has handled.
struct Post {
    topic: Topic,
    subscription: Subscription,
    handled: Arc<AtomicU64>,
    sent: u64,
}

impl Post {
    fn new(bus: &Bus, kind: &MessageType<u64>, name: &str) -> Self {
        let topic = bus.topic(name).unwrap();
        let (handled, read) = (Arc::new(AtomicU64::new(0)), kind.clone());
        let noted = handled.clone();
        let subscription = topic.subscription(name).accept(kind).start(move |delivery| {
            noted.fetch_add(u64::from(delivery.read(&read).is_some()), Ordering::Release);
        });
        Self { topic, subscription: subscription.unwrap(), handled, sent: 0 }
    }

    /// One message, handled.
    fn exchange(&mut self, kind: &MessageType<u64>) {
        assert_eq!(self.topic.publish(kind.message(self.sent)).accepted, 1);
        self.sent += 1;
        await_soon(|| self.handled.load(Ordering::Acquire) >= self.sent);
    }

    fn get_kept(&mut self, kind: &MessageType<u64>) {
        (0..FEW).for_each(|_| self.exchange(kind));
    }
}

#[test]
fn g9_nobody_waits_for_a_turn_that_is_kept() {
    let _watched = watched();
    let (bus, kind) = spinning();
    let [mut kept, mut other] = ["kept", "other"].map(|name| Post::new(&bus, &kind, name));
    for _ in 0..ROUNDS {
        kept.get_kept(&kind);
        other.exchange(&kind);
    }
    end(&bus);
}

#[test]
fn g6_the_end_is_found_while_the_turn_is_kept() {
    let _watched = watched();
    let (bus, kind) = spinning();
    for _ in 0..ROUNDS {
        let mut post = Post::new(&bus, &kind, "kept");
        post.get_kept(&kind);
        post.subscription.unsubscribe_and_join().unwrap();
    }
    end(&bus);
}

#[test]
fn g11_a_shutdown_does_not_wait_for_the_end_of_a_spin() {
    let _watched = watched();
    for _ in 0..ROUNDS {
        let (bus, kind) = spinning();
        let mut post = Post::new(&bus, &kind, "kept");
        post.get_kept(&kind);
        let report = bus.shutdown(PATIENT).unwrap();
        assert!(report.is_clean() && report.ended == 1, "{report}");
    }
}

/// It is said to be idle, which it is, though its turn is with the worker.
#[test]
fn a_mailbox_whose_turn_is_kept_is_idle() {
    let _watched = watched();
    let (bus, kind) = spinning();
    let mut post = Post::new(&bus, &kind, "kept");
    for _ in 0..ROUNDS {
        post.get_kept(&kind);
        eventually(|| post.subscription.stats().state == SubscriptionState::Idle);
    }
    end(&bus);
}

/// Turns that are kept and given up all the time, by who gets messages and by who gets others', under publishers that pause
/// as long as it takes, and less.
#[test]
fn nothing_is_lost_where_turns_come_and_go() {
    const MESSAGES: u64 = 2_000;
    let _watched = watched();
    let (bus, kind) = spinning();
    let posts = ["a", "b"].map(|name| Post::new(&bus, &kind, name));
    thread::scope(|scope| {
        for (turn, post) in (1..).zip(&posts) {
            let kind = &kind;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    post.topic.publish(kind.message(number));
                    let is_awaited = number % (turn * 64) < turn * 24;
                    if is_awaited {
                        await_soon(|| post.handled.load(Ordering::Acquire) > number);
                    }
                }
            });
        }
    });
    for post in posts {
        post.subscription.unsubscribe_and_join().unwrap();
        assert_eq!(post.handled.load(Ordering::Acquire), MESSAGES);
    }
    end(&bus);
}
