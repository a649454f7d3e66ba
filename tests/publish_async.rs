//! `publish_async`: awaits room instead of holding its thread up.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use futures_lite::future::{block_on, poll_once};
use stasis_bus::{Bus, Dispatch, Key, MessageType, Overflow, PublishAsync, Refusal, Report, Stream, Topic};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::Duration;

/// A mailbox with `Block` that is emptied by hand.
struct Room {
    bus: Bus,
    kind: MessageType<u64>,
    topic: Topic,
    stream: Stream,
}

impl Room {
    fn new(capacity: usize) -> Self {
        let (bus, kind) = numbers();
        let topic = bus.topic("topic").unwrap();
        let builder = topic.subscription("block").accept(&kind).capacity(capacity);
        let stream = builder.overflow(Overflow::block_forever()).stream().unwrap();
        Self { bus, kind, topic, stream }
    }

    fn full(capacity: usize) -> Self {
        let room = Self::new(capacity);
        (0..capacity as u64)
            .for_each(|number| assert!(room.topic.publish(room.kind.message(number)).reached()));
        room
    }

    fn publish(&self, number: u64) -> PublishAsync {
        self.topic.publish_async(self.kind.message(number))
    }

    fn read(&mut self) -> (Option<u64>, u64) {
        let received = self.stream.recv().unwrap();
        (received.read(&self.kind).copied(), received.missed())
    }

    fn read_all(&mut self) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Ok(received) = self.stream.try_recv() {
            numbers.extend(received.read(&self.kind));
        }
        numbers
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Bell {
    fn rings(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

fn poll(future: &mut PublishAsync, bell: &Arc<Bell>) -> Poll<Report> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

#[test]
fn g7_async_publish_is_ready_at_once_where_there_is_room() {
    let _watched = watched();
    let mut room = Room::new(4);
    let future = room.publish(7);
    assert_eq!(room.topic.stats().published, 0, "nothing happens before the first poll");
    let report = block_on(poll_once(future)).unwrap();
    assert_eq!(report.accepted, 1);
    assert_eq!(room.read(), (Some(7), 0));
    drop(room.publish(8));
    assert_eq!((room.topic.stats().published, room.read_all()), (1, vec![]));
}

#[test]
fn g7_async_publish_waits_for_room_and_is_woken() {
    let _watched = watched();
    let mut room = Room::full(2);
    let (mut future, bell) = (room.publish(2), Arc::new(Bell::default()));
    assert!(poll(&mut future, &bell).is_pending());
    assert!(poll(&mut future, &bell).is_pending());
    assert_eq!(bell.rings(), 0);
    assert_eq!(room.read(), (Some(0), 0));
    assert_eq!(bell.rings(), 1, "once, although it was polled twice");
    let Poll::Ready(report) = poll(&mut future, &bell) else { panic!("there is room") };
    assert_eq!((report.accepted, report.over_capacity), (1, 0));
    assert_eq!(room.read_all(), [1, 2]);
    assert_eq!(room.stream.stats().missed, 0);
}

/// Everybody who never waits has the message when the first poll returns; inline handlers get it at the end.
#[test]
fn g7_async_publish_holds_nobody_else_up() {
    let _watched = watched();
    let mut room = Room::full(1);
    let logs = [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream, Dispatch::Inline]
        .map(|mode| {
            let builder = room.topic.subscription(mode.name()).accept(&room.kind);
            note_numbers(builder, mode, &room.kind)
        });
    let (mut future, bell) = (room.publish(5), Arc::new(Bell::default()));
    assert!(poll(&mut future, &bell).is_pending());
    logs[..4].iter().for_each(|(_, log)| assert_eq!(log.await_len(1), [Some(5)]));
    assert_eq!(logs[4].1.len(), 0);
    room.read();
    let Poll::Ready(report) = poll(&mut future, &bell) else { panic!("there is room") };
    assert_eq!(report.accepted, 6);
    assert_eq!(logs[4].1.all(), [Some(5)]);
}

/// What an inline handler publishes comes after its cause, also where the cause had to wait.
#[test]
fn g2_async_publish_comes_before_its_effects() {
    let _watched = watched();
    let mut room = Room::full(1);
    let (kind, topic) = (room.kind.clone(), room.topic.clone());
    let _answers = room
        .topic
        .subscription("answers")
        .accept(&room.kind)
        .inline(move |delivery| {
            if delivery.read(&kind) == Some(&5) {
                topic.publish(kind.message(6));
            }
        })
        .unwrap();
    let (mut future, bell) = (room.publish(5), Arc::new(Bell::default()));
    assert!(poll(&mut future, &bell).is_pending());
    room.read();
    assert!(poll(&mut future, &bell).is_ready());
    assert_eq!(room.read_all(), [5, 6]);
}

#[test]
fn g2_awaited_publishes_keep_their_order() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let logs = QUEUED_MODES.map(|mode| {
        let builder =
            topic.subscription(mode.name()).accept(&kind).capacity(3).overflow(Overflow::block_forever());
        note_numbers(builder, mode, &kind)
    });
    let senders = [0, 1].map(|who: u64| {
        let (topic, kind) = (topic.clone(), kind.clone());
        thread::spawn(move || {
            block_on(async {
                for number in 0..500 {
                    let message = kind.message((who << 32) + number);
                    let report = match number % 5 {
                        0 => topic.publish(message),
                        _ => topic.publish_async(message).await,
                    };
                    assert_eq!(report.accepted, 4);
                }
            });
        })
    });
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    for (listener, log) in &logs {
        let heard: Vec<u64> = log.await_len(1_000).into_iter().flatten().collect();
        for who in [0, 1] {
            let theirs: Vec<_> = heard.iter().copied().filter(|number| number >> 32 == who).collect();
            assert_eq!(
                theirs,
                ((who << 32)..(who << 32) + 500).collect::<Vec<_>>(),
                "{}",
                listener.dispatch()
            );
        }
        assert_eq!(listener.stats().over_capacity, 0);
    }
    end(&bus);
}

/// Tasks on two executors and blocked threads wait for one mailbox of one.
#[test]
fn g7_many_waiting_tasks_and_threads_are_all_served() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let builder = topic.subscription("s").accept(&kind).capacity(1).overflow(Overflow::block_forever());
    let (_listener, log) = note_numbers(builder, Dispatch::Pool, &kind);
    thread::scope(|scope| {
        for executor in 0..2 {
            let (topic, kind) = (&topic, &kind);
            scope.spawn(move || {
                let tasks = (0..20).map(|task| async move {
                    for number in 0..20 {
                        let report =
                            topic.publish_async(kind.message(executor * 1_000 + task * 20 + number)).await;
                        assert_eq!(report.accepted, 1);
                    }
                });
                block_on(Together(
                    tasks.map(|task| Some(Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>)).collect(),
                ));
            });
        }
        for who in 2..4 {
            let (topic, kind) = (&topic, &kind);
            scope.spawn(move || {
                (0..200).for_each(|number| {
                    assert_eq!(topic.publish(kind.message(who * 1_000 + number)).accepted, 1)
                });
            });
        }
    });
    let mut heard: Vec<u64> = log.await_len(1_200).into_iter().flatten().collect();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard.len(), 1_200);
    end(&bus);
}

