//! How long to wait before the next attempt.

use super::Patience;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    steady: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(patience: &Patience) -> Self {
        let Patience { first_pause, longest_pause, steady, .. } = *patience;
        Self { first: first_pause, longest: longest_pause, steady, next: first_pause }
    }

    /// The pause after an attempt that lasted so long: each twice the one before, the upper half of it by chance.
    pub(super) fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= self.steady {
            self.next = self.first;
        }
        let whole = self.next.min(self.longest);
        self.next = whole.saturating_mul(2);
        whole.mul_f64(1.0 - chance() / 2.0)
    }
}

/// From 0 to 1, another one each time: hash maps need good chance as well, and the standard library has it for them.
fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_double_up_to_a_limit_and_begin_anew_after_a_good_connection() {
        let seconds = Duration::from_secs;
        let patience = Patience {
            first_pause: seconds(1),
            longest_pause: seconds(5),
            steady: seconds(60),
            ..Patience::default()
        };
        let mut pauses = Pauses::new(&patience);
        let mut check = |lasted, whole| {
            let pause = pauses.after(seconds(lasted));
            assert!(pause >= seconds(whole) / 2 && pause <= seconds(whole), "{pause:?} of {whole} s");
        };
        for whole in [1, 2, 4, 5, 5] {
            check(0, whole);
        }
        check(60, 1);
        check(59, 2);
    }

    #[test]
    fn no_two_followers_pause_alike() {
        let mut pauses: Vec<_> =
            (0..20).map(|_| Pauses::new(&Patience::default()).after(Duration::ZERO)).collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}
