//! What the integration tests share: a watchdog, gates, logs, drop counters, and one listener for every dispatch mode.

#![allow(dead_code, clippy::disallowed_types, clippy::disallowed_methods)]

use stasis_bus::{
    Bus, Delivery, Dispatch, EndReason, Message, MessageType, Received, Subscription, SubscriptionBuilder,
};
use std::io::Write;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const EVERY_MODE: [Dispatch; 5] =
    [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];
/// With a handler that the bus calls.
pub(crate) const HANDLER_MODES: [Dispatch; 4] =
    [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated];
/// With a mailbox.
pub(crate) const QUEUED_MODES: [Dispatch; 4] =
    [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];

// ---- hangs -------------------------------------------------------------------------------------------------------

/// A test may take so long before it counts as hung.
const HUNG_AFTER: Duration = Duration::from_secs(60);

static RUNNING: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());

/// While this lives, the test is watched: after a minute the process is aborted with the test's name.
#[must_use]
pub(crate) struct Watched(String);

/// Begins a test. Also silences the panics that tests make on purpose.
pub(crate) fn watched() -> Watched {
    static START: Once = Once::new();
    START.call_once(|| {
        thread::spawn(watch);
        silence_panics_on_purpose();
    });
    let name = thread::current().name().unwrap_or("main").to_owned();
    RUNNING.lock().unwrap().push((name.clone(), Instant::now()));
    Watched(name)
}

fn watch() {
    loop {
        thread::sleep(Duration::from_millis(200));
        let running = RUNNING.lock().unwrap();
        if let Some((name, _)) = running.iter().find(|(_, since)| since.elapsed() > HUNG_AFTER) {
            // Not eprintln!, which the test harness captures.
            let _ = writeln!(std::io::stderr(), "HUNG: {name} after {HUNG_AFTER:?}");
            std::process::abort();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).retain(|(name, _)| *name != self.0);
    }
}

pub(crate) const ON_PURPOSE: &str = "on purpose";

fn silence_panics_on_purpose() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if !text.starts_with(ON_PURPOSE) {
            usual(info);
        }
    }));
}

/// Waits until `condition` holds. The watchdog ends a wait that is in vain.
pub(crate) fn eventually(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_micros(200));
    }
}

// ---- things to wait for, and to look at afterwards ------------------------------------------------------------------

/// Closed until opened; then open for good.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap()
    }
}

/// What happened, in order.
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn push(&self, item: T) {
        self.0.lock().unwrap().push(item);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// What happened since the last call of this.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Waits until so many things have happened.
    pub(crate) fn await_len(&self, len: usize) -> Vec<T> {
        eventually(|| self.len() >= len);
        self.all()
    }
}

/// Counts what lives.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<AtomicI64>);

impl Census {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn born(&self) -> Alive {
        self.0.fetch_add(1, Ordering::Relaxed);
        Alive(self.clone())
    }

    pub(crate) fn alive(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// One of the living.
pub(crate) struct Alive(Census);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// Runs `code` when dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A value whose drop does something.
pub(crate) type DropAction = OnDrop<Box<dyn FnMut() + Send + Sync>>;

pub(crate) fn on_drop(code: impl FnMut() + Send + Sync + 'static) -> DropAction {
    OnDrop(Box::new(code))
}

/// How many threads of this process have a name that begins so (Linux shows 15 bytes of it).
#[cfg(target_os = "linux")]
pub(crate) fn threads_named(prefix: &str) -> usize {
    assert!(prefix.len() <= 15);
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with(prefix))
        .count()
}

// ---- one listener for every mode ------------------------------------------------------------------------------------

/// What a listener heard, whatever its dispatch.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) message: Message,
    pub(crate) missed: u64,
    pub(crate) seq: u64,
    pub(crate) end: Option<EndReason>,
}

impl From<&Delivery<'_>> for Heard {
    fn from(delivery: &Delivery<'_>) -> Self {
        Self {
            message: delivery.message().clone(),
            missed: delivery.missed(),
            seq: delivery.seq(),
            end: delivery.end(),
        }
    }
}

impl From<Received> for Heard {
    fn from(received: Received) -> Self {
        let (missed, seq, end) = (received.missed(), received.seq(), received.end());
        Self { message: received.into_message(), missed, seq, end }
    }
}

impl Heard {
    pub(crate) fn number(&self, kind: &MessageType<u64>) -> Option<u64> {
        kind.read(&self.message).copied()
    }
}

/// A running subscription of any dispatch; a stream is read by a thread.
pub(crate) struct Listener(Subscription);

impl Deref for Listener {
    type Target = Subscription;
    fn deref(&self) -> &Subscription {
        &self.0
    }
}

impl Drop for Listener {
    /// The handle of a stream does not end it.
    fn drop(&mut self) {
        self.0.unsubscribe();
    }
}

/// Starts the subscription in `mode`.
pub(crate) fn listen(
    builder: SubscriptionBuilder<'_>,
    mode: Dispatch,
    handler: impl Fn(Heard) + Send + Sync + 'static,
) -> Listener {
    let builder = builder.dispatch(mode);
    Listener(match mode {
        Dispatch::Inline => builder.inline(move |delivery| handler(delivery.into())).unwrap(),
        Dispatch::Stream => {
            let mut stream = builder.stream().unwrap();
            let handle = stream.handle();
            thread::spawn(move || {
                while let Some(received) = stream.recv() {
                    handler(received.into());
                }
            });
            handle
        }
        _ => builder.start(move |delivery| handler(delivery.into())).unwrap(),
    })
}

/// Starts the subscription in `mode`; it notes the numbers it hears, and `None` for its final message.
pub(crate) fn note_numbers(
    builder: SubscriptionBuilder<'_>,
    mode: Dispatch,
    kind: &MessageType<u64>,
) -> (Listener, Log<Option<u64>>) {
    let (log, kind) = (Log::new(), kind.clone());
    let noted = log.clone();
    let listener = listen(builder, mode, move |heard| match heard.number(&kind) {
        Some(number) => noted.push(Some(number)),
        None if heard.end.is_some() => noted.push(None),
        None => {}
    });
    (listener, log)
}

/// A handle that its own handler can reach, once it is there.
pub(crate) type Own = Arc<OnceLock<Listener>>;

/// A bus whose messages are numbers.
pub(crate) fn numbers() -> (Bus, MessageType<u64>) {
    let bus = Bus::new().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind)
}

/// Ends the bus, which has nothing left to do.
pub(crate) fn end(bus: &Bus) {
    let report = bus.shutdown(Duration::from_secs(20)).unwrap();
    assert!(report.is_clean(), "{report}");
}
