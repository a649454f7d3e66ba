//! Who traces a bus: how it is to be done, the thread that looks, and the end of it.
//!
//! | what | under |
//! | --- | --- |
//! | figures are read, and compared with those of the last look | `looks` |
//! | a panic is told at once: whether it may be | `limits` |
//! | a subscriber is called, which is the user's code | nothing; it counts as inside the bus |

use super::events::Event;
use super::limits::{Kind, Limits, Whose};
use super::looks::Looks;
use super::spans::Spans;
use crate::bus::{Bus, ShutdownReport, WeakBus};
use crate::dispatch::fence::{Fence, PanicPlace, PanicReport};
use crate::dispatch::frames;
use crate::dispatch::latch::Latch;
use crate::error::TraceError;
use crate::sync::time::{Clock, Deadline};
use crate::sync::{Arc, Mutex, Weak, thread};
use crate::topic::exchange::AtEnd;
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// The name of the thread that looks at an interval; Linux shows 15 bytes.
const THREAD: &str = "bus-tracing";
/// What panics of subscribers are told under.
pub(super) const NAME: &str = "tracing";
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(24);
const PAUSES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const THRESHOLDS: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_hours(24);

/// A bus as it is to be traced: events for what an operator acts on, and spans of a sample of messages, to whatever
/// subscriber of the [`tracing`] facade there is.
///
/// | event | level | tells |
/// | --- | --- | --- |
/// | `stasis.slow_handler` | warn | handler calls that took longer than the [threshold](Self::slow) |
/// | `stasis.congested`, `stasis.congestion_over` | warn, info | a mailbox passed its high water mark; its low one |
/// | `stasis.losing`, `stasis.losing_over` | error, info | messages are lost, and why; no more of them |
/// | `stasis.panic` | error | user code panicked: at once, on its thread, inside the span of its message |
/// | `stasis.pool_grown` | warn | workers were stuck while work waited |
/// | `stasis.finding`, `stasis.finding_gone` | info to error, info | what [`diagnose`](Bus::diagnose) finds, and what can be done |
/// | `stasis.straggler`, `stasis.threads_left` | warn, error | who had not finished when the bus was shut down |
///
/// | span | level | is |
/// | --- | --- | --- |
/// | `stasis.publish` | info | one message: entered while it is published, open until the last who got it is done |
/// | `stasis.handle` | info | its way through one handler, which follows from it: entered while the handler runs |
///
/// All have the target `stasis_bus`, and say which subscription or topic they are about. Each kind of event is told once
/// in a [while](Self::pause) for each subject, and at most a hundred at a look. What goes on meanwhile (congestion, losses,
/// findings) is told when it may be, if it still does; what happens is added up; `withheld` is the number of events that
/// were not told.
///
/// Cost: a look costs what [`Bus::stats`] does, on a thread of its own; without a subscriber, nothing. A message costs
/// nothing unless it is one of the [sample](Self::sample). Events of the last moments before a shutdown are told by one
/// more look at its begin.
///
/// A subscriber is the user's code: it runs under no lock, a panic in it is caught, counted, and told to the hook for
/// panics. It counts as inside the bus: it may publish, and waits for nothing.
///
/// ```
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// use std::time::Duration;
/// use stasis_bus::trace::Tracer;
/// let tracing = Tracer::new(&bus).slow(Duration::from_millis(5)).sample(4_096).every(Duration::from_secs(1))?;
/// // ... as long as the service runs ...
/// tracing.stop();
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "call every() or by_hand() to begin"]
#[derive(Clone, Debug)]
pub struct Tracer {
    bus: Bus,
    slow: Duration,
    pause: Duration,
    sample: u64,
}

impl Tracer {
    /// Of that bus, with everything at its default. One at a time may trace a bus.
    pub fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            slow: Duration::from_millis(10),
            pause: Duration::from_secs(10),
            sample: 1_024,
        }
    }

    /// From when on a handler call is slow: 1 us to 24 hours, 10 ms unless told otherwise. To within a quarter, which is how
    /// finely handler calls are counted.
    pub fn slow(mut self, threshold: Duration) -> Self {
        self.slow = threshold;
        self
    }

    /// How long each kind of event is told once for each subject: up to 24 hours, 10 s unless told otherwise; zero: each
    /// time.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// One message in so many gets spans: 1,024 unless told otherwise, 0: none. It is taken from those whose publish is
    /// timed for the statistics, one of 64 on each topic: the number counts in steps of 64, the next higher one.
    ///
    /// Those of [`publish_batch`](crate::Topic::publish_batch) and [`publish_async`](crate::Topic::publish_async) and the
    /// bus's own messages get none. Cost of one that does: its spans, an allocation for each mailbox it
    /// gets to, and a lock for a moment.
    pub fn sample(mut self, one_in: u64) -> Self {
        self.sample = one_in;
        self
    }

    /// Begins, with a look at that interval, on a thread of its own, until what this returns is dropped or the bus is
    /// gone. The thread has no subscriber of its own, so the process's global one gets what it tells.
    ///
    /// What was before is not told.
    ///
    /// # Errors
    ///
    /// If the interval is shorter than 10 ms or longer than 24 hours, another time is out of its range, the bus is traced
    /// already or has ended, or no thread can be started.
    pub fn every(self, interval: Duration) -> Result<Tracing, TraceError> {
        in_range("interval", interval, INTERVALS)?;
        let mut tracing = self.by_hand()?;
        let (stop, inner) = (tracing.stop.clone(), tracing.inner.clone());
        let looking = move || while stop.wait(Deadline::after(Some(interval))).is_none() && inner.look() {};
        let thread = thread::spawn(THREAD.to_owned(), looking);
        tracing.thread = Some(thread.map_err(|error| TraceError::Thread(error.to_string()))?);
        Ok(tracing)
    }

    /// The same without a thread: whoever has what this returns [looks](Tracing::look). For buses in manual mode, and for
    /// services with a timer of their own.
    ///
    /// # Errors
    ///
    /// As [`every`](Self::every).
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// use stasis_bus::trace::Tracer;
    /// let tracing = Tracer::new(&bus).by_hand()?;
    /// tracing.look(); // from time to time
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn by_hand(self) -> Result<Tracing, TraceError> {
        in_range("slow", self.slow, THRESHOLDS)?;
        in_range("pause", self.pause, PAUSES)?;
        if self.bus.exchange().is_over() {
            return Err(TraceError::Closed);
        }
        let inner = Arc::new(Inner::new(&self));
        if !inner.hear(&self.bus) {
            return Err(TraceError::Traced);
        }
        let exchange = self.bus.exchange();
        exchange.followed(self.sample, Some(Arc::new(Spans::new(exchange))));
        Ok(Tracing { stop: Arc::new(Latch::new()), inner, thread: None })
    }
}

