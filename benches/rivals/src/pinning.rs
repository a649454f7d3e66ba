//! Threads that stay on one processor, so that both sides of a hand-over are on different ones, for every contestant.

use stasis_bus::{BusBuilder, ThreadKind};

/// Where publishers and writers run.
pub const PUBLISHER: usize = 0;
/// Where handlers and the second reader run.
pub const CONSUMER: usize = 1;

/// Keeps the calling thread on that one of the processors that the process may use, or on the last one. Threads that it
/// starts afterwards inherit that. Does nothing where the system cannot do it.
pub fn pin(which: usize) {
    #[cfg(target_os = "linux")]
    {
        let allowed = allowed();
        if let Some(cpu) = allowed.get(which).or(allowed.last()) {
            let mut one = rustix::thread::CpuSet::new();
            one.set(*cpu);
            let _ = rustix::thread::sched_setaffinity(None, &one);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = which;
}

/// As the process was started: a thread that a pinned one starts may use less.
#[cfg(target_os = "linux")]
fn allowed() -> &'static [usize] {
    use rustix::process::getpid;
    use rustix::thread::{CpuSet, sched_getaffinity};
    static ALLOWED: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    ALLOWED.get_or_init(|| {
        // Of the main thread, which is never pinned for good.
        let Ok(all) = sched_getaffinity(Some(getpid())) else { return Vec::new() };
        (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect()
    })
}

/// Runs `work` on that processor, on the calling thread, which goes where it likes afterwards.
pub fn on_this<R>(which: usize, work: impl FnOnce() -> R) -> R {
    let before = Placed::now();
    pin(which);
    let result = work();
    drop(before);
    result
}

/// Where the calling thread was allowed to run; restored when dropped.
struct Placed {
    #[cfg(target_os = "linux")]
    before: Option<rustix::thread::CpuSet>,
}

impl Placed {
    fn now() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            before: rustix::thread::sched_getaffinity(None).ok(),
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(before) = &self.before {
            let _ = rustix::thread::sched_setaffinity(None, before);
        }
    }
}

/// A thread of its own on that processor.
pub fn spawn_on<R: Send + 'static>(
    which: usize,
    work: impl FnOnce() -> R + Send + 'static,
) -> std::thread::JoinHandle<R> {
    std::thread::spawn(move || {
        pin(which);
        work()
    })
}

/// The threads that run handlers stay on the consumers' processor.
pub fn pin_handlers(builder: BusBuilder) -> BusBuilder {
    pin_handlers_to(CONSUMER, builder)
}

/// The threads that run handlers stay on that one.
pub fn pin_handlers_to(which: usize, builder: BusBuilder) -> BusBuilder {
    builder.on_thread_start(move |thread| {
        if matches!(thread.kind, ThreadKind::Worker(_) | ThreadKind::Dedicated(_)) {
            pin(which);
        }
    })
}
