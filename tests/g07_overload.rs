//! G7: what happens to a message whose mailbox is full, and who is told.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use futures_core::Stream as _;
use stasis_bus::{
    Bus, Dispatch, EndReason, Grow, Message, MessageType, Overflow, Report, SubscriptionBuilder, Topic,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

/// Longer than the watchdog is patient: nothing may wait for this.
const LONG: Duration = Duration::from_secs(1_000);

/// What a listener noted: number (none: its final message), missed before it, and the reason of the end.
type Note = (Option<u64>, u64, Option<EndReason>);

/// A mailbox whose handler is stuck in message 0 until `gate` opens, so that what is published meanwhile queues up.
struct Stuck {
    bus: Bus,
    kind: MessageType<u64>,
    topic: Topic,
    gate: Gate,
    log: Log<Note>,
    listener: Listener,
}

impl Stuck {
    fn new(mode: Dispatch, capacity: usize, overflow: Overflow) -> Self {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let (gate, log, entered) = (Gate::new(), Log::new(), Gate::new());
        let (gate2, noted, kind2, entered2) = (gate.clone(), log.clone(), kind.clone(), entered.clone());
        let builder: SubscriptionBuilder<'_> = topic.subscription("stuck").accept(&kind);
        let listener = listen(builder.capacity(capacity).overflow(overflow), mode, move |heard| {
            entered2.open();
            noted.push((heard.number(&kind2), heard.missed, heard.end));
            gate2.pass();
        });
        topic.publish(kind.message(0));
        entered.pass();
        Self { bus, kind, topic, gate, log, listener }
    }

    fn publish(&self, number: u64) -> Report {
        self.topic.publish(self.kind.message(number))
    }

    fn publish_all(&self, numbers: std::ops::RangeInclusive<u64>) -> Vec<Report> {
        numbers.map(|number| self.publish(number)).collect()
    }

    /// Lets the handler go on to its end, and returns what it noted.
    fn finish(self) -> Vec<Note> {
        self.gate.open();
        self.listener.unsubscribe();
        self.listener.join().unwrap();
        let log = self.log;
        eventually(|| log.all().last().is_some_and(|(_, _, end)| end.is_some()));
        end(&self.bus);
        log.all()
    }
}

fn spawn_publish<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    stuck: &'scope Stuck,
    number: u64,
) -> thread::ScopedJoinHandle<'scope, Report> {
    scope.spawn(move || stuck.publish(number))
}

const DONE: Option<EndReason> = Some(EndReason::Unsubscribed);

fn plain(numbers: impl IntoIterator<Item = u64>) -> Vec<Note> {
    numbers.into_iter().map(|number| (Some(number), 0, None)).collect()
}

fn sum(reports: &[Report]) -> (u32, u32) {
    (reports.iter().map(|report| report.accepted).sum(), reports.iter().map(|report| report.dropped).sum())
}

const THREADED: [Dispatch; 3] = [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];

// ---- Grow -----------------------------------------------------------------------------------------------------------

#[test]
fn g7_grow_takes_its_limit_exactly_and_then_refuses_the_newest() {
    let _watched = watched();
    for mode in THREADED {
        for (capacity, limit) in [(4, 3), (1, 0), (5, 0), (3, 100)] {
            let stuck = Stuck::new(mode, capacity, Overflow::Grow(Grow::limit(limit)));
            let room = (capacity + limit) as u64;
            let reports = stuck.publish_all(1..=room + 5);
            assert_eq!(sum(&reports), (room as u32, 5), "{mode} {capacity}+{limit}");
            assert!(reports[..room as usize].iter().all(|report| report.accepted == 1));
            assert_eq!(stuck.listener.stats().missed, 5);
            let mut expected = plain(0..=room);
            // With the next message it gets.
            expected[1].1 = 5;
            expected.push((None, 0, DONE));
            assert_eq!(stuck.finish(), expected, "{mode} {capacity}+{limit}");
        }
    }
}

#[test]
fn g7_grow_loses_nothing_by_default_and_counts_nothing_as_missed() {
    let _watched = watched();
    for mode in THREADED {
        let stuck = Stuck::new(mode, 16, Overflow::default());
        assert_eq!(sum(&stuck.publish_all(1..=50_000)), (50_000, 0));
        assert_eq!(stuck.listener.stats().depth, 50_000);
        let mut expected = plain(0..=50_000);
        expected.push((None, 0, DONE));
        assert!(stuck.finish() == expected, "{mode}");
    }
}

