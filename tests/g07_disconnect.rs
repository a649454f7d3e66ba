//! G7: a full mailbox that ends its subscription, and what was lost by reason.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Change, Dispatch, EndReason, Grow, Handled, Lost, MessageType, Overflow, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What a listener noted: number (none: its final message), missed before it, and the reason of the end.
type Note = (Option<u64>, u64, Option<EndReason>);

/// A subscription that ends when it is full, stuck in message 0.
struct Stuck {
    bus: Bus,
    kind: MessageType<u64>,
    topic: Topic,
    gate: Gate,
    log: Log<Note>,
    listener: Listener,
}

impl Stuck {
    fn new(mode: Dispatch, capacity: usize) -> Self {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let (gate, log, entered) = (Gate::new(), Log::new(), Gate::new());
        let (gate2, noted, kind2, entered2) = (gate.clone(), log.clone(), kind.clone(), entered.clone());
        let builder = topic.subscription("stuck").accept(&kind).capacity(capacity);
        let listener = listen(builder.overflow(Overflow::Disconnect), mode, move |heard| {
            entered2.open();
            noted.push((heard.number(&kind2), heard.missed, heard.end));
            gate2.pass();
        });
        topic.publish(kind.message(0));
        entered.pass();
        Self { bus, kind, topic, gate, log, listener }
    }

    /// Of messages 1 to `last`: accepted, dropped, closed.
    fn publish(&self, last: u64) -> [u32; 3] {
        let reports = (1..=last).map(|number| self.topic.publish(self.kind.message(number)));
        reports.fold([0; 3], |[accepted, dropped, closed], report| {
            [accepted + report.accepted, dropped + report.dropped, closed + report.closed]
        })
    }
}

const THREADED: [Dispatch; 3] = [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];

/// Every end of another subscription that was told on the topic.
fn ends_told(bus: &Bus, topic: &Topic) -> (Listener, Log<(String, EndReason)>) {
    let (log, changes) = (Log::new(), bus.subscription_changes().clone());
    let noted = log.clone();
    let builder = topic.subscription("witness").accept(&changes);
    let listener = listen(builder, Dispatch::Inline, move |heard| {
        let Some(change) = changes.read(&heard.message) else { return };
        if let Change::Unsubscribe(reason) = change.change
            && heard.end.is_none()
        {
            noted.push((change.subscription.clone(), reason));
        }
    });
    (listener, log)
}

#[test]
fn g7_disconnect_delivers_what_waits_then_the_final_message() {
    let _watched = watched();
    for mode in THREADED {
        for capacity in [1, 5, 200] {
            let stuck = Stuck::new(mode, capacity);
            let (_witness, told) = ends_told(&stuck.bus, &stuck.topic);
            let capacity = capacity as u64;
            assert!(stuck.listener.is_subscribed());
            assert_eq!(stuck.publish(capacity + 4), [capacity as u32, 1, 3], "{mode}");
            assert!(!stuck.listener.is_subscribed(), "it is ending, whatever its consumer does");
            assert_eq!(told.len(), 0, "its consumer tells, and is stuck");
            let stats = stuck.listener.stats();
            assert_eq!((stats.missed, stats.lost.disconnected), (1, 1));
            stuck.gate.open();
            stuck.listener.join().unwrap();
            let mut expected: Vec<Note> = (0..=capacity).map(|number| (Some(number), 0, None)).collect();
            expected.push((None, 1, Some(EndReason::Disconnected)));
            assert_eq!(stuck.log.await_len(expected.len()), expected, "{mode}");
            assert_eq!(told.await_len(1), [("stuck".to_owned(), EndReason::Disconnected)]);
            assert!(!stuck.listener.unsubscribe(), "it has ended");
            assert_eq!(stuck.topic.stats().subscriptions, 1, "it is off the list; the witness is left");
            assert!(stuck.bus.stats().subscriptions.iter().all(|row| row.name != "stuck"));
            end(&stuck.bus);
        }
    }
}