/// Runs its futures together: a small executor of its own.
struct Together<'a>(Vec<Option<Pin<Box<dyn Future<Output = ()> + 'a>>>>);

impl Future for Together<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        for slot in &mut self.0 {
            if slot.as_mut().is_some_and(|task| task.as_mut().poll(context).is_ready()) {
                *slot = None;
            }
        }
        self.0.retain(Option::is_some);
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn g7_dropped_async_publish_is_counted_and_told() {
    let _watched = watched();
    let mut room = Room::full(2);
    let inline = Arc::new(AtomicU64::new(0));
    let calls = inline.clone();
    let _inline = room
        .topic
        .subscription("inline")
        .accept(&room.kind)
        .inline(move |_| _ = calls.fetch_add(1, Ordering::Relaxed))
        .unwrap();
    let (mut dropped, mut other) = (room.publish(8), room.publish(9));
    let (first, second) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    assert!(poll(&mut dropped, &first).is_pending() && poll(&mut other, &second).is_pending());
    assert_eq!(inline.load(Ordering::Relaxed), 0);
    drop(dropped);
    assert_eq!(inline.load(Ordering::Relaxed), 1, "it is not called later");
    assert_eq!(Arc::strong_count(&first), 1, "its waker went with it");
    let lost = room.stream.stats().lost;
    assert_eq!((lost.timed_out, room.stream.stats().missed), (1, 1));
    assert_eq!(room.read(), (Some(0), 1), "told");
    assert_eq!((first.rings(), second.rings()), (0, 1), "the other one is not forgotten");
    assert!(poll(&mut other, &second).is_ready());
    assert_eq!(room.read_all(), [1, 9]);
}