// ---- DropNewest, DropOldest -----------------------------------------------------------------------------------------

#[test]
fn g7_drop_newest_keeps_what_waits() {
    let _watched = watched();
    for mode in THREADED {
        for capacity in [1, 5, 1000] {
            let stuck = Stuck::new(mode, capacity, Overflow::DropNewest);
            let capacity = capacity as u64;
            let reports = stuck.publish_all(1..=capacity + 7);
            assert_eq!(sum(&reports), (capacity as u32, 7), "the capacity is exact");
            assert!(reports[..capacity as usize].iter().all(Report::reached));
            let mut expected = plain(0..=capacity);
            expected[1].1 = 7;
            expected.push((None, 0, DONE));
            assert_eq!(stuck.listener.stats().missed, 7);
            assert_eq!(stuck.finish(), expected, "{mode}");
        }
    }
}

#[test]
fn g7_drop_oldest_keeps_the_newest() {
    let _watched = watched();
    for mode in THREADED {
        for capacity in [1, 5, 1000] {
            let stuck = Stuck::new(mode, capacity, Overflow::DropOldest);
            let capacity = capacity as u64;
            let reports = stuck.publish_all(1..=capacity + 7);
            assert_eq!(sum(&reports), (capacity as u32 + 7, 0));
            let mut expected = plain([0]);
            expected.extend(plain(8..=capacity + 7));
            expected[1].1 = 7;
            expected.push((None, 0, DONE));
            assert_eq!(stuck.listener.stats().missed, 7);
            assert_eq!(stuck.finish(), expected, "{mode}");
        }
    }
}

#[test]
fn g7_what_was_missed_is_told_once_at_the_latest_with_the_final_message() {
    let _watched = watched();
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Grow(Grow::limit(0))] {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let builder = topic.subscription("s").accept(&kind).capacity(1).overflow(overflow.clone());
        let mut stream = builder.stream().unwrap();
        let mut missed_with_next = |publish: u64| {
            (0..publish).for_each(|number| {
                topic.publish(kind.message(number));
            });
            stream.recv().unwrap().missed()
        };
        assert_eq!([1, 2, 1, 5, 1].map(&mut missed_with_next), [0, 1, 0, 4, 0], "{overflow:?}");
        // What is refused after the last message was taken out can only be told by the final one.
        let own: Own = Own::default();
        let (log, own2, kind2, again) = (Log::new(), own.clone(), kind.clone(), topic.clone());
        let noted = log.clone();
        let builder = topic.subscription("h").accept(&kind).capacity(1).overflow(overflow.clone());
        let listener = listen(builder, Dispatch::Dedicated, move |heard| {
            noted.push((heard.number(&kind2), heard.missed));
            if heard.number(&kind2) == Some(0) {
                (1..=3).for_each(|number| {
                    again.publish(kind2.message(number));
                });
                own2.wait().unsubscribe();
            }
        });
        assert!(own.set(listener).is_ok());
        topic.publish(kind.message(0));
        own.wait().join().unwrap();
        let kept = if overflow == Overflow::DropOldest { 3 } else { 1 };
        assert_eq!(log.all(), [(Some(0), 0), (Some(kept), 2), (None, 0)], "{overflow:?}");
    }
}

