//! Full mailboxes under several publishers: what was not delivered is counted and told, whatever the policy.

use super::seen::{Publisher, Seen, Stage, Told, block_on, spawn};
use super::{Witness, explore};
use crate::sync::shuttle::world;
use crate::sync::thread;
use crate::{Crossing, Dispatch, EndReason, Filter, Grow, Key, Overflow, Topic};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PUBLISHERS: usize = 3;
const EACH: usize = 4;
const ALL: u64 = (PUBLISHERS * EACH) as u64;

/// Three publish to mailboxes for two, one for each way of running it. In half of the schedules the three mailboxes are on one
/// topic, with filters that look at more than the type; in the others each is alone on its own, where it takes everything:
/// handed out straight, as long as there is room. Returns what the publishers were told, and what each subscription has seen:
/// every message was delivered to each, or told as missed, unless it ended. The marks are passed in turns.
fn overload(overflow: impl Fn(&Stage) -> Overflow) -> (Told, Vec<Seen>) {
    let stage = Stage::new(1, 2);
    let straight = world::coin();
    let crossings: Arc<Mutex<Vec<_>>> = Arc::default();
    let modes = [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];
    let topics = modes.map(|mode| stage.topic(if straight { mode.name() } else { "topic" }));
    let mut at = topics.iter();
    let listeners = modes.map(|mode| {
        let builder = at.next().expect("one for each").subscription(mode.name()).capacity(2);
        let asked = Filter::all().accept(&stage.kind).id_prefix("");
        let builder = if straight { builder } else { builder.filter(asked) };
        let builder = builder.overflow(overflow(&stage));
        let noted = crossings.clone();
        let builder = builder.water_marks(2, 1);
        let builder = builder
            .on_water_mark(move |mark| noted.lock().unwrap().push((mark.id, mark.crossing, mark.number)));
        stage.listen_as(builder, mode, |_| {})
    });
    let ids = listeners.each_ref().map(|listener| listener.subscription.id());
    let each = if straight { &topics[..] } else { &topics[..1] };
    let told = Told::of_all((0..PUBLISHERS).map(|by| publisher(&stage, by, each)).collect::<Vec<_>>());
    let seen = stage.finish(listeners.into());
    for id in ids {
        let crossings = crossings.lock().unwrap();
        let own: Vec<_> = crossings.iter().filter(|crossing| crossing.0 == id).collect();
        for (at, (_, crossing, number)) in own.iter().enumerate() {
            let expected = if at % 2 == 0 { Crossing::High } else { Crossing::Low };
            assert_eq!((*crossing, *number), (expected, at as u64 + 1));
        }
    }
    for seen in &seen {
        seen.check_order(PUBLISHERS);
        // Without a filter one hears of one's own beginning, too.
        let all = ALL + u64::from(straight);
        assert!(seen.offered() == all || seen.end_reason() == Some(EndReason::Disconnected));
    }
    (told, seen)
}

/// Publishes each message on all these topics.
fn publisher(stage: &Stage, by: usize, topics: &[Topic]) -> Publisher {
    let (maker, topics) = (stage.maker(), topics.to_vec());
    Publisher::new(move |told| {
        for number in 0..EACH {
            let message = maker.item(by, number);
            let reports = topics.iter().map(|topic| Told::by(&topic.publish(message.clone())));
            let sum = Told::sum(reports);
            told.lock().unwrap().push(sum);
        }
    })
}

fn lost(seen: &[Seen]) -> u64 {
    seen.iter().map(Seen::missed).sum()
}

#[test]
fn newest_is_refused() {
    static LOST: Witness = Witness::new();
    explore(|| {
        let (told, seen) = overload(|_| Overflow::DropNewest);
        assert_eq!((u64::from(told.dropped), told.closed), (lost(&seen), 0));
        if told.dropped > 0 {
            LOST.see();
        }
    });
    assert!(LOST.was_seen());
}

#[test]
fn oldest_goes() {
    static LOST: Witness = Witness::new();
    explore(|| {
        let (told, seen) = overload(|_| Overflow::DropOldest);
        // A publisher that finds no victim in time may refuse its own.
        assert_eq!(u64::from(told.accepted + told.dropped), 3 * ALL);
        if lost(&seen) > 0 {
            LOST.see();
        }
    });
    assert!(LOST.was_seen());
}

#[test]
fn mailbox_grows_and_goes_back() {
    explore(|| {
        let (told, seen) = overload(|_| Overflow::Grow(Grow::unbounded()));
        assert_eq!(u64::from(told.accepted), 3 * ALL);
        seen.iter().for_each(|seen| seen.check_all(PUBLISHERS, EACH));
    });
}