fn in_range(
    field: &'static str,
    value: Duration,
    allowed: RangeInclusive<Duration>,
) -> Result<(), TraceError> {
    match allowed.contains(&value) {
        true => Ok(()),
        false => Err(TraceError::OutOfRange { field, value, allowed }),
    }
}

/// What the thread, the hooks and the handle share.
struct Inner {
    id: u64,
    bus: WeakBus,
    fence: Arc<Fence>,
    clock: Arc<Clock>,
    looks: Mutex<Looks>,
    limits: Mutex<Limits>,
}

impl Inner {
    fn new(options: &Tracer) -> Self {
        let exchange = options.bus.exchange();
        let pause = u64::try_from(options.pause.as_nanos()).unwrap_or(u64::MAX);
        Self {
            id: exchange.id,
            bus: options.bus.downgrade(),
            fence: exchange.fence.clone(),
            clock: exchange.clock.clone(),
            looks: Mutex::new(Looks::new(&options.bus, options.slow)),
            limits: Mutex::new(Limits::new(pause)),
        }
    }

    /// Hears of panics and of the end. False: somebody else does.
    fn hear(self: &Arc<Self>, bus: &Bus) -> bool {
        let panics = Arc::downgrade(self);
        let hook = move |report: &PanicReport<'_>| {
            if let Some(inner) = panics.upgrade() {
                inner.panicked(report);
            }
        };
        if !self.fence.trace(Arc::new(hook)) {
            return false;
        }
        let end = Arc::downgrade(self);
        bus.trace_shutdown(Some(Arc::new(move |report: &ShutdownReport| {
            if let Some(inner) = end.upgrade() {
                Event::of_shutdown(report).for_each(|event| inner.tell(&event));
            }
        })));
        let at_end: Weak<dyn AtEnd> = Arc::<Self>::downgrade(self);
        bus.exchange().tell_at_end(at_end);
        true
    }

    /// False: the bus is gone.
    fn look(&self) -> bool {
        let Some(bus) = self.bus.upgrade() else { return false };
        if LevelFilter::current() == LevelFilter::OFF {
            return true;
        }
        let stats = bus.stats();
        let events = {
            let (mut looks, mut limits) = (self.looks.lock(), self.limits.lock());
            looks.look(&bus, &stats, self.clock.monotonic_ns(), &mut limits)
        };
        events.iter().for_each(|event| self.tell(event));
        true
    }

    fn tell(&self, event: &Event) {
        frames::enter(self.id, 0, || {
            self.fence.run(NAME, PanicPlace::TraceSubscriber, || event.tell());
        });
    }

    /// A subscriber's own panic is not told to it.
    fn panicked(&self, report: &PanicReport<'_>) {
        if report.place == PanicPlace::TraceSubscriber {
            return;
        }
        let whose = Whose::Code(report.name.to_owned());
        let now = self.clock.monotonic_ns();
        let passes = self.limits.lock().passes(Kind::Panicked(report.place), whose, now);
        if let Some(withheld) = passes {
            self.tell(&Event::panicked(report, withheld));
        }
    }
}

impl AtEnd for Inner {
    /// Subscriptions are still there: what happened last is told.
    fn bus_is_over(&self) {
        self.look();
    }
}

/// A bus being traced: see [`Tracer`]. Ends when it is dropped, without waiting for it.
#[must_use = "dropping it ends the tracing"]
pub struct Tracing {
    stop: Arc<Latch<()>>,
    inner: Arc<Inner>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Tracing {
    /// Looks now, and tells what is new: to the calling thread's subscriber, if it has one of its own. Nothing when the bus
    /// is gone, or nobody listens.
    pub fn look(&self) {
        self.inner.look();
    }

    /// Ends it, and waits until the subscriber is left alone by the thread that looks.
    pub fn stop(mut self) {
        self.stop.set(());
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        self.stop.set(());
        if let Some(bus) = self.inner.bus.upgrade() {
            bus.trace_shutdown(None);
            bus.exchange().followed(0, None);
        }
        // Last: from here on somebody else may trace the bus, and what that has set up is not ours to take away.
        self.inner.fence.untrace();
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("bus", &self.inner.bus).finish_non_exhaustive()
    }
}

// Subscribers are called under no lock, and a look is whole or not there.
impl UnwindSafe for Tracing {}
impl RefUnwindSafe for Tracing {}