/// Every message is delivered or told as missed, under publishers that run all the time, in every mode.
#[test]
fn g7_delivered_and_missed_add_up() {
    let _watched = watched();
    let policies = [
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Grow(Grow::limit(10)),
        Overflow::Block(Duration::from_micros(50)),
        Overflow::Block(LONG),
    ];
    for overflow in policies {
        for mode in QUEUED_MODES {
            let (bus, kind) = numbers();
            let topic = bus.topic("t").unwrap();
            let (delivered, missed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (delivered2, missed2) = (delivered.clone(), missed.clone());
            let builder = topic.subscription("sum").accept(&kind).capacity(6).overflow(overflow.clone());
            let listener = listen(builder, mode, move |heard| {
                missed2.fetch_add(heard.missed as usize, Ordering::SeqCst);
                delivered2.fetch_add(1, Ordering::SeqCst);
            });
            let published = thread::scope(|scope| {
                let publish =
                    || (0..2_000).map(|number| topic.publish(kind.message(number)).dropped as usize).sum();
                let publishers: [_; 3] = std::array::from_fn(|_| scope.spawn(publish));
                publishers.map(|publisher| publisher.join().unwrap()).iter().sum::<usize>()
            });
            listener.unsubscribe();
            listener.join().unwrap();
            eventually(|| delivered.load(Ordering::SeqCst) + missed.load(Ordering::SeqCst) == 6_001);
            assert_eq!(missed.load(Ordering::SeqCst) as u64, listener.stats().missed, "{mode} {overflow:?}");
            match overflow {
                Overflow::DropOldest => {}
                Overflow::Block(LONG) => assert_eq!(published, 0),
                _ => assert_eq!(published, missed.load(Ordering::SeqCst), "{mode} {overflow:?}"),
            }
            end(&bus);
        }
    }
}

// ---- Block ----------------------------------------------------------------------------------------------------------

#[test]
fn g7_block_drops_at_its_deadline_and_tells() {
    let _watched = watched();
    for mode in THREADED {
        let stuck = Stuck::new(mode, 2, Overflow::Block(Duration::from_millis(10)));
        assert_eq!(sum(&stuck.publish_all(1..=2)), (2, 0));
        assert_eq!(sum(&stuck.publish_all(3..=5)), (0, 3), "{mode}");
        assert_eq!(stuck.listener.stats().missed, 3);
        let expected = [plain([0]), vec![(Some(1), 3, None)], plain([2]), vec![(None, 0, DONE)]].concat();
        assert_eq!(stuck.finish(), expected, "{mode}");
    }
}

/// One deadline for the whole publish: 40 full mailboxes do not wait one after the other.
#[test]
fn g7_block_has_one_deadline_for_all_mailboxes() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let wait = Duration::from_secs(2);
    let _full: Vec<_> = (0..40)
        .map(|_| {
            topic
                .subscription("full")
                .accept(&kind)
                .capacity(1)
                .overflow(Overflow::Block(wait))
                .stream()
                .unwrap()
        })
        .collect();
    assert_eq!(topic.publish(kind.message(0)).accepted, 40);
    // One after the other would take 80 s: the watchdog's business.
    assert_eq!(topic.publish(kind.message(1)).dropped, 40);
}

#[test]
fn g7_block_goes_on_as_soon_as_there_is_room() {
    let _watched = watched();
    for mode in THREADED {
        let stuck = Stuck::new(mode, 1, Overflow::Block(LONG));
        stuck.publish(1);
        thread::scope(|scope| {
            let waiting: Vec<_> = (2..6).map(|number| spawn_publish(scope, &stuck, number)).collect();
            thread::sleep(Duration::from_millis(20));
            assert!(waiting.iter().all(|publisher| !publisher.is_finished()), "{mode}");
            stuck.gate.open();
            for publisher in waiting {
                assert_eq!(publisher.join().unwrap().accepted, 1);
            }
        });
        let notes = stuck.finish();
        let mut numbers: Vec<_> = notes.iter().filter_map(|(number, _, _)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        assert!(notes.iter().all(|(_, missed, _)| *missed == 0));
    }
}

#[test]
fn g7_unsubscribing_releases_waiting_publishers() {
    let _watched = watched();
    for mode in THREADED {
        let stuck = Stuck::new(mode, 1, Overflow::Block(LONG));
        stuck.publish(1);
        thread::scope(|scope| {
            let waiting: Vec<_> = (2..5).map(|number| spawn_publish(scope, &stuck, number)).collect();
            eventually(|| stuck.listener.stats().blocked.now == 3);
            stuck.listener.unsubscribe();
            for publisher in waiting {
                let report = publisher.join().unwrap();
                assert_eq!((report.accepted, report.dropped, report.closed), (0, 0, 1), "{mode}");
            }
        });
        assert_eq!(stuck.finish().len(), 3);
    }
}

#[test]
fn g7_shutdown_releases_waiting_publishers() {
    let _watched = watched();
    let stuck = Stuck::new(Dispatch::Pool, 1, Overflow::Block(LONG));
    stuck.publish(1);
    thread::scope(|scope| {
        let waiting: Vec<_> = (2..5).map(|number| spawn_publish(scope, &stuck, number)).collect();
        eventually(|| stuck.listener.stats().blocked.now == 3);
        let shutdown = scope.spawn(|| stuck.bus.shutdown(LONG));
        for publisher in waiting {
            let report = publisher.join().unwrap();
            assert_eq!((report.accepted, report.dropped), (0, 0));
            assert!(report.closed == 1 || report.is_closed());
        }
        stuck.gate.open();
        assert!(shutdown.join().unwrap().unwrap().is_clean());
    });
}

/// A handler never waits, not even for itself: its mailbox takes the message beyond its capacity.
#[test]
fn g7_a_handler_publishes_into_its_own_full_mailbox() {
    let _watched = watched();
    for mode in [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let (log, kind2, again) = (Log::new(), kind.clone(), topic.clone());
        let noted = log.clone();
        let builder = topic.subscription("self").accept(&kind).capacity(2).overflow(Overflow::Block(LONG));
        let listener = listen(builder, mode, move |heard| {
            let Some(number) = heard.number(&kind2) else { return };
            if number == 0 {
                let reports = (1..=10).map(|number| again.publish(kind2.message(number))).collect::<Vec<_>>();
                assert!(reports.iter().all(|report| report.accepted == 1));
                assert_eq!(reports.iter().map(|report| report.over_capacity).sum::<u32>(), 8);
            }
            noted.push(number);
        });
        topic.publish(kind.message(0));
        assert_eq!(log.await_len(11), (0..=10).collect::<Vec<_>>(), "{mode}");
        let stats = listener.stats();
        assert_eq!((stats.over_capacity, stats.missed, stats.panics), (8, 0, 0), "{mode}");
        end(&bus);
    }
}

/// Two handlers answer each other through full mailboxes, with any number of workers.
#[test]
fn g7_handlers_publishing_to_each_other_cannot_hang() {
    let _watched = watched();
    for workers in 1..=2 {
        for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Serial] {
            let bus = Bus::builder().workers(1..=workers).build().unwrap();
            let kind = bus.message_type::<u64>("number").unwrap();
            let topics = ["ping", "pong"].map(|name| bus.topic(name).unwrap());
            let count = Arc::new(AtomicUsize::new(0));
            let listeners = [0, 1].map(|n| {
                let (to, kind2, count) = (topics[1 - n].clone(), kind.clone(), count.clone());
                let builder =
                    topics[n].subscription("p").accept(&kind).capacity(1).overflow(Overflow::Block(LONG));
                listen(builder, mode, move |heard| {
                    let Some(number) = heard.number(&kind2) else { return };
                    count.fetch_add(1, Ordering::Relaxed);
                    for _ in 0..2 {
                        if number > 0 {
                            to.publish(kind2.message(number - 1));
                        }
                    }
                })
            });
            topics[0].publish(kind.message(8));
            eventually(|| count.load(Ordering::Relaxed) == (1 << 9) - 1);
            assert_eq!(listeners.each_ref().map(|listener| listener.stats().missed), [0, 0]);
            end(&bus);
        }
    }
}

