//! Publishers against everything that changes where messages go.

use super::seen::{Stage, Told, spawn};
use super::{Witness, explore};
use crate::{Dispatch, Wait};
use std::time::Duration;

const MODES: [Dispatch; 5] =
    [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];

/// Who is there all the time gets everything once, through a diamond, while others come and go.
#[test]
fn everything_once_while_subscriptions_come_and_go() {
    explore(|| {
        let stage = Stage::new(2, 2);
        let (from, left, right, to) =
            (stage.topic("from"), stage.topic("left"), stage.topic("right"), stage.topic("to"));
        let _diamond = [(&from, &left), (&from, &right), (&left, &to), (&right, &to)]
            .map(|(one, other)| one.forward_to(other).unwrap());
        let stay: Vec<_> = MODES.into_iter().map(|mode| stage.listen(&to, mode)).collect();
        let publishers = [0, 1, 2].map(|by| stage.publisher(by, 3, &from));
        let passing = [Dispatch::Pool, Dispatch::Inline].map(|mode| {
            let passing = stage.listen(&left, mode);
            passing.end()
        });
        passing.iter().for_each(|seen| seen.check_no_gaps(3));
        let told = Told::of_all(publishers);
        assert_eq!((told.dropped, told.refused), (0, 0));
        stage.finish(stay).iter().for_each(|seen| seen.check_all(3, 3));
    });
}

/// A forward comes and goes, another stays. When a cancel has returned, nothing published later comes that way.
#[test]
fn forward_comes_and_goes() {
    explore(|| {
        let stage = Stage::new(1, 2);
        let (from, by, to) = (stage.topic("from"), stage.topic("by"), stage.topic("to"));
        let _stays = from.forward_to(&to).unwrap();
        let (stays, passes) = (stage.listen(&to, Dispatch::Pool), stage.listen(&by, Dispatch::Serial));
        let publishers = [0, 1, 2].map(|one| stage.publisher(one, 3, &from));
        let maker = stage.maker();
        let (target, source) = (by.clone(), from.clone());
        let changer = spawn(move || {
            for round in 0..2 {
                let forward = source.forward_to(&target).unwrap();
                assert_eq!(source.publish(maker.item(3, 2 * round)).accepted, 2);
                forward.cancel();
                assert_eq!(source.publish(maker.item(3, 2 * round + 1)).accepted, 1);
            }
        });
        Told::of_all(publishers);
        changer.join();
        let seen = stage.finish(vec![stays, passes]);
        (0..3).for_each(|by| assert_eq!(seen[0].numbers_of(by), [0, 1, 2]));
        assert_eq!(seen[0].numbers_of(3), [0, 1, 2, 3]);
        assert_eq!(seen[1].numbers_of(3), [0, 2]);
        seen[1].check_order(3);
    });
}

/// A blocking reader looks again and again only if it finds something: it does not spin while somebody who would wake it
/// is not run. Two threads alone: it takes a waker that is stopped between two steps, and a reader that is preferred to it.
#[test]
fn reader_does_not_spin() {
    explore(|| {
        let stage = Stage::new(1, 1);
        let (topic, maker) = (stage.topic("topic"), stage.maker());
        let stream = stage.listen(&topic, Dispatch::Stream);
        for number in 0..4 {
            assert_eq!(topic.publish(maker.item(0, number)).accepted, 1);
        }
        stage.finish(vec![stream]).iter().for_each(|seen| seen.check_all(1, 4));
    });
}

/// Threads that wait awake: for ever, or a moment before they sleep. Each message comes, one that ends is not forgotten, and
/// the end of the bus waits for what they still do.
#[test]
fn awake_threads_miss_nothing() {
    static ENDED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 1);
        let (topic, next) = (stage.topic("topic"), stage.topic("next"));
        let moment = Wait::SpinThenPark(Duration::from_micros(1));
        let awake = |wait| topic.subscription("awake").accept(&stage.kind).wait(wait);
        let stays = [Wait::BusySpin, moment].map(|wait| {
            let (maker, next) = (stage.maker(), next.clone());
            stage.listen_as(awake(wait), Dispatch::Dedicated, move |(by, number)| {
                assert_eq!(next.publish(maker.item(by, number)).accepted, 1, "it has gone too early");
            })
        });
        let passes = stage.listen_as(awake(Wait::BusySpin), Dispatch::Dedicated, |_| {});
        let last = stage.listen(&next, Dispatch::Pool);
        let publishers = [0, 1].map(|by| stage.publisher(by, 3, &topic));
        let passed = passes.end();
        passed.check_begins(2);
        if !passed.names().is_empty() {
            ENDED.see();
        }
        let told = Told::of_all(publishers);
        assert_eq!((told.dropped, told.refused, told.accepted), (0, 0, 12 + passed.names().len() as u32));
        let seen = stage.finish([last].into_iter().chain(stays).collect());
        seen[1..].iter().for_each(|seen| seen.check_all(2, 3));
        for by in [0, 1] {
            let mut numbers = seen[0].numbers_of(by);
            numbers.sort_unstable();
            assert_eq!(numbers, [0, 0, 1, 1, 2, 2], "what two told of {by}");
        }
    });
    assert!(ENDED.was_seen());
}
