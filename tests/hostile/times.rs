//! Waits of no length and of every length; clocks that leap to the end of time.

use crate::common::*;
use stasis_bus::{Bus, Cache, Dispatch, Handled, RecvTimeoutError, Timestamp, WaitError};
use std::time::Duration;

#[test]
fn waits_may_be_zero_or_for_ever() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (listener, log) = note_numbers(topic.subscription("s").accept(&kind), Dispatch::Pool, &kind);
    assert_eq!(listener.publish_sync(kind.message(1), Some(Duration::MAX)), Ok(Handled::Yes));
    let at_once = listener.publish_sync(kind.message(2), Some(Duration::ZERO));
    assert!(matches!(at_once, Ok(Handled::Yes) | Err(WaitError::TimedOut)), "{at_once:?}");
    assert_eq!(listener.join_timeout(Duration::ZERO), Err(WaitError::TimedOut));
    let mut stream = topic.subscription("r").accept(&kind).stream().unwrap();
    assert!(matches!(stream.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::TimedOut)));
    topic.publish(kind.message(3));
    assert_eq!(stream.recv_timeout(Duration::MAX).unwrap().read(&kind), Some(&3));
    listener.unsubscribe();
    assert_eq!(listener.join_timeout(Duration::MAX), Ok(()));
    assert_eq!(log.all(), [Some(1), Some(2), Some(3), None]);
    drop(stream);
    assert!(bus.shutdown(Duration::MAX).unwrap().is_clean());
}

#[test]
fn a_shutdown_without_any_time_accounts_for_everything() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (listener, log) = note_numbers(topic.subscription("s").accept(&kind), Dispatch::Pool, &kind);
    (0..5_000).for_each(|number| _ = topic.publish(kind.message(number)));
    let _ = bus.shutdown(Duration::ZERO).unwrap();
    listener.join().unwrap();
    assert_eq!(log.len() as u64 - 1 + listener.stats().missed, 5_000, "{}", listener.stats());
    assert_eq!(log.all().last(), Some(&None), "the final message is the last");
}

/// The clock of a manual bus stands still at the end of time: what has passed stays passed.
#[test]
fn a_clock_that_leaps_to_the_end_of_time_does_not_go_back() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<(String, u8)>("state").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |(id, _)| id).ttl(Duration::from_secs(60)).build().unwrap();
    let topic = bus.topic("t").unwrap();
    let _caching = topic.caching(&cache).unwrap();
    let mut last = Timestamp::default();
    for leap in
        [Duration::from_secs(1), Duration::MAX, Duration::from_secs(3_600), Duration::MAX, Duration::ZERO]
    {
        let message = kind.message(("a".to_owned(), 1));
        assert!(message.timestamp() >= last, "{:?} after {last:?}", message.timestamp());
        last = message.timestamp();
        topic.publish(message);
        assert_eq!(cache.len(), 1);
        bus.advance(leap);
        bus.run_until_idle();
    }
    let _ = (bus.stats().to_string(), bus.diagnose().to_string());
    end(&bus);
}

/// Sources may say of their messages what time they like: order, figures and caches do not go by it.
#[test]
fn messages_of_any_time_are_kept_in_the_order_in_which_they_came() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |_| "one").build().unwrap();
    let _caching = topic.caching(&cache).unwrap();
    let (listener, log) = note_numbers(topic.subscription("s").accept(&kind), Dispatch::Pool, &kind);
    for (number, time) in [(1, u64::MAX), (2, 0), (3, 1 << 60), (4, u64::MAX)] {
        let message = kind.message_at(number, Timestamp::from_nanos(time));
        let _ = (message.timestamp().to_system_time(), format!("{message:?}"));
        topic.publish(message);
        assert_eq!(cache.get(&kind, "one").and_then(|last| kind.read(&last).copied()), Some(number));
    }
    listener.unsubscribe();
    listener.join().unwrap();
    assert_eq!(log.all(), [Some(1), Some(2), Some(3), Some(4), None]);
    let _ = bus.stats().to_string();
    drop(cache);
    end(&bus);
}
