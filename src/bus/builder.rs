//! How a bus is to be: plain options with stated defaults, checked once.

use super::diagnose::History;
use super::shutdown::Shutdown;
use super::types::Types;
use super::{Bus, Inner};
use crate::dispatch::fence::{Fence, PanicReport};
use crate::dispatch::pool::{Pool, PoolConfig};
use crate::dispatch::run_queue::SEATS_MAX;
use crate::dispatch::threads::{StartHook, ThreadInfo, Threads};
use crate::dispatch::wait::{SPIN_MICROS_ALLOWED, Wait};
use crate::error::{ConfigError, Error, check_name};
use crate::mailbox::Overflow;
use crate::mailbox::policy::{CAPACITY_ALLOWED, Defaults};
use crate::message::update::CacheTypes;
use crate::message::{CONTROL_TYPES, CacheClear, CacheUpdate, SnapshotEnd, SubscriptionChange};
use crate::state::Managers;
use crate::sync::time::Clock;
use crate::sync::{Arc, barrier};
use crate::topic::exchange::Exchange;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::Duration;

type PanicHook = Arc<dyn Fn(&PanicReport<'_>) + Send + Sync>;

pub(super) const GROW_AFTER_ALLOWED: (Duration, Duration) =
    (Duration::from_micros(100), Duration::from_secs(10));
pub(super) const IDLE_TIMEOUT_ALLOWED: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_secs(86_400));

/// A bus in the making.
///
/// | option | default |
/// | --- | --- |
/// | [`workers`](Self::workers) | 1 to max(4, twice the processors), at most 64 |
/// | [`grow_after`](Self::grow_after) | 2 ms |
/// | [`idle_timeout`](Self::idle_timeout) | 20 s |
/// | [`wait`](Self::wait) | [`Wait::Park`]: a worker without work sleeps |
/// | [`thread_name`](Self::thread_name) | `stasis-worker` |
/// | [`on_thread_start`](Self::on_thread_start) | (nothing) |
/// | [`node`](Self::node) | `local` |
/// | [`default_capacity`](Self::default_capacity) | 1,024 |
/// | [`default_overflow`](Self::default_overflow) | [`Overflow::Grow`], up to 1,048,576 messages more |
/// | [`default_water_marks`](Self::default_water_marks) | 500 and 450, or 50 % and 45 % of a smaller capacity |
///
/// ```
/// use stasis_bus::Bus;
/// let error = Bus::builder().workers(0..=4).build().unwrap_err();
/// assert_eq!(error.to_string(), "workers (minimum) is 0; allowed are 1 to 4");
/// ```
#[must_use = "call build() to make the bus"]
pub struct BusBuilder {
    pub(super) workers: RangeInclusive<usize>,
    pub(super) grow_after: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) wait: Wait,
    pub(super) thread_name: String,
    pub(super) node: String,
    pub(super) declined: BTreeSet<String>,
    pub(super) defaults: Defaults,
    on_panic: Option<PanicHook>,
    on_thread_start: Option<StartHook>,
    manual: bool,
}

impl BusBuilder {
    pub(super) fn new() -> Self {
        Self {
            workers: 1..=workers_auto(),
            grow_after: Duration::from_millis(2),
            idle_timeout: Some(Duration::from_secs(20)),
            wait: Wait::default(),
            thread_name: "stasis-worker".to_owned(),
            node: "local".to_owned(),
            declined: BTreeSet::new(),
            defaults: Defaults::default(),
            on_panic: None,
            on_thread_start: None,
            manual: false,
        }
    }

    /// How few and how many threads run pool subscriptions, at most 64. The minimum starts with the first work, and below
    /// the maximum one thread more, which watches whether the others get on.
    ///
    /// The number bounds threads; it is no mutual exclusion between subscriptions: a worker that waits in
    /// `publish_sync` or `join` has its place taken by another thread meanwhile.
    pub fn workers(mut self, range: RangeInclusive<usize>) -> Self {
        self.workers = range;
        self
    }

    /// How long work may wait without any being taken before another worker starts: 100 us to 10 s.
    pub fn grow_after(mut self, time: Duration) -> Self {
        self.grow_after = time;
        self
    }

    /// How long a worker above the minimum may be idle before it leaves; `None`: it stays.
    pub fn idle_timeout(mut self, time: Option<Duration>) -> Self {
        self.idle_timeout = time;
        self
    }

