//! Metrics that are published at an interval, on a thread of the bus: for recorders that push.
#![cfg(feature = "metrics")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
mod metrics_checks;

use common::*;
use metrics_checks::Kept;
use stasis_bus::observe::{Observer, Publishing};
use stasis_bus::{Bus, ObserveError, PanicPlace, ThreadInfo, ThreadKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// The one recorder that all threads of this process have. Panics when it is told to.
#[derive(Clone, Default)]
struct Installed {
    kept: Kept,
    panics: Arc<AtomicBool>,
}

impl metrics::Recorder for Installed {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn register_counter(&self, key: &metrics::Key, metadata: &metrics::Metadata<'_>) -> metrics::Counter {
        assert!(!self.panics.load(Ordering::Relaxed), "on purpose");
        self.kept.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &metrics::Key, metadata: &metrics::Metadata<'_>) -> metrics::Gauge {
        self.kept.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &metrics::Key, metadata: &metrics::Metadata<'_>) -> metrics::Histogram {
        self.kept.register_histogram(key, metadata)
    }
}

#[test]
fn a_thread_publishes_until_it_is_stopped_whatever_the_recorder_does() {
    static PANICKED: OnceLock<PanicPlace> = OnceLock::new();
    let _watched = watched();
    let installed = Installed::default();
    metrics::set_global_recorder(installed.clone()).expect("only this test installs one");
    let bus = Bus::builder().on_panic(|report| _ = PANICKED.set(report.place)).build().unwrap();
    let publishing = Observer::new(&bus).every(Duration::from_millis(10)).unwrap();
    let again = || {
        let before = installed.kept.registered();
        eventually(|| installed.kept.registered() > before + 200);
    };
    again();
    installed.panics.store(true, Ordering::Relaxed);
    eventually(|| bus.stats().panics >= 2);
    installed.panics.store(false, Ordering::Relaxed);
    again();
    assert_eq!(PANICKED.get(), Some(&PanicPlace::Recorder));
    publishing.stop();
    let stopped = installed.kept.registered();
    // It ends with the bus as well.
    let publishing = Observer::new(&bus).every(Duration::from_millis(10)).unwrap();
    eventually(|| installed.kept.registered() > stopped);
    end(&bus);
    drop(bus);
    publishing.stop();
}

#[test]
fn the_hook_for_threads_hears_of_the_one_that_publishes() {
    let _watched = watched();
    let kinds = Log::new();
    let seen = kinds.clone();
    let hook = move |thread: &ThreadInfo| seen.push((thread.kind.clone(), thread.name.clone()));
    let bus = Bus::builder().manual().on_thread_start(hook).build().unwrap();
    let observer = Observer::new(&bus);
    observer.every(Duration::from_secs(10)).unwrap().stop();
    assert_eq!(kinds.all(), [(ThreadKind::Metrics, "bus-metrics".to_owned())]);
    end(&bus);
    drop(bus);
    // There is nothing to publish any more, and nobody to do it.
    observer.every(Duration::from_secs(10)).unwrap().stop();
}

/// User code on the very thread that publishes: the hook here, a recorder elsewhere.
#[test]
fn who_stops_the_publishing_from_its_own_thread_does_not_wait_for_itself() {
    let _watched = watched();
    let (send, receive) = std::sync::mpsc::channel::<Publishing>();
    let (receive, stopped) = (Mutex::new(receive), Log::new());
    let seen = stopped.clone();
    let hook = move |_: &ThreadInfo| {
        receive.lock().unwrap().recv().unwrap().stop();
        seen.push(());
    };
    let bus = Bus::builder().manual().on_thread_start(hook).build().unwrap();
    send.send(Observer::new(&bus).every(Duration::from_secs(10)).unwrap()).unwrap();
    eventually(|| stopped.all().len() == 1 || bus.stats().panics > 0);
    assert_eq!(bus.stats().panics, 0);
}

#[test]
fn an_interval_has_to_be_in_its_range() {
    let bus = Bus::builder().manual().build().unwrap();
    let observer = Observer::new(&bus);
    for interval in [Duration::ZERO, Duration::from_millis(9), Duration::from_secs(86_401)] {
        let error = observer.every(interval).expect_err("out of range");
        assert_eq!(error, ObserveError::Interval(interval));
        let text = stasis_bus::Error::from(error).to_string();
        assert!(
            ["interval", "10ms", "86400s", &format!("{interval:?}")].iter().all(|part| text.contains(part)),
            "{text}"
        );
    }
}
