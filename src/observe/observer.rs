//! Who reads a bus's statistics as metrics, and hands them on.
//!
//! | what | under |
//! | --- | --- |
//! | a sample is read, and raised to what was told before | `told` |
//! | it is given to a recorder, which is the user's code | nothing |
//! | it is given to the exporter of our own, which renders it | `page` |
//!
//! Two samples may reach a recorder in either order: counters take the higher value, gauges are a moment old.

use super::facade::{self, Rest};
use super::rows::{Rows, Told};
use super::sample::{Subjects, sample};
use super::table::METRICS;
use crate::bus::{Bus, WeakBus};
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::latch::Latch;
use crate::dispatch::threads::ThreadKind;
use crate::error::ObserveError;
use crate::sync::time::Deadline;
use crate::sync::{Arc, Mutex, thread};
use metrics::{Label, Recorder};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::Duration;

/// The name of the thread that publishes at an interval; Linux shows 15 bytes.
const THREAD: &str = "bus-metrics";

/// A bus's statistics as metrics: read when they are asked for, never on the way of a message.
///
/// Cheap to clone, and does not keep the bus alive. What it tells is the [table](super::METRICS), which is also the page
/// docs/METRICS.md. Counters never go back while the bus lives, whatever topics and subscriptions come and go; the number
/// of series is bounded, whatever they are called.
///
/// Three ways to get them out:
///
/// * a page for Prometheus: `render()`, with the feature `prometheus`; or the server in the module `http`, which serves it;
/// * a recorder of the [`metrics`] facade that is scraped: call [`publish`](Self::publish) right before it renders;
/// * a recorder that pushes: [`every`](Self::every) publishes at an interval.
///
/// Cost of a sample: about 0.15 us for each topic and 2 us for each subscription, on the caller's thread. It stops nothing:
/// publishers and workers never wait for it. Nothing is kept between samples but what was told last: nobody who asks, no
/// memory that grows.
///
/// ```
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// use stasis_bus::observe::Observer;
/// let observer = Observer::new(&bus);
/// observer.publish(); // to the recorder that is installed; none: to nobody
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct Observer(Arc<Inner>);

struct Inner {
    bus: WeakBus,
    /// That every series has besides its own.
    labels: Vec<Label>,
    told: Mutex<Told>,
    /// The recorder that was told what the metrics mean.
    described: Mutex<usize>,
    #[cfg(feature = "prometheus")]
    page: Mutex<super::prometheus::Page>,
}

impl Observer {
    /// Of that bus.
    pub fn new(bus: &Bus) -> Self {
        Self::with(bus, Vec::new())
    }