/// What went beyond the capacity sits on the heap. When it is used up there is room again, for those who wait too.
#[test]
fn g7_block_waits_no_longer_than_for_what_went_beyond_the_capacity() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let (gate, kind2, again, log) = (Gate::new(), kind.clone(), topic.clone(), Log::new());
        let (gate2, noted, overfull) = (gate.clone(), log.clone(), Gate::new());
        let overfull2 = overfull.clone();
        let builder = topic.subscription("beyond").accept(&kind).capacity(4).overflow(Overflow::Block(LONG));
        let listener = listen(builder, mode, move |heard| {
            let Some(number) = heard.number(&kind2) else { return };
            if number == 0 {
                (1..=20).for_each(|number| {
                    again.publish(kind2.message(number));
                });
                overfull2.open();
                gate2.pass();
            }
            if number == 20 {
                // The publisher was told that there is room when this one was taken out, and has looked.
                thread::sleep(Duration::from_millis(50));
            }
            noted.push(number);
        });
        topic.publish(kind.message(0));
        overfull.pass();
        let publisher = thread::spawn({
            let (topic, kind) = (topic.clone(), kind.clone());
            move || topic.publish(kind.message(21))
        });
        thread::sleep(Duration::from_millis(20));
        gate.open();
        let report = publisher.join().unwrap();
        assert_eq!((report.accepted, report.dropped), (1, 0), "{mode}");
        assert_eq!(log.await_len(22), (0..=21).collect::<Vec<_>>());
        drop(listener);
        end(&bus);
    }
}

