//! Ends a run that gets nowhere: it says what was known, and exits.

use crate::verdict::{Kind, last_lines};
use crate::yard::Yard;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Looks, not time: a machine that stood still meanwhile is no hang.
const LOOKS_MAX: u32 = 1_500;

pub(crate) struct Watchdog {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(yard: &Arc<Yard>) -> io::Result<Self> {
        let (is_over, yard) = (Arc::new(AtomicBool::new(false)), yard.clone());
        let over = is_over.clone();
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&yard, &over))?;
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// While it runs, messages are published; when it is over, everybody leaves.
fn watch(yard: &Yard, over: &AtomicBool) {
    let mut patience = Patience::default();
    while !over.load(Ordering::Acquire) {
        thread::sleep(LOOK_EVERY);
        if patience.is_over(yard.all_returned().iter().sum()) {
            give_up(yard);
        }
    }
}

#[derive(Default)]
pub(crate) struct Patience {
    published: u64,
    /// Looks since that rose.
    looks: u32,
}

impl Patience {
    /// Whether nothing was published for too many looks.
    pub(crate) fn is_over(&mut self, published: u64) -> bool {
        self.looks = if published == self.published { self.looks + 1 } else { 0 };
        self.published = published;
        self.looks > LOOKS_MAX
    }
}

fn give_up(yard: &Yard) -> ! {
    let steps = yard.steps.load(Ordering::Relaxed);
    yard.verdict
        .complain(Kind::Hung, format!("nothing was published for long, after {steps} steps of actors"));
    eprint!("{}\n{}", yard.bus.diagnose(), last_lines(&yard.verdict.all(), "soak: FAILED: it hangs"));
    std::process::exit(1)
}