/// What is over stays as it is: whoever gives up afterwards came late.
#[test]
fn g7_async_publish_that_is_dropped_after_the_stream_counts_no_more() {
    let _watched = watched();
    let room = Room::full(1);
    let mut waiting = room.publish(8);
    assert!(poll(&mut waiting, &Arc::new(Bell::default())).is_pending());
    let Room { bus, stream, .. } = room;
    let subscription = stream.handle();
    drop(stream);
    let over = subscription.stats();
    assert_eq!((over.missed, over.lost.discarded), (1, 1));
    drop(waiting);
    let later = subscription.stats();
    assert_eq!((later.missed, later.lost.timed_out), (1, 0));
    assert_eq!(bus.stats().totals.missed, 1);
}

/// Who waits for a stream that is dropped waits no more, and the bus does not say so for ever.
#[test]
fn g7_nobody_is_left_waiting_for_a_dropped_stream() {
    let _watched = watched();
    for _ in 0..50 {
        let Room { bus, kind, topic, stream } = Room::full(1);
        let publisher = thread::spawn(move || topic.publish(kind.message(1)));
        eventually(|| bus.stats().totals.blocked.now == 1);
        drop(stream);
        assert_eq!(publisher.join().unwrap().closed, 1);
        let blocked = bus.stats().totals.blocked;
        assert_eq!((blocked.now, blocked.waiting, blocked.times), (0, None, 1));
    }
}

#[test]
fn an_async_publish_that_nobody_takes_counts_as_unused() {
    let _watched = watched();
    let room = Room::full(1);
    let mut future = room.publish(1);
    assert!(poll(&mut future, &Arc::new(Bell::default())).is_pending());
    drop(future);
    let stats = room.bus.stats();
    let kind = stats.message_types.iter().find(|row| row.name == "number").unwrap();
    assert_eq!((stats.totals.unrouted, kind.unused), (1, 1));
}

#[test]
fn g7_async_publish_is_released_by_the_end() {
    let _watched = watched();
    for by_shutdown in [false, true] {
        let room = Room::full(1);
        let (mut future, bell) = (room.publish(1), Arc::new(Bell::default()));
        assert!(poll(&mut future, &bell).is_pending());
        if by_shutdown {
            let bus = room.bus.clone();
            let _ = bus.shutdown(Duration::from_millis(50));
        } else {
            room.stream.unsubscribe();
        }
        eventually(|| bell.rings() > 0);
        let Poll::Ready(report) = poll(&mut future, &bell) else { panic!("it has ended") };
        assert_eq!((report.accepted, report.closed), (0, 1), "shutdown: {by_shutdown}");
    }
    let room = Room::full(1);
    let (mut future, bell) = (room.publish(1), Arc::new(Bell::default()));
    assert!(poll(&mut future, &bell).is_pending());
    drop(room.stream);
    assert_eq!(bell.rings(), 1, "the stream was dropped");
    assert!(matches!(poll(&mut future, &bell), Poll::Ready(report) if report.closed == 1));
}

/// A mailbox with `Conflate` asks for the key and replaces, as it does for every other publish; nobody waits for it.
#[test]
fn g7_async_publish_conflates() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let parity = kind.clone();
    let by_parity =
        Overflow::conflate(move |message| parity.read(message).map(|number| Key::from(number % 2)));
    let mut stream =
        topic.subscription("latest").accept(&kind).capacity(2).overflow(by_parity).stream().unwrap();
    for number in 0..10 {
        let report = block_on(poll_once(topic.publish_async(kind.message(number))));
        assert_eq!(report.map(|report| report.accepted), Some(1), "{number}");
    }
    assert_eq!((stream.stats().depth, stream.stats().lost.conflated), (2, 8));
    for latest in [8, 9] {
        let received = stream.try_recv().unwrap();
        assert_eq!((received.read(&kind).copied(), received.missed()), (Some(latest), 4));
    }
}

/// Inside a handler it takes the message beyond the capacity, like `publish`: also if it waited before.
#[test]
fn g7_async_publish_does_not_wait_in_a_handler() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let builder = topic.subscription("self").accept(&kind).capacity(1).overflow(Overflow::block_forever());
    let waited: Arc<Mutex<Option<PublishAsync>>> = Arc::default();
    let (log, gate) = (Log::new(), Gate::new());
    let (noted, own, numbers, earlier, closed) =
        (log.clone(), topic.clone(), kind.clone(), waited.clone(), gate.clone());
    let listener = builder
        .start(move |delivery| {
            let Some(&number) = delivery.read(&numbers) else { return };
            closed.pass();
            noted.push(number);
            if number == 0 {
                for number in 10..15 {
                    assert_eq!(block_on(own.publish_async(numbers.message(number))).accepted, 1);
                }
                let earlier = earlier.lock().unwrap().take();
                assert_eq!(block_on(earlier.unwrap()).over_capacity, 1);
            }
        })
        .unwrap();
    topic.publish(kind.message(0));
    eventually(|| listener.stats().depth == 0);
    topic.publish(kind.message(1));
    let mut future = topic.publish_async(kind.message(2));
    assert!(poll(&mut future, &Arc::new(Bell::default())).is_pending());
    *waited.lock().unwrap() = Some(future);
    gate.open();
    assert_eq!(log.await_len(8), [0, 1, 10, 11, 12, 13, 14, 2]);
    end(&bus);
}