/// Whoever ends it while its consumer is stuck: the reason stands, the others are told it, and told once.
#[test]
fn g7_the_first_reason_of_an_end_stands() {
    let _watched = watched();
    for mode in THREADED {
        let stuck = Stuck::new(mode, 1);
        let (_witness, told) = ends_told(&stuck.bus, &stuck.topic);
        assert_eq!(stuck.publish(2), [1, 1, 0]);
        assert!(!stuck.listener.unsubscribe(), "it was ended before");
        assert_eq!(told.all(), [("stuck".to_owned(), EndReason::Disconnected)]);
        assert_eq!(stuck.publish(1), [0, 0, 0], "it is off the list");
        stuck.gate.open();
        stuck.listener.join().unwrap();
        assert_eq!(stuck.log.await_len(3)[2], (None, 1, Some(EndReason::Disconnected)), "{mode}");
        assert_eq!(told.len(), 1);

        let stuck = Stuck::new(mode, 1);
        assert_eq!(stuck.publish(1), [1, 0, 0]);
        assert!(stuck.listener.unsubscribe());
        assert_eq!(stuck.publish(1), [0, 0, 0]);
        stuck.gate.open();
        stuck.listener.join().unwrap();
        assert_eq!(stuck.log.await_len(3)[2], (None, 0, Some(EndReason::Unsubscribed)), "{mode}");
    }
}

/// A Serial handler that overfills its own mailbox ends itself, on its own thread.
#[test]
fn g7_a_handler_can_disconnect_itself() {
    let _watched = watched();
    for mode in [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let (_witness, told) = ends_told(&bus, &topic);
        let (log, again, own) = (Log::new(), topic.clone(), kind.clone());
        let noted = log.clone();
        let builder = topic.subscription("self").accept(&kind).capacity(2).overflow(Overflow::Disconnect);
        let listener = listen(builder, mode, move |heard| {
            noted.push((heard.number(&own), heard.missed));
            if heard.number(&own) == Some(0) {
                (1..=4).for_each(|number| {
                    again.publish(own.message(number));
                });
            }
        });
        topic.publish(kind.message(0));
        listener.join().unwrap();
        assert_eq!(log.all(), [(Some(0), 0), (Some(1), 0), (Some(2), 0), (None, 1)], "{mode}");
        assert_eq!(told.all(), [("self".to_owned(), EndReason::Disconnected)]);
        end(&bus);
    }
}

/// Publishers that run all the time, one of whom overfills it, against a handle that ends it.
#[test]
fn g7_disconnect_under_load_adds_up() {
    let _watched = watched();
    for mode in QUEUED_MODES {
        for round in 0..20 {
            let (bus, kind) = numbers();
            let topic = bus.topic("t").unwrap();
            let (_witness, told) = ends_told(&bus, &topic);
            let (delivered, missed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let (delivered2, missed2, reason) = (delivered.clone(), missed.clone(), Log::new());
            let reason2 = reason.clone();
            let builder = topic.subscription("load").accept(&kind).capacity(4).overflow(Overflow::Disconnect);
            let listener = listen(builder, mode, move |heard| {
                missed2.fetch_add(heard.missed, Ordering::SeqCst);
                match heard.end {
                    None => drop(delivered2.fetch_add(1, Ordering::SeqCst)),
                    Some(end) => reason2.push(end),
                }
            });
            let publish = || {
                (0..200).fold((0, 0), |(accepted, dropped), number| {
                    let report = topic.publish(kind.message(number));
                    (accepted + u64::from(report.accepted), dropped + u64::from(report.dropped))
                })
            };
            let (accepted, dropped) = thread::scope(|scope| {
                let publishers: [_; 3] = std::array::from_fn(|_| scope.spawn(publish));
                if round % 2 == 0 {
                    thread::sleep(Duration::from_micros(50 * round));
                    listener.unsubscribe();
                }
                publishers
                    .map(|publisher| publisher.join().unwrap())
                    .into_iter()
                    .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
            });
            listener.unsubscribe();
            listener.join().unwrap();
            let reasons = reason.await_len(1);
            assert_eq!(told.await_len(1), [("load".to_owned(), reasons[0])]);
            assert_eq!(dropped, u64::from(reasons[0] == EndReason::Disconnected), "{mode}");
            eventually(|| delivered.load(Ordering::SeqCst) == accepted);
            assert_eq!(
                (missed.load(Ordering::SeqCst), listener.stats().missed),
                (dropped, dropped),
                "{mode}"
            );
            end(&bus);
        }
    }
}

#[test]
fn g7_a_disconnected_stream_can_be_dropped_or_read_to_its_end() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let builder = || topic.subscription("s").accept(&kind).capacity(2).overflow(Overflow::Disconnect);
    let (mut read, dropped) = (builder().stream().unwrap(), builder().stream().unwrap());
    (0..3).for_each(|number| {
        topic.publish(kind.message(number));
    });
    assert!(!read.is_subscribed() && !dropped.is_subscribed());
    assert_eq!(topic.stats().subscriptions, 2, "nobody has come to their ends");
    let handle = dropped.handle();
    drop(dropped);
    handle.join().unwrap();
    let lost = handle.stats().lost;
    assert_eq!((lost.disconnected, lost.discarded, lost.total()), (1, 2, 3));
    assert_eq!(lost.to_string(), "1 disconnected, 2 discarded");
    let got: Vec<_> =
        std::iter::from_fn(|| read.recv()).map(|got| (got.read(&kind).copied(), got.missed())).collect();
    assert_eq!(got, [(Some(0), 0), (Some(1), 0), (None, 1)]);
    assert_eq!(topic.stats().subscriptions, 0);
    end(&bus);
}

