//! `publish_batch`: as that many publishes, mailbox by mailbox.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::clone_on_copy)]

mod common;

use common::*;
use stasis_bus::{BatchReport, Bus, Dispatch, Grow, Message, MessageType, Overflow, Refusal};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

fn batch(kind: &MessageType<u64>, numbers: Range<u64>) -> Vec<Message> {
    numbers.map(|number| kind.message(number)).collect()
}

#[test]
fn g1_batch_reaches_every_mode_once_in_order_here_and_behind_forwards() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let [here, left, right, there] = ["here", "left", "right", "there"].map(|name| bus.topic(name).unwrap());
    let _diamond = [(&here, &left), (&here, &right), (&left, &there), (&right, &there), (&there, &here)]
        .map(|(from, to)| from.forward_to(to).unwrap());
    let mut listeners = Vec::new();
    for topic in [&here, &there] {
        for mode in EVERY_MODE {
            listeners.push(note_numbers(
                topic.subscription(mode.name()).accept(&kind).capacity(100),
                mode,
                &kind,
            ));
        }
    }
    let before = there.stats().arrived;
    let mut publisher = here.publisher();
    let mut next = 0;
    for length in [1, 2, 63, 64, 65, 128, 1, 500, 3] {
        let numbers = next..next + length;
        next = numbers.end;
        let report = match length % 2 {
            0 => here.publish_batch(batch(&kind, numbers)),
            _ => publisher.publish_batch(batch(&kind, numbers)),
        };
        assert_eq!((report.messages, report.accepted), (length, 10 * length));
        assert_eq!((report.unreached, report.filtered, report.refusal), (0, 0, None));
    }
    assert_eq!((here.stats().published, there.stats().arrived - before), (next, next));
    let expected: Vec<_> = (0..next).map(Some).chain([None]).collect();
    for (listener, log) in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(log.await_len(next as usize + 1), expected, "{}", listener.dispatch());
    }
    end(&bus);
}

#[test]
fn g1_batch_goes_where_filters_say() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let other = bus.message_type::<String>("other").unwrap();
    let topic = bus.topic("topic").unwrap();
    let (all, only) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let count = |count: &Arc<AtomicU64>| {
        let count = count.clone();
        move |heard: Heard| _ = count.fetch_add(u64::from(heard.end.is_none()), Ordering::Relaxed)
    };
    let listeners: Vec<_> = EVERY_MODE
        .into_iter()
        .flat_map(|mode| {
            let only_builder = topic.subscription("only").accept(&other);
            let all_builder = topic.subscription("all").accept(&kind).accept(&other);
            [listen(only_builder, mode, count(&only)), listen(all_builder, mode, count(&all))]
        })
        .collect();
    let mixed = (0..200).map(|number| match number % 4 {
        0 => other.message(number.to_string()),
        _ => kind.message(number),
    });
    let report = topic.publish_batch(mixed.collect());
    assert_eq!((report.messages, report.accepted, report.filtered), (200, 5 * 250, 5 * 150));
    for listener in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
    }
    eventually(|| all.load(Ordering::Relaxed) == 1_000 && only.load(Ordering::Relaxed) == 250);
    end(&bus);
}

/// Single publishes, batches and publishers of two threads: each thread's messages come in its order.
#[test]
fn g2_batches_and_single_publishes_keep_their_order() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, all) = (bus.topic("topic").unwrap(), bus.topic("all").unwrap());
    let _edge = topic.forward_to(&all).unwrap();
    let policies = [
        Overflow::default(),
        Overflow::Grow(Grow::unbounded()),
        Overflow::block_forever(),
        Overflow::DropOldest,
    ];
    let logs: Vec<_> = policies
        .into_iter()
        .flat_map(|overflow| QUEUED_MODES.map(|mode| (overflow.clone(), mode)))
        .map(|(overflow, mode)| {
            let lossless = overflow != Overflow::DropOldest;
            let builder = all.subscription(mode.name()).accept(&kind).capacity(16).overflow(overflow);
            (note_numbers(builder, mode, &kind), lossless)
        })
        .collect();
    const ROUNDS: u64 = 100;
    let publishers = [0, 1].map(|who: u64| {
        let (topic, kind) = (topic.clone(), kind.clone());
        thread::spawn(move || {
            let mut publisher = topic.publisher();
            let mut next = who << 32;
            for round in 0..ROUNDS {
                for step in 0..3 {
                    let length = if step == 0 { 1 } else { 1 + (round * 7 + step) % 90 };
                    let numbers = next..next + length;
                    next = numbers.end;
                    match step {
                        0 => _ = topic.publish(kind.message(numbers.start)),
                        1 => _ = topic.publish_batch(batch(&kind, numbers)),
                        _ => _ = publisher.publish_batch(batch(&kind, numbers)),
                    }
                }
            }
            next & u64::from(u32::MAX)
        })
    });
    let sent = publishers.map(|publisher| publisher.join().unwrap());
    for ((listener, log), lossless) in &logs {
        listener.unsubscribe();
        listener.join().unwrap();
        eventually(|| log.all().last() == Some(&None));
        let heard: Vec<u64> = log.all().into_iter().flatten().collect();
        for who in [0, 1] {
            let theirs: Vec<u64> = heard.iter().copied().filter(|number| number >> 32 == who).collect();
            assert!(theirs.is_sorted_by(|a, b| a < b), "{}", listener.dispatch());
            if *lossless {
                assert_eq!(theirs.len() as u64, sent[who as usize], "{}", listener.dispatch());
            }
        }
        assert_eq!(heard.len() as u64 + listener.stats().missed, sent[0] + sent[1]);
    }
    end(&bus);
}

