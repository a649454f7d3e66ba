//! Signals: some are thrown at all threads, which must not notice; Ctrl-C and SIGTERM from outside end the run early.

#[cfg(unix)]
pub(crate) use unix::{Signals, throw};

#[cfg(unix)]
mod unix {
    use crate::dice::Dice;
    use crate::verdict::Count;
    use crate::yard::Yard;
    use rustix::process::{Pid, Signal, kill_process};
    use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    use signal_hook::iterator::{Handle, Signals as Arriving};
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{self, JoinHandle, Scope};
    use std::time::Duration;

    const EVERY: Duration = Duration::from_millis(5);
    const THROWN: [Signal; 6] =
        [Signal::HUP, Signal::ALARM, Signal::USR1, Signal::USR2, Signal::INT, Signal::TERM];
    /// The next signal that would end the run is one of our own.
    static IS_OURS: AtomicBool = AtomicBool::new(false);

    /// A thread that takes all signals.
    pub(crate) struct Signals {
        handle: Handle,
        thread: Option<JoinHandle<()>>,
    }

    impl Signals {
        pub(crate) fn start(yard: &Arc<Yard>) -> io::Result<Self> {
            let mut arriving = Arriving::new([SIGHUP, SIGALRM, SIGUSR1, SIGUSR2, SIGINT, SIGTERM])?;
            let (handle, yard) = (arriving.handle(), yard.clone());
            let take = move || arriving.forever().for_each(|signal| taken(&yard, signal));
            let thread = thread::Builder::new().name("signals".to_owned()).spawn(take)?;
            Ok(Self { handle, thread: Some(thread) })
        }
    }

    impl Drop for Signals {
        fn drop(&mut self) {
            self.handle.close();
            if let Some(thread) = self.thread.take() {
                let _ = thread.join();
            }
        }
    }

    fn taken(yard: &Yard, signal: i32) {
        let ends = signal == SIGINT || signal == SIGTERM;
        if ends && !IS_OURS.swap(false, Ordering::SeqCst) {
            yard.stop();
        }
    }

    /// Throws signals at threads of this process, chosen by lot, until the run is over.
    pub(crate) fn throw<'s>(scope: &'s Scope<'s, '_>, yard: &Arc<Yard>) {
        let yard = yard.clone();
        scope.spawn(move || {
            let mut dice = Dice::new(yard.options.seed, "signals", 0);
            while yard.goes_on() {
                let (signal, choice) = (dice.pick(&THROWN), dice.roll());
                // One that ends the run waits until the last one was taken: two of a kind may arrive as one.
                let ends = matches!(signal, Signal::INT | Signal::TERM);
                if (!ends || !IS_OURS.swap(true, Ordering::SeqCst)) && send(signal, choice) {
                    yard.count(Count::Signals);
                }
                thread::sleep(EVERY);
            }
        });
    }

    /// To one thread: Linux delivers what is sent to a thread's number to that thread, if it takes it.
    fn send(signal: Signal, choice: u64) -> bool {
        let threads = threads();
        let whom = threads.get(choice as usize % threads.len().max(1)).and_then(|id| Pid::from_raw(*id));
        whom.is_some_and(|thread| kill_process(thread, signal).is_ok())
            || kill_process(rustix::process::getpid(), signal).is_ok()
    }

    fn threads() -> Vec<i32> {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
    }
}

/// Elsewhere there are none.
#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn start(_: &std::sync::Arc<crate::yard::Yard>) -> std::io::Result<Self> {
        Ok(Self)
    }
}

#[cfg(not(unix))]
pub(crate) fn throw<'s>(_: &'s std::thread::Scope<'s, '_>, _: &std::sync::Arc<crate::yard::Yard>) {}