#[test]
fn g10_publish_sync_that_overfills_a_mailbox_returns() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let builder = topic.subscription("s").accept(&kind).capacity(1).overflow(Overflow::Disconnect);
    let stream = builder.stream().unwrap();
    topic.publish(kind.message(0));
    assert_eq!(stream.handle().publish_sync(kind.message(1), None), Ok(Handled::Gone));
}

/// Each policy's losses stand under their own reason, and `missed` is their sum.
#[test]
fn g7_losses_are_counted_by_reason() {
    let _watched = watched();
    let lost = |overflow: Overflow| -> Lost {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let builder = topic.subscription("s").accept(&kind).capacity(2).overflow(overflow);
        let mut stream = builder.stream().unwrap();
        (0..5).for_each(|number| {
            topic.publish(kind.message(number));
        });
        assert!(stream.try_recv().is_ok());
        let handle = stream.handle();
        drop(stream);
        let stats = handle.stats();
        assert_eq!(stats.missed, stats.lost.total());
        stats.lost
    };
    let each = |lost: Lost| {
        [lost.refused, lost.evicted, lost.conflated, lost.timed_out, lost.disconnected, lost.discarded]
    };
    assert_eq!(each(lost(Overflow::default())), [0, 0, 0, 0, 0, 4]);
    assert_eq!(each(lost(Overflow::Grow(Grow::limit(1)))), [2, 0, 0, 0, 0, 2]);
    assert_eq!(each(lost(Overflow::DropNewest)), [3, 0, 0, 0, 0, 1]);
    assert_eq!(each(lost(Overflow::DropOldest)), [0, 3, 0, 0, 0, 1]);
    assert_eq!(each(lost(Overflow::Block(Duration::from_millis(1)))), [0, 0, 0, 3, 0, 1]);
    assert_eq!(each(lost(Overflow::Disconnect)), [0, 0, 0, 0, 1, 1]);
    assert_eq!(Lost::default().to_string(), "nothing");
}

/// What comes after the end finds it closed, also while its consumer has not come to it: it was neither filtered nor lost.
#[test]
fn g7_what_a_disconnected_mailbox_does_not_get_is_not_filtered() {
    let (bus, kind) = numbers();
    let (other, topic) = (bus.message_type::<u8>("other").unwrap(), bus.topic("t").unwrap());
    let builder = topic.subscription("s").accept(&kind).capacity(2).overflow(Overflow::Disconnect);
    let stream = builder.stream().unwrap();
    let reports: Vec<_> = (0..6).map(|number| topic.publish(kind.message(number))).collect();
    assert_eq!(reports.iter().map(|report| report.closed).sum::<u32>(), 3);
    let batch = topic.publish_batch((0..4).map(|number| kind.message(number)).collect());
    assert_eq!((batch.closed, batch.filtered), (4, 0));
    topic.publish(other.message(0));
    let stats = stream.stats();
    assert_eq!((stats.accepted, stats.lost.disconnected), (2, 1));
    assert_eq!(stats.filtered, 2, "its begin, and one of another type");
}