    /// Of that bus, with labels that all its series have: of several buses in a process, say, that go to one recorder.
    ///
    /// # Errors
    ///
    /// If a label's name is not made of ASCII letters, digits and `_`, begins with a digit or with `__`, comes twice, or is
    /// one of the table's.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// use stasis_bus::observe::Observer;
    /// Observer::labelled(&bus, &[("bus", "media")])?.publish();
    /// assert!(Observer::labelled(&bus, &[("topic_class", "media")]).is_err());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn labelled(bus: &Bus, labels: &[(&str, &str)]) -> Result<Self, ObserveError> {
        for (at, (name, _)) in labels.iter().enumerate() {
            if !is_free(name) || labels[..at].iter().any(|(before, _)| before == name) {
                return Err(ObserveError::Label((*name).to_owned()));
            }
        }
        let owned = |(name, value): &(&str, &str)| Label::new(name.to_string(), value.to_string());
        Ok(Self::with(bus, labels.iter().map(owned).collect()))
    }

    fn with(bus: &Bus, labels: Vec<Label>) -> Self {
        Self(Arc::new(Inner {
            labels,
            bus: bus.downgrade(),
            told: Mutex::new(Told::default()),
            described: Mutex::new(0),
            #[cfg(feature = "prometheus")]
            page: Mutex::new(super::prometheus::Page::new()),
        }))
    }

    /// The bus, if it stands, and whom to ask. To be dropped under no lock.
    fn subjects(&self) -> Option<(Bus, Subjects)> {
        let bus = self.0.bus.upgrade()?;
        let subjects = Subjects::of(&bus);
        Some((bus, subjects))
    }

    fn sample(&self, bus: &Bus, subjects: &Subjects) -> Rows {
        let mut told = self.0.told.lock();
        let mut rows = sample(bus, subjects);
        told.raise(&mut rows);
        rows.common.clone_from(&self.0.labels);
        rows
    }

    /// Reads the statistics and gives them to the recorder in force: the thread's own if it has one, else the one that is
    /// installed. The recorder is told what they mean the first time.
    ///
    /// Counters are set (`absolute`), gauges too. The facade has no counters of fractions and takes no histograms that are
    /// made already: what is counted in seconds goes out as gauges, and a histogram as gauges with the parts' names that
    /// Prometheus uses (`..._bucket` with the label `le`, `..._sum`, `..._count`), which its functions take as well. The
    /// page of `render()` has them as true counters and histograms.
    ///
    /// Does nothing when the bus is gone.
    ///
    /// # Panics
    ///
    /// If the recorder does.
    pub fn publish(&self) {
        let Some((bus, subjects)) = self.subjects() else { return };
        let rows = self.sample(&bus, &subjects);
        metrics::with_recorder(|recorder| {
            self.describe(recorder);
            facade::record(&rows, recorder, Rest::AsGauges);
        });
    }

    /// Once for each recorder that comes, as a rule one.
    fn describe(&self, recorder: &dyn Recorder) {
        let address = ptr::from_ref(recorder).cast::<()>().addr();
        if std::mem::replace(&mut *self.0.described.lock(), address) != address {
            facade::describe(recorder);
        }
    }

    /// Publishes now and then at that interval, on a thread of its own, until what this returns is dropped or the bus is
    /// gone: for recorders that push. The thread has no recorder of its own, so the one that is installed gets it.
    ///
    /// A recorder that panics is caught, counted and told of as other user code, and asked again the next time.
    ///
    /// # Errors
    ///
    /// If the interval is shorter than 10 ms or longer than a day, or no thread can be started.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// use std::time::Duration;
    /// use stasis_bus::observe::Observer;
    /// let publishing = Observer::new(&bus).every(Duration::from_secs(10))?;
    /// // ... as long as the service runs ...
    /// publishing.stop();
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn every(&self, interval: Duration) -> Result<Publishing, ObserveError> {
        if !(ObserveError::SHORTEST..=ObserveError::LONGEST).contains(&interval) {
            return Err(ObserveError::Interval(interval));
        }
        let (stop, observer) = (Arc::new(Latch::new()), self.clone());
        let until = stop.clone();
        let publishing = move || {
            while observer.publish_fenced() && until.wait(Deadline::after(Some(interval))).is_none() {}
        };
        let Some(bus) = self.0.bus.upgrade() else { return Ok(Publishing { stop, thread: None }) };
        let thread = bus.exchange().pool.threads().spawn(ThreadKind::Metrics, THREAD.to_owned(), publishing);
        let thread = thread.map_err(|error| ObserveError::Thread(error.to_string()))?;
        Ok(Publishing { stop, thread: Some(thread) })
    }

    /// False: the bus is gone.
    fn publish_fenced(&self) -> bool {
        let Some(bus) = self.0.bus.upgrade() else { return false };
        let fence = bus.exchange().fence.clone();
        drop(bus);
        fence.run(THREAD, PanicPlace::Recorder, || self.publish());
        true
    }

    /// Reads the statistics and renders them as a page for Prometheus: exposition text of version 0.0.4, which is served as
    /// `text/plain; version=0.0.4; charset=utf-8`. Empty when the bus is gone.
    ///
    /// The page has the bus's metrics and nothing else. It is made when it is asked for, by an exporter that this observer
    /// keeps for itself: nothing is installed, nothing needs upkeep, and nothing grows while nobody asks. Who asks at the
    /// same time waits for the other.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("calls:7")?);
    /// use stasis_bus::observe::Observer;
    /// topic.publish(state.message(1));
    /// let page = Observer::new(&bus).render();
    /// assert!(page.contains("stasis_published_messages_total{topic_class=\"calls\"} 1\n"));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    #[cfg(feature = "prometheus")]
    pub fn render(&self) -> String {
        let Some((bus, subjects)) = self.subjects() else { return String::new() };
        let page = self.0.page.lock();
        page.render(&self.sample(&bus, &subjects))
    }
}

/// Whether a label may have that name, and none of the table has it.
fn is_free(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = !name.is_empty() && name.chars().all(is_word);
    let is_ours = METRICS.iter().flat_map(|metric| metric.labels).any(|label| label.name == name);
    is_name
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with("__")
        && name != "le"
        && !is_ours
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("bus", &self.0.bus).finish()
    }
}

// The recorder is called under no lock, and a sample is whole or not there.
impl UnwindSafe for Observer {}
impl RefUnwindSafe for Observer {}
impl UnwindSafe for Publishing {}
impl RefUnwindSafe for Publishing {}

/// Metrics that are published at an interval: see [`Observer::every`]. Ends when it is dropped, without waiting for it.
#[must_use = "dropping it ends the publishing"]
pub struct Publishing {
    stop: Arc<Latch<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Publishing {
    /// Ends it, and waits until the recorder is left alone. A recorder that calls it is asked for no more, and does not wait
    /// for itself.
    pub fn stop(mut self) {
        self.stop.set(());
        let thread = self.thread.take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            thread.join();
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.stop.set(());
    }
}

impl fmt::Debug for Publishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").field("is_stopped", &self.stop.is_set()).finish()
    }
}