    /// How a worker waits that has no work: asleep, or awake for up to a second and then asleep. [`Wait::BusySpin`] is
    /// refused here: it would take a processor for each worker; a Dedicated subscription may have it.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// What worker threads are called; each adds its number. A system that shows fewer bytes (Linux: 15) shows the
    /// beginning, cut between two characters, and the number.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// What this node is called: the origin of messages that name no other.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = name.into();
        self
    }

    /// Messages of this type are made empty and delivered to nobody. Control types cannot be declined.
    pub fn decline(mut self, type_name: impl Into<String>) -> Self {
        self.declined.insert(type_name.into());
        self
    }

    /// How many messages may wait in the mailbox of a subscription that does not say: 1 to 16,777,216.
    pub fn default_capacity(mut self, messages: usize) -> Self {
        self.defaults.capacity = messages;
        self
    }

    /// What happens to a message that finds the mailbox full, where the subscription does not say.
    ///
    /// ```
    /// use stasis_bus::{Bus, Overflow};
    /// let bus = Bus::builder().default_capacity(2).default_overflow(Overflow::DropNewest).manual().build()?;
    /// let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("states")?);
    /// let small = topic.subscription("small").accept(&state).start(|_| {})?;
    /// (0..5).for_each(|value| drop(topic.publish(state.message(value)).accepted));
    /// assert_eq!((small.stats().accepted, small.stats().missed), (2, 3));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn default_overflow(mut self, overflow: Overflow) -> Self {
        self.defaults.overflow = overflow;
        self
    }

    /// When a mailbox counts as congested, where the subscription does not say: from the message by which `high` wait,
    /// until at most `low` do. Allowed are 0 <= `low` < `high` <= the default capacity, with
    /// [`Overflow::Grow`] the capacity and its limit. A subscription that is smaller than `high` has its marks at 50 % and
    /// 45 %.
    pub fn default_water_marks(mut self, high: usize, low: usize) -> Self {
        self.defaults.water_marks = Some((high, low));
        self
    }

    /// Called for every panic caught in user code (handlers and their drops, wakers, formatters, drops of values), on the
    /// thread that caught it. A panic in the hook itself is caught and not told of. The hook goes with the end of the bus.
    pub fn on_panic(mut self, hook: impl Fn(&PanicReport<'_>) + Send + Sync + 'static) -> Self {
        self.on_panic = Some(Arc::new(hook));
        self
    }

    /// Called on every thread that the bus starts, before anything else runs there: to pin it to a processor, to raise its
    /// priority, to set up what handlers find in thread-locals. It counts as inside the bus: it may publish, and waits for
    /// nothing. A panic in it is caught, counted and told as [`PanicPlace::ThreadStart`](crate::PanicPlace), and the thread
    /// goes on. Until it returns, its thread does nothing; what waits for that thread waits; on a thread of the pool it
    /// cannot wait for a subscription. It goes with the end of the bus.
    ///
    /// ```
    /// use stasis_bus::{Bus, ThreadKind};
    /// let bus = Bus::builder()
    ///     .on_thread_start(|thread| match &thread.kind {
    ///         ThreadKind::Worker(seat) => println!("{} sits in place {seat}", thread.name),
    ///         ThreadKind::Dedicated(subscription) => println!("{} runs {subscription}", thread.name),
    ///         _ => {}
    ///     })
    ///     .build()?;
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn on_thread_start(mut self, hook: impl Fn(&ThreadInfo) + Send + Sync + 'static) -> Self {
        self.on_thread_start = Some(Box::new(hook));
        self
    }

    /// A bus without threads, for tests: [`Bus::run_until_idle`] runs everything on the calling thread, dedicated
    /// subscriptions too, no publish waits for room, and the clock of timestamps and delays starts at zero and moves by
    /// [`Bus::advance`] alone.
    pub fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// Makes the bus. No thread is started yet. The first bus of a process asks Linux for `membarrier` (`docs/PLATFORMS.md`),
    /// which takes it some ten milliseconds if there are other threads.
    ///
    /// # Errors
    ///
    /// If an option is out of its range or a name is refused: the error names the field, the value and what is allowed.
    pub fn build(self) -> Result<Bus, Error> {
        self.check()?;
        // Here and not by a publish: the answer takes its time.
        barrier::has_call();
        let id = crate::ids::next();
        let clock = Arc::new(if self.manual { Clock::manual() } else { Clock::real() });
        let fence = Arc::new(Fence::new(self.on_panic));
        let pool = Pool::new(PoolConfig {
            bus: id,
            threads: Threads::new(id, fence.clone(), self.on_thread_start),
            workers_min: *self.workers.start(),
            workers_max: *self.workers.end(),
            grow_after: self.grow_after,
            idle_timeout: self.idle_timeout,
            spin: self.wait.spin().unwrap_or_default(),
            thread_name: self.thread_name,
            clock: clock.clone(),
            manual: self.manual,
        });
        let types = Arc::new(Types::new(id, clock.clone(), fence.clone(), self.declined, &self.node));
        let changes = types.declare(SubscriptionChange::draft())?;
        let cached = CacheTypes {
            updates: types.declare(CacheUpdate::draft())?,
            clears: types.declare(CacheClear::draft())?,
            snapshot_ends: types.declare(SnapshotEnd::draft())?,
        };
        let exchange = Exchange::new(id, pool, clock, fence, changes, cached, self.defaults);
        let shutdown = Arc::new(Shutdown::new(exchange.clone(), types.clone()));
        Ok(Bus::of(Arc::new(Inner {
            exchange,
            types,
            shutdown,
            history: History::default(),
            states: Managers::new(),
        })))
    }

    fn check_wait(&self) -> Result<(), ConfigError> {
        match self.wait.spin() {
            Some(time) => in_range("wait (spin in microseconds)", micros(time), SPIN_MICROS_ALLOWED),
            None => Err(ConfigError::NotAllowed {
                field: "wait",
                value: self.wait.to_string(),
                allowed: "workers may Park or SpinThenPark; BusySpin is for dedicated subscriptions",
            }),
        }
    }

    fn check_defaults(&self) -> Result<(), ConfigError> {
        let Defaults { capacity, overflow, water_marks } = &self.defaults;
        let allowed = CAPACITY_ALLOWED;
        in_range("default_capacity", *capacity as u64, *allowed.start() as u64..=*allowed.end() as u64)?;
        let Some((high, low)) = *water_marks else { return Ok(()) };
        let most = overflow.room(*capacity);
        in_range("default_water_marks (high)", high as u64, 1..=most as u64)?;
        in_range("default_water_marks (low)", low as u64, 0..=high as u64 - 1)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let (min, max) = (*self.workers.start(), *self.workers.end());
        in_range("workers (maximum)", max as u64, 1..=SEATS_MAX as u64)?;
        in_range("workers (minimum)", min as u64, 1..=max as u64)?;
        takes_time("grow_after in microseconds", self.grow_after, GROW_AFTER_ALLOWED)?;
        self.check_wait()?;
        if let Some(timeout) = self.idle_timeout {
            takes_time("idle_timeout in microseconds", timeout, IDLE_TIMEOUT_ALLOWED)?;
        }
        self.check_defaults()?;
        good_name("thread_name", &self.thread_name)?;
        good_name("node", &self.node)?;
        for name in &self.declined {
            good_name("decline", name)?;
        }
        match CONTROL_TYPES.iter().find(|name| self.declined.contains(**name)) {
            Some(name) => Err(ConfigError::DeclinedControl { name: (*name).to_owned() }),
            None => Ok(()),
        }
    }
}

