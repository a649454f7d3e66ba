//! Subscriptions: what the builder refuses, who hears of their begin and end, filters, and reading streams.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use futures_core::Stream as _;
use stasis_bus::{
    AmiEvent, Bus, Change, Dispatch, EndReason, Formatters, MessageType, NameError, Overflow,
    RecvTimeoutError, Stream, SubscribeError, SubscriptionChange, Topic, TryRecvError,
};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

// ---- the builder ----------------------------------------------------------------------------------------------------

#[test]
fn what_the_builder_refuses() {
    let _watched = watched();
    let (bus, _) = numbers();
    let (_, foreign) = numbers();
    let topic = bus.topic("t").unwrap();
    let made = |name: &str| topic.subscription(name);
    assert_eq!(made("").start(|_| {}).unwrap_err(), SubscribeError::Name(NameError::Empty));
    assert_eq!(made("a\0").stream().unwrap_err(), SubscribeError::Name(NameError::ControlCharacter('\0', 1)));
    assert_eq!(
        made(&"x".repeat(256)).inline(|_| {}).unwrap_err(),
        SubscribeError::Name(NameError::TooLong(256))
    );
    for value in [0, (1 << 24) + 1, usize::MAX] {
        let error = made("s").capacity(value).start(|_| {}).unwrap_err();
        assert_eq!(error, SubscribeError::Capacity { value, allowed: 1..=1 << 24 });
        assert!(error.to_string().contains(&format!("capacity is {value}; allowed are 1 to 16777216")));
    }
    assert_eq!(
        made("s").accept(&foreign).start(|_| {}).unwrap_err(),
        SubscribeError::ForeignType("number".into())
    );
    let wrong = |set, call| SubscribeError::Dispatch { set, call };
    assert_eq!(made("s").dispatch(Dispatch::Inline).start(|_| {}).unwrap_err(), wrong("inline", "start"));
    assert_eq!(made("s").dispatch(Dispatch::Stream).start(|_| {}).unwrap_err(), wrong("stream", "start"));
    assert_eq!(made("s").dispatch(Dispatch::Pool).inline(|_| {}).unwrap_err(), wrong("pool", "inline"));
    assert_eq!(made("s").dispatch(Dispatch::Dedicated).stream().unwrap_err(), wrong("dedicated", "stream"));
    assert!(made("s").dispatch(Dispatch::Inline).inline(|_| {}).is_ok());
    assert_eq!(topic.stats().subscriptions, 0, "nothing of it is left");
    assert_eq!(topic.stats().reached, 2, "nobody was told but of the last one");
    assert!(made("s").capacity(1 << 24).stream().is_ok(), "an idle one costs no more");
}

#[test]
fn ids_are_unique_and_the_handle_tells_what_was_set() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let listeners =
        EVERY_MODE.map(|mode| listen(topic.subscription("same name").accept(&kind), mode, |_| {}));
    let mut ids = listeners.each_ref().map(|listener| listener.id()).to_vec();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    for (listener, mode) in listeners.iter().zip(EVERY_MODE) {
        assert_eq!((listener.name(), listener.dispatch()), ("same name", mode));
        assert!(listener.topic().is_same(&topic));
    }
    assert_eq!(Dispatch::Serial.to_string(), "serial");
    assert_eq!(Dispatch::default(), Dispatch::Pool);
}

// ---- who hears of whom ------------------------------------------------------------------------------------------------

type Told = (String, Change);

/// Notes what it is told of others and of itself.
fn note_changes(
    topic: &Topic,
    name: &str,
    mode: Dispatch,
    changes: &MessageType<SubscriptionChange>,
) -> (Listener, Log<Told>) {
    let (log, changes) = (Log::new(), changes.clone());
    let noted = log.clone();
    let listener = listen(topic.subscription(name), mode, move |heard| {
        if let Some(change) = changes.read(&heard.message) {
            noted.push((change.subscription.clone(), change.change));
        }
    });
    (listener, log)
}

const GONE: Change = Change::Unsubscribe(EndReason::Unsubscribed);

fn told(list: &[(&str, Change)]) -> Vec<Told> {
    list.iter().map(|(name, change)| ((*name).to_owned(), *change)).collect()
}