#[test]
fn g7_async_publish_does_not_wait_in_manual_mode() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("topic").unwrap());
    let builder = topic.subscription("s").accept(&kind).capacity(1).overflow(Overflow::block_forever());
    let (listener, log) = note_numbers(builder, Dispatch::Pool, &kind);
    for number in 0..3 {
        let report = block_on(poll_once(topic.publish_async(kind.message(number)))).unwrap();
        assert_eq!((report.accepted, report.over_capacity), (1, u32::from(number > 0)));
    }
    bus.run_until_idle();
    assert_eq!(log.all(), [0, 1, 2].map(Some));
    assert_eq!(listener.stats().over_capacity, 2);
}

/// A waker may do anything with the bus, and panic: in its wake-up, its clone, its drop.
#[test]
fn g8_wakers_run_under_no_lock_and_may_panic() {
    let _watched = watched();
    struct Nosy(Topic, MessageType<u64>, AtomicU64);
    impl Wake for Nosy {
        fn wake(self: Arc<Self>) {
            self.2.fetch_add(1, Ordering::Release);
            let again = self.0.publish_async(self.1.message(100));
            let _ = block_on(poll_once(again));
            self.0.subscribe("from a waker", |_| {}).unwrap().unsubscribe();
            panic!("{ON_PURPOSE}");
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.0.stats();
            let _ = block_on(poll_once(self.0.publish_async(self.1.message(101))));
        }
    }
    for by_end in [false, true] {
        let mut room = Room::full(1);
        let nosy = Arc::new(Nosy(room.topic.clone(), room.kind.clone(), AtomicU64::new(0)));
        let (mut future, mut other) = (room.publish(1), room.publish(2));
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(nosy.clone());
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(poll(&mut other, &bell).is_pending());
        drop(waker);
        match by_end {
            true => _ = room.stream.unsubscribe(),
            false => _ = room.read(),
        }
        assert_eq!((nosy.2.load(Ordering::Acquire), bell.rings()), (1, 1), "the other one was woken too");
        assert_eq!(room.bus.stats().panics, 1);
        drop((future, other, nosy));
    }
    // A clone that panics does so in the task's own poll; the future still waits afterwards.
    const PANICS: RawWakerVTable =
        RawWakerVTable::new(|_| panic!("{ON_PURPOSE}"), |_| unreachable!(), |_| unreachable!(), |_| {});
    // SAFETY: the table never looks at the pointer.
    let bad = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &PANICS)) };
    let mut room = Room::full(1);
    let (mut future, bell) = (room.publish(1), Arc::new(Bell::default()));
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Pin::new(&mut future).poll(&mut Context::from_waker(&bad))
    }));
    assert!(polled.is_err());
    assert!(poll(&mut future, &bell).is_pending());
    room.read();
    assert!(poll(&mut future, &bell).is_ready());
}

#[test]
fn g11_async_publish_leaves_nothing_behind() {
    let _watched = watched();
    let census = Census::new();
    let bus = Bus::new().unwrap();
    let (kind, topic) = (bus.message_type::<Alive>("alive").unwrap(), bus.topic("topic").unwrap());
    let stream = topic.subscription("s").accept(&kind).capacity(1).overflow(Overflow::block_forever());
    let stream = stream.stream().unwrap();
    let born = || topic.publish_async(kind.message(census.born()));
    let (mut first, mut second, never) = (born(), born(), born());
    let bell = Arc::new(Bell::default());
    assert!(poll(&mut first, &bell).is_ready() && poll(&mut second, &bell).is_pending());
    assert_eq!(census.alive(), 3);
    drop(never);
    let _ = bus.shutdown(Duration::from_millis(20));
    drop((stream, bus, topic.clone()));
    drop(second);
    eventually(|| census.alive() == 0);
}

#[test]
fn async_publish_refuses_what_publish_refuses() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let (_other, foreign) = numbers();
    assert_eq!(block_on(topic.publish_async(foreign.message(1))).refusal, Some(Refusal::ForeignType));
    assert_eq!(block_on(topic.publish_async(kind.message(1))).accepted, 0);
    assert_eq!((topic.stats().published, topic.stats().unrouted), (1, 1));
    end(&bus);
    assert_eq!(block_on(topic.publish_async(kind.message(1))).refusal, Some(Refusal::Closed));
}