/// `full` is stuck until `idle` has handled the message for which the publisher waits at `full`.
#[test]
fn g7_a_publisher_that_waits_holds_up_no_other_mailbox() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream] {
        for overflow in [Overflow::Block(LONG), Overflow::default()] {
            let (bus, kind) = numbers();
            let topic = bus.topic("t").unwrap();
            let (handled, kind2) = (Gate::new(), kind.clone());
            let handled2 = handled.clone();
            let idle = listen(
                topic.subscription("idle").accept(&kind).overflow(overflow.clone()),
                mode,
                move |heard| {
                    if heard.number(&kind2) == Some(2) {
                        handled2.open();
                    }
                },
            );
            let builder =
                topic.subscription("full").accept(&kind).capacity(1).overflow(Overflow::Block(LONG));
            let full = listen(builder, Dispatch::Dedicated, move |_| handled.pass());
            topic.publish(kind.message(0));
            eventually(|| full.stats().depth == 0 && idle.stats().depth == 0);
            topic.publish(kind.message(1));
            // The idle one goes back to sleep.
            eventually(|| idle.stats().depth == 0);
            thread::sleep(Duration::from_millis(20));
            let report = topic.publish(kind.message(2));
            assert_eq!((report.accepted, report.dropped), (2, 0), "{mode} {overflow:?}");
            end(&bus);
        }
    }
}

// ---- a stream that goes to sleep just as it is filled ---------------------------------------------------------------

/// A waker whose clone runs some code: that happens between the look that found nothing and going to sleep.
fn waker_that(on_clone: Arc<dyn Fn() + Send + Sync>) -> Waker {
    type Code = Arc<dyn Fn() + Send + Sync>;
    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: `data` is a leaked box of `Code`, alive as long as the waker that is being cloned.
        let code = unsafe { &*data.cast::<Code>() };
        code();
        RawWaker::new(Box::into_raw(Box::new(code.clone())).cast_const().cast(), &TABLE)
    }
    unsafe fn wake(data: *const ()) {
        // SAFETY: as the contract of a waker says, once.
        unsafe { forget(data) };
    }
    unsafe fn forget(data: *const ()) {
        // SAFETY: each waker has a box of its own.
        drop(unsafe { Box::from_raw(data.cast_mut().cast::<Code>()) });
    }
    unsafe fn nothing(_: *const ()) {}
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, nothing, forget);
    let data = Box::into_raw(Box::new(on_clone)).cast_const().cast();
    // SAFETY: the table keeps the contract: a box per waker, freed by `wake` or `drop`.
    unsafe { Waker::from_raw(RawWaker::new(data, &TABLE)) }
}

#[test]
fn g7_a_stream_about_to_sleep_makes_room_as_well() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let builder = topic.subscription("s").accept(&kind).capacity(1).overflow(Overflow::Block(LONG));
    let mut stream = builder.stream().unwrap();
    let publishers = Log::new();
    let (started, first) = (publishers.clone(), AtomicBool::new(true));
    let (topic2, kind2) = (topic.clone(), kind.clone());
    let waker = waker_that(Arc::new(move || {
        if first.swap(false, Ordering::Relaxed) {
            assert_eq!(topic2.publish(kind2.message(1)).accepted, 1);
            let (topic, kind) = (topic2.clone(), kind2.clone());
            started.push(Arc::new(std::sync::Mutex::new(Some(thread::spawn(move || {
                topic.publish(kind.message(2))
            })))));
            thread::sleep(Duration::from_millis(50));
        }
    }));
    let mut context = Context::from_waker(&waker);
    let polled = std::pin::Pin::new(&mut stream).poll_next(&mut context);
    assert!(polled.is_ready());
    let publisher = publishers.all()[0].lock().unwrap().take().unwrap();
    assert_eq!(publisher.join().unwrap().accepted, 1, "there is room: the first message was taken out");
}

#[test]
fn g7_a_stream_read_by_a_thread_keeps_waiting_publishers_going() {
    let _watched = watched();
    const EACH: u64 = 20_000;
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let builder = topic.subscription("s").accept(&kind).capacity(1).overflow(Overflow::Block(LONG));
    let mut stream = builder.stream().unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                (0..EACH).for_each(|number| assert!(topic.publish(kind.message(number)).reached()))
            });
        }
        for _ in 0..3 * EACH {
            assert_eq!(stream.recv().unwrap().missed(), 0);
        }
    });
    assert!(stream.try_recv().is_err());
}

// ---- the bus's own messages -----------------------------------------------------------------------------------------

#[test]
fn g7_control_messages_do_not_wait() {
    let _watched = watched();
    let (bus, _) = numbers();
    let topic = bus.topic("t").unwrap();
    let changes = bus.subscription_changes().clone();
    let builder = topic.subscription("full").accept(&changes).capacity(1).overflow(Overflow::Block(LONG));
    let mut full = builder.stream().unwrap();
    for _ in 0..10 {
        assert!(topic.subscribe("brief", |_| {}).unwrap().unsubscribe());
    }
    assert_eq!(full.stats().over_capacity, 20);
    assert_eq!(std::iter::from_fn(|| full.try_recv().ok()).count(), 21);
}