/// What an inline handler publishes comes after the whole batch, for every mailbox, and after the message for it.
#[test]
fn g2_causes_of_a_batch_come_before_their_effects() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("topic").unwrap());
    let (answers, answering) = (kind.clone(), topic.clone());
    let calls = Log::new();
    let noted = calls.clone();
    let _inline = topic
        .subscription("inline")
        .accept(&kind)
        .inline(move |delivery| {
            let number = *delivery.read(&answers).unwrap_or(&0);
            if delivery.is_final() {
                return;
            }
            noted.push(number);
            if number < 100 {
                answering.publish(answers.message(number + 100));
            }
        })
        .unwrap();
    let logs = [Dispatch::Pool, Dispatch::Serial]
        .map(|mode| note_numbers(topic.subscription("s").accept(&kind), mode, &kind));
    topic.publish_batch(batch(&kind, 0..3));
    bus.run_until_idle();
    for (_, log) in &logs {
        assert_eq!(log.all(), [0, 1, 2, 100, 101, 102].map(Some));
    }
    assert_eq!(calls.all(), [0, 100, 1, 101, 2, 102], "nested, message by message");
}

#[test]
fn g7_batch_meets_every_policy_as_single_messages_do() {
    let _watched = watched();
    let policies =
        [Overflow::DropNewest, Overflow::DropOldest, Overflow::Grow(Grow::limit(5)), Overflow::block()];
    for overflow in policies {
        let run = |in_a_batch: bool| {
            let bus = Bus::builder().manual().build().unwrap();
            let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("topic").unwrap());
            let builder = topic.subscription("s").accept(&kind).capacity(10).overflow(overflow.clone());
            let (listener, log) = note_numbers(builder, Dispatch::Pool, &kind);
            let mut total = BatchReport::default();
            for numbers in [0..4, 4..7, 7..30, 30..31] {
                if in_a_batch {
                    let report = topic.publish_batch(batch(&kind, numbers));
                    total.accepted += report.accepted;
                    total.dropped += report.dropped;
                    total.over_capacity += report.over_capacity;
                } else {
                    for number in numbers {
                        let report = topic.publish(kind.message(number));
                        total.accepted += u64::from(report.accepted);
                        total.dropped += u64::from(report.dropped);
                        total.over_capacity += u64::from(report.over_capacity);
                    }
                }
            }
            bus.run_until_idle();
            (log.all(), listener.stats().missed, listener.stats().high_water, total)
        };
        assert_eq!(run(true), run(false), "{overflow:?}");
    }
}

/// Room comes again and again: no message is lost although the batch takes longer than the time one may wait.
#[test]
fn g7_batch_waits_for_room_message_by_message() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let builder = topic.subscription("s").accept(&kind).capacity(4);
    let listener = builder
        .overflow(Overflow::Block(Duration::from_secs(2)))
        .start(|_| thread::sleep(Duration::from_millis(12)))
        .unwrap();
    let report = topic.publish_batch(batch(&kind, 0..200));
    assert_eq!((report.accepted, report.dropped), (200, 0));
    assert_eq!(listener.stats().missed, 0);
    end(&bus);
}

/// A consumer that is stuck costs a batch one wait, not one for each message.
#[test]
fn g7_batch_waits_once_in_vain() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let gate = Gate::new();
    let stuck = gate.clone();
    let block = |name| {
        topic
            .subscription(name)
            .accept(&kind)
            .capacity(4)
            .overflow(Overflow::Block(Duration::from_millis(50)))
    };
    let _stuck = block("stuck").start(move |_| stuck.pass()).unwrap();
    let (other, log) = note_numbers(block("other").capacity(5_000), Dispatch::Pool, &kind);
    // In vain for every message, this would take minutes, and the watchdog would end it.
    let report = topic.publish_batch(batch(&kind, 0..2_000));
    assert_eq!(report.accepted + report.dropped, 4_000);
    assert!(report.dropped >= 1_990);
    gate.open();
    other.unsubscribe();
    other.join().unwrap();
    assert_eq!(log.len(), 2_001);
    end(&bus);
}

