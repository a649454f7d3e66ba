//! The word to stop, which wakes whoever sleeps.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// All copies are one. Once said, it stays said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    is_said: Mutex<bool>,
    news: Condvar,
}

impl Stop {
    /// True: it was said before.
    pub(crate) fn say(&self) -> bool {
        let before = std::mem::replace(&mut *self.0.lock(), true);
        self.0.news.notify_all();
        before
    }

    pub(crate) fn is_said(&self) -> bool {
        *self.0.lock()
    }

    /// Sleeps until then, or until it is said: then it is true.
    pub(crate) fn sleep_until(&self, then: Instant) -> bool {
        let mut is_said = self.0.lock();
        loop {
            let left = then.saturating_duration_since(Instant::now());
            if *is_said || left.is_zero() {
                return *is_said;
            }
            is_said = self.0.news.wait_timeout(is_said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same for a time.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        match Instant::now().checked_add(time) {
            Some(then) => self.sleep_until(then),
            None => {
                self.wait();
                true
            }
        }
    }

    /// Sleeps until it is said.
    pub(crate) fn wait(&self) {
        let is_said = self.0.lock();
        drop(self.0.news.wait_while(is_said, |is_said| !*is_said));
    }
}

impl Said {
    /// A flag cannot be left half set, so that somebody panicked is no reason not to read it.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn wakes_every_sleeper_and_stays_said() {
        let stop = Stop::default();
        assert!(!stop.is_said() && !stop.sleep(Duration::from_millis(1)));
        let sleepers = [Duration::from_secs(1_000_000), Duration::MAX].map(|time| {
            let stop = stop.clone();
            thread::spawn(move || stop.sleep(time))
        });
        assert!(!stop.say() && stop.say());
        assert!(sleepers.into_iter().all(|sleeper| sleeper.join().expect("no panic")));
        assert!(stop.is_said() && stop.sleep(Duration::MAX));
        stop.wait();
    }
}
