//! Does something when the user asks for it by a signal.

#[cfg(unix)]
pub(crate) use unix::OnSignal;

#[cfg(unix)]
mod unix {
    use signal_hook::consts::SIGUSR1;
    use signal_hook::iterator::{Handle, Signals};
    use std::io;
    use std::thread::{self, JoinHandle};

    /// A thread that waits for SIGUSR1. Dropping it ends the waiting.
    pub(crate) struct OnSignal {
        signals: Handle,
        thread: Option<JoinHandle<()>>,
    }

    impl OnSignal {
        /// From now on, `act` is called after each signal. Of several in a moment it may be called once for all.
        pub(crate) fn start(act: impl Fn() + Send + 'static) -> io::Result<Self> {
            let mut arriving = Signals::new([SIGUSR1])?;
            let signals = arriving.handle();
            let wait = move || arriving.forever().for_each(|_| act());
            let thread = thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
            Ok(Self { signals, thread: Some(thread) })
        }
    }

    impl Drop for OnSignal {
        fn drop(&mut self) {
            self.signals.close();
            if let Some(thread) = self.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// Elsewhere there is no such signal.
#[cfg(not(unix))]
pub(crate) struct OnSignal;

#[cfg(not(unix))]
impl OnSignal {
    pub(crate) fn start(_: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        Ok(Self)
    }
}