/// The deadline of a shutdown throws the queue away: with the final message it is told, what was evicted before too.
#[test]
fn g7_a_queue_thrown_away_is_told_with_the_final_message() {
    let _watched = watched();
    for (overflow, missed) in
        [(Overflow::DropOldest, 10), (Overflow::DropNewest, 10), (Overflow::default(), 10)]
    {
        for mode in [Dispatch::Pool, Dispatch::Dedicated] {
            let stuck = Stuck::new(mode, 4, overflow.clone());
            stuck.publish_all(1..=10);
            let report = stuck.bus.shutdown(Duration::from_millis(20)).unwrap();
            assert_eq!(report.stragglers.len(), 1);
            stuck.gate.open();
            let notes = stuck.log.await_len(2);
            assert_eq!(notes[1], (None, missed, Some(EndReason::ShutDown)), "{mode} {overflow:?}");
            assert_eq!(stuck.listener.stats().missed, missed, "{mode} {overflow:?}");
        }
    }
}

#[test]
fn g7_values_that_are_dropped_for_want_of_room_are_dropped_once() {
    let _watched = watched();
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Grow(Grow::limit(2))] {
        let census = Census::new();
        let bus = Bus::new().unwrap();
        let kind = bus.message_type::<Alive>("value").unwrap();
        let topic = bus.topic("t").unwrap();
        let mut stream =
            topic.subscription("s").accept(&kind).capacity(3).overflow(overflow.clone()).stream().unwrap();
        (0..100).for_each(|_| {
            topic.publish(kind.message(census.born()));
        });
        let kept: Vec<Message> =
            std::iter::from_fn(|| stream.try_recv().ok()).map(|got| got.into_message()).collect();
        assert_eq!(census.alive(), kept.len() as i64, "{overflow:?}");
        drop(kept);
        assert_eq!(census.alive(), 0);
    }
}

/// A publisher that waits while a spill stands is woken by the room that the owner makes in it.
#[test]
fn g7_a_waiting_publisher_is_woken_when_the_overflow_is_used_up() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (entered, gate, own) = (Gate::new(), Gate::new(), kind.clone());
    let (entered2, gate2) = (entered.clone(), gate.clone());
    let blocking = topic.subscription("s").accept(&kind).capacity(1).overflow(Overflow::Block(LONG));
    let _sub = blocking.start(move |delivery| {
        if delivery.read(&own) == Some(&0) {
            // In a handler a full mailbox is gone beyond.
            (1..4).for_each(|number| {
                delivery.topic().publish(own.message(number));
            });
            entered2.open();
            gate2.pass();
        }
    });
    topic.publish(kind.message(0));
    entered.pass();
    let publisher = thread::spawn({
        let (topic, kind) = (topic.clone(), kind.clone());
        move || topic.publish(kind.message(9))
    });
    thread::sleep(Duration::from_millis(50));
    gate.open();
    assert_eq!(publisher.join().unwrap().accepted, 1);
    end(&bus);
}

/// There is a little room, and its owner is in a handler that waits for the very publisher who waits for room.
#[test]
fn g7_a_little_room_is_enough_for_a_publisher_that_waits() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (first, published) = (Gate::new(), Gate::new());
    let (go_on, done, read) = (first.clone(), published.clone(), kind.clone());
    let policy = Overflow::Block(Duration::from_secs(50));
    let builder = topic.subscription("waits").accept(&kind).capacity(16).overflow(policy);
    let waits =
        builder.dispatch(Dispatch::Dedicated).start(move |delivery| match read.read(delivery.message()) {
            Some(0) => go_on.pass(),
            Some(1) => done.pass(),
            _ => {}
        });
    // One is being handled, sixteen fill the mailbox.
    topic.publish(kind.message(0));
    eventually(|| bus.stats().subscriptions[0].depth == 0);
    for number in 1..=16 {
        assert_eq!(topic.publish(kind.message(number)).accepted, 1);
    }
    let opens = thread::spawn(move || {
        // By then the publisher sleeps, as a rule.
        thread::sleep(Duration::from_millis(30));
        first.open();
    });
    let report = topic.publish(kind.message(17));
    published.open();
    assert_eq!((report.accepted, report.dropped), (1, 0));
    opens.join().unwrap();
    drop(waits);
    end(&bus);
}
