//! Faults on purpose, to see what a bad consumer does to the others: nothing.

use crate::options::Fault;
use crate::stop::Stop;
use std::panic;

/// Hinders one consumer at its messages.
#[derive(Debug, Default)]
pub(crate) struct Saboteur {
    fault: Fault,
    /// Nothing more is published: from now on nobody is hindered, so that the end comes soon.
    over: Stop,
    /// Messages so far.
    number: u64,
}

impl Saboteur {
    pub(crate) fn new(fault: Fault, over: Stop) -> Self {
        Self { fault, over, number: 0 }
    }

    /// To be called at each message. Sleeps, stands still or panics, as the user wants it.
    pub(crate) fn strike(&mut self) {
        self.number += 1;
        if let Some(time) = self.fault.slow {
            self.over.sleep(time);
        }
        if self.fault.stalls {
            self.over.wait();
        }
        if self.fault.panic_percent.is_some_and(|percent| chance(self.number) < percent / 100.0) {
            // A panic like any other, but for the message that would stand amid the board.
            panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

/// From 0 to 1; always the same for the same number, so that a run can be repeated (`splitmix64`).
fn chance(number: u64) -> f64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::AssertUnwindSafe;
    use std::time::Duration;

    fn panics(percent: f64, messages: u64) -> u64 {
        let fault = Fault { panic_percent: Some(percent), ..Fault::default() };
        let mut saboteur = Saboteur::new(fault, Stop::default());
        let mut strike = || panic::catch_unwind(AssertUnwindSafe(|| saboteur.strike()));
        (0..messages).filter(|_| strike().is_err()).count() as u64
    }

    #[test]
    fn panics_about_as_often_as_wanted_and_always_alike() {
        assert_eq!(panics(100.0, 50), 50);
        let some = panics(1.0, 100_000);
        assert!((900..1100).contains(&some), "{some} of 100000 are not one in a hundred");
        assert_eq!(panics(1.0, 100_000), some);
    }

    #[test]
    fn nobody_is_hindered_when_all_is_over() {
        let fault = Fault { slow: Some(Duration::MAX), stalls: true, panic_percent: None };
        let over = Stop::default();
        let mut saboteur = Saboteur::new(fault, over.clone());
        let hindered = std::thread::spawn(move || saboteur.strike());
        over.say();
        hindered.join().expect("it goes on");
    }
}
