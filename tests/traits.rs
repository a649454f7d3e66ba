//! Which public types may go to other threads, say what they are, and are errors.

use stasis_bus::*;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};

fn shared<T: Send + Sync + Debug>() {}
fn sent<T: Send + Debug>() {}
fn cloned<T: Send + Sync + Debug + Clone>() {}
fn plain<T: Send + Sync + Debug + Clone + PartialEq>() {}
fn error<T: StdError + Send + Sync + Clone + PartialEq + Into<Error> + 'static>() {}
fn unpinned<T: Unpin>() {}

#[test]
fn handles_go_to_other_threads() {
    cloned::<Bus>();
    cloned::<WeakBus>();
    cloned::<Topic>();
    cloned::<TopicOf<std::cell::Cell<u8>>>();
    cloned::<TopicPool>();
    cloned::<Cache>();
    shared::<CachingTopic>();
    shared::<Lease<std::cell::Cell<u8>>>();
    cloned::<Watch>();
    unpinned::<Watch>();
    unpinned::<Changed<'_>>();
    cloned::<CachePattern>();
    shared::<CacheSingle>();
    shared::<CacheEntry<'_>>();
    sent::<CacheBuilder>();
    cloned::<StateManager>();
    shared::<StatePublisher>();
    shared::<StateSubscriber>();
    shared::<StateSubscription>();
    shared::<StateObservation>();
    sent::<StateSubscriptionBuilder<'_>>();
    cloned::<StateView<'_>>();
    cloned::<Message>();
    cloned::<MessageType<std::cell::Cell<u8>>>();
    cloned::<AmiEvent>();
    shared::<Subscription>();
    shared::<Forward>();
    shared::<Stream>();
    shared::<Router>();
    cloned::<Routes>();
    shared::<Received>();
    unpinned::<Stream>();
    sent::<Publisher>();
    sent::<PublishAsync>();
    unpinned::<PublishAsync>();
    sent::<BusBuilder>();
    sent::<SubscriptionBuilder<'_>>();
    sent::<RouterBuilder<'_>>();
    sent::<TypeBuilder<'_, u8>>();
    sent::<MessageBuilder<'_, u8>>();
    shared::<PanicReport<'_>>();
    cloned::<Delivery<'_>>();
}

#[cfg(feature = "json")]
#[test]
fn sanitizers_and_events_go_to_other_threads() {
    shared::<JsonSanitizer>();
    error::<EventError>();
}

#[cfg(feature = "metrics")]
#[test]
fn observers_go_to_other_threads() {
    use stasis_bus::observe::{Metric, Observer, Publishing};
    cloned::<Observer>();
    shared::<Publishing>();
    plain::<Metric>();
    error::<ObserveError>();
}

#[cfg(any(feature = "console", feature = "prometheus"))]
#[test]
fn servers_go_to_other_threads() {
    shared::<http::Server>();
    shared::<http::ServerBuilder>();
    error::<ServeError>();
}

#[test]
fn plain_data_is_plain() {
    plain::<Report>();
    plain::<BatchReport>();
    plain::<Refusal>();
    plain::<ShutdownReport>();
    plain::<Straggler>();
    plain::<TypeInfo>();
    plain::<SubscriptionChange>();
    plain::<Change>();
    plain::<EndReason>();
    plain::<Origin>();
    plain::<Timestamp>();
    plain::<Formatters>();
    plain::<Dispatch>();
    plain::<Overflow>();
    plain::<Grow>();
    plain::<Handled>();
    plain::<PanicPlace>();
    plain::<BusStats>();
    plain::<CacheStats>();
    plain::<AnyType>();
    plain::<TopicStats>();
    plain::<SubscriptionStats>();
    plain::<Timing>();
    plain::<TopicDetail>();
    plain::<Diagnosis>();
    plain::<Finding>();
    plain::<Bucket>();
    plain::<Lost>();
    plain::<RouterStats>();
    plain::<WaterMark>();
    plain::<Crossing>();
    plain::<Key>();
    plain::<ConflateKey>();
}

#[test]
fn every_error_is_one_and_becomes_the_crates_own() {
    error::<NameError>();
    error::<ConfigError>();
    error::<TypeError>();
    error::<SubscribeError>();
    error::<RouteError>();
    error::<ForwardError>();
    error::<PoolError>();
    error::<CacheError>();
    error::<CachingError>();
    error::<EntryError>();
    error::<WatchEnded>();
    error::<StateError>();
    error::<WaitError>();
    error::<ShutdownError>();
    fn standard<T: StdError + Send + Sync + Copy + PartialEq + 'static>() {}
    standard::<TryRecvError>();
    standard::<RecvTimeoutError>();
}

/// Each says what is wrong, with the value and what is allowed, in one line.
#[test]
fn errors_say_what_is_wrong() {
    let config = |build: BusBuilder| build.build().unwrap_err().to_string();
    let cases: [(String, &[&str]); 16] = [
        (config(Bus::builder().workers(0..=4)), &["workers (minimum)", "0", "1 to 4"]),
        (config(Bus::builder().workers(1..=65)), &["workers (maximum)", "65", "1 to 64"]),
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is wrong with it")]
        (config(Bus::builder().workers(5..=4)), &["workers (minimum)", "5", "1 to 4"]),
        (
            config(Bus::builder().grow_after(std::time::Duration::ZERO)),
            &["grow_after", "0", "100 to 10000000"],
        ),
        (
            config(Bus::builder().wait(Wait::SpinThenPark(std::time::Duration::MAX))),
            &["wait", "0 to 1000000"],
        ),
        (config(Bus::builder().wait(Wait::BusySpin)), &["wait", "BusySpin", "Park or SpinThenPark"]),
        (config(Bus::builder().idle_timeout(Some(std::time::Duration::ZERO))), &["idle_timeout", "1000 to"]),
        (config(Bus::builder().thread_name("")), &["thread_name", "\"\"", "empty"]),
        (config(Bus::builder().node("a\nb")), &["node", "a\\nb", "control character"]),
        (config(Bus::builder().decline("x".repeat(300))), &["decline", "300 bytes", "255"]),
        (SubscribeError::Closed.to_string(), &["shut down"]),
        (WaitError::WouldDeadlock.to_string(), &["calling thread"]),
        (ForwardError::OtherBus.to_string(), &["another bus"]),
        (ShutdownError::InHandler.to_string(), &["handler"]),
        (RouteError::ForeignType("far".to_owned()).to_string(), &["\"far\"", "another bus"]),
        (RouteError::Ended.to_string(), &["router", "ended"]),
    ];
    for (text, parts) in cases {
        assert!(!text.contains('\n') && parts.iter().all(|part| text.contains(part)), "{text:?}: {parts:?}");
    }
}

#[test]
fn conversions_keep_the_text() {
    fn same<E: Display + Into<Error> + Clone>(error: E) {
        assert_eq!(error.clone().into().to_string(), error.to_string());
    }
    same(NameError::Empty);
    same(TypeError::from(NameError::Empty));
    same(SubscribeError::from(NameError::TooLong(300)));
    same(WaitError::TimedOut);
    same(ForwardError::OtherBus);
    same(RouteError::Taken { name: "x".to_owned(), updates: true });
    same(SubscribeError::from(RouteError::Ended));
    same(ShutdownError::InHandler);
    same(ConfigError::DeclinedControl { name: "x".to_owned() });
}