/// How many workers there may be unless told otherwise. The system is asked once: it reads the files of control groups to
/// answer, which takes longer than all else of a bus that has no threads yet.
pub(super) fn workers_auto() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    (2 * processors).clamp(4, SEATS_MAX)
}

fn in_range(field: &'static str, value: u64, allowed: RangeInclusive<u64>) -> Result<(), ConfigError> {
    match allowed.contains(&value) {
        true => Ok(()),
        false => Err(ConfigError::OutOfRange { field, value, allowed }),
    }
}

fn takes_time(
    field: &'static str,
    value: Duration,
    (min, max): (Duration, Duration),
) -> Result<(), ConfigError> {
    in_range(field, micros(value), micros(min)..=micros(max))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn good_name(field: &'static str, value: &str) -> Result<(), ConfigError> {
    check_name(value).map_err(|why| ConfigError::BadName { field, value: value.to_owned(), why })
}

impl fmt::Debug for BusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusBuilder")
            .field("workers", &self.workers)
            .field("grow_after", &self.grow_after)
            .field("idle_timeout", &self.idle_timeout)
            .field("wait", &self.wait)
            .field("thread_name", &self.thread_name)
            .field("node", &self.node)
            .field("declined", &self.declined)
            .field("defaults", &self.defaults)
            .field("manual", &self.manual)
            .finish_non_exhaustive()
    }
}
