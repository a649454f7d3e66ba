//! When the next event is due: as fast as possible, or by the times that were recorded.

use crate::event::Stamp;
use crate::options::Speed;
use crate::stop::Stop;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Keeps the time of a replay.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    speed: Option<Speed>,
    /// Recorded microseconds to play.
    until: Option<i64>,
    stop: Stop,
    /// When what is played began.
    anchor: Option<Anchor>,
    /// The first time in each recording of those that are played at once, and whose turn it is.
    begins: HashMap<usize, Stamp>,
    recording: usize,
    /// Recorded microseconds played.
    played: i64,
}

/// A moment, and how much was played then.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Instant,
    played: i64,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    /// The user has stopped the replay.
    Stopped,
    /// As much of the recording is played as was wanted.
    Enough,
}

impl Pace {
    pub(crate) fn new(speed: Option<Speed>, until: Option<Duration>, stop: Stop) -> Self {
        let until = until.map(|time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
        Self { speed, until, stop, ..Self::default() }
    }

    /// Recorded time at which the next event is played, or the end of what is wanted if that is sooner.
    pub(crate) fn reached(&self) -> Duration {
        let end = self.until.map_or(i64::MAX, |until| until.saturating_add(1));
        Duration::from_micros(self.played.min(end).unsigned_abs())
    }

    /// Another recording begins: nobody waits for the time between the two.
    pub(crate) fn begin(&mut self) {
        self.anchor = None;
        self.begins.clear();
    }

    /// The next events are of that recording.
    pub(crate) fn turn(&mut self, recording: usize) {
        self.recording = recording;
    }

    /// Waits until an event of that time is due. Times that go back are due at once.
    pub(crate) fn wait_for(&mut self, stamp: Stamp) -> Due {
        let first = Anchor { at: Instant::now(), played: self.played };
        let anchor = *self.anchor.get_or_insert(first);
        let begin = *self.begins.entry(self.recording).or_insert(stamp);
        let ahead = stamp.0.saturating_sub(begin.0);
        self.played = self.played.max(anchor.played.saturating_add(ahead));
        if self.until.is_some_and(|until| self.played > until) {
            return Due::Enough;
        }
        match self
            .speed
            .and_then(|speed| anchor.at.checked_add(real_time(self.played - anchor.played, speed)))
        {
            Some(then) if self.stop.sleep_until(then) => Due::Stopped,
            _ => Due::Now,
        }
    }
}

/// How long so many recorded microseconds take.
fn real_time(micros: i64, speed: Speed) -> Duration {
    Duration::try_from_secs_f64(micros as f64 / 1e6 / speed.0).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn pace(speed: Option<f64>, until: Option<u64>) -> Pace {
        Pace::new(speed.map(Speed), until.map(Duration::from_secs), Stop::default())
    }

    #[test]
    fn waits_as_long_as_was_recorded_at_that_speed() {
        let start = Instant::now();
        let mut pace = pace(Some(50.0), None);
        for second in [100, 101, 99, 102] {
            assert_eq!(pace.wait_for(Stamp(second * SECOND)), Due::Now);
        }
        assert!(start.elapsed() >= Duration::from_millis(40), "two seconds at fifty times the speed");
        pace.begin();
        assert_eq!(pace.wait_for(Stamp(1_000_000 * SECOND)), Due::Now, "another recording begins at once");
    }

    #[test]
    fn without_a_speed_it_waits_for_nothing() {
        assert!(
            [0, 1_000_000, 5]
                .into_iter()
                .all(|second| { pace(None, None).wait_for(Stamp(second * SECOND)) == Due::Now })
        );
    }

    #[test]
    fn enough_is_counted_over_all_recordings() {
        let mut pace = pace(None, Some(5));
        assert_eq!([100, 103, 101].map(|second| pace.wait_for(Stamp(second * SECOND))), [Due::Now; 3]);
        pace.begin();
        assert_eq!(pace.wait_for(Stamp(7 * SECOND)), Due::Now);
        assert_eq!(pace.wait_for(Stamp(9 * SECOND)), Due::Now);
        assert_eq!(pace.wait_for(Stamp(9 * SECOND + 1)), Due::Enough);
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let stop = Stop::default();
        let mut pace = Pace::new(Some(Speed(0.001)), None, stop.clone());
        assert_eq!(pace.wait_for(Stamp(0)), Due::Now);
        let waiting = std::thread::spawn(move || pace.wait_for(Stamp(3_600 * SECOND)));
        stop.say();
        assert_eq!(waiting.join().expect("no panic"), Due::Stopped);
    }
}
