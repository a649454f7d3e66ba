//! The end of a bus against everything that is under way. That nothing is left is checked by `Stage::finish`, and that no
//! thread is by the run: it would not end.

use super::seen::{LONG, Listener, Publisher, Stage, Told, check_told, spawn};
use super::{Witness, explore};
use crate::{Dispatch, EndReason, Overflow, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MODES: [Dispatch; 5] =
    [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];

/// Two end it, while others publish: what was accepted is handled, what was not is said to be refused or closed.
#[test]
fn shutdown_against_publishers() {
    static REFUSED: Witness = Witness::new();
    static DELIVERED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let listeners = MODES.map(|mode| stage.listen(&topic, mode));
        let publishers = [0, 1, 2].map(|by| stage.publisher(by, 3, &topic));
        let bus = stage.bus.clone();
        let other = spawn(move || assert!(bus.shutdown(LONG).unwrap().is_clean()));
        assert!(stage.bus.shutdown(LONG).unwrap().is_clean());
        other.join();
        let each: Vec<_> = publishers.into_iter().map(Publisher::join_each).collect();
        let seen = stage.finish(listeners.into());
        seen.iter().for_each(|seen| seen.check_begins(3));
        // A publish that was let in late finds fewer than five.
        check_told(&seen, &each);
        let told = Told::sum(each.into_iter().flatten());
        if told.refused > 0 {
            REFUSED.see();
        }
        if told.accepted > 0 {
            DELIVERED.see();
        }
    });
    assert!(REFUSED.was_seen() && DELIVERED.was_seen());
}

/// Others subscribe meanwhile: they are refused, or get their final message.
#[test]
fn shutdown_against_subscribers() {
    static REFUSED: Witness = Witness::new();
    static ENDED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let subscribers = [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Serial].map(|mode| {
            let (topic, kind, seen) = (topic.clone(), stage.kind.clone(), Arc::new(Mutex::new(Vec::new())));
            let noted = seen.clone();
            let subscribe = move || {
                let builder = topic.subscription("late").accept(&kind).dispatch(mode);
                let started = builder.start(move |delivery| noted.lock().unwrap().push(delivery.end()));
                match started {
                    Ok(subscription) => {
                        ENDED.see();
                        subscription.join().unwrap();
                        assert!(seen.lock().unwrap().ends_with(&[Some(EndReason::ShutDown)]));
                    }
                    Err(_) => {
                        REFUSED.see();
                        assert!(seen.lock().unwrap().is_empty());
                    }
                }
            };
            spawn(subscribe)
        });
        let publisher = stage.publisher(0, 2, &topic);
        assert!(stage.bus.shutdown(LONG).unwrap().is_clean());
        publisher.join();
        subscribers.into_iter().for_each(|subscriber| subscriber.join());
        stage.finish(Vec::new());
    });
    assert!(REFUSED.was_seen() && ENDED.was_seen());
}

/// Handlers publish what they get to the next stage: what had come in at the first comes out at the last. Of what is
/// published while the bus ends, the beginning comes as far as it comes.
#[test]
fn shutdown_drains_pipelines() {
    static CUT_OFF: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topics = ["a", "b", "c"].map(|name| stage.topic(name));
        let last = stage.listen(&topics[2], Dispatch::Pool);
        let stages = [Dispatch::Pool, Dispatch::Dedicated].into_iter().enumerate().map(|(at, mode)| {
            let (maker, next) = (stage.maker(), topics[at + 1].clone());
            let builder = topics[at].subscription("stage").accept(&stage.kind);
            stage.listen_as(builder, mode, move |(by, number)| {
                let accepted = next.publish(maker.item(by, number)).accepted;
                assert!(accepted == 1 || by == LATE, "a stage has gone too early");
            })
        });
        let mut listeners: Vec<Listener> = stages.collect();
        listeners.push(last);
        let late = stage.publisher(LATE, 3, &topics[0]);
        assert_eq!(Told::of_all([0, 1].map(|by| stage.publisher(by, 2, &topics[0]))).accepted, 4);
        assert!(stage.bus.shutdown(LONG).unwrap().is_clean());
        let told = late.join();
        let seen = stage.finish(listeners);
        seen.iter().for_each(|seen| seen.check_no_gaps(3));
        seen.iter().for_each(|seen| (0..2).for_each(|by| assert_eq!(seen.numbers_of(by), [0, 1])));
        assert_eq!(seen[0].numbers_of(LATE).len() as u32, told.accepted);
        if told.refused > 0 {
            CUT_OFF.see();
        }
    });
    assert!(CUT_OFF.was_seen());
}

/// The publisher that goes on.
const LATE: usize = 2;

/// Publishers wait for room that nobody makes: the end lets them go. What each was told is what became of its message.
#[test]
fn shutdown_frees_who_waits_for_room() {
    static WAITED: Witness = Witness::new();
    static REFUSED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 1);
        let topic = stage.topic("topic");
        let builder = topic.subscription("nobody reads").accept(&stage.kind).capacity(1);
        let mut stream = builder.overflow(Overflow::block_forever()).stream().unwrap();
        let publishers = [0, 1, 2].map(|by| stage.publisher(by, 2, &topic));
        let bus = stage.bus.clone();
        let ends = spawn(move || assert!(bus.shutdown(Duration::from_millis(1)).is_ok()));
        let told = Told::of_all(publishers);
        ends.join();
        assert_eq!(told.accepted + told.dropped + told.closed + told.refused + told.alone, 6, "{told:?}");
        let (mut came, mut missed) = (0, 0);
        while let Ok(received) = stream.try_recv() {
            came += u32::from(!received.is_final());
            missed += received.missed() as u32;
        }
        assert_eq!(stream.try_recv().err(), Some(TryRecvError::Over), "no final message");
        let lost = stream.stats().lost;
        assert_eq!((told.accepted, u64::from(told.dropped)), (came + lost.discarded as u32, lost.timed_out));
        assert_eq!(u64::from(missed), lost.total(), "{lost}");
        if told.closed > 0 {
            WAITED.see();
        }
        if told.refused > 0 {
            REFUSED.see();
        }
        drop(stream);
        stage.leave(Vec::new(), Vec::new());
    });
    assert!(WAITED.was_seen() && REFUSED.was_seen());
}

/// The last handle of the bus goes while publishers have topics: they are served or refused, as they are told, and
/// everything ends.
#[test]
fn last_handle_goes() {
    static SERVED: Witness = Witness::new();
    static REFUSED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let listeners = [Dispatch::Pool, Dispatch::Serial].map(|mode| stage.listen(&topic, mode));
        let publishers = [0, 1].map(|by| stage.publisher(by, 2, &topic));
        let (told, seen) = stage.leave(publishers.into(), listeners.into());
        seen.iter().for_each(|seen| seen.check_begins(2));
        check_told(&seen, &told);
        let told = Told::sum(told.into_iter().flatten());
        if told.accepted > 0 {
            SERVED.see();
        }
        if told.refused > 0 {
            REFUSED.see();
        }
    });
    assert!(SERVED.was_seen() && REFUSED.was_seen());
}