#[test]
fn a_begin_is_told_to_itself_first_then_to_the_topic_and_what_it_forwards_to() {
    let _watched = watched();
    for mode in EVERY_MODE {
        let (bus, _) = numbers();
        let changes = bus.subscription_changes().clone();
        let [up, here, down] = ["up", "here", "down"].map(|name| bus.topic(name).unwrap());
        let _edges =
            [up.forward_to(&here).unwrap(), here.forward_to(&down).unwrap(), here.forward_to(&down).unwrap()];
        let (above, above_log) = note_changes(&up, "above", mode, &changes);
        let (beside, beside_log) = note_changes(&here, "beside", mode, &changes);
        let (below, below_log) = note_changes(&down, "below", mode, &changes);
        let (new, new_log) = note_changes(&here, "new", mode, &changes);
        new.unsubscribe();
        // `above` hears of itself alone; what it forwards to hears of it.
        for listener in [&above, &beside, &below] {
            listener.unsubscribe();
        }
        assert_eq!(new_log.await_len(2), told(&[("new", Change::Subscribe), ("new", GONE)]), "{mode}");
        let expected = told(&[("above", Change::Subscribe), ("above", GONE)]);
        assert_eq!(above_log.await_len(2), expected, "{mode}: nothing flows against a forward");
        let expected = told(&[
            ("beside", Change::Subscribe),
            ("new", Change::Subscribe),
            ("new", GONE),
            ("above", GONE),
            ("beside", GONE),
        ]);
        assert_eq!(beside_log.await_len(5), expected, "{mode}");
        let expected = told(&[
            ("below", Change::Subscribe),
            ("new", Change::Subscribe),
            ("new", GONE),
            ("above", GONE),
            ("beside", GONE),
            ("below", GONE),
        ]);
        assert_eq!(below_log.await_len(6), expected, "{mode}: once, although the forward is doubled");
        end(&bus);
    }
}

#[test]
fn ones_own_begin_comes_first_while_publishers_run() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let changes = bus.subscription_changes().clone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    topic.publish(kind.message(0));
                    thread::yield_now();
                }
            });
        }
        for round in 0..100 {
            for mode in EVERY_MODE {
                let (first, changes) = (Log::new(), changes.clone());
                let noted = first.clone();
                let listener = listen(topic.subscription(format!("{mode} {round}")), mode, move |heard| {
                    if noted.len() == 0 {
                        noted.push(
                            changes
                                .read(&heard.message)
                                .map(|change| (change.subscription.clone(), change.change)),
                        );
                    }
                });
                let expected = Some((format!("{mode} {round}"), Change::Subscribe));
                assert_eq!(first.await_len(1), [expected], "{mode}");
                drop(listener);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    end(&bus);
}

#[test]
fn forwards_and_shutdowns_tell_nobody_else() {
    let _watched = watched();
    let (bus, _) = numbers();
    let changes = bus.subscription_changes().clone();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let (_one, log) = note_changes(&there, "one", Dispatch::Pool, &changes);
    let (_other, _) = note_changes(&there, "other", Dispatch::Pool, &changes);
    here.forward_to(&there).unwrap().cancel();
    end(&bus);
    let expected = [
        ("one", Change::Subscribe),
        ("other", Change::Subscribe),
        ("one", Change::Unsubscribe(EndReason::ShutDown)),
    ];
    assert_eq!(log.all(), told(&expected));
}

#[test]
fn typed_filters_leave_changes_out_unless_accepted() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let mut without = topic.subscription("without").accept(&kind).stream().unwrap();
    let with = topic.subscription("with").accept(&kind).accept(bus.subscription_changes());
    let mut with = with.stream().unwrap();
    drop(topic.subscription("third").stream().unwrap());
    topic.publish(kind.message(1));
    let names = |stream: &mut Stream| {
        std::iter::from_fn(|| stream.try_recv().ok())
            .map(|got| got.message().type_name().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&mut without), ["number"]);
    let change = "subscription_change";
    assert_eq!(
        names(&mut with),
        [change, change, change, "number"],
        "its own begin, the third's begin and end"
    );
}

// ---- filters --------------------------------------------------------------------------------------------------------