#[test]
fn mailbox_grows_to_its_limit() {
    static LOST: Witness = Witness::new();
    explore(|| {
        let (told, seen) = overload(|_| Overflow::Grow(Grow::limit(1)));
        assert_eq!(u64::from(told.dropped), lost(&seen));
        if told.dropped > 0 {
            LOST.see();
        }
    });
    assert!(LOST.was_seen());
}

#[test]
fn publishers_wait_for_room() {
    explore(|| {
        let (told, seen) = overload(|_| Overflow::block_forever());
        assert_eq!(u64::from(told.accepted), 3 * ALL);
        seen.iter().for_each(|seen| seen.check_all(PUBLISHERS, EACH));
    });
}

/// Short patience: some give up, and their messages are told as missed.
#[test]
fn publishers_wait_a_while() {
    static GAVE_UP: Witness = Witness::new();
    explore(|| {
        let (told, seen) = overload(|_| Overflow::Block(Duration::from_micros(5)));
        assert_eq!(u64::from(told.dropped), lost(&seen));
        if told.dropped > 0 {
            GAVE_UP.see();
        }
    });
    assert!(GAVE_UP.was_seen());
}

/// Ends by the first refusal: what it has is the beginning, and it is told of one.
#[test]
fn overflow_ends_the_subscription() {
    static ENDED: Witness = Witness::new();
    explore(|| {
        let (told, seen) = overload(|_| Overflow::Disconnect);
        for seen in &seen {
            seen.check_no_gaps(PUBLISHERS);
            match seen.end_reason() {
                Some(EndReason::Disconnected) => {
                    ENDED.see();
                    assert_eq!(seen.missed(), 1);
                }
                _ => seen.check_all(PUBLISHERS, EACH),
            }
        }
        assert_eq!(u64::from(told.dropped), lost(&seen));
    });
    assert!(ENDED.was_seen());
}

/// The last of each publisher comes, and it is told of what its message stands for.
#[test]
fn latest_of_each_key_comes() {
    static CONFLATED: Witness = Witness::new();
    explore(|| {
        let (_, seen) = overload(|stage| {
            let kind = stage.kind.clone();
            Overflow::conflate(move |message| kind.read(message).map(|item| Key::from(item.name.0 as u64)))
        });
        for seen in &seen {
            if seen.missed() > 0 {
                CONFLATED.see();
            }
        }
    });
    assert!(CONFLATED.was_seen());
}

/// Threads and tasks wait for room beside each other; one task gives up.
#[test]
fn tasks_wait_for_room_beside_threads() {
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let builder = topic.subscription("slow").accept(&stage.kind).capacity(1);
        let slow = stage.listen_as(builder.overflow(Overflow::block_forever()), Dispatch::Pool, |_| {});
        let tasks = [0, 1].map(|by| {
            let (maker, topic) = (stage.maker(), topic.clone());
            spawn(move || {
                for number in 0..3 {
                    assert_eq!(block_on(topic.publish_async(maker.item(by, number))).accepted, 1);
                }
            })
        });
        let (maker, other) = (stage.maker(), topic.clone());
        // Polled once at most, and dropped.
        let gives_up = spawn(move || drop(other.publish_async(maker.item(3, 0))));
        let threads = stage.publisher(2, 3, &topic);
        tasks.into_iter().for_each(|task| task.join());
        gives_up.join();
        assert_eq!(threads.join().accepted, 3);
        let seen = stage.finish(vec![slow]);
        (0..3).for_each(|by| assert_eq!(seen[0].numbers_of(by), [0, 1, 2]));
    });
}

/// Whoever passes a mark while another one is telling of an earlier one: both are told. Nobody else comes by afterwards.
#[test]
fn each_mark_passed_is_told() {
    explore(|| {
        let stage = Stage::new(1, 1);
        let topic = stage.topic("topic");
        let told: Arc<[AtomicU64; 2]> = Arc::default();
        let counted = told.clone();
        let builder = topic.subscription("marked").accept(&stage.kind).capacity(2).water_marks(2, 1);
        let builder = builder.on_water_mark(move |mark| {
            world::step();
            counted[usize::from(mark.crossing == Crossing::Low)].fetch_add(1, SeqCst);
        });
        let marked = stage.listen_as(builder, Dispatch::Pool, |_| {});
        Told::of_all([0, 1].map(|by| stage.publisher(by, 4, &topic)));
        // The last one is told by whoever handles the last message.
        let is_quiet = || {
            let (stats, high) = (marked.subscription.stats(), told[0].load(SeqCst));
            marked.seen.names().len() == 8
                && (high, told[1].load(SeqCst)) == (stats.high_crossings, stats.high_crossings)
        };
        while !is_quiet() {
            thread::sleep(Duration::from_millis(1));
        }
        stage.finish(vec![marked])[0].check_all(2, 4);
    });
}