#[test]
fn g6_batch_against_an_ending_subscription() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    for round in 0..100 {
        let mode = EVERY_MODE[round % EVERY_MODE.len()];
        let (listener, log) = note_numbers(topic.subscription("s").accept(&kind).capacity(64), mode, &kind);
        let accepted = thread::scope(|scope| {
            let publisher = scope.spawn(|| topic.publish_batch(batch(&kind, 0..300)).accepted);
            thread::sleep(Duration::from_micros(round as u64));
            listener.unsubscribe();
            publisher.join().unwrap()
        });
        listener.join().unwrap();
        eventually(|| log.all().last() == Some(&None));
        let heard: Vec<u64> = log.all().into_iter().flatten().collect();
        assert_eq!(heard.len() as u64, accepted, "{mode}");
        assert_eq!(heard, (0..accepted).collect::<Vec<_>>(), "{mode}: the first ones, in order");
    }
    end(&bus);
}

#[test]
fn g11_batch_leaves_no_value_behind() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<Alive>("alive").unwrap();
    let topic = bus.topic("topic").unwrap();
    let census = Census::new();
    let born = |count: usize| (0..count).map(|_| kind.message(census.born())).collect::<Vec<_>>();
    assert_eq!(topic.publish_batch(born(100)).unreached, 100);
    assert_eq!(census.alive(), 0, "nobody took them");
    let listeners = EVERY_MODE.map(|mode| listen(topic.subscription("s").capacity(20), mode, |_| {}));
    let _full = topic
        .subscription("full")
        .capacity(3)
        .overflow(Overflow::DropNewest)
        .dispatch(Dispatch::Stream)
        .stream()
        .unwrap();
    let kept = born(100);
    topic.publish_batch(kept.to_vec());
    listeners.iter().for_each(|listener| assert!(listener.unsubscribe()));
    // Nobody reads the stream.
    bus.shutdown(Duration::from_millis(300)).unwrap();
    drop((kept, listeners, _full));
    eventually(|| census.alive() == 0);
}

#[test]
fn batch_reports_what_was_left_out() {
    let _watched = watched();
    let bus = Bus::builder().decline("declined").build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("topic").unwrap());
    let declined = bus.message_type::<u64>("declined").unwrap();
    let (_other, foreign) = numbers();
    let _s = topic.subscription("s").accept(&kind).inline(|_| {}).unwrap();
    let mixed = || {
        vec![kind.message(1), declined.message(2), foreign.message(3), foreign.message(4), kind.message(5)]
    };
    let report = topic.publish_batch(mixed());
    assert_eq!((report.messages, report.accepted, report.declined, report.foreign), (2, 2, 1, 2));
    assert_eq!(topic.stats().published, 2);
    assert_eq!(topic.publish_batch(Vec::new()), BatchReport::default());
    end(&bus);
    for report in [topic.publish_batch(mixed()), topic.publisher().publish_batch(mixed())] {
        assert_eq!((report.messages, report.refusal), (0, Some(Refusal::Closed)));
        assert!(report.is_closed() && !report.reached());
    }
}

/// A batch of one takes the way of a publish, and tells the same of it as one of several would.
#[test]
fn a_batch_of_one_counts_as_part_of_a_longer_one() {
    let _watched = watched();
    let bus = Bus::builder().manual().decline("declined").build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("t").unwrap());
    let declined = bus.message_type::<u64>("declined").unwrap();
    let (other, foreign) = numbers();
    let mut publisher = topic.publisher();
    let mut sums = |make: &dyn Fn() -> Message| {
        let several = topic.publish_batch(vec![make(), make()]);
        for one in [topic.publish_batch(vec![make()]), publisher.publish_batch(vec![make()])] {
            let BatchReport { messages, unreached, accepted, filtered, declined, foreign, refusal, .. } = one;
            let twice = [messages, unreached, accepted, filtered, declined, foreign].map(|count| 2 * count);
            let BatchReport { messages, unreached, accepted, filtered, declined, foreign, .. } = several;
            assert_eq!(
                (twice, refusal),
                ([messages, unreached, accepted, filtered, declined, foreign], several.refusal)
            );
        }
        several
    };
    assert_eq!(sums(&|| kind.message(1)).unreached, 2);
    let _handlers =
        [topic.subscription("a").inline(|_| {}).unwrap(), topic.subscription("b").start(|_| {}).unwrap()];
    let _filtered = topic.subscription("c").accept(&declined).start(|_| {}).unwrap();
    assert_eq!((sums(&|| kind.message(1)).accepted, sums(&|| kind.message(1)).filtered), (4, 2));
    assert_eq!((sums(&|| declined.message(1)).declined, sums(&|| foreign.message(1)).foreign), (2, 2));
    assert_eq!(topic.stats().published, 4 + 2 * 4);
    end(&bus);
    assert_eq!(sums(&|| kind.message(1)).refusal, Some(Refusal::Closed));
    end(&other);
}