#[test]
fn filters_take_a_type_of_the_set_or_a_formatter_of_the_set() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    // Enough types that a set needs more than one word.
    let plain: Vec<_> = (0..150).map(|n| bus.message_type::<u8>(&format!("plain:{n}")).unwrap()).collect();
    let ami = bus.define::<u8>("ami").ami(|_, _| Some(AmiEvent::new("X"))).declare().unwrap();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let heard_by = |builder: stasis_bus::SubscriptionBuilder<'_>| {
            let log = Log::new();
            let noted = log.clone();
            (listen(builder, mode, move |heard| noted.push(heard.message.type_name().to_owned())), log)
        };
        let types = heard_by(topic.subscription("types").accept(&plain[3]).accept(&plain[149]));
        let forms = heard_by(topic.subscription("forms").accept_formatters(Formatters::AMI));
        let either =
            heard_by(topic.subscription("either").accept(&plain[64]).accept_formatters(Formatters::AMI));
        let nothing = heard_by(topic.subscription("none").accept_formatters(Formatters::NONE));
        let mut filtered = 0;
        for kind in plain.iter().chain([&ami]) {
            filtered += topic.publish(kind.message(1)).filtered;
        }
        // Of 4 x 151: 2, 1 and 2 were taken.
        assert_eq!(filtered, 4 * 151 - 5, "{mode}");
        for (listener, _) in [&types, &forms, &either, &nothing] {
            listener.unsubscribe();
            // Changes of the others are heard as well, so counting what was heard would not tell when all is in.
            listener.join().unwrap();
        }
        let expect = |log: &Log<String>, names: &[&str]| {
            // Every subscription ends with its own final message; the control type has an AMI form itself.
            let heard = log.await_len(names.len() + 1);
            let others: Vec<_> = heard.iter().filter(|name| *name != "subscription_change").collect();
            assert_eq!(others, names, "{mode}");
        };
        expect(&types.1, &["plain:3", "plain:149"]);
        expect(&forms.1, &["ami"]);
        expect(&either.1, &["plain:64", "ami"]);
        expect(&nothing.1, &[]);
    }
    end(&bus);
}

// ---- reading streams ------------------------------------------------------------------------------------------------

fn stream_of(bus: &Bus, kind: &MessageType<u64>) -> (Topic, Stream) {
    let topic = bus.topic("t").unwrap();
    let stream = topic.subscription("s").accept(kind).stream().unwrap();
    (topic, stream)
}

#[test]
fn reading_without_waiting() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    assert_eq!(stream.try_recv().unwrap_err(), TryRecvError::Empty);
    topic.publish(kind.message(7));
    let received = stream.try_recv().unwrap();
    assert_eq!(
        (received.read(&kind), received.seq(), received.missed(), received.end()),
        (Some(&7), 0, 0, None)
    );
    assert_eq!(stream.try_recv().unwrap_err(), TryRecvError::Empty);
    stream.unsubscribe();
    let last = stream.try_recv().unwrap();
    assert_eq!((last.is_final(), last.seq(), last.end()), (true, 1, Some(EndReason::Unsubscribed)));
    assert_eq!(stream.try_recv().unwrap_err(), TryRecvError::Over);
    assert_eq!(stream.recv_timeout(Duration::MAX).unwrap_err(), RecvTimeoutError::Over);
    assert!(stream.recv().is_none());
    assert!(stream.handle().is_done());
}

#[test]
fn reading_with_a_time_limit() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    assert_eq!(stream.recv_timeout(Duration::from_millis(5)).unwrap_err(), RecvTimeoutError::TimedOut);
    assert_eq!(stream.recv_timeout(Duration::ZERO).unwrap_err(), RecvTimeoutError::TimedOut);
    topic.publish(kind.message(1));
    assert_eq!(stream.recv_timeout(Duration::ZERO).unwrap().read(&kind), Some(&1));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(10));
            topic.publish(kind.message(2));
        });
        assert_eq!(stream.recv_timeout(Duration::MAX).unwrap().read(&kind), Some(&2));
    });
}

#[test]
fn blocking_reads_are_woken_by_messages_and_by_the_end() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    let handle = stream.handle();
    let reader = thread::spawn({
        let kind = kind.clone();
        move || {
            let mut heard = Vec::new();
            while let Some(received) = stream.recv() {
                heard.push(received.read(&kind).copied());
            }
            heard
        }
    });
    for number in 0..300 {
        topic.publish(kind.message(number));
        if number % 3 == 0 {
            // Let it go to sleep in between.
            eventually(|| handle.stats().depth == 0);
        }
    }
    handle.unsubscribe();
    handle.join().unwrap();
    assert_eq!(reader.join().unwrap(), (0..300).map(Some).chain([None]).collect::<Vec<_>>());
}

// ---- async, with a hand-made executor ---------------------------------------------------------------------------------

/// Wakes the thread that blocks on a future, and counts how often.
struct Alarm(thread::Thread, AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn alarm() -> (Arc<Alarm>, Waker) {
    let alarm = Arc::new(Alarm(thread::current(), AtomicUsize::new(0)));
    (alarm.clone(), Waker::from(alarm))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let (mut future, (_, waker)) = (pin!(future), alarm());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// The next item, as every runtime's `StreamExt::next` makes it.
fn next(stream: &mut Stream) -> impl Future<Output = Option<stasis_bus::Received>> {
    std::future::poll_fn(move |context| Pin::new(&mut *stream).poll_next(context))
}

#[test]
fn a_task_reads_a_stream_to_its_end() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    let handle = stream.handle();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..5_000 {
                topic.publish(kind.message(number));
                if number % 50 == 0 {
                    thread::sleep(Duration::from_micros(100));
                }
            }
            handle.unsubscribe();
        });
        let heard = block_on(async {
            let mut heard = Vec::new();
            while let Some(received) = next(&mut stream).await {
                heard.push(received.read(&kind).copied());
            }
            heard
        });
        assert_eq!(heard, (0..5_000).map(Some).chain([None]).collect::<Vec<_>>());
        assert!(block_on(next(&mut stream)).is_none(), "over for good");
    });
}

/// Reads that are given up before they are ready (as by `select!`) take nothing with them.
#[test]
fn a_cancelled_read_has_taken_nothing() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    let mut heard = Vec::new();
    for number in 0..200 {
        {
            let (_, waker) = alarm();
            let mut given_up = pin!(next(&mut stream));
            assert!(given_up.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            topic.publish(kind.message(number));
        }
        heard.push(*block_on(next(&mut stream)).unwrap().read(&kind).unwrap());
    }
    assert_eq!(heard, (0..200).collect::<Vec<_>>());
}

#[test]
fn the_last_waker_is_the_one_that_is_woken_and_once() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    let ((first, first_waker), (second, second_waker)) = (alarm(), alarm());
    let mut poll =
        |waker: &Waker| Pin::new(&mut stream).poll_next(&mut Context::from_waker(waker)).is_ready();
    assert!(!poll(&first_waker) && !poll(&second_waker));
    (0..10).for_each(|number| {
        topic.publish(kind.message(number));
    });
    assert_eq!((first.1.load(Ordering::SeqCst), second.1.load(Ordering::SeqCst)), (0, 1));
    assert!((0..10).all(|_| poll(&first_waker)));
    assert!(!poll(&first_waker));
    topic.publish(kind.message(10));
    assert_eq!((first.1.load(Ordering::SeqCst), second.1.load(Ordering::SeqCst)), (1, 1));
}

/// The task moves between threads, and its messages come meanwhile.
#[test]
fn a_stream_may_move_between_threads() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    for round in 0..50 {
        topic.publish(kind.message(round));
        let kind2 = kind.clone();
        stream = thread::spawn(move || {
            assert_eq!(stream.recv().unwrap().read(&kind2), Some(&round));
            assert!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
            stream
        })
        .join()
        .unwrap();
    }
}

#[test]
fn wakeups_are_not_lost_between_a_publisher_and_a_reader_that_goes_to_sleep() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (there, mut there_stream) = stream_of(&bus, &kind);
    let back = bus.topic("back").unwrap();
    let mut back_stream = back.subscription("b").accept(&kind).stream().unwrap();
    // Ping-pong: after each message both sleep.
    thread::scope(|scope| {
        scope.spawn(|| {
            block_on(async {
                for _ in 0..5_000 {
                    let received = next(&mut there_stream).await.unwrap();
                    back.publish(received.into_message());
                }
            });
        });
        for number in 0..5_000 {
            there.publish(kind.message(number));
            assert_eq!(back_stream.recv().unwrap().read(&kind), Some(&number));
        }
    });
}

#[test]
fn a_streams_handle_ends_nothing_when_dropped_and_can_end_it() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, mut stream) = stream_of(&bus, &kind);
    drop(stream.handle());
    assert!(stream.is_subscribed());
    assert_eq!((stream.name(), stream.topic().name(), stream.id()), ("s", "t", stream.handle().id()));
    topic.publish(kind.message(1));
    assert!(stream.handle().unsubscribe() && !stream.unsubscribe());
    assert_eq!(topic.publish(kind.message(2)).accepted, 0);
    assert_eq!(stream.recv().unwrap().read(&kind), Some(&1), "what is queued can still be read");
    assert!(stream.recv().unwrap().is_final());
}

#[test]
fn a_delivery_says_where_it_came_to() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let log = Log::new();
    let (noted, id) = (log.clone(), bus.clone());
    let weak = id.downgrade();
    drop(id);
    let sub = there.subscription("d").accept(&kind).overflow(Overflow::DropNewest).start(move |delivery| {
        let same_bus = delivery.bus().is_some() && weak.upgrade().is_some();
        noted.push((delivery.topic().name().to_owned(), delivery.seq(), delivery.is_final(), same_bus));
    });
    here.publish(kind.message(1));
    sub.unwrap().unsubscribe_and_join().unwrap();
    assert_eq!(log.all(), [("there".to_owned(), 0, false, true), ("there".to_owned(), 1, true, true)]);
}
